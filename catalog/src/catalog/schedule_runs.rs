//! Runs of schedules: claimed, started, ended, each in a transaction of its own that makes no version of the catalog. Transactions
//! take turns, also those of several servers, so what one has looked at nobody changes before it ends.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::Catalog;
use crate::schedule::Overlap;
use crate::schedule_run::{SCHEDULE_QUEUE_MAX, ScheduleRun, ScheduleRunState, ScheduleState, Trigger};
use crate::store::connection::Connection;
use crate::store::{postgres, schedule_run};
use crate::{Result, ScheduleOutcome};

/// Times of one schedule that are to be claimed.
#[derive(Debug, Clone)]
pub struct ScheduleClaim {
    /// The schedule's id.
    pub schedule_id: i64,
    /// In the order of their times. Those that are claimed already, here or on another server, stay as they are.
    pub runs: Vec<ScheduleRun>,
    /// Times up to this one are settled then: none of them is claimed later.
    pub due_at_ms: Option<i64>,
    /// What to do where a run of the schedule waits or goes on; `None` queues in any case.
    pub overlap: Option<Overlap>,
    /// Runs that are kept of the schedule.
    pub keep: usize,
}

impl Catalog {
    /// The runs of schedules that are kept, the newest first.
    ///
    /// # Errors
    /// [`crate::Error::Store`] if they can't be read.
    pub fn schedule_runs(&self) -> Result<Vec<ScheduleRun>> {
        self.read(schedule_run::load)
    }

    /// Those of them that wait or go on, the oldest first.
    ///
    /// # Errors
    /// [`crate::Error::Store`] if they can't be read.
    pub fn open_schedule_runs(&self) -> Result<Vec<ScheduleRun>> {
        self.read(schedule_run::load_open)
    }

    /// What schedules remember, by their ids. Those that have never run are not in it.
    ///
    /// # Errors
    /// [`crate::Error::Store`] if it can't be read.
    pub fn schedule_states(&self) -> Result<HashMap<i64, ScheduleState>> {
        self.read(schedule_run::load_states)
    }

    /// Claims times of a schedule; returns those that are ours now. Each is claimed once, whoever asks.
    ///
    /// # Errors
    /// [`crate::Error::Store`] if they can't be written.
    pub fn claim_schedule_runs(&self, claim: ScheduleClaim) -> Result<Vec<ScheduleRun>> {
        let now_ms = (self.now_ms)();
        self.write(|connection| claim_runs(connection, claim, now_ms))
    }

    /// Starts a run that waits, in this process. `None` if it doesn't wait any more, or another of its schedule goes on.
    ///
    /// # Errors
    /// [`crate::Error::Store`] if it can't be written.
    pub fn start_schedule_run(&self, id: &str, now_ms: i64) -> Result<Option<ScheduleRun>> {
        let server_id = self.server_id();
        self.write(|connection| {
            let open = schedule_run::load_open(connection)?;
            let Some(run) = open.iter().find(|run| run.id == id && run.state == ScheduleRunState::Queued) else {
                return Ok(None);
            };
            let is_other =
                |other: &&ScheduleRun| other.schedule_id == run.schedule_id && other.state == ScheduleRunState::Running;
            if open.iter().any(|other| is_other(&other)) {
                return Ok(None);
            }
            let mut run = run.clone();
            run.state = ScheduleRunState::Running;
            (run.server_id, run.started_at_ms) = (server_id, Some(now_ms));
            schedule_run::replace(connection, &run)?;
            let mut state = state_of(connection, run.schedule_id)?;
            state.started_at_ms = Some(now_ms);
            schedule_run::put_state(connection, run.schedule_id, &state)?;
            Ok(Some(run))
        })
    }

    /// Ends a run that goes on, with its next attempt if there is to be one. Returns how many scheduled times have failed in a row
    /// now; `None` if the run doesn't go on any more: somebody else has ended it, or its schedule is gone.
    ///
    /// # Errors
    /// [`crate::Error::Store`] if it can't be written.
    pub fn end_schedule_run(&self, run: &ScheduleRun, retry: Option<&ScheduleRun>) -> Result<Option<u32>> {
        self.write(|connection| {
            let kept = schedule_run::find(connection, &run.id)?;
            if kept.is_none_or(|kept| kept.state != ScheduleRunState::Running) {
                return Ok(None);
            }
            schedule_run::replace(connection, run)?;
            if let Some(retry) = retry {
                schedule_run::add(connection, retry)?;
            }
            let mut state = state_of(connection, run.schedule_id)?;
            match run.state {
                ScheduleRunState::Succeeded => {
                    state.failures = 0;
                    state.success_at_ms = state.success_at_ms.max(Some(run.scheduled_at_ms));
                }
                ScheduleRunState::Failed | ScheduleRunState::Interrupted if retry.is_none() => state.failures += 1,
                _ => {}
            }
            schedule_run::put_state(connection, run.schedule_id, &state)?;
            Ok(Some(state.failures))
        })
    }

    /// Writes down what a run that goes on has done so far.
    ///
    /// # Errors
    /// [`crate::Error::Store`] if it can't be written.
    pub fn note_schedule_run(&self, id: &str, outcome: &ScheduleOutcome) -> Result<()> {
        self.write(|connection| match schedule_run::find(connection, id)? {
            Some(kept) if kept.state == ScheduleRunState::Running => {
                schedule_run::replace(connection, &ScheduleRun { outcome: outcome.clone(), ..kept })
            }
            _ => Ok(()),
        })
    }

