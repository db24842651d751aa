//! What is known of a column's values in one chunk, and so which chunks a predicate needn't look at.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, AsArray, PrimitiveArray};
use arrow::datatypes::{ArrowPrimitiveType, DataType, Float32Type, Float64Type};

/// Longest text whose bounds are kept. A bound must be whole to be exact; what is longer is rarely compared, and would be kept twice.
const TEXT_BOUND_BYTES_MAX: usize = 256;

/// One end of a column's values, in the order in which Arrow compares them (floats: -NaN < -inf < -0.0 < 0.0 < inf < NaN).
#[derive(Clone, Debug, PartialEq)]
pub enum Bound {
    /// An integer, or what is one underneath (dates, times, decimals; Booleans as 0 and 1). Of a column with a dictionary: a code.
    Integer(i128),
    /// A float of 32 or 64 bits.
    Float(f64),
    /// Text or binary.
    Bytes(Arc<[u8]>),
}

impl Bound {
    /// The order of two bounds of one column. `None`: they are of different kinds, and so of different columns.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Integer(this), Self::Integer(other)) => Some(this.cmp(other)),
            (Self::Float(this), Self::Float(other)) => Some(this.total_cmp(other)),
            (Self::Bytes(this), Self::Bytes(other)) => Some(this.cmp(other)),
            _ => None,
        }
    }
}

/// What is known of one column of one chunk, or of a whole table.
#[derive(Clone, Debug, PartialEq)]
pub struct Zone {
    /// How many rows.
    pub rows: usize,
    /// How many of them are NULL.
    pub null_count: usize,
    /// The least value, exactly. `None`: there is no value, or it isn't known.
    pub min: Option<Bound>,
    /// The greatest value, exactly. `None`: there is no value, or it isn't known.
    pub max: Option<Bound>,
    /// The sum of the integers, exactly. `None`: no integers, or beyond 128 bits.
    pub sum: Option<i128>,
}

impl Zone {
    /// A zone of which nothing is known but its NULLs.
    pub(crate) fn unknown(rows: usize, null_count: usize) -> Self {
        Self { rows, null_count, min: None, max: None, sum: None }
    }

    /// Of integers.
    pub(crate) fn integers(rows: usize, null_count: usize, bounds: Option<(i128, i128)>, sum: Option<i128>) -> Self {
        let (min, max) = bounds.map(|(min, max)| (Bound::Integer(min), Bound::Integer(max))).unzip();
        Self { rows, null_count, min, max, sum }
    }

    /// Of an array that is kept as it is.
    pub(crate) fn of_array(array: &dyn Array) -> Self {
        let mut zone = Self::unknown(array.len(), array.logical_null_count());
        let bounds = match array.data_type() {
            DataType::Boolean => {
                let booleans = array.as_boolean();
                let trues = booleans.true_count();
                let values = array.len() - zone.null_count;
                (values > 0)
                    .then(|| (Bound::Integer(i128::from(trues == values)), Bound::Integer(i128::from(trues > 0))))
            }
            DataType::Float32 => floats::<Float32Type>(array.as_primitive()),
            DataType::Float64 => floats::<Float64Type>(array.as_primitive()),
            DataType::Utf8View => texts(array.as_string_view().iter().flatten().map(str::as_bytes)),
            DataType::BinaryView => texts(array.as_binary_view().iter().flatten()),
            _ => None,
        };
        (zone.min, zone.max) = bounds.unzip();
        zone
    }

    /// Whether every row is NULL.
    #[must_use]
    pub fn is_all_null(&self) -> bool {
        self.null_count == self.rows
    }
}

fn floats<T: ArrowPrimitiveType>(array: &PrimitiveArray<T>) -> Option<(Bound, Bound)>
where
    T::Native: Into<f64>,
{
    let mut values = array.iter().flatten().map(Into::<f64>::into);
    let first = values.next()?;
    let (min, max) = values.fold((first, first), |(min, max), value| {
        (
            if value.total_cmp(&min).is_lt() { value } else { min },
            if value.total_cmp(&max).is_gt() { value } else { max },
        )
    });
    Some((Bound::Float(min), Bound::Float(max)))
}

fn texts<'a>(mut values: impl Iterator<Item = &'a [u8]>) -> Option<(Bound, Bound)> {
    let first = values.next()?;
    let (min, max) = values.fold((first, first), |(min, max), value| (min.min(value), max.max(value)));
    let short = min.len() <= TEXT_BOUND_BYTES_MAX && max.len() <= TEXT_BOUND_BYTES_MAX;
    short.then(|| (Bound::Bytes(min.into()), Bound::Bytes(max.into())))
}
