//! OPTIMIZE: many small files of a partition -> few large ones, with the same rows in the same order.
//!
//! Partitions are taken some at a time; each group is read, written and committed as one write, which hides the files that it
//! replaces. So memory is bounded, what is done stays done, and readers see either the old files or the new ones. A statement
//! that took files away meanwhile wins: then this one ends with 40001 and its files are deleted.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::LogicalPlanBuilder;
use limnos_catalog::{Bookmark, BookmarkUpdate, Change, FileVersion, RemovedFile, TableName, WriteTarget};

use super::chosen::Chosen;
use super::open::OpenWrite;
use super::order::sorted;
use super::plan::{InsertTarget, PlannedWrite, WriteKind};
use super::rows::write_rows;
use super::run::ReadyWrite;
use crate::execute::{CpuRuntime, run_plan, stoppable};
use crate::parse::PartitionRows;
use crate::plan::lake::PlanContext;
use crate::prune::KeptPartitions;
use crate::scan::facts::file_version;
use crate::scan::listing::File;
use crate::scan::store::Location;
use crate::{Error, ErrorCode, Notice, Result};

/// Partitions rewritten in one commit: each has a file open.
const PARTITIONS_AT_ONCE: usize = 32;

/// A file is small below this part of the target size (three quarters): rewriting larger ones gains little.
const SMALL_NUMERATOR: u64 = 3;
const SMALL_DENOMINATOR: u64 = 4;

/// What OPTIMIZE has done.
#[derive(Debug, Default)]
struct Done {
    partitions: i64,
    files_before: i64,
    files_after: i64,
    bytes_before: i64,
    bytes_after: i64,
}

/// The columns of the answer.
pub(crate) fn schema() -> SchemaRef {
    let names = ["partitions", "files_before", "files_after", "bytes_before", "bytes_after"];
    Arc::new(Schema::new(names.map(|name| Field::new(name, DataType::Int64, true)).to_vec()))
}

/// Carries out OPTIMIZE.
///
/// # Errors
/// Conditions on columns that are no keys; a table that was changed meanwhile (40001): groups of partitions that were done
/// before stay done.
pub(crate) async fn optimize(
    cpu: &CpuRuntime,
    context: PlanContext,
    rows: &PartitionRows,
) -> Result<(RecordBatch, Vec<Notice>)> {
    let run = Arc::clone(&context.run);
    let own = rows.clone();
    let chosen = cpu.plan(&run.cancel, async move { Chosen::find(context, &own, "OPTIMIZE").await }).await?;
    let mut done = Done::default();
    let mut is_changed = false;
    if !chosen.is_nothing {
        let all = &chosen.kept.kept;
        let groups: Vec<Vec<usize>> = if chosen.table.partition_keys.is_empty() {
            vec![Vec::new()]
        } else {
            // Partitions whose files are written otherwise than the table's stay as they are.
            let own = &chosen.kept.index.list.storages;
            let plain: Vec<usize> = all.iter().copied().filter(|partition| !own.contains_key(partition)).collect();
            plain.chunks(PARTITIONS_AT_ONCE).map(<[usize]>::to_vec).collect()
        };
        for group in groups {
            is_changed |= rewrite(cpu, &chosen, group, &mut done).await?;
        }
    }
    if is_changed {
        chosen.shared.sweeper.wake();
    }
    let counts = [done.partitions, done.files_before, done.files_after, done.bytes_before, done.bytes_after];
    let columns = counts.into_iter().map(|count| Arc::new(Int64Array::from(vec![count])) as ArrayRef).collect();
    let batch = RecordBatch::try_new(schema(), columns).map_err(|error| Error::internal(error.to_string()))?;
    Ok((batch, run.notices()))
}

