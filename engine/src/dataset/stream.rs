//! The rows of one partition of a dataset's scan, chunk by chunk.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::compute::BatchCoalescer;
use arrow::datatypes::SchemaRef;
use datafusion::error::Result;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_expr::split_conjunction;
use datafusion::physical_expr_common::physical_expr::{snapshot_generation, snapshot_physical_expr};
use datafusion::physical_plan::PhysicalExpr;
use datafusion::physical_plan::coop::cooperative;
use datafusion::physical_plan::metrics::{BaselineMetrics, Count, ExecutionPlanMetricsSet, MetricBuilder};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::stream;
use limnos_columnar::{Chunk, Filter, Selection, Table, Verdict};

use super::predicate::rows_error;
use super::source::filter;

/// What has to fall away of a chunk for a condition that changes, and needs rows to be decoded, to be asked about the next one.
const WORTHWHILE: f64 = 0.25;

/// Which chunk is next.
#[derive(Debug)]
pub(super) struct Cursor {
    next: AtomicUsize,
    step: usize,
    /// The filters for the streams that share the cursor: answers of dictionaries are asked for once.
    filter: parking_lot::Mutex<Option<Arc<Filter>>>,
}

impl Cursor {
    /// All chunks, for whoever comes first.
    pub(super) fn shared() -> Self {
        Self::every(1, 0)
    }

    /// Every `step`th chunk from `first` on.
    pub(super) fn every(step: usize, first: usize) -> Self {
        Self { next: AtomicUsize::new(first), step, filter: parking_lot::Mutex::default() }
    }

    fn take(&self) -> usize {
        self.next.fetch_add(self.step, Ordering::Relaxed)
    }

    fn filter(&self, table: &Table, filters: &[Arc<dyn PhysicalExpr>]) -> Result<Arc<Filter>> {
        let mut made = self.filter.lock();
        if let Some(made) = &*made {
            return Ok(Arc::clone(made));
        }
        let filter = Arc::new(filter(table, filters)?);
        *made = Some(Arc::clone(&filter));
        Ok(filter)
    }
}

/// What a stream is of.
pub(super) struct ScanStream {
    pub(super) table: Table,
    pub(super) columns: Vec<usize>,
    pub(super) schema: SchemaRef,
    pub(super) filters: Vec<Arc<dyn PhysicalExpr>>,
    pub(super) dynamic: Vec<Arc<dyn PhysicalExpr>>,
    pub(super) fetch: Option<usize>,
    pub(super) batch_rows: usize,
}

/// What EXPLAIN ANALYZE shows.
struct Counters {
    baseline: BaselineMetrics,
    skipped: Count,
    whole: Count,
    filtered: Count,
    rows_decoded: Count,
}

/// Conditions that changed, as they were last.
struct Learned {
    generation: u64,
    filter: Option<Filter>,
    is_worthwhile: bool,
}

/// Where a stream stands.
struct Position {
    scan: ScanStream,
    cursor: Arc<Cursor>,
    filter: Option<Arc<Filter>>,
    learned: Learned,
    /// The chunk that is being told, its rows, and how many of them are told.
    chunk: Option<(Arc<Chunk>, Selection, usize)>,
    /// Batches that are too small to go on by themselves.
    small: BatchCoalescer,
    left: usize,
    is_at_end: bool,
    counters: Counters,
}

enum Step {
    Batch(RecordBatch),
    More,
    End,
}

