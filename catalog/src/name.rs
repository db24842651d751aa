//! [`TableName`]: a database and a name in it.

use std::fmt;

/// A table's full name, lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableName {
    pub database: String,
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
