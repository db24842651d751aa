//! [`cut`]: text -> statements and backslash commands, and what the rest waits for.

use crate::lex::{self, Kind, Token};

/// A part of the text, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece<'a> {
    /// SQL that belongs to the statement which is being gathered.
    Sql(&'a str),
    /// The statement has ended.
    End,
    /// A backslash command, with its backslash, up to the end of its line.
    Command(&'a str),
}

/// What would end the statement that has begun. Each has its own prompt, as in psql.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Waiting {
    /// Nothing has begun.
    #[default]
    Nothing,
    /// A semicolon.
    Semicolon,
    /// A closing `)`.
    Parenthesis,
    /// A closing `'`.
    Quote,
    /// A closing `"`.
    DoubleQuote,
    /// The tag of a dollar quote.
    Dollar,
    /// `*/`.
    Comment,
}

impl Waiting {
    /// The character that psql's prompt has for it.
    pub fn symbol(self) -> char {
        match self {
            Self::Nothing => '=',
            Self::Semicolon => '-',
            Self::Parenthesis => '(',
            Self::Quote => '\'',
            Self::DoubleQuote => '"',
            Self::Dollar => '$',
            Self::Comment => '*',
        }
    }
}

/// Cuts `text`. The pieces after the last [`Piece::End`] are a statement that has only begun.
pub fn cut(text: &str) -> (Vec<Piece<'_>>, Waiting) {
    let mut pieces = Vec::new();
    let (mut depth, mut begin, mut has_begun, mut open) = (0_usize, 0, false, None);
    for token in lex::tokens(text) {
        match token.kind {
            Kind::Open => depth += 1,
            Kind::Close => depth = depth.saturating_sub(1),
            Kind::Semicolon if depth == 0 => {
                push(&mut pieces, &text[begin..token.start]);
                pieces.push(Piece::End);
                (begin, has_begun) = (token.end, false);
                continue;
            }
            Kind::Command => {
                push(&mut pieces, &text[begin..token.start]);
                pieces.push(Piece::Command(token.text(text)));
                begin = token.end;
                continue;
            }
            _ => {}
        }
        has_begun |= !matches!(token.kind, Kind::Space | Kind::Comment) || !token.is_closed;
        if !token.is_closed {
            open = Some(waiting_for(&token));
        }
    }
    push(&mut pieces, &text[begin..]);
    let waiting = match (open, has_begun, depth) {
        (Some(open), ..) => open,
        (None, false, _) => Waiting::Nothing,
        (None, true, 0) => Waiting::Semicolon,
        (None, true, _) => Waiting::Parenthesis,
    };
    (pieces, waiting)
}

fn push<'a>(pieces: &mut Vec<Piece<'a>>, sql: &'a str) {
    if !sql.is_empty() {
        pieces.push(Piece::Sql(sql));
    }
}

fn waiting_for(token: &Token) -> Waiting {
    match token.kind {
        Kind::Text => Waiting::Quote,
        Kind::Name => Waiting::DoubleQuote,
        Kind::Dollar => Waiting::Dollar,
        _ => Waiting::Comment,
    }
}

/// Whether `sql` has nothing to run: blanks and comments.
pub fn is_blank(sql: &str) -> bool {
    lex::tokens(sql).iter().all(|token| matches!(token.kind, Kind::Space | Kind::Comment) && token.is_closed)
}

/// Whether a text may hold a password, and so must not be kept in a history.
pub fn tells_secrets(text: &str) -> bool {
    const SECRETS: [&str; 4] = ["password", "secret", "secret_access_key", "session_token"];
    lex::tokens(text).iter().any(|token| {
        let word = token.text(text).to_ascii_lowercase();
        match token.kind {
            Kind::Word => SECRETS.contains(&word.as_str()),
            Kind::Command => word.contains("password"),
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_end_at_semicolons_outside_of_quotes_and_parentheses() {
        let (pieces, waiting) = cut("select ';' ; select (1;2) ; x");
        let expected =
            [Piece::Sql("select ';' "), Piece::End, Piece::Sql(" select (1;2) "), Piece::End, Piece::Sql(" x")];
        assert_eq!((pieces.as_slice(), waiting), (expected.as_slice(), Waiting::Semicolon));
    }

    #[test]
    fn commands_may_follow_sql() {
        let (pieces, waiting) = cut("select 1 \\gx out.txt\n\\x\nselect");
        let expected = [
            Piece::Sql("select 1 "),
            Piece::Command("\\gx out.txt"),
            Piece::Sql("\n"),
            Piece::Command("\\x"),
            Piece::Sql("\nselect"),
        ];
        assert_eq!((pieces.as_slice(), waiting), (expected.as_slice(), Waiting::Semicolon));
    }

    #[test]
    fn prompts_say_what_is_missing() {
        let cases = [
            ("", '='),
            ("select 1;", '='),
            ("select 1; -- done", '='),
            ("select", '-'),
            ("select (", '('),
            ("select 'a", '\''),
            ("select \"a", '"'),
            ("select $$ a", '$'),
            ("/* a", '*'),
            ("select ('a", '\''),
        ];
        for (text, symbol) in cases {
            assert_eq!(cut(text).1.symbol(), symbol, "{text}");
        }
    }

    #[test]
    fn passwords_are_known() {
        assert!(tells_secrets("ALTER ROLE a Password 'x'"));
        assert!(tells_secrets("\\password ann"));
        assert!(!tells_secrets("select 'password' from t"));
    }
}
