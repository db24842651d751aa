-- Top phrases.
SELECT searchphrase, count(*) AS views FROM hits WHERE searchphrase <> ''
GROUP BY searchphrase ORDER BY views DESC, searchphrase LIMIT 10;
