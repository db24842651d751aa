//! An object's bytes, decompressed: (store, object) -> stream of chunks in bounded memory.
//!
//! Compression is told from the first bytes, never from the name. Every chunk is counted: a body that ends cleanly but
//! short, or a compressed stream that ends before its trailer, is an error and never a shorter table.

use std::io;
use std::sync::Arc;

use async_compression::tokio::bufread::{BzDecoder, GzipDecoder, XzDecoder, ZlibDecoder, ZstdDecoder};
use bytes::{Bytes, BytesMut};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::{GetOptions, GetResultPayload, ObjectMeta, ObjectStore, ObjectStoreExt};
use tokio::io::{AsyncBufRead, AsyncRead, AsyncSeekExt};
use tokio_util::io::{ReaderStream, StreamReader};

use crate::{Error, ErrorCode, Result};

/// Bytes read from a local file, or decompressed, at a time.
const CHUNK_BYTES: usize = 256 << 10;

/// Longest magic number below, with the byte after zlib's header that tells it from text.
const MAGIC_BYTES: usize = 6;

/// How a file is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    None,
    Gzip,
    Zlib,
    Zstd,
    Bzip2,
    Xz,
}

impl Compression {
    /// Tells the compression from a file's first bytes (six are enough).
    pub fn detect(head: &[u8]) -> Self {
        match head {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            // A skippable frame, as pzstd writes before its data.
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31 | 0x17, ..] => Self::Bzip2,
            [0xfd, b'7', b'z', b'X', b'Z', 0x00, ..] => Self::Xz,
            // zlib's two bytes are weak: 0x01 and 0x9c can't be text, the others only where the rest isn't UTF-8.
            [0x78, 0x01 | 0x9c, ..] => Self::Zlib,
            [0x78, 0x5e | 0xda, rest @ ..] if std::str::from_utf8(rest).is_err_and(|e| e.error_len().is_some()) => {
                Self::Zlib
            }
            _ => Self::None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::None => "plain",
            Self::Gzip => "gzip",
            Self::Zlib => "zlib",
            Self::Zstd => "zstd",
            Self::Bzip2 => "bzip2",
            Self::Xz => "xz",
        }
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
    let raw = fetch(store, object, name).await?.inspect_ok(move |chunk| count(chunk.len())).boxed();
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

async fn fetch(store: &Arc<dyn ObjectStore>, object: &ObjectMeta, name: &str) -> Result<Chunks> {
    let options = GetOptions { if_match: object.e_tag.clone(), ..GetOptions::default() };
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

async fn decompress(mut raw: Chunks, name: &str) -> Result<Chunks> {
    let mut head = BytesMut::new();
    while head.len() < MAGIC_BYTES {
        match raw.try_next().await? {
            Some(chunk) if head.is_empty() && chunk.len() >= MAGIC_BYTES => {
                let compression = Compression::detect(&chunk);
                return Ok(unpack(compression, stream::iter([Ok(chunk)]).chain(raw).boxed(), name));
            }
            Some(chunk) => head.extend_from_slice(&chunk),
            None => break,
        }
    }
    let head = head.freeze();
    let compression = Compression::detect(&head);
    Ok(unpack(compression, stream::iter([Ok(head)]).chain(raw).boxed(), name))
}

fn unpack(compression: Compression, raw: Chunks, name: &str) -> Chunks {
    if compression == Compression::None {
        return raw;
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
        Compression::None => Box::new(reader),
        Compression::Gzip => all_members!(GzipDecoder),
        Compression::Zlib => Box::new(ZlibDecoder::new(reader)),
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
        Store::PermissionDenied { .. } | Store::Unauthenticated { .. } => {
            Error::new(ErrorCode::InsufficientPrivilege, format!("permission denied for file \"{name}\""))
        }
        other => {
            // An error of ours, wrapped by a store that meters or limits, keeps its code.
            let mut source: Option<&(dyn std::error::Error + 'static)> = Some(&other);
            while let Some(error) = source {
                if let Some(ours) = error.downcast_ref::<Error>() {
                    return ours.clone();
                }
                if let Some(io) = error.downcast_ref::<io::Error>()
                    && io.kind() == io::ErrorKind::PermissionDenied
                {
                    return Error::new(
                        ErrorCode::InsufficientPrivilege,
                        format!("permission denied for file \"{name}\""),
                    );
                }
                source = error.source();
            }
            Error::new(ErrorCode::IoError, format!("could not read file \"{name}\"")).with_detail(format!("{other}."))
        }
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
        ] {
            let packed = pack(compression, &text).await;
            assert_eq!(Compression::detect(&packed), compression);
            assert!(read(packed.clone()).await.unwrap() == text, "{compression:?}");
            if !matches!(compression, Compression::None | Compression::Zlib) {
                let twice = [packed.clone(), packed.clone()].concat();
                assert_eq!(read(twice).await.unwrap().len(), 2 * text.len(), "{compression:?}");
            }
            if compression != Compression::None {
                for cut in [packed.len() - 1, packed.len() / 2, 8] {
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
