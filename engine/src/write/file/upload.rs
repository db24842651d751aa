//! [`Upload`]: bytes -> one object, whole or not at all.
//!
//! A small object is one PUT. A larger one goes in parts, a few under way at a time, and appears when the last has arrived.
//! On a local disk our store writes beside the place, syncs, and renames (`scan::store`).

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt as _;
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt as _, PutPayload};
use sha2::{Digest as _, Sha256};
use tokio::task::JoinSet;

use crate::{Error, ErrorCode, Result};

/// Bytes of a part. S3 takes none under 5 MiB; every writer holds one, and two on their way.
const PART_BYTES: usize = 8 << 20;

/// S3 takes 10,000 parts. After each thousand parts they get larger, so that an object may have terabytes.
const PARTS_PER_SIZE: usize = 1000;

/// Parts on their way at once. Encoding goes on meanwhile.
const PARTS_IN_FLIGHT: usize = 2;

/// How long parts on their way may take to arrive when their file is given up.
const PART_PATIENCE: Duration = Duration::from_secs(5);

/// See the module.
pub(super) struct Upload {
    store: Arc<dyn ObjectStore>,
    path: Path,
    buffer: Vec<u8>,
    started: Option<Box<dyn MultipartUpload>>,
    parts: JoinSet<object_store::Result<()>>,
    part_count: usize,
    sent_bytes: u64,
    digest: Option<Sha256>,
}

impl Upload {
    pub(super) fn new(store: Arc<dyn ObjectStore>, path: Path) -> Self {
        Self {
            store,
            path,
            buffer: Vec::new(),
            started: None,
            parts: JoinSet::new(),
            part_count: 0,
            sent_bytes: 0,
            digest: None,
        }
    }

    /// Has [`Self::sha256`] told. To be called before the first byte.
    pub(super) fn digest(&mut self) {
        self.digest = Some(Sha256::new());
    }

