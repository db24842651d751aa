//! ALTER TABLE ... ADD | DROP PARTITION, ALTER TABLE ... PARTITION (..) ...

use datafusion::sql::sqlparser::tokenizer::{Token, Word};

use crate::parse::cursor::Cursor;
use crate::parse::statement::{Comparison, PartitionAction, PartitionCondition};
use crate::parse::{ObjectName, PartitionSpec, Statement};
use crate::{Error, Result};

/// After ALTER TABLE name; `None` when it is about something else.
pub(super) fn alter(cursor: &mut Cursor<'_>, table: &ObjectName) -> Result<Option<Statement>> {
    let table = table.clone();
    if cursor.peek_words("ADD PARTITION") || cursor.peek_words("ADD IF NOT EXISTS PARTITION") {
        cursor.expect_words("ADD")?;
        let if_not_exists = cursor.if_not_exists();
        let mut partitions = Vec::new();
        while cursor.take_words("PARTITION") {
            let values = spec(cursor)?;
            let location = if cursor.take_words("LOCATION") { Some(cursor.string()?) } else { None };
            partitions.push(PartitionSpec { values, location });
            cursor.take_token(&Token::Comma);
        }
        if partitions.is_empty() {
            return Err(cursor.unexpected());
        }
        return Ok(Some(Statement::AddPartitions { table, partitions, if_not_exists }));
    }
    if cursor.peek_words("DROP PARTITION") || cursor.peek_words("DROP IF EXISTS PARTITION") {
        cursor.expect_words("DROP")?;
        let if_exists = cursor.if_exists();
        let partitions = cursor.comma_separated(|cursor| {
            cursor.expect_words("PARTITION")?;
            cursor.parenthesized(condition)
        })?;
        cursor.take_words("PURGE");
        return Ok(Some(Statement::DropPartitions { table, partitions, if_exists }));
    }
    // A view or a table may have a column called partition; only the bracket tells.
    if cursor.peek_words("PARTITION") && cursor.peek_nth(1).is_some_and(|next| next.token.token == Token::LParen) {
        let partition = partition(cursor)?;
        return Ok(Some(Statement::AlterPartition { table, partition, action: action(cursor)? }));
    }
    Ok(None)
}

/// `PARTITION (key = constant, ...)`
pub(super) fn partition(cursor: &mut Cursor<'_>) -> Result<PartitionSpec> {
    cursor.expect_words("PARTITION")?;
    Ok(PartitionSpec { values: spec(cursor)?, location: None })
}

/// What ALTER TABLE ... PARTITION (..) does.
fn action(cursor: &mut Cursor<'_>) -> Result<PartitionAction> {
    if cursor.take_words("RENAME TO") {
        return Ok(PartitionAction::RenameTo(partition(cursor)?));
    }
    if cursor.take_words("SET LOCATION") {
        return Ok(PartitionAction::SetLocation(cursor.string()?));
    }
    super::alter::partition_storage(cursor).map(PartitionAction::Storage)
}

/// `key < constant`
fn condition(cursor: &mut Cursor<'_>) -> Result<PartitionCondition> {
    let key = cursor.identifier()?;
    let comparison = match cursor.peek().map(|lexeme| &lexeme.token.token) {
        Some(Token::Eq | Token::DoubleEq) => Comparison::Equal,
        Some(Token::Neq) => Comparison::NotEqual,
        Some(Token::Lt) => Comparison::Less,
        Some(Token::LtEq) => Comparison::LessOrEqual,
        Some(Token::Gt) => Comparison::Greater,
        Some(Token::GtEq) => Comparison::GreaterOrEqual,
        _ => return Err(cursor.unexpected()),
    };
    cursor.advance();
    let place = cursor.clone();
    let value = constant(cursor)?;
    if value.is_none() && !matches!(comparison, Comparison::Equal | Comparison::NotEqual) {
        return Err(place.unexpected());
    }
    Ok(PartitionCondition { key, comparison, value })
}

/// `(key = constant, ...)`
fn spec(cursor: &mut Cursor<'_>) -> Result<Vec<(String, Option<String>)>> {
    cursor.parenthesized(|cursor| {
        let key = cursor.identifier()?;
        if matches!(
            cursor.peek().map(|lexeme| &lexeme.token.token),
            Some(Token::Lt | Token::Gt | Token::LtEq | Token::GtEq | Token::Neq)
        ) {
            return Err(Error::unsupported("only \"=\" is supported in PARTITION (...)").with_hint(
                "Name the partition by the values of its keys. DROP PARTITION takes other comparisons, too.",
            ));
        }
        cursor.expect_token(&Token::Eq)?;
        Ok((key, constant(cursor)?))
    })
}

/// A constant's text: `'a'`, `2024`, `-1`, `1.5`, `DATE '2024-01-01'`, `true`, `NULL`.
pub(crate) fn constant(cursor: &mut Cursor<'_>) -> Result<Option<String>> {
    for word in ["DATE", "TIMESTAMP"] {
        if cursor.peek_words(word) && cursor.peek_nth(1).is_some() {
            cursor.advance();
            return cursor.string().map(Some);
        }
    }
    if cursor.take_words("NULL") {
        return Ok(None);
    }
    if let Some(text) = cursor.peek_string() {
        cursor.advance();
        return Ok(Some(text));
    }
    let sign = if cursor.take_token(&Token::Minus) { "-" } else { "" };
    match cursor.peek().map(|lexeme| &lexeme.token.token) {
        Some(Token::Number(number, _)) => {
            cursor.advance();
            Ok(Some(format!("{sign}{number}")))
        }
        Some(Token::Word(Word { value, quote_style: None, .. }))
            if sign.is_empty() && (value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false")) =>
        {
            cursor.advance();
            Ok(Some(value.to_lowercase()))
        }
        _ => Err(cursor.unexpected()),
    }
}
