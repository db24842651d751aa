//! [`PinnedFiles`]: the files that a transaction block has seen are those that it sees to its end.
//!
//! A catalog snapshot says which tables there are; files of others come and go without it. So the first listing below a prefix
//! is the block's: what others put there later it doesn't see, and a file that was replaced or deleted since is an error when
//! it is read, as for any query under way. What the block itself has written is added.
//!
//! ```text
//! list t/k=1/   made, and kept
//! list t/       made; below t/k=1/ what was kept counts, the rest is kept
//! list t/k=2/   taken from what was kept of t/
//! ```

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt;
use futures::future::FutureExt;
use futures::stream::{self, BoxStream, StreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};
use parking_lot::Mutex;

use crate::dataset::pinned::PinnedDatasets;
use crate::limits::BLOCK_FILES_MAX;

/// What one store's files are for a block.
#[derive(Debug, Default)]
struct Pinned {
    /// By prefix: what a listing found.
    listings: HashMap<Path, Vec<ObjectMeta>>,
    /// By path: what was asked for by itself, and was there.
    heads: HashMap<Path, ObjectMeta>,
    /// Files that the block has written.
    own: Vec<ObjectMeta>,
}

impl Pinned {
    /// What is kept of all below `prefix`.
    fn find(&self, prefix: &Path) -> Option<Vec<ObjectMeta>> {
        let mut found = match self.listings.get(prefix) {
            Some(listing) => listing.clone(),
            None => {
                let (_, above) = self.listings.iter().find(|(above, _)| prefix.prefix_matches(above))?;
                above.iter().filter(|meta| meta.location.prefix_matches(prefix)).cloned().collect()
            }
        };
        self.add_own(prefix, &mut found);
        Some(found)
    }

    fn add_own(&self, prefix: &Path, found: &mut Vec<ObjectMeta>) {
        let known: HashSet<Path> = match self.own.is_empty() {
            true => return,
            false => found.iter().map(|meta| meta.location.clone()).collect(),
        };
        let is_new = |meta: &&ObjectMeta| meta.location.prefix_matches(prefix) && !known.contains(&meta.location);
        found.extend(self.own.iter().filter(is_new).cloned());
    }

    /// Keeps a listing, but for what was seen of it before.
    fn keep(&mut self, prefix: &Path, mut listed: Vec<ObjectMeta>) -> Vec<ObjectMeta> {
        if let Some(found) = self.find(prefix) {
            // Somebody else of the same query was faster.
            return found;
        }
        let inside: Vec<Path> = self.listings.keys().filter(|below| below.prefix_matches(prefix)).cloned().collect();
        for below in inside {
            listed.retain(|meta| !meta.location.prefix_matches(&below));
            listed.extend(self.listings.remove(&below).into_iter().flatten());
        }
        self.listings.insert(prefix.clone(), listed.clone());
        self.add_own(prefix, &mut listed);
        listed
    }

    fn count(&self) -> usize {
        self.listings.values().map(|listing| listing.len() + 1).sum::<usize>() + self.heads.len() + self.own.len()
    }
}

/// See the module. By the store's URL.
#[derive(Debug, Default)]
pub struct PinnedFiles {
    stores: Mutex<HashMap<Arc<str>, Pinned>>,
    /// The versions of datasets that it has seen.
    pub(crate) datasets: PinnedDatasets,
}

impl PinnedFiles {
    /// Adds files that the block has written into the store at `store_url`.
    pub(crate) fn add_own(&self, store_url: &str, files: impl IntoIterator<Item = ObjectMeta>) {
        self.stores.lock().entry(store_url.into()).or_default().own.extend(files);
    }

    fn with<T>(&self, store_url: &Arc<str>, work: impl FnOnce(&mut Pinned) -> T) -> T {
        work(self.stores.lock().entry(Arc::clone(store_url)).or_default())
    }

    fn check_room(&self, more: usize) -> Result<()> {
        if self.stores.lock().values().map(Pinned::count).sum::<usize>() + more <= BLOCK_FILES_MAX {
            return Ok(());
        }
        let message = format!("a transaction block can't hold on to more than {BLOCK_FILES_MAX} files; end it");
        Err(object_store::Error::Generic { store: "transaction block", source: message.into() })
    }
}

/// The store of one scan in a block.
#[derive(Debug)]
pub(crate) struct PinnedStore {
    inner: Arc<dyn ObjectStore>,
    files: Arc<PinnedFiles>,
    store_url: Arc<str>,
}

impl PinnedStore {
    pub(crate) fn new(inner: Arc<dyn ObjectStore>, files: Arc<PinnedFiles>, store_url: Arc<str>) -> Self {
        Self { inner, files, store_url }
    }
}

