//! [`Catalog`]: the one handle through which what exists is read and changed.
//!
//! ```text
//! snapshot()   -> current (one atomic load)
//! commit()     -> writer (a mutex: one commit at a time) -> transaction, fsync -> current is swapped
//! partitions() -> partition_lists (cache) -> reader (its own connection, which a commit doesn't hold up)
//! watch        -> listener (its own connection) -> another server has committed -> current is swapped
//! ```

mod block;
#[cfg(test)]
mod block_tests;
#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod crawler_tests;
mod file_facts;
mod files;
mod partition_lists;
#[cfg(test)]
pub(crate) mod places;
mod published;
mod rejects;
mod report_runs;
#[cfg(test)]
mod role_tests;
mod runs;
#[cfg(test)]
mod server_tests;
#[cfg(test)]
pub(crate) mod tests;
mod watch;
#[cfg(test)]
mod write_tests;

use std::collections::BTreeSet;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

use crate::draft::Draft;
use crate::store::connection::Connection;
use crate::store::write::{self, Transaction};
use crate::store::{self, OpenStore, postgres, read, sqlite};
use crate::{Change, Error, Location, PartitionList, Result, Snapshot, Table, TableVersion};
pub use file_facts::FactsMemory;
use file_facts::{FactsCache, FactsUsage};
use partition_lists::PartitionLists;
use published::Published;
use watch::Watch;

/// Tells the time in milliseconds since 1970, UTC.
pub type NowMs = Box<dyn Fn() -> i64 + Send + Sync>;

/// The catalog: an immutable [`Snapshot`] to read and one door, [`Catalog::commit`], to change it.
pub struct Catalog {
    path: String,
    published: Arc<Published>,
    /// The connection that changes anything; one commit at a time.
    writer: Mutex<Writer>,
    /// `None` for a catalog in memory, whose readers take the writer's turn.
    reader: Option<Mutex<Box<dyn Connection>>>,
    partition_lists: Mutex<PartitionLists>,
    facts_cache: FactsCache,
    /// Writes that go on in this process.
    live_writes: Mutex<BTreeSet<i64>>,
    now_ms: NowMs,
    /// Keeps up with other servers, where there can be any.
    watch: Option<Watch>,
    /// Declared last, so that it is given up after the connections are closed.
    _lock: Option<store::FileLock>,
}

