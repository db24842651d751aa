//! What runs by itself: [`Scheduler`] says which [`Job`]s are due, [`run`] starts them as time goes by. [`crawls`] are the
//! jobs of crawlers; other kinds bring their own [`Jobs`]. Schedules of statements, with all their policies, are [`statements`]'
//! ([`mod@execute`] carries their runs out, [`watch`] sees tables change).
//!
//! ```text
//! clock ── tick ── due? ── Jobs::start ── query::QueryService (as the owner) ── history
//! ```
//! - A time that was due is handed out once. It is remembered with the run (`system.crawls.due_at`), so a restart does not
//!   hand it out again, and another server on the same catalog does not run it a second time.
//! - Times that were due while no server ran, however many, are made up for by one run, at the start.
//! - A time that is due while the job still runs is passed over, and so are times while a schedule is paused.
//! - A clock that is set back makes nothing due twice.

pub mod crawls;
pub mod datasets;
mod due;
pub mod execute;
pub mod ledger;
pub mod statements;
pub mod watch;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use limnos_catalog::Schedule;
use limnos_engine::clock::Clock;
use limnos_engine::schedule::Timetable;
use tokio_util::sync::CancellationToken;

/// How long a new schedule may go unnoticed, and how late a job may start.
const TICK: Duration = Duration::from_millis(500);

/// Something that runs by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Names it for good: a rename leaves it.
    pub key: i64,
    /// When it is due.
    pub schedule: Schedule,
    /// Times up to this one don't count: the schedule was made or resumed then.
    pub since: DateTime<Utc>,
}

/// A job that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// The job.
    pub key: i64,
    /// When it was due; not always now.
    pub at: DateTime<Utc>,
}

/// Jobs of one kind.
pub trait Jobs: Send + Sync + 'static {
    /// All that there are now.
    fn jobs(&self) -> Vec<Job>;

    /// When a job's last scheduled run was due. Asked once, when the job is first seen.
    fn last_due(&self, key: i64) -> Option<DateTime<Utc>>;

    /// Starts it; returns at once.
    fn start(&self, due: Due);
}

/// Says what is due. Holds what was handed out; asks the clock and the jobs for the rest.
pub struct Scheduler {
    clock: Arc<dyn Clock>,
    jobs: Arc<dyn Jobs>,
    known: HashMap<i64, Known>,
}

/// A job as it was last seen.
struct Known {
    job: Job,
    timetable: Option<Timetable>,
    /// The last time that was handed out, or from when on times count.
    after: DateTime<Utc>,
    next: Option<DateTime<Utc>>,
}

impl Known {
    fn new(job: Job, last_due: Option<DateTime<Utc>>) -> Self {
        let timetable = Timetable::new(&job.schedule)
            .inspect_err(|error| tracing::warn!(job = job.key, %error, "a schedule cannot be read and is not followed"))
            .ok();
        let after = last_due.map_or(job.since, |last| last.max(job.since));
        let next = timetable.as_ref().and_then(|timetable| timetable.next_after(after));
        Self { job, timetable, after, next }
    }

    /// The time that is due now, once.
    fn take_due(&mut self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.next.filter(|next| *next <= now)?;
        let timetable = self.timetable.as_ref()?;
        let due = timetable.last_due(self.after, now)?;
        self.after = due;
        self.next = timetable.next_after(due);
        Some(due)
    }
}

impl Scheduler {
    /// A scheduler that has handed out nothing yet.
    pub fn new(clock: Arc<dyn Clock>, jobs: Arc<dyn Jobs>) -> Self {
        Self { clock, jobs, known: HashMap::new() }
    }

    /// What has become due since the last call.
    pub fn tick(&mut self) -> Vec<Due> {
        let now = self.clock.now();
        let jobs = self.jobs.jobs();
        let mut due = Vec::new();
        let mut known = std::mem::take(&mut self.known);
        for job in jobs {
            let key = job.key;
            let mut current = match known.remove(&key) {
                Some(current) if current.job == job => current,
                // What was handed out under another schedule is not handed out again.
                Some(changed) => Known::new(job, Some(changed.after)),
                None => {
                    let last_due = self.jobs.last_due(key);
                    Known::new(job, last_due)
                }
            };
            due.extend(current.take_due(now).map(|at| Due { key, at }));
            self.known.insert(key, current);
        }
        due
    }
}

