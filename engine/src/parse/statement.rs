//! [`Statement`] and its parts: what a text asks for, before any name is resolved.

use std::collections::BTreeMap;

use datafusion::sql::sqlparser::ast::Query;
use limnos_catalog::crawler::{OnDelete, OnSchemaChange, Recrawl};
use limnos_catalog::{ClassifierDefinition, Column, CreateMode, FileFormat, Schedule};

/// A name as written: `name` or `database.name`, unquoted parts lower-cased, not yet resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectName {
    pub database: Option<String>,
    pub name: String,
}

/// One statement of a text.
#[derive(Debug, Clone)]
pub struct ParsedStatement {
    pub statement: Statement,
    /// Its own part of the text, without the semicolon.
    pub sql: String,
    /// Characters of the text before it, so that positions in errors are those in the whole text.
    pub offset: usize,
}

/// What a client asks for. Statements that are ours have a variant each; all that DataFusion plans is `Query`.
#[derive(Debug, Clone)]
pub enum Statement {
    /// Nothing but white space and comments.
    Empty,
    /// SELECT, VALUES, WITH, TABLE.
    Query(Box<Query>),
    /// EXPLAIN of a query.
    Explain(Explain),
    CreateDatabase {
        name: String,
        comment: Option<String>,
        location: Option<String>,
        /// DBPROPERTIES.
        parameters: BTreeMap<String, String>,
        mode: CreateMode,
    },
    DropDatabase {
        name: String,
        if_exists: bool,
        cascade: bool,
    },
    CreateTable(CreateTable),
    CreateView(CreateView),
    /// DROP TABLE or DROP VIEW, of one or several.
    Drop {
        view: bool,
        names: Vec<ObjectName>,
        if_exists: bool,
    },
    RenameTable {
        name: ObjectName,
        to: ObjectName,
    },
    AddPartitions {
        table: ObjectName,
        partitions: Vec<PartitionSpec>,
        if_not_exists: bool,
    },
    DropPartitions {
        table: ObjectName,
        partitions: Vec<PartitionSpec>,
        if_exists: bool,
    },
    /// MSCK REPAIR TABLE t [ADD|DROP|SYNC PARTITIONS].
    RepairTable {
        table: ObjectName,
        add: bool,
        drop: bool,
    },
    /// CRAWL 'location' [INTO DATABASE d].
    Crawl {
        location: String,
        database: Option<String>,
    },
    CreateCrawler {
        name: String,
        clauses: Box<CrawlerClauses>,
        mode: CreateMode,
    },
    /// ALTER CRAWLER c SET clause ...
    AlterCrawler {
        name: String,
        clauses: Box<CrawlerClauses>,
    },
    RenameCrawler {
        name: String,
        to: String,
    },
    /// ALTER CRAWLER c PAUSE | RESUME.
    PauseCrawler {
        name: String,
        pause: bool,
    },
    DropCrawler {
        name: String,
        if_exists: bool,
    },
    RunCrawler {
        name: String,
    },
    ShowCrawlers {
        pattern: Option<NamePattern>,
    },
    ShowCreateCrawler {
        name: String,
    },
    CreateClassifier {
        name: String,
        definition: ClassifierDefinition,
        mode: CreateMode,
    },
    DropClassifier {
        name: String,
        if_exists: bool,
    },
    ShowClassifiers {
        pattern: Option<NamePattern>,
    },
    ShowCreateClassifier {
        name: String,
    },
    ShowDatabases {
        pattern: Option<NamePattern>,
    },
    ShowTables {
        database: Option<String>,
        pattern: Option<NamePattern>,
        views_only: bool,
    },
    ShowColumns {
        table: ObjectName,
    },
    ShowPartitions {
        table: ObjectName,
    },
    ShowCreate {
        table: ObjectName,
    },
    ShowTableProperties {
        table: ObjectName,
    },
    Describe {
        table: ObjectName,
        extended: bool,
    },
    /// USE d.
    Use {
        database: String,
    },
    /// SET [LOCAL] name = value, ...; `None` is DEFAULT.
    Set {
        name: String,
        values: Option<Vec<String>>,
        local: bool,
    },
    /// SET TRANSACTION (of the running block), or SET SESSION CHARACTERISTICS AS TRANSACTION.
    SetTransaction {
        modes: TransactionModes,
        session: bool,
    },
    /// RESET name; `None` is ALL.
    Reset {
        name: Option<String>,
    },
    /// SHOW name; `None` is ALL.
    Show {
        name: Option<String>,
    },
    /// BEGIN, START TRANSACTION.
    Begin(TransactionModes),
    Commit,
    Rollback,
    Savepoint {
        name: String,
    },
    Release {
        name: String,
    },
    RollbackTo {
        name: String,
    },
    /// DISCARD ALL | PLANS | SEQUENCES | TEMP.
    Discard {
        what: String,
    },
    /// SQL-level PREPARE; the server keeps it in the session's statement store.
    Prepare {
        name: String,
        parameter_types: Vec<limnos_catalog::DataType>,
        statement: Box<ParsedStatement>,
    },
    /// SQL-level EXECUTE, its arguments as SQL text of constants.
    Execute {
        name: String,
        arguments: Vec<String>,
    },
    /// DEALLOCATE name; `None` is ALL.
    Deallocate {
        name: Option<String>,
    },
    /// KILL [QUERY] 'id': cancels a running query.
    Kill {
        query_id: String,
    },
    /// CHECKPOINT, LISTEN, UNLISTEN, LOCK and the like that do nothing here: accepted, with this tag.
    NoOp {
        tag: &'static str,
    },
}

