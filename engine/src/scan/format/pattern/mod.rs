//! Lines of text that a pattern takes apart: what a table says of it ([`PatternOptions`]), bytes -> lines ([`lines`]) ->
//! groups ([`LinePattern`]) -> columns ([`decode`]).
//!
//! | SerDe | property | columns | a line fits |
//! |---|---|---|---|
//! | RegexSerDe | `input.regex`, `input.regex.case.insensitive` | by the groups' order | as a whole |
//! | GrokSerDe | `input.format`, `input.grokCustomPatterns` | by the fields' names, whatever their case | anywhere |
//!
//! As in Hive and Athena, a line that doesn't fit is a row of NULLs, and so is a group that didn't take part, or whose text
//! isn't of its column's type, a NULL. `limnos.on_error` = `fail` makes errors of both.
//!
//! No line can hold up a query. Patterns without look-around and back references are matched in time linear in the line, up
//! to a bounded length; the others with bounded backtracking, and up to a smaller one. A line beyond these bounds is an error, since a
//! row of NULLs would say that it doesn't fit; `limnos.on_error` = `null` says that it may be one.

pub mod decode;
pub mod grok;
mod java;
pub(super) mod lines;

use limnos_catalog::{Column, StorageDescriptor, TableDefinition};

use self::java::Translated;
use super::{OnError, header_rows};
use crate::error::nearest;
use crate::{Error, ErrorCode, Result};

/// Longest pattern in a property. AWS's own longest has 1 KB.
const PATTERN_BYTES_MAX: usize = 64 << 10;

/// Most memory of a compiled pattern; counted repetitions multiply (`(a{1000}){1000}`).
const COMPILED_BYTES_MAX: usize = 16 << 20;

/// How often a line may be tried otherwise, and the longest line that is tried at all, where a pattern needs backtracking.
/// Each try may look at the whole line, so both together bound the time: some seconds at the very worst, a millisecond for
/// a log's usual line.
const BACKTRACKS_MAX: usize = 200_000;
const BACKTRACKED_LINE_BYTES_MAX: usize = 64 << 10;

/// The longest line that is matched without backtracking. Groups are followed state by state where nothing faster will do: a
/// line of 60 MB that fits 23 groups was not done when a test of it was ended after some minutes.
const MATCHED_LINE_BYTES_MAX: usize = 1 << 20;

/// What a table says of its lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatternOptions {
    translated: Translated,
    case_insensitive: bool,
    /// Whether the pattern is for the whole line.
    is_whole: bool,
    /// The groups of each column of the table; the first that took part counts.
    groups: Vec<Vec<usize>>,
    /// Lines at the top of each file that aren't data.
    pub header_rows: u64,
    /// What becomes of a line or value that isn't as it should be.
    pub on_error: Option<OnError>,
}

impl PatternOptions {
    /// Reads the properties in the table above, `skip.header.line.count` and `limnos.on_error`.
    ///
    /// # Errors
    /// A pattern that isn't one, or doesn't have what the columns need.
    pub fn new(definition: &TableDefinition) -> Result<Self> {
        let storage = super::storage(definition)?;
        let property = |name: &str| property(storage, name);
        for column in &definition.columns {
            if column.data_type.is_nested() {
                let message = format!("column \"{}\" cannot have the type {}", column.name, column.data_type);
                return Err(Error::new(ErrorCode::InvalidTableDefinition, message)
                    .with_detail("What a pattern takes out of a line is a scalar value."));
            }
        }
        let (translated, groups, is_whole) = match (property("input.regex"), property("input.format")) {
            (Some(regex), _) => {
                let translated = java::translate(checked(regex, "input.regex")?, false)?;
                let groups = regex_groups(&translated, &definition.columns)?;
                (translated, groups, true)
            }
            (None, Some(format)) => {
                let custom = property("input.grokCustomPatterns").unwrap_or_default();
                let (translated, groups) = grok_groups(format, custom, &definition.columns)?;
                (translated, groups, false)
            }
            (None, None) => {
                let is_grok = storage.serde.as_deref().is_some_and(|serde| serde.to_lowercase().contains("grok"));
                let name = if is_grok { "input.format" } else { "input.regex" };
                return Err(Error::new(
                    ErrorCode::InvalidTableDefinition,
                    format!("the table has no SerDe property \"{name}\""),
                )
                .with_hint(format!("Add WITH SERDEPROPERTIES ('{name}' = '...').")));
            }
        };
        let options = Self {
            translated,
            case_insensitive: property("input.regex.case.insensitive")
                .is_some_and(|text| text.trim().eq_ignore_ascii_case("true")),
            is_whole,
            groups,
            header_rows: header_rows(definition)?,
            on_error: OnError::of(definition)?,
        };
        options.compile(&[])?;
        Ok(options)
    }

