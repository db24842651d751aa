//! [`CatalogTable`]: a table of the catalog as DataFusion scans it.
//!
//! In: projection, filters and limit from the planner. Out: a `DataSourceExec` over the files that survive. In order:
//! partitions are pruned in memory; what is left is listed; files are pruned by what is known of them ([`super::facts`]);
//! footers that are needed all the same are read, a bounded number of them, and their row groups pruned; files without a
//! surviving row group, or without a row, are dropped. A query of keys alone then needs no file at all.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{ScanArgs, ScanResult, Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, Statistics};
use datafusion::config::TableParquetOptions;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, FileSource, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::union::UnionExec;
use futures::stream::{self, StreamExt, TryStreamExt};
use limnos_catalog::partition::hive_path;
use limnos_catalog::{
    DataType, FileFacts, FileFormat, FileVersion, PartitionList, PartitionStorage, Snapshot, StorageDescriptor, Table,
    TableDefinition, TableKind,
};
use object_store::ObjectStore;
use object_store::path::Path;
use parquet::file::metadata::ParquetMetaData;

use super::ahead::{Ahead, AheadSource, AheadStore, Opening, Room};
use super::bookmark::BookmarkRun;
use super::facts::statistics::{Total, distinct_count, file_statistics, key_statistics, place_of_field};
use super::facts::{KnownFiles, file_version, read_as};
use super::files_version::{FilesVersion, may_look_the_same};
use super::format::counted_text_source;
use super::format::on_error::RowPolicy;
use super::format::orc::{OrcSource, OrcTails, Tail};
use super::format::split::split;
use super::freshness::freshness;
use super::hidden::{HiddenColumns, HiddenKind};
use super::known_rows::{KnownFile, KnownRows};
use super::listing::{File, Folder, Listed, is_visible, list_each, list_folders, list_location};
use super::parquet::{
    CaseInsensitiveAdapterFactory, FOOTER_CONCURRENCY, FileKey, FirstRowGroups, Footer, Footers, FootersAhead,
    LateRule, NamedFileSource, ReaderFactory, SMALL_FILE_BYTES, SmallFiles,
};
use super::rejects::{Quarantine, RejectLog, ScanTally};
use super::report::{ScanReport, add};
use super::schema::table_schema;
use super::settings::ScanSettings;
use super::store::{LOCAL_STORE_URL, ListingStore, Listings, Location, MeteredStore, StoreCounters, Stores};
use crate::clock::{Clock, SystemClock};
use crate::error::to_datafusion;
use crate::execute::QueryRun;
use crate::prune::{KeptPartitions, PartitionIndex, Partitions, is_partition_only, prune_files, prune_row_groups};
use crate::{Error, Result};

/// Footers read at plan time: beyond this many files, only cached ones are used. They are not wasted: execution needs
/// them again and finds them in the cache.
const PLAN_FOOTERS_MAX: usize = 1024;

/// Files that get statistics of their own: some hundred bytes for each column. Of more files only the total is told.
const FILE_STATISTICS_MAX: usize = 4096;

/// What all scans of an engine share.
#[derive(Debug)]
pub struct ScanContext {
    /// The roots.
    pub stores: Arc<Stores>,
    /// The footer cache.
    pub footers: Arc<Footers>,
    /// The same of ORC files.
    pub tails: Arc<OrcTails>,
    /// What is known of files without opening them.
    pub known: Arc<KnownFiles>,
    /// Where rejected lines are kept.
    pub rejects: Arc<RejectLog>,
    /// Listings that queries share.
    pub listings: Arc<Listings>,
}

/// One table in one snapshot, for one query.
#[derive(Debug, Clone)]
pub struct CatalogTable {
    pub(super) table: Arc<Table>,
    /// Says which of the listed files are the table's.
    snapshot: Arc<Snapshot>,
    pub(super) storage: StorageDescriptor,
    pub(crate) partitions: Partitions,
    pub(crate) context: Arc<ScanContext>,
    /// Where this query's scans report and register their stores.
    pub(super) run: Arc<QueryRun>,
    schema: SchemaRef,
    pub(crate) file_schema: SchemaRef,
    pub(crate) keys: Vec<FieldRef>,
    /// Columns of the files themselves that the query names, behind the keys.
    hidden: HiddenColumns,
    /// Reads only files that a job has not processed.
    bookmark: Option<Arc<BookmarkRun>>,
    /// Files given by name instead of a location, for file paths used as tables.
    files: Option<Vec<File>>,
}

