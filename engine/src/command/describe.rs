//! DESCRIBE, laid out as Hive and Athena do.

use limnos_catalog::{Column, TableKind};

use super::answer::{DESCRIBE, text_rows};
use super::table::format_name;
use super::{CommandAnswer, CommandContext, find, projection};
use crate::parse::ObjectName;
use crate::{Result, Session};

pub(super) fn describe(
    context: &CommandContext<'_>,
    session: &Session,
    table: &ObjectName,
    extended: bool,
) -> Result<CommandAnswer> {
    let table = find(context, session, table)?;
    let row = |a: &str, b: &str, c: &str| vec![a.to_owned(), b.to_owned(), c.to_owned()];
    let column = |column: &Column| {
        row(&column.name, &column.data_type.to_string(), column.comment.as_deref().unwrap_or_default())
    };
    let mut rows: Vec<Vec<String>> = table.columns.iter().chain(&table.partition_keys).map(column).collect();
    if !table.partition_keys.is_empty() {
        rows.push(row("", "", ""));
        rows.push(row("# Partition Information", "", ""));
        rows.push(row("# col_name", "data_type", "comment"));
        rows.push(row("", "", ""));
        rows.extend(table.partition_keys.iter().map(column));
    }
    if extended {
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
