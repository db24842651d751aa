//! Schedules on a clock that the tests hold, with runs that end as the tests say.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use limnos_catalog::schedule::{CatchUp, Overlap, Retry};
use limnos_catalog::{Change, CreateMode, Location, Schedule, ScheduleDefinition};
use limnos_engine::clock::MockClock;
use limnos_test_postgres::fresh_schema;
use parking_lot::Mutex;

use super::*;

/// croniter's times, written by the script beside them.
const CRONITER: &str = include_str!("../../../tests/schedules/croniter_times.txt");

/// Ends runs at once with what `ending` says, or keeps them.
#[derive(Default)]
struct Scripted {
    /// `None` succeeds; a kept run is in `kept`.
    ending: Mutex<Option<Ending>>,
    kept: Mutex<Vec<(ScheduleRun, CancellationToken)>>,
    started: Mutex<Vec<(i64, i64, u32)>>,
}

#[derive(Clone, Copy)]
enum Ending {
    Fails,
    GoesOn,
}

impl Executor for Scripted {
    fn execute(
        &self,
        ledger: &Arc<Ledger>,
        run: ScheduleRun,
        _schedule: Arc<StatementSchedule>,
        _last_success_ms: Option<i64>,
        stop: CancellationToken,
    ) {
        self.started.lock().push((run.schedule_id, run.scheduled_at_ms, run.attempt));
        let message = Some("division by zero".to_owned());
        match *self.ending.lock() {
            None => ledger.end(&run, ScheduleRunState::Succeeded, run.outcome.clone()),
            Some(Ending::Fails) => {
                ledger.end(&run, ScheduleRunState::Failed, ScheduleOutcome { message, ..run.outcome.clone() });
            }
            Some(Ending::GoesOn) => self.kept.lock().push((run, stop)),
        }
    }
}

fn at(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).unwrap().with_timezone(&Utc)
}

fn cron(cron: &str, time_zone: &str, since: DateTime<Utc>) -> ScheduleDefinition {
    ScheduleDefinition {
        when: When::Cron(Schedule { cron: cron.to_owned(), time_zone: time_zone.to_owned() }),
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
        since_ms: since.timestamp_millis(),
    }
}

fn create(catalog: &Catalog, name: &str, definition: ScheduleDefinition) -> i64 {
    let definition = Box::new(definition);
    let change = Change::CreateSchedule { name: name.to_owned(), definition, mode: CreateMode::OrReplace };
    catalog.commit(vec![change]).unwrap().schedule(name).unwrap().id
}

/// A catalog in memory, its clock and what runs on it.
struct Fixture {
    catalog: Arc<Catalog>,
    clock: Arc<MockClock>,
    executor: Arc<Scripted>,
    statements: Statements,
}

impl Fixture {
    fn new(now: &str) -> Self {
        let catalog = Catalog::open_in_memory().unwrap();
        let (clock, executor) = (MockClock::new(at(now)), Arc::new(Scripted::default()));
        let statements = Statements::new(Arc::clone(&catalog), clock.clone(), executor.clone(), 1_000_000);
        Self { catalog, clock, executor, statements }
    }

    /// The process ends and another begins.
    fn restart(&mut self) {
        self.executor.kept.lock().clear();
        self.statements =
            Statements::new(Arc::clone(&self.catalog), self.clock.clone(), self.executor.clone(), 1_000_000);
    }

    fn tick(&mut self, now: &str) {
        self.clock.set(at(now));
        self.statements.tick().unwrap();
    }

    /// `scheduled time, attempt, state` of each run, the oldest first.
    fn runs(&self) -> Vec<String> {
        let mut runs = self.catalog.schedule_runs().unwrap();
        runs.reverse();
        let shown = |run: &ScheduleRun| {
            let at = DateTime::from_timestamp_millis(run.scheduled_at_ms).unwrap();
            format!("{} {} {}", at.format("%d %H:%M"), run.attempt, run.state.name())
        };
        runs.iter().map(shown).collect()
    }

    fn end_kept(&self) {
        for (run, stop) in std::mem::take(&mut *self.executor.kept.lock()) {
            let state = if stop.is_cancelled() { ScheduleRunState::Cancelled } else { ScheduleRunState::Succeeded };
            self.statements.ledger().end(&run, state, run.outcome.clone());
        }
    }
}

