//! [`ByteSize`] and [`Span`]: sizes and durations as people write them (`4GiB`, `30s`).

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A count of bytes. `KB`, `MB`, ... are powers of 1000, `KiB`, `MiB`, ... and the bare letters `K`, `M`, ... of 1024.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

const KIB: u64 = 1024;

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let unit: u64 = match unit.trim().to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "k" | "kib" => KIB,
            "m" | "mib" => KIB.pow(2),
            "g" | "gib" => KIB.pow(3),
            "t" | "tib" => KIB.pow(4),
            "kb" => 1000,
            "mb" => 1000_u64.pow(2),
            "gb" => 1000_u64.pow(3),
            "tb" => 1000_u64.pow(4),
            other => {
                return Err(format!("unit \"{other}\" is not known; write a size such as 512MiB or 4GiB"));
            }
        };
        let wrong = || format!("\"{text}\" is not a size; write one such as 512MiB or 4GiB");
        if let Ok(whole) = number.parse::<u64>() {
            return whole.checked_mul(unit).map(Self).ok_or_else(|| format!("\"{text}\" is more than any machine has"));
        }
        let value: f64 = number.parse().map_err(|_| wrong())?;
        let bytes = value * unit as f64;
        if bytes < u64::MAX as f64 { Ok(Self(bytes as u64)) } else { Err(wrong()) }
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
        let mut value = self.0 as f64;
        let mut unit = 0;
        while value >= 1024.0 && unit + 1 < UNITS.len() {
            value /= 1024.0;
            unit += 1;
        }
        if value.fract() == 0.0 { write!(f, "{value}{}", UNITS[unit]) } else { write!(f, "{value:.1}{}", UNITS[unit]) }
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:?}", self.0))
    }
}

/// A length of time. A unit is required (`30s`, `5min`), except for `0`: PostgreSQL reads bare numbers as milliseconds,
/// people mean seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(pub Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let wrong = || format!("\"{text}\" is not a duration; write one such as 500ms, 30s, 5min or 2h");
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let unit_ms: u64 = match unit.trim() {
            "" if number == 0 => 1,
            "ms" => 1,
            "s" => 1000,
            "min" | "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(wrong()),
        };
        number.checked_mul(unit_ms).map(|ms| Self(Duration::from_millis(ms))).ok_or_else(wrong)
    }
}

/// What a TOML value may be where a text with a unit is meant.
#[derive(Deserialize)]
#[serde(untagged)]
enum Text {
    Number(u64),
    Text(String),
}

impl Text {
    fn parse<'de, T: FromStr<Err = String>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        let text = match Self::deserialize(deserializer)? {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text,
        };
        text.parse().map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Text::parse(deserializer)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Text::parse(deserializer)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_their_units() {
        let cases = [
            ("0", 0),
            ("4096", 4096),
            ("4GiB", 4 << 30),
            ("4 gib", 4 << 30),
            ("512M", 512 << 20),
            ("1.5KiB", 1536),
            ("2GB", 2_000_000_000),
        ];
        for (text, bytes) in cases {
            assert_eq!(text.parse::<ByteSize>().unwrap().0, bytes, "{text}");
        }
        for text in ["", "GiB", "4 parsecs", "-1", "1e3", "99999999999TiB", "1.2.3"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
        assert_eq!(ByteSize(1536).to_string(), "1.5KiB");
        assert_eq!(ByteSize(4 << 30).to_string(), "4GiB");
    }

    #[test]
    fn spans_need_a_unit() {
        for (text, ms) in [("0", 0), ("500ms", 500), ("30s", 30_000), ("5min", 300_000), ("2h", 7_200_000)] {
            assert_eq!(text.parse::<Span>().unwrap().0, Duration::from_millis(ms), "{text}");
        }
        for text in ["", "30", "s", "1.5s", "-1s", "5 weeks"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }
}
