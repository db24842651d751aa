//! [`MeteredStore`]: a store that counts what one scan asks of it, and does not take a short or stalled body for a whole one.

use std::fmt;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::stream::{BoxStream, StreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetRange, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};

use crate::execute::QueryStats;
use crate::scan::limit::ScanLimit;

/// Longest wait for the next byte of a body. `object_store`'s own timeout is for the whole request and would cut long
/// bodies; this one only cuts stalled ones.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Keys in one page of an S3 listing: what one LIST request can answer.
const LIST_PAGE_KEYS: u64 = 1000;

/// Pieces in which local files are read. Column chunks are mostly smaller and come in one.
const FILE_PIECE_BYTES: usize = 4 << 20;

/// What one scan asked of its store.
#[derive(Debug, Default)]
pub struct StoreCounters {
    /// GET, HEAD and LIST requests.
    pub requests: AtomicU64,
    /// The LIST requests among them.
    pub list_requests: AtomicU64,
    /// Bytes of the bodies that arrived.
    pub bytes: AtomicU64,
    /// Those of them that came from the block cache.
    pub cached_bytes: AtomicU64,
    /// Bytes handed to the block cache.
    kept_bytes: AtomicU64,
}

/// Counts into the scan's counters and the query's.
#[derive(Debug, Clone)]
struct Meter {
    scan: Arc<StoreCounters>,
    query: Arc<QueryStats>,
    /// What the query may read, and the table that is read here.
    limit: Option<(ScanLimit, Arc<str>)>,
}

impl Meter {
    fn requests(&self, count: u64) {
        self.scan.requests.fetch_add(count, Ordering::Relaxed);
        self.query.requests.fetch_add(count, Ordering::Relaxed);
    }

    fn lists(&self, count: u64) {
        self.requests(count);
        self.scan.list_requests.fetch_add(count, Ordering::Relaxed);
    }

    /// Stops a query that has read more than it may.
    fn check(&self) -> Result<()> {
        let Some((limit, table)) = &self.limit else { return Ok(()) };
        let read = QueryStats::get(&self.query.bytes_scanned);
        if read <= limit.0 {
            return Ok(());
        }
        Err(object_store::Error::Generic { store: "limit", source: Box::new(limit.passed(table, read)) })
    }

    fn bytes(&self, count: usize) {
        self.scan.bytes.fetch_add(count as u64, Ordering::Relaxed);
        self.query.bytes_scanned.fetch_add(count as u64, Ordering::Relaxed);
    }
}

/// What one read tells from below: a store that makes requests of its own, or none, takes over counting them. It travels in
/// the read's options; a read that nobody meters has one that counts for nobody.
#[derive(Debug, Clone, Default)]
pub(super) struct ReadMeter {
    meter: Option<Meter>,
    is_taken: Arc<AtomicBool>,
}

impl ReadMeter {
    /// From now on requests are told here.
    pub(super) fn take_over(&self) {
        self.is_taken.store(true, Ordering::Relaxed);
    }

    /// A request is made.
    pub(super) fn request(&self) {
        if let Some(meter) = &self.meter {
            meter.requests(1);
        }
    }

