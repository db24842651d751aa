-- Views and addresses, all.
SELECT watchid, clientip, count(*) AS views, sum(isrefresh) AS refreshed, avg(resolutionwidth) AS width FROM hits
GROUP BY watchid, clientip ORDER BY views DESC, watchid, clientip LIMIT 10;
