//! [`Zone`]: what `TimeZone` names, as a rule that says an instant's offset and its abbreviation.
//!
//! | written | means |
//! |---|---|
//! | `Europe/Berlin`, `utc`, `posix/Europe/Berlin` | the zone of that name, in any case |
//! | `5.5`, `-7`, `+09` | hours east of Greenwich; shown as `<+05:30>-05:30` |
//! | `<+03>-3`, `XYZ3`, `UTC+3`, `+05:45` | POSIX: a name, then hours **west** |
//!
//! POSIX rules for daylight saving are refused: chrono has no rules but those of names.
//! See <https://www.postgresql.org/docs/15/datatype-posix-timezone-specs.html>.

use chrono::{DateTime, MappedLocalTime, Offset, TimeDelta, TimeZone};
use chrono_tz::{OffsetName, Tz};

/// The rules of a time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Zone {
    /// Seconds east of UTC, always, and what the zone is called.
    Fixed(i32, Abbreviation),
    /// By the rules of its name.
    Named(Tz),
}

/// A zone's short name. Kept in place, so that a [`Zone`] is copied freely.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Abbreviation {
    bytes: [u8; Self::LENGTH_MAX],
    length: u8,
}

impl Abbreviation {
    /// Longer ones are cut, as PostgreSQL's `MAXTZLEN` does.
    const LENGTH_MAX: usize = 10;

    fn new(name: &str) -> Self {
        let length = (0..=name.len().min(Self::LENGTH_MAX)).rev().find(|at| name.is_char_boundary(*at)).unwrap_or(0);
        let mut bytes = [0; Self::LENGTH_MAX];
        bytes[..length].copy_from_slice(&name.as_bytes()[..length]);
        Self { bytes, length: length as u8 }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.length)]).unwrap_or("")
    }
}

/// Why a text names no zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ZoneError {
    /// There is no such zone.
    Unknown,
    /// Further from Greenwich than we can say.
    OutOfRange,
    /// A POSIX rule with daylight saving.
    Rules,
}

/// Beyond a day neither chrono nor any zone goes.
const OFFSET_MAX_SECONDS: i32 = 86_399;

impl Zone {
    /// Greenwich.
    pub fn utc() -> Self {
        Self::Fixed(0, Abbreviation::new("UTC"))
    }

    /// The zone that `text` names, and the spelling that SHOW gives it.
    ///
    /// # Errors
    /// When it names none.
    pub fn parse(text: &str) -> Result<(Self, String), ZoneError> {
        if let Some(name) = known_name(text) {
            return Ok(name);
        }
        if let Some(hours) = plain_number(text) {
            return from_hours(hours);
        }
        posix(text).map(|zone| (zone, text.to_owned()))
    }

    /// The zone that is always this many seconds east.
    ///
    /// # Errors
    /// When that is more than a day.
    pub fn fixed(seconds_east: i32) -> Result<(Self, String), ZoneError> {
        if seconds_east.abs() > OFFSET_MAX_SECONDS {
            return Err(ZoneError::OutOfRange);
        }
        let name = offset_name(seconds_east);
        let shown = format!("<{name}>{}", offset_name(-seconds_east));
        Ok((Self::Fixed(seconds_east, Abbreviation::new(&name)), shown))
    }

    /// The zone that a checked setting names; UTC for one that should not have been let in.
    pub fn of_setting(text: &str) -> Self {
        Self::parse(text).map_or_else(|_| Self::utc(), |(zone, _)| zone)
    }

    /// Seconds east of UTC at an instant, in microseconds since 1970.
    #[inline]
    pub fn offset(self, microseconds: i64) -> i32 {
        match self {
            Self::Fixed(seconds, _) => seconds,
            Self::Named(zone) => DateTime::from_timestamp_micros(microseconds)
                .map_or(0, |instant| zone.offset_from_utc_datetime(&instant.naive_utc()).fix().local_minus_utc()),
        }
    }

