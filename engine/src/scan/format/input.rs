//! An object's bytes, decompressed: (store, object) -> stream of chunks in bounded memory.
//!
//! Compression is told from the first bytes, never from the name. Every chunk is counted: a body that ends cleanly but
//! short, or a compressed stream that ends before its trailer, is an error and never a shorter table. A file that unpacks to more
//! than [`EXPANSION_MAX`] times its size ends in an error, too: nobody's data is so empty.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_compression::tokio::bufread::{BzDecoder, GzipDecoder, XzDecoder, ZlibDecoder, ZstdDecoder};
use bytes::{Bytes, BytesMut};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::{GetOptions, GetResultPayload, ObjectMeta, ObjectStore, ObjectStoreExt};
use tokio::io::{AsyncBufRead, AsyncRead, AsyncSeekExt};
use tokio_util::io::{ReaderStream, StreamReader};

use super::unpack::unpack_blocks;
use crate::{Error, ErrorCode, Result};

/// Bytes read from a local file, or decompressed, at a time.
const CHUNK_BYTES: usize = 256 << 10;

/// Longest magic number below (Hadoop's blocks begin with three numbers).
pub(super) const MAGIC_BYTES: usize = 12;

/// Most bytes of text for each byte of a packed file. gzip can't reach it; bzip2, zstd and xz do with nothing but one byte
/// repeated. A megabyte of such a bomb is 10 GB of text at most.
pub const EXPANSION_MAX: u64 = 10_000;

/// Text that no file is too small for: the bound above is for what the decoders have read, which may be a little ahead.
const EXPANSION_FLOOR_BYTES: u64 = 64 << 20;

/// Hadoop's blocks have no magic number. Blocks are smaller than this, so that the first byte of such a file is 0.
const HADOOP_BLOCK_MAX: usize = 16 << 20;

/// How a file is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    None,
    Gzip,
    Zlib,
    Zstd,
    Bzip2,
    Xz,
    /// LZ4 frames, the old ones included.
    Lz4,
    /// Snappy's own framing.
    Snappy,
    /// What snappy-java's streams write.
    SnappyJava,
    /// Blocks as Hadoop's codecs write them, of Snappy or LZ4.
    HadoopBlocks,
}

impl Compression {
    /// Tells the compression from a file's first bytes (twelve are enough).
    pub fn detect(head: &[u8]) -> Self {
        match head {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            // A skippable frame, as pzstd writes before its data.
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            // The first block's own magic number, or that of a stream without one.
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, ..]
            | [b'B', b'Z', b'h', b'1'..=b'9', 0x17, 0x72, 0x45, 0x38, ..] => Self::Bzip2,
            [0xfd, b'7', b'z', b'X', b'Z', 0x00, ..] => Self::Xz,
            // zlib's two bytes are weak: an `x` before 0x01, `^` or a byte that no text has there. 0x01 is Hive's delimiter. So
            // the rest must not be text, which packed data hardly ever is.
            [0x78, 0x9c, ..] => Self::Zlib,
            [0x78, 0x01 | 0x5e | 0xda, rest @ ..]
                if std::str::from_utf8(rest).is_err_and(|e| e.error_len().is_some()) =>
            {
                Self::Zlib
            }
            [0x04, 0x22, 0x4d, 0x18, ..] | [0x02, 0x21, 0x4c, 0x18, ..] => Self::Lz4,
            [0xff, 0x06, 0x00, 0x00, b's', b'N', b'a', b'P', ..] => Self::Snappy,
            [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0x00, ..] => Self::SnappyJava,
            _ if is_hadoop_block(head) => Self::HadoopBlocks,
            _ => Self::None,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::None => "plain",
            Self::Gzip => "gzip",
            Self::Zlib => "zlib",
            Self::Zstd => "zstd",
            Self::Bzip2 => "bzip2",
            Self::Xz => "xz",
            Self::Lz4 => "LZ4",
            Self::Snappy | Self::SnappyJava => "Snappy",
            Self::HadoopBlocks => "Hadoop block",
        }
    }
}

