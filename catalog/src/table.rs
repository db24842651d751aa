//! [`Table`]: a table or view, what its columns are and where and how its files lie.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::{DataType, TableName};

/// A column of a table, or a partition key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Lower case, as Hive and Glue store names. May hold any character (`"imdb rating"`).
    pub name: String,
    /// The declared type.
    pub data_type: DataType,
    /// The text of `COMMENT`.
    pub comment: Option<String>,
    /// The name inside the files where it differs from `name` by more than what case-insensitive matching bridges, or
    /// where the format matches exactly (JSON keys).
    pub source_name: Option<String>,
}

impl Column {
    /// A column with no comment, named in the files as in the table.
    pub fn new(name: impl Into<String>, data_type: DataType) -> Self {
        Self { name: name.into(), data_type, comment: None, source_name: None }
    }
}

/// How a table's files are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FileFormat {
    /// Apache Parquet.
    Parquet,
    /// Delimited text: CSV, TSV and Hive's `TEXTFILE`.
    Csv,
    /// JSON: one object a line, an array of objects, or a document (see `limnos.json.*` in [`StorageDescriptor::properties`]).
    Json,
    /// Arrow IPC files.
    Arrow,
    /// Apache ORC: can be declared; reading it is not built yet.
    Orc,
    /// Apache Avro: can be declared; reading it is not built yet.
    Avro,
}

/// Where a table's files are and how to read them (Glue's `StorageDescriptor`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageDescriptor {
    /// A URL: `file:///lake/orders/` or `s3://bucket/prefix/`. A trailing `/` means a folder; without one it is one
    /// object, or a folder when no such object exists.
    pub location: String,
    /// The format of the files.
    pub format: FileFormat,
    /// The SerDe class as written in `ROW FORMAT SERDE`, for `SHOW CREATE TABLE`.
    pub serde: Option<String>,
    /// SerDe and reader properties by their Hive names. Those that are read:
    /// `field.delim`, `quoteChar`, `escapeChar` / `escape.delim`, `serialization.null.format`,
    /// `limnos.json.layout` (`lines` | `array` | `document`), `limnos.json.path` (key of the array inside a document),
    /// `limnos.timestamp_format` and `limnos.date_format` (strftime patterns for text files),
    /// `limnos.format.<column>` (a strftime pattern for one column).
    pub properties: BTreeMap<String, String>,
}

/// What a table is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableKind {
    /// Files at a location.
    External(StorageDescriptor),
    /// A query, kept as its SQL text, and the database its unqualified names are resolved in.
    View { sql: String, database: String },
}

/// Everything a user says of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableDefinition {
    /// Files or a query.
    pub kind: TableKind,
    /// The columns inside the files, in order; for a view its output columns.
    pub columns: Vec<Column>,
    /// The partition keys, after the columns. Empty for a view.
    pub partition_keys: Vec<Column>,
    /// `TBLPROPERTIES`. Those that are read: `skip.header.line.count`, `classification`, `limnos.freshness`.
    pub parameters: BTreeMap<String, String>,
    /// The text of `COMMENT`.
    pub comment: Option<String>,
    /// The role that made it.
    pub owner: String,
}

/// A table or view as it is in one [`crate::Snapshot`]. Dereferences to its [`TableDefinition`].
#[derive(Debug, Clone)]
pub struct Table {
    /// Never reused; the PostgreSQL `oid` is derived from it.
    pub id: i64,
    /// Where it is found.
    pub name: TableName,
    /// Counts changes of the definition, from 1 (Glue's `TableVersion`).
    pub version: i64,
    /// The catalog version that last changed its partitions. With `id` it names one exact set of partitions.
    pub partitions_version: i64,
    /// How many partitions there are.
    pub partition_count: u64,
    /// Milliseconds since 1970, UTC.
    pub created_at_ms: i64,
    /// Milliseconds since 1970, UTC.
    pub updated_at_ms: i64,
    /// What the user said.
    pub definition: Arc<TableDefinition>,
}

impl std::ops::Deref for Table {
    type Target = TableDefinition;

    fn deref(&self) -> &TableDefinition {
        &self.definition
    }
}
