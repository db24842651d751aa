//! The memory watchdog: what operators don't account for (decoding, arrays in flight, `array_agg`) is seen in the process's
//! resident size. Past the high-water mark the query that holds most fails alone, before the operating system kills
//! everyone.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};
use std::time::Duration;

use limnos_engine::dataset::Datasets;
use limnos_engine::{Engine, ErrorCode};

use super::history::History;

/// A query takes a gigabyte a second; this bounds how far it gets past the mark before it is seen.
const INTERVAL: Duration = Duration::from_millis(20);

/// Memory that is not the queries': code, caches, connections.
const OVERHEAD_BYTES: u64 = 200 << 20;

/// How long a query that was stopped may take to let go before another one is chosen.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the allocator keeps for a moment after a query has ended is not the next query's.
const SETTLING: Duration = Duration::from_millis(100);

/// Watches until the history is gone.
pub(super) fn start(engine: &Arc<Engine>, history: &Arc<History>) {
    let limit = engine.usage().memory_limit_bytes;
    // Queries may go half over what they account for before one must go.
    let high_water = limit.saturating_add(limit / 2).saturating_add(OVERHEAD_BYTES);
    let history = Arc::downgrade(history);
    let datasets = Arc::clone(engine.datasets());
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        runtime.spawn(watch(history, datasets, high_water));
    }
}

async fn watch(history: Weak<History>, datasets: Arc<Datasets>, queries_high_water: u64) {
    let mut interval = tokio::time::interval(INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut is_high = false;
    loop {
        interval.tick().await;
        let Some(history) = history.upgrade() else {
            return;
        };
        // What datasets take is theirs, and no query's fault.
        let high_water = queries_high_water.saturating_add(datasets.usage().0);
        let Some(resident) = resident_bytes().filter(|&resident| resident > high_water) else {
            is_high = false;
            continue;
        };
        // Once may be what the allocator is about to give back.
        if !std::mem::replace(&mut is_high, true) {
            continue;
        }
        let running = history.running();
        // By what is accounted; among equals the one that has read most.
        let held = |stats: &limnos_engine::execute::QueryStats| {
            (stats.memory_bytes.load(Relaxed), stats.bytes_scanned.load(Relaxed))
        };
        let Some(largest) = running
            .iter()
            .filter(|execution| !execution.cancel.is_cancelled())
            .max_by_key(|execution| held(&execution.stats))
        else {
            continue;
        };
        tracing::warn!(query_id = %largest.id, resident, high_water, "memory high-water mark passed, the largest query is stopped");
        largest.cancel(ErrorCode::OutOfMemory, "out of memory: the query was stopped to keep the server alive");
        let id = largest.id.clone();
        drop(running);
        let stopped = tokio::time::Instant::now();
        while stopped.elapsed() < PATIENCE && history.running().iter().any(|execution| execution.id == id) {
            interval.tick().await;
        }
        tokio::time::sleep(SETTLING).await;
    }
}

/// The process's resident set, from `/proc/self/statm` (proc(5)); `None` where there is no such file.
fn resident_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * 4096)
}
