//! [`Engine`]: the facade that the server calls. Prepares and executes one statement at a time.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use chrono::{DateTime, Utc};
use datafusion::execution::SessionState;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::collect;
use datafusion::prelude::SessionConfig;
use datafusion::sql::sqlparser::ast::Query;
use futures::stream::{BoxStream, StreamExt};
use limnos_catalog::{BOOTSTRAP_ROLE, Catalog, Column, FileVersion, Role, Snapshot, Table, TableName};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::cache::{Caches, NamedCache};
use crate::clock::Clock;
use crate::command::{self, CacheTable, CommandContext, CrawlChanges, CrawlHistory, Crawls};
use crate::dataset::aggregate::with_aggregation_on_codes;
use crate::dataset::{
    self, Datasets,
    tables::{DatasetTable, IngestionTable},
};
use crate::execute::{
    BatchStream, CpuRuntime, GlobalMemory, KeptRows, QueryContext, QueryRun, QueryStats, ResultCacheUse, single_batch,
    stoppable,
};
use crate::function;
use crate::input::InputContext;
use crate::parse::kept::KeptTexts;
use crate::parse::locate::locate;
use crate::parse::parameter::Parameters;
use crate::parse::report::ReportStatement;
use crate::parse::schedule::ScheduleStatement;
use crate::parse::{Dialect, Explain, ParsedStatement, Statement};
use crate::plan::authorize::{self, Rights};
use crate::plan::explain::{self, Explained, Measured};
use crate::plan::field_name::FieldNames;
use crate::plan::hidden::HiddenTables;
use crate::plan::kept::{Circumstances, KeptPlan, KeptPlans, PlanKey};
use crate::plan::lake::PlanContext;
use crate::plan::operator::Operators;
use crate::plan::options;
use crate::plan::pg_catalog::label::{labelled, labels};
use crate::plan::pg_catalog::{RoleInfo, SessionInfo};
use crate::plan::query::{PlannedQuery, bind, parameter_types, plan_query, session_state, with_typed_parameters};
use crate::plan::stop::{stoppable_analyzer, stoppable_optimizer};
use crate::plan::system::SystemTables;
use crate::plan::type_name::TypeNames;
use crate::prune::projection::Projection;
use crate::prune::{PartitionIndex, PartitionIndexes, Partitions};
use crate::report;
use crate::result_cache::{Answer, Asker, Decision, ResultCache, replay};
use crate::scan::estimate::estimate;
use crate::scan::facts::KnownFiles;
use crate::scan::format::orc::OrcTails;
use crate::scan::limit::ScanLimit;
use crate::scan::parquet::Footers;
use crate::scan::rejects::{RejectLog, RejectTable};
use crate::scan::schema::catalog_field_type;
use crate::scan::settings::ScanSettings;
use crate::scan::store::{Listings, StoreOptions, Stores};
use crate::scan::survey::OpenTable;
use crate::scan::table::{CatalogTable, ScanContext};
use crate::session::{Accounts, Conduct, Settings};
use crate::write::{self, sweep::Sweeper};
use crate::{Error, ErrorCode, Notice, Result, Session};

/// What an engine needs to know once.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// The roots that SQL may read or write, and how to reach object stores.
    pub stores: StoreOptions,
    /// What all queries together may hold, in bytes.
    pub memory_limit_bytes: u64,
    /// Where queries spill. Emptied at start.
    pub spill_dir: PathBuf,
    /// Most bytes of spill files.
    pub spill_limit_bytes: u64,
    /// Threads of the CPU runtime, and partitions of a plan.
    pub threads: usize,
    /// Bytes for Parquet footers and indexes.
    pub footer_cache_bytes: u64,
    /// Bytes for typed partition values.
    pub partition_cache_bytes: u64,
    /// Bytes for the answers of queries, of those that queries may hold; 0 keeps none.
    pub result_cache_bytes: u64,
    /// Where tables that are made without a location have their folders, unless their database has one: a local folder,
    /// which is made, or a URL. It is a root. `None`: such tables can't be made.
    pub warehouse: Option<String>,
    /// Most bytes that a query may read; sessions may ask for less, not for more.
    pub scan_limit_bytes: Option<u64>,
    /// Bytes for lists of files.
    pub listing_cache_bytes: u64,
    /// What all datasets together may take in memory, beside what queries hold.
    pub dataset_memory_bytes: u64,
    /// Where datasets are written down, so that a restart needs no source; `None`: nowhere.
    pub dataset_dir: Option<PathBuf>,
}

/// Spill files merged at the same time: more would use up file descriptors.
const SPILL_FAN_IN: usize = 64;

/// What the queries of an engine share.
pub(crate) struct Shared {
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) scan: Arc<ScanContext>,
    pub(crate) memory: Arc<GlobalMemory>,
    pub(crate) runtime_env: Arc<RuntimeEnv>,
    pub(crate) session_config: SessionConfig,
    pub(crate) template: SessionState,
    pub(crate) system: Arc<SystemTables>,
    pub(crate) crawls: Arc<Crawls>,
    pub(crate) datasets: Arc<Datasets>,
    /// Who is to be told of reports.
    pub(crate) deliveries: Arc<tokio::sync::Notify>,
    /// Where large files wait until they are whole.
    pub(crate) spill_dir: PathBuf,
    pub(crate) caches: Arc<Caches>,
    partition_indexes: Arc<PartitionIndexes>,
    pub(crate) results: Arc<ResultCache>,
    pub(crate) plans: Arc<KeptPlans>,
    texts: KeptTexts,
    roles: Mutex<Option<KnownRoles>>,
    pub(crate) warehouse: Option<String>,
    pub(crate) accounts: Arc<Accounts>,
    pub(crate) sweeper: Arc<Sweeper>,
    scan_limit_bytes: Option<u64>,
    started_at_us: i64,
}

impl Shared {
    /// The partitions of `table` at `now`: projected, or else those of `snapshot`, typed on first use.
    pub(crate) fn partitions(&self, snapshot: &Snapshot, table: &Table, now: DateTime<Utc>) -> Result<Partitions> {
        if let Some(projection) = Projection::of(&table.name, table)? {
            return Ok(Partitions::Projected(Arc::new(projection), now));
        }
        let key = (table.id, table.version, table.partitions_version);
        let index = self.partition_indexes.get(key, || {
            let list = self.catalog.partitions(snapshot, table)?;
            let (_, keys) = crate::scan::schema::table_schema(table);
            PartitionIndex::new(&table.name.to_string(), keys, list)
        })?;
        Ok(Partitions::Catalog(index))
    }

    /// What one query may hold: half of all, so that one can't starve the others and two big ones can run.
    pub(crate) fn query_memory_limit(&self) -> usize {
        self.memory.limit() / 2
    }
}

/// Runs statements over one catalog.
pub struct Engine {
    pub(crate) shared: Arc<Shared>,
    pub(crate) cpu: CpuRuntime,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("memory", &self.shared.memory).finish_non_exhaustive()
    }
}

/// A statement with its names resolved and types known.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// What was parsed.
    pub statement: Arc<ParsedStatement>,
    /// The types of `$1`, `$2`, ...
    pub parameter_types: Vec<DataType>,
    /// The columns of the answer; `None` for a statement that answers with a tag only.
    pub schema: Option<SchemaRef>,
}

