//! One module per file format: an object's bytes -> record batches of the wanted columns.
//!
//! ORC files have a [`FileSource`] of their own ([`orc`]). Text formats, Avro and Arrow IPC files are read by one, [`TextSource`], made by [`text_source`]:
//! [`input`] unpacks the object's bytes, a [`Decode`] ([`csv`], [`json`], [`pattern`]) makes batches of them, and DataFusion's
//! `ProjectionOpener` adds partition columns and evaluates what else was pushed into the scan.

mod adapted;
pub mod arrow_ipc;
pub mod avro;
mod block;
mod checksum;
pub mod column;
pub mod csv;
pub mod datetime;
pub mod delimited;
mod fault;
pub mod hive_text;
pub mod input;
mod java_time;
pub mod json;
pub mod on_error;
pub mod orc;
pub mod pattern;
pub mod position;
mod replay;
pub mod scalar;
mod slots;
pub mod split;
mod unpack;

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
use self::csv::CsvOptions;
use self::datetime::DateTimeFormat;
use self::delimited::CsvDecoder;
use self::input::Chunks;
use self::json::decode::JsonDecoder;
use self::json::options::JsonOptions;
pub use self::on_error::OnError;
use self::on_error::RowPolicy;
use self::pattern::PatternOptions;
use self::pattern::decode::PatternDecoder;
use self::position::Position;
use self::split::{Piece, RowFinder, RowStart};
use crate::scan::rejects::{FileTally, ScanTally};
use crate::{Error, ErrorCode, Result};

/// Text that one batch is made of at most; long rows make batches of fewer rows than asked for.
const BATCH_BYTES_MAX: usize = 16 << 20;

/// Rows of a batch when the scan doesn't say.
const BATCH_ROWS: usize = 8192;

/// Turns a file's bytes into batches, piece by piece.
pub trait Decode: Send {
    /// Begins in the middle of a file, where a row begins. To be called before any other.
    fn resume(&mut self, start: &RowStart);

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

    /// Whether nothing is left to be decoded after [`Self::finish`], which is called until then.
    fn is_drained(&self) -> bool {
        true
    }

    /// Rows collected since the last [`Self::take`], with those that it will leave out.
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
    let TableKind::External(storage) = &definition.kind else { return Ok(()) };
    RowPolicy::of(definition)?;
    match storage.format {
        FileFormat::Regex => PatternOptions::new(definition).map(drop),
        FileFormat::Csv => CsvOptions::new(definition).map(drop),
        FileFormat::Json => JsonOptions::new(storage).map(drop),
        // What the table says is for those of its partitions that are text.
        _ if !storage.properties.contains_key("limnos.on_error") => Ok(()),
        _ => Err(Error::unsupported("property \"limnos.on_error\" is for text formats only")),
    }
}

/// What a format needs to know to read files.
#[derive(Debug, Clone)]
enum Reader {
    Csv(CsvOptions),
    Json(JsonOptions),
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
    tally: Arc<ScanTally>,
}

/// The source that reads the files of `definition`. `table_schema` is made of [`crate::scan::schema::table_schema`]: the
/// columns in the definition's order, then the partition keys, whose values each `PartitionedFile` brings.
///
/// # Errors
/// A property that can't be, a view, or a format that isn't read here (Parquet, ORC).
pub fn text_source(definition: &TableDefinition, table_schema: TableSchema) -> Result<Arc<dyn FileSource>> {
    counted_text_source(definition, table_schema, ScanTally::detached(RowPolicy::of(definition)?))
}

/// As [`text_source`]; what is read and left out is counted.
///
/// # Errors
/// As [`text_source`].
pub(crate) fn counted_text_source(
    definition: &TableDefinition,
    table_schema: TableSchema,
    tally: Arc<ScanTally>,
) -> Result<Arc<dyn FileSource>> {
    let storage = storage(definition)?;
    let reader = match storage.format {
        FileFormat::Csv => Reader::Csv(CsvOptions::new(definition)?),
        FileFormat::Json => Reader::Json(JsonOptions::new(storage)?),
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
        tally,
    }))
}

