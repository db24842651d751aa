//! Which types are integers underneath, and how a value of such a type is told from its integer.
//!
//! Dates, times, timestamps, durations and decimals are integers with a meaning. They are encoded, compared and summed as
//! integers; their meaning is the field's type.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, PrimitiveArray, make_array};
use arrow::buffer::{NullBuffer, ScalarBuffer};
use arrow::datatypes::{
    ArrowNativeType, ArrowPrimitiveType, DataType, Decimal128Type, Field, Int8Type, Int16Type, Int32Type, Int64Type,
    IntervalUnit, Schema, SchemaRef, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};

use crate::{Error, Result};

/// The integer that a type is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Native {
    I8,
    I16,
    I32,
    I64,
    I128,
    U8,
    U16,
    U32,
    U64,
}

impl Native {
    /// The integer under `data_type`, if it is one. Those that compare in another order than their integers do (intervals of
    /// days and nanoseconds) aren't.
    pub(crate) fn of(data_type: &DataType) -> Option<Self> {
        Some(match data_type {
            DataType::Int8 => Self::I8,
            DataType::Int16 => Self::I16,
            DataType::Int32
            | DataType::Date32
            | DataType::Time32(_)
            | DataType::Interval(IntervalUnit::YearMonth)
            | DataType::Decimal32(..) => Self::I32,
            DataType::Int64
            | DataType::Date64
            | DataType::Time64(_)
            | DataType::Timestamp(..)
            | DataType::Duration(_)
            | DataType::Decimal64(..) => Self::I64,
            DataType::Decimal128(..) => Self::I128,
            DataType::UInt8 => Self::U8,
            DataType::UInt16 => Self::U16,
            DataType::UInt32 => Self::U32,
            DataType::UInt64 => Self::U64,
            _ => return None,
        })
    }

    /// The Arrow type that has this integer and no further meaning.
    pub(crate) fn plain(self) -> DataType {
        match self {
            Self::I8 => DataType::Int8,
            Self::I16 => DataType::Int16,
            Self::I32 => DataType::Int32,
            Self::I64 => DataType::Int64,
            Self::I128 => DataType::Decimal128(38, 0),
            Self::U8 => DataType::UInt8,
            Self::U16 => DataType::UInt16,
            Self::U32 => DataType::UInt32,
            Self::U64 => DataType::UInt64,
        }
    }
}

/// Does `$body` with `$type` being the Arrow type of a [`Native`].
macro_rules! with_native {
    ($native:expr, $type:ident => $body:expr) => {
        match $native {
            $crate::native::Native::I8 => {
                type $type = arrow::datatypes::Int8Type;
                $body
            }
            $crate::native::Native::I16 => {
                type $type = arrow::datatypes::Int16Type;
                $body
            }
            $crate::native::Native::I32 => {
                type $type = arrow::datatypes::Int32Type;
                $body
            }
            $crate::native::Native::I64 => {
                type $type = arrow::datatypes::Int64Type;
                $body
            }
            $crate::native::Native::I128 => {
                type $type = arrow::datatypes::Decimal128Type;
                $body
            }
            $crate::native::Native::U8 => {
                type $type = arrow::datatypes::UInt8Type;
                $body
            }
            $crate::native::Native::U16 => {
                type $type = arrow::datatypes::UInt16Type;
                $body
            }
            $crate::native::Native::U32 => {
                type $type = arrow::datatypes::UInt32Type;
                $body
            }
            $crate::native::Native::U64 => {
                type $type = arrow::datatypes::UInt64Type;
                $body
            }
        }
    };
}
pub(crate) use with_native;

/// An integer of Arrow's that widens to `i128`, and is `base + offset` in its own arithmetic.
pub(crate) trait Integer: ArrowPrimitiveType<Native: Ord> {
    /// As a wide integer.
    fn widen(value: Self::Native) -> i128;
    /// The lowest bits of a wide integer: what it was widened from.
    fn narrow(value: i128) -> Self::Native;
    /// `base + offset`, modulo the type's size: exact where the sum is one of the type's values.
    fn offset(base: Self::Native, offset: u64) -> Self::Native;
    /// `value - base`, which must not be negative, and fit.
    fn distance(value: Self::Native, base: Self::Native) -> u64;
}

macro_rules! integer {
    ($($arrow:ty: $unsigned:ty),*) => {$(
        impl Integer for $arrow {
            #[inline]
            fn widen(value: Self::Native) -> i128 {
                i128::from(value)
            }
            #[inline]
            fn narrow(value: i128) -> Self::Native {
                value as Self::Native
            }
            #[inline]
            fn offset(base: Self::Native, offset: u64) -> Self::Native {
                base.wrapping_add(offset as Self::Native)
            }
            #[inline]
            fn distance(value: Self::Native, base: Self::Native) -> u64 {
                value.wrapping_sub(base) as $unsigned as u64
            }
        }
    )*};
}
integer!(
    Int8Type: u8,
    Int16Type: u16,
    Int32Type: u32,
    Int64Type: u64,
    Decimal128Type: u128,
    UInt8Type: u8,
    UInt16Type: u16,
    UInt32Type: u32,
    UInt64Type: u64
);

