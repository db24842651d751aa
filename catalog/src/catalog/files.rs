//! What becomes of files that nobody is to see: writes that died, files that were removed. The catalog knows which; whoever
//! reaches the stores deletes them and says so.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::Catalog;
use crate::store::{bookmark, postgres, writes};
use crate::write::{REMOVAL_GRACE_MS, RemovedFile, SETTLE_MS, Write};
use crate::{Bookmark, Change, FileVersion, Result, Snapshot};

impl Catalog {
    /// Begins a write into the folders at `locations` (URLs), of which no other write of ours needs to know. Returns its id,
    /// and a snapshot from after it.
    ///
    /// # Errors
    /// As [`Catalog::commit`].
    pub fn begin_write(&self, target: &str, locations: Vec<String>) -> Result<(i64, Arc<Snapshot>)> {
        // Held throughout, so that nobody finds the write without finding it alive.
        let mut live = self.live_writes.lock();
        let (id, snapshot) =
            self.commit_version(vec![Change::BeginWrite { target: target.to_owned(), locations }], |_| Ok(()))?;
        live.insert(id);
        Ok((id, snapshot))
    }

    /// Says that nobody in this process works on a write any more, however it has ended.
    pub fn leave_write(&self, id: i64) {
        self.live_writes.lock().remove(&id);
    }

    /// The ids of writes that go on and that nobody works on: their server is gone, or they are ours and were left. They are
    /// to be given up with [`Change::AbortWrite`].
    ///
    /// # Errors
    /// [`crate::Error::Store`] if the store can't say who is there.
    pub fn dead_writes(&self) -> Result<Vec<i64>> {
        // In this order: who has begun is alive before anybody can see it.
        let snapshot = self.snapshot();
        let live = self.live_writes.lock().clone();
        let going = snapshot.writes.open.values().filter(|write| write.aborted_at_ms.is_none());
        let going: Vec<&Arc<Write>> = going.filter(|write| !live.contains(&write.id)).collect();
        if going.is_empty() {
            return Ok(Vec::new());
        }
        // Where nobody but us has it open, what isn't live is an earlier process's, or was left behind.
        let living = match &self.watch {
            None => BTreeSet::new(),
            Some(_) => self.read(postgres::servers::living)?,
        };
        let own = self.server_id();
        let is_dead = |write: &&Arc<Write>| write.server_id == own || !living.contains(&write.server_id);
        Ok(going.into_iter().filter(is_dead).map(|write| write.id).collect())
    }

    /// Writes that were given up and whose files may still be there, in the order of their ids. Those that whoever wrote gave
    /// up are among them only after a while: a store may take the last file after it was asked to delete it.
    ///
    /// # Errors
    /// [`crate::Error::Store`] if they can't be read.
    pub fn writes_to_clean(&self) -> Result<Vec<Arc<Write>>> {
        let settled_ms = (self.now_ms)() - SETTLE_MS;
        let ids = self.read(|connection| writes::to_clean(connection, settled_ms))?;
        let snapshot = self.snapshot();
        Ok(ids.iter().filter_map(|id| snapshot.writes.open.get(id).cloned()).collect())
    }

    /// Notes that all files of a write that was given up are deleted.
    ///
    /// # Errors
    /// [`crate::Error::Store`] if it can't be written.
    pub fn write_is_clean(&self, id: i64) -> Result<()> {
        let now_ms = (self.now_ms)();
        self.write(|connection| writes::set_cleaned(connection, id, now_ms))
    }

    /// Removed files that may be deleted now, at most `limit`: no living snapshot of any server has them, or they were
    /// removed longer than [`REMOVAL_GRACE_MS`] ago.
    ///
    /// # Errors
    /// [`crate::Error::Store`] if they can't be read.
    pub fn files_to_delete(&self, limit: usize) -> Result<Vec<RemovedFile>> {
        let grace_ms = (self.now_ms)() - REMOVAL_GRACE_MS;
        let held = self.published.oldest_held();
        self.read(|connection| {
            let elsewhere = match &self.watch {
                Some(watch) => postgres::servers::oldest_elsewhere(connection, watch.server_id())?,
                None => None,
            };
            writes::to_delete(connection, elsewhere.map_or(held, |elsewhere| elsewhere.min(held)), grace_ms, limit)
        })
    }

    /// Notes that removed files are deleted from their store.
    ///
    /// # Errors
    /// [`crate::Error::Store`] if it can't be written.
    pub fn files_are_deleted(&self, files: &[RemovedFile]) -> Result<()> {
        let now_ms = (self.now_ms)();
        self.write(|connection| writes::set_deleted(connection, files, now_ms))
    }

    /// All bookmarks, by name.
    ///
    /// # Errors
    /// [`crate::Error::Store`] if they can't be read.
    pub fn bookmarks(&self) -> Result<Vec<Bookmark>> {
        self.read(bookmark::load)
    }

    /// The bookmark called `name`, in any case, and the version of each file that it knows, by URL. Its `file_count` is right.
    ///
    /// # Errors
    /// [`crate::Error::Store`] if they can't be read.
    pub fn bookmark_files(&self, name: &str) -> Result<Option<(Bookmark, HashMap<String, String>)>> {
        let name = name.to_lowercase();
        self.read(|connection| {
            connection.begin_reading()?;
            let mut files = HashMap::new();
            let found = bookmark::find(connection, &name).and_then(|found| {
                bookmark::each_file(connection, &name, &mut |FileVersion { location, version }| {
                    files.insert(location, version);
                })?;
                Ok(found)
            });
            connection.rollback();
            Ok(found?.map(|bookmark| (Bookmark { file_count: files.len() as u64, ..bookmark }, files)))
        })
    }
}
