//! COMMENT ON, PostgreSQL's way to say what a thing is.

use datafusion::sql::sqlparser::tokenizer::Token;

use crate::parse::cursor::Cursor;
use crate::parse::statement::CommentTarget;
use crate::parse::{ObjectName, Statement};
use crate::{Error, Result};

/// COMMENT ON kind name IS 'text' | NULL
pub(crate) fn comment(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect_words("COMMENT ON")?;
    if cursor.take_words("ROLE") {
        return super::role::comment(cursor);
    }
    let target = if cursor.take_words("DATABASE") || cursor.take_words("SCHEMA") {
        CommentTarget::Database(super::database_name(cursor)?)
    } else if ["TABLE", "FOREIGN TABLE", "DATASET", "MATERIALIZED VIEW"].iter().any(|words| cursor.take_words(words)) {
        CommentTarget::Table { view: false, name: cursor.object_name()? }
    } else if cursor.take_words("VIEW") {
        CommentTarget::Table { view: true, name: cursor.object_name()? }
    } else if cursor.take_words("COLUMN") {
        column(cursor)?
    } else {
        let what = cursor.peek_word().ok_or_else(|| cursor.unexpected())?;
        return Err(Error::unsupported(format!("COMMENT ON {what} is not supported"))
            .with_hint("Databases, tables, views, datasets, columns and roles have comments."));
    };
    cursor.expect_words("IS")?;
    let text = if cursor.take_words("NULL") { None } else { Some(cursor.string()?) };
    // As in PostgreSQL, an empty text is no comment.
    Ok(Statement::Comment { target, text: text.filter(|text| !text.is_empty()) })
}

/// `[[catalog.]database.]table.column`
fn column(cursor: &mut Cursor<'_>) -> Result<CommentTarget> {
    let place = cursor.clone();
    let mut parts = vec![cursor.identifier()?];
    while cursor.take_token(&Token::Period) {
        parts.push(cursor.identifier()?);
    }
    if !(2..=4).contains(&parts.len()) {
        let message = if parts.len() == 1 { "column name must be qualified" } else { "improper qualified name" };
        return Err(Error::syntax(message).at(place.peek().map_or(1, |lexeme| lexeme.position)));
    }
    let column = parts.pop().expect("there are two at least");
    let name = parts.pop().expect("there are two at least");
    Ok(CommentTarget::Column { table: ObjectName { database: parts.pop(), name }, column })
}
