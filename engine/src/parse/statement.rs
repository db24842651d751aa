//! [`Statement`] and its parts: what a text asks for, before any name is resolved.

use std::collections::BTreeMap;

use datafusion::sql::sqlparser::ast::Query;
use limnos_catalog::crawler::{OnDelete, OnSchemaChange, Recrawl};
use limnos_catalog::{ClassifierDefinition, Column, CreateMode, FileFormat, Schedule};

use crate::parse::dataset::DatasetStatement;
use crate::parse::ddl::Stored;
use crate::parse::portal::{DeclareCursor, FetchCursor};
use crate::parse::report::ReportStatement;
use crate::parse::role::RoleStatement;
use crate::parse::schedule::ScheduleStatement;

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
    /// CREATE TABLE without EXTERNAL: of a query's rows, or without rows.
    CreateTableAs(Box<CreateTableAs>),
    /// INSERT INTO, INSERT OVERWRITE.
    Insert(Box<Insert>),
    /// UNLOAD (query) TO 'location'.
    Unload(Box<Unload>),
    /// COPY ... TO 'file'.
    Copy(Box<Copy>),
    /// COPY ... TO STDOUT.
    CopyOut(Box<CopyOut>),
    /// COPY ... FROM STDIN.
    CopyIn(Box<CopyIn>),
    Delete(Box<PartitionRows>),
    Truncate(Box<PartitionRows>),
    Optimize(Box<PartitionRows>),
    ShowBookmarks,
    ResetBookmark {
        name: String,
        if_exists: bool,
    },
    CreateView(CreateView),
    /// DROP TABLE or DROP VIEW, of one or several.
    Drop {
        view: bool,
        names: Vec<ObjectName>,
        if_exists: bool,
    },
    /// ALTER TABLE or VIEW ... RENAME TO, SET SCHEMA.
    RenameTable {
        view: bool,
        name: ObjectName,
        to: ObjectName,
        if_exists: bool,
    },
    /// ALTER TABLE or ALTER VIEW: all actions or none.
    AlterTable {
        view: bool,
        name: ObjectName,
        if_exists: bool,
        actions: Vec<TableAction>,
    },
    /// ALTER VIEW v AS query.
    AlterView {
        name: ObjectName,
        query: Box<Query>,
        /// The query's own text.
        sql: String,
    },
    AlterDatabase {
        name: String,
        action: AlterDatabase,
    },
    /// ALTER TABLE ... PARTITION (..) SET LOCATION, RENAME TO PARTITION, ...
    AlterPartition {
        table: ObjectName,
        partition: PartitionSpec,
        action: PartitionAction,
    },
    /// COMMENT ON; `None` takes the comment away.
    Comment {
        target: CommentTarget,
        text: Option<String>,
    },
    /// `SHOW VERSIONS [OF] t`.
    ShowVersions {
        table: ObjectName,
    },
    AddPartitions {
        table: ObjectName,
        partitions: Vec<PartitionSpec>,
        if_not_exists: bool,
    },
    /// Each of `partitions` is the conditions that a partition must all meet to be dropped.
    DropPartitions {
        table: ObjectName,
        partitions: Vec<Vec<PartitionCondition>>,
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
    /// ANALYZE t, ANALYZE TABLE t COMPUTE STATISTICS.
    Analyze(Analyze),
    /// SHOW STATS FOR t.
    ShowStats {
        table: ObjectName,
    },
    /// SHOW DRIFT t.
    ShowDrift {
        table: ObjectName,
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
        /// Only those with these values of some of the keys.
        partition: Option<PartitionSpec>,
    },
    ShowCreate {
        table: ObjectName,
    },
    ShowTableProperties {
        table: ObjectName,
        /// Only this one's value.
        property: Option<String>,
    },
    Describe {
        table: ObjectName,
        extended: bool,
        partition: Option<PartitionSpec>,
        /// Only this column.
        column: Option<String>,
    },
    /// USE d.
    Use {
        database: String,
    },
    /// `SET [LOCAL] name = value, ...`; `None` is DEFAULT.
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
    /// DECLARE: a cursor of a connection.
    Declare(Box<DeclareCursor>),
    /// FETCH, MOVE.
    Fetch(FetchCursor),
    /// CLOSE; `None` is ALL.
    CloseCursor {
        name: Option<String>,
    },
    /// `KILL [QUERY] 'id'`: cancels a running query.
    Kill {
        query_id: String,
    },
    /// About datasets.
    Dataset(Box<DatasetStatement>),
    /// About schedules of statements.
    Schedule(Box<ScheduleStatement>),
    /// About roles and rights.
    Role(Box<RoleStatement>),
    /// Reports: made, changed, run, shown.
    Report(Box<ReportStatement>),
    /// `ALTER SYSTEM DROP CACHE name`; `None` is ALL.
    DropCache {
        name: Option<String>,
    },
    /// CHECKPOINT, LISTEN, UNLISTEN, LOCK and the like that do nothing here: accepted, with this tag.
    NoOp {
        tag: &'static str,
    },
}

