-- Part of a text, by phrase.
SELECT searchphrase, min(url) AS page, count(*) AS views FROM hits WHERE url LIKE '%google%' AND searchphrase <> ''
GROUP BY searchphrase ORDER BY views DESC, searchphrase LIMIT 10;
