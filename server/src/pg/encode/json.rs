//! Structs, maps and nested lists -> JSON text, as PostgreSQL's `to_json` writes the same values.

use bytes::{BufMut, BytesMut};

use super::cells::{Cells, OutOfRange, Value};
use super::style::{self, Style};
use super::text;

/// Writes a value with all its parts.
pub(crate) fn write(value: Value<'_>, style: &Style, out: &mut BytesMut) -> Result<(), OutOfRange> {
    match value {
        Value::Bool(value) => out.put_slice(if value { b"true" } else { b"false" }),
        Value::Int(_) | Value::Decimal(..) | Value::BigDecimal(..) => text::write(value, style, out)?,
        Value::Float4(number) if number.is_finite() => text::write(value, style, out)?,
        Value::Float8(number) if number.is_finite() => text::write(value, style, out)?,
        Value::Text(value) => string(value, out),
        Value::Timestamp(microseconds) => quoted(out, |out| text::timestamp(microseconds, b'T', out)),
        Value::TimestampTz(microseconds) => quoted(out, |out| text::timestamp_tz(microseconds, style.zone, b'T', out)),
        Value::Date(days) => quoted(out, |out| text::date(days, out)),
        Value::Bytes(value) => {
            let mut plain = BytesMut::new();
            style::bytea(value, style, &mut plain);
            string(&String::from_utf8_lossy(&plain), out);
        }
        Value::List(cells, start, end) => {
            out.put_u8(b'[');
            for row in start..end {
                if row > start {
                    out.put_u8(b',');
                }
                cell(cells, row, style, out)?;
            }
            out.put_u8(b']');
        }
        Value::Struct(fields, row) => {
            out.put_u8(b'{');
            for (index, (name, cells)) in fields.iter().enumerate() {
                if index > 0 {
                    out.put_u8(b',');
                }
                string(name, out);
                out.put_u8(b':');
                cell(cells, row, style, out)?;
            }
            out.put_u8(b'}');
        }
        Value::Map(keys, values, start, end) => {
            out.put_u8(b'{');
            for row in start..end {
                if row > start {
                    out.put_u8(b',');
                }
                key(keys, row, style, out)?;
                out.put_u8(b':');
                cell(values, row, style, out)?;
            }
            out.put_u8(b'}');
        }
        Value::Float4(_) | Value::Float8(_) | Value::Time(_) | Value::Interval(_) => {
            out.put_u8(b'"');
            text::write(value, style, out)?;
            out.put_u8(b'"');
        }
    }
    Ok(())
}

fn cell(cells: &Cells, row: usize, style: &Style, out: &mut BytesMut) -> Result<(), OutOfRange> {
    match cells.value(row)? {
        Some(value) => write(value, style, out),
        None => {
            out.put_slice(b"null");
            Ok(())
        }
    }
}

/// JSON's keys are strings, whatever the map's are.
fn key(keys: &Cells, row: usize, style: &Style, out: &mut BytesMut) -> Result<(), OutOfRange> {
    match keys.value(row)? {
        Some(Value::Text(value)) => string(value, out),
        Some(value) => {
            let mut plain = BytesMut::new();
            text::write(value, style, &mut plain)?;
            string(&String::from_utf8_lossy(&plain), out);
        }
        None => out.put_slice(b"\"\""),
    }
    Ok(())
}

fn quoted(out: &mut BytesMut, write: impl FnOnce(&mut BytesMut)) {
    out.put_u8(b'"');
    write(out);
    out.put_u8(b'"');
}

fn string(value: &str, out: &mut BytesMut) {
    out.put_u8(b'"');
    let mut plain_from = 0;
    for (index, byte) in value.bytes().enumerate() {
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0x08 => b"\\b",
            0x0c => b"\\f",
            0..0x20 => b"",
            _ => continue,
        };
        out.put_slice(&value.as_bytes()[plain_from..index]);
        if escape.is_empty() {
            out.put_slice(format!("\\u{byte:04x}").as_bytes());
        } else {
            out.put_slice(escape);
        }
        plain_from = index + 1;
    }
    out.put_slice(&value.as_bytes()[plain_from..]);
    out.put_u8(b'"');
}