/// Whether `head` begins with the sizes of a block of Hadoop's: of its text, and of a smaller block that this is packed to. Text
/// doesn't begin with a zero byte.
fn is_hadoop_block(head: &[u8]) -> bool {
    let [a, b, c, d, e, f, g, h, _, ..] = *head else { return false };
    let [text, packed] = [[a, b, c, d], [e, f, g, h]].map(|size| u32::from_be_bytes(size) as usize);
    (1..HADOOP_BLOCK_MAX).contains(&text) && (1..=text + text / 6 + 32).contains(&packed)
}

/// What a packed file is that isn't read, and how to go on.
fn refused(head: &[u8]) -> Option<&'static str> {
    match head {
        [0x1f, 0x9d, ..] => Some("compress (.Z)"),
        [b'P', b'K', 0x03, 0x04, ..] => Some("zip"),
        [b'7', b'z', 0xbc, 0xaf, 0x27, 0x1c, ..] => Some("7z"),
        [0x89, b'L', b'Z', b'O', 0x00, ..] => Some("lzop"),
        [b'L', b'Z', b'I', b'P', 0x01, ..] => Some("lzip"),
        // The old format of xz: properties, and the size of its dictionary, a power of two.
        [0x5d, 0x00, 0x00, _, _, ..] => Some("lzma"),
        _ => None,
    }
}

/// A stream of decompressed chunks.
pub type Chunks = BoxStream<'static, Result<Bytes>>;

/// Opens `object` for one sequential read and unpacks it. `name` is what errors call the file; `count` is told the
/// size of each chunk as it lies in the store.
///
/// # Errors
/// A file that is gone, was replaced since it was listed, or can't be read.
pub async fn open(
    store: &Arc<dyn ObjectStore>,
    object: &ObjectMeta,
    name: &str,
    count: impl Fn(usize) + Send + 'static,
) -> Result<Chunks> {
    let raw = fetch_from(store, object, name, 0).await?.inspect_ok(move |chunk| count(chunk.len())).boxed();
    decompress(raw, name).await
}

/// Reads the bytes `range` of `object`, exactly that many.
///
/// # Errors
/// As [`open`], and a range beyond the end.
pub async fn read_range(
    store: &Arc<dyn ObjectStore>,
    object: &ObjectMeta,
    name: &str,
    range: std::ops::Range<u64>,
) -> Result<Bytes> {
    let wanted = range.end.saturating_sub(range.start);
    if range.end > object.size || range.start > range.end {
        return Err(corrupted(name, "it points beyond its own end"));
    }
    if wanted == 0 {
        return Ok(Bytes::new());
    }
    let options = GetOptions { if_match: object.e_tag.clone(), ..GetOptions::default() }.with_range(Some(range));
    let result = store.get_opts(&object.location, options).await.map_err(|error| store_error(error, name))?;
    check_version(object, &result.meta, name)?;
    let bytes = result.bytes().await.map_err(|error| store_error(error, name))?;
    if bytes.len() as u64 != wanted {
        return Err(short(name, bytes.len() as u64, wanted));
    }
    Ok(bytes)
}

/// The bytes of `object` from `from` on, as they lie in the store.
///
/// # Errors
/// As [`open`].
pub(super) async fn fetch_from(
    store: &Arc<dyn ObjectStore>,
    object: &ObjectMeta,
    name: &str,
    from: u64,
) -> Result<Chunks> {
    let mut options = GetOptions { if_match: object.e_tag.clone(), ..GetOptions::default() };
    if from > 0 {
        options = options.with_range(Some(from..object.size));
    }
    let result = store.get_opts(&object.location, options).await.map_err(|error| store_error(error, name))?;
    let expected = result.range.end - result.range.start;
    check_version(object, &result.meta, name)?;
    let start = result.range.start;
    let chunks: BoxStream<'static, Result<Bytes>> = match result.payload {
        // `into_stream` would read a local file eight kilobytes at a time, each on a thread of its own.
        GetResultPayload::File(file, _) => {
            let mut file = tokio::fs::File::from_std(file);
            file.seek(io::SeekFrom::Start(start)).await.map_err(|error| io_error(error, name))?;
            let name = name.to_owned();
            let reader = tokio::io::AsyncReadExt::take(file, expected);
            ReaderStream::with_capacity(reader, CHUNK_BYTES).map_err(move |error| io_error(error, &name)).boxed()
        }
        GetResultPayload::Stream(stream) => {
            let name = name.to_owned();
            stream.map_err(move |error| store_error(error, &name)).boxed()
        }
    };
    Ok(count_to_the_end(chunks, expected, name.to_owned()))
}

