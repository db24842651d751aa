//! INSERT INTO and INSERT OVERWRITE, in PostgreSQL's, Athena's and Hive's words.

use datafusion::sql::sqlparser::tokenizer::Token;

use crate::parse::cursor::Cursor;
use crate::parse::ddl::{constant, property};
use crate::parse::{Insert, Statement, query};
use crate::{Error, Result};

/// `INSERT INTO [TABLE] t [PARTITION (k [= v], ...)] [(a, b)] [WITH (bookmark = 'name')] query` and `INSERT OVERWRITE [TABLE] ...`.
pub(crate) fn insert(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect_words("INSERT")?;
    let overwrite = if cursor.take_words("OVERWRITE") {
        if cursor.peek_words("DIRECTORY") || cursor.peek_words("LOCAL DIRECTORY") {
            return Err(Error::unsupported("INSERT OVERWRITE DIRECTORY is not supported")
                .with_hint("Use UNLOAD (query) TO 'location'."));
        }
        cursor.take_words("INTO");
        true
    } else {
        cursor.expect_words("INTO")?;
        false
    };
    // A table may be called so, too.
    let is_word = cursor.peek_nth(1).is_some_and(|next| matches!(next.token.token, Token::Word(_)))
        && !cursor.peek_nth(1).is_some_and(|next| ["SELECT", "WITH", "VALUES"].iter().any(|word| next.is_word(word)));
    if is_word {
        cursor.take_words("TABLE");
    }
    let table = cursor.object_name()?;
    let mut partition = Vec::new();
    if cursor.take_words("PARTITION") {
        partition = cursor.parenthesized(|cursor| {
            let key = cursor.identifier()?;
            let value = if cursor.take_token(&Token::Eq) { Some(constant(cursor)?) } else { None };
            Ok((key, value))
        })?;
        if cursor.peek_words("IF NOT EXISTS") {
            return Err(Error::unsupported("IF NOT EXISTS of INSERT is not supported"));
        }
    }
    let is_query = |cursor: &Cursor<'_>, count: usize| {
        cursor.peek_nth(count).is_some_and(|next| {
            next.token.token == Token::LParen
                || ["SELECT", "WITH", "VALUES", "TABLE"].iter().any(|word| next.is_word(word))
        })
    };
    let mut columns = Vec::new();
    if cursor.peek().is_some_and(|next| next.token.token == Token::LParen) && !is_query(cursor, 1) {
        columns = cursor.parenthesized(|cursor| {
            let position = cursor.peek().map_or(1, |lexeme| lexeme.position);
            Ok((cursor.identifier()?, position))
        })?;
    }
    let mut properties = Vec::new();
    // WITH before a query names it first.
    if cursor.peek_words("WITH") && cursor.peek_nth(1).is_some_and(|next| next.token.token == Token::LParen) {
        cursor.advance();
        properties = cursor.parenthesized(property)?;
    }
    if cursor.peek_words("DEFAULT VALUES") {
        return Err(Error::unsupported("INSERT ... DEFAULT VALUES is not supported")
            .with_hint("Columns have no defaults here; name the values."));
    }
    if cursor.peek_words("OVERRIDING") {
        return Err(Error::unsupported("OVERRIDING of INSERT is not supported"));
    }
    for (words, name) in [("ON", "ON CONFLICT"), ("RETURNING", "RETURNING")] {
        if let Some(lexeme) = top_level(cursor, words) {
            return Err(Error::unsupported(format!("INSERT ... {name} is not supported")).at(lexeme));
        }
    }
    let query = query::parse_query(cursor)?;
    Ok(Statement::Insert(Box::new(Insert { table, columns, overwrite, partition, properties, query })))
}

/// The position of `RETURNING` or `ON CONFLICT` outside all brackets.
fn top_level(cursor: &Cursor<'_>, word: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let lexemes = cursor.rest();
    for (index, lexeme) in lexemes.iter().enumerate() {
        match lexeme.token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            _ => {}
        }
        let follows = word != "ON" || lexemes.get(index + 1).is_some_and(|next| next.is_word("CONFLICT"));
        if depth == 0 && lexeme.is_word(word) && follows {
            return Some(lexeme.position);
        }
    }
    None
}
