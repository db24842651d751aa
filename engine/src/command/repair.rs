//! MSCK REPAIR TABLE: the catalog's partitions are made to agree with the folders.
//!
//! [`walk`] lists folders key by key and compares what it finds with the catalog's list as it goes, so that a million
//! partitions that are known already cost a bit each. The folders of partitions themselves are never listed: with `n` of
//! them below `p` parents an object store is asked about `p + n / 1000` times, at any run. What could not be listed is told
//! and neither added nor dropped. All that changes is one commit.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use limnos_catalog::partition::parse_hive_segment;
use limnos_catalog::{Change, Column, Partition, PartitionList, Snapshot, Table};
use object_store::path::Path;

use super::partition::{check_value, folder_url, standard_path};
use super::{CommandAnswer, CommandContext, commit, find_partitioned, projection};
use crate::parse::ObjectName;
use crate::scan::listing::{is_hidden, is_visible};
use crate::scan::store::{Location, store_error};
use crate::{Notice, Result, Session};

/// How many folders are listed at once. Each is one request on its way, and object stores answer hundreds side by side.
const LISTINGS_AT_ONCE: usize = 32;

/// How many odd folders, and how many that could not be read, are named one by one.
const NAMED_MAX: usize = 10;

pub(super) async fn repair(
    context: &CommandContext<'_>,
    session: &mut Session,
    table: &ObjectName,
    add: bool,
    drop: bool,
) -> Result<CommandAnswer> {
    let (table, storage) = find_partitioned(context, session, table)?;
    let location = context.stores.resolve(&storage.location)?;
    let known = context.catalog.partitions(&context.snapshot, table)?;
    let Walked { mut added, seen, unread, notices: found } = walk(&location, table, &known).await?;
    // As of now: a write may have begun since.
    let snapshot = context.catalog.snapshot();
    if !snapshot.writes.open.is_empty() {
        added = only_written(&snapshot, &location, table, added).await?;
    }
    let mut notices: Vec<_> = projection::notice(table).into_iter().chain(found).collect();

    let gone: Vec<Vec<Option<String>>> = (0..known.len())
        // A partition with a place of its own is not looked for under the table's location.
        .filter(|row| !seen[*row] && known.locations[*row].is_none())
        .map(|row| known.values.iter().map(|key| key[row].as_deref().map(str::to_owned)).collect())
        .filter(|values: &Vec<Option<String>>| {
            let path = standard_path(table, values);
            !unread.iter().any(|folder| path.starts_with(folder.as_str()))
        })
        .collect();

    let mut changes = Vec::new();
    let name = table.name.clone();
    if drop && !gone.is_empty() {
        notices.push(Notice::notice(format!("dropped {} partitions from \"{name}\"", gone.len())));
        changes.push(Change::DropPartitions { table: name.clone(), values: gone, if_exists: true });
    } else if !gone.is_empty() {
        let message = format!("{} partitions of \"{name}\" have no folder; SYNC PARTITIONS drops them", gone.len());
        notices.push(Notice::notice(message));
    }
    if add && !added.is_empty() {
        notices.push(Notice::notice(format!("added {} partitions to \"{name}\"", added.len())));
        changes.push(Change::AddPartitions { table: name, partitions: added, if_not_exists: true });
    } else if !added.is_empty() {
        notices.push(Notice::notice(format!("{} folders are not partitions of \"{name}\" yet", added.len())));
    }
    if !changes.is_empty() {
        notices.extend(commit(context, session, changes).await?);
    }
    Ok(CommandAnswer::tag("MSCK REPAIR TABLE").with_notices(notices))
}

/// Those of `added` that have a file which a statement with `snapshot` sees, or none at all. What else there is, a write that
/// goes on is making.
async fn only_written(
    snapshot: &Snapshot,
    location: &Location,
    table: &Table,
    added: Vec<Partition>,
) -> Result<Vec<Partition>> {
    let looks = added.into_iter().map(|partition| {
        let path = match &partition.location {
            Some(own) => own.strip_prefix(location.url.as_str()).unwrap_or_default().to_owned(),
            None => standard_path(table, &partition.values),
        };
        async move {
            let folder = Path::parse(format!("{}/{path}", location.path)).unwrap_or_default();
            let mut files = location.store.list(Some(&folder));
            let (mut is_empty, mut is_written) = (true, false);
            while !is_written
                && let Some(file) =
                    files.try_next().await.map_err(|error| store_error(&location.url_of(&folder), &error))?
            {
                is_empty = false;
                is_written = is_visible(snapshot, &location.store_url, &file);
            }
            Ok::<_, crate::Error>((is_empty || is_written).then_some(partition))
        }
    });
    let looks: Vec<_> = looks.collect();
    let kept: Vec<Option<Partition>> = futures::stream::iter(looks).buffered(LISTINGS_AT_ONCE).try_collect().await?;
    Ok(kept.into_iter().flatten().collect())
}

