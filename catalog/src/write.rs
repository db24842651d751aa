//! [`Writes`]: writes into tables' folders that go on, and files that are to go. With them a snapshot says which of the
//! files that are listed it sees.
//!
//! Tables stay folders that are listed, and yet a statement's files appear all at once, with a commit of the catalog:
//!
//! ```text
//! BeginWrite   makes catalog version w, which is the write's id. Files: limnos-<catalog>-<w>-<rest>
//!              snapshots before w don't see them (w > version), later ones know that w goes on
//! CommitWrite  makes version r: w goes on no more, so its files are seen; removed files are not seen from here on
//! AbortWrite   instead of it: w's files are never seen, and deleted
//! ```
//! Files of others are always seen. A removed file is one exact version of it: one that is put again under its name is seen.
//! Files go from the store once no living snapshot sees them. Their records stay a while longer ([`SETTLE_MS`]), since a
//! listing that began before the file went may come late.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::Arc;

use crate::{FileVersion, Snapshot, TableName};

/// What the names of all files that Limnos writes into tables begin with.
pub const FILE_PREFIX: &str = "limnos-";

/// How long the record of a file or write outlives the file: longer than a listing takes.
pub const SETTLE_MS: i64 = 10 * 60 * 1000;

/// How long removed files are kept for snapshots that still see them: a session that rests in a transaction must not keep
/// them for ever. Who needs them later is told so.
pub const REMOVAL_GRACE_MS: i64 = 60 * 60 * 1000;

/// The name of a file of ours, `limnos-3f2a90c1-000000000042-00001-8d1f.parquet`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriteName {
    /// Which catalog has written it: [`Writes::catalog_id`].
    pub catalog_id: u32,
    /// The write that has made it.
    pub write: i64,
}

impl WriteName {
    /// What a file's name says; `None` of files that others have made. `name` is the last part of a path.
    pub fn parse(name: &str) -> Option<Self> {
        let rest = name.strip_prefix(FILE_PREFIX)?;
        let (catalog_id, rest) = rest.split_once('-')?;
        let (write, rest) = rest.split_once('-')?;
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let is_ours = catalog_id.len() == 8 && catalog_id.bytes().all(is_hex) && !rest.is_empty();
        if !is_ours || write.len() < 12 || !write.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        Some(Self { catalog_id: u32::from_str_radix(catalog_id, 16).ok()?, write: write.parse().ok()? })
    }

    /// The name of a file; `rest` tells it from the others of its write.
    pub fn file_name(self, rest: &str) -> String {
        format!("{self}{rest}")
    }
}

impl fmt::Display for WriteName {
    /// What the names of all files of the write begin with.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{FILE_PREFIX}{:08x}-{:012}-", self.catalog_id, self.write)
    }
}

/// A write that has begun, and has not been committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// The catalog version that began it.
    pub id: i64,
    /// The server that writes, where several share the catalog.
    pub server_id: i64,
    /// Milliseconds since 1970, UTC.
    pub begun_at_ms: i64,
    /// What is written into, for people.
    pub target: String,
    /// The URLs of the folders that its files are in or below.
    pub locations: Vec<String>,
    /// When it was given up; its files are to be deleted, or are.
    pub aborted_at_ms: Option<i64>,
    /// Whether whoever wrote was taken for dead. Should it live and write on, the write stays known, so that nobody ever
    /// sees what comes.
    pub is_lost: bool,
}

/// A file, or all files of ours in a folder, that a table has no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemovedFile {
    /// A URL. One that ends in `/` is a folder whose table is dropped.
    pub location: String,
    /// The exact version of the file, as in [`FileVersion`]; empty for a folder.
    pub version: String,
}

impl RemovedFile {
    /// All files of ours at or below `location`, a URL.
    pub fn folder(location: &str) -> Self {
        Self { location: format!("{}/", location.trim_end_matches('/')), version: String::new() }
    }

    /// Whether it is a folder.
    pub fn is_folder(&self) -> bool {
        self.version.is_empty()
    }
}

impl From<FileVersion> for RemovedFile {
    fn from(file: FileVersion) -> Self {
        Self { location: file.location, version: file.version }
    }
}

/// What a write's commit expects of the table that it writes into, and does to its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteTarget {
    /// The table.
    pub name: TableName,
    /// Its id: one that was made anew under the name is another.
    pub id: i64,
    /// Its version, by which the rows were made.
    pub version: i64,
    /// The [`crate::Table::data_version`] that `removed` was made from; `None` if it makes no difference.
    pub data_version: Option<i64>,
    /// Files whose rows the table has no more.
    pub removed: Vec<RemovedFile>,
}

