//! What roles own: ALTER SCHEMA .. OWNER TO, REASSIGN OWNED, DROP OWNED.

use limnos_catalog::{AclChange, AclObject, Change, TableKind};

use super::{Asker, Planned, denied};
use crate::command::resolve_database_name;
use crate::parse::role::RoleName;
use crate::{Result, Session};

pub(super) fn database_owner(asker: &Asker<'_, '_>, session: &Session, database: &str, to: &RoleName) -> Planned {
    let to = asker.existing(session, to)?;
    let is_lake = database == session.catalog_name && asker.snapshot().find_database(database).is_none();
    let object = if is_lake {
        asker.rights.check_superuser("change the owner of the database")?;
        AclObject::Lake
    } else {
        let database = asker.rights.database(&resolve_database_name(session, database))?;
        asker.rights.check_owns_database(&database)?;
        if !asker.rights.is_member_of(&to) {
            return Err(denied(format!("must be member of role \"{to}\"")));
        }
        asker.rights.check_creates_databases()?;
        AclObject::Database(database.name.clone())
    };
    Ok((Vec::new(), vec![Change::AlterAcl { object, change: AclChange::Owner(to) }]))
}

/// Roles whose things may be touched. Names that are no roles, and own something from times without any, are a superuser's.
fn owners(asker: &Asker<'_, '_>, session: &Session, roles: &[RoleName], what: &str) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for role in roles {
        let name = asker.name(session, role)?;
        let owns_as_nobody =
            || asker.is_superuser() && !asker.is_known(&name) && !asker.snapshot().dependents_of(&name).is_empty();
        let name = if owns_as_nobody() { name } else { asker.existing(session, role)? };
        if !asker.rights.is_member_of(&name) {
            return Err(denied(format!("permission denied to {what} objects")));
        }
        names.push(name);
    }
    Ok(names)
}

pub(super) fn reassign(asker: &Asker<'_, '_>, session: &Session, from: &[RoleName], to: &RoleName) -> Planned {
    let from = owners(asker, session, from, "reassign")?;
    let to = asker.existing(session, to)?;
    if !asker.rights.is_member_of(&to) {
        return Err(denied("permission denied to reassign objects"));
    }
    let changes = from.into_iter().map(|from| Change::ReassignOwned { from, to: to.clone() });
    Ok((Vec::new(), changes.collect()))
}

pub(super) fn drop(asker: &Asker<'_, '_>, session: &Session, roles: &[RoleName]) -> Planned {
    let snapshot = asker.snapshot();
    let mut changes = Vec::new();
    for role in owners(asker, session, roles, "drop")? {
        for table in snapshot.tables.values().filter(|table| table.owner == role) {
            changes.extend(crate::command::table::own_files(snapshot, table));
            let (name, if_exists) = (table.name.clone(), true);
            changes.push(match table.kind {
                TableKind::Dataset(_) => Change::DropDataset { name, if_exists },
                TableKind::View { .. } => Change::DropTable { name, view: true, if_exists },
                TableKind::External(_) => Change::DropTable { name, view: false, if_exists },
            });
        }
        for crawler in snapshot.crawlers.values().filter(|crawler| crawler.owner == role) {
            changes.push(Change::DropCrawler { name: crawler.name.clone(), if_exists: true });
        }
        for schedule in snapshot.schedules.values().filter(|schedule| schedule.owner == role) {
            changes.push(Change::DropSchedule { name: schedule.name.clone(), if_exists: true });
        }
        for database in snapshot.databases.values() {
            let owner = snapshot.acls.get(&database.id).and_then(|acl| acl.owner.as_ref());
            if owner == Some(&role) {
                changes.push(Change::DropDatabase { name: database.name.clone(), if_exists: true, cascade: false });
            }
        }
        changes.push(Change::ForgetRights { role });
    }
    Ok((Vec::new(), changes))
}
