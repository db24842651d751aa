-- Links of a site, the second thousand.
SELECT url, count(*) AS views FROM hits WHERE counterid = 141908 AND eventdate BETWEEN date '2013-07-01' AND date '2013-07-31' AND isrefresh = 0 AND islink <> 0 AND isdownload = 0
GROUP BY url ORDER BY views DESC, url LIMIT 10 OFFSET 1000;
