//! [`ReportRun`]: one run of a report, as its history keeps it.

use serde::{Deserialize, Serialize};

use crate::crawl_run::Run;
use crate::{Result, RunState, crawler_record};

/// The kind of these in the store's table of runs.
pub const REPORT_RUNS: &str = "report";

/// The most runs that are kept of one report.
pub const REPORT_RUNS_MAX: usize = 200;

/// One run of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportRun {
    /// Names the run: the QueryExecution that it was.
    pub id: String,
    /// The report's name.
    pub report: String,
    /// How it stands. Of its files: a delivery that fails is told with the delivery.
    pub state: RunState,
    /// Who asked for it.
    pub user: String,
    /// Whose rights it had.
    pub owner: String,
    /// The time that it is of, in milliseconds since 1970.
    pub scheduled_at_ms: i64,
    /// Milliseconds since 1970, UTC.
    pub started_at_ms: i64,
    /// Milliseconds since 1970, UTC.
    pub finished_at_ms: Option<i64>,
    /// Names and values, the latter as text; NULL is `None`.
    pub parameters: Vec<(String, Option<String>)>,
    /// Rows of all queries.
    pub row_count: u64,
    /// What the queries read.
    pub bytes_scanned: u64,
    /// The files that were written.
    pub outputs: Vec<ReportFile>,
    /// Who is told, and whether they were.
    pub deliveries: Vec<Delivery>,
    /// Why it ended as it did.
    pub message: Option<String>,
}

/// A file that a run has written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportFile {
    /// Where.
    pub location: String,
    /// `xlsx` and so on.
    pub format: String,
    /// Bytes.
    pub size: u64,
    /// Of its bytes, in hexadecimal digits.
    pub sha256: String,
    /// Rows in it.
    pub row_count: u64,
}

/// A message about a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// `email` or `webhook`.
    pub kind: String,
    /// Addresses, or a webhook's name.
    pub target: String,
    /// `PENDING`, `DELIVERED` or `FAILED`.
    pub state: String,
    /// How often it was tried.
    #[serde(default)]
    pub attempts: u32,
    /// When it is tried next, in milliseconds since 1970; while somebody tries, until when nobody else does.
    #[serde(default)]
    pub next_at_ms: i64,
    /// What the last try came to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Delivery {
    /// Waits to be tried.
    pub const PENDING: &'static str = "PENDING";
    /// The other side has taken it.
    pub const DELIVERED: &'static str = "DELIVERED";
    /// Given up.
    pub const FAILED: &'static str = "FAILED";
}

#[derive(Serialize, Deserialize)]
struct ReportRunRecord {
    state: String,
    user: String,
    owner: String,
    scheduled_at_ms: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    finished_at_ms: Option<i64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    parameters: Vec<(String, Option<String>)>,
    #[serde(default)]
    row_count: u64,
    #[serde(default)]
    bytes_scanned: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    outputs: Vec<ReportFile>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    deliveries: Vec<Delivery>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

impl ReportRun {
    /// The form in which the store keeps it.
    ///
    /// # Errors
    /// [`crate::Error::Invalid`] if it can't be written as JSON, which none is known to be.
    pub fn to_run(&self) -> Result<Run> {
        let own = self.clone();
        let record = ReportRunRecord {
            state: own.state.name().to_owned(),
            user: own.user,
            owner: own.owner,
            scheduled_at_ms: own.scheduled_at_ms,
            finished_at_ms: own.finished_at_ms,
            parameters: own.parameters,
            row_count: own.row_count,
            bytes_scanned: own.bytes_scanned,
            outputs: own.outputs,
            deliveries: own.deliveries,
            message: own.message,
        };
        let record = crawler_record::encode("report run", &record)?;
        Ok(Run { id: own.id, name: own.report, started_at_ms: own.started_at_ms, record })
    }

    /// From the form in which the store keeps it.
    ///
    /// # Errors
    /// [`crate::Error::Invalid`] if it is damaged or of a newer format.
    pub fn from_run(run: Run) -> Result<Self> {
        let record: ReportRunRecord = crawler_record::decode("report run", &run.record)?;
        Ok(Self {
            id: run.id,
            report: run.name,
            state: RunState::parse(&record.state),
            user: record.user,
            owner: record.owner,
            scheduled_at_ms: record.scheduled_at_ms,
            started_at_ms: run.started_at_ms,
            finished_at_ms: record.finished_at_ms,
            parameters: record.parameters,
            row_count: record.row_count,
            bytes_scanned: record.bytes_scanned,
            outputs: record.outputs,
            deliveries: record.deliveries,
            message: record.message,
        })
    }
}
