//! RUN REPORT.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use chrono::{DateTime, SubsecRound, Utc};
use futures::StreamExt;
use futures::future::BoxFuture;
use limnos_catalog::{Delivery, Report, ReportFile, ReportRun, ReportValue, RunState};
use limnos_report::document::ROWS_CHARTED_MAX;
use limnos_report::{Charts, Document, Section};
use object_store::{ObjectStoreExt as _, PutPayload};

use super::chart_of;
use super::output::{Format, Outputs, Target};
use super::parameter::{Values, declared, query, zone_of};
use super::template::{Fill, Template};
use crate::execute::{QueryContext, QueryStats};
use crate::input::{InputContext, timestamp_with_zone};
use crate::parse::report::with_placeholders;
use crate::scan::store::Location;
use crate::session::Zone;
use crate::session::accounts::Standing;
use crate::{Engine, Error, ErrorCode, Result, Session};

/// Bytes of rows of one query that are kept for documents. Beyond it tables and charts are made of fewer rows, and say so.
const KEPT_BYTES_MAX: usize = 64 << 20;

/// What stands beside the place of a file that could not be made.
const ERROR_SUFFIX: &str = ".error.txt";

/// What a run is asked for.
pub(crate) struct Asked {
    pub(crate) name: String,
    pub(crate) arguments: Vec<(String, ReportValue)>,
    pub(crate) at: Option<String>,
    /// Who asks, and the time that a schedule has for it.
    pub(crate) user: String,
    pub(crate) due_at_ms: Option<i64>,
}

/// Runs a report, and tells its files. Not an `async fn`: it runs queries by the same door that it came through.
///
/// # Errors
/// Whatever keeps one of the files from being made.
pub(crate) fn run<'a>(
    engine: &'a Arc<Engine>,
    session: &'a Session,
    asked: Asked,
    context: QueryContext,
) -> BoxFuture<'a, Result<RecordBatch>> {
    let (engine, catalog_name) = (Arc::clone(engine), session.catalog_name.clone());
    let backends = session.backends.clone();
    Box::pin(async move {
        let cpu = Arc::clone(&engine);
        let work = async move {
            let report = Arc::clone(engine.catalog().snapshot().report(&asked.name)?);
            let mut own = session_of(&engine, &report, &catalog_name)?;
            own.backends = backends;
            Box::pin(run_as(&engine, own, &report, asked, context)).await
        };
        let files = cpu.cpu.run(work).await?;
        rows(&files)
    })
}

/// A session in which the report's queries mean what they did when it was made, with its owner's rights.
fn session_of(engine: &Engine, report: &Report, catalog_name: &str) -> Result<Session> {
    let mut session = Session::new(report.owner.clone(), catalog_name);
    let snapshot = engine.catalog().snapshot();
    if engine.accounts().standing(&snapshot, &report.owner) == Standing::Unknown {
        session = session.of_process();
    }
    session.database.clone_from(&report.database);
    session.settings.set("dialect", std::slice::from_ref(&report.dialect))?;
    session.settings.set("timezone", std::slice::from_ref(&report.time_zone))?;
    // All queries see the catalog as it is now.
    session.pinned = Some(snapshot);
    Ok(session)
}

