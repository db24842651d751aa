//! [`DatasetSource`]: the scan of a dataset, a DataFusion `DataSource` over chunks in memory.
//!
//! The streams of all partitions take chunks from one cursor, so none waits while another has work. A chunk is skipped, taken
//! whole, or looked at, as its zones say; of one that is looked at only the rows that are wanted are decoded, a batch at a time,
//! so that what was decoded is still in the cache when it is used. Conditions that joins and top-Ns learn while they run are
//! asked again before each chunk.

use std::fmt;
use std::sync::{Arc, OnceLock};

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Statistics, internal_err};
use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::{Column, DynamicFilterTracking};
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_expr::{EquivalenceProperties, LexOrdering, PhysicalSortExpr};
use datafusion::physical_expr_common::physical_expr::is_volatile;
use datafusion::physical_plan::execution_plan::SchedulingType;
use datafusion::physical_plan::filter_pushdown::{FilterPushdownPropagation, PushedDown};
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::physical_plan::{DisplayFormatType, Partitioning, PhysicalExpr};
use datafusion_datasource::source::{DataSource, OpenArgs};
use limnos_columnar::{Filter, Table, Verdict};

use super::predicate::{predicate, renumbered};
use super::statistics::exact_statistics;
use super::stream::{Cursor, ScanStream};

/// Chunks whose rows are counted when a plan is made, to know about how many a filter leaves. Costs some 0.1 ms.
const SAMPLED_CHUNKS: usize = 2;

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct DatasetSource {
    name: Arc<str>,
    table: Table,
    /// The table's columns that come out, in this order.
    columns: Vec<usize>,
    /// What comes out: those columns, maybe under other names.
    schema: SchemaRef,
    /// Conditions on the table's rows: what comes out satisfies all.
    filters: Vec<Arc<dyn PhysicalExpr>>,
    /// Conditions that change while the query runs. What they leave out nobody needs, so they may be ignored.
    dynamic: Vec<Arc<dyn PhysicalExpr>>,
    fetch: Option<usize>,
    partitions: usize,
    metrics: ExecutionPlanMetricsSet,
    /// How many rows the filters leave, once it was asked for.
    estimate: Arc<OnceLock<Precision<usize>>>,
}

impl DatasetSource {
    /// A scan of `columns` of `table` under `filters`, which are on the table's columns.
    pub(crate) fn new(
        name: Arc<str>,
        table: Table,
        columns: Vec<usize>,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        fetch: Option<usize>,
        partitions: usize,
    ) -> Result<Self> {
        let schema = Arc::new(table.schema().project(&columns)?);
        let partitions = partitions.clamp(1, table.chunks().len().max(1));
        let metrics = ExecutionPlanMetricsSet::new();
        let dynamic = Vec::new();
        Ok(Self {
            name,
            table,
            columns,
            schema,
            filters,
            dynamic,
            fetch,
            partitions,
            metrics,
            estimate: Arc::default(),
        })
    }

    /// What is scanned.
    pub(crate) fn table(&self) -> &Table {
        &self.table
    }

    /// The table's columns that come out, in order.
    pub(crate) fn columns(&self) -> &[usize] {
        &self.columns
    }

    /// What satisfies the scan, made ready for its table. Dynamic conditions aren't in it.
    pub(crate) fn filter(&self) -> Result<Filter> {
        filter(&self.table, &self.filters)
    }

    fn stream(&self, partition: usize, cursor: Arc<Cursor>, context: &TaskContext) -> SendableRecordBatchStream {
        let scan = ScanStream {
            table: self.table.clone(),
            columns: self.columns.clone(),
            schema: Arc::clone(&self.schema),
            filters: self.filters.clone(),
            dynamic: self.dynamic.clone(),
            fetch: self.fetch,
            batch_rows: context.session_config().batch_size().max(1),
        };
        scan.start(partition, cursor, &self.metrics)
    }

