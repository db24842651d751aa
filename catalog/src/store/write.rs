//! [`Transaction`]: what is written to the store, and every statement that does.

use super::connection::{Connection, Value};
use super::private::{Nowhere, PrivatePartitions};
use super::{partition_key, read};
use crate::{Database, Error, Partition, Result, Table, TableDefinition, record};

/// How many versions of a table are kept: the newest ones. Glue keeps all and then refuses the next; a crawler that flips a
/// column every day would fill the store in either case.
pub(crate) const TABLE_VERSIONS_MAX: i64 = 100;

/// How many partitions go to the store between two looks at its answers.
const PARTITION_BATCH: usize = 4096;

/// A write in progress: all of it happens at [`Transaction::commit`], or none.
pub(crate) struct Transaction<'a> {
    connection: &'a mut dyn Connection,
    /// The catalog version that is being made.
    version: i64,
    next_id: i64,
    is_committed: bool,
    /// The partitions of a draft that no store sees.
    private: Option<PrivatePartitions<'a>>,
}

impl<'a> Transaction<'a> {
    /// Writes nothing anywhere: for the private draft of a transaction block that sees `version`.
    pub(crate) fn private(nowhere: &'a mut Nowhere, version: i64, partitions: PrivatePartitions<'a>) -> Self {
        Self { connection: nowhere, version, next_id: 0, is_committed: false, private: Some(partitions) }
    }

