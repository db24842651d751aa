//! [`Block`]: what a transaction block has done so far: nothing, for everybody else.
//!
//! ```text
//! BEGIN ── statement ── statement ── COMMIT     one commit of all their changes
//!            │ changes, a write's files      └─ ROLLBACK, an error at COMMIT, a client that leaves: all of it is dropped
//!            └─ the snapshot that the next statement sees
//! ```
//! A write's files lie in their folders from the statement on. The catalog knows the write as one that goes on, so nobody sees
//! them; if the server dies, whoever sweeps gives it up. No lock is held between two statements.

use std::sync::Arc;

use limnos_catalog::{Catalog, Change, Error as CatalogError, Snapshot};
use parking_lot::Mutex;

use super::{Session, Settings};
use crate::limits::{BLOCK_PARTITIONS_MAX, BLOCK_SAVEPOINTS_MAX, BLOCK_STATEMENTS_MAX};
use crate::scan::store::PinnedFiles;
use crate::write::open::OpenWrite;
use crate::{Error, ErrorCode, Result};

/// A transaction block that is open.
#[derive(Debug, Clone)]
pub struct Block {
    /// The newest snapshot when it began.
    base: Arc<Snapshot>,
    /// What each statement has changed, in order.
    done: Vec<Arc<Done>>,
    savepoints: Vec<Savepoint>,
    /// The files that it has seen.
    files: Arc<PinnedFiles>,
    /// How many partitions the changes name.
    partition_count: usize,
    /// Whether no BEGIN began it, but several statements that came together.
    pub(crate) is_implicit: bool,
    /// The session's database when it began.
    database: String,
}

/// What one statement has changed.
#[derive(Debug)]
struct Done {
    changes: Vec<Change>,
    /// Given up when this is dropped, unless it was committed.
    write: Mutex<Option<OpenWrite>>,
}

#[derive(Debug, Clone)]
struct Savepoint {
    name: String,
    done_count: usize,
    settings: Settings,
    database: String,
}

impl Session {
    /// Opens a block that sees `snapshot`.
    pub(crate) fn open_block(&mut self, snapshot: &Arc<Snapshot>, is_implicit: bool) {
        self.pinned = Some(Arc::clone(snapshot));
        self.block = Some(Block {
            base: Arc::clone(snapshot),
            done: Vec::new(),
            savepoints: Vec::new(),
            files: Arc::default(),
            partition_count: 0,
            is_implicit,
            database: self.database.clone(),
        });
    }

    /// The snapshot whose roles and rights count: the newest, also in a block, but where the block has changed something: what
    /// it has made itself is only there.
    pub(crate) fn rights_snapshot(&self, catalog: &Catalog) -> Arc<Snapshot> {
        match (&self.block, &self.pinned) {
            (Some(block), Some(pinned)) if block.has_changes() => Arc::clone(pinned),
            _ => catalog.snapshot(),
        }
    }

    /// Drops the block and all that it has done. Settings are the caller's affair.
    pub(crate) fn drop_block(&mut self) -> Option<Block> {
        self.pinned = None;
        self.block.take()
    }

    /// Ends the block, if there is one, as ROLLBACK does.
    pub fn abandon_block(&mut self) {
        if let Some(block) = self.drop_block() {
            self.settings.rollback();
            self.database = block.database;
        }
    }

    /// Whether several statements that came together are a block now.
    pub fn is_in_implicit_block(&self) -> bool {
        self.block.as_ref().is_some_and(|block| block.is_implicit)
    }

    /// Makes `changes`: in a block for its statements alone, else for everybody. `write` is what has written files for them,
    /// of which the last of the changes is the end.
    ///
    /// # Errors
    /// What the catalog refuses. Nothing has changed then, and the write is given up.
    pub(crate) async fn change(
        &mut self,
        catalog: &Arc<Catalog>,
        changes: Vec<Change>,
        write: Option<OpenWrite>,
    ) -> Result<()> {
        let (own, applied) = (Arc::clone(catalog), changes.clone());
        let (Some(block), Some(pinned)) = (&mut self.block, &mut self.pinned) else {
            debug_assert!(write.is_none(), "writes outside of a block commit by themselves");
            return blocking(move || own.commit(applied)).await.map(|_| ());
        };
        let partition_count = block.partition_count + count_partitions(&changes);
        check_room(block.done.len() + 1, BLOCK_STATEMENTS_MAX, "statements that change something")?;
        check_room(partition_count, BLOCK_PARTITIONS_MAX, "partitions")?;
        let current = Arc::clone(pinned);
        *pinned = blocking(move || own.draft(&current, applied)).await?;
        block.partition_count = partition_count;
        block.done.push(Arc::new(Done { changes, write: Mutex::new(write) }));
        Ok(())
    }

    /// SAVEPOINT.
    ///
    /// # Errors
    /// No block; too many.
    pub(crate) fn put_savepoint(&mut self, name: &str) -> Result<()> {
        let block = block(&mut self.block, "SAVEPOINT")?;
        check_room(block.savepoints.len() + 1, BLOCK_SAVEPOINTS_MAX, "savepoints")?;
        let (settings, database) = (self.settings.clone(), self.database.clone());
        block.savepoints.push(Savepoint { name: name.to_owned(), done_count: block.done.len(), settings, database });
        Ok(())
    }

