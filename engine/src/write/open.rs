//! [`OpenWrite`]: a write that the catalog knows, from its beginning to its end. However a statement ends (an error, a
//! cancel, a client that leaves), what it wrote is taken back unless its commit was.
//!
//! ```text
//! begin ── files ── commit ── files are seen
//!             └──── abort, drop, a killed process ── the catalog is told first, then the files are deleted
//! ```
//! In that order, for a commit whose answer was lost may have happened: a write that has ended is not given up, and its
//! files are not deleted.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use limnos_catalog::{Catalog, Change, Snapshot, WriteName};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use tokio::runtime::Handle;

use super::sweep::remove_empty_folders;
use crate::scan::store::Location;
use crate::{Error, Result};

/// Files deleted at the same time.
const DELETES_AT_ONCE: usize = 16;

/// When files of a statement that was stopped in the middle are deleted again: a file that is being put can't be called back.
const LATE: Duration = Duration::from_secs(3);

/// See the module.
#[derive(Debug)]
pub(crate) struct OpenWrite {
    catalog: Arc<Catalog>,
    name: WriteName,
    /// Tells the names of this process's files from those of another life of the same catalog (one that was copied, or
    /// restored from a backup, counts its writes anew).
    salt: u32,
    file_count: usize,
    files: Files,
    is_ended: bool,
}

/// The files of a write, by the location that they are in or below.
type Files = Vec<(Arc<Location>, Path)>;

impl OpenWrite {
    /// Begins a write into `locations`, URLs of folders.
    ///
    /// # Errors
    /// What the catalog's store says.
    pub(crate) async fn begin(catalog: &Arc<Catalog>, target: &str, locations: Vec<String>) -> Result<Self> {
        let (own, target) = (Arc::clone(catalog), target.to_owned());
        let begun = blocking(move || {
            let (id, snapshot) = own.begin_write(&target, locations)?;
            // Made here, so that one whose caller is gone is given up, too.
            Ok(Self {
                name: WriteName { catalog_id: snapshot.writes.catalog_id, write: id },
                catalog: own,
                salt: u32::try_from(RandomState::new().hash_one(id) >> 32).unwrap_or(0),
                file_count: 0,
                files: Files::new(),
                is_ended: false,
            })
        });
        begun.await
    }

    /// Its id.
    pub(crate) fn id(&self) -> i64 {
        self.name.write
    }

    /// The place of its next file, in `folder`, which is `location` or below it. `extension` is without the dot.
    pub(crate) fn next_file(
        &mut self,
        location: &Arc<Location>,
        folder: &Path,
        label: &str,
        extension: &str,
    ) -> Result<Path> {
        let rest = format!("{label}{:05}-{:08x}.{extension}", self.file_count, self.salt);
        self.file_count += 1;
        let path = Path::parse(format!("{folder}/{}", self.name.file_name(&rest)))
            .map_err(|error| Error::new(crate::ErrorCode::LocationNotAllowed, error.to_string()))?;
        self.files.push((Arc::clone(location), path.clone()));
        Ok(path)
    }

    /// Says that files will be in `location`, too, before there are any.
    ///
    /// # Errors
    /// What the catalog's store says.
    pub(crate) async fn widen(&self, location: String) -> Result<()> {
        let (catalog, write) = (Arc::clone(&self.catalog), self.id());
        blocking(move || {
            catalog.commit(vec![Change::WidenWrite { write, locations: vec![location] }])?;
            Ok(())
        })
        .await
    }

    /// Commits `changes`, among which is this write's end. After an error it goes on, so that what conflicts may be tried
    /// again.
    ///
    /// # Errors
    /// As [`Catalog::commit`].
    pub(crate) async fn commit(&mut self, changes: Vec<Change>) -> Result<Arc<Snapshot>, limnos_catalog::Error> {
        let catalog = Arc::clone(&self.catalog);
        let committed = tokio::task::spawn_blocking(move || catalog.commit(changes)).await;
        let snapshot = committed.map_err(|error| limnos_catalog::Error::Store {
            message: format!("commit stopped: {error}"),
            source: None,
        })??;
        self.is_ended = true;
        self.catalog.leave_write(self.id());
        Ok(snapshot)
    }

    /// Says that it was committed together with others.
    pub(crate) fn end_committed(mut self) {
        self.is_ended = true;
        self.catalog.leave_write(self.id());
    }

    /// Gives it up and deletes its files.
    pub(crate) async fn abort(mut self) {
        self.is_ended = true;
        let (catalog, write, files) = (Arc::clone(&self.catalog), self.id(), std::mem::take(&mut self.files));
        // A task of its own: who waits for it may be stopped, too, and then nobody would delete the files.
        let ending = Handle::current().spawn(async move { give_up(catalog, write, &files).await });
        if ending.await.is_err() {
            self.catalog.leave_write(self.id());
        }
    }
}

impl Drop for OpenWrite {
    fn drop(&mut self) {
        if self.is_ended {
            return;
        }
        let (catalog, write, files) = (Arc::clone(&self.catalog), self.id(), std::mem::take(&mut self.files));
        match Handle::try_current() {
            Ok(runtime) => {
                runtime.spawn(async move {
                    if give_up(catalog, write, &files).await {
                        // What was under way may have come late.
                        tokio::time::sleep(LATE).await;
                        delete(&files).await;
                    }
                });
            }
            // Whoever sweeps finds it.
            Err(_) => self.catalog.leave_write(self.id()),
        }
    }
}

/// Tells the catalog that a write is given up, and deletes its files. False if it had ended otherwise.
async fn give_up(catalog: Arc<Catalog>, write: i64, files: &[(Arc<Location>, Path)]) -> bool {
    let own = Arc::clone(&catalog);
    let told =
        tokio::task::spawn_blocking(move || own.commit(vec![Change::AbortWrite { write, is_lost: false }])).await;
    let is_given_up = matches!(told, Ok(Ok(_)));
    match told {
        Ok(Ok(_)) => delete(files).await,
        // Its commit had happened, or somebody else gave it up: the files are seen, or not ours to delete.
        Ok(Err(limnos_catalog::Error::WriteEnded { .. })) => {}
        Ok(Err(error)) => tracing::warn!(write, %error, "a write could not be given up; it is when it is swept"),
        Err(error) => tracing::warn!(write, %error, "a write could not be given up; it is when it is swept"),
    }
    catalog.leave_write(write);
    is_given_up
}

async fn delete(files: &[(Arc<Location>, Path)]) {
    let deletes = files.iter().map(|(location, path)| async move {
        match location.store.delete(path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
            // It is deleted when the write is swept for the last time.
            Err(error) => tracing::warn!(%path, %error, "a file of a write that was given up stays"),
        }
    });
    let deletes: Vec<_> = deletes.collect();
    futures::stream::iter(deletes).buffer_unordered(DELETES_AT_ONCE).collect::<Vec<()>>().await;
    for (location, path) in files {
        if !location.is_remote() {
            remove_empty_folders(&location.path, std::slice::from_ref(path), false);
        }
    }
}

/// Runs what waits for the catalog's store off the workers.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Error::internal(format!("commit stopped: {error}")))?
}
