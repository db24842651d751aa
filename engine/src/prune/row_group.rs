//! Which files, by what is known of them, and which row groups a predicate can't exclude.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::DFSchema;
use datafusion::error::Result;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::utils::conjunction;
use datafusion::physical_expr::{conjunction_opt, split_conjunction};
use datafusion::physical_optimizer::pruning::{PruningPredicate, PruningPredicateBuilder};
use limnos_catalog::FileFacts;
use parquet::file::metadata::ParquetMetaData;

use super::partition::MAX_IN_LIST;
use crate::scan::facts::statistics::FileBounds;
use crate::scan::parquet::RowGroupStatistics;

/// Which of `files` stay under `filters`, in one evaluation over all of them. What isn't known stays.
pub(crate) fn prune_files(
    state: &dyn datafusion::catalog::Session,
    files: &[Option<Arc<FileFacts>>],
    file_schema: &Schema,
    table_schema: &SchemaRef,
    filters: &[Expr],
) -> Result<Vec<bool>> {
    let Some(predicate) = pruning_predicate(state, table_schema, filters)? else {
        return Ok(vec![true; files.len()]);
    };
    predicate.prune(&FileBounds { files, schema: file_schema })
}

/// `None`: nothing in the filters can be decided from bounds.
fn pruning_predicate(
    state: &dyn datafusion::catalog::Session,
    table_schema: &SchemaRef,
    filters: &[Expr],
) -> Result<Option<Arc<PruningPredicate>>> {
    let Some(filter) = conjunction(filters.iter().cloned()) else { return Ok(None) };
    let expr = state.create_physical_expr(filter, &DFSchema::try_from(Arc::clone(table_schema))?)?;
    let conditions: Vec<_> = split_conjunction(&expr).into_iter().cloned().collect();
    let decidable = super::decidable(&conditions, table_schema);
    let conditions = conditions.into_iter().zip(decidable).filter(|(_, decidable)| *decidable);
    let Some(expr) = conjunction_opt(conditions.map(|(condition, _)| condition)) else { return Ok(None) };
    Ok(PruningPredicateBuilder::new()
        .with_file_schema(Arc::clone(table_schema))
        .with_max_in_list_size(MAX_IN_LIST)
        .build(expr))
}

/// How many row groups each of `files` keeps under `filters`, in one evaluation over all of them.
pub(crate) fn prune_row_groups(
    state: &dyn datafusion::catalog::Session,
    files: &[Arc<ParquetMetaData>],
    file_schema: &Schema,
    table_schema: &SchemaRef,
    filters: &[Expr],
) -> Result<Vec<usize>> {
    let all = || files.iter().map(|metadata| metadata.num_row_groups()).collect();
    let Some(predicate) = pruning_predicate(state, table_schema, filters)? else {
        return Ok(all());
    };
    let mut keep = predicate.prune(&RowGroupStatistics::new(files, file_schema)?)?.into_iter();
    Ok(files
        .iter()
        .map(|metadata| keep.by_ref().take(metadata.num_row_groups()).filter(|&kept| kept).count())
        .collect())
}
