//! CREATE, REFRESH and what else makes a dataset's rows anew: one run in the history, one swap.
//!
//! ```text
//! turn taken ── a run is noted ── ingest ── written down ── swapped in ── the catalog told ── the run's end noted
//!                                   │ fails, is cancelled: the old version stays, and the run says why
//! ```
//! Two refreshes of one dataset never overlap: the second waits for the first, and then finds little to do. A new dataset, or
//! another definition under its name, is there with its rows or not at all: the rows come first, then the commit.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use limnos_catalog::{
    Catalog, Change, Ingestion, IngestionCounts, IngestionTrigger, RunState, Table, TableDefinition, TableName,
};
use tokio::sync::OwnedMutexGuard;

use super::disk;
use super::ingest::{Ingested, Job, Live};
use super::kept::{Entry, Loaded, mark_of};
use crate::engine::Engine;
use crate::execute::QueryRun;
use crate::plan::lake::PlanContext;
use crate::{Error, ErrorCode, Result, Session};

/// The longest reason that the history keeps.
const MESSAGE_CHARS_MAX: usize = 2_000;

/// What a refresh did.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Refreshed {
    /// The rows that there are now.
    pub(crate) rows: u64,
    pub(crate) version: u64,
    pub(crate) is_changed: bool,
    pub(crate) counts: IngestionCounts,
}

/// What asks for rows, and how.
pub(crate) struct Request {
    pub(crate) session: Session,
    pub(crate) run: Arc<QueryRun>,
    pub(crate) trigger: IngestionTrigger,
    pub(crate) full: bool,
}

/// Plans and reads as the dataset's owner does.
fn context_of_owner(engine: &Engine, request: &Request, owner: &str) -> PlanContext {
    let mut context = engine.plan_context(&request.session, Arc::clone(&request.run));
    context.snapshot = engine.catalog().snapshot();
    context.rights = Arc::new(context.rights.of_owner(owner));
    owner.clone_into(&mut Arc::make_mut(&mut context.session).user);
    context
}

/// Makes the rows of a dataset of `definition` that nobody knows yet, then the dataset by `change`, and lets it be read.
/// `existing` is the dataset that it takes the place of.
///
/// # Errors
/// Those of the source, and of the commit. Nothing has changed then.
pub(crate) async fn define(
    engine: Arc<Engine>,
    request: Request,
    name: TableName,
    definition: TableDefinition,
    existing: Option<Arc<Table>>,
    change: Change,
) -> Result<Refreshed> {
    let datasets = Arc::clone(&engine.shared.datasets);
    let _defining = datasets.define(&name);
    let entry = existing.as_ref().map(|table| datasets.entry(table.id));
    let _turn = match &entry {
        Some(entry) => Some(take_turn(entry).await),
        None => None,
    };
    let previous = entry.as_ref().and_then(|entry| entry.state.borrow().current.clone());
    let id = existing.as_ref().map_or(0, |table| table.id);
    let mut ending = Ending::begin(&engine, &request, id, &name, true)?;
    let context = context_of_owner(&engine, &request, &definition.owner);
    let job = Job {
        engine: Arc::clone(&engine),
        context,
        name: name.clone(),
        definition: definition.clone(),
        previous: previous.clone(),
        full: request.full,
        live: Arc::clone(&ending.live),
        budget: Arc::clone(&datasets.budget),
    };
    let ingested = match Box::pin(engine.cpu.run(Box::pin(job.run()))).await {
        Ok(ingested) => ingested,
        Err(error) => return Err(ending.fail(error, None)),
    };
    let version = previous.as_ref().map_or(0, |previous| previous.version);
    let loaded = match (ingested, &previous) {
        (Some(ingested), _) => loaded(&engine, ingested, version + 1, 0),
        // Nothing that its rows depend on has changed.
        (None, Some(previous)) => Arc::clone(previous),
        (None, None) => return Err(ending.fail(Error::internal("an ingestion without rows"), None)),
    };
    let is_changed = previous.as_ref().is_none_or(|previous| previous.stamp != loaded.stamp);
    if let Some(entry) = &entry {
        write_down(&engine, id, &loaded).await;
        entry.state.send_modify(|state| state.next = Some(Arc::clone(&loaded)));
    }
    if let Err(error) = commit(engine.catalog(), change).await {
        if let Some(entry) = &entry {
            entry.state.send_modify(|state| state.next = None);
        }
        return Err(ending.fail(error, None));
    }
    let snapshot = engine.catalog().snapshot();
    let table = Arc::clone(snapshot.table(&name)?);
    ending.record_id(table.id);
    loaded.data_version.store(table.data_version, Ordering::Relaxed);
    let entry = datasets.entry(table.id);
    if existing.is_none() {
        write_down(&engine, table.id, &loaded).await;
    }
    swap(&entry, &loaded);
    if let Some(folder) = datasets.folder(table.id) {
        disk::forget_others(&folder, &loaded);
    }
    let counts = ending.succeed(loaded.version);
    Ok(Refreshed { rows: loaded.table.rows(), version: loaded.version, is_changed, counts })
}

