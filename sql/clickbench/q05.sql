-- Distinct texts.
SELECT count(DISTINCT searchphrase) FROM hits;
