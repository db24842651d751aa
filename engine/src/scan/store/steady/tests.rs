//! Bodies that break at random, on a schedule that a seed decides: what comes out is exactly right or an error.

use std::sync::atomic::{AtomicU64, Ordering};

use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use object_store::memory::InMemory;

use super::*;

/// A store whose answers are spoilt as a seed says.
#[derive(Debug)]
struct Faulty {
    inner: InMemory,
    random: AtomicU64,
    /// Of a thousand answers so many are spoilt.
    spoilt: u64,
    requests: AtomicU64,
    /// Objects are replaced by others of the same length, after so many requests.
    replace_after: u64,
}

impl Faulty {
    fn new(seed: u64, spoilt: u64) -> Self {
        let random = AtomicU64::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let requests = AtomicU64::new(0);
        Self { inner: InMemory::new(), random, spoilt, requests, replace_after: u64::MAX }
    }

    /// Xorshift: the same each time for one seed.
    fn random(&self, below: u64) -> u64 {
        let mut state = self.random.load(Ordering::Relaxed);
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        self.random.store(state, Ordering::Relaxed);
        state % below
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("faulty")
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn get_opts(&self, location: &Path, mut options: GetOptions) -> Result<GetResult> {
        // This store's ETags have no quotes, and it wants them so.
        options.if_match = options.if_match.map(|e_tag| e_tag.trim_matches('"').to_owned());
        if self.requests.fetch_add(1, Ordering::Relaxed) == self.replace_after {
            let length = self.inner.head(location).await?.size;
            let other = vec![b'!'; usize::try_from(length).unwrap()];
            self.inner.put(location, other.into()).await?;
        }
        let result = self.inner.get_opts(location, options).await?;
        let (meta, range, attributes) = (result.meta.clone(), result.range.clone(), result.attributes.clone());
        let mut bytes = result.bytes().await?;
        let mut pieces: Vec<Result<Bytes>> = Vec::new();
        let fault = if self.random(1000) < self.spoilt { self.random(4) } else { 9 };
        let length = bytes.len() as u64;
        match fault {
            // Short, and ends well; or stands still.
            0 | 1 => bytes = bytes.slice(..usize::try_from(self.random(length.max(1))).unwrap()),
            // Longer than it may be.
            2 => bytes = [bytes.as_ref(), b"beyond"].concat().into(),
            // An error in the middle.
            3 => bytes = bytes.slice(..usize::try_from(length / 2).unwrap()),
            _ => {}
        }
        while !bytes.is_empty() {
            let size = (1 + self.random(700)).min(bytes.len() as u64);
            pieces.push(Ok(bytes.split_to(usize::try_from(size).unwrap())));
        }
        if fault == 3 {
            pieces.push(Err(broken("reset".to_owned())));
        }
        let body = stream::iter(pieces);
        let body = if fault == 1 { body.chain(stream::pending()).boxed() } else { body.boxed() };
        Ok(GetResult { payload: GetResultPayload::Stream(body), meta, range, attributes })
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
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
}

fn content(length: usize) -> Vec<u8> {
    (0..length).map(|at| b'a' + u8::try_from(at % 23).unwrap()).collect()
}

async fn read(store: &SteadyStore, path: &Path, range: Option<std::ops::Range<u64>>) -> Result<Vec<u8>> {
    let options = GetOptions { range: range.map(GetRange::Bounded), ..GetOptions::default() };
    let pieces: Vec<Bytes> = store.get_opts(path, options).await?.into_stream().try_collect().await?;
    Ok(pieces.concat())
}

#[tokio::test]
async fn a_body_is_whole_or_an_error() {
    let path = Path::from("t/a.csv");
    let (mut right, mut failed, mut resumed) = (0, 0, 0);
    for seed in 0..120 {
        let spoilt = [100, 300, 700, 1000][usize::try_from(seed % 4).unwrap()];
        let length = [1, 500, 5000, 20_000][usize::try_from(seed / 4 % 4).unwrap()];
        let faulty = Arc::new(Faulty::new(seed, spoilt));
        faulty.inner.put(&path, content(length).into()).await.unwrap();
        let store = SteadyStore::new(Arc::clone(&faulty) as _);
        let part = length as u64 / 3..length as u64;
        for (range, expected) in [(None, content(length)), (Some(part.clone()), content(length)[length / 3..].to_vec())]
        {
            match read(&store, &path, range).await {
                Ok(bytes) => {
                    assert!(bytes == expected, "seed {seed}: {} of {length} bytes", bytes.len());
                    right += 1;
                }
                Err(error) => {
                    assert!(error.to_string().contains("t/a.csv") || error.to_string().contains("reset"), "{error}");
                    failed += 1;
                }
            }
        }
        resumed += faulty.requests.load(Ordering::Relaxed) - 2;
    }
    assert!(right > 100 && failed > 20 && resumed > 50, "{right} right, {failed} failed, {resumed} resumed");
}

#[tokio::test]
async fn another_version_is_never_appended() {
    let path = Path::from("t/a.csv");
    for seed in 0..40 {
        let faulty = Faulty { replace_after: 1, ..Faulty::new(seed, 600) };
        faulty.inner.put(&path, content(5000).into()).await.unwrap();
        let store = SteadyStore::new(Arc::new(faulty));
        match read(&store, &path, None).await {
            Ok(bytes) => assert!(bytes == content(5000), "seed {seed}"),
            Err(object_store::Error::Precondition { .. }) => {}
            Err(error) => {
                assert!(error.to_string().contains("beyond") || error.to_string().contains("reset"), "{error}")
            }
        }
    }
}

#[tokio::test]
async fn listings_that_run_in_circles_end() {
    let meta = |number: u64| ObjectMeta {
        location: Path::from(format!("t/{number}")),
        last_modified: chrono::DateTime::default(),
        size: 1,
        e_tag: None,
        version: None,
    };
    for (lead, circle) in [(0, 1), (0, 1000), (5, 3), (2500, 1000)] {
        let numbers = (0..lead).chain((0..).map(move |at| lead + at % circle));
        let keys = ending(stream::iter(numbers.map(move |number| Ok(meta(number)))).boxed());
        let seen = keys.take_while(|key| std::future::ready(key.is_ok())).count().await as u64;
        assert!(seen <= 3 * (lead + circle) + 3, "{lead} {circle}: {seen}");
    }
    let straight = ending(stream::iter((0..10_000).map(move |number| Ok(meta(number)))).boxed());
    assert_eq!(straight.try_collect::<Vec<_>>().await.unwrap().len(), 10_000);
}
