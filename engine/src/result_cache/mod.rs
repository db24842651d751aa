//! [`ResultCache`]: the answers of queries, for whoever asks the same again of the same files.
//!
//! ```text
//! plan, files listed ── key ── ResultCache::find ─┬─ Hit      the batches that are kept
//!                                                 ├─ Follow   waits for the query that is making them
//!                                                 └─ Lead     runs; its batches are recorded on their way to the client
//! ```
//! A key names exact versions of everything it was made from ([`key`]), so nothing here goes stale: what was replaced is not
//! found again, and goes when room is needed. Only whole answers are kept: one that failed, was cancelled, or was left by its
//! client before the end is not.

mod answer;
pub(crate) mod compact;
mod flight;
mod key;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parking_lot::Mutex;

pub(crate) use answer::replay;
pub(crate) use answer::{Answer, Decision};
use flight::{Ended, Follow, Lead, record};
use key::Reason;
pub(crate) use key::{Asker, ResultKey, size_of_plan};

use crate::cache::{CacheUsage, NamedCache};
use crate::execute::{GlobalMemory, KeptMemory};

/// The part of the cache that one answer may take: a few large ones would drive out the many small ones of a dashboard.
const RESULT_SHARE: u64 = 10;

/// A whole answer, before its columns are named as the client was told.
#[derive(Debug)]
pub(crate) struct StoredResult {
    pub(crate) schema: SchemaRef,
    pub(crate) batches: Vec<RecordBatch>,
    bytes: u64,
    /// Taken for as long as anyone reads it.
    _memory: KeptMemory,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct ResultCache {
    limit_bytes: u64,
    memory: Arc<GlobalMemory>,
    inner: Mutex<Inner>,
    hits: AtomicU64,
    misses: AtomicU64,
}

#[derive(Debug, Default)]
struct Inner {
    entries: HashMap<Arc<ResultKey>, Entry>,
    /// The keys by their last use, oldest first.
    order: BTreeMap<u64, Arc<ResultKey>>,
    uses: u64,
    bytes: u64,
    flights: HashMap<Arc<ResultKey>, Follow>,
}

#[derive(Debug)]
struct Entry {
    result: Arc<StoredResult>,
    bytes: u64,
    used: u64,
}

/// What a query does for its answer.
pub(crate) enum Found {
    /// Here it is.
    Hit(Arc<StoredResult>),
    /// Another query is making it.
    Follow(Follow),
    /// Make it.
    Lead(Lead),
}

impl ResultCache {
    /// A cache of at most `limit_bytes`, taken from `memory`. With none it is off.
    pub(crate) fn new(limit_bytes: u64, memory: &Arc<GlobalMemory>) -> Arc<Self> {
        let cache = Arc::new(Self {
            limit_bytes,
            memory: Arc::clone(memory),
            inner: Mutex::default(),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        });
        let reclaimed = Arc::downgrade(&cache);
        memory.reclaim_with(move || {
            if let Some(cache) = reclaimed.upgrade() {
                cache.clear();
            }
        });
        cache
    }

    /// Whether the server has one.
    pub(crate) fn is_on(&self) -> bool {
        self.limit_bytes > 0
    }

    /// Whether the answer to `key` is kept. Counts as no use.
    pub(crate) fn contains(&self, key: &ResultKey) -> bool {
        self.inner.lock().entries.contains_key(key)
    }

    /// The answer to `key`, if it is kept.
    pub(crate) fn get(&self, key: &ResultKey) -> Option<Arc<StoredResult>> {
        self.hit(&mut self.inner.lock(), key)
    }

    fn hit(&self, inner: &mut Inner, key: &ResultKey) -> Option<Arc<StoredResult>> {
        inner.uses += 1;
        let entry = inner.entries.get_mut(key)?;
        if let Some(own) = inner.order.remove(&entry.used) {
            inner.order.insert(inner.uses, own);
        }
        entry.used = inner.uses;
        self.hits.fetch_add(1, Ordering::Relaxed);
        Some(Arc::clone(&entry.result))
    }

