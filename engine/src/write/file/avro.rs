//! [`AvroEncoder`]: Avro object container files, a block for some thousand rows.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow_avro::compression::CompressionCodec;
use arrow_avro::errors::AvroError;
use arrow_avro::writer::{AvroWriter, WriterBuilder};
use limnos_catalog::FileFacts;

use super::{Compression, Encode, FileOptions};
use crate::encode::parquet::SharedBuffer;
use crate::{Error, Result};

/// Rows of a block, which readers unpack whole.
const BLOCK_ROWS: usize = 4096;

/// See the module.
pub(super) struct AvroEncoder {
    writer: AvroWriter<SharedBuffer>,
    buffer: SharedBuffer,
}

impl AvroEncoder {
    pub(super) fn new(schema: &SchemaRef, options: &FileOptions) -> Result<Self> {
        let codec = match options.compression {
            Compression::Zlib => Some(CompressionCodec::Deflate),
            Compression::Snappy => Some(CompressionCodec::Snappy),
            Compression::Zstd => Some(CompressionCodec::ZStandard),
            Compression::Bzip2 => Some(CompressionCodec::Bzip2),
            Compression::Xz => Some(CompressionCodec::Xz),
            _ => None,
        };
        let buffer = SharedBuffer::default();
        let writer = WriterBuilder::new(schema.as_ref().clone())
            .with_compression(codec)
            .build(buffer.clone())
            .map_err(|error| avro_error(&error))?;
        Ok(Self { writer, buffer })
    }
}

impl Encode for AvroEncoder {
    fn write(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        for start in (0..batch.num_rows()).step_by(BLOCK_ROWS) {
            let block = batch.slice(start, BLOCK_ROWS.min(batch.num_rows() - start));
            self.writer.write(&block).map_err(|error| avro_error(&error))?;
        }
        out.append(&mut self.buffer.take());
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<Option<FileFacts>> {
        self.writer.finish().map_err(|error| avro_error(&error))?;
        out.append(&mut self.buffer.take());
        Ok(None)
    }

    fn memory_size(&self) -> usize {
        0
    }
}

fn avro_error(error: &AvroError) -> Error {
    match error {
        AvroError::NYI(_) | AvroError::SchemaError(_) => {
            Error::unsupported(format!("the rows cannot be written as Avro: {error}"))
        }
        _ => Error::internal(format!("could not write Avro: {error}")),
    }
}