/// The last word of an answer (PostgreSQL's CommandComplete).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandTag {
    /// `SELECT n`: the word, to which the server adds the count of rows sent.
    Rows(&'static str),
    /// `CREATE TABLE` and the like.
    Plain(String),
}

/// A running statement. Dropping the stream stops it.
pub struct Outcome {
    /// The columns of the batches; `None` when there are none.
    pub schema: Option<SchemaRef>,
    /// The rows; polled from any runtime, produced on the CPU runtime.
    pub stream: BoxStream<'static, Result<RecordBatch>>,
    /// What to say at the end.
    pub tag: CommandTag,
    /// Told before the rows.
    pub notices: Vec<Notice>,
    /// Counts while it runs and after.
    pub stats: Arc<QueryStats>,
    /// Has notices for the end ([`QueryRun::closing_notices`]), where it is a query.
    pub run: Option<Arc<QueryRun>>,
}

/// What an engine uses and holds, for metrics.
#[derive(Debug, Clone, Copy, Default)]
pub struct EngineUsage {
    /// Bytes that queries hold.
    pub memory_used_bytes: u64,
    /// Bytes that they may hold.
    pub memory_limit_bytes: u64,
    /// Bytes of spill files on disk.
    pub spill_bytes: u64,
    /// Footers in the cache.
    pub footer_count: u64,
    /// Their bytes.
    pub footer_bytes: u64,
    /// How often a footer was in the cache.
    pub footer_hits: u64,
    /// How often it was not.
    pub footer_misses: u64,
}

impl Engine {
    /// An engine over `catalog`. To be called on the runtime that shall do network I/O.
    ///
    /// # Errors
    /// When a root can't be opened or the spill directory can't be made.
    pub fn new(catalog: Arc<Catalog>, config: EngineConfig, clock: Arc<dyn Clock>) -> Result<Arc<Self>> {
        let mut options = config.stores.clone();
        if let Some(warehouse) = &config.warehouse {
            make_warehouse(warehouse)?;
            options.roots.push(warehouse.clone());
        }
        let stores = Arc::new(Stores::new(&options)?);
        let spill = empty_folder(&config.spill_dir)?;
        let to_usize = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let disk = DiskManagerBuilder::default()
            .with_mode(DiskManagerMode::Directories(vec![spill]))
            .with_max_temp_directory_size(config.spill_limit_bytes)
            .with_max_spill_merge_fan_in(SPILL_FAN_IN);
        // DataFusion's own caches are off: they are keyed without the bucket and never re-validated.
        let runtime_env = RuntimeEnvBuilder::new()
            .with_disk_manager_builder(disk)
            .with_object_list_cache_limit(0)
            .with_file_statistics_cache_limit(0)
            .with_metadata_cache_limit(0)
            .build_arc()?;
        let known = KnownFiles::new(Arc::clone(&catalog))?;
        let footers = Arc::new(Footers::new(config.footer_cache_bytes, Some(Arc::clone(&known))));
        let partition_indexes = Arc::new(PartitionIndexes::new(Arc::clone(&catalog), config.partition_cache_bytes));
        let caches = Arc::new(Caches::default());
        let tails = Arc::new(OrcTails::new(Some(Arc::clone(&known))));
        caches.add(Arc::clone(&footers) as _);
        caches.add(Arc::clone(&tails) as _);
        caches.add(Arc::clone(&partition_indexes) as _);
        caches.add(Arc::clone(&known) as _);
        let memory = GlobalMemory::new(to_usize(config.memory_limit_bytes));
        let results = ResultCache::new(config.result_cache_bytes.min(config.memory_limit_bytes), &memory);
        caches.add(Arc::clone(&results) as _);
        let plans = Arc::new(KeptPlans::default());
        caches.add(Arc::clone(&plans) as _);
        let listings = Listings::new(config.listing_cache_bytes);
        caches.add(Arc::clone(&listings) as _);
        stores.caches().for_each(|cache| caches.add(cache));
        let rejects = RejectLog::new(Arc::clone(&catalog))?;
        let sweeper = Sweeper::new(Arc::clone(&catalog), Arc::clone(&stores));
        let shared = Shared {
            catalog,
            warehouse: config.warehouse,
            accounts: Arc::default(),
            sweeper: Arc::clone(&sweeper),
            started_at_us: clock.now().timestamp_micros(),
            datasets: Datasets::new(config.dataset_dir, config.dataset_memory_bytes, Arc::clone(&clock)),
            clock,
            scan: Arc::new(ScanContext { stores, footers, tails, known, rejects: Arc::clone(&rejects), listings }),
            memory,
            session_config: session_config(config.threads),
            template: template()?,
            runtime_env,
            system: Arc::default(),
            crawls: Arc::default(),
            deliveries: Arc::default(),
            spill_dir: config.spill_dir,
            caches,
            partition_indexes,
            results,
            plans,
            texts: KeptTexts::default(),
            roles: Mutex::default(),
            scan_limit_bytes: config.scan_limit_bytes,
        };
        let interrupted = shared.catalog.end_interrupted_crawl_runs()?;
        if interrupted > 0 {
            tracing::warn!(count = interrupted, "crawls were interrupted when the last server ended");
        }
        let interrupted = shared.catalog.end_interrupted_ingestions()?;
        if interrupted > 0 {
            tracing::warn!(count = interrupted, "ingestions were interrupted when the last server ended");
        }
        shared.datasets.load(&shared.catalog)?;
        let (catalog, datasets) = (Arc::clone(&shared.catalog), Arc::clone(&shared.datasets));
        shared
            .system
            .register(Arc::new(IngestionTable { catalog: Arc::clone(&catalog), datasets: Arc::clone(&datasets) }));
        shared.system.register(Arc::new(DatasetTable { catalog, datasets }));
        let interrupted = shared.catalog.end_interrupted_report_runs()?;
        if interrupted > 0 {
            tracing::warn!(count = interrupted, "reports were interrupted when the last server ended");
        }
        let (catalog, crawls) = (Arc::clone(&shared.catalog), Arc::clone(&shared.crawls));
        shared.system.register(Arc::new(CrawlChanges { catalog: Arc::clone(&catalog) }));
        shared.system.register(Arc::new(CacheTable(Arc::clone(&shared.caches))));
        shared.system.register(Arc::new(CrawlHistory { catalog: Arc::clone(&catalog), crawls }));
        shared.system.register(Arc::new(command::Reports { catalog: Arc::clone(&catalog) }));
        shared.system.register(Arc::new(command::ReportHistory { catalog: Arc::clone(&catalog) }));
        let clock = Arc::clone(&shared.clock);
        shared.system.register(Arc::new(command::Schedules { catalog: Arc::clone(&catalog), clock }));
        shared.system.register(Arc::new(command::ScheduleRuns { catalog: Arc::clone(&catalog) }));
        shared.system.register(Arc::new(command::Bookmarks { catalog: Arc::clone(&catalog) }));
        shared.system.register(Arc::new(RejectTable { catalog, log: rejects }));
        let cpu = CpuRuntime::new(config.threads)?;
        sweeper.start(&cpu);
        Ok(Arc::new(Self { shared: Arc::new(shared), cpu }))
    }

