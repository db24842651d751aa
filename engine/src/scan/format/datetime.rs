//! Dates and times in text: ISO 8601 as PostgreSQL reads it, by hand and fast; anything else by a strftime pattern.

use chrono::format::{Item, Parsed, StrftimeItems, parse};
use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime};

use super::java_time::{self, TimestampPattern};
use super::scalar::shorten;
use crate::{Error, ErrorCode, Result};

const DAY_MICROS: i64 = 86_400_000_000;
const EPOCH_DAYS_FROM_CE: i32 = 719_163;

/// A compiled strftime pattern.
#[derive(Debug, Clone)]
pub struct DateTimeFormat {
    pattern: String,
    items: Vec<Item<'static>>,
    /// Serial dates of OpenCSVSerDe: days for a date, milliseconds for a timestamp, since 1970.
    is_serial: bool,
    /// The formats of `timestamp.formats`, of which the first that fits counts, and ISO 8601 behind them.
    any: Vec<DateTimeFormat>,
}

impl DateTimeFormat {
    /// Compiles `pattern`.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidParameterValue`] if it isn't a strftime pattern.
    pub fn new(pattern: &str) -> Result<Self> {
        let items = StrftimeItems::new(pattern).parse_to_owned().map_err(|_| {
            Error::new(ErrorCode::InvalidParameterValue, format!("invalid date and time format \"{pattern}\""))
                .with_hint("A format is a strftime pattern such as \"%Y/%m/%d %H:%M\".")
        })?;
        Ok(Self { pattern: pattern.to_owned(), items, is_serial: false, any: Vec::new() })
    }

    /// The numbers that OpenCSVSerDe takes for dates (days) and timestamps (milliseconds); ISO texts are read too.
    pub fn serial() -> Self {
        Self { pattern: "serial number".to_owned(), items: Vec::new(), is_serial: true, any: Vec::new() }
    }

    /// Compiles Hive's `timestamp.formats`, patterns of Java's.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidParameterValue`] if they aren't.
    pub fn of_java(formats: &str) -> Result<Self> {
        let mut any = Vec::new();
        for pattern in java_time::patterns(formats)? {
            match pattern {
                TimestampPattern::Strftime(pattern) => any.push(Self::new(&pattern)?),
                TimestampPattern::Millis => any.push(Self::serial()),
                TimestampPattern::Iso => {}
            }
        }
        if any.is_empty() {
            any.push(Self::serial());
        }
        Ok(Self { pattern: formats.to_owned(), items: Vec::new(), is_serial: false, any })
    }

    /// The pattern as it was given.
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// Days since 1970.
    ///
    /// # Errors
    /// 22007, naming the text and the format.
    pub fn date(&self, text: &str) -> Result<i32> {
        if self.is_serial {
            return text.trim().parse().or_else(|_| date(text));
        }
        let parsed = self.parse(text).ok_or_else(|| self.mismatch(text, "date"))?;
        let date = parsed.to_naive_date().map_err(|_| self.mismatch(text, "date"))?;
        Ok(days(date))
    }

    /// Microseconds since 1970; a zone in the text is taken into account and the result is in UTC.
    ///
    /// # Errors
    /// As [`Self::date`].
    pub fn timestamp(&self, text: &str) -> Result<i64> {
        if !self.any.is_empty() {
            let read = self.any.iter().find_map(|format| format.timestamp(text).ok());
            return read.or_else(|| timestamp(text).ok()).ok_or_else(|| self.mismatch(text, "timestamp"));
        }
        if self.is_serial {
            return match text.trim().parse::<i64>() {
                Ok(millis) => millis.checked_mul(1000).ok_or_else(|| self.mismatch(text, "timestamp")),
                Err(_) => timestamp(text),
            };
        }
        let mismatch = || self.mismatch(text, "timestamp");
        let parsed = self.parse(text).ok_or_else(mismatch)?;
        let local = match parsed.to_naive_datetime_with_offset(0) {
            Ok(local) => local,
            // A pattern without a time of day means midnight.
            Err(_) => parsed.to_naive_date().map_err(|_| mismatch())?.and_time(NaiveTime::MIN),
        };
        let offset_micros = i64::from(parsed.offset().unwrap_or(0)) * 1_000_000;
        Ok(micros(local) - offset_micros)
    }

    /// Microseconds since 1970, UTC; a text without a zone is in UTC.
    ///
    /// # Errors
    /// As [`Self::date`].
    pub fn instant(&self, text: &str) -> Result<i64> {
        self.timestamp(text)
    }

    /// The text that [`Self::date`] reads as `days`; `None` if the pattern loses a part of it.
    pub fn write_date(&self, days: i32) -> Option<String> {
        if self.is_serial {
            return Some(days.to_string());
        }
        let text = self.write(i64::from(days).checked_mul(DAY_MICROS)?)?;
        (self.date(&text).ok()? == days).then_some(text)
    }

