//! [`Rights`]: what one role may do, as the catalog says now. Every path to data asks here: [`statement`] before a statement
//! runs, the providers of [`super::lake`] for each table that a query names.
//!
//! Rights are those of the newest snapshot, also in a transaction that reads an older one: a REVOKE holds at once.
//! Superusers are asked nothing. Texts are PostgreSQL's.

pub(crate) mod statement;

use std::collections::BTreeSet;
use std::fmt::Display;
use std::sync::Arc;

use limnos_catalog::role::LAKE_ID;
use limnos_catalog::{
    Acl, AclItem, AclKind, BOOTSTRAP_ROLE, Database, Privilege, Privileges, Snapshot, Table, TableName,
};

use crate::session::accounts::{Accounts, Standing};
use crate::{Error, ErrorCode, Result, Session};

/// Members may use files as tables.
pub(crate) const READ_FILES: &str = "pg_read_server_files";
/// Members may write files.
pub(crate) const WRITE_FILES: &str = "pg_write_server_files";
/// Members see what others do.
pub(crate) const READ_STATISTICS: &str = "pg_read_all_stats";

/// What one role may do.
#[derive(Debug, Clone)]
pub struct Rights {
    snapshot: Arc<Snapshot>,
    accounts: Arc<Accounts>,
    user: String,
    is_superuser: bool,
    /// Those whose rights it has, itself included.
    roles: BTreeSet<String>,
    /// What the lake is called.
    lake: String,
}

impl Rights {
    /// Of the current role of `session`.
    pub fn of(snapshot: Arc<Snapshot>, accounts: &Arc<Accounts>, session: &Session) -> Self {
        let standing = match session.is_process() {
            true => Standing::Superuser,
            false => accounts.standing(&snapshot, &session.user),
        };
        Self::new(snapshot, accounts, &session.user, standing, &session.catalog_name)
    }

    /// Of whoever owns something: a view reads with its owner's rights.
    pub(crate) fn of_owner(&self, owner: &str) -> Self {
        let standing = self.accounts.owner_standing(&self.snapshot, owner);
        Self::new(Arc::clone(&self.snapshot), &self.accounts, owner, standing, &self.lake)
    }

    /// Of the role `name`, for questions about it.
    pub(crate) fn of_role(&self, name: &str) -> Self {
        let standing = self.accounts.standing(&self.snapshot, name);
        Self::new(Arc::clone(&self.snapshot), &self.accounts, name, standing, &self.lake)
    }

    fn new(snapshot: Arc<Snapshot>, accounts: &Arc<Accounts>, user: &str, standing: Standing, lake: &str) -> Self {
        let roles = snapshot.roles_of(user, true);
        Self {
            accounts: Arc::clone(accounts),
            user: user.to_owned(),
            is_superuser: standing == Standing::Superuser,
            roles,
            snapshot,
            lake: lake.to_owned(),
        }
    }

    /// Who it is about.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Whether nothing is asked.
    pub fn is_superuser(&self) -> bool {
        self.is_superuser
    }

    /// The catalog whose rights these are.
    pub(crate) fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// Whether it has what `role` has.
    pub fn has_role(&self, role: &str) -> bool {
        self.is_superuser || self.roles.contains(role)
    }

    /// Whether it may see what others do.
    pub fn reads_statistics(&self) -> bool {
        self.has_role(READ_STATISTICS) || self.has_role("pg_monitor")
    }