    /// The catalog this engine reads.
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.shared.catalog
    }

    /// The clock everything here reads.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.shared.clock
    }

    /// The crawlers that run.
    pub fn crawls(&self) -> &Arc<Crawls> {
        &self.shared.crawls
    }

    /// What is kept in memory of datasets.
    pub fn datasets(&self) -> &Arc<Datasets> {
        &self.shared.datasets
    }

    /// Which roles there are beside the catalog's.
    pub fn accounts(&self) -> &Arc<Accounts> {
        &self.shared.accounts
    }

    /// What the current role of `session` may do now.
    pub fn rights(&self, session: &Session) -> Rights {
        Rights::of(session.rights_snapshot(self.catalog()), &self.shared.accounts, session)
    }

    /// Lets SHOW say who the session is; to be called when it begins.
    pub fn tell_identity(&self, session: &mut Session) {
        let rights = self.rights(session);
        command::tell_identity(session, &rights);
    }

    /// What is kept between queries.
    pub fn caches(&self) -> &Arc<Caches> {
        &self.shared.caches
    }

    /// Writes what is still to be written to caches on disk. To be called when no query runs any more.
    pub async fn close(&self) {
        self.shared.scan.stores.close().await;
    }

    /// The tables of schema `system`, for those who fill them.
    pub fn system_tables(&self) -> &SystemTables {
        &self.shared.system
    }

    /// What is used and held now.
    pub fn usage(&self) -> EngineUsage {
        let (footer_count, footer_bytes) = self.shared.scan.footers.usage();
        let (footer_hits, footer_misses) = self.shared.scan.footers.hits_and_misses();
        EngineUsage {
            memory_used_bytes: self.shared.memory.used() as u64,
            memory_limit_bytes: self.shared.memory.limit() as u64,
            spill_bytes: self.shared.runtime_env.disk_manager.used_disk_space(),
            footer_count,
            footer_bytes,
            footer_hits,
            footer_misses,
        }
    }

    /// Splits and parses a text, within the limits, on a thread whose stack is deep enough.
    ///
    /// # Errors
    /// Syntax errors with position; limits exceeded.
    pub async fn parse(&self, sql: &str, dialect: Dialect) -> Result<Vec<ParsedStatement>> {
        let key = (dialect, sql.to_owned());
        if let Some(known) = self.shared.texts.find(&key) {
            return Ok(known.to_vec());
        }
        let (sql, shared) = (sql.to_owned(), Arc::clone(&self.shared));
        let work = async move {
            let parsed = crate::parse::parse(&sql, dialect)?;
            shared.texts.keep(key, &parsed);
            Ok(parsed)
        };
        self.cpu.plan(&CancellationToken::new(), work).await
    }

    /// As [`Engine::parse`], with constants in the place of `{{name}}`.
    ///
    /// # Errors
    /// As [`Engine::parse`], and for names that are no parameters.
    pub async fn parse_with(
        &self,
        sql: &str,
        dialect: Dialect,
        parameters: Parameters,
    ) -> Result<Vec<ParsedStatement>> {
        let sql = sql.to_owned();
        let work = async move { crate::parse::parse_with(&sql, dialect, &parameters) };
        self.cpu.plan(&CancellationToken::new(), work).await
    }

    /// The files that table `name` has now, each at an exact version, in a fixed order.
    ///
    /// # Errors
    /// No such table, a view, a location that can't be listed.
    pub async fn table_files(self: &Arc<Self>, name: &TableName) -> Result<Vec<FileVersion>> {
        let snapshot = self.catalog().snapshot();
        let table = Arc::clone(snapshot.table(name)?);
        let engine = Arc::clone(self);
        let context = QueryContext::detached("watch");
        let cancel = context.cancel.clone();
        let _abandoned = cancel.clone().drop_guard();
        let work = async move {
            let session = Session::new(BOOTSTRAP_ROLE, "").of_process();
            let opener = ViewColumns { engine, run: QueryRun::new(context) };
            let open = command::TableOpener::open(&opener, &session, &table)?;
            let files = open.files(|_| true).await?;
            let mut files: Vec<FileVersion> = files.into_iter().map(|file| file.version).collect();
            files.sort_by(|a, b| a.location.cmp(&b.location));
            Ok(files)
        };
        self.cpu.plan(&cancel, work).await
    }

    /// Resolves names and types. `parameter_types` are those the client declared; `None` is to be inferred.
    ///
    /// # Errors
    /// Undefined names, type errors, unsupported statements.
    pub async fn prepare(
        self: &Arc<Self>,
        session: &Session,
        statement: Arc<ParsedStatement>,
        parameter_types: &[Option<DataType>],
    ) -> Result<Prepared> {
        authorize::statement::check(&self.rights(session), session, &statement.statement)?;
        let writes = match &statement.statement {
            Statement::Insert(_) => true,
            Statement::CreateTableAs(create) => create.query.is_some(),
            _ => false,
        };
        if !writes && !matches!(statement.statement, Statement::Query(_) | Statement::Explain(_)) {
            return Ok(Prepared {
                schema: command::schema(&statement.statement),
                statement,
                parameter_types: Vec::new(),
            });
        }
        let accounts = self.shared.accounts.version();
        let key = match &statement.statement {
            Statement::Query(_) => PlanKey::of(session, &statement.sql, parameter_types.to_vec()),
            _ => None,
        };
        if let Some(key) = &key
            && let Some(kept) = self.shared.plans.find(key, &Circumstances::of(&self.shared, session))
            && let Some((parameter_types, schema)) = kept.described.clone()
        {
            return Ok(Prepared { statement, parameter_types, schema: Some(schema) });
        }
        let detached = QueryContext::detached("prepare");
        let cancel = detached.cancel.clone();
        // Who drops this future has no use for the plan.
        let _abandoned = cancel.clone().drop_guard();
        let context = self.plan_context(session, QueryRun::new(detached));
        let declared = parameter_types.to_vec();
        let (asked, dialect) = (Arc::clone(&statement), session.settings.dialect());
        let prepared = self.cpu.plan(&cancel, prepare_query(context, statement, declared, key, accounts)).await;
        prepared.map_err(|error| locate(error, &asked, dialect))
    }

    /// Runs a prepared statement. `parameters` are arrays of length 1 of the prepared types. Statements such as SET and
    /// USE change `session`.
    ///
    /// # Errors
    /// Everything that can go wrong before the first row; later errors come through the stream.
    pub async fn execute(
        self: &Arc<Self>,
        session: &mut Session,
        prepared: &Prepared,
        parameters: &[ArrayRef],
        context: QueryContext,
    ) -> Result<Outcome> {
        authorize::statement::check(&self.rights(session), session, &prepared.statement.statement)?;
        let stats = Arc::clone(&context.stats);
        Conduct::of(&prepared.statement.statement).check(session)?;
        match &prepared.statement.statement {
            Statement::Commit => self.commit(session, prepared, context).await,
            Statement::Query(_) | Statement::Explain(_) => {
                let cancel = context.cancel.clone();
                let accounts = self.shared.accounts.version();
                let (key, kept) = self.known_plan(session, prepared);
                if let Some(kept) = &kept
                    && parameters.is_empty()
                    && let Some((schema, batches)) = kept.constant()
                {
                    let batches: Vec<_> = batches.iter().cloned().map(Ok).collect();
                    let batches = futures::stream::iter(batches).boxed();
                    let (schema, stream) = told(prepared.schema.clone(), schema, kept.column_names.clone(), batches)?;
                    stats.set_result_cache(match session.settings.result_cache() && self.shared.results.is_on() {
                        true => ResultCacheUse::NotCacheable,
                        false => ResultCacheUse::Off,
                    });
                    QueryStats::add(&stats.rows_produced, 1);
                    let (tag, notices) = (CommandTag::Rows("SELECT"), Vec::new());
                    return Ok(Outcome { schema: Some(schema), stream, tag, notices, stats, run: None });
                }
                let run = QueryRun::limited(context, self.scan_limit(session));
                let context = self.plan_context(session, Arc::clone(&run));
                let work = QueryWork {
                    kept: kept.filter(|kept| kept.holds_in(&Circumstances::planned_in(&context, accounts))),
                    key,
                    accounts,
                    engine: Arc::clone(self),
                    statement: Arc::clone(&prepared.statement),
                    schema: prepared.schema.clone(),
                    parameters: parameters.to_vec(),
                    run: Arc::clone(&run),
                    uses_result_cache: session.settings.result_cache(),
                };
                let dialect = session.settings.dialect();
                let started = self.cpu.plan(&cancel, Box::pin(work.start(context))).await;
                let started = started.map_err(|error| locate(error, &prepared.statement, dialect))?;
                let tag = if matches!(prepared.statement.statement, Statement::Query(_)) {
                    CommandTag::Rows("SELECT")
                } else {
                    CommandTag::Plain("EXPLAIN".to_owned())
                };
                let notices = run.notices();
                Ok(Outcome { schema: Some(started.0), stream: started.1, tag, notices, stats, run: Some(run) })
            }
            Statement::Insert(_) | Statement::CreateTableAs(_) => {
                let run = QueryRun::limited(context, self.scan_limit(session));
                let plan_context = self.plan_context(session, Arc::clone(&run));
                let statement = Arc::clone(&prepared.statement);
                let written =
                    Box::pin(write::execute(&self.cpu, plan_context, session, statement, parameters.to_vec())).await;
                // What was written is seen by the next statement, whatever listings a table lets be kept.
                self.shared.scan.listings.clear();
                let (tag, notices) = written?;
                Ok(Outcome {
                    schema: None,
                    stream: futures::stream::empty().boxed(),
                    tag,
                    notices,
                    stats,
                    run: Some(run),
                })
            }
            Statement::Dataset(dataset) if dataset::statement::makes_rows(self, session, dataset) => {
                let answered = Box::pin(dataset::statement::execute(self, session, dataset, context)).await;
                // What was changed is seen by the next statement, whatever listings a table lets be kept.
                self.shared.scan.listings.clear();
                let dataset::statement::Answer { tag, notices, run } = answered?;
                let stream = futures::stream::empty().boxed();
                Ok(Outcome { schema: None, stream, tag, notices, stats, run: Some(run) })
            }
            Statement::Unload(_)
            | Statement::Copy(_)
            | Statement::Delete(_)
            | Statement::Truncate(_)
            | Statement::Optimize(_) => Box::pin(self.execute_files(session, prepared, context)).await,
            Statement::Report(report) if matches!(**report, ReportStatement::Run { .. }) => {
                self.execute_report(session, report, context).await
            }
            _ => self.execute_command(session, prepared, context).await,
        }
    }

    /// RUN REPORT.
    async fn execute_report(
        self: &Arc<Self>,
        session: &Session,
        statement: &ReportStatement,
        context: QueryContext,
    ) -> Result<Outcome> {
        let ReportStatement::Run { name, arguments, at } = statement else {
            return Err(Error::internal("not a report that is run"));
        };
        let asked = report::Asked {
            name: name.clone(),
            arguments: arguments.clone(),
            at: at.clone(),
            user: session.user.clone(),
            due_at_ms: session.due_at_ms,
        };
        let stats = Arc::clone(&context.stats);
        let batch = report::run(self, session, asked, context).await?;
        let schema = Some(batch.schema());
        let tag = CommandTag::Rows("RUN REPORT");
        Ok(Outcome { schema, stream: single_batch(batch), tag, notices: Vec::new(), stats, run: None })
    }

    /// Told when there is somebody to be told of a report: whoever delivers waits for it.
    pub fn deliveries(&self) -> &Arc<tokio::sync::Notify> {
        &self.shared.deliveries
    }

    /// A file that a run has written, if it is still that one.
    ///
    /// # Errors
    /// What the store says; a file that was replaced or is larger than `bytes_max`.
    pub async fn report_file(&self, file: &limnos_catalog::ReportFile, bytes_max: u64) -> Result<bytes::Bytes> {
        report::read_file(&self.shared.scan.stores, file, bytes_max).await
    }

    /// Under which key the plan of a query is kept, and the plan if there is one.
    fn known_plan(&self, session: &Session, prepared: &Prepared) -> (Option<PlanKey>, Option<Arc<KeptPlan>>) {
        let types = prepared.parameter_types.iter().cloned().map(Some).collect();
        let key = match &prepared.statement.statement {
            Statement::Query(_) => PlanKey::of(session, &prepared.statement.sql, types),
            _ => None,
        };
        let now = Circumstances::of(&self.shared, session);
        let kept = key.as_ref().and_then(|key| self.shared.plans.find(key, &now));
        (key, kept)
    }

    /// What a query of `session` may read.
    pub(crate) fn scan_limit(&self, session: &Session) -> Option<ScanLimit> {
        ScanLimit::of(session.settings.scan_limit_bytes(), self.shared.scan_limit_bytes)
    }

    /// Carries out statements that write or take away files, other than INSERT and CREATE TABLE AS.
    async fn execute_files(
        self: &Arc<Self>,
        session: &mut Session,
        prepared: &Prepared,
        context: QueryContext,
    ) -> Result<Outcome> {
        let stats = Arc::clone(&context.stats);
        let context = self.plan_context(session, QueryRun::limited(context, self.scan_limit(session)));
        let mut batch = None;
        let (tag, notices) = match &prepared.statement.statement {
            Statement::Unload(unload) => Box::pin(write::unload(&self.cpu, context, unload)).await?,
            Statement::Copy(copy) => Box::pin(write::copy(&self.cpu, context, copy)).await?,
            Statement::Delete(rows) => Box::pin(write::remove(&self.cpu, context, session, rows, false)).await?,
            Statement::Truncate(rows) => Box::pin(write::remove(&self.cpu, context, session, rows, true)).await?,
            Statement::Optimize(rows) => {
                let (done, notices) = Box::pin(write::optimize(&self.cpu, context, rows)).await?;
                batch = Some(done);
                (CommandTag::Rows("OPTIMIZE"), notices)
            }
            other => return Err(Error::internal(format!("not about files: {other:?}"))),
        };
        let schema = batch.as_ref().map(RecordBatch::schema);
        let stream = batch.map_or_else(|| futures::stream::empty().boxed(), single_batch);
        Ok(Outcome { schema, stream, tag, notices, stats, run: None })
    }

    /// Carries out one of our own statements. It runs on the CPU runtime with a copy of the session, which replaces the
    /// caller's when it ends well.
    pub(crate) async fn execute_command(
        self: &Arc<Self>,
        session: &mut Session,
        prepared: &Prepared,
        context: QueryContext,
    ) -> Result<Outcome> {
        let answered = match &prepared.statement.statement {
            Statement::Empty => Some(""),
            // The door has cancelled it already.
            Statement::Kill { .. } => Some("KILL"),
            Statement::Prepare { .. } | Statement::Execute { .. } | Statement::Deallocate { .. } => {
                let message = "prepared statements of SQL belong to a PostgreSQL connection";
                return Err(Error::unsupported(message));
            }
            Statement::CopyOut(_) | Statement::CopyIn(_) => {
                return Err(Error::unsupported("COPY TO STDOUT and COPY FROM STDIN belong to a PostgreSQL connection")
                    .with_hint("Connect with psql or a driver, or use COPY ... TO 'file'."));
            }
            Statement::CloseCursor { name: None } => Some("CLOSE CURSOR ALL"),
            Statement::Declare(_) | Statement::Fetch(_) | Statement::CloseCursor { .. } => {
                return Err(Error::unsupported("cursors belong to a PostgreSQL connection"));
            }
            _ => None,
        };
        if let Some(tag) = answered {
            let stream = futures::stream::empty().boxed();
            let tag = CommandTag::Plain(tag.to_owned());
            let (notices, stats) = (Vec::new(), context.stats);
            return Ok(Outcome { schema: None, stream, tag, notices, stats, run: None });
        }
        let (engine, statement, own) = (Arc::clone(self), Arc::clone(&prepared.statement), session.clone());
        let (cancel, stats) = (context.cancel.clone(), Arc::clone(&context.stats));
        // Not on the workers: SHOW and SET answer while heavy queries compute.
        let work = async move {
            let mut own = own;
            let mut snapshot = own.pinned.clone().unwrap_or_else(|| engine.catalog().snapshot());
            if lists(&statement.statement) {
                snapshot = engine.rights(&own).visible_of(&snapshot);
            }
            let identity = (own.user.clone(), own.login.clone());
            let planner = ViewColumns { engine: Arc::clone(&engine), run: QueryRun::new(context.clone()) };
            let command = CommandContext {
                catalog: &engine.shared.catalog,
                snapshot,
                stores: &engine.shared.scan.stores,
                planner: &planner,
                opener: &planner,
                clock: &engine.shared.clock,
                crawls: &engine.shared.crawls,
                datasets: &engine.shared.datasets,
                accounts: &engine.shared.accounts,
                caches: &engine.shared.caches,
                scan_limit_bytes: engine.shared.scan_limit_bytes,
                query: &context,
            };
            let version = engine.catalog().snapshot().version;
            let answer = Box::pin(command::run(&command, &mut own, &statement.statement)).await?;
            if identity != (own.user.clone(), own.login.clone()) {
                let rights = engine.rights(&own);
                command::tell_identity(&mut own, &rights);
            }
            // What a statement changed is seen by the next one, whatever listings a table lets be kept.
            if engine.catalog().snapshot().version != version {
                engine.shared.scan.listings.clear();
            }
            Ok((own, answer))
        };
        let (changed, answer) = self.cpu.plan(&cancel, work).await?;
        *session = changed;
        let schema = answer.batch.as_ref().map(RecordBatch::schema);
        let stream = match answer.batch {
            Some(batch) => single_batch(batch),
            None => futures::stream::empty().boxed(),
        };
        Ok(Outcome { schema, stream, tag: answer.tag, notices: answer.notices, stats, run: None })
    }

    /// A place for the rows of a cursor.
    pub fn keep_rows(&self) -> KeptRows {
        KeptRows::new(Arc::clone(&self.shared.memory), Arc::clone(&self.shared.runtime_env.disk_manager))
    }

    pub(crate) fn plan_context(&self, session: &Session, run: Arc<QueryRun>) -> PlanContext {
        if let Some(block) = &session.block {
            run.pin_files(block.files());
        }
        PlanContext {
            snapshot: session.pinned.clone().unwrap_or_else(|| self.catalog().snapshot()),
            session: Arc::new(self.session_info(session)),
            dialect: session.settings.dialect(),
            time_zone: session.settings.zone().arrow_name(),
            input: InputContext::of(session, Some(self.shared.clock.now().timestamp_micros())),
            scan: ScanSettings::of(&session.settings),
            now: self.shared.clock.now(),
            database: session.database.clone(),
            shared: Arc::clone(&self.shared),
            run,
            bookmark: None,
            rights: Arc::new(self.rights(session)),
            own_target: None,
            view_depth: 0,
            views: Arc::default(),
            sees_clock: Arc::default(),
        }
    }

    fn session_info(&self, session: &Session) -> SessionInfo {
        let mut info = SessionInfo::new(&session.user, &session.catalog_name, &session.database);
        info.session_user.clone_from(&session.login.session_user);
        info.roles = self.roles(session);
        info.backend_pid = session.backend_pid;
        info.client_address = session.client_address;
        info.encryption.clone_from(&session.encryption);
        info.backends = session.backends.clone();
        info.server_started_at_us = self.shared.started_at_us;
        info.session_started_at_us = session.started_at_us;
        info.settings = session.settings.clone();
        info.system_tables = self.shared.system.described();
        info
    }

    /// The roles that `session` sees, made once for a snapshot.
    fn roles(&self, session: &Session) -> Arc<[RoleInfo]> {
        let (version, snapshot) = (self.shared.accounts.version(), self.catalog().snapshot());
        let mut known = self.shared.roles.lock();
        if let Some(known) = known.as_ref().filter(|known| known.are_of(&snapshot, version, &session.user)) {
            return Arc::clone(&known.roles);
        }
        let roles: Arc<[RoleInfo]> = Arc::from(roles(&snapshot, &self.shared.accounts, session));
        let (snapshot, user) = (Arc::downgrade(&snapshot), session.user.clone());
        *known = Some(KnownRoles { snapshot, version, user, roles: Arc::clone(&roles) });
        roles
    }
}

