//! The catalog's snapshot as DataFusion's providers, for one query.
//!
//! ```text
//! lake ── <database>          tables and views of the snapshot; `default` is also `public`
//!      ── pg_catalog, information_schema, system
//!      ── file                "file"."data/*.parquet": paths as tables
//! ```
//! A name that isn't there is our own error, worded as PostgreSQL does, and not DataFusion's.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::input::InputContext;
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use datafusion::catalog::{CatalogProvider, CatalogProviderList, SchemaProvider, TableProvider};
use datafusion::datasource::ViewTable;
use datafusion::error::Result as DataFusionResult;
use limnos_catalog::{Privilege, Snapshot, TableKind, TableName};

use super::authorize::Rights;
use super::document;
use super::hidden::Marked;
use super::information_schema::InformationSchema;
use super::pg_catalog::{PgCatalogSchema, SessionInfo};
use super::query::plan_view;
use super::system::{SYSTEM_SCHEMA, SystemSchema};
use crate::dataset::pinned::PinnedDataset;
use crate::engine::Shared;
use crate::error::{nearest, to_datafusion};
use crate::execute::QueryRun;
use crate::parse::{Dialect, FILE_TABLE_DATABASE};
use crate::scan::bookmark::BookmarkRun;
use crate::scan::hidden::HiddenColumns;
use crate::scan::settings::ScanSettings;
use crate::scan::table::CatalogTable;
use crate::{Error, ErrorCode, Result};

/// Views inside views: more than this is taken for a cycle, which `CREATE OR REPLACE VIEW` can make.
const VIEW_DEPTH_MAX: usize = 32;

/// Views that one query may put in. A view that names another one twice puts all that is in it in twice.
const VIEWS_MAX: usize = 1_000;

/// What planning one query needs: who asks, in which snapshot, for which run.
#[derive(Clone)]
pub(crate) struct PlanContext {
    pub(crate) shared: Arc<Shared>,
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) run: Arc<QueryRun>,
    pub(crate) session: Arc<SessionInfo>,
    pub(crate) dialect: Dialect,
    pub(crate) time_zone: String,
    /// What texts mean that become dates, numbers and the like.
    pub(crate) input: InputContext,
    pub(crate) scan: ScanSettings,
    /// The moment of the statement: what `now()` says, and NOW in projected partitions.
    pub(crate) now: DateTime<Utc>,
    /// The database that unqualified names are looked up in.
    pub(crate) database: String,
    /// What whoever asks may do; inside a view, what its owner may.
    pub(crate) rights: Arc<Rights>,
    /// The table that a DELETE without a condition and its kin are about: they don't read it.
    pub(crate) own_target: Option<TableName>,
    /// Of an INSERT that reads only new files.
    pub(crate) bookmark: Option<Arc<BookmarkRun>>,
    pub(crate) view_depth: usize,
    /// The views that the query's planning has put in so far, those inside views included.
    pub(crate) views: Arc<AtomicUsize>,
    /// Whether a constant of the query, or of a view in it, is a moment by its distance from now.
    pub(crate) sees_clock: Arc<AtomicBool>,
}

impl fmt::Debug for PlanContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlanContext")
            .field("database", &self.database)
            .field("snapshot", &self.snapshot.version)
            .finish_non_exhaustive()
    }
}

/// The one catalog of a server.
#[derive(Debug)]
pub(crate) struct LakeCatalog {
    context: Arc<PlanContext>,
}

impl LakeCatalog {
    pub(crate) fn new(context: Arc<PlanContext>) -> Self {
        Self { context }
    }
}

