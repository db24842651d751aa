//! What becomes of a table whose files have other columns now: (definition, what was found, policy) -> a definition, or why
//! there is none.
//!
//! | | columns found anew | types found wider | columns not found | format, delimiter and the like |
//! |---|---|---|---|---|
//! | `update` | added | widened | stay | as found |
//! | `add` | added | stay | stay | stay |
//! | `ignore` | | | | |
//!
//! Types never get narrower: a crawl looks into a sample of the files, and what it doesn't see may be in another. For the same
//! reason a column that was not found stays; where no file has it, it reads as NULL. In files whose columns are told by their
//! place (CSV) there is no such choice: columns in another order replace the table's, as Glue does.

use std::collections::BTreeMap;

use limnos_catalog::crawler::{DEPRECATED_PARAMETER, OnSchemaChange};
use limnos_catalog::{Column, DataType, FileFormat, StorageDescriptor, TableDefinition, TableKind};

use crate::command::table::format_name;
use crate::crawl::widen;

/// The parameter that says that a text file has a header.
const HEADER_PARAMETER: &str = "skip.header.line.count";

/// What a crawl itself says of how files are read: gone if the next one doesn't say it again.
const READER_PROPERTIES: [&str; 6] =
    ["field.delim", "quoteChar", "escapeChar", "serialization.null.format", "limnos.json.layout", "limnos.json.path"];

/// What a column's own date format is called.
const FORMAT_PROPERTY: &str = "limnos.format.";

/// A table as it is to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Merged {
    pub(super) definition: TableDefinition,
    /// What is other than before.
    pub(super) reasons: Vec<String>,
}

/// `table` with what was found in its files. `Err` says why it is left as it is.
pub(super) fn merge(
    table: &TableDefinition,
    found: &TableDefinition,
    policy: OnSchemaChange,
) -> Result<Merged, String> {
    let (TableKind::External(storage), TableKind::External(found_storage)) = (&table.kind, &found.kind) else {
        return Err("it is a view".to_owned());
    };
    let mut merged = Merged { definition: table.clone(), reasons: Vec::new() };
    if merged.definition.parameters.remove(DEPRECATED_PARAMETER).is_some() {
        merged.reasons.push("its files are there again".to_owned());
    }
    let (format, found_format) = (format_name(storage.format), format_name(found_storage.format));
    let is_same_format = storage.format == found_storage.format;
    if !is_same_format && policy != OnSchemaChange::Update {
        return Err(format!("its files are {found_format} now, the table is {format}"));
    }
    match policy {
        OnSchemaChange::Ignore => {}
        OnSchemaChange::Add => add(&mut merged, storage, found, found_storage)?,
        OnSchemaChange::Update if is_same_format => update(&mut merged, storage, found, found_storage),
        OnSchemaChange::Update => {
            merged.reasons.push(format!("format: {format} -> {found_format}"));
            merged.definition.kind = found.kind.clone();
            merged.definition.columns = with_comments(&found.columns, &table.columns);
            set_header(&mut merged.definition.parameters, found);
        }
    }
    if policy == OnSchemaChange::Update {
        keys(&mut merged, found);
    }
    Ok(merged)
}

fn by_place(format: FileFormat) -> bool {
    format == FileFormat::Csv
}

/// Only new columns.
fn add(
    merged: &mut Merged,
    storage: &StorageDescriptor,
    found: &TableDefinition,
    found_storage: &StorageDescriptor,
) -> Result<(), String> {
    let table = &mut merged.definition;
    if by_place(storage.format) {
        let is_same = |(old, new): (&Column, &Column)| old.name == new.name;
        if !table.columns.iter().zip(&found.columns).all(is_same) {
            return Err("its columns are in another order or have other names now".to_owned());
        }
    }
    let known = |name: &str, table: &TableDefinition| {
        table.columns.iter().chain(&table.partition_keys).any(|column| column.name == name)
    };
    let new: Vec<Column> = found.columns.iter().filter(|column| !known(&column.name, table)).cloned().collect();
    let mut properties = storage.properties.clone();
    for column in new {
        let property = format!("{FORMAT_PROPERTY}{}", column.name);
        if let Some(format) = found_storage.properties.get(&property) {
            properties.insert(property, format.clone());
        }
        merged.reasons.push(format!("column \"{}\" {} added", column.name, column.data_type));
        table.columns.push(column);
    }
    table.kind = TableKind::External(StorageDescriptor { properties, ..storage.clone() });
    Ok(())
}

