//! INSERT and CREATE TABLE AS -> [`PlannedWrite`]: the plan whose rows have the table's columns, keys last, and what becomes
//! of them.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::{FieldRef, SchemaRef};
use datafusion::common::{Column as PlanColumn, ScalarValue};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast, lit};
use limnos_catalog::{Column, StorageDescriptor, Table, TableDefinition, TableKind, TableName};

use super::assign::{assign, type_constants};
use super::definition::{self, NewTable};
use crate::error::nearest;
use crate::parse::{Dialect, Insert, ObjectName, Statement};
use crate::plan::lake::PlanContext;
use crate::plan::query::{PlannedQuery, plan_query};
use crate::scan::bookmark::BookmarkRun;
use crate::scan::schema::{arrow_type, table_schema};
use crate::{Error, ErrorCode, Result};

/// A statement that writes, planned and not yet optimised.
pub(crate) struct PlannedWrite {
    /// Its rows: the columns inside the files, then the keys.
    pub(crate) plan: LogicalPlan,
    pub(crate) state: SessionState,
    pub(crate) target: WriteKind,
}

/// What a write makes or fills.
pub(crate) enum WriteKind {
    /// A table that isn't there.
    New(Box<NewTable>),
    /// A table that is there.
    Insert(Box<InsertTarget>),
}

/// The table that INSERT writes into.
pub(crate) struct InsertTarget {
    pub(crate) table: Arc<Table>,
    pub(crate) storage: StorageDescriptor,
    pub(crate) overwrite: bool,
    /// The values of PARTITION (...), if all keys have one.
    pub(crate) partition: Option<Vec<Option<String>>>,
    /// What the rows are read by, where only new files are to be.
    pub(crate) bookmark: Option<Arc<BookmarkRun>>,
}

impl PlannedWrite {
    /// The definition of the table.
    pub(crate) fn definition(&self) -> &TableDefinition {
        match &self.target {
            WriteKind::New(new) => &new.definition,
            WriteKind::Insert(insert) => &insert.table.definition,
        }
    }

    /// What the first line of EXPLAIN says.
    pub(crate) fn headline(&self) -> String {
        match &self.target {
            WriteKind::New(new) => format!("Create table {}", new.name),
            WriteKind::Insert(insert) if insert.overwrite => format!("Insert overwrite on {}", insert.table.name),
            WriteKind::Insert(insert) => format!("Insert on {}", insert.table.name),
        }
    }

    /// The columns inside the files, and the keys.
    pub(crate) fn schema(&self) -> (SchemaRef, Vec<FieldRef>) {
        table_schema(self.definition())
    }
}

/// The full name of a table as the statement wrote it.
pub(crate) fn resolve_name(context: &PlanContext, name: &ObjectName) -> TableName {
    match &name.database {
        Some(database) if context.dialect == Dialect::Postgres && database.eq_ignore_ascii_case("public") => {
            TableName::new("default", &name.name)
        }
        Some(database) => TableName::new(database, &name.name),
        None => TableName::new(&context.database, &name.name),
    }
}

/// Plans a statement that writes rows.
///
/// # Errors
/// Names that don't exist, columns that don't fit, tables that can't be written.
pub(crate) async fn plan_write(context: PlanContext, statement: &Statement) -> Result<PlannedWrite> {
    match statement {
        Statement::Insert(insert) => plan_insert(context, insert).await,
        Statement::CreateTableAs(create) => definition::plan_create(context, create).await,
        _ => Err(Error::internal("not a statement that writes")),
    }
}

/// The run of the bookmark that the statement names.
fn bookmark(context: &PlanContext, insert: &Insert) -> Result<Option<Arc<BookmarkRun>>> {
    let mut name = None;
    let mut source = None;
    for (property, value) in &insert.properties {
        let text = value.values.first().cloned().unwrap_or_default();
        match property.as_str() {
            "bookmark" => name = Some(text),
            "bookmark_source" => {
                let (database, table) = match text.split_once('.') {
                    Some((database, table)) => (Some(database.to_lowercase()), table),
                    None => (None, text.as_str()),
                };
                source = Some(resolve_name(context, &ObjectName { database, name: table.to_lowercase() }));
            }
            other => {
                return Err(Error::new(
                    ErrorCode::InvalidParameterValue,
                    format!("property \"{other}\" of INSERT does not exist"),
                )
                .with_hint("Properties are bookmark and bookmark_source.")
                .at(value.position));
            }
        }
    }
    let Some(name) = name.filter(|name| !name.is_empty()) else {
        if insert.properties.is_empty() {
            return Ok(None);
        }
        return Err(Error::syntax("the property bookmark needs a name"));
    };
    if insert.overwrite {
        return Err(Error::unsupported("INSERT OVERWRITE with a bookmark is not supported")
            .with_detail("It would replace the rows of earlier runs by those of new files."));
    }
    let known = context.shared.catalog.bookmark_files(&name)?;
    Ok(Some(Arc::new(BookmarkRun::new(&name, source, known))))
}

