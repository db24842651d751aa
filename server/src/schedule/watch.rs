//! ON CHANGE OF: [`Watch`] sees files of tables come, change and go, and queues runs for it.
//!
//! ```text
//! local folder ── notify ──┐
//! every poll interval ─────┴─> list the table's files ── their mark is another than the catalog's ── queue a run, note the mark
//! ```
//! The mark is noted in the transaction that queues the run: a restart neither misses a change nor sees it twice, and of two servers
//! one queues it. The first look at a table queues a run, too: what is there when a schedule is made counts as new. What changes while
//! a run goes on gives another run after it.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use limnos_catalog::schedule::{Status, When};
use limnos_catalog::schedule_run::Trigger;
use limnos_catalog::{Catalog, FileVersion, Snapshot, StatementSchedule, TableKind, TableName};
use limnos_engine::Error;
use limnos_engine::clock::Clock;
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::statements::queued;
use crate::query::QueryService;

/// How often it is looked whether the operating system has told something.
const TICK: Duration = Duration::from_millis(500);

/// How often tables are listed unless the configuration says otherwise: those over a network, and local ones for what the operating
/// system doesn't tell (network file systems, partitions elsewhere).
pub const POLL_INTERVAL: Duration = Duration::from_secs(10);

/// See the module.
pub struct Watch {
    catalog: Arc<Catalog>,
    service: Arc<QueryService>,
    clock: Arc<dyn Clock>,
    poll_interval: TimeDelta,
    history: usize,
    folders: Folders,
    looked_at: HashMap<i64, DateTime<Utc>>,
    /// Schedules whose tables couldn't be listed: told in the log once.
    failing: HashSet<i64>,
}

/// Folders that the operating system tells about.
#[derive(Default)]
struct Folders {
    watcher: Option<RecommendedWatcher>,
    watched: HashSet<PathBuf>,
    /// Paths in which something has changed.
    changed: Arc<Mutex<Vec<PathBuf>>>,
}

/// Paths that are remembered between two looks; of more, everything may have changed.
const CHANGED_MAX: usize = 10_000;

impl Folders {
    fn follow(&mut self, wanted: &HashSet<PathBuf>) {
        if wanted.is_empty() && self.watched.is_empty() {
            return;
        }
        if self.watcher.is_none() {
            let changed = Arc::clone(&self.changed);
            let on_event = move |event: notify::Result<notify::Event>| {
                let Ok(event) = event else { return };
                // A scan opens files, too.
                if event.kind.is_access() {
                    return;
                }
                let mut changed = changed.lock();
                if changed.len() < CHANGED_MAX {
                    changed.extend(event.paths);
                }
            };
            self.watcher = notify::recommended_watcher(on_event)
                .inspect_err(|error| tracing::warn!(%error, "folders cannot be watched, only listed now and then"))
                .ok();
        }
        let Some(watcher) = &mut self.watcher else { return };
        for gone in self.watched.difference(wanted).cloned().collect::<Vec<_>>() {
            // It may be deleted, and then it is watched no more anyway.
            let _ = watcher.unwatch(&gone);
            self.watched.remove(&gone);
        }
        for folder in wanted.difference(&self.watched).cloned().collect::<Vec<_>>() {
            // One that isn't there yet is tried again, and listed meanwhile.
            if watcher.watch(&folder, RecursiveMode::Recursive).is_ok() {
                self.watched.insert(folder);
            }
        }
    }
}

impl Watch {
    /// Watches for the schedules of `catalog`.
    pub fn new(
        catalog: Arc<Catalog>,
        service: Arc<QueryService>,
        clock: Arc<dyn Clock>,
        poll_interval: Duration,
        history: usize,
    ) -> Self {
        let poll_interval = TimeDelta::from_std(poll_interval).unwrap_or(TimeDelta::seconds(10));
        let (folders, looked_at, failing) = (Folders::default(), HashMap::new(), HashSet::new());
        Self { catalog, service, clock, poll_interval, history, folders, looked_at, failing }
    }

