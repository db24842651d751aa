//! `limnos query`: SQL in this process, or on a server. Answers go to standard output or a file, notices and errors to
//! standard error.

use std::io::{self, Read as _, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use limnos_engine::encode::{BatchWriter, Format};
use limnos_engine::{CommandTag, Error, ErrorCode, Notice, Result};

use super::output::{Output, write_failure};
use super::target::{Local, TargetArguments};
use super::{CommandResult, Failure, code, remote, report, runtime};
use crate::query::CancelSlot;
use crate::script::{self, Sink, tag_text};

#[derive(clap::Args)]
pub(super) struct QueryCommand {
    /// The SQL, one statement or several; - reads it from standard input. Files are tables: select * from 'data/*.parquet'
    #[arg(value_name = "SQL", required_unless_present = "file", conflicts_with = "file")]
    sql: Option<String>,

    /// Read the SQL from this file
    #[arg(long, short, value_name = "FILE")]
    file: Option<PathBuf>,

    /// How answers are written: table, csv, json, ndjson, parquet, markdown [default: by the output's name, else table]
    #[arg(long, value_name = "FORMAT", value_parser = parse_format)]
    format: Option<Format>,

    /// Write the answer to this file, whole or not at all
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Where unqualified names are looked up first
    #[arg(long, value_name = "NAME")]
    database: Option<String>,

    #[command(flatten)]
    target: TargetArguments,
}

pub(super) fn parse_format(text: &str) -> std::result::Result<Format, String> {
    text.parse().map_err(|error: Error| format!("{}. {}", error.message, error.hint.unwrap_or_default()))
}

impl QueryCommand {
    pub(super) fn run(self) -> CommandResult {
        let format = self.format();
        if format.is_binary() && self.output.is_none() {
            return Err(Failure::Told {
                code: ExitCode::from(2),
                message: format!("{format} is not written to standard output"),
                hint: Some("Name a file with --output.".to_owned()),
            });
        }
        let sql = self.sql()?;
        let output = Output::open(self.output.as_deref())?;
        let Some(server) = &self.target.server else {
            let local = Local::open(self.target.sources, self.database.as_deref(), &[])?;
            return runtime()?.block_on(run_local(local, &sql, format, output));
        };
        let server = remote::Server::new(server)?;
        runtime()?.block_on(server.query(&sql, self.database.as_deref(), format, output))
    }

    fn format(&self) -> Format {
        let by_name = || Format::from_extension(self.output.as_ref()?.extension()?.to_str()?);
        self.format.or_else(by_name).unwrap_or(Format::Table)
    }

    fn sql(&self) -> std::result::Result<String, Failure> {
        let read = |name: &str, text: io::Result<String>| {
            text.map_err(|error| Failure::new(format!("could not read \"{name}\": {error}"), None))
        };
        match (&self.sql, &self.file) {
            (_, Some(path)) if path.as_os_str() != "-" => {
                read(&path.display().to_string(), std::fs::read_to_string(path))
            }
            (Some(sql), None) if sql != "-" => Ok(sql.clone()),
            _ => {
                let mut text = String::new();
                read("standard input", io::stdin().read_to_string(&mut text).map(|_| text))
            }
        }
    }
}

/// Runs `sql` and writes its answers. Ctrl-C cancels the running statement, as in psql.
pub(super) async fn run_local(mut local: Local, sql: &str, format: Format, output: Output) -> CommandResult {
    let slot = CancelSlot::default();
    let mut was_interrupted = false;
    let mut sink = FileSink { format, writer: None, buffer: Vec::new(), output, broken: None };
    let outcome = {
        let running = script::run(&local.service, &mut local.session, sql, &slot, &mut sink);
        tokio::pin!(running);
        loop {
            tokio::select! {
                outcome = &mut running => break outcome,
                Ok(()) = tokio::signal::ctrl_c() => {
                    was_interrupted = true;
                    slot.cancel("canceling statement due to user request");
                }
            }
        }
    };
    if let Some(error) = sink.broken {
        return Err(write_failure(&error));
    }
    if let Err(failed) = outcome {
        // The answers before the failing statement are shown; a file is all or nothing.
        if matches!(sink.output, Output::Stdout(_)) {
            let _ = sink.output.flush();
        }
        let failure = report::failure(&failed);
        return Err(if was_interrupted { Failure::Silent(ExitCode::from(code::INTERRUPTED)) } else { failure });
    }
    sink.output.commit()
}

/// Encodes answers one after the other into the output.
struct FileSink {
    format: Format,
    writer: Option<Box<dyn BatchWriter>>,
    buffer: Vec<u8>,
    output: Output,
    /// Why the output takes no more.
    broken: Option<io::Error>,
}

impl FileSink {
    fn drain(&mut self) -> Result<()> {
        let written = self.output.write_all(&self.buffer);
        self.buffer.clear();
        written.map_err(|error| {
            let stopped = Error::new(ErrorCode::IoError, format!("could not write the result: {error}"));
            self.broken = Some(error);
            stopped
        })
    }
}

#[async_trait]
impl Sink for FileSink {
    async fn begin(&mut self, _query_id: &str, schema: Option<&SchemaRef>, notices: &[Notice]) -> Result<()> {
        report::notices(notices);
        self.writer = schema.map(|schema| self.format.writer(schema)).transpose()?;
        Ok(())
    }

    async fn batch(&mut self, batch: RecordBatch) -> Result<()> {
        self.writer.as_mut().expect("rows come with a schema").write(&batch, &mut self.buffer)?;
        self.drain()
    }

    async fn closing(&mut self, notices: &[Notice]) -> Result<()> {
        report::notices(notices);
        Ok(())
    }

    async fn end(&mut self, tag: &CommandTag, rows: u64) -> Result<()> {
        match self.writer.take() {
            Some(mut writer) => writer.finish(&mut self.buffer)?,
            // Other formats are read by programs, which a tag would confuse.
            None if self.format == Format::Table => self.buffer.extend(format!("{}\n", tag_text(tag, rows)).bytes()),
            None => {}
        }
        self.drain()
    }
}