    /// The text that [`Self::timestamp`] reads as `micros`; `None` if the pattern loses a part of it.
    pub fn write_timestamp(&self, micros: i64) -> Option<String> {
        if self.is_serial && micros % 1000 == 0 {
            return Some((micros / 1000).to_string());
        }
        let text = if self.is_serial {
            DateTime::from_timestamp_micros(micros)?.format("%Y-%m-%d %H:%M:%S%.6f").to_string()
        } else {
            self.write(micros)?
        };
        (self.timestamp(&text).ok()? == micros).then_some(text)
    }

    fn write(&self, micros: i64) -> Option<String> {
        use std::fmt::Write as _;
        let mut text = String::new();
        write!(text, "{}", DateTime::from_timestamp_micros(micros)?.format_with_items(self.items.iter())).ok()?;
        Some(text)
    }

    fn parse(&self, text: &str) -> Option<Parsed> {
        let mut parsed = Parsed::new();
        parse(&mut parsed, text.trim(), self.items.iter()).ok()?;
        Some(parsed)
    }

    fn mismatch(&self, text: &str, type_name: &str) -> Error {
        invalid(text, type_name).with_hint(format!("The column's format is \"{}\".", self.pattern))
    }
}

/// Reads `YYYY-MM-DD` as days since 1970.
///
/// # Errors
/// 22007 if it isn't of that form, 22008 if there is no such day.
pub fn date(text: &str) -> Result<i32> {
    let bytes = text.trim().as_bytes();
    match iso_date(bytes) {
        Some((fields, [])) => civil(fields, text, "date").map(days),
        _ => Err(invalid(text, "date")),
    }
}

/// Reads `HH:MM[:SS[.ffffff]]` as microseconds since midnight.
///
/// # Errors
/// 22007.
pub fn time(text: &str) -> Result<i64> {
    match iso_time(text.trim().as_bytes()) {
        Some((micros, [])) => Ok(micros),
        _ => Err(invalid(text, "time")),
    }
}

/// Reads an ISO date, or date and time, as microseconds since 1970. A zone is honoured: the result is then in UTC.
///
/// # Errors
/// As [`date`].
pub fn timestamp(text: &str) -> Result<i64> {
    iso_timestamp(text, "timestamp").map(|(micros, _)| micros)
}

/// As [`timestamp`]; a text without a zone is in UTC.
///
/// # Errors
/// As [`date`].
pub fn instant(text: &str) -> Result<i64> {
    iso_timestamp(text, "timestamp with time zone").map(|(micros, _)| micros)
}

/// What [`iso_timestamp`] found behind the date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IsoKind {
    Date,
    Local,
    Zoned,
}

/// Which ISO form `text` has, if any.
pub fn iso_kind(text: &str) -> Option<IsoKind> {
    iso_timestamp(text, "timestamp").ok().map(|(_, kind)| kind)
}

fn iso_timestamp(text: &str, type_name: &str) -> Result<(i64, IsoKind)> {
    let invalid = || invalid(text, type_name);
    let (fields, rest) = iso_date(text.trim().as_bytes()).ok_or_else(invalid)?;
    let day_micros = i64::from(days(civil(fields, text, type_name)?)) * DAY_MICROS;
    let rest = match rest {
        [] => return Ok((day_micros, IsoKind::Date)),
        [b'T' | b't' | b' ', rest @ ..] => rest,
        _ => return Err(invalid()),
    };
    let (time_micros, rest) = iso_time(rest).ok_or_else(invalid)?;
    let micros = day_micros + time_micros;
    match rest.trim_ascii_start() {
        [] => Ok((micros, IsoKind::Local)),
        [b'Z' | b'z'] | b"UTC" => Ok((micros, IsoKind::Zoned)),
        [sign @ (b'+' | b'-'), zone @ ..] => {
            let seconds = zone_seconds(zone).ok_or_else(invalid)?;
            let offset = if *sign == b'-' { -seconds } else { seconds };
            Ok((micros - offset * 1_000_000, IsoKind::Zoned))
        }
        _ => Err(invalid()),
    }
}

type YearMonthDay = (i32, u32, u32);

/// `YYYY-MM-DD` at the start of `bytes`.
fn iso_date(bytes: &[u8]) -> Option<(YearMonthDay, &[u8])> {
    let (year, rest) = digits(bytes, 4)?;
    let (month, rest) = digits(rest.strip_prefix(b"-")?, 2)?;
    let (day, rest) = digits(rest.strip_prefix(b"-")?, 2)?;
    Some(((year as i32, month, day), rest))
}

