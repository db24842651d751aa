//! [`Session`]: the shell's [`Backend`] over a [`Connection`], with a second connection beside it for what must not disturb
//! the first.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array as _, AsArray as _, RecordBatch};
use async_trait::async_trait;
use limnos_shell::{Backend, Cancel, Column, Notice, Place, Progress, Receiver, RunError, Side};
use parking_lot::Mutex;

use super::wire::{CancelKey, ConnectError, Connection, Target, Way};

/// How long a question beside the session may take.
const SIDE_TIMEOUT: Duration = Duration::from_secs(10);

/// Longer statements are not planned a second time to say what they read.
const EXPLAINED_BYTES_MAX: usize = 64 << 10;

/// Rows of an answer to one.
const SIDE_ROWS_MAX: usize = 50_000;

/// See the module.
pub(crate) struct Session {
    target: Target,
    connection: Connection,
    database: String,
    side: Arc<Beside>,
}

impl Session {
    /// Connects.
    pub(crate) async fn open(target: Target) -> Result<Self, ConnectError> {
        let mut connection = Connection::open(&target).await?;
        let database = database(&mut connection, &target).await;
        let side = Arc::new(Beside::new(target.clone(), connection.address));
        Ok(Self { target, connection, database, side })
    }
}

/// What the server calls its database: it takes the user's name for it, too.
async fn database(connection: &mut Connection, target: &Target) -> String {
    let mut rows = Collected::default();
    let asked = connection.run("SELECT pg_catalog.current_database()", &mut rows).await;
    let found = asked.ok().and_then(|()| rows.rows.into_iter().next()).and_then(|row| row.into_iter().next().flatten());
    found.unwrap_or_else(|| target.database.clone())
}

#[async_trait]
impl Backend for Session {
    fn place(&self) -> Place {
        let location = match &self.target.way {
            Way::Here(_) => "in this process".to_owned(),
            Way::There(endpoint) => {
                format!("on host \"{}\" at port \"{}\"", endpoint.host, endpoint.port)
            }
        };
        Place {
            database: self.database.clone(),
            user: self.target.user.clone(),
            location,
            encryption: self.connection.encryption.clone(),
            is_superuser: self.connection.is_superuser,
            transaction: self.connection.transaction,
        }
    }

    async fn run(&mut self, sql: &str, receiver: &mut dyn Receiver) -> Result<(), RunError> {
        self.side.begin(sql);
        Box::pin(self.connection.run(sql, receiver)).await
    }

    fn canceller(&self) -> Arc<dyn Cancel> {
        Arc::new(Canceller(self.connection.key()))
    }

    fn side(&self) -> Arc<dyn Side> {
        Arc::clone(&self.side) as Arc<dyn Side>
    }

    async fn connect(&mut self, database: Option<&str>, user: Option<&str>) -> Result<(), String> {
        let mut target = self.target.clone();
        if let Some(database) = database {
            database.clone_into(&mut target.database);
        }
        if let Some(user) = user.filter(|user| *user != self.target.user) {
            user.clone_into(&mut target.user);
            if let Way::There(_) = target.way {
                target.password = None;
            }
        }
        let opened = match Self::open(target.clone()).await {
            Err(ConnectError::NeedsPassword) => {
                let asking = tokio::task::spawn_blocking({
                    let user = target.user.clone();
                    move || super::ask_password(&user)
                });
                target.password = Some(asking.await.map_err(|error| error.to_string())??);
                Self::open(target).await
            }
            opened => opened,
        };
        let opened = opened.map_err(|error| error.to_string())?;
        let side = Arc::clone(&self.side);
        side.follow(opened.target.clone(), opened.connection.address);
        *self = Self { side, ..opened };
        Ok(())
    }
}

struct Canceller(CancelKey);

#[async_trait]
impl Cancel for Canceller {
    async fn cancel(&self) {
        self.0.cancel().await;
    }
}

/// The second connection, made when it is first needed.
struct Beside {
    place: Mutex<(Target, SocketAddr)>,
    /// Taken out while it is used: who gives up waiting gives the connection up, too, with the answer that is on its way.
    connection: tokio::sync::Mutex<Option<Connection>>,
    /// Whether the server tells how far queries are: once it doesn't, it isn't asked again.
    tells_progress: Mutex<bool>,
    /// The statement that runs, and what it will read once that was asked.
    current: Mutex<Current>,
}

/// See [`Beside`].
#[derive(Default)]
struct Current {
    sql: String,
    was_asked: bool,
    bytes_total: Option<u64>,
}

impl Beside {
    fn new(target: Target, first: SocketAddr) -> Self {
        Self {
            place: Mutex::new((target, first)),
            connection: tokio::sync::Mutex::default(),
            tells_progress: Mutex::new(true),
            current: Mutex::default(),
        }
    }

