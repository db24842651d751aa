//! What a Parquet scan will read, found out by opening its files without reading their rows: DataFusion's own opener decides on
//! row groups and pages, and the first time it asks for their bytes the ranges are written down and the opening ends.
//!
//! ```text
//! a file, one row group at a time ── opener: statistics, bloom filters, page index ── ranges ── merged as the reader does
//! ```
//! Footers are read where they aren't at hand, and bloom filters where there are any; never a page.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::datasource::listing::{FileRange, PartitionedFile};
use datafusion::datasource::physical_plan::{FileScanConfig, FileSource, ParquetFileReaderFactory, ParquetSource};
use datafusion::error::Result as DataFusionResult;
use datafusion::physical_expr::expressions::DynamicFilterTracking;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion_datasource::morsel::{Morsel, MorselPlanner};
use futures::future::{BoxFuture, FutureExt};
use futures::stream::StreamExt;
use parking_lot::Mutex;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData};

use super::reader::{FootersAhead, ReaderFactory};
use crate::Result;

/// Files whose footers are read together, ahead of their turn.
const FOOTERS_AHEAD: usize = 256;

/// Files that are always looked at: a figure that is whole says more than that it is too much.
const FILES_MIN: usize = 1024;

/// Row groups opened before a cancel is looked for.
const OPENED_AT_ONCE: usize = 64;

/// Row groups that are opened one by one. Of more, all columns are counted: opening takes a fraction of a millisecond.
const OPENED_MAX: usize = 20_000;

/// What reading a scan's rows takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Reads {
    /// Files of which something is read.
    pub(crate) files: u64,
    /// Row groups of which something is read.
    pub(crate) row_groups: u64,
    /// Row groups that there are in the scan's files.
    pub(crate) row_groups_total: u64,
    /// Requests for their bytes.
    pub(crate) requests: u64,
    /// Bytes of them.
    pub(crate) bytes: u64,
    /// The part of them that came with the footers when the query was planned.
    pub(crate) at_hand_bytes: u64,
    /// There is more: looking ended where it was more than was asked for.
    pub(crate) is_cut: bool,
    /// Why it may be less.
    pub(crate) at_most: Option<&'static str>,
    /// A LIMIT may end it after a few rows.
    pub(crate) ends_early: bool,
}

/// What reading the rows of `config` takes, whose source is `source` and whose readers `factory` makes. Of many files no more are
/// looked at when it is more than `enough_bytes`.
pub(crate) async fn dry_run(
    config: &FileScanConfig,
    source: &ParquetSource,
    factory: &Arc<ReaderFactory>,
    enough_bytes: Option<u64>,
) -> Result<Reads> {
    let files: Vec<&PartitionedFile> = config.file_groups.iter().flat_map(|group| group.iter()).collect();
    let asked = Arc::new(Mutex::new(Asked::default()));
    let dry: Arc<dyn ParquetFileReaderFactory> =
        Arc::new(DryFactory { real: Arc::clone(factory), asked: Arc::clone(&asked) });
    let is_watching = source
        .filter()
        .is_some_and(|filter| !matches!(DynamicFilterTracking::classify(&filter), DynamicFilterTracking::Static));
    let morselizer = || copy_of(source, &dry)?.create_morselizer(Arc::clone(&factory.store), config, 0);
    let mut opener = morselizer()?;

    let mut reads = Reads::default();
    let mut opened = 0;
    let mut read_files = HashSet::new();
    for (index, file) in files.iter().copied().enumerate() {
        if index >= FILES_MIN && enough_bytes.is_some_and(|enough| reads.bytes > enough) {
            reads.is_cut = true;
            break;
        }
        if index % FOOTERS_AHEAD == 0 {
            let next = files[index..].iter().take(FOOTERS_AHEAD);
            let ahead = FootersAhead::new(next.map(|file| file.object_meta.clone()).collect());
            ahead.read(&factory.footers, &factory.store, &factory.store_url, &factory.small_files).await;
        }
        let footer = factory.footer(&file.object_meta).await?;
        let before = reads;
        for row_group in footer.row_groups() {
            // Large files are cut into ranges for several threads.
            let Some(at) = first_page(row_group).filter(|at| file.range.as_ref().is_none_or(|range| is_in(range, *at)))
            else {
                continue;
            };
            reads.row_groups_total += 1;
            if opened == OPENED_MAX {
                reads.add(&[chunks(row_group)], factory);
                reads.at_most = Some("there are many row groups");
                continue;
            }
            opened += 1;
            if opened % OPENED_AT_ONCE == 0 {
                tokio::task::yield_now().await;
                // Each opening leaves its metrics with the opener.
                opener = morselizer()?;
            }
            *asked.lock() = Asked { chunks: chunks(row_group), rows: Vec::new(), others: Vec::new() };
            let one = file.clone().with_range(at, at.saturating_add(1));
            let ended = open(opener.plan_file(one)?).await;
            let Asked { rows, others, .. } = std::mem::take(&mut *asked.lock());
            if rows.is_empty() {
                // Not our own end then.
                ended?;
            }
            if !rows.is_empty() || !others.is_empty() {
                reads.add(&rows, factory);
                reads.add_requests(&others, factory);
            }
        }
        if reads.row_groups > before.row_groups && read_files.insert(&file.object_meta.location) {
            reads.files += 1;
        }
        if let Some(bytes) = factory.whole_bytes(&file.object_meta)
            && reads.bytes > before.bytes
        {
            reads.bytes = before.bytes + bytes;
            reads.requests = before.requests + 1;
            if factory.is_at_hand(&file.object_meta) {
                reads.at_hand_bytes += bytes;
            }
        }
    }
    if is_watching {
        reads.at_most = Some("dynamic filters may exclude more");
    }
    if config.limit.is_some() {
        reads.at_most = Some("a LIMIT may end it early");
        reads.ends_early = true;
    }
    Ok(reads)
}

