//! Checks the values of settings and brings them into the one spelling that SHOW gives.

use super::{Definition, Kind};
use crate::session::zone::{Zone, ZoneError};
use crate::{Error, ErrorCode, Result};

/// The canonical text of `values` for a setting that is `current` now.
pub(super) fn check(definition: &Definition, values: &[String], current: &str) -> Result<String> {
    let name = definition.name;
    if definition.kind == Kind::NameList {
        return names(values).ok_or_else(|| invalid(name, &values.join(", ")));
    }
    if definition.kind == Kind::DateStyle {
        return date_style(name, values, current);
    }
    let [text] = values else {
        return Err(Error::new(ErrorCode::InvalidParameterValue, format!("SET {name} takes only one argument")));
    };
    let text = text.as_str();
    match definition.kind {
        Kind::Boolean => match boolean(text) {
            Some(true) => Ok("on".to_owned()),
            Some(false) => Ok("off".to_owned()),
            None => {
                let message = format!("parameter \"{name}\" requires a Boolean value");
                Err(Error::new(ErrorCode::InvalidParameterValue, message))
            }
        },
        Kind::OnlyOn => match boolean(text) {
            Some(true) => Ok("on".to_owned()),
            Some(false) => {
                let error = Error::unsupported(format!("{name} = off is not supported"));
                Err(match name {
                    "standard_conforming_strings" => error.with_hint("Use E'...' for strings with backslash escapes."),
                    _ => error,
                })
            }
            None => Err(invalid(name, text)),
        },
        Kind::Integer { min, max } => {
            let number: i64 = text.trim().parse().map_err(|_| invalid(name, text))?;
            if (min..=max).contains(&number) {
                return Ok(number.to_string());
            }
            let message = format!("{number} is outside the valid range for parameter \"{name}\" ({min} .. {max})");
            Err(Error::new(ErrorCode::InvalidParameterValue, message))
        }
        Kind::Milliseconds => timeout(name, text),
        Kind::Choice(choices) => match choices.iter().find(|choice| choice.eq_ignore_ascii_case(text.trim())) {
            Some(choice) => Ok((*choice).to_owned()),
            None => Err(invalid(name, text).with_hint(format!("Available values: {}.", choices.join(", ")))),
        },
        Kind::TimeZone => time_zone(name, text),
        Kind::Encoding => encoding(name, text),
        Kind::Bytes => bytes(text).map(shown_bytes).ok_or_else(|| {
            invalid(name, text)
                .with_hint("Write a size such as 512MB or 10GB; KiB, MiB, GiB and TiB are powers of 1024.")
        }),
        Kind::Memory => memory(name, text),
        Kind::Real { min, max } => {
            let number: f64 = text.trim().parse().map_err(|_| invalid(name, text))?;
            if (min..=max).contains(&number) {
                return Ok(number.to_string());
            }
            let message = format!("{number} is outside the valid range for parameter \"{name}\" ({min} .. {max})");
            Err(Error::new(ErrorCode::InvalidParameterValue, message))
        }
        Kind::Text => Ok(text.to_owned()),
        Kind::NameList | Kind::DateStyle => unreachable!("lists are done above"),
    }
}

fn invalid(name: &str, value: &str) -> Error {
    Error::new(ErrorCode::InvalidParameterValue, format!("invalid value for parameter \"{name}\": \"{value}\""))
}

/// PostgreSQL's `parse_bool`: unique prefixes of the words.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    let text = text.trim().to_lowercase();
    let is = |word: &str, least: usize| text.len() >= least && word.starts_with(&text);
    if is("true", 1) || is("yes", 1) || is("on", 2) || text == "1" {
        Some(true)
    } else if is("false", 1) || is("no", 1) || is("off", 2) || text == "0" {
        Some(false)
    } else {
        None
    }
}

/// Units of bytes, as the server's own settings have them. Where one number is whole in two of them, the first is shown.
const BYTE_UNITS: &[(u64, &str)] = &[
    (1 << 40, "TiB"),
    (1_000_000_000_000, "TB"),
    (1 << 30, "GiB"),
    (1_000_000_000, "GB"),
    (1 << 20, "MiB"),
    (1_000_000, "MB"),
    (1 << 10, "KiB"),
    (1_000, "kB"),
    (1, "B"),
];

/// The bytes of a text such as `10GB`, `1.5 GiB`, `4096`.
pub(crate) fn bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let unit_at = text.find(|character: char| character.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let (number, unit) = (number.trim(), unit.trim());
    let (unit, _) = match unit {
        "" => (1, ""),
        unit => *BYTE_UNITS.iter().find(|(_, word)| word.eq_ignore_ascii_case(unit))?,
    };
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(unit);
    }
    let number: f64 = number.parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0)?;
    let bytes = (number * unit as f64).round();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be in range")]
    (bytes < u64::MAX as f64).then_some(bytes as u64)
}

