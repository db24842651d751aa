//! What PostgreSQL's CREATE TABLE says beside columns and types. Rows lie in files that anybody may put there, so constraints
//! can't be kept: they are read, and whoever says them is told so. Defaults, which would change rows, are refused.

use datafusion::sql::sqlparser::tokenizer::Token;
use limnos_catalog::Column;

use super::table::typed_column;
use crate::parse::cursor::Cursor;
use crate::{Error, Result};

/// `(name type [constraint ...] | constraint, ...)`: the columns, and whether there is a constraint.
pub(super) fn columns_and_constraints(cursor: &mut Cursor<'_>) -> Result<(Vec<Column>, bool)> {
    let mut is_constrained = false;
    let items = cursor.parenthesized(|cursor| {
        if is_table_constraint(cursor) {
            is_constrained = true;
            skip_item(cursor);
            return Ok(None);
        }
        let column = typed_column(cursor)?;
        while column_constraint(cursor, &mut is_constrained)? {}
        Ok(Some(column))
    })?;
    Ok((items.into_iter().flatten().collect(), is_constrained))
}

/// A column may be called `check`: it has a type then, and no bracket.
fn is_table_constraint(cursor: &Cursor<'_>) -> bool {
    let is_followed_by = |token: &Token| cursor.peek_nth(1).is_some_and(|next| next.token.token == *token);
    let has_name = || cursor.peek_nth(2).is_some_and(|next| !matches!(next.token.token, Token::Comma | Token::RParen));
    cursor.peek_words("PRIMARY KEY")
        || cursor.peek_words("FOREIGN KEY")
        || (cursor.peek_words("UNIQUE") && is_followed_by(&Token::LParen))
        || (cursor.peek_words("CHECK") && is_followed_by(&Token::LParen))
        || (cursor.peek_words("CONSTRAINT") && has_name())
}

/// Steps to the comma or bracket behind an item.
fn skip_item(cursor: &mut Cursor<'_>) {
    while cursor.peek().is_some_and(|next| !matches!(next.token.token, Token::Comma | Token::RParen)) {
        cursor.skip_tree();
    }
}

/// Takes one constraint of a column; false when none comes next.
fn column_constraint(cursor: &mut Cursor<'_>, is_constrained: &mut bool) -> Result<bool> {
    let place = cursor.clone();
    if cursor.take_words("DEFAULT") {
        if cursor.take_words("NULL") {
            return Ok(true);
        }
        let error = Error::unsupported("DEFAULT of a column is not supported");
        return Err(error.at(place.peek().map_or(1, |lexeme| lexeme.position)));
    }
    if cursor.take_words("NULL") {
        return Ok(true);
    }
    if cursor.take_words("COLLATE") {
        cursor.identifier()?;
        return Ok(true);
    }
    if cursor.take_words("CONSTRAINT") {
        cursor.identifier()?;
    } else if cursor.take_words("REFERENCES") {
        // The rest of a reference has words of its own (ON DELETE SET NULL).
        skip_item(cursor);
    } else if cursor.take_words("CHECK") {
        cursor.parenthesized(|cursor| {
            skip_item(cursor);
            Ok(())
        })?;
    } else if cursor.take_one_of(&["NOT NULL", "PRIMARY KEY", "UNIQUE"]).is_none() {
        return Ok(false);
    }
    *is_constrained = true;
    Ok(true)
}
