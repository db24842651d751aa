//! [`AheadBudget`] and [`Room`]: the bytes that a query may fetch before it needs them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};

/// Most that one query fetches ahead, all its scans together: thirty-two requests of two megabytes keep a fast link busy.
const AHEAD_BYTES_MAX: usize = 64 << 20;

/// The part of a query's memory that it may be: operators need the rest more.
const MEMORY_SHARE: usize = 8;

/// What the scans of one query hold of bytes fetched ahead.
#[derive(Debug, Default)]
pub(crate) struct AheadBudget {
    used: AtomicUsize,
}

/// One scan's part of its query's budget, charged to the query's memory pool.
#[derive(Debug)]
pub(crate) struct Room {
    budget: Arc<AheadBudget>,
    limit: usize,
    reservation: MemoryReservation,
}

/// Bytes taken of a [`Room`], given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Taken {
    room: Arc<Room>,
    bytes: usize,
}

impl Room {
    /// Room for one scan of the query that `budget` and `pool` belong to.
    pub(crate) fn new(budget: Arc<AheadBudget>, pool: &Arc<dyn MemoryPool>) -> Arc<Self> {
        let memory = match pool.memory_limit() {
            MemoryLimit::Finite(limit) => limit,
            _ => usize::MAX,
        };
        let reservation = MemoryConsumer::new("read ahead").register(pool);
        Arc::new(Self { budget, limit: AHEAD_BYTES_MAX.min(memory / MEMORY_SHARE), reservation })
    }

    /// Takes `bytes`, if the budget and the memory have them.
    pub(crate) fn take(self: &Arc<Self>, bytes: u64) -> Option<Taken> {
        let bytes = usize::try_from(bytes).ok()?;
        let fits = |used: usize| used.checked_add(bytes).filter(|used| *used <= self.limit);
        self.budget.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).ok()?;
        if self.reservation.try_grow(bytes).is_err() {
            self.budget.used.fetch_sub(bytes, Ordering::Relaxed);
            return None;
        }
        Some(Taken { room: Arc::clone(self), bytes })
    }

    /// Bytes that the budget has left.
    pub(crate) fn left(&self) -> u64 {
        self.limit.saturating_sub(self.budget.used.load(Ordering::Relaxed)) as u64
    }
}

impl Taken {
    /// How many.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes as u64
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.room.reservation.shrink(self.bytes);
        self.room.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
