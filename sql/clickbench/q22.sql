-- Parts of two texts, by phrase.
SELECT searchphrase, min(url) AS page, min(title) AS first_title, count(*) AS views, count(DISTINCT userid) AS users FROM hits
WHERE title LIKE '%google%' AND url NOT LIKE '%hotel%' AND searchphrase <> ''
GROUP BY searchphrase ORDER BY views DESC, searchphrase LIMIT 10;