    /// The pattern, compiled for the columns `wanted` (their places in the table) alone.
    ///
    /// # Errors
    /// A pattern that isn't one, or is too large.
    pub fn compile(&self, wanted: &[usize]) -> Result<LinePattern> {
        let columns: Vec<Vec<usize>> = wanted.iter().map(|index| self.groups[*index].clone()).collect();
        let (pattern, columns) = if self.translated.backtracks {
            (self.translated.pattern.clone(), columns)
        } else {
            self.translated.keep_groups(columns)
        };
        let flags = if self.case_insensitive { "(?si)" } else { "(?s)" };
        let pattern = if self.is_whole { format!("{flags}\\A(?:{pattern})\\z") } else { format!("{flags}{pattern}") };
        let engine = if self.translated.backtracks {
            fancy_regex::RegexBuilder::new(&pattern)
                .backtrack_limit(BACKTRACKS_MAX)
                .delegate_size_limit(COMPILED_BYTES_MAX)
                .build()
                .map(|regex| Engine::Backtracking(Box::new(regex)))
                .map_err(|error| invalid(&error.to_string()))?
        } else {
            regex::RegexBuilder::new(&pattern)
                .size_limit(COMPILED_BYTES_MAX)
                .build()
                .map(|regex| Engine::Linear { locations: regex.capture_locations(), regex })
                .map_err(|error| match error {
                    regex::Error::CompiledTooBig(_) => Error::new(
                        ErrorCode::ProgramLimitExceeded,
                        format!("the regular expression takes more than {} MB", COMPILED_BYTES_MAX >> 20),
                    ),
                    error => invalid(&error.to_string()),
                })?
        };
        Ok(LinePattern { engine, columns })
    }
}

/// A SerDe's property, whatever the case of its name.
fn property<'a>(storage: &'a StorageDescriptor, name: &str) -> Option<&'a str> {
    let found = storage.properties.get(name).or_else(|| {
        storage.properties.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    });
    found.map(String::as_str)
}

fn checked<'a>(pattern: &'a str, name: &str) -> Result<&'a str> {
    if pattern.len() <= PATTERN_BYTES_MAX {
        return Ok(pattern);
    }
    Err(Error::new(
        ErrorCode::ProgramLimitExceeded,
        format!("property \"{name}\" is longer than {} KB", PATTERN_BYTES_MAX >> 10),
    ))
}

/// Each column has the group at its place. More groups than columns are let be, as AWS's own tables have them.
fn regex_groups(translated: &Translated, columns: &[Column]) -> Result<Vec<Vec<usize>>> {
    let (group_count, column_count) = (translated.groups.len(), columns.len());
    if group_count < column_count {
        return Err(Error::new(
            ErrorCode::InvalidTableDefinition,
            format!(
                "\"input.regex\" has {group_count} {}, the table has {column_count} columns",
                if group_count == 1 { "group" } else { "groups" }
            ),
        )
        .with_hint("Each column is read from the group at its place; put parentheses around what it is made of."));
    }
    Ok((1..=column_count).map(|group| vec![group]).collect())
}

