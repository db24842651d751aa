//! What a planned query will read, before it reads a row: for `EXPLAIN (COST)`, and for `scan_limit`.
//!
//! Of Parquet it is what DataFusion's own opener will ask for ([`super::parquet`]), merged into requests as the reader does; of
//! other formats it is whole files. Where filters that are made while the query runs, or a LIMIT, may end a scan earlier, it
//! is the most that will be read, and says so.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_plan::ExecutionPlan;

use super::ahead::AheadSource;
use super::parquet::{NamedFileSource, Reads};
use super::report::ScanReport;
use crate::Result;

/// What one scan will read.
#[derive(Debug, Clone)]
pub(crate) struct ScanEstimate {
    /// What planning has found out and read.
    pub(crate) report: Arc<ScanReport>,
    /// What reading its rows takes.
    pub(crate) reads: Reads,
    /// Files without row groups: text.
    pub(crate) is_whole_files: bool,
    /// Requests for lists, which each run makes again.
    pub(crate) list_requests: u64,
}

impl ScanEstimate {
    /// The bytes that this very run has read of the scan's files and will still read.
    pub(crate) fn run_bytes(&self) -> u64 {
        let read = self.report.counters.bytes.load(Ordering::Relaxed);
        read + (self.reads.bytes - self.reads.at_hand_bytes)
    }
}

/// What each of the scans of `plan` will read; `reports` are those of its run. A scan of which nothing is read, since the
/// answer is known without, is among them. Of a scan of many files that reads more than `enough_bytes` it is a part.
///
/// # Errors
/// A footer that can't be read, a file that doesn't fit its table: what the query itself would say.
pub(crate) async fn estimate(
    plan: &Arc<dyn ExecutionPlan>,
    reports: &[Arc<ScanReport>],
    enough_bytes: Option<u64>,
) -> Result<Vec<ScanEstimate>> {
    let mut reads: HashMap<String, (Reads, bool)> = HashMap::new();
    for node in scans(plan) {
        let Some(config) = node.downcast_ref::<DataSourceExec>().and_then(config_of) else { continue };
        let source = config.file_source();
        let source = source.downcast_ref::<AheadSource>().map_or(source, AheadSource::inner);
        let source = source.downcast_ref::<NamedFileSource>();
        let found = match source {
            Some(source) => source.reads(config, enough_bytes).await?,
            None => None,
        };
        let is_whole_files = found.is_none();
        let found = found.unwrap_or_else(|| whole_files(config));
        reads.insert(config.object_store_url.as_str().to_owned(), (found, is_whole_files));
    }
    let estimates = reports.iter().map(|report| {
        let (reads, is_whole_files) = reads.remove(&report.url).unwrap_or_default();
        ScanEstimate {
            report: Arc::clone(report),
            reads,
            is_whole_files,
            list_requests: report.counters.list_requests.load(Ordering::Relaxed),
        }
    });
    Ok(estimates.collect())
}

fn config_of(node: &DataSourceExec) -> Option<&FileScanConfig> {
    node.data_source().downcast_ref::<FileScanConfig>()
}

/// All scans of `plan`.
fn scans(plan: &Arc<dyn ExecutionPlan>) -> Vec<Arc<dyn ExecutionPlan>> {
    let mut scans = Vec::new();
    let walked = plan.apply(|node| {
        if node.downcast_ref::<DataSourceExec>().is_some() {
            scans.push(Arc::clone(node));
        }
        Ok(TreeNodeRecursion::Continue)
    });
    debug_assert!(walked.is_ok(), "looking doesn't fail");
    scans
}

fn whole_files(config: &FileScanConfig) -> Reads {
    let mut reads = Reads::default();
    for file in config.file_groups.iter().flat_map(|group| group.iter()) {
        reads.files += 1;
        reads.requests += 1;
        reads.bytes += file.effective_size();
    }
    if config.limit.is_some() {
        reads.at_most = Some("a LIMIT may end it early");
        reads.ends_early = true;
    }
    reads
}
