//! `system.reports` and `system.report_runs`: reports and their runs as tables.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use limnos_catalog::{Catalog, Report, ReportRun};

use super::files_text;
use crate::plan::authorize::Rights;
use crate::plan::system::SystemTable;
use crate::{Error, Result};

/// A row for each report.
pub struct Reports {
    /// Where they are.
    pub catalog: Arc<Catalog>,
}

/// A row for each run that is kept.
pub struct ReportHistory {
    /// Where runs are kept.
    pub catalog: Arc<Catalog>,
}

fn text(name: &str) -> Field {
    Field::new(name, DataType::Utf8, true)
}

fn instant(name: &str) -> Field {
    Field::new(name, DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true)
}

fn texts(values: impl Iterator<Item = Option<String>>) -> ArrayRef {
    Arc::new(values.collect::<StringArray>())
}

fn instants(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    let micros = values.map(|ms| ms.map(|ms| ms.saturating_mul(1000)));
    Arc::new(micros.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
}

fn counts(values: impl Iterator<Item = u64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values.map(|count| i64::try_from(count).unwrap_or(i64::MAX))))
}

fn batch(schema: SchemaRef, columns: Vec<ArrayRef>) -> Result<RecordBatch> {
    RecordBatch::try_new(schema, columns).map_err(|error| Error::internal(error.to_string()))
}

fn json(value: &impl serde::Serialize) -> Option<String> {
    serde_json::to_string(value).ok()
}

impl SystemTable for Reports {
    fn name(&self) -> &'static str {
        "reports"
    }

    fn comment(&self) -> &'static str {
        "Reports: what they write, where to, and who is told."
    }

    fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(vec![
            text("report_name"),
            text("title"),
            text("comment"),
            text("owner"),
            text("time_zone"),
            text("database_name"),
            Field::new("queries", DataType::Int64, true),
            text("files"),
            text("email"),
            text("webhooks"),
            instant("created_at"),
            instant("updated_at"),
        ]))
    }

    fn rows(&self) -> Result<RecordBatch> {
        self.rows_of(|_| true)
    }

    fn rows_for(&self, rights: &Rights) -> Result<RecordBatch> {
        let sees_all = rights.reads_statistics();
        self.rows_of(|owner| sees_all || rights.has_role(rights.owner(owner)))
    }
}

impl Reports {
    /// Those whose owner is seen.
    fn rows_of(&self, sees: impl Fn(&str) -> bool) -> Result<RecordBatch> {
        let snapshot = self.catalog.snapshot();
        let reports: Vec<&Arc<Report>> = snapshot.reports.values().filter(|report| sees(&report.owner)).collect();
        let of = |text: fn(&Report) -> Option<String>| texts(reports.iter().map(|report| text(report)));
        let columns = vec![
            of(|report| Some(report.name.clone())),
            of(|report| report.title.clone()),
            of(|report| report.comment.clone()),
            of(|report| Some(report.owner.clone())),
            of(|report| Some(report.time_zone.clone())),
            of(|report| Some(report.database.clone())),
            counts(reports.iter().map(|report| report.queries.len() as u64)),
            of(|report| Some(files_text(report))),
            of(|report| report.email.as_ref().map(|email| email.to.join(", "))),
            of(|report| Some(report.webhooks.join(", ")).filter(|names| !names.is_empty())),
            instants(reports.iter().map(|report| Some(report.created_at_ms))),
            instants(reports.iter().map(|report| Some(report.updated_at_ms))),
        ];
        batch(self.schema(), columns)
    }
}

impl SystemTable for ReportHistory {
    fn name(&self) -> &'static str {
        "report_runs"
    }

    fn comment(&self) -> &'static str {
        "Runs of reports: those that go on, and the last two hundred of each, with their files and who was told."
    }

    fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(vec![
            text("run_id"),
            text("report_name"),
            text("state"),
            instant("scheduled_at"),
            instant("started_at"),
            instant("finished_at"),
            text("user_name"),
            text("owner"),
            text("parameters"),
            Field::new("rows", DataType::Int64, true),
            Field::new("bytes_scanned", DataType::Int64, true),
            text("outputs"),
            text("deliveries"),
            text("message"),
        ]))
    }

    fn rows(&self) -> Result<RecordBatch> {
        self.rows_of(|_| true)
    }

    fn rows_for(&self, rights: &Rights) -> Result<RecordBatch> {
        let sees_all = rights.reads_statistics();
        self.rows_of(|owner| sees_all || rights.has_role(rights.owner(owner)))
    }
}

impl ReportHistory {
    /// Runs with the rights of an owner who is seen.
    fn rows_of(&self, sees: impl Fn(&str) -> bool) -> Result<RecordBatch> {
        let mut runs = self.catalog.report_runs()?;
        runs.retain(|run| sees(&run.owner));
        let of = |text: fn(&ReportRun) -> Option<String>| texts(runs.iter().map(text));
        let columns = vec![
            of(|run| Some(run.id.clone())),
            of(|run| Some(run.report.clone())),
            of(|run| Some(run.state.name().to_owned())),
            instants(runs.iter().map(|run| Some(run.scheduled_at_ms))),
            instants(runs.iter().map(|run| Some(run.started_at_ms))),
            instants(runs.iter().map(|run| run.finished_at_ms)),
            of(|run| Some(run.user.clone())),
            of(|run| Some(run.owner.clone())),
            of(|run| {
                let values: serde_json::Map<String, serde_json::Value> =
                    run.parameters.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
                json(&values)
            }),
            counts(runs.iter().map(|run| run.row_count)),
            counts(runs.iter().map(|run| run.bytes_scanned)),
            of(|run| json(&run.outputs)),
            of(|run| json(&run.deliveries)),
            of(|run| run.message.clone()),
        ];
        batch(self.schema(), columns)
    }
}
