//! Our own parser of DDL in Hive's, Athena's and PostgreSQL's words. One file per kind of object.

mod crawler;
mod database;
mod partition;
mod show;
mod storage;
mod table;
mod view;

use datafusion::sql::sqlparser::tokenizer::{Token, Word};
use limnos_catalog::CreateMode;

use crate::parse::cursor::Cursor;
use crate::parse::{ObjectName, Statement, unsupported};
use crate::{Error, Result};

pub(crate) use crawler::run;
pub(crate) use database::database_name;
pub(crate) use show::{describe, show};
pub(crate) use table::data_type;

/// CREATE ...
pub(crate) fn create(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let start = cursor.clone();
    cursor.expect_words("CREATE")?;
    let or_replace = cursor.take_words("OR REPLACE");
    if !or_replace && (cursor.take_words("DATABASE") || cursor.take_words("SCHEMA")) {
        return database::create(cursor);
    }
    if cursor.take_words("EXTERNAL TABLE") {
        return table::create_external(cursor, or_replace);
    }
    if cursor.take_words("VIEW") {
        return view::create(cursor, or_replace);
    }
    if cursor.take_words("CRAWLER") {
        return crawler::create(cursor, or_replace);
    }
    if cursor.take_words("CLASSIFIER") {
        return crawler::create_classifier(cursor, or_replace);
    }
    if cursor.peek_words("TABLE") {
        return Err(table::not_external(cursor));
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
    if let Some(kind) = cursor.take_one_of(&["CRAWLER", "CLASSIFIER"]) {
        let if_exists = cursor.if_exists();
        let name = cursor.identifier()?;
        return Ok(match kind {
            "CRAWLER" => Statement::DropCrawler { name, if_exists },
            _ => Statement::DropClassifier { name, if_exists },
        });
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

/// ALTER ...
pub(crate) fn alter(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let start = cursor.clone();
    cursor.expect_words("ALTER")?;
    if cursor.take_words("CRAWLER") {
        return crawler::alter(cursor);
    }
    let view = cursor.take_words("VIEW");
    if !view && !cursor.take_words("TABLE") {
        return Err(unsupported::error(&start));
    }
    if cursor.peek_words("IF EXISTS") {
        return Err(Error::unsupported("ALTER TABLE IF EXISTS is not supported"));
    }
    let name = cursor.object_name()?;
    if cursor.take_words("RENAME TO") {
        let to = cursor.object_name()?;
        // As in PostgreSQL, a new name without a database stays in the old one's.
        let to = ObjectName { database: to.database.or_else(|| name.database.clone()), ..to };
        return Ok(Statement::RenameTable { name, to });
    }
    if !view && let Some(statement) = partition::alter(cursor, &name)? {
        return Ok(statement);
    }
    let what: Vec<&str> = [
        "ADD COLUMNS",
        "ADD COLUMN",
        "REPLACE COLUMNS",
        "CHANGE COLUMN",
        "CHANGE",
        "DROP COLUMN",
        "SET TBLPROPERTIES",
        "SET LOCATION",
        "SET SERDEPROPERTIES",
        "SET SERDE",
        "UNSET TBLPROPERTIES",
        "RENAME COLUMN",
        "OWNER TO",
        "SET SCHEMA",
        "PARTITION",
    ]
    .into_iter()
    .filter(|words| cursor.peek_words(words))
    .collect();
    match what.first() {
        Some(what) => Err(Error::unsupported(format!("ALTER TABLE ... {what} is not supported yet"))
            .with_hint("Use CREATE OR REPLACE EXTERNAL TABLE to give a table a new definition.")),
        None => Err(cursor.unexpected()),
    }
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
        let key = match cursor.peek_string() {
            Some(key) => {
                cursor.advance();
                key
            }
            None => {
                let mut key = cursor.identifier()?;
                while cursor.take_token(&Token::Period) {
                    key = format!("{key}.{}", cursor.identifier()?);
                }
                key
            }
        };
        cursor.expect_token(&Token::Eq)?;
        Ok((key, property_value(cursor)?))
    })?;
    Ok(pairs.into_iter().collect())
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
