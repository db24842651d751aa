//! The plan runs: runtimes, memory, cancellation, statistics.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

/// What one execution is given by the one door.
#[derive(Debug, Clone)]
pub struct QueryContext {
    /// The QueryExecution's id, for logs, spill files and error texts.
    pub query_id: String,
    /// Cancelled when the user, a timeout or a shutdown stops the query.
    pub cancel: CancellationToken,
    /// Filled while it runs.
    pub stats: Arc<QueryStats>,
}

/// Counts of one query, readable while it runs.
#[derive(Debug, Default)]
pub struct QueryStats {
    pub requests: AtomicU64,
    pub bytes_scanned: AtomicU64,
    pub rows_produced: AtomicU64,
    pub peak_memory_bytes: AtomicU64,
    pub spilled_bytes: AtomicU64,
    pub partitions_total: AtomicU64,
    pub partitions_kept: AtomicU64,
    pub files_total: AtomicU64,
    pub files_kept: AtomicU64,
}

impl QueryStats {
    /// Adds to a counter.
    pub fn add(counter: &AtomicU64, count: u64) {
        counter.fetch_add(count, Ordering::Relaxed);
    }
}
