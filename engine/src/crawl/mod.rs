//! Looks at files and says what tables they are.
//!
//! 1. [`crawl_at`] lists the location and leaves out hidden names and what is excluded.
//! 2. [`group`] says which files belong together by where they lie.
//! 3. [`look`] opens a sample of them, or recalls what an earlier crawl saw: [`sniff`] says by content of which kind a file
//!    is, [`custom`] classifiers first, then ours, among them the [`log`]s; [`csv`], [`json`] and [`columnar`] say what its columns are; [`infer`] finds the types of texts.
//! 4. [`document`]: sheets of Excel and elements of XML, which no crawl makes tables of, as tables in memory.
//!
//! What comes out is a definition a person could have written, with remarks where a choice was made.

mod columnar;
mod csv;
mod custom;
pub(crate) mod document;
mod exclude;
mod found;
mod group;
mod infer;
mod json;
mod log;
mod look;
pub(crate) mod name;
mod partition;
mod paths;
mod sniff;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt};
use limnos_catalog::{Column, FileFormat, Snapshot, StorageDescriptor, TableDefinition, TableKind};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};

pub(crate) use self::columnar::widen;
pub use self::csv::CsvHeader;
pub use self::custom::CustomClassifier;
pub use self::exclude::Exclude;
pub use self::found::{CrawlOptions, Crawled, FoundTable, Known, Skipped};
pub use self::look::{FileMemory, NoMemory};
pub use self::paths::{PathTable, path_table};

use self::found::Found;
use self::group::{FoundFile, Group, GroupKind, file_name};
use self::look::{Looked, Looker};
use self::name::{stem, table_name};
use self::partition::{partitions, rename_keys};
use self::sniff::Sniffed;
use crate::scan::format::display_prefix;
use crate::scan::format::input;
use crate::scan::listing::is_visible;
use crate::scan::store::{LOCAL_STORE_URL, Stores};
use crate::{Error, ErrorCode, Result, limits};

/// Most objects that one crawl lists: what it holds of each is some hundred bytes.
const FILES_MAX: usize = 1_000_000;

/// Rows of one file that types are inferred from.
const SAMPLE_ROWS: u64 = 100_000;

/// Unpacked bytes of one file that types are inferred from.
const SAMPLE_BYTES: usize = 16 << 20;

/// Files of one table that are looked into.
const SAMPLE_FILES: usize = 8;

/// Files of the crawled folder itself that are each looked into before they are taken for logs of one kind.
const KNOWN_FILES_MAX: usize = 64;

/// Tables that are looked at at the same time.
const TABLES_AT_ONCE: usize = 16;

/// Finds the tables under `location` (a folder, a file, or a prefix).
///
/// # Errors
/// A location that is not allowed, does not exist or can't be read.
pub async fn crawl(stores: &Arc<Stores>, snapshot: &Arc<Snapshot>, location: &str, owner: &str) -> Result<Crawled> {
    let location = stores.resolve(location)?;
    let options = CrawlOptions::new(owner).seen_by(snapshot);
    let crawled = crawl_at(&location.store, &location.path, &location.url, &options).await?;
    if crawled.files.is_empty() {
        return Err(nothing_there(&location.url));
    }
    for skipped in &crawled.skipped {
        tracing::info!("{skipped}");
    }
    if crawled.tables.is_empty() {
        // What is wrong with the only file there is says more than that there is no table.
        if let (Some(error), 1) = (&crawled.first_error, crawled.skipped.len()) {
            return Err(error.clone());
        }
        let mut error = Error::new(ErrorCode::UndefinedFile, format!("no tables were found in \"{}\"", location.url));
        if !crawled.skipped.is_empty() {
            let shown: Vec<String> = crawled.skipped.iter().take(5).map(ToString::to_string).collect();
            error = error.with_detail(format!("{}.", shown.join("; ")));
        }
        return Err(error);
    }
    Ok(crawled)
}

/// The error for a location with no files.
pub(crate) fn nothing_there(url: &str) -> Error {
    Error::new(ErrorCode::UndefinedFile, format!("location \"{url}\" does not exist or has no files"))
}

