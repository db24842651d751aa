//! What is kept of rejected lines, and every statement that reads or writes it.

use super::connection::{Connection, Value};
use crate::reject::{KeptReject, Reject};
use crate::{FileVersion, Result};

/// Writes `rejects` down. A line that is there already is told anew and keeps the time when it was first seen; what was
/// rejected of other versions of the same files goes. Lines of a table that is gone, or is another one by now, are left out.
pub(crate) fn put(connection: &mut dyn Connection, rejects: &[Reject], now_ms: i64) -> Result<()> {
    let mut files: Vec<(i64, &FileVersion)> = rejects.iter().map(|reject| (reject.table_id, &reject.file)).collect();
    files.dedup();
    forget_other_versions(connection, &files)?;
    let rows: Vec<Vec<Value<'_>>> = rejects
        .iter()
        .map(|reject| {
            vec![
                Value::Int(reject.table_id),
                Value::Text(&reject.file.location),
                Value::Text(&reject.file.version),
                Value::Int(number(reject.offset)),
                Value::Int(reject.table_version),
                reject.line.map_or(Value::Null, |line| Value::Int(number(line))),
                Value::optional(reject.column.as_deref()),
                Value::Text(&reject.sqlstate),
                Value::Text(&reject.reason),
                Value::Text(&reject.raw),
                Value::Int(now_ms),
            ]
        })
        .collect();
    connection.execute_each(
        "INSERT INTO rejects (table_id, location, version, byte_offset, table_version, line, column_name, sqlstate, \
         reason, raw, seen_at_ms) SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11 \
         WHERE EXISTS (SELECT 1 FROM tables WHERE id = ?1 AND version = ?5) \
         ON CONFLICT (table_id, location, version, byte_offset) DO UPDATE SET table_version = excluded.table_version, \
         line = excluded.line, column_name = excluded.column_name, sqlstate = excluded.sqlstate, \
         reason = excluded.reason, raw = excluded.raw",
        &rows,
    )?;
    Ok(())
}

/// Forgets what was rejected of versions of `files` (each read for a table) other than these.
pub(crate) fn forget_other_versions(connection: &mut dyn Connection, files: &[(i64, &FileVersion)]) -> Result<()> {
    let rows: Vec<Vec<Value<'_>>> = files
        .iter()
        .map(|(table_id, file)| vec![Value::Int(*table_id), Value::Text(&file.location), Value::Text(&file.version)])
        .collect();
    connection
        .execute_each("DELETE FROM rejects WHERE table_id = ?1 AND location = ?2 AND version <> ?3", &rows)
        .map(|_| ())
}

/// All of them, by table, file and place.
pub(crate) fn load(connection: &mut dyn Connection) -> Result<Vec<KeptReject>> {
    let mut rejects = Vec::new();
    connection.query(
        "SELECT table_id, location, version, byte_offset, table_version, line, column_name, sqlstate, reason, raw, \
         seen_at_ms FROM rejects ORDER BY table_id, location, version, byte_offset",
        &[],
        &mut |row| {
            let reject = Reject {
                table_id: row[0].int()?,
                file: FileVersion { location: row[1].text()?.to_owned(), version: row[2].text()?.to_owned() },
                offset: row[3].int()?.unsigned_abs(),
                table_version: row[4].int()?,
                line: match row[5] {
                    Value::Null => None,
                    line => Some(line.int()?.unsigned_abs()),
                },
                column: row[6].optional_text()?.map(str::to_owned),
                sqlstate: row[7].text()?.to_owned(),
                reason: row[8].text()?.to_owned(),
                raw: row[9].text()?.to_owned(),
            };
            rejects.push(KeptReject { reject, seen_at_ms: row[10].int()? });
            Ok(())
        },
    )?;
    Ok(rejects)
}

/// The files of which lines are kept, each with the table that it was read for.
pub(crate) fn files(connection: &mut dyn Connection) -> Result<Vec<(i64, String)>> {
    let mut files = Vec::new();
    connection.query("SELECT DISTINCT table_id, location FROM rejects", &[], &mut |row| {
        files.push((row[0].int()?, row[1].text()?.to_owned()));
        Ok(())
    })?;
    Ok(files)
}

/// How many are kept.
pub(crate) fn count(connection: &mut dyn Connection) -> Result<u64> {
    let mut count = 0;
    connection.query("SELECT count(*) FROM rejects", &[], &mut |row| {
        count = row[0].int()?;
        Ok(())
    })?;
    Ok(count.unsigned_abs())
}

/// Forgets the `count` that were seen first, and those of the same moment.
pub(crate) fn forget_oldest(connection: &mut dyn Connection, count: u64) -> Result<u64> {
    let offset = number(count.saturating_sub(1));
    let mut cut = None;
    connection.query(
        "SELECT seen_at_ms FROM rejects ORDER BY seen_at_ms LIMIT 1 OFFSET ?1",
        &[Value::Int(offset)],
        &mut |row| {
            cut = Some(row[0].int()?);
            Ok(())
        },
    )?;
    let Some(cut) = cut else { return Ok(0) };
    connection.execute("DELETE FROM rejects WHERE seen_at_ms <= ?1", &[Value::Int(cut)])
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
