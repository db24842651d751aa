//! Makes a table: batches become chunks, text becomes codes, and at the end codes become those of sorted dictionaries.
//!
//! While a table is built, codes are numbers in the order in which values came ([`Interner`]); only at the end it is known which
//! values there are, and each number becomes its value's place among the sorted. The chunks of a former version begin with its
//! dictionary's codes as numbers. So a refresh that brings no new value leaves them as they are, and one that does turns codes
//! into codes, without a look at the text.

use std::cmp::Ordering;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::{
    LexicographicalComparator, SortColumn, SortOptions, cast, concat, interleave, lexsort_to_indices,
};
use arrow::datatypes::{DataType, SchemaRef};

use crate::codes::Packed;
use crate::column::{Column, Encoding, compact, dictionary_column};
use crate::dictionary::Dictionary;
use crate::intern::Interner;
use crate::native::{retype, stored_schema, stored_type};
use crate::table::{Chunk, Contents, Part, Table};
use crate::zone::Zone;
use crate::{CHUNK_ROWS, Error, Result};

/// A column that rows are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SortKey {
    /// Its place in the schema.
    pub column: usize,
    /// Greatest first.
    pub descending: bool,
    /// NULLs before all values.
    pub nulls_first: bool,
}

/// How a table is laid out.
#[derive(Clone, Debug)]
pub struct Options {
    /// The order of rows within each part. Parts follow each other by their first rows, so that the whole is sorted where their
    /// ranges don't overlap. Empty: as they came.
    pub order_by: Vec<SortKey>,
    /// Rows of a chunk.
    pub chunk_rows: usize,
    /// Whether text of few values becomes codes.
    pub dictionaries: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { order_by: Vec::new(), chunk_rows: CHUNK_ROWS, dictionaries: true }
    }
}

/// Text columns may have a dictionary until they turn out to have too many values.
#[derive(Debug)]
enum Text {
    Interned(Interner),
    Plain,
}

#[derive(Debug)]
struct OpenPart {
    key: String,
    pending: Vec<RecordBatch>,
    pending_rows: usize,
    pending_bytes: usize,
    chunks: Vec<Arc<Chunk>>,
    rows: u64,
}

/// Makes one [`Table`], a part at a time.
#[derive(Debug)]
pub struct TableBuilder {
    schema: SchemaRef,
    options: Options,
    texts: Vec<Text>,
    parts: Vec<Arc<Part>>,
    open: Option<OpenPart>,
    /// Rows in chunks, those of parts that were replaced included.
    rows_seen: u64,
    /// Bytes of chunks that were made here.
    encoded_bytes: usize,
}

impl TableBuilder {
    /// Of a new table, for batches of `schema` or of what [`stored_type`] makes of it.
    ///
    /// # Errors
    /// If the order is by a column that isn't there, or that can't be compared.
    pub fn new(schema: &SchemaRef, options: Options) -> Result<Self> {
        let schema = stored_schema(schema);
        if options.chunk_rows == 0 || options.chunk_rows > u32::MAX as usize {
            return Err(Error::Misuse("a chunk has from 1 to 2^32 - 1 rows"));
        }
        for key in &options.order_by {
            let Some(field) = schema.fields().get(key.column) else {
                return Err(Error::Misuse("the order is by a column that the table doesn't have"));
            };
            if field.data_type().is_nested() || field.data_type().is_null() {
                return Err(Error::Mismatch(format!(
                    "rows can't be sorted by column \"{}\" of type {}",
                    field.name(),
                    field.data_type()
                )));
            }
        }
        let texts = schema
            .fields()
            .iter()
            .map(|field| match field.data_type() {
                DataType::Utf8View | DataType::BinaryView if options.dictionaries => {
                    Text::Interned(Interner::new(field.data_type().clone()))
                }
                _ => Text::Plain,
            })
            .collect();
        Ok(Self { schema, options, texts, parts: Vec::new(), open: None, rows_seen: 0, encoded_bytes: 0 })
    }

    /// Of the next version of `previous`, which begins with all of its parts. Columns that had no dictionary get none: whoever
    /// wants the choice made anew builds anew.
    ///
    /// # Errors
    /// If another order is asked for: all parts would have to be sorted anew.
    pub fn next_version(previous: &Table, options: Options) -> Result<Self> {
        if options.order_by != previous.order_by() {
            return Err(Error::Misuse("the next version of a table has its order"));
        }
        let mut builder = Self::new(previous.schema(), options)?;
        for (text, dictionary) in builder.texts.iter_mut().zip(&previous.version.dictionaries) {
            *text = match dictionary {
                Some(dictionary) => Text::Interned(Interner::of(Arc::clone(dictionary))?),
                // A table without rows has said nothing yet.
                None if previous.rows() == 0 => continue,
                None => Text::Plain,
            };
        }
        builder.parts.clone_from(&previous.version.parts);
        builder.rows_seen = previous.rows();
        Ok(builder)
    }

