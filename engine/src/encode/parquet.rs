//! Parquet: zstd, statistics and page indexes, rows in groups of [`ROW_GROUP_ROWS`].

use std::io::{self, Write};
use std::mem;
use std::sync::Arc;

use ::parquet::arrow::ArrowWriter;
use ::parquet::basic::{Compression, ZstdLevel};
use ::parquet::errors::ParquetError;
use ::parquet::file::properties::WriterProperties;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parking_lot::Mutex;

use super::{BatchWriter, output_error};
use crate::{Error, ErrorCode, Result};

/// Big enough to compress well, small enough that a reader with many threads finds work for each.
const ROW_GROUP_ROWS: usize = 128 * 1024;

/// A row group is also ended at this size, which bounds what the writer holds for wide rows.
const ROW_GROUP_BYTES: usize = 128 << 20;

/// Writes through a buffer of its own, since a Parquet writer keeps its sink while ours is lent for each call.
pub(super) struct ParquetWriter {
    /// `None` after [`BatchWriter::finish`].
    writer: Option<ArrowWriter<SharedBuffer>>,
    buffer: SharedBuffer,
}

impl ParquetWriter {
    pub(super) fn new(schema: &SchemaRef) -> Result<Self> {
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
            .set_created_by(concat!("limnos ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        let buffer = SharedBuffer::default();
        let writer = ArrowWriter::try_new(buffer.clone(), Arc::clone(schema), Some(properties))
            .map_err(|error| parquet_error(&error))?;
        Ok(Self { writer: Some(writer), buffer })
    }

    fn drain(&self, output: &mut dyn Write) -> Result<()> {
        let bytes = self.buffer.take();
        output.write_all(&bytes).map_err(|error| output_error(&error))
    }
}

impl BatchWriter for ParquetWriter {
    fn write(&mut self, batch: &RecordBatch, output: &mut dyn Write) -> Result<()> {
        let writer = self.writer.as_mut().expect("finish is called last");
        writer.write(batch).map_err(|error| parquet_error(&error))?;
        self.drain(output)
    }

    fn finish(&mut self, output: &mut dyn Write) -> Result<()> {
        let writer = self.writer.take().expect("finish is called once");
        writer.close().map_err(|error| parquet_error(&error))?;
        self.drain(output)
    }
}

fn parquet_error(error: &ParquetError) -> Error {
    match error {
        ParquetError::NYI(_) | ParquetError::ArrowError(_) => {
            Error::unsupported(format!("the result cannot be written as Parquet: {error}"))
                .with_hint("Cast the columns to types that Parquet has, or choose another format.")
        }
        _ => Error::new(ErrorCode::IoError, format!("could not write Parquet: {error}")),
    }
}

/// Bytes on their way from a writer that keeps its sink to whatever sink the next call lends.
#[derive(Debug, Clone, Default)]
pub(crate) struct SharedBuffer(Arc<Mutex<Vec<u8>>>);

impl SharedBuffer {
    /// What was written since the last call.
    pub(crate) fn take(&self) -> Vec<u8> {
        mem::take(&mut *self.0.lock())
    }
}

impl Write for SharedBuffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
