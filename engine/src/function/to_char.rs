//! `to_char(value, pattern)` in PostgreSQL's patterns, for timestamps, dates and numbers
//! (<https://www.postgresql.org/docs/15/functions-formatting.html>). DataFusion's takes strftime patterns.

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, TimeUnit, TimestampMicrosecondType};
use chrono::{DateTime, Datelike, NaiveDateTime, Offset, Timelike};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

use super::row_function::failure;
use crate::{Error, ErrorCode};

pub(super) fn function() -> ScalarUDF {
    ScalarUDF::from(ToChar { signature: Signature::any(2, Volatility::Stable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ToChar {
    signature: Signature,
}

impl ScalarUDFImpl for ToChar {
    fn name(&self) -> &str {
        "to_char"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let count = if constant { 1 } else { args.number_rows };
        let values = args.args[0].to_array(count)?;
        let patterns = cast(&args.args[1].to_array(count)?, &DataType::Utf8)?;
        let array = to_char(&values, patterns.as_string::<i32>())?;
        Ok(if constant {
            ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?)
        } else {
            ColumnarValue::Array(array)
        })
    }
}

fn to_char(values: &ArrayRef, patterns: &StringArray) -> Result<ArrayRef> {
    let each = |show: &dyn Fn(usize, &str) -> Option<String>| -> ArrayRef {
        let shown = (0..values.len())
            .map(|i| (values.is_valid(i) && patterns.is_valid(i)).then(|| show(i, patterns.value(i))).flatten());
        std::sync::Arc::new(shown.collect::<StringArray>())
    };
    match values.data_type() {
        DataType::Null => Ok(each(&|_, _| None)),
        DataType::Timestamp(_, zone) => {
            let zone_name = zone.clone();
            let micros = cast(values, &DataType::Timestamp(TimeUnit::Microsecond, zone.clone()))?;
            let micros = micros.as_primitive::<TimestampMicrosecondType>();
            let zone: Option<arrow::array::timezone::Tz> = match &zone_name {
                Some(zone) => Some(zone.parse()?),
                None => None,
            };
            Ok(each(&|i, pattern| {
                let utc = DateTime::from_timestamp_micros(micros.value(i))?;
                Some(match &zone {
                    Some(zone) => {
                        let local = utc.with_timezone(zone);
                        let offset = local.offset().fix().local_minus_utc();
                        let name = if offset == 0 { "UTC".to_owned() } else { local.offset().to_string() };
                        show_timestamp(local.naive_local(), offset, &name, pattern)
                    }
                    None => show_timestamp(utc.naive_utc(), 0, "", pattern),
                })
            }))
        }
        DataType::Date32 | DataType::Date64 | DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => {
            to_char(&cast(values, &DataType::Timestamp(TimeUnit::Microsecond, None))?, patterns)
        }
        DataType::Float16 | DataType::Float32 | DataType::Float64 => {
            let floats = cast(values, &DataType::Float64)?;
            let floats = floats.as_primitive::<Float64Type>();
            Ok(each(&|i, pattern| Some(show_number(&plain(floats.value(i)), pattern))))
        }
        data_type if data_type.is_numeric() => {
            // Decimals and integers as exact text.
            let texts = cast(values, &DataType::Utf8)?;
            let texts = texts.as_string::<i32>();
            Ok(each(&|i, pattern| Some(show_number(texts.value(i), pattern))))
        }
        other => Err(failure(Error::new(
            ErrorCode::UndefinedFunction,
            format!("function to_char({other}, text) does not exist"),
        ))),
    }
}

/// A float in digits, without an exponent.
fn plain(value: f64) -> String {
    format!("{value}")
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const ROMAN: [&str; 12] = ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII"];

/// Longest first, so that the first that fits is the one meant.
const TIMESTAMP_KEYS: [&str; 66] = [
    "Y,YYY", "SSSSS", "HH24", "HH12", "SSSS", "YYYY", "IYYY", "IDDD", "MONTH", "Month", "month", "A.M.", "a.m.",
    "P.M.", "p.m.", "B.C.", "A.D.", "FF1", "FF2", "FF3", "FF4", "FF5", "FF6", "MON", "Mon", "mon", "DAY", "Day", "day",
    "DDD", "YYY", "IYY", "TZH", "TZM", "HH", "MI", "SS", "MS", "US", "AM", "am", "PM", "pm", "YY", "IY", "BC", "AD",
    "MM", "RM", "rm", "DY", "Dy", "dy", "DD", "ID", "WW", "IW", "CC", "TZ", "tz", "OF", "TH", "Y", "I", "D", "Q",
];

fn show_timestamp(time: NaiveDateTime, offset: i32, zone: &str, pattern: &str) -> String {
    let mut result = String::with_capacity(pattern.len() + 8);
    let mut rest = pattern;
    let mut fill = true;
    while !rest.is_empty() {
        if let Some(quoted) = rest.strip_prefix('"') {
            let end = quoted.find('"').unwrap_or(quoted.len());
            result.push_str(&quoted[..end]);
            rest = quoted.get(end + 1..).unwrap_or("");
            continue;
        }
        if let Some(after) = rest.strip_prefix("FM").or_else(|| rest.strip_prefix("fm")) {
            fill = false;
            rest = after;
            continue;
        }
        // Keys that stand for numbers may be written in lower case, too.
        let key = TIMESTAMP_KEYS.iter().find(|key| rest.starts_with(**key)).or_else(|| {
            TIMESTAMP_KEYS.iter().find(|key| {
                key.len() <= rest.len()
                    && rest.is_char_boundary(key.len())
                    && rest[..key.len()].eq_ignore_ascii_case(key)
            })
        });
        let Some(key) = key.filter(|key| **key != "TH") else {
            let c = rest.chars().next().unwrap_or(' ');
            result.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        };
        let piece = timestamp_piece(time, offset, zone, key, fill);
        result.push_str(&piece);
        rest = &rest[key.len()..];
        if let Some(after) = rest.strip_prefix("TH").or_else(|| rest.strip_prefix("th")) {
            let suffix = ordinal_suffix(&piece);
            result.push_str(&if rest.starts_with("TH") { suffix.to_uppercase() } else { suffix.to_owned() });
            rest = after;
        }
        fill = true;
    }
    result
}

fn timestamp_piece(time: NaiveDateTime, offset: i32, zone: &str, key: &str, fill: bool) -> String {
    let number = |value: i64, width: usize| if fill { format!("{value:0width$}") } else { value.to_string() };
    let name = |name: &str| if fill { format!("{name:<9}") } else { name.to_owned() };
    let month = MONTHS[time.month0() as usize];
    let day = DAYS[time.weekday().num_days_from_sunday() as usize];
    let year = i64::from(time.year());
    let iso_year = i64::from(time.iso_week().year());
    let micros = i64::from(time.nanosecond() / 1000 % 1_000_000);
    let hour12 = i64::from(if time.hour().is_multiple_of(12) { 12 } else { time.hour() % 12 });
    let noon = time.hour() >= 12;
    match key {
        "YYYY" => number(year, 4),
        "YYY" => number(year % 1000, 3),
        "YY" => number(year % 100, 2),
        "Y" => number(year % 10, 1),
        "Y,YYY" => format!("{},{:03}", year / 1000, year % 1000),
        "IYYY" => number(iso_year, 4),
        "IYY" => number(iso_year % 1000, 3),
        "IY" => number(iso_year % 100, 2),
        "I" => number(iso_year % 10, 1),
        "MM" => number(i64::from(time.month()), 2),
        "MONTH" => name(&month.to_uppercase()),
        "Month" => name(month),
        "month" => name(&month.to_lowercase()),
        "MON" => month[..3].to_uppercase(),
        "Mon" => month[..3].to_owned(),
        "mon" => month[..3].to_lowercase(),
        "DAY" => name(&day.to_uppercase()),
        "Day" => name(day),
        "day" => name(&day.to_lowercase()),
        "DY" => day[..3].to_uppercase(),
        "Dy" => day[..3].to_owned(),
        "dy" => day[..3].to_lowercase(),
        "DDD" => number(i64::from(time.ordinal()), 3),
        "DD" => number(i64::from(time.day()), 2),
        "D" => (time.weekday().num_days_from_sunday() + 1).to_string(),
        "ID" => time.weekday().number_from_monday().to_string(),
        "IDDD" => number(i64::from((time.iso_week().week() - 1) * 7 + time.weekday().number_from_monday()), 3),
        "WW" => number(i64::from(time.ordinal0() / 7 + 1), 2),
        "IW" => number(i64::from(time.iso_week().week()), 2),
        "Q" => (time.month0() / 3 + 1).to_string(),
        "CC" => number((year - 1).div_euclid(100) + 1, 2),
        "HH24" => number(i64::from(time.hour()), 2),
        "HH12" | "HH" => number(hour12, 2),
        "MI" => number(i64::from(time.minute()), 2),
        "SS" => number(i64::from(time.second()), 2),
        "SSSSS" | "SSSS" => number(i64::from(time.num_seconds_from_midnight()), 0),
        "MS" | "FF3" => format!("{:03}", micros / 1000),
        "US" | "FF6" => format!("{micros:06}"),
        "FF1" => (micros / 100_000).to_string(),
        "FF2" => format!("{:02}", micros / 10_000),
        "FF4" => format!("{:04}", micros / 100),
        "FF5" => format!("{:05}", micros / 10),
        "AM" | "PM" => if noon { "PM" } else { "AM" }.to_owned(),
        "am" | "pm" => if noon { "pm" } else { "am" }.to_owned(),
        "A.M." | "P.M." => if noon { "P.M." } else { "A.M." }.to_owned(),
        "a.m." | "p.m." => if noon { "p.m." } else { "a.m." }.to_owned(),
        "BC" | "AD" => if year > 0 { "AD" } else { "BC" }.to_owned(),
        "B.C." | "A.D." => if year > 0 { "A.D." } else { "B.C." }.to_owned(),
        "RM" => {
            if fill {
                format!("{:<4}", ROMAN[time.month0() as usize])
            } else {
                ROMAN[time.month0() as usize].to_owned()
            }
        }
        "rm" => ROMAN[time.month0() as usize].to_lowercase(),
        "TZ" => zone.to_uppercase(),
        "tz" => zone.to_lowercase(),
        "TZH" => format!("{}{:02}", if offset < 0 { '-' } else { '+' }, offset.abs() / 3600),
        "TZM" => format!("{:02}", offset.abs() / 60 % 60),
        "OF" => {
            let minutes = offset.abs() / 60 % 60;
            let minutes = if minutes == 0 { String::new() } else { format!(":{minutes:02}") };
            format!("{}{:02}{minutes}", if offset < 0 { '-' } else { '+' }, offset.abs() / 3600)
        }
        other => other.to_owned(),
    }
}

fn ordinal_suffix(number: &str) -> &'static str {
    let number = number.trim();
    match (number.ends_with("11") || number.ends_with("12") || number.ends_with("13"), number.chars().last()) {
        (false, Some('1')) => "st",
        (false, Some('2')) => "nd",
        (false, Some('3')) => "rd",
        _ => "th",
    }
}

/// Shows the number written as `digits` (`-12.50`) by a pattern of `9`, `0`, `.`, `D`, `,`, `G`, `S`, `MI`, `PL`, `SG`, `PR`, `FM`,
/// `L`, `TH` and quoted text.
fn show_number(digits: &str, pattern: &str) -> String {
    let upper = pattern.to_uppercase();
    let fill = !upper.contains("FM");
    let shape = upper.replace("FM", "");
    // A sign in front stands next to the number, wherever that begins.
    if let Some(rest) = shape.strip_prefix('S').filter(|rest| !rest.starts_with('G')) {
        let unsigned = digits.trim_start_matches('-');
        let body = show_number(unsigned, &format!("{}{rest}", if fill { "" } else { "FM" }));
        let body = if fill { &body[1..] } else { &body };
        let spaces = body.len() - body.trim_start_matches(' ').len();
        let sign = if digits.starts_with('-') { '-' } else { '+' };
        return format!("{}{sign}{}", &body[..spaces], &body[spaces..]);
    }
    let (negative, unsigned) = match digits.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, digits),
    };
    if unsigned.starts_with(|c: char| !c.is_ascii_digit()) {
        return digits.to_owned();
    }
    let point = shape.find(['.', 'D']);
    let digit_places = |part: &str| part.chars().filter(|c| matches!(c, '9' | '0')).count();
    let (whole_shape, fraction_shape) = match point {
        Some(at) => (&shape[..at], &shape[at + 1..]),
        None => (shape.as_str(), ""),
    };
    let (whole_places, fraction_places) = (digit_places(whole_shape), digit_places(fraction_shape));
    let (whole, fraction) = rounded(unsigned, fraction_places);
    let whole = whole.trim_start_matches('0');
    let overflow = whole.len() > whole_places;
    let zero_from = whole_shape.chars().filter(|c| matches!(c, '9' | '0')).position(|c| c == '0');
    let negative = negative && !(whole.is_empty() && fraction.bytes().all(|b| b == b'0'));

    let explicit_sign = ["S", "MI", "PL", "SG", "PR"].iter().any(|sign| shape.contains(sign));
    let mut body = String::new();
    let mut place = 0;
    let mut fraction_place = 0;
    let mut started = false;
    let mut in_fraction = false;
    // FM drops zeros at the end of the fraction that a 9 stands for.
    let kept = if fill {
        fraction_places
    } else {
        let significant = fraction.trim_end_matches('0').len();
        let forced = fraction_shape.chars().filter(|c| matches!(c, '9' | '0')).collect::<String>();
        forced.rfind('0').map_or(significant, |at| significant.max(at + 1))
    };
    let mut chars = shape.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '9' | '0' if !in_fraction => {
                let from_right = whole_places - place;
                let digit =
                    (from_right <= whole.len()).then(|| &whole[whole.len() - from_right..=whole.len() - from_right]);
                let zero = zero_from.is_some_and(|from| place >= from);
                match digit {
                    _ if overflow => body.push('#'),
                    Some(digit) => {
                        body.push_str(digit);
                        started = true;
                    }
                    None if zero => {
                        body.push('0');
                        started = true;
                    }
                    // A lone zero shows where there is no fraction to carry the number.
                    None if from_right == 1 && fraction_places == 0 => {
                        body.push('0');
                        started = true;
                    }
                    None if fill => body.push(' '),
                    None => {}
                }
                place += 1;
            }
            '9' | '0' => {
                if overflow {
                    body.push('#');
                } else if fraction_place < kept {
                    body.push_str(fraction.get(fraction_place..=fraction_place).unwrap_or("0"));
                }
                fraction_place += 1;
            }
            '.' | 'D' => {
                body.push('.');
                in_fraction = true;
            }
            ',' | 'G' => {
                if started || overflow {
                    body.push(',');
                } else if fill {
                    body.push(' ');
                }
            }
            'S' if chars.next_if_eq(&'G').is_some() => body.push(if negative { '-' } else { '+' }),
            'S' => body.push(if negative { '-' } else { '+' }),
            'M' if chars.next_if_eq(&'I').is_some() => {
                if negative {
                    body.push('-');
                } else if fill {
                    body.push(' ');
                }
            }
            'P' if chars.next_if_eq(&'L').is_some() => {
                if !negative {
                    body.push('+');
                } else if fill {
                    body.push(' ');
                }
            }
            'P' if chars.next_if_eq(&'R').is_some() => {}
            'T' if chars.next_if_eq(&'H').is_some() => body.push_str(if negative { "" } else { ordinal_suffix(whole) }),
            'L' => body.push(' '),
            '"' => {
                for c in chars.by_ref().take_while(|c| *c != '"') {
                    body.push(c);
                }
            }
            other => body.push(other),
        }
    }
    anchored_sign(body, &shape, negative, fill, explicit_sign)
}

