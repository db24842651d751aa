//! [`Ahead`] against a store that counts: what is begun, served once, and given back.

use std::sync::Arc;

use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryPool};
use object_store::ObjectStoreExt;
use object_store::memory::InMemory;

use super::*;
use crate::execute::QueryStats;
use crate::scan::store::{MeteredStore, StoreCounters};

struct Lake {
    store: Arc<dyn ObjectStore>,
    counters: Arc<StoreCounters>,
    files: Vec<PartitionedFile>,
    pool: Arc<dyn MemoryPool>,
}

/// `count` files of a thousand bytes and their number.
async fn lake(count: usize, memory: usize) -> Lake {
    let inner: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let mut files = Vec::new();
    for number in 0..count {
        let path = Path::from(format!("t/{number:03}"));
        inner.put(&path, format!("{number:01000}").into_bytes().into()).await.unwrap();
        files.push(PartitionedFile::from(inner.head(&path).await.unwrap()));
    }
    let counters = Arc::new(StoreCounters::default());
    let store = MeteredStore::new(inner, Arc::clone(&counters), Arc::new(QueryStats::default()));
    Lake { store: Arc::new(store), counters, files, pool: Arc::new(GreedyMemoryPool::new(memory)) }
}

impl Lake {
    fn ahead(&self) -> Arc<Ahead> {
        Ahead::new(Arc::clone(&self.store), Opening::Text, Room::new(Arc::default(), &self.pool))
    }

    fn requests(&self) -> u64 {
        self.counters.requests.load(std::sync::atomic::Ordering::Relaxed)
    }

    async fn read(&self, ahead: &Arc<Ahead>, index: usize) -> bytes::Bytes {
        let meta = &self.files[index].object_meta;
        let options = range_of_version(0..meta.size, meta.e_tag.clone());
        AheadStore(Arc::clone(ahead)).get_opts(&meta.location, options).await.unwrap().bytes().await.unwrap()
    }

    fn path(&self, index: usize) -> &Path {
        &self.files[index].object_meta.location
    }
}

#[tokio::test]
async fn every_file_is_asked_for_once_and_all_memory_comes_back() {
    let lake = lake(100, 1 << 30).await;
    let ahead = lake.ahead();
    ahead.start(0, || lake.files.clone());
    assert_eq!(lake.pool.reserved(), 0, "nothing is begun before the first file is taken");
    for index in 0..100_usize {
        let before = index.checked_sub(1).map(|before| lake.path(before));
        ahead.take(lake.path(index), before, &Gate::Open);
        let begun = ahead.state.lock().begun.len();
        assert!(begun <= READS_AHEAD_MAX && begun <= WINDOW_START + 2 * (index + 1), "{index}: {begun}");
        assert!(lake.pool.reserved() <= begun * 1000);
        let bytes = lake.read(&ahead, index).await;
        assert_eq!(bytes[..], *format!("{index:01000}").as_bytes());
    }
    ahead.end(Some(lake.path(99)));
    assert_eq!(lake.requests(), 100);
    assert_eq!(lake.pool.reserved(), 0);
}

#[tokio::test]
async fn a_scan_that_is_given_up_keeps_nothing() {
    let lake = lake(100, 1 << 30).await;
    let ahead = lake.ahead();
    ahead.start(0, || lake.files.clone());
    ahead.start(1, || unreachable!("the order is known"));
    ahead.take(lake.path(0), None, &Gate::Open);
    ahead.take(lake.path(1), None, &Gate::Open);
    lake.read(&ahead, 1).await;
    ahead.end(Some(lake.path(0)));
    assert!(lake.pool.reserved() > 0, "the other partition still reads");
    ahead.end(Some(lake.path(1)));
    assert_eq!(lake.pool.reserved(), 0);
    tokio::task::yield_now().await;
    assert!(lake.requests() <= (2 + WINDOW_START + 4) as u64, "{}", lake.requests());
    // Run again, it begins anew.
    ahead.start(0, || lake.files.clone());
    ahead.take(lake.path(0), None, &Gate::Open);
    assert_eq!(ahead.state.lock().begun.len(), WINDOW_START + 2);
    ahead.end(None);
    assert_eq!(lake.pool.reserved(), 0);
}

#[tokio::test]
async fn without_memory_nothing_is_begun_and_everything_is_read() {
    // An eighth of it may be used: two files.
    let lake = lake(20, 8 * 2000).await;
    let ahead = lake.ahead();
    ahead.start(0, || lake.files.clone());
    for index in 0..20_usize {
        ahead.take(lake.path(index), index.checked_sub(1).map(|before| lake.path(before)), &Gate::Open);
        assert!(ahead.state.lock().begun.len() <= 2);
        assert!(lake.pool.reserved() <= 2000);
        lake.read(&ahead, index).await;
    }
    ahead.end(None);
    assert_eq!((lake.requests(), lake.pool.reserved()), (20, 0));
}

#[tokio::test]
async fn what_a_filter_excludes_by_now_is_not_begun() {
    let lake = lake(50, 1 << 30).await;
    let ahead = lake.ahead();
    ahead.start(0, || lake.files.clone());
    let excludes = |file: &PartitionedFile| file.object_meta.location.as_ref() != "t/040";
    ahead.take(lake.path(0), None, &Gate::Changing(&excludes));
    assert_eq!(ahead.state.lock().begun.len(), 0, "no file was read to its end");
    ahead.take(lake.path(1), Some(lake.path(0)), &Gate::Changing(&excludes));
    let begun: Vec<String> = ahead.state.lock().begun.keys().map(ToString::to_string).collect();
    assert_eq!(begun, ["t/040"]);
    ahead.end(None);
}

/// Parts of a file that was fetched whole are served from it; a file that is done with is forgotten, read or not.
#[tokio::test]
async fn parts_are_served_and_what_is_not_asked_for_goes() {
    let lake = lake(3, 1 << 30).await;
    let ahead = lake.ahead();
    ahead.start(0, || lake.files.clone());
    ahead.take(lake.path(0), None, &Gate::Open);
    ahead.take(lake.path(1), Some(lake.path(0)), &Gate::Open);
    let meta = &lake.files[1].object_meta;
    for range in [990..1000, 0..10] {
        let options = range_of_version(range.clone(), meta.e_tag.clone());
        let result = AheadStore(Arc::clone(&ahead)).get_opts(&meta.location, options).await.unwrap();
        assert_eq!(result.range, range);
        assert_eq!(result.bytes().await.unwrap().len(), 10);
    }
    // Another version than the one begun is the store's business.
    let other = range_of_version(0..10, Some("other".to_owned()));
    assert!(AheadStore(Arc::clone(&ahead)).get_opts(&meta.location, other).await.is_err());
    assert!(lake.pool.reserved() > 0);
    ahead.take(lake.path(2), Some(lake.path(1)), &Gate::Open);
    assert!(!ahead.state.lock().begun.contains_key(lake.path(1)));
    ahead.end(Some(lake.path(2)));
    assert_eq!(lake.pool.reserved(), 0);
}
