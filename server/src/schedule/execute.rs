//! [`ThroughTheDoor`]: carries out a run's statements, one after the other, as the schedule's owner, through the one door. The first
//! that fails ends the run; what ran before stays done.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray as _, RecordBatch};
use chrono::DateTime;
use limnos_catalog::schedule::When;
use limnos_catalog::{ScheduleOutcome, ScheduleRun, ScheduleRunState, StatementSchedule};
use limnos_engine::parse::parameter::Parameters;
use limnos_engine::parse::{ParsedStatement, Statement};
use limnos_engine::{CommandTag, Error, ErrorCode, Result, Session};
use tokio_util::sync::CancellationToken;

use super::ledger::Ledger;
use super::statements::Executor;
use crate::query::{CancelSlot, QueryService};

/// What PostgreSQL's clients are told of a cancel.
const CANCELED: &str = "canceling statement due to user request";
const TIMED_OUT: &str = "canceling statement due to statement timeout";

/// See the module.
pub struct ThroughTheDoor {
    service: Arc<QueryService>,
    catalog_name: String,
}

impl ThroughTheDoor {
    /// `catalog_name` is `current_database()`.
    pub fn new(service: Arc<QueryService>, catalog_name: String) -> Self {
        Self { service, catalog_name }
    }
}

impl Executor for ThroughTheDoor {
    fn execute(
        &self,
        ledger: &Arc<Ledger>,
        run: ScheduleRun,
        schedule: Arc<StatementSchedule>,
        last_success_ms: Option<i64>,
        stop: CancellationToken,
    ) {
        let work = Work {
            service: Arc::clone(&self.service),
            ledger: Arc::clone(ledger),
            catalog_name: self.catalog_name.clone(),
            schedule,
            last_success_ms,
            slot: CancelSlot::default(),
        };
        tokio::runtime::Handle::current().spawn(async move {
            let ledger = Arc::clone(&work.ledger);
            let (state, outcome) = Box::pin(work.run(&run, stop)).await;
            let written = tokio::task::spawn_blocking(move || ledger.end(&run, state, outcome));
            if let Err(error) = written.await {
                tracing::error!(%error, "the end of a scheduled run could not be written down");
            }
        });
    }
}

/// One run while it goes on.
struct Work {
    service: Arc<QueryService>,
    ledger: Arc<Ledger>,
    catalog_name: String,
    schedule: Arc<StatementSchedule>,
    last_success_ms: Option<i64>,
    slot: CancelSlot,
}

/// Why a run was stopped before its end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stopped {
    Asked,
    TimedOut,
}

