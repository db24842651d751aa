-- What DuckDB's postgres scanner asks of the catalogs, written after what it does, with the columns and types that PostgreSQL 15 answers.
-- One statement a block; replayed by tests/e2e/recorded.rs.

-- namespaces
-- columns: oid oid, nspname name
SELECT oid, nspname FROM pg_namespace WHERE oid NOT IN (11, 99) AND nspname NOT LIKE 'pg_temp%' ORDER BY oid

-- tables
-- columns: namespace_id oid, relname name, relpages int4, attname name, type_name name, type_modifier int4, ndim int4, attnum int2, notnull bool, constraint_id oid, constraint_type char, constraint_key _int2
SELECT pg_namespace.oid AS namespace_id, relname, relpages, attname, pg_type.typname type_name, atttypmod type_modifier, pg_attribute.attndims ndim, attnum, pg_attribute.attnotnull AS notnull, NULL constraint_id, NULL constraint_type, NULL constraint_key FROM pg_class JOIN pg_namespace ON relnamespace = pg_namespace.oid JOIN pg_attribute ON pg_class.oid=pg_attribute.attrelid JOIN pg_type ON atttypid=pg_type.oid WHERE attnum > 0 AND relkind IN ('r', 'v', 'm', 'f', 'p') AND pg_namespace.nspname='public' UNION ALL SELECT pg_namespace.oid AS namespace_id, relname, NULL relpages, NULL attname, NULL type_name, NULL type_modifier, NULL ndim, NULL attnum, NULL AS notnull, pg_constraint.oid AS constraint_id, contype AS constraint_type, conkey AS constraint_key FROM pg_class JOIN pg_namespace ON relnamespace = pg_namespace.oid JOIN pg_constraint ON (pg_class.oid=pg_constraint.conrelid) WHERE relkind IN ('r', 'v', 'm', 'f', 'p') AND contype IN ('p', 'u') AND pg_namespace.nspname='public' ORDER BY namespace_id, relname, attnum, constraint_id

-- enums
-- columns: oid int4, enumtypid int4, typname text, enumlabel text
SELECT 0 AS oid, 0 AS enumtypid, '' AS typname, '' AS enumlabel LIMIT 0

-- types
-- columns: oid oid, nspname name, typname name, typrelid oid
SELECT n.oid, n.nspname, t.typname, t.typrelid FROM pg_type t JOIN pg_class ON pg_class.oid = t.typrelid JOIN pg_namespace n ON t.typnamespace=n.oid WHERE pg_class.relkind = 'c' AND t.typtype='c' ORDER BY n.oid, t.oid

-- indexes
-- columns: oid oid, tablename name, indexname name
SELECT pg_namespace.oid, tablename, indexname FROM pg_indexes JOIN pg_namespace ON (schemaname=nspname) WHERE nspname='public' ORDER BY pg_namespace.oid

-- snapshot
-- columns: pg_is_in_recovery bool, pg_export_snapshot text, count int8
SELECT pg_is_in_recovery(), pg_export_snapshot(), (select count(*) from pg_stat_wal_receiver)

-- version
-- columns: version text, count int8, count int8
SELECT version(), (SELECT COUNT(*) FROM pg_settings WHERE name LIKE 'rds%') , (SELECT COUNT(*) FROM pg_settings WHERE name LIKE 'azure%')
