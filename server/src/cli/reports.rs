//! `limnos report`: short forms of the statements about reports, sent to a server or run on a data directory.

use std::process::ExitCode;

use clap::Subcommand;

use super::crawl::{absolute, root_of};
use super::statement::{self, identifier, list, string};
use super::target::TargetArguments;
use super::{CommandResult, Failure};

/// Shown under `limnos report --help`.
const EXAMPLES: &str = "Examples:
  limnos report create sales --to 's3://out/{scheduled_time:%Y/%m/%d}/sales.xlsx' --to /out/sales.html \\
      --chart 'line (day, revenue, region)' \"SELECT day, region, sum(revenue) AS revenue FROM orders GROUP BY 1, 2\"
  limnos report run sales
  limnos report run sales --at '2026-01-01 08:00' --set region=US
  limnos report history sales

Each is a statement of SQL (CREATE REPORT, RUN REPORT, ...), which docs/reports.md describes. Name the server with --server,
or the data directory with --data-dir.";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ReportCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
#[allow(clippy::large_enum_variant, reason = "made once")]
enum Action {
    /// Make a report: its query, the files it writes, its charts
    Create(Create),
    /// Run a report now, and show the files that it wrote
    Run(Run),
    /// List reports and how their last runs ended
    List(All),
    /// Show the statement that makes a report
    Show(Named),
    /// Show the last runs of a report: files, deliveries, errors
    History(Named),
    /// Remove a report and its history; its files stay
    Drop(Named),
}

#[derive(clap::Args)]
struct Named {
    /// The report
    #[arg(value_name = "NAME")]
    name: String,

    #[command(flatten)]
    target: TargetArguments,
}

#[derive(clap::Args)]
struct All {
    #[command(flatten)]
    target: TargetArguments,
}

#[derive(clap::Args)]
struct Run {
    /// The report
    #[arg(value_name = "NAME")]
    name: String,

    /// The time that it is run for, which is in the names of its files and in {{scheduled_time}} [default: now]
    #[arg(long, value_name = "TIME")]
    at: Option<String>,

    /// A value of a parameter; repeated for several
    #[arg(long = "set", value_name = "PARAMETER=VALUE")]
    values: Vec<String>,

    #[command(flatten)]
    target: TargetArguments,
}

#[derive(clap::Args)]
struct Create {
    /// What to call it
    #[arg(value_name = "NAME")]
    name: String,

    /// The query; parameters are written {{name}}
    #[arg(value_name = "SQL")]
    query: String,

    /// A file that it writes, by whose name the format is told: csv, tsv, json, ndjson, parquet, xlsx, html, md; repeated for
    /// several. {scheduled_time:%Y-%m-%d} and {parameter} stand for values
    #[arg(long = "to", value_name = "PATH|URL", required = true)]
    outputs: Vec<String>,

    /// Its title
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,

    /// A parameter with its type, and its default: "region varchar = EU"; repeated for several
    #[arg(long = "parameter", value_name = "NAME TYPE[=DEFAULT]")]
    parameters: Vec<String>,

    /// A chart: "line (day, revenue, region)", also area, bar, scatter, pie and number; repeated for several
    #[arg(long = "chart", value_name = "KIND (COLUMNS)")]
    charts: Vec<String>,

    /// The zone of times in names and documents, such as Europe/Berlin [default: the session's]
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,

    /// Send the files to this address; repeated for several
    #[arg(long = "email", value_name = "ADDRESS")]
    emails: Vec<String>,

    /// Tell this webhook of the server's configuration; repeated for several
    #[arg(long = "webhook", value_name = "NAME")]
    webhooks: Vec<String>,

    /// Put it in the place of one of that name
    #[arg(long, conflicts_with = "if_not_exists")]
    or_replace: bool,

    /// Leave one of that name as it is
    #[arg(long)]
    if_not_exists: bool,

    #[command(flatten)]
    target: TargetArguments,
}

impl ReportCommand {
    pub(super) fn run(self) -> CommandResult {
        let named = |statement: &str, named: Named| (format!("{statement} {}", identifier(&named.name)), named.target);
        let (sql, target) = match self.action {
            Action::Create(create) => {
                let (sql, roots) = create.statement()?;
                return statement::send(create.target, "a report is", &sql, &roots);
            }
            Action::Run(run) => (run.statement()?, run.target),
            Action::List(all) => ("SHOW REPORTS".to_owned(), all.target),
            Action::Show(report) => named("SHOW CREATE REPORT", report),
            Action::Drop(report) => named("DROP REPORT", report),
            Action::History(report) => (history(&report.name), report.target),
        };
        statement::send(target, "a report is", &sql, &[])
    }
}

impl Run {
    fn statement(&self) -> Result<String, Failure> {
        let mut sql = format!("RUN REPORT {}", identifier(&self.name));
        if !self.values.is_empty() {
            let mut values = Vec::new();
            for value in &self.values {
                let (name, value) = value
                    .split_once('=')
                    .ok_or_else(|| usage(format!("--set takes PARAMETER=VALUE, and not \"{value}\"")))?;
                values.push(format!("{} => {}", identifier(name.trim()), string(value)));
            }
            sql += &format!(" ({})", values.join(", "));
        }
        if let Some(at) = &self.at {
            sql += &format!(" AT {}", string(at));
        }
        Ok(sql)
    }
}

