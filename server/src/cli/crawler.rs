//! `limnos crawler`: short forms of the statements about crawlers, sent to a server or run on a data directory.

use std::io::IsTerminal as _;
use std::time::Duration;

use clap::Subcommand;
use indicatif::ProgressBar;

use super::CommandResult;
use super::crawl::{absolute, root_of};
use super::statement::{self, identifier, list, string};
use super::target::TargetArguments;

#[derive(clap::Args)]
pub(super) struct Crawler {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
#[allow(clippy::large_enum_variant, reason = "made once")]
enum Action {
    /// Make a crawler: what it looks at, which database gets the tables, when it runs
    Create(Create),
    /// Run a crawler now, and show what it found
    Run(Named),
    /// List crawlers, their schedules and how their last runs ended
    List(All),
    /// Show the statement that makes a crawler
    Show(Named),
    /// Remove a crawler and its history; its tables stay
    Drop(Named),
    /// Show the last runs of a crawler
    History(Named),
    /// Stop a crawler from running by itself
    Pause(Named),
    /// Let a crawler run by itself again
    Resume(Named),
}

#[derive(clap::Args)]
struct Named {
    /// The crawler
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
struct Create {
    /// What to call it
    #[arg(value_name = "NAME")]
    name: String,

    /// A folder or a prefix such as s3://BUCKET/PREFIX/ to look at; repeated for several
    #[arg(long = "path", value_name = "PATH|URL", required = true)]
    paths: Vec<String>,

    /// The database that gets the tables
    #[arg(long, value_name = "NAME")]
    database: String,

    /// When it runs by itself, as a cron expression: "0 2 * * *"
    #[arg(long, value_name = "EXPRESSION")]
    cron: Option<String>,

    /// The time zone of --cron, such as Europe/Berlin [default: UTC]
    #[arg(long, value_name = "ZONE", requires = "cron")]
    time_zone: Option<String>,

    /// Paths below the target to leave out: "**.tmp", "archive/**"; repeated for several
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,

    /// Put this before the names of tables
    #[arg(long, value_name = "TEXT")]
    table_prefix: Option<String>,

    /// What becomes of a table whose files have other columns now: update, add, ignore [default: update]
    #[arg(long, value_name = "POLICY", value_parser = ["update", "add", "ignore"])]
    on_schema_change: Option<String>,

    /// What becomes of a table whose files are gone: drop, deprecate, ignore [default: deprecate]
    #[arg(long, value_name = "POLICY", value_parser = ["drop", "deprecate", "ignore"])]
    on_delete: Option<String>,

    /// Look at everything, or at new folders only: all, new [default: all]
    #[arg(long, value_name = "WHAT", value_parser = ["all", "new"])]
    recrawl: Option<String>,

    /// Classifiers to try first, in this order; repeated for several
    #[arg(long = "classifier", value_name = "NAME")]
    classifiers: Vec<String>,

    /// What it is for
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,

    /// Put it in the place of one of that name
    #[arg(long, conflicts_with = "if_not_exists")]
    or_replace: bool,

    /// Leave one of that name as it is
    #[arg(long)]
    if_not_exists: bool,

