//! [`Draft`]: the next snapshot while it is being made. [`Change`]s go in one by one, each into the copied snapshot and
//! into the open transaction alike; a new [`Snapshot`] comes out, or an error and nothing has happened.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::block::{fresh_id, fresh_version, is_expected};
use crate::crawl_run::CRAWL_RUNS;
use crate::name::{DEFAULT_DATABASE, validate_database_name, validate_table_name};
use crate::partition::{HIVE_DEFAULT_PARTITION, hive_path};
use crate::store::write::Transaction;
use crate::{
    Change, CreateMode, Database, DatabaseChange, Error, Partition, Result, Snapshot, Table, TableDefinition,
    TableKind, TableName,
};

/// A snapshot in the making.
#[derive(Debug)]
pub(crate) struct Draft<'a> {
    pub(crate) snapshot: Snapshot,
    pub(crate) transaction: Transaction<'a>,
    pub(crate) now_ms: i64,
    /// Which of the servers on the store we are.
    pub(crate) server_id: i64,
    next_id: i64,
    /// Ids from here on are of what this commit makes.
    pub(crate) first_new_id: i64,
    pub(crate) is_changed: bool,
}

impl<'a> Draft<'a> {
    /// Begins with a copy of `base`; `transaction` makes the version after it.
    pub(crate) fn new(base: &Snapshot, transaction: Transaction<'a>, now_ms: i64, server_id: i64) -> Self {
        let mut snapshot = base.clone();
        snapshot.version = transaction.version();
        let next_id = transaction.next_id();
        Self { snapshot, transaction, now_ms, server_id, next_id, first_new_id: next_id, is_changed: false }
    }

    /// Makes it durable and returns it; `None` if nothing has changed, and then nothing is written.
    /// Snapshots older than `oldest_version` are no longer held by anyone.
    pub(crate) fn commit(mut self, oldest_version: i64) -> Result<Option<Snapshot>> {
        if !self.is_changed {
            return Ok(None);
        }
        self.transaction.purge(oldest_version)?;
        self.forget_settled()?;
        self.transaction.commit(self.next_id)?;
        Ok(Some(self.snapshot))
    }

    /// What a transaction block sees of it: nothing was written anywhere.
    pub(crate) fn into_private(mut self) -> Result<Snapshot> {
        if let Some(partitions) = self.transaction.take_private() {
            partitions.put_into(&mut self.snapshot)?;
        }
        Ok(self.snapshot)
    }

    /// Whether it is a transaction block's.
    pub(crate) fn is_private(&self) -> bool {
        self.snapshot.private.is_some()
    }

    /// The version of whatever is changed now. A block's is its own: what caches keep under one must never be
    /// taken for what another session makes of the same.
    pub(crate) fn stamp(&self) -> i64 {
        if self.is_private() { fresh_version() } else { self.snapshot.version }
    }

