//! CREATE, ALTER, RUN, SHOW and DROP of crawlers and classifiers.

use datafusion::sql::sqlparser::tokenizer::Token;
use limnos_catalog::crawler::{CsvHeader, OnDelete, OnSchemaChange, Recrawl};
use limnos_catalog::{ClassifierDefinition, Schedule};

use crate::parse::cursor::Cursor;
use crate::parse::statement::CrawlerClauses;
use crate::parse::{Statement, unsupported};
use crate::{Error, Result};

/// After CREATE CRAWLER: `[IF NOT EXISTS] name clause ...`; the clauses come in any order, TARGETS and DATABASE must.
pub(super) fn create(cursor: &mut Cursor<'_>, or_replace: bool) -> Result<Statement> {
    let mode = super::create_mode(cursor, or_replace)?;
    let name = cursor.identifier()?;
    let clauses = clauses(cursor)?;
    for (clause, is_there) in [("TARGETS", clauses.targets.is_some()), ("DATABASE", clauses.database.is_some())] {
        if !is_there {
            return Err(cursor.unexpected().with_detail(format!("CREATE CRAWLER needs {clause}.")));
        }
    }
    Ok(Statement::CreateCrawler { name, clauses: Box::new(clauses), mode })
}

/// After ALTER CRAWLER.
pub(super) fn alter(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let name = cursor.identifier()?;
    if cursor.take_words("RENAME TO") {
        return Ok(Statement::RenameCrawler { name, to: cursor.identifier()? });
    }
    match cursor.take_one_of(&["PAUSE", "RESUME", "SET"]) {
        Some("SET") => {
            if cursor.at_end() {
                return Err(cursor.unexpected());
            }
            Ok(Statement::AlterCrawler { name, clauses: Box::new(clauses(cursor)?) })
        }
        Some(word) => Ok(Statement::PauseCrawler { name, pause: word == "PAUSE" }),
        None => Err(cursor.unexpected()),
    }
}

/// RUN CRAWLER name, RUN REPORT ...
pub(crate) fn run(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let start = cursor.clone();
    cursor.expect_words("RUN")?;
    if cursor.take_words("REPORT") {
        return crate::parse::report::run(cursor);
    }
    if !cursor.take_words("CRAWLER") {
        return Err(unsupported::error(&start));
    }
    Ok(Statement::RunCrawler { name: cursor.identifier()? })
}

/// The clauses up to the end; each once at most.
fn clauses(cursor: &mut Cursor<'_>) -> Result<CrawlerClauses> {
    let mut clauses = CrawlerClauses::default();
    while !cursor.at_end() {
        let place = cursor.clone();
        let is_first = if cursor.take_words("TARGETS") {
            set(&mut clauses.targets, cursor.parenthesized(Cursor::string)?)
        } else if cursor.take_words("DATABASE") {
            set(&mut clauses.database, super::database::database_name(cursor)?)
        } else if cursor.take_words("SCHEDULE NONE") {
            set(&mut clauses.schedule, None)
        } else if cursor.take_words("SCHEDULE CRON") {
            let cron = cursor.string()?;
            let time_zone = if cursor.take_words("TIME ZONE") { cursor.string()? } else { "UTC".to_owned() };
            set(&mut clauses.schedule, Some(Schedule { cron, time_zone }))
        } else if cursor.take_words("EXCLUDE") {
            set(&mut clauses.exclude, list(cursor, Cursor::string)?)
        } else if cursor.take_words("TABLE PREFIX") {
            set(&mut clauses.table_prefix, cursor.string()?)
        } else if cursor.take_words("ON SCHEMA CHANGE") {
            let policy = match cursor.take_one_of(&["UPDATE", "ADD", "IGNORE"]) {
                Some("UPDATE") => OnSchemaChange::Update,
                Some("ADD") => OnSchemaChange::Add,
                Some(_) => OnSchemaChange::Ignore,
                None => return Err(cursor.unexpected()),
            };
            set(&mut clauses.on_schema_change, policy)
        } else if cursor.take_words("ON DELETE") {
            let policy = match cursor.take_one_of(&["DROP", "DEPRECATE", "IGNORE"]) {
                Some("DROP") => OnDelete::Drop,
                Some("DEPRECATE") => OnDelete::Deprecate,
                Some(_) => OnDelete::Ignore,
                None => return Err(cursor.unexpected()),
            };
            set(&mut clauses.on_delete, policy)
        } else if cursor.take_words("RECRAWL") {
            let what = match cursor.take_one_of(&["ALL", "NEW"]) {
                Some("ALL") => Recrawl::All,
                Some(_) => Recrawl::New,
                None => return Err(cursor.unexpected()),
            };
            set(&mut clauses.recrawl, what)
        } else if cursor.take_words("CLASSIFIERS") {
            set(&mut clauses.classifiers, list(cursor, Cursor::identifier)?)
        } else if cursor.take_words("COMMENT") {
            set(&mut clauses.comment, cursor.string()?)
        } else {
            return Err(cursor.unexpected());
        };
        if !is_first {
            return Err(Error::syntax("conflicting or redundant clauses").at(place.peek().map_or(1, |l| l.position)));
        }
    }
    Ok(clauses)
}

