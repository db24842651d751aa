//! Statements that take rows away or put files together: DELETE, TRUNCATE, OPTIMIZE; and what jobs have processed: bookmarks.

use datafusion::sql::sqlparser::ast::Query;
use datafusion::sql::sqlparser::tokenizer::Token;

use crate::parse::cursor::Cursor;
use crate::parse::{ObjectName, PartitionRows, Statement};
use crate::{Error, Result};

/// `DELETE FROM t [[AS] alias] [WHERE condition]`.
pub(crate) fn delete(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect_words("DELETE")?;
    cursor.expect_words("FROM")?;
    cursor.take_words("ONLY");
    let table = cursor.object_name()?;
    let alias = if cursor.take_words("AS") {
        Some(cursor.identifier()?)
    } else {
        match cursor.peek_word().as_deref() {
            Some("WHERE" | "USING" | "RETURNING") | None => None,
            Some(_) => Some(cursor.identifier()?),
        }
    };
    if cursor.peek_words("USING") {
        return Err(Error::unsupported("DELETE ... USING is not supported")
            .with_hint("Name the partitions in WHERE; subqueries are not supported there."));
    }
    Ok(Statement::Delete(Box::new(rows(cursor, table, alias.as_deref())?)))
}

/// `TRUNCATE [TABLE] t`.
pub(crate) fn truncate(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect_words("TRUNCATE")?;
    if cursor.peek_nth(1).is_some() {
        cursor.take_words("TABLE");
    }
    cursor.take_words("ONLY");
    let table = cursor.object_name()?;
    if cursor.peek().is_some_and(|lexeme| lexeme.token.token == Token::Comma) {
        return Err(Error::unsupported("TRUNCATE of several tables is not supported")
            .with_hint("Truncate one after the other."));
    }
    if cursor.peek_words("PARTITION") {
        return Err(Error::unsupported("TRUNCATE ... PARTITION is not supported")
            .with_hint("Use DELETE FROM with a condition on the partition keys."));
    }
    // What they are about, sequences and foreign keys, isn't here.
    let _ = cursor.take_words("RESTART IDENTITY") || cursor.take_words("CONTINUE IDENTITY");
    let _ = cursor.take_words("RESTRICT") || cursor.take_words("CASCADE");
    Ok(Statement::Truncate(Box::new(rows(cursor, table, None)?)))
}

/// `OPTIMIZE [TABLE] t [REWRITE DATA USING BIN_PACK] [WHERE condition]`: Athena's, and Delta's without the middle.
pub(crate) fn optimize(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect_words("OPTIMIZE")?;
    let is_word = cursor.peek_nth(1).is_some_and(|next| {
        matches!(next.token.token, Token::Word(_)) && !next.is_word("REWRITE") && !next.is_word("WHERE")
    });
    if is_word {
        cursor.take_words("TABLE");
    }
    let table = cursor.object_name()?;
    if cursor.take_words("REWRITE") {
        cursor.expect_words("DATA USING BIN_PACK")?;
    }
    Ok(Statement::Optimize(Box::new(rows(cursor, table, None)?)))
}

/// `SHOW BOOKMARKS`.
pub(crate) fn show_bookmarks(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect_words("SHOW BOOKMARKS")?;
    Ok(Statement::ShowBookmarks)
}

/// `RESET BOOKMARK [IF EXISTS] name`, the name in quotes of either kind or in none.
pub(crate) fn reset_bookmark(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect_words("RESET BOOKMARK")?;
    let if_exists = cursor.if_exists();
    let name = match cursor.peek_string() {
        Some(name) => {
            cursor.advance();
            name
        }
        None => cursor.identifier()?,
    };
    Ok(Statement::ResetBookmark { name, if_exists })
}

/// The rows that are meant: `[WHERE condition]`, to the end.
pub(super) fn rows(cursor: &mut Cursor<'_>, table: ObjectName, alias: Option<&str>) -> Result<PartitionRows> {
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let database = table.database.as_deref().map(|database| format!("{}.", quoted(database))).unwrap_or_default();
    let mut sql = format!("SELECT * FROM {database}{}", quoted(&table.name));
    if let Some(alias) = alias {
        sql = format!("{sql} AS {}", quoted(alias));
    }
    if cursor.take_words("WHERE") {
        if cursor.at_end() {
            return Err(cursor.unexpected());
        }
        if cursor.rest().iter().any(|lexeme| lexeme.is_word("RETURNING")) {
            return Err(Error::unsupported("RETURNING is not supported"));
        }
        sql = format!("{sql} WHERE {}", cursor.rest_bound());
        cursor.finish();
    }
    let query = query_of(&sql, cursor)?;
    Ok(PartitionRows { table, query })
}

fn query_of(sql: &str, cursor: &Cursor<'_>) -> Result<Box<Query>> {
    let parsed = crate::parse::parse(sql, cursor.dialect).map_err(|error| Error { position: None, ..error })?;
    match parsed.into_iter().next().map(|parsed| parsed.statement) {
        Some(Statement::Query(query)) => Ok(query),
        _ => Err(Error::internal(format!("not a query: {sql}"))),
    }
}
