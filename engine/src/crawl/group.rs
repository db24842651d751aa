//! Which files make one table: paths under the crawled folder -> [`Group`]s.
//!
//! - Folders `key=value` are partitions of the folder above them.
//! - Folders whose names are only digits (`2024/06/01/`) are, too; their keys have no names, and are called `partition_0`,
//!   `partition_1`, ... by their level, as Glue does.
//! - A folder's files are one table if it has one file, or if they are a series (`part-000`, `part-001`).
//!   Otherwise the caller looks into them: [`GroupKind::Mixed`].
//! - Folders side by side whose files have the same columns are partitions of the folder above them
//!   ([`siblings`], [`join`]): `events/eu/`, `events/us/`.

use std::collections::BTreeMap;

use object_store::ObjectMeta;

use super::name::series;

/// A folder between a table's and a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Level {
    /// The key before the `=`; `None` for a folder that names none.
    pub key: Option<String>,
    /// `None` is NULL.
    pub value: Option<String>,
}

/// A file under the crawled folder.
#[derive(Debug, Clone)]
pub(super) struct FoundFile {
    pub object: ObjectMeta,
    /// The path below the crawled folder.
    pub segments: Vec<String>,
    /// Partition keys and values on its way, outermost first.
    pub partition: Vec<Level>,
    /// The folders that spell them, below the group's.
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

fn level(segment: &str) -> Level {
    match partition_segment(segment) {
        Some((key, value)) => Level { key: Some(key), value },
        None => Level { key: None, value: Some(segment.to_owned()) },
    }
}

/// The names of the levels' keys.
pub(super) fn key_names(levels: &[Level]) -> Vec<String> {
    let name = |(index, level): (usize, &Level)| level.key.clone().unwrap_or_else(|| format!("partition_{index}"));
    levels.iter().enumerate().map(name).collect()
}

/// Sorts files into groups, by folder. Folders without `key=` become partitions, too, if they may (`unnamed`).
pub(super) fn group(files: Vec<FoundFile>, unnamed: bool) -> Vec<Group> {
    let mut folders: BTreeMap<String, Vec<FoundFile>> = BTreeMap::new();
    for mut file in files {
        let directories = file.segments.len() - 1;
        let is_part = |segment: &String| {
            partition_segment(segment).is_some()
                || (!segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_digit()))
        };
        let base = file.segments[..directories].iter().position(is_part).unwrap_or(directories);
        file.partition = file.segments[base..directories].iter().map(|segment| level(segment)).collect();
        folders.entry(file.segments[..base].join("/")).or_default().push(file);
    }
    let names: Vec<String> = folders.keys().cloned().collect();
    folders
        .into_iter()
        .map(|(folder, mut files)| {
            let below = if folder.is_empty() { String::new() } else { format!("{folder}/") };
            // The folders are sorted: those below come right after.
            let first = names.partition_point(|name| *name <= below);
            let has_folders_below =
                names[first..].iter().take(2).any(|name| *name != folder && name.starts_with(&below));
            settle_keys(&mut files, unnamed);
            let is_named = files[0].partition.iter().any(|level| level.key.is_some());
            let pattern = series(file_name(&files[0]));
            let kind = if is_named {
                GroupKind::Partitioned
            } else if has_folders_below {
                GroupKind::Separate
            } else if files.iter().all(|file| series(file_name(file)) == pattern) {
                GroupKind::Series
            } else {
                GroupKind::Mixed
            };
            let depth = if folder.is_empty() { 0 } else { folder.split('/').count() };
            for file in &mut files {
                let levels = file.partition.len().min(file.segments.len() - 1 - depth);
                file.partition_path = file.segments[depth..depth + levels].join("/");
            }
            Group { folder, files, kind }
        })
        .collect()
}

/// Leaves the files of a folder the keys that all of them have: all levels, or the named ones, or none.
fn settle_keys(files: &mut [FoundFile], unnamed: bool) {
    fn keys(file: &FoundFile) -> impl Iterator<Item = Option<&str>> {
        file.partition.iter().map(|level| level.key.as_deref())
    }
    let is_same = |files: &[FoundFile]| files.iter().all(|file| keys(file).eq(keys(&files[0])));
    if unnamed && is_same(files) {
        return;
    }
    // Keys behind a folder that is none can't be told by the folder's path.
    let is_split = |file: &FoundFile| {
        let named = file.partition.iter().take_while(|level| level.key.is_some()).count();
        file.partition[named..].iter().any(|level| level.key.is_some())
    };
    let is_any_split = unnamed && files.iter().any(is_split);
    for file in files.iter_mut() {
        file.partition.retain(|level| level.key.is_some());
    }
    if is_any_split || !is_same(files) {
        files.iter_mut().for_each(|file| file.partition.clear());
    }
}

