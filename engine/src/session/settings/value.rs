//! Checks the values of settings and brings them into the one spelling that SHOW gives.

use super::{Definition, Kind};
use crate::{Error, ErrorCode, Result};

/// The canonical text of `values` for a setting.
pub(super) fn check(definition: &Definition, values: &[String]) -> Result<String> {
    let name = definition.name;
    if definition.kind == Kind::NameList {
        return names(values).ok_or_else(|| invalid(name, &values.join(", ")));
    }
    if definition.kind == Kind::DateStyle {
        return date_style(&values.join(",")).ok_or_else(|| invalid(name, &values.join(", ")));
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
            Some(false) => Err(Error::unsupported(format!("{name} = off is not supported"))
                .with_hint("Use E'...' for strings with backslash escapes.")),
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
        Kind::TimeZone => time_zone(text).ok_or_else(|| {
            invalid(name, text).with_hint("Use a name such as 'Europe/Berlin', 'UTC', or an offset such as '+09:00'.")
        }),
        Kind::Encoding => encoding(name, text),
        Kind::Bytes => bytes(text).map(shown_bytes).ok_or_else(|| {
            invalid(name, text)
                .with_hint("Write a size such as 512MB or 10GB; KiB, MiB, GiB and TiB are powers of 1024.")
        }),
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
pub(super) fn bytes(text: &str) -> Option<u64> {
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
        let message = format!("{value} ms is outside the valid range for parameter \"{name}\" (0 ms .. {max} ms)");
        return Err(Error::new(ErrorCode::InvalidParameterValue, message));
    }
    if value == 0 {
        return Ok("0".to_owned());
    }
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s"), (1, "ms")];
    let (unit, word) = units.into_iter().find(|(unit, _)| value % unit == 0).expect("1 divides everything");
    Ok(format!("{}{word}", value / unit))
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

/// `ISO, DMY`. Only the ISO style is written; the order is what input follows.
fn date_style(text: &str) -> Option<String> {
    let mut order = "MDY";
    for word in text.split([',', ' ']).filter(|word| !word.is_empty()) {
        match word.to_lowercase().as_str() {
            "iso" | "default" => {}
            "mdy" | "us" | "noneuro" | "noneuropean" => order = "MDY",
            "dmy" | "euro" | "european" => order = "DMY",
            "ymd" => order = "YMD",
            _ => return None,
        }
    }
    Some(format!("ISO, {order}"))
}

/// An IANA name in its own spelling, or an offset as `+hh:mm`.
fn time_zone(text: &str) -> Option<String> {
    let text = text.trim();
    if ["utc", "default", "local", "zulu", "gmt", "z"].contains(&text.to_lowercase().as_str()) {
        return Some(if text.eq_ignore_ascii_case("gmt") { "GMT" } else { "UTC" }.to_owned());
    }
    if let Some(zone) = chrono_tz::TZ_VARIANTS.iter().find(|zone| zone.name().eq_ignore_ascii_case(text)) {
        return Some(zone.name().to_owned());
    }
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ('-', digits),
        None => ('+', text.strip_prefix('+').unwrap_or(text)),
    };
    let minutes = if let Some((hours, minutes)) = digits.split_once(':') {
        hours.parse::<u32>().ok()?.checked_mul(60)?.checked_add(minutes.parse::<u32>().ok().filter(|m| *m < 60)?)?
    } else if digits.len() == 4 && digits.bytes().all(|digit| digit.is_ascii_digit()) {
        digits[..2].parse::<u32>().ok()? * 60 + digits[2..].parse::<u32>().ok().filter(|m| *m < 60)?
    } else {
        let hours = digits.parse::<f64>().ok().filter(|hours| (0.0..=24.0).contains(hours))?;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 1,440")]
        let minutes = (hours * 60.0).round() as u32;
        minutes
    };
    // PostgreSQL allows up to 15:59:59, and no zone has ever been further out.
    (minutes < 16 * 60).then(|| format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60))
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
