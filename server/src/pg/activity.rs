//! What each connection does, for `pg_stat_activity`, and the ways to stop it, for `pg_cancel_backend` and
//! `pg_terminate_backend`.

use std::sync::Arc;

use limnos_engine::clock::Clock;
use limnos_engine::session::{Backend, Backends};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::cancel::CancelKeys;
use crate::query::CancelSlot;

/// Of a statement's text, the part that is shown; PostgreSQL's `track_activity_query_size`.
const QUERY_BYTES_MAX: usize = 1024;

/// One connection, shared by it and whoever looks.
pub(crate) struct Activity {
    shown: Mutex<Backend>,
    slot: CancelSlot,
    /// Ends the connection.
    pub(crate) terminate: CancellationToken,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Activity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Activity").field("shown", &*self.shown.lock()).finish_non_exhaustive()
    }
}

impl Activity {
    pub(crate) fn new(backend: Backend, slot: CancelSlot, terminate: CancellationToken, clock: Arc<dyn Clock>) -> Self {
        Self { shown: Mutex::new(backend), slot, terminate, clock }
    }

    /// A statement begins.
    pub(crate) fn begin(&self, sql: &str) {
        let mut end = sql.len().min(QUERY_BYTES_MAX);
        while !sql.is_char_boundary(end) {
            end -= 1;
        }
        let now = self.clock.now().timestamp_micros();
        let mut shown = self.shown.lock();
        shown.query = Some((sql[..end].to_owned(), now));
        (shown.state, shown.state_since_us) = ("active", now);
    }

    /// The client's turn.
    pub(crate) fn rest(&self, state: &'static str, application_name: &str) {
        let mut shown = self.shown.lock();
        if shown.state != state {
            (shown.state, shown.state_since_us) = (state, self.clock.now().timestamp_micros());
        }
        if shown.application_name != application_name {
            application_name.clone_into(&mut shown.application_name);
        }
    }
}

impl Backends for CancelKeys {
    fn list(&self) -> Vec<Backend> {
        let mut all: Vec<Backend> = self.activities().iter().map(|activity| activity.shown.lock().clone()).collect();
        all.sort_by_key(|backend| backend.pid);
        all
    }

    fn user_of(&self, pid: i32) -> Option<String> {
        self.activity(pid).map(|activity| activity.shown.lock().user.clone())
    }

    fn cancel(&self, pid: i32) -> bool {
        let Some(activity) = self.activity(pid) else { return false };
        activity.slot.cancel("canceling statement due to user request");
        true
    }

    fn terminate(&self, pid: i32) -> bool {
        let Some(activity) = self.activity(pid) else { return false };
        activity.terminate.cancel();
        true
    }
}
