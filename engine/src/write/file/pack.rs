//! [`Packer`]: the compression around text files. In: plain bytes. Out: what [`crate::scan::format::input`] unpacks.

use std::io::Write as _;
use std::mem;

use async_compression::Level;
use async_compression::tokio::write::{BzEncoder, GzipEncoder, XzEncoder, ZlibEncoder, ZstdEncoder};
use tokio::io::AsyncWriteExt as _;

use super::{Compression, FileOptions};
use crate::scan::format::input;
use crate::{Error, Result};

/// First bytes that decide what a reader takes a file for.
const HEAD_BYTES: usize = 6;

/// See the module. Each encoder writes into a buffer of its own that is emptied after each call.
pub(super) enum Packer {
    /// Text whose first bytes are not known yet.
    Head(Vec<u8>),
    Plain,
    Gzip(GzipEncoder<Vec<u8>>),
    Zlib(ZlibEncoder<Vec<u8>>),
    Zstd(ZstdEncoder<Vec<u8>>),
    Bzip2(BzEncoder<Vec<u8>>),
    Xz(XzEncoder<Vec<u8>>),
    Lz4(Box<lz4_flex::frame::FrameEncoder<Vec<u8>>>),
    Snappy(Box<snap::write::FrameEncoder<Vec<u8>>>),
    Finished,
}

impl Packer {
    pub(super) fn new(options: &FileOptions) -> Self {
        if !options.kind.is_text() {
            return Self::Plain;
        }
        let level = options.level.map_or(Level::Default, Level::Precise);
        match options.compression {
            Compression::None | Compression::Brotli => Self::Head(Vec::new()),
            Compression::Gzip => Self::gzip(level),
            Compression::Zlib => Self::Zlib(ZlibEncoder::with_quality(Vec::new(), level)),
            Compression::Zstd => Self::Zstd(ZstdEncoder::with_quality(Vec::new(), level)),
            Compression::Bzip2 => Self::Bzip2(BzEncoder::with_quality(Vec::new(), level)),
            Compression::Xz => Self::Xz(XzEncoder::with_quality(Vec::new(), level)),
            Compression::Lz4 => Self::Lz4(Box::new(lz4_flex::frame::FrameEncoder::new(Vec::new()))),
            Compression::Snappy => Self::Snappy(Box::new(snap::write::FrameEncoder::new(Vec::new()))),
        }
    }

    fn gzip(level: Level) -> Self {
        Self::Gzip(GzipEncoder::with_quality(Vec::new(), level))
    }

    /// Takes what is in `bytes` and appends what it makes to `out`.
    pub(super) async fn push(&mut self, bytes: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<()> {
        if let Self::Head(head) = self {
            head.append(bytes);
            if head.len() < HEAD_BYTES {
                return Ok(());
            }
            mem::swap(head, bytes);
            self.decide(bytes);
        }
        macro_rules! pack {
            ($encoder:expr) => {{
                $encoder.write_all(bytes).await.map_err(|error| packing_error(&error))?;
                out.append($encoder.get_mut());
            }};
        }
        match self {
            Self::Plain | Self::Head(_) => out.append(bytes),
            Self::Gzip(encoder) => pack!(encoder),
            Self::Zlib(encoder) => pack!(encoder),
            Self::Zstd(encoder) => pack!(encoder),
            Self::Bzip2(encoder) => pack!(encoder),
            Self::Xz(encoder) => pack!(encoder),
            Self::Lz4(encoder) => {
                encoder.write_all(bytes).map_err(|error| packing_error(&error))?;
                out.append(encoder.get_mut());
            }
            Self::Snappy(encoder) => {
                encoder.write_all(bytes).map_err(|error| packing_error(&error))?;
                out.append(encoder.get_mut());
            }
            Self::Finished => return Err(Error::internal("bytes after a file's end")),
        }
        bytes.clear();
        Ok(())
    }

    /// Readers tell compression from the first bytes. A first cell may look like it (`x` before a `\001` looks like zlib):
    /// such a file is packed, so that it reads as what it is.
    fn decide(&mut self, head: &[u8]) {
        *self = match input::Compression::detect(head) {
            input::Compression::None => Self::Plain,
            _ => Self::gzip(Level::Default),
        };
    }

    /// Appends the rest to `out`.
    pub(super) async fn finish(&mut self, out: &mut Vec<u8>) -> Result<()> {
        if let Self::Head(head) = self {
            let mut bytes = mem::take(head);
            self.decide(&bytes);
            Box::pin(self.push(&mut bytes, out)).await?;
        }
        macro_rules! end {
            ($encoder:expr) => {{
                let mut encoder = $encoder;
                encoder.shutdown().await.map_err(|error| packing_error(&error))?;
                out.append(encoder.get_mut());
            }};
        }
        match mem::replace(self, Self::Finished) {
            Self::Plain | Self::Head(_) | Self::Finished => {}
            Self::Gzip(encoder) => end!(encoder),
            Self::Zlib(encoder) => end!(encoder),
            Self::Zstd(encoder) => end!(encoder),
            Self::Bzip2(encoder) => end!(encoder),
            Self::Xz(encoder) => end!(encoder),
            Self::Lz4(encoder) => {
                out.append(&mut encoder.finish().map_err(|error| Error::internal(error.to_string()))?);
            }
            Self::Snappy(encoder) => {
                out.append(&mut encoder.into_inner().map_err(|error| Error::internal(error.to_string()))?);
            }
        }
        Ok(())
    }

    /// About what the encoder itself holds.
    pub(super) fn memory_size(&self) -> usize {
        match self {
            Self::Head(head) => head.capacity(),
            Self::Plain | Self::Finished => 0,
            Self::Gzip(_) | Self::Zlib(_) | Self::Snappy(_) => 256 << 10,
            Self::Lz4(_) => 8 << 20,
            Self::Bzip2(_) | Self::Zstd(_) => 8 << 20,
            Self::Xz(_) => 94 << 20,
        }
    }
}

fn packing_error(error: &std::io::Error) -> Error {
    Error::internal(format!("a file could not be packed: {error}"))
}