/// Folders whose children may be partitions of them, the deepest first: nothing but two or more groups lies in them, each
/// of which may be one table, all with the same keys. Gives the parents and their groups' folders.
pub(super) fn siblings(groups: &BTreeMap<String, Group>, at_root: bool) -> Vec<(String, Vec<String>)> {
    let mut parents: BTreeMap<&str, Vec<&Group>> = BTreeMap::new();
    for group in groups.values().filter(|group| !group.folder.is_empty()) {
        let parent = group.folder.rsplit_once('/').map_or("", |(parent, _)| parent);
        parents.entry(parent).or_default().push(group);
    }
    let is_whole = |parent: &str, children: &[&Group]| {
        let below = if parent.is_empty() { String::new() } else { format!("{parent}/") };
        let inside = groups.range(below.clone()..).take_while(|(folder, _)| folder.starts_with(&below)).count();
        inside == children.len() && !groups.contains_key(parent)
    };
    let mut found: Vec<(String, Vec<String>)> = parents
        .iter()
        .filter(|(parent, children)| {
            children.len() > 1
                && (at_root || !parent.is_empty())
                && children.iter().all(|group| {
                    let keys = |group: &Group| {
                        group.files[0].partition.iter().map(|level| level.key.clone()).collect::<Vec<_>>()
                    };
                    group.kind != GroupKind::Separate && keys(group) == keys(children[0])
                })
                && is_whole(parent, children)
        })
        .map(|(parent, children)| ((*parent).to_owned(), children.iter().map(|group| group.folder.clone()).collect()))
        .collect();
    found.sort_by_key(|(parent, _)| std::cmp::Reverse(parent.split('/').count()));
    found
}

/// The groups of one folder's children as one group of that folder.
pub(super) fn join(parent: String, children: Vec<Group>) -> Group {
    let mut files = Vec::new();
    for child in children {
        let name = child.folder.rsplit('/').next().unwrap_or_default().to_owned();
        for mut file in child.files {
            file.partition.insert(0, Level { key: None, value: Some(name.clone()) });
            let below =
                if file.partition_path.is_empty() { String::new() } else { format!("/{}", file.partition_path) };
            file.partition_path = format!("{name}{below}");
            files.push(file);
        }
    }
    files.sort_by(|left, right| left.object.location.cmp(&right.object.location));
    Group { folder: parent, files, kind: GroupKind::Partitioned }
}

/// The last part of a file's path.
pub(super) fn file_name(file: &FoundFile) -> &str {
    file.segments.last().map_or("", String::as_str)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn found(paths: &[&str]) -> Vec<FoundFile> {
        paths
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
            .collect()
    }

    fn shown(groups: &[Group]) -> Vec<String> {
        let keys = |group: &Group| key_names(&group.files[0].partition).join(",");
        groups
            .iter()
            .map(|group| format!("{}:{:?}:{}:{}", group.folder, group.kind, group.files.len(), keys(group)))
            .collect()
    }

    #[test]
    fn trees() {
        let files = found(&[
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
            "deep/dt=1/a/x.csv",
            "deep/dt=2/b/c/x.csv",
            "mixed/dt=1/01/x.csv",
            "split/2024/dt=1/x.csv",
            "split/dt=1/x.csv",
        ]);
        assert_eq!(
            shown(&group(files.clone(), true)),
            [
                ":Separate:2:",
                "deep:Partitioned:2:dt",
                "logs:Mixed:2:partition_0,partition_1",
                "mixed:Partitioned:1:dt,partition_1",
                "orders:Series:2:",
                "pair:Mixed:2:",
                "sales:Partitioned:2:year,month",
                "shop:Separate:1:",
                "shop/b:Series:1:",
                "split:Series:2:",
            ]
        );
        // For paths used as tables only what is named is a column.
        let named: Vec<String> =
            shown(&group(files, false)).into_iter().filter(|group| group.ends_with("dt")).collect();
        assert_eq!(named, ["deep:Partitioned:2:dt", "mixed:Partitioned:1:dt", "split:Partitioned:2:dt"]);
        let groups = group(found(&["deep/dt=1/a/x.csv", "deep/dt=1/b/c/x.csv"]), true);
        assert!(groups[0].files.iter().all(|file| file.partition_path == "dt=1"), "{groups:?}");
        assert_eq!(partition_segment("a=x%3Ay"), Some(("a".to_owned(), Some("x:y".to_owned()))));
        assert!(is_hidden("_SUCCESS") && is_hidden(".x") && !is_hidden("_k=1") && !is_hidden("a"));
    }

    #[test]
    fn folders_side_by_side() {
        let by_folder = |paths: &[&str]| -> BTreeMap<String, Group> {
            group(found(paths), true).into_iter().map(|group| (group.folder.clone(), group)).collect()
        };
        let groups = by_folder(&["e/eu/2024/a.csv", "e/us/2023/b.csv", "f/x/a.csv", "f/y/z/b.csv", "g/a.csv"]);
        let joined = siblings(&groups, true);
        assert_eq!(joined, [("e".to_owned(), vec!["e/eu".to_owned(), "e/us".to_owned()])]);
        let group = join("e".to_owned(), groups.into_values().filter(|group| group.folder.starts_with("e/")).collect());
        assert_eq!(shown(&[group]), ["e:Partitioned:2:partition_0,partition_1"]);
        let groups = by_folder(&["a/x.csv", "b/x.csv"]);
        assert_eq!((siblings(&groups, true).len(), siblings(&groups, false).len()), (1, 0));
        let groups = by_folder(&["a/x.csv", "b/x.csv", "c.csv"]);
        assert!(siblings(&groups, true).is_empty(), "a file beside them");
        let groups = by_folder(&["a/x.csv", "b/dt=1/x.csv"]);
        assert!(siblings(&groups, true).is_empty(), "other keys");
    }
}
