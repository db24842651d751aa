//! [`ScanLimit`]: the most bytes that a query may read. Who would read more is told before the first row is read; who reads on
//! all the same, since nobody could know, is stopped.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use datafusion::physical_plan::ExecutionPlan;

use super::estimate::{ScanEstimate, estimate};
use super::report::ScanReport;
use crate::execute::QueryRun;
use crate::{Error, ErrorCode, Result};

/// Most bytes that a query may read, footers included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ScanLimit(pub(crate) u64);

impl ScanLimit {
    /// The stricter of what a session and its server say.
    pub(crate) fn of(session_bytes: Option<u64>, server_bytes: Option<u64>) -> Option<Self> {
        session_bytes.into_iter().chain(server_bytes).min().map(Self)
    }

    /// Refuses a plan that would read more. Scans that a LIMIT may end early are only held to the limit as they read.
    ///
    /// # Errors
    /// [`ErrorCode::ConfigurationLimitExceeded`]; a footer that can't be read.
    pub(crate) async fn check(self, plan: &Arc<dyn ExecutionPlan>, run: &QueryRun) -> Result<()> {
        let reports = run.reports();
        let read = |report: &ScanReport| report.counters.bytes.load(Ordering::Relaxed);
        // All of all files is a bound that costs nothing to know.
        let most = reports.iter().fold(0, |sum: u64, report| sum.saturating_add(report.bytes_kept + read(report)));
        if most <= self.0 {
            return Ok(());
        }
        let estimates = estimate(plan, &reports, Some(self.0)).await?;
        let counted = || estimates.iter().filter(|estimate| !estimate.reads.ends_early);
        let total: u64 = counted().map(ScanEstimate::run_bytes).sum();
        if total <= self.0 {
            return Ok(());
        }
        let Some(largest) = counted().max_by_key(|estimate| estimate.run_bytes()) else { return Ok(()) };
        Err(self.refusal(largest, total))
    }

    fn refusal(self, largest: &ScanEstimate, total: u64) -> Error {
        let report = &largest.report;
        let bound = match &largest.reads {
            reads if reads.is_cut => "more than ",
            reads if reads.at_most.is_some() => "up to ",
            _ => "",
        };
        let mut detail = format!("It would read {} of {} files", report.files_kept, report.files_total);
        if report.partitions_total > 0 {
            detail.push_str(&format!(" in {} of {} partitions", report.partitions_kept, report.partitions_total));
        }
        if total > largest.run_bytes() {
            detail.push_str(&format!("; the whole query would read {total} bytes"));
        }
        if let Some(reason) = largest.reads.at_most {
            detail.push_str(&format!("; {reason}"));
        }
        Error::new(
            ErrorCode::ConfigurationLimitExceeded,
            format!(
                "scan of table \"{}\" would read {bound}{} bytes, and scan_limit is {} bytes",
                report.table,
                largest.run_bytes(),
                self.0
            ),
        )
        .with_detail(format!("{detail}."))
        .with_hint(hint(&report.keys))
    }

    /// What a scan of `table` is told that comes to `read` bytes.
    pub(crate) fn passed(self, table: &str, read: u64) -> Error {
        Error::new(
            ErrorCode::ConfigurationLimitExceeded,
            format!("scan of table \"{table}\" goes on beyond the scan_limit of {} bytes", self.0),
        )
        .with_detail(format!("The query has read {read} bytes."))
        .with_hint(hint(&[]))
    }
}

fn hint(keys: &[String]) -> String {
    match keys {
        [] => "Add a condition, ask for fewer columns, or raise scan_limit.".to_owned(),
        keys => format!(
            "Add a condition on the partition keys ({}), ask for fewer columns, or raise scan_limit.",
            keys.join(", ")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stricter_limit_holds() {
        for (session, server, both) in
            [(None, None, None), (Some(1), None, Some(1)), (None, Some(2), Some(2)), (Some(3), Some(2), Some(2))]
        {
            assert_eq!(ScanLimit::of(session, server), both.map(ScanLimit), "{session:?} {server:?}");
        }
    }
}
