//! [`Unit`] and [`RangeEnd`]: the steps between projected dates, and the ends of their range, of which one may move with the
//! time (`NOW-3YEARS`). All is UTC, as in Athena.

use chrono::{Datelike, Days, Months, NaiveDateTime, TimeDelta, Timelike};

/// A unit of `interval.unit` and of `NOW+1DAY`, finest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Unit {
    Milliseconds,
    Seconds,
    Minutes,
    Hours,
    Days,
    Weeks,
    Months,
    Years,
}

/// What `interval.unit` may say.
pub(super) const UNIT_NAMES: &str = "YEARS, MONTHS, WEEKS, DAYS, HOURS, MINUTES, SECONDS and MILLISECONDS";

impl Unit {
    /// Reads a unit in any case, in the plural or the singular.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let upper = text.trim().to_ascii_uppercase();
        Some(match upper.strip_suffix('S').unwrap_or(&upper) {
            "YEAR" => Self::Years,
            "MONTH" => Self::Months,
            "WEEK" => Self::Weeks,
            "DAY" => Self::Days,
            "HOUR" => Self::Hours,
            "MINUTE" => Self::Minutes,
            "SECOND" => Self::Seconds,
            "MILLISECOND" | "MILLI" => Self::Milliseconds,
            _ => return None,
        })
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Years => "YEARS",
            Self::Months => "MONTHS",
            Self::Weeks => "WEEKS",
            Self::Days => "DAYS",
            Self::Hours => "HOURS",
            Self::Minutes => "MINUTES",
            Self::Seconds => "SECONDS",
            Self::Milliseconds => "MILLISECONDS",
        }
    }

    /// Its length, where all of them are as long.
    fn milliseconds(self) -> Option<i64> {
        Some(match self {
            Self::Milliseconds => 1,
            Self::Seconds => 1_000,
            Self::Minutes => 60_000,
            Self::Hours => 3_600_000,
            Self::Days => 86_400_000,
            Self::Weeks => 7 * 86_400_000,
            Self::Months | Self::Years => return None,
        })
    }

    /// The least milliseconds that one of them has.
    pub(super) fn shortest_milliseconds(self) -> i64 {
        match self {
            Self::Months => 28 * 86_400_000,
            Self::Years => 365 * 86_400_000,
            other => other.milliseconds().unwrap_or(i64::MAX),
        }
    }

    /// The most milliseconds that one of them has.
    pub(super) fn longest_milliseconds(self) -> i64 {
        match self {
            Self::Months => 31 * 86_400_000,
            Self::Years => 366 * 86_400_000,
            other => other.milliseconds().unwrap_or(i64::MAX),
        }
    }

    /// `moment` and `count` of them; a day that a month lacks is its last one. `None` outside the years 1 to 9999.
    pub(super) fn add(self, moment: NaiveDateTime, count: i64) -> Option<NaiveDateTime> {
        let months = |count: i64| {
            let months = Months::new(u32::try_from(count.unsigned_abs()).ok()?);
            if count < 0 { moment.checked_sub_months(months) } else { moment.checked_add_months(months) }
        };
        let sum = match self {
            Self::Years => months(count.checked_mul(12)?),
            Self::Months => months(count),
            Self::Weeks | Self::Days => {
                let days = Days::new(if self == Self::Weeks { count.checked_mul(7)? } else { count }.unsigned_abs());
                if count < 0 { moment.checked_sub_days(days) } else { moment.checked_add_days(days) }
            }
            _ => {
                let length = self.milliseconds()?;
                moment.checked_add_signed(TimeDelta::try_milliseconds(count.checked_mul(length)?)?)
            }
        }?;
        (1..=9999).contains(&sum.year()).then_some(sum)
    }

    /// How many steps of `interval` of them lead from `first` to `last` at most; `first` is not after `last`.
    pub(super) fn steps_between(self, first: NaiveDateTime, last: NaiveDateTime, interval: i64) -> u64 {
        let guess = match self.milliseconds() {
            Some(length) => i128::from((last - first).num_milliseconds()) / (i128::from(length) * i128::from(interval)),
            None => {
                let months = |moment: NaiveDateTime| i128::from(moment.year()) * 12 + i128::from(moment.month0());
                let length = if self == Self::Years { 12 } else { 1 };
                (months(last) - months(first)) / (length * i128::from(interval))
            }
        };
        let steps = i64::try_from(guess.max(0)).unwrap_or(i64::MAX);
        // The last month may end before the day and time of the first.
        let fits = self.add(first, steps.saturating_mul(interval)).is_some_and(|moment| moment <= last);
        u64::try_from(if fits { steps } else { steps - 1 }).unwrap_or(0)
    }

    /// `moment` without what is finer than the unit.
    pub(super) fn truncate(self, moment: NaiveDateTime) -> Option<NaiveDateTime> {
        let date = moment.date();
        let (hour, minute, second) = (moment.hour(), moment.minute(), moment.second());
        match self {
            Self::Years => date.with_ordinal(1)?.and_hms_opt(0, 0, 0),
            Self::Months => date.with_day(1)?.and_hms_opt(0, 0, 0),
            Self::Weeks | Self::Days => date.and_hms_opt(0, 0, 0),
            Self::Hours => date.and_hms_opt(hour, 0, 0),
            Self::Minutes => date.and_hms_opt(hour, minute, 0),
            Self::Seconds => date.and_hms_opt(hour, minute, second),
            Self::Milliseconds => date.and_hms_milli_opt(hour, minute, second, moment.nanosecond() / 1_000_000 % 1000),
        }
    }
}

