//! Grok: `%{IP:client} %{NUMBER:bytes:int}` -> a regular expression in Java's syntax, and which field each group is.
//!
//! `%{NAME}` is replaced by the pattern of that name, a custom one (`input.grokCustomPatterns`) before a standard one
//! (`grok.patterns`), until none is left. A field is `%{NAME:field}`, also inside of what a name stands for, or a group
//! `(?<field>...)`; a `%{NAME}` of the format itself is a field called like the pattern. A third part (`:int`) is read and
//! left to the column's type.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::sync::LazyLock;

use crate::error::nearest;
use crate::{Error, ErrorCode, Result};

/// How deep patterns may name each other: what is deeper goes round in circles.
const DEPTH_MAX: usize = 32;

/// Most bytes that a format may expand to. The widest standard pattern has 8 KB; each byte becomes states of an automaton.
const EXPANDED_BYTES_MAX: usize = 64 << 10;

/// What the begin of a group's name says that it is ours.
const GROUP_PREFIX: &str = "limnosfield";

/// An expanded format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expanded {
    /// In Java's syntax.
    pub(super) pattern: String,
    /// The fields in the order of their groups, which are called [`field_group`].
    pub(super) fields: Vec<Field>,
}

/// A field of a format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) name: String,
    /// What follows a second colon.
    pub(crate) data_type: Option<String>,
    /// Whether it was named, and is not a bare `%{NAME}`.
    pub(crate) is_named: bool,
}

/// The name of the group of field `index`.
pub(super) fn field_group(index: usize) -> String {
    format!("{GROUP_PREFIX}{index}")
}

static STANDARD: LazyLock<HashMap<&'static str, &'static str>> =
    LazyLock::new(|| lines(include_str!("grok.patterns")).collect());

/// The `NAME pattern` of each line; blank lines and those that begin with `#` are left out.
fn lines(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let (name, pattern) = line.trim().split_once(char::is_whitespace)?;
        Some((name, pattern.trim()))
    })
}

/// Expands `format`; `custom` holds patterns of its own, a name and a pattern a line.
///
/// # Errors
/// A pattern that doesn't exist, or one that contains itself or is too large.
pub(super) fn expand(format: &str, custom: &str) -> Result<Expanded> {
    let custom: BTreeMap<&str, &str> = lines(custom).collect();
    let mut expansion = Expansion { custom, expanded: Expanded { pattern: String::new(), fields: Vec::new() } };
    expansion.add(format, 0)?;
    Ok(expansion.expanded)
}

struct Expansion<'a> {
    custom: BTreeMap<&'a str, &'a str>,
    expanded: Expanded,
}

impl Expansion<'_> {
    fn add(&mut self, text: &str, depth: usize) -> Result<()> {
        if depth > DEPTH_MAX {
            return Err(invalid("grok patterns are nested too deeply".to_owned())
                .with_hint("A pattern must not contain itself."));
        }
        let mut rest = text;
        while let Some(start) = rest.find("%{") {
            // In `\%{` the percent sign stands for itself.
            let is_escaped = rest[..start].bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1;
            if is_escaped {
                self.push(&rest[..start + 2])?;
                rest = &rest[start + 2..];
                continue;
            }
            let Some(length) = rest[start..].find('}') else {
                return Err(invalid(format!("unclosed \"%{{\" in the grok pattern \"{text}\"")));
            };
            self.push(&rest[..start])?;
            self.reference(&rest[start + 2..start + length], depth)?;
            rest = &rest[start + length + 1..];
        }
        self.push(rest)
    }

    /// `NAME`, `NAME:field` or `NAME:field:type`.
    fn reference(&mut self, text: &str, depth: usize) -> Result<()> {
        let mut parts = text.splitn(3, ':').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let field = parts.next().filter(|field| !field.is_empty());
        let data_type = parts.next().map(str::to_owned);
        let pattern = self.lookup(name)?.to_owned();
        match field.or_else(|| (depth == 0).then_some(name)) {
            Some(field_name) => {
                let mut group = String::new();
                // Writing to a String can't fail.
                let _ = write!(group, "(?<{}>", field_group(self.expanded.fields.len()));
                self.expanded.fields.push(Field { name: field_name.to_owned(), data_type, is_named: field.is_some() });
                self.push(&group)?;
            }
            None => self.push("(?:")?,
        }
        self.add(&pattern, depth + 1)?;
        self.push(")")
    }

    fn push(&mut self, text: &str) -> Result<()> {
        if self.expanded.pattern.len() + text.len() > EXPANDED_BYTES_MAX {
            return Err(Error::new(
                ErrorCode::ProgramLimitExceeded,
                format!("the grok pattern expands to more than {} KB", EXPANDED_BYTES_MAX >> 10),
            ));
        }
        self.expanded.pattern.push_str(text);
        Ok(())
    }

    fn lookup(&self, name: &str) -> Result<&str> {
        if let Some(pattern) = self.custom.get(name).or_else(|| STANDARD.get(name)) {
            return Ok(pattern);
        }
        let error = Error::new(ErrorCode::UndefinedObject, format!("grok pattern \"{name}\" does not exist"));
        let upper = name.to_uppercase();
        let mut names: Vec<&str> = self.custom.keys().copied().chain(STANDARD.keys().copied()).collect();
        names.sort_unstable();
        let near = names.iter().find(|known| known.eq_ignore_ascii_case(name)).copied();
        match near.or_else(|| nearest(&upper, names.into_iter())) {
            Some(near) => Err(error.with_hint(format!("Did you mean \"{near}\"?"))),
            None => Err(error.with_hint("Define it in the property \"input.grokCustomPatterns\".")),
        }
    }
}

