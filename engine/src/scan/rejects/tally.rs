//! [`ScanTally`] and [`FileTally`]: how many rows of text a scan has read, and how many it has left out.
//!
//! What a decoder reads is a row, a reject, or neither (headers, comments, lines without a character):
//! rows + rejects + ignored = what is in the part of the files that was read. Each counts when it is read, so that nothing is
//! counted twice or lost where a LIMIT ends a scan early.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use limnos_catalog::{FileVersion, Reject};
use object_store::ObjectMeta;
use parking_lot::Mutex;

use super::RejectLog;
use crate::execute::QueryStats;
use crate::scan::facts::file_version;
use crate::scan::format::on_error::{OnError, RowPolicy};
use crate::scan::format::position::Position;
use crate::scan::format::scalar::shorten;
use crate::{Error, ErrorCode, Result};

/// Rejects that the error of too many names.
const NAMED_MAX: usize = 3;

/// Rejects of one file that are kept. A file that isn't what its table says would drive out those of all others.
const KEPT_OF_FILE_MAX: u64 = 1000;

/// Bytes of a rejected line that are kept.
const RAW_BYTES_MAX: usize = 1024;

/// Where the rejects of a scan are kept.
#[derive(Debug)]
pub(crate) struct Quarantine {
    pub(crate) log: Arc<RejectLog>,
    pub(crate) table_id: i64,
    pub(crate) table_version: i64,
    /// The store of the table's files.
    pub(crate) store_url: String,
}

/// Counts of one scan of a table of text.
#[derive(Debug, Default)]
pub(crate) struct ScanTally {
    rows: AtomicU64,
    rejects: AtomicU64,
    ignored: AtomicU64,
    table: String,
    policy: RowPolicy,
    /// The query's own, which count with this one.
    stats: Option<Arc<QueryStats>>,
    quarantine: Option<Quarantine>,
    first: Mutex<Vec<String>>,
    /// All that were left out: where, and the whole line.
    #[cfg(test)]
    pub(crate) all: Mutex<Vec<(Position, Vec<u8>, String)>>,
}

impl ScanTally {
    /// Counts for a scan of `table`.
    pub(crate) fn new(
        table: String,
        policy: RowPolicy,
        stats: Arc<QueryStats>,
        quarantine: impl FnOnce() -> Quarantine,
    ) -> Arc<Self> {
        let quarantine = (policy.on_error == Some(OnError::Quarantine)).then(quarantine);
        Arc::new(Self { table, policy, stats: Some(stats), quarantine, ..Self::default() })
    }

    /// Counts for nobody.
    pub(crate) fn detached(policy: RowPolicy) -> Arc<Self> {
        Arc::new(Self { policy, ..Self::default() })
    }

    /// What becomes of rows that are wrong.
    pub(crate) fn policy(&self) -> &RowPolicy {
        &self.policy
    }

    /// The table's name.
    pub(crate) fn table(&self) -> &str {
        &self.table
    }

    /// Rows read.
    pub(crate) fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// Rows left out.
    pub(crate) fn rejects(&self) -> u64 {
        self.rejects.load(Ordering::Relaxed)
    }

    /// Headers, comments and empty lines read.
    pub(crate) fn ignored(&self) -> u64 {
        self.ignored.load(Ordering::Relaxed)
    }

    /// Whether what is left out can be looked at.
    pub(crate) fn is_kept(&self) -> bool {
        self.quarantine.is_some()
    }

    fn add(&self, rows: u64, ignored: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
        self.ignored.fetch_add(ignored, Ordering::Relaxed);
        if let Some(stats) = &self.stats {
            QueryStats::add(&stats.text_rows, rows);
        }
    }

    /// One more; an error if that is one too many.
    fn reject(&self, told: impl FnOnce() -> String) -> Result<()> {
        let count = self.rejects.fetch_add(1, Ordering::Relaxed) + 1;
        if let Some(stats) = &self.stats {
            QueryStats::add(&stats.rejects, 1);
        }
        let mut first = self.first.lock();
        if first.len() < NAMED_MAX {
            first.push(told());
        }
        match self.policy.max_rejects {
            Some(max) if count > max => {
                let rows = if max == 1 { "row" } else { "rows" };
                let message = format!("more than {max} rejected {rows} in table \"{}\"", self.table);
                Err(self.too_many(message, &first, "limnos.on_error.max_rejects"))
            }
            _ => Ok(()),
        }
    }

    /// Whether a file has too many.
    fn check_rate(&self, file: &str, rows: u64, rejects: u64) -> Result<()> {
        let Some(rate) = self.policy.max_reject_rate.filter(|_| rejects > 0) else { return Ok(()) };
        let all = rows + rejects;
        if rejects as f64 <= rate * all as f64 {
            return Ok(());
        }
        let message = format!("{rejects} of {all} rows of file \"{file}\" were rejected, more than a share of {rate}");
        Err(self.too_many(message, &self.first.lock(), "limnos.on_error.max_reject_rate"))
    }

    fn too_many(&self, message: String, first: &[String], property: &str) -> Error {
        Error::new(ErrorCode::DataException, message)
            .with_detail(format!("The first: {}.", first.join("; ")))
            .with_hint(format!("Correct the files, or raise the table's property \"{property}\"."))
    }
}

/// Counts of one file, or of a part of one.
#[derive(Debug)]
pub struct FileTally {
    scan: Arc<ScanTally>,
    /// What errors call it.
    name: String,
    /// Which version of it, where rejects are kept.
    version: Option<FileVersion>,
    rows: u64,
    rejects: u64,
    /// Counted here and not yet there.
    pending_rows: u64,
    pending_ignored: u64,
}

