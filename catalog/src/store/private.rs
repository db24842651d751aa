//! [`Nowhere`] and [`PrivatePartitions`]: what stands in a store's place while a transaction block's changes are tried in
//! memory. All else that a draft writes is in its snapshot; partitions are not.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::connection::{Connection, OnRow, Value};
use super::partition_key;
use crate::{Error, Partition, PartitionList, PartitionStorage, Result, Snapshot};

/// A store that keeps nothing and has nothing.
#[derive(Debug)]
pub(crate) struct Nowhere;

impl Connection for Nowhere {
    fn name(&self) -> &str {
        "transaction block"
    }

    fn begin(&mut self) -> Result<()> {
        Ok(())
    }

    fn begin_reading(&mut self) -> Result<()> {
        Ok(())
    }

    fn commit(&mut self) -> Result<()> {
        Ok(())
    }

    fn rollback(&mut self) {}

    fn execute(&mut self, _: &'static str, _: &[Value<'_>]) -> Result<u64> {
        Ok(0)
    }

    fn execute_each(&mut self, _: &'static str, rows: &[Vec<Value<'_>>]) -> Result<Vec<u64>> {
        Ok(vec![0; rows.len()])
    }

    fn query(&mut self, _: &'static str, _: &[Value<'_>], _: &mut OnRow<'_>) -> Result<()> {
        Ok(())
    }

    fn execute_script(&mut self, _: &str) -> Result<()> {
        Ok(())
    }
}

/// A partition beside its values.
type Place = (Option<Box<str>>, Option<Arc<PartitionStorage>>);

/// By key, as [`partition_key`] writes it.
type Places = BTreeMap<Vec<u8>, Place>;

/// Reads the partitions that a table had before.
type Load<'a> = Box<dyn Fn(i64) -> Result<Arc<PartitionList>> + 'a>;

/// The partitions of the tables whose partitions a draft looks at, by table id.
pub(crate) struct PrivatePartitions<'a> {
    load: Load<'a>,
    tables: BTreeMap<i64, Places>,
}

impl<'a> PrivatePartitions<'a> {
    pub(crate) fn new(load: Load<'a>) -> Self {
        Self { load, tables: BTreeMap::new() }
    }

    fn places(&mut self, table_id: i64) -> Result<&mut Places> {
        if !self.tables.contains_key(&table_id) {
            let list = (self.load)(table_id)?;
            let mut places = Places::new();
            let mut values = Vec::with_capacity(list.values.len());
            for row in 0..list.len() {
                values.clear();
                values.extend(list.values.iter().map(|key| key[row].as_deref().map(str::to_owned)));
                places.insert(key(&values), (list.locations[row].clone(), list.storages.get(&row).cloned()));
            }
            self.tables.insert(table_id, places);
        }
        Ok(self.tables.entry(table_id).or_default())
    }

    /// As [`super::write::Transaction::add_partitions`].
    pub(crate) fn add(
        &mut self,
        table_id: i64,
        partitions: &[Partition],
        mut on_existing: impl FnMut(&Partition) -> Result<()>,
    ) -> Result<u64> {
        let places = self.places(table_id)?;
        let mut added_count = 0;
        for partition in partitions {
            let key = key(&partition.values);
            if places.contains_key(&key) {
                on_existing(partition)?;
                continue;
            }
            let place = (partition.location.as_deref().map(Box::from), partition.storage.clone().map(Arc::new));
            places.insert(key, place);
            added_count += 1;
        }
        Ok(added_count)
    }

    /// As [`super::write::Transaction::are_placed`].
    pub(crate) fn are_placed(&mut self, table_id: i64, partitions: &[Partition]) -> Result<bool> {
        let places = self.places(table_id)?;
        Ok(partitions.iter().all(|partition| {
            let wanted = partition.location.as_deref().unwrap_or_default();
            let place = places.get(&key(&partition.values));
            place.is_some_and(|(own, storage)| own.as_deref().unwrap_or_default() == wanted && storage.is_none())
        }))
    }

    /// As [`super::write::Transaction::drop_partitions`].
    pub(crate) fn drop(
        &mut self,
        table_id: i64,
        values: &[Vec<Option<String>>],
        mut on_missing: impl FnMut(&[Option<String>]) -> Result<()>,
    ) -> Result<u64> {
        let places = self.places(table_id)?;
        let mut dropped_count = 0;
        for values in values {
            match places.remove(&key(values)) {
                Some(_) => dropped_count += 1,
                None => on_missing(values)?,
            }
        }
        Ok(dropped_count)
    }

    /// As [`super::write::Transaction::drop_all_partitions`].
    pub(crate) fn drop_all(&mut self, table_id: i64) {
        self.tables.insert(table_id, Places::new());
    }

    /// Gives `snapshot` the lists of those of its tables that were looked at.
    pub(crate) fn put_into(self, snapshot: &mut Snapshot) -> Result<()> {
        let Some(private) = &mut snapshot.private else { return Ok(()) };
        let private = Arc::make_mut(private);
        let key_counts: BTreeMap<i64, usize> =
            snapshot.tables.values().map(|table| (table.id, table.partition_keys.len())).collect();
        for (table_id, places) in self.tables {
            let Some(&key_count) = key_counts.get(&table_id) else {
                private.partitions.remove(&table_id);
                continue;
            };
            private.partitions.insert(table_id, Arc::new(list(places, key_count)?));
        }
        Ok(())
    }
}

impl fmt::Debug for PrivatePartitions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivatePartitions").field("tables", &self.tables.keys()).finish_non_exhaustive()
    }
}

fn key(values: &[Option<String>]) -> Vec<u8> {
    let mut key = Vec::new();
    partition_key::encode(values, &mut key);
    key
}

fn list(places: Places, key_count: usize) -> Result<PartitionList> {
    let mut list = PartitionList { values: vec![Vec::new(); key_count], ..PartitionList::default() };
    for (key, (location, storage)) in places {
        partition_key::decode_into(&key, &mut list.values).ok_or_else(|| Error::Store {
            message: "a partition of a transaction block can't be read again".to_owned(),
            source: None,
        })?;
        if let Some(storage) = storage {
            list.storages.insert(list.locations.len(), storage);
        }
        list.locations.push(location);
    }
    Ok(list)
}
