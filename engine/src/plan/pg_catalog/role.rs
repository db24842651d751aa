//! The catalog tables about roles and rights: who there is, who is in which, who may do what with objects.

use arrow::array::RecordBatch;
use datafusion::common::Result;
use limnos_catalog::role::{LAKE_ID, PREDEFINED_ROLES, VALID_FOR_EVER};
use limnos_catalog::{AclItem, AclKind, Snapshot};

use super::index::{CatalogIndex, Role};
use super::session_info::RoleInfo;
use super::value::{Rows, Value};

/// The OIDs that PostgreSQL's predefined roles have everywhere, in the order of [`PREDEFINED_ROLES`].
const PREDEFINED_OIDS: [i32; 12] = [4544, 6171, 4571, 3373, 6181, 3374, 3375, 4569, 4200, 3377, 6182, 4570];

/// The predefined roles, with their OIDs.
pub(super) fn predefined() -> impl Iterator<Item = Role> {
    PREDEFINED_ROLES.into_iter().zip(PREDEFINED_OIDS).map(|(name, oid)| {
        let mut info = RoleInfo::new(0, name);
        if name == "pg_monitor" {
            let groups = ["pg_read_all_settings", "pg_read_all_stats", "pg_stat_scan_tables"];
            info.member_of = groups.into_iter().map(|group| (group.to_owned(), false, "limnos".to_owned())).collect();
        }
        Role { oid, name: name.to_owned(), superuser: false, login: false, info }
    })
}

/// What was granted on the object of this id, as PostgreSQL writes it; `None` where nothing was.
pub(super) fn acl(snapshot: &Snapshot, id: i64) -> Option<Vec<String>> {
    let items = snapshot.acls.get(&id)?.items.as_ref()?;
    Some(texts(items))
}

fn texts(items: &[AclItem]) -> Vec<String> {
    items.iter().map(ToString::to_string).collect()
}

/// The owner of a database, as the catalog has it.
pub(super) fn database_owner(snapshot: &Snapshot, id: i64) -> Option<&str> {
    snapshot.acls.get(&id)?.owner.as_deref()
}

/// A row of `pg_default_acl`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DefaultAcl {
    role: String,
    database: Option<i64>,
    kind: &'static str,
    items: Vec<String>,
}

/// What ALTER DEFAULT PRIVILEGES has said.
pub(super) fn defaults(snapshot: &Snapshot) -> Vec<DefaultAcl> {
    let lake = snapshot.acls.get(&LAKE_ID);
    let defaults = lake.into_iter().flat_map(|lake| &lake.defaults);
    defaults
        .map(|default| DefaultAcl {
            role: default.role.clone(),
            database: default.database,
            kind: if default.kind == AclKind::Table { "r" } else { "n" },
            items: texts(&default.items),
        })
        .collect()
}

fn valid_until(info: &RoleInfo) -> Value {
    // A time stamp has no room for infinity here.
    match info.valid_until_us {
        Some(VALID_FOR_EVER) | None => Value::Null,
        Some(until) => Value::Timestamp(until),
    }
}

fn settings(info: &RoleInfo) -> Option<Vec<String>> {
    let pairs: Vec<String> = info.settings.iter().map(|(name, value)| format!("{name}={value}")).collect();
    (!pairs.is_empty()).then_some(pairs)
}

fn list(texts: Option<Vec<String>>) -> Value {
    texts.map_or(Value::Null, Value::from)
}

/// `pg_roles` and `pg_authid`.
pub(super) fn pg_roles(mut rows: Rows, table: &str, index: &CatalogIndex) -> Result<RecordBatch> {
    for role in &index.roles {
        let info = &role.info;
        let password = match (table, info.has_password) {
            ("pg_roles", _) => "********".into(),
            // Verifiers are nowhere to be read, not even by superusers: their holders could guess passwords.
            (_, true) => "SCRAM-SHA-256$********".into(),
            (_, false) => Value::Null,
        };
        let row = [
            ("oid", role.oid.into()),
            ("rolname", role.name.as_str().into()),
            ("rolsuper", role.superuser.into()),
            ("rolinherit", info.inherit.into()),
            ("rolcreaterole", info.create_role.into()),
            ("rolcreatedb", info.create_db.into()),
            ("rolcanlogin", role.login.into()),
            ("rolreplication", info.replication.into()),
            ("rolbypassrls", info.bypass_rls.into()),
            ("rolconnlimit", info.connection_limit.map_or(-1, |limit| i32::try_from(limit).unwrap_or(i32::MAX)).into()),
            ("rolpassword", password),
            ("rolvaliduntil", valid_until(info)),
        ];
        if table == "pg_roles" {
            let config = [("rolconfig", list(settings(info)))];
            let [oid, name, superuser, inherit, role, db, login, replication, bypass, limit, password, valid] = row;
            let [config] = config;
            rows.push([
                oid,
                name,
                superuser,
                inherit,
                role,
                db,
                login,
                replication,
                bypass,
                limit,
                password,
                valid,
                config,
            ]);
        } else {
            rows.push(row);
        }
    }
    rows.finish()
}

