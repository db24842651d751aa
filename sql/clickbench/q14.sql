-- Top phrases by engine.
SELECT searchengineid, searchphrase, count(*) AS views FROM hits WHERE searchphrase <> ''
GROUP BY searchengineid, searchphrase ORDER BY views DESC, searchengineid, searchphrase LIMIT 10;