/// Statements that list what there is: they see no more than may be known.
fn lists(statement: &Statement) -> bool {
    match statement {
        Statement::ShowTables { .. } | Statement::ShowCrawlers { .. } | Statement::ShowClassifiers { .. } => true,
        Statement::Dataset(_) | Statement::Report(_) => true,
        Statement::Schedule(schedule) => matches!(schedule.as_ref(), ScheduleStatement::ShowAll { .. }),
        _ => false,
    }
}

/// Says what columns a view's query has, for `CREATE VIEW`, and opens tables for `ANALYZE`.
struct ViewColumns {
    engine: Arc<Engine>,
    /// The command's own: what it reads counts.
    run: Arc<QueryRun>,
}

impl command::TableOpener for ViewColumns {
    fn open(&self, session: &Session, table: &Arc<Table>) -> Result<OpenTable> {
        let context = self.engine.plan_context(session, Arc::clone(&self.run));
        let shared = &self.engine.shared;
        let partitions = shared.partitions(&context.snapshot, table, context.now)?;
        let opened = CatalogTable::new(
            Arc::clone(&context.snapshot),
            Arc::clone(table),
            partitions,
            Arc::clone(&shared.scan),
            Arc::clone(&self.run),
        )?;
        OpenTable::new(opened, session_state(context)?)
    }
}

