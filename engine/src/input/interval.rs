//! Intervals (PostgreSQL's `DecodeInterval` and `DecodeISO8601Interval`). Fields are read from right to left: a unit stands
//! behind its number.

use super::datetime::{Fault, clock};
use super::token::{Kind, split};
use super::{is_space, trim};
use crate::session::settings::IntervalStyle;
use crate::{Error, ErrorCode, Result};

/// PostgreSQL's interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Interval {
    pub months: i32,
    pub days: i32,
    pub microseconds: i64,
}

/// Reads `1 day 02:03`, `@ 1 hour ago`, `1-2`, `P1Y2M3DT4H5M6.7S`. In the SQL standard's style a leading sign is that of all
/// fields.
///
/// # Errors
/// `22007` and `22015`, in PostgreSQL's words.
pub fn interval(text: &str, style: IntervalStyle) -> Result<Interval> {
    let read = match decode(text, style) {
        Err(Fault::Format) => iso_8601(trim(text)),
        read => read,
    };
    let total = read.map_err(|fault| match fault {
        Fault::Overflow | Fault::DayOrMonth => {
            let message = format!("interval field value out of range: \"{text}\"");
            Error::new(ErrorCode::IntervalFieldOverflow, message)
        }
        other => other.into_error("interval", text),
    })?;
    total.finish().ok_or_else(|| Error::new(ErrorCode::DatetimeFieldOverflow, "interval out of range"))
}

/// Sums that may yet be too large.
#[derive(Debug, Clone, Copy, Default)]
struct Total {
    /// Months that years are made of, apart until the signs are settled.
    years: i64,
    months: i64,
    days: i64,
    microseconds: i128,
}

impl Total {
    fn finish(self) -> Option<Interval> {
        Some(Interval {
            months: i32::try_from(self.years + self.months).ok()?,
            days: i32::try_from(self.days).ok()?,
            microseconds: i64::try_from(self.microseconds).ok()?,
        })
    }

    fn negate(&mut self) {
        *self = Self { years: -self.years, months: -self.months, days: -self.days, microseconds: -self.microseconds };
    }

    /// `value.fraction` of a unit. A fraction goes on into smaller units, whole days and months apart.
    fn add(&mut self, unit: Unit, value: i64, fraction: f64) -> std::result::Result<(), Fault> {
        let whole = |factor: i64| value.checked_mul(factor).ok_or(Fault::Overflow);
        match unit {
            Unit::Microsecond => self.microseconds += i128::from(value) + round(fraction),
            Unit::Millisecond => self.microseconds += i128::from(value) * 1_000 + round(fraction * 1e3),
            Unit::Second => self.microseconds += i128::from(value) * 1_000_000 + round(fraction * 1e6),
            Unit::Minute => self.microseconds += i128::from(value) * 60_000_000 + seconds(fraction * 60.0),
            Unit::Hour => self.microseconds += i128::from(value) * 3_600_000_000 + seconds(fraction * 3_600.0),
            Unit::Day => {
                self.days = self.days.checked_add(value).ok_or(Fault::Overflow)?;
                self.microseconds += seconds(fraction * 86_400.0);
            }
            Unit::Week => {
                self.days = self.days.checked_add(whole(7)?).ok_or(Fault::Overflow)?;
                self.add_days(fraction * 7.0);
            }
            Unit::Month => {
                self.months = self.months.checked_add(value).ok_or(Fault::Overflow)?;
                self.add_days(fraction * 30.0);
            }
            Unit::Years(years) => {
                let months = whole(12 * years)?;
                #[allow(clippy::cast_possible_truncation, reason = "less than 12,000")]
                let part = (fraction * 12.0 * years as f64).round_ties_even() as i64;
                self.years = self.years.checked_add(months).ok_or(Fault::Overflow)?;
                self.months = self.months.checked_add(part).ok_or(Fault::Overflow)?;
            }
        }
        let counts = [self.years, self.months, self.days];
        let fits = counts.into_iter().all(|count| i32::try_from(count).is_ok());
        if fits && i64::try_from(self.microseconds).is_ok() { Ok(()) } else { Err(Fault::Overflow) }
    }

    fn add_days(&mut self, days: f64) {
        #[allow(clippy::cast_possible_truncation, reason = "a part of a month")]
        let whole = days.trunc() as i64;
        self.days += whole;
        self.microseconds += seconds((days - whole as f64) * 86_400.0);
    }
}

/// `AdjustFractSeconds`: the whole seconds are cut off before the rest is rounded.
fn seconds(value: f64) -> i128 {
    let whole = value.trunc();
    #[allow(clippy::cast_possible_truncation, reason = "a part of a day")]
    let whole_microseconds = whole as i128 * 1_000_000;
    whole_microseconds + round((value - whole) * 1e6)
}

fn round(value: f64) -> i128 {
    #[allow(clippy::cast_possible_truncation, reason = "saturating, and checked afterwards")]
    let rounded = value.round_ties_even() as i128;
    rounded
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Microsecond,
    Millisecond,
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Years(i64),
}

