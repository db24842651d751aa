//! One ingestion: from a dataset's definition, and the version that is there, to the next version, complete.
//!
//! - Over a table of files each file is a part, named by its location, its exact version, and the partition whose keys its rows
//!   have. Files whose part is there are not read; parts whose file is gone, go. So late data, rewritten files and partitions
//!   that come or go are right, whatever their names or dates.
//! - All else is a query, and runs again, unless it would read exactly what it read before.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::execution::SessionState;
use futures::stream::{self, StreamExt};
use limnos_catalog::{
    Column, DatasetDefinition, DatasetSource, IngestionCounts, Privilege, StorageDescriptor, Table, TableDefinition,
    TableKind, TableName,
};
use limnos_columnar::{Options, SortKey, TableBuilder};

use super::budget::{Budget, Share};
use super::kept::{Loaded, mark_of};
use super::sources::Sources;
use crate::clock::{Clock, SystemClock};
use crate::command::VIEW_DIALECT;
use crate::engine::Engine;
use crate::execute::{BatchStream, QueryRun, QueryStats, run_plan, stoppable};
use crate::parse::{Dialect, Statement, parse};
use crate::plan::lake::PlanContext;
use crate::plan::options;
use crate::plan::query::{plan_query, session_state};
use crate::prune::KeptPartitions;
use crate::result_cache::{Asker, ResultKey};
use crate::scan::facts::{file_version, read_as};
use crate::scan::files_version::settling_ms;
use crate::scan::listing::File;
use crate::scan::schema::table_schema;
use crate::scan::table::CatalogTable;
use crate::write::plan::as_columns;
use crate::{Error, ErrorCode, Result};

/// The part that a query's rows are.
const QUERY_PART: &str = "query";

/// So many rows tell what a row takes.
const SAMPLE_ROWS: u64 = 65_536;

/// What an ingestion has done so far.
#[derive(Debug, Default)]
pub(crate) struct Live {
    pub(crate) stats: Arc<QueryStats>,
    rows_ingested: AtomicU64,
    files_added: AtomicU64,
    files_changed: AtomicU64,
    files_removed: AtomicU64,
    files_unchanged: AtomicU64,
}

impl Live {
    pub(crate) fn new(stats: &Arc<QueryStats>) -> Arc<Self> {
        Arc::new(Self { stats: Arc::clone(stats), ..Self::default() })
    }

    pub(crate) fn counts(&self) -> IngestionCounts {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (rows_ingested, rows_dropped) = (of(&self.rows_ingested), of(&self.stats.rejects));
        IngestionCounts {
            rows_read: rows_ingested + rows_dropped,
            rows_ingested,
            rows_dropped,
            bytes_read: of(&self.stats.bytes_scanned),
            files_added: of(&self.files_added),
            files_changed: of(&self.files_changed),
            files_removed: of(&self.files_removed),
            files_unchanged: of(&self.files_unchanged),
        }
    }
}

/// What is to be ingested.
pub(crate) struct Job {
    pub(crate) engine: Arc<Engine>,
    /// Of the dataset's owner.
    pub(crate) context: PlanContext,
    pub(crate) name: TableName,
    pub(crate) definition: TableDefinition,
    /// What is there.
    pub(crate) previous: Option<Arc<Loaded>>,
    /// Nothing of it is to be taken over.
    pub(crate) full: bool,
    pub(crate) live: Arc<Live>,
    pub(crate) budget: Arc<Budget>,
}

/// The next version, before it is anyone's.
pub(crate) struct Ingested {
    pub(crate) table: limnos_columnar::Table,
    pub(crate) mark: String,
    pub(crate) source_mark: String,
    pub(crate) sources: Sources,
    pub(crate) memory: Share,
}

impl Job {
    /// Makes the next version; `None` if nothing has changed.
    ///
    /// # Errors
    /// Those of reading the source; 53200 if it doesn't fit.
    pub(crate) async fn run(self) -> Result<Option<Ingested>> {
        let dataset = self.dataset()?;
        if let DatasetSource::Table(name) = &dataset.source {
            let source = self.source_table(name)?;
            if matches!(source.kind, TableKind::External(_)) {
                return Box::pin(self.run_files(source)).await;
            }
        }
        Box::pin(self.run_query()).await
    }

    fn dataset(&self) -> Result<DatasetDefinition> {
        let dataset = self.definition.kind.dataset().cloned();
        dataset.ok_or_else(|| Error::internal(format!("\"{}\" is not a dataset", self.name)))
    }

