//! [`RowSink`]: rows -> files in the folders of their partitions, in bounded memory, however many partitions there are.
//!
//! ```text
//! batches ── few partitions: a file is open for each ── rolled at the target size
//!        └── the 65th partition: what is open is closed, the rest is sorted by key (on disk if need be) and
//!            written one partition after the other
//! ```
//! The cost of many partitions is that sort, and up to 64 partitions with one more file; no order of rows makes more files
//! than twice the partitions, but for those that roll. What files hold in memory is charged to the query; beyond its share the
//! largest is closed, and the partition's next rows begin another file.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array, UInt64Array};
use arrow::compute::{CastOptions, SortOptions, cast_with_options, take_record_batch};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use arrow::row::RowConverter;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use datafusion::physical_plan::execute_stream;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use futures::StreamExt;
use parking_lot::Mutex;
use tokio::task::JoinSet;

use super::file::{FileOptions, FileWriter, WrittenFile};
use super::folder::{Folder, Folders};
use super::open::OpenWrite;
use crate::execute::BatchStream;
use crate::scan::store::{Location, Stores};
use crate::{Error, Result};

/// Partitions that have a file open at the same time: each holds some megabytes.
const OPEN_MAX: usize = 64;

/// Files that are being ended at the same time: each waits for the disk, or for answers of an object store.
const CLOSING_MAX: usize = 16;

/// The size at which a file is ended and the next one begun: large enough to be read at full speed, small enough that several
/// threads have something to read.
pub(crate) const TARGET_FILE_BYTES: u64 = 256 << 20;

/// What rows are written into.
pub(crate) struct RowTarget {
    /// For messages.
    pub(crate) table: String,
    pub(crate) location: Arc<Location>,
    pub(crate) stores: Arc<Stores>,
    pub(crate) options: FileOptions,
    /// The columns inside the files; they come first in the rows.
    pub(crate) file_schema: SchemaRef,
    /// The partition keys; they come last.
    pub(crate) keys: Vec<FieldRef>,
    pub(crate) folders: Folders,
    pub(crate) target_bytes: u64,
    /// What open files may hold in memory.
    pub(crate) memory_bytes: usize,
    /// Whether rows come in an order that files are to keep.
    pub(crate) keeps_order: bool,
}

/// A partition that rows were written into, and its files.
#[derive(Debug)]
pub(crate) struct WrittenPartition {
    pub(crate) folder: Folder,
    pub(crate) files: Vec<WrittenFile>,
}

/// See the module.
pub(crate) struct RowSink<'a> {
    target: &'a RowTarget,
    write: &'a mut OpenWrite,
    converter: Option<RowConverter>,
    reservation: MemoryReservation,
    /// By the bytes of their key values.
    numbers: HashMap<Box<[u8]>, usize>,
    partitions: Vec<WrittenPartition>,
    /// Open files, by the number of their partition.
    open: HashMap<usize, FileWriter>,
    /// Files that are being ended: the partition's number, what they held in memory, and what became of them.
    closing: JoinSet<(usize, usize, Result<WrittenFile>)>,
    closing_bytes: usize,
    row_count: u64,
}

/// Writes all rows of `batches`. Gives the partitions and how many rows there were.
///
/// # Errors
/// Those of the rows, and of writing. What was written is for the caller to take back.
pub(crate) async fn write_rows(
    target: &RowTarget,
    write: &mut OpenWrite,
    batches: BatchStream,
    task: &Arc<TaskContext>,
) -> Result<(Vec<WrittenPartition>, u64)> {
    let reservation = MemoryConsumer::new("files being written").register(task.memory_pool());
    let converter = if target.keys.is_empty() { None } else { Some(super::folder::converter(&target.keys)?) };
    let mut sink = RowSink {
        target,
        write,
        converter,
        reservation,
        numbers: HashMap::new(),
        partitions: Vec::new(),
        open: HashMap::new(),
        closing: JoinSet::new(),
        closing_bytes: 0,
        row_count: 0,
    };
    let written = sink.write_all(batches, task).await;
    if written.is_err() {
        // What is under way ends first, so that it can be deleted.
        while sink.closing.join_next().await.is_some() {}
    }
    written?;
    Ok((sink.partitions, sink.row_count))
}

