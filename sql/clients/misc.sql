-- What drivers and tools that ask little asks of the catalogs, written after what it does, with the columns and types that PostgreSQL 15 answers.
-- One statement a block; replayed by tests/e2e/recorded.rs.

-- looker_version
-- columns: version text
SELECT version()

-- looker_settings
-- columns: current_setting text, current_schema name, current_setting text
SELECT current_setting('server_version_num'), current_schema(), current_setting('timezone')

-- looker_tables
-- columns: table_schema name, table_name name, table_type varchar
SELECT table_schema, table_name, table_type FROM information_schema.tables WHERE table_schema NOT IN ('information_schema','pg_catalog','pg_internal') ORDER BY 1,2

-- looker_columns
-- columns: table_schema name, table_name name, column_name name, data_type varchar, is_nullable varchar, ordinal_position int4, column_default varchar, description text
SELECT c.table_schema, c.table_name, c.column_name, c.data_type, c.is_nullable, c.ordinal_position, c.column_default, pgd.description FROM information_schema.columns c LEFT JOIN pg_catalog.pg_statio_all_tables st ON c.table_schema = st.schemaname AND c.table_name = st.relname LEFT JOIN pg_catalog.pg_description pgd ON pgd.objoid = st.relid AND pgd.objsubid = c.ordinal_position WHERE c.table_schema = 'public' ORDER BY 1,2,6

-- looker_keys
-- columns: table_schema name, table_name name, column_name name
SELECT tc.table_schema, tc.table_name, kc.column_name FROM information_schema.table_constraints tc JOIN information_schema.key_column_usage kc ON kc.table_name = tc.table_name AND kc.table_schema = tc.table_schema AND kc.constraint_name = tc.constraint_name WHERE tc.constraint_type = 'PRIMARY KEY' AND kc.ordinal_position IS NOT NULL ORDER BY 1,2,3

-- looker_pdt
-- columns: orders.month text, orders.count int8
SELECT TO_CHAR(DATE_TRUNC('month', "orders"."o_orderdate"::timestamptz AT TIME ZONE 'UTC'), 'YYYY-MM') AS "orders.month", COUNT(*) AS "orders.count" FROM public.orders AS orders WHERE (( "orders"."o_orderdate" ) >= (DATE_TRUNC('year', DATE '1992-01-01')) AND ( "orders"."o_orderdate" ) < ((DATE_TRUNC('year', DATE '1992-01-01') + (10 || ' year')::INTERVAL))) GROUP BY 1 ORDER BY 1 DESC LIMIT 500

-- looker_dialect
-- columns: coalesce float8, count int8
SELECT COALESCE(CAST(SUM(o_totalprice) AS DOUBLE PRECISION),0), COUNT(DISTINCT o_custkey) FROM orders

-- fdw_import
-- columns: relname name, attname name, format_type text, attnotnull bool, attgenerated char, pg_get_expr text, collname name, nspname name
SELECT relname, attname, format_type(atttypid, atttypmod), attnotnull, attgenerated, pg_get_expr(adbin, adrelid), collname, collnsp.nspname FROM pg_class c JOIN pg_namespace n ON relnamespace = n.oid LEFT JOIN pg_attribute a ON attrelid = c.oid AND attnum > 0 AND NOT attisdropped LEFT JOIN pg_attrdef ad ON adrelid = c.oid AND adnum = attnum LEFT JOIN pg_collation coll ON coll.oid = attcollation LEFT JOIN pg_namespace collnsp ON collnsp.oid = collnamespace WHERE c.relkind IN ('r', 'v', 'f', 'm', 'p') AND n.nspname = 'public' AND (NOT c.relispartition OR c.relkind = 'p') AND c.relname IN ('orders') ORDER BY c.relname, a.attnum

-- fdw_schema
-- columns: ?column? int4
SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = 'public'

-- fdw_size
-- columns: ?column? int8
SELECT pg_catalog.pg_relation_size('public.orders'::pg_catalog.regclass) / 8192

