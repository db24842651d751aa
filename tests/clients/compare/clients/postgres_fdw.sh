# postgres_fdw: a real PostgreSQL whose foreign tables are the server's: IMPORT FOREIGN SCHEMA, scans, pushed down parts.
say() { printf '%s\t%s\n' "$1" "${2//$'\n'/\\n}"; }
asked_port=$PGPORT
database=fdw_$SIDE
PGPORT=$POSTGRES_PORT psql -X -q -d postgres -c "CREATE DATABASE $database"
run() { PGPORT=$POSTGRES_PORT psql -X -At -d "$database" -v ON_ERROR_STOP=1 "$@" 2>&1 || true; }
run -q >/dev/null <<SQL
CREATE EXTENSION postgres_fdw;
CREATE SERVER lake FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '$PGHOST', port '$asked_port', dbname '$PGDATABASE', fetch_size '1000');
CREATE USER MAPPING FOR CURRENT_USER SERVER lake OPTIONS (user '$PGUSER', password_required 'false');
SQL
say import "$(run -c 'IMPORT FOREIGN SCHEMA public LIMIT TO (every_type, many, nation, orders, region, totals) FROM SERVER lake INTO public')"
# Where importing fails the tables are declared by hand, so that scanning is seen, too.
run -q >/dev/null <<'SQL'
CREATE FOREIGN TABLE IF NOT EXISTS nation (n_nationkey bigint, n_name text, n_regionkey bigint, n_comment text) SERVER lake;
CREATE FOREIGN TABLE IF NOT EXISTS many (id int, title text, price numeric(12,2), sold_on date) SERVER lake;
SQL
for table in every_type many nation orders totals; do say "columns.$table" "$(run -c "\\d $table")"; done
say select "$(run -c 'SELECT n_nationkey, n_name FROM nation WHERE n_regionkey = 3 ORDER BY 1')"
say aggregate "$(run -c 'SELECT count(*), sum(price), min(sold_on) FROM many')"
say plan "$(run -c 'EXPLAIN (VERBOSE, COSTS OFF) SELECT count(*) FROM many WHERE id < 100')"
say scan "$(run -c 'SELECT * FROM many ORDER BY id' | cksum)"
say rows "$(run -c 'SELECT * FROM every_type ORDER BY id')"
say join "$(run -c 'SELECT r_name, count(*) FROM nation JOIN region ON r_regionkey = n_regionkey GROUP BY 1 ORDER BY 1')"
PGPORT=$POSTGRES_PORT psql -X -q -d postgres -c "DROP DATABASE $database"
