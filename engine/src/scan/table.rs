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
    FileFacts, FileFormat, FileVersion, PartitionStorage, StorageDescriptor, Table, TableDefinition, TableKind,
};
use object_store::ObjectStore;
use object_store::path::Path;
use parquet::file::metadata::ParquetMetaData;

use super::facts::statistics::{Total, distinct_count, file_statistics, key_statistics};
use super::facts::{KnownFiles, file_version, read_as};
use super::files_version::{FilesVersion, may_look_the_same};
use super::format::text_source;
use super::known_rows::{KnownFile, KnownRows};
use super::listing::{File, Folder, Listed, list_each, list_folders, list_location};
use super::parquet::{
    CaseInsensitiveAdapterFactory, FOOTER_CONCURRENCY, FileKey, Footer, Footers, FootersAhead, NamedFileSource,
    ReaderFactory, SmallFiles,
};
use super::report::{ScanReport, add};
use super::schema::table_schema;
use super::store::{LOCAL_STORE_URL, Location, MeteredStore, StoreCounters, Stores};
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
    /// What is known of files without opening them.
    pub known: Arc<KnownFiles>,
}

/// One table in one snapshot, for one query.
#[derive(Debug, Clone)]
pub struct CatalogTable {
    pub(super) table: Arc<Table>,
    pub(super) storage: StorageDescriptor,
    pub(crate) partitions: Partitions,
    pub(crate) context: Arc<ScanContext>,
    /// Where this query's scans report and register their stores.
    pub(super) run: Arc<QueryRun>,
    schema: SchemaRef,
    pub(crate) file_schema: SchemaRef,
    pub(crate) keys: Vec<FieldRef>,
    /// Files given by name instead of a location, for file paths used as tables.
    files: Option<Vec<File>>,
}

impl CatalogTable {
    /// A provider for `table`, which must not be a view.
    ///
    /// # Errors
    /// A table that is a view.
    pub fn new(
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
        Ok(Self { table, storage, partitions, context, run, schema, file_schema, keys, files: None })
    }

    /// The same over exactly `files`, which lie in the table's location's store.
    #[must_use]
    pub fn with_files(mut self, files: Vec<File>) -> Self {
        self.files = Some(files);
        self
    }

    /// What the catalog says of it.
    pub(crate) fn table(&self) -> &Arc<Table> {
        &self.table
    }

    fn key_names(&self) -> HashSet<&str> {
        self.keys.iter().map(|key| key.name().as_str()).collect()
    }

    /// The files of the partitions that were kept.
    pub(super) async fn list(
        &self,
        store: &dyn ObjectStore,
        location: &Location,
        KeptPartitions { index, kept, is_projected, .. }: &KeptPartitions,
    ) -> Result<Vec<File>> {
        if let Some(files) = &self.files {
            return Ok(files.clone());
        }
        if self.keys.is_empty() {
            return list_location(store, location).await;
        }
        let mut folders = Vec::with_capacity(kept.len());
        for &partition in kept {
            let path = match &index.list.locations[partition] {
                Some(own) => self.own_path(location, own)?,
                None => {
                    let values = self.keys.iter().zip(&index.list.values);
                    let relative =
                        hive_path(values.map(|(key, values)| (key.name().as_str(), values[partition].as_deref())));
                    join(&location.path, &relative)?
                }
            };
            folders.push(Folder { path, partition: Some(partition) });
        }
        // Projected folders may not be there; what lies between them may be anything.
        if *is_projected {
            list_each(store, location, folders).await
        } else {
            list_folders(store, location, folders).await
        }
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
        if own.store_url == location.store_url {
            return Ok(own.path);
        }
        Err(Error::unsupported(format!(
            "partition location \"{}\" of table \"{}\" is in another store than the table",
            own.url, self.table.name
        )))
    }

    /// A store that counts for one scan.
    fn metered(&self, location: &Location, counters: &Arc<StoreCounters>) -> Arc<dyn ObjectStore> {
        let store = MeteredStore::new(Arc::clone(&location.store), Arc::clone(counters), Arc::clone(&self.run.stats));
        Arc::new(store.with_limit(self.run.scan_limit(), &self.table.name.to_string()))
    }

    async fn list_kept(&self, location: &Location, partitions: &KeptPartitions) -> Result<Listed> {
        let counters = Arc::new(StoreCounters::default());
        let store = self.metered(location, &counters);
        let files = self.list(store.as_ref(), location, partitions).await?;
        Ok(Listed { files, counters })
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
        let partitions = self.partitions.prune(state, &self.schema, filters)?;
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
        let facts = self.context.known.get(&versions, read_as.as_deref());
        files.into_iter().zip(facts).map(|(file, facts)| Candidate { file, facts, footer: None }).collect()
    }

