//! Casts that PostgreSQL means differently than Arrow does. An analyzer rule comes by each `CAST` of a settled plan; where
//! Arrow would truncate, wrap or write another text, our own function takes the cast's place:
//! - numbers to integers are rounded (`numeric` half away from zero, `double precision` half to even), and out of range is
//!   `22003`;
//! - floats, timestamps, intervals, arrays and rows become the text that PostgreSQL shows ([`crate::encode::text`]);
//! - text becomes `bytea` (`\x00ff`), an array (`{1,2}`) or `numeric` (`1e3`) as PostgreSQL reads it.
//!
//! All other casts stay, and with them what the optimizer knows of casts.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryBuilder, Decimal128Builder, Int64Builder, ListArray, StringBuilder, new_null_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::{DataType, Decimal128Type, Field, Float64Type};
use arrow::util::display::FormatOptions;
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

use super::row_function::failure;
use crate::encode::text::write_text;
use crate::{Error, ErrorCode};

/// Whether the cast is ours.
pub(super) fn applies(from: &DataType, to: &DataType) -> bool {
    match (from, to) {
        (from, to) if to.is_integer() => from.is_floating() || matches!(from, DataType::Decimal128(..)),
        (from, DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8) => {
            from.is_floating()
                || from.is_list()
                || matches!(
                    from,
                    DataType::Timestamp(..)
                        | DataType::Date32
                        | DataType::Time64(_)
                        | DataType::Interval(_)
                        | DataType::Duration(_)
                        | DataType::Struct(_)
                )
        }
        (from, DataType::Binary | DataType::BinaryView | DataType::LargeBinary | DataType::Decimal128(..)) => {
            from.is_string()
        }
        (from, DataType::List(item)) => from.is_string() && is_flat(item.data_type()),
        _ => false,
    }
}

fn is_flat(data_type: &DataType) -> bool {
    !data_type.is_nested() && !data_type.is_binary()
}

