//! What a predicate's constants say of one key: the numbers of the values that may meet it, or the values themselves.
//!
//! Both look through AND and OR down to `key = constant`, `<`, `<=`, `>`, `>=`, IN and BETWEEN, and let all else pass: what
//! they exclude can't meet the predicate, what they keep may. So `(a = 1 AND b = 2) OR (a = 3 AND x > 5)` keeps 1 and 3 of a.

use std::ops::Range;

use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};

use super::sequence::{Comparison, Lookups, Sequence};

/// A list of more constants is evaluated over the values instead of looked up, where there are not too many of those.
const LOOKED_UP_MAX: usize = 1000;

/// Most constants kept that no value equals.
pub(super) const MISSING_MAX: usize = 100;

/// Ascending ranges of numbers that don't touch.
pub(super) type Indexes = Vec<Range<u128>>;

/// Narrows the values of one key.
pub(super) struct Narrowing<'a> {
    name: &'a str,
    sequence: &'a Sequence,
    /// With so many values or fewer, long lists aren't looked up.
    few: u128,
    lookups: Lookups,
    /// Constants that the key is compared with for equality and that are none of its values, the first [`MISSING_MAX`].
    pub(super) missing: Vec<ScalarValue>,
}

impl<'a> Narrowing<'a> {
    pub(super) fn new(name: &'a str, sequence: &'a Sequence, few: u128) -> Self {
        Self { name, sequence, few, lookups: Lookups::default(), missing: Vec::new() }
    }

    /// The values that may meet all of `filters`.
    pub(super) fn narrow(&mut self, filters: &[Expr]) -> Indexes {
        filters.iter().fold(self.all(), |left, filter| intersect(&left, &self.meeting(filter)))
    }

    fn all(&self) -> Indexes {
        let count = self.sequence.count();
        if count == 0 { Vec::new() } else { std::iter::once(0..count).collect() }
    }

    fn meeting(&mut self, filter: &Expr) -> Indexes {
        match filter {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
                let left = self.meeting(left);
                intersect(&left, &self.meeting(right))
            }
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
                let mut both = self.meeting(left);
                both.extend(self.meeting(right));
                merge(both)
            }
            Expr::BinaryExpr(binary) => match comparison(self.name, binary) {
                Some((comparison, literal)) => self.matching(comparison, literal),
                None => self.all(),
            },
            Expr::Between(between) if !between.negated && is_key(&between.expr, self.name) => {
                let low = constant(&between.low).map(|low| self.matching(Comparison::GreaterOrEqual, low));
                let high = constant(&between.high).map(|high| self.matching(Comparison::LessOrEqual, high));
                intersect(&low.unwrap_or_else(|| self.all()), &high.unwrap_or_else(|| self.all()))
            }
            Expr::InList(list) => match constants(self.name, list) {
                Some(literals) if literals.len() <= LOOKED_UP_MAX || self.sequence.count() > self.few => {
                    let found = literals.into_iter().flat_map(|literal| self.matching(Comparison::Equal, literal));
                    merge(found.collect())
                }
                _ => self.all(),
            },
            _ => self.all(),
        }
    }

    fn matching(&mut self, comparison: Comparison, literal: &ScalarValue) -> Indexes {
        let found = self.sequence.matching(comparison, literal, &mut self.lookups);
        let is_missing = found.is_empty() && comparison == Comparison::Equal && self.missing.len() < MISSING_MAX;
        if is_missing && !self.missing.contains(literal) {
            self.missing.push(literal.clone());
        }
        found.into_iter().filter(|range| !range.is_empty()).collect()
    }
}

/// The constants that the key must be one of to meet all of `filters`; `None` if it may be any.
pub(super) fn named_values(name: &str, filters: &[Expr]) -> Option<Vec<ScalarValue>> {
    filters.iter().map(|filter| named(name, filter)).reduce(both)?
}