/// The schedules of croniter's list but those that are due many times a day, for a year with both changes of clocks in three zones.
/// Restarts, and days on which no server ran, lose and double nothing.
#[test]
fn a_year_of_schedules_with_restarts_and_outages() {
    let (start, end) = (at("2024-01-01T00:00:00Z"), at("2025-01-01T00:00:00Z"));
    let mut fixture = Fixture::new("2024-01-01T00:00:00Z");
    let mut expected = Vec::new();
    for (number, line) in CRONITER.lines().enumerate() {
        let mut words = line.split('|');
        let (expression, zone) = (words.next().unwrap(), words.next().unwrap());
        if expression.starts_with("*/20") || expression.starts_with("15 ") {
            continue;
        }
        let definition = ScheduleDefinition { catch_up: CatchUp::All, ..cron(expression, zone, start) };
        let occurrences = Occurrences::new(&definition).unwrap();
        let id = create(&fixture.catalog, &format!("s{number}"), definition);
        let times = occurrences.between(start, end - TimeDelta::minutes(1), usize::MAX);
        expected.extend(times.into_iter().map(|at| (id, at.timestamp_millis(), 1)));
    }
    let mut moments: Vec<i64> = expected.iter().map(|(_, at, _)| *at).collect();
    moments.sort_unstable();
    moments.dedup();
    for (number, moment) in moments.iter().enumerate() {
        // Every hundredth moment begins some days without a server, with a restart after them.
        let is_outage = number % 100 < 9 && number > 100 && number + 9 < moments.len();
        if is_outage {
            fixture.restart();
            continue;
        }
        for ms in [moment - 1_000, *moment] {
            fixture.clock.set(DateTime::from_timestamp_millis(ms).unwrap());
            fixture.statements.tick().unwrap();
            // What was missed runs one after the other.
            while !fixture.catalog.open_schedule_runs().unwrap().is_empty() {
                fixture.statements.tick().unwrap();
            }
        }
    }
    let mut started = std::mem::take(&mut *fixture.executor.started.lock());
    started.sort_unstable();
    expected.sort_unstable();
    assert!(expected.len() > 5_000, "{}", expected.len());
    let lost: Vec<_> = expected.iter().filter(|time| started.binary_search(time).is_err()).take(5).collect();
    assert_eq!((lost, started.len()), (Vec::new(), expected.len()));
    assert_eq!(started, expected);
}

/// Two servers on one PostgreSQL, both awake at each moment, one restarted now and then.
#[test]
fn two_servers_run_each_time_once() {
    let Some(url) = fresh_schema() else { return };
    let location = Location::parse(&url).unwrap();
    let start = at("2024-10-26T00:00:00Z");
    let clock = MockClock::new(start);
    let servers: Vec<(Arc<Catalog>, Arc<Scripted>)> =
        (0..2).map(|_| (Catalog::open_at(&location).unwrap(), Arc::default())).collect();
    let new = |number: usize| {
        let (catalog, executor) = &servers[number];
        Statements::new(Arc::clone(catalog), clock.clone(), executor.clone(), 1_000)
    };
    let definition = ScheduleDefinition { overlap: Overlap::Queue, ..cron("*/30 * * * *", "Europe/Berlin", start) };
    let occurrences = Occurrences::new(&definition).unwrap();
    let id = create(&servers[0].0, "s", definition);
    while servers[1].0.snapshot().schedules.is_empty() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let times = occurrences.between(start, start + TimeDelta::hours(36), usize::MAX);
    let (mut one, mut other) = (new(0), new(1));
    for (number, now) in times.iter().enumerate() {
        clock.set(*now);
        std::thread::scope(|scope| {
            for statements in [&mut one, &mut other] {
                scope.spawn(move || {
                    for _ in 0..3 {
                        statements.tick().unwrap();
                    }
                });
            }
        });
        if number % 10 == 0 {
            other = new(1);
        }
    }
    while !servers[0].0.open_schedule_runs().unwrap().is_empty() {
        one.tick().unwrap();
    }
    let mut started: Vec<_> = servers.iter().flat_map(|(_, executor)| executor.started.lock().clone()).collect();
    started.sort_unstable();
    let expected: Vec<_> = times.iter().map(|at| (id, at.timestamp_millis(), 1)).collect();
    assert_eq!(started, expected);
}

