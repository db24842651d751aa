//! [`ReadyWrite`]: a planned write runs, from its beginning in the catalog to its commit.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use limnos_catalog::{
    Change, CreateMode, FileFacts, FileFormat, FileVersion, Partition, RemovedFile, Snapshot, StorageDescriptor,
    TableDefinition, TableKind, WriteTarget,
};
use object_store::ObjectStoreExt;
use object_store::path::Path;

use super::definition::{NewTable, TARGET_FILE_SIZE};
use super::file::FileOptions;
use super::folder::Folders;
use super::open::OpenWrite;
use super::plan::{InsertTarget, PlannedWrite, WriteKind};
use super::rows::{RowTarget, TARGET_FILE_BYTES, WrittenPartition, write_rows};
use crate::engine::Shared;
use crate::execute::{BatchStream, QueryRun};
use crate::prune::Partitions;
use crate::scan::facts::{file_version, read_as};
use crate::scan::listing::{self, is_hidden, is_visible, list_each, list_location};
use crate::scan::store::{Location, store_error};
use crate::{Error, ErrorCode, Result};

/// How often OVERWRITE lists anew what it replaces, when others have replaced it meanwhile.
const ATTEMPTS: usize = 10;

/// The part of a query's memory that open files may hold: the rest is for the query itself, and for sorting rows.
const MEMORY_SHARE: usize = 4;

/// Files that are told to the catalog at once.
const FACTS_BATCH: usize = 1024;

/// Row groups are made smaller than this where there is little memory, but not smaller.
const ROW_GROUP_BYTES_MIN: usize = 4 << 20;

/// A write that can begin.
pub(crate) struct ReadyWrite {
    pub(crate) shared: Arc<Shared>,
    pub(crate) run: Arc<QueryRun>,
    pub(crate) kind: WriteKind,
    pub(crate) target: RowTarget,
    pub(crate) task: Arc<TaskContext>,
    /// What the transaction block sees that it is part of.
    pub(crate) block: Option<Arc<Snapshot>>,
}

/// What a write did.
pub(crate) struct Written {
    pub(crate) row_count: u64,
    /// In a transaction block: what is to be committed with it.
    pub(crate) pending: Option<(Vec<Change>, OpenWrite)>,
    /// Whether the table was there already, and IF NOT EXISTS was said.
    pub(crate) is_skipped: bool,
}

impl ReadyWrite {
    /// Finds out where and how the rows are written.
    ///
    /// # Errors
    /// A location that holds files already; formats that aren't written.
    pub(crate) async fn new(
        shared: Arc<Shared>,
        run: Arc<QueryRun>,
        planned: PlannedWrite,
        physical: &Arc<dyn ExecutionPlan>,
        partitions: Option<Partitions>,
        snapshot: &Snapshot,
    ) -> Result<Self> {
        let (file_schema, keys) = planned.schema();
        let definition = planned.definition().clone();
        let stores = Arc::clone(&shared.scan.stores);
        let location = Arc::new(stores.resolve(&storage(&definition)?.location)?);
        let mut options = FileOptions::for_table(&definition)?;
        let memory_bytes = shared.query_memory_limit() / MEMORY_SHARE;
        options.row_group_bytes = options.row_group_bytes.min(memory_bytes / 4).max(ROW_GROUP_BYTES_MIN);
        let (table, folders) = match &planned.target {
            WriteKind::New(new) => {
                refuse_if_used(&location, snapshot).await?;
                (new.name.to_string(), Folders::of_new(&definition))
            }
            WriteKind::Insert(insert) => {
                refuse_one_file(&location).await?;
                let mut fields: Vec<_> = file_schema.fields().iter().cloned().collect();
                fields.extend(keys.iter().cloned());
                let schema = Arc::new(arrow::datatypes::Schema::new(fields));
                let partitions = partitions.ok_or_else(|| Error::internal("a table without its partitions"))?;
                let folders = Folders::of(&insert.table, &keys, partitions, &planned.state, &schema)?;
                (insert.table.name.to_string(), folders)
            }
        };
        let target = RowTarget {
            table,
            location,
            stores,
            options,
            file_schema,
            keys,
            folders,
            target_bytes: target_bytes(&definition)?,
            memory_bytes,
            keeps_order: datafusion::physical_plan::ExecutionPlanProperties::output_ordering(physical).is_some(),
        };
        Ok(Self {
            shared,
            run,
            kind: planned.target,
            target,
            task: crate::plan::options::task(&planned.state),
            block: None,
        })
    }

