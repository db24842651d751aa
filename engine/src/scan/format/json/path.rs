//! [`JsonPath`]: the way from a document to its records, `$.Records[*]`, `$[*]`, `$['a b'].c[*].d`.
//!
//! Only what can be followed in one walk over a file, holding one record at a time: members by name and all items of an
//! array. Deep scans (`..`), single items and filters are refused.

use std::fmt;
use std::str::FromStr;

use crate::{Error, ErrorCode};

/// Most steps of a path.
const STEPS_MAX: usize = 64;

/// One step from a value into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Into an object, to the member of this name.
    Key(String),
    /// Into an array, to each of its items.
    Each,
}

/// A path of such steps; kept as its text.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JsonPath {
    steps: Vec<Step>,
}

impl JsonPath {
    /// The steps, from the document on.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }
}

impl From<JsonPath> for String {
    fn from(path: JsonPath) -> Self {
        path.to_string()
    }
}

impl TryFrom<String> for JsonPath {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("$")?;
        for step in &self.steps {
            match step {
                Step::Each => f.write_str("[*]")?,
                Step::Key(key) if !key.is_empty() && key.chars().all(is_plain) => write!(f, ".{key}")?,
                Step::Key(key) => write!(f, "['{}']", key.replace('\\', "\\\\").replace('\'', "\\'"))?,
            }
        }
        Ok(())
    }
}

impl FromStr for JsonPath {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let invalid = || {
            Error::new(ErrorCode::InvalidParameterValue, format!("invalid JSON path: \"{text}\"")).with_hint(
                "A path has members by name and all items of arrays, as \"$.Records[*]\" and \"$['a b'][*].c\".",
            )
        };
        let mut rest = text.trim().strip_prefix('$').ok_or_else(invalid)?;
        let mut steps = Vec::new();
        while !rest.is_empty() {
            if let Some(behind) = rest.strip_prefix("[*]") {
                steps.push(Step::Each);
                rest = behind;
            } else if let Some(behind) = rest.strip_prefix('.') {
                let length = behind.find(|c| !is_plain(c)).unwrap_or(behind.len());
                if length == 0 {
                    return Err(invalid());
                }
                steps.push(Step::Key(behind[..length].to_owned()));
                rest = &behind[length..];
            } else {
                let (key, behind) = quoted_member(rest).ok_or_else(invalid)?;
                steps.push(Step::Key(key));
                rest = behind;
            }
            if steps.len() > STEPS_MAX {
                return Err(invalid());
            }
        }
        Ok(Self { steps })
    }
}

/// `['name']` or `["name"]` at the begin of `text`: the name, and what is behind.
fn quoted_member(text: &str) -> Option<(String, &str)> {
    let inside = text.strip_prefix('[')?;
    let quote = inside.chars().next().filter(|quote| matches!(quote, '\'' | '"'))?;
    let mut key = String::new();
    let mut characters = inside.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        if character == quote {
            return Some((key, inside[at + 1..].strip_prefix(']')?));
        }
        key.push(if character == '\\' { characters.next()?.1 } else { character });
    }
    None
}

/// What a name without quotes may have.
fn is_plain(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '_' | '-' | '@')
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        for (text, expected) in [
            ("$", "$"),
            (" $[*] ", "$[*]"),
            ("$.Records[*]", "$.Records[*]"),
            ("$['a b'].c[*][*]", "$['a b'].c[*][*]"),
            ("$[\"it's\"]", "$['it\\'s']"),
            ("$['it\\'s']", "$['it\\'s']"),
            ("$.größe", "$.größe"),
        ] {
            let path: JsonPath = text.parse().unwrap();
            assert_eq!(path.to_string(), expected, "{text}");
            assert_eq!(path.to_string().parse::<JsonPath>().unwrap(), path);
        }
        for text in [
            "",
            "Records",
            "$.",
            "$..a",
            "$[0]",
            "$[?(@.a)]",
            "$.*",
            "$.a b",
            "$['a",
            "$[*",
            &format!("${}", "[*]".repeat(65)),
        ] {
            assert!(text.parse::<JsonPath>().is_err(), "{text}");
        }
    }
}
