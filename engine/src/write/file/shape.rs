//! [`Shape`]: the columns of a file for the columns of a query: each value as the catalog's type for it, in the Arrow type
//! that the format's writer takes.
//!
//! A column of a table of ours comes as it is. Others are cast: unsigned numbers to wider ones, dictionaries to their
//! values, times to microseconds. A column whose name in the files is another one (`source_name`) gets that.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, StringViewBuilder};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType as ArrowType, Field, FieldRef, Schema, SchemaRef};
use limnos_catalog::DataType;

use super::FileKind;
use crate::encode::text::write_text;
use crate::scan::schema::{SOURCE_NAME_METADATA, arrow_field, catalog_field_type};
use crate::{Error, ErrorCode, Result};

/// See the module.
#[derive(Debug)]
pub(super) struct Shape {
    schema: SchemaRef,
}

impl Shape {
    pub(super) fn new(schema: &SchemaRef, kind: &FileKind) -> Result<Self> {
        if schema.fields().is_empty() {
            return Err(Error::unsupported("a file without columns cannot be written"));
        }
        let mut names = HashSet::new();
        let mut fields = Vec::with_capacity(schema.fields().len());
        for field in schema.fields() {
            let name = field.metadata().get(SOURCE_NAME_METADATA).unwrap_or(field.name());
            if !names.insert(name) && !matches!(kind, FileKind::Text(_)) {
                return Err(Error::new(
                    ErrorCode::DuplicateColumn,
                    format!("column \"{name}\" specified more than once"),
                )
                .with_hint("Give each column of the query a name of its own with AS."));
            }
            let data_type = catalog_field_type(field).map_err(|_| refused(name, field.data_type(), kind))?;
            check(name, &data_type, kind)?;
            let own = arrow_field(name, &data_type);
            fields.push(match kind {
                FileKind::Parquet | FileKind::Json(_) | FileKind::Text(_) => own,
                FileKind::Orc | FileKind::Avro => plain(&own).with_metadata(Default::default()),
                FileKind::Arrow => plain(&own),
            });
        }
        Ok(Self { schema: Arc::new(Schema::new(fields)) })
    }

    /// The file's columns.
    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// `batch` as the file has it.
    pub(super) fn convert(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        if batch.num_columns() != self.schema.fields().len() {
            return Err(Error::internal(format!(
                "a batch has {} columns, its file {}",
                batch.num_columns(),
                self.schema.fields().len()
            )));
        }
        let columns = batch.columns().iter().zip(self.schema.fields());
        let columns = columns.map(|(column, field)| convert(column, field)).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
            .map_err(|error| Error::internal(error.to_string()))
    }
}

/// Refuses what the format can't hold, with the column's name.
fn check(name: &str, data_type: &DataType, kind: &FileKind) -> Result<()> {
    let refuse = |hint: &str| {
        Err(Error::unsupported(format!(
            "column \"{name}\" of type {data_type} cannot be written to {} files",
            kind.name()
        ))
        .with_hint(hint))
    };
    match (kind, data_type) {
        (FileKind::Orc, DataType::Decimal(..) | DataType::Time) => {
            refuse("Cast it to another type, such as double or string, or choose Parquet.")
        }
        (FileKind::Orc, nested) if nested.is_nested() => refuse("Choose Parquet or Avro, or cast it to json."),
        (FileKind::Avro, _) if !is_avro_name(name) => refuse(
            "Names in Avro files have only letters, digits and underscores. Give the column such a name with AS.",
        ),
        (_, DataType::Struct(fields)) => {
            if fields.is_empty() && !matches!(kind, FileKind::Json(_) | FileKind::Text(_)) {
                return refuse("A row without fields can be written to JSON only.");
            }
            for field in fields {
                if matches!(kind, FileKind::Avro) && !is_avro_name(&field.name) {
                    return refuse("Names in Avro files have only letters, digits and underscores.");
                }
                check(name, &field.data_type, kind)?;
            }
            Ok(())
        }
        (_, DataType::Array(item)) => check(name, item, kind),
        (_, DataType::Map(key, value)) => {
            if key.is_nested() {
                return refuse("Keys of a map must be scalars.");
            }
            if matches!(kind, FileKind::Avro)
                && !matches!(**key, DataType::String | DataType::Varchar(_) | DataType::Char(_))
            {
                return refuse("Keys of maps in Avro files are strings.");
            }
            check(name, value, kind)
        }
        _ => Ok(()),
    }
}

fn is_avro_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn refused(name: &str, data_type: &ArrowType, kind: &FileKind) -> Error {
    Error::unsupported(format!("column \"{name}\" of type {data_type} cannot be written to {} files", kind.name()))
}

/// The same with text and bytes as older readers have them, and not as views.
fn plain(field: &Field) -> Field {
    field.clone().with_data_type(plain_type(field.data_type()))
}

fn plain_type(data_type: &ArrowType) -> ArrowType {
    let inner = |field: &FieldRef| Arc::new(plain(field));
    match data_type {
        ArrowType::Utf8View => ArrowType::Utf8,
        ArrowType::BinaryView => ArrowType::Binary,
        ArrowType::List(item) => ArrowType::List(inner(item)),
        ArrowType::Map(entries, sorted) => ArrowType::Map(inner(entries), *sorted),
        ArrowType::Struct(fields) => ArrowType::Struct(fields.iter().map(inner).collect()),
        other => other.clone(),
    }
}

fn convert(column: &ArrayRef, field: &FieldRef) -> Result<ArrayRef> {
    if column.data_type() == field.data_type() {
        return Ok(Arc::clone(column));
    }
    // A value that doesn't fit is an error, never a NULL.
    let options = CastOptions { safe: false, ..CastOptions::default() };
    let cast = |array: &ArrayRef| {
        cast_with_options(array, field.data_type(), &options).map_err(|error| {
            Error::new(ErrorCode::DataException, format!("column \"{}\" cannot be written", field.name()))
                .with_detail(format!("{error}."))
        })
    };
    match column.data_type() {
        ArrowType::Interval(_) => {
            let mut texts = StringViewBuilder::with_capacity(column.len());
            let mut text = String::new();
            for row in 0..column.len() {
                if column.is_null(row) {
                    texts.append_null();
                    continue;
                }
                text.clear();
                write_text(column.as_ref(), row, &mut text);
                texts.append_value(&text);
            }
            let texts: ArrayRef = Arc::new(texts.finish());
            cast(&texts)
        }
        // A duration's count of units, as `scan::schema` declares it.
        ArrowType::Duration(_) => {
            let counts = cast_with_options(column, &ArrowType::Int64, &options)
                .map_err(|error| Error::internal(error.to_string()))?;
            cast(&counts)
        }
        _ => cast(column),
    }
}