/// Sets what isn't set; false if it is.
fn set<T>(clause: &mut Option<T>, value: T) -> bool {
    clause.replace(value).is_none()
}

/// `(item, ...)`, or `()` for none.
fn list<'a, T>(cursor: &mut Cursor<'a>, item: impl FnMut(&mut Cursor<'a>) -> Result<T>) -> Result<Vec<T>> {
    if cursor.peek_nth(1).is_some_and(|lexeme| lexeme.token.token == Token::RParen) && cursor.take_token(&Token::LParen)
    {
        cursor.expect_token(&Token::RParen)?;
        return Ok(Vec::new());
    }
    cursor.parenthesized(item)
}

/// After CREATE CLASSIFIER: `[IF NOT EXISTS] name GROK '..' ... | CSV (..) | JSON '..'`.
pub(super) fn create_classifier(cursor: &mut Cursor<'_>, or_replace: bool) -> Result<Statement> {
    let mode = super::create_mode(cursor, or_replace)?;
    let name = cursor.identifier()?;
    let definition = match cursor.take_one_of(&["GROK", "CSV", "JSON"]) {
        Some("GROK") => grok(cursor)?,
        Some("CSV") => csv(cursor)?,
        Some(_) => ClassifierDefinition::Json { path: cursor.string()? },
        None => return Err(cursor.unexpected()),
    };
    Ok(Statement::CreateClassifier { name, definition, mode })
}

fn grok(cursor: &mut Cursor<'_>) -> Result<ClassifierDefinition> {
    let pattern = cursor.string()?;
    let (mut custom_patterns, mut classification) = (None, None);
    loop {
        let place = cursor.clone();
        let is_first = if cursor.take_words("CUSTOM PATTERNS") {
            set(&mut custom_patterns, cursor.string()?)
        } else if cursor.take_words("CLASSIFICATION") {
            set(&mut classification, cursor.string()?)
        } else {
            break;
        };
        if !is_first {
            return Err(place.unexpected());
        }
    }
    let classification =
        classification.ok_or_else(|| cursor.unexpected().with_detail("A GROK classifier needs CLASSIFICATION."))?;
    Ok(ClassifierDefinition::Grok { pattern, custom_patterns, classification })
}

fn csv(cursor: &mut Cursor<'_>) -> Result<ClassifierDefinition> {
    let (mut delimiter, mut quote, mut header, mut columns) = (None, None, None, None);
    cursor.parenthesized(|cursor| {
        let place = cursor.clone();
        let is_first = if cursor.take_words("DELIMITER") {
            set(&mut delimiter, cursor.string()?)
        } else if cursor.take_words("QUOTE") {
            set(&mut quote, cursor.string()?)
        } else if cursor.take_words("HEADER") {
            let what = match cursor.take_one_of(&["PRESENT", "ABSENT", "UNKNOWN"]) {
                Some("PRESENT") => CsvHeader::Present,
                Some("ABSENT") => CsvHeader::Absent,
                Some(_) => CsvHeader::Unknown,
                None => return Err(cursor.unexpected()),
            };
            set(&mut header, what)
        } else if cursor.take_words("COLUMNS") {
            set(&mut columns, cursor.parenthesized(Cursor::identifier)?)
        } else {
            return Err(cursor.unexpected());
        };
        if is_first { Ok(()) } else { Err(place.unexpected()) }
    })?;
    Ok(ClassifierDefinition::Csv {
        delimiter,
        quote,
        header: header.unwrap_or(CsvHeader::Unknown),
        columns: columns.unwrap_or_default(),
    })
}
