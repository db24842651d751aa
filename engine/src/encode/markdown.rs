//! A table in GitHub's Markdown: for issues, notes and chats. Numbers are aligned right.

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::{BatchWriter, is_right_aligned, output_error, text};
use crate::Result;

/// Writes rows as they come; Markdown needs no widths.
pub(super) struct MarkdownWriter {
    /// The two head lines, until they are written.
    head: Option<String>,
}

impl MarkdownWriter {
    pub(super) fn new(schema: &SchemaRef) -> Self {
        let mut head = String::from("|");
        for field in schema.fields() {
            push_cell(field.name(), &mut head);
        }
        head.push_str("\n|");
        for field in schema.fields() {
            head.push_str(if is_right_aligned(field.data_type()) { " ---: |" } else { " --- |" });
        }
        head.push('\n');
        Self { head: Some(head) }
    }

    fn write_head(&mut self, output: &mut dyn Write) -> Result<()> {
        match self.head.take() {
            Some(head) => output.write_all(head.as_bytes()).map_err(|error| output_error(&error)),
            None => Ok(()),
        }
    }
}

impl BatchWriter for MarkdownWriter {
    fn write(&mut self, batch: &RecordBatch, output: &mut dyn Write) -> Result<()> {
        self.write_head(output)?;
        let mut line = String::new();
        let mut value = String::new();
        for row in 0..batch.num_rows() {
            line.clear();
            line.push('|');
            for column in batch.columns() {
                value.clear();
                text::write_text(column.as_ref(), row, &mut value);
                push_cell(&value, &mut line);
            }
            line.push('\n');
            output.write_all(line.as_bytes()).map_err(|error| output_error(&error))?;
        }
        Ok(())
    }

    fn finish(&mut self, output: &mut dyn Write) -> Result<()> {
        self.write_head(output)
    }
}

fn push_cell(value: &str, out: &mut String) {
    out.push(' ');
    for c in value.chars() {
        match c {
            '|' => out.push_str("\\|"),
            '\n' => out.push_str("<br>"),
            '\r' => {}
            c => out.push(c),
        }
    }
    out.push_str(" |");
}
