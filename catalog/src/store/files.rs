//! What is kept of data files, and every statement that reads or writes it.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::connection::{Connection, Value};
use crate::facts::{self, FileFacts, FileVersion};
use crate::{Error, Result};

/// Files asked for in one query: far fewer round trips than one each, and one text that drivers keep prepared.
const LOOKUP_BATCH: usize = 128;

/// Asks for [`LOOKUP_BATCH`] files; a shorter batch repeats its last one.
static LOOKUP: LazyLock<String> = LazyLock::new(|| {
    let places: Vec<String> = (1..=LOOKUP_BATCH).map(|number| format!("?{number}")).collect();
    format!("SELECT location, version, facts FROM files WHERE location IN ({})", places.join(", "))
});

/// The facts of those of `files` that have some, by their URL. A record that can't be read counts as none.
pub(crate) fn load(connection: &mut dyn Connection, files: &[&FileVersion]) -> Result<HashMap<String, FileFacts>> {
    let mut found = HashMap::new();
    for batch in files.chunks(LOOKUP_BATCH) {
        let Some(last) = batch.last() else { continue };
        let versions: HashMap<&str, &str> =
            batch.iter().map(|file| (file.location.as_str(), file.version.as_str())).collect();
        let padded = batch.iter().chain(std::iter::repeat_n(last, LOOKUP_BATCH - batch.len()));
        let parameters: Vec<Value<'_>> = padded.map(|file| Value::Text(&file.location)).collect();
        connection.query(&LOOKUP, &parameters, &mut |row| {
            let location = row[0].text()?;
            if versions.get(location) == Some(&row[1].text()?)
                && let Some(facts) = facts::decode(row[2].blob()?)
            {
                found.insert(location.to_owned(), facts);
            }
            Ok(())
        })?;
    }
    Ok(found)
}

/// Writes facts down, in place of older ones of the same files. One transaction, which is no commit of the catalog.
pub(crate) fn put(connection: &mut dyn Connection, files: &[(FileVersion, Vec<u8>)], now_ms: i64) -> Result<()> {
    let rows: Vec<Vec<Value<'_>>> = files
        .iter()
        .map(|(file, facts)| {
            vec![Value::Text(&file.location), Value::Text(&file.version), Value::Int(now_ms), Value::Blob(facts)]
        })
        .collect();
    in_transaction(connection, |connection| {
        connection.execute_each(
            "INSERT INTO files (location, version, recorded_at_ms, facts) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT (location) DO UPDATE SET version = excluded.version, \
             recorded_at_ms = excluded.recorded_at_ms, facts = excluded.facts",
            &rows,
        )
    })?;
    Ok(())
}

/// Forgets the files whose URL begins with `prefix`; returns how many.
pub(crate) fn forget(connection: &mut dyn Connection, prefix: &str) -> Result<u64> {
    let length = i64::try_from(prefix.chars().count()).unwrap_or(i64::MAX);
    // Not LIKE, which has special characters, nor a range, which depends on how the store sorts.
    connection
        .execute("DELETE FROM files WHERE substr(location, 1, ?2) = ?1", &[Value::Text(prefix), Value::Int(length)])
}

/// How many files are kept, and the bytes of their facts.
pub(crate) fn usage(connection: &mut dyn Connection) -> Result<(u64, u64)> {
    let mut usage = None;
    connection.query("SELECT count(*), coalesce(sum(length(facts)), 0) FROM files", &[], &mut |row| {
        usage = Some((row[0].int()?, row[1].int()?));
        Ok(())
    })?;
    let (rows, bytes) = usage.unwrap_or_default();
    Ok((rows.unsigned_abs(), bytes.unsigned_abs()))
}

/// Forgets the `count` files that were written down first, and those of the same moment.
pub(crate) fn forget_oldest(connection: &mut dyn Connection, count: u64) -> Result<u64> {
    let offset = i64::try_from(count.saturating_sub(1)).unwrap_or(i64::MAX);
    let mut cut = None;
    connection.query(
        "SELECT recorded_at_ms FROM files ORDER BY recorded_at_ms LIMIT 1 OFFSET ?1",
        &[Value::Int(offset)],
        &mut |row| {
            cut = Some(row[0].int()?);
            Ok(())
        },
    )?;
    let Some(cut) = cut else { return Ok(0) };
    connection.execute("DELETE FROM files WHERE recorded_at_ms <= ?1", &[Value::Int(cut)])
}

fn in_transaction<T>(
    connection: &mut dyn Connection,
    work: impl FnOnce(&mut dyn Connection) -> Result<T>,
) -> Result<T, Error> {
    connection.begin()?;
    let done = work(connection).and_then(|done| connection.commit().map(|()| done));
    if done.is_err() {
        connection.rollback();
    }
    done
}
