//! Carries out our own statements against the catalog: DDL, SHOW, DESCRIBE, settings, transactions.
//!
//! In come a [`Statement`], the session and a snapshot; out goes a [`CommandAnswer`]: a tag, perhaps rows, perhaps notices.
//! Every change is one [`Catalog::commit`], so a statement happens whole or not at all. Queries, EXPLAIN, PREPARE,
//! EXECUTE, DEALLOCATE and KILL are not for here: the engine and the server do those.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::sql::sqlparser::ast::Query;
use limnos_catalog::{Catalog, Change, Column, Snapshot, Table, TableKind, TableName};

use crate::cache::Caches;
use crate::clock::Clock;
use crate::execute::QueryContext;
use crate::parse::schedule::ScheduleStatement;
use crate::parse::{ObjectName, Statement};
use crate::scan::store::Stores;
use crate::scan::survey::OpenTable;
use crate::session::Accounts;
use crate::{CommandTag, Error, ErrorCode, Notice, Result, Session};

mod alter;
mod analyze;
mod answer;
mod bookmark;
mod cache;
mod comment;
mod crawl;
mod crawler;
mod database;
pub(crate) mod dataset;
mod describe;
mod drift;
mod partition;
mod pattern;
mod projection;
mod repair;
mod report;
mod role;
mod schedule;
pub(crate) mod setting;
mod show;
mod show_create;
mod show_stats;
mod table;
mod version;

pub use bookmark::Bookmarks;
pub(crate) use cache::CacheTable;
pub use crawler::{CrawlChanges, CrawlHistory, Crawls};
pub use report::{ReportHistory, Reports};
pub(crate) use role::tell_identity;
pub use schedule::{ScheduleRuns, Schedules};
pub use show_create::create_statement;
pub use table::VIEW_DIALECT;

/// Tells the columns of a view's query. The planner does; commands only ask.
#[async_trait]
pub trait ViewPlanner: Send + Sync {
    /// The columns of `query`, its names resolved as `session` resolves them.
    async fn columns(&self, session: &Session, query: &Query) -> Result<Vec<Column>>;
}

/// Opens tables to look at their files. The engine does; commands only ask.
pub trait TableOpener: Send + Sync {
    /// `table`, which has files, for reading as `session`.
    ///
    /// # Errors
    /// Partition values that their keys' types can't hold.
    fn open(&self, session: &Session, table: &Arc<Table>) -> Result<OpenTable>;
}

/// What commands work on.
pub struct CommandContext<'a> {
    pub catalog: &'a Arc<Catalog>,
    /// What the statement sees.
    pub snapshot: Arc<Snapshot>,
    pub stores: &'a Arc<Stores>,
    pub planner: &'a dyn ViewPlanner,
    pub opener: &'a dyn TableOpener,
    pub clock: &'a Arc<dyn Clock>,
    /// The crawlers that run.
    pub crawls: &'a Arc<Crawls>,
    /// What is kept in memory of datasets.
    pub datasets: &'a Arc<crate::dataset::Datasets>,
    /// Which roles there are beside the catalog's.
    pub accounts: &'a Arc<Accounts>,
    /// What ALTER SYSTEM DROP CACHE empties.
    pub caches: &'a Caches,
    /// Most bytes that the server lets a query read.
    pub scan_limit_bytes: Option<u64>,
    /// The statement's own QueryExecution.
    pub query: &'a QueryContext,
}

/// The answer of a command.
#[derive(Debug, Clone)]
pub struct CommandAnswer {
    pub tag: CommandTag,
    /// The rows of SHOW and the like, with the columns that [`schema`] told.
    pub batch: Option<RecordBatch>,
    pub notices: Vec<Notice>,
}

impl CommandAnswer {
    fn tag(tag: &str) -> Self {
        Self { tag: CommandTag::Plain(tag.to_owned()), batch: None, notices: Vec::new() }
    }

    fn rows(batch: RecordBatch, tag: &'static str) -> Self {
        Self { tag: CommandTag::Rows(tag), batch: Some(batch), notices: Vec::new() }
    }

    fn with_notices(mut self, notices: Vec<Notice>) -> Self {
        self.notices.extend(notices);
        self
    }
}

