//! What crawls have seen in files: a file's URL and version -> facts, in a form that only the engine reads. So the next
//! crawl opens only what is new. Bounded: the oldest go.

use super::connection::{Connection, Value};
use crate::Result;

/// The most files that are remembered. A crawl looks into a few files of each table, not into all.
const FILES_MAX: i64 = 200_000;

/// What is known of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SniffedFile {
    /// Its URL.
    pub location: String,
    /// Which version of it: changes whenever its content does.
    pub version: String,
    /// What was seen.
    pub facts: String,
}

/// Those whose URLs begin with `prefix`.
pub(crate) fn load(connection: &mut dyn Connection, prefix: &str) -> Result<Vec<SniffedFile>> {
    let mut files = Vec::new();
    // By the parameter's own length: databases differ in what type of number they take for one.
    connection.query(
        "SELECT location, version, facts FROM sniffed_files WHERE substr(location, 1, length(?1)) = ?1",
        &[Value::Text(prefix)],
        &mut |row| {
            files.push(SniffedFile {
                location: row[0].text()?.to_owned(),
                version: row[1].text()?.to_owned(),
                facts: row[2].text()?.to_owned(),
            });
            Ok(())
        },
    )?;
    Ok(files)
}

/// Remembers `put`, forgets `gone`, and the oldest beyond the bound.
pub(crate) fn change(connection: &mut dyn Connection, put: &[SniffedFile], gone: &[String], now_ms: i64) -> Result<()> {
    let rows: Vec<Vec<Value<'_>>> = put
        .iter()
        .map(|file| {
            vec![Value::Text(&file.location), Value::Text(&file.version), Value::Int(now_ms), Value::Text(&file.facts)]
        })
        .collect();
    connection.execute_each(
        "INSERT INTO sniffed_files (location, version, recorded_at_ms, facts) VALUES (?1, ?2, ?3, ?4) \
         ON CONFLICT (location) DO UPDATE SET version = excluded.version, \
         recorded_at_ms = excluded.recorded_at_ms, facts = excluded.facts",
        &rows,
    )?;
    let rows: Vec<Vec<Value<'_>>> = gone.iter().map(|location| vec![Value::Text(location)]).collect();
    connection.execute_each("DELETE FROM sniffed_files WHERE location = ?1", &rows)?;
    let mut count = 0;
    connection.query("SELECT count(*) FROM sniffed_files", &[], &mut |row| {
        count = row[0].int()?;
        Ok(())
    })?;
    if count > FILES_MAX {
        connection.execute(
            "DELETE FROM sniffed_files WHERE location IN \
             (SELECT location FROM sniffed_files ORDER BY recorded_at_ms, location LIMIT ?1)",
            &[Value::Int(count - FILES_MAX)],
        )?;
    }
    Ok(())
}
