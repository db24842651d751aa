//! Bound parameters -> Arrow arrays of one row: text or binary, by the OID the client was told, into the type the
//! statement was prepared for.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Decimal256Array, Float32Array, Float64Array,
    Int16Array, Int32Array, Int64Array, IntervalMonthDayNanoArray, ListArray, StringArray, Time64MicrosecondArray,
    TimestampMicrosecondArray, new_empty_array, new_null_array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{CastOptions, cast_with_options, concat};
use arrow::datatypes::{DataType, Field, IntervalMonthDayNano, IntervalUnit, TimeUnit, i256};
use bytes::{Buf, Bytes};
use limnos_engine::{Error, ErrorCode, Result};

use super::encode::Format;
use super::encode::calendar::{DAY_MICROSECONDS, POSTGRES_EPOCH_DAYS};
use super::types::Scalar;

/// The Arrow type that a declared OID stands for; `None` leaves it to be inferred.
pub(crate) fn declared_type(oid: u32) -> Option<DataType> {
    if let Some(scalar) = Scalar::from_oid(oid) {
        return match scalar {
            Scalar::Unknown => None,
            scalar => Some(natural_type(scalar)),
        };
    }
    let element = Scalar::from_array_oid(oid)?;
    Some(DataType::List(Arc::new(Field::new_list_field(natural_type(element), true))))
}

/// What a scalar is decoded into. A numeric has no declared scale; ten digits after the point and 28 before it hold what
/// people compare with, and a value that doesn't fit is refused, not rounded away.
fn natural_type(scalar: Scalar) -> DataType {
    match scalar {
        Scalar::Bool => DataType::Boolean,
        Scalar::Int2 => DataType::Int16,
        Scalar::Int4 => DataType::Int32,
        Scalar::Int8 | Scalar::Oid | Scalar::Xid | Scalar::RegProc | Scalar::RegClass | Scalar::RegType => {
            DataType::Int64
        }
        Scalar::Float4 => DataType::Float32,
        Scalar::Float8 => DataType::Float64,
        Scalar::Numeric => DataType::Decimal128(38, 10),
        Scalar::Bytea => DataType::Binary,
        Scalar::Date => DataType::Date32,
        Scalar::Time => DataType::Time64(TimeUnit::Microsecond),
        Scalar::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
        Scalar::TimestampTz => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        Scalar::Interval => DataType::Interval(IntervalUnit::MonthDayNano),
        Scalar::Text | Scalar::Varchar | Scalar::Bpchar | Scalar::Name | Scalar::Char | Scalar::Unknown => {
            DataType::Utf8
        }
        Scalar::Json | Scalar::NodeTree | Scalar::AclItem | Scalar::Uuid | Scalar::Void => DataType::Utf8,
    }
}

/// Decodes one parameter. `zone` is what instants without an offset are in.
///
/// # Errors
/// `22P02`, `22003`, `22007`, `22021` for text; `22P03` as `08P01` for binary that is not the type's.
pub(crate) fn decode(
    value: Option<&Bytes>,
    format: Format,
    oid: u32,
    data_type: &DataType,
    zone: &str,
) -> Result<ArrayRef> {
    let Some(value) = value else { return Ok(new_null_array(data_type, 1)) };
    let decoder = Decoder { zone };
    let array = match (Scalar::from_oid(oid), Scalar::from_array_oid(oid)) {
        (Some(scalar), _) => decoder.scalar(value, format, scalar)?,
        (None, Some(element)) => decoder.list(value, format, element)?,
        (None, None) if format == Format::Text => Arc::new(StringArray::from(vec![utf8(value)?])) as ArrayRef,
        (None, None) => {
            return Err(Error::unsupported(format!("binary parameters of the type with OID {oid} are not supported")));
        }
    };
    convert(&array, data_type)
}

