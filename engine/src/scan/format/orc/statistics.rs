//! What a file says of its columns, stripe by stripe and altogether -> [`FileFacts`].
//!
//! Only what is sure is told. Writers compare floats with `<` as they merge, so that a NaN hides what comes after it: their
//! bounds are left out, of whatever file. Bounds of timestamps are milliseconds, of which the rest was cut off. The first
//! writers compared texts wrongly (HIVE-8732), and whether bounds of `char` have its blanks is up to the writer.

use limnos_catalog::DataType;
use limnos_catalog::facts::{Bound, ColumnFacts, FactValue};

use super::Decoded;
use super::protobuf::{Fields, Value};
use super::types::{ColumnType, Kind};

/// Longer texts are cut (a lower bound) or left out (an upper one).
const TEXT_BYTES_MAX: usize = 256;

/// The facts of one of `columns`, as `statistics` (a message) has them of `row_count` rows.
pub(super) fn column_facts(
    name: &str,
    column: &ColumnType,
    statistics: Option<Value<'_>>,
    row_count: u64,
    has_text_bounds: bool,
) -> Decoded<ColumnFacts> {
    let data_type = column.data_type().ok();
    let mut facts = ColumnFacts { name: name.into(), data_type, ..ColumnFacts::default() };
    let Some(statistics) = statistics else { return Ok(facts) };
    let Some(data_type) = facts.data_type.clone().filter(|data_type| !data_type.is_nested()) else { return Ok(facts) };
    let mut value_count = None;
    for field in statistics.fields()? {
        let (number, value) = field?;
        match (number, &data_type) {
            (1, _) => value_count = Some(value.number()?),
            (2, DataType::TinyInt | DataType::SmallInt | DataType::Int | DataType::BigInt) => {
                whole_numbers(value.fields()?, (1, 2), &mut facts)?;
            }
            (4, DataType::String) => {
                texts(value.fields()?, has_text_bounds && column.kind == Kind::Text, &mut facts)?;
            }
            (5, DataType::Boolean) => {
                let mut counts = Vec::new();
                for field in value.fields()? {
                    if let (1, value) = field? {
                        value.numbers(&mut counts)?;
                    }
                }
                if let (Some(&trues), Some(values)) = (counts.first(), value_count)
                    && values > 0
                    && trues <= values
                {
                    facts.min = exact(FactValue::Boolean(trues == values));
                    facts.max = exact(FactValue::Boolean(trues > 0));
                }
            }
            (6, DataType::Decimal(_, scale)) => {
                for field in value.fields()? {
                    match field? {
                        (1, value) => facts.min = decimal(value.text()?, *scale).and_then(exact),
                        (2, value) => facts.max = decimal(value.text()?, *scale).and_then(exact),
                        _ => {}
                    }
                }
            }
            (7, DataType::Date) => whole_numbers(value.fields()?, (1, 2), &mut facts)?,
            (8, DataType::Binary) => {
                for field in value.fields()? {
                    if let (1, value) = field? {
                        facts.byte_size = u64::try_from(value.signed()?).ok();
                    }
                }
            }
            // In UTC: the older fields are in the writer's time zone.
            (9, DataType::Timestamp | DataType::TimestampTz) => {
                whole_numbers(value.fields()?, (3, 4), &mut facts)?;
                let micros = |bound: Option<Bound>, beyond_ms: i64| match bound?.value {
                    FactValue::Int(ms) => {
                        let value = FactValue::Int(ms.checked_add(beyond_ms)?.checked_mul(1000)?);
                        Some(Bound { value, is_exact: false })
                    }
                    _ => None,
                };
                facts.min = micros(facts.min.take(), -1);
                facts.max = micros(facts.max.take(), 1);
            }
            _ => {}
        }
    }
    // Statistics that contradict themselves are believed in nothing.
    match value_count {
        Some(count) if count <= row_count => facts.null_count = Some(row_count - count),
        Some(_) => (facts.min, facts.max) = (None, None),
        None => {}
    }
    Ok(facts)
}

fn exact(value: FactValue) -> Option<Bound> {
    Some(Bound { value, is_exact: true })
}

fn whole_numbers(fields: Fields<'_>, (min, max): (u64, u64), facts: &mut ColumnFacts) -> Decoded<()> {
    for field in fields {
        match field? {
            (number, value) if number == min => facts.min = exact(FactValue::Int(value.signed()?)),
            (number, value) if number == max => facts.max = exact(FactValue::Int(value.signed()?)),
            _ => {}
        }
    }
    Ok(())
}

/// Texts are told whole, or cut as lower and upper bound.
fn texts(fields: Fields<'_>, has_bounds: bool, facts: &mut ColumnFacts) -> Decoded<()> {
    for field in fields {
        let (number, value) = field?;
        if number == 3 {
            facts.byte_size = u64::try_from(value.signed()?).ok();
            continue;
        }
        if !has_bounds || !matches!(number, 1 | 2 | 4 | 5) {
            continue;
        }
        let text = value.text()?;
        let is_min = matches!(number, 1 | 4);
        let bound = match text.len() {
            0..=TEXT_BYTES_MAX => Some(Bound { value: FactValue::Text(text.into()), is_exact: number <= 2 }),
            _ if is_min => {
                let end = (0..=TEXT_BYTES_MAX).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
                Some(Bound { value: FactValue::Text(text[..end].into()), is_exact: false })
            }
            _ => None,
        };
        if is_min { facts.min = bound } else { facts.max = bound }
    }
    Ok(())
}

/// A decimal's text without its point; `None` where it has more digits behind it than `scale`.
fn decimal(text: &str, scale: u8) -> Option<FactValue> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if digits.is_empty() || fraction.len() > usize::from(scale) || !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let zeros = u32::try_from(usize::from(scale) - fraction.len()).ok()?;
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    Some(FactValue::Decimal(digits.checked_mul(10_i128.checked_pow(zeros)?)? * sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_read_to_their_scale() {
        for (text, scale, expected) in [
            ("1.5", 2, Some(150)),
            ("-0.05", 2, Some(-5)),
            ("12", 0, Some(12)),
            ("+3.", 1, Some(30)),
            ("1.234", 2, None),
            ("", 2, None),
            ("1e5", 2, None),
        ] {
            assert_eq!(decimal(text, scale), expected.map(FactValue::Decimal), "{text}");
        }
    }
}
