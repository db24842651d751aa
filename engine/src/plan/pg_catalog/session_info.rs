//! [`SessionInfo`]: what the catalogs and their functions need to know of who asks.

use std::net::SocketAddr;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use crate::session::{BackendsHandle, Settings};

/// A role as `pg_roles` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleInfo {
    /// Never reused. 0 is the bootstrap superuser, whose OID is 10 in every PostgreSQL.
    pub id: i64,
    pub name: String,
    pub superuser: bool,
    pub login: bool,
    pub create_db: bool,
    pub create_role: bool,
    pub inherit: bool,
    pub replication: bool,
    pub bypass_rls: bool,
    pub connection_limit: Option<u32>,
    pub valid_until_us: Option<i64>,
    pub has_password: bool,
    pub comment: Option<String>,
    /// Names and values.
    pub settings: Vec<(String, String)>,
    /// The roles it is in, whether it may let others in, and who let it in.
    pub member_of: Vec<(String, bool, String)>,
}

impl RoleInfo {
    /// A role of which nothing was said.
    pub fn new(id: i64, name: &str) -> Self {
        Self {
            id,
            name: name.to_owned(),
            superuser: false,
            login: false,
            create_db: false,
            create_role: false,
            inherit: true,
            replication: false,
            bypass_rls: false,
            connection_limit: None,
            valid_until_us: None,
            has_password: false,
            comment: None,
            settings: Vec::new(),
            member_of: Vec::new(),
        }
    }

    /// A superuser that can log in.
    pub fn superuser(id: i64, name: &str) -> Self {
        let role = Self::new(id, name);
        Self { superuser: true, login: true, create_db: true, create_role: true, bypass_rls: true, ..role }
    }
}

/// One of our own tables outside the catalog's databases, such as those of schema `system`.
#[derive(Debug, Clone)]
pub struct SystemTable {
    pub schema: String,
    pub name: String,
    pub columns: SchemaRef,
    pub comment: Option<String>,
}

impl PartialEq for SystemTable {
    fn eq(&self, other: &Self) -> bool {
        self.schema == other.schema
            && self.name == other.name
            && self.columns == other.columns
            && self.comment == other.comment
    }
}

/// Who asks, from where, with which settings.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionInfo {
    /// `current_user`.
    pub user: String,
    /// `session_user`.
    pub session_user: String,
    /// `current_database()`.
    pub catalog_name: String,
    /// Our database that unqualified names are looked up in first; `default` is shown as `public`.
    pub database: String,
    /// `pg_backend_pid()`.
    pub backend_pid: i32,
    /// `inet_client_addr()`; `None` for in-process sessions.
    pub client_address: Option<SocketAddr>,
    /// For `pg_stat_ssl`.
    pub encryption: Option<Arc<crate::session::Encryption>>,
    /// `inet_server_addr()`.
    pub server_address: Option<SocketAddr>,
    /// When the server started, microseconds since 1970, for `pg_postmaster_start_time()`.
    pub server_started_at_us: i64,
    /// When the session started, likewise, for `pg_stat_activity`.
    pub session_started_at_us: i64,
    /// What `version()` says.
    pub version: String,
    /// All that SHOW knows.
    pub settings: Settings,
    /// All roles. The session's own is added if it is missing.
    pub roles: Arc<[RoleInfo]>,
    /// The server's connections.
    pub backends: BackendsHandle,
    /// Our tables outside the catalog.
    pub system_tables: Arc<[SystemTable]>,
}

impl SessionInfo {
    /// A session that knows nothing but its names.
    pub fn new(user: impl Into<String>, catalog_name: impl Into<String>, database: impl Into<String>) -> Self {
        let user = user.into();
        Self {
            session_user: user.clone(),
            user,
            catalog_name: catalog_name.into(),
            database: database.into(),
            backend_pid: 0,
            client_address: None,
            encryption: None,
            server_address: None,
            server_started_at_us: 0,
            session_started_at_us: 0,
            version: concat!("PostgreSQL 15.0 (Limnos ", env!("CARGO_PKG_VERSION"), ")").to_owned(),
            settings: Settings::default(),
            roles: Arc::default(),
            backends: BackendsHandle::default(),
            system_tables: Arc::default(),
        }
    }

    /// Whether everything is allowed to the session's role.
    pub fn is_superuser(&self) -> bool {
        self.settings.show("is_superuser").is_ok_and(|value| value == "on")
    }

    /// The schema that unqualified names are looked up in first.
    pub fn current_schema(&self) -> &str {
        shown_schema(&self.database)
    }
}

/// Our first database is `default`, a reserved word in PostgreSQL; its clients see `public`.
pub fn shown_schema(database: &str) -> &str {
    if database == "default" { "public" } else { database }
}