    /// The columns as the table will have them.
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Drops a part. `false`: there was none of that key.
    pub fn remove_part(&mut self, key: &str) -> bool {
        let before = self.parts.len();
        self.parts.retain(|part| part.key != key);
        self.parts.len() < before
    }

    /// Whether there is a part of that key, whole.
    #[must_use]
    pub fn has_part(&self, key: &str) -> bool {
        self.parts.iter().any(|part| part.key == key)
    }

    /// Begins a part. One that has the same key is replaced when this one ends.
    ///
    /// # Errors
    /// If one is open.
    pub fn begin_part(&mut self, key: String) -> Result<()> {
        if self.open.is_some() {
            return Err(Error::Misuse("a part begins before the one before it has ended"));
        }
        self.open =
            Some(OpenPart { key, pending: Vec::new(), pending_rows: 0, pending_bytes: 0, chunks: Vec::new(), rows: 0 });
        Ok(())
    }

    /// Adds rows to the open part.
    ///
    /// # Errors
    /// If none is open, or the batch has other columns than the table.
    pub fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        if self.open.is_none() {
            return Err(Error::Misuse("rows come outside of a part"));
        }
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let batch = self.stored(batch)?;
        let Some(open) = &mut self.open else { return Ok(()) };
        open.pending_rows += batch.num_rows();
        open.pending_bytes += batch.get_array_memory_size();
        open.pending.push(batch);
        if self.options.order_by.is_empty() && open.pending_rows >= self.options.chunk_rows {
            self.encode_pending(false)?;
        }
        Ok(())
    }

    /// Ends the open part, which is part of the table from now on.
    ///
    /// # Errors
    /// If none is open.
    pub fn end_part(&mut self) -> Result<()> {
        if self.open.is_none() {
            return Err(Error::Misuse("a part ends that was not begun"));
        }
        self.encode_pending(true)?;
        if let Some(open) = self.open.take() {
            let part = Arc::new(Part { key: open.key, id: new_id(), rows: open.rows, chunks: open.chunks });
            match self.parts.iter_mut().find(|other| other.key == part.key) {
                Some(other) => *other = part,
                None => self.parts.push(part),
            }
        }
        Ok(())
    }

    /// Forgets the open part, if there is one. What it was to replace stays.
    pub fn abandon_part(&mut self) {
        if let Some(open) = self.open.take() {
            let bytes: usize = open.chunks.iter().flat_map(|chunk| &chunk.columns).map(Column::memory_bytes).sum();
            self.encoded_bytes = self.encoded_bytes.saturating_sub(bytes);
            self.rows_seen -= open.rows;
        }
    }

    /// Heap bytes that it holds now, without the chunks that it shares with the version before.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let values = |text: &Text| match text {
            Text::Interned(interner) => interner.memory_bytes(),
            Text::Plain => 0,
        };
        self.encoded_bytes
            + self.open.as_ref().map_or(0, |open| open.pending_bytes)
            + self.texts.iter().map(values).sum::<usize>()
    }

    /// The table.
    ///
    /// # Errors
    /// If a part is open.
    pub fn finish(mut self) -> Result<Table> {
        if self.open.is_some() {
            return Err(Error::Misuse("a table is finished while a part is open"));
        }
        let mut dictionaries = vec![None; self.texts.len()];
        for (column, text) in std::mem::take(&mut self.texts).into_iter().enumerate() {
            if let Text::Interned(interner) = text {
                dictionaries[column] = Some(self.sort_dictionary(column, interner)?);
            }
        }
        if !self.options.order_by.is_empty() {
            self.parts = by_first_rows(self.parts, &self.options.order_by)?;
        }
        Table::new(Contents {
            schema: self.schema,
            parts: self.parts,
            dictionaries,
            order_by: self.options.order_by,
            chunk_rows: self.options.chunk_rows,
        })
    }

    /// The batch with the types that the table keeps.
    fn stored(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        if batch.num_columns() != self.schema.fields().len() {
            let (has, wants) = (batch.num_columns(), self.schema.fields().len());
            return Err(Error::Mismatch(format!("they have {has} columns, the table has {wants}")));
        }
        let mut columns = Vec::with_capacity(batch.num_columns());
        for (array, field) in batch.columns().iter().zip(self.schema.fields()) {
            let (has, wants) = (array.data_type(), field.data_type());
            let stored = if has == wants {
                Arc::clone(array)
            } else if stored_type(has) == *wants {
                cast(array, wants)?
            } else if has.equals_datatype(wants) {
                retype(array, wants)?
            } else {
                return Err(Error::Mismatch(format!(
                    "column \"{}\" has type {has}, in the table it has {wants}",
                    field.name()
                )));
            };
            if !field.is_nullable() && stored.logical_null_count() > 0 {
                return Err(Error::Mismatch(format!(
                    "column \"{}\" has NULLs, in the table it has none",
                    field.name()
                )));
            }
            columns.push(stored);
        }
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }

    /// Makes chunks of the rows that wait: of all, or of as many as fill chunks.
    fn encode_pending(&mut self, all: bool) -> Result<()> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let chunk_rows = self.options.chunk_rows;
        let encoded_rows = if all { open.pending_rows } else { open.pending_rows - open.pending_rows % chunk_rows };
        let pending = std::mem::take(&mut open.pending);
        let places: Vec<(usize, usize)> = match self.options.order_by.is_empty() {
            true => pending
                .iter()
                .enumerate()
                .flat_map(|(batch, rows)| (0..rows.num_rows()).map(move |row| (batch, row)))
                .collect(),
            false => sorted_places(&pending, &self.options.order_by)?,
        };
        for places in places[..encoded_rows].chunks(chunk_rows) {
            let chunk = self.encode_chunk(&pending, places)?;
            self.encoded_bytes += chunk.columns.iter().map(Column::memory_bytes).sum::<usize>();
            self.rows_seen += chunk.rows as u64;
            if let Some(open) = &mut self.open {
                open.rows += chunk.rows as u64;
                open.chunks.push(Arc::new(chunk));
            }
            self.give_up_dictionaries()?;
        }
        let rest = &places[encoded_rows..];
        let Some(open) = &mut self.open else { return Ok(()) };
        open.pending_rows = rest.len();
        if let Some(&(batch, row)) = rest.first() {
            // What is left is the end of the last batches, copied so that it doesn't keep the rest of them.
            let mut left = vec![pending[batch].slice(row, pending[batch].num_rows() - row)];
            left.extend(pending[batch + 1..].iter().cloned());
            for batch in &mut left {
                let columns = batch.columns().iter().map(compact).collect::<Result<_>>()?;
                let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
                *batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
            }
            open.pending = left;
        }
        open.pending_bytes = open.pending.iter().map(RecordBatch::get_array_memory_size).sum();
        Ok(())
    }

    fn encode_chunk(&mut self, pending: &[RecordBatch], places: &[(usize, usize)]) -> Result<Chunk> {
        let mut columns = Vec::with_capacity(self.texts.len());
        for (column, text) in self.texts.iter_mut().enumerate() {
            let array = chosen(pending, column, places)?;
            columns.push(match text {
                Text::Plain => Column::encode(&array)?,
                Text::Interned(interner) => {
                    let codes = interner.intern(&array)?;
                    dictionary_column(&array, none_yet(array.data_type())?, codes)
                }
            });
        }
        Ok(Chunk { rows: places.len(), columns })
    }

    /// Turns columns of too many values into what they were.
    fn give_up_dictionaries(&mut self) -> Result<()> {
        for column in 0..self.texts.len() {
            let Text::Interned(interner) = &self.texts[column] else { continue };
            if !interner.is_too_many(self.rows_seen) {
                continue;
            }
            let values = interner.values()?;
            for part in &mut self.parts {
                // What is on disk of the part has codes: it is another part now.
                let chunks =
                    part.chunks.iter().map(|chunk| without_codes(chunk, column, &values)).collect::<Result<_>>()?;
                *part = Arc::new(Part { key: part.key.clone(), id: new_id(), rows: part.rows, chunks });
            }
            if let Some(open) = &mut self.open {
                for chunk in &mut open.chunks {
                    *chunk = without_codes(chunk, column, &values)?;
                }
            }
            self.texts[column] = Text::Plain;
            let open = self.open.iter().flat_map(|open| &open.chunks);
            let chunks = self.parts.iter().flat_map(|part| &part.chunks).chain(open);
            self.encoded_bytes += chunks.map(|chunk| chunk.columns[column].memory_bytes()).sum::<usize>();
        }
        Ok(())
    }

    /// Turns the numbers of a column's values into codes of a sorted dictionary, in all chunks.
    fn sort_dictionary(&mut self, column: usize, interner: Interner) -> Result<Arc<Dictionary>> {
        let mut used = vec![false; interner.len()];
        for chunk in self.parts.iter().flat_map(|part| &part.chunks) {
            let Encoding::Dictionary { codes, .. } = &chunk.columns[column].encoding else { continue };
            each_valid(&chunk.columns[column], codes, |number| used[number as usize] = true);
        }
        let sorted = interner.sort(&used)?;
        for part in &mut self.parts {
            let is_new = |chunk: &Arc<Chunk>| match &chunk.columns[column].encoding {
                Encoding::Dictionary { dictionary, .. } => !Arc::ptr_eq(dictionary, &sorted.dictionary),
                _ => false,
            };
            if !part.chunks.iter().any(is_new) {
                continue;
            }
            let chunks = part
                .chunks
                .iter()
                .map(|chunk| {
                    let mut chunk = Chunk::clone(chunk);
                    recode(&mut chunk.columns[column], &sorted.dictionary, sorted.codes.as_deref());
                    Arc::new(chunk)
                })
                .collect();
            *part = Arc::new(Part { key: part.key.clone(), id: part.id, rows: part.rows, chunks });
        }
        Ok(sorted.dictionary)
    }
}

