//! [`Change`]: what a statement may do to the catalog.

use std::collections::BTreeMap;

use crate::write::{RemovedFile, WriteTarget};
use crate::{
    AclEdit, AclKind, BookmarkUpdate, ClassifierDefinition, CrawlRun, CrawlerDefinition, Partition, ReportDefinition,
    RoleDefinition, TableDefinition, TableName,
};

/// What to do when the object to be made is already there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CreateMode {
    /// Refuse with [`crate::Error::AlreadyExists`].
    Create,
    /// Leave what is there untouched.
    IfNotExists,
    /// Put the new definition in the old one's place; the table keeps its id and gets a new version. Partitions are
    /// dropped when the names of the partition keys or their order differ, or the location.
    OrReplace,
}

/// What may be changed about a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatabaseChange {
    /// The text of `COMMENT`; `None` takes it away.
    Comment(Option<String>),
    /// Where its new tables' files go; those that are there stay.
    Location(String),
    /// `DBPROPERTIES`, added to those that are there.
    Parameters(BTreeMap<String, String>),
    /// Another name, which must be free; its tables come along. `default` keeps its own.
    Rename(String),
}

/// What rights are on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AclObject {
    /// All of it: PostgreSQL's database.
    Lake,
    /// A database, by name.
    Database(String),
    /// A table or view.
    Table(TableName),
}

/// What may become of an object's rights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AclChange {
    /// GRANT or REVOKE.
    Edit(AclEdit),
    /// ALTER DEFAULT PRIVILEGES; of the lake.
    EditDefault {
        /// Whose new objects.
        role: String,
        /// The database they are made in; `None` is any.
        database: Option<String>,
        /// Tables, or databases.
        kind: AclKind,
        /// What is said of them.
        edit: AclEdit,
    },
    /// Another owner, of a database or the lake; tables have theirs in their definitions.
    Owner(String),
    /// The owner of a database that the same commit makes; nothing if it was there before.
    InitialOwner(String),
}

