//! [`Outputs`]: the files of one run, which take batches as they come and appear together at the end.

use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use limnos_catalog::{ReportFile, ReportOutput};
use limnos_report::{Document, Section, Workbook};

use crate::parse::CopyOption;
use crate::scan::store::Location;
use crate::write::file::{self, FileOptions, FileWriter};
use crate::{Error, ErrorCode, Result};

/// A format of a report's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Csv,
    Tsv,
    Json,
    Ndjson,
    Parquet,
    Xlsx,
    Html,
    Markdown,
}

impl Format {
    const ALL: [(&'static str, Self, &'static [&'static str]); 8] = [
        ("csv", Self::Csv, &["csv"]),
        ("tsv", Self::Tsv, &["tsv"]),
        ("json", Self::Json, &["json"]),
        ("ndjson", Self::Ndjson, &["ndjson", "jsonl"]),
        ("parquet", Self::Parquet, &["parquet"]),
        ("xlsx", Self::Xlsx, &["xlsx"]),
        ("html", Self::Html, &["html", "htm"]),
        ("markdown", Self::Markdown, &["md", "markdown"]),
    ];

    /// The format that is named, or that the file's name ends in.
    ///
    /// # Errors
    /// 22023 for one that isn't known; 0A000 for PDF.
    pub(crate) fn of(named: &str, location: &str) -> Result<Self> {
        let lower = location.to_lowercase();
        let base = [".gz", ".zst", ".bz2", ".xz", ".lz4", ".sz"].iter().find_map(|end| lower.strip_suffix(end));
        let extension = base.unwrap_or(&lower).rsplit_once('.').map_or("", |(_, extension)| extension);
        let wanted = if named.is_empty() { extension } else { named };
        let found = Self::ALL.iter().find(|(name, _, extensions)| {
            *name == wanted || extensions.contains(&wanted) || (wanted == "excel" && *name == "xlsx")
        });
        if let Some((_, format, _)) = found {
            return Ok(*format);
        }
        if wanted == "pdf" {
            return Err(Error::unsupported("report format \"pdf\" is not supported")
                .with_hint("Write html, which is made for print too: a browser's print dialog saves it as PDF."));
        }
        let names = Self::ALL.map(|(name, ..)| name).join(", ");
        if named.is_empty() {
            let message = format!("location \"{location}\" does not tell the format of its file");
            return Err(Error::new(ErrorCode::InvalidParameterValue, message)
                .with_hint(format!("Say it with FORMAT; there are {names}.")));
        }
        Err(Error::new(ErrorCode::InvalidParameterValue, format!("report format \"{named}\" not recognized"))
            .with_hint(format!("There are {names}.")))
    }

    /// As SQL has it.
    pub(crate) fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, format, _)| *format == self).map_or("csv", |(name, ..)| name)
    }

    /// Whether a file holds all queries, and not the rows of one.
    pub(crate) fn is_document(self) -> bool {
        matches!(self, Self::Xlsx | Self::Html | Self::Markdown)
    }
}

/// Whether the outputs can be made: their formats and compressions, and one file for each query where a file holds only one.
///
/// # Errors
/// 22023 and 0A000.
pub(crate) fn check_layout(output: &ReportOutput, has_query: bool, query_count: usize) -> Result<()> {
    let format = Format::of(&output.format, &output.location)?;
    if format.is_document() {
        if output.compression.as_deref().is_some_and(|compression| compression != "none") {
            return Err(Error::unsupported(format!("compression is not supported for {} files", format.name()))
                .with_hint("csv, tsv, json, ndjson and parquet files can be compressed."));
        }
        return Ok(());
    }
    if query_count > 1 && !has_query {
        let message = format!("location \"{}\" is of one file, and there are {query_count} queries", output.location);
        return Err(Error::new(ErrorCode::InvalidParameterValue, message)
            .with_hint("Put {query} into it: each query has a file of its own then. Or use xlsx, html or markdown."));
    }
    table_options(format, output).map(|_| ())
}

