//! Errors and notices as psql prints them.

use std::fmt::Write as _;

use limnos_engine::Notice;

use super::Failure;
use crate::http::ErrorBody;
use crate::script::ScriptError;

/// An error with everything that helps: `ERROR:`, the line with a caret, `DETAIL:`, `HINT:`.
pub(super) struct ErrorText<'a> {
    pub(super) message: &'a str,
    pub(super) detail: Option<&'a str>,
    pub(super) hint: Option<&'a str>,
    /// 1-based, in characters of `sql`.
    pub(super) position: Option<usize>,
    pub(super) sql: &'a str,
}

impl ErrorText<'_> {
    /// The lines to print.
    pub(super) fn render(&self) -> String {
        let mut out = format!("ERROR:  {}\n", self.message);
        // Writing to a String can't fail.
        if let Some((number, line, column)) = self.position.and_then(|position| locate(self.sql, position)) {
            let head = format!("LINE {number}: ");
            let caret = head.chars().count() + column;
            let _ = writeln!(out, "{head}{line}\n{:caret$}^", "");
        }
        if let Some(detail) = self.detail {
            let _ = writeln!(out, "DETAIL:  {detail}");
        }
        if let Some(hint) = self.hint {
            let _ = writeln!(out, "HINT:  {hint}");
        }
        out
    }
}

/// Prints what stopped a script and ends the command with 1.
pub(super) fn failure(failed: &ScriptError) -> Failure {
    let error = &failed.error;
    eprint!(
        "{}",
        ErrorText {
            message: &error.message,
            detail: error.detail.as_deref(),
            hint: error.hint.as_deref(),
            position: error.position,
            sql: &failed.sql,
        }
        .render()
    );
    Failure::Silent(std::process::ExitCode::FAILURE)
}

/// The same for an error that came from a server.
pub(super) fn remote_failure(body: &ErrorBody, sql: &str) -> Failure {
    eprint!(
        "{}",
        ErrorText {
            message: &body.message,
            detail: body.detail.as_deref(),
            hint: body.hint.as_deref(),
            position: body.position,
            sql: body.statement.as_deref().unwrap_or(sql),
        }
        .render()
    );
    Failure::Silent(std::process::ExitCode::FAILURE)
}

/// `NOTICE:  table "x" does not exist, skipping`
pub(super) fn notices(notices: &[Notice]) {
    for notice in notices {
        eprintln!("{}:  {}", notice.severity, notice.message);
    }
}

/// The line number (from 1), the line (tabs as spaces) and the column (from 0) of a position.
fn locate(sql: &str, position: usize) -> Option<(usize, String, usize)> {
    let mut left = position.checked_sub(1)?;
    for (index, line) in sql.split('\n').enumerate() {
        let length = line.chars().count();
        // At the very end of a line, or of the text, the caret stands behind it.
        if left <= length {
            return Some((index + 1, line.trim_end_matches('\r').replace('\t', " "), left));
        }
        left -= length + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_printed_as_psql_prints_them() {
        let text = ErrorText {
            message: "column \"nam\" does not exist",
            detail: None,
            hint: Some("Perhaps you meant to reference the column \"t.name\"."),
            position: Some(18),
            sql: "SELECT 'é',\n\tid, nam\nFROM t",
        };
        let expected = "ERROR:  column \"nam\" does not exist\n\
            LINE 2:  id, nam\n\
            \u{20}            ^\n\
            HINT:  Perhaps you meant to reference the column \"t.name\".\n";
        assert_eq!(text.render(), expected);
    }

    #[test]
    fn positions_are_found_or_left_out() {
        let cases = [(1, Some((1, 0))), (3, Some((1, 2))), (4, Some((2, 0))), (5, Some((2, 1))), (6, None), (0, None)];
        for (position, expected) in cases {
            let found = locate("ab\nc", position).map(|(line, _, column)| (line, column));
            assert_eq!(found, expected, "{position}");
        }
    }
}
