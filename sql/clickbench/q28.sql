-- Referring sites by pattern.
SELECT regexp_replace(referer, '^https?://(www[.])?([^/]+)/.*$', '\2') AS site, avg(length(referer)) AS mean_length, count(*) AS views, min(referer) AS page
FROM hits WHERE referer <> ''
GROUP BY regexp_replace(referer, '^https?://(www[.])?([^/]+)/.*$', '\2') HAVING count(*) > 1000 ORDER BY mean_length DESC, site LIMIT 25;
