//! [`Crawls`]: the runs of crawlers that go on in this process. Each crawler runs once at a time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use limnos_catalog::CrawlCounts;
use parking_lot::Mutex;

use crate::scan::store::StoreCounters;
use crate::{Error, ErrorCode, Result};

/// The runs that go on, by crawler.
#[derive(Debug, Default)]
pub struct Crawls {
    running: Mutex<BTreeMap<String, Arc<Live>>>,
}

/// One of them: what it has done so far.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) run_id: String,
    query_id: String,
    pub(super) store: Arc<StoreCounters>,
    pub(super) files_listed: AtomicU64,
    pub(super) files_read: AtomicU64,
}

/// Held while a crawler runs.
pub(super) struct Running {
    crawls: Arc<Crawls>,
    crawler: String,
    pub(super) live: Arc<Live>,
}

impl Crawls {
    /// Whether a crawler runs now.
    pub fn is_running(&self, crawler: &str) -> bool {
        self.running.lock().contains_key(&crawler.to_lowercase())
    }

    /// Refuses a change of a crawler that runs.
    ///
    /// # Errors
    /// [`ErrorCode::ObjectInUse`].
    pub(super) fn check_idle(&self, crawler: &str) -> Result<()> {
        match self.running.lock().get(&crawler.to_lowercase()) {
            Some(live) => Err(in_use(crawler, live)),
            None => Ok(()),
        }
    }

    /// Marks a crawler as running until what comes back is dropped.
    ///
    /// # Errors
    /// [`ErrorCode::ObjectInUse`] if it runs already.
    pub(super) fn begin(self: &Arc<Self>, crawler: &str, run_id: &str, query_id: &str) -> Result<Running> {
        let mut running = self.running.lock();
        if let Some(live) = running.get(crawler) {
            return Err(in_use(crawler, live));
        }
        let live = Arc::new(Live {
            run_id: run_id.to_owned(),
            query_id: query_id.to_owned(),
            store: Arc::default(),
            files_listed: AtomicU64::new(0),
            files_read: AtomicU64::new(0),
        });
        running.insert(crawler.to_owned(), Arc::clone(&live));
        Ok(Running { crawls: Arc::clone(self), crawler: crawler.to_owned(), live })
    }

    /// The counts so far of a run that goes on.
    pub(super) fn counts(&self, crawler: &str, run_id: &str) -> Option<CrawlCounts> {
        let live = self.running.lock().get(crawler).filter(|live| live.run_id == run_id).cloned()?;
        Some(live.counts())
    }
}

impl Live {
    pub(super) fn counts(&self) -> CrawlCounts {
        CrawlCounts {
            files_listed: self.files_listed.load(Ordering::Relaxed),
            files_read: self.files_read.load(Ordering::Relaxed),
            bytes_read: self.store.bytes.load(Ordering::Relaxed),
            requests: self.store.requests.load(Ordering::Relaxed),
            ..CrawlCounts::default()
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.crawls.running.lock().remove(&self.crawler);
    }
}

fn in_use(crawler: &str, live: &Live) -> Error {
    Error::new(ErrorCode::ObjectInUse, format!("crawler \"{crawler}\" is running"))
        .with_hint(format!("Wait until it ends (see system.crawls), or stop it with KILL QUERY '{}'.", live.query_id))
}
