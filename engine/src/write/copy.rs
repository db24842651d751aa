//! COPY ... TO 'file': the rows of a query -> one file, with PostgreSQL's options, or several in a folder.
//!
//! The file appears whole, in the place of one that was there, or not at all. Text and CSV are as PostgreSQL writes them,
//! but for what other programs read better: booleans are `true` and `false`, arrays and rows are JSON.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use futures::StreamExt;
use limnos_catalog::{Change, Column};

use super::file::{FileKind, FileOptions, FileWriter, JsonFile, JsonLayout, TextOptions};
use super::folder::Folders;
use super::open::OpenWrite;
use super::rows::{RowTarget, TARGET_FILE_BYTES, write_rows};
use crate::engine::{Shared, output_schema};
use crate::execute::{BatchStream, CpuRuntime, QueryRun, run_plan, stoppable};
use crate::parse::{Copy, CopyOption};
use crate::plan::lake::PlanContext;
use crate::plan::query::plan_query;
use crate::scan::format::csv::{CsvOptions, Dialect};
use crate::scan::listing::list_location;
use crate::scan::schema::{arrow_schema, catalog_field_type};
use crate::scan::store::Location;
use crate::{CommandTag, Error, ErrorCode, Notice, Result};

/// The part of a query's memory that files in a folder may hold.
const MEMORY_SHARE: usize = 4;

/// Where the rows go.
struct Target {
    shared: Arc<Shared>,
    run: Arc<QueryRun>,
    location: Arc<Location>,
    options: FileOptions,
    /// The query's columns under their names.
    schema: SchemaRef,
    task: Arc<TaskContext>,
}

/// Carries out COPY ... TO 'file'.
///
/// # Errors
/// Whatever keeps the rows from being written; then nothing is.
pub(crate) async fn copy(cpu: &CpuRuntime, context: PlanContext, copy: &Copy) -> Result<(CommandTag, Vec<Notice>)> {
    let run = Arc::clone(&context.run);
    let options = file_options(&copy.file, &copy.options)?;
    let (target, physical) = cpu.plan(&run.cancel, Box::pin(plan(context, copy.clone(), options))).await?;
    let batches = run_plan(cpu, &run, physical, Arc::clone(&target.task));
    let row_count = cpu.run(target.write(batches)).await?;
    Ok((CommandTag::Plain(format!("COPY {row_count}")), run.notices()))
}

async fn plan(context: PlanContext, copy: Copy, options: FileOptions) -> Result<(Target, Arc<dyn ExecutionPlan>)> {
    let (shared, run) = (Arc::clone(&context.shared), Arc::clone(&context.run));
    let location = Arc::new(shared.scan.stores.resolve(&copy.file)?);
    let planned = plan_query(context, &copy.query).await?;
    let names = planned.column_names();
    output_schema(&planned)?;
    let state = &planned.state;
    let plan = state.optimize(&planned.plan)?;
    let physical = state.query_planner().create_physical_plan(&plan, state).await?;
    let physical = stoppable(physical, &run.cancel)?;
    if let Some(limit) = run.scan_limit() {
        limit.check(&physical, &run).await?;
    }
    let fields = physical.schema();
    let fields = fields.fields().iter().zip(names).map(|(field, name)| field.as_ref().clone().with_name(name));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let task = crate::plan::options::task(state);
    Ok((Target { shared, run, location, options, schema, task }, physical))
}

impl Target {
    async fn write(self, batches: BatchStream) -> Result<u64> {
        let is_folder = self.location.is_folder
            || (!self.location.is_remote() && std::path::Path::new(&format!("/{}", self.location.path)).is_dir());
        if is_folder { self.write_folder(batches).await } else { self.write_file(batches).await }
    }

    async fn write_file(self, mut batches: BatchStream) -> Result<u64> {
        let (store, path) = (Arc::clone(&self.location.store), self.location.path.clone());
        let mut writer = FileWriter::create(store, path, Arc::clone(&self.schema), &self.options)?;
        loop {
            let next = tokio::select! {
                biased;
                () = self.run.cancel.cancelled() => Some(Err(crate::execute::canceled())),
                next = batches.next() => next,
            };
            let written = match next {
                None => break,
                Some(Ok(batch)) => writer.write(&batch).await,
                Some(Err(error)) => Err(error),
            };
            if let Err(error) = written {
                writer.abort().await;
                return Err(error);
            }
        }
        Ok(writer.finish().await?.row_count)
    }