/// Carries out `statement`.
///
/// # Errors
/// Names that don't exist or do already, locations that are not allowed, settings that can't be set, and so on.
pub async fn run(context: &CommandContext<'_>, session: &mut Session, statement: &Statement) -> Result<CommandAnswer> {
    match statement {
        Statement::CreateDatabase { name, comment, location, parameters, mode } => {
            database::create(context, session, name, comment.clone(), location.as_deref(), parameters, *mode).await
        }
        Statement::DropDatabase { name, if_exists, cascade } => {
            database::drop(context, session, name, *if_exists, *cascade).await
        }
        Statement::CreateTable(create) => table::create(context, session, create).await,
        Statement::CreateView(create) => table::create_view(context, session, create).await,
        Statement::Drop { view, names, if_exists } => table::drop(context, session, *view, names, *if_exists).await,
        Statement::RenameTable { view, name, to, if_exists } => {
            table::rename(context, session, *view, name, to, *if_exists).await
        }
        Statement::AlterTable { view, name, if_exists, actions } => {
            alter::alter(context, session, *view, name, *if_exists, actions).await
        }
        Statement::AlterView { name, query, sql } => table::alter_view(context, session, name, query, sql).await,
        Statement::AlterDatabase { name, action } => database::alter(context, session, name, action).await,
        Statement::AlterPartition { table, partition, action } => {
            partition::alter(context, session, table, partition, action).await
        }
        Statement::Comment { target, text } => comment::comment(context, session, target, text.as_deref()).await,
        Statement::ShowVersions { table } => version::show(context, session, table),
        Statement::ShowBookmarks => bookmark::show(context),
        Statement::ResetBookmark { name, if_exists } => bookmark::reset(context, session, name, *if_exists).await,
        Statement::AddPartitions { table, partitions, if_not_exists } => {
            partition::add(context, session, table, partitions, *if_not_exists).await
        }
        Statement::DropPartitions { table, partitions, if_exists } => {
            partition::drop(context, session, table, partitions, *if_exists).await
        }
        Statement::RepairTable { table, add, drop } => repair::repair(context, session, table, *add, *drop).await,
        Statement::Crawl { location, database } => crawl::crawl(context, session, location, database.as_deref()).await,
        Statement::Analyze(analyze) => analyze::analyze(context, session, analyze).await,
        Statement::ShowStats { table } => show_stats::show_stats(context, session, table).await,
        Statement::ShowDrift { table } => drift::show_drift(context, session, table).await,
        Statement::CreateCrawler { name, clauses, mode } => {
            crawler::create(context, session, name, clauses, *mode).await
        }
        Statement::AlterCrawler { name, clauses } => crawler::alter(context, session, name, clauses).await,
        Statement::RenameCrawler { name, to } => crawler::rename(context, session, name, to).await,
        Statement::PauseCrawler { name, pause } => crawler::pause(context, session, name, *pause).await,
        Statement::DropCrawler { name, if_exists } => crawler::drop(context, session, name, *if_exists).await,
        Statement::RunCrawler { name } => crawler::run(context, session, name).await,
        Statement::ShowCrawlers { pattern } => crawler::crawlers(context, session, pattern.as_ref()),
        Statement::ShowCreateCrawler { name } => {
            show::statement(crawler::create_crawler_text(context.snapshot.crawler(name)?))
        }
        Statement::CreateClassifier { name, definition, mode } => {
            crawler::create_classifier(context, session, name, definition, *mode).await
        }
        Statement::DropClassifier { name, if_exists } => {
            crawler::drop_classifier(context, session, name, *if_exists).await
        }
        Statement::ShowClassifiers { pattern } => crawler::classifiers(context, pattern.as_ref()),
        Statement::ShowCreateClassifier { name } => {
            show::statement(crawler::create_classifier_text(context.snapshot.classifier(name)?))
        }
        Statement::ShowDatabases { pattern } => show::databases(context, session, pattern.as_ref()),
        Statement::ShowTables { database, pattern, views_only } => {
            show::tables(context, session, database.as_deref(), pattern.as_ref(), *views_only)
        }
        Statement::ShowColumns { table } => show::columns(context, session, table),
        Statement::ShowPartitions { table, partition } => show::partitions(context, session, table, partition.as_ref()),
        Statement::ShowCreate { table } => show::create(context, session, table),
        Statement::ShowTableProperties { table, property } => {
            show::properties(context, session, table, property.as_deref())
        }
        Statement::Describe { table, extended, partition, column } => {
            describe::describe(context, session, table, *extended, partition.as_ref(), column.as_deref())
        }
        Statement::Use { database } => setting::use_database(context, session, database),
        Statement::Set { name, values, local } => setting::set(context, session, name, values.as_deref(), *local),
        Statement::Reset { name } => setting::reset(context, session, name.as_deref()),
        Statement::Show { name } => setting::show(session, name.as_deref()),
        Statement::SetTransaction { modes, session: of_session } => {
            setting::set_transaction(session, modes, *of_session)
        }
        Statement::Begin(modes) => setting::begin(context, session, modes),
        Statement::Commit => setting::commit(context, session),
        Statement::Rollback => setting::rollback(context, session),
        Statement::Savepoint { name } => {
            session.put_savepoint(name)?;
            Ok(CommandAnswer::tag("SAVEPOINT"))
        }
        Statement::Release { name } => {
            session.release_savepoint(name)?;
            Ok(CommandAnswer::tag("RELEASE"))
        }
        Statement::RollbackTo { name } => {
            session.return_to_savepoint(context.catalog, name).await?;
            Ok(CommandAnswer::tag("ROLLBACK"))
        }
        Statement::Discard { what } => setting::discard(context, session, what),
        Statement::Dataset(statement) => dataset::run(context, session, statement).await,
        Statement::Report(statement) => report::run(context, session, statement).await,
        Statement::Role(statement) => role::run(context, session, statement).await,
        Statement::Schedule(statement) => schedule::run(context, session, statement).await,
        Statement::DropCache { name } => cache::drop_cache(context.caches, name.as_deref()),
        Statement::NoOp { tag: tag @ "CREATE INDEX" } => {
            let notice = Notice::notice("no index was made: scans skip by the statistics of files");
            Ok(CommandAnswer::tag(tag).with_notices(vec![notice]))
        }
        Statement::NoOp { tag } => Ok(CommandAnswer::tag(tag)),
        Statement::Empty
        | Statement::Query(_)
        | Statement::CreateTableAs(_)
        | Statement::Insert(_)
        | Statement::Unload(_)
        | Statement::Copy(_)
        | Statement::CopyOut(_)
        | Statement::CopyIn(_)
        | Statement::Delete(_)
        | Statement::Truncate(_)
        | Statement::Optimize(_)
        | Statement::Explain(_)
        | Statement::Prepare { .. }
        | Statement::Execute { .. }
        | Statement::Deallocate { .. }
        | Statement::Declare(_)
        | Statement::Fetch(_)
        | Statement::CloseCursor { .. }
        | Statement::Kill { .. } => Err(Error::internal(format!("not a command: {statement:?}"))),
    }
}