    /// Fills in the footers of `files`. With `for_rows` those of all files, since the rows will be read; else only of
    /// files of which nothing is known. Where there are many to read, only the cached ones are taken.
    async fn add_footers(
        &self,
        store: &Arc<dyn ObjectStore>,
        store_url: &Arc<str>,
        files: &mut [Candidate],
        small_files: &Arc<SmallFiles>,
        for_rows: bool,
    ) -> Result<()> {
        let keys: Vec<FileKey> = files.iter().map(|candidate| FileKey::new(store_url, &candidate.file.meta)).collect();
        let is_cached: Vec<bool> = keys.iter().map(|key| self.context.footers.contains(key)).collect();
        let is_needed = |candidate: &Candidate| for_rows || candidate.facts.is_none();
        let uncached = files.iter().zip(&is_cached).filter(|(candidate, cached)| !**cached && is_needed(candidate));
        let read_all = uncached.count() <= PLAN_FOOTERS_MAX;
        let reads: Vec<_> = (files.iter().zip(keys).zip(is_cached).enumerate())
            .filter(|(_, ((candidate, _), cached))| *cached || (read_all && is_needed(candidate)))
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

    pub(super) async fn plan(
        &self,
        state: &dyn Session,
        projection: Option<&[usize]>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let partitions = self.partitions.prune(state, &self.schema, filters)?;
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
        let store = self.metered(&location, &counters);
        let mut report = ScanReport {
            table: self.table.name.to_string(),
            keys: self.keys.iter().map(|key| key.name().clone()).collect(),
            partitions_total: if self.keys.is_empty() { 0 } else { partitions.total },
            partitions_kept: if self.keys.is_empty() { 0 } else { partitions.kept.len() as u64 },
            partitions_are_projected: partitions.is_projected,
            counters,
            ..ScanReport::default()
        };
        report.files_total = files.len() as u64;

        let store_url: Arc<str> = Arc::from(location.store_url.as_str());
        let small_files = Arc::new(SmallFiles::default());
        let row_filters: Vec<Expr> = {
            let names = self.key_names();
            filters.iter().filter(|filter| !is_partition_only(filter, &names)).cloned().collect()
        };
        let mut files = self.look_up(&store_url, files);
        self.prune_known(state, &mut files, &row_filters)?;
        // A LIMIT without filters is answered from the first files: reading all footers would cost more than the scan.
        let is_parquet = self.storage.format == FileFormat::Parquet;
        if is_parquet && !(limit.is_some() && filters.is_empty()) {
            // With filters on rows the plan has to run, and running it needs the footers of what is left.
            let for_rows = !row_filters.is_empty();
            let read = self.add_footers(&store, &store_url, &mut files, &small_files, for_rows);
            read.await.map_err(to_datafusion)?;
            self.prune_known(state, &mut files, &row_filters)?;
            self.prune_row_groups(state, &mut files, &row_filters, &mut report)?;
        }
        report.files_kept = files.len() as u64;
        report.bytes_kept = files.iter().map(|candidate| candidate.file.meta.size).sum();

        let scan_url = self.run.register_scan(Arc::clone(&store), report)?;
        let is_wanted = self.wanted_columns(projection, &row_filters);
        let ahead = match limit {
            None if is_parquet => {
                let unread = files.iter().filter(|candidate| candidate.footer.is_none() && candidate.facts.is_some());
                unread.map(|candidate| candidate.file.meta.clone()).take(PLAN_FOOTERS_MAX).collect()
            }
            _ => Vec::new(),
        };
        let (partitioned, mut total) = self.partitioned_files(&partitions.index, &files, &is_wanted)?;
        if limit.is_some() {
            // So many rows are in the files; fewer may come out.
            total = total.to_inexact();
        }
        if row_filters.is_empty()
            && let Some(plan) = self.known_rows(state, projection, &files, &partitioned, &total)?
        {
            return Ok(plan);
        }
        let groups = balance(partitioned, state.config().target_partitions());
        let ahead = Arc::new(FootersAhead::new(ahead));
        let source = self.source(state, &store, &store_url, location.is_remote(), small_files, ahead)?;
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

    fn source(
        &self,
        state: &dyn Session,
        store: &Arc<dyn ObjectStore>,
        store_url: &Arc<str>,
        is_remote: bool,
        small_files: Arc<SmallFiles>,
        ahead: Arc<FootersAhead>,
    ) -> DataFusionResult<Arc<dyn FileSource>> {
        let keys = self.keys.clone();
        let table_schema = TableSchema::builder(Arc::clone(&self.file_schema)).with_table_partition_cols(keys).build();
        if self.storage.format != FileFormat::Parquet {
            return text_source(&self.table.definition, table_schema).map_err(to_datafusion);
        }
        let options =
            TableParquetOptions { global: state.config_options().execution.parquet.clone(), ..Default::default() };
        let factory = ReaderFactory {
            store: Arc::clone(store),
            store_url: Arc::clone(store_url),
            is_remote,
            footers: Arc::clone(&self.context.footers),
            small_files,
            ahead,
        };
        let source = ParquetSource::new(table_schema).with_table_parquet_options(options);
        Ok(Arc::new(NamedFileSource::new(source, Arc::new(factory))))
    }

    /// The files with their key values and statistics, and the statistics of all together.
    fn partitioned_files(
        &self,
        partitions: &PartitionIndex,
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
            let values = match file.partition {
                Some(partition) => partitions.row(partition)?,
                None => Vec::new(),
            };
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

/// A file on its way through planning.
#[derive(Debug)]
struct Candidate {
    file: File,
    facts: Option<Arc<FileFacts>>,
    footer: Option<Arc<ParquetMetaData>>,
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
    files.sort_by(|a, b| b.object_meta.size.cmp(&a.object_meta.size).then_with(|| a.path().cmp(b.path())));
    let mut groups: Vec<(u64, Vec<PartitionedFile>)> = vec![(0, Vec::new()); count];
    for file in files {
        let lightest = groups.iter_mut().min_by_key(|(bytes, _)| *bytes).expect("there is at least one group");
        lightest.0 += file.object_meta.size;
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
        let names = self.key_names();
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
