//! [`CodeAggregateExec`]: an aggregation of a dataset, in one piece.
//!
//! It stands in the place of a final aggregation, a repartitioning and a partial one. Threads take chunks from the dataset that
//! the scan below names (the scan itself isn't run); one row for each group comes out, in one partition, whose order is that of
//! the keys' codes.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use datafusion::common::Result;
use datafusion::common::runtime::SpawnedTask;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, SchedulingType};
use datafusion::physical_plan::metrics::{
    BaselineMetrics, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet, RecordOutput,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PhysicalExpr, PlanProperties,
    ReplaceChildrenOptions, SendableRecordBatchStream,
};
use futures::{StreamExt, TryStreamExt, stream};

use super::worker::{Aggregation, Part, Run};

/// See the module.
#[derive(Debug)]
pub(crate) struct CodeAggregateExec {
    aggregation: Arc<Aggregation>,
    /// What this stands for, whose schema it has, and whose accumulators.
    aggregate: AggregateExec,
    /// The scan of the dataset.
    scan: Arc<dyn ExecutionPlan>,
    /// The keys, as EXPLAIN shows them.
    key_names: Vec<String>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl CodeAggregateExec {
    /// In the place of `aggregate`, whose schema is that of its final step.
    pub(super) fn new(
        aggregation: Aggregation,
        aggregate: AggregateExec,
        key_names: Vec<String>,
        scan: Arc<dyn ExecutionPlan>,
    ) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(aggregate.schema()),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        )
        .with_scheduling_type(SchedulingType::Cooperative);
        Self {
            aggregation: Arc::new(aggregation),
            aggregate,
            scan,
            key_names,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }
}

impl DisplayAs for CodeAggregateExec {
    fn fmt_as(&self, _display: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.key_names.join(", ");
        write!(f, "DatasetAggregate: keys=[{keys}] groups<={}", self.aggregation.space.groups())?;
        let aggregates: Vec<&str> = self.aggregate.aggr_expr().iter().map(|expr| expr.name()).collect();
        write!(f, ", aggregates=[{}]", aggregates.join(", "))
    }
}

impl ExecutionPlan for CodeAggregateExec {
    fn name(&self) -> &'static str {
        "CodeAggregateExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.scan]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        let mut recursion = TreeNodeRecursion::Continue;
        for expr in &self.aggregation.computed {
            recursion = recursion.visit_sibling(|| f(expr))?;
        }
        Ok(recursion)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let [scan] = <[Arc<dyn ExecutionPlan>; 1]>::try_from(children)
            .map_err(|_| DataFusionError::Internal("an aggregation of a dataset has one child".to_owned()))?;
        if Arc::ptr_eq(&scan, &self.scan) {
            return Ok(self);
        }
        // Whatever became of the scan: it is the same dataset and filter, or else DataFusion aggregates it.
        super::rule::with_scan(&self.aggregate, scan)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let baseline = BaselineMetrics::new(&self.metrics, partition);
        let run = Arc::new(Run {
            aggregation: Arc::clone(&self.aggregation),
            next: AtomicUsize::new(0),
            rows: MetricBuilder::new(&self.metrics).counter("input_rows", partition),
            chunks: MetricBuilder::new(&self.metrics).counter("chunks", partition),
            time: baseline.elapsed_compute().clone(),
        });
        let chunks = self.aggregation.scan.table.chunks().len();
        let threads = context.session_config().target_partitions().clamp(1, chunks.max(1));
        let batch_size = context.session_config().batch_size().max(1);
        let (schema, aggregate) = (self.schema(), self.aggregate.clone());
        let whole = async move {
            let memory = || MemoryConsumer::new("CodeAggregateExec").register(context.memory_pool());
            let others: Vec<_> = (1..threads).map(|_| SpawnedTask::spawn(Arc::clone(&run).work(memory()))).collect();
            let mut part = Arc::clone(&run).work(memory()).await?;
            for other in others {
                let other = other.join_unwind().await.map_err(|error| DataFusionError::External(Box::new(error)))??;
                part.merge(other)?;
            }
            let batch = finish(&run.aggregation, &aggregate, part)?.record_output(&baseline);
            baseline.done();
            Ok::<_, DataFusionError>(batch)
        };
        let batches = stream::once(whole)
            .map_ok(move |batch| {
                let starts = (0..batch.num_rows()).step_by(batch_size);
                let slices: Vec<_> =
                    starts.map(|start| Ok(batch.slice(start, batch_size.min(batch.num_rows() - start)))).collect();
                stream::iter(slices)
            })
            .try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches.boxed())))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// One row for each group that has rows; without keys, one in any case.
fn finish(aggregation: &Aggregation, aggregate: &AggregateExec, part: Part) -> Result<RecordBatch> {
    let schema = aggregate.schema();
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
    if aggregation.keys.is_empty() && !part.has_rows {
        for expr in aggregate.aggr_expr() {
            columns.push(expr.create_accumulator()?.evaluate()?.to_array()?);
        }
        return Ok(RecordBatch::try_new(schema, columns)?);
    }
    let seen = if part.has_rows { part.groups.seen() } else { Vec::new() };
    let numbers: Vec<u32> = seen.iter().map(|place| part.groups.number(*place as usize)).collect();
    let mut order: Vec<usize> = (0..seen.len()).collect();
    order.sort_unstable_by_key(|at| numbers[*at]);
    let seen: Vec<u32> = order.iter().map(|at| seen[*at]).collect();
    let numbers: Vec<u32> = order.iter().map(|at| numbers[*at]).collect();
    for (at, key) in aggregation.keys.iter().enumerate() {
        columns.push(key.values(numbers.iter().map(|number| aggregation.space.digit(at, *number)))?);
    }
    for (gathered, gathering) in part.gathered.into_iter().zip(&aggregation.gatherings) {
        columns.push(match seen.is_empty() {
            true => arrow::array::new_empty_array(gathering.expr.field().data_type()),
            false => gathered.finish(gathering, &part.groups, &seen)?,
        });
    }
    let options = RecordBatchOptions::new().with_row_count(Some(seen.len()));
    Ok(RecordBatch::try_new_with_options(schema, columns, &options)?)
}
