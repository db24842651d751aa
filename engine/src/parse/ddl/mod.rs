//! Our own parser of DDL in Hive's, Athena's and PostgreSQL's words. One file per kind of object.

mod alter;
mod comment;
mod constraint;
mod crawler;
mod create_as;
mod database;
mod dataset;
mod grant;
mod partition;
mod role;
mod schedule;
mod show;
mod statistics;
mod storage;
mod table;
mod view;

use datafusion::sql::sqlparser::tokenizer::{Token, Word};
use limnos_catalog::CreateMode;

use crate::Result;
use crate::parse::cursor::Cursor;
use crate::parse::report::ReportStatement;
use crate::parse::{Statement, unsupported};

pub(crate) use alter::alter;
pub(crate) use comment::comment;
pub(crate) use crawler::run;
pub(crate) use create_as::{has_query, property};
pub(crate) use database::database_name;
pub(crate) use dataset::{redundant as redundant_option, refresh};
pub(crate) use grant::grant;
pub(crate) use partition::constant;
pub(crate) use role::{masked, masked_error, may_hold_password, reassign, reset as reset_role, set as set_role};
pub(crate) use schedule::schedule;
pub(crate) use show::{describe, show};
pub(crate) use statistics::analyze;
pub use storage::Stored;
pub(crate) use storage::{Storage, resolve_format, resolve_serde};
pub(crate) use table::data_type;

/// CREATE ...
pub(crate) fn create(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let start = cursor.clone();
    cursor.expect_words("CREATE")?;
    let or_replace = cursor.take_words("OR REPLACE");
    if !or_replace && (cursor.take_words("DATABASE") || cursor.take_words("SCHEMA")) {
        return database::create(cursor);
    }
    if !or_replace
        && !cursor.peek_words("USER MAPPING")
        && let Some(is_user) = role::take_kind(cursor)
    {
        return role::create(cursor, is_user);
    }
    if cursor.take_words("EXTERNAL TABLE") {
        return table::create_external(cursor, or_replace);
    }
    if cursor.take_words("VIEW") {
        return view::create(cursor, or_replace);
    }
    if let Some(spelling) = dataset::take_kind(cursor) {
        return dataset::create(cursor, or_replace, spelling);
    }
    if cursor.take_words("CRAWLER") {
        return crawler::create(cursor, or_replace);
    }
    if cursor.take_words("REPORT") {
        let mode = create_mode(cursor, or_replace)?;
        return crate::parse::report::create(cursor, mode);
    }
    if cursor.take_words("CLASSIFIER") {
        return crawler::create_classifier(cursor, or_replace);
    }
    if !or_replace && cursor.take_words("TABLE") {
        return create_as::create(cursor);
    }
    if !or_replace && cursor.take_words("INDEX") {
        // No index would help a scan of files: statistics skip what isn't wanted. Clients make them for every table.
        while cursor.skip_tree() {}
        return Ok(Statement::NoOp { tag: "CREATE INDEX" });
    }
    Err(unsupported::error(&start))
}

/// DROP ...
pub(crate) fn drop(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let start = cursor.clone();
    cursor.expect_words("DROP")?;
    if cursor.take_words("DATABASE") || cursor.take_words("SCHEMA") {
        return database::drop(cursor);
    }
    if cursor.take_words("OWNED") {
        return role::drop_owned(cursor);
    }
    if !cursor.peek_words("USER MAPPING") && role::take_kind(cursor).is_some() {
        return role::drop(cursor);
    }
    if let Some(spelling) = dataset::take_kind(cursor) {
        return dataset::drop(cursor, spelling);
    }
    if let Some(kind) = cursor.take_one_of(&["CRAWLER", "CLASSIFIER"]) {
        let if_exists = cursor.if_exists();
        let name = cursor.identifier()?;
        return Ok(match kind {
            "CRAWLER" => Statement::DropCrawler { name, if_exists },
            _ => Statement::DropClassifier { name, if_exists },
        });
    }
    if cursor.take_words("REPORT") {
        let (if_exists, name) = (cursor.if_exists(), cursor.identifier()?);
        return Ok(Statement::Report(Box::new(ReportStatement::Drop { name, if_exists })));
    }
    let view = if cursor.take_words("VIEW") {
        true
    } else if cursor.take_words("TABLE") {
        false
    } else {
        return Err(unsupported::error(&start));
    };
    let if_exists = cursor.if_exists();
    let names = cursor.comma_separated(Cursor::object_name)?;
    if cursor.take_words("CASCADE") {
        // Nothing depends on tables in a way that would be dropped with them; views are checked when they are used.
    } else if !cursor.take_words("RESTRICT") {
        // Hive's PURGE is about the files of managed tables; ours are external.
        cursor.take_words("PURGE");
    }
    Ok(Statement::Drop { view, names, if_exists })
}

