//! One module per file format: an object's bytes -> record batches of the wanted columns.
//!
//! ORC files have a [`FileSource`] of their own ([`orc`]). Text formats, Avro and Arrow IPC files are read by one, [`TextSource`], made by [`text_source`]:
//! [`input`] unpacks the object's bytes, a [`Decode`] ([`csv`], [`json`], [`pattern`]) makes batches of them, and DataFusion's
//! `ProjectionOpener` adds partition columns and evaluates what else was pushed into the scan.

mod adapted;
pub mod arrow_ipc;
pub mod avro;
mod block;
pub mod column;
pub mod csv;
pub mod datetime;
mod fault;
pub mod input;
pub mod json;
pub mod orc;
pub mod pattern;
pub mod scalar;

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use bytes::Bytes;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileOpenFuture, FileOpener, FileScanConfig, FileSource};
use datafusion::datasource::projection::{ProjectionOpener, SplitProjection};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_plan::metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder, Time};
use datafusion::physical_plan::{DisplayFormatType, PhysicalExpr, apply_expression_roots};
use futures::{StreamExt, TryStreamExt, stream};
use limnos_catalog::{Column, DataType, FileFormat, StorageDescriptor, TableDefinition, TableKind};
use object_store::ObjectStore;

use self::column::ColumnBuilder;
use self::csv::{CsvDecoder, CsvOptions};
use self::datetime::DateTimeFormat;
use self::input::Chunks;
use self::json::decode::JsonDecoder;
use self::json::records::Layout;
use self::pattern::PatternOptions;
use self::pattern::decode::PatternDecoder;
use crate::{Error, ErrorCode, Result};

/// Text that one batch is made of at most; long rows make batches of fewer rows than asked for.
const BATCH_BYTES_MAX: usize = 16 << 20;

/// Rows of a batch when the scan doesn't say.
const BATCH_ROWS: usize = 8192;

/// Turns a file's bytes into batches, piece by piece.
pub trait Decode: Send {
    /// Takes bytes until they are used up or a batch is full; returns how many it took.
    ///
    /// # Errors
    /// What is wrong with the file, naming it.
    fn push(&mut self, bytes: &[u8]) -> Result<usize>;

    /// Says that the file ends here.
    ///
    /// # Errors
    /// As [`Self::push`].
    fn finish(&mut self) -> Result<()>;

    /// Rows collected since the last [`Self::take`].
    fn rows(&self) -> usize;

    /// The size of their text.
    fn bytes(&self) -> usize;

    /// The collected rows as a batch.
    ///
    /// # Errors
    /// A defect of ours.
    fn take(&mut self) -> Result<RecordBatch>;

    /// Whether a batch is full.
    fn is_full(&self, rows_max: usize) -> bool {
        self.rows() >= rows_max || self.bytes() >= BATCH_BYTES_MAX
    }
}

/// A column that a scan reads.
#[derive(Debug, Clone)]
pub struct WantedColumn {
    /// Its place among the table's columns.
    pub index: usize,
    /// Its definition.
    pub column: Column,
    /// The pattern of its dates.
    pub format: Option<DateTimeFormat>,
}

impl WantedColumn {
    /// A builder for its values.
    pub fn builder(&self) -> ColumnBuilder {
        ColumnBuilder::new(&self.column.data_type, self.format.as_ref())
    }
}

/// What becomes of a text that isn't a value of its column's type, and of a line that isn't what the table says
/// (`limnos.on_error`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnError {
    /// The query ends with an error that names file, line and column.
    Fail,
    /// It is NULL, as in Hive and Athena.
    Null,
}

impl OnError {
    /// What the table says, if it says something.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidParameterValue`] for what is neither.
    pub fn of(storage: &StorageDescriptor) -> Result<Option<Self>> {
        match storage.properties.get("limnos.on_error").map(String::as_str) {
            None => Ok(None),
            Some("fail") => Ok(Some(Self::Fail)),
            Some("null") => Ok(Some(Self::Null)),
            Some(other) => Err(Error::new(
                ErrorCode::InvalidParameterValue,
                format!("invalid value for property \"limnos.on_error\": \"{other}\""),
            )
            .with_hint("Available values: fail, null.")),
        }
    }
}

/// How many rows at the top of each file aren't data (`skip.header.line.count`).
///
/// # Errors
/// [`ErrorCode::InvalidParameterValue`] for what isn't a count.
fn header_rows(definition: &TableDefinition) -> Result<u64> {
    let storage = storage(definition)?;
    let count = definition
        .parameters
        .get("skip.header.line.count")
        .or_else(|| storage.properties.get("skip.header.line.count"));
    match count {
        None => Ok(0),
        Some(text) => text.trim().parse().map_err(|_| {
            Error::new(
                ErrorCode::InvalidParameterValue,
                format!("invalid value for property \"skip.header.line.count\": \"{text}\""),
            )
        }),
    }
}

