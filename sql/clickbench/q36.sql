-- Pages of a site in a month.
SELECT url, count(*) AS views FROM hits WHERE counterid = 141908 AND eventdate BETWEEN date '2013-07-01' AND date '2013-07-31' AND dontcounthits = 0 AND isrefresh = 0 AND url <> ''
GROUP BY url ORDER BY views DESC, url LIMIT 10;
