//! Histories and memories: what isn't part of a snapshot, and makes no version of the catalog.

use std::collections::HashMap;

use super::{Catalog, Writer};
use crate::crawl_run::{CRAWL_RUNS, CRAWL_RUNS_MAX};
use crate::store::connection::Connection;
use crate::store::run;
use crate::store::sniffed::{self, SniffedFile};
use crate::{CrawlRun, Result, RunState};

impl Catalog {
    /// The runs of crawlers that are kept, the newest first.
    ///
    /// # Errors
    /// [`crate::Error::Store`] if they can't be read.
    pub fn crawl_runs(&self) -> Result<Vec<CrawlRun>> {
        let runs = self.read(|connection| run::load(connection, CRAWL_RUNS))?;
        // One that a later version wrote, or that is damaged, keeps nobody from the others, nor a server from starting.
        Ok(runs.into_iter().filter_map(|run| CrawlRun::from_run(run).ok()).collect())
    }

    /// Notes that a crawl has begun. False if one of that id has before, perhaps on another server.
    ///
    /// # Errors
    /// [`crate::Error::Store`] if it can't be written.
    pub fn begin_crawl_run(&self, crawl: &CrawlRun) -> Result<bool> {
        let run = crawl.to_run()?;
        self.write(|connection| run::add(connection, CRAWL_RUNS, &run, CRAWL_RUNS_MAX))
    }

    /// Notes how a crawl has ended, unless its end is known already: the commit of its tables tells it, too.
    ///
    /// # Errors
    /// [`crate::Error::Store`] if it can't be written.
    pub fn end_crawl_run(&self, crawl: &CrawlRun) -> Result<()> {
        let ended = crawl.to_run()?;
        self.write(|connection| {
            let kept = run::load(connection, CRAWL_RUNS)?.into_iter().find(|run| run.id == ended.id);
            match kept.map(CrawlRun::from_run).transpose()? {
                Some(kept) if kept.state == RunState::Running => run::replace(connection, CRAWL_RUNS, &ended),
                _ => Ok(()),
            }
        })
    }

    /// Notes of crawls that go on nowhere, since their process is gone, that they have failed. Tells how many. While another
    /// server has the catalog open, too, they may be that one's, and are left.
    ///
    /// # Errors
    /// [`crate::Error::Store`] if they can't be read or written.
    pub fn end_interrupted_crawl_runs(&self) -> Result<usize> {
        if self.is_open_elsewhere()? {
            return Ok(0);
        }
        let mut count = 0;
        for mut crawl in self.crawl_runs()? {
            if crawl.state == RunState::Running {
                crawl.state = RunState::Failed;
                crawl.finished_at_ms = Some((self.now_ms)());
                crawl.message = Some("interrupted: the server ended before the crawl did".to_owned());
                self.end_crawl_run(&crawl)?;
                count += 1;
            }
        }
        Ok(count)
    }

    /// What crawls have seen in the files whose URLs begin with `prefix`, by URL.
    ///
    /// # Errors
    /// [`crate::Error::Store`] if it can't be read.
    pub fn sniffed_files(&self, prefix: &str) -> Result<HashMap<String, SniffedFile>> {
        let files = self.read(|connection| sniffed::load(connection, prefix))?;
        Ok(files.into_iter().map(|file| (file.location.clone(), file)).collect())
    }

    /// Remembers what a crawl has seen in files, and forgets files that are gone.
    ///
    /// # Errors
    /// [`crate::Error::Store`] if it can't be written.
    pub fn remember_sniffed_files(&self, put: &[SniffedFile], gone: &[String]) -> Result<()> {
        if put.is_empty() && gone.is_empty() {
            return Ok(());
        }
        let now_ms = (self.now_ms)();
        self.write(|connection| sniffed::change(connection, put, gone, now_ms))
    }

    /// Writes in a transaction that makes no version of the catalog.
    pub(super) fn write<T>(&self, write: impl FnOnce(&mut dyn Connection) -> Result<T>) -> Result<T> {
        let mut writer = self.writer.lock();
        let Writer { connection, .. } = &mut *writer;
        connection.begin()?;
        match write(connection.as_mut()) {
            Ok(written) => {
                connection.commit()?;
                Ok(written)
            }
            Err(error) => {
                connection.rollback();
                Err(error)
            }
        }
    }
}
