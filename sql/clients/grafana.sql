-- What Grafana asks of the catalogs, written after what it does, with the columns and types that PostgreSQL 15 answers.
-- One statement a block; replayed by tests/e2e/recorded.rs.

-- version
-- columns: version int4
SELECT current_setting('server_version_num')::int/100 as version

-- timescale
-- columns: ?column? int4
SELECT 1 FROM pg_extension WHERE extname = 'timescaledb'

-- tables
-- columns: table text
SELECT quote_ident(table_name) as "table" FROM information_schema.tables WHERE quote_ident(table_schema) NOT IN ('information_schema', 'pg_catalog', '_timescaledb_cache', '_timescaledb_catalog', '_timescaledb_internal', '_timescaledb_config', 'timescaledb_information', 'timescaledb_experimental') AND table_schema IN ( SELECT CASE WHEN trim(s[i]) = '"$user"' THEN user ELSE trim(s[i]) END FROM generate_series( array_lower(string_to_array(current_setting('search_path'),','),1), array_upper(string_to_array(current_setting('search_path'),','),1) ) as i, string_to_array(current_setting('search_path'),',') s )

-- tables2
-- columns: table text
select quote_ident(table_name) as "table" from information_schema.tables where quote_ident(table_schema) not in ('information_schema', 'pg_catalog') and table_type IN ('BASE TABLE','VIEW') order by 1

-- columns
-- columns: column text, type varchar
SELECT quote_ident(column_name) as "column", data_type as "type" FROM information_schema.columns WHERE (CASE WHEN array_length(parse_ident('public.orders'),1) = 2 THEN quote_ident(table_schema) = (parse_ident('public.orders'))[1] AND quote_ident(table_name) = (parse_ident('public.orders'))[2] ELSE quote_ident(table_name) = 'orders' AND table_schema IN ('public') END)

-- columns2
-- columns: column text, type varchar
SELECT quote_ident(column_name) as "column", data_type as "type" FROM information_schema.columns WHERE quote_ident(table_name) = 'orders' and data_type in ('text','character','character varying') ORDER BY column_name

-- timecolumn
-- columns: table_name text, time_column text
SELECT quote_ident(table_name) as table_name, ( SELECT quote_ident(column_name) as column_name FROM information_schema.columns c WHERE c.table_name = t.table_name AND udt_name IN ('timestamptz','timestamp') ORDER BY CASE WHEN column_name='time' THEN 1 ELSE 0 END desc, ordinal_position LIMIT 1 ) AS time_column FROM information_schema.tables t WHERE quote_ident(table_schema) NOT IN ('information_schema', 'pg_catalog') AND EXISTS ( SELECT 1 FROM information_schema.columns c WHERE c.table_name = t.table_name AND udt_name IN ('timestamptz','timestamp') ) AND EXISTS (SELECT 1 FROM information_schema.columns c WHERE c.table_name = t.table_name AND udt_name IN ('float4','float8','int2','int4','int8','numeric')) LIMIT 1

-- agg
-- columns: name text
SELECT DISTINCT quote_ident(proname) as name FROM pg_aggregate agg INNER JOIN pg_proc pg_proc ON agg.aggfnoid = pg_proc.oid INNER JOIN pg_type typ on typ.oid=pg_proc.prorettype WHERE pronargs=1 AND typname IN ('float8') AND aggkind='n' ORDER BY 1
