-- Mean length by site.
SELECT counterid, avg(length(url)) AS mean_length, count(*) AS views FROM hits WHERE url <> ''
GROUP BY counterid HAVING count(*) > 10000 ORDER BY mean_length DESC, counterid LIMIT 25;
