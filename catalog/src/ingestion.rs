//! [`Ingestion`]: one run that makes a dataset's rows anew, as its history keeps it.

use serde::{Deserialize, Serialize};

use crate::crawl_run::{Run, RunState};
use crate::{Result, crawler_record};

/// The kind of these in the store's table of runs.
pub const INGESTIONS: &str = "ingestion";

/// The most ingestions that are kept of one dataset.
pub const INGESTIONS_MAX: usize = 100;

/// What an ingestion read and did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the names say it")]
pub struct IngestionCounts {
    /// Rows of the source, those that were left out among them.
    pub rows_read: u64,
    /// Rows that were put into memory.
    pub rows_ingested: u64,
    /// Rows that a policy for wrong rows left out.
    pub rows_dropped: u64,
    pub bytes_read: u64,
    pub files_added: u64,
    pub files_changed: u64,
    pub files_removed: u64,
    pub files_unchanged: u64,
}

/// Why an ingestion began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IngestionTrigger {
    /// The dataset was made.
    Create,
    /// Somebody said REFRESH.
    Statement,
    /// It was due.
    Schedule,
    /// Files of a source have changed.
    Change,
    /// The server had no rows of it, or none that it could read.
    Recovery,
}

impl IngestionTrigger {
    /// As tables show it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Statement => "STATEMENT",
            Self::Schedule => "SCHEDULE",
            Self::Change => "CHANGE",
            Self::Recovery => "RECOVERY",
        }
    }

    fn parse(name: &str) -> Self {
        match name {
            "CREATE" => Self::Create,
            "SCHEDULE" => Self::Schedule,
            "CHANGE" => Self::Change,
            "RECOVERY" => Self::Recovery,
            _ => Self::Statement,
        }
    }
}

/// One ingestion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ingestion {
    /// Names it.
    pub id: String,
    /// The dataset's id, which a rename leaves.
    pub dataset_id: i64,
    /// What the dataset was called then.
    pub dataset: String,
    /// Which server's memory it was for.
    pub server_id: i64,
    /// Why it began.
    pub trigger: IngestionTrigger,
    /// How it stands.
    pub state: RunState,
    /// The QueryExecution that it was.
    pub query_id: String,
    /// Who asked for it.
    pub user: String,
    /// Milliseconds since 1970, UTC.
    pub started_at_ms: i64,
    /// Milliseconds since 1970, UTC.
    pub finished_at_ms: Option<i64>,
    /// What it read and did.
    pub counts: IngestionCounts,
    /// The version of the rows after it, by the server's own count.
    pub version: Option<u64>,
    /// Why it ended as it did.
    pub message: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct IngestionRecord {
    dataset: String,
    #[serde(default)]
    server_id: i64,
    trigger: String,
    state: String,
    query_id: String,
    user: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    finished_at_ms: Option<i64>,
    counts: IngestionCounts,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

impl Ingestion {
    /// The form in which the store keeps it.
    ///
    /// # Errors
    /// [`crate::Error::Invalid`] if it can't be written as JSON, which none is known to be.
    pub fn to_run(&self) -> Result<Run> {
        let record = IngestionRecord {
            dataset: self.dataset.clone(),
            server_id: self.server_id,
            trigger: self.trigger.name().to_owned(),
            state: self.state.name().to_owned(),
            query_id: self.query_id.clone(),
            user: self.user.clone(),
            finished_at_ms: self.finished_at_ms,
            counts: self.counts,
            version: self.version,
            message: self.message.clone(),
        };
        Ok(Run {
            id: self.id.clone(),
            name: self.dataset_id.to_string(),
            started_at_ms: self.started_at_ms,
            record: crawler_record::encode("ingestion", &record)?,
        })
    }

    /// From the form in which the store keeps it.
    ///
    /// # Errors
    /// [`crate::Error::Invalid`] if it is damaged or of a newer format.
    pub fn from_run(run: Run) -> Result<Self> {
        let record: IngestionRecord = crawler_record::decode("ingestion", &run.record)?;
        Ok(Self {
            id: run.id,
            dataset_id: run.name.parse().unwrap_or(0),
            dataset: record.dataset,
            server_id: record.server_id,
            trigger: IngestionTrigger::parse(&record.trigger),
            state: RunState::parse(&record.state),
            query_id: record.query_id,
            user: record.user,
            started_at_ms: run.started_at_ms,
            finished_at_ms: record.finished_at_ms,
            counts: record.counts,
            version: record.version,
            message: record.message,
        })
    }
}
