//! The frozen forms of crawlers and classifiers, as [`crate::record`] has those of tables: a field may be added only with a
//! default, anything else is a new format.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::crawler::{CrawlerSchedule, CsvHeader, OnDelete, OnSchemaChange, Recrawl, Schedule};
use crate::{ClassifierDefinition, CrawlerDefinition, Error, Result};

/// The newest form, which is the one that is written.
const FORMAT: u32 = 1;

pub(crate) fn encode_crawler(definition: &CrawlerDefinition) -> Result<String> {
    encode("crawler", &CrawlerRecord::from(definition.clone()))
}

pub(crate) fn decode_crawler(text: &str) -> Result<CrawlerDefinition> {
    decode::<CrawlerRecord>("crawler", text).map(CrawlerDefinition::from)
}

pub(crate) fn encode_classifier(definition: &ClassifierDefinition) -> Result<String> {
    encode("classifier", &ClassifierRecord::from(definition.clone()))
}

pub(crate) fn decode_classifier(text: &str) -> Result<ClassifierDefinition> {
    decode::<ClassifierRecord>("classifier", text).map(ClassifierDefinition::from)
}

#[derive(Serialize)]
struct Written<'a, T> {
    format: u32,
    #[serde(flatten)]
    record: &'a T,
}

#[derive(Deserialize)]
struct Format {
    format: u32,
}

#[derive(Deserialize)]
struct Read<T> {
    /// Looked at before.
    #[serde(rename = "format")]
    _format: u32,
    #[serde(flatten)]
    record: T,
}

/// JSON text with the number of its format.
pub(crate) fn encode<T: Serialize>(what: &str, record: &T) -> Result<String> {
    serde_json::to_string(&Written { format: FORMAT, record })
        .map_err(|error| Error::Invalid { message: format!("{what} cannot be stored: {error}"), hint: None })
}

/// What [`encode`] wrote. Fields that a later version has added are passed over.
pub(crate) fn decode<T: DeserializeOwned>(what: &str, text: &str) -> Result<T> {
    let unreadable =
        |error: serde_json::Error| Error::Invalid { message: format!("{what} cannot be read: {error}"), hint: None };
    let Format { format } = serde_json::from_str(text).map_err(unreadable)?;
    if format != FORMAT {
        let message = format!("{what} has format {format}, this version of Limnos reads {FORMAT}");
        return Err(Error::Invalid { message, hint: None });
    }
    serde_json::from_str::<Read<T>>(text).map(|read| read.record).map_err(unreadable)
}

#[derive(Serialize, Deserialize)]
struct CrawlerRecord {
    targets: Vec<String>,
    database: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    schedule: Option<ScheduleRecord>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    exclude: Vec<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    table_prefix: String,
    on_schema_change: OnSchemaChangeRecord,
    on_delete: OnDeleteRecord,
    recrawl: RecrawlRecord,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    classifiers: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
    owner: String,
}

#[derive(Serialize, Deserialize)]
struct ScheduleRecord {
    cron: String,
    time_zone: String,
    since_ms: i64,
    #[serde(default)]
    is_paused: bool,
}

/// Two enums of the same variants, one of them frozen.
macro_rules! frozen_enum {
    ($record:ident, $runtime:ident, $($variant:ident),+) => {
        #[derive(Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        enum $record { $($variant),+ }

        impl From<$runtime> for $record {
            fn from(value: $runtime) -> Self {
                match value { $($runtime::$variant => Self::$variant),+ }
            }
        }

        impl From<$record> for $runtime {
            fn from(value: $record) -> Self {
                match value { $($record::$variant => Self::$variant),+ }
            }
        }
    };
}

frozen_enum!(OnSchemaChangeRecord, OnSchemaChange, Update, Add, Ignore);
frozen_enum!(OnDeleteRecord, OnDelete, Drop, Deprecate, Ignore);
frozen_enum!(RecrawlRecord, Recrawl, All, New);
frozen_enum!(CsvHeaderRecord, CsvHeader, Present, Absent, Unknown);

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ClassifierRecord {
    Grok {
        pattern: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        custom_patterns: Option<String>,
        classification: String,
    },
    Csv {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        delimiter: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        quote: Option<String>,
        header: CsvHeaderRecord,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        columns: Vec<String>,
    },
    Json {
        path: String,
    },
}