impl Work {
    async fn run(&self, run: &ScheduleRun, stop: CancellationToken) -> (ScheduleRunState, ScheduleOutcome) {
        let mut outcome = ScheduleOutcome { user: self.schedule.owner.clone(), ..run.outcome.clone() };
        outcome.query_ids.clear();
        let mut stopped = None;
        let result = {
            let work = self.statements(run, &mut outcome);
            tokio::pin!(work);
            let timeout = async {
                match self.schedule.timeout_ms.and_then(|ms| u64::try_from(ms).ok()) {
                    Some(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
                    None => std::future::pending().await,
                }
            };
            let reason = tokio::select! {
                biased;
                result = &mut work => Err(result),
                () = stop.cancelled() => Ok(Stopped::Asked),
                () = timeout => Ok(Stopped::TimedOut),
            };
            match reason {
                Err(result) => result,
                Ok(reason) => {
                    stopped = Some(reason);
                    let text = if reason == Stopped::Asked { CANCELED } else { TIMED_OUT };
                    // Statement after statement: the next one may have begun in between.
                    loop {
                        self.slot.cancel(text);
                        tokio::select! {
                            result = &mut work => break result,
                            () = tokio::time::sleep(Duration::from_millis(50)) => {}
                        }
                    }
                }
            }
        };
        let Err(error) = result else {
            return (ScheduleRunState::Succeeded, outcome);
        };
        outcome.sqlstate = Some(error.code.sqlstate().to_owned());
        let state = match (stopped, error.code) {
            (Some(Stopped::Asked), ErrorCode::QueryCanceled) => {
                // Who asked for it has said why.
                let kept = self.ledger.catalog.open_schedule_runs().unwrap_or_default();
                let kept = kept.into_iter().find(|kept| kept.id == run.id).and_then(|kept| kept.outcome.message);
                outcome.message = kept.or(Some(error.message));
                return (ScheduleRunState::Cancelled, outcome);
            }
            (Some(Stopped::TimedOut), ErrorCode::QueryCanceled) => {
                let limit = self.schedule.timeout_ms.unwrap_or_default();
                outcome.message = Some(format!("the run took longer than its timeout of {limit} ms"));
                return (ScheduleRunState::Failed, outcome);
            }
            // The server is shut down: another, or this one when it is back, may go on.
            (_, ErrorCode::AdminShutdown) => ScheduleRunState::Interrupted,
            // pg_cancel_backend, KILL.
            (None, ErrorCode::QueryCanceled) if !error.message.contains("timeout") => ScheduleRunState::Cancelled,
            _ => ScheduleRunState::Failed,
        };
        outcome.message = Some(error.message);
        (state, outcome)
    }

    async fn statements(&self, run: &ScheduleRun, outcome: &mut ScheduleOutcome) -> Result<()> {
        let mut session = self.session(run)?;
        let parameters = self.parameters(run, &session);
        let parsed = self.service.parse_with(&session, &self.schedule.statements, parameters);
        for statement in self.slot.guard(parsed).await? {
            if matches!(statement.statement, Statement::Empty) {
                continue;
            }
            let before = outcome.query_ids.len();
            let ran = Box::pin(self.statement(&mut session, statement, outcome)).await;
            if outcome.query_ids.len() > before && ran.is_ok() {
                let (ledger, id, so_far) = (Arc::clone(&self.ledger), run.id.clone(), outcome.clone());
                // What is seen of it while it goes on; the end tells all of it.
                let noted = tokio::task::spawn_blocking(move || ledger.catalog.note_schedule_run(&id, &so_far));
                if let Ok(Err(error)) = noted.await {
                    tracing::warn!(run = %run.id, %error, "a scheduled run could not be written down");
                }
            }
            ran?;
        }
        Ok(())
    }

    async fn statement(
        &self,
        session: &mut Session,
        statement: ParsedStatement,
        outcome: &mut ScheduleOutcome,
    ) -> Result<()> {
        let prepared = Box::pin(self.slot.guard(self.service.prepare(session, Arc::new(statement), &[]))).await?;
        if !prepared.parameter_types.is_empty() {
            return Err(Error::new(ErrorCode::UndefinedObject, "there is no parameter $1")
                .with_hint("A schedule has {{scheduled_time}}, {{scheduled_date}} and {{last_success}}."));
        }
        let none: &[ArrayRef] = &[];
        let mut result = match self.service.execute(session, &prepared, none, &self.slot).await {
            Ok(result) => result,
            Err(error) => {
                outcome.query_ids.extend(self.slot.query_id());
                return Err(error);
            }
        };
        outcome.query_ids.push(result.query_id.clone());
        let mut rows = 0;
        while let Some(batch) = result.next().await {
            match batch {
                Ok(batch) => {
                    rows += batch.num_rows() as u64;
                    if matches!(result.tag, CommandTag::Rows("RUN REPORT")) {
                        outcome.output_files.extend(files_of(&batch));
                    }
                }
                Err(error) => {
                    outcome.bytes_scanned += result.bytes_scanned();
                    return Err(error);
                }
            }
        }
        outcome.rows += match &result.tag {
            // `INSERT 0 3`: what was written.
            CommandTag::Plain(tag) => tag.rsplit(' ').next().and_then(|count| count.parse().ok()).unwrap_or(rows),
            CommandTag::Rows(_) => rows,
        };
        outcome.bytes_scanned += result.bytes_scanned();
        result.finish(rows);
        Ok(())
    }

    /// A session of the owner's, as the schedule's maker had it.
    fn session(&self, run: &ScheduleRun) -> Result<Session> {
        let schedule = &self.schedule;
        let mut session = self.service.session_of_owner(&schedule.owner, &self.catalog_name);
        session.settings.set("dialect", std::slice::from_ref(&schedule.dialect))?;
        for (name, value) in &schedule.settings {
            session.settings.set(name, std::slice::from_ref(value))?;
        }
        let shown = match (schedule.dialect.as_str(), schedule.database.as_str()) {
            ("postgres", "default") => "public",
            (_, name) => name,
        };
        session.settings.set("search_path", &[shown.to_owned()])?;
        session.database.clone_from(&schedule.database);
        session.settings.set("application_name", &[format!("schedule {}", schedule.name)])?;
        session.due_at_ms = Some(run.scheduled_at_ms);
        Ok(session)
    }

    /// Dates are those of the schedule's time zone; of an interval's, of its maker's.
    fn parameters(&self, run: &ScheduleRun, session: &Session) -> Parameters {
        let zone = match &self.schedule.when {
            When::Cron(schedule) => schedule.time_zone.clone(),
            _ => session.settings.show("TimeZone").unwrap_or_default(),
        };
        let at = DateTime::from_timestamp_millis(run.scheduled_at_ms).unwrap_or_default();
        Parameters::of_schedule(at, &zone, self.last_success_ms.and_then(DateTime::from_timestamp_millis))
    }
}

/// The files that RUN REPORT says it has made.
fn files_of(batch: &RecordBatch) -> Vec<String> {
    let files = batch.column_by_name("file").and_then(|column| column.as_string_opt::<i32>());
    files.into_iter().flatten().flatten().map(str::to_owned).collect()
}
