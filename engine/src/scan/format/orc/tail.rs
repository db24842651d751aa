//! The end of a file: what types, stripes and statistics it has, read once per version ([`OrcTails`]).
//!
//! In: a store, an object. Out: a [`Tail`], whose every length was checked against the file's. One request for a file whose
//! tail fits the guess, none when it is cached.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::datatypes::{DataType as ArrowType, Field, Schema, SchemaRef, UnionFields, UnionMode};
use bytes::Bytes;
use futures::future::FutureExt;
use limnos_catalog::FileFacts;
use limnos_catalog::facts::ColumnFacts;
use moka::future::Cache;
use object_store::{ObjectMeta, ObjectStore};

use super::protobuf::{Fields, Value};
use super::statistics::column_facts;
use super::stream::{ByteStream, Compression};
use super::types::{ColumnType, columns};
use super::{Decoded, Fault};
use crate::cache::{CacheUsage, NamedCache};
use crate::scan::facts::{KnownFiles, file_version};
use crate::scan::format::block::Codec;
use crate::scan::format::input::{corrupted, read_range};
use crate::scan::parquet::{FileKey, file_positions};
use crate::scan::schema::arrow_field;
use crate::{Error, ErrorCode, Result};

/// What is read at the end of a file whose tail isn't known.
const GUESS_BYTES: u64 = 64 << 10;

/// Metadata beyond this is refused, packed or not: it takes many times its size when decoded.
const METADATA_BYTES_MAX: usize = 64 << 20;

/// What no chunk of packed bytes is larger than: its length has 23 bits.
const CHUNK_BYTES_MAX: u64 = 1 << 23;

/// The size of a chunk where a file doesn't say.
const CHUNK_BYTES_DEFAULT: u64 = 256 << 10;

const MAGIC: &[u8; 3] = b"ORC";

/// Bytes of tails that are kept: as many files as footers of a Parquet table of middling width.
const TAILS_BYTES_MAX: u64 = 64 << 20;

/// A piece of a file with some of its rows.
#[derive(Debug)]
pub(super) struct StripeInfo {
    pub(super) offset: u64,
    /// Of indexes and streams together; the footer follows.
    pub(super) data_bytes: u64,
    pub(super) footer_bytes: u64,
    pub(super) row_count: u64,
    /// Its statistics, told as those of a file.
    pub(super) facts: Option<Arc<FileFacts>>,
}

/// See the module.
#[derive(Debug)]
pub struct Tail {
    pub(super) compression: Option<Compression>,
    pub(super) stripes: Vec<StripeInfo>,
    pub(super) columns: Vec<(String, ColumnType)>,
    /// The columns as Arrow has them. What isn't supported is a union of nothing.
    pub(super) schema: SchemaRef,
    /// The file itself, where all of it was read for its tail.
    pub(super) whole: Option<Bytes>,
    facts: Option<FileFacts>,
    bytes: usize,
}

impl Tail {
    /// What is known of each stripe. Of columns that `table` finds by place nothing is under its names.
    pub(crate) fn stripe_facts(&self, table: &SchemaRef) -> impl Iterator<Item = Option<Arc<FileFacts>>> + use<'_> {
        let is_by_place = self.is_by_place(table);
        self.stripes.iter().map(move |stripe| stripe.facts.clone().filter(|_| !is_by_place))
    }

    /// Whether the columns of `table` are found by their places, as Athena finds those of all ORC files: where none has a
    /// column's name in the file. One that has finds the others by name, too, wherever they stand.
    pub(super) fn is_by_place(&self, table: &SchemaRef) -> bool {
        !table.fields().is_empty() && file_positions(table, &self.schema).iter().all(Option::is_none)
    }

    /// Whether the columns have no names but their places: `_col0`, `_col1`, as Hive wrote before version 2.
    pub(super) fn is_unnamed(&self) -> bool {
        !self.columns.is_empty()
            && self.columns.iter().enumerate().all(|(index, (name, _))| *name == format!("_col{index}"))
    }
}