/// Makes the rows of the dataset called `name` anew.
///
/// # Errors
/// Those of the source. What was there stays.
pub(crate) async fn refresh(engine: Arc<Engine>, request: Request, name: TableName) -> Result<Refreshed> {
    let datasets = Arc::clone(&engine.shared.datasets);
    let id = dataset(engine.catalog(), &name)?.id;
    let entry = datasets.entry(id);
    let turn = match request.trigger {
        IngestionTrigger::Statement | IngestionTrigger::Create => Some(take_turn(&entry).await),
        // What goes on by itself doesn't queue up.
        IngestionTrigger::Schedule | IngestionTrigger::Change | IngestionTrigger::Recovery => {
            Arc::clone(&entry.turn).try_lock_owned().ok()
        }
    };
    let Some(_turn) = turn else {
        return Err(Error::new(ErrorCode::ObjectInUse, format!("dataset \"{name}\" is being refreshed")));
    };
    wait_for_disk(&entry).await;
    // Of now: it may have been changed while somebody else had the turn.
    let table = dataset(engine.catalog(), &name)?;
    let mark = mark_of(&table.definition);
    let previous = entry.state.borrow().current.clone().filter(|loaded| loaded.mark == mark);
    let quiet = request.trigger == IngestionTrigger::Change;
    let mut ending = Ending::begin(&engine, &request, table.id, &name, !quiet)?;
    let _running = Running::begin(&entry);
    let context = context_of_owner(&engine, &request, &table.owner);
    let job = Job {
        engine: Arc::clone(&engine),
        context,
        name: name.clone(),
        definition: (*table.definition).clone(),
        previous: previous.clone(),
        full: request.full || table.kind.dataset().is_some_and(|dataset| dataset.is_full),
        live: Arc::clone(&ending.live),
        budget: Arc::clone(&datasets.budget),
    };
    let ingested = match Box::pin(engine.cpu.run(Box::pin(job.run()))).await {
        Ok(ingested) => ingested,
        Err(error) => {
            let error = ending.fail(error, previous.as_deref());
            let failure = error.message.clone();
            entry.state.send_modify(|state| state.failure = Some(failure));
            return Err(error);
        }
    };
    let is_changed = ingested.is_some();
    let loaded = match (ingested, &previous) {
        (Some(ingested), _) => {
            let version = entry.state.borrow().current.as_ref().map_or(0, |current| current.version);
            let loaded = loaded(&engine, ingested, version + 1, table.data_version);
            write_down(&engine, table.id, &loaded).await;
            loaded
        }
        (None, Some(previous)) => Arc::clone(previous),
        (None, None) => return Err(ending.fail(Error::internal("an ingestion without rows"), None)),
    };
    let now = engine.catalog().snapshot();
    let is_same = |now: &&Arc<Table>| now.id == table.id && mark_of(&now.definition) == mark;
    if now.tables.values().find(is_same).is_none() {
        let message = format!("dataset \"{name}\" was changed or dropped while it was refreshed");
        return Err(ending.fail(Error::new(ErrorCode::ObjectNotInPrerequisiteState, message), None));
    }
    if is_changed {
        swap(&entry, &loaded);
        if let Some(folder) = datasets.folder(table.id) {
            disk::forget_others(&folder, &loaded);
        }
    } else {
        entry.state.send_modify(|state| state.failure = None);
    }
    loaded.checked_at_ms.store(engine.clock().now().timestamp_millis(), Ordering::Relaxed);
    let was_populated = table.kind.dataset().is_some_and(|dataset| dataset.is_populated);
    let tells_others = is_changed && request.trigger == IngestionTrigger::Statement;
    let mut seen = table.data_version;
    if tells_others || !was_populated {
        let change = Change::RefreshDataset { id: table.id, is_populated: true, tells_others };
        commit(engine.catalog(), change).await.map_err(|error| ending.fail(error, None))?;
        let newest = engine.catalog().snapshot();
        seen = newest.tables.values().find(|now| now.id == table.id).map_or(seen, |now| now.data_version);
    }
    if loaded.data_version.swap(seen, Ordering::Relaxed) != seen
        && let Some(folder) = datasets.folder(table.id)
        && let Err(error) = disk::save_meta(&folder, &loaded)
    {
        tracing::warn!(dataset = %name, %error, "a dataset's state could not be written down");
    }
    if is_changed {
        ending.note()?;
    }
    let counts = ending.succeed(loaded.version);
    Ok(Refreshed { rows: loaded.table.rows(), version: loaded.version, is_changed, counts })
}

