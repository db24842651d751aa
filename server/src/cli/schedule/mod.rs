//! `limnos schedule`: short forms of the statements about schedules, sent to a server or run on a data directory; and [`apply`], which
//! makes the schedules that files say there are.

mod apply;
mod file;

use std::process::ExitCode;

use clap::Subcommand;

use super::statement::{self, identifier, qualified, string};
use super::target::TargetArguments;
use super::{CommandResult, Failure};

/// What can't be made of nothing but files.
const KEPT: &str = "a schedule is";

#[derive(clap::Args)]
#[command(after_help = "Examples:
  limnos schedule create nightly --cron '0 2 * * *' --time-zone Europe/Berlin \\
      --sql 'INSERT INTO daily SELECT * FROM raw WHERE day = {{scheduled_date}}' --server http://127.0.0.1:8439
  limnos schedule create ingest --on-change-of raw.events --sql 'INSERT INTO events SELECT * FROM raw.events'
  limnos schedule apply schedules/*.toml --dry-run --server http://127.0.0.1:8439
  limnos schedule history nightly --server http://127.0.0.1:8439")]
pub(super) struct Schedule {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
#[allow(clippy::large_enum_variant, reason = "made once")]
enum Action {
    /// Make a schedule: statements, and when they run
    Create(Create),
    /// List schedules, when they run next and how their last runs ended
    List(All),
    /// Show the statement that makes a schedule
    Show(Named),
    /// Run a schedule now; answers with the run's id
    Run(Named),
    /// Stop a schedule from running by itself
    Pause(Named),
    /// Let a schedule run by itself again; times that passed meanwhile are passed over
    Resume(Named),
    /// Show the last runs of a schedule
    History(Named),
    /// Remove a schedule and its history; a run that goes on is stopped
    Drop(Named),
    /// Stop a run by its id
    Cancel(Cancel),
    /// Make and change schedules so that they are as files say, after showing what differs
    Apply(apply::Apply),
}

#[derive(clap::Args)]
struct Named {
    /// The schedule
    #[arg(value_name = "NAME")]
    name: String,

    #[command(flatten)]
    target: TargetArguments,
}

#[derive(clap::Args)]
struct Cancel {
    /// The run, as the history shows it
    #[arg(value_name = "RUN")]
    run: String,

    #[command(flatten)]
    target: TargetArguments,
}

#[derive(clap::Args)]
struct All {
    #[command(flatten)]
    target: TargetArguments,
}

#[derive(clap::Args)]
struct Create {
    /// What to call it
    #[arg(value_name = "NAME")]
    name: String,

    /// The statement to run, or several with semicolons; {{scheduled_time}}, {{scheduled_date}} and {{last_success}} are values
    #[arg(long, value_name = "SQL", required_unless_present = "file", conflicts_with = "file")]
    sql: Option<String>,

    /// Read the statements from this file
    #[arg(long, short, value_name = "FILE")]
    file: Option<std::path::PathBuf>,

    /// When it runs, as a cron expression: "0 8 * * MON-FRI", "@daily"
    #[arg(long, value_name = "EXPRESSION", group = "when")]
    cron: Option<String>,

    /// The time zone of --cron, such as Asia/Seoul [default: UTC]
    #[arg(long, value_name = "ZONE", requires = "cron")]
    time_zone: Option<String>,

    /// Run every so often: "15 minutes"
    #[arg(long, value_name = "INTERVAL", group = "when")]
    every: Option<String>,

    /// Run when files of this table come, change or go
    #[arg(long, value_name = "TABLE", group = "when")]
    on_change_of: Option<String>,

    /// Least time between two runs of --on-change-of [default: 10 seconds]
    #[arg(long, value_name = "INTERVAL", requires = "on_change_of")]
    minimum_interval: Option<String>,

    #[command(flatten)]
    policy: Policy,

    /// Put it in the place of one of that name
    #[arg(long, conflicts_with = "if_not_exists")]
    or_replace: bool,

    /// Leave one of that name as it is
    #[arg(long)]
    if_not_exists: bool,

    #[command(flatten)]
    target: TargetArguments,
}

/// What becomes of runs.
#[derive(clap::Args, Debug, Clone, Default)]
struct Policy {
    /// Times before this moment don't count
    #[arg(long, value_name = "TIME")]
    start: Option<String>,

    /// Times after this moment don't count
    #[arg(long, value_name = "TIME")]
    end: Option<String>,

    /// Try a failed run again this often
    #[arg(long, value_name = "COUNT")]
    retry: Option<u32>,

    /// The wait before the first retry; it doubles with each, up to an hour [default: 1 minute]
    #[arg(long, value_name = "INTERVAL", requires = "retry")]
    backoff: Option<String>,

    /// End runs that take longer
    #[arg(long, value_name = "INTERVAL")]
    timeout: Option<String>,

    /// What becomes of times that passed while no server ran: none, last, all [default: last]
    #[arg(long, value_name = "POLICY", value_parser = ["none", "last", "all"])]
    catch_up: Option<String>,

    /// What becomes of a time that is due during a run: skip, queue, replace [default: skip]
    #[arg(long, value_name = "POLICY", value_parser = ["skip", "queue", "replace"])]
    overlap: Option<String>,

    /// Suspend the schedule after this many failures in a row
    #[arg(long, value_name = "COUNT")]
    suspend_after: Option<u32>,

    /// What it is for
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
}

impl Policy {
    /// Its clauses.
    fn clauses(&self) -> String {
        let mut sql = String::new();
        let mut push = |clause: String| {
            sql.push(' ');
            sql.push_str(&clause);
        };
        let texts = [("START", &self.start), ("END", &self.end)];
        texts
            .into_iter()
            .for_each(|(word, text)| text.iter().for_each(|text| push(format!("{word} {}", string(text)))));
        if let Some(count) = self.retry {
            let backoff = self.backoff.as_ref().map_or_else(String::new, |text| format!(" BACKOFF {}", string(text)));
            push(format!("RETRY {count}{backoff}"));
        }
        if let Some(timeout) = &self.timeout {
            push(format!("TIMEOUT {}", string(timeout)));
        }
        for (clause, word) in [("CATCH UP", &self.catch_up), ("OVERLAP", &self.overlap)] {
            if let Some(word) = word {
                push(format!("{clause} {}", word.to_uppercase()));
            }
        }
        if let Some(count) = self.suspend_after {
            push(format!("SUSPEND AFTER {count}"));
        }
        if let Some(comment) = &self.comment {
            push(format!("COMMENT {}", string(comment)));
        }
        sql
    }
}

impl Schedule {
    pub(super) fn run(self) -> CommandResult {
        let named = |statement: &str, named: Named| (format!("{statement} {}", identifier(&named.name)), named.target);
        let (sql, target) = match self.action {
            Action::Create(create) => (create.statement()?, create.target),
            Action::Apply(apply) => return apply.run(),
            Action::List(all) => ("SHOW SCHEDULES".to_owned(), all.target),
            Action::Show(schedule) => named("SHOW CREATE SCHEDULE", schedule),
            Action::Run(schedule) => named("RUN SCHEDULE", schedule),
            Action::Pause(schedule) => named("PAUSE SCHEDULE", schedule),
            Action::Resume(schedule) => named("RESUME SCHEDULE", schedule),
            Action::Drop(schedule) => named("DROP SCHEDULE", schedule),
            Action::History(schedule) => (history(&schedule.name), schedule.target),
            Action::Cancel(cancel) => (format!("CANCEL SCHEDULE RUN {}", string(&cancel.run)), cancel.target),
        };
        statement::send(target, KEPT, &sql, &[])
    }
}

impl Create {
    fn statement(&self) -> Result<String, Failure> {
        let statements = match (&self.sql, &self.file) {
            (Some(sql), _) => sql.clone(),
            (None, Some(path)) => std::fs::read_to_string(path)
                .map_err(|error| Failure::new(format!("could not read \"{}\": {error}", path.display()), None))?,
            (None, None) => String::new(),
        };
        let when = match (&self.cron, &self.every, &self.on_change_of) {
            (Some(cron), ..) => {
                let zone =
                    self.time_zone.as_ref().map_or_else(String::new, |zone| format!(" TIME ZONE {}", string(zone)));
                format!("CRON {}{zone}", string(cron))
            }
            (None, Some(every), _) => format!("EVERY {}", string(every)),
            (None, None, Some(table)) => {
                let least = self.minimum_interval.as_ref();
                let least = least.map_or_else(String::new, |text| format!(" MINIMUM INTERVAL {}", string(text)));
                format!("ON CHANGE OF {}{least}", qualified(table))
            }
            (None, None, None) => {
                return Err(Failure::Told {
                    code: ExitCode::from(2),
                    message: "it is not said when the schedule runs".to_owned(),
                    hint: Some("Use one of --cron, --every and --on-change-of.".to_owned()),
                });
            }
        };
        let verb = match (self.or_replace, self.if_not_exists) {
            (true, _) => "CREATE OR REPLACE SCHEDULE",
            (_, true) => "CREATE SCHEDULE IF NOT EXISTS",
            _ => "CREATE SCHEDULE",
        };
        Ok(create_text(verb, &self.name, &when, &self.policy, &statements))
    }
}

fn create_text(verb: &str, name: &str, when: &str, policy: &Policy, statements: &str) -> String {
    // A string constant, which needs no tag that isn't in the text.
    format!("{verb} {} {when}{} AS {}", identifier(name), policy.clauses(), string(statements.trim()))
}

fn history(name: &str) -> String {
    format!(
        "SELECT run_id, state, trigger, scheduled_at, attempt, started_at, finished_at, rows, bytes_scanned, message \
         FROM system.schedule_runs WHERE schedule_name = {} ORDER BY queued_at DESC, attempt DESC",
        string(&name.to_lowercase())
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use clap::Parser;
    use limnos_engine::parse::{Dialect, parse};

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        schedule: Schedule,
    }

    fn statement(arguments: &[&str]) -> String {
        let line = Line::try_parse_from(["schedule"].iter().chain(arguments)).unwrap();
        let Action::Create(create) = line.schedule.action else { panic!("not create") };
        create.statement().ok().unwrap()
    }

    #[test]
    fn arguments_become_a_statement() {
        assert_eq!(
            statement(&["create", "n", "--every", "15 minutes", "--sql", "SELECT 'it''s'; SELECT 2"]),
            "CREATE SCHEDULE \"n\" EVERY '15 minutes' AS 'SELECT ''it''''s''; SELECT 2'"
        );
        let full = statement(&[
            "create",
            "n",
            "--cron",
            "0 8 * * MON-FRI",
            "--time-zone",
            "Asia/Seoul",
            "--start",
            "2026-01-01",
            "--end",
            "2027-01-01",
            "--retry",
            "3",
            "--backoff",
            "1 minute",
            "--timeout",
            "1 hour",
            "--catch-up",
            "all",
            "--overlap",
            "queue",
            "--suspend-after",
            "5",
            "--comment",
            "x",
            "--or-replace",
            "--sql",
            "SELECT {{scheduled_date}}",
        ]);
        assert_eq!(
            full,
            "CREATE OR REPLACE SCHEDULE \"n\" CRON '0 8 * * MON-FRI' TIME ZONE 'Asia/Seoul' START '2026-01-01' \
             END '2027-01-01' RETRY 3 BACKOFF '1 minute' TIMEOUT '1 hour' CATCH UP ALL OVERLAP QUEUE SUSPEND AFTER 5 \
             COMMENT 'x' AS 'SELECT {{scheduled_date}}'"
        );
        parse(&full, Dialect::Postgres).unwrap();
        parse(&history("N'"), Dialect::Postgres).unwrap();
        let change = statement(&["create", "n", "--on-change-of", "d.t", "--sql", "SELECT 1"]);
        assert_eq!(change, "CREATE SCHEDULE \"n\" ON CHANGE OF \"d\".\"t\" AS 'SELECT 1'");
        assert!(
            Line::try_parse_from(["schedule", "create", "n", "--every", "1 h", "--cron", "x", "--sql", "y"]).is_err()
        );
    }
}
