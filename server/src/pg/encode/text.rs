//! Values -> the text PostgreSQL 15 prints for them. What the settings change stands in [`super::style`].

use arrow::datatypes::i256;
use bytes::{BufMut, BytesMut};
use limnos_engine::session::Zone;

use super::calendar::{DAY_MICROSECONDS, Date};
use super::cells::{Cells, Interval, OutOfRange, Value, storable};
use super::json;
use super::style::{self, Style};

/// Writes a scalar or, for what has parts, its JSON.
#[inline]
pub(crate) fn write(value: Value<'_>, style: &Style, out: &mut BytesMut) -> Result<(), OutOfRange> {
    match value {
        Value::Bool(value) => out.put_u8(if value { b't' } else { b'f' }),
        Value::Int(value) => integer(value, out),
        Value::Float4(value) => style::float4(value, style, out),
        Value::Float8(value) => style::float8(value, style, out),
        Value::Text(value) => out.put_slice(storable(value)?.as_bytes()),
        Value::Bytes(value) => style::bytea(value, style, out),
        Value::Decimal(value, scale) => decimal(value, scale, out),
        Value::BigDecimal(value, scale) => big_decimal(value, scale, out),
        Value::Date(days) => style::date(days, style, out),
        Value::Time(microseconds) => time(microseconds, out),
        Value::Timestamp(microseconds) => style::timestamp(microseconds, style, out),
        Value::TimestampTz(microseconds) => style::timestamp_tz(microseconds, style, out),
        Value::Interval(value) => style::interval(value, style, out),
        Value::List(..) | Value::Struct(..) | Value::Map(..) => json::write(value, style, out)?,
    }
    Ok(())
}

/// `{1,NULL,"a b"}`.
pub(crate) fn array(
    cells: &Cells,
    start: usize,
    end: usize,
    style: &Style,
    out: &mut BytesMut,
) -> Result<(), OutOfRange> {
    out.put_u8(b'{');
    for row in start..end {
        if row > start {
            out.put_u8(b',');
        }
        let Some(value) = cells.value(row)? else {
            out.put_slice(b"NULL");
            continue;
        };
        let from = out.len();
        write(value, style, out)?;
        if needs_quotes(&out[from..]) {
            let plain = out.split_off(from);
            out.put_u8(b'"');
            for byte in plain {
                if matches!(byte, b'"' | b'\\') {
                    out.put_u8(b'\\');
                }
                out.put_u8(byte);
            }
            out.put_u8(b'"');
        }
    }
    out.put_u8(b'}');
    Ok(())
}

/// As `array_out` decides it.
fn needs_quotes(element: &[u8]) -> bool {
    element.is_empty()
        || element.eq_ignore_ascii_case(b"null")
        || element
            .iter()
            .any(|byte| matches!(byte, b'"' | b'\\' | b'{' | b'}' | b',' | b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c))
}

/// `1 2 3`.
pub(crate) fn vector(
    cells: &Cells,
    start: usize,
    end: usize,
    style: &Style,
    out: &mut BytesMut,
) -> Result<(), OutOfRange> {
    for row in start..end {
        if row > start {
            out.put_u8(b' ');
        }
        if let Some(value) = cells.value(row)? {
            write(value, style, out)?;
        }
    }
    Ok(())
}

