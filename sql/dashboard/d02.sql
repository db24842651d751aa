-- Views a day.
SELECT eventdate, count(*) AS views, sum(isrefresh) AS refreshed FROM hits WHERE hits.counterid = 141908
GROUP BY eventdate ORDER BY eventdate;