fn shown_bytes(bytes: u64) -> String {
    if bytes == 0 {
        return "0".to_owned();
    }
    let (unit, word) = BYTE_UNITS.iter().find(|(unit, _)| bytes.is_multiple_of(*unit)).expect("1 divides everything");
    format!("{}{word}", bytes / unit)
}

/// Units of memory in kB, the greatest first.
const MEMORY_UNITS: &[(f64, &str)] =
    &[(1_073_741_824.0, "TB"), (1_048_576.0, "GB"), (1_024.0, "MB"), (1.0, "kB"), (1.0 / 1024.0, "B")];

/// As PostgreSQL shows it: in the greatest unit that divides it.
fn memory(name: &str, text: &str) -> Result<String> {
    let wrong = || {
        invalid(name, text).with_hint("Valid units for this parameter are \"B\", \"kB\", \"MB\", \"GB\", and \"TB\".")
    };
    let trimmed = text.trim();
    let unit_at = trimmed.find(|character: char| character.is_ascii_alphabetic()).unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(unit_at);
    let number: f64 = number.trim().parse().ok().filter(|number: &f64| number.is_finite()).ok_or_else(wrong)?;
    let unit = match unit {
        "" => 1.0,
        unit => MEMORY_UNITS.iter().find(|(_, word)| *word == unit).ok_or_else(wrong)?.0,
    };
    let kilobytes = (number * unit).round();
    let max = f64::from(i32::MAX);
    if !(64.0..=max).contains(&kilobytes) {
        let message = format!("{kilobytes} kB is outside the valid range for parameter \"{name}\" (64 .. {max})");
        return Err(Error::new(ErrorCode::InvalidParameterValue, message));
    }
    let whole = |unit: f64| (kilobytes / unit).fract() == 0.0;
    let (unit, word) = MEMORY_UNITS.iter().find(|(unit, _)| whole(*unit)).expect("1 kB divides whole kilobytes");
    Ok(format!("{}{word}", kilobytes / unit))
}

/// The milliseconds of a text such as `1500`, `5s`, `1.5 h`.
pub(super) fn milliseconds(text: &str) -> Option<u64> {
    let value = signed_milliseconds(text)?;
    u64::try_from(value).ok()
}

fn signed_milliseconds(text: &str) -> Option<i64> {
    let text = text.trim();
    let unit_at = text.find(|character: char| character.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let number: f64 = number.trim().parse().ok().filter(|number: &f64| number.is_finite())?;
    let unit = match unit {
        "us" => 0.001,
        "" | "ms" => 1.0,
        "s" => 1_000.0,
        "min" => 60_000.0,
        "h" => 3_600_000.0,
        "d" => 86_400_000.0,
        _ => return None,
    };
    // Larger numbers than an i64 holds are out of range all the same.
    #[allow(clippy::cast_possible_truncation, reason = "saturating is what is wanted")]
    Some((number * unit).round() as i64)
}

/// As PostgreSQL shows them: in the greatest unit that divides them.
fn timeout(name: &str, text: &str) -> Result<String> {
    let value = signed_milliseconds(text).ok_or_else(|| {
        invalid(name, text)
            .with_hint("Valid units for this parameter are \"us\", \"ms\", \"s\", \"min\", \"h\", and \"d\".")
    })?;
    let max = i64::from(i32::MAX);
    if !(0..=max).contains(&value) {
        let message = format!("{value} ms is outside the valid range for parameter \"{name}\" (0 .. {max})");
        return Err(Error::new(ErrorCode::InvalidParameterValue, message));
    }
    if value == 0 {
        return Ok("0".to_owned());
    }
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s"), (1, "ms")];
    let (unit, word) = units.into_iter().find(|(unit, _)| value % unit == 0).expect("1 divides everything");
    Ok(format!("{}{word}", value / unit))
}

/// A value as `pg_settings` has it: a number of the kind's unit.
pub(crate) fn in_unit(kind: Kind, value: &str) -> String {
    match kind {
        Kind::Milliseconds => milliseconds(value).map_or_else(|| value.to_owned(), |number| number.to_string()),
        Kind::Memory => {
            let unit_at = value.find(|character: char| character.is_ascii_alphabetic()).unwrap_or(value.len());
            let (number, unit) = value.split_at(unit_at);
            let unit = MEMORY_UNITS.iter().find(|(_, word)| *word == unit).map_or(1.0, |(unit, _)| *unit);
            number.parse::<f64>().map_or_else(|_| value.to_owned(), |number| (number * unit).to_string())
        }
        _ => value.to_owned(),
    }
}

/// The names of a list that may hold quoted ones: `"$user", public`.
pub(super) fn split_names(text: &str) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (name, after) = if let Some(quoted) = rest.strip_prefix('"') {
            let mut name = String::new();
            let mut characters = quoted.char_indices().peekable();
            let end = loop {
                match characters.next()? {
                    (_, '"') if characters.peek().is_some_and(|(_, next)| *next == '"') => {
                        characters.next();
                        name.push('"');
                    }
                    (index, '"') => break index + 1,
                    (_, character) => name.push(character),
                }
            };
            (name, &quoted[end..])
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            (rest[..end].trim().to_lowercase(), &rest[end..])
        };
        names.push(name);
        rest = after.trim_start();
        if let Some(after) = rest.strip_prefix(',') {
            rest = after.trim_start();
            if rest.is_empty() {
                return None;
            }
        } else if !rest.is_empty() {
            return None;
        }
    }
    Some(names)
}