    /// Bytes came from the block cache. They count as read too.
    pub(super) fn cached(&self, count: u64) {
        if let Some(meter) = &self.meter {
            meter.scan.cached_bytes.fetch_add(count, Ordering::Relaxed);
            meter.query.bytes_cached.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// Whether a cache of `limit` bytes may keep `count` more of this scan. One scan may fill half of it: what is larger
    /// than the cache would push out all else, and itself, and be of no use to anyone.
    pub(super) fn may_keep(&self, count: u64, limit: u64) -> bool {
        let Some(meter) = &self.meter else { return true };
        meter.scan.kept_bytes.fetch_add(count, Ordering::Relaxed) + count <= limit / 2
    }
}

/// See the module.
#[derive(Debug)]
pub struct MeteredStore {
    inner: Arc<dyn ObjectStore>,
    meter: Meter,
}

impl MeteredStore {
    /// Counts what goes to `inner`.
    pub fn new(inner: Arc<dyn ObjectStore>, scan: Arc<StoreCounters>, query: Arc<QueryStats>) -> Self {
        Self { inner, meter: Meter { scan, query, limit: None } }
    }

    /// Stops when the query has read more than `limit`, as a scan of `table`.
    #[must_use]
    pub(crate) fn with_limit(mut self, limit: Option<ScanLimit>, table: &str) -> Self {
        self.meter.limit = limit.map(|limit| (limit, Arc::from(table)));
        self
    }
}

impl fmt::Display for MeteredStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for MeteredStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.meter.requests(1);
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.meter.requests(1);
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, mut options: GetOptions) -> Result<GetResult> {
        self.meter.check()?;
        let read = ReadMeter { meter: Some(self.meter.clone()), is_taken: Arc::default() };
        options.extensions.insert(read.clone());
        let head = options.head;
        let result = self.inner.get_opts(location, options).await;
        if !read.is_taken.load(Ordering::Relaxed) {
            self.meter.requests(1);
        }
        let result = result?;
        if head {
            return Ok(result);
        }
        let GetResult { meta, range, attributes, .. } = &result;
        let (meta, range, attributes) = (meta.clone(), range.clone(), attributes.clone());
        let body = match result.payload {
            GetResultPayload::File(file, _) => file_body(file, range.clone(), meta.clone()),
            GetResultPayload::Stream(body) => body,
        };
        let body = whole_body(body, location.clone(), range.end - range.start, self.meter.clone());
        Ok(GetResult { payload: GetResultPayload::Stream(body), meta, range, attributes })
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.meter.check()?;
        let parts = self.inner.get_ranges(location, ranges).await?;
        self.meter.requests(parts.len() as u64);
        for (part, range) in parts.iter().zip(ranges) {
            self.meter.bytes(part.len());
            if part.len() as u64 != range.end - range.start {
                return Err(short_body(location, range.end - range.start, part.len() as u64));
            }
        }
        Ok(parts)
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.meter.requests(1);
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.meter.lists(1);
        let meter = self.meter.clone();
        let mut keys = 0_u64;
        self.inner
            .list(prefix)
            .inspect(move |_| {
                keys += 1;
                if keys > LIST_PAGE_KEYS && keys % LIST_PAGE_KEYS == 1 {
                    meter.lists(1);
                }
            })
            .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let result = self.inner.list_with_delimiter(prefix).await?;
        let keys = (result.objects.len() + result.common_prefixes.len()) as u64;
        self.meter.lists(keys.div_ceil(LIST_PAGE_KEYS).max(1));
        Ok(result)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.meter.requests(1);
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.meter.requests(1);
        self.inner.rename_opts(from, to, options).await
    }
}

/// A local file's bytes, read on the blocking pool: on a worker thread a slow disk would hold up other queries.
/// `object_store`'s own stream does the same in pieces of 8 KiB, and a hop between threads for each.
fn file_body(file: std::fs::File, range: Range<u64>, meta: ObjectMeta) -> BoxStream<'static, Result<Bytes>> {
    let state = Some((Arc::new(file), range));
    let meta = Arc::new(meta);
    futures::stream::unfold(state, move |state| {
        let meta = Arc::clone(&meta);
        async move {
            let (file, range) = state?;
            if range.is_empty() {
                return None;
            }
            let length =
                usize::try_from(range.end - range.start).map_or(FILE_PIECE_BYTES, |left| left.min(FILE_PIECE_BYTES));
            let (at, source, opened) = (range.start, Arc::clone(&file), Arc::clone(&meta));
            let read = tokio::task::spawn_blocking(move || {
                let mut piece = vec![0; length];
                let mut filled = 0;
                while filled < length {
                    match source.read_at(&mut piece[filled..], at + filled as u64) {
                        Ok(0) => break,
                        Ok(count) => filled += count,
                        Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                        Err(error) => return Err(error),
                    }
                }
                piece.truncate(filled);
                let is_same = is_unchanged(&source.metadata()?, &opened);
                Ok((piece, is_same))
            });
            let failed = |source| object_store::Error::Generic { store: "local file", source };
            match read.await {
                // Shorter than it was: the check of the whole body tells.
                Ok(Ok((_, false))) => {
                    let (path, source) = (meta.location.to_string(), "it was written while it was read".into());
                    Some((Err(object_store::Error::Precondition { path, source }), None))
                }
                Ok(Ok((piece, true))) if piece.is_empty() => None,
                Ok(Ok((piece, true))) => {
                    let next = range.start + piece.len() as u64..range.end;
                    Some((Ok(Bytes::from(piece)), Some((file, next))))
                }
                Ok(Err(error)) => Some((Err(failed(error.into())), None)),
                Err(error) => Some((Err(error.into()), None)),
            }
        }
    })
    .boxed()
}

