//! [`Role`]: who may log in, and whom rights are given to. Names keep their case, as in PostgreSQL.
//!
//! Roles of a server's configuration are not here; the engine and the server know them beside the catalog's.

use std::collections::{BTreeMap, BTreeSet};

use crate::name::NAME_BYTES_MAX;
use crate::object::{Definition, Object, Objects};
use crate::{Error, Result, Snapshot, role_record};

/// The superuser that every server has, as PostgreSQL's `postgres`: what belongs to nobody belongs to it.
pub const BOOTSTRAP_ROLE: &str = "limnos";

/// The most roles: each snapshot holds all of them.
pub(crate) const ROLE_COUNT_MAX: usize = 10_000;

/// The most bytes that a role's texts may have, each.
const TEXT_BYTES_MAX: usize = 4096;

/// `VALID UNTIL 'infinity'`.
pub const VALID_FOR_EVER: i64 = i64::MAX;

/// Roles that are there without being made, for what only superusers may do otherwise
/// (<https://www.postgresql.org/docs/15/predefined-roles.html>).
pub const PREDEFINED_ROLES: [&str; 12] = [
    "pg_checkpoint",
    "pg_database_owner",
    "pg_execute_server_program",
    "pg_monitor",
    "pg_read_all_data",
    "pg_read_all_settings",
    "pg_read_all_stats",
    "pg_read_server_files",
    "pg_signal_backend",
    "pg_stat_scan_tables",
    "pg_write_all_data",
    "pg_write_server_files",
];

/// How one role is in another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// WITH ADMIN OPTION: may give it on.
    pub admin: bool,
    /// Who gave it.
    pub grantor: String,
}

/// Everything that was said of a role.
#[derive(Clone, PartialEq, Eq)]
pub struct RoleDefinition {
    /// LOGIN.
    pub can_login: bool,
    /// SUPERUSER: nothing is asked.
    pub superuser: bool,
    /// CREATEDB.
    pub create_db: bool,
    /// CREATEROLE.
    pub create_role: bool,
    /// INHERIT: has what the roles have that it is in, without SET ROLE.
    pub inherit: bool,
    /// REPLICATION: kept and shown; there is nothing to replicate.
    pub replication: bool,
    /// BYPASSRLS: kept and shown.
    pub bypass_rls: bool,
    /// CONNECTION LIMIT; `None` is none.
    pub connection_limit: Option<u32>,
    /// VALID UNTIL, of the password: microseconds since 1970. [`VALID_FOR_EVER`] is infinity.
    pub valid_until_us: Option<i64>,
    /// `SCRAM-SHA-256$...`; without one nobody can log in by password.
    pub verifier: Option<String>,
    /// The text of `COMMENT`.
    pub comment: Option<String>,
    /// `ALTER ROLE .. SET`: what sessions begin with.
    pub settings: BTreeMap<String, String>,
    /// The roles that it is in.
    pub member_of: BTreeMap<String, Membership>,
}

impl Default for RoleDefinition {
    fn default() -> Self {
        Self {
            can_login: false,
            superuser: false,
            create_db: false,
            create_role: false,
            inherit: true,
            replication: false,
            bypass_rls: false,
            connection_limit: None,
            valid_until_us: None,
            verifier: None,
            comment: None,
            settings: BTreeMap::new(),
            member_of: BTreeMap::new(),
        }
    }
}

/// Doesn't show the verifier: its holder could guess passwords offline.
impl std::fmt::Debug for RoleDefinition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RoleDefinition")
            .field("can_login", &self.can_login)
            .field("superuser", &self.superuser)
            .field("member_of", &self.member_of)
            .finish_non_exhaustive()
    }
}

/// A role as it is in one [`Snapshot`].
pub type Role = Object<RoleDefinition>;

impl Definition for RoleDefinition {
    const KIND: &'static str = "role";

    fn validate(&self) -> Result<()> {
        let texts = self.comment.iter().chain(&self.verifier).chain(self.settings.values());
        if texts.into_iter().any(|text| text.len() > TEXT_BYTES_MAX) {
            let message = format!("a text of the role has more than {TEXT_BYTES_MAX} bytes");
            return Err(Error::Invalid { message, hint: None });
        }
        Ok(())
    }

    fn encode(&self) -> Result<String> {
        role_record::encode_role(self)
    }

    fn decode(text: &str) -> Result<Self> {
        role_record::decode_role(text)
    }

