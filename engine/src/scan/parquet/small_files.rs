//! [`SmallFiles`]: the small files of one scan, read whole, in one request each.
//!
//! A file that planning read for its footer is kept, charged to the query, until it is read for its rows. One that is open is
//! held by its readers together: whoever comes first fetches it.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use object_store::path::Path;
use parking_lot::Mutex;
use tokio::sync::OnceCell;

use super::footer::SMALL_FILE_BYTES;
use crate::scan::ahead::{Room, Taken};

/// A small file's bytes, once someone has fetched them.
pub(super) type Whole = OnceCell<Bytes>;

/// See the module. Without room (`default`) nothing is kept of files that aren't open.
#[derive(Debug, Default)]
pub struct SmallFiles {
    room: Option<Arc<Room>>,
    files: Mutex<Files>,
}

#[derive(Debug, Default)]
struct Files {
    kept: HashMap<Path, (Bytes, Taken)>,
    open: HashMap<Path, Weak<Whole>>,
}

impl SmallFiles {
    /// Those of a scan that may keep what `room` has room for.
    pub(crate) fn new(room: Arc<Room>) -> Self {
        Self { room: Some(room), files: Mutex::default() }
    }

    /// Whether the file's bytes are here.
    pub(crate) fn contains(&self, path: &Path) -> bool {
        let files = self.files.lock();
        files.kept.contains_key(path)
            || files.open.get(path).and_then(Weak::upgrade).is_some_and(|file| file.initialized())
    }

    /// Bytes of files that planning may still read whole.
    pub(crate) fn bytes_left(&self) -> u64 {
        self.room.as_ref().map_or(0, |room| room.left())
    }

    /// Whether a file of `size` bytes that is read for its footer is to be read whole: it is small, and its other bytes can
    /// be kept for those who read its rows.
    pub(super) fn wants(&self, path: &Path, size: u64) -> bool {
        let is_open = || self.files.lock().open.get(path).is_some_and(|file| file.strong_count() > 0);
        size <= SMALL_FILE_BYTES && (size <= self.bytes_left() || is_open())
    }

    /// Takes in a file that was read whole.
    pub(super) fn put(&self, path: &Path, bytes: &Bytes) {
        let mut files = self.files.lock();
        if let Some(open) = files.open.get(path).and_then(Weak::upgrade) {
            // It may have been fetched meanwhile.
            let _same = open.set(bytes.clone());
        } else if let Some(taken) = self.room.as_ref().and_then(|room| room.take(bytes.len() as u64)) {
            files.kept.insert(path.clone(), (bytes.clone(), taken));
        }
    }

    /// Forgets the kept files but for those that `is_kept` names: the others will not be read.
    pub(crate) fn retain(&self, is_kept: impl Fn(&Path) -> bool) {
        self.files.lock().kept.retain(|path, _| is_kept(path));
    }

    /// A small file that is opened; shared by those who have it open at the same time.
    pub(super) fn open(&self, path: &Path) -> Arc<Whole> {
        let mut files = self.files.lock();
        if let Some(open) = files.open.get(path).and_then(Weak::upgrade) {
            return open;
        }
        let kept = files.kept.remove(path).map(|(bytes, _taken)| bytes);
        let file = Arc::new(Whole::new_with(kept));
        // What was closed leaves its name; swept when there are many.
        if files.open.len() >= 1024 && files.open.len().is_power_of_two() {
            files.open.retain(|_, file| file.strong_count() > 0);
        }
        files.open.insert(path.clone(), Arc::downgrade(&file));
        file
    }
}