impl CatalogProvider for LakeCatalog {
    fn schema_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.context.snapshot.databases.keys().cloned().collect();
        names.extend(["pg_catalog", "information_schema", SYSTEM_SCHEMA].map(str::to_owned));
        names
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        let context = &self.context;
        Some(match name {
            "pg_catalog" => {
                let schema = PgCatalogSchema::new(&context.snapshot, Arc::clone(&context.session));
                Arc::new(schema.with_known(&context.shared.scan.known).seen_with(&context.rights))
            }
            "information_schema" => {
                let accessible = context.rights.accessible_of(&context.snapshot);
                Arc::new(InformationSchema::new(&accessible, &context.session).seen_with(&context.rights))
            }
            SYSTEM_SCHEMA => Arc::new(SystemSchema(Arc::clone(&context.shared.system), Arc::clone(&context.rights))),
            FILE_TABLE_DATABASE => Arc::new(FileSchema { context: Arc::clone(context) }),
            // A schema that doesn't exist is told by its provider, when a table of it is asked for.
            name => {
                Arc::new(DatabaseSchema { context: Arc::clone(context), database: catalog_database(name).to_owned() })
            }
        })
    }
}

/// PostgreSQL's clients see the database `default` as `public`.
pub(crate) fn catalog_database(schema: &str) -> &str {
    if schema == "public" { "default" } else { schema }
}

/// The list of the one catalog, under its name.
#[derive(Debug)]
pub(crate) struct LakeCatalogList {
    name: String,
    lake: Arc<LakeCatalog>,
}

impl LakeCatalogList {
    pub(crate) fn new(name: String, lake: LakeCatalog) -> Self {
        Self { name, lake: Arc::new(lake) }
    }
}

impl CatalogProviderList for LakeCatalogList {
    fn register_catalog(&self, _name: String, _catalog: Arc<dyn CatalogProvider>) -> Option<Arc<dyn CatalogProvider>> {
        None
    }

    fn catalog_names(&self) -> Vec<String> {
        vec![self.name.clone()]
    }

    fn catalog(&self, name: &str) -> Option<Arc<dyn CatalogProvider>> {
        // What Athena calls its one catalog: its users' queries name it.
        let is_ours = name == self.name || name.eq_ignore_ascii_case("awsdatacatalog");
        is_ours.then(|| Arc::clone(&self.lake) as _)
    }
}

/// The tables and views of one database.
#[derive(Debug)]
struct DatabaseSchema {
    context: Arc<PlanContext>,
    database: String,
}

#[async_trait]
impl SchemaProvider for DatabaseSchema {
    fn table_names(&self) -> Vec<String> {
        self.context.snapshot.tables_in(&self.database).map(|table| table.name.name.clone()).collect()
    }

    async fn table(&self, name: &str) -> DataFusionResult<Option<Arc<dyn TableProvider>>> {
        let (name, hidden) = split_mark(name);
        // The planner looks `f` of `FROM f(1)` up as a table, too, and doesn't mind when there is none.
        if !self.table_exist(name) && self.context.shared.template.table_functions().contains_key(name) {
            return Ok(None);
        }
        self.provider(name, hidden).await.map(Some).map_err(to_datafusion)
    }

    fn table_exist(&self, name: &str) -> bool {
        self.context.snapshot.tables.contains_key(&TableName::new(&self.database, name))
    }
}

