//! Which files a scan has: its partitions, listed at this statement, or before it for the key of its result.

use std::sync::Arc;

use datafusion::catalog::Session;
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::Expr;
use limnos_catalog::PartitionList;
use limnos_catalog::partition::hive_path;
use object_store::ObjectStore;
use object_store::path::Path;

use super::CatalogTable;
use crate::clock::{Clock, SystemClock};
use crate::prune::KeptPartitions;
use crate::scan::files_version::{FilesVersion, may_look_the_same};
use crate::scan::freshness::freshness;
use crate::scan::listing::{File, Folder, Listed, is_visible, list_each, list_folders, list_location};
use crate::scan::store::{LOCAL_STORE_URL, ListingStore, Location, MeteredStore, PinnedStore, StoreCounters};
use crate::{Error, Result};

impl CatalogTable {
    /// The files of the partitions that were kept.
    pub(crate) async fn list(
        &self,
        store: &dyn ObjectStore,
        location: &Location,
        KeptPartitions { index, kept, is_projected, .. }: &KeptPartitions,
    ) -> Result<Vec<File>> {
        if let Some(files) = &self.files {
            // Groups of partitions that are written otherwise each ask for theirs.
            let is_kept = |file: &&File| file.partition.is_none_or(|number| kept.binary_search(&number).is_ok());
            return Ok(files.iter().filter(is_kept).cloned().collect());
        }
        let mut files = self.list_all(store, location, kept, *is_projected, &index.list).await?;
        files.retain(|file| is_visible(&self.snapshot, &location.store_url, &file.meta));
        Ok(files)
    }

    /// All files that are there, half-written ones among them.
    async fn list_all(
        &self,
        store: &dyn ObjectStore,
        location: &Location,
        kept: &[usize],
        is_projected: bool,
        list: &PartitionList,
    ) -> Result<Vec<File>> {
        if self.keys.is_empty() {
            return list_location(store, location).await;
        }
        let mut folders = Vec::with_capacity(kept.len());
        for &partition in kept {
            let path = match &list.locations[partition] {
                Some(own) => self.own_path(location, own)?,
                None => {
                    let values = self.keys.iter().zip(&list.values);
                    let relative =
                        hive_path(values.map(|(key, values)| (key.name().as_str(), values[partition].as_deref())));
                    join(&location.path, &relative)?
                }
            };
            folders.push(Folder { path, partition: Some(partition) });
        }
        // Projected folders may not be there; what lies between them may be anything.
        if is_projected {
            list_each(store, location, folders).await
        } else {
            list_folders(store, location, folders).await
        }
    }

    /// `store`, whose listings are shared with other queries.
    pub(in crate::scan) fn with_listings(
        &self,
        store: Arc<dyn ObjectStore>,
        location: &Location,
    ) -> Result<Arc<dyn ObjectStore>> {
        let freshness = freshness(&self.table.definition)?;
        let (listings, url) = (Arc::clone(&self.context.listings), Arc::from(location.store_url.as_str()));
        let store = Arc::new(ListingStore::new(store, listings, Arc::clone(&url), self.run.began, freshness));
        Ok(match self.run.pinned_files() {
            Some(files) => Arc::new(PinnedStore::new(store, Arc::clone(files), url)),
            None => store,
        })
    }

    /// The path of a partition's own location. One below the table's, which was checked, needs no check of its own.
    fn own_path(&self, location: &Location, own: &str) -> Result<Path> {
        let base = location.url.trim_end_matches('/');
        let bases = [base, base.strip_prefix(LOCAL_STORE_URL).unwrap_or(base)];
        let below = bases.iter().find_map(|base| own.strip_prefix(base)?.strip_prefix('/'));
        // What is escaped is for those to judge who know what escapes can hide.
        if let Some(below) = below.filter(|below| !below.contains('%')) {
            return join(&location.path, below);
        }
        let own = self.context.stores.resolve(own)?;
        // The same bucket under another root may be reached with other keys, or elsewhere.
        if own.store_url == location.store_url && Arc::ptr_eq(&own.store, &location.store) {
            return Ok(own.path);
        }
        Err(Error::unsupported(format!(
            "partition location \"{}\" of table \"{}\" is in another store than the table",
            own.url, self.table.name
        )))
    }

