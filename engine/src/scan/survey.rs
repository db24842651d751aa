//! A look at all files of a table, for ANALYZE, SHOW STATS and SHOW DRIFT: which there are, what is known of them, and, if
//! asked for, what their footers or their rows say.
//!
//! A file that can't be read is told beside the others. All reading is bounded in how much goes on at once, and ends when
//! the statement's future is dropped.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Field, Schema};
use datafusion::catalog::TableProvider;
use datafusion::execution::SessionState;
use datafusion::physical_plan::execute_stream;
use futures::stream::{self, StreamExt};
use limnos_catalog::facts::ColumnFacts;
use limnos_catalog::{FileFacts, FileFormat, FileVersion};
use object_store::ObjectStore;
use tokio::task::JoinSet;

use super::facts::statistics::place_of_field;
use super::facts::{Sketch, file_version, read_as};
use super::format::{arrow_ipc, avro};
use super::listing::File;
use super::parquet::{FOOTER_CONCURRENCY, FileKey, SmallFiles};
use super::schema::catalog_field_type;
use super::store::{MeteredStore, StoreCounters};
use super::table::CatalogTable;
use crate::prune::KeptPartitions;
use crate::{Error, Result};

/// Files whose rows are read at the same time.
const SCANS_AT_ONCE: usize = 4;

/// A table opened for a look at its files, and the session that reads them.
pub struct OpenTable {
    pub(crate) table: CatalogTable,
    pub(crate) state: SessionState,
    /// All of its partitions.
    pub(crate) partitions: KeptPartitions,
}

/// A file, and what is known of it.
#[derive(Debug, Clone)]
pub(crate) struct SurveyedFile {
    pub(crate) file: File,
    pub(crate) version: FileVersion,
    pub(crate) facts: Option<Arc<FileFacts>>,
    /// The file's own columns, where it tells them.
    pub(crate) columns: Option<Vec<ColumnFacts>>,
    /// Why it couldn't be read.
    pub(crate) error: Option<Error>,
}

impl OpenTable {
    /// Opens `table` for the session that `state` is of.
    ///
    /// # Errors
    /// A projected table of more partitions than are ever read, or one whose partitions only a predicate can name.
    pub(crate) fn new(table: CatalogTable, state: SessionState) -> Result<Self> {
        let partitions = table.partitions.prune(&state, &table.schema(), &[])?;
        if !partitions.index.list.storages.is_empty() {
            let message = "statistics of tables with partitions in a format of their own are not supported yet";
            return Err(Error::unsupported(message));
        }
        Ok(Self { table, state, partitions })
    }

    /// The files of the partitions that `keep` lets pass, with what is known of them.
    pub(crate) async fn files(&self, keep: impl Fn(usize) -> bool) -> Result<Vec<SurveyedFile>> {
        let table = &self.table;
        let location = table.context.stores.resolve(&table.storage.location)?;
        let store = self.store()?;
        let all = &self.partitions;
        let kept = KeptPartitions {
            index: Arc::clone(&all.index),
            kept: all.kept.iter().copied().filter(|partition| keep(*partition)).collect(),
            total: all.total,
            is_projected: all.is_projected,
            notices: Vec::new(),
        };
        let files = table.list(store.as_ref(), &location, &kept).await?;
        let versions: Vec<FileVersion> =
            files.iter().map(|file| file_version(&location.store_url, &file.meta)).collect();
        let read_as = read_as(&table.table.definition, &table.storage);
        let facts = table.context.known.get(&versions, read_as.as_deref());
        let files = files.into_iter().zip(versions).zip(facts);
        Ok(files
            .map(|((file, version), facts)| {
                let columns = facts.as_ref().filter(|facts| facts.read_as.is_none()).map(|facts| facts.columns.clone());
                SurveyedFile { file, version, facts, columns, error: None }
            })
            .collect())
    }

    fn store(&self) -> Result<Arc<dyn ObjectStore>> {
        let location = self.table.context.stores.resolve(&self.table.storage.location)?;
        let counters = Arc::new(StoreCounters::default());
        let metered = MeteredStore::new(Arc::clone(&location.store), counters, Arc::clone(&self.table.run.stats));
        self.table.with_listings(Arc::new(metered), &location)
    }

    /// Reads the footers of those files of which nothing is known, where the format has footers.
    pub(crate) async fn read_footers(&self, files: &mut [SurveyedFile]) -> Result<()> {
        let table = &self.table;
        let store_url: Arc<str> = Arc::from(table.context.stores.resolve(&table.storage.location)?.store_url.as_str());
        let (store, format) = (self.store()?, table.storage.format);
        let reads = files.iter().enumerate().filter(|(_, file)| file.columns.is_none()).map(|(index, file)| {
            let (store, footers) = (Arc::clone(&store), Arc::clone(&table.context.footers));
            let (meta, key) = (file.file.meta.clone(), FileKey::new(&store_url, &file.file.meta));
            let (name, tails) = (file.version.location.clone(), Arc::clone(&table.context.tails));
            let file_schema = Arc::clone(&table.file_schema);
            async move {
                // Small files are not wanted whole here: each look has a place of its own, gone with it.
                let read = match format {
                    FileFormat::Parquet => footers
                        .get(&key, &store, &meta, &SmallFiles::default())
                        .await
                        .map(|footer| (footer.facts.as_ref().map(|facts| facts.columns.clone()), footer.facts)),
                    FileFormat::Orc => tails.get(&key, &store, &meta).await.map(|(tail, facts)| {
                        let columns = facts.as_ref().map(|facts| facts.columns.clone());
                        (Some(columns.unwrap_or_else(|| tail.columns_of(&file_schema))), facts)
                    }),
                    FileFormat::Avro => {
                        avro::read_schema(&store, &meta, &name).await.map(|schema| (Some(columns_of(&schema)), None))
                    }
                    FileFormat::Arrow => arrow_ipc::read_footer(&store, &meta, &name)
                        .await
                        .map(|footer| (Some(columns_of(&footer.schema)), None)),
                    _ => Ok((None, None)),
                };
                (index, read)
            }
        });
        let reads: Vec<_> = reads.collect();
        let read: Vec<_> = stream::iter(reads).buffer_unordered(FOOTER_CONCURRENCY).collect().await;
        for (index, read) in read {
            match read {
                Ok((columns, facts)) => {
                    files[index].columns = columns;
                    files[index].facts = facts.or(files[index].facts.take());
                }
                Err(error) => files[index].error = Some(error),
            }
        }
        Ok(())
    }

