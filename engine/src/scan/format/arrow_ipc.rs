//! Arrow IPC files: (store, object) -> batches, each record batch fetched by its own range, cast to the table's types.
//!
//! A file says of itself where its parts lie and how large they unpack; a hostile one makes the reader panic or ask for
//! more memory than there is, which ends the process. So magic and footer length are checked before the reader sees a
//! byte, every block must lie inside the file, what a compressed buffer claims to unpack to is bounded, and the
//! decoding itself runs under `catch_unwind`.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray as _, ListArray, RecordBatch, RecordBatchOptions, StructArray, make_array, new_null_array,
};
use arrow::buffer::{Buffer, NullBuffer};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType as ArrowType, SchemaRef};
use arrow::ipc::reader::FileDecoder;
use arrow::ipc::{Block, convert::fb_to_schema, root_as_footer, root_as_message};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use limnos_catalog::Column;
use object_store::{ObjectMeta, ObjectStore};

use super::input::{corrupted, read_range};
use crate::{Error, ErrorCode, Result};

const MAGIC: &[u8; 6] = b"ARROW1";

/// The footer's length and the magic at the end.
const TAIL_BYTES: u64 = 10;

/// Most that one record batch may unpack to.
const BATCH_BYTES_MAX: u64 = 2 << 30;

/// Between the last record batch and the footer there is a mark of the end, padded by some writers.
const END_BYTES_MAX: u64 = 128;

/// Largest footer: about 24 bytes a block, and the schema.
const FOOTER_BYTES_MAX: u64 = 64 << 20;

/// What a file's footer says.
#[derive(Debug)]
pub struct Footer {
    /// The columns.
    pub schema: SchemaRef,
    version: arrow::ipc::MetadataVersion,
    dictionaries: Vec<Block>,
    batches: Vec<Block>,
}

/// Reads and checks the footer of `object`.
///
/// # Errors
/// [`ErrorCode::DataCorrupted`], naming the file.
pub async fn read_footer(store: &Arc<dyn ObjectStore>, object: &ObjectMeta, name: &str) -> Result<Footer> {
    let size = object.size;
    if size < 8 + TAIL_BYTES {
        return Err(corrupted(name, "it is too short for an Arrow file"));
    }
    let head = read_range(store, object, name, 0..MAGIC.len() as u64).await?;
    let tail = read_range(store, object, name, size - TAIL_BYTES..size).await?;
    if head[..] != MAGIC[..] || tail[4..] != MAGIC[..] {
        return Err(corrupted(name, "the magic number of an Arrow file is missing").with_hint("It may be cut off."));
    }
    let length = i32::from_le_bytes([tail[0], tail[1], tail[2], tail[3]]);
    let length = u64::try_from(length).unwrap_or(u64::MAX);
    if length == 0 || length > FOOTER_BYTES_MAX || length > size - TAIL_BYTES - MAGIC.len() as u64 {
        return Err(corrupted(name, "the length of its footer can't be true"));
    }
    let footer_start = size - TAIL_BYTES - length;
    let bytes = read_range(store, object, name, footer_start..size - TAIL_BYTES).await?;
    let footer = guarded(name, || {
        let footer =
            root_as_footer(&bytes).map_err(|error| corrupted(name, &format!("its footer is invalid ({error})")))?;
        let schema = footer.schema().ok_or_else(|| corrupted(name, "its footer has no schema"))?;
        Ok(Footer {
            schema: Arc::new(fb_to_schema(schema)),
            version: footer.version(),
            dictionaries: footer.dictionaries().iter().flatten().copied().collect(),
            batches: footer.recordBatches().iter().flatten().copied().collect(),
        })
    })?;
    // The same messages lie one behind the other in the file: a footer that leaves some out is no shorter table.
    let ends = footer.dictionaries.iter().chain(&footer.batches).map(|block| {
        let parts = [block.offset(), i64::from(block.metaDataLength()), block.bodyLength()];
        parts.iter().try_fold(0_u64, |end, part| end.checked_add(u64::try_from(*part).ok()?)).unwrap_or(u64::MAX)
    });
    let end = match ends.max() {
        Some(end) => end,
        None => {
            // Behind the magic, padded to eight bytes: the schema's length, since version 0.15 behind a marker.
            let head = read_range(store, object, name, 8..16.min(footer_start.max(8))).await?;
            let length = |at: usize| head.get(at..at + 4)?.first_chunk().copied().map(u32::from_le_bytes);
            match (length(0), length(4)) {
                (Some(u32::MAX), Some(length)) => 16 + u64::from(length),
                (Some(length), _) => 12 + u64::from(length),
                (None, _) => 8,
            }
        }
    };
    if end > footer_start || footer_start - end > END_BYTES_MAX {
        return Err(corrupted(name, "its footer doesn't say where all of its record batches are"));
    }
    Ok(footer)
}

