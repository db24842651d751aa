-- Any ten users and phrases.
SELECT userid, searchphrase, count(*) AS views FROM hits GROUP BY userid, searchphrase LIMIT 10;
