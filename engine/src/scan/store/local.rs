//! [`RootedLocal`]: the local file system, held inside the roots at every access and not only when a location is named.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};

use super::durable;
use super::root::canonical_ancestor;
use crate::{Error, ErrorCode};

/// Paths are absolute paths without the leading `/`.
#[derive(Debug)]
pub(super) struct RootedLocal {
    inner: Arc<LocalFileSystem>,
    roots: Vec<PathBuf>,
}

impl RootedLocal {
    /// `roots` are canonical folders.
    pub(super) fn new(roots: Vec<PathBuf>) -> Self {
        Self { inner: Arc::new(LocalFileSystem::new()), roots }
    }

    /// Refuses what leads out of the roots through a link, and what is not a regular file (a FIFO or a device would
    /// block or never end).
    fn check(&self, path: &Path, must_be_file: bool) -> Result<()> {
        let file = PathBuf::from(format!("/{path}"));
        let inside = canonical_ancestor(&file).is_some_and(|real| self.roots.iter().any(|root| real.starts_with(root)));
        let regular = !must_be_file || file.metadata().map_or(true, |metadata| metadata.is_file());
        let reason = match (inside, regular) {
            (true, true) => return Ok(()),
            (false, _) => "is outside the configured roots",
            (true, false) => "is not a regular file",
        };
        Err(object_store::Error::PermissionDenied {
            path: path.to_string(),
            source: Box::new(Error::new(
                ErrorCode::LocationNotAllowed,
                format!("file \"{}\" {reason}", file.display()),
            )),
        })
    }
}

impl fmt::Display for RootedLocal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("local file system")
    }
}

#[async_trait]
impl ObjectStore for RootedLocal {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.check(location, false)?;
        if !opts.attributes.is_empty() || matches!(opts.mode, PutMode::Update(_)) {
            return self.inner.put_opts(location, payload, opts).await;
        }
        durable::put(self.inner.path_to_filesystem(location)?, payload, opts.mode).await?;
        Ok(PutResult { e_tag: self.inner.head(location).await?.e_tag, version: None })
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.check(location, false)?;
        if !opts.attributes.is_empty() {
            return self.inner.put_multipart_opts(location, opts).await;
        }
        Ok(Box::new(durable::Parts::begin(self.inner.path_to_filesystem(location)?).await?))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.check(location, true)?;
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.check(location, true)?;
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let checker = Self { inner: Arc::clone(&self.inner), roots: self.roots.clone() };
        let checked = locations.map(move |path| path.and_then(|path| checker.check(&path, false).map(|()| path)));
        self.inner.delete_stream(checked.boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.check_prefix(prefix) {
            Ok(()) => self.inner.list(prefix),
            Err(error) => stream::once(async { Err(error) }).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.check_prefix(prefix)?;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.check(from, true)?;
        self.check(to, false)?;
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.check(from, true)?;
        self.check(to, false)?;
        self.inner.rename_opts(from, to, options).await
    }
}

impl RootedLocal {
    fn check_prefix(&self, prefix: Option<&Path>) -> Result<()> {
        self.check(prefix.unwrap_or(&Path::default()), false)
    }
}