#[async_trait::async_trait]
impl command::ViewPlanner for ViewColumns {
    async fn columns(&self, session: &Session, query: &Query) -> Result<Vec<Column>> {
        let context = self.engine.plan_context(session, QueryRun::new(QueryContext::detached("view")));
        let planned = plan_query(context, query).await?;
        let fields = planned.plan.schema().fields().clone();
        planned
            .column_names()
            .into_iter()
            .zip(fields.iter())
            .map(|(name, field)| Ok(Column::new(name, catalog_field_type(field)?)))
            .collect()
    }
}

/// The roles of a snapshot, as one user sees them.
struct KnownRoles {
    snapshot: Weak<Snapshot>,
    version: u64,
    user: String,
    roles: Arc<[RoleInfo]>,
}

impl KnownRoles {
    fn are_of(&self, snapshot: &Arc<Snapshot>, version: u64, user: &str) -> bool {
        std::ptr::eq(self.snapshot.as_ptr(), Arc::as_ptr(snapshot)) && self.version == version && self.user == user
    }
}

/// The roles that `pg_roles` and its kin show: the catalog's, those of the configuration, `limnos`, and who asks.
fn roles(snapshot: &Snapshot, accounts: &Accounts, session: &Session) -> Vec<RoleInfo> {
    let mut roles: Vec<RoleInfo> = Vec::new();
    let mut add = |role: RoleInfo| {
        if !roles.iter().any(|known| known.name == role.name) {
            roles.push(role);
        }
    };
    if snapshot.roles.is_empty() && accounts.configured().is_empty() {
        // A machine of one's own: who asks is the superuser.
        add(RoleInfo::superuser(0, &session.user));
        return roles;
    }
    let bootstrap = snapshot.roles.get(BOOTSTRAP_ROLE).map(|role| RoleInfo { id: 0, ..role_info(role) });
    add(bootstrap.unwrap_or_else(|| RoleInfo::superuser(0, BOOTSTRAP_ROLE)));
    for (number, name) in (1..).zip(accounts.configured()) {
        add(RoleInfo { has_password: true, ..RoleInfo::superuser(-number, &name) });
    }
    for role in snapshot.roles.values() {
        add(role_info(role));
    }
    roles
}

