//! One version of a table: parts, their chunks, what is known of its columns.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;

use crate::build::SortKey;
use crate::column::Column;
use crate::dictionary::Dictionary;
use crate::filter::Selection;
use crate::statistics::{ColumnStatistics, all_statistics};
use crate::{Error, Result};

/// Some rows of a table, column by column.
#[derive(Clone, Debug)]
pub struct Chunk {
    pub(crate) rows: usize,
    pub(crate) columns: Vec<Column>,
}

impl Chunk {
    /// How many rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// A column, which must be one of the table's.
    #[must_use]
    pub fn column(&self, column: usize) -> &Column {
        &self.columns[column]
    }

    /// All columns, in the table's order.
    #[must_use]
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// `range` of the rows that are selected, of one column.
    pub fn read(&self, column: usize, selection: &Selection, range: Range<usize>) -> Result<ArrayRef> {
        match selection {
            Selection::All(_) => self.columns[column].range(range),
            Selection::Rows(rows) => self.columns[column].rows(&rows[range]),
        }
    }
}

/// What one source gave: the unit in which a refresh replaces rows, and a file on disk.
#[derive(Debug)]
pub struct Part {
    pub(crate) key: String,
    /// Unlike every other part's, ever: names its file.
    pub(crate) id: u128,
    pub(crate) rows: u64,
    pub(crate) chunks: Vec<Arc<Chunk>>,
}

impl Part {
    /// What its source is called.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// How many rows.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Its chunks, in order.
    #[must_use]
    pub fn chunks(&self) -> &[Arc<Chunk>] {
        &self.chunks
    }
}

/// A part, told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartInfo<'a> {
    /// What its source is called.
    pub key: &'a str,
    /// How many rows.
    pub rows: u64,
    /// Heap bytes, without the dictionaries'.
    pub bytes: usize,
}

#[derive(Debug)]
pub(crate) struct Version {
    pub(crate) schema: SchemaRef,
    pub(crate) parts: Vec<Arc<Part>>,
    pub(crate) dictionaries: Vec<Option<Arc<Dictionary>>>,
    pub(crate) order_by: Vec<SortKey>,
    /// Whether all rows, chunk after chunk, are in the order of `order_by`.
    pub(crate) is_ordered: bool,
    pub(crate) chunk_rows: usize,
    chunks: Vec<Arc<Chunk>>,
    statistics: Vec<ColumnStatistics>,
    rows: u64,
    memory_bytes: usize,
    plain_bytes: u64,
}

/// One immutable version of a table. A clone is the same version; versions share the parts that they have in common.
#[derive(Clone, Debug)]
pub struct Table {
    pub(crate) version: Arc<Version>,
}

/// What a table is made of.
pub(crate) struct Contents {
    pub(crate) schema: SchemaRef,
    pub(crate) parts: Vec<Arc<Part>>,
    pub(crate) dictionaries: Vec<Option<Arc<Dictionary>>>,
    pub(crate) order_by: Vec<SortKey>,
    pub(crate) chunk_rows: usize,
}

impl Table {
    pub(crate) fn new(contents: Contents) -> Result<Self> {
        let Contents { schema, parts, dictionaries, order_by, chunk_rows } = contents;
        let chunks: Vec<Arc<Chunk>> = parts.iter().flat_map(|part| part.chunks.iter().cloned()).collect();
        let statistics = all_statistics(&schema, &chunks, &dictionaries)?;
        let is_ordered = !order_by.is_empty() && crate::build::is_ordered(&parts, &order_by)?;
        let columns = || chunks.iter().flat_map(|chunk| &chunk.columns);
        let memory_bytes = columns().map(|column| size_of::<Column>() + column.memory_bytes()).sum::<usize>()
            + dictionaries.iter().flatten().map(|dictionary| dictionary.memory_bytes()).sum::<usize>()
            + parts.iter().map(|part| size_of::<Part>() + part.key.capacity()).sum::<usize>();
        let plain_bytes = columns().map(|column| column.plain_bytes).sum();
        let rows = parts.iter().map(|part| part.rows).sum();
        let version = Version {
            schema,
            parts,
            dictionaries,
            order_by,
            is_ordered,
            chunk_rows,
            chunks,
            statistics,
            rows,
            memory_bytes,
            plain_bytes,
        };
        Ok(Self { version: Arc::new(version) })
    }

    /// Its columns, as they are read.
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        &self.version.schema
    }

    /// How many rows.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.version.rows
    }

    /// Heap bytes that it holds, those included that it shares with other versions.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.version.memory_bytes
    }

    /// What the rows would take as Arrow arrays.
    #[must_use]
    pub fn plain_bytes(&self) -> u64 {
        self.version.plain_bytes
    }

    /// Its parts.
    pub fn parts(&self) -> impl Iterator<Item = PartInfo<'_>> {
        self.version.parts.iter().map(|part| PartInfo {
            key: &part.key,
            rows: part.rows,
            bytes: part.chunks.iter().flat_map(|chunk| &chunk.columns).map(Column::memory_bytes).sum(),
        })
    }

    /// The chunks of all parts, in order.
    #[must_use]
    pub fn chunks(&self) -> &[Arc<Chunk>] {
        &self.version.chunks
    }

    /// The dictionary that all chunks' codes of a column are places in. `None`: the column has none.
    #[must_use]
    pub fn dictionary(&self, column: usize) -> Option<&Arc<Dictionary>> {
        self.version.dictionaries.get(column)?.as_ref()
    }

    /// What is known of a column, which must be one of the table's. Exact.
    #[must_use]
    pub fn statistics(&self, column: usize) -> &ColumnStatistics {
        &self.version.statistics[column]
    }

    /// The order of the rows within each part.
    #[must_use]
    pub fn order_by(&self) -> &[SortKey] {
        &self.version.order_by
    }

    /// Whether the rows are in that order all through, chunk after chunk.
    #[must_use]
    pub fn is_ordered(&self) -> bool {
        self.version.is_ordered
    }

    /// Whether two are the same version, not only equal.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.version, &other.version)
    }

    /// The selected rows of a chunk, of some columns.
    pub fn batch(&self, chunk: &Chunk, columns: &[usize], selection: &Selection) -> Result<RecordBatch> {
        let arrays = columns
            .iter()
            .map(|&column| chunk.read(column, selection, 0..selection.len()))
            .collect::<Result<Vec<_>>>()?;
        let schema = Arc::new(self.schema().project(columns)?);
        let options = RecordBatchOptions::new().with_row_count(Some(selection.len()));
        RecordBatch::try_new_with_options(schema, arrays, &options).map_err(Error::from)
    }

    /// All rows, a batch a chunk.
    pub fn batches(&self) -> impl Iterator<Item = Result<RecordBatch>> {
        let columns: Vec<usize> = (0..self.schema().fields().len()).collect();
        self.chunks().iter().map(move |chunk| self.batch(chunk, &columns, &Selection::All(chunk.rows)))
    }
}
