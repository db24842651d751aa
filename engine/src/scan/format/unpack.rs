//! Packed text whose blocks are framed by rules of their own: LZ4 frames, Snappy's framing, snappy-java's streams and Hadoop's
//! blocks. In: the bytes of a file. Out: its text, a block at a time; one block is held, and all are bounded.
//!
//! ```text
//! LZ4 frame     04224D18 flags … [size block checksum?]… 0 checksum?        sizes little-endian, blocks up to 4 MB (legacy: 8 MB)
//! Snappy        FF 060000 "sNaPpY" [kind size₃ crc32c block]…                blocks up to 64 kB
//! snappy-java   82 "SNAPPY" 00 version compatible [size block]…              sizes big-endian
//! Hadoop        [size of the text [size block]…]…                            no magic number; blocks are Snappy or LZ4
//! ```
//! Frames may follow each other: files are made by putting packed files one behind the other.

use bytes::{Buf, Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt, stream};

use super::checksum::{Xxh32, crc32c, xxh32};
use super::input::{Chunks, Compression, corrupted};
use crate::Result;

/// Largest block of snappy-java and Hadoop, packed or not. Theirs have 32 and 256 kB unless told otherwise.
const BLOCK_BYTES_MAX: usize = 64 << 20;

/// How far back a block of LZ4 may refer to the ones before it.
const LZ4_WINDOW: usize = 64 << 10;

/// Blocks of the old LZ4 frame.
const LZ4_LEGACY_BLOCK: usize = 8 << 20;

const LZ4_MAGIC: u32 = 0x184d_2204;
const LZ4_LEGACY_MAGIC: u32 = 0x184c_2102;
const SNAPPY_JAVA_MAGIC: &[u8; 8] = b"\x82SNAPPY\0";
/// Text in a chunk of Snappy's framing.
const SNAPPY_CHUNK_MAX: usize = 65_536;

/// The text of `raw`, which is packed as `compression` says.
pub(super) fn unpack_blocks(compression: Compression, raw: Chunks, name: &str) -> Chunks {
    let input = Input { raw, held: BytesMut::new(), name: name.to_owned(), compression };
    let format = match compression {
        Compression::Lz4 => Format::Lz4(None),
        Compression::Snappy => Format::Snappy,
        Compression::SnappyJava => Format::SnappyJava { is_open: false },
        _ => Format::Hadoop { left: 0, codec: None },
    };
    stream::try_unfold((input, format), |(mut input, mut format)| async move {
        Ok(format.next(&mut input).await?.map(|block| (block, (input, format))))
    })
    .boxed()
}

/// The packed bytes that were not used yet.
struct Input {
    raw: Chunks,
    held: BytesMut,
    name: String,
    compression: Compression,
}

