-- Tiles: views, users, bounces of a week.
SELECT count(*) AS views, count(DISTINCT userid) AS users, sum(isnotbounce) AS stayed FROM hits
WHERE eventdate BETWEEN date '2013-07-08' AND date '2013-07-14';
