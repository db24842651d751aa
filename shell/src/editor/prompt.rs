//! [`Prompt`]: psql's: `lake=#`, `lake-#`, `lake'#`, with `*` in a transaction.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use nu_ansi_term::Color;
use parking_lot::Mutex;
use reedline::{PromptEditMode, PromptHistorySearch};

use crate::backend::{Place, Transaction};
use crate::statement::Waiting;

/// What the line that is being typed waits for. There is one editor in a process.
static WAITING: OnceLock<Arc<Mutex<Waiting>>> = OnceLock::new();

pub(super) fn watch(waiting: &Arc<Mutex<Waiting>>) {
    // A second editor in one process would show the prompts of the first.
    let _ = WAITING.set(Arc::clone(waiting));
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Prompt {
    name: String,
    mark: String,
    first: Waiting,
}

impl Prompt {
    /// The prompt of a session, where the statement that has begun waits for `first`.
    pub fn new(place: &Place, first: Waiting) -> Self {
        let transaction = match place.transaction {
            Transaction::None => "",
            Transaction::Open => "*",
            Transaction::Failed => "!",
        };
        let end = if place.is_superuser { '#' } else { '>' };
        Self { name: place.database.clone(), mark: format!("{transaction}{end} "), first }
    }

    /// What follows the name; an open menu shows it, too.
    pub fn indicator(&self) -> String {
        format!("{}{}", self.first.symbol(), self.mark)
    }

    /// The whole of it, for a statement that waits for `waiting`.
    pub fn text(&self, waiting: Waiting) -> String {
        format!("{}{}{}", self.name, waiting.symbol(), self.mark)
    }
}

impl reedline::Prompt for Prompt {
    fn render_prompt_left(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.name)
    }

    fn render_prompt_right(&self) -> Cow<'_, str> {
        Cow::Borrowed("")
    }

    fn render_prompt_indicator(&self, _mode: PromptEditMode) -> Cow<'_, str> {
        Cow::Owned(self.indicator())
    }

    fn render_prompt_multiline_indicator(&self) -> Cow<'_, str> {
        let waiting = WAITING.get().map_or(Waiting::Semicolon, |waiting| *waiting.lock());
        let waiting = if waiting == Waiting::Nothing { Waiting::Semicolon } else { waiting };
        Cow::Owned(self.text(waiting))
    }

    fn render_prompt_history_search_indicator(&self, search: PromptHistorySearch) -> Cow<'_, str> {
        Cow::Owned(format!("(search: {}) ", search.term))
    }

    fn get_prompt_color(&self) -> Color {
        Color::Default
    }

    fn get_indicator_color(&self) -> Color {
        Color::Default
    }

    fn get_prompt_multiline_color(&self) -> Color {
        Color::Default
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_are_psqls() {
        let place = Place { database: "lake".to_owned(), ..Place::default() };
        let prompt = Prompt::new(&place, Waiting::Nothing);
        assert_eq!(prompt.text(Waiting::Nothing), "lake=> ");
        assert_eq!(prompt.text(Waiting::Semicolon), "lake-> ");
        assert_eq!(prompt.text(Waiting::Quote), "lake'> ");
        let place = Place { is_superuser: true, transaction: Transaction::Open, ..place };
        assert_eq!(Prompt::new(&place, Waiting::Nothing).text(Waiting::Nothing), "lake=*# ");
    }
}
