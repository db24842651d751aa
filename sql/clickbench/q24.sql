-- First phrases by time.
SELECT searchphrase FROM hits WHERE searchphrase <> '' ORDER BY eventtime, watchid LIMIT 10;
