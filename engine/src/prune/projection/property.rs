//! Table properties -> [`Projection`], each checked: what is wrong with a table is said when it is made, not when it is read.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use chrono::{NaiveDate, NaiveDateTime};
use limnos_catalog::{Column, TableDefinition, TableKind, TableName};

use super::moment::{RangeEnd, UNIT_NAMES, Unit};
use super::pattern::Pattern;
use super::sequence::{Sequence, spell_integer};
use super::template::{BadTemplate, Template};
use super::{KeyProjection, Projection};
use crate::error::nearest;
use crate::scan::schema::table_schema;
use crate::{Error, ErrorCode, Notice, Result};

/// Most digits that a number is padded to.
const DIGITS_MAX: usize = 64;

/// What a property of a key may be called, after `projection.<key>.`.
const SUFFIXES: [&str; 7] = ["type", "values", "range", "interval", "interval.unit", "digits", "format"];

const ENABLED: &str = "projection.enabled";
const TEMPLATE: &str = "storage.location.template";
const FORMAT_HINT: &str =
    "Letters are yyyy, MM, dd, HH, mm, ss and SSS; other text stands in single quotes: yyyy-MM-dd'T'HH.";
const NOW_HINT: &str = "An end of the range is a date in the key's format, or NOW, NOW-3YEARS, NOW+1DAY and the like.";

/// What reading a table's properties gave.
pub(super) struct Read {
    /// `None` where the table isn't projected.
    pub(super) projection: Option<Projection>,
    /// Properties that have no effect.
    pub(super) notices: Vec<Notice>,
}

/// Reads the properties of a table.
///
/// # Errors
/// [`ErrorCode::InvalidTableDefinition`], which names table, property and value.
pub(super) fn read(name: &TableName, definition: &TableDefinition) -> Result<Read> {
    let table: Arc<str> = name.to_string().into();
    let properties = Properties::new(&table, definition)?;
    let nothing = |notices| Ok(Read { projection: None, notices });
    if !properties.is_enabled()? {
        let names: Vec<String> = properties.all.values().map(|(name, _)| format!("\"{name}\"")).collect();
        let unused = properties.all.keys().any(|name| name.ends_with(".type") || name == TEMPLATE)
            && !properties.all.contains_key(ENABLED);
        let message = format!("table \"{table}\" does not use {}: \"{ENABLED}\" is not set to true", names.join(", "));
        return nothing(if unused { vec![Notice::warning(message)] } else { Vec::new() });
    }
    let TableKind::External(storage) = &definition.kind else { return nothing(Vec::new()) };
    let (_, fields) = table_schema(definition);
    if fields.is_empty() {
        let message = format!("table \"{table}\" has no partition keys: \"{ENABLED}\" has no effect");
        return nothing(vec![Notice::warning(message)]);
    }
    let notices = properties.check_names(&definition.partition_keys)?;
    let without_type: Vec<&str> = definition
        .partition_keys
        .iter()
        .filter(|key| properties.get(&key.name, "type").is_none())
        .map(|key| key.name.as_str())
        .collect();
    if let Some(first) = without_type.first() {
        let message = format!("table \"{table}\" has no property \"projection.{first}.type\"");
        return Err(Error::new(ErrorCode::InvalidTableDefinition, message)
            .with_detail(format!(
                "It is projected, and these partition keys have no projection: {}.",
                without_type.join(", ")
            ))
            .with_hint("Types are enum, integer, date and injected."));
    }
    let keys: Vec<KeyProjection> = definition
        .partition_keys
        .iter()
        .zip(&fields)
        .map(|(key, field)| properties.key(key, field))
        .collect::<Result<_>>()?;
    let template = properties.template(&definition.partition_keys)?;
    let projection =
        Projection { table: Arc::clone(&table), fields, keys, template, location: storage.location.clone() };
    properties.check_folders(&definition.partition_keys, &projection)?;
    Ok(Read { projection: Some(projection), notices })
}

/// Some moments at which ranges that move with the time are looked at.
pub(super) fn sample_moments() -> impl Iterator<Item = NaiveDateTime> {
    // The ends of months of all lengths, and the middle of one.
    [(2024, 1, 31), (2024, 7, 15), (2023, 3, 1)].into_iter().filter_map(|(year, month, day)| {
        NaiveDate::from_ymd_opt(year, month, day).and_then(|date| date.and_hms_opt(12, 0, 0))
    })
}

/// The properties that matter here, by their names in lower case, with their names as written.
struct Properties<'a> {
    table: &'a Arc<str>,
    all: BTreeMap<String, (&'a str, &'a str)>,
}

