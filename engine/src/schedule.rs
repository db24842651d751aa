//! [`Timetable`]: a cron expression in a time zone, and when it is due. For crawlers now, for whatever else runs by itself
//! later.
//!
//! Expressions have five fields: minute, hour, day of the month, month, day of the week; `*`, `a-b`, `a,b`, `*/n`, names
//! (`MON`, `JAN`), `L` (last), `n#m` (the m-th weekday of a month), `@daily` and its like. Where both days are given, either
//! is enough, as in every cron.
//!
//! Where clocks are changed:
//! - A time of day that is skipped (02:30 in spring) is due at the first moment after the gap.
//! - A time of day that comes twice (02:30 in autumn) is due once, at the first of the two.
//! - What repeats within the hours (`*/15 * * * *`), or has several (`15 1-4 * * *`), keeps its pace in real time: nothing is due in the
//!   gap, and the hour that comes twice has its runs twice.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use limnos_catalog::Schedule;

use crate::{Error, ErrorCode, Result};

/// The longest expression.
const CRON_BYTES_MAX: usize = 256;

/// A checked [`Schedule`].
#[derive(Debug, Clone)]
pub struct Timetable {
    cron: Cron,
    zone: Tz,
}

impl Timetable {
    /// Checks a schedule as a user wrote it.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidParameterValue`] for an expression or a time zone that isn't one, and for one that is never due
    /// (`0 0 30 2 *`).
    pub fn new(schedule: &Schedule) -> Result<Self> {
        let Schedule { cron: text, time_zone } = schedule;
        let invalid = |detail: String| {
            Error::new(ErrorCode::InvalidParameterValue, format!("invalid cron expression \"{text}\""))
                .with_detail(detail)
                .with_hint("It has five fields: minute, hour, day of the month, month, day of the week, such as '0 2 * * MON-FRI'.")
        };
        if text.len() > CRON_BYTES_MAX {
            return Err(invalid(format!("It has {} bytes; at most {CRON_BYTES_MAX} are allowed.", text.len())));
        }
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let cron =
            parser.parse(text).map_err(|error| invalid(format!("{}.", error.to_string().trim_end_matches('.'))))?;
        let zone = Tz::from_str(time_zone).map_err(|_| {
            Error::new(ErrorCode::InvalidParameterValue, format!("time zone \"{time_zone}\" not recognized"))
                .with_hint("Use a name of the IANA database, such as 'Europe/Berlin' or 'UTC'.")
        })?;
        let timetable = Self { cron, zone };
        match timetable.next_after(DateTime::UNIX_EPOCH) {
            Some(_) => Ok(timetable),
            None => Err(invalid("There is no such day.".to_owned())),
        }
    }

    /// The first time after `after` that it is due; `None` if it never is again.
    pub fn next_after(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let next = self.cron.find_next_occurrence(&after.with_timezone(&self.zone), false).ok()?;
        Some(next.with_timezone(&Utc))
    }

    /// The last time that it was due after `after` and not after `now`; `None` if it wasn't. However many were due in
    /// between (the server was down), the last stands for all.
    pub fn last_due(&self, after: DateTime<Utc>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let first = self.next_after(after).filter(|due| *due <= now)?;
        let last = self.cron.find_previous_occurrence(&now.with_timezone(&self.zone), true).ok();
        // Going backwards, croner may see changed clocks otherwise; what it finds must be what going forwards meets.
        let last = last.map(|last| last.with_timezone(&Utc)).filter(|last| *last > first && *last <= now);
        Some(last.unwrap_or(first))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn timetable(cron: &str, time_zone: &str) -> Timetable {
        Timetable::new(&Schedule { cron: cron.to_owned(), time_zone: time_zone.to_owned() }).unwrap()
    }

    fn at(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).unwrap().with_timezone(&Utc)
    }

    /// The next `count` times after `after`, in the zone's own time.
    fn next(cron: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
        let timetable = timetable(cron, zone);
        let mut now = at(after);
        (0..count)
            .map(|_| {
                now = timetable.next_after(now).unwrap();
                now.with_timezone(&timetable.zone).format("%Y-%m-%d %H:%M%:z").to_string()
            })
            .collect()
    }