    /// Reads all rows of the files that need it: those of which nothing is known yet, and all files for the distinct values
    /// of `columns` (places among the table's columns inside files). Writes down what it has learnt, file by file.
    pub(crate) async fn read_rows(&self, files: &mut [SurveyedFile], columns: &[usize]) -> Result<()> {
        let read_as = read_as(&self.table.table.definition, &self.table.storage);
        let mut waiting: Vec<usize> = (0..files.len()).rev().filter(|index| files[*index].error.is_none()).collect();
        waiting.retain(|index| !columns.is_empty() || files[*index].facts.is_none());
        let mut scans = JoinSet::new();
        loop {
            while scans.len() < SCANS_AT_ONCE
                && let Some(index) = waiting.pop()
            {
                let (table, state) = (self.table.clone(), self.state.clone());
                let (file, facts, columns) = (files[index].file.clone(), files[index].facts.clone(), columns.to_vec());
                let read_as = read_as.clone();
                scans.spawn(async move { (index, read_file(table, state, file, facts, columns, read_as).await) });
            }
            let Some(ended) = scans.join_next().await else { return Ok(()) };
            let (index, read) = ended.map_err(|error| Error::internal(format!("a scan stopped: {error}")))?;
            match read {
                Ok(facts) => {
                    let facts = Arc::new(facts);
                    let had_facts = files[index].facts.replace(Arc::clone(&facts)).is_some();
                    // Facts of a file that should tell them itself, and doesn't, would say that it has no columns.
                    if !had_facts && facts.read_as.is_none() {
                        continue;
                    }
                    self.table.context.known.put(&[(files[index].version.clone(), facts)])?;
                }
                Err(error) => files[index].error = Some(error),
            }
        }
    }
}

/// The columns of a file that tells no more of them.
fn columns_of(schema: &Schema) -> Vec<ColumnFacts> {
    let column = |field: &Arc<Field>| ColumnFacts {
        name: field.name().as_str().into(),
        data_type: catalog_field_type(field).ok(),
        ..ColumnFacts::default()
    };
    schema.fields().iter().map(column).collect()
}

/// The facts of a file after reading its rows.
async fn read_file(
    table: CatalogTable,
    state: SessionState,
    file: File,
    known: Option<Arc<FileFacts>>,
    columns: Vec<usize>,
    read_as: Option<Box<str>>,
) -> Result<FileFacts> {
    let fields: Vec<_> = columns.iter().map(|index| Arc::clone(&table.file_schema.fields()[*index])).collect();
    let types: Vec<_> = columns.iter().map(|index| table.table.columns[*index].data_type.clone()).collect();
    let plan = table.with_files(vec![file]).plan(&state, Some(&columns), &[], None).await?;
    let mut batches = execute_stream(plan, crate::plan::options::task(&state))?;
    let mut row_count = 0;
    let mut looks: Vec<(Sketch, bool, u64)> = vec![(Sketch::default(), true, 0); columns.len()];
    while let Some(batch) = batches.next().await {
        let batch: RecordBatch = batch?;
        row_count += batch.num_rows() as u64;
        for ((sketch, counts, nulls), values) in looks.iter_mut().zip(batch.columns()) {
            let values: &ArrayRef = values;
            *counts &= sketch.add(values);
            *nulls += values.null_count() as u64;
        }
    }
    let mut facts = match known {
        Some(known) => FileFacts::clone(&known),
        None => FileFacts { row_count, row_group_count: 0, read_as, columns: Vec::new() },
    };
    for ((field, data_type), (sketch, counts, nulls)) in fields.iter().zip(types).zip(looks) {
        let name = field.name().as_str();
        let place = place_of_field(&facts.columns, field);
        let column = match place {
            Some(place) => &mut facts.columns[place],
            // Of a text file the table's columns are told; a column that a Parquet file lacks stays so.
            None if facts.read_as.is_some() => {
                let new = ColumnFacts { name: name.into(), data_type: Some(data_type), ..ColumnFacts::default() };
                facts.columns.push(new);
                let last = facts.columns.len() - 1;
                &mut facts.columns[last]
            }
            None => continue,
        };
        column.sketch = counts.then(|| sketch.to_bytes());
        if facts.read_as.is_some() {
            column.null_count = Some(nulls);
        }
    }
    Ok(facts)
}
