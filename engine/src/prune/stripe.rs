//! [`StripePruner`]: which stripes of a file, or the like, a scan's predicate excludes while the query runs.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::physical_expr::{PhysicalExpr, conjunction_opt, split_conjunction};
use datafusion::physical_expr_common::physical_expr::{snapshot_generation, snapshot_physical_expr};
use datafusion::physical_optimizer::pruning::{PruningPredicate, PruningPredicateBuilder};
use limnos_catalog::FileFacts;

use super::decidable;
use super::partition::MAX_IN_LIST;
use crate::scan::facts::statistics::FileBounds;

/// Holds the predicate as it was when it was asked last: joins and top-Ns make theirs narrower as they learn.
#[derive(Debug)]
pub(crate) struct StripePruner {
    predicate: Arc<dyn PhysicalExpr>,
    table_schema: SchemaRef,
    file_schema: SchemaRef,
    generation: Option<u64>,
    /// `None`: nothing in it can be decided from bounds.
    pruning: Option<Arc<PruningPredicate>>,
}

impl StripePruner {
    /// For `predicate` over the columns of `table_schema`, of which those of `file_schema` are inside files.
    pub(crate) fn new(predicate: Arc<dyn PhysicalExpr>, table_schema: SchemaRef, file_schema: SchemaRef) -> Self {
        Self { predicate, table_schema, file_schema, generation: None, pruning: None }
    }

    /// Whether a stripe may have a row that passes. One of which nothing is known may.
    pub(crate) fn keeps(&mut self, facts: Option<Arc<FileFacts>>) -> bool {
        if facts.is_none() {
            return true;
        }
        let generation = snapshot_generation(&self.predicate);
        if self.generation != Some(generation) {
            self.generation = Some(generation);
            self.pruning = self.build();
        }
        let Some(pruning) = &self.pruning else { return true };
        let keep = pruning.prune(&FileBounds { files: &[facts], schema: &self.file_schema });
        keep.ok().and_then(|keep| keep.first().copied()).unwrap_or(true)
    }

    fn build(&self) -> Option<Arc<PruningPredicate>> {
        let now = snapshot_physical_expr(Arc::clone(&self.predicate)).ok()?;
        let conditions: Vec<_> = split_conjunction(&now).into_iter().cloned().collect();
        let decidable = decidable(&conditions, &self.table_schema);
        let conditions = conditions.into_iter().zip(decidable).filter(|(_, decidable)| *decidable);
        let expr = conjunction_opt(conditions.map(|(condition, _)| condition))?;
        PruningPredicateBuilder::new()
            .with_file_schema(Arc::clone(&self.table_schema))
            .with_max_in_list_size(MAX_IN_LIST)
            .build(expr)
    }
}
