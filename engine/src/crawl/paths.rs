//! Paths used as tables: `FROM 'data/*.parquet'`. One path, folder or pattern is one table, whatever lies there.

use std::collections::HashMap;
use std::sync::Arc;

use glob::{MatchOptions, Pattern};
use limnos_catalog::{PartitionList, Snapshot, Table, TableName};
use object_store::path::Path;

use super::found::Found;
use super::group::{FoundFile, group, key_names};
use super::{Crawl, CrawlOptions};
use crate::parse::FILE_TABLE_DATABASE;
use crate::prune::PartitionIndex;
use crate::scan::listing::File;
use crate::scan::schema::table_schema;
use crate::scan::store::Stores;
use crate::{Error, ErrorCode, Result};

/// A table over files that were named by their paths.
#[derive(Debug)]
pub struct PathTable {
    /// Its definition, inferred as a crawl does.
    pub table: Table,
    /// Its files.
    pub files: Vec<File>,
    /// Partitions, where the paths have `key=value` folders.
    pub partitions: PartitionIndex,
}

/// `*` and `?` stay inside one folder, `**` crosses folders.
const MATCH: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: false };

/// The table over what `path` names: one file, all files of a folder, or those that match a pattern.
///
/// # Errors
/// Outside the roots; nothing there; files that are not one table.
pub async fn path_table(stores: &Arc<Stores>, snapshot: &Arc<Snapshot>, path: &str, owner: &str) -> Result<PathTable> {
    let (base, pattern) = split_pattern(path)?;
    let location = stores.resolve(base)?;
    let crawl = Crawl::new(&location.store, &location.url, CrawlOptions::new(owner).seen_by(snapshot));
    let (found, _) = crawl.list(&location.path, location.is_folder).await?;
    let found: Vec<FoundFile> = match &pattern {
        None => found,
        Some(pattern) => {
            let matches = |file: &FoundFile| pattern.matches_with(&below(&location.path, &file.object.location), MATCH);
            found.into_iter().filter(matches).collect()
        }
    };
    if found.is_empty() {
        return Err(Error::new(ErrorCode::UndefinedFile, format!("no files match \"{path}\"")));
    }
    let mut found: Vec<FoundFile> = group(found, false).into_iter().flat_map(|group| group.files).collect();
    let keys = |file: &FoundFile| key_names(&file.partition);
    let first = keys(&found[0]);
    if found.iter().any(|file| keys(file) != first) {
        found.iter_mut().for_each(|file| file.partition.clear());
    }
    match crawl.table("file".to_owned(), location.url.clone(), &found.iter().collect::<Vec<_>>()).await? {
        Found::Table(table) => assemble(path, *table, found),
        Found::Skipped(skipped, _) => {
            Err(Error::new(ErrorCode::DataException, format!("\"{path}\" cannot be read as a table"))
                .with_detail(format!("{skipped}.")))
        }
    }
}

fn assemble(path: &str, found: super::FoundTable, files: Vec<FoundFile>) -> Result<PathTable> {
    let by_values: HashMap<&[Option<String>], usize> =
        found.partitions.iter().enumerate().map(|(index, partition)| (partition.values.as_slice(), index)).collect();
    let files = files
        .into_iter()
        .map(|file| {
            let values: Vec<Option<String>> = file.partition.into_iter().map(|level| level.value).collect();
            File { meta: file.object, partition: by_values.get(values.as_slice()).copied() }
        })
        .collect();
    let key_count = found.definition.partition_keys.len();
    let mut list = PartitionList { values: vec![Vec::new(); key_count], ..PartitionList::default() };
    for partition in &found.partitions {
        for (column, value) in list.values.iter_mut().zip(&partition.values) {
            column.push(value.as_deref().map(Box::from));
        }
        list.locations.push(partition.location.as_deref().map(Box::from));
    }
    let (_, keys) = table_schema(&found.definition);
    let partitions = PartitionIndex::new(path, keys, Arc::new(list))?;
    let table = Table {
        id: 0,
        name: TableName { database: FILE_TABLE_DATABASE.to_owned(), name: path.to_owned() },
        version: 1,
        partitions_version: 0,
        partition_count: partitions.len() as u64,
        data_version: 0,
        created_at_ms: 0,
        updated_at_ms: 0,
        definition: Arc::new(found.definition),
    };
    Ok(PathTable { table, files, partitions })
}

/// The folder before the first wildcard, and the pattern below it.
fn split_pattern(path: &str) -> Result<(&str, Option<Pattern>)> {
    let Some(wildcard) = path.find(['*', '?', '[']) else {
        return Ok((path, None));
    };
    let (base, rest) = match path[..wildcard].rfind('/') {
        Some(slash) => path.split_at(slash + 1),
        None => ("./", path),
    };
    let pattern = Pattern::new(rest).map_err(|error| {
        Error::new(ErrorCode::InvalidParameterValue, format!("pattern \"{path}\" is not valid: {error}"))
    })?;
    Ok((base, Some(pattern)))
}

/// `path` relative to `base`.
fn below(base: &Path, path: &Path) -> String {
    path.prefix_match(base)
        .map(|parts| parts.map(|part| part.as_ref().to_owned()).collect::<Vec<_>>().join("/"))
        .unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::scan::store::StoreOptions;

    #[tokio::test]
    async fn patterns_name_files() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for (path, text) in [
            ("a/1.csv", "id,name\n1,x\n"),
            ("a/2.csv", "id,name\n2,y\n"),
            ("a/b/3.csv", "id,name\n3,z\n"),
            ("p/day=01/4.csv", "id,name\n4,z\n"),
            ("p/day=02/5.csv", "id,name\n5,z\n"),
        ] {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let root = root.to_str().unwrap();
        let stores =
            Arc::new(Stores::new(&StoreOptions { roots: vec![root.to_owned()], ..Default::default() }).unwrap());
        for (path, count, keys) in [
            ("a/*.csv", 2, 0),
            ("a/**/*.csv", 3, 0),
            ("a/?.csv", 2, 0),
            ("a/[2-9].csv", 1, 0),
            ("a/1.csv", 1, 0),
            ("a/", 3, 0),
            ("a", 3, 0),
            ("p/*/*.csv", 2, 1),
            ("p/", 2, 1),
        ] {
            let found = path_table(&stores, &Arc::default(), &format!("{root}/{path}"), "limnos").await.unwrap();
            assert_eq!((found.files.len(), found.table.partition_keys.len()), (count, keys), "{path}");
            assert!(keys == 0 || found.files.iter().all(|file| file.partition.is_some()), "{path}");
        }
        let error = path_table(&stores, &Arc::default(), &format!("{root}/a/*.parquet"), "limnos").await.unwrap_err();
        assert_eq!(error.code, ErrorCode::UndefinedFile);
    }
}
