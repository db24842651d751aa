//! `system.schedules` and `system.schedule_runs`.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use limnos_catalog::schedule::When;
use limnos_catalog::{Catalog, ScheduleRun, StatementSchedule};

use super::show::{Standing, length_text, when_text};
use crate::clock::Clock;
use crate::plan::authorize::Rights;
use crate::plan::system::SystemTable;
use crate::{Error, Result};

/// A row for each schedule.
pub struct Schedules {
    /// Where they are kept.
    pub catalog: Arc<Catalog>,
    /// What tells when they are due next.
    pub clock: Arc<dyn Clock>,
}

/// A row for each run that is kept.
pub struct ScheduleRuns {
    /// Where they are kept.
    pub catalog: Arc<Catalog>,
}

fn text(name: &str) -> Field {
    Field::new(name, DataType::Utf8, true)
}

fn count(name: &str) -> Field {
    Field::new(name, DataType::Int64, true)
}

fn instant(name: &str) -> Field {
    Field::new(name, DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true)
}

fn texts(values: impl Iterator<Item = Option<String>>) -> ArrayRef {
    Arc::new(values.collect::<StringArray>())
}

fn counts(values: impl Iterator<Item = u64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values.map(|count| i64::try_from(count).unwrap_or(i64::MAX))))
}

fn instants(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    let micros = values.map(|ms| ms.map(|ms| ms.saturating_mul(1000)));
    Arc::new(micros.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
}

fn batch(schema: SchemaRef, columns: Vec<ArrayRef>) -> Result<RecordBatch> {
    RecordBatch::try_new(schema, columns).map_err(|error| Error::internal(error.to_string()))
}

/// Whether what belongs to `owner` is for a role to see.
fn is_seen(rights: &Rights, owner: &str) -> bool {
    rights.is_superuser() || rights.reads_statistics() || rights.has_role(rights.owner(owner))
}

impl SystemTable for Schedules {
    fn name(&self) -> &'static str {
        "schedules"
    }

    fn comment(&self) -> &'static str {
        "Schedules of statements: when they run, how they stand, when they are due next."
    }

    fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(vec![
            text("schedule_name"),
            text("owner"),
            text("kind"),
            text("expression"),
            text("time_zone"),
            text("state"),
            instant("since"),
            instant("next_run"),
            instant("last_due"),
            instant("last_success"),
            count("failures_in_a_row"),
            instant("start_at"),
            instant("end_at"),
            count("retries"),
            text("timeout"),
            text("catch_up"),
            text("overlap"),
            count("suspend_after"),
            text("database"),
            text("statements"),
            text("comment"),
            text("message"),
        ]))
    }

    fn rows(&self) -> Result<RecordBatch> {
        self.rows_that(&|_| true)
    }

    fn rows_for(&self, rights: &Rights) -> Result<RecordBatch> {
        self.rows_that(&|schedule| is_seen(rights, &schedule.owner))
    }
}

impl Schedules {
    fn rows_that(&self, is_seen: &dyn Fn(&StatementSchedule) -> bool) -> Result<RecordBatch> {
        let snapshot = self.catalog.snapshot();
        let (runs, states) = (self.catalog.schedule_runs()?, self.catalog.schedule_states()?);
        let now = self.clock.now();
        let all: Vec<&Arc<StatementSchedule>> = snapshot.schedules.values().filter(|it| is_seen(it)).collect();
        let standings: Vec<Standing<'_>> = all.iter().map(|it| Standing::of(it, &runs, &states, now)).collect();
        let remembered = |schedule: &StatementSchedule| states.get(&schedule.id).cloned().unwrap_or_default();
        let kind = |schedule: &StatementSchedule| match &schedule.when {
            When::Cron(_) => "cron",
            When::Every { .. } => "every",
            When::OnChange { .. } => "change",
        };
        let zone = |schedule: &StatementSchedule| match &schedule.when {
            When::Cron(schedule) => Some(schedule.time_zone.clone()),
            _ => None,
        };
        let own = || all.iter();
        batch(
            self.schema(),
            vec![
                texts(own().map(|it| Some(it.name.clone()))),
                texts(own().map(|it| Some(it.owner.clone()))),
                texts(own().map(|it| Some(kind(it).to_owned()))),
                texts(own().map(|it| Some(when_text(&it.when)))),
                texts(own().map(|it| zone(it))),
                texts(standings.iter().map(|standing| Some(standing.state.to_owned()))),
                instants(own().map(|it| Some(it.since_ms))),
                instants(standings.iter().map(|standing| standing.next_run.map(|at| at.timestamp_millis()))),
                instants(own().map(|it| remembered(it).due_at_ms)),
                instants(own().map(|it| remembered(it).success_at_ms)),
                counts(own().map(|it| u64::from(remembered(it).failures))),
                instants(own().map(|it| it.start_ms)),
                instants(own().map(|it| it.end_ms)),
                counts(own().map(|it| u64::from(it.retry.count))),
                texts(own().map(|it| it.timeout_ms.map(length_text))),
                texts(own().map(|it| Some(it.catch_up.word().to_owned()))),
                texts(own().map(|it| Some(it.overlap.word().to_owned()))),
                counts(own().map(|it| u64::from(it.suspend_after))),
                texts(own().map(|it| Some(it.database.clone()))),
                texts(own().map(|it| Some(it.statements.clone()))),
                texts(own().map(|it| it.comment.clone())),
                texts(standings.iter().map(|standing| standing.message.clone())),
            ],
        )
    }
}

