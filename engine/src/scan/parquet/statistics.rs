//! What footers tell beyond [`crate::scan::facts`]: the bounds of every row group, for pruning.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, UInt64Array, new_null_array};
use arrow::compute::{CastOptions, cast_with_options, concat};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::{Column, ScalarValue};
use datafusion::error::Result;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::arrow::parquet_to_arrow_schema;
use parquet::file::metadata::ParquetMetaData;

use super::adapter::file_positions;

fn file_schema(metadata: &ParquetMetaData) -> Result<SchemaRef> {
    let file = metadata.file_metadata();
    Ok(Arc::new(parquet_to_arrow_schema(file.schema_descr(), file.key_value_metadata())?))
}

/// Whether bounds of `file_type` hold, cast, for a column declared `table_type`: the cast must keep the order and lose
/// nothing. Text and numbers, for one, sort differently.
fn keeps_order(file_type: &DataType, table_type: &DataType) -> bool {
    use DataType::{Date32, Decimal128, Float32, Float64, LargeUtf8, Timestamp, Utf8, Utf8View};
    let text = |data_type: &DataType| matches!(data_type, Utf8 | LargeUtf8 | Utf8View);
    match (file_type, table_type) {
        (a, b) if a == b => true,
        (a, b) if text(a) && text(b) => true,
        (a, b) if a.is_integer() && b.is_integer() => true,
        (a, Decimal128(..)) if a.is_integer() => true,
        (Float32, Float64) | (Date32, Timestamp(..)) => true,
        (Decimal128(_, a), Decimal128(_, b)) => a <= b,
        (Timestamp(_, a), Timestamp(_, b)) => a.is_some() == b.is_some(),
        _ => false,
    }
}

/// The bounds of every row group of many files, one container per row group in file order, for one evaluation of a
/// pruning predicate.
pub(crate) struct RowGroupStatistics<'a> {
    files: &'a [Arc<ParquetMetaData>],
    table_schema: &'a Schema,
    file_schemas: Vec<SchemaRef>,
    /// Of each file, where the table's columns are in it.
    positions: Vec<Vec<Option<usize>>>,
    row_group_count: usize,
}

impl<'a> RowGroupStatistics<'a> {
    /// Over `files`, for the file columns in `table_schema`.
    pub(crate) fn new(files: &'a [Arc<ParquetMetaData>], table_schema: &'a Schema) -> Result<Self> {
        let file_schemas = files.iter().map(|metadata| file_schema(metadata)).collect::<Result<Vec<_>>>()?;
        let row_group_count = files.iter().map(|metadata| metadata.num_row_groups()).sum();
        let positions = file_schemas.iter().map(|file_schema| file_positions(table_schema, file_schema)).collect();
        Ok(Self { files, table_schema, file_schemas, positions, row_group_count })
    }

    /// One array over all files from what `get` says of each; nulls (unknown) where a file can't say.
    fn gather(
        &self,
        column: &Column,
        wanted: Option<&DataType>,
        get: impl Fn(StatisticsConverter<'_>, &ParquetMetaData) -> parquet::errors::Result<ArrayRef>,
    ) -> Option<ArrayRef> {
        let (index, field) = self.table_schema.column_with_name(&column.name)?;
        let wanted = wanted.unwrap_or(field.data_type());
        let parts: Vec<ArrayRef> = self
            .files
            .iter()
            .zip(self.file_schemas.iter().zip(&self.positions))
            .map(|(metadata, (file_schema, positions))| {
                let unknown = || new_null_array(wanted, metadata.num_row_groups());
                let Some(position) = positions[index] else {
                    return unknown();
                };
                let file_field = file_schema.field(position);
                if !keeps_order(file_field.data_type(), field.data_type()) {
                    return unknown();
                }
                let descriptor = metadata.file_metadata().schema_descr();
                let values = StatisticsConverter::try_new(file_field.name(), file_schema, descriptor)
                    .and_then(|converter| get(converter, metadata));
                match values {
                    Ok(values) if values.data_type() == wanted => values,
                    Ok(values) => {
                        let options = CastOptions { safe: true, ..CastOptions::default() };
                        cast_with_options(&values, wanted, &options).unwrap_or_else(|_| unknown())
                    }
                    Err(_) => unknown(),
                }
            })
            .collect();
        let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
        concat(&parts).ok()
    }
}

impl PruningStatistics for RowGroupStatistics<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.gather(column, None, |converter, metadata| converter.row_group_mins(metadata.row_groups()))
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.gather(column, None, |converter, metadata| converter.row_group_maxes(metadata.row_groups()))
    }

    fn num_containers(&self) -> usize {
        self.row_group_count
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        self.gather(column, Some(&DataType::UInt64), |converter, metadata| {
            // A writer that says nothing of NULLs doesn't say that there are none.
            let converter = converter.with_missing_null_counts_as_zero(false);
            let counts: UInt64Array = converter.row_group_null_counts(metadata.row_groups())?;
            Ok(Arc::new(counts))
        })
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        let counts: UInt64Array = self
            .files
            .iter()
            .flat_map(|metadata| metadata.row_groups())
            .map(|row_group| u64::try_from(row_group.num_rows()).ok())
            .collect();
        Some(Arc::new(counts))
    }

    fn contained(&self, _column: &Column, _values: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
