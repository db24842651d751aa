//! ANALYZE, SHOW STATS and SHOW DRIFT.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::partition::constant;
use crate::Result;
use crate::parse::cursor::Cursor;
use crate::parse::statement::{Analyze, AnalyzedColumns};
use crate::parse::{ObjectName, Statement};

/// Hive's `ANALYZE TABLE t [PARTITION (k [= v], ...)] [COMPUTE STATISTICS [NOSCAN] [FOR [ALL] COLUMNS [a, b]]]` and
/// PostgreSQL's `ANALYZE [VERBOSE] t [(a, b)]`.
pub(crate) fn analyze(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.advance();
    if !cursor.take_words("TABLE") {
        // VERBOSE may be a table's name, too.
        if cursor.peek_words("VERBOSE") && cursor.peek_nth(1).is_some() {
            cursor.advance();
        }
        let table = cursor.object_name()?;
        let columns = if cursor.peek().is_some_and(|lexeme| lexeme.token.token == Token::LParen) {
            AnalyzedColumns::Named(cursor.parenthesized(Cursor::identifier)?)
        } else {
            AnalyzedColumns::None
        };
        return Ok(Statement::Analyze(Analyze { table, partition: Vec::new(), columns }));
    }
    let table = cursor.object_name()?;
    let partition = if cursor.take_words("PARTITION") {
        cursor.parenthesized(|cursor| {
            let key = cursor.identifier()?;
            let value = if cursor.take_token(&Token::Eq) { Some(constant(cursor)?) } else { None };
            Ok((key, value))
        })?
    } else {
        Vec::new()
    };
    let mut columns = AnalyzedColumns::None;
    if cursor.take_words("COMPUTE") {
        cursor.expect_words("STATISTICS")?;
        if cursor.take_words("FOR ALL COLUMNS") {
            columns = AnalyzedColumns::All;
        } else if cursor.take_words("FOR COLUMNS") {
            columns = if cursor.at_end() {
                AnalyzedColumns::All
            } else if cursor.peek().is_some_and(|lexeme| lexeme.token.token == Token::LParen) {
                AnalyzedColumns::Named(cursor.parenthesized(Cursor::identifier)?)
            } else {
                AnalyzedColumns::Named(cursor.comma_separated(Cursor::identifier)?)
            };
        } else {
            // Hive's NOSCAN looks at files without reading them, which is what we do where a footer is enough.
            cursor.take_words("NOSCAN");
        }
    }
    Ok(Statement::Analyze(Analyze { table, partition, columns }))
}

/// After SHOW: `STATS [FOR] t` (Trino's) and `DRIFT [IN | FROM | FOR] t`.
pub(super) fn show(cursor: &mut Cursor<'_>) -> Result<Option<Statement>> {
    let name = |cursor: &mut Cursor<'_>, words: &[&'static str]| -> Result<ObjectName> {
        // A table may be called like one of these words.
        if cursor.peek_nth(1).is_some_and(|lexeme| lexeme.token.token != Token::Period) {
            cursor.take_one_of(words);
        }
        cursor.object_name()
    };
    if cursor.take_words("STATS") {
        return Ok(Some(Statement::ShowStats { table: name(cursor, &["FOR"])? }));
    }
    if cursor.take_words("DRIFT") {
        return Ok(Some(Statement::ShowDrift { table: name(cursor, &["IN", "FROM", "FOR"])? }));
    }
    Ok(None)
}
