//! Queries: tokens -> sqlparser -> [`rewrite`](crate::parse::rewrite) -> [`Statement::Query`] and [`Statement::Explain`].
//!
//! Two Trino and PostgreSQL forms that sqlparser lacks are put into its words on the tokens, before it sees them:
//! `TABLE t` becomes `SELECT * FROM t`, and `VALUES 1, 2` becomes `VALUES (1), (2)`.

use datafusion::sql::sqlparser::ast::Query;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan};

use crate::limits;
use crate::parse::cursor::Cursor;
use crate::parse::dialect::LimnosDialect;
use crate::parse::lexer::Lexeme;
use crate::parse::{Dialect, Explain, ExplainFormat, Statement, rewrite};
use crate::{Error, ErrorCode, Result};

/// A whole statement that is a query.
pub(crate) fn statement(cursor: &mut Cursor<'_>) -> Result<Statement> {
    Ok(Statement::Query(parse_query(cursor)?))
}

/// `EXPLAIN [ANALYZE] [VERBOSE] query` and `EXPLAIN (option, ...) query`.
pub(crate) fn explain(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect_words("EXPLAIN")?;
    let mut options = ExplainOptions::default();
    if cursor.take_words("ANALYZE") || cursor.take_words("ANALYSE") {
        options.analyze = true;
    }
    if cursor.take_words("VERBOSE") {
        options.verbose = true;
    }
    // `EXPLAIN (SELECT 1)` has a bracket, too, but no option is called like a query's first word.
    let has_options = cursor.peek().is_some_and(|lexeme| lexeme.token.token == Token::LParen)
        && cursor.peek_nth(1).and_then(Lexeme::word).is_some_and(|word| !begins_query(&word));
    if has_options {
        cursor.parenthesized(|cursor| explain_option(cursor, &mut options))?;
    }
    if cursor.peek_words("INSERT") || cursor.peek_words("CREATE TABLE") {
        let write = super::parse_one(cursor)?;
        let query = match &write {
            Statement::Insert(insert) => Some(insert.query.clone()),
            Statement::CreateTableAs(create) => create.query.clone(),
            _ => None,
        };
        let Some(query) = query else {
            return Err(Error::unsupported("EXPLAIN of a statement without a query is not supported"));
        };
        let ExplainOptions { analyze, verbose, cost, format } = options;
        if analyze {
            return Err(Error::unsupported("EXPLAIN ANALYZE of a statement that writes is not supported")
                .with_hint("Use EXPLAIN, or EXPLAIN ANALYZE of the query alone."));
        }
        return Ok(Statement::Explain(Explain { analyze, verbose, cost, format, query, write: Some(Box::new(write)) }));
    }
    if let Some(word) = cursor.peek_word()
        && !begins_query(&word)
    {
        let error =
            super::unsupported::name(cursor).map(|name| Error::unsupported(format!("EXPLAIN {name} is not supported")));
        return Err(error.unwrap_or_else(|| cursor.unexpected()).with_hint("EXPLAIN works on queries."));
    }
    let ExplainOptions { analyze, verbose, cost, format } = options;
    Ok(Statement::Explain(Explain { analyze, verbose, cost, format, query: parse_query(cursor)?, write: None }))
}

#[derive(Default)]
struct ExplainOptions {
    analyze: bool,
    verbose: bool,
    cost: bool,
    format: ExplainFormat,
}

fn begins_query(word: &str) -> bool {
    matches!(word, "SELECT" | "WITH" | "VALUES" | "TABLE")
}

