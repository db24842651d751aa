-- What Prisma's introspection asks of the catalogs, written after what it does, with the columns and types that PostgreSQL 15 answers.
-- One statement a block; replayed by tests/e2e/recorded.rs.

-- version
-- columns: exists bool, version text, numeric_version int4
SELECT EXISTS(SELECT 1 FROM pg_namespace WHERE nspname = 'public'), version(), current_setting('server_version_num')::integer as numeric_version

-- namespaces
-- columns: name name
select nspname as name from pg_namespace where nspname in (select unnest(array['public']))

-- tables
-- columns: table_name name, namespace name, is_partition bool, has_subclass bool, has_row_level_security bool, reloptions _text, description text
SELECT tbl.relname AS table_name, namespace.nspname as namespace, (tbl.relhassubclass and tbl.relkind = 'p') as is_partition, (tbl.relhassubclass and tbl.relkind = 'r') as has_subclass, tbl.relrowsecurity as has_row_level_security, reloptions, obj_description(tbl.oid, 'pg_class') as description FROM pg_class AS tbl INNER JOIN pg_namespace AS namespace ON namespace.oid = tbl.relnamespace WHERE ( ( tbl.relkind = 'r' AND relispartition = 'f' ) OR ( tbl.relkind = 'p' ) ) AND namespace.nspname = ANY ( ARRAY['public'] ) ORDER BY namespace, table_name

-- columns
-- columns: namespace name, table_name name, column_name name, formatted_type text, numeric_precision int4, numeric_scale int4, numeric_precision_radix int4, datetime_precision int4, data_type varchar, type_schema_name name, full_data_type name, column_default text, is_nullable varchar, is_identity varchar, character_maximum_length int4, description text
SELECT oid.namespace, info.table_name, info.column_name, format_type(att.atttypid, att.atttypmod) as formatted_type, info.numeric_precision, info.numeric_scale, info.numeric_precision_radix, info.datetime_precision, info.data_type, info.udt_schema as type_schema_name, info.udt_name as full_data_type, pg_get_expr(attdef.adbin, attdef.adrelid) AS column_default, info.is_nullable, info.is_identity, info.character_maximum_length, col_description(att.attrelid, ordinal_position) AS description FROM information_schema.columns info JOIN pg_attribute att ON att.attname = info.column_name JOIN ( SELECT pg_class.oid, relname, pg_namespace.nspname as namespace FROM pg_class JOIN pg_namespace on pg_namespace.oid = pg_class.relnamespace AND pg_namespace.nspname = ANY ( ARRAY['public'] ) WHERE reltype > 0 ) as oid on oid.oid = att.attrelid AND relname = info.table_name AND namespace = info.table_schema LEFT OUTER JOIN pg_attrdef attdef ON attdef.adrelid = att.attrelid AND attdef.adnum = att.attnum AND table_schema = namespace WHERE table_schema = ANY ( ARRAY['public'] ) ORDER BY namespace, table_name, ordinal_position

-- indexes
-- columns: namespace name, index_name name, table_name name, column_name name, is_unique bool, is_primary_key bool, column_index int4, opclass name, opcdefault bool, index_algo name, column_order text, nulls_first bool, condeferrable bool, condeferred bool
WITH rawindex AS ( SELECT indrelid, indexrelid, indisunique, indisprimary, unnest(indkey) AS indkeyid, generate_subscripts(indkey, 1) AS indkeyidx, unnest(indclass) AS indclass, unnest(indoption) AS indoption FROM pg_index WHERE indpred IS NULL AND NOT indisexclusion ) SELECT schemainfo.nspname AS namespace, indexinfo.relname AS index_name, tableinfo.relname AS table_name, columninfo.attname AS column_name, rawindex.indisunique AS is_unique, rawindex.indisprimary AS is_primary_key, rawindex.indkeyidx AS column_index, opclass.opcname AS opclass, opclass.opcdefault AS opcdefault, indexaccess.amname AS index_algo, CASE rawindex.indoption & 1 WHEN 1 THEN 'DESC' ELSE 'ASC' END AS column_order, CASE rawindex.indoption & 2 WHEN 2 THEN true ELSE false END AS nulls_first, pc.condeferrable AS condeferrable, pc.condeferred AS condeferred FROM rawindex INNER JOIN pg_class AS tableinfo ON tableinfo.oid = rawindex.indrelid INNER JOIN pg_class AS indexinfo ON indexinfo.oid = rawindex.indexrelid INNER JOIN pg_namespace AS schemainfo ON schemainfo.oid = tableinfo.relnamespace LEFT JOIN pg_attribute AS columninfo ON columninfo.attrelid = tableinfo.oid AND columninfo.attnum = rawindex.indkeyid INNER JOIN pg_am AS indexaccess ON indexaccess.oid = indexinfo.relam LEFT JOIN pg_opclass AS opclass ON opclass.oid = rawindex.indclass LEFT JOIN pg_constraint pc ON rawindex.indexrelid = pc.conindid AND pc.contype <> 'f' WHERE schemainfo.nspname = ANY ( ARRAY['public'] ) ORDER BY namespace, table_name, index_name, column_index

