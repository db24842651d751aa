//! A run as a picture: of each query a bar an engine, as long as its time by the fastest's, in an SVG.

use std::fmt::Write as _;

use super::time;
use crate::suite::{Figures, Measured, Results};

const WIDTH: f64 = 920.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 150.0;
const TOP: f64 = 84.0;
const BAR: f64 = 9.0;
const GAP: f64 = 9.0;

/// Longer bars than this many times the fastest's are cut, and say so.
const RATIO_MAX: f64 = 6.0;

/// In the engines' order; ours is the darkest.
const COLOURS: [&str; 7] = ["#1b4965", "#ca6702", "#ee9b00", "#94a3b8", "#7a9e7e", "#b56576", "#6d6875"];

/// The whole picture.
pub(super) fn draw(title: &str, results: &Results) -> String {
    let engines = results.participants.len();
    let query_height = engines as f64 * BAR + GAP;
    let height = TOP + results.measured.len() as f64 * query_height + 24.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"DejaVu Sans, Helvetica, Arial, sans-serif\" font-size=\"11\" fill=\"#222\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"{LEFT}\" y=\"24\" font-size=\"15\" font-weight=\"bold\">{}</text>\n\
         <text x=\"{LEFT}\" y=\"42\" fill=\"#555\">Each engine's time by the fastest's of the query; shorter is better. Right of it, ms.</text>\n",
        escaped(title)
    );
    legend(results, &mut svg);
    scale(height, &mut svg);
    for (number, measured) in results.measured.iter().enumerate() {
        query(measured, TOP + number as f64 * query_height, &mut svg);
    }
    svg.push_str("</svg>\n");
    svg
}

fn legend(results: &Results, svg: &mut String) {
    let mut x = LEFT;
    for (participant, colour) in results.participants.iter().zip(COLOURS.iter().cycle()) {
        let _it_is_a_string = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"52\" width=\"10\" height=\"10\" fill=\"{colour}\"/><text x=\"{}\" y=\"61\">{}</text>",
            x + 14.0,
            escaped(&participant.label)
        );
        x += 34.0 + participant.label.len() as f64 * 7.0;
    }
}

fn scale(height: f64, svg: &mut String) {
    for ratio in 1..=RATIO_MAX as u32 {
        let x = place(f64::from(ratio));
        let _it_is_a_string = writeln!(
            svg,
            "<line x1=\"{x:.1}\" y1=\"{}\" x2=\"{x:.1}\" y2=\"{}\" stroke=\"#ddd\"/><text x=\"{x:.1}\" y=\"{}\" fill=\"#777\" text-anchor=\"middle\">{ratio}×</text>",
            TOP - 6.0,
            height - 22.0,
            height - 8.0
        );
    }
}

fn query(measured: &Measured, y: f64, svg: &mut String) {
    let fastest = measured.outcomes.iter().flatten().map(Figures::median_ms).min_by(f64::total_cmp).unwrap_or(1.0);
    let middle = y + measured.outcomes.len() as f64 * BAR / 2.0 + 4.0;
    let _it_is_a_string = writeln!(
        svg,
        "<text x=\"{}\" y=\"{middle:.1}\" text-anchor=\"end\">{}</text>",
        LEFT - 8.0,
        escaped(&measured.query)
    );
    for (number, (outcome, colour)) in measured.outcomes.iter().zip(COLOURS.iter().cycle()).enumerate() {
        let top = y + number as f64 * BAR;
        let (end, text) = match outcome {
            Ok(figures) => {
                let ratio = figures.median_ms() / fastest.max(1e-9);
                let cut = if ratio > RATIO_MAX { format!(" ({ratio:.1}×)") } else { String::new() };
                (place(ratio.min(RATIO_MAX)), format!("{}{cut}", time(outcome)))
            }
            Err(error) if error.starts_with("another answer") => (LEFT, "another answer".to_owned()),
            Err(_) => (LEFT, "fails".to_owned()),
        };
        let _it_is_a_string = writeln!(
            svg,
            "<rect x=\"{LEFT}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{colour}\"/><text x=\"{:.1}\" y=\"{:.1}\" font-size=\"8\" fill=\"#555\">{}</text>",
            end - LEFT,
            BAR - 1.5,
            end + 4.0,
            top + BAR - 2.0,
            escaped(&text)
        );
    }
}

fn place(ratio: f64) -> f64 {
    LEFT + (WIDTH - LEFT - RIGHT) * ratio / RATIO_MAX
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::Participant;

    #[test]
    fn a_picture_has_a_bar_for_each_and_is_markup() {
        let participant = |label: &str| Participant {
            label: label.to_owned(),
            version: String::new(),
            load: None,
            loaded_bytes: None,
        };
        let figures = |ms: f64| Ok(Figures { ms: vec![ms], ..Figures::default() });
        let measured =
            Measured { query: "q01".to_owned(), outcomes: vec![figures(1.0), figures(80.0), Err("no".to_owned())] };
        let results =
            Results { participants: ["limnos", "a", "b"].map(participant).to_vec(), measured: vec![measured] };
        let svg = draw("a < b & c", &results);
        assert!(svg.contains("a &lt; b &amp; c") && svg.contains("(80.0×)") && svg.contains("fails"));
        assert_eq!(svg.matches("<text").count(), svg.matches("</text>").count());
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
    }
}
