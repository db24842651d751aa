//! `to_timestamp(text, pattern)` and `to_date(text, pattern)` in PostgreSQL's patterns
//! (<https://www.postgresql.org/docs/15/functions-formatting.html>), where DataFusion's take strftime patterns. BI tools write
//! the bounds of a time filter so.
//!
//! `YYYY`, `YY`, `MM`, `MON`, `MONTH`, `DD`, `DDD`, `HH`, `HH12`, `HH24`, `MI`, `SS`, `MS`, `US`, `FF1` to `FF6`, `AM`/`PM` and
//! `SSSS` are read; other letters of a pattern that PostgreSQL knows are refused. With one argument, `to_timestamp` takes seconds
//! since 1970.

use std::sync::Arc;

use arrow::array::timezone::Tz;
use arrow::array::{ArrayRef, AsArray, Date32Array, StringArray, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, TimeUnit};
use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeZone};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};

use super::row_function::failure;
use crate::{Error, ErrorCode};

pub(super) fn functions() -> Vec<ScalarUDF> {
    let timestamp = TypeSignature::OneOf(vec![TypeSignature::Any(1), TypeSignature::Any(2)]);
    vec![
        ScalarUDF::from(FromChar { is_date: false, signature: Signature::new(timestamp, Volatility::Stable) }),
        ScalarUDF::from(FromChar { is_date: true, signature: Signature::any(2, Volatility::Stable) }),
    ]
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct FromChar {
    is_date: bool,
    signature: Signature,
}

/// What a text holds, part by part.
#[derive(Debug, Default)]
struct Parts {
    year: Option<i32>,
    month: Option<u32>,
    day: Option<u32>,
    day_of_year: Option<u32>,
    hour: u32,
    twelve: bool,
    afternoon: Option<bool>,
    minute: u32,
    second: u32,
    second_of_day: Option<u32>,
    microsecond: u32,
}

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// The fields of patterns, the longer before their beginnings.
const FIELDS: [&str; 23] = [
    "YYYY", "SSSSS", "SSSS", "MONTH", "HH24", "HH12", "DDD", "MON", "FF1", "FF2", "FF3", "FF4", "FF5", "FF6", "YY",
    "MM", "DD", "HH", "MI", "SS", "MS", "US", "AM",
];

fn invalid(message: String) -> Error {
    Error::new(ErrorCode::InvalidDatetimeFormat, message)
}

/// Reads `text` as `pattern` says.
fn read(text: &str, pattern: &str) -> std::result::Result<Parts, Error> {
    let mut parts = Parts::default();
    let mut rest = text.trim_start();
    let upper = pattern.to_ascii_uppercase();
    let mut at = 0;
    while at < upper.len() {
        let here = &upper[at..];
        if here.starts_with("FM") || here.starts_with("TM") {
            at += 2;
            continue;
        }
        if let Some(quoted) = here.strip_prefix('"') {
            let length = quoted.find('"').unwrap_or(quoted.len());
            rest = rest.get(length..).unwrap_or_default();
            at += length + 2;
            continue;
        }
        let field = FIELDS.iter().find(|field| here.starts_with(**field)).copied();
        let field = field.or_else(|| ["PM", "A.M.", "P.M."].into_iter().find(|field| here.starts_with(field)));
        let Some(field) = field else {
            let c = here.chars().next().unwrap_or(' ');
            if c.is_ascii_alphabetic() && c != 'T' && c != 'Z' {
                return Err(Error::unsupported(format!("\"{c}\" in the pattern \"{pattern}\" is not supported"))
                    .with_hint("The fields YYYY, MM, MON, DD, HH24, HH12, MI, SS, MS, US and AM are read."));
            }
            // Separators stand for each other, and may be missing.
            if c.is_alphanumeric() {
                rest = rest.strip_prefix(|other: char| other.eq_ignore_ascii_case(&c)).unwrap_or(rest);
            } else if rest.starts_with(|other: char| !other.is_alphanumeric()) {
                let mut characters = rest.chars();
                characters.next();
                rest = characters.as_str();
            }
            at += c.len_utf8();
            continue;
        };
        at += field.len();
        // Digits that follow directly belong to the next field.
        let bounded = FIELDS.iter().any(|next| upper[at..].starts_with(next));
        rest = read_field(&mut parts, field, rest.trim_start(), bounded, text)?;
    }
    Ok(parts)
}

fn read_field<'a>(
    parts: &mut Parts,
    field: &str,
    rest: &'a str,
    bounded: bool,
    whole: &str,
) -> std::result::Result<&'a str, Error> {
    if rest.is_empty() {
        return Ok(rest);
    }
    let bad = || {
        invalid(format!("invalid value \"{}\" for \"{field}\"", rest.chars().take(field.len()).collect::<String>()))
            .with_detail("Value must be an integer.")
    };
    match field {
        "AM" | "PM" | "A.M." | "P.M." => {
            let word: String = rest.chars().take_while(|c| c.is_ascii_alphabetic() || *c == '.').collect();
            let afternoon = match word.replace('.', "").to_ascii_lowercase().as_str() {
                "am" => false,
                "pm" => true,
                _ => return Err(invalid(format!("invalid value \"{word}\" for \"{field}\""))),
            };
            parts.afternoon = Some(afternoon);
            return Ok(&rest[word.len()..]);
        }
        "MON" | "MONTH" => {
            let word: String =
                rest.chars().take_while(char::is_ascii_alphabetic).collect::<String>().to_ascii_lowercase();
            let found = MONTHS
                .iter()
                .position(|name| word.len() >= 3 && (name.starts_with(&word) || word.starts_with(&name[..3])));
            let month = found.ok_or_else(|| {
                invalid(format!("invalid value \"{word}\" for \"{field}\""))
                    .with_detail("The given value did not match any of the allowed values for this field.")
            })?;
            parts.month = u32::try_from(month + 1).ok();
            let taken = if field == "MON" { 3 } else { word.len() };
            return Ok(&rest[taken.min(word.len())..]);
        }
        _ => {}
    }
    let width = match field {
        "YYYY" => 4,
        "DDD" | "MS" => 3,
        "US" => 6,
        "SSSS" | "SSSSS" => 5,
        _ if field.starts_with("FF") => usize::from(field.as_bytes()[2] - b'0'),
        _ => 2,
    };
    // A year at the end of a run of digits may be longer.
    let limit = if field == "YYYY" && !bounded { 6 } else { width };
    let digits = rest.bytes().take(limit).take_while(u8::is_ascii_digit).count();
    if digits == 0 {
        return Err(bad());
    }
    let number: u32 = rest[..digits].parse().map_err(|_| bad())?;
    let within = |max: u32| {
        if number <= max {
            return Ok(number);
        }
        Err(Error::new(ErrorCode::DatetimeFieldOverflow, format!("date/time field value out of range: \"{whole}\"")))
    };
    let fraction = |places: u32| number * 10_u32.pow(places.saturating_sub(u32::try_from(digits).unwrap_or(places)));
    match field {
        "YYYY" => parts.year = i32::try_from(number).ok(),
        "YY" => parts.year = i32::try_from(if number < 70 { 2000 + number } else { 1900 + number }).ok(),
        "MM" => parts.month = Some(within(12)?),
        "DD" => parts.day = Some(within(31)?),
        "DDD" => parts.day_of_year = Some(within(366)?),
        "HH24" => parts.hour = within(23)?,
        "HH" | "HH12" => {
            parts.hour = within(12)?;
            parts.twelve = true;
        }
        "MI" => parts.minute = within(59)?,
        "SS" => parts.second = within(59)?,
        "SSSS" | "SSSSS" => parts.second_of_day = Some(within(86_399)?),
        "MS" => parts.microsecond = fraction(3) * 1000,
        // US and FFn: digits behind the point.
        _ => parts.microsecond = fraction(6),
    }
    Ok(&rest[digits..])
}

