//! [`KnownRows`]: the rows of files whose count is known, for a query that asks for partition keys only. No file is opened.
//!
//! `SELECT DISTINCT dt`, `count(*) ... GROUP BY dt`: each file is as many rows of its keys' values as it has.

use std::fmt;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{ScalarValue, Statistics};
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PhysicalExpr, PlanProperties,
    ReplaceChildrenOptions, SendableRecordBatchStream,
};
use futures::stream;

/// A file: its rows, and the values of the wanted keys in all of them.
#[derive(Debug, Clone)]
pub(crate) struct KnownFile {
    pub(crate) row_count: u64,
    pub(crate) values: Vec<ScalarValue>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct KnownRows {
    table: String,
    schema: SchemaRef,
    /// One list for each partition of the plan.
    partitions: Vec<Arc<[KnownFile]>>,
    statistics: Statistics,
    properties: Arc<PlanProperties>,
}

impl KnownRows {
    /// The rows of `files` as `schema` has them, in at most `partition_count` streams of about equal length.
    pub(crate) fn new(
        table: String,
        schema: SchemaRef,
        files: Vec<KnownFile>,
        statistics: Statistics,
        partition_count: usize,
    ) -> Self {
        let count = partition_count.clamp(1, files.len().max(1));
        let mut partitions: Vec<(u64, Vec<KnownFile>)> = vec![(0, Vec::new()); count];
        for file in files {
            let lightest = partitions.iter_mut().min_by_key(|(rows, _)| *rows).expect("there is at least one");
            lightest.0 = lightest.0.saturating_add(file.row_count);
            lightest.1.push(file);
        }
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(count),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        let partitions = partitions.into_iter().map(|(_, files)| files.into()).collect();
        Self { table, schema, partitions, statistics, properties: Arc::new(properties) }
    }
}

impl DisplayAs for KnownRows {
    fn fmt_as(&self, _display: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files: usize = self.partitions.iter().map(|files| files.len()).sum();
        write!(f, "KnownRows: table={}, files={files}", self.table)
    }
}

impl ExecutionPlan for KnownRows {
    fn name(&self) -> &'static str {
        "KnownRows"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let rows_max = context.session_config().batch_size().max(1);
        let (files, schema) = (Arc::clone(&self.partitions[partition]), Arc::clone(&self.schema));
        let rows = Rows { files, schema: Arc::clone(&schema), next: 0, left: 0, batch: None, rows_max };
        let batches = stream::unfold(rows, |mut rows| async move {
            let batch = rows.next_batch().transpose()?;
            // Constants cost nothing: without this a billion of them would never let their thread go.
            tokio::task::consume_budget().await;
            Some((batch, rows))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }

    fn statistics_from_inputs(&self, _inputs: &[Arc<Statistics>], args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        let Some(partition) = args.partition() else { return Ok(Arc::new(self.statistics.clone())) };
        let rows = self.partitions[partition].iter().fold(0_u64, |sum, file| sum.saturating_add(file.row_count));
        let mut statistics = Statistics::new_unknown(&self.schema);
        statistics.num_rows = Precision::Exact(usize::try_from(rows).unwrap_or(usize::MAX));
        Ok(Arc::new(statistics))
    }
}

/// Where a stream stands.
struct Rows {
    files: Arc<[KnownFile]>,
    schema: SchemaRef,
    /// The file after the one that is being told.
    next: usize,
    /// Rows of this one that are left.
    left: u64,
    /// A full batch of this file, which all its batches share.
    batch: Option<RecordBatch>,
    rows_max: usize,
}

impl Rows {
    fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        while self.left == 0 {
            let Some(file) = self.files.get(self.next) else { return Ok(None) };
            self.next += 1;
            self.left = file.row_count;
            let rows = usize::try_from(file.row_count).unwrap_or(usize::MAX).min(self.rows_max);
            let columns = file.values.iter().map(|value| value.to_array_of_size(rows)).collect::<Result<Vec<_>>>()?;
            let options = RecordBatchOptions::new().with_row_count(Some(rows));
            self.batch = Some(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?);
        }
        let Some(batch) = &self.batch else { return Ok(None) };
        let rows = usize::try_from(self.left).unwrap_or(usize::MAX).min(batch.num_rows());
        self.left -= rows as u64;
        Ok(Some(batch.slice(0, rows)))
    }
}
