-- Minutes of two days.
SELECT date_trunc('minute', eventtime) AS minute, count(*) AS views FROM hits WHERE counterid = 141908 AND eventdate BETWEEN date '2013-07-14' AND date '2013-07-15' AND isrefresh = 0 AND dontcounthits = 0
GROUP BY date_trunc('minute', eventtime) ORDER BY minute LIMIT 10 OFFSET 1000;