impl CatalogTable {
    /// A provider for `table` of `snapshot`, which must not be a view.
    ///
    /// # Errors
    /// A table that is a view.
    pub fn new(
        snapshot: Arc<Snapshot>,
        table: Arc<Table>,
        partitions: Partitions,
        context: Arc<ScanContext>,
        run: Arc<QueryRun>,
    ) -> Result<Self> {
        let TableKind::External(storage) = &table.kind else {
            return Err(Error::internal(format!("\"{}\" is a view and has no files", table.name)));
        };
        let storage = storage.clone();
        let (file_schema, keys) = table_schema(&table);
        let mut fields: Vec<FieldRef> = file_schema.fields().iter().cloned().collect();
        fields.extend(keys.iter().cloned());
        let schema = Arc::new(Schema::new(fields));
        Ok(Self {
            table,
            snapshot,
            storage,
            partitions,
            context,
            run,
            schema,
            file_schema,
            keys,
            hidden: HiddenColumns::default(),
            bookmark: None,
            files: None,
        })
    }

    /// The same with hidden columns.
    ///
    /// # Errors
    /// `"$partition"` of a table without partition keys.
    pub(crate) fn with_hidden(mut self, hidden: HiddenColumns) -> Result<Self> {
        if hidden.has(HiddenKind::Partition) && self.keys.is_empty() {
            return Err(no_partition_column(&self.table.name.to_string()));
        }
        let fields = self.schema.fields().iter().chain(&hidden.fields).cloned();
        self.schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        self.hidden = hidden;
        Ok(self)
    }

    /// The same over the files that `bookmark` doesn't know.
    #[must_use]
    pub(crate) fn with_bookmark(mut self, bookmark: Arc<BookmarkRun>) -> Self {
        self.bookmark = Some(bookmark);
        self
    }

    /// The same over exactly `files`, which lie in the table's location's store.
    #[must_use]
    pub fn with_files(mut self, files: Vec<File>) -> Self {
        self.files = Some(files);
        self
    }

    /// The columns that have one value in all rows of a file: keys and hidden columns.
    fn constant_names(&self) -> HashSet<&str> {
        self.keys.iter().chain(&self.hidden.fields).map(|field| field.name().as_str()).collect()
    }

