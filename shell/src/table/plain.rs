//! Formats for programs: `unaligned`, `csv`, `json`, `ndjson`, `markdown`.

use std::fmt::Write as _;

use arrow::array::{Array as _, RecordBatch};

use super::setting::{Expanded, Format, Settings};
use super::{Answer, Table, row_count, strings, value};
use crate::backend::Column;

/// See the module.
struct Plain {
    settings: Settings,
    columns: Vec<Column>,
    row_count: u64,
}

pub(super) fn make(settings: &Settings, answer: &Answer<'_>) -> Box<dyn Table> {
    Box::new(Plain { settings: settings.clone(), columns: answer.columns.to_vec(), row_count: 0 })
}

impl Plain {
    fn head(&self, separator: &str, quote: fn(&str) -> String, out: &mut String) {
        let names: Vec<String> = self.columns.iter().map(|column| quote(&column.name)).collect();
        out.push_str(&names.join(separator));
        out.push('\n');
    }

    fn row(&self, rows: &RecordBatch, row: usize, out: &mut String) {
        let null = &self.settings.null;
        let values = || (0..self.columns.len()).map(|column| value(rows, column, row, null));
        match self.settings.format {
            Format::Csv => {
                for (index, value) in values().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    // As psql: the text that stands for NULL is not told from a value; an empty one is none.
                    out.push_str(&csv(value));
                }
            }
            Format::Markdown => {
                for value in values() {
                    out.push_str("| ");
                    out.push_str(&markdown(value));
                    out.push(' ');
                }
                out.push('|');
            }
            Format::Json | Format::Ndjson => self.object(rows, row, out),
            Format::Aligned | Format::Unaligned => {
                for (index, value) in values().enumerate() {
                    if index > 0 {
                        out.push_str(&self.settings.field_separator);
                    }
                    out.push_str(value);
                }
            }
        }
    }

    fn object(&self, rows: &RecordBatch, row: usize, out: &mut String) {
        out.push('{');
        for (index, column) in self.columns.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            json_text(&column.name, out);
            out.push(':');
            let strings = strings(rows, index);
            match strings.is_null(row) {
                true => out.push_str("null"),
                // `NaN` and `Infinity` are no numbers in JSON.
                false if column.is_number && is_json_number(strings.value(row)) => out.push_str(strings.value(row)),
                false => json_text(strings.value(row), out),
            }
        }
        out.push('}');
    }
}

impl Table for Plain {
    fn begin(&mut self, out: &mut String) {
        let shows_names = !self.settings.tuples_only;
        let is_expanded = self.settings.expanded == Expanded::On;
        match self.settings.format {
            Format::Csv if shows_names => self.head(",", csv, out),
            Format::Markdown => {
                out.push_str("| ");
                self.head(" | ", markdown, out);
                out.truncate(out.trim_end().len());
                out.push_str(" |\n");
                for column in &self.columns {
                    out.push_str(if column.is_number { "| ---: " } else { "| --- " });
                }
                out.push_str("|\n");
            }
            Format::Json => out.push_str("[\n"),
            Format::Unaligned if shows_names && !is_expanded => {
                let separator = self.settings.field_separator.clone();
                self.head(&separator, str::to_owned, out);
            }
            _ => {}
        }
    }

    fn rows(&mut self, rows: &RecordBatch, out: &mut String) {
        for row in 0..rows.num_rows() {
            self.row_count += 1;
            let is_first = self.row_count == 1;
            if self.settings.format == Format::Unaligned && self.settings.expanded == Expanded::On {
                if !is_first {
                    out.push('\n');
                }
                for (index, column) in self.columns.iter().enumerate() {
                    let value = value(rows, index, row, &self.settings.null);
                    // Writing to a String can't fail.
                    let _ = writeln!(out, "{}{}{value}", column.name, self.settings.field_separator);
                }
                continue;
            }
            if self.settings.format == Format::Json && !is_first {
                out.push_str(",\n");
            }
            self.row(rows, row, out);
            if self.settings.format != Format::Json {
                out.push('\n');
            }
        }
    }

    fn end(&mut self, out: &mut String) {
        match self.settings.format {
            Format::Json => out.push_str(if self.row_count > 0 { "\n]\n" } else { "]\n" }),
            // In the expanded form rows are seen.
            Format::Unaligned
                if self.settings.footer && !self.settings.tuples_only && self.settings.expanded != Expanded::On =>
            {
                out.push_str(&row_count(self.row_count));
                out.push('\n');
            }
            _ => {}
        }
    }
}

fn csv(text: &str) -> String {
    // As psql: a lone `\.` would end a COPY.
    if text.contains([',', '"', '\n', '\r']) || text == "\\." {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

fn markdown(text: &str) -> String {
    text.replace('\\', "\\\\").replace('|', "\\|").replace('\n', "<br>").replace('\r', "")
}

fn json_text(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if u32::from(control) < 0x20 => {
                let _ = write!(out, "\\u{:04x}", u32::from(control));
            }
            character => out.push(character),
        }
    }
    out.push('"');
}

/// RFC 8259's grammar of numbers.
fn is_json_number(text: &str) -> bool {
    let text = text.strip_prefix('-').unwrap_or(text);
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let whole = digits(text);
    if whole == 0 || (whole > 1 && text.starts_with('0')) {
        return false;
    }
    let mut rest = &text[whole..];
    if let Some(fraction) = rest.strip_prefix('.') {
        let length = digits(fraction);
        if length == 0 {
            return false;
        }
        rest = &fraction[length..];
    }
    if let Some(exponent) = rest.strip_prefix(['e', 'E']) {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        return !exponent.is_empty() && digits(exponent) == exponent.len();
    }
    rest.is_empty()
}
