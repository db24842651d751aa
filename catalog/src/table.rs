//! [`Table`]: a table or view, what its columns are and where and how its files lie.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use crate::{DataType, DatasetDefinition, Error, Result, TableName};

/// The most columns and partition keys a table may have. Far above PostgreSQL's 1600, since lakes hold wide files; below
/// what would make one table's definition slow every commit.
pub const COLUMN_COUNT_MAX: usize = 20_000;

/// The most bytes a column's name may have. Above a table's limit: headers of real files are whole sentences.
pub const COLUMN_NAME_BYTES_MAX: usize = 1024;

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
    /// Lines of text that a pattern takes apart: a regular expression (`input.regex`) or grok (`input.format`).
    Regex,
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
    /// `input.regex`, `input.regex.case.insensitive`, `input.format`, `input.grokCustomPatterns`,
    /// `escapeChar`, `collection.delim`, `mapkey.delim`, `timestamp.formats`, the properties of the JSON SerDes,
    /// `limnos.comment` (what begins a line that isn't data), `limnos.on_error` (`fail` | `null` | `skip` | `quarantine`),
    /// `limnos.on_error.max_rejects`, `limnos.on_error.max_reject_rate`, `limnos.csv.missing_fields` (`null` | `error`),
    /// `limnos.json.layout` (`lines` | `array` | `document`), `limnos.json.path` (key of the array inside a document, or a path
    /// to the records such as `$.Records[*]`),
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
    View {
        /// The text of the query.
        sql: String,
        /// Lower case.
        database: String,
    },
    /// Rows that servers keep in memory.
    Dataset(Box<DatasetDefinition>),
}

impl TableKind {
    /// `table`, `view`, `dataset` or `materialized view`.
    pub fn noun(&self) -> &'static str {
        match self {
            Self::External(_) => "table",
            Self::View { .. } => "view",
            Self::Dataset(dataset) => dataset.spelling.noun(),
        }
    }

    /// The dataset, if it is one.
    pub fn dataset(&self) -> Option<&DatasetDefinition> {
        match self {
            Self::Dataset(dataset) => Some(dataset),
            Self::External(_) | Self::View { .. } => None,
        }
    }
}

/// Everything a user says of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableDefinition {
    /// Files, a query, or what is kept of either.
    pub kind: TableKind,
    /// The columns inside the files, in order; for a view its output columns.
    pub columns: Vec<Column>,
    /// The partition keys, after the columns. Empty for a view.
    pub partition_keys: Vec<Column>,
    /// `TBLPROPERTIES`. Those that are read: `skip.header.line.count`, `classification`, `limnos.freshness`,
    /// `projection.*` and `storage.location.template`.
    pub parameters: BTreeMap<String, String>,
    /// The text of `COMMENT`.
    pub comment: Option<String>,
    /// The role that made it.
    pub owner: String,
}

impl TableDefinition {
    /// Checks that a table can be like this: its columns' names and types, its partition keys.
    ///
    /// # Errors
    /// [`Error::Invalid`] that names the column.
    pub fn validate(&self) -> Result<()> {
        let invalid = |message: String| Err(Error::Invalid { message, hint: None });
        let column_count = self.columns.len() + self.partition_keys.len();
        if column_count > COLUMN_COUNT_MAX {
            return invalid(format!("tables can have at most {COLUMN_COUNT_MAX} columns, this one has {column_count}"));
        }
        if !matches!(self.kind, TableKind::External(_)) && !self.partition_keys.is_empty() {
            return invalid(format!("a {} cannot have partition keys", self.kind.noun()));
        }
        if let TableKind::Dataset(dataset) = &self.kind {
            dataset.validate(&self.columns)?;
        }
        let mut seen = HashSet::new();
        for column in self.columns.iter().chain(&self.partition_keys) {
            column.validate()?;
            if !seen.insert(column.name.to_lowercase()) {
                return Err(self.duplicate(&column.name));
            }
        }
        match self.partition_keys.iter().find(|key| key.data_type.is_nested()) {
            Some(key) => invalid(format!("partition key \"{}\" cannot have the type {}", key.name, key.data_type)),
            None => Ok(()),
        }
    }

    fn duplicate(&self, name: &str) -> Error {
        let is_key = self.partition_keys.iter().any(|key| key.name.to_lowercase() == name.to_lowercase());
        let hint =
            is_key.then(|| "A partition key is a column of its own: leave it out of the column list.".to_owned());
        Error::Invalid { message: format!("column \"{name}\" specified more than once"), hint }
    }
}

