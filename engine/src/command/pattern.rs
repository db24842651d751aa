//! Which names a SHOW lists.

use regex::Regex;

use crate::parse::NamePattern;
use crate::{Error, ErrorCode, Result};

/// A matcher for `pattern`; all names match where there is none.
pub(super) fn matcher(pattern: Option<&NamePattern>) -> Result<impl Fn(&str) -> bool + use<>> {
    let regex = pattern.map(compile).transpose()?;
    Ok(move |name: &str| regex.as_ref().is_none_or(|regex| regex.is_match(name)))
}

fn compile(pattern: &NamePattern) -> Result<Regex> {
    let (text, is_like) = match pattern {
        NamePattern::Hive(text) => (text, false),
        NamePattern::Like(text) => (text, true),
    };
    let mut regex = String::from("(?i)^(?:");
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '*' => regex.push_str(".*"),
            // `.*`, as Athena's documentation has it.
            '.' if characters.peek() == Some(&'*') => {
                characters.next();
                regex.push_str(".*");
            }
            '|' => regex.push('|'),
            '%' if is_like => regex.push_str(".*"),
            '_' if is_like => regex.push('.'),
            '\\' if is_like => {
                let escaped = characters.next().unwrap_or('\\');
                regex.push_str(&regex::escape(&escaped.to_string()));
            }
            other => regex.push_str(&regex::escape(&other.to_string())),
        }
    }
    regex.push_str(")$");
    Regex::new(&regex)
        .map_err(|_| Error::new(ErrorCode::InvalidRegularExpression, format!("invalid pattern \"{text}\"")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_patterns() {
        let like = |text: &str| NamePattern::Like(text.to_owned());
        let hive = |text: &str| NamePattern::Hive(text.to_owned());
        for (pattern, name, expected) in [
            (like("a%"), "abc", true),
            (like("a_c"), "abc", true),
            (like("a\\_c"), "abc", false),
            (like("a\\_c"), "a_c", true),
            (like(".*lt"), "dlt", true),
            (like("dlt_a"), "dlt_a", true),
            (like("A%"), "abc", true),
            (hive("a*|b*"), "bcd", true),
            (hive("a*|b*"), "cab", false),
            (hive("a_c"), "abc", false),
            (hive("a%"), "abc", false),
            (hive("a.b"), "axb", false),
        ] {
            assert_eq!(matcher(Some(&pattern)).unwrap()(name), expected, "{pattern:?} {name}");
        }
        assert!(matcher(None).unwrap()("anything"));
    }
}