/// Checks what a statement says of lines and their patterns, before it is stored.
///
/// # Errors
/// As [`PatternOptions::new`].
pub fn check(definition: &TableDefinition) -> Result<()> {
    match &definition.kind {
        TableKind::External(storage) if storage.format == FileFormat::Regex => {
            PatternOptions::new(definition).map(drop)
        }
        TableKind::External(storage) => match (OnError::of(storage)?, storage.format) {
            (None, _) | (_, FileFormat::Csv) => Ok(()),
            _ => Err(Error::unsupported("property \"limnos.on_error\" is for delimited text and patterns only")),
        },
        TableKind::View { .. } => Ok(()),
    }
}

/// What a format needs to know to read files.
#[derive(Debug, Clone)]
enum Reader {
    Csv(CsvOptions),
    Json(Layout),
    Pattern(Arc<PatternOptions>),
    Avro,
    Arrow,
}

/// Reads the files of a CSV, JSON, Avro or Arrow table, or of one whose lines a pattern takes apart.
#[derive(Debug, Clone)]
pub struct TextSource {
    reader: Reader,
    /// All columns inside the files.
    columns: Arc<[WantedColumn]>,
    /// What stands before an object's path in messages: `/` or `s3://bucket/`.
    prefix: Arc<str>,
    table_schema: TableSchema,
    projection: SplitProjection,
    batch_rows: usize,
    metrics: ExecutionPlanMetricsSet,
}

