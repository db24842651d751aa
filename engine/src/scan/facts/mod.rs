//! What is known of data files without opening them: [`KnownFiles`] asks the catalog, and has the catalog told.
//!
//! ```text
//! a footer is read ── gather ── FileFacts ─┬─ the catalog's memory, at once
//!                                          └─ a thread that writes batches to the store, off every query's path
//! a query is planned ── KnownFiles::get ── FileFacts ── statistics: pruning, and DataFusion's exact Statistics
//! ```
//! Planning uses facts whether they come from a footer that was just read or from the store, through the same code: an
//! answer can't depend on which it was.

mod gather;
mod sketch;
pub(crate) mod statistics;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use limnos_catalog::{Catalog, FactsMemory, FileFacts, FileFormat, FileVersion, StorageDescriptor, TableDefinition};
use object_store::ObjectMeta;
use parking_lot::Mutex;

pub(crate) use gather::facts_of;
pub(crate) use sketch::Sketch;

use crate::Result;
use crate::cache::{CacheUsage, NamedCache};

/// Facts that wait to be written. Beyond this they are dropped: the next reader of that footer brings them again.
const WAITING_MAX: usize = 16 << 10;

/// Facts written in one transaction.
const BATCH: usize = 1024;

/// How long the writer waits for more before it writes what it has.
const PAUSE: Duration = Duration::from_millis(200);

/// The version of `meta` in the store at `store_url`, by everything the store says of it.
pub(crate) fn file_version(store_url: &str, meta: &ObjectMeta) -> FileVersion {
    FileVersion {
        location: format!("{store_url}/{}", meta.location),
        version: format!(
            "{}-{}-{}",
            meta.size,
            meta.last_modified.timestamp_micros(),
            meta.e_tag.as_deref().unwrap_or_default()
        ),
    }
}

/// For files that don't say what they hold: a mark of everything that decides how many rows they have. `None` for formats
/// whose files say so themselves.
pub(crate) fn read_as(definition: &TableDefinition, storage: &StorageDescriptor) -> Option<Box<str>> {
    if matches!(storage.format, FileFormat::Parquet | FileFormat::Orc) {
        return None;
    }
    // 64 bits of FNV-1a over the definition's own frozen text, less what says nothing of rows.
    let bare =
        TableDefinition { comment: None, owner: String::new(), partition_keys: Vec::new(), ..definition.clone() };
    let text = limnos_catalog::record::encode(&bare).ok()?;
    let hash = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    Some(format!("{hash:016x}").into())
}

type Told = (FileVersion, Arc<FileFacts>);

/// See the module. Dropping it writes what waits.
pub struct KnownFiles {
    catalog: Arc<Catalog>,
    waiting: Option<SyncSender<Told>>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl std::fmt::Debug for KnownFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KnownFiles").field("catalog", &self.catalog).finish_non_exhaustive()
    }
}

impl KnownFiles {
    /// Over the facts that `catalog` keeps.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn new(catalog: Arc<Catalog>) -> Result<Arc<Self>> {
        let (sender, receiver) = sync_channel(WAITING_MAX);
        let own = Arc::clone(&catalog);
        let writer =
            std::thread::Builder::new().name("limnos-facts".to_owned()).spawn(move || write(&own, &receiver)).map_err(
                |error| crate::Error::new(crate::ErrorCode::IoError, format!("could not start a thread: {error}")),
            )?;
        Ok(Arc::new(Self { catalog, waiting: Some(sender), writer: Mutex::new(Some(writer)) }))
    }

    /// The facts of each of `files` that holds under `read_as`. Facts are a help: where the store can't be read there are
    /// none, and the log says so.
    pub(crate) fn get(&self, files: &[FileVersion], read_as: Option<&str>) -> Vec<Option<Arc<FileFacts>>> {
        match self.catalog.file_facts(files) {
            Ok(mut facts) => {
                for facts in &mut facts {
                    facts.take_if(|facts| facts.read_as.as_deref() != read_as);
                }
                facts
            }
            Err(error) => {
                tracing::warn!(%error, "facts of files cannot be read");
                vec![None; files.len()]
            }
        }
    }

    /// Takes what a footer told: known at once, written down soon. What is known already stays, for it may hold more (the
    /// distinct values that ANALYZE has counted). Returns what is known now.
    pub(crate) fn tell(&self, file: FileVersion, facts: FileFacts) -> Arc<FileFacts> {
        if let Some(known) = self.catalog.noted_file_facts(&file)
            && known.read_as.is_none()
        {
            return known;
        }
        let facts = Arc::new(facts);
        self.catalog.note_file_facts(&file, &facts);
        if let Some(waiting) = &self.waiting
            && let Err(TrySendError::Full(_)) = waiting.try_send((file, Arc::clone(&facts)))
        {
            tracing::debug!("facts of a file are not written down: too many wait");
        }
        facts
    }

    /// Writes facts down and waits until they are: what ANALYZE does.
    ///
    /// # Errors
    /// What the store says.
    pub(crate) fn put(&self, facts: &[Told]) -> Result<()> {
        facts.chunks(BATCH).try_for_each(|batch| Ok(self.catalog.put_file_facts(batch)?))
    }
}

/// The facts in the catalog's memory. Those that are written down stay.
impl NamedCache for KnownFiles {
    fn name(&self) -> &'static str {
        "facts"
    }

    fn usage(&self) -> CacheUsage {
        let FactsMemory { file_count, bytes, limit_bytes, hits, misses } = self.catalog.facts_memory();
        CacheUsage { entries: file_count, bytes, limit_bytes, hits, misses }
    }

    fn clear(&self) {
        self.catalog.forget_facts_in_memory();
    }
}

impl Drop for KnownFiles {
    fn drop(&mut self) {
        // The writer ends when nobody can tell it more, after writing what it was told.
        self.waiting = None;
        if let Some(writer) = self.writer.lock().take()
            && writer.join().is_err()
        {
            tracing::error!("the writer of facts panicked");
        }
    }
}

/// Writes what it is told in batches until nobody can tell it more.
fn write(catalog: &Catalog, told: &Receiver<Told>) {
    while let Ok(first) = told.recv() {
        let mut batch = vec![first];
        let mut is_last = false;
        while batch.len() < BATCH {
            match told.recv_timeout(PAUSE) {
                Ok(facts) => batch.push(facts),
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => {
                    is_last = true;
                    break;
                }
            }
        }
        if let Err(error) = catalog.put_file_facts(&batch) {
            tracing::warn!(%error, files = batch.len(), "facts of files cannot be written down");
        }
        if is_last {
            return;
        }
    }
}
