//! [`ArrowEncoder`]: Arrow IPC files.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::CompressionType;
use arrow::ipc::writer::{FileWriter, IpcWriteOptions};
use limnos_catalog::FileFacts;

use super::{Compression, Encode, FileOptions};
use crate::encode::parquet::SharedBuffer;
use crate::{Error, Result};

/// See the module.
pub(super) struct ArrowEncoder {
    writer: FileWriter<SharedBuffer>,
    buffer: SharedBuffer,
}

impl ArrowEncoder {
    pub(super) fn new(schema: &SchemaRef, options: &FileOptions) -> Result<Self> {
        let compression = match options.compression {
            Compression::Lz4 => Some(CompressionType::LZ4_FRAME),
            Compression::Zstd => Some(CompressionType::ZSTD),
            _ => None,
        };
        let buffer = SharedBuffer::default();
        let writer = IpcWriteOptions::default()
            .try_with_compression(compression)
            .and_then(|options| FileWriter::try_new_with_options(buffer.clone(), schema, options))
            .map_err(|error| arrow_error(&error))?;
        Ok(Self { writer, buffer })
    }
}

impl Encode for ArrowEncoder {
    fn write(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        self.writer.write(batch).map_err(|error| arrow_error(&error))?;
        out.append(&mut self.buffer.take());
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<Option<FileFacts>> {
        self.writer.finish().map_err(|error| arrow_error(&error))?;
        out.append(&mut self.buffer.take());
        Ok(None)
    }

    fn memory_size(&self) -> usize {
        0
    }
}

fn arrow_error(error: &ArrowError) -> Error {
    Error::internal(format!("could not write an Arrow file: {error}"))
}