/// Gives `column` the codes of `dictionary`: what `codes` has at the place of each of its numbers.
pub(crate) fn recode(column: &mut Column, dictionary: &Arc<Dictionary>, codes: Option<&[u32]>) {
    let Encoding::Dictionary { codes: numbers, .. } = &column.encoding else { return };
    let packed = match codes {
        None => numbers.clone(),
        Some(codes) => {
            let max = dictionary.len().saturating_sub(1) as u64;
            numbers.map(max, |number| codes.get(number as usize).copied().map_or(0, u64::from))
        }
    };
    let mut bounds: Option<(u64, u64)> = None;
    each_valid(column, &packed, |code| {
        bounds = Some(bounds.map_or((code, code), |(min, max)| (min.min(code), max.max(code))))
    });
    let bounds = bounds.map(|(min, max)| (i128::from(min), i128::from(max)));
    column.zone = Zone::integers(column.zone.rows, column.zone.null_count, bounds, None);
    column.encoding = Encoding::Dictionary { dictionary: Arc::clone(dictionary), codes: packed };
}

fn each_valid(column: &Column, codes: &Packed, mut each: impl FnMut(u64)) {
    match &column.nulls {
        None => codes.for_each(each),
        Some(nulls) => nulls.valid_indices().for_each(|row| each(codes.get(row))),
    }
}

