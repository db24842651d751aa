//! [`Caches`]: what an engine keeps so as not to ask again, by name, for `system.caches` and `ALTER SYSTEM DROP CACHE`.
//!
//! A cache makes answers faster and never other: whatever is in one is keyed by the exact version of what it was made from,
//! and dropping it at any moment is safe.

use std::sync::Arc;

use parking_lot::RwLock;

/// A cache that users can see and drop.
pub trait NamedCache: Send + Sync {
    /// What statements call it, `footers` for one.
    fn name(&self) -> &'static str;

    /// What it holds now, and how often it helped.
    fn usage(&self) -> CacheUsage;

    /// Forgets everything. Queries that run keep what they hold.
    fn clear(&self);
}

/// What a cache holds, and how often it helped since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheUsage {
    /// Things in it.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Most bytes it may hold.
    pub limit_bytes: u64,
    /// How often what was asked for was there.
    pub hits: u64,
    /// How often it was not.
    pub misses: u64,
}

/// All caches of an engine, in the order in which they were added.
#[derive(Default)]
pub struct Caches {
    caches: RwLock<Vec<Arc<dyn NamedCache>>>,
}

impl std::fmt::Debug for Caches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.all().iter().map(|cache| cache.name())).finish()
    }
}

impl Caches {
    /// Adds a cache, whose name must be new.
    pub fn add(&self, cache: Arc<dyn NamedCache>) {
        let mut caches = self.caches.write();
        debug_assert!(caches.iter().all(|known| known.name() != cache.name()), "two caches have one name");
        caches.push(cache);
    }

    /// All of them.
    pub fn all(&self) -> Vec<Arc<dyn NamedCache>> {
        self.caches.read().clone()
    }

    /// The cache called `name`, in any case.
    pub fn find(&self, name: &str) -> Option<Arc<dyn NamedCache>> {
        self.caches.read().iter().find(|cache| cache.name().eq_ignore_ascii_case(name)).cloned()
    }
}