/// Starts what is due until `stop`.
pub async fn run(mut scheduler: Scheduler, stop: CancellationToken) {
    loop {
        for due in scheduler.tick() {
            tracing::info!(job = due.key, due_at = %due.at, "a scheduled run is due");
            scheduler.jobs.start(due);
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(TICK) => {}
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use chrono::TimeDelta;
    use limnos_engine::clock::MockClock;
    use parking_lot::Mutex;

    use super::*;

    #[derive(Default)]
    struct Fixed {
        jobs: Mutex<Vec<Job>>,
        last_due: Mutex<HashMap<i64, DateTime<Utc>>>,
    }

    impl Jobs for Fixed {
        fn jobs(&self) -> Vec<Job> {
            self.jobs.lock().clone()
        }

        fn last_due(&self, key: i64) -> Option<DateTime<Utc>> {
            self.last_due.lock().get(&key).copied()
        }

        fn start(&self, _due: Due) {}
    }

    fn at(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).unwrap().with_timezone(&Utc)
    }

    fn job(key: i64, cron: &str, time_zone: &str, since: &str) -> Job {
        let schedule = Schedule { cron: cron.to_owned(), time_zone: time_zone.to_owned() };
        Job { key, schedule, since: at(since) }
    }

    /// Every minute of 2024, with a restart of the scheduler each week, and nobody sleeps.
    #[test]
    fn a_year_of_minutes() {
        let start = "2023-12-31T23:00:00Z";
        let jobs = Arc::new(Fixed::default());
        jobs.jobs.lock().extend([
            job(1, "0 2 * * *", "UTC", start),
            job(2, "30 2 * * *", "Europe/Berlin", start),
            job(3, "0 9 * * MON-FRI", "America/New_York", start),
            job(4, "0 0 29 2 *", "UTC", start),
            job(5, "*/15 * * * *", "Europe/Berlin", start),
        ]);
        let clock = MockClock::new(at(start));
        let new = || Scheduler::new(clock.clone() as Arc<dyn Clock>, jobs.clone() as Arc<dyn Jobs>);
        let mut scheduler = new();
        let mut counts: HashMap<i64, u32> = HashMap::new();
        let mut now = at(start);
        while now < at("2024-12-31T23:00:00Z") {
            now += TimeDelta::minutes(1);
            clock.set(now);
            for due in scheduler.tick() {
                assert_eq!(due.at, now, "{due:?}");
                *counts.entry(due.key).or_default() += 1;
                jobs.last_due.lock().insert(due.key, due.at);
            }
            if (now - at(start)).num_minutes() % (7 * 24 * 60) == 0 {
                scheduler = new();
            }
        }
        // 366 days; the days of changed clocks have one run each of what is daily, and 92 and 100 quarters of an hour.
        let counts: Vec<u32> = (1..=5).map(|key| counts[&key]).collect();
        assert_eq!(counts, [366, 366, 262, 1, 366 * 96]);
    }

    #[test]
    fn what_was_missed_is_made_up_for_once() {
        let jobs = Arc::new(Fixed::default());
        jobs.jobs.lock().push(job(1, "0 * * * *", "UTC", "2024-01-01T00:30:00Z"));
        jobs.last_due.lock().insert(1, at("2024-01-01T05:00:00Z"));
        let clock = MockClock::new(at("2024-01-03T10:20:00Z"));
        let mut scheduler = Scheduler::new(clock.clone(), jobs.clone());
        assert_eq!(scheduler.tick(), [Due { key: 1, at: at("2024-01-03T10:00:00Z") }]);
        assert_eq!(scheduler.tick(), []);
        // Set back, the clock makes nothing due again.
        clock.set(at("2024-01-03T09:50:00Z"));
        assert_eq!(scheduler.tick(), []);
        clock.set(at("2024-01-03T10:30:00Z"));
        assert_eq!(scheduler.tick(), []);
        clock.set(at("2024-01-03T11:00:00Z"));
        assert_eq!(scheduler.tick(), [Due { key: 1, at: at("2024-01-03T11:00:00Z") }]);
        // Another server, or this one started again, knows it by the run that was noted.
        jobs.last_due.lock().insert(1, at("2024-01-03T11:00:00Z"));
        assert_eq!(Scheduler::new(clock, jobs).tick(), []);
    }

    #[test]
    fn schedules_come_change_and_go() {
        let jobs = Arc::new(Fixed::default());
        let clock = MockClock::new(at("2024-01-01T00:00:00Z"));
        let mut scheduler = Scheduler::new(clock.clone(), jobs.clone());
        assert_eq!(scheduler.tick(), []);
        // A new one has missed nothing.
        jobs.jobs.lock().push(job(1, "0 * * * *", "UTC", "2024-01-01T06:00:00Z"));
        clock.set(at("2024-01-01T06:00:00Z"));
        assert_eq!(scheduler.tick(), []);
        clock.set(at("2024-01-01T07:00:00Z"));
        assert_eq!(scheduler.tick().len(), 1);
        // Changed within the hour: due by the new one from its change on.
        *jobs.jobs.lock() = vec![job(1, "30 * * * *", "UTC", "2024-01-01T07:45:00Z")];
        clock.set(at("2024-01-01T08:29:00Z"));
        assert_eq!(scheduler.tick(), []);
        clock.set(at("2024-01-01T08:30:00Z"));
        assert_eq!(scheduler.tick().len(), 1);
        // Paused it is no job; resumed, what was due meanwhile is passed over.
        jobs.jobs.lock().clear();
        clock.set(at("2024-01-01T12:40:00Z"));
        assert_eq!(scheduler.tick(), []);
        jobs.jobs.lock().push(job(1, "30 * * * *", "UTC", "2024-01-01T12:40:00Z"));
        assert_eq!(scheduler.tick(), []);
        // One that can't be read keeps nobody from theirs.
        jobs.jobs.lock().push(job(2, "nonsense", "UTC", "2024-01-01T00:00:00Z"));
        clock.set(at("2024-01-01T13:30:00Z"));
        assert_eq!(scheduler.tick(), [Due { key: 1, at: at("2024-01-01T13:30:00Z") }]);
    }
}
