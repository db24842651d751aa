//! [`FileFacts`] -> what DataFusion wants: statistics of a file for the table's columns, of all files together, and the
//! bounds that files are pruned by.
//!
//! A file's type may be another than the table's. Its bounds count for the table when the cast that the scan will do keeps
//! the order of values: then the least value, cast, is the least of the cast values. Text and numbers, for one, sort
//! differently, so a text file in a number's column is unknown.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, UInt64Array};
use arrow::compute::CastOptions;
use arrow::datatypes::{DataType as ArrowType, Field, Schema, TimeUnit};
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::stats::Precision;
use datafusion::common::{Column, ColumnStatistics, ScalarValue, Statistics};
use limnos_catalog::FileFacts;
use limnos_catalog::facts::{Bound, ColumnFacts, FactValue};

use super::Sketch;
use crate::scan::schema::{SOURCE_NAME_METADATA, arrow_type};

/// Which of a file's columns a table's is read from: the one of the name that it has in the files, if it has another there,
/// else of its own; the exact spelling wins over one that differs in case.
pub(crate) fn place_of(columns: &[ColumnFacts], name: &str, source_name: Option<&str>) -> Option<usize> {
    let find = |name: &str| {
        let exact = columns.iter().position(|column| *column.name == *name);
        exact.or_else(|| {
            let lower = name.to_lowercase();
            columns.iter().position(|column| column.name.to_lowercase() == lower)
        })
    };
    source_name.and_then(find).or_else(|| find(name))
}

/// [`place_of`] the table's column that `field` is.
pub(crate) fn place_of_field(columns: &[ColumnFacts], field: &Field) -> Option<usize> {
    place_of(columns, field.name(), field.metadata().get(SOURCE_NAME_METADATA).map(String::as_str))
}

fn column_of<'a>(facts: &'a FileFacts, field: &Field) -> Option<&'a ColumnFacts> {
    place_of_field(&facts.columns, field).map(|place| &facts.columns[place])
}

/// Whether the cast from a file's type to the table's keeps the order of values and loses none to NULL.
fn keeps_order(file_type: &ArrowType, table_type: &ArrowType) -> bool {
    use ArrowType::{Date32, Decimal128, Float32, Float64, Timestamp};
    match (file_type, table_type) {
        (a, b) if a == b => true,
        (a, b) if a.is_integer() && b.is_integer() => true,
        (a, Decimal128(..) | Float32 | Float64) if a.is_integer() => true,
        (Float32, Float64) | (Date32, Timestamp(_, None)) => true,
        (Decimal128(_, a), Decimal128(_, b)) => a <= b,
        _ => false,
    }
}

fn scalar(value: &FactValue, data_type: &ArrowType) -> Option<ScalarValue> {
    Some(match (value, data_type) {
        (FactValue::Boolean(value), ArrowType::Boolean) => ScalarValue::Boolean(Some(*value)),
        (FactValue::Int(value), ArrowType::Int8) => ScalarValue::Int8(Some((*value).try_into().ok()?)),
        (FactValue::Int(value), ArrowType::Int16) => ScalarValue::Int16(Some((*value).try_into().ok()?)),
        (FactValue::Int(value), ArrowType::Int32) => ScalarValue::Int32(Some((*value).try_into().ok()?)),
        (FactValue::Int(value), ArrowType::Int64) => ScalarValue::Int64(Some(*value)),
        (FactValue::Int(value), ArrowType::Date32) => ScalarValue::Date32(Some((*value).try_into().ok()?)),
        (FactValue::Int(value), ArrowType::Time64(TimeUnit::Microsecond)) => {
            ScalarValue::Time64Microsecond(Some(*value))
        }
        (FactValue::Int(value), ArrowType::Timestamp(TimeUnit::Microsecond, zone)) => {
            ScalarValue::TimestampMicrosecond(Some(*value), zone.clone())
        }
        (FactValue::Decimal(value), ArrowType::Decimal128(precision, scale)) => {
            ScalarValue::Decimal128(Some(*value), *precision, *scale)
        }
        (FactValue::Float(value), ArrowType::Float32) => ScalarValue::Float32(Some(*value as f32)),
        (FactValue::Float(value), ArrowType::Float64) => ScalarValue::Float64(Some(*value)),
        (FactValue::Text(value), ArrowType::Utf8View) => ScalarValue::Utf8View(Some(value.to_string())),
        (FactValue::Bytes(value), ArrowType::BinaryView) => ScalarValue::BinaryView(Some(value.to_vec())),
        _ => return None,
    })
}

