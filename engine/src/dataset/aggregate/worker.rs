//! One thread's part of an aggregation: takes chunk after chunk, and gathers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::SchemaRef;
use datafusion::common::{Result, exec_datafusion_err};
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::metrics::{Count as Counter, Time};
use limnos_columnar::aggregate::{BLOCK_ROWS, Groups, KeyColumn, KeySpace, Rows};
use limnos_columnar::{Chunk, Codes, Selection};

use super::gather::{Block, Gathered, Gathering};
use super::key::Key;
use super::scan::Scan;
use crate::dataset::predicate::rows_error;

/// An aggregation of a scan, ready to be run any number of times.
#[derive(Debug)]
pub(super) struct Aggregation {
    pub(super) scan: Scan,
    pub(super) keys: Vec<Key>,
    pub(super) space: KeySpace,
    pub(super) gatherings: Vec<Gathering>,
    /// The table's columns that are wanted as integers.
    pub(super) slots: Vec<usize>,
    /// What DataFusion computes, of the columns of `computed_schema`, which are `computed_columns` of the table.
    pub(super) computed: Vec<Arc<dyn PhysicalExpr>>,
    pub(super) computed_columns: Vec<usize>,
    pub(super) computed_schema: SchemaRef,
}

/// What a run's threads share.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) aggregation: Arc<Aggregation>,
    /// The next chunk that nobody has taken.
    pub(super) next: AtomicUsize,
    pub(super) rows: Counter,
    pub(super) chunks: Counter,
    pub(super) time: Time,
}

/// What one thread has gathered.
pub(super) struct Part {
    pub(super) groups: Groups,
    pub(super) gathered: Vec<Gathered>,
    pub(super) has_rows: bool,
    memory: MemoryReservation,
    buffers: Buffers,
}

/// Used again for each block.
#[derive(Default)]
struct Buffers {
    ids: Vec<u32>,
    slots: Vec<(Vec<i64>, Option<NullBuffer>)>,
}

impl Run {
    /// Takes chunks until there is none.
    pub(super) async fn work(self: Arc<Self>, memory: MemoryReservation) -> Result<Part> {
        let aggregation = &self.aggregation;
        let mut part = Part::new(aggregation, memory)?;
        while let Some(chunk) = aggregation.scan.table.chunks().get(self.next.fetch_add(1, Ordering::Relaxed)) {
            let rows = {
                let _timer = self.time.timer();
                part.add_chunk(aggregation, chunk)?
            };
            self.rows.add(rows);
            self.chunks.add(usize::from(rows > 0));
            // A chunk takes about a millisecond. Here the query's task may be aborted, and others get their turn.
            tokio::task::yield_now().await;
        }
        Ok(part)
    }
}

impl Part {
    fn new(aggregation: &Aggregation, memory: MemoryReservation) -> Result<Self> {
        let gathered = aggregation
            .gatherings
            .iter()
            .map(|gathering| Gathered::new(gathering, &aggregation.scan.table, &aggregation.slots))
            .collect::<Result<_>>()?;
        let groups = Groups::new(aggregation.space.groups());
        memory.try_grow(groups.size())?;
        Ok(Self { groups, gathered, has_rows: false, memory, buffers: Buffers::default() })
    }

    /// Adds the rows of a chunk that the scan's filter lets through, and says how many they are.
    fn add_chunk(&mut self, aggregation: &Aggregation, chunk: &Chunk) -> Result<usize> {
        let selection = aggregation.scan.select(chunk)?;
        let count = selection.len();
        for start in (0..count).step_by(BLOCK_ROWS) {
            self.add_block(aggregation, chunk, &selection, start..(start + BLOCK_ROWS).min(count))?;
        }
        if count > 0 {
            self.has_rows = true;
            let size = self.groups.size() + self.gathered.iter().map(Gathered::size).sum::<usize>();
            self.memory.try_resize(size)?;
        }
        Ok(count)
    }

