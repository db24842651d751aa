//! [`QueryStats`]: what one query costs, readable while it runs.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of one query. All are monotonous but for [`QueryStats::memory_bytes`].
#[derive(Debug, Default)]
pub struct QueryStats {
    /// Requests to object stores and files.
    pub requests: AtomicU64,
    /// Bytes that came from them.
    pub bytes_scanned: AtomicU64,
    /// Rows of the answer so far.
    pub rows_produced: AtomicU64,
    /// Bytes reserved now.
    pub memory_bytes: AtomicU64,
    /// The most that was reserved at once.
    pub peak_memory_bytes: AtomicU64,
    /// Bytes written to spill files.
    pub spilled_bytes: AtomicU64,
    /// Rows that were read of text files.
    pub text_rows: AtomicU64,
    /// Rows of text files that were left out (`limnos.on_error`).
    pub rejects: AtomicU64,
    /// Partitions of the tables scanned.
    pub partitions_total: AtomicU64,
    /// Those that were not pruned.
    pub partitions_kept: AtomicU64,
    /// Files listed.
    pub files_total: AtomicU64,
    /// Those that were not pruned.
    pub files_kept: AtomicU64,
}

impl QueryStats {
    /// Adds to a counter.
    pub fn add(counter: &AtomicU64, count: u64) {
        counter.fetch_add(count, Ordering::Relaxed);
    }

    /// Reads a counter.
    pub fn get(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }
}