-- fdw_columns
-- columns: attname name, attnum int2
SELECT attname, attnum FROM pg_catalog.pg_attribute WHERE attrelid = 'public.orders'::pg_catalog.regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum

-- rpostgres_tables
-- columns: table_name name
SELECT table_name FROM INFORMATION_SCHEMA.tables WHERE ( (table_schema = ANY(current_schemas(true))) AND (table_schema <> 'pg_catalog') ) AND table_name = 'orders'

-- rpostgres_list
-- columns: table_schema name, table_name name
SELECT table_schema, table_name FROM ( SELECT table_schema, table_name, table_type FROM INFORMATION_SCHEMA.tables WHERE table_schema !~ '^(information_schema|pg_catalog)$' ) t ORDER BY table_type, table_name

-- rpostgres_types
-- columns: oid oid, typname name
SELECT oid, typname FROM pg_type

-- rpostgres_fields
-- columns: table_schema name, table_name name, column_name name
SELECT nspname AS table_schema, relname AS table_name, attname AS column_name FROM pg_attribute, ( WITH rel AS (SELECT c.oid, nspname, relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE relkind IN ('r','v')) SELECT * FROM rel WHERE nspname = 'public' AND relname = 'orders' ) r WHERE attrelid = r.oid AND attnum > 0 ORDER BY attnum

-- odbc_r
-- columns: quote_ident text, text text
SELECT pg_catalog.quote_ident(current_schema()), 'search_path'::text

-- pdo_meta
-- columns: typname name
SELECT TYPNAME FROM PG_TYPE WHERE OID=20

-- pdo_relname
-- columns: relname name
SELECT RELNAME FROM PG_CLASS WHERE OID='orders'::regclass

-- dbd_table_info
-- columns: TABLE_CAT text, TABLE_SCHEM text, TABLE_NAME text, TABLE_TYPE text, REMARKS text, pg_tablespace_name text, pg_schema text, pg_table text
SELECT NULL::text AS "TABLE_CAT" , quote_ident(n.nspname) AS "TABLE_SCHEM" , quote_ident(c.relname) AS "TABLE_NAME" , CASE WHEN c.relkind = 'v' THEN CASE WHEN quote_ident(n.nspname) ~ '^pg_' THEN 'SYSTEM VIEW' ELSE 'VIEW' END WHEN c.relkind = 'm' THEN 'MATERIALIZED VIEW' WHEN quote_ident(n.nspname) ~ '^pg_' THEN 'SYSTEM TABLE' ELSE 'TABLE' END AS "TABLE_TYPE" , d.description AS "REMARKS" , NULL::text AS "pg_tablespace_name" , quote_ident(n.nspname) AS "pg_schema", quote_ident(c.relname) AS "pg_table" FROM pg_catalog.pg_class AS c LEFT JOIN pg_catalog.pg_description AS d ON (c.oid = d.objoid AND c.tableoid = d.classoid AND d.objsubid = 0) LEFT JOIN pg_catalog.pg_namespace n ON (n.oid = c.relnamespace) LEFT JOIN pg_catalog.pg_tablespace t ON (t.oid = c.reltablespace) WHERE c.relkind IN ('r', 'v') AND n.nspname = 'public' ORDER BY "TABLE_TYPE", "TABLE_CAT", "TABLE_SCHEM", "TABLE_NAME"

