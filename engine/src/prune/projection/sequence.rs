//! [`Sequence`]: the values that one key is projected to at one moment, numbered, none of them made before it is asked for.
//!
//! A range of a thousand years in seconds costs nothing here: what a predicate compares with constants is found by binary
//! search over the numbers, and only what is left is spelled.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Date32Array, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef, TimeUnit};
use chrono::{NaiveDate, NaiveDateTime};
use datafusion::common::ScalarValue;

use super::moment::Unit;
use super::pattern::Pattern;
use crate::prune::partition::typed_values;
use crate::{Error, Result};

/// One key's projected values.
#[derive(Debug, Clone)]
pub(super) struct Sequence {
    table: Arc<str>,
    key: FieldRef,
    kind: Kind,
}

#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// Enumerated or injected.
    List(Arc<[Box<str>]>),
    /// `first`, `first + step`, ..., in `digits` digits at least.
    Integers { first: i64, step: i64, count: u128, digits: usize },
    /// Dates `interval` units apart.
    Dates { first: NaiveDateTime, interval: i64, unit: Unit, count: u128, pattern: Arc<Pattern> },
}

/// A comparison with a constant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Sequence {
    pub(super) fn new(table: &Arc<str>, key: &FieldRef, kind: Kind) -> Self {
        Self { table: Arc::clone(table), key: Arc::clone(key), kind }
    }

    /// How many values there are.
    pub(super) fn count(&self) -> u128 {
        match &self.kind {
            Kind::List(values) => values.len() as u128,
            Kind::Integers { count, .. } | Kind::Dates { count, .. } => *count,
        }
    }

    /// The value `index` as the folder spells it.
    pub(super) fn text(&self, index: u128) -> Box<str> {
        match &self.kind {
            Kind::List(values) => usize::try_from(index).ok().and_then(|index| values.get(index).cloned()),
            Kind::Integers { first, step, digits, .. } => {
                let number = i128::try_from(index).ok().map(|index| i128::from(*first) + index * i128::from(*step));
                number.map(|number| spell_integer(number, *digits).into())
            }
            Kind::Dates { pattern, .. } => self.moment(index).map(|moment| pattern.spell(moment).into()),
        }
        .unwrap_or_default()
    }

    fn moment(&self, index: u128) -> Option<NaiveDateTime> {
        match &self.kind {
            Kind::Dates { first, interval, unit, .. } => {
                unit.add(*first, i64::try_from(index).ok()?.checked_mul(*interval)?)
            }
            _ => None,
        }
    }

    /// The values `indexes` as text and as the key's type.
    ///
    /// # Errors
    /// A value that the key's type can't hold.
    pub(super) fn values(&self, indexes: impl IntoIterator<Item = u128>) -> Result<(Vec<Box<str>>, ArrayRef)> {
        let mut texts: Vec<Option<Box<str>>> = Vec::new();
        let mut moments = Vec::new();
        for index in indexes {
            let text = Some(self.text(index));
            // Steps finer than the format spell a value more than once; its folder is there once.
            if let Kind::Dates { pattern, .. } = &self.kind {
                if texts.last() == Some(&text) {
                    continue;
                }
                // What the folder spells, not the step that led there.
                moments.extend(self.moment(index).and_then(|moment| pattern.finest().truncate(moment)));
            }
            texts.push(text);
        }
        let typed = match (&self.kind, self.key.data_type()) {
            (Kind::Dates { .. }, DataType::Date32) => {
                let epoch = NaiveDate::default();
                let days = moments.iter().map(|moment| {
                    i32::try_from(moment.date().signed_duration_since(epoch).num_days()).unwrap_or(i32::MAX)
                });
                Arc::new(Date32Array::from_iter_values(days)) as ArrayRef
            }
            (Kind::Dates { .. }, DataType::Timestamp(TimeUnit::Microsecond, zone)) => {
                let values = moments.iter().map(|moment| moment.and_utc().timestamp_micros());
                Arc::new(TimestampMicrosecondArray::from_iter_values(values).with_timezone_opt(zone.clone()))
            }
            _ => typed_values(&self.table, &self.key, &texts)?,
        };
        Ok((texts.into_iter().flatten().collect(), typed))
    }

    /// The first and the last value as text, for messages and checks.
    pub(super) fn ends(&self) -> Option<(Box<str>, Box<str>)> {
        let last = self.count().checked_sub(1)?;
        Some((self.text(0), self.text(last)))
    }

    /// What is projected, in words.
    pub(super) fn describe(&self) -> String {
        match (&self.kind, self.ends()) {
            (Kind::List(values), Some(_)) => {
                let named: Vec<String> = values.iter().take(NAMED_MAX).map(|value| format!("\"{value}\"")).collect();
                let more = match values.len() - named.len() {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                format!("{}{more}", named.join(", "))
            }
            (_, Some((first, last))) => format!("\"{first}\" to \"{last}\""),
            (_, None) => "none".to_owned(),
        }
    }

    /// Whether greater numbers have values that are not less.
    fn is_sorted(&self) -> bool {
        let is_text = self.key.data_type() == &DataType::Utf8View;
        match &self.kind {
            Kind::List(_) => false,
            Kind::Integers { first, .. } => {
                !is_text || *first >= 0 && self.ends().is_none_or(|(first, last)| first.len() == last.len())
            }
            Kind::Dates { pattern, .. } => {
                matches!(self.key.data_type(), DataType::Date32 | DataType::Timestamp(..)) || pattern.is_sorted()
            }
        }
    }

    fn scalar(&self, index: u128) -> Option<ScalarValue> {
        let (_, typed) = self.values([index]).ok()?;
        ScalarValue::try_from_array(&typed, 0).ok()
    }

    /// The first number from which on `holds` is false. It must be true up to there and false after.
    fn partition_point(&self, holds: impl Fn(&ScalarValue) -> bool) -> u128 {
        let (mut low, mut high) = (0, self.count());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.scalar(middle).is_some_and(|value| holds(&value)) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// The numbers of the values that compare so with `literal`; all of them where that can't be told.
    pub(super) fn matching(
        &self,
        comparison: Comparison,
        literal: &ScalarValue,
        lists: &mut Lookups,
    ) -> Vec<Range<u128>> {
        let all = 0..self.count();
        let Some(literal) = comparable(self.key.data_type(), literal) else { return vec![all] };
        if comparison == Comparison::Equal
            && let Some(found) = self.equal(&literal, lists)
        {
            return found;
        }
        if !self.is_sorted() {
            return vec![all];
        }
        let less = || self.partition_point(|value| value < &literal);
        let less_or_equal = || self.partition_point(|value| value <= &literal);
        let range = match comparison {
            Comparison::Equal => less()..less_or_equal(),
            Comparison::Less => 0..less(),
            Comparison::LessOrEqual => 0..less_or_equal(),
            Comparison::Greater => less_or_equal()..all.end,
            Comparison::GreaterOrEqual => less()..all.end,
        };
        if range.is_empty() { Vec::new() } else { vec![range] }
    }

    /// The numbers of the values that are `literal`, where that takes no search through typed values.
    fn equal(&self, literal: &ScalarValue, lists: &mut Lookups) -> Option<Vec<Range<u128>>> {
        let is_spelled = |index: u128| match literal {
            ScalarValue::Utf8View(Some(text)) => *self.text(index) == **text,
            _ => true,
        };
        let found = match &self.kind {
            Kind::List(_) => {
                return lists.numbers(self).map(|numbers| numbers.get(literal).cloned().unwrap_or_default());
            }
            Kind::Integers { first, step, .. } => {
                let distance = integer(literal)?.map(|number| i128::from(number) - i128::from(*first));
                let distance = distance.filter(|distance| distance % i128::from(*step) == 0);
                distance.and_then(|distance| u128::try_from(distance / i128::from(*step)).ok())
            }
            Kind::Dates { pattern, .. } => {
                let ScalarValue::Utf8View(Some(text)) = literal else { return None };
                pattern.read(text).map(|moment| self.first_not_before(moment))
            }
        };
        let found = found.filter(|index| *index < self.count() && is_spelled(*index));
        Some(found.map(one).into_iter().collect())
    }

    /// The number of the first date that is not before `moment`.
    fn first_not_before(&self, moment: NaiveDateTime) -> u128 {
        let (mut low, mut high) = (0, self.count());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.moment(middle).is_some_and(|other| other < moment) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }
}

/// Values named one by one in a message.
const NAMED_MAX: usize = 5;

/// The integer that a constant is; `Some(None)` for a text that is none, `None` for other types.
fn integer(literal: &ScalarValue) -> Option<Option<i64>> {
    Some(match literal {
        ScalarValue::Utf8View(Some(text)) => text.parse().ok(),
        ScalarValue::Int8(number) => number.map(i64::from),
        ScalarValue::Int16(number) => number.map(i64::from),
        ScalarValue::Int32(number) => number.map(i64::from),
        ScalarValue::Int64(number) => *number,
        _ => return None,
    })
}

fn one(index: u128) -> Range<u128> {
    index..index + 1
}

/// `number` in `digits` digits at least, as Java's `%0Nd` writes it: the sign counts.
pub(super) fn spell_integer(number: i128, digits: usize) -> String {
    format!("{number:0digits$}")
}

/// `literal` as a value of `key_type`, if comparing the two as they are is what SQL does.
fn comparable(key_type: &DataType, literal: &ScalarValue) -> Option<ScalarValue> {
    if literal.is_null() {
        return None;
    }
    match (key_type, literal) {
        (DataType::Utf8View, ScalarValue::Utf8(text) | ScalarValue::LargeUtf8(text) | ScalarValue::Utf8View(text)) => {
            Some(ScalarValue::Utf8View(text.clone()))
        }
        (
            DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::Date32
            | DataType::Timestamp(..)
            | DataType::Decimal128(..),
            literal,
        ) if literal.data_type() == *key_type => Some(literal.clone()),
        _ => None,
    }
}

/// Where the values of a list are, by value; made when first asked for.
#[derive(Debug, Default)]
pub(super) struct Lookups(Option<HashMap<ScalarValue, Vec<Range<u128>>>>);

impl Lookups {
    fn numbers(&mut self, sequence: &Sequence) -> Option<&HashMap<ScalarValue, Vec<Range<u128>>>> {
        if self.0.is_none() {
            let (_, typed) = sequence.values(0..sequence.count()).ok()?;
            let mut numbers: HashMap<ScalarValue, Vec<Range<u128>>> = HashMap::new();
            for index in 0..typed.len() {
                let value = ScalarValue::try_from_array(&typed, index).ok()?;
                numbers.entry(value).or_default().push(one(index as u128));
            }
            self.0 = Some(numbers);
        }
        self.0.as_ref()
    }
}

/// A constant as a folder spells it.
///
/// # Errors
/// A type that has no text.
pub(super) fn spell_literal(literal: &ScalarValue) -> Result<Option<Box<str>>> {
    let text = cast(&literal.to_array()?, &DataType::Utf8).map_err(|error| Error::internal(error.to_string()))?;
    let value = ScalarValue::try_from_array(&text, 0)?;
    let is_moment = matches!(literal.data_type(), DataType::Timestamp(..));
    Ok(match value {
        // As Hive spells it.
        ScalarValue::Utf8(Some(text)) if is_moment => Some(text.replacen('T', " ", 1).into()),
        ScalarValue::Utf8(Some(text)) => Some(text.into()),
        _ => None,
    })
}
