//! Values -> PostgreSQL's binary formats, as each type's `send` function writes them.

use bytes::{BufMut, BytesMut};
use limnos_engine::input::{self, InputContext};

use super::calendar::{DAY_MICROSECONDS, POSTGRES_EPOCH_DAYS};
use super::cells::{Cells, OutOfRange, Value, storable};
use super::json;
use super::style::Style;
use crate::pg::types::Scalar;

/// Microseconds from 1970-01-01 to 2000-01-01.
const POSTGRES_EPOCH_MICROSECONDS: i64 = POSTGRES_EPOCH_DAYS as i64 * DAY_MICROSECONDS;

/// Writes one value of `scalar`.
#[inline]
pub(crate) fn write(value: Value<'_>, scalar: Scalar, style: &Style, out: &mut BytesMut) -> Result<(), OutOfRange> {
    match value {
        Value::Bool(value) => out.put_u8(u8::from(value)),
        Value::Int(value) => match scalar {
            Scalar::Int2 => out.put_i16(i16::try_from(value).map_err(|_| OutOfRange("smallint"))?),
            Scalar::Int4 => out.put_i32(i32::try_from(value).map_err(|_| OutOfRange("integer"))?),
            Scalar::Int8 => out.put_i64(value),
            // An OID kept in an int4 column may have become negative.
            _ => match i32::try_from(value) {
                Ok(value) => out.put_i32(value),
                Err(_) => out.put_u32(u32::try_from(value).map_err(|_| OutOfRange("oid"))?),
            },
        },
        Value::Float4(value) => out.put_f32(value),
        Value::Float8(value) => out.put_f64(value),
        Value::Text(value) => match scalar {
            Scalar::Uuid => out.put_slice(&input::uuid(value).map_err(|_| OutOfRange("uuid"))?),
            Scalar::Jsonb => {
                // Its version.
                out.put_u8(1);
                out.put_slice(storable(value)?.as_bytes());
            }
            Scalar::TimeTz => {
                let read = input::time_with_zone(value, &InputContext::default());
                let (microseconds, east) = read.map_err(|_| OutOfRange("time"))?;
                out.put_i64(microseconds);
                // PostgreSQL counts seconds to the west.
                out.put_i32(-east);
            }
            _ => out.put_slice(storable(value)?.as_bytes()),
        },
        Value::Bytes(value) => out.put_slice(value),
        Value::Decimal(value, scale) => {
            let mut buffer = itoa::Buffer::new();
            numeric(value < 0, buffer.format(value.unsigned_abs()).as_bytes(), scale, out);
        }
        Value::BigDecimal(value, scale) => {
            let text = value.to_string();
            numeric(text.starts_with('-'), text.trim_start_matches('-').as_bytes(), scale, out);
        }
        Value::Date(days) => out.put_i32(match days {
            i32::MAX | i32::MIN => days,
            _ => days.checked_sub(POSTGRES_EPOCH_DAYS).ok_or(OutOfRange("date"))?,
        }),
        Value::Time(microseconds) => out.put_i64(microseconds),
        Value::Timestamp(microseconds) | Value::TimestampTz(microseconds) => out.put_i64(match microseconds {
            i64::MAX | i64::MIN => microseconds,
            _ => microseconds.checked_sub(POSTGRES_EPOCH_MICROSECONDS).ok_or(OutOfRange("timestamp"))?,
        }),
        Value::Interval(value) => {
            out.put_i64(value.microseconds);
            out.put_i32(value.days);
            out.put_i32(value.months);
        }
        Value::List(..) | Value::Struct(..) | Value::Map(..) => json::write(value, style, out)?,
    }
    Ok(())
}

/// A one-dimensional array: dimensions, whether there are nulls, the element's type, length and lower bound, then the
/// elements with their lengths. An empty array has no dimension.
pub(crate) fn array(
    (cells, start, end): (&Cells, usize, usize),
    scalar: Scalar,
    lower_bound: i32,
    style: &Style,
    out: &mut BytesMut,
) -> Result<(), OutOfRange> {
    let count = i32::try_from(end - start).map_err(|_| OutOfRange("array"))?;
    // A vector (lower bound 0) keeps its dimension even when empty.
    let dimensions = i32::from(count > 0 || lower_bound == 0);
    out.put_i32(dimensions);
    let has_nulls_at = out.len();
    out.put_i32(0);
    out.put_u32(scalar.oid());
    if dimensions == 0 {
        return Ok(());
    }
    out.put_i32(count);
    out.put_i32(lower_bound);
    let mut has_nulls = false;
    for row in start..end {
        let Some(value) = cells.value(row)? else {
            has_nulls = true;
            out.put_i32(-1);
            continue;
        };
        let length_at = out.len();
        out.put_i32(0);
        write(value, scalar, style, out)?;
        super::patch_length(out, length_at);
    }
    if has_nulls {
        out[has_nulls_at..has_nulls_at + 4].copy_from_slice(&1_i32.to_be_bytes());
    }
    Ok(())
}

/// Digits in base 10,000, grouped from the point outward: count, weight of the first, sign, digits after the point, then
/// the groups without leading and trailing zeros.
fn numeric(negative: bool, digits: &[u8], scale: i8, out: &mut BytesMut) {
    let after = i32::from(scale.max(0));
    let zeros = i32::from(scale.min(0)).unsigned_abs() as i32;
    // The digit at `position` counts 10^(digits.len() - 1 - position + zeros - after).
    let whole = digits.len() as i32 + zeros - after;
    let first_group = (whole - 1).div_euclid(4);
    let last_group = -(after + 3).div_euclid(4);
    let group = |index: i32| -> i16 {
        // Group `index` holds the powers 4 * index + 3 down to 4 * index.
        (0..4).rev().fold(0, |sum, power| {
            let position = whole - 1 - (4 * index + power);
            let digit = usize::try_from(position).ok().and_then(|position| digits.get(position));
            sum * 10 + digit.map_or(0, |digit| i16::from(digit - b'0'))
        })
    };
    let mut groups = [0_i16; 80];
    let mut count = 0;
    let mut weight = 0;
    let mut index = first_group;
    while index >= last_group && count < groups.len() {
        let value = group(index);
        if value != 0 || count > 0 {
            if count == 0 {
                weight = index;
            }
            groups[count] = value;
            count += 1;
        }
        index -= 1;
    }
    while count > 0 && groups[count - 1] == 0 {
        count -= 1;
    }
    out.put_i16(count as i16);
    out.put_i16(if count == 0 { 0 } else { weight as i16 });
    out.put_u16(if negative && count > 0 { 0x4000 } else { 0 });
    out.put_i16(after as i16);
    for group in &groups[..count] {
        out.put_i16(*group);
    }
}