/// A source of the same files, columns and filters, whose readers `readers` makes and whose metrics are its own.
fn copy_of(
    source: &ParquetSource,
    readers: &Arc<dyn ParquetFileReaderFactory>,
) -> DataFusionResult<Arc<dyn FileSource>> {
    let mut copy = ParquetSource::new(source.table_schema().clone())
        .with_table_parquet_options(source.table_parquet_options().clone())
        .with_parquet_file_reader_factory(Arc::clone(readers));
    if let Some(filter) = source.filter() {
        copy = copy.with_predicate(filter);
    }
    let projected = match source.projection() {
        Some(projection) => copy.try_pushdown_projection(projection)?,
        None => None,
    };
    // A single row is wanted of each stream at most.
    Ok(projected.unwrap_or_else(|| Arc::new(copy)).with_batch_size(1))
}

impl Reads {
    /// A row group whose rows are asked for by `calls`.
    fn add(&mut self, calls: &[Vec<Range<u64>>], factory: &ReaderFactory) {
        self.row_groups += u64::from(!calls.is_empty());
        self.add_requests(calls, factory);
    }

    fn add_requests(&mut self, calls: &[Vec<Range<u64>>], factory: &ReaderFactory) {
        for merged in calls.iter().flat_map(|ranges| factory.merged(ranges)) {
            self.requests += 1;
            self.bytes += merged.end - merged.start;
        }
    }
}

/// Drives an opening until it asks for rows, needs none, or fails.
async fn open(planner: Box<dyn MorselPlanner>) -> DataFusionResult<()> {
    let mut planners = vec![planner];
    while let Some(planner) = planners.pop() {
        let Some(mut plan) = planner.plan()? else { continue };
        planners.extend(plan.take_ready_planners());
        if let Some(pending) = plan.take_pending_planner() {
            planners.push(pending.into_future().await?);
        }
        for morsel in plan.take_morsels() {
            // A row that comes without a request needs none.
            let first: Option<DataFusionResult<_>> = Morsel::into_stream(morsel).next().await;
            first.transpose()?;
        }
    }
    Ok(())
}

fn is_in(range: &FileRange, at: i64) -> bool {
    at >= range.start && at < range.end
}

/// Where DataFusion takes a row group to begin when it asks whose range it is in.
fn first_page(row_group: &RowGroupMetaData) -> Option<i64> {
    let column = row_group.columns().first()?;
    Some(column.dictionary_page_offset().unwrap_or_else(|| column.data_page_offset()))
}

/// Where the columns of a row group are. One whose place can't be is left out: reading it will tell.
fn chunks(row_group: &RowGroupMetaData) -> Vec<Range<u64>> {
    let place = |column: &ColumnChunkMetaData| {
        let start = column.dictionary_page_offset().unwrap_or_else(|| column.data_page_offset());
        let (start, length) = (u64::try_from(start).ok()?, u64::try_from(column.compressed_size()).ok()?);
        Some(start..start.checked_add(length)?)
    };
    row_group.columns().iter().filter_map(place).collect()
}

/// What an opening asked for.
#[derive(Debug, Default)]
struct Asked {
    /// Where the rows are that it may ask for.
    chunks: Vec<Range<u64>>,
    /// Its calls for rows.
    rows: Vec<Vec<Range<u64>>>,
    /// Its calls for what helps to decide: bloom filters.
    others: Vec<Vec<Range<u64>>>,
}

#[derive(Debug)]
struct DryFactory {
    real: Arc<ReaderFactory>,
    asked: Arc<Mutex<Asked>>,
}

impl ParquetFileReaderFactory for DryFactory {
    fn create_reader(
        &self,
        partition_index: usize,
        file: PartitionedFile,
        metadata_size_hint: Option<usize>,
        _metrics: &ExecutionPlanMetricsSet,
    ) -> DataFusionResult<Box<dyn AsyncFileReader + Send>> {
        // What isn't read isn't measured.
        let metrics = ExecutionPlanMetricsSet::new();
        let real = self.real.create_reader(partition_index, file, metadata_size_hint, &metrics)?;
        Ok(Box::new(DryReader { real, asked: Arc::clone(&self.asked) }))
    }
}

struct DryReader {
    real: Box<dyn AsyncFileReader + Send>,
    asked: Arc<Mutex<Asked>>,
}

impl AsyncFileReader for DryReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, parquet::errors::Result<Bytes>> {
        async move {
            let mut parts = self.get_byte_ranges(vec![range]).await?;
            Ok(parts.pop().unwrap_or_default())
        }
        .boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, parquet::errors::Result<Vec<Bytes>>> {
        let is_for_rows = {
            let mut asked = self.asked.lock();
            let is_in_chunk = |range: &Range<u64>| asked.chunks.iter().any(|chunk| chunk.contains(&range.start));
            let is_for_rows = ranges.iter().any(is_in_chunk);
            let calls = if is_for_rows { &mut asked.rows } else { &mut asked.others };
            calls.push(ranges.clone());
            is_for_rows
        };
        if is_for_rows {
            return async { Err(ParquetError::General("rows are not read in a dry run".to_owned())) }.boxed();
        }
        self.real.get_byte_ranges(ranges)
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, parquet::errors::Result<Arc<ParquetMetaData>>> {
        self.real.get_metadata(options)
    }
}
