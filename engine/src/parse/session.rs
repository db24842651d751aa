//! Statements about the session: settings, transactions, prepared statements.

use datafusion::sql::sqlparser::tokenizer::{Token, Word};

use crate::parse::cursor::Cursor;
use crate::parse::{ParsedStatement, Statement, TransactionModes, ddl, portal};
use crate::{Error, Result};

/// The statement that begins with `word`; `None` when it is none of the session's.
pub(crate) fn statement(word: &str, cursor: &mut Cursor<'_>) -> Result<Option<Statement>> {
    let start = cursor.clone();
    cursor.advance();
    let statement = match word {
        "USE" => Statement::Use { database: ddl::database_name(cursor)? },
        "SET" => set(cursor)?,
        "RESET" => reset(cursor)?,
        "BEGIN" => {
            take_work(cursor);
            Statement::Begin(modes(cursor)?)
        }
        "START" => {
            cursor.expect_words("TRANSACTION")?;
            Statement::Begin(modes(cursor)?)
        }
        "COMMIT" | "END" => {
            if cursor.peek_words("PREPARED") {
                return Err(Error::unsupported("COMMIT PREPARED is not supported"));
            }
            take_work(cursor);
            chain(cursor)?;
            Statement::Commit
        }
        "ROLLBACK" | "ABORT" => rollback(word, cursor)?,
        "SAVEPOINT" => Statement::Savepoint { name: cursor.identifier_as_written()? },
        "RELEASE" => {
            if cursor.peek_nth(1).is_some() {
                cursor.take_words("SAVEPOINT");
            }
            Statement::Release { name: cursor.identifier_as_written()? }
        }
        "DISCARD" => {
            let what = cursor.take_one_of(&["ALL", "PLANS", "SEQUENCES", "TEMPORARY", "TEMP"]);
            let what = what.ok_or_else(|| cursor.unexpected())?;
            Statement::Discard { what: if what == "TEMPORARY" { "TEMP" } else { what }.to_owned() }
        }
        "PREPARE" => {
            if cursor.peek_words("TRANSACTION") && cursor.peek_nth(1).is_some_and(|next| !next.is_word("AS")) {
                return Err(Error::unsupported("PREPARE TRANSACTION is not supported"));
            }
            prepare(cursor)?
        }
        "EXECUTE" => execute(cursor)?,
        "DEALLOCATE" => {
            if cursor.peek_nth(1).is_some() {
                cursor.take_words("PREPARE");
            }
            if cursor.take_words("ALL") {
                Statement::Deallocate { name: None }
            } else {
                Statement::Deallocate { name: Some(cursor.identifier_as_written()?) }
            }
        }
        "KILL" => {
            cursor.take_words("QUERY");
            Statement::Kill { query_id: cursor.string()? }
        }
        "CHECKPOINT" => Statement::NoOp { tag: "CHECKPOINT" },
        "DECLARE" => portal::declare(cursor)?,
        "FETCH" => portal::fetch(cursor, false)?,
        "MOVE" => portal::fetch(cursor, true)?,
        "CLOSE" => portal::close(cursor)?,
        // Nothing notifies anyone here, so listening is honest: nothing will be heard.
        "LISTEN" => {
            cursor.identifier_as_written()?;
            Statement::NoOp { tag: "LISTEN" }
        }
        "UNLISTEN" => {
            if !cursor.take_token(&Token::Mul) {
                cursor.identifier_as_written()?;
            }
            Statement::NoOp { tag: "UNLISTEN" }
        }
        // A snapshot can't change under a reader: every lock is granted.
        "LOCK" => {
            cursor.take_words("TABLE");
            cursor.take_words("ONLY");
            cursor.comma_separated(Cursor::object_name)?;
            if cursor.take_words("IN") {
                while !cursor.peek_words("MODE") && cursor.skip_tree() {}
                cursor.expect_words("MODE")?;
            }
            cursor.take_words("NOWAIT");
            Statement::NoOp { tag: "LOCK TABLE" }
        }
        _ => {
            *cursor = start;
            return Ok(None);
        }
    };
    Ok(Some(statement))
}

/// A setting's name: `work_mem`, `"DateStyle"` or `custom.name`, spelled as written.
pub(crate) fn setting_name(cursor: &mut Cursor<'_>) -> Result<String> {
    let mut name = setting_word(cursor)?;
    while cursor.take_token(&Token::Period) {
        name = format!("{name}.{}", setting_word(cursor)?);
    }
    Ok(name)
}