/// A chunk whose column is the values at its numbers.
fn without_codes(chunk: &Arc<Chunk>, column: usize, values: &ArrayRef) -> Result<Arc<Chunk>> {
    let mut chunk = Chunk::clone(chunk);
    let encoded = &chunk.columns[column];
    if let Encoding::Dictionary { codes, .. } = &encoded.encoding {
        let numbered = Column {
            encoding: Encoding::Dictionary {
                dictionary: Arc::new(Dictionary::new(Arc::clone(values), None, 0)),
                codes: codes.clone(),
            },
            nulls: encoded.nulls.clone(),
            zone: encoded.zone.clone(),
            plain_bytes: encoded.plain_bytes,
        };
        chunk.columns[column] = Column::encode(&numbered.all()?)?;
    }
    Ok(Arc::new(chunk))
}

/// What stands for a dictionary until the values are known.
fn none_yet(data_type: &DataType) -> Result<Arc<Dictionary>> {
    Ok(Arc::new(Dictionary::new(Dictionary::array(data_type, std::iter::empty())?, None, 0)))
}

/// The rows of one column at `places` (batch, row).
fn chosen(pending: &[RecordBatch], column: usize, places: &[(usize, usize)]) -> Result<ArrayRef> {
    let arrays: Vec<&dyn Array> = pending.iter().map(|batch| batch.column(column).as_ref()).collect();
    // Without an order the places are one after the other, mostly: whole batches are put together faster than rows.
    let (Some(&first), Some(&last)) = (places.first(), places.last()) else {
        return Err(Error::Misuse("a chunk has rows"));
    };
    let are_successive = places.is_sorted() && {
        let rows_between: usize = pending[first.0..=last.0].iter().map(RecordBatch::num_rows).sum();
        let behind = pending[last.0].num_rows() - last.1 - 1;
        rows_between.checked_sub(first.1 + behind) == Some(places.len())
    };
    if are_successive {
        let slices: Vec<ArrayRef> = (first.0..=last.0)
            .map(|batch| {
                let from = if batch == first.0 { first.1 } else { 0 };
                let to = if batch == last.0 { last.1 + 1 } else { arrays[batch].len() };
                arrays[batch].slice(from, to - from)
            })
            .collect();
        return match slices.as_slice() {
            [one] => Ok(Arc::clone(one)),
            several => Ok(concat(&several.iter().map(AsRef::as_ref).collect::<Vec<_>>())?),
        };
    }
    Ok(interleave(&arrays, places)?)
}