async fn plan_insert(context: PlanContext, insert: &Insert) -> Result<PlannedWrite> {
    let (table, storage) = writable(&context, &insert.table)?;
    let fixed = fixed_values(&table, insert)?;
    let targets = target_columns(&table, insert)?;
    let mut query = insert.query.clone();
    type_constants(&mut query, &targets);
    let dialect = context.dialect;
    let bookmark = bookmark(&context, insert)?;
    let planned = plan_query(PlanContext { bookmark: bookmark.clone(), ..context }, &query).await?;
    if let Some(bookmark) = &bookmark {
        bookmark.source()?;
    }
    let count = planned.plan.schema().fields().len();
    if count > targets.len() {
        return Err(Error::syntax("INSERT has more expressions than target columns").with_detail(counts(
            &table,
            targets.len(),
            count,
        )));
    }
    // PostgreSQL leaves the last columns NULL. Of a partitioned table they are the keys, and Athena refuses it always.
    let may_be_short = insert.columns.is_empty() && dialect == Dialect::Postgres && table.partition_keys.is_empty();
    if count < targets.len() && !may_be_short {
        return Err(Error::syntax("INSERT has more target columns than expressions").with_detail(counts(
            &table,
            targets.len(),
            count,
        )));
    }
    let PlannedQuery { plan, state, .. } = planned;
    let sources = plan.schema().columns();
    let mut exprs = Vec::with_capacity(table.columns.len() + table.partition_keys.len());
    for column in table.columns.iter().chain(&table.partition_keys) {
        let source = targets.iter().position(|target| target.name == column.name).filter(|index| *index < count);
        let expr = match (source, fixed.iter().find(|(key, _)| *key == column.name)) {
            (Some(index), _) => assign(Expr::Column(sources[index].clone()), plan.schema().field(index), column)?,
            (None, Some((_, Some(value)))) => cast(lit(value.as_str()), arrow_type(&column.data_type)),
            (None, _) => cast(lit(ScalarValue::Null), arrow_type(&column.data_type)),
        };
        exprs.push(expr.alias(&column.name));
    }
    let plan = LogicalPlanBuilder::from(plan).project(exprs)?.build()?;
    let plan = super::order::sorted(plan, &table)?;
    let is_whole = !fixed.is_empty() && fixed.len() == table.partition_keys.len();
    let values = |key: &Column| fixed.iter().find(|(name, _)| *name == key.name).and_then(|(_, value)| value.clone());
    let partition = is_whole.then(|| table.partition_keys.iter().map(values).collect());
    let target = InsertTarget { table, storage, overwrite: insert.overwrite, partition, bookmark };
    Ok(PlannedWrite { plan, state, target: WriteKind::Insert(Box::new(target)) })
}

fn counts(table: &Table, targets: usize, expressions: usize) -> String {
    let columns: Vec<&str> =
        table.columns.iter().chain(&table.partition_keys).map(|column| column.name.as_str()).collect();
    format!(
        "The query gives {expressions} of {targets} columns; table \"{}\" has ({}).",
        table.name,
        columns.join(", ")
    )
}

/// A table whose files can be written.
pub(super) fn writable(context: &PlanContext, name: &ObjectName) -> Result<(Arc<Table>, StorageDescriptor)> {
    let full_name = resolve_name(context, name);
    if ["pg_catalog", "information_schema", "system"].contains(&full_name.database.as_str())
        && context.snapshot.find_table(&full_name).is_none()
    {
        let message = format!("permission denied: \"{}\" is a system catalog", full_name.name);
        return Err(Error::new(ErrorCode::InsufficientPrivilege, message));
    }
    let table = context.snapshot.table(&full_name)?;
    match &table.kind {
        TableKind::External(storage) => Ok((Arc::clone(table), storage.clone())),
        TableKind::View { .. } | TableKind::Dataset(_) => {
            let (noun, is_dataset) = (table.kind.noun(), table.kind.dataset().is_some());
            if is_dataset {
                // PostgreSQL's words.
                let message = format!("cannot change {noun} \"{}\"", table.name.name);
                return Err(Error::new(ErrorCode::WrongObjectType, message)
                    .with_hint("Insert into the table that it reads, and refresh it."));
            }
            let message = format!("cannot insert into view \"{}\"", table.name);
            Err(Error::new(ErrorCode::ObjectNotInPrerequisiteState, message)
                .with_hint("Insert into the table that it reads."))
        }
    }
}

