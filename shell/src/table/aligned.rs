//! psql's format `aligned`: columns under each other, numbers at the right, names in the middle.

use arrow::array::RecordBatch;

use super::cell::{self, blanks, repeat};
use super::setting::{LineStyle, Settings};
use super::{Answer, Table, row_count, value};

/// What lines are made of.
pub(super) struct Strokes {
    pub(super) horizontal: &'static str,
    pub(super) vertical: &'static str,
    /// Left, between and right of the line at the top, in the middle and at the bottom.
    pub(super) corners: [[&'static str; 3]; 3],
    /// Behind a line of a value that has more.
    pub(super) goes_on: &'static str,
}

pub(super) fn strokes(style: LineStyle) -> &'static Strokes {
    match style {
        LineStyle::Ascii => &Strokes { horizontal: "-", vertical: "|", corners: [["+", "+", "+"]; 3], goes_on: "+" },
        LineStyle::Unicode => &Strokes {
            horizontal: "─",
            vertical: "│",
            corners: [["┌", "┬", "┐"], ["├", "┼", "┤"], ["└", "┴", "┘"]],
            goes_on: "↵",
        },
    }
}

/// See the module.
pub(super) struct Aligned {
    border: u8,
    strokes: &'static Strokes,
    names: Vec<String>,
    is_number: Vec<bool>,
    widths: Vec<usize>,
    null: String,
    title: Option<String>,
    tuples_only: bool,
    footer: bool,
    row_count: u64,
}

impl Aligned {
    pub(super) fn new(settings: &Settings, answer: &Answer<'_>) -> Self {
        let mut widths: Vec<usize> = answer.columns.iter().map(|column| cell::widest(&column.name)).collect();
        for rows in answer.sample {
            for (column, widest) in widths.iter_mut().enumerate() {
                for row in 0..rows.num_rows() {
                    *widest = (*widest).max(cell::widest(value(rows, column, row, &settings.null)));
                }
            }
        }
        Self {
            border: settings.border,
            strokes: strokes(settings.line_style),
            names: answer.columns.iter().map(|column| column.name.clone()).collect(),
            is_number: answer.columns.iter().map(|column| column.is_number).collect(),
            widths,
            null: settings.null.clone(),
            title: answer.title.map(str::to_owned).or_else(|| settings.title.clone()),
            tuples_only: settings.tuples_only,
            footer: settings.footer,
            row_count: 0,
        }
    }

    /// How wide a line is.
    pub(super) fn line_width(&self) -> usize {
        let between = match self.border {
            0 => 1,
            _ => 3,
        };
        let around = match self.border {
            0 => 0,
            1 => 2,
            _ => 4,
        };
        self.widths.iter().sum::<usize>() + self.widths.len().saturating_sub(1) * between + around
    }

    /// A line of dashes: the top (0), the one below the names (1), the bottom (2).
    fn rule(&self, place: usize, out: &mut String) {
        let [left, between, right] = self.strokes.corners[place];
        let horizontal = self.strokes.horizontal;
        if self.border == 2 {
            out.push_str(left);
            out.push_str(horizontal);
        } else if self.border == 1 {
            out.push_str(horizontal);
        }
        for (index, width) in self.widths.iter().enumerate() {
            if index > 0 {
                match self.border {
                    0 => out.push(' '),
                    _ => {
                        out.push_str(horizontal);
                        out.push_str(between);
                        out.push_str(horizontal);
                    }
                }
            }
            repeat(out, horizontal, *width);
        }
        if self.border == 2 {
            out.push_str(horizontal);
            out.push_str(right);
        } else if self.border == 1 {
            out.push_str(horizontal);
        }
        out.push('\n');
    }

    /// One row, over as many lines as its highest value has.
    fn row(&self, values: &[&str], is_head: bool, out: &mut String) {
        let cells: Vec<Vec<cell::Line<'_>>> = values.iter().map(|value| cell::lines(value)).collect();
        let height = cells.iter().map(Vec::len).max().unwrap_or(1).max(1);
        let last = cells.len().saturating_sub(1);
        for at in 0..height {
            if self.border == 2 {
                out.push_str(self.strokes.vertical);
            }
            if self.border > 0 {
                out.push(' ');
            }
            for (index, cell) in cells.iter().enumerate() {
                let (text, text_width) = cell.get(at).map_or(("", 0), |(text, width)| (text.as_ref(), *width));
                let room = self.widths[index].saturating_sub(text_width);
                let goes_on = at + 1 < cell.len();
                // Nothing stands behind the last column, so nothing is filled up there.
                let is_open_end = index == last && self.border < 2 && !goes_on;
                match (is_head, self.is_number[index]) {
                    (true, _) => {
                        blanks(out, room / 2);
                        out.push_str(text);
                        blanks(out, room - room / 2);
                    }
                    (false, true) => {
                        blanks(
                            out,
                            if at < cell.len() {
                                room
                            } else if is_open_end {
                                0
                            } else {
                                room
                            },
                        );
                        out.push_str(text);
                    }
                    (false, false) => {
                        out.push_str(text);
                        if !is_open_end {
                            blanks(out, room);
                        }
                    }
                }
                let mark = if goes_on { self.strokes.goes_on } else { " " };
                if index < last {
                    out.push_str(if self.border == 0 && !goes_on { "" } else { mark });
                    if self.border == 0 {
                        if !goes_on {
                            out.push(' ');
                        }
                    } else {
                        out.push_str(self.strokes.vertical);
                        out.push(' ');
                    }
                } else if goes_on || self.border == 2 || is_head {
                    out.push_str(mark);
                }
            }
            if self.border == 2 {
                out.push_str(self.strokes.vertical);
            }
            out.push('\n');
        }
    }
}

impl Table for Aligned {
    fn begin(&mut self, out: &mut String) {
        if self.tuples_only {
            return;
        }
        if let Some(title) = &self.title {
            let title_width = cell::width(title);
            blanks(out, self.line_width().saturating_sub(title_width) / 2);
            out.push_str(title);
            out.push('\n');
        }
        if self.border == 2 {
            self.rule(0, out);
        }
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        self.row(&names, true, out);
        self.rule(1, out);
    }

    fn rows(&mut self, rows: &RecordBatch, out: &mut String) {
        let mut values = Vec::with_capacity(self.names.len());
        for row in 0..rows.num_rows() {
            values.clear();
            values.extend((0..self.names.len()).map(|column| value(rows, column, row, &self.null)));
            self.row(&values, false, out);
        }
        self.row_count += rows.num_rows() as u64;
    }

    fn end(&mut self, out: &mut String) {
        if self.border == 2 && !self.tuples_only {
            self.rule(2, out);
        }
        if self.footer && !self.tuples_only {
            out.push_str(&row_count(self.row_count));
            out.push('\n');
        }
        out.push('\n');
    }
}
