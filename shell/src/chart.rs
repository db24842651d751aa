//! `\chart`: the last answer as a picture of characters.
//!
//! The first column that is no number is the axis (labels of bars, times of lines); each column of numbers is a series. With
//! numbers only, the first is the axis of `line` and `scatter` if there are several.

use std::fmt::Write as _;

use arrow::array::Array as _;
use textplots::{Chart as Plot, Plot as _, Shape};

use crate::answer::Kept;
use crate::output::Size;
use crate::table;

/// Bars that are drawn at most; who wants more wants a line.
const BARS_MAX: usize = 50;

/// What to draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Points that are joined.
    Line,
    /// A bar for each row.
    Bar,
    /// Points.
    Scatter,
}

impl Kind {
    /// By its name.
    pub fn find(name: &str) -> Option<Self> {
        match name {
            "line" => Some(Self::Line),
            "bar" => Some(Self::Bar),
            "scatter" => Some(Self::Scatter),
            _ => None,
        }
    }
}

/// A column of numbers.
struct Series {
    name: String,
    values: Vec<Option<f64>>,
}

/// What an answer comes to.
struct Data {
    /// The axis, if it isn't numbers.
    labels: Option<Vec<String>>,
    /// The axis, if it is.
    axis: Option<Series>,
    series: Vec<Series>,
}

/// Draws `answer`, for a terminal of that size.
///
/// # Errors
/// There is nothing to draw.
pub fn draw(answer: &Kept, kind: Option<Kind>, size: Size) -> Result<String, String> {
    let row_count = answer.row_count();
    if row_count == 0 {
        return Err("\\chart: the last answer has no rows".to_owned());
    }
    let mut data = data(answer);
    if data.series.is_empty() {
        return Err("\\chart: the last answer has no column of numbers".to_owned());
    }
    let is_few = row_count <= 24 && data.labels.is_some();
    let kind = kind.unwrap_or(if is_few { Kind::Bar } else { Kind::Line });
    if kind != Kind::Bar && data.labels.is_none() && data.series.len() > 1 {
        data.axis = Some(data.series.remove(0));
    }
    let mut text = match kind {
        Kind::Bar => bars(&data, size),
        Kind::Line | Kind::Scatter => plots(&data, kind, size)?,
    };
    if answer.has_more {
        // Writing to a String can't fail.
        let _ = writeln!(text, "(the first {row_count} rows)");
    }
    Ok(text)
}

fn data(answer: &Kept) -> Data {
    let (mut labels, mut series) = (None, Vec::new());
    for (index, column) in answer.columns.iter().enumerate() {
        let texts = answer.rows.iter().flat_map(|rows| {
            let strings = table::strings(rows, index);
            (0..strings.len()).map(move |row| (!strings.is_null(row)).then(|| strings.value(row)))
        });
        if column.is_number {
            let values = texts.map(|text| text?.parse::<f64>().ok().filter(|value| value.is_finite())).collect();
            series.push(Series { name: column.name.clone(), values });
        } else if labels.is_none() {
            labels = Some(texts.map(|text| text.unwrap_or_default().to_owned()).collect());
        }
    }
    Data { labels, axis: None, series }
}

