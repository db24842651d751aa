//! SQL text -> [`Statement`]s.

use limnos_catalog::{Column, CreateMode, FileFormat};

use crate::Result;

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
}

/// What a client asks for. Statements that are ours have a variant each; all that DataFusion plans is `Query`.
#[derive(Debug, Clone)]
pub enum Statement {
    /// Nothing but white space and comments.
    Empty,
    /// SELECT, VALUES, WITH, TABLE.
    Query(Box<datafusion::sql::sqlparser::ast::Query>),
    /// EXPLAIN of a query.
    Explain(Explain),
    CreateDatabase { name: String, comment: Option<String>, location: Option<String>, mode: CreateMode },
    DropDatabase { name: String, if_exists: bool, cascade: bool },
    CreateTable(CreateTable),
    CreateView(CreateView),
    /// DROP TABLE or DROP VIEW, of one or several.
    Drop { view: bool, names: Vec<ObjectName>, if_exists: bool },
    RenameTable { name: ObjectName, to: ObjectName },
    AddPartitions { table: ObjectName, partitions: Vec<PartitionSpec>, if_not_exists: bool },
    DropPartitions { table: ObjectName, partitions: Vec<PartitionSpec>, if_exists: bool },
    /// MSCK REPAIR TABLE t [ADD|DROP|SYNC PARTITIONS].
    RepairTable { table: ObjectName, add: bool, drop: bool },
    /// CRAWL 'location' [INTO DATABASE d].
    Crawl { location: String, database: Option<String> },
    ShowDatabases { pattern: Option<String> },
    ShowTables { database: Option<String>, pattern: Option<String>, views_only: bool },
    ShowColumns { table: ObjectName },
    ShowPartitions { table: ObjectName },
    ShowCreate { table: ObjectName },
    ShowTableProperties { table: ObjectName },
    Describe { table: ObjectName, extended: bool },
    /// USE d.
    Use { database: String },
    /// SET [LOCAL] name = value, ...; `None` is DEFAULT.
    Set { name: String, values: Option<Vec<String>>, local: bool },
    /// RESET name; `None` is ALL.
    Reset { name: Option<String> },
    /// SHOW name; `None` is ALL.
    Show { name: Option<String> },
    Begin,
    Commit,
    Rollback,
    Savepoint { name: String },
    Release { name: String },
    RollbackTo { name: String },
    /// DISCARD ALL | PLANS | SEQUENCES | TEMP.
    Discard { what: String },
    /// SQL-level PREPARE; the server keeps it in the session's statement store.
    Prepare { name: String, parameter_types: Vec<limnos_catalog::DataType>, statement: Box<ParsedStatement> },
    /// SQL-level EXECUTE, its arguments as SQL text of constants.
    Execute { name: String, arguments: Vec<String> },
    /// DEALLOCATE name; `None` is ALL.
    Deallocate { name: Option<String> },
    /// KILL [QUERY] 'id': cancels a running query.
    Kill { query_id: String },
    /// CHECKPOINT, LISTEN, UNLISTEN, LOCK and the like that do nothing here: accepted, with this tag.
    NoOp { tag: &'static str },
}

/// EXPLAIN and its options.
#[derive(Debug, Clone)]
pub struct Explain {
    pub analyze: bool,
    pub verbose: bool,
    pub query: Box<datafusion::sql::sqlparser::ast::Query>,
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
    pub serde_properties: std::collections::BTreeMap<String, String>,
    /// TBLPROPERTIES.
    pub parameters: std::collections::BTreeMap<String, String>,
}

/// CREATE VIEW.
#[derive(Debug, Clone)]
pub struct CreateView {
    pub name: ObjectName,
    pub mode: CreateMode,
    pub columns: Vec<String>,
    pub comment: Option<String>,
    pub query: Box<datafusion::sql::sqlparser::ast::Query>,
    /// The query's own text.
    pub sql: String,
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

/// Parses a text of zero or more statements separated by semicolons.
pub fn parse(_sql: &str, _dialect: Dialect) -> Result<Vec<ParsedStatement>> {
    todo!()
}
