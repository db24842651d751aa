//! [`OrcEncoder`]: ORC, of the types that the writer in `orc-rust` has: numbers but decimals, text, binary, booleans, dates
//! and timestamps. Others are refused by [`super::shape`].
//!
//! That writer can't move between threads, as ours must at every `await`. So each lives on a thread of its own, which gets
//! batches and gives bytes; who sends a batch waits for them, so nothing queues up.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use limnos_catalog::FileFacts;
use orc_rust::ArrowWriterBuilder;
use orc_rust::compression::CompressionType;
use orc_rust::error::OrcError;

use super::{Compression, Encode, FileOptions};
use crate::encode::parquet::SharedBuffer;
use crate::{Error, ErrorCode, Result};

/// A stripe's columns are encoded in memory before any byte goes out.
const STRIPE_BYTES: usize = 64 << 20;

/// See the module.
pub(super) struct OrcEncoder {
    /// `None` behind the end: then the thread ends the file, gives the last bytes, and ends.
    batches: Option<Sender<RecordBatch>>,
    bytes: Receiver<Result<Vec<u8>>>,
    /// Bytes of batches since the last stripe went out: the writer doesn't tell what it holds.
    kept_bytes: usize,
}

impl OrcEncoder {
    pub(super) fn new(schema: &SchemaRef, options: &FileOptions) -> Result<Self> {
        let compression = match options.compression {
            Compression::Zlib => Some(CompressionType::Zlib),
            Compression::Snappy => Some(CompressionType::Snappy),
            Compression::Zstd => Some(CompressionType::Zstd),
            Compression::Lz4 => Some(CompressionType::Lz4),
            _ => None,
        };
        let stripe_bytes = STRIPE_BYTES.min(options.row_group_bytes);
        let schema = Arc::clone(schema);
        let (batch_sender, batches) = channel::<RecordBatch>();
        let (byte_sender, bytes) = channel();
        std::thread::Builder::new()
            .name("limnos-orc".to_owned())
            .spawn(move || {
                let encoded = encode(&schema, compression, stripe_bytes, &batches, &byte_sender);
                if let Err(error) = encoded {
                    // ORC has timestamps that it can't tell apart: those in the second before 1970 that have a fraction.
                    let error = Error::new(ErrorCode::DataException, "the rows cannot be written as ORC")
                        .with_detail(format!("{error}."))
                        .with_hint("Choose Parquet or Avro.");
                    // Nobody may listen any more: the file was given up.
                    let _ = byte_sender.send(Err(error));
                }
            })
            .map_err(|error| Error::new(ErrorCode::IoError, format!("could not start a thread: {error}")))?;
        Ok(Self { batches: Some(batch_sender), bytes, kept_bytes: 0 })
    }

    fn receive(&self) -> Result<Vec<u8>> {
        self.bytes.recv().unwrap_or_else(|_| Err(Error::internal("the writer of an ORC file panicked")))
    }
}

/// The life of a writer.
fn encode(
    schema: &SchemaRef,
    compression: Option<CompressionType>,
    stripe_bytes: usize,
    batches: &Receiver<RecordBatch>,
    bytes: &Sender<Result<Vec<u8>>>,
) -> Result<(), OrcError> {
    let buffer = SharedBuffer::default();
    let mut builder = ArrowWriterBuilder::new(buffer.clone(), Arc::clone(schema)).with_stripe_byte_size(stripe_bytes);
    if let Some(compression) = compression {
        builder = builder.with_compression(compression);
    }
    let mut writer = builder.try_build()?;
    while let Ok(batch) = batches.recv() {
        writer.write(&batch)?;
        if bytes.send(Ok(buffer.take())).is_err() {
            return Ok(());
        }
    }
    writer.close()?;
    let _ = bytes.send(Ok(buffer.take()));
    Ok(())
}

impl Encode for OrcEncoder {
    fn write(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        let batches = self.batches.as_ref().ok_or_else(|| Error::internal("a batch after a file's end"))?;
        if batches.send(batch.clone()).is_err() {
            return self.receive().map(drop);
        }
        let mut bytes = self.receive()?;
        self.kept_bytes += batch.get_array_memory_size();
        if !bytes.is_empty() {
            self.kept_bytes = 0;
        }
        out.append(&mut bytes);
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<Option<FileFacts>> {
        self.batches = None;
        out.append(&mut self.receive()?);
        Ok(None)
    }

    fn memory_size(&self) -> usize {
        self.kept_bytes
    }
}