/// The columns of a command's answer, without running it; `None` when it answers with a tag only.
pub fn schema(statement: &Statement) -> Option<SchemaRef> {
    let names: &[&str] = match statement {
        Statement::Crawl { .. } => return Some(answer::crawl_schema()),
        Statement::ShowVersions { .. } => return Some(version::schema()),
        Statement::Report(statement) => return report::schema(statement),
        Statement::Optimize(_) => return Some(crate::write::optimize::schema()),
        Statement::ShowBookmarks => return Some(bookmark::schema()),
        Statement::ShowTableProperties { property: Some(_), .. } => answer::SHOW_PROPERTY,
        Statement::ShowStats { .. } => return Some(show_stats::schema()),
        Statement::ShowDrift { .. } => return Some(drift::schema()),
        Statement::RunCrawler { .. } => return Some(answer::crawled_table_schema()),
        Statement::Dataset(dataset) => match dataset.as_ref() {
            crate::parse::dataset::DatasetStatement::Show { .. } => answer::SHOW_DATASETS,
            crate::parse::dataset::DatasetStatement::ShowCreate { .. } => answer::SHOW_CREATE,
            _ => return None,
        },
        Statement::Schedule(statement) => match statement.as_ref() {
            ScheduleStatement::ShowAll { .. } => return Some(schedule::schedules_schema()),
            ScheduleStatement::ShowCreate { .. } => answer::SHOW_CREATE,
            ScheduleStatement::Run { .. } => schedule::RUN_SCHEDULE,
            _ => return None,
        },
        Statement::ShowCrawlers { .. } => answer::SHOW_CRAWLERS,
        Statement::ShowClassifiers { .. } => answer::SHOW_CLASSIFIERS,
        Statement::ShowCreateCrawler { .. } | Statement::ShowCreateClassifier { .. } => answer::SHOW_CREATE,
        Statement::ShowDatabases { .. } => answer::SHOW_DATABASES,
        Statement::ShowTables { .. } => answer::SHOW_TABLES,
        Statement::ShowColumns { .. } => answer::SHOW_COLUMNS,
        Statement::ShowPartitions { .. } => answer::SHOW_PARTITIONS,
        Statement::ShowCreate { .. } => answer::SHOW_CREATE,
        Statement::ShowTableProperties { .. } => answer::SHOW_PROPERTIES,
        Statement::Describe { .. } => answer::DESCRIBE,
        Statement::Show { name: None } => answer::SHOW_ALL,
        Statement::Show { name: Some(name) } => {
            let name = crate::session::Settings::canonical_name(name);
            return Some(answer::text_schema(&[name.as_str()]));
        }
        _ => return None,
    };
    Some(answer::text_schema(names))
}