/// Opens `object` and yields its batches with `columns`, which have the types of `schema`. A column the file lacks is
/// NULL.
///
/// # Errors
/// [`ErrorCode::DataCorrupted`], and the store's.
pub async fn open(
    store: Arc<dyn ObjectStore>,
    object: ObjectMeta,
    name: String,
    columns: Vec<Column>,
    schema: SchemaRef,
    count: impl Fn(usize) + Send + Sync + 'static,
) -> Result<BoxStream<'static, Result<RecordBatch>>> {
    let footer = read_footer(&store, &object, &name).await?;
    let places: Vec<Option<usize>> = columns.iter().map(|column| place(&footer.schema, column)).collect();
    let mut projection: Vec<usize> = places.iter().flatten().copied().collect();
    projection.sort_unstable();
    projection.dedup();
    // Where each column is in what the decoder returns.
    let places =
        places.into_iter().map(|place| place.and_then(|place| projection.binary_search(&place).ok())).collect();
    let mut decoder = FileDecoder::new(Arc::clone(&footer.schema), footer.version).with_projection(projection);
    for block in &footer.dictionaries {
        let bytes = read_block(&store, &object, &name, block).await?;
        count(bytes.len());
        guarded(&name, || {
            decoder.read_dictionary(block, &bytes).map_err(|error| corrupted(&name, &error.to_string()))
        })?;
    }
    let reader = Arc::new(BatchReader { decoder, name, places, columns, schema });
    Ok(stream::iter(footer.batches)
        .then(move |block| {
            let reader = Arc::clone(&reader);
            let store = Arc::clone(&store);
            let object = object.clone();
            async move { read_block(&store, &object, &reader.name, &block).await.map(|bytes| (reader, block, bytes)) }
        })
        .try_filter_map(move |(reader, block, bytes)| {
            count(bytes.len());
            futures::future::ready(reader.decode(&block, &bytes))
        })
        .boxed())
}

struct BatchReader {
    decoder: FileDecoder,
    name: String,
    places: Vec<Option<usize>>,
    columns: Vec<Column>,
    schema: SchemaRef,
}