/// New columns, wider types, and how files are read.
fn update(
    merged: &mut Merged,
    storage: &StorageDescriptor,
    found: &TableDefinition,
    found_storage: &StorageDescriptor,
) {
    let Merged { definition: table, reasons } = merged;
    let old = std::mem::take(&mut table.columns);
    let find = |columns: &[Column], name: &str| columns.iter().find(|column| column.name == name).cloned();
    let is_same_order = old.iter().zip(&found.columns).all(|(old, new)| old.name == new.name);
    // The order of the result, and for each column what was known of it and what was found.
    let mut names: Vec<&str> = Vec::new();
    if by_place(storage.format) && !is_same_order {
        reasons.push("columns are in another order or have other names".to_owned());
        names.extend(found.columns.iter().map(|column| column.name.as_str()));
    } else {
        names.extend(old.iter().map(|column| column.name.as_str()));
        let is_new = |column: &&Column| find(&old, &column.name).is_none();
        names.extend(found.columns.iter().filter(is_new).map(|column| column.name.as_str()));
    }
    let is_key = |name: &str| table.partition_keys.iter().any(|key| key.name == name);
    let names: Vec<&str> = names.into_iter().filter(|name| !is_key(name)).collect();

    let mut properties: BTreeMap<String, String> = storage.properties.clone();
    properties.retain(|name, _| !READER_PROPERTIES.contains(&name.as_str()));
    for (name, value) in &found_storage.properties {
        if !name.starts_with(FORMAT_PROPERTY) {
            properties.insert(name.clone(), value.clone());
        }
    }
    for name in names {
        let property = format!("{FORMAT_PROPERTY}{name}");
        let column = match (find(&old, name), find(&found.columns, name)) {
            (Some(old), None) => old,
            (None, Some(new)) => {
                if let Some(format) = found_storage.properties.get(&property) {
                    properties.insert(property, format.clone());
                }
                reasons.push(format!("column \"{name}\" {} added", new.data_type));
                new
            }
            (Some(old), Some(new)) => {
                let formats = (storage.properties.get(&property), found_storage.properties.get(&property));
                let data_type = wider(&old.data_type, &new.data_type, formats, storage.format);
                if data_type != old.data_type {
                    reasons.push(format!("column \"{name}\" {} -> {data_type}", old.data_type));
                    if data_type == DataType::String {
                        properties.remove(&property);
                    } else if let Some(format) = formats.1 {
                        properties.insert(property, format.clone());
                    }
                }
                Column { data_type, comment: old.comment, ..new }
            }
            (None, None) => continue,
        };
        table.columns.push(column);
    }
    if properties != storage.properties {
        reasons.push("how its files are read".to_owned());
    }
    table.kind = TableKind::External(StorageDescriptor { properties, ..storage.clone() });
    let before = table.parameters.clone();
    set_header(&mut table.parameters, found);
    if before != table.parameters {
        reasons.push("header of its files".to_owned());
    }
}

