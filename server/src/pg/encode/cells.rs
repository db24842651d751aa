//! Arrow arrays -> [`Cells`] -> [`Value`]s: every layout Arrow has for the same meaning is taken apart once per batch, so
//! that the writers know some twenty kinds of value and nothing of Arrow.

use std::ops::Range;

use arrow::array::cast::AsArray;
use arrow::array::types::*;
use arrow::array::{
    Array, ArrayRef, BinaryArray, BinaryViewArray, BooleanArray, Decimal128Array, Decimal256Array,
    FixedSizeBinaryArray, Float32Array, Float64Array, Int16Array, Int32Array, Int64Array, LargeBinaryArray,
    LargeStringArray, StringArray, StringViewArray, UInt32Array, UInt64Array,
};
use arrow::buffer::{NullBuffer, ScalarBuffer};
use arrow::compute::cast;
use arrow::datatypes::{DataType, IntervalUnit, TimeUnit, i256};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use limnos_engine::{Error, ErrorCode};

const MICROSECONDS_PER_DAY: i64 = 86_400_000_000;

/// One value that isn't null.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Value<'a> {
    Bool(bool),
    Int(i64),
    Float4(f32),
    Float8(f64),
    Text(&'a str),
    Bytes(&'a [u8]),
    /// Unscaled, and the digits after the point.
    Decimal(i128, i8),
    BigDecimal(i256, i8),
    /// Days since 1970-01-01.
    Date(i32),
    /// Microseconds since midnight.
    Time(i64),
    /// Microseconds since 1970-01-01, without zone.
    Timestamp(i64),
    /// Microseconds since 1970-01-01 UTC.
    TimestampTz(i64),
    Interval(Interval),
    List(&'a Cells, usize, usize),
    Struct(&'a [(String, Cells)], usize),
    /// Keys, values, and the entries' range.
    Map(&'a Cells, &'a Cells, usize, usize),
}

/// PostgreSQL's interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Interval {
    pub(crate) months: i32,
    pub(crate) days: i32,
    pub(crate) microseconds: i64,
}

/// A value that Arrow holds and PostgreSQL's type doesn't, with that type's name. Small, as it is in every cell's result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OutOfRange(pub(crate) &'static str);

impl From<OutOfRange> for Error {
    fn from(error: OutOfRange) -> Self {
        let code = match error.0 {
            "date" | "time" | "timestamp" | "interval" => ErrorCode::DatetimeFieldOverflow,
            NUL => {
                let message = "invalid byte sequence for encoding \"UTF8\": 0x00";
                return Self::new(ErrorCode::CharacterNotInRepertoire, message)
                    .with_detail("A text has a zero byte, which PostgreSQL's types can't hold.")
                    .with_hint("Take it out, as with replace(x, chr(0), '').");
            }
            _ => ErrorCode::NumericValueOutOfRange,
        };
        Self::new(code, format!("{} out of range", error.0))
    }
}

/// What text with a zero byte is out of range for. Clients in C would take the byte for the text's end.
const NUL: &str = "\0";

/// `text`, if PostgreSQL's types can hold it.
#[inline]
pub(crate) fn storable(text: &str) -> Result<&str, OutOfRange> {
    if text.as_bytes().contains(&0) { Err(OutOfRange(NUL)) } else { Ok(text) }
}

/// The values of one column of one batch.
#[derive(Debug)]
pub(crate) enum Cells {
    Null,
    Bool(BooleanArray),
    Int16(Int16Array),
    Int32(Int32Array),
    UInt32(UInt32Array),
    Int64(Int64Array),
    UInt64(UInt64Array),
    Float32(Float32Array),
    Float64(Float64Array),
    Utf8(StringArray),
    LargeUtf8(LargeStringArray),
    Utf8View(StringViewArray),
    Binary(BinaryArray),
    LargeBinary(LargeBinaryArray),
    BinaryView(BinaryViewArray),
    FixedSizeBinary(FixedSizeBinaryArray),
    Decimal128(Decimal128Array, i8),
    Decimal256(Decimal256Array, i8),
    Date32(ScalarBuffer<i32>, Option<NullBuffer>),
    Date64(ScalarBuffer<i64>, Option<NullBuffer>),
    Time(ScalarBuffer<i64>, Option<NullBuffer>),
    /// The last says whether the values are instants.
    Timestamp(ScalarBuffer<i64>, Option<NullBuffer>, TimeUnit, bool),
    Duration(ScalarBuffer<i64>, Option<NullBuffer>, TimeUnit),
    IntervalYearMonth(ScalarBuffer<i32>, Option<NullBuffer>),
    IntervalDayTime(ScalarBuffer<IntervalDayTime>, Option<NullBuffer>),
    IntervalMonthDayNano(ScalarBuffer<IntervalMonthDayNano>, Option<NullBuffer>),
    /// A dictionary or runs: where each row's value is.
    Indexed(Vec<usize>, Option<NullBuffer>, Box<Cells>),
    List(Vec<Range<usize>>, Option<NullBuffer>, Box<Cells>),
    Struct(Vec<(String, Cells)>, Option<NullBuffer>),
    Map(Vec<Range<usize>>, Option<NullBuffer>, Box<Cells>, Box<Cells>),
    /// What nothing above knows, as Arrow prints it.
    Formatted(Vec<Option<String>>),
}

impl Cells {
    /// Takes a column apart. Costs a few pointer copies for the common types.
    pub(crate) fn new(array: &ArrayRef) -> Result<Self, ArrowError> {
        let nulls = || array.nulls().cloned();
        Ok(match array.data_type() {
            DataType::Null => Self::Null,
            DataType::Boolean => Self::Bool(array.as_boolean().clone()),
            DataType::Int8 | DataType::UInt8 => Self::new(&cast(array, &DataType::Int16)?)?,
            DataType::Int16 => Self::Int16(array.as_primitive::<Int16Type>().clone()),
            DataType::UInt16 => Self::new(&cast(array, &DataType::Int32)?)?,
            DataType::Int32 => Self::Int32(array.as_primitive::<Int32Type>().clone()),
            DataType::UInt32 => Self::UInt32(array.as_primitive::<UInt32Type>().clone()),
            DataType::Int64 => Self::Int64(array.as_primitive::<Int64Type>().clone()),
            DataType::UInt64 => Self::UInt64(array.as_primitive::<UInt64Type>().clone()),
            DataType::Float16 => Self::new(&cast(array, &DataType::Float32)?)?,
            DataType::Float32 => Self::Float32(array.as_primitive::<Float32Type>().clone()),
            DataType::Float64 => Self::Float64(array.as_primitive::<Float64Type>().clone()),
            DataType::Utf8 => Self::Utf8(array.as_string::<i32>().clone()),
            DataType::LargeUtf8 => Self::LargeUtf8(array.as_string::<i64>().clone()),
            DataType::Utf8View => Self::Utf8View(array.as_string_view().clone()),
            DataType::Binary => Self::Binary(array.as_binary::<i32>().clone()),
            DataType::LargeBinary => Self::LargeBinary(array.as_binary::<i64>().clone()),
            DataType::BinaryView => Self::BinaryView(array.as_binary_view().clone()),
            DataType::FixedSizeBinary(_) => Self::FixedSizeBinary(array.as_fixed_size_binary().clone()),
            DataType::Decimal32(_, scale) | DataType::Decimal64(_, scale) => {
                Self::new(&cast(array, &DataType::Decimal128(38, *scale))?)?
            }
            DataType::Decimal128(_, scale) => Self::Decimal128(array.as_primitive::<Decimal128Type>().clone(), *scale),
            DataType::Decimal256(_, scale) => Self::Decimal256(array.as_primitive::<Decimal256Type>().clone(), *scale),
            DataType::Date32 => Self::Date32(array.as_primitive::<Date32Type>().values().clone(), nulls()),
            DataType::Date64 => Self::Date64(array.as_primitive::<Date64Type>().values().clone(), nulls()),
            DataType::Time64(TimeUnit::Microsecond) => {
                Self::Time(array.as_primitive::<Time64MicrosecondType>().values().clone(), nulls())
            }
            DataType::Time32(_) | DataType::Time64(_) => {
                Self::new(&cast(array, &DataType::Time64(TimeUnit::Microsecond))?)?
            }
            DataType::Timestamp(unit, zone) => Self::Timestamp(integers(array)?, nulls(), *unit, zone.is_some()),
            DataType::Duration(unit) => Self::Duration(integers(array)?, nulls(), *unit),
            DataType::Interval(IntervalUnit::YearMonth) => {
                Self::IntervalYearMonth(array.as_primitive::<IntervalYearMonthType>().values().clone(), nulls())
            }
            DataType::Interval(IntervalUnit::DayTime) => {
                Self::IntervalDayTime(array.as_primitive::<IntervalDayTimeType>().values().clone(), nulls())
            }
            DataType::Interval(IntervalUnit::MonthDayNano) => {
                Self::IntervalMonthDayNano(array.as_primitive::<IntervalMonthDayNanoType>().values().clone(), nulls())
            }
            DataType::Dictionary(..) => {
                let dictionary = array.as_any_dictionary();
                let values = Self::new(dictionary.values())?;
                let keys =
                    if dictionary.values().is_empty() { vec![0; array.len()] } else { dictionary.normalized_keys() };
                Self::Indexed(keys, dictionary.keys().nulls().cloned(), Box::new(values))
            }
            DataType::RunEndEncoded(_, values) => Self::new(&cast(array, values.data_type())?)?,
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                let offsets = list.value_offsets();
                Self::List(ranges(offsets.iter().map(|offset| *offset as usize)), nulls(), child(list.values())?)
            }
            DataType::LargeList(_) => {
                let list = array.as_list::<i64>();
                let offsets = list.value_offsets();
                Self::List(ranges(offsets.iter().map(|offset| *offset as usize)), nulls(), child(list.values())?)
            }
            DataType::FixedSizeList(_, size) => {
                let list = array.as_fixed_size_list();
                let size = *size as usize;
                let rows = (0..list.len()).map(|row| row * size..(row + 1) * size).collect();
                Self::List(rows, nulls(), child(list.values())?)
            }
            DataType::ListView(field) => Self::new(&cast(array, &DataType::List(field.clone()))?)?,
            DataType::LargeListView(field) => Self::new(&cast(array, &DataType::LargeList(field.clone()))?)?,
            DataType::Struct(fields) => {
                let columns = array.as_struct().columns();
                let cells =
                    fields.iter().zip(columns).map(|(field, column)| Ok((field.name().clone(), Self::new(column)?)));
                Self::Struct(cells.collect::<Result<_, ArrowError>>()?, nulls())
            }
            DataType::Map(..) => {
                let map = array.as_map();
                let offsets = map.value_offsets().iter().map(|offset| *offset as usize);
                Self::Map(ranges(offsets), nulls(), child(map.keys())?, child(map.values())?)
            }
            _ => {
                let formatter = ArrayFormatter::try_new(array.as_ref(), &FormatOptions::new())?;
                let text = |row| array.is_valid(row).then(|| formatter.value(row).try_to_string()).transpose();
                Self::Formatted((0..array.len()).map(text).collect::<Result<_, _>>()?)
            }
        })
    }

    /// The value of a row, `None` when it is null.
    #[inline]
    pub(crate) fn value(&self, row: usize) -> Result<Option<Value<'_>>, OutOfRange> {
        macro_rules! simple {
            ($array:ident, $value:expr) => {{
                if $array.is_null(row) {
                    return Ok(None);
                }
                #[allow(clippy::redundant_closure_call, reason = "the closure names the cell's value")]
                ($value)($array.value(row))
            }};
        }
        macro_rules! valid {
            ($nulls:ident) => {
                if $nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
                    return Ok(None);
                }
            };
        }
        Ok(Some(match self {
            Self::Null => return Ok(None),
            Self::Bool(array) => simple!(array, Value::Bool),
            Self::Int16(array) => simple!(array, |value| Value::Int(i64::from(value))),
            Self::Int32(array) => simple!(array, |value| Value::Int(i64::from(value))),
            Self::UInt32(array) => simple!(array, |value| Value::Int(i64::from(value))),
            Self::Int64(array) => simple!(array, Value::Int),
            Self::UInt64(array) => simple!(array, |value| Value::Decimal(i128::from(value), 0)),
            Self::Float32(array) => simple!(array, Value::Float4),
            Self::Float64(array) => simple!(array, Value::Float8),
            Self::Utf8(array) => simple!(array, Value::Text),
            Self::LargeUtf8(array) => simple!(array, Value::Text),
            Self::Utf8View(array) => simple!(array, Value::Text),
            Self::Binary(array) => simple!(array, Value::Bytes),
            Self::LargeBinary(array) => simple!(array, Value::Bytes),
            Self::BinaryView(array) => simple!(array, Value::Bytes),
            Self::FixedSizeBinary(array) => simple!(array, Value::Bytes),
            Self::Decimal128(array, scale) => simple!(array, |value| Value::Decimal(value, *scale)),
            Self::Decimal256(array, scale) => simple!(array, |value| Value::BigDecimal(value, *scale)),
            Self::Date32(values, nulls) => {
                valid!(nulls);
                Value::Date(values[row])
            }
            Self::Date64(values, nulls) => {
                valid!(nulls);
                let days = values[row].div_euclid(86_400_000);
                Value::Date(i32::try_from(days).map_err(|_| OutOfRange("date"))?)
            }
            Self::Time(values, nulls) => {
                valid!(nulls);
                Value::Time(values[row])
            }
            Self::Timestamp(values, nulls, unit, instant) => {
                valid!(nulls);
                let microseconds = microseconds(values[row], *unit).ok_or(OutOfRange("timestamp"))?;
                if *instant { Value::TimestampTz(microseconds) } else { Value::Timestamp(microseconds) }
            }
            Self::Duration(values, nulls, unit) => {
                valid!(nulls);
                let microseconds = microseconds(values[row], *unit).ok_or(OutOfRange("interval"))?;
                // What timestamps differ by; PostgreSQL has it in days and time.
                let days = i32::try_from(microseconds / MICROSECONDS_PER_DAY).map_err(|_| OutOfRange("interval"))?;
                Value::Interval(Interval { months: 0, days, microseconds: microseconds % MICROSECONDS_PER_DAY })
            }
            Self::IntervalYearMonth(values, nulls) => {
                valid!(nulls);
                Value::Interval(Interval { months: values[row], days: 0, microseconds: 0 })
            }
            Self::IntervalDayTime(values, nulls) => {
                valid!(nulls);
                let value = values[row];
                let microseconds = i64::from(value.milliseconds) * 1_000;
                Value::Interval(Interval { months: 0, days: value.days, microseconds })
            }
            Self::IntervalMonthDayNano(values, nulls) => {
                valid!(nulls);
                let value = values[row];
                let microseconds = value.nanoseconds / 1_000;
                Value::Interval(Interval { months: value.months, days: value.days, microseconds })
            }
            Self::Indexed(indices, nulls, values) => {
                valid!(nulls);
                return values.value(indices[row]);
            }
            Self::List(rows, nulls, values) => {
                valid!(nulls);
                Value::List(values, rows[row].start, rows[row].end)
            }
            Self::Struct(fields, nulls) => {
                valid!(nulls);
                Value::Struct(fields, row)
            }
            Self::Map(rows, nulls, keys, values) => {
                valid!(nulls);
                Value::Map(keys, values, rows[row].start, rows[row].end)
            }
            Self::Formatted(values) => match &values[row] {
                Some(text) => Value::Text(text),
                None => return Ok(None),
            },
        }))
    }
}

fn child(values: &ArrayRef) -> Result<Box<Cells>, ArrowError> {
    Ok(Box::new(Cells::new(values)?))
}

fn ranges(offsets: impl Iterator<Item = usize> + Clone) -> Vec<Range<usize>> {
    let ends = offsets.clone().skip(1);
    offsets.zip(ends).map(|(start, end)| start..end).collect()
}

/// The 64-bit integers under a timestamp or duration of any unit. Casting to Int64 copies nothing.
fn integers(array: &ArrayRef) -> Result<ScalarBuffer<i64>, ArrowError> {
    Ok(cast(array, &DataType::Int64)?.as_primitive::<Int64Type>().values().clone())
}

/// PostgreSQL counts microseconds; finer ones are cut off toward the past, so that order is kept.
fn microseconds(value: i64, unit: TimeUnit) -> Option<i64> {
    match unit {
        TimeUnit::Second => value.checked_mul(1_000_000),
        TimeUnit::Millisecond => value.checked_mul(1_000),
        TimeUnit::Microsecond => Some(value),
        TimeUnit::Nanosecond => Some(value.div_euclid(1_000)),
    }
}