/// Casts to the prepared type; what doesn't fit is an error, not NULL.
pub(crate) fn convert(array: &ArrayRef, data_type: &DataType) -> Result<ArrayRef> {
    if array.data_type() == data_type {
        return Ok(array.clone());
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(array, data_type, &options).map_err(|error| {
        let message = match &error {
            arrow::error::ArrowError::CastError(text)
            | arrow::error::ArrowError::InvalidArgumentError(text)
            | arrow::error::ArrowError::ParseError(text) => text.clone(),
            other => other.to_string(),
        };
        let code = match data_type {
            data_type if data_type.is_numeric() && array.data_type().is_numeric() => ErrorCode::NumericValueOutOfRange,
            data_type if data_type.is_temporal() => ErrorCode::InvalidDatetimeFormat,
            _ => ErrorCode::InvalidTextRepresentation,
        };
        Error::new(code, "parameter value does not fit its type").with_detail(format!("{message}."))
    })
}

/// Text of a parameter or a message.
pub(crate) fn utf8(bytes: &[u8]) -> Result<&str> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let bad = &bytes[error.valid_up_to()..];
        let length = error.error_len().unwrap_or(bad.len()).min(4);
        let hex: Vec<String> = bad[..length].iter().map(|byte| format!("0x{byte:02x}")).collect();
        encoding_error(&hex.join(" "))
    })?;
    if text.contains('\0') { Err(encoding_error("0x00")) } else { Ok(text) }
}

fn encoding_error(bytes: &str) -> Error {
    Error::new(ErrorCode::CharacterNotInRepertoire, format!("invalid byte sequence for encoding \"UTF8\": {bytes}"))
}

struct Decoder<'a> {
    zone: &'a str,
}