-- dbd_column_info
-- columns: TABLE_CAT text, TABLE_SCHEM text, TABLE_NAME text, COLUMN_NAME text, DATA_TYPE oid, TYPE_NAME text, COLUMN_SIZE int2, BUFFER_LENGTH text, NULLABLE int4, REMARKS text, COLUMN_DEF text, ORDINAL_POSITION int2, IS_NULLABLE text, pg_type text, pg_constraint text, pg_schema name, x oid
SELECT NULL::text AS "TABLE_CAT" , quote_ident(n.nspname) AS "TABLE_SCHEM" , quote_ident(c.relname) AS "TABLE_NAME" , quote_ident(a.attname) AS "COLUMN_NAME" , a.atttypid AS "DATA_TYPE" , format_type(a.atttypid, NULL) AS "TYPE_NAME" , a.attlen AS "COLUMN_SIZE" , NULL::text AS "BUFFER_LENGTH" , CASE a.attnotnull WHEN 't' THEN 0 ELSE 1 END AS "NULLABLE" , pg_catalog.col_description(a.attrelid, a.attnum) AS "REMARKS" , pg_catalog.pg_get_expr(af.adbin, af.adrelid) AS "COLUMN_DEF" , a.attnum AS "ORDINAL_POSITION" , CASE a.attnotnull WHEN 't' THEN 'NO' ELSE 'YES' END AS "IS_NULLABLE" , pg_catalog.format_type(a.atttypid, a.atttypmod) AS "pg_type" , '?' AS "pg_constraint" , n.nspname AS "pg_schema" , a.attrelid AS "x" FROM pg_catalog.pg_type t JOIN pg_catalog.pg_attribute a ON (t.oid = a.atttypid) JOIN pg_catalog.pg_class c ON (a.attrelid = c.oid) LEFT JOIN pg_catalog.pg_attrdef af ON (a.attnum = af.adnum AND a.attrelid = af.adrelid) JOIN pg_catalog.pg_namespace n ON (n.oid = c.relnamespace) WHERE a.attnum >= 0 AND c.relkind IN ('r','p','v','m','f') AND c.relname = 'orders' AND n.nspname = 'public' ORDER BY "TABLE_SCHEM", "TABLE_NAME", "ORDINAL_POSITION"

-- dbd_pk
-- columns: quote_ident text, quote_ident text, quote_ident text, indkey int2vector, quote_ident text, quote_ident text, nspname name, relname name, relname name
SELECT quote_ident(n.nspname), quote_ident(c.relname), quote_ident(c2.relname), i.indkey, quote_ident(t.spcname), quote_ident(t.spcname), n.nspname, c.relname, c2.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_index i ON (i.indrelid = c.oid) JOIN pg_catalog.pg_class c2 ON (c2.oid = i.indexrelid) LEFT JOIN pg_catalog.pg_namespace n ON (n.oid = c.relnamespace) LEFT JOIN pg_catalog.pg_tablespace t ON (t.oid = c.reltablespace) WHERE i.indisprimary IS TRUE AND c.relname = 'orders'

-- dbd_fk
-- columns: oid oid, conname name, conrelid oid, contype char, confrelid oid, confkey _int2, conkey _int2, pg_get_expr text, confupdtype char
SELECT c.oid, conname, conrelid, contype, confrelid, confkey, conkey, pg_get_expr(conbin, conrelid), confupdtype FROM pg_catalog.pg_constraint c WHERE contype IN ('p','u','f') AND conrelid = 'lineitem'::regclass ORDER BY 1

-- dbd_stats
-- columns: relname name, indkey int2vector, attname name, indisunique bool
SELECT c.relname, d.indkey, a.attname, d.indisunique FROM pg_index d, pg_class c, pg_attribute a WHERE d.indexrelid=c.oid and a.attrelid = d.indrelid limit 0

-- pgx_types
-- columns: oid oid, case text
select t.oid, case when nsp.nspname in ('public','pg_catalog') then t.typname else nsp.nspname||'.'||t.typname end from pg_type t left join pg_type base_type on t.typelem=base_type.oid left join pg_namespace nsp on t.typnamespace=nsp.oid left join pg_class base_cls ON base_type.typrelid = base_cls.oid where ( t.typtype in('b', 'p', 'r', 'e') and (base_type.oid is null or base_type.typtype in('b', 'p', 'r')) )

-- pgx_loadtype
-- columns: oid oid, typtype text, typname name
select oid, typtype::text, typname from pg_type where oid = 'int4'::text::regtype::oid

-- pgx_composite
-- columns: attname name, atttypid oid
select attname, atttypid from pg_attribute where attrelid=16437 and not attisdropped and attnum > 0 order by attnum

