//! [`Slots`]: the rows of the batch that a decoder fills, of which some may turn out to be none.
//!
//! Values go into the columns one by one, and the last of a row may be the wrong one. What is in the columns can't be taken
//! out again: the row's slot is marked, and left out when the batch is made.

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::buffer::BooleanBuffer;
use arrow::compute::filter;
use arrow::datatypes::SchemaRef;

use crate::{Error, ErrorCode, Result};

/// See the module.
#[derive(Debug)]
pub(super) struct Slots {
    schema: SchemaRef,
    /// Slots in the columns.
    filled: usize,
    /// Those that are no rows, in order.
    dropped: Vec<usize>,
    bytes: usize,
}

impl Slots {
    pub(super) fn new(schema: SchemaRef) -> Self {
        Self { schema, filled: 0, dropped: Vec::new(), bytes: 0 }
    }

    /// The columns have a row more, of `bytes` of text.
    pub(super) fn keep(&mut self, bytes: usize) {
        self.filled += 1;
        self.bytes += bytes;
    }

    /// A row of `bytes` of text was none; the columns may have a slot for it.
    pub(super) fn leave_out(&mut self, bytes: usize, has_slot: bool) {
        if has_slot {
            self.dropped.push(self.filled);
            self.filled += 1;
        }
        self.bytes += bytes;
    }

    /// Slots, rows or not.
    pub(super) fn filled(&self) -> usize {
        self.filled
    }

    /// The size of their text, with that of what is left out.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The rows as a batch, made of what the columns hold: those of the schema, and behind them those that were only looked at.
    pub(super) fn take(&mut self, mut columns: Vec<ArrayRef>) -> Result<RecordBatch> {
        let defect = |error: arrow::error::ArrowError| Error::new(ErrorCode::Internal, error.to_string());
        columns.truncate(self.schema.fields().len());
        let rows = self.filled - self.dropped.len();
        if !self.dropped.is_empty() {
            let mut dropped = self.dropped.iter().copied().peekable();
            let keep = BooleanBuffer::collect_bool(self.filled, |slot| dropped.next_if_eq(&slot).is_none());
            let keep = BooleanArray::new(keep, None);
            columns = columns.iter().map(|column| filter(column, &keep)).collect::<Result<_, _>>().map_err(defect)?;
        }
        self.filled = 0;
        self.dropped.clear();
        self.bytes = 0;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options).map_err(defect)
    }
}