impl RowSink<'_> {
    async fn write_all(&mut self, batches: BatchStream, task: &Arc<TaskContext>) -> Result<()> {
        let target = self.target;
        let schema = target.schema();
        let mut batches = batches.map(move |batch| batch.and_then(|batch| conform(&batch, &schema))).boxed();
        while let Some(batch) = batches.next().await {
            let Some(left) = self.write(&batch?, OPEN_MAX).await? else { continue };
            self.close_all().await?;
            let mut sorted = sort(target, left, batches, task)?;
            while let Some(batch) = sorted.next().await {
                let batch = batch?;
                let columns: Vec<usize> = (0..target.file_schema.fields().len() + target.keys.len()).collect();
                let batch = batch.project(&columns).map_err(|error| Error::internal(error.to_string()))?;
                self.write(&batch, 1).await?;
            }
            break;
        }
        self.close_all().await?;
        while !self.closing.is_empty() {
            self.wait_for_one().await?;
        }
        Ok(())
    }

    /// Writes the rows of `batch`. With `open_max` 1 files are closed to open others; else what would need more open files
    /// than that is given back.
    async fn write(&mut self, batch: &RecordBatch, open_max: usize) -> Result<Option<RecordBatch>> {
        if batch.num_rows() == 0 {
            return Ok(None);
        }
        let file_columns = self.target.file_schema.fields().len();
        let columns = batch.columns()[..file_columns].to_vec();
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let rows = RecordBatch::try_new_with_options(Arc::clone(&self.target.file_schema), columns, &options)
            .map_err(|error| Error::internal(error.to_string()))?;
        let groups = self.groups(batch, file_columns)?;
        let mut left = Vec::new();
        let is_one = groups.len() == 1;
        for (number, indexes) in groups {
            if !self.open.contains_key(&number) && self.open.len() >= open_max {
                if open_max > 1 {
                    left.extend(indexes);
                    continue;
                }
                self.close_all().await?;
            }
            if is_one {
                self.write_to(number, &rows).await?;
            } else {
                let part = take_record_batch(&rows, &UInt32Array::from(indexes))
                    .map_err(|error| Error::internal(error.to_string()))?;
                self.write_to(number, &part).await?;
            }
        }
        if left.is_empty() {
            return Ok(None);
        }
        left.sort_unstable();
        let left = take_record_batch(batch, &UInt32Array::from(left));
        left.map(Some).map_err(|error| Error::internal(error.to_string()))
    }

    /// The numbers of the partitions in a batch, in the order of their first rows, with the places of their rows.
    fn groups(&mut self, batch: &RecordBatch, file_columns: usize) -> Result<Vec<(usize, Vec<u32>)>> {
        let row_count = u32::try_from(batch.num_rows()).map_err(|_| Error::internal("a batch is too large"))?;
        let keys: Vec<ArrayRef> = batch.columns()[file_columns..].to_vec();
        let Some(converter) = &self.converter else {
            let number = self.number(&keys, 0, &[])?;
            return Ok(vec![(number, (0..row_count).collect())]);
        };
        let bytes = converter.convert_columns(&keys).map_err(|error| Error::internal(error.to_string()))?;
        let mut groups: Vec<(usize, Vec<u32>)> = Vec::new();
        let mut places: HashMap<usize, usize> = HashMap::new();
        let mut last: Option<usize> = None;
        for row in 0..row_count {
            let index = row as usize;
            // Rows of a partition mostly come together.
            let place = match last.filter(|_| index > 0 && bytes.row(index) == bytes.row(index - 1)) {
                Some(place) => place,
                None => {
                    let number = self.number(&keys, index, bytes.row(index).as_ref())?;
                    *places.entry(number).or_insert_with(|| {
                        groups.push((number, Vec::new()));
                        groups.len() - 1
                    })
                }
            };
            groups[place].1.push(row);
            last = Some(place);
        }
        Ok(groups)
    }

    /// The number of the partition that a row is in.
    fn number(&mut self, keys: &[ArrayRef], row: usize, bytes: &[u8]) -> Result<usize> {
        if let Some(number) = self.numbers.get(bytes) {
            return Ok(*number);
        }
        let folder = self.target.folders.folder(self.target, keys, row, bytes)?;
        let number = self.partitions.len();
        self.partitions.push(WrittenPartition { folder, files: Vec::new() });
        self.numbers.insert(bytes.into(), number);
        Ok(number)
    }

    async fn write_to(&mut self, number: usize, rows: &RecordBatch) -> Result<()> {
        if !self.open.contains_key(&number) {
            let writer = self.open_file(number).await?;
            self.open.insert(number, writer);
        }
        let writer = self.open.get_mut(&number).ok_or_else(|| Error::internal("an open file is closed"))?;
        writer.write(rows).await?;
        self.row_count += rows.num_rows() as u64;
        if writer.bytes_written() >= self.target.target_bytes {
            self.close(number).await?;
        }
        self.bound_memory().await
    }

    async fn open_file(&mut self, number: usize) -> Result<FileWriter> {
        let RowTarget { location, options, file_schema, .. } = self.target;
        let folder = &self.partitions[number].folder;
        if let Some(own) = &folder.own
            && self.partitions[number].files.is_empty()
            && !folder.path.prefix_matches(&location.path)
        {
            self.write.widen(own.clone()).await?;
        }
        let path = self.write.next_file(location, &folder.path, "", &options.extension())?;
        FileWriter::create(Arc::clone(&location.store), path, Arc::clone(file_schema), options)
    }

    /// Charges what files hold, and closes the largest while it is too much.
    async fn bound_memory(&mut self) -> Result<()> {
        loop {
            let held = self.open.values().map(FileWriter::memory_size).sum::<usize>() + self.closing_bytes;
            if held <= self.target.memory_bytes && self.reservation.try_resize(held).is_ok() {
                return Ok(());
            }
            if !self.closing.is_empty() {
                self.wait_for_one().await?;
                continue;
            }
            let largest = self.open.iter().max_by_key(|(_, writer)| writer.memory_size()).map(|(number, _)| *number);
            let Some(largest) = largest else { return Ok(()) };
            self.close(largest).await?;
        }
    }

    async fn close(&mut self, number: usize) -> Result<()> {
        let Some(writer) = self.open.remove(&number) else { return Ok(()) };
        while self.closing.len() >= CLOSING_MAX {
            self.wait_for_one().await?;
        }
        let bytes = writer.memory_size();
        self.closing_bytes += bytes;
        self.closing.spawn(async move { (number, bytes, writer.finish().await) });
        Ok(())
    }

    /// Takes what has become of a file that was being ended.
    async fn wait_for_one(&mut self) -> Result<()> {
        let Some(ended) = self.closing.join_next().await else { return Ok(()) };
        let (number, bytes, file) = ended.map_err(|error| Error::internal(format!("a file was not ended: {error}")))?;
        self.closing_bytes -= bytes;
        self.partitions[number].files.push(file?);
        Ok(())
    }

    async fn close_all(&mut self) -> Result<()> {
        // In the order in which they were begun, for reproducible results.
        let mut numbers: Vec<usize> = self.open.keys().copied().collect();
        numbers.sort_unstable();
        for number in numbers {
            self.close(number).await?;
        }
        self.bound_memory().await
    }
}

