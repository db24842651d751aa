//! SHOW VERSIONS: what a table was, and what each version changed.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use limnos_catalog::{Column, TableDefinition, TableKind};

use super::table::format_name;
use super::{CommandAnswer, CommandContext, find};
use crate::parse::ObjectName;
use crate::{Error, Result, Session};

/// The columns of SHOW VERSIONS.
pub(super) fn schema() -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new("version", DataType::Int64, false),
        Field::new("changed_at", time, false),
        Field::new("is_current", DataType::Boolean, false),
        Field::new("columns", DataType::Int64, false),
        Field::new("change", DataType::Utf8, false),
    ]))
}

/// The versions that are kept of a table, the newest first.
pub(super) fn show(context: &CommandContext<'_>, session: &Session, table: &ObjectName) -> Result<CommandAnswer> {
    let table = find(context, session, table)?;
    let mut versions = context.catalog.table_versions(table)?;
    // What this statement sees: others may have committed since.
    versions.retain(|version| version.version <= table.version);
    let changes: Vec<String> = (0..versions.len())
        .map(|index| match index.checked_sub(1) {
            Some(before) => difference(&versions[before].definition, &versions[index].definition),
            None if versions[index].version == 1 => "created".to_owned(),
            None => "earlier versions are no longer kept".to_owned(),
        })
        .collect();
    let rows = || versions.iter().zip(&changes).rev();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(rows().map(|(version, _)| version.version))),
        Arc::new(
            TimestampMicrosecondArray::from_iter_values(rows().map(|(version, _)| version.changed_at_ms * 1000))
                .with_timezone("UTC"),
        ),
        Arc::new(BooleanArray::from_iter(rows().map(|(version, _)| Some(version.version == table.version)))),
        Arc::new(Int64Array::from_iter_values(rows().map(|(version, _)| version.definition.columns.len() as i64))),
        Arc::new(StringArray::from_iter_values(rows().map(|(_, change)| change))),
    ];
    let batch = RecordBatch::try_new(schema(), columns).map_err(|error| Error::internal(error.to_string()))?;
    Ok(CommandAnswer::rows(batch, "SHOW"))
}

/// What became of `before`, in a line.
fn difference(before: &TableDefinition, after: &TableDefinition) -> String {
    let mut parts = Vec::new();
    column_differences("column", &before.columns, &after.columns, &mut parts);
    column_differences("partition key", &before.partition_keys, &after.partition_keys, &mut parts);
    match (&before.kind, &after.kind) {
        (TableKind::External(was), TableKind::External(is)) => {
            if was.location != is.location {
                parts.push(format!("location {}", is.location));
            }
            if was.format != is.format {
                parts.push(format!("format {}", format_name(is.format)));
            }
            if was.serde != is.serde || was.properties != is.properties {
                parts.push("SerDe".to_owned());
            }
        }
        (was, is) if was != is => parts.push("query".to_owned()),
        _ => {}
    }
    let names: BTreeSet<&String> = before.parameters.keys().chain(after.parameters.keys()).collect();
    for name in names {
        match (before.parameters.get(name), after.parameters.get(name)) {
            (Some(_), None) => parts.push(format!("-property {name}")),
            (was, Some(is)) if was != Some(is) => parts.push(format!("property {name}={is}")),
            _ => {}
        }
    }
    if before.comment != after.comment {
        parts.push("comment".to_owned());
    }
    if before.owner != after.owner {
        parts.push(format!("owner {}", after.owner));
    }
    if parts.is_empty() { "no difference".to_owned() } else { parts.join(", ") }
}

fn column_differences(noun: &str, before: &[Column], after: &[Column], parts: &mut Vec<String>) {
    let find = |columns: &[Column], name: &str| columns.iter().position(|column| column.name == name);
    for column in before {
        if find(after, &column.name).is_none() {
            parts.push(format!("-{noun} {}", column.name));
        }
    }
    let mut is_moved = false;
    let mut last = None;
    for column in after {
        let Some(position) = find(before, &column.name) else {
            parts.push(format!("+{noun} {} {}", column.name, column.data_type));
            continue;
        };
        is_moved |= last.is_some_and(|last| last > position);
        last = Some(position);
        let was = &before[position];
        if was.data_type != column.data_type {
            parts.push(format!("{noun} {} {} -> {}", column.name, was.data_type, column.data_type));
        } else if was != column {
            parts.push(format!("{noun} {}", column.name));
        }
    }
    if is_moved {
        parts.push(format!("order of {noun}s"));
    }
}
