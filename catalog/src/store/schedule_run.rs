//! Runs of schedules in the store, and what schedules remember.

use std::collections::HashMap;

use super::connection::{Connection, Value};
use crate::Result;
use crate::schedule_run::{ScheduleOutcome, ScheduleRun, ScheduleRunState, ScheduleState, Trigger};

/// Reads a row of `schedule_runs`. What a later version wrote, or is damaged, has no outcome, and keeps nobody from the others.
fn run_of(row: &[Value<'_>]) -> Result<ScheduleRun> {
    Ok(ScheduleRun {
        id: row[0].text()?.to_owned(),
        schedule_id: row[1].int()?,
        trigger: Trigger::parse(row[2].text()?),
        scheduled_at_ms: row[3].int()?,
        attempt: u32::try_from(row[4].int()?).unwrap_or(1),
        state: ScheduleRunState::parse(row[5].text()?),
        queued_at_ms: row[6].int()?,
        not_before_ms: row[7].int()?,
        server_id: row[8].int()?,
        cancel_requested: row[9].int()? != 0,
        started_at_ms: optional_int(row[10])?,
        finished_at_ms: optional_int(row[11])?,
        outcome: ScheduleOutcome::decode(row[12].text()?).unwrap_or_default(),
    })
}

fn optional_int(value: Value<'_>) -> Result<Option<i64>> {
    if value == Value::Null { Ok(None) } else { value.int().map(Some) }
}

fn int_or_null(value: Option<i64>) -> Value<'static> {
    value.map_or(Value::Null, Value::Int)
}

fn select(connection: &mut dyn Connection, sql: &'static str, parameters: &[Value<'_>]) -> Result<Vec<ScheduleRun>> {
    let mut runs = Vec::new();
    connection.query(sql, parameters, &mut |row| {
        runs.push(run_of(row)?);
        Ok(())
    })?;
    Ok(runs)
}

/// All runs that are kept, the newest first.
pub(crate) fn load(connection: &mut dyn Connection) -> Result<Vec<ScheduleRun>> {
    select(
        connection,
        "SELECT id, schedule_id, cause, scheduled_at_ms, attempt, state, queued_at_ms, not_before_ms, server_id, \
         cancel_requested, started_at_ms, finished_at_ms, record FROM schedule_runs \
         ORDER BY queued_at_ms DESC, scheduled_at_ms DESC, attempt DESC, id DESC",
        &[],
    )
}

/// The runs that wait or go on, the oldest first.
pub(crate) fn load_open(connection: &mut dyn Connection) -> Result<Vec<ScheduleRun>> {
    select(
        connection,
        "SELECT id, schedule_id, cause, scheduled_at_ms, attempt, state, queued_at_ms, not_before_ms, server_id, \
         cancel_requested, started_at_ms, finished_at_ms, record FROM schedule_runs \
         WHERE state IN ('QUEUED', 'RUNNING') ORDER BY queued_at_ms, scheduled_at_ms, attempt, id",
        &[],
    )
}

/// The run of this id.
pub(crate) fn find(connection: &mut dyn Connection, id: &str) -> Result<Option<ScheduleRun>> {
    let runs = select(
        connection,
        "SELECT id, schedule_id, cause, scheduled_at_ms, attempt, state, queued_at_ms, not_before_ms, server_id, \
         cancel_requested, started_at_ms, finished_at_ms, record FROM schedule_runs WHERE id = ?1",
        &[Value::Text(id)],
    )?;
    Ok(runs.into_iter().next())
}

/// Whether there is a schedule of this id.
pub(crate) fn is_schedule(connection: &mut dyn Connection, schedule_id: i64) -> Result<bool> {
    let mut found = false;
    connection.query("SELECT id FROM objects WHERE id = ?1", &[Value::Int(schedule_id)], &mut |_| {
        found = true;
        Ok(())
    })?;
    Ok(found)
}

/// Adds a run. False if its scheduled time and attempt are claimed already.
pub(crate) fn add(connection: &mut dyn Connection, run: &ScheduleRun) -> Result<bool> {
    let record = run.outcome.encode()?;
    let added = connection.execute(
        "INSERT INTO schedule_runs (id, schedule_id, cause, scheduled_at_ms, attempt, state, queued_at_ms, not_before_ms, \
         server_id, cancel_requested, started_at_ms, finished_at_ms, record) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13) ON CONFLICT DO NOTHING",
        &[
            Value::Text(&run.id),
            Value::Int(run.schedule_id),
            Value::Text(run.trigger.name()),
            Value::Int(run.scheduled_at_ms),
            Value::Int(i64::from(run.attempt)),
            Value::Text(run.state.name()),
            Value::Int(run.queued_at_ms),
            Value::Int(run.not_before_ms),
            Value::Int(run.server_id),
            Value::Int(i64::from(run.cancel_requested)),
            int_or_null(run.started_at_ms),
            int_or_null(run.finished_at_ms),
            Value::Text(&record),
        ],
    )?;
    Ok(added > 0)
}

