//! [`markdown`]: a document as Markdown (GitHub's tables), without charts.

use std::fmt::Write as _;

use crate::cell::{Cell, Column, grouped, instant_text};
use crate::document::{ROWS_SHOWN_MAX, is_number};
use crate::{Document, Result};

/// The text.
///
/// # Errors
/// Values that can't be shown.
pub fn markdown(document: &Document) -> Result<String> {
    let mut out = format!("# {}\n\n", inline(&document.title));
    if let Some(description) = &document.description {
        push(&mut out, format_args!("{}\n\n", inline(description)));
    }
    let zone = document.time_zone;
    push(&mut out, format_args!("- Report of: {}\n", instant_text(document.scheduled_at, zone)));
    push(&mut out, format_args!("- Made: {}\n", instant_text(document.generated_at, zone)));
    for (name, value) in &document.parameters {
        push(&mut out, format_args!("- {}: {}\n", inline(name), inline(value)));
    }
    for section in &document.sections {
        out.push('\n');
        if document.sections.len() > 1 {
            push(&mut out, format_args!("## {}\n\n", inline(&section.name)));
        }
        let fields = section.schema.fields();
        out.push('|');
        fields.iter().for_each(|field| push(&mut out, format_args!(" {} |", inline(field.name()))));
        out.push_str("\n|");
        for field in fields {
            out.push_str(if is_number(field.data_type()) { " ---: |" } else { " --- |" });
        }
        out.push('\n');
        let mut shown = 0_usize;
        'rows: for batch in &section.batches {
            let columns = Column::all(batch, zone)?;
            for row in 0..batch.num_rows() {
                if shown == ROWS_SHOWN_MAX {
                    break 'rows;
                }
                out.push('|');
                for column in &columns {
                    let cell = column.cell(row)?;
                    let text = if cell == Cell::Null { "*NULL*".to_owned() } else { inline(&cell.text()) };
                    push(&mut out, format_args!(" {text} |"));
                }
                out.push('\n');
                shown += 1;
            }
        }
        if section.row_count == 0 {
            out.push_str("\nNo rows.\n");
        } else if section.row_count > shown as u64 {
            let (shown, total) = (grouped(&shown.to_string()), grouped(&section.row_count.to_string()));
            push(&mut out, format_args!("\nThe first {shown} of {total} rows.\n"));
        }
    }
    Ok(out)
}

/// Text that is nothing but text: no markup, no HTML, no new line.
fn inline(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' => out.push_str("<br>"),
            '\r' => {}
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '#' | '!' => {
                out.push('\\');
                out.push(character);
            }
            '\t' => out.push(' '),
            control if control.is_control() => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
    out
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String can't fail.
    let _ = out.write_fmt(text);
}