impl BatchReader {
    fn decode(&self, block: &Block, bytes: &Buffer) -> Result<Option<RecordBatch>> {
        let name = &self.name;
        let batch = guarded(name, || {
            self.decoder.read_record_batch(block, bytes).map_err(|error| corrupted(name, &error.to_string()))
        })?;
        let Some(batch) = batch else { return Ok(None) };
        let mut arrays = Vec::with_capacity(self.columns.len());
        for ((place, column), field) in self.places.iter().zip(&self.columns).zip(self.schema.fields()) {
            arrays.push(match place {
                Some(place) => {
                    let values = cast(batch.column(*place), field.data_type(), name, column)?;
                    masked(&values, None).map_err(|error| corrupted(name, &error.to_string()))?
                }
                None => new_null_array(field.data_type(), batch.num_rows()),
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)
            .map(Some)
            .map_err(|error| Error::internal(error.to_string()))
    }
}

/// `array` with NULL in all fields of a struct that is NULL: writers leave there what they like, and a field is taken out of
/// its struct without a look at the struct.
fn masked(array: &ArrayRef, parents: Option<&NullBuffer>) -> arrow::error::Result<ArrayRef> {
    let nulls = NullBuffer::union(parents, array.nulls());
    Ok(match array.data_type() {
        ArrowType::Struct(fields) => {
            let children = array.as_struct().columns().iter().map(|child| masked(child, nulls.as_ref()));
            let children = children.collect::<arrow::error::Result<Vec<_>>>()?;
            Arc::new(StructArray::try_new_with_length(fields.clone(), children, nulls, array.len())?)
        }
        ArrowType::List(item) => {
            let list = array.as_list::<i32>();
            let values = masked(list.values(), None)?;
            Arc::new(ListArray::try_new(Arc::clone(item), list.offsets().clone(), values, nulls)?)
        }
        ArrowType::Null => Arc::clone(array),
        _ if parents.is_none() => Arc::clone(array),
        _ => make_array(array.to_data().into_builder().nulls(nulls).build()?),
    })
}

/// The file's column for the table's: by the name it has in the files or else its own, exact or without regard to case.
fn place(schema: &SchemaRef, column: &Column) -> Option<usize> {
    let fields = schema.fields();
    let find = |wanted: &str| {
        let lower = wanted.to_lowercase();
        fields
            .iter()
            .position(|field| field.name() == wanted)
            .or_else(|| fields.iter().position(|field| field.name().to_lowercase() == lower))
    };
    column.source_name.as_deref().and_then(find).or_else(|| find(&column.name))
}

fn cast(array: &ArrayRef, wanted: &ArrowType, name: &str, column: &Column) -> Result<ArrayRef> {
    if array.data_type() == wanted {
        return Ok(Arc::clone(array));
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    let converted = match array.data_type() {
        // A duration's count of units, as `scan::schema` declares it.
        ArrowType::Duration(_) => cast_with_options(array, &ArrowType::Int64, &options)
            .and_then(|array| cast_with_options(&array, wanted, &options)),
        _ => cast_with_options(array, wanted, &options),
    };
    converted.map_err(|error| {
        Error::new(
            ErrorCode::DatatypeMismatch,
            format!("column \"{}\" can't be read as {}", column.name, column.data_type),
        )
        .with_detail(format!("File \"{name}\" has it as {}: {error}.", array.data_type()))
        .with_hint("Declare the column with a type that holds the file's values.")
    })
}

async fn read_block(store: &Arc<dyn ObjectStore>, object: &ObjectMeta, name: &str, block: &Block) -> Result<Buffer> {
    let outside = || corrupted(name, "a block lies outside the file");
    let offset = u64::try_from(block.offset()).map_err(|_| outside())?;
    let metadata = u64::try_from(block.metaDataLength()).map_err(|_| outside())?;
    let body = u64::try_from(block.bodyLength()).map_err(|_| outside())?;
    let end = offset.checked_add(metadata).and_then(|end| end.checked_add(body)).ok_or_else(outside)?;
    if end > object.size || metadata < 8 {
        return Err(outside());
    }
    let bytes = read_range(store, object, name, Range { start: offset, end }).await?;
    guarded(name, || check_unpacked_size(name, &bytes, metadata as usize))?;
    // The reader wants its buffers aligned; what a store returns need not be.
    Ok(Buffer::from(bytes.as_ref()))
}

/// Adds up what a block's compressed buffers claim to unpack to, before anything is allocated for them.
fn check_unpacked_size(name: &str, bytes: &[u8], metadata: usize) -> Result<()> {
    let invalid = || corrupted(name, "a block's header is invalid");
    // Since version 0.15 a marker stands before the length.
    let start = if bytes[..4] == [0xff; 4] { 8 } else { 4 };
    let message = root_as_message(bytes.get(start..metadata).ok_or_else(invalid)?).map_err(|_| invalid())?;
    let batch = message
        .header_as_record_batch()
        .or_else(|| message.header_as_dictionary_batch().and_then(|dictionary| dictionary.data()))
        .ok_or_else(invalid)?;
    if batch.length() < 0 {
        return Err(invalid());
    }
    let body = &bytes[metadata..];
    let mut total = 0u64;
    for buffer in batch.buffers().iter().flatten() {
        let offset = usize::try_from(buffer.offset()).map_err(|_| invalid())?;
        let length = usize::try_from(buffer.length()).map_err(|_| invalid())?;
        let end = offset.checked_add(length).ok_or_else(invalid)?;
        let data = body.get(offset..end).ok_or_else(invalid)?;
        let unpacked = match (batch.compression(), data.first_chunk::<8>()) {
            (Some(_), Some(prefix)) => match i64::from_le_bytes(*prefix) {
                // -1: this buffer isn't compressed.
                -1 => length as u64,
                size => u64::try_from(size).map_err(|_| invalid())?,
            },
            _ => length as u64,
        };
        total = total.saturating_add(unpacked);
    }
    if total > BATCH_BYTES_MAX {
        return Err(Error::new(
            ErrorCode::ProgramLimitExceeded,
            format!("a record batch of file \"{name}\" is larger than {} MB", BATCH_BYTES_MAX >> 20),
        ));
    }
    Ok(())
}

/// Runs a piece of a reader that trusts its input.
pub fn guarded<T>(name: &str, read: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| Err(corrupted(name, "its structure is invalid")))
}
