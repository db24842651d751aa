//! What is read from the store, and every query that does.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::connection::{Connection, Value};
use super::{acl, damaged, object, partition_key, writes};
use crate::{Database, Partition, PartitionList, Result, Snapshot, Table, TableName, TableVersion, record};

/// The version of the catalog in the store, and the next free id.
pub(crate) fn load_version(connection: &mut dyn Connection) -> Result<(i64, i64)> {
    let mut meta = None;
    connection.query("SELECT version, next_id FROM meta", &[], &mut |row| {
        meta = Some((row[0].int()?, row[1].int()?));
        Ok(())
    })?;
    meta.ok_or_else(|| damaged(connection.name(), "no version in it"))
}

/// [`load`] in a transaction of its own.
pub(crate) fn load_consistently(connection: &mut dyn Connection, base: Option<&Snapshot>) -> Result<Snapshot> {
    connection.begin_reading()?;
    let loaded = load(connection, base);
    connection.rollback();
    loaded
}

/// Reads everything but the partitions. What `base` has unchanged is taken from it: only its key columns are read again.
pub(crate) fn load(connection: &mut dyn Connection, base: Option<&Snapshot>) -> Result<Snapshot> {
    let (version, _) = load_version(connection)?;
    let databases = load_databases(connection)?;
    let tables = load_tables(connection, base)?;
    let (crawlers, classifiers) = (object::load(connection)?, object::load(connection)?);
    let reports = object::load(connection)?;
    let writes = writes::load(connection, base.map(|base| &base.writes))?;
    let (roles, acls) = (object::load(connection)?, acl::load(connection, base)?);
    let schedules = object::load(connection)?;
    Ok(Snapshot {
        version,
        databases,
        tables,
        crawlers,
        classifiers,
        reports,
        roles,
        schedules,
        acls,
        writes,
        private: None,
    })
}

fn load_databases(connection: &mut dyn Connection) -> Result<BTreeMap<String, Arc<Database>>> {
    let name = connection.name().to_owned();
    let mut databases = BTreeMap::new();
    connection.query("SELECT id, name, comment, location, parameters FROM databases", &[], &mut |row| {
        let parameters = record::decode_parameters(row[4].optional_text()?)
            .map_err(|error| damaged(&name, &format!("database {:?}: {error}", row[1])))?;
        let database = Database {
            id: row[0].int()?,
            name: row[1].text()?.to_owned(),
            comment: row[2].optional_text()?.map(str::to_owned),
            location: row[3].optional_text()?.map(str::to_owned),
            parameters,
        };
        databases.insert(database.name.clone(), Arc::new(database));
        Ok(())
    })?;
    Ok(databases)
}

fn load_tables(connection: &mut dyn Connection, base: Option<&Snapshot>) -> Result<BTreeMap<TableName, Arc<Table>>> {
    let store = connection.name().to_owned();
    let known: BTreeMap<i64, &Arc<Table>> =
        base.into_iter().flat_map(|base| base.tables.values()).map(|table| (table.id, table)).collect();
    let known_version = base.map_or(-1, |base| base.version);
    let mut tables = BTreeMap::new();
    connection.query(
        "SELECT tables.id, databases.name, tables.name, version, partitions_version, partition_count, created_at_ms, \
         updated_at_ms, CASE WHEN catalog_version > ?1 THEN definition END, data_version FROM tables \
         JOIN databases ON databases.id = database_id",
        &[Value::Int(known_version)],
        &mut |row| {
            let (id, name) =
                (row[0].int()?, TableName { database: row[1].text()?.to_owned(), name: row[2].text()?.to_owned() });
            let table = match (row[8].optional_text()?, known.get(&id)) {
                (None, Some(table)) => Arc::clone(table),
                (None, None) => return Err(damaged(&store, &format!("table \"{name}\" has no definition"))),
                (Some(text), _) => Arc::new(Table {
                    id,
                    name: name.clone(),
                    version: row[3].int()?,
                    partitions_version: row[4].int()?,
                    partition_count: u64::try_from(row[5].int()?).unwrap_or(0),
                    data_version: row[9].int()?,
                    created_at_ms: row[6].int()?,
                    updated_at_ms: row[7].int()?,
                    definition: Arc::new(
                        record::decode(text).map_err(|error| damaged(&store, &format!("table \"{name}\": {error}")))?,
                    ),
                }),
            };
            tables.insert(name, table);
            Ok(())
        },
    )?;
    Ok(tables)
}

