//! [`Footers`]: Parquet footers and page indexes, read once per file version.
//!
//! In: a store, an object's path and version. Out: its metadata. One GET for a file whose footer fits the guess, none
//! when it is cached. A file's own claims (magic, footer length) are checked against its size before the decoder sees
//! them: the decoder of parquet 59 panics on some files that lie.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use limnos_catalog::FileFacts;
use moka::future::Cache;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};
use parquet::arrow::async_reader::MetadataFetch;
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData};

use super::encryption::has_encrypted_columns;
use super::small_files::SmallFiles;
use crate::cache::{CacheUsage, NamedCache};
use crate::scan::facts::{KnownFiles, facts_of, file_version};
use crate::scan::store::{file_changed, range_of_version, read_error};
use crate::{Error, ErrorCode, Result};

/// What is read at the end of a file whose footer isn't known: most footers with their page indexes are smaller.
const FOOTER_GUESS_BYTES: u64 = 64 << 10;

/// Files up to this size are read whole, in one request.
pub(crate) const SMALL_FILE_BYTES: u64 = 256 << 10;

/// A footer beyond this is refused: it takes many times its size when decoded.
const FOOTER_BYTES_MAX: u64 = 64 << 20;

/// `PAR1` at both ends, four bytes of footer length.
const SHORTEST_FILE_BYTES: u64 = 12;

/// What a file of `size` bytes whose footer isn't known is asked for first when it is opened.
pub(crate) fn first_range(size: u64) -> Option<Range<u64>> {
    match size {
        ..SHORTEST_FILE_BYTES => None,
        SHORTEST_FILE_BYTES..=SMALL_FILE_BYTES => Some(0..size),
        _ => Some(size - FOOTER_GUESS_BYTES..size),
    }
}

/// One exact version of one object.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FileKey {
    /// `s3://bucket` or `file://`.
    pub store_url: Arc<str>,
    /// The object.
    pub path: Path,
    /// Its ETag, or size and time of modification where the store has none.
    pub version: String,
}

impl FileKey {
    /// The key of `meta` in the store at `store_url`.
    pub fn new(store_url: &Arc<str>, meta: &ObjectMeta) -> Self {
        let version = match &meta.e_tag {
            Some(e_tag) => e_tag.clone(),
            None => format!("{}-{}", meta.size, meta.last_modified.timestamp_micros()),
        };
        Self { store_url: Arc::clone(store_url), path: meta.location.clone(), version }
    }
}

/// A footer, and the facts that were made of it; none where its columns can't be understood.
#[derive(Debug, Clone)]
pub struct Footer {
    /// With page indexes where the file has them.
    pub metadata: Arc<ParquetMetaData>,
    /// See [`crate::scan::facts`].
    pub facts: Option<Arc<FileFacts>>,
}

/// The cache. Grows to its bound in bytes of decoded metadata; concurrent readers of one file share one request.
#[derive(Debug)]
pub struct Footers {
    cache: Cache<FileKey, Footer>,
    limit_bytes: u64,
    /// Told of every footer that is read.
    known: Option<Arc<KnownFiles>>,
    lookups: AtomicU64,
    misses: AtomicU64,
}

impl Footers {
    /// A cache of at most `bytes_max` bytes.
    pub fn new(bytes_max: u64, known: Option<Arc<KnownFiles>>) -> Self {
        let cache = Cache::builder()
            .max_capacity(bytes_max)
            .weigher(|key: &FileKey, footer: &Footer| {
                let key_bytes = key.path.as_ref().len() + key.version.len() + 64;
                u32::try_from(footer.metadata.memory_size() + key_bytes).unwrap_or(u32::MAX)
            })
            .build();
        Self { cache, limit_bytes: bytes_max, known, lookups: AtomicU64::new(0), misses: AtomicU64::new(0) }
    }

    /// How many footers are held, and their bytes.
    pub fn usage(&self) -> (u64, u64) {
        (self.cache.entry_count(), self.cache.weighted_size())
    }

