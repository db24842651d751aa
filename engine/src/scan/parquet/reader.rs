//! [`ReaderFactory`]: how DataFusion's Parquet scan gets its bytes: footers from our cache, small files in one request,
//! and every request pinned to the version that was planned.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::ParquetFileMetrics;
use datafusion::datasource::physical_plan::ParquetFileReaderFactory;
use datafusion::error::Result as DataFusionResult;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::future::{BoxFuture, FutureExt};
use futures::stream::{self, StreamExt};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, coalesce_ranges};
use parking_lot::Mutex;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;

use super::footer::{FileKey, Footers, SMALL_FILE_BYTES, fetch};

/// Two ranges closer than this are read in one request: on a network a request costs more than these bytes.
const REMOTE_GAP_BYTES: u64 = 1 << 20;

/// The same on local disk, where only a system call is saved.
const LOCAL_GAP_BYTES: u64 = 32 << 10;

/// What one scan may hold of small files between reading their footers and their rows.
const SMALL_FILES_BYTES_MAX: usize = 32 << 20;

/// The small files of one scan, read whole together with their footers.
#[derive(Debug, Default)]
pub struct SmallFiles {
    files: Mutex<(HashMap<Path, Bytes>, usize)>,
}

impl SmallFiles {
    /// Keeps a file, if there is room.
    pub(super) fn put(&self, path: &Path, bytes: &Bytes) {
        let mut files = self.files.lock();
        if files.1 + bytes.len() <= SMALL_FILES_BYTES_MAX {
            files.1 += bytes.len();
            files.0.insert(path.clone(), bytes.clone());
        }
    }

    fn get(&self, path: &Path) -> Option<Bytes> {
        self.files.lock().0.get(path).cloned()
    }
}

/// Footers read at the same time.
pub(crate) const FOOTER_CONCURRENCY: usize = 32;

/// The files that a scan was planned over from what the catalog knows, footers unread. A plan that never runs, or is
/// answered from statistics, never reads them; one that runs reads them together when its first file is opened, for one
/// after the other each would cost a round trip.
#[derive(Debug, Default)]
pub struct FootersAhead {
    files: Vec<ObjectMeta>,
    done: tokio::sync::OnceCell<()>,
}

impl FootersAhead {
    /// The footers of `files`.
    pub fn new(files: Vec<ObjectMeta>) -> Self {
        Self { files, done: tokio::sync::OnceCell::new() }
    }

    /// Reads them, once. What goes wrong is told when the file itself is opened.
    pub(super) async fn read(
        &self,
        footers: &Footers,
        store: &Arc<dyn ObjectStore>,
        store_url: &Arc<str>,
        small_files: &SmallFiles,
    ) {
        let read = || async {
            let reads = self.files.iter().map(|meta| async move {
                let key = FileKey::new(store_url, meta);
                let _told_later = footers.get(&key, store, meta, small_files).await;
            });
            stream::iter(reads.collect::<Vec<_>>()).buffer_unordered(FOOTER_CONCURRENCY).for_each(async |()| ()).await;
        };
        self.done.get_or_init(read).await;
    }
}

/// Makes the readers of one scan.
#[derive(Debug)]
pub struct ReaderFactory {
    /// The scan's metered store.
    pub store: Arc<dyn ObjectStore>,
    /// The real store's URL, for cache keys and messages.
    pub store_url: Arc<str>,
    /// Whether requests cross a network.
    pub is_remote: bool,
    /// The engine's footer cache.
    pub footers: Arc<Footers>,
    /// The scan's small files.
    pub small_files: Arc<SmallFiles>,
    /// The footers that planning did without.
    pub ahead: Arc<FootersAhead>,
}

impl ReaderFactory {
    fn gap_bytes(&self) -> u64 {
        if self.is_remote { REMOTE_GAP_BYTES } else { LOCAL_GAP_BYTES }
    }

    /// The footer of `meta`.
    ///
    /// # Errors
    /// As [`Footers::get`].
    pub(super) async fn footer(&self, meta: &ObjectMeta) -> crate::Result<Arc<ParquetMetaData>> {
        let key = FileKey::new(&self.store_url, meta);
        Ok(self.footers.get(&key, &self.store, meta, &self.small_files).await?.metadata)
    }

    /// The requests that a call for `ranges` is: those that lie close together are one, as [`coalesce_ranges`] does.
    pub(super) fn merged(&self, ranges: &[Range<u64>]) -> Vec<Range<u64>> {
        let mut ranges = ranges.to_vec();
        ranges.sort_unstable_by_key(|range| range.start);
        let mut merged: Vec<Range<u64>> = Vec::with_capacity(ranges.len());
        for range in ranges {
            match merged.last_mut() {
                Some(last) if range.start.saturating_sub(last.end) <= self.gap_bytes() => {
                    last.end = last.end.max(range.end);
                }
                _ => merged.push(range),
            }
        }
        merged
    }

