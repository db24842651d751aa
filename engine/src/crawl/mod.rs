//! Looks at files and says what tables they are.

use std::sync::Arc;

use limnos_catalog::{Partition, TableDefinition};

use crate::Result;
use crate::scan::store::Stores;

/// A table that a crawl found.
#[derive(Debug, Clone)]
pub struct FoundTable {
    /// A valid, lower-case name, from its folder or file.
    pub name: String,
    /// What to register.
    pub definition: TableDefinition,
    /// Its Hive partitions, if any.
    pub partitions: Vec<Partition>,
    /// How many data files it has.
    pub file_count: u64,
    /// Their size together.
    pub bytes: u64,
    /// What the user should know (`column "x" is int in 3 files and string in 1: string was taken`).
    pub remarks: Vec<String>,
}

/// Finds the tables under `location` (a folder, a file, or a prefix).
///
/// # Errors
/// A location that is not allowed, does not exist or can't be read.
pub async fn crawl(_stores: &Arc<Stores>, _location: &str, _owner: &str) -> Result<Vec<FoundTable>> {
    todo!()
}
