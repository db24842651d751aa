//! Schedules of statements: made, changed, shown, dropped, run and stopped on demand. What starts them is the server's.

mod define;
mod show;
mod table;

use limnos_catalog::schedule::Status;
use limnos_catalog::schedule_run::Trigger;
use limnos_catalog::{
    Change, CreateMode, ScheduleClaim, ScheduleDefinition, ScheduleOutcome, ScheduleRun, ScheduleRunState,
};

pub(super) use self::show::schedules_schema;
pub use self::table::{ScheduleRuns, Schedules};

use super::answer::text_rows;
use super::{CommandAnswer, CommandContext, commit, show as show_commands, skipping};
use crate::parse::schedule::ScheduleStatement;
use crate::plan::authorize::Rights;
use crate::{Error, ErrorCode, Notice, Result, Session};

/// The column that RUN SCHEDULE answers with.
pub(super) const RUN_SCHEDULE: &[&str] = &["run_id"];

pub(super) async fn run(
    context: &CommandContext<'_>,
    session: &mut Session,
    statement: &ScheduleStatement,
) -> Result<CommandAnswer> {
    match statement {
        ScheduleStatement::Create { name, clauses, mode } => {
            let answer = CommandAnswer::tag("CREATE SCHEDULE");
            if *mode == CreateMode::IfNotExists && context.snapshot.schedule(name).is_ok() {
                let notice = skipping(&format!("schedule \"{name}\" already exists"), "42710");
                return Ok(answer.with_notices(vec![notice]));
            }
            let mut definition = Box::new(define::create(context, session, clauses).await?);
            // One that somebody has paused stays so: what it is, and whether it runs, are two things.
            if context.snapshot.schedule(name).is_ok_and(|existing| existing.status == Status::Paused) {
                definition.status = Status::Paused;
            }
            let change = Change::CreateSchedule { name: name.clone(), definition, mode: *mode };
            let notices = commit(context, session, vec![change]).await?;
            Ok(answer.with_notices(notices))
        }
        ScheduleStatement::Alter { name, clauses } => {
            let definition = context.snapshot.schedule(name)?.definition.clone();
            let definition = define::alter(context, session, definition, clauses).await?;
            change(context, session, name, definition, "ALTER SCHEDULE").await
        }
        ScheduleStatement::Rename { name, to } => {
            let change = Change::RenameSchedule { from: name.clone(), to: to.clone() };
            let notices = commit(context, session, vec![change]).await?;
            Ok(CommandAnswer::tag("ALTER SCHEDULE").with_notices(notices))
        }
        ScheduleStatement::OwnerTo { name, owner } => {
            let mut definition = context.snapshot.schedule(name)?.definition.clone();
            let owner = session.role_named(owner).to_owned();
            if !context.accounts.is_configured(&owner) && owner != session.user {
                context.snapshot.role(&owner)?;
            }
            definition.owner = owner;
            change(context, session, name, definition, "ALTER SCHEDULE").await
        }
        ScheduleStatement::Pause { name, pause } => {
            let mut definition = context.snapshot.schedule(name)?.definition.clone();
            let tag = if *pause { "PAUSE SCHEDULE" } else { "RESUME SCHEDULE" };
            match (pause, &definition.status) {
                (true, _) => definition.status = Status::Paused,
                (false, Status::Active) => return Ok(CommandAnswer::tag(tag)),
                (false, _) => {
                    // Times that were due while it was paused are passed over.
                    definition.since_ms = context.clock.now().timestamp_millis();
                    definition.status = Status::Active;
                }
            }
            change(context, session, name, definition, tag).await
        }
        ScheduleStatement::Drop { name, if_exists } => {
            let answer = CommandAnswer::tag("DROP SCHEDULE");
            if *if_exists && context.snapshot.schedule(name).is_err() {
                return Ok(answer.with_notices(vec![skipping(&format!("schedule \"{name}\" does not exist"), "00000")]));
            }
            let change = Change::DropSchedule { name: name.clone(), if_exists: *if_exists };
            let notices = commit(context, session, vec![change]).await?;
            Ok(answer.with_notices(notices))
        }
        ScheduleStatement::Run { name } => run_now(context, session, name),
        ScheduleStatement::Cancel { run_id } => cancel(context, session, run_id),
        ScheduleStatement::ShowAll { pattern } => show::schedules(context, pattern.as_ref()),
        ScheduleStatement::ShowCreate { name } => {
            let schedule = context.snapshot.schedule(name)?;
            show_commands::statement(show::create_text(schedule))
        }
    }
}

