//! [`CachedStore`]: a remote store whose reads of exact versions come from the block cache where they can.
//!
//! Only a GET that is conditional on an ETag is answered from here: it names the version, and the version's bytes never
//! change. All else goes through. What is missing is asked for in whole blocks, neighbours in one request, blocks that are
//! here but lie between missing ones too, unless there are many: a request costs more than their bytes. So a read never
//! makes more requests than without a cache, but where one saves [`HOLE_BYTES`].

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::future::join_all;
use futures::stream::{self, BoxStream, StreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetRange, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};

use super::BlockCache;
use super::block::{BLOCK_BYTES, Block, BlockKey, ObjectVersion};
use super::flight::Flight;
use crate::scan::store::metered::ReadMeter;

/// So many bytes that are here make it worth to ask for what is before and behind them in two requests.
const HOLE_BYTES: u64 = 8 << 20;

/// How long to wait for the rest of a block, of which all that was wanted is here.
const FINISH_DEADLINE: Duration = Duration::from_secs(1);

/// Ranges beyond these go through: no object is so long, and no reader wants so much at once.
const RANGE_END_MAX: u64 = 1 << 50;
const RANGE_BYTES_MAX: u64 = 1 << 34;

/// Blocks read from disk at the same time for one reader.
const AT_ONCE: u64 = 16;

/// See the module.
#[derive(Debug)]
pub(in crate::scan::store) struct CachedStore {
    inner: Arc<dyn ObjectStore>,
    cache: Arc<BlockCache>,
    /// Tells the store apart from all others: endpoint and bucket.
    identity: String,
}

impl CachedStore {
    /// Caches reads of `inner`. `identity` must be that of no other store, in earlier processes either.
    pub(in crate::scan::store) fn new(inner: Arc<dyn ObjectStore>, cache: Arc<BlockCache>, identity: String) -> Self {
        Self { inner, cache, identity }
    }
}

/// A GET that the cache may answer.
fn is_cacheable(options: &GetOptions) -> bool {
    let is_strong = |e_tag: &String| !e_tag.starts_with("W/") && e_tag != "*" && !e_tag.contains(',');
    options.if_match.as_ref().is_some_and(is_strong)
        && !options.head
        && options.if_none_match.is_none()
        && options.if_modified_since.is_none()
        && options.if_unmodified_since.is_none()
        && options.version.is_none()
        && match &options.range {
            None => true,
            Some(GetRange::Bounded(range)) => {
                range.start < range.end && range.end <= RANGE_END_MAX && range.end - range.start <= RANGE_BYTES_MAX
            }
            Some(GetRange::Offset(_) | GetRange::Suffix(_)) => false,
        }
}

