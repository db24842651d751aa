//! CREATE TABLE without EXTERNAL: `CREATE TABLE ... AS query` in Athena's words (`WITH (format = ...)`), Hive's (`STORED AS`)
//! and PostgreSQL's, and a table without files yet.

use std::collections::BTreeMap;

use datafusion::sql::sqlparser::ast::Query;
use datafusion::sql::sqlparser::tokenizer::{Token, Word};
use limnos_catalog::FileFormat;

use super::constraint::columns_and_constraints;
use super::table::{Clauses, assemble};
use crate::parse::cursor::Cursor;
use crate::parse::lexer::{Part, unescape_hive};
use crate::parse::{CreateTableAs, Statement, TableProperty, query};
use crate::{Error, Result};

/// After CREATE TABLE.
pub(super) fn create(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let mode = super::create_mode(cursor, false)?;
    let name = cursor.object_name()?;
    let is_named_only = cursor.peek().is_some_and(|lexeme| lexeme.token.token == Token::LParen)
        && cursor.peek_nth(2).is_some_and(|next| matches!(next.token.token, Token::Comma | Token::RParen));
    let (mut names, mut columns, mut is_constrained) = (Vec::new(), Vec::new(), false);
    if is_named_only {
        names = cursor.parenthesized(Cursor::identifier)?;
    } else if cursor.peek().is_some_and(|lexeme| lexeme.token.token == Token::LParen) {
        (columns, is_constrained) = columns_and_constraints(cursor)?;
    }
    let mut clauses = Clauses::default();
    let mut properties = Vec::new();
    loop {
        let is_with = cursor.peek_words("WITH")
            && cursor.peek_nth(1).is_some_and(|next| next.token.token == Token::LParen)
            && properties.is_empty();
        if is_with {
            cursor.advance();
            properties = cursor.parenthesized(property)?;
        } else if !clauses.take(cursor)? {
            break;
        }
    }
    if !cursor.is_hive() {
        // Athena's and PostgreSQL's strings know no escapes, Hive's clauses mean them.
        clauses.unescape(|text| unescape_hive(text, '\''));
    }
    let is_stored = clauses.is_stored();
    let keys_are_typed = clauses.keys_are_typed();
    let mut table = assemble(name, mode, columns, clauses)?;
    if !is_stored {
        table.format = FileFormat::Parquet;
        table.serde_properties = BTreeMap::new();
    }
    if cursor.at_end() {
        if table.columns.is_empty() || !names.is_empty() {
            return Err(Error::unsupported("CREATE TABLE without columns or a query is not supported")
                .with_hint("Add a list of columns with types, or AS and a query."));
        }
        return Ok(Statement::CreateTableAs(Box::new(CreateTableAs {
            table,
            names,
            properties,
            query: None,
            with_data: false,
            is_constrained,
        })));
    }
    let place = cursor.clone();
    cursor.expect_words("AS")?;
    if !table.columns.is_empty() {
        return Err(Error::syntax("a table that is made of a query cannot have a list of typed columns")
            .with_hint("Its columns are those of the query; name them in a list, and cast in the query.")
            .at(place.peek().map_or(1, |lexeme| lexeme.position)));
    }
    if keys_are_typed {
        return Err(Error::syntax("PARTITIONED BY of a table that is made of a query names columns, without types")
            .at(place.peek().map_or(1, |lexeme| lexeme.position)));
    }
    let (query, with_data, _) = query_and_data(cursor)?;
    Ok(Statement::CreateTableAs(Box::new(CreateTableAs {
        table,
        names,
        properties,
        query: Some(query),
        with_data,
        is_constrained,
    })))
}

/// The query and `WITH [NO] DATA` behind it.
pub(super) fn query_and_data(cursor: &mut Cursor<'_>) -> Result<(Box<Query>, bool, usize)> {
    let lexemes = cursor.rest();
    let ends = |words: &[&str]| {
        lexemes.len() > words.len()
            && lexemes[lexemes.len() - words.len()..].iter().zip(words).all(|(lexeme, word)| lexeme.is_word(word))
    };
    let (length, with_data) = if ends(&["WITH", "NO", "DATA"]) {
        (lexemes.len() - 3, false)
    } else if ends(&["WITH", "DATA"]) {
        (lexemes.len() - 2, true)
    } else {
        let count = lexemes.len();
        return Ok((query::parse_query(cursor)?, true, count));
    };
    let part = Part {
        lexemes: lexemes[..length].to_vec(),
        semicolon: None,
        hive: cursor.is_hive(),
        has_parameters: cursor.has_parameters(),
    };
    let query = query::parse_query(&mut Cursor::new(cursor.sql, &part, cursor.dialect))?;
    cursor.finish();
    Ok((query, with_data, length))
}

/// `name = value`: a text, a number, a word, or `ARRAY['a', 'b']`.
pub(crate) fn property(cursor: &mut Cursor<'_>) -> Result<(String, TableProperty)> {
    let position = cursor.peek().map_or(1, |lexeme| lexeme.position);
    let mut name = match cursor.peek_string() {
        Some(name) => {
            cursor.advance();
            name.to_lowercase()
        }
        None => cursor.identifier()?,
    };
    while cursor.take_token(&Token::Period) {
        name = format!("{name}.{}", cursor.identifier()?);
    }
    cursor.expect_token(&Token::Eq)?;
    let value = if cursor.take_words("ARRAY") {
        cursor.expect_token(&Token::LBracket)?;
        let mut items = Vec::new();
        if !cursor.take_token(&Token::RBracket) {
            items = cursor.comma_separated(text)?;
            cursor.expect_token(&Token::RBracket)?;
        }
        TableProperty { values: items, is_list: true, position }
    } else {
        TableProperty { values: vec![text(cursor)?], is_list: false, position }
    };
    Ok((name, value))
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
        Some(Token::Word(Word { value, .. })) => {
            cursor.advance();
            Ok(value.clone())
        }
        _ => Err(cursor.unexpected()),
    }
}

/// Whether a CREATE TABLE's tokens have a query, whose lexical rules are then those of SQL.
pub(crate) fn has_query(lexemes: &[crate::parse::lexer::Lexeme]) -> bool {
    let mut depth = 0_usize;
    lexemes.windows(2).any(|pair| {
        match pair[0].token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0
            && pair[0].is_word("AS")
            && (pair[1].token.token == Token::LParen
                || ["SELECT", "WITH", "VALUES", "TABLE"].iter().any(|word| pair[1].is_word(word)))
    })
}
