//! The command line, one file per subcommand. In: arguments. Out: an exit code ([`code`]), answers on standard output, all
//! that went wrong on standard error.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is where the program talks to people")]

mod catalog;
mod completions;
mod config;
mod crawl;
mod crawler;
mod dataset;
mod demo;
mod example;
mod output;
mod query;
mod remote;
mod report;
mod reports;
mod schedule;
mod serve;
mod shell;
mod statement;
mod status;
mod target;
mod terminal;
mod user;

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::config::{Config, ConfigError};
use crate::telemetry;

/// A folder or bucket of files as a SQL database: crawl it, query it, open it with any PostgreSQL client
#[derive(Parser)]
#[command(name = "limnos", version, propagate_version = true, max_term_width = 100)]
#[command(
    after_help = "Start with `limnos demo`, then `limnos shell --server postgres://limnos@127.0.0.1:5439/lake`.\n\n\
    Exit codes: 0 all went well, 1 a query or another thing failed, 2 it was not understood, 3 no connection, 130 Ctrl-C."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
// One value, made once: the size of the largest doesn't matter.
#[allow(clippy::large_enum_variant, reason = "made once")]
enum Command {
    /// Make a demo lake (TPC-H and logs), catalog it and serve it
    Demo(demo::Demo),
    /// Serve lakes to PostgreSQL and HTTP clients
    Serve(serve::Serve),
    /// Run SQL here, with no server: on a data directory, or directly on files
    Query(query::QueryCommand),
    /// Type SQL: completion, history, psql's backslash commands, on a folder or a server
    Shell(shell::ShellCommand),
    /// Find tables under a folder or prefix and put them in the catalog
    Crawl(crawl::Crawl),
    /// Write the whole catalog to a file, or read it from one
    #[command(subcommand)]
    Catalog(catalog::CatalogCommand),
    /// Make, run, list and drop crawlers, which find tables by themselves
    Crawler(crawler::Crawler),
    /// Keep rows of tables and queries in memory: make, refresh, list and drop datasets
    Dataset(dataset::Dataset),
    /// Make, run, list and drop reports, which write the answers of queries to files
    Report(reports::ReportCommand),
    /// Make, run, list and drop schedules of statements, and apply those that files say
    Schedule(schedule::Schedule),
    /// Make, change, list and drop users, and set their passwords
    User(user::User),
    /// Show what a server does: queries, memory, caches, connections, crawlers
    Status(status::Status),
    /// Show the settings and where they come from, or check a file of them
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Write what bash, zsh, fish, PowerShell or Elvish need to complete arguments
    Completions(completions::Completions),
}

/// How a command ends when it doesn't succeed.
enum Failure {
    /// Told already, or not worth a word (a closed pipe).
    Silent(ExitCode),
    /// To be told.
    Told { code: ExitCode, message: String, hint: Option<String> },
}

type CommandResult = Result<(), Failure>;

/// How commands end.
mod code {
    /// What was asked could not be understood, or must not be.
    pub(super) const USAGE: u8 = 2;
    /// The server can't be reached, or lets nobody in.
    pub(super) const CANNOT_CONNECT: u8 = 3;
    /// Ctrl-C: 128 and the number of its signal, as shells have it.
    pub(super) const INTERRUPTED: u8 = 130;
}

impl Failure {
    /// It was asked for in a way that can't be.
    fn usage(error: impl std::fmt::Display, hint: Option<String>) -> Self {
        Self::Told { code: ExitCode::from(code::USAGE), message: error.to_string(), hint }
    }

    /// There is no way to the server.
    fn cannot_connect(error: impl std::fmt::Display, hint: Option<String>) -> Self {
        Self::Told { code: ExitCode::from(code::CANNOT_CONNECT), message: error.to_string(), hint }
    }

    fn new(error: impl std::fmt::Display, hint: Option<String>) -> Self {
        Self::Told { code: ExitCode::FAILURE, message: error.to_string(), hint }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Told { code: ExitCode::from(2), message: error.message, hint: error.hint }
    }
}

impl From<crate::serve::ServeError> for Failure {
    fn from(error: crate::serve::ServeError) -> Self {
        Self::new(&error, error.hint())
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::new(format!("{error:#}"), None)
    }
}