    /// How often a footer was at hand, and how often it had to be read.
    pub fn hits_and_misses(&self) -> (u64, u64) {
        let misses = self.misses.load(Ordering::Relaxed);
        (self.lookups.load(Ordering::Relaxed).saturating_sub(misses), misses)
    }

    /// A footer, if it is at hand. Not counted as a lookup.
    pub(super) async fn at_hand(&self, key: &FileKey) -> Option<Arc<ParquetMetaData>> {
        self.cache.get(key).await.map(|footer| footer.metadata)
    }

    /// Whether the footer is at hand.
    pub fn contains(&self, key: &FileKey) -> bool {
        self.cache.contains_key(key)
    }

    /// The footer of `meta`, with page indexes where the file has them.
    ///
    /// # Errors
    /// What the store says; [`ErrorCode::DataCorrupted`] when the bytes are no Parquet file.
    pub async fn get(
        &self,
        key: &FileKey,
        store: &Arc<dyn ObjectStore>,
        meta: &ObjectMeta,
        small_files: &SmallFiles,
    ) -> Result<Footer> {
        self.lookups.fetch_add(1, Ordering::Relaxed);
        self.cache
            .try_get_with(key.clone(), async {
                self.misses.fetch_add(1, Ordering::Relaxed);
                let url = format!("{}/{}", key.store_url, key.path);
                let metadata = Arc::new(read_footer(store, meta, small_files, &url).await?);
                // What a footer claims may panic whoever believes it; then nothing is known of the file.
                let facts = catch_unwind(AssertUnwindSafe(|| facts_of(&metadata))).ok().flatten();
                let facts = facts.map(|facts| match &self.known {
                    Some(known) => known.tell(file_version(&key.store_url, meta), facts),
                    None => Arc::new(facts),
                });
                Ok(Footer { metadata, facts })
            })
            .await
            .map_err(|error: Arc<Error>| (*error).clone())
    }
}

impl NamedCache for Footers {
    fn name(&self) -> &'static str {
        "footers"
    }

    fn usage(&self) -> CacheUsage {
        // What was put in or thrown out last is counted by then. It waits for nothing; if it did, the numbers are a
        // moment old.
        let _counted = self.cache.run_pending_tasks().now_or_never();
        let (entries, bytes) = Self::usage(self);
        let (hits, misses) = self.hits_and_misses();
        CacheUsage { entries, bytes, limit_bytes: self.limit_bytes, hits, misses }
    }

    fn clear(&self) {
        self.cache.invalidate_all();
    }
}

fn corrupt(url: &str, reason: impl std::fmt::Display) -> Error {
    Error::new(ErrorCode::DataCorrupted, format!("file \"{url}\" is not a valid Parquet file"))
        .with_detail(format!("{reason}."))
}

async fn read_footer(
    store: &Arc<dyn ObjectStore>,
    meta: &ObjectMeta,
    small_files: &SmallFiles,
    url: &str,
) -> Result<ParquetMetaData> {
    let size = meta.size;
    if size < SHORTEST_FILE_BYTES {
        return Err(corrupt(url, format_args!("It has {size} bytes, fewer than the shortest one")));
    }
    let tail_start = if small_files.wants(&meta.location, size) { 0 } else { size.saturating_sub(FOOTER_GUESS_BYTES) };
    let mut tail = fetch(store, meta, tail_start..size, url).await?;
    if tail_start == 0 && size <= SMALL_FILE_BYTES {
        small_files.put(&meta.location, &tail);
    }
    let footer_bytes = footer_length(&tail, size, url)?;
    let footer_start = size - 8 - footer_bytes;
    let mut tail_offset = tail_start;
    if footer_start < tail_start {
        tail = fetch(store, meta, footer_start..size, url).await?;
        tail_offset = footer_start;
    }
    let from = usize::try_from(footer_start - tail_offset).expect("it lies inside the tail");
    let footer = tail.slice(from..tail.len() - 8);
    if has_encrypted_columns(&footer) {
        return Err(Error::unsupported(format!("file \"{url}\" is encrypted"))
            .with_detail("Parquet files with encrypted columns are not supported."));
    }
    let metadata = guard(url, || ParquetMetaDataReader::decode_metadata(&footer))?;

    check_ranges(&metadata, size, url)?;

    let mut reader =
        ParquetMetaDataReader::new_with_metadata(metadata).with_page_index_policy(PageIndexPolicy::Optional);
    let source = TailFetch { tail, tail_offset, store, meta, url };
    // `load_page_index` decodes between its awaits: the guard is around each poll.
    let loaded = AssertUnwindSafe(reader.load_page_index(source)).catch_unwind().await;
    loaded
        .map_err(|_| corrupt(url, "Its page index cannot be decoded"))?
        .map_err(|error| parquet_error(url, &error))?;
    guard(url, || reader.finish())
}