/// A store that doesn't know If-Match answers with the version it has.
fn check_version(planned: &ObjectMeta, found: &ObjectMeta, name: &str) -> Result<()> {
    let is_other = matches!((&planned.e_tag, &found.e_tag), (Some(planned), Some(found)) if planned != found);
    if is_other || planned.size != found.size { Err(changed(name)) } else { Ok(()) }
}

/// Passes chunks through and fails at the end if fewer or more bytes came than the store announced.
fn count_to_the_end(chunks: Chunks, expected: u64, name: String) -> Chunks {
    stream::try_unfold((chunks, 0u64), move |(mut chunks, seen)| {
        let name = name.clone();
        async move {
            match chunks.try_next().await? {
                Some(chunk) => {
                    let seen = seen + chunk.len() as u64;
                    Ok(Some((chunk, (chunks, seen))))
                }
                None if seen != expected => Err(short(&name, seen, expected)),
                None => Ok(None),
            }
        }
    })
    .boxed()
}

/// Unpacks `raw`, the bytes of a file from its start.
pub(super) async fn decompress(mut raw: Chunks, name: &str) -> Result<Chunks> {
    let mut head = BytesMut::new();
    while head.len() < MAGIC_BYTES {
        match raw.try_next().await? {
            Some(chunk) if head.is_empty() && chunk.len() >= MAGIC_BYTES => {
                return unpack_from(chunk, raw, name);
            }
            Some(chunk) => head.extend_from_slice(&chunk),
            None => break,
        }
    }
    unpack_from(head.freeze(), raw, name)
}

fn unpack_from(head: Bytes, raw: Chunks, name: &str) -> Result<Chunks> {
    if let Some(kind) = refused(&head) {
        return Err(Error::unsupported(format!("file \"{name}\" is packed with {kind}, which is not supported"))
            .with_hint("Pack it with gzip, zstd, bzip2, xz, lz4 or snappy, or unpack it."));
    }
    let compression = Compression::detect(&head);
    Ok(unpack(compression, stream::iter([Ok(head)]).chain(raw).boxed(), name))
}

fn unpack(compression: Compression, raw: Chunks, name: &str) -> Chunks {
    if compression == Compression::None {
        return raw;
    }
    let packed_bytes = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&packed_bytes);
    let raw = raw
        .inspect_ok(move |chunk| {
            counter.fetch_add(chunk.len() as u64, Ordering::Relaxed);
        })
        .boxed();
    bound_expansion(unpack_unbounded(compression, raw, name), packed_bytes, name.to_owned())
}

/// Passes text on and fails where it is out of all proportion to the bytes it is made of.
fn bound_expansion(text: Chunks, packed_bytes: Arc<AtomicU64>, name: String) -> Chunks {
    let mut text_bytes = 0_u64;
    text.map(move |chunk| {
        let chunk = chunk?;
        text_bytes += chunk.len() as u64;
        let packed = packed_bytes.load(Ordering::Relaxed);
        if text_bytes > packed.saturating_mul(EXPANSION_MAX).max(EXPANSION_FLOOR_BYTES) {
            return Err(Error::new(ErrorCode::ProgramLimitExceeded, format!("file \"{name}\" unpacks to too much text"))
                .with_detail(format!("It has {text_bytes} bytes of text in its first {packed} bytes, and goes on."))
                .with_hint(format!(
                    "At most {EXPANSION_MAX} bytes are unpacked from one. If the file is right, unpack it before it is read."
                )));
        }
        Ok(chunk)
    })
    .boxed()
}

