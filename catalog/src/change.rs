//! [`Change`]: what a statement may do to the catalog.

use crate::{Partition, TableDefinition, TableName};

/// What to do when the object to be made is already there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CreateMode {
    /// Refuse with [`crate::Error::AlreadyExists`].
    Create,
    /// Leave what is there untouched.
    IfNotExists,
    /// Put the new definition in the old one's place; the table keeps its id and gets a new version. Partitions are
    /// dropped when the partition keys differ.
    OrReplace,
}

/// One step of a commit. Names are matched without regard to case.
#[derive(Debug, Clone)]
pub enum Change {
    /// Makes a database.
    CreateDatabase { name: String, comment: Option<String>, location: Option<String>, mode: CreateMode },
    /// Drops a database; with `cascade` its tables too, else it must be empty. `default` can't be dropped.
    DropDatabase { name: String, if_exists: bool, cascade: bool },
    /// Makes a table or a view.
    CreateTable { name: TableName, definition: TableDefinition, mode: CreateMode },
    /// Gives a table a new definition; it must exist and be of the same kind. Partitions stay unless the keys differ.
    AlterTable { name: TableName, definition: TableDefinition },
    /// Drops a table (`view: false`) or a view (`view: true`); the wrong kind is an error that says so.
    DropTable { name: TableName, view: bool, if_exists: bool },
    /// Renames a table or view within or across databases.
    RenameTable { from: TableName, to: TableName },
    /// Adds partitions. One that is there already is an error unless `if_not_exists`, which leaves it.
    AddPartitions { table: TableName, partitions: Vec<Partition>, if_not_exists: bool },
    /// Drops partitions by their values. One that is not there is an error unless `if_exists`.
    DropPartitions { table: TableName, values: Vec<Vec<Option<String>>>, if_exists: bool },
}
