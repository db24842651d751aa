//! [`BlockCache`]: blocks of remote objects on local disk, so that what was read once over a network is read from here,
//! after a restart too.
//!
//! ```text
//! CachedStore ── get ──▶ BlockCache ─┬─ waiting to be written
//!      │                             └─ foyer: memory ── disk (regions, filled and thrown out in turn)
//!      └─ missing: one request for neighbours ── offer ──▶ a task that writes, never in a query's way
//! ```
//! A block belongs to one exact version of an object (its ETag), so it can't be stale: a file that is replaced has another
//! version, and its old blocks are not asked for any more. foyer keeps a checksum of each entry; one that is torn or
//! damaged is not there. Whatever goes wrong with the disk costs speed and no answer: the cache turns itself off, and says
//! so once.

mod block;
mod cached;
mod disk;
mod flight;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use foyer::{
    BlockEngineConfig, Device, DeviceBuilder, FsDeviceBuilder, HybridCache, HybridCacheBuilder, HybridCachePolicy,
    RecoverMode,
};
use futures::future::{BoxFuture, FutureExt, Shared};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::cache::{CacheUsage, NamedCache};
use block::{Block, BlockKey};
pub(super) use cached::CachedStore;
use disk::{CountingPicker, Usage};
use flight::Flights;

/// Bytes of blocks that may wait for the disk. What comes faster than the disk takes it is not kept.
const WAITING_BYTES_MAX: u64 = 64 << 20;

/// Bytes handed to foyer before waiting until they are written: it has 16 MiB of buffers, and drops what doesn't fit.
const WRITTEN_AT_ONCE: u64 = 8 << 20;

/// How often in a row a read may fail, or what was written not be there, before the disk counts as broken.
const LOST_MAX: u32 = 3;

/// How long the first reader waits for the cache to be opened: all regions are looked through.
const OPEN_DEADLINE: Duration = Duration::from_secs(10);

/// How long a shutdown waits for blocks to be written.
const CLOSE_DEADLINE: Duration = Duration::from_secs(5);

/// Where blocks are kept, and how many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockCacheOptions {
    /// A folder of its own.
    pub folder: PathBuf,
    /// Most bytes on disk; `None` is a tenth of what is free, 8 GiB at most. 0 is no cache.
    pub disk_bytes: Option<u64>,
    /// Most bytes in memory, beside the operating system's own cache of files.
    pub memory_bytes: u64,
}

type Disk = HybridCache<BlockKey, Block>;

/// See the module.
pub(super) struct BlockCache {
    /// `None`: it can't be opened.
    disk: Shared<BoxFuture<'static, Option<Disk>>>,
    queue: mpsc::UnboundedSender<Written>,
    shared: Arc<Inner>,
    flights: Flights,
    limit_bytes: u64,
    io: Handle,
}

/// What the writing task shares.
struct Inner {
    waiting: Mutex<HashMap<BlockKey, Block>>,
    room: Arc<Semaphore>,
    usage: Usage,
    /// Not to be used: the disk is broken.
    is_off: AtomicBool,
    /// Not to be used until everything is thrown away.
    is_clearing: AtomicBool,
    /// Reads that failed in a row.
    failures: AtomicU32,
    hits: AtomicU64,
    misses: AtomicU64,
}

/// A block on its way to the disk, with its place in memory.
struct Written {
    key: BlockKey,
    block: Block,
    room: OwnedSemaphorePermit,
}

impl std::fmt::Debug for BlockCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlockCache").field("limit_bytes", &self.limit_bytes).finish_non_exhaustive()
    }
}

/// Semaphores count to less than four billion: they count pages.
fn pages(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(4096)).unwrap_or(u32::MAX)
}

