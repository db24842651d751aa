//! The frozen forms in which things are kept on disk, apart from the runtime types.
//!
//! A [`TableDefinition`] goes in and JSON text comes out, and back. A field may be added here only with a default; anything
//! else is a new [`FORMAT`] with its own structs beside these, so that a catalog written years ago still opens.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::dataset_record::DatasetRecord;
use crate::{Column, Error, FileFormat, PartitionStorage, Result, StorageDescriptor, TableDefinition, TableKind};

/// The newest form, which is the one that is written.
pub const FORMAT: u32 = 1;

/// A definition as JSON text.
///
/// # Errors
/// [`Error::Invalid`] if it can't be written as JSON, which no definition of ours is known to do.
pub fn encode(definition: &TableDefinition) -> Result<String> {
    serde_json::to_string(&TableRecord::from(definition))
        .map_err(|error| Error::Invalid { message: format!("table definition cannot be stored: {error}"), hint: None })
}

/// The definition that [`encode`] wrote.
///
/// # Errors
/// [`Error::Invalid`] if the text is damaged or of a newer format.
pub fn decode(text: &str) -> Result<TableDefinition> {
    let invalid = |message: String| Error::Invalid { message, hint: None };
    let FormatRecord { format } =
        serde_json::from_str(text).map_err(|error| invalid(format!("table definition cannot be read: {error}")))?;
    if format != FORMAT {
        return Err(invalid(format!("table definition has format {format}, this version of Limnos reads {FORMAT}")));
    }
    let record: TableRecord =
        serde_json::from_str(text).map_err(|error| invalid(format!("table definition cannot be read: {error}")))?;
    record.try_into()
}

/// Properties as JSON text; `None` where there are none.
///
/// # Errors
/// As [`encode`].
pub fn encode_parameters(parameters: &BTreeMap<String, String>) -> Result<Option<String>> {
    if parameters.is_empty() {
        return Ok(None);
    }
    serde_json::to_string(parameters)
        .map(Some)
        .map_err(|error| Error::Invalid { message: format!("properties cannot be stored: {error}"), hint: None })
}

/// The properties that [`encode_parameters`] wrote.
///
/// # Errors
/// [`Error::Invalid`] if the text is damaged.
pub fn decode_parameters(text: Option<&str>) -> Result<BTreeMap<String, String>> {
    let Some(text) = text else { return Ok(BTreeMap::new()) };
    serde_json::from_str(text)
        .map_err(|error| Error::Invalid { message: format!("properties cannot be read: {error}"), hint: None })
}

/// How a partition is written, as JSON text.
///
/// # Errors
/// As [`encode`].
pub fn encode_partition_storage(storage: &PartitionStorage) -> Result<String> {
    serde_json::to_string(&PartitionStorageRecord::from(storage))
        .map_err(|error| Error::Invalid { message: format!("partition cannot be stored: {error}"), hint: None })
}