fn setting_word(cursor: &mut Cursor<'_>) -> Result<String> {
    match cursor.peek().map(|lexeme| &lexeme.token.token) {
        Some(Token::Word(Word { value, .. })) if !value.is_empty() => {
            cursor.advance();
            Ok(value.clone())
        }
        _ => Err(cursor.unexpected()),
    }
}

/// After SET.
fn set(cursor: &mut Cursor<'_>) -> Result<Statement> {
    if cursor.take_words("SESSION CHARACTERISTICS AS TRANSACTION") {
        return required_modes(cursor, true);
    }
    let local = if cursor.peek_nth(1).is_some_and(|next| matches!(next.token.token, Token::Eq)) {
        // `SET session = 1`: a setting of that name.
        false
    } else {
        cursor.take_words("LOCAL") || {
            if !cursor.peek_words("SESSION AUTHORIZATION") {
                cursor.take_words("SESSION");
            }
            false
        }
    };
    if cursor.take_words("TRANSACTION") {
        if cursor.peek_words("SNAPSHOT") {
            return Err(Error::unsupported("SET TRANSACTION SNAPSHOT is not supported"));
        }
        return required_modes(cursor, false);
    }
    if cursor.take_words("TIME ZONE") {
        let values = if cursor.take_words("LOCAL") || cursor.take_words("DEFAULT") {
            None
        } else if cursor.take_words("INTERVAL") {
            let text = cursor.string()?;
            if cursor.take_words("HOUR") && cursor.take_words("TO") {
                cursor.expect_words("MINUTE")?;
            }
            Some(vec![format!("INTERVAL '{text}'")])
        } else {
            Some(vec![value(cursor)?])
        };
        return Ok(Statement::Set { name: "timezone".to_owned(), values, local });
    }
    if cursor.take_words("NAMES") {
        let values = if cursor.at_end() || cursor.take_words("DEFAULT") { None } else { Some(vec![value(cursor)?]) };
        return Ok(Statement::Set { name: "client_encoding".to_owned(), values, local });
    }
    if cursor.peek_words("SCHEMA") && cursor.peek_nth(1).is_some_and(|next| next.token.token != Token::Eq) {
        cursor.advance();
        return Ok(Statement::Set { name: "search_path".to_owned(), values: Some(vec![cursor.string()?]), local });
    }
    if let Some(statement) = ddl::set_role(cursor, local)? {
        return Ok(statement);
    }
    if cursor.take_words("CONSTRAINTS") {
        while cursor.skip_tree() {}
        return Ok(Statement::NoOp { tag: "SET CONSTRAINTS" });
    }
    let name = setting_name(cursor)?;
    if !cursor.take_words("TO") && !cursor.take_token(&Token::Eq) {
        return Err(cursor.unexpected());
    }
    let values = if cursor.take_words("DEFAULT") { None } else { Some(cursor.comma_separated(value)?) };
    Ok(Statement::Set { name, values, local })
}

/// A setting's value: a string, a word, or a number.
pub(crate) fn value(cursor: &mut Cursor<'_>) -> Result<String> {
    if let Some(text) = cursor.peek_string() {
        cursor.advance();
        return Ok(text);
    }
    let sign = if cursor.take_token(&Token::Minus) {
        "-"
    } else {
        cursor.take_token(&Token::Plus);
        ""
    };
    match cursor.peek().map(|lexeme| &lexeme.token.token) {
        Some(Token::Number(number, _)) => {
            cursor.advance();
            Ok(format!("{sign}{number}"))
        }
        Some(Token::Word(_)) if sign.is_empty() => cursor.identifier_as_written(),
        _ => Err(cursor.unexpected()),
    }
}

/// After RESET.
fn reset(cursor: &mut Cursor<'_>) -> Result<Statement> {
    if cursor.take_words("ALL") {
        return Ok(Statement::Reset { name: None });
    }
    if cursor.take_words("TIME ZONE") {
        return Ok(Statement::Reset { name: Some("timezone".to_owned()) });
    }
    if cursor.take_words("TRANSACTION ISOLATION LEVEL") {
        return Ok(Statement::Reset { name: Some("transaction_isolation".to_owned()) });
    }
    if cursor.take_words("SESSION AUTHORIZATION") {
        return Ok(ddl::reset_role(true));
    }
    if cursor.take_words("ROLE") {
        return Ok(ddl::reset_role(false));
    }
    Ok(Statement::Reset { name: Some(setting_name(cursor)?) })
}

fn take_work(cursor: &mut Cursor<'_>) {
    cursor.take_one_of(&["WORK", "TRANSACTION"]);
}

fn chain(cursor: &mut Cursor<'_>) -> Result<()> {
    if cursor.take_words("AND CHAIN") {
        return Err(Error::unsupported("AND CHAIN is not supported"));
    }
    cursor.take_words("AND NO CHAIN");
    Ok(())
}

