-- Top users.
SELECT userid, count(*) AS views FROM hits GROUP BY userid ORDER BY views DESC, userid LIMIT 10;