/// Finds the tables at `path` of `store`; `url` is what the location is called (with a `/` behind a folder).
///
/// # Errors
/// A location that can't be read, or a classifier that can't be. A file that can't be made sense of is skipped and told;
/// where there are no files at all, nothing is found.
pub async fn crawl_at(store: &Arc<dyn ObjectStore>, path: &Path, url: &str, options: &CrawlOptions) -> Result<Crawled> {
    options.classifiers.iter().try_for_each(CustomClassifier::check)?;
    let crawl = Crawl::new(store, url, options.clone());
    let (mut files, is_file) = crawl.list(path, url.ends_with('/')).await?;
    let mut result =
        Crawled { files: files.iter().map(|file| crawl.file_url(file, is_file)).collect(), ..Crawled::default() };
    result.files.sort_unstable();
    files.retain(|file| !options.exclude.matches(&file.segments.join("/")));
    let found: Vec<Vec<Found>> = if is_file {
        let mut found = Vec::new();
        for file in &files {
            found.push(crawl.file_table(file, crawl.url.clone()).await?);
        }
        vec![found]
    } else {
        let groups = crawl.join_siblings(group::group(files, true)).await?;
        let looked: Vec<BoxFuture<'_, _>> = groups.into_iter().map(|group| crawl.group_tables(group).boxed()).collect();
        futures::stream::iter(looked).buffered(TABLES_AT_ONCE).try_collect().await?
    };
    let mut taken = HashSet::new();
    for found in found.into_iter().flatten() {
        result.add(found, &mut taken);
    }
    result.files_read = crawl.looker.files_read();
    result.tables.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(result)
}

/// Columns and properties, as far as files tell.
#[derive(Debug, Default)]
struct Schema {
    columns: Vec<Column>,
    properties: BTreeMap<String, String>,
    parameters: BTreeMap<String, String>,
    remarks: Vec<String>,
}

fn too_many_columns(count: usize) -> Error {
    Error::new(
        ErrorCode::ProgramLimitExceeded,
        format!("files have {count} columns; at most {} can be inferred", limits::INFERRED_COLUMNS_MAX),
    )
    .with_hint("Declare the table with CREATE EXTERNAL TABLE, or give keys that are data the type json.")
}

struct Crawl {
    store: Arc<dyn ObjectStore>,
    /// The location without a slash at its end.
    url: String,
    prefix: String,
    options: CrawlOptions,
    looker: Looker,
}

impl Crawl {
    fn new(store: &Arc<dyn ObjectStore>, url: &str, options: CrawlOptions) -> Self {
        let prefix = display_prefix(url);
        let looker =
            Looker::new(Arc::clone(store), prefix.clone(), Arc::clone(&options.memory), options.classifiers.clone());
        Self { store: Arc::clone(store), url: url.trim_end_matches('/').to_owned(), prefix, options, looker }
    }

    /// `is_file`: the location is the file itself.
    fn file_url(&self, file: &FoundFile, is_file: bool) -> String {
        if is_file { self.url.clone() } else { format!("{}/{}", self.url, file.segments.join("/")) }
    }

    /// The URL of a folder below the location, with a slash.
    fn folder_url(&self, folder: &str) -> String {
        if folder.is_empty() { format!("{}/", self.url) } else { format!("{}/{folder}/", self.url) }
    }

    /// Whether only new places are wanted, and this table is none.
    fn is_known_table(&self, url: &str) -> bool {
        self.options.known.as_ref().is_some_and(|known| known.tables.contains(url))
    }

    /// Whether only new places are wanted, and this partition of a table is none. What is now a partition may have been a
    /// table before (`eu/`, until `us/` came beside it).
    fn is_known_partition(&self, url: &str, path: &str) -> bool {
        self.options
            .known
            .as_ref()
            .is_some_and(|known| known.partitioned.contains(url) && known.partitions.contains(&format!("{url}{path}/")))
    }