fn explain_option(cursor: &mut Cursor<'_>, options: &mut ExplainOptions) -> Result<()> {
    let option = cursor.peek().map_or(1, |lexeme| lexeme.position);
    let name = cursor.identifier()?;
    let argument = match cursor.peek().map(|lexeme| &lexeme.token.token) {
        Some(Token::Word(_)) => Some(cursor.identifier()?),
        Some(Token::Number(number, _)) => {
            cursor.advance();
            Some(number.clone())
        }
        Some(Token::SingleQuotedString(_)) => Some(cursor.string()?.to_lowercase()),
        _ => None,
    };
    let switch = || match argument.as_deref() {
        None | Some("true" | "on" | "1") => Ok(true),
        Some("false" | "off" | "0") => Ok(false),
        Some(_) => Err(Error::syntax(format!("{name} requires a Boolean value")).at(option)),
    };
    match name.as_str() {
        "analyze" | "analyse" => options.analyze = switch()?,
        "verbose" => options.verbose = switch()?,
        // Ours: what will be read. PostgreSQL's COSTS, in the plural, are its planner's estimates.
        "cost" => options.cost = switch()?,
        // What these add is always shown, or has no meaning here; PostgreSQL's tools send them.
        "costs" | "settings" | "buffers" | "wal" | "timing" | "summary" => {
            switch()?;
        }
        "format" => match argument.as_deref() {
            Some("text") => options.format = ExplainFormat::Text,
            Some("json") => options.format = ExplainFormat::Json,
            Some(format @ ("xml" | "yaml" | "graphviz")) => {
                return Err(Error::unsupported(format!("EXPLAIN format \"{format}\" is not supported"))
                    .with_hint("Use FORMAT TEXT or FORMAT JSON.")
                    .at(option));
            }
            other => {
                let message =
                    format!("unrecognized value for EXPLAIN option \"format\": \"{}\"", other.unwrap_or_default());
                return Err(Error::new(ErrorCode::InvalidParameterValue, message).at(option));
            }
        },
        // Trino's: there is one plan here, the logical one and what it became.
        "type" => match argument.as_deref() {
            Some("logical" | "distributed") => {}
            Some(kind @ ("validate" | "io")) => {
                let kind = kind.to_uppercase();
                return Err(Error::unsupported(format!("EXPLAIN (TYPE {kind}) is not supported")).at(option));
            }
            other => {
                let message =
                    format!("unrecognized value for EXPLAIN option \"type\": \"{}\"", other.unwrap_or_default());
                return Err(Error::new(ErrorCode::InvalidParameterValue, message).at(option));
            }
        },
        _ => {
            return Err(Error::syntax(format!("unrecognized EXPLAIN option \"{name}\""))
                .with_hint(
                    "Options are ANALYZE, VERBOSE, COST, COSTS, SETTINGS, BUFFERS, WAL, TIMING, SUMMARY, FORMAT and TYPE.",
                )
                .at(option));
        }
    }
    Ok(())
}

/// The query that the rest of the statement is.
pub(crate) fn parse_query(cursor: &mut Cursor<'_>) -> Result<Box<Query>> {
    if cursor.at_end() {
        return Err(cursor.unexpected());
    }
    if let Some(first) = cursor.peek()
        && first.token.token != Token::LParen
        && !first.word().is_some_and(|word| begins_query(&word))
    {
        return Err(cursor.unexpected());
    }
    let lexemes = cursor.rest();
    let dialect = LimnosDialect::for_tokens(cursor.dialect, lexemes.len());
    let mut parser = Parser::new(&dialect)
        // The tokens bound the depth already; this is for what they don't show. A level of subqueries takes four.
        .with_recursion_limit(4 * limits::SQL_DEPTH_MAX)
        .with_tokens_with_locations(tokens(lexemes, cursor.dialect));
    let parsed = parser.parse_query();
    let mut query = match parsed {
        Ok(query) => query,
        Err(error) => {
            let current = parser.peek_token_ref().clone();
            return Err(syntax_error(cursor, lexemes, &error, &current));
        }
    };
    let next = parser.peek_token_ref();
    if next.token != Token::EOF {
        return Err(error_at(cursor, lexemes, next.span));
    }
    rewrite::rewrite(&mut query).map_err(|error| locate_table(lexemes, error))?;
    cursor.finish();
    Ok(query)
}

/// A word that can't be a table's name, which the tree no longer knows the place of: it stands where a table should.
fn locate_table(lexemes: &[Lexeme], error: Error) -> Error {
    let Some(word) = error.message.strip_prefix("syntax error at or near \"").and_then(|rest| rest.strip_suffix('"'))
    else {
        return error;
    };
    let stands_there = |pair: &&[Lexeme]| {
        let before = &pair[0];
        let introduces = before.is_word("FROM") || before.is_word("JOIN") || before.token.token == Token::Comma;
        introduces && pair[1].is_word(&word.to_uppercase())
    };
    match lexemes.windows(2).find(stands_there) {
        Some(pair) if error.position.is_none() => {
            let position = pair[1].position;
            error.at(position)
        }
        _ => error,
    }
}

