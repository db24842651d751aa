//! SHOW SCHEDULES, and the statement that makes a schedule again.

use std::collections::HashMap;
use std::fmt::Write;

use arrow::datatypes::SchemaRef;
use chrono::{DateTime, Utc};
use limnos_catalog::schedule::{Retry, Status, When};
use limnos_catalog::{ScheduleRun, ScheduleRunState, ScheduleState, StatementSchedule};

use crate::Result;
use crate::command::answer::{text_rows, text_schema};
use crate::command::{CommandAnswer, CommandContext, pattern};
use crate::occurrence::Occurrences;
use crate::parse::NamePattern;

const COLUMNS: &[&str] =
    &["schedule_name", "owner", "schedule", "state", "next_run", "last_run", "last_state", "message"];

pub(in crate::command) fn schedules_schema() -> SchemaRef {
    text_schema(COLUMNS)
}

pub(super) fn schedules(context: &CommandContext<'_>, pattern: Option<&NamePattern>) -> Result<CommandAnswer> {
    let matches = pattern::matcher(pattern)?;
    let (runs, states) = (context.catalog.schedule_runs()?, context.catalog.schedule_states()?);
    let shown =
        |at: Option<DateTime<Utc>>| at.map_or_else(String::new, |at| at.format("%Y-%m-%d %H:%M:%S+00").to_string());
    let mut rows = Vec::new();
    for schedule in context.snapshot.schedules.values().filter(|schedule| matches(&schedule.name)) {
        let standing = Standing::of(schedule, &runs, &states, context.clock.now());
        rows.push(vec![
            schedule.name.clone(),
            schedule.owner.clone(),
            when_text(&schedule.when),
            standing.state.to_owned(),
            shown(standing.next_run),
            shown(standing.last.and_then(|run| run.started_at_ms).and_then(DateTime::from_timestamp_millis)),
            standing.last.map_or_else(String::new, |run| run.state.name().to_owned()),
            standing.message.unwrap_or_default(),
        ]);
    }
    Ok(CommandAnswer::rows(text_rows(COLUMNS, &rows)?, "SHOW"))
}

/// How a schedule stands now.
pub(super) struct Standing<'a> {
    /// `ACTIVE`, `RUNNING`, `PAUSED`, `SUSPENDED` or `ENDED`.
    pub(super) state: &'static str,
    pub(super) next_run: Option<DateTime<Utc>>,
    /// The newest run that began or was passed over.
    pub(super) last: Option<&'a ScheduleRun>,
    /// Why it is suspended, else what its last run says.
    pub(super) message: Option<String>,
}

impl<'a> Standing<'a> {
    pub(super) fn of(
        schedule: &StatementSchedule,
        runs: &'a [ScheduleRun],
        states: &HashMap<i64, ScheduleState>,
        now: DateTime<Utc>,
    ) -> Self {
        let own = |run: &&ScheduleRun| run.schedule_id == schedule.id;
        let is_running = runs.iter().filter(own).any(|run| run.state == ScheduleRunState::Running);
        let last = runs.iter().filter(own).find(|run| run.state != ScheduleRunState::Queued);
        let next_run = next_run(schedule, states.get(&schedule.id), now);
        let state = match &schedule.status {
            _ if is_running => "RUNNING",
            Status::Paused => "PAUSED",
            Status::Suspended(_) => "SUSPENDED",
            Status::Active if next_run.is_none() && !matches!(schedule.when, When::OnChange { .. }) => "ENDED",
            Status::Active => "ACTIVE",
        };
        let message = match &schedule.status {
            Status::Suspended(reason) => Some(reason.clone()),
            _ => last.and_then(|run| run.outcome.message.clone()),
        };
        Self { state, next_run, last, message }
    }
}

/// When it will be due next: the first time that is not settled yet, which is past where nobody has looked.
fn next_run(schedule: &StatementSchedule, state: Option<&ScheduleState>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    if schedule.status != Status::Active {
        return None;
    }
    let settled = state.and_then(|state| state.due_at_ms).unwrap_or(i64::MIN).max(schedule.since_ms);
    let after = DateTime::from_timestamp_millis(settled)?.max(now - chrono::TimeDelta::minutes(1));
    Occurrences::new(schedule).ok()?.next_after(after)
}