impl Parts {
    fn date(&self) -> Option<NaiveDate> {
        let year = self.year.unwrap_or(1);
        match self.day_of_year {
            Some(day) => NaiveDate::from_yo_opt(year, day),
            None => NaiveDate::from_ymd_opt(year, self.month.unwrap_or(1), self.day.unwrap_or(1)),
        }
    }

    fn moment(&self) -> Option<NaiveDateTime> {
        let seconds = self.second_of_day.unwrap_or_else(|| {
            let hour = match (self.twelve, self.afternoon) {
                (true, Some(true)) => self.hour % 12 + 12,
                (true, _) => self.hour % 12,
                (false, Some(true)) if self.hour < 12 => self.hour + 12,
                (false, _) => self.hour,
            };
            hour * 3600 + self.minute * 60 + self.second
        });
        let time = NaiveTime::from_num_seconds_from_midnight_opt(seconds, self.microsecond * 1000)?;
        Some(self.date()?.and_time(time))
    }
}

impl ScalarUDFImpl for FromChar {
    fn name(&self) -> &str {
        if self.is_date { "to_date" } else { "to_timestamp" }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(if self.is_date { DataType::Date32 } else { DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())) })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let count = if constant { 1 } else { args.number_rows };
        let first = args.args[0].to_array(count)?;
        let array: ArrayRef = match args.args.get(1) {
            None => since_epoch(&first)?,
            Some(pattern) => {
                let texts = cast(&first, &DataType::Utf8)?;
                let patterns = cast(&pattern.to_array(count)?, &DataType::Utf8)?;
                let zone = args.config_options.execution.time_zone.as_deref().unwrap_or("UTC");
                self.read_all(texts.as_string::<i32>(), patterns.as_string::<i32>(), zone)?
            }
        };
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?));
        }
        Ok(ColumnarValue::Array(array))
    }
}

