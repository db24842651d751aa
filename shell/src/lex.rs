//! [`tokens`]: SQL text -> tokens, as psql's own scanner cuts it: quotes, dollar quotes, nested comments, variables and
//! backslash commands. It never fails: what isn't closed says so.

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Blanks and line breaks.
    Space,
    /// `-- ...` or `/* ... */`.
    Comment,
    /// A keyword or a name.
    Word,
    /// `12`, `1.5e3`.
    Number,
    /// `'...'`, with its prefix if it has one.
    Text,
    /// `"..."`.
    Name,
    /// `$tag$...$tag$`.
    Dollar,
    /// `:name`, `:'name'`, `:"name"`.
    Variable,
    /// `;`
    Semicolon,
    /// `(`
    Open,
    /// `)`
    Close,
    /// A backslash and all up to the end of the line.
    Command,
    /// Anything else.
    Other,
}

/// A piece of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: Kind,
    /// Where it begins, in bytes.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
    /// Whether it is closed; only quotes and comments can be open.
    pub is_closed: bool,
}

impl Token {
    /// Its text.
    pub fn text<'a>(&self, sql: &'a str) -> &'a str {
        &sql[self.start..self.end]
    }
}

/// Cuts `sql` into tokens, which cover all of it.
pub fn tokens(sql: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < sql.len() {
        let (kind, length, is_closed) = next(&sql[at..], found.last(), sql);
        found.push(Token { kind, start: at, end: at + length, is_closed });
        at += length;
    }
    found
}

fn is_word_start(character: char) -> bool {
    character.is_alphabetic() || character == '_'
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_' || character == '$'
}

/// How many bytes of `text` satisfy `keep`.
fn span(text: &str, keep: impl Fn(char) -> bool) -> usize {
    text.find(|character| !keep(character)).unwrap_or(text.len())
}

fn next(text: &str, before: Option<&Token>, sql: &str) -> (Kind, usize, bool) {
    let first = text.chars().next().unwrap_or(' ');
    let second = text[first.len_utf8()..].chars().next();
    match (first, second) {
        (character, _) if character.is_whitespace() => (Kind::Space, span(text, char::is_whitespace), true),
        ('-', Some('-')) => {
            let length = text.find('\n').unwrap_or(text.len());
            (Kind::Comment, length, true)
        }
        ('/', Some('*')) => comment(text),
        ('\'', _) => quoted(text, 0, '\'', false, Kind::Text),
        ('"', _) => quoted(text, 0, '"', false, Kind::Name),
        ('e' | 'E', Some('\'')) => quoted(text, 1, '\'', true, Kind::Text),
        ('b' | 'B' | 'x' | 'X' | 'n' | 'N', Some('\'')) => quoted(text, 1, '\'', false, Kind::Text),
        ('u' | 'U', Some('&')) if text[2..].starts_with('\'') => quoted(text, 2, '\'', false, Kind::Text),
        ('u' | 'U', Some('&')) if text[2..].starts_with('"') => quoted(text, 2, '"', false, Kind::Name),
        ('$', _) => dollar(text),
        (';', _) => (Kind::Semicolon, 1, true),
        ('(', _) => (Kind::Open, 1, true),
        (')', _) => (Kind::Close, 1, true),
        ('\\', _) => (Kind::Command, text.find('\n').unwrap_or(text.len()), true),
        (':', Some(':')) => (Kind::Other, 2, true),
        // `a[1:n]` is a slice, not a variable, unless a blank stands before; psql takes it for one, and so do we.
        (':', Some(quote @ ('\'' | '"'))) => match text[2..].find(quote) {
            Some(length) if length > 0 && text[2..2 + length].chars().all(is_word) => {
                (Kind::Variable, length + 3, true)
            }
            _ => (Kind::Other, 1, true),
        },
        (':', Some(character)) if is_word(character) && character != '$' => {
            (Kind::Variable, 1 + span(&text[1..], is_word), true)
        }
        (character, _) if is_word_start(character) => (Kind::Word, span(text, is_word), true),
        (character, next) if character.is_ascii_digit() || (character == '.' && is_digit(next)) => {
            // `t1.2`: the point belongs to a name.
            let after_name =
                before.is_some_and(|token| token.kind == Kind::Word && character == '.' && !sql.is_empty());
            (if after_name { Kind::Other } else { Kind::Number }, number(text), true)
        }
        (character, _) => (Kind::Other, character.len_utf8(), true),
    }
}

