//! [`Statements`]: runs schedules of statements. One look at the clock and the catalog is a [`Statements::tick`]:
//!
//! ```text
//! due times ── claim (a row, once for all servers) ──> QUEUED ──start (one at a time for each schedule)──> Executor
//! QUEUED retries, RUN SCHEDULE, changed files ─────────────┘                        Ledger::end <─────────────┘
//! RUNNING runs of servers that are gone ── Ledger::end as INTERRUPTED
//! ```
//! - All that is known of runs is in the catalog; what is held here can be lost at any moment.
//! - A time is claimed before it runs, in the transaction that settles it. Two servers that find it due have one run of it.
//! - Runs of a schedule that is paused or suspended wait, but for those that somebody asks for.
//! - A clock that is set back makes nothing due twice.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use limnos_catalog::schedule::{Status, When};
use limnos_catalog::schedule_run::Trigger;
use limnos_catalog::{
    Catalog, Error as CatalogError, ScheduleClaim, ScheduleOutcome, ScheduleRun, ScheduleRunState, ScheduleState,
    StatementSchedule,
};
use limnos_engine::clock::Clock;
use limnos_engine::occurrence::Occurrences;
use tokio_util::sync::CancellationToken;

use super::due::{DueTime, What, due_times};
use super::ledger::Ledger;

/// How late a run may start, and a cancel be heard.
const TICK: Duration = Duration::from_millis(500);

/// Runs of this server that go on at the same time; what is due beyond waits. The one door bounds what they do.
const RUNNING_MAX: usize = 16;

/// How often runs of servers that are gone are looked for. They are gone for a minute before anybody can say so.
const DEAD_LOOK: TimeDelta = TimeDelta::seconds(5);

/// Runs that are kept of each schedule, unless the configuration says otherwise.
pub const HISTORY: usize = 1_000;

/// Carries out runs that have been started.
pub trait Executor: Send + Sync + 'static {
    /// Begins `run` of `schedule`; returns at once. Its end goes to `ledger`, once. `stop` asks it to end soon.
    fn execute(
        &self,
        ledger: &Arc<Ledger>,
        run: ScheduleRun,
        schedule: Arc<StatementSchedule>,
        last_success_ms: Option<i64>,
        stop: CancellationToken,
    );
}

/// See the module.
pub struct Statements {
    ledger: Arc<Ledger>,
    executor: Arc<dyn Executor>,
    history: usize,
    known: HashMap<i64, Known>,
    dead_looked_at: Option<DateTime<Utc>>,
}

/// A schedule as it was last seen.
struct Known {
    version: i64,
    occurrences: Option<Occurrences>,
    /// Times up to this one are settled.
    after: DateTime<Utc>,
    next: Option<DateTime<Utc>>,
}

impl Known {
    fn new(schedule: &StatementSchedule, state: Option<&ScheduleState>) -> Self {
        let occurrences = Occurrences::new(schedule)
            .inspect_err(|error| tracing::warn!(schedule = %schedule.name, %error, "a schedule cannot be read and is not followed"))
            .ok();
        let settled =
            state.and_then(|state| state.due_at_ms).map_or(schedule.since_ms, |due| due.max(schedule.since_ms));
        let after = DateTime::from_timestamp_millis(settled).unwrap_or_default();
        let next = occurrences.as_ref().and_then(|occurrences| occurrences.next_after(after));
        Self { version: schedule.version, occurrences, after, next }
    }
}

impl Statements {
    /// Runs the schedules of `catalog`; of each, `history` runs are kept.
    pub fn new(catalog: Arc<Catalog>, clock: Arc<dyn Clock>, executor: Arc<dyn Executor>, history: usize) -> Self {
        let ledger = Ledger::new(catalog, clock);
        Self { ledger, executor, history, known: HashMap::new(), dead_looked_at: None }
    }

    /// What ends runs.
    pub(super) fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// Looks what is due, what may start, what is to stop. Blocks on the catalog.
    ///
    /// # Errors
    /// When the catalog can't be read or written; the next look makes up for it.
    pub fn tick(&mut self) -> Result<(), CatalogError> {
        let now = self.ledger.clock.now();
        let snapshot = self.ledger.catalog.snapshot();
        self.known.retain(|id, _| snapshot.schedules.values().any(|schedule| schedule.id == *id));
        if snapshot.schedules.is_empty() && self.ledger.own_count() == 0 {
            return Ok(());
        }
        let schedules: Vec<Arc<StatementSchedule>> = snapshot.schedules.values().cloned().collect();
        self.claim_due(&schedules, now)?;
        self.find_dead(now)?;
        self.start_and_stop(&schedules, now)
    }