    /// The partitions of a private draft.
    pub(crate) fn take_private(&mut self) -> Option<PrivatePartitions<'a>> {
        self.private.take()
    }

    /// Begins to make the next version of the catalog.
    pub(crate) fn begin(connection: &'a mut dyn Connection) -> Result<Self> {
        connection.begin()?;
        // From here on nobody else can change it.
        let mut transaction = Self { connection, version: 0, next_id: 0, is_committed: false, private: None };
        let (version, next_id) = read::load_version(transaction.connection)?;
        (transaction.version, transaction.next_id) = (version + 1, next_id);
        Ok(transaction)
    }

    /// The catalog version that is being made: one more than what is in the store.
    pub(crate) fn version(&self) -> i64 {
        self.version
    }

    /// The next free id in the store.
    pub(crate) fn next_id(&self) -> i64 {
        self.next_id
    }

    /// For reading what is in the store now.
    pub(crate) fn connection(&mut self) -> &mut dyn Connection {
        self.connection
    }

    /// Makes everything durable.
    pub(crate) fn commit(mut self, next_id: i64) -> Result<()> {
        let parameters = [Value::Int(self.version), Value::Int(next_id)];
        self.connection.execute("UPDATE meta SET version = ?1, next_id = ?2", &parameters)?;
        self.is_committed = true;
        self.connection.commit()
    }

    pub(crate) fn put_database(&mut self, database: &Database) -> Result<()> {
        let parameters = record::encode_parameters(&database.parameters)?;
        self.connection.execute(
            "INSERT INTO databases (id, name, comment, location, parameters) VALUES (?1, ?2, ?3, ?4, ?5) \
             ON CONFLICT (id) DO UPDATE SET name = excluded.name, comment = excluded.comment, location = excluded.location, \
             parameters = excluded.parameters",
            &[
                Value::Int(database.id),
                Value::Text(&database.name),
                Value::optional(database.comment.as_deref()),
                Value::optional(database.location.as_deref()),
                Value::optional(parameters.as_deref()),
            ],
        )?;
        Ok(())
    }

    pub(crate) fn delete_database(&mut self, id: i64) -> Result<()> {
        self.connection.execute("DELETE FROM databases WHERE id = ?1", &[Value::Int(id)])?;
        Ok(())
    }

    pub(crate) fn put_table(&mut self, database_id: i64, table: &Table) -> Result<()> {
        let definition = record::encode(&table.definition)?;
        let partition_count = i64::try_from(table.partition_count).unwrap_or(i64::MAX);
        self.connection.execute(
            "INSERT INTO tables (id, database_id, name, version, partitions_version, partition_count, created_at_ms, \
             updated_at_ms, definition, catalog_version, data_version) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) \
             ON CONFLICT (id) DO UPDATE SET database_id = excluded.database_id, name = excluded.name, \
             version = excluded.version, partitions_version = excluded.partitions_version, \
             partition_count = excluded.partition_count, updated_at_ms = excluded.updated_at_ms, \
             definition = excluded.definition, catalog_version = excluded.catalog_version, \
             data_version = excluded.data_version",
            &[
                Value::Int(table.id),
                Value::Int(database_id),
                Value::Text(&table.name.name),
                Value::Int(table.version),
                Value::Int(table.partitions_version),
                Value::Int(partition_count),
                Value::Int(table.created_at_ms),
                Value::Int(table.updated_at_ms),
                Value::Text(&definition),
                Value::Int(self.version),
                Value::Int(table.data_version),
            ],
        )?;
        // Partitions that come and go make no version of the table.
        self.put_table_version(table.id, table.version, table.updated_at_ms, &table.definition)?;
        self.connection.execute(
            "DELETE FROM table_versions WHERE table_id = ?1 AND version <= ?2",
            &[Value::Int(table.id), Value::Int(table.version - TABLE_VERSIONS_MAX)],
        )?;
        // What one definition rejects is a row of another.
        self.connection.execute(
            "DELETE FROM rejects WHERE table_id = ?1 AND table_version <> ?2",
            &[Value::Int(table.id), Value::Int(table.version)],
        )?;
        Ok(())
    }

    /// Notes what a table was at one of its versions, unless that is known.
    pub(crate) fn put_table_version(
        &mut self,
        table_id: i64,
        version: i64,
        changed_at_ms: i64,
        definition: &TableDefinition,
    ) -> Result<()> {
        let definition = record::encode(definition)?;
        let parameters =
            [Value::Int(table_id), Value::Int(version), Value::Int(changed_at_ms), Value::Text(&definition)];
        self.connection.execute(
            "INSERT INTO table_versions (table_id, version, changed_at_ms, definition) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT (table_id, version) DO NOTHING",
            &parameters,
        )?;
        Ok(())
    }

    /// Adds an object as another catalog had it; `times_ms` are when it was made and changed.
    pub(crate) fn put_object_text(
        &mut self,
        id: i64,
        kind: &str,
        name: &str,
        version: i64,
        times_ms: (i64, i64),
        definition: &str,
    ) -> Result<()> {
        let added = self.connection.execute(
            "INSERT INTO objects (id, kind, name, version, created_at_ms, updated_at_ms, definition) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING",
            &[
                Value::Int(id),
                Value::Text(kind),
                Value::Text(name),
                Value::Int(version),
                Value::Int(times_ms.0),
                Value::Int(times_ms.1),
                Value::Text(definition),
            ],
        )?;
        if added > 0 { Ok(()) } else { Err(Error::AlreadyExists { kind: "object", name: format!("{kind} {name}") }) }
    }

    /// How many objects there are.
    pub(crate) fn count_objects(&mut self) -> Result<i64> {
        let mut count = 0;
        self.connection.query("SELECT count(*) FROM objects", &[], &mut |row| {
            count = row[0].int()?;
            Ok(())
        })?;
        Ok(count)
    }

    /// Takes everything out but the database `default`. Snapshots that are held still find their partitions.
    pub(crate) fn delete_everything(&mut self) -> Result<()> {
        self.connection.execute("DELETE FROM tables", &[])?;
        self.connection.execute("DELETE FROM table_versions", &[])?;
        self.connection.execute("DELETE FROM objects", &[])?;
        self.connection.execute("DELETE FROM grants", &[])?;
        super::schedule_run::delete_all(self.connection)?;
        self.delete_bookmarks()?;
        self.connection.execute("DELETE FROM rejects", &[])?;
        self.connection.execute("DELETE FROM databases WHERE id <> 1", &[])?;
        let version = [Value::Int(self.version)];
        self.connection
            .execute("UPDATE partitions SET dropped_version = ?1 WHERE dropped_version IS NULL", &version)
            .map(|_| ())
    }

    pub(crate) fn delete_table(&mut self, id: i64) -> Result<()> {
        self.connection.execute("DELETE FROM tables WHERE id = ?1", &[Value::Int(id)])?;
        self.connection.execute("DELETE FROM table_versions WHERE table_id = ?1", &[Value::Int(id)])?;
        self.connection.execute("DELETE FROM rejects WHERE table_id = ?1", &[Value::Int(id)])?;
        Ok(())
    }

    /// Adds the partitions that aren't there. `on_existing` is told of each that is, and may refuse; returns how many were
    /// added.
    pub(crate) fn add_partitions(
        &mut self,
        table_id: i64,
        partitions: &[Partition],
        mut on_existing: impl FnMut(&Partition) -> Result<()>,
    ) -> Result<u64> {
        if let Some(private) = &mut self.private {
            return private.add(table_id, partitions, on_existing);
        }
        let mut added_count = 0;
        for batch in partitions.chunks(PARTITION_BATCH) {
            let keys = keys(batch.iter().map(|partition| partition.values.as_slice()));
            let storages = batch
                .iter()
                .map(|partition| partition.storage.as_ref().map(record::encode_partition_storage).transpose())
                .collect::<Result<Vec<_>>>()?;
            let rows: Vec<Vec<Value<'_>>> = (batch.iter().zip(&keys))
                .zip(&storages)
                .map(|((partition, key), storage)| {
                    vec![
                        Value::Int(table_id),
                        Value::Blob(key),
                        Value::Int(self.version),
                        Value::optional(partition.location.as_deref()),
                        Value::optional(storage.as_deref()),
                    ]
                })
                .collect();
            let inserted = self.connection.execute_each(
                "INSERT INTO partitions (table_id, \"values\", added_version, location, storage) \
                 SELECT ?1, ?2, ?3, ?4, ?5 WHERE NOT EXISTS (SELECT 1 FROM partitions \
                 WHERE table_id = ?1 AND \"values\" = ?2 AND dropped_version IS NULL)",
                &rows,
            )?;
            for (partition, count) in batch.iter().zip(inserted) {
                match count {
                    0 => on_existing(partition)?,
                    _ => added_count += 1,
                }
            }
        }
        Ok(added_count)
    }

    /// Whether partitions that are there lie where these do, and are written as their table is.
    pub(crate) fn are_placed(&mut self, table_id: i64, partitions: &[Partition]) -> Result<bool> {
        if let Some(private) = &mut self.private {
            return private.are_placed(table_id, partitions);
        }
        for batch in partitions.chunks(PARTITION_BATCH) {
            let keys = keys(batch.iter().map(|partition| partition.values.as_slice()));
            let rows: Vec<Vec<Value<'_>>> = (batch.iter().zip(&keys))
                .map(|(partition, key)| {
                    let location = partition.location.as_deref().unwrap_or_default();
                    vec![Value::Int(table_id), Value::Blob(key), Value::Text(location)]
                })
                .collect();
            // Changes nothing, but tells of each whether it is so, many of them at a time.
            let placed = self.connection.execute_each(
                "UPDATE partitions SET added_version = added_version WHERE table_id = ?1 AND \"values\" = ?2 \
                 AND dropped_version IS NULL AND coalesce(location, '') = ?3 AND storage IS NULL",
                &rows,
            )?;
            if placed.contains(&0) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Drops the partitions with these values. `on_missing` is told of each that isn't there, and may refuse; returns how
    /// many were dropped.
    pub(crate) fn drop_partitions(
        &mut self,
        table_id: i64,
        values: &[Vec<Option<String>>],
        mut on_missing: impl FnMut(&[Option<String>]) -> Result<()>,
    ) -> Result<u64> {
        if let Some(private) = &mut self.private {
            return private.drop(table_id, values, on_missing);
        }
        let mut dropped_count = 0;
        for batch in values.chunks(PARTITION_BATCH) {
            let keys = keys(batch.iter().map(Vec::as_slice));
            let rows: Vec<Vec<Value<'_>>> =
                keys.iter().map(|key| vec![Value::Int(table_id), Value::Blob(key), Value::Int(self.version)]).collect();
            // Nobody has seen what this very transaction added: that goes at once.
            let deleted = self.connection.execute_each(
                "DELETE FROM partitions WHERE table_id = ?1 AND \"values\" = ?2 AND added_version = ?3",
                &rows,
            )?;
            let updated = self.connection.execute_each(
                "UPDATE partitions SET dropped_version = ?3 \
                 WHERE table_id = ?1 AND \"values\" = ?2 AND dropped_version IS NULL",
                &rows,
            )?;
            for (values, count) in
                batch.iter().zip(deleted.iter().zip(updated).map(|(deleted, updated)| deleted + updated))
            {
                match count {
                    0 => on_missing(values)?,
                    _ => dropped_count += 1,
                }
            }
        }
        Ok(dropped_count)
    }

    /// Drops all partitions of a table.
    pub(crate) fn drop_all_partitions(&mut self, table_id: i64) -> Result<()> {
        if let Some(private) = &mut self.private {
            private.drop_all(table_id);
            return Ok(());
        }
        let parameters = [Value::Int(table_id), Value::Int(self.version)];
        self.connection.execute("DELETE FROM partitions WHERE table_id = ?1 AND added_version = ?2", &parameters)?;
        self.connection.execute(
            "UPDATE partitions SET dropped_version = ?2 WHERE table_id = ?1 AND dropped_version IS NULL",
            &parameters,
        )?;
        Ok(())
    }

    /// Deletes the partitions that snapshots from `oldest_version` on can't see.
    pub(crate) fn purge(&mut self, oldest_version: i64) -> Result<u64> {
        self.connection.execute("DELETE FROM partitions WHERE dropped_version <= ?1", &[Value::Int(oldest_version)])
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if !self.is_committed {
            self.connection.rollback();
        }
    }
}

impl std::fmt::Debug for Transaction<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transaction").field("version", &self.version).finish_non_exhaustive()
    }
}

fn keys<'a>(values: impl Iterator<Item = &'a [Option<String>]>) -> Vec<Vec<u8>> {
    values
        .map(|values| {
            let mut key = Vec::new();
            partition_key::encode(values, &mut key);
            key
        })
        .collect()
}

/// Deletes the partitions that only snapshots of an earlier process could see.
pub(crate) fn purge_all(connection: &mut dyn Connection) -> Result<()> {
    connection.execute("DELETE FROM partitions WHERE dropped_version IS NOT NULL", &[]).map(|_| ())
}
