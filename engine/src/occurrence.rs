//! [`Occurrences`]: when a schedule of statements is due, by its cron expression or its interval, from its start to its end.
//!
//! What changed clocks mean for cron expressions [`crate::schedule`] says. An interval is real time, whatever clocks show.

use chrono::{DateTime, TimeDelta, Utc};
use limnos_catalog::ScheduleDefinition;
use limnos_catalog::schedule::When;

use crate::Result;
use crate::schedule::Timetable;

/// The times of one schedule.
#[derive(Debug, Clone)]
pub struct Occurrences {
    rhythm: Rhythm,
    start: Option<DateTime<Utc>>,
    end: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone)]
enum Rhythm {
    Cron(Box<Timetable>),
    Every {
        interval_ms: i64,
        anchor_ms: i64,
    },
    /// Something else than time decides.
    Never,
}

impl Occurrences {
    /// Those of `definition`.
    ///
    /// # Errors
    /// A cron expression or a time zone that can't be read.
    pub fn new(definition: &ScheduleDefinition) -> Result<Self> {
        let rhythm = match &definition.when {
            When::Cron(schedule) => Rhythm::Cron(Box::new(Timetable::new(schedule)?)),
            When::Every { interval_ms, anchor_ms } => {
                Rhythm::Every { interval_ms: (*interval_ms).max(1), anchor_ms: *anchor_ms }
            }
            When::OnChange { .. } => Rhythm::Never,
        };
        let instant = |ms: Option<i64>| ms.and_then(DateTime::from_timestamp_millis);
        Ok(Self { rhythm, start: instant(definition.start_ms), end: instant(definition.end_ms) })
    }

    /// The first time after `after`; `None` if there is none any more.
    pub fn next_after(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let after = self.start.map_or(after, |start| after.max(start - TimeDelta::milliseconds(1)));
        let next = match &self.rhythm {
            Rhythm::Cron(timetable) => timetable.next_after(after)?,
            Rhythm::Every { interval_ms, anchor_ms } => {
                let passed = after.timestamp_millis().checked_sub(*anchor_ms)?;
                let count = passed.div_euclid(*interval_ms).checked_add(1)?.max(0);
                DateTime::from_timestamp_millis(anchor_ms.checked_add(count.checked_mul(*interval_ms)?)?)?
            }
            Rhythm::Never => return None,
        };
        (self.end.is_none_or(|end| next <= end)).then_some(next)
    }

    /// The times after `after` and not after `now`, in order; of more than `max` the last.
    pub fn between(&self, after: DateTime<Utc>, now: DateTime<Utc>, max: usize) -> Vec<DateTime<Utc>> {
        // Backwards in windows that grow, so that years of minutes are not all looked at. What is found going forwards is what
        // counts: it is what would have been due.
        let mut window = TimeDelta::hours(1);
        loop {
            let from = now.checked_sub_signed(window).map_or(after, |from| from.max(after));
            let mut times = Vec::new();
            let mut at = from;
            while let Some(next) = self.next_after(at).filter(|next| *next <= now) {
                times.push(next);
                at = next;
            }
            if from == after || times.len() >= max {
                return times.split_off(times.len().saturating_sub(max));
            }
            window = window * 4;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::collections::BTreeMap;

    use limnos_catalog::Schedule;
    use limnos_catalog::schedule::{CatchUp, Overlap, Retry, Status};

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).unwrap().with_timezone(&Utc)
    }

    fn definition(when: When) -> ScheduleDefinition {
        ScheduleDefinition {
            when,
            start_ms: None,
            end_ms: None,
            retry: Retry::default(),
            timeout_ms: None,
            catch_up: CatchUp::Last,
            overlap: Overlap::Skip,
            suspend_after: 0,
            statements: "SELECT 1".to_owned(),
            database: "default".to_owned(),
            dialect: "postgres".to_owned(),
            settings: BTreeMap::new(),
            comment: None,
            owner: "ada".to_owned(),
            status: Status::Active,
            since_ms: 0,
        }
    }

    fn cron(cron: &str, time_zone: &str) -> When {
        When::Cron(Schedule { cron: cron.to_owned(), time_zone: time_zone.to_owned() })
    }

    fn times(definition: &ScheduleDefinition, after: &str, now: &str, max: usize) -> Vec<String> {
        let times = Occurrences::new(definition).unwrap().between(at(after), at(now), max);
        times.iter().map(|time| time.format("%m-%d %H:%M:%S").to_string()).collect()
    }

    #[test]
    fn intervals_from_a_moment_on() {
        let anchor_ms = at("2026-01-01T00:00:10Z").timestamp_millis();
        let mut every = definition(When::Every { interval_ms: 900_000, anchor_ms });
        assert_eq!(
            times(&every, "2026-01-01T00:00:10Z", "2026-01-01T00:45:00Z", 9),
            ["01-01 00:15:10", "01-01 00:30:10"]
        );
        // A start counts itself; so does an end.
        every.start_ms = Some(anchor_ms);
        every.end_ms = Some(anchor_ms + 900_000);
        assert_eq!(
            times(&every, "2025-01-01T00:00:00Z", "2027-01-01T00:45:00Z", 9),
            ["01-01 00:00:10", "01-01 00:15:10"]
        );
    }