    /// Looks at the tables that may have changed.
    async fn look(&mut self) {
        let snapshot = self.catalog.snapshot();
        let watching: Vec<(Arc<StatementSchedule>, TableName)> = snapshot
            .schedules
            .values()
            .filter(|schedule| schedule.status == Status::Active)
            .filter_map(|schedule| match &schedule.when {
                When::OnChange { table, .. } => Some((Arc::clone(schedule), table.clone())),
                _ => None,
            })
            .collect();
        let folders: HashMap<i64, PathBuf> = watching
            .iter()
            .filter_map(|(schedule, table)| Some((schedule.id, local_folder(&snapshot, table)?)))
            .collect();
        self.folders.follow(&folders.values().cloned().collect());
        self.looked_at.retain(|id, _| watching.iter().any(|(schedule, _)| schedule.id == *id));
        let changed = std::mem::take(&mut *self.folders.changed.lock());
        let now = self.clock.now();
        for (schedule, table) in watching {
            let is_due = |at: &DateTime<Utc>| (now - *at).abs() >= self.poll_interval;
            let is_told = folders.get(&schedule.id).is_some_and(|folder| {
                changed.len() >= CHANGED_MAX || changed.iter().any(|path| path.starts_with(folder))
            });
            if !is_told && !self.looked_at.get(&schedule.id).is_none_or(is_due) {
                continue;
            }
            self.looked_at.insert(schedule.id, now);
            match self.look_at(&schedule, &table, now).await {
                Ok(()) => {
                    if self.failing.remove(&schedule.id) {
                        tracing::info!(schedule = %schedule.name, table = %table, "a table can be watched again");
                    }
                }
                Err(error) => {
                    if self.failing.insert(schedule.id) {
                        tracing::warn!(schedule = %schedule.name, table = %table, %error, "a table cannot be watched");
                    }
                }
            }
        }
    }

    async fn look_at(
        &self,
        schedule: &Arc<StatementSchedule>,
        table: &TableName,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        let files = self.service.table_files(table).await?;
        let mark = mark_of(&files);
        let is_empty = files.is_empty();
        let (catalog, schedule, keep) = (Arc::clone(&self.catalog), Arc::clone(schedule), self.history);
        let noted = tokio::task::spawn_blocking(move || {
            let seen = catalog.schedule_states()?.remove(&schedule.id).and_then(|state| state.files_version);
            if seen.as_deref() == Some(mark.as_str()) {
                return Ok(());
            }
            // A table that has no files when it is first seen has nothing new.
            let is_change = seen.is_some() || !is_empty;
            let run = is_change.then(|| queued(&schedule, Trigger::Change, now, now.timestamp_millis()));
            if catalog.note_table_files(schedule.id, seen.as_deref(), &mark, run.as_ref(), keep)? && is_change {
                tracing::info!(schedule = %schedule.name, "files of a table changed");
            }
            Ok(())
        });
        noted.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
    }
}

/// The folder of a table that lies in this machine's file system.
fn local_folder(snapshot: &Snapshot, table: &TableName) -> Option<PathBuf> {
    let table = snapshot.find_table(table)?;
    let TableKind::External(storage) = &table.kind else { return None };
    let path = match storage.location.strip_prefix("file://") {
        Some(path) => percent_decoded(path),
        None if storage.location.starts_with('/') => storage.location.clone(),
        None => return None,
    };
    let path = Path::new(&path);
    // What the operating system tells are real paths.
    Some(path.canonicalize().unwrap_or_else(|_| path.to_owned()))
}

fn percent_decoded(path: &str) -> String {
    let url = reqwest::Url::parse(&format!("file://{path}"));
    let decoded = url.ok().and_then(|url| url.to_file_path().ok());
    decoded.map_or_else(|| path.to_owned(), |path| path.to_string_lossy().into_owned())
}

/// A mark of exactly these files, the same in every process.
fn mark_of(files: &[FileVersion]) -> String {
    let mut hasher = Sha256::new();
    for FileVersion { location, version } in files {
        for text in [location, version] {
            hasher.update((text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        }
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Looks until `stop`.
pub async fn run(mut watch: Watch, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(TICK) => {}
        }
        watch.look().await;
    }
}