/// Forgets the rows of a dataset, until it is refreshed.
pub(crate) async fn empty(engine: &Arc<Engine>, name: &TableName) -> Result<()> {
    let table = dataset(engine.catalog(), name)?;
    let entry = engine.shared.datasets.entry(table.id);
    let _turn = take_turn(&entry).await;
    let change = Change::RefreshDataset { id: table.id, is_populated: false, tells_others: false };
    commit(engine.catalog(), change).await?;
    entry.state.send_modify(|state| (state.current, state.failure) = (None, None));
    if let Some(folder) = engine.shared.datasets.folder(table.id) {
        let _ = std::fs::remove_dir_all(folder);
    }
    Ok(())
}

/// The dataset called `name`, now.
pub(crate) fn dataset(catalog: &Catalog, name: &TableName) -> Result<Arc<Table>> {
    let snapshot = catalog.snapshot();
    let table = Arc::clone(snapshot.table(name)?);
    match table.kind.dataset() {
        Some(_) => Ok(table),
        None => {
            let message = format!("\"{}\" is not a materialized view", table.name.name);
            Err(Error::new(ErrorCode::WrongObjectType, message)
                .with_detail(format!("It is a {}, and keeps no rows in memory.", table.kind.noun())))
        }
    }
}

async fn commit(catalog: &Arc<Catalog>, change: Change) -> Result<()> {
    let catalog = Arc::clone(catalog);
    let committed = tokio::task::spawn_blocking(move || catalog.commit(vec![change])).await;
    committed.map_err(|error| Error::internal(format!("commit stopped: {error}")))??;
    Ok(())
}

async fn take_turn(entry: &Entry) -> OwnedMutexGuard<()> {
    let turn = Arc::clone(&entry.turn).lock_owned().await;
    wait_for_disk(entry).await;
    turn
}

/// What is being loaded is there before anything is made anew.
async fn wait_for_disk(entry: &Entry) {
    let mut states = entry.state.subscribe();
    // It goes on if the loader is gone.
    let _ = states.wait_for(|state| !state.is_loading).await;
}

fn loaded(engine: &Engine, ingested: Ingested, version: u64, data_version: i64) -> Arc<Loaded> {
    let Ingested { table, mark, source_mark, sources, memory } = ingested;
    let now_ms = engine.clock().now().timestamp_millis();
    Arc::new(Loaded {
        stamp: engine.shared.datasets.next_stamp(),
        version,
        mark,
        source_mark,
        table,
        refreshed_at_ms: now_ms,
        data_version: AtomicI64::new(data_version),
        checked_at_ms: AtomicI64::new(now_ms),
        sources,
        memory,
    })
}

/// Writes a version down. That it can't be is no reason to keep it from its readers: after a restart it is made anew.
async fn write_down(engine: &Engine, id: i64, loaded: &Arc<Loaded>) {
    let Some(folder) = engine.shared.datasets.folder(id) else { return };
    let own = Arc::clone(loaded);
    let saved = tokio::task::spawn_blocking(move || disk::save(&folder, &own)).await;
    match saved {
        Ok(Ok(bytes)) => tracing::debug!(dataset = id, version = loaded.version, bytes, "a dataset was written down"),
        Ok(Err(error)) => tracing::warn!(dataset = id, %error, "a dataset could not be written down"),
        Err(error) => tracing::warn!(dataset = id, %error, "writing a dataset down stopped"),
    }
}

/// Puts a version in the place of the one before, for all who read from now on.
fn swap(entry: &Entry, loaded: &Arc<Loaded>) {
    entry.state.send_modify(|state| {
        if let Some(old) = state.current.replace(Arc::clone(loaded)) {
            // Who still reads it holds what nobody else does; most of it is shared.
            old.memory.force(0);
        }
        loaded.memory.force(loaded.table.memory_bytes() as u64);
        (state.next, state.failure) = (None, None);
    });
}

