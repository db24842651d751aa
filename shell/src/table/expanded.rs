//! psql's expanded form: a line for each value, a block for each row.

use arrow::array::RecordBatch;

use super::aligned::{Strokes, strokes};
use super::cell::{self, blanks, repeat};
use super::setting::Settings;
use super::{Answer, Table, value};

/// See the module.
pub(super) struct Expanded {
    border: u8,
    strokes: &'static Strokes,
    names: Vec<String>,
    name_width: usize,
    value_width: usize,
    null: String,
    title: Option<String>,
    tuples_only: bool,
    footer: bool,
    row_count: u64,
}

impl Expanded {
    pub(super) fn new(settings: &Settings, answer: &Answer<'_>) -> Self {
        let mut value_width = 0;
        for rows in answer.sample {
            for column in 0..rows.num_columns() {
                for row in 0..rows.num_rows() {
                    value_width = value_width.max(cell::widest(value(rows, column, row, &settings.null)));
                }
            }
        }
        Self {
            border: settings.border,
            strokes: strokes(settings.line_style),
            names: answer.columns.iter().map(|column| column.name.clone()).collect(),
            name_width: answer.columns.iter().map(|column| cell::widest(&column.name)).max().unwrap_or(0),
            value_width,
            null: settings.null.clone(),
            title: answer.title.map(str::to_owned).or_else(|| settings.title.clone()),
            tuples_only: settings.tuples_only,
            footer: settings.footer,
            row_count: 0,
        }
    }

    /// `-[ RECORD 1 ]-+----`: psql's `print_aligned_vertical_line`.
    fn rule(&self, record: Option<u64>, place: usize, out: &mut String) {
        let [left, between, right] = self.strokes.corners[place];
        let horizontal = if self.border > 0 { self.strokes.horizontal } else { " " };
        if self.border == 2 {
            out.push_str(left);
        }
        if self.border > 0 {
            out.push_str(horizontal);
        }
        let label = match (record, self.border) {
            (None, _) => String::new(),
            (Some(record), 0) => format!("* Record {record}"),
            (Some(record), _) => format!("[ RECORD {record} ]"),
        };
        out.push_str(&label);
        let mut used = label.len() + usize::from(self.border != 2);
        repeat(out, horizontal, self.name_width.saturating_sub(used));
        used = used.saturating_sub(self.name_width);
        let middle: &[&str] = if self.border > 0 { &[horizontal, between, horizontal] } else { &[" "] };
        for (index, stroke) in middle.iter().enumerate() {
            if used <= index {
                out.push_str(stroke);
            }
        }
        repeat(out, horizontal, self.value_width.saturating_sub(used.saturating_sub(middle.len())));
        if self.border == 2 {
            out.push_str(horizontal);
            out.push_str(right);
        }
        out.push('\n');
    }

    fn pair(&self, name: &str, value: &str, out: &mut String) {
        let (names, values) = (cell::lines(name), cell::lines(value));
        for at in 0..names.len().max(values.len()) {
            let (name, name_width) = names.get(at).map_or(("", 0), |(text, width)| (text.as_ref(), *width));
            let (text, text_width) = values.get(at).map_or(("", 0), |(text, width)| (text.as_ref(), *width));
            if self.border == 2 {
                out.push_str(self.strokes.vertical);
                out.push(' ');
            }
            out.push_str(name);
            blanks(out, self.name_width.saturating_sub(name_width));
            out.push_str(if at + 1 < names.len() { self.strokes.goes_on } else { " " });
            if self.border > 0 {
                out.push_str(self.strokes.vertical);
                out.push(' ');
            }
            out.push_str(text);
            let goes_on = at + 1 < values.len();
            if goes_on || self.border == 2 {
                blanks(out, self.value_width.saturating_sub(text_width));
                out.push_str(if goes_on { self.strokes.goes_on } else { " " });
            }
            if self.border == 2 {
                out.push_str(self.strokes.vertical);
            }
            out.push('\n');
        }
    }
}

impl Table for Expanded {
    fn begin(&mut self, out: &mut String) {
        if let Some(title) = self.title.as_ref().filter(|_| !self.tuples_only) {
            out.push_str(title);
            out.push('\n');
        }
    }

    fn rows(&mut self, rows: &RecordBatch, out: &mut String) {
        for row in 0..rows.num_rows() {
            self.row_count += 1;
            let place = usize::from(self.row_count > 1);
            if !self.tuples_only {
                self.rule(Some(self.row_count), place, out);
            } else if self.row_count > 1 {
                self.rule(None, 1, out);
            }
            for (column, name) in self.names.iter().enumerate() {
                self.pair(name, value(rows, column, row, &self.null), out);
            }
        }
    }

    fn end(&mut self, out: &mut String) {
        if self.row_count == 0 && self.footer && !self.tuples_only {
            out.push_str("(0 rows)\n");
        } else if self.border == 2 {
            self.rule(None, 2, out);
        }
        out.push('\n');
    }
}
