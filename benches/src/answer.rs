//! [`Answer`]: a query's rows as an engine gave them, and whether two engines said the same.
//!
//! Decimals and integers have to be equal; where two engines have the same number at different scales (averages), the last
//! digit that both have may be off by one. As soon as one of the two is a float, one part in a hundred million is allowed, and
//! what a decimal beside it doesn't show.

/// How values of a column are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Exact,
    Float,
    Text,
}

/// Rows as texts, `None` for NULL.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answer {
    pub(crate) kinds: Vec<Kind>,
    pub(crate) rows: Vec<Vec<Option<String>>>,
}

/// What two answers are to each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Same,
    /// The same rows, but rows that an ORDER BY doesn't tell apart, or none, came in another order.
    OtherOrder,
    /// The first difference.
    Different(String),
}

/// What of answers is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compared {
    /// All rows, in their order.
    Ordered,
    /// All rows, in any order.
    Unordered,
    /// How many rows there are: a LIMIT without an ORDER BY may give any.
    Count,
}

/// Relative, above one; absolute below.
const FLOAT_TOLERANCE: f64 = 1e-8;

/// A decimal with fewer digits behind its point is no rounded average.
const AVERAGE_SCALE_MIN: usize = 6;

impl Answer {
    /// How this answer differs from `other`'s.
    pub(crate) fn compare(&self, other: &Self, compared: Compared) -> Verdict {
        if self.rows.len() != other.rows.len() {
            return Verdict::Different(format!("{} rows against {}", self.rows.len(), other.rows.len()));
        }
        if compared == Compared::Count {
            return Verdict::Same;
        }
        if self.kinds.len() != other.kinds.len() {
            return Verdict::Different(format!("{} columns against {}", self.kinds.len(), other.kinds.len()));
        }
        let kinds: Vec<Kind> =
            self.kinds.iter().zip(&other.kinds).map(|(left, right)| together(*left, *right)).collect();
        let in_order = first_difference(&kinds, self.rows.iter(), other.rows.iter());
        let Some(difference) = in_order else { return Verdict::Same };
        let (left, right) = (sorted(&kinds, &self.rows), sorted(&kinds, &other.rows));
        match first_difference(&kinds, left.into_iter(), right.into_iter()) {
            None if compared == Compared::Unordered => Verdict::Same,
            None => Verdict::OtherOrder,
            Some(_) => Verdict::Different(difference),
        }
    }
}

fn together(left: Kind, right: Kind) -> Kind {
    match (left, right) {
        (Kind::Float, _) | (_, Kind::Float) => Kind::Float,
        (Kind::Exact, _) | (_, Kind::Exact) => Kind::Exact,
        _ => Kind::Text,
    }
}

type Row = Vec<Option<String>>;

fn first_difference<'a>(
    kinds: &[Kind],
    left: impl Iterator<Item = &'a Row>,
    right: impl Iterator<Item = &'a Row>,
) -> Option<String> {
    for (number, (left, right)) in left.zip(right).enumerate() {
        for (column, ((left, right), kind)) in left.iter().zip(right).zip(kinds).enumerate() {
            if !is_same(*kind, left.as_deref(), right.as_deref()) {
                let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "NULL".to_owned());
                let (left, right) = (shown(left), shown(right));
                return Some(format!("row {}, column {}: {left} against {right}", number + 1, column + 1));
            }
        }
    }
    None
}

fn sorted<'a>(kinds: &[Kind], rows: &'a [Row]) -> Vec<&'a Row> {
    let mut rows: Vec<&Row> = rows.iter().collect();
    // Numbers that are the same within the tolerance must come to the same place, so fewer digits decide.
    rows.sort_by_cached_key(|row| {
        let key = |(value, kind): (&Option<String>, &Kind)| match (value, kind) {
            (Some(value), Kind::Exact | Kind::Float) => {
                value.parse::<f64>().map_or_else(|_| value.clone(), |number| format!("{number:.5e}"))
            }
            (Some(value), Kind::Text) => without_midnight(value).to_owned(),
            (None, _) => String::new(),
        };
        row.iter().zip(kinds).map(key).collect::<Vec<_>>()
    });
    rows
}

fn is_same(kind: Kind, left: Option<&str>, right: Option<&str>) -> bool {
    let (left, right) = match (left, right) {
        (None, None) => return true,
        (Some(left), Some(right)) => (left, right),
        _ => return false,
    };
    if left == right {
        return true;
    }
    match kind {
        Kind::Text => without_midnight(left) == without_midnight(right),
        // ClickHouse has numbers for truth values.
        Kind::Exact if matches!((left, right), ("t", "1") | ("1", "t") | ("f", "0") | ("0", "f")) => true,
        Kind::Exact => is_same_decimal(left, right),
        Kind::Float => is_same_float(left, right),
    }
}

