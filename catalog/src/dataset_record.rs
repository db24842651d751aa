//! The frozen form of a dataset, as [`crate::record`] has those of tables: a field may be added only with a default.

use serde::{Deserialize, Serialize};

use crate::dataset::{DatasetDefinition, DatasetSource, DatasetSpelling, Refresh};
use crate::{Schedule, TableName};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DatasetRecord {
    source: SourceRecord,
    refresh: RefreshRecord,
    since_ms: i64,
    #[serde(default)]
    full: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    order_by: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    memory_limit_bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    on_error: Option<String>,
    populated: bool,
    spelling: SpellingRecord,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum SourceRecord {
    Table { database: String, name: String },
    Query { sql: String, database: String },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum RefreshRecord {
    Manual,
    OnChange,
    EverySeconds(u64),
    Cron { cron: String, time_zone: String },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SpellingRecord {
    Dataset,
    MaterializedView,
}

impl From<&DatasetDefinition> for DatasetRecord {
    fn from(dataset: &DatasetDefinition) -> Self {
        Self {
            source: match &dataset.source {
                DatasetSource::Table(TableName { database, name }) => {
                    SourceRecord::Table { database: database.clone(), name: name.clone() }
                }
                DatasetSource::Query { sql, database } => {
                    SourceRecord::Query { sql: sql.clone(), database: database.clone() }
                }
            },
            refresh: match &dataset.refresh {
                Refresh::Manual => RefreshRecord::Manual,
                Refresh::OnChange => RefreshRecord::OnChange,
                Refresh::Every(seconds) => RefreshRecord::EverySeconds(*seconds),
                Refresh::Cron(Schedule { cron, time_zone }) => {
                    RefreshRecord::Cron { cron: cron.clone(), time_zone: time_zone.clone() }
                }
            },
            since_ms: dataset.since_ms,
            full: dataset.is_full,
            order_by: dataset.order_by.clone(),
            memory_limit_bytes: dataset.memory_limit_bytes,
            on_error: dataset.on_error.clone(),
            populated: dataset.is_populated,
            spelling: match dataset.spelling {
                DatasetSpelling::Dataset => SpellingRecord::Dataset,
                DatasetSpelling::MaterializedView => SpellingRecord::MaterializedView,
            },
        }
    }
}

impl From<DatasetRecord> for DatasetDefinition {
    fn from(record: DatasetRecord) -> Self {
        Self {
            source: match record.source {
                SourceRecord::Table { database, name } => DatasetSource::Table(TableName { database, name }),
                SourceRecord::Query { sql, database } => DatasetSource::Query { sql, database },
            },
            refresh: match record.refresh {
                RefreshRecord::Manual => Refresh::Manual,
                RefreshRecord::OnChange => Refresh::OnChange,
                RefreshRecord::EverySeconds(seconds) => Refresh::Every(seconds),
                RefreshRecord::Cron { cron, time_zone } => Refresh::Cron(Schedule { cron, time_zone }),
            },
            since_ms: record.since_ms,
            is_full: record.full,
            order_by: record.order_by,
            memory_limit_bytes: record.memory_limit_bytes,
            on_error: record.on_error,
            is_populated: record.populated,
            spelling: match record.spelling {
                SpellingRecord::Dataset => DatasetSpelling::Dataset,
                SpellingRecord::MaterializedView => DatasetSpelling::MaterializedView,
            },
        }
    }
}
