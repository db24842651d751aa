//! Clauses -> [`ScheduleDefinition`]: texts read, names resolved, what can't be refused.

use limnos_catalog::ScheduleDefinition;
use limnos_catalog::schedule::{CatchUp, Overlap, Retry, Status, When};

use crate::command::{CommandContext, resolve_table_name};
use crate::input::{self, InputContext};
use crate::parse::Statement;
use crate::parse::schedule::{ScheduleClauses, ScheduledStatements, WhenClause};
use crate::schedule::Timetable;
use crate::{Error, ErrorCode, Result, Session};

/// The settings that what a statement means or writes depends on: a schedule keeps those of its maker.
const KEPT_SETTINGS: [&str; 6] =
    ["TimeZone", "DateStyle", "IntervalStyle", "bytea_output", "extra_float_digits", "scan_limit"];

/// Between two runs that files start: many files that come together are one change.
const MINIMUM_INTERVAL_MS: i64 = 10_000;

pub(super) async fn create(
    context: &CommandContext<'_>,
    session: &Session,
    clauses: &ScheduleClauses,
) -> Result<ScheduleDefinition> {
    let empty = ScheduleDefinition {
        when: When::Every { interval_ms: 0, anchor_ms: 0 },
        start_ms: None,
        end_ms: None,
        retry: Retry::default(),
        timeout_ms: None,
        catch_up: CatchUp::Last,
        overlap: Overlap::Skip,
        suspend_after: 0,
        statements: String::new(),
        database: session.database.clone(),
        dialect: session.settings.show("dialect")?,
        settings: std::collections::BTreeMap::new(),
        comment: None,
        owner: session.user.clone(),
        status: Status::Active,
        since_ms: context.clock.now().timestamp_millis(),
    };
    alter(context, session, empty, clauses).await
}

/// `definition` with what `clauses` say.
pub(super) async fn alter(
    context: &CommandContext<'_>,
    session: &Session,
    mut definition: ScheduleDefinition,
    clauses: &ScheduleClauses,
) -> Result<ScheduleDefinition> {
    let now_ms = context.clock.now().timestamp_millis();
    for (clause, target) in [(&clauses.start, &mut definition.start_ms), (&clauses.end, &mut definition.end_ms)] {
        if let Some(text) = clause {
            *target = text.as_deref().map(|text| instant(context, session, text)).transpose()?;
        }
    }
    if let Some(when) = &clauses.when {
        definition.when = match when {
            WhenClause::Cron(schedule) => {
                Timetable::new(schedule)?;
                When::Cron(schedule.clone())
            }
            WhenClause::Every(text) => When::Every { interval_ms: length(session, text)?, anchor_ms: now_ms },
            WhenClause::OnChange { table, minimum_interval } => {
                let name = resolve_table_name(session, table);
                let table = context.snapshot.table(&name)?;
                if matches!(table.kind, limnos_catalog::TableKind::View { .. }) {
                    let message = format!("\"{name}\" is a view, not a table");
                    return Err(
                        Error::new(ErrorCode::WrongObjectType, message).with_hint("Name a table whose files change.")
                    );
                }
                let minimum_interval_ms =
                    minimum_interval.as_deref().map_or(Ok(MINIMUM_INTERVAL_MS), |text| length(session, text))?;
                // Changes that come during a run are never passed over.
                definition.overlap = Overlap::Queue;
                When::OnChange { table: name, minimum_interval_ms }
            }
        };
    }
    if let (When::Every { anchor_ms, .. }, true) =
        (&mut definition.when, clauses.when.is_some() || clauses.start.is_some())
    {
        *anchor_ms = definition.start_ms.unwrap_or(now_ms);
    }
    if clauses.when.is_some() || clauses.start.is_some() {
        // What was due by the old times is not made up for by the new.
        definition.since_ms = now_ms;
    }
    if let Some(retry) = &clauses.retry {
        let default = Retry { count: retry.count, ..Retry::default() };
        let backoff_ms = retry.backoff.as_deref().map_or(Ok(default.backoff_ms), |text| length(session, text))?;
        let longest = retry.backoff_max.as_deref().map(|text| length(session, text)).transpose()?;
        let backoff_max_ms = longest.unwrap_or(default.backoff_max_ms).max(backoff_ms);
        let factor = retry.factor.unwrap_or(default.factor).max(1);
        definition.retry = Retry { count: retry.count, backoff_ms, factor, backoff_max_ms };
    }
    if let Some(timeout) = &clauses.timeout {
        definition.timeout_ms = timeout.as_deref().map(|text| length(session, text)).transpose()?;
    }
    definition.catch_up = clauses.catch_up.unwrap_or(definition.catch_up);
    if let Some(overlap) = clauses.overlap {
        if matches!(definition.when, When::OnChange { .. }) && overlap != Overlap::Queue {
            let message = format!("OVERLAP {} is not possible with ON CHANGE OF", overlap.word());
            return Err(Error::new(ErrorCode::InvalidParameterValue, message)
                .with_detail("A change that comes during a run would be lost; it is always run after it."));
        }
        definition.overlap = overlap;
    }
    definition.suspend_after = clauses.suspend_after.unwrap_or(definition.suspend_after);
    if let Some(comment) = &clauses.comment {
        definition.comment = Some(comment.clone()).filter(|comment| !comment.is_empty());
    }
    if let Some(statements) = &clauses.statements {
        check_names(context, session, statements).await?;
        statements.text.clone_into(&mut definition.statements);
        session.database.clone_into(&mut definition.database);
        definition.dialect = session.settings.show("dialect")?;
        let defaults = crate::session::Settings::default();
        definition.settings.clear();
        for name in KEPT_SETTINGS {
            let value = session.settings.show(name)?;
            if defaults.show(name)? != value {
                definition.settings.insert(name.to_owned(), value);
            }
        }
    }
    Ok(definition)
}