async fn run_as(
    engine: &Arc<Engine>,
    mut session: Session,
    report: &Arc<Report>,
    asked: Asked,
    context: QueryContext,
) -> Result<Vec<ReportFile>> {
    engine.rights(&session).check_writes_files("write files by a report")?;
    let scheduled_at = scheduled_time(engine, &session, &asked)?;
    let record = ReportRun {
        id: context.query_id.clone(),
        report: report.name.clone(),
        state: RunState::Running,
        user: asked.user.clone(),
        owner: report.owner.clone(),
        scheduled_at_ms: scheduled_at.timestamp_millis(),
        started_at_ms: engine.clock().now().timestamp_millis(),
        finished_at_ms: None,
        parameters: Vec::new(),
        row_count: 0,
        bytes_scanned: 0,
        outputs: Vec::new(),
        deliveries: Vec::new(),
        message: None,
    };
    engine.catalog().begin_report_run(&record)?;
    tracing::info!(report = %report.name, query_id = %record.id, scheduled_at = %scheduled_at, "report began");
    let mut ending = Ending {
        engine: Arc::clone(engine),
        record: Some(record),
        report: Arc::clone(report),
        stats: Arc::clone(&context.stats),
    };
    let mut places = Vec::new();
    let outcome =
        Box::pin(make(engine, &mut session, report, &asked, scheduled_at, &context, &mut ending, &mut places)).await;
    match outcome {
        Ok(files) => {
            for place in &places {
                // Gone already, mostly.
                let _ = place.store.delete(&beside(place)).await;
            }
            ending.end(RunState::Succeeded, None, files.clone());
            Ok(files)
        }
        Err(error) => {
            let is_cancelled = error.code == ErrorCode::QueryCanceled;
            if !is_cancelled {
                tell_beside(&places, report, scheduled_at, &context.query_id, &error).await;
            }
            let state = if is_cancelled { RunState::Cancelled } else { RunState::Failed };
            let mut message = error.message.clone();
            if let Some(detail) = &error.detail {
                message = format!("{message} ({detail})");
            }
            ending.end(state, Some(message), Vec::new());
            Err(error)
        }
    }
}

/// The time that is asked for: said, of the schedule, or now.
fn scheduled_time(engine: &Engine, session: &Session, asked: &Asked) -> Result<DateTime<Utc>> {
    let now = engine.clock().now();
    if let Some(at) = &asked.at {
        let zone = Zone::of_setting(&session.settings.show("timezone")?);
        let input = InputContext { zone, ..InputContext::of(session, Some(now.timestamp_micros())) };
        let micros = timestamp_with_zone(at, &input)?;
        return DateTime::from_timestamp_micros(micros)
            .ok_or_else(|| Error::new(ErrorCode::DatetimeFieldOverflow, format!("timestamp out of range: \"{at}\"")));
    }
    Ok(asked.due_at_ms.and_then(DateTime::from_timestamp_millis).unwrap_or_else(|| now.trunc_subsecs(0)))
}

