//! The catalog tables whose rows come from our catalog and the session. What isn't here and isn't in
//! [`super::statics`] is a relation that PostgreSQL has and we have no rows for.

use std::collections::BTreeSet;

use arrow::array::RecordBatch;
use datafusion::common::Result;

use super::index::{BOOTSTRAP_ROLE_OID, CatalogIndex, DATABASE_OID, PG_CATALOG_OID, Relation};
use super::pg_type::type_info;
use super::provider::{RelationKeys, RelationRows, RowContext};
use super::relations::SystemRelation;
use super::role;
use super::session_info::SessionInfo;
use super::statics::{DESCRIPTIONS, static_table};
use super::value::{Rows, Value};
use crate::session::settings::{Kind, definition, in_unit};
use crate::session::{Backend, Settings};

/// The rows of a table, which are the same for every session over one snapshot.
pub(crate) fn snapshot_table(relation: &'static SystemRelation, index: &CatalogIndex) -> Result<RecordBatch> {
    let rows = Rows::new(relation);
    match relation.name {
        "pg_namespace" => pg_namespace(rows, index),
        "pg_description" => pg_description(rows, index),
        "pg_authid" | "pg_roles" => role::pg_roles(rows, relation.name, index),
        "pg_user" | "pg_shadow" => role::pg_user(rows, relation.name, index),
        "pg_group" => role::pg_group(rows, index),
        "pg_auth_members" => role::pg_auth_members(rows, index),
        "pg_db_role_setting" => role::pg_db_role_setting(rows, index),
        "pg_default_acl" => role::pg_default_acl(rows, index),
        "pg_tablespace" => pg_tablespace(rows),
        "pg_stat_user_tables" | "pg_stat_all_tables" | "pg_stat_sys_tables" => {
            pg_stat_tables(rows, relation.name, index)
        }
        "pg_shdescription" => pg_shdescription(rows, index),
        name => match static_table(name)? {
            Some(table) => Ok(table),
            None => rows.finish(),
        },
    }
}

/// How the rows of a table are made that has some for each relation; `None` for all other tables.
pub(crate) fn relation_rows(name: &str) -> Option<RelationRows> {
    let rows = |push, keep, oid, schema, name| RelationRows { push, keep, keys: RelationKeys { oid, schema, name } };
    match name {
        "pg_class" => Some(rows(pg_class, true, Some("oid"), None, Some("relname"))),
        "pg_attribute" => Some(rows(pg_attribute, true, Some("attrelid"), None, None)),
        "pg_tables" => Some(rows(pg_tables, false, None, Some("schemaname"), Some("tablename"))),
        "pg_views" => Some(rows(pg_views, false, None, Some("schemaname"), Some("viewname"))),
        "pg_matviews" => Some(rows(pg_matviews, false, None, Some("schemaname"), Some("matviewname"))),
        _ => None,
    }
}

/// The rows of a table that differ from session to session; `None` for all other tables.
pub(crate) fn session_table(
    relation: &'static SystemRelation,
    index: &CatalogIndex,
    session: &SessionInfo,
) -> Option<Result<RecordBatch>> {
    let rows = Rows::new(relation);
    match relation.name {
        "pg_database" => Some(pg_database(rows, index, session)),
        "pg_settings" => Some(pg_settings(rows, session)),
        "pg_stat_activity" => Some(pg_stat_activity(rows, index, session)),
        "pg_stat_database" => Some(pg_stat_database(rows, session)),
        "pg_stat_ssl" => Some(pg_stat_ssl(rows, session)),
        _ => None,
    }
}