    /// Writes the rows of `batches`.
    ///
    /// # Errors
    /// Those of the query, of the rows, and of writing. Nothing of it is seen then, and what was written is deleted.
    pub(crate) async fn run(self, batches: BatchStream) -> Result<Written> {
        if let WriteKind::Insert(insert) = &self.kind
            && insert.bookmark.as_ref().is_some_and(|bookmark| bookmark.is_idle())
        {
            // No file is new: there is nothing to write, nor to write down.
            return Ok(Written { row_count: 0, pending: None, is_skipped: false });
        }
        let write = OpenWrite::begin(&self.shared.catalog, &self.target.table, vec![self.target.location.url.clone()]);
        let mut write = write.await?;
        let written = tokio::select! {
            biased;
            () = self.run.cancel.cancelled() => Err(crate::execute::canceled()),
            written = self.write(&mut write, batches) => written,
        };
        match written {
            Ok((written, _)) if written.is_skipped => {
                write.abort().await;
                Ok(written)
            }
            Ok((written, Some(changes))) => Ok(Written { pending: Some((changes, write)), ..written }),
            Ok((written, None)) => Ok(written),
            Err(error) => {
                write.abort().await;
                Err(error)
            }
        }
    }

    /// Writes, and commits; in a block it gives the changes that are to be committed instead.
    async fn write(&self, write: &mut OpenWrite, batches: BatchStream) -> Result<(Written, Option<Vec<Change>>)> {
        let (partitions, row_count) = write_rows(&self.target, write, batches, &self.task).await?;
        let written = |row_count, is_skipped| Written { row_count, pending: None, is_skipped };
        if let Some(block) = &self.block {
            let changes = match &self.kind {
                WriteKind::New(new) => self.new_changes(write, new, &partitions),
                WriteKind::Insert(insert) => self.insert_changes(write, block, insert, &partitions).await?,
            };
            self.note_facts(&partitions).await;
            if let Some(files) = self.run.pinned_files() {
                let own = partitions.iter().flat_map(|partition| &partition.files).map(|file| file.meta.clone());
                files.add_own(&self.target.location.store_url, own);
            }
            return Ok((written(row_count, false), Some(changes)));
        }
        match &self.kind {
            WriteKind::New(new) => {
                if !self.commit_new(write, new, &partitions).await? {
                    if new.mode == CreateMode::IfNotExists {
                        return Ok((written(0, true), None));
                    }
                    let message = format!("table \"{}\" already exists", new.name);
                    return Err(Error::new(ErrorCode::DuplicateTable, message));
                }
            }
            WriteKind::Insert(insert) => self.commit_insert(write, insert, &partitions).await?,
        }
        self.note_facts(&partitions).await;
        if matches!(&self.kind, WriteKind::Insert(insert) if insert.overwrite) {
            self.shared.sweeper.wake();
        }
        Ok((written(row_count, false), None))
    }

    fn new_changes(&self, write: &OpenWrite, new: &NewTable, partitions: &[WrittenPartition]) -> Vec<Change> {
        let (name, definition) = (new.name.clone(), new.definition.clone());
        let mut changes = vec![Change::CreateTable { name: name.clone(), definition, mode: CreateMode::Create }];
        if !self.target.keys.is_empty() {
            let partitions = found(partitions);
            changes.push(Change::PlacePartitions { table: name, partitions });
        }
        changes.push(Change::CommitWrite { write: write.id(), target: None, bookmark: None });
        changes
    }

