//! MSCK REPAIR TABLE: the catalog's partitions are made to agree with the folders.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use limnos_catalog::partition::parse_hive_segment;
use limnos_catalog::{Change, Column, Partition};
use object_store::path::Path;

use super::partition::{check_value, folder_url, standard_path};
use super::{CommandAnswer, CommandContext, commit, find_partitioned, projection};
use crate::parse::ObjectName;
use crate::scan::store::Location;
use crate::{Error, ErrorCode, Notice, Result, Session};

/// How many folders are listed at once.
const LISTINGS_AT_ONCE: usize = 16;

/// How many odd folders are named one by one.
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
    let mut found = Found::default();
    let mut level = vec![Folder { path: location.path.clone(), below: String::new(), values: Vec::new() }];
    for key in &table.partition_keys {
        level = descend(&location, level, key, &mut found).await?;
    }

    let known = context.catalog.partitions(&context.snapshot, table)?;
    let known_values: HashMap<Vec<Option<&str>>, usize> =
        (0..known.len()).map(|row| (known.values.iter().map(|key| key[row].as_deref()).collect(), row)).collect();
    let mut seen: HashSet<Vec<Option<String>>> = HashSet::new();
    let mut added = Vec::new();
    for folder in level {
        let key: Vec<Option<&str>> = folder.values.iter().map(Option::as_deref).collect();
        let is_known = known_values.contains_key(&key);
        // Two folders may mean one partition (`Year=1` and `year=1`); the first stands.
        if !seen.insert(folder.values.clone()) {
            found.odd(format!("folder \"{}\" means a partition that another folder has", folder.below));
        } else if !is_known {
            // A folder that is not spelt as Hive spells it has to be remembered.
            let is_standard = standard_path(table, &folder.values) == folder.below;
            let location = (!is_standard).then(|| folder_url(&location.url, &folder.below));
            added.push(Partition { values: folder.values, location });
        }
    }
    // A partition with a place of its own is not looked for under the table's location.
    let is_gone = |row: &usize| {
        known.locations[*row].is_none() && {
            let values: Vec<Option<String>> =
                known.values.iter().map(|key| key[*row].as_deref().map(str::to_owned)).collect();
            !seen.contains(&values)
        }
    };
    let gone: Vec<Vec<Option<String>>> = (0..known.len())
        .filter(is_gone)
        .map(|row| known.values.iter().map(|key| key[row].as_deref().map(str::to_owned)).collect())
        .collect();

    let mut notices: Vec<_> = projection::notice(table).into_iter().collect();
    notices.extend(found.notices);
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
    if found.odd_count > NAMED_MAX {
        notices.push(Notice::warning(format!("{} more folders were left out", found.odd_count - NAMED_MAX)));
    }
    if !changes.is_empty() {
        notices.extend(commit(context, session, changes).await?);
    }
    Ok(CommandAnswer::tag("MSCK REPAIR TABLE").with_notices(notices))
}

/// A folder on the way to a partition.
struct Folder {
    path: Path,
    /// Its path under the table's location, `year=2024/`.
    below: String,
    values: Vec<Option<String>>,
}

/// What is told beside.
#[derive(Default)]
struct Found {
    notices: Vec<Notice>,
    odd_count: usize,
}

impl Found {
    fn odd(&mut self, message: String) {
        self.odd_count += 1;
        if self.odd_count <= NAMED_MAX {
            self.notices.push(Notice::warning(message));
        }
    }
}

/// Lists the folders of one level, and keeps those that are values of `key`.
async fn descend(location: &Location, level: Vec<Folder>, key: &Column, found: &mut Found) -> Result<Vec<Folder>> {
    let listings = level.into_iter().map(|folder| {
        let store = Arc::clone(&location.store);
        async move {
            let listed = store
                .list_with_delimiter(Some(&folder.path))
                .await
                .map_err(|error| Error::new(ErrorCode::IoError, format!("cannot list \"{}\": {error}", folder.path)))?;
            Ok::<_, Error>((folder, listed.common_prefixes))
        }
    });
    let listed: Vec<(Folder, Vec<Path>)> =
        futures::stream::iter(listings).buffered(LISTINGS_AT_ONCE).try_collect().await?;
    let mut next = Vec::new();
    for (folder, children) in listed {
        for path in children {
            let Some(segment) = path.parts().next_back() else { continue };
            let segment = segment.as_ref();
            let below = format!("{}{segment}/", folder.below);
            // `_temporary` and `.hive-staging` are how writers hide what they have not finished.
            if segment.starts_with(['_', '.']) {
                continue;
            }
            let value = match parse_hive_segment(segment) {
                Some((name, value)) if name == key.name => value,
                _ => {
                    found.odd(format!("folder \"{below}\" is not named {}=...", key.name));
                    continue;
                }
            };
            if let Some(error) = value.as_deref().and_then(|text| check_value(key, text).err()) {
                found.odd(format!("folder \"{below}\": {error}"));
                continue;
            }
            let mut values = folder.values.clone();
            values.push(value);
            next.push(Folder { path, below, values });
        }
    }
    Ok(next)
}