/// The length of the footer, checked against the file's.
fn footer_length(tail: &[u8], size: u64, url: &str) -> Result<u64> {
    let (rest, magic) = tail.split_at(tail.len() - 4);
    match magic {
        b"PAR1" => {}
        b"PARE" => {
            return Err(Error::unsupported(format!("file \"{url}\" is encrypted"))
                .with_detail("Parquet files with an encrypted footer are not supported."));
        }
        _ => return Err(corrupt(url, "It does not end in the magic bytes PAR1")),
    }
    let length = rest.last_chunk::<4>().map(|bytes| u64::from(u32::from_le_bytes(*bytes))).unwrap_or_default();
    if length == 0 || length + SHORTEST_FILE_BYTES > size {
        return Err(corrupt(url, format_args!("Its footer claims {length} bytes in a file of {size}")));
    }
    if length > FOOTER_BYTES_MAX {
        return Err(Error::new(ErrorCode::ProgramLimitExceeded, format!("the footer of file \"{url}\" is too large"))
            .with_detail(format!("It has {length} bytes; at most {FOOTER_BYTES_MAX} are read.")));
    }
    Ok(length)
}

/// Whether all that the file says it has lies inside it: the reader believes it.
fn check_ranges(metadata: &ParquetMetaData, size: u64, url: &str) -> Result<()> {
    for column in metadata.row_groups().iter().flat_map(RowGroupMetaData::columns) {
        let start = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
        let end = start.checked_add(column.compressed_size()).and_then(|end| u64::try_from(end).ok());
        if start < 0 || column.compressed_size() < 0 || end.is_none_or(|end| end > size) {
            return Err(corrupt(url, "A column lies outside the file"));
        }
    }
    Ok(())
}

/// Runs a decoder, turning its panic into an error about the file.
fn guard<T>(url: &str, decode: impl FnOnce() -> parquet::errors::Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(decode))
        .map_err(|_| corrupt(url, "Its footer cannot be decoded"))?
        .map_err(|error| parquet_error(url, &error))
}

fn parquet_error(url: &str, error: &ParquetError) -> Error {
    if let ParquetError::External(source) = error
        && let Some(own) = source.downcast_ref::<Error>()
    {
        return own.clone();
    }
    corrupt(url, error)
}

pub(super) async fn fetch(
    store: &Arc<dyn ObjectStore>,
    meta: &ObjectMeta,
    range: Range<u64>,
    url: &str,
) -> Result<Bytes> {
    let options = range_of_version(range, meta.e_tag.clone());
    let result = store.get_opts(&meta.location, options).await.map_err(|error| read_error(url, &error))?;
    // A store that doesn't know If-Match answers with the version it has.
    if let (Some(planned), Some(found)) = (&meta.e_tag, &result.meta.e_tag)
        && planned != found
    {
        return Err(file_changed(url));
    }
    result.bytes().await.map_err(|error| read_error(url, &error))
}