-- libpq_lo
-- columns: proname name, oid oid
select proname, oid from pg_catalog.pg_proc where proname in ('lo_open','lo_close','lo_creat','lo_create','lo_unlink','lo_lseek','lo_lseek64','lo_tell','lo_tell64','lo_truncate','lo_truncate64','loread','lowrite') and pronamespace = (select oid from pg_catalog.pg_namespace where nspname = 'pg_catalog')

-- node_types
-- columns: typname name, oid oid, typarray oid
SELECT typname, oid, typarray FROM pg_type WHERE typtype = 'b' ORDER BY oid

-- postgresjs_arrays
-- columns: oid oid, typarray oid
select b.oid, b.typarray from pg_catalog.pg_type a left join pg_catalog.pg_type b on b.oid = a.typelem where a.typcategory = 'A' group by b.oid, b.typarray order by b.oid

-- tableplus_schemas
-- columns: schema_name name, owner name
SELECT n.nspname AS schema_name, pg_get_userbyid(n.nspowner) as owner FROM pg_catalog.pg_namespace n where n.nspname not like 'pg_%' ORDER BY 1

-- tableplus_tables
-- columns: schema name, name name, type varchar, size int8
SELECT table_schema AS schema, table_name AS name, table_type AS type, pg_relation_size(quote_ident(table_schema) || '.' || quote_ident(table_name)) AS size FROM information_schema.tables WHERE table_schema = 'public' ORDER BY table_name

-- tableplus_columns
-- columns: ordinal_position int4, column_name name, data_type name, format_type text, numeric_precision int4, datetime_precision int4, numeric_scale int4, data_length int4, is_nullable varchar, check name, check_constraint name, column_default varchar, foreign_key name, comment text
SELECT ordinal_position, column_name, udt_name AS data_type, format_type(pgc.atttypid, pgc.atttypmod) AS format_type, numeric_precision, datetime_precision, numeric_scale, character_maximum_length AS data_length, is_nullable, column_name as check, column_name as check_constraint, column_default, column_name AS foreign_key, pg_catalog.col_description(16437,ordinal_position) as comment FROM information_schema.columns LEFT JOIN pg_attribute pgc ON pgc.attname = column_name AND pgc.attrelid = 'public.orders'::regclass WHERE table_name='orders' AND table_schema='public'

-- tableplus_indexes
-- columns: index_name name, index_algorithm text, is_unique bool, index_definition text, column_name text, condition text, comment text
SELECT ix.relname AS index_name, upper(am.amname) AS index_algorithm, indisunique AS is_unique, pg_get_indexdef(indexrelid) AS index_definition, replace(regexp_replace(regexp_replace(pg_get_indexdef(indexrelid), ' WHERE .+|INCLUDE .+', ''), '.*\((.*)\)', '\1'), ' ', '') AS column_name, CASE WHEN position(' WHERE ' in pg_get_indexdef(indexrelid))>0 THEN regexp_replace(pg_get_indexdef(indexrelid),'.+WHERE ','') WHEN position(' WITH ' in pg_get_indexdef(indexrelid))>0 THEN regexp_replace(pg_get_indexdef(indexrelid),'.+WITH ','') ELSE '' END AS condition, pg_catalog.obj_description(i.indexrelid,'pg_class') AS comment FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid JOIN pg_class ix ON ix.oid = i.indexrelid JOIN pg_namespace n ON t.relnamespace = n.oid JOIN pg_am AS am ON ix.relam = am.oid WHERE t.relname = 'lineitem' AND n.nspname = 'public'

-- tableplus_ddl
-- columns: pg_get_viewdef text
SELECT pg_get_viewdef('public.v_orders_daily'::regclass, true)

-- powerquery_tables
-- columns: table_schema name, table_name name, table_type varchar
select TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE from INFORMATION_SCHEMA.tables where TABLE_SCHEMA not in ('information_schema', 'pg_catalog') order by TABLE_SCHEMA, TABLE_NAME

-- powerquery_columns
-- columns: column_name name, ordinal_position int4, is_nullable varchar, data_type varchar
select COLUMN_NAME, ORDINAL_POSITION, IS_NULLABLE, case when (data_type like '%unsigned%') then DATA_TYPE || ' unsigned' else DATA_TYPE end as DATA_TYPE from INFORMATION_SCHEMA.columns where TABLE_SCHEMA = 'public' and TABLE_NAME = 'orders' order by TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION

