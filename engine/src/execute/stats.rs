//! [`QueryStats`]: what one query costs, readable while it runs.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// Counters of one query. All are monotonous but for [`QueryStats::memory_bytes`].
#[derive(Debug, Default)]
pub struct QueryStats {
    /// Requests to object stores and files.
    pub requests: AtomicU64,
    /// Bytes that came from them.
    pub bytes_scanned: AtomicU64,
    /// Those of them that came from the block cache.
    pub bytes_cached: AtomicU64,
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
    /// A [`ResultCacheUse`].
    result_cache: AtomicU8,
}

/// What the result cache did for a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ResultCacheUse {
    /// The answer was there, or another query that was the same was making it.
    Hit = 1,
    /// The query ran.
    Miss,
    /// The session or the server said so.
    Off,
    /// The query reads something that may answer otherwise each time, or no file.
    NotCacheable,
}

impl ResultCacheUse {
    /// As `system.queries` and EXPLAIN show it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Off => "off",
            Self::NotCacheable => "not cacheable",
        }
    }
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

    /// What the result cache did; `None` for what is no query, or not known yet.
    pub fn result_cache(&self) -> Option<ResultCacheUse> {
        use ResultCacheUse::{Hit, Miss, NotCacheable, Off};
        let known = self.result_cache.load(Ordering::Relaxed);
        [Hit, Miss, Off, NotCacheable].into_iter().find(|used| *used as u8 == known)
    }

    pub(crate) fn set_result_cache(&self, used: ResultCacheUse) {
        self.result_cache.store(used as u8, Ordering::Relaxed);
    }
}