    /// What the zone is called at an instant: `CEST`, `-03`. Empty where a fixed offset was given no name.
    pub fn abbreviation(self, microseconds: i64) -> Abbreviation {
        match self {
            Self::Fixed(_, name) => name,
            Self::Named(zone) => {
                let offset = DateTime::from_timestamp_micros(microseconds)
                    .map(|instant| zone.offset_from_utc_datetime(&instant.naive_utc()));
                Abbreviation::new(offset.as_ref().and_then(OffsetName::abbreviation).unwrap_or(""))
            }
        }
    }

    /// Seconds east of UTC where clocks show this, in microseconds since 1970 as if it were UTC. As PostgreSQL's
    /// `DetermineTimeZoneOffset`: what clocks skip or show twice is taken for standard time.
    pub fn offset_of_local(self, microseconds: i64) -> i32 {
        let zone = match self {
            Self::Fixed(seconds, _) => return seconds,
            Self::Named(zone) => zone,
        };
        let Some(local) = DateTime::from_timestamp_micros(microseconds).map(|local| local.naive_utc()) else {
            return 0;
        };
        match zone.offset_from_local_datetime(&local) {
            MappedLocalTime::Single(offset) => offset.fix().local_minus_utc(),
            MappedLocalTime::Ambiguous(_, latest) => latest.fix().local_minus_utc(),
            // In a gap the offset before it counts. No zone has two changes within a day.
            MappedLocalTime::None => {
                let before = local.checked_sub_signed(TimeDelta::days(1)).unwrap_or(local);
                zone.offset_from_utc_datetime(&before).fix().local_minus_utc()
            }
        }
    }

    /// A name that Arrow and DataFusion understand: an IANA name or `+hh:mm`.
    pub fn arrow_name(self) -> String {
        match self {
            Self::Fixed(0, _) => "UTC".to_owned(),
            Self::Fixed(seconds, _) => {
                let sign = if seconds < 0 { '-' } else { '+' };
                let minutes = seconds.abs() / 60;
                format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
            }
            Self::Named(zone) => zone.name().to_owned(),
        }
    }
}

/// `UTC` and the names of the IANA database, in their own spelling.
fn known_name(text: &str) -> Option<(Zone, String)> {
    if text.eq_ignore_ascii_case("utc") {
        return Some((Zone::utc(), "UTC".to_owned()));
    }
    let plain = text.get(..6).filter(|prefix| prefix.eq_ignore_ascii_case("posix/")).map_or(text, |_| &text[6..]);
    let zone = chrono_tz::TZ_VARIANTS.iter().find(|zone| zone.name().eq_ignore_ascii_case(plain))?;
    let prefix = if plain.len() < text.len() { "posix/" } else { "" };
    Some((Zone::Named(*zone), format!("{prefix}{}", zone.name())))
}

/// What C's `strtod` would read to the end: no name is a number.
fn plain_number(text: &str) -> Option<f64> {
    let text = text.trim_start();
    let starts = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.'));
    text.parse::<f64>().ok().filter(|number| starts && number.is_finite())
}

fn from_hours(hours: f64) -> Result<(Zone, String), ZoneError> {
    let seconds = hours * 3600.0;
    if seconds.abs() > f64::from(OFFSET_MAX_SECONDS) {
        return Err(ZoneError::OutOfRange);
    }
    #[allow(clippy::cast_possible_truncation, reason = "less than a day")]
    Zone::fixed(seconds as i32)
}

/// `+05:30`, `-07`, `+00:19:32`.
fn offset_name(seconds: i32) -> String {
    let sign = if seconds < 0 { '-' } else { '+' };
    let seconds = seconds.abs();
    let mut name = format!("{sign}{:02}", seconds / 3600);
    if seconds % 3600 != 0 {
        name.push_str(&format!(":{:02}", seconds / 60 % 60));
    }
    if seconds % 60 != 0 {
        name.push_str(&format!(":{:02}", seconds % 60));
    }
    name
}

