//! [`QueryPool`]: the memory one query may reserve, under the limit that all queries share.
//!
//! ```text
//! server limit ── query 1: at most its share ── operators that can spill: at most 2/5 of it
//!             └── query 2: ...             └── operators that can't (hash join builds): 3/4 of it, the last quarter to small ones
//! ```
//! An operator that is refused spills, if it can; if it can't, its query fails alone with SQLSTATE 53200. Spilling
//! operators leave the rest to the others, since those have no way out: above all to the merges of their own sorted runs, which
//! need, for keys that are most of the row, nearly as much again as the runs.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use datafusion::common::resources_datafusion_err;
use datafusion::error::Result;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};

use super::QueryStats;

/// What all queries of an engine hold together, and what is kept of their results.
pub struct GlobalMemory {
    limit: usize,
    used: AtomicUsize,
    /// Bytes of results that are kept. They give way to queries.
    kept: AtomicUsize,
    /// Gives back what is kept and not in use.
    reclaim: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl fmt::Debug for GlobalMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GlobalMemory")
            .field("limit", &self.limit)
            .field("used", &self.used())
            .field("kept", &self.kept())
            .finish_non_exhaustive()
    }
}

impl GlobalMemory {
    /// At most `limit` bytes.
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, used: AtomicUsize::new(0), kept: AtomicUsize::new(0), reclaim: OnceLock::new() })
    }

    /// Bytes reserved now.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// The limit.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Bytes of results that are kept.
    pub(crate) fn kept(&self) -> usize {
        self.kept.load(Ordering::Relaxed)
    }

    /// Says how to get back what is kept. The first word counts.
    pub(crate) fn reclaim_with(&self, reclaim: impl Fn() + Send + Sync + 'static) {
        let _the_first_counts = self.reclaim.set(Box::new(reclaim));
    }

    /// Takes `bytes` to keep a result, from what queries leave.
    pub(crate) fn keep(self: &Arc<Self>, bytes: usize) -> Option<KeptMemory> {
        let room = self.limit.saturating_sub(self.used());
        let fits = |kept: usize| kept.checked_add(bytes).filter(|kept| *kept <= room);
        let taken = self.kept.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits);
        taken.ok().map(|_| KeptMemory { global: Arc::clone(self), bytes })
    }

    fn try_grow(&self, additional: usize) -> bool {
        if self.try_take(additional) {
            return true;
        }
        let Some(reclaim) = self.reclaim.get().filter(|_| self.kept() > 0) else { return false };
        reclaim();
        self.try_take(additional)
    }

    fn try_take(&self, additional: usize) -> bool {
        let room = self.limit.saturating_sub(self.kept());
        let fits = |used: usize| used.checked_add(additional).filter(|used| *used <= room);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok()
    }
}

/// A part of the memory that a kept result has, until it is dropped.
#[derive(Debug)]
pub(crate) struct KeptMemory {
    global: Arc<GlobalMemory>,
    bytes: usize,
}

impl KeptMemory {
    /// Takes `bytes` more, if queries leave them.
    pub(crate) fn grow(&mut self, bytes: usize) -> bool {
        let Some(mut more) = self.global.keep(bytes) else { return false };
        self.bytes += std::mem::take(&mut more.bytes);
        true
    }
}

impl Drop for KeptMemory {
    fn drop(&mut self) {
        self.global.kept.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// See the module.
#[derive(Debug)]
pub struct QueryPool {
    global: Arc<GlobalMemory>,
    /// What this query may hold.
    limit: usize,
    used: AtomicUsize,
    /// The part of `used` that operators hold which can spill.
    spillable: AtomicUsize,
    /// How many operators that can spill there are: each has a share of what they may hold together.
    spilling_consumers: AtomicUsize,
    stats: Arc<QueryStats>,
}

impl QueryPool {
    /// A pool of at most `limit` bytes under `global`.
    pub fn new(global: Arc<GlobalMemory>, limit: usize, stats: Arc<QueryStats>) -> Self {
        Self {
            global,
            limit,
            used: AtomicUsize::new(0),
            spillable: AtomicUsize::new(0),
            spilling_consumers: AtomicUsize::new(0),
            stats,
        }
    }

    fn spillable_limit(&self) -> usize {
        self.limit / 5 * 2
    }

    /// What operators that spill may hold together when one of them comes to hold `wanted`. One that is over its share
    /// leaves a quarter to those that are not: an operator that holds nothing has nothing to spill, and would fail.
    fn spillable_limit_for(&self, wanted: usize) -> usize {
        let limit = self.spillable_limit();
        let share = limit / self.spilling_consumers.load(Ordering::Relaxed).max(1);
        if wanted <= share { limit } else { limit / 4 * 3 }
    }

    fn record(&self, used: usize) {
        self.stats.memory_bytes.store(used as u64, Ordering::Relaxed);
        self.stats.peak_memory_bytes.fetch_max(used as u64, Ordering::Relaxed);
    }

    fn refused(
        &self,
        reservation: &MemoryReservation,
        additional: usize,
        what: &str,
        limit: usize,
    ) -> datafusion::error::DataFusionError {
        resources_datafusion_err!(
            "{} needs {additional} bytes more and holds {}; {what} may hold {limit} bytes",
            reservation.consumer().name(),
            reservation.size()
        )
    }
}

impl fmt::Display for QueryPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "query pool of {} bytes", self.limit)
    }
}

