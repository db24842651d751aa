//! Where blocks lie on disk: the folder, how it is divided, and how much of it is in use.

use std::collections::HashMap;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;

use foyer::{DeviceBuilder, EvictionInfo, EvictionPicker, FifoPicker, FsDeviceBuilder};
use parking_lot::Mutex;

use super::block::BLOCK_BYTES;

/// How foyer calls the files of its regions.
const REGION_FILE_PREFIX: &str = "foyer-storage-direct-fs-";

/// Regions that a disk is divided into, if they don't get too small by that: each is a file that stays open, and what is
/// thrown out at once.
const REGION_COUNT: u64 = 128;

/// Smallest and largest region.
const REGION_BYTES: std::ops::RangeInclusive<u64> = 4 << 20..=1 << 30;

/// What a block takes on disk beside its bytes: it begins at a page, behind a header.
const BLOCK_OVERHEAD_BYTES: u64 = 4 << 10;

/// The default: so much of what is free, and at most so much.
const FREE_SHARE: u64 = 10;
const DEFAULT_BYTES_MAX: u64 = 8 << 30;

/// Bytes of a region on a disk of `limit_bytes`.
pub(super) fn region_bytes(limit_bytes: u64) -> u64 {
    (limit_bytes / REGION_COUNT).next_power_of_two().clamp(*REGION_BYTES.start(), *REGION_BYTES.end())
}

/// A tenth of what is free in `folder` or taken by the cache itself, 8 GiB at most. 0 where that can't be known.
pub(super) fn default_bytes(folder: &Path) -> u64 {
    if make(folder).is_err() {
        return 0;
    }
    let own: u64 = files(folder).filter_map(|file| file.metadata().ok()).map(|file| file.blocks() * 512).sum();
    // Without a size of its own a device would take four fifths of what is free.
    let Ok(device) = FsDeviceBuilder::new(folder).build() else { return 0 };
    let free = device.capacity() as u64 / 4 * 5;
    ((free + own) / FREE_SHARE).min(DEFAULT_BYTES_MAX)
}

/// Makes the folder, for this user alone: it holds other people's data.
pub(super) fn make(folder: &Path) -> std::io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Removes the files of regions beyond `count`, which a larger cache has left.
pub(super) fn remove_beyond(folder: &Path, count: u64) {
    for file in files(folder) {
        let number = file.file_name().to_str().and_then(|name| name[REGION_FILE_PREFIX.len()..].parse::<u64>().ok());
        if number.is_some_and(|number| number >= count)
            && let Err(error) = std::fs::remove_file(file.path())
        {
            tracing::debug!(%error, "a file of the block cache cannot be removed");
        }
    }
}

fn files(folder: &Path) -> impl Iterator<Item = std::fs::DirEntry> {
    let is_ours = |file: &std::fs::DirEntry| file.file_name().to_string_lossy().starts_with(REGION_FILE_PREFIX);
    std::fs::read_dir(folder).into_iter().flatten().flatten().filter(is_ours)
}

/// How many blocks are on disk. foyer doesn't count them, so this follows what it does with its regions. Of what was there
/// at the start only the regions are known: they count as full of whole blocks.
#[derive(Debug, Clone, Default)]
pub(super) struct Usage(Arc<Mutex<Regions>>);

#[derive(Debug, Default)]
struct Regions {
    region_bytes: u64,
    /// Blocks and bytes in each region that is full.
    full: HashMap<u32, (u64, u64)>,
    /// Blocks and bytes written since a region got full.
    open: (u64, u64),
}

impl Usage {
    pub(super) fn new(region_bytes: u64) -> Self {
        Self(Arc::new(Mutex::new(Regions { region_bytes, ..Regions::default() })))
    }

    /// A block was written.
    pub(super) fn add(&self, bytes: u64) {
        let mut regions = self.0.lock();
        regions.open.0 += 1;
        regions.open.1 += bytes;
    }

    /// Everything was thrown away.
    pub(super) fn clear(&self) {
        let mut regions = self.0.lock();
        regions.full.clear();
        regions.open = (0, 0);
    }

    /// Blocks and bytes.
    pub(super) fn get(&self) -> (u64, u64) {
        let regions = self.0.lock();
        regions.full.values().fold(regions.open, |sum, region| (sum.0 + region.0, sum.1 + region.1))
    }
}

/// Throws out the region that was filled first, and counts.
#[derive(Debug)]
pub(super) struct CountingPicker {
    fifo: FifoPicker,
    usage: Usage,
}

impl CountingPicker {
    pub(super) fn new(usage: Usage) -> Self {
        Self { fifo: FifoPicker::default(), usage }
    }
}

impl EvictionPicker for CountingPicker {
    fn init(&mut self, blocks: &[u32], block_size: usize) {
        self.fifo.init(blocks, block_size);
    }

    fn pick(&mut self, info: EvictionInfo<'_>) -> Option<u32> {
        self.fifo.pick(info)
    }

    fn on_block_evictable(&mut self, info: EvictionInfo<'_>, block: u32) {
        self.fifo.on_block_evictable(info, block);
        let mut regions = self.usage.0.lock();
        let estimate = regions.region_bytes / (BLOCK_BYTES + BLOCK_OVERHEAD_BYTES);
        let content = match std::mem::take(&mut regions.open) {
            (0, _) => (estimate, estimate * BLOCK_BYTES),
            content => content,
        };
        regions.full.insert(block, content);
    }

    fn on_block_evict(&mut self, info: EvictionInfo<'_>, block: u32) {
        self.fifo.on_block_evict(info, block);
        self.usage.0.lock().full.remove(&block);
    }
}
