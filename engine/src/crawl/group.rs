//! Which files make one table: paths under the crawled folder -> [`Group`]s.
//!
//! - Folders `key=value` are partitions of the folder above them.
//! - Folders whose names are only digits (`2024/06/01/`) are parts of the folder above them.
//! - A folder's files are one table if it has one file, or if they are a series (`part-000`, `part-001`): [`Group::Folder`].
//!   Otherwise the caller looks into them: [`Group::Mixed`].

use std::collections::BTreeMap;

use object_store::ObjectMeta;

use super::name::series;

/// A file under the crawled folder.
#[derive(Debug, Clone)]
pub(super) struct FoundFile {
    pub object: ObjectMeta,
    /// The path below the crawled folder.
    pub segments: Vec<String>,
    /// Partition keys and values on its way, outermost first.
    pub partition: Vec<(String, Option<String>)>,
    /// The folders that spell them, from the first `key=value` on.
    pub partition_path: String,
}

/// Files that belong together.
#[derive(Debug)]
pub(super) struct Group {
    /// The folder below the crawled one, without a slash at its end; empty for the crawled folder itself.
    pub folder: String,
    pub files: Vec<FoundFile>,
    /// Whether the folder may be one table: its files are alike by name or partitioned, and nothing else lies below it.
    pub kind: GroupKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GroupKind {
    /// One table, whatever the files' schemas.
    Partitioned,
    /// One table if the schemas agree.
    Series,
    /// One table if the schemas agree and it isn't the crawled folder itself.
    Mixed,
    /// A table for each file: other tables lie below the folder, so its location can't be the folder.
    Separate,
}

/// Whether Hive, and everything after it, ignores a name.
pub(super) fn is_hidden(segment: &str) -> bool {
    segment.starts_with(['_', '.'])
        // `_HIVE_...` is hidden, a partition whose key begins so is not.
        && !segment.contains('=')
}

/// Reads `key=value` as Hive writes it.
pub(super) fn partition_segment(segment: &str) -> Option<(String, Option<String>)> {
    let (key, value) = segment.split_once('=')?;
    if key.is_empty() {
        return None;
    }
    let decode = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    let value = (value != limnos_catalog::partition::HIVE_DEFAULT_PARTITION).then(|| decode(value));
    Some((decode(key).to_lowercase(), value))
}

/// Sorts files into groups, by folder.
pub(super) fn group(files: Vec<FoundFile>) -> Vec<Group> {
    let mut folders: BTreeMap<String, Vec<FoundFile>> = BTreeMap::new();
    for mut file in files {
        let directories = file.segments.len() - 1;
        let is_part = |segment: &String| {
            partition_segment(segment).is_some()
                || (!segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_digit()))
        };
        let base = file.segments[..directories].iter().position(is_part).unwrap_or(directories);
        for segment in &file.segments[base..directories] {
            file.partition.extend(partition_segment(segment));
        }
        if !file.partition.is_empty() {
            file.partition_path = file.segments[base..directories].join("/");
        }
        folders.entry(file.segments[..base].join("/")).or_default().push(file);
    }
    let names: Vec<String> = folders.keys().cloned().collect();
    folders
        .into_iter()
        .map(|(folder, files)| {
            let below = if folder.is_empty() { String::new() } else { format!("{folder}/") };
            let has_folders_below = names.iter().any(|name| *name != folder && name.starts_with(&below));
            let keys: Vec<&str> = files[0].partition.iter().map(|(key, _)| key.as_str()).collect();
            let is_partitioned = !keys.is_empty()
                && files.iter().all(|file| file.partition.iter().map(|(key, _)| key.as_str()).eq(keys.iter().copied()));
            let pattern = series(file_name(&files[0]));
            let kind = if is_partitioned {
                GroupKind::Partitioned
            } else if has_folders_below {
                GroupKind::Separate
            } else if files.iter().all(|file| series(file_name(file)) == pattern) {
                GroupKind::Series
            } else {
                GroupKind::Mixed
            };
            Group { folder, files, kind }
        })
        .collect()
}

/// The last part of a file's path.
pub(super) fn file_name(file: &FoundFile) -> &str {
    file.segments.last().map_or("", String::as_str)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn trees() {
        let files = [
            "airports.csv",
            "movies.json",
            "orders/part-0.parquet",
            "orders/part-1.parquet",
            "sales/year=2024/month=01/a.csv",
            "sales/year=2024/month=__HIVE_DEFAULT_PARTITION__/b.csv",
            "logs/2024/01/x.log",
            "logs/2024/02/y.log",
            "shop/a.csv",
            "shop/b/c.csv",
            "pair/x.csv",
            "pair/y.csv",
        ];
        let files = files
            .iter()
            .map(|path| FoundFile {
                object: ObjectMeta {
                    location: object_store::path::Path::from(*path),
                    last_modified: chrono::DateTime::UNIX_EPOCH,
                    size: 1,
                    e_tag: None,
                    version: None,
                },
                segments: path.split('/').map(str::to_owned).collect(),
                partition: Vec::new(),
                partition_path: String::new(),
            })
            .collect();
        let groups: Vec<String> = group(files)
            .iter()
            .map(|group| format!("{}:{:?}:{}", group.folder, group.kind, group.files.len()))
            .collect();
        assert_eq!(
            groups,
            [
                ":Separate:2",
                "logs:Mixed:2",
                "orders:Series:2",
                "pair:Mixed:2",
                "sales:Partitioned:2",
                "shop:Separate:1",
                "shop/b:Series:1"
            ]
        );
        assert_eq!(partition_segment("a=x%3Ay"), Some(("a".to_owned(), Some("x:y".to_owned()))));
        assert!(is_hidden("_SUCCESS") && is_hidden(".x") && !is_hidden("_k=1") && !is_hidden("a"));
    }
}
