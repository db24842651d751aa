-- Top users and phrases.
SELECT userid, searchphrase, count(*) AS views FROM hits
GROUP BY userid, searchphrase ORDER BY views DESC, userid, searchphrase LIMIT 10;