impl Decoder<'_> {
    fn scalar(&self, value: &Bytes, format: Format, scalar: Scalar) -> Result<ArrayRef> {
        match (format, natural_type(scalar)) {
            // Text and its kin have the same bytes in both formats.
            (Format::Text, _) => self.text(utf8(value)?, scalar),
            (Format::Binary, DataType::Utf8) if scalar != Scalar::Uuid => self.text(utf8(value)?, scalar),
            (Format::Binary, _) => binary(&mut value.clone(), scalar),
        }
    }

    fn text(&self, text: &str, scalar: Scalar) -> Result<ArrayRef> {
        let invalid = || {
            let code = match scalar {
                Scalar::Date | Scalar::Time | Scalar::Timestamp | Scalar::TimestampTz | Scalar::Interval => {
                    ErrorCode::InvalidDatetimeFormat
                }
                _ => ErrorCode::InvalidTextRepresentation,
            };
            Error::new(code, format!("invalid input syntax for type {}: \"{text}\"", sql_name(scalar)))
        };
        let out_of_range = || {
            let message = format!("value \"{text}\" is out of range for type {}", sql_name(scalar));
            Error::new(ErrorCode::NumericValueOutOfRange, message)
        };
        let trimmed = trim(text);
        Ok(match natural_type(scalar) {
            DataType::Boolean => Arc::new(BooleanArray::from(vec![boolean(trimmed).ok_or_else(invalid)?])),
            DataType::Int16 | DataType::Int32 | DataType::Int64 => {
                let number: i128 = trimmed.parse().map_err(|_| {
                    let digits = trimmed.trim_start_matches(['+', '-']);
                    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
                    if is_number { out_of_range() } else { invalid() }
                })?;
                match scalar {
                    Scalar::Int2 => {
                        Arc::new(Int16Array::from(vec![i16::try_from(number).map_err(|_| out_of_range())?]))
                    }
                    Scalar::Int4 => {
                        Arc::new(Int32Array::from(vec![i32::try_from(number).map_err(|_| out_of_range())?]))
                    }
                    _ => {
                        Arc::new(Int64Array::from(vec![i64::try_from(number).map_err(|_| out_of_range())?])) as ArrayRef
                    }
                }
            }
            DataType::Float32 => {
                let number: f32 = trimmed.parse().map_err(|_| invalid())?;
                if number.is_infinite() && trimmed.contains(|character: char| character.is_ascii_digit()) {
                    return Err(out_of_range());
                }
                Arc::new(Float32Array::from(vec![number]))
            }
            DataType::Float64 => {
                let number: f64 = trimmed.parse().map_err(|_| invalid())?;
                if number.is_infinite() && trimmed.contains(|character: char| character.is_ascii_digit()) {
                    return Err(out_of_range());
                }
                Arc::new(Float64Array::from(vec![number]))
            }
            DataType::Decimal128(..) => decimal(trimmed).ok_or_else(invalid)?.ok_or_else(out_of_range)?,
            DataType::Binary => Arc::new(BinaryArray::from(vec![bytea(text).ok_or_else(invalid)?.as_slice()])),
            DataType::Date32 | DataType::Timestamp(..) if trimmed.eq_ignore_ascii_case("infinity") => {
                infinity(scalar, true)
            }
            DataType::Date32 | DataType::Timestamp(..) if trimmed.eq_ignore_ascii_case("-infinity") => {
                infinity(scalar, false)
            }
            DataType::Timestamp(unit, Some(_)) => {
                let in_session_zone = DataType::Timestamp(unit, Some(self.zone.into()));
                let array = strict_cast(trimmed, &in_session_zone).ok_or_else(invalid)?;
                convert(&array, &natural_type(scalar))?
            }
            data_type @ (DataType::Date32 | DataType::Time64(_) | DataType::Timestamp(..) | DataType::Interval(_)) => {
                strict_cast(trimmed, &data_type).ok_or_else(invalid)?
            }
            _ => Arc::new(StringArray::from(vec![text])),
        })
    }

    fn list(&self, value: &Bytes, format: Format, element: Scalar) -> Result<ArrayRef> {
        let mut elements = Vec::new();
        match format {
            Format::Text => {
                let text = utf8(value)?;
                let malformed = || {
                    let message = format!("malformed array literal: \"{text}\"");
                    Error::new(ErrorCode::InvalidTextRepresentation, message)
                };
                for item in array_elements(text).ok_or_else(malformed)? {
                    elements.push(match item {
                        Some(item) => self.text(&item, element)?,
                        None => new_null_array(&natural_type(element), 1),
                    });
                }
            }
            Format::Binary => {
                let mut bytes = value.clone();
                let dimensions = bytes.try_get_i32().map_err(|_| malformed_binary("array"))?;
                let _has_nulls = bytes.try_get_i32().map_err(|_| malformed_binary("array"))?;
                let oid = bytes.try_get_u32().map_err(|_| malformed_binary("array"))?;
                let element = Scalar::from_oid(oid).filter(|_| (0..=1).contains(&dimensions));
                let element = element.ok_or_else(|| {
                    Error::unsupported("only one-dimensional arrays of simple types are supported as parameters")
                })?;
                let mut count = 0;
                if dimensions == 1 {
                    count = bytes.try_get_i32().map_err(|_| malformed_binary("array"))?;
                    bytes.try_get_i32().map_err(|_| malformed_binary("array"))?;
                }
                for _ in 0..count {
                    let length = bytes.try_get_i32().map_err(|_| malformed_binary("array"))?;
                    if length == -1 {
                        elements.push(new_null_array(&natural_type(element), 1));
                        continue;
                    }
                    let length = usize::try_from(length).ok().filter(|length| *length <= bytes.len());
                    let item = bytes.split_to(length.ok_or_else(|| malformed_binary("array"))?);
                    elements.push(self.scalar(&item, Format::Binary, element)?);
                }
                if !bytes.is_empty() {
                    return Err(malformed_binary("array"));
                }
            }
        }
        // Numerics come with the scale they were written with; the list has one.
        let natural = natural_type(element);
        let elements: Vec<ArrayRef> = elements.iter().map(|array| convert(array, &natural)).collect::<Result<_>>()?;
        let references: Vec<&dyn arrow::array::Array> = elements.iter().map(AsRef::as_ref).collect();
        let values = if references.is_empty() {
            new_empty_array(&natural)
        } else {
            concat(&references).map_err(|error| Error::internal(error.to_string()))?
        };
        let field = Arc::new(Field::new_list_field(natural, true));
        let offsets = OffsetBuffer::from_lengths([values.len()]);
        Ok(Arc::new(ListArray::new(field, offsets, values, None)))
    }
}