/// A role of the catalog as `pg_roles` shows it.
fn role_info(role: &Role) -> RoleInfo {
    RoleInfo {
        id: role.id,
        name: role.name.clone(),
        superuser: role.superuser,
        login: role.can_login,
        create_db: role.create_db,
        create_role: role.create_role,
        inherit: role.inherit,
        replication: role.replication,
        bypass_rls: role.bypass_rls,
        connection_limit: role.connection_limit,
        valid_until_us: role.valid_until_us,
        has_password: role.verifier.is_some(),
        comment: role.comment.clone(),
        settings: role.settings.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
        member_of: (role.member_of.iter())
            .map(|(name, membership)| (name.clone(), membership.admin, membership.grantor.clone()))
            .collect(),
    }
}

async fn prepare_query(
    context: PlanContext,
    statement: Arc<ParsedStatement>,
    declared: Vec<Option<DataType>>,
    key: Option<PlanKey>,
    accounts: u64,
) -> Result<Prepared> {
    let (query, is_explain) = match &statement.statement {
        Statement::Query(query) => (query, false),
        Statement::Explain(Explain { write: Some(_), .. }) => {
            return Ok(Prepared { statement, parameter_types: Vec::new(), schema: Some(explain::schema()) });
        }
        Statement::Explain(Explain { query, .. }) => (query, true),
        Statement::Insert(_) | Statement::CreateTableAs(_) => {
            let planned = Box::pin(write::plan_write(context, &statement.statement)).await?;
            let parameter_types = parameter_types(&planned.plan, &declared)?;
            return Ok(Prepared { statement, parameter_types, schema: None });
        }
        _ => return Err(Error::internal("not a query")),
    };
    let keeping = Keeping::new(&context, accounts);
    let planned = plan_query(context, query).await?;
    let parameter_types = parameter_types(&planned.plan, &declared)?;
    let (plan, column_names) = (planned.plan.clone(), planned.column_names());
    let schema = match is_explain {
        true => explain::schema(),
        false if parameter_types.is_empty() => output_schema(&planned)?,
        false => output_schema(&with_typed_parameters(planned, &parameter_types)?)?,
    };
    if let Some(key) = key {
        let described = Some((parameter_types.clone(), Arc::clone(&schema)));
        let executed = (!parameter_types.is_empty()).then(|| key.with_types(&parameter_types));
        if let Some(kept) = keeping.keep(key, &plan, column_names, described)?
            && let Some(key) = executed
        {
            keeping.shared.plans.keep(key, &kept);
        }
    }
    Ok(Prepared { statement, parameter_types, schema: Some(schema) })
}

/// What it takes to keep the plan of a query that is being planned.
struct Keeping {
    shared: Arc<Shared>,
    circumstances: Circumstances,
    sees_clock: Arc<AtomicBool>,
}

impl Keeping {
    fn new(context: &PlanContext, accounts: u64) -> Self {
        let circumstances = Circumstances::planned_in(context, accounts);
        Self { shared: Arc::clone(&context.shared), circumstances, sees_clock: Arc::clone(&context.sees_clock) }
    }

    /// Keeps `plan` under `key`, if it may be kept.
    fn keep(
        &self,
        key: PlanKey,
        plan: &LogicalPlan,
        column_names: Vec<String>,
        described: Option<(Vec<DataType>, SchemaRef)>,
    ) -> Result<Option<Arc<KeptPlan>>> {
        let context = (self.circumstances.clone(), self.sees_clock.load(Ordering::Relaxed));
        let kept = KeptPlan::new(context, plan, column_names, described)?.map(Arc::new);
        if let Some(kept) = &kept {
            self.shared.plans.keep(key, kept);
        }
        Ok(kept)
    }
}

/// The columns of the answer: the analysed plan's types under PostgreSQL's names.
pub(crate) fn output_schema(planned: &PlannedQuery) -> Result<SchemaRef> {
    // Coercions (UNION, sums) are settled by the analyzer. A plan whose parameters have no values yet can't be analysed.
    let analyzed =
        planned.state.analyzer().execute_and_check(planned.plan.clone(), planned.state.config_options(), |_, _| {});
    let schema = match &analyzed {
        Ok(plan) => plan.schema(),
        Err(_) if !planned.plan.get_parameter_names()?.is_empty() => planned.plan.schema(),
        Err(_) => return Err(analyzed.map(|_| ()).map_err(Error::from).expect_err("it is an error")),
    };
    let fields: Vec<Field> = planned
        .column_names()
        .into_iter()
        .zip(schema.fields())
        .zip(labels(&planned.plan))
        .map(|((name, field), label)| labelled(output_field(field, name), label))
        .collect();
    Ok(Arc::new(Schema::new(fields)))
}

