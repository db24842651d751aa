//! [`FilesVersion`]: a mark of an exact list of files, each at an exact version.
//!
//! Who keeps something made of files keeps this beside it: a file that was added, removed or replaced gives another mark.

use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::OnceLock;

use chrono::{DateTime, Utc};

use super::facts::file_version;
use super::listing::File;
use crate::prune::PartitionIndex;

/// A file system may tell two writes within a tick of its clock by nothing: ten milliseconds is the longest tick of a kernel.
const TICK_MS: i64 = 20;

/// Some keep whole seconds only, FAT every second one.
const COARSE_TICK_MS: i64 = 2_000;

/// 128 bits of hashes with this process's own random keys, so that whoever names files can't make two lists look the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FilesVersion([u64; 2]);

static KEYS: OnceLock<[RandomState; 2]> = OnceLock::new();

impl FilesVersion {
    /// The mark of `value`.
    pub(crate) fn of(value: &impl Hash) -> Self {
        Self(KEYS.get_or_init(|| [RandomState::new(), RandomState::new()]).each_ref().map(|keys| keys.hash_one(value)))
    }

    /// The mark of `files` of the store at `store_url`, in their order, with the keys that each file's rows have.
    pub(crate) fn of_files(store_url: &str, partitions: &PartitionIndex, files: &[File]) -> Self {
        let keys = KEYS.get_or_init(|| [RandomState::new(), RandomState::new()]);
        let mut hashers = keys.each_ref().map(BuildHasher::build_hasher);
        for file in files {
            let version = file_version(store_url, &file.meta);
            for hasher in &mut hashers {
                version.location.hash(hasher);
                version.version.hash(hasher);
                if let Some(partition) = file.partition {
                    partitions.list.values.iter().for_each(|values| values[partition].hash(hasher));
                }
            }
        }
        Self(hashers.map(|hasher| hasher.finish()))
    }
}

/// How long to wait, in milliseconds, until none of `files` can be written once more and look the same.
pub(crate) fn settling_ms(files: &[File], now: DateTime<Utc>) -> u64 {
    let wait = |file: &File| {
        let modified = file.meta.last_modified;
        let tick_ms = if modified.timestamp_subsec_nanos() == 0 { COARSE_TICK_MS } else { TICK_MS };
        let age_ms = (now - modified).num_milliseconds();
        // One of the future is as settled as it will be.
        if age_ms < -tick_ms { 0 } else { tick_ms + 1 - age_ms }
    };
    files.iter().map(wait).max().and_then(|wait| u64::try_from(wait).ok()).unwrap_or(0)
}

/// Whether one of `files`, which have no ETag made of their content, may change once more and look the same: it was written
/// within the last tick of its file system's clock.
pub(crate) fn may_look_the_same(files: &[File], now: DateTime<Utc>) -> bool {
    files.iter().any(|file| {
        let modified = file.meta.last_modified;
        let tick_ms = if modified.timestamp_subsec_nanos() == 0 { COARSE_TICK_MS } else { TICK_MS };
        (now - modified).num_milliseconds().abs() <= tick_ms
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::sync::Arc;

    use chrono::TimeDelta;
    use limnos_catalog::PartitionList;
    use object_store::ObjectMeta;

    use super::*;

    fn file(path: &str, size: u64, e_tag: Option<&str>) -> File {
        let meta = ObjectMeta {
            location: path.into(),
            last_modified: DateTime::from_timestamp(1_700_000_000, 5_000_000).unwrap(),
            size,
            e_tag: e_tag.map(str::to_owned),
            version: None,
        };
        File { meta, partition: None }
    }

    #[test]
    fn every_change_gives_another_mark() {
        let none = PartitionIndex::new("t", Vec::new(), Arc::new(PartitionList::default())).unwrap();
        let of = |files: &[File]| FilesVersion::of_files("s3://b", &none, files);
        let base = [file("a", 1, Some("x")), file("b", 1, None)];
        assert_eq!(of(&base), of(&base.clone()));
        let mut moved = base.clone();
        moved[1].meta.last_modified += TimeDelta::milliseconds(1);
        for other in [
            vec![],
            vec![base[0].clone()],
            vec![file("a", 1, Some("y")), base[1].clone()],
            vec![file("a", 2, Some("x")), base[1].clone()],
            vec![base[0].clone(), file("c", 1, None)],
            moved.to_vec(),
        ] {
            assert_ne!(of(&base), of(&other), "{other:?}");
        }
        assert_ne!(of(&base), FilesVersion::of_files("s3://c", &none, &base));
    }

    #[test]
    fn a_file_of_this_very_moment_may_change_unseen() {
        let written = file("a", 1, None);
        let at = |ms: i64| written.meta.last_modified + TimeDelta::milliseconds(ms);
        assert!(may_look_the_same(std::slice::from_ref(&written), at(3)));
        assert!(!may_look_the_same(std::slice::from_ref(&written), at(300)));
        let mut coarse = written.clone();
        coarse.meta.last_modified = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        assert!(may_look_the_same(&[coarse], at(300)));
    }
}
