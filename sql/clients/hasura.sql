-- What Hasura's GraphQL engine asks of the catalogs, written after what it does, with the columns and types that PostgreSQL 15 answers.
-- One statement a block; replayed by tests/e2e/recorded.rs.

-- version
-- columns: version text, current_setting int4
SELECT version(), current_setting('server_version_num')::int

-- tables_simple
-- columns: tables json
SELECT COALESCE(json_agg(json_build_object('name', table_name, 'schema', table_schema)), '[]') AS tables FROM information_schema.tables WHERE table_schema = 'public'

-- functions
-- columns: functions json
SELECT coalesce(json_agg(functions.info), '[]') AS functions FROM ( SELECT json_build_object('name', p.proname, 'schema', n.nspname) AS info FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = 'public' ) AS functions

-- pgtypes
-- columns: typname name
SELECT t.typname FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace WHERE t.typtype = 'b' AND n.nspname = 'pg_catalog' AND t.typname NOT LIKE '\_%' order by 1 limit 5

-- fkeys
-- columns: table_schema text, table_name text, constraint_name text, constraint_oid int4, ref_table_table_schema text, column_mapping json, on_update text
SELECT q.table_schema::text AS table_schema, q.table_name::text AS table_name, q.constraint_name::text AS constraint_name, min(q.constraint_oid::integer)::integer AS constraint_oid, min(q.ref_table_table_schema::text) AS ref_table_table_schema, json_object_agg(ac.attname, afc.attname) AS column_mapping, min(q.confupdtype::text) AS on_update FROM ( SELECT ctn.nspname AS table_schema, ct.relname AS table_name, r.conrelid AS table_id, r.conname AS constraint_name, r.oid AS constraint_oid, cftn.nspname AS ref_table_table_schema, cft.relname AS ref_table, r.confrelid AS ref_table_id, r.confupdtype, unnest(r.conkey) AS column_id, unnest(r.confkey) AS ref_column_id FROM pg_constraint r JOIN pg_class ct ON r.conrelid = ct.oid JOIN pg_namespace ctn ON ct.relnamespace = ctn.oid JOIN pg_class cft ON r.confrelid = cft.oid JOIN pg_namespace cftn ON cft.relnamespace = cftn.oid WHERE r.contype = 'f'::"char" ) q JOIN pg_attribute ac ON q.column_id = ac.attnum AND q.table_id = ac.attrelid JOIN pg_attribute afc ON q.ref_column_id = afc.attnum AND q.ref_table_id = afc.attrelid GROUP BY q.table_schema, q.table_name, q.constraint_name
