//! [`Catalog`]: the one handle through which what exists is read and changed.

use std::path::Path;
use std::sync::Arc;

use crate::{Change, PartitionList, Result, Snapshot, Table};

/// The catalog: an immutable [`Snapshot`] to read and one door, [`Catalog::commit`], to change it.
#[derive(Debug)]
pub struct Catalog {}

impl Catalog {
    /// Opens the catalog file at `path`, creating it (with the database `default`) if it isn't there.
    pub fn open(_path: &Path) -> Result<Arc<Self>> {
        todo!()
    }

    /// A catalog in memory, gone with its handle: for tests and for `limnos query` on plain paths.
    pub fn open_in_memory() -> Result<Arc<Self>> {
        todo!()
    }

    /// The newest committed state. Cheap: one atomic load.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        todo!()
    }

    /// Applies all `changes` or none of them, durably, and returns the snapshot that has them.
    pub fn commit(&self, _changes: Vec<Change>) -> Result<Arc<Snapshot>> {
        todo!()
    }

    /// The partitions of `table` as of `snapshot`, loaded on first use and shared after.
    pub fn partitions(&self, _snapshot: &Snapshot, _table: &Table) -> Result<Arc<PartitionList>> {
        todo!()
    }
}