-- powerquery_fks
-- columns: pk_column_name name, fk_table_schema name, fk_table_name name, fk_column_name name, ordinal int4, fk_name text
select pkcol.COLUMN_NAME as PK_COLUMN_NAME, fkcol.TABLE_SCHEMA AS FK_TABLE_SCHEMA, fkcol.TABLE_NAME AS FK_TABLE_NAME, fkcol.COLUMN_NAME as FK_COLUMN_NAME, fkcol.ORDINAL_POSITION as ORDINAL, fkcon.CONSTRAINT_SCHEMA || '_' || fkcol.TABLE_NAME || '_' || 'orders' || '_' || fkcon.CONSTRAINT_NAME as FK_NAME from (select distinct constraint_catalog, constraint_schema, unique_constraint_schema, constraint_name, unique_constraint_name from INFORMATION_SCHEMA.REFERENTIAL_CONSTRAINTS) fkcon inner join INFORMATION_SCHEMA.KEY_COLUMN_USAGE fkcol on fkcon.CONSTRAINT_SCHEMA = fkcol.CONSTRAINT_SCHEMA and fkcon.CONSTRAINT_NAME = fkcol.CONSTRAINT_NAME inner join INFORMATION_SCHEMA.KEY_COLUMN_USAGE pkcol on fkcon.UNIQUE_CONSTRAINT_SCHEMA = pkcol.CONSTRAINT_SCHEMA and fkcon.UNIQUE_CONSTRAINT_NAME = pkcol.CONSTRAINT_NAME where pkcol.TABLE_SCHEMA = 'public' and pkcol.TABLE_NAME = 'orders' and pkcol.ORDINAL_POSITION = fkcol.ORDINAL_POSITION order by FK_NAME, fkcol.ORDINAL_POSITION

-- powerquery_pks
-- columns: index_name text, column_name name, ordinal_position int4, primary_key text
select i.CONSTRAINT_SCHEMA || '_' || i.CONSTRAINT_NAME as INDEX_NAME, ii.COLUMN_NAME, ii.ORDINAL_POSITION, case when i.CONSTRAINT_TYPE = 'PRIMARY KEY' then 'Y' else 'N' end as PRIMARY_KEY from INFORMATION_SCHEMA.table_constraints i inner join INFORMATION_SCHEMA.key_column_usage ii on i.CONSTRAINT_SCHEMA = ii.CONSTRAINT_SCHEMA and i.CONSTRAINT_NAME = ii.CONSTRAINT_NAME and i.TABLE_SCHEMA = ii.TABLE_SCHEMA and i.TABLE_NAME = ii.TABLE_NAME where i.TABLE_SCHEMA = 'public' and i.TABLE_NAME = 'orders' and i.CONSTRAINT_TYPE in ('PRIMARY KEY', 'UNIQUE') order by i.CONSTRAINT_SCHEMA || '_' || i.CONSTRAINT_NAME, ii.TABLE_SCHEMA, ii.TABLE_NAME, ii.ORDINAL_POSITION

-- powerquery_charset
-- columns: character_set_name name
select character_set_name from INFORMATION_SCHEMA.character_sets

-- hibernate_sequences
-- columns: sequence_catalog name, sequence_schema name, sequence_name name, data_type varchar, numeric_precision int4, numeric_precision_radix int4, numeric_scale int4, start_value varchar, minimum_value varchar, maximum_value varchar, increment varchar, cycle_option varchar
select * from information_schema.sequences

-- jdbc_gettypeinfo
-- columns: typname name, oid oid
SELECT t.typname,t.oid FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON (t.typnamespace = n.oid) WHERE n.nspname != 'pg_toast' AND (t.typrelid = 0 OR (SELECT c.relkind = 'c' FROM pg_catalog.pg_class c WHERE c.oid = t.typrelid))

