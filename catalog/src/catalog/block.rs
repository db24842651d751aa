//! Transaction blocks: their private snapshots, and the commit that makes all of one seen.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Catalog;
use crate::block::{Private, Touched};
use crate::draft::Draft;
use crate::store::private::{Nowhere, PrivatePartitions};
use crate::store::write::Transaction;
use crate::{Change, PartitionList, Result, Snapshot};

impl Catalog {
    /// What a transaction block sees that has `current` after it has made `changes`. Nothing is written: nobody else sees it,
    /// and no lock is held before or after.
    ///
    /// # Errors
    /// The first change that is refused; changes that only the store can try (bookmarks, beginnings of writes).
    pub fn draft(&self, current: &Arc<Snapshot>, changes: Vec<Change>) -> Result<Arc<Snapshot>> {
        let load = |table_id: i64| {
            let table = current.tables.values().find(|table| table.id == table_id);
            table.map_or_else(|| Ok(Arc::new(PartitionList::default())), |table| self.partitions(current, table))
        };
        let mut nowhere = Nowhere;
        let transaction = Transaction::private(&mut nowhere, current.version, PrivatePartitions::new(Box::new(load)));
        let mut draft = Draft::new(current, transaction, (self.now_ms)(), self.server_id());
        if draft.snapshot.private.is_none() {
            let base = Arc::clone(current);
            let private = Private { base, partitions: BTreeMap::new(), writes: BTreeSet::new() };
            draft.snapshot.private = Some(Arc::new(private));
        }
        for change in changes {
            draft.apply(change)?;
        }
        draft.into_private().map(Arc::new)
    }

    /// Commits the `changes` of a block that began with `base`, all of them or none.
    ///
    /// # Errors
    /// As [`Catalog::commit`]; [`crate::Error::Conflict`], [`crate::Error::AlreadyExists`] or [`crate::Error::NotFound`] where
    /// another commit since `base` has changed, made or dropped what the block changes.
    pub fn commit_block(&self, base: &Snapshot, changes: Vec<Change>) -> Result<Arc<Snapshot>> {
        let touched = Touched::of(&changes);
        self.commit_version(changes, |now| touched.check(base, now)).map(|(_, snapshot)| snapshot)
    }
}
