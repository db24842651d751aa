//! `limnos schedule apply`: what files say ([`super::file`]) against what there is, shown first, then made so, all or nothing.
//!
//! What a file's statement makes is asked of the server itself, in a transaction that is rolled back: so `'1 hour'` and `'60 minutes'`
//! are no difference.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::ExitCode;

use limnos_engine::encode::Format;

use super::super::output::Output;
use super::super::statement::{self, identifier};
use super::super::target::TargetArguments;
use super::super::{CommandResult, Failure, query, remote, runtime};
use super::{KEPT, file};

#[derive(clap::Args)]
#[command(after_help = "A file has tables such as:
  [schedules.daily_sales]
  cron = \"0 8 * * MON-FRI\"          # or every = \"15 minutes\", or on_change_of = \"raw.events\"
  time_zone = \"Asia/Seoul\"
  sql = \"INSERT INTO daily SELECT * FROM raw WHERE day = {{scheduled_date}}\"    # or sql_file = \"daily.sql\"
  retry = 3
  backoff = \"1 minute\"
and minimum_interval, start, end, timeout, catch_up, overlap, suspend_after, comment. Unknown keys are refused.")]
pub(super) struct Apply {
    /// TOML files that say which schedules there are
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    /// Only show what would change
    #[arg(long)]
    dry_run: bool,

    /// Drop schedules that are in none of the files
    #[arg(long)]
    prune: bool,

    #[command(flatten)]
    target: TargetArguments,
}

/// What becomes of one schedule.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Add { now: String },
    Change { before: String, now: String },
    Drop,
}

impl Apply {
    pub(super) fn run(self) -> CommandResult {
        let refuse = |message: String| Failure::Told { code: ExitCode::from(2), message, hint: None };
        let mut wanted: BTreeMap<String, String> = BTreeMap::new();
        for path in &self.files {
            for (name, statement) in file::read(path).map_err(refuse)? {
                if wanted.insert(name.clone(), statement).is_some() {
                    return Err(refuse(format!("{}: schedule \"{name}\" is in another file, too", path.display())));
                }
            }
        }
        let there: BTreeSet<String> =
            self.column("SELECT schedule_name AS value FROM system.schedules")?.into_iter().collect();
        let mut steps = BTreeMap::new();
        for (name, statement) in &wanted {
            let show = format!("SHOW CREATE SCHEDULE {}", identifier(name));
            let now =
                self.one(&format!("BEGIN; {statement}; {show}; ROLLBACK")).map_err(|failure| of(name, failure))?;
            if !there.contains(name) {
                steps.insert(name.clone(), Step::Add { now });
                continue;
            }
            let before = self.one(&show)?;
            if before != now {
                steps.insert(name.clone(), Step::Change { before, now });
            }
        }
        if self.prune {
            steps
                .extend(there.iter().filter(|name| !wanted.contains_key(*name)).map(|name| (name.clone(), Step::Drop)));
        }
        print!("{}", shown(&steps));
        if steps.is_empty() {
            println!("nothing to change: {} schedules are as the files say", wanted.len());
            return Ok(());
        }
        if self.dry_run {
            return Ok(());
        }
        let statements: Vec<String> = steps
            .iter()
            .map(|(name, step)| match step {
                Step::Add { .. } | Step::Change { .. } => wanted[name].clone(),
                Step::Drop => format!("DROP SCHEDULE {}", identifier(name)),
            })
            .collect();
        self.ask(&format!("BEGIN; {}; COMMIT", statements.join("; ")))?;
        println!("applied: {}", counts(&steps));
        Ok(())
    }

    /// The only cell of an answer.
    fn one(&self, sql: &str) -> Result<String, Failure> {
        let cell = self.column(sql)?.pop();
        cell.ok_or_else(|| Failure::new("the server answered with nothing", None))
    }

    /// The first column of an answer.
    fn column(&self, sql: &str) -> Result<Vec<String>, Failure> {
        let answer = self.ask(sql)?;
        let cell = |line: &str| {
            let row: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).ok()?;
            row.into_iter().next()?.1.as_str().map(str::to_owned)
        };
        let cells = answer.lines().filter(|line| !line.is_empty()).map(cell);
        cells.collect::<Option<_>>().ok_or_else(|| Failure::new("the server's answer cannot be read", None))
    }

    fn ask(&self, sql: &str) -> Result<String, Failure> {
        let (output, memory) = Output::memory();
        match &self.target.server {
            Some(server) => {
                let server = remote::Server::new(server)?;
                runtime()?.block_on(server.query(sql, None, Format::Ndjson, output))?;
            }
            None => {
                let target = TargetArguments { server: None, sources: self.target.sources.clone() };
                runtime()?.block_on(query::run_local(
                    statement::open(target, KEPT, &[])?,
                    sql,
                    Format::Ndjson,
                    output,
                ))?;
            }
        }
        let bytes = std::mem::take(&mut *memory.lock());
        String::from_utf8(bytes).map_err(|error| Failure::new(error, None))
    }
}

fn of(name: &str, failure: Failure) -> Failure {
    match failure {
        Failure::Told { code, message, hint } => {
            Failure::Told { code, message: format!("schedule \"{name}\": {message}"), hint }
        }
        silent @ Failure::Silent(_) => silent,
    }
}

/// Each step with the lines that differ.
fn shown(steps: &BTreeMap<String, Step>) -> String {
    let mut text = String::new();
    let mut push = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    for (name, step) in steps {
        match step {
            Step::Add { now } => {
                push(format!("+ {name}"));
                now.lines().for_each(|line| push(format!("    + {line}")));
            }
            Step::Change { before, now } => {
                push(format!("~ {name}"));
                let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), now.lines().collect());
                old.iter().filter(|line| !new.contains(line)).for_each(|line| push(format!("    - {line}")));
                new.iter().filter(|line| !old.contains(line)).for_each(|line| push(format!("    + {line}")));
            }
            Step::Drop => push(format!("- {name}")),
        }
    }
    text
}

fn counts(steps: &BTreeMap<String, Step>) -> String {
    let count = |is: fn(&Step) -> bool| steps.values().filter(|step| is(step)).count();
    let added = count(|step| matches!(step, Step::Add { .. }));
    let changed = count(|step| matches!(step, Step::Change { .. }));
    format!("{added} made, {changed} changed, {} dropped", steps.len() - added - changed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_shown_line_by_line() {
        let steps = BTreeMap::from([
            ("a".to_owned(), Step::Add { now: "CREATE\nAS $$x$$".to_owned() }),
            (
                "b".to_owned(),
                Step::Change { before: "C\nEVERY '1 hour'\nX".to_owned(), now: "C\nEVERY '2 hours'\nX".to_owned() },
            ),
            ("c".to_owned(), Step::Drop),
        ]);
        assert_eq!(
            shown(&steps),
            "+ a\n    + CREATE\n    + AS $$x$$\n~ b\n    - EVERY '1 hour'\n    + EVERY '2 hours'\n- c\n"
        );
        assert_eq!(counts(&steps), "1 made, 1 changed, 1 dropped");
    }
}