    /// The files at `path`, and whether `path` is itself the file.
    async fn list(&self, path: &Path, is_folder: bool) -> Result<(Vec<FoundFile>, bool)> {
        let found = |object: ObjectMeta, segments| FoundFile {
            object,
            segments,
            partition: Vec::new(),
            partition_path: String::new(),
        };
        let mut refused = None;
        if !is_folder {
            match input::head(&self.store, path, path.as_ref()).await {
                Ok(object) => {
                    let segments = vec![path.filename().unwrap_or_default().to_owned()];
                    return Ok((vec![found(object, segments)], true));
                }
                Err(error) if error.code == ErrorCode::InsufficientPrivilege => refused = Some(error),
                // A folder, or nothing.
                Err(_) => {}
            }
        }
        let mut files = Vec::new();
        let mut objects = self.store.list(Some(path));
        while let Some(object) =
            objects.try_next().await.map_err(|error| input::store_error(error, &format!("{}{path}", self.prefix)))?
        {
            let Some(parts) = object.location.prefix_match(path) else { continue };
            let segments: Vec<String> = parts.map(|part| part.as_ref().to_owned()).collect();
            // An object of no size marks a folder, or is a file without rows.
            if segments.is_empty() || object.size == 0 || segments.iter().any(|segment| group::is_hidden(segment)) {
                continue;
            }
            if !self.is_visible(&object) {
                continue;
            }
            if files.len() == FILES_MAX {
                return Err(Error::new(
                    ErrorCode::ProgramLimitExceeded,
                    format!("location \"{}\" has more than {FILES_MAX} files", self.url),
                )
                .with_hint("Crawl the folders below it one by one."));
            }
            files.push(found(object, segments));
        }
        if let Some(error) = refused.filter(|_| files.is_empty()) {
            return Err(error);
        }
        files.sort_by(|left, right| left.object.location.cmp(&right.object.location));
        Ok((files, false))
    }

    /// Whether somebody is done with writing a file, and it isn't to go.
    fn is_visible(&self, object: &ObjectMeta) -> bool {
        let store_url = match self.prefix.as_str() {
            "/" => LOCAL_STORE_URL,
            prefix => prefix.trim_end_matches('/'),
        };
        self.options.snapshot.as_ref().is_none_or(|snapshot| is_visible(snapshot, store_url, object))
    }

    /// Makes folders side by side whose files have the same columns one group of the folder above them.
    async fn join_siblings(&self, groups: Vec<Group>) -> Result<Vec<Group>> {
        let mut groups: BTreeMap<String, Group> =
            groups.into_iter().map(|group| (group.folder.clone(), group)).collect();
        let mut refused: HashSet<String> = HashSet::new();
        loop {
            let mut candidates = group::siblings(&groups, self.options.joins_at_root);
            candidates.retain(|(parent, _)| !refused.contains(parent));
            // What is joined deep down may be joined again further up.
            let depth = candidates.first().map(|(parent, _)| parent.split('/').count());
            candidates.retain(|(parent, _)| Some(parent.split('/').count()) == depth);
            if candidates.is_empty() {
                return Ok(groups.into_values().collect());
            }
            let mut asked: Vec<BoxFuture<'_, _>> = Vec::new();
            for (_, folders) in &candidates {
                let files: Vec<&FoundFile> =
                    folders.iter().filter_map(|folder| groups.get(folder)).flat_map(|group| &group.files).collect();
                asked.push(async move { self.is_alike(&files, true).await }.boxed());
            }
            let alike: Vec<bool> = futures::stream::iter(asked).buffered(TABLES_AT_ONCE).try_collect().await?;
            for ((parent, folders), alike) in candidates.into_iter().zip(alike) {
                if alike {
                    let children = folders.iter().filter_map(|folder| groups.remove(folder)).collect();
                    groups.insert(parent.clone(), group::join(parent, children));
                } else {
                    refused.insert(parent);
                }
            }
        }
    }