/// The same values under another type of the same layout. Costs nothing per value for integers.
pub(crate) fn retype(array: &dyn Array, data_type: &DataType) -> Result<ArrayRef> {
    if array.data_type() == data_type {
        return Ok(make_array(array.to_data()));
    }
    Ok(make_array(array.to_data().into_builder().data_type(data_type.clone()).build()?))
}

/// An array of integers under `data_type`.
pub(crate) fn integers<T: Integer>(
    values: Vec<T::Native>,
    nulls: Option<NullBuffer>,
    data_type: &DataType,
) -> Result<ArrayRef> {
    retype(&PrimitiveArray::<T>::try_new(ScalarBuffer::from(values), nulls)?, data_type)
}

/// An array of one value: the integer under `data_type`.
pub(crate) fn one_integer(value: i128, data_type: &DataType) -> Result<ArrayRef> {
    let native = Native::of(data_type).ok_or(Error::Misuse("not a type of integers"))?;
    with_native!(native, T => integers::<T>(vec![T::narrow(value)], None, data_type))
}

/// The integer of row `row`. `None` where it is NULL.
pub(crate) fn integer_at(array: &dyn Array, row: usize) -> Result<Option<i128>> {
    if array.is_null(row) {
        return Ok(None);
    }
    let native = Native::of(array.data_type()).ok_or(Error::Misuse("not a type of integers"))?;
    let plain = retype(array.slice(row, 1).as_ref(), &native.plain())?;
    Ok(Some(with_native!(native, T => {
        let values = plain.as_any().downcast_ref::<PrimitiveArray<T>>().ok_or(Error::Misuse("not the integers of its type"))?;
        <T as Integer>::widen(values.value(0))
    })))
}

/// All integers of an array, widened; those of NULLs are whatever they were.
pub(crate) fn widened(array: &dyn Array) -> Result<Vec<i128>> {
    let native = Native::of(array.data_type()).ok_or(Error::Misuse("not a type of integers"))?;
    let plain = retype(array, &native.plain())?;
    Ok(with_native!(native, T => {
        let values = plain.as_any().downcast_ref::<PrimitiveArray<T>>().ok_or(Error::Misuse("not the integers of its type"))?;
        values.values().iter().map(|&value| <T as Integer>::widen(value)).collect()
    }))
}

/// What a table keeps columns of `data_type` as: text and binary as views, dictionaries and runs as their values. In nested
/// types, too, are dictionaries and runs their values (one of few keys can't be joined with another); the rest stays as it is.
#[must_use]
pub fn stored_type(data_type: &DataType) -> DataType {
    match inner_type(data_type) {
        DataType::Utf8 | DataType::LargeUtf8 => DataType::Utf8View,
        DataType::Binary | DataType::LargeBinary => DataType::BinaryView,
        other => other,
    }
}

/// A type without dictionaries and runs.
fn inner_type(data_type: &DataType) -> DataType {
    let inner = |field: &Arc<Field>| Arc::new(field.as_ref().clone().with_data_type(inner_type(field.data_type())));
    match data_type {
        DataType::Dictionary(_, value) => inner_type(value),
        DataType::RunEndEncoded(_, values) => inner_type(values.data_type()),
        DataType::List(field) => DataType::List(inner(field)),
        DataType::LargeList(field) => DataType::LargeList(inner(field)),
        DataType::FixedSizeList(field, size) => DataType::FixedSizeList(inner(field), *size),
        DataType::Map(field, sorted) => DataType::Map(inner(field), *sorted),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(inner).collect()),
        other => other.clone(),
    }
}

/// The schema of a table whose rows come with `schema`: names, labels and nullability stay.
pub(crate) fn stored_schema(schema: &Schema) -> SchemaRef {
    let fields: Vec<Arc<Field>> = schema
        .fields()
        .iter()
        .map(|field| match stored_type(field.data_type()) {
            same if same == *field.data_type() => Arc::clone(field),
            other => Arc::new(field.as_ref().clone().with_data_type(other)),
        })
        .collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

/// Bytes of one value of `data_type` in an Arrow array, where that is the same for all.
pub(crate) fn fixed_bytes(data_type: &DataType) -> Option<usize> {
    data_type.primitive_width().or(match data_type {
        DataType::FixedSizeBinary(size) => Some(size.to_usize().unwrap_or(0)),
        DataType::Null => Some(0),
        _ => None,
    })
}
