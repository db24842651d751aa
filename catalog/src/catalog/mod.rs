//! [`Catalog`]: the one handle through which what exists is read and changed.
//!
//! ```text
//! snapshot()   -> current (one atomic load)
//! commit()     -> writer (a mutex: one commit at a time) -> transaction, fsync -> current is swapped
//! partitions() -> partition_lists (cache) -> reader (its own connection, which a commit doesn't hold up)
//! ```

#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod crawler_tests;
mod partition_lists;
mod runs;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use crate::draft::Draft;
use crate::store::connection::Connection;
use crate::store::write::{self, Transaction};
use crate::store::{self, OpenStore, read, sqlite};
use crate::{Change, Error, PartitionList, Result, Snapshot, Table, TableVersion};
use partition_lists::PartitionLists;

/// Tells the time in milliseconds since 1970, UTC.
pub type NowMs = Box<dyn Fn() -> i64 + Send + Sync>;

/// The catalog: an immutable [`Snapshot`] to read and one door, [`Catalog::commit`], to change it.
pub struct Catalog {
    path: String,
    current: ArcSwap<Snapshot>,
    writer: Mutex<Writer>,
    /// `None` for a catalog in memory, whose readers take the writer's turn.
    reader: Option<Mutex<Box<dyn Connection>>>,
    partition_lists: Mutex<PartitionLists>,
    now_ms: NowMs,
    /// Declared last, so that it is given up after the connections are closed.
    _lock: Option<store::FileLock>,
}

/// What a commit needs to itself.
struct Writer {
    connection: Box<dyn Connection>,
    next_id: i64,
    /// Snapshots that somebody may still hold, oldest first.
    held: Vec<(i64, Weak<Snapshot>)>,
}

impl Catalog {
    /// Opens the catalog file at `path`, creating it (with the database `default`) if it isn't there.
    ///
    /// # Errors
    /// [`Error::Unusable`] if the file is damaged, not a catalog, from a newer version, or open in another process.
    pub fn open(path: &Path) -> Result<Arc<Self>> {
        Self::open_with_clock(path, Box::new(system_now_ms))
    }

    /// As [`Catalog::open`], with a clock of the caller's.
    ///
    /// # Errors
    /// As [`Catalog::open`].
    pub fn open_with_clock(path: &Path, now_ms: NowMs) -> Result<Arc<Self>> {
        let mut store = sqlite::open(path)?;
        write::purge_all(store.writer.as_mut())?;
        Self::new(store, now_ms)
    }

    /// A catalog in memory, gone with its handle: for tests and for `limnos query` on plain paths.
    ///
    /// # Errors
    /// [`Error::Store`], which means that memory has run out.
    pub fn open_in_memory() -> Result<Arc<Self>> {
        Self::new(sqlite::open_in_memory()?, Box::new(system_now_ms))
    }

    fn new(mut store: OpenStore, now_ms: NowMs) -> Result<Arc<Self>> {
        let read::Loaded { snapshot, next_id } = read::load(store.writer.as_mut(), None)?;
        let snapshot = Arc::new(snapshot);
        let held = vec![(snapshot.version, Arc::downgrade(&snapshot))];
        Ok(Arc::new(Self {
            path: store.writer.name().to_owned(),
            current: ArcSwap::new(snapshot),
            writer: Mutex::new(Writer { connection: store.writer, next_id, held }),
            reader: store.reader.map(Mutex::new),
            partition_lists: Mutex::new(PartitionLists::default()),
            now_ms,
            _lock: store.lock,
        }))
    }

