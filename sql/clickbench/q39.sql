-- Where a site's visitors came from.
SELECT traficsourceid, searchengineid, advengineid, CASE WHEN searchengineid = 0 AND advengineid = 0 THEN referer ELSE '' END AS source, url AS destination, count(*) AS views
FROM hits WHERE counterid = 141908 AND eventdate BETWEEN date '2013-07-01' AND date '2013-07-31' AND isrefresh = 0
GROUP BY traficsourceid, searchengineid, advengineid, CASE WHEN searchengineid = 0 AND advengineid = 0 THEN referer ELSE '' END, url
ORDER BY views DESC, traficsourceid, searchengineid, advengineid, source, destination LIMIT 10 OFFSET 1000;
