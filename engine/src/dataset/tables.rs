//! `system.datasets` and `system.ingestions`.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use chrono::{DateTime, TimeDelta, Utc};
use limnos_catalog::{
    Catalog, DatasetDefinition, Ingestion, IngestionCounts, Privilege, Refresh, RunState, Snapshot, Table,
};

use super::kept::{Datasets, Loaded, mark_of};
use crate::command::dataset::{refresh_text, source_text};
use crate::plan::authorize::Rights;
use crate::plan::system::SystemTable;
use crate::schedule::Timetable;
use crate::{Error, Result};

/// How a dataset stands on this server.
pub(crate) struct Told {
    pub(crate) state: &'static str,
    pub(crate) loaded: Option<Arc<Loaded>>,
    pub(crate) failure: Option<String>,
    hits: u64,
    used_at_ms: i64,
    due_at_ms: i64,
}

impl Told {
    pub(crate) fn of(datasets: &Datasets, table: &Table, dataset: &DatasetDefinition) -> Self {
        let Some(entry) = datasets.find(table.id) else {
            let state = if dataset.is_populated { "ABSENT" } else { "EMPTY" };
            return Self { state, loaded: None, failure: None, hits: 0, used_at_ms: 0, due_at_ms: 0 };
        };
        let state = entry.state.borrow().clone();
        let loaded = state.of_mark(&mark_of(&table.definition)).filter(|_| dataset.is_populated).cloned();
        let word = match (&loaded, &state.failure) {
            _ if state.is_running => "REFRESHING",
            _ if state.is_loading => "LOADING",
            _ if !dataset.is_populated => "EMPTY",
            (Some(_), None) => "READY",
            (Some(_), Some(_)) => "STALE",
            (None, Some(_)) => "FAILED",
            (None, None) => "ABSENT",
        };
        Self {
            state: word,
            loaded,
            failure: state.failure.clone(),
            hits: entry.hits.load(Ordering::Relaxed),
            used_at_ms: entry.used_at_ms.load(Ordering::Relaxed),
            due_at_ms: entry.due_at_ms.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn refreshed_at(&self) -> Option<DateTime<Utc>> {
        self.loaded.as_ref().and_then(|loaded| DateTime::from_timestamp_millis(loaded.refreshed_at_ms))
    }

    /// When it is due next by a schedule.
    pub(crate) fn next_refresh(&self, dataset: &DatasetDefinition) -> Option<DateTime<Utc>> {
        let after = DateTime::from_timestamp_millis(self.due_at_ms.max(dataset.since_ms))?;
        next_due(&dataset.refresh, after)
    }
}

/// The first time after `after` at which a refresh is due by a schedule.
pub(crate) fn next_due(refresh: &Refresh, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
    match refresh {
        Refresh::Manual | Refresh::OnChange => None,
        Refresh::Every(seconds) => after.checked_add_signed(TimeDelta::seconds(i64::try_from(*seconds).ok()?)),
        Refresh::Cron(schedule) => Timetable::new(schedule).ok()?.next_after(after),
    }
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

fn counts(values: impl Iterator<Item = Option<u64>>) -> ArrayRef {
    Arc::new(values.map(|value| value.map(|value| i64::try_from(value).unwrap_or(i64::MAX))).collect::<Int64Array>())
}

fn instants(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    let micros = values.map(|ms| ms.filter(|ms| *ms > 0).map(|ms| ms.saturating_mul(1000)));
    Arc::new(micros.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
}

fn batch(schema: SchemaRef, columns: Vec<ArrayRef>) -> Result<RecordBatch> {
    RecordBatch::try_new(schema, columns).map_err(|error| Error::internal(error.to_string()))
}

/// Whoever may read a dataset may know how it stands.
fn is_shown(rights: &Rights, table: &Table) -> bool {
    rights.check_database(&table.name.database, Privilege::Usage).is_ok()
        && rights.check_table(table, Privilege::Select).is_ok()
}

/// A row for each dataset.
pub(crate) struct DatasetTable {
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) datasets: Arc<Datasets>,
}

impl SystemTable for DatasetTable {
    fn name(&self) -> &'static str {
        "datasets"
    }

    fn comment(&self) -> &'static str {
        "Datasets, and what this server keeps of them in memory."
    }

    fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(vec![
            text("database_name"),
            text("dataset_name"),
            text("state"),
            count("rows"),
            count("bytes"),
            count("plain_bytes"),
            Field::new("ratio", DataType::Float64, true),
            count("parts"),
            count("version"),
            instant("refreshed_at"),
            instant("checked_at"),
            text("refresh"),
            instant("next_refresh_at"),
            count("hits"),
            instant("last_used_at"),
            text("owner"),
            text("source"),
            text("message"),
        ]))
    }

    fn rows(&self) -> Result<RecordBatch> {
        self.rows_of(&self.catalog.snapshot(), &|_| true)
    }

    fn rows_for(&self, rights: &Rights) -> Result<RecordBatch> {
        self.rows_of(&self.catalog.snapshot(), &|table| is_shown(rights, table))
    }
}

