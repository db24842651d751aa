-- Engines and addresses.
SELECT searchengineid, clientip, count(*) AS views, sum(isrefresh) AS refreshed, avg(resolutionwidth) AS width FROM hits
WHERE searchphrase <> '' GROUP BY searchengineid, clientip ORDER BY views DESC, searchengineid, clientip LIMIT 10;