impl<'a> Properties<'a> {
    fn new(table: &'a Arc<str>, definition: &'a TableDefinition) -> Result<Self> {
        let mut all = BTreeMap::new();
        for (name, value) in &definition.parameters {
            let lower = name.trim().to_lowercase();
            if !lower.starts_with("projection.") && lower != TEMPLATE {
                continue;
            }
            if let Some((other, _)) = all.insert(lower, (name.as_str(), value.as_str())) {
                let message = format!("table \"{table}\" has the property \"{name}\" twice");
                return Err(Error::new(ErrorCode::InvalidTableDefinition, message)
                    .with_detail(format!("\"{other}\" and \"{name}\" are the same: case does not count."))
                    .with_hint("Leave one of them out."));
            }
        }
        Ok(Self { table, all })
    }

    fn is_enabled(&self) -> Result<bool> {
        let Some((name, value)) = self.all.get(ENABLED) else { return Ok(false) };
        match value.trim().to_lowercase().as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(self.invalid(name, value, "It is a switch.", "Write true or false.")),
        }
    }

    /// A property of a key: its name as written, and its value.
    fn get(&self, key: &str, suffix: &str) -> Option<(&'a str, &'a str)> {
        self.all.get(&format!("projection.{}.{suffix}", key.to_lowercase())).copied()
    }

    fn require(&self, key: &str, suffix: &str, kind: &str, hint: &str) -> Result<(&'a str, &'a str)> {
        self.get(key, suffix).ok_or_else(|| {
            let message = format!("table \"{}\" has no property \"projection.{key}.{suffix}\"", self.table);
            Error::new(ErrorCode::InvalidTableDefinition, message)
                .with_detail(format!("Partition key \"{key}\" is projected with the type {kind}, which needs it."))
                .with_hint(hint)
        })
    }

    fn invalid(&self, property: &str, value: &str, detail: impl Into<String>, hint: impl Into<String>) -> Error {
        let message = format!("invalid value for property \"{property}\" of table \"{}\": \"{value}\"", self.table);
        Error::new(ErrorCode::InvalidTableDefinition, message).with_detail(detail).with_hint(hint)
    }

    /// Refuses misspelled properties of keys; those of columns that aren't keys are told.
    fn check_names(&self, keys: &[Column]) -> Result<Vec<Notice>> {
        let mut notices = Vec::new();
        for (lower, (name, _)) in &self.all {
            let Some(rest) = lower.strip_prefix("projection.").filter(|rest| *rest != "enabled") else { continue };
            // A key's name may hold dots: the longest that fits is meant.
            let key = keys
                .iter()
                .filter_map(|key| {
                    let suffix = rest.strip_prefix(key.name.to_lowercase().as_str())?.strip_prefix('.')?;
                    Some((key, suffix))
                })
                .min_by_key(|(_, suffix)| suffix.len());
            let Some((key, suffix)) = key else {
                let message = format!("property \"{name}\" of table \"{}\" names no partition key", self.table);
                notices.push(Notice::warning(format!("{message} and has no effect")));
                continue;
            };
            if !SUFFIXES.contains(&suffix) {
                let message = format!("table \"{}\" has the property \"{name}\", which does not exist", self.table);
                let hint = match nearest(suffix, SUFFIXES.into_iter()) {
                    Some(near) => format!("Did you mean \"projection.{}.{near}\"?", key.name),
                    None => format!("After projection.{}. may stand: {}.", key.name, SUFFIXES.join(", ")),
                };
                return Err(Error::new(ErrorCode::InvalidTableDefinition, message).with_hint(hint));
            }
            let used: &[&str] = match self.get(&key.name, "type").map(|(_, kind)| kind.trim().to_lowercase()).as_deref()
            {
                Some("enum") => &["type", "values"],
                Some("integer") => &["type", "range", "interval", "digits"],
                Some("date") => &["type", "range", "interval", "interval.unit", "format"],
                Some("injected") => &["type"],
                _ => &SUFFIXES,
            };
            if !used.contains(&suffix) {
                let kind = self.get(&key.name, "type").map_or("", |(_, kind)| kind.trim()).to_lowercase();
                notices.push(Notice::warning(format!(
                    "property \"{name}\" of table \"{}\" has no effect on a partition key of type {kind}",
                    self.table
                )));
            }
        }
        Ok(notices)
    }

    fn key(&self, key: &Column, field: &FieldRef) -> Result<KeyProjection> {
        let (property, kind) = self.require(&key.name, "type", "", "")?;
        match kind.trim().to_lowercase().as_str() {
            "enum" => self.enumerated(key, field),
            "integer" => self.integers(key, field),
            "date" => self.dates(key, field),
            "injected" => Ok(KeyProjection::Injected),
            _ => {
                let detail = "That is no type of projection.";
                Err(self.invalid(property, kind, detail, "Types are enum, integer, date and injected."))
            }
        }
    }

    fn enumerated(&self, key: &Column, field: &FieldRef) -> Result<KeyProjection> {
        let hint = "List the values with commas between them, without spaces: 'eu,us,asia'.";
        let (property, text) = self.require(&key.name, "values", "enum", hint)?;
        let values: Vec<Box<str>> = text.split(',').map(Box::from).collect();
        if values.iter().any(|value| value.is_empty()) {
            let detail = if text.is_empty() { "It lists no value." } else { "One of its values is empty." };
            return Err(self.invalid(property, text, detail, hint));
        }
        let mut seen = std::collections::HashSet::new();
        if let Some(twice) = values.iter().find(|value| !seen.insert(*value)) {
            let detail = format!("The value \"{twice}\" is listed more than once.");
            return Err(self.invalid(property, text, detail, "List each value once."));
        }
        let projection = KeyProjection::Enum(values.into());
        self.check_type(key, field, &projection, (property, text))?;
        Ok(projection)
    }

    fn integers(&self, key: &Column, field: &FieldRef) -> Result<KeyProjection> {
        let hint = "Write the least and the greatest value with a comma between them: '0,23'.";
        let (property, text) = self.require(&key.name, "range", "integer", hint)?;
        if matches!(
            field.data_type(),
            DataType::Boolean | DataType::Date32 | DataType::Timestamp(..) | DataType::Time64(_) | DataType::BinaryView
        ) {
            return Err(self.unfit(key, "integer", "integer types, decimals and string"));
        }
        let ends: Vec<Option<i64>> = text.split(',').map(|end| end.trim().parse().ok()).collect();
        let [Some(first), Some(last)] = ends[..] else {
            let detail = "It is not two integers of 64 bits.";
            return Err(self.invalid(property, text, detail, hint));
        };
        if first > last {
            return Err(self.invalid(property, text, "The range ends before it begins.", hint));
        }
        let step = self.interval(&key.name)?.unwrap_or(1);
        let digits = match self.get(&key.name, "digits") {
            None => 0,
            Some((property, text)) => {
                let digits = text.trim().parse().ok().filter(|digits| (1..=DIGITS_MAX).contains(digits));
                let digits = digits.ok_or_else(|| {
                    let detail = format!("It is not a number of digits from 1 to {DIGITS_MAX}.");
                    self.invalid(property, text, detail, "Write how many digits the folders' names have: '2' for 01.")
                })?;
                let needed = [first, last].map(|end| spell_integer(end.into(), 0).len()).into_iter().max().unwrap_or(1);
                if needed > digits {
                    let detail = format!("The range {first} to {last} needs {needed} digits.");
                    let hint = format!("Write '{needed}', or leave it out for numbers without leading zeros.");
                    return Err(self.invalid(property, text, detail, hint));
                }
                digits
            }
        };
        let projection = KeyProjection::Integer { first, last, step, digits };
        self.check_type(key, field, &projection, (property, text))?;
        Ok(projection)
    }

    /// A positive `interval`.
    fn interval(&self, key: &str) -> Result<Option<i64>> {
        let Some((property, text)) = self.get(key, "interval") else { return Ok(None) };
        match text.trim().parse::<i64>() {
            Ok(interval) if interval > 0 => Ok(Some(interval)),
            _ => Err(self.invalid(property, text, "It is not a positive integer.", "Write '1' for every value.")),
        }
    }

    fn dates(&self, key: &Column, field: &FieldRef) -> Result<KeyProjection> {
        let (format_property, format) = self.require(&key.name, "format", "date", FORMAT_HINT)?;
        let (range_property, range) = self.require(&key.name, "range", "date", NOW_HINT)?;
        let pattern =
            Pattern::parse(format).map_err(|reason| self.invalid(format_property, format, reason, FORMAT_HINT))?;
        match field.data_type() {
            DataType::Utf8View | DataType::Date32 | DataType::Timestamp(..) => {}
            DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 | DataType::Decimal128(..) => {
                if !(pattern.is_numeric() && pattern.is_sorted()) {
                    let detail = format!(
                        "The dates are no numbers in order, and partition key \"{}\" is {}.",
                        key.name, key.data_type
                    );
                    let hint = "Declare the partition key as string, or use a format such as yyyyMMdd.";
                    return Err(self.invalid(format_property, format, detail, hint));
                }
            }
            _ => return Err(self.unfit(key, "date", "string, date, timestamp and integer types")),
        }
        let parts: Vec<&str> = range.split(',').collect();
        let [from, to] = parts[..] else {
            return Err(self.invalid(
                range_property,
                range,
                "It is not two dates with a comma between them.",
                NOW_HINT,
            ));
        };
        let end = |text: &str| {
            let found = match RangeEnd::parse_now(text) {
                Some(now) => now,
                // White space is allowed around, and inside belongs to the date.
                None => pattern.read(text).or_else(|| pattern.read(text.trim())).map(RangeEnd::Fixed),
            };
            let in_years = found.filter(|end| sample_moments().all(|now| end.at(now).is_some()));
            in_years.ok_or_else(|| {
                let detail =
                    format!("\"{}\" is neither a date in the format {format} nor an offset from NOW.", text.trim());
                self.invalid(range_property, range, detail, NOW_HINT)
            })
        };
        let (from, to) = (end(from)?, end(to)?);
        let (interval, unit) = self.date_steps(key, &pattern)?;
        let projection = KeyProjection::Date { from, to, interval, unit, pattern: Arc::new(pattern) };
        // A date and NOW may be in order at one time and not at another.
        let moves = matches!(from, RangeEnd::Now(..)) != matches!(to, RangeEnd::Now(..));
        let is_empty = |now| projection.sequence(self.table, field, now).is_none_or(|values| values.count() == 0);
        if !moves && sample_moments().all(is_empty) {
            return Err(self.invalid(range_property, range, "The range ends before it begins.", NOW_HINT));
        }
        self.check_type(key, field, &projection, (range_property, range))?;
        Ok(projection)
    }

    /// `interval` and `interval.unit`. Both may be left out where a date is a day, a month or a year.
    fn date_steps(&self, key: &Column, pattern: &Pattern) -> Result<(i64, Unit)> {
        let interval = self.interval(&key.name)?;
        let finest = pattern.finest();
        let unit = match self.get(&key.name, "interval.unit") {
            Some((property, text)) => {
                let unit = Unit::parse(text);
                unit.ok_or_else(|| {
                    self.invalid(property, text, "That is no unit.", format!("Units are {UNIT_NAMES}."))
                })?
            }
            None if finest >= Unit::Days => finest,
            None => {
                let hint = format!(
                    "Add 'projection.{}.interval.unit' = '{}' and 'projection.{0}.interval'.",
                    key.name,
                    finest.name()
                );
                return self
                    .require(&key.name, "interval.unit", "date and a format finer than a day", &hint)
                    .map(|_| (1, finest));
            }
        };
        if interval.is_none() && finest < Unit::Days {
            let hint = format!("Add 'projection.{}.interval' = '1' for every one of the {}.", key.name, unit.name());
            self.require(&key.name, "interval", "date and a format finer than a day", &hint)?;
        }
        Ok((interval.unwrap_or(1), unit))
    }

    fn template(&self, keys: &[Column]) -> Result<Option<Template>> {
        let Some((property, text)) = self.all.get(TEMPLATE) else { return Ok(None) };
        let lower: Vec<String> = keys.iter().map(|key| key.name.to_lowercase()).collect();
        let names: Vec<&str> = lower.iter().map(String::as_str).collect();
        let all: Vec<String> = names.iter().map(|name| format!("${{{name}}}")).collect();
        let every = format!("It names every partition key once or more: {}.", all.join(", "));
        Template::parse(text, &names).map(Some).map_err(|bad| {
            let (detail, hint) = match bad {
                BadTemplate::Unclosed => ("It has \"${\" without \"}\".".to_owned(), every),
                BadTemplate::Missing(key) => (format!("It has no ${{{}}}.", names[key]), every),
                BadTemplate::Unknown(name) => {
                    let near = nearest(&name.to_lowercase(), names.iter().copied());
                    let hint = near.map_or(every, |near| format!("Did you mean ${{{near}}}?"));
                    (format!("There is no partition key \"{name}\"."), hint)
                }
                BadTemplate::Relative => (
                    "It is no location.".to_owned(),
                    "Begin it with the table's location: s3://bucket/prefix/... or /folder/...".to_owned(),
                ),
                BadTemplate::StoreVaries => (
                    "The bucket can't depend on a partition key.".to_owned(),
                    "Make a table for each bucket, and a view over them.".to_owned(),
                ),
            };
            self.invalid(property, text, detail, hint)
        })
    }

    /// Refuses values that the key's type can't hold.
    fn check_type(
        &self,
        key: &Column,
        field: &FieldRef,
        projection: &KeyProjection,
        (property, text): (&str, &str),
    ) -> Result<()> {
        for now in sample_moments() {
            let Some(values) = projection.sequence(self.table, field, now) else { continue };
            let count = values.count();
            // Between two numbers or dates that fit all others do, too.
            let indexes: Vec<u128> = match projection {
                KeyProjection::Enum(_) => (0..count).collect(),
                _ => [0, count.saturating_sub(1)].into_iter().filter(|index| *index < count).collect(),
            };
            if values.values(indexes.iter().copied()).is_ok() {
                continue;
            }
            let bad = indexes.into_iter().find(|index| values.values([*index]).is_err());
            let bad = bad.map(|index| values.text(index)).unwrap_or_default();
            let detail = format!("\"{bad}\" is no value of partition key \"{}\" of type {}.", key.name, key.data_type);
            let hint = "Declare the partition key with a type that holds all values, such as string.";
            return Err(self.invalid(property, text, detail, hint));
        }
        Ok(())
    }

    fn unfit(&self, key: &Column, kind: &str, types: &str) -> Error {
        let (property, text) = self.get(&key.name, "type").unwrap_or_default();
        let detail = format!("Partition key \"{}\" has the type {}.", key.name, key.data_type);
        self.invalid(property, text, detail, format!("Keys projected with the type {kind} are {types}."))
    }

    /// Refuses values that no folder of the template can be named after.
    fn check_folders(&self, keys: &[Column], projection: &Projection) -> Result<()> {
        if projection.template.is_none() {
            return Ok(());
        }
        for (key, projected) in keys.iter().zip(&projection.keys) {
            let (suffix, bad) = match projected {
                KeyProjection::Enum(values) => ("values", values.iter().find(|value| !is_path(value)).cloned()),
                KeyProjection::Date { pattern, .. } => {
                    let spelled = sample_moments().map(|now| pattern.spell(now).into_boxed_str());
                    ("format", spelled.into_iter().find(|text| !is_path(text)))
                }
                _ => continue,
            };
            if let (Some(bad), Some((property, text))) = (bad, self.get(&key.name, suffix)) {
                let detail = format!("No folder is named \"{bad}\".");
                let hint = "A value in a location has no empty part, and none that is \".\" or \"..\".";
                return Err(self.invalid(property, text, detail, hint));
            }
        }
        Ok(())
    }
}

