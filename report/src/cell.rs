//! [`Cell`]: one value, as what every document shows.

use std::fmt::Write as _;

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Decimal256Array, PrimitiveArray, RecordBatch};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Date64Type, Decimal32Type, Decimal64Type, Float16Type, Float32Type,
    Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};
use arrow::temporal_conversions::{as_date, as_datetime};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use chrono::{DateTime, NaiveDate, NaiveDateTime, SubsecRound, TimeZone, Utc};
use chrono_tz::Tz;

use crate::Result;

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// None.
    Null,
    /// True or false.
    Boolean(bool),
    /// A number: its digits, exactly, and about how much it is.
    Number {
        /// `-12.50`.
        text: String,
        /// The nearest binary number; not finite where the text isn't.
        value: f64,
    },
    /// A day.
    Date(NaiveDate),
    /// A time of a day, in the document's zone where it is an instant.
    Timestamp(NaiveDateTime),
    /// Anything else.
    Text(String),
}

impl Cell {
    /// How much it is.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Number { value, .. } if value.is_finite() => Some(*value),
            _ => None,
        }
    }

    /// When it is, in seconds since 1970.
    pub fn seconds(&self) -> Option<f64> {
        let moment = match self {
            Self::Date(date) => date.and_hms_opt(0, 0, 0)?,
            Self::Timestamp(moment) => *moment,
            _ => return None,
        };
        let moment = moment.and_utc();
        Some(moment.timestamp() as f64 + f64::from(moment.timestamp_subsec_micros()) / 1e6)
    }

    /// As plain text; NULL is `NULL`.
    pub fn text(&self) -> String {
        match self {
            Self::Null => "NULL".to_owned(),
            Self::Boolean(value) => value.to_string(),
            Self::Number { text, .. } | Self::Text(text) => text.clone(),
            Self::Date(date) => date.format("%Y-%m-%d").to_string(),
            Self::Timestamp(moment) => timestamp_text(*moment),
        }
    }
}

/// Without a fraction that is nothing.
fn timestamp_text(moment: NaiveDateTime) -> String {
    let text = moment.trunc_subsecs(6).format("%Y-%m-%d %H:%M:%S%.6f").to_string();
    match text.split_once('.') {
        Some(_) => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        None => text,
    }
}

/// Reads the values of one column of a batch.
pub struct Column {
    array: ArrayRef,
    zone: Tz,
}

impl Column {
    /// Column `index` of `batch`; instants are told in `zone`.
    ///
    /// # Errors
    /// A dictionary that arrow can't unpack.
    pub fn of(batch: &RecordBatch, index: usize, zone: Tz) -> Result<Self> {
        Self::new(batch.column(index), zone)
    }

    fn new(array: &ArrayRef, zone: Tz) -> Result<Self> {
        let array = match array.data_type() {
            DataType::Dictionary(_, value) => arrow::compute::cast(array, value)?,
            _ => ArrayRef::clone(array),
        };
        Ok(Self { array, zone })
    }

    /// All columns of `batch`.
    ///
    /// # Errors
    /// As [`Self::of`].
    pub fn all(batch: &RecordBatch, zone: Tz) -> Result<Vec<Self>> {
        batch.columns().iter().map(|array| Self::new(array, zone)).collect()
    }

    /// The value in `row`.
    ///
    /// # Errors
    /// One that arrow can't show.
    pub fn cell(&self, row: usize) -> Result<Cell> {
        let array = self.array.as_ref();
        if array.is_null(row) || array.data_type() == &DataType::Null {
            return Ok(Cell::Null);
        }
        Ok(match array.data_type() {
            DataType::Boolean => Cell::Boolean(array.as_boolean().value(row)),
            DataType::Int8 => integer::<Int8Type>(array, row),
            DataType::Int16 => integer::<Int16Type>(array, row),
            DataType::Int32 => integer::<Int32Type>(array, row),
            DataType::Int64 => integer::<Int64Type>(array, row),
            DataType::UInt8 => integer::<UInt8Type>(array, row),
            DataType::UInt16 => integer::<UInt16Type>(array, row),
            DataType::UInt32 => integer::<UInt32Type>(array, row),
            DataType::UInt64 => integer::<UInt64Type>(array, row),
            DataType::Float16 => float(f64::from(primitive::<Float16Type>(array, row)), None),
            DataType::Float32 => {
                let value = primitive::<Float32Type>(array, row);
                float(f64::from(value), Some(value.to_string()))
            }
            DataType::Float64 => float(primitive::<Float64Type>(array, row), None),
            DataType::Decimal32(..) => decimal(array.as_primitive::<Decimal32Type>().value_as_string(row)),
            DataType::Decimal64(..) => decimal(array.as_primitive::<Decimal64Type>().value_as_string(row)),
            DataType::Decimal128(..) => {
                let array: &Decimal128Array = array.as_primitive();
                decimal(array.value_as_string(row))
            }
            DataType::Decimal256(..) => {
                let array: &Decimal256Array = array.as_primitive();
                decimal(array.value_as_string(row))
            }
            DataType::Utf8 => Cell::Text(array.as_string::<i32>().value(row).to_owned()),
            DataType::LargeUtf8 => Cell::Text(array.as_string::<i64>().value(row).to_owned()),
            DataType::Utf8View => Cell::Text(array.as_string_view().value(row).to_owned()),
            DataType::Binary => Cell::Text(hex(array.as_binary::<i32>().value(row))),
            DataType::LargeBinary => Cell::Text(hex(array.as_binary::<i64>().value(row))),
            DataType::BinaryView => Cell::Text(hex(array.as_binary_view().value(row))),
            DataType::FixedSizeBinary(_) => Cell::Text(hex(array.as_fixed_size_binary().value(row))),
            DataType::Date32 => {
                let days = i64::from(primitive::<Date32Type>(array, row));
                as_date::<Date32Type>(days).map_or_else(|| beyond(days, i32::MIN.into(), i32::MAX.into()), Cell::Date)
            }
            DataType::Date64 => {
                let value = primitive::<Date64Type>(array, row);
                as_date::<Date64Type>(value).map_or_else(|| beyond(value, i64::MIN, i64::MAX), Cell::Date)
            }
            DataType::Timestamp(unit, zone) => {
                let moment = match unit {
                    TimeUnit::Second => moment::<TimestampSecondType>(array, row),
                    TimeUnit::Millisecond => moment::<TimestampMillisecondType>(array, row),
                    TimeUnit::Microsecond => moment::<TimestampMicrosecondType>(array, row),
                    TimeUnit::Nanosecond => moment::<TimestampNanosecondType>(array, row),
                };
                match (moment, zone) {
                    (Some(moment), None) => Cell::Timestamp(moment),
                    (Some(moment), Some(_)) => Cell::Timestamp(self.zone.from_utc_datetime(&moment).naive_local()),
                    (None, _) => {
                        let count = arrow::compute::cast(&self.array.slice(row, 1), &DataType::Int64)?;
                        beyond(count.as_primitive::<Int64Type>().value(0), i64::MIN, i64::MAX)
                    }
                }
            }
            _ => self.shown(row)?,
        })
    }