    fn objects(snapshot: &Snapshot) -> &Objects<Self> {
        &snapshot.roles
    }

    fn objects_mut(snapshot: &mut Snapshot) -> &mut Objects<Self> {
        &mut snapshot.roles
    }
}

/// Checks the name of a role that is to be made.
pub(crate) fn validate_role_name(name: &str) -> Result<()> {
    let invalid = |message: String, hint: Option<&str>| Err(Error::Invalid { message, hint: hint.map(str::to_owned) });
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
        return invalid(format!("role name {name:?} is empty, too long or holds control characters"), None);
    }
    if name.starts_with("pg_") {
        return Err(Error::Reserved {
            message: format!("role name \"{name}\" is reserved"),
            detail: Some("Role names starting with \"pg_\" are reserved.".to_owned()),
        });
    }
    if matches!(name, "public" | "none") {
        return Err(Error::Reserved { message: format!("role name \"{name}\" is reserved"), detail: None });
    }
    Ok(())
}

impl Snapshot {
    /// The roles that `role` is in, directly or through others, itself included. With `inherited` only those whose rights it
    /// has without SET ROLE.
    pub fn roles_of(&self, role: &str, inherited: bool) -> BTreeSet<String> {
        let mut found = BTreeSet::from([role.to_owned()]);
        let mut open = vec![role.to_owned()];
        while let Some(name) = open.pop() {
            let Some(member) = self.roles.get(&name) else {
                // PostgreSQL's pg_monitor is in three others.
                if name == "pg_monitor" {
                    found.extend(
                        ["pg_read_all_settings", "pg_read_all_stats", "pg_stat_scan_tables"].map(str::to_owned),
                    );
                }
                continue;
            };
            if inherited && !member.inherit {
                continue;
            }
            open.extend(member.member_of.keys().filter(|group| found.insert((*group).clone())).cloned());
        }
        found
    }

    /// Whether `role` may let others into `group`, for being in it with ADMIN OPTION, or in a role that is.
    pub fn is_admin_of(&self, role: &str, group: &str) -> bool {
        self.roles_of(role, false)
            .iter()
            .filter_map(|name| self.roles.get(name))
            .any(|member| member.member_of.get(group).is_some_and(|membership| membership.admin))
    }

    /// What `role` owns and what it has rights on, for people: the reasons why it can't be dropped.
    pub fn dependents_of(&self, role: &str) -> Vec<String> {
        let mut found = Vec::new();
        for table in self.tables.values().filter(|table| table.owner == role) {
            found.push(format!("owner of {} {}", table.kind.noun(), table.name));
        }
        for crawler in self.crawlers.values().filter(|crawler| crawler.owner == role) {
            found.push(format!("owner of crawler {}", crawler.name));
        }
        for report in self.reports.values().filter(|report| report.owner == role) {
            found.push(format!("owner of report {}", report.name));
        }
        for schedule in self.schedules.values().filter(|schedule| schedule.owner == role) {
            found.push(format!("owner of schedule {}", schedule.name));
        }
        let has = |items: &Option<Vec<crate::AclItem>>| {
            items.iter().flatten().any(|item| item.grantee.as_deref() == Some(role) || item.grantor == role)
        };
        for database in self.databases.values() {
            let Some(acl) = self.acls.get(&database.id) else { continue };
            if acl.owner.as_deref() == Some(role) {
                found.push(format!("owner of schema {}", database.name));
            } else if has(&acl.items) {
                found.push(format!("privileges for schema {}", database.name));
            }
        }
        for table in self.tables.values().filter(|table| table.owner != role) {
            if self.acls.get(&table.id).is_some_and(|acl| has(&acl.items)) {
                found.push(format!("privileges for {} {}", table.kind.noun(), table.name));
            }
        }
        if let Some(lake) = self.acls.get(&LAKE_ID) {
            if has(&lake.items) {
                found.push("privileges for the database".to_owned());
            }
            for default in &lake.defaults {
                let of = format!("default privileges on new relations belonging to role {}", default.role);
                if default.role == role {
                    found.push(format!("owner of {of}"));
                } else if has(&Some(default.items.clone())) {
                    found.push(format!("privileges for {of}"));
                }
            }
        }
        found
    }
}

/// The key of the lake's own rights: no object has this id.
pub const LAKE_ID: i64 = 0;