impl DatabaseSchema {
    async fn provider(&self, name: &str, hidden: HiddenColumns) -> Result<Arc<dyn TableProvider>> {
        let context = &self.context;
        let full_name = TableName::new(&self.database, name);
        // A view was made by who could name its tables.
        if context.view_depth == 0 {
            context.rights.check_database(&self.database, Privilege::Usage)?;
        }
        let Some(table) = context.snapshot.tables.get(&full_name) else {
            return Err(self.undefined(name));
        };
        if context.own_target.as_ref() != Some(&full_name) {
            context.rights.check_table(table, Privilege::Select)?;
        }
        match &table.kind {
            TableKind::View { sql, database } => {
                if context.view_depth >= VIEW_DEPTH_MAX {
                    return Err(Error::new(
                        ErrorCode::StatementTooComplex,
                        format!("view \"{full_name}\" is nested too deeply"),
                    )
                    .with_detail(format!("Views may stand on views {VIEW_DEPTH_MAX} deep."))
                    .with_hint("A view that was replaced may refer to itself through another one."));
                }
                if context.views.fetch_add(1, Ordering::Relaxed) >= VIEWS_MAX {
                    return Err(Error::new(ErrorCode::StatementTooComplex, "statement is too complex")
                        .with_detail(format!("It reads views, and views inside views, more than {VIEWS_MAX} times."))
                        .with_hint("A view is planned again wherever it is named; name it less often."));
                }
                let inner = PlanContext {
                    database: database.clone(),
                    rights: Arc::new(context.rights.of_owner(&table.owner)),
                    own_target: None,
                    view_depth: context.view_depth + 1,
                    ..PlanContext::clone(context)
                };
                let plan = Box::pin(plan_view(inner, sql, table)).await?;
                Ok(Arc::new(ViewTable::new(plan, Some(sql.clone()))))
            }
            TableKind::Dataset(_) => {
                let datasets = &context.shared.datasets;
                let loaded = match context.run.pinned_files() {
                    Some(block) => block.datasets.open(datasets, table).await?,
                    None => datasets.open(table).await?,
                };
                let pinned = PinnedDataset::new(table, loaded);
                context.run.tell_dataset(pinned.line());
                Ok(Arc::new(pinned))
            }
            TableKind::External(_) => {
                let partitions = context.shared.partitions(&context.snapshot, table, context.now)?;
                let scan = Arc::clone(&context.shared.scan);
                let snapshot = Arc::clone(&context.snapshot);
                let run = Arc::clone(&context.run);
                let provider = CatalogTable::new(snapshot, Arc::clone(table), partitions, scan, run)?;
                let provider = provider.with_hidden(hidden)?;
                Ok(Arc::new(match &context.bookmark {
                    Some(bookmark) if bookmark.names(&full_name) => provider.with_bookmark(Arc::clone(bookmark)),
                    _ => provider,
                }))
            }
        }
    }

    fn undefined(&self, name: &str) -> Error {
        let snapshot = &self.context.rights.visible_of(&self.context.snapshot);
        if !snapshot.databases.contains_key(&self.database) {
            let message = format!("table \"{}.{name}\" does not exist", self.database);
            let mut error = Error::new(ErrorCode::UndefinedTable, message)
                .with_detail(format!("There is no schema \"{}\".", self.database));
            if let Some(near) = nearest(&self.database, snapshot.databases.keys().map(String::as_str)) {
                error = error.with_hint(format!("Did you mean \"{near}\"?"));
            }
            return error;
        }
        match snapshot.table(&TableName::new(&self.database, name)) {
            Err(error) => {
                let mut error = Error::from(error);
                // An unqualified name is told as it was written.
                if self.database == self.context.database {
                    error.message = format!("table \"{name}\" does not exist");
                    let own = format!("\"{}.", self.database);
                    error.hint = error.hint.map(|hint| hint.replace(&own, "\""));
                }
                error
            }
            Ok(_) => Error::internal(format!("table \"{name}\" is there and was not found")),
        }
    }
}

/// A table's name, and the hidden columns that a query names of it.
fn split_mark(name: &str) -> (&str, HiddenColumns) {
    match Marked::of(name) {
        Some(marked) => (marked.name, marked.columns()),
        None => (name, HiddenColumns::default()),
    }
}

/// Paths as tables.
#[derive(Debug)]
struct FileSchema {
    context: Arc<PlanContext>,
}

#[async_trait]
impl SchemaProvider for FileSchema {
    fn table_names(&self) -> Vec<String> {
        Vec::new()
    }

    async fn table(&self, path: &str) -> DataFusionResult<Option<Arc<dyn TableProvider>>> {
        let context = &self.context;
        context.rights.check_reads_files("use files as tables").map_err(to_datafusion)?;
        let (path, hidden) = split_mark(path);
        if let Some(call) = document::call_of(path) {
            return document::table(context, &call).await.map(Some).map_err(to_datafusion);
        }
        let provider = super::query::file_table(context, path, hidden).await.map_err(to_datafusion)?;
        Ok(Some(provider))
    }

    fn table_exist(&self, _name: &str) -> bool {
        true
    }
}
