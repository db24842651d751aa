//! `limnos crawl`: a short form of the statement `CRAWL`, with what it found as a table.

use limnos_engine::encode::Format;

use super::output::Output;
use super::statement::{identifier, string};
use super::target::{Local, TargetArguments, path_text};
use super::{CommandResult, query, remote, runtime};
use crate::config::process_environment;

#[derive(clap::Args)]
pub(super) struct Crawl {
    /// A folder, a file, or a prefix such as s3://BUCKET/PREFIX/
    #[arg(value_name = "PATH|URL")]
    location: String,

    /// The database that gets the tables
    #[arg(long, value_name = "NAME")]
    database: Option<String>,

    #[command(flatten)]
    target: TargetArguments,
}

impl Crawl {
    pub(super) fn run(self) -> CommandResult {
        let output = Output::open(None)?;
        // A server resolves names from where it stands, not from here.
        let location = absolute(&self.location);
        let sql = statement(&location, self.database.as_deref());
        if let Some(server) = &self.target.server {
            let server = remote::Server::new(server)?;
            return runtime()?.block_on(server.query(&sql, None, Format::Table, output));
        }
        let layer = self.target.sources.clone().layers(process_environment)?;
        if layer.data_dir.is_none() && layer.catalog.is_none() {
            eprintln!("NOTICE:  tables are shown, not kept: no --data-dir, --catalog or --server is given");
        }
        // Whoever may name a location on the command line may read it; files lie in their folder.
        let local = Local::open(self.target.sources, None, &root_of(&location))?;
        runtime()?.block_on(query::run_local(local, &sql, Format::Table, output))
    }
}

fn statement(location: &str, database: Option<&str>) -> String {
    match database {
        Some(database) => format!("CRAWL {} INTO DATABASE {}", string(location), identifier(database)),
        None => format!("CRAWL {}", string(location)),
    }
}

pub(super) fn absolute(location: &str) -> String {
    if location.contains("://") {
        return location.to_owned();
    }
    match std::fs::canonicalize(location) {
        Ok(path) if path.is_dir() => format!("{}/", path_text(&path).trim_end_matches('/')),
        Ok(path) => path_text(&path),
        // The engine says that it doesn't exist.
        Err(_) => location.to_owned(),
    }
}

pub(super) fn root_of(location: &str) -> Vec<String> {
    let path = std::path::Path::new(location);
    let is_missing = !location.contains("://") && !path.exists();
    match path.parent() {
        _ if is_missing => Vec::new(),
        Some(folder) if path.is_file() => vec![path_text(folder)],
        _ => vec![location.to_owned()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted() {
        assert_eq!(statement("/it's/", None), "CRAWL '/it''s/'");
        assert_eq!(statement("/a", Some("d\"b")), "CRAWL '/a' INTO DATABASE \"d\"\"b\"");
    }
}
