//! `system.queries`: the history as a table.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use chrono::{DateTime, Utc};
use limnos_engine::plan::authorize::Rights;
use limnos_engine::plan::system::SystemTable;
use limnos_engine::{Error, Result};

use super::execution::{Execution, Progress};
use super::history::History;

/// The table; see its columns' names in [`Queries::schema`].
pub(super) struct Queries(pub(super) Arc<History>);

/// PostgreSQL's words in `pg_stat_activity`.
const HIDDEN: &str = "<insufficient privilege>";

fn text(name: &str) -> Field {
    Field::new(name, DataType::Utf8, true)
}

fn count(name: &str) -> Field {
    Field::new(name, DataType::Int64, true)
}

fn instant(name: &str) -> Field {
    Field::new(name, DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true)
}

type Row = (Arc<Execution>, Progress);

fn texts(rows: &[Row], get: impl Fn(&Row) -> Option<String>) -> ArrayRef {
    Arc::new(rows.iter().map(get).collect::<StringArray>())
}

fn counts(rows: &[Row], get: impl Fn(&Row) -> Option<u64>) -> ArrayRef {
    let value = |row| get(row).map(|count| i64::try_from(count).unwrap_or(i64::MAX));
    Arc::new(rows.iter().map(value).collect::<Int64Array>())
}

fn instants(rows: &[Row], get: impl Fn(&Row) -> Option<DateTime<Utc>>) -> ArrayRef {
    let micros = |row| get(row).map(|at| at.timestamp_micros());
    Arc::new(rows.iter().map(micros).collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
}

/// Milliseconds from `from` to `to`, or to now while it goes on.
fn millis(from: Option<DateTime<Utc>>, to: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Option<u64> {
    from.map(|from| u64::try_from((to.unwrap_or(now) - from).num_milliseconds()).unwrap_or(0))
}

impl SystemTable for Queries {
    fn name(&self) -> &'static str {
        "queries"
    }

    fn comment(&self) -> &'static str {
        "Queries that run, and the last thousand that ran since the server started."
    }

    fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(vec![
            text("query_id"),
            text("state"),
            text("user_name"),
            text("database"),
            text("client_address"),
            text("sql"),
            instant("queued_at"),
            instant("started_at"),
            instant("ended_at"),
            count("queue_ms"),
            count("run_ms"),
            count("rows"),
            count("bytes_scanned"),
            count("bytes_cached"),
            count("requests"),
            count("text_rows"),
            count("rejects"),
            count("partitions_kept"),
            count("partitions_total"),
            count("files_kept"),
            count("files_total"),
            count("peak_memory_bytes"),
            count("spilled_bytes"),
            text("result_cache"),
            text("sqlstate"),
            text("error"),
        ]))
    }

    fn rows(&self) -> Result<RecordBatch> {
        self.rows_seen_by(&|_| true)
    }

    /// As in PostgreSQL, others see that a query runs, not what it says.
    fn rows_for(&self, rights: &Rights) -> Result<RecordBatch> {
        self.rows_seen_by(&|user| rights.reads_statistics() || rights.has_role(user))
    }
}

impl Queries {
    fn rows_seen_by(&self, is_open: &dyn Fn(&str) -> bool) -> Result<RecordBatch> {
        let rows: Vec<Row> = self
            .0
            .all()
            .into_iter()
            .map(|execution| {
                let progress = execution.progress.lock().clone();
                (execution, progress)
            })
            .collect();
        let now = rows.first().map(|row| row.0.clock.now()).unwrap_or_default();
        let stat = |get: fn(&limnos_engine::execute::QueryStats) -> &std::sync::atomic::AtomicU64| {
            counts(&rows, move |row| Some(get(&row.0.stats).load(Relaxed)))
        };
        let columns: Vec<ArrayRef> = vec![
            texts(&rows, |row| Some(row.0.id.clone())),
            texts(&rows, |row| Some(row.1.state.name().to_owned())),
            texts(&rows, |row| Some(row.0.user.clone())),
            texts(&rows, |row| Some(row.0.database.clone())),
            texts(&rows, |row| row.0.client_address.clone().filter(|_| is_open(&row.0.user))),
            texts(&rows, |row| Some(if is_open(&row.0.user) { row.0.sql.clone() } else { HIDDEN.to_owned() })),
            instants(&rows, |row| Some(row.0.queued_at)),
            instants(&rows, |row| row.1.started_at),
            instants(&rows, |row| row.1.ended_at),
            counts(&rows, |row| millis(Some(row.0.queued_at), row.1.started_at.or(row.1.ended_at), now)),
            counts(&rows, |row| millis(row.1.started_at, row.1.ended_at, now)),
            counts(&rows, |row| Some(row.1.rows.max(row.0.stats.rows_produced.load(Relaxed)))),
            stat(|stats| &stats.bytes_scanned),
            stat(|stats| &stats.bytes_cached),
            stat(|stats| &stats.requests),
            stat(|stats| &stats.text_rows),
            stat(|stats| &stats.rejects),
            stat(|stats| &stats.partitions_kept),
            stat(|stats| &stats.partitions_total),
            stat(|stats| &stats.files_kept),
            stat(|stats| &stats.files_total),
            stat(|stats| &stats.peak_memory_bytes),
            stat(|stats| &stats.spilled_bytes),
            texts(&rows, |row| row.0.stats.result_cache().map(|used| used.name().to_owned())),
            texts(&rows, |row| row.1.error.as_ref().map(|error| error.code.sqlstate().to_owned())),
            texts(&rows, |row| {
                row.1.error.as_ref().filter(|_| is_open(&row.0.user)).map(|error| error.message.clone())
            }),
        ];
        RecordBatch::try_new(self.schema(), columns).map_err(|error| Error::internal(error.to_string()))
    }
}
