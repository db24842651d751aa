//! [`ScanReport`]: what one scan of a query pruned and read, for EXPLAIN, history and metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::rejects::ScanTally;
use super::store::StoreCounters;
use crate::Notice;

/// Filled by planning, counted on while the query runs.
#[derive(Debug, Default)]
pub struct ScanReport {
    /// `default.orders`
    pub table: String,
    /// Its partition keys.
    pub(crate) keys: Vec<String>,
    /// What its plan calls its store.
    pub(crate) url: String,
    /// Partitions of the table; 0 when it isn't partitioned.
    pub partitions_total: u64,
    /// Those that the predicate doesn't exclude.
    pub partitions_kept: u64,
    /// Whether they follow from the table's properties: some may have no folder then.
    pub partitions_are_projected: bool,
    /// Files listed in the kept partitions.
    pub files_total: u64,
    /// Files that statistics don't exclude.
    pub files_kept: u64,
    /// Row groups of the listed files whose footers were read.
    pub row_groups_total: u64,
    /// Those that statistics don't exclude.
    pub row_groups_kept: u64,
    /// Files whose footers were not read when planning (there were too many), so that their row groups aren't counted.
    pub files_unread: u64,
    /// Size of the kept files.
    pub bytes_kept: u64,
    /// Requests and bytes of this scan, planning included.
    pub counters: Arc<StoreCounters>,
    /// Rows of text files that were read and left out.
    pub(crate) tally: Option<Arc<ScanTally>>,
}

impl ScanReport {
    /// What EXPLAIN (FORMAT JSON) shows.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "Table": self.table,
            "Partitions": self.partitions_kept,
            "Partitions Total": self.partitions_total,
            "Files": self.files_kept,
            "Files Total": self.files_total,
            "File Bytes": self.bytes_kept,
            "Row Groups": self.row_groups_kept,
            "Row Groups Total": self.row_groups_total,
            "Requests": self.counters.requests.load(Ordering::Relaxed),
            "Bytes Read": self.counters.bytes.load(Ordering::Relaxed),
        })
    }

    /// The lines that EXPLAIN shows: name and text.
    pub fn lines(&self) -> Vec<String> {
        let requests = self.counters.requests.load(Ordering::Relaxed);
        let bytes = self.counters.bytes.load(Ordering::Relaxed);
        let cached = match self.counters.cached_bytes.load(Ordering::Relaxed) {
            0 => String::new(),
            cached => format!(", from cache: {cached}"),
        };
        let mut lines = vec![format!("Scan of {}", self.table)];
        if self.partitions_total > 0 {
            let projected = if self.partitions_are_projected { " (projected)" } else { "" };
            lines.push(format!("  Partitions: {} of {}{projected}", self.partitions_kept, self.partitions_total));
        }
        lines.push(format!("  Files: {} of {} ({} bytes)", self.files_kept, self.files_total, self.bytes_kept));
        if self.row_groups_total > 0 {
            lines.push(format!("  Row groups: {} of {}", self.row_groups_kept, self.row_groups_total));
        }
        if self.files_unread > 0 {
            lines.push(format!("  Footers not read when planning: {}", self.files_unread));
        }
        lines.push(format!("  Requests: {requests}, bytes read: {bytes}{cached}"));
        if let Some(tally) = &self.tally {
            let (rows, rejects, ignored) = (tally.rows(), tally.rejects(), tally.ignored());
            if rows + rejects + ignored > 0 {
                lines.push(format!("  Rows: {rows}, rejects: {rejects}, ignored: {ignored}"));
            }
        }
        lines
    }

    /// What is to be said at the end about rows that were left out.
    pub(crate) fn notice(&self) -> Option<Notice> {
        let tally = self.tally.as_ref().filter(|tally| tally.rejects() > 0)?;
        let (rejects, all) = (tally.rejects(), tally.rows() + tally.rejects());
        let kept = if tally.is_kept() { "; see system.rejects" } else { "" };
        let message = format!("{rejects} of {all} rows of table \"{}\" were left out as wrong{kept}", tally.table());
        Some(Notice::warning(message))
    }
}

/// Adds `count` to a counter, which stays at its greatest value: projected partitions may be past counting.
pub(crate) fn add(counter: &AtomicU64, count: u64) {
    let _ = counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |sum| Some(sum.saturating_add(count)));
}
