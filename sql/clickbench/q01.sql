-- A filter that few rows pass.
SELECT count(*) FROM hits WHERE advengineid <> 0;
