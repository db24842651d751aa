//! [`Snapshot`]: one immutable view of the catalog.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::{Database, Result, Table, TableName};

/// Everything that exists at one catalog version. Held by a statement from planning to its last row.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Grows by one with each commit.
    pub version: i64,
    /// By name.
    pub databases: BTreeMap<String, Arc<Database>>,
    /// By full name.
    pub tables: BTreeMap<TableName, Arc<Table>>,
}

impl Snapshot {
    /// The table or view called `name`, or [`crate::Error::NotFound`] with near names as a hint.
    pub fn table(&self, _name: &TableName) -> Result<&Arc<Table>> {
        todo!()
    }

    /// The tables and views of one database, by name.
    pub fn tables_in<'a>(&'a self, database: &'a str) -> impl Iterator<Item = &'a Arc<Table>> {
        self.tables.values().filter(move |table| table.name.database == database)
    }
}