/// The function that casts to `target`.
pub(super) fn function(target: DataType) -> ScalarUDF {
    ScalarUDF::from(Conversion { target, signature: Signature::any(1, Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Conversion {
    target: DataType,
    signature: Signature,
}

impl ScalarUDFImpl for Conversion {
    fn name(&self) -> &str {
        "convert_value"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(self.target.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [value] = args.args.as_slice() else { return exec_err!("a cast takes one argument") };
        match value {
            ColumnarValue::Array(array) => Ok(ColumnarValue::Array(convert(array, &self.target)?)),
            ColumnarValue::Scalar(scalar) => {
                let array = convert(&scalar.to_array()?, &self.target)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?))
            }
        }
    }
}

fn convert(array: &ArrayRef, target: &DataType) -> Result<ArrayRef> {
    let from = array.data_type();
    match target {
        _ if from.is_null() => Ok(new_null_array(target, array.len())),
        to if to.is_integer() => to_integers(array, to),
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => {
            let mut texts = StringBuilder::with_capacity(array.len(), array.len() * 8);
            let mut text = String::new();
            for row in 0..array.len() {
                if array.is_null(row) {
                    texts.append_null();
                } else {
                    text.clear();
                    write_text(array, row, &mut text);
                    texts.append_value(&text);
                }
            }
            Ok(cast(&texts.finish(), target)?)
        }
        DataType::Binary | DataType::BinaryView | DataType::LargeBinary => {
            let mut bytes = BinaryBuilder::with_capacity(array.len(), array.len() * 8);
            for text in cast(array, &DataType::Utf8)?.as_string::<i32>() {
                match text {
                    Some(text) => bytes.append_value(read_bytes(text).map_err(failure)?),
                    None => bytes.append_null(),
                }
            }
            Ok(cast(&bytes.finish(), target)?)
        }
        DataType::Decimal128(precision, scale) => {
            let mut numbers =
                Decimal128Builder::with_capacity(array.len()).with_precision_and_scale(*precision, *scale)?;
            for text in cast(array, &DataType::Utf8)?.as_string::<i32>() {
                match text {
                    Some(text) => numbers.append_value(read_number(text, *precision, *scale).map_err(failure)?),
                    None => numbers.append_null(),
                }
            }
            Ok(Arc::new(numbers.finish()))
        }
        DataType::List(item) => read_arrays(array, item),
        other => exec_err!("no conversion from {from} to {other}"),
    }
}

fn to_integers(array: &ArrayRef, target: &DataType) -> Result<ArrayRef> {
    let mut numbers = Int64Builder::with_capacity(array.len());
    if let Some(decimals) = array.as_primitive_opt::<Decimal128Type>() {
        // Of a scale below zero (`1e20` is 1 with 20 zeros) there is nothing to round. One beyond 38 leaves no whole part.
        let scale = decimals.scale();
        let unit = 10_i128.checked_pow(u32::from(scale.unsigned_abs()));
        for number in decimals {
            match number {
                Some(0) => numbers.append_value(0),
                Some(number) => {
                    let whole = match unit {
                        Some(unit) if scale < 0 => number.checked_mul(unit),
                        Some(unit) => Some(round_half_away(number, unit)),
                        None if scale < 0 => None,
                        None => Some(0),
                    };
                    let whole = whole.and_then(|whole| i64::try_from(whole).ok());
                    numbers.append_value(whole.ok_or_else(|| out_of_range(target))?);
                }
                None => numbers.append_null(),
            }
        }
    } else {
        for number in cast(array, &DataType::Float64)?.as_primitive::<Float64Type>() {
            match number {
                Some(number) => {
                    let whole = number.round_ties_even();
                    // -2^63 is exact as a double, and so is 2^63, the first that doesn't fit. NaN is in no range.
                    if !(-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&whole) {
                        return Err(out_of_range(target));
                    }
                    #[allow(clippy::cast_possible_truncation, reason = "whole and in range")]
                    numbers.append_value(whole as i64);
                }
                None => numbers.append_null(),
            }
        }
    }
    let numbers = numbers.finish();
    let options = CastOptions { safe: false, format_options: FormatOptions::default() };
    cast_with_options(&numbers, target, &options).map_err(|_| out_of_range(target))
}

fn round_half_away(number: i128, unit: i128) -> i128 {
    let (whole, rest) = (number / unit, number % unit);
    if rest.unsigned_abs() >= unit.unsigned_abs().div_ceil(2) && rest != 0 { whole + rest.signum() } else { whole }
}

fn out_of_range(target: &DataType) -> datafusion::error::DataFusionError {
    let name = match target {
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => "smallint",
        DataType::Int32 | DataType::UInt16 => "integer",
        _ => "bigint",
    };
    failure(Error::new(ErrorCode::NumericValueOutOfRange, format!("{name} out of range")))
}

fn invalid(type_name: &str, text: &str) -> Error {
    let message = format!("invalid input syntax for type {type_name}: \"{text}\"");
    Error::new(ErrorCode::InvalidTextRepresentation, message)
}

/// <https://www.postgresql.org/docs/15/datatype-binary.html>: `\x` and hexadecimal digits, else the bytes with `\\` and
/// `\ooo` as escapes.
fn read_bytes(text: &str) -> Result<Vec<u8>, Error> {
    if let Some(digits) = text.strip_prefix("\\x") {
        let digits: Vec<u8> = digits.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        return digits
            .chunks(2)
            .map(|pair| {
                let pair = std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2);
                pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()).ok_or_else(|| {
                    Error::new(ErrorCode::InvalidParameterValue, "invalid hexadecimal data")
                        .with_detail(format!("The text is \"{text}\"."))
                })
            })
            .collect();
    }
    let bytes = text.as_bytes();
    let mut result = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        if *byte != b'\\' {
            result.push(*byte);
            at += 1;
        } else if bytes.get(at + 1) == Some(&b'\\') {
            result.push(b'\\');
            at += 2;
        } else {
            let digits = text.get(at + 1..at + 4).and_then(|digits| u8::from_str_radix(digits, 8).ok());
            result.push(digits.ok_or_else(|| invalid("bytea", text))?);
            at += 4;
        }
    }
    Ok(result)
}