/// One thing that ALTER TABLE does to a table's definition. Names of columns are lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableAction {
    AddColumns {
        columns: Vec<Column>,
        if_not_exists: bool,
    },
    /// Hive's REPLACE COLUMNS: these instead of all that are no partition keys.
    ReplaceColumns(Vec<Column>),
    /// Hive's CHANGE: another name, type, comment and place.
    ChangeColumn {
        name: String,
        column: Column,
        place: Option<ColumnPlace>,
    },
    RenameColumn {
        name: String,
        to: String,
    },
    ColumnType {
        name: String,
        data_type: limnos_catalog::DataType,
    },
    DropColumn {
        name: String,
        if_exists: bool,
    },
    SetParameters(BTreeMap<String, String>),
    UnsetParameters {
        names: Vec<String>,
        if_exists: bool,
    },
    SetLocation(String),
    /// SET FILEFORMAT.
    SetFormat(Stored),
    SetSerde {
        class: String,
        properties: BTreeMap<String, String>,
    },
    SetSerdeProperties(BTreeMap<String, String>),
    UnsetSerdeProperties(Vec<String>),
    OwnerTo(String),
    /// The definition that this version of the table had.
    RestoreVersion(i64),
}

/// Where CHANGE COLUMN puts a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnPlace {
    First,
    After(String),
}

/// What ALTER DATABASE does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AlterDatabase {
    /// DBPROPERTIES, added to those that are there.
    SetParameters(BTreeMap<String, String>),
    SetLocation(String),
    RenameTo(String),
}

/// What ALTER TABLE ... PARTITION (..) does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartitionAction {
    SetLocation(String),
    RenameTo(PartitionSpec),
    /// SET FILEFORMAT, SET SERDE, ADD COLUMNS and the like: as on a table, for this partition alone.
    Storage(TableAction),
}

/// What COMMENT ON is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommentTarget {
    Database(String),
    Table { view: bool, name: ObjectName },
    Column { table: ObjectName, column: String },
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
    /// What the query will read.
    pub cost: bool,
    pub format: ExplainFormat,
    pub query: Box<Query>,
    /// What `query` is a part of, where it isn't the whole statement.
    pub write: Option<Box<Statement>>,
}

/// How EXPLAIN answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ExplainFormat {
    #[default]
    Text,
    Json,
}

/// ANALYZE in Hive's words or PostgreSQL's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Analyze {
    pub table: ObjectName,
    /// Keys, lower case, each with the value it must have; `None` is any, `Some(None)` is NULL. Empty: all partitions.
    pub partition: Vec<(String, Option<Option<String>>)>,
    pub columns: AnalyzedColumns,
}

/// Of which columns distinct values are counted, for which all rows must be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnalyzedColumns {
    None,
    All,
    Named(Vec<String>),
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