-- jdbc_sqltype
-- columns: is_array bool, typtype char, typname name, oid oid
SELECT typinput='pg_catalog.array_in'::regproc as is_array, typtype, typname, pg_type.oid FROM pg_catalog.pg_type LEFT JOIN (select ns.oid as nspoid, ns.nspname, r.r from pg_namespace as ns join ( select s.r, (current_schemas(false))[s.r] as nspname from generate_series(1, array_upper(current_schemas(false), 1)) as s(r) ) as r using ( nspname )) as sp ON sp.nspoid = typnamespace WHERE typname = 'int4' ORDER BY sp.r, pg_type.oid DESC LIMIT 1

-- jdbc_pk
-- columns: table_cat name, table_schem name, table_name name, column_name name, key_seq int4, pk_name name
SELECT result.TABLE_CAT, result.TABLE_SCHEM, result.TABLE_NAME, result.COLUMN_NAME, result.KEY_SEQ, result.PK_NAME FROM (SELECT current_database() AS TABLE_CAT, n.nspname AS TABLE_SCHEM, ct.relname AS TABLE_NAME, a.attname AS COLUMN_NAME, (information_schema._pg_expandarray(i.indkey)).n AS KEY_SEQ, ci.relname AS PK_NAME, information_schema._pg_expandarray(i.indkey) AS KEYS, a.attnum AS A_ATTNUM FROM pg_catalog.pg_class ct JOIN pg_catalog.pg_attribute a ON (ct.oid = a.attrelid) JOIN pg_catalog.pg_namespace n ON (ct.relnamespace = n.oid) JOIN pg_catalog.pg_index i ON ( a.attrelid = i.indrelid) JOIN pg_catalog.pg_class ci ON (ci.oid = i.indexrelid) WHERE true AND n.nspname = 'public' AND ct.relname = 'orders' AND i.indisprimary ) result where result.A_ATTNUM = (result.KEYS).x ORDER BY result.table_name, result.pk_name, result.key_seq

-- jdbc_indexinfo
-- columns: table_cat text, table_schem name, table_name name, non_unique bool, index_qualifier text, index_name name, type int4, ordinal_position int4, column_name text, asc_or_desc text, cardinality float4, pages int4, filter_condition text
SELECT tmp.TABLE_CAT, tmp.TABLE_SCHEM, tmp.TABLE_NAME, tmp.NON_UNIQUE, tmp.INDEX_QUALIFIER, tmp.INDEX_NAME, tmp.TYPE, tmp.ORDINAL_POSITION, trim(both '"' from pg_catalog.pg_get_indexdef(tmp.CI_OID, tmp.ORDINAL_POSITION, false)) AS COLUMN_NAME, CASE tmp.AM_NAME WHEN 'btree' THEN CASE tmp.I_INDOPTION[tmp.ORDINAL_POSITION - 1] & 1::smallint WHEN 1 THEN 'D' ELSE 'A' END ELSE NULL END AS ASC_OR_DESC, tmp.CARDINALITY, tmp.PAGES, tmp.FILTER_CONDITION FROM (SELECT NULL AS TABLE_CAT, n.nspname AS TABLE_SCHEM, ct.relname AS TABLE_NAME, NOT i.indisunique AS NON_UNIQUE, NULL AS INDEX_QUALIFIER, ci.relname AS INDEX_NAME, CASE i.indisclustered WHEN true THEN 1 ELSE CASE am.amname WHEN 'hash' THEN 2 ELSE 3 END END AS TYPE, (information_schema._pg_expandarray(i.indkey)).n AS ORDINAL_POSITION, ci.reltuples AS CARDINALITY, ci.relpages AS PAGES, pg_catalog.pg_get_expr(i.indpred, i.indrelid) AS FILTER_CONDITION, ci.oid AS CI_OID, i.indoption AS I_INDOPTION, am.amname AS AM_NAME FROM pg_catalog.pg_class ct JOIN pg_catalog.pg_namespace n ON (ct.relnamespace = n.oid) JOIN pg_catalog.pg_index i ON (ct.oid = i.indrelid) JOIN pg_catalog.pg_class ci ON (ci.oid = i.indexrelid) JOIN pg_catalog.pg_am am ON (ci.relam = am.oid) WHERE true AND n.nspname = 'public' AND ct.relname = 'orders') AS tmp ORDER BY NON_UNIQUE, TYPE, INDEX_NAME, ORDINAL_POSITION

