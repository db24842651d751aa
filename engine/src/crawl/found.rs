//! What a crawl is asked for and what it comes to.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use limnos_catalog::{Partition, Snapshot, TableDefinition};

use super::custom::CustomClassifier;
use super::exclude::Exclude;
use super::look::{FileMemory, NoMemory};
use super::name::unique;
use crate::Error;

/// A table that a crawl found.
#[derive(Debug, Clone)]
pub struct FoundTable {
    /// A valid, lower-case name, from its folder or file.
    pub name: String,
    /// What to register.
    pub definition: TableDefinition,
    /// Its Hive partitions, if any.
    pub partitions: Vec<Partition>,
    /// How many data files it has.
    pub file_count: u64,
    /// Their size together.
    pub bytes: u64,
    /// What the user should know (`column "x" is int in 3 files and string in 1: string was taken`).
    pub remarks: Vec<String>,
}

/// A file or folder that is no table.
#[derive(Debug, Clone)]
pub struct Skipped {
    /// Its URL.
    pub location: String,
    /// Why.
    pub reason: String,
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\" was skipped: {}", self.location, self.reason)
    }
}

/// What the crawl of a location came to.
#[derive(Debug, Clone, Default)]
pub struct Crawled {
    /// The tables, by name.
    pub tables: Vec<FoundTable>,
    /// Files that are no tables, and why.
    pub skipped: Vec<Skipped>,
    /// The first error among them.
    pub first_error: Option<Error>,
    /// The URLs of all files there are, sorted: those that are excluded, too.
    pub files: Vec<String>,
    /// How many files were opened.
    pub files_read: u64,
}

/// Tables and partitions that there are already, by URL.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Tables without partitions: folders (with a slash) and files.
    pub tables: HashSet<String>,
    /// Folders of tables with partitions.
    pub partitioned: HashSet<String>,
    /// Folders of their partitions.
    pub partitions: HashSet<String>,
}

/// How to crawl.
#[derive(Clone)]
pub struct CrawlOptions {
    /// The role that the tables are of.
    pub owner: String,
    /// What not to look at.
    pub exclude: Exclude,
    /// What was seen before.
    pub memory: Arc<dyn FileMemory>,
    /// Classifiers of the user's own, which files are shown to before ours, in their order.
    pub classifiers: Vec<CustomClassifier>,
    /// What is not to be looked at again, if only new places are wanted.
    pub known: Option<Known>,
    /// Whether the location itself may be one table of the files in it, and its folders partitions of one, as folders
    /// further below may.
    pub joins_at_root: bool,
    /// Which files are half-written, or are to go. `None`: none is.
    pub snapshot: Option<Arc<Snapshot>>,
}

impl CrawlOptions {
    /// Of all there is, with nothing remembered.
    pub fn new(owner: &str) -> Self {
        Self {
            owner: owner.to_owned(),
            exclude: Exclude::nothing(),
            memory: Arc::new(NoMemory),
            classifiers: Vec::new(),
            known: None,
            joins_at_root: false,
            snapshot: None,
        }
    }

    /// Without the files that `snapshot` doesn't see.
    #[must_use]
    pub fn seen_by(mut self, snapshot: &Arc<Snapshot>) -> Self {
        self.snapshot = Some(Arc::clone(snapshot));
        self
    }
}

/// What files turned out to be.
pub(super) enum Found {
    Table(Box<FoundTable>),
    Skipped(Skipped, Option<Error>),
}

impl Crawled {
    pub(super) fn add(&mut self, found: Found, taken: &mut HashSet<String>) {
        match found {
            Found::Table(mut table) => {
                table.name = unique(std::mem::take(&mut table.name), taken);
                self.tables.push(*table);
            }
            Found::Skipped(skipped, error) => {
                self.skipped.push(skipped);
                self.first_error = self.first_error.take().or(error);
            }
        }
    }
}