    /// Does one change, or refuses it.
    pub(crate) fn apply(&mut self, change: Change) -> Result<()> {
        match change {
            Change::CreateDatabase { name, comment, location, parameters, mode } => {
                self.create_database(&name, comment, location, parameters, mode)
            }
            Change::AlterDatabase { name, change } => self.alter_database(&name, change),
            Change::DropDatabase { name, if_exists, cascade } => self.drop_database(&name, if_exists, cascade),
            Change::CreateTable { name, definition, mode } => self.create_table(&name, definition, mode),
            Change::AlterTable { name, definition, base_version } => self.alter_table(&name, definition, base_version),
            Change::DropTable { name, view, if_exists } => self.drop_table(&name, view, if_exists),
            Change::DropDataset { name, if_exists } => self.drop_dataset(&name, if_exists),
            Change::RefreshDataset { id, is_populated, tells_others } => {
                self.refresh_dataset(id, is_populated, tells_others)
            }
            Change::RenameTable { from, to } => self.rename_table(&from, &to),
            Change::ExpectPartitions { table, partitions_version } => {
                let table = self.snapshot.table(&table)?;
                if is_expected(partitions_version, table.partitions_version) {
                    return Ok(());
                }
                Err(Error::Conflict { kind: "table", name: table.name.to_string() })
            }
            Change::AddPartitions { table, partitions, if_not_exists } => {
                self.add_partitions(&table, partitions, if_not_exists)
            }
            Change::PlacePartitions { table, partitions } => self.place_partitions(&table, partitions),
            Change::DropPartitions { table, values, if_exists } => self.drop_partitions(&table, values, if_exists),
            Change::CreateCrawler { name, definition, mode } => self.create_object(&name, definition, mode),
            Change::AlterCrawler { name, definition, base_version } => {
                self.alter_object(&name, definition, base_version)
            }
            Change::RenameCrawler { from, to } => self.rename_crawler(&from, &to),
            Change::DropCrawler { name, if_exists } => self.drop_crawler(&name, if_exists),
            Change::CreateSchedule { name, definition, mode } => self.create_object(&name, *definition, mode),
            Change::AlterSchedule { name, definition, base_version } => {
                self.alter_object(&name, *definition, base_version)
            }
            Change::RenameSchedule { from, to } => self.rename_schedule(&from, &to),
            Change::DropSchedule { name, if_exists } => self.drop_schedule(&name, if_exists),
            Change::CreateClassifier { name, definition, mode } => self.create_object(&name, definition, mode),
            Change::DropClassifier { name, if_exists } => self.drop_classifier(&name, if_exists),
            Change::CreateReport { name, definition, mode } => self.create_object(&name, *definition, mode),
            Change::AlterReport { name, definition, base_version } => {
                self.alter_object(&name, *definition, base_version)
            }
            Change::RenameReport { from, to } => self.rename_report(&from, &to),
            Change::DropReport { name, if_exists } => self.drop_report(&name, if_exists),
            Change::BeginWrite { target, locations } => self.begin_write(target, locations),
            Change::WidenWrite { write, locations } => self.widen_write(write, locations),
            Change::CommitWrite { write, target, bookmark } => self.commit_write(write, target, bookmark),
            Change::AbortWrite { write, is_lost } => self.abort_write(write, is_lost),
            Change::RemoveFiles { files } => self.remove_files(&files),
            Change::ResetBookmark { name, if_exists } => self.reset_bookmark(&name, if_exists),
            Change::CreateRole { name, definition } => self.create_role(&name, definition),
            Change::AlterRole { name, definition, base_version } => self.alter_role(&name, definition, base_version),
            Change::RenameRole { from, to } => self.rename_role(&from, &to),
            Change::DropRole { name, if_exists } => self.drop_role(&name, if_exists),
            Change::AlterAcl { object, change } => self.alter_acl(&object, change),
            Change::ReassignOwned { from, to } => self.reassign_owned(&from, &to),
            Change::ForgetRights { role } => self.forget_rights(&role),
            Change::EndCrawlRun { run } => self.replace_run(CRAWL_RUNS, &run.to_run()?),
        }
    }

    fn create_database(
        &mut self,
        name: &str,
        comment: Option<String>,
        location: Option<String>,
        parameters: BTreeMap<String, String>,
        mode: CreateMode,
    ) -> Result<()> {
        validate_database_name(name)?;
        let name = name.to_lowercase();
        let id = match (self.snapshot.find_database(&name), mode) {
            (Some(_), CreateMode::Create) => return Err(Error::AlreadyExists { kind: "database", name }),
            (Some(_), CreateMode::IfNotExists) => return Ok(()),
            (Some(existing), CreateMode::OrReplace) => existing.id,
            (None, _) => self.take_id(),
        };
        let database = Database { id, name, comment, location, parameters };
        self.transaction.put_database(&database)?;
        self.snapshot.databases.insert(database.name.clone(), Arc::new(database));
        self.is_changed = true;
        Ok(())
    }

    fn alter_database(&mut self, name: &str, change: DatabaseChange) -> Result<()> {
        let existing = Arc::clone(self.snapshot.database(name)?);
        let mut database = (*existing).clone();
        match change {
            DatabaseChange::Comment(comment) => database.comment = comment,
            DatabaseChange::Location(location) => database.location = Some(location),
            DatabaseChange::Parameters(parameters) => database.parameters.extend(parameters),
            DatabaseChange::Rename(to) => return self.rename_database(database, &to),
        }
        if database == *existing {
            return Ok(());
        }
        self.transaction.put_database(&database)?;
        self.snapshot.databases.insert(database.name.clone(), Arc::new(database));
        self.is_changed = true;
        Ok(())
    }