pub(crate) fn integer(value: i64, out: &mut BytesMut) {
    out.put_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// The shortest digits that read back as the same number; an exponent from 1e+15, as `%.15g` would.
pub(crate) fn float8(value: f64, out: &mut BytesMut) {
    if special_float(value, out) {
        return;
    }
    let mut buffer = ryu::Buffer::new();
    float(buffer.format_finite(value), (1e-4..1e15).contains(&value.abs()), 15, out);
}

/// As [`float8`], with the exponent from 1e+06.
pub(crate) fn float4(value: f32, out: &mut BytesMut) {
    if special_float(f64::from(value), out) {
        return;
    }
    let mut buffer = ryu::Buffer::new();
    float(buffer.format_finite(value), (1e-4..1e6).contains(&value.abs()), 6, out);
}

pub(super) fn special_float(value: f64, out: &mut BytesMut) -> bool {
    let text: &[u8] = if value.is_nan() {
        b"NaN"
    } else if value == f64::INFINITY {
        b"Infinity"
    } else if value == f64::NEG_INFINITY {
        b"-Infinity"
    } else if value == 0.0 {
        if value.is_sign_negative() { b"-0" } else { b"0" }
    } else {
        return false;
    };
    out.put_slice(text);
    true
}

/// `shortest` is ryu's: `1.5`, `100.0`, `1.5e20`. `plain` says that it is in the range without exponent.
pub(super) fn float(shortest: &str, plain: bool, precision: i32, out: &mut BytesMut) {
    if plain && !shortest.contains('e') {
        out.put_slice(shortest.strip_suffix(".0").unwrap_or(shortest).as_bytes());
        return;
    }
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((shortest, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let point = mantissa.find('.').unwrap_or(mantissa.len()) as i32;
    // Digits without point and zeros around them, and the exponent of the first. 17 digits at most, and 16 zeros.
    let mut digits = [0_u8; 40];
    let mut count = 0;
    let mut leading = 0;
    for digit in mantissa.bytes().filter(|byte| *byte != b'.') {
        if count == 0 && digit == b'0' {
            leading += 1;
        } else if count < digits.len() {
            digits[count] = digit;
            count += 1;
        }
    }
    while count > 1 && digits[count - 1] == b'0' {
        count -= 1;
    }
    let digits = &digits[..count];
    let exponent = exponent + point - 1 - leading;
    out.put_slice(sign.as_bytes());
    if (-4..precision).contains(&exponent) {
        positional(digits, exponent, out);
        return;
    }
    out.put_slice(&digits[..1]);
    if digits.len() > 1 {
        out.put_u8(b'.');
        out.put_slice(&digits[1..]);
    }
    out.put_slice(if exponent < 0 { b"e-" } else { b"e+" });
    if exponent.abs() < 10 {
        out.put_u8(b'0');
    }
    integer(i64::from(exponent.abs()), out);
}

fn positional(digits: &[u8], exponent: i32, out: &mut BytesMut) {
    if exponent < 0 {
        out.put_slice(b"0.");
        out.put_bytes(b'0', (-exponent - 1) as usize);
        out.put_slice(digits);
        return;
    }
    let whole = exponent as usize + 1;
    if digits.len() <= whole {
        out.put_slice(digits);
        out.put_bytes(b'0', whole - digits.len());
    } else {
        out.put_slice(&digits[..whole]);
        out.put_u8(b'.');
        out.put_slice(&digits[whole..]);
    }
}

pub(crate) fn decimal(value: i128, scale: i8, out: &mut BytesMut) {
    let mut buffer = itoa::Buffer::new();
    scaled(value < 0, buffer.format(value.unsigned_abs()).as_bytes(), scale, out);
}

pub(crate) fn big_decimal(value: i256, scale: i8, out: &mut BytesMut) {
    let text = value.to_string();
    let digits = text.strip_prefix('-').unwrap_or(&text);
    scaled(text.starts_with('-'), digits.as_bytes(), scale, out);
}

/// The scale is kept: 1.50 stays 1.50.
fn scaled(negative: bool, digits: &[u8], scale: i8, out: &mut BytesMut) {
    if negative {
        out.put_u8(b'-');
    }
    let after = usize::from(scale.max(0).unsigned_abs());
    if after == 0 {
        out.put_slice(digits);
        if digits != b"0" {
            out.put_bytes(b'0', usize::from(scale.min(0).unsigned_abs()));
        }
    } else if digits.len() > after {
        let (whole, fraction) = digits.split_at(digits.len() - after);
        out.put_slice(whole);
        out.put_u8(b'.');
        out.put_slice(fraction);
    } else {
        out.put_slice(b"0.");
        out.put_bytes(b'0', after - digits.len());
        out.put_slice(digits);
    }
}

pub(crate) fn bytea(value: &[u8], out: &mut BytesMut) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.reserve(2 + 2 * value.len());
    out.put_slice(b"\\x");
    for byte in value {
        out.put_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
    }
}

pub(crate) fn uuid(value: &[u8], out: &mut BytesMut) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for (index, byte) in value.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            out.put_u8(b'-');
        }
        out.put_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
    }
}

pub(crate) fn date(days: i32, out: &mut BytesMut) {
    match days {
        i32::MAX => out.put_slice(b"infinity"),
        i32::MIN => out.put_slice(b"-infinity"),
        _ => {
            let date = Date::from_days(i64::from(days));
            year_month_day(date, out);
            before_christ(date, out);
        }
    }
}

/// `separator` is a space, or a `T` in JSON.
pub(crate) fn timestamp(microseconds: i64, separator: u8, out: &mut BytesMut) {
    if infinite(microseconds, out) {
        return;
    }
    let date = Date::from_days(microseconds.div_euclid(DAY_MICROSECONDS));
    year_month_day(date, out);
    out.put_u8(separator);
    time(microseconds.rem_euclid(DAY_MICROSECONDS), out);
    before_christ(date, out);
}

