//! [`QueryRun`]: one query's own stores, memory and reports; and how its plan becomes a stream of batches.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Instant;

use arrow::array::RecordBatch;
use datafusion::datasource::object_store::ObjectStoreUrl;
use datafusion::execution::TaskContext;
use datafusion::execution::object_store::ObjectStoreRegistry;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::stream::{Stream, StreamExt};
use object_store::ObjectStore;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::runtime::{AbortOnDrop, catch_panic};
use super::{CpuRuntime, QueryContext, QueryStats};
use crate::scan::ahead::AheadBudget;
use crate::scan::files_version::FilesVersion;
use crate::scan::limit::ScanLimit;
use crate::scan::listing::Listed;
use crate::scan::report::ScanReport;
use crate::scan::store::{PinnedFiles, QueryStores};
use crate::scan::table::count_report;
use crate::{Error, ErrorCode, Notice, Result};

/// Batches that wait for a slow client: with those inside operators the bound on a query's unsent rows.
const BATCHES_AHEAD: usize = 2;

/// Most notices of one query's planning: a view over a thousand tables could have as many to give.
const NOTICES_MAX: usize = 16;

/// The stream of a query's batches.
pub(crate) type BatchStream = futures::stream::BoxStream<'static, Result<RecordBatch>>;

/// What belongs to one query and ends with it.
#[derive(Debug)]
pub struct QueryRun {
    /// The QueryExecution's id.
    pub query_id: String,
    /// Stops it.
    pub cancel: CancellationToken,
    /// When it began: what it lists is listed since.
    pub(crate) began: Instant,
    /// What it costs.
    pub stats: Arc<QueryStats>,
    /// The stores its scans may read.
    pub stores: Arc<QueryStores>,
    /// What its scans fetch ahead.
    pub(crate) ahead: Arc<AheadBudget>,
    reports: Mutex<Vec<Arc<ScanReport>>>,
    notices: Mutex<Vec<Notice>>,
    scan_count: AtomicUsize,
    scan_limit: OnceLock<ScanLimit>,
    /// The files of the transaction block that it is part of.
    pinned_files: OnceLock<Arc<PinnedFiles>>,
    /// What EXPLAIN says of the datasets that it reads.
    datasets: Mutex<Vec<String>>,
    /// What was listed before it was planned, for the scans that ask for it.
    listed: Mutex<HashMap<FilesVersion, Vec<Listed>>>,
}

impl QueryRun {
    /// A run for one execution.
    pub fn new(context: QueryContext) -> Arc<Self> {
        Arc::new(Self {
            query_id: context.query_id,
            cancel: context.cancel,
            began: Instant::now(),
            stats: context.stats,
            stores: Arc::default(),
            ahead: Arc::default(),
            reports: Mutex::default(),
            notices: Mutex::default(),
            scan_count: AtomicUsize::new(0),
            scan_limit: OnceLock::new(),
            pinned_files: OnceLock::new(),
            datasets: Mutex::default(),
            listed: Mutex::default(),
        })
    }

    /// Keeps the files of one scan until it is planned.
    pub(crate) fn put_listed(&self, scan: FilesVersion, listed: Listed) {
        self.listed.lock().entry(scan).or_default().push(listed);
    }

    /// The files that were listed for such a scan, for one of those that are the same.
    pub(crate) fn take_listed(&self, scan: FilesVersion) -> Option<Listed> {
        self.listed.lock().get_mut(&scan)?.pop()
    }

    /// The same, which may read no more than `limit`.
    pub(crate) fn limited(context: QueryContext, limit: Option<ScanLimit>) -> Arc<Self> {
        let run = Self::new(context);
        if let Some(limit) = limit {
            let _it_is_new = run.scan_limit.set(limit);
        }
        run
    }

    /// Makes it part of a transaction block, which has seen `files`.
    pub(crate) fn pin_files(&self, files: &Arc<PinnedFiles>) {
        self.pinned_files.get_or_init(|| Arc::clone(files));
    }

    /// What the transaction block has seen that it is part of.
    pub(crate) fn pinned_files(&self) -> Option<&Arc<PinnedFiles>> {
        self.pinned_files.get()
    }

    /// The most that it may read.
    pub(crate) fn scan_limit(&self) -> Option<ScanLimit> {
        self.scan_limit.get().copied()
    }

    /// Opens `store` for one scan, under a URL of its own, and keeps its report.
    pub(crate) fn register_scan(
        &self,
        store: Arc<dyn ObjectStore>,
        mut report: ScanReport,
    ) -> datafusion::error::Result<ObjectStoreUrl> {
        let number = self.scan_count.fetch_add(1, Ordering::Relaxed);
        let url = ObjectStoreUrl::parse(format!("scan{number}://lake"))?;
        self.stores.register_store(url.as_ref(), store);
        url.as_str().clone_into(&mut report.url);
        count_report(self, &report);
        self.reports.lock().push(Arc::new(report));
        Ok(url)
    }

