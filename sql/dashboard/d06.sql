-- Browsers by language.
SELECT browserlanguage, useragent, count(*) AS views, max(eventtime) AS last_seen FROM hits WHERE os < 5
GROUP BY browserlanguage, useragent ORDER BY views DESC, browserlanguage, useragent LIMIT 20;