/// A column of an answer. Tables have no unsigned numbers of eight bytes (they are read as decimals); what is one here is
/// the count of a function such as `rank` or `cardinality`, which PostgreSQL has as bigint.
fn output_field(field: &Field, name: String) -> Field {
    let field = field.clone().with_name(name);
    if field.data_type() == &DataType::UInt64 { field.with_data_type(DataType::Int64) } else { field }
}

/// One execution of a query on the CPU runtime.
struct QueryWork {
    engine: Arc<Engine>,
    statement: Arc<ParsedStatement>,
    schema: Option<SchemaRef>,
    parameters: Vec<ArrayRef>,
    run: Arc<QueryRun>,
    uses_result_cache: bool,
    /// What was planned before and holds still.
    kept: Option<Arc<KeptPlan>>,
    /// Under which the plan is kept.
    key: Option<PlanKey>,
    accounts: u64,
}

impl QueryWork {
    async fn start(self, context: PlanContext) -> Result<(SchemaRef, BoxStream<'static, Result<RecordBatch>>)> {
        let cancel = self.run.cancel.clone();
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(crate::execute::canceled()),
            started = Box::pin(self.plan_and_run(context)) => started,
        }
    }

    async fn plan_and_run(self, context: PlanContext) -> Result<(SchemaRef, BoxStream<'static, Result<RecordBatch>>)> {
        let began = Instant::now();
        let (query, explained) = match &self.statement.statement {
            Statement::Query(query) => (query, None),
            Statement::Explain(explain) => (&explain.query, Some(explain)),
            _ => return Err(Error::internal("not a query")),
        };
        let asker = Asker::of(&context.session.user, &context.session.session_user, &context.session.settings);
        if let Statement::Explain(Explain { write: Some(statement), verbose, cost, format, .. }) =
            &self.statement.statement
        {
            let planned = Box::pin(write::plan_write(context, statement)).await?;
            let physical = Box::pin(write::physical_plan(&planned, &self.parameters, &self.run)).await?;
            let batch = Explained {
                plan: &physical,
                run: &self.run,
                verbose: *verbose,
                format: *format,
                measured: None,
                cost: if *cost { Some(estimate(&physical, &self.run.reports(), None).await?) } else { None },
                result_cache: None,
                headline: Some(planned.headline()),
            }
            .batch()?;
            return Ok((explain::schema(), single_batch(batch)));
        }
        let Ready { plan, state, names, kept } = Box::pin(self.ready(context, query)).await?;
        let results = &self.engine.shared.results;
        let decision = match self.uses_result_cache && results.is_on() {
            true => Decision::new(&state, &plan, asker).await?,
            false => Decision::Off,
        };
        // What is known needs no plan: lists are all that it takes.
        if explained.is_none()
            && let Some(result) = decision.known(results)
        {
            return self.told(&result.schema, names, replay(&result, &self.run));
        }
        let physical = state.query_planner().create_physical_plan(&plan, &state).await?;
        let physical = stoppable(physical, &self.run.cancel)?;
        if let Some(kept) = kept.filter(|kept| explained.is_none() && kept.is_constant(&plan)) {
            // One row, of values that are there: it is sooner told than handed to another thread.
            let batches = collect(Arc::clone(&physical), options::task(&state)).await?;
            kept.keep_constant(&physical.schema(), &batches);
            let used = if let Decision::Off = decision { ResultCacheUse::Off } else { ResultCacheUse::NotCacheable };
            self.run.stats.set_result_cache(used);
            QueryStats::add(&self.run.stats.rows_produced, 1);
            let batches = futures::stream::iter(batches.into_iter().map(Ok)).boxed();
            return self.told(&physical.schema(), names, batches);
        }
        let mut result_cache = decision.describe(results);
        let is_limited = !decision.is_known(results) && explained.is_none_or(|explain| explain.analyze);
        if is_limited && let Some(limit) = self.run.scan_limit() {
            limit.check(&physical, &self.run).await?;
        }
        let answer = Answer {
            engine: Arc::clone(&self.engine),
            run: Arc::clone(&self.run),
            plan: Arc::clone(&physical),
            task: options::task(&state),
        };
        let Some(Explain { analyze, verbose, cost, format, .. }) = explained else {
            return self.told(&physical.schema(), names, answer.batches(decision));
        };
        let cost = match cost {
            true => Some(estimate(&physical, &self.run.reports(), None).await?),
            false => None,
        };
        let planning = began.elapsed();
        let mut measured = None;
        if *analyze {
            let began = Instant::now();
            let mut stream = answer.batches(decision);
            let mut rows = 0;
            while let Some(batch) = stream.next().await {
                rows += batch?.num_rows() as u64;
            }
            measured = Some(Measured { planning, execution: began.elapsed(), rows });
            if let Some(used @ (ResultCacheUse::Hit | ResultCacheUse::Miss)) = self.run.stats.result_cache() {
                used.name().clone_into(&mut result_cache);
            }
        }
        let (plan, run, verbose, format) = (&physical, &*self.run, *verbose, *format);
        let result_cache = Some(result_cache);
        let batch = Explained { plan, run, verbose, format, measured, cost, result_cache, headline: None }.batch()?;
        Ok((explain::schema(), single_batch(batch)))
    }
}

/// A query's optimised plan, with values in place of its parameters.
struct Ready {
    plan: LogicalPlan,
    state: SessionState,
    names: Vec<String>,
    kept: Option<Arc<KeptPlan>>,
}

impl QueryWork {
    /// The plan, made or taken from those that are kept.
    async fn ready(&self, context: PlanContext, query: &Query) -> Result<Ready> {
        let (plan, state, names, kept, is_optimized) = match &self.kept {
            Some(kept) => {
                let (plan, is_optimized) = kept.attach(&context)?;
                (plan, session_state(context)?, kept.column_names.clone(), Some(Arc::clone(kept)), is_optimized)
            }
            None => {
                let keeping = Keeping::new(&context, self.accounts);
                let planned = plan_query(context, query).await?;
                let names = planned.column_names();
                let kept = match &self.key {
                    Some(key) => keeping.keep(key.clone(), &planned.plan, names.clone(), None)?,
                    None => None,
                };
                (planned.plan, planned.state, names, kept, false)
            }
        };
        if is_optimized {
            return Ok(Ready { plan, state, names, kept });
        }
        let plan = state.optimize(&bind(plan, &self.parameters)?)?;
        if let Some(kept) = &kept {
            kept.keep_optimized(&plan)?;
        }
        Ok(Ready { plan, state, names, kept })
    }

    fn told(
        &self,
        schema: &SchemaRef,
        names: Vec<String>,
        batches: BatchStream,
    ) -> Result<(SchemaRef, BoxStream<'static, Result<RecordBatch>>)> {
        told(self.schema.clone(), schema, names, batches)
    }
}