    /// Makes the table with its rows; false if somebody else made one of the name meanwhile.
    async fn commit_new(&self, write: &mut OpenWrite, new: &NewTable, partitions: &[WrittenPartition]) -> Result<bool> {
        match write.commit(self.new_changes(write, new, partitions)).await {
            Ok(_) => Ok(true),
            Err(limnos_catalog::Error::AlreadyExists { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    async fn insert_changes(
        &self,
        write: &OpenWrite,
        snapshot: &Snapshot,
        insert: &InsertTarget,
        partitions: &[WrittenPartition],
    ) -> Result<Vec<Change>> {
        let name = &insert.table.name;
        let mut target = WriteTarget {
            name: name.clone(),
            id: insert.table.id,
            version: insert.table.version,
            data_version: None,
            removed: Vec::new(),
        };
        if insert.overwrite {
            target.data_version = Some(snapshot.table(name)?.data_version);
            target.removed = self.replaced(snapshot, insert, partitions).await?;
        }
        let mut changes = Vec::new();
        if !self.target.keys.is_empty() && !matches!(self.target.folders, Folders::Projected(_)) {
            let partitions = found(partitions);
            changes.push(Change::PlacePartitions { table: name.clone(), partitions });
        }
        let bookmark = insert.bookmark.as_ref().map(|bookmark| bookmark.update()).transpose()?;
        changes.push(Change::CommitWrite { write: write.id(), target: Some(target), bookmark });
        Ok(changes)
    }

    /// Adds the rows to the table; with OVERWRITE in place of those that were in their partitions.
    async fn commit_insert(
        &self,
        write: &mut OpenWrite,
        insert: &InsertTarget,
        partitions: &[WrittenPartition],
    ) -> Result<()> {
        let name = &insert.table.name;
        for attempt in 1.. {
            let snapshot = self.shared.catalog.snapshot();
            let changes = self.insert_changes(write, &snapshot, insert, partitions).await?;
            match write.commit(changes).await {
                Ok(_) => return Ok(()),
                // Another statement replaced rows; unless the table itself has changed, it is as if it came before this one.
                Err(limnos_catalog::Error::Conflict { .. }) if insert.overwrite && attempt < ATTEMPTS => {
                    let now = self.shared.catalog.snapshot();
                    let is_same = now
                        .find_table(name)
                        .is_some_and(|now| now.id == insert.table.id && now.version == insert.table.version);
                    if !is_same {
                        return Err(changed(name));
                    }
                }
                Err(limnos_catalog::Error::Conflict { .. }) => return Err(changed(name)),
                Err(error) => return Err(error.into()),
            }
        }
        Err(changed(name))
    }

    /// The files whose rows OVERWRITE replaces.
    async fn replaced(
        &self,
        snapshot: &Snapshot,
        insert: &InsertTarget,
        partitions: &[WrittenPartition],
    ) -> Result<Vec<RemovedFile>> {
        let location = &self.target.location;
        let files = if self.target.keys.is_empty() {
            list_location(location.store.as_ref(), location).await?
        } else {
            let mut paths: Vec<Path> = partitions.iter().map(|partition| partition.folder.path.clone()).collect();
            if let Some(values) = &insert.partition {
                paths.push(self.fixed_folder(values)?);
            }
            let mut seen = HashSet::new();
            paths.retain(|path| seen.insert(path.clone()));
            let folders = paths.into_iter().map(|path| listing::Folder { path, partition: None }).collect();
            list_each(location.store.as_ref(), location, folders).await?
        };
        let mut seen = HashSet::new();
        Ok(files
            .into_iter()
            .filter(|file| is_visible(snapshot, &location.store_url, &file.meta))
            .map(|file| RemovedFile::from(file_version(&location.store_url, &file.meta)))
            .filter(|file| seen.insert(file.location.clone()))
            .collect())
    }

    /// The folder of the partition that PARTITION (...) names.
    fn fixed_folder(&self, values: &[Option<String>]) -> Result<Path> {
        let RowTarget { keys, folders, .. } = &self.target;
        let mut arrays = Vec::with_capacity(keys.len());
        for (key, value) in keys.iter().zip(values) {
            let text = arrow::array::StringArray::from(vec![value.as_deref()]);
            let options = arrow::compute::CastOptions { safe: false, ..Default::default() };
            let array = arrow::compute::cast_with_options(&text, key.data_type(), &options).map_err(|_| {
                let value = value.as_deref().unwrap_or_default();
                let message = format!("invalid value for partition key \"{}\": \"{value}\"", key.name());
                Error::new(ErrorCode::InvalidTextRepresentation, message)
            })?;
            arrays.push(array);
        }
        let converter = super::folder::converter(keys)?;
        let rows = converter.convert_columns(&arrays).map_err(|error| Error::internal(error.to_string()))?;
        let folder = folders.folder(&self.target, &arrays, 0, rows.row(0).as_ref())?;
        Ok(folder.path)
    }

    /// Tells the catalog what is in the files, so that the next query need not open them. A help: where it can't be, the
    /// files are read.
    pub(super) async fn note_facts(&self, partitions: &[WrittenPartition]) {
        let (definition, storage) = match &self.kind {
            WriteKind::New(new) => (&new.definition, storage(&new.definition).ok()),
            WriteKind::Insert(insert) => (&*insert.table.definition, Some(&insert.storage)),
        };
        let Some(storage) = storage else { return };
        let read_as = read_as(definition, storage);
        let mut facts: Vec<(FileVersion, Arc<FileFacts>)> = Vec::new();
        for file in partitions.iter().flat_map(|partition| &partition.files) {
            let known = match &file.facts {
                Some(known) => Some(known.clone()),
                None if storage.format != FileFormat::Parquet => Some(FileFacts {
                    row_count: file.row_count,
                    row_group_count: 0,
                    read_as: read_as.clone(),
                    columns: Vec::new(),
                }),
                None => None,
            };
            let version = file_version(&self.target.location.store_url, &file.meta);
            facts.extend(known.map(|known| (version, Arc::new(known))));
        }
        let known = Arc::clone(&self.shared.scan.known);
        let noted =
            tokio::task::spawn_blocking(move || facts.chunks(FACTS_BATCH).try_for_each(|batch| known.put(batch)));
        if let Ok(Err(error)) = noted.await {
            tracing::warn!(%error, "facts of files cannot be written down");
        }
    }
}

/// The partitions that rows were written into, as the catalog keeps them.
fn found(partitions: &[WrittenPartition]) -> Vec<Partition> {
    let mut seen = HashSet::new();
    partitions
        .iter()
        .filter(|partition| seen.insert(partition.folder.values.clone()))
        .map(|partition| Partition {
            values: partition.folder.values.clone(),
            location: partition.folder.own.clone(),
            storage: None,
        })
        .collect()
}

fn storage(definition: &TableDefinition) -> Result<&StorageDescriptor> {
    match &definition.kind {
        TableKind::External(storage) => Ok(storage),
        TableKind::View { .. } | TableKind::Dataset(_) => Err(Error::internal("it has no files")),
    }
}

pub(super) fn changed(name: &limnos_catalog::TableName) -> Error {
    Error::new(ErrorCode::SerializationFailure, format!("table \"{name}\" was changed by another statement"))
        .with_hint("Run the statement again.")
}

/// The size at which files are ended.
pub(super) fn target_bytes(definition: &TableDefinition) -> Result<u64> {
    let Some(text) = definition.parameters.get(TARGET_FILE_SIZE) else { return Ok(TARGET_FILE_BYTES) };
    match text.trim().parse() {
        Ok(bytes) if bytes > 0 => Ok(bytes),
        _ => Err(Error::new(
            ErrorCode::InvalidParameterValue,
            format!("invalid value for property \"{TARGET_FILE_SIZE}\": \"{text}\""),
        )
        .with_hint("It is a number of bytes.")),
    }
}

/// Refuses a location for a new table that has files in it: they would be its rows.
async fn refuse_if_used(location: &Location, snapshot: &Snapshot) -> Result<()> {
    let files = list_location(location.store.as_ref(), location).await?;
    let is_used = files.iter().any(|file| {
        !is_hidden(file.meta.location.filename().unwrap_or_default())
            && is_visible(snapshot, &location.store_url, &file.meta)
    });
    if !is_used {
        return Ok(());
    }
    let message = format!("location \"{}\" has files already", location.url);
    Err(Error::new(ErrorCode::ObjectNotInPrerequisiteState, message)
        .with_detail("A table that is made of a query needs a folder without files (HIVE_PATH_ALREADY_EXISTS).")
        .with_hint("Name another location, or delete the files there; INSERT OVERWRITE replaces those of a table."))
}

/// Refuses a table whose location is one file.
async fn refuse_one_file(location: &Location) -> Result<()> {
    if location.is_folder {
        return Ok(());
    }
    let is_folder = !location.is_remote() && std::path::Path::new(&format!("/{}", location.path)).is_dir();
    if is_folder {
        return Ok(());
    }
    match location.store.head(&location.path).await {
        Err(object_store::Error::NotFound { .. }) => Ok(()),
        Ok(_) => {
            Err(Error::unsupported(format!("location \"{}\" is a file, and rows cannot be added to it", location.url))
                .with_hint("Make a table over its folder, or a new one with CREATE TABLE AS."))
        }
        Err(error) => Err(store_error(&location.url, &error)),
    }
}
