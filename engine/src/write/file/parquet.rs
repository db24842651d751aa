//! [`ParquetEncoder`]: Parquet with statistics, page indexes and dictionaries, row groups bounded in bytes.

use std::sync::Arc;

use ::parquet::arrow::ArrowWriter;
use ::parquet::arrow::arrow_writer::ArrowWriterOptions;
use ::parquet::basic::{BrotliLevel, Compression as Codec, GzipLevel, ZstdLevel};
use ::parquet::errors::ParquetError;
use ::parquet::file::metadata::ParquetMetaDataReader;
use ::parquet::file::properties::WriterProperties;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use limnos_catalog::FileFacts;

use super::{Compression, Encode, FileOptions};
use crate::encode::parquet::SharedBuffer;
use crate::scan::facts::facts_of;
use crate::{Error, Result};

/// More would let a row group of few bytes a row have more rows than readers like to skip by.
const ROW_GROUP_ROWS: usize = 1 << 20;

/// The magic number at both ends, and the footer's length before the last.
const TAIL_BYTES: usize = 8;

/// See the module.
pub(super) struct ParquetEncoder {
    /// `None` behind the end.
    writer: Option<ArrowWriter<SharedBuffer>>,
    buffer: SharedBuffer,
}

impl ParquetEncoder {
    pub(super) fn new(schema: &SchemaRef, options: &FileOptions) -> Result<Self> {
        let properties = WriterProperties::builder()
            .set_compression(codec(options)?)
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            .set_max_row_group_bytes(Some(options.row_group_bytes))
            // Lists have an `element`, maps a `key` and a `value`, as the format's text says and older readers need.
            .set_coerce_types(true)
            .set_created_by(concat!("limnos ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        let buffer = SharedBuffer::default();
        // Arrow's own schema would tell only readers that use Arrow what all can know.
        let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(buffer.clone(), Arc::clone(schema), options)
            .map_err(|error| parquet_error(&error))?;
        Ok(Self { writer: Some(writer), buffer })
    }
}

fn codec(options: &FileOptions) -> Result<Codec> {
    let level = options.level;
    let unsigned = level.and_then(|level| u32::try_from(level).ok());
    Ok(match options.compression {
        Compression::None => Codec::UNCOMPRESSED,
        Compression::Snappy => Codec::SNAPPY,
        Compression::Gzip => Codec::GZIP(match unsigned {
            None => GzipLevel::default(),
            Some(level) => GzipLevel::try_new(level).map_err(|error| parquet_error(&error))?,
        }),
        Compression::Zstd => Codec::ZSTD(match level {
            None => ZstdLevel::default(),
            Some(level) => ZstdLevel::try_new(level).map_err(|error| parquet_error(&error))?,
        }),
        Compression::Brotli => Codec::BROTLI(match unsigned {
            None => BrotliLevel::default(),
            Some(level) => BrotliLevel::try_new(level).map_err(|error| parquet_error(&error))?,
        }),
        // The one that all readers agree on; the older codec of that name has two framings.
        Compression::Lz4 => Codec::LZ4_RAW,
        Compression::Zlib | Compression::Bzip2 | Compression::Xz => {
            return Err(Error::internal("Parquet has no such compression"));
        }
    })
}

impl Encode for ParquetEncoder {
    fn write(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        let writer = self.writer.as_mut().ok_or_else(|| Error::internal("a batch after a file's end"))?;
        writer.write(batch).map_err(|error| parquet_error(&error))?;
        out.append(&mut self.buffer.take());
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<Option<FileFacts>> {
        let writer = self.writer.take().ok_or_else(|| Error::internal("a file was ended twice"))?;
        writer.close().map_err(|error| parquet_error(&error))?;
        let mut last = self.buffer.take();
        // The facts are made of the bytes that a reader will see, so that they are the same as the reader's.
        let facts = footer(&last).and_then(|footer| ParquetMetaDataReader::decode_metadata(footer).ok());
        let facts = facts.and_then(|metadata| facts_of(&metadata));
        out.append(&mut last);
        Ok(facts)
    }

    fn memory_size(&self) -> usize {
        self.writer.as_ref().map_or(0, ArrowWriter::memory_size)
    }

    fn pending_bytes(&self) -> usize {
        self.writer.as_ref().map_or(0, ArrowWriter::in_progress_size)
    }
}

/// The footer at the end of `bytes`.
fn footer(bytes: &[u8]) -> Option<&[u8]> {
    let end = bytes.len().checked_sub(TAIL_BYTES)?;
    let length = u32::from_le_bytes(bytes[end..end + 4].try_into().ok()?);
    bytes.get(end.checked_sub(usize::try_from(length).ok()?)?..end)
}

fn parquet_error(error: &ParquetError) -> Error {
    match error {
        ParquetError::NYI(_) | ParquetError::ArrowError(_) => {
            Error::unsupported(format!("the rows cannot be written as Parquet: {error}"))
        }
        _ => Error::internal(format!("could not write Parquet: {error}")),
    }
}
