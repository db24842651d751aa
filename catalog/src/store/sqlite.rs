//! The catalog in an SQLite file: opened, checked, and spoken to.
//!
//! A file that is damaged, foreign or newer is refused before anything in it is changed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{ErrorCode, OpenFlags, Statement};

use super::connection::{Connection, OnRow, Value};
use super::schema::{self, SCHEMA_VERSION};
use super::{FileLock, OpenStore, damaged, unusable};
use crate::{Error, Result};

/// Marks a SQLite file as a Limnos catalog: "Lmns".
const APPLICATION_ID: i64 = 0x4c6d_6e73;

/// How long to wait for others who have the file open, such as somebody's `sqlite3` shell.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// What the write-ahead log is cut back to after a big commit.
const JOURNAL_BYTES_MAX: i64 = 64 << 20;

/// Prepared statements that a connection keeps: more than this crate has texts.
const STATEMENT_CACHE: usize = 128;

const NOT_OURS: &str = "it is not a Limnos catalog; choose another data directory or move the file away";

/// Opens the file at `path`, making it if it isn't there.
pub(crate) fn open(path: &Path) -> Result<OpenStore> {
    let lock = FileLock::acquire(path)?;
    let explained = |error| explain(path, error);
    let mut writer = SqliteConnection::open(path).map_err(explained)?;
    let version = check_identity(path, &writer.connection)?;
    configure(path, &writer.connection)?;
    check_integrity(path, &writer.connection)?;
    if version < SCHEMA_VERSION {
        writer.upgrade(version)?;
    }
    let reader = SqliteConnection::open(path).map_err(explained)?;
    reader.connection.pragma_update(None, "query_only", true).map_err(explained)?;
    Ok(OpenStore { writer: Box::new(writer), reader: Some(Box::new(reader)), lock: Some(lock), shared: None })
}

/// A connection past the catalog and its lock.
#[cfg(test)]
pub(crate) fn connect(path: &Path) -> Result<Box<dyn Connection>> {
    Ok(Box::new(SqliteConnection::open(path)?))
}

/// A store that is gone with its handle.
pub(crate) fn open_in_memory() -> Result<OpenStore> {
    let connection = rusqlite::Connection::open_in_memory()?;
    connection.pragma_update(None, "foreign_keys", true)?;
    let mut writer = SqliteConnection::new(":memory:".to_owned(), connection);
    writer.upgrade(0)?;
    Ok(OpenStore { writer: Box::new(writer), reader: None, lock: None, shared: None })
}

/// A connection to a file, or to memory.
struct SqliteConnection {
    path: String,
    connection: rusqlite::Connection,
}

impl SqliteConnection {
    fn open(path: &Path) -> rusqlite::Result<Self> {
        // Without SQLITE_OPEN_URI: a path is a path, even one that begins with `file:`.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = rusqlite::Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        Ok(Self::new(path.display().to_string(), connection))
    }

    fn new(path: String, connection: rusqlite::Connection) -> Self {
        connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
        Self { path, connection }
    }

    /// Makes the tables in an empty file, or brings those of an older version up to date: all or nothing.
    fn upgrade(&mut self, version: i64) -> Result<()> {
        self.begin()?;
        let upgraded = schema::migrate(self, version).and_then(|()| {
            self.connection.pragma_update(None, "application_id", APPLICATION_ID)?;
            Ok(self.connection.pragma_update(None, "user_version", SCHEMA_VERSION)?)
        });
        match upgraded {
            Ok(()) => self.commit(),
            Err(error) => {
                self.rollback();
                let reason =
                    format!("it cannot be brought to schema version {SCHEMA_VERSION} ({error}); it is as it was");
                Err(unusable(&self.path, reason))
            }
        }
    }
}

impl Connection for SqliteConnection {
    fn name(&self) -> &str {
        &self.path
    }

    fn begin(&mut self) -> Result<()> {
        Ok(self.connection.execute_batch("BEGIN IMMEDIATE")?)
    }

    fn begin_reading(&mut self) -> Result<()> {
        Ok(self.connection.execute_batch("BEGIN DEFERRED")?)
    }

    fn commit(&mut self) -> Result<()> {
        let committed = self.connection.execute_batch("COMMIT");
        if committed.is_err() {
            self.rollback();
        }
        Ok(committed?)
    }

    fn rollback(&mut self) {
        if !self.connection.is_autocommit() {
            // SQLite rolls back by itself where this fails: when the file is opened next, if not before.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
    }

    fn execute(&mut self, sql: &'static str, parameters: &[Value<'_>]) -> Result<u64> {
        let mut statement = self.connection.prepare_cached(sql)?;
        execute(&mut statement, parameters)
    }

