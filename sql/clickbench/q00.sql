-- All rows.
SELECT count(*) FROM hits;