/// What a commit needs to itself.
struct Writer {
    connection: Box<dyn Connection>,
    /// What the store holds of data files; `None` until somebody has counted.
    facts_usage: Option<FactsUsage>,
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
        Self::open_at_with_clock(&Location::File(path.to_owned()), now_ms)
    }

    /// Opens the catalog at `location`, creating it (with the database `default`) if it isn't there.
    ///
    /// # Errors
    /// As [`Catalog::open`]; [`Error::Unusable`] also if PostgreSQL is out of reach or lets us not in.
    pub fn open_at(location: &Location) -> Result<Arc<Self>> {
        Self::open_at_with_clock(location, Box::new(system_now_ms))
    }

    /// As [`Catalog::open_at`], with a clock of the caller's.
    ///
    /// # Errors
    /// As [`Catalog::open_at`].
    pub fn open_at_with_clock(location: &Location, now_ms: NowMs) -> Result<Arc<Self>> {
        match location {
            Location::File(path) => {
                let mut store = sqlite::open(path)?;
                // Nobody but us can hold a snapshot. In PostgreSQL other servers may.
                write::purge_all(store.writer.as_mut())?;
                Self::new(store, now_ms)
            }
            Location::Postgres(url) => Self::new(postgres::open(url)?, now_ms),
        }
    }

    /// A catalog in memory, gone with its handle: for tests and for `limnos query` on plain paths.
    ///
    /// # Errors
    /// [`Error::Store`], which means that memory has run out.
    pub fn open_in_memory() -> Result<Arc<Self>> {
        Self::new(sqlite::open_in_memory()?, Box::new(system_now_ms))
    }

    fn new(mut store: OpenStore, now_ms: NowMs) -> Result<Arc<Self>> {
        store::writes::set_catalog_id(store.writer.as_mut(), random_id())?;
        let snapshot = read::load_consistently(store.writer.as_mut(), None)?;
        let published = Arc::new(Published::new(snapshot));
        let watch = store.shared.map(|shared| Watch::start(shared, Arc::clone(&published))).transpose()?;
        Ok(Arc::new(Self {
            path: store.writer.name().to_owned(),
            published,
            writer: Mutex::new(Writer { connection: store.writer, facts_usage: None }),
            reader: store.reader.map(Mutex::new),
            partition_lists: Mutex::new(PartitionLists::default()),
            facts_cache: FactsCache::default(),
            live_writes: Mutex::default(),
            now_ms,
            watch,
            _lock: store.lock,
        }))
    }

    /// The newest committed state. Cheap: one atomic load.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.published.current()
    }

    /// Where it is kept: a path, or a URL without its password.
    pub fn name(&self) -> &str {
        &self.path
    }

    /// Applies all `changes` or none of them, durably, and returns the snapshot that has them. Changes that come to nothing
    /// (`IF NOT EXISTS` of what exists) make no new version.
    ///
    /// # Errors
    /// The first change that is refused; the catalog is then as it was.
    pub fn commit(&self, changes: Vec<Change>) -> Result<Arc<Snapshot>> {
        self.commit_version(changes, |_| Ok(())).map(|(_, snapshot)| snapshot)
    }

    /// As [`Catalog::commit`], with the version that it has made. The snapshot may be a later one. `check` may refuse what
    /// there is before the changes.
    fn commit_version(
        &self,
        changes: Vec<Change>,
        check: impl FnOnce(&Snapshot) -> Result<()>,
    ) -> Result<(i64, Arc<Snapshot>)> {
        let mut writer = self.writer.lock();
        let mut transaction = Transaction::begin(writer.connection.as_mut())?;
        let base = self.newest(&mut transaction)?;
        check(&base)?;
        let oldest_elsewhere = self.oldest_elsewhere(&mut transaction)?;
        let mut draft = Draft::new(&base, transaction, (self.now_ms)(), self.server_id());
        for change in changes {
            draft.apply(change)?;
        }
        let oldest_version = self.published.oldest_held().min(oldest_elsewhere);
        let Some(snapshot) = draft.commit(oldest_version)? else { return Ok((base.version, base)) };
        Ok((snapshot.version, self.published.publish(snapshot)))
    }

    /// Which of the servers on the store we are; 0 where there is no other.
    fn server_id(&self) -> i64 {
        self.watch.as_ref().map_or(0, Watch::server_id)
    }

    /// Lets `write` write the whole catalog anew in one transaction, all of it or nothing. It is given what was there, and
    /// returns the least next free id.
    pub(crate) fn write_whole<T>(
        &self,
        write: impl FnOnce(&Snapshot, &mut Transaction<'_>) -> Result<(T, i64)>,
    ) -> Result<T> {
        let mut writer = self.writer.lock();
        let mut transaction = Transaction::begin(writer.connection.as_mut())?;
        let base = self.newest(&mut transaction)?;
        let (written, next_id) = write(&base, &mut transaction)?;
        let mut snapshot = read::load(transaction.connection(), None)?;
        snapshot.version = transaction.version();
        let next_id = next_id.max(transaction.next_id());
        transaction.commit(next_id)?;
        self.published.publish(snapshot);
        Ok(written)
    }

    /// What the store holds before `transaction` changes it.
    fn newest(&self, transaction: &mut Transaction<'_>) -> Result<Arc<Snapshot>> {
        let base = self.published.current();
        let version = transaction.version() - 1;
        if version == base.version {
            return Ok(base);
        }
        if version < base.version {
            return Err(published::gone_back(&self.path, version, base.version));
        }
        // Another server has committed to the same store.
        let snapshot = read::load(transaction.connection(), Some(&base))?;
        Ok(self.published.publish(snapshot))
    }

    /// The oldest version that another server may hold.
    fn oldest_elsewhere(&self, transaction: &mut Transaction<'_>) -> Result<i64> {
        let Some(watch) = &self.watch else { return Ok(i64::MAX) };
        let oldest = postgres::servers::oldest_elsewhere(transaction.connection(), watch.server_id())?;
        Ok(oldest.unwrap_or(i64::MAX))
    }

    /// Whether another living server has the same store open.
    pub(crate) fn is_open_elsewhere(&self) -> Result<bool> {
        let Some(watch) = &self.watch else { return Ok(false) };
        let id = watch.server_id();
        self.read(|connection| Ok(postgres::servers::oldest_elsewhere(connection, id)?.is_some()))
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
        if let Some(list) = snapshot.private_partitions(table.id) {
            return Ok(Arc::clone(list));
        }
        let key = (table.id, table.partitions_version);
        if let Some(list) = self.partition_lists.lock().get(key) {
            return Ok(list);
        }
        self.read(|connection| self.load_partitions(connection, snapshot, table))
    }

    /// Forgets the partition lists in memory; the next query of each table reads its list again.
    pub fn forget_partition_lists(&self) {
        *self.partition_lists.lock() = PartitionLists::default();
    }

    /// The versions that are kept of `table`, oldest first; the last is what it is now.
    ///
    /// # Errors
    /// [`Error::Store`] if they can't be read.
    pub fn table_versions(&self, table: &Table) -> Result<Vec<TableVersion>> {
        self.read(|connection| read::load_table_versions(connection, table.id))
    }

    /// Reads beside the writer, or in its turn where the store has one connection.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&mut dyn Connection) -> Result<T>) -> Result<T> {
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
        let version = self.published.current().version;
        f.debug_struct("Catalog").field("path", &self.path).field("version", &version).finish_non_exhaustive()
    }
}

/// Another number each time.
fn random_id() -> u32 {
    // The operating system's randomness is in each hasher's keys.
    let bits = RandomState::new().hash_one(());
    u32::try_from(bits >> 32).unwrap_or(0)
}

#[allow(clippy::disallowed_methods, reason = "the default of the clock that `open_with_clock` takes")]
fn system_now_ms() -> i64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX)
}