/// Reads the arguments and does what they say.
pub fn main() -> ExitCode {
    let arguments = match Arguments::from_arg_matches(&command().get_matches()) {
        Ok(arguments) => arguments,
        Err(error) => error.exit(),
    };
    let outcome = match arguments.command {
        Command::Demo(command) => command.run(),
        Command::Serve(command) => command.run(),
        Command::Query(command) => command.run(),
        Command::Shell(command) => command.run(),
        Command::Crawl(command) => command.run(),
        Command::Catalog(command) => command.run(),
        Command::Crawler(command) => command.run(),
        Command::Dataset(command) => command.run(),
        Command::Report(command) => command.run(),
        Command::Schedule(command) => command.run(),
        Command::User(command) => command.run(),
        Command::Status(command) => command.run(),
        Command::Config(command) => command.run(),
        Command::Completions(command) => command.run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Silent(code)) => code,
        Err(Failure::Told { code, message, hint }) => {
            eprintln!("{} {message}", terminal::red("limnos:", terminal::has_colors(&std::io::stderr())));
            if let Some(hint) = hint {
                eprintln!("HINT:  {hint}");
            }
            code
        }
    }
}

/// Settings of listeners: a configuration file may have them, but commands without listeners don't offer them.
const LISTENER_SETTINGS: [&str; 18] = [
    "pg",
    "http",
    "max_connections",
    "superuser_reserved_connections",
    "authentication_timeout",
    "idle_session_timeout",
    "idle_in_transaction_session_timeout",
    "statement_timeout",
    "schedule_history",
    "schedule_poll_interval",
    "shutdown_deadline",
    "auth",
    "users_file",
    "tls_certificate",
    "tls_key",
    "tls_client_ca",
    "tls_min_version",
    "tls_required",
];

/// Settings that say where a catalog is: all that the commands on a catalog offer.
const CATALOG_SETTINGS: [&str; 3] = ["config", "data_dir", "catalog"];

fn command() -> clap::Command {
    let hide = |command: clap::Command| {
        command.mut_args(|argument| {
            let is_listener = LISTENER_SETTINGS.contains(&argument.get_id().as_str());
            if is_listener { argument.hide(true) } else { argument }
        })
    };
    let hide_all = |command: clap::Command| {
        command.mut_args(|argument| {
            let is_setting = argument.get_help_heading().is_some_and(|heading| heading.starts_with("Settings"));
            let is_ours = CATALOG_SETTINGS.contains(&argument.get_id().as_str());
            if is_setting && !is_ours { argument.hide(true) } else { argument }
        })
    };
    let hide_in_all = move |command: clap::Command| {
        let names: Vec<String> = command.get_subcommands().map(|command| command.get_name().to_owned()).collect();
        names.into_iter().fold(command, |command, name| command.mut_subcommand(name, hide))
    };
    let command = Arguments::command()
        .mut_subcommand("query", hide)
        .mut_subcommand("shell", hide)
        .mut_subcommand("crawl", hide)
        .mut_subcommand("catalog", |catalog| {
            catalog.mut_subcommand("export", hide_all).mut_subcommand("import", hide_all)
        })
        .mut_subcommand("crawler", hide_in_all)
        .mut_subcommand("dataset", hide_in_all)
        .mut_subcommand("report", hide_in_all)
        .mut_subcommand("schedule", hide_in_all)
        .mut_subcommand("user", hide_in_all);
    example::add(command)
}

/// The runtime for I/O; queries compute on the engine's own.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    use anyhow::Context as _;
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("could not start the I/O runtime")
}

fn start_logs(config: &Config) -> CommandResult {
    telemetry::start(&config.log_level, config.log_format).map_err(|error| Failure::Told {
        code: ExitCode::from(2),
        message: format!("log level \"{}\" is not valid: {error}", config.log_level),
        hint: Some("Use error, warn, info, debug, trace, or a filter such as limnos_engine=debug,info.".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn arguments_are_consistent() {
        super::command().debug_assert();
    }

    #[test]
    fn commands_without_listeners_offer_none() {
        for (name, expected) in [("serve", true), ("demo", true), ("query", false), ("crawl", false)] {
            let mut command = super::command();
            let help = command.find_subcommand_mut(name).expect("it is there").render_long_help().to_string();
            assert_eq!(help.contains("--pg "), expected, "{name}");
            assert!(help.contains("--memory-limit <SIZE>"), "{name}");
            // Flattened structs have docs of their own, which must not become the command's.
            let about = command.find_subcommand(name).and_then(|command| command.get_about()).map(ToString::to_string);
            assert!(about.is_some_and(|about| !about.to_lowercase().contains("setting")), "{name}");
        }
    }

    #[test]
    fn commands_on_the_catalog_offer_only_where_it_is() {
        for name in ["export", "import"] {
            let mut command = super::command();
            let catalog = command.find_subcommand_mut("catalog").expect("it is there");
            let help = catalog.find_subcommand_mut(name).expect("it is there").render_long_help().to_string();
            assert!(help.contains("--data-dir <DIR>") && help.contains("--catalog <URL>"), "{help}");
            assert!(!help.contains("--memory-limit") && !help.contains("--pg ") && !help.contains("--s3"), "{help}");
        }
    }
}