impl From<CrawlerDefinition> for CrawlerRecord {
    fn from(definition: CrawlerDefinition) -> Self {
        Self {
            targets: definition.targets,
            database: definition.database,
            schedule: definition.schedule.map(|schedule| ScheduleRecord {
                cron: schedule.schedule.cron,
                time_zone: schedule.schedule.time_zone,
                since_ms: schedule.since_ms,
                is_paused: schedule.is_paused,
            }),
            exclude: definition.exclude,
            table_prefix: definition.table_prefix,
            on_schema_change: definition.on_schema_change.into(),
            on_delete: definition.on_delete.into(),
            recrawl: definition.recrawl.into(),
            classifiers: definition.classifiers,
            comment: definition.comment,
            owner: definition.owner,
        }
    }
}

impl From<CrawlerRecord> for CrawlerDefinition {
    fn from(record: CrawlerRecord) -> Self {
        Self {
            targets: record.targets,
            database: record.database,
            schedule: record.schedule.map(|schedule| CrawlerSchedule {
                schedule: Schedule { cron: schedule.cron, time_zone: schedule.time_zone },
                since_ms: schedule.since_ms,
                is_paused: schedule.is_paused,
            }),
            exclude: record.exclude,
            table_prefix: record.table_prefix,
            on_schema_change: record.on_schema_change.into(),
            on_delete: record.on_delete.into(),
            recrawl: record.recrawl.into(),
            classifiers: record.classifiers,
            comment: record.comment,
            owner: record.owner,
        }
    }
}

impl From<ClassifierDefinition> for ClassifierRecord {
    fn from(definition: ClassifierDefinition) -> Self {
        match definition {
            ClassifierDefinition::Grok { pattern, custom_patterns, classification } => {
                Self::Grok { pattern, custom_patterns, classification }
            }
            ClassifierDefinition::Csv { delimiter, quote, header, columns } => {
                Self::Csv { delimiter, quote, header: header.into(), columns }
            }
            ClassifierDefinition::Json { path } => Self::Json { path },
        }
    }
}

impl From<ClassifierRecord> for ClassifierDefinition {
    fn from(record: ClassifierRecord) -> Self {
        match record {
            ClassifierRecord::Grok { pattern, custom_patterns, classification } => {
                Self::Grok { pattern, custom_patterns, classification }
            }
            ClassifierRecord::Csv { delimiter, quote, header, columns } => {
                Self::Csv { delimiter, quote, header: header.into(), columns }
            }
            ClassifierRecord::Json { path } => Self::Json { path },
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    /// Written by format 1. These texts may never change: they lie on users' disks.
    #[test]
    fn reads_what_format_1_wrote() {
        let crawler = r#"{"format":1,"targets":["s3://b/p/"],"database":"d","schedule":{"cron":"0 2 * * *","time_zone":"Europe/Berlin","since_ms":5,"is_paused":true},"exclude":["**.tmp"],"table_prefix":"p_","on_schema_change":"add","on_delete":"deprecate","recrawl":"new","classifiers":["c"],"comment":"x","owner":"ada"}"#;
        assert_eq!(encode_crawler(&decode_crawler(crawler).unwrap()).unwrap(), crawler);
        for classifier in [
            r#"{"format":1,"grok":{"pattern":"%{WORD:w}","custom_patterns":"A b","classification":"x"}}"#,
            r#"{"format":1,"csv":{"delimiter":";","quote":"'","header":"absent","columns":["a"]}}"#,
            r#"{"format":1,"json":{"path":"$.Records[*]"}}"#,
        ] {
            assert_eq!(encode_classifier(&decode_classifier(classifier).unwrap()).unwrap(), classifier);
        }
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        for (text, wanted) in [
            ("", "crawler cannot be read"),
            (r#"{"format":2}"#, "crawler has format 2, this version of Limnos reads 1"),
            (r#"{"format":1}"#, "crawler cannot be read: missing field"),
        ] {
            let error = decode_crawler(text).unwrap_err().to_string();
            assert!(error.starts_with(wanted), "{error}");
        }
    }
}