    /// The SHA-256 of what was sent, in hexadecimal digits.
    pub(super) fn sha256(&mut self) -> Option<String> {
        let digest = self.digest.take()?.finalize();
        Some(digest.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    fn count(&mut self, bytes: &[u8]) {
        if let Some(digest) = &mut self.digest {
            digest.update(bytes);
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the next bytes go. Call [`Self::advance`] after each filling.
    pub(super) fn sink(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    pub(super) fn bytes(&self) -> u64 {
        self.sent_bytes + self.buffer.len() as u64
    }

    pub(super) fn memory_size(&self) -> usize {
        self.buffer.capacity() + self.parts.len() * self.part_bytes()
    }

    fn part_bytes(&self) -> usize {
        // 8, 16, 32, 64 MiB: more than 1 TB in all.
        PART_BYTES << (self.part_count / PARTS_PER_SIZE).min(5)
    }

    /// Sends full parts.
    pub(super) async fn advance(&mut self) -> Result<()> {
        while self.buffer.len() > self.part_bytes() {
            let rest = self.buffer.split_off(self.part_bytes());
            let part = mem::replace(&mut self.buffer, rest);
            self.send(part).await?;
        }
        Ok(())
    }

    async fn send(&mut self, part: Vec<u8>) -> Result<()> {
        while self.parts.len() >= PARTS_IN_FLIGHT {
            self.wait_for_part().await?;
        }
        if self.started.is_none() {
            let started = self.store.put_multipart(&self.path).await;
            self.started = Some(started.map_err(|error| write_error(&self.path, &error))?);
        }
        self.count(&part);
        let upload = self.started.as_mut().expect("it was started above");
        self.sent_bytes += part.len() as u64;
        self.part_count += 1;
        self.parts.spawn(upload.put_part(PutPayload::from(part)));
        Ok(())
    }

    async fn wait_for_part(&mut self) -> Result<()> {
        match self.parts.join_next().await {
            None | Some(Ok(Ok(()))) => Ok(()),
            Some(Ok(Err(error))) => Err(write_error(&self.path, &error)),
            Some(Err(error)) => Err(Error::internal(format!("a part of \"{}\" was not sent: {error}", self.path))),
        }
    }

    /// Sends the rest and makes the object appear.
    pub(super) async fn finish(&mut self) -> Result<ObjectMeta> {
        let rest = mem::take(&mut self.buffer);
        if self.started.is_none() {
            self.count(&rest);
            self.sent_bytes = rest.len() as u64;
            let put = self.store.put(&self.path, PutPayload::from(rest)).await;
            put.map_err(|error| write_error(&self.path, &error))?;
        } else {
            if !rest.is_empty() {
                self.send(rest).await?;
            }
            while !self.parts.is_empty() {
                self.wait_for_part().await?;
            }
            let upload = self.started.as_mut().expect("it was started above");
            upload.complete().await.map_err(|error| write_error(&self.path, &error))?;
            self.started = None;
        }
        self.listed().await
    }

    /// The object as a listing shows it. Stores that answer over HTTP tell a HEAD the time in whole seconds, and some list
    /// it with more digits; so those are asked for the listing's entry.
    async fn listed(&mut self) -> Result<ObjectMeta> {
        let error = |error| write_error(&self.path, &error);
        let meta = self.store.head(&self.path).await.map_err(error)?;
        if meta.size != self.sent_bytes {
            return Err(Error::new(ErrorCode::IoError, format!("could not write file \"{}\"", self.path))
                .with_detail(format!("The store has {} of {} bytes.", meta.size, self.sent_bytes)));
        }
        let text = self.path.as_ref();
        let (Some((folder, _)), true) = (text.rsplit_once('/'), meta.last_modified.timestamp_subsec_nanos() == 0)
        else {
            return Ok(meta);
        };
        // The name before this one, or one not far before it.
        let mut before = text.to_owned();
        before.pop();
        let (Ok(folder), Ok(before)) = (Path::parse(folder), Path::parse(before)) else { return Ok(meta) };
        let mut listing = self.store.list_with_offset(Some(&folder), &before);
        while let Some(entry) = listing.try_next().await.map_err(error)? {
            if entry.location == self.path {
                return Ok(entry);
            }
            if entry.location > self.path {
                break;
            }
        }
        Ok(meta)
    }

    /// Takes back what was sent.
    pub(super) async fn abort(mut self) {
        if let Some(mut upload) = self.started.take() {
            discard(&mut upload, mem::take(&mut self.parts), &self.path).await;
        }
    }
}

/// Takes back an upload. Parts on their way arrive first, where that doesn't take long: one that comes after the upload has
/// ended would stay.
async fn discard(upload: &mut Box<dyn MultipartUpload>, mut parts: JoinSet<object_store::Result<()>>, path: &Path) {
    let all = async { while parts.join_next().await.is_some() {} };
    if tokio::time::timeout(PART_PATIENCE, all).await.is_err() {
        parts.shutdown().await;
    }
    if let Err(error) = upload.abort().await {
        tracing::warn!(%path, %error, "parts of a file that was given up stay in the store");
    }
}

impl Drop for Upload {
    /// A query that is cancelled drops its writers.
    fn drop(&mut self) {
        let Some(mut upload) = self.started.take() else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (parts, path) = (mem::take(&mut self.parts), mem::take(&mut self.path));
        runtime.spawn(async move { discard(&mut upload, parts, &path).await });
    }
}

/// What a store says of writing `path`, in a user's words.
pub fn write_error(path: &Path, error: &object_store::Error) -> Error {
    use object_store::Error as Store;
    let denied = || {
        Error::new(ErrorCode::InsufficientPrivilege, format!("permission denied for file \"{path}\""))
            .with_detail("The operating system or the object store refused to write.")
    };
    if matches!(error, Store::PermissionDenied { .. } | Store::Unauthenticated { .. }) {
        return find_own(error).unwrap_or_else(denied);
    }
    let mut code = ErrorCode::IoError;
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            match io.kind() {
                std::io::ErrorKind::PermissionDenied => return denied(),
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => code = ErrorCode::DiskFull,
                _ => {}
            }
        }
        cause = error.source();
    }
    if let Some(own) = find_own(error) {
        return own;
    }
    Error::new(code, format!("could not write file \"{path}\"")).with_detail(format!("{error}."))
}

/// One of our own errors that a store of ours has put inside.
fn find_own(error: &object_store::Error) -> Option<Error> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(own) = error.downcast_ref::<Error>() {
            return Some(own.clone());
        }
        cause = error.source();
    }
    None
}
