//! Datasets that refresh by themselves. Each refresh is the statement REFRESH DATASET through the one door, as the dataset's
//! owner.
//!
//! What is due the engine says ([`Datasets::due`](limnos_engine::dataset::Datasets::due)): by the clock, because files have
//! changed, or because this server has no rows of a dataset yet (it was made on another server of the same catalog, or what was
//! on disk could not be read). Local folders are watched; a change is looked at within a second or two, and what a watch may
//! miss within a minute. Remote tables are listed every half minute. Each server refreshes its own copy.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use limnos_catalog::Catalog;
use limnos_engine::ErrorCode;
use limnos_engine::dataset::{Datasets, DueDataset};
use notify::{RecursiveMode, Watcher};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::query::{CancelSlot, QueryService};
use crate::script::{self, Discard};

/// How late a refresh may start.
const TICK: Duration = Duration::from_millis(500);

/// Refreshes that run at the same time; what is due beyond waits.
const RUNNING_MAX: usize = 2;

/// Folders that are watched; more are listed every minute.
const WATCHES_MAX: usize = 256;

/// Starts what is due until `stop`.
pub async fn run(catalog: Arc<Catalog>, service: Arc<QueryService>, catalog_name: String, stop: CancellationToken) {
    let datasets = Arc::clone(service.datasets());
    let permits = Arc::new(Semaphore::new(RUNNING_MAX));
    let mut watches = Watches::new(&datasets);
    datasets.attend();
    loop {
        // The catalog and the disk may let one wait.
        let (own, known) = (Arc::clone(&datasets), Arc::clone(&catalog));
        let now = service.clock().now();
        let looked = tokio::task::spawn_blocking(move || {
            own.tidy(&known);
            (own.due(&known, now), own.watched(&known))
        });
        if let Ok((due, watched)) = looked.await {
            watches.follow(watched);
            for due in due {
                start(&catalog, &service, &catalog_name, &permits, &due);
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(TICK) => {}
        }
    }
}

fn start(
    catalog: &Catalog,
    service: &Arc<QueryService>,
    catalog_name: &str,
    permits: &Arc<Semaphore>,
    due: &DueDataset,
) {
    let snapshot = catalog.snapshot();
    let Some(table) = snapshot.tables.values().find(|table| table.id == due.id).cloned() else { return };
    let (service, permits, trigger) = (Arc::clone(service), Arc::clone(permits), due.trigger);
    let mut session = service.session_of_owner(&table.owner, catalog_name);
    session.ingestion = Some(trigger);
    tokio::spawn(async move {
        let Ok(_permit) = permits.acquire().await else { return };
        let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        let sql = format!("REFRESH DATASET {}.{}", quoted(&table.name.database), quoted(&table.name.name));
        let (slot, mut sink) = (CancelSlot::default(), Discard::default());
        match script::run(&service, &mut session, &sql, &slot, &mut sink).await {
            Ok(()) => {}
            Err(failed) if failed.error.code == ErrorCode::ObjectInUse => {
                tracing::debug!(dataset = %table.name, trigger = trigger.name(), "a refresh was passed over: one runs");
            }
            Err(failed) => {
                let error = &failed.error;
                tracing::warn!(
                    dataset = %table.name, trigger = trigger.name(), %error, detail = error.detail.as_deref(),
                    "a dataset was not refreshed"
                );
            }
        }
    });
}

/// The folders that are watched, and whose they are.
struct Watches {
    watcher: Option<notify::RecommendedWatcher>,
    /// Datasets by folder; whoever is told of a change looks here.
    folders: Arc<Mutex<BTreeMap<PathBuf, Vec<i64>>>>,
}

impl Watches {
    fn new(datasets: &Arc<Datasets>) -> Self {
        let folders: Arc<Mutex<BTreeMap<PathBuf, Vec<i64>>>> = Arc::default();
        let (known, datasets) = (Arc::clone(&folders), Arc::clone(datasets));
        let on_event = move |event: notify::Result<notify::Event>| {
            // One that was lost is found when everything is looked at.
            let Ok(event) = event else { return };
            if event.kind.is_access() {
                return;
            }
            for (folder, ids) in known.lock().iter() {
                if event.paths.iter().any(|path| path.starts_with(folder)) {
                    ids.iter().for_each(|id| datasets.touch(*id));
                }
            }
        };
        let watcher = notify::recommended_watcher(on_event)
            .inspect_err(|error| tracing::warn!(%error, "folders cannot be watched, and are listed every minute"))
            .ok();
        Self { watcher, folders }
    }

    /// Watches these folders, and no others.
    fn follow(&mut self, watched: Vec<(i64, PathBuf)>) {
        let Some(watcher) = &mut self.watcher else { return };
        let mut wanted: BTreeMap<PathBuf, Vec<i64>> = BTreeMap::new();
        for (id, folder) in watched {
            if wanted.len() < WATCHES_MAX || wanted.contains_key(&folder) {
                wanted.entry(folder).or_default().push(id);
            }
        }
        let mut folders = self.folders.lock().clone();
        if folders == wanted {
            return;
        }
        for gone in folders.keys().filter(|folder| !wanted.contains_key(*folder)) {
            let _ = watcher.unwatch(gone);
        }
        folders.retain(|folder, _| wanted.contains_key(folder));
        for (folder, ids) in wanted {
            if !folders.contains_key(&folder)
                && let Err(error) = watcher.watch(&folder, RecursiveMode::Recursive)
            {
                // It may come into being later; until then it has no files.
                tracing::debug!(folder = %folder.display(), %error, "a folder is not watched");
                continue;
            }
            folders.insert(folder, ids);
        }
        *self.folders.lock() = folders;
    }
}