/// The source that reads the files of `definition`. `table_schema` is made of [`crate::scan::schema::table_schema`]: the
/// columns in the definition's order, then the partition keys, whose values each `PartitionedFile` brings.
///
/// # Errors
/// A property that can't be, a view, or a format that isn't read here (Parquet, ORC).
pub fn text_source(definition: &TableDefinition, table_schema: TableSchema) -> Result<Arc<dyn FileSource>> {
    let storage = storage(definition)?;
    let reader = match storage.format {
        FileFormat::Csv => Reader::Csv(CsvOptions::new(definition)?),
        FileFormat::Json => Reader::Json(json::layout(storage)?),
        FileFormat::Regex => Reader::Pattern(Arc::new(PatternOptions::new(definition)?)),
        FileFormat::Arrow => Reader::Arrow,
        FileFormat::Avro => Reader::Avro,
        FileFormat::Parquet | FileFormat::Orc => return Err(Error::internal("these files are not read as text")),
    };
    if table_schema.file_schema().fields().len() != definition.columns.len() {
        return Err(Error::internal("the schema of a text scan must have the table's columns"));
    }
    let serial_dates = matches!(&reader, Reader::Csv(options) if options.serial_dates);
    let columns = definition
        .columns
        .iter()
        .enumerate()
        .map(|(index, column)| {
            let format = column_format(storage, column, serial_dates)?;
            Ok(WantedColumn { index, column: column.clone(), format })
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(TextSource {
        reader,
        columns: Arc::from(columns),
        prefix: display_prefix(&storage.location).into(),
        projection: SplitProjection::unprojected(&table_schema),
        table_schema,
        batch_rows: BATCH_ROWS,
        metrics: ExecutionPlanMetricsSet::new(),
    }))
}

/// The storage descriptor of a table of files.
fn storage(definition: &TableDefinition) -> Result<&StorageDescriptor> {
    match &definition.kind {
        TableKind::External(storage) => Ok(storage),
        TableKind::View { .. } => Err(Error::internal("a view has no files")),
    }
}

/// The strftime pattern of a column: its own, else the table's for its type.
fn column_format(storage: &StorageDescriptor, column: &Column, serial_dates: bool) -> Result<Option<DateTimeFormat>> {
    let own = storage.properties.get(&format!("limnos.format.{}", column.name));
    let pattern = own.or_else(|| match column.data_type {
        DataType::Date => storage.properties.get("limnos.date_format"),
        DataType::Timestamp | DataType::TimestampTz => storage.properties.get("limnos.timestamp_format"),
        _ => None,
    });
    match pattern {
        Some(pattern) => DateTimeFormat::new(pattern).map(Some),
        None if serial_dates => Ok(Some(DateTimeFormat::serial())),
        None => Ok(None),
    }
}

/// What stands before the paths of a location's store when a file is named to a user: `/`, or `s3://bucket/`.
pub fn display_prefix(location: &str) -> String {
    match url::Url::parse(location) {
        Ok(url) if url.scheme() == "file" => "/".to_owned(),
        Ok(url) => match url.host_str() {
            Some(host) => format!("{}://{host}/", url.scheme()),
            None => String::new(),
        },
        Err(_) => String::new(),
    }
}

impl FileSource for TextSource {
    fn create_file_opener(
        &self,
        object_store: Arc<dyn ObjectStore>,
        _base_config: &FileScanConfig,
        partition: usize,
    ) -> DataFusionResult<Arc<dyn FileOpener>> {
        let file_schema = self.table_schema.file_schema();
        let schema = Arc::new(Schema::new(
            self.projection
                .file_indices
                .iter()
                .map(|index| Arc::clone(&file_schema.fields()[*index]))
                .collect::<Vec<_>>(),
        ));
        let opener: Arc<dyn FileOpener> = Arc::new(TextOpener {
            store: object_store,
            reader: self.reader.clone(),
            wanted: self.projection.file_indices.iter().map(|index| self.columns[*index].clone()).collect(),
            width: self.columns.len(),
            prefix: Arc::clone(&self.prefix),
            schema,
            batch_rows: self.batch_rows,
            scanned_bytes: MetricBuilder::new(&self.metrics).counter("bytes_scanned", partition),
            decode_time: MetricBuilder::new(&self.metrics).subset_time("time_elapsed_decoding", partition),
        });
        let opener = ProjectionOpener::try_new(self.projection.clone(), opener, file_schema)?;
        Ok(Arc::new(NullableOpener { inner: opener }))
    }

    fn table_schema(&self) -> &TableSchema {
        &self.table_schema
    }

    fn with_batch_size(&self, batch_size: usize) -> Arc<dyn FileSource> {
        Arc::new(Self { batch_rows: batch_size.max(1), ..self.clone() })
    }

    fn projection(&self) -> Option<&ProjectionExprs> {
        Some(&self.projection.source)
    }

    fn try_pushdown_projection(&self, projection: &ProjectionExprs) -> DataFusionResult<Option<Arc<dyn FileSource>>> {
        let merged = self.projection.source.try_merge(projection)?;
        let projection = SplitProjection::new(self.table_schema.file_schema(), &merged);
        Ok(Some(Arc::new(Self { projection, ..self.clone() })))
    }

    fn metrics(&self) -> &ExecutionPlanMetricsSet {
        &self.metrics
    }

    fn file_type(&self) -> &str {
        match self.reader {
            Reader::Csv(_) => "csv",
            Reader::Json(_) => "json",
            Reader::Pattern(_) => "pattern",
            Reader::Avro => "avro",
            Reader::Arrow => "arrow",
        }
    }

    /// Where a row begins is known only from the start of a file (see [`csv`]).
    fn supports_repartitioning(&self) -> bool {
        false
    }

    fn fmt_extra(&self, _display: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reader {
            Reader::Csv(options) => write!(f, ", header_rows={}", options.header_rows),
            Reader::Pattern(options) => write!(f, ", header_rows={}", options.header_rows),
            Reader::Json(_) | Reader::Avro | Reader::Arrow => Ok(()),
        }
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DataFusionResult<TreeNodeRecursion>,
    ) -> DataFusionResult<TreeNodeRecursion> {
        apply_expression_roots(self.projection.source.iter(), f)
    }
}

/// Opens the files of one scan, one partition of its plan.
struct TextOpener {
    store: Arc<dyn ObjectStore>,
    reader: Reader,
    wanted: Vec<WantedColumn>,
    width: usize,
    prefix: Arc<str>,
    schema: SchemaRef,
    batch_rows: usize,
    scanned_bytes: Count,
    decode_time: Time,
}

impl FileOpener for TextOpener {
    fn open(&self, file: PartitionedFile) -> DataFusionResult<FileOpenFuture> {
        let name = format!("{}{}", self.prefix, file.object_meta.location);
        let store = Arc::clone(&self.store);
        let object = file.object_meta;
        let scanned_bytes = self.scanned_bytes.clone();
        let decode_time = self.decode_time.clone();
        let schema = Arc::clone(&self.schema);
        let decoder: Box<dyn Decode> = match &self.reader {
            Reader::Csv(options) => {
                Box::new(CsvDecoder::new(&name, options, &self.wanted, self.width, schema, self.batch_rows))
            }
            Reader::Json(layout) => {
                Box::new(JsonDecoder::new(&name, layout.clone(), &self.wanted, schema, self.batch_rows))
            }
            Reader::Pattern(options) => {
                Box::new(PatternDecoder::new(&name, options, &self.wanted, schema, self.batch_rows).map_err(external)?)
            }
            Reader::Avro => {
                let batch_rows = self.batch_rows;
                return Ok(Box::pin(async move {
                    let count = move |count| scanned_bytes.add(count);
                    let batches = avro::open(store, object, name, schema, batch_rows, count).await.map_err(external)?;
                    Ok(batches.map_err(external).boxed())
                }));
            }
            Reader::Arrow => {
                let columns = self.wanted.iter().map(|wanted| wanted.column.clone()).collect();
                return Ok(Box::pin(async move {
                    let batches = arrow_ipc::open(store, object, name, columns, schema, move |count| {
                        scanned_bytes.add(count);
                    })
                    .await
                    .map_err(external)?;
                    Ok(batches.map_err(external).boxed())
                }));
            }
        };
        Ok(Box::pin(async move {
            let chunks =
                input::open(&store, &object, &name, move |count| scanned_bytes.add(count)).await.map_err(external)?;
            Ok(decode(chunks, decoder, decode_time).map_err(external).boxed())
        }))
    }
}

/// The batches that `decoder` makes of `chunks`.
fn decode(
    chunks: Chunks,
    decoder: Box<dyn Decode>,
    decode_time: Time,
) -> impl futures::Stream<Item = Result<RecordBatch>> + Send {
    struct State {
        chunks: Chunks,
        chunk: Bytes,
        decoder: Box<dyn Decode>,
        finished: bool,
    }
    let state = State { chunks, chunk: Bytes::new(), decoder, finished: false };
    stream::try_unfold((state, decode_time), |(mut state, decode_time)| async move {
        while !state.finished {
            if state.chunk.is_empty() {
                match state.chunks.try_next().await? {
                    Some(chunk) => state.chunk = chunk,
                    None => {
                        state.finished = true;
                        state.decoder.finish()?;
                        break;
                    }
                }
            }
            let timer = decode_time.timer();
            let used = state.decoder.push(&state.chunk)?;
            drop(timer);
            let is_full = used < state.chunk.len();
            state.chunk = state.chunk.slice(used..);
            if is_full {
                break;
            }
        }
        if state.decoder.rows() == 0 {
            return Ok(None);
        }
        let batch = state.decoder.take()?;
        Ok(Some((batch, (state, decode_time))))
    })
}

/// Wraps our error so that it comes out of DataFusion with its code, detail and hint.
pub fn external(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// Adds the place in a file to an error's detail.
pub fn located(mut error: Error, file: &str, line: u64, column: Option<&str>) -> Error {
    let place = match column {
        Some(column) => format!("File \"{file}\", line {line}, column \"{column}\"."),
        None => format!("File \"{file}\", line {line}."),
    };
    error.detail = Some(match error.detail {
        Some(detail) => format!("{place} {detail}"),
        None => place,
    });
    if error.hint.is_none() && column.is_some() {
        error.hint = Some("Declare the column as string, or correct the file.".to_owned());
    }
    error
}

/// Bytes that aren't UTF-8, in PostgreSQL's words.
fn invalid_utf8(file: &str, line: u64, bytes: &[u8]) -> Error {
    let shown: Vec<String> = bytes.iter().take(2).map(|byte| format!("0x{byte:02x}")).collect();
    let error = Error::new(
        ErrorCode::CharacterNotInRepertoire,
        format!("invalid byte sequence for encoding \"UTF8\": {}", shown.join(" ")),
    )
    .with_hint("Convert the file to UTF-8.");
    located(error, file, line, None)
}

/// A file that begins with UTF-16's byte order mark.
fn utf16_refused() -> Error {
    Error::new(ErrorCode::CharacterNotInRepertoire, "files in UTF-16 are not supported")
        .with_hint("Convert the file to UTF-8.")
}

/// Says of each batch that its columns may hold NULL, as the table says. A partition's key is a constant in the batches of one
/// file, which as such is never NULL, or always; who puts rows of many files together goes by the first batch.
struct NullableOpener {
    inner: Arc<dyn FileOpener>,
}

impl FileOpener for NullableOpener {
    fn open(&self, file: PartitionedFile) -> DataFusionResult<FileOpenFuture> {
        let opening = self.inner.open(file)?;
        Ok(Box::pin(async move { Ok(opening.await?.map(|batch| nullable(batch?)).boxed()) }))
    }
}

fn nullable(batch: RecordBatch) -> DataFusionResult<RecordBatch> {
    let schema = batch.schema();
    if schema.fields().iter().all(|field| field.is_nullable()) {
        return Ok(batch);
    }
    let fields: Vec<_> = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
    Ok(batch.with_schema(Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone())))?)
}

#[cfg(test)]
mod tests;
