//! Hive's `timestamp.formats`: patterns of Java's SimpleDateFormat, one after the other -> patterns of strftime.

use crate::{Error, ErrorCode, Result};

/// What reads a timestamp.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum TimestampPattern {
    /// A strftime pattern.
    Strftime(String),
    /// Milliseconds since 1970 (`millis`).
    Millis,
    /// ISO 8601 (`iso8601`), which is read anyway.
    Iso,
}

/// The patterns in `formats`, which commas outside quotes separate.
///
/// # Errors
/// [`ErrorCode::InvalidParameterValue`] for a letter that isn't known.
pub(super) fn patterns(formats: &str) -> Result<Vec<TimestampPattern>> {
    let mut quoted = false;
    let parts = formats.split(|character| {
        quoted ^= character == '\'';
        character == ',' && !quoted
    });
    parts
        .map(|format| match format.trim() {
            "millis" => Ok(TimestampPattern::Millis),
            "iso8601" | "ISO8601" => Ok(TimestampPattern::Iso),
            java => strftime(java).map(TimestampPattern::Strftime),
        })
        .collect()
}

fn strftime(java: &str) -> Result<String> {
    let unknown = |letter: char| {
        Error::new(
            ErrorCode::InvalidParameterValue,
            format!("invalid value for property \"timestamp.formats\": \"{java}\""),
        )
        .with_detail(format!("The letter \"{letter}\" is not supported."))
        .with_hint("Letters are y, M, d, E, H, h, a, m, s, S, Z and X; text between single quotes is itself.")
    };
    let mut pattern = String::new();
    let mut characters = java.chars().peekable();
    while let Some(character) = characters.next() {
        if character == '\'' {
            let mut text = String::new();
            while let Some(inner) = characters.next() {
                // Two quotes are one.
                if inner == '\'' && characters.next_if_eq(&'\'').is_none() {
                    break;
                }
                text.push(inner);
            }
            let text = if text.is_empty() { "'".to_owned() } else { text.replace('%', "%%") };
            pattern.push_str(&text);
            continue;
        }
        let mut count = 1;
        if character.is_ascii_alphabetic() {
            while characters.next_if_eq(&character).is_some() {
                count += 1;
            }
        }
        let piece = match (character, count) {
            ('y' | 'u', 2) => "%y",
            ('y' | 'u', _) => "%Y",
            ('M', 1 | 2) => "%m",
            ('M', 3) => "%b",
            ('M', _) => "%B",
            ('d', _) => "%d",
            ('E', 1..=3) => "%a",
            ('E', _) => "%A",
            ('H', _) => "%H",
            ('h', _) => "%I",
            ('a', _) => "%p",
            ('m', _) => "%M",
            ('s', _) => "%S",
            // With the point before it a fraction has as many digits as it has.
            ('S', _) if pattern.ends_with('.') => {
                pattern.pop();
                "%.f"
            }
            ('S', 1..=3) => "%3f",
            ('S', 4..=6) => "%6f",
            ('S', _) => "%9f",
            ('Z', _) => "%z",
            ('X', _) => "%#z",
            ('%', _) => "%%",
            (letter, _) if letter.is_ascii_alphabetic() => return Err(unknown(letter)),
            (other, _) => {
                pattern.push(other);
                ""
            }
        };
        pattern.push_str(piece);
    }
    Ok(pattern)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::scan::format::datetime::{DateTimeFormat, timestamp};

    #[test]
    fn javas_patterns_read_what_they_are_written_for() {
        let formats =
            "yyyy-MM-dd'T'HH:mm:ss.SSSSSS'Z',dd/MMM/yyyy:HH:mm:ss Z,M/d/yyyy h:mm a,yyyyMMddHHmmssSSS,'at' yyyy,millis";
        let format = DateTimeFormat::of_java(formats).unwrap();
        for (text, expected) in [
            ("2024-03-05T10:00:01.123456Z", "2024-03-05 10:00:01.123456"),
            ("2024-03-05T10:00:01.5Z", "2024-03-05 10:00:01.5"),
            ("05/Mar/2024:10:00:01 +0200", "2024-03-05 08:00:01"),
            ("3/5/2024 2:30 PM", "2024-03-05 14:30:00"),
            ("20240305100001123", "2024-03-05 10:00:01.123"),
            ("1709632801123", "2024-03-05 10:00:01.123"),
            ("2024-03-05 10:00:01", "2024-03-05 10:00:01"),
        ] {
            assert_eq!(format.timestamp(text).unwrap(), timestamp(expected).unwrap(), "{text}");
        }
        let error = format.timestamp("soon").unwrap_err();
        assert_eq!(error.message, "invalid input syntax for type timestamp: \"soon\"");
        assert_eq!(
            patterns("hh 'o''clock' 100%").unwrap(),
            [TimestampPattern::Strftime("%I o'clock 100%%".to_owned())]
        );
        assert!(patterns("yyyy-MM-dd n").is_err());
    }
}