    /// How many rows the filters leave: those of chunks that are taken whole, and of the others as many as of the first few.
    /// Exact where zones decide on all.
    fn filtered_rows(&self) -> Result<Precision<usize>> {
        if let Some(rows) = self.estimate.get() {
            return Ok(*rows);
        }
        let filter = self.filter()?;
        let (mut whole, mut asked, mut sampled, mut left) = (0, 0, 0, 0);
        let mut samples = 0;
        for chunk in self.table.chunks() {
            match filter.verdict(chunk) {
                Verdict::None => {}
                Verdict::All => whole += chunk.rows(),
                Verdict::Some => {
                    asked += chunk.rows();
                    if samples < SAMPLED_CHUNKS {
                        samples += 1;
                        sampled += chunk.rows();
                        left += filter.select(chunk).map_err(super::predicate::rows_error)?.len();
                    }
                }
            }
        }
        let rows = match sampled {
            0 => Precision::Exact(whole),
            _ => Precision::Inexact(whole + (asked as f64 * left as f64 / sampled as f64).ceil() as usize),
        };
        Ok(*self.estimate.get_or_init(|| rows))
    }

    fn chunks_kept(&self) -> Option<usize> {
        let filter = self.filter().ok()?;
        Some(self.table.chunks().iter().filter(|chunk| filter.verdict(chunk) != Verdict::None).count())
    }
}

/// `filters` made ready for `table`.
pub(super) fn filter(table: &Table, filters: &[Arc<dyn PhysicalExpr>]) -> Result<Filter> {
    let predicate = predicate(filters, table.schema())?;
    Filter::new(table, &predicate).map_err(super::predicate::rows_error)
}

impl DataSource for DatasetSource {
    fn open(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        // Whoever opens partitions one by one, without what they share, gets every n-th chunk.
        Ok(self.stream(partition, Arc::new(Cursor::every(self.partitions, partition)), &context))
    }

    fn open_with_args(&self, args: OpenArgs) -> Result<SendableRecordBatchStream> {
        let shared = args.sibling_state.and_then(|state| state.downcast::<Rounds>().ok());
        match shared {
            Some(rounds) => Ok(self.stream(args.partition, rounds.cursor(args.partition), &args.context)),
            None => self.open(args.partition, args.context),
        }
    }

    fn create_sibling_state(&self, _config: &ConfigOptions) -> Option<Arc<dyn std::any::Any + Send + Sync>> {
        Some(Arc::new(Rounds::default()))
    }

    fn fmt_as(&self, _display: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.table.chunks().len();
        write!(f, "DatasetScan: dataset={}, chunks=", self.name)?;
        match self.chunks_kept().filter(|_| !self.filters.is_empty()) {
            Some(kept) => write!(f, "{kept} of {total}")?,
            None => write!(f, "{total}")?,
        }
        let names: Vec<&str> = self.schema.fields().iter().map(|field| field.name().as_str()).collect();
        write!(f, ", projection=[{}]", names.join(", "))?;
        let mut conditions = self.filters.iter().chain(&self.dynamic);
        if let Some(first) = conditions.next() {
            write!(f, ", predicate={first}")?;
            conditions.try_for_each(|condition| write!(f, " AND {condition}"))?;
        }
        self.fetch.map_or(Ok(()), |fetch| write!(f, ", limit={fetch}"))
    }

    fn repartitioned(
        &self,
        target: usize,
        _bytes_min: usize,
        _order: Option<LexOrdering>,
    ) -> Result<Option<Arc<dyn DataSource>>> {
        let partitions = target.clamp(1, self.table.chunks().len().max(1));
        Ok((partitions != self.partitions)
            .then(|| Arc::new(Self { partitions, ..self.clone() }) as Arc<dyn DataSource>))
    }

    fn output_partitioning(&self) -> Partitioning {
        Partitioning::UnknownPartitioning(self.partitions)
    }

    fn eq_properties(&self) -> EquivalenceProperties {
        // Each stream takes chunks in their order, so each is sorted where the table is.
        let order = self.table.order_by().iter().take_while(|_| self.table.is_ordered()).map_while(|key| {
            let place = self.columns.iter().position(|&column| column == key.column)?;
            let options = arrow::compute::SortOptions { descending: key.descending, nulls_first: key.nulls_first };
            Some(PhysicalSortExpr::new(Arc::new(Column::new(self.schema.field(place).name(), place)), options))
        });
        EquivalenceProperties::new_with_orderings(Arc::clone(&self.schema), LexOrdering::new(order))
    }

    fn scheduling_type(&self) -> SchedulingType {
        SchedulingType::Cooperative
    }

