//! SHOW and DESCRIBE, of what is in the catalog and of settings.

use datafusion::sql::sqlparser::tokenizer::Token;

use crate::Result;
use crate::parse::cursor::Cursor;
use crate::parse::ddl::partition;
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
    let table = cursor.object_name()?;
    let partition = is_partition(cursor).then(|| partition::partition(cursor)).transpose()?;
    let column = if cursor.at_end() { None } else { Some(cursor.identifier()?) };
    Ok(Statement::Describe { table, extended, partition, column })
}

fn is_partition(cursor: &Cursor<'_>) -> bool {
    cursor.peek_words("PARTITION") && cursor.peek_nth(1).is_some_and(|next| next.token.token == Token::LParen)
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
        let table = cursor.object_name()?;
        let partition = is_partition(cursor).then(|| partition::partition(cursor)).transpose()?;
        return Ok(Statement::ShowPartitions { table, partition });
    }
    if cursor.take_words("VERSIONS") {
        if !cursor.take_words("OF") && !cursor.take_words("FROM") {
            cursor.take_words("IN");
        }
        return Ok(Statement::ShowVersions { table: cursor.object_name()? });
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
        let table = cursor.object_name()?;
        let is_one = cursor.peek().is_some_and(|lexeme| lexeme.token.token == Token::LParen);
        let property = if is_one { cursor.parenthesized(super::property_name)?.pop() } else { None };
        return Ok(Statement::ShowTableProperties { table, property });
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
    if let Some(statement) = super::statistics::show(cursor)? {
        return Ok(statement);
    }
    for what in ["FUNCTIONS", "CATALOGS", "GRANTS", "ROLES"] {
        if cursor.peek_words(what) {
            return Err(unsupported::error(&start));
        }
    }
    Ok(Statement::Show { name: Some(crate::parse::session::setting_name(cursor)?) })
}

/// `'pattern'` or `LIKE 'pattern'`
pub(super) fn pattern(cursor: &mut Cursor<'_>) -> Result<Option<NamePattern>> {
    if cursor.take_words("LIKE") {
        return Ok(Some(NamePattern::Like(cursor.string()?)));
    }
    let pattern = cursor.peek_string().map(NamePattern::Hive);
    if pattern.is_some() {
        cursor.advance();
    }
    Ok(pattern)
}