    async fn write_folder(self, batches: BatchStream) -> Result<u64> {
        if !list_location(self.location.store.as_ref(), &self.location).await?.is_empty() {
            let message = format!("location \"{}\" has files already", self.location.url);
            return Err(Error::new(ErrorCode::ObjectNotInPrerequisiteState, message)
                .with_hint("Name another folder, or one file, which is replaced."));
        }
        let mut columns = Vec::with_capacity(self.schema.fields().len());
        for field in self.schema.fields() {
            columns.push(Column::new(field.name(), catalog_field_type(field)?));
        }
        let target = RowTarget {
            table: "COPY".to_owned(),
            location: Arc::clone(&self.location),
            stores: Arc::clone(&self.shared.scan.stores),
            options: self.options,
            file_schema: arrow_schema(&columns),
            keys: Vec::new(),
            folders: Folders::One,
            target_bytes: TARGET_FILE_BYTES,
            memory_bytes: self.shared.query_memory_limit() / MEMORY_SHARE,
            keeps_order: false,
        };
        let mut write = OpenWrite::begin(&self.shared.catalog, "COPY", vec![self.location.url.clone()]).await?;
        let written = tokio::select! {
            biased;
            () = self.run.cancel.cancelled() => Err(crate::execute::canceled()),
            written = write_rows(&target, &mut write, batches, &self.task) => written,
        };
        let row_count = match written {
            Ok((_, row_count)) => row_count,
            Err(error) => {
                write.abort().await;
                return Err(error);
            }
        };
        let end = Change::CommitWrite { write: write.id(), target: None, bookmark: None };
        if let Err(error) = write.commit(vec![end]).await {
            write.abort().await;
            return Err(error.into());
        }
        Ok(row_count)
    }
}

/// The format and its layout, of the options and the file's name.
pub(crate) fn file_options(file: &str, given: &[CopyOption]) -> Result<FileOptions> {
    let mut options = Options::default();
    for option in given {
        options.read(option)?;
    }
    let (by_name, compression_by_name) = of_name(file);
    let format = options.format.take().or_else(|| by_name.map(str::to_owned)).unwrap_or_else(|| "text".to_owned());
    let compression = options.compression.take().or_else(|| compression_by_name.map(str::to_owned));
    let kind = match format.as_str() {
        "text" | "csv" | "tsv" => FileKind::Text(options.text(&format)?),
        _ => {
            if let Some(name) = options.text_only {
                return Err(Error::unsupported(format!("COPY {name} available only in text and CSV mode")));
            }
            match format.as_str() {
                "parquet" => FileKind::Parquet,
                "orc" => FileKind::Orc,
                "avro" => FileKind::Avro,
                "arrow" | "ipc" | "feather" => FileKind::Arrow,
                "json" | "ndjson" | "jsonl" => {
                    let layout = if options.array { JsonLayout::Array } else { JsonLayout::Lines };
                    FileKind::Json(JsonFile { layout, formats: Vec::new() })
                }
                "binary" => {
                    return Err(Error::unsupported("COPY format \"binary\" is not supported")
                        .with_hint("Use csv, text, parquet, json, avro, orc or arrow."));
                }
                other => {
                    return Err(Error::new(
                        ErrorCode::InvalidParameterValue,
                        format!("COPY format \"{other}\" not recognized"),
                    )
                    .with_hint("Use csv, text, parquet, json, avro, orc or arrow."));
                }
            }
        }
    };
    FileOptions::new(kind, compression.as_deref(), options.level)
}

/// The format and the compression that a file's name asks for.
fn of_name(file: &str) -> (Option<&'static str>, Option<&'static str>) {
    let lower = file.to_lowercase();
    let packed =
        [(".gz", "gzip"), (".zst", "zstd"), (".bz2", "bzip2"), (".xz", "xz"), (".lz4", "lz4"), (".sz", "snappy")];
    let found = packed.iter().find_map(|(end, name)| Some((lower.strip_suffix(end)?, *name)));
    let (base, compression) = found.map_or((lower.as_str(), None), |(base, name)| (base, Some(name)));
    let formats = [
        (".csv", "csv"),
        (".tsv", "tsv"),
        (".parquet", "parquet"),
        (".json", "json"),
        (".ndjson", "json"),
        (".jsonl", "json"),
        (".avro", "avro"),
        (".orc", "orc"),
        (".arrow", "arrow"),
        (".feather", "arrow"),
    ];
    (formats.iter().find(|(end, _)| base.ends_with(end)).map(|(_, name)| *name), compression)
}

/// What the options say.
#[derive(Debug, Default)]
struct Options {
    format: Option<String>,
    compression: Option<String>,
    level: Option<i32>,
    header: bool,
    delimiter: Option<u8>,
    null: Option<String>,
    quote: Option<u8>,
    escape: Option<u8>,
    array: bool,
    /// The first option that only text has.
    text_only: Option<&'static str>,
}