/// MSCK REPAIR TABLE t [ADD | DROP | SYNC PARTITIONS]
pub(crate) fn repair(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect_words("MSCK REPAIR TABLE")?;
    let table = cursor.object_name()?;
    let (add, drop) = match cursor.take_one_of(&["ADD PARTITIONS", "DROP PARTITIONS", "SYNC PARTITIONS"]) {
        Some("DROP PARTITIONS") => (false, true),
        Some("SYNC PARTITIONS") => (true, true),
        _ => (true, false),
    };
    Ok(Statement::RepairTable { table, add, drop })
}

/// CRAWL 'location' [INTO [DATABASE] d]
pub(crate) fn crawl(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect_words("CRAWL")?;
    let location = cursor.string()?;
    let database = if cursor.take_words("INTO") {
        if cursor.peek_words("DATABASE") && cursor.peek_nth(1).is_some() || cursor.peek_words("SCHEMA") {
            cursor.advance();
        }
        Some(cursor.identifier()?)
    } else {
        None
    };
    Ok(Statement::Crawl { location, database })
}

/// What OR REPLACE and IF NOT EXISTS make of a CREATE.
fn create_mode(cursor: &mut Cursor<'_>, or_replace: bool) -> Result<CreateMode> {
    let place = cursor.clone();
    match (or_replace, cursor.if_not_exists()) {
        (true, true) => Err(place.unexpected()),
        (true, false) => Ok(CreateMode::OrReplace),
        (false, true) => Ok(CreateMode::IfNotExists),
        (false, false) => Ok(CreateMode::Create),
    }
}

/// `('key' = 'value', ...)`. Keys may be bare words, too, and values numbers or words, as Hive's users write them.
fn properties(cursor: &mut Cursor<'_>) -> Result<std::collections::BTreeMap<String, String>> {
    let pairs = cursor.parenthesized(|cursor| {
        let key = property_name(cursor)?;
        cursor.expect_token(&Token::Eq)?;
        Ok((key, property_value(cursor)?))
    })?;
    Ok(pairs.into_iter().collect())
}

fn property_name(cursor: &mut Cursor<'_>) -> Result<String> {
    if let Some(name) = cursor.peek_string() {
        cursor.advance();
        return Ok(name);
    }
    let mut name = cursor.identifier()?;
    while cursor.take_token(&Token::Period) {
        name = format!("{name}.{}", cursor.identifier()?);
    }
    Ok(name)
}

fn property_value(cursor: &mut Cursor<'_>) -> Result<String> {
    if let Some(text) = cursor.peek_string() {
        cursor.advance();
        return Ok(text);
    }
    let sign = if cursor.take_token(&Token::Minus) { "-" } else { "" };
    match cursor.peek().map(|lexeme| &lexeme.token.token) {
        Some(Token::Number(number, _)) => {
            cursor.advance();
            Ok(format!("{sign}{number}"))
        }
        Some(Token::Word(Word { value, quote_style: None, .. })) if sign.is_empty() => {
            cursor.advance();
            Ok(value.clone())
        }
        _ => Err(cursor.unexpected()),
    }
}