/// `to_timestamp(double precision)`.
fn since_epoch(seconds: &ArrayRef) -> Result<ArrayRef> {
    if !seconds.data_type().is_numeric() && !seconds.data_type().is_null() {
        return exec_err!("function to_timestamp takes seconds, or a text and a pattern");
    }
    let seconds = cast(seconds, &DataType::Float64)?;
    let moment = |seconds: Option<f64>| {
        seconds
            .map(|seconds| {
                let micros = (seconds * 1e6).round();
                if micros.is_finite() && micros.abs() < 9.0e18 {
                    return Ok(micros as i64);
                }
                let message = format!("timestamp out of range: \"{seconds}\"");
                Err(failure(Error::new(ErrorCode::DatetimeFieldOverflow, message)))
            })
            .transpose()
    };
    let micros = seconds.as_primitive::<Float64Type>().iter().map(moment).collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(TimestampMicrosecondArray::from(micros).with_timezone("UTC")))
}

impl FromChar {
    fn read_all(&self, texts: &StringArray, patterns: &StringArray, zone: &str) -> Result<ArrayRef> {
        let zone: Tz = zone.parse()?;
        let out_of_range = |text: &str| {
            let message = format!("date/time field value out of range: \"{text}\"");
            failure(Error::new(ErrorCode::DatetimeFieldOverflow, message))
        };
        let each = |(text, pattern): (Option<&str>, Option<&str>)| -> Result<Option<(NaiveDate, i64)>> {
            let (Some(text), Some(pattern)) = (text, pattern) else { return Ok(None) };
            let parts = read(text, pattern).map_err(failure)?;
            let moment = parts.moment().ok_or_else(|| out_of_range(text))?;
            if self.is_date {
                return Ok(Some((moment.date(), 0)));
            }
            // A time that a clock skips is read by the offset from before.
            let instant: DateTime<Tz> = match zone.from_local_datetime(&moment).earliest() {
                Some(instant) => instant,
                None => zone.from_utc_datetime(&moment),
            };
            Ok(Some((moment.date(), instant.timestamp_micros())))
        };
        let read = texts.iter().zip(patterns.iter()).map(each).collect::<Result<Vec<_>>>()?;
        if self.is_date {
            let days = read.into_iter().map(|value| {
                value.map(|(date, _)| i32::try_from((date - NaiveDate::default()).num_days()).unwrap_or(i32::MAX))
            });
            return Ok(Arc::new(days.collect::<Date32Array>()));
        }
        let micros = read.into_iter().map(|value| value.map(|(_, micros)| micros));
        Ok(Arc::new(micros.collect::<TimestampMicrosecondArray>().with_timezone("UTC")))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_as_postgresql_reads_them() {
        for (text, pattern, expected) in [
            ("1995-05-15 00:00:00.000000", "YYYY-MM-DD HH24:MI:SS.US", "1995-05-15 00:00:00"),
            ("2024-02-29T23:59:58.123456", "YYYY-MM-DD\"T\"HH24:MI:SS.US", "2024-02-29 23:59:58.123456"),
            ("20240229", "YYYYMMDD", "2024-02-29 00:00:00"),
            ("05 Dec 2000", "DD Mon YYYY", "2000-12-05 00:00:00"),
            ("12:05 AM 1/2/24", "HH12:MI AM MM/DD/YY", "2024-01-02 00:05:00"),
            ("2024.060 12.5", "YYYY.DDD SS.MS", "2024-02-29 00:00:12.500"),
        ] {
            let moment = read(text, pattern).unwrap().moment().unwrap();
            assert_eq!(moment.format("%Y-%m-%d %H:%M:%S%.f").to_string(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_date_is_refused() {
        assert!(read("x", "YYYY").is_err());
        assert!(read("2024-13-01", "YYYY-MM-DD").is_err());
        assert!(read("2024-02-30", "YYYY-MM-DD").unwrap().moment().is_none());
        assert!(read("2024", "J").is_err());
    }
}
