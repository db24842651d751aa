-- Few groups after a filter.
SELECT advengineid, count(*) AS views FROM hits WHERE advengineid <> 0 GROUP BY advengineid ORDER BY views DESC, advengineid;