/// Whether an open file is what it was when it was opened. One that is written in its place, even only at its end, may be of
/// two versions now: nobody can tell.
fn is_unchanged(now: &std::fs::Metadata, opened: &ObjectMeta) -> bool {
    now.len() == opened.size && now.modified().is_ok_and(|time| DateTime::<Utc>::from(time) == opened.last_modified)
}

/// `body`, counted; an error at its end if fewer bytes than `expected` came (a chunked body that was cut ends cleanly,
/// and a gzip or CSV reader would take the part for the whole), or after [`STALL_TIMEOUT`] without a byte.
fn whole_body(
    body: BoxStream<'static, Result<Bytes>>,
    location: Path,
    expected: u64,
    meter: Meter,
) -> BoxStream<'static, Result<Bytes>> {
    futures::stream::unfold(Some((body, 0_u64)), move |state| {
        let (location, meter) = (location.clone(), meter.clone());
        async move {
            let (mut body, received) = state?;
            match tokio::time::timeout(STALL_TIMEOUT, body.next()).await {
                Err(_) => {
                    let source = format!("no byte arrived for {} s", STALL_TIMEOUT.as_secs()).into();
                    Some((Err(object_store::Error::Generic { store: "body", source }), None))
                }
                Ok(None) if received < expected => Some((Err(short_body(&location, expected, received)), None)),
                Ok(None) => None,
                Ok(Some(Err(error))) => Some((Err(error), None)),
                Ok(Some(Ok(bytes))) => {
                    meter.bytes(bytes.len());
                    let received = received + bytes.len() as u64;
                    // One that goes on beyond the limit ends here. What is whole was asked for within it.
                    if received < expected
                        && let Err(error) = meter.check()
                    {
                        return Some((Err(error), None));
                    }
                    Some((Ok(bytes), Some((body, received))))
                }
            }
        }
    })
    .boxed()
}

fn short_body(location: &Path, expected: u64, received: u64) -> object_store::Error {
    object_store::Error::Generic {
        store: "body",
        source: format!("\"{location}\" ended after {received} of {expected} bytes").into(),
    }
}

/// A GET of one range of exactly the version `e_tag` names.
pub(crate) fn range_of_version(range: Range<u64>, e_tag: Option<String>) -> GetOptions {
    GetOptions { range: Some(GetRange::Bounded(range)), if_match: e_tag, ..GetOptions::default() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::io::Write;

    use object_store::ObjectStoreExt;
    use object_store::local::LocalFileSystem;

    use super::*;

    /// A local file that is written in its place while it is read: its parts are not put together.
    #[tokio::test]
    async fn a_file_that_is_written_while_it_is_read_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.csv");
        let length = FILE_PIECE_BYTES + 1000;
        for appends in [false, true] {
            std::fs::write(&file, vec![b'a'; length]).unwrap();
            // Times of files are as coarse as the kernel's tick.
            tokio::time::sleep(Duration::from_millis(30)).await;
            let local = Arc::new(LocalFileSystem::new_with_prefix(folder.path()).unwrap());
            let store = MeteredStore::new(local, Arc::default(), Arc::default());
            let whole = store.get(&Path::from("a.csv")).await.unwrap().bytes().await.unwrap();
            assert_eq!(whole.len(), length);
            let mut body = store.get(&Path::from("a.csv")).await.unwrap().into_stream();
            assert_eq!(body.next().await.unwrap().unwrap().len(), FILE_PIECE_BYTES);
            let mut writer = std::fs::File::options().write(true).append(appends).open(&file).unwrap();
            writer.write_all(&vec![b'b'; length]).unwrap();
            let error = body.next().await.unwrap().unwrap_err();
            assert!(matches!(error, object_store::Error::Precondition { .. }), "{error}");
            assert!(body.next().await.is_none());
        }
    }
}