/// What [`encode_partition_storage`] wrote.
///
/// # Errors
/// [`Error::Invalid`] if the text is damaged or of a newer format.
pub fn decode_partition_storage(text: &str) -> Result<PartitionStorage> {
    let record: PartitionStorageRecord = serde_json::from_str(text)
        .map_err(|error| Error::Invalid { message: format!("partition cannot be read: {error}"), hint: None })?;
    record.try_into()
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PartitionStorageRecord {
    format: FileFormatRecord,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    serde: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    properties: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    columns: Option<Vec<ColumnRecord>>,
}

impl From<&PartitionStorage> for PartitionStorageRecord {
    fn from(storage: &PartitionStorage) -> Self {
        Self {
            format: storage.format.into(),
            serde: storage.serde.clone(),
            properties: storage.properties.clone(),
            columns: storage.columns.as_ref().map(|columns| columns.iter().map(ColumnRecord::from).collect()),
        }
    }
}

impl TryFrom<PartitionStorageRecord> for PartitionStorage {
    type Error = Error;

    fn try_from(record: PartitionStorageRecord) -> Result<Self> {
        let columns = record
            .columns
            .map(|columns| columns.into_iter().map(Column::try_from).collect::<Result<_>>())
            .transpose()?;
        Ok(Self { format: record.format.into(), serde: record.serde, properties: record.properties, columns })
    }
}

/// What every format has, read first.
#[derive(Deserialize)]
struct FormatRecord {
    format: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TableRecord {
    format: u32,
    kind: KindRecord,
    columns: Vec<ColumnRecord>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    partition_keys: Vec<ColumnRecord>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    parameters: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
    owner: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum KindRecord {
    External {
        location: String,
        format: FileFormatRecord,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        serde: Option<String>,
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        properties: BTreeMap<String, String>,
    },
    View {
        sql: String,
        database: String,
    },
    Dataset(Box<DatasetRecord>),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum FileFormatRecord {
    Parquet,
    Csv,
    Json,
    /// Added later: an older program refuses such a table by this name and reads all others.
    Regex,
    Arrow,
    Orc,
    Avro,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ColumnRecord {
    name: String,
    /// As [`crate::DataType`] displays.
    #[serde(rename = "type")]
    data_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source_name: Option<String>,
}

impl From<&TableDefinition> for TableRecord {
    fn from(definition: &TableDefinition) -> Self {
        Self {
            format: FORMAT,
            kind: KindRecord::from(&definition.kind),
            columns: definition.columns.iter().map(ColumnRecord::from).collect(),
            partition_keys: definition.partition_keys.iter().map(ColumnRecord::from).collect(),
            parameters: definition.parameters.clone(),
            comment: definition.comment.clone(),
            owner: definition.owner.clone(),
        }
    }
}

impl TryFrom<TableRecord> for TableDefinition {
    type Error = Error;

    fn try_from(record: TableRecord) -> Result<Self> {
        Ok(Self {
            kind: record.kind.into(),
            columns: record.columns.into_iter().map(Column::try_from).collect::<Result<_>>()?,
            partition_keys: record.partition_keys.into_iter().map(Column::try_from).collect::<Result<_>>()?,
            parameters: record.parameters,
            comment: record.comment,
            owner: record.owner,
        })
    }
}

impl From<&TableKind> for KindRecord {
    fn from(kind: &TableKind) -> Self {
        match kind {
            TableKind::External(storage) => Self::External {
                location: storage.location.clone(),
                format: storage.format.into(),
                serde: storage.serde.clone(),
                properties: storage.properties.clone(),
            },
            TableKind::View { sql, database } => Self::View { sql: sql.clone(), database: database.clone() },
            TableKind::Dataset(dataset) => Self::Dataset(Box::new(DatasetRecord::from(dataset.as_ref()))),
        }
    }
}

impl From<KindRecord> for TableKind {
    fn from(record: KindRecord) -> Self {
        match record {
            KindRecord::External { location, format, serde, properties } => {
                Self::External(StorageDescriptor { location, format: format.into(), serde, properties })
            }
            KindRecord::View { sql, database } => Self::View { sql, database },
            KindRecord::Dataset(dataset) => Self::Dataset(Box::new((*dataset).into())),
        }
    }
}

impl From<&Column> for ColumnRecord {
    fn from(column: &Column) -> Self {
        Self {
            name: column.name.clone(),
            data_type: column.data_type.to_string(),
            comment: column.comment.clone(),
            source_name: column.source_name.clone(),
        }
    }
}

impl TryFrom<ColumnRecord> for Column {
    type Error = Error;

    fn try_from(record: ColumnRecord) -> Result<Self> {
        Ok(Self {
            name: record.name,
            data_type: record.data_type.parse()?,
            comment: record.comment,
            source_name: record.source_name,
        })
    }
}

impl From<FileFormat> for FileFormatRecord {
    fn from(format: FileFormat) -> Self {
        match format {
            FileFormat::Parquet => Self::Parquet,
            FileFormat::Csv => Self::Csv,
            FileFormat::Json => Self::Json,
            FileFormat::Regex => Self::Regex,
            FileFormat::Arrow => Self::Arrow,
            FileFormat::Orc => Self::Orc,
            FileFormat::Avro => Self::Avro,
        }
    }
}

impl From<FileFormatRecord> for FileFormat {
    fn from(record: FileFormatRecord) -> Self {
        match record {
            FileFormatRecord::Parquet => Self::Parquet,
            FileFormatRecord::Csv => Self::Csv,
            FileFormatRecord::Json => Self::Json,
            FileFormatRecord::Regex => Self::Regex,
            FileFormatRecord::Arrow => Self::Arrow,
            FileFormatRecord::Orc => Self::Orc,
            FileFormatRecord::Avro => Self::Avro,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{DatasetDefinition, DatasetSource, DatasetSpelling, Refresh, Schedule, TableName};

    fn strings() -> impl Strategy<Value = BTreeMap<String, String>> {
        prop::collection::btree_map(any::<String>(), any::<String>(), 0..3)
    }

    fn any_columns() -> impl Strategy<Value = Vec<Column>> {
        let types = ["int", "struct<a:int,`b c`:array<decimal(5,2)>>", "timestamp with time zone", "varchar(3)"];
        let column =
            (any::<String>(), prop::sample::select(types.to_vec()), any::<Option<String>>(), any::<Option<String>>())
                .prop_map(|(name, data_type, comment, source_name)| Column {
                    name,
                    data_type: data_type.parse().unwrap(),
                    comment,
                    source_name,
                });
        prop::collection::vec(column, 0..4)
    }

    fn any_dataset() -> impl Strategy<Value = DatasetDefinition> {
        let source = prop_oneof![
            (any::<String>(), any::<String>())
                .prop_map(|(database, name)| DatasetSource::Table(TableName { database, name })),
            (any::<String>(), any::<String>()).prop_map(|(sql, database)| DatasetSource::Query { sql, database }),
        ];
        let refresh = prop_oneof![
            Just(Refresh::Manual),
            Just(Refresh::OnChange),
            any::<u64>().prop_map(Refresh::Every),
            (any::<String>(), any::<String>())
                .prop_map(|(cron, time_zone)| Refresh::Cron(Schedule { cron, time_zone })),
        ];
        let spelling = prop::sample::select(vec![DatasetSpelling::Dataset, DatasetSpelling::MaterializedView]);
        let rest =
            (any::<i64>(), any::<bool>(), any::<Option<u64>>(), any::<Option<String>>(), any::<bool>(), spelling);
        (source, refresh, prop::collection::vec(any::<String>(), 0..3), rest).prop_map(
            |(source, refresh, order_by, (since_ms, is_full, memory_limit_bytes, on_error, is_populated, spelling))| {
                DatasetDefinition {
                    source,
                    refresh,
                    since_ms,
                    is_full,
                    order_by,
                    memory_limit_bytes,
                    on_error,
                    is_populated,
                    spelling,
                }
            },
        )
    }

    fn any_definition() -> impl Strategy<Value = TableDefinition> {
        let formats = [
            FileFormat::Parquet,
            FileFormat::Csv,
            FileFormat::Json,
            FileFormat::Regex,
            FileFormat::Arrow,
            FileFormat::Orc,
            FileFormat::Avro,
        ];
        let kind = prop_oneof![
            (any::<String>(), any::<String>()).prop_map(|(sql, database)| TableKind::View { sql, database }),
            any_dataset().prop_map(|dataset| TableKind::Dataset(Box::new(dataset))),
            (any::<String>(), prop::sample::select(formats.to_vec()), any::<Option<String>>(), strings()).prop_map(
                |(location, format, serde, properties)| {
                    TableKind::External(StorageDescriptor { location, format, serde, properties })
                }
            ),
        ];
        (kind, any_columns(), any_columns(), strings(), any::<Option<String>>(), any::<String>()).prop_map(
            |(kind, columns, partition_keys, parameters, comment, owner)| TableDefinition {
                kind,
                columns,
                partition_keys,
                parameters,
                comment,
                owner,
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(definition in any_definition()) {
            prop_assert_eq!(decode(&encode(&definition).unwrap()).unwrap(), definition);
        }
    }

    /// Written by format 1. These texts may never change: they lie on users' disks.
    #[test]
    fn reads_what_format_1_wrote() {
        let table = r#"{"format":1,"kind":{"external":{"location":"s3://b/p/","format":"csv","serde":"x.Y","properties":{"field.delim":";"}}},"columns":[{"name":"a b","type":"array<int>","comment":"c","source_name":"A  B"}],"partition_keys":[{"name":"dt","type":"date"}],"parameters":{"k":"v"},"comment":"t","owner":"limnos"}"#;
        let view = r#"{"format":1,"kind":{"view":{"sql":"select 1","database":"default"}},"columns":[],"owner":""}"#;
        for text in [table, view] {
            assert_eq!(encode(&decode(text).unwrap()).unwrap(), text);
        }
        let TableKind::External(storage) = decode(table).unwrap().kind else { panic!("a table") };
        assert_eq!((storage.location.as_str(), storage.format), ("s3://b/p/", FileFormat::Csv));
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        let cases = [
            ("", "table definition cannot be read"),
            (r#"{"format":2,"anything":1}"#, "table definition has format 2, this version of Limnos reads 1"),
            (
                r#"{"format":1,"kind":{"view":{"sql":"","database":""}},"columns":[],"owner":"","more":1}"#,
                "table definition cannot be read: unknown field `more`",
            ),
            (
                r#"{"format":1,"kind":{"view":{"sql":"","database":""}},"columns":[{"name":"a","type":"intt"}],"owner":""}"#,
                "type \"intt\" does not exist",
            ),
        ];
        for (text, wanted) in cases {
            let error = decode(text).unwrap_err().to_string();
            assert!(error.starts_with(wanted), "{error}");
        }
    }
}
