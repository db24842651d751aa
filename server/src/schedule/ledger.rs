//! [`Ledger`]: what the catalog is told of runs as they go: the end, the next attempt, a suspension. Whoever runs, or finds that
//! nobody does, ends runs here.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use chrono::DateTime;
use limnos_catalog::schedule::Status;
use limnos_catalog::{
    Catalog, Change, Error as CatalogError, ScheduleOutcome, ScheduleRun, ScheduleRunState, StatementSchedule,
};
use limnos_engine::clock::Clock;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// How often a suspension is tried again when somebody changes the schedule at the same moment.
const SUSPEND_ATTEMPTS: usize = 5;

/// See the module.
pub struct Ledger {
    pub(super) catalog: Arc<Catalog>,
    pub(super) clock: Arc<dyn Clock>,
    /// The runs that this process works on, and what stops each.
    own: Mutex<HashMap<String, CancellationToken>>,
}

impl Ledger {
    pub(super) fn new(catalog: Arc<Catalog>, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self { catalog, clock, own: Mutex::default() })
    }

    pub(super) fn now_ms(&self) -> i64 {
        self.clock.now().timestamp_millis()
    }

    /// Takes a run as this process's own.
    pub(super) fn own(&self, id: &str) -> CancellationToken {
        let stop = CancellationToken::new();
        self.own.lock().insert(id.to_owned(), stop.clone());
        stop
    }

    /// It isn't, after all.
    pub(super) fn disown(&self, id: &str) {
        self.own.lock().remove(id);
    }

    pub(super) fn own_ids(&self) -> HashSet<String> {
        self.own.lock().keys().cloned().collect()
    }

    pub(super) fn own_count(&self) -> usize {
        self.own.lock().len()
    }

    /// Stops the work on an own run.
    pub(super) fn stop(&self, id: &str) {
        if let Some(stop) = self.own.lock().get(id) {
            stop.cancel();
        }
    }

    /// A run has ended, with its next attempt, or its schedule suspended, as that says. The catalog may be out of reach for a while; a
    /// run whose end isn't told is found as one that goes on nowhere.
    pub fn end(&self, run: &ScheduleRun, state: ScheduleRunState, outcome: ScheduleOutcome) {
        let ended = ScheduleRun { state, finished_at_ms: Some(self.now_ms()), outcome, ..run.clone() };
        if let Err(error) = self.write_end(&ended) {
            tracing::warn!(run = %run.id, %error, "the end of a scheduled run could not be written down");
        }
        // Only now: until here nobody takes it for a run that goes on nowhere.
        self.own.lock().remove(&run.id);
    }

    fn write_end(&self, ended: &ScheduleRun) -> Result<(), CatalogError> {
        let snapshot = self.catalog.snapshot();
        let schedule = snapshot.schedules.values().find(|schedule| schedule.id == ended.schedule_id).cloned();
        let has_failed = matches!(ended.state, ScheduleRunState::Failed | ScheduleRunState::Interrupted);
        let retry = schedule.as_ref().filter(|_| has_failed).and_then(|schedule| next_attempt(schedule, ended));
        let failures = self.catalog.end_schedule_run(ended, retry.as_ref())?;
        let (Some(failures), Some(schedule)) = (failures, schedule) else {
            tracing::warn!(run = %ended.id, "a scheduled run had been ended by somebody else");
            return Ok(());
        };
        let (name, run, attempt) = (schedule.name.as_str(), ended.id.as_str(), ended.attempt);
        let message = ended.outcome.message.as_deref().unwrap_or_default();
        let scheduled_at = DateTime::from_timestamp_millis(ended.scheduled_at_ms).unwrap_or_default();
        match ended.state {
            ScheduleRunState::Succeeded => {
                tracing::info!(schedule = name, run, %scheduled_at, attempt, rows = ended.outcome.rows, "a scheduled run succeeded");
            }
            state => {
                let (state, is_retried) = (state.name(), retry.is_some());
                tracing::warn!(schedule = name, run, %scheduled_at, attempt, state, is_retried, message, "a scheduled run ended");
            }
        }
        if has_failed && retry.is_none() && schedule.suspend_after > 0 && failures >= schedule.suspend_after {
            self.suspend(&schedule.name, failures, message)?;
        }
        Ok(())
    }

    fn suspend(&self, name: &str, failures: u32, message: &str) -> Result<(), CatalogError> {
        let message: String = message.chars().take(500).collect();
        let reason = format!("{failures} runs in a row failed, the last with: {message}");
        for _ in 0..SUSPEND_ATTEMPTS {
            let snapshot = self.catalog.snapshot();
            let Ok(schedule) = snapshot.schedule(name) else { return Ok(()) };
            if schedule.status != Status::Active {
                return Ok(());
            }
            let mut definition = schedule.definition.clone();
            definition.status = Status::Suspended(reason.clone());
            definition.since_ms = self.now_ms();
            let change = Change::AlterSchedule {
                name: name.to_owned(),
                definition: Box::new(definition),
                base_version: Some(schedule.version),
            };
            match self.catalog.commit(vec![change]) {
                Ok(_) => {
                    tracing::warn!(schedule = name, failures, "a schedule is suspended");
                    return Ok(());
                }
                Err(CatalogError::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// The attempt after `ended`, if there is to be one.
fn next_attempt(schedule: &StatementSchedule, ended: &ScheduleRun) -> Option<ScheduleRun> {
    let wait_ms = schedule.retry.wait_ms(ended.attempt)?;
    let now_ms = ended.finished_at_ms.unwrap_or(ended.queued_at_ms);
    Some(ScheduleRun {
        id: uuid::Uuid::now_v7().to_string(),
        attempt: ended.attempt + 1,
        state: ScheduleRunState::Queued,
        queued_at_ms: now_ms,
        not_before_ms: now_ms.saturating_add(wait_ms),
        server_id: 0,
        cancel_requested: false,
        started_at_ms: None,
        finished_at_ms: None,
        outcome: ScheduleOutcome { user: ended.outcome.user.clone(), ..ScheduleOutcome::default() },
        ..ended.clone()
    })
}
