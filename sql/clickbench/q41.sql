-- Window sizes.
SELECT windowclientwidth, windowclientheight, count(*) AS views FROM hits WHERE counterid = 141908 AND eventdate BETWEEN date '2013-07-01' AND date '2013-07-31' AND isrefresh = 0 AND dontcounthits = 0
GROUP BY windowclientwidth, windowclientheight ORDER BY views DESC, windowclientwidth, windowclientheight LIMIT 10 OFFSET 10000;
