//! CREATE VIEW.

use std::collections::BTreeMap;

use datafusion::sql::sqlparser::tokenizer::Token;

use crate::Result;
use crate::parse::cursor::Cursor;
use crate::parse::{CreateView, Statement, query};

/// After CREATE [OR REPLACE] VIEW: `[IF NOT EXISTS] name [(columns)] [COMMENT '..'] [TBLPROPERTIES (..)] AS query`.
pub(super) fn create(cursor: &mut Cursor<'_>, or_replace: bool) -> Result<Statement> {
    let mode = super::create_mode(cursor, or_replace)?;
    let name = cursor.object_name()?;
    let columns = if cursor.peek().is_some_and(|lexeme| lexeme.token.token == Token::LParen) {
        cursor.parenthesized(|cursor| {
            let name = cursor.identifier_as_written()?;
            let comment = if cursor.take_words("COMMENT") { Some(cursor.string()?) } else { None };
            Ok((name, comment))
        })?
    } else {
        Vec::new()
    };
    let comment = if cursor.take_words("COMMENT") { Some(cursor.string()?) } else { None };
    let parameters = if cursor.take_words("TBLPROPERTIES") { super::properties(cursor)? } else { BTreeMap::new() };
    cursor.expect_words("AS")?;
    cursor.refuse_parameters()?;
    let sql = cursor.rest_text().to_owned();
    let query = query::parse_query(cursor)?;
    Ok(Statement::CreateView(CreateView { name, mode, columns, comment, parameters, query, sql }))
}