/// A decimal number, with or without an exponent, rounded half away from zero to `scale` digits.
fn read_number(text: &str, precision: u8, scale: i8) -> Result<i128, Error> {
    let wrong = || invalid("numeric", text);
    let overflow = || {
        Error::new(ErrorCode::NumericValueOutOfRange, "numeric field overflow")
            .with_detail(format!("A field with precision {precision}, scale {scale} cannot hold \"{}\".", text.trim()))
    };
    let number = text.trim();
    let (negative, number) = match number.as_bytes().first() {
        Some(b'-') => (true, &number[1..]),
        Some(b'+') => (false, &number[1..]),
        _ => (false, number),
    };
    let (mantissa, exponent) = match number.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().map_err(|_| wrong())?),
        None => (number, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(wrong());
    }
    // How many of the digits stay, as many zeros more if there are fewer.
    let kept = whole.len() as i64 + i64::from(exponent) + i64::from(scale);
    let mut value: i128 = 0;
    if kept > 0 {
        for at in 0..usize::try_from(kept).map_err(|_| overflow())? {
            let digit = digits.get(at).map_or(0, |digit| i128::from(digit - b'0'));
            if at >= digits.len() && value == 0 {
                break;
            }
            value = value.checked_mul(10).and_then(|value| value.checked_add(digit)).ok_or_else(overflow)?;
        }
    }
    if usize::try_from(kept).ok().and_then(|kept| digits.get(kept)).is_some_and(|digit| *digit >= b'5') {
        value += 1;
    }
    if value.unsigned_abs() >= 10_u128.pow(u32::from(precision.min(38))) {
        return Err(overflow());
    }
    Ok(if negative { -value } else { value })
}

/// <https://www.postgresql.org/docs/15/arrays.html#ARRAYS-IO>, of one dimension.
fn read_arrays(array: &ArrayRef, item: &Arc<Field>) -> Result<ArrayRef> {
    let mut elements = StringBuilder::new();
    let mut lengths = Vec::with_capacity(array.len());
    let mut valid = Vec::with_capacity(array.len());
    for text in cast(array, &DataType::Utf8)?.as_string::<i32>() {
        let Some(text) = text else {
            valid.push(false);
            lengths.push(0);
            continue;
        };
        valid.push(true);
        let read = read_elements(text).map_err(failure)?;
        lengths.push(read.len());
        elements.extend(read);
    }
    let texts: ArrayRef = Arc::new(elements.finish());
    let values = if applies(&DataType::Utf8, item.data_type()) {
        convert(&texts, item.data_type())?
    } else {
        let options = CastOptions { safe: false, format_options: FormatOptions::default() };
        cast_with_options(&texts, item.data_type(), &options)?
    };
    let list = ListArray::try_new(
        Arc::clone(item),
        OffsetBuffer::from_lengths(lengths),
        values,
        Some(NullBuffer::from(valid)),
    )?;
    Ok(Arc::new(list))
}

