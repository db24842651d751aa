//! [`PartitionIndexes`]: typed partition values, kept between queries by the exact set of partitions.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use limnos_catalog::Catalog;
use moka::sync::Cache;

use super::PartitionIndex;
use crate::Result;
use crate::cache::{CacheUsage, NamedCache};

/// A table's id, its version and that of its partitions.
type Key = (i64, i64, i64);

/// The cache `partitions`, and with it the lists that the catalog keeps.
#[derive(Debug)]
pub(crate) struct PartitionIndexes {
    cache: Cache<Key, Arc<PartitionIndex>>,
    catalog: Arc<Catalog>,
    limit_bytes: u64,
    hits: AtomicU64,
    misses: AtomicU64,
}

impl PartitionIndexes {
    /// At most `limit_bytes` of indexes of tables of `catalog`.
    pub(crate) fn new(catalog: Arc<Catalog>, limit_bytes: u64) -> Self {
        let cache = Cache::builder()
            .max_capacity(limit_bytes)
            .weigher(|_, index: &Arc<PartitionIndex>| u32::try_from(index.memory_size()).unwrap_or(u32::MAX))
            .build();
        Self { cache, catalog, limit_bytes, hits: AtomicU64::new(0), misses: AtomicU64::new(0) }
    }

    /// The index of `key`, made if it isn't here.
    pub(crate) fn get(&self, key: Key, make: impl FnOnce() -> Result<PartitionIndex>) -> Result<Arc<PartitionIndex>> {
        if let Some(index) = self.cache.get(&key) {
            self.hits.fetch_add(1, Ordering::Relaxed);
            return Ok(index);
        }
        self.misses.fetch_add(1, Ordering::Relaxed);
        let index = Arc::new(make()?);
        self.cache.insert(key, Arc::clone(&index));
        Ok(index)
    }
}

impl NamedCache for PartitionIndexes {
    fn name(&self) -> &'static str {
        "partitions"
    }

    fn usage(&self) -> CacheUsage {
        self.cache.run_pending_tasks();
        CacheUsage {
            entries: self.cache.entry_count(),
            bytes: self.cache.weighted_size(),
            limit_bytes: self.limit_bytes,
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
        }
    }

    fn clear(&self) {
        self.cache.invalidate_all();
        self.catalog.forget_partition_lists();
    }
}
