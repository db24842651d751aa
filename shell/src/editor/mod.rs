//! [`Editor`]: reads a statement or a command from the terminal.

mod complete;
mod highlight;
mod history;
mod names;
mod prompt;

use std::io;
use std::path::Path;
use std::sync::Arc;

use nu_ansi_term::{Color, Style};
use parking_lot::Mutex;
use reedline::{
    ColumnarMenu, EditCommand, Emacs, KeyCode, KeyModifiers, MenuBuilder as _, Reedline, ReedlineEvent, ReedlineMenu,
    Signal, ValidationResult, Validator, default_emacs_keybindings,
};

use crate::statement::{self, Piece, Waiting};
pub use names::Names;
pub use prompt::Prompt;

const MENU: &str = "completion";

/// Text that was typed before and waits for its end, shared with what looks at the line.
pub type Pending = Arc<Mutex<String>>;

/// What came of a line.
#[derive(Debug)]
pub enum Line {
    /// This was typed.
    Text(String),
    /// Ctrl-C: forget it.
    Cancelled,
    /// Ctrl-D: leave.
    End,
}

/// See the module.
pub struct Editor {
    reedline: Reedline,
}

impl Editor {
    /// An editor; the history is kept in `history` if it can be.
    pub fn new(
        names: Arc<Names>,
        pending: &Pending,
        history: Option<&Path>,
        prompt: &Prompt,
        has_colors: bool,
    ) -> Self {
        let waiting = Arc::new(Mutex::new(Waiting::Nothing));
        let mut keys = default_emacs_keybindings();
        keys.add_binding(
            KeyModifiers::NONE,
            KeyCode::Tab,
            ReedlineEvent::UntilFound(vec![ReedlineEvent::Menu(MENU.to_owned()), ReedlineEvent::MenuNext]),
        );
        keys.add_binding(KeyModifiers::SHIFT, KeyCode::BackTab, ReedlineEvent::MenuPrevious);
        keys.add_binding(KeyModifiers::ALT, KeyCode::Enter, ReedlineEvent::Edit(vec![EditCommand::InsertNewline]));
        let plain = Style::new();
        let mut menu = ColumnarMenu::default()
            .with_name(MENU)
            .with_marker(&prompt.indicator())
            .with_columns(4)
            .with_column_padding(2);
        if has_colors {
            menu = menu
                .with_text_style(Color::Cyan.normal())
                .with_selected_text_style(Color::Cyan.reverse())
                .with_match_text_style(Color::Cyan.bold())
                .with_selected_match_text_style(Color::Cyan.reverse().bold());
        } else {
            menu = menu.with_text_style(plain).with_selected_text_style(plain.reverse());
        }
        let reedline = Reedline::create()
            .with_ansi_colors(has_colors)
            .with_edit_mode(Box::new(Emacs::new(keys)))
            .with_completer(Box::new(complete::Completer::new(names, Arc::clone(pending))))
            .with_quick_completions(true)
            .with_partial_completions(true)
            .with_menu(ReedlineMenu::EngineCompleter(Box::new(menu)))
            .with_highlighter(Box::new(highlight::Highlighter::new(
                Arc::clone(pending),
                Arc::clone(&waiting),
                has_colors,
            )))
            .with_validator(Box::new(WholeStatements(Arc::clone(pending))))
            .with_history(history::open(history))
            .use_bracketed_paste(true);
        prompt::watch(&waiting);
        Self { reedline }
    }

    /// Reads a line, which may have several.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn read(&mut self, prompt: &Prompt) -> io::Result<Line> {
        let line = match self.reedline.read_line(prompt).map_err(io::Error::other)? {
            Signal::Success(text) => Line::Text(text),
            Signal::CtrlD => Line::End,
            _ => Line::Cancelled,
        };
        // Now and not at the end: who is killed keeps it.
        let _ = self.reedline.sync_history();
        Ok(line)
    }

    /// What was typed, oldest first.
    pub fn history(&self) -> Vec<String> {
        let everything = reedline::SearchQuery::everything(reedline::SearchDirection::Forward, None);
        let items = self.reedline.history().search(everything).unwrap_or_default();
        items.into_iter().map(|item| item.command_line).collect()
    }
}

/// Enter ends a line when its statements end; until then it is one more line of it.
struct WholeStatements(Pending);

impl Validator for WholeStatements {
    fn validate(&self, line: &str) -> ValidationResult {
        let text = format!("{}{line}", self.0.lock());
        let (pieces, waiting) = statement::cut(&text);
        let ends_in_command = matches!(pieces.last(), Some(Piece::Command(_)));
        if waiting == Waiting::Nothing || ends_in_command || leaves(line) {
            ValidationResult::Complete
        } else {
            ValidationResult::Incomplete
        }
    }
}

/// `quit`, `exit` and `help` alone, as psql has them.
fn leaves(line: &str) -> bool {
    ["quit", "exit", "help"].contains(&line.trim())
}
