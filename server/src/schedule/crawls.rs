//! [`Crawlers`]: the jobs that are crawlers with a schedule. Each run is the statement RUN CRAWLER through the one door, as
//! the crawler's owner.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use limnos_catalog::Catalog;
use limnos_engine::ErrorCode;
use tokio::sync::Semaphore;

use super::{Due, Job, Jobs};
use crate::query::{CancelSlot, QueryService};
use crate::script::{self, Discard};

/// Scheduled crawls that run at the same time; what is due beyond waits.
const RUNNING_MAX: usize = 4;

/// See the module.
pub struct Crawlers {
    catalog: Arc<Catalog>,
    service: Arc<QueryService>,
    catalog_name: String,
    permits: Arc<Semaphore>,
}

impl Crawlers {
    /// Of `catalog`, run by `service`. `catalog_name` is `current_database()`.
    pub fn new(catalog: Arc<Catalog>, service: Arc<QueryService>, catalog_name: String) -> Self {
        Self { catalog, service, catalog_name, permits: Arc::new(Semaphore::new(RUNNING_MAX)) }
    }
}

impl Jobs for Crawlers {
    fn jobs(&self) -> Vec<Job> {
        let snapshot = self.catalog.snapshot();
        let scheduled = snapshot.crawlers.values().filter_map(|crawler| {
            let schedule = crawler.schedule.as_ref().filter(|schedule| !schedule.is_paused)?;
            let since = DateTime::from_timestamp_millis(schedule.since_ms)?;
            Some(Job { key: crawler.id, schedule: schedule.schedule.clone(), since })
        });
        scheduled.collect()
    }

    fn last_due(&self, key: i64) -> Option<DateTime<Utc>> {
        let snapshot = self.catalog.snapshot();
        let crawler = snapshot.crawlers.values().find(|crawler| crawler.id == key)?;
        let runs = self
            .catalog
            .crawl_runs()
            .inspect_err(|error| tracing::warn!(%error, "the history of crawls cannot be read"))
            .ok()?;
        let due = runs.iter().filter(|run| run.crawler == crawler.name).filter_map(|run| run.due_at_ms).max()?;
        DateTime::from_timestamp_millis(due)
    }

    fn start(&self, due: Due) {
        let snapshot = self.catalog.snapshot();
        let Some(crawler) = snapshot.crawlers.values().find(|crawler| crawler.id == due.key).cloned() else { return };
        let (service, permits) = (Arc::clone(&self.service), Arc::clone(&self.permits));
        let mut session = self.service.session_of_owner(&crawler.owner, &self.catalog_name);
        session.due_at_ms = Some(due.at.timestamp_millis());
        tokio::spawn(async move {
            let Ok(_permit) = permits.acquire().await else { return };
            let sql = format!("RUN CRAWLER \"{}\"", crawler.name.replace('"', "\"\""));
            let (slot, mut sink) = (CancelSlot::default(), Discard::default());
            match script::run(&service, &mut session, &sql, &slot, &mut sink).await {
                Ok(()) => {}
                Err(failed) if failed.error.code == ErrorCode::ObjectInUse => {
                    tracing::warn!(crawler = %crawler.name, due_at = %due.at, "a scheduled crawl was passed over: it still runs");
                }
                Err(failed) => {
                    tracing::warn!(crawler = %crawler.name, due_at = %due.at, error = %failed.error, "a scheduled crawl failed");
                }
            }
        });
    }
}