    /// As arrow shows it.
    fn shown(&self, row: usize) -> Result<Cell> {
        let options = FormatOptions::new().with_null("NULL");
        let formatter = ArrayFormatter::try_new(self.array.as_ref(), &options)?;
        Ok(Cell::Text(formatter.value(row).try_to_string()?))
    }
}

fn primitive<T: ArrowPrimitiveType>(array: &dyn Array, row: usize) -> T::Native {
    let array: &PrimitiveArray<T> = array.as_primitive();
    array.value(row)
}

#[allow(clippy::cast_precision_loss, reason = "the text is exact")]
fn integer<T: ArrowPrimitiveType>(array: &dyn Array, row: usize) -> Cell
where
    T::Native: ToString,
{
    let text = primitive::<T>(array, row).to_string();
    let value = text.parse().unwrap_or(f64::NAN);
    Cell::Number { text, value }
}

fn float(value: f64, text: Option<String>) -> Cell {
    let text = if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned()
    } else if value != 0.0 && !(1e-5..1e15).contains(&value.abs()) {
        format!("{value:e}")
    } else {
        text.unwrap_or_else(|| value.to_string())
    };
    Cell::Number { text, value }
}

fn decimal(text: String) -> Cell {
    let value = text.parse().unwrap_or(f64::NAN);
    Cell::Number { text, value }
}

fn moment<T: arrow::datatypes::ArrowTimestampType>(array: &dyn Array, row: usize) -> Option<NaiveDateTime> {
    as_datetime::<T>(primitive::<T>(array, row))
}

/// A moment that has no calendar's date: the ends of the scale are PostgreSQL's infinities, of others there is only the count.
fn beyond(count: i64, least: i64, most: i64) -> Cell {
    Cell::Text(match count {
        count if count == most => "infinity".to_owned(),
        count if count == least => "-infinity".to_owned(),
        count => count.to_string(),
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold("\\x".to_owned(), |mut text, byte| {
        // Writing to a String can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// An instant for people, in `zone`, with the zone's name.
pub fn instant_text(instant: DateTime<Utc>, zone: Tz) -> String {
    format!("{} {zone}", instant.with_timezone(&zone).format("%Y-%m-%d %H:%M:%S"))
}

/// A number's digits in groups of three; a long fraction of a binary number is rounded to six digits.
pub fn grouped(text: &str) -> String {
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |digits| ("-", digits));
    if !digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return text.to_owned();
    }
    let (whole, fraction) = digits.split_once('.').map_or((digits, None), |(whole, part)| (whole, Some(part)));
    let mut out = sign.to_owned();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    if let Some(fraction) = fraction {
        out.push('.');
        out.push_str(fraction);
    }
    out
}

/// `12.3k`, `4.5M`: a number where there is little room.
pub fn compact(value: f64) -> String {
    let magnitude = value.abs();
    for (unit, name) in [(1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")] {
        if magnitude >= unit * if unit < 1e6 { 10.0 } else { 1.0 } {
            return format!("{}{name}", trimmed(value / unit, 2));
        }
    }
    if magnitude >= 1.0 || value == 0.0 { grouped(&trimmed(value, 2)) } else { trimmed(value, 4) }
}

/// `value` with at most `digits` of a fraction.
pub fn trimmed(value: f64, digits: usize) -> String {
    if value != 0.0 && value.abs() < 0.5 * 10f64.powi(-i32::try_from(digits).unwrap_or(0)) {
        return format!("{value:.1e}");
    }
    let text = format!("{value:.digits$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}
