//! [`TableName`]: a database and a name in it; and which names there may be.

use std::fmt;

use crate::{Error, Result};

/// The database that always exists, where unqualified names are looked up first.
pub const DEFAULT_DATABASE: &str = "default";

/// The most bytes a name may have, as a file's name: tables become folders.
pub const NAME_BYTES_MAX: usize = 255;

/// Databases that clients see and no statement makes: the server answers for them.
const RESERVED_DATABASES: [&str; 3] = ["pg_catalog", "information_schema", "system"];

/// A table's full name, lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableName {
    /// The database's name.
    pub database: String,
    /// The name inside the database.
    pub name: String,
}

impl TableName {
    /// Lower-cases both parts.
    pub fn new(database: &str, name: &str) -> Self {
        Self { database: database.to_lowercase(), name: name.to_lowercase() }
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.database, self.name)
    }
}

/// Checks the name of a table or view that is to be made.
///
/// # Errors
/// [`Error::Invalid`] for names that are empty, too long, or hold `/` or control characters.
pub fn validate_table_name(name: &str) -> Result<()> {
    validate_name("table", name)
}

/// Checks the name of a database that is to be made.
///
/// # Errors
/// As [`validate_table_name`], and for the names that the server keeps for itself.
pub fn validate_database_name(name: &str) -> Result<()> {
    validate_name("database", name)?;
    let lower = name.to_lowercase();
    // PostgreSQL keeps everything that begins with pg_; here only what a client could meet, so that a folder
    // `pg_exports` can be a database.
    if RESERVED_DATABASES.contains(&lower.as_str()) || lower.starts_with("pg_toast") || lower.starts_with("pg_temp") {
        return Err(Error::Invalid {
            message: format!("unacceptable schema name \"{lower}\""),
            hint: Some("The name is reserved for the server's own tables.".to_owned()),
        });
    }
    Ok(())
}

/// Checks the name of an object of any kind.
pub(crate) fn validate_name(kind: &str, name: &str) -> Result<()> {
    let invalid = |message: String| Err(Error::Invalid { message, hint: None });
    if name.is_empty() {
        return invalid(format!("a {kind} name must not be empty"));
    }
    if name.len() > NAME_BYTES_MAX {
        return invalid(format!(
            "{kind} name \"{name}\" is too long: it has {} bytes of at most {NAME_BYTES_MAX}",
            name.len()
        ));
    }
    // They would not survive a path, a log line or psql's table.
    if let Some(character) = name.chars().find(|character| character.is_control() || *character == '/') {
        return invalid(format!("{kind} name {name:?} must not hold the character {character:?}"));
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn names_are_lower_case() {
        assert_eq!(TableName::new("Sales", "ÖRDERS").to_string(), "sales.örders");
    }

    #[test]
    fn refuses_names_that_cannot_be() {
        let long = "x".repeat(256);
        let too_long = format!("table name \"{long}\" is too long: it has 256 bytes of at most 255");
        let cases = [
            ("", "a table name must not be empty"),
            ("a/b", "table name \"a/b\" must not hold the character '/'"),
            ("a\0b", "table name \"a\\0b\" must not hold the character '\\0'"),
            ("a\nb", "table name \"a\\nb\" must not hold the character '\\n'"),
            (long.as_str(), too_long.as_str()),
        ];
        for (name, message) in cases {
            assert_eq!(validate_table_name(name).unwrap_err().to_string(), message);
        }
        for name in ["a", "a b", "a.b", "été", "1", &"x".repeat(255), "pg_catalog", "=\"'`"] {
            validate_table_name(name).unwrap();
        }
    }

    #[test]
    fn keeps_the_servers_databases() {
        for name in ["pg_catalog", "Information_Schema", "system", "pg_toast", "pg_toast_temp_1", "pg_temp_3"] {
            let error = validate_database_name(name).unwrap_err().to_string();
            assert_eq!(error, format!("unacceptable schema name \"{}\"", name.to_lowercase()));
        }
        for name in ["pg_exports", "systems", "public"] {
            validate_database_name(name).unwrap();
        }
    }
}
