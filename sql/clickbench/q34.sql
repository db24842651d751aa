-- Top pages and a constant.
SELECT 1 AS one, url, count(*) AS views FROM hits GROUP BY 1, url ORDER BY views DESC, url LIMIT 10;
