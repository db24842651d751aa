//! [`draw`]: a plot as shapes of inline SVG. Colours are classes of the page's style, so that they change with its theme.

use std::fmt::Write as _;

use unicode_width::UnicodeWidthStr;

use super::plot::{Plot, Series, XAxis};
use super::scale::Scale;
use crate::ChartKind;
use crate::cell::{grouped, trimmed};
use crate::html::escape::{cut, escaped};

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 320.0;
const TOP: f64 = 12.0;
const RIGHT: f64 = 22.0;

/// About how wide a character of a label is: 12 pixels of a plain sans serif.
const CHARACTER: f64 = 6.7;

/// A line of no more points than this has dots, too: more would run into each other.
const DOTS_MAX: usize = 40;

/// The place that shapes are drawn in.
struct Frame {
    left: f64,
    bottom: f64,
    x: Scale,
    y: Scale,
}

impl Frame {
    fn x(&self, value: f64) -> f64 {
        self.left + self.x.place(value) * (WIDTH - RIGHT - self.left)
    }

    fn y(&self, value: f64) -> f64 {
        self.bottom - self.y.place(value) * (self.bottom - TOP)
    }
}

/// The SVG of a line, area, bar, scatter or pie chart; `title` is for those who hear the page.
pub(crate) fn draw(kind: ChartKind, plot: &Plot, title: &str) -> String {
    if kind == ChartKind::Pie {
        return pie(plot, title);
    }
    let stands = matches!(kind, ChartKind::Bar | ChartKind::Area);
    let y = Scale::numbers(plot.values(), stands, 5);
    let widest = y.ticks.iter().map(|tick| tick.1.width()).max().unwrap_or(1);
    let mut left = (widest as f64).mul_add(CHARACTER, 16.0).max(36.0);
    let all_x = || plot.series.iter().flat_map(|series| series.points.iter().map(|point| point.0));
    let x = match &plot.x {
        XAxis::Time => Scale::moments(all_x(), 7),
        XAxis::Number => Scale::numbers(all_x(), false, 7),
        XAxis::Names(names) => {
            let ticks = names.iter().enumerate().map(|(place, name)| (place as f64, name.clone())).collect();
            Scale { low: -0.5, high: names.len().max(1) as f64 - 0.5, ticks }
        }
    };
    let labels = Labels::of(&x, &plot.x, WIDTH - RIGHT - left);
    if let (true, Some((_, first))) = (labels.slanted, x.ticks.first()) {
        // The first label leans out to the left of its bar.
        let length = cut(first, labels.length_max).width() as f64 * CHARACTER * 0.82;
        let half_slot = (WIDTH - RIGHT - left) / x.ticks.len() as f64 / 2.0;
        left = left.max(length + 10.0 - half_slot);
    }
    let frame = Frame { left, bottom: HEIGHT - labels.height, x, y };
    let mut out = open(title, HEIGHT);
    axes(&mut out, &frame, &labels, kind);
    match kind {
        ChartKind::Bar => bars(&mut out, &frame, &plot.series, &plot.x),
        ChartKind::Scatter => {
            for (number, series) in plot.series.iter().enumerate() {
                dots(&mut out, &frame, series, &plot.x, number, 3.5);
            }
        }
        _ => {
            for (number, series) in plot.series.iter().enumerate() {
                lines(&mut out, &frame, series, number, kind == ChartKind::Area);
            }
            for (number, series) in plot.series.iter().enumerate() {
                let radius = if series.points.len() > DOTS_MAX { 0.0 } else { 2.6 };
                dots(&mut out, &frame, series, &plot.x, number, radius);
            }
        }
    }
    out.push_str("</svg>");
    out
}

fn open(title: &str, height: f64) -> String {
    format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{}\">", escaped(title))
}

/// How the labels of the horizontal axis are written: level, or slanted where they are too long for it; every `every`th.
struct Labels {
    slanted: bool,
    every: usize,
    height: f64,
    length_max: usize,
}

