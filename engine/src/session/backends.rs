//! [`Backends`]: the connections of a server, for functions and tables that show or stop them. The server knows them; a session
//! without a server has none.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

/// One connection, as `pg_stat_activity` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backend {
    /// `pg_backend_pid()`.
    pub pid: i32,
    /// Who logged in.
    pub user: String,
    /// As the client calls itself.
    pub application_name: String,
    /// Where it is.
    pub client_address: Option<SocketAddr>,
    /// When it logged in, microseconds since 1970.
    pub started_at_us: i64,
    /// `active`, `idle`, `idle in transaction`, `idle in transaction (aborted)`.
    pub state: &'static str,
    /// When it came into this state, likewise.
    pub state_since_us: i64,
    /// The statement that runs, or ran last, and when it began.
    pub query: Option<(String, i64)>,
}

/// The connections of a server.
pub trait Backends: Send + Sync {
    /// All of them, by process id.
    fn list(&self) -> Vec<Backend>;

    /// Whose connection `pid` is.
    fn user_of(&self, pid: i32) -> Option<String>;

    /// Cancels what it does. False when it is gone.
    fn cancel(&self, pid: i32) -> bool;

    /// Ends it. False when it is gone already.
    fn terminate(&self, pid: i32) -> bool;
}

/// The connections beside a session's own, if it is one.
#[derive(Clone, Default)]
pub struct BackendsHandle(pub Option<Arc<dyn Backends>>);

impl fmt::Debug for BackendsHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BackendsHandle").field(&self.0.is_some()).finish()
    }
}

impl PartialEq for BackendsHandle {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(own), Some(other)) => Arc::ptr_eq(own, other),
            (own, other) => own.is_none() && other.is_none(),
        }
    }
}
