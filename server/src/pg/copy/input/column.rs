//! [`ColumnReader`]: the values of one column, text or binary -> an Arrow array.
//!
//! What is spelled as PostgreSQL itself writes it goes straight into the engine's [`ScalarBuilder`], without an allocation for
//! a value; every other spelling, and all that is wrong, goes through the reader of bound parameters, which knows them all.

use arrow::array::{Array, ArrayRef, AsArray, new_empty_array, new_null_array};
use arrow::compute::concat;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Field, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    Time64MicrosecondType, TimestampMicrosecondType,
};
use bytes::Bytes;
use limnos_catalog::{Column, DataType as CatalogType};
use limnos_engine::input::InputContext;
use limnos_engine::scan::format::scalar::ScalarBuilder;
use limnos_engine::{Error, ErrorCode, Result};

use crate::pg::encode::Format;
use crate::pg::parameter::{self, utf8};
use crate::pg::types::{PgType, Shape};

/// See the module.
pub(super) struct ColumnReader {
    pub(super) name: String,
    values: Values,
    data_type: DataType,
    oid: u32,
    /// Whether the text must be JSON.
    is_json: bool,
    /// What instants without an offset are in.
    context: InputContext,
}

enum Values {
    Scalar(Box<ScalarBuilder>),
    /// Arrays, each of one value.
    Single(Vec<ArrayRef>),
}

impl ColumnReader {
    /// # Errors
    /// `0A000` for a type that has no form a client could send.
    pub(super) fn new(column: &Column, field: &Field, context: &InputContext) -> Result<Self> {
        let shape = PgType::of(field).shape;
        let values = match ScalarBuilder::new(&column.data_type, None) {
            Some(builder) => Values::Scalar(Box::new(builder)),
            None if matches!(shape, Shape::Array(_)) => Values::Single(Vec::new()),
            None => {
                let (name, data_type) = (&column.name, &column.data_type);
                let message = format!("COPY FROM into column \"{name}\" of type {data_type} is not supported");
                return Err(
                    Error::unsupported(message).with_hint("Leave the column out, or write its rows with INSERT.")
                );
            }
        };
        Ok(Self {
            name: column.name.clone(),
            values,
            data_type: field.data_type().clone(),
            oid: PgType::of(field).oid(),
            is_json: column.data_type == CatalogType::Json,
            context: *context,
        })
    }

    /// The collected values; the reader starts over.
    pub(super) fn finish(&mut self) -> Result<ArrayRef> {
        match &mut self.values {
            Values::Scalar(builder) => Ok(builder.finish()),
            Values::Single(arrays) if arrays.is_empty() => Ok(new_empty_array(&self.data_type)),
            Values::Single(arrays) => {
                let arrays = std::mem::take(arrays);
                let arrays: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
                concat(&arrays).map_err(|error| Error::internal(error.to_string()))
            }
        }
    }

    pub(super) fn null(&mut self) {
        match &mut self.values {
            Values::Scalar(builder) => builder.append_null(),
            Values::Single(arrays) => arrays.push(new_null_array(&self.data_type, 1)),
        }
    }

    /// Reads a value as the type's input function does. Nothing is added if it is wrong.
    ///
    /// # Errors
    /// `22P02`, `22003`, `22007`, `22008`.
    pub(super) fn text(&mut self, text: &str) -> Result<()> {
        if let Values::Scalar(builder) = &mut self.values {
            let read = match builder.as_mut() {
                ScalarBuilder::String(_) if self.is_json && !is_json(text) => {
                    return Err(Error::new(ErrorCode::InvalidTextRepresentation, "invalid input syntax for type json"));
                }
                ScalarBuilder::String(_) => builder.append_text(text),
                // Unicode's spaces aren't PostgreSQL's.
                _ if !text.is_ascii() => self.parameter(text),
                ScalarBuilder::TinyInt(_)
                | ScalarBuilder::SmallInt(_)
                | ScalarBuilder::Int(_)
                | ScalarBuilder::BigInt(_) => builder.append_text(text),
                ScalarBuilder::Decimal { precision, scale, .. } => {
                    let (precision, scale) = (*precision, *scale);
                    builder.append_text(text).map_err(|error| overflow(error, precision, scale))
                }
                // By way of a double it would be rounded twice.
                ScalarBuilder::Float(values) => float(
                    text,
                    "real",
                    |text| text.parse().ok(),
                    |value: f32| value == 0.0,
                    |value| value.is_infinite(),
                )
                .map(|value| values.append_value(value)),
                ScalarBuilder::Double(values) => float(
                    text,
                    "double precision",
                    |text| text.parse().ok(),
                    |value: f64| value == 0.0,
                    |value| value.is_infinite(),
                )
                .map(|value| values.append_value(value)),
                ScalarBuilder::Boolean(values) if matches!(text, "t" | "f") => {
                    values.append_value(text == "t");
                    Ok(())
                }
                ScalarBuilder::Binary(_) if is_hex(text) => builder.append_text(text),
                ScalarBuilder::Date { .. } if is_date(text.as_bytes()) => builder.append_text(text),
                ScalarBuilder::Time(_) if is_time(text.as_bytes()) => builder.append_text(text),
                ScalarBuilder::Timestamp { .. } if is_timestamp(text.as_bytes()) => builder.append_text(text),
                ScalarBuilder::TimestampTz { .. } if is_instant(text.as_bytes()) => builder.append_text(text),
                _ => self.parameter(text),
            };
            // What is wrong is told in the words of the parameters' reader, where it finds it wrong, too.
            return match read {
                Err(_) if is_moment(&self.data_type) => self.parameter(text),
                read => read,
            };
        }
        self.parameter(text)
    }

