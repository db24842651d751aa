//! [`ScalarBuilder`]: text -> one column of typed values, with PostgreSQL's reading of literals and its errors.
//!
//! The errors here name the value and the type; who calls adds file, line and column.

use std::sync::Arc;

use arrow::array::{
    ArrayBuilder, ArrayRef, BinaryViewBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Float32Builder,
    Float64Builder, Int8Builder, Int16Builder, Int32Builder, Int64Builder, StringViewBuilder, Time64MicrosecondBuilder,
    TimestampMicrosecondBuilder,
};
use base64::Engine as _;
use limnos_catalog::DataType;

use super::datetime::{self, DateTimeFormat};
use crate::{Error, ErrorCode, Result};

/// Collects the values of one scalar column.
#[derive(Debug)]
pub enum ScalarBuilder {
    Boolean(BooleanBuilder),
    TinyInt(Int8Builder),
    SmallInt(Int16Builder),
    Int(Int32Builder),
    BigInt(Int64Builder),
    Float(Float32Builder),
    Double(Float64Builder),
    Decimal { values: Decimal128Builder, precision: u8, scale: u8 },
    String(StringViewBuilder),
    Binary(BinaryViewBuilder),
    Date { values: Date32Builder, format: Option<DateTimeFormat> },
    Time(Time64MicrosecondBuilder),
    Timestamp { values: TimestampMicrosecondBuilder, format: Option<DateTimeFormat> },
    TimestampTz { values: TimestampMicrosecondBuilder, format: Option<DateTimeFormat> },
}

impl ScalarBuilder {
    /// A builder for `data_type`, or `None` if it is nested. `format` is the strftime pattern of dates and timestamps
    /// that aren't written as ISO 8601.
    pub fn new(data_type: &DataType, format: Option<DateTimeFormat>) -> Option<Self> {
        Some(match data_type {
            DataType::Boolean => Self::Boolean(BooleanBuilder::new()),
            DataType::TinyInt => Self::TinyInt(Int8Builder::new()),
            DataType::SmallInt => Self::SmallInt(Int16Builder::new()),
            DataType::Int => Self::Int(Int32Builder::new()),
            DataType::BigInt => Self::BigInt(Int64Builder::new()),
            DataType::Float => Self::Float(Float32Builder::new()),
            DataType::Double => Self::Double(Float64Builder::new()),
            DataType::Decimal(precision, scale) => Self::Decimal {
                values: Decimal128Builder::new()
                    .with_data_type(arrow::datatypes::DataType::Decimal128(*precision, *scale as i8)),
                precision: *precision,
                scale: *scale,
            },
            DataType::String | DataType::Varchar(_) | DataType::Char(_) | DataType::Json => {
                Self::String(StringViewBuilder::new())
            }
            DataType::Binary => Self::Binary(BinaryViewBuilder::new()),
            DataType::Date => Self::Date { values: Date32Builder::new(), format },
            DataType::Time => Self::Time(Time64MicrosecondBuilder::new()),
            DataType::Timestamp => Self::Timestamp { values: TimestampMicrosecondBuilder::new(), format },
            DataType::TimestampTz => {
                Self::TimestampTz { values: TimestampMicrosecondBuilder::new().with_timezone("UTC"), format }
            }
            DataType::Array(_) | DataType::Map(..) | DataType::Struct(_) => return None,
        })
    }

    /// Whether text goes in as it is, the empty one too.
    pub fn is_text(&self) -> bool {
        matches!(self, Self::String(_) | Self::Binary(_))
    }

    /// Appends the value that `text` spells.
    ///
    /// # Errors
    /// 22P02, 22007 or 22003, in PostgreSQL's words.
    pub fn append_text(&mut self, text: &str) -> Result<()> {
        match self {
            Self::Boolean(values) => values.append_value(parse_boolean(text)?),
            Self::TinyInt(values) => values.append_value(parse_integer(text, "tinyint")?),
            Self::SmallInt(values) => values.append_value(parse_integer(text, "smallint")?),
            Self::Int(values) => values.append_value(parse_integer(text, "integer")?),
            Self::BigInt(values) => values.append_value(parse_integer(text, "bigint")?),
            Self::Float(values) => {
                let value = parse_double(text, "real")?;
                let narrow = value as f32;
                if narrow.is_infinite() && value.is_finite() {
                    return Err(out_of_range(text, "real"));
                }
                values.append_value(narrow);
            }
            Self::Double(values) => values.append_value(parse_double(text, "double precision")?),
            Self::Decimal { values, precision, scale } => {
                values.append_value(parse_decimal(text, *precision, *scale)?);
            }
            Self::String(values) => values.append_value(text),
            Self::Binary(values) => values.append_value(parse_binary(text)?),
            Self::Date { values, format } => values.append_value(match format {
                Some(format) => format.date(text)?,
                None => datetime::date(text)?,
            }),
            Self::Time(values) => values.append_value(datetime::time(text)?),
            Self::Timestamp { values, format } => values.append_value(match format {
                Some(format) => format.timestamp(text)?,
                None => datetime::timestamp(text)?,
            }),
            Self::TimestampTz { values, format } => values.append_value(match format {
                Some(format) => format.instant(text)?,
                None => datetime::instant(text)?,
            }),
        }
        Ok(())
    }