impl Unit {
    /// What may be given once only. PostgreSQL has a bit for each.
    fn bit(self) -> u32 {
        match self {
            Self::Microsecond => 1,
            Self::Millisecond => 2,
            Self::Second => 4,
            Self::Minute => 8,
            Self::Hour => 16,
            Self::Day => 32,
            Self::Week => 64,
            Self::Month => 128,
            Self::Years(1) => 256,
            Self::Years(10) => 512,
            Self::Years(100) => 1024,
            Self::Years(_) => 2048,
        }
    }

    /// PostgreSQL's `deltatktbl`, which knows ten letters of a word.
    fn named(word: &str) -> Option<Self> {
        Some(match word.get(..word.len().min(10)).unwrap_or(word) {
            "us" | "usec" | "usecs" | "usecond" | "useconds" | "microsecon" => Self::Microsecond,
            "ms" | "msec" | "msecs" | "msecond" | "mseconds" | "millisecon" => Self::Millisecond,
            "s" | "sec" | "secs" | "second" | "seconds" => Self::Second,
            "m" | "min" | "mins" | "minute" | "minutes" => Self::Minute,
            "h" | "hr" | "hrs" | "hour" | "hours" => Self::Hour,
            "d" | "day" | "days" => Self::Day,
            "w" | "week" | "weeks" => Self::Week,
            "mon" | "mons" | "month" | "months" => Self::Month,
            "y" | "yr" | "yrs" | "year" | "years" => Self::Years(1),
            "dec" | "decs" | "decade" | "decades" => Self::Years(10),
            "c" | "cent" | "century" | "centuries" => Self::Years(100),
            "mil" | "mils" | "millennia" | "millennium" => Self::Years(1000),
            _ => return None,
        })
    }
}

/// Hours, minutes, seconds and parts of them.
const CLOCK: u32 = 4 | 8 | 16;

fn decode(text: &str, style: IntervalStyle) -> std::result::Result<Total, Fault> {
    let fields = split(text).ok_or(Fault::Format)?;
    let mut total = Total::default();
    let mut unit = None;
    let mut known = 0_u32;
    let mut ago = false;
    for field in fields.iter().rev() {
        let mut given = 0;
        let mut number = None;
        match field.kind {
            Kind::Time => {
                add_clock(&mut total, &field.text, false)?;
                given = CLOCK;
                unit = Some(Unit::Day);
            }
            Kind::Signed if field.text[1..].contains(':') => {
                add_clock(&mut total, &field.text[1..], field.text.starts_with('-'))?;
                given = CLOCK;
                // `1 +02:03` is a day and more.
                unit = Some(Unit::Day);
            }
            Kind::Signed | Kind::Date | Kind::Number => number = Some(field.text.as_str()),
            Kind::Word | Kind::Special => match field.text.as_str() {
                "ago" => ago = true,
                word => unit = Some(Unit::named(word).ok_or(Fault::Format)?),
            },
        }
        if let Some(text) = number {
            let of = unit.unwrap_or(Unit::Second);
            let (value, fraction, of) = read_number(text, of)?;
            total.add(of, value, fraction)?;
            given = of.bit();
            if of == Unit::Second && fraction != 0.0 {
                given |= Unit::Microsecond.bit() | Unit::Millisecond.bit();
            }
            unit = Some(if of == Unit::Hour { Unit::Day } else { of });
        }
        if known & given != 0 {
            return Err(Fault::Format);
        }
        known |= given;
    }
    if known == 0 {
        return Err(Fault::Format);
    }
    let signs = fields.iter().filter(|field| field.text.starts_with(['-', '+'])).count();
    if style == IntervalStyle::SqlStandard && signs == 1 && fields[0].text.starts_with('-') {
        let absolute = |value: i64| -value.abs();
        total.years = absolute(total.years);
        total.months = absolute(total.months);
        total.days = absolute(total.days);
        total.microseconds = -total.microseconds.abs();
    }
    if ago {
        total.negate();
    }
    Ok(total)
}

fn add_clock(total: &mut Total, text: &str, negative: bool) -> std::result::Result<(), Fault> {
    let (hour, minute, second, microseconds) = clock(text)?;
    let sum = i128::from((hour * 60 + minute) * 60 + second) * 1_000_000 + i128::from(microseconds);
    total.microseconds += if negative { -sum } else { sum };
    Ok(())
}