/// Whether a relation never has rows, which lets the rewrite fold subqueries over it.
pub(crate) fn is_always_empty(name: &str) -> bool {
    const FILLED: [&str; 24] = [
        "pg_group",
        "pg_auth_members",
        "pg_db_role_setting",
        "pg_default_acl",
        "pg_namespace",
        "pg_class",
        "pg_attribute",
        "pg_description",
        "pg_authid",
        "pg_roles",
        "pg_user",
        "pg_shadow",
        "pg_tables",
        "pg_views",
        "pg_matviews",
        "pg_tablespace",
        "pg_stat_user_tables",
        "pg_stat_all_tables",
        "pg_stat_sys_tables",
        "pg_shdescription",
        "pg_database",
        "pg_settings",
        "pg_stat_activity",
        "pg_stat_ssl",
    ];
    !FILLED.contains(&name) && name != "pg_stat_database" && !matches!(static_table(name), Ok(Some(_)) | Err(_))
}

fn pg_namespace(mut rows: Rows, index: &CatalogIndex) -> Result<RecordBatch> {
    for namespace in &index.namespaces {
        rows.push([
            ("oid", namespace.oid.into()),
            ("nspname", namespace.name.as_str().into()),
            ("nspowner", namespace.owner.into()),
            ("nspacl", namespace.acl.clone().into()),
        ]);
    }
    rows.finish()
}

fn pg_class(rows: &mut Rows, context: &RowContext<'_>, relation: &Relation) {
    let view = relation.kind == "v";
    let counts = context.counts.get(&relation.oid);
    rows.push([
        ("oid", relation.oid.into()),
        ("relname", relation.name.as_str().into()),
        ("relnamespace", relation.namespace.into()),
        ("reltype", row_type_oid(relation).into()),
        ("relowner", relation.owner.into()),
        // Access method 2 is heap; views have none.
        ("relam", i32::from(!view).wrapping_mul(2).into()),
        ("relfilenode", if view { 0 } else { relation.oid }.into()),
        // Never analyzed: how many rows there are isn't known without reading files.
        ("reltuples", Value::Float(counts.map_or(-1.0, |counts| counts.row_count as f64))),
        ("relpages", counts.map_or(0, |counts| i32::try_from(counts.page_count).unwrap_or(i32::MAX)).into()),
        ("relpersistence", "p".into()),
        ("relkind", relation.kind.into()),
        ("relnatts", i64::try_from(relation.attributes.len()).unwrap_or(i64::MAX).into()),
        // The rule of a view, or of a materialized one, is its query.
        ("relhasrules", (view || relation.kind == "m").into()),
        ("relispopulated", is_populated(relation).into()),
        ("relacl", relation.acl.clone().into()),
        ("relreplident", if view || relation.namespace == PG_CATALOG_OID { "n" } else { "d" }.into()),
    ]);
}

/// Whether a relation may be read: a materialized view without data may not.
fn is_populated(relation: &Relation) -> bool {
    relation.table().and_then(|table| table.kind.dataset()).is_none_or(|dataset| dataset.is_populated)
}

/// The OID of the type of a relation's rows: clients take relations without one for something else than tables.
fn row_type_oid(relation: &Relation) -> i32 {
    relation.oid.saturating_add(1 << 30)
}

fn pg_attribute(rows: &mut Rows, _: &RowContext<'_>, relation: &Relation) {
    if !rows.count_only(relation.attributes.len()) {
        for (attribute, number) in relation.attributes.iter().zip(1_i32..) {
            let column_type = attribute.column_type;
            let info = type_info(column_type.oid);
            rows.push([
                ("attrelid", relation.oid.into()),
                ("attname", attribute.name.as_str().into()),
                ("atttypid", column_type.oid.into()),
                ("attstattarget", (-1).into()),
                ("attlen", info.map_or(-1, |info| info.length).into()),
                ("attnum", number.into()),
                ("attndims", column_type.dimensions.into()),
                ("attcacheoff", (-1).into()),
                ("atttypmod", column_type.modifier.into()),
                ("attbyval", info.is_some_and(|info| info.by_value).into()),
                ("attalign", info.map_or("i", |info| &info.alignment).into()),
                ("attstorage", info.map_or("x", |info| &info.storage).into()),
                ("attnotnull", attribute.not_null.into()),
                ("attislocal", true.into()),
                ("attcollation", info.map_or(0, |info| info.collation).into()),
            ]);
        }
    }
}