/// After ROLLBACK or ABORT.
fn rollback(word: &str, cursor: &mut Cursor<'_>) -> Result<Statement> {
    if cursor.peek_words("PREPARED") {
        return Err(Error::unsupported("ROLLBACK PREPARED is not supported"));
    }
    take_work(cursor);
    if word == "ROLLBACK" && cursor.take_words("TO") {
        if cursor.peek_nth(1).is_some() {
            cursor.take_words("SAVEPOINT");
        }
        return Ok(Statement::RollbackTo { name: cursor.identifier_as_written()? });
    }
    chain(cursor)?;
    Ok(Statement::Rollback)
}

fn required_modes(cursor: &mut Cursor<'_>, session: bool) -> Result<Statement> {
    if cursor.at_end() {
        return Err(cursor.unexpected());
    }
    Ok(Statement::SetTransaction { modes: modes(cursor)?, session })
}

/// `ISOLATION LEVEL ..`, `READ ONLY`, `READ WRITE`, `[NOT] DEFERRABLE`, with or without commas.
fn modes(cursor: &mut Cursor<'_>) -> Result<TransactionModes> {
    let mut modes = TransactionModes::default();
    let mut comma = false;
    while !cursor.at_end() {
        if cursor.take_words("ISOLATION LEVEL") {
            let level = cursor.take_one_of(&["SERIALIZABLE", "REPEATABLE READ", "READ COMMITTED", "READ UNCOMMITTED"]);
            modes.isolation = Some(match level {
                Some("SERIALIZABLE") => "serializable",
                Some("REPEATABLE READ") => "repeatable read",
                Some("READ COMMITTED") => "read committed",
                Some(_) => "read uncommitted",
                None => return Err(cursor.unexpected()),
            });
        } else if cursor.take_words("READ ONLY") {
            modes.read_only = Some(true);
        } else if cursor.take_words("READ WRITE") {
            modes.read_only = Some(false);
        } else if !cursor.take_words("NOT DEFERRABLE") && !cursor.take_words("DEFERRABLE") {
            return Err(cursor.unexpected());
        }
        comma = cursor.take_token(&Token::Comma);
    }
    if comma { Err(cursor.unexpected()) } else { Ok(modes) }
}

/// After PREPARE: `name [(types)] AS statement`, and Trino's `name FROM statement`.
fn prepare(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let name = cursor.identifier_as_written()?;
    let parameter_types = if cursor.peek().is_some_and(|lexeme| lexeme.token.token == Token::LParen) {
        cursor.parenthesized(ddl::data_type)?
    } else {
        Vec::new()
    };
    if !cursor.take_words("AS") {
        cursor.expect_words("FROM")?;
    }
    cursor.refuse_parameters()?;
    let sql = cursor.rest_text().to_owned();
    let place = cursor.clone();
    let offset = cursor.peek().map_or(0, |first| first.position - 1);
    // The statements that PostgreSQL can prepare; a PREPARE of a PREPARE would nest without end.
    match cursor.peek_word().as_deref() {
        None | Some("SELECT" | "WITH" | "VALUES" | "TABLE" | "INSERT" | "UPDATE" | "DELETE" | "MERGE" | "UNLOAD") => {}
        Some(_) => return Err(place.unexpected()),
    }
    let statement = Box::new(ParsedStatement { statement: crate::parse::parse_one(cursor)?, sql, offset });
    Ok(Statement::Prepare { name, parameter_types, statement })
}

/// After EXECUTE: `name [(arguments)]`, and Trino's `name USING arguments`.
fn execute(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let name = cursor.identifier_as_written()?;
    let arguments = if cursor.take_words("USING") {
        cursor.comma_separated(argument)?
    } else if cursor.peek().is_some_and(|lexeme| lexeme.token.token == Token::LParen) {
        cursor.parenthesized(argument)?
    } else {
        Vec::new()
    };
    Ok(Statement::Execute { name, arguments })
}

/// An argument's own text, up to the comma or bracket that ends it.
fn argument(cursor: &mut Cursor<'_>) -> Result<String> {
    let Some(first) = cursor.peek() else { return Err(cursor.unexpected()) };
    let mut end = first.start;
    while let Some(lexeme) = cursor.peek() {
        if matches!(lexeme.token.token, Token::Comma | Token::RParen) {
            break;
        }
        if !cursor.skip_tree() {
            return Err(cursor.unexpected());
        }
        end = cursor.previous().map_or(end, |lexeme| lexeme.end);
    }
    if end == first.start { Err(cursor.unexpected()) } else { Ok(cursor.sql[first.start..end].to_owned()) }
}
