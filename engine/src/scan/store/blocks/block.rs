//! [`Block`] and [`BlockKey`]: a piece of one exact version of one object, and how both are written to disk.

use std::io::{Read, Write};
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use foyer::{Code, Error, ErrorKind, Result};
use object_store::ObjectMeta;
use object_store::path::Path;

/// Bytes of a block; the last one of an object is shorter. A range that is read is widened to whole blocks, so they may
/// not be large: a footer is 64 KiB. Nor may they be small, for each has its place in an index in memory. Neighbours are
/// asked for together, so the size doesn't decide how many requests there are. A small Parquet file, which is read whole,
/// is one block.
pub(super) const BLOCK_BYTES: u64 = 256 << 10;

/// Longest text of a key that is read back: no key of S3 has more than 1,024 bytes.
const KEY_BYTES_MAX: u64 = 16 << 10;

/// An object in one exact version: where it is, and its ETag.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct ObjectVersion(Arc<str>);

impl ObjectVersion {
    /// `store` tells apart all stores that there ever were in this folder: an endpoint and a bucket.
    pub(super) fn new(store: &str, path: &Path, e_tag: &str) -> Self {
        // No part holds a zero byte: paths are checked, headers can't.
        Self(format!("{store}\0{path}\0{e_tag}").into())
    }
}

/// A block of one version.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct BlockKey {
    pub(super) object: ObjectVersion,
    pub(super) number: u64,
}

/// The bytes, and what is known of the object: a request that is answered from here has to say that too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) bytes: Bytes,
    /// Of the whole object.
    pub(super) size: u64,
    /// Of the whole object, in microseconds.
    pub(super) modified_us: i64,
}

impl Block {
    /// What a listing would say of the object.
    pub(super) fn meta(&self, location: &Path, e_tag: &str) -> ObjectMeta {
        ObjectMeta {
            location: location.clone(),
            last_modified: DateTime::<Utc>::from_timestamp_micros(self.modified_us).unwrap_or_default(),
            size: self.size,
            e_tag: Some(e_tag.to_owned()),
            version: None,
        }
    }

    /// Whether it is what block `number` of such an object is long.
    pub(super) fn is_whole(&self, number: u64) -> bool {
        let start = number.saturating_mul(BLOCK_BYTES);
        self.size > start && self.bytes.len() as u64 == BLOCK_BYTES.min(self.size - start)
    }
}

fn write(writer: &mut impl Write, bytes: &[u8]) -> Result<()> {
    writer.write_all(bytes).map_err(Error::io_error)
}

fn read_number(reader: &mut impl Read) -> Result<u64> {
    let mut bytes = [0; 8];
    reader.read_exact(&mut bytes).map_err(Error::io_error)?;
    Ok(u64::from_le_bytes(bytes))
}

/// So many bytes, which a damaged length can't make more than `most`.
fn read_bytes(reader: &mut impl Read, most: u64) -> Result<Vec<u8>> {
    let length = read_number(reader)?;
    if length > most {
        return Err(Error::new(ErrorKind::OutOfRange, "a length is beyond what was ever written"));
    }
    let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
    reader.read_exact(&mut bytes).map_err(Error::io_error)?;
    Ok(bytes)
}

impl Code for BlockKey {
    fn encode(&self, writer: &mut impl Write) -> Result<()> {
        write(writer, &self.number.to_le_bytes())?;
        write(writer, &(self.object.0.len() as u64).to_le_bytes())?;
        write(writer, self.object.0.as_bytes())
    }

    fn decode(reader: &mut impl Read) -> Result<Self> {
        let number = read_number(reader)?;
        let text = String::from_utf8(read_bytes(reader, KEY_BYTES_MAX)?)
            .map_err(|error| Error::new(ErrorKind::OutOfRange, "a key is no text").with_source(error))?;
        Ok(Self { object: ObjectVersion(text.into()), number })
    }

    fn estimated_size(&self) -> usize {
        16 + self.object.0.len()
    }
}

impl Code for Block {
    fn encode(&self, writer: &mut impl Write) -> Result<()> {
        write(writer, &self.size.to_le_bytes())?;
        write(writer, &self.modified_us.to_le_bytes())?;
        write(writer, &(self.bytes.len() as u64).to_le_bytes())?;
        write(writer, &self.bytes)
    }

    fn decode(reader: &mut impl Read) -> Result<Self> {
        let size = read_number(reader)?;
        let modified_us = read_number(reader)?.cast_signed();
        Ok(Self { bytes: read_bytes(reader, BLOCK_BYTES)?.into(), size, modified_us })
    }

    fn estimated_size(&self) -> usize {
        24 + self.bytes.len()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_lengths_are_not_believed() {
        let key = BlockKey { object: ObjectVersion::new("s3://b", &Path::from("a/ü.csv"), "\"e\""), number: 7 };
        let block = Block { bytes: Bytes::from_static(b"abc"), size: 7 * BLOCK_BYTES + 3, modified_us: -5 };
        assert!(block.is_whole(7) && !block.is_whole(6) && !block.is_whole(8) && !block.is_whole(u64::MAX));
        let (mut key_bytes, mut block_bytes) = (Vec::new(), Vec::new());
        key.encode(&mut key_bytes).unwrap();
        block.encode(&mut block_bytes).unwrap();
        assert_eq!((key_bytes.len(), block_bytes.len()), (key.estimated_size(), block.estimated_size()));
        assert_eq!(BlockKey::decode(&mut key_bytes.as_slice()).unwrap(), key);
        assert_eq!(Block::decode(&mut block_bytes.as_slice()).unwrap(), block);
        block_bytes[16..24].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(Block::decode(&mut block_bytes.as_slice()).is_err());
        assert!(Block::decode(&mut &block_bytes[..10]).is_err());
    }
}