    /// Keeps what planning has to tell the client, each thing once, and not without end.
    pub(crate) fn notify(&self, notices: &[Notice]) {
        let mut kept = self.notices.lock();
        for notice in notices {
            if kept.len() < NOTICES_MAX && !kept.contains(notice) {
                kept.push(notice.clone());
            }
        }
    }

    /// Notes a dataset that it reads, once.
    pub(crate) fn tell_dataset(&self, line: String) {
        let mut lines = self.datasets.lock();
        if !lines.contains(&line) {
            lines.push(line);
        }
    }

    /// What is to be said of the datasets that it reads.
    pub(crate) fn datasets(&self) -> Vec<String> {
        self.datasets.lock().clone()
    }

    /// What planning has to tell the client.
    pub(crate) fn notices(&self) -> Vec<Notice> {
        self.notices.lock().clone()
    }

    /// What is to be said once the rows are told: what was left out of them.
    pub fn closing_notices(&self) -> Vec<Notice> {
        let mut notices: Vec<Notice> = Vec::new();
        for notice in self.reports.lock().iter().filter_map(|report| report.notice()) {
            if notices.len() < NOTICES_MAX && !notices.contains(&notice) {
                notices.push(notice);
            }
        }
        notices
    }

    /// What the scans pruned and read so far.
    pub fn reports(&self) -> Vec<Arc<ScanReport>> {
        self.reports.lock().clone()
    }
}

/// Runs `plan` on the CPU runtime and hands its batches over, a few ahead of the reader. Dropping the stream, or
/// cancelling the run, drops the plan's own streams and with them the query.
pub(crate) fn run_plan(
    runtime: &CpuRuntime,
    run: &Arc<QueryRun>,
    plan: Arc<dyn ExecutionPlan>,
    task: Arc<TaskContext>,
) -> BatchStream {
    let (sender, receiver) = mpsc::channel(BATCHES_AHEAD);
    let own_run = Arc::clone(run);
    let produce = async move {
        let result = catch_panic(produce(plan, task, &own_run, &sender)).await;
        if let Err(error) = result {
            // The reader may be gone: then nobody wants to know.
            let _ = sender.send(Err(error)).await;
        }
    };
    let task = AbortOnDrop(runtime.spawn(produce));
    Received { receiver, _task: task }.boxed()
}

async fn produce(
    plan: Arc<dyn ExecutionPlan>,
    task: Arc<TaskContext>,
    run: &QueryRun,
    sender: &mpsc::Sender<Result<RecordBatch>>,
) -> Result<()> {
    let mut stream = execute_stream(Arc::clone(&plan), task)?;
    // However it ends: what was spilled until then counts.
    let _counted = CountSpilled { plan, stats: &run.stats };
    loop {
        let next = tokio::select! {
            biased;
            () = run.cancel.cancelled() => return Err(canceled()),
            next = stream.next() => next,
        };
        let Some(batch) = next else {
            return Ok(());
        };
        let batch = batch?;
        QueryStats::add(&run.stats.rows_produced, batch.num_rows() as u64);
        if batch.num_rows() > 0 && sender.send(Ok(batch)).await.is_err() {
            return Ok(());
        }
    }
}

/// Adds what a plan's operators spilled to the query's statistics, when it is dropped.
struct CountSpilled<'a> {
    plan: Arc<dyn ExecutionPlan>,
    stats: &'a QueryStats,
}

impl Drop for CountSpilled<'_> {
    fn drop(&mut self) {
        QueryStats::add(&self.stats.spilled_bytes, spilled_bytes(&self.plan));
    }
}

fn spilled_bytes(plan: &Arc<dyn ExecutionPlan>) -> u64 {
    let own = plan.metrics().and_then(|metrics| metrics.spilled_bytes()).unwrap_or(0) as u64;
    own + plan.children().into_iter().map(spilled_bytes).sum::<u64>()
}

/// The error of a cancelled query. The door replaces the text by the reason (user request, timeout, shutdown).
pub(crate) fn canceled() -> Error {
    Error::new(ErrorCode::QueryCanceled, "canceling statement due to user request")
}

/// A stream of one batch that is at hand.
pub(crate) fn single_batch(batch: RecordBatch) -> BatchStream {
    futures::stream::once(async move { Ok(batch) }).boxed()
}

struct Received {
    receiver: mpsc::Receiver<Result<RecordBatch>>,
    _task: AbortOnDrop<()>,
}

impl Stream for Received {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.receiver.poll_recv(cx)
    }
}