/// Replaces what is kept of a run, but what it is a run of.
pub(crate) fn replace(connection: &mut dyn Connection, run: &ScheduleRun) -> Result<()> {
    let record = run.outcome.encode()?;
    connection.execute(
        "UPDATE schedule_runs SET state = ?2, server_id = ?3, cancel_requested = ?4, started_at_ms = ?5, \
         finished_at_ms = ?6, record = ?7 WHERE id = ?1",
        &[
            Value::Text(&run.id),
            Value::Text(run.state.name()),
            Value::Int(run.server_id),
            Value::Int(i64::from(run.cancel_requested)),
            int_or_null(run.started_at_ms),
            int_or_null(run.finished_at_ms),
            Value::Text(&record),
        ],
    )?;
    Ok(())
}

/// Forgets the oldest runs of a schedule that have ended, beyond `keep`.
pub(crate) fn forget(connection: &mut dyn Connection, schedule_id: i64, keep: usize) -> Result<()> {
    connection.execute(
        "DELETE FROM schedule_runs WHERE schedule_id = ?1 AND state NOT IN ('QUEUED', 'RUNNING') AND id NOT IN \
         (SELECT id FROM schedule_runs WHERE schedule_id = ?1 AND state NOT IN ('QUEUED', 'RUNNING') \
         ORDER BY queued_at_ms DESC, scheduled_at_ms DESC, attempt DESC, id DESC LIMIT ?2)",
        &[Value::Int(schedule_id), Value::Int(i64::try_from(keep).unwrap_or(i64::MAX))],
    )?;
    Ok(())
}

/// Forgets all of a schedule.
pub(crate) fn delete(connection: &mut dyn Connection, schedule_id: i64) -> Result<()> {
    connection.execute("DELETE FROM schedule_runs WHERE schedule_id = ?1", &[Value::Int(schedule_id)])?;
    connection.execute("DELETE FROM schedule_states WHERE schedule_id = ?1", &[Value::Int(schedule_id)])?;
    Ok(())
}

/// Forgets all of all schedules.
pub(crate) fn delete_all(connection: &mut dyn Connection) -> Result<()> {
    connection.execute("DELETE FROM schedule_runs", &[])?;
    connection.execute("DELETE FROM schedule_states", &[])?;
    Ok(())
}

/// What each schedule remembers.
pub(crate) fn load_states(connection: &mut dyn Connection) -> Result<HashMap<i64, ScheduleState>> {
    let mut states = HashMap::new();
    connection.query(
        "SELECT schedule_id, due_at_ms, success_at_ms, failures, started_at_ms, files_version FROM schedule_states",
        &[],
        &mut |row| {
            let state = ScheduleState {
                due_at_ms: optional_int(row[1])?,
                success_at_ms: optional_int(row[2])?,
                failures: u32::try_from(row[3].int()?).unwrap_or(0),
                started_at_ms: optional_int(row[4])?,
                files_version: row[5].optional_text()?.map(str::to_owned),
            };
            states.insert(row[0].int()?, state);
            Ok(())
        },
    )?;
    Ok(states)
}

/// Replaces what a schedule remembers.
pub(crate) fn put_state(connection: &mut dyn Connection, schedule_id: i64, state: &ScheduleState) -> Result<()> {
    connection.execute(
        "INSERT INTO schedule_states (schedule_id, due_at_ms, success_at_ms, failures, started_at_ms, files_version) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (schedule_id) DO UPDATE SET due_at_ms = excluded.due_at_ms, \
         success_at_ms = excluded.success_at_ms, failures = excluded.failures, started_at_ms = excluded.started_at_ms, \
         files_version = excluded.files_version",
        &[
            Value::Int(schedule_id),
            int_or_null(state.due_at_ms),
            int_or_null(state.success_at_ms),
            Value::Int(i64::from(state.failures)),
            int_or_null(state.started_at_ms),
            Value::optional(state.files_version.as_deref()),
        ],
    )?;
    Ok(())
}