    /// How many values there are.
    pub fn value_count(&self) -> usize {
        match self {
            Self::Boolean(values) => values.len(),
            Self::TinyInt(values) => values.len(),
            Self::SmallInt(values) => values.len(),
            Self::Int(values) => values.len(),
            Self::BigInt(values) => values.len(),
            Self::Float(values) => values.len(),
            Self::Double(values) => values.len(),
            Self::Decimal { values, .. } => values.len(),
            Self::String(values) => values.len(),
            Self::Binary(values) => values.len(),
            Self::Date { values, .. } => values.len(),
            Self::Time(values) => values.len(),
            Self::Timestamp { values, .. } | Self::TimestampTz { values, .. } => values.len(),
        }
    }

    /// Appends a NULL.
    pub fn append_null(&mut self) {
        match self {
            Self::Boolean(values) => values.append_null(),
            Self::TinyInt(values) => values.append_null(),
            Self::SmallInt(values) => values.append_null(),
            Self::Int(values) => values.append_null(),
            Self::BigInt(values) => values.append_null(),
            Self::Float(values) => values.append_null(),
            Self::Double(values) => values.append_null(),
            Self::Decimal { values, .. } => values.append_null(),
            Self::String(values) => values.append_null(),
            Self::Binary(values) => values.append_null(),
            Self::Date { values, .. } => values.append_null(),
            Self::Time(values) => values.append_null(),
            Self::Timestamp { values, .. } | Self::TimestampTz { values, .. } => values.append_null(),
        }
    }

    /// The collected column; the builder starts over.
    pub fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Boolean(values) => Arc::new(values.finish()),
            Self::TinyInt(values) => Arc::new(values.finish()),
            Self::SmallInt(values) => Arc::new(values.finish()),
            Self::Int(values) => Arc::new(values.finish()),
            Self::BigInt(values) => Arc::new(values.finish()),
            Self::Float(values) => Arc::new(values.finish()),
            Self::Double(values) => Arc::new(values.finish()),
            Self::Decimal { values, .. } => Arc::new(values.finish()),
            Self::String(values) => Arc::new(values.finish()),
            Self::Binary(values) => Arc::new(values.finish()),
            Self::Date { values, .. } => Arc::new(values.finish()),
            Self::Time(values) => Arc::new(values.finish()),
            Self::Timestamp { values, .. } | Self::TimestampTz { values, .. } => Arc::new(values.finish()),
        }
    }
}

/// `invalid input syntax for type integer: "abc"`, 22P02.
pub fn invalid_syntax(text: &str, type_name: &str) -> Error {
    Error::new(
        ErrorCode::InvalidTextRepresentation,
        format!("invalid input syntax for type {type_name}: \"{}\"", shorten(text)),
    )
}

