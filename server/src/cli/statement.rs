//! [`send`]: the one statement that a subcommand is short for, to wherever it is aimed; names and texts as SQL writes them.

use std::process::ExitCode;

use limnos_engine::encode::Format;

use super::output::Output;
use super::target::{Local, TargetArguments};
use super::{CommandResult, Failure, query, remote, runtime};
use crate::config::process_environment;

/// Runs `sql` on the server or the data directory that `target` names, and prints its answer. `kept` says, in an error, what it is
/// that can't be kept anywhere else (`a dataset is`); `roots` may be read beside those of the configuration.
///
/// # Errors
/// Neither is named; whatever the statement ends with.
pub(super) fn send(target: TargetArguments, kept: &str, sql: &str, roots: &[String]) -> CommandResult {
    let output = Output::open(None)?;
    if let Some(server) = &target.server {
        let server = remote::Server::new(server)?;
        return runtime()?.block_on(server.query(sql, None, Format::Table, output));
    }
    let local = open(target, kept, roots)?;
    runtime()?.block_on(query::run_local(local, sql, Format::Table, output))
}

/// The catalog in this process that `target` names: what is made in one in memory would be gone with the command.
///
/// # Errors
/// None is named, or it can't be opened.
pub(super) fn open(target: TargetArguments, kept: &str, roots: &[String]) -> Result<Local, Failure> {
    let layer = target.sources.clone().layers(process_environment)?;
    if layer.data_dir.is_none() && layer.catalog.is_none() {
        return Err(Failure::Told {
            code: ExitCode::from(2),
            message: format!("{kept} kept by a server or in a data directory"),
            hint: Some("Name one with --server http://127.0.0.1:8439 or --data-dir.".to_owned()),
        });
    }
    Local::open(target.sources, None, roots)
}

/// A name, quoted.
pub(super) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// `name` or `database.name`, each quoted.
pub(super) fn qualified(name: &str) -> String {
    name.splitn(2, '.').map(identifier).collect::<Vec<_>>().join(".")
}

/// A string constant.
pub(super) fn string(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Several, with commas between.
pub(super) fn list(texts: &[String], quoted: fn(&str) -> String) -> String {
    texts.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(", ")
}