fn unpack_unbounded(compression: Compression, raw: Chunks, name: &str) -> Chunks {
    if matches!(
        compression,
        Compression::Lz4 | Compression::Snappy | Compression::SnappyJava | Compression::HadoopBlocks
    ) {
        return unpack_blocks(compression, raw, name);
    }
    // Our own errors travel through the decoders inside `io::Error` and are taken out again behind them.
    let reader = StreamReader::new(raw.map_err(io::Error::other));
    let decoder: Box<dyn AsyncRead + Send + Unpin> = decoder(compression, reader);
    let name = name.to_owned();
    ReaderStream::with_capacity(decoder, CHUNK_BYTES)
        .map_err(move |error| unpack_error(error, compression, &name))
        .boxed()
}

fn decoder(
    compression: Compression,
    reader: impl AsyncBufRead + Send + Unpin + 'static,
) -> Box<dyn AsyncRead + Send + Unpin> {
    // Files are often made by concatenating packed files: each format allows that, so all members are read.
    macro_rules! all_members {
        ($decoder:ident) => {{
            let mut decoder = $decoder::new(reader);
            decoder.multiple_members(true);
            Box::new(decoder)
        }};
    }
    match compression {
        // Those that have no decoder here never get here.
        Compression::None
        | Compression::Lz4
        | Compression::Snappy
        | Compression::SnappyJava
        | Compression::HadoopBlocks => Box::new(reader),
        Compression::Gzip => all_members!(GzipDecoder),
        Compression::Zlib => all_members!(ZlibDecoder),
        Compression::Zstd => all_members!(ZstdDecoder),
        Compression::Bzip2 => all_members!(BzDecoder),
        Compression::Xz => all_members!(XzDecoder),
    }
}

fn unpack_error(error: io::Error, compression: Compression, name: &str) -> Error {
    let is_end = error.kind() == io::ErrorKind::UnexpectedEof;
    let text = error.to_string();
    match error.into_inner().map(|inner| inner.downcast::<Error>()) {
        Some(Ok(ours)) => *ours,
        _ if is_end => corrupted(name, &format!("its {} data ends too early", compression.name())),
        _ => corrupted(name, &format!("its {} data can't be unpacked ({text})", compression.name())),
    }
}

/// The error for a file whose bytes are not what they should be; `reason` completes "because".
pub fn corrupted(name: &str, reason: &str) -> Error {
    let mut reason = reason.to_owned();
    if let Some(first) = reason.get(..1) {
        let upper = first.to_uppercase();
        reason.replace_range(..1, &upper);
    }
    Error::new(ErrorCode::DataCorrupted, format!("file \"{name}\" is corrupt"))
        .with_detail(format!("{}.", reason.trim_end_matches('.')))
}

/// The error of a store, in our words.
pub fn store_error(error: object_store::Error, name: &str) -> Error {
    use object_store::Error as Store;
    match error {
        Store::NotFound { .. } => Error::new(ErrorCode::UndefinedFile, format!("file \"{name}\" does not exist"))
            .with_hint(
                "It was there when the query was planned. Run the query again to see the files as they are now.",
            ),
        Store::Precondition { .. } | Store::NotModified { .. } => changed(name),
        // What a store answers may hold what is not to be told.
        other => crate::scan::store::store_error(name, &other),
    }
}

fn io_error(error: io::Error, name: &str) -> Error {
    Error::new(ErrorCode::IoError, format!("could not read file \"{name}\"")).with_detail(format!("{error}."))
}

fn changed(name: &str) -> Error {
    Error::new(ErrorCode::FileChanged, format!("file \"{name}\" was replaced while the query ran"))
        .with_hint("Run the query again.")
}

fn short(name: &str, seen: u64, expected: u64) -> Error {
    Error::new(ErrorCode::IoError, format!("could not read file \"{name}\""))
        .with_detail(format!("Its body ended after {seen} of {expected} bytes."))
}