    fn rename_database(&mut self, mut database: Database, to: &str) -> Result<()> {
        validate_database_name(to)?;
        let to = to.to_lowercase();
        if database.name == DEFAULT_DATABASE {
            return Err(Error::Invalid {
                message: format!(
                    "database \"{DEFAULT_DATABASE}\" cannot be renamed because it is required by the system"
                ),
                hint: None,
            });
        }
        if self.snapshot.find_database(&to).is_some() {
            return Err(Error::AlreadyExists { kind: "database", name: to });
        }
        let from = std::mem::replace(&mut database.name, to.clone());
        let tables: Vec<Arc<Table>> = self.snapshot.tables_in(&from).cloned().collect();
        self.snapshot.databases.remove(&from);
        self.transaction.put_database(&database)?;
        self.snapshot.databases.insert(to.clone(), Arc::new(database));
        self.is_changed = true;
        for table in tables {
            self.snapshot.tables.remove(&table.name);
            let name = TableName { database: to.clone(), name: table.name.name.clone() };
            self.put(Table { name, ..(*table).clone() })?;
        }
        Ok(())
    }

    fn drop_database(&mut self, name: &str, if_exists: bool, cascade: bool) -> Result<()> {
        let database = match self.snapshot.database(name) {
            Ok(database) => Arc::clone(database),
            Err(_) if if_exists => return Ok(()),
            Err(error) => return Err(error),
        };
        if database.name == DEFAULT_DATABASE {
            return Err(Error::Invalid {
                message: format!("cannot drop database \"{DEFAULT_DATABASE}\" because it is required by the system"),
                hint: Some("Drop its tables one by one.".to_owned()),
            });
        }
        let tables: Vec<Arc<Table>> = self.snapshot.tables_in(&database.name).cloned().collect();
        if !tables.is_empty() && !cascade {
            return Err(Error::NotEmpty { name: database.name.clone(), table_count: tables.len() });
        }
        for table in &tables {
            self.remove(table)?;
        }
        self.transaction.delete_database(database.id)?;
        self.delete_acl(database.id)?;
        self.forget_defaults_in(database.id)?;
        self.snapshot.databases.remove(&database.name);
        self.is_changed = true;
        Ok(())
    }

    fn create_table(&mut self, name: &TableName, definition: TableDefinition, mode: CreateMode) -> Result<()> {
        let name = TableName::new(&name.database, &name.name);
        self.snapshot.database(&name.database)?;
        if let Some(existing) = self.snapshot.find_table(&name).cloned() {
            return match mode {
                CreateMode::Create => Err(already_exists(&existing)),
                CreateMode::IfNotExists => Ok(()),
                CreateMode::OrReplace => {
                    // As in PostgreSQL: who replaces what is another's doesn't get it, or a view would run with more rights.
                    let definition = TableDefinition { owner: existing.owner.clone(), ..definition };
                    // Partitions of another folder are other partitions.
                    let drops_partitions = location(&existing.kind) != location(&definition.kind);
                    self.redefine(&existing, definition, drops_partitions)
                }
            };
        }
        validate_table_name(&name.name)?;
        let definition = checked(definition)?;
        let id = self.take_id();
        self.put_initial_acl(id, &name.database, &definition.owner)?;
        self.put(Table {
            id,
            name,
            version: 1,
            partitions_version: self.stamp(),
            partition_count: 0,
            data_version: 0,
            created_at_ms: self.now_ms,
            updated_at_ms: self.now_ms,
            definition: Arc::new(definition),
        })
    }

    pub(crate) fn alter_table(
        &mut self,
        name: &TableName,
        definition: TableDefinition,
        base_version: Option<i64>,
    ) -> Result<()> {
        let Some(existing) = self.snapshot.find_table(name).cloned() else {
            return Err(self.snapshot.table_not_found(name, definition.kind.noun()));
        };
        if base_version.is_some_and(|base_version| !is_expected(base_version, existing.version)) {
            return Err(Error::Conflict { kind: existing.kind.noun(), name: existing.name.to_string() });
        }
        self.redefine(&existing, definition, false)
    }

