//! [`Looker`]: looks into files, or recalls what was seen in them: a file of the same version is opened once.
//!
//! ```text
//! file ── recalled? ──yes──> facts
//!            └─no── sniff (its head) ── see (its footer, or its rows up to a limit) ── facts ── remembered
//! ```
//! Facts are of one file alone. What is said of a table is merged from its files' facts, so that of a table where one file
//! has changed only that one is read again.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::FutureExt;
use futures::future::BoxFuture;
use limnos_catalog::FileFormat;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use super::custom::CustomClassifier;
use super::group::FoundFile;
use super::sniff::{Known, Sniffed, sniff};
use super::{Schema, columnar, csv, json, reason};
use crate::{Error, ErrorCode, Result};

/// Remembers what crawls have seen in files.
pub trait FileMemory: Send + Sync {
    /// What was remembered of this version of the file.
    fn recall(&self, file: &str, version: &str) -> Option<String>;

    /// Remembers `facts` of this version of the file, in place of any other.
    fn remember(&self, file: &str, version: &str, facts: String);
}

/// Remembers nothing.
#[derive(Debug, Clone, Copy)]
pub struct NoMemory;

impl FileMemory for NoMemory {
    fn recall(&self, _file: &str, _version: &str) -> Option<String> {
        None
    }

    fn remember(&self, _file: &str, _version: &str, _facts: String) {}
}

/// Files that are open at the same time.
const OPEN_MAX: usize = 16;

/// The most bytes of one file's facts that are remembered; wider files are read again by each crawl.
const FACTS_BYTES_MAX: usize = 1 << 20;

/// The form in which facts are remembered. Another number, and all files are looked into again.
const FACTS_FORMAT: u32 = 2;

/// What was seen in one file.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct FileFacts {
    format: u32,
    /// The user's classifiers that it was shown to.
    classifiers: String,
    sniffed: Result<Sniffed, Refused>,
    /// What was seen when it was read as this. A file may be read as the first of its table says, too.
    seen: Vec<(Sniffed, Result<Seen, Refused>)>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum Seen {
    Columnar(columnar::Seen),
    Json(json::Seen),
    Csv(csv::Seen),
    Nothing,
}

/// Why a file can't be made sense of: an error that the same bytes will have again.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Refused {
    is_limit: bool,
    message: String,
    detail: Option<String>,
    hint: Option<String>,
}

impl Refused {
    /// `Err` for errors of the store and the like, which the next look may not meet.
    fn new(error: Error) -> Result<Self> {
        let is_limit = error.code == ErrorCode::ProgramLimitExceeded;
        let is_lasting = matches!(
            error.code,
            ErrorCode::DataCorrupted
                | ErrorCode::DataException
                | ErrorCode::InvalidTextRepresentation
                | ErrorCode::CharacterNotInRepertoire
                | ErrorCode::FeatureNotSupported
        );
        if !is_limit && !is_lasting {
            return Err(error);
        }
        Ok(Self { is_limit, message: error.message, detail: error.detail, hint: error.hint })
    }

    fn error(&self) -> Error {
        let code = if self.is_limit { ErrorCode::ProgramLimitExceeded } else { ErrorCode::DataCorrupted };
        Error { detail: self.detail.clone(), hint: self.hint.clone(), ..Error::new(code, self.message.clone()) }
    }
}

/// What files that are taken for one table hold together.
#[derive(Debug)]
pub(super) struct Looked {
    pub sniffed: Sniffed,
    pub schema: Schema,
    /// Rows of text that types were inferred from.
    pub rows: u64,
    /// Whether a file was left before its end.
    pub is_partial: bool,
}

/// See the module.
pub(super) struct Looker {
    store: Arc<dyn ObjectStore>,
    /// Put before paths in names of files.
    prefix: String,
    memory: Arc<dyn FileMemory>,
    classifiers: Vec<CustomClassifier>,
    permits: Semaphore,
    /// Facts of the files of tables that are looked at now.
    known: Mutex<HashMap<Path, Arc<FileFacts>>>,
    files_read: AtomicU64,
}

impl Looker {
    pub(super) fn new(
        store: Arc<dyn ObjectStore>,
        prefix: String,
        memory: Arc<dyn FileMemory>,
        classifiers: Vec<CustomClassifier>,
    ) -> Self {
        Self {
            store,
            prefix,
            memory,
            classifiers,
            permits: Semaphore::new(OPEN_MAX),
            known: Mutex::default(),
            files_read: AtomicU64::new(0),
        }
    }