impl Labels {
    fn of(scale: &Scale, axis: &XAxis, width: f64) -> Self {
        let widest = scale.ticks.iter().map(|tick| tick.1.width()).max().unwrap_or(0) as f64 * CHARACTER;
        let room = width / scale.ticks.len().max(1) as f64;
        if !matches!(axis, XAxis::Names(_)) || widest + 8.0 <= room {
            return Self { slanted: false, every: 1, height: 30.0, length_max: usize::MAX };
        }
        let length_max = 18;
        let longest = widest.min(f64::from(18) * CHARACTER);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few")]
        let every = (16.0 / room).ceil().max(1.0) as usize;
        Self { slanted: true, every, height: longest.mul_add(0.6, 26.0), length_max }
    }
}

fn axes(out: &mut String, frame: &Frame, labels: &Labels, kind: ChartKind) {
    for (value, label) in &frame.y.ticks {
        let y = frame.y(*value);
        let class = if *value == 0.0 { "zero" } else { "grid" };
        push(
            out,
            format_args!(
                "<line class=\"{class}\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>",
                frame.left,
                WIDTH - RIGHT
            ),
        );
        push(
            out,
            format_args!(
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                frame.left - 8.0,
                y + 4.0,
                escaped(label)
            ),
        );
    }
    for (number, (value, label)) in frame.x.ticks.iter().enumerate() {
        let x = frame.x(*value);
        if kind != ChartKind::Bar {
            push(
                out,
                format_args!(
                    "<line class=\"tick\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{:.1}\"/>",
                    frame.bottom,
                    frame.bottom + 4.0
                ),
            );
        }
        if number % labels.every != 0 {
            continue;
        }
        let text = cut(label, labels.length_max);
        let full = if text.len() < label.len() { format!("<title>{}</title>", escaped(label)) } else { String::new() };
        if labels.slanted {
            let y = frame.bottom + 14.0;
            push(
                out,
                format_args!(
                    "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"end\" transform=\"rotate(-35 {x:.1} {y:.1})\">{full}{}</text>",
                    escaped(&text)
                ),
            );
        } else {
            // One at the edge is moved so that it isn't cut off.
            let half = text.width() as f64 * CHARACTER / 2.0;
            let x = x.min(WIDTH - half - 2.0).max(half + 2.0);
            push(
                out,
                format_args!(
                    "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{full}{}</text>",
                    frame.bottom + 20.0,
                    escaped(&text)
                ),
            );
        }
    }
    push(
        out,
        format_args!(
            "<line class=\"axis\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{:.1}\" y2=\"{:.1}\"/>",
            frame.left,
            WIDTH - RIGHT,
            frame.bottom,
            frame.bottom
        ),
    );
}

fn bars(out: &mut String, frame: &Frame, series: &[Series], axis: &XAxis) {
    let slot = frame.x(1.0) - frame.x(0.0);
    let group = (slot * 0.78).min(90.0);
    let width = (group / series.len().max(1) as f64).max(0.5);
    for (number, series) in series.iter().enumerate() {
        for (x, y) in &series.points {
            let Some(value) = y else { continue };
            let left = (number as f64).mul_add(width, frame.x(*x) - group / 2.0);
            let (zero, end) = (frame.y(0.0), frame.y(*value));
            let (top, height) = (zero.min(end), (zero - end).abs().max(0.6));
            push(
                out,
                format_args!(
                    "<rect class=\"fill s{number}\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{height:.1}\" rx=\"1.5\"><title>{}</title></rect>",
                    (width - 1.0).max(0.5),
                    point_text(series, axis, *x, *value)
                ),
            );
        }
    }
}

/// Lines break where there is no number.
fn lines(out: &mut String, frame: &Frame, series: &Series, number: usize, is_area: bool) {
    for run in series.points.split(|point| point.1.is_none()).filter(|run| !run.is_empty()) {
        let mut path = String::new();
        for (index, (x, y)) in run.iter().enumerate() {
            let command = if index == 0 { 'M' } else { 'L' };
            push(&mut path, format_args!("{command}{:.1} {:.1}", frame.x(*x), frame.y(y.unwrap_or(0.0))));
        }
        if is_area {
            let (first, last) = (frame.x(run[0].0), frame.x(run[run.len() - 1].0));
            let zero = frame.y(0.0);
            push(
                out,
                format_args!("<path class=\"area s{number}\" d=\"{path}L{last:.1} {zero:.1}L{first:.1} {zero:.1}Z\"/>"),
            );
        }
        push(out, format_args!("<path class=\"line s{number}\" d=\"{path}\"/>"));
    }
}

