//! [`History`]: the executions that run, and the last of those that ran.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use limnos_engine::Session;
use limnos_engine::clock::Clock;
use parking_lot::Mutex;
use std::sync::atomic::Ordering::Relaxed;
use tokio_util::sync::CancellationToken;

use super::execution::{Execution, Progress, State};

/// Ended executions that are remembered.
const ENDED_MAX: usize = 1000;

/// Of a statement's text, the part that is remembered: a text may have a megabyte.
const SQL_CHARS_MAX: usize = 8192;

/// Sums over all executions that ended.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Totals {
    pub(crate) succeeded: u64,
    pub(crate) failed: u64,
    pub(crate) cancelled: u64,
    pub(crate) bytes_scanned: u64,
    pub(crate) requests: u64,
    pub(crate) spilled_bytes: u64,
}

#[derive(Debug, Default)]
struct Inner {
    running: HashMap<String, Arc<Execution>>,
    ended: VecDeque<Arc<Execution>>,
    totals: Totals,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct History {
    clock: Arc<dyn Clock>,
    inner: Mutex<Inner>,
}

impl History {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, inner: Mutex::default() }
    }

    /// A new execution, in the queue.
    pub(super) fn start(self: &Arc<Self>, session: &Session, sql: &str) -> Arc<Execution> {
        let sql = match sql.char_indices().nth(SQL_CHARS_MAX) {
            Some((end, _)) => format!("{}...", &sql[..end]),
            None => sql.to_owned(),
        };
        let execution = Arc::new(Execution {
            id: uuid::Uuid::now_v7().to_string(),
            user: session.user.clone(),
            database: session.database.clone(),
            client_address: session.client_address.map(|address| address.to_string()),
            sql,
            queued_at: self.clock.now(),
            stats: Arc::default(),
            cancel: CancellationToken::new(),
            clock: Arc::clone(&self.clock),
            history: Arc::downgrade(self),
            progress: Mutex::new(Progress {
                state: State::Queued,
                started_at: None,
                ended_at: None,
                rows: 0,
                error: None,
            }),
            reason: Mutex::default(),
        });
        self.inner.lock().running.insert(execution.id.clone(), Arc::clone(&execution));
        execution
    }

    /// Moves it from those that run to those that ran.
    pub(super) fn ended(&self, execution: &Execution) {
        let mut inner = self.inner.lock();
        let Some(execution) = inner.running.remove(&execution.id) else {
            return;
        };
        let totals = &mut inner.totals;
        match execution.state() {
            State::Succeeded => totals.succeeded += 1,
            State::Failed => totals.failed += 1,
            _ => totals.cancelled += 1,
        }
        totals.bytes_scanned += execution.stats.bytes_scanned.load(Relaxed);
        totals.requests += execution.stats.requests.load(Relaxed);
        totals.spilled_bytes += execution.stats.spilled_bytes.load(Relaxed);
        if inner.ended.len() == ENDED_MAX {
            inner.ended.pop_front();
        }
        inner.ended.push_back(execution);
    }

    /// Those that run or wait.
    pub(crate) fn running(&self) -> Vec<Arc<Execution>> {
        self.inner.lock().running.values().cloned().collect()
    }

    /// Sums over those that ended.
    pub(crate) fn totals(&self) -> Totals {
        self.inner.lock().totals
    }

    /// All that are remembered, oldest first.
    pub(crate) fn all(&self) -> Vec<Arc<Execution>> {
        let inner = self.inner.lock();
        let mut all: Vec<_> = inner.ended.iter().chain(inner.running.values()).cloned().collect();
        all.sort_by(|a, b| a.queued_at.cmp(&b.queued_at).then_with(|| a.id.cmp(&b.id)));
        all
    }
}
