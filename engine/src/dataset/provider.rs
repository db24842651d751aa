//! [`DatasetTable`]: one version of a dataset's rows as DataFusion scans it.
//!
//! Filters are taken over whole: whatever can be evaluated on a row is by the scan ([`super::predicate`]), on codes where it can
//! be, so a plan has neither a filter above the scan nor columns that only the filter needs.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{DFSchema, Statistics};
use datafusion::error::Result;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::split_conjunction;
use datafusion::physical_plan::ExecutionPlan;
use datafusion_datasource::source::DataSourceExec;
use limnos_columnar::Table;

use super::source::DatasetSource;
use super::statistics::exact_statistics;

/// See the module.
#[derive(Debug)]
pub(crate) struct DatasetTable {
    name: Arc<str>,
    rows: Table,
}

impl DatasetTable {
    /// The rows of a dataset, under the name that EXPLAIN shows.
    pub(crate) fn new(name: &str, rows: Table) -> Self {
        Self { name: name.into(), rows }
    }
}

#[async_trait]
impl TableProvider for DatasetTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.rows.schema())
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let takes = |filter: &&Expr| match is_of_the_row(filter) {
            true => TableProviderFilterPushDown::Exact,
            false => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(takes).collect())
    }

    fn statistics(&self) -> Option<Statistics> {
        let columns: Vec<usize> = (0..self.rows.schema().fields().len()).collect();
        exact_statistics(&self.rows, &columns).ok()
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let columns = projection.cloned().unwrap_or_else(|| (0..self.rows.schema().fields().len()).collect());
        let filters = match conjunction(filters.iter().cloned()) {
            None => Vec::new(),
            Some(filter) => {
                let schema = DFSchema::try_from(self.schema())?;
                let filter = state.create_physical_expr(filter, &schema)?;
                split_conjunction(&filter).into_iter().cloned().collect()
            }
        };
        let partitions = state.config().target_partitions();
        let source =
            DatasetSource::new(Arc::clone(&self.name), self.rows.clone(), columns, filters, limit, partitions)?;
        Ok(DataSourceExec::from_data_source(source))
    }
}

/// Whether a filter depends on nothing but the row.
fn is_of_the_row(filter: &Expr) -> bool {
    let depends_on_more = filter.exists(|expr| {
        let is_query = matches!(
            expr,
            Expr::ScalarSubquery(_)
                | Expr::Exists(_)
                | Expr::InSubquery(_)
                | Expr::SetComparison(_)
                | Expr::Placeholder(_)
        );
        Ok(is_query || expr.is_volatile_node() || matches!(expr, Expr::OuterReferenceColumn(..)))
    });
    !depends_on_more.unwrap_or(true)
}
