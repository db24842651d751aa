-- Top phrases of a week.
SELECT searchphrase, count(*) AS views FROM hits
WHERE searchphrase <> '' AND eventdate BETWEEN date '2013-07-08' AND date '2013-07-14'
GROUP BY searchphrase ORDER BY views DESC, searchphrase LIMIT 10;
