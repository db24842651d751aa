//! [`CatalogTable`]: a table of the catalog as DataFusion scans it.
//!
//! In: projection, filters and limit from the planner. Out: a `DataSourceExec` over the files that survive. In order:
//! partitions are pruned in memory; what is left is listed; footers of a bounded number of files are read (from the
//! cache when it has them) and their row groups pruned; files without a surviving row group are dropped.

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
use futures::stream::{self, StreamExt, TryStreamExt};
use limnos_catalog::partition::hive_path;
use limnos_catalog::{FileFormat, StorageDescriptor, Table, TableKind};
use object_store::ObjectStore;
use object_store::path::Path;
use parquet::file::metadata::ParquetMetaData;

use super::format::text_source;
use super::listing::{File, Folder, list_each, list_folders, list_location};
use super::parquet::{
    CaseInsensitiveAdapterFactory, FileKey, Footers, NamedFileSource, ReaderFactory, SmallFiles, file_statistics,
};
use super::report::{ScanReport, add};
use super::schema::table_schema;
use super::store::{LOCAL_STORE_URL, Location, MeteredStore, StoreCounters, Stores};
use crate::error::to_datafusion;
use crate::execute::QueryRun;
use crate::prune::{KeptPartitions, PartitionIndex, Partitions, is_partition_only, prune_row_groups};
use crate::{Error, Result};

/// Footers read at plan time: beyond this many files, only cached ones are used. They are not wasted: execution needs
/// them again and finds them in the cache.
const PLAN_FOOTERS_MAX: usize = 1024;

/// Footers read at the same time.
const FOOTER_CONCURRENCY: usize = 32;

/// What all scans of an engine share.
#[derive(Debug)]
pub struct ScanContext {
    /// The roots.
    pub stores: Arc<Stores>,
    /// The footer cache.
    pub footers: Arc<Footers>,
}

/// One table in one snapshot, for one query.
#[derive(Debug)]
pub struct CatalogTable {
    table: Arc<Table>,
    storage: StorageDescriptor,
    partitions: Partitions,
    context: Arc<ScanContext>,
    /// Where this query's scans report and register their stores.
    run: Arc<QueryRun>,
    schema: SchemaRef,
    file_schema: SchemaRef,
    keys: Vec<FieldRef>,
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

    fn key_names(&self) -> HashSet<&str> {
        self.keys.iter().map(|key| key.name().as_str()).collect()
    }