    /// The bytes of a file that is read whole, however little of it is asked for.
    pub(super) fn whole_bytes(&self, meta: &ObjectMeta) -> Option<u64> {
        (meta.size <= SMALL_FILE_BYTES).then_some(meta.size)
    }

    /// Whether the file came whole with its footer.
    pub(super) fn is_at_hand(&self, meta: &ObjectMeta) -> bool {
        self.small_files.get(&meta.location).is_some()
    }
}

impl ParquetFileReaderFactory for ReaderFactory {
    fn create_reader(
        &self,
        partition_index: usize,
        file: PartitionedFile,
        _metadata_size_hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> DataFusionResult<Box<dyn AsyncFileReader + Send>> {
        let meta = file.object_meta;
        Ok(Box::new(Reader {
            metrics: ParquetFileMetrics::new(partition_index, meta.location.as_ref(), metrics),
            key: FileKey::new(&self.store_url, &meta),
            url: format!("{}/{}", self.store_url, meta.location),
            store: Arc::clone(&self.store),
            gap_bytes: self.gap_bytes(),
            footers: Arc::clone(&self.footers),
            small_files: Arc::clone(&self.small_files),
            ahead: Arc::clone(&self.ahead),
            store_url: Arc::clone(&self.store_url),
            meta,
        }))
    }
}

struct Reader {
    metrics: ParquetFileMetrics,
    key: FileKey,
    url: String,
    meta: ObjectMeta,
    store: Arc<dyn ObjectStore>,
    gap_bytes: u64,
    footers: Arc<Footers>,
    small_files: Arc<SmallFiles>,
    ahead: Arc<FootersAhead>,
    store_url: Arc<str>,
}

fn external(error: crate::Error) -> ParquetError {
    ParquetError::External(Box::new(error))
}

impl Reader {
    /// The whole file, if it is small: from the scan's small files, else in one request.
    async fn whole(&self) -> Option<parquet::errors::Result<Bytes>> {
        if self.meta.size > SMALL_FILE_BYTES {
            return None;
        }
        if let Some(bytes) = self.small_files.get(&self.meta.location) {
            return Some(Ok(bytes));
        }
        let bytes = fetch(&self.store, &self.meta, 0..self.meta.size, &self.url).await;
        if let Ok(bytes) = &bytes {
            self.small_files.put(&self.meta.location, bytes);
        }
        Some(bytes.map_err(external))
    }

    fn check(&self, range: &Range<u64>) -> parquet::errors::Result<()> {
        if range.start <= range.end && range.end <= self.meta.size {
            return Ok(());
        }
        let detail =
            format!("Its footer claims bytes {} to {} in a file of {}.", range.start, range.end, self.meta.size);
        let message = format!("file \"{}\" is not a valid Parquet file", self.url);
        Err(external(crate::Error::new(crate::ErrorCode::DataCorrupted, message).with_detail(detail)))
    }
}

fn slice(bytes: &Bytes, range: &Range<u64>) -> Bytes {
    let at = |offset: u64| usize::try_from(offset).expect("a small file fits in memory");
    bytes.slice(at(range.start)..at(range.end))
}

impl AsyncFileReader for Reader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, parquet::errors::Result<Bytes>> {
        async move {
            let mut ranges = self.get_byte_ranges(vec![range]).await?;
            Ok(ranges.pop().unwrap_or_default())
        }
        .boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, parquet::errors::Result<Vec<Bytes>>> {
        async move {
            for range in &ranges {
                self.check(range)?;
                self.metrics.bytes_scanned.add(usize::try_from(range.end - range.start).unwrap_or(usize::MAX));
            }
            if let Some(whole) = self.whole().await {
                let whole = whole?;
                return Ok(ranges.iter().map(|range| slice(&whole, range)).collect());
            }
            coalesce_ranges(&ranges, |range| fetch(&self.store, &self.meta, range, &self.url), self.gap_bytes)
                .await
                .map_err(external)
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, parquet::errors::Result<Arc<ParquetMetaData>>> {
        async move {
            self.ahead.read(&self.footers, &self.store, &self.store_url, &self.small_files).await;
            let footer = self.footers.get(&self.key, &self.store, &self.meta, &self.small_files).await;
            footer.map(|footer| footer.metadata).map_err(external)
        }
        .boxed()
    }
}
