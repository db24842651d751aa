-- Top addresses and what follows from them.
SELECT clientip, clientip - 1 AS a, clientip - 2 AS b, clientip - 3 AS c, count(*) AS views FROM hits
GROUP BY clientip, clientip - 1, clientip - 2, clientip - 3 ORDER BY views DESC, clientip LIMIT 10;
