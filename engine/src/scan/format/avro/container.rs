//! [`Container`]: the file around the records. Every length is held against what there is, every mark against the header's.

use bytes::{Buf, BytesMut};
use futures::TryStreamExt;

use super::schema::{AvroType, fields};
use super::{Decoded, Fault};
use crate::Result;
use crate::scan::format::block::{Codec, unpack};
use crate::scan::format::input::Chunks;

const MAGIC: &[u8; 4] = b"Obj\x01";

/// Largest header: its schema takes many times its size when it is read.
const HEADER_BYTES_MAX: usize = 16 << 20;

/// Largest block, packed or not. Writers make blocks of 16 KB to some MB.
const BLOCK_BYTES_MAX: usize = 256 << 20;

const MARK_BYTES: usize = 16;

/// Records, unpacked.
#[derive(Debug)]
pub(super) struct Block {
    /// How many there are still.
    pub(super) records: u64,
    pub(super) bytes: Vec<u8>,
}

/// See the module.
pub(super) struct Container {
    chunks: Chunks,
    /// What has come and was not used.
    buffer: BytesMut,
    codec: Option<Codec>,
    is_snappy: bool,
    mark: [u8; MARK_BYTES],
    /// The fields of its records.
    pub(super) fields: Vec<(String, AvroType)>,
}

impl Container {
    /// Reads the header of the file called `name`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) async fn open(mut chunks: Chunks, name: &str) -> Result<Self> {
        let mut buffer = BytesMut::new();
        let header = loop {
            let mut header = Bytes { rest: &buffer };
            match header.header() {
                Ok(parsed) => {
                    let used = buffer.len() - header.rest.len();
                    break (parsed, used);
                }
                Err(Stop::Fault(fault)) => return Err(fault.error(name)),
                Err(Stop::Short) if buffer.len() > HEADER_BYTES_MAX => {
                    return Err(Fault::Limit("Its header is too large.".to_owned()).error(name));
                }
                Err(Stop::Short) => match chunks.try_next().await? {
                    Some(chunk) => buffer.extend_from_slice(&chunk),
                    None => return Err(Fault::corrupt("its header is cut off").error(name)),
                },
            }
        };
        let (Header { schema, codec, mark }, used) = header;
        buffer.advance(used);
        let codec = codec_named(&codec).map_err(|fault| fault.error(name))?;
        let fields = fields(&schema).map_err(|fault| fault.error(name))?;
        Ok(Self { chunks, buffer, codec, is_snappy: codec == Some(Codec::Snappy), mark, fields })
    }

    /// The next block with a record; `None` at the file's end.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) async fn next_block(&mut self, name: &str) -> Result<Option<Block>> {
        loop {
            let mut head = Bytes { rest: &self.buffer };
            match head.block_head() {
                Ok((records, length)) => {
                    let used = self.buffer.len() - head.rest.len();
                    self.buffer.advance(used);
                    let block = self.block(records, length, name).await?;
                    if block.records > 0 {
                        return Ok(Some(block));
                    }
                }
                Err(Stop::Fault(fault)) => return Err(fault.error(name)),
                Err(Stop::Short) => match self.chunks.try_next().await? {
                    Some(chunk) => self.buffer.extend_from_slice(&chunk),
                    None if self.buffer.is_empty() => return Ok(None),
                    None => return Err(Fault::corrupt("a block is cut off").error(name)),
                },
            }
        }
    }

    async fn block(&mut self, records: u64, length: usize, name: &str) -> Result<Block> {
        while self.buffer.len() < length + MARK_BYTES {
            match self.chunks.try_next().await? {
                Some(chunk) => self.buffer.extend_from_slice(&chunk),
                None => return Err(Fault::corrupt("a block is cut off").error(name)),
            }
        }
        let packed = self.buffer.split_to(length);
        if self.buffer[..MARK_BYTES] != self.mark {
            return Err(Fault::corrupt("the mark behind a block is missing").error(name));
        }
        self.buffer.advance(MARK_BYTES);
        let bytes = self.unpack(&packed).map_err(|fault| fault.error(name))?;
        if records == 0 && !bytes.is_empty() {
            return Err(Fault::corrupt("a block has more bytes than its records").error(name));
        }
        Ok(Block { records, bytes })
    }

    fn unpack(&self, packed: &[u8]) -> Decoded<Vec<u8>> {
        let Some(codec) = self.codec else { return Ok(packed.to_vec()) };
        if !self.is_snappy {
            return unpack(codec, packed, BLOCK_BYTES_MAX).map_err(Fault::corrupt);
        }
        // Followed by the checksum of what is unpacked.
        let Some((packed, checksum)) = packed.split_last_chunk::<4>() else {
            return Err(Fault::corrupt("a block of its snappy data is cut off"));
        };
        let bytes = unpack(codec, packed, BLOCK_BYTES_MAX).map_err(Fault::corrupt)?;
        let mut crc = flate2::Crc::new();
        crc.update(&bytes);
        if crc.sum() != u32::from_be_bytes(*checksum) {
            return Err(Fault::corrupt("a block has another checksum than it says"));
        }
        Ok(bytes)
    }
}