pub(crate) fn timestamp_tz(microseconds: i64, zone: Zone, separator: u8, out: &mut BytesMut) {
    if infinite(microseconds, out) {
        return;
    }
    let offset = zone.offset(microseconds);
    // At the very ends of the range there is no room for the offset; UTC is as true there.
    let (local, offset) =
        microseconds.checked_add(i64::from(offset) * 1_000_000).map_or((microseconds, 0), |local| (local, offset));
    let date = Date::from_days(local.div_euclid(DAY_MICROSECONDS));
    year_month_day(date, out);
    out.put_u8(separator);
    time(local.rem_euclid(DAY_MICROSECONDS), out);
    displacement(offset, separator == b'T', out);
    before_christ(date, out);
}

/// `+05:30`: hours, and the rest where there is one or `minutes` asks for it.
pub(crate) fn displacement(offset: i32, minutes: bool, out: &mut BytesMut) {
    out.put_u8(if offset < 0 { b'-' } else { b'+' });
    let offset = offset.unsigned_abs();
    two_digits(offset / 3600, out);
    if minutes || !offset.is_multiple_of(3600) {
        out.put_u8(b':');
        two_digits(offset / 60 % 60, out);
    }
    if !offset.is_multiple_of(60) {
        out.put_u8(b':');
        two_digits(offset % 60, out);
    }
}

pub(super) fn infinite(microseconds: i64, out: &mut BytesMut) -> bool {
    match microseconds {
        i64::MAX => out.put_slice(b"infinity"),
        i64::MIN => out.put_slice(b"-infinity"),
        _ => return false,
    }
    true
}

pub(super) fn year_month_day(date: Date, out: &mut BytesMut) {
    year(date, out);
    out.put_u8(b'-');
    two_digits(u32::from(date.month), out);
    out.put_u8(b'-');
    two_digits(u32::from(date.day), out);
}

/// Four digits or more.
pub(super) fn year(date: Date, out: &mut BytesMut) {
    // There is no year 0: 1 BC is 0 here.
    let year = if date.year > 0 { date.year } else { 1 - date.year };
    if year < 1000 {
        out.put_bytes(
            b'0',
            if year < 10 {
                3
            } else if year < 100 {
                2
            } else {
                1
            },
        );
    }
    integer(year, out);
}

pub(super) fn before_christ(date: Date, out: &mut BytesMut) {
    if date.year <= 0 {
        out.put_slice(b" BC");
    }
}

/// `04:05:06.789`: microseconds since midnight, trailing zeros left off.
pub(crate) fn time(microseconds: i64, out: &mut BytesMut) {
    let seconds = microseconds / 1_000_000;
    two_digits((seconds / 3600) as u32, out);
    out.put_u8(b':');
    two_digits((seconds / 60 % 60) as u32, out);
    out.put_u8(b':');
    two_digits((seconds % 60) as u32, out);
    fraction(microseconds % 1_000_000, out);
}

pub(super) fn fraction(microseconds: i64, out: &mut BytesMut) {
    if microseconds == 0 {
        return;
    }
    let mut digits = *b".000000";
    let mut rest = microseconds;
    for digit in digits[1..].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    let end = digits.iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1);
    out.put_slice(&digits[..end]);
}

pub(super) fn two_digits(value: u32, out: &mut BytesMut) {
    if value < 10 {
        out.put_u8(b'0');
        out.put_u8(b'0' + value as u8);
    } else {
        integer(i64::from(value), out);
    }
}

/// `1 year 2 mons 3 days 04:05:06.7`: `EncodeInterval` with `INTSTYLE_POSTGRES`. A field that follows a negative one
/// shows its plus sign.
pub(crate) fn interval(value: Interval, out: &mut BytesMut) {
    let mut empty = true;
    let mut after_negative = false;
    for (count, unit) in [(value.months / 12, "year"), (value.months % 12, "mon"), (value.days, "day")] {
        if count == 0 {
            continue;
        }
        if !empty {
            out.put_u8(b' ');
        }
        if after_negative && count > 0 {
            out.put_u8(b'+');
        }
        integer(i64::from(count), out);
        out.put_u8(b' ');
        out.put_slice(unit.as_bytes());
        if count != 1 {
            out.put_u8(b's');
        }
        after_negative = count < 0;
        empty = false;
    }
    if value.microseconds == 0 && !empty {
        return;
    }
    if !empty {
        out.put_u8(b' ');
    }
    if value.microseconds < 0 {
        out.put_u8(b'-');
    } else if after_negative {
        out.put_u8(b'+');
    }
    let microseconds = value.microseconds.unsigned_abs();
    let seconds = microseconds / 1_000_000;
    if seconds / 3600 < 10 {
        out.put_u8(b'0');
    }
    integer((seconds / 3600) as i64, out);
    out.put_u8(b':');
    two_digits((seconds / 60 % 60) as u32, out);
    out.put_u8(b':');
    two_digits((seconds % 60) as u32, out);
    fraction((microseconds % 1_000_000) as i64, out);
}