    fn partition_statistics(&self, partition: Option<usize>) -> Result<Arc<Statistics>> {
        let mut statistics = exact_statistics(&self.table, &self.columns)?;
        if !self.filters.is_empty() {
            let whole = self.table.rows().max(1) as usize;
            let filtered = self.filtered_rows().unwrap_or(Precision::Inexact(whole));
            let rows = *filtered.get_value().unwrap_or(&whole);
            statistics = statistics.to_inexact();
            statistics.num_rows = filtered;
            let part = |bytes: usize| (bytes as f64 * (rows as f64 / whole as f64)) as usize;
            statistics.total_byte_size = statistics.total_byte_size.map(part);
            for column in &mut statistics.column_statistics {
                column.sum_value = Precision::Absent;
                column.distinct_count = column.distinct_count.map(|count| count.min(rows));
                column.byte_size = column.byte_size.map(part);
                column.null_count = column.null_count.map(part);
            }
        }
        if let Some(fetch) = self.fetch {
            statistics = statistics.to_inexact();
            statistics.num_rows = statistics.num_rows.map(|rows| rows.min(fetch));
        }
        if partition.is_some() && self.partitions > 1 {
            statistics = statistics.to_inexact();
            statistics.num_rows = statistics.num_rows.map(|rows| rows.div_ceil(self.partitions));
        }
        Ok(Arc::new(statistics))
    }

    fn with_fetch(&self, limit: Option<usize>) -> Option<Arc<dyn DataSource>> {
        Some(Arc::new(Self { fetch: limit, ..self.clone() }))
    }

    fn fetch(&self) -> Option<usize> {
        self.fetch
    }

    fn metrics(&self) -> ExecutionPlanMetricsSet {
        self.metrics.clone()
    }

    fn try_swapping_with_projection(&self, projection: &ProjectionExprs) -> Result<Option<Arc<dyn DataSource>>> {
        let (mut columns, mut fields) = (Vec::new(), Vec::new());
        for projected in projection.iter() {
            let Some(column) = projected.expr.downcast_ref::<Column>() else { return Ok(None) };
            let (Some(&from), Some(field)) =
                (self.columns.get(column.index()), self.schema.fields().get(column.index()))
            else {
                return internal_err!("a projection names a column that its scan doesn't have");
            };
            columns.push(from);
            fields.push(field.as_ref().clone().with_name(&projected.alias));
        }
        let schema = Arc::new(Schema::new_with_metadata(fields, self.schema.metadata().clone()));
        Ok(Some(Arc::new(Self { columns, schema, ..self.clone() })))
    }

    fn try_pushdown_filters(
        &self,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        _config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn DataSource>>> {
        let mut source = self.clone();
        let mut pushed = Vec::with_capacity(filters.len());
        for filter in filters {
            // A limit that was pushed here is of the rows as they are.
            if is_volatile(&filter) || self.fetch.is_some() {
                pushed.push(PushedDown::No);
                continue;
            }
            let is_static = matches!(DynamicFilterTracking::classify(&filter), DynamicFilterTracking::Static);
            let filter = renumbered(&filter, |place| self.columns.get(place).copied())?;
            if is_static {
                source.filters.push(filter);
                source.estimate = Arc::default();
                pushed.push(PushedDown::Yes);
            } else {
                source.dynamic.push(filter);
                pushed.push(PushedDown::No);
            }
        }
        Ok(FilterPushdownPropagation::with_parent_pushdown_result(pushed)
            .with_updated_node(Arc::new(source) as Arc<dyn DataSource>))
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        let mut recursion = TreeNodeRecursion::Continue;
        for expr in self.filters.iter().chain(&self.dynamic) {
            recursion = recursion.visit_sibling(|| f(expr))?;
        }
        Ok(recursion)
    }
}

/// The cursors of a plan's executions. A partition that is opened again is so for another execution, which begins anew.
#[derive(Debug, Default)]
struct Rounds {
    cursors: parking_lot::Mutex<(Vec<usize>, Vec<Arc<Cursor>>)>,
}

impl Rounds {
    fn cursor(&self, partition: usize) -> Arc<Cursor> {
        let mut guard = self.cursors.lock();
        let (opened, cursors) = &mut *guard;
        if opened.len() <= partition {
            opened.resize(partition + 1, 0);
        }
        let round = opened[partition];
        opened[partition] += 1;
        if cursors.len() <= round {
            cursors.resize_with(round + 1, || Arc::new(Cursor::shared()));
        }
        Arc::clone(&cursors[round])
    }
}