impl fmt::Display for PinnedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for PinnedStore {
    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let prefix = prefix.cloned().unwrap_or_default();
        let (inner, files, url) = (Arc::clone(&self.inner), Arc::clone(&self.files), Arc::clone(&self.store_url));
        let listing = async move {
            if let Some(found) = files.with(&url, |pinned| pinned.find(&prefix)) {
                return Ok(found);
            }
            let listed: Vec<ObjectMeta> = inner.list(Some(&prefix)).try_collect().await?;
            files.check_room(listed.len() + 1)?;
            Ok(files.with(&url, |pinned| pinned.keep(&prefix, listed)))
        };
        let told = |listed: Result<Vec<ObjectMeta>>| match listed {
            Ok(found) => stream::iter(found.into_iter().map(Ok)).boxed(),
            Err(error) => stream::once(std::future::ready(Err(error))).boxed(),
        };
        listing.map(told).flatten_stream().boxed()
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        // A table may be one file, which is asked for instead of listed.
        if !options.head || options.range.is_some() {
            return self.inner.get_opts(location, options).await;
        }
        if let Some(meta) = self.files.with(&self.store_url, |pinned| pinned.heads.get(location).cloned()) {
            let payload = GetResultPayload::Stream(stream::empty().boxed());
            return Ok(GetResult { payload, meta, range: 0..0, attributes: Default::default() });
        }
        let result = self.inner.get_opts(location, options).await?;
        self.files.check_room(1)?;
        self.files.with(&self.store_url, |pinned| pinned.heads.insert(location.clone(), result.meta.clone()));
        Ok(result)
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.inner.rename_opts(from, to, options).await
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use object_store::ObjectStoreExt;
    use object_store::memory::InMemory;

    use super::*;

    async fn listed(store: &PinnedStore, prefix: &str) -> String {
        let metas: Vec<ObjectMeta> = store.list(Some(&Path::from(prefix))).try_collect().await.unwrap();
        let mut files: Vec<String> =
            metas.iter().map(|meta| format!("{}:{}", meta.location.as_ref(), meta.size)).collect();
        files.sort();
        files.join(" ")
    }

    #[tokio::test]
    async fn what_was_seen_first_is_seen_again() {
        let inner = Arc::new(InMemory::new());
        let put = async |path: &str, bytes: &'static str| {
            inner.put(&Path::from(path), bytes.into()).await.unwrap();
        };
        put("t/k=1/a", "1").await;
        put("t/k=2/b", "1").await;
        put("u/x", "1").await;
        let files = Arc::new(PinnedFiles::default());
        let store = PinnedStore::new(Arc::clone(&inner) as _, Arc::clone(&files), "m://".into());
        assert_eq!(listed(&store, "t/k=1").await, "t/k=1/a:1");
        put("t/k=1/a", "22").await;
        put("t/k=1/new", "1").await;
        put("t/k=2/new", "1").await;
        assert_eq!(listed(&store, "t/k=1").await, "t/k=1/a:1");
        assert_eq!(listed(&store, "t").await, "t/k=1/a:1 t/k=2/b:1 t/k=2/new:1", "the old and what is seen first now");
        put("t/k=2/newer", "1").await;
        put("t/k=3/newer", "1").await;
        assert_eq!(listed(&store, "t/k=2").await, "t/k=2/b:1 t/k=2/new:1");
        assert_eq!(listed(&store, "t/k=3").await, "", "below a folder that was listed");
        assert_eq!(listed(&store, "u").await, "u/x:1");
        assert_eq!(listed(&store, "t/k=").await, "", "names are whole");

        // What the block writes itself it sees.
        put("t/k=3/own", "333").await;
        files.add_own("m://", [inner.head(&Path::from("t/k=3/own")).await.unwrap()]);
        assert_eq!(listed(&store, "t/k=3").await, "t/k=3/own:3");
        assert_eq!(listed(&store, "t").await, "t/k=1/a:1 t/k=2/b:1 t/k=2/new:1 t/k=3/own:3");

        // A table of one file.
        assert_eq!(store.head(&Path::from("u/x")).await.unwrap().size, 1);
        put("u/x", "22").await;
        assert_eq!(store.head(&Path::from("u/x")).await.unwrap().size, 1);
        assert_eq!(
            store.get(&Path::from("u/x")).await.unwrap().bytes().await.unwrap().len(),
            2,
            "reads are the store's"
        );
        // Another block, or none.
        let other = PinnedStore::new(Arc::clone(&inner) as _, Arc::default(), "m://".into());
        assert_eq!(listed(&other, "u").await, "u/x:2");
    }
}
