//! Writes that go on and files that are to go, in the store.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::connection::{Connection, Value};
use super::damaged;
use super::write::Transaction;
use crate::write::{RemovedFile, Write, Writes, removed_key};
use crate::{Result, write_record};

/// Everything; what `base` has is taken from it where nothing has changed.
pub(crate) fn load(connection: &mut dyn Connection, base: Option<&Arc<Writes>>) -> Result<Arc<Writes>> {
    let (mut version, mut catalog_id) = (0, 0);
    connection.query("SELECT writes_version, coalesce(catalog_id, 0) FROM meta", &[], &mut |row| {
        (version, catalog_id) = (row[0].int()?, u32::try_from(row[1].int()?).unwrap_or(0));
        Ok(())
    })?;
    if let Some(base) = base
        && base.version == version
        && base.catalog_id == catalog_id
    {
        return Ok(Arc::clone(base));
    }
    let open = load_open(connection)?.into_iter().map(|write| (write.id, Arc::new(write))).collect::<BTreeMap<_, _>>();
    let mut removed = HashSet::new();
    connection.query("SELECT location, version FROM removed_files", &[], &mut |row| {
        removed.insert(removed_key(row[0].text()?, row[1].text()?));
        Ok(())
    })?;
    Ok(Arc::new(Writes { version, catalog_id, open, removed: Arc::new(removed) }))
}

fn load_open(connection: &mut dyn Connection) -> Result<Vec<Write>> {
    let mut writes = Vec::new();
    let store = connection.name().to_owned();
    connection.query(
        "SELECT id, server_id, begun_at_ms, aborted_at_ms, is_lost, record FROM writes ORDER BY id",
        &[],
        &mut |row| {
            let id = row[0].int()?;
            let (target, locations) = write_record::decode(row[5].text()?)
                .map_err(|error| damaged(&store, &format!("write {id}: {error}")))?;
            writes.push(Write {
                id,
                server_id: row[1].int()?,
                begun_at_ms: row[2].int()?,
                target,
                locations,
                aborted_at_ms: match row[3] {
                    Value::Null => None,
                    at => Some(at.int()?),
                },
                is_lost: row[4].int()? != 0,
            });
            Ok(())
        },
    )?;
    Ok(writes)
}

/// Gives the catalog its id unless it has one.
pub(crate) fn set_catalog_id(connection: &mut dyn Connection, catalog_id: u32) -> Result<()> {
    connection
        .execute("UPDATE meta SET catalog_id = ?1 WHERE catalog_id IS NULL", &[Value::Int(i64::from(catalog_id))])?;
    Ok(())
}

/// The ids of writes whose files may still be there: of those that are lost, and those that were given up before
/// `settled_ms`.
pub(crate) fn to_clean(connection: &mut dyn Connection, settled_ms: i64) -> Result<Vec<i64>> {
    ids(
        connection,
        "SELECT id FROM writes WHERE aborted_at_ms IS NOT NULL AND cleaned_at_ms IS NULL \
         AND (is_lost = 1 OR aborted_at_ms < ?1) ORDER BY id",
        &[Value::Int(settled_ms)],
    )
}

/// Notes that the files of a write that was given up are deleted.
pub(crate) fn set_cleaned(connection: &mut dyn Connection, id: i64, now_ms: i64) -> Result<()> {
    connection
        .execute("UPDATE writes SET cleaned_at_ms = ?2 WHERE id = ?1", &[Value::Int(id), Value::Int(now_ms)])
        .map(|_| ())
}

/// Removed files, at most `limit`, that snapshots from `oldest_version` on can't see, or that were removed before `grace_ms`.
pub(crate) fn to_delete(
    connection: &mut dyn Connection,
    oldest_version: i64,
    grace_ms: i64,
    limit: usize,
) -> Result<Vec<RemovedFile>> {
    let mut files = Vec::new();
    connection.query(
        "SELECT location, version FROM removed_files WHERE deleted_at_ms IS NULL \
         AND (removed_version <= ?1 OR removed_at_ms < ?2) ORDER BY location, version LIMIT ?3",
        &[Value::Int(oldest_version), Value::Int(grace_ms), Value::Int(i64::try_from(limit).unwrap_or(i64::MAX))],
        &mut |row| {
            files.push(RemovedFile { location: row[0].text()?.to_owned(), version: row[1].text()?.to_owned() });
            Ok(())
        },
    )?;
    Ok(files)
}

