//! What a text says about roles and rights, before any name is looked up: [`RoleStatement`].

use std::fmt;

use limnos_catalog::{AclKind, Privileges};

use crate::parse::ObjectName;

/// A role as statements name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoleName {
    /// Unquoted names are in lower case.
    Named(String),
    /// CURRENT_USER, CURRENT_ROLE.
    Current,
    /// SESSION_USER.
    Session,
    /// PUBLIC, where everyone may be meant.
    Public,
}

/// A password as it was written, in clear or as a verifier; shown to nobody.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(pub String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("********")
    }
}

/// What CREATE ROLE and ALTER ROLE say; `None` where they don't.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoleOptions {
    pub can_login: Option<bool>,
    pub superuser: Option<bool>,
    pub create_db: Option<bool>,
    pub create_role: Option<bool>,
    pub inherit: Option<bool>,
    pub replication: Option<bool>,
    pub bypass_rls: Option<bool>,
    /// -1 is no limit.
    pub connection_limit: Option<i64>,
    /// `Some(None)` is PASSWORD NULL.
    pub password: Option<Option<Password>>,
    pub valid_until: Option<String>,
    /// IN ROLE.
    pub member_of: Vec<RoleName>,
    /// ROLE, USER.
    pub members: Vec<RoleName>,
    /// ADMIN.
    pub admins: Vec<RoleName>,
}

/// What GRANT and REVOKE are about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GrantObjects {
    Tables(Vec<ObjectName>),
    AllTablesIn(Vec<String>),
    Schemas(Vec<String>),
    /// Ours, or the one that PostgreSQL's clients see.
    Databases(Vec<String>),
    /// Kinds of which there is nothing in a schema: ALL SEQUENCES, ALL FUNCTIONS.
    NothingIn(Vec<String>),
}

/// GRANT or REVOKE of privileges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantStatement {
    pub revoke: bool,
    /// `None` is ALL.
    pub privileges: Option<Privileges>,
    /// The privileges as written, for messages.
    pub words: Vec<String>,
    pub grantees: Vec<RoleName>,
    /// WITH GRANT OPTION, GRANT OPTION FOR.
    pub option: bool,
    pub cascade: bool,
}

/// A statement about roles or rights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoleStatement {
    Create {
        name: RoleName,
        options: RoleOptions,
    },
    Alter {
        role: RoleName,
        options: RoleOptions,
    },
    /// ALTER GROUP g ADD | DROP USER u, and GRANT | REVOKE g TO | FROM u.
    Membership {
        revoke: bool,
        roles: Vec<RoleName>,
        members: Vec<RoleName>,
        admin: bool,
        cascade: bool,
    },
    /// ALTER ROLE r SET n = v; no name is RESET ALL, no values RESET n.
    Setting {
        role: RoleName,
        name: Option<String>,
        values: Option<Vec<String>>,
    },
    Rename {
        name: RoleName,
        to: RoleName,
    },
    Drop {
        roles: Vec<RoleName>,
        if_exists: bool,
    },
    Grant {
        objects: GrantObjects,
        grant: GrantStatement,
    },
    DefaultPrivileges {
        roles: Vec<RoleName>,
        schemas: Vec<String>,
        kind: Option<AclKind>,
        grant: GrantStatement,
    },
    ReassignOwned {
        from: Vec<RoleName>,
        to: RoleName,
    },
    DropOwned {
        roles: Vec<RoleName>,
    },
    /// SET ROLE; `None` is NONE.
    SetRole {
        role: Option<String>,
        local: bool,
    },
    /// SET SESSION AUTHORIZATION; `None` is DEFAULT.
    SetSession {
        role: Option<String>,
        local: bool,
    },
    /// ALTER SCHEMA | DATABASE d OWNER TO r.
    DatabaseOwner {
        database: String,
        to: RoleName,
    },
    /// COMMENT ON ROLE.
    Comment {
        role: RoleName,
        text: Option<String>,
    },
}

impl RoleStatement {
    /// The word of PostgreSQL's CommandComplete.
    pub fn tag(&self) -> &'static str {
        match self {
            Self::Create { .. } => "CREATE ROLE",
            Self::Alter { .. } | Self::Setting { .. } | Self::Rename { .. } => "ALTER ROLE",
            Self::Membership { revoke: false, .. } => "GRANT ROLE",
            Self::Membership { revoke: true, .. } => "REVOKE ROLE",
            Self::Drop { .. } => "DROP ROLE",
            Self::Grant { grant, .. } if grant.revoke => "REVOKE",
            Self::Grant { .. } => "GRANT",
            Self::DefaultPrivileges { .. } => "ALTER DEFAULT PRIVILEGES",
            Self::ReassignOwned { .. } => "REASSIGN OWNED",
            Self::DropOwned { .. } => "DROP OWNED",
            Self::SetRole { role: None, .. } | Self::SetRole { .. } | Self::SetSession { .. } => "SET",
            Self::DatabaseOwner { .. } => "ALTER SCHEMA",
            Self::Comment { .. } => "COMMENT",
        }
    }
}
