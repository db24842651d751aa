//! A Parquet footer -> [`FileFacts`].
//!
//! Only what is sure is told. Bounds of floats leave NaN out, which is the greatest value to SQL, and may say -0.0 for 0.0,
//! so they are never exact. INT96 has no order that writers agree on. A row group that doesn't tell its bounds leaves the
//! file without.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray as _, UInt64Array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    DataType as ArrowType, Date32Type, Decimal128Type, Field, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, Schema, Time64MicrosecondType, TimestampMicrosecondType,
};
use limnos_catalog::facts::{Bound, ColumnFacts, FactValue};
use limnos_catalog::{DataType, FileFacts};
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::arrow::parquet_to_arrow_schema;
use parquet::basic::Type as PhysicalType;
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};

use crate::scan::schema::{arrow_type, catalog_field_type};

/// Longer texts are cut (a lower bound) or left out (an upper one): writers that don't truncate may put megabytes here.
const TEXT_BYTES_MAX: usize = 256;

/// What the footer tells; `None` when its columns can't be understood.
pub(crate) fn facts_of(metadata: &ParquetMetaData) -> Option<FileFacts> {
    let file = metadata.file_metadata();
    let schema = parquet_to_arrow_schema(file.schema_descr(), file.key_value_metadata()).ok()?;
    let mut row_count = 0_u64;
    for row_group in metadata.row_groups() {
        row_count = row_count.checked_add(u64::try_from(row_group.num_rows()).ok()?)?;
    }
    let columns = schema
        .fields()
        .iter()
        .enumerate()
        .map(|(position, field)| {
            // Columns are found by name, so that of two of one name only the first can be told about.
            let is_first = schema.index_of(field.name()).is_ok_and(|first| first == position);
            column(metadata, &schema, field, row_count, is_first)
        })
        .collect();
    let row_group_count = metadata.num_row_groups() as u64;
    Some(FileFacts { row_count, row_group_count, read_as: None, columns })
}

fn column(metadata: &ParquetMetaData, schema: &Schema, field: &Field, row_count: u64, is_first: bool) -> ColumnFacts {
    let data_type = catalog_field_type(field).ok();
    let mut facts = ColumnFacts { name: field.name().as_str().into(), data_type, ..ColumnFacts::default() };
    let Some(data_type) = facts.data_type.clone().filter(|data_type| is_first && !data_type.is_nested()) else {
        return facts;
    };
    let descriptor = metadata.file_metadata().schema_descr();
    let Ok(converter) = StatisticsConverter::try_new(field.name(), schema, descriptor) else { return facts };
    let converter = converter.with_missing_null_counts_as_zero(false);
    let Some(leaf) = converter.parquet_column_index() else { return facts };
    let row_groups = metadata.row_groups();
    let Ok(null_counts) = converter.row_group_null_counts(row_groups) else { return facts };
    if null_counts.null_count() == 0 {
        facts.null_count = null_counts.iter().flatten().try_fold(0_u64, u64::checked_add);
        // A footer that contradicts itself is believed in nothing.
        facts.null_count.take_if(|count| *count > row_count);
    }
    let mut sizes =
        row_groups.iter().filter_map(|row_group| row_group.columns().get(leaf)?.uncompressed_size().try_into().ok());
    facts.byte_size = sizes.try_fold(0_u64, u64::checked_add);
    if descriptor.column(leaf).physical_type() == PhysicalType::INT96 || field.data_type() == &ArrowType::Null {
        return facts;
    }
    if has_old_order(row_groups, leaf) && !is_signed(field.data_type()) {
        return facts;
    }
    let told = Told { row_groups, leaf, null_counts: &null_counts, data_type: &data_type };
    facts.min = converter.row_group_mins(row_groups).ok().and_then(|values| told.bound(&values, true));
    facts.max = converter.row_group_maxes(row_groups).ok().and_then(|values| told.bound(&values, false));
    facts
}

/// Whether bounds were written in the format's first years, when bytes were compared as signed numbers.
fn has_old_order(row_groups: &[RowGroupMetaData], leaf: usize) -> bool {
    row_groups
        .iter()
        .filter_map(|row_group| row_group.columns().get(leaf)?.statistics())
        .any(|statistics| statistics.is_min_max_deprecated())
}

fn is_signed(data_type: &ArrowType) -> bool {
    data_type.is_signed_integer()
        || matches!(data_type, ArrowType::Boolean | ArrowType::Date32 | ArrowType::Timestamp(..) | ArrowType::Time64(_))
}

/// What the row groups of a file tell of one column.
struct Told<'a> {
    row_groups: &'a [RowGroupMetaData],
    leaf: usize,
    null_counts: &'a UInt64Array,
    data_type: &'a DataType,
}

