//! [`Exclude`]: the paths below a target that a crawler doesn't look at. Patterns are Glue's
//! (<https://docs.aws.amazon.com/glue/latest/dg/define-crawler.html>, "Include and exclude patterns").
//!
//! | in a pattern | stands for |
//! |---|---|
//! | `*` | anything within one folder's or file's name |
//! | `**` | anything, `/` too |
//! | `?` | one character that is no `/` |
//! | `[a-z]`, `[!a-z]` | one character of these, or none of these |
//! | `{csv,tmp}` | one of these; not nested |
//! | `\*` | the character itself |

use regex::{RegexSet, RegexSetBuilder};

use crate::{Error, ErrorCode, Result};

/// What all patterns of one crawler may take when compiled.
const COMPILED_BYTES_MAX: usize = 16 << 20;

/// Compiled patterns. Matching takes time in the length of the path alone.
#[derive(Debug, Clone)]
pub struct Exclude {
    patterns: RegexSet,
}

impl Exclude {
    /// Excludes nothing.
    pub fn nothing() -> Self {
        Self { patterns: RegexSet::empty() }
    }

    /// Excludes what any of `patterns` matches.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidParameterValue`] naming the first that isn't one.
    pub fn new(patterns: &[String]) -> Result<Self> {
        let regexes = patterns.iter().map(|pattern| translate(pattern)).collect::<Result<Vec<_>>>()?;
        let patterns = RegexSetBuilder::new(regexes).size_limit(COMPILED_BYTES_MAX).build().map_err(|error| {
            let message = "exclusions are too large together or cannot be compiled";
            Error::new(ErrorCode::InvalidParameterValue, message).with_detail(format!("{error}."))
        })?;
        Ok(Self { patterns })
    }

    /// Whether `path`, relative to the target, is left out.
    pub fn matches(&self, path: &str) -> bool {
        self.patterns.is_match(path)
    }
}

fn translate(pattern: &str) -> Result<String> {
    let invalid = |reason: &str| {
        Error::new(ErrorCode::InvalidParameterValue, format!("invalid exclusion \"{pattern}\": {reason}"))
            .with_hint("Patterns are like \"**.tmp\", \"archive/**\", \"**/{_temporary,staging}/**\".")
    };
    if pattern.is_empty() {
        return Err(invalid("it is empty"));
    }
    let mut regex = String::from("(?s)^");
    let mut characters = pattern.chars().peekable();
    let mut in_group = false;
    while let Some(character) = characters.next() {
        match character {
            '*' if characters.peek() == Some(&'*') => {
                while characters.next_if_eq(&'*').is_some() {}
                regex.push_str(".*");
            }
            '*' => regex.push_str("[^/]*"),
            '?' => regex.push_str("[^/]"),
            '{' if in_group => return Err(invalid("braces cannot be nested")),
            '{' => {
                in_group = true;
                regex.push_str("(?:");
            }
            '}' if in_group => {
                in_group = false;
                regex.push(')');
            }
            ',' if in_group => regex.push('|'),
            '[' => {
                let mut class = String::new();
                let negated = characters.next_if(|next| matches!(next, '!' | '^')).is_some();
                loop {
                    match characters.next() {
                        None => return Err(invalid("a bracket is not closed")),
                        Some(']') if !class.is_empty() => break,
                        // Between two characters it makes a range, at the ends it is itself.
                        Some('-') if !class.is_empty() && characters.peek().is_some_and(|next| *next != ']') => {
                            class.push('-');
                        }
                        Some(member) => class.push_str(&regex::escape(&member.to_string())),
                    }
                }
                // A class never matches the separator, as in Java's globs.
                let negation = if negated { "^/" } else { "" };
                regex.push_str(&format!("[{negation}{class}]"));
            }
            '\\' => match characters.next() {
                Some(escaped) => regex.push_str(&regex::escape(&escaped.to_string())),
                None => return Err(invalid("it ends in a backslash")),
            },
            other => regex.push_str(&regex::escape(&other.to_string())),
        }
    }
    if in_group {
        return Err(invalid("a brace is not closed"));
    }
    regex.push('$');
    // What a bracket holds can still make no sense (`[z-a]`); told here, it names its pattern.
    regex::Regex::new(&regex).map_err(|_| invalid("a bracket holds no valid range, or it is too long"))?;
    Ok(regex)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn patterns_as_glue_has_them() {
        for (pattern, path, expected) in [
            ("*.csv", "a.csv", true),
            ("*.csv", "f/a.csv", false),
            ("**.csv", "f/g/a.csv", true),
            ("**.csv", "a.csv.gz", false),
            ("*.*", "a.b", true),
            ("*.*", "ab", false),
            ("*.{csv,avro}", "a.avro", true),
            ("*.{csv,avro}", "a.json", false),
            ("foo.?", "foo.c", true),
            ("foo.?", "foo./", false),
            ("myfolder/*", "myfolder/a", true),
            ("myfolder/*", "myfolder/b/c", false),
            ("myfolder/**", "myfolder/b/c", true),
            ("**/tmp/**", "a/tmp/b", true),
            ("**/tmp/**", "tmp/b", false),
            ("[A-Z]*", "Abc", true),
            ("[A-Z]*", "abc", false),
            ("[!A-Z]*", "abc", true),
            ("[!a]x", "/x", false),
            ("[a-]x", "-x", true),
            ("[]]x", "]x", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "axb", false),
            ("year=2019/month={01,02}/**", "year=2019/month=02/x", true),
            ("a.b", "axb", false),
            ("(a|b)+", "(a|b)+", true),
        ] {
            assert_eq!(Exclude::new(&[pattern.to_owned()]).unwrap().matches(path), expected, "{pattern} {path}");
        }
        assert!(!Exclude::nothing().matches("a"));
    }

    #[test]
    fn broken_patterns_are_named() {
        for (pattern, reason) in [
            ("", "it is empty"),
            ("[a", "a bracket is not closed"),
            ("[z-a]", "a bracket holds no valid range, or it is too long"),
            ("{a", "a brace is not closed"),
            ("{a,{b}}", "braces cannot be nested"),
            ("a\\", "it ends in a backslash"),
        ] {
            let error = Exclude::new(&["ok".to_owned(), pattern.to_owned()]).unwrap_err();
            assert_eq!(error.message, format!("invalid exclusion \"{pattern}\": {reason}"));
        }
    }
}