/// Each column has the fields of its name.
fn grok_groups(format: &str, custom: &str, columns: &[Column]) -> Result<(Translated, Vec<Vec<usize>>)> {
    let (translated, names) = grok_names(format, custom)?;
    let groups = columns
        .iter()
        .map(|column| {
            let groups: Vec<usize> = names
                .iter()
                .filter(|(_, name)| name.eq_ignore_ascii_case(&column.name))
                .map(|(group, _)| *group)
                .collect();
            if !groups.is_empty() {
                return Ok(groups);
            }
            let message = format!("\"input.format\" has no field for column \"{}\"", column.name);
            let lower: Vec<String> = names.iter().map(|(_, name)| name.to_lowercase()).collect();
            let hint = match nearest(&column.name, lower.iter().map(String::as_str)) {
                Some(near) => format!("Did you mean \"{near}\"?"),
                None => format!("Its fields are {}.", lower.join(", ")),
            };
            Err(Error::new(ErrorCode::InvalidTableDefinition, message).with_hint(hint))
        })
        .collect::<Result<_>>()?;
    Ok((translated, groups))
}

/// A format's pattern and the names of its groups, in order.
fn grok_names(format: &str, custom: &str) -> Result<(Translated, Vec<(usize, String)>)> {
    let custom = checked(custom, "input.grokCustomPatterns")?;
    let expanded = grok::expand(checked(format, "input.format")?, custom)?;
    let translated = java::translate(&expanded.pattern, true)?;
    let mut names = Vec::new();
    for (index, name) in translated.groups.iter().enumerate() {
        let Some(name) = name else { continue };
        let field = expanded.fields.iter().enumerate().find(|(index, _)| grok::field_group(*index) == *name);
        names.push((index + 1, field.map_or_else(|| name.clone(), |(_, field)| field.name.clone())));
    }
    Ok((translated, names))
}

/// The fields that a grok format names, in order and each once: what the columns of its table are called.
///
/// # Errors
/// As [`PatternOptions::new`].
pub(crate) fn grok_fields(format: &str, custom: &str) -> Result<Vec<grok::Field>> {
    let expanded = grok::expand(checked(format, "input.format")?, checked(custom, "input.grokCustomPatterns")?)?;
    java::translate(&expanded.pattern, true)?;
    let mut fields: Vec<grok::Field> = Vec::new();
    for field in expanded.fields.into_iter().filter(|field| field.is_named) {
        if !fields.iter().any(|known| known.name.eq_ignore_ascii_case(&field.name)) {
            fields.push(field);
        }
    }
    Ok(fields)
}

fn invalid(reason: &str) -> Error {
    Error::new(ErrorCode::InvalidRegularExpression, "invalid regular expression").with_detail(format!("{reason}."))
}

/// A compiled pattern. It has room for one line's groups, so each reader has its own.
#[derive(Debug, Clone)]
pub struct LinePattern {
    engine: Engine,
    /// The groups of each wanted column.
    columns: Vec<Vec<usize>>,
}

#[derive(Debug, Clone)]
enum Engine {
    Linear { regex: regex::Regex, locations: regex::CaptureLocations },
    Backtracking(Box<fancy_regex::Regex>),
}

/// A line that takes more than the bounds allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooHard;

impl LinePattern {
    /// Puts the text of each wanted column into `cells`, which has a place for each; false if the line doesn't fit.
    ///
    /// # Errors
    /// [`TooHard`] for a line that is too long for its pattern, or backtracks too often.
    pub fn split<'t>(&mut self, line: &'t str, cells: &mut Vec<Option<&'t str>>) -> Result<bool, TooHard> {
        cells.clear();
        match &mut self.engine {
            Engine::Linear { regex, locations } => {
                if line.len() > MATCHED_LINE_BYTES_MAX {
                    return Err(TooHard);
                }
                if self.columns.is_empty() {
                    return Ok(regex.is_match(line));
                }
                if regex.captures_read(locations, line).is_none() {
                    return Ok(false);
                }
                let text = |group: &usize| locations.get(*group).map(|(start, end)| &line[start..end]);
                cells.extend(self.columns.iter().map(|groups| groups.iter().find_map(text)));
            }
            Engine::Backtracking(regex) => {
                if line.len() > BACKTRACKED_LINE_BYTES_MAX {
                    return Err(TooHard);
                }
                let Some(captures) = regex.captures(line).map_err(|_| TooHard)? else { return Ok(false) };
                let text = |group: &usize| captures.get(*group).map(|found| &line[found.start()..found.end()]);
                cells.extend(self.columns.iter().map(|groups| groups.iter().find_map(text)));
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
