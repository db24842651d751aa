//! Which files a table has now, asking the store only about what pruning left.
//!
//! A listing is live: what is listed is listed at this statement. One request per surviving prefix, or one flat listing
//! where many partitions survive and a walk over all keys costs fewer requests.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures::stream::{self, StreamExt, TryStreamExt};
use limnos_catalog::Snapshot;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};

use crate::Result;
use crate::scan::facts::file_version;
use crate::scan::store::{Location, StoreCounters, store_error};

/// Prefixes listed at the same time.
const LIST_CONCURRENCY: usize = 32;

/// From this many surviving partitions on, one flat listing of what they have in common is considered.
const FLAT_LISTING_MIN: usize = 64;

/// A partition's folder and its number.
#[derive(Debug, Clone)]
pub struct Folder {
    /// Its path in the store.
    pub path: Path,
    /// Index in the table's partitions; `None` for a table without.
    pub partition: Option<usize>,
}

/// A data file.
#[derive(Debug, Clone)]
pub struct File {
    /// Path, size, version.
    pub meta: ObjectMeta,
    /// As in [`Folder::partition`].
    pub partition: Option<usize>,
}

/// The files of one scan, and what listing them took.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) files: Vec<File>,
    pub(crate) counters: Arc<StoreCounters>,
}

/// Whether Hive and Athena skip a file or folder of this name (`_SUCCESS`, `.part.crc`).
pub fn is_hidden(segment: &str) -> bool {
    segment.starts_with(['_', '.'])
}

/// Whether a statement with this snapshot sees a file that was listed: not if it belongs to a write that goes on or began
/// later, nor if it is to go. Whoever lists a table's files asks this of each.
pub(crate) fn is_visible(snapshot: &Snapshot, store_url: &str, meta: &ObjectMeta) -> bool {
    let name = meta.location.as_ref().rsplit('/').next().unwrap_or_default();
    // What is being written on a local disk has a dot before its name.
    let name = name.strip_prefix('.').unwrap_or(name);
    snapshot.is_visible(name, || file_version(store_url, meta))
}

/// The files at `location`: the object itself, or all objects below it that aren't hidden or empty markers.
///
/// # Errors
/// What the store says. A prefix with nothing below it is no error: it has no files.
pub async fn list_location(store: &dyn ObjectStore, location: &Location) -> Result<Vec<File>> {
    if !location.is_folder
        && let Some(meta) = head_file(store, location).await?
    {
        return Ok(vec![File { meta, partition: None }]);
    }
    let folder = Folder { path: location.path.clone(), partition: None };
    list_each(store, location, vec![folder]).await
}

/// The object at `location` itself, if it is one.
async fn head_file(store: &dyn ObjectStore, location: &Location) -> Result<Option<ObjectMeta>> {
    match store.head(&location.path).await {
        Ok(meta) => Ok(Some(meta)),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        // A local folder is "not a regular file" to our store: it is listed then.
        Err(_) if !location.is_remote() && std::path::Path::new(&format!("/{}", location.path)).is_dir() => Ok(None),
        Err(error) => Err(store_error(&location.url, &error)),
    }
}

/// The files in `folders`, which all lie in one store; `location` is the table's own.
///
/// # Errors
/// What the store says, naming the folder.
pub async fn list_folders(store: &dyn ObjectStore, location: &Location, folders: Vec<Folder>) -> Result<Vec<File>> {
    let below = |folder: &Folder| folder.path.prefix_matches(&location.path);
    if folders.len() >= FLAT_LISTING_MIN && folders.iter().all(below) && are_apart(&folders) {
        return list_flat(store, location, folders).await;
    }
    list_each(store, location, folders).await
}

/// Whether no folder is another one, or in another one. Of those that aren't, a file is in more than one partition, which a
/// flat listing can't tell.
fn are_apart(folders: &[Folder]) -> bool {
    let paths: HashSet<&str> = folders.iter().map(|folder| folder.path.as_ref()).collect();
    let is_inside = |path: &str| {
        let mut above = path;
        while let Some((parent, _)) = above.rsplit_once('/') {
            if paths.contains(parent) {
                return true;
            }
            above = parent;
        }
        false
    };
    paths.len() == folders.len() && !paths.iter().any(|path| is_inside(path))
}

/// The files in `folders`, a listing for each and for nothing else. A folder that isn't there has none.
///
/// # Errors
/// As [`list_folders`].
pub async fn list_each(store: &dyn ObjectStore, location: &Location, folders: Vec<Folder>) -> Result<Vec<File>> {
    let lists = stream::iter(folders)
        .map(|folder| async move {
            let metas: Vec<ObjectMeta> = store
                .list(Some(&folder.path))
                .try_collect()
                .await
                .map_err(|error| store_error(&location.url_of(&folder.path), &error))?;
            Ok::<_, crate::Error>((folder, metas))
        })
        .buffered(LIST_CONCURRENCY)
        .try_collect::<Vec<_>>()
        .await?;
    let mut files = Vec::new();
    for (folder, metas) in lists {
        files.extend(
            metas
                .into_iter()
                .filter(|meta| is_data_file(&folder.path, meta))
                .map(|meta| File { meta, partition: folder.partition }),
        );
    }
    files.sort_by(|a, b| a.meta.location.cmp(&b.meta.location));
    Ok(files)
}

