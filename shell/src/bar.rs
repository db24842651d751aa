//! [`Bar`]: a line at the terminal's bottom that says how far a statement is, while nothing else is to be seen.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::time::Duration;

use parking_lot::Mutex;

use crate::backend::Progress;
use crate::output;

/// Statements that take less have no bar.
pub const SHOWN_AFTER: Duration = Duration::from_millis(500);

/// How often it is drawn.
pub const TICK: Duration = Duration::from_millis(100);

/// Characters of the bar itself.
const BAR_WIDTH: usize = 24;

/// Less of a statement says nothing about how long the rest takes.
const SHARE_MIN: f64 = 0.02;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Hidden,
    Shown,
    Ended,
}

/// See the module. It is on standard error, so that it is never among answers.
#[derive(Debug)]
pub struct Bar {
    state: Mutex<State>,
    has_colors: bool,
}

impl Bar {
    /// One that is shown when it is drawn.
    pub fn new(has_colors: bool) -> Self {
        Self { state: Mutex::new(State::Hidden), has_colors }
    }

    /// One that is never shown: there is no terminal.
    pub fn none() -> Self {
        Self { state: Mutex::new(State::Ended), has_colors: false }
    }

    /// Whether there is anything to draw yet.
    pub fn is_wanted(&self) -> bool {
        *self.state.lock() != State::Ended
    }

    /// Shows how far it is.
    pub fn draw(&self, progress: Option<&Progress>, elapsed: Duration) {
        let mut state = self.state.lock();
        if *state == State::Ended {
            return;
        }
        let columns = output::screen().map_or(80, |size| size.columns);
        let text = line(progress, elapsed, columns.saturating_sub(1));
        let text = if self.has_colors { text.replace('█', "\x1b[36m█\x1b[0m") } else { text };
        eprint!("\r\x1b[2K{text}");
        // Nobody misses a bar that can't be drawn.
        let _ = io::stderr().flush();
        *state = State::Shown;
    }

    /// Takes it away until it is drawn again.
    pub fn hide(&self) {
        let mut state = self.state.lock();
        if *state == State::Shown {
            clear();
            *state = State::Hidden;
        }
    }

    /// Takes it away for good.
    pub fn end(&self) {
        let mut state = self.state.lock();
        if *state == State::Shown {
            clear();
        }
        *state = State::Ended;
    }
}

fn clear() {
    eprint!("\r\x1b[2K");
    let _ = io::stderr().flush();
}

/// `45 % ██████████░░░░░░░░  1.2 M rows  340 MiB of 760 MiB  3.2 s, 4.0 s left`, no longer than `width`.
fn line(progress: Option<&Progress>, elapsed: Duration, width: usize) -> String {
    let Some(progress) = progress else { return fit(format!("  running {}  Ctrl-C cancels", time(elapsed)), width) };
    if progress.is_queued {
        return fit(format!("  waiting for its turn {}", time(elapsed)), width);
    }
    let mut text = String::new();
    let share = progress.bytes_total.filter(|total| *total > 0).map(|total| {
        // Requests reach a little further than the files' ends.
        (progress.bytes as f64 / total as f64).min(1.0)
    });
    if let Some(share) = share {
        let filled = (share * BAR_WIDTH as f64) as usize;
        // Writing to a String can't fail.
        let _ = write!(text, "{:3.0} % {}{}  ", share * 100.0, "█".repeat(filled), "░".repeat(BAR_WIDTH - filled));
    }
    if progress.rows > 0 {
        let _ = write!(text, "{} rows  ", count(progress.rows));
    }
    match progress.bytes_total.filter(|total| *total > 0) {
        Some(total) => {
            let _ = write!(text, "{} of {}  ", bytes(progress.bytes), bytes(total));
        }
        None => {
            let _ = write!(text, "{} read  ", bytes(progress.bytes));
        }
    }
    text.push_str(&time(elapsed));
    if let Some(share) = share.filter(|share| (SHARE_MIN..1.0).contains(share)) {
        let left = elapsed.as_secs_f64() * (1.0 - share) / share;
        let _ = write!(text, ", {} left", time(Duration::from_secs_f64(left)));
    }
    text.push_str("  Ctrl-C cancels");
    fit(text, width)
}

fn fit(text: String, width: usize) -> String {
    if text.chars().count() <= width { text } else { text.chars().take(width).collect() }
}

/// `950`, `1.2 M`
pub fn count(count: u64) -> String {
    scaled(count as f64, 1000.0, &["", " k", " M", " G", " T"])
}

/// `950 B`, `1.2 MiB`
pub fn bytes(bytes: u64) -> String {
    scaled(bytes as f64, 1024.0, &[" B", " KiB", " MiB", " GiB", " TiB", " PiB"])
}

fn scaled(mut value: f64, base: f64, units: &[&str]) -> String {
    let mut unit = 0;
    while value >= base && unit + 1 < units.len() {
        value /= base;
        unit += 1;
    }
    let digits = usize::from(unit > 0 && value < 100.0);
    format!("{value:.digits$}{}", units[unit])
}

/// `3.2 s`, `2:05`, `1:02:05`
pub fn time(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{:.1} s", time.as_secs_f64()),
        60..3600 => format!("{}:{:02}", seconds / 60, seconds % 60),
        _ => format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_what_is_known() {
        let seconds = Duration::from_secs;
        assert_eq!(line(None, seconds(3), 80), "  running 3.0 s  Ctrl-C cancels");
        let progress = Progress { rows: 1_234_567, bytes: 25 << 20, ..Progress::default() };
        assert_eq!(line(Some(&progress), seconds(3), 80), "1.2 M rows  25.0 MiB read  3.0 s  Ctrl-C cancels");
        let progress = Progress { bytes_total: Some(100 << 20), rows: 0, ..progress };
        assert_eq!(
            line(Some(&progress), seconds(90), 99),
            " 25 % ██████░░░░░░░░░░░░░░░░░░  25.0 MiB of 100 MiB  1:30, 4:30 left  Ctrl-C cancels"
        );
        assert_eq!(line(Some(&progress), seconds(90), 20).chars().count(), 20);
        let queued = Progress { is_queued: true, ..progress };
        assert_eq!(line(Some(&queued), seconds(1), 80), "  waiting for its turn 1.0 s");
    }

    #[test]
    fn an_ended_bar_is_not_drawn_again() {
        let bar = Bar::new(false);
        assert!(bar.is_wanted());
        bar.end();
        bar.draw(None, Duration::ZERO);
        assert!(!bar.is_wanted());
    }
}