fn read_elements(text: &str) -> Result<Vec<Option<String>>, Error> {
    let malformed = |detail: &str| {
        Error::new(ErrorCode::InvalidTextRepresentation, format!("malformed array literal: \"{text}\""))
            .with_detail(detail.to_owned())
    };
    let inner = text
        .trim()
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'))
        .ok_or_else(|| malformed("Array value must start with \"{\" and end with \"}\"."))?;
    if inner.trim().is_empty() {
        return Ok(Vec::new());
    }
    let mut elements = Vec::new();
    let mut chars = inner.chars().peekable();
    loop {
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        let mut element = String::new();
        let quoted = chars.next_if_eq(&'"').is_some();
        if quoted {
            loop {
                match chars.next() {
                    Some('"') => break,
                    Some('\\') => element.extend(chars.next()),
                    Some(c) => element.push(c),
                    None => return Err(malformed("Unexpected end of input.")),
                }
            }
            while chars.next_if(|c| c.is_whitespace()).is_some() {}
        } else {
            while let Some(c) = chars.next_if(|c| *c != ',') {
                match c {
                    '{' | '}' => return Err(malformed("Arrays of arrays are not read from text.")),
                    '"' => return Err(malformed("Unexpected array element.")),
                    '\\' => element.extend(chars.next()),
                    c => element.push(c),
                }
            }
            element.truncate(element.trim_end().len());
            if element.is_empty() {
                return Err(malformed("Unexpected \",\" or \"}\" character."));
            }
        }
        let null = !quoted && element.eq_ignore_ascii_case("null");
        elements.push((!null).then_some(element));
        match chars.next() {
            Some(',') => {}
            Some(_) => return Err(malformed("Unexpected array element.")),
            None => return Ok(elements),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use arrow::array::{Decimal128Array, Float64Array};

    use super::*;

    #[test]
    fn numbers_are_rounded_as_postgresql_rounds_them() {
        let floats: ArrayRef = Arc::new(Float64Array::from(vec![2.5, 3.5, -0.5, -2.5, 1e9]));
        let integers = convert(&floats, &DataType::Int32).unwrap();
        assert_eq!(integers.as_primitive::<arrow::datatypes::Int32Type>().values(), &[2, 4, 0, -2, 1_000_000_000]);
        let decimals: ArrayRef =
            Arc::new(Decimal128Array::from(vec![25, 35, -25, 24]).with_precision_and_scale(5, 1).unwrap());
        let integers = convert(&decimals, &DataType::Int32).unwrap();
        assert_eq!(integers.as_primitive::<arrow::datatypes::Int32Type>().values(), &[3, 4, -3, 2]);
        for value in [f64::NAN, f64::INFINITY, 2_147_483_648.0, 1e300] {
            let array: ArrayRef = Arc::new(Float64Array::from(vec![value]));
            assert!(convert(&array, &DataType::Int32).is_err(), "{value}");
        }
    }

    #[test]
    fn numbers_are_read_from_text() {
        for (text, expected) in [
            ("1.5", Some(150)),
            (" -1e3 ", Some(-100_000)),
            ("1.005", Some(101)),
            ("-1.005", Some(-101)),
            ("5e-3", Some(1)),
            ("4e-3", Some(0)),
            (".5", Some(50)),
            ("0e999999999", Some(0)),
            ("1e999999999", None),
            ("abc", None),
            ("", None),
            (".", None),
            ("1e", None),
            ("99999999.99", None),
        ] {
            assert_eq!(read_number(text, 9, 2).ok(), expected, "{text}");
        }
    }

    #[test]
    fn bytes_and_arrays_are_read_from_text() {
        assert_eq!(read_bytes("\\x00fF").unwrap(), [0, 255]);
        assert_eq!(read_bytes("a\\\\b\\001").unwrap(), b"a\\b\x01");
        assert!(read_bytes("\\x0").is_err());
        let owned = |text: &str| Some(text.to_owned());
        assert_eq!(read_elements("{}").unwrap(), []);
        assert_eq!(
            read_elements("{ a b , \"c\\\"d\", NULL, \"null\", \"\"}").unwrap(),
            [owned("a b"), owned("c\"d"), None, owned("null"), owned("")]
        );
        for malformed in ["1,2", "{1,}", "{{1}}", "{\"a}", "{\"a\"b}"] {
            assert!(read_elements(malformed).is_err(), "{malformed}");
        }
    }
}
