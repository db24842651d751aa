# Hive's and Athena's statements in psql, where a semicolon ends them and quotes are PostgreSQL's.
location=$(psql -X -At -c "SHOW CREATE TABLE orders" | grep -oE "(file|s3)://[^']+" | head -1)
[[ -n $location ]]
psql -X -q -v ON_ERROR_STOP=1 <<SQL
CREATE DATABASE scratch;
CREATE EXTERNAL TABLE scratch.orders_again (o_orderkey bigint, o_totalprice decimal(15,2))
  PARTITIONED BY (year int, month int) STORED AS PARQUET LOCATION '$location';
MSCK REPAIR TABLE scratch.orders_again;
SQL
[[ $(psql -X -At -c "SELECT count(*), sum(o_totalprice) FROM scratch.orders_again") == $(psql -X -At -c "SELECT count(*), sum(o_totalprice) FROM orders") ]]
psql -X -At -c "SHOW PARTITIONS scratch.orders_again" | grep -qE '^year=199[0-9]/month=0[1-9]$'
psql -X -At -c "EXPLAIN SELECT count(o_orderkey) FROM scratch.orders_again WHERE year = 1995 AND month = 3" | grep -qE '1 of [0-9]+'
psql -X -q -c "DROP DATABASE scratch CASCADE"