    /// The table that the dataset is a copy of, which its owner must be allowed to read.
    fn source_table(&self, name: &TableName) -> Result<Arc<Table>> {
        let context = &self.context;
        context.rights.check_database(&name.database, Privilege::Usage)?;
        let source = Arc::clone(context.snapshot.table(name)?);
        context.rights.check_table(&source, Privilege::Select)?;
        Ok(source)
    }

    fn schema(&self) -> SchemaRef {
        table_schema(&self.definition).0
    }

    fn options(&self, dataset: &DatasetDefinition) -> Result<Options> {
        let place = |name: &String| {
            let column = self.definition.columns.iter().position(|column| column.name.eq_ignore_ascii_case(name));
            let column = column.ok_or_else(|| no_column(&self.name, name))?;
            Ok(SortKey { column, descending: false, nulls_first: false })
        };
        Ok(Options { order_by: dataset.order_by.iter().map(place).collect::<Result<_>>()?, ..Options::default() })
    }

    /// A builder that begins with what may be taken over.
    fn builder(&self, options: Options, source_mark: &str) -> Result<(TableBuilder, Option<Arc<Loaded>>)> {
        let mark = mark_of(&self.definition);
        let usable = |loaded: &&Arc<Loaded>| !self.full && loaded.mark == mark && loaded.source_mark == source_mark;
        match self.previous.as_ref().filter(usable) {
            Some(previous) => {
                let builder = TableBuilder::next_version(&previous.table, options).map_err(columnar_error)?;
                Ok((builder, Some(Arc::clone(previous))))
            }
            None => Ok((TableBuilder::new(&self.schema(), options).map_err(columnar_error)?, None)),
        }
    }

    fn share(&self, dataset: &DatasetDefinition) -> Share {
        self.budget.share(dataset.memory_limit_bytes)
    }

    async fn run_files(self, source: Arc<Table>) -> Result<Option<Ingested>> {
        let dataset = self.dataset()?;
        let source = reading_as(&source, dataset.on_error.as_deref());
        let source_mark = source_mark(&source)?;
        let context = &self.context;
        let shared = &context.shared;
        let opened = CatalogTable::new(
            Arc::clone(&context.snapshot),
            Arc::clone(&source),
            shared.partitions(&context.snapshot, &source, context.now)?,
            Arc::clone(&shared.scan),
            Arc::clone(&context.run),
        )?;
        let projection = projection(&self.name, &self.definition.columns, &opened.schema())?;
        let state = Arc::new(session_state(context.clone())?);
        let (location, partitions, files) = opened.list_whole(state.as_ref()).await?;
        let keyed = keys(&location.store_url, &partitions, files)?;

        let (mut builder, previous) = self.builder(self.options(&dataset)?, &source_mark)?;
        let plan = Difference::of(previous.as_deref(), keyed);
        plan.tell(&self.live);
        if plan.is_nothing() && previous.is_some() {
            return Ok(None);
        }
        let new_files: Vec<File> = plan.read.iter().map(|(_, file)| file.clone()).collect();
        if !location.is_remote() {
            // What is read after this is what was listed, or looks otherwise.
            let wait = settling_ms(&new_files, SystemClock.now());
            tokio::time::sleep(Duration::from_millis(wait)).await;
        }
        let share = self.share(&dataset);
        let mut forecast =
            Forecast::new(&self.name, &opened, &source, &location.store_url, &new_files, previous.as_deref());
        forecast.begin(&share)?;
        for key in &plan.gone {
            builder.remove_part(key);
        }
        let schema = self.schema();
        let (engine, run) = (Arc::clone(&self.engine), Arc::clone(&context.run));
        let ahead = state.config().target_partitions();
        let reads = plan.read.into_iter().map(|(key, file)| {
            let (opened, state, engine, run) =
                (opened.clone(), Arc::clone(&state), Arc::clone(&engine), Arc::clone(&run));
            let projection = projection.clone();
            async move { Ok::<_, Error>((key, read_file(&engine, &run, opened, &state, file, &projection).await?)) }
        });
        let mut reads = stream::iter(reads.collect::<Vec<_>>()).buffered(ahead.max(1));
        while let Some(read) = reads.next().await {
            let (key, mut batches): (String, BatchStream) = read?;
            builder.begin_part(key).map_err(columnar_error)?;
            let mut rows = 0;
            while let Some(batch) = batches.next().await {
                let batch = as_schema(batch?, &schema)?;
                rows += batch.num_rows() as u64;
                self.push(&mut builder, &batch, &share)?;
            }
            builder.end_part().map_err(columnar_error)?;
            forecast.read(rows, builder.memory_bytes() as u64, &share)?;
        }
        let table = builder.finish().map_err(columnar_error)?;
        let mark = mark_of(&self.definition);
        Ok(Some(Ingested { table, mark, source_mark, sources: Sources::default(), memory: share }))
    }