/// How the rows of one query are written.
fn table_options(format: Format, output: &ReportOutput) -> Result<FileOptions> {
    let option = |name: &str, value: Option<&str>| CopyOption {
        name: name.to_owned(),
        value: value.map(str::to_owned),
        list: None,
        position: 1,
    };
    let mut options = Vec::new();
    match format {
        Format::Csv | Format::Tsv => {
            options.push(option("format", Some("csv")));
            options.push(option("header", Some("true")));
            if format == Format::Tsv {
                options.push(option("delimiter", Some("\t")));
            }
        }
        Format::Json => options.extend([option("format", Some("json")), option("array", Some("true"))]),
        Format::Ndjson => options.push(option("format", Some("json"))),
        _ => options.push(option("format", Some("parquet"))),
    }
    if let Some(compression) = &output.compression {
        options.push(option("compression", Some(compression)));
    }
    crate::write::copy_options(&output.location, &options)
}

/// A file that a run is to make.
pub(super) struct Target {
    pub(super) location: Location,
    pub(super) output: ReportOutput,
    pub(super) format: Format,
    /// The query whose rows it has; all of them where there is none.
    pub(super) query: Option<usize>,
}

/// What takes the rows of one target.
enum Sink {
    Table(Option<Box<FileWriter>>),
    Workbook(Box<Option<Workbook>>),
    /// Made at the end, of the rows that are kept.
    Document,
}

/// See the module.
pub(super) struct Outputs {
    targets: Vec<(Target, Sink)>,
}

/// A file that is made, and not at its place yet.
struct Made {
    target: Target,
    /// All of it, where there is no writer.
    bytes: Vec<u8>,
    row_count: u64,
    writer: Option<Box<FileWriter>>,
}

/// What a document's writer says, in our words.
fn document_error(error: &limnos_report::Error) -> Error {
    use limnos_report::Error as Report;
    let code = match error {
        Report::NoSuchColumn { .. } => ErrorCode::UndefinedColumn,
        Report::NotNumeric { .. } => ErrorCode::DatatypeMismatch,
        Report::TooLarge { .. } | Report::LongText { .. } => ErrorCode::ProgramLimitExceeded,
        Report::Workbook(_) => ErrorCode::IoError,
        Report::Value(_) => ErrorCode::DataException,
    };
    let own = Error::new(code, error.to_string());
    match error.hint() {
        Some(hint) => own.with_hint(hint),
        None => own,
    }
}

impl Outputs {
    /// Writers of `targets`. `temp_dir` is where large workbooks wait.
    pub(super) fn new(targets: Vec<Target>, title: &str, zone: chrono_tz::Tz, temp_dir: &Path) -> Result<Self> {
        let mut all = Vec::with_capacity(targets.len());
        for target in targets {
            let sink = match target.format {
                Format::Xlsx => {
                    let workbook = Workbook::new(title, zone, Some(temp_dir.to_owned()));
                    Sink::Workbook(Box::new(Some(workbook.map_err(|error| document_error(&error))?)))
                }
                Format::Html | Format::Markdown => Sink::Document,
                _ => Sink::Table(None),
            };
            all.push((target, sink));
        }
        Ok(Self { targets: all })
    }

    /// The rows of query `number` come next.
    pub(super) fn begin(&mut self, number: usize, name: &str, schema: &SchemaRef) -> Result<()> {
        for (target, sink) in &mut self.targets {
            if target.query.is_some_and(|query| query != number) {
                continue;
            }
            match sink {
                Sink::Table(writer) => {
                    let options = table_options(target.format, &target.output)?;
                    let (store, path) = (Arc::clone(&target.location.store), target.location.path.clone());
                    let created = FileWriter::create(store, path, SchemaRef::clone(schema), &options)?;
                    *writer = Some(Box::new(created.with_digest()));
                }
                Sink::Workbook(workbook) => {
                    let workbook = workbook.as_mut().as_mut().expect("it is there until the end");
                    workbook.begin_sheet(name, schema).map_err(|error| document_error(&error))?;
                }
                Sink::Document => {}
            }
        }
        Ok(())
    }

