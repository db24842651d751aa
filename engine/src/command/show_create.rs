//! SHOW CREATE: the statement that makes a table again. Our own parser reads it back to the same definition.

use std::collections::BTreeMap;
use std::fmt::Write;

use limnos_catalog::{Column, FileFormat, StorageDescriptor, Table, TableKind};

use super::table::{VIEW_DIALECT, format_name};
use crate::write::definition::MANAGED;

/// The statement that makes `table`.
pub fn create_statement(table: &Table) -> String {
    match &table.kind {
        TableKind::External(storage) => create_external(table, storage),
        TableKind::Dataset(dataset) => super::dataset::create_text(table, dataset),
        TableKind::View { sql, .. } => {
            let string = |text: &str| format!("'{}'", text.replace('\'', "''"));
            let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
            let commented = |comment: &Option<String>| {
                comment.as_ref().map_or_else(String::new, |text| format!(" COMMENT {}", string(text)))
            };
            let columns: Vec<String> = table
                .columns
                .iter()
                .map(|column| format!("{}{}", quoted(&column.name), commented(&column.comment)))
                .collect();
            let name = format!("{}.{}", quoted(&table.name.database), quoted(&table.name.name));
            let pairs: Vec<String> = table
                .parameters
                .iter()
                .filter(|(name, _)| *name != VIEW_DIALECT)
                .map(|(name, value)| format!("{} = {}", string(name), string(value)))
                .collect();
            let parameters =
                if pairs.is_empty() { String::new() } else { format!(" TBLPROPERTIES ({})", pairs.join(", ")) };
            format!("CREATE VIEW {name} ({}){}{parameters} AS\n{sql}", columns.join(", "), commented(&table.comment))
        }
    }
}

fn create_external(table: &Table, storage: &StorageDescriptor) -> String {
    let mut text = format!(
        "CREATE EXTERNAL TABLE {}.{} (\n{})",
        identifier(&table.name.database),
        identifier(&table.name.name),
        columns(&table.columns)
    );
    // Writing to a String can't fail.
    let mut push = |line: String| {
        let _ = write!(text, "\n{line}");
    };
    if let Some(comment) = &table.comment {
        push(format!("COMMENT {}", string(comment)));
    }
    if !table.partition_keys.is_empty() {
        push(format!("PARTITIONED BY (\n{})", columns(&table.partition_keys)));
    }
    let serde = storage.serde.as_deref().unwrap_or(match storage.format {
        FileFormat::Parquet => "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe",
        FileFormat::Csv => "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe",
        FileFormat::Regex if storage.properties.contains_key("input.regex") => {
            "org.apache.hadoop.hive.serde2.RegexSerDe"
        }
        FileFormat::Regex => "com.amazonaws.glue.serde.GrokSerDe",
        FileFormat::Json => "org.openx.data.jsonserde.JsonSerDe",
        FileFormat::Orc => "org.apache.hadoop.hive.ql.io.orc.OrcSerde",
        FileFormat::Avro => "org.apache.hadoop.hive.serde2.avro.AvroSerDe",
        FileFormat::Arrow => "",
    });
    // Without a SerDe of its own and properties, the format says it all.
    if storage.serde.is_some() || matches!(storage.format, FileFormat::Csv | FileFormat::Regex) {
        push(format!("ROW FORMAT SERDE {}", string(serde)));
    }
    let mut serde_properties = storage.properties.clone();
    for column in &table.columns {
        if let Some(source_name) = &column.source_name {
            serde_properties.insert(format!("mapping.{}", column.name), source_name.clone());
        }
    }
    if !serde_properties.is_empty() {
        push(format!("WITH SERDEPROPERTIES ({})", properties(&serde_properties)));
    }
    let stored = if storage.format == FileFormat::Csv { "TEXTFILE" } else { format_name(storage.format) };
    push(format!("STORED AS {stored}"));
    push(format!("LOCATION {}", string(&storage.location)));
    let mut parameters = table.parameters.clone();
    parameters.remove(VIEW_DIALECT);
    // Another table of this text has no files of its own.
    parameters.remove(MANAGED);
    if !parameters.is_empty() {
        push(format!("TBLPROPERTIES ({})", properties(&parameters)));
    }
    text
}

fn columns(columns: &[Column]) -> String {
    let lines: Vec<String> = columns
        .iter()
        .map(|column| {
            let comment = column.comment.as_ref().map_or_else(String::new, |text| format!(" COMMENT {}", string(text)));
            format!("  {} {}{comment}", identifier(&column.name), column.data_type)
        })
        .collect();
    lines.join(",\n")
}

fn properties(properties: &BTreeMap<String, String>) -> String {
    let pairs: Vec<String> =
        properties.iter().map(|(name, value)| format!("\n  {} = {}", string(name), string(value))).collect();
    pairs.join(",")
}

/// In backticks, or in double quotes where a name has what backticks would read otherwise (a dot splits there).
fn identifier(name: &str) -> String {
    if name.contains(['.', '`']) {
        format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
    } else {
        format!("`{name}`")
    }
}

/// A string with Hive's escapes.
fn string(text: &str) -> String {
    let mut quoted = String::from("'");
    for character in text.chars() {
        match character {
            '\'' => quoted.push_str("\\'"),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            control if control.is_ascii_control() => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(control));
            }
            other => quoted.push(other),
        }
    }
    quoted.push('\'');
    quoted
}
