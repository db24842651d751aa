//! SQL text -> [`Statement`]s.
//!
//! The life of a text:
//! 1. [`lexer`]: the text, bounded in size, becomes tokens that know where they stand; semicolons split it.
//! 2. [`complexity`]: nesting and chains are bounded on the tokens, before anything recursive sees them.
//! 3. The first words decide. Statements that are ours go to [`ddl`] and [`session`], small recursive-descent parsers over
//!    a [`cursor`]; so `CREATE EXTERNAL TABLE`, `COPY` or `SET datafusion.*` never reach DataFusion.
//! 4. Queries go to [`query`]: sqlparser with our own [`dialect`], then [`rewrite`] on the tree.

use crate::{Error, Result};

pub mod complexity;
mod copy;
pub mod cursor;
pub mod dataset;
pub mod ddl;
pub mod dialect;
mod export;
mod insert;
pub(crate) mod kept;
pub mod lexer;
pub(crate) mod locate;
mod maintain;
pub mod parameter;
pub mod portal;
pub mod query;
pub mod report;
pub mod rewrite;
pub mod role;
pub mod schedule;
pub mod session;
pub mod statement;
mod subquery;
mod unsupported;

pub use portal::{DeclareCursor, FetchCursor, FetchDirection};
pub use statement::{
    Copy, CopyIn, CopyOption, CopyOut, CrawlerClauses, CreateTable, CreateTableAs, CreateView, Dialect, Explain,
    ExplainFormat, Insert, NamePattern, ObjectName, ParsedStatement, PartitionRows, PartitionSpec, Statement,
    TableProperty, TransactionModes, Unload,
};

use crate::limits;
use crate::parse::cursor::Cursor;
use crate::parse::parameter::Parameters;

/// The database part of the name that a file path in table position gets: `FROM 'data/*.parquet'` is parsed as the
/// two-part quoted name `"file"."data/*.parquet"`, so that the planner sees a table name like any other. No catalog
/// database can be reached by it: the path part is never a valid table name.
pub const FILE_TABLE_DATABASE: &str = "file";

/// Parses a text of zero or more statements separated by semicolons. Either all of it parses or none of it is returned,
/// as in PostgreSQL. A text without any statement gives one [`Statement::Empty`].
///
/// # Errors
/// `54001` beyond the limits, `42601` with a position for syntax, `0A000` for statements that are known but not built.
pub fn parse(sql: &str, dialect: Dialect) -> Result<Vec<ParsedStatement>> {
    parse_bound(sql, dialect, None)
}

/// As [`parse`], for a text with `{{name}}` in it, which become constants.
///
/// # Errors
/// As [`parse`], and for names that are no parameters.
pub fn parse_with(sql: &str, dialect: Dialect, parameters: &Parameters) -> Result<Vec<ParsedStatement>> {
    parse_bound(sql, dialect, Some(parameters))
}

fn parse_bound(sql: &str, dialect: Dialect, parameters: Option<&Parameters>) -> Result<Vec<ParsedStatement>> {
    if sql.len() > limits::SQL_BYTES_MAX {
        return Err(Error::new(crate::ErrorCode::StatementTooComplex, "statement is too complex")
            .with_detail(format!("The text has {} bytes; at most {} are allowed.", sql.len(), limits::SQL_BYTES_MAX)));
    }
    if let Some(position) = sql.chars().position(|character| character == '\0') {
        return Err(Error::syntax("invalid character in the statement: zero byte").at(position + 1));
    }
    let mut statements = Vec::new();
    for mut part in lexer::split(sql, dialect)? {
        if let Some(parameters) = parameters {
            parameters.bind(&mut part)?;
        }
        complexity::check(&part.lexemes)?;
        // Whatever shows the text of a statement shows this one: it never holds a password.
        let secret = ddl::may_hold_password(&part);
        let parsed = parse_one(&mut Cursor::new(sql, &part, dialect));
        let statement = if secret { parsed.map_err(ddl::masked_error) } else { parsed }?;
        let text = if secret { ddl::masked(sql, &part) } else { part.text(sql).to_owned() };
        let offset = part.lexemes.first().map_or(0, |first| first.position - 1);
        statements.push(ParsedStatement { statement, sql: text, offset });
    }
    if statements.is_empty() {
        statements.push(ParsedStatement { statement: Statement::Empty, sql: String::new(), offset: 0 });
    }
    Ok(statements)
}

/// Parses the one statement that a cursor stands before, to its end.
pub(crate) fn parse_one(cursor: &mut Cursor<'_>) -> Result<Statement> {
    if let Some(statement) = ddl::schedule(cursor)? {
        cursor.expect_end()?;
        return Ok(statement);
    }
    let statement = match cursor.peek_word().as_deref() {
        None if cursor.at_end() => return Err(cursor.unexpected()),
        None => query::statement(cursor)?,
        Some("SELECT" | "WITH" | "VALUES" | "TABLE") => query::statement(cursor)?,
        Some("EXPLAIN") => query::explain(cursor)?,
        Some("CREATE") => ddl::create(cursor)?,
        Some("INSERT") => insert::insert(cursor)?,
        Some("UNLOAD") => export::unload(cursor)?,
        Some("COPY") => copy::copy(cursor)?,
        Some("DELETE") => maintain::delete(cursor)?,
        Some("TRUNCATE") => maintain::truncate(cursor)?,
        Some("OPTIMIZE") => maintain::optimize(cursor)?,
        Some("DROP") => ddl::drop(cursor)?,
        Some("ALTER") => ddl::alter(cursor)?,
        Some("COMMENT") => ddl::comment(cursor)?,
        Some("GRANT" | "REVOKE") => ddl::grant(cursor)?,
        Some("REASSIGN") => ddl::reassign(cursor)?,
        Some("MSCK") => ddl::repair(cursor)?,
        Some("CRAWL") => ddl::crawl(cursor)?,
        Some("ANALYZE" | "ANALYSE") => ddl::analyze(cursor)?,
        Some("RUN") => ddl::run(cursor)?,
        Some("REFRESH") => ddl::refresh(cursor)?,
        Some("DESCRIBE" | "DESC") => ddl::describe(cursor)?,
        Some("SHOW") if cursor.peek_words("SHOW BOOKMARKS") => maintain::show_bookmarks(cursor)?,
        Some("RESET") if cursor.peek_words("RESET BOOKMARK") && cursor.peek_nth(2).is_some() => {
            maintain::reset_bookmark(cursor)?
        }
        Some("SHOW") => ddl::show(cursor)?,
        Some(word) => match session::statement(word, cursor)? {
            Some(statement) => statement,
            None => return Err(unsupported::error(cursor)),
        },
    };
    cursor.expect_end()?;
    Ok(statement)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