/// `12`, `-1.5`, and the standard's `1-2`, which is years and months.
fn read_number(text: &str, unit: Unit) -> std::result::Result<(i64, f64, Unit), Fault> {
    let negative = text.starts_with('-');
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let end = unsigned.find(|c: char| !c.is_ascii_digit()).unwrap_or(unsigned.len());
    let digits = &unsigned[..end];
    let value: i64 = match digits {
        // `.5` has no whole part.
        "" if unsigned.starts_with('.') => 0,
        "" => return Err(Fault::Format),
        digits => digits.parse().map_err(|_| Fault::Overflow)?,
    };
    let signed = |value: i64| if negative { -value } else { value };
    let rest = &unsigned[end..];
    if let Some(months) = rest.strip_prefix('-') {
        let months: i64 = match months {
            digits if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().map_err(|_| Fault::Overflow)?
            }
            _ => return Err(Fault::Format),
        };
        if months >= 12 {
            return Err(Fault::Overflow);
        }
        let sum = value.checked_mul(12).and_then(|years| years.checked_add(months)).ok_or(Fault::Overflow)?;
        return Ok((signed(sum), 0.0, Unit::Month));
    }
    if rest.is_empty() {
        return Ok((signed(value), 0.0, unit));
    }
    let fraction = match rest.strip_prefix('.') {
        Some("") => 0.0,
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            format!("0.{digits}").parse::<f64>().map_err(|_| Fault::Format)?
        }
        _ => return Err(Fault::Format),
    };
    Ok((signed(value), if negative { -fraction } else { fraction }, unit))
}

/// `P1Y2M3W4DT5H6M7.8S`, and the alternative `P0001-02-03T04:05:06`.
fn iso_8601(text: &str) -> std::result::Result<Total, Fault> {
    let mut rest = text.strip_prefix('P').ok_or(Fault::Format)?;
    if rest.is_empty() {
        return Err(Fault::Format);
    }
    let mut total = Total::default();
    let mut in_time = false;
    let mut has_field = false;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('T') {
            in_time = true;
            has_field = false;
            rest = after;
            continue;
        }
        let end = rest.find(|c: char| !(c.is_ascii_digit() || matches!(c, '-' | '+' | '.'))).unwrap_or(rest.len());
        let begins_with_sign = rest.starts_with(['-', '+']);
        // A sign inside parts the alternative's fields.
        let end = rest[usize::from(begins_with_sign)..end]
            .find(['-', '+'])
            .map_or(end, |at| at + usize::from(begins_with_sign));
        let (number, after) = rest.split_at(end);
        let plain: f64 = number.parse().map_err(|_| Fault::Format)?;
        if number.is_empty() || !plain.is_finite() || number.ends_with(['-', '+']) {
            return Err(Fault::Format);
        }
        #[allow(clippy::cast_possible_truncation, reason = "checked against the range of i64")]
        let value = if plain.abs() < 9e18 { plain.trunc() as i64 } else { return Err(Fault::Overflow) };
        let fraction = match number.split_once('.') {
            Some((_, digits)) if !digits.is_empty() => {
                let fraction: f64 = format!("0.{digits}").parse().map_err(|_| Fault::Format)?;
                if number.starts_with('-') { -fraction } else { fraction }
            }
            _ => 0.0,
        };
        let unit = after.chars().next();
        let alternative = matches!(unit, Some('-' | ':')) || unit.is_none() || (!in_time && unit == Some('T'));
        if alternative {
            return if has_field { Err(Fault::Format) } else { alternative_8601(rest, total, in_time) };
        }
        let unit = match (in_time, unit) {
            (false, Some('Y')) => Unit::Years(1),
            (false, Some('M')) => Unit::Month,
            (false, Some('W')) => Unit::Week,
            (false, Some('D')) => Unit::Day,
            (true, Some('H')) => Unit::Hour,
            (true, Some('M')) => Unit::Minute,
            (true, Some('S')) => Unit::Second,
            _ => return Err(Fault::Format),
        };
        total.add(unit, value, fraction)?;
        has_field = true;
        rest = &after[1..];
    }
    if has_field { Ok(total) } else { Err(Fault::Format) }
}

/// `0001-02-03T04:05:06`, or its time alone; `00010203` run together isn't read.
fn alternative_8601(text: &str, mut total: Total, in_time: bool) -> std::result::Result<Total, Fault> {
    let (date, time) = match text.split_once('T') {
        Some((date, time)) if !in_time => (date, Some(time)),
        None if in_time => ("", Some(text)),
        None => (text, None),
        Some(_) => return Err(Fault::Format),
    };
    let number = |text: &str| -> std::result::Result<i64, Fault> {
        text.parse::<i32>().map(i64::from).map_err(|_| Fault::Format)
    };
    if !date.is_empty() {
        let units = [Unit::Years(1), Unit::Month, Unit::Day];
        let parts: Vec<&str> = date.split('-').collect();
        if parts.len() > units.len() || parts.iter().any(|part| part.contains(is_space)) {
            return Err(Fault::Format);
        }
        for (part, unit) in parts.iter().zip(units) {
            total.add(unit, number(part)?, 0.0)?;
        }
    }
    if let Some(time) = time {
        let units = [Unit::Hour, Unit::Minute, Unit::Second];
        let parts: Vec<&str> = time.split(':').collect();
        if parts.len() > units.len() {
            return Err(Fault::Format);
        }
        for (part, unit) in parts.iter().zip(units) {
            let (whole, fraction) = part.split_once('.').unwrap_or((part, ""));
            let fraction: f64 =
                if fraction.is_empty() { 0.0 } else { format!("0.{fraction}").parse().map_err(|_| Fault::Format)? };
            total.add(unit, number(whole)?, fraction)?;
        }
    }
    Ok(total)
}
