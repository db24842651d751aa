//! An answer -> text: [`Settings`] say how (`\pset`), [`make`] gives the [`Table`] that does it.
//!
//! Answers are of any length, so a table sees the first rows before it begins (for widths), then batches as they come, and
//! keeps none.

mod aligned;
mod cell;
mod expanded;
mod plain;
mod setting;

use arrow::array::{Array, RecordBatch, StringArray};

use crate::backend::Column;
pub use cell::width;
pub use setting::{Expanded, Format, LineStyle, NAMES, Pager, Settings};

/// Writes one answer.
pub trait Table: Send {
    /// What stands above the rows.
    fn begin(&mut self, out: &mut String);

    /// Rows.
    fn rows(&mut self, rows: &RecordBatch, out: &mut String);

    /// What stands below.
    fn end(&mut self, out: &mut String);
}

/// What a table is made of.
pub struct Answer<'a> {
    /// Its columns.
    pub columns: &'a [Column],
    /// The first rows, from which widths follow.
    pub sample: &'a [RecordBatch],
    /// What stands above it.
    pub title: Option<&'a str>,
    /// The terminal's width, for `\x auto`.
    pub screen_width: Option<usize>,
}

/// The table for an answer.
pub fn make(settings: &Settings, answer: &Answer<'_>) -> Box<dyn Table> {
    match settings.format {
        Format::Aligned => {
            let layout = aligned::Aligned::new(settings, answer);
            let is_expanded = match settings.expanded {
                Expanded::On => true,
                Expanded::Off => false,
                Expanded::Auto => answer.screen_width.is_some_and(|screen| layout.line_width() > screen),
            };
            if is_expanded { Box::new(expanded::Expanded::new(settings, answer)) } else { Box::new(layout) }
        }
        _ => plain::make(settings, answer),
    }
}

/// The values of a column.
pub(crate) fn strings(rows: &RecordBatch, column: usize) -> &StringArray {
    rows.column(column).as_any().downcast_ref().expect("every column of an answer is text")
}

/// A value, or what stands for NULL.
pub(crate) fn value<'a>(rows: &'a RecordBatch, column: usize, row: usize, null: &'a str) -> &'a str {
    let strings = strings(rows, column);
    if strings.is_null(row) { null } else { strings.value(row) }
}

/// `(3 rows)`
pub(crate) fn row_count(rows: u64) -> String {
    if rows == 1 { "(1 row)".to_owned() } else { format!("({rows} rows)") }
}

#[cfg(test)]
mod tests;
