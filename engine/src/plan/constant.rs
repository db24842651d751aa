//! Constants of a named type: `'2024-1-5'::date`, `timestamp 'now'`, `cast('1e3' AS numeric)`. They are read when a query is
//! planned, as PostgreSQL does, so that what is wrong with them is said at once, even where no row would ever come to them.
//!
//! Most stay as they are, for the cast to read again. What depends on the clock (`now`, `today`) becomes the moment it means,
//! an interval the spelling that DataFusion's planner knows, and `numeric` gets the scale of its number.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    CharacterLength, DataType, ExactNumberInfo, Expr, Query, TimezoneInfo, Value, ValueWithSpan, VisitMut, VisitorMut,
};

use crate::input::{self, InputContext};
use crate::{Error, Result};

/// Reads every constant of a named type in `query`.
///
/// Says whether any of them depends on the clock.
///
/// # Errors
/// What PostgreSQL says of a constant that is none.
pub(crate) fn read(query: &mut Query, context: &InputContext) -> Result<bool> {
    let mut reader = Reader { context, sees_clock: false };
    match VisitMut::visit(query, &mut reader) {
        ControlFlow::Continue(()) => Ok(reader.sees_clock),
        ControlFlow::Break(error) => Err(*error),
    }
}

struct Reader<'a> {
    context: &'a InputContext,
    sees_clock: bool,
}

impl VisitorMut for Reader<'_> {
    type Break = Box<Error>;

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Self::Break> {
        let result = match expr {
            Expr::Cast { expr: inner, data_type, array: false, .. } => match inner.as_mut() {
                Expr::Value(value) => self.constant(value, data_type),
                _ => Ok(()),
            },
            Expr::TypedString(typed) => self.constant(&mut typed.value, &mut typed.data_type),
            Expr::Interval(interval) if interval.leading_field.is_none() && interval.last_field.is_none() => {
                match interval.value.as_mut() {
                    Expr::Value(value) => spell_interval(value, self.context),
                    _ => Ok(()),
                }
            }
            _ => Ok(()),
        };
        result.map_or_else(|error| ControlFlow::Break(Box::new(error)), ControlFlow::Continue)
    }
}

impl Reader<'_> {
    fn constant(&mut self, value: &mut ValueWithSpan, data_type: &mut DataType) -> Result<()> {
        self.sees_clock |= text_of(value).is_some_and(names_clock);
        constant(value, data_type, self.context)
    }
}

/// Whether a constant means a moment by its distance from now.
fn names_clock(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    ["now", "today", "tomorrow", "yesterday"].iter().any(|word| lower.contains(word))
}

fn text_of(value: &ValueWithSpan) -> Option<&str> {
    match &value.value {
        Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) => Some(text),
        Value::DollarQuotedString(text) => Some(&text.value),
        _ => None,
    }
}

fn constant(value: &mut ValueWithSpan, data_type: &mut DataType, context: &InputContext) -> Result<()> {
    let Some(text) = text_of(value) else { return Ok(()) };
    let mut moment = None;
    match data_type {
        DataType::Date => {
            let days = input::date(text, context)?;
            moment = names_clock(text).then(|| (i64::from(days) * 86_400_000_000, ""));
        }
        DataType::Timestamp(_, TimezoneInfo::Tz | TimezoneInfo::WithTimeZone) => {
            let instant = input::timestamp_with_zone(text, context)?;
            moment = names_clock(text).then_some((instant, "+00"));
        }
        DataType::Timestamp(..) | DataType::Datetime(_) => {
            let local = input::timestamp(text, context)?;
            moment = names_clock(text).then_some((local, ""));
        }
        DataType::Time(_, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
            let microseconds = input::time(text, context)?;
            moment = names_clock(text).then_some((microseconds, ""));
        }
        DataType::Time(..) => {
            input::time_with_zone(text, context)?;
        }
        DataType::Interval { .. } => {
            input::interval(text, context.interval_style)?;
        }
        DataType::SmallInt(_) | DataType::Int2(_) => {
            input::integer(text, "smallint", i64::from(i16::MIN), i64::from(i16::MAX))?;
        }
        DataType::Int(_) | DataType::Integer(_) | DataType::Int4(_) => {
            input::integer(text, "integer", i64::from(i32::MIN), i64::from(i32::MAX))?;
        }
        DataType::BigInt(_) | DataType::Int8(_) => {
            input::integer(text, "bigint", i64::MIN, i64::MAX)?;
        }
        DataType::Real | DataType::Float4 => {
            input::float4(text)?;
        }
        DataType::DoublePrecision | DataType::Float8 | DataType::Double(_) => {
            input::float8(text)?;
        }
        DataType::Boolean | DataType::Bool => {
            input::boolean(text)?;
        }
        DataType::Bytea => {
            input::bytes(text)?;
        }
        DataType::Uuid => {
            input::uuid(text)?;
        }
        DataType::JSON | DataType::JSONB => input::check_json(text)?,
        DataType::Numeric(info) | DataType::Decimal(info) | DataType::Dec(info) => {
            let number = input::decimal(text)?;
            if matches!(info, ExactNumberInfo::None) {
                let precision = if number.precision > 38 { 76 } else { 38 };
                *info = ExactNumberInfo::PrecisionAndScale(precision, i64::from(number.scale));
            }
        }
        _ => {}
    }
    // A date with a clock's word is one that chrono has, and that can be counted in microseconds.
    if let Some((microseconds, zone)) = moment {
        value.value = Value::SingleQuotedString(format!("{}{zone}", iso(microseconds, data_type)));
    }
    Ok(())
}

fn iso(microseconds: i64, data_type: &DataType) -> String {
    let format = match data_type {
        DataType::Date => "%Y-%m-%d",
        DataType::Time(..) => "%H:%M:%S%.6f",
        _ => "%Y-%m-%d %H:%M:%S%.6f",
    };
    chrono::DateTime::from_timestamp_micros(microseconds).unwrap_or_default().format(format).to_string()
}

/// In the words that DataFusion's planner reads.
fn spell_interval(value: &mut ValueWithSpan, context: &InputContext) -> Result<()> {
    let Some(text) = text_of(value) else { return Ok(()) };
    let read = input::interval(text, context.interval_style)?;
    let sign = if read.microseconds < 0 { "-" } else { "" };
    let (seconds, rest) = (read.microseconds.unsigned_abs() / 1_000_000, read.microseconds.unsigned_abs() % 1_000_000);
    let spelled = format!("{} months {} days {sign}{seconds}.{rest:06} seconds", read.months, read.days);
    value.value = Value::SingleQuotedString(spelled);
    Ok(())
}

/// The length of `varchar(n)` and its kin.
pub(crate) fn length(length: Option<&CharacterLength>) -> Option<u32> {
    match length {
        Some(CharacterLength::IntegerLength { length, .. }) => u32::try_from(*length).ok(),
        _ => None,
    }
}