#[test]
fn missed_times_by_policy() {
    for (catch_up, expected) in [
        (CatchUp::None, vec!["01 05:00 1 SUCCEEDED", "02 08:00 1 SKIPPED", "02 09:00 1 SUCCEEDED"]),
        (CatchUp::Last, vec!["01 05:00 1 SUCCEEDED", "02 08:00 1 SUCCEEDED", "02 09:00 1 SUCCEEDED"]),
    ] {
        let mut fixture = Fixture::new("2024-01-01T04:30:00Z");
        let definition = cron("0 * * * *", "UTC", at("2024-01-01T04:30:00Z"));
        create(&fixture.catalog, "s", ScheduleDefinition { catch_up, ..definition });
        fixture.tick("2024-01-01T05:00:10Z");
        fixture.restart();
        fixture.tick("2024-01-02T08:20:00Z");
        // Set back, the clock makes nothing due again.
        fixture.tick("2024-01-02T07:00:00Z");
        fixture.restart();
        fixture.tick("2024-01-02T09:00:00Z");
        assert_eq!(fixture.runs(), expected, "{catch_up:?}");
    }
    let mut fixture = Fixture::new("2024-01-01T04:30:00Z");
    let definition = cron("0 * * * *", "UTC", at("2024-01-01T04:30:00Z"));
    create(&fixture.catalog, "s", ScheduleDefinition { catch_up: CatchUp::All, ..definition });
    for _ in 0..4 {
        fixture.tick("2024-01-01T07:00:10Z");
    }
    assert_eq!(fixture.runs(), ["01 05:00 1 SUCCEEDED", "01 06:00 1 SUCCEEDED", "01 07:00 1 SUCCEEDED"]);
    // Of years of minutes the latest.
    let mut fixture = Fixture::new("2001-01-01T00:00:00Z");
    let definition = cron("* * * * *", "UTC", at("2001-01-01T00:00:00Z"));
    create(&fixture.catalog, "s", ScheduleDefinition { catch_up: CatchUp::All, ..definition });
    fixture.tick("2026-01-01T00:00:00Z");
    assert_eq!(fixture.runs().len(), super::super::due::CATCH_UP_MAX);
}

#[test]
fn overlaps_by_policy() {
    for (overlap, expected) in [
        (Overlap::Skip, vec!["01 01:00 1 SUCCEEDED", "01 02:00 1 SKIPPED", "01 03:00 1 SUCCEEDED"]),
        (Overlap::Queue, vec!["01 01:00 1 SUCCEEDED", "01 02:00 1 SUCCEEDED", "01 03:00 1 SUCCEEDED"]),
        (Overlap::Replace, vec!["01 01:00 1 CANCELLED", "01 02:00 1 SUCCEEDED", "01 03:00 1 SUCCEEDED"]),
    ] {
        let mut fixture = Fixture::new("2024-01-01T00:30:00Z");
        let definition = cron("0 * * * *", "UTC", at("2024-01-01T00:30:00Z"));
        create(&fixture.catalog, "s", ScheduleDefinition { overlap, ..definition });
        *fixture.executor.ending.lock() = Some(Ending::GoesOn);
        fixture.tick("2024-01-01T01:00:00Z");
        fixture.tick("2024-01-01T02:00:00Z");
        *fixture.executor.ending.lock() = None;
        fixture.end_kept();
        fixture.tick("2024-01-01T02:30:00Z");
        fixture.tick("2024-01-01T03:00:00Z");
        assert_eq!(fixture.runs(), expected, "{overlap:?}");
    }
}