impl Create {
    /// The statement, and the local folders that it names.
    fn statement(&self) -> Result<(String, Vec<String>), Failure> {
        // A server resolves names from where it stands, not from here.
        let paths: Vec<String> = self.outputs.iter().map(|path| absolute(path)).collect();
        let folder = |path: &str| {
            let fixed = path.split('{').next().unwrap_or(path);
            fixed.rsplit_once('/').map(|(folder, _)| folder.to_owned()).filter(|folder| !folder.is_empty())
        };
        let roots = paths.iter().filter_map(|path| folder(path)).flat_map(|path| root_of(&path)).collect();
        let verb = match (self.or_replace, self.if_not_exists) {
            (true, _) => "CREATE OR REPLACE REPORT",
            (_, true) => "CREATE REPORT IF NOT EXISTS",
            _ => "CREATE REPORT",
        };
        let mut sql = format!("{verb} {}", identifier(&self.name));
        if !self.parameters.is_empty() {
            let mut parameters = Vec::new();
            for text in &self.parameters {
                let (head, default) =
                    text.split_once('=').map_or((text.as_str(), None), |(head, default)| (head, Some(default.trim())));
                let (name, data_type) = head
                    .trim()
                    .split_once(char::is_whitespace)
                    .ok_or_else(|| usage(format!("--parameter takes a name and a type, and not \"{text}\"")))?;
                let default = default.map_or_else(String::new, |text| format!(" DEFAULT {}", string(text)));
                parameters.push(format!("{} {}{default}", identifier(name), data_type.trim()));
            }
            sql += &format!(" PARAMETERS ({})", parameters.join(", "));
        }
        for (clause, text) in [("TITLE", &self.title), ("TIME ZONE", &self.time_zone)] {
            if let Some(text) = text {
                sql += &format!(" {clause} {}", string(text));
            }
        }
        sql += &format!(" TO {}", list(&paths, string));
        for chart in &self.charts {
            sql += &format!(" CHART {chart}");
        }
        if !self.emails.is_empty() {
            sql += &format!(" EMAIL TO {}", list(&self.emails, string));
        }
        if !self.webhooks.is_empty() {
            sql += &format!(" WEBHOOK {}", list(&self.webhooks, string));
        }
        sql += &format!(" AS {}", self.query.trim().trim_end_matches(';'));
        Ok((sql, roots))
    }
}

fn history(name: &str) -> String {
    format!(
        "SELECT run_id, state, scheduled_at, started_at, finished_at, rows, bytes_scanned, outputs, deliveries, message \
         FROM system.report_runs WHERE report_name = {} ORDER BY started_at DESC",
        string(&name.to_lowercase())
    )
}

fn usage(message: String) -> Failure {
    Failure::Told { code: ExitCode::from(2), message, hint: None }
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
        report: ReportCommand,
    }

    fn statement(arguments: &[&str]) -> String {
        let line = Line::try_parse_from(["report"].iter().chain(arguments)).unwrap();
        let sql = match line.report.action {
            Action::Create(create) => create.statement().map(|(sql, _)| sql),
            Action::Run(run) => run.statement(),
            _ => panic!("neither create nor run"),
        };
        let Ok(sql) = sql else { panic!("{arguments:?}") };
        parse(&sql, Dialect::Postgres).unwrap();
        sql
    }

    #[test]
    fn arguments_become_statements() {
        assert_eq!(
            statement(&["create", "n", "SELECT 1 AS a;", "--to", "s3://b/it's.csv"]),
            "CREATE REPORT \"n\" TO 's3://b/it''s.csv' AS SELECT 1 AS a"
        );
        assert_eq!(
            statement(&[
                "create",
                "n",
                "SELECT 1 AS a, 2 AS b",
                "--to",
                "s3://b/{region}.xlsx",
                "--to",
                "s3://b/x.html",
                "--title",
                "It's",
                "--parameter",
                "region varchar = EU",
                "--parameter",
                "day date",
                "--chart",
                "bar (a, b) title 'x'",
                "--time-zone",
                "Asia/Seoul",
                "--email",
                "a@b",
                "--webhook",
                "w",
                "--or-replace",
            ]),
            "CREATE OR REPLACE REPORT \"n\" PARAMETERS (\"region\" varchar DEFAULT 'EU', \"day\" date) TITLE 'It''s' \
             TIME ZONE 'Asia/Seoul' TO 's3://b/{region}.xlsx', 's3://b/x.html' CHART bar (a, b) title 'x' \
             EMAIL TO 'a@b' WEBHOOK 'w' AS SELECT 1 AS a, 2 AS b"
        );
        assert_eq!(
            statement(&["run", "n", "--at", "2026-01-01 08:00", "--set", "region=it's = so"]),
            "RUN REPORT \"n\" (\"region\" => 'it''s = so') AT '2026-01-01 08:00'"
        );
        parse(&history("N'"), Dialect::Postgres).unwrap();
    }
}