fn cast(value: &FactValue, file_type: &ArrowType, table_type: &ArrowType) -> Option<ScalarValue> {
    let value = scalar(value, file_type)?;
    if file_type == table_type {
        return Some(value);
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    value.cast_to_with_options(table_type, &options).ok().filter(|value| !value.is_null())
}

/// The statistics of one column of a file for the table's `field`.
pub(crate) fn column_statistics(facts: &FileFacts, field: &Field) -> ColumnStatistics {
    let mut statistics = ColumnStatistics::new_unknown();
    // Of text files only the rows are counted: their values are what the table makes of them.
    if facts.read_as.is_some() {
        return statistics;
    }
    if let Some(width) = field.data_type().primitive_width() {
        statistics.byte_size = Precision::Exact(count(facts.row_count).saturating_mul(width));
    }
    let Some(column) = column_of(facts, field) else {
        // A column that the file lacks is NULL in all its rows.
        statistics.null_count = Precision::Exact(count(facts.row_count));
        return statistics;
    };
    let Some(file_type) = column.data_type.as_ref().map(arrow_type) else { return statistics };
    if !keeps_order(&file_type, field.data_type()) || file_type.is_nested() {
        return statistics;
    }
    if statistics.byte_size == Precision::Absent
        && let Some(size) = column.byte_size
    {
        statistics.byte_size = Precision::Inexact(count(size));
    }
    // A float becomes a float of another size; which NaN and zeros there are stays unsaid.
    let bound = |bound: &Option<Bound>| match bound {
        None => Ok(Precision::Absent),
        Some(bound) => match cast(&bound.value, &file_type, field.data_type()) {
            Some(value) if bound.is_exact => Ok(Precision::Exact(value)),
            Some(value) => Ok(Precision::Inexact(value)),
            None => Err(()),
        },
    };
    // A bound that the table's type can't hold means a value that the scan will refuse: nothing is told instead.
    let (Ok(min), Ok(max)) = (bound(&column.min), bound(&column.max)) else { return statistics };
    statistics.min_value = min;
    statistics.max_value = max;
    if let Some(nulls) = column.null_count {
        statistics.null_count = Precision::Exact(count(nulls));
    }
    if let Some(sketch) = column.sketch.as_deref().and_then(Sketch::from_bytes) {
        statistics.distinct_count = Precision::Inexact(count(sketch.count()));
    }
    statistics
}

/// The statistics of a key that is `value` in all rows of a file.
pub(crate) fn key_statistics(value: &ScalarValue, row_count: Precision<usize>) -> ColumnStatistics {
    if value.is_null() {
        return ColumnStatistics { null_count: row_count, ..ColumnStatistics::new_unknown() };
    }
    ColumnStatistics {
        null_count: Precision::Exact(0),
        min_value: Precision::Exact(value.clone()),
        max_value: Precision::Exact(value.clone()),
        ..ColumnStatistics::new_unknown()
    }
}

/// The statistics of one file, for the columns of `schema` that are `wanted`; the others are unknown.
pub(crate) fn file_statistics(facts: &FileFacts, schema: &Schema, wanted: &[bool]) -> Statistics {
    let columns = schema.fields().iter().zip(wanted).map(|(field, wanted)| match wanted {
        true => column_statistics(facts, field),
        false => ColumnStatistics::new_unknown(),
    });
    Statistics {
        num_rows: Precision::Exact(count(facts.row_count)),
        total_byte_size: Precision::Absent,
        column_statistics: columns.collect(),
    }
}

pub(crate) fn count(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// Adds up the statistics of files, of which each has at least one row.
///
/// DataFusion's own merge takes a column that is NULL throughout one file for one whose bounds aren't known in any.
#[derive(Debug)]
pub(crate) struct Total {
    row_count: usize,
    columns: Vec<TotalColumn>,
}

#[derive(Debug)]
struct TotalColumn {
    null_count: Precision<usize>,
    byte_size: Precision<usize>,
    /// `None` before the first file with a value.
    bounds: Option<(Precision<ScalarValue>, Precision<ScalarValue>)>,
}

impl Total {
    pub(crate) fn new(column_count: usize) -> Self {
        let columns = (0..column_count).map(|_| TotalColumn {
            null_count: Precision::Exact(0),
            byte_size: Precision::Exact(0),
            bounds: None,
        });
        Self { row_count: 0, columns: columns.collect() }
    }

    /// Adds a file of `row_count` rows.
    pub(crate) fn add(&mut self, file: &Statistics, row_count: usize) {
        self.row_count = self.row_count.saturating_add(row_count);
        for (total, file) in self.columns.iter_mut().zip(&file.column_statistics) {
            total.null_count = total.null_count.add(&file.null_count);
            total.byte_size = total.byte_size.add(&file.byte_size);
            if file.null_count == Precision::Exact(row_count) {
                continue;
            }
            total.bounds = Some(match total.bounds.take() {
                None => (file.min_value.clone(), file.max_value.clone()),
                Some((min, max)) => (min.min(&file.min_value), max.max(&file.max_value)),
            });
        }
    }

    /// The statistics of all files. `distinct` tells for each column about how many distinct values it has.
    pub(crate) fn finish(self, distinct: impl Fn(usize) -> Option<u64>) -> Statistics {
        let columns = self.columns.into_iter().enumerate().map(|(index, total)| {
            let (min_value, max_value) = total.bounds.unwrap_or_default();
            let distinct_count = distinct(index).map_or(Precision::Absent, |number| Precision::Inexact(count(number)));
            ColumnStatistics {
                null_count: total.null_count,
                min_value,
                max_value,
                byte_size: total.byte_size,
                distinct_count,
                ..ColumnStatistics::new_unknown()
            }
        });
        let column_statistics = columns.collect();
        Statistics { num_rows: Precision::Exact(self.row_count), total_byte_size: Precision::Absent, column_statistics }
    }
}

/// About how many distinct values the table's column `field` has in all files; `None` unless each has been looked at.
pub(crate) fn distinct_count<'a>(files: impl IntoIterator<Item = &'a FileFacts>, field: &Field) -> Option<u64> {
    let mut merged: Option<Sketch> = None;
    for facts in files {
        let Some(column) = column_of(facts, field) else {
            // Only NULL.
            continue;
        };
        let sketch = Sketch::from_bytes(column.sketch.as_deref()?)?;
        match &mut merged {
            Some(merged) => merged.merge(&sketch),
            None => merged = Some(sketch),
        }
    }
    merged.map(|merged| merged.count())
}

/// Each file is a container: what is known of it prunes it, and of what isn't known nothing is said.
pub(crate) struct FileBounds<'a> {
    /// The files.
    pub(crate) files: &'a [Option<Arc<FileFacts>>],
    /// The table's columns inside files.
    pub(crate) schema: &'a Schema,
}