/// What goes on with files, as of one snapshot.
#[derive(Debug, Clone, Default)]
pub struct Writes {
    /// The catalog version that last changed anything here.
    pub version: i64,
    /// Random, made once: files of a catalog that was thrown away are files of others.
    pub catalog_id: u32,
    /// By id: those that go on, and those that were given up and whose files may still be there.
    pub open: BTreeMap<i64, Arc<Write>>,
    /// Location and version of removed files, as [`removed_key`] puts them together. Shared by the snapshots of a time in
    /// which none is removed.
    pub(crate) removed: Arc<HashSet<Box<str>>>,
}

/// One text of a file and its version.
pub(crate) fn removed_key(location: &str, version: &str) -> Box<str> {
    format!("{location}\n{version}").into()
}

impl Snapshot {
    /// Whether a table has a file that was listed, for a statement with this snapshot. `name` is the last part of its path;
    /// `file` is asked for only where files are to go.
    pub fn is_visible(&self, name: &str, file: impl FnOnce() -> FileVersion) -> bool {
        self.is_visible_name(name) && (self.writes.removed.is_empty() || !self.is_removed(&file()))
    }

    /// Whether a file of this name is none of a write that goes on, was given up, or began later.
    pub fn is_visible_name(&self, name: &str) -> bool {
        match WriteName::parse(name) {
            Some(ours) if ours.catalog_id == self.writes.catalog_id => {
                self.is_own_write(ours.write)
                    || (ours.write <= self.version && !self.writes.open.contains_key(&ours.write))
            }
            _ => true,
        }
    }

    /// Whether exactly this file is one that is to go.
    pub fn is_removed(&self, file: &FileVersion) -> bool {
        self.writes.removed.contains(&removed_key(&file.location, &file.version))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        let name = WriteName { catalog_id: 0x00ff_a0c1, write: 42 };
        let file = name.file_name("00001-8d1f.snappy.parquet");
        assert_eq!(file, "limnos-00ffa0c1-000000000042-00001-8d1f.snappy.parquet");
        assert_eq!(WriteName::parse(&file), Some(name));
        let large = WriteName { catalog_id: u32::MAX, write: i64::MAX };
        assert_eq!(WriteName::parse(&large.file_name("x")), Some(large));
        for foreign in [
            "",
            "part-0.parquet",
            "limnos-",
            "limnos-00ffa0c1",
            "limnos-00ffa0c1-000000000042",
            "limnos-00ffa0c1-000000000042-",
            "limnos-00FFA0C1-000000000042-x",
            "limnos-0ffa0c1-000000000042-x",
            "limnos-00ffa0c1-42-x",
            "limnos-00ffa0c1-+00000000042-x",
            "limnos-00ffa0c1-99999999999999999999-x",
            "limnos-éffa0c1-000000000042-x",
        ] {
            assert_eq!(WriteName::parse(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn files_are_seen_from_their_commit_on() {
        let write = |id| {
            let (begun_at_ms, locations) = (0, Vec::new());
            let target = String::new();
            Arc::new(Write { id, server_id: 0, begun_at_ms, target, locations, aborted_at_ms: None, is_lost: false })
        };
        let writes = Writes {
            version: 9,
            catalog_id: 7,
            open: BTreeMap::from([(8, write(8))]),
            removed: Arc::new(HashSet::from([removed_key("file:///t/a", "1")])),
        };
        let snapshot = Snapshot { version: 9, writes: Arc::new(writes), ..Snapshot::default() };
        let file = |location: &str, version: &str| FileVersion { location: location.into(), version: version.into() };
        let is_visible = |catalog_id, write| {
            let name = WriteName { catalog_id, write }.file_name("0.csv");
            snapshot.is_visible(&name, || file(&format!("file:///t/{name}"), "1"))
        };
        assert!(is_visible(7, 3), "committed");
        assert!(!is_visible(7, 8), "goes on");
        assert!(is_visible(7, 9), "begun and committed before this snapshot");
        assert!(!is_visible(7, 10), "begun after this snapshot");
        assert!(is_visible(6, 8) && is_visible(6, 10), "another catalog's");
        assert!(!snapshot.is_visible("a", || file("file:///t/a", "1")), "removed");
        assert!(snapshot.is_visible("a", || file("file:///t/a", "2")), "put again");
        assert!(snapshot.is_visible("b", || file("file:///t/b", "1")));
    }
}
