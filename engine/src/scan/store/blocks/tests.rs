//! Reads through the cache are the reads of the store, whatever is cached, in flight or thrown away.

use futures::TryStreamExt;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt};

use super::block::BLOCK_BYTES;
use super::*;

fn content(length: u64, seed: u64) -> Vec<u8> {
    (0..length).map(|at| u8::try_from((at * 31 + at / 257 + seed) % 251).unwrap()).collect()
}

/// Xorshift: the same each time.
fn random(state: &mut u64, below: u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state % below
}

async fn read(store: &CachedStore, path: &Path, e_tag: &str, range: Option<std::ops::Range<u64>>) -> Vec<u8> {
    let options =
        GetOptions { range: range.map(GetRange::Bounded), if_match: Some(e_tag.to_owned()), ..GetOptions::default() };
    let result = store.get_opts(path, options).await.unwrap();
    let expected = result.range.end - result.range.start;
    let pieces: Vec<_> = result.into_stream().try_collect().await.unwrap();
    let bytes = pieces.concat();
    assert_eq!(bytes.len() as u64, expected);
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_are_those_of_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let options = BlockCacheOptions {
        folder: folder.path().join("blocks"),
        // Four regions: blocks are thrown out all the time.
        disk_bytes: Some(16 << 20),
        memory_bytes: 1 << 20,
    };
    let cache = BlockCache::open(&options, &Handle::current()).unwrap();
    let inner = Arc::new(InMemory::new());
    let store = Arc::new(CachedStore::new(Arc::clone(&inner) as _, Arc::clone(&cache), "test".to_owned()));
    let lengths = [1, 1000, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES, 21 * BLOCK_BYTES + 77];
    let mut files = Vec::new();
    for (number, length) in lengths.into_iter().enumerate() {
        let path = Path::from(format!("t/{number}"));
        let bytes = Arc::new(content(length, number as u64));
        inner.put(&path, bytes.to_vec().into()).await.unwrap();
        let e_tag = inner.head(&path).await.unwrap().e_tag.unwrap();
        files.push((path, e_tag, bytes));
    }
    let files = Arc::new(files);
    let readers = (0..4_u64).map(|reader| {
        let (store, files, cache) = (Arc::clone(&store), Arc::clone(&files), Arc::clone(&cache));
        async move {
            let mut state = reader * 7919 + 1;
            for round in 0..60 {
                let (path, e_tag, bytes) = &files[usize::try_from(random(&mut state, files.len() as u64)).unwrap()];
                let length = bytes.len() as u64;
                let start = random(&mut state, length);
                let end = start + 1 + random(&mut state, length - start);
                let range = if round % 7 == 0 { None } else { Some(start..end) };
                let got = read(&store, path, e_tag, range.clone()).await;
                let at = |position: u64| usize::try_from(position).unwrap();
                let expected = range.clone().map_or(&bytes[..], |range| &bytes[at(range.start)..at(range.end)]);
                assert!(got == expected, "reader {reader} round {round}: {path} {range:?}");
                if reader == 0 && round == 30 {
                    NamedCache::clear(cache.as_ref());
                }
            }
        }
    });
    futures::future::join_all(readers.map(tokio::spawn)).await.into_iter().for_each(|ended| ended.unwrap());
    let usage = cache.usage();
    assert!(usage.hits > 0 && usage.bytes <= usage.limit_bytes, "{usage:?}");
    // Another version is another object, and one that is gone is not served from here to who asks for the new one.
    let (path, old, bytes) = &files[5];
    inner.put(path, content(bytes.len() as u64, 99).into()).await.unwrap();
    let new = inner.head(path).await.unwrap().e_tag.unwrap();
    assert_ne!(*old, new);
    assert!(read(&store, path, &new, None).await == content(bytes.len() as u64, 99));
    cache.close().await;
    // Closed, it is out of the way.
    assert!(read(&store, path, &new, Some(5..10)).await == content(10, 99)[5..]);
}

#[tokio::test]
async fn what_is_not_of_one_version_goes_through() {
    let folder = tempfile::tempdir().unwrap();
    let options =
        BlockCacheOptions { folder: folder.path().to_owned(), disk_bytes: Some(16 << 20), memory_bytes: 1 << 20 };
    let cache = BlockCache::open(&options, &Handle::current()).unwrap();
    let inner = Arc::new(InMemory::new());
    let store = CachedStore::new(Arc::clone(&inner) as _, Arc::clone(&cache), "test".to_owned());
    let path = Path::from("t/a");
    inner.put(&path, content(1000, 1).into()).await.unwrap();
    for range in [Some(GetRange::Suffix(10)), Some(GetRange::Offset(990)), None] {
        let options = GetOptions { range, ..GetOptions::default() };
        store.get_opts(&path, options).await.unwrap().bytes().await.unwrap();
    }
    store.head(&path).await.unwrap();
    let wrong = GetOptions { if_match: Some("no such version".to_owned()), ..GetOptions::default() };
    let error = store.get_opts(&path, wrong).await.unwrap_err();
    assert!(matches!(error, object_store::Error::Precondition { .. }), "{error}");
    assert_eq!(cache.usage().entries, 0);
    // A range beyond the end is the store's to judge, with blocks here or without.
    let e_tag = inner.head(&path).await.unwrap().e_tag.unwrap();
    assert_eq!(read(&store, &path, &e_tag, Some(900..5000)).await, content(1000, 1)[900..]);
    assert_eq!(read(&store, &path, &e_tag, Some(900..5000)).await, content(1000, 1)[900..]);
    let beyond = GetOptions {
        range: Some(GetRange::Bounded(BLOCK_BYTES * 4..BLOCK_BYTES * 5)),
        if_match: Some(e_tag),
        ..GetOptions::default()
    };
    store.get_opts(&path, beyond).await.unwrap_err();
}
