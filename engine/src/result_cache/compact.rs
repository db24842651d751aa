//! Batches made small before they are kept: a filter's twelve rows may hold on to the megabytes that they were found in.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, make_array};
use arrow::datatypes::DataType;
use datafusion::common::scalar::copy_array_data;

use crate::{Error, Result};

/// What a batch takes beside its values.
const BATCH_BYTES: usize = 256;

/// What a column takes beside its values.
const COLUMN_BYTES: usize = 128;

/// `batch`, holding little more than its own values, and the bytes that it holds.
pub(crate) fn compact(batch: &RecordBatch) -> Result<(RecordBatch, usize)> {
    let columns: Vec<ArrayRef> = batch.columns().iter().map(compact_column).collect();
    let bytes = columns.iter().map(|column| column.get_array_memory_size() + COLUMN_BYTES).sum::<usize>() + BATCH_BYTES;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let batch = RecordBatch::try_new_with_options(batch.schema(), columns, &options)
        .map_err(|error| Error::internal(error.to_string()))?;
    Ok((batch, bytes))
}

fn compact_column(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Utf8View => Arc::new(column.as_string_view().gc()),
        DataType::BinaryView => Arc::new(column.as_binary_view().gc()),
        _ => {
            let data = column.to_data();
            // A slice holds all of what it is a slice of.
            let own = data.get_slice_memory_size().unwrap_or(0);
            if data.get_array_memory_size() > 2 * own + 1024 {
                make_array(copy_array_data(&data))
            } else {
                Arc::clone(column)
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use arrow::array::{Int64Array, StringArray, StringViewArray};

    use super::*;

    #[test]
    fn a_few_rows_of_many_take_little() {
        let text: Vec<String> = (0..10_000).map(|row| format!("a text that is too long for a view, {row}")).collect();
        let batch = RecordBatch::try_from_iter([
            ("views", Arc::new(StringViewArray::from_iter_values(&text)) as ArrayRef),
            ("texts", Arc::new(StringArray::from_iter_values(&text)) as ArrayRef),
            ("numbers", Arc::new(Int64Array::from_iter_values(0..10_000)) as ArrayRef),
        ])
        .unwrap();
        let (whole, whole_bytes) = compact(&batch).unwrap();
        assert_eq!(whole, batch);
        assert!(whole_bytes > 900_000, "{whole_bytes}");
        let (few, few_bytes) = compact(&batch.slice(5_000, 3)).unwrap();
        assert_eq!(few, batch.slice(5_000, 3));
        assert!(few_bytes < 4_000, "{few_bytes}");
    }
}