/// The class OID of relations, in `pg_description.classoid`.
const PG_CLASS_CLASS: i32 = 1259;
/// The class OID of schemas.
const PG_NAMESPACE_CLASS: i32 = 2615;

fn pg_description(mut rows: Rows, index: &CatalogIndex) -> Result<RecordBatch> {
    let mut push = |object: i32, class: i32, column: i32, text: &str| {
        rows.push([
            ("objoid", object.into()),
            ("classoid", class.into()),
            ("objsubid", column.into()),
            ("description", text.into()),
        ]);
    };
    for relation in &index.relations {
        if let Some(comment) = &relation.comment {
            push(relation.oid, PG_CLASS_CLASS, 0, comment);
        }
        for (attribute, number) in relation.attributes.iter().zip(1_i32..) {
            if let Some(comment) = &attribute.comment {
                push(relation.oid, PG_CLASS_CLASS, number, comment);
            }
        }
    }
    for namespace in &index.namespaces {
        if let Some(comment) = &namespace.comment {
            push(namespace.oid, PG_NAMESPACE_CLASS, 0, comment);
        }
    }
    let built_in: BTreeSet<_> = DESCRIPTIONS.iter().filter(|((class, ..), _)| *class != PG_NAMESPACE_CLASS).collect();
    for ((class, object, column), text) in built_in {
        push(*object, *class, *column, text);
    }
    rows.finish()
}

/// The comment on an object, by class, OID and column.
pub(crate) fn comment_of(index: &CatalogIndex, class: i32, object: i32, column: i32) -> Option<String> {
    match class {
        PG_CLASS_CLASS => {
            if let Some(relation) =
                index.relation(object).filter(|relation| !relation.system || relation.comment.is_some())
            {
                return match usize::try_from(column).ok()? {
                    0 => relation.comment.clone(),
                    number => relation.attributes.get(number - 1)?.comment.clone(),
                };
            }
        }
        PG_NAMESPACE_CLASS => return index.namespace(object)?.comment.clone(),
        _ => {}
    }
    DESCRIPTIONS.get(&(class, object, column)).cloned()
}

fn pg_tables(rows: &mut Rows, context: &RowContext<'_>, relation: &Relation) {
    if relation.kind == "r" {
        rows.push([
            ("schemaname", relation.schema.as_str().into()),
            ("tablename", relation.name.as_str().into()),
            ("tableowner", owner_name(context.index, relation.owner)),
            ("hasindexes", false.into()),
            ("hasrules", false.into()),
            ("hastriggers", false.into()),
            ("rowsecurity", false.into()),
        ]);
    }
}

fn pg_views(rows: &mut Rows, context: &RowContext<'_>, relation: &Relation) {
    if relation.kind == "v" {
        rows.push([
            ("schemaname", relation.schema.as_str().into()),
            ("viewname", relation.name.as_str().into()),
            ("viewowner", owner_name(context.index, relation.owner)),
            ("definition", relation.view_sql.clone().map(|sql| view_definition(&sql)).into()),
        ]);
    }
}

fn pg_matviews(rows: &mut Rows, context: &RowContext<'_>, relation: &Relation) {
    if let Some(dataset) = relation.table().and_then(|table| table.kind.dataset()) {
        rows.push([
            ("schemaname", relation.schema.as_str().into()),
            ("matviewname", relation.name.as_str().into()),
            ("matviewowner", owner_name(context.index, relation.owner)),
            ("hasindexes", false.into()),
            ("ispopulated", dataset.is_populated.into()),
            ("definition", relation.view_sql.clone().map(|sql| view_definition(&sql)).into()),
        ]);
    }
}