    pub(super) async fn write(&mut self, number: usize, batch: &RecordBatch) -> Result<()> {
        for (target, sink) in &mut self.targets {
            if target.query.is_some_and(|query| query != number) {
                continue;
            }
            match sink {
                Sink::Table(Some(writer)) => writer.write(batch).await?,
                Sink::Workbook(workbook) => {
                    let workbook = workbook.as_mut().as_mut().expect("it is there until the end");
                    workbook.write(batch).map_err(|error| document_error(&error))?;
                }
                Sink::Table(None) | Sink::Document => {}
            }
        }
        Ok(())
    }

    /// There are no more rows of query `number`.
    pub(super) fn end(&mut self, number: usize, section: &Section) -> Result<()> {
        for (target, sink) in &mut self.targets {
            if let Sink::Workbook(workbook) = sink
                && target.query.is_none_or(|query| query == number)
            {
                let workbook = workbook.as_mut().as_mut().expect("it is there until the end");
                workbook.end_sheet(section).map_err(|error| document_error(&error))?;
            }
        }
        Ok(())
    }

    /// Makes all files, and then has them appear, one after the other.
    ///
    /// # Errors
    /// What keeps one from being made, and then none appears; or a store that refuses one.
    pub(super) async fn finish(mut self, document: &Document) -> Result<Vec<ReportFile>> {
        let made = match self.make(document) {
            Ok(made) => made,
            Err(error) => {
                self.abort().await;
                return Err(error);
            }
        };
        let mut files = Vec::with_capacity(made.len());
        let mut made = made.into_iter();
        let mut failed = None;
        for Made { target, bytes, row_count, writer } in made.by_ref() {
            let written = match writer {
                Some(writer) => writer.finish().await.map(|file| (file.meta.size, file.sha256.unwrap_or_default())),
                None => {
                    let (store, path) = (Arc::clone(&target.location.store), target.location.path.clone());
                    file::write_bytes(store, path, bytes).await
                }
            };
            match written {
                Ok((size, sha256)) => files.push(ReportFile {
                    location: target.location.url,
                    format: target.format.name().to_owned(),
                    size,
                    sha256,
                    row_count,
                }),
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        let Some(error) = failed else { return Ok(files) };
        for writer in made.filter_map(|made| made.writer) {
            writer.abort().await;
        }
        Err(error)
    }

    fn make(&mut self, document: &Document) -> Result<Vec<Made>> {
        // Documents first: what fails here fails before any file appears.
        let mut made_bytes = Vec::new();
        for (target, sink) in &mut self.targets {
            let own;
            let document = match target.query {
                Some(number) => {
                    own = Document { sections: vec![document.sections[number].clone()], ..document.clone() };
                    &own
                }
                None => document,
            };
            let bytes = match sink {
                Sink::Table(_) => Vec::new(),
                Sink::Workbook(workbook) => {
                    let mut bytes = Vec::new();
                    let workbook = workbook.take().expect("it is there until the end");
                    workbook.finish(&mut bytes).map_err(|error| document_error(&error))?;
                    bytes
                }
                Sink::Document => {
                    let text = match target.format {
                        Format::Html => limnos_report::html::html(document),
                        _ => limnos_report::markdown::markdown(document),
                    };
                    text.map_err(|error| document_error(&error))?.into_bytes()
                }
            };
            made_bytes.push((bytes, document.sections.iter().map(|section| section.row_count).sum()));
        }
        let targets = std::mem::take(&mut self.targets).into_iter().zip(made_bytes);
        Ok(targets
            .map(|((target, sink), (bytes, row_count))| match sink {
                Sink::Table(writer) => Made { target, bytes, row_count, writer },
                Sink::Workbook(_) | Sink::Document => Made { target, bytes, row_count, writer: None },
            })
            .collect())
    }

    /// Gives all files up.
    pub(super) async fn abort(self) {
        for (_, sink) in self.targets {
            if let Sink::Table(Some(writer)) = sink {
                writer.abort().await;
            }
        }
    }
}
