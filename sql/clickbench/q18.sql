-- Users, minutes and phrases.
SELECT userid, extract(minute FROM eventtime) AS minute_of_hour, searchphrase, count(*) AS views FROM hits
GROUP BY userid, extract(minute FROM eventtime), searchphrase
ORDER BY views DESC, userid, minute_of_hour, searchphrase LIMIT 10;