/// A view's query as PostgreSQL hands it out: with a semicolon.
pub(crate) fn view_definition(sql: &str) -> String {
    format!("{};", sql.trim().trim_end_matches(';').trim_end())
}

fn owner_name(index: &CatalogIndex, oid: i32) -> Value {
    index.role(oid).map(|role| role.name.clone()).into()
}

fn pg_tablespace(mut rows: Rows) -> Result<RecordBatch> {
    for (oid, name) in [(1663, "pg_default"), (1664, "pg_global")] {
        rows.push([("oid", oid.into()), ("spcname", name.into()), ("spcowner", BOOTSTRAP_ROLE_OID.into())]);
    }
    rows.finish()
}

fn pg_shdescription(mut rows: Rows, index: &CatalogIndex) -> Result<RecordBatch> {
    role::comments(&mut rows, index);
    rows.push([
        ("objoid", DATABASE_OID.into()),
        ("classoid", 1262.into()),
        ("description", "the Limnos catalog".into()),
    ]);
    rows.finish()
}

fn pg_stat_tables(mut rows: Rows, table: &str, index: &CatalogIndex) -> Result<RecordBatch> {
    for relation in index.relations.iter().filter(|relation| relation.kind == "r") {
        let wanted = match table {
            "pg_stat_user_tables" => !relation.system,
            "pg_stat_sys_tables" => relation.system,
            _ => true,
        };
        if wanted {
            rows.push([
                ("relid", relation.oid.into()),
                ("schemaname", relation.schema.as_str().into()),
                ("relname", relation.name.as_str().into()),
            ]);
        }
    }
    rows.finish()
}

fn pg_database(mut rows: Rows, index: &CatalogIndex, session: &SessionInfo) -> Result<RecordBatch> {
    rows.push([
        ("oid", DATABASE_OID.into()),
        ("datname", session.catalog_name.as_str().into()),
        ("datdba", index.lake_owner.into()),
        ("datacl", index.lake_acl.clone().into()),
        // 6 is UTF8.
        ("encoding", 6.into()),
        ("datlocprovider", "c".into()),
        ("datallowconn", true.into()),
        ("datconnlimit", (-1).into()),
        ("dattablespace", 1663.into()),
        // Strings compare by their bytes.
        ("datcollate", "C".into()),
        ("datctype", "C.UTF-8".into()),
    ]);
    rows.finish()
}

fn pg_settings(mut rows: Rows, session: &SessionInfo) -> Result<RecordBatch> {
    let defaults = Settings::default();
    for (name, value, description) in session.settings.all() {
        let default = defaults.show(&name).unwrap_or_default();
        let changed = value != default;
        let definition = definition(&name);
        let kind = definition.map_or(Kind::Text, |definition| definition.kind);
        let (vartype, min, max) = match kind {
            Kind::Boolean | Kind::OnlyOn => ("bool", None, None),
            Kind::Integer { min, max } => ("integer", Some(min.to_string()), Some(max.to_string())),
            Kind::Milliseconds => ("integer", Some("0".to_owned()), Some(i32::MAX.to_string())),
            Kind::Memory => ("integer", Some("64".to_owned()), Some(i32::MAX.to_string())),
            Kind::Real { min, max } => ("real", Some(min.to_string()), Some(format!("{max:e}"))),
            Kind::Choice(_) => ("enum", None, None),
            _ => ("string", None, None),
        };
        let unit = match kind {
            Kind::Milliseconds => Some("ms"),
            Kind::Memory => Some("kB"),
            _ => None,
        };
        let choices: Option<Vec<String>> = match kind {
            Kind::Choice(choices) => Some(choices.iter().map(|choice| (*choice).to_owned()).collect()),
            _ => None,
        };
        let category = match &definition {
            None => "Customized Options",
            Some(definition) if definition.read_only => "Preset Options",
            Some(_) => "Client Connection Defaults",
        };
        let read_only = definition.is_some_and(|definition| definition.read_only);
        // Where there is a unit the number is in it: `5s` is 5000.
        let plain = |value: &str| in_unit(kind, value);
        rows.push([
            ("name", name.as_str().into()),
            ("setting", plain(&value).into()),
            ("unit", unit.into()),
            ("category", category.into()),
            ("short_desc", description.into()),
            ("context", if read_only { "internal" } else { "user" }.into()),
            ("vartype", vartype.into()),
            ("source", if changed { "session" } else { "default" }.into()),
            ("min_val", min.into()),
            ("max_val", max.into()),
            ("enumvals", choices.into()),
            ("boot_val", plain(&default).into()),
            ("reset_val", plain(&default).into()),
            ("pending_restart", false.into()),
        ]);
    }
    rows.finish()
}

