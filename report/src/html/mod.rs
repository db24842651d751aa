//! [`html`]: a document as one page that opens offline: its style is in it, its charts are inline SVG, there is no script.
//! It says so to browsers, too: its Content-Security-Policy lets nothing be loaded, whatever a value might smuggle in.

pub(crate) mod escape;

use std::fmt::Write as _;

use arrow::datatypes::DataType;
use chrono_tz::Tz;

use crate::cell::{Cell, Column, grouped, instant_text};
use crate::chart::{Plot, svg};
use crate::document::{ROWS_SHOWN_MAX, column_index, is_label, is_number};
use crate::{Chart, ChartKind, Document, Result, Section};
use escape::{cut, escaped};

const STYLE: &str = include_str!("style.css");

/// The most characters of a value that a page shows.
const TEXT_SHOWN_MAX: usize = 2_000;

/// The most columns of a table that a page shows.
const COLUMNS_SHOWN_MAX: usize = 200;

/// The page.
///
/// # Errors
/// Charts of columns that aren't there; values that can't be shown.
pub fn html(document: &Document) -> Result<String> {
    let title = escaped(&document.title);
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<header>\n<h1>{title}</h1>\n"
    );
    if let Some(description) = &document.description {
        push(&mut out, format_args!("<p class=\"lead\">{}</p>\n", escaped(description)));
    }
    summary(&mut out, document);
    out.push_str("</header>\n");
    for section in &document.sections {
        self::section(&mut out, document, section)?;
    }
    let generated = instant_text(document.generated_at, document.time_zone);
    push(
        &mut out,
        format_args!(
            "<footer>Report {} · made by Limnos, {}</footer>\n</main>\n</body>\n</html>\n",
            escaped(&document.name),
            escaped(&generated)
        ),
    );
    Ok(out)
}

fn summary(out: &mut String, document: &Document) {
    let zone = document.time_zone;
    let mut facts = vec![
        ("Report of".to_owned(), instant_text(document.scheduled_at, zone)),
        ("Made".to_owned(), instant_text(document.generated_at, zone)),
    ];
    facts.extend(document.parameters.iter().cloned());
    let rows: u64 = document.sections.iter().map(|section| section.row_count).sum();
    facts.push(("Rows".to_owned(), grouped(&rows.to_string())));
    out.push_str("<dl>");
    for (name, value) in facts {
        let value = cut(&value, 200).into_owned();
        push(out, format_args!("<div><dt>{}</dt><dd>{}</dd></div>", escaped(&name), escaped(&value)));
    }
    out.push_str("</dl>\n");
}

fn section(out: &mut String, document: &Document, section: &Section) -> Result<()> {
    let zone = document.time_zone;
    out.push_str("<section>\n");
    if document.sections.len() > 1 {
        push(out, format_args!("<h2>{}</h2>\n", escaped(&section.name)));
    }
    let charts = section.charts();
    let (numbers, plots): (Vec<&Chart>, Vec<&Chart>) = charts.iter().partition(|chart| chart.kind == ChartKind::Number);
    if !numbers.is_empty() {
        out.push_str("<div class=\"numbers\">\n");
        for chart in numbers {
            big_numbers(out, chart, section, zone)?;
        }
        out.push_str("</div>\n");
    }
    for chart in plots {
        let title = chart.title();
        let plot = Plot::of(chart, section, zone)?;
        push(out, format_args!("<div class=\"card\">\n<h3>{}</h3>\n", escaped(&title)));
        if plot.series.len() > 1 && chart.kind != ChartKind::Pie {
            out.push_str("<ul class=\"legend\">");
            for (number, series) in plot.series.iter().enumerate() {
                let name = cut(&series.name, 60);
                push(out, format_args!("<li class=\"s{number}\"><i></i>{}</li>", escaped(&name)));
            }
            out.push_str("</ul>\n");
        }
        out.push_str(&svg::draw(chart.kind, &plot, &title));
        for note in &plot.notes {
            push(out, format_args!("\n<p class=\"note\">{}</p>", escaped(note)));
        }
        out.push_str("\n</div>\n");
    }
    table(out, section, zone)?;
    out.push_str("</section>\n");
    Ok(())
}

