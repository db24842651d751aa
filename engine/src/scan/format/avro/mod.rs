//! Avro object container files: header -> blocks of records -> batches of the wanted columns.
//!
//! ```text
//! "Obj" 1 | metadata: schema, codec | mark || records, bytes, packed records, mark || ...
//! ```
//! [`container`] takes the file apart, [`schema`] reads the types that its header declares, [`column`] makes arrays of its
//! records, and [`AdaptedColumns`] makes the table's columns of those.
//!
//! The reader of `arrow_avro` never looks at the marks, takes a file that is cut off within a block for its end, unpacks a
//! block to whatever comes out, and turns for ever on a block with more bytes than its records. So we decode ourselves, and
//! tests compare with what it writes.

mod column;
mod container;
mod schema;

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType as ArrowType, Field, Schema, SchemaRef, UnionFields, UnionMode};
use futures::stream::{self, BoxStream, StreamExt};
use object_store::{ObjectMeta, ObjectStore};

use self::column::{Column, Cursor, skip};
use self::container::{Block, Container};
use self::schema::AvroType;
use super::BATCH_BYTES_MAX;
use super::adapted::AdaptedColumns;
use super::arrow_ipc::guarded;
use super::fault::{Decoded, Fault};
use super::input;
use crate::scan::schema::arrow_field;
use crate::{Error, Result};

/// The columns of `object`, of which those of an unsupported type are unions of nothing.
///
/// # Errors
/// [`crate::ErrorCode::DataCorrupted`], naming the file, and the store's.
pub async fn read_schema(store: &Arc<dyn ObjectStore>, object: &ObjectMeta, name: &str) -> Result<SchemaRef> {
    let container = Container::open(input::open(store, object, name, |_| ()).await?, name).await?;
    Ok(file_schema(&container.fields))
}

fn file_schema(fields: &[(String, AvroType)]) -> SchemaRef {
    let field = |(name, avro): &(String, AvroType)| match avro.data_type() {
        Some(data_type) => arrow_field(name, &data_type),
        None => Field::new(name, ArrowType::Union(UnionFields::empty(), UnionMode::Sparse), true),
    };
    Arc::new(Schema::new(fields.iter().map(field).collect::<Vec<_>>()))
}

/// Opens `object` and yields its rows as the columns of `wanted`.
///
/// # Errors
/// As [`read_schema`].
pub async fn open(
    store: Arc<dyn ObjectStore>,
    object: ObjectMeta,
    name: String,
    wanted: SchemaRef,
    batch_rows: usize,
    count: impl Fn(usize) + Send + 'static,
) -> Result<BoxStream<'static, Result<RecordBatch>>> {
    let container = Container::open(input::open(&store, &object, &name, count).await?, &name).await?;
    let schema = file_schema(&container.fields);
    let columns = AdaptedColumns::new(&wanted, &schema, &name)?;
    let schema = Arc::new(schema.project(&columns.places).map_err(|error| Error::internal(error.to_string()))?);
    let mut places = vec![None; container.fields.len()];
    columns.places.iter().enumerate().for_each(|(index, place)| places[*place] = Some(index));
    let rows = Rows { builders: builders(&container.fields, &columns.places), count: 0, bytes: 0 };
    let reader = Reader { container, name, columns, schema, places, rows, block: None, batch_rows };
    Ok(stream::try_unfold(reader, |mut reader| async move {
        let batch = reader.next_batch().await?;
        Ok(batch.map(|batch| (batch, reader)))
    })
    .boxed())
}

fn builders(fields: &[(String, AvroType)], places: &[usize]) -> Vec<Column> {
    // What isn't supported was refused before.
    places.iter().filter_map(|place| Some(Column::new(fields[*place].1.data_type()?))).collect()
}

/// The rows of a batch in the making.
struct Rows {
    builders: Vec<Column>,
    count: usize,
    /// Of the records, as they lie in their blocks.
    bytes: usize,
}

struct Reader {
    container: Container,
    name: String,
    columns: AdaptedColumns,
    /// The columns that are built.
    schema: SchemaRef,
    /// Which builder each of the file's fields goes to, if one.
    places: Vec<Option<usize>>,
    rows: Rows,
    /// The block that is being read, and how far.
    block: Option<(Block, usize)>,
    batch_rows: usize,
}

impl Reader {
    async fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if self.rows.count >= self.batch_rows || self.rows.bytes >= BATCH_BYTES_MAX {
                break;
            }
            if self.block.is_none() {
                match self.container.next_block(&self.name).await? {
                    Some(block) => self.block = Some((block, 0)),
                    None if self.rows.count == 0 => return Ok(None),
                    None => break,
                }
            }
            let name = self.name.clone();
            guarded(&name, || self.read_block().map_err(|fault| fault.error(&name)))?;
        }
        let name = self.name.clone();
        let arrays = guarded(&name, || {
            let arrays = self.rows.builders.iter_mut().map(Column::finish).collect::<Decoded<Vec<_>>>();
            arrays.map_err(|fault| fault.error(&name))
        })?;
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows.count));
        (self.rows.count, self.rows.bytes) = (0, 0);
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)
            .map_err(|error| Error::internal(error.to_string()))?;
        self.columns.batch(&batch).map(Some)
    }

    /// Reads records of the block until the batch is full or it ends, which must be at its last byte.
    fn read_block(&mut self) -> Decoded<()> {
        let Some((block, at)) = &mut self.block else { return Ok(()) };
        let rows = &mut self.rows;
        let room = self.batch_rows.saturating_sub(rows.count);
        if rows.builders.is_empty() {
            // How many records there are the block says, and what is in them nobody asks.
            let taken = block.records.min(room as u64);
            block.records -= taken;
            rows.count += taken as usize;
            *at = block.bytes.len();
        } else {
            let mut cursor = Cursor::new(&block.bytes[*at..]);
            for _ in 0..room {
                if block.records == 0 || rows.bytes >= BATCH_BYTES_MAX {
                    break;
                }
                let before = cursor.left();
                for ((_, avro), place) in self.container.fields.iter().zip(&self.places) {
                    match place {
                        Some(place) => rows.builders[*place].read(avro, &mut cursor)?,
                        None => skip(avro, &mut cursor)?,
                    }
                }
                block.records -= 1;
                rows.count += 1;
                rows.bytes += before - cursor.left();
            }
            *at = block.bytes.len() - cursor.left();
        }
        if block.records == 0 {
            if *at < block.bytes.len() {
                return Err(Fault::corrupt("a block has more bytes than its records"));
            }
            self.block = None;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
pub(in crate::scan) use tests::{file as sample_file, sample};