/// Reads the partitions that `table` had at catalog version `version`, sorted by their values.
pub(crate) fn load_partitions(connection: &mut dyn Connection, version: i64, table: &Table) -> Result<PartitionList> {
    let store = connection.name().to_owned();
    let broken = || damaged(&store, &format!("a partition of table \"{}\"", table.name));
    let capacity = usize::try_from(table.partition_count).unwrap_or(0);
    let mut list = PartitionList {
        values: vec![Vec::with_capacity(capacity); table.partition_keys.len()],
        locations: Vec::with_capacity(capacity),
        storages: BTreeMap::new(),
    };
    connection.query(
        "SELECT \"values\", location, storage FROM partitions \
         WHERE table_id = ?1 AND added_version <= ?2 AND (dropped_version IS NULL OR dropped_version > ?2) \
         ORDER BY \"values\"",
        &[Value::Int(table.id), Value::Int(version)],
        &mut |row| {
            partition_key::decode_into(row[0].blob()?, &mut list.values).ok_or_else(broken)?;
            if let Some(storage) = row[2].optional_text()? {
                let storage = record::decode_partition_storage(storage).map_err(|_| broken())?;
                list.storages.insert(list.locations.len(), Arc::new(storage));
            }
            list.locations.push(row[1].optional_text()?.map(Box::from));
            Ok(())
        },
    )?;
    Ok(list)
}

/// Tells of each partition that `table` has now, sorted by their values.
pub(crate) fn each_partition(
    connection: &mut dyn Connection,
    table: &Table,
    on_partition: &mut dyn FnMut(Partition) -> Result<()>,
) -> Result<()> {
    let store = connection.name().to_owned();
    let broken = || damaged(&store, &format!("a partition of table \"{}\"", table.name));
    let mut count = 0;
    let mut values: Vec<Vec<Option<Box<str>>>> = vec![Vec::new(); table.partition_keys.len()];
    connection.query(
        "SELECT \"values\", location, storage FROM partitions WHERE table_id = ?1 AND dropped_version IS NULL \
         ORDER BY \"values\"",
        &[Value::Int(table.id)],
        &mut |row| {
            partition_key::decode_into(row[0].blob()?, &mut values).ok_or_else(broken)?;
            let storage = row[2].optional_text()?.map(record::decode_partition_storage).transpose();
            count += 1;
            on_partition(Partition {
                values: values.iter_mut().map(|column| column.pop().flatten().map(String::from)).collect(),
                location: row[1].optional_text()?.map(str::to_owned),
                storage: storage.map_err(|_| broken())?,
            })
        },
    )?;
    if count == table.partition_count { Ok(()) } else { Err(broken()) }
}

/// The versions that are kept of a table, oldest first.
pub(crate) fn load_table_versions(connection: &mut dyn Connection, table_id: i64) -> Result<Vec<TableVersion>> {
    let store = connection.name().to_owned();
    let mut versions = Vec::new();
    connection.query(
        "SELECT version, changed_at_ms, definition FROM table_versions WHERE table_id = ?1 ORDER BY version",
        &[Value::Int(table_id)],
        &mut |row| {
            let definition = record::decode(row[2].text()?)
                .map_err(|error| damaged(&store, &format!("a version of table {table_id}: {error}")))?;
            versions.push(TableVersion { version: row[0].int()?, changed_at_ms: row[1].int()?, definition });
            Ok(())
        },
    )?;
    Ok(versions)
}
