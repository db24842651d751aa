//! What depends on a terminal: colours, and input that is not shown.

use std::io::IsTerminal;
use std::process::{Command, Stdio};

use crate::config::process_environment;

/// Whether to write colours there: on a terminal, unless `NO_COLOR` (<https://no-color.org>) or `TERM=dumb` says no.
pub(super) fn has_colors(stream: &impl IsTerminal) -> bool {
    stream.is_terminal()
        && process_environment("NO_COLOR").is_none()
        && process_environment("TERM").is_none_or(|term| term != "dumb")
}

/// `text` in red, where there are colours.
pub(super) fn red(text: &str, has_colors: bool) -> String {
    if has_colors { format!("\x1b[1;31m{text}\x1b[0m") } else { text.to_owned() }
}

/// A terminal that shows nothing of what is typed, until dropped.
pub(super) struct Quiet;

impl Quiet {
    /// `None` where it can't be had.
    pub(super) fn start() -> Option<Self> {
        // Without signals: one that ended us here would leave the terminal mute.
        stty(&["-echo", "-isig"]).then_some(Self)
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        stty(&["echo", "isig"]);
    }
}

fn stty(arguments: &[&str]) -> bool {
    let done = Command::new("stty").args(arguments).stdin(Stdio::inherit()).stderr(Stdio::null()).status();
    done.is_ok_and(|status| status.success())
}
