//! [`DatasetDefinition`]: a table or a query whose rows a server keeps in its memory. Where the rows are, and which version of
//! them, is each server's own affair; here is what they are made of, and when they are made anew.

use std::collections::HashSet;

use crate::{Error, Result, Schedule, TableName};

/// The most columns that rows are kept in the order of. More than a few order nothing any more.
pub const ORDER_BY_MAX: usize = 16;

/// The shortest time between two refreshes by themselves, in seconds: each lists all files of the source.
pub const REFRESH_SECONDS_MIN: u64 = 1;

/// The longest one: ten years, so that no sum of times overflows.
pub const REFRESH_SECONDS_MAX: u64 = 10 * 366 * 24 * 60 * 60;

/// What a user says of a dataset, beside its columns, comment and owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatasetDefinition {
    /// What its rows are.
    pub source: DatasetSource,
    /// When they are made anew.
    pub refresh: Refresh,
    /// Milliseconds since 1970, UTC: times of `refresh` that were due before count for nothing.
    pub since_ms: i64,
    /// Whether a refresh reads all of the source again, though files tell what has changed.
    pub is_full: bool,
    /// The columns whose order its rows have, lower case; empty: as they come.
    pub order_by: Vec<String>,
    /// The most memory that it may take; `None` leaves it to the budget of all.
    pub memory_limit_bytes: Option<u64>,
    /// `limnos.on_error` of the source's files, where the source says something else or nothing.
    pub on_error: Option<String>,
    /// Whether it has rows; `false` after WITH NO DATA, until it is refreshed.
    pub is_populated: bool,
    /// The words it was made with, which errors use.
    pub spelling: DatasetSpelling,
}

/// What a dataset's rows are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatasetSource {
    /// Those of a table, view or other dataset.
    Table(TableName),
    /// Those of a query, kept as its SQL text, and the database its unqualified names are resolved in.
    Query {
        /// The text of the query.
        sql: String,
        /// Lower case.
        database: String,
    },
}

/// When a dataset is refreshed, beside when somebody says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refresh {
    /// Not at all.
    Manual,
    /// When files of its sources have changed.
    OnChange,
    /// So many seconds after each other.
    Every(u64),
    /// At times of a calendar.
    Cron(Schedule),
}

/// `CREATE DATASET` and `CREATE MATERIALIZED VIEW` make the same thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatasetSpelling {
    /// Our word.
    Dataset,
    /// PostgreSQL's.
    MaterializedView,
}

impl DatasetSpelling {
    /// `dataset` or `materialized view`.
    pub fn noun(self) -> &'static str {
        match self {
            Self::Dataset => "dataset",
            Self::MaterializedView => "materialized view",
        }
    }
}

impl DatasetDefinition {
    /// Checks what can be told without looking at the source.
    pub(crate) fn validate(&self, columns: &[crate::Column]) -> Result<()> {
        let invalid = |message: String| Err(Error::Invalid { message, hint: None });
        if self.order_by.len() > ORDER_BY_MAX {
            return invalid(format!("order_by can name at most {ORDER_BY_MAX} columns"));
        }
        let mut seen = HashSet::new();
        for name in &self.order_by {
            if !columns.iter().any(|column| column.name.eq_ignore_ascii_case(name)) {
                return invalid(format!("column \"{name}\" named in order_by does not exist"));
            }
            if !seen.insert(name.to_lowercase()) {
                return invalid(format!("column \"{name}\" named in order_by more than once"));
            }
        }
        match self.refresh {
            Refresh::Every(seconds) if !(REFRESH_SECONDS_MIN..=REFRESH_SECONDS_MAX).contains(&seconds) => {
                invalid(format!("a refresh interval of {seconds} seconds is out of range"))
            }
            _ => Ok(()),
        }
    }
}