fn malformed_binary(name: &str) -> Error {
    Error::new(ErrorCode::ProtocolViolation, format!("incorrect binary data format in a parameter of type {name}"))
}

fn binary(bytes: &mut Bytes, scalar: Scalar) -> Result<ArrayRef> {
    let malformed = || malformed_binary(sql_name(scalar));
    macro_rules! get {
        ($method:ident) => {
            bytes.$method().map_err(|_| malformed())?
        };
    }
    let array: ArrayRef = match scalar {
        Scalar::Bool => Arc::new(BooleanArray::from(vec![get!(try_get_u8) != 0])),
        Scalar::Int2 => Arc::new(Int16Array::from(vec![get!(try_get_i16)])),
        Scalar::Int4 => Arc::new(Int32Array::from(vec![get!(try_get_i32)])),
        Scalar::Int8 => Arc::new(Int64Array::from(vec![get!(try_get_i64)])),
        Scalar::Oid | Scalar::Xid | Scalar::RegProc | Scalar::RegClass | Scalar::RegType => {
            Arc::new(Int64Array::from(vec![i64::from(get!(try_get_u32))]))
        }
        Scalar::Float4 => Arc::new(Float32Array::from(vec![get!(try_get_f32)])),
        Scalar::Float8 => Arc::new(Float64Array::from(vec![get!(try_get_f64)])),
        Scalar::Numeric => numeric(bytes)?,
        Scalar::Bytea => Arc::new(BinaryArray::from(vec![bytes.split_to(bytes.len()).as_ref()])),
        Scalar::Uuid => {
            let parsed = uuid::Uuid::from_slice(&bytes.split_to(bytes.len())).map_err(|_| malformed())?;
            Arc::new(StringArray::from(vec![parsed.to_string()]))
        }
        Scalar::Date => {
            let days = get!(try_get_i32);
            let days = match days {
                i32::MAX | i32::MIN => days,
                _ => days.checked_add(POSTGRES_EPOCH_DAYS).ok_or_else(malformed)?,
            };
            Arc::new(Date32Array::from(vec![days]))
        }
        Scalar::Time => {
            let microseconds = get!(try_get_i64);
            if !(0..=DAY_MICROSECONDS).contains(&microseconds) {
                return Err(Error::new(ErrorCode::DatetimeFieldOverflow, "time out of range"));
            }
            Arc::new(Time64MicrosecondArray::from(vec![microseconds]))
        }
        Scalar::Timestamp | Scalar::TimestampTz => {
            let microseconds = get!(try_get_i64);
            let epoch = i64::from(POSTGRES_EPOCH_DAYS) * DAY_MICROSECONDS;
            let microseconds = match microseconds {
                i64::MAX | i64::MIN => microseconds,
                _ => microseconds
                    .checked_add(epoch)
                    .ok_or_else(|| Error::new(ErrorCode::DatetimeFieldOverflow, "timestamp out of range"))?,
            };
            timestamp(microseconds, scalar)
        }
        Scalar::Interval => {
            let microseconds = get!(try_get_i64);
            let days = get!(try_get_i32);
            let months = get!(try_get_i32);
            let nanoseconds = microseconds
                .checked_mul(1_000)
                .ok_or_else(|| Error::new(ErrorCode::DatetimeFieldOverflow, "interval out of range"))?;
            let value = IntervalMonthDayNano::new(months, days, nanoseconds);
            Arc::new(IntervalMonthDayNanoArray::from(vec![value]))
        }
        Scalar::Text
        | Scalar::Varchar
        | Scalar::Bpchar
        | Scalar::Name
        | Scalar::Char
        | Scalar::Unknown
        | Scalar::Json
        | Scalar::NodeTree
        | Scalar::AclItem
        | Scalar::Void => {
            let text = bytes.split_to(bytes.len());
            Arc::new(StringArray::from(vec![utf8(&text)?]))
        }
    };
    if bytes.is_empty() { Ok(array) } else { Err(malformed()) }
}