/// What the folders say.
struct Walked {
    /// Partitions that the catalog doesn't have.
    added: Vec<Partition>,
    /// Of each partition that the catalog has, whether there is a folder for it.
    seen: Vec<bool>,
    /// The paths, under the table's location, of folders that could not be listed.
    unread: Vec<String>,
    /// What is told beside.
    notices: Vec<Notice>,
}

/// A folder on the way to partitions.
struct Folder {
    path: Path,
    /// Its path under the table's location, `year=2024/`.
    below: String,
    values: Vec<Option<String>>,
}

/// Lists the folders under `location` by the table's keys and compares them with the partitions that are `known`.
///
/// # Errors
/// When the location itself can't be listed.
async fn walk(location: &Location, table: &Table, known: &PartitionList) -> Result<Walked> {
    let mut walked =
        Walked { added: Vec::new(), seen: vec![false; known.len()], unread: Vec::new(), notices: Vec::new() };
    let mut odd = Told::default();
    let mut failed = Told::default();
    let mut level = vec![Folder { path: location.path.clone(), below: String::new(), values: Vec::new() }];
    for (depth, key) in table.partition_keys.iter().enumerate() {
        let is_last = depth + 1 == table.partition_keys.len();
        let listings = level.into_iter().map(|folder| {
            let store = Arc::clone(&location.store);
            async move {
                let listed = store.list_with_delimiter(Some(&folder.path)).await;
                (folder, listed)
            }
        });
        let mut listings = futures::stream::iter(listings).buffered(LISTINGS_AT_ONCE);
        let mut next = Vec::new();
        while let Some((folder, listed)) = listings.next().await {
            let listed = match listed {
                Ok(listed) => listed,
                Err(error) => {
                    let error = store_error(&location.url_of(&folder.path), &error);
                    if folder.below.is_empty() {
                        return Err(error);
                    }
                    failed.tell(&mut walked.notices, format!("folder \"{}\" could not be read: {error}", folder.below));
                    walked.unread.push(folder.below);
                    continue;
                }
            };
            for path in listed.common_prefixes {
                let child = match child(&folder, path, key) {
                    Some(Ok(child)) => child,
                    Some(Err(message)) => {
                        odd.tell(&mut walked.notices, message);
                        continue;
                    }
                    None => continue,
                };
                if !is_last {
                    next.push(child);
                    continue;
                }
                match position(known, &child.values) {
                    Some(row) if walked.seen[row] => odd.tell(&mut walked.notices, same_partition(&child.below)),
                    Some(row) => walked.seen[row] = true,
                    None => {
                        // A folder that is not spelt as Hive spells it has to be remembered.
                        let is_standard = standard_path(table, &child.values) == child.below;
                        let location = (!is_standard).then(|| folder_url(&location.url, &child.below));
                        walked.added.push(Partition { values: child.values, location, storage: None });
                    }
                }
            }
        }
        level = next;
    }
    // Two new folders may mean one partition (`Year=1` and `year=1`); the first stands.
    let mut values = HashSet::with_capacity(walked.added.len());
    let repeated: Vec<bool> = walked.added.iter().map(|partition| !values.insert(&partition.values)).collect();
    if repeated.contains(&true) {
        let mut repeated = repeated.into_iter();
        for partition in walked.added.extract_if(.., |_| repeated.next().unwrap_or(false)) {
            odd.tell(&mut walked.notices, same_partition(&standard_path(table, &partition.values)));
        }
    }
    odd.sum_up(&mut walked.notices, "more folders were left out");
    failed.sum_up(&mut walked.notices, "more folders could not be read");
    Ok(walked)
}

fn same_partition(below: &str) -> String {
    format!("folder \"{below}\" means a partition that another folder has")
}

