//! Packed blocks of ORC and Avro files: bytes -> bytes, of which there are never more than the caller expects.
//!
//! The decoders of the formats' own crates unpack whatever comes out, so that a block of a few kilobytes ends the process for
//! want of memory, and they take a block that is cut off for one that is shorter.

use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::LazyLock;

use async_compression::tokio::bufread::{BzDecoder, XzDecoder, ZstdDecoder};
use bytes::Bytes;
use flate2::{Decompress, FlushDecompress, Status};
use futures::FutureExt;
use orc_rust::compression::{Compression, Decompressor};
use orc_rust::reader::metadata::read_metadata;
use tokio::io::{AsyncRead, AsyncReadExt};

/// How a block is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codec {
    /// Without zlib's header and checksum.
    Deflate,
    /// Without framing.
    Snappy,
    /// Without framing.
    Lz4,
    Lzo,
    Zstd,
    Bzip2,
    Xz,
}

impl Codec {
    fn name(self) -> &'static str {
        match self {
            Self::Deflate => "deflate",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Lzo => "lzo",
            Self::Zstd => "zstd",
            Self::Bzip2 => "bzip2",
            Self::Xz => "xz",
        }
    }
}

/// Unpacks one block; `Err` completes "the file is corrupt because".
pub(super) fn unpack(codec: Codec, packed: &[u8], bytes_max: usize) -> Result<Vec<u8>, String> {
    let unpacked = match codec {
        Codec::Deflate => inflate(packed, bytes_max),
        Codec::Snappy => match snap::raw::decompress_len(packed) {
            Ok(length) if length > bytes_max => Err(too_large(bytes_max)),
            Ok(_) => snap::raw::Decoder::new().decompress_vec(packed).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        },
        // It has its length nowhere.
        Codec::Lz4 => {
            let mut unpacked = vec![0; bytes_max];
            let length = lz4_flex::block::decompress_into(packed, &mut unpacked).map_err(|error| error.to_string());
            length.map(|length| {
                unpacked.truncate(length);
                unpacked
            })
        }
        Codec::Lzo => lzo(packed, bytes_max),
        Codec::Zstd => {
            let mut decoder = ZstdDecoder::new(packed);
            decoder.multiple_members(true);
            read_all(decoder, bytes_max)
        }
        Codec::Bzip2 => {
            let mut decoder = BzDecoder::new(packed);
            decoder.multiple_members(true);
            read_all(decoder, bytes_max)
        }
        Codec::Xz => {
            let mut decoder = XzDecoder::new(packed);
            decoder.multiple_members(true);
            read_all(decoder, bytes_max)
        }
    };
    unpacked.map_err(|reason| format!("a block of its {} data can't be unpacked ({reason})", codec.name()))
}

fn too_large(bytes_max: usize) -> String {
    format!("it has more than {bytes_max} bytes")
}

/// The readers of `flate2` take the end of the input for the end of the data.
fn inflate(packed: &[u8], bytes_max: usize) -> Result<Vec<u8>, String> {
    let mut state = Decompress::new(false);
    let mut unpacked = Vec::with_capacity(packed.len().saturating_mul(4).clamp(256, bytes_max.max(256)));
    loop {
        let used = usize::try_from(state.total_in()).unwrap_or(usize::MAX);
        let left = packed.get(used..).unwrap_or_default();
        let status =
            state.decompress_vec(left, &mut unpacked, FlushDecompress::None).map_err(|error| error.to_string())?;
        if unpacked.len() > bytes_max {
            return Err(too_large(bytes_max));
        }
        match status {
            Status::StreamEnd => return Ok(unpacked),
            Status::Ok | Status::BufError if unpacked.len() == unpacked.capacity() => {
                unpacked.reserve(unpacked.capacity().max(256));
            }
            Status::Ok | Status::BufError => return Err("it ends too early".to_owned()),
        }
    }
}