fn timestamp(microseconds: i64, scalar: Scalar) -> ArrayRef {
    let array = TimestampMicrosecondArray::from(vec![microseconds]);
    if scalar == Scalar::TimestampTz { Arc::new(array.with_timezone("UTC")) } else { Arc::new(array) }
}

fn infinity(scalar: Scalar, positive: bool) -> ArrayRef {
    match scalar {
        Scalar::Date => Arc::new(Date32Array::from(vec![if positive { i32::MAX } else { i32::MIN }])),
        _ => timestamp(if positive { i64::MAX } else { i64::MIN }, scalar),
    }
}

fn strict_cast(text: &str, data_type: &DataType) -> Option<ArrayRef> {
    let array: ArrayRef = Arc::new(StringArray::from(vec![text]));
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(&array, data_type, &options).ok()
}

/// PostgreSQL's spelling of a boolean: any unambiguous beginning of the words.
fn boolean(text: &str) -> Option<bool> {
    let text = text.to_ascii_lowercase();
    match text.as_str() {
        "" => None,
        "on" | "1" => Some(true),
        "of" | "off" | "0" => Some(false),
        _ if "true".starts_with(&text) || "yes".starts_with(&text) => Some(true),
        _ if "false".starts_with(&text) || "no".starts_with(&text) => Some(false),
        _ => None,
    }
}

/// A decimal as written, with its own scale. The outer `None` is not a number, the inner one too large a one.
fn decimal(text: &str) -> Option<Option<ArrayRef>> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (negative, mantissa) = match mantissa.as_bytes().first()? {
        b'-' => (true, &mantissa[1..]),
        b'+' => (false, &mantissa[1..]),
        _ => (false, mantissa),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let mut digits = format!("{whole}{fraction}");
    let scale = i32::try_from(fraction.len()).ok().and_then(|scale| scale.checked_sub(exponent));
    let Some(mut scale) = scale.filter(|scale| (-76..=400).contains(scale)) else { return Some(None) };
    while scale > 0 && digits.len() > 1 && digits.ends_with('0') {
        digits.pop();
        scale -= 1;
    }
    if scale < 0 {
        digits.extend(std::iter::repeat_n('0', scale.unsigned_abs() as usize));
        scale = 0;
    }
    Some(decimal_array(negative, digits.trim_start_matches('0'), scale))
}

fn decimal_array(negative: bool, digits: &str, scale: i32) -> Option<ArrayRef> {
    let digits = if digits.is_empty() { "0" } else { digits };
    let signed = if negative { format!("-{digits}") } else { digits.to_owned() };
    if digits.len() <= 38 && scale <= 38 {
        let array = Decimal128Array::from(vec![signed.parse::<i128>().ok()?]);
        return Some(Arc::new(array.with_precision_and_scale(38, scale as i8).ok()?));
    }
    if digits.len() > 76 || scale > 76 {
        return None;
    }
    let array = Decimal256Array::from(vec![i256::from_string(&signed)?]);
    Some(Arc::new(array.with_precision_and_scale(76, scale as i8).ok()?))
}