    /// What to do for the answer to `key`.
    pub(crate) fn find(self: &Arc<Self>, key: &Arc<ResultKey>) -> Found {
        let mut inner = self.inner.lock();
        if let Some(result) = self.hit(&mut inner, key) {
            return Found::Hit(result);
        }
        let flights = &mut inner.flights;
        if let Some(flight) = flights.get(key) {
            return Found::Follow(flight.clone());
        }
        self.misses.fetch_add(1, Ordering::Relaxed);
        let (lead, flight) = Lead::new(Arc::clone(self), Arc::clone(key));
        flights.insert(Arc::clone(key), flight);
        Found::Lead(lead)
    }

    /// An answer that another query made in the meantime helped, too.
    pub(crate) fn count_shared(&self) {
        self.hits.fetch_add(1, Ordering::Relaxed);
    }

    /// Most bytes of one answer.
    fn result_limit_bytes(&self) -> u64 {
        self.limit_bytes / RESULT_SHARE
    }

    /// The flight of `key` is over.
    fn land(&self, key: &ResultKey) {
        self.inner.lock().flights.remove(key);
    }

    fn store(&self, key: &Arc<ResultKey>, result: &Arc<StoredResult>) {
        let bytes = result.bytes + key.bytes() as u64;
        if bytes > self.result_limit_bytes() {
            return;
        }
        // Dropped after the lock: whoever waits for it shall not wait for destructors.
        let mut dropped = Vec::new();
        let mut inner = self.inner.lock();
        inner.uses += 1;
        let used = inner.uses;
        let Inner { entries, order, bytes: held, .. } = &mut *inner;
        if let Some(old) = entries.remove(key) {
            order.remove(&old.used);
            *held -= old.bytes;
            dropped.push(old);
        }
        while *held + bytes > self.limit_bytes
            && let Some((_, oldest)) = order.pop_first()
        {
            if let Some(entry) = entries.remove(&oldest) {
                *held -= entry.bytes;
                dropped.push(entry);
            }
        }
        *held += bytes;
        order.insert(used, Arc::clone(key));
        entries.insert(Arc::clone(key), Entry { result: Arc::clone(result), bytes, used });
        drop(inner);
    }
}

impl NamedCache for ResultCache {
    fn name(&self) -> &'static str {
        "results"
    }

    fn usage(&self) -> CacheUsage {
        let inner = self.inner.lock();
        CacheUsage {
            entries: inner.entries.len() as u64,
            bytes: inner.bytes,
            limit_bytes: self.limit_bytes,
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
        }
    }

