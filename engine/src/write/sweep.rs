//! [`Sweeper`]: deletes files that nobody sees: those of writes whose process died, and those that statements have removed,
//! once no snapshot has them. It runs when an engine starts, every [`INTERVAL`], and when there is something to do, then again a few
//! times soon after.
//!
//! The files of a dead write are found by listing where it wrote and looking at names; of a removed file the exact version is
//! deleted, and one that was put in its place stays. Where a store can't be reached it is tried again the next time.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use limnos_catalog::{Catalog, Change, RemovedFile, Write, WriteName};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt};
use tokio::sync::Notify;

use crate::execute::CpuRuntime;
use crate::scan::facts::file_version;
use crate::scan::store::{LOCAL_STORE_URL, Location, Stores, store_error};
use crate::{Error, Result};

/// How often is looked. A server that shares the catalog and dies is noticed within a minute; its files harm nobody.
const INTERVAL: Duration = Duration::from_secs(60);

/// How soon is looked again after there was something to do: what a statement has removed is held for a moment by the snapshot
/// that the statement itself, or one beside it, reads. Each pause after that is twice as long, up to [`INTERVAL`].
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// Removed files that are deleted between two notes in the catalog.
const BATCH: usize = 1000;

/// Files deleted at the same time.
const DELETES_AT_ONCE: usize = 16;

/// See the module.
#[derive(Debug)]
pub(crate) struct Sweeper {
    catalog: Arc<Catalog>,
    stores: Arc<Stores>,
    wake: Notify,
}

impl Sweeper {
    pub(crate) fn new(catalog: Arc<Catalog>, stores: Arc<Stores>) -> Arc<Self> {
        Arc::new(Self { catalog, stores, wake: Notify::new() })
    }

    /// Sweeps on `runtime` as long as somebody else holds `self`.
    pub(crate) fn start(self: &Arc<Self>, runtime: &CpuRuntime) {
        let sweeper: Weak<Self> = Arc::downgrade(self);
        runtime.spawn(async move {
            let mut pause = INTERVAL;
            while let Some(sweeper) = sweeper.upgrade() {
                if let Err(error) = sweeper.sweep().await {
                    tracing::warn!(%error, "files that nobody sees could not be swept");
                }
                pause = match tokio::time::timeout(pause, sweeper.wake.notified()).await {
                    Ok(()) => FIRST_PAUSE,
                    Err(_) => (pause * 2).min(INTERVAL),
                };
            }
        });
    }

    /// Says that there may be something to do.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    async fn sweep(&self) -> Result<()> {
        for write in self.ask(Catalog::dead_writes).await? {
            let ended =
                self.ask(move |catalog| catalog.commit(vec![Change::AbortWrite { write, is_lost: true }])).await;
            match ended {
                Ok(_) => tracing::info!(write, "a write whose process died was given up"),
                // It has ended by itself.
                Err(error) if error.code == crate::ErrorCode::SerializationFailure => {}
                Err(error) => return Err(error),
            }
        }
        for write in self.ask(Catalog::writes_to_clean).await? {
            if let Err(error) = self.clean(&write).await {
                tracing::warn!(write = write.id, %error, "the files of a write that was given up could not be deleted");
            }
        }
        loop {
            let files = self.ask(|catalog| catalog.files_to_delete(BATCH)).await?;
            if files.is_empty() {
                return Ok(());
            }
            let count = files.len();
            let deleted = self.delete(files).await;
            let is_done = deleted.len() < count;
            self.ask(move |catalog| catalog.files_are_deleted(&deleted)).await?;
            // What couldn't be deleted comes first again: the next time.
            if is_done {
                return Ok(());
            }
        }
    }

    /// Deletes all files of a write.
    async fn clean(&self, write: &Arc<Write>) -> Result<()> {
        let name = WriteName { catalog_id: self.catalog.snapshot().writes.catalog_id, write: write.id }.to_string();
        for location in &write.locations {
            let location = self.stores.resolve(location)?;
            // What is being written on a local disk has a dot before its name.
            let is_its = |file: &str| file.strip_prefix('.').unwrap_or(file).starts_with(&name);
            let deleted = delete_named(&location, is_its, false).await?;
            if deleted > 0 {
                tracing::info!(write = write.id, location = %location.url, files = deleted, "files of a write were deleted");
            }
        }
        let id = write.id;
        self.ask(move |catalog| catalog.write_is_clean(id)).await
    }

    /// Deletes removed files; gives those that are gone now.
    async fn delete(&self, files: Vec<RemovedFile>) -> Vec<RemovedFile> {
        let deletes = files.into_iter().map(|file| async move {
            let deleted =
                if file.is_folder() { self.delete_folder(&file).await } else { self.delete_file(&file).await };
            match deleted {
                Ok(()) => Some(file),
                Err(error) => {
                    tracing::warn!(location = %file.location, %error, "a removed file could not be deleted");
                    None
                }
            }
        });
        let deletes: Vec<_> = deletes.collect();
        futures::stream::iter(deletes).buffer_unordered(DELETES_AT_ONCE).filter_map(std::future::ready).collect().await
    }

    async fn delete_file(&self, file: &RemovedFile) -> Result<()> {
        let location = self.stores.resolve(&file.location)?;
        let meta = match location.store.head(&location.path).await {
            Ok(meta) => meta,
            Err(object_store::Error::NotFound { .. }) => return Ok(()),
            Err(error) => return Err(store_error(&file.location, &error)),
        };
        if !is_version(&location.store_url, &meta, &file.version) {
            return Ok(());
        }
        delete_path(&location, &location.path).await
    }

    /// Deletes all files of this catalog's in the folder of a table that was dropped.
    async fn delete_folder(&self, folder: &RemovedFile) -> Result<()> {
        let location = self.stores.resolve(&folder.location)?;
        let catalog_id = self.catalog.snapshot().writes.catalog_id;
        let is_its = |file: &str| {
            let name = WriteName::parse(file.strip_prefix('.').unwrap_or(file));
            name.is_some_and(|name| name.catalog_id == catalog_id)
        };
        delete_named(&location, is_its, true).await?;
        Ok(())
    }

    /// Asks the catalog off the workers.
    async fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Catalog) -> limnos_catalog::Result<T> + Send + 'static,
    ) -> Result<T> {
        let catalog = Arc::clone(&self.catalog);
        let asked = tokio::task::spawn_blocking(move || ask(&catalog)).await;
        Ok(asked.map_err(|error| Error::internal(format!("a look into the catalog stopped: {error}")))??)
    }
}

