//! What a text says about schedules of statements: [`ScheduleStatement`].

use limnos_catalog::schedule::{CatchUp, Overlap};
use limnos_catalog::{CreateMode, Schedule};

use crate::parse::{NamePattern, ObjectName, ParsedStatement};

/// A statement about schedules.
#[derive(Debug, Clone)]
pub enum ScheduleStatement {
    Create {
        name: String,
        clauses: Box<ScheduleClauses>,
        mode: CreateMode,
    },
    Alter {
        name: String,
        clauses: Box<ScheduleClauses>,
    },
    Rename {
        name: String,
        to: String,
    },
    OwnerTo {
        name: String,
        owner: String,
    },
    /// PAUSE and RESUME.
    Pause {
        name: String,
        pause: bool,
    },
    Run {
        name: String,
    },
    /// CANCEL SCHEDULE RUN 'id'.
    Cancel {
        run_id: String,
    },
    Drop {
        name: String,
        if_exists: bool,
    },
    ShowAll {
        pattern: Option<NamePattern>,
    },
    ShowCreate {
        name: String,
    },
}

/// The clauses of CREATE and ALTER SCHEDULE; `None` where there is none, `Some(None)` for NONE. Lengths of time and instants are
/// texts yet.
#[derive(Debug, Clone, Default)]
pub struct ScheduleClauses {
    pub when: Option<WhenClause>,
    pub start: Option<Option<String>>,
    pub end: Option<Option<String>>,
    pub retry: Option<RetryClause>,
    pub timeout: Option<Option<String>>,
    pub catch_up: Option<CatchUp>,
    pub overlap: Option<Overlap>,
    pub suspend_after: Option<u32>,
    pub comment: Option<String>,
    pub statements: Option<ScheduledStatements>,
}

/// When it is to run.
#[derive(Debug, Clone)]
pub enum WhenClause {
    Cron(Schedule),
    Every(String),
    OnChange { table: ObjectName, minimum_interval: Option<String> },
}

/// `RETRY n [BACKOFF '..' [FACTOR n] [MAX '..']]`.
#[derive(Debug, Clone)]
pub struct RetryClause {
    pub count: u32,
    pub backoff: Option<String>,
    pub factor: Option<u32>,
    pub backoff_max: Option<String>,
}

/// What is behind AS: the text, and what it is with some values for its parameters.
#[derive(Debug, Clone)]
pub struct ScheduledStatements {
    pub text: String,
    pub parsed: Vec<ParsedStatement>,
}