/// The cache. Readers of one file share one request.
#[derive(Debug)]
pub struct OrcTails {
    cache: Cache<FileKey, (Arc<Tail>, Option<Arc<FileFacts>>)>,
    /// Told of every tail that is read.
    known: Option<Arc<KnownFiles>>,
    lookups: AtomicU64,
    misses: AtomicU64,
}

impl NamedCache for OrcTails {
    fn name(&self) -> &'static str {
        "orc_tails"
    }

    fn usage(&self) -> CacheUsage {
        // What was put in or thrown out last is counted by then.
        let _counted = self.cache.run_pending_tasks().now_or_never();
        let misses = self.misses.load(Ordering::Relaxed);
        CacheUsage {
            entries: self.cache.entry_count(),
            bytes: self.cache.weighted_size(),
            limit_bytes: TAILS_BYTES_MAX,
            hits: self.lookups.load(Ordering::Relaxed).saturating_sub(misses),
            misses,
        }
    }

    fn clear(&self) {
        self.cache.invalidate_all();
    }
}

impl OrcTails {
    /// An empty cache.
    pub fn new(known: Option<Arc<KnownFiles>>) -> Self {
        let weigh = |key: &FileKey, (tail, _): &(Arc<Tail>, Option<Arc<FileFacts>>)| {
            u32::try_from(tail.bytes + key.path.as_ref().len() + key.version.len() + 64).unwrap_or(u32::MAX)
        };
        let cache = Cache::builder().max_capacity(TAILS_BYTES_MAX).weigher(weigh).build();
        Self { cache, known, lookups: AtomicU64::new(0), misses: AtomicU64::new(0) }
    }

    /// Whether the tail is at hand.
    pub fn contains(&self, key: &FileKey) -> bool {
        self.cache.contains_key(key)
    }

    /// The tail of `object`, and the facts that were made of it; none where its columns have no names.
    ///
    /// # Errors
    /// What the store says; [`ErrorCode::DataCorrupted`] when the bytes are no ORC file.
    pub async fn get(
        &self,
        key: &FileKey,
        store: &Arc<dyn ObjectStore>,
        object: &ObjectMeta,
    ) -> Result<(Arc<Tail>, Option<Arc<FileFacts>>)> {
        self.lookups.fetch_add(1, Ordering::Relaxed);
        let read = async {
            self.misses.fetch_add(1, Ordering::Relaxed);
            let name = format!("{}/{}", key.store_url, key.path);
            let mut tail = read_tail(store, object, &name).await?;
            let facts = tail.facts.take().map(|facts| match &self.known {
                Some(known) => known.tell(file_version(&key.store_url, object), facts),
                None => Arc::new(facts),
            });
            Ok((Arc::new(tail), facts))
        };
        self.cache.try_get_with(key.clone(), read).await.map_err(|error: Arc<Error>| (*error).clone())
    }
}

/// The columns of `object`, of which those of an unsupported type are unions of nothing.
///
/// # Errors
/// As [`OrcTails::get`].
pub async fn read_schema(store: &Arc<dyn ObjectStore>, object: &ObjectMeta, name: &str) -> Result<SchemaRef> {
    Ok(read_tail(store, object, name).await?.schema)
}

/// What the last bytes of a file say of those before them.
#[derive(Debug, Default)]
struct Postscript {
    footer_bytes: u64,
    metadata_bytes: u64,
    compression: u64,
    chunk_bytes: Option<u64>,
    version: Vec<u64>,
    writer_version: u64,
    has_magic: bool,
}