    /// A store that counts for one scan.
    pub(super) fn metered(&self, location: &Location, counters: &Arc<StoreCounters>) -> Result<Arc<dyn ObjectStore>> {
        let store = MeteredStore::new(Arc::clone(&location.store), Arc::clone(counters), Arc::clone(&self.run.stats));
        let store = store.with_limit(self.run.scan_limit(), &self.table.name.to_string());
        self.with_listings(Arc::new(store), location)
    }

    pub(super) async fn list_kept(&self, location: &Location, partitions: &KeptPartitions) -> Result<Listed> {
        let counters = Arc::new(StoreCounters::default());
        let store = self.metered(location, &counters)?;
        let files = self.list(store.as_ref(), location, partitions).await?;
        Ok(Listed { files, counters })
    }

    /// All files of all partitions, where they lie, and the partitions that they are numbered by.
    pub(crate) async fn list_whole(&self, state: &dyn Session) -> Result<(Location, KeptPartitions, Vec<File>)> {
        let location = self.context.stores.resolve(&self.storage.location)?;
        let partitions = self.partitions.prune(state, &self.schema, &[])?;
        let Listed { files, .. } = self.list_kept(&location, &partitions).await?;
        Ok((location, partitions, files))
    }

    /// The partitions that `filters` leave.
    pub(super) fn kept_partitions(&self, state: &dyn Session, filters: &[Expr]) -> DataFusionResult<KeptPartitions> {
        let implied = self.hidden.implied(&self.keys, filters);
        let mut partitions = match implied.is_empty() {
            true => self.partitions.prune(state, &self.schema, filters)?,
            false => self.partitions.prune(state, &self.schema, &[filters, &implied].concat())?,
        };
        self.hidden.keep_partitions(state, &mut partitions, filters)?;
        Ok(partitions)
    }

    /// Which scan of its query one with `filters` is, as far as its files go.
    pub(super) fn scan_of(&self, filters: &[Expr]) -> FilesVersion {
        let (table, storage) = (&self.table, &self.storage);
        let properties = (storage.format, &storage.serde, &storage.properties);
        FilesVersion::of(&(&table.name, table.id, table.version, &storage.location, properties, filters))
    }

    /// Lists what a scan with `filters` reads, and keeps it for that scan's plan. Tells exactly which files there are, for
    /// each way in which they are written, and whether one of them may change and look the same.
    pub(crate) async fn list_ahead(&self, state: &dyn Session, filters: &[Expr]) -> Result<Vec<(FilesVersion, bool)>> {
        let partitions = self.kept_partitions(state, filters)?;
        // A known answer is never planned, and is told with the same warnings.
        self.run.notify(&partitions.notices);
        let mut versions = Vec::new();
        for (storage, kept) in partitions.by_storage() {
            let table = storage.map_or_else(|| self.clone(), |storage| self.stored_as(storage));
            let location = self.context.stores.resolve(&table.storage.location)?;
            let listed = table.list_kept(&location, &kept).await?;
            let version = FilesVersion::of_files(&location.store_url, &kept.index, &listed.files);
            // The file system's clock is the machine's, whatever time the statement is told.
            let is_unsettled = !location.is_remote() && may_look_the_same(&listed.files, SystemClock.now());
            versions.push((version, is_unsettled));
            // Files given by name are at hand, each with its own partitions.
            if self.files.is_none() {
                self.run.put_listed(table.scan_of(filters), listed);
            }
        }
        Ok(versions)
    }
}

/// `base` and a relative path below it, taken as spelled (`%3A` stays).
fn join(base: &Path, relative: &str) -> Result<Path> {
    let text = format!("{base}/{}", relative.trim_matches('/'));
    Path::parse(&text).map_err(|error| Error::new(crate::ErrorCode::LocationNotAllowed, error.to_string()))
}