    fn parameter(&mut self, text: &str) -> Result<()> {
        let bytes = Bytes::copy_from_slice(text.as_bytes());
        let array = parameter::decode(Some(&bytes), Format::Text, self.oid, &self.data_type, &self.context)?;
        self.append(&parameter::cast_to(&array, &self.data_type)?)
    }

    /// Reads a value as the type's receive function does. Nothing is added if it is wrong.
    ///
    /// # Errors
    /// `22P03`, `22021` and those of the type.
    pub(super) fn binary(&mut self, bytes: &Bytes) -> Result<()> {
        if let Values::Scalar(builder) = &mut self.values {
            let array = bytes.as_ref();
            match builder.as_mut() {
                ScalarBuilder::String(_) if self.is_json && !is_json(utf8(array)?) => {
                    return Err(Error::new(ErrorCode::InvalidTextRepresentation, "invalid input syntax for type json"));
                }
                ScalarBuilder::String(values) => values.append_value(utf8(array)?),
                ScalarBuilder::Binary(values) => values.append_value(array),
                ScalarBuilder::Boolean(values) => match array {
                    [byte] => values.append_value(*byte != 0),
                    _ => return Err(incorrect_binary()),
                },
                ScalarBuilder::TinyInt(values) => {
                    let value = i16::from_be_bytes(exactly(array)?);
                    values.append_value(i8::try_from(value).map_err(|_| {
                        let message = format!("value \"{value}\" is out of range for type tinyint");
                        Error::new(ErrorCode::NumericValueOutOfRange, message)
                    })?);
                }
                ScalarBuilder::SmallInt(values) => values.append_value(i16::from_be_bytes(exactly(array)?)),
                ScalarBuilder::Int(values) => values.append_value(i32::from_be_bytes(exactly(array)?)),
                ScalarBuilder::BigInt(values) => values.append_value(i64::from_be_bytes(exactly(array)?)),
                ScalarBuilder::Float(values) => values.append_value(f32::from_be_bytes(exactly(array)?)),
                ScalarBuilder::Double(values) => values.append_value(f64::from_be_bytes(exactly(array)?)),
                _ => return self.binary_parameter(bytes),
            }
            return Ok(());
        }
        self.binary_parameter(bytes)
    }

    fn binary_parameter(&mut self, bytes: &Bytes) -> Result<()> {
        let array = parameter::decode(Some(bytes), Format::Binary, self.oid, &self.data_type, &self.context);
        let array = array.map_err(|error| match (error.code, &self.data_type) {
            (ErrorCode::ProtocolViolation, _) => incorrect_binary(),
            (_, DataType::Decimal128(precision, scale)) => overflow(error, *precision, scale.unsigned_abs()),
            _ => error,
        })?;
        self.append(&parameter::cast_to(&array, &self.data_type)?)
    }

