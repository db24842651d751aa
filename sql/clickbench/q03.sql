-- The mean of large numbers.
SELECT avg(userid) FROM hits;