/// Reads and checks the tail of `object`, which errors call `name`.
///
/// # Errors
/// As [`OrcTails::get`].
pub(super) async fn read_tail(store: &Arc<dyn ObjectStore>, object: &ObjectMeta, name: &str) -> Result<Tail> {
    let size = object.size;
    if size < 8 {
        return Err(corrupted(name, "it is too short for an ORC file"));
    }
    let start = size.saturating_sub(GUESS_BYTES);
    let tail = read_range(store, object, name, start..size).await?;
    let postscript = Postscript::parse(&tail).map_err(|fault| fault.error(name))?;
    if !postscript.has_magic {
        // The first version had it at the beginning only.
        let head = read_range(store, object, name, 0..3).await?;
        if head[..] != MAGIC[..] {
            return Err(corrupted(name, "the magic number of an ORC file is missing").with_hint("It may be cut off."));
        }
    }
    let postscript_bytes = u64::from(tail[tail.len() - 1]) + 1;
    let metadata_bytes = postscript.footer_bytes.checked_add(postscript.metadata_bytes);
    let end = size - postscript_bytes;
    let metadata_bytes = metadata_bytes
        .filter(|bytes| postscript.footer_bytes > 0 && *bytes <= end)
        .ok_or_else(|| corrupted(name, "the length of its footer can't be true"))?;
    if metadata_bytes > METADATA_BYTES_MAX as u64 {
        return Err(Error::new(ErrorCode::ProgramLimitExceeded, format!("the footer of file \"{name}\" is too large"))
            .with_detail(format!("It has {metadata_bytes} bytes; at most {METADATA_BYTES_MAX} are read.")));
    }
    let from = end - metadata_bytes;
    let bytes = if from >= start {
        tail.slice((from - start) as usize..(end - start) as usize)
    } else {
        read_range(store, object, name, from..end).await?
    };
    let mut parsed = parse(&postscript, &bytes, from).map_err(|fault| fault.error(name))?;
    if start == 0 {
        parsed.bytes += tail.len();
        parsed.whole = Some(tail);
    }
    Ok(parsed)
}

impl Postscript {
    /// The postscript at the end of `tail`.
    fn parse(tail: &[u8]) -> Decoded<Self> {
        let missing = || Fault::corrupt("the magic number of an ORC file is missing");
        let (length, rest) = tail.split_last().ok_or_else(missing)?;
        let start = rest.len().checked_sub(usize::from(*length)).ok_or_else(missing)?;
        let mut found = Self::default();
        for field in Fields::new(&rest[start..]) {
            // Any other file may end in anything.
            match field.map_err(|_| missing())? {
                (1, value) => found.footer_bytes = value.number()?,
                (2, value) => found.compression = value.number()?,
                (3, value) => found.chunk_bytes = Some(value.number()?),
                (4, value) => value.numbers(&mut found.version)?,
                (5, value) => found.metadata_bytes = value.number()?,
                (6, value) => found.writer_version = value.number()?,
                (8000, value) if value.bytes()? == MAGIC => found.has_magic = true,
                _ => {}
            }
        }
        Ok(found)
    }

    fn compression(&self) -> Decoded<Option<Compression>> {
        let codec = match self.compression {
            0 => return Ok(None),
            1 => Codec::Deflate,
            2 => Codec::Snappy,
            3 => Codec::Lzo,
            4 => Codec::Lz4,
            5 => Codec::Zstd,
            other => return Err(Fault::Unsupported(format!("It is packed in the unknown way {other}."))),
        };
        let chunk_bytes = self.chunk_bytes.unwrap_or(CHUNK_BYTES_DEFAULT).min(CHUNK_BYTES_MAX);
        Ok(Some(Compression { codec, chunk_bytes_max: chunk_bytes as usize }))
    }
}

/// The footer, as far as it matters here.
#[derive(Debug, Default)]
struct Footer<'a> {
    stripes: Vec<Value<'a>>,
    types: Vec<Value<'a>>,
    statistics: Vec<Value<'a>>,
    row_count: u64,
}

