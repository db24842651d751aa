//! [`Listings`]: lists of what is below a prefix, shared by those who ask at the same time, and kept where a table allows.
//!
//! A listing may answer a query if it **began after the query began**, whoever made it: it shows nothing older than the
//! query. So `live` stays true, while queries that come together, and a query that reads a table twice, make one request
//! for a prefix. A table whose `limnos.freshness` is a duration takes a listing that is no older than that, too.
//!
//! ```text
//! ListingStore::list ─┬─ kept, and young enough          ─▶ its keys
//!                     ├─ on its way since we began       ─▶ wait for it
//!                     └─ else list, for others too       ─▶ the store
//! ```

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt, Shared};
use futures::stream::{self, BoxStream, StreamExt};
use moka::sync::Cache;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, RenameOptions, Result,
};
use parking_lot::Mutex;

use crate::cache::{CacheUsage, NamedCache};

/// Keys of one listing that are kept or shared: some 30 MB. Of more, everybody makes a listing of their own, as they come.
const KEYS_MAX: usize = 100_000;

/// How old a listing may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Freshness {
    /// Made since the query began.
    #[default]
    Live,
    /// Or made so long ago at most.
    Within(Duration),
}

type Key = (Arc<str>, Path);

/// The keys that a listing found, or why they can't be shared.
struct Listed {
    began: Instant,
    keys: Vec<ObjectMeta>,
    /// What else the listing brings, where there is too much to share, and the error that it ended with. For whoever made
    /// it, and nobody else.
    rest: Mutex<Option<BoxStream<'static, Result<ObjectMeta>>>>,
    is_whole: bool,
}

type Awaited = Shared<BoxFuture<'static, Arc<Listed>>>;

/// A listing on its way: since when, and which.
struct Flight {
    began: Instant,
    number: u64,
    listing: Awaited,
}

/// The cache `listings` of an engine.
pub struct Listings {
    kept: Cache<Key, Arc<Listed>>,
    flights: Mutex<HashMap<Key, Flight>>,
    number: AtomicU64,
    limit_bytes: u64,
    hits: AtomicU64,
    misses: AtomicU64,
}

impl fmt::Debug for Listings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listings").field("limit_bytes", &self.limit_bytes).finish_non_exhaustive()
    }
}

fn memory_bytes(meta: &ObjectMeta) -> usize {
    size_of::<ObjectMeta>() + meta.location.as_ref().len() + meta.e_tag.as_ref().map_or(0, String::len)
}

impl Listings {
    /// At most `limit_bytes` of keys.
    pub(crate) fn new(limit_bytes: u64) -> Arc<Self> {
        let weigh = |(store, prefix): &Key, listed: &Arc<Listed>| {
            let keys: usize = listed.keys.iter().map(memory_bytes).sum();
            u32::try_from(keys + store.len() + prefix.as_ref().len() + 128).unwrap_or(u32::MAX)
        };
        Arc::new(Self {
            kept: Cache::builder().max_capacity(limit_bytes).weigher(weigh).build(),
            flights: Mutex::default(),
            number: AtomicU64::new(0),
            limit_bytes,
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        })
    }

    /// A listing that may answer a query which began at `began`.
    fn find(&self, key: &Key, began: Instant, freshness: Freshness) -> Option<Arc<Listed>> {
        let listed = self.kept.get(key)?;
        let is_fresh = match freshness {
            Freshness::Live => false,
            Freshness::Within(limit) => listed.began.elapsed() <= limit,
        };
        (is_fresh || listed.began >= began).then_some(listed)
    }

    /// Joins a listing that began since `began`, or begins one. Whether it is our own.
    fn join(
        &self,
        key: &Key,
        began: Instant,
        list: impl FnOnce() -> BoxFuture<'static, Arc<Listed>>,
    ) -> (Awaited, u64) {
        let mut flights = self.flights.lock();
        // Nobody waits any more for one that was given up.
        if let Some(flight) = flights.get(key)
            && flight.began >= began
            && flight.listing.strong_count().is_some_and(|count| count > 1)
        {
            return (flight.listing.clone(), 0);
        }
        let number = self.number.fetch_add(1, Ordering::Relaxed) + 1;
        let listing = list().shared();
        flights.insert(key.clone(), Flight { began: Instant::now(), number, listing: listing.clone() });
        (listing, number)
    }

    /// Our own listing ended: it is on its way no more.
    fn landed(&self, key: &Key, number: u64, listed: &Arc<Listed>) {
        let mut flights = self.flights.lock();
        if flights.get(key).is_some_and(|flight| flight.number == number) {
            flights.remove(key);
        }
        drop(flights);
        if listed.is_whole && self.kept.get(key).is_none_or(|kept| kept.began < listed.began) {
            self.kept.insert(key.clone(), Arc::clone(listed));
        }
    }