impl MemoryPool for QueryPool {
    fn name(&self) -> &str {
        "query"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        if consumer.can_spill() {
            self.spilling_consumers.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        if consumer.can_spill() {
            self.spilling_consumers.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Infallible: for what an operator holds already. It may pass the limits by one batch.
    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.global.used.fetch_add(additional, Ordering::Relaxed);
        let used = self.used.fetch_add(additional, Ordering::Relaxed) + additional;
        if reservation.consumer().can_spill() {
            self.spillable.fetch_add(additional, Ordering::Relaxed);
        }
        self.record(used);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.global.used.fetch_sub(shrink, Ordering::Relaxed);
        let used = self.used.fetch_sub(shrink, Ordering::Relaxed) - shrink;
        if reservation.consumer().can_spill() {
            self.spillable.fetch_sub(shrink, Ordering::Relaxed);
        }
        self.record(used);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let can_spill = reservation.consumer().can_spill();
        if can_spill {
            let limit = self.spillable_limit_for(reservation.size() + additional);
            let fits = |held: usize| held.checked_add(additional).filter(|held| *held <= limit);
            if self.spillable.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_err() {
                return Err(self.refused(reservation, additional, "operators of one query that spill", limit));
            }
        }
        // The merge of sorted runs takes what it gets, to merge more of them at once. An operator that holds much leaves a
        // quarter to those that need little and can't do without.
        let limit = if reservation.size() + additional > self.limit / 4 { self.limit / 4 * 3 } else { self.limit };
        let fits = |used: usize| used.checked_add(additional).filter(|used| *used <= limit);
        let grown = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits);
        let Ok(before) = grown else {
            self.undo_spillable(can_spill, additional);
            return Err(self.refused(reservation, additional, "one query", limit));
        };
        if !self.global.try_grow(additional) {
            self.used.fetch_sub(additional, Ordering::Relaxed);
            self.undo_spillable(can_spill, additional);
            return Err(self.refused(reservation, additional, "all queries together", self.global.limit));
        }
        self.record(before + additional);
        Ok(())
    }

    fn reserved(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.limit)
    }
}

impl QueryPool {
    fn undo_spillable(&self, can_spill: bool, bytes: usize) {
        if can_spill {
            self.spillable.fetch_sub(bytes, Ordering::Relaxed);
        }
    }
}

impl Drop for QueryPool {
    /// What an operator that panicked still held is the query's, and goes with it.
    fn drop(&mut self) {
        self.global.used.fetch_sub(self.used.load(Ordering::Relaxed), Ordering::Relaxed);
        self.stats.memory_bytes.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn limits_hold_and_everything_is_given_back() {
        let global = GlobalMemory::new(1500);
        let stats = Arc::new(QueryStats::default());
        let pool: Arc<dyn MemoryPool> = Arc::new(QueryPool::new(Arc::clone(&global), 1000, Arc::clone(&stats)));
        let other: Arc<dyn MemoryPool> = Arc::new(QueryPool::new(Arc::clone(&global), 1000, Arc::default()));
        let sort = MemoryConsumer::new("sort").with_can_spill(true).register(&pool);
        let join = MemoryConsumer::new("join").register(&pool);
        let second = MemoryConsumer::new("second sort").with_can_spill(true).register(&pool);
        sort.try_grow(300).unwrap();
        assert!(sort.try_grow(1).is_err(), "over its share, a spilling operator leaves something to the others");
        second.try_grow(100).unwrap();
        assert!(second.try_grow(1).is_err(), "spilling operators leave the rest");
        join.try_grow(350).unwrap();
        assert!(join.try_grow(1).is_err(), "an operator that holds much leaves a quarter");
        let small = MemoryConsumer::new("merge").register(&pool);
        small.try_grow(250).unwrap();
        assert!(small.try_grow(1).is_err(), "the query's own limit");
        let elsewhere = MemoryConsumer::new("join").register(&other);
        elsewhere.try_grow(500).unwrap();
        let error = elsewhere.try_grow(1).unwrap_err().to_string();
        assert!(error.contains("all queries together"), "{error}");
        assert_eq!(stats.peak_memory_bytes.load(Ordering::Relaxed), 1000);
        drop((sort, second, join, small, elsewhere, pool, other));
        assert_eq!(global.used(), 0);
    }

    #[test]
    fn what_is_kept_gives_way_to_queries() {
        let global = GlobalMemory::new(1000);
        let kept = Arc::new(parking_lot::Mutex::new(global.keep(300)));
        assert!(kept.lock().as_mut().unwrap().grow(100));
        let pool: Arc<dyn MemoryPool> = Arc::new(QueryPool::new(Arc::clone(&global), 1000, Arc::default()));
        let join = MemoryConsumer::new("join").register(&pool);
        join.try_grow(600).unwrap();
        assert!(global.keep(1).is_none(), "queries leave nothing");
        let small = MemoryConsumer::new("small").register(&pool);
        assert!(small.try_grow(100).is_err(), "nobody said how to get back what is kept");
        let all = Arc::clone(&kept);
        global.reclaim_with(move || drop(all.lock().take()));
        small.try_grow(100).unwrap();
        assert_eq!((global.kept(), global.used()), (0, 700));
    }
}
