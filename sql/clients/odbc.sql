-- What psqlODBC asks of the catalogs, written after what it does, with the columns and types that PostgreSQL 15 answers.
-- One statement a block; replayed by tests/e2e/recorded.rs.

-- tables
-- columns: relname name, nspname name, relkind char
select relname, nspname, relkind from pg_catalog.pg_class c, pg_catalog.pg_namespace n where relkind in ('r', 'v', 'm', 'f', 'p') and nspname not in ('pg_catalog', 'information_schema', 'pg_toast', 'pg_temp_1') and n.oid = relnamespace order by nspname, relname

-- columns
-- columns: nspname name, relname name, attname name, atttypid oid, typname name, attnum int2, attlen int2, atttypmod int4, attnotnull bool, relhasrules bool, relkind char, oid oid, pg_get_expr text, case oid, typtypmod int4, ?column? int4, attidentity char, relhassubclass bool
select n.nspname, c.relname, a.attname, a.atttypid, t.typname, a.attnum, a.attlen, a.atttypmod, a.attnotnull, c.relhasrules, c.relkind, c.oid, pg_get_expr(d.adbin, d.adrelid), case t.typtype when 'd' then t.typbasetype else 0 end, t.typtypmod, 0, attidentity, c.relhassubclass from (((pg_catalog.pg_class c inner join pg_catalog.pg_namespace n on n.oid = c.relnamespace and c.relname like E'lineitem' and n.nspname like E'public') inner join pg_catalog.pg_attribute a on (not a.attisdropped) and a.attnum > 0 and a.attrelid = c.oid) inner join pg_catalog.pg_type t on t.oid = a.atttypid) left outer join pg_attrdef d on a.atthasdef and d.adrelid = a.attrelid and d.adnum = a.attnum order by n.nspname, c.relname, attnum

-- primary_keys
-- columns: attname name, attnum int2, relname name, nspname name, relname name
select ta.attname, ia.attnum, ic.relname, n.nspname, tc.relname from pg_catalog.pg_attribute ta, pg_catalog.pg_attribute ia, pg_catalog.pg_class tc, pg_catalog.pg_index i, pg_catalog.pg_namespace n, pg_catalog.pg_class ic where tc.relname = E'lineitem' AND n.nspname = E'public' AND tc.oid = i.indrelid AND n.oid = tc.relnamespace AND i.indisprimary = 't' AND ia.attrelid = i.indexrelid AND ta.attrelid = i.indrelid AND ta.attnum = i.indkey[ia.attnum-1] AND (NOT ta.attisdropped) AND (NOT ia.attisdropped) AND ic.oid = i.indexrelid order by ia.attnum

-- statistics
-- columns: relname name, indkey int2vector, indisunique bool, indisclustered bool, amname name, relhasrules bool, nspname name, oid oid, case int4
select c.relname, i.indkey, i.indisunique, i.indisclustered, a.amname, c.relhasrules, n.nspname, c.oid, case when relhasoids then 1 else 0 end from (select oid, relname, relhasrules, relnamespace, relam, false as relhasoids from pg_catalog.pg_class) c, pg_catalog.pg_index i, pg_catalog.pg_class d, pg_catalog.pg_am a, pg_catalog.pg_namespace n where d.relname = 'lineitem' and n.nspname = 'public' and n.oid = d.relnamespace and d.oid = i.indrelid and i.indexrelid = c.oid and c.relam = a.oid order by i.indisprimary desc, i.indisunique, n.nspname, c.relname

-- procedures
-- columns: proname name, proretset bool, prorettype oid, pronargs int2, proargtypes oidvector, nspname name, oid oid, atttypid oid, attname name, proargnames _text, proargmodes _char, proallargtypes _oid
select proname, proretset, prorettype, pronargs, proargtypes, nspname, p.oid, atttypid, attname, proargnames, proargmodes, proallargtypes from ((pg_catalog.pg_namespace n inner join pg_catalog.pg_proc p on p.pronamespace = n.oid) inner join pg_type t on t.oid = p.prorettype) left outer join pg_attribute a on a.attrelid = t.typrelid and attnum > 0 and not attisdropped where has_function_privilege(p.oid, 'EXECUTE') and nspname like E'public' and (not proretset) order by nspname, proname, p.oid, attnum

-- typname
-- columns: typname name
select typname from pg_type where oid = 1043

-- lo
-- columns: oid oid, typbasetype oid
select oid, typbasetype from pg_type where typname = 'lo'

-- privileges
-- columns: relname name, usename name, relacl _aclitem, nspname name
select relname, usename, relacl, nspname from pg_catalog.pg_namespace, pg_catalog.pg_class, pg_catalog.pg_user where relkind in ('r', 'v') and relnamespace = pg_catalog.pg_namespace.oid and pg_catalog.pg_user.usesysid = pg_catalog.pg_class.relowner and nspname = 'public' order by relname