/// Whether `meta` is the version that was removed. A HEAD may tell the time in whole seconds where a listing told more; the
/// ETag is as good then.
fn is_version(store_url: &str, meta: &ObjectMeta, version: &str) -> bool {
    if file_version(store_url, meta).version == version {
        return true;
    }
    let Some(e_tag) = meta.e_tag.as_deref().filter(|e_tag| !e_tag.is_empty()) else { return false };
    store_url != LOCAL_STORE_URL
        && version.starts_with(&format!("{}-", meta.size))
        && version.ends_with(&format!("-{e_tag}"))
}

/// Deletes the files at or below `location` whose names are wanted, and local folders that are empty then.
async fn delete_named(location: &Location, is_wanted: impl Fn(&str) -> bool, with_top: bool) -> Result<usize> {
    let mut found = Vec::new();
    let mut listing = location.store.list(Some(&location.path));
    while let Some(meta) = listing.try_next().await.map_err(|error| store_error(&location.url, &error))? {
        if is_wanted(meta.location.filename().unwrap_or_default()) {
            found.push(meta.location);
        }
    }
    drop(listing);
    let deletes: Vec<_> = found.iter().map(|path| delete_path(location, path)).collect();
    futures::stream::iter(deletes).buffer_unordered(DELETES_AT_ONCE).try_collect::<Vec<()>>().await?;
    if !location.is_remote() {
        remove_empty_folders(&location.path, &found, with_top);
    }
    Ok(found.len())
}

async fn delete_path(location: &Location, path: &Path) -> Result<()> {
    match location.store.delete(path).await {
        Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
        Err(error) => Err(store_error(&location.url_of(path), &error)),
    }
}

/// Removes the folders below `top`, and `top` itself if asked to, that deleting `files` has left empty: in an object store
/// they would be gone. A folder that isn't empty can't be removed so.
pub(super) fn remove_empty_folders(top: &Path, files: &[Path], with_top: bool) {
    let mut folders = BTreeSet::new();
    for file in files {
        let mut folder = file.as_ref();
        while let Some((above, _)) = folder.rsplit_once('/') {
            let is_below = above.len() > top.as_ref().len() || (with_top && above == top.as_ref());
            if !is_below || !folders.insert((above.len(), above.to_owned())) {
                break;
            }
            folder = above;
        }
    }
    // The deepest first.
    for (_, folder) in folders.into_iter().rev() {
        // Not empty, or gone already: as it should be.
        let _ = std::fs::remove_dir(format!("/{folder}"));
    }
}