#[allow(clippy::too_many_arguments, reason = "one run has so many sides")]
async fn make(
    engine: &Arc<Engine>,
    session: &mut Session,
    report: &Arc<Report>,
    asked: &Asked,
    scheduled_at: DateTime<Utc>,
    context: &QueryContext,
    ending: &mut Ending,
    places: &mut Vec<Location>,
) -> Result<Vec<ReportFile>> {
    let zone = zone_of(&report.time_zone);
    let values = Values::of(engine, session, report, &asked.arguments, scheduled_at, context).await?;
    if let Some(record) = &mut ending.record {
        record.parameters.clone_from(&values.own);
    }
    let targets = targets(engine, report, &values, scheduled_at)?;
    places.extend(targets.iter().map(|target| target.location.clone()));
    let title = report.title.clone().unwrap_or_else(|| report.name.clone());
    let mut outputs = Outputs::new(targets, &title, zone, &engine.shared.spill_dir)?;
    let mut sections = Vec::with_capacity(report.queries.len());
    let declared = declared(report);
    for (number, named) in report.queries.iter().enumerate() {
        let written = async {
            let (sql, names) = with_placeholders(&named.sql, session.settings.dialect(), &declared)?;
            let outcome = query(engine, session, &sql, &values.arrays(&names), context).await?;
            let schema = outcome.schema.clone().ok_or_else(|| Error::internal("a query without columns"))?;
            let charts = charts(report, number, &named.name);
            outputs.begin(number, &named.name, &schema)?;
            let mut section = Section { name: named.name.clone(), schema, batches: Vec::new(), row_count: 0, charts };
            let (mut stream, mut kept_bytes) = (outcome.stream, 0);
            while let Some(batch) = stream.next().await {
                if context.cancel.is_cancelled() {
                    return Err(crate::execute::canceled());
                }
                let batch = batch?;
                outputs.write(number, &batch).await?;
                let room = ROWS_CHARTED_MAX.saturating_sub(usize::try_from(section.row_count).unwrap_or(usize::MAX));
                if room > 0 && kept_bytes < KEPT_BYTES_MAX {
                    kept_bytes += batch.get_array_memory_size();
                    section.batches.push(batch.slice(0, room.min(batch.num_rows())));
                }
                section.row_count += batch.num_rows() as u64;
            }
            outputs.end(number, &section)?;
            Ok(section)
        };
        match written.await {
            Ok(section) => sections.push(section),
            Err(error) => {
                outputs.abort().await;
                let several = report.queries.len() > 1;
                return Err(if several && error.detail.is_none() {
                    error.with_detail(format!("In query \"{}\".", named.name))
                } else {
                    error
                });
            }
        }
    }
    if let Some(record) = &mut ending.record {
        record.row_count = sections.iter().map(|section| section.row_count).sum();
    }
    let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "NULL".to_owned());
    let document = Document {
        name: report.name.clone(),
        title,
        description: report.comment.clone(),
        generated_at: engine.clock().now(),
        scheduled_at,
        time_zone: zone,
        parameters: values.own.iter().map(|(name, value)| (name.clone(), shown(value))).collect(),
        sections,
    };
    if context.cancel.is_cancelled() {
        outputs.abort().await;
        return Err(crate::execute::canceled());
    }
    outputs.finish(&document).await
}

/// The charts of one query: those that name it, or name none and it is the first.
fn charts(report: &Report, number: usize, name: &str) -> Charts {
    match &report.charts {
        None => Charts::Auto,
        Some(charts) => {
            let own = charts.iter().filter(|chart| chart.query.as_deref().map_or(number == 0, |query| query == name));
            Charts::Chosen(own.map(chart_of).collect())
        }
    }
}

/// Where the files of a run are.
fn targets(engine: &Engine, report: &Report, values: &Values, scheduled_at: DateTime<Utc>) -> Result<Vec<Target>> {
    let mut targets = Vec::new();
    let mut seen = HashSet::new();
    let mut known: Vec<&str> = report.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
    known.extend(["report", "query"]);
    for output in &report.outputs {
        let template = Template::parse(&output.location, &known)?;
        let format = Format::of(&output.format, &output.location)?;
        let queries: Vec<Option<usize>> = if template.has("query") {
            (0..report.queries.len()).map(Some).collect()
        } else if format.is_document() {
            vec![None]
        } else {
            vec![Some(0)]
        };
        for query in queries {
            let mut values = values.by_name.clone();
            values.insert("query".to_owned(), query.map(|number| report.queries[number].name.clone()));
            let fill = Fill { scheduled_at, zone: zone_of(&report.time_zone), values: &values };
            let location = engine.shared.scan.stores.resolve(&template.fill(&fill, true)?)?;
            if location.is_folder || location.path.as_ref().is_empty() {
                let message = format!("location \"{}\" is a folder, not a file", location.url);
                return Err(Error::new(ErrorCode::InvalidParameterValue, message));
            }
            if !seen.insert(location.url.clone()) {
                let message = format!("two files of report \"{}\" would be \"{}\"", report.name, location.url);
                return Err(Error::new(ErrorCode::InvalidParameterValue, message));
            }
            targets.push(Target { location, output: output.clone(), format, query });
        }
    }
    Ok(targets)
}

fn beside(place: &Location) -> object_store::path::Path {
    let text = format!("{}{ERROR_SUFFIX}", place.path);
    object_store::path::Path::parse(&text).unwrap_or_else(|_| object_store::path::Path::from(text))
}