fn is_digit(character: Option<char>) -> bool {
    character.is_some_and(|character| character.is_ascii_digit())
}

fn number(text: &str) -> usize {
    let mut length = span(text, |character| character.is_ascii_digit() || character == '.' || character == '_');
    let rest = &text[length..];
    if rest.starts_with(['e', 'E']) {
        let sign = usize::from(rest[1..].starts_with(['+', '-']));
        let digits = span(&rest[1 + sign..], |character| character.is_ascii_digit());
        if digits > 0 {
            length += 1 + sign + digits;
        }
    }
    length.max(1)
}

/// A quoted text whose quote stands after `prefix` bytes.
fn quoted(text: &str, prefix: usize, quote: char, escapes: bool, kind: Kind) -> (Kind, usize, bool) {
    let mut characters = text.char_indices().skip(prefix + 1).peekable();
    while let Some((at, character)) = characters.next() {
        if escapes && character == '\\' {
            characters.next();
        } else if character == quote {
            match characters.peek() {
                // Doubled, it stands for itself.
                Some((_, next)) if *next == quote => {
                    characters.next();
                }
                _ => return (kind, at + 1, true),
            }
        }
    }
    (kind, text.len(), false)
}

fn dollar(text: &str) -> (Kind, usize, bool) {
    let rest = &text[1..];
    let tag = span(rest, |character| character.is_alphanumeric() || character == '_');
    let opens = rest[tag..].starts_with('$') && !rest.starts_with(|character: char| character.is_ascii_digit());
    if !opens {
        // `$1`, or a stray one.
        return (Kind::Other, 1 + tag, true);
    }
    let delimiter = &text[..tag + 2];
    match text[delimiter.len()..].find(delimiter) {
        Some(length) => (Kind::Dollar, length + 2 * delimiter.len(), true),
        None => (Kind::Dollar, text.len(), false),
    }
}

fn comment(text: &str) -> (Kind, usize, bool) {
    let bytes = text.as_bytes();
    let (mut depth, mut at) = (0_usize, 0);
    while at + 1 < bytes.len() {
        match (bytes[at], bytes[at + 1]) {
            (b'/', b'*') => (depth, at) = (depth + 1, at + 2),
            (b'*', b'/') => {
                (depth, at) = (depth - 1, at + 2);
                if depth == 0 {
                    return (Kind::Comment, at, true);
                }
            }
            _ => at += 1,
        }
    }
    (Kind::Comment, text.len(), false)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kinds(sql: &str) -> Vec<(Kind, &str)> {
        tokens(sql)
            .iter()
            .filter(|token| token.kind != Kind::Space)
            .map(|token| (token.kind, token.text(sql)))
            .collect()
    }

    #[test]
    fn quotes_and_comments_are_one_token() {
        assert_eq!(
            kinds("a 'it''s' E'\\'' \"x\"\"y\" $q$ ; $q$ /* /* ; */ */ -- ;\n;"),
            [
                (Kind::Word, "a"),
                (Kind::Text, "'it''s'"),
                (Kind::Text, "E'\\''"),
                (Kind::Name, "\"x\"\"y\""),
                (Kind::Dollar, "$q$ ; $q$"),
                (Kind::Comment, "/* /* ; */ */"),
                (Kind::Comment, "-- ;"),
                (Kind::Semicolon, ";"),
            ]
        );
    }

    #[test]
    fn variables_are_not_casts() {
        assert_eq!(
            kinds("a::int :x :'y' :\"z\" $1"),
            [
                (Kind::Word, "a"),
                (Kind::Other, "::"),
                (Kind::Word, "int"),
                (Kind::Variable, ":x"),
                (Kind::Variable, ":'y'"),
                (Kind::Variable, ":\"z\""),
                (Kind::Other, "$1"),
            ]
        );
    }

    #[test]
    fn what_is_open_says_so() {
        for sql in ["'a", "\"a", "$$a", "$x$ $$", "/* a", "E'\\'"] {
            assert!(tokens(sql).last().is_some_and(|token| !token.is_closed), "{sql}");
        }
    }

    proptest! {
        #[test]
        fn tokens_cover_any_text(sql in "[ -~\\n'\"$\\\\:é漢]*") {
            let mut at = 0;
            for token in tokens(&sql) {
                prop_assert_eq!(token.start, at);
                prop_assert!(token.end > at);
                prop_assert!(sql.is_char_boundary(token.end));
                at = token.end;
            }
            prop_assert_eq!(at, sql.len());
        }
    }
}
