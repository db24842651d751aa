//! The history of datasets. It isn't part of a snapshot, and makes no version of the catalog.

use super::Catalog;
use crate::ingestion::{INGESTIONS, INGESTIONS_MAX};
use crate::store::run;
use crate::{Ingestion, Result, RunState};

impl Catalog {
    /// Which of the servers on the catalog this one is, 0 where there is only one.
    pub fn own_server_id(&self) -> i64 {
        self.server_id()
    }

    /// The ingestions that are kept, the newest first.
    ///
    /// # Errors
    /// [`crate::Error::Store`] if they can't be read.
    pub fn ingestions(&self) -> Result<Vec<Ingestion>> {
        let runs = self.read(|connection| run::load(connection, INGESTIONS))?;
        // One that a later version wrote, or that is damaged, keeps nobody from the others, nor a server from starting.
        Ok(runs.into_iter().filter_map(|run| Ingestion::from_run(run).ok()).collect())
    }

    /// Notes that an ingestion has begun. False if one of that id has before.
    ///
    /// # Errors
    /// [`crate::Error::Store`] if it can't be written.
    pub fn begin_ingestion(&self, ingestion: &Ingestion) -> Result<bool> {
        let run = ingestion.to_run()?;
        self.write(|connection| run::add(connection, INGESTIONS, &run, INGESTIONS_MAX))
    }

    /// Notes how an ingestion has ended.
    ///
    /// # Errors
    /// [`crate::Error::Store`] if it can't be written.
    pub fn end_ingestion(&self, ingestion: &Ingestion) -> Result<()> {
        let run = ingestion.to_run()?;
        self.write(|connection| run::replace(connection, INGESTIONS, &run))
    }

    /// Notes of ingestions that go on nowhere, since their process is gone, that they have failed. Tells how many. While
    /// another server has the catalog open, too, they may be that one's, and are left.
    ///
    /// # Errors
    /// [`crate::Error::Store`] if they can't be read or written.
    pub fn end_interrupted_ingestions(&self) -> Result<usize> {
        if self.is_open_elsewhere()? {
            return Ok(0);
        }
        let mut count = 0;
        for mut ingestion in self.ingestions()? {
            if ingestion.state == RunState::Running {
                ingestion.state = RunState::Failed;
                ingestion.finished_at_ms = Some((self.now_ms)());
                ingestion.message = Some("interrupted: the server ended before the ingestion did".to_owned());
                self.end_ingestion(&ingestion)?;
                count += 1;
            }
        }
        Ok(count)
    }
}