impl FileBounds<'_> {
    fn values(&self, column: &Column, get: fn(ColumnStatistics) -> Precision<ScalarValue>) -> Option<ArrayRef> {
        let field = self.schema.field_with_name(&column.name).ok()?;
        let unknown = ScalarValue::try_from(field.data_type()).ok()?;
        let values = self.files.iter().map(|facts| {
            let known = facts.as_ref().map(|facts| get(column_statistics(facts, field)));
            known.and_then(|known| known.get_value().cloned()).unwrap_or_else(|| unknown.clone())
        });
        ScalarValue::iter_to_array(values).ok()
    }
}

impl PruningStatistics for FileBounds<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.values(column, |statistics| statistics.min_value)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.values(column, |statistics| statistics.max_value)
    }

    fn num_containers(&self) -> usize {
        self.files.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        let field = self.schema.field_with_name(&column.name).ok()?;
        let counts: UInt64Array = self
            .files
            .iter()
            .map(|facts| match column_statistics(facts.as_ref()?, field).null_count {
                Precision::Exact(count) => Some(count as u64),
                _ => None,
            })
            .collect();
        Some(Arc::new(counts))
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        let counts: UInt64Array = self.files.iter().map(|facts| Some(facts.as_ref()?.row_count)).collect();
        Some(Arc::new(counts))
    }

    fn contained(&self, _column: &Column, _values: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
