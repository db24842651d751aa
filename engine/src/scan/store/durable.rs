//! Writing on the local disk so that a crash leaves the whole file or none: beside its place, synced, then renamed, and the
//! folder synced. `object_store`'s own file system does not sync.
//!
//! What is being written is called `.name.<random>.part`, which no table reads and a listing shows, so that what a killed
//! process left behind can be found.

use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, Hasher};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use object_store::{MultipartUpload, PutMode, PutPayload, PutResult, Result, UploadPart};

/// A file that isn't at its place yet. Dropping it removes it.
#[derive(Debug)]
struct Staged {
    file: File,
    staging: PathBuf,
    target: PathBuf,
    /// Folders that had to be made, outermost first.
    made: Vec<PathBuf>,
    is_placed: bool,
}

impl Staged {
    fn create(target: &Path) -> io::Result<Self> {
        let folder = target.parent().ok_or_else(|| io::Error::other("a file needs a folder"))?;
        let mut made: Vec<PathBuf> =
            folder.ancestors().take_while(|ancestor| !ancestor.exists()).map(Path::to_owned).collect();
        made.reverse();
        fs::create_dir_all(folder)?;
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        // The standard library's one source of randomness.
        let random = std::hash::RandomState::new().build_hasher().finish();
        let staging = folder.join(format!(".{name}.{random:016x}.part"));
        let file = OpenOptions::new().write(true).create_new(true).open(&staging)?;
        Ok(Self { file, staging, target: target.to_owned(), made, is_placed: false })
    }

    /// Makes the file appear, durably.
    fn place(&mut self, mode: &PutMode) -> io::Result<()> {
        self.file.sync_all()?;
        match mode {
            PutMode::Create => fs::hard_link(&self.staging, &self.target)?,
            _ => {
                fs::rename(&self.staging, &self.target)?;
                self.is_placed = true;
            }
        }
        let parents = self.made.iter().chain([&self.target]).filter_map(|path| path.parent());
        for folder in parents {
            File::open(folder)?.sync_all()?;
        }
        Ok(())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.is_placed
            && let Err(error) = fs::remove_file(&self.staging)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(file = %self.staging.display(), %error, "what was written of a file stays on disk");
        }
    }
}

/// Writes `payload` to `target`.
pub(super) async fn put(target: PathBuf, payload: PutPayload, mode: PutMode) -> Result<()> {
    blocking(target.clone(), move || {
        let mut staged = Staged::create(&target)?;
        payload.iter().try_for_each(|bytes| staged.file.write_all(bytes))?;
        staged.place(&mode)
    })
    .await
}

/// A file that comes in parts.
#[derive(Debug)]
pub(super) struct Parts {
    staged: Option<Arc<Staged>>,
    target: PathBuf,
    offset: u64,
}

impl Parts {
    /// Parts of the file that will be at `target`.
    pub(super) async fn begin(target: PathBuf) -> Result<Self> {
        let own = target.clone();
        let staged = blocking(target.clone(), move || Staged::create(&own)).await?;
        Ok(Self { staged: Some(Arc::new(staged)), target, offset: 0 })
    }
}

#[async_trait]
impl MultipartUpload for Parts {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let mut offset = self.offset;
        self.offset += data.content_length() as u64;
        let (staged, target) = (self.staged.clone(), self.target.clone());
        Box::pin(blocking(target, move || {
            let staged = staged.ok_or_else(|| io::Error::other("the upload has ended"))?;
            for bytes in data.iter() {
                staged.file.write_all_at(bytes, offset)?;
                offset += bytes.len() as u64;
            }
            Ok(())
        }))
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let staged = self.staged.take();
        blocking(self.target.clone(), move || {
            let mut staged = staged
                .and_then(Arc::into_inner)
                .ok_or_else(|| io::Error::other("the upload has ended, or a part is still being written"))?;
            staged.place(&PutMode::Overwrite)
        })
        .await?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn abort(&mut self) -> Result<()> {
        let staged = self.staged.take();
        blocking(self.target.clone(), move || {
            drop(staged);
            Ok(())
        })
        .await
    }
}

/// Runs `work`, which may wait for the disk, on a thread for that.
async fn blocking<T: Send + 'static>(
    path: PathBuf,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T> {
    let result = tokio::task::spawn_blocking(work).await.map_err(io::Error::other).and_then(|result| result);
    result.map_err(|source| {
        let path = path.display().to_string();
        match source.kind() {
            io::ErrorKind::AlreadyExists => object_store::Error::AlreadyExists { path, source: source.into() },
            io::ErrorKind::NotFound => object_store::Error::NotFound { path, source: source.into() },
            io::ErrorKind::PermissionDenied => object_store::Error::PermissionDenied { path, source: source.into() },
            _ => object_store::Error::Generic { store: "local file system", source: source.into() },
        }
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn a_file_appears_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a/b/x.csv");
        put(target.clone(), PutPayload::from_static(b"one"), PutMode::Overwrite).await.unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"one");
        let error = put(target.clone(), PutPayload::from_static(b"two"), PutMode::Create).await.unwrap_err();
        assert!(matches!(error, object_store::Error::AlreadyExists { .. }), "{error}");

        let mut parts = Parts::begin(target.clone()).await.unwrap();
        let (first, second) =
            (parts.put_part(PutPayload::from_static(b"12")), parts.put_part(PutPayload::from_static(b"3")));
        second.await.unwrap();
        first.await.unwrap();
        assert_eq!(names(target.parent().unwrap()).len(), 2);
        assert_eq!(fs::read(&target).unwrap(), b"one");
        parts.complete().await.unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"123");

        let mut parts = Parts::begin(target.clone()).await.unwrap();
        parts.put_part(PutPayload::from_static(b"lost")).await.unwrap();
        parts.abort().await.unwrap();
        drop(Parts::begin(target.clone()).await.unwrap());
        assert_eq!(names(target.parent().unwrap()), ["x.csv"]);
        assert_eq!(fs::read(&target).unwrap(), b"123");
    }
}