fn pg_stat_activity(mut rows: Rows, index: &CatalogIndex, session: &SessionInfo) -> Result<RecordBatch> {
    let own = || Backend {
        pid: session.backend_pid,
        user: session.user.clone(),
        application_name: session.settings.application_name().to_owned(),
        client_address: session.client_address,
        started_at_us: session.session_started_at_us,
        state: "active",
        state_since_us: session.session_started_at_us,
        query: None,
    };
    let backends = session.backends.0.as_ref().map_or_else(|| vec![own()], |backends| backends.list());
    for backend in backends {
        // As in PostgreSQL, others see that there is a connection, not what it does.
        let may_see = backend.user == session.user || session.is_superuser();
        let seen = |value: Value| if may_see { value } else { Value::Null };
        let (query, query_start) = backend.query.unzip();
        let query = if may_see { query.unwrap_or_default() } else { "<insufficient privilege>".to_owned() };
        rows.push([
            ("datid", DATABASE_OID.into()),
            ("datname", session.catalog_name.as_str().into()),
            ("pid", backend.pid.into()),
            ("usesysid", index.role_named(&backend.user).map(|role| role.oid).into()),
            ("usename", backend.user.as_str().into()),
            ("application_name", backend.application_name.into()),
            ("client_addr", seen(backend.client_address.map(|address| address.ip().to_string()).into())),
            ("client_port", seen(backend.client_address.map(|address| i32::from(address.port())).into())),
            ("backend_start", seen(Value::Timestamp(backend.started_at_us))),
            ("query_start", seen(query_start.map_or(Value::Null, Value::Timestamp))),
            ("state_change", seen(Value::Timestamp(backend.state_since_us))),
            ("wait_event_type", seen(if backend.state == "active" { Value::Null } else { "Client".into() })),
            ("wait_event", seen(if backend.state == "active" { Value::Null } else { "ClientRead".into() })),
            ("state", seen(backend.state.into())),
            ("query", query.into()),
            ("backend_type", "client backend".into()),
        ]);
    }
    rows.finish()
}

/// As `pg_stat_activity`, a session sees itself alone.
fn pg_stat_ssl(mut rows: Rows, session: &SessionInfo) -> Result<RecordBatch> {
    let tls = session.encryption.as_deref();
    let client = tls.and_then(|tls| tls.client.as_ref());
    rows.push([
        ("pid", session.backend_pid.into()),
        ("ssl", tls.is_some().into()),
        ("version", tls.map(|tls| tls.version.to_owned()).into()),
        ("cipher", tls.map(|tls| tls.cipher.to_owned()).into()),
        ("bits", tls.map(|tls| tls.bits).into()),
        ("client_dn", client.map(|client| client.subject.clone()).into()),
        ("issuer_dn", client.map(|client| client.issuer.clone()).into()),
    ]);
    rows.finish()
}

fn pg_stat_database(mut rows: Rows, session: &SessionInfo) -> Result<RecordBatch> {
    rows.push([("datid", DATABASE_OID.into()), ("datname", session.catalog_name.as_str().into())]);
    rows.finish()
}