impl DatasetTable {
    fn rows_of(&self, snapshot: &Snapshot, is_shown: &dyn Fn(&Table) -> bool) -> Result<RecordBatch> {
        let rows: Vec<(&Arc<Table>, &DatasetDefinition, Told)> = (snapshot.tables.values())
            .filter(|table| is_shown(table))
            .filter_map(|table| table.kind.dataset().map(|dataset| (table, dataset)))
            .map(|(table, dataset)| (table, dataset, Told::of(&self.datasets, table, dataset)))
            .collect();
        let of_rows = |get: fn(&Loaded) -> u64| counts(rows.iter().map(|(_, _, told)| told.loaded.as_deref().map(get)));
        let ratio = |loaded: &Loaded| {
            let bytes = loaded.table.memory_bytes();
            (bytes > 0).then(|| loaded.table.plain_bytes() as f64 / bytes as f64)
        };
        let columns = vec![
            texts(rows.iter().map(|(table, ..)| Some(shown_database(&table.name.database)))),
            texts(rows.iter().map(|(table, ..)| Some(table.name.name.clone()))),
            texts(rows.iter().map(|(_, _, told)| Some(told.state.to_owned()))),
            of_rows(|loaded| loaded.table.rows()),
            of_rows(|loaded| loaded.table.memory_bytes() as u64),
            of_rows(|loaded| loaded.table.plain_bytes()),
            Arc::new(rows.iter().map(|(_, _, told)| told.loaded.as_deref().and_then(ratio)).collect::<Float64Array>()),
            of_rows(|loaded| loaded.table.parts().count() as u64),
            of_rows(|loaded| loaded.version),
            instants(rows.iter().map(|(_, _, told)| told.loaded.as_ref().map(|loaded| loaded.refreshed_at_ms))),
            instants(
                rows.iter().map(|(_, _, told)| {
                    told.loaded.as_ref().map(|loaded| loaded.checked_at_ms.load(Ordering::Relaxed))
                }),
            ),
            texts(rows.iter().map(|(_, dataset, _)| Some(refresh_text(&dataset.refresh)))),
            instants(rows.iter().map(|(_, dataset, told)| told.next_refresh(dataset).map(|at| at.timestamp_millis()))),
            counts(rows.iter().map(|(_, _, told)| Some(told.hits))),
            instants(rows.iter().map(|(_, _, told)| Some(told.used_at_ms))),
            texts(rows.iter().map(|(table, ..)| Some(table.owner.clone()))),
            texts(rows.iter().map(|(_, dataset, _)| Some(source_text(dataset)))),
            texts(rows.iter().map(|(_, _, told)| told.failure.clone())),
        ];
        batch(self.schema(), columns)
    }
}

/// PostgreSQL's clients know the database `default` as `public`.
fn shown_database(name: &str) -> String {
    if name == "default" { "public".to_owned() } else { name.to_owned() }
}

/// A row for each ingestion that is kept.
pub(crate) struct IngestionTable {
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) datasets: Arc<Datasets>,
}

/// A column of counts and where it comes from.
type Count = (&'static str, fn(&IngestionCounts) -> u64);

const COUNTS: [Count; 8] = [
    ("rows_read", |counts| counts.rows_read),
    ("rows_ingested", |counts| counts.rows_ingested),
    ("rows_dropped", |counts| counts.rows_dropped),
    ("bytes_read", |counts| counts.bytes_read),
    ("files_added", |counts| counts.files_added),
    ("files_changed", |counts| counts.files_changed),
    ("files_removed", |counts| counts.files_removed),
    ("files_unchanged", |counts| counts.files_unchanged),
];

impl SystemTable for IngestionTable {
    fn name(&self) -> &'static str {
        "ingestions"
    }

    fn comment(&self) -> &'static str {
        "Ingestions of datasets: those that go on, and the last hundred of each."
    }

    fn schema(&self) -> SchemaRef {
        let mut fields = vec![
            text("ingestion_id"),
            text("dataset_name"),
            text("trigger"),
            text("state"),
            instant("started_at"),
            instant("finished_at"),
        ];
        fields.extend(COUNTS.iter().map(|(name, _)| count(name)));
        fields.extend([count("version"), text("user_name"), text("query_id"), count("server_id"), text("message")]);
        Arc::new(Schema::new(fields))
    }

    fn rows(&self) -> Result<RecordBatch> {
        self.rows_of(&|_| true)
    }

    fn rows_for(&self, rights: &Rights) -> Result<RecordBatch> {
        self.rows_of(&|table| is_shown(rights, table))
    }
}

impl IngestionTable {
    fn rows_of(&self, is_shown: &dyn Fn(&Table) -> bool) -> Result<RecordBatch> {
        let snapshot = self.catalog.snapshot();
        let names: HashMap<i64, String> = (snapshot.tables.values())
            .filter(|table| table.kind.dataset().is_some() && is_shown(table))
            .map(|table| (table.id, format!("{}.{}", shown_database(&table.name.database), table.name.name)))
            .collect();
        let mut runs: Vec<Ingestion> = self.catalog.ingestions()?;
        runs.retain(|run| names.contains_key(&run.dataset_id));
        for run in runs.iter_mut().filter(|run| run.state == RunState::Running) {
            run.counts = self.datasets.counts(&run.id).unwrap_or(run.counts);
        }
        let mut columns = vec![
            texts(runs.iter().map(|run| Some(run.id.clone()))),
            texts(runs.iter().map(|run| names.get(&run.dataset_id).cloned())),
            texts(runs.iter().map(|run| Some(run.trigger.name().to_owned()))),
            texts(runs.iter().map(|run| Some(run.state.name().to_owned()))),
            instants(runs.iter().map(|run| Some(run.started_at_ms))),
            instants(runs.iter().map(|run| run.finished_at_ms)),
        ];
        for (_, of) in COUNTS {
            columns.push(counts(runs.iter().map(|run| Some(of(&run.counts)))));
        }
        columns.extend([
            counts(runs.iter().map(|run| run.version)),
            texts(runs.iter().map(|run| Some(run.user.clone()))),
            texts(runs.iter().map(|run| Some(run.query_id.clone()))),
            counts(runs.iter().map(|run| u64::try_from(run.server_id).ok())),
            texts(runs.iter().map(|run| run.message.clone())),
        ]);
        batch(self.schema(), columns)
    }
}