impl Input {
    /// Whether `count` bytes are there. False only at the end.
    async fn has(&mut self, count: usize) -> Result<bool> {
        while self.held.len() < count {
            match self.raw.try_next().await? {
                Some(chunk) => self.held.extend_from_slice(&chunk),
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    /// The next `count` bytes.
    async fn take(&mut self, count: usize) -> Result<Bytes> {
        if self.has(count).await? { Ok(self.held.split_to(count).freeze()) } else { Err(self.ends_early()) }
    }

    /// Passes over `count` bytes without holding them.
    async fn skip(&mut self, mut count: usize) -> Result<()> {
        while count > 0 {
            if self.held.is_empty() && !self.has(1).await? {
                return Err(self.ends_early());
            }
            let step = count.min(self.held.len());
            self.held.advance(step);
            count -= step;
        }
        Ok(())
    }

    async fn number_le(&mut self) -> Result<u32> {
        Ok(self.take(4).await?.get_u32_le())
    }

    async fn number_be(&mut self) -> Result<usize> {
        Ok(self.take(4).await?.get_u32() as usize)
    }

    /// The next four bytes, without taking them; `None` at the end.
    async fn peek_le(&mut self) -> Result<Option<u32>> {
        if self.has(4).await? {
            return Ok(Some((&self.held[..4]).get_u32_le()));
        }
        if self.held.is_empty() { Ok(None) } else { Err(self.ends_early()) }
    }

    fn ends_early(&self) -> crate::Error {
        corrupted(&self.name, &format!("its {} data ends too early", self.compression.name()))
    }

    fn broken(&self, why: &str) -> crate::Error {
        corrupted(&self.name, &format!("its {} data can't be unpacked ({why})", self.compression.name()))
    }
}

enum Format {
    Lz4(Option<Lz4Frame>),
    Snappy,
    SnappyJava {
        is_open: bool,
    },
    Hadoop {
        /// Text of the outer block that is still to come.
        left: usize,
        codec: Option<Codec>,
    },
}

#[derive(Clone, Copy)]
enum Codec {
    Snappy,
    Lz4,
}

/// An LZ4 frame that is being read.
struct Lz4Frame {
    block_max: usize,
    is_legacy: bool,
    is_linked: bool,
    has_block_checksums: bool,
    content_size: Option<u64>,
    /// Of the text so far, if it is to be checked.
    checksum: Option<Xxh32>,
    length: u64,
    /// The end of the text so far, which linked blocks refer to.
    window: Vec<u8>,
}

impl Format {
    async fn next(&mut self, input: &mut Input) -> Result<Option<Bytes>> {
        loop {
            let block = match self {
                Self::Lz4(frame) => next_lz4(frame, input).await?,
                Self::Snappy => next_snappy(input).await?,
                Self::SnappyJava { is_open } => next_snappy_java(is_open, input).await?,
                Self::Hadoop { left, codec } => next_hadoop(left, codec, input).await?,
            };
            match block {
                // Empty blocks are allowed, and are not the end.
                Some(block) if block.is_empty() => {}
                other => return Ok(other),
            }
        }
    }
}

async fn next_lz4(open: &mut Option<Lz4Frame>, input: &mut Input) -> Result<Option<Bytes>> {
    let Some(frame) = open else {
        let Some(magic) = input.peek_le().await? else { return Ok(None) };
        match magic {
            0x184d_2a50..=0x184d_2a5f => {
                input.skip(4).await?;
                let size = input.number_le().await?;
                input.skip(size as usize).await?;
            }
            LZ4_MAGIC => *open = Some(Lz4Frame::read(input).await?),
            LZ4_LEGACY_MAGIC => {
                input.skip(4).await?;
                *open = Some(Lz4Frame::legacy());
            }
            _ => return Err(input.broken("there is something else behind a frame")),
        }
        return Ok(Some(Bytes::new()));
    };
    if frame.is_legacy {
        match input.peek_le().await? {
            None => return Ok(None),
            Some(LZ4_MAGIC | LZ4_LEGACY_MAGIC | 0x184d_2a50..=0x184d_2a5f) => {
                *open = None;
                return Ok(Some(Bytes::new()));
            }
            Some(_) => {}
        }
    }
    let size = input.number_le().await?;
    if size == 0 && !frame.is_legacy {
        if frame.content_size.is_some_and(|size| size != frame.length) {
            return Err(input.broken("the text is not as long as the frame says"));
        }
        if let Some(checksum) = &frame.checksum
            && checksum.finish() != input.number_le().await?
        {
            return Err(input.broken("the checksum of the text is another one"));
        }
        *open = None;
        return Ok(Some(Bytes::new()));
    }
    let is_plain = size >> 31 == 1 && !frame.is_legacy;
    let size = if frame.is_legacy { size as usize } else { (size & 0x7fff_ffff) as usize };
    // What can't be packed grows a little in the old frame, and is stored as it is in the other.
    if size > if frame.is_legacy { frame.block_max + frame.block_max / 255 + 16 } else { frame.block_max } {
        return Err(input.broken("a block is too large"));
    }
    let packed = input.take(size).await?;
    if frame.has_block_checksums && xxh32(&packed) != input.number_le().await? {
        return Err(input.broken("the checksum of a block is another one"));
    }
    let text = if is_plain {
        packed
    } else {
        let mut text = vec![0; frame.block_max];
        let length = lz4_flex::block::decompress_into_with_dict(&packed, &mut text, &frame.window)
            .map_err(|error| input.broken(&error.to_string()))?;
        text.truncate(length);
        Bytes::from(text)
    };
    frame.length += text.len() as u64;
    if let Some(checksum) = &mut frame.checksum {
        checksum.update(&text);
    }
    if frame.is_linked {
        if text.len() >= LZ4_WINDOW {
            frame.window.clear();
        } else {
            let spare = (frame.window.len() + text.len()).saturating_sub(LZ4_WINDOW);
            frame.window.drain(..spare);
        }
        frame.window.extend_from_slice(&text[text.len().saturating_sub(LZ4_WINDOW)..]);
    }
    Ok(Some(text))
}

impl Lz4Frame {
    fn legacy() -> Self {
        Self {
            block_max: LZ4_LEGACY_BLOCK,
            is_legacy: true,
            is_linked: false,
            has_block_checksums: false,
            content_size: None,
            checksum: None,
            length: 0,
            window: Vec::new(),
        }
    }

    /// Reads a frame's header, magic number included.
    async fn read(input: &mut Input) -> Result<Self> {
        input.skip(4).await?;
        let mut header = input.take(2).await?.to_vec();
        let (flags, sizes) = (header[0], header[1]);
        if flags >> 6 != 1 {
            return Err(input.broken("the frame is of another version"));
        }
        if flags & 1 != 0 {
            return Err(input.broken("it needs a dictionary"));
        }
        let block_max = match (sizes >> 4) & 7 {
            4 => 64 << 10,
            5 => 256 << 10,
            6 => 1 << 20,
            7 => 4 << 20,
            _ => return Err(input.broken("the frame's header is wrong")),
        };
        let content_size = match flags & 8 != 0 {
            true => {
                let bytes = input.take(8).await?;
                header.extend_from_slice(&bytes);
                Some((&bytes[..]).get_u64_le())
            }
            false => None,
        };
        if input.take(1).await?[0] != (xxh32(&header) >> 8) as u8 {
            return Err(input.broken("the checksum of the frame's header is another one"));
        }
        Ok(Self {
            block_max,
            is_legacy: false,
            is_linked: flags & 0x20 == 0,
            has_block_checksums: flags & 0x10 != 0,
            content_size,
            checksum: (flags & 4 != 0).then(Xxh32::default),
            length: 0,
            window: Vec::new(),
        })
    }
}

async fn next_snappy(input: &mut Input) -> Result<Option<Bytes>> {
    let Some(header) = input.peek_le().await? else { return Ok(None) };
    input.skip(4).await?;
    let (kind, size) = (header & 0xff, (header >> 8) as usize);
    match kind {
        0xff => {
            if size != 6 || input.take(size).await?[..] != b"sNaPpY"[..] {
                return Err(input.broken("a stream begins otherwise"));
            }
            Ok(Some(Bytes::new()))
        }
        0x00 | 0x01 => {
            // What a chunk of 64 kB can become at most when it is packed.
            if !(4..=4 + 32 + SNAPPY_CHUNK_MAX + SNAPPY_CHUNK_MAX / 6).contains(&size) {
                return Err(input.broken("a chunk has an impossible size"));
            }
            let mut chunk = input.take(size).await?;
            let expected = chunk.get_u32_le();
            let text = if kind == 0 { unsnap(&chunk, SNAPPY_CHUNK_MAX, input)? } else { chunk };
            let checksum = crc32c(&text);
            if (checksum.rotate_right(15)).wrapping_add(0xa282_ead8) != expected {
                return Err(input.broken("the checksum of a chunk is another one"));
            }
            Ok(Some(text))
        }
        0x80..=0xfe => {
            input.skip(size).await?;
            Ok(Some(Bytes::new()))
        }
        _ => Err(input.broken("a chunk is of an unknown kind")),
    }
}

async fn next_snappy_java(is_open: &mut bool, input: &mut Input) -> Result<Option<Bytes>> {
    let Some(_) = input.peek_le().await? else { return Ok(None) };
    if !*is_open || input.held.starts_with(&SNAPPY_JAVA_MAGIC[..4]) {
        if input.take(16).await?[..8] != SNAPPY_JAVA_MAGIC[..] {
            return Err(input.broken("a stream begins otherwise"));
        }
        *is_open = true;
        return Ok(Some(Bytes::new()));
    }
    let size = input.number_be().await?;
    if size > BLOCK_BYTES_MAX {
        return Err(input.broken("a block is too large"));
    }
    let packed = input.take(size).await?;
    unsnap(&packed, BLOCK_BYTES_MAX, input).map(Some)
}

async fn next_hadoop(left: &mut usize, codec: &mut Option<Codec>, input: &mut Input) -> Result<Option<Bytes>> {
    if *left == 0 {
        if input.peek_le().await?.is_none() {
            return Ok(None);
        }
        *left = input.number_be().await?;
        if *left > BLOCK_BYTES_MAX {
            return Err(input.broken("a block is too large"));
        }
        return Ok(Some(Bytes::new()));
    }
    let size = input.number_be().await?;
    if size > BLOCK_BYTES_MAX + BLOCK_BYTES_MAX / 6 + 32 {
        return Err(input.broken("a block is too large"));
    }
    let packed = input.take(size).await?;
    // Nothing says which codec it is. A block of one is no block of the other: the lengths don't fit.
    let codec = codec.get_or_insert_with(|| match snap::raw::decompress_len(&packed) {
        Ok(length) if length <= *left && snap::raw::Decoder::new().decompress_vec(&packed).is_ok() => Codec::Snappy,
        _ => Codec::Lz4,
    });
    let text = match codec {
        Codec::Snappy => unsnap(&packed, *left, input)?,
        Codec::Lz4 => {
            let mut text = vec![0; *left];
            let length = lz4_flex::block::decompress_into(&packed, &mut text)
                .map_err(|error| input.broken(&error.to_string()))?;
            text.truncate(length);
            Bytes::from(text)
        }
    };
    *left = left.checked_sub(text.len()).ok_or_else(|| input.broken("a block holds more than it says"))?;
    Ok(Some(text))
}

/// A block of Snappy, of at most `length_max` bytes of text.
fn unsnap(packed: &[u8], length_max: usize, input: &Input) -> Result<Bytes> {
    let length = snap::raw::decompress_len(packed).map_err(|error| input.broken(&error.to_string()))?;
    if length > length_max {
        return Err(input.broken("a block holds more than it may"));
    }
    let text = snap::raw::Decoder::new().decompress_vec(packed).map_err(|error| input.broken(&error.to_string()))?;
    Ok(Bytes::from(text))
}