    #[test]
    fn times_that_are_due() {
        for (cron, zone, after, expected) in [
            ("0 2 * * *", "UTC", "2024-06-01T02:00:00Z", &["2024-06-02 02:00+00:00"][..]),
            ("0 2 * * *", "UTC", "2024-06-01T01:59:59Z", &["2024-06-01 02:00+00:00"]),
            ("0 2 * * *", "Europe/Berlin", "2024-06-01T02:00:00Z", &["2024-06-02 02:00+02:00"]),
            ("30 9 * * MON-FRI", "America/New_York", "2024-06-07T20:00:00Z", &["2024-06-10 09:30-04:00"]),
            (
                "*/20 8 * * *",
                "UTC",
                "2024-06-01T08:00:00Z",
                &["2024-06-01 08:20+00:00", "2024-06-01 08:40+00:00", "2024-06-02 08:00+00:00"],
            ),
            // A leap day, and that 1900 and 2100 have none.
            ("0 0 29 2 *", "UTC", "2024-03-01T00:00:00Z", &["2028-02-29 00:00+00:00"]),
            ("0 0 29 2 *", "UTC", "2096-03-01T00:00:00Z", &["2104-02-29 00:00+00:00"]),
            ("0 0 L * *", "UTC", "2024-02-01T00:00:00Z", &["2024-02-29 00:00+00:00", "2024-03-31 00:00+00:00"]),
            ("0 0 31 * *", "UTC", "2024-01-31T00:00:00Z", &["2024-03-31 00:00+00:00"]),
            // Either day is enough.
            ("0 0 13 * FRI", "UTC", "2024-06-12T00:00:00Z", &["2024-06-13 00:00+00:00", "2024-06-14 00:00+00:00"]),
            ("@weekly", "UTC", "2024-06-12T00:00:00Z", &["2024-06-16 00:00+00:00"]),
            ("0 0 * * 7", "UTC", "2024-06-12T00:00:00Z", &["2024-06-16 00:00+00:00"]),
            // Into the year's end, in a zone that is ahead of UTC.
            ("0 0 1 1 *", "Pacific/Auckland", "2024-06-01T00:00:00Z", &["2025-01-01 00:00+13:00"]),
        ] {
            assert_eq!(next(cron, zone, after, expected.len()), expected, "{cron} {zone}");
        }
    }

    #[test]
    fn changed_clocks() {
        for (cron, zone, after, expected) in [
            // Spring: 02:00 to 03:00 is left out. A time in it is due right after.
            (
                "30 2 * * *",
                "Europe/Berlin",
                "2024-03-30T12:00:00Z",
                &["2024-03-31 03:00+02:00", "2024-04-01 02:30+02:00"][..],
            ),
            (
                "0 2 * * *",
                "America/New_York",
                "2024-03-09T12:00:00Z",
                &["2024-03-10 03:00-04:00", "2024-03-11 02:00-04:00"],
            ),
            (
                "0 3 * * *",
                "Europe/Berlin",
                "2024-03-30T12:00:00Z",
                &["2024-03-31 03:00+02:00", "2024-04-01 03:00+02:00"],
            ),
            (
                "*/30 * * * *",
                "Europe/Berlin",
                "2024-03-31T00:30:00Z",
                &["2024-03-31 03:00+02:00", "2024-03-31 03:30+02:00"],
            ),
            // Half an hour is left out.
            (
                "15 2 * * *",
                "Australia/Lord_Howe",
                "2024-10-05T10:00:00Z",
                &["2024-10-06 02:30+11:00", "2024-10-07 02:15+11:00"],
            ),
            // Autumn: 02:00 to 03:00 comes twice. A time in it is due once, what repeats twice.
            (
                "30 2 * * *",
                "Europe/Berlin",
                "2024-10-26T12:00:00Z",
                &["2024-10-27 02:30+02:00", "2024-10-28 02:30+01:00"],
            ),
            (
                "*/30 * * * *",
                "Europe/Berlin",
                "2024-10-27T00:00:00Z",
                &[
                    "2024-10-27 02:30+02:00",
                    "2024-10-27 02:00+01:00",
                    "2024-10-27 02:30+01:00",
                    "2024-10-27 03:00+01:00",
                ],
            ),
        ] {
            assert_eq!(next(cron, zone, after, expected.len()), expected, "{cron} {zone}");
        }
    }

    #[test]
    fn missed_times_count_as_one() {
        let daily = timetable("0 2 * * *", "Europe/Berlin");
        let last = |after: &str, now: &str| daily.last_due(at(after), at(now)).map(|due| due.to_rfc3339());
        assert_eq!(last("2024-06-01T00:00:00Z", "2024-06-01T12:00:00Z"), None);
        assert_eq!(last("2024-06-01T00:00:00Z", "2024-06-02T00:00:00Z").as_deref(), Some("2024-06-02T00:00:00+00:00"));
        assert_eq!(last("2024-06-01T00:00:00Z", "2024-06-09T12:00:00Z").as_deref(), Some("2024-06-09T00:00:00+00:00"));
        assert_eq!(last("2024-10-26T12:00:00Z", "2024-10-27T12:00:00Z").as_deref(), Some("2024-10-27T00:00:00+00:00"));
        assert_eq!(last("2024-03-30T12:00:00Z", "2024-03-31T01:00:00Z").as_deref(), Some("2024-03-31T01:00:00+00:00"));
    }

    #[test]
    fn what_is_no_schedule_is_refused() {
        let long = format!("{} 2 * * *", "0,".repeat(200));
        for cron in [
            "",
            "0 2 * *",
            "0 0 2 * * *",
            "60 2 * * *",
            "0 24 * * *",
            "x 2 * * *",
            "0 2 * * * 2024",
            "0 0 30 2 *",
            "@reboot",
            &long,
        ] {
            let error = Timetable::new(&Schedule { cron: cron.to_owned(), time_zone: "UTC".to_owned() }).unwrap_err();
            assert_eq!(error.message, format!("invalid cron expression \"{cron}\""));
            assert!(error.detail.is_some_and(|detail| detail.ends_with('.')));
        }
        for zone in ["", "CEST", "Europe/Berln", "+02:00"] {
            let error =
                Timetable::new(&Schedule { cron: "0 2 * * *".to_owned(), time_zone: zone.to_owned() }).unwrap_err();
            assert_eq!(error.message, format!("time zone \"{zone}\" not recognized"));
        }
    }
}
