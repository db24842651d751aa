//! [`AheadSource`]: tells [`Ahead`] which files a scan comes to, and when. All else is the inner source's.

use std::fmt::{self, Formatter};
use std::sync::Arc;

use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::config::ConfigOptions;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileOpener, FileScanConfig, FileSource};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::Result;
use datafusion::physical_expr::expressions::DynamicFilterTracking;
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_expr::{EquivalenceProperties, LexOrdering, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_optimizer::pruning::FilePruner;
use datafusion::physical_plan::filter_pushdown::FilterPushdownPropagation;
use datafusion::physical_plan::metrics::{Count, ExecutionPlanMetricsSet};
use datafusion::physical_plan::{DisplayFormatType, SortOrderPushdownResult};
use datafusion_datasource::morsel::{MorselPlanner, Morselizer};
use object_store::ObjectStore;
use object_store::path::Path;
use parking_lot::Mutex;

use super::{Ahead, Follows, Gate, Known};
use crate::scan::parquet::{Filtered, NamedFileSource};

/// See the module.
pub(crate) struct AheadSource {
    inner: Arc<dyn FileSource>,
    ahead: Arc<Ahead>,
    /// Files and row groups are taken in another order than they have.
    is_sorted: bool,
}

impl AheadSource {
    /// `inner`, whose scan's files are fetched by `ahead`.
    pub(crate) fn new(inner: Arc<dyn FileSource>, ahead: Arc<Ahead>) -> Self {
        Self { inner, ahead, is_sorted: false }
    }

    /// What reads the files.
    pub(crate) fn inner(&self) -> &Arc<dyn FileSource> {
        &self.inner
    }

    fn wrap(&self, inner: Arc<dyn FileSource>) -> Arc<dyn FileSource> {
        Arc::new(Self { inner, ahead: Arc::clone(&self.ahead), is_sorted: self.is_sorted })
    }

    fn sorted(&self, inner: Arc<dyn FileSource>) -> Arc<dyn FileSource> {
        Arc::new(Self { inner, ahead: Arc::clone(&self.ahead), is_sorted: true })
    }

    fn known(&self, config: &FileScanConfig) -> Known {
        let follows = self.follows(config);
        let schema = self.inner.table_schema().file_schema();
        let read = self.inner.projection().map(ProjectionExprs::column_indices);
        let fields = read.into_iter().flatten().filter_map(|column| Some((column, schema.fields().get(column)?)));
        // Of what is nested maybe only a part is read.
        let names = fields.map(|(column, field)| (!field.data_type().is_nested()).then(|| (column, Arc::clone(field))));
        let columns = names.collect::<Option<Vec<_>>>();
        Known { columns: columns.filter(|_| !matches!(follows, Follows::Unknown)).map(Arc::from), follows }
    }

    /// What is known of the row groups that follow each other.
    fn follows(&self, config: &FileScanConfig) -> Follows {
        let is_late = self.inner.downcast_ref::<NamedFileSource>().is_some_and(NamedFileSource::is_late);
        if config.limit.is_some() || self.is_sorted || is_late {
            return Follows::Unknown;
        }
        match self.inner.filter() {
            None => Follows::All,
            Some(filter) => {
                Follows::Filtered(Arc::new(Filtered { filter, table_schema: self.inner.table_schema().clone() }))
            }
        }
    }

    /// The files in the order in which the scan's partitions take them: from one queue that all share, or, where order or
    /// partitioning is to be kept, each its own. After a LIMIT's worth of rows there is none.
    fn order(&self, config: &FileScanConfig) -> Vec<PartitionedFile> {
        let mut files: Vec<PartitionedFile> = if config.preserve_order || config.output_partitioning.is_some() {
            let longest = config.file_groups.iter().map(|group| group.len()).max().unwrap_or(0);
            let turn = |index: usize| config.file_groups.iter().filter_map(move |group| group.files().get(index));
            (0..longest).flat_map(turn).cloned().collect()
        } else {
            self.inner.reorder_files(config.file_groups.iter().flat_map(|group| group.files()).cloned().collect())
        };
        if let Some(limit) = config.limit {
            let mut rows = 0;
            let is_needed = |file: &PartitionedFile| {
                let is_needed = rows < limit;
                rows += match file.statistics.as_ref().map(|statistics| statistics.num_rows) {
                    Some(Precision::Exact(rows)) => rows,
                    _ => limit,
                };
                is_needed
            };
            let needed = files.iter().map(is_needed).take_while(|is_needed| *is_needed).count();
            files.truncate(needed);
        }
        files
    }
}

impl FileSource for AheadSource {
    fn create_file_opener(
        &self,
        store: Arc<dyn ObjectStore>,
        config: &FileScanConfig,
        partition: usize,
    ) -> Result<Arc<dyn FileOpener>> {
        self.inner.create_file_opener(store, config, partition)
    }

    fn create_morselizer(
        &self,
        store: Arc<dyn ObjectStore>,
        config: &FileScanConfig,
        partition: usize,
    ) -> Result<Box<dyn Morselizer>> {
        let inner = self.inner.create_morselizer(store, config, partition)?;
        *self.ahead.known.lock() = self.known(config);
        self.ahead.start(partition, || self.order(config));
        Ok(Box::new(AheadMorselizer {
            inner,
            ahead: Arc::clone(&self.ahead),
            filter: self.inner.filter(),
            table_schema: self.inner.table_schema().clone(),
            current: Mutex::default(),
        }))
    }

    fn table_schema(&self) -> &TableSchema {
        self.inner.table_schema()
    }

    fn with_batch_size(&self, batch_size: usize) -> Arc<dyn FileSource> {
        self.wrap(self.inner.with_batch_size(batch_size))
    }

    fn filter(&self) -> Option<Arc<dyn PhysicalExpr>> {
        self.inner.filter()
    }

    fn projection(&self) -> Option<&ProjectionExprs> {
        self.inner.projection()
    }

    fn metrics(&self) -> &ExecutionPlanMetricsSet {
        self.inner.metrics()
    }

    fn file_type(&self) -> &str {
        self.inner.file_type()
    }

    fn fmt_extra(&self, display: DisplayFormatType, f: &mut Formatter<'_>) -> fmt::Result {
        self.inner.fmt_extra(display, f)
    }

    fn supports_repartitioning(&self) -> bool {
        self.inner.supports_repartitioning()
    }

    fn repartitioned(
        &self,
        target_partitions: usize,
        file_size_min: usize,
        ordering: Option<LexOrdering>,
        config: &FileScanConfig,
    ) -> Result<Option<FileScanConfig>> {
        self.inner.repartitioned(target_partitions, file_size_min, ordering, config)
    }

    fn try_pushdown_filters(
        &self,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn FileSource>>> {
        let mut pushed = self.inner.try_pushdown_filters(filters, config)?;
        pushed.updated_node = pushed.updated_node.map(|inner| self.wrap(inner));
        Ok(pushed)
    }

    fn try_pushdown_sort(
        &self,
        order: &[PhysicalSortExpr],
        properties: &EquivalenceProperties,
    ) -> Result<SortOrderPushdownResult<Arc<dyn FileSource>>> {
        Ok(match self.inner.try_pushdown_sort(order, properties)? {
            SortOrderPushdownResult::Exact { inner } => SortOrderPushdownResult::Exact { inner: self.sorted(inner) },
            SortOrderPushdownResult::Inexact { inner } => {
                SortOrderPushdownResult::Inexact { inner: self.sorted(inner) }
            }
            SortOrderPushdownResult::Unsupported => SortOrderPushdownResult::Unsupported,
        })
    }

    fn reorder_files(&self, files: Vec<PartitionedFile>) -> Vec<PartitionedFile> {
        self.inner.reorder_files(files)
    }

    fn try_pushdown_projection(&self, projection: &ProjectionExprs) -> Result<Option<Arc<dyn FileSource>>> {
        Ok(self.inner.try_pushdown_projection(projection)?.map(|inner| self.wrap(inner)))
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.inner.apply_expressions(f)
    }
}

/// The files of one partition.
#[derive(Debug)]
struct AheadMorselizer {
    inner: Box<dyn Morselizer>,
    ahead: Arc<Ahead>,
    filter: Option<Arc<dyn PhysicalExpr>>,
    table_schema: TableSchema,
    /// The file that is being read. A partition reads one after the other.
    current: Mutex<Option<Path>>,
}

impl AheadMorselizer {
    /// Whether the filter, as it is by now, excludes a file by what is known of it.
    fn excludes(&self, filter: &Arc<dyn PhysicalExpr>, file: &PartitionedFile) -> bool {
        // What can't be told is found out when the file is opened.
        FilePruner::try_new(Arc::clone(filter), self.table_schema.table_schema(), file, Count::new())
            .is_some_and(|mut pruner| pruner.should_prune().unwrap_or(false))
    }
}

impl Morselizer for AheadMorselizer {
    fn plan_file(&self, file: PartitionedFile) -> Result<Box<dyn MorselPlanner>> {
        let path = file.object_meta.location.clone();
        let before = self.current.lock().replace(path.clone());
        let tracking = self.filter.as_ref().map(|filter| (filter, DynamicFilterTracking::classify(filter)));
        let excludes = |file: &PartitionedFile| self.filter.as_ref().is_some_and(|filter| self.excludes(filter, file));
        let gate = match &tracking {
            Some((_, DynamicFilterTracking::Watching(_))) => Gate::Changing(&excludes),
            Some((_, DynamicFilterTracking::AllComplete)) => Gate::Settled(&excludes),
            Some((_, DynamicFilterTracking::Static)) | None => Gate::Open,
        };
        self.ahead.take(&path, before.as_ref(), &gate);
        self.inner.plan_file(file)
    }
}

impl Drop for AheadMorselizer {
    fn drop(&mut self) {
        self.ahead.end(self.current.lock().as_ref());
    }
}
