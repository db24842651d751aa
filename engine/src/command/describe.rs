//! DESCRIBE, laid out as Hive and Athena do.

use limnos_catalog::{Column, TableKind};

use super::answer::{DESCRIBE, text_rows};
use super::table::format_name;
use super::{CommandAnswer, CommandContext, dataset, find, partition, projection};
use crate::parse::{ObjectName, PartitionSpec};
use crate::{Error, ErrorCode, Result, Session};

pub(super) fn describe(
    context: &CommandContext<'_>,
    session: &Session,
    table: &ObjectName,
    extended: bool,
    partition: Option<&PartitionSpec>,
    only: Option<&str>,
) -> Result<CommandAnswer> {
    let table = find(context, session, table)?;
    let found = partition.map(|spec| partition::one(context, table, spec)).transpose()?;
    let row = |a: &str, b: &str, c: &str| vec![a.to_owned(), b.to_owned(), c.to_owned()];
    let column = |column: &Column| {
        row(&column.name, &column.data_type.to_string(), column.comment.as_deref().unwrap_or_default())
    };
    if let Some(name) = only {
        let mut columns = table.columns.iter().chain(&table.partition_keys);
        let found = columns.find(|column| column.name == name).ok_or_else(|| {
            let message = format!("column \"{name}\" of relation \"{}\" does not exist", table.name);
            Error::new(ErrorCode::UndefinedColumn, message)
        })?;
        return Ok(CommandAnswer::rows(text_rows(DESCRIBE, &[column(found)])?, "DESCRIBE"));
    }
    let mut rows: Vec<Vec<String>> = table.columns.iter().chain(&table.partition_keys).map(column).collect();
    if !table.partition_keys.is_empty() {
        rows.push(row("", "", ""));
        rows.push(row("# Partition Information", "", ""));
        rows.push(row("# col_name", "data_type", "comment"));
        rows.push(row("", "", ""));
        rows.extend(table.partition_keys.iter().map(column));
    }
    if let Some(found) = found {
        rows.push(row("", "", ""));
        rows.push(row("# Detailed Partition Information", "", ""));
        let values: Vec<&str> = found.values.iter().map(|value| value.as_deref().unwrap_or("NULL")).collect();
        rows.push(row("Partition Value:", &format!("[{}]", values.join(", ")), ""));
        rows.push(row("Location:", found.location.as_deref().unwrap_or_default(), ""));
        if let Some(storage) = &found.storage {
            rows.push(row("Format:", format_name(storage.format), ""));
        }
    } else if extended {
        rows.push(row("", "", ""));
        rows.push(row("# Detailed Table Information", "", ""));
        rows.push(row("Database:", &table.name.database, ""));
        rows.push(row("Owner:", &table.owner, ""));
        match &table.kind {
            TableKind::External(storage) => {
                rows.push(row("Location:", &storage.location, ""));
                rows.push(row("Table Type:", "EXTERNAL_TABLE", ""));
                rows.push(row("Format:", format_name(storage.format), ""));
                rows.push(row("SerDe Library:", storage.serde.as_deref().unwrap_or_default(), ""));
                let partitions = if projection::is_projected(table) {
                    "projected".to_owned()
                } else {
                    table.partition_count.to_string()
                };
                rows.push(row("Partitions:", &partitions, ""));
                for (name, value) in &storage.properties {
                    rows.push(row("SerDe Property:", name, &value.escape_default().to_string()));
                }
            }
            TableKind::Dataset(dataset) => {
                rows.push(row("Table Type:", "DATASET", ""));
                rows.push(row("Source:", &dataset::source_text(dataset), ""));
                for (name, value) in dataset::options(dataset) {
                    rows.push(row("Option:", name, &value));
                }
            }
            TableKind::View { sql, .. } => {
                rows.push(row("Table Type:", "VIRTUAL_VIEW", ""));
                rows.push(row("View Text:", sql, ""));
            }
        }
        rows.push(row("Comment:", table.comment.as_deref().unwrap_or_default(), ""));
        rows.push(row("Version:", &table.version.to_string(), ""));
        for (name, value) in &table.parameters {
            rows.push(row("Table Property:", name, value));
        }
    }
    Ok(CommandAnswer::rows(text_rows(DESCRIBE, &rows)?, "DESCRIBE"))
}