    #[command(flatten)]
    target: TargetArguments,
}

impl Crawler {
    pub(super) fn run(self) -> CommandResult {
        let named = |statement: &str, named: Named| (format!("{statement} {}", identifier(&named.name)), named.target);
        let (sql, target) = match self.action {
            Action::Create(create) => {
                let (sql, roots) = create.statement();
                return send(create.target, &sql, &roots, false);
            }
            Action::Run(crawler) => {
                let (sql, target) = named("RUN CRAWLER", crawler);
                return send(target, &sql, &[], true);
            }
            Action::List(all) => ("SHOW CRAWLERS".to_owned(), all.target),
            Action::Show(crawler) => named("SHOW CREATE CRAWLER", crawler),
            Action::Drop(crawler) => named("DROP CRAWLER", crawler),
            Action::History(crawler) => (history(&crawler.name), crawler.target),
            Action::Pause(crawler) => (format!("ALTER CRAWLER {} PAUSE", identifier(&crawler.name)), crawler.target),
            Action::Resume(crawler) => (format!("ALTER CRAWLER {} RESUME", identifier(&crawler.name)), crawler.target),
        };
        send(target, &sql, &[], false)
    }
}

impl Create {
    /// The statement, and the local folders that it names.
    fn statement(&self) -> (String, Vec<String>) {
        // A server resolves names from where it stands, not from here.
        let paths: Vec<String> = self.paths.iter().map(|path| absolute(path)).collect();
        let roots = paths.iter().flat_map(|path| root_of(path)).collect();
        let verb = match (self.or_replace, self.if_not_exists) {
            (true, _) => "CREATE OR REPLACE CRAWLER",
            (_, true) => "CREATE CRAWLER IF NOT EXISTS",
            _ => "CREATE CRAWLER",
        };
        let (name, database) = (identifier(&self.name), identifier(&self.database));
        let mut sql = format!("{verb} {name} TARGETS ({}) DATABASE {database}", list(&paths, string));
        if let Some(cron) = &self.cron {
            sql += &format!(" SCHEDULE CRON {}", string(cron));
        }
        if let Some(zone) = &self.time_zone {
            sql += &format!(" TIME ZONE {}", string(zone));
        }
        if !self.exclude.is_empty() {
            sql += &format!(" EXCLUDE ({})", list(&self.exclude, string));
        }
        if let Some(prefix) = &self.table_prefix {
            sql += &format!(" TABLE PREFIX {}", string(prefix));
        }
        let policies =
            [("ON SCHEMA CHANGE", &self.on_schema_change), ("ON DELETE", &self.on_delete), ("RECRAWL", &self.recrawl)];
        for (clause, word) in policies {
            if let Some(word) = word {
                sql += &format!(" {clause} {}", word.to_uppercase());
            }
        }
        if !self.classifiers.is_empty() {
            sql += &format!(" CLASSIFIERS ({})", list(&self.classifiers, identifier));
        }
        if let Some(comment) = &self.comment {
            sql += &format!(" COMMENT {}", string(comment));
        }
        (sql, roots)
    }
}

fn send(target: TargetArguments, sql: &str, roots: &[String], waits: bool) -> CommandResult {
    let _spinner = waits.then(Spinner::start);
    statement::send(target, "a crawler is", sql, roots)
}

fn history(name: &str) -> String {
    format!(
        "SELECT crawl_id, state, trigger, started_at, finished_at, files_listed, files_read, tables_created, \
         tables_updated, tables_dropped, partitions_added, partitions_dropped, refused, message \
         FROM system.crawls WHERE crawler_name = {} ORDER BY started_at DESC",
        string(&name.to_lowercase())
    )
}

/// Turns on a terminal while somebody waits; elsewhere there is none.
struct Spinner(ProgressBar);

impl Spinner {
    fn start() -> Self {
        if !std::io::stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        let bar = ProgressBar::new_spinner().with_message("crawling");
        bar.enable_steady_tick(Duration::from_millis(120));
        Self(bar)
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        crawler: Crawler,
    }

    fn statement(arguments: &[&str]) -> String {
        let line = Line::try_parse_from(["crawler"].iter().chain(arguments)).unwrap();
        let Action::Create(create) = line.crawler.action else { panic!("not create") };
        create.statement().0
    }

    #[test]
    fn arguments_become_a_statement() {
        assert_eq!(
            statement(&["create", "n", "--path", "s3://b/it's/", "--database", "d\"b"]),
            "CREATE CRAWLER \"n\" TARGETS ('s3://b/it''s/') DATABASE \"d\"\"b\""
        );
        let full = statement(&[
            "create",
            "n",
            "--path",
            "s3://b/a/",
            "--path",
            "s3://b/c/",
            "--database",
            "d",
            "--cron",
            "0 2 * * *",
            "--time-zone",
            "Europe/Berlin",
            "--exclude",
            "**.tmp",
            "--table-prefix",
            "p_",
            "--on-schema-change",
            "add",
            "--on-delete",
            "drop",
            "--recrawl",
            "all",
            "--classifier",
            "c",
            "--comment",
            "x",
            "--or-replace",
        ]);
        assert_eq!(
            full,
            "CREATE OR REPLACE CRAWLER \"n\" TARGETS ('s3://b/a/', 's3://b/c/') DATABASE \"d\" \
             SCHEDULE CRON '0 2 * * *' TIME ZONE 'Europe/Berlin' EXCLUDE ('**.tmp') TABLE PREFIX 'p_' \
             ON SCHEMA CHANGE ADD ON DELETE DROP RECRAWL ALL CLASSIFIERS (\"c\") COMMENT 'x'"
        );
        limnos_engine::parse::parse(&full, limnos_engine::parse::Dialect::Postgres).unwrap();
        limnos_engine::parse::parse(&history("N'"), limnos_engine::parse::Dialect::Postgres).unwrap();
    }
}