/// `pg_user` and `pg_shadow`.
pub(super) fn pg_user(mut rows: Rows, table: &str, index: &CatalogIndex) -> Result<RecordBatch> {
    for role in index.roles.iter().filter(|role| role.login) {
        let info = &role.info;
        let password = match (table, info.has_password) {
            ("pg_user", _) => "********".into(),
            (_, true) => "SCRAM-SHA-256$********".into(),
            (_, false) => Value::Null,
        };
        rows.push([
            ("usename", role.name.as_str().into()),
            ("usesysid", role.oid.into()),
            ("usecreatedb", info.create_db.into()),
            ("usesuper", role.superuser.into()),
            ("userepl", info.replication.into()),
            ("usebypassrls", info.bypass_rls.into()),
            ("passwd", password),
            ("valuntil", valid_until(info)),
            ("useconfig", list(settings(info))),
        ]);
    }
    rows.finish()
}

/// `pg_group`: roles that can't log in, with who is in them.
pub(super) fn pg_group(mut rows: Rows, index: &CatalogIndex) -> Result<RecordBatch> {
    for group in index.roles.iter().filter(|role| !role.login) {
        let members: Vec<Value> = index
            .roles
            .iter()
            .filter(|role| role.info.member_of.iter().any(|(name, ..)| *name == group.name))
            .map(|role| role.oid.into())
            .collect();
        rows.push([
            ("groname", group.name.as_str().into()),
            ("grosysid", group.oid.into()),
            ("grolist", Value::List(members)),
        ]);
    }
    rows.finish()
}

pub(super) fn pg_auth_members(mut rows: Rows, index: &CatalogIndex) -> Result<RecordBatch> {
    for member in &index.roles {
        for (group, admin, grantor) in &member.info.member_of {
            let Some(group) = index.role_named(group) else { continue };
            rows.push([
                ("roleid", group.oid.into()),
                ("member", member.oid.into()),
                ("grantor", index.role_named(grantor).map_or(10, |role| role.oid).into()),
                ("admin_option", (*admin).into()),
            ]);
        }
    }
    rows.finish()
}

pub(super) fn pg_db_role_setting(mut rows: Rows, index: &CatalogIndex) -> Result<RecordBatch> {
    for role in &index.roles {
        if let Some(settings) = settings(&role.info) {
            rows.push([("setdatabase", 0.into()), ("setrole", role.oid.into()), ("setconfig", list(Some(settings)))]);
        }
    }
    rows.finish()
}

pub(super) fn pg_default_acl(mut rows: Rows, index: &CatalogIndex) -> Result<RecordBatch> {
    for (number, default) in (1..).zip(&index.defaults) {
        let namespace = default.database.and_then(|id| index.namespace_of_database(id)).unwrap_or(0);
        rows.push([
            ("oid", (15_000 + number).into()),
            ("defaclrole", index.role_named(&default.role).map_or(10, |role| role.oid).into()),
            ("defaclnamespace", namespace.into()),
            ("defaclobjtype", default.kind.into()),
            ("defaclacl", list(Some(default.items.clone()))),
        ]);
    }
    rows.finish()
}

/// Comments on roles, for `pg_shdescription`.
pub(super) fn comments(rows: &mut Rows, index: &CatalogIndex) {
    for role in &index.roles {
        if let Some(comment) = &role.info.comment {
            rows.push([
                ("objoid", role.oid.into()),
                ("classoid", 1260.into()),
                ("description", comment.as_str().into()),
            ]);
        }
    }
}
