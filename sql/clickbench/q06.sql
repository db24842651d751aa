-- Bounds of a date.
SELECT min(eventdate), max(eventdate) FROM hits;