    /// Gives an existing table a new definition of the same kind.
    fn redefine(&mut self, existing: &Table, definition: TableDefinition, drops_partitions: bool) -> Result<()> {
        let (is, wanted) = (existing.kind.noun(), definition.kind.noun());
        // A dataset is one however it was spelled.
        if std::mem::discriminant(&existing.kind) != std::mem::discriminant(&definition.kind) {
            return Err(Error::WrongKind {
                name: existing.name.to_string(),
                expected: wanted,
                hint: Some(format!("Drop the {is} first, or choose another name.")),
            });
        }
        if definition.owner != existing.owner {
            self.change_owner_in_acl(existing, &definition.owner)?;
        }
        let version = if self.is_private() { fresh_version() } else { existing.version + 1 };
        let mut table = Table { version, definition: Arc::new(checked(definition)?), ..existing.clone() };
        // A partition is its values in the keys' order and, mostly, a path made of the keys' names. Other types for the same
        // names leave both as they are.
        let keys = |table: &Table| -> Vec<String> { table.partition_keys.iter().map(|key| key.name.clone()).collect() };
        if drops_partitions || keys(existing) != keys(&table) {
            self.transaction.drop_all_partitions(table.id)?;
            table.partition_count = 0;
            table.partitions_version = self.stamp();
        }
        self.put(table)
    }

    fn drop_table(&mut self, name: &TableName, view: bool, if_exists: bool) -> Result<()> {
        let expected = if view { "view" } else { "table" };
        let Some(table) = self.snapshot.find_table(name).cloned() else {
            return if if_exists { Ok(()) } else { Err(self.snapshot.table_not_found(name, expected)) };
        };
        let is = table.kind.noun();
        if is != expected {
            let hint = Some(format!("Use DROP {} to remove a {is}.", is.to_uppercase()));
            return Err(Error::WrongKind { name: table.name.to_string(), expected, hint });
        }
        self.remove(&table)
    }

    fn rename_table(&mut self, from: &TableName, to: &TableName) -> Result<()> {
        let table = Arc::clone(self.snapshot.table(from)?);
        let to = TableName::new(&to.database, &to.name);
        validate_table_name(&to.name)?;
        self.snapshot.database(&to.database)?;
        if let Some(taken) = self.snapshot.find_table(&to) {
            return Err(already_exists(taken));
        }
        self.snapshot.tables.remove(&table.name);
        self.put(Table { name: to, ..(*table).clone() })
    }

    fn add_partitions(&mut self, name: &TableName, mut partitions: Vec<Partition>, if_not_exists: bool) -> Result<()> {
        let table = self.partitioned(name)?;
        for partition in &mut partitions {
            check_values(&table, &partition.values)?;
            normalise(&mut partition.values);
        }
        let added_count = self.transaction.add_partitions(table.id, &partitions, |partition| {
            if if_not_exists {
                return Ok(());
            }
            Err(Error::AlreadyExists { kind: "partition", name: partition_name(&table, &partition.values) })
        })?;
        self.count_partitions(&table, added_count, table.partition_count + added_count)
    }

    fn place_partitions(&mut self, name: &TableName, mut partitions: Vec<Partition>) -> Result<()> {
        let table = self.partitioned(name)?;
        for partition in &mut partitions {
            check_values(&table, &partition.values)?;
            normalise(&mut partition.values);
        }
        let mut existing = Vec::new();
        let added_count = self.transaction.add_partitions(table.id, &partitions, |partition| {
            existing.push(partition.clone());
            Ok(())
        })?;
        if !self.transaction.are_placed(table.id, &existing)? {
            return Err(Error::Conflict { kind: "table", name: table.name.to_string() });
        }
        self.count_partitions(&table, added_count, table.partition_count + added_count)
    }