/// The values that PARTITION (...) fixes.
fn fixed_values(table: &Table, insert: &Insert) -> Result<Vec<(String, Option<String>)>> {
    if insert.partition.is_empty() {
        return Ok(Vec::new());
    }
    let mut seen = HashSet::new();
    for (name, _) in &insert.partition {
        if !table.partition_keys.iter().any(|key| key.name == *name) {
            let message = format!("\"{name}\" is not a partition key of table \"{}\"", table.name);
            return Err(Error::new(ErrorCode::UndefinedColumn, message));
        }
        if !seen.insert(name) {
            let message = format!("partition key \"{name}\" specified more than once");
            return Err(Error::new(ErrorCode::DuplicateColumn, message));
        }
    }
    if let Some(missing) = table.partition_keys.iter().find(|key| !seen.contains(&key.name)) {
        let message = format!("partition key \"{}\" is missing in PARTITION", missing.name);
        return Err(Error::new(ErrorCode::InvalidStatement, message)
            .with_hint("Name all keys; those without a value are the query's last columns."));
    }
    Ok(insert.partition.iter().filter_map(|(name, value)| Some((name.clone(), value.clone()?))).collect())
}

/// The columns that the query's are for, in its order.
pub(super) fn target_columns<'a>(table: &'a Table, insert: &Insert) -> Result<Vec<&'a Column>> {
    let is_fixed = |name: &str| insert.partition.iter().any(|(key, value)| key == name && value.is_some());
    let find = |name: &str| table.columns.iter().chain(&table.partition_keys).find(|column| column.name == name);
    if insert.columns.is_empty() {
        let mut targets: Vec<&Column> = table.columns.iter().collect();
        if insert.partition.is_empty() {
            targets.extend(&table.partition_keys);
        } else {
            let open = insert.partition.iter().filter(|(_, value)| value.is_none());
            targets.extend(open.filter_map(|(key, _)| find(key)));
        }
        return Ok(targets);
    }
    let mut targets = Vec::with_capacity(insert.columns.len());
    let mut seen = HashSet::new();
    for (name, position) in &insert.columns {
        let Some(column) = find(name) else {
            let message = format!("column \"{name}\" of relation \"{}\" does not exist", table.name.name);
            let mut error = Error::new(ErrorCode::UndefinedColumn, message).at(*position);
            let all = table.columns.iter().chain(&table.partition_keys).map(|column| column.name.as_str());
            if let Some(near) = nearest(name, all) {
                error = error.with_hint(format!("Did you mean \"{near}\"?"));
            }
            return Err(error);
        };
        if is_fixed(name) {
            let message = format!("partition key \"{name}\" has its value in PARTITION");
            return Err(Error::new(ErrorCode::DuplicateColumn, message).at(*position));
        }
        if !seen.insert(name) {
            let message = format!("column \"{name}\" specified more than once");
            return Err(Error::new(ErrorCode::DuplicateColumn, message).at(*position));
        }
        targets.push(column);
    }
    Ok(targets)
}

/// `columns` of a plan under the names and types of a table's.
pub(crate) fn as_columns(plan: LogicalPlan, columns: &[&Column]) -> Result<LogicalPlan> {
    let sources: Vec<PlanColumn> = plan.schema().columns();
    let exprs = sources.into_iter().enumerate().zip(columns).map(|((index, source), column)| {
        let wanted = arrow_type(&column.data_type);
        let expr = Expr::Column(source);
        let expr = if *plan.schema().field(index).data_type() == wanted { expr } else { cast(expr, wanted) };
        expr.alias(&column.name)
    });
    let exprs: Vec<Expr> = exprs.collect();
    Ok(LogicalPlanBuilder::from(plan).project(exprs)?.build()?)
}
