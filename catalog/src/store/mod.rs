//! Where the catalog is kept: an SQLite file, or a PostgreSQL database.
//!
//! ```text
//! <data dir>/catalog.db         databases, tables, partitions, ...   (schema: what is in it)
//! <data dir>/catalog.db-wal     commits not yet in the file          (SQLite's own)
//! <data dir>/catalog.db.lock    held while a process has it open     (lock)
//! ```
//! or a schema with the same tables in PostgreSQL, where several servers have it open at once ([`postgres`]).
//!
//! An [`OpenStore`] comes out of a path or a URL: checked, with one connection that writes and one that reads beside it, so
//! that loading a table's partitions never waits for a commit. What is read and written ([`read`], [`mod@write`]) is the same for
//! every store; only the [`connection::Connection`] differs.

pub(crate) mod acl;
pub(crate) mod bookmark;
pub(crate) mod connection;
pub(crate) mod files;
mod lock;
pub(crate) mod object;
pub(crate) mod partition_key;
pub mod postgres;
pub(crate) mod private;
pub(crate) mod read;
pub(crate) mod rejects;
pub(crate) mod run;
pub(crate) mod schedule_run;
mod schema;
pub(crate) mod sniffed;
pub(crate) mod sqlite;
pub(crate) mod write;
pub(crate) mod writes;

use std::sync::mpsc::{Receiver, Sender};

use crate::Error;
use connection::Connection;
pub(crate) use lock::FileLock;
use postgres::Wake;
pub use sniffed::SniffedFile;

/// An opened store, its schema there and sound.
pub(crate) struct OpenStore {
    /// The only connection that changes anything.
    pub(crate) writer: Box<dyn Connection>,
    /// Reads while the writer writes. A store in memory has none: its readers take turns with the writer.
    pub(crate) reader: Option<Box<dyn Connection>>,
    /// Keeps other processes out as long as it lives.
    pub(crate) lock: Option<FileLock>,
    /// `None` where no other server can be.
    pub(crate) shared: Option<Shared>,
}

/// What it takes to keep up with other servers on the same store.
pub(crate) struct Shared {
    /// Hears of their commits, and reads them.
    pub(crate) listener: Box<dyn Connection>,
    /// Which of the servers we are.
    pub(crate) server_id: i64,
    /// Wakes who waits for `wakes`.
    pub(crate) wake: Sender<Wake>,
    pub(crate) wakes: Receiver<Wake>,
}

/// A store that is ours and doesn't hold together.
pub(crate) fn damaged(store: &str, finding: &str) -> Error {
    let reason = format!(
        "the file is damaged ({finding}); restore it from a backup, or move it and its -wal file away, start again and \
         crawl the data anew"
    );
    unusable(store, reason)
}

/// A store that a later version has written.
pub(crate) fn newer(store: &str, schema_version: i64) -> Error {
    unusable(
        store,
        format!(
            "it was written by a newer version of Limnos (schema version {schema_version}, this one knows {}); \
             start that version or a later one",
            schema::SCHEMA_VERSION
        ),
    )
}

pub(crate) fn unusable(store: &str, reason: String) -> Error {
    Error::Unusable { path: store.to_owned(), reason }
}
