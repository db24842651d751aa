//! A backslash command's line -> its arguments, by psql's rules: `'quoted'` with C's escapes, `"names"`, `:variables`.

use crate::variable::Variables;

/// The arguments of a line, and what follows the first backslash that is outside of quotes: another command.
pub(crate) fn split<'a>(line: &'a str, variables: &Variables) -> (Vec<String>, &'a str) {
    let mut arguments = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() && !rest.starts_with('\\') {
        let (argument, length) = one(rest, variables);
        arguments.push(argument);
        rest = rest[length..].trim_start();
    }
    // `\\` only separates.
    (arguments, rest.strip_prefix("\\\\").unwrap_or(rest))
}

/// One argument, and how long it is.
fn one(text: &str, variables: &Variables) -> (String, usize) {
    let (mut out, mut at) = (String::new(), 0);
    while let Some(character) = text[at..].chars().next() {
        let rest = &text[at..];
        match character {
            character if character.is_whitespace() || character == '\\' => break,
            '\'' => at += quoted(rest, &mut out),
            '"' => {
                // Kept as it is: patterns and names need to know.
                let length = rest[1..].find('"').map_or(rest.len(), |end| end + 2);
                out.push_str(&rest[..length]);
                at += length;
            }
            ':' => {
                let length = reference(rest);
                match variables.substitute(&rest[..length]) {
                    Some(value) => out.push_str(value.trim_start()),
                    None => out.push_str(&rest[..length]),
                }
                at += length;
            }
            character => {
                out.push(character);
                at += character.len_utf8();
            }
        }
    }
    (out, at)
}

/// `'it''s\n'`, without its quotes.
fn quoted(text: &str, out: &mut String) -> usize {
    let mut characters = text.char_indices().skip(1).peekable();
    while let Some((at, character)) = characters.next() {
        match character {
            '\'' if characters.peek().is_some_and(|(_, next)| *next == '\'') => {
                characters.next();
                out.push('\'');
            }
            '\'' => return at + 1,
            '\\' => match characters.next() {
                Some((_, 'n')) => out.push('\n'),
                Some((_, 't')) => out.push('\t'),
                Some((_, 'r')) => out.push('\r'),
                Some((_, other)) => out.push(other),
                None => {}
            },
            character => out.push(character),
        }
    }
    text.len()
}

/// How long `:name`, `:'name'` or `:"name"` is; 1 for a colon alone.
fn reference(text: &str) -> usize {
    let rest = &text[1..];
    let word = |text: &str| {
        text.find(|character: char| !character.is_alphanumeric() && character != '_').unwrap_or(text.len())
    };
    match rest.chars().next() {
        Some(quote @ ('\'' | '"')) => {
            let length = word(&rest[1..]);
            if length > 0 && rest[1 + length..].starts_with(quote) { length + 3 } else { 1 }
        }
        _ => 1 + word(rest),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_psqls() {
        let mut variables = Variables::default();
        variables.set("a", "b c").unwrap();
        let cases: [(&str, &[&str], &str); 6] = [
            ("", &[], ""),
            (" x  y ", &["x", "y"], ""),
            ("'it''s\\n' \"A b\".c", &["it's\n", "\"A b\".c"], ""),
            (":a :'a' :b", &["b c", "'b c'", ":b"], ""),
            ("null '' \\x on", &["null", ""], "\\x on"),
            ("a \\\\ select 1", &["a"], " select 1"),
        ];
        for (line, expected, rest) in cases {
            let (arguments, found) = split(line, &variables);
            assert_eq!((arguments, found), (expected.iter().map(|text| (*text).to_owned()).collect(), rest), "{line}");
        }
    }
}
