//! Statements that are known but not built: told apart from syntax errors, by name.

use crate::Error;
use crate::parse::cursor::Cursor;

/// First words and the name that errors use. The longest match counts, so the longer come first.
const KNOWN: &[(&str, &str)] = &[
    ("CREATE OR REPLACE FUNCTION", "CREATE FUNCTION"),
    ("CREATE OR REPLACE PROCEDURE", "CREATE PROCEDURE"),
    ("CREATE OR REPLACE TABLE", "CREATE TABLE"),
    ("CREATE OR REPLACE", "CREATE OR REPLACE"),
    ("CREATE UNIQUE INDEX", "CREATE INDEX"),
    ("CREATE RECURSIVE VIEW", "CREATE RECURSIVE VIEW"),
    ("CREATE PROTECTED VIEW", "CREATE PROTECTED VIEW"),
    ("CREATE GLOBAL", "CREATE TEMPORARY TABLE"),
    ("CREATE LOCAL", "CREATE TEMPORARY TABLE"),
    ("CREATE TEMP VIEW", "CREATE TEMPORARY VIEW"),
    ("CREATE TEMPORARY VIEW", "CREATE TEMPORARY VIEW"),
    ("CREATE TEMP", "CREATE TEMPORARY TABLE"),
    ("CREATE TEMPORARY", "CREATE TEMPORARY TABLE"),
    ("CREATE UNLOGGED", "CREATE UNLOGGED TABLE"),
    ("CREATE FOREIGN TABLE", "CREATE FOREIGN TABLE"),
    ("CREATE EVENT TRIGGER", "CREATE EVENT TRIGGER"),
    ("CREATE TEXT SEARCH", "CREATE TEXT SEARCH"),
    ("UPDATE", "UPDATE"),
    ("MERGE", "MERGE"),
    ("COPY", "COPY"),
    ("VACUUM", "VACUUM"),
    ("CLUSTER", "CLUSTER"),
    ("REINDEX", "REINDEX"),
    ("SECURITY LABEL", "SECURITY LABEL"),
    ("IMPORT", "IMPORT"),
    ("EXPORT", "EXPORT"),
    ("LOAD", "LOAD"),
    ("CALL", "CALL"),
    ("DO", "DO"),
];

/// The name of the known statement that a cursor stands before.
pub(crate) fn name(cursor: &Cursor<'_>) -> Option<String> {
    if let Some((_, name)) = KNOWN.iter().find(|(words, _)| cursor.peek_words(words)) {
        return Some((*name).to_owned());
    }
    // CREATE, DROP, ALTER and SHOW of something.
    let verb = cursor.peek_word()?;
    if !matches!(verb.as_str(), "CREATE" | "DROP" | "ALTER" | "SHOW") {
        return None;
    }
    let object = cursor.peek_nth(1)?.word()?;
    matches!(
        object.as_str(),
        "ACCESS"
            | "AGGREGATE"
            | "CAST"
            | "CATALOG"
            | "CATALOGS"
            | "COLLATION"
            | "CONVERSION"
            | "DATABASE"
            | "DOMAIN"
            | "EVENT"
            | "EXTENSION"
            | "EXTERNAL"
            | "FOREIGN"
            | "FUNCTION"
            | "FUNCTIONS"
            | "GRANTS"
            | "INDEX"
            | "LANGUAGE"
            | "OPERATOR"
            | "POLICY"
            | "PROCEDURE"
            | "PUBLICATION"
            | "ROLES"
            | "ROUTINE"
            | "RULE"
            | "SCHEMA"
            | "SEQUENCE"
            | "SERVER"
            | "STATISTICS"
            | "SUBSCRIPTION"
            | "SYSTEM"
            | "TABLE"
            | "TABLESPACE"
            | "TRIGGER"
            | "TYPE"
            | "VIEW"
    )
    .then(|| format!("{verb} {object}"))
}

/// `0A000` for a known statement, a syntax error for any other.
pub(crate) fn error(cursor: &Cursor<'_>) -> Error {
    match name(cursor) {
        Some(name) => {
            let error = Error::unsupported(format!("{name} is not supported yet"));
            match name.as_str() {
                "COPY" => error.with_hint("Use CREATE EXTERNAL TABLE or CRAWL to query files in place."),
                _ => error,
            }
        }
        None => match cursor.peek_word().as_deref() {
            // The verb is known; what follows is not.
            Some("CREATE" | "DROP" | "ALTER") => cursor.unexpected_nth(1),
            _ => cursor.unexpected(),
        },
    }
}