/// The type that reads what both read. `formats` are the patterns of dates in text, the table's and the found one.
fn wider(old: &DataType, new: &DataType, formats: (Option<&String>, Option<&String>), format: FileFormat) -> DataType {
    let is_moment =
        |data_type: &DataType| matches!(data_type, DataType::Date | DataType::Timestamp | DataType::TimestampTz);
    if is_moment(old) && is_moment(new) && formats.0 != formats.1 {
        return DataType::String;
    }
    let is_loose = |data_type: &DataType| matches!(data_type, DataType::Json) || data_type.is_nested();
    let wide = widen(old, new);
    // A struct in one file and a text in the other are both JSON; as text neither would be read.
    if format == FileFormat::Json && wide == DataType::String && (is_loose(old) || is_loose(new)) {
        return DataType::Json;
    }
    wide
}

fn set_header(parameters: &mut BTreeMap<String, String>, found: &TableDefinition) {
    match found.parameters.get(HEADER_PARAMETER) {
        Some(count) => parameters.insert(HEADER_PARAMETER.to_owned(), count.clone()),
        None => parameters.remove(HEADER_PARAMETER),
    };
}

/// Partition keys: wider types for the same names; other names replace them, and with them all partitions.
fn keys(merged: &mut Merged, found: &TableDefinition) {
    let Merged { definition: table, reasons } = merged;
    let names = |keys: &[Column]| keys.iter().map(|key| key.name.clone()).collect::<Vec<_>>();
    if names(&table.partition_keys) != names(&found.partition_keys) {
        let shown = |keys: &[Column]| format!("({})", names(keys).join(", "));
        reasons.push(format!("partition keys {} -> {}", shown(&table.partition_keys), shown(&found.partition_keys)));
        table.partition_keys = with_comments(&found.partition_keys, &table.partition_keys);
        let keys = table.partition_keys.clone();
        table.columns.retain(|column| keys.iter().all(|key| key.name != column.name));
        return;
    }
    for (key, found) in table.partition_keys.iter_mut().zip(&found.partition_keys) {
        let data_type = widen(&key.data_type, &found.data_type);
        if data_type != key.data_type {
            reasons.push(format!("partition key \"{}\" {} -> {data_type}", key.name, key.data_type));
            key.data_type = data_type;
        }
    }
}