/// Lets readers wait while the first rows come.
struct Running<'a>(&'a Entry);

impl<'a> Running<'a> {
    fn begin(entry: &'a Entry) -> Self {
        entry.state.send_modify(|state| state.is_running = true);
        Self(entry)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.state.send_modify(|state| state.is_running = false);
    }
}

/// Notes how a run ends; one that is dropped (cancelled, timed out, its client gone) was cancelled.
struct Ending {
    engine: Arc<Engine>,
    live: Arc<Live>,
    record: Option<Ingestion>,
    /// Whether the history has it.
    is_noted: bool,
}

impl Ending {
    fn begin(engine: &Arc<Engine>, request: &Request, id: i64, name: &TableName, noted: bool) -> Result<Self> {
        let query_id = request.run.query_id.clone();
        let record = Ingestion {
            id: query_id.clone(),
            dataset_id: id,
            dataset: name.to_string(),
            server_id: engine.catalog().own_server_id(),
            trigger: request.trigger,
            state: RunState::Running,
            query_id,
            user: request.session.user.clone(),
            started_at_ms: engine.clock().now().timestamp_millis(),
            finished_at_ms: None,
            counts: IngestionCounts::default(),
            version: None,
            message: None,
        };
        let live = Live::new(&request.run.stats);
        let mut ending = Self { engine: Arc::clone(engine), live, record: Some(record), is_noted: false };
        if noted && id != 0 {
            ending.note()?;
        }
        Ok(ending)
    }

    /// Puts it into the history, unless it is there.
    fn note(&mut self) -> Result<()> {
        if let Some(record) = self.record.as_ref().filter(|_| !self.is_noted) {
            self.engine.catalog().begin_ingestion(record)?;
            self.engine.shared.datasets.running(&record.id, Some(&self.live));
            self.is_noted = true;
        }
        Ok(())
    }

    /// The dataset has an id by now.
    fn record_id(&mut self, id: i64) {
        if let Some(record) = &mut self.record {
            record.dataset_id = id;
        }
        if let Err(error) = self.note() {
            tracing::warn!(%error, "an ingestion could not be noted");
        }
    }

    fn end(&mut self, state: RunState, version: Option<u64>, message: Option<String>) {
        let Some(mut record) = self.record.take() else { return };
        record.state = state;
        record.finished_at_ms = Some(self.engine.clock().now().timestamp_millis());
        record.counts = self.live.counts();
        record.version = version;
        record.message = message.map(|message| message.chars().take(MESSAGE_CHARS_MAX).collect());
        self.engine.shared.datasets.running(&record.id, None);
        let counts = &record.counts;
        if state == RunState::Succeeded && !self.is_noted {
            return;
        }
        tracing::info!(
            dataset = %record.dataset, ingestion_id = %record.id, state = state.name(), trigger = record.trigger.name(),
            version, rows = counts.rows_ingested, dropped = counts.rows_dropped, bytes = counts.bytes_read,
            files_added = counts.files_added, files_changed = counts.files_changed, files_removed = counts.files_removed,
            files_unchanged = counts.files_unchanged, message = record.message.as_deref(), "ingestion ended"
        );
        // One that came to nothing of a dataset that isn't there has nobody to tell it of.
        if record.dataset_id == 0 {
            return;
        }
        let catalog = self.engine.catalog();
        let kept = match self.is_noted {
            true => catalog.end_ingestion(&record),
            false => catalog.begin_ingestion(&record).map(|_| ()),
        };
        if let Err(error) = kept {
            tracing::warn!(%error, ingestion_id = %record.id, "the end of an ingestion could not be noted");
        }
    }

    fn succeed(mut self, version: u64) -> IngestionCounts {
        let counts = self.live.counts();
        self.end(RunState::Succeeded, Some(version), None);
        counts
    }

    /// Notes a failure; the error says what there still is.
    fn fail(&mut self, error: Error, previous: Option<&Loaded>) -> Error {
        let state = if error.code == ErrorCode::QueryCanceled { RunState::Cancelled } else { RunState::Failed };
        self.end(state, previous.map(|previous| previous.version), Some(error.message.clone()));
        match previous {
            Some(previous) => {
                let stays = format!("The rows of version {} stay.", previous.version);
                let detail = match &error.detail {
                    Some(detail) => format!("{detail} {stays}"),
                    None => stays,
                };
                error.with_detail(detail)
            }
            None => error,
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.end(RunState::Cancelled, None, Some("canceled before it ended".to_owned()));
    }
}
