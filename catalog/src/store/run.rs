//! Runs in the store, by kind: the history of what runs by itself. A run is added once, then replaced as it goes on.

use super::connection::{Connection, Value};
use crate::Result;
use crate::crawl_run::Run;

/// The runs of one kind, the newest first.
pub(crate) fn load(connection: &mut dyn Connection, kind: &str) -> Result<Vec<Run>> {
    let mut runs = Vec::new();
    connection.query(
        "SELECT id, name, started_at_ms, record FROM runs WHERE kind = ?1 ORDER BY started_at_ms DESC, id DESC",
        &[Value::Text(kind)],
        &mut |row| {
            runs.push(Run {
                id: row[0].text()?.to_owned(),
                name: row[1].text()?.to_owned(),
                started_at_ms: row[2].int()?,
                record: row[3].text()?.to_owned(),
            });
            Ok(())
        },
    )?;
    Ok(runs)
}

/// Adds a run and forgets the oldest of the same name beyond `keep`. False if there is one of that id already.
pub(crate) fn add(connection: &mut dyn Connection, kind: &str, run: &Run, keep: usize) -> Result<bool> {
    let added = connection.execute(
        "INSERT INTO runs (kind, id, name, started_at_ms, record) VALUES (?1, ?2, ?3, ?4, ?5) \
         ON CONFLICT (kind, id) DO NOTHING",
        &[
            Value::Text(kind),
            Value::Text(&run.id),
            Value::Text(&run.name),
            Value::Int(run.started_at_ms),
            Value::Text(&run.record),
        ],
    )?;
    connection.execute(
        "DELETE FROM runs WHERE kind = ?1 AND name = ?2 AND id NOT IN (SELECT id FROM runs \
         WHERE kind = ?1 AND name = ?2 ORDER BY started_at_ms DESC, id DESC LIMIT ?3)",
        &[Value::Text(kind), Value::Text(&run.name), Value::Int(i64::try_from(keep).unwrap_or(i64::MAX))],
    )?;
    Ok(added > 0)
}

/// Replaces what is kept of a run. One that was forgotten in the meantime stays so.
pub(crate) fn replace(connection: &mut dyn Connection, kind: &str, run: &Run) -> Result<()> {
    connection.execute(
        "UPDATE runs SET record = ?3 WHERE kind = ?1 AND id = ?2",
        &[Value::Text(kind), Value::Text(&run.id), Value::Text(&run.record)],
    )?;
    Ok(())
}

/// Gives the runs of one name another.
pub(crate) fn rename(connection: &mut dyn Connection, kind: &str, from: &str, to: &str) -> Result<()> {
    let parameters = [Value::Text(kind), Value::Text(from), Value::Text(to)];
    connection.execute("UPDATE runs SET name = ?3 WHERE kind = ?1 AND name = ?2", &parameters)?;
    Ok(())
}

/// Forgets the runs of one name.
pub(crate) fn delete(connection: &mut dyn Connection, kind: &str, name: &str) -> Result<()> {
    connection.execute("DELETE FROM runs WHERE kind = ?1 AND name = ?2", &[Value::Text(kind), Value::Text(name)])?;
    Ok(())
}