/// CREATE TABLE without EXTERNAL.
#[derive(Debug, Clone)]
pub struct CreateTableAs {
    /// What is said in Hive's words. Its partition keys are columns of the query.
    pub table: CreateTable,
    /// Other names for the query's first columns.
    pub names: Vec<String>,
    /// Athena's WITH (...), names in lower case.
    pub properties: Vec<(String, TableProperty)>,
    /// `None`: a table without rows, of the columns that `table` has.
    pub query: Option<Box<Query>>,
    /// Not WITH NO DATA.
    pub with_data: bool,
    /// Whether constraints were said, which nobody keeps.
    pub is_constrained: bool,
}

/// A value in Athena's WITH (...).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableProperty {
    pub values: Vec<String>,
    /// Whether it was an ARRAY.
    pub is_list: bool,
    /// Of its name, in the text.
    pub position: usize,
}

/// INSERT.
#[derive(Debug, Clone)]
pub struct Insert {
    pub table: ObjectName,
    /// Lower case, with their positions in the text; empty: all.
    pub columns: Vec<(String, usize)>,
    /// Whether the rows that were there go.
    pub overwrite: bool,
    /// Hive's PARTITION (...): keys, lower case, with their values; `None`: the query's last columns.
    pub partition: Vec<(String, Option<Option<String>>)>,
    /// WITH (...), names in lower case.
    pub properties: Vec<(String, TableProperty)>,
    pub query: Box<Query>,
}

/// UNLOAD.
#[derive(Debug, Clone)]
pub struct Unload {
    pub query: Box<Query>,
    pub location: String,
    /// WITH (...), names in lower case.
    pub properties: Vec<(String, TableProperty)>,
}

/// COPY ... TO 'file'.
#[derive(Debug, Clone)]
pub struct Copy {
    pub query: Box<Query>,
    pub file: String,
    pub options: Vec<CopyOption>,
}

/// COPY ... TO STDOUT.
#[derive(Debug, Clone)]
pub struct CopyOut {
    /// The table, for messages; a query has none.
    pub table: Option<ObjectName>,
    pub query: Box<Query>,
    pub options: Vec<CopyOption>,
}

/// COPY table FROM STDIN.
#[derive(Debug, Clone)]
pub struct CopyIn {
    pub table: ObjectName,
    /// Their names and where they stand; none is all.
    pub columns: Vec<(String, usize)>,
    pub options: Vec<CopyOption>,
    /// `SELECT * FROM table [WHERE condition]`: which rows are taken.
    pub query: Box<Query>,
}

/// An option of COPY.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyOption {
    /// Lower case.
    pub name: String,
    /// A word, a number or a text; `*` is one, too.
    pub value: Option<String>,
    /// `(column, ...)` in its place.
    pub list: Option<Vec<String>>,
    /// Of its name, in the text.
    pub position: usize,
}

/// The rows of a table that DELETE, TRUNCATE and OPTIMIZE mean.
#[derive(Debug, Clone)]
pub struct PartitionRows {
    pub table: ObjectName,
    /// `SELECT * FROM table [WHERE condition]`.
    pub query: Box<Query>,
}

/// CREATE VIEW.
#[derive(Debug, Clone)]
pub struct CreateView {
    pub name: ObjectName,
    pub mode: CreateMode,
    /// Names for the first columns, as written, and their comments.
    pub columns: Vec<(String, Option<String>)>,
    pub comment: Option<String>,
    /// TBLPROPERTIES.
    pub parameters: BTreeMap<String, String>,
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

/// One condition on a partition key in DROP PARTITION: `dt < '2020-01-01'`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionCondition {
    /// Lower case.
    pub key: String,
    pub comparison: Comparison,
    /// `None` is NULL, which only `=` and `<>` take.
    pub value: Option<String>,
}

/// How a key is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// PARTITION (k = v, ...) [LOCATION '...'].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionSpec {
    /// Key names, lower case, and values as text; `None` is NULL.
    pub values: Vec<(String, Option<String>)>,
    pub location: Option<String>,
}

/// Which dialect's meaning holds where the two conflict (setting `dialect`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Dialect {
    #[default]
    Postgres,
    Athena,
}
