//! [`Published`]: the newest snapshot, for everybody, and which older ones somebody may still hold.

use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use crate::{Error, Snapshot};

/// What has been committed, by this server or another.
pub(super) struct Published {
    current: ArcSwap<Snapshot>,
    /// Snapshots that somebody may still hold, oldest first. Whoever publishes has the lock.
    held: Mutex<Vec<(i64, Weak<Snapshot>)>>,
}

impl Published {
    pub(super) fn new(snapshot: Snapshot) -> Self {
        let snapshot = Arc::new(snapshot);
        let held = vec![(snapshot.version, Arc::downgrade(&snapshot))];
        Self { current: ArcSwap::new(snapshot), held: Mutex::new(held) }
    }

    /// The newest one.
    pub(super) fn current(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Puts a committed snapshot in place unless a newer one, or the same, is there already: a commit and the
    /// [`super::watch`] may come with the same. Returns the newest.
    pub(super) fn publish(&self, snapshot: Snapshot) -> Arc<Snapshot> {
        let mut held = self.held.lock();
        let current = self.current.load_full();
        if snapshot.version <= current.version {
            return current;
        }
        let snapshot = Arc::new(snapshot);
        held.push((snapshot.version, Arc::downgrade(&snapshot)));
        self.current.store(Arc::clone(&snapshot));
        snapshot
    }

    /// The version of the oldest snapshot that somebody holds; the newest is always held. It never falls.
    pub(super) fn oldest_held(&self) -> i64 {
        let mut held = self.held.lock();
        held.retain(|(_, snapshot)| snapshot.strong_count() > 0);
        held.first().map_or_else(|| self.current.load().version, |(version, _)| *version)
    }
}

/// The store is at a version that was left behind long ago.
pub(super) fn gone_back(name: &str, version: i64, known_version: i64) -> Error {
    let reason = format!(
        "it has gone back from version {known_version} to {version}, as after a restore from a backup; start the server \
         again"
    );
    Error::Unusable { path: name.to_owned(), reason }
}