    fn execute_each(&mut self, sql: &'static str, rows: &[Vec<Value<'_>>]) -> Result<Vec<u64>> {
        let mut statement = self.connection.prepare_cached(sql)?;
        rows.iter().map(|parameters| execute(&mut statement, parameters)).collect()
    }

    fn query(&mut self, sql: &'static str, parameters: &[Value<'_>], on_row: &mut OnRow<'_>) -> Result<()> {
        let explained = |error: rusqlite::Error| explain(&self.path, error);
        let mut statement = self.connection.prepare_cached(sql).map_err(explained)?;
        let column_count = statement.column_count();
        let mut rows = statement.query(rusqlite::params_from_iter(parameters)).map_err(explained)?;
        while let Some(row) = rows.next().map_err(explained)? {
            let mut cells = Vec::with_capacity(column_count);
            for index in 0..column_count {
                cells.push(cell(row.get_ref(index).map_err(explained)?)?);
            }
            on_row(&cells)?;
        }
        Ok(())
    }

    fn execute_script(&mut self, sql: &str) -> Result<()> {
        Ok(self.connection.execute_batch(sql)?)
    }
}

fn execute(statement: &mut Statement<'_>, parameters: &[Value<'_>]) -> Result<u64> {
    Ok(statement.execute(rusqlite::params_from_iter(parameters))? as u64)
}

impl ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Int(number) => ValueRef::Integer(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

fn cell(value: ValueRef<'_>) -> Result<Value<'_>> {
    let invalid = |message: String| Error::Store { message, source: None };
    match value {
        ValueRef::Null => Ok(Value::Null),
        ValueRef::Integer(number) => Ok(Value::Int(number)),
        ValueRef::Text(bytes) => {
            std::str::from_utf8(bytes).map(Value::Text).map_err(|error| invalid(format!("a text is damaged: {error}")))
        }
        ValueRef::Blob(bytes) => Ok(Value::Blob(bytes)),
        ValueRef::Real(number) => Err(invalid(format!("a cell holds {number}"))),
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store { message: error.to_string(), source: Some(Box::new(error)) }
    }
}

/// The schema version of the file, 0 if it is new (empty); refuses one that is not ours or newer than this program. Changes
/// nothing.
fn check_identity(path: &Path, connection: &rusqlite::Connection) -> Result<i64> {
    let number = |pragma: &str| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let application_id = number("application_id").map_err(|error| explain(path, error))?;
    let schema_version = number("user_version").map_err(|error| explain(path, error))?;
    let object_count: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(|error| explain(path, error))?;
    match (application_id, schema_version) {
        (0, 0) if object_count == 0 => Ok(0),
        (APPLICATION_ID, 1..=SCHEMA_VERSION) => Ok(schema_version),
        (APPLICATION_ID, newer) if newer > SCHEMA_VERSION => Err(super::newer(&path.display().to_string(), newer)),
        (APPLICATION_ID, other) => Err(damaged(&path.display().to_string(), &format!("schema version {other}"))),
        _ => Err(unusable(&path.display().to_string(), NOT_OURS.to_owned())),
    }
}

/// Makes every commit durable before it returns, whatever the machine does after.
fn configure(path: &Path, connection: &rusqlite::Connection) -> Result<()> {
    let journal_mode: String = connection
        .pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))
        .map_err(|error| explain(path, error))?;
    if journal_mode != "wal" {
        let reason = "its file system cannot hold a write-ahead log; put the data directory on a local disk";
        return Err(unusable(&path.display().to_string(), reason.to_owned()));
    }
    let set = |pragma: &str, value: &dyn ToSql| {
        connection.pragma_update(None, pragma, value).map_err(|error| explain(path, error))
    };
    set("synchronous", &"FULL")?;
    // On macOS fsync alone leaves the data in the disk's cache; elsewhere these two do nothing.
    set("fullfsync", &true)?;
    set("checkpoint_fullfsync", &true)?;
    set("foreign_keys", &true)?;
    set("trusted_schema", &false)?;
    connection
        .pragma_update_and_check(None, "journal_size_limit", JOURNAL_BYTES_MAX, |_| Ok(()))
        .map_err(|error| explain(path, error))
}

fn check_integrity(path: &Path, connection: &rusqlite::Connection) -> Result<()> {
    let finding: String =
        connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(|error| explain(path, error))?;
    if finding == "ok" { Ok(()) } else { Err(damaged(&path.display().to_string(), finding.trim())) }
}

/// What to tell about a file that SQLite can't open.
fn explain(path: impl Into<PathBuf>, error: rusqlite::Error) -> Error {
    let path = path.into().display().to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => unusable(&path, NOT_OURS.to_owned()),
        Some(ErrorCode::DatabaseCorrupt) => damaged(&path, "database disk image is malformed"),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            unusable(&path, "another program has it open and locked; close that program".to_owned())
        }
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::ReadOnly) => {
            unusable(&path, format!("{error}; check that the file and its folder may be read and written"))
        }
        _ => unusable(&path, error.to_string()),
    }
}
