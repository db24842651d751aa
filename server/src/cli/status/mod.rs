//! `limnos status`: what a server does, as its `system.*` tables say: once as text or JSON, or again and again like `top`.

mod screen;

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use limnos_engine::encode::Format;
use limnos_shell::bar;

use super::output::{Output, write_failure};
use super::query::parse_format;
use super::shell::{Collected, ConnectError, Connection, server_target};
use super::{CommandResult, Failure, runtime};

/// The server that is meant when none is named: the one on this machine.
const DEFAULT_SERVER: &str = "postgres://127.0.0.1:5439";

/// The most of a statement's text that is shown in one line.
const SQL_CHARS: usize = 200;

#[derive(clap::Args)]
pub(super) struct Status {
    /// The server, such as postgres://USER@HOST:5439/lake
    #[arg(long, value_name = "URL", default_value = DEFAULT_SERVER)]
    server: String,

    /// Show it once and leave, as is done where there is no terminal
    #[arg(long)]
    once: bool,

    /// How it is shown once: table or json
    #[arg(long, value_name = "FORMAT", default_value = "table", value_parser = parse_format)]
    format: Format,

    /// Seconds between two looks
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = clap::value_parser!(u64).range(1..=3600))]
    interval: u64,
}

/// One table of what there is to know.
#[derive(Debug, Clone, Default)]
pub(super) struct Section {
    name: &'static str,
    columns: Vec<String>,
    rows: Vec<Vec<Option<String>>>,
}

/// The questions. `{me}` is our own connection, which is not part of the picture.
const QUESTIONS: [(&str, &str); 4] = [
    (
        "queries",
        "SELECT query_id, state, user_name, run_ms, queue_ms, rows, bytes_scanned, files_kept, peak_memory_bytes, sql \
         FROM system.queries WHERE state IN ('QUEUED', 'RUNNING') AND client_address IS DISTINCT FROM '{me}' \
         ORDER BY queued_at, query_id",
    ),
    (
        "connections",
        "SELECT coalesce(state, 'other') AS state, count(*) AS connections FROM pg_catalog.pg_stat_activity \
         GROUP BY 1 ORDER BY 1",
    ),
    ("caches", "SELECT name, entries, bytes, limit_bytes, hits, misses FROM system.caches ORDER BY name"),
    (
        "crawls",
        "SELECT crawler_name, state, started_at, finished_at, files_listed, files_read, tables_created, tables_updated, \
         message FROM system.crawls ORDER BY started_at DESC LIMIT 5",
    ),
];

/// Tables that a server may have or not.
const OPTIONAL: [(&str, &str); 3] = [
    ("datasets", "SELECT * FROM system.datasets LIMIT 20"),
    ("schedules", "SELECT * FROM system.schedules LIMIT 20"),
    ("reports", "SELECT * FROM system.reports LIMIT 20"),
];

/// A server that is asked.
pub(super) struct Watched {
    connection: Connection,
    name: String,
    questions: Vec<(&'static str, String)>,
}

impl Watched {
    async fn open(url: &str) -> Result<Self, Failure> {
        let target = server_target(url, vec![("application_name".to_owned(), "limnos status".to_owned())])?;
        let mut target = target;
        target.settings.truncate(1);
        let connection = Connection::open(&target).await.map_err(|error| {
            let hint = match &error {
                ConnectError::Unreachable(_) => {
                    "Start a server with `limnos serve` or `limnos demo`, or name one with --server."
                }
                ConnectError::NeedsPassword => "Set PGPASSWORD, or write a line into ~/.pgpass.",
                ConnectError::Refused(_) => "Name a user and a database with --server postgres://USER@HOST:5439/lake.",
            };
            Failure::cannot_connect(error, Some(hint.to_owned()))
        })?;
        let name = url.split('@').next_back().unwrap_or(url).trim_start_matches("postgres://").to_owned();
        let me = connection.address.to_string();
        let mut watched = Self { connection, name, questions: Vec::new() };
        let there = "SELECT c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                     WHERE n.nspname = 'system'";
        let there: Vec<String> = watched.ask("", there).await?.rows.into_iter().flatten().flatten().collect();
        watched.questions = QUESTIONS.iter().map(|(name, sql)| (*name, sql.replace("{me}", &me))).collect();
        let optional = OPTIONAL.iter().filter(|(name, _)| there.iter().any(|table| table == name));
        watched.questions.extend(optional.map(|(name, sql)| (*name, (*sql).to_owned())));
        Ok(watched)
    }

    async fn ask(&mut self, name: &'static str, sql: &str) -> Result<Section, Failure> {
        let mut answer = Collected::default();
        match Box::pin(self.connection.run(sql, &mut answer)).await {
            Ok(()) => Ok(Section { name, columns: answer.columns, rows: answer.rows }),
            Err(limnos_shell::RunError::Sql(error)) => Err(Failure::new(error.message, error.hint)),
            Err(limnos_shell::RunError::Lost(why)) => Err(Failure::cannot_connect(why, None)),
            Err(limnos_shell::RunError::Receiver(error)) => Err(Failure::new(error, None)),
        }
    }

    /// All sections, as they are now.
    async fn look(&mut self) -> Result<Vec<Section>, Failure> {
        let mut sections = Vec::new();
        for (name, sql) in self.questions.clone() {
            sections.push(self.ask(name, &sql).await?);
        }
        Ok(sections)
    }