impl Column {
    fn validate(&self) -> Result<()> {
        let Self { name, data_type, .. } = self;
        let invalid = |message: String, hint: Option<String>| Err(Error::Invalid { message, hint });
        if name.is_empty() {
            return invalid("a column name must not be empty".to_owned(), None);
        }
        if name.len() > COLUMN_NAME_BYTES_MAX {
            let bytes = name.len();
            return invalid(
                format!("column name is too long: it has {bytes} bytes of at most {COLUMN_NAME_BYTES_MAX}"),
                None,
            );
        }
        if name.contains('\0') {
            return invalid(format!("column name {name:?} must not hold the character '\\0'"), None);
        }
        // A type is stored as its text. One that was put together by hand (`Decimal(60, 0)`) would be lost there.
        match data_type.to_string().parse::<DataType>() {
            Ok(read) if read == *data_type => Ok(()),
            Ok(_) => invalid(format!("column \"{name}\" cannot have the type {data_type}"), None),
            Err(error) => invalid(format!("column \"{name}\": {error}"), error.hint().map(str::to_owned)),
        }
    }
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
    /// The catalog version that last took rows away by removing files; 0 if none has. Rows that are added leave it. Of a
    /// dataset: the one that last said that it is to be refreshed, on every server.
    pub data_version: i64,
    /// Milliseconds since 1970, UTC.
    pub created_at_ms: i64,
    /// Milliseconds since 1970, UTC.
    pub updated_at_ms: i64,
    /// What the user said.
    pub definition: Arc<TableDefinition>,
}

/// What a table was at one of its versions (Glue's `TableVersion`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableVersion {
    /// Counts from 1; the greatest is what the table is now.
    pub version: i64,
    /// Milliseconds since 1970, UTC.
    pub changed_at_ms: i64,
    /// What the user said then.
    pub definition: TableDefinition,
}

impl std::ops::Deref for Table {
    type Target = TableDefinition;

    fn deref(&self) -> &TableDefinition {
        &self.definition
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::StructField;

    fn table(columns: &[(&str, DataType)], partition_keys: &[(&str, DataType)]) -> TableDefinition {
        let all = |columns: &[(&str, DataType)]| {
            columns.iter().map(|(name, data_type)| Column::new(*name, data_type.clone())).collect()
        };
        TableDefinition {
            kind: TableKind::External(StorageDescriptor {
                location: "file:///lake/t/".to_owned(),
                format: FileFormat::Parquet,
                serde: None,
                properties: BTreeMap::new(),
            }),
            columns: all(columns),
            partition_keys: all(partition_keys),
            parameters: BTreeMap::new(),
            comment: None,
            owner: "limnos".to_owned(),
        }
    }

    #[test]
    fn refuses_what_no_table_can_be() {
        let int = || DataType::Int;
        let twice = DataType::Struct(vec![StructField::new("x", int()), StructField::new("x", int())]);
        let deep = (0..64).fold(int(), |inner, _| DataType::Array(Box::new(inner)));
        let cases = [
            (table(&[("a", int()), ("b", int()), ("A", int())], &[]), "column \"A\" specified more than once"),
            (table(&[("a", int())], &[("a", int())]), "column \"a\" specified more than once"),
            (table(&[("", int())], &[]), "a column name must not be empty"),
            (table(&[("a\0", int())], &[]), "column name \"a\\0\" must not hold the character '\\0'"),
            (table(&[(&"x".repeat(1025), int())], &[]), "column name is too long: it has 1025 bytes of at most 1024"),
            (
                table(&[("a", DataType::Decimal(60, 0))], &[]),
                "column \"a\": decimal precision 60 must be between 1 and 38",
            ),
            (table(&[("a", DataType::Varchar(0))], &[]), "column \"a\": length for type varchar must be at least 1"),
            (table(&[("a", twice)], &[]), "column \"a\": field \"x\" specified more than once"),
            (table(&[("a", deep)], &[]), "column \"a\": types nest deeper than 64 levels"),
            (
                table(&[], &[("k", DataType::Array(Box::new(int())))]),
                "partition key \"k\" cannot have the type array<int>",
            ),
            (
                TableDefinition {
                    kind: TableKind::View { sql: String::new(), database: String::new() },
                    ..table(&[], &[("k", int())])
                },
                "a view cannot have partition keys",
            ),
        ];
        for (definition, wanted) in cases {
            let error = definition.validate().unwrap_err().to_string();
            assert!(error.starts_with(wanted), "{error}");
        }
        let error = table(&[("a", int())], &[("a", int())]).validate().unwrap_err();
        assert_eq!(error.hint(), Some("A partition key is a column of its own: leave it out of the column list."));
        table(&[("imdb rating", int()), ("a/b\n", int())], &[("dt", DataType::Date)]).validate().unwrap();
    }
}
