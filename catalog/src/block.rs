//! What a transaction block changes, and nobody else sees before its end.
//!
//! ```text
//! BEGIN      base: the newest snapshot, held to the end
//! statement  Catalog::draft: the block's snapshot and its changes -> the next one, in memory alone
//! COMMIT     Catalog::commit_block: is what the changes touch still as in base? Then all of them, in one commit
//! ROLLBACK   all of it is dropped
//! ```
//! A private snapshot is the base with the block's changes. New objects in it have ids, and changed tables versions, that no
//! committed one has: caches keep what they know by ids and versions, and two sessions make different things of the same
//! version. So a change that names such an id or version ([`is_expected`]) expects what the block itself has made, and that
//! is there when what it was made of has not changed, which `Touched` checks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::{Change, Database, Error, PartitionList, Result, Snapshot, TableName};

/// The first id of private objects: those of a catalog don't come so far, and OIDs that are made of them still fit.
const PRIVATE_ID_FIRST: i64 = 1_000_000_000;

/// How many ids there are before they come again. A block that lived so long would find two tables with one id.
const PRIVATE_ID_COUNT: i64 = 70_000_000;

/// What a private snapshot has beyond what is in its maps.
#[derive(Debug, Clone)]
pub struct Private {
    /// Held, so that nothing is purged that it needs.
    #[allow(dead_code, reason = "it is there to be held")]
    pub(crate) base: Arc<Snapshot>,
    /// By table id: the partitions of tables whose partitions have changed.
    pub(crate) partitions: BTreeMap<i64, Arc<PartitionList>>,
    /// Writes whose files the block sees.
    pub(crate) writes: BTreeSet<i64>,
}

impl Snapshot {
    /// Whether `write` is one of the block's that sees this snapshot.
    pub(crate) fn is_own_write(&self, write: i64) -> bool {
        self.private.as_ref().is_some_and(|private| private.writes.contains(&write))
    }

    /// The partitions of a table where the block that sees this snapshot has changed them.
    pub(crate) fn private_partitions(&self, table_id: i64) -> Option<&Arc<PartitionList>> {
        self.private.as_ref()?.partitions.get(&table_id)
    }
}

/// A version that nothing else has.
pub(crate) fn fresh_version() -> i64 {
    static NEXT: AtomicI64 = AtomicI64::new(-1);
    NEXT.fetch_sub(1, Ordering::Relaxed)
}

/// An id that no committed object has.
pub(crate) fn fresh_id() -> i64 {
    static NEXT: AtomicI64 = AtomicI64::new(0);
    PRIVATE_ID_FIRST + NEXT.fetch_add(1, Ordering::Relaxed) % PRIVATE_ID_COUNT
}

/// Whether an id or a version is what a change expects. Of one that a block has made itself that is known already.
pub(crate) fn is_expected(expected: i64, actual: i64) -> bool {
    expected == actual || !(0..PRIVATE_ID_FIRST).contains(&expected)
}

/// The names of what changes are about.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    tables: BTreeSet<TableName>,
    /// Whether a change was made from a list of partitions that the block had changed before: others must not have.
    expects_partitions: bool,
    databases: BTreeSet<String>,
    /// Databases that are dropped or renamed, with all that is in them.
    whole_databases: BTreeSet<String>,
    crawlers: BTreeSet<String>,
    classifiers: BTreeSet<String>,
    reports: BTreeSet<String>,
    roles: BTreeSet<String>,
    schedules: BTreeSet<String>,
    /// Whether rights or owners change, of whatever objects.
    rights: bool,
}

impl Touched {
    pub(crate) fn of(changes: &[Change]) -> Self {
        let mut touched = Self::default();
        changes.iter().for_each(|change| touched.add(change));
        touched
    }

    fn table(&mut self, name: &TableName) {
        self.tables.insert(TableName::new(&name.database, &name.name));
    }

