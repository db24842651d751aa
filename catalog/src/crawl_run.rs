//! [`CrawlRun`]: one run of a crawler, as its history keeps it.

use serde::{Deserialize, Serialize};

use crate::{Result, crawler_record};

/// The kind of these in the store's table of runs.
pub const CRAWL_RUNS: &str = "crawl";

/// The most runs that are kept of one crawler.
pub const CRAWL_RUNS_MAX: usize = 100;

/// A run of whatever runs by itself, its record in a form of its kind's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Names one run among its kind's.
    pub id: String,
    /// What ran.
    pub name: String,
    /// Milliseconds since 1970, UTC.
    pub started_at_ms: i64,
    /// The frozen form of all there is to say.
    pub record: String,
}

/// How a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunState {
    /// It goes on.
    Running,
    /// All that it found is in the catalog.
    Succeeded,
    /// It came to nothing.
    Failed,
    /// Somebody stopped it; it came to nothing.
    Cancelled,
}

impl RunState {
    /// As tables show it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::Cancelled => "CANCELLED",
        }
    }

    pub(crate) fn parse(name: &str) -> Self {
        match name {
            "RUNNING" => Self::Running,
            "SUCCEEDED" => Self::Succeeded,
            "CANCELLED" => Self::Cancelled,
            _ => Self::Failed,
        }
    }
}

/// What a run looked at and did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the names say it")]
pub struct CrawlCounts {
    pub files_listed: u64,
    /// Files that were opened; the others were known from an earlier run.
    pub files_read: u64,
    pub bytes_read: u64,
    pub requests: u64,
    pub tables_created: u64,
    pub tables_updated: u64,
    pub tables_unchanged: u64,
    pub tables_dropped: u64,
    pub tables_deprecated: u64,
    pub partitions_added: u64,
    pub partitions_dropped: u64,
    /// Tables and files that were left alone, for a reason.
    pub refused: u64,
}

/// Something that a run did or left undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrawlChange {
    /// A table's name or a file's URL.
    pub object: String,
    /// `CREATED`, `UPDATED`, `DROPPED`, `DEPRECATED`, `REFUSED` (a table), `SKIPPED` (a file), `NOTE`.
    pub action: String,
    /// What changed, or why not.
    pub reason: Option<String>,
}

/// One run of a crawler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrawlRun {
    /// Names the run.
    pub id: String,
    /// The crawler's name.
    pub crawler: String,
    /// How it stands.
    pub state: RunState,
    /// The QueryExecution that it was.
    pub query_id: String,
    /// Who asked for it.
    pub user: String,
    /// For a scheduled run, when it was due, in milliseconds since 1970; `None` where somebody asked for it.
    pub due_at_ms: Option<i64>,
    /// Milliseconds since 1970, UTC.
    pub started_at_ms: i64,
    /// Milliseconds since 1970, UTC.
    pub finished_at_ms: Option<i64>,
    /// What it looked at and did.
    pub counts: CrawlCounts,
    /// Why it ended as it did.
    pub message: Option<String>,
    /// What it did, bounded.
    pub changes: Vec<CrawlChange>,
    /// How many more changes are not kept.
    pub changes_cut: u64,
}

#[derive(Serialize, Deserialize)]
struct CrawlRunRecord {
    state: String,
    query_id: String,
    user: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    due_at_ms: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    finished_at_ms: Option<i64>,
    counts: CrawlCounts,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    changes: Vec<CrawlChange>,
    #[serde(default)]
    changes_cut: u64,
}

impl CrawlRun {
    /// The form in which the store keeps it.
    ///
    /// # Errors
    /// [`crate::Error::Invalid`] if it can't be written as JSON, which none is known to be.
    pub fn to_run(&self) -> Result<Run> {
        let record = CrawlRunRecord {
            state: self.state.name().to_owned(),
            query_id: self.query_id.clone(),
            user: self.user.clone(),
            due_at_ms: self.due_at_ms,
            finished_at_ms: self.finished_at_ms,
            counts: self.counts,
            message: self.message.clone(),
            changes: self.changes.clone(),
            changes_cut: self.changes_cut,
        };
        Ok(Run {
            id: self.id.clone(),
            name: self.crawler.clone(),
            started_at_ms: self.started_at_ms,
            record: crawler_record::encode("crawl", &record)?,
        })
    }

    /// From the form in which the store keeps it.
    ///
    /// # Errors
    /// [`crate::Error::Invalid`] if it is damaged or of a newer format.
    pub fn from_run(run: Run) -> Result<Self> {
        let record: CrawlRunRecord = crawler_record::decode("crawl", &run.record)?;
        Ok(Self {
            id: run.id,
            crawler: run.name,
            state: RunState::parse(&record.state),
            query_id: record.query_id,
            user: record.user,
            due_at_ms: record.due_at_ms,
            started_at_ms: run.started_at_ms,
            finished_at_ms: record.finished_at_ms,
            counts: record.counts,
            message: record.message,
            changes: record.changes,
            changes_cut: record.changes_cut,
        })
    }
}