fn with_comments(new: &[Column], old: &[Column]) -> Vec<Column> {
    let comment = |name: &str| old.iter().find(|column| column.name == name).and_then(|column| column.comment.clone());
    new.iter().map(|column| Column { comment: comment(&column.name), ..column.clone() }).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    /// `"CSV: a int, b string | k int | field.delim=;"`
    fn definition(text: &str) -> TableDefinition {
        let (format, rest) = text.split_once(": ").unwrap();
        let mut parts = rest.split(" | ");
        let columns = |text: &str| -> Vec<Column> {
            text.split(", ")
                .filter(|column| !column.is_empty())
                .map(|column| {
                    let (name, data_type) = column.split_once(' ').unwrap();
                    Column::new(name, data_type.parse().unwrap())
                })
                .collect()
        };
        let (all, keys) = (columns(parts.next().unwrap()), columns(parts.next().unwrap_or("")));
        let properties = parts.next().unwrap_or("").split(", ").filter_map(|pair| pair.split_once('='));
        TableDefinition {
            kind: TableKind::External(StorageDescriptor {
                location: "file:///l/".to_owned(),
                format: match format {
                    "CSV" => FileFormat::Csv,
                    "JSON" => FileFormat::Json,
                    _ => FileFormat::Parquet,
                },
                serde: None,
                properties: properties.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            }),
            columns: all,
            partition_keys: keys,
            parameters: BTreeMap::new(),
            comment: None,
            owner: "ada".to_owned(),
        }
    }

    fn check(table: &str, found: &str, policy: OnSchemaChange, wanted: Result<(&str, &str), &str>) {
        let merged = merge(&definition(table), &definition(found), policy);
        match (merged, wanted) {
            (Ok(merged), Ok((definition_text, reasons))) => {
                assert_eq!(merged.definition, definition(definition_text), "{table} + {found}");
                assert_eq!(merged.reasons.join("; "), reasons, "{table} + {found}");
            }
            (merged, wanted) => {
                assert_eq!(merged.map(|_| ()).unwrap_err(), wanted.unwrap_err(), "{table} + {found}");
            }
        }
    }

    #[test]
    fn update_widens_and_never_narrows() {
        for (table, found, wanted, reasons) in [
            ("PARQUET: a int", "PARQUET: a int", "PARQUET: a int", ""),
            ("PARQUET: a int", "PARQUET: a bigint", "PARQUET: a bigint", "column \"a\" int -> bigint"),
            ("PARQUET: a bigint", "PARQUET: a int", "PARQUET: a bigint", ""),
            (
                "PARQUET: a int, b int",
                "PARQUET: c string, b int",
                "PARQUET: a int, b int, c string",
                "column \"c\" string added",
            ),
            ("PARQUET: a date", "PARQUET: a int", "PARQUET: a string", "column \"a\" date -> string"),
            (
                "PARQUET: a int | k int",
                "PARQUET: a int | k string",
                "PARQUET: a int | k string",
                "partition key \"k\" int -> string",
            ),
            ("PARQUET: a int | k string", "PARQUET: a int | k int", "PARQUET: a int | k string", ""),
            ("PARQUET: a int | k int", "PARQUET: a int | m int", "PARQUET: a int | m int", "partition keys (k) -> (m)"),
            (
                "PARQUET: a int",
                "JSON: b int |  | limnos.json.layout=lines",
                "JSON: b int |  | limnos.json.layout=lines",
                "format: PARQUET -> JSON",
            ),
            ("CSV: a int, b int", "CSV: a int, b int, c int", "CSV: a int, b int, c int", "column \"c\" int added"),
            ("CSV: a int, b int", "CSV: a int", "CSV: a int, b int", ""),
            (
                "CSV: a int, b double",
                "CSV: b int, a int",
                "CSV: b double, a int",
                "columns are in another order or have other names",
            ),
            (
                "CSV: a int |  | field.delim=;, mine=1",
                "CSV: a int |  | field.delim=,",
                "CSV: a int |  | field.delim=,, mine=1",
                "how its files are read",
            ),
            (
                "CSV: a date |  | limnos.format.a=%d.%m.%Y",
                "CSV: a date |  | limnos.format.a=%m/%d/%Y",
                "CSV: a string",
                "column \"a\" date -> string; how its files are read",
            ),
            ("JSON: a struct<x:int>", "JSON: a string", "JSON: a json", "column \"a\" struct<x:int> -> json"),
            (
                "JSON: a struct<x:int>",
                "JSON: a struct<y:int>",
                "JSON: a struct<x:int,y:int>",
                "column \"a\" struct<x:int> -> struct<x:int,y:int>",
            ),
        ] {
            check(table, found, OnSchemaChange::Update, Ok((wanted, reasons)));
        }
    }

    #[test]
    fn add_and_ignore_leave_what_is_there() {
        for (table, found, policy, wanted) in [
            (
                "PARQUET: a int",
                "PARQUET: a bigint, b int",
                OnSchemaChange::Add,
                Ok(("PARQUET: a int, b int", "column \"b\" int added")),
            ),
            (
                "CSV: a int",
                "CSV: a int, b int",
                OnSchemaChange::Add,
                Ok(("CSV: a int, b int", "column \"b\" int added")),
            ),
            (
                "CSV: a int, b int",
                "CSV: b int, a int",
                OnSchemaChange::Add,
                Err("its columns are in another order or have other names now"),
            ),
            ("CSV: a int", "JSON: a int", OnSchemaChange::Add, Err("its files are JSON now, the table is CSV")),
            ("PARQUET: a int", "PARQUET: a bigint, b int", OnSchemaChange::Ignore, Ok(("PARQUET: a int", ""))),
            ("CSV: a int", "JSON: a int", OnSchemaChange::Ignore, Err("its files are JSON now, the table is CSV")),
        ] {
            check(table, found, policy, wanted);
        }
    }
}
