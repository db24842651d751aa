-- Part of a text.
SELECT count(*) FROM hits WHERE url LIKE '%google%';
