//! CSV (RFC 4180) with a header and `\n` line ends.
//!
//! NULL is an empty field, an empty string is `""`, as PostgreSQL's COPY does. Booleans are `true` and `false`, not `t`
//! and `f`: the file is read by other programs next, and those expect the words.

use std::io::Write;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};

use super::{BatchWriter, output_error, text};
use crate::Result;

/// Writes lines; the header with the first batch, or at the end of an empty answer.
pub(super) struct CsvWriter {
    /// The header, until it is written.
    header: Option<String>,
    buffer: String,
}

impl CsvWriter {
    pub(super) fn new(schema: &SchemaRef) -> Self {
        let mut header = String::new();
        for (index, field) in schema.fields().iter().enumerate() {
            if index > 0 {
                header.push(',');
            }
            push_field(field.name(), &mut header);
        }
        header.push('\n');
        Self { header: Some(header), buffer: String::new() }
    }

    fn write_header(&mut self, output: &mut dyn Write) -> Result<()> {
        match self.header.take() {
            Some(header) => output.write_all(header.as_bytes()).map_err(|error| output_error(&error)),
            None => Ok(()),
        }
    }
}

impl BatchWriter for CsvWriter {
    fn write(&mut self, batch: &RecordBatch, output: &mut dyn Write) -> Result<()> {
        self.write_header(output)?;
        let mut value = String::new();
        for row in 0..batch.num_rows() {
            self.buffer.clear();
            for (index, column) in batch.columns().iter().enumerate() {
                if index > 0 {
                    self.buffer.push(',');
                }
                if column.is_null(row) {
                    continue;
                }
                if column.data_type() == &DataType::Boolean {
                    self.buffer.push_str(if column.as_boolean().value(row) { "true" } else { "false" });
                    continue;
                }
                value.clear();
                text::write_text(column.as_ref(), row, &mut value);
                push_field(&value, &mut self.buffer);
            }
            self.buffer.push('\n');
            output.write_all(self.buffer.as_bytes()).map_err(|error| output_error(&error))?;
        }
        Ok(())
    }

    fn finish(&mut self, output: &mut dyn Write) -> Result<()> {
        self.write_header(output)
    }
}

fn push_field(value: &str, out: &mut String) {
    // A lone `\.` ends a COPY in old clients; leading or trailing blanks are lost by readers that trim.
    let needs_quotes = value.is_empty()
        || value == "\\."
        || value.contains([',', '"', '\n', '\r'])
        || value.starts_with([' ', '\t'])
        || value.ends_with([' ', '\t']);
    if needs_quotes {
        out.push('"');
        out.push_str(&value.replace('"', "\"\""));
        out.push('"');
    } else {
        out.push_str(value);
    }
}