-- pgcli_schemas
-- columns: nspname name
SELECT nspname FROM pg_catalog.pg_namespace ORDER BY 1

-- pgcli_search
-- columns: unnest name
SELECT * FROM unnest(current_schemas(true))

-- pgcli_functions
-- columns: schema_name name, func_name name, proargnames _text, coalesce _text, proargmodes _char, return_type text, is_aggregate bool, is_window bool, is_set_returning bool, is_extension bool, arg_defaults text
SELECT n.nspname schema_name, p.proname func_name, p.proargnames, COALESCE(proallargtypes::regtype[], proargtypes::regtype[])::text[], p.proargmodes, prorettype::regtype::text return_type, p.prokind = 'a' is_aggregate, p.prokind = 'w' is_window, p.proretset is_set_returning, d.deptype = 'e' is_extension, pg_get_expr(proargdefaults, 0) AS arg_defaults FROM pg_catalog.pg_proc p INNER JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace LEFT JOIN pg_depend d ON d.objid = p.oid and d.deptype = 'e' WHERE p.prorettype::regtype != 'trigger'::regtype ORDER BY 1, 2 limit 20

-- pgcli_datatypes
-- columns: schema_name name, type_name name
SELECT n.nspname schema_name, t.typname type_name FROM pg_catalog.pg_type t INNER JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace WHERE ( t.typrelid = 0 OR ( SELECT c.relkind = 'c' FROM pg_catalog.pg_class c WHERE c.oid = t.typrelid ) ) AND NOT EXISTS( SELECT 1 FROM pg_catalog.pg_type el WHERE el.oid = t.typelem AND el.typarray = t.oid ) AND n.nspname <> 'pg_catalog' AND n.nspname <> 'information_schema' ORDER BY 1, 2

-- pgcli_columns
-- columns: schema_name name, table_name name, column_name name, type_name text, has_default bool, default text
SELECT nsp.nspname schema_name, cls.relname table_name, att.attname column_name, att.atttypid::regtype::text type_name, att.atthasdef AS has_default, pg_catalog.pg_get_expr(def.adbin, def.adrelid, true) as default FROM pg_catalog.pg_attribute att INNER JOIN pg_catalog.pg_class cls ON att.attrelid = cls.oid INNER JOIN pg_catalog.pg_namespace nsp ON cls.relnamespace = nsp.oid LEFT OUTER JOIN pg_attrdef def ON def.adrelid = att.attrelid AND def.adnum = att.attnum WHERE cls.relkind = ANY(array['r','v','m','f','p']) AND NOT att.attisdropped AND att.attnum > 0 and nsp.nspname='public' ORDER BY 1, 2, att.attnum

-- redash_types
-- columns: oid oid, typname name
SELECT oid, typname FROM pg_type WHERE typelem = 0

-- redash_schema
-- columns: table_schema name, table_name name, column_name name, data_type varchar
SELECT s.nspname as table_schema, c.relname as table_name, a.attname as column_name, null as data_type FROM pg_class c JOIN pg_namespace s ON c.relnamespace = s.oid AND s.nspname NOT IN ('pg_catalog', 'information_schema') JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped WHERE c.relkind IN ('m', 'f', 'p') AND has_table_privilege(s.nspname || '.' || c.relname, 'select') AND has_schema_privilege(s.nspname, 'usage') UNION SELECT table_schema, table_name, column_name, data_type FROM information_schema.columns WHERE table_schema NOT IN ('pg_catalog', 'information_schema')

-- redash_materialized
-- columns: table_schema name, table_name name, column_name name, data_type text
SELECT s.nspname as table_schema, c.relname as table_name, a.attname as column_name, null as data_type FROM pg_class c JOIN pg_namespace s ON c.relnamespace = s.oid AND s.nspname NOT IN ('pg_catalog', 'information_schema') JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped WHERE c.relkind = 'm' OR c.relkind = 'r' AND has_table_privilege(quote_ident(s.nspname) || '.' || quote_ident(c.relname), 'select')