    /// A file of the store is not what a listing says: no listing of the store is good any more.
    fn forget(&self, store_url: &Arc<str>, path: &Path) {
        let stale: Vec<Key> = self
            .kept
            .iter()
            .filter(|(key, _)| key.0 == *store_url && path.prefix_matches(&key.1))
            .map(|(key, _)| key.as_ref().clone())
            .collect();
        stale.iter().for_each(|key| self.kept.invalidate(key));
    }
}

impl NamedCache for Listings {
    fn name(&self) -> &'static str {
        "listings"
    }

    fn usage(&self) -> CacheUsage {
        self.kept.run_pending_tasks();
        CacheUsage {
            entries: self.kept.entry_count(),
            bytes: self.kept.weighted_size(),
            limit_bytes: self.limit_bytes,
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
        }
    }

    fn clear(&self) {
        self.kept.invalidate_all();
        // Those on their way began before now: who asks from now on began later, and doesn't join them.
    }
}

/// Lists everything, as far as it can be shared.
async fn list_all(inner: Arc<dyn ObjectStore>, prefix: Path) -> Arc<Listed> {
    let began = Instant::now();
    let mut keys = Vec::new();
    let mut listing = inner.list(Some(&prefix));
    let (rest, is_whole) = loop {
        match listing.next().await {
            None => break (None, true),
            Some(Ok(meta)) if keys.len() < KEYS_MAX => keys.push(meta),
            Some(other) => break (Some(stream::once(async { other }).chain(listing).boxed()), false),
        }
    };
    Arc::new(Listed { began, keys, rest: Mutex::new(rest), is_whole })
}

/// The store of one scan, whose listings are shared.
#[derive(Debug)]
pub struct ListingStore {
    inner: Arc<dyn ObjectStore>,
    listings: Arc<Listings>,
    store_url: Arc<str>,
    began: Instant,
    freshness: Freshness,
}

impl ListingStore {
    /// Over `inner`, the store at `store_url`, for a query that began at `began`.
    pub fn new(
        inner: Arc<dyn ObjectStore>,
        listings: Arc<Listings>,
        store_url: Arc<str>,
        began: Instant,
        freshness: Freshness,
    ) -> Self {
        Self { inner, listings, store_url, began, freshness }
    }

    fn noted<T>(&self, location: &Path, result: Result<T>) -> Result<T> {
        if let Err(object_store::Error::NotFound { .. } | object_store::Error::Precondition { .. }) = &result {
            self.listings.forget(&self.store_url, location);
        }
        result
    }
}

impl fmt::Display for ListingStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

/// The keys of a listing that others may read too.
fn keys_of(listed: Arc<Listed>) -> BoxStream<'static, Result<ObjectMeta>> {
    let count = listed.keys.len();
    stream::iter((0..count).map(move |index| Ok(listed.keys[index].clone()))).boxed()
}