    fn add_block(
        &mut self,
        aggregation: &Aggregation,
        chunk: &Chunk,
        selection: &Selection,
        range: std::ops::Range<usize>,
    ) -> Result<()> {
        let rows = match selection {
            Selection::All(_) => Rows::Range(range.clone()),
            Selection::Rows(rows) => Rows::Picked(&rows[range.clone()]),
        };
        let Buffers { ids, slots } = &mut self.buffers;
        // Booleans are kept as bits, and become codes here.
        let bytes: Vec<Option<Vec<u8>>> = aggregation.keys.iter().map(|key| boolean_codes(chunk, key)).collect();
        let nulls: Vec<Option<NullBuffer>> =
            aggregation.keys.iter().map(|key| chunk.column(key.column).nulls()).collect();
        let keys = aggregation
            .keys
            .iter()
            .zip(bytes.iter().zip(&nulls))
            .map(|(key, (bytes, nulls))| key_column(chunk, key, bytes.as_deref(), nulls.as_ref()))
            .collect::<Result<Vec<_>>>()?;
        aggregation.space.groups_of(&keys, &rows, ids);
        self.groups.add(ids);

        slots.resize_with(aggregation.slots.len(), Default::default);
        for (column, (values, valid)) in aggregation.slots.iter().zip(slots.iter_mut()) {
            let column = chunk.column(*column);
            let coded = column.coded().ok_or_else(|| exec_datafusion_err!("a column has no codes"))?;
            rows.integers(coded.codes, coded.base as i64, values);
            *valid = coded.nulls.and_then(|nulls| chosen(nulls, &rows));
        }

        let computed = match aggregation.computed.is_empty() {
            true => Vec::new(),
            false => compute(aggregation, chunk, selection, range)?,
        };
        let block = Block { ids, places: self.groups.places(), slots, computed: &computed };
        for (gathered, gathering) in self.gathered.iter_mut().zip(&aggregation.gatherings) {
            gathered.add(gathering, &block)?;
        }
        Ok(())
    }

    /// Adds what another thread gathered.
    pub(super) fn merge(&mut self, other: Part) -> Result<()> {
        if !other.has_rows {
            return Ok(());
        }
        if !self.has_rows {
            *self = other;
            return Ok(());
        }
        let places = self.groups.merge(&other.groups);
        for (ours, theirs) in self.gathered.iter_mut().zip(other.gathered) {
            ours.merge(theirs, &places, self.groups.places())?;
        }
        let size = self.groups.size() + self.gathered.iter().map(Gathered::size).sum::<usize>();
        self.memory.try_resize(size)
    }
}

fn key_column<'a>(
    chunk: &'a Chunk,
    key: &'a Key,
    bytes: Option<&'a [u8]>,
    nulls: Option<&'a NullBuffer>,
) -> Result<KeyColumn<'a>> {
    let (codes, shift) = match (bytes, chunk.column(key.column).coded()) {
        (Some(bytes), _) => (Codes::U8(bytes), 0),
        // Of a chunk that has nothing but NULLs the base means nothing.
        (None, Some(coded)) => (coded.codes, u32::try_from(coded.base - key.first).unwrap_or(0)),
        (None, None) => return Err(exec_datafusion_err!("a key has no codes")),
    };
    Ok(KeyColumn { codes, shift, map: key.map.as_deref(), validity: nulls, null_digit: key.null_digit.unwrap_or(0) })
}

fn boolean_codes(chunk: &Chunk, key: &Key) -> Option<Vec<u8>> {
    let values = chunk.column(key.column).array()?.as_boolean_opt()?;
    Some(values.values().iter().map(u8::from).collect())
}

/// Which of some rows are not NULL; `None` where all are not.
fn chosen(nulls: &NullBuffer, rows: &Rows<'_>) -> Option<NullBuffer> {
    let chosen = match rows {
        Rows::Range(range) => nulls.slice(range.start, range.len()),
        Rows::Picked(rows) => {
            NullBuffer::new(BooleanBuffer::collect_bool(rows.len(), |at| nulls.is_valid(rows[at] as usize)))
        }
    };
    (chosen.null_count() > 0).then_some(chosen)
}

/// What DataFusion makes of some rows.
fn compute(
    aggregation: &Aggregation,
    chunk: &Chunk,
    selection: &Selection,
    range: std::ops::Range<usize>,
) -> Result<Vec<ArrayRef>> {
    let columns = aggregation
        .computed_columns
        .iter()
        .map(|column| chunk.read(*column, selection, range.clone()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(rows_error)?;
    let options = RecordBatchOptions::new().with_row_count(Some(range.len()));
    let batch = RecordBatch::try_new_with_options(Arc::clone(&aggregation.computed_schema), columns, &options)?;
    aggregation.computed.iter().map(|expr| expr.evaluate(&batch)?.into_array(range.len())).collect()
}