    /// The newest committed state. Cheap: one atomic load.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Applies all `changes` or none of them, durably, and returns the snapshot that has them. Changes that come to nothing
    /// (`IF NOT EXISTS` of what exists) make no new version.
    ///
    /// # Errors
    /// The first change that is refused; the catalog is then as it was.
    pub fn commit(&self, changes: Vec<Change>) -> Result<Arc<Snapshot>> {
        let mut writer = self.writer.lock();
        let Writer { connection, next_id, held } = &mut *writer;
        let mut transaction = Transaction::begin(connection.as_mut())?;
        let mut base = self.current.load_full();
        if transaction.version() != base.version + 1 {
            // Another server has committed to the same store.
            let loaded = read::load(transaction.connection(), Some(&base))?;
            *next_id = loaded.next_id;
            base = Arc::new(loaded.snapshot);
            held.push((base.version, Arc::downgrade(&base)));
            self.current.store(Arc::clone(&base));
        }
        let mut draft = Draft::new(&base, transaction, (self.now_ms)(), *next_id);
        for change in changes {
            draft.apply(change)?;
        }
        held.retain(|(_, snapshot)| snapshot.strong_count() > 0);
        let oldest_version = held.first().map_or(base.version, |(version, _)| *version);
        let Some((snapshot, free_id)) = draft.commit(oldest_version)? else { return Ok(base) };
        let snapshot = Arc::new(snapshot);
        *next_id = free_id;
        held.push((snapshot.version, Arc::downgrade(&snapshot)));
        self.current.store(Arc::clone(&snapshot));
        Ok(snapshot)
    }

    /// The partitions of `table` as of `snapshot`, loaded on first use and shared after. They are sorted by their values.
    ///
    /// # Errors
    /// [`Error::Invalid`] if `snapshot` is a copy that outlived the [`Arc`] it was copied from and the partitions are gone;
    /// [`Error::Store`] if they can't be read.
    pub fn partitions(&self, snapshot: &Snapshot, table: &Table) -> Result<Arc<PartitionList>> {
        if table.partition_count == 0 {
            let values = vec![Vec::new(); table.partition_keys.len()];
            return Ok(Arc::new(PartitionList { values, ..PartitionList::default() }));
        }
        let key = (table.id, table.partitions_version);
        if let Some(list) = self.partition_lists.lock().get(key) {
            return Ok(list);
        }
        self.read(|connection| self.load_partitions(connection, snapshot, table))
    }

    /// The versions that are kept of `table`, oldest first; the last is what it is now.
    ///
    /// # Errors
    /// [`Error::Store`] if they can't be read.
    pub fn table_versions(&self, table: &Table) -> Result<Vec<TableVersion>> {
        self.read(|connection| read::load_table_versions(connection, table.id))
    }

    /// Reads beside the writer, or in its turn where the store has one connection.
    fn read<T>(&self, read: impl FnOnce(&mut dyn Connection) -> Result<T>) -> Result<T> {
        match &self.reader {
            Some(reader) => read(reader.lock().as_mut()),
            None => read(self.writer.lock().connection.as_mut()),
        }
    }

    fn load_partitions(
        &self,
        connection: &mut dyn Connection,
        snapshot: &Snapshot,
        table: &Table,
    ) -> Result<Arc<PartitionList>> {
        let key = (table.id, table.partitions_version);
        // Somebody else may have loaded it while this thread waited for the connection.
        if let Some(list) = self.partition_lists.lock().get(key) {
            return Ok(list);
        }
        let list = read::load_partitions(connection, snapshot.version, table)?;
        // What a snapshot sees is only ever purged, never added to: the right count is the right partitions.
        if list.len() as u64 != table.partition_count {
            return Err(Error::Invalid {
                message: format!(
                    "partitions of table \"{}\" as of catalog version {} are no longer kept",
                    table.name, snapshot.version
                ),
                hint: Some("Run the statement again.".to_owned()),
            });
        }
        let list = Arc::new(list);
        self.partition_lists.lock().insert(key, Arc::clone(&list));
        Ok(list)
    }
}

impl fmt::Debug for Catalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = self.current.load().version;
        f.debug_struct("Catalog").field("path", &self.path).field("version", &version).finish_non_exhaustive()
    }
}

#[allow(clippy::disallowed_methods, reason = "the default of the clock that `open_with_clock` takes")]
fn system_now_ms() -> i64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX)
}