    /// The files of the partitions that were kept.
    async fn list(
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

    /// The footers of `files`: all of them where there are few, the cached ones where there are many.
    async fn footers(
        &self,
        store: &Arc<dyn ObjectStore>,
        store_url: &Arc<str>,
        files: &[File],
        small_files: &Arc<SmallFiles>,
    ) -> Result<Vec<Option<Arc<ParquetMetaData>>>> {
        let read_all = files.len() <= PLAN_FOOTERS_MAX;
        let reads = files.iter().map(|file| {
            let (meta, store, footers) = (file.meta.clone(), Arc::clone(store), Arc::clone(&self.context.footers));
            let (key, small_files) = (FileKey::new(store_url, &file.meta), Arc::clone(small_files));
            async move {
                if !read_all && !footers.contains(&key) {
                    return Ok(None);
                }
                footers.get(&key, &store, &meta, &small_files).await.map(Some)
            }
        });
        stream::iter(reads.collect::<Vec<_>>()).buffered(FOOTER_CONCURRENCY).try_collect().await
    }

    async fn plan(
        &self,
        state: &dyn Session,
        projection: Option<&[usize]>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let location = self.context.stores.resolve(&self.storage.location).map_err(to_datafusion)?;
        let counters = Arc::new(StoreCounters::default());
        let metered =
            MeteredStore::new(Arc::clone(&location.store), Arc::clone(&counters), Arc::clone(&self.run.stats));
        let store: Arc<dyn ObjectStore> = Arc::new(metered);
        let partitions = self.partitions.prune(state, &self.schema, filters)?;
        self.run.notify(&partitions.notices);
        let mut report = ScanReport {
            table: self.table.name.to_string(),
            partitions_total: if self.keys.is_empty() { 0 } else { partitions.total },
            partitions_kept: if self.keys.is_empty() { 0 } else { partitions.kept.len() as u64 },
            partitions_are_projected: partitions.is_projected,
            counters,
            ..ScanReport::default()
        };
        let mut files = self.list(store.as_ref(), &location, &partitions).await.map_err(to_datafusion)?;
        report.files_total = files.len() as u64;

        let store_url: Arc<str> = Arc::from(location.store_url.as_str());
        let small_files = Arc::new(SmallFiles::default());
        let mut statistics: Vec<Option<Statistics>> = vec![None; files.len()];
        let row_filters: Vec<Expr> = {
            let names = self.key_names();
            filters.iter().filter(|filter| !is_partition_only(filter, &names)).cloned().collect()
        };
        // A LIMIT without filters is answered from the first files: reading all footers would cost more than the scan.
        let wants_footers = self.storage.format == FileFormat::Parquet && !(limit.is_some() && filters.is_empty());
        if wants_footers {
            let footers = self.footers(&store, &store_url, &files, &small_files).await.map_err(to_datafusion)?;
            let known: Vec<Arc<ParquetMetaData>> = footers.iter().flatten().cloned().collect();
            let mut surviving =
                prune_row_groups(state, &known, &self.file_schema, &self.schema, &row_filters)?.into_iter();
            let mut keep = Vec::with_capacity(files.len());
            for (index, footer) in footers.iter().enumerate() {
                let Some(footer) = footer else {
                    report.files_unread += 1;
                    keep.push(true);
                    continue;
                };
                let row_groups = surviving.next().unwrap_or(footer.num_row_groups());
                report.row_groups_total += footer.num_row_groups() as u64;
                report.row_groups_kept += row_groups as u64;
                keep.push(row_groups > 0);
                if row_groups > 0 {
                    statistics[index] = Some(file_statistics(footer, &self.file_schema)?);
                }
            }
            let mut index = 0..;
            files.retain(|_| index.next().is_some_and(|index| keep[index]));
            let mut index = 0..;
            statistics.retain(|_| index.next().is_some_and(|index| keep[index]));
        }
        report.files_kept = files.len() as u64;
        report.bytes_kept = files.iter().map(|file| file.meta.size).sum();

        let scan_url = self.run.register_scan(Arc::clone(&store), report)?;
        let (partitioned, total) = self.partitioned_files(&partitions.index, files, statistics)?;
        let groups = balance(partitioned, state.config().target_partitions());
        let source = self.source(state, &store, &store_url, location.is_remote(), small_files)?;
        let config = FileScanConfigBuilder::new(scan_url, source)
            .with_file_groups(groups)
            .with_statistics(total)
            .with_projection_indices(projection.map(<[usize]>::to_vec))?
            .with_limit(limit)
            .with_expr_adapter(Some(Arc::new(CaseInsensitiveAdapterFactory)))
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }

    fn source(
        &self,
        state: &dyn Session,
        store: &Arc<dyn ObjectStore>,
        store_url: &Arc<str>,
        is_remote: bool,
        small_files: Arc<SmallFiles>,
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
        };
        let source = ParquetSource::new(table_schema)
            .with_table_parquet_options(options)
            .with_parquet_file_reader_factory(Arc::new(factory));
        Ok(Arc::new(NamedFileSource::new(Arc::new(source), Arc::clone(store_url))))
    }

    /// The files with their key values and statistics, and the statistics of all together.
    fn partitioned_files(
        &self,
        partitions: &PartitionIndex,
        files: Vec<File>,
        statistics: Vec<Option<Statistics>>,
    ) -> DataFusionResult<(Vec<PartitionedFile>, Statistics)> {
        let unknown = Statistics::new_unknown(&self.file_schema);
        let mut partitioned = Vec::with_capacity(files.len());
        let mut all_known = !files.is_empty();
        for (file, statistics) in files.into_iter().zip(statistics) {
            all_known &= statistics.is_some();
            let mut statistics = statistics.unwrap_or_else(|| unknown.clone());
            let values = match file.partition {
                Some(partition) => partitions.row(partition)?,
                None => Vec::new(),
            };
            // `PartitionedFile::with_statistics` claims that no key is NULL: written out here, where one may be.
            for value in &values {
                statistics.column_statistics.push(if value.is_null() {
                    ColumnStatistics { null_count: statistics.num_rows, ..ColumnStatistics::new_unknown() }
                } else {
                    ColumnStatistics {
                        null_count: Precision::Exact(0),
                        min_value: Precision::Exact(value.clone()),
                        max_value: Precision::Exact(value.clone()),
                        ..ColumnStatistics::new_unknown()
                    }
                });
            }
            let mut new = PartitionedFile::from(file.meta).with_partition_values(values);
            new.statistics = Some(Arc::new(statistics));
            partitioned.push(new);
        }
        let total = if all_known {
            Statistics::try_merge_iter(partitioned.iter().filter_map(|file| file.statistics.as_deref()), &self.schema)?
        } else {
            let mut total = Statistics::new_unknown(&self.schema);
            let bytes: u64 = partitioned.iter().map(|file| file.object_meta.size).sum();
            total.total_byte_size = Precision::Inexact(usize::try_from(bytes).unwrap_or(usize::MAX));
            if partitioned.is_empty() {
                total.num_rows = Precision::Exact(0);
            }
            total
        };
        Ok((partitioned, total))
    }
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