#[async_trait]
impl ObjectStore for ListingStore {
    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let prefix = prefix.cloned().unwrap_or_default();
        let key = (Arc::clone(&self.store_url), prefix.clone());
        let (listings, inner) = (Arc::clone(&self.listings), Arc::clone(&self.inner));
        let (began, freshness) = (self.began, self.freshness);
        let listing = async move {
            if let Some(listed) = listings.find(&key, began, freshness) {
                listings.hits.fetch_add(1, Ordering::Relaxed);
                return keys_of(listed);
            }
            let (awaited, number) = {
                let (inner, prefix) = (Arc::clone(&inner), prefix.clone());
                listings.join(&key, began, move || list_all(inner, prefix).boxed())
            };
            let listed = awaited.await;
            if number > 0 {
                listings.misses.fetch_add(1, Ordering::Relaxed);
                listings.landed(&key, number, &listed);
                let rest = listed.rest.lock().take();
                return match rest {
                    Some(rest) => keys_of(listed).chain(rest).boxed(),
                    None => keys_of(listed),
                };
            }
            if listed.is_whole {
                listings.hits.fetch_add(1, Ordering::Relaxed);
                return keys_of(listed);
            }
            listings.misses.fetch_add(1, Ordering::Relaxed);
            inner.list(Some(&prefix))
        };
        listing.flatten_stream().boxed()
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        // A HEAD asks whether there is such an object; a GET is sure of it.
        let is_sure = !options.head;
        let result = self.inner.get_opts(location, options).await;
        if is_sure { self.noted(location, result) } else { result }
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.noted(location, self.inner.get_ranges(location, ranges).await)
    }

    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.inner.rename_opts(from, to, options).await
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use futures::TryStreamExt;
    use object_store::ObjectStoreExt;
    use object_store::memory::InMemory;
    use object_store::throttle::{ThrottleConfig, ThrottledStore};

    use super::*;
    use crate::scan::store::{MeteredStore, StoreCounters};

    struct Lake {
        files: Arc<dyn ObjectStore>,
        listings: Arc<Listings>,
    }

    impl Lake {
        fn new(list_ms: u64) -> Self {
            let config =
                ThrottleConfig { wait_list_per_call: Duration::from_millis(list_ms), ..ThrottleConfig::default() };
            Self { files: Arc::new(ThrottledStore::new(InMemory::new(), config)), listings: Listings::new(1 << 20) }
        }

        async fn put(&self, path: &str) {
            self.files.put(&Path::from(path), "x".into()).await.unwrap();
        }

        /// A query that begins now: how many files it sees, and by how many requests.
        async fn query(&self, freshness: Freshness) -> (usize, u64) {
            self.query_since(Instant::now(), freshness).await
        }

        async fn query_since(&self, began: Instant, freshness: Freshness) -> (usize, u64) {
            let counters = Arc::new(StoreCounters::default());
            let metered = MeteredStore::new(Arc::clone(&self.files), Arc::clone(&counters), Arc::default());
            let listings = Arc::clone(&self.listings);
            let store = ListingStore::new(Arc::new(metered), listings, "s3://b".into(), began, freshness);
            let files: Vec<ObjectMeta> = store.list(Some(&Path::from("t"))).try_collect().await.unwrap();
            (files.len(), counters.requests.load(Ordering::Relaxed))
        }
    }

    #[tokio::test]
    async fn live_listings_are_shared_by_those_who_began_before() {
        let lake = Lake::new(20);
        lake.put("t/a").await;
        let began = Instant::now();
        let together = futures::future::join_all((0..5).map(|_| lake.query_since(began, Freshness::Live))).await;
        assert_eq!(together.iter().map(|seen| seen.1).sum::<u64>(), 1);
        assert!(together.iter().all(|seen| seen.0 == 1));
        // The same query again, a second scan of the table.
        assert_eq!(lake.query_since(began, Freshness::Live).await, (1, 0));
        lake.put("t/b").await;
        assert_eq!(lake.query(Freshness::Live).await, (2, 1));
        // One that begins while another's listing is on its way doesn't know what that has seen already.
        let (first, second) = futures::future::join(lake.query(Freshness::Live), async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            lake.put("t/c").await;
            lake.query(Freshness::Live).await
        })
        .await;
        assert_eq!((first.1, second), (1, (3, 1)));
    }

    #[tokio::test]
    async fn listings_are_kept_as_long_as_a_table_allows() {
        let lake = Lake::new(0);
        let hour = Freshness::Within(Duration::from_secs(3600));
        lake.put("t/a").await;
        assert_eq!(lake.query(hour).await, (1, 1));
        lake.put("t/b").await;
        assert_eq!(lake.query(hour).await, (1, 0));
        assert_eq!(lake.query(Freshness::Within(Duration::ZERO)).await, (2, 1));
        assert_eq!(lake.query(hour).await, (2, 0));
        lake.put("t/c").await;
        assert_eq!(lake.query(Freshness::Live).await, (3, 1));
        let usage = lake.listings.usage();
        assert_eq!((usage.entries, usage.hits, usage.misses), (1, 2, 3));
        lake.put("t/d").await;
        lake.listings.clear();
        assert_eq!(lake.listings.usage().entries, 0);
        assert_eq!(lake.query(hour).await, (4, 1));
        // A file that is listed and isn't there: the listing is forgotten.
        lake.files.delete(&Path::from("t/d")).await.unwrap();
        let (files, listings) = (Arc::clone(&lake.files), Arc::clone(&lake.listings));
        let store = ListingStore::new(files, listings, "s3://b".into(), Instant::now(), hour);
        store.get(&Path::from("t/d")).await.unwrap_err();
        assert_eq!(lake.query(hour).await, (3, 1));
    }

    #[tokio::test]
    async fn a_listing_that_was_given_up_is_made_again() {
        let lake = Lake::new(50);
        lake.put("t/a").await;
        let began = Instant::now();
        let _given_up =
            tokio::time::timeout(Duration::from_millis(5), lake.query_since(began, Freshness::Live)).await.unwrap_err();
        assert_eq!(lake.query_since(began, Freshness::Live).await, (1, 1));
    }
}