/// Rewrites the small files of some partitions; false if there was nothing to do.
async fn rewrite(cpu: &CpuRuntime, chosen: &Chosen, kept: Vec<usize>, done: &mut Done) -> Result<bool> {
    let snapshot = chosen.shared.catalog.snapshot();
    let table = &chosen.table;
    let now = snapshot.table(&table.name)?;
    if now.id != table.id || now.version != table.version {
        return Err(super::run::changed(&table.name));
    }
    let data_version = now.data_version;
    let group = KeptPartitions {
        index: Arc::clone(&chosen.kept.index),
        kept,
        total: chosen.kept.total,
        is_projected: chosen.kept.is_projected,
        notices: Vec::new(),
    };
    let target_bytes = super::run::target_bytes(&table.definition)?;
    let mut files = chosen.files(&snapshot, &group).await?;
    let bookmark = Processed::of(chosen).await?;
    if let Some(bookmark) = &bookmark {
        files.retain(|file| bookmark.knows(&chosen.location, file));
    }
    let files = small_files(files, target_bytes);
    if files.is_empty() {
        return Ok(false);
    }
    let removed: Vec<RemovedFile> =
        files.iter().map(|file| RemovedFile::from(file_version(&chosen.location.store_url, &file.meta))).collect();
    let partitions: HashSet<Option<usize>> = files.iter().map(|file| file.partition).collect();
    let (file_count, bytes) = (files.len(), files.iter().map(|file| file.meta.size).sum::<u64>());

    // One reader, so that rows come in the order of the files, and those of one partition together.
    let provider = chosen.provider(&snapshot)?.with_files(files);
    let mut state = chosen.state.clone();
    *state.config_mut() = state.config().clone().with_target_partitions(1);
    let rows = LogicalPlanBuilder::scan("rows", provider_as_source(Arc::new(provider)), None)?.build()?;
    // Files of a table that says an order have it each; put one behind the other they would have none.
    let rows = state.optimize(&sorted(rows, &table.definition)?)?;
    let physical = state.query_planner().create_physical_plan(&rows, &state).await?;
    let physical = stoppable(physical, &chosen.run.cancel)?;
    let insert = InsertTarget {
        table: Arc::clone(table),
        storage: chosen.storage.clone(),
        overwrite: false,
        partition: None,
        bookmark: None,
    };
    let planned = PlannedWrite {
        plan: LogicalPlanBuilder::empty(false).build()?,
        state: state.clone(),
        target: WriteKind::Insert(Box::new(insert)),
    };
    let (shared, run) = (Arc::clone(&chosen.shared), Arc::clone(&chosen.run));
    let mut ready =
        ReadyWrite::new(shared, run, planned, &physical, Some(chosen.partitions.clone()), &snapshot).await?;
    ready.target.keeps_order = true;
    let batches = run_plan(cpu, &chosen.run, physical, crate::plan::options::task(&state));
    let name = table.name.clone();
    let (id, version) = (table.id, table.version);
    let work = async move {
        let location = ready.target.location.url.clone();
        let mut write = OpenWrite::begin(&ready.shared.catalog, &name.to_string(), vec![location]).await?;
        let written = tokio::select! {
            biased;
            () = ready.run.cancel.cancelled() => Err(crate::execute::canceled()),
            written = write_rows(&ready.target, &mut write, batches, &ready.task) => written,
        };
        let (partitions, _) = match written {
            Ok(written) => written,
            Err(error) => {
                write.abort().await;
                return Err(error);
            }
        };
        let target = WriteTarget { name: name.clone(), id, version, data_version: Some(data_version), removed };
        let files = partitions.iter().flat_map(|partition| &partition.files);
        let versions = files.map(|file| file_version(&ready.target.location.store_url, &file.meta)).collect();
        let bookmark = bookmark.map(|bookmark| bookmark.update(name.clone(), versions));
        let end = Change::CommitWrite { write: write.id(), target: Some(target), bookmark };
        match write.commit(vec![end]).await {
            Ok(_) => {
                ready.note_facts(&partitions).await;
                Ok(partitions)
            }
            Err(error) => {
                write.abort().await;
                Err(match error {
                    limnos_catalog::Error::Conflict { .. } => super::run::changed(&name),
                    error => error.into(),
                })
            }
        }
    };
    let written = cpu.run(work).await?;
    let new_files = written.iter().flat_map(|partition| &partition.files);
    let (new_count, new_bytes) =
        new_files.fold((0_usize, 0_u64), |(count, bytes), file| (count + 1, bytes + file.meta.size));
    let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let size = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    if !table.partition_keys.is_empty() {
        done.partitions += count(partitions.len());
    }
    done.files_before += count(file_count);
    done.files_after += count(new_count);
    done.bytes_before += size(bytes);
    done.bytes_after += size(new_bytes);
    Ok(true)
}

/// What a job has processed of the table. Its bookmark learns of the files that its own are put into in the same commit, so
/// that no row is new to it; files that it doesn't know yet stay as they are.
struct Processed {
    bookmark: Bookmark,
    known: HashMap<String, String>,
}

impl Processed {
    async fn of(chosen: &Chosen) -> Result<Option<Self>> {
        let (catalog, id) = (Arc::clone(&chosen.shared.catalog), chosen.table.id);
        let found = tokio::task::spawn_blocking(move || {
            let all = catalog.bookmarks()?;
            let mut own = all.into_iter().filter(|bookmark| bookmark.source_id == id);
            let (first, second) = (own.next(), own.next());
            let files = match &first {
                Some(bookmark) => catalog.bookmark_files(&bookmark.name)?,
                None => None,
            };
            Ok::<_, limnos_catalog::Error>((files, second.is_some()))
        });
        let (files, has_more) =
            found.await.map_err(|error| Error::internal(format!("a look into the catalog stopped: {error}")))??;
        if has_more {
            let message = format!("table \"{}\" is read by several jobs with bookmarks", chosen.table.name);
            return Err(Error::new(ErrorCode::ObjectNotInPrerequisiteState, message)
                .with_detail("Files that are put together would be new to some of them.")
                .with_hint("SHOW BOOKMARKS lists them; RESET BOOKMARK forgets one."));
        }
        Ok(files.map(|(bookmark, known)| Self { bookmark, known }))
    }

    fn knows(&self, location: &Location, file: &File) -> bool {
        let version = file_version(&location.store_url, &file.meta);
        self.known.get(&version.location) == Some(&version.version)
    }

    fn update(self, source: TableName, files: Vec<FileVersion>) -> BookmarkUpdate {
        BookmarkUpdate { name: self.bookmark.name, source, base_version: Some(self.bookmark.version), files }
    }
}

/// Of each partition the small files, if putting them together makes fewer.
fn small_files(files: Vec<File>, target_bytes: u64) -> Vec<File> {
    let limit = (target_bytes / SMALL_DENOMINATOR).saturating_mul(SMALL_NUMERATOR);
    let mut chosen = Vec::new();
    let mut rest = files.into_iter().filter(|file| file.meta.size < limit).peekable();
    while let Some(first) = rest.next() {
        let mut group = vec![first];
        while let Some(next) = rest.next_if(|next| next.partition == group[0].partition) {
            group.push(next);
        }
        let bytes: u64 = group.iter().map(|file| file.meta.size).sum();
        let count_after = bytes.div_ceil(target_bytes.max(1)).max(1);
        if (group.len() as u64) > count_after {
            chosen.append(&mut group);
        }
    }
    chosen
}