    fn claim_due(&mut self, schedules: &[Arc<StatementSchedule>], now: DateTime<Utc>) -> Result<(), CatalogError> {
        let is_new = |schedule: &&Arc<StatementSchedule>| {
            self.known.get(&schedule.id).is_none_or(|known| known.version != schedule.version)
        };
        if schedules.iter().any(|schedule| is_new(&schedule)) {
            let states = self.ledger.catalog.schedule_states()?;
            let new: Vec<_> = schedules.iter().filter(is_new).collect();
            let new: Vec<_> = new.into_iter().map(|it| (it.id, Known::new(it, states.get(&it.id)))).collect();
            self.known.extend(new);
        }
        for schedule in schedules.iter().filter(|schedule| schedule.status == Status::Active) {
            let Some(known) = self.known.get_mut(&schedule.id) else { continue };
            let (Some(next), Some(occurrences)) = (known.next, &known.occurrences) else { continue };
            if next > now {
                continue;
            }
            let due = due_times(occurrences, schedule.catch_up, known.after, now);
            let Some(last) = due.last().map(|due| due.at) else { continue };
            claim(&self.ledger, schedule, &due, now, self.history)?;
            known.after = last;
            known.next = occurrences.next_after(last);
        }
        Ok(())
    }

    fn find_dead(&mut self, now: DateTime<Utc>) -> Result<(), CatalogError> {
        if self.dead_looked_at.is_some_and(|at| (now - at).abs() < DEAD_LOOK) {
            return Ok(());
        }
        for run in self.ledger.catalog.dead_schedule_runs(&self.ledger.own_ids())? {
            let message = Some("interrupted: the server ended before the run did".to_owned());
            let outcome = ScheduleOutcome { message, ..run.outcome.clone() };
            self.ledger.end(&run, ScheduleRunState::Interrupted, outcome);
        }
        self.dead_looked_at = Some(now);
        Ok(())
    }

