//! [`Chosen`]: the partitions of one table that a condition on its keys names: what DELETE, TRUNCATE and OPTIMIZE work on.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::sql::sqlparser::ast::{Query, SetExpr};
use limnos_catalog::{Snapshot, StorageDescriptor, Table, TableKind};

use super::plan::resolve_name;
use crate::engine::Shared;
use crate::execute::QueryRun;
use crate::parse::PartitionRows;
use crate::plan::lake::PlanContext;
use crate::plan::query::plan_query;
use crate::prune::{KeptPartitions, Partitions, is_partition_only};
use crate::scan::listing::File;
use crate::scan::schema::table_schema;
use crate::scan::store::Location;
use crate::scan::table::CatalogTable;
use crate::{Error, ErrorCode, Result};

/// See the module.
pub(super) struct Chosen {
    pub(super) shared: Arc<Shared>,
    pub(super) run: Arc<QueryRun>,
    pub(super) table: Arc<Table>,
    pub(super) storage: StorageDescriptor,
    pub(super) location: Arc<Location>,
    pub(super) partitions: Partitions,
    pub(super) kept: KeptPartitions,
    pub(super) state: SessionState,
    /// The rows that are meant.
    pub(super) plan: LogicalPlan,
    /// Whether no row is: the condition is never true.
    pub(super) is_nothing: bool,
}

impl Chosen {
    /// Plans `rows`. `word` is the statement's name.
    ///
    /// # Errors
    /// A view; a condition on columns that are no partition keys.
    pub(super) async fn find(context: PlanContext, rows: &PartitionRows, word: &str) -> Result<Self> {
        let name = resolve_name(&context, &rows.table);
        let table = Arc::clone(context.snapshot.table(&name)?);
        let TableKind::External(storage) = &table.kind else {
            return Err(Error::new(ErrorCode::WrongObjectType, format!("\"{}\" is a view, not a table", table.name)));
        };
        let storage = storage.clone();
        let (shared, run) = (Arc::clone(&context.shared), Arc::clone(&context.run));
        let location = Arc::new(shared.scan.stores.resolve(&storage.location)?);
        let partitions = shared.partitions(&context.snapshot, &table, context.now)?;
        // As in PostgreSQL: whoever deletes where something holds reads what it is said of.
        let own_target = (!has_condition(&rows.query)).then(|| table.name.clone());
        let planned = plan_query(PlanContext { own_target, ..context }, &rows.query).await?;
        let (filters, is_nothing) = conditions(&planned.state.optimize(&planned.plan)?, word)?;
        let keys: HashSet<&str> = table.partition_keys.iter().map(|key| key.name.as_str()).collect();
        if filters.iter().any(|filter| !is_partition_only(filter, &keys)) {
            return Err(only_keys(word, &table));
        }
        let schema = full_schema(&table);
        let kept = partitions.prune(&planned.state, &schema, &filters)?;
        let (plan, state) = (planned.plan, planned.state);
        Ok(Self { shared, run, table, storage, location, partitions, kept, state, plan, is_nothing })
    }

    /// The table for a scan, as `snapshot` sees it.
    pub(super) fn provider(&self, snapshot: &Arc<Snapshot>) -> Result<CatalogTable> {
        CatalogTable::new(
            Arc::clone(snapshot),
            Arc::clone(&self.table),
            self.partitions.clone(),
            Arc::clone(&self.shared.scan),
            Arc::clone(&self.run),
        )
    }

    /// The files of `kept` that `snapshot` sees, by path.
    pub(super) async fn files(&self, snapshot: &Arc<Snapshot>, kept: &KeptPartitions) -> Result<Vec<File>> {
        let mut files = self.provider(snapshot)?.list(self.location.store.as_ref(), &self.location, kept).await?;
        files.sort_by(|a, b| (a.partition, &a.meta.location).cmp(&(b.partition, &b.meta.location)));
        Ok(files)
    }
}

/// The columns of a table, keys last.
pub(super) fn full_schema(table: &Table) -> SchemaRef {
    let (file_schema, keys) = table_schema(table);
    let mut fields: Vec<_> = file_schema.fields().iter().cloned().collect();
    fields.extend(keys);
    Arc::new(Schema::new(fields))
}

/// What an optimised `SELECT * FROM t WHERE ...` filters by, and whether it was found to give nothing.
fn conditions(plan: &LogicalPlan, word: &str) -> Result<(Vec<Expr>, bool)> {
    let mut filters = Vec::new();
    let (mut is_nothing, mut is_plain) = (false, true);
    plan.apply(|node| {
        match node {
            LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_) => {}
            LogicalPlan::Filter(filter) => filters.push(filter.predicate.clone()),
            LogicalPlan::TableScan(scan) => filters.extend(scan.filters.iter().cloned()),
            LogicalPlan::EmptyRelation(_) => is_nothing = true,
            _ => is_plain = false,
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    let has_query = filters.iter().any(|filter| {
        filter
            .exists(|expr| Ok(matches!(expr, Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_))))
            .unwrap_or(true)
    });
    if !is_plain || has_query {
        return Err(Error::unsupported(format!("{word} with a subquery is not supported"))
            .with_hint("Name the partitions by constants."));
    }
    let filters = filters.into_iter().map(datafusion::logical_expr::expr_rewriter::unnormalize_col).collect();
    Ok((filters, is_nothing))
}

fn only_keys(word: &str, table: &Table) -> Error {
    let error = Error::unsupported(format!("{word} by columns that are no partition keys is not supported"))
        .with_detail("Files are taken away as they are; single rows of them are not.");
    if table.partition_keys.is_empty() {
        return error.with_hint(format!("Table \"{}\" is not partitioned: leave out WHERE for all rows, or write the rows to keep with INSERT OVERWRITE.", table.name));
    }
    let keys: Vec<String> = table.partition_keys.iter().map(|key| format!("\"{}\"", key.name)).collect();
    error.with_hint(format!(
        "Partition keys of table \"{}\" are {}; INSERT OVERWRITE writes a partition anew with the rows to keep.",
        table.name,
        keys.join(", ")
    ))
}

/// Whether a `SELECT * FROM table` has a WHERE; anything that isn't one is taken to have.
fn has_condition(query: &Query) -> bool {
    match query.body.as_ref() {
        SetExpr::Select(select) => select.selection.is_some(),
        _ => true,
    }
}