    async fn group_tables(&self, group: Group) -> Result<Vec<Found>> {
        // What a crawler is pointed at is a table; what CRAWL is pointed at is a lake.
        let is_lake = group.folder.is_empty() && !self.options.joins_at_root;
        let url = self.folder_url(&group.folder);
        let is_new = |file: &&FoundFile| match file.partition_path.as_str() {
            "" => !self.is_known_table(&url),
            path => !self.is_known_partition(&url, path),
        };
        let files: Vec<&FoundFile> = group.files.iter().filter(is_new).collect();
        if files.is_empty() {
            return Ok(Vec::new());
        }
        let has_keys = !group.files[0].partition.is_empty();
        let is_one_table = match group.kind {
            GroupKind::Partitioned => true,
            GroupKind::Separate => false,
            // A lone file in the crawled folder is called as it is, unless its name is only a number in a series.
            GroupKind::Series if is_lake && !has_keys && group.files.len() == 1 => {
                let pattern = name::series(file_name(&group.files[0]));
                pattern.starts_with("part-") || pattern.starts_with('#')
            }
            GroupKind::Series => self.is_alike(&files, false).await?,
            // Of files in the crawled folder, only logs say themselves that they belong together.
            GroupKind::Mixed if is_lake && !has_keys => self.are_logs_of_one_kind(&files).await?,
            GroupKind::Mixed => self.is_alike(&files, false).await?,
        };
        let found = if is_one_table {
            let folder_name = group.folder.rsplit('/').next().filter(|name| !name.is_empty());
            let name = table_name(folder_name.or_else(|| self.url.rsplit('/').next()).unwrap_or_default());
            vec![self.table(name, url, &files).await?]
        } else {
            let mut found = Vec::new();
            for file in &files {
                let url = self.file_url(file, false);
                if !self.is_known_table(&url) {
                    found.push(self.file_table(file, url).await?);
                }
            }
            found
        };
        self.looker.done_with(&files);
        Ok(found)
    }

    async fn file_table(&self, file: &FoundFile, url: String) -> Result<Found> {
        let name = table_name(stem(file_name(file)));
        // Its folders say nothing about a table that is one file.
        let file = FoundFile { partition: Vec::new(), partition_path: String::new(), ..file.clone() };
        self.table(name, url, &[&file]).await
    }

    /// Whether files are all logs of one kind.
    async fn are_logs_of_one_kind(&self, files: &[&FoundFile]) -> Result<bool> {
        if files.len() == 1 {
            return Ok(false);
        }
        let looked_at = if files.len() <= KNOWN_FILES_MAX { files.to_vec() } else { sample(files) };
        let mut is_known = false;
        for file in &looked_at {
            // What can't be looked into says nothing of the others.
            let Ok(looked) = self.looker.look(&[*file]).await else { continue };
            if !matches!(looked.sniffed, Sniffed::Known(_)) {
                return Ok(false);
            }
            is_known = true;
        }
        Ok(is_known && self.is_alike(&looked_at, false).await?)
    }

    /// Whether a sample of files have one format and, mostly, the same columns; of the same types, too, if `strictly`.
    async fn is_alike(&self, files: &[&FoundFile], strictly: bool) -> Result<bool> {
        if files.len() == 1 {
            return Ok(true);
        }
        let mut first: Option<(FileFormat, BTreeSet<String>)> = None;
        let mut compared = 0;
        for file in sample(files) {
            let Ok(looked) = self.looker.look(&[file]).await else { continue };
            let Some(format) = looked.sniffed.format() else { continue };
            let shown = |column: Column| match strictly {
                true => format!("{} {}", column.name, column.data_type),
                false => column.name,
            };
            let columns: BTreeSet<String> = looked.schema.columns.into_iter().map(shown).collect();
            compared += 1;
            match &first {
                None => first = Some((format, columns)),
                Some((other, known)) => {
                    let common = columns.intersection(known).count();
                    let fewer = columns.len().min(known.len());
                    if *other != format || common * 10 < fewer * 7 {
                        return Ok(false);
                    }
                }
            }
        }
        Ok(!strictly || compared > 1)
    }