/// Lying bars, a group a row.
fn bars(data: &Data, size: Size) -> String {
    let row_count = data.series[0].values.len();
    let shown = row_count.min(BARS_MAX);
    let label = |row: usize| match &data.labels {
        Some(labels) => labels[row].chars().filter(|character| !character.is_control()).take(30).collect(),
        None => (row + 1).to_string(),
    };
    let labels: Vec<String> = (0..shown).map(label).collect();
    let label_width = labels.iter().map(|label| table::width(label)).max().unwrap_or(0);
    let all = || data.series.iter().flat_map(|series| series.values.iter().take(shown).flatten().copied());
    let (low, high) = all().fold((0.0_f64, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
    let value_width = all().map(|value| number(value).len()).max().unwrap_or(0);
    let room = size.columns.saturating_sub(label_width + value_width + 5).clamp(10, 100);
    let scale = if high > low { room as f64 / (high - low) } else { 0.0 };
    let mut text = String::new();
    if data.series.len() > 1 {
        let names: Vec<String> = data
            .series
            .iter()
            .enumerate()
            .map(|(at, series)| format!("{} {}", FILLS[at % FILLS.len()], series.name))
            .collect();
        let _ = writeln!(text, "{}", names.join("   "));
    } else {
        let _ = writeln!(text, "{:label_width$}   {}", "", data.series[0].name);
    }
    for (row, label) in labels.iter().enumerate() {
        for (at, series) in data.series.iter().enumerate() {
            let name = if at == 0 { label.as_str() } else { "" };
            text.extend(std::iter::repeat_n(' ', label_width - table::width(name)));
            text.push_str(name);
            text.push_str(" │");
            let Some(value) = series.values[row] else {
                text.push('\n');
                continue;
            };
            let zero = -low * scale;
            let (from, to) = (zero + value.min(0.0) * scale, zero + value.max(0.0) * scale);
            text.extend(std::iter::repeat_n(' ', from as usize));
            text.push_str(&bar(to - from.floor(), FILLS[at % FILLS.len()]));
            let _ = writeln!(text, " {}", number(value));
        }
    }
    if row_count > shown {
        let _ = writeln!(text, "... {} more rows; \\chart line draws all of them", row_count - shown);
    }
    text
}

const FILLS: [&str; 4] = ["█", "▒", "▓", "░"];

/// A bar of that length, an eighth of a character exact where it is solid.
fn bar(length: f64, fill: &str) -> String {
    const PARTS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (length * 8.0).round().max(0.0) as usize;
    let mut text = fill.repeat(eighths / 8);
    if fill == FILLS[0] {
        text.push_str(PARTS[eighths % 8]);
    }
    text
}

fn plots(data: &Data, kind: Kind, size: Size) -> Result<String, String> {
    // A character is two points wide and four high; the labels of the axis stand at the right.
    let width = (size.columns.saturating_sub(16) * 2).clamp(32, 240) as u32;
    let height = (size.lines.saturating_sub(8) * 4).clamp(16, 80) as u32;
    let mut text = String::new();
    for series in &data.series {
        let mut points: Vec<(f64, f64)> = series
            .values
            .iter()
            .enumerate()
            .filter_map(|(row, value)| {
                let at = match &data.axis {
                    Some(axis) => axis.values[row]?,
                    None => (row + 1) as f64,
                };
                Some((at, (*value)?))
            })
            .collect();
        points.retain(|(x, _)| x.abs() < f64::from(f32::MAX) / 4.0);
        if kind == Kind::Line {
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
        }
        let (Some(first), Some(last)) =
            (points.iter().map(|point| point.0).reduce(f64::min), points.iter().map(|point| point.0).reduce(f64::max))
        else {
            continue;
        };
        // The plotter's numbers are smaller than SQL's.
        let points: Vec<(f32, f32)> = points
            .iter()
            .map(|(x, y)| (*x as f32, *y as f32))
            .filter(|(x, y)| x.abs() < f32::MAX / 4.0 && y.abs() < f32::MAX / 4.0)
            .collect();
        // One value is a line of its own.
        let last = if last > first { last } else { first + 1.0 };
        let shape = match kind {
            Kind::Scatter => Shape::Points(&points),
            _ => Shape::Lines(&points),
        };
        if points.is_empty() {
            continue;
        }
        let (low, high) = points.iter().fold((f32::MAX, f32::MIN), |(low, high), (_, y)| (low.min(*y), high.max(*y)));
        let (low, high) = if high > low { (low, high) } else { (low - 1.0, high + 1.0) };
        let mut plot = Plot::new_with_y_range(width, height, first as f32, last as f32, low, high);
        let plot = plot.lineplot(&shape);
        plot.axis();
        plot.figures();
        let _ = writeln!(text, "{}", series.name);
        text.push_str(&plot.to_string());
        if let (None, Some(labels)) = (&data.axis, &data.labels) {
            let (first, last) = (labels.first().map_or("", String::as_str), labels.last().map_or("", String::as_str));
            let room = (width as usize / 2).saturating_sub(table::width(first) + table::width(last));
            let _ = writeln!(text, "{first}{}{last}", " ".repeat(room.max(1)));
        }
    }
    if text.is_empty() { Err("\\chart: there are only NULLs to draw".to_owned()) } else { Ok(text) }
}

/// `12`, `1.25`, `3.4e9`
fn number(value: f64) -> String {
    if value != 0.0 && (value.abs() >= 1e15 || value.abs() < 1e-4) {
        return format!("{value:.3e}");
    }
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, RecordBatch, StringArray};

    use super::*;
    use crate::backend::Column;

    const SIZE: Size = Size { columns: 40, lines: 24 };

    fn kept(columns: &[(&str, bool, &[Option<&str>])]) -> Kept {
        let arrays = columns.iter().map(|(name, _, values)| {
            (*name, Arc::new(values.iter().copied().collect::<StringArray>()) as ArrayRef, true)
        });
        Kept {
            columns: columns
                .iter()
                .map(|(name, is_number, _)| Column { name: (*name).to_owned(), is_number: *is_number })
                .collect(),
            rows: vec![RecordBatch::try_from_iter_with_nullable(arrays).unwrap()],
            has_more: false,
        }
    }

    #[test]
    fn bars_are_as_long_as_their_values() {
        let answer =
            kept(&[("city", false, &[Some("Oslo"), Some("漢"), None]), ("n", true, &[Some("10"), Some("5"), None])]);
        let expected = format!("       n\nOslo │{} 10\n  漢 │{}▌ 5\n     │\n", "█".repeat(29), "█".repeat(14));
        assert_eq!(draw(&answer, None, SIZE).unwrap(), expected);
    }

    #[test]
    fn what_can_not_be_drawn_is_said() {
        let answer = kept(&[("a", false, &[Some("x")])]);
        assert_eq!(draw(&answer, None, SIZE).unwrap_err(), "\\chart: the last answer has no column of numbers");
        assert!(draw(&Kept::default(), None, SIZE).is_err());
        let answer = kept(&[("a", true, &[Some("NaN"), None])]);
        assert!(draw(&answer, Some(Kind::Line), SIZE).is_err());
        draw(&answer, Some(Kind::Bar), SIZE).unwrap();
    }

    #[test]
    fn any_numbers_can_be_drawn() {
        let values = [Some("1"), Some("-1e308"), Some("1e308"), Some("0")];
        let answer = kept(&[("x", true, &values), ("y", true, &[Some("3"), Some("3"), Some("3"), Some("3")])]);
        for kind in [Kind::Line, Kind::Bar, Kind::Scatter] {
            draw(&answer, Some(kind), Size { columns: 1, lines: 1 }).unwrap();
            draw(&answer, Some(kind), SIZE).unwrap();
        }
    }
}
