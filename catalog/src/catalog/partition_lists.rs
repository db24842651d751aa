//! [`PartitionLists`]: the partition lists that were used last, kept so that a table's next query doesn't read them again.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::PartitionList;

/// A table's id and its `partitions_version`: one exact set of partitions.
type Key = (i64, i64);

/// The most lists that are kept.
const LIST_COUNT_MAX: usize = 256;

/// The most partitions that are kept, all lists together: about 200 MiB with two short keys. One list may be longer and is
/// then the only one.
const PARTITION_COUNT_MAX: usize = 2_000_000;

/// The lists, the one used last at the back.
#[derive(Debug, Default)]
pub(super) struct PartitionLists {
    lists: VecDeque<(Key, Arc<PartitionList>)>,
    partition_count: usize,
}

impl PartitionLists {
    pub(super) fn get(&mut self, key: Key) -> Option<Arc<PartitionList>> {
        let index = self.lists.iter().position(|(other, _)| *other == key)?;
        let entry = self.lists.remove(index)?;
        let list = Arc::clone(&entry.1);
        self.lists.push_back(entry);
        Some(list)
    }

    /// Keeps a list that [`PartitionLists::get`] didn't have.
    pub(super) fn insert(&mut self, key: Key, list: Arc<PartitionList>) {
        self.partition_count += list.len();
        self.lists.push_back((key, list));
        while self.lists.len() > LIST_COUNT_MAX || (self.partition_count > PARTITION_COUNT_MAX && self.lists.len() > 1)
        {
            let Some((_, oldest)) = self.lists.pop_front() else { return };
            self.partition_count -= oldest.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(partition_count: usize) -> Arc<PartitionList> {
        Arc::new(PartitionList { locations: vec![None; partition_count], ..PartitionList::default() })
    }

    #[test]
    fn keeps_what_was_used_last() {
        let mut lists = PartitionLists::default();
        for id in 0..LIST_COUNT_MAX as i64 {
            lists.insert((id, 1), list(1));
        }
        assert!(lists.get((0, 1)).is_some());
        lists.insert((1000, 1), list(1));
        assert!(lists.get((0, 1)).is_some(), "used last but one");
        assert!(lists.get((1, 1)).is_none(), "the oldest");
        assert!(lists.get((1000, 2)).is_none(), "another version is another list");
        assert_eq!(lists.partition_count, LIST_COUNT_MAX);
    }

    #[test]
    fn keeps_a_bounded_count_of_partitions() {
        let mut lists = PartitionLists::default();
        lists.insert((1, 1), list(PARTITION_COUNT_MAX / 2));
        lists.insert((2, 1), list(PARTITION_COUNT_MAX / 2));
        assert!(lists.get((1, 1)).is_some());
        lists.insert((3, 1), list(1));
        assert!(lists.get((2, 1)).is_none());
        lists.insert((4, 1), list(PARTITION_COUNT_MAX + 1));
        assert!(lists.get((4, 1)).is_some(), "one big list alone is kept");
        assert_eq!(lists.lists.len(), 1);
    }
}