    /// RELEASE SAVEPOINT: what was done since stays.
    ///
    /// # Errors
    /// No block; no such savepoint.
    pub(crate) fn release_savepoint(&mut self, name: &str) -> Result<()> {
        let block = block(&mut self.block, "RELEASE SAVEPOINT")?;
        let index = block.find(name)?;
        block.savepoints.truncate(index);
        Ok(())
    }

    /// ROLLBACK TO SAVEPOINT: what was done since is dropped; the savepoint stays.
    ///
    /// # Errors
    /// No block; no such savepoint.
    pub(crate) async fn return_to_savepoint(&mut self, catalog: &Arc<Catalog>, name: &str) -> Result<()> {
        let block = block(&mut self.block, "ROLLBACK TO SAVEPOINT")?;
        let index = block.find(name)?;
        let savepoint = block.savepoints[index].clone();
        if savepoint.done_count < block.done.len() {
            let kept = &block.done[..savepoint.done_count];
            let changes: Vec<Change> = kept.iter().flat_map(|done| done.changes.iter().cloned()).collect();
            let (own, base) = (Arc::clone(catalog), Arc::clone(&block.base));
            let snapshot = if changes.is_empty() { base } else { blocking(move || own.draft(&base, changes)).await? };
            block.done.truncate(savepoint.done_count);
            block.partition_count = block.done.iter().map(|done| count_partitions(&done.changes)).sum();
            self.pinned = Some(snapshot);
        }
        block.savepoints.truncate(index + 1);
        (self.settings, self.database) = (savepoint.settings, savepoint.database);
        Ok(())
    }
}

impl Block {
    /// The files that its statements have seen.
    pub(crate) fn files(&self) -> &Arc<PinnedFiles> {
        &self.files
    }

    fn find(&self, name: &str) -> Result<usize> {
        self.savepoints
            .iter()
            .rposition(|savepoint| savepoint.name == name)
            .ok_or_else(|| Error::new(ErrorCode::InvalidSavepoint, format!("savepoint \"{name}\" does not exist")))
    }

    /// Whether there is anything to commit.
    pub(crate) fn has_changes(&self) -> bool {
        !self.done.is_empty()
    }

    /// Forgets what has been committed.
    pub(crate) fn clear(&mut self) {
        self.done.clear();
    }

    /// Makes everything seen, or nothing.
    ///
    /// # Errors
    /// What was changed was changed by others since, too (40001, or 42P01 and 42P07 where tables have gone or come).
    pub(crate) async fn commit(self, catalog: &Arc<Catalog>) -> Result<()> {
        let catalog = Arc::clone(catalog);
        let changes = self.done.iter().flat_map(|done| done.changes.iter().cloned()).collect();
        // To its end even if nobody waits any more: what is committed is not to be given up.
        let committing = tokio::task::spawn_blocking(move || {
            let committed = catalog.commit_block(&self.base, changes);
            if committed.is_ok() {
                let writes = self.done.iter().filter_map(|done| done.write.lock().take());
                writes.for_each(OpenWrite::end_committed);
            }
            committed
        });
        match committing.await.map_err(|error| Error::internal(format!("commit stopped: {error}")))? {
            Ok(_) => Ok(()),
            Err(error @ (CatalogError::Conflict { .. } | CatalogError::WriteEnded { .. })) => {
                let detail = capitalised(&error.to_string());
                let message = "could not serialize access due to concurrent update";
                Err(Error::new(ErrorCode::SerializationFailure, message)
                    .with_detail(format!("{detail}."))
                    .with_hint("Run the transaction again."))
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn block<'a>(block: &'a mut Option<Block>, word: &str) -> Result<&'a mut Block> {
    block.as_mut().filter(|block| !block.is_implicit).ok_or_else(|| {
        Error::new(ErrorCode::NoActiveTransaction, format!("{word} can only be used in transaction blocks"))
    })
}

fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

fn check_room(count: usize, max: usize, what: &str) -> Result<()> {
    if count <= max {
        return Ok(());
    }
    Err(Error::new(ErrorCode::ProgramLimitExceeded, format!("too many {what} in one transaction block"))
        .with_detail(format!("There may be {max}."))
        .with_hint("Commit in between."))
}

fn count_partitions(changes: &[Change]) -> usize {
    let count = |change: &Change| match change {
        Change::AddPartitions { partitions, .. } | Change::PlacePartitions { partitions, .. } => partitions.len(),
        Change::DropPartitions { values, .. } => values.len(),
        _ => 0,
    };
    changes.iter().map(count).sum()
}

/// Asks the catalog off the workers: its store waits for the disk.
async fn blocking<T: Send + 'static>(ask: impl FnOnce() -> limnos_catalog::Result<T> + Send + 'static) -> Result<T> {
    let asked = tokio::task::spawn_blocking(ask).await;
    Ok(asked.map_err(|error| Error::internal(format!("commit stopped: {error}")))??)
}
