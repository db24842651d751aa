//! Rows of text -> a table in memory, of the types that a crawl infers.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use limnos_catalog::{Column, DataType};

use crate::crawl::infer::TextColumn;
use crate::crawl::name::column_names;
use crate::scan::format::WantedColumn;
use crate::scan::format::datetime::DateTimeFormat;
use crate::scan::schema::arrow_schema;
use crate::{Error, ErrorCode, Result};

/// Rows of a batch.
const BATCH_ROWS: usize = 8192;

/// Most cells of a table, those that are missing in a row included: NULLs take memory, too.
const CELLS_MAX: usize = 50_000_000;

/// A table of texts. A cell that isn't there is NULL.
#[derive(Debug, Default)]
pub(super) struct TextRows {
    pub(super) columns: Vec<String>,
    /// Of each column, whether its texts are JSON.
    pub(super) is_json: Vec<bool>,
    /// Cells with the place of their column.
    pub(super) rows: Vec<Vec<(usize, String)>>,
}

impl TextRows {
    /// The table, with typed columns.
    pub(super) fn into_batches(self) -> Result<(SchemaRef, Vec<RecordBatch>)> {
        if self.columns.len().saturating_mul(self.rows.len()) > CELLS_MAX {
            return Err(Error::new(ErrorCode::ProgramLimitExceeded, "the table has too many cells").with_detail(
                format!("It may have {CELLS_MAX}; it has {} rows and {} columns.", self.rows.len(), self.columns.len()),
            ));
        }
        let mut seen = vec![TextColumn::default(); self.columns.len()];
        for (place, text) in self.rows.iter().flatten() {
            seen[*place].see(text);
        }
        let names = column_names(self.columns.iter().map(String::as_str));
        let mut wanted = Vec::with_capacity(names.len());
        for (index, (name, _)) in names.into_iter().enumerate() {
            let inferred = seen[index].infer("");
            let (data_type, format) = match self.is_json[index] {
                true => (DataType::Json, None),
                false => (inferred.data_type, inferred.format),
            };
            let format = format.as_deref().map(DateTimeFormat::new).transpose()?;
            wanted.push(WantedColumn { index, column: Column::new(name, data_type), format });
        }
        let columns: Vec<Column> = wanted.iter().map(|wanted| wanted.column.clone()).collect();
        let schema = arrow_schema(&columns);
        let mut batches = Vec::new();
        for rows in self.rows.chunks(BATCH_ROWS) {
            let mut builders: Vec<_> = wanted.iter().map(WantedColumn::builder).collect();
            let mut texts: Vec<Option<&str>> = vec![None; builders.len()];
            for row in rows {
                texts.fill(None);
                for (place, text) in row {
                    texts[*place] = Some(text);
                }
                for (builder, text) in builders.iter_mut().zip(&texts) {
                    match text {
                        Some(text) if builder.is_text() || !text.trim().is_empty() => builder.append_text(text)?,
                        _ => builder.append_null(),
                    }
                }
            }
            let arrays: Vec<ArrayRef> = builders.iter_mut().map(|builder| builder.finish()).collect();
            let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
            let batch = RecordBatch::try_new_with_options(Arc::clone(&schema), arrays, &options)
                .map_err(|error| Error::internal(error.to_string()))?;
            batches.push(batch);
        }
        Ok((schema, batches))
    }
}
