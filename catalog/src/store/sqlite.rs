//! What is in the file, and every statement that touches it.
//!
//! Partitions are kept in versions: a row is in the catalog versions `added_version <= v < dropped_version`, so that a
//! statement which began before a commit still finds the partitions it planned with. Rows that no snapshot can see any more
//! are deleted by [`Transaction::purge`]. They outlive their table for the same reason, hence no foreign key from them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::{damaged, explain, partition_key};
use crate::{Database, Error, Partition, PartitionList, Result, Snapshot, Table, TableName, record};

/// The version of the tables below, in `PRAGMA user_version`.
pub(super) const SCHEMA_VERSION: i32 = 1;

const SCHEMA: &str = "
    CREATE TABLE meta (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        version INTEGER NOT NULL,
        next_id INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE databases (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        comment TEXT,
        location TEXT
    ) STRICT;
    CREATE TABLE tables (
        id INTEGER PRIMARY KEY,
        database_id INTEGER NOT NULL REFERENCES databases (id),
        name TEXT NOT NULL,
        version INTEGER NOT NULL,
        partitions_version INTEGER NOT NULL,
        partition_count INTEGER NOT NULL,
        created_at_ms INTEGER NOT NULL,
        updated_at_ms INTEGER NOT NULL,
        definition TEXT NOT NULL,
        UNIQUE (database_id, name)
    ) STRICT;
    -- The values are a partition_key. The table is its own index: by table, then by values.
    CREATE TABLE partitions (
        table_id INTEGER NOT NULL,
        \"values\" BLOB NOT NULL,
        added_version INTEGER NOT NULL,
        dropped_version INTEGER,
        location TEXT,
        PRIMARY KEY (table_id, \"values\", added_version)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX dropped_partitions ON partitions (dropped_version) WHERE dropped_version IS NOT NULL;
    INSERT INTO meta (id, version, next_id) VALUES (1, 1, 2);
    INSERT INTO databases (id, name) VALUES (1, 'default');
";

/// Makes the tables in an empty file, all or nothing.
pub(super) fn create(connection: &mut Connection, application_id: i32) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(SCHEMA)?;
    transaction.pragma_update(None, "application_id", application_id)?;
    transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    transaction.commit()
}

/// Reads everything but the partitions; returns it and the next free id.
pub(crate) fn load(connection: &Connection, path: &str) -> Result<(Snapshot, i64)> {
    let unusable = |error: rusqlite::Error| explain(path, error);
    let meta = connection
        .query_row("SELECT version, next_id FROM meta", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
        .map_err(unusable)?;
    let Some((version, next_id)) = meta else { return Err(damaged(Path::new(path), "no version in it")) };
    let databases = load_databases(connection).map_err(unusable)?;
    let tables = load_tables(connection, path)?;
    Ok((Snapshot { version, databases, tables }, next_id))
}

fn load_databases(connection: &Connection) -> rusqlite::Result<BTreeMap<String, Arc<Database>>> {
    let mut statement = connection.prepare("SELECT id, name, comment, location FROM databases")?;
    let rows = statement.query_map([], |row| {
        Ok(Database { id: row.get(0)?, name: row.get(1)?, comment: row.get(2)?, location: row.get(3)? })
    })?;
    rows.map(|database| database.map(|database| (database.name.clone(), Arc::new(database)))).collect()
}

fn load_tables(connection: &Connection, path: &str) -> Result<BTreeMap<TableName, Arc<Table>>> {
    let unusable = |error: rusqlite::Error| explain(path, error);
    let mut statement = connection
        .prepare(
            "SELECT tables.id, databases.name, tables.name, version, partitions_version, partition_count, created_at_ms, \
             updated_at_ms, definition FROM tables JOIN databases ON databases.id = database_id",
        )
        .map_err(unusable)?;
    let mut rows = statement.query([]).map_err(unusable)?;
    let mut tables = BTreeMap::new();
    while let Some(row) = rows.next().map_err(unusable)? {
        let name = TableName { database: row.get(1).map_err(unusable)?, name: row.get(2).map_err(unusable)? };
        let text: String = row.get(8).map_err(unusable)?;
        let definition = record::decode(&text)
            .map_err(|error| damaged(Path::new(path), &format!("table \"{name}\": {error}")))?;
        let table = Table {
            id: row.get(0).map_err(unusable)?,
            name: name.clone(),
            version: row.get(3).map_err(unusable)?,
            partitions_version: row.get(4).map_err(unusable)?,
            partition_count: row.get(5).map_err(unusable)?,
            created_at_ms: row.get(6).map_err(unusable)?,
            updated_at_ms: row.get(7).map_err(unusable)?,
            definition: Arc::new(definition),
        };
        tables.insert(name, Arc::new(table));
    }
    Ok(tables)
}

/// Reads the partitions that `table` had at catalog version `version`, sorted by their values.
pub(crate) fn load_partitions(connection: &Connection, path: &str, version: i64, table: &Table) -> Result<PartitionList> {
    let mut statement = connection.prepare_cached(
        "SELECT \"values\", location FROM partitions \
         WHERE table_id = ?1 AND added_version <= ?2 AND (dropped_version IS NULL OR dropped_version > ?2) \
         ORDER BY \"values\"",
    )?;
    let capacity = usize::try_from(table.partition_count).unwrap_or(0);
    let mut list = PartitionList {
        values: vec![Vec::with_capacity(capacity); table.partition_keys.len()],
        locations: Vec::with_capacity(capacity),
    };
    let mut rows = statement.query(params![table.id, version])?;
    while let Some(row) = rows.next()? {
        let values = row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?;
        partition_key::decode_into(values, &mut list.values)
            .ok_or_else(|| damaged(Path::new(path), &format!("a partition of table \"{}\"", table.name)))?;
        let location = row.get_ref(1)?.as_str_or_null().map_err(rusqlite::Error::from)?;
        list.locations.push(location.map(Box::from));
    }
    Ok(list)
}

/// A write in progress: all of it happens at [`Transaction::commit`], or none.
#[derive(Debug)]
pub(crate) struct Transaction<'a> {
    transaction: rusqlite::Transaction<'a>,
    /// The catalog version that is being made.
    version: i64,
}

impl<'a> Transaction<'a> {
    /// Begins to make the catalog version `version`.
    pub(crate) fn begin(connection: &'a mut Connection, version: i64) -> Result<Self> {
        Ok(Self { transaction: connection.transaction_with_behavior(TransactionBehavior::Immediate)?, version })
    }

    /// Makes everything durable.
    pub(crate) fn commit(self, next_id: i64) -> Result<()> {
        self.execute("UPDATE meta SET version = ?1, next_id = ?2", params![self.version, next_id])?;
        Ok(self.transaction.commit()?)
    }

    pub(crate) fn put_database(&self, database: &Database) -> Result<()> {
        self.execute(
            "INSERT INTO databases (id, name, comment, location) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT (id) DO UPDATE SET comment = excluded.comment, location = excluded.location",
            params![database.id, database.name, database.comment, database.location],
        )?;
        Ok(())
    }

    pub(crate) fn delete_database(&self, id: i64) -> Result<()> {
        self.execute("DELETE FROM databases WHERE id = ?1", [id])?;
        Ok(())
    }

    pub(crate) fn put_table(&self, database_id: i64, table: &Table) -> Result<()> {
        self.execute(
            "INSERT INTO tables (id, database_id, name, version, partitions_version, partition_count, created_at_ms, \
             updated_at_ms, definition) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) \
             ON CONFLICT (id) DO UPDATE SET database_id = excluded.database_id, name = excluded.name, \
             version = excluded.version, partitions_version = excluded.partitions_version, \
             partition_count = excluded.partition_count, updated_at_ms = excluded.updated_at_ms, \
             definition = excluded.definition",
            params![
                table.id,
                database_id,
                table.name.name,
                table.version,
                table.partitions_version,
                table.partition_count,
                table.created_at_ms,
                table.updated_at_ms,
                record::encode(&table.definition)?,
            ],
        )?;
        Ok(())
    }

    pub(crate) fn delete_table(&self, id: i64) -> Result<()> {
        self.execute("DELETE FROM tables WHERE id = ?1", [id])?;
        Ok(())
    }

    /// Adds the partitions that aren't there. `on_existing` is told of each that is, and may refuse; returns how many were
    /// added.
    pub(crate) fn add_partitions(
        &self,
        table_id: i64,
        partitions: &[Partition],
        mut on_existing: impl FnMut(&Partition) -> Result<()>,
    ) -> Result<u64> {
        let mut insert = self.transaction.prepare_cached(
            "INSERT INTO partitions (table_id, \"values\", added_version, location) SELECT ?1, ?2, ?3, ?4 WHERE NOT EXISTS \
             (SELECT 1 FROM partitions WHERE table_id = ?1 AND \"values\" = ?2 AND dropped_version IS NULL)",
        )?;
        let mut key = Vec::new();
        let mut added_count = 0;
        for partition in partitions {
            partition_key::encode(&partition.values, &mut key);
            if insert.execute(params![table_id, key, self.version, partition.location])? == 0 {
                on_existing(partition)?;
            } else {
                added_count += 1;
            }
        }
        Ok(added_count)
    }

    /// Drops the partitions with these values. `on_missing` is told of each that isn't there, and may refuse; returns how
    /// many were dropped.
    pub(crate) fn drop_partitions(
        &self,
        table_id: i64,
        values: &[Vec<Option<String>>],
        mut on_missing: impl FnMut(&[Option<String>]) -> Result<()>,
    ) -> Result<u64> {
        // Nobody has seen what this very transaction added: that goes at once.
        let mut delete = self
            .transaction
            .prepare_cached("DELETE FROM partitions WHERE table_id = ?1 AND \"values\" = ?2 AND added_version = ?3")?;
        let mut update = self.transaction.prepare_cached(
            "UPDATE partitions SET dropped_version = ?3 WHERE table_id = ?1 AND \"values\" = ?2 AND dropped_version IS NULL",
        )?;
        let mut key = Vec::new();
        let mut dropped_count = 0;
        for values in values {
            partition_key::encode(values, &mut key);
            let parameters = params![table_id, key, self.version];
            if delete.execute(parameters)? + update.execute(parameters)? == 0 {
                on_missing(values)?;
            } else {
                dropped_count += 1;
            }
        }
        Ok(dropped_count)
    }

    /// Drops all partitions of a table.
    pub(crate) fn drop_all_partitions(&self, table_id: i64) -> Result<()> {
        let parameters = params![table_id, self.version];
        self.execute("DELETE FROM partitions WHERE table_id = ?1 AND added_version = ?2", parameters)?;
        self.execute(
            "UPDATE partitions SET dropped_version = ?2 WHERE table_id = ?1 AND dropped_version IS NULL",
            parameters,
        )?;
        Ok(())
    }

    /// Deletes the partitions that snapshots from `oldest_version` on can't see.
    pub(crate) fn purge(&self, oldest_version: i64) -> Result<usize> {
        self.execute("DELETE FROM partitions WHERE dropped_version <= ?1", [oldest_version])
    }

    fn execute(&self, sql: &str, parameters: impl rusqlite::Params) -> Result<usize> {
        self.transaction.prepare_cached(sql)?.execute(parameters).map_err(Error::from)
    }
}

/// Deletes the partitions that only snapshots of an earlier process could see.
pub(crate) fn purge_all(connection: &Connection, path: &str) -> Result<()> {
    connection
        .execute("DELETE FROM partitions WHERE dropped_version IS NOT NULL", [])
        .map(|_| ())
        .map_err(|error| explain(path, error))
}