    /// The role that an object of `owner` belongs to.
    pub(crate) fn owner<'a>(&self, owner: &'a str) -> &'a str {
        match self.accounts.standing(&self.snapshot, owner) {
            Standing::Unknown => BOOTSTRAP_ROLE,
            _ => owner,
        }
    }

    /// The owner of a database of this id.
    pub(crate) fn database_owner(&self, id: i64) -> &str {
        let owner = self.snapshot.acls.get(&id).and_then(|acl| acl.owner.as_deref());
        self.owner(owner.unwrap_or(BOOTSTRAP_ROLE))
    }

    /// The list of rights on an object, made up where nobody has granted anything.
    pub(crate) fn items(&self, id: i64, kind: AclKind, owner: &str) -> Vec<AclItem> {
        let items = self.snapshot.acls.get(&id).and_then(|acl| acl.items.clone());
        items.unwrap_or_else(|| Acl::initial(kind, owner, id == 1))
    }

    /// What it has by `items`, and what of it it may give on.
    pub(crate) fn held(&self, items: &[AclItem]) -> (Privileges, Privileges) {
        let own = items.iter().filter(|item| match &item.grantee {
            None => true,
            Some(grantee) => self.roles.contains(grantee) || self.roles.contains(self.owner(grantee)),
        });
        own.fold((Privileges::NONE, Privileges::NONE), |(held, grantable), item| {
            (held.with(item.privileges), grantable.with(item.grantable))
        })
    }

    /// Whether it owns `table`, or is in a role that does.
    pub(crate) fn owns(&self, table: &Table) -> bool {
        let table = self.newest(table);
        self.has_role(self.owner(&table.owner))
    }

    /// Whether it owns the database, or is in a role that does.
    pub(crate) fn owns_database(&self, database: &Database) -> bool {
        self.has_role(self.database_owner(database.id))
    }

    /// What `table` is by now: who owns it may have changed since the statement's snapshot.
    fn newest<'a>(&'a self, table: &'a Table) -> &'a Table {
        let now = self.snapshot.find_table(&table.name).filter(|now| now.id == table.id);
        now.map_or(table, |now| now.as_ref())
    }

    /// What it may do with `table`, and what of that it may give on.
    pub(crate) fn on_table(&self, table: &Table) -> (Privileges, Privileges) {
        if self.is_superuser {
            return (AclKind::Table.all(), AclKind::Table.all());
        }
        let table = self.newest(table);
        let owner = self.owner(&table.owner);
        let (mut held, mut grantable) = self.held(&self.items(table.id, AclKind::Table, owner));
        // GRANT SELECT ON DATABASE is about all tables in it.
        if let Some(database) = self.snapshot.find_database(&table.name.database)
            && self.snapshot.acls.get(&database.id).is_some_and(|acl| acl.items.is_some())
        {
            let items = self.items(database.id, AclKind::Database, self.database_owner(database.id));
            let (more, more_grantable) = self.held(&items);
            held = held.with(more.and(AclKind::Table.all()));
            grantable = grantable.with(more_grantable.and(AclKind::Table.all()));
        }
        if self.roles.contains(owner) {
            grantable = grantable.with(AclKind::Table.all());
        }
        if self.roles.contains("pg_read_all_data") {
            held = held.with(Privileges::of(&[Privilege::Select]));
        }
        if self.roles.contains("pg_write_all_data") {
            held = held.with(Privileges::of(&[Privilege::Insert, Privilege::Update, Privilege::Delete]));
        }
        (held, grantable)
    }

    /// What it may do with a database, and what of that it may give on.
    pub(crate) fn on_database(&self, database: &Database) -> (Privileges, Privileges) {
        let all = AclKind::Database.all();
        if self.is_superuser {
            return (all.with(AclKind::Table.all()), all.with(AclKind::Table.all()));
        }
        let owner = self.database_owner(database.id);
        let (mut held, mut grantable) = self.held(&self.items(database.id, AclKind::Database, owner));
        if self.roles.contains(owner) {
            grantable = grantable.with(all).with(AclKind::Table.all());
        }
        if self.roles.contains("pg_read_all_data") || self.roles.contains("pg_write_all_data") {
            held = held.with(Privileges::of(&[Privilege::Usage]));
        }
        (held, grantable)
    }

    /// What it may do with the lake, and what of that it may give on.
    pub(crate) fn on_lake(&self) -> (Privileges, Privileges) {
        if self.is_superuser {
            return (AclKind::Lake.all(), AclKind::Lake.all());
        }
        let owner = self.database_owner(LAKE_ID);
        let (held, grantable) = self.held(&self.items(LAKE_ID, AclKind::Lake, owner));
        let own = if self.roles.contains(owner) { AclKind::Lake.all() } else { Privileges::NONE };
        (held, grantable.with(own))
    }

    /// Whether the role may connect.
    pub fn may_connect(&self) -> bool {
        self.on_lake().0.has(Privilege::Connect)
    }

    /// Whether anything at all may be done with `table`.
    pub(crate) fn sees(&self, table: &Table) -> bool {
        self.is_superuser || self.owns(table) || !self.on_table(table).0.is_empty()
    }

    /// Refuses unless `privilege` is held on `table`.
    ///
    /// # Errors
    /// 42501.
    pub(crate) fn check_table(&self, table: &Table, privilege: Privilege) -> Result<()> {
        if self.is_superuser || self.on_table(table).0.has(privilege) {
            return Ok(());
        }
        Err(denied_for(table.kind.noun(), &table.name.name))
    }

    /// Refuses unless the schema of a table may be used. `name` need not be there.
    pub(crate) fn check_database(&self, name: &str, privilege: Privilege) -> Result<()> {
        if self.is_superuser {
            return Ok(());
        }
        let Some(database) = self.snapshot.find_database(name) else { return Ok(()) };
        if self.on_database(database).0.has(privilege) {
            return Ok(());
        }
        Err(denied_for("schema", shown(&database.name)))
    }

    pub(crate) fn check_lake(&self, privilege: Privilege) -> Result<()> {
        match self.is_superuser || self.on_lake().0.has(privilege) {
            true => Ok(()),
            false => Err(denied_for("database", &self.lake)),
        }
    }

    /// Refuses unless it may make databases: the attribute CREATEDB, or CREATE on the lake.
    pub(crate) fn check_creates_databases(&self) -> Result<()> {
        let has_attribute = self.snapshot.roles.get(&self.user).is_some_and(|role| role.create_db);
        if has_attribute { Ok(()) } else { self.check_lake(Privilege::Create) }
    }

    pub(crate) fn check_owns(&self, table: &Table) -> Result<()> {
        if self.owns(table) {
            return Ok(());
        }
        Err(must_own(table.kind.noun(), &table.name.name))
    }

    pub(crate) fn check_owns_database(&self, database: &Database) -> Result<()> {
        if self.owns_database(database) {
            return Ok(());
        }
        Err(must_own("schema", shown(&database.name)))
    }

    /// Refuses unless it may read files by their paths. `what` is what it wants to do.
    pub(crate) fn check_reads_files(&self, what: &str) -> Result<()> {
        self.check_predefined(READ_FILES, what)
    }

    /// Refuses unless it may write files by their paths.
    pub(crate) fn check_writes_files(&self, what: &str) -> Result<()> {
        self.check_predefined(WRITE_FILES, what)
    }

    /// Refuses unless it may say where tables' files are: whoever owns a table reads and deletes them.
    pub(crate) fn check_places_files(&self) -> Result<()> {
        self.check_reads_files("name a location")?;
        self.check_writes_files("name a location")
    }

    fn check_predefined(&self, role: &str, what: &str) -> Result<()> {
        if self.has_role(role) {
            return Ok(());
        }
        let message = format!("must be superuser or have privileges of the {role} role to {what}");
        Err(Error::new(ErrorCode::InsufficientPrivilege, message))
    }

    pub(crate) fn check_superuser(&self, what: &str) -> Result<()> {
        if self.is_superuser {
            return Ok(());
        }
        Err(Error::new(ErrorCode::InsufficientPrivilege, format!("must be superuser to {what}")))
    }

    /// The table or view called `name`, if the schema it is in may be used. Near names are told only where they may be known.
    ///
    /// # Errors
    /// 42501, 42P01.
    pub(crate) fn table(&self, name: &TableName) -> Result<Arc<Table>> {
        self.check_database(&name.database, Privilege::Usage)?;
        match self.snapshot.find_table(name) {
            Some(table) => Ok(Arc::clone(table)),
            None => Err(self.visible().table(name).map(|_| ()).expect_err("it is not there").into()),
        }
    }

    /// As [`Rights::table`], where it may be absent.
    pub(crate) fn find_table(&self, name: &TableName) -> Result<Option<Arc<Table>>> {
        self.check_database(&name.database, Privilege::Usage)?;
        Ok(self.snapshot.find_table(name).cloned())
    }

    /// The database called `name`.
    pub(crate) fn database(&self, name: &str) -> Result<Arc<Database>> {
        Ok(Arc::clone(self.snapshot.database(name)?))
    }

    /// The catalog with what may be known of it: tables of schemas that may be used, crawlers of one's own.
    pub(crate) fn visible(&self) -> Arc<Snapshot> {
        self.visible_of(&self.snapshot)
    }

    /// What may be known of `snapshot`.
    pub(crate) fn visible_of(&self, snapshot: &Arc<Snapshot>) -> Arc<Snapshot> {
        if self.is_superuser {
            return Arc::clone(snapshot);
        }
        let usable: BTreeSet<&str> = (self.snapshot.databases.values())
            .filter(|database| self.on_database(database).0.has(Privilege::Usage))
            .map(|database| database.name.as_str())
            .collect();
        let mut visible = Snapshot::clone(snapshot);
        visible.tables.retain(|name, _| usable.contains(name.database.as_str()));
        visible.schedules.retain(|_, schedule| self.has_role(self.owner(&schedule.owner)));
        visible.crawlers.retain(|_, crawler| self.has_role(self.owner(&crawler.owner)));
        visible.reports.retain(|_, report| self.has_role(self.owner(&report.owner)));
        Arc::new(visible)
    }

    /// What of `snapshot` it has any right on: what `information_schema` shows.
    pub(crate) fn accessible_of(&self, snapshot: &Arc<Snapshot>) -> Arc<Snapshot> {
        if self.is_superuser {
            return Arc::clone(snapshot);
        }
        let mut accessible = Snapshot::clone(snapshot);
        accessible.tables.retain(|_, table| self.sees(table));
        Arc::new(accessible)
    }
}

/// What PostgreSQL's clients call a database.
fn shown(database: &str) -> &str {
    super::pg_catalog::shown_schema(database)
}

/// `permission denied for table orders`
pub(crate) fn denied_for(kind: &str, name: impl Display) -> Error {
    Error::new(ErrorCode::InsufficientPrivilege, format!("permission denied for {kind} {name}"))
}

/// `must be owner of table orders`
pub(crate) fn must_own(kind: &str, name: impl Display) -> Error {
    Error::new(ErrorCode::InsufficientPrivilege, format!("must be owner of {kind} {name}"))
}