/// All that comes out of a decoder over bytes in memory, which never waits.
fn read_all(decoder: impl AsyncRead + Unpin, bytes_max: usize) -> Result<Vec<u8>, String> {
    let mut unpacked = Vec::new();
    let mut limited = decoder.take(bytes_max as u64 + 1);
    match limited.read_to_end(&mut unpacked).now_or_never() {
        Some(Ok(_)) if unpacked.len() > bytes_max => Err(too_large(bytes_max)),
        Some(Ok(_)) => Ok(unpacked),
        Some(Err(error)) => Err(error.to_string()),
        None => Err("it ends too early".to_owned()),
    }
}

/// The smallest ORC file that says of itself that it is packed with LZO: an empty struct as its only type.
const LZO_FILE: [u8; 14] = [9, 0, 0, 0x22, 2, 8, 12, 8, 7, 16, 3, 40, 0, 6];

/// `orc_rust` has the only decoder of LZO here, and gives it to readers of ORC files alone.
fn lzo(packed: &[u8], bytes_max: usize) -> Result<Vec<u8>, String> {
    static LZO: LazyLock<Option<Compression>> =
        LazyLock::new(|| read_metadata(&mut Bytes::from_static(&LZO_FILE)).ok()?.compression());
    let compression = (*LZO).ok_or("there is no decoder for it")?;
    let length = u32::try_from(packed.len()).ok().filter(|length| *length < 1 << 23).ok_or("it is too large")?;
    let mut block = (length << 1).to_le_bytes()[..3].to_vec();
    block.extend_from_slice(packed);
    // What it can't decode it panics at.
    catch_unwind(AssertUnwindSafe(|| {
        let mut unpacked = Vec::new();
        let decoder = Decompressor::new(block.into(), Some(compression), Vec::new());
        decoder.take(bytes_max as u64 + 1).read_to_end(&mut unpacked).map_err(|error| error.to_string())?;
        if unpacked.len() > bytes_max { Err(too_large(bytes_max)) } else { Ok(unpacked) }
    }))
    .unwrap_or_else(|_| Err("it is invalid".to_owned()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::io::Write;

    use super::*;

    fn text() -> Vec<u8> {
        b"Limnos is a lake, and this is a line of its water. ".repeat(400)
    }

    fn packed(codec: Codec) -> Vec<u8> {
        let text = text();
        macro_rules! pack {
            ($encoder:ident) => {{
                use async_compression::tokio::write::$encoder;
                use tokio::io::AsyncWriteExt;
                let mut encoder = $encoder::new(Vec::new());
                encoder.write_all(&text).now_or_never().unwrap().unwrap();
                encoder.shutdown().now_or_never().unwrap().unwrap();
                encoder.into_inner()
            }};
        }
        match codec {
            Codec::Deflate => {
                let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
                encoder.write_all(&text).unwrap();
                encoder.finish().unwrap()
            }
            Codec::Snappy => snap::raw::Encoder::new().compress_vec(&text).unwrap(),
            Codec::Lz4 => lz4_flex::block::compress(&text),
            // A literal of two bytes and the end of the stream, as the format's description has them.
            Codec::Lzo => vec![19, b'h', b'i', 17, 0, 0],
            Codec::Zstd => pack!(ZstdEncoder),
            Codec::Bzip2 => pack!(BzEncoder),
            Codec::Xz => pack!(XzEncoder),
        }
    }

    #[test]
    fn blocks_are_unpacked_up_to_a_limit() {
        for codec in [Codec::Deflate, Codec::Snappy, Codec::Lz4, Codec::Zstd, Codec::Bzip2, Codec::Xz] {
            let packed = packed(codec);
            assert_eq!(unpack(codec, &packed, 1 << 20).unwrap(), text(), "{codec:?}");
            assert_eq!(unpack(codec, &packed, text().len()).unwrap(), text(), "{codec:?}");
            unpack(codec, &packed, text().len() - 1).unwrap_err();
            for cut in [0, 1, packed.len() / 2, packed.len() - 1] {
                // Nothing at all is an empty frame to some.
                let whole = unpack(codec, &packed[..cut], 1 << 20);
                assert!(whole.is_err() || (cut == 0 && whole.unwrap().is_empty()), "{codec:?} cut at {cut}");
            }
        }
        assert_eq!(unpack(Codec::Lzo, &packed(Codec::Lzo), 100).unwrap(), b"hi");
        unpack(Codec::Lzo, &[17, 17, 17], 100).unwrap_err();
    }
}
