//! [`Session`]: who asks, in which database, with which settings.

pub mod accounts;
pub mod backends;
mod block;
mod conduct;
mod encryption;
mod login;
pub mod settings;
pub mod zone;

pub use accounts::Accounts;
pub use backends::{Backend, Backends, BackendsHandle};
pub use block::Block;
pub use conduct::Conduct;
pub use encryption::{ClientIdentity, Encryption};
pub use login::Login;
pub use settings::Settings;
pub use zone::Zone;

/// One connection's state. Cheap to clone; holds no engine state.
#[derive(Debug, Clone)]
pub struct Session {
    /// The role whose rights hold (`current_user`): the one that logged in, or what SET ROLE has made of it.
    pub user: String,
    /// Who logged in.
    pub login: Login,
    /// What PostgreSQL clients call the database (`current_database()`): one server has one, `lake` by default.
    pub catalog_name: String,
    /// The database that unqualified names are looked up in first (PostgreSQL's `current_schema()`).
    pub database: String,
    /// Settings as SET left them.
    pub settings: Settings,
    /// The process id that `pg_backend_pid()` shows, unique among live connections.
    pub backend_pid: i32,
    /// The client's address, for `system.queries` and `inet_client_addr()`.
    pub client_address: Option<std::net::SocketAddr>,
    /// How the connection is encrypted; `None` is not at all.
    pub encryption: Option<std::sync::Arc<Encryption>>,
    /// When it began, microseconds since 1970; 0 where nobody set it.
    pub started_at_us: i64,
    /// The catalog snapshot that a transaction block sees: the one that BEGIN pinned, with what the block has changed. `None`
    /// outside of one.
    pub pinned: Option<std::sync::Arc<limnos_catalog::Snapshot>>,
    /// What the open transaction block has done; there whenever `pinned` is.
    pub block: Option<Block>,
    /// The server's connections.
    pub backends: BackendsHandle,
    /// For a session that a schedule began: when it was due, in milliseconds since 1970.
    pub due_at_ms: Option<i64>,
    /// For a session that refreshes a dataset by itself: why.
    pub ingestion: Option<limnos_catalog::IngestionTrigger>,
}

impl Session {
    /// A session of `user` with every setting at its default.
    pub fn new(user: impl Into<String>, catalog_name: impl Into<String>) -> Self {
        let user = user.into();
        Self {
            login: Login::new(&user),
            user,
            catalog_name: catalog_name.into(),
            database: "default".to_owned(),
            settings: Settings::default(),
            backend_pid: 0,
            client_address: None,
            encryption: None,
            started_at_us: 0,
            pinned: None,
            block: None,
            ingestion: None,
            backends: BackendsHandle::default(),
            due_at_ms: None,
        }
    }
}