    /// Stops a query.
    async fn kill(&mut self, query_id: &str) -> Result<(), Failure> {
        self.ask("", &format!("KILL QUERY '{}'", query_id.replace('\'', "''"))).await.map(|_| ())
    }
}

impl Status {
    pub(super) fn run(self) -> CommandResult {
        if !matches!(self.format, Format::Table | Format::Json) {
            return Err(Failure::usage(
                format!("{} is no format for the status", self.format),
                Some("Use table or json.".to_owned()),
            ));
        }
        let runtime = runtime()?;
        let mut watched = runtime.block_on(Watched::open(&self.server))?;
        if !self.once && self.format == Format::Table && io::stdout().is_terminal() && io::stdin().is_terminal() {
            return screen::show(&runtime, &mut watched, Duration::from_secs(self.interval));
        }
        let sections = runtime.block_on(watched.look())?;
        let text = if self.format == Format::Json { json(&sections) } else { plain(&sections) };
        let mut output = Output::open(None)?;
        output.write_all(text.as_bytes()).map_err(|error| write_failure(&error))?;
        output.commit()
    }
}

/// An object with a list for each section.
fn json(sections: &[Section]) -> String {
    let value = |text: &Option<String>| match text {
        None => serde_json::Value::Null,
        Some(text) => match text.parse::<i64>() {
            Ok(number) => number.into(),
            Err(_) => text.clone().into(),
        },
    };
    let row = |section: &Section, row: &Vec<Option<String>>| {
        let pairs = section.columns.iter().cloned().zip(row.iter().map(value));
        serde_json::Value::Object(pairs.collect())
    };
    let all: serde_json::Map<String, serde_json::Value> = sections
        .iter()
        .map(|section| (section.name.to_owned(), section.rows.iter().map(|cells| row(section, cells)).collect()))
        .collect();
    format!("{:#}\n", serde_json::Value::Object(all))
}

fn plain(sections: &[Section]) -> String {
    let mut out = String::new();
    for section in sections {
        let (columns, rows) = shown(section);
        let widths: Vec<usize> = columns
            .iter()
            .enumerate()
            .map(|(at, name)| {
                rows.iter().map(|row| row[at].chars().count()).chain([name.chars().count()]).max().unwrap_or(0)
            })
            .collect();
        out.push_str(&format!("{}\n", section.name));
        if rows.is_empty() {
            out.push_str("  none\n\n");
            continue;
        }
        for row in std::iter::once(&columns).chain(&rows) {
            let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            out.push_str(&format!("  {}\n", cells.join("  ").trim_end()));
        }
        out.push('\n');
    }
    out
}

/// A section for people: times, sizes and shares in place of numbers.
fn shown(section: &Section) -> (Vec<String>, Vec<Vec<String>>) {
    let get = |row: &[Option<String>], name: &str| {
        let at = section.columns.iter().position(|column| column == name)?;
        row.get(at)?.clone()
    };
    if section.name == "queries" {
        let columns = ["state", "user", "time", "files", "rows", "read", "memory", "sql"];
        let number = |row: &[Option<String>], name: &str| get(row, name)?.parse::<u64>().ok();
        let rows = section.rows.iter().map(|row| {
            let run = number(row, "run_ms").or_else(|| number(row, "queue_ms")).unwrap_or(0);
            let read = number(row, "bytes_scanned").unwrap_or(0);
            let sql: String = get(row, "sql").unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
            vec![
                get(row, "state").unwrap_or_default(),
                get(row, "user_name").unwrap_or_default(),
                bar::time(Duration::from_millis(run)),
                number(row, "files_kept").unwrap_or(0).to_string(),
                bar::count(number(row, "rows").unwrap_or(0)),
                bar::bytes(read),
                bar::bytes(number(row, "peak_memory_bytes").unwrap_or(0)),
                sql.chars().filter(|character| !character.is_control()).take(SQL_CHARS).collect(),
            ]
        });
        return (columns.map(str::to_owned).to_vec(), rows.collect());
    }
    let cell = |column: &String, value: &Option<String>| {
        let value = value.clone().unwrap_or_default();
        match value.parse::<u64>() {
            Ok(bytes) if column.ends_with("bytes") => bar::bytes(bytes),
            _ => value
                .chars()
                .map(|character| if character.is_control() { ' ' } else { character })
                .take(SQL_CHARS)
                .collect(),
        }
    };
    let columns = section.columns.iter().map(|name| name.trim_end_matches("_bytes").replace('_', " ")).collect();
    let rows = section.rows.iter().map(|row| section.columns.iter().zip(row).map(|(c, v)| cell(c, v)).collect());
    (columns, rows.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section() -> Section {
        let some = |text: &str| Some(text.to_owned());
        Section {
            name: "queries",
            columns: ["query_id", "state", "user_name", "run_ms", "bytes_scanned", "files_kept", "sql"]
                .map(str::to_owned)
                .to_vec(),
            rows: vec![vec![
                some("q"),
                some("RUNNING"),
                some("ann"),
                some("1500"),
                some("1048576"),
                some("4"),
                some("select\n 1"),
            ]],
        }
    }

    #[test]
    fn queries_are_shown_for_people() {
        let (_, rows) = shown(&section());
        assert_eq!(rows[0], ["RUNNING", "ann", "1.5 s", "4", "0", "1.0 MiB", "0 B", "select 1"]);
        assert!(plain(&[section(), Section { name: "crawls", ..Section::default() }]).ends_with("crawls\n  none\n\n"));
    }

    #[test]
    fn json_has_numbers_and_nulls() {
        let mut section = section();
        section.rows[0][2] = None;
        let json: serde_json::Value = serde_json::from_str(&json(&[section])).unwrap_or_default();
        assert_eq!(json["queries"][0]["run_ms"], 1500);
        assert!(json["queries"][0]["user_name"].is_null());
    }
}