fn sort_options(key: &SortKey) -> SortOptions {
    SortOptions { descending: key.descending, nulls_first: key.nulls_first }
}

/// The places of all rows, sorted.
fn sorted_places(pending: &[RecordBatch], order_by: &[SortKey]) -> Result<Vec<(usize, usize)>> {
    let places: Vec<(usize, usize)> = pending
        .iter()
        .enumerate()
        .flat_map(|(batch, rows)| (0..rows.num_rows()).map(move |row| (batch, row)))
        .collect();
    if places.is_empty() {
        return Ok(places);
    }
    let mut columns = Vec::with_capacity(order_by.len() + 1);
    for key in order_by {
        let arrays: Vec<&dyn Array> = pending.iter().map(|batch| batch.column(key.column).as_ref()).collect();
        columns.push(SortColumn { values: concat(&arrays)?, options: Some(sort_options(key)) });
    }
    // Rows that are equal stay as they came, so that a table is the same each time.
    let rows = u32::try_from(places.len())
        .map_err(|_| Error::Limit("a part that is sorted has fewer than 2^32 rows".into()))?;
    columns.push(SortColumn { values: Arc::new(UInt32Array::from_iter_values(0..rows)), options: None });
    let order = lexsort_to_indices(&columns, None)?;
    Ok(order.values().iter().map(|&row| places[row as usize]).collect())
}

/// The value of each key in a part's first row and its last.
fn ends(part: &Part, key: &SortKey) -> Result<Option<(ArrayRef, ArrayRef)>> {
    match (part.chunks.first(), part.chunks.last()) {
        (Some(first), Some(last)) => Ok(Some((
            first.columns[key.column].range(0..1)?,
            last.columns[key.column].range(last.rows - 1..last.rows)?,
        ))),
        _ => Ok(None),
    }
}

/// Parts with the least first row first, those without rows before all.
fn by_first_rows(parts: Vec<Arc<Part>>, order_by: &[SortKey]) -> Result<Vec<Arc<Part>>> {
    let (mut sorted, full): (Vec<_>, Vec<_>) = parts.into_iter().partition(|part| part.rows == 0);
    if full.len() < 2 {
        sorted.extend(full);
        return Ok(sorted);
    }
    let mut columns = Vec::with_capacity(order_by.len() + 1);
    for key in order_by {
        let firsts: Vec<ArrayRef> = full
            .iter()
            .filter_map(|part| ends(part, key).transpose())
            .map(|ends| Ok(ends?.0))
            .collect::<Result<_>>()?;
        let values = concat(&firsts.iter().map(AsRef::as_ref).collect::<Vec<_>>())?;
        columns.push(SortColumn { values, options: Some(sort_options(key)) });
    }
    columns.push(SortColumn { values: Arc::new(UInt32Array::from_iter_values(0..full.len() as u32)), options: None });
    let order = lexsort_to_indices(&columns, None)?;
    sorted.extend(order.values().iter().map(|&part| Arc::clone(&full[part as usize])));
    Ok(sorted)
}

/// Whether each part's last row comes before the next one's first, or is equal.
pub(crate) fn is_ordered(parts: &[Arc<Part>], order_by: &[SortKey]) -> Result<bool> {
    let full: Vec<&Arc<Part>> = parts.iter().filter(|part| part.rows > 0).collect();
    for pair in full.windows(2) {
        let mut columns = Vec::with_capacity(order_by.len());
        for key in order_by {
            if let (Some((_, last)), Some((first, _))) = (ends(pair[0], key)?, ends(pair[1], key)?) {
                columns.push(SortColumn {
                    values: concat(&[last.as_ref(), first.as_ref()])?,
                    options: Some(sort_options(key)),
                });
            }
        }
        if LexicographicalComparator::try_new(&columns)?.compare(0, 1) == Ordering::Greater {
            return Ok(false);
        }
    }
    Ok(true)
}

/// 128 bits that no other part has.
fn new_id() -> u128 {
    let random = || u128::from(RandomState::new().build_hasher().finish());
    (random() << 64) | random()
}
