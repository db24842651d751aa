//! SHOW DRIFT: where files differ from their table, and what a query gets there.
//!
//! The table's definition decides; a file that differs is read as far as it can be. Nothing here reads rows: what a footer
//! doesn't say (a text that is no number) is found by the query that meets it.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType as ArrowType, Field, Schema, SchemaRef};
use limnos_catalog::{DataType, FileFormat, Table};

use super::analyze::unreadable;
use super::{CommandAnswer, CommandContext, find_external};
use crate::parse::ObjectName;
use crate::scan::drift::{Resolution, resolve};
use crate::scan::facts::statistics::place_of;
use crate::scan::survey::SurveyedFile;
use crate::{Error, Notice, Result, Session};

/// The columns of the answer.
pub(super) fn schema() -> SchemaRef {
    let text = |name: &str| Field::new(name, ArrowType::Utf8, true);
    Arc::new(Schema::new(vec![
        text("column_name"),
        text("table_type"),
        text("file_type"),
        Field::new("files", ArrowType::Int64, true),
        text("resolution"),
        text("detail"),
        text("example_file"),
    ]))
}

/// One way in which files differ: by column, then by the file's type. `None` where the table, or the file, has none.
type Divergence = (String, Option<String>, Option<String>);

/// How many files, what happens, and one of them.
struct Found {
    files: i64,
    resolution: Resolution,
    detail: String,
    example: String,
}

pub(super) async fn show_drift(
    context: &CommandContext<'_>,
    session: &Session,
    table: &ObjectName,
) -> Result<CommandAnswer> {
    let (table, storage) = find_external(context, session, table)?;
    let opened = context.opener.open(session, table)?;
    let mut files = opened.files(|_| true).await?;
    opened.read_footers(&mut files).await?;
    let mut found: BTreeMap<Divergence, Found> = BTreeMap::new();
    for file in &files {
        add_file(table, file, &mut found);
    }
    let mut notices = unreadable(&files);
    let says_types =
        matches!(storage.format, FileFormat::Parquet | FileFormat::Orc | FileFormat::Avro | FileFormat::Arrow);
    if !says_types && !files.is_empty() {
        notices.push(Notice::notice("files of this format have no types: each value is read as the table declares it"));
    }
    Ok(CommandAnswer::rows(rows(found)?, "SHOW").with_notices(notices))
}

fn add_file(table: &Table, file: &SurveyedFile, found: &mut BTreeMap<Divergence, Found>) {
    let Some(columns) = &file.columns else { return };
    let mut add = |divergence: Divergence, resolution: Resolution, detail: String| {
        let example = file.version.location.clone();
        found.entry(divergence).or_insert(Found { files: 0, resolution, detail, example }).files += 1;
    };
    let mut read = vec![false; columns.len()];
    for column in &table.columns {
        let place = place_of(columns, &column.name, column.source_name.as_deref());
        let declared = Some(column.data_type.to_string());
        let Some(place) = place else {
            let detail = "The file has no such column: it is NULL in all its rows.";
            add((column.name.clone(), declared, None), Resolution::Null, detail.to_owned());
            continue;
        };
        read[place] = true;
        let own = columns[place].data_type.as_ref();
        if let Some((resolution, detail)) = own.map_or_else(
            || Some((Resolution::ValueError, "The file's type is not supported.".to_owned())),
            |own| resolve(own, &column.data_type),
        ) {
            let own = own.map_or_else(|| "unsupported".to_owned(), DataType::to_string);
            add((column.name.clone(), declared, Some(own)), resolution, detail);
        }
    }
    for (own, _) in columns.iter().zip(&read).filter(|(_, read)| !**read) {
        let name = own.name.to_lowercase();
        let detail = if table.partition_keys.iter().any(|key| key.name == name) {
            "The value of this partition key is the folder's, not the file's."
        } else if table.columns.iter().any(|column| column.name == name) {
            "Another column of the file has the same name in another spelling, and is read instead."
        } else {
            "The table has no such column."
        };
        let data_type = own.data_type.as_ref().map_or_else(|| "unsupported".to_owned(), DataType::to_string);
        add((own.name.to_string(), None, Some(data_type)), Resolution::Ignored, detail.to_owned());
    }
}

fn rows(found: BTreeMap<Divergence, Found>) -> Result<RecordBatch> {
    let text = |of: &dyn Fn(&Divergence, &Found) -> Option<String>| {
        Arc::new(found.iter().map(|(divergence, found)| of(divergence, found)).collect::<StringArray>()) as _
    };
    let columns = vec![
        text(&|divergence, _| Some(divergence.0.clone())),
        text(&|divergence, _| divergence.1.clone()),
        text(&|divergence, _| divergence.2.clone()),
        Arc::new(Int64Array::from_iter_values(found.values().map(|found| found.files))) as _,
        text(&|_, found| Some(found.resolution.as_str().to_owned())),
        text(&|_, found| Some(found.detail.clone())),
        text(&|_, found| Some(found.example.clone())),
    ];
    RecordBatch::try_new(schema(), columns).map_err(|error| Error::internal(error.to_string()))
}