/// A folder below `folder` as a value of `key`; why it isn't one; or `None` for one that nobody should see.
fn child(folder: &Folder, path: Path, key: &Column) -> Option<Result<Folder, String>> {
    let segment = path.parts().next_back()?;
    let segment = segment.as_ref();
    // `_temporary` and `.hive-staging` are how writers hide what they have not finished.
    if is_hidden(segment) {
        return None;
    }
    let below = format!("{}{segment}/", folder.below);
    let value = match parse_hive_segment(segment) {
        Some((name, value)) if name == key.name => value,
        _ => return Some(Err(format!("folder \"{below}\" is not named {}=...", key.name))),
    };
    if let Some(error) = value.as_deref().and_then(|text| check_value(key, text).err()) {
        return Some(Err(format!("folder \"{below}\": {error}")));
    }
    let values = folder.values.iter().cloned().chain([value]).collect();
    Some(Ok(Folder { path, below, values }))
}

/// Where the partition with these values is in the catalog's list, which is sorted by values, NULL last.
fn position(known: &PartitionList, values: &[Option<String>]) -> Option<usize> {
    let compare = |row: usize| {
        for (key, value) in known.values.iter().zip(values) {
            let order = match (key[row].as_deref(), value.as_deref()) {
                (Some(known), Some(value)) => known.cmp(value),
                (known, value) => known.is_none().cmp(&value.is_none()),
            };
            if order != Ordering::Equal {
                return order;
            }
        }
        Ordering::Equal
    };
    let (mut low, mut high) = (0, known.len());
    while low < high {
        let middle = low.midpoint(high);
        match compare(middle) {
            Ordering::Equal => return Some(middle),
            Ordering::Less => low = middle + 1,
            Ordering::Greater => high = middle,
        }
    }
    None
}

/// Warnings of one kind, of which the first few are worded.
#[derive(Default)]
struct Told {
    count: usize,
}

impl Told {
    fn tell(&mut self, notices: &mut Vec<Notice>, message: String) {
        self.count += 1;
        if self.count <= NAMED_MAX {
            notices.push(Notice::warning(message));
        }
    }

    fn sum_up(&self, notices: &mut Vec<Notice>, what: &str) {
        if self.count > NAMED_MAX {
            notices.push(Notice::warning(format!("{} {what}", self.count - NAMED_MAX)));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::collections::BTreeMap;

    use limnos_catalog::{DataType, FileFormat, StorageDescriptor, TableDefinition, TableKind, TableName};
    use object_store::ObjectStoreExt;
    use object_store::memory::InMemory;
    use object_store::{
        CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
        PutOptions, PutPayload, PutResult,
    };

    use super::*;

    /// A store that can't list one folder.
    #[derive(Debug)]
    struct Torn {
        inner: InMemory,
        unreadable: Path,
    }

    impl std::fmt::Display for Torn {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("torn")
        }
    }

    #[async_trait::async_trait]
    impl ObjectStore for Torn {
        async fn put_opts(
            &self,
            path: &Path,
            bytes: PutPayload,
            options: PutOptions,
        ) -> object_store::Result<PutResult> {
            self.inner.put_opts(path, bytes, options).await
        }

        async fn put_multipart_opts(
            &self,
            path: &Path,
            options: PutMultipartOptions,
        ) -> object_store::Result<Box<dyn MultipartUpload>> {
            self.inner.put_multipart_opts(path, options).await
        }

        async fn get_opts(&self, path: &Path, options: GetOptions) -> object_store::Result<GetResult> {
            self.inner.get_opts(path, options).await
        }

        fn delete_stream(
            &self,
            paths: futures::stream::BoxStream<'static, object_store::Result<Path>>,
        ) -> futures::stream::BoxStream<'static, object_store::Result<Path>> {
            self.inner.delete_stream(paths)
        }

        fn list(&self, prefix: Option<&Path>) -> futures::stream::BoxStream<'static, object_store::Result<ObjectMeta>> {
            self.inner.list(prefix)
        }