#[test]
fn failures_are_retried_and_suspend_in_the_end() {
    let mut fixture = Fixture::new("2024-01-01T00:30:00Z");
    let retry = Retry { count: 2, backoff_ms: 60_000, factor: 5, backoff_max_ms: 3_600_000 };
    let definition = cron("0 * * * *", "UTC", at("2024-01-01T00:30:00Z"));
    create(&fixture.catalog, "s", ScheduleDefinition { retry, suspend_after: 2, ..definition });
    *fixture.executor.ending.lock() = Some(Ending::Fails);
    for now in ["01:00:00", "01:00:59", "01:01:00", "01:05:59", "01:06:00", "01:30:00"] {
        fixture.tick(&format!("2024-01-01T{now}Z"));
    }
    assert_eq!(fixture.runs(), ["01 01:00 1 FAILED", "01 01:00 2 FAILED", "01 01:00 3 FAILED"]);
    // A retry that succeeds ends the row of failures; it goes on over a restart.
    fixture.tick("2024-01-01T02:00:00Z");
    fixture.restart();
    *fixture.executor.ending.lock() = None;
    fixture.tick("2024-01-01T02:01:00Z");
    let status = |fixture: &Fixture| fixture.catalog.snapshot().schedule("s").unwrap().status.clone();
    assert_eq!(fixture.runs()[3..], ["01 02:00 1 FAILED", "01 02:00 2 SUCCEEDED"]);
    *fixture.executor.ending.lock() = Some(Ending::Fails);
    for hour in 3..7 {
        for minute in [0, 1, 6, 31] {
            fixture.tick(&format!("2024-01-01T0{hour}:{minute:02}:00Z"));
        }
    }
    let Status::Suspended(reason) = status(&fixture) else { panic!("{:?}", status(&fixture)) };
    assert_eq!(reason, "2 runs in a row failed, the last with: division by zero");
    assert_eq!(fixture.runs().len(), 5 + 2 * 3);
}

#[test]
fn runs_of_a_process_that_died_are_retried_or_reported() {
    for (count, expected) in
        [(0, vec!["01 01:00 1 INTERRUPTED"]), (1, vec!["01 01:00 1 INTERRUPTED", "01 01:00 2 SUCCEEDED"])]
    {
        let mut fixture = Fixture::new("2024-01-01T00:30:00Z");
        let definition = cron("0 1 * * *", "UTC", at("2024-01-01T00:30:00Z"));
        create(&fixture.catalog, "s", ScheduleDefinition { retry: Retry { count, ..Retry::default() }, ..definition });
        *fixture.executor.ending.lock() = Some(Ending::GoesOn);
        fixture.tick("2024-01-01T01:00:00Z");
        // It lives as long as its process does.
        fixture.tick("2024-01-01T01:10:00Z");
        assert_eq!(fixture.runs(), ["01 01:00 1 RUNNING"]);
        fixture.restart();
        *fixture.executor.ending.lock() = None;
        fixture.tick("2024-01-01T01:20:00Z");
        fixture.tick("2024-01-01T01:21:00Z");
        fixture.tick("2024-01-01T01:22:00Z");
        assert_eq!(fixture.runs(), expected);
    }
}

#[test]
fn paused_schedules_pass_times_over_and_cancels_are_heard() {
    let mut fixture = Fixture::new("2024-01-01T00:30:00Z");
    let definition = cron("0 * * * *", "UTC", at("2024-01-01T00:30:00Z"));
    create(&fixture.catalog, "s", ScheduleDefinition { status: Status::Paused, ..definition.clone() });
    fixture.tick("2024-01-01T01:00:00Z");
    fixture.tick("2024-01-01T02:10:00Z");
    assert_eq!(fixture.runs(), [""; 0]);
    create(
        &fixture.catalog,
        "s",
        ScheduleDefinition { since_ms: at("2024-01-01T02:10:00Z").timestamp_millis(), ..definition },
    );
    fixture.tick("2024-01-01T02:10:00Z");
    *fixture.executor.ending.lock() = Some(Ending::GoesOn);
    fixture.tick("2024-01-01T03:00:00Z");
    let run = fixture.catalog.open_schedule_runs().unwrap().remove(0);
    fixture.catalog.cancel_schedule_run(&run.id, "it was cancelled").unwrap();
    fixture.tick("2024-01-01T03:01:00Z");
    fixture.end_kept();
    assert_eq!(fixture.runs(), ["01 03:00 1 CANCELLED"]);
    // A schedule that is dropped stops its run.
    fixture.tick("2024-01-01T04:00:00Z");
    let stop = fixture.executor.kept.lock()[0].1.clone();
    fixture.catalog.commit(vec![Change::DropSchedule { name: "s".to_owned(), if_exists: false }]).unwrap();
    fixture.tick("2024-01-01T04:01:00Z");
    assert!(stop.is_cancelled());
    fixture.end_kept();
    assert_eq!(fixture.runs(), [""; 0]);
}