impl ScanStream {
    pub(super) fn start(
        self,
        partition: usize,
        cursor: Arc<Cursor>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> SendableRecordBatchStream {
        let count = |name| MetricBuilder::new(metrics).counter(name, partition);
        let counters = Counters {
            baseline: BaselineMetrics::new(metrics, partition),
            skipped: count("chunks_skipped"),
            whole: count("chunks_whole"),
            filtered: count("chunks_filtered"),
            rows_decoded: count("rows_decoded"),
        };
        let schema = Arc::clone(&self.schema);
        let small = BatchCoalescer::new(Arc::clone(&schema), self.batch_rows)
            .with_biggest_coalesce_batch_size(Some((self.batch_rows / 2).max(1)));
        let left = self.fetch.unwrap_or(usize::MAX);
        let learned = Learned { generation: 0, filter: None, is_worthwhile: true };
        let position = Position {
            scan: self,
            cursor,
            filter: None,
            learned,
            chunk: None,
            small,
            left,
            is_at_end: false,
            counters,
        };
        let batches = Box::pin(stream::unfold(Some(position), |position| async move {
            let mut position = position?;
            loop {
                match position.step() {
                    Ok(Step::Batch(batch)) => return Some((Ok(batch), Some(position))),
                    // A filter that leaves nothing would never let its thread go.
                    Ok(Step::More) => tokio::task::consume_budget().await,
                    Ok(Step::End) => return None,
                    Err(error) => return Some((Err(error), None)),
                }
            }
        }));
        Box::pin(cooperative(RecordBatchStreamAdapter::new(schema, batches)))
    }
}

impl Position {
    fn step(&mut self) -> Result<Step> {
        let elapsed = self.counters.baseline.elapsed_compute().clone();
        let _timer = elapsed.timer();
        if let Some(batch) = self.small.next_completed_batch() {
            return Ok(self.give(batch));
        }
        if self.left == 0 || self.is_at_end {
            return Ok(Step::End);
        }
        if self.chunk.is_none() {
            return self.next_chunk();
        }
        let batch_rows = self.scan.batch_rows.min(self.left);
        let Some((chunk, selection, told)) = &mut self.chunk else { return Ok(Step::More) };
        let rows = batch_rows.min(selection.len() - *told);
        let range = *told..*told + rows;
        let arrays = self
            .scan
            .columns
            .iter()
            .map(|&column| chunk.read(column, selection, range.clone()))
            .collect::<limnos_columnar::Result<Vec<_>>>()
            .map_err(rows_error)?;
        *told += rows;
        if *told == selection.len() {
            self.chunk = None;
        }
        self.counters.rows_decoded.add(rows);
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.scan.schema), arrays, &options)?;
        // Rows without columns are only counted, and those of a limit are wanted at once.
        if batch.num_columns() == 0 || self.scan.fetch.is_some() {
            return Ok(self.give(batch));
        }
        self.small.push_batch(batch)?;
        Ok(Step::More)
    }

    fn give(&mut self, batch: RecordBatch) -> Step {
        let batch = if batch.num_rows() > self.left { batch.slice(0, self.left) } else { batch };
        self.left -= batch.num_rows();
        self.counters.baseline.record_output(batch.num_rows());
        Step::Batch(batch)
    }

    fn next_chunk(&mut self) -> Result<Step> {
        let Some(chunk) = self.scan.table.chunks().get(self.cursor.take()).cloned() else {
            self.is_at_end = true;
            self.small.finish_buffered_batch()?;
            return Ok(self.small.next_completed_batch().map_or(Step::End, |batch| self.give(batch)));
        };
        let selection = self.select(&chunk)?;
        if !selection.is_empty() {
            self.chunk = Some((chunk, selection, 0));
        }
        Ok(Step::More)
    }

    fn select(&mut self, chunk: &Chunk) -> Result<Selection> {
        let filter = match &self.filter {
            Some(filter) => Arc::clone(filter),
            None => {
                let filter = self.cursor.filter(&self.scan.table, &self.scan.filters)?;
                self.filter = Some(Arc::clone(&filter));
                filter
            }
        };
        self.learn()?;
        let learned = self.learned.filter.as_ref();
        let verdict = filter.verdict(chunk);
        if verdict == Verdict::None || learned.is_some_and(|learned| learned.verdict(chunk) == Verdict::None) {
            self.counters.skipped.add(1);
            return Ok(Selection::Rows(Vec::new()));
        }
        let mut selection = filter.select(chunk).map_err(rows_error)?;
        if let Some(learned) = learned.filter(|learned| learned.verdict(chunk) == Verdict::Some)
            && (self.learned.is_worthwhile || !learned.decodes())
            && !selection.is_empty()
        {
            let before = selection.len();
            selection = learned.refine(chunk, selection).map_err(rows_error)?;
            let fell_away = 1.0 - selection.len() as f64 / before as f64;
            self.learned.is_worthwhile = fell_away >= WORTHWHILE;
        }
        match selection.len() == chunk.rows() {
            true => self.counters.whole.add(1),
            false => self.counters.filtered.add(1),
        }
        Ok(selection)
    }

    /// Takes over what joins and top-Ns have learned since.
    fn learn(&mut self) -> Result<()> {
        if self.scan.dynamic.is_empty() {
            return Ok(());
        }
        let generation = self.scan.dynamic.iter().fold(0, |sum: u64, expr| sum.wrapping_add(snapshot_generation(expr)));
        if generation == self.learned.generation {
            return Ok(());
        }
        let mut conditions = Vec::new();
        for expr in &self.scan.dynamic {
            let now = snapshot_physical_expr(Arc::clone(expr))?;
            conditions.extend(split_conjunction(&now).into_iter().cloned());
        }
        // What can't be asked of these rows needn't be.
        let filter = filter(&self.scan.table, &conditions).ok();
        self.learned = Learned { generation, filter, is_worthwhile: true };
        Ok(())
    }
}
