//! Looks at files and says what tables they are.
//!
//! 1. [`crawl_at`] lists the location and leaves out hidden names.
//! 2. [`group`] says which files belong together by where they lie.
//! 3. [`sniff`] says by content of which kind a file is: [`custom`] classifiers first, then ours, among them the [`log`]s.
//! 4. [`csv`], [`json`] and [`columnar`] say what its columns are; [`infer`] finds the types of texts.
//! 5. What comes out is a definition a person could have written, with remarks where a choice was made.

mod columnar;
mod csv;
mod custom;
mod group;
mod infer;
mod json;
mod log;
mod name;
mod paths;
mod sniff;

pub use csv::CsvHeader;
pub use custom::CustomClassifier;
pub use paths::{PathTable, path_table};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use futures::TryStreamExt;
use limnos_catalog::{Column, DataType, FileFormat, Partition, StorageDescriptor, TableDefinition, TableKind};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};

use self::group::{FoundFile, Group, GroupKind, file_name};
use self::infer::TextColumn;
use self::name::{stem, table_name, unique};
use self::sniff::{Known, Sniffed, sniff};
use crate::scan::format::display_prefix;
use crate::scan::format::input;
use crate::scan::store::Stores;
use crate::{Error, ErrorCode, Result, limits};

/// Most objects that one crawl lists: what it holds of each is some hundred bytes.
const FILES_MAX: usize = 1_000_000;

/// Rows of one file that types are inferred from.
const SAMPLE_ROWS: u64 = 100_000;

/// Unpacked bytes of one table that types are inferred from.
const SAMPLE_BYTES: usize = 64 << 20;

/// Files of one table that are looked into.
const SAMPLE_FILES: usize = 8;

/// Files of the crawled folder itself that are each looked into before they are taken for logs of one kind.
const KNOWN_FILES_MAX: usize = 64;

/// A table that a crawl found.
#[derive(Debug, Clone)]
pub struct FoundTable {
    /// A valid, lower-case name, from its folder or file.
    pub name: String,
    /// What to register.
    pub definition: TableDefinition,
    /// Its Hive partitions, if any.
    pub partitions: Vec<Partition>,
    /// How many data files it has.
    pub file_count: u64,
    /// Their size together.
    pub bytes: u64,
    /// What the user should know (`column "x" is int in 3 files and string in 1: string was taken`).
    pub remarks: Vec<String>,
}

/// What the crawl of a location came to.
#[derive(Debug, Clone, Default)]
pub struct Crawled {
    /// The tables, by name.
    pub tables: Vec<FoundTable>,
    /// Files that are no tables, and why.
    pub skipped: Vec<String>,
    /// The first error among them.
    pub first_error: Option<Error>,
}

/// Finds the tables under `location` (a folder, a file, or a prefix).
///
/// # Errors
/// A location that is not allowed, does not exist or can't be read.
pub async fn crawl(stores: &Arc<Stores>, location: &str, owner: &str) -> Result<Crawled> {
    crawl_with(stores, location, owner, &[]).await
}

/// As [`crawl`]; each file is shown to `classifiers`, in their order, before our own.
///
/// # Errors
/// As [`crawl`], and a classifier that can't be (see [`CustomClassifier::check`]).
pub async fn crawl_with(
    stores: &Arc<Stores>,
    location: &str,
    owner: &str,
    classifiers: &[CustomClassifier],
) -> Result<Crawled> {
    let location = stores.resolve(location)?;
    let crawled = crawl_at(&location.store, &location.path, &location.url, owner, classifiers).await?;
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
            let shown: Vec<&str> = crawled.skipped.iter().take(5).map(String::as_str).collect();
            error = error.with_detail(format!("{}.", shown.join("; ")));
        }
        return Err(error);
    }
    Ok(crawled)
}

