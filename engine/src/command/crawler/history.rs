//! `system.crawls` and `system.crawl_changes`: the history of crawlers as tables.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use limnos_catalog::{Catalog, CrawlCounts, CrawlRun, RunState};

use super::Crawls;
use crate::plan::system::SystemTable;
use crate::{Error, Result};

/// A row for each run that is kept.
pub struct CrawlHistory {
    /// Where runs are kept.
    pub catalog: Arc<Catalog>,
    /// Those that go on.
    pub crawls: Arc<Crawls>,
}

/// A row for each thing that a run did or left undone.
pub struct CrawlChanges {
    /// Where runs are kept.
    pub catalog: Arc<Catalog>,
}

fn text(name: &str) -> Field {
    Field::new(name, DataType::Utf8, true)
}

fn instant(name: &str) -> Field {
    Field::new(name, DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true)
}

fn texts<'a>(values: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(values.collect::<StringArray>())
}

fn instants(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    let micros = values.map(|ms| ms.map(|ms| ms.saturating_mul(1000)));
    Arc::new(micros.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
}

fn batch(schema: SchemaRef, columns: Vec<ArrayRef>) -> Result<RecordBatch> {
    RecordBatch::try_new(schema, columns).map_err(|error| Error::internal(error.to_string()))
}

/// A column of counts and where it comes from.
type Count = (&'static str, fn(&CrawlCounts) -> u64);

const COUNTS: [Count; 12] = [
    ("files_listed", |counts| counts.files_listed),
    ("files_read", |counts| counts.files_read),
    ("bytes_read", |counts| counts.bytes_read),
    ("requests", |counts| counts.requests),
    ("tables_created", |counts| counts.tables_created),
    ("tables_updated", |counts| counts.tables_updated),
    ("tables_unchanged", |counts| counts.tables_unchanged),
    ("tables_dropped", |counts| counts.tables_dropped),
    ("tables_deprecated", |counts| counts.tables_deprecated),
    ("partitions_added", |counts| counts.partitions_added),
    ("partitions_dropped", |counts| counts.partitions_dropped),
    ("refused", |counts| counts.refused),
];

impl SystemTable for CrawlHistory {
    fn name(&self) -> &'static str {
        "crawls"
    }

    fn comment(&self) -> &'static str {
        "Runs of crawlers: those that go on, and the last hundred of each."
    }

    fn schema(&self) -> SchemaRef {
        let mut fields = vec![
            text("crawl_id"),
            text("crawler_name"),
            text("state"),
            text("trigger"),
            instant("due_at"),
            instant("started_at"),
            instant("finished_at"),
            text("user_name"),
            text("query_id"),
        ];
        fields.extend(COUNTS.iter().map(|(name, _)| Field::new(*name, DataType::Int64, true)));
        fields.push(text("message"));
        Arc::new(Schema::new(fields))
    }

    fn rows(&self) -> Result<RecordBatch> {
        let mut runs = self.catalog.crawl_runs()?;
        for run in runs.iter_mut().filter(|run| run.state == RunState::Running) {
            run.counts = self.crawls.counts(&run.crawler, &run.id).unwrap_or(run.counts);
        }
        let trigger = |run: &CrawlRun| if run.due_at_ms.is_some() { "schedule" } else { "statement" };
        let mut columns = vec![
            texts(runs.iter().map(|run| Some(run.id.as_str()))),
            texts(runs.iter().map(|run| Some(run.crawler.as_str()))),
            texts(runs.iter().map(|run| Some(run.state.name()))),
            texts(runs.iter().map(|run| Some(trigger(run)))),
            instants(runs.iter().map(|run| run.due_at_ms)),
            instants(runs.iter().map(|run| Some(run.started_at_ms))),
            instants(runs.iter().map(|run| run.finished_at_ms)),
            texts(runs.iter().map(|run| Some(run.user.as_str()))),
            texts(runs.iter().map(|run| Some(run.query_id.as_str()))),
        ];
        for (_, count) in COUNTS {
            let counts = runs.iter().map(|run| i64::try_from(count(&run.counts)).unwrap_or(i64::MAX));
            columns.push(Arc::new(Int64Array::from_iter_values(counts)));
        }
        columns.push(texts(runs.iter().map(|run| run.message.as_deref())));
        batch(self.schema(), columns)
    }
}

impl SystemTable for CrawlChanges {
    fn name(&self) -> &'static str {
        "crawl_changes"
    }

    fn comment(&self) -> &'static str {
        "What each run of a crawler made, changed, dropped, refused and skipped, and why."
    }

    fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(vec![
            text("crawl_id"),
            text("crawler_name"),
            instant("started_at"),
            text("object_name"),
            text("action"),
            text("reason"),
        ]))
    }

    fn rows(&self) -> Result<RecordBatch> {
        let runs = self.catalog.crawl_runs()?;
        let mut rows: Vec<(&CrawlRun, Option<&str>, &str, Option<String>)> = Vec::new();
        for run in &runs {
            for change in &run.changes {
                rows.push((run, Some(&change.object), &change.action, change.reason.clone()));
            }
            if run.changes_cut > 0 {
                rows.push((run, None, "CUT", Some(format!("{} more changes are not kept", run.changes_cut))));
            }
        }
        let columns = vec![
            texts(rows.iter().map(|row| Some(row.0.id.as_str()))),
            texts(rows.iter().map(|row| Some(row.0.crawler.as_str()))),
            instants(rows.iter().map(|row| Some(row.0.started_at_ms))),
            texts(rows.iter().map(|row| row.1)),
            texts(rows.iter().map(|row| Some(row.2))),
            texts(rows.iter().map(|row| row.3.as_deref())),
        ];
        batch(self.schema(), columns)
    }
}
