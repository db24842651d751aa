//! Aligned columns as psql prints them: centred heads, numbers to the right, `+` where a value goes on in the next line,
//! and the row count at the end.

use std::io::Write;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::SchemaRef;
use unicode_width::UnicodeWidthStr;

use super::{BatchWriter, is_right_aligned, output_error, text};
use crate::Result;

/// Widths are taken from so many rows; later ones are printed with the same widths, so that an answer of any length
/// takes bounded memory.
const MEASURED_ROWS: usize = 10_000;

/// One value as the lines it takes.
type Cell = Vec<String>;

/// Holds the first rows to measure them, then prints as rows come.
pub(super) struct TableWriter {
    names: Vec<String>,
    right: Vec<bool>,
    /// Rows not printed yet; empty once the head is out.
    held: Vec<Vec<Cell>>,
    /// Known once the head is out.
    widths: Option<Vec<usize>>,
    row_count: u64,
}

impl TableWriter {
    pub(super) fn new(schema: &SchemaRef) -> Self {
        Self {
            names: schema.fields().iter().map(|field| field.name().clone()).collect(),
            right: schema.fields().iter().map(|field| is_right_aligned(field.data_type())).collect(),
            held: Vec::new(),
            widths: None,
            row_count: 0,
        }
    }

    fn print_held(&mut self) -> String {
        let mut out = String::new();
        let held = std::mem::take(&mut self.held);
        let widths = self.widths.get_or_insert_with(|| {
            let mut widths: Vec<usize> = self.names.iter().map(|name| name.width()).collect();
            for row in &held {
                for (width, cell) in widths.iter_mut().zip(row) {
                    *width = cell.iter().map(|line| line.width()).max().unwrap_or(0).max(*width);
                }
            }
            push_head(&self.names, &widths, &mut out);
            widths
        });
        for row in &held {
            push_row(row, widths, &self.right, &mut out);
        }
        out
    }
}

impl BatchWriter for TableWriter {
    fn write(&mut self, batch: &RecordBatch, output: &mut dyn Write) -> Result<()> {
        for row in 0..batch.num_rows() {
            self.held.push(batch.columns().iter().map(|column| cell(column.as_ref(), row)).collect());
        }
        self.row_count += batch.num_rows() as u64;
        if self.widths.is_none() && self.held.len() < MEASURED_ROWS {
            return Ok(());
        }
        let lines = self.print_held();
        output.write_all(lines.as_bytes()).map_err(|error| output_error(&error))
    }

    fn finish(&mut self, output: &mut dyn Write) -> Result<()> {
        let mut lines = self.print_held();
        lines.push_str(&match self.row_count {
            1 => "(1 row)\n\n".to_owned(),
            count => format!("({count} rows)\n\n"),
        });
        output.write_all(lines.as_bytes()).map_err(|error| output_error(&error))
    }
}

fn cell(column: &dyn Array, row: usize) -> Cell {
    let mut value = String::new();
    text::write_text(column, row, &mut value);
    // Other control characters would move the cursor or colour the terminal: show them as psql does.
    value
        .split('\n')
        .map(|line| {
            let mut shown = String::with_capacity(line.len());
            for c in line.chars() {
                match c {
                    '\r' => shown.push_str("\\r"),
                    '\t' => shown.push_str("        "),
                    c if c.is_control() => shown.push_str(&format!("\\x{:02X}", u32::from(c))),
                    c => shown.push(c),
                }
            }
            shown
        })
        .collect()
}

fn push_head(names: &[String], widths: &[usize], out: &mut String) {
    for (index, (name, width)) in names.iter().zip(widths).enumerate() {
        let padding = width - name.width();
        out.push_str(if index > 0 { "| " } else { " " });
        push_spaces(padding / 2, out);
        out.push_str(name);
        push_spaces(padding - padding / 2 + 1, out);
    }
    out.push('\n');
    for (index, width) in widths.iter().enumerate() {
        if index > 0 {
            out.push('+');
        }
        out.extend(std::iter::repeat_n('-', width + 2));
    }
    out.push('\n');
}

fn push_row(row: &[Cell], widths: &[usize], right: &[bool], out: &mut String) {
    let line_count = row.iter().map(Vec::len).max().unwrap_or(1);
    for line in 0..line_count {
        for (index, cell) in row.iter().enumerate() {
            let is_last = index + 1 == row.len();
            let value = cell.get(line).map_or("", String::as_str);
            let continues = line + 1 < cell.len();
            let padding = widths[index].saturating_sub(value.width());
            out.push_str(if index > 0 { "| " } else { " " });
            if right[index] && line < cell.len() {
                push_spaces(padding, out);
                out.push_str(value);
            } else {
                out.push_str(value);
                if !is_last || continues {
                    push_spaces(padding, out);
                }
            }
            match (continues, is_last) {
                (true, _) => out.push('+'),
                (false, false) => out.push(' '),
                (false, true) => {}
            }
        }
        out.push('\n');
    }
}

fn push_spaces(count: usize, out: &mut String) {
    out.extend(std::iter::repeat_n(' ', count));
}