/// The first row's numbers, large.
fn big_numbers(out: &mut String, chart: &Chart, section: &Section, zone: Tz) -> Result<()> {
    chart.check(&section.name, &section.schema)?;
    let first = section.batches.iter().find(|batch| batch.num_rows() > 0);
    for name in &chart.y {
        let index = column_index(name, &section.name, &section.schema)?;
        let cell = first.map_or(Ok(Cell::Null), |batch| Column::of(batch, index, zone)?.cell(0))?;
        let shown = match &cell {
            Cell::Null => "–".to_owned(),
            Cell::Number { .. } => number_text(&cell, section.schema.field(index).data_type(), false),
            other => other.text(),
        };
        let label = chart.title.as_deref().unwrap_or(name);
        push(
            out,
            format_args!(
                "<div class=\"card\"><b title=\"{}\">{}</b><span>{}</span></div>\n",
                escaped(&cell.text()),
                escaped(&shown),
                escaped(label)
            ),
        );
    }
    Ok(())
}

/// A number as tables show it: its digits in groups, unless they are a label; binary numbers to six digits.
fn number_text(cell: &Cell, data_type: &DataType, is_label: bool) -> String {
    let Cell::Number { text, value } = cell else { return cell.text() };
    if is_label {
        return text.clone();
    }
    let is_float = match data_type {
        DataType::Dictionary(_, value) => value.is_floating(),
        other => other.is_floating(),
    };
    let fraction = text.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    if is_float && fraction > 6 && value.abs() >= 1e-3 { grouped(&format!("{value:.6}")) } else { grouped(text) }
}

fn table(out: &mut String, section: &Section, zone: Tz) -> Result<()> {
    let fields = section.schema.fields();
    let column_count = fields.len().min(COLUMNS_SHOWN_MAX);
    out.push_str("<div class=\"card table\">\n<table>\n<thead><tr>");
    let numeric: Vec<bool> = fields.iter().map(|field| is_number(field.data_type())).collect();
    let labels: Vec<bool> = fields.iter().map(|field| is_label(field.name())).collect();
    for (field, is_number) in fields.iter().zip(&numeric).take(column_count) {
        let class = if *is_number { " class=\"n\"" } else { "" };
        push(out, format_args!("<th{class} scope=\"col\">{}</th>", escaped(&cut(field.name(), 120))));
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    let mut shown = 0_usize;
    'rows: for batch in &section.batches {
        let columns = Column::all(batch, zone)?;
        for row in 0..batch.num_rows() {
            if shown == ROWS_SHOWN_MAX {
                break 'rows;
            }
            out.push_str("<tr>");
            for (index, column) in columns.iter().take(column_count).enumerate() {
                let cell = column.cell(row)?;
                let exact = cell.text();
                let (class, text) = match &cell {
                    Cell::Null => (" class=\"null\"", exact.clone()),
                    Cell::Number { .. } => {
                        (" class=\"n\"", number_text(&cell, fields[index].data_type(), labels[index]))
                    }
                    Cell::Date(_) | Cell::Timestamp(_) => (" class=\"d\"", exact.clone()),
                    Cell::Boolean(_) | Cell::Text(_) => ("", cut(&exact, TEXT_SHOWN_MAX).into_owned()),
                };
                let class = if numeric[index] && cell == Cell::Null { " class=\"n null\"" } else { class };
                // What is rounded says what it is.
                let tip = match &cell {
                    Cell::Number { .. } if text.replace(',', "") != exact => {
                        format!(" title=\"{}\"", escaped(&exact))
                    }
                    _ => String::new(),
                };
                push(out, format_args!("<td{class}{tip}>{}</td>", escaped(&text)));
            }
            out.push_str("</tr>\n");
            shown += 1;
        }
    }
    out.push_str("</tbody>\n</table>\n</div>\n");
    let total = grouped(&section.row_count.to_string());
    if section.row_count == 0 {
        out.push_str("<p class=\"note\">No rows.</p>\n");
    } else if section.row_count > shown as u64 {
        let shown = grouped(&shown.to_string());
        push(out, format_args!("<p class=\"note\">The first {shown} of {total} rows.</p>\n"));
    }
    if fields.len() > column_count {
        push(out, format_args!("<p class=\"note\">The first {column_count} of {} columns.</p>\n", fields.len()));
    }
    Ok(())
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String can't fail.
    let _ = out.write_fmt(text);
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
