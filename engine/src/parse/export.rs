//! Queries -> files: Athena's UNLOAD and PostgreSQL's COPY ... TO.

use std::collections::HashSet;

use datafusion::sql::sqlparser::ast::Query;
use datafusion::sql::sqlparser::tokenizer::{Token, Word};

use crate::parse::cursor::Cursor;
use crate::parse::ddl::property;
use crate::parse::lexer::{Lexeme, Part};
use crate::parse::{Copy, CopyOption, Dialect, ObjectName, Statement, Unload, query, unsupported};
use crate::{Error, Result};

/// `UNLOAD (query) TO 'location' [WITH (property = value, ...)]`.
pub(crate) fn unload(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect_words("UNLOAD")?;
    let query = bracketed_query(cursor)?;
    cursor.expect_words("TO")?;
    let location = cursor.string()?;
    let properties = if cursor.take_words("WITH") { cursor.parenthesized(property)? } else { Vec::new() };
    Ok(Statement::Unload(Box::new(Unload { query, location, properties })))
}

/// `COPY { table [(columns)] | (query) } TO 'file' [[WITH] (option [value], ...)]`, and the options of PostgreSQL before 9.0.
/// Other forms of COPY are known and not built.
pub(crate) fn copy(cursor: &mut Cursor<'_>) -> Result<Statement> {
    if !writes_a_file(cursor) {
        return Err(unsupported::error(cursor));
    }
    cursor.expect_words("COPY")?;
    let query = if cursor.peek().is_some_and(|lexeme| lexeme.token.token == Token::LParen) {
        bracketed_query(cursor)?
    } else {
        table_query(cursor)?
    };
    cursor.expect_words("TO")?;
    let file = cursor.string()?;
    let is_with = cursor.take_words("WITH");
    let options = if cursor.peek().is_some_and(|lexeme| lexeme.token.token == Token::LParen) {
        cursor.parenthesized(option)?
    } else {
        old_options(cursor, is_with)?
    };
    check_options(&options)?;
    Ok(Statement::Copy(Box::new(Copy { query, file, options })))
}

/// No option is given twice.
pub(super) fn check_options(options: &[CopyOption]) -> Result<()> {
    let mut seen = HashSet::new();
    match options.iter().find(|option| !seen.insert(option.name.as_str())) {
        Some(option) => Err(Error::syntax("conflicting or redundant options").at(option.position)),
        None => Ok(()),
    }
}

/// Whether the words that follow outside all brackets are `TO` and a file's name.
pub(super) fn writes_a_file(cursor: &Cursor<'_>) -> bool {
    let mut depth = 0_usize;
    for pair in cursor.rest().windows(2) {
        match pair[0].token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 && pair[0].is_word("FROM") {
            return false;
        }
        if depth == 0 && pair[0].is_word("TO") {
            return is_string(&pair[1]);
        }
    }
    false
}

fn is_string(lexeme: &Lexeme) -> bool {
    matches!(
        lexeme.token.token,
        Token::SingleQuotedString(_) | Token::EscapedStringLiteral(_) | Token::DollarQuotedString(_)
    )
}

/// `(query)`, whose tokens are a text of their own.
pub(super) fn bracketed_query(cursor: &mut Cursor<'_>) -> Result<Box<Query>> {
    let inside = cursor.rest();
    cursor.expect_token(&Token::LParen)?;
    let mut end = cursor.clone();
    let mut depth = 1_usize;
    let mut length = 0;
    while let Some(lexeme) = end.peek() {
        match lexeme.token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
        length += 1;
        end.advance();
    }
    if depth > 0 {
        return Err(end.unexpected());
    }
    let part = Part {
        lexemes: inside[1..=length].to_vec(),
        semicolon: None,
        hive: cursor.is_hive(),
        has_parameters: cursor.has_parameters(),
    };
    let mut own = Cursor::new(cursor.sql, &part, cursor.dialect);
    if own.at_end() {
        return Err(end.unexpected());
    }
    let query = query::parse_query(&mut own)?;
    end.expect_token(&Token::RParen)?;
    *cursor = end;
    Ok(query)
}

/// `table [(columns)]`, as the query that it means.
fn table_query(cursor: &mut Cursor<'_>) -> Result<Box<Query>> {
    let name = cursor.object_name()?;
    let columns = if cursor.peek().is_some_and(|lexeme| lexeme.token.token == Token::LParen) {
        cursor.parenthesized(Cursor::identifier)?
    } else {
        Vec::new()
    };
    select(&name, &columns, cursor.dialect)
}

/// `SELECT columns FROM table`; without columns all of them.
pub(super) fn select(name: &ObjectName, columns: &[String], dialect: Dialect) -> Result<Box<Query>> {
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let columns: Vec<String> = columns.iter().map(|column| quoted(column)).collect();
    let columns = if columns.is_empty() { "*".to_owned() } else { columns.join(", ") };
    let database = name.database.as_deref().map(|database| format!("{}.", quoted(database))).unwrap_or_default();
    let sql = format!("SELECT {columns} FROM {database}{}", quoted(&name.name));
    match crate::parse::parse(&sql, dialect)?.pop().map(|parsed| parsed.statement) {
        Some(Statement::Query(query)) => Ok(query),
        _ => Err(Error::internal(format!("not a query: {sql}"))),
    }
}

/// `name [value]`, `name (column, ...)`, `name *`.
pub(super) fn option(cursor: &mut Cursor<'_>) -> Result<CopyOption> {
    let position = cursor.peek().map_or(1, |lexeme| lexeme.position);
    let name = cursor.identifier()?;
    if cursor.peek().is_some_and(|lexeme| lexeme.token.token == Token::LParen) {
        let list = Some(cursor.parenthesized(Cursor::identifier)?);
        return Ok(CopyOption { name, value: None, list, position });
    }
    // Some write `FORMAT = csv`, as other statements have it.
    cursor.take_token(&Token::Eq);
    let value = match cursor.peek_string() {
        Some(text) => {
            cursor.advance();
            Some(text)
        }
        None => match cursor.peek().map(|lexeme| &lexeme.token.token) {
            Some(Token::Number(text, _) | Token::Word(Word { value: text, .. })) => {
                cursor.advance();
                Some(text.clone())
            }
            Some(Token::Mul) => {
                cursor.advance();
                Some("*".to_owned())
            }
            _ => None,
        },
    };
    Ok(CopyOption { name, value, list: None, position })
}

/// `[BINARY] [CSV] [HEADER] [DELIMITER [AS] ','] [NULL [AS] ''] [QUOTE [AS] '"'] [ESCAPE [AS] '\']`.
fn old_options(cursor: &mut Cursor<'_>, is_with: bool) -> Result<Vec<CopyOption>> {
    let mut options = Vec::new();
    while !cursor.at_end() {
        let position = cursor.peek().map_or(1, |lexeme| lexeme.position);
        let word = cursor.take_one_of(&["CSV", "BINARY", "HEADER", "DELIMITER", "NULL", "QUOTE", "ESCAPE"]);
        let Some(word) = word else { return Err(cursor.unexpected()) };
        let (name, value) = match word {
            "CSV" | "BINARY" => ("format".to_owned(), Some(word.to_lowercase())),
            "HEADER" => ("header".to_owned(), None),
            _ => {
                cursor.take_words("AS");
                (word.to_lowercase(), Some(cursor.string()?))
            }
        };
        options.push(CopyOption { name, value, list: None, position });
    }
    if is_with && options.is_empty() {
        return Err(cursor.unexpected());
    }
    Ok(options)
}
