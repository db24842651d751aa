//! [`StatementSchedule`]: statements that run by themselves, when, and what becomes of runs that are late, fail or take too long.

use std::collections::BTreeMap;

use crate::object::{Definition, Objects};
use crate::{Error, Object, Result, Schedule, Snapshot, TableName, schedule_record};

/// A schedule as it is in one [`Snapshot`].
pub type StatementSchedule = Object<ScheduleDefinition>;

/// The most bytes of a schedule's statements: a run holds them, and each snapshot does.
pub const SCHEDULE_STATEMENTS_BYTES_MAX: usize = 64 << 10;

/// The most attempts after the first.
pub const SCHEDULE_RETRIES_MAX: u32 = 100;

/// The shortest time between two runs of EVERY, and the shortest minimum interval: runs are looked for twice a second.
pub const SCHEDULE_INTERVAL_MS_MIN: i64 = 1_000;

/// The longest length of time that a schedule names: ten years.
pub const SCHEDULE_INTERVAL_MS_MAX: i64 = 10 * 366 * 24 * 60 * 60 * 1_000;

/// The most bytes of a comment.
const TEXT_BYTES_MAX: usize = 8192;

/// What a user says of a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleDefinition {
    /// When it runs.
    pub when: When,
    /// Milliseconds since 1970, UTC: times before don't count.
    pub start_ms: Option<i64>,
    /// Milliseconds since 1970, UTC: times after don't count.
    pub end_ms: Option<i64>,
    /// What becomes of a run that failed.
    pub retry: Retry,
    /// How long all statements of one attempt may take together.
    pub timeout_ms: Option<i64>,
    /// What becomes of times that passed while no server ran.
    pub catch_up: CatchUp,
    /// What becomes of a time that is due while a run goes on.
    pub overlap: Overlap,
    /// After this many failed runs in a row it is suspended; 0 is never.
    pub suspend_after: u32,
    /// One statement or several.
    pub statements: String,
    /// Where unqualified names are looked up.
    pub database: String,
    /// `postgres` or `athena`.
    pub dialect: String,
    /// Settings that its maker had and that answers depend on.
    pub settings: BTreeMap<String, String>,
    /// The text of `COMMENT`.
    pub comment: Option<String>,
    /// The role that its runs are of.
    pub owner: String,
    /// Whether it runs.
    pub status: Status,
    /// Milliseconds since 1970, UTC: times that were due before count for nothing. When it was made, changed or resumed.
    pub since_ms: i64,
}

/// When a schedule runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum When {
    /// By a cron expression in a time zone.
    Cron(Schedule),
    /// Every so often, in real time, counted from a moment.
    Every {
        /// The length of time.
        interval_ms: i64,
        /// Milliseconds since 1970, UTC: what is counted from. START, or when it was made.
        anchor_ms: i64,
    },
    /// When files of a table come, change or go.
    OnChange {
        /// The table.
        table: TableName,
        /// The least time between the starts of two runs.
        minimum_interval_ms: i64,
    },
}

/// `RETRY n BACKOFF ...`: the n-th wait is `backoff_ms` times `factor` to the power of n - 1, and `backoff_max_ms` at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// Attempts after the first.
    pub count: u32,
    /// The first wait.
    pub backoff_ms: i64,
    /// What the wait grows by.
    pub factor: u32,
    /// The longest wait.
    pub backoff_max_ms: i64,
}

impl Default for Retry {
    fn default() -> Self {
        Self { count: 0, backoff_ms: 60_000, factor: 2, backoff_max_ms: 3_600_000 }
    }
}

impl Retry {
    /// How long to wait after attempt `attempt` (the first is 1) has failed; `None` if that was the last.
    pub fn wait_ms(&self, attempt: u32) -> Option<i64> {
        if attempt > self.count {
            return None;
        }
        let grown = i64::from(self.factor).saturating_pow(attempt.saturating_sub(1)).saturating_mul(self.backoff_ms);
        Some(grown.min(self.backoff_max_ms.max(self.backoff_ms)))
    }
}

/// `CATCH UP`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CatchUp {
    /// Missed times are passed over.
    None,
    /// The last one runs, and stands for the others.
    Last,
    /// Each runs, one after the other; of very many the latest.
    All,
}