/// A list of names as SHOW gives it. One value may itself be a list, as in `options` of a connection.
fn names(values: &[String]) -> Option<String> {
    let names = match values {
        [one] if one.contains([',', '"']) => split_names(one)?,
        values => values.to_vec(),
    };
    let quoted = names.iter().map(|name| {
        let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if plain { name.clone() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
    });
    Some(quoted.collect::<Vec<_>>().join(", "))
}

/// `ISO, DMY`: `check_datestyle`. What is left out stays as it is in `current`.
fn date_style(name: &str, values: &[String], current: &str) -> Result<String> {
    let refused = |detail: String| Err(invalid(name, &values.join(", ")).with_detail(detail));
    let (mut style, mut order) = current.split_once(", ").unwrap_or(("ISO", "MDY"));
    let (mut has_style, mut has_order) = (false, false);
    for word in values.iter().flat_map(|value| value.split(',')).map(str::trim) {
        let lower = word.to_lowercase();
        let (new_style, new_order) = match lower.as_str() {
            "iso" => (Some("ISO"), None),
            "sql" => (Some("SQL"), None),
            _ if lower.starts_with("postgres") => (Some("Postgres"), None),
            _ if lower.starts_with("german") => {
                // German style implies its order, which another word may still change.
                if !has_order {
                    order = "DMY";
                }
                (Some("German"), None)
            }
            "ymd" => (None, Some("YMD")),
            "dmy" => (None, Some("DMY")),
            "mdy" | "us" => (None, Some("MDY")),
            _ if lower.starts_with("euro") => (None, Some("DMY")),
            _ if lower.starts_with("noneuro") => (None, Some("MDY")),
            "default" => {
                (style, order) = (if has_style { style } else { "ISO" }, if has_order { order } else { "MDY" });
                (None, None)
            }
            _ => return refused(format!("Unrecognized key word: \"{word}\".")),
        };
        let conflicts = new_style.is_some_and(|new| has_style && new != style)
            || new_order.is_some_and(|new| has_order && new != order);
        if conflicts {
            return refused("Conflicting \"datestyle\" specifications.".to_owned());
        }
        if let Some(new) = new_style {
            (style, has_style) = (new, true);
        }
        if let Some(new) = new_order {
            (order, has_order) = (new, true);
        }
    }
    Ok(format!("{style}, {order}"))
}

/// A zone in the spelling that SHOW gives. `INTERVAL '-08:00'` is what SET TIME ZONE INTERVAL passes on.
fn time_zone(name: &str, text: &str) -> Result<String> {
    let parsed = match text.get(..8).filter(|word| word.eq_ignore_ascii_case("interval")) {
        Some(_) => {
            let quoted = text[8..].trim();
            let inner = quoted.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')).unwrap_or(quoted);
            let interval = crate::input::interval(inner, super::IntervalStyle::Postgres)?;
            for (count, unit) in [(interval.months, "months"), (interval.days, "days")] {
                if count != 0 {
                    let detail = format!("Cannot specify {unit} in time zone interval.");
                    return Err(invalid(name, text).with_detail(detail));
                }
            }
            let seconds = i32::try_from(interval.microseconds / 1_000_000).unwrap_or(i32::MAX);
            Zone::fixed(seconds)
        }
        None => Zone::parse(text),
    };
    match parsed {
        Ok((_, shown)) => Ok(shown),
        Err(ZoneError::Unknown) => Err(invalid(name, text)),
        Err(ZoneError::OutOfRange) => Err(invalid(name, text).with_detail("UTC timezone offset is out of range.")),
        Err(ZoneError::Rules) => Err(Error::unsupported(format!("time zone \"{text}\" is not supported"))
            .with_detail("It has rules for daylight saving of its own.")
            .with_hint("Use a zone's name, such as 'America/New_York'.")),
    }
}

fn encoding(name: &str, text: &str) -> Result<String> {
    let plain: String = text.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase();
    match plain.as_str() {
        "utf8" | "unicode" | "default" => Ok("UTF8".to_owned()),
        known
            if known.starts_with("latin")
                || known.starts_with("iso8859")
                || known.starts_with("win")
                || known.starts_with("euc")
                || ["sqlascii", "koi8r", "koi8u", "sjis", "big5", "gbk", "gb18030", "uhc", "johab"]
                    .contains(&known) =>
        {
            Err(Error::unsupported(format!("client encoding \"{text}\" is not supported"))
                .with_hint("Set client_encoding to UTF8."))
        }
        _ => Err(invalid(name, text)),
    }
}

/// Levenshtein's distance, for hints.
pub(super) fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