/// sqlparser's error in PostgreSQL's words.
fn syntax_error(cursor: &Cursor<'_>, lexemes: &[Lexeme], error: &ParserError, current: &TokenWithSpan) -> Error {
    let message = match error {
        ParserError::RecursionLimitExceeded => {
            return Error::new(ErrorCode::StatementTooComplex, "statement is too complex")
                .with_detail("Its expressions are nested too deep, or take too many attempts to parse.");
        }
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => message,
    };
    let (text, span) = match message.rsplit_once(" at Line: ") {
        Some((text, place)) => {
            let place = place.split_once(", Column: ").and_then(|(line, column)| {
                Some((line.trim().parse::<u64>().ok()?, column.trim().parse::<u64>().ok()?))
            });
            let span = place.map(|(line, column)| {
                let location = Location::new(line, column);
                Span::new(location, location)
            });
            (text, span.unwrap_or(current.span))
        }
        None if message.ends_with("found: EOF") => (message.as_str(), Span::empty()),
        None => (message.as_str(), current.span),
    };
    let error = error_at(cursor, lexemes, span);
    match text.strip_prefix("Expected: ").and_then(|text| text.split_once(", found:")) {
        // sqlparser's last attempt is often not what was meant; only plain words are worth telling.
        Some((expected, _)) if expected.len() < 60 => {
            error.with_detail(format!("Expected {}.", expected.trim_end_matches('.')))
        }
        Some(_) => error,
        None => error.with_detail(format!("{}.", text.trim_end_matches('.'))),
    }
}

/// A syntax error at the token that begins where `span` does; at the end when none does.
fn error_at(cursor: &Cursor<'_>, lexemes: &[Lexeme], span: Span) -> Error {
    let index = lexemes.iter().position(|lexeme| lexeme.token.span.start == span.start);
    cursor.unexpected_nth(index.unwrap_or(lexemes.len()))
}

/// Whether this FROM stands in `trim(TRAILING FROM x)`, which lacks the characters that sqlparser wants there and SQL says are
/// blanks (`true`), or in `trim(FROM x)`, where it says nothing (`false`).
fn trim_without_characters(lexemes: &[Lexeme], index: usize) -> Option<bool> {
    let before = |count: usize| index.checked_sub(count).and_then(|at| lexemes.get(at));
    let is_word = |count: usize, word: &str| before(count).is_some_and(|lexeme| lexeme.is_word(word));
    let opens = |count: usize| {
        is_word(count + 1, "TRIM") && before(count).is_some_and(|lexeme| lexeme.token.token == Token::LParen)
    };
    if !lexemes.get(index)?.is_word("FROM") {
        return None;
    }
    if opens(1) {
        return Some(false);
    }
    (opens(2) && ["LEADING", "TRAILING", "BOTH"].iter().any(|side| is_word(1, side))).then_some(true)
}

/// The tokens as sqlparser is to see them.
fn tokens(lexemes: &[Lexeme], dialect: Dialect) -> Vec<TokenWithSpan> {
    let mut tokens = Vec::with_capacity(lexemes.len() + 8);
    let mut parameters = 0_usize;
    let mut index = 0;
    while let Some(lexeme) = lexemes.get(index) {
        let span = lexeme.token.span;
        if starts_query(lexemes, index) {
            let next = lexemes.get(index + 1);
            if lexeme.is_word("TABLE") && next.is_some_and(|next| matches!(next.token.token, Token::Word(_))) {
                tokens.push(TokenWithSpan::new(Token::make_keyword("SELECT"), span));
                tokens.push(TokenWithSpan::new(Token::Mul, span));
                tokens.push(TokenWithSpan::new(Token::make_keyword("FROM"), span));
                index += 1;
                continue;
            }
            if lexeme.is_word("VALUES") {
                tokens.push(lexeme.token.clone());
                index += 1;
                bare_values(lexemes, index, &mut tokens, &mut parameters, dialect, &mut index);
                continue;
            }
        }
        match trim_without_characters(lexemes, index) {
            Some(true) => tokens.push(TokenWithSpan::new(Token::SingleQuotedString(" ".to_owned()), span)),
            Some(false) => {
                index += 1;
                continue;
            }
            None => {}
        }
        tokens.push(parameter(&lexeme.token, &mut parameters, dialect));
        index += 1;
    }
    tokens
}

