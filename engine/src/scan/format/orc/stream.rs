//! [`ByteStream`]: the bytes of one column's stream, unpacked chunk by chunk as they are read.
//!
//! A packed stream is a row of chunks: three bytes that say how long the chunk is and whether it is packed at all, and the
//! chunk. <https://orc.apache.org/specification/ORCv1/#compression>

use bytes::Bytes;

use super::{Decoded, Fault, short};
use crate::scan::format::block::{Codec, unpack};

/// How the streams of a file are packed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Compression {
    pub(super) codec: Codec,
    /// No chunk unpacks to more.
    pub(super) chunk_bytes_max: usize,
}

/// See the module.
#[derive(Debug)]
pub(super) struct ByteStream {
    packed: Bytes,
    compression: Option<Compression>,
    chunk: Bytes,
    /// How much of the chunk was read.
    at: usize,
}

impl ByteStream {
    pub(super) fn new(packed: Bytes, compression: Option<Compression>) -> Self {
        Self { packed, compression, chunk: Bytes::new(), at: 0 }
    }

    /// Unpacks the next chunk with a byte in it; false at the end.
    fn refill(&mut self) -> Decoded<bool> {
        while self.at == self.chunk.len() {
            if self.packed.is_empty() {
                return Ok(false);
            }
            self.at = 0;
            let Some(Compression { codec, chunk_bytes_max }) = self.compression else {
                self.chunk = std::mem::take(&mut self.packed);
                continue;
            };
            let cut = || Fault::corrupt("a chunk of packed data is cut off");
            let &[low, middle, high, ..] = self.packed.as_ref() else { return Err(cut()) };
            let header = usize::from(low) | usize::from(middle) << 8 | usize::from(high) << 16;
            let end = 3 + (header >> 1);
            if end > self.packed.len() {
                return Err(cut());
            }
            let chunk = self.packed.split_to(end).slice(3..);
            self.chunk = match header & 1 {
                1 => chunk,
                _ => Bytes::from(unpack(codec, &chunk, chunk_bytes_max).map_err(Fault::corrupt)?),
            };
        }
        Ok(true)
    }

    /// The next byte, if there is one.
    pub(super) fn next(&mut self) -> Decoded<Option<u8>> {
        if self.at == self.chunk.len() && !self.refill()? {
            return Ok(None);
        }
        let byte = self.chunk[self.at];
        self.at += 1;
        Ok(Some(byte))
    }

    pub(super) fn byte(&mut self) -> Decoded<u8> {
        self.next()?.ok_or_else(short)
    }

    pub(super) fn exact(&mut self, out: &mut [u8]) -> Decoded<()> {
        let mut filled = 0;
        while filled < out.len() {
            if !self.refill()? {
                return Err(short());
            }
            let count = (self.chunk.len() - self.at).min(out.len() - filled);
            out[filled..filled + count].copy_from_slice(&self.chunk[self.at..self.at + count]);
            self.at += count;
            filled += count;
        }
        Ok(())
    }

    /// Adds `count` bytes to `out`, which grows by what there is and not by what is claimed.
    pub(super) fn append(&mut self, mut count: usize, out: &mut Vec<u8>) -> Decoded<()> {
        while count > 0 {
            if !self.refill()? {
                return Err(short());
            }
            let taken = (self.chunk.len() - self.at).min(count);
            out.extend_from_slice(&self.chunk[self.at..self.at + taken]);
            self.at += taken;
            count -= taken;
        }
        Ok(())
    }

    /// All that is left, if it is at most `bytes_max`.
    pub(super) fn rest(mut self, bytes_max: usize) -> Decoded<Vec<u8>> {
        let mut rest = Vec::new();
        while self.refill()? {
            if rest.len() + self.chunk.len() - self.at > bytes_max {
                return Err(Fault::Limit(format!("A part of it unpacks to more than {} MB.", bytes_max >> 20)));
            }
            rest.extend_from_slice(&self.chunk[self.at..]);
            self.at = self.chunk.len();
        }
        Ok(rest)
    }

    /// A number of seven bits a byte, low ones first.
    pub(super) fn varint(&mut self) -> Decoded<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Fault::corrupt("a number is too long"))
    }

    /// The same with up to 128 bits, and its sign in the lowest.
    pub(super) fn wide_varint(&mut self) -> Decoded<i128> {
        let mut number = 0_u128;
        for shift in (0..128).step_by(7) {
            let byte = self.byte()?;
            number |= u128::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok((number >> 1) as i128 ^ -((number & 1) as i128));
            }
        }
        Err(Fault::corrupt("a decimal is too long"))
    }
}