    /// Format and columns of those of `files` that can be read, and a remark on each other one: the folder is a table all
    /// the same, and reading it will name the file. The `error` of all together where none can.
    async fn look_at_readable(&self, files: &[&FoundFile], error: Error) -> Result<Looked> {
        let mut readable = Vec::new();
        let mut remarks = Vec::new();
        for file in files {
            match self.looker.look(&[file]).await {
                Ok(looked) if looked.sniffed.format().is_some() => readable.push(*file),
                Ok(_) => remarks.push(format!("\"{}\" is of no known format", file_name(file))),
                Err(error) => remarks.push(reason(error)),
            }
        }
        // Readable each, and not together: they are of different formats.
        if readable.is_empty() || remarks.is_empty() {
            return Err(error);
        }
        let mut looked = self.looker.look(&readable).await?;
        looked.schema.remarks.extend(remarks);
        Ok(looked)
    }

    async fn table(&self, name: String, location: String, files: &[&FoundFile]) -> Result<Found> {
        let sampled = sample(files);
        let looked = match self.looker.look(&sampled).await {
            Ok(looked) => Ok(looked),
            // One file that can't be read doesn't keep the others from being found.
            Err(error) => self.look_at_readable(&sampled, error).await,
        };
        let skipped = |reason: String, error| Ok(Found::Skipped(Skipped { location: location.clone(), reason }, error));
        let Looked { sniffed, mut schema, rows, is_partial } = match looked {
            Ok(looked) => looked,
            Err(error) => return skipped(reason(error.clone()), Some(error)),
        };
        let format = match (&sniffed, sniffed.format()) {
            (Sniffed::Nothing(reason), _) => return skipped(reason.clone(), None),
            (_, Some(format)) => format,
            (_, None) => return Err(Error::internal("a sniffed format has a name")),
        };
        if schema.columns.is_empty() {
            return skipped("it has no columns".to_owned(), None);
        }
        let serde = match &sniffed {
            Sniffed::Known(known) => known.serde.clone(),
            _ => None,
        };
        let is_inferred = matches!(sniffed, Sniffed::Csv(_) | Sniffed::Json(_));
        if is_inferred && (is_partial || sampled.len() < files.len()) {
            schema.remarks.push(format!(
                "types were inferred from {rows} rows of {} of {} files",
                sampled.len(),
                files.len()
            ));
        }
        let (partition_keys, partitions) = partitions(&location, files);
        // A key that is in the files too is the folder's: its value there is what the partition says.
        let is_by_place = matches!(format, FileFormat::Csv | FileFormat::Regex);
        schema.columns.retain(|column| {
            let is_key = partition_keys.iter().any(|key| key.name == column.name);
            if is_key && is_by_place {
                schema.remarks.push(format!("column \"{}\" is also a partition key", column.name));
            }
            !is_key || is_by_place
        });
        let partition_keys = rename_keys(partition_keys, &schema.columns);
        Ok(Found::Table(Box::new(FoundTable {
            name,
            definition: TableDefinition {
                kind: TableKind::External(StorageDescriptor { location, format, serde, properties: schema.properties }),
                columns: schema.columns,
                partition_keys,
                parameters: schema.parameters,
                comment: None,
                owner: self.options.owner.clone(),
            },
            partitions,
            file_count: files.len() as u64,
            bytes: files.iter().map(|file| file.object.size).sum(),
            remarks: schema.remarks,
        })))
    }
}

/// An error in one line.
fn reason(error: Error) -> String {
    match error.detail {
        Some(detail) => format!("{} ({})", error.message, detail.trim_end_matches('.')),
        None => error.message,
    }
}

/// Up to [`SAMPLE_FILES`] files, spread over all of them.
fn sample<'a>(files: &[&'a FoundFile]) -> Vec<&'a FoundFile> {
    if files.len() <= SAMPLE_FILES {
        return files.to_vec();
    }
    (0..SAMPLE_FILES).map(|index| files[index * (files.len() - 1) / (SAMPLE_FILES - 1)]).collect()
}

#[cfg(test)]
mod tests;
