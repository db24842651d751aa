-- Days of a page.
SELECT urlhash, eventdate, count(*) AS views FROM hits WHERE counterid = 141908 AND eventdate BETWEEN date '2013-07-01' AND date '2013-07-31' AND isrefresh = 0 AND traficsourceid IN (1, 6) AND refererhash <> 0
GROUP BY urlhash, eventdate ORDER BY views DESC, urlhash, eventdate LIMIT 10 OFFSET 100;