    #[test]
    fn of_many_the_last() {
        let minutes = definition(cron("* * * * *", "UTC"));
        assert_eq!(
            times(&minutes, "2001-01-01T00:00:00Z", "2026-01-01T00:00:30Z", 3),
            ["12-31 23:58:00", "12-31 23:59:00", "01-01 00:00:00"]
        );
        let years = definition(cron("0 0 1 1 *", "UTC"));
        assert_eq!(times(&years, "2024-06-01T00:00:00Z", "2026-06-01T00:00:00Z", 9), ["01-01 00:00:00"; 2]);
        assert_eq!(times(&years, "2026-06-01T00:00:00Z", "2026-06-01T00:00:00Z", 9), [""; 0]);
    }

    #[test]
    fn nothing_before_the_start_or_after_the_end() {
        let mut daily = definition(cron("0 8 * * *", "Asia/Seoul"));
        daily.start_ms = Some(at("2026-01-02T23:00:00Z").timestamp_millis());
        daily.end_ms = Some(at("2026-01-04T12:00:00Z").timestamp_millis());
        assert_eq!(
            times(&daily, "2025-12-01T00:00:00Z", "2026-02-01T00:00:00Z", 99),
            ["01-02 23:00:00", "01-03 23:00:00"]
        );
        let change = When::OnChange { table: limnos_catalog::TableName::new("d", "t"), minimum_interval_ms: 1 };
        assert_eq!(times(&definition(change), "2025-12-01T00:00:00Z", "2026-02-01T00:00:00Z", 99), [""; 0]);
    }

    /// A year with both changes of clocks in three zones, against croniter's times (written by the script beside them). Both differ in
    /// what is due in an hour that comes twice, or that is left out; [`crate::schedule`] says what we do.
    #[test]
    fn a_year_is_as_croniter_says_but_where_clocks_change() {
        let (start, end) = (at("2024-01-01T00:00:00Z"), at("2025-01-01T00:00:00Z") - TimeDelta::seconds(1));
        let mut differences = Vec::new();
        let mut count = 0;
        for line in include_str!("../../tests/schedules/croniter_times.txt").lines() {
            let fields: Vec<&str> = line.split('|').collect();
            let [expression, zone, first, steps] = fields.as_slice() else { panic!("{line}") };
            let mut minute: i64 = first.parse().unwrap();
            let mut theirs = vec![minute];
            for word in steps.split_whitespace() {
                let (repeated, step) = word.split_once('*').unwrap_or(("1", word));
                for _ in 0..repeated.parse::<usize>().unwrap() {
                    minute += step.parse::<i64>().unwrap();
                    theirs.push(minute);
                }
            }
            let occurrences = Occurrences::new(&definition(cron(expression, zone))).unwrap();
            let ours: Vec<i64> =
                occurrences.between(start, end, usize::MAX).iter().map(|at| at.timestamp() / 60).collect();
            count += ours.len();
            let shown = |minute: i64| {
                let zone: chrono_tz::Tz = zone.parse().unwrap();
                let at = DateTime::from_timestamp(minute * 60, 0).unwrap().with_timezone(&zone);
                at.format("%m-%d %H:%M%:z").to_string()
            };
            for (who, these, those) in [("ours", &ours, &theirs), ("theirs", &theirs, &ours)] {
                let only = these.iter().filter(|minute| those.binary_search(minute).is_err());
                differences.extend(only.map(|minute| format!("{expression} {zone}: {who} {}", shown(*minute))));
            }
        }
        assert!(count > 80_000, "{count}");
        assert_eq!(differences, DIFFERENCES);
    }

    /// croniter runs a daily time twice where it comes twice, and makes up for one of several hours that is left out; and it loses
    /// its pace where half an hour comes twice.
    const DIFFERENCES: [&str; 8] = [
        "0 2 * * * Europe/Berlin: theirs 10-27 02:00+01:00",
        "30 2 * * * Europe/Berlin: theirs 10-27 02:30+01:00",
        "15 1-4 * * * Europe/Berlin: theirs 03-31 03:00+02:00",
        "15 1-4 * * * America/New_York: theirs 03-10 03:00-04:00",
        "15 1-4 * * * Australia/Lord_Howe: theirs 10-06 02:30+11:00",
        "45 1 * * SUN America/New_York: theirs 11-03 01:45-05:00",
        "45 1 * * SUN Australia/Lord_Howe: theirs 04-07 01:45+10:30",
        "*/20 * * * * Australia/Lord_Howe: ours 04-07 01:40+10:30",
    ];
}
