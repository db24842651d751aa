//! [`DatasetTable`]: one version of a dataset's rows as DataFusion scans it.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;

use super::ingest::columnar_error;
use crate::error::to_datafusion;

/// See the module.
#[derive(Debug)]
pub(crate) struct DatasetTable {
    rows: limnos_columnar::Table,
}

impl DatasetTable {
    pub(crate) fn new(_name: &str, rows: limnos_columnar::Table) -> Self {
        Self { rows }
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

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let batches = self.rows.batches().collect::<limnos_columnar::Result<Vec<RecordBatch>>>();
        let batches = batches.map_err(|error| to_datafusion(columnar_error(error)))?;
        Ok(MemorySourceConfig::try_new_exec(&[batches], self.schema(), projection.cloned())?)
    }
}