/// A date is a timestamp at its first moment.
fn without_midnight(text: &str) -> &str {
    text.strip_suffix(" 00:00:00").unwrap_or(text)
}

fn is_same_float(left: &str, right: &str) -> bool {
    let (Ok(first), Ok(second)) = (left.parse::<f64>(), right.parse::<f64>()) else { return false };
    // Averages have six digits behind the point in some engines' decimals.
    let shown = scale(left).min(scale(right));
    let unseen = if shown >= AVERAGE_SCALE_MIN { 10_f64.powi(-i32::try_from(shown).unwrap_or(0)) } else { 0.0 };
    (first - second).abs() <= (FLOAT_TOLERANCE * first.abs().max(second.abs()).max(1.0)).max(unseen)
}

/// Digits behind the point.
fn scale(number: &str) -> usize {
    number.split_once('.').map_or(0, |(_, fraction)| fraction.len())
}

fn is_same_decimal(left: &str, right: &str) -> bool {
    let trimmed = |number: &str| match number.contains('.') {
        true => number.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => number.to_owned(),
    };
    if trimmed(left) == trimmed(right) {
        return true;
    }
    let (left_scale, right_scale) = (scale(left), scale(right));
    match (left.parse::<f64>(), right.parse::<f64>()) {
        (Ok(left), Ok(right)) if left_scale != right_scale => {
            (left - right).abs() <= 10_f64.powi(-i32::try_from(left_scale.min(right_scale)).unwrap_or(0))
                && left_scale.min(right_scale) > 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(kinds: &[Kind], rows: &[&[&str]]) -> Answer {
        let row = |row: &&[&str]| row.iter().map(|value| (*value != "NULL").then(|| (*value).to_owned())).collect();
        Answer { kinds: kinds.to_vec(), rows: rows.iter().map(row).collect() }
    }

    #[test]
    fn floats_have_a_tolerance_and_decimals_none() {
        let one = |kind, value: &str| answer(&[kind], &[&[value]]);
        let same = |left: (Kind, &str), right: (Kind, &str)| {
            one(left.0, left.1).compare(&one(right.0, right.1), Compared::Ordered) == Verdict::Same
        };
        assert!(same((Kind::Float, "0.333333333333"), (Kind::Exact, "0.33333333333333333")));
        assert!(!same((Kind::Float, "0.3333"), (Kind::Float, "0.33333333333333333")));
        assert!(same((Kind::Exact, "25.575154"), (Kind::Float, "25.575154611454693")));
        assert!(!same((Kind::Exact, "25.57"), (Kind::Float, "25.575154611454693")));
        assert!(same((Kind::Exact, "1.50"), (Kind::Exact, "1.5")));
        assert!(!same((Kind::Exact, "1.51"), (Kind::Exact, "1.52")));
        assert!(same((Kind::Exact, "25.537587"), (Kind::Exact, "25.5375871168549970")));
        assert!(!same((Kind::Exact, "25.537589"), (Kind::Exact, "25.5375871168549970")));
        assert!(!same((Kind::Exact, "3"), (Kind::Exact, "3.5")));
        assert!(same((Kind::Text, "1995-01-01"), (Kind::Text, "1995-01-01 00:00:00")));
        assert!(!same((Kind::Text, "a"), (Kind::Text, "NULL")));
        // More digits than a float has.
        assert!(!same((Kind::Exact, "12345678901234567890.01"), (Kind::Exact, "12345678901234567890.02")));
    }

    #[test]
    fn an_order_is_looked_at_where_there_is_one() {
        let kinds = [Kind::Text, Kind::Float];
        let left = answer(&kinds, &[&["a", "1"], &["b", "2"]]);
        let right = answer(&kinds, &[&["b", "2.0000000001"], &["a", "1"]]);
        assert_eq!(left.compare(&right, Compared::Ordered), Verdict::OtherOrder);
        assert_eq!(left.compare(&right, Compared::Unordered), Verdict::Same);
        let third = answer(&kinds, &[&["a", "1"], &["b", "3"]]);
        assert_eq!(
            left.compare(&third, Compared::Ordered),
            Verdict::Different("row 2, column 2: 2 against 3".to_owned())
        );
        assert_eq!(left.compare(&third, Compared::Count), Verdict::Same);
    }
}
