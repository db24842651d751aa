//! A whole catalog as a file, and back: for backups that people can read, and for moving from SQLite to PostgreSQL or the
//! other way.
//!
//! One JSON object a line, in an order that depends on nothing but what there is, so that two exports can be compared:
//! ```text
//! {"limnos_catalog":1,"next_id":9}                     the format of the file; ids are kept, and go on from here
//! {"database":{"id":1,"name":"default"}}               by name
//! {"table":{"id":2,"database":"default","name":"t", ...,"definition":{...}}}       by full name; a table or a view
//! {"version":{"version":1,"changed_at_ms":0,"definition":{...}}}                   of the table above, oldest first
//! {"partition":{"values":["2024","01"],"location":"s3://..."}}                     of the table above, by its values
//! {"object":{"id":8,"kind":"crawler","name":"c", ...,"definition":{...}}}          by kind and name
//! {"grants":{"object":2,"record":{...}}}                rights on the database or table of this id, 0 being all of it
//! {"end":{"databases":1,"tables":1,"partitions":1,"objects":1}}                    nothing is missing
//! ```
//! Definitions are the frozen forms of [`crate::record`]. What is not in it: histories of runs, and what is known of data
//! files, which is found out again; and roles of a server's configuration, which no catalog has.

mod export;
mod import;
#[cfg(test)]
mod tests;

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The newest format, which is the one that is written. A field may be added only with a default; anything else is another
/// number.
const FORMAT: u32 = 1;

/// How much a file holds, or how much of it was written or read so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Databases, `default` included.
    pub databases: u64,
    /// Tables and views.
    pub tables: u64,
    /// Partitions of all tables.
    pub partitions: u64,
    /// Crawlers and whatever else has a name and a definition.
    pub objects: u64,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { databases, tables, partitions, objects } = self;
        write!(f, "databases {databases}, tables and views {tables}, partitions {partitions}, other objects {objects}")
    }
}

/// Told how far it is, every some thousand lines.
pub type OnProgress<'a> = dyn FnMut(&Counts) + 'a;

/// How many partitions there are between two words on progress.
const PROGRESS_STEP: u64 = 4096;

/// The first line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderLine {
    limnos_catalog: u32,
    next_id: i64,
}

/// What every format has, read first.
#[derive(Deserialize)]
struct FormatLine {
    limnos_catalog: u32,
}

/// Any other line.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Database(DatabaseLine),
    Table(TableLine),
    Version(VersionLine),
    Partition(PartitionLine),
    Object(ObjectLine),
    Grants(GrantsLine),
    End(Counts),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DatabaseLine {
    id: i64,
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    location: Option<String>,
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    parameters: std::collections::BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TableLine {
    id: i64,
    database: String,
    name: String,
    version: i64,
    created_at_ms: i64,
    updated_at_ms: i64,
    definition: Box<RawValue>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct VersionLine {
    version: i64,
    changed_at_ms: i64,
    definition: Box<RawValue>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PartitionLine {
    values: Vec<Option<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    location: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    storage: Option<Box<RawValue>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GrantsLine {
    object: i64,
    record: Box<RawValue>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ObjectLine {
    id: i64,
    kind: String,
    name: String,
    version: i64,
    created_at_ms: i64,
    updated_at_ms: i64,
    definition: Box<RawValue>,
}
