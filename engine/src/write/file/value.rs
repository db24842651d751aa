//! Values as text that the scalars of text formats read back equal: shared by JSON and delimited text.

use std::fmt::Write as _;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Date32Type, Field, TimestampMicrosecondType};
use base64::Engine as _;

use crate::encode::json::write_string;
use crate::encode::text::{hex_text, write_text};
use crate::scan::format::datetime::DateTimeFormat;
use crate::scan::format::json::cursor::Cursor;
use crate::scan::schema::PG_TYPE_METADATA;

/// Days and microseconds from which and to which a year has four digits; readers take no other.
const FIRST_DAY: i64 = -719_162;
const LAST_DAY: i64 = 2_932_896;
const DAY_MICROS: i64 = 86_400_000_000;

/// Why a value isn't written, a sentence.
pub(super) type Refusal = &'static str;

/// How values of one column are spelled.
#[derive(Debug, Clone, Default)]
pub(super) struct Spelling {
    /// The pattern of its dates.
    pub format: Option<DateTimeFormat>,
    /// Whether binary values are `\x` and hexadecimal digits, and not base64.
    pub hex: bool,
}

/// Whether a field of text holds JSON.
pub(super) fn is_json(field: &Field) -> bool {
    field.metadata().get(PG_TYPE_METADATA).is_some_and(|name| name == "json")
}

impl Spelling {
    /// Appends a scalar, which isn't NULL.
    pub(super) fn write_scalar(&self, array: &dyn Array, row: usize, out: &mut String) -> Result<(), Refusal> {
        match array.data_type() {
            DataType::Boolean => out.push_str(if array.as_boolean().value(row) { "true" } else { "false" }),
            DataType::BinaryView => {
                let bytes = array.as_binary_view().value(row);
                if self.hex {
                    hex_text(bytes, out);
                } else {
                    base64::engine::general_purpose::STANDARD.encode_string(bytes, out);
                }
            }
            DataType::Date32 => {
                let days = array.as_primitive::<Date32Type>().value(row);
                in_calendar(i64::from(days))?;
                match &self.format {
                    Some(format) => out.push_str(&format.write_date(days).ok_or(PATTERN_LOSES)?),
                    None => write_text(array, row, out),
                }
            }
            DataType::Timestamp(_, _) => {
                let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
                in_calendar(micros.div_euclid(DAY_MICROS))?;
                match &self.format {
                    Some(format) => out.push_str(&format.write_timestamp(micros).ok_or(PATTERN_LOSES)?),
                    None => write_text(array, row, out),
                }
            }
            _ => write_text(array, row, out),
        }
        Ok(())
    }

    /// Appends a value as JSON.
    pub(super) fn write_json(
        &self,
        array: &dyn Array,
        field: &Field,
        row: usize,
        out: &mut String,
    ) -> Result<(), Refusal> {
        if array.is_null(row) {
            out.push_str("null");
            return Ok(());
        }
        match array.data_type() {
            DataType::Utf8View if is_json(field) => return write_raw_json(array.as_string_view().value(row), out),
            DataType::Utf8View => write_string(array.as_string_view().value(row), out),
            DataType::Boolean => self.write_scalar(array, row, out)?,
            DataType::Float32 | DataType::Float64 => {
                let start = out.len();
                write_text(array, row, out);
                // JSON has no NaN and no infinity; in quotes they read back as what they are.
                if out[start..].ends_with(['N', 'y']) {
                    out.insert(start, '"');
                    out.push('"');
                }
            }
            number if number.is_numeric() => write_text(array, row, out),
            DataType::List(item) => {
                out.push('[');
                let values = array.as_list::<i32>().value(row);
                for index in 0..values.len() {
                    if index > 0 {
                        out.push(',');
                    }
                    self.write_json(values.as_ref(), item, index, out)?;
                }
                out.push(']');
            }
            DataType::Struct(fields) => {
                out.push('{');
                for (index, (field, column)) in fields.iter().zip(array.as_struct().columns()).enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    write_string(field.name(), out);
                    out.push(':');
                    self.write_json(column.as_ref(), field, row, out)?;
                }
                out.push('}');
            }
            DataType::Map(_, _) => {
                let entries = array.as_map().value(row);
                let value_field = &entries.fields()[1];
                out.push('{');
                let mut key = String::new();
                for index in 0..entries.len() {
                    if index > 0 {
                        out.push(',');
                    }
                    key.clear();
                    self.write_scalar(entries.column(0).as_ref(), index, &mut key)?;
                    write_string(&key, out);
                    out.push(':');
                    self.write_json(entries.column(1).as_ref(), value_field, index, out)?;
                }
                out.push('}');
            }
            _ => {
                let mut text = String::new();
                self.write_scalar(array, row, &mut text)?;
                write_string(&text, out);
            }
        }
        Ok(())
    }
}

const PATTERN_LOSES: Refusal = "The pattern of the column's dates does not hold all of it.";

fn in_calendar(days: i64) -> Result<(), Refusal> {
    if (FIRST_DAY..=LAST_DAY).contains(&days) { Ok(()) } else { Err("Text files hold dates of the years 1 to 9999.") }
}

/// Appends JSON text as a part of JSON, on one line.
fn write_raw_json(text: &str, out: &mut String) -> Result<(), Refusal> {
    let mut cursor = Cursor::new(text);
    let Ok(value) = cursor.raw_value().and_then(|value| cursor.end().map(|()| value)) else {
        return Err("It is not valid JSON.");
    };
    // Inside strings line breaks are escaped, so these are white space.
    out.extend(value.chars().map(|c| if c == '\n' || c == '\r' { ' ' } else { c }));
    Ok(())
}

/// The error for a value that isn't written.
pub(super) fn refuse(column: &str, kind: &str, refusal: Refusal) -> crate::Error {
    let mut message = String::new();
    let _ = write!(message, "a value of column \"{column}\" cannot be written to {kind} files");
    crate::Error::new(crate::ErrorCode::DataException, message).with_detail(refusal)
}