/// What BEGIN, START TRANSACTION and SET TRANSACTION may say; `None` where they don't.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TransactionModes {
    /// `read committed`, `repeatable read`, ... in PostgreSQL's spelling.
    pub isolation: Option<&'static str>,
    pub read_only: Option<bool>,
}

/// What is said of a crawler; `None` where nothing is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CrawlerClauses {
    pub targets: Option<Vec<String>>,
    pub database: Option<String>,
    /// `Some(None)` is SCHEDULE NONE.
    pub schedule: Option<Option<Schedule>>,
    pub exclude: Option<Vec<String>>,
    pub table_prefix: Option<String>,
    pub on_schema_change: Option<OnSchemaChange>,
    pub on_delete: Option<OnDelete>,
    pub recrawl: Option<Recrawl>,
    pub classifiers: Option<Vec<String>>,
    pub comment: Option<String>,
}

/// EXPLAIN and its options.
#[derive(Debug, Clone)]
pub struct Explain {
    pub analyze: bool,
    pub verbose: bool,
    pub query: Box<Query>,
}

/// CREATE EXTERNAL TABLE in Hive's words.
#[derive(Debug, Clone)]
pub struct CreateTable {
    pub name: ObjectName,
    pub mode: CreateMode,
    /// Empty: to be read from the files (allowed for self-describing formats).
    pub columns: Vec<Column>,
    pub partition_keys: Vec<Column>,
    pub comment: Option<String>,
    pub location: Option<String>,
    pub format: FileFormat,
    pub serde: Option<String>,
    /// SERDEPROPERTIES, and what ROW FORMAT DELIMITED said under the same names.
    pub serde_properties: BTreeMap<String, String>,
    /// TBLPROPERTIES.
    pub parameters: BTreeMap<String, String>,
}

/// CREATE VIEW.
#[derive(Debug, Clone)]
pub struct CreateView {
    pub name: ObjectName,
    pub mode: CreateMode,
    pub columns: Vec<String>,
    pub comment: Option<String>,
    pub query: Box<Query>,
    /// The query's own text.
    pub sql: String,
}

/// Which names SHOW lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamePattern {
    /// `SHOW TABLES 'a*|b*'`: Hive's, where `*` is anything and `|` separates choices.
    Hive(String),
    /// `LIKE 'a%'`: SQL's `%` and `_`; Hive's `*`, `.*` and `|` are understood here, too, as Athena does.
    Like(String),
}

/// PARTITION (k = v, ...) [LOCATION '...'].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionSpec {
    /// Key names, lower case, and values as text; `None` is NULL.
    pub values: Vec<(String, Option<String>)>,
    pub location: Option<String>,
}

/// Which dialect's meaning holds where the two conflict (setting `dialect`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dialect {
    #[default]
    Postgres,
    Athena,
}
