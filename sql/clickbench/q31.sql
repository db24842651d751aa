-- Views and addresses, filtered.
SELECT watchid, clientip, count(*) AS views, sum(isrefresh) AS refreshed, avg(resolutionwidth) AS width FROM hits
WHERE searchphrase <> '' GROUP BY watchid, clientip ORDER BY views DESC, watchid, clientip LIMIT 10;
