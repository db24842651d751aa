-- Several aggregates by region.
SELECT regionid, sum(advengineid) AS ads, count(*) AS views, avg(resolutionwidth) AS width, count(DISTINCT userid) AS users
FROM hits GROUP BY regionid ORDER BY views DESC, regionid LIMIT 10;
