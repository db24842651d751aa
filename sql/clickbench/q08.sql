-- Distinct numbers by region.
SELECT regionid, count(DISTINCT userid) AS users FROM hits GROUP BY regionid ORDER BY users DESC, regionid LIMIT 10;
