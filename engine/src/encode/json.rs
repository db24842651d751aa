//! JSON: an array of objects, or one object a line.
//!
//! Numbers keep every digit, decimals too; what JSON can't say (NaN, infinities) is `null`. Dates and times are ISO 8601
//! strings, binary is PostgreSQL's hex, lists are arrays, structs and maps are objects.

use std::fmt::Write as _;
use std::io::Write;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float16Type, Float32Type, Float64Type, SchemaRef};

use super::{BatchWriter, output_error, text};
use crate::Result;

/// How objects follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    Array,
    Lines,
}

/// Writes objects whose keys are the column names.
pub(super) struct JsonWriter {
    layout: Layout,
    /// `"name":` of each column, escaped once.
    keys: Vec<String>,
    row_count: u64,
    buffer: String,
}

impl JsonWriter {
    pub(super) fn new(schema: &SchemaRef, layout: Layout) -> Self {
        let keys = schema
            .fields()
            .iter()
            .map(|field| {
                let mut key = String::new();
                write_string(field.name(), &mut key);
                key.push(':');
                key
            })
            .collect();
        Self { layout, keys, row_count: 0, buffer: String::new() }
    }
}

impl BatchWriter for JsonWriter {
    fn write(&mut self, batch: &RecordBatch, output: &mut dyn Write) -> Result<()> {
        for row in 0..batch.num_rows() {
            self.buffer.clear();
            if self.layout == Layout::Array {
                self.buffer.push_str(if self.row_count == 0 { "[\n" } else { ",\n" });
            }
            self.buffer.push('{');
            for (index, column) in batch.columns().iter().enumerate() {
                if index > 0 {
                    self.buffer.push(',');
                }
                self.buffer.push_str(&self.keys[index]);
                write_json(column.as_ref(), row, &mut self.buffer);
            }
            self.buffer.push('}');
            if self.layout == Layout::Lines {
                self.buffer.push('\n');
            }
            output.write_all(self.buffer.as_bytes()).map_err(|error| output_error(&error))?;
            self.row_count += 1;
        }
        Ok(())
    }

    fn finish(&mut self, output: &mut dyn Write) -> Result<()> {
        let end: &[u8] = match (self.layout, self.row_count) {
            (Layout::Lines, _) => b"",
            (Layout::Array, 0) => b"[]\n",
            (Layout::Array, _) => b"\n]\n",
        };
        output.write_all(end).map_err(|error| output_error(&error))
    }
}

/// Appends `array[row]` as JSON.
pub(crate) fn write_json(array: &dyn Array, row: usize, out: &mut String) {
    if array.is_null(row) {
        return out.push_str("null");
    }
    let mut float = |value: f64, write: &dyn Fn(&mut String)| {
        if value.is_finite() { write(out) } else { out.push_str("null") }
    };
    match array.data_type() {
        DataType::Null => out.push_str("null"),
        DataType::Boolean => out.push_str(if array.as_boolean().value(row) { "true" } else { "false" }),
        DataType::Float16 => {
            float(f64::from(array.as_primitive::<Float16Type>().value(row)), &|out| text::write_text(array, row, out));
        }
        DataType::Float32 => {
            float(f64::from(array.as_primitive::<Float32Type>().value(row)), &|out| text::write_text(array, row, out));
        }
        DataType::Float64 => {
            float(array.as_primitive::<Float64Type>().value(row), &|out| text::write_text(array, row, out));
        }
        other if other.is_numeric() => text::write_text(array, row, out),
        DataType::Utf8 => write_string(array.as_string::<i32>().value(row), out),
        DataType::LargeUtf8 => write_string(array.as_string::<i64>().value(row), out),
        DataType::Utf8View => write_string(array.as_string_view().value(row), out),
        DataType::Timestamp(_, zone) => {
            out.push('"');
            text::timestamp_text(text::micros_of(array, row), zone.as_deref(), 'T', out);
            out.push('"');
        }
        DataType::List(_) => write_list(&array.as_list::<i32>().value(row), out),
        DataType::LargeList(_) => write_list(&array.as_list::<i64>().value(row), out),
        DataType::FixedSizeList(_, _) => write_list(&array.as_fixed_size_list().value(row), out),
        DataType::ListView(_) => write_list(&array.as_list_view::<i32>().value(row), out),
        DataType::LargeListView(_) => write_list(&array.as_list_view::<i64>().value(row), out),
        DataType::Struct(fields) => {
            out.push('{');
            for (index, (field, column)) in fields.iter().zip(array.as_struct().columns()).enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_string(field.name(), out);
                out.push(':');
                write_json(column.as_ref(), row, out);
            }
            out.push('}');
        }
        DataType::Map(_, _) => {
            let entries = array.as_map().value(row);
            out.push('{');
            for entry in 0..entries.len() {
                if entry > 0 {
                    out.push(',');
                }
                let mut key = String::new();
                text::write_text(entries.column(0).as_ref(), entry, &mut key);
                write_string(&key, out);
                out.push(':');
                write_json(entries.column(1).as_ref(), entry, out);
            }
            out.push('}');
        }
        DataType::Dictionary(_, _) => {
            let (values, key) = text::dictionary_entry(array, row);
            write_json(values.as_ref(), key, out);
        }
        _ => {
            let mut plain = String::new();
            text::write_text(array, row, &mut plain);
            write_string(&plain, out);
        }
    }
}

fn write_list(values: &dyn Array, out: &mut String) {
    out.push('[');
    for row in 0..values.len() {
        if row > 0 {
            out.push(',');
        }
        write_json(values, row, out);
    }
    out.push(']');
}

/// Appends `text` in quotes, escaped as RFC 8259 asks and no more.
pub(crate) fn write_string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::sync::Arc;

    use arrow::array::*;
    use arrow::datatypes::*;

    use super::*;

    #[test]
    fn nested_values_are_natural_json() {
        let mut map = MapBuilder::new(None, StringBuilder::new(), Int64Builder::new());
        map.keys().append_value("a\u{1}");
        map.values().append_value(i64::MAX);
        map.append(true).unwrap();
        let cases: Vec<(ArrayRef, &str)> = vec![
            (Arc::new(map.finish()), "{\"a\\u0001\":9223372036854775807}"),
            (Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(vec![Some(vec![Some(1), None])])), "[1,null]"),
            (
                Arc::new(StructArray::from(vec![(
                    Arc::new(Field::new("k \"q\"", DataType::Boolean, true)),
                    Arc::new(BooleanArray::from(vec![true])) as ArrayRef,
                )])),
                "{\"k \\\"q\\\"\":true}",
            ),
            (Arc::new(TimestampSecondArray::from(vec![0]).with_timezone("UTC")), "\"1970-01-01T00:00:00+00:00\""),
            (Arc::new(Date32Array::from(vec![0])), "\"1970-01-01\""),
            (Arc::new(Float64Array::from(vec![f64::INFINITY])), "null"),
        ];
        for (array, expected) in cases {
            let mut out = String::new();
            write_json(array.as_ref(), 0, &mut out);
            assert_eq!(out, expected);
            serde_json::from_str::<serde_json::Value>(&out).unwrap();
        }
    }
}
