//! [`Filtered`]: which row groups of a file a scan will read whole, found as DataFusion's scan finds it when it opens the file.
//!
//! The same filter, made to fit the file in the same way, is asked of the same statistics and page indexes by the same code. What
//! is not decided by them alone (bloom filters) is left open.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, ScalarValue, Statistics};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::{
    Int96Coercer, PagePruningAccessPlanFilter, ParquetAccessPlan, ParquetFileMetrics, RowGroupAccess,
    RowGroupAccessPlanFilter, apply_file_schema_type_coercions,
};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::Result;
use datafusion::physical_expr::expressions::DynamicFilterTracking;
use datafusion::physical_expr::{PhysicalExpr, PhysicalExprSimplifier};
use datafusion::physical_expr_adapter::{PhysicalExprAdapterFactory, replace_columns_with_literals};
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::file::metadata::ParquetMetaData;

use super::CaseInsensitiveAdapterFactory;
use crate::prune::MAX_IN_LIST;

/// What becomes of a row group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// All pages of the columns that are read.
    Whole,
    /// Nothing of it.
    Skipped,
    /// Some pages, or it isn't certain.
    Open,
}

/// A scan's filter. See the module.
#[derive(Debug)]
pub(crate) struct Filtered {
    pub(crate) filter: Arc<dyn PhysicalExpr>,
    pub(crate) table_schema: TableSchema,
}

impl Filtered {
    /// What becomes of each row group of `file`, whose footer is `metadata`; `None` while the filter may still change, and
    /// where it can't be told.
    pub(super) fn access(&self, file: &PartitionedFile, metadata: &Arc<ParquetMetaData>) -> Option<Arc<[Access]>> {
        if matches!(DynamicFilterTracking::classify(&self.filter), DynamicFilterTracking::Watching(_)) {
            return None;
        }
        self.plan(file, metadata).ok().map(Arc::from)
    }

    fn plan(&self, file: &PartitionedFile, metadata: &Arc<ParquetMetaData>) -> Result<Vec<Access>> {
        let logical = self.table_schema.file_schema();
        let reader = ArrowReaderMetadata::try_new(Arc::clone(metadata), ArrowReaderOptions::new())?;
        let mut physical: SchemaRef = Arc::clone(reader.schema());
        if let Some(coerced) = apply_file_schema_type_coercions(logical, &physical) {
            physical = Arc::new(coerced);
        }
        if let Some(coerced) = Int96Coercer::new(reader.parquet_schema(), &physical, &TimeUnit::Microsecond).coerce() {
            physical = Arc::new(coerced);
        }
        let filter = replace_columns_with_literals(Arc::clone(&self.filter), &self.known_values(file))?;
        let adapter = CaseInsensitiveAdapterFactory.create(Arc::clone(logical), Arc::clone(&physical))?;
        let filter = PhysicalExprSimplifier::new(&physical).simplify(adapter.rewrite(filter)?)?;

        let groups = metadata.row_groups();
        let metrics = ParquetFileMetrics::new(0, "", &ExecutionPlanMetricsSet::new());
        let mut kept = RowGroupAccessPlanFilter::new(ParquetAccessPlan::new_all(groups.len()));
        let predicate = PruningPredicateBuilder::new()
            .with_file_schema(Arc::clone(&physical))
            .with_max_in_list_size(MAX_IN_LIST)
            .build(Arc::clone(&filter));
        if let Some(predicate) = predicate {
            kept.prune_by_statistics(&physical, reader.parquet_schema(), groups, &predicate, &metrics);
        }
        let pages = PagePruningAccessPlanFilter::new(&filter, Arc::clone(&physical));
        let plan = kept.build();
        let plan = pages.prune_plan_with_page_index(plan, &physical, reader.parquet_schema(), metadata, &metrics);
        let access = plan.inner().iter().zip(groups).map(|(access, group)| match access {
            RowGroupAccess::Skip => Access::Skipped,
            RowGroupAccess::Scan if group.columns().iter().all(|column| column.bloom_filter_offset().is_none()) => {
                Access::Whole
            }
            RowGroupAccess::Scan | RowGroupAccess::Selection(_) => Access::Open,
        });
        Ok(access.collect())
    }

    /// The values of columns that have one in all rows of `file`: its keys, and what statistics say.
    fn known_values(&self, file: &PartitionedFile) -> HashMap<String, ScalarValue> {
        let keys = self.table_schema.table_partition_cols().iter().zip(&file.partition_values);
        let mut values: HashMap<_, _> = keys.map(|(key, value)| (key.name().clone(), value.clone())).collect();
        if let Some(statistics) = file.statistics.as_deref() {
            for (index, field) in self.table_schema.file_schema().fields().iter().enumerate() {
                if let Some(value) = only_value(statistics, index, field.data_type()) {
                    values.insert(field.name().clone(), value);
                }
            }
        }
        values
    }
}

/// The value that a column has in all rows of a file, as DataFusion's scan finds it: it puts that in, and doesn't read the
/// column.
pub(super) fn only_value(statistics: &Statistics, column: usize, data_type: &DataType) -> Option<ScalarValue> {
    let ColumnStatistics { min_value, max_value, null_count, .. } = statistics.column_statistics.get(column)?;
    if let (Precision::Exact(min), Precision::Exact(max), Precision::Exact(0)) = (min_value, max_value, null_count)
        && min == max
        && !min.is_null()
    {
        return min.cast_to(data_type).ok();
    }
    match (&statistics.num_rows, null_count) {
        (Precision::Exact(rows), Precision::Exact(nulls)) if rows == nulls => ScalarValue::try_new_null(data_type).ok(),
        _ => None,
    }
}
