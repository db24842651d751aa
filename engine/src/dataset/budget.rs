//! [`Budget`]: the memory that all datasets of a server share, apart from what queries may hold.
//!
//! The rule: a dataset is loaded only if it fits into what the others leave. What it will take is known when it is known how
//! many rows are to come (files say so) and how many bytes rows take (those that are there, or the first that were read): then
//! it is refused before the rest is read. In any case it is refused at the moment that it takes more. Nothing that is there is
//! put out for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Error, ErrorCode};

/// See the module.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: u64,
    used: AtomicU64,
}

impl Budget {
    pub(crate) fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self { limit, used: AtomicU64::new(0) })
    }

    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// A share of nothing yet, of at most `own_limit`.
    pub(crate) fn share(self: &Arc<Self>, own_limit: Option<u64>) -> Share {
        Share { budget: Arc::clone(self), bytes: AtomicU64::new(0), own_limit }
    }
}

/// What one version of a dataset takes, until it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Arc<Budget>,
    bytes: AtomicU64,
    own_limit: Option<u64>,
}

impl Share {
    /// Takes `bytes` altogether, more or less than before.
    ///
    /// # Errors
    /// 53200, with figures, when there are not so many.
    pub(crate) fn resize(&self, dataset: &str, bytes: u64) -> Result<(), Error> {
        let had = self.bytes.load(Ordering::Relaxed);
        let grows = bytes.saturating_sub(had);
        if let Some(own_limit) = self.own_limit.filter(|own_limit| grows > 0 && bytes > *own_limit) {
            return Err(too_much(dataset)
                .with_detail(format!(
                    "It takes {} so far, and its memory_limit is {}.",
                    bytes_text(bytes),
                    bytes_text(own_limit)
                ))
                .with_hint(
                    "Raise it with ALTER DATASET ... SET (memory_limit = '...'), or take fewer rows or columns.",
                ));
        }
        let fits = |used: u64| used.checked_add(grows).filter(|used| grows == 0 || *used <= self.budget.limit);
        if self.budget.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_err() {
            return Err(self.refused(dataset, bytes, "It takes", " so far"));
        }
        self.budget.used.fetch_sub(had.saturating_sub(bytes), Ordering::Relaxed);
        self.bytes.store(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Whether so many bytes would fit.
    ///
    /// # Errors
    /// 53200, with figures.
    pub(crate) fn foresee(&self, dataset: &str, bytes: u64) -> Result<(), Error> {
        let others = self.budget.used().saturating_sub(self.bytes.load(Ordering::Relaxed));
        let room = self.budget.limit.saturating_sub(others);
        if bytes <= room.min(self.own_limit.unwrap_or(u64::MAX)) {
            return Ok(());
        }
        Err(self.refused(dataset, bytes, "It is going to take about", ""))
    }

    /// Takes `bytes` altogether, whether or not they fit: they are there already.
    pub(crate) fn force(&self, bytes: u64) {
        let had = self.bytes.swap(bytes, Ordering::Relaxed);
        self.budget.used.fetch_add(bytes, Ordering::Relaxed);
        self.budget.used.fetch_sub(had, Ordering::Relaxed);
    }

    fn refused(&self, dataset: &str, bytes: u64, takes: &str, so_far: &str) -> Error {
        let others = self.budget.used().saturating_sub(self.bytes.load(Ordering::Relaxed));
        let own =
            self.own_limit.map_or_else(String::new, |limit| format!(" Its memory_limit is {}.", bytes_text(limit)));
        too_much(dataset)
            .with_detail(format!(
                "{takes} {}{so_far}; datasets may take {} together, of which others have {}.{own}",
                bytes_text(bytes),
                bytes_text(self.budget.limit),
                bytes_text(others)
            ))
            .with_hint(
                "Raise dataset_memory in the server's configuration, take fewer rows or columns, or drop a dataset that \
                 nobody reads (system.datasets says when each was used).",
            )
    }
}

/// `1234 bytes`, `123 kB`, `1234 MB`: whole numbers of four digits at most, as PostgreSQL's `pg_size_pretty` has them.
pub(crate) fn bytes_text(bytes: u64) -> String {
    let mut size = bytes;
    for unit in ["bytes", "kB", "MB", "GB", "TB"] {
        if size < 10 * 1024 || unit == "TB" {
            return format!("{size} {unit}");
        }
        size = size.div_ceil(1024);
    }
    format!("{bytes} bytes")
}

fn too_much(dataset: &str) -> Error {
    Error::new(ErrorCode::OutOfMemory, format!("dataset \"{dataset}\" does not fit into the memory for datasets"))
}

impl Drop for Share {
    fn drop(&mut self) {
        self.force(0);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_one_budget_and_given_back() {
        let budget = Budget::new(100);
        let (first, second) = (budget.share(None), budget.share(Some(30)));
        first.resize("a", 60).unwrap();
        let error = second.resize("b", 31).unwrap_err();
        assert_eq!(
            (error.code, error.message.as_str()),
            (ErrorCode::OutOfMemory, "dataset \"b\" does not fit into the memory for datasets")
        );
        second.resize("b", 30).unwrap();
        assert_eq!(budget.used(), 90);
        assert!(first.resize("a", 71).unwrap_err().detail.unwrap().contains("of which others have 30 bytes"));
        assert!(first.foresee("a", 71).is_err());
        first.foresee("a", 70).unwrap();
        first.resize("a", 20).unwrap();
        assert_eq!(budget.used(), 50);
        // What is there is there.
        first.force(200);
        assert_eq!(budget.used(), 230);
        drop(first);
        assert_eq!(budget.used(), 30);
        drop(second);
        assert_eq!(budget.used(), 0);
    }
}
