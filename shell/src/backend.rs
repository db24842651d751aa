//! [`Backend`]: where SQL goes, and what comes back. In: one statement's text. Out: columns, rows as text, a tag, notices.

use std::io;
use std::sync::Arc;

use arrow::array::RecordBatch;
use async_trait::async_trait;

/// A column of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Whether its values are numbers, which stand at the right.
    pub is_number: bool,
}

/// What the server says beside an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notice {
    /// `NOTICE`, `WARNING`.
    pub severity: String,
    /// The text.
    pub message: String,
    /// More about it.
    pub detail: Option<String>,
    /// What to do.
    pub hint: Option<String>,
}

/// An error in a statement.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SqlError {
    /// `ERROR`, `FATAL`.
    pub severity: String,
    /// Five characters.
    pub sqlstate: String,
    /// The text.
    pub message: String,
    /// More about it.
    pub detail: Option<String>,
    /// What to do.
    pub hint: Option<String>,
    /// Where, from 1, in characters of the statement.
    pub position: Option<usize>,
}

/// How a statement ended when it didn't end well.
#[derive(Debug)]
pub enum RunError {
    /// The statement failed; the session goes on.
    Sql(Box<SqlError>),
    /// The session has ended; why.
    Lost(String),
    /// The receiver takes no more.
    Receiver(io::Error),
}

/// Takes an answer as it comes. An error from it stops the statement.
pub trait Receiver: Send {
    /// An answer with rows begins.
    fn columns(&mut self, columns: &[Column]) -> io::Result<()>;

    /// Rows: one string column for each column, with values as PostgreSQL's text format has them.
    fn rows(&mut self, rows: &RecordBatch) -> io::Result<()>;

    /// It has ended well: `SELECT 3`.
    fn done(&mut self, tag: &str) -> io::Result<()>;

    /// Something beside it.
    fn notice(&mut self, notice: &Notice);

    /// Bytes of `COPY ... TO STDOUT`.
    fn copy_out(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// More bytes for `COPY ... FROM STDIN`; `None` at the end.
    fn copy_in(&mut self) -> io::Result<Option<Vec<u8>>>;
}

/// Whether the session is in a transaction block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Transaction {
    /// It isn't.
    #[default]
    None,
    /// It is.
    Open,
    /// It is, and an error has ended it but for the ROLLBACK.
    Failed,
}

/// Where the session is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// The database's name.
    pub database: String,
    /// The role.
    pub user: String,
    /// For `\conninfo`: `on host "a" at port "5439"`, `in this process`.
    pub location: String,
    /// What the connection is encrypted with, if it is.
    pub encryption: Option<String>,
    /// Whether the role may do everything.
    pub is_superuser: bool,
    /// Whether it is in a transaction block.
    pub transaction: Transaction,
}

/// How far a statement is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// It waits for its turn.
    pub is_queued: bool,
    /// Rows of its answer so far.
    pub rows: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// Bytes that there are to be read, where that is known.
    pub bytes_total: Option<u64>,
    /// Memory that it holds.
    pub memory_bytes: u64,
}

/// One session.
#[async_trait]
pub trait Backend: Send {
    /// Where it is now.
    fn place(&self) -> Place;

    /// Runs one statement.
    ///
    /// # Errors
    /// [`RunError`].
    async fn run(&mut self, sql: &str, receiver: &mut dyn Receiver) -> Result<(), RunError>;

    /// What stops the statement that runs, from another thread.
    fn canceller(&self) -> Arc<dyn Cancel>;

    /// What asks beside the session: completion, progress.
    fn side(&self) -> Arc<dyn Side>;

    /// Connects anew, as another user or elsewhere where one is given.
    ///
    /// # Errors
    /// Why not; the old session stays.
    async fn connect(&mut self, database: Option<&str>, user: Option<&str>) -> Result<(), String>;
}

/// Stops the statement that runs.
#[async_trait]
pub trait Cancel: Send + Sync {
    /// Asks for it; the statement ends with an error some time later.
    async fn cancel(&self);
}

/// A second session, for what must not disturb the first.
#[async_trait]
pub trait Side: Send + Sync {
    /// The rows of a query, all of them, as text.
    ///
    /// # Errors
    /// A text for people.
    async fn rows(&self, sql: &str) -> Result<Vec<Vec<Option<String>>>, String>;

    /// How far the first session's statement is; `None` where that can't be known.
    async fn progress(&self) -> Option<Progress>;
}