/// The answer `batches`, of `schema`, as the client was told it: under the columns' names, and in their types.
///
/// # Errors
/// [`ErrorCode::FeatureNotSupported`] where those are others than the client was told.
fn told(
    described: Option<SchemaRef>,
    schema: &SchemaRef,
    names: Vec<String>,
    batches: BatchStream,
) -> Result<(SchemaRef, BoxStream<'static, Result<RecordBatch>>)> {
    let schema = named_schema(schema, names);
    let wanted = described.unwrap_or_else(|| Arc::clone(&schema));
    let types = wanted.fields().iter().zip(schema.fields());
    if wanted.fields().len() != schema.fields().len()
        || !types.into_iter().all(|(told, found)| is_shown_as(found.data_type(), told.data_type()))
    {
        return Err(Error::unsupported("cached plan must not change result type"));
    }
    let target = Arc::clone(&wanted);
    Ok((wanted, batches.map(move |batch| batch.and_then(|batch| conform(batch, &target))).boxed()))
}

/// Whether values of `found` may be sent as `told` to a client that was told so: they are the same but for how they are held.
/// A value of a parameter has digits that a NULL in its place had not.
fn is_shown_as(found: &DataType, told: &DataType) -> bool {
    use DataType::{Date32, Date64, Dictionary, FixedSizeList, Float64, LargeList, List, Map, Null, Struct, Timestamp};
    match (found, told) {
        (Dictionary(_, found), told) => is_shown_as(found, told),
        (found, Dictionary(_, told)) => is_shown_as(found, told),
        (Null, _) | (_, Null) | (Struct(_), Struct(_)) | (Map(..), Map(..)) | (Date32 | Date64, Date32 | Date64) => {
            true
        }
        (
            List(found) | LargeList(found) | FixedSizeList(found, _),
            List(told) | LargeList(told) | FixedSizeList(told, _),
        ) => is_shown_as(found.data_type(), told.data_type()),
        (Timestamp(_, found), Timestamp(_, told)) => found.is_some() == told.is_some(),
        (found, told) if found.is_decimal() || told.is_decimal() => {
            // Numbers whose type only their values decide.
            let is_number = |data_type: &DataType| data_type.is_decimal() || *data_type == Float64;
            is_number(found) && is_number(told)
        }
        (found, told) if found.is_integer() && told.is_integer() => {
            found == told || found.is_unsigned_integer() || told.is_unsigned_integer()
        }
        (found, told) => {
            let is_text =
                |data_type: &DataType| matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
            let is_binary = |data_type: &DataType| {
                matches!(
                    data_type,
                    DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_)
                )
            };
            let is_interval = |data_type: &DataType| matches!(data_type, DataType::Interval(_) | DataType::Duration(_));
            let is_time = |data_type: &DataType| matches!(data_type, DataType::Time32(_) | DataType::Time64(_));
            let both = |is: &dyn Fn(&DataType) -> bool| is(found) && is(told);
            found == told || both(&is_text) || both(&is_binary) || both(&is_interval) || both(&is_time)
        }
    }
}

fn named_schema(schema: &SchemaRef, names: Vec<String>) -> SchemaRef {
    let fields: Vec<Field> = schema.fields().iter().zip(names).map(|(field, name)| output_field(field, name)).collect();
    Arc::new(Schema::new(fields))
}

/// `batch` with the names and types of `target`.
fn conform(batch: RecordBatch, target: &SchemaRef) -> Result<RecordBatch> {
    let columns = batch
        .columns()
        .iter()
        .zip(target.fields())
        .map(|(column, field)| {
            if column.data_type() == field.data_type() {
                return Ok(Arc::clone(column));
            }
            let options = arrow::compute::CastOptions { safe: false, ..Default::default() };
            arrow::compute::cast_with_options(column, field.data_type(), &options)
                .map_err(|error| Error::from(datafusion::error::DataFusionError::from(error)))
        })
        .collect::<Result<Vec<_>>>()?;
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let nullable = Arc::new(Schema::new(
        target.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect::<Vec<_>>(),
    ));
    RecordBatch::try_new_with_options(nullable, columns, &options).map_err(|error| Error::internal(error.to_string()))
}

/// Settings of every query's session; nothing of it can be changed by SQL.
fn session_config(threads: usize) -> SessionConfig {
    let mut config = SessionConfig::new().with_target_partitions(threads.max(1)).with_information_schema(false);
    let options = config.options_mut();
    // 1.5 is numeric in PostgreSQL and decimal in Athena.
    options.sql_parser.parse_float_as_decimal = true;
    options.sql_parser.enable_ident_normalization = true;
    options.execution.collect_statistics = false;
    options.execution.spill_compression = datafusion::config::SpillCompression::Lz4Frame;
    options.execution.parquet.pushdown_filters = false;
    options.execution.parquet.coerce_int96 = Some("us".to_owned());
    options.execution.parquet.max_in_list_size = crate::prune::MAX_IN_LIST;
    options.optimizer.prefer_existing_union = true;
    // DataFusion 55 leaves aggregates that saw only NULL yet out of the filter instead of letting all rows pass: of
    // `min(a), min(b)` the second misses rows whenever the first file's `b` is all NULL.
    options.optimizer.enable_aggregate_dynamic_filter_pushdown = false;
    // Two to a few threads: building one hash table is cheaper than repartitioning both sides
    // (9 % of TPC-H, 36 % of its Q18, measured on two cores).
    options.optimizer.hash_join_single_partition_threshold = 32 << 20;
    options.optimizer.hash_join_single_partition_threshold_rows = 4 << 20;
    config
}

/// The state that each query's is made from: functions and rules, which are shared.
fn template() -> Result<SessionState> {
    let mut config = SessionConfig::new();
    config.options_mut().execution.time_zone = Some(Settings::default().zone().arrow_name());
    let mut builder = SessionStateBuilder::new().with_config(config).with_default_features();
    let planners = builder.expr_planners().get_or_insert_default();
    planners.insert(0, Arc::new(FieldNames));
    planners.insert(0, Arc::new(Operators));
    builder = builder.with_relation_planners(vec![Arc::new(HiddenTables)]).with_type_planner(Arc::new(TypeNames));
    for rule in function::analyzer_rules() {
        builder = builder.with_analyzer_rule(rule);
    }
    builder = builder.with_physical_optimizer_rules(with_aggregation_on_codes(PhysicalOptimizer::new().rules));
    let state = builder.build();
    let (analyzer, optimizer) = (stoppable_analyzer(&state.analyzer().rules), stoppable_optimizer(state.optimizers()));
    let builder = SessionStateBuilder::new_from_existing(state);
    let mut state = builder.with_analyzer_rules(analyzer).with_optimizer_rules(optimizer).build();
    function::register_all(&mut state)?;
    for (name, table_function) in function::table_functions()? {
        state.register_udtf(name, table_function);
    }
    Ok(state)
}

/// Makes the warehouse's folder, if it is a local one.
fn make_warehouse(warehouse: &str) -> Result<()> {
    if warehouse.contains("://") {
        return Ok(());
    }
    std::fs::create_dir_all(warehouse).map_err(|error| {
        Error::new(ErrorCode::IoError, format!("warehouse folder \"{warehouse}\" cannot be made: {error}"))
    })
}

/// Makes `folder`, empty: what an earlier process spilled is of no use.
fn empty_folder(folder: &std::path::Path) -> Result<PathBuf> {
    let failed = |error: std::io::Error| {
        Error::new(ErrorCode::IoError, format!("spill folder \"{}\" cannot be made: {error}", folder.display()))
    };
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    std::fs::create_dir_all(folder).map_err(failed)?;
    Ok(folder.to_owned())
}
