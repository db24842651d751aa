//! [`Crawler`] and [`Classifier`]: what looks at files by itself and makes tables of them, and how it tells formats.

use std::collections::HashSet;

use crate::name::{validate_database_name, validate_name};
use crate::object::{Definition, Objects};
use crate::{Error, Object, Result, Snapshot, crawler_record};

/// Marks the tables that a crawler has made: the parameter's value is the crawler's name. Only these does it change.
pub const CRAWLER_PARAMETER: &str = "limnos.crawler";

/// When a crawler found a table's files gone and its policy is [`OnDelete::Deprecate`].
pub const DEPRECATED_PARAMETER: &str = "limnos.deprecated";

/// The most targets, exclusions and classifiers of one crawler.
pub const CRAWLER_LIST_MAX: usize = 1000;

/// The most bytes of a target, pattern, comment and the like.
const TEXT_BYTES_MAX: usize = 8192;

/// A crawler as it is in one [`Snapshot`].
pub type Crawler = Object<CrawlerDefinition>;

/// A classifier as it is in one [`Snapshot`].
pub type Classifier = Object<ClassifierDefinition>;

/// What a user says of a crawler (Glue's `Crawler`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrawlerDefinition {
    /// The URLs that it looks at.
    pub targets: Vec<String>,
    /// The database that its tables are in, lower case. Made by the first run if it isn't there.
    pub database: String,
    /// When it runs by itself.
    pub schedule: Option<CrawlerSchedule>,
    /// Patterns of paths below a target that it doesn't look at.
    pub exclude: Vec<String>,
    /// Put before the names of its tables.
    pub table_prefix: String,
    /// What becomes of a table whose files have other columns now.
    pub on_schema_change: OnSchemaChange,
    /// What becomes of a table whose files are gone.
    pub on_delete: OnDelete,
    /// What a run looks at.
    pub recrawl: Recrawl,
    /// Names of classifiers, in the order in which they are tried.
    pub classifiers: Vec<String>,
    /// The text of `COMMENT`.
    pub comment: Option<String>,
    /// The role that made it, and that its scheduled runs are of.
    pub owner: String,
}

/// When something happens: a cron expression in a time zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// Five fields: minute, hour, day of the month, month, day of the week.
    pub cron: String,
    /// A name of the IANA database, `Europe/Berlin`.
    pub time_zone: String,
}

/// A crawler's schedule and whether it counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrawlerSchedule {
    /// When.
    pub schedule: Schedule,
    /// Milliseconds since 1970, UTC: times that were due before count for nothing. When it was set or resumed.
    pub since_ms: i64,
    /// Whether it waits for `RESUME`.
    pub is_paused: bool,
}

/// `ON SCHEMA CHANGE`. New tables and partitions are made in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnSchemaChange {
    /// The table gets the columns and properties that its files have now; types only ever widen.
    Update,
    /// Only new columns are added.
    Add,
    /// The table stays as it is.
    Ignore,
}

/// `ON DELETE`: files of a table or a partition are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDelete {
    /// It is dropped.
    Drop,
    /// A table gets the parameter [`DEPRECATED_PARAMETER`]; partitions stay.
    Deprecate,
    /// It stays as it is.
    Ignore,
}

/// `RECRAWL`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recrawl {
    /// Everything under the targets.
    All,
    /// Folders that no table or partition of the crawler's has yet. Tables are only added to.
    New,
}

/// What a user says of a classifier (Glue's `Classifier`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClassifierDefinition {
    /// Lines of text, taken apart by a pattern.
    Grok {
        /// `%{COMMONAPACHELOG}` and the like.
        pattern: String,
        /// Patterns of one's own, one a line: a name and what it stands for.
        custom_patterns: Option<String>,
        /// What the files are called (`classification` of the table).
        classification: String,
    },
    /// Delimited text.
    Csv {
        /// One character.
        delimiter: Option<String>,
        /// One character.
        quote: Option<String>,
        /// Whether the first row names the columns.
        header: CsvHeader,
        /// Names of the columns; empty where the header has them.
        columns: Vec<String>,
    },
    /// JSON records at a path.
    Json {
        /// `$.Records[*]`.
        path: String,
    },
}

/// `HEADER` of a CSV classifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CsvHeader {
    /// There is one.
    Present,
    /// There is none.
    Absent,
    /// To be told from the file.
    Unknown,
}

fn invalid<T>(message: String) -> Result<T> {
    Err(Error::Invalid { message, hint: None })
}

fn bounded(what: &str, texts: &[String]) -> Result<()> {
    if texts.len() > CRAWLER_LIST_MAX {
        return invalid(format!("a crawler can have at most {CRAWLER_LIST_MAX} {what}, this one has {}", texts.len()));
    }
    match texts.iter().find(|text| text.len() > TEXT_BYTES_MAX) {
        Some(text) => invalid(format!("{what} are too long: one has {} bytes of at most {TEXT_BYTES_MAX}", text.len())),
        None => Ok(()),
    }
}

impl Definition for CrawlerDefinition {
    const KIND: &'static str = "crawler";

    fn validate(&self) -> Result<()> {
        if self.targets.is_empty() {
            return invalid("a crawler needs at least one target".to_owned());
        }
        bounded("targets", &self.targets)?;
        bounded("exclusions", &self.exclude)?;
        bounded("classifiers", &self.classifiers)?;
        bounded("comments", self.comment.as_slice())?;
        validate_database_name(&self.database)?;
        if !self.table_prefix.is_empty() {
            validate_name("table prefix", &self.table_prefix)?;
        }
        let mut seen = HashSet::new();
        match self.targets.iter().find(|target| !seen.insert(target.as_str())) {
            Some(target) => invalid(format!("target \"{target}\" specified more than once")),
            None => Ok(()),
        }
    }

    fn encode(&self) -> Result<String> {
        crawler_record::encode_crawler(self)
    }

    fn decode(text: &str) -> Result<Self> {
        crawler_record::decode_crawler(text)
    }

    fn objects(snapshot: &Snapshot) -> &Objects<Self> {
        &snapshot.crawlers
    }

    fn objects_mut(snapshot: &mut Snapshot) -> &mut Objects<Self> {
        &mut snapshot.crawlers
    }
}

impl Definition for ClassifierDefinition {
    const KIND: &'static str = "classifier";

    fn validate(&self) -> Result<()> {
        let texts: Vec<&String> = match self {
            Self::Grok { pattern, custom_patterns, classification } => {
                [pattern, classification].into_iter().chain(custom_patterns).collect()
            }
            Self::Csv { delimiter, quote, columns, .. } => {
                if columns.len() > crate::table::COLUMN_COUNT_MAX {
                    return invalid(format!(
                        "a classifier can have at most {} columns",
                        crate::table::COLUMN_COUNT_MAX
                    ));
                }
                delimiter.iter().chain(quote).chain(columns).collect()
            }
            Self::Json { path } => vec![path],
        };
        match texts.into_iter().find(|text| text.len() > TEXT_BYTES_MAX) {
            Some(text) => {
                invalid(format!("a text of the classifier has {} bytes of at most {TEXT_BYTES_MAX}", text.len()))
            }
            None => Ok(()),
        }
    }

    fn encode(&self) -> Result<String> {
        crawler_record::encode_classifier(self)
    }

    fn decode(text: &str) -> Result<Self> {
        crawler_record::decode_classifier(text)
    }

    fn objects(snapshot: &Snapshot) -> &Objects<Self> {
        &snapshot.classifiers
    }

    fn objects_mut(snapshot: &mut Snapshot) -> &mut Objects<Self> {
        &mut snapshot.classifiers
    }
}
