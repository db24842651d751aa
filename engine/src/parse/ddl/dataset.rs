//! CREATE, REFRESH, ALTER, DROP and SHOW of datasets, which PostgreSQL's clients know as materialized views.
//!
//! | ours | PostgreSQL |
//! |---|---|
//! | `CREATE [OR REPLACE] DATASET [IF NOT EXISTS] d [(columns)] [WITH (..)] AS TABLE t \| query` | `CREATE MATERIALIZED VIEW [IF NOT EXISTS] d ... AS query [WITH [NO] DATA]` |
//! | `REFRESH DATASET d [FULL]` | `REFRESH MATERIALIZED VIEW [CONCURRENTLY] d [WITH [NO] DATA]` |
//! | `ALTER DATASET d SET (..) \| RESET (..) \| RENAME TO e \| OWNER TO r` | the same |
//! | `DROP DATASET [IF EXISTS] d, ...` | `... [CASCADE \| RESTRICT]` |

use datafusion::sql::sqlparser::tokenizer::{Token, Word};
use limnos_catalog::DatasetSpelling;

use super::create_as::query_and_data;
use crate::parse::cursor::Cursor;
use crate::parse::dataset::{CreateDataset, CreateSource, DatasetAction, DatasetOption, DatasetStatement, OptionValue};
use crate::parse::{ObjectName, Statement, unsupported};
use crate::{Error, ErrorCode, Result};

/// Takes DATASET or MATERIALIZED VIEW.
pub(super) fn take_kind(cursor: &mut Cursor<'_>) -> Option<DatasetSpelling> {
    match cursor.take_one_of(&["DATASET", "MATERIALIZED VIEW"])? {
        "DATASET" => Some(DatasetSpelling::Dataset),
        _ => Some(DatasetSpelling::MaterializedView),
    }
}

fn statement(statement: DatasetStatement) -> Statement {
    Statement::Dataset(Box::new(statement))
}

/// After CREATE [OR REPLACE] and the kind.
pub(super) fn create(cursor: &mut Cursor<'_>, or_replace: bool, spelling: DatasetSpelling) -> Result<Statement> {
    let mode = super::create_mode(cursor, or_replace)?;
    let name = cursor.object_name()?;
    let is_bracket = |cursor: &Cursor<'_>| cursor.peek().is_some_and(|lexeme| lexeme.token.token == Token::LParen);
    let columns = if is_bracket(cursor) { cursor.parenthesized(Cursor::identifier_as_written)? } else { Vec::new() };
    if cursor.take_words("USING") {
        // PostgreSQL's access method: there is one here.
        cursor.identifier()?;
    }
    let comment = if cursor.take_words("COMMENT") { Some(cursor.string()?) } else { None };
    let options = if cursor.take_words("WITH") { cursor.parenthesized(option)? } else { Vec::new() };
    if cursor.peek_words("TABLESPACE") {
        return Err(Error::unsupported("tablespaces are not supported"));
    }
    cursor.expect_words("AS")?;
    // `TABLE t` is a query, too; but alone it is the table, whose files tell what has changed.
    let mut ahead = cursor.clone();
    if ahead.take_words("TABLE")
        && let Ok(table) = ahead.object_name()
        && let Some(with_data) = ends(&mut ahead)
    {
        *cursor = ahead;
        let source = CreateSource::Table(table);
        let create = CreateDataset { name, mode, columns, comment, options, source, with_data, spelling };
        return Ok(statement(DatasetStatement::Create(create)));
    }
    let text = cursor.rest_text().to_owned();
    let count = cursor.rest().len();
    let (query, with_data, kept) = query_and_data(cursor)?;
    let sql = if kept == count { text } else { without_data(&text) };
    let source = CreateSource::Query { query, sql };
    let create = CreateDataset { name, mode, columns, comment, options, source, with_data, spelling };
    Ok(statement(DatasetStatement::Create(create)))
}

/// Takes `[WITH [NO] DATA]` up to the end: whether there is data; `None` if something else comes.
fn ends(cursor: &mut Cursor<'_>) -> Option<bool> {
    let with_data = if cursor.take_words("WITH NO DATA") {
        false
    } else {
        cursor.take_words("WITH DATA");
        true
    };
    cursor.at_end().then_some(with_data)
}

/// A query's text without the WITH [NO] DATA that it ends in.
fn without_data(text: &str) -> String {
    let end = text.to_ascii_uppercase().rfind("WITH").unwrap_or(text.len());
    text[..end].trim_end().to_owned()
}