/// Puts the sign next to the number, as PostgreSQL does.
fn anchored_sign(body: String, shape: &str, negative: bool, fill: bool, explicit: bool) -> String {
    if shape.contains("PR") {
        let spaces = body.len() - body.trim_start().len();
        let (padding, number) = body.split_at(spaces);
        return match (negative, fill) {
            (true, _) => format!("{padding}<{number}>"),
            (false, true) => format!(" {padding}{number} "),
            (false, false) => number.to_owned(),
        };
    }
    if explicit {
        return body;
    }
    let spaces = body.len() - body.trim_start_matches(' ').len();
    let (padding, number) = body.split_at(spaces);
    match (negative, fill) {
        (true, _) => format!("{padding}-{number}"),
        (false, true) => format!(" {body}"),
        (false, false) => body,
    }
}

/// The digits before and after the point, rounded half away from zero to `places` after it.
fn rounded(unsigned: &str, places: usize) -> (String, String) {
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let mut all: Vec<u8> = whole.bytes().chain(fraction.bytes().chain(std::iter::repeat(b'0')).take(places)).collect();
    let round_up = fraction.as_bytes().get(places).is_some_and(|digit| *digit >= b'5');
    if round_up {
        let mut carry = true;
        for digit in all.iter_mut().rev() {
            if !carry {
                break;
            }
            carry = *digit == b'9';
            *digit = if carry { b'0' } else { *digit + 1 };
        }
        if carry {
            all.insert(0, b'1');
        }
    }
    let text: String = all.into_iter().map(char::from).collect();
    let split = text.len() - places;
    (text[..split].to_owned(), text[split..].to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    /// The right column is what PostgreSQL 15 answers.
    #[test]
    fn timestamps_follow_postgresql() {
        let time = NaiveDateTime::parse_from_str("2024-03-05 15:04:09.123456", "%Y-%m-%d %H:%M:%S%.f").unwrap();
        for (pattern, shown) in [
            ("YYYY-MM-DD HH24:MI:SS", "2024-03-05 15:04:09"),
            ("yyyy-mm-dd hh24:mi:ss.us", "2024-03-05 15:04:09.123456"),
            ("Mon DD, YYYY", "Mar 05, 2024"),
            ("FMMonth FMDDth", "March 5th"),
            ("Month|DAY|", "March    |TUESDAY  |"),
            ("HH12:MI AM", "03:04 PM"),
            ("IYYY-IW-ID", "2024-10-2"),
            ("\"Q\"Q YY", "Q1 24"),
            ("DDD WW CC", "065 10 21"),
            ("MS", "123"),
        ] {
            assert_eq!(show_timestamp(time, 0, "", pattern), shown, "{pattern}");
        }
    }

    #[test]
    fn numbers_follow_postgresql() {
        for (number, pattern, shown) in [
            ("1234567.891", "FM999,999,999.00", "1,234,567.89"),
            ("1234.5", "9,999.99", " 1,234.50"),
            ("-1234.5", "9,999.99", "-1,234.50"),
            ("12", "999", "  12"),
            ("-12", "999", " -12"),
            ("12", "000", " 012"),
            ("0.5", "FM0.00", "0.50"),
            ("0.5", "FM990.99", "0.5"),
            ("0", "999", "   0"),
            ("12345", "999", " ###"),
            ("-5", "S999", "  -5"),
            ("5", "9S", "5+"),
            ("0.999", "9.99", " 1.00"),
            ("148", "FM999th", "148th"),
        ] {
            assert_eq!(show_number(number, pattern), shown, "{number} {pattern}");
        }
    }
}
