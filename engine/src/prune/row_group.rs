//! Which row groups of many files a predicate can't exclude.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::DFSchema;
use datafusion::error::Result;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::utils::conjunction;
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use parquet::file::metadata::ParquetMetaData;

use super::partition::MAX_IN_LIST;
use crate::scan::parquet::RowGroupStatistics;

/// How many row groups each of `files` keeps under `filters`, in one evaluation over all of them.
pub(crate) fn prune_row_groups(
    state: &dyn datafusion::catalog::Session,
    files: &[Arc<ParquetMetaData>],
    file_schema: &Schema,
    table_schema: &SchemaRef,
    filters: &[Expr],
) -> Result<Vec<usize>> {
    let all = || files.iter().map(|metadata| metadata.num_row_groups()).collect();
    let Some(filter) = conjunction(filters.iter().cloned()) else {
        return Ok(all());
    };
    let expr = state.create_physical_expr(filter, &DFSchema::try_from(Arc::clone(table_schema))?)?;
    let predicate = PruningPredicateBuilder::new()
        .with_file_schema(Arc::clone(table_schema))
        .with_max_in_list_size(MAX_IN_LIST)
        .build(expr);
    // None: nothing in it can be decided from bounds.
    let Some(predicate) = predicate else {
        return Ok(all());
    };
    let mut keep = predicate.prune(&RowGroupStatistics::new(files, file_schema)?)?.into_iter();
    Ok(files
        .iter()
        .map(|metadata| keep.by_ref().take(metadata.num_row_groups()).filter(|&kept| kept).count())
        .collect())
}
