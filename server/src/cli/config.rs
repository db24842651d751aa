//! `limnos config show` and `limnos config check`: what the settings are and where they come from.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use limnos_engine::encode::Format;

use super::output::{Output, write_failure};
use super::query::parse_format;
use super::{CommandResult, Failure};
use crate::config::{self, Sources, process_environment};

#[derive(clap::Subcommand)]
#[allow(clippy::large_enum_variant, reason = "made once")]
pub(super) enum ConfigCommand {
    /// Show each setting, its value, and where it comes from: flag, environment, line of the file, default
    Show(Show),
    /// Read a file of settings and say what is wrong with it; nothing is started
    Check(Check),
}

#[derive(clap::Args)]
pub(super) struct Show {
    /// How they are written: table, csv, json, ndjson, markdown
    #[arg(long, value_name = "FORMAT", default_value = "table", value_parser = parse_format)]
    format: Format,

    #[command(flatten)]
    sources: Sources,
}

#[derive(clap::Args)]
pub(super) struct Check {
    /// The file
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

impl ConfigCommand {
    pub(super) fn run(self) -> CommandResult {
        match self {
            Self::Show(command) => command.run(),
            Self::Check(command) => {
                config::check_file(&command.file)?;
                println!("{} is valid", command.file.display());
                Ok(())
            }
        }
    }
}

impl Show {
    fn run(self) -> CommandResult {
        let settings = self.sources.provenance(process_environment)?;
        let column = |get: fn(&config::Provenance) -> &str| {
            Arc::new(StringArray::from_iter_values(settings.iter().map(get))) as ArrayRef
        };
        let columns = [
            ("name", column(|setting| &setting.name)),
            ("value", column(|setting| &setting.value)),
            ("source", column(|setting| &setting.source)),
        ];
        let batch = RecordBatch::try_from_iter(columns).map_err(|error| Failure::new(error, None))?;
        write(&batch, self.format)
    }
}

/// Writes one batch to standard output.
pub(super) fn write(batch: &RecordBatch, format: Format) -> CommandResult {
    if format.is_binary() {
        let hint = "Use table, csv, json, ndjson or markdown.";
        return Err(Failure::usage(format!("{format} is not written to standard output"), Some(hint.to_owned())));
    }
    let mut output = Output::open(None)?;
    let mut text = Vec::new();
    let mut writer = format.writer(&batch.schema()).map_err(|error| Failure::new(error.message, error.hint))?;
    writer
        .write(batch, &mut text)
        .and_then(|()| writer.finish(&mut text))
        .map_err(|error| Failure::new(error.message, error.hint))?;
    std::io::Write::write_all(&mut output, &text).map_err(|error| write_failure(&error))?;
    output.commit()
}