    /// How many files were opened.
    pub(super) fn files_read(&self) -> u64 {
        self.files_read.load(Ordering::Relaxed)
    }

    /// Format and columns of files that are taken for one table.
    ///
    /// # Errors
    /// The first file's that can't be read.
    pub(super) async fn look(&self, files: &[&FoundFile]) -> Result<Looked> {
        let first = self.facts(&files[0].object).await?;
        let sniffed = first.sniffed.as_ref().map_err(Refused::error)?.clone();
        if let Sniffed::Nothing(_) = sniffed {
            return Ok(Looked { sniffed, schema: Schema::default(), rows: 0, is_partial: false });
        }
        let all: Vec<BoxFuture<'_, _>> =
            files.iter().map(|file| self.facts_as(&file.object, &sniffed).boxed()).collect();
        let all = futures::future::try_join_all(all).await?;
        let seen = all.iter().map(|facts| facts.seen_as(&sniffed)).collect::<Result<Vec<&Seen>>>()?;
        let (mut rows, mut is_partial) = (0, false);
        let schema = match &sniffed {
            Sniffed::Parquet | Sniffed::Orc | Sniffed::Avro | Sniffed::Arrow => {
                let seen: Vec<&columnar::Seen> = seen.iter().filter_map(|seen| seen.columnar()).collect();
                columnar::merge(&seen)?
            }
            Sniffed::Json(layout) => {
                let seen: Vec<&json::Seen> = seen.iter().filter_map(|seen| seen.json()).collect();
                rows = seen.iter().map(|seen| seen.rows).sum();
                is_partial = seen.iter().any(|seen| seen.is_partial);
                json::merge(layout, &seen)?
            }
            Sniffed::Csv(choice) => {
                let seen: Vec<&csv::Seen> = seen.iter().filter_map(|seen| seen.csv()).collect();
                rows = seen.iter().map(|seen| seen.rows).sum();
                is_partial = seen.iter().any(|seen| seen.is_partial);
                csv::merge(choice, &seen)
            }
            Sniffed::Known(known) => self.known_schema(known, files, &all),
            Sniffed::Nothing(_) => Schema::default(),
        };
        Ok(Looked { sniffed, schema, rows, is_partial })
    }

    /// What is known of a kind, and a remark on each file that is not of it.
    fn known_schema(&self, known: &Known, files: &[&FoundFile], facts: &[Arc<FileFacts>]) -> Schema {
        let mut schema = Schema {
            columns: known.columns.clone(),
            properties: known.properties.clone(),
            parameters: known.parameters.clone(),
            remarks: vec![format!("recognized as {}", known.classification)],
        };
        schema.parameters.insert("classification".to_owned(), known.classification.clone());
        for (file, facts) in files.iter().zip(facts) {
            let name = self.name(&file.object.location);
            match &facts.sniffed {
                Ok(Sniffed::Known(other)) if **other == *known => {}
                Ok(Sniffed::Known(other)) if other.classification == known.classification => {
                    schema.remarks.push(format!("file \"{name}\" has other columns"));
                }
                Ok(_) => schema.remarks.push(format!("file \"{name}\" is not {}", known.classification)),
                Err(refused) => schema.remarks.push(reason(refused.error())),
            }
        }
        schema
    }

    /// What the file is called in messages and in memory.
    pub(super) fn name(&self, path: &Path) -> String {
        format!("{}{path}", self.prefix)
    }

    /// Forgets what only a table that is done needed.
    pub(super) fn done_with(&self, files: &[&FoundFile]) {
        let mut known = self.known.lock();
        for file in files {
            known.remove(&file.object.location);
        }
    }