/// One end of a date range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RangeEnd {
    /// A date as written.
    Fixed(NaiveDateTime),
    /// That many units after now, or before.
    Now(i64, Unit),
}

impl RangeEnd {
    /// Reads `NOW`, `NOW-3YEARS`, `NOW + 1 DAY`. `None` for what doesn't begin with NOW; `Some(None)` for a NOW that can't be
    /// read.
    pub(super) fn parse_now(text: &str) -> Option<Option<Self>> {
        let text = text.trim();
        let rest = text.get(..3).filter(|now| now.eq_ignore_ascii_case("NOW")).map(|_| text[3..].trim())?;
        Some(Self::offset(rest))
    }

    fn offset(rest: &str) -> Option<Self> {
        if rest.is_empty() {
            return Some(Self::Now(0, Unit::Milliseconds));
        }
        let (sign, rest) = match rest.split_at_checked(1)? {
            ("+", rest) => (1, rest.trim_start()),
            ("-", rest) => (-1, rest.trim_start()),
            _ => return None,
        };
        let digits = rest.find(|character: char| !character.is_ascii_digit())?;
        let count: i64 = rest[..digits].parse().ok()?;
        let unit = Unit::parse(&rest[digits..]).filter(|unit| *unit != Unit::Milliseconds)?;
        Some(Self::Now(sign * count, unit))
    }

    /// The moment that it is at `now`.
    pub(super) fn at(self, now: NaiveDateTime) -> Option<NaiveDateTime> {
        match self {
            Self::Fixed(moment) => Some(moment),
            Self::Now(count, unit) => unit.add(now, count),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn moment(text: &str) -> NaiveDateTime {
        NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").unwrap()
    }

    #[test]
    fn now_is_read_as_athena_reads_it() {
        let now = moment("2024-03-31 10:20:30");
        let cases = [
            ("NOW", Some("2024-03-31 10:20:30")),
            (" now ", Some("2024-03-31 10:20:30")),
            ("NOW-3YEARS", Some("2021-03-31 10:20:30")),
            ("NOW - 1 YEAR", Some("2023-03-31 10:20:30")),
            ("NOW-1MONTH", Some("2024-02-29 10:20:30")),
            ("NOW+2WEEKS", Some("2024-04-14 10:20:30")),
            ("NOW+1DAYS ", Some("2024-04-01 10:20:30")),
            ("NOW+14HOUR", Some("2024-04-01 00:20:30")),
            ("NOW-21minutes", Some("2024-03-31 09:59:30")),
            ("NOW+30SECONDS", Some("2024-03-31 10:21:00")),
            ("NOW-", None),
            ("NOW-3", None),
            ("NOW-DAYS", None),
            ("NOW 3DAYS", None),
            ("NOW-3FORTNIGHTS", None),
            ("NOW-1.5DAYS", None),
            ("NOW-99999999999999999999DAYS", None),
            ("NOW-9999YEARS", None),
            ("NOWHERE", None),
        ];
        for (text, expected) in cases {
            let found = RangeEnd::parse_now(text).unwrap().and_then(|end| end.at(now));
            assert_eq!(found, expected.map(moment), "{text}");
        }
        assert_eq!(RangeEnd::parse_now("2024-01-01"), None);
        assert_eq!(RangeEnd::parse_now("Ünow"), None);
    }

    #[test]
    fn steps_are_counted() {
        let cases = [
            (Unit::Days, 1, "2024-01-01 00:00:00", "2024-03-01 00:00:00", 60),
            (Unit::Days, 7, "2024-01-01 00:00:00", "2024-01-14 00:00:00", 1),
            (Unit::Months, 1, "2024-01-31 00:00:00", "2024-02-29 00:00:00", 1),
            (Unit::Months, 1, "2024-01-31 00:00:00", "2024-02-28 00:00:00", 0),
            (Unit::Months, 3, "2024-01-01 00:00:00", "2024-12-31 00:00:00", 3),
            (Unit::Years, 1, "2020-02-29 00:00:00", "2023-02-28 00:00:00", 3),
            (Unit::Hours, 1, "2024-01-01 00:00:00", "2024-01-01 23:59:00", 23),
            (Unit::Weeks, 2, "2024-01-01 00:00:00", "2024-01-01 00:00:00", 0),
            (Unit::Days, i64::MAX, "2024-01-01 00:00:00", "2024-03-01 00:00:00", 0),
        ];
        for (unit, interval, first, last, expected) in cases {
            assert_eq!(
                unit.steps_between(moment(first), moment(last), interval),
                expected,
                "{unit:?} {interval} {last}"
            );
        }
    }
}