impl FileTally {
    /// Counts of `object` for `scan`.
    pub(crate) fn new(scan: &Arc<ScanTally>, name: &str, object: &ObjectMeta) -> Self {
        let mut tally = Self::of(scan, name);
        tally.version = scan.quarantine.as_ref().map(|quarantine| file_version(&quarantine.store_url, object));
        tally
    }

    /// Counts for nobody.
    pub(crate) fn detached(name: &str, policy: RowPolicy) -> Self {
        Self::of(&ScanTally::detached(policy), name)
    }

    fn of(scan: &Arc<ScanTally>, name: &str) -> Self {
        let (scan, name) = (Arc::clone(scan), name.to_owned());
        Self { scan, name, version: None, rows: 0, rejects: 0, pending_rows: 0, pending_ignored: 0 }
    }

    /// What becomes of rows that are wrong.
    pub(crate) fn policy(&self) -> &RowPolicy {
        &self.scan.policy
    }

    /// A row more.
    pub(crate) fn row(&mut self) {
        self.rows += 1;
        self.pending_rows += 1;
    }

    /// What is no row and isn't meant to be one.
    pub(crate) fn ignored(&mut self) {
        self.pending_ignored += 1;
    }

    /// A row is left out. It began at `position` and has the text `raw`, or begins with it.
    ///
    /// # Errors
    /// When that is one too many.
    pub(crate) fn reject(&mut self, error: &Error, column: Option<&str>, position: Position, raw: &[u8]) -> Result<()> {
        self.rejects += 1;
        let told = || match column {
            Some(column) => {
                format!("file \"{}\", {position}, column \"{column}\": {}", self.name, shorten(&error.message))
            }
            None => format!("file \"{}\", {position}: {}", self.name, shorten(&error.message)),
        };
        #[cfg(test)]
        self.scan.all.lock().push((position, raw.to_vec(), error.message.clone()));
        let counted = self.scan.reject(told);
        if let (Some(quarantine), Some(version)) = (&self.scan.quarantine, &self.version)
            && self.rejects <= KEPT_OF_FILE_MAX
        {
            quarantine.log.tell(Reject {
                table_id: quarantine.table_id,
                table_version: quarantine.table_version,
                file: version.clone(),
                offset: position.offset,
                line: position.line,
                column: column.map(str::to_owned),
                sqlstate: error.code.sqlstate().to_owned(),
                reason: error.message.clone(),
                raw: cut(raw),
            });
        }
        counted
    }

    /// Adds what was counted to the scan's counts.
    pub(crate) fn flush(&mut self) {
        self.scan.add(std::mem::take(&mut self.pending_rows), std::mem::take(&mut self.pending_ignored));
    }

    /// The file, or its part, was read to its end.
    ///
    /// # Errors
    /// When too many of its rows were left out.
    pub(crate) fn finish(&mut self) -> Result<()> {
        self.flush();
        if let (Some(quarantine), Some(version)) = (&self.scan.quarantine, &self.version) {
            quarantine.log.was_read(quarantine.table_id, version);
        }
        self.scan.check_rate(&self.name, self.rows, self.rejects)
    }
}

impl Drop for FileTally {
    fn drop(&mut self) {
        self.flush();
    }
}

/// A line as it is kept: without its end, as text, and not without end. PostgreSQL's texts have no NUL.
fn cut(raw: &[u8]) -> String {
    let line = raw.strip_suffix(b"\n").unwrap_or(raw);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let is_whole = line.len() <= RAW_BYTES_MAX;
    let mut end = line.len().min(RAW_BYTES_MAX);
    // Not in the middle of a character.
    while !is_whole && end > RAW_BYTES_MAX - 4 && line.get(end).is_some_and(|byte| byte & 0xc0 == 0x80) {
        end -= 1;
    }
    let text = String::from_utf8_lossy(&line[..end]).replace('\0', "\u{fffd}");
    if is_whole { text } else { format!("{text}...") }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_between_characters() {
        assert_eq!(cut(b"a,b\r\n"), "a,b");
        assert_eq!(cut(b"a\0\xff\n"), "a\u{fffd}\u{fffd}");
        assert_eq!(cut("ä".repeat(512).as_bytes()), "ä".repeat(512));
        assert_eq!(cut(format!("x{}", "ä".repeat(512)).as_bytes()), format!("x{}...", "ä".repeat(511)));
        assert_eq!(cut(&[b'x'; 2000]).len(), RAW_BYTES_MAX + 3);
    }

    #[test]
    fn one_too_many_is_an_error_that_names_the_first() {
        let policy = RowPolicy { on_error: Some(OnError::Skip), max_rejects: Some(2), max_reject_rate: Some(0.25) };
        let scan = ScanTally::detached(policy);
        let bad = Error::new(ErrorCode::DataException, "bad");
        let mut first = FileTally::of(&scan, "/f");
        let mut second = FileTally::of(&scan, "/g");
        (0..8).for_each(|_| first.row());
        for line in 1..=2 {
            first.reject(&bad, Some("c"), line.into(), b"").unwrap();
        }
        first.ignored();
        first.finish().unwrap();
        second.row();
        let error = second.reject(&bad, None, Position { line: None, offset: 7 }, b"").unwrap_err();
        assert_eq!(error.message, "more than 2 rejected rows in table \"\"");
        assert_eq!(
            error.detail.unwrap(),
            "The first: file \"/f\", line 1, column \"c\": bad; file \"/f\", line 2, column \"c\": bad; file \"/g\", byte 7: bad."
        );
        let error = second.finish().unwrap_err();
        assert_eq!(error.message, "1 of 2 rows of file \"/g\" were rejected, more than a share of 0.25");
        drop(second);
        assert_eq!((scan.rows(), scan.rejects(), scan.ignored()), (9, 3, 1));
    }
}