fn named(name: &str, filter: &Expr) -> Option<Vec<ScalarValue>> {
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => both(named(name, left), named(name, right)),
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            let (mut left, right) = (named(name, left)?, named(name, right)?);
            let known: std::collections::HashSet<ScalarValue> = left.iter().cloned().collect();
            left.extend(right.into_iter().filter(|value| !known.contains(value)));
            Some(left)
        }
        Expr::BinaryExpr(binary) => match comparison(name, binary) {
            Some((Comparison::Equal, literal)) => Some(vec![literal.clone()]),
            _ => None,
        },
        Expr::InList(list) => {
            let mut seen = std::collections::HashSet::new();
            Some(constants(name, list)?.into_iter().filter(|value| seen.insert(*value)).cloned().collect())
        }
        _ => None,
    }
}

/// What is in both, where `None` is everything.
fn both(left: Option<Vec<ScalarValue>>, right: Option<Vec<ScalarValue>>) -> Option<Vec<ScalarValue>> {
    match (left, right) {
        (Some(left), Some(right)) => {
            let right: std::collections::HashSet<ScalarValue> = right.into_iter().collect();
            Some(left.into_iter().filter(|value| right.contains(value)).collect())
        }
        (left, right) => left.or(right),
    }
}

fn is_key(expr: &Expr, name: &str) -> bool {
    matches!(expr, Expr::Column(column) if column.name == name)
}

fn constant(expr: &Expr) -> Option<&ScalarValue> {
    match expr {
        Expr::Literal(value, _) if !value.is_null() => Some(value),
        _ => None,
    }
}

/// `key op constant`, or the same turned round.
fn comparison<'a>(name: &str, BinaryExpr { left, op, right }: &'a BinaryExpr) -> Option<(Comparison, &'a ScalarValue)> {
    let comparison = match op {
        Operator::Eq | Operator::IsNotDistinctFrom => Comparison::Equal,
        Operator::Lt => Comparison::Less,
        Operator::LtEq => Comparison::LessOrEqual,
        Operator::Gt => Comparison::Greater,
        Operator::GtEq => Comparison::GreaterOrEqual,
        _ => return None,
    };
    if is_key(left, name) {
        return Some((comparison, constant(right)?));
    }
    let turned = match comparison {
        Comparison::Equal => Comparison::Equal,
        Comparison::Less => Comparison::Greater,
        Comparison::LessOrEqual => Comparison::GreaterOrEqual,
        Comparison::Greater => Comparison::Less,
        Comparison::GreaterOrEqual => Comparison::LessOrEqual,
    };
    is_key(right, name).then_some((turned, constant(left)?))
}

/// The constants of `key IN (...)`; a NULL among them matches nothing.
fn constants<'a>(name: &str, list: &'a InList) -> Option<Vec<&'a ScalarValue>> {
    if list.negated || !is_key(&list.expr, name) {
        return None;
    }
    let literal = |expr: &'a Expr| match expr {
        Expr::Literal(value, _) => Some(value),
        _ => None,
    };
    let all = list.list.iter().map(literal).collect::<Option<Vec<_>>>()?;
    Some(all.into_iter().filter(|value| !value.is_null()).collect())
}

fn intersect(left: &[Range<u128>], right: &[Range<u128>]) -> Indexes {
    let (mut left, mut right) = (left.iter().peekable(), right.iter().peekable());
    let mut both = Vec::new();
    while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
        let shared = a.start.max(b.start)..a.end.min(b.end);
        if !shared.is_empty() {
            both.push(shared);
        }
        if a.end <= b.end {
            left.next();
        } else {
            right.next();
        }
    }
    both
}

fn merge(mut ranges: Indexes) -> Indexes {
    ranges.sort_unstable_by_key(|range| range.start);
    let mut merged: Indexes = Vec::with_capacity(ranges.len());
    for range in ranges.into_iter().filter(|range| !range.is_empty()) {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}