    /// What the catalog says of it.
    pub(crate) fn table(&self) -> &Arc<Table> {
        &self.table
    }

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
    pub(super) fn with_listings(
        &self,
        store: Arc<dyn ObjectStore>,
        location: &Location,
    ) -> Result<Arc<dyn ObjectStore>> {
        let freshness = freshness(&self.table.definition)?;
        let (listings, url) = (Arc::clone(&self.context.listings), Arc::from(location.store_url.as_str()));
        Ok(Arc::new(ListingStore::new(store, listings, url, self.run.began, freshness)))
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
    fn metered(&self, location: &Location, counters: &Arc<StoreCounters>) -> Result<Arc<dyn ObjectStore>> {
        let store = MeteredStore::new(Arc::clone(&location.store), Arc::clone(counters), Arc::clone(&self.run.stats));
        let store = store.with_limit(self.run.scan_limit(), &self.table.name.to_string());
        self.with_listings(Arc::new(store), location)
    }

    async fn list_kept(&self, location: &Location, partitions: &KeptPartitions) -> Result<Listed> {
        let counters = Arc::new(StoreCounters::default());
        let store = self.metered(location, &counters)?;
        let files = self.list(store.as_ref(), location, partitions).await?;
        Ok(Listed { files, counters })
    }

    /// The partitions that `filters` leave.
    fn kept_partitions(&self, state: &dyn Session, filters: &[Expr]) -> DataFusionResult<KeptPartitions> {
        let implied = self.hidden.implied(&self.keys, filters);
        let mut partitions = match implied.is_empty() {
            true => self.partitions.prune(state, &self.schema, filters)?,
            false => self.partitions.prune(state, &self.schema, &[filters, &implied].concat())?,
        };
        self.hidden.keep_partitions(state, &mut partitions, filters)?;
        Ok(partitions)
    }

    /// Which scan of its query one with `filters` is, as far as its files go.
    fn scan_of(&self, filters: &[Expr]) -> FilesVersion {
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

    /// Asks the catalog what it knows of `files`.
    fn look_up(&self, store_url: &str, files: Vec<File>) -> Vec<Candidate> {
        let versions: Vec<FileVersion> = files.iter().map(|file| file_version(store_url, &file.meta)).collect();
        let read_as = read_as(&self.table.definition, &self.storage);
        // Where a scan may fail for what it has counted, it has to count.
        let may_fail = RowPolicy::of(&self.table.definition).is_ok_and(|policy| policy.has_maximum());
        let facts = match may_fail {
            true => vec![None; files.len()],
            false => self.context.known.get(&versions, read_as.as_deref()),
        };
        files.into_iter().zip(facts).map(|(file, facts)| Candidate { file, facts, footer: None, tail: None }).collect()
    }

    /// Fills in the footers of `files`: where rows are filtered those of all files, since they will be read; else only of
    /// files of which nothing is known. Where there are many to read, only the cached ones are taken.
    ///
    /// A small remote file whose rows will be read costs one request, now or then: once there is no room to keep its bytes
    /// till then, it is left for then.
    async fn add_footers(
        &self,
        store: &Arc<dyn ObjectStore>,
        store_url: &Arc<str>,
        files: &mut [Candidate],
        small_files: &Arc<SmallFiles>,
        reading: &Reading,
    ) -> Result<()> {
        let keys: Vec<FileKey> = files.iter().map(|candidate| FileKey::new(store_url, &candidate.file.meta)).collect();
        let is_cached: Vec<bool> = keys.iter().map(|key| self.context.footers.contains(key)).collect();
        let is_needed = |candidate: &Candidate| reading.is_filtered || candidate.facts.is_none();
        let uncached = files.iter().zip(&is_cached).filter(|(candidate, cached)| !**cached && is_needed(candidate));
        let read_all = uncached.count() <= PLAN_FOOTERS_MAX;
        let mut bytes_left = small_files.bytes_left();
        let mut has_room = |size: u64| {
            if !reading.needs_rows || !reading.is_remote || size > SMALL_FILE_BYTES {
                return true;
            }
            let left = bytes_left.checked_sub(size);
            bytes_left = left.unwrap_or(bytes_left);
            left.is_some()
        };
        let reads: Vec<_> = (files.iter().zip(keys).zip(is_cached).enumerate())
            .filter(|(_, ((candidate, _), cached))| {
                *cached || (read_all && is_needed(candidate) && has_room(candidate.file.meta.size))
            })
            .map(|(index, ((candidate, key), _))| {
                let (meta, store, footers) =
                    (candidate.file.meta.clone(), Arc::clone(store), Arc::clone(&self.context.footers));
                let small_files = Arc::clone(small_files);
                async move { Ok::<_, Error>((index, footers.get(&key, &store, &meta, &small_files).await?)) }
            })
            .collect();
        let footers: Vec<(usize, Footer)> = stream::iter(reads).buffered(FOOTER_CONCURRENCY).try_collect().await?;
        for (index, footer) in footers {
            let candidate = &mut files[index];
            candidate.facts = candidate.facts.take().or(footer.facts);
            candidate.footer = Some(footer.metadata);
        }
        Ok(())
    }

    /// Whether `facts` tell of this table's columns. Those of an ORC file of which none has a column's name are found by place.
    fn are_by_name(&self, facts: &FileFacts) -> bool {
        let fields = self.file_schema.fields();
        self.storage.format != FileFormat::Orc
            || fields.is_empty()
            || fields.iter().any(|field| place_of_field(&facts.columns, field).is_some())
    }

    /// Fills in the tails of ORC `files`, as [`Self::add_footers`] does for Parquet.
    async fn add_tails(
        &self,
        store: &Arc<dyn ObjectStore>,
        store_url: &Arc<str>,
        files: &mut [Candidate],
        for_rows: bool,
    ) -> Result<()> {
        let tails = &self.context.tails;
        let keys: Vec<FileKey> = files.iter().map(|candidate| FileKey::new(store_url, &candidate.file.meta)).collect();
        let is_cached: Vec<bool> = keys.iter().map(|key| tails.contains(key)).collect();
        let is_needed = |candidate: &Candidate| for_rows || candidate.facts.is_none();
        let uncached = files.iter().zip(&is_cached).filter(|(candidate, cached)| !**cached && is_needed(candidate));
        let read_all = uncached.count() <= PLAN_FOOTERS_MAX;
        let reads: Vec<_> = (files.iter().zip(keys).zip(is_cached).enumerate())
            .filter(|(_, ((candidate, _), cached))| *cached || (read_all && is_needed(candidate)))
            .map(|(index, ((candidate, key), _))| {
                let (meta, store, tails) = (candidate.file.meta.clone(), Arc::clone(store), Arc::clone(tails));
                async move { Ok::<_, Error>((index, tails.get(&key, &store, &meta).await?)) }
            })
            .collect();
        let read: Vec<_> = stream::iter(reads).buffered(FOOTER_CONCURRENCY).try_collect().await?;
        for (index, (tail, facts)) in read {
            let candidate = &mut files[index];
            candidate.facts = candidate.facts.take().or(facts).filter(|facts| self.are_by_name(facts));
            candidate.tail = Some(tail);
        }
        Ok(())
    }

    pub(super) async fn plan(
        &self,
        state: &dyn Session,
        projection: Option<&[usize]>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        if let Some(bookmark) = &self.bookmark {
            bookmark.begin_scan().map_err(to_datafusion)?;
        }
        let partitions = self.kept_partitions(state, filters)?;
        self.run.notify(&partitions.notices);
        let mut plans = Vec::new();
        for (storage, kept) in partitions.by_storage() {
            let table = match storage {
                Some(storage) => self.stored_as(storage),
                None => self.clone(),
            };
            plans.push(Box::pin(table.plan_kept(state, projection, filters, limit, kept)).await?);
        }
        match plans.len() {
            1 => Ok(plans.remove(0)),
            _ => UnionExec::try_new(plans),
        }
    }

    /// The same table, of which all files are written as `storage` says.
    fn stored_as(&self, storage: &PartitionStorage) -> Self {
        let storage = StorageDescriptor {
            location: self.storage.location.clone(),
            format: storage.format,
            serde: storage.serde.clone(),
            properties: storage.properties.clone(),
        };
        let kind = TableKind::External(storage.clone());
        let definition = Arc::new(TableDefinition { kind, ..(*self.table.definition).clone() });
        Self { storage, table: Arc::new(Table { definition, ..(*self.table).clone() }), ..self.clone() }
    }

    /// Plans the files of partitions that are all written in one way.
    async fn plan_kept(
        &self,
        state: &dyn Session,
        projection: Option<&[usize]>,
        filters: &[Expr],
        limit: Option<usize>,
        partitions: KeptPartitions,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let location = self.context.stores.resolve(&self.storage.location).map_err(to_datafusion)?;
        let Listed { files, counters } = match self.run.take_listed(self.scan_of(filters)) {
            Some(listed) => listed,
            None => self.list_kept(&location, &partitions).await.map_err(to_datafusion)?,
        };
        let store = self.metered(&location, &counters).map_err(to_datafusion)?;
        let mut report = ScanReport {
            table: self.table.name.to_string(),
            keys: self.keys.iter().map(|key| key.name().clone()).collect(),
            partitions_total: if self.keys.is_empty() { 0 } else { partitions.total },
            partitions_kept: if self.keys.is_empty() { 0 } else { partitions.kept.len() as u64 },
            partitions_are_projected: partitions.is_projected,
            counters,
            tally: self.tally(&location.store_url).map_err(to_datafusion)?,
            ..ScanReport::default()
        };
        let tally = report.tally.clone();
        report.files_total = files.len() as u64;
        let mut files = files;
        self.hidden.keep_files(state, &mut files, &location, &partitions.index, filters)?;
        if let Some(bookmark) = &self.bookmark {
            // What the conditions on keys and hidden columns leave out is not processed.
            files = bookmark.take(&location.store_url, files);
        }

        let store_url: Arc<str> = Arc::from(location.store_url.as_str());
        let room = Room::new(Arc::clone(&self.run.ahead), &state.runtime_env().memory_pool);
        let small_files = Arc::new(SmallFiles::new(Arc::clone(&room)));
        let row_filters: Vec<Expr> = {
            let names = self.constant_names();
            filters.iter().filter(|filter| !is_partition_only(filter, &names)).cloned().collect()
        };
        let mut files = self.look_up(&store_url, files);
        self.prune_known(state, &mut files, &row_filters)?;
        // A LIMIT without filters is answered from the first files: reading all footers would cost more than the scan.
        let is_parquet = self.storage.format == FileFormat::Parquet;
        if is_parquet && !(limit.is_some() && filters.is_empty()) {
            // With filters on rows the plan has to run, and running it needs the footers of what is left.
            let is_filtered = !row_filters.is_empty();
            let key_start = self.file_schema.fields().len();
            let needs_rows =
                is_filtered || projection.is_none_or(|projection| projection.iter().any(|index| *index < key_start));
            let reading = Reading { is_filtered, needs_rows, is_remote: location.is_remote() };
            let read = self.add_footers(&store, &store_url, &mut files, &small_files, &reading);
            read.await.map_err(to_datafusion)?;
            self.prune_known(state, &mut files, &row_filters)?;
            self.prune_row_groups(state, &mut files, &row_filters, &mut report)?;
            let kept: HashSet<&Path> = files.iter().map(|candidate| &candidate.file.meta.location).collect();
            small_files.retain(|path| kept.contains(path));
        }
        if self.storage.format == FileFormat::Orc && !(limit.is_some() && filters.is_empty()) {
            let read = self.add_tails(&store, &store_url, &mut files, !row_filters.is_empty());
            read.await.map_err(to_datafusion)?;
            self.prune_known(state, &mut files, &row_filters)?;
            self.prune_stripes(state, &mut files, &row_filters, &mut report)?;
        }
        report.files_kept = files.len() as u64;
        report.bytes_kept = files.iter().map(|candidate| candidate.file.meta.size).sum();

        let settings = state.config().get_extension::<ScanSettings>().map(|settings| *settings).unwrap_or_default();
        let ahead = (location.is_remote() && settings.read_ahead).then(|| {
            let opening = self.opening(&store_url, &small_files);
            Ahead::new(Arc::clone(&store), opening, room)
        });
        let store: Arc<dyn ObjectStore> = match &ahead {
            Some(ahead) => Arc::new(AheadStore(Arc::clone(ahead))),
            None => store,
        };
        let scan_url = self.run.register_scan(Arc::clone(&store), report)?;
        let is_wanted = self.wanted_columns(projection, &row_filters);
        let footers_ahead = match limit {
            None if is_parquet && ahead.is_none() => {
                let unread = files.iter().filter(|candidate| candidate.footer.is_none() && candidate.facts.is_some());
                unread.map(|candidate| candidate.file.meta.clone()).take(PLAN_FOOTERS_MAX).collect()
            }
            _ => Vec::new(),
        };
        let (partitioned, mut total) = self.partitioned_files(&partitions.index, &location, &files, &is_wanted)?;
        if limit.is_some() {
            // So many rows are in the files; fewer may come out.
            total = total.to_inexact();
        }
        if row_filters.is_empty()
            && let Some(plan) = self.known_rows(state, projection, &files, &partitioned, &total)?
        {
            return Ok(plan);
        }
        // The rows of a LIMIT are the first ones: what is read ahead of them is read for nothing.
        let partitioned = match limit.is_none() && !location.is_remote() {
            true => split(partitioned, &self.table.definition, state.config().target_partitions()),
            false => partitioned,
        };
        let groups = balance(partitioned, state.config().target_partitions());
        let footers_ahead = Arc::new(FootersAhead::new(footers_ahead));
        let factory = ReaderFactory {
            store,
            store_url: Arc::clone(&store_url),
            is_remote: location.is_remote(),
            footers: Arc::clone(&self.context.footers),
            small_files,
            ahead: footers_ahead,
            read_ahead: ahead.clone(),
        };
        let rule = LateRule {
            choice: settings.late,
            statistics: Arc::new(total.clone()),
            same_type: self.same_type(&files, &row_filters).into(),
            is_remote: location.is_remote(),
            files: files.len(),
        };
        let source = self.source(state, factory, rule, tally)?;
        let source = match ahead {
            Some(ahead) => Arc::new(AheadSource::new(source, ahead)),
            None => source,
        };
        let config = FileScanConfigBuilder::new(scan_url, source)
            .with_file_groups(groups)
            .with_statistics(total)
            .with_projection_indices(projection.map(<[usize]>::to_vec))?
            .with_limit(limit)
            .with_expr_adapter(Some(Arc::new(CaseInsensitiveAdapterFactory)))
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }

    /// Drops the files that are known to hold no row that `filters` let pass.
    fn prune_known(&self, state: &dyn Session, files: &mut Vec<Candidate>, filters: &[Expr]) -> DataFusionResult<()> {
        files.retain(|candidate| candidate.facts.as_ref().is_none_or(|facts| facts.row_count > 0));
        if filters.is_empty() || files.iter().all(|candidate| candidate.facts.is_none()) {
            return Ok(());
        }
        let facts: Vec<_> = files.iter().map(|candidate| candidate.facts.clone()).collect();
        let keep = prune_files(state, &facts, &self.file_schema, &self.schema, filters)?;
        retain(files, &keep);
        Ok(())
    }

    /// Drops the files whose footers exclude all their row groups, and counts.
    fn prune_row_groups(
        &self,
        state: &dyn Session,
        files: &mut Vec<Candidate>,
        filters: &[Expr],
        report: &mut ScanReport,
    ) -> DataFusionResult<()> {
        let footers: Vec<Arc<ParquetMetaData>> = files.iter().filter_map(|file| file.footer.clone()).collect();
        let surviving = prune_row_groups(state, &footers, &self.file_schema, &self.schema, filters)?;
        let mut surviving = surviving.into_iter();
        let mut keep = Vec::with_capacity(files.len());
        for candidate in files.iter() {
            match (&candidate.footer, &candidate.facts) {
                (Some(footer), _) => {
                    let row_groups = surviving.next().unwrap_or(footer.num_row_groups());
                    report.row_groups_total += footer.num_row_groups() as u64;
                    report.row_groups_kept += row_groups as u64;
                    keep.push(row_groups > 0);
                }
                (None, Some(facts)) => {
                    report.row_groups_total += facts.row_group_count;
                    report.row_groups_kept += facts.row_group_count;
                    keep.push(true);
                }
                (None, None) => {
                    report.files_unread += 1;
                    keep.push(true);
                }
            }
        }
        retain(files, &keep);
        Ok(())
    }

    /// Drops the ORC files whose tails exclude all their stripes, and counts stripes as row groups.
    fn prune_stripes(
        &self,
        state: &dyn Session,
        files: &mut Vec<Candidate>,
        filters: &[Expr],
        report: &mut ScanReport,
    ) -> DataFusionResult<()> {
        let tails = files.iter().filter_map(|candidate| candidate.tail.as_ref());
        let stripes: Vec<_> = tails.flat_map(|tail| tail.stripe_facts(&self.file_schema)).collect();
        let mut kept = prune_files(state, &stripes, &self.file_schema, &self.schema, filters)?.into_iter();
        let mut keep = Vec::with_capacity(files.len());
        for candidate in files.iter() {
            let (total, left) = match (&candidate.tail, &candidate.facts) {
                (Some(tail), _) => {
                    let total = tail.stripe_facts(&self.file_schema).count();
                    (total as u64, kept.by_ref().take(total).filter(|kept| *kept).count() as u64)
                }
                (None, Some(facts)) => (facts.row_group_count, facts.row_group_count),
                (None, None) => {
                    report.files_unread += 1;
                    (0, 0)
                }
            };
            report.row_groups_total += total;
            report.row_groups_kept += left;
            // Of a file without stripes it is known by its facts that it has no rows.
            keep.push(left > 0 || total == 0);
        }
        retain(files, &keep);
        Ok(())
    }

    /// Which of the file columns a plan asks for: statistics of the others are of no use.
    fn wanted_columns(&self, projection: Option<&[usize]>, filters: &[Expr]) -> Vec<bool> {
        let named: HashSet<String> =
            filters.iter().flat_map(|filter| filter.column_refs()).map(|column| column.name.clone()).collect();
        let is_projected = |index: usize| projection.is_none_or(|projection| projection.contains(&index));
        let fields = self.file_schema.fields().iter().enumerate();
        fields.map(|(index, field)| is_projected(index) || named.contains(field.name())).collect()
    }

    /// The rows without the files, where keys alone are asked for and it is known how many rows each file has.
    fn known_rows(
        &self,
        state: &dyn Session,
        projection: Option<&[usize]>,
        files: &[Candidate],
        partitioned: &[PartitionedFile],
        total: &Statistics,
    ) -> DataFusionResult<Option<Arc<dyn ExecutionPlan>>> {
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let projection = projection.unwrap_or(&all);
        let key_start = self.file_schema.fields().len();
        if projection.iter().any(|index| *index < key_start) {
            return Ok(None);
        }
        let mut known = Vec::with_capacity(files.len());
        for (candidate, file) in files.iter().zip(partitioned) {
            let Some(facts) = &candidate.facts else { return Ok(None) };
            let values = projection.iter().map(|index| file.partition_values[index - key_start].clone()).collect();
            known.push(KnownFile { row_count: facts.row_count, values });
        }
        let statistics = total.clone().project(Some(&projection.to_vec()));
        let schema = Arc::new(self.schema.project(projection)?);
        let partitions = state.config().target_partitions();
        Ok(Some(Arc::new(KnownRows::new(self.table.name.to_string(), schema, known, statistics, partitions))))
    }

    /// Counts of a scan of this table; `None` for Parquet, whose files are no text.
    fn tally(&self, store_url: &str) -> Result<Option<Arc<ScanTally>>> {
        if self.storage.format == FileFormat::Parquet {
            return Ok(None);
        }
        let policy = RowPolicy::of(&self.table.definition)?;
        let quarantine = || Quarantine {
            log: Arc::clone(&self.context.rejects),
            table_id: self.table.id,
            table_version: self.table.version,
            store_url: store_url.to_owned(),
        };
        let stats = Arc::clone(&self.run.stats);
        Ok(Some(ScanTally::new(self.table.name.to_string(), policy, stats, quarantine)))
    }

    /// What the files are asked for first.
    fn opening(&self, store_url: &Arc<str>, small_files: &Arc<SmallFiles>) -> Opening {
        match self.storage.format {
            FileFormat::Parquet => Opening::Parquet(FirstRowGroups {
                footers: Arc::clone(&self.context.footers),
                store_url: Arc::clone(store_url),
                small_files: Arc::clone(small_files),
            }),
            FileFormat::Csv | FileFormat::Json | FileFormat::Regex | FileFormat::Avro => Opening::Text,
            FileFormat::Orc | FileFormat::Arrow => Opening::Parts,
        }
    }

    /// By file column, whether it is in `filters` and all files are known to have it in the table's type, if they have it.
    fn same_type(&self, files: &[Candidate], filters: &[Expr]) -> Vec<bool> {
        let named: HashSet<String> =
            filters.iter().flat_map(|filter| filter.column_refs()).map(|column| column.name.clone()).collect();
        let is_same = |name: &str, data_type: &DataType| {
            files.iter().all(|candidate| {
                candidate.facts.as_ref().is_some_and(|facts| {
                    let own = facts.columns.iter().find(|own| own.name.eq_ignore_ascii_case(name));
                    own.is_none_or(|own| own.data_type.as_ref() == Some(data_type))
                })
            })
        };
        let columns = self.table.columns.iter();
        columns.map(|column| named.contains(&column.name) && is_same(&column.name, &column.data_type)).collect()
    }

    fn source(
        &self,
        state: &dyn Session,
        factory: ReaderFactory,
        rule: LateRule,
        tally: Option<Arc<ScanTally>>,
    ) -> DataFusionResult<Arc<dyn FileSource>> {
        let constants = self.keys.iter().chain(&self.hidden.fields).cloned().collect::<Vec<_>>();
        let builder = TableSchema::builder(Arc::clone(&self.file_schema)).with_table_partition_cols(constants);
        let table_schema = builder.build();
        if self.storage.format == FileFormat::Orc {
            let tails = Arc::clone(&self.context.tails);
            return Ok(Arc::new(OrcSource::new(table_schema, tails, Arc::clone(&factory.store_url))));
        }
        if let Some(tally) = tally {
            return counted_text_source(&self.table.definition, table_schema, tally).map_err(to_datafusion);
        }
        let options =
            TableParquetOptions { global: state.config_options().execution.parquet.clone(), ..Default::default() };
        let source = ParquetSource::new(table_schema).with_table_parquet_options(options);
        Ok(Arc::new(NamedFileSource::new(source, Arc::new(factory), rule)))
    }

    /// The files with their key values and statistics, and the statistics of all together.
    fn partitioned_files(
        &self,
        partitions: &PartitionIndex,
        location: &Location,
        files: &[Candidate],
        is_wanted: &[bool],
    ) -> DataFusionResult<(Vec<PartitionedFile>, Statistics)> {
        let column_count = self.schema.fields().len();
        let unknown = Statistics::new_unknown(&self.file_schema);
        let keeps_own = files.len() <= FILE_STATISTICS_MAX;
        let mut partitioned = Vec::with_capacity(files.len());
        let mut total = Some(Total::new(column_count));
        for Candidate { file, facts, .. } in files {
            let known = facts.as_ref().map(|facts| file_statistics(facts, &self.file_schema, is_wanted));
            let row_count = known.as_ref().map_or(Precision::Absent, |known| known.num_rows);
            let mut values = match file.partition {
                Some(partition) => partitions.row(partition)?,
                None => Vec::new(),
            };
            values.extend(self.hidden.values(file, location, partitions));
            // `PartitionedFile::with_statistics` claims that no key is NULL: written out here, where one may be.
            let keys: Vec<ColumnStatistics> = values.iter().map(|value| key_statistics(value, row_count)).collect();
            let mut statistics = known.unwrap_or_else(|| unknown.clone());
            statistics.column_statistics.extend(keys.iter().cloned());
            match (&mut total, &row_count) {
                (Some(total), Precision::Exact(row_count)) => total.add(&statistics, *row_count),
                _ => total = None,
            }
            if !keeps_own {
                statistics = unknown.clone();
                statistics.column_statistics.extend(keys);
            }
            let mut new = PartitionedFile::from(file.meta.clone()).with_partition_values(values);
            new.statistics = Some(Arc::new(statistics));
            partitioned.push(new);
        }
        let total = match total {
            Some(total) => {
                let known = || files.iter().filter_map(|candidate| candidate.facts.as_deref());
                total.finish(|index| match self.file_schema.fields().get(index) {
                    Some(field) if is_wanted[index] => distinct_count(known(), field),
                    _ => None,
                })
            }
            None => {
                let mut total = Statistics::new_unknown(&self.schema);
                let bytes: u64 = partitioned.iter().map(|file| file.object_meta.size).sum();
                total.total_byte_size = Precision::Inexact(usize::try_from(bytes).unwrap_or(usize::MAX));
                total
            }
        };
        Ok((partitioned, total))
    }
}

/// What a plan wants of its files.
#[derive(Debug)]
struct Reading {
    /// Rows are filtered by what they hold: the plan can't be answered by what is known of files.
    is_filtered: bool,
    /// Columns inside the files are asked for.
    needs_rows: bool,
    /// Each request crosses a network.
    is_remote: bool,
}

/// A file on its way through planning.
#[derive(Debug)]
struct Candidate {
    file: File,
    facts: Option<Arc<FileFacts>>,
    footer: Option<Arc<ParquetMetaData>>,
    tail: Option<Arc<Tail>>,
}

/// The error for `"$partition"` of a table that has no partitions.
pub(crate) fn no_partition_column(table: &str) -> Error {
    Error::new(crate::ErrorCode::UndefinedColumn, "column \"$partition\" does not exist")
        .with_detail(format!("Table \"{table}\" is not partitioned."))
}

fn retain(files: &mut Vec<Candidate>, keep: &[bool]) {
    let mut index = 0..;
    files.retain(|_| index.next().and_then(|index: usize| keep.get(index)).copied().unwrap_or(true));
}

/// `base` and a relative path below it, taken as spelled (`%3A` stays).
fn join(base: &Path, relative: &str) -> Result<Path> {
    let text = format!("{base}/{}", relative.trim_matches('/'));
    Path::parse(&text).map_err(|error| Error::new(crate::ErrorCode::LocationNotAllowed, error.to_string()))
}

/// Deals files into `count` groups of about equal bytes, largest first.
fn balance(mut files: Vec<PartitionedFile>, count: usize) -> Vec<FileGroup> {
    let count = count.clamp(1, files.len().max(1));
    let bytes_of = |file: &PartitionedFile| match &file.range {
        Some(range) => u64::try_from(range.end - range.start).unwrap_or(0),
        None => file.object_meta.size,
    };
    files.sort_by(|a, b| bytes_of(b).cmp(&bytes_of(a)).then_with(|| a.path().cmp(b.path())));
    let mut groups: Vec<(u64, Vec<PartitionedFile>)> = vec![(0, Vec::new()); count];
    for file in files {
        let lightest = groups.iter_mut().min_by_key(|(bytes, _)| *bytes).expect("there is at least one group");
        lightest.0 += bytes_of(&file);
        lightest.1.push(file);
    }
    groups
        .into_iter()
        .map(|(_, mut files)| {
            // In path order: rows of files that were written in order come out in order.
            files.sort_by(|a, b| a.path().cmp(b.path()));
            FileGroup::new(files)
        })
        .collect()
}

#[async_trait]
impl TableProvider for CatalogTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        self.plan(state, projection.map(Vec::as_slice), filters, limit).await
    }

    async fn scan_with_args<'a>(&self, state: &dyn Session, args: ScanArgs<'a>) -> DataFusionResult<ScanResult> {
        let filters = args.filters().unwrap_or(&[]);
        Ok(ScanResult::new(self.plan(state, args.projection(), filters, args.limit()).await?))
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> DataFusionResult<Vec<TableProviderFilterPushDown>> {
        let names = self.constant_names();
        Ok(filters
            .iter()
            .map(|filter| {
                if is_partition_only(filter, &names) {
                    TableProviderFilterPushDown::Exact
                } else {
                    TableProviderFilterPushDown::Inexact
                }
            })
            .collect())
    }
}

/// Adds what a plan pruned to the query's counters.
pub(crate) fn count_report(run: &QueryRun, report: &ScanReport) {
    add(&run.stats.partitions_total, report.partitions_total);
    add(&run.stats.partitions_kept, report.partitions_kept);
    add(&run.stats.files_total, report.files_total);
    add(&run.stats.files_kept, report.files_kept);
}