-- redash_ping
-- columns: ?column? int4
SELECT 1

-- sequel_tables
-- columns: relname name
SELECT "relname" FROM "pg_class" INNER JOIN "pg_namespace" ON ("pg_namespace"."oid" = "pg_class"."relnamespace") WHERE (("relkind" IN ('r', 'p')) AND ("nspname" NOT IN ('information_schema')) AND ("nspname" !~ '^pg_'))

-- sequel_schema
-- columns: name name, oid int4, base_oid int4, db_type text, default text, allow_null bool, primary_key bool, typtype char, x bool, attidentity char, generated bool
SELECT "pg_attribute"."attname" AS "name", CAST("pg_attribute"."atttypid" AS integer) AS "oid", CAST("basetype"."oid" AS integer) AS "base_oid", CASE WHEN ("pg_type"."typtype" = 'd') THEN format_type("basetype"."oid", "pg_type"."typtypmod") ELSE format_type("pg_type"."oid", "pg_attribute"."atttypmod") END AS "db_type", pg_get_expr("pg_attrdef"."adbin", "pg_class"."oid") AS "default", NOT "pg_attribute"."attnotnull" AS "allow_null", COALESCE(("pg_attribute"."attnum" = ANY("pg_index"."indkey")), false) AS "primary_key", "pg_type"."typtype", COALESCE("basetype"."typname", "pg_type"."typname") = ANY (ARRAY['int4']) AS "x", "pg_attribute"."attidentity", ("pg_attribute"."attgenerated" != '') AS "generated" FROM "pg_class" INNER JOIN "pg_attribute" ON ("pg_attribute"."attrelid" = "pg_class"."oid") INNER JOIN "pg_type" ON ("pg_type"."oid" = "pg_attribute"."atttypid") LEFT OUTER JOIN "pg_type" AS "basetype" ON ("basetype"."oid" = "pg_type"."typbasetype") LEFT OUTER JOIN "pg_attrdef" ON (("pg_attrdef"."adrelid" = "pg_class"."oid") AND ("pg_attrdef"."adnum" = "pg_attribute"."attnum")) LEFT OUTER JOIN "pg_index" ON (("pg_index"."indrelid" = "pg_class"."oid") AND ("pg_index"."indisprimary" IS TRUE)) WHERE (("pg_attribute"."attisdropped" IS FALSE) AND ("pg_attribute"."attnum" > 0) AND ("pg_class"."oid" = CAST(CAST('"orders"' AS regclass) AS oid))) ORDER BY "pg_attribute"."attnum"

-- sequel_conv
-- columns: oid oid, typname name
SELECT "oid", "typname" FROM "pg_type" WHERE ("typtype" = 'e')

-- sequel_indexes
-- columns: name name, unique bool, column name, deferrable bool
SELECT "indc"."relname" AS "name", "indisunique" AS "unique", "attname" AS "column", "condeferrable" AS "deferrable" FROM "pg_class" AS "tab" INNER JOIN "pg_index" AS "ind" ON ("ind"."indrelid" = "tab"."oid") INNER JOIN "pg_class" AS "indc" ON ("indc"."oid" = "ind"."indexrelid") INNER JOIN "pg_attribute" AS "att" ON (("att"."attrelid" = "tab"."oid") AND ("att"."attnum" = ANY("ind"."indkey"))) LEFT OUTER JOIN "pg_constraint" AS "con" ON ("con"."conname" = "indc"."relname") WHERE (("indc"."relkind" = 'i') AND ("ind"."indisprimary" IS FALSE) AND ("indexprs" IS NULL) AND ("indisvalid" IS TRUE) AND ("tab"."oid" = CAST(CAST('"lineitem"' AS regclass) AS oid))) ORDER BY "indc"."relname", (array_position(CAST("ind"."indkey" AS int2[]), "att"."attnum"))