fn codec_named(name: &[u8]) -> Decoded<Option<Codec>> {
    Ok(Some(match name {
        b"" | b"null" => return Ok(None),
        b"deflate" => Codec::Deflate,
        b"snappy" => Codec::Snappy,
        b"zstandard" => Codec::Zstd,
        b"bzip2" => Codec::Bzip2,
        b"xz" => Codec::Xz,
        other => {
            let name = String::from_utf8_lossy(other).into_owned();
            return Err(Fault::Unsupported(format!("Its codec \"{name}\" is not supported.")));
        }
    }))
}

struct Header {
    schema: Vec<u8>,
    codec: Vec<u8>,
    mark: [u8; MARK_BYTES],
}

/// Why something could not be read.
enum Stop {
    /// More bytes may do.
    Short,
    Fault(Fault),
}

/// Bytes that may not all be there yet.
struct Bytes<'a> {
    rest: &'a [u8],
}

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Stop> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Stop::Short)?;
        self.rest = rest;
        Ok(taken)
    }

    fn long(&mut self) -> Result<i64, Stop> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok((number >> 1) as i64 ^ -((number & 1) as i64));
            }
        }
        Err(Stop::Fault(Fault::corrupt("a number is too long")))
    }

    /// A length of something in the header.
    fn text(&mut self) -> Result<&'a [u8], Stop> {
        let length = self.long()?;
        match usize::try_from(length) {
            Ok(length) if length <= HEADER_BYTES_MAX => self.take(length),
            _ => Err(Stop::Fault(Fault::corrupt("its header is invalid"))),
        }
    }

    fn header(&mut self) -> Result<Header, Stop> {
        let invalid = |reason: &'static str| Stop::Fault(Fault::corrupt(reason));
        let known = self.rest.len().min(MAGIC.len());
        if self.rest[..known] != MAGIC[..known] {
            return Err(invalid("the magic number of an Avro file is missing"));
        }
        self.take(MAGIC.len())?;
        let (mut schema, mut codec) = (None, Vec::new());
        loop {
            let count = self.long()?;
            if count == 0 {
                break;
            }
            if count < 0 {
                // The entries' size, for those who skip them.
                self.long()?;
            }
            for _ in 0..count.unsigned_abs() {
                match (self.text()?, self.text()?) {
                    (b"avro.schema", value) => schema = Some(value.to_vec()),
                    (b"avro.codec", value) => codec = value.to_vec(),
                    _ => {}
                }
            }
        }
        let mark = self.take(MARK_BYTES)?.first_chunk().copied().ok_or(Stop::Short)?;
        let schema = schema.ok_or_else(|| invalid("its header has no schema"))?;
        Ok(Header { schema, codec, mark })
    }

    /// The number of records of a block, and its bytes.
    fn block_head(&mut self) -> Result<(u64, usize), Stop> {
        let (records, length) = (self.long()?, self.long()?);
        match (u64::try_from(records), usize::try_from(length)) {
            (Ok(records), Ok(length)) if length <= BLOCK_BYTES_MAX => Ok((records, length)),
            (Ok(_), Ok(length)) => Err(Stop::Fault(Fault::Limit(format!(
                "A block has {length} bytes; at most {BLOCK_BYTES_MAX} are read."
            )))),
            _ => Err(Stop::Fault(Fault::corrupt("a block's length can't be true"))),
        }
    }
}