impl Told<'_> {
    /// The least (or greatest) of the row groups' bounds.
    fn bound(&self, values: &ArrayRef, is_min: bool) -> Option<Bound> {
        let options = CastOptions { safe: true, ..CastOptions::default() };
        let values = cast_with_options(values, &arrow_type(self.data_type), &options).ok()?;
        let mut best: Option<FactValue> = None;
        let mut is_exact = !matches!(self.data_type, DataType::Float | DataType::Double);
        for (index, row_group) in self.row_groups.iter().enumerate() {
            let rows = u64::try_from(row_group.num_rows()).ok()?;
            let nulls = self.null_counts.is_valid(index).then(|| self.null_counts.value(index));
            if rows == 0 || nulls == Some(rows) {
                continue;
            }
            let value = fact_value(&values, index)?;
            let statistics = row_group.columns().get(self.leaf)?.statistics()?;
            is_exact &= if is_min { statistics.min_is_exact() } else { statistics.max_is_exact() };
            best = Some(match best {
                None => value,
                Some(best) if is_less(&value, &best)? == is_min => value,
                Some(best) => best,
            });
        }
        let value = best?;
        shorten(value, is_min).map(|(value, is_whole)| Bound { value, is_exact: is_exact && is_whole })
    }
}

/// Cuts what is too long, where what is left is still a bound.
fn shorten(value: FactValue, is_min: bool) -> Option<(FactValue, bool)> {
    Some(match value {
        FactValue::Text(text) if text.len() > TEXT_BYTES_MAX => {
            let end = (0..=TEXT_BYTES_MAX).rev().find(|end| text.is_char_boundary(*end)).filter(|_| is_min)?;
            (FactValue::Text(text[..end].into()), false)
        }
        FactValue::Bytes(bytes) if bytes.len() > TEXT_BYTES_MAX => {
            is_min.then(|| (FactValue::Bytes(bytes[..TEXT_BYTES_MAX].into()), false))?
        }
        value => (value, true),
    })
}

/// `None` for what has no order (NaN, which no footer should hold).
fn is_less(left: &FactValue, right: &FactValue) -> Option<bool> {
    Some(match (left, right) {
        (FactValue::Boolean(left), FactValue::Boolean(right)) => left < right,
        (FactValue::Int(left), FactValue::Int(right)) => left < right,
        (FactValue::Decimal(left), FactValue::Decimal(right)) => left < right,
        (FactValue::Float(left), FactValue::Float(right)) => left.partial_cmp(right)?.is_lt(),
        (FactValue::Text(left), FactValue::Text(right)) => left < right,
        (FactValue::Bytes(left), FactValue::Bytes(right)) => left < right,
        _ => return None,
    })
}

/// The value at `index` of an array of a table's type.
pub(crate) fn fact_value(values: &Arc<dyn Array>, index: usize) -> Option<FactValue> {
    if values.is_null(index) {
        return None;
    }
    let values = values.as_ref();
    Some(match values.data_type() {
        ArrowType::Boolean => FactValue::Boolean(values.as_boolean().value(index)),
        ArrowType::Int8 => FactValue::Int(values.as_primitive::<Int8Type>().value(index).into()),
        ArrowType::Int16 => FactValue::Int(values.as_primitive::<Int16Type>().value(index).into()),
        ArrowType::Int32 => FactValue::Int(values.as_primitive::<Int32Type>().value(index).into()),
        ArrowType::Int64 => FactValue::Int(values.as_primitive::<Int64Type>().value(index)),
        ArrowType::Date32 => FactValue::Int(values.as_primitive::<Date32Type>().value(index).into()),
        ArrowType::Time64(_) => FactValue::Int(values.as_primitive_opt::<Time64MicrosecondType>()?.value(index)),
        ArrowType::Timestamp(..) => FactValue::Int(values.as_primitive_opt::<TimestampMicrosecondType>()?.value(index)),
        ArrowType::Decimal128(..) => FactValue::Decimal(values.as_primitive::<Decimal128Type>().value(index)),
        ArrowType::Float32 => finite(values.as_primitive::<Float32Type>().value(index).into())?,
        ArrowType::Float64 => finite(values.as_primitive::<Float64Type>().value(index))?,
        ArrowType::Utf8View => FactValue::Text(values.as_string_view().value(index).into()),
        ArrowType::BinaryView => FactValue::Bytes(values.as_binary_view().value(index).into()),
        _ => return None,
    })
}

fn finite(value: f64) -> Option<FactValue> {
    (!value.is_nan()).then_some(FactValue::Float(value))
}
