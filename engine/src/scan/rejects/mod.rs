//! Lines that are no rows: counted by [`ScanTally`], kept by [`RejectLog`], shown by [`RejectTable`].
//!
//! ```text
//! a decoder refuses a line ── FileTally ─┬─ ScanTally: counts, the maximum, EXPLAIN ANALYZE, the query's statistics
//!                                        └─ RejectLog: a thread that writes batches to the catalog's table `rejects`
//! ```

mod table;
mod tally;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use limnos_catalog::{Catalog, FileVersion, Reject};
use parking_lot::Mutex;

pub(crate) use table::RejectTable;
pub use tally::FileTally;
pub(crate) use tally::{Quarantine, ScanTally};

use crate::Result;

/// Rejects that wait to be written, at most some 1.5 kB each. Beyond this they are let go: they are counted all the same, and
/// the next query of their file brings them again.
const WAITING_MAX: usize = 8 << 10;

/// Rejects written in one transaction.
const BATCH: usize = 1024;

/// How long the writer waits for more before it writes what it has.
const PAUSE: Duration = Duration::from_millis(200);

/// How long who looks at rejects waits for those that are being written.
const FLUSH_WAIT: Duration = Duration::from_secs(10);

/// What the writer is told.
enum Told {
    Reject(Reject),
    /// A file was read to its end: what is kept of its other versions goes.
    Read(i64, FileVersion),
    /// Somebody waits for what was told before.
    Flush(SyncSender<()>),
}

/// Keeps rejects, each once. Dropping it writes what waits.
pub struct RejectLog {
    catalog: Arc<Catalog>,
    waiting: Option<SyncSender<Told>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    /// The files that something may be kept of; read from the store when it is first needed.
    known: Mutex<Option<HashSet<(i64, String)>>>,
    let_go: AtomicU64,
}

impl std::fmt::Debug for RejectLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RejectLog").field("catalog", &self.catalog).finish_non_exhaustive()
    }
}

impl RejectLog {
    /// Over the rejects that `catalog` keeps.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub(crate) fn new(catalog: Arc<Catalog>) -> Result<Arc<Self>> {
        let (sender, receiver) = sync_channel(WAITING_MAX);
        let own = Arc::clone(&catalog);
        let spawned =
            std::thread::Builder::new().name("limnos-rejects".to_owned()).spawn(move || write(&own, &receiver));
        let writer = spawned.map_err(|error| {
            crate::Error::new(crate::ErrorCode::IoError, format!("could not start a thread: {error}"))
        })?;
        Ok(Arc::new(Self {
            catalog,
            waiting: Some(sender),
            writer: Mutex::new(Some(writer)),
            known: Mutex::default(),
            let_go: AtomicU64::new(0),
        }))
    }

    /// Takes a reject, to be written soon.
    pub(crate) fn tell(&self, reject: Reject) {
        self.note(reject.table_id, &reject.file.location);
        if !self.send(Told::Reject(reject)) && self.let_go.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::warn!("rejected lines come faster than they can be written: some are counted and not kept");
        }
    }

    /// Hears that `file` was read to its end for a table.
    pub(crate) fn was_read(&self, table_id: i64, file: &FileVersion) {
        let mut known = self.known.lock();
        let known = known.get_or_insert_with(|| self.load_known());
        if known.contains(&(table_id, file.location.clone())) {
            self.send(Told::Read(table_id, file.clone()));
        }
    }

    /// Waits until what was told is written.
    pub(crate) fn flush(&self) {
        let (done, is_done) = sync_channel(1);
        if self.waiting.as_ref().is_some_and(|waiting| waiting.send(Told::Flush(done)).is_ok()) {
            let _ = is_done.recv_timeout(FLUSH_WAIT);
        }
    }

    fn note(&self, table_id: i64, location: &str) {
        let mut known = self.known.lock();
        let known = known.get_or_insert_with(|| self.load_known());
        let key = (table_id, location.to_owned());
        if !known.contains(&key) {
            known.insert(key);
        }
    }

    fn load_known(&self) -> HashSet<(i64, String)> {
        self.catalog.files_with_rejects().map(HashSet::from_iter).unwrap_or_else(|error| {
            tracing::warn!(%error, "rejected lines cannot be read");
            HashSet::new()
        })
    }

    /// False if too many wait already.
    fn send(&self, told: Told) -> bool {
        match &self.waiting {
            Some(waiting) => !matches!(waiting.try_send(told), Err(TrySendError::Full(_))),
            None => true,
        }
    }
}

impl Drop for RejectLog {
    fn drop(&mut self) {
        // The writer ends when nobody can tell it more, after writing what it was told.
        self.waiting = None;
        if let Some(writer) = self.writer.lock().take()
            && writer.join().is_err()
        {
            tracing::error!("the writer of rejected lines panicked");
        }
    }
}

/// Writes what it is told in batches until nobody can tell it more.
fn write(catalog: &Catalog, told: &Receiver<Told>) {
    while let Ok(first) = told.recv() {
        let mut batch = Batch::default();
        let mut is_last = false;
        let mut goes_on = batch.take(first);
        while goes_on {
            goes_on = match told.recv_timeout(PAUSE) {
                Ok(next) => batch.take(next),
                Err(RecvTimeoutError::Timeout) => false,
                Err(RecvTimeoutError::Disconnected) => {
                    is_last = true;
                    false
                }
            };
        }
        batch.write(catalog);
        if is_last {
            return;
        }
    }
}

#[derive(Default)]
struct Batch {
    rejects: Vec<Reject>,
    read: Vec<(i64, FileVersion)>,
    waits: Option<SyncSender<()>>,
}

impl Batch {
    /// False if it is to be written now.
    fn take(&mut self, told: Told) -> bool {
        match told {
            Told::Reject(reject) => self.rejects.push(reject),
            Told::Read(table_id, file) => self.read.push((table_id, file)),
            Told::Flush(waits) => self.waits = Some(waits),
        }
        self.waits.is_none() && self.rejects.len() < BATCH && self.read.len() < BATCH
    }

    fn write(self, catalog: &Catalog) {
        if !self.rejects.is_empty()
            && let Err(error) = catalog.put_rejects(&self.rejects)
        {
            tracing::warn!(%error, lines = self.rejects.len(), "rejected lines cannot be written down");
        }
        if !self.read.is_empty()
            && let Err(error) = catalog.forget_rejects_of_other_versions(&self.read)
        {
            tracing::warn!(%error, "rejected lines of replaced files cannot be forgotten");
        }
        if let Some(waits) = self.waits {
            let _ = waits.try_send(());
        }
    }
}