fn iso_time(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let (hour, rest) = digits(bytes, 2)?;
    let (minute, mut rest) = digits(rest.strip_prefix(b":")?, 2)?;
    let mut second = 0;
    let mut micros = 0i64;
    if let Some(after) = rest.strip_prefix(b":") {
        (second, rest) = digits(after, 2)?;
        if let [b'.' | b',', after @ ..] = rest {
            let count = after.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if count == 0 {
                return None;
            }
            // Beyond microseconds the value is rounded, as PostgreSQL does.
            for index in 0..6 {
                micros = micros * 10 + after[..count].get(index).map_or(0, |byte| i64::from(byte - b'0'));
            }
            if after[..count].get(6).is_some_and(|byte| *byte >= b'5') {
                micros += 1;
            }
            rest = &after[count..];
        }
    }
    // 24:00:00 is the end of a day, 60 a leap second: both roll over.
    if minute > 59 || second > 60 || hour > 24 || (hour == 24 && (minute > 0 || second > 0 || micros > 0)) {
        return None;
    }
    let seconds = i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second);
    Some((seconds * 1_000_000 + micros, rest))
}

/// `HH`, `HHMM` or `HH:MM`.
fn zone_seconds(bytes: &[u8]) -> Option<i64> {
    let (hours, rest) = digits(bytes, 2)?;
    let rest = rest.strip_prefix(b":").unwrap_or(rest);
    let (minutes, rest) = if rest.is_empty() { (0, rest) } else { digits(rest, 2)? };
    (rest.is_empty() && hours <= 15 && minutes < 60).then(|| i64::from(hours) * 3600 + i64::from(minutes) * 60)
}

fn digits(bytes: &[u8], count: usize) -> Option<(u32, &[u8])> {
    let head = bytes.get(..count)?;
    let mut value = 0;
    for byte in head {
        if !byte.is_ascii_digit() {
            return None;
        }
        value = value * 10 + u32::from(byte - b'0');
    }
    Some((value, &bytes[count..]))
}

fn civil((year, month, day): (i32, u32, u32), text: &str, type_name: &str) -> Result<NaiveDate> {
    NaiveDate::from_ymd_opt(year, month, day).ok_or_else(|| {
        Error::new(
            ErrorCode::DatetimeFieldOverflow,
            format!("date/time field value out of range: \"{}\" for type {type_name}", shorten(text)),
        )
    })
}

fn days(date: NaiveDate) -> i32 {
    date.num_days_from_ce() - EPOCH_DAYS_FROM_CE
}

fn micros(local: NaiveDateTime) -> i64 {
    local.and_utc().timestamp_micros()
}

fn invalid(text: &str, type_name: &str) -> Error {
    Error::new(
        ErrorCode::InvalidDatetimeFormat,
        format!("invalid input syntax for type {type_name}: \"{}\"", shorten(text)),
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        DateTime::parse_from_rfc3339(text).unwrap().timestamp_micros()
    }

    #[test]
    fn iso_texts() {
        for (text, expected) in [
            ("2024-02-29", at("2024-02-29T00:00:00Z")),
            ("2024-02-29 23:59", at("2024-02-29T23:59:00Z")),
            ("1969-12-31T23:59:59.999999Z", -1),
            ("2024-02-29T10:00:00.1234567+02:00", at("2024-02-29T08:00:00.123457Z")),
            ("2024-02-29 10:00:00-0530", at("2024-02-29T15:30:00Z")),
            ("2024-02-29 24:00:00", at("2024-03-01T00:00:00Z")),
            ("0001-01-01", at("0001-01-01T00:00:00Z")),
        ] {
            assert_eq!(instant(text).unwrap(), expected, "{text}");
        }
        for (text, code) in [
            ("2023-02-29", "22008"),
            ("2024-13-01", "22008"),
            ("2024-1-1", "22007"),
            ("2024-01-01x", "22007"),
            ("2024-01-01 25:00", "22007"),
            ("", "22007"),
        ] {
            assert_eq!(timestamp(text).unwrap_err().code.sqlstate(), code, "{text}");
        }
        assert!(date("2024-01-01 10:00").is_err());
    }

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("%Y/%m/%d %H:%M", "2001/01/01 00:47", at("2001-01-01T00:47:00Z")),
            ("%B %d %Y", "Aug 07 1998", at("1998-08-07T00:00:00Z")),
            ("%B %d %Y", "January 1 2000", at("2000-01-01T00:00:00Z")),
            ("%d/%B/%Y:%H:%M:%S %z", "10/Oct/2000:13:55:36 -0700", at("2000-10-10T20:55:36Z")),
            ("%m/%d/%Y %I:%M:%S %p", "12/31/1999 11:59:59 PM", at("1999-12-31T23:59:59Z")),
        ] {
            assert_eq!(DateTimeFormat::new(pattern).unwrap().instant(text).unwrap(), expected, "{text}");
        }
        assert_eq!(DateTimeFormat::serial().date("1").unwrap(), 1);
        assert_eq!(DateTimeFormat::serial().timestamp("1000").unwrap(), 1_000_000);
        assert!(DateTimeFormat::new("%Y-%Q").is_err());
        let error = DateTimeFormat::new("%d.%m.%Y").unwrap().date("2001-01-01").unwrap_err();
        assert_eq!(error.hint.as_deref(), Some("The column's format is \"%d.%m.%Y\"."));
    }
}