    /// Cancels a run that waits, or asks whoever runs it to stop. Returns how it stood; `None` if there is no such run.
    ///
    /// # Errors
    /// [`crate::Error::Store`] if it can't be written.
    pub fn cancel_schedule_run(&self, id: &str, message: &str) -> Result<Option<ScheduleRunState>> {
        let now_ms = (self.now_ms)();
        self.write(|connection| {
            let Some(run) = schedule_run::find(connection, id)? else { return Ok(None) };
            let state = run.state;
            cancel(connection, run, message, now_ms)?;
            Ok(Some(state))
        })
    }

    /// Runs that go on nowhere: the server that ran them is gone, or it is this process, which works on `own` alone.
    ///
    /// # Errors
    /// [`crate::Error::Store`] if the store can't say who is there.
    pub fn dead_schedule_runs(&self, own: &HashSet<String>) -> Result<Vec<ScheduleRun>> {
        let open = self.open_schedule_runs()?;
        let going = |run: &ScheduleRun| run.state == ScheduleRunState::Running && !own.contains(&run.id);
        let going: Vec<ScheduleRun> = open.into_iter().filter(going).collect();
        if going.is_empty() {
            return Ok(Vec::new());
        }
        let living = match &self.watch {
            None => BTreeSet::new(),
            Some(_) => self.read(postgres::servers::living)?,
        };
        let server_id = self.server_id();
        Ok(going.into_iter().filter(|run| run.server_id == server_id || !living.contains(&run.server_id)).collect())
    }

    /// Notes that the files of the table that a schedule watches are others now, `seen` before and `files_version` from now on, and
    /// queues `run` for them unless one waits already, which will see them too. False if somebody else has noted it.
    ///
    /// # Errors
    /// [`crate::Error::Store`] if it can't be written.
    pub fn note_table_files(
        &self,
        schedule_id: i64,
        seen: Option<&str>,
        files_version: &str,
        run: Option<&ScheduleRun>,
        keep: usize,
    ) -> Result<bool> {
        self.write(|connection| {
            let mut state = state_of(connection, schedule_id)?;
            if state.files_version.as_deref() != seen || !schedule_run::is_schedule(connection, schedule_id)? {
                return Ok(false);
            }
            state.files_version = Some(files_version.to_owned());
            schedule_run::put_state(connection, schedule_id, &state)?;
            let Some(run) = run else { return Ok(true) };
            let waits = |open: &ScheduleRun| {
                let is_its = open.schedule_id == schedule_id && open.state == ScheduleRunState::Queued;
                // A retry that waits will see the files as well.
                is_its && open.trigger == Trigger::Change
            };
            if !schedule_run::load_open(connection)?.iter().any(waits) {
                let mut run = run.clone();
                // Two changes in one millisecond are two.
                while !schedule_run::add(connection, &run)? {
                    run.scheduled_at_ms += 1;
                }
                schedule_run::forget(connection, schedule_id, keep)?;
            }
            Ok(true)
        })
    }
}

fn state_of(connection: &mut dyn Connection, schedule_id: i64) -> Result<ScheduleState> {
    Ok(schedule_run::load_states(connection)?.remove(&schedule_id).unwrap_or_default())
}

fn cancel(connection: &mut dyn Connection, mut run: ScheduleRun, message: &str, now_ms: i64) -> Result<()> {
    match run.state {
        ScheduleRunState::Queued => {
            run.state = ScheduleRunState::Cancelled;
            run.finished_at_ms = Some(now_ms);
            run.outcome.message = Some(message.to_owned());
        }
        ScheduleRunState::Running => {
            run.cancel_requested = true;
            run.outcome.message = Some(message.to_owned());
        }
        _ => return Ok(()),
    }
    schedule_run::replace(connection, &run)
}

fn claim_runs(connection: &mut dyn Connection, claim: ScheduleClaim, now_ms: i64) -> Result<Vec<ScheduleRun>> {
    let ScheduleClaim { schedule_id, runs, due_at_ms, overlap, keep } = claim;
    if !schedule_run::is_schedule(connection, schedule_id)? {
        return Ok(Vec::new());
    }
    let mut state = state_of(connection, schedule_id)?;
    let settled_ms = state.due_at_ms;
    let open = schedule_run::load_open(connection)?;
    let open: Vec<ScheduleRun> = open.into_iter().filter(|run| run.schedule_id == schedule_id).collect();
    let mut queued_count = open.iter().filter(|run| run.state == ScheduleRunState::Queued).count();
    let mut claimed = Vec::new();
    for mut run in runs {
        let is_settled = run.trigger == Trigger::Schedule && settled_ms.is_some_and(|due| run.scheduled_at_ms <= due);
        if is_settled {
            continue;
        }
        if run.state == ScheduleRunState::Queued {
            let reason = match overlap {
                Some(Overlap::Skip) if !open.is_empty() => Some("the run before it had not ended".to_owned()),
                _ if queued_count >= SCHEDULE_QUEUE_MAX => {
                    Some(format!("{SCHEDULE_QUEUE_MAX} runs of the schedule waited already"))
                }
                _ => None,
            };
            if let Some(reason) = reason {
                run.state = ScheduleRunState::Skipped;
                run.finished_at_ms = Some(now_ms);
                run.outcome.message = Some(reason);
            }
        }
        if schedule_run::add(connection, &run)? {
            queued_count += usize::from(run.state == ScheduleRunState::Queued);
            claimed.push(run);
        }
    }
    if overlap == Some(Overlap::Replace) && claimed.iter().any(|run| run.state == ScheduleRunState::Queued) {
        for run in open {
            cancel(connection, run, "it was replaced by the next run of the schedule", now_ms)?;
        }
    }
    if due_at_ms > state.due_at_ms {
        state.due_at_ms = due_at_ms;
        schedule_run::put_state(connection, schedule_id, &state)?;
    }
    if !claimed.is_empty() {
        schedule_run::forget(connection, schedule_id, keep)?;
    }
    Ok(claimed)
}
