//! [`DatasetStatement`]: what is said about datasets, in our words and in PostgreSQL's of materialized views.

use datafusion::sql::sqlparser::ast::Query;
use limnos_catalog::{CreateMode, DatasetSpelling};

use crate::parse::{NamePattern, ObjectName};

/// See the module.
#[derive(Debug, Clone)]
pub enum DatasetStatement {
    Create(CreateDataset),
    Refresh {
        name: ObjectName,
        /// All of the source is read again.
        full: bool,
        /// Not WITH NO DATA.
        with_data: bool,
        spelling: DatasetSpelling,
    },
    Alter {
        name: ObjectName,
        if_exists: bool,
        action: DatasetAction,
        spelling: DatasetSpelling,
    },
    Drop {
        names: Vec<ObjectName>,
        if_exists: bool,
        spelling: DatasetSpelling,
    },
    Show {
        pattern: Option<NamePattern>,
    },
    ShowCreate {
        name: ObjectName,
    },
}

/// CREATE DATASET, CREATE MATERIALIZED VIEW.
#[derive(Debug, Clone)]
pub struct CreateDataset {
    pub name: ObjectName,
    pub mode: CreateMode,
    /// Names for the first columns.
    pub columns: Vec<String>,
    pub comment: Option<String>,
    pub options: Vec<DatasetOption>,
    pub source: CreateSource,
    /// Not WITH NO DATA.
    pub with_data: bool,
    pub spelling: DatasetSpelling,
}

/// What comes after AS.
#[derive(Debug, Clone)]
pub enum CreateSource {
    /// TABLE t.
    Table(ObjectName),
    Query {
        query: Box<Query>,
        /// The query's own text.
        sql: String,
    },
}

/// What ALTER DATASET does.
#[derive(Debug, Clone)]
pub enum DatasetAction {
    /// SET (name = value, ...).
    Set(Vec<DatasetOption>),
    /// RESET (name, ...): names and their places in the text.
    Reset(Vec<(String, usize)>),
    RenameTo(ObjectName),
    OwnerTo(String),
}

/// `name = value` in WITH (...).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatasetOption {
    /// Lower case.
    pub name: String,
    pub value: OptionValue,
    /// Of its name, in the text.
    pub position: usize,
}

/// The value of an option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OptionValue {
    /// A text, a number or a word; a word without quotes is lower case.
    Text(String),
    /// `(a, b)` or `ARRAY['a', 'b']`.
    List(Vec<String>),
    /// `CRON '0 6 * * *' [TIME ZONE 'Europe/Berlin']`.
    Cron(String, Option<String>),
}
