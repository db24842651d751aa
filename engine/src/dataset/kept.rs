//! [`Datasets`]: the rows that are kept, and who may read which.
//!
//! ```text
//! start ── LOADING (from disk) ─┬─ READY ── refreshed: another READY
//!                               └─ ABSENT ── an ingestion: READY, or FAILED with its reason
//! ```
//! Reading waits while rows are loaded from disk, or while the first ingestion of a dataset runs. Where none runs and none is
//! going to, it is refused, and says why.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use chrono::{DateTime, Utc};
use limnos_catalog::{
    Catalog, DatasetDefinition, DatasetSource, DatasetSpelling, IngestionTrigger, Refresh, Table, TableDefinition,
    TableKind, TableName,
};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::budget::{Budget, Share};
use super::disk;
use super::ingest::Live;
use super::sources::Sources;
use super::tables::next_due;
use crate::clock::Clock;
use crate::{Error, ErrorCode, Result};

/// How long one that follows its files is left alone after it was looked at, when somebody saw them change.
const TOUCHED_MS: i64 = 1_000;

/// How often one whose files are watched is looked at all the same: watches may miss what others mount.
const WATCHED_MS: i64 = 60_000;

/// How often the files of others are listed.
const POLLED_MS: i64 = 30_000;

/// How long one that could not be made is left alone.
const RETRY_MS: i64 = 60_000;

/// One version of a dataset's rows. Never changes.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// Unlike any other's in this process.
    pub(crate) stamp: u64,
    /// Counts the swaps of this dataset on this server.
    pub(crate) version: u64,
    /// What it was made of: [`mark_of`].
    pub(crate) mark: String,
    /// How the source's files were read, where it is files: parts of another mark are of no use.
    pub(crate) source_mark: String,
    pub(crate) table: limnos_columnar::Table,
    /// Milliseconds since 1970, UTC.
    pub(crate) refreshed_at_ms: i64,
    /// The least of [`Table::data_version`] that it is not older than.
    pub(crate) data_version: AtomicI64,
    /// When it was last looked whether it is still right, and for which due time.
    pub(crate) checked_at_ms: AtomicI64,
    /// What a query read, exactly, where that is known.
    pub(crate) sources: Sources,
    pub(crate) memory: Share,
}

/// How a dataset stands.
#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    pub(crate) current: Option<Arc<Loaded>>,
    /// What a definition that is about to be committed has.
    pub(crate) next: Option<Arc<Loaded>>,
    pub(crate) is_loading: bool,
    pub(crate) is_running: bool,
    /// Why the last ingestion came to nothing.
    pub(crate) failure: Option<String>,
}

impl State {
    pub(crate) fn of_mark(&self, mark: &str) -> Option<&Arc<Loaded>> {
        self.current.iter().chain(&self.next).find(|loaded| loaded.mark == mark)
    }
}

/// One dataset.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) state: watch::Sender<State>,
    /// Held by the refresh that runs.
    pub(crate) turn: Arc<tokio::sync::Mutex<()>>,
    pub(crate) hits: AtomicU64,
    pub(crate) used_at_ms: AtomicI64,
    /// The last time that was due and handed out; failures count, too.
    pub(crate) due_at_ms: AtomicI64,
    /// When it was last handed out to be looked at.
    looked_at_ms: AtomicI64,
    /// Whether somebody saw its files change since.
    is_touched: AtomicBool,
}

impl Entry {
    fn new(state: State) -> Arc<Self> {
        Arc::new(Self {
            state: watch::Sender::new(state),
            turn: Arc::default(),
            hits: AtomicU64::new(0),
            used_at_ms: AtomicI64::new(0),
            due_at_ms: AtomicI64::new(0),
            looked_at_ms: AtomicI64::new(0),
            is_touched: AtomicBool::new(false),
        })
    }
}

/// A dataset that is to be refreshed, though nobody has said so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueDataset {
    /// Its id.
    pub id: i64,
    /// Why.
    pub trigger: IngestionTrigger,
    /// When it was due.
    pub at: DateTime<Utc>,
}

/// See the module.
#[derive(Debug)]
pub struct Datasets {
    entries: Mutex<HashMap<i64, Arc<Entry>>>,
    pub(crate) budget: Arc<Budget>,
    /// Where versions are written down; `None`: nowhere.
    folder: Option<PathBuf>,
    stamps: AtomicU64,
    /// Ingestions that go on, by their ids.
    live: Mutex<HashMap<String, Arc<Live>>>,
    /// Datasets that are being made: in the catalog already, perhaps, and their rows not yet here.
    defining: Mutex<HashSet<TableName>>,
    /// Whether somebody looks what is [`Datasets::due`] all the time.
    is_attended: AtomicBool,
    clock: Arc<dyn Clock>,
}

