//! [`BookmarkRun`]: one run of a job over the files of a table that it has not processed yet.
//!
//! The scan of the source leaves out files that the bookmark knows in the very version that is listed, and notes the others.
//! The commit that makes the job's rows visible says so to the catalog, and is refused if another run was faster: so each
//! version of a file is processed once. A file that was put again is another version, and new.

use std::collections::{BTreeSet, HashMap};

use limnos_catalog::{Bookmark, BookmarkUpdate, FileVersion, TableName};
use parking_lot::Mutex;

use super::facts::file_version;
use super::listing::File;
use crate::{Error, Result};

/// See the module.
#[derive(Debug)]
pub(crate) struct BookmarkRun {
    name: String,
    /// The version that the run begins with.
    base_version: Option<i64>,
    /// What was processed: versions by URL.
    known: HashMap<String, String>,
    /// The table that the statement names, if it names one.
    source: Option<TableName>,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// The tables that the query reads.
    tables: BTreeSet<TableName>,
    scan_count: usize,
    files: Vec<FileVersion>,
}

impl BookmarkRun {
    /// A run under `name`, of which `known` is known.
    pub(crate) fn new(
        name: &str,
        source: Option<TableName>,
        known: Option<(Bookmark, HashMap<String, String>)>,
    ) -> Self {
        let (bookmark, known) = known.map_or_else(Default::default, |(bookmark, known)| (Some(bookmark), known));
        let base_version = bookmark.map(|bookmark| bookmark.version);
        Self { name: name.to_owned(), base_version, known, source, seen: Mutex::default() }
    }

    /// Notes a table that the query reads; whether it may be the bookmark's.
    pub(crate) fn names(&self, table: &TableName) -> bool {
        self.seen.lock().tables.insert(table.clone());
        self.source.as_ref().is_none_or(|source| source == table)
    }

    /// The table whose files it is about, once the query is planned.
    ///
    /// # Errors
    /// Several tables and none named; one named that isn't read.
    pub(crate) fn source(&self) -> Result<TableName> {
        let tables = &self.seen.lock().tables;
        let Some(source) = &self.source else {
            let mut tables = tables.iter();
            return match (tables.next(), tables.next()) {
                (Some(table), None) => Ok(table.clone()),
                (None, _) => Err(Error::unsupported("a bookmark needs a query that reads a table")),
                (Some(_), Some(_)) => {
                    Err(Error::unsupported("a query with a bookmark must not read several tables unless one is named")
                        .with_hint("Add bookmark_source = 'table'; the others are read whole."))
                }
            };
        };
        if tables.contains(source) {
            return Ok(source.clone());
        }
        Err(Error::unsupported(format!("the query does not read table \"{source}\", which is its bookmark_source")))
    }

    /// Says that a scan of the source is planned.
    ///
    /// # Errors
    /// A second one: it could see other files than the first.
    pub(crate) fn begin_scan(&self) -> Result<()> {
        let mut seen = self.seen.lock();
        seen.scan_count += 1;
        if seen.scan_count > 1 {
            return Err(Error::unsupported(format!("a query with bookmark \"{}\" can read its table once", self.name))
                .with_hint("Read the new rows into a table first, and join that with itself."));
        }
        Ok(())
    }

    /// Of `files` those that were not processed, which are from now on.
    pub(crate) fn take(&self, store_url: &str, mut files: Vec<File>) -> Vec<File> {
        let mut seen = self.seen.lock();
        files.retain(|file| {
            let version = file_version(store_url, &file.meta);
            let is_new = self.known.get(&version.location) != Some(&version.version);
            if is_new {
                seen.files.push(version);
            }
            is_new
        });
        files
    }

    /// Whether no file is new.
    pub(crate) fn is_idle(&self) -> bool {
        self.seen.lock().files.is_empty()
    }

    /// What the commit is to say.
    ///
    /// # Errors
    /// As [`Self::source`].
    pub(crate) fn update(&self) -> Result<BookmarkUpdate> {
        let source = self.source()?;
        let files = self.seen.lock().files.clone();
        Ok(BookmarkUpdate { name: self.name.clone(), source, base_version: self.base_version, files })
    }
}