/// The storage descriptor of a table of files.
fn storage(definition: &TableDefinition) -> Result<&StorageDescriptor> {
    match &definition.kind {
        TableKind::External(storage) => Ok(storage),
        TableKind::View { .. } | TableKind::Dataset(_) => Err(Error::internal("it has no files")),
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
    let is_instant = matches!(column.data_type, DataType::Timestamp | DataType::TimestampTz);
    let java = storage.properties.get("timestamp.formats").filter(|_| is_instant);
    match pattern {
        Some(pattern) => DateTimeFormat::new(pattern).map(Some),
        None if java.is_some() => java.map(|formats| DateTimeFormat::of_java(formats)).transpose(),
        None if serial_dates => Ok(Some(DateTimeFormat::serial())),
        None => Ok(None),
    }
}

/// The pattern of the dates of each of the table's columns, in order; writers go by what readers go by.
///
/// # Errors
/// As [`text_source`].
pub(crate) fn column_formats(definition: &TableDefinition) -> Result<Vec<Option<DateTimeFormat>>> {
    let storage = storage(definition)?;
    let serial_dates = storage.format == FileFormat::Csv && CsvOptions::new(definition)?.serial_dates;
    definition.columns.iter().map(|column| column_format(storage, column, serial_dates)).collect()
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

impl TextSource {
    /// The columns that the plan wants; and behind them, where wrong rows are left out, all others whose values can be wrong:
    /// which rows there are must not depend on what is asked of them.
    fn read_columns(&self) -> Vec<WantedColumn> {
        let wanted = &self.projection.file_indices;
        let mut columns: Vec<WantedColumn> = wanted.iter().map(|index| self.columns[*index].clone()).collect();
        if self.tally.policy().drops() {
            let others = self.columns.iter().filter(|column| !wanted.contains(&column.index));
            columns.extend(others.filter(|other| !takes_any_text(&other.column.data_type)).cloned());
        }
        columns
    }
}

/// Whether whatever text is a value of the type.
fn takes_any_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::String | DataType::Varchar(_) | DataType::Char(_))
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
            wanted: self.read_columns(),
            width: self.columns.len(),
            prefix: Arc::clone(&self.prefix),
            schema,
            batch_rows: self.batch_rows,
            scanned_bytes: MetricBuilder::new(&self.metrics).counter("bytes_scanned", partition),
            decode_time: MetricBuilder::new(&self.metrics).subset_time("time_elapsed_decoding", partition),
            tally: Arc::clone(&self.tally),
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

    /// A row's beginning isn't found from the middle of a file: [`split`] cuts them.
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
    tally: Arc<ScanTally>,
}

impl FileOpener for TextOpener {
    fn open(&self, file: PartitionedFile) -> DataFusionResult<FileOpenFuture> {
        let name = format!("{}{}", self.prefix, file.object_meta.location);
        let store = Arc::clone(&self.store);
        let object = file.object_meta;
        let scanned_bytes = self.scanned_bytes.clone();
        let decode_time = self.decode_time.clone();
        let schema = Arc::clone(&self.schema);
        let tally = FileTally::new(&self.tally, &name, &object);
        let mut decoder: Box<dyn Decode> = match &self.reader {
            Reader::Csv(options) => {
                let decoder = CsvDecoder::new(&name, options, &self.wanted, self.width, schema, self.batch_rows);
                Box::new(decoder.with_tally(tally))
            }
            Reader::Json(options) => {
                let decoder = JsonDecoder::new(&name, options.clone(), &self.wanted, schema, self.batch_rows);
                Box::new(decoder.with_tally(tally))
            }
            Reader::Pattern(options) => {
                let decoder = PatternDecoder::new(&name, options, &self.wanted, schema, self.batch_rows);
                Box::new(decoder.map_err(external)?.with_tally(tally))
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
        if let Some(piece) = file.extensions.get_arc::<Piece>() {
            let reader = self.reader.clone();
            return Ok(Box::pin(async move {
                let (finder, count) = (move || RowFinder::new(&reader), move |count| scanned_bytes.add(count));
                let opened =
                    Piece::clone(&piece).open(&store, &object, &name, finder, count).await.map_err(external)?;
                let Some((chunks, start)) = opened else { return Ok(stream::empty().boxed()) };
                if let Some(start) = start {
                    decoder.resume(&start);
                }
                Ok(decode(chunks, decoder, decode_time).map_err(external).boxed())
            }));
        }
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
        /// No chunk is left.
        ended: bool,
        finished: bool,
    }
    let state = State { chunks, chunk: Bytes::new(), decoder, ended: false, finished: false };
    stream::try_unfold((state, decode_time), |(mut state, decode_time)| async move {
        loop {
            while !state.finished {
                if state.chunk.is_empty() && !state.ended {
                    match state.chunks.try_next().await? {
                        Some(chunk) => state.chunk = chunk,
                        None => state.ended = true,
                    }
                }
                let _timer = decode_time.timer();
                if state.ended && state.chunk.is_empty() {
                    state.decoder.finish()?;
                    state.finished = state.decoder.is_drained();
                    break;
                }
                let used = state.decoder.push(&state.chunk)?;
                let is_full = used < state.chunk.len();
                state.chunk = state.chunk.slice(used..);
                if is_full {
                    break;
                }
            }
            if state.decoder.rows() > 0 {
                let batch = state.decoder.take()?;
                if batch.num_rows() > 0 {
                    return Ok(Some((batch, (state, decode_time))));
                }
            }
            if state.finished {
                return Ok(None);
            }
            // Nothing of a whole batch was a row: others have a turn, and the query can be stopped.
            tokio::task::consume_budget().await;
        }
    })
}

/// Wraps our error so that it comes out of DataFusion with its code, detail and hint.
pub fn external(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// Adds the place in a file to an error's detail.
pub fn located(mut error: Error, file: &str, position: impl Into<Position>, column: Option<&str>) -> Error {
    let position = position.into();
    let place = match column {
        Some(column) => format!("File \"{file}\", {position}, column \"{column}\"."),
        None => format!("File \"{file}\", {position}."),
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
fn invalid_utf8(bytes: &[u8]) -> Error {
    let shown: Vec<String> = bytes.iter().take(2).map(|byte| format!("0x{byte:02x}")).collect();
    Error::new(
        ErrorCode::CharacterNotInRepertoire,
        format!("invalid byte sequence for encoding \"UTF8\": {}", shown.join(" ")),
    )
    .with_hint("Convert the file to UTF-8.")
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
mod reject_tests;
#[cfg(test)]
pub(crate) mod tests;
