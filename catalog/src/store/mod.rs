//! Where the catalog is kept: SQLite.
//!
//! ```text
//! <data dir>/catalog.db         databases, tables, partitions    (sqlite: what is in it and every statement)
//! <data dir>/catalog.db-wal     commits not yet in the file      (SQLite's own)
//! <data dir>/catalog.db.lock    held while a process has it open (lock)
//! ```
//! A path comes in; an [`OpenStore`] comes out, checked, with one connection that writes and one that reads beside it, so
//! that loading a table's partitions never waits for a commit. A file that is damaged, foreign or newer is refused before
//! anything in it is changed.

mod lock;
pub(crate) mod partition_key;
pub(crate) mod sqlite;

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::{Error, Result};
pub(crate) use lock::FileLock;

/// Marks a SQLite file as a Limnos catalog: "Lmns".
const APPLICATION_ID: i32 = 0x4c6d_6e73;

/// How long to wait for others who have the file open, such as somebody's `sqlite3` shell.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// What the write-ahead log is cut back to after a big commit.
const JOURNAL_BYTES_MAX: i64 = 64 << 20;

/// An opened store, its schema there and its file sound.
#[derive(Debug)]
pub(crate) struct OpenStore {
    /// For error messages.
    pub(crate) path: String,
    /// The only connection that changes anything.
    pub(crate) writer: Connection,
    /// Reads while the writer writes. A store in memory has none: its readers take turns with the writer.
    pub(crate) reader: Option<Connection>,
    /// Keeps other processes out as long as it lives.
    pub(crate) lock: Option<FileLock>,
}

/// Opens the file at `path`, making it if it isn't there.
pub(crate) fn open(path: &Path) -> Result<OpenStore> {
    let lock = FileLock::acquire(path)?;
    let unusable = |error| explain(path, error);
    let mut writer = connect(path).map_err(unusable)?;
    let is_new = check_identity(path, &writer)?;
    configure(path, &writer)?;
    check_integrity(path, &writer)?;
    if is_new {
        sqlite::create(&mut writer, APPLICATION_ID).map_err(unusable)?;
    }
    let reader = connect(path).map_err(unusable)?;
    reader.pragma_update(None, "query_only", true).map_err(unusable)?;
    Ok(OpenStore { path: path.display().to_string(), writer, reader: Some(reader), lock: Some(lock) })
}

/// A store that is gone with its handle.
pub(crate) fn open_in_memory() -> Result<OpenStore> {
    let mut writer = Connection::open_in_memory()?;
    writer.pragma_update(None, "foreign_keys", true)?;
    sqlite::create(&mut writer, APPLICATION_ID)?;
    Ok(OpenStore { path: ":memory:".to_owned(), writer, reader: None, lock: None })
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    // Without SQLITE_OPEN_URI: a path is a path, even one that begins with `file:`.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(connection)
}

/// Says whether the file is new (empty); refuses one that is not ours or newer than this program. Changes nothing.
fn check_identity(path: &Path, connection: &Connection) -> Result<bool> {
    let number = |pragma: &str| connection.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0));
    let application_id = number("application_id").map_err(|error| explain(path, error))?;
    let schema_version = number("user_version").map_err(|error| explain(path, error))?;
    let object_count: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(|error| explain(path, error))?;
    match (application_id, schema_version) {
        (0, 0) if object_count == 0 => Ok(true),
        (APPLICATION_ID, sqlite::SCHEMA_VERSION) => Ok(false),
        (APPLICATION_ID, newer) if newer > sqlite::SCHEMA_VERSION => Err(unusable(
            path,
            format!(
                "it was written by a newer version of Limnos (schema version {newer}, this one knows {}); \
                 start that version or a later one",
                sqlite::SCHEMA_VERSION
            ),
        )),
        (APPLICATION_ID, other) => Err(damaged(path, &format!("schema version {other}"))),
        _ => Err(unusable(path, NOT_OURS.to_owned())),
    }
}

const NOT_OURS: &str = "it is not a Limnos catalog; choose another data directory or move the file away";

/// Makes every commit durable before it returns, whatever the machine does after.
fn configure(path: &Path, connection: &Connection) -> Result<()> {
    let journal_mode: String = connection
        .pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))
        .map_err(|error| explain(path, error))?;
    if journal_mode != "wal" {
        let reason = "its file system cannot hold a write-ahead log; put the data directory on a local disk";
        return Err(unusable(path, reason.to_owned()));
    }
    let set = |pragma: &str, value: &dyn rusqlite::ToSql| {
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

fn check_integrity(path: &Path, connection: &Connection) -> Result<()> {
    let finding: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|error| explain(path, error))?;
    if finding == "ok" { Ok(()) } else { Err(damaged(path, finding.trim())) }
}

/// What to tell about a file that SQLite can't open.
pub(crate) fn explain(path: impl Into<PathBuf>, error: rusqlite::Error) -> Error {
    let path = path.into();
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

/// A file that is ours and doesn't hold together.
pub(crate) fn damaged(path: &Path, finding: &str) -> Error {
    let reason = format!(
        "the file is damaged ({finding}); restore it from a backup, or move it and its -wal file away, start again and \
         crawl the data anew"
    );
    unusable(path, reason)
}

fn unusable(path: &Path, reason: String) -> Error {
    Error::Unusable { path: path.display().to_string(), reason }
}