/// Lists the longest prefix that all `folders` share and keeps what lies in one of them.
async fn list_flat(store: &dyn ObjectStore, location: &Location, folders: Vec<Folder>) -> Result<Vec<File>> {
    let prefix = common_prefix(&folders);
    let by_path: HashMap<&str, &Folder> = folders.iter().map(|folder| (folder.path.as_ref(), folder)).collect();
    let mut files = Vec::new();
    let mut listing = store.list(Some(&prefix));
    while let Some(meta) = listing.try_next().await.map_err(|error| store_error(&location.url_of(&prefix), &error))? {
        // A file lies in the nearest folder above it that is one of ours.
        let mut parent = meta.location.as_ref();
        while let Some((above, _)) = parent.rsplit_once('/') {
            if let Some(folder) = by_path.get(above) {
                if is_data_file(&folder.path, &meta) {
                    files.push(File { meta, partition: folder.partition });
                }
                break;
            }
            parent = above;
        }
    }
    files.sort_by(|a, b| a.meta.location.cmp(&b.meta.location));
    Ok(files)
}

fn common_prefix(folders: &[Folder]) -> Path {
    let mut folders = folders.iter();
    let Some(first) = folders.next() else {
        return Path::default();
    };
    let mut common: Vec<&str> = first.path.as_ref().split('/').collect();
    for folder in folders {
        let same = common.iter().zip(folder.path.as_ref().split('/')).take_while(|(a, b)| **a == *b).count();
        common.truncate(same);
    }
    Path::parse(common.join("/")).unwrap_or_default()
}

fn is_data_file(folder: &Path, meta: &ObjectMeta) -> bool {
    // Zero bytes: the markers that consoles and Hadoop make for folders, and empty part files. They hold no rows.
    meta.size > 0
        && meta
            .location
            .prefix_match(folder)
            .is_some_and(|mut segments| segments.all(|segment| !is_hidden(segment.as_ref())))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use object_store::memory::InMemory;

    use super::*;

    async fn store(paths: &[&str]) -> (Arc<InMemory>, Location) {
        let store = Arc::new(InMemory::new());
        for path in paths {
            let bytes = if path.ends_with("empty") { "" } else { "x" };
            store.put(&Path::parse(path).unwrap(), bytes.into()).await.unwrap();
        }
        let location = Location {
            url: "s3://b/t/".into(),
            store_url: "s3://b".into(),
            store: Arc::clone(&store) as _,
            path: Path::from("t"),
            is_folder: true,
        };
        (store, location)
    }

    #[tokio::test]
    async fn hidden_and_empty_files_are_skipped() {
        let paths = ["t/a.csv", "t/_SUCCESS", "t/.a.crc", "t/empty", "t/sub/b.csv", "t/_tmp/c.csv", "t2/d.csv"];
        let (store, location) = store(&paths).await;
        let files = list_location(store.as_ref(), &location).await.unwrap();
        let found: Vec<&str> = files.iter().map(|file| file.meta.location.as_ref()).collect();
        assert_eq!(found, ["t/a.csv", "t/sub/b.csv"]);
    }

    /// A flat listing finds the same files, in the same partitions, as one listing per partition.
    #[tokio::test]
    async fn flat_and_single_listings_agree() {
        let paths: Vec<String> = (0..FLAT_LISTING_MIN * 2)
            .flat_map(|day| [format!("t/y=1/day={day}/a.csv"), format!("t/y=1/day={day}/x/b.csv")])
            .collect();
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        let (store, location) = store(&paths).await;
        let folders: Vec<Folder> = (0..FLAT_LISTING_MIN)
            .map(|day| Folder { path: Path::from(format!("t/y=1/day={}", day * 2)), partition: Some(day) })
            .collect();
        let flat = list_folders(store.as_ref(), &location, folders.clone()).await.unwrap();
        let mut single = Vec::new();
        for folder in folders {
            single.extend(list_folders(store.as_ref(), &location, vec![folder]).await.unwrap());
        }
        single.sort_by(|a, b| a.meta.location.cmp(&b.meta.location));
        let names = |files: &[File]| {
            files.iter().map(|file| (file.meta.location.to_string(), file.partition)).collect::<Vec<_>>()
        };
        assert_eq!(names(&flat), names(&single));
        assert_eq!(flat.len(), FLAT_LISTING_MIN * 2);
    }

    /// Two partitions of one folder, and one inside another's: each has its files, however many partitions there are.
    #[tokio::test]
    async fn folders_that_overlap_have_their_files_each() {
        let (store, location) = store(&["t/a/x.csv", "t/a/b/y.csv"]).await;
        for others in [0, FLAT_LISTING_MIN] {
            let paths = ["t/a".to_owned(), "t/a".to_owned(), "t/a/b".to_owned()];
            let paths = paths.into_iter().chain((0..others).map(|other| format!("t/{other}")));
            let folders = paths.enumerate().map(|(number, path)| Folder { path: path.into(), partition: Some(number) });
            let files = list_folders(store.as_ref(), &location, folders.collect()).await.unwrap();
            let mut found: Vec<(&str, Option<usize>)> =
                files.iter().map(|file| (file.meta.location.as_ref(), file.partition)).collect();
            found.sort();
            let expected =
                [("t/a/b/y.csv", 0), ("t/a/b/y.csv", 1), ("t/a/b/y.csv", 2), ("t/a/x.csv", 0), ("t/a/x.csv", 1)];
            assert_eq!(found, expected.map(|(path, partition)| (path, Some(partition))), "{others}");
        }
    }
}
