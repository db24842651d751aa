//! What an aggregation asks of the scan that it stands for.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::physical_plan::ExecutionPlan;
use datafusion_datasource::source::{DataSource, DataSourceExec};
use limnos_columnar::{Chunk, Filter, Selection, Table};

use crate::dataset::predicate::rows_error;
use crate::dataset::source::DatasetSource;

/// A scan of a dataset.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) table: Table,
    /// The table's column of each of the scan's.
    pub(super) columns: Vec<usize>,
    filter: Filter,
}

impl Scan {
    /// `plan`, if it is a scan of a dataset that gives all rows that its filter lets through. What joins above have learned may be
    /// left out: rows that they don't need are groups that they don't need.
    pub(super) fn of(plan: &Arc<dyn ExecutionPlan>) -> Option<Self> {
        let source = plan.downcast_ref::<DataSourceExec>()?.data_source().downcast_ref::<DatasetSource>()?;
        if source.fetch().is_some() {
            return None;
        }
        let (table, columns) = (source.table().clone(), source.columns().to_vec());
        Some(Self { table, columns, filter: source.filter().ok()? })
    }

    /// The rows of a chunk that the filter lets through.
    pub(super) fn select(&self, chunk: &Chunk) -> Result<Selection> {
        self.filter.select(chunk).map_err(rows_error)
    }
}
