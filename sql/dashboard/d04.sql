-- Top regions of mobile users.
SELECT regionid, count(*) AS views FROM hits WHERE ismobile = 1
GROUP BY regionid ORDER BY views DESC, regionid LIMIT 10;