impl BlockCache {
    /// Opens the cache on `io`, in the background. `None` where `options` want none, or nothing can be had.
    pub(super) fn open(options: &BlockCacheOptions, io: &Handle) -> Option<Arc<Self>> {
        let limit_bytes = options.disk_bytes.unwrap_or_else(|| disk::default_bytes(&options.folder));
        if limit_bytes == 0 {
            return None;
        }
        let region_bytes = disk::region_bytes(limit_bytes);
        let shared = Arc::new(Inner {
            waiting: Mutex::default(),
            room: Arc::new(Semaphore::new(pages(WAITING_BYTES_MAX) as usize)),
            usage: Usage::new(region_bytes),
            is_off: AtomicBool::new(false),
            is_clearing: AtomicBool::new(false),
            failures: AtomicU32::new(0),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        });
        let (options, usage, handle) = (options.clone(), shared.usage.clone(), io.clone());
        let opening = io.spawn(async move {
            match open_disk(&options, limit_bytes, region_bytes, usage, handle).await {
                Ok(disk) => Some(disk),
                Err(error) => {
                    let folder = options.folder.display();
                    tracing::warn!(%folder, error, "the block cache cannot be opened; objects are read without it");
                    None
                }
            }
        });
        let disk = opening.map(|opened| opened.ok().flatten()).boxed().shared();
        let (queue, written) = mpsc::unbounded_channel();
        io.spawn(write(disk.clone(), Arc::clone(&shared), written));
        let cache = Self { disk, queue, shared, flights: Flights::default(), limit_bytes, io: io.clone() };
        Some(Arc::new(cache))
    }

    async fn disk(&self) -> Option<Disk> {
        if self.shared.is_off.load(Ordering::Relaxed) || self.shared.is_clearing.load(Ordering::Relaxed) {
            return None;
        }
        if let Some(disk) = self.disk.peek() {
            return disk.clone();
        }
        tokio::time::timeout(OPEN_DEADLINE, self.disk.clone()).await.ok().flatten()
    }

