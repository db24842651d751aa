//! Casts that PostgreSQL means differently than Arrow does. An analyzer rule comes by each `CAST` of a settled plan; where
//! Arrow would truncate, wrap, read or write another text, our own function takes the cast's place:
//! - numbers to integers are rounded (`numeric` half away from zero, `double precision` half to even), and out of range is
//!   `22003`;
//! - floats, timestamps, intervals, arrays and rows become the text that PostgreSQL shows ([`crate::encode::text`]);
//! - text is read as PostgreSQL reads it ([`crate::input`]), whatever it becomes;
//! - text that is labelled as another type ([`crate::scan::schema::PG_TYPE_METADATA`]: `varchar(3)`, `uuid`, `jsonb`) becomes that
//!   type's text.
//!
//! All other casts stay, and with them what the optimizer knows of casts.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Decimal256Builder,
    Float32Builder, Float64Builder, Int64Builder, IntervalMonthDayNanoBuilder, ListArray, StringArray, StringBuilder,
    Time64MicrosecondBuilder, TimestampMicrosecondBuilder, new_null_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::{
    DataType, Decimal128Type, Field, FieldRef, Float64Type, IntervalMonthDayNano, IntervalUnit, TimeUnit, i256,
};
use arrow::util::display::FormatOptions;
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::row_function::failure;
use crate::encode::text::write_text;
use crate::input::{self, InputContext};
use crate::scan::schema::{PG_TYPE_METADATA, text_length};
use crate::{Error, ErrorCode};