impl RowTarget {
    /// The columns inside the files, then the keys.
    fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(self.file_schema.fields().iter().chain(&self.keys).cloned().collect::<Vec<_>>()))
    }
}

/// `batch` with exactly the types of `schema`: an optimizer may keep a text as another kind of text.
fn conform(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let columns = batch.columns().iter().zip(schema.fields()).map(|(column, field)| {
        if column.data_type() == field.data_type() {
            return Ok(Arc::clone(column));
        }
        let options = CastOptions { safe: false, ..Default::default() };
        cast_with_options(column, field.data_type(), &options)
            .map_err(|error| Error::from(datafusion::error::DataFusionError::from(error)))
    });
    let columns = columns.collect::<Result<Vec<ArrayRef>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
        .map_err(|error| Error::internal(error.to_string()))
}

/// `first` and what follows, sorted by the keys; with rows of one partition in their order, if that is to be kept.
fn sort(
    target: &RowTarget,
    first: RecordBatch,
    rest: BatchStream,
    task: &Arc<TaskContext>,
) -> Result<SendableRecordBatchStream> {
    const NUMBER: &str = "limnos row number";
    let key_start = target.file_schema.fields().len();
    let mut fields: Vec<FieldRef> = target.file_schema.fields().iter().chain(&target.keys).cloned().collect();
    let mut order: Vec<PhysicalSortExpr> = (target.keys.iter().enumerate())
        .map(|(index, key)| {
            let column = Arc::new(Column::new(key.name(), key_start + index));
            PhysicalSortExpr::new(column, SortOptions::default())
        })
        .collect();
    if target.keeps_order {
        let column = Arc::new(Column::new(NUMBER, fields.len()));
        fields.push(Arc::new(Field::new(NUMBER, DataType::UInt64, false)));
        order.push(PhysicalSortExpr::new(column, SortOptions::default()));
    }
    let schema = Arc::new(Schema::new(fields));
    let (own, keeps_order) = (Arc::clone(&schema), target.keeps_order);
    let mut row_number = 0_u64;
    let batches = futures::stream::once(std::future::ready(Ok(first))).chain(rest).map(move |batch| {
        let batch = batch.map_err(crate::error::to_datafusion)?;
        let mut columns = batch.columns().to_vec();
        if keeps_order {
            let next = row_number + batch.num_rows() as u64;
            columns.push(Arc::new(UInt64Array::from_iter_values(row_number..next)));
            row_number = next;
        }
        Ok(RecordBatch::try_new(Arc::clone(&own), columns)?)
    });
    let batches: SendableRecordBatchStream = Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&schema), batches));
    let source = Rest { schema: Arc::clone(&schema), batches: Mutex::new(Some(batches)) };
    let source = StreamingTableExec::try_new(schema, vec![Arc::new(source)], None, [], false, None)?;
    let order = LexOrdering::new(order).ok_or_else(|| Error::internal("a partitioned table without keys"))?;
    Ok(execute_stream(Arc::new(SortExec::new(order, Arc::new(source))), Arc::clone(task))?)
}

/// A stream as the source of a plan, which takes it once.
struct Rest {
    schema: SchemaRef,
    batches: Mutex<Option<SendableRecordBatchStream>>,
}

impl std::fmt::Debug for Rest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rest")
    }
}

impl PartitionStream for Rest {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _ctx: Arc<TaskContext>) -> SendableRecordBatchStream {
        self.batches.lock().take().unwrap_or_else(|| {
            Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), futures::stream::empty()))
        })
    }
}
