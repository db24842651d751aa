//! What is known of a table's columns, exactly: from the zones of its chunks.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryViewArray, BooleanArray, Float32Array, Float64Array, StringViewArray};
use arrow::datatypes::{DataType, Schema};

use crate::Result;
use crate::column::Encoding;
use crate::dictionary::Dictionary;
use crate::native::{Native, one_integer};
use crate::table::Chunk;
use crate::zone::{Bound, Zone};

/// Widest range of integers whose different values are counted: a bit each.
const COUNTED_SPAN_MAX: i128 = 1 << 20;

/// What is known of one column. All of it is exact; what isn't known is `None`.
#[derive(Clone, Debug)]
pub struct ColumnStatistics {
    /// How many rows are NULL.
    pub null_count: u64,
    /// The least value, an array of one of the column's type. In Arrow's order, for floats: NaN is the greatest.
    pub min: Option<ArrayRef>,
    /// The greatest value.
    pub max: Option<ArrayRef>,
    /// How many different values there are, NULL not counted.
    pub distinct: Option<u64>,
    /// The sum of integers, or of the integers under decimals (of the column's scale).
    pub sum: Option<i128>,
    /// The least and greatest integer; of columns with a dictionary: code.
    pub integers: Option<(i128, i128)>,
}

pub(crate) fn all_statistics(
    schema: &Schema,
    chunks: &[Arc<Chunk>],
    dictionaries: &[Option<Arc<Dictionary>>],
) -> Result<Vec<ColumnStatistics>> {
    let fields = schema.fields().iter().zip(dictionaries).enumerate();
    fields
        .map(|(column, (field, dictionary))| statistics(column, field.data_type(), chunks, dictionary.as_deref()))
        .collect()
}

fn statistics(
    column: usize,
    data_type: &DataType,
    chunks: &[Arc<Chunk>],
    dictionary: Option<&Dictionary>,
) -> Result<ColumnStatistics> {
    let zones = || chunks.iter().map(|chunk| &chunk.columns[column].zone);
    let null_count = zones().map(|zone| zone.null_count as u64).sum();
    let with_values = || zones().filter(|zone| !zone.is_all_null());
    let min = best(with_values().map(|zone| zone.min.as_ref()), std::cmp::Ordering::is_lt);
    let max = best(with_values().map(|zone| zone.max.as_ref()), std::cmp::Ordering::is_gt);
    let integers = match (&min, &max) {
        (Some(Bound::Integer(min)), Some(Bound::Integer(max))) => Some((*min, *max)),
        _ => None,
    };
    let is_sum = dictionary.is_none() && Native::of(data_type).is_some();
    let sum = if is_sum { with_values().try_fold(0i128, |sum, zone| sum.checked_add(zone.sum?)) } else { None };
    let distinct = match (dictionary, integers) {
        // A dictionary has no value that no row has.
        (Some(dictionary), _) => Some(dictionary.len() as u64),
        (None, Some((min, max))) if is_sum && max.checked_sub(min).is_some_and(|span| span < COUNTED_SPAN_MAX) => {
            Some(count_integers(column, chunks, min, max))
        }
        (None, Some((min, max))) if *data_type == DataType::Boolean => Some(1 + (max - min) as u64),
        _ if with_values().next().is_none() => Some(0),
        _ => None,
    };
    let value = |bound: Option<Bound>| bound.map(|bound| one(&bound, data_type, dictionary)).transpose();
    Ok(ColumnStatistics { null_count, min: value(min)?, max: value(max)?, distinct, sum, integers })
}

/// The best of the bounds, if all are known.
fn best<'a>(
    mut bounds: impl Iterator<Item = Option<&'a Bound>>,
    is_better: impl Fn(std::cmp::Ordering) -> bool,
) -> Option<Bound> {
    let first = bounds.next()??;
    let best = bounds.try_fold(first, |best, bound| {
        let bound = bound?;
        Some(if is_better(bound.compare(best)?) { bound } else { best })
    })?;
    Some(best.clone())
}

fn count_integers(column: usize, chunks: &[Arc<Chunk>], min: i128, max: i128) -> u64 {
    let mut seen = vec![false; (max - min) as usize + 1];
    for chunk in chunks {
        let column = &chunk.columns[column];
        let Encoding::Integers { base, offsets, .. } = &column.encoding else {
            continue;
        };
        if column.zone.is_all_null() {
            continue;
        }
        let first = (base - min) as u64;
        match &column.nulls {
            None => offsets.for_each(|offset| seen[(first + offset) as usize] = true),
            Some(nulls) => nulls.valid_indices().for_each(|row| seen[(first + offsets.get(row)) as usize] = true),
        }
    }
    seen.iter().filter(|&&seen| seen).count() as u64
}

/// An array of one value.
fn one(bound: &Bound, data_type: &DataType, dictionary: Option<&Dictionary>) -> Result<ArrayRef> {
    Ok(match (bound, data_type) {
        (Bound::Integer(code), _) if let Some(dictionary) = dictionary => dictionary.values().slice(*code as usize, 1),
        (Bound::Integer(value), DataType::Boolean) => Arc::new(BooleanArray::from(vec![*value != 0])),
        (Bound::Integer(value), _) => one_integer(*value, data_type)?,
        (Bound::Float(value), DataType::Float32) => Arc::new(Float32Array::from(vec![*value as f32])),
        (Bound::Float(value), _) => Arc::new(Float64Array::from(vec![*value])),
        (Bound::Bytes(bytes), DataType::Utf8View) => {
            Arc::new(StringViewArray::from(vec![String::from_utf8_lossy(bytes).as_ref()]))
        }
        (Bound::Bytes(bytes), _) => Arc::new(BinaryViewArray::from(vec![bytes.as_ref()])),
    })
}

impl Zone {
    /// The integers, if bounds are.
    #[must_use]
    pub fn integer_bounds(&self) -> Option<(i128, i128)> {
        match (&self.min, &self.max) {
            (Some(Bound::Integer(min)), Some(Bound::Integer(max))) => Some((*min, *max)),
            _ => None,
        }
    }
}