/// `OVERLAP`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overlap {
    /// The new time is passed over.
    Skip,
    /// It runs when the one before has ended.
    Queue,
    /// The one that goes on is cancelled, then it runs.
    Replace,
}

/// Whether a schedule runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// It does.
    Active,
    /// Somebody has paused it.
    Paused,
    /// It has paused itself, for this reason.
    Suspended(String),
}

/// Two enums' words in SQL and in records.
macro_rules! words {
    ($name:ident, $($variant:ident $word:literal),+) => {
        impl $name {
            /// As SQL writes it.
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// From [`Self::word`].
            pub fn parse(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

words!(CatchUp, None "NONE", Last "LAST", All "ALL");
words!(Overlap, Skip "SKIP", Queue "QUEUE", Replace "REPLACE");

fn invalid<T>(message: impl Into<String>) -> Result<T> {
    Err(Error::Invalid { message: message.into(), hint: None })
}

fn check_interval(what: &str, ms: i64) -> Result<()> {
    if (SCHEDULE_INTERVAL_MS_MIN..=SCHEDULE_INTERVAL_MS_MAX).contains(&ms) {
        return Ok(());
    }
    invalid(format!("{what} must be at least one second and at most ten years"))
}

impl Definition for ScheduleDefinition {
    const KIND: &'static str = "schedule";

    fn validate(&self) -> Result<()> {
        if self.statements.is_empty() {
            return invalid("a schedule needs a statement");
        }
        if self.statements.len() > SCHEDULE_STATEMENTS_BYTES_MAX {
            let length = self.statements.len();
            return invalid(format!(
                "the statements of a schedule have {length} bytes of at most {SCHEDULE_STATEMENTS_BYTES_MAX}"
            ));
        }
        if self.comment.as_ref().is_some_and(|comment| comment.len() > TEXT_BYTES_MAX) {
            return invalid(format!("the comment of a schedule can have at most {TEXT_BYTES_MAX} bytes"));
        }
        match &self.when {
            When::Cron(_) => {}
            When::Every { interval_ms, .. } => check_interval("the interval of a schedule", *interval_ms)?,
            When::OnChange { minimum_interval_ms, .. } => {
                check_interval("the minimum interval of a schedule", *minimum_interval_ms)?;
            }
        }
        if self.retry.count > SCHEDULE_RETRIES_MAX {
            return invalid(format!("a schedule can be retried at most {SCHEDULE_RETRIES_MAX} times"));
        }
        if self.retry.count > 0 {
            check_interval("the wait before a retry", self.retry.backoff_ms)?;
            check_interval("the longest wait before a retry", self.retry.backoff_max_ms)?;
        }
        if let Some(timeout_ms) = self.timeout_ms {
            check_interval("the timeout of a schedule", timeout_ms)?;
        }
        if let (Some(start), Some(end)) = (self.start_ms, self.end_ms)
            && end < start
        {
            return invalid("the end of a schedule must not be before its start");
        }
        Ok(())
    }

    fn encode(&self) -> Result<String> {
        schedule_record::encode(self)
    }

    fn decode(text: &str) -> Result<Self> {
        schedule_record::decode(text)
    }

    fn objects(snapshot: &Snapshot) -> &Objects<Self> {
        &snapshot.schedules
    }

    fn objects_mut(snapshot: &mut Snapshot) -> &mut Objects<Self> {
        &mut snapshot.schedules
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound() {
        let retry = Retry { count: 4, backoff_ms: 1_000, factor: 3, backoff_max_ms: 10_000 };
        let waits: Vec<_> = (1..=5).map(|attempt| retry.wait_ms(attempt)).collect();
        assert_eq!(waits, [Some(1_000), Some(3_000), Some(9_000), Some(10_000), None]);
        assert_eq!(Retry::default().wait_ms(1), None);
        let many = Retry { count: 100, ..Retry::default() };
        assert_eq!(many.wait_ms(100), Some(3_600_000));
        // The first wait is what was asked for, however long.
        assert_eq!(Retry { backoff_ms: 7_200_000, ..many }.wait_ms(1), Some(7_200_000));
    }
}
