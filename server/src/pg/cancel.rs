//! Cancel keys: a CancelRequest comes on a connection of its own and names another by process id and key.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use subtle::ConstantTimeEq;

use super::activity::Activity;
use crate::query::CancelSlot;

/// The live connections that can be cancelled.
#[derive(Debug, Default)]
pub(crate) struct CancelKeys {
    next_pid: AtomicI32,
    entries: Mutex<HashMap<i32, Entry>>,
}

#[derive(Debug)]
struct Entry {
    secret: Bytes,
    slot: CancelSlot,
    activity: Option<Arc<Activity>>,
}

/// A connection's entry, removed when dropped.
#[derive(Debug)]
pub(crate) struct CancelKey {
    keys: Arc<CancelKeys>,
    pub(crate) pid: i32,
    pub(crate) secret: Bytes,
}

impl Drop for CancelKey {
    fn drop(&mut self) {
        self.keys.entries.lock().remove(&self.pid);
    }
}

impl CancelKeys {
    /// Registers a connection under a process id that no live one has.
    pub(crate) fn register(self: &Arc<Self>, secret: Bytes, slot: CancelSlot) -> CancelKey {
        let mut entries = self.entries.lock();
        let pid = loop {
            // Positive, as PostgreSQL's are; wraps after two billion connections.
            let pid = (self.next_pid.fetch_add(1, Ordering::Relaxed) & i32::MAX).max(1);
            if !entries.contains_key(&pid) {
                break pid;
            }
        };
        entries.insert(pid, Entry { secret: secret.clone(), slot, activity: None });
        CancelKey { keys: Arc::clone(self), pid, secret }
    }

    /// Shows a registered connection to others.
    pub(crate) fn show(&self, pid: i32, activity: &Arc<Activity>) {
        if let Some(entry) = self.entries.lock().get_mut(&pid) {
            entry.activity = Some(Arc::clone(activity));
        }
    }

    pub(crate) fn activities(&self) -> Vec<Arc<Activity>> {
        self.entries.lock().values().filter_map(|entry| entry.activity.clone()).collect()
    }

    pub(crate) fn activity(&self, pid: i32) -> Option<Arc<Activity>> {
        self.entries.lock().get(&pid).and_then(|entry| entry.activity.clone())
    }

    /// Cancels what the connection runs if the key is right. The caller learns nothing, and so does its client.
    pub(crate) fn cancel(&self, pid: i32, secret: &[u8]) {
        let slot = {
            let entries = self.entries.lock();
            let entry = entries.get(&pid).filter(|entry| bool::from(entry.secret.as_ref().ct_eq(secret)));
            entry.map(|entry| entry.slot.clone())
        };
        match slot {
            Some(slot) => slot.cancel("canceling statement due to user request"),
            None => tracing::debug!(pid, "cancel request with a wrong key"),
        }
    }
}