fn invalid(message: String) -> Error {
    Error::new(ErrorCode::InvalidRegularExpression, message)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn check(format: &str, custom: &str) -> String {
        match expand(format, custom) {
            Ok(expanded) => {
                let fields: Vec<String> = expanded
                    .fields
                    .iter()
                    .map(|field| format!("{}{}", field.name, if field.is_named { "" } else { "*" }))
                    .collect();
                format!("{} {}", expanded.pattern.replace("?<limnosfield", "?<"), fields.join(","))
            }
            Err(error) => format!("{} {}", error.message, error.hint.unwrap_or_default()),
        }
    }

    #[test]
    fn names_are_replaced() {
        for (format, custom, expected) in [
            ("%{INT:n}", "", "(?<0>[+-]?[0-9]+) n"),
            ("a%{INT}b", "", "a(?<0>[+-]?[0-9]+)b INT*"),
            ("%{DATA: spaced }", "", "(?<0>.*?) spaced"),
            ("%{INT:n:int}", "", "(?<0>[+-]?[0-9]+) n"),
            ("%{A:x}", "A %{B}=%{B:y}\nB b+", "(?<0>(?:b+)=(?<1>b+)) x,y"),
            ("%{INT:n}", "INT i", "(?<0>i) n"),
            ("100\\%{x", "", "100\\%{x "),
            ("%{INTT:n}", "", "grok pattern \"INTT\" does not exist Did you mean \"INT\"?"),
            ("%{word:n}", "", "grok pattern \"word\" does not exist Did you mean \"WORD\"?"),
            (
                "%{FOOBARBAZ:n}",
                "",
                "grok pattern \"FOOBARBAZ\" does not exist Define it in the property \"input.grokCustomPatterns\".",
            ),
            ("%{A:n}", "A x%{A}", "grok patterns are nested too deeply A pattern must not contain itself."),
            ("%{INT:n", "", "unclosed \"%{\" in the grok pattern \"%{INT:n\" "),
        ] {
            assert_eq!(check(format, custom), expected, "{format}");
        }
        let bomb: String =
            (0..20).map(|i| format!("A{i} %{{A{0}}}%{{A{0}}}%{{A{0}}}\n", i + 1)).collect::<String>() + "A20 x";
        assert_eq!(check("%{A0:n}", &bomb), "the grok pattern expands to more than 64 KB ");
    }

    #[test]
    fn every_standard_pattern_is_a_pattern() {
        for name in STANDARD.keys() {
            let expanded = expand(&format!("%{{{name}:x}}"), "").unwrap();
            let translated = super::super::java::translate(&expanded.pattern, true).unwrap();
            assert!(!translated.backtracks, "{name}");
            regex::Regex::new(&translated.pattern).unwrap();
        }
    }
}
