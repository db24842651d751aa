//! `limnos dataset`: short forms of the statements about datasets, sent to a server or run on a data directory.

use clap::Subcommand;

use super::CommandResult;
use super::statement::{self, identifier, qualified, string};
use super::target::TargetArguments;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  limnos dataset create sales --table lake.orders --refresh on_change --server http://127.0.0.1:8439
  limnos dataset create totals --query \"SELECT day, sum(price) AS price FROM orders GROUP BY day\" \\
      --refresh '15 minutes' --server http://127.0.0.1:8439
  limnos dataset refresh sales --server http://127.0.0.1:8439
  limnos dataset list --server http://127.0.0.1:8439")]
pub(super) struct Dataset {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
#[allow(clippy::large_enum_variant, reason = "made once")]
enum Action {
    /// Keep the rows of a table or a query in the server's memory
    Create(Create),
    /// Make the rows of a dataset anew; of a table only files that have changed are read
    Refresh(Refresh),
    /// List datasets: how large they are, and when they were refreshed
    List(All),
    /// Show the statement that makes a dataset
    Show(Named),
    /// Remove a dataset; its source stays
    Drop(Named),
    /// Show the last ingestions of a dataset
    History(Named),
}

#[derive(clap::Args)]
struct Named {
    /// The dataset: name, or database.name
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
struct Refresh {
    /// The dataset: name, or database.name
    #[arg(value_name = "NAME")]
    name: String,

    /// Read all of the source again
    #[arg(long)]
    full: bool,

    #[command(flatten)]
    target: TargetArguments,
}

#[derive(clap::Args)]
struct Create {
    /// What to call it: name, or database.name
    #[arg(value_name = "NAME")]
    name: String,

    /// The table whose rows it keeps
    #[arg(long, value_name = "NAME", required_unless_present = "query", conflicts_with = "query")]
    table: Option<String>,

    /// The query whose rows it keeps
    #[arg(long, value_name = "SQL")]
    query: Option<String>,

    /// When it is refreshed: manual, on_change, or an interval such as "15 minutes" [default: manual]
    #[arg(long, value_name = "WHEN", conflicts_with = "cron")]
    refresh: Option<String>,

    /// When it is refreshed, as a cron expression: "0 6 * * *"
    #[arg(long, value_name = "EXPRESSION")]
    cron: Option<String>,

    /// The time zone of --cron, such as Europe/Berlin [default: UTC]
    #[arg(long, value_name = "ZONE", requires = "cron")]
    time_zone: Option<String>,

    /// Read only what has changed, or everything each time: incremental, full [default: incremental]
    #[arg(long, value_name = "MODE", value_parser = ["incremental", "full"])]
    mode: Option<String>,

    /// A column whose order rows are kept in; repeated for several
    #[arg(long, value_name = "COLUMN")]
    order_by: Vec<String>,

    /// The most memory that it may take, such as 2GB
    #[arg(id = "dataset_memory_limit", long = "max-memory", value_name = "SIZE")]
    memory_limit: Option<String>,

    /// What becomes of wrong rows: fail, null, skip, quarantine
    #[arg(long, value_name = "POLICY", value_parser = ["fail", "null", "skip", "quarantine"])]
    on_error: Option<String>,

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

impl Dataset {
    pub(super) fn run(self) -> CommandResult {
        let (sql, target) = match self.action {
            Action::Create(create) => (create.statement(), create.target),
            Action::Refresh(refresh) => {
                let full = if refresh.full { " FULL" } else { "" };
                (format!("REFRESH DATASET {}{full}", qualified(&refresh.name)), refresh.target)
            }
            Action::List(all) => ("SHOW DATASETS".to_owned(), all.target),
            Action::Show(named) => (format!("SHOW CREATE DATASET {}", qualified(&named.name)), named.target),
            Action::Drop(named) => (format!("DROP DATASET {}", qualified(&named.name)), named.target),
            Action::History(named) => (history(&named.name), named.target),
        };
        statement::send(target, "a dataset is", &sql, &[])
    }
}

impl Create {
    fn statement(&self) -> String {
        let verb = match (self.or_replace, self.if_not_exists) {
            (true, _) => "CREATE OR REPLACE DATASET",
            (_, true) => "CREATE DATASET IF NOT EXISTS",
            _ => "CREATE DATASET",
        };
        let mut sql = format!("{verb} {}", qualified(&self.name));
        if let Some(comment) = &self.comment {
            sql += &format!(" COMMENT {}", string(comment));
        }
        let mut options = Vec::new();
        if let Some(refresh) = &self.refresh {
            options.push(format!("refresh = {}", string(refresh)));
        }
        if let Some(cron) = &self.cron {
            let zone = self.time_zone.as_deref().unwrap_or("UTC");
            options.push(format!("refresh = cron {} time zone {}", string(cron), string(zone)));
        }
        let texts = [("mode", &self.mode), ("memory_limit", &self.memory_limit), ("on_error", &self.on_error)];
        for (option, value) in texts {
            if let Some(value) = value {
                options.push(format!("{option} = {}", string(value)));
            }
        }
        if !self.order_by.is_empty() {
            let columns: Vec<String> = self.order_by.iter().map(|column| identifier(column)).collect();
            options.push(format!("order_by = ({})", columns.join(", ")));
        }
        if !options.is_empty() {
            sql += &format!(" WITH ({})", options.join(", "));
        }
        match (&self.table, &self.query) {
            (Some(table), _) => sql + &format!(" AS TABLE {}", qualified(table)),
            (None, query) => {
                sql + &format!(" AS {}", query.as_deref().unwrap_or_default().trim_end_matches([';', ' ']))
            }
        }
    }
}

fn history(dataset: &str) -> String {
    let shown = match dataset.split_once('.') {
        Some((database, name)) => format!("dataset_name = {}", string(&format!("{database}.{name}").to_lowercase())),
        None => format!("dataset_name LIKE {}", string(&format!("%.{}", dataset.to_lowercase()))),
    };
    format!(
        "SELECT ingestion_id, trigger, state, started_at, finished_at, rows_read, rows_ingested, rows_dropped, \
         bytes_read, files_added, files_changed, files_removed, files_unchanged, version, message \
         FROM system.ingestions WHERE {shown} ORDER BY started_at DESC"
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
        dataset: Dataset,
    }

    fn statement(arguments: &[&str]) -> String {
        let line = Line::try_parse_from(["dataset"].iter().chain(arguments)).unwrap();
        let Action::Create(create) = line.dataset.action else { panic!("not create") };
        create.statement()
    }

    #[test]
    fn arguments_become_a_statement() {
        let short = statement(&["create", "d", "--table", "shop.orders"]);
        assert_eq!(short, "CREATE DATASET \"d\" AS TABLE \"shop\".\"orders\"");
        let full = statement(&[
            "create",
            "shop.d",
            "--query",
            "SELECT 1 AS a;",
            "--cron",
            "0 6 * * *",
            "--time-zone",
            "Europe/Berlin",
            "--mode",
            "full",
            "--order-by",
            "a",
            "--max-memory",
            "2GB",
            "--comment",
            "it's",
            "--or-replace",
        ]);
        assert_eq!(
            full,
            "CREATE OR REPLACE DATASET \"shop\".\"d\" COMMENT 'it''s' WITH (refresh = cron '0 6 * * *' time zone \
             'Europe/Berlin', mode = 'full', memory_limit = '2GB', order_by = (\"a\")) AS SELECT 1 AS a"
        );
        for sql in [short, full, history("D'"), history("s.d")] {
            parse(&sql, Dialect::Postgres).unwrap();
        }
    }
}
