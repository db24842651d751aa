//! [`NamedFileSource`]: DataFusion's Parquet source, whose errors name the file they come from.
//!
//! A page that can't be decoded, or a value that doesn't fit the declared type, is an error of one file among thousands;
//! DataFusion's decoder doesn't know its name. All else is the inner source's.

use std::fmt::{self, Debug, Formatter};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::config::ConfigOptions;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileOpener, FileScanConfig, FileSource, ParquetSource};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::{DataFusionError, Result};
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_expr::{EquivalenceProperties, LexOrdering, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::filter_pushdown::{FilterPushdownPropagation, PushedDown};
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::physical_plan::{DisplayFormatType, SortOrderPushdownResult};
use datafusion_datasource::morsel::{Morsel, MorselPlan, MorselPlanner, Morselizer};
use futures::FutureExt;
use futures::stream::{BoxStream, StreamExt};
use object_store::ObjectStore;

use super::dry_run::{Reads, dry_run};
use super::footer::SMALL_FILE_BYTES;
use super::late::{Late, LateRule};
use super::reader::ReaderFactory;
use crate::error::to_datafusion;
use crate::prune::decidable;
use crate::{Error, ErrorCode};

/// See the module.
pub struct NamedFileSource {
    inner: Arc<dyn FileSource>,
    /// `s3://bucket` or `file://`.
    store_url: Arc<str>,
    /// What makes the inner source's readers.
    readers: Arc<ReaderFactory>,
    /// Decides in which order columns are read.
    rule: Arc<LateRule>,
}

impl NamedFileSource {
    /// `inner`, whose readers `readers` makes.
    pub(crate) fn new(inner: ParquetSource, readers: Arc<ReaderFactory>, rule: LateRule) -> Self {
        let store_url = Arc::clone(&readers.store_url);
        let inner = Arc::new(inner.with_parquet_file_reader_factory(Arc::clone(&readers) as _));
        Self { inner, store_url, readers, rule: Arc::new(rule) }
    }

    /// Whether the filter's columns are read first; `None` where there is no filter.
    fn late(&self) -> Option<Late> {
        let filter = self.inner.filter()?;
        Some(self.rule.decide(&filter, self.inner.projection(), self.inner.table_schema().table_schema()))
    }

    /// Whether the filter's columns are read before others are.
    pub(crate) fn is_late(&self) -> bool {
        self.late().is_some_and(|late| late.is_on())
    }

    /// The inner source as it is to read.
    fn reading(&self) -> Arc<dyn FileSource> {
        match self.inner.downcast_ref::<ParquetSource>().filter(|_| self.is_late()) {
            Some(source) => Arc::new(source.clone().with_pushdown_filters(true)),
            None => Arc::clone(&self.inner),
        }
    }

    fn wrap(&self, inner: Arc<dyn FileSource>) -> Arc<dyn FileSource> {
        Arc::new(Self {
            inner,
            store_url: Arc::clone(&self.store_url),
            readers: Arc::clone(&self.readers),
            rule: Arc::clone(&self.rule),
        })
    }

    /// What reading the rows of `config`, whose source this is, takes. See [`dry_run`]. Where the filter's columns are read
    /// first, it is the most.
    ///
    /// # Errors
    /// A footer that can't be read, a file that doesn't fit its table.
    pub(crate) async fn reads(
        &self,
        config: &FileScanConfig,
        enough_bytes: Option<u64>,
    ) -> crate::Result<Option<Reads>> {
        let Some(source) = self.inner.downcast_ref::<ParquetSource>() else { return Ok(None) };
        let mut reads = dry_run(config, source, &self.readers, enough_bytes).await?;
        if self.is_late() {
            reads.at_most = reads.at_most.or(Some("rows that the filter excludes may not be read"));
        }
        Ok(Some(reads))
    }
}

impl FileSource for NamedFileSource {
    fn create_file_opener(
        &self,
        store: Arc<dyn ObjectStore>,
        config: &FileScanConfig,
        partition: usize,
    ) -> Result<Arc<dyn FileOpener>> {
        self.reading().create_file_opener(store, config, partition)
    }

    fn create_morselizer(
        &self,
        store: Arc<dyn ObjectStore>,
        config: &FileScanConfig,
        partition: usize,
    ) -> Result<Box<dyn Morselizer>> {
        let inner = self.reading().create_morselizer(store, config, partition)?;
        Ok(Box::new(NamedMorselizer { inner, store_url: Arc::clone(&self.store_url) }))
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
        self.inner.fmt_extra(display, f)?;
        match self.late() {
            Some(late) if !matches!(display, DisplayFormatType::TreeRender) => {
                write!(f, ", late_materialization={late}")
            }
            _ => Ok(()),
        }
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
        let repartitioned = self.inner.repartitioned(target_partitions, file_size_min, ordering, config)?;
        Ok(repartitioned.map(|mut config| {
            // Groups are made of equal bytes, wherever that cuts. A small file is read whole, by one partition.
            for group in &mut config.file_groups {
                let whole = group.iter().filter_map(unsplit_if_small).collect();
                *group = FileGroup::new(whole);
            }
            config.file_groups.retain(|group| !group.is_empty());
            config
        }))
    }

    fn try_pushdown_filters(
        &self,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn FileSource>>> {
        // What bounds can't decide must not be asked of them; it stays above the scan.
        let decidable = decidable(&filters, self.inner.table_schema().table_schema());
        let (count, safe) = (filters.len(), filters.into_iter().zip(&decidable).filter(|(_, decidable)| **decidable));
        let safe: Vec<_> = safe.map(|(filter, _)| filter).collect();
        if safe.is_empty() && count > 0 {
            return Ok(FilterPushdownPropagation::with_parent_pushdown_result(vec![PushedDown::No; count]));
        }
        let mut pushed = self.inner.try_pushdown_filters(safe, config)?;
        let mut answers = pushed.filters.into_iter();
        pushed.filters = decidable
            .iter()
            .map(|decidable| if *decidable { answers.next().unwrap_or(PushedDown::No) } else { PushedDown::No })
            .collect();
        pushed.updated_node = pushed.updated_node.map(|inner| self.wrap(inner));
        Ok(pushed)
    }

    fn try_pushdown_sort(
        &self,
        order: &[PhysicalSortExpr],
        properties: &EquivalenceProperties,
    ) -> Result<SortOrderPushdownResult<Arc<dyn FileSource>>> {
        Ok(match self.inner.try_pushdown_sort(order, properties)? {
            SortOrderPushdownResult::Exact { inner } => SortOrderPushdownResult::Exact { inner: self.wrap(inner) },
            SortOrderPushdownResult::Inexact { inner } => SortOrderPushdownResult::Inexact { inner: self.wrap(inner) },
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

/// `file`, or, of parts of a small one, the first as the whole.
fn unsplit_if_small(file: &PartitionedFile) -> Option<PartitionedFile> {
    match &file.range {
        Some(range) if file.object_meta.size <= SMALL_FILE_BYTES => {
            (range.start == 0).then(|| PartitionedFile { range: None, ..file.clone() })
        }
        _ => Some(file.clone()),
    }
}

#[derive(Debug)]
struct NamedMorselizer {
    inner: Box<dyn Morselizer>,
    store_url: Arc<str>,
}

impl Morselizer for NamedMorselizer {
    fn plan_file(&self, file: PartitionedFile) -> Result<Box<dyn MorselPlanner>> {
        let url: Arc<str> = Arc::from(format!("{}/{}", self.store_url, file.object_meta.location));
        let planner = guarded(&url, || self.inner.plan_file(file))?;
        Ok(Box::new(NamedPlanner { inner: planner, url }))
    }
}

#[derive(Debug)]
struct NamedPlanner {
    inner: Box<dyn MorselPlanner>,
    url: Arc<str>,
}

impl MorselPlanner for NamedPlanner {
    fn plan(self: Box<Self>) -> Result<Option<MorselPlan>> {
        let url = self.url;
        let inner = self.inner;
        let Some(mut plan) = guarded(&url, || inner.plan())? else {
            return Ok(None);
        };
        let planner = |inner, url: &Arc<str>| -> Box<dyn MorselPlanner> {
            Box::new(NamedPlanner { inner, url: Arc::clone(url) })
        };
        let morsels = plan
            .take_morsels()
            .into_iter()
            .map(|inner| -> Box<dyn Morsel> { Box::new(NamedMorsel { inner, url: Arc::clone(&url) }) });
        let mut named_plan = MorselPlan::new().with_morsels(morsels.collect());
        let ready = plan.take_ready_planners().into_iter().map(|inner| planner(inner, &url));
        named_plan = named_plan.with_planners(ready.collect());
        if let Some(pending) = plan.take_pending_planner() {
            named_plan.set_pending_planner(async move {
                let inner = AssertUnwindSafe(pending.into_future()).catch_unwind().await;
                let inner = inner.unwrap_or_else(|_| Err(stopped(&url))).map_err(|error| named(error, &url))?;
                Ok(planner(inner, &url))
            });
        }
        Ok(Some(named_plan))
    }
}

#[derive(Debug)]
struct NamedMorsel {
    inner: Box<dyn Morsel>,
    url: Arc<str>,
}

impl Morsel for NamedMorsel {
    fn into_stream(self: Box<Self>) -> BoxStream<'static, Result<RecordBatch>> {
        let url = self.url;
        let batches = AssertUnwindSafe(self.inner.into_stream()).catch_unwind();
        batches
            .map(move |batch| batch.unwrap_or_else(|_| Err(stopped(&url))).map_err(|error| named(error, &url)))
            .boxed()
    }
}

/// Runs a step of the decoder, which panics at some files that lie.
fn guarded<T>(url: &str, step: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(step)).unwrap_or_else(|_| Err(stopped(url))).map_err(|error| named(error, url))
}

/// What is left to say after a panic, which the log has.
fn stopped(url: &str) -> DataFusionError {
    let error = Error::new(ErrorCode::DataCorrupted, format!("file \"{url}\" cannot be decoded"));
    to_datafusion(error.with_detail("The decoder stopped at something that it doesn't expect."))
}

/// How the detail of an error about a column of a file begins; the file's name is put before it.
pub(super) const COLUMN_DETAIL: &str = "Column ";

/// `error`, telling the file where it doesn't.
pub(crate) fn named(error: DataFusionError, url: &str) -> DataFusionError {
    if let DataFusionError::External(inner) = error.find_root()
        && let Some(own) = inner.downcast_ref::<Error>()
        && let Some(detail) = own.detail.as_ref().filter(|detail| detail.starts_with(COLUMN_DETAIL))
    {
        return to_datafusion(own.clone().with_detail(format!("File \"{url}\". {detail}")));
    }
    if !matches!(error.find_root(), DataFusionError::ParquetError(_) | DataFusionError::ArrowError(..)) {
        return error;
    }
    let mut own = Error::from(error);
    let told = own.message.contains(url) || own.detail.as_ref().is_some_and(|detail| detail.contains(url));
    if !told {
        if own.code == ErrorCode::DataCorrupted {
            own.message = format!("file \"{url}\" cannot be decoded");
        } else {
            let detail = own.detail.map(|detail| format!(" {detail}")).unwrap_or_default();
            own.detail = Some(format!("File \"{url}\".{detail}"));
        }
    }
    to_datafusion(own)
}