/// `<name>hh[:mm[:ss]]`, hours west; the name may be letters alone, or nothing.
fn posix(text: &str) -> Result<Zone, ZoneError> {
    let (name, rest) = match text.strip_prefix('<') {
        Some(quoted) => quoted.split_once('>').ok_or(ZoneError::Unknown)?,
        None => {
            let end = text.find(|c: char| c.is_ascii_digit() || matches!(c, ',' | '-' | '+')).unwrap_or(text.len());
            text.split_at(end)
        }
    };
    let (sign, digits) = match rest.as_bytes().first() {
        Some(b'-') => (1, &rest[1..]),
        Some(b'+') => (-1, &rest[1..]),
        Some(_) => (-1, rest),
        None => return Err(ZoneError::Unknown),
    };
    let end = digits.find(|c: char| !c.is_ascii_digit() && c != ':').unwrap_or(digits.len());
    let mut seconds = 0_i32;
    let mut count = 0;
    for (part, unit) in digits[..end].split(':').zip([3600, 60, 1]) {
        let number: i32 = part.parse().ok().filter(|number| unit == 3600 || *number < 60).ok_or(ZoneError::Unknown)?;
        seconds = number.checked_mul(unit).and_then(|part| seconds.checked_add(part)).ok_or(ZoneError::OutOfRange)?;
        count += 1;
    }
    if count != digits[..end].split(':').count() {
        return Err(ZoneError::Unknown);
    }
    if seconds > OFFSET_MAX_SECONDS {
        return Err(ZoneError::OutOfRange);
    }
    if end < digits.len() {
        let is_rule = digits[end..].starts_with(|c: char| c.is_ascii_alphabetic() || c == '<');
        return Err(if is_rule { ZoneError::Rules } else { ZoneError::Unknown });
    }
    Ok(Zone::Fixed(sign * seconds, Abbreviation::new(name)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn zones_are_named_as_postgresql_shows_them() {
        for (text, shown, offset) in [
            ("utc", "UTC", 0),
            ("europe/berlin", "Europe/Berlin", 3600),
            ("posix/Europe/Berlin", "posix/Europe/Berlin", 3600),
            ("EST", "EST", -18_000),
            ("+09", "<+09>-09", 32_400),
            ("-7", "<-07>+07", -25_200),
            ("5.5", "<+05:30>-05:30", 19_800),
            ("+05:45", "+05:45", -20_700),
            ("<+03>-3", "<+03>-3", 10_800),
            ("XYZ3", "XYZ3", -10_800),
            ("FOO-3:30", "FOO-3:30", 12_600),
            ("UTC+3", "UTC+3", -10_800),
        ] {
            let (zone, name) = Zone::parse(text).unwrap();
            assert_eq!((name.as_str(), zone.offset(1_704_067_200_000_000)), (shown, offset), "{text}");
            assert_eq!(
                Zone::parse(&name).unwrap().0.offset(0),
                zone.offset(0),
                "{text}: SHOW's spelling means the same"
            );
        }
        for (text, error) in [
            ("Mars/Olympus", ZoneError::Unknown),
            ("", ZoneError::Unknown),
            ("PST", ZoneError::Unknown),
            ("z", ZoneError::Unknown),
            ("+5 30", ZoneError::Unknown),
            ("168", ZoneError::OutOfRange),
            ("XYZ99999999999", ZoneError::Unknown),
            ("AAA4BBB,M3.2.0,M11.1.0", ZoneError::Rules),
        ] {
            assert_eq!(Zone::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn clocks_that_jump_are_read_as_standard_time() {
        let zone = Zone::of_setting("America/New_York");
        let local = |text: &str| {
            chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").unwrap().and_utc().timestamp_micros()
        };
        assert_eq!(zone.offset_of_local(local("2024-03-10 02:30")), -18_000);
        assert_eq!(zone.offset_of_local(local("2024-11-03 01:30")), -18_000);
        assert_eq!(zone.offset_of_local(local("2024-07-01 12:00")), -14_400);
        assert_eq!(zone.abbreviation(local("2024-07-01 12:00")).as_str(), "EDT");
    }
}