/// Notes that removed files are deleted.
pub(crate) fn set_deleted(connection: &mut dyn Connection, files: &[RemovedFile], now_ms: i64) -> Result<()> {
    let rows: Vec<Vec<Value<'_>>> = files
        .iter()
        .map(|file| vec![Value::Text(&file.location), Value::Text(&file.version), Value::Int(now_ms)])
        .collect();
    connection
        .execute_each("UPDATE removed_files SET deleted_at_ms = ?3 WHERE location = ?1 AND version = ?2", &rows)
        .map(|_| ())
}

fn ids(connection: &mut dyn Connection, sql: &'static str, parameters: &[Value<'_>]) -> Result<Vec<i64>> {
    let mut ids = Vec::new();
    connection.query(sql, parameters, &mut |row| {
        ids.push(row[0].int()?);
        Ok(())
    })?;
    Ok(ids)
}

impl Transaction<'_> {
    pub(crate) fn put_write(&mut self, write: &Write) -> Result<()> {
        let record = write_record::encode(&write.target, &write.locations)?;
        self.connection().execute(
            "INSERT INTO writes (id, server_id, begun_at_ms, aborted_at_ms, is_lost, record) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (id) DO UPDATE SET aborted_at_ms = excluded.aborted_at_ms, \
             is_lost = excluded.is_lost, record = excluded.record",
            &[
                Value::Int(write.id),
                Value::Int(write.server_id),
                Value::Int(write.begun_at_ms),
                write.aborted_at_ms.map_or(Value::Null, Value::Int),
                Value::Int(i64::from(write.is_lost)),
                Value::Text(&record),
            ],
        )?;
        Ok(())
    }

    pub(crate) fn delete_write(&mut self, id: i64) -> Result<()> {
        self.connection().execute("DELETE FROM writes WHERE id = ?1", &[Value::Int(id)]).map(|_| ())
    }

    /// Writes down which files are to go.
    pub(crate) fn put_removed_files(&mut self, files: &[RemovedFile], now_ms: i64) -> Result<()> {
        let version = self.version();
        let rows: Vec<Vec<Value<'_>>> = files
            .iter()
            .map(|file| {
                let (location, file_version) = (Value::Text(&file.location), Value::Text(&file.version));
                vec![location, file_version, Value::Int(version), Value::Int(now_ms)]
            })
            .collect();
        self.connection().execute_each(
            "INSERT INTO removed_files (location, version, removed_version, removed_at_ms) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT (location, version) DO UPDATE SET deleted_at_ms = NULL",
            &rows,
        )?;
        Ok(())
    }

    /// Forgets what settled before `settled_ms`: files that are deleted, writes whose files are. Returns the writes' ids, and
    /// whether there were any files.
    pub(crate) fn forget_settled(&mut self, settled_ms: i64) -> Result<(Vec<i64>, bool)> {
        let settled = [Value::Int(settled_ms)];
        let writes =
            ids(self.connection(), "SELECT id FROM writes WHERE cleaned_at_ms < ?1 AND is_lost = 0", &settled)?;
        for id in &writes {
            self.delete_write(*id)?;
        }
        let files = self.connection().execute("DELETE FROM removed_files WHERE deleted_at_ms < ?1", &settled)?;
        Ok((writes, files > 0))
    }

    /// Notes that this version changes what goes on with files.
    pub(crate) fn set_writes_version(&mut self) -> Result<()> {
        let version = [Value::Int(self.version())];
        self.connection().execute("UPDATE meta SET writes_version = ?1", &version).map(|_| ())
    }
}