/// The catalog's name of a database as a user wrote it: in the `postgres` dialect `public` is `default`.
pub fn resolve_database_name(session: &Session, name: &str) -> String {
    let name = name.to_lowercase();
    match session.settings.dialect() {
        crate::parse::Dialect::Postgres if name == "public" => "default".to_owned(),
        _ => name,
    }
}

/// The full name of a table as a user wrote it: unqualified names are the session's database's.
pub fn resolve_table_name(session: &Session, name: &ObjectName) -> TableName {
    match &name.database {
        Some(database) => TableName::new(&resolve_database_name(session, database), &name.name),
        None => TableName::new(&session.database, &name.name),
    }
}

/// A table or view that must be there.
fn find<'a>(context: &'a CommandContext<'_>, session: &Session, name: &ObjectName) -> Result<&'a Arc<Table>> {
    Ok(context.snapshot.table(&resolve_table_name(session, name))?)
}

/// A table with files that must be there; a view is an error.
fn find_external<'a>(
    context: &'a CommandContext<'_>,
    session: &Session,
    name: &ObjectName,
) -> Result<(&'a Arc<Table>, &'a limnos_catalog::StorageDescriptor)> {
    let table = find(context, session, name)?;
    match &table.kind {
        TableKind::External(storage) => Ok((table, storage)),
        TableKind::View { .. } | TableKind::Dataset(_) => {
            let message = format!("\"{}\" is a {}, not a table", table.name, table.kind.noun());
            Err(Error::new(ErrorCode::WrongObjectType, message))
        }
    }
}

/// A table with partition keys that must be there.
fn find_partitioned<'a>(
    context: &'a CommandContext<'_>,
    session: &Session,
    name: &ObjectName,
) -> Result<(&'a Arc<Table>, &'a limnos_catalog::StorageDescriptor)> {
    let (table, storage) = find_external(context, session, name)?;
    if table.partition_keys.is_empty() {
        let message = format!("table \"{}\" is not partitioned", table.name);
        return Err(Error::new(ErrorCode::WrongObjectType, message));
    }
    Ok((table, storage))
}

/// Makes the changes, for everybody or for the block that the session has open.
async fn commit(context: &CommandContext<'_>, session: &mut Session, changes: Vec<Change>) -> Result<Vec<Notice>> {
    session.change(context.catalog, changes, None).await?;
    Ok(Vec::new())
}

/// What a statement sees now, where it looks again: in a block what that has, else the newest.
fn newest(context: &CommandContext<'_>, session: &Session) -> Arc<Snapshot> {
    session.pinned.clone().unwrap_or_else(|| context.catalog.snapshot())
}

/// `relation "x" already exists, skipping` and the like.
fn skipping(message: &str, sqlstate: &'static str) -> Notice {
    Notice { severity: "NOTICE", sqlstate, message: format!("{message}, skipping") }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