/// Trino's `?` becomes `$n`, which is what DataFusion knows.
fn parameter(token: &TokenWithSpan, parameters: &mut usize, dialect: Dialect) -> TokenWithSpan {
    match &token.token {
        Token::Placeholder(text) if text == "?" && dialect == Dialect::Athena => {
            *parameters += 1;
            TokenWithSpan::new(Token::Placeholder(format!("${parameters}")), token.span)
        }
        _ => token.clone(),
    }
}

/// Whether a query begins at `index`.
fn starts_query(lexemes: &[Lexeme], index: usize) -> bool {
    let Some(previous) = index.checked_sub(1).and_then(|index| lexemes.get(index)) else { return true };
    matches!(previous.token.token, Token::LParen | Token::RParen)
        || ["UNION", "EXCEPT", "INTERSECT", "ALL", "DISTINCT"].iter().any(|word| previous.is_word(word))
}

/// Copies the items after VALUES, with brackets around those that have none. A nested query's own VALUES inside an item
/// is met by the caller only when the item is bracketed, so items are copied token by token up to the first bracket.
fn bare_values(
    lexemes: &[Lexeme],
    start: usize,
    tokens: &mut Vec<TokenWithSpan>,
    parameters: &mut usize,
    dialect: Dialect,
    index: &mut usize,
) {
    // An item that begins with a bracket is a row (`(1, 2)`), or an expression (`(1) + 2`), which needs brackets, too.
    let mut at = start;
    let is_bare = |at: usize| {
        lexemes.get(at).is_some_and(|lexeme| {
            !lexeme.is_word("ROW")
                && (lexeme.token.token != Token::LParen || {
                    let after = after_bracket(lexemes, at);
                    lexemes.get(after).is_some_and(|next| next.token.token != Token::Comma && !ends_values(next))
                })
        })
    };
    // The usual form, where all items are rows, is left to the caller: rows may hold queries.
    if !is_bare(at) || lexemes.get(at).is_some_and(|lexeme| ends_values(lexeme) || lexeme.token.token == Token::Comma) {
        *index = at;
        return;
    }
    while let Some(first) = lexemes.get(at) {
        let bare = is_bare(at);
        if bare {
            tokens.push(TokenWithSpan::new(Token::LParen, first.token.span));
        }
        let mut depth = 0_usize;
        while let Some(lexeme) = lexemes.get(at) {
            if depth == 0 && (lexeme.token.token == Token::Comma || ends_values(lexeme)) {
                break;
            }
            match lexeme.token.token {
                Token::LParen | Token::LBracket => depth += 1,
                Token::RParen | Token::RBracket => depth = depth.saturating_sub(1),
                _ => {}
            }
            tokens.push(parameter(&lexeme.token, parameters, dialect));
            at += 1;
        }
        if bare {
            tokens.push(TokenWithSpan::new(Token::RParen, first.token.span));
        }
        match lexemes.get(at) {
            Some(lexeme) if lexeme.token.token == Token::Comma => {
                tokens.push(lexeme.token.clone());
                at += 1;
            }
            _ => break,
        }
    }
    *index = at;
}

fn after_bracket(lexemes: &[Lexeme], open: usize) -> usize {
    let mut depth = 0_usize;
    for (index, lexeme) in lexemes.iter().enumerate().skip(open) {
        match lexeme.token.token {
            Token::LParen => depth += 1,
            Token::RParen => {
                depth -= 1;
                if depth == 0 {
                    return index + 1;
                }
            }
            _ => {}
        }
    }
    lexemes.len()
}

fn ends_values(lexeme: &Lexeme) -> bool {
    lexeme.token.token == Token::RParen
        || ["UNION", "EXCEPT", "INTERSECT", "ORDER", "LIMIT", "OFFSET", "FETCH", "AS"]
            .iter()
            .any(|word| lexeme.is_word(word))
}