/// Finds the tables at `path` of `store`; `url` is what the location is called (with a `/` behind a folder).
///
/// # Errors
/// A location that does not exist or can't be read. A file that can't be made sense of is skipped and told.
pub async fn crawl_at(
    store: &Arc<dyn ObjectStore>,
    path: &Path,
    url: &str,
    owner: &str,
    classifiers: &[CustomClassifier],
) -> Result<Crawled> {
    classifiers.iter().try_for_each(CustomClassifier::check)?;
    let mut crawl = Crawl {
        store: Arc::clone(store),
        url: url.trim_end_matches('/').to_owned(),
        prefix: display_prefix(url),
        owner: owner.to_owned(),
        classifiers: classifiers.to_vec(),
        taken: HashSet::new(),
        result: Crawled::default(),
    };
    let (files, is_file) = crawl.list(path, url.ends_with('/')).await?;
    if files.is_empty() {
        return Err(Error::new(ErrorCode::UndefinedFile, format!("location \"{url}\" does not exist or has no files")));
    }
    if is_file {
        for file in files {
            let url = crawl.url.clone();
            crawl.file_table(&file, url).await?;
        }
    } else {
        for group in group::group(files) {
            crawl.group_tables(group).await?;
        }
    }
    crawl.result.tables.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(crawl.result)
}

/// Columns and properties, as far as files tell.
#[derive(Debug, Default)]
struct Schema {
    columns: Vec<Column>,
    properties: BTreeMap<String, String>,
    parameters: BTreeMap<String, String>,
    remarks: Vec<String>,
}

/// How much was looked at.
#[derive(Debug, Default)]
struct Progress {
    rows: u64,
    bytes: usize,
    /// Whether a file was left before its end.
    is_partial: bool,
}

impl Progress {
    fn is_enough(&self) -> bool {
        self.bytes >= SAMPLE_BYTES
    }
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
    owner: String,
    classifiers: Vec<CustomClassifier>,
    taken: HashSet<String>,
    result: Crawled,
}

impl Crawl {
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

    async fn group_tables(&mut self, group: Group) -> Result<()> {
        let is_root = group.folder.is_empty();
        let is_one_table = match group.kind {
            GroupKind::Partitioned => true,
            GroupKind::Separate => false,
            // A lone file in the crawled folder is called as it is, unless its name is only a number in a series.
            GroupKind::Series if is_root && group.files.len() == 1 => {
                let pattern = name::series(file_name(&group.files[0]));
                pattern.starts_with("part-") || pattern.starts_with('#')
            }
            GroupKind::Series => self.is_alike(&group.files, false).await?,
            // Of files in the crawled folder, only logs say themselves that they belong together.
            GroupKind::Mixed => self.is_alike(&group.files, is_root).await?,
        };
        if !is_one_table {
            for file in &group.files {
                let url = format!("{}/{}", self.url, file.segments.join("/"));
                self.file_table(file, url).await?;
            }
            return Ok(());
        }
        let folder_name = group.folder.rsplit('/').next().filter(|name| !name.is_empty());
        let name = table_name(folder_name.or_else(|| self.url.rsplit('/').next()).unwrap_or_default());
        let url = if is_root { format!("{}/", self.url) } else { format!("{}/{}/", self.url, group.folder) };
        let files: Vec<&FoundFile> = group.files.iter().collect();
        self.table(name, url, &files).await
    }

    async fn file_table(&mut self, file: &FoundFile, url: String) -> Result<()> {
        let name = table_name(stem(file_name(file)));
        self.table(name, url, &[file]).await
    }