/// One step of a commit. Names are matched without regard to case.
#[derive(Debug, Clone)]
pub enum Change {
    /// Makes a database.
    CreateDatabase {
        /// Its name.
        name: String,
        /// The text of `COMMENT`.
        comment: Option<String>,
        /// Where its tables' files go.
        location: Option<String>,
        /// `DBPROPERTIES`.
        parameters: BTreeMap<String, String>,
        /// What to do if it is there; [`CreateMode::OrReplace`] changes all but its name.
        mode: CreateMode,
    },
    /// Changes one thing about a database.
    AlterDatabase {
        /// Its name.
        name: String,
        /// What changes.
        change: DatabaseChange,
    },
    /// Drops a database; with `cascade` its tables too, else it must be empty. `default` can't be dropped.
    DropDatabase {
        /// Its name.
        name: String,
        /// Whether it may be absent.
        if_exists: bool,
        /// Whether its tables and views go with it.
        cascade: bool,
    },
    /// Makes a table or a view. They share their names: [`CreateMode::IfNotExists`] leaves whatever has the name, and
    /// [`CreateMode::OrReplace`] refuses one of the other kind.
    CreateTable {
        /// Its name; the database must exist.
        name: TableName,
        /// What it is.
        definition: TableDefinition,
        /// What to do if the name is taken.
        mode: CreateMode,
    },
    /// Gives a table a new definition; it must exist and be of the same kind. Partitions stay unless the keys' names or
    /// their order differ.
    AlterTable {
        /// Its name.
        name: TableName,
        /// What it is to be.
        definition: TableDefinition,
        /// The version that `definition` was made from; if the table has another by now, the change is refused with
        /// [`crate::Error::Conflict`] and nobody's change is lost. `None` overwrites whatever is there.
        base_version: Option<i64>,
    },
    /// Drops a table (`view: false`) or a view (`view: true`); the wrong kind is an error that says so.
    DropTable {
        /// Its name.
        name: TableName,
        /// Whether it is meant to be a view.
        view: bool,
        /// Whether it may be absent.
        if_exists: bool,
    },
    /// Renames a table or view within or across databases.
    RenameTable {
        /// Its name.
        from: TableName,
        /// Its new name, which must be free.
        to: TableName,
    },
    /// Changes nothing: refuses the commit with [`crate::Error::Conflict`] unless the table has exactly the partitions of
    /// this `partitions_version`, for changes that were made from their list.
    ExpectPartitions {
        /// A table.
        table: TableName,
        /// As in [`crate::Table::partitions_version`].
        partitions_version: i64,
    },
    /// Adds partitions. One that is there already is an error unless `if_not_exists`, which leaves it.
    AddPartitions {
        /// A table with partition keys.
        table: TableName,
        /// What to add.
        partitions: Vec<Partition>,
        /// Whether some may be there.
        if_not_exists: bool,
    },
    /// Adds the partitions that a write has put rows into. Those that are there must lie where its rows were put, and be
    /// written as their table is; else the rows would never be seen, and the change is refused with
    /// [`crate::Error::Conflict`].
    PlacePartitions {
        /// A table with partition keys.
        table: TableName,
        /// Where the rows are.
        partitions: Vec<Partition>,
    },
    /// Drops partitions by their values. One that is not there is an error unless `if_exists`.
    DropPartitions {
        /// A table with partition keys.
        table: TableName,
        /// The values of each partition to drop, as in [`Partition::values`].
        values: Vec<Vec<Option<String>>>,
        /// Whether some may be absent.
        if_exists: bool,
    },
    /// Makes a crawler. A replaced one keeps its tables and its history.
    CreateCrawler {
        /// Its name.
        name: String,
        /// What it is.
        definition: CrawlerDefinition,
        /// What to do if the name is taken.
        mode: CreateMode,
    },
    /// Gives a crawler a new definition.
    AlterCrawler {
        /// Its name.
        name: String,
        /// What it is to be.
        definition: CrawlerDefinition,
        /// As in [`Change::AlterTable`].
        base_version: Option<i64>,
    },
    /// Renames a crawler; its tables and its history go with it.
    RenameCrawler {
        /// Its name.
        from: String,
        /// Its new name, which must be free.
        to: String,
    },
    /// Drops a crawler and its history. Its tables stay.
    DropCrawler {
        /// Its name.
        name: String,
        /// Whether it may be absent.
        if_exists: bool,
    },
    /// Makes a classifier.
    CreateClassifier {
        /// Its name.
        name: String,
        /// What it is.
        definition: ClassifierDefinition,
        /// What to do if the name is taken.
        mode: CreateMode,
    },
    /// Drops a classifier that no crawler uses.
    DropClassifier {
        /// Its name.
        name: String,
        /// Whether it may be absent.
        if_exists: bool,
    },
    /// Makes a report. A replaced one keeps its history.
    CreateReport {
        /// Its name.
        name: String,
        /// What it is.
        definition: Box<ReportDefinition>,
        /// What to do if the name is taken.
        mode: CreateMode,
    },
    /// Gives a report another definition.
    AlterReport {
        /// Its name.
        name: String,
        /// What it is to be.
        definition: Box<ReportDefinition>,
        /// As in [`Change::AlterTable`].
        base_version: Option<i64>,
    },
    /// Renames a report; its history goes with it.
    RenameReport {
        /// Its name.
        from: String,
        /// Its new name, which must be free.
        to: String,
    },
    /// Drops a report and its history. Its files stay.
    DropReport {
        /// Its name.
        name: String,
        /// Whether it may be absent.
        if_exists: bool,
    },
    /// Begins a write of files; the version that the commit makes is its id ([`crate::Catalog::begin_write`]).
    BeginWrite {
        /// What is written into, for people.
        target: String,
        /// The URLs of the folders that its files will be in or below. Where they are looked for if the server dies.
        locations: Vec<String>,
    },
    /// Adds folders to a write that goes on, before there is a file in them.
    WidenWrite {
        /// The write's id.
        write: i64,
        /// As in [`Change::BeginWrite`].
        locations: Vec<String>,
    },
    /// Ends a write: its files are seen from this commit on. Tables and partitions that it makes come before it in the same
    /// commit.
    CommitWrite {
        /// The write's id. One that has ended already is [`crate::Error::WriteEnded`].
        write: i64,
        /// The table that was there before the write; anything else than is expected of it is [`crate::Error::Conflict`].
        target: Option<WriteTarget>,
        /// What the write has processed.
        bookmark: Option<BookmarkUpdate>,
    },
    /// Gives a write up: its files will never be seen, and are to be deleted.
    AbortWrite {
        /// The write's id. One that has ended already is [`crate::Error::WriteEnded`].
        write: i64,
        /// As in [`crate::Write::is_lost`].
        is_lost: bool,
    },
    /// Takes files away without a write. They are deleted once nobody reads them.
    RemoveFiles {
        /// The files, or the folders of tables that are dropped.
        files: Vec<RemovedFile>,
    },
    /// Forgets what a job has processed.
    ResetBookmark {
        /// The bookmark.
        name: String,
        /// Whether it may be absent.
        if_exists: bool,
    },
    /// Makes a role.
    CreateRole {
        /// Its name, in the case that it keeps.
        name: String,
        /// What it is.
        definition: RoleDefinition,
    },
    /// Gives a role another definition.
    AlterRole {
        /// Its name.
        name: String,
        /// What it is to be.
        definition: RoleDefinition,
        /// As in [`Change::AlterTable`].
        base_version: Option<i64>,
    },
    /// Renames a role, wherever it is named.
    RenameRole {
        /// Its name.
        from: String,
        /// Its new name, which must be free.
        to: String,
    },
    /// Drops a role that owns nothing and has no rights on anything ([`crate::Error::Dependents`] else).
    DropRole {
        /// Its name.
        name: String,
        /// Whether it may be absent.
        if_exists: bool,
    },
    /// Gives, takes or moves rights on one object.
    AlterAcl {
        /// The object.
        object: AclObject,
        /// What becomes of it.
        change: AclChange,
    },
    /// Gives all that one role owns to another.
    ReassignOwned {
        /// Whose it is.
        from: String,
        /// Whose it shall be.
        to: String,
    },
    /// Takes away whatever rights a role has on what it doesn't own.
    ForgetRights {
        /// The role.
        role: String,
    },
    /// Notes the end of a crawl in the same commit as what it found.
    EndCrawlRun {
        /// The run as it is to be kept.
        run: Box<CrawlRun>,
    },
}