    /// The block, if it is here.
    async fn get(&self, key: &BlockKey) -> Option<Block> {
        let found = self.look_up(key).await.filter(|block| block.is_whole(key.number));
        let counter = if found.is_some() { &self.shared.hits } else { &self.shared.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        found
    }

    async fn look_up(&self, key: &BlockKey) -> Option<Block> {
        let disk = self.disk().await?;
        if let Some(block) = self.shared.waiting.lock().get(key) {
            return Some(block.clone());
        }
        match disk.get(key).await {
            Ok(entry) => {
                self.shared.failures.store(0, Ordering::Relaxed);
                entry.map(|entry| entry.value().clone())
            }
            Err(error) => {
                if self.shared.failures.fetch_add(1, Ordering::Relaxed) + 1 >= LOST_MAX {
                    self.shared.turn_off(&error.to_string());
                }
                None
            }
        }
    }

    /// Whether the block is likely here, without reading it.
    fn contains(&self, key: &BlockKey) -> bool {
        if self.shared.is_off.load(Ordering::Relaxed) || self.shared.is_clearing.load(Ordering::Relaxed) {
            return false;
        }
        let Some(Some(disk)) = self.disk.peek() else { return false };
        self.shared.waiting.lock().contains_key(key) || disk.contains(key)
    }

    /// Keeps a block, if the disk keeps up.
    fn offer(&self, key: BlockKey, block: Block) {
        let Inner { is_off, is_clearing, room, waiting, .. } = self.shared.as_ref();
        if is_off.load(Ordering::Relaxed) || is_clearing.load(Ordering::Relaxed) || !block.is_whole(key.number) {
            return;
        }
        let Ok(room) = Arc::clone(room).try_acquire_many_owned(pages(block.bytes.len() as u64)) else { return };
        waiting.lock().insert(key.clone(), block.clone());
        if let Err(refused) = self.queue.send(Written { key, block, room }) {
            waiting.lock().remove(&refused.0.key);
        }
    }

    /// Writes what waits, and closes the files.
    pub(super) async fn close(&self) {
        let closing = async {
            // All room is there again when nothing waits.
            let _all = self.shared.room.acquire_many(pages(WAITING_BYTES_MAX)).await;
            self.shared.is_off.store(true, Ordering::Relaxed);
            if let Some(Some(disk)) = self.disk.peek()
                && let Err(error) = disk.close().await
            {
                tracing::debug!(%error, "the block cache did not close");
            }
        };
        if tokio::time::timeout(CLOSE_DEADLINE, closing).await.is_err() {
            tracing::debug!("the block cache did not close in time");
        }
    }
}

impl Inner {
    fn turn_off(&self, reason: &str) {
        if !self.is_off.swap(true, Ordering::Relaxed) {
            tracing::warn!(reason, "the block cache is turned off until the next start; objects are read without it");
            self.usage.clear();
        }
    }
}

async fn open_disk(
    options: &BlockCacheOptions,
    limit_bytes: u64,
    region_bytes: u64,
    usage: Usage,
    io: Handle,
) -> Result<Disk, String> {
    let to_usize = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    disk::make(&options.folder).map_err(|error| error.to_string())?;
    disk::remove_beyond(&options.folder, limit_bytes / region_bytes);
    let device = FsDeviceBuilder::new(&options.folder).with_capacity(to_usize(limit_bytes)).build();
    let device: Arc<dyn Device> = device.map_err(|error| error.to_string())?;
    let engine = BlockEngineConfig::new(device)
        .with_block_size(to_usize(region_bytes))
        .with_eviction_pickers(vec![Box::new(CountingPicker::new(usage))]);
    HybridCacheBuilder::new()
        .with_name("blocks")
        // Written when read and not when thrown out of memory: a server that is killed has them too.
        .with_policy(HybridCachePolicy::WriteOnInsertion)
        .with_flush_on_close(false)
        .memory(to_usize(options.memory_bytes))
        .with_weighter(|key: &BlockKey, block: &Block| {
            foyer::Code::estimated_size(key) + foyer::Code::estimated_size(block) + 64
        })
        .storage()
        .with_spawner(io.into())
        .with_engine_config(engine)
        // What is damaged is left out.
        .with_recover_mode(RecoverMode::Quiet)
        .build()
        .await
        .map_err(|error| error.to_string())
}

/// Hands blocks to foyer until nobody can offer any more.
async fn write(
    disk: Shared<BoxFuture<'static, Option<Disk>>>,
    shared: Arc<Inner>,
    mut queue: mpsc::UnboundedReceiver<Written>,
) {
    let disk = disk.await;
    let mut lost = 0;
    while let Some(first) = queue.recv().await {
        let Some(disk) = &disk else {
            shared.waiting.lock().remove(&first.key);
            continue;
        };
        let mut rooms = Vec::new();
        let mut bytes = 0;
        let mut next = Some(first);
        let mut last = None;
        while let Some(Written { key, block, room }) = next {
            let is_wanted = !shared.is_off.load(Ordering::Relaxed) && !shared.is_clearing.load(Ordering::Relaxed);
            if is_wanted && !disk.storage().may_contains(&key) {
                bytes += block.bytes.len() as u64;
                shared.usage.add(block.bytes.len() as u64);
                disk.insert(key.clone(), block);
                last = Some(key.clone());
            }
            shared.waiting.lock().remove(&key);
            rooms.push(room);
            next = if bytes < WRITTEN_AT_ONCE { queue.try_recv().ok() } else { None };
        }
        let Some(last) = last else { continue };
        disk.storage().wait().await;
        // foyer tells nobody but the log when it can't write. What is written is in its index, until it is thrown out.
        lost = if disk.storage().may_contains(&last) { 0 } else { lost + 1 };
        if lost >= LOST_MAX && !shared.is_clearing.load(Ordering::Relaxed) {
            shared.turn_off("blocks that were written to disk are not there; is it full?");
        }
    }
}

impl NamedCache for BlockCache {
    fn name(&self) -> &'static str {
        "blocks"
    }

    fn usage(&self) -> CacheUsage {
        let (entries, bytes) = self.shared.usage.get();
        let is_off = self.shared.is_off.load(Ordering::Relaxed);
        CacheUsage {
            entries,
            bytes: bytes.min(self.limit_bytes),
            limit_bytes: if is_off { 0 } else { self.limit_bytes },
            hits: self.shared.hits.load(Ordering::Relaxed),
            misses: self.shared.misses.load(Ordering::Relaxed),
        }
    }

    /// Until all is thrown away, which takes a write to each region, the cache answers that it has nothing.
    fn clear(&self) {
        if self.shared.is_clearing.swap(true, Ordering::Relaxed) {
            return;
        }
        self.shared.waiting.lock().clear();
        self.shared.usage.clear();
        let (disk, shared) = (self.disk.clone(), Arc::clone(&self.shared));
        self.io.spawn(async move {
            if let Some(disk) = disk.await
                && let Err(error) = disk.clear().await
            {
                shared.turn_off(&error.to_string());
            }
            shared.usage.clear();
            shared.is_clearing.store(false, Ordering::Relaxed);
        });
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
