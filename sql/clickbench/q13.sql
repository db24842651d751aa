-- Phrases by users.
SELECT searchphrase, count(DISTINCT userid) AS users FROM hits WHERE searchphrase <> ''
GROUP BY searchphrase ORDER BY users DESC, searchphrase LIMIT 10;