    async fn run_query(self) -> Result<Option<Ingested>> {
        let dataset = self.dataset()?;
        let mark = mark_of(&self.definition);
        let context = self.context.clone();
        let asker = Asker::of(&context.session.user, &context.session.session_user, &context.session.settings);
        let (sql, database, dialect) = match &dataset.source {
            DatasetSource::Query { sql, database } => {
                let dialect = match self.definition.parameters.get(VIEW_DIALECT).map(String::as_str) {
                    Some("athena") => Dialect::Athena,
                    _ => Dialect::Postgres,
                };
                (sql.clone(), database.clone(), dialect)
            }
            DatasetSource::Table(name) => {
                let columns: Vec<String> =
                    self.definition.columns.iter().map(|column| quoted(source_name(column))).collect();
                let (table, columns) = (quoted(&name.name), columns.join(", "));
                (format!("SELECT {columns} FROM {table}"), name.database.clone(), Dialect::Postgres)
            }
        };
        let statement = parse(&sql, dialect)?.into_iter().next().map(|parsed| parsed.statement);
        let Some(Statement::Query(query)) = statement else {
            return Err(Error::internal(format!("dataset \"{}\" holds no query", self.name)));
        };
        let run = Arc::clone(&context.run);
        let planned = plan_query(PlanContext { database, dialect, ..context }, &query).await?;
        let columns: Vec<&Column> = self.definition.columns.iter().collect();
        let found = planned.plan.schema().fields().len();
        if found != columns.len() {
            return Err(Error::new(
                ErrorCode::InvalidTableDefinition,
                format!("dataset \"{}\" no longer fits its sources", self.name),
            )
            .with_detail(format!("It was made with {} columns; its query now gives {found}.", columns.len()))
            .with_hint("Make it again with CREATE OR REPLACE DATASET."));
        }
        let state = planned.state;
        let plan = state.optimize(&as_columns(planned.plan, &columns)?)?;
        let key = ResultKey::new(&state, &plan, asker).await?.ok();
        let same = |previous: &&Arc<Loaded>| previous.mark == mark && previous.sources.are(key.as_ref());
        if !self.full && self.previous.as_ref().is_some_and(|previous| same(&previous)) {
            return Ok(None);
        }
        let physical = state.query_planner().create_physical_plan(&plan, &state).await?;
        let physical = stoppable(physical, &run.cancel)?;
        let mut batches = run_plan(&self.engine.cpu, &run, physical, options::task(&state));
        let share = self.share(&dataset);
        let schema = self.schema();
        let mut builder = TableBuilder::new(&schema, self.options(&dataset)?).map_err(columnar_error)?;
        builder.begin_part(QUERY_PART.to_owned()).map_err(columnar_error)?;
        while let Some(batch) = batches.next().await {
            let batch = as_schema(batch?, &schema)?;
            self.push(&mut builder, &batch, &share)?;
        }
        builder.end_part().map_err(columnar_error)?;
        let table = builder.finish().map_err(columnar_error)?;
        Ok(Some(Ingested { table, mark, source_mark: String::new(), sources: Sources::of(key), memory: share }))
    }

    fn push(&self, builder: &mut TableBuilder, batch: &RecordBatch, share: &Share) -> Result<()> {
        builder.push(batch).map_err(columnar_error)?;
        self.live.rows_ingested.fetch_add(batch.num_rows() as u64, Ordering::Relaxed);
        // Chunks of the version before are shared, and counted there.
        share.resize(&self.name.to_string(), builder.memory_bytes() as u64)
    }
}

/// The rows of one file.
async fn read_file(
    engine: &Engine,
    run: &Arc<QueryRun>,
    table: CatalogTable,
    state: &SessionState,
    file: File,
    projection: &Vec<usize>,
) -> Result<BatchStream> {
    let plan = table.with_files(vec![file]).scan(state, Some(projection), &[], None).await?;
    Ok(run_plan(&engine.cpu, run, stoppable(plan, &run.cancel)?, options::task(state)))
}

