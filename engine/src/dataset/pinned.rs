//! [`PinnedDataset`]: one version of a dataset as DataFusion scans it in one query; [`PinnedDatasets`]: the versions that a
//! transaction block has seen are those that it sees to its end.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{ScanArgs, ScanResult, Session, TableProvider};
use datafusion::common::Statistics;
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use limnos_catalog::{Table, TableName};
use parking_lot::Mutex;

use super::kept::{Datasets, Loaded};
use super::provider::DatasetTable;
use crate::Result;

/// See the module.
#[derive(Debug)]
pub(crate) struct PinnedDataset {
    rows: DatasetTable,
    pub(crate) name: TableName,
    pub(crate) id: i64,
    pub(crate) loaded: Arc<Loaded>,
}

impl PinnedDataset {
    pub(crate) fn new(table: &Table, loaded: Arc<Loaded>) -> Self {
        let rows = DatasetTable::new(&table.name.to_string(), loaded.table.clone());
        Self { rows, name: table.name.clone(), id: table.id, loaded }
    }

    /// What EXPLAIN says of it.
    pub(crate) fn line(&self) -> String {
        let at = chrono::DateTime::from_timestamp_millis(self.loaded.refreshed_at_ms).unwrap_or_default();
        let (rows, bytes) = (self.loaded.table.rows(), self.loaded.table.memory_bytes());
        format!(
            "Dataset {}: version {} of {}, {rows} rows, {bytes} bytes in memory",
            self.name,
            self.loaded.version,
            at.format("%Y-%m-%d %H:%M:%S UTC")
        )
    }
}

#[async_trait]
impl TableProvider for PinnedDataset {
    fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }

    fn table_type(&self) -> TableType {
        self.rows.table_type()
    }

    fn statistics(&self) -> Option<Statistics> {
        self.rows.statistics()
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        self.rows.scan(state, projection, filters, limit).await
    }

    async fn scan_with_args<'a>(&self, state: &dyn Session, args: ScanArgs<'a>) -> DataFusionResult<ScanResult> {
        self.rows.scan_with_args(state, args).await
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> DataFusionResult<Vec<TableProviderFilterPushDown>> {
        self.rows.supports_filters_pushdown(filters)
    }
}

/// See the module. By the datasets' ids.
#[derive(Debug, Default)]
pub(crate) struct PinnedDatasets(Mutex<HashMap<i64, Arc<Loaded>>>);

impl PinnedDatasets {
    /// The version of `table` that the block sees: the newest when it first looked.
    pub(crate) async fn open(&self, datasets: &Datasets, table: &Table) -> Result<Arc<Loaded>> {
        if let Some(loaded) = self.0.lock().get(&table.id) {
            return Ok(Arc::clone(loaded));
        }
        let loaded = datasets.open(table).await?;
        Ok(Arc::clone(self.0.lock().entry(table.id).or_insert(loaded)))
    }
}