/// A length of time, in milliseconds.
fn length(session: &Session, text: &str) -> Result<i64> {
    let interval = input::interval(text, session.settings.interval_style())?;
    if interval.months != 0 {
        let message = format!("interval \"{text}\" has no fixed length");
        return Err(Error::new(ErrorCode::InvalidParameterValue, message)
            .with_hint("Months and years differ; use days, or CRON for a day of the month."));
    }
    let ms = i64::from(interval.days) * 86_400_000 + interval.microseconds / 1_000;
    if ms < limnos_catalog::schedule::SCHEDULE_INTERVAL_MS_MIN {
        let message = format!("interval \"{text}\" is too short");
        return Err(Error::new(ErrorCode::InvalidParameterValue, message).with_detail("One second is the least."));
    }
    Ok(ms)
}

fn instant(context: &CommandContext<'_>, session: &Session, text: &str) -> Result<i64> {
    let now = context.clock.now().timestamp_micros();
    let micros = input::timestamp_with_zone(text, &InputContext::of(session, Some(now)))?;
    if micros == i64::MAX || micros == i64::MIN {
        return Err(Error::new(ErrorCode::InvalidParameterValue, format!("\"{text}\" is no moment"))
            .with_hint("Use NONE for a schedule without one."));
    }
    Ok(micros.div_euclid(1_000))
}

/// Looks whether the first statement's query can be planned: later ones may be about what earlier ones make.
async fn check_names(context: &CommandContext<'_>, session: &Session, statements: &ScheduledStatements) -> Result<()> {
    let Some(first) = statements.parsed.first() else { return Ok(()) };
    let query = match &first.statement {
        Statement::Query(query) => query,
        Statement::Insert(insert) => &insert.query,
        Statement::CreateTableAs(create) => match &create.query {
            Some(query) => query,
            None => return Ok(()),
        },
        _ => return Ok(()),
    };
    match context.planner.columns(session, query).await {
        Err(error) if is_about_names(error.code) => Err(Error { position: None, ..error }),
        // Whatever else is wrong is seen when it runs.
        _ => Ok(()),
    }
}

fn is_about_names(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::UndefinedTable
            | ErrorCode::UndefinedColumn
            | ErrorCode::UndefinedFunction
            | ErrorCode::InvalidSchemaName
            | ErrorCode::AmbiguousColumn
            | ErrorCode::InsufficientPrivilege
    )
}