/// The source with the dataset's own policy for wrong rows.
fn reading_as(source: &Arc<Table>, on_error: Option<&str>) -> Arc<Table> {
    let (Some(on_error), TableKind::External(storage)) = (on_error, &source.kind) else { return Arc::clone(source) };
    let mut properties = storage.properties.clone();
    properties.insert("limnos.on_error".to_owned(), on_error.to_owned());
    let mut definition = (*source.definition).clone();
    definition.kind = TableKind::External(StorageDescriptor { properties, ..storage.clone() });
    definition.parameters.remove("limnos.on_error");
    Arc::new(Table { definition: Arc::new(definition), ..(**source).clone() })
}

/// How a table's files are read, as a text. Its partitions and its location are in the names of parts.
fn source_mark(source: &Table) -> Result<String> {
    let mut bare = TableDefinition { comment: None, owner: String::new(), ..(*source.definition).clone() };
    for column in bare.columns.iter_mut().chain(&mut bare.partition_keys) {
        column.comment = None;
    }
    if let TableKind::External(storage) = &mut bare.kind {
        storage.location.clear();
    }
    Ok(limnos_catalog::record::encode(&bare)?)
}

fn source_name(column: &Column) -> &str {
    column.source_name.as_deref().unwrap_or(&column.name)
}

/// Where the dataset's columns are among the source's.
fn projection(dataset: &TableName, columns: &[Column], source: &SchemaRef) -> Result<Vec<usize>> {
    let place = |column: &Column| {
        source.index_of(source_name(column)).map_err(|_| {
            let message = format!("column \"{}\" does not exist", source_name(column));
            Error::new(ErrorCode::UndefinedColumn, message)
                .with_detail(format!("Dataset \"{dataset}\" was made when its table had it."))
                .with_hint("Make it again with CREATE OR REPLACE DATASET.")
        })
    };
    columns.iter().map(place).collect()
}

/// The files under the names that their parts have.
fn keys(store_url: &str, partitions: &KeptPartitions, files: Vec<File>) -> Result<Vec<(String, File)>> {
    let list = &partitions.index.list;
    let mut seen: HashSet<String> = HashSet::new();
    let mut keyed = Vec::with_capacity(files.len());
    for file in files {
        let version = file_version(store_url, &file.meta);
        let mut key = format!("{}\n{}", version.location, version.version);
        if let Some(partition) = file.partition {
            for values in &list.values {
                match &values[partition] {
                    // The length keeps two lists of values from looking the same.
                    Some(value) => key += &format!("\n{}:{value}", value.len()),
                    None => key += "\n-",
                }
            }
            if let Some(storage) = list.storages.get(&partition) {
                key += &format!("\n{}", limnos_catalog::record::encode_partition_storage(storage)?);
            }
        }
        // Partitions that overlap have a file each, with the same keys only if somebody wrote them so.
        while !seen.insert(key.clone()) {
            key.push('+');
        }
        keyed.push((key, file));
    }
    Ok(keyed)
}

/// What is to be done to get from the parts that are there to the files that are.
struct Difference {
    read: Vec<(String, File)>,
    gone: Vec<String>,
    added: u64,
    changed: u64,
    removed: u64,
    unchanged: u64,
}

impl Difference {
    fn of(previous: Option<&Loaded>, keyed: Vec<(String, File)>) -> Self {
        let location = |key: &str| key.split('\n').next().unwrap_or_default().to_owned();
        let parts: HashSet<&str> =
            previous.iter().flat_map(|loaded| loaded.table.parts()).map(|part| part.key).collect();
        let files: HashSet<&str> = keyed.iter().map(|(key, _)| key.as_str()).collect();
        let gone: Vec<String> = {
            let mut gone: Vec<String> =
                parts.iter().filter(|key| !files.contains(*key)).map(|key| (*key).to_owned()).collect();
            gone.sort_unstable();
            gone
        };
        let mut replaced: HashMap<String, usize> = HashMap::new();
        for key in &gone {
            *replaced.entry(location(key)).or_default() += 1;
        }
        let unchanged = files.iter().filter(|key| parts.contains(*key)).count() as u64;
        let read: Vec<(String, File)> =
            keyed.iter().filter(|(key, _)| !parts.contains(key.as_str())).cloned().collect();
        let mut changed = 0;
        for (key, _) in &read {
            if let Some(count) = replaced.get_mut(&location(key)).filter(|count| **count > 0) {
                *count -= 1;
                changed += 1;
            }
        }
        let (added, removed) = (read.len() as u64 - changed, gone.len() as u64 - changed);
        Self { read, gone, added, changed, removed, unchanged }
    }

