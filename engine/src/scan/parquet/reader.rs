//! [`ReaderFactory`]: how DataFusion's Parquet scan gets its bytes: footers from our cache, small files in one request,
//! and every request pinned to the version that was planned.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::ParquetFileMetrics;
use datafusion::datasource::physical_plan::ParquetFileReaderFactory;
use datafusion::error::Result as DataFusionResult;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::future::{BoxFuture, FutureExt};
use futures::stream::{self, StreamExt};
use object_store::{ObjectMeta, ObjectStore};
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;

use super::footer::{FileKey, Footers, SMALL_FILE_BYTES, fetch, fetching};
use super::requests::{Link, Pieces, requests};
use super::row_groups::RowGroupsAhead;
use super::small_files::{SmallFiles, Whole};
use crate::scan::ahead::{Ahead, Follows};
use crate::{Error, ErrorCode};

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
    /// The scan's metered store, or what is ahead of it.
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
    /// Where the scan fetches ahead.
    pub(crate) read_ahead: Option<Arc<Ahead>>,
}

impl ReaderFactory {
    /// The footer of `meta`.
    ///
    /// # Errors
    /// As [`Footers::get`].
    pub(super) async fn footer(&self, meta: &ObjectMeta) -> crate::Result<Arc<ParquetMetaData>> {
        let key = FileKey::new(&self.store_url, meta);
        Ok(self.footers.get(&key, &self.store, meta, &self.small_files).await?.metadata)
    }

    /// The requests that a call for `ranges` is.
    pub(super) fn merged(&self, ranges: &[Range<u64>]) -> Vec<Range<u64>> {
        requests(ranges, Link::new(self.is_remote))
    }

    /// The bytes of a file that is read whole, however little of it is asked for.
    pub(super) fn whole_bytes(&self, meta: &ObjectMeta) -> Option<u64> {
        (meta.size <= SMALL_FILE_BYTES).then_some(meta.size)
    }

    /// Whether the file came whole with its footer.
    pub(super) fn is_at_hand(&self, meta: &ObjectMeta) -> bool {
        self.small_files.contains(&meta.location)
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
        let meta = file.object_meta.clone();
        let row_groups = self
            .read_ahead
            .as_ref()
            .filter(|_| meta.size > SMALL_FILE_BYTES)
            .map(|ahead| (Arc::clone(ahead), RowGroupsAhead::new(file.clone(), Arc::clone(ahead.room()))));
        Ok(Box::new(Reader {
            metrics: ParquetFileMetrics::new(partition_index, meta.location.as_ref(), metrics),
            key: FileKey::new(&self.store_url, &meta),
            url: format!("{}/{}", self.store_url, meta.location),
            store: Arc::clone(&self.store),
            link: Link::new(self.is_remote),
            row_groups,
            footers: Arc::clone(&self.footers),
            whole: OnceLock::new(),
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
    link: Link,
    row_groups: Option<(Arc<Ahead>, RowGroupsAhead)>,
    footers: Arc<Footers>,
    /// A small file, opened when its rows are asked for: who only looks takes nothing from those who read.
    whole: OnceLock<Arc<Whole>>,
    small_files: Arc<SmallFiles>,
    ahead: Arc<FootersAhead>,
    store_url: Arc<str>,
}

fn external(error: Error) -> ParquetError {
    ParquetError::External(Box::new(error))
}

impl Reader {
    /// The whole file, if it is small: what is at hand, else in one request.
    async fn whole(&self) -> Option<parquet::errors::Result<Bytes>> {
        if self.meta.size > SMALL_FILE_BYTES {
            return None;
        }
        let fetch = || fetch(&self.store, &self.meta, 0..self.meta.size, &self.url);
        let whole = self.whole.get_or_init(|| self.small_files.open(&self.meta.location));
        let bytes = whole.get_or_try_init(fetch).await;
        Some(bytes.cloned().map_err(external))
    }

    /// What makes one request.
    fn fetching(&self) -> impl Fn(Range<u64>) -> BoxFuture<'static, crate::Result<Bytes>> + Clone + Send + use<> {
        fetching(&self.store, &self.meta, &self.url)
    }

    /// Begins to fetch the row group that follows the one of `ranges`.
    async fn begin_next(&mut self, ranges: &[Range<u64>]) {
        let fetching = self.fetching();
        let Some((ahead, row_groups)) = &mut self.row_groups else { return };
        let follows = ahead.follows();
        if matches!(follows, Follows::Unknown) {
            return;
        }
        if let Some(metadata) = self.footers.at_hand(&self.key).await {
            row_groups.begin(ranges, &metadata, &follows, self.link, fetching);
        }
    }

    fn check(&self, range: &Range<u64>) -> parquet::errors::Result<()> {
        if range.start <= range.end && range.end <= self.meta.size {
            return Ok(());
        }
        let detail =
            format!("Its footer claims bytes {} to {} in a file of {}.", range.start, range.end, self.meta.size);
        let message = format!("file \"{}\" is not a valid Parquet file", self.url);
        Err(external(Error::new(ErrorCode::DataCorrupted, message).with_detail(detail)))
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
            let begun = match &mut self.row_groups {
                Some((ahead, row_groups)) => {
                    row_groups.take_over(ahead, &self.meta.location).await;
                    row_groups.take(&ranges)
                }
                None => None,
            };
            self.begin_next(&ranges).await;
            let pieces = match begun {
                Some(mut begun) => (&mut begun.0).await.unwrap_or_else(|error| Err(Error::internal(error.to_string()))),
                None => Pieces::fetch(requests(&ranges, self.link), self.fetching()).await,
            };
            let pieces = pieces.map_err(external)?;
            Ok(ranges.iter().map(|range| pieces.slice(range)).collect())
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