/// The object at `path`, as a listing would show it.
///
/// # Errors
/// As [`open`].
pub async fn head(store: &Arc<dyn ObjectStore>, path: &object_store::path::Path, name: &str) -> Result<ObjectMeta> {
    store.head(path).await.map_err(|error| store_error(error, name))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use async_compression::tokio::write::{BzEncoder, GzipEncoder, XzEncoder, ZlibEncoder, ZstdEncoder};
    use object_store::memory::InMemory;
    use object_store::path::Path;
    use tokio::io::AsyncWriteExt;

    use super::*;

    async fn pack(compression: Compression, text: &[u8]) -> Vec<u8> {
        macro_rules! pack {
            ($encoder:ident) => {{
                let mut encoder = $encoder::new(Vec::new());
                encoder.write_all(text).await.unwrap();
                encoder.shutdown().await.unwrap();
                encoder.into_inner()
            }};
        }
        match compression {
            Compression::None => text.to_vec(),
            Compression::Gzip => pack!(GzipEncoder),
            Compression::Zlib => pack!(ZlibEncoder),
            Compression::Zstd => pack!(ZstdEncoder),
            Compression::Bzip2 => pack!(BzEncoder),
            Compression::Xz => pack!(XzEncoder),
            Compression::Lz4 => {
                use std::io::Write;
                let info = lz4_flex::frame::FrameInfo::new()
                    .block_mode(lz4_flex::frame::BlockMode::Linked)
                    .block_checksums(true)
                    .content_checksum(true);
                let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
                encoder.write_all(text).unwrap();
                encoder.finish().unwrap()
            }
            Compression::Snappy => {
                use std::io::Write;
                let mut encoder = snap::write::FrameEncoder::new(Vec::new());
                encoder.write_all(text).unwrap();
                encoder.into_inner().unwrap()
            }
            Compression::SnappyJava => {
                let mut packed = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01".to_vec();
                for block in text.chunks(32 << 10) {
                    push_block(&mut packed, &snap::raw::Encoder::new().compress_vec(block).unwrap());
                }
                packed
            }
            Compression::HadoopBlocks => hadoop(text, |block| snap::raw::Encoder::new().compress_vec(block).unwrap()),
        }
    }

    fn push_block(packed: &mut Vec<u8>, block: &[u8]) {
        packed.extend_from_slice(&(block.len() as u32).to_be_bytes());
        packed.extend_from_slice(block);
    }

    /// Outer blocks of 100 kB, of inner blocks of 40 kB at most.
    fn hadoop(text: &[u8], pack: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
        let mut packed = Vec::new();
        for outer in text.chunks(100_000) {
            packed.extend_from_slice(&(outer.len() as u32).to_be_bytes());
            outer.chunks(40_000).for_each(|block| push_block(&mut packed, &pack(block)));
        }
        packed
    }

    /// Text that doesn't pack to nothing: numbers, with what repeats among them.
    fn text(lines: usize) -> Vec<u8> {
        (0..lines)
            .map(|n| format!("{n},name {},{}\n", n % 17, n.wrapping_mul(2_654_435_761) % 1000))
            .collect::<String>()
            .into()
    }

    #[tokio::test]
    async fn blocks_of_every_kind_are_read_and_a_broken_one_is_told() {
        let text = text(20_000);
        let lz4_blocks = hadoop(&text, lz4_flex::block::compress);
        assert_eq!(Compression::detect(&lz4_blocks), Compression::HadoopBlocks);
        assert!(read(lz4_blocks.clone()).await.unwrap() == text);
        let mut legacy = vec![0x02, 0x21, 0x4c, 0x18];
        for block in text.chunks(8 << 20) {
            let block = lz4_flex::block::compress(block);
            legacy.extend_from_slice(&(block.len() as u32).to_le_bytes());
            legacy.extend_from_slice(&block);
        }
        // An old frame, a skippable one, and a new one.
        let new = pack(Compression::Lz4, &text).await;
        let all = [legacy, vec![0x51, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3], new.clone()].concat();
        assert!(read(all).await.unwrap() == [text.clone(), text.clone()].concat());
        // One bit that is another one is told, by a checksum or by what it says. (Hadoop's and Java's blocks have none.)
        for compression in
            [Compression::Lz4, Compression::Snappy, Compression::Gzip, Compression::Bzip2, Compression::Xz]
        {
            let packed = pack(compression, &text).await;
            for at in (13..packed.len()).step_by(packed.len() / 7) {
                let mut broken = packed.clone();
                broken[at] ^= 0x10;
                match read(broken).await {
                    Err(error) => {
                        assert_eq!(error.code, ErrorCode::DataCorrupted, "{compression:?} at {at}: {error:?}")
                    }
                    Ok(read) => assert!(read == text, "{compression:?} at {at}: other text"),
                }
            }
            let behind = [packed.clone(), b"garbage behind it".to_vec()].concat();
            let error = read(behind).await.unwrap_err();
            assert_eq!(error.code, ErrorCode::DataCorrupted, "{compression:?}: {error:?}");
        }
        // Sizes that lie are refused before memory is taken for them.
        for head in [
            &b"\x04\x22\x4d\x18\x40\x40\xc0\xff\xff\xff\x7f"[..],
            b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01\x7f\xff\xff\xff",
            b"\0\x10\0\0\0\x01\0\0\xff\xff\xff\xff\x0f",
        ] {
            assert_eq!(read(head.to_vec()).await.unwrap_err().code, ErrorCode::DataCorrupted, "{head:x?}");
        }
    }

    #[tokio::test]
    async fn a_bomb_ends_in_an_error() {
        let zeros = vec![0; 256 << 20];
        let packed = pack(Compression::Zstd, &zeros).await;
        assert!(packed.len() < 20_000, "{}", packed.len());
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let path = Path::from("bomb");
        store.put(&path, packed.into()).await.unwrap();
        let object = head(&store, &path, "bomb").await.unwrap();
        let mut chunks = open(&store, &object, "bomb", |_| ()).await.unwrap();
        let mut seen = 0;
        let error = loop {
            match chunks.try_next().await {
                Ok(chunk) => seen += chunk.expect("it ends in an error").len(),
                Err(error) => break error,
            }
        };
        assert!(seen < 200 << 20, "{seen}");
        assert_eq!(
            (error.code, error.message.as_str()),
            (ErrorCode::ProgramLimitExceeded, "file \"bomb\" unpacks to too much text")
        );
    }

    #[tokio::test]
    async fn what_is_packed_otherwise_is_refused_by_name() {
        for (head, kind) in [
            (&b"\x1f\x9d\x90abcdefghij"[..], "compress (.Z)"),
            (b"PK\x03\x04abcdefghijk", "zip"),
            (b"7z\xbc\xaf\x27\x1c0000000", "7z"),
        ] {
            let error = read(head.to_vec()).await.unwrap_err();
            assert_eq!(error.code, ErrorCode::FeatureNotSupported);
            assert!(error.message.contains(kind), "{error:?}");
        }
    }

    async fn read(bytes: Vec<u8>) -> Result<Vec<u8>> {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let path = Path::from("a/file");
        store.put(&path, bytes.into()).await.unwrap();
        let object = head(&store, &path, "a/file").await?;
        let chunks = open(&store, &object, "a/file", |_| ()).await?;
        Ok(chunks.try_collect::<Vec<_>>().await?.concat())
    }

    #[tokio::test]
    async fn every_compression_is_told_by_content_and_members_follow_each_other() {
        let text = "id,name\n1,one\n".repeat(10_000).into_bytes();
        for compression in [
            Compression::None,
            Compression::Gzip,
            Compression::Zlib,
            Compression::Zstd,
            Compression::Bzip2,
            Compression::Xz,
            Compression::Lz4,
            Compression::Snappy,
            Compression::SnappyJava,
            Compression::HadoopBlocks,
        ] {
            let packed = pack(compression, &text).await;
            assert_eq!(Compression::detect(&packed), compression);
            assert!(read(packed.clone()).await.unwrap() == text, "{compression:?}");
            if compression != Compression::None {
                let twice = [packed.clone(), packed.clone()].concat();
                assert_eq!(read(twice).await.unwrap().len(), 2 * text.len(), "{compression:?}");
            }
            if compression != Compression::None {
                for cut in [packed.len() - 1, packed.len() / 2, 14] {
                    let error = read(packed[..cut].to_vec()).await.unwrap_err();
                    assert_eq!(error.code, ErrorCode::DataCorrupted, "{compression:?} cut at {cut}: {error:?}");
                    assert!(error.message.contains("\"a/file\""));
                }
            }
        }
    }

    #[test]
    fn text_is_not_taken_for_zlib() {
        for text in ["x^2,y\n", "xyz", "x", "", "BZh", "PK"] {
            assert_eq!(Compression::detect(text.as_bytes()), Compression::None, "{text}");
        }
    }
}
