-- Distinct numbers.
SELECT count(DISTINCT userid) FROM hits;