/// Dots that say what they are; a radius of nought gives ones that are only felt.
fn dots(out: &mut String, frame: &Frame, series: &Series, axis: &XAxis, number: usize, radius: f64) {
    let class = if radius > 0.0 { "dot" } else { "felt" };
    let radius = if radius > 0.0 { radius } else { 4.0 };
    for (x, y) in series.points.iter().take(2_000) {
        let Some(value) = y else { continue };
        let (left, top) = (frame.x(*x), frame.y(*value));
        push(
            out,
            format_args!(
                "<circle class=\"{class} s{number}\" cx=\"{left:.1}\" cy=\"{top:.1}\" r=\"{radius}\"><title>{}</title></circle>",
                point_text(series, axis, *x, *value)
            ),
        );
    }
}

/// `series, x: y`, escaped.
fn point_text(series: &Series, axis: &XAxis, x: f64, y: f64) -> String {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in a list, a moment")]
    let x = match axis {
        XAxis::Names(names) => names.get(x as usize).cloned().unwrap_or_default(),
        XAxis::Number => grouped(&trimmed(x, 6)),
        XAxis::Time => {
            let moment = chrono::DateTime::from_timestamp(x.floor() as i64, 0).unwrap_or_default();
            let text = moment.format("%Y-%m-%d %H:%M:%S").to_string();
            text.strip_suffix(" 00:00:00").map_or(text.clone(), str::to_owned)
        }
    };
    let text = format!("{}, {}: {}", cut(&series.name, 80), cut(&x, 80), grouped(&trimmed(y, 6)));
    escaped(&text).into_owned()
}

fn pie(plot: &Plot, title: &str) -> String {
    let slices = plot.slices();
    let total: f64 = slices.iter().map(|slice| slice.1).sum();
    let (radius, middle) = (104.0_f64, 120.0_f64);
    let mut out = open(title, 240.0);
    if slices.is_empty() || !total.is_finite() {
        push(
            &mut out,
            format_args!("<text x=\"{middle}\" y=\"{middle}\" text-anchor=\"middle\">nothing to show</text></svg>"),
        );
        return out;
    }
    let mut from = 0.0_f64;
    for (number, (name, value)) in slices.iter().enumerate() {
        let share = value / total;
        let text = format!("{}: {} ({} %)", cut(name, 80), grouped(&trimmed(*value, 6)), trimmed(share * 100.0, 1));
        let tip = escaped(&text);
        if slices.len() == 1 {
            push(
                &mut out,
                format_args!(
                    "<circle class=\"fill s{number}\" cx=\"{middle}\" cy=\"{middle}\" r=\"{radius}\"><title>{tip}</title></circle>"
                ),
            );
        } else {
            let edge = |part: f64| {
                let angle = (part - 0.25) * std::f64::consts::TAU;
                (radius.mul_add(f64::cos(angle), middle), radius.mul_add(f64::sin(angle), middle))
            };
            let ((x1, y1), (x2, y2)) = (edge(from), edge(from + share));
            let large = u8::from(share > 0.5);
            push(
                &mut out,
                format_args!(
                    "<path class=\"slice s{number}\" d=\"M{middle} {middle}L{x1:.2} {y1:.2}A{radius} {radius} 0 {large} 1 {x2:.2} {y2:.2}Z\"><title>{tip}</title></path>"
                ),
            );
        }
        from += share;
        let y = (number as f64).mul_add(24.0, middle - (slices.len() as f64 - 1.0) * 12.0);
        push(
            &mut out,
            format_args!(
                "<rect class=\"fill s{number}\" x=\"272\" y=\"{:.1}\" width=\"12\" height=\"12\" rx=\"2\"/>",
                y - 6.0
            ),
        );
        push(
            &mut out,
            format_args!("<text class=\"name\" x=\"292\" y=\"{:.1}\">{}</text>", y + 4.5, escaped(&cut(name, 36))),
        );
        let amount = format!("{}  ({} %)", grouped(&trimmed(*value, 2)), trimmed(share * 100.0, 1));
        push(
            &mut out,
            format_args!("<text x=\"730\" y=\"{:.1}\" text-anchor=\"end\">{}</text>", y + 4.5, escaped(&amount)),
        );
    }
    out.push_str("</svg>");
    out
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String can't fail.
    let _ = out.write_fmt(text);
}