/// A numeric's binary form: groups of four digits.
fn numeric(bytes: &mut Bytes) -> Result<ArrayRef> {
    let malformed = || malformed_binary("numeric");
    let count = bytes.try_get_i16().map_err(|_| malformed())?;
    let weight = bytes.try_get_i16().map_err(|_| malformed())?;
    let sign = bytes.try_get_u16().map_err(|_| malformed())?;
    let _display_scale = bytes.try_get_i16().map_err(|_| malformed())?;
    if !matches!(sign, 0 | 0x4000) {
        return Err(Error::new(ErrorCode::NumericValueOutOfRange, "numeric parameters can't be NaN or infinite"));
    }
    let mut text = String::new();
    for _ in 0..count {
        let group = bytes.try_get_i16().map_err(|_| malformed())?;
        if !(0..10_000).contains(&group) {
            return Err(malformed());
        }
        text.push_str(&format!("{group:04}"));
    }
    if text.is_empty() {
        text.push('0');
    }
    // The first group counts 10000^weight.
    let exponent = 4 * (i32::from(weight) - i32::from(count.max(1)) + 1);
    let sign = if sign == 0 { "" } else { "-" };
    decimal(&format!("{sign}{text}e{exponent}"))
        .flatten()
        .ok_or_else(|| Error::new(ErrorCode::NumericValueOutOfRange, "numeric parameter has too many digits"))
}

fn bytea(text: &str) -> Option<Vec<u8>> {
    if let Some(hex) = text.strip_prefix("\\x") {
        let digits: Vec<u8> = hex
            .bytes()
            .filter(|byte| !is_space(char::from(*byte)))
            .map(|byte| char::from(byte).to_digit(16).map(|digit| digit as u8))
            .collect::<Option<_>>()?;
        let pairs = digits.chunks_exact(2);
        return pairs.remainder().is_empty().then(|| pairs.map(|pair| pair[0] << 4 | pair[1]).collect());
    }
    // The older form: \\ is a backslash, \ooo an octal number.
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        match bytes.next()? {
            b'\\' => out.push(b'\\'),
            first @ b'0'..=b'3' => {
                let mut value = first - b'0';
                for _ in 0..2 {
                    let digit = bytes.next().filter(|digit| (b'0'..=b'7').contains(digit))?;
                    value = value << 3 | (digit - b'0');
                }
                out.push(value);
            }
            _ => return None,
        }
    }
    Some(out)
}

/// What PostgreSQL's input functions skip (`scanner_isspace`, `array_isspace`). Unicode's other spaces are text.
fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\n' | '\r' | '\u{b}' | '\u{c}')
}

fn trim(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// `{1,NULL,"a b"}` -> its elements; `None` when it is no one-dimensional array literal.
fn array_elements(text: &str) -> Option<Vec<Option<String>>> {
    let inner = trim(text).strip_prefix('{')?.strip_suffix('}')?;
    let mut elements = Vec::new();
    if trim(inner).is_empty() {
        return Some(elements);
    }
    let mut characters = inner.chars().peekable();
    loop {
        while characters.peek().is_some_and(|character| is_space(*character)) {
            characters.next();
        }
        let mut element = String::new();
        if characters.next_if_eq(&'"').is_some() {
            loop {
                match characters.next()? {
                    '"' => break,
                    '\\' => element.push(characters.next()?),
                    character => element.push(character),
                }
            }
            while characters.peek().is_some_and(|character| is_space(*character)) {
                characters.next();
            }
            elements.push(Some(element));
        } else {
            let mut escaped = false;
            while let Some(character) = characters.next_if(|character| *character != ',') {
                match character {
                    '{' | '}' | '"' => return None,
                    '\\' => {
                        escaped = true;
                        element.push(characters.next()?);
                    }
                    character => element.push(character),
                }
            }
            let trimmed = element.trim_end_matches(is_space);
            if trimmed.is_empty() && !escaped {
                return None;
            }
            let is_null = !escaped && trimmed.eq_ignore_ascii_case("null");
            elements.push((!is_null).then(|| trimmed.to_owned()));
        }
        match characters.next() {
            None => return Some(elements),
            Some(',') => {}
            Some(_) => return None,
        }
    }
}

/// The SQL name that PostgreSQL's messages use.
fn sql_name(scalar: Scalar) -> &'static str {
    match scalar {
        Scalar::Bool => "boolean",
        Scalar::Int2 => "smallint",
        Scalar::Int4 => "integer",
        Scalar::Int8 => "bigint",
        Scalar::Float4 => "real",
        Scalar::Float8 => "double precision",
        Scalar::TimestampTz => "timestamp with time zone",
        other => other.name(),
    }
}
