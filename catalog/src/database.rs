//! [`Database`]: a name that holds tables; PostgreSQL clients see a schema.

use std::collections::BTreeMap;

/// The id of `default`.
pub(crate) const DEFAULT_ID: i64 = 1;

/// A database as it is in one [`crate::Snapshot`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Database {
    /// Never reused; the PostgreSQL namespace `oid` is derived from it. `default` is 1.
    pub id: i64,
    /// Lower case.
    pub name: String,
    /// The text of `COMMENT`.
    pub comment: Option<String>,
    /// Where `CREATE TABLE` without `LOCATION` puts its files.
    pub location: Option<String>,
    /// `DBPROPERTIES`: the user's own, read by nothing here.
    pub parameters: BTreeMap<String, String>,
}