    /// The file's facts, with what is seen when it is read as what it is.
    async fn facts(&self, object: &ObjectMeta) -> Result<Arc<FileFacts>> {
        if let Some(facts) = self.known.lock().get(&object.location) {
            return Ok(Arc::clone(facts));
        }
        let name = self.name(&object.location);
        let recalled = self.memory.recall(&name, &version(object));
        let recalled = recalled.and_then(|text| serde_json::from_str::<FileFacts>(&text).ok());
        let classifiers = format!("{:?}", self.classifiers);
        let is_same = |facts: &FileFacts| facts.format == FACTS_FORMAT && facts.classifiers == classifiers;
        if let Some(facts) = recalled.filter(is_same) {
            let facts = Arc::new(facts);
            self.known.lock().insert(object.location.clone(), Arc::clone(&facts));
            return Ok(facts);
        }
        let _permit = self.permits.acquire().await.map_err(|_| Error::internal("a semaphore was closed"))?;
        self.files_read.fetch_add(1, Ordering::Relaxed);
        let sniffed = match sniff(&self.store, object, &name, &self.classifiers).await {
            Ok(sniffed) => Ok(sniffed),
            Err(error) => Err(Refused::new(error)?),
        };
        let seen = match &sniffed {
            Ok(sniffed) => vec![(sniffed.clone(), self.see(object, &name, sniffed).await?)],
            Err(_) => Vec::new(),
        };
        Ok(self.remember(object, FileFacts { format: FACTS_FORMAT, classifiers, sniffed, seen }))
    }

    /// The file's facts, with what is seen when it is read as `sniffed`.
    async fn facts_as(&self, object: &ObjectMeta, sniffed: &Sniffed) -> Result<Arc<FileFacts>> {
        let facts = self.facts(object).await?;
        if facts.seen.iter().any(|(other, _)| other == sniffed) || facts.sniffed.is_err() {
            return Ok(facts);
        }
        let _permit = self.permits.acquire().await.map_err(|_| Error::internal("a semaphore was closed"))?;
        self.files_read.fetch_add(1, Ordering::Relaxed);
        let seen = self.see(object, &self.name(&object.location), sniffed).await?;
        let mut facts = (*facts).clone();
        // As itself, and as its table's first file was last time.
        facts.seen.truncate(1);
        facts.seen.push((sniffed.clone(), seen));
        Ok(self.remember(object, facts))
    }

    async fn see(&self, object: &ObjectMeta, name: &str, sniffed: &Sniffed) -> Result<Result<Seen, Refused>> {
        let seen = match sniffed {
            Sniffed::Parquet => columnar::see(&self.store, object, name, FileFormat::Parquet).await.map(Seen::Columnar),
            Sniffed::Orc => columnar::see(&self.store, object, name, FileFormat::Orc).await.map(Seen::Columnar),
            Sniffed::Avro => columnar::see(&self.store, object, name, FileFormat::Avro).await.map(Seen::Columnar),
            Sniffed::Arrow => columnar::see(&self.store, object, name, FileFormat::Arrow).await.map(Seen::Columnar),
            Sniffed::Json(layout) => json::see(&self.store, object, name, layout).await.map(Seen::Json),
            Sniffed::Csv(choice) => csv::see(&self.store, object, name, choice.dialect).await.map(Seen::Csv),
            // What it has is known from its kind.
            Sniffed::Known(_) | Sniffed::Nothing(_) => Ok(Seen::Nothing),
        };
        match seen {
            Ok(seen) => Ok(Ok(seen)),
            Err(error) => Refused::new(error).map(Err),
        }
    }

    fn remember(&self, object: &ObjectMeta, facts: FileFacts) -> Arc<FileFacts> {
        if let Ok(text) = serde_json::to_string(&facts)
            && text.len() <= FACTS_BYTES_MAX
        {
            self.memory.remember(&self.name(&object.location), &version(object), text);
        }
        let facts = Arc::new(facts);
        self.known.lock().insert(object.location.clone(), Arc::clone(&facts));
        facts
    }
}

impl FileFacts {
    fn seen_as(&self, sniffed: &Sniffed) -> Result<&Seen> {
        if let Err(refused) = &self.sniffed {
            return Err(refused.error());
        }
        match self.seen.iter().find(|(other, _)| other == sniffed) {
            Some((_, Ok(seen))) => Ok(seen),
            Some((_, Err(refused))) => Err(refused.error()),
            None => Err(Error::internal("a file was not looked into")),
        }
    }
}

impl Seen {
    fn columnar(&self) -> Option<&columnar::Seen> {
        if let Self::Columnar(seen) = self { Some(seen) } else { None }
    }

    fn json(&self) -> Option<&json::Seen> {
        if let Self::Json(seen) = self { Some(seen) } else { None }
    }

    fn csv(&self) -> Option<&csv::Seen> {
        if let Self::Csv(seen) = self { Some(seen) } else { None }
    }
}

/// Changes whenever the content does, as far as the store tells.
fn version(object: &ObjectMeta) -> String {
    let modified_us = object.last_modified.timestamp_micros();
    format!("{}-{modified_us}-{}", object.size, object.e_tag.as_deref().unwrap_or_default())
}
