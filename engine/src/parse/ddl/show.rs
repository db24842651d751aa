//! SHOW and DESCRIBE, of what is in the catalog and of settings.

use datafusion::sql::sqlparser::tokenizer::Token;

use crate::Result;
use crate::parse::cursor::Cursor;
use crate::parse::{NamePattern, ObjectName, Statement, unsupported};

/// DESCRIBE | DESC [TABLE] [EXTENDED | FORMATTED] t
pub(crate) fn describe(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.advance();
    // A table may be called like one of these words.
    let followed = |cursor: &Cursor<'_>| cursor.peek_nth(1).is_some_and(|lexeme| lexeme.token.token != Token::Period);
    if cursor.peek_words("TABLE") && followed(cursor) {
        cursor.advance();
    }
    let extended = (cursor.peek_words("EXTENDED") || cursor.peek_words("FORMATTED")) && followed(cursor);
    if extended {
        cursor.advance();
    }
    Ok(Statement::Describe { table: cursor.object_name()?, extended })
}

/// SHOW ...
pub(crate) fn show(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let start = cursor.clone();
    cursor.expect_words("SHOW")?;
    if let Some(kind) = cursor.take_one_of(&["DATABASES", "SCHEMAS", "TABLES", "VIEWS"]) {
        let of_databases = matches!(kind, "DATABASES" | "SCHEMAS");
        let database = if !of_databases && (cursor.take_words("IN") || cursor.take_words("FROM")) {
            Some(super::database::database_name(cursor)?)
        } else {
            None
        };
        let pattern = pattern(cursor)?;
        return Ok(match kind {
            "DATABASES" | "SCHEMAS" => Statement::ShowDatabases { pattern },
            kind => Statement::ShowTables { database, pattern, views_only: kind == "VIEWS" },
        });
    }
    if cursor.take_words("COLUMNS") {
        if !cursor.take_words("IN") {
            cursor.expect_words("FROM")?;
        }
        let table = cursor.object_name()?;
        let database = if cursor.take_words("IN") || cursor.take_words("FROM") {
            Some(super::database::database_name(cursor)?)
        } else {
            table.database
        };
        return Ok(Statement::ShowColumns { table: ObjectName { database, name: table.name } });
    }
    if cursor.take_words("PARTITIONS") {
        return Ok(Statement::ShowPartitions { table: cursor.object_name()? });
    }
    if cursor.take_words("CREATE TABLE") || cursor.take_words("CREATE VIEW") {
        return Ok(Statement::ShowCreate { table: cursor.object_name()? });
    }
    if cursor.take_words("CREATE CRAWLER") {
        return Ok(Statement::ShowCreateCrawler { name: cursor.identifier()? });
    }
    if cursor.take_words("CREATE CLASSIFIER") {
        return Ok(Statement::ShowCreateClassifier { name: cursor.identifier()? });
    }
    if cursor.take_words("CRAWLERS") {
        return Ok(Statement::ShowCrawlers { pattern: pattern(cursor)? });
    }
    if cursor.take_words("CLASSIFIERS") {
        return Ok(Statement::ShowClassifiers { pattern: pattern(cursor)? });
    }
    if cursor.take_words("TBLPROPERTIES") {
        return Ok(Statement::ShowTableProperties { table: cursor.object_name()? });
    }
    if cursor.take_words("ALL") {
        return Ok(Statement::Show { name: None });
    }
    if cursor.take_words("TIME ZONE") {
        return Ok(Statement::Show { name: Some("timezone".to_owned()) });
    }
    if cursor.take_words("TRANSACTION ISOLATION LEVEL") {
        return Ok(Statement::Show { name: Some("transaction_isolation".to_owned()) });
    }
    if cursor.take_words("SESSION AUTHORIZATION") {
        return Ok(Statement::Show { name: Some("session_authorization".to_owned()) });
    }
    for what in ["FUNCTIONS", "CATALOGS", "STATS", "GRANTS", "ROLES"] {
        if cursor.peek_words(what) {
            return Err(unsupported::error(&start));
        }
    }
    Ok(Statement::Show { name: Some(crate::parse::session::setting_name(cursor)?) })
}

/// `'pattern'` or `LIKE 'pattern'`
fn pattern(cursor: &mut Cursor<'_>) -> Result<Option<NamePattern>> {
    if cursor.take_words("LIKE") {
        return Ok(Some(NamePattern::Like(cursor.string()?)));
    }
    let pattern = cursor.peek_string().map(NamePattern::Hive);
    if pattern.is_some() {
        cursor.advance();
    }
    Ok(pattern)
}