    fn clear(&self) {
        let mut inner = self.inner.lock();
        let dropped = std::mem::take(&mut inner.entries);
        inner.order.clear();
        inner.bytes = 0;
        drop(inner);
        drop(dropped);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use arrow::array::{ArrayRef, Int64Array};
    use futures::stream::{self, StreamExt};

    use super::*;
    use crate::execute::{BatchStream, CpuRuntime};
    use crate::{Error, ErrorCode};

    /// A batch of about eight times `rows` bytes.
    fn batch(rows: usize) -> RecordBatch {
        let values: ArrayRef = Arc::new(Int64Array::from(vec![7; rows]));
        RecordBatch::try_from_iter([("n", values)]).unwrap()
    }

    fn answer(batches: Vec<crate::Result<RecordBatch>>) -> BatchStream {
        stream::iter(batches).boxed()
    }

    async fn rows(batches: BatchStream) -> crate::Result<usize> {
        let batches: Vec<_> = batches.collect().await;
        batches.into_iter().map(|batch| batch.map(|batch| batch.num_rows())).sum()
    }

    fn lead(cache: &Arc<ResultCache>, number: u64) -> Lead {
        match cache.find(&ResultKey::numbered(number)) {
            Found::Lead(lead) => lead,
            Found::Hit(_) | Found::Follow(_) => panic!("nobody asked for {number} yet"),
        }
    }

    fn is_hit(cache: &Arc<ResultCache>, number: u64) -> bool {
        matches!(cache.find(&ResultKey::numbered(number)), Found::Hit(_))
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_least_used_goes_and_memory_is_given_back() {
        let memory = GlobalMemory::new(1 << 20);
        let runtime = CpuRuntime::new(1).unwrap();
        let cache = ResultCache::new(90_000, &memory);
        for number in 0..11 {
            let lead = lead(&cache, number);
            assert_eq!(
                rows(record(&runtime, lead, batch(0).schema(), answer(vec![Ok(batch(1000))]), &Arc::default()))
                    .await
                    .unwrap(),
                1000
            );
            assert!(is_hit(&cache, 0), "asked for each time, {number}");
        }
        assert!(is_hit(&cache, 10) && !is_hit(&cache, 1));
        let usage = cache.usage();
        assert!(usage.bytes <= 90_000 && usage.entries == 10, "{usage:?}");
        assert!(memory.kept() >= 80_000 && memory.kept() <= 90_000, "{}", memory.kept());
        cache.clear();
        assert_eq!((cache.usage().entries, memory.kept()), (0, 0));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_too_large_or_broken_is_not_kept_and_comes_whole() {
        let memory = GlobalMemory::new(1 << 20);
        let runtime = CpuRuntime::new(1).unwrap();
        let cache = ResultCache::new(100_000, &memory);
        let many = || (0..50).map(|_| Ok(batch(100))).collect::<Vec<_>>();
        let leading = lead(&cache, 1);
        let Found::Follow(follow) = cache.find(&ResultKey::numbered(1)) else { panic!("it is on its way") };
        assert_eq!(
            rows(record(&runtime, leading, batch(0).schema(), answer(many()), &Arc::default())).await.unwrap(),
            5000
        );
        assert!(matches!(follow.ended().await, Ended::NotKept));

        let mut failing = many();
        failing.truncate(3);
        failing.push(Err(Error::new(ErrorCode::DivisionByZero, "division by zero")));
        let leading = lead(&cache, 2);
        let Found::Follow(follow) = cache.find(&ResultKey::numbered(2)) else { panic!("it is on its way") };
        let error =
            rows(record(&runtime, leading, batch(0).schema(), answer(failing), &Arc::default())).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::DivisionByZero);
        assert!(matches!(follow.ended().await, Ended::NotKept));
        assert_eq!((cache.usage().entries, memory.kept()), (0, 0));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_leader_that_goes_leaves_the_lead_to_another() {
        let memory = GlobalMemory::new(1 << 20);
        let runtime = CpuRuntime::new(1).unwrap();
        let cache = ResultCache::new(100_000, &memory);
        let leading = lead(&cache, 1);
        let Found::Follow(follow) = cache.find(&ResultKey::numbered(1)) else { panic!("it is on its way") };
        let unending = stream::iter([Ok(batch(10))]).chain(stream::pending()).boxed();
        let mut batches = record(&runtime, leading, batch(0).schema(), unending, &Arc::default());
        assert_eq!(batches.next().await.unwrap().unwrap().num_rows(), 10);
        drop(batches);
        assert!(matches!(follow.ended().await, Ended::Abandoned));
        let leading = lead(&cache, 1);
        let Found::Follow(follow) = cache.find(&ResultKey::numbered(1)) else { panic!("it is on its way") };
        assert_eq!(
            rows(record(&runtime, leading, batch(0).schema(), answer(vec![Ok(batch(10))]), &Arc::default()))
                .await
                .unwrap(),
            10
        );
        let Ended::Kept(result) = follow.ended().await else { panic!("it is whole") };
        assert_eq!(result.batches, [batch(10)]);
    }
}