    /// Adds the one value of an array of the column's type.
    fn append(&mut self, array: &ArrayRef) -> Result<()> {
        let builder = match &mut self.values {
            Values::Single(arrays) => {
                arrays.push(array.clone());
                return Ok(());
            }
            Values::Scalar(builder) => builder,
        };
        let is_of_type = array.data_type() == &self.data_type && array.len() == 1;
        if !is_of_type {
            return Err(Error::internal(format!("{} was read as {}", self.data_type, array.data_type())));
        }
        if array.is_null(0) {
            builder.append_null();
            return Ok(());
        }
        match builder.as_mut() {
            ScalarBuilder::Boolean(values) => values.append_value(array.as_boolean().value(0)),
            ScalarBuilder::TinyInt(values) => values.append_value(array.as_primitive::<Int8Type>().value(0)),
            ScalarBuilder::SmallInt(values) => values.append_value(array.as_primitive::<Int16Type>().value(0)),
            ScalarBuilder::Int(values) => values.append_value(array.as_primitive::<Int32Type>().value(0)),
            ScalarBuilder::BigInt(values) => values.append_value(array.as_primitive::<Int64Type>().value(0)),
            ScalarBuilder::Float(values) => values.append_value(array.as_primitive::<Float32Type>().value(0)),
            ScalarBuilder::Double(values) => values.append_value(array.as_primitive::<Float64Type>().value(0)),
            ScalarBuilder::Decimal { values, .. } => {
                values.append_value(array.as_primitive::<Decimal128Type>().value(0));
            }
            ScalarBuilder::String(values) => values.append_value(array.as_string_view().value(0)),
            ScalarBuilder::Binary(values) => values.append_value(array.as_binary_view().value(0)),
            ScalarBuilder::Date { values, .. } => values.append_value(array.as_primitive::<Date32Type>().value(0)),
            ScalarBuilder::Time(values) => values.append_value(array.as_primitive::<Time64MicrosecondType>().value(0)),
            ScalarBuilder::Timestamp { values, .. } | ScalarBuilder::TimestampTz { values, .. } => {
                values.append_value(array.as_primitive::<TimestampMicrosecondType>().value(0));
            }
        }
        Ok(())
    }
}

fn is_moment(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Date32 | DataType::Time64(_) | DataType::Timestamp(..))
}

fn exactly<const N: usize>(bytes: &[u8]) -> Result<[u8; N]> {
    bytes.try_into().map_err(|_| match bytes.len() < N {
        true => Error::new(ErrorCode::ProtocolViolation, "insufficient data left in message"),
        false => incorrect_binary(),
    })
}

fn incorrect_binary() -> Error {
    Error::new(ErrorCode::InvalidBinaryRepresentation, "incorrect binary data format")
}

/// PostgreSQL's words for a number that its column has no room for.
fn overflow(error: Error, precision: u8, scale: u8) -> Error {
    if error.code != ErrorCode::NumericValueOutOfRange {
        return error;
    }
    let (digits, before) = (precision - precision.min(scale), if precision > scale { "10^" } else { "" });
    let below = if precision > scale { format!("{before}{digits}") } else { "1".to_owned() };
    Error::new(ErrorCode::NumericValueOutOfRange, "numeric field overflow").with_detail(format!(
        "A field with precision {precision}, scale {scale} must round to an absolute value less than {below}."
    ))
}

