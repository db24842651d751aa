//! [`CatalogMemory`]: what crawls have seen in files, kept in the catalog.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use limnos_catalog::{Catalog, SniffedFile};
use parking_lot::Mutex;

use crate::Result;
use crate::crawl::FileMemory;

/// Files whose facts are written together; what is written stays, however the run ends.
const BATCH: usize = 500;

/// The memory of one target.
pub(super) struct CatalogMemory {
    catalog: Arc<Catalog>,
    known: HashMap<String, SniffedFile>,
    fresh: Mutex<Vec<SniffedFile>>,
}

impl CatalogMemory {
    /// Loads what is known of files whose names begin with `prefix`.
    pub(super) fn load(catalog: &Arc<Catalog>, prefix: &str) -> Result<Self> {
        let known = catalog.sniffed_files(prefix)?;
        Ok(Self { catalog: Arc::clone(catalog), known, fresh: Mutex::default() })
    }

    /// Writes what is new, and forgets files below `folder` that are not in `present`.
    pub(super) fn finish(&self, folder: &str, present: &HashSet<&str>) -> Result<()> {
        let below = format!("{}/", folder.trim_end_matches('/'));
        let gone: Vec<String> = self
            .known
            .keys()
            .filter(|name| name.starts_with(&below) && !present.contains(name.as_str()))
            .cloned()
            .collect();
        let fresh = std::mem::take(&mut *self.fresh.lock());
        Ok(self.catalog.remember_sniffed_files(&fresh, &gone)?)
    }
}

impl FileMemory for CatalogMemory {
    fn recall(&self, file: &str, version: &str) -> Option<String> {
        self.known.get(file).filter(|known| known.version == version).map(|known| known.facts.clone())
    }

    fn remember(&self, file: &str, version: &str, facts: String) {
        let file = SniffedFile { location: file.to_owned(), version: version.to_owned(), facts };
        let batch = {
            let mut fresh = self.fresh.lock();
            fresh.push(file);
            if fresh.len() < BATCH {
                return;
            }
            std::mem::take(&mut *fresh)
        };
        // A memory that can't be written makes the next crawl slower, and nothing wrong.
        if let Err(error) = self.catalog.remember_sniffed_files(&batch, &[]) {
            tracing::warn!(%error, "what was seen in files could not be remembered");
        }
    }
}