    /// Whether a sample of files have one format and, mostly, the same columns; with `only_known`, whether they are logs of one
    /// kind.
    async fn is_alike(&self, files: &[FoundFile], only_known: bool) -> Result<bool> {
        if files.len() == 1 {
            return Ok(!only_known);
        }
        let mut first: Option<(FileFormat, BTreeSet<String>)> = None;
        let all: Vec<&FoundFile> = files.iter().collect();
        let looked_at = if only_known && all.len() <= KNOWN_FILES_MAX { all } else { sample(&all) };
        for file in looked_at {
            let Ok((sniffed, schema)) =
                self.look(&[file], &mut Progress { bytes: SAMPLE_BYTES, ..Progress::default() }).await
            else {
                continue;
            };
            if only_known && !matches!(sniffed, Sniffed::Known(_)) {
                return Ok(false);
            }
            let Some(format) = sniffed.format() else { continue };
            let columns: BTreeSet<String> = schema.columns.into_iter().map(|column| column.name).collect();
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
        // What can't be looked into doesn't make the others logs.
        Ok(!only_known || first.is_some())
    }

    /// Format and columns of files that are taken for one table.
    async fn look(&self, files: &[&FoundFile], progress: &mut Progress) -> Result<(Sniffed, Schema)> {
        let named: Vec<(&ObjectMeta, String)> =
            files.iter().map(|file| (&file.object, format!("{}{}", self.prefix, file.object.location))).collect();
        let (object, name) = &named[0];
        let sniffed = sniff(&self.store, object, name, &self.classifiers).await?;
        let schema = match &sniffed {
            Sniffed::Parquet => columnar::infer(&self.store, &named, FileFormat::Parquet).await?,
            Sniffed::Arrow => columnar::infer(&self.store, &named, FileFormat::Arrow).await?,
            Sniffed::Json(layout) => json::infer(&self.store, &named, layout, progress).await?,
            Sniffed::Csv(choice) => csv::infer(&self.store, &named, choice, progress).await?,
            Sniffed::Known(known) => self.known_schema(known, &named[1..]).await,
            Sniffed::Nothing(_) => Schema::default(),
        };
        Ok((sniffed, schema))
    }

    /// What is known of a kind, and a remark on each of the `others` that is not of it.
    async fn known_schema(&self, known: &Known, others: &[(&ObjectMeta, String)]) -> Schema {
        let mut schema = Schema {
            columns: known.columns.clone(),
            properties: known.properties.clone(),
            parameters: known.parameters.clone(),
            remarks: vec![format!("recognized as {}", known.classification)],
        };
        schema.parameters.insert("classification".to_owned(), known.classification.clone());
        for (object, name) in others {
            match sniff(&self.store, object, name, &self.classifiers).await {
                Ok(Sniffed::Known(other)) if *other == *known => {}
                Ok(Sniffed::Known(other)) if other.classification == known.classification => {
                    schema.remarks.push(format!("file \"{name}\" has other columns"));
                }
                Ok(_) => schema.remarks.push(format!("file \"{name}\" is not {}", known.classification)),
                Err(error) => schema.remarks.push(reason(error)),
            }
        }
        schema
    }

    /// Format and columns of those of `files` that can be read, and a remark on each other one: the folder is a table all
    /// the same, and reading it will name the file. The `error` of all together where none can.
    async fn look_at_readable(
        &self,
        files: &[&FoundFile],
        progress: &mut Progress,
        error: Error,
    ) -> Result<(Sniffed, Schema)> {
        let mut readable = Vec::new();
        let mut remarks = Vec::new();
        for file in files {
            let mut single = Progress { bytes: SAMPLE_BYTES, ..Progress::default() };
            match self.look(&[file], &mut single).await {
                Ok((sniffed, _)) if sniffed.format().is_some() => readable.push(*file),
                Ok(_) => remarks.push(format!("\"{}\" is of no known format", file_name(file))),
                Err(error) => remarks.push(reason(error)),
            }
        }
        // Readable each, and not together: they are of different formats.
        if readable.is_empty() || remarks.is_empty() {
            return Err(error);
        }
        *progress = Progress::default();
        let (sniffed, mut schema) = self.look(&readable, progress).await?;
        schema.remarks.extend(remarks);
        Ok((sniffed, schema))
    }

    async fn table(&mut self, name: String, location: String, files: &[&FoundFile]) -> Result<()> {
        let mut progress = Progress::default();
        let sampled = sample(files);
        let looked = match self.look(&sampled, &mut progress).await {
            Ok(looked) => Ok(looked),
            // One file that can't be read doesn't keep the others from being found.
            Err(error) => self.look_at_readable(&sampled, &mut progress, error).await,
        };
        let (sniffed, mut schema) = match looked {
            Ok(looked) => looked,
            Err(error) => {
                self.result.first_error.get_or_insert_with(|| error.clone());
                self.result.skipped.push(format!("\"{location}\" was skipped: {}", reason(error)));
                return Ok(());
            }
        };
        let format = match (&sniffed, sniffed.format()) {
            (Sniffed::Nothing(reason), _) => {
                self.result.skipped.push(format!("\"{location}\" was skipped: {reason}"));
                return Ok(());
            }
            (_, Some(format)) => format,
            (_, None) => return Err(Error::internal("a sniffed format has a name")),
        };
        if schema.columns.is_empty() {
            self.result.skipped.push(format!("\"{location}\" was skipped: it has no columns"));
            return Ok(());
        }
        let serde = match &sniffed {
            Sniffed::Known(known) => known.serde.clone(),
            _ => None,
        };
        let is_inferred = matches!(sniffed, Sniffed::Csv(_) | Sniffed::Json(_));
        if is_inferred && (progress.is_partial || sampled.len() < files.len()) {
            schema.remarks.push(format!(
                "types were inferred from {} rows of {} of {} files",
                progress.rows,
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
        self.result.tables.push(FoundTable {
            name: unique(name, &mut self.taken),
            definition: TableDefinition {
                kind: TableKind::External(StorageDescriptor { location, format, serde, properties: schema.properties }),
                columns: schema.columns,
                partition_keys,
                parameters: schema.parameters,
                comment: None,
                owner: self.owner.clone(),
            },
            partitions,
            file_count: files.len() as u64,
            bytes: files.iter().map(|file| file.object.size).sum(),
            remarks: schema.remarks,
        });
        Ok(())
    }
}

/// An error in one line.
fn reason(error: Error) -> String {
    match error.detail {
        Some(detail) => format!("{} ({})", error.message, detail.trim_end_matches('.')),
        None => error.message,
    }
}

/// Columns of delimited text and of patterns are found by their place, so one that bears a key's name must stay; the key then takes another name.
fn rename_keys(keys: Vec<Column>, columns: &[Column]) -> Vec<Column> {
    let mut taken: HashSet<String> = columns.iter().map(|column| column.name.clone()).collect();
    keys.into_iter().map(|key| Column { name: unique(key.name, &mut taken), ..key }).collect()
}

/// Up to [`SAMPLE_FILES`] files, spread over all of them.
fn sample<'a>(files: &[&'a FoundFile]) -> Vec<&'a FoundFile> {
    if files.len() <= SAMPLE_FILES {
        return files.to_vec();
    }
    (0..SAMPLE_FILES).map(|index| files[index * (files.len() - 1) / (SAMPLE_FILES - 1)]).collect()
}

/// The partition keys that the files' folders spell, and the partitions.
fn partitions(location: &str, files: &[&FoundFile]) -> (Vec<Column>, Vec<Partition>) {
    let names: Vec<&String> = files[0].partition.iter().map(|(key, _)| key).collect();
    if names.is_empty() {
        return (Vec::new(), Vec::new());
    }
    let mut found: BTreeMap<Vec<Option<String>>, String> = BTreeMap::new();
    for file in files {
        let values = file.partition.iter().map(|(_, value)| value.clone()).collect();
        found.entry(values).or_insert_with(|| file.partition_path.clone());
    }
    let keys = names
        .iter()
        .enumerate()
        .map(|(index, name)| {
            let values = found.keys().filter_map(|values| values[index].as_deref());
            Column::new(name.as_str(), key_type(values))
        })
        .collect();
    let partitions = found
        .into_iter()
        .map(|(values, path)| {
            let standard = names.iter().zip(&values).map(|(name, value)| match value {
                Some(value) => format!("{name}={value}"),
                None => format!("{name}={}", limnos_catalog::partition::HIVE_DEFAULT_PARTITION),
            });
            // Escapes and other spellings of the key are kept as a location of their own.
            let is_standard = standard.collect::<Vec<_>>().join("/") == path;
            Partition { values, location: (!is_standard).then(|| format!("{location}{path}/")), storage: None }
        })
        .collect();
    (keys, partitions)
}

/// Whole numbers may be zero-padded (`month=01`); a date is one in ISO form.
fn key_type<'a>(values: impl Iterator<Item = &'a str> + Clone) -> DataType {
    let mut column = TextColumn::default();
    let mut is_integer = true;
    let mut is_small = true;
    let mut count = 0;
    for value in values {
        column.see(value);
        count += 1;
        let digits = value.strip_prefix('-').unwrap_or(value);
        is_integer &=
            !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) && value.parse::<i64>().is_ok();
        is_small &= value.parse::<i32>().is_ok();
    }
    let inferred = column.infer("");
    match (is_integer && count > 0, is_small) {
        (true, true) => DataType::Int,
        (true, false) => DataType::BigInt,
        _ if inferred.data_type == DataType::Date && inferred.format.is_none() => DataType::Date,
        _ => DataType::String,
    }
}

#[cfg(test)]
mod tests;