/// Whether a value can stand in a location: its parts between slashes are names.
pub(super) fn is_path(value: &str) -> bool {
    let is_name = |part: &str| !matches!(part.to_lowercase().replace("%2e", ".").as_str(), "" | "." | "..");
    !value.contains('\0') && value.split('/').all(is_name)
}

impl KeyProjection {
    /// The values at `now`; `None` for an injected key.
    pub(super) fn sequence(&self, table: &Arc<str>, field: &FieldRef, now: NaiveDateTime) -> Option<Sequence> {
        use super::sequence::Kind;
        let kind = match self {
            Self::Injected => return None,
            Self::Enum(values) => Kind::List(Arc::clone(values)),
            Self::Integer { first, last, step, digits } => {
                let count = (i128::from(*last) - i128::from(*first)) / i128::from(*step) + 1;
                Kind::Integers { first: *first, step: *step, count: count.unsigned_abs(), digits: *digits }
            }
            Self::Date { from, to, interval, unit, pattern } => {
                let finest = pattern.finest();
                // Steps that never pass over a date of the format are steps from each to the next.
                let passes_none = interval
                    .checked_mul(unit.longest_milliseconds())
                    .is_some_and(|length| length <= finest.shortest_milliseconds());
                let (interval, unit) = if *unit < finest && passes_none { (1, finest) } else { (*interval, *unit) };
                let ends =
                    (from.at(now).and_then(|at| finest.truncate(at)), to.at(now).and_then(|at| finest.truncate(at)));
                let (first, count) = match ends {
                    (Some(first), Some(last)) if first <= last => {
                        (first, u128::from(unit.steps_between(first, last, interval)) + 1)
                    }
                    _ => (now, 0),
                };
                Kind::Dates { first, interval, unit, count, pattern: Arc::clone(pattern) }
            }
        };
        Some(Sequence::new(table, field, kind))
    }
}