/// Puts a text beside each file that isn't there.
async fn tell_beside(places: &[Location], report: &Report, scheduled_at: DateTime<Utc>, run_id: &str, error: &Error) {
    let mut text = format!(
        "Report \"{}\" of {} could not be made.\n\nERROR: {} (SQLSTATE {})\n",
        report.name,
        scheduled_at.format("%Y-%m-%d %H:%M:%S UTC"),
        error.message,
        error.code.sqlstate()
    );
    for (what, more) in [("DETAIL", &error.detail), ("HINT", &error.hint)] {
        if let Some(more) = more {
            text.push_str(&format!("{what}: {more}\n"));
        }
    }
    text.push_str(&format!("\nThe run is {run_id} (see system.report_runs). A run that succeeds removes this file.\n"));
    for place in places {
        if let Err(error) = place.store.put(&beside(place), PutPayload::from(text.clone())).await {
            tracing::warn!(file = %place.url, %error, "the error of a report could not be put beside its file");
        }
    }
}

/// Notes how a run ends; one that is dropped (cancelled, timed out, its client gone) was cancelled.
struct Ending {
    engine: Arc<Engine>,
    record: Option<ReportRun>,
    report: Arc<Report>,
    stats: Arc<QueryStats>,
}

impl Ending {
    fn end(&mut self, state: RunState, message: Option<String>, outputs: Vec<ReportFile>) {
        let Some(mut record) = self.record.take() else { return };
        record.state = state;
        record.finished_at_ms = Some(self.engine.clock().now().timestamp_millis());
        record.bytes_scanned = QueryStats::get(&self.stats.bytes_scanned);
        record.outputs = outputs;
        record.message = message.map(|message| message.chars().take(2_000).collect());
        if state != RunState::Cancelled {
            let delivery = |kind: &str, target: String| Delivery {
                kind: kind.to_owned(),
                target,
                state: Delivery::PENDING.to_owned(),
                attempts: 0,
                next_at_ms: 0,
                error: None,
            };
            let email = self.report.email.iter().map(|email| delivery("email", email.to.join(", ")));
            let webhooks = self.report.webhooks.iter().map(|name| delivery("webhook", name.clone()));
            record.deliveries = email.chain(webhooks).collect();
        }
        tracing::info!(
            report = %record.report, query_id = %record.id, state = state.name(), rows = record.row_count,
            message = record.message.as_deref(), "report ended"
        );
        if let Err(error) = self.engine.catalog().put_report_run(&record) {
            tracing::warn!(%error, query_id = %record.id, "the end of a report could not be noted");
        }
        if !record.deliveries.is_empty() {
            self.engine.shared.deliveries.notify_one();
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.end(RunState::Cancelled, Some("canceled before it ended".to_owned()), Vec::new());
    }
}

/// What RUN REPORT answers with.
pub(crate) fn ran_schema() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let count = |name: &str| Field::new(name, DataType::Int64, true);
    Arc::new(Schema::new(vec![text("file"), text("format"), count("rows"), count("bytes"), text("sha256")]))
}

fn rows(files: &[ReportFile]) -> Result<RecordBatch> {
    let text = |of: fn(&ReportFile) -> &str| Arc::new(StringArray::from_iter_values(files.iter().map(of))) as ArrayRef;
    let count = |of: fn(&ReportFile) -> u64| {
        let counts = files.iter().map(|file| i64::try_from(of(file)).unwrap_or(i64::MAX));
        Arc::new(Int64Array::from_iter_values(counts)) as ArrayRef
    };
    let columns = vec![
        text(|file| &file.location),
        text(|file| &file.format),
        count(|file| file.row_count),
        count(|file| file.size),
        text(|file| &file.sha256),
    ];
    RecordBatch::try_new(ran_schema(), columns).map_err(|error| Error::internal(error.to_string()))
}