/// Whether the cast is ours.
pub(super) fn applies(from: &DataType, target: &Field) -> bool {
    let to = target.data_type();
    if from.is_string() {
        return match to {
            DataType::Boolean
            | DataType::Float32
            | DataType::Float64
            | DataType::Date32
            | DataType::Time32(_)
            | DataType::Time64(_)
            | DataType::Timestamp(..)
            | DataType::Interval(IntervalUnit::MonthDayNano)
            | DataType::Binary
            | DataType::BinaryView
            | DataType::LargeBinary
            | DataType::Decimal128(..)
            | DataType::Decimal256(..) => true,
            DataType::List(item) => is_flat(item.data_type()),
            to if to.is_string() => target.metadata().contains_key(PG_TYPE_METADATA),
            to => to.is_signed_integer(),
        };
    }
    match (from, to) {
        (from, to) if to.is_integer() => from.is_floating() || matches!(from, DataType::Decimal128(..)),
        (from, DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8) => {
            target.metadata().contains_key(PG_TYPE_METADATA)
                || from.is_floating()
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
        _ => false,
    }
}

fn is_flat(data_type: &DataType) -> bool {
    !data_type.is_nested() && !data_type.is_binary()
}

/// The function that casts to `target`.
pub(super) fn function(target: FieldRef, context: InputContext) -> ScalarUDF {
    ScalarUDF::from(Conversion { target, context, signature: Signature::any(1, Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Conversion {
    target: FieldRef,
    context: InputContext,
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
        Ok(self.target.data_type().clone())
    }

    fn return_field_from_args(&self, _args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let field = Field::new(self.name(), self.target.data_type().clone(), true);
        Ok(Arc::new(field.with_metadata(self.target.metadata().clone())))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [value] = args.args.as_slice() else { return exec_err!("a cast takes one argument") };
        match value {
            ColumnarValue::Array(array) => Ok(ColumnarValue::Array(convert(array, &self.target, &self.context)?)),
            ColumnarValue::Scalar(scalar) => {
                let array = convert(&scalar.to_array()?, &self.target, &self.context)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?))
            }
        }
    }
}

fn convert(array: &ArrayRef, target: &Field, context: &InputContext) -> Result<ArrayRef> {
    let from = array.data_type();
    match target.data_type() {
        to if from.is_null() => Ok(new_null_array(to, array.len())),
        to if to.is_string() => to_text(array, target, context),
        to if from.is_string() => read(array, to, context),
        to if to.is_integer() => to_integers(array, to),
        other => exec_err!("no conversion from {from} to {other}"),
    }
}

/// Every value as PostgreSQL shows it, as the type's own text where the target is labelled as one.
fn to_text(array: &ArrayRef, target: &Field, context: &InputContext) -> Result<ArrayRef> {
    let label = target.metadata().get(PG_TYPE_METADATA).map(String::as_str);
    let length = text_length(target);
    let mut texts = StringBuilder::with_capacity(array.len(), array.len() * 8);
    let mut text = String::new();
    for row in 0..array.len() {
        if array.is_null(row) {
            texts.append_null();
            continue;
        }
        text.clear();
        write_text(array, row, &mut text);
        match label {
            Some(label) => texts.append_value(labelled(&text, label, length, context).map_err(failure)?),
            None => texts.append_value(&text),
        }
    }
    Ok(cast(&texts.finish(), target.data_type())?)
}

/// `text` as a value of the type that Arrow has no type for.
fn labelled(text: &str, label: &str, length: Option<usize>, context: &InputContext) -> Result<String, Error> {
    let shortened = |text: &str| match length.and_then(|length| text.char_indices().nth(length)) {
        Some((end, _)) => text[..end].to_owned(),
        None => text.to_owned(),
    };
    Ok(match label {
        "varchar" => shortened(text),
        // Blanks at the end mean nothing; they are put back where a client reads the value.
        "bpchar" => shortened(text).trim_end_matches(' ').to_owned(),
        "uuid" => hyphenated(&input::uuid(text)?),
        "json" => {
            input::check_json(text)?;
            text.to_owned()
        }
        "jsonb" => input::canonical_json(text)?,
        "timetz" => {
            let (microseconds, offset) = input::time_with_zone(text, context)?;
            crate::encode::text::time_with_zone(microseconds, offset)
        }
        "name" => {
            let end = (0..=text.len().min(63)).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            text[..end].to_owned()
        }
        "char" => text.chars().next().map(String::from).unwrap_or_default(),
        _ => text.to_owned(),
    })
}

fn hyphenated(bytes: &[u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        for digit in [byte >> 4, byte & 15] {
            text.extend(char::from_digit(u32::from(digit), 16));
        }
    }
    text
}

/// Texts -> values of `target`.
fn read(array: &ArrayRef, target: &DataType, context: &InputContext) -> Result<ArrayRef> {
    let texts = cast(array, &DataType::Utf8)?;
    let texts = texts.as_string::<i32>();
    macro_rules! build {
        ($builder:expr, $read:expr) => {{
            let mut values = $builder;
            for text in texts {
                match text {
                    #[allow(clippy::redundant_closure_call, reason = "the closure names the text")]
                    Some(text) => values.append_value(($read)(text).map_err(failure)?),
                    None => values.append_null(),
                }
            }
            Arc::new(values.finish()) as ArrayRef
        }};
    }
    let count = texts.len();
    let read: ArrayRef = match target {
        DataType::Boolean => {
            let mut values = BooleanBuilder::with_capacity(count);
            for text in texts {
                values.append_option(text.map(input::boolean).transpose().map_err(failure)?);
            }
            Arc::new(values.finish())
        }
        to if to.is_integer() => {
            let (name, min, max) = match to {
                DataType::Int8 => ("smallint", i64::from(i8::MIN), i64::from(i8::MAX)),
                DataType::Int16 => ("smallint", i64::from(i16::MIN), i64::from(i16::MAX)),
                DataType::Int32 => ("integer", i64::from(i32::MIN), i64::from(i32::MAX)),
                _ => ("bigint", i64::MIN, i64::MAX),
            };
            build!(Int64Builder::with_capacity(count), |text| input::integer(text, name, min, max))
        }
        DataType::Float32 => build!(Float32Builder::with_capacity(count), input::float4),
        DataType::Float64 => build!(Float64Builder::with_capacity(count), input::float8),
        DataType::Date32 => build!(Date32Builder::with_capacity(count), |text| input::date(text, context)),
        DataType::Time32(_) | DataType::Time64(_) => {
            build!(Time64MicrosecondBuilder::with_capacity(count), |text| input::time(text, context))
        }
        DataType::Timestamp(_, None) => {
            build!(TimestampMicrosecondBuilder::with_capacity(count), |text| input::timestamp(text, context))
        }
        DataType::Timestamp(unit, Some(zone)) => {
            let values = build!(TimestampMicrosecondBuilder::with_capacity(count), |text| {
                input::timestamp_with_zone(text, context)
            });
            let values = values.as_primitive::<arrow::datatypes::TimestampMicrosecondType>().clone();
            let values: ArrayRef = Arc::new(values.with_timezone(Arc::clone(zone)));
            return to_unit(values, &DataType::Timestamp(*unit, Some(Arc::clone(zone))));
        }
        DataType::Interval(_) => {
            build!(IntervalMonthDayNanoBuilder::with_capacity(count), |text| read_interval(text, context))
        }
        DataType::Binary | DataType::BinaryView | DataType::LargeBinary => {
            build!(BinaryBuilder::with_capacity(count, count * 8), input::bytes)
        }
        DataType::Decimal128(precision, scale) => {
            let values = Decimal128Builder::with_capacity(count).with_precision_and_scale(*precision, *scale)?;
            build!(values, |text| {
                let value = read_number(text, *precision, *scale)?;
                value.to_i128().ok_or_else(|| Error::internal("a decimal of 38 digits fits"))
            })
        }
        DataType::Decimal256(precision, scale) => {
            let values = Decimal256Builder::with_capacity(count).with_precision_and_scale(*precision, *scale)?;
            build!(values, |text| read_number(text, *precision, *scale))
        }
        DataType::List(item) => return read_arrays(texts, item, context),
        other => return exec_err!("no conversion from text to {other}"),
    };
    to_unit(read, target)
}

/// Into the target's own unit or width.
fn to_unit(array: ArrayRef, target: &DataType) -> Result<ArrayRef> {
    if array.data_type() == target {
        return Ok(array);
    }
    let options = CastOptions { safe: false, format_options: FormatOptions::default() };
    cast_with_options(&array, target, &options).map_err(|_| {
        let name = match target {
            DataType::Timestamp(TimeUnit::Nanosecond, _) => "timestamp out of range",
            _ => "value out of range",
        };
        failure(Error::new(ErrorCode::DatetimeFieldOverflow, name))
    })
}

fn read_interval(text: &str, context: &InputContext) -> Result<IntervalMonthDayNano, Error> {
    let interval = input::interval(text, context.interval_style)?;
    let nanoseconds = interval.microseconds.checked_mul(1_000);
    let nanoseconds =
        nanoseconds.ok_or_else(|| Error::new(ErrorCode::DatetimeFieldOverflow, "interval out of range"))?;
    Ok(IntervalMonthDayNano::new(interval.months, interval.days, nanoseconds))
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

/// A decimal number in a field of `precision` and `scale`, rounded half away from zero.
fn read_number(text: &str, precision: u8, scale: i8) -> Result<i256, Error> {
    let number = input::decimal(text)?;
    let overflow = || {
        let detail = format!(
            "A field with precision {precision}, scale {scale} must round to an absolute value less than 10^{}.",
            i16::from(precision) - i16::from(scale)
        );
        Error::new(ErrorCode::NumericValueOutOfRange, "numeric field overflow").with_detail(detail)
    };
    let power = |exponent: u32| i256::from_i128(10).checked_pow(exponent).ok_or_else(overflow);
    let shift = i32::from(scale) - i32::from(number.scale);
    let value = if shift >= 0 {
        number.value.checked_mul(power(shift.unsigned_abs())?).ok_or_else(overflow)?
    } else {
        let unit = power(shift.unsigned_abs())?;
        let (whole, rest) = (number.value / unit, number.value % unit);
        // Half of a power of ten is whole.
        let half = unit / i256::from_i128(2);
        if rest >= half {
            whole + i256::ONE
        } else if rest <= -half {
            whole - i256::ONE
        } else {
            whole
        }
    };
    let limit = power(u32::from(precision))?;
    if value >= limit || value <= -limit { Err(overflow()) } else { Ok(value) }
}

/// <https://www.postgresql.org/docs/15/arrays.html#ARRAYS-IO>, of one dimension.
fn read_arrays(texts: &StringArray, item: &FieldRef, context: &InputContext) -> Result<ArrayRef> {
    let mut elements = StringBuilder::new();
    let mut lengths = Vec::with_capacity(texts.len());
    let mut valid = Vec::with_capacity(texts.len());
    for text in texts {
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
    let values = if applies(&DataType::Utf8, item) {
        convert(&texts, item, context)?
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
    let inner = input::trim(text)
        .strip_prefix('{')
        .ok_or_else(|| malformed("Array value must start with \"{\" or dimension information."))?;
    let inner = inner.strip_suffix('}').ok_or_else(|| malformed("Unexpected end of input."))?;
    if input::trim(inner).is_empty() {
        return Ok(Vec::new());
    }
    let mut elements = Vec::new();
    let mut chars = inner.chars().peekable();
    loop {
        while chars.next_if(|c| input::is_space(*c)).is_some() {}
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
            while chars.next_if(|c| input::is_space(*c)).is_some() {}
        } else {
            while let Some(c) = chars.next_if(|c| *c != ',') {
                match c {
                    '{' | '}' => return Err(malformed("Arrays of arrays are not read from text.")),
                    '"' => return Err(malformed("Unexpected array element.")),
                    '\\' => element.extend(chars.next()),
                    c => element.push(c),
                }
            }
            element.truncate(element.trim_end_matches(input::is_space).len());
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
        let context = InputContext::default();
        let int4 = || Field::new("c", DataType::Int32, true);
        let floats: ArrayRef = Arc::new(Float64Array::from(vec![2.5, 3.5, -0.5, -2.5, 1e9]));
        let integers = convert(&floats, &int4(), &context).unwrap();
        assert_eq!(integers.as_primitive::<arrow::datatypes::Int32Type>().values(), &[2, 4, 0, -2, 1_000_000_000]);
        let decimals: ArrayRef =
            Arc::new(Decimal128Array::from(vec![25, 35, -25, 24]).with_precision_and_scale(5, 1).unwrap());
        let integers = convert(&decimals, &int4(), &context).unwrap();
        assert_eq!(integers.as_primitive::<arrow::datatypes::Int32Type>().values(), &[3, 4, -3, 2]);
        for value in [f64::NAN, f64::INFINITY, 2_147_483_648.0, 1e300] {
            let array: ArrayRef = Arc::new(Float64Array::from(vec![value]));
            assert!(convert(&array, &int4(), &context).is_err(), "{value}");
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
            ("1e999999999", None),
            ("abc", None),
            ("", None),
            (".", None),
            ("1e", None),
            ("99999999.99", None),
        ] {
            assert_eq!(read_number(text, 9, 2).ok().and_then(|value| value.to_i128()), expected, "{text}");
        }
    }

    #[test]
    fn arrays_are_read_from_text() {
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
