//! Colours for what is being typed: keywords, quotes, numbers, comments.

use std::sync::Arc;

use nu_ansi_term::{Color, Style};
use parking_lot::Mutex;
use reedline::StyledText;

use super::Pending;
use super::names::is_keyword;
use crate::lex::{self, Kind};
use crate::statement::{self, Waiting};

/// Longer texts have no colours: each key would wait for them.
const BYTES_MAX: usize = 64 << 10;

/// See the module. On the way it finds out what the line waits for, for the prompt.
pub(super) struct Highlighter {
    pending: Pending,
    waiting: Arc<Mutex<Waiting>>,
    has_colors: bool,
}

impl Highlighter {
    pub(super) fn new(pending: Pending, waiting: Arc<Mutex<Waiting>>, has_colors: bool) -> Self {
        Self { pending, waiting, has_colors }
    }
}

fn style(kind: Kind, text: &str) -> Style {
    match kind {
        Kind::Word if is_keyword(text) => Color::Blue.bold(),
        Kind::Text | Kind::Dollar => Color::Green.normal(),
        Kind::Number => Color::Magenta.normal(),
        Kind::Comment => Style::new().dimmed(),
        Kind::Variable | Kind::Command => Color::Cyan.normal(),
        _ => Style::new(),
    }
}

impl reedline::Highlighter for Highlighter {
    fn highlight(&self, line: &str, _cursor: usize) -> StyledText {
        let mut styled = StyledText::new();
        if line.len() > BYTES_MAX {
            styled.push((Style::new(), line.to_owned()));
            return styled;
        }
        *self.waiting.lock() = statement::cut(&format!("{}{line}", self.pending.lock())).1;
        for token in lex::tokens(line) {
            let text = token.text(line);
            let style = if self.has_colors { style(token.kind, text) } else { Style::new() };
            styled.push((style, text.to_owned()));
        }
        if line.is_empty() {
            styled.push((Style::new(), String::new()));
        }
        styled
    }
}