    /// The first connection is another one now.
    fn follow(&self, target: Target, first: SocketAddr) {
        *self.place.lock() = (target, first);
        if let Ok(mut connection) = self.connection.try_lock() {
            *connection = None;
        }
    }

    /// A statement begins.
    fn begin(&self, sql: &str) {
        *self.current.lock() = Current { sql: sql.to_owned(), ..Current::default() };
    }

    /// The bytes that the statement will read: of queries, `EXPLAIN (COST)` says it. Asked once, and only of those that
    /// take long enough to be asked about.
    async fn bytes_total(&self) -> Option<u64> {
        let sql = {
            let mut current = self.current.lock();
            if std::mem::replace(&mut current.was_asked, true) {
                return current.bytes_total;
            }
            current.sql.clone()
        };
        let first = sql.trim_start().get(..6)?.to_ascii_lowercase();
        if sql.len() > EXPLAINED_BYTES_MAX || !(first == "select" || first.starts_with("with")) {
            return None;
        }
        let rows = self.rows(&format!("EXPLAIN (COST) {sql}")).await.ok()?;
        // `Cost: at most 12 requests, 3456 bytes`
        let cost = rows.into_iter().flatten().flatten().find(|line| line.starts_with("Cost: "))?;
        let bytes = cost.strip_suffix(" bytes")?.rsplit(' ').next()?.parse().ok();
        let mut current = self.current.lock();
        if current.sql == sql {
            current.bytes_total = bytes;
        }
        bytes
    }

    async fn ask(&self, sql: &str) -> Result<Vec<Vec<Option<String>>>, String> {
        let mut place = self.connection.lock().await;
        let mut connection = match place.take() {
            Some(connection) => connection,
            None => {
                let target = self.place.lock().0.clone();
                Connection::open(&target).await.map_err(|error| error.to_string())?
            }
        };
        let mut rows = Collected::default();
        match Box::pin(connection.run(sql, &mut rows)).await {
            Ok(()) => {
                *place = Some(connection);
                Ok(rows.rows)
            }
            Err(RunError::Sql(error)) => {
                *place = Some(connection);
                Err(error.message)
            }
            Err(RunError::Lost(why)) => Err(why),
            Err(RunError::Receiver(error)) => Err(error.to_string()),
        }
    }
}

#[async_trait]
impl Side for Beside {
    async fn rows(&self, sql: &str) -> Result<Vec<Vec<Option<String>>>, String> {
        let asked = tokio::time::timeout(SIDE_TIMEOUT, Box::pin(self.ask(sql))).await;
        asked.unwrap_or_else(|_| Err("the server does not answer".to_owned()))
    }

    async fn progress(&self) -> Option<Progress> {
        if !*self.tells_progress.lock() {
            return None;
        }
        let address = self.place.lock().1;
        let sql = format!(
            "SELECT state, rows, bytes_scanned, peak_memory_bytes FROM system.queries \
             WHERE state IN ('QUEUED', 'RUNNING') AND client_address = '{address}' ORDER BY queued_at DESC LIMIT 1"
        );
        let rows = match self.rows(&sql).await {
            Ok(rows) => rows,
            Err(_) => {
                *self.tells_progress.lock() = false;
                return None;
            }
        };
        let row = rows.into_iter().next()?;
        let number = |at: usize| row.get(at)?.as_ref()?.parse::<u64>().ok();
        Some(Progress {
            is_queued: row.first()?.as_deref() == Some("QUEUED"),
            rows: number(1).unwrap_or(0),
            bytes: number(2).unwrap_or(0),
            bytes_total: self.bytes_total().await,
            memory_bytes: number(3).unwrap_or(0),
        })
    }
}

/// Keeps all rows, as text.
#[derive(Default)]
pub(crate) struct Collected {
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<Vec<Option<String>>>,
}

impl Receiver for Collected {
    fn columns(&mut self, columns: &[Column]) -> io::Result<()> {
        self.columns = columns.iter().map(|column| column.name.clone()).collect();
        Ok(())
    }

    fn rows(&mut self, rows: &RecordBatch) -> io::Result<()> {
        for row in 0..rows.num_rows() {
            if self.rows.len() >= SIDE_ROWS_MAX {
                return Ok(());
            }
            let value = |column: &arrow::array::ArrayRef| {
                let strings = column.as_string::<i32>();
                (!strings.is_null(row)).then(|| strings.value(row).to_owned())
            };
            self.rows.push(rows.columns().iter().map(value).collect());
        }
        Ok(())
    }

    fn done(&mut self, _tag: &str) -> io::Result<()> {
        Ok(())
    }

    fn notice(&mut self, _notice: &Notice) {}

    fn copy_out(&mut self, _bytes: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn copy_in(&mut self) -> io::Result<Option<Vec<u8>>> {
        Ok(None)
    }
}