    fn drop_partitions(
        &mut self,
        name: &TableName,
        mut values: Vec<Vec<Option<String>>>,
        if_exists: bool,
    ) -> Result<()> {
        let table = self.partitioned(name)?;
        for values in &mut values {
            check_values(&table, values)?;
            normalise(values);
        }
        let dropped_count = self.transaction.drop_partitions(table.id, &values, |values| {
            if if_exists {
                return Ok(());
            }
            Err(Error::NotFound { kind: "partition", name: partition_name(&table, values), hint: None })
        })?;
        self.count_partitions(&table, dropped_count, table.partition_count - dropped_count)
    }

    fn count_partitions(&mut self, table: &Table, changed_count: u64, partition_count: u64) -> Result<()> {
        if changed_count == 0 {
            return Ok(());
        }
        self.put(Table { partition_count, partitions_version: self.stamp(), ..table.clone() })
    }

    /// The table called `name`, if it can have partitions.
    fn partitioned(&self, name: &TableName) -> Result<Arc<Table>> {
        let table = self.snapshot.table(name)?;
        if !matches!(table.kind, TableKind::External(_)) {
            let hint = Some(format!("A {} has no partitions of its own.", table.kind.noun()));
            return Err(Error::WrongKind { name: table.name.to_string(), expected: "table", hint });
        }
        if table.partition_keys.is_empty() {
            return Err(Error::Invalid {
                message: format!("table \"{}\" is not partitioned", table.name),
                hint: Some("Partition keys are declared with PARTITIONED BY.".to_owned()),
            });
        }
        Ok(Arc::clone(table))
    }

    /// Puts a new or changed table under its name.
    pub(crate) fn put(&mut self, table: Table) -> Result<()> {
        let table = Table { updated_at_ms: self.now_ms, ..table };
        let database_id = self.snapshot.database(&table.name.database)?.id;
        self.transaction.put_table(database_id, &table)?;
        self.snapshot.tables.insert(table.name.clone(), Arc::new(table));
        self.is_changed = true;
        Ok(())
    }

    pub(crate) fn remove(&mut self, table: &Table) -> Result<()> {
        self.forget_ingestions(table)?;
        self.transaction.drop_all_partitions(table.id)?;
        self.transaction.delete_table(table.id)?;
        self.delete_acl(table.id)?;
        self.snapshot.tables.remove(&table.name);
        self.is_changed = true;
        Ok(())
    }

    pub(crate) fn take_id(&mut self) -> i64 {
        if self.is_private() {
            return fresh_id();
        }
        let id = self.next_id;
        self.next_id += 1;
        id
    }
}

/// A definition that may be stored, its names in lower case.
pub(crate) fn checked(mut definition: TableDefinition) -> Result<TableDefinition> {
    definition.validate()?;
    for column in definition.columns.iter_mut().chain(&mut definition.partition_keys) {
        column.name = column.name.to_lowercase();
    }
    Ok(definition)
}

pub(crate) fn check_values(table: &Table, values: &[Option<String>]) -> Result<()> {
    let keys: Vec<&str> = table.partition_keys.iter().map(|key| key.name.as_str()).collect();
    if values.len() == keys.len() {
        return Ok(());
    }
    let count = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    Err(Error::Invalid {
        message: format!(
            "partition has {}, but table \"{}\" has {}",
            count(values.len(), "value"),
            table.name,
            count(keys.len(), "partition key")
        ),
        hint: Some(format!("Give one value for each of ({}), in this order.", keys.join(", "))),
    })
}

/// Hive's word for NULL is NULL, also when it comes as a value.
pub(crate) fn normalise(values: &mut [Option<String>]) {
    for value in values {
        value.take_if(|value| value == HIVE_DEFAULT_PARTITION);
    }
}

/// `sales.orders/year=2024/month=01`.
pub(crate) fn partition_name(table: &Table, values: &[Option<String>]) -> String {
    let keys = table.partition_keys.iter().map(|key| key.name.as_str());
    let path = hive_path(keys.zip(values.iter().map(Option::as_deref)));
    format!("{}/{}", table.name, path.trim_end_matches('/'))
}

fn location(kind: &TableKind) -> Option<&str> {
    match kind {
        TableKind::External(storage) => Some(&storage.location),
        TableKind::View { .. } | TableKind::Dataset(_) => None,
    }
}

fn already_exists(table: &Table) -> Error {
    Error::AlreadyExists { kind: table.kind.noun(), name: table.name.to_string() }
}