/// What makes one request for a part of a file.
pub(super) fn fetching(
    store: &Arc<dyn ObjectStore>,
    meta: &ObjectMeta,
    url: &str,
) -> impl Fn(Range<u64>) -> BoxFuture<'static, Result<Bytes>> + Clone + Send + use<> {
    let (store, meta, url) = (Arc::clone(store), meta.clone(), url.to_owned());
    move |range| {
        let (store, meta, url) = (Arc::clone(&store), meta.clone(), url.clone());
        async move { fetch(&store, &meta, range, &url).await }.boxed()
    }
}

/// Serves what the page index reader asks for from the tail that is at hand, else from the store.
struct TailFetch<'a> {
    tail: Bytes,
    tail_offset: u64,
    store: &'a Arc<dyn ObjectStore>,
    meta: &'a ObjectMeta,
    url: &'a str,
}

impl MetadataFetch for TailFetch<'_> {
    fn fetch(&mut self, range: Range<u64>) -> BoxFuture<'_, parquet::errors::Result<Bytes>> {
        async move {
            if range.start >= range.end || range.end > self.meta.size {
                let reason = format!("Its page index claims bytes {} to {}", range.start, range.end);
                return Err(ParquetError::External(Box::new(corrupt(self.url, reason))));
            }
            if range.start >= self.tail_offset {
                let slice = |at: u64| usize::try_from(at - self.tail_offset).expect("it lies inside the tail");
                return Ok(self.tail.slice(slice(range.start)..slice(range.end)));
            }
            fetch(self.store, self.meta, range, self.url).await.map_err(|error| ParquetError::External(Box::new(error)))
        }
        .boxed()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use object_store::ObjectStoreExt;
    use object_store::memory::InMemory;

    use super::*;

    async fn footer_of(bytes: &[u8]) -> Result<Footer> {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let path = Path::from("lake/x.parquet");
        store.put(&path, bytes.to_vec().into()).await.unwrap();
        let meta = store.head(&path).await.unwrap();
        let key = FileKey::new(&Arc::from("mem://"), &meta);
        Footers::new(1 << 20, None).get(&key, &store, &meta, &SmallFiles::default()).await
    }

    /// Files that claim to be Parquet and are not: each an error that names the file, none a panic.
    #[tokio::test]
    async fn damaged_files_are_told() {
        let valid = sample();
        let mut cases: Vec<Vec<u8>> = vec![
            vec![],
            b"PAR1".to_vec(),
            b"PAR1PAR1".to_vec(),
            b"PAR1\0\0\0\0PAR1".to_vec(),
            b"PAR1\xff\xff\xff\xffPAR1".to_vec(),
            b"PAR1xxxxxxxx\x08\0\0\0PAR1".to_vec(),
            valid[..valid.len() - 1].to_vec(),
            valid[valid.len() / 2..].to_vec(),
        ];
        let footer_start = valid.len() - 200;
        for at in (footer_start..valid.len() - 8).step_by(3) {
            let mut flipped = valid.clone();
            flipped[at] ^= 0xff;
            cases.push(flipped);
        }
        for case in &cases[..8] {
            let error = footer_of(case).await.unwrap_err();
            assert_eq!(error.code, ErrorCode::DataCorrupted, "{error}");
            assert!(error.message.contains("mem:///lake/x.parquet"), "{error}");
        }
        for case in &cases[8..] {
            // A flipped byte may leave a readable footer (in a name, say); it must not panic.
            if let Err(error) = footer_of(case).await {
                assert!(matches!(error.code, ErrorCode::DataCorrupted | ErrorCode::ProgramLimitExceeded), "{error}");
            }
        }
        let footer = footer_of(&valid).await.unwrap();
        assert_eq!(footer.metadata.file_metadata().num_rows(), 3);
        assert_eq!(footer.facts.unwrap().row_count, 3);
    }

    fn sample() -> Vec<u8> {
        use arrow::array::{Int64Array, RecordBatch};
        let batch = RecordBatch::try_from_iter([("id", Arc::new(Int64Array::from(vec![1, 2, 3])) as _)]).unwrap();
        let mut bytes = Vec::new();
        let mut writer = parquet::arrow::ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        bytes
    }
}