async fn change(
    context: &CommandContext<'_>,
    session: &mut Session,
    name: &str,
    definition: ScheduleDefinition,
    tag: &str,
) -> Result<CommandAnswer> {
    let base_version = Some(context.snapshot.schedule(name)?.version);
    let change = Change::AlterSchedule { name: name.to_owned(), definition: Box::new(definition), base_version };
    let notices = commit(context, session, vec![change]).await?;
    Ok(CommandAnswer::tag(tag).with_notices(notices))
}

/// Queues a run that begins at once, whether the schedule is paused or not; behind one that goes on. Answers with its id.
fn run_now(context: &CommandContext<'_>, session: &Session, name: &str) -> Result<CommandAnswer> {
    let schedule = context.snapshot.schedule(name)?;
    let now_ms = context.clock.now().timestamp_millis();
    let mut run = ScheduleRun {
        id: context.query.query_id.clone(),
        schedule_id: schedule.id,
        trigger: Trigger::Statement,
        scheduled_at_ms: now_ms,
        attempt: 1,
        state: ScheduleRunState::Queued,
        queued_at_ms: now_ms,
        not_before_ms: now_ms,
        server_id: 0,
        cancel_requested: false,
        started_at_ms: None,
        finished_at_ms: None,
        outcome: ScheduleOutcome { user: session.user.clone(), ..ScheduleOutcome::default() },
    };
    // Two in one millisecond are two.
    for _ in 0..100 {
        let claim = ScheduleClaim {
            schedule_id: schedule.id,
            runs: vec![run.clone()],
            due_at_ms: None,
            overlap: None,
            keep: usize::MAX,
        };
        if let Some(claimed) = context.catalog.claim_schedule_runs(claim)?.pop() {
            if claimed.state == ScheduleRunState::Skipped {
                let message = claimed.outcome.message.unwrap_or_default();
                return Err(Error::new(ErrorCode::ConfigurationLimitExceeded, message));
            }
            let rows = text_rows(RUN_SCHEDULE, &[vec![claimed.id]])?;
            let notice = Notice::notice("the run is queued; system.schedule_runs shows how it goes");
            return Ok(CommandAnswer::rows(rows, "RUN SCHEDULE").with_notices(vec![notice]));
        }
        run.scheduled_at_ms += 1;
    }
    // It was dropped in between.
    Err(Error::new(ErrorCode::UndefinedObject, format!("schedule \"{name}\" does not exist")))
}

/// Stops a run that waits or goes on, on whichever server.
fn cancel(context: &CommandContext<'_>, session: &Session, run_id: &str) -> Result<CommandAnswer> {
    let missing = || {
        Error::new(ErrorCode::UndefinedObject, format!("schedule run \"{run_id}\" is not running"))
            .with_hint("SELECT run_id FROM system.schedule_runs WHERE finished_at IS NULL lists those that are.")
    };
    let run = context.catalog.open_schedule_runs()?.into_iter().find(|run| run.id == run_id).ok_or_else(missing)?;
    let schedule = context.snapshot.schedules.values().find(|schedule| schedule.id == run.schedule_id);
    let schedule = schedule.ok_or_else(missing)?;
    let rights = Rights::of(session.rights_snapshot(context.catalog), context.accounts, session);
    if !rights.is_superuser() && !rights.has_role(&schedule.owner) && !rights.has_role("pg_signal_backend") {
        let message = format!("schedule run \"{run_id}\" belongs to another user");
        return Err(Error::new(ErrorCode::InsufficientPrivilege, message));
    }
    let message = format!("it was cancelled by user \"{}\"", session.user);
    context.catalog.cancel_schedule_run(run_id, &message)?.ok_or_else(missing)?;
    Ok(CommandAnswer::tag("CANCEL SCHEDULE RUN"))
}
