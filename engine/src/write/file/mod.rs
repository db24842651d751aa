//! [`FileWriter`]: record batches -> one file of a store, in bounded memory.
//!
//! ```text
//! batch ── shape (the file's types) ── Encode (parquet, orc, avro, json, delimited, arrow_ipc) ── bytes
//!       ── Packer (compression of text) ── Upload (parts, durable) ── ObjectMeta, as a listing shows it
//! ```
//! What is written reads back equal through [`crate::scan`], or is refused: a value that a format can't hold is an error
//! that names its column, never a value that looks like it. Nothing is at the file's path until
//! [`FileWriter::finish`]; a writer that is dropped or aborted leaves nothing there.

mod arrow_ipc;
mod avro;
mod delimited;
mod hive;
mod json;
mod options;
mod orc;
mod pack;
mod parquet;
mod shape;
#[cfg(test)]
mod tests;
mod upload;
mod value;

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use limnos_catalog::FileFacts;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};

pub use options::{Compression, FileKind, FileOptions, JsonFile, JsonLayout, TextOptions};
pub use upload::write_error;

use self::pack::Packer;
use self::shape::Shape;
use self::upload::Upload;
use crate::Result;

/// A file that was written whole.
#[derive(Debug, Clone)]
pub struct WrittenFile {
    /// What a listing shows of it, so that facts told of it are found again.
    pub meta: ObjectMeta,
    /// Rows in it.
    pub row_count: u64,
    /// What its footer says, for formats that have one that is believed (Parquet).
    pub facts: Option<FileFacts>,
    /// The SHA-256 of its bytes in hexadecimal digits, where it was asked for.
    pub sha256: Option<String>,
}

/// Writes a file of bytes that are all there, and tells their count and SHA-256.
///
/// # Errors
/// What the store says. Nothing is left at the path then.
pub(crate) async fn write_bytes(store: Arc<dyn ObjectStore>, path: Path, bytes: Vec<u8>) -> Result<(u64, String)> {
    let mut upload = Upload::new(store, path);
    upload.digest();
    *upload.sink() = bytes;
    upload.advance().await?;
    let meta = upload.finish().await?;
    Ok((meta.size, upload.sha256().unwrap_or_default()))
}

/// Bytes of one format, made batch by batch.
trait Encode: Send {
    /// Appends what `batch` makes ready to `out`; the rest is kept.
    fn write(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()>;

    /// Appends the rest. Called once, last.
    fn finish(&mut self, out: &mut Vec<u8>) -> Result<Option<FileFacts>>;

    /// Bytes that are kept.
    fn memory_size(&self) -> usize;

    /// About how many bytes of the file what is kept will make.
    fn pending_bytes(&self) -> usize {
        self.memory_size()
    }
}

/// Writes one file.
pub struct FileWriter {
    shape: Shape,
    encoder: Box<dyn Encode>,
    packer: Packer,
    upload: Upload,
    row_count: u64,
    /// Lent to the encoder, so that it is allocated once.
    buffer: Vec<u8>,
}

impl std::fmt::Debug for FileWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileWriter")
            .field("path", self.upload.path())
            .field("rows", &self.row_count)
            .finish_non_exhaustive()
    }
}

impl FileWriter {
    /// A writer of the file at `path`, for batches of `schema`. Nothing is sent yet.
    ///
    /// # Errors
    /// 0A000 for a column that the format can't hold, by its name; 42701 for two columns of one name.
    pub fn create(store: Arc<dyn ObjectStore>, path: Path, schema: SchemaRef, options: &FileOptions) -> Result<Self> {
        let shape = Shape::new(&schema, &options.kind)?;
        let encoder: Box<dyn Encode> = match &options.kind {
            FileKind::Parquet => Box::new(parquet::ParquetEncoder::new(shape.schema(), options)?),
            FileKind::Orc => Box::new(orc::OrcEncoder::new(shape.schema(), options)?),
            FileKind::Avro => Box::new(avro::AvroEncoder::new(shape.schema(), options)?),
            FileKind::Arrow => Box::new(arrow_ipc::ArrowEncoder::new(shape.schema(), options)?),
            FileKind::Json(layout) => Box::new(json::JsonEncoder::new(shape.schema(), layout)?),
            FileKind::Text(text) => Box::new(delimited::DelimitedEncoder::new(shape.schema(), text)?),
        };
        let packer = Packer::new(options);
        Ok(Self { shape, encoder, packer, upload: Upload::new(store, path), row_count: 0, buffer: Vec::new() })
    }

    /// Has the file's SHA-256 told.
    #[must_use]
    pub fn with_digest(mut self) -> Self {
        self.upload.digest();
        self
    }

    /// Writes `batch`.
    ///
    /// # Errors
    /// A value that the format can't hold; what the store says.
    pub async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let batch = self.shape.convert(batch)?;
        self.encoder.write(&batch, &mut self.buffer)?;
        self.row_count += batch.num_rows() as u64;
        self.packer.push(&mut self.buffer, self.upload.sink()).await?;
        self.buffer.clear();
        self.upload.advance().await
    }

    /// Rows written so far.
    pub fn row_count(&self) -> u64 {
        self.row_count
    }

    /// The file's size so far, with an estimate of what is still in memory: what rolling at a target size asks.
    pub fn bytes_written(&self) -> u64 {
        self.upload.bytes() + self.encoder.pending_bytes() as u64
    }

    /// Bytes held in memory.
    pub fn memory_size(&self) -> usize {
        self.encoder.memory_size() + self.buffer.capacity() + self.packer.memory_size() + self.upload.memory_size()
    }

    /// Writes the rest and makes the file appear, durably.
    ///
    /// # Errors
    /// What the store says. Nothing is left at the path then.
    pub async fn finish(mut self) -> Result<WrittenFile> {
        let facts = self.encoder.finish(&mut self.buffer)?;
        self.packer.push(&mut self.buffer, self.upload.sink()).await?;
        self.packer.finish(self.upload.sink()).await?;
        let meta = self.upload.finish().await?;
        Ok(WrittenFile { meta, row_count: self.row_count, facts, sha256: self.upload.sha256() })
    }

    /// Gives the file up. What was sent is taken back.
    pub async fn abort(self) {
        self.upload.abort().await;
    }
}
