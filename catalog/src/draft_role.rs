//! Changes to roles and rights, into the next snapshot and the open transaction alike.

use std::sync::Arc;

use crate::draft::Draft;
use crate::object::Object;
use crate::privilege::{edit_items, forget_in_items, rename_in_items};
use crate::role::{BOOTSTRAP_ROLE, LAKE_ID, PREDEFINED_ROLES, ROLE_COUNT_MAX, validate_role_name};
use crate::{
    Acl, AclChange, AclItem, AclKind, AclObject, DefaultAcl, Error, Result, Role, RoleDefinition, Table,
    TableDefinition,
};

/// The most items of one object's rights: they are read whenever it is used.
const ACL_ITEM_COUNT_MAX: usize = 10_000;

/// The most lines of the detail that says why a role can't be dropped.
const DEPENDENTS_SHOWN_MAX: usize = 100;

impl Draft<'_> {
    pub(crate) fn create_role(&mut self, name: &str, definition: RoleDefinition) -> Result<()> {
        validate_role_name(name)?;
        if self.snapshot.roles.contains_key(name) {
            return Err(Error::AlreadyExists { kind: "role", name: name.to_owned() });
        }
        if self.snapshot.roles.len() >= ROLE_COUNT_MAX {
            let message = format!("there are {ROLE_COUNT_MAX} roles, which is the most there may be");
            return Err(Error::Invalid { message, hint: Some("Drop some first.".to_owned()) });
        }
        self.check_memberships(name, &definition)?;
        let (id, now_ms) = (self.take_id(), self.now_ms);
        let name = name.to_owned();
        self.put_object(Role { id, name, version: 1, created_at_ms: now_ms, updated_at_ms: now_ms, definition })
    }

    pub(crate) fn alter_role(
        &mut self,
        name: &str,
        definition: RoleDefinition,
        base_version: Option<i64>,
    ) -> Result<()> {
        let existing = Arc::clone(self.snapshot.role(name)?);
        if base_version.is_some_and(|base_version| base_version != existing.version) {
            return Err(Error::Conflict { kind: "role", name: name.to_owned() });
        }
        self.check_memberships(name, &definition)?;
        self.put_object(Object { version: existing.version + 1, definition, ..(*existing).clone() })
    }

    /// The roles that `name` is to be in must be there, and must not be in it.
    fn check_memberships(&self, name: &str, definition: &RoleDefinition) -> Result<()> {
        for group in definition.member_of.keys() {
            if !PREDEFINED_ROLES.contains(&group.as_str()) {
                self.snapshot.role(group)?;
            }
            if group == name || self.snapshot.roles_of(group, false).contains(name) {
                return Err(Error::Loop { role: group.clone(), member: name.to_owned() });
            }
        }
        Ok(())
    }

    pub(crate) fn drop_role(&mut self, name: &str, if_exists: bool) -> Result<()> {
        let role = match self.snapshot.role(name) {
            Ok(role) => Arc::clone(role),
            Err(_) if if_exists => return Ok(()),
            Err(error) => return Err(error),
        };
        let dependents = self.snapshot.dependents_of(name);
        if !dependents.is_empty() {
            let more = dependents.len().saturating_sub(DEPENDENTS_SHOWN_MAX);
            let mut lines: Vec<String> = dependents.into_iter().take(DEPENDENTS_SHOWN_MAX).collect();
            if more > 0 {
                lines.push(format!("and {more} other objects (see server log for list)"));
            }
            return Err(Error::Dependents {
                message: format!("role \"{name}\" cannot be dropped because some objects depend on it"),
                detail: Some(lines.join("\n")),
                hint: None,
            });
        }
        let members = self.snapshot.roles.values().filter(|member| member.member_of.contains_key(name));
        for member in members.cloned().collect::<Vec<_>>() {
            let mut definition = member.definition.clone();
            definition.member_of.remove(name);
            self.alter_role(&member.name, definition, None)?;
        }
        self.transaction.delete_object(role.id)?;
        self.snapshot.roles.remove(name);
        self.is_changed = true;
        Ok(())
    }

    /// Gives a role another name, wherever it is named.
    pub(crate) fn rename_role(&mut self, from: &str, to: &str) -> Result<()> {
        let role = Arc::clone(self.snapshot.role(from)?);
        validate_role_name(to)?;
        if self.snapshot.roles.contains_key(to) {
            return Err(Error::AlreadyExists { kind: "role", name: to.to_owned() });
        }
        self.snapshot.roles.remove(from);
        self.put_object(Object { name: to.to_owned(), version: role.version + 1, ..(*role).clone() })?;
        for member in self.snapshot.roles.values().cloned().collect::<Vec<_>>() {
            let mut definition = member.definition.clone();
            if let Some(membership) = definition.member_of.remove(from) {
                definition.member_of.insert(to.to_owned(), membership);
            }
            for membership in definition.member_of.values_mut().filter(|membership| membership.grantor == from) {
                to.clone_into(&mut membership.grantor);
            }
            if definition != member.definition {
                self.put_object(Object { definition, ..(*member).clone() })?;
            }
        }
        self.rename_in_acls(from, to)?;
        self.change_owner_of_all(from, to)
    }

    /// `REASSIGN OWNED`: whatever is `from`'s is `to`'s from now on.
    pub(crate) fn reassign_owned(&mut self, from: &str, to: &str) -> Result<()> {
        self.change_owner_of_all(from, to)
    }

    fn change_owner_of_all(&mut self, from: &str, to: &str) -> Result<()> {
        let owned = self.snapshot.tables.values().filter(|table| table.owner == from);
        for table in owned.cloned().collect::<Vec<_>>() {
            let definition = TableDefinition { owner: to.to_owned(), ..(*table.definition).clone() };
            self.alter_table(&table.name, definition, None)?;
        }
        let owned = self.snapshot.crawlers.values().filter(|crawler| crawler.owner == from);
        for crawler in owned.cloned().collect::<Vec<_>>() {
            let mut definition = crawler.definition.clone();
            to.clone_into(&mut definition.owner);
            self.alter_object(&crawler.name, definition, None)?;
        }
        let owned = self.snapshot.reports.values().filter(|report| report.owner == from);
        for report in owned.cloned().collect::<Vec<_>>() {
            let mut definition = report.definition.clone();
            to.clone_into(&mut definition.owner);
            self.alter_object(&report.name, definition, None)?;
        }
        let owned = self.snapshot.schedules.values().filter(|schedule| schedule.owner == from);
        for schedule in owned.cloned().collect::<Vec<_>>() {
            let mut definition = schedule.definition.clone();
            to.clone_into(&mut definition.owner);
            self.alter_object(&schedule.name, definition, None)?;
        }
        let owned = self.snapshot.acls.iter().filter(|(_, acl)| acl.owner.as_deref() == Some(from));
        for (id, acl) in owned.map(|(id, acl)| (*id, Acl::clone(acl))).collect::<Vec<_>>() {
            self.put_acl(id, with_owner(acl, from, to))?;
        }
        Ok(())
    }

    fn rename_in_acls(&mut self, from: &str, to: &str) -> Result<()> {
        for (id, mut acl) in self.all_acls() {
            if let Some(items) = &mut acl.items {
                rename_in_items(items, from, to);
            }
            for default in &mut acl.defaults {
                rename_in_items(&mut default.items, from, to);
                if default.role == from {
                    to.clone_into(&mut default.role);
                }
            }
            self.put_acl(id, acl)?;
        }
        Ok(())
    }

    /// Takes away what `role` has on anything: what DROP OWNED does beside dropping what it owns.
    pub(crate) fn forget_rights(&mut self, role: &str) -> Result<()> {
        for (id, mut acl) in self.all_acls() {
            let owner = self.owner_of(id, &acl);
            if let Some(items) = &mut acl.items
                && owner != role
            {
                forget_in_items(items, role);
            }
            acl.defaults.retain(|default| default.role != role);
            for default in &mut acl.defaults {
                forget_in_items(&mut default.items, role);
            }
            acl.defaults.retain(|default| !default.items.is_empty());
            self.put_acl(id, acl)?;
        }
        Ok(())
    }

    fn all_acls(&self) -> Vec<(i64, Acl)> {
        self.snapshot.acls.iter().map(|(id, acl)| (*id, Acl::clone(acl))).collect()
    }

    /// Who owns the object of this id; `acl` is its own.
    fn owner_of(&self, id: i64, acl: &Acl) -> String {
        let table = || self.snapshot.tables.values().find(|table| table.id == id).map(|table| table.owner.clone());
        acl.owner.clone().or_else(table).unwrap_or_else(|| BOOTSTRAP_ROLE.to_owned())
    }

    pub(crate) fn alter_acl(&mut self, object: &AclObject, change: AclChange) -> Result<()> {
        let (id, kind, table_owner) = match object {
            AclObject::Lake => (LAKE_ID, AclKind::Lake, None),
            AclObject::Database(name) => (self.snapshot.database(name)?.id, AclKind::Database, None),
            AclObject::Table(name) => {
                let table = self.snapshot.table(name)?;
                (table.id, AclKind::Table, Some(table.owner.clone()))
            }
        };
        let mut acl = self.snapshot.acls.get(&id).map(|acl| Acl::clone(acl)).unwrap_or_default();
        let owner = table_owner.or_else(|| acl.owner.clone()).unwrap_or_else(|| BOOTSTRAP_ROLE.to_owned());
        match change {
            AclChange::Edit(edit) => {
                let mut items =
                    acl.items.take().unwrap_or_else(|| Acl::initial(kind, &owner, id == crate::database::DEFAULT_ID));
                edit_items(&mut items, &owner, &edit)?;
                check_count(items.len())?;
                acl.items = Some(items);
            }
            AclChange::EditDefault { role, database, kind, edit } => {
                let database =
                    database.map(|name| self.snapshot.database(&name).map(|database| database.id)).transpose()?;
                let is_it = |default: &&mut DefaultAcl| {
                    default.role == role && default.database == database && default.kind == kind
                };
                if acl.defaults.iter_mut().find(is_it).is_none() {
                    acl.defaults.push(DefaultAcl { role: role.clone(), database, kind, items: Vec::new() });
                }
                if let Some(default) = acl.defaults.iter_mut().find(is_it) {
                    edit_items(&mut default.items, &role, &edit)?;
                    check_count(default.items.len())?;
                }
                acl.defaults.retain(|default| !default.items.is_empty());
                check_count(acl.defaults.len())?;
            }
            AclChange::Owner(to) => acl = with_owner(acl, &owner, &to),
            AclChange::InitialOwner(to) => {
                // A database that was there before this commit keeps whom it has.
                if id < self.first_new_id {
                    return Ok(());
                }
                acl.items = self.default_items(&to, None, kind);
                acl.owner = Some(to);
            }
        }
        self.put_acl(id, acl)
    }

    /// What a new object of `owner` has, where ALTER DEFAULT PRIVILEGES has said something.
    pub(crate) fn default_items(&self, owner: &str, database: Option<i64>, kind: AclKind) -> Option<Vec<AclItem>> {
        let lake = self.snapshot.acls.get(&LAKE_ID)?;
        let matching = lake.defaults.iter().filter(|default| {
            default.role == owner
                && default.kind == kind
                && (default.database.is_none() || default.database == database)
        });
        let given: Vec<AclItem> = matching.flat_map(|default| default.items.clone()).collect();
        if given.is_empty() {
            return None;
        }
        let mut items = Acl::initial(kind, owner, false);
        items.extend(given);
        // The same from the database and from anywhere is one item.
        rename_in_items(&mut items, owner, owner);
        Some(items)
    }

    /// What a table that has just been made has.
    pub(crate) fn put_initial_acl(&mut self, table: i64, database: &str, owner: &str) -> Result<()> {
        let database = self.snapshot.database(database)?.id;
        let Some(items) = self.default_items(owner, Some(database), AclKind::Table) else { return Ok(()) };
        self.put_acl(table, Acl { items: Some(items), ..Acl::default() })
    }

    /// Tells the rights of `existing` that its table has another owner.
    pub(crate) fn change_owner_in_acl(&mut self, existing: &Table, to: &str) -> Result<()> {
        let Some(acl) = self.snapshot.acls.get(&existing.id) else { return Ok(()) };
        let mut acl = Acl::clone(acl);
        if let Some(items) = &mut acl.items {
            rename_in_items(items, &existing.owner, to);
        }
        self.put_acl(existing.id, acl)
    }

    /// Forgets what ALTER DEFAULT PRIVILEGES has said of a database that is dropped.
    pub(crate) fn forget_defaults_in(&mut self, database: i64) -> Result<()> {
        let Some(lake) = self.snapshot.acls.get(&LAKE_ID) else { return Ok(()) };
        let mut lake = Acl::clone(lake);
        lake.defaults.retain(|default| default.database != Some(database));
        self.put_acl(LAKE_ID, lake)
    }

    pub(crate) fn put_acl(&mut self, id: i64, acl: Acl) -> Result<()> {
        if self.snapshot.acls.get(&id).map_or(acl.is_empty(), |known| **known == acl) {
            return Ok(());
        }
        if acl.is_empty() {
            return self.delete_acl(id);
        }
        self.transaction.put_acl(id, &acl)?;
        self.snapshot.acls.insert(id, Arc::new(acl));
        self.is_changed = true;
        Ok(())
    }

    /// The object is gone, or has nothing that others haven't.
    pub(crate) fn delete_acl(&mut self, id: i64) -> Result<()> {
        if self.snapshot.acls.remove(&id).is_some() {
            self.transaction.delete_acl(id)?;
            self.is_changed = true;
        }
        Ok(())
    }
}

fn with_owner(mut acl: Acl, from: &str, to: &str) -> Acl {
    if let Some(items) = &mut acl.items {
        rename_in_items(items, from, to);
    }
    acl.owner = Some(to.to_owned());
    acl
}

fn check_count(count: usize) -> Result<()> {
    if count <= ACL_ITEM_COUNT_MAX {
        return Ok(());
    }
    let message = format!("an object can have at most {ACL_ITEM_COUNT_MAX} grants");
    Err(Error::Invalid { message, hint: Some("Grant to a role, and let others into it.".to_owned()) })
}