impl SystemTable for ScheduleRuns {
    fn name(&self) -> &'static str {
        "schedule_runs"
    }

    fn comment(&self) -> &'static str {
        "Runs of schedules: those that wait or go on, and the last of each schedule."
    }

    fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(vec![
            text("run_id"),
            text("schedule_name"),
            text("trigger"),
            instant("scheduled_at"),
            count("attempt"),
            text("state"),
            instant("queued_at"),
            instant("not_before"),
            instant("started_at"),
            instant("finished_at"),
            count("server_id"),
            text("user_name"),
            text("query_ids"),
            count("rows"),
            count("bytes_scanned"),
            text("output_files"),
            text("sqlstate"),
            text("message"),
        ]))
    }

    fn rows(&self) -> Result<RecordBatch> {
        self.rows_that(&|_| true)
    }

    fn rows_for(&self, rights: &Rights) -> Result<RecordBatch> {
        self.rows_that(&|schedule| is_seen(rights, &schedule.owner))
    }
}

impl ScheduleRuns {
    fn rows_that(&self, is_seen: &dyn Fn(&StatementSchedule) -> bool) -> Result<RecordBatch> {
        let snapshot = self.catalog.snapshot();
        let names: HashMap<i64, &str> = snapshot
            .schedules
            .values()
            .filter(|schedule| is_seen(schedule))
            .map(|schedule| (schedule.id, schedule.name.as_str()))
            .collect();
        let mut runs = self.catalog.schedule_runs()?;
        runs.retain(|run| names.contains_key(&run.schedule_id));
        let own = || runs.iter();
        let joined = |texts: &[String]| (!texts.is_empty()).then(|| texts.join(", "));
        let name = |run: &ScheduleRun| names.get(&run.schedule_id).map(|name| (*name).to_owned());
        batch(
            self.schema(),
            vec![
                texts(own().map(|run| Some(run.id.clone()))),
                texts(own().map(name)),
                texts(own().map(|run| Some(run.trigger.name().to_owned()))),
                instants(own().map(|run| Some(run.scheduled_at_ms))),
                counts(own().map(|run| u64::from(run.attempt))),
                texts(own().map(|run| Some(run.state.name().to_owned()))),
                instants(own().map(|run| Some(run.queued_at_ms))),
                instants(own().map(|run| Some(run.not_before_ms))),
                instants(own().map(|run| run.started_at_ms)),
                instants(own().map(|run| run.finished_at_ms)),
                counts(own().map(|run| u64::try_from(run.server_id).unwrap_or(0))),
                texts(own().map(|run| Some(run.outcome.user.clone()).filter(|user| !user.is_empty()))),
                texts(own().map(|run| joined(&run.outcome.query_ids))),
                counts(own().map(|run| run.outcome.rows)),
                counts(own().map(|run| run.outcome.bytes_scanned)),
                texts(own().map(|run| joined(&run.outcome.output_files))),
                texts(own().map(|run| run.outcome.sqlstate.clone())),
                texts(own().map(|run| run.outcome.message.clone())),
            ],
        )
    }
}
