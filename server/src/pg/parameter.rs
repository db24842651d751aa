//! Bound parameters -> Arrow arrays of one row: text or binary, by the OID the client was told, into the type the
//! statement was prepared for.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Decimal256Array, Float32Array,
    Float64Array, Int16Array, Int32Array, Int64Array, IntervalMonthDayNanoArray, ListArray, StringArray,
    Time64MicrosecondArray, TimestampMicrosecondArray, new_empty_array, new_null_array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{CastOptions, cast_with_options, concat};
use arrow::datatypes::{DataType, Field, IntervalMonthDayNano, IntervalUnit, TimeUnit};
use bytes::{Buf, Bytes};
use limnos_engine::input::{self, InputContext};
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
        Scalar::Json
        | Scalar::Jsonb
        | Scalar::NodeTree
        | Scalar::AclItem
        | Scalar::Uuid
        | Scalar::TimeTz
        | Scalar::Void => DataType::Utf8,
    }
}

/// Decodes one parameter. `context` says what its text means.
///
/// # Errors
/// `22P02`, `22003`, `22007`, `22021` for text; `22P03` as `08P01` for binary that is not the type's.
pub(crate) fn decode(
    value: Option<&Bytes>,
    format: Format,
    oid: u32,
    data_type: &DataType,
    context: &InputContext,
) -> Result<ArrayRef> {
    let Some(value) = value else { return Ok(new_null_array(data_type, 1)) };
    let decoder = Decoder { context };
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

/// The value of an argument of EXECUTE as a parameter: text is read as the type's input, as PostgreSQL does with a constant.
///
/// # Errors
/// As [`decode`] and [`convert`].
pub(crate) fn assign(value: &ArrayRef, oid: u32, data_type: &DataType, context: &InputContext) -> Result<ArrayRef> {
    if !value.data_type().is_string() || data_type.is_string() {
        return convert(value, data_type);
    }
    let text = convert(value, &DataType::Utf8)?;
    let text = text.as_string::<i32>();
    let bytes = (!text.is_null(0)).then(|| Bytes::copy_from_slice(text.value(0).as_bytes()));
    decode(bytes.as_ref(), Format::Text, oid, data_type, context)
}

/// Casts to the prepared type; what doesn't fit is an error, not NULL.
pub(crate) fn convert(array: &ArrayRef, data_type: &DataType) -> Result<ArrayRef> {
    // A numeric keeps its own scale, and a list of them theirs: to round it to a column's would change what it compares with.
    if array.data_type() == data_type || both_decimal(array.data_type(), data_type) {
        return Ok(array.clone());
    }
    cast_to(array, data_type)
}

/// Casts to `data_type`, and rounds a numeric to its scale.
pub(crate) fn cast_to(array: &ArrayRef, data_type: &DataType) -> Result<ArrayRef> {
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

fn both_decimal(from: &DataType, to: &DataType) -> bool {
    match (from, to) {
        (DataType::List(from), DataType::List(to)) => both_decimal(from.data_type(), to.data_type()),
        _ => from.is_decimal() && to.is_decimal(),
    }
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
    context: &'a InputContext,
}

impl Decoder<'_> {
    fn scalar(&self, value: &Bytes, format: Format, scalar: Scalar) -> Result<ArrayRef> {
        match (format, natural_type(scalar)) {
            // Text and its kin have the same bytes in both formats.
            (Format::Text, _) => self.text(utf8(value)?, scalar),
            (Format::Binary, DataType::Utf8) if !matches!(scalar, Scalar::Uuid | Scalar::Jsonb | Scalar::TimeTz) => {
                self.text(utf8(value)?, scalar)
            }
            (Format::Binary, _) => binary(&mut value.clone(), scalar),
        }
    }

    fn text(&self, text: &str, scalar: Scalar) -> Result<ArrayRef> {
        let integer = |min: i64, max: i64| input::integer(text, sql_name(scalar), min, max);
        Ok(match scalar {
            Scalar::Bool => Arc::new(BooleanArray::from(vec![input::boolean(text)?])),
            Scalar::Int2 => {
                let value = integer(i64::from(i16::MIN), i64::from(i16::MAX))?;
                Arc::new(Int16Array::from(vec![value as i16]))
            }
            Scalar::Int4 => {
                let value = integer(i64::from(i32::MIN), i64::from(i32::MAX))?;
                Arc::new(Int32Array::from(vec![value as i32]))
            }
            Scalar::Int8 => Arc::new(Int64Array::from(vec![integer(i64::MIN, i64::MAX)?])),
            Scalar::Oid | Scalar::Xid | Scalar::RegProc | Scalar::RegClass | Scalar::RegType => {
                Arc::new(Int64Array::from(vec![i64::from(input::oid(text)?)]))
            }
            Scalar::Float4 => Arc::new(Float32Array::from(vec![input::float4(text)?])),
            Scalar::Float8 => Arc::new(Float64Array::from(vec![input::float8(text)?])),
            Scalar::Numeric => decimal(text)?,
            Scalar::Bytea => Arc::new(BinaryArray::from(vec![input::bytes(text)?.as_slice()])),
            Scalar::Date => Arc::new(Date32Array::from(vec![input::date(text, self.context)?])),
            Scalar::Time => Arc::new(Time64MicrosecondArray::from(vec![input::time(text, self.context)?])),
            Scalar::Timestamp => timestamp(input::timestamp(text, self.context)?, scalar),
            Scalar::TimestampTz => timestamp(input::timestamp_with_zone(text, self.context)?, scalar),
            Scalar::Interval => {
                let read = input::interval(text, self.context.interval_style)?;
                interval(read.months, read.days, read.microseconds)?
            }
            Scalar::Uuid => {
                let uuid = uuid::Uuid::from_bytes(input::uuid(text)?);
                Arc::new(StringArray::from(vec![uuid.to_string()]))
            }
            Scalar::Json => {
                input::check_json(text)?;
                Arc::new(StringArray::from(vec![text]))
            }
            Scalar::Jsonb => Arc::new(StringArray::from(vec![input::canonical_json(text)?])),
            Scalar::TimeTz => {
                let (microseconds, east) = input::time_with_zone(text, self.context)?;
                Arc::new(StringArray::from(vec![time_with_zone(microseconds, east)]))
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
        // Numerics come with the scale they were written with; the list has the largest.
        let natural = elements.iter().fold(natural_type(element), |known, array| wider(known, array.data_type()));
        let elements: Vec<ArrayRef> = elements.iter().map(|array| cast_to(array, &natural)).collect::<Result<_>>()?;
        let references: Vec<&dyn Array> = elements.iter().map(AsRef::as_ref).collect();
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
            interval(months, days, microseconds)?
        }
        Scalar::TimeTz => {
            let microseconds = get!(try_get_i64);
            let west = get!(try_get_i32);
            if !(0..=DAY_MICROSECONDS).contains(&microseconds) {
                return Err(Error::new(ErrorCode::DatetimeFieldOverflow, "time out of range"));
            }
            if !(-57_599..=57_599).contains(&west) {
                return Err(Error::new(ErrorCode::InvalidTimeZoneDisplacement, "time zone displacement out of range"));
            }
            Arc::new(StringArray::from(vec![time_with_zone(microseconds, -west)]))
        }
        Scalar::Jsonb => {
            let version = get!(try_get_u8);
            if version != 1 {
                let message = format!("unsupported jsonb version number {version}");
                return Err(Error::new(ErrorCode::ProtocolViolation, message));
            }
            let text = bytes.split_to(bytes.len());
            Arc::new(StringArray::from(vec![input::canonical_json(utf8(&text)?)?]))
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

fn interval(months: i32, days: i32, microseconds: i64) -> Result<ArrayRef> {
    let nanoseconds = microseconds.checked_mul(1_000);
    let nanoseconds =
        nanoseconds.ok_or_else(|| Error::new(ErrorCode::DatetimeFieldOverflow, "interval out of range"))?;
    let value = IntervalMonthDayNano::new(months, days, nanoseconds);
    Ok(Arc::new(IntervalMonthDayNanoArray::from(vec![value])))
}

/// A time with its zone, which is kept as text.
fn time_with_zone(microseconds: i64, east: i32) -> String {
    let mut out = bytes::BytesMut::new();
    super::encode::text::time(microseconds, &mut out);
    super::encode::text::displacement(east, false, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// A decimal as written, with its own scale.
fn decimal(text: &str) -> Result<ArrayRef> {
    let read = input::decimal(text)?;
    let array: Option<ArrayRef> = match read.value.to_i128() {
        Some(value) if read.precision <= 38 => {
            let array = Decimal128Array::from(vec![value]).with_precision_and_scale(38, read.scale as i8);
            array.ok().map(|array| Arc::new(array) as ArrayRef)
        }
        _ => {
            let array = Decimal256Array::from(vec![read.value]).with_precision_and_scale(76, read.scale as i8);
            array.ok().map(|array| Arc::new(array) as ArrayRef)
        }
    };
    array.ok_or_else(|| Error::new(ErrorCode::NumericValueOutOfRange, "value overflows numeric format"))
}

/// The decimal type that holds the values of both.
fn wider(known: DataType, other: &DataType) -> DataType {
    let (Some((precision, scale)), Some((other_precision, other_scale))) = (digits(&known), digits(other)) else {
        return known;
    };
    let (precision, scale) = (precision.max(other_precision), scale.max(other_scale));
    if precision > 38 { DataType::Decimal256(76, scale) } else { DataType::Decimal128(38, scale) }
}

fn digits(data_type: &DataType) -> Option<(u8, i8)> {
    match data_type {
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => Some((*precision, *scale)),
        _ => None,
    }
}

/// A numeric's binary form: groups of four digits.
fn numeric(bytes: &mut Bytes) -> Result<ArrayRef> {
    let malformed = || malformed_binary("numeric");
    let count = bytes.try_get_i16().map_err(|_| malformed())?;
    let weight = bytes.try_get_i16().map_err(|_| malformed())?;
    let sign = bytes.try_get_u16().map_err(|_| malformed())?;
    let display_scale = bytes.try_get_i16().map_err(|_| malformed())?;
    if !matches!(sign, 0 | 0x4000) {
        // NaN, Infinity, -Infinity, which PostgreSQL has and we have not.
        return Err(Error::unsupported("numeric NaN and infinity are not supported")
            .with_hint("Use double precision, which has them."));
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
    let read = decimal(&format!("{sign}{text}e{exponent}"))?;
    // The scale as it was written: `1.50` stays so. Groups of four may give more zeros than that.
    let scale = i8::try_from(display_scale).ok().filter(|scale| (0..=76).contains(scale));
    Ok(match (scale, digits(read.data_type())) {
        (Some(scale), Some((_, had))) if scale != had => {
            let narrow = (scale <= 38).then(|| cast_to(&read, &DataType::Decimal128(38, scale)).ok()).flatten();
            let cast = narrow.or_else(|| cast_to(&read, &DataType::Decimal256(76, scale)).ok());
            cast.unwrap_or(read)
        }
        _ => read,
    })
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
        Scalar::TimeTz => "time with time zone",
        other => other.name(),
    }
}