/// See [`Datasets::define`].
#[derive(Debug)]
pub(crate) struct Defining {
    datasets: Arc<Datasets>,
    name: TableName,
}

impl Drop for Defining {
    fn drop(&mut self) {
        self.datasets.defining.lock().remove(&self.name);
    }
}

/// What `table`'s rows are made of: all of its definition that they depend on.
pub(crate) fn mark_of(table: &TableDefinition) -> String {
    let mut bare = TableDefinition { comment: None, owner: String::new(), ..table.clone() };
    for column in &mut bare.columns {
        column.comment = None;
    }
    if let TableKind::Dataset(dataset) = &mut bare.kind {
        **dataset = DatasetDefinition {
            refresh: Refresh::Manual,
            since_ms: 0,
            is_full: false,
            memory_limit_bytes: None,
            is_populated: true,
            spelling: DatasetSpelling::Dataset,
            ..(**dataset).clone()
        };
    }
    limnos_catalog::record::encode(&bare).unwrap_or_default()
}

impl Datasets {
    pub(crate) fn new(folder: Option<PathBuf>, limit_bytes: u64, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            entries: Mutex::default(),
            budget: Budget::new(limit_bytes),
            folder,
            stamps: AtomicU64::new(1),
            live: Mutex::default(),
            defining: Mutex::default(),
            is_attended: AtomicBool::new(false),
            clock,
        })
    }

    /// Bytes that datasets take now, and may take.
    pub fn usage(&self) -> (u64, u64) {
        (self.budget.used(), self.budget.limit())
    }

    /// Says that whatever is due is going to be looked after.
    pub fn attend(&self) {
        self.is_attended.store(true, Ordering::Relaxed);
    }

    pub(crate) fn folder(&self, id: i64) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.join(id.to_string()))
    }

    /// Says that the dataset `name` is being made, until the answer is dropped: its rows are not to be made by others, too.
    pub(crate) fn define(self: &Arc<Self>, name: &TableName) -> Defining {
        self.defining.lock().insert(name.clone());
        Defining { datasets: Arc::clone(self), name: name.clone() }
    }

    /// Notes an ingestion that goes on, or that it has ended.
    pub(crate) fn running(&self, id: &str, live: Option<&Arc<Live>>) {
        let mut running = self.live.lock();
        match live {
            Some(live) => running.insert(id.to_owned(), Arc::clone(live)),
            None => running.remove(id),
        };
    }

    /// What an ingestion that goes on has done so far.
    pub(crate) fn counts(&self, id: &str) -> Option<limnos_catalog::IngestionCounts> {
        self.live.lock().get(id).map(|live| live.counts())
    }

    pub(crate) fn next_stamp(&self) -> u64 {
        self.stamps.fetch_add(1, Ordering::Relaxed)
    }

    /// The dataset of that id, made if need be.
    pub(crate) fn entry(&self, id: i64) -> Arc<Entry> {
        Arc::clone(self.entries.lock().entry(id).or_insert_with(|| Entry::new(State::default())))
    }

    /// The dataset of that id, if anything was ever kept of it.
    pub(crate) fn find(&self, id: i64) -> Option<Arc<Entry>> {
        self.entries.lock().get(&id).cloned()
    }

    /// Loads what was written down of the datasets in `catalog`, on a thread of its own; they are known, and waited for, at
    /// once.
    pub(crate) fn load(self: &Arc<Self>, catalog: &Arc<Catalog>) -> Result<()> {
        let tables: Vec<Arc<Table>> = datasets_of(catalog);
        {
            let mut entries = self.entries.lock();
            for table in &tables {
                entries.insert(table.id, Entry::new(State { is_loading: true, ..State::default() }));
            }
        }
        // Before anyone can make another one.
        self.forget_folders(&tables.iter().map(|table| table.id).collect::<Vec<_>>());
        let own = Arc::clone(self);
        let work = move || tables.iter().for_each(|table| own.load_one(table));
        std::thread::Builder::new()
            .name("limnos-datasets".to_owned())
            .spawn(work)
            .map(|_detached| ())
            .map_err(|error| Error::new(ErrorCode::IoError, format!("could not start a thread: {error}")))
    }

    fn load_one(&self, table: &Table) {
        let entry = self.entry(table.id);
        let limit = table.kind.dataset().and_then(|dataset| dataset.memory_limit_bytes);
        let loaded = self.folder(table.id).and_then(|folder| {
            disk::load(&folder, &mark_of(&table.definition))
                .inspect_err(|error| {
                    tracing::warn!(dataset = %table.name, %error, "a dataset on disk cannot be read and is ingested anew");
                })
                .ok()
                .flatten()
        });
        let loaded = loaded.and_then(|(meta, rows)| {
            let memory = self.budget.share(limit);
            if let Err(error) = memory.resize(&table.name.to_string(), rows.memory_bytes() as u64) {
                tracing::warn!(dataset = %table.name, %error, detail = error.detail, "a dataset on disk is not loaded");
                return None;
            }
            tracing::info!(dataset = %table.name, version = meta.version, rows = rows.rows(), "a dataset was loaded from disk");
            Some(Arc::new(Loaded {
                stamp: self.next_stamp(),
                version: meta.version,
                mark: meta.mark,
                source_mark: meta.source_mark,
                table: rows,
                refreshed_at_ms: meta.refreshed_at_ms,
                data_version: AtomicI64::new(meta.data_version),
                checked_at_ms: AtomicI64::new(meta.refreshed_at_ms),
                sources: Sources::default(),
                memory,
            }))
        });
        if let Some(loaded) = &loaded {
            entry.due_at_ms.store(loaded.refreshed_at_ms, Ordering::Relaxed);
        }
        entry.state.send_modify(|state| {
            state.is_loading = false;
            // An ingestion may have been faster.
            if state.current.is_none() {
                state.current = loaded;
            }
        });
    }

    /// Deletes what was written down of datasets that are no more.
    fn forget_folders(&self, ids: &[i64]) {
        let Some(folder) = &self.folder else { return };
        let Ok(entries) = std::fs::read_dir(folder) else { return };
        for entry in entries.flatten() {
            let id = entry.file_name().to_str().and_then(|name| name.parse::<i64>().ok());
            if id.is_some_and(|id| !ids.contains(&id)) {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
    }

    /// Drops the rows of datasets that are no more, on disk, too.
    pub fn tidy(&self, catalog: &Catalog) {
        let snapshot = catalog.snapshot();
        let ids: Vec<i64> = {
            let is_there =
                |id: &i64| snapshot.tables.values().any(|table| table.id == *id && table.kind.dataset().is_some());
            self.entries.lock().keys().copied().filter(|id| !is_there(id)).collect()
        };
        for id in ids {
            self.entries.lock().remove(&id);
            if let Some(folder) = self.folder(id) {
                let _ = std::fs::remove_dir_all(folder);
            }
        }
    }

    /// What is to be refreshed at `now`, each once: datasets that have rows, but not here; those that others have refreshed
    /// since; those whose time has come; and those that follow their files, to be looked at.
    pub fn due(&self, catalog: &Catalog, now: DateTime<Utc>) -> Vec<DueDataset> {
        let now_ms = now.timestamp_millis();
        let mut due = Vec::new();
        for table in datasets_of(catalog) {
            let Some(dataset) = table.kind.dataset().filter(|dataset| dataset.is_populated) else { continue };
            let entry = self.entry(table.id);
            let state = entry.state.borrow().clone();
            if state.is_loading || state.is_running || self.defining.lock().contains(&table.name) {
                continue;
            }
            let loaded = state.of_mark(&mark_of(&table.definition));
            let looked_ms = entry.looked_at_ms.load(Ordering::Relaxed);
            let trigger = match (loaded, &dataset.refresh) {
                // One that failed is tried again, but not all the time.
                (None, _) => {
                    let wait_ms = if state.failure.is_some() { RETRY_MS } else { 0 };
                    (now_ms - looked_ms >= wait_ms).then_some((IngestionTrigger::Recovery, now))
                }
                (Some(loaded), _)
                    if loaded.data_version.load(Ordering::Relaxed) < table.data_version
                        && now_ms - looked_ms >= if state.failure.is_some() { RETRY_MS } else { 0 } =>
                {
                    Some((IngestionTrigger::Recovery, now))
                }
                (Some(_), Refresh::OnChange) => {
                    let is_told = entry.is_touched.load(Ordering::Relaxed) && now_ms - looked_ms >= TOUCHED_MS;
                    let wait_ms = if is_watched(catalog, dataset) { WATCHED_MS } else { POLLED_MS };
                    (is_told || now_ms - looked_ms >= wait_ms).then_some((IngestionTrigger::Change, now))
                }
                (Some(loaded), refresh) => {
                    let after = entry.due_at_ms.load(Ordering::Relaxed).max(dataset.since_ms).max(match refresh {
                        // An interval begins where the last refresh was, whoever asked for it.
                        Refresh::Every(_) => loaded.checked_at_ms.load(Ordering::Relaxed),
                        _ => 0,
                    });
                    let after = DateTime::from_timestamp_millis(after).unwrap_or(now);
                    next_due(refresh, after).filter(|at| *at <= now).map(|at| (IngestionTrigger::Schedule, at))
                }
            };
            let Some((trigger, at)) = trigger else { continue };
            entry.looked_at_ms.store(now_ms, Ordering::Relaxed);
            match trigger {
                IngestionTrigger::Change => entry.is_touched.store(false, Ordering::Relaxed),
                // However many times were due, they are made up for by one refresh.
                IngestionTrigger::Schedule => entry.due_at_ms.store(now_ms, Ordering::Relaxed),
                _ => {}
            }
            due.push(DueDataset { id: table.id, trigger, at });
        }
        due
    }

    /// The local folders of tables whose datasets follow their files, with the datasets' ids.
    pub fn watched(&self, catalog: &Catalog) -> Vec<(i64, PathBuf)> {
        let follows = |table: &Arc<Table>| {
            let dataset = table.kind.dataset().filter(|dataset| dataset.refresh == Refresh::OnChange)?;
            Some((table.id, local_folder(catalog, dataset)?))
        };
        datasets_of(catalog).iter().filter_map(follows).collect()
    }

    /// Says that files of a dataset have changed.
    pub fn touch(&self, id: i64) {
        if let Some(entry) = self.find(id) {
            entry.is_touched.store(true, Ordering::Relaxed);
        }
    }

    /// The rows of `table`, which is a dataset; waits while they are being loaded or made for the first time.
    ///
    /// # Errors
    /// 55000: it has none, and none are coming.
    pub(crate) async fn open(&self, table: &Table) -> Result<Arc<Loaded>> {
        let Some(dataset) = table.kind.dataset() else {
            return Err(Error::internal(format!("\"{}\" is not a dataset", table.name)));
        };
        if !dataset.is_populated {
            return Err(not_populated(table, dataset));
        }
        let (entry, mark) = (self.entry(table.id), mark_of(&table.definition));
        let mut states = entry.state.subscribe();
        loop {
            {
                let state = states.borrow_and_update();
                if let Some(loaded) = state.of_mark(&mark) {
                    entry.hits.fetch_add(1, Ordering::Relaxed);
                    entry.used_at_ms.store(self.clock.now().timestamp_millis(), Ordering::Relaxed);
                    return Ok(Arc::clone(loaded));
                }
                let is_coming = self.is_attended.load(Ordering::Relaxed) && state.failure.is_none();
                if !state.is_loading && !state.is_running && !is_coming {
                    return Err(absent(table, dataset, state.failure.as_deref()));
                }
            }
            if states.changed().await.is_err() {
                return Err(absent(table, dataset, None));
            }
        }
    }
}

/// The folder that the files of a dataset's table are in, if that is a local one.
fn local_folder(catalog: &Catalog, dataset: &DatasetDefinition) -> Option<PathBuf> {
    let DatasetSource::Table(name) = &dataset.source else { return None };
    let snapshot = catalog.snapshot();
    match &snapshot.find_table(name)?.kind {
        TableKind::External(storage) => storage.location.strip_prefix("file://").map(PathBuf::from),
        TableKind::View { .. } | TableKind::Dataset(_) => None,
    }
}

fn is_watched(catalog: &Catalog, dataset: &DatasetDefinition) -> bool {
    local_folder(catalog, dataset).is_some()
}

/// The datasets of the newest snapshot.
pub(crate) fn datasets_of(catalog: &Catalog) -> Vec<Arc<Table>> {
    let snapshot = catalog.snapshot();
    snapshot.tables.values().filter(|table| table.kind.dataset().is_some()).cloned().collect()
}

/// PostgreSQL's words.
fn not_populated(table: &Table, dataset: &DatasetDefinition) -> Error {
    let noun = dataset.spelling.noun();
    Error::new(
        ErrorCode::ObjectNotInPrerequisiteState,
        format!("{noun} \"{}\" has not been populated", table.name.name),
    )
    .with_hint(format!("Use the REFRESH {} command.", noun.to_uppercase()))
}

fn absent(table: &Table, dataset: &DatasetDefinition, failure: Option<&str>) -> Error {
    let noun = dataset.spelling.noun();
    let message = format!("{noun} \"{}\" has no rows in the memory of this server", table.name.name);
    let error = Error::new(ErrorCode::ObjectNotInPrerequisiteState, message)
        .with_hint(format!("Use the REFRESH {} command.", noun.to_uppercase()));
    match failure {
        Some(failure) => error.with_detail(format!("The last ingestion failed: {failure}.")),
        None => error,
    }
}