-- fks
-- columns: con_id oid, child_column name, parent_table name, parent_column name, confdeltype char, confupdtype char, referenced_schema_name name, constraint_name name, child int2, parent int2, table_name name, namespace name, condeferrable bool, condeferred bool
SELECT con.oid AS "con_id", att2.attname AS "child_column", cl.relname AS "parent_table", att.attname AS "parent_column", con.confdeltype, con.confupdtype, rel_ns.nspname AS "referenced_schema_name", conname AS constraint_name, child, parent, table_name, namespace, condeferrable, condeferred FROM (SELECT ns.nspname AS "namespace", unnest(con1.conkey) AS "parent", unnest(con1.confkey) AS "child", cl.relname AS table_name, ns.nspname AS schema_name, generate_subscripts(con1.conkey, 1) AS colidx, con1.oid, con1.confrelid, con1.conrelid, con1.conname, con1.condeferrable, con1.condeferred, con1.confdeltype, con1.confupdtype FROM pg_class cl join pg_constraint con1 on con1.conrelid = cl.oid join pg_namespace ns on cl.relnamespace = ns.oid WHERE ns.nspname = ANY ( ARRAY['public'] ) AND con1.contype = 'f' ORDER BY colidx ) con JOIN pg_attribute att on att.attrelid = con.confrelid and att.attnum = con.child JOIN pg_class cl on cl.oid = con.confrelid JOIN pg_attribute att2 on att2.attrelid = con.conrelid and att2.attnum = con.parent JOIN pg_class rel_cl on con.confrelid = rel_cl.oid JOIN pg_namespace rel_ns on rel_cl.relnamespace = rel_ns.oid ORDER BY con_id, con.colidx

-- enums
-- columns: name name, value name, namespace name, description text
SELECT t.typname as name, e.enumlabel as value, n.nspname as namespace, obj_description(t.oid, 'pg_type') as description FROM pg_type t JOIN pg_enum e ON t.oid = e.enumtypid JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace WHERE n.nspname = ANY ( ARRAY['public'] ) ORDER BY e.enumsortorder

-- sequences
-- columns: sequence_name name, namespace name, start_value int8, min_value int8, max_value int8, increment_by int8, cycle bool
SELECT sequence_name, sequence_schema AS namespace, start_value::INT8, minimum_value::INT8 AS min_value, maximum_value::INT8 AS max_value, increment::INT8 AS increment_by, (CASE cycle_option WHEN 'yes' THEN TRUE ELSE FALSE END) AS cycle FROM information_schema.sequences WHERE sequence_schema = ANY ( ARRAY['public'] )

-- views
-- columns: view_name name, view_sql text, namespace name, description text
SELECT views.viewname AS view_name, views.definition AS view_sql, views.schemaname AS namespace, obj_description(class.oid, 'pg_class') AS description FROM pg_catalog.pg_views views INNER JOIN pg_catalog.pg_namespace ns ON views.schemaname = ns.nspname INNER JOIN pg_catalog.pg_class class ON class.relnamespace = ns.oid AND class.relname = views.viewname WHERE schemaname = ANY ( ARRAY['public'] )

-- procs
-- columns: name name, namespace name, definition text
SELECT p.proname AS name, n.nspname as namespace, CASE WHEN l.lanname = 'internal' THEN p.prosrc ELSE pg_get_functiondef(p.oid) END as definition FROM pg_proc p LEFT JOIN pg_namespace n ON p.pronamespace = n.oid LEFT JOIN pg_language l ON p.prolang = l.oid WHERE n.nspname = ANY ( ARRAY['public'] )

-- extensions
-- columns: extension_name name, extension_version text, extension_relocatable bool, extension_schema name
SELECT ext.extname AS extension_name, ext.extversion AS extension_version, ext.extrelocatable AS extension_relocatable, pn.nspname AS extension_schema FROM pg_extension ext INNER JOIN pg_namespace pn ON ext.extnamespace = pn.oid ORDER BY ext.extname ASC

-- constraints
-- columns: namespace name, table_name name, constraint_name name, constraint_type text, constraint_definition text, is_deferrable bool
SELECT schemainfo.nspname AS namespace, tableinfo.relname AS table_name, constraintinfo.conname AS constraint_name, contype::text AS constraint_type, pg_get_constraintdef(constraintinfo.oid) AS constraint_definition, constraintinfo.condeferrable AS is_deferrable FROM pg_constraint constraintinfo INNER JOIN pg_class AS tableinfo ON tableinfo.oid = constraintinfo.conrelid INNER JOIN pg_namespace AS schemainfo ON schemainfo.oid = tableinfo.relnamespace WHERE schemainfo.nspname = ANY ( ARRAY['public'] ) AND contype NOT IN ('p', 'u', 'f') ORDER BY namespace, table_name, constraint_type, constraint_name