/// A value as an error quotes it: whole, or its beginning.
pub fn shorten(text: &str) -> String {
    match text.char_indices().nth(100) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

fn out_of_range(text: &str, type_name: &str) -> Error {
    Error::new(
        ErrorCode::NumericValueOutOfRange,
        format!("value \"{}\" is out of range for type {type_name}", shorten(text)),
    )
}

/// Reads PostgreSQL's spellings of a boolean.
fn parse_boolean(text: &str) -> Result<bool> {
    let trimmed = text.trim();
    for (names, value) in [(["true", "t", "yes", "y", "on", "1"], true), (["false", "f", "no", "n", "off", "0"], false)]
    {
        if names.iter().any(|name| trimmed.eq_ignore_ascii_case(name)) {
            return Ok(value);
        }
    }
    Err(invalid_syntax(text, "boolean"))
}

fn parse_integer<T: std::str::FromStr<Err = std::num::ParseIntError>>(text: &str, type_name: &str) -> Result<T> {
    use std::num::IntErrorKind;
    text.trim().parse().map_err(|error: std::num::ParseIntError| match error.kind() {
        IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => out_of_range(text, type_name),
        _ => invalid_syntax(text, type_name),
    })
}

fn parse_double(text: &str, type_name: &str) -> Result<f64> {
    let trimmed = text.trim();
    let value: f64 = trimmed.parse().map_err(|_| invalid_syntax(text, type_name))?;
    // Rust reads 1e999 as infinity; PostgreSQL takes infinity only where it is written.
    if value.is_infinite() && trimmed.bytes().any(|byte| byte.is_ascii_digit()) {
        return Err(out_of_range(text, type_name));
    }
    Ok(value)
}

/// Reads a decimal literal with optional exponent, rounding half away from zero at `scale`, as PostgreSQL does.
fn parse_decimal(text: &str, precision: u8, scale: u8) -> Result<i128> {
    let invalid = || invalid_syntax(text, "numeric");
    let overflow = || {
        Error::new(ErrorCode::NumericValueOutOfRange, "numeric field overflow").with_detail(format!(
            "The value \"{}\" does not fit into precision {precision}, scale {scale}.",
            shorten(text)
        ))
    };
    let trimmed = text.trim();
    let (negative, unsigned) = match trimmed.as_bytes().first() {
        Some(b'-') => (true, &trimmed[1..]),
        Some(b'+') => (false, &trimmed[1..]),
        _ => (false, trimmed),
    };
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => (&unsigned[..at], unsigned[at + 1..].parse::<i32>().map_err(|_| invalid())?),
        None => (unsigned, 0),
    };
    let (integer, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut digits = integer.bytes().chain(fraction.bytes());
    if (integer.is_empty() && fraction.is_empty()) || !digits.clone().all(|byte| byte.is_ascii_digit()) {
        return Err(invalid());
    }
    // How many of the digits stand before the cut at `scale`.
    let kept = i64::try_from(integer.len()).map_err(|_| invalid())? + i64::from(exponent) + i64::from(scale);
    let mut value: i128 = 0;
    let mut taken = 0i64;
    while taken < kept {
        let digit = match digits.next() {
            Some(byte) => i128::from(byte - b'0'),
            None if value == 0 => break,
            None => 0,
        };
        value = value.checked_mul(10).and_then(|value| value.checked_add(digit)).ok_or_else(overflow)?;
        taken += 1;
    }
    if kept >= 0 && taken == kept && digits.next().is_some_and(|byte| byte >= b'5') {
        value += 1;
    }
    if value >= 10i128.checked_pow(u32::from(precision)).unwrap_or(i128::MAX) {
        return Err(overflow());
    }
    Ok(if negative { -value } else { value })
}

/// Reads `\x` and hexadecimal digits as PostgreSQL writes them, else base64 as Hive does.
fn parse_binary(text: &str) -> Result<Vec<u8>> {
    if let Some(hex) = text.strip_prefix("\\x") {
        let digits: Option<Vec<u8>> = hex.chars().map(|c| c.to_digit(16).map(|digit| digit as u8)).collect();
        return match digits {
            Some(digits) if digits.len().is_multiple_of(2) => {
                Ok(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
            }
            _ => Err(invalid_syntax(text, "bytea")),
        };
    }
    base64::engine::general_purpose::STANDARD.decode(text.trim()).map_err(|_| {
        invalid_syntax(text, "bytea").with_hint("Binary values are read as base64, or as \\x and hexadecimal digits.")
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use arrow::util::display::array_value_to_string;

    use super::*;

    fn check(data_type: &DataType, text: &str) -> String {
        let mut builder = ScalarBuilder::new(data_type, None).unwrap();
        match builder.append_text(text) {
            Ok(()) => array_value_to_string(&builder.finish(), 0).unwrap(),
            Err(error) => format!("{} {}", error.code.sqlstate(), error.message),
        }
    }

    #[test]
    fn literals_are_read_as_postgresql_reads_them() {
        let decimal = DataType::Decimal(5, 2);
        for (data_type, text, expected) in [
            (&DataType::Boolean, "T", "true"),
            (&DataType::Boolean, "off", "false"),
            (&DataType::Boolean, "2", "22P02 invalid input syntax for type boolean: \"2\""),
            (&DataType::Int, " 42 ", "42"),
            (&DataType::Int, "+7", "7"),
            (&DataType::Int, "abc", "22P02 invalid input syntax for type integer: \"abc\""),
            (&DataType::Int, "3000000000", "22003 value \"3000000000\" is out of range for type integer"),
            (&DataType::TinyInt, "-129", "22003 value \"-129\" is out of range for type tinyint"),
            (&DataType::BigInt, "-9223372036854775808", "-9223372036854775808"),
            (&DataType::Double, ".097", "0.097"),
            (&DataType::Double, "NaN", "NaN"),
            (&DataType::Double, "1e999", "22003 value \"1e999\" is out of range for type double precision"),
            (&decimal, "1.005", "1.01"),
            (&decimal, "-1.005", "-1.01"),
            (&decimal, "0.004", "0.00"),
            (&decimal, "0.0004", "0.00"),
            (&decimal, "1.2e2", "120.00"),
            (&decimal, "5e-3", "0.01"),
            (&decimal, "5e-9", "0.00"),
            (&decimal, "0e99", "0.00"),
            (&decimal, "999.995", "22003 numeric field overflow"),
            (&decimal, "1e2000000000", "22003 numeric field overflow"),
            (&decimal, "1.2.3", "22P02 invalid input syntax for type numeric: \"1.2.3\""),
            (&decimal, ".", "22P02 invalid input syntax for type numeric: \".\""),
            (&DataType::Binary, "\\x00ff", "00ff"),
            (&DataType::Binary, "AP8=", "00ff"),
        ] {
            assert_eq!(check(data_type, text), expected, "{data_type:?} {text}");
        }
    }
}
