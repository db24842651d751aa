-- Hours of a day.
SELECT extract(hour FROM eventtime) AS hour_of_day, count(*) AS views, avg(resolutionwidth) AS width FROM hits
WHERE eventdate = date '2013-07-15' GROUP BY extract(hour FROM eventtime) ORDER BY hour_of_day;