    fn start_and_stop(&self, schedules: &[Arc<StatementSchedule>], now: DateTime<Utc>) -> Result<(), CatalogError> {
        let ledger = &self.ledger;
        let own = ledger.own_ids();
        let open = ledger.catalog.open_schedule_runs()?;
        for id in &own {
            // Ended by somebody else, or its schedule is gone; or somebody wants it stopped.
            let kept = open.iter().find(|run| run.id == *id && run.state == ScheduleRunState::Running);
            if kept.is_none_or(|run| run.cancel_requested) {
                ledger.stop(id);
            }
        }
        let mut busy: Vec<i64> =
            open.iter().filter(|run| run.state == ScheduleRunState::Running).map(|run| run.schedule_id).collect();
        let now_ms = now.timestamp_millis();
        let mut states = None;
        for run in open.iter().filter(|run| run.state == ScheduleRunState::Queued && run.not_before_ms <= now_ms) {
            let Some(schedule) = schedules.iter().find(|schedule| schedule.id == run.schedule_id) else { continue };
            let may_run = schedule.status == Status::Active || run.trigger == Trigger::Statement;
            if !may_run || busy.contains(&run.schedule_id) || ledger.own_count() >= RUNNING_MAX {
                continue;
            }
            let states = match &mut states {
                Some(states) => states,
                none => none.insert(ledger.catalog.schedule_states()?),
            };
            let state: ScheduleState = states.get(&schedule.id).cloned().unwrap_or_default();
            if run.trigger == Trigger::Change && !is_long_enough(schedule, &state, now_ms) {
                continue;
            }
            // Before the catalog says that it runs: nobody here takes it for one that goes on nowhere.
            let stop = ledger.own(&run.id);
            match ledger.catalog.start_schedule_run(&run.id, now_ms) {
                Ok(Some(started)) => {
                    let scheduled_at = DateTime::from_timestamp_millis(run.scheduled_at_ms).unwrap_or_default();
                    tracing::info!(schedule = %schedule.name, run = %run.id, %scheduled_at, attempt = run.attempt, trigger = run.trigger.name(), "a scheduled run starts");
                    busy.push(run.schedule_id);
                    self.executor.execute(ledger, started, Arc::clone(schedule), state.success_at_ms, stop);
                }
                Ok(None) => ledger.disown(&run.id),
                Err(error) => {
                    ledger.disown(&run.id);
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

/// Whether the last run of a schedule began long enough ago for one that files start.
fn is_long_enough(schedule: &StatementSchedule, state: &ScheduleState, now_ms: i64) -> bool {
    match (&schedule.when, state.started_at_ms) {
        (When::OnChange { minimum_interval_ms, .. }, Some(started)) => {
            // A clock that was set back must not hold it up for long.
            !(0..*minimum_interval_ms).contains(&(now_ms - started))
        }
        _ => true,
    }
}

fn claim(
    ledger: &Ledger,
    schedule: &StatementSchedule,
    due: &[DueTime],
    now: DateTime<Utc>,
    keep: usize,
) -> Result<(), CatalogError> {
    let now_ms = now.timestamp_millis();
    let run = |due: &DueTime| {
        let message = match due.what {
            What::OnTime | What::CaughtUp => None,
            What::ForMissed => Some("it stands for all times that were missed while no server ran".to_owned()),
            What::Passed => Some("it was missed while no server ran, with all times before it".to_owned()),
        };
        let is_passed = due.what == What::Passed;
        let mut run = queued(schedule, Trigger::Schedule, due.at, now_ms);
        if is_passed {
            run.state = ScheduleRunState::Skipped;
            run.finished_at_ms = Some(now_ms);
        }
        run.outcome.message = message;
        run
    };
    // What is caught up waits for its turn whatever the policy: it would pass over itself.
    let is_caught_up = due.iter().any(|due| due.what == What::CaughtUp);
    let claim = ScheduleClaim {
        schedule_id: schedule.id,
        runs: due.iter().map(run).collect(),
        due_at_ms: due.last().map(|due| due.at.timestamp_millis()),
        overlap: (!is_caught_up).then_some(schedule.overlap),
        keep,
    };
    for claimed in ledger.catalog.claim_schedule_runs(claim)? {
        if claimed.state == ScheduleRunState::Skipped {
            let scheduled_at = DateTime::from_timestamp_millis(claimed.scheduled_at_ms).unwrap_or_default();
            let message = claimed.outcome.message.as_deref().unwrap_or_default();
            tracing::warn!(schedule = %schedule.name, %scheduled_at, message, "a scheduled time was passed over");
        }
    }
    Ok(())
}

/// A first attempt that waits.
pub(super) fn queued(
    schedule: &StatementSchedule,
    trigger: Trigger,
    scheduled_at: DateTime<Utc>,
    now_ms: i64,
) -> ScheduleRun {
    ScheduleRun {
        id: uuid::Uuid::now_v7().to_string(),
        schedule_id: schedule.id,
        trigger,
        scheduled_at_ms: scheduled_at.timestamp_millis(),
        attempt: 1,
        state: ScheduleRunState::Queued,
        queued_at_ms: now_ms,
        not_before_ms: now_ms,
        server_id: 0,
        cancel_requested: false,
        started_at_ms: None,
        finished_at_ms: None,
        outcome: ScheduleOutcome { user: schedule.owner.clone(), ..ScheduleOutcome::default() },
    }
}

/// Ticks until `stop`, then waits for what goes on: whoever stops the server stops its queries.
pub async fn run(mut statements: Statements, stop: CancellationToken) {
    let ledger = Arc::clone(statements.ledger());
    let mut was_away = false;
    while !stop.is_cancelled() {
        let ticked = tokio::task::spawn_blocking(move || {
            let outcome = statements.tick();
            (statements, outcome)
        });
        let outcome;
        (statements, outcome) = match ticked.await {
            Ok(ticked) => ticked,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        };
        match &outcome {
            Err(error) if !was_away => tracing::warn!(%error, "schedules cannot be followed"),
            Ok(()) if was_away => tracing::info!("schedules are followed again"),
            _ => {}
        }
        was_away = outcome.is_err();
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(TICK) => {}
        }
    }
    while ledger.own_count() > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[cfg(test)]
#[path = "statements_tests.rs"]
mod tests;