#[async_trait]
impl ObjectStore for CachedStore {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let Some(e_tag) = options.if_match.clone().filter(|_| is_cacheable(&options)) else {
            return self.inner.get_opts(location, options).await;
        };
        let meter = options.extensions.get::<ReadMeter>().cloned().unwrap_or_default();
        meter.take_over();
        let wanted = match &options.range {
            Some(GetRange::Bounded(range)) => range.clone(),
            _ => 0..u64::MAX,
        };
        let mut read = Read {
            inner: Arc::clone(&self.inner),
            cache: Arc::clone(&self.cache),
            object: ObjectVersion::new(&self.identity, location, &e_tag),
            location: location.clone(),
            e_tag,
            options,
            meter,
            is_alone: false,
            position: wanted.start,
            wanted,
            meta: None,
            ready: Vec::new(),
            fetch: None,
        };
        let meta = loop {
            read.step().await?;
            if let Some(meta) = &read.meta {
                break meta.clone();
            }
        };
        let range = read.wanted.clone();
        let body = stream::unfold(Some(read), |read| async move {
            let mut read = read?;
            match read.next().await {
                Ok(Some(bytes)) => Some((Ok(bytes), Some(read))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        });
        let payload = GetResultPayload::Stream(body.boxed());
        Ok(GetResult { payload, meta, range, attributes: object_store::Attributes::default() })
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

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.inner.rename_opts(from, to, options).await
    }
}

impl fmt::Display for CachedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

/// One read on its way: bytes `position..wanted.end` are still to come.
struct Read {
    inner: Arc<dyn ObjectStore>,
    cache: Arc<BlockCache>,
    object: ObjectVersion,
    location: Path,
    e_tag: String,
    options: GetOptions,
    meter: ReadMeter,
    /// Somebody who fetches the same blocks is held up: we wait for nobody any more.
    is_alone: bool,
    wanted: Range<u64>,
    position: u64,
    /// Known with the first block.
    meta: Option<ObjectMeta>,
    /// Bytes that are next, last first.
    ready: Vec<Bytes>,
    fetch: Option<Fetch>,
}

/// A request whose body is being read.
struct Fetch {
    body: BoxStream<'static, Result<Bytes>>,
    flight: Option<Flight>,
    /// Where the next byte of the body belongs.
    offset: u64,
    end: u64,
    /// The block that is being gathered.
    gathered: BytesMut,
}

impl Read {
    /// The next bytes; `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            if let Some(bytes) = self.ready.pop() {
                return Ok(Some(bytes));
            }
            if self.position >= self.wanted.end {
                self.finish().await;
                return Ok(None);
            }
            self.step().await?;
        }
    }

    /// Takes the rest of the last block, of which a part was not wanted: without it the block couldn't be kept. What goes
    /// wrong here is nothing to who has all that was wanted.
    async fn finish(&mut self) {
        let rest = async { while self.fetch.is_some() && self.receive().await.is_ok() {} };
        let _in_time = tokio::time::timeout(FINISH_DEADLINE, rest).await;
        self.fetch = None;
    }

    /// Goes on: takes a piece of the body that comes, or blocks from the cache, or makes a request.
    async fn step(&mut self) -> Result<()> {
        if self.fetch.is_some() {
            return self.receive().await;
        }
        let number = self.position / BLOCK_BYTES;
        // In this order: a block is in the cache before it is no longer on its way.
        if !self.is_alone
            && let Some(awaited) = self.cache.flights.find(&self.key(number))
            && !awaited.has_landed().await
        {
            self.is_alone = true;
        }
        if self.take_cached(number).await {
            return Ok(());
        }
        self.request(number).await
    }

    fn key(&self, number: u64) -> BlockKey {
        BlockKey { object: self.object.clone(), number }
    }

    /// The block behind the last one that is wanted, as far as is known.
    fn end_block(&self) -> u64 {
        self.wanted.end.div_ceil(BLOCK_BYTES)
    }

    /// Takes block `number`, and those behind it that are in the cache. Whether there was one.
    async fn take_cached(&mut self, number: u64) -> bool {
        let mut end = number + 1;
        while end < self.end_block() && end - number < AT_ONCE && self.cache.contains(&self.key(end)) {
            end += 1;
        }
        let keys: Vec<BlockKey> = (number..end).map(|number| self.key(number)).collect();
        let blocks = join_all(keys.iter().map(|key| self.cache.get(key))).await;
        let mut taken = Vec::new();
        for (key, block) in keys.into_iter().zip(blocks) {
            let Some(block) = block else { break };
            match &self.meta {
                None => self.begin(block.meta(&self.location, &self.e_tag)),
                Some(meta) if meta.size != block.size => break,
                Some(_) => {}
            }
            let start = key.number * BLOCK_BYTES;
            let to = self.wanted.end.min(start + block.bytes.len() as u64);
            if to <= self.position {
                break;
            }
            let at = |position: u64| usize::try_from(position - start).unwrap_or(usize::MAX);
            let bytes = block.bytes.slice(at(self.position)..at(to));
            self.meter.cached(bytes.len() as u64);
            self.position = to;
            taken.push(bytes);
        }
        let is_some = !taken.is_empty();
        self.ready.extend(taken.into_iter().rev());
        is_some
    }

    /// The object is known now: no more than it has can be wanted.
    fn begin(&mut self, meta: ObjectMeta) {
        self.wanted.end = self.wanted.end.min(meta.size);
        self.wanted.start = self.wanted.start.min(self.wanted.end);
        self.meta = Some(meta);
    }

    /// Asks the store for block `number`, and those behind it that are missing, unless somebody else does.
    async fn request(&mut self, number: u64) -> Result<()> {
        let is_whole = self.meta.is_none() && self.wanted == (0..u64::MAX);
        let mut end = number + 1;
        if !is_whole {
            let mut hole = 0;
            for next in number + 1..self.end_block() {
                hole = if self.cache.contains(&self.key(next)) { hole + 1 } else { 0 };
                if hole * BLOCK_BYTES >= HOLE_BYTES {
                    break;
                }
                if hole == 0 {
                    end = next + 1;
                }
            }
        }
        let mut flight = None;
        if !self.is_alone {
            // Somebody else may have been quicker by a moment: then we wait for that.
            let Some(own) = self.cache.flights.start(&self.object, number, end) else { return Ok(()) };
            end = end.min(own.end());
            flight = Some(own);
        }
        let mut range = number * BLOCK_BYTES..end * BLOCK_BYTES;
        if let Some(meta) = &self.meta {
            range.end = range.end.min(meta.size);
        }
        let wanted_range = if is_whole { None } else { Some(GetRange::Bounded(range.clone())) };
        let options = GetOptions { range: wanted_range, ..self.options.clone() };
        self.meter.request();
        let result = self.inner.get_opts(&self.location, options).await?;
        if result.meta.e_tag.as_deref() != Some(self.e_tag.as_str()) {
            // The store doesn't know If-Match, and has another version.
            let source = format!("the version is {:?}", result.meta.e_tag).into();
            return Err(object_store::Error::Precondition { path: self.location.to_string(), source });
        }
        if let Some(meta) = &self.meta
            && meta.size != result.meta.size
        {
            let source = "one version of an object has two sizes".into();
            return Err(object_store::Error::Generic { store: "block cache", source });
        }
        let body_range = result.range.clone();
        if self.meta.is_none() {
            self.begin(result.meta.clone());
        }
        if let Some(flight) = &mut flight
            && is_whole
        {
            flight.extend(self.end_block());
        }
        self.fetch = Some(Fetch {
            body: result.into_stream(),
            flight,
            offset: body_range.start,
            end: body_range.end,
            gathered: BytesMut::new(),
        });
        Ok(())
    }

    /// Takes the next piece of the body: what is wanted of it is ready, and blocks that are whole go to the cache.
    async fn receive(&mut self) -> Result<()> {
        let Some(fetch) = &mut self.fetch else { return Ok(()) };
        let Some(bytes) = fetch.body.next().await.transpose()? else {
            let (received, expected) = (fetch.offset, fetch.end);
            self.fetch = None;
            if received < expected || self.position < self.wanted.end.min(expected) {
                let text = format!("\"{}\" ended at byte {received} of {expected}", self.location);
                return Err(object_store::Error::Generic { store: "body", source: text.into() });
            }
            return Ok(());
        };
        let start = fetch.offset;
        let end = start + bytes.len() as u64;
        if end > fetch.end {
            let text = format!("\"{}\" has bytes beyond {}", self.location, fetch.end);
            return Err(object_store::Error::Generic { store: "body", source: text.into() });
        }
        fetch.offset = end;
        let (from, to) = (self.position.max(start), self.wanted.end.min(end));
        if from < to {
            let at = |position: u64| usize::try_from(position - start).unwrap_or(usize::MAX);
            self.ready.insert(0, bytes.slice(at(from)..at(to)));
            self.position = to;
        }
        self.gather(bytes);
        Ok(())
    }

    /// Cuts a piece of a body into blocks.
    fn gather(&mut self, mut bytes: Bytes) {
        let (Some(fetch), Some(meta)) = (&mut self.fetch, &self.meta) else { return };
        let mut position = fetch.offset - bytes.len() as u64;
        while !bytes.is_empty() {
            let number = position / BLOCK_BYTES;
            let block_end = ((number + 1) * BLOCK_BYTES).min(meta.size);
            let missing = usize::try_from(block_end - position).unwrap_or(usize::MAX);
            let piece = bytes.split_to(missing.min(bytes.len()));
            position += piece.len() as u64;
            fetch.gathered.extend_from_slice(&piece);
            if position == block_end {
                let gathered = fetch.gathered.split().freeze();
                let key = BlockKey { object: self.object.clone(), number };
                if self.meter.may_keep(gathered.len() as u64, self.cache.limit_bytes) {
                    let modified_us = meta.last_modified.timestamp_micros();
                    self.cache.offer(key, Block { bytes: gathered, size: meta.size, modified_us });
                }
                if let Some(flight) = &fetch.flight {
                    flight.land(number);
                }
            }
        }
    }
}