/// `CRON '0 8 * * *' TIME ZONE 'Asia/Seoul'` and the like.
pub(super) fn when_text(when: &When) -> String {
    match when {
        When::Cron(schedule) => {
            format!("CRON {} TIME ZONE {}", string(&schedule.cron), string(&schedule.time_zone))
        }
        When::Every { interval_ms, .. } => format!("EVERY {}", string(&length_text(*interval_ms))),
        When::OnChange { table, minimum_interval_ms } => format!(
            "ON CHANGE OF {}.{} MINIMUM INTERVAL {}",
            identifier(&table.database),
            identifier(&table.name),
            string(&length_text(*minimum_interval_ms))
        ),
    }
}

/// The statement that makes `schedule`.
pub(super) fn create_text(schedule: &StatementSchedule) -> String {
    let mut text = format!("CREATE SCHEDULE {}\n{}", identifier(&schedule.name), when_text(&schedule.when));
    // Writing to a String can't fail.
    let mut push = |line: String| {
        let _ = write!(text, "\n{line}");
    };
    for (word, ms) in [("START", schedule.start_ms), ("END", schedule.end_ms)] {
        if let Some(at) = ms.and_then(DateTime::from_timestamp_millis) {
            push(format!("{word} '{}'", at.format("%Y-%m-%d %H:%M:%S%.3f+00")));
        }
    }
    let Retry { count, backoff_ms, factor, backoff_max_ms } = schedule.retry;
    if count > 0 {
        let (backoff, max) = (string(&length_text(backoff_ms)), string(&length_text(backoff_max_ms)));
        push(format!("RETRY {count} BACKOFF {backoff} FACTOR {factor} MAX {max}"));
    }
    if let Some(timeout_ms) = schedule.timeout_ms {
        push(format!("TIMEOUT {}", string(&length_text(timeout_ms))));
    }
    push(format!("CATCH UP {}", schedule.catch_up.word()));
    push(format!("OVERLAP {}", schedule.overlap.word()));
    if schedule.suspend_after > 0 {
        push(format!("SUSPEND AFTER {}", schedule.suspend_after));
    }
    if let Some(comment) = &schedule.comment {
        push(format!("COMMENT {}", string(comment)));
    }
    let tag = quote_tag(&schedule.statements);
    push(format!("AS {tag}{}{tag}", schedule.statements));
    text
}

/// A dollar quote that isn't in `text`.
fn quote_tag(text: &str) -> String {
    let tags = std::iter::once("$$".to_owned()).chain((0..).map(|number| format!("$s{number}$")));
    // What ends in `$` or `$s0` runs into its quote.
    let is_apart = |tag: &str| format!("{text}{tag}").find(tag) == Some(text.len());
    tags.into_iter().find(|tag| is_apart(tag)).unwrap_or_default()
}

/// `1 day 02:30:00`, in the words that intervals are read from.
pub(super) fn length_text(ms: i64) -> String {
    let (days, rest) = (ms / 86_400_000, ms % 86_400_000);
    let (hours, minutes, seconds, ms) = (rest / 3_600_000, rest / 60_000 % 60, rest / 1_000 % 60, rest % 1_000);
    let parts = [(days, "day"), (hours, "hour"), (minutes, "minute"), (seconds, "second"), (ms, "millisecond")];
    let parts: Vec<String> = parts
        .iter()
        .filter(|(count, _)| *count != 0)
        .map(|(count, unit)| format!("{count} {unit}{}", if *count == 1 { "" } else { "s" }))
        .collect();
    if parts.is_empty() { "0 seconds".to_owned() } else { parts.join(" ") }
}

fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn string(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_quotes() {
        assert_eq!(
            length_text(86_400_000 + 2 * 3_600_000 + 60_000 + 1_001),
            "1 day 2 hours 1 minute 1 second 1 millisecond"
        );
        assert_eq!(quote_tag("SELECT 1"), "$$");
        assert_eq!(quote_tag("SELECT $$x$$"), "$s0$");
        assert_eq!(quote_tag("SELECT $$x$s0"), "$s1$");
        assert_eq!(quote_tag("SELECT x$"), "$s0$");
    }
}