impl Options {
    fn read(&mut self, option: &CopyOption) -> Result<()> {
        let CopyOption { name, value, position, .. } = option;
        let required =
            || value.clone().ok_or_else(|| Error::syntax(format!("{name} requires a parameter")).at(*position));
        let boolean = || match value.as_deref().map(str::to_lowercase).as_deref() {
            None | Some("true" | "on" | "1") => Ok(true),
            Some("false" | "off" | "0") => Ok(false),
            Some("match") if name == "header" => {
                Err(Error::unsupported("cannot use \"match\" with HEADER in COPY TO").at(*position))
            }
            Some(_) => Err(Error::syntax(format!("{name} requires a Boolean value")).at(*position)),
        };
        let character = |what: &str| match required()?.as_bytes() {
            [byte] if byte.is_ascii() => Ok(*byte),
            _ => Err(Error::unsupported(format!("COPY {what} must be a single one-byte character")).at(*position)),
        };
        match name.as_str() {
            "format" => self.format = Some(required()?.to_lowercase()),
            "compression" | "codec" => self.compression = Some(required()?),
            "compression_level" => {
                let text = required()?;
                let level = text.parse().map_err(|_| {
                    Error::new(
                        ErrorCode::InvalidParameterValue,
                        format!("invalid value for compression level: \"{text}\""),
                    )
                    .at(*position)
                })?;
                self.level = Some(level);
            }
            "header" => self.header = self.text_only("header", boolean()?),
            "delimiter" | "delim" | "sep" => {
                self.delimiter = Some(self.text_only("delimiter", character("delimiter")?));
            }
            "null" | "nullstr" => self.null = Some(self.text_only("null", required()?)),
            "quote" => self.quote = Some(self.text_only("quote", character("quote")?)),
            "escape" => self.escape = Some(self.text_only("escape", character("escape")?)),
            "array" => self.array = boolean()?,
            "encoding" => {
                let encoding = required()?.to_lowercase().replace(['-', '_'], "");
                if encoding != "utf8" {
                    return Err(Error::unsupported(format!("encoding \"{encoding}\" is not supported"))
                        .with_hint("Files are written in UTF8.")
                        .at(*position));
                }
            }
            "force_quote" | "force_null" | "force_not_null" | "freeze" | "partition_by" => {
                return Err(Error::unsupported(format!("COPY option \"{name}\" is not supported")).at(*position));
            }
            _ => {
                return Err(Error::syntax(format!("option \"{name}\" not recognized"))
                    .with_hint(
                        "Options are FORMAT, HEADER, DELIMITER, NULL, QUOTE, ESCAPE, COMPRESSION, COMPRESSION_LEVEL, ARRAY and ENCODING.",
                    )
                    .at(*position));
            }
        }
        Ok(())
    }

    fn text_only<T>(&mut self, name: &'static str, value: T) -> T {
        self.text_only.get_or_insert(name);
        value
    }

    /// PostgreSQL's rules for text and CSV.
    fn text(&self, format: &str) -> Result<TextOptions> {
        let is_text = format == "text";
        let default = if format == "csv" { b',' } else { b'\t' };
        let delimiter = self.delimiter.unwrap_or(default);
        let invalid = |message: &str| Error::new(ErrorCode::InvalidParameterValue, message);
        for (option, name) in [(self.quote, "quote"), (self.escape, "escape")] {
            if is_text && option.is_some() {
                return Err(Error::unsupported(format!("COPY {name} available only in CSV mode")));
            }
        }
        if delimiter == b'\n' || delimiter == b'\r' {
            return Err(invalid("COPY delimiter cannot be newline or carriage return"));
        }
        if is_text && (delimiter == b'\\' || delimiter == b'.' || delimiter.is_ascii_alphanumeric()) {
            return Err(invalid(&format!("COPY delimiter cannot be \"{}\"", char::from(delimiter))));
        }
        let quote = self.quote.unwrap_or(b'"');
        if !is_text && delimiter == quote {
            return Err(invalid("COPY delimiter and quote must be different"));
        }
        let null = self.null.clone().unwrap_or_else(|| if is_text { "\\N".to_owned() } else { String::new() });
        if null.contains(['\n', '\r']) {
            return Err(invalid("COPY null representation cannot use newline or carriage return"));
        }
        if null.contains(char::from(delimiter)) {
            return Err(invalid("COPY delimiter character must not appear in the NULL specification"));
        }
        if !is_text && null.contains(char::from(quote)) {
            return Err(invalid("CSV quote character must not appear in the NULL specification"));
        }
        let csv = CsvOptions {
            delimiter,
            quote: (!is_text).then_some(quote),
            escape: self.escape.filter(|escape| *escape != quote),
            null: Some(null),
            header_rows: u64::from(self.header),
            serial_dates: false,
            dash_is_null: false,
            comment: None,
            on_error: None,
            missing_is_null: false,
            dialect: Dialect::Plain,
        };
        Ok(TextOptions { csv, hex: true, backslash: is_text, formats: Vec::new() })
    }
}