    fn is_nothing(&self) -> bool {
        self.read.is_empty() && self.gone.is_empty()
    }

    fn tell(&self, live: &Live) {
        live.files_added.store(self.added, Ordering::Relaxed);
        live.files_changed.store(self.changed, Ordering::Relaxed);
        live.files_removed.store(self.removed, Ordering::Relaxed);
        live.files_unchanged.store(self.unchanged, Ordering::Relaxed);
    }
}

/// What the rows that are still to come are going to take, where files say how many there are.
struct Forecast {
    name: String,
    rows_left: Option<u64>,
    rows_read: u64,
    /// Bytes and rows that are there already.
    known: Option<(u64, u64)>,
}

impl Forecast {
    fn new(
        name: &TableName,
        opened: &CatalogTable,
        source: &Table,
        store_url: &str,
        files: &[File],
        previous: Option<&Loaded>,
    ) -> Self {
        let rows_left = match &source.kind {
            TableKind::External(storage) => {
                let versions: Vec<_> = files.iter().map(|file| file_version(store_url, &file.meta)).collect();
                let facts = opened.context.known.get(&versions, read_as(&source.definition, storage).as_deref());
                facts.iter().map(|facts| facts.as_ref().map(|facts| facts.row_count)).sum::<Option<u64>>()
            }
            TableKind::View { .. } | TableKind::Dataset(_) => None,
        };
        let known = previous.map(|loaded| (loaded.table.memory_bytes() as u64, loaded.table.rows()));
        Self { name: name.to_string(), rows_left, rows_read: 0, known: known.filter(|(_, rows)| *rows >= SAMPLE_ROWS) }
    }

    /// Refuses what can't fit by what the rows that are there take.
    fn begin(&self, share: &Share) -> Result<()> {
        let (Some(rows_left), Some((bytes, rows))) = (self.rows_left, self.known) else { return Ok(()) };
        self.look(u128::from(bytes) * u128::from(rows_left) / u128::from(rows), share)
    }

    /// `rows` more were read, and what was read takes `bytes`.
    fn read(&mut self, rows: u64, bytes: u64, share: &Share) -> Result<()> {
        self.rows_read += rows;
        self.rows_left = self.rows_left.map(|left| left.saturating_sub(rows));
        let Some(rows_left) = self.rows_left.filter(|_| self.rows_read >= SAMPLE_ROWS) else { return Ok(()) };
        let all = u128::from(self.rows_read) + u128::from(rows_left);
        self.look(u128::from(bytes) * all / u128::from(self.rows_read), share)
    }

    /// Rows to come may take less than those before: refused is what wouldn't fit at two thirds of the estimate.
    fn look(&self, bytes: u128, share: &Share) -> Result<()> {
        share.foresee(&self.name, u64::try_from(bytes / 3 * 2).unwrap_or(u64::MAX))
    }
}

/// `batch` in the types of `schema`: a source may have been given others since.
fn as_schema(batch: RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let is_same = |(column, field): (&arrow::array::ArrayRef, &arrow::datatypes::FieldRef)| {
        column.data_type() == field.data_type()
    };
    let options = arrow::compute::CastOptions { safe: false, ..Default::default() };
    let columns = (batch.columns().iter().zip(schema.fields()))
        .map(|(column, field)| match is_same((column, field)) {
            true => Ok(Arc::clone(column)),
            false => arrow::compute::cast_with_options(column, field.data_type(), &options)
                .map_err(|error| Error::from(datafusion::error::DataFusionError::from(error))),
        })
        .collect::<Result<Vec<_>>>()?;
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
        .map_err(|error| Error::internal(error.to_string()))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn no_column(dataset: &TableName, column: &str) -> Error {
    Error::new(ErrorCode::UndefinedColumn, format!("column \"{column}\" of dataset \"{dataset}\" does not exist"))
}

/// An error of the columnar crate as ours.
pub(crate) fn columnar_error(error: limnos_columnar::Error) -> Error {
    let code = match &error {
        limnos_columnar::Error::Limit(_) => ErrorCode::ProgramLimitExceeded,
        limnos_columnar::Error::Corrupt { .. } => ErrorCode::DataCorrupted,
        limnos_columnar::Error::Io { .. } => ErrorCode::IoError,
        other => return Error::internal(other.to_string()),
    };
    Error::new(code, error.to_string())
}
