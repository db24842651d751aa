//! The history of reports, which makes no version of the catalog.

use super::Catalog;
use crate::report_run::{Delivery, REPORT_RUNS, REPORT_RUNS_MAX};
use crate::store::run;
use crate::{ReportRun, Result, RunState};

impl Catalog {
    /// The runs of reports that are kept, the newest first.
    ///
    /// # Errors
    /// [`crate::Error::Store`] if they can't be read.
    pub fn report_runs(&self) -> Result<Vec<ReportRun>> {
        let runs = self.read(|connection| run::load(connection, REPORT_RUNS))?;
        // As with crawls: one that can't be read keeps nobody from the others.
        Ok(runs.into_iter().filter_map(|run| ReportRun::from_run(run).ok()).collect())
    }

    /// Notes that a run has begun.
    ///
    /// # Errors
    /// [`crate::Error::Store`] if it can't be written.
    pub fn begin_report_run(&self, run: &ReportRun) -> Result<bool> {
        let run = run.to_run()?;
        self.write(|connection| run::add(connection, REPORT_RUNS, &run, REPORT_RUNS_MAX))
    }

    /// Notes how a run stands now. One that was forgotten in the meantime stays so.
    ///
    /// # Errors
    /// [`crate::Error::Store`] if it can't be written.
    pub fn put_report_run(&self, run: &ReportRun) -> Result<()> {
        let run = run.to_run()?;
        self.write(|connection| run::replace(connection, REPORT_RUNS, &run))
    }

    /// Takes deliveries that are due: none of them is anybody else's until `lease_ms` from now. At most `count`; each with the
    /// number of the delivery in its run.
    ///
    /// # Errors
    /// [`crate::Error::Store`] if they can't be read or written.
    pub fn take_deliveries(&self, count: usize, now_ms: i64, lease_ms: i64) -> Result<Vec<(ReportRun, usize)>> {
        self.write(|connection| {
            let mut taken = Vec::new();
            for kept in run::load(connection, REPORT_RUNS)? {
                let Ok(mut of) = ReportRun::from_run(kept) else { continue };
                let mut numbers = Vec::new();
                for (number, delivery) in of.deliveries.iter_mut().enumerate() {
                    let is_due = delivery.state == Delivery::PENDING && delivery.next_at_ms <= now_ms;
                    if is_due && taken.len() + numbers.len() < count {
                        delivery.attempts += 1;
                        delivery.next_at_ms = now_ms.saturating_add(lease_ms);
                        numbers.push(number);
                    }
                }
                if !numbers.is_empty() {
                    run::replace(connection, REPORT_RUNS, &of.to_run()?)?;
                    taken.extend(numbers.into_iter().map(|number| (of.clone(), number)));
                }
            }
            Ok(taken)
        })
    }

    /// Notes what a try to deliver came to; others of the same run are left as they are by now.
    ///
    /// # Errors
    /// [`crate::Error::Store`] if it can't be read or written.
    pub fn end_delivery(&self, run_id: &str, number: usize, ended: &Delivery) -> Result<()> {
        self.write(|connection| {
            let kept = run::load(connection, REPORT_RUNS)?.into_iter().find(|run| run.id == run_id);
            let Some(mut of) = kept.map(ReportRun::from_run).transpose()? else { return Ok(()) };
            if let Some(delivery) = of.deliveries.get_mut(number) {
                delivery.clone_from(ended);
                run::replace(connection, REPORT_RUNS, &of.to_run()?)?;
            }
            Ok(())
        })
    }

    /// Notes of runs that go on nowhere, since their process is gone, that they have failed. Tells how many. While another
    /// server has the catalog open, too, they may be that one's, and are left.
    ///
    /// # Errors
    /// [`crate::Error::Store`] if they can't be read or written.
    pub fn end_interrupted_report_runs(&self) -> Result<usize> {
        if self.is_open_elsewhere()? {
            return Ok(0);
        }
        let mut count = 0;
        for mut run in self.report_runs()? {
            if run.state == RunState::Running {
                run.state = RunState::Failed;
                run.finished_at_ms = Some((self.now_ms)());
                run.message = Some("interrupted: the server ended before the run did".to_owned());
                self.put_report_run(&run)?;
                count += 1;
            }
        }
        Ok(count)
    }
}