/// `bytes`: the metadata and the footer behind it, which begin at `start` of the file.
fn parse(postscript: &Postscript, bytes: &Bytes, start: u64) -> Decoded<Tail> {
    if postscript.version.first().is_some_and(|major| *major > 0) {
        return Err(Fault::Unsupported("It is of a version of the format after 0.12.".to_owned()));
    }
    let compression = postscript.compression()?;
    let split = bytes.len() - postscript.footer_bytes as usize;
    let unpack = |part: Bytes| ByteStream::new(part, compression).rest(METADATA_BYTES_MAX);
    let (metadata, footer) = (unpack(bytes.slice(..split))?, unpack(bytes.slice(split..))?);
    let mut found = Footer::default();
    for field in Fields::new(&footer) {
        match field? {
            (3, value) => found.stripes.push(value),
            (4, value) => found.types.push(value),
            (6, value) => found.row_count = value.number()?,
            (7, value) => found.statistics.push(value),
            (10, _) => return Err(Fault::Unsupported("It has encrypted columns.".to_owned())),
            _ => {}
        }
    }
    let columns = columns(&found.types)?;
    let mut of_stripes = Vec::new();
    for field in Fields::new(&metadata) {
        if let (1, value) = field? {
            of_stripes.push(value);
        }
    }
    let has_text_bounds = postscript.writer_version > 0;
    let facts = |statistics: &[Value<'_>], row_count: u64, row_group_count: u64| {
        let column = |(name, column): &(String, ColumnType)| {
            column_facts(name, column, statistics.get(column.id).copied(), row_count, has_text_bounds)
        };
        let columns = columns.iter().map(column).collect::<Decoded<Vec<ColumnFacts>>>()?;
        Ok::<_, Fault>(FileFacts { row_count, row_group_count, read_as: None, columns })
    };
    let mut stripes = Vec::with_capacity(found.stripes.len());
    for (index, stripe) in found.stripes.iter().enumerate() {
        let mut stripe = StripeInfo::parse(*stripe, start)?;
        // Where there are some of each.
        if let Some(statistics) = of_stripes.get(index).filter(|_| of_stripes.len() == found.stripes.len()) {
            let mut of_columns = Vec::new();
            for field in statistics.fields()? {
                if let (1, value) = field? {
                    of_columns.push(value);
                }
            }
            stripe.facts = Some(Arc::new(facts(&of_columns, stripe.row_count, 0)?));
        }
        stripes.push(stripe);
    }
    let rows = stripes.iter().try_fold(0_u64, |rows, stripe| rows.checked_add(stripe.row_count));
    if rows != Some(found.row_count) {
        return Err(Fault::corrupt("its stripes have another number of rows than it says"));
    }
    let facts = facts(&found.statistics, found.row_count, stripes.len() as u64)?;
    let fields = columns.iter().map(|(name, column)| match column.data_type() {
        Ok(data_type) => arrow_field(name, &data_type),
        Err(_) => Field::new(name, ArrowType::Union(UnionFields::empty(), UnionMode::Sparse), true),
    });
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let stripe_bytes: usize =
        stripes.iter().filter_map(|stripe| stripe.facts.as_ref()).map(|facts| facts.memory_size()).sum();
    let bytes =
        stripe_bytes + stripes.len() * size_of::<StripeInfo>() + found.types.len() * 2 * size_of::<ColumnType>();
    let mut tail = Tail { compression, stripes, columns, schema, whole: None, facts: Some(facts), bytes };
    // Columns that only have places are found by another name in each table: facts by name would say that they aren't there.
    if tail.is_unnamed() {
        tail.facts = None;
    }
    Ok(tail)
}

impl StripeInfo {
    /// `end`: where in the file the last stripe must have ended.
    fn parse(stripe: Value<'_>, end: u64) -> Decoded<Self> {
        let (mut offset, mut index_bytes, mut data_bytes, mut footer_bytes, mut row_count) = (0, 0, 0, 0, 0);
        for field in stripe.fields()? {
            match field? {
                (1, value) => offset = value.number()?,
                (2, value) => index_bytes = value.number()?,
                (3, value) => data_bytes = value.number()?,
                (4, value) => footer_bytes = value.number()?,
                (5, value) => row_count = value.number()?,
                _ => {}
            }
        }
        let outside = || Fault::corrupt("a stripe lies outside the file");
        let data_bytes = u64::checked_add(index_bytes, data_bytes).ok_or_else(outside)?;
        let footer_start = u64::checked_add(offset, data_bytes).ok_or_else(outside)?;
        if footer_start.checked_add(footer_bytes).is_none_or(|stripe_end| stripe_end > end) {
            return Err(outside());
        }
        if footer_bytes as usize > METADATA_BYTES_MAX {
            return Err(Fault::Limit("The footer of a stripe is too large.".to_owned()));
        }
        Ok(Self { offset, data_bytes, footer_bytes, row_count, facts: None })
    }
}
