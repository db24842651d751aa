//! [`ScheduleRun`]: one attempt at one scheduled time, as the history keeps it; and [`ScheduleState`], what a schedule remembers.
//!
//! ```text
//!           queue                start                 end
//! (a time) ──────> QUEUED ──────────────> RUNNING ──────────> SUCCEEDED | FAILED | CANCELLED
//!    │               │                      │                     │ FAILED, INTERRUPTED: the next attempt is QUEUED
//!    └─> SKIPPED     └─> CANCELLED          └─> INTERRUPTED (its server is gone)
//! ```
//! Queued is claimed: a scheduled time and attempt is there once, whichever server notes it, and whichever server starts it.

use serde::{Deserialize, Serialize};

use crate::{Result, crawler_record};

/// The most runs of one schedule that wait at a time. What is due beyond is passed over, and says so.
pub const SCHEDULE_QUEUE_MAX: usize = 100;

/// How a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScheduleRunState {
    /// Claimed; it waits for its moment, or for the one before.
    Queued,
    /// It goes on.
    Running,
    /// All statements have ended well.
    Succeeded,
    /// A statement failed.
    Failed,
    /// Somebody stopped it, or the run that replaces it.
    Cancelled,
    /// Its server ended before it did.
    Interrupted,
    /// It never began, for the reason in its message.
    Skipped,
}

impl ScheduleRunState {
    /// As tables show it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "QUEUED",
            Self::Running => "RUNNING",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::Cancelled => "CANCELLED",
            Self::Interrupted => "INTERRUPTED",
            Self::Skipped => "SKIPPED",
        }
    }

    pub(crate) fn parse(name: &str) -> Self {
        match name {
            "QUEUED" => Self::Queued,
            "RUNNING" => Self::Running,
            "SUCCEEDED" => Self::Succeeded,
            "CANCELLED" => Self::Cancelled,
            "INTERRUPTED" => Self::Interrupted,
            "SKIPPED" => Self::Skipped,
            _ => Self::Failed,
        }
    }

    /// Whether it waits or goes on.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Queued | Self::Running)
    }
}

/// Why there is a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trigger {
    /// Its time came.
    Schedule,
    /// Files of the table changed.
    Change,
    /// RUN SCHEDULE.
    Statement,
}

impl Trigger {
    /// As tables show it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Schedule => "schedule",
            Self::Change => "change",
            Self::Statement => "statement",
        }
    }

    pub(crate) fn parse(name: &str) -> Self {
        match name {
            "change" => Self::Change,
            "statement" => Self::Statement,
            _ => Self::Schedule,
        }
    }
}

/// One attempt at one scheduled time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleRun {
    /// Names the run.
    pub id: String,
    /// The schedule's id.
    pub schedule_id: i64,
    /// Why.
    pub trigger: Trigger,
    /// When it was due, in milliseconds since 1970, UTC; not always when it began.
    pub scheduled_at_ms: i64,
    /// Counts from 1.
    pub attempt: u32,
    /// How it stands.
    pub state: ScheduleRunState,
    /// When it was claimed.
    pub queued_at_ms: i64,
    /// It doesn't start before: a retry waits.
    pub not_before_ms: i64,
    /// The server that runs it or ran it; 0 where there can be one only.
    pub server_id: i64,
    /// Whether somebody wants it stopped, wherever it runs.
    pub cancel_requested: bool,
    /// When it began.
    pub started_at_ms: Option<i64>,
    /// When it ended.
    pub finished_at_ms: Option<i64>,
    /// What its statements did.
    pub outcome: ScheduleOutcome,
}

/// What a run did, and how it ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ScheduleOutcome {
    /// Who asked for it, or whose schedule it is.
    pub user: String,
    /// The QueryExecutions that its statements were, in order.
    pub query_ids: Vec<String>,
    /// Rows that its statements answered with or wrote.
    pub rows: u64,
    /// Bytes that they read.
    pub bytes_scanned: u64,
    /// The files of the reports that they ran.
    pub output_files: Vec<String>,
    /// The SQLSTATE of its error.
    pub sqlstate: Option<String>,
    /// Why it ended as it did.
    pub message: Option<String>,
}

/// What a schedule remembers beside its runs, which are forgotten in time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScheduleState {
    /// The last time that was claimed or passed over.
    pub due_at_ms: Option<i64>,
    /// The scheduled time of the last run that succeeded.
    pub success_at_ms: Option<i64>,
    /// Scheduled times that failed for good since the last that didn't.
    pub failures: u32,
    /// When its last run began.
    pub started_at_ms: Option<i64>,
    /// A mark of the table's files that its runs know of.
    pub files_version: Option<String>,
}

impl ScheduleOutcome {
    pub(crate) fn encode(&self) -> Result<String> {
        crawler_record::encode("schedule run", self)
    }

    pub(crate) fn decode(text: &str) -> Result<Self> {
        crawler_record::decode("schedule run", text)
    }
}