/// REFRESH ...
pub(crate) fn refresh(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let start = cursor.clone();
    cursor.expect_words("REFRESH")?;
    let Some(spelling) = take_kind(cursor) else { return Err(unsupported::error(&start)) };
    // Readers never wait for a refresh here, so that is nothing to ask for.
    let concurrently = spelling == DatasetSpelling::MaterializedView && cursor.take_words("CONCURRENTLY");
    let name = cursor.object_name()?;
    let full = cursor.take_words("FULL");
    let place = cursor.clone();
    let with_data = ends(cursor).ok_or_else(|| cursor.unexpected())?;
    if concurrently && !with_data {
        let message = "CONCURRENTLY and WITH NO DATA options cannot be used together";
        return Err(Error::syntax(message).at(place.peek().map_or(1, |lexeme| lexeme.position)));
    }
    Ok(statement(DatasetStatement::Refresh { name, full, with_data, spelling }))
}

/// After ALTER and the kind.
pub(super) fn alter(cursor: &mut Cursor<'_>, spelling: DatasetSpelling) -> Result<Statement> {
    let if_exists = cursor.if_exists();
    let name = cursor.object_name()?;
    let action = if cursor.take_words("RENAME TO") {
        let to = cursor.object_name()?;
        DatasetAction::RenameTo(ObjectName { database: to.database.or_else(|| name.database.clone()), ..to })
    } else if cursor.take_words("SET SCHEMA") {
        DatasetAction::RenameTo(ObjectName { database: Some(super::database_name(cursor)?), name: name.name.clone() })
    } else if cursor.take_words("OWNER TO") {
        DatasetAction::OwnerTo(cursor.identifier_as_written()?)
    } else if cursor.take_words("SET") {
        DatasetAction::Set(cursor.parenthesized(option)?)
    } else if cursor.take_words("RESET") {
        DatasetAction::Reset(cursor.parenthesized(|cursor| {
            let position = cursor.peek().map_or(1, |lexeme| lexeme.position);
            Ok((cursor.identifier()?, position))
        })?)
    } else {
        return Err(cursor.unexpected());
    };
    Ok(statement(DatasetStatement::Alter { name, if_exists, action, spelling }))
}

/// After DROP and the kind.
pub(super) fn drop(cursor: &mut Cursor<'_>, spelling: DatasetSpelling) -> Result<Statement> {
    let if_exists = cursor.if_exists();
    let names = cursor.comma_separated(Cursor::object_name)?;
    if !cursor.take_words("CASCADE") {
        cursor.take_words("RESTRICT");
    }
    Ok(statement(DatasetStatement::Drop { names, if_exists, spelling }))
}

/// After SHOW: DATASETS, CREATE DATASET.
pub(super) fn show(cursor: &mut Cursor<'_>) -> Result<Option<Statement>> {
    if cursor.take_words("DATASETS") {
        return Ok(Some(statement(DatasetStatement::Show { pattern: super::show::pattern(cursor)? })));
    }
    if cursor.take_words("CREATE DATASET") || cursor.take_words("CREATE MATERIALIZED VIEW") {
        return Ok(Some(statement(DatasetStatement::ShowCreate { name: cursor.object_name()? })));
    }
    Ok(None)
}

/// `name = value`.
fn option(cursor: &mut Cursor<'_>) -> Result<DatasetOption> {
    let position = cursor.peek().map_or(1, |lexeme| lexeme.position);
    let name = match cursor.peek_string() {
        Some(name) => {
            cursor.advance();
            name.to_lowercase()
        }
        None => cursor.identifier()?,
    };
    cursor.expect_token(&Token::Eq)?;
    let value = if cursor.peek_words("CRON") && cursor.peek_nth(1).is_some_and(|next| is_string(&next.token.token)) {
        cursor.advance();
        let cron = cursor.string()?;
        let has_zone = cursor.take_words("TIME ZONE") || cursor.take_words("TIME_ZONE");
        OptionValue::Cron(cron, if has_zone { Some(cursor.string()?) } else { None })
    } else if cursor.take_words("ARRAY") {
        cursor.expect_token(&Token::LBracket)?;
        let items = cursor.comma_separated(text)?;
        cursor.expect_token(&Token::RBracket)?;
        OptionValue::List(items)
    } else if cursor.peek().is_some_and(|lexeme| lexeme.token.token == Token::LParen) {
        OptionValue::List(cursor.parenthesized(text)?)
    } else {
        OptionValue::Text(text(cursor)?)
    };
    Ok(DatasetOption { name, value, position })
}

fn is_string(token: &Token) -> bool {
    matches!(token, Token::SingleQuotedString(_) | Token::EscapedStringLiteral(_))
}

fn text(cursor: &mut Cursor<'_>) -> Result<String> {
    if let Some(text) = cursor.peek_string() {
        cursor.advance();
        return Ok(text);
    }
    match cursor.peek().map(|lexeme| &lexeme.token.token) {
        Some(Token::Number(number, _)) => {
            cursor.advance();
            Ok(number.clone())
        }
        Some(Token::Word(Word { .. })) => cursor.identifier(),
        _ => Err(cursor.unexpected()),
    }
}

/// The error for an option that is said twice, as PostgreSQL words it.
pub(crate) fn redundant(position: usize) -> Error {
    Error::new(ErrorCode::SyntaxError, "conflicting or redundant options").at(position)
}