/// A float as `strtod` reads it: what is too large or too small for the type is an error, not infinity or zero.
fn float<T: Copy>(
    text: &str,
    type_name: &str,
    parse: impl Fn(&str) -> Option<T>,
    is_zero: impl Fn(T) -> bool,
    is_infinite: impl Fn(T) -> bool,
) -> Result<T> {
    let trimmed = text.trim_matches([' ', '\t', '\n', '\r', '\u{b}', '\u{c}']);
    let Some(value) = parse(trimmed) else {
        let message = format!("invalid input syntax for type {type_name}: \"{text}\"");
        return Err(Error::new(ErrorCode::InvalidTextRepresentation, message));
    };
    let has_digit = |digits: &[u8]| trimmed.bytes().any(|byte| digits.contains(&byte));
    let is_lost = (is_infinite(value) && has_digit(b"0123456789"))
        || (is_zero(value)
            && trimmed.bytes().take_while(|byte| !matches!(byte, b'e' | b'E')).any(|b| matches!(b, b'1'..=b'9')));
    if is_lost {
        let message = format!("\"{text}\" is out of range for type {type_name}");
        return Err(Error::new(ErrorCode::NumericValueOutOfRange, message));
    }
    Ok(value)
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

/// `\x00ff`, with nothing in between.
fn is_hex(text: &str) -> bool {
    text.strip_prefix("\\x").is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Whether `text` has digits where `pattern` has `0`, and else its bytes.
fn fits(text: &[u8], pattern: &[u8]) -> bool {
    text.len() == pattern.len()
        && text.iter().zip(pattern).all(|(byte, wanted)| match wanted {
            b'0' => byte.is_ascii_digit(),
            wanted => byte == wanted,
        })
}

/// `2024-01-31`, of a year that there was.
fn is_date(text: &[u8]) -> bool {
    fits(text, b"0000-00-00") && &text[..4] != b"0000"
}

/// `04:05:06` with up to six digits behind a point.
fn is_time(text: &[u8]) -> bool {
    text.len() >= 8
        && fits(&text[..8], b"00:00:00")
        && &text[6..8] != b"60"
        && (text.len() == 8
            || (text[8] == b'.' && (10..=15).contains(&text.len()) && text[9..].iter().all(u8::is_ascii_digit)))
}

fn is_timestamp(text: &[u8]) -> bool {
    text.len() >= 19 && is_date(&text[..10]) && matches!(text[10], b' ' | b'T') && is_time(&text[11..])
}

/// A timestamp with an offset of hours, or of hours and minutes.
fn is_instant(text: &[u8]) -> bool {
    let Some(sign) = text.iter().rposition(|byte| matches!(byte, b'+' | b'-')).filter(|sign| *sign >= 19) else {
        return false;
    };
    let offset = &text[sign + 1..];
    (fits(offset, b"00") || fits(offset, b"00:00")) && is_timestamp(&text[..sign])
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    fn in_zone(zone: &str) -> InputContext {
        InputContext { zone: limnos_engine::session::Zone::of_setting(zone), ..InputContext::default() }
    }

    use arrow::util::display::array_value_to_string;
    use limnos_engine::scan::schema::arrow_field;

    use super::*;

    fn read(data_type: &str, text: &str) -> String {
        let column = Column::new("c", data_type.parse().unwrap());
        let field = arrow_field("c", &column.data_type);
        let mut reader = ColumnReader::new(&column, &field, &in_zone("Europe/Berlin")).unwrap();
        match reader.text(text) {
            Ok(()) => array_value_to_string(&reader.finish().unwrap(), 0).unwrap(),
            Err(error) => {
                assert_eq!(reader.finish().unwrap().len(), 0, "nothing is added");
                format!("{} {}", error.code.sqlstate(), error.message)
            }
        }
    }

    #[test]
    fn values_are_read_as_postgresql_reads_them() {
        for (data_type, text, expected) in [
            ("int", " 42 ", "42"),
            ("int", "x", "22P02 invalid input syntax for type integer: \"x\""),
            ("int", "", "22P02 invalid input syntax for type integer: \"\""),
            ("int", "\u{a0}1", "22P02 invalid input syntax for type integer: \"\u{a0}1\""),
            ("int", "3000000000", "22003 value \"3000000000\" is out of range for type integer"),
            ("tinyint", "200", "22003 value \"200\" is out of range for type tinyint"),
            ("boolean", "t", "true"),
            ("boolean", "of", "false"),
            ("boolean", "o", "22P02 invalid input syntax for type boolean: \"o\""),
            ("float", "0.1", "0.1"),
            ("float", "1e40", "22003 \"1e40\" is out of range for type real"),
            ("float", "1e-60", "22003 \"1e-60\" is out of range for type real"),
            ("double", "-0", "-0.0"),
            ("double", "1e-400", "22003 \"1e-400\" is out of range for type double precision"),
            ("double", "Infinity", "inf"),
            ("double", "", "22P02 invalid input syntax for type double precision: \"\""),
            ("decimal(5,2)", "1.005", "1.01"),
            ("decimal(5,2)", "1000", "22003 numeric field overflow"),
            ("string", " a ", " a "),
            ("binary", "\\x0aFF", "0aff"),
            ("binary", "a\\\\\\001", "615c01"),
            ("date", "2024-02-29", "2024-02-29"),
            ("date", "2023-02-29", "22007 invalid input syntax for type date: \"2023-02-29\""),
            ("timestamp", "2024-01-01 10:00:00.5", "2024-01-01T10:00:00.500"),
            ("timestamptz", "2024-01-01 10:00:00+02", "2024-01-01T08:00:00Z"),
            ("timestamptz", "2024-01-01 10:00:00", "2024-01-01T09:00:00Z"),
            ("json", "{\"a\": [1]}", "{\"a\": [1]}"),
            ("json", "{a}", "22P02 invalid input syntax for type json"),
            ("array<int>", "{1,NULL}", "[1, ]"),
        ] {
            let read = read(data_type, text);
            // What a date out of range is called is the parameters' affair.
            let is_same = read == expected || (expected.starts_with("2200") && read.starts_with("2200"));
            assert!(is_same, "{data_type} {text:?}: {read} instead of {expected}");
        }
    }

    #[test]
    fn what_has_no_form_is_refused() {
        let column = Column::new("m", "map<string,int>".parse().unwrap());
        let field = arrow_field("m", &column.data_type);
        assert_eq!(
            ColumnReader::new(&column, &field, &in_zone("UTC")).err().unwrap().code,
            ErrorCode::FeatureNotSupported
        );
    }
}