        async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
            if prefix == Some(&self.unreadable) {
                return Err(object_store::Error::Generic { store: "torn", source: "try again later".into() });
            }
            self.inner.list_with_delimiter(prefix).await
        }

        async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
            self.inner.copy_opts(from, to, options).await
        }
    }

    fn table(keys: &[(&str, DataType)]) -> Table {
        let definition = TableDefinition {
            kind: TableKind::External(StorageDescriptor {
                location: "s3://b/t/".to_owned(),
                format: FileFormat::Parquet,
                serde: None,
                properties: BTreeMap::new(),
            }),
            columns: Vec::new(),
            partition_keys: keys.iter().map(|(name, data_type)| Column::new(*name, data_type.clone())).collect(),
            parameters: BTreeMap::new(),
            comment: None,
            owner: "limnos".to_owned(),
        };
        Table {
            id: 2,
            name: TableName::new("default", "t"),
            version: 1,
            partitions_version: 1,
            partition_count: 0,
            data_version: 0,
            created_at_ms: 0,
            updated_at_ms: 0,
            definition: Arc::new(definition),
        }
    }

    async fn location(paths: &[&str], unreadable: &str) -> Location {
        let store = Torn { inner: InMemory::new(), unreadable: Path::from(unreadable) };
        for path in paths {
            store.put(&Path::parse(path).unwrap(), "x".into()).await.unwrap();
        }
        Location {
            url: "s3://b/t/".into(),
            store_url: "s3://b".into(),
            store: Arc::new(store),
            path: Path::from("t"),
            is_folder: true,
        }
    }

    fn list(rows: &[[Option<&str>; 2]]) -> PartitionList {
        let key = |index: usize| rows.iter().map(|row| row[index].map(Box::from)).collect();
        PartitionList { values: vec![key(0), key(1)], locations: vec![None; rows.len()], ..PartitionList::default() }
    }

    #[tokio::test]
    async fn compares_folders_with_what_is_known() {
        let paths = [
            "t/y=2023/m=01/a",
            "t/y=2023/m=02/a",
            "t/Y=2023/m=02/a",
            "t/y=2024/m=01/a",
            "t/y=2024/m=__HIVE_DEFAULT_PARTITION__/a",
            "t/y=2025/m=03/a",
            "t/y=2024/n=1/a",
            "t/y=x/m=1/a",
            "t/_temporary/m=1/a",
        ];
        let location = location(&paths, "t/y=2025").await;
        let known = list(&[
            [Some("2023"), Some("01")],
            [Some("2023"), Some("07")],
            [Some("2024"), Some("01")],
            [Some("2024"), None],
            [Some("2025"), Some("03")],
        ]);
        let table = table(&[("y", DataType::Int), ("m", DataType::String)]);
        let walked = walk(&location, &table, &known).await.unwrap();
        assert_eq!(walked.seen, [true, false, true, true, false]);
        assert_eq!(walked.unread, ["y=2025/"], "told apart from what is gone");
        // Capital letters come first, so that the other spelling is the one that has to be remembered.
        let added: Vec<_> = walked.added.iter().map(|added| (added.values.clone(), added.location.clone())).collect();
        let values = vec![Some("2023".to_owned()), Some("02".to_owned())];
        assert_eq!(added, [(values, Some("s3://b/t/Y=2023/m=02/".to_owned()))]);
        let mut messages: Vec<&str> = walked.notices.iter().map(|notice| notice.message.as_str()).collect();
        messages.sort_unstable();
        assert_eq!(messages.len(), 4, "{messages:?}");
        assert!(messages[0].starts_with("folder \"y=2023/m=02/\" means a partition that another folder has"));
        assert!(messages[1].starts_with("folder \"y=2024/n=1/\" is not named m=..."));
        assert!(messages[2].starts_with("folder \"y=2025/\" could not be read: "), "{}", messages[2]);
        assert!(messages[3].starts_with("folder \"y=x/\": invalid value for partition key \"y\""));
    }

    #[tokio::test]
    async fn the_location_itself_must_be_there_to_list() {
        let location = location(&[], "t").await;
        let table = table(&[("y", DataType::Int), ("m", DataType::String)]);
        assert!(walk(&location, &table, &list(&[])).await.is_err());
    }

    #[test]
    fn positions_are_found_by_halves() {
        let rows = [
            [Some(""), None],
            [Some("a"), Some("b")],
            [Some("a"), Some("c")],
            [Some("a"), None],
            [Some("b"), Some("")],
            [None, Some("a")],
            [None, None],
        ];
        let known = list(&rows);
        let owned = |row: &[Option<&str>; 2]| row.map(|value| value.map(str::to_owned)).to_vec();
        for (index, row) in rows.iter().enumerate() {
            assert_eq!(position(&known, &owned(row)), Some(index), "{row:?}");
        }
        for row in [[Some("a"), Some("")], [Some(""), Some("")], [None, Some("b")], [Some("c"), None]] {
            assert_eq!(position(&known, &owned(&row)), None, "{row:?}");
        }
    }
}
