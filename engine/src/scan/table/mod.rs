//! [`CatalogTable`]: a table of the catalog as DataFusion scans it.
//!
//! In: projection, filters and limit from the planner. Out: a `DataSourceExec` over the files that survive. In order:
//! partitions are pruned in memory; what is left is listed; files are pruned by what is known of them ([`super::facts`]);
//! footers that are needed all the same are read, a bounded number of them, and their row groups pruned; files without a
//! surviving row group, or without a row, are dropped. A query of keys alone then needs no file at all.

mod candidate;
mod files;

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
use limnos_catalog::{
    DataType, FileFormat, PartitionStorage, Snapshot, StorageDescriptor, Table, TableDefinition, TableKind, TableName,
};
use object_store::ObjectStore;
use object_store::path::Path;

use self::candidate::{Candidate, Reading};
use super::ahead::{Ahead, AheadSource, AheadStore, Opening, Room};
use super::bookmark::BookmarkRun;
use super::facts::KnownFiles;
use super::facts::statistics::{Total, distinct_count, file_statistics, key_statistics};
use super::format::counted_text_source;
use super::format::on_error::RowPolicy;
use super::format::orc::{OrcSource, OrcTails};
use super::format::split::split;
use super::hidden::{HiddenColumns, HiddenKind};
use super::known_rows::{KnownFile, KnownRows};
use super::listing::{File, Listed};
use super::parquet::{
    CaseInsensitiveAdapterFactory, FirstRowGroups, Footers, FootersAhead, LateRule, NamedFileSource, ReaderFactory,
    SmallFiles,
};
use super::rejects::{Quarantine, RejectLog, ScanTally};
use super::report::{ScanReport, add};
use super::schema::table_schema;
use super::settings::ScanSettings;
use super::store::{Listings, Location, Stores};
use crate::error::to_datafusion;
use crate::execute::QueryRun;
use crate::plan::options;
use crate::prune::{KeptPartitions, PartitionIndex, Partitions, is_partition_only};
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

    /// What another one is made from that is the same in the same snapshot; `None` where the name doesn't say it all.
    pub(crate) fn as_named(&self) -> Option<(TableName, HiddenColumns)> {
        let is_named = self.table.id != 0 && self.bookmark.is_none() && self.files.is_none();
        is_named.then(|| (self.table.name.clone(), self.hidden.clone()))
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
        let room = Room::new(Arc::clone(&self.run.ahead), &options::runtime(state).memory_pool);
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

/// The error for `"$partition"` of a table that has no partitions.
pub(crate) fn no_partition_column(table: &str) -> Error {
    Error::new(crate::ErrorCode::UndefinedColumn, "column \"$partition\" does not exist")
        .with_detail(format!("Table \"{table}\" is not partitioned."))
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