    fn add(&mut self, change: &Change) {
        match change {
            Change::CreateDatabase { name, .. } | Change::AlterDatabase { name, change: _ } => {
                self.databases.insert(name.to_lowercase());
                if let Change::AlterDatabase { change: crate::DatabaseChange::Rename(to), .. } = change {
                    self.whole_databases.insert(name.to_lowercase());
                    self.databases.insert(to.to_lowercase());
                }
            }
            Change::DropDatabase { name, .. } => {
                self.databases.insert(name.to_lowercase());
                self.whole_databases.insert(name.to_lowercase());
            }
            Change::CreateTable { name, .. }
            | Change::AlterTable { name, .. }
            | Change::DropTable { name, .. }
            | Change::DropDataset { name, .. } => self.table(name),
            Change::RenameTable { from, to } => {
                self.table(from);
                self.table(to);
            }
            Change::ExpectPartitions { table, partitions_version } => {
                self.expects_partitions |= *partitions_version < 0;
                self.table(table);
            }
            Change::AddPartitions { table, .. }
            | Change::PlacePartitions { table, .. }
            | Change::DropPartitions { table, .. } => self.table(table),
            Change::CommitWrite { target, .. } => {
                if let Some(target) = target {
                    self.table(&target.name);
                }
            }
            Change::CreateCrawler { name, .. }
            | Change::AlterCrawler { name, .. }
            | Change::DropCrawler { name, .. } => {
                self.crawlers.insert(name.to_lowercase());
            }
            Change::RenameCrawler { from, to } => {
                self.crawlers.insert(from.to_lowercase());
                self.crawlers.insert(to.to_lowercase());
            }
            Change::CreateSchedule { name, .. }
            | Change::AlterSchedule { name, .. }
            | Change::DropSchedule { name, .. } => {
                self.schedules.insert(name.to_lowercase());
            }
            Change::RenameSchedule { from, to } => {
                self.schedules.extend([from.to_lowercase(), to.to_lowercase()]);
            }
            Change::CreateClassifier { name, .. } | Change::DropClassifier { name, .. } => {
                self.classifiers.insert(name.to_lowercase());
            }
            Change::CreateReport { name, .. } | Change::AlterReport { name, .. } | Change::DropReport { name, .. } => {
                self.reports.insert(name.to_lowercase());
            }
            Change::RenameReport { from, to } => {
                self.reports.extend([from.to_lowercase(), to.to_lowercase()]);
            }
            Change::CreateRole { name, .. } | Change::AlterRole { name, .. } | Change::DropRole { name, .. } => {
                self.roles.insert(name.clone());
            }
            Change::RenameRole { from, to } => {
                self.roles.extend([from.clone(), to.clone()]);
                self.rights = true;
            }
            Change::AlterAcl { .. } => self.rights = true,
            Change::ReassignOwned { from, to } => {
                self.roles.extend([from.clone(), to.clone()]);
                self.rights = true;
            }
            Change::ForgetRights { role } => {
                self.roles.insert(role.clone());
                self.rights = true;
            }
            // What these expect they say themselves.
            Change::BeginWrite { .. }
            | Change::WidenWrite { .. }
            | Change::AbortWrite { .. }
            | Change::RemoveFiles { .. }
            | Change::ResetBookmark { .. }
            | Change::RefreshDataset { .. }
            | Change::EndCrawlRun { .. } => {}
        }
    }

    /// Refuses if anything that is touched is another in `now` than it was in `base`.
    pub(crate) fn check(&self, base: &Snapshot, now: &Snapshot) -> Result<()> {
        if base.version == now.version {
            return Ok(());
        }
        for name in &self.tables {
            let kind = || base.find_table(name).or(now.find_table(name)).map_or("table", |table| table.kind.noun());
            let partitions = |table: &crate::Table| self.expects_partitions.then_some(table.partitions_version);
            let state = |snapshot: &Snapshot| {
                snapshot.find_table(name).map(|table| (table.id, table.version, partitions(table)))
            };
            compare(state(base), state(now), kind(), || name.to_string())?;
        }
        for name in &self.databases {
            let state = |snapshot: &Snapshot| snapshot.find_database(name).map(|database| Database::clone(database));
            compare(state(base), state(now), "database", || name.clone())?;
        }
        for name in &self.whole_databases {
            let tables = |snapshot: &Snapshot| -> Vec<(i64, i64, String)> {
                let state = |table: &Arc<crate::Table>| (table.id, table.version, table.name.name.clone());
                snapshot.tables_in(name).map(state).collect()
            };
            compare(Some(tables(base)), Some(tables(now)), "database", || name.clone())?;
        }
        for name in &self.crawlers {
            let state = |snapshot: &Snapshot| snapshot.crawlers.get(name).map(|crawler| (crawler.id, crawler.version));
            compare(state(base), state(now), "crawler", || name.clone())?;
        }
        for name in &self.schedules {
            let state = |snapshot: &Snapshot| snapshot.schedules.get(name).map(|it| (it.id, it.version));
            compare(state(base), state(now), "schedule", || name.clone())?;
        }
        for name in &self.classifiers {
            let state = |snapshot: &Snapshot| snapshot.classifiers.get(name).map(|it| (it.id, it.version));
            compare(state(base), state(now), "classifier", || name.clone())?;
        }
        for name in &self.reports {
            let state = |snapshot: &Snapshot| snapshot.reports.get(name).map(|it| (it.id, it.version));
            compare(state(base), state(now), "report", || name.clone())?;
        }
        for name in &self.roles {
            let state = |snapshot: &Snapshot| snapshot.roles.get(name).map(|role| (role.id, role.version));
            compare(state(base), state(now), "role", || name.clone())?;
        }
        if self.rights && base.acls != now.acls {
            return Err(Error::Conflict { kind: "role", name: "rights".to_owned() });
        }
        Ok(())
    }
}

fn compare<T: PartialEq>(
    before: Option<T>,
    now: Option<T>,
    kind: &'static str,
    name: impl FnOnce() -> String,
) -> Result<()> {
    match (before, now) {
        (before, now) if before == now => Ok(()),
        (None, Some(_)) => Err(Error::AlreadyExists { kind, name: name() }),
        (Some(_), None) => Err(Error::NotFound { kind, name: name(), hint: None }),
        _ => Err(Error::Conflict { kind, name: name() }),
    }
}
