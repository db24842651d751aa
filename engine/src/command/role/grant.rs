//! GRANT, REVOKE and ALTER DEFAULT PRIVILEGES.

use std::sync::Arc;

use limnos_catalog::{AclChange, AclEdit, AclKind, AclObject, Change, Privileges, Table, TableName};

use super::{Asker, Planned, all_tables_in, denied};
use crate::command::{resolve_database_name, resolve_table_name};
use crate::parse::role::{GrantObjects, GrantStatement, RoleName};
use crate::plan::authorize::denied_for;
use crate::plan::pg_catalog::shown_schema;
use crate::{Error, ErrorCode, Notice, Result, Session};

/// One object that is granted on.
struct Target {
    object: AclObject,
    kind: AclKind,
    /// `table`, and what messages call it.
    noun: &'static str,
    name: String,
    owner: String,
    /// What may be granted.
    possible: Privileges,
    held: Privileges,
    grantable: Privileges,
    /// Whether the asker is the owner, or in a role that is, or a superuser.
    is_own: bool,
}

pub(super) fn grant(
    asker: &Asker<'_, '_>,
    session: &Session,
    objects: &GrantObjects,
    grant: &GrantStatement,
) -> Planned {
    let grantees = grantees(asker, session, &grant.grantees)?;
    let (mut notices, mut changes) = (Vec::new(), Vec::new());
    for target in targets(asker, session, objects)? {
        let wanted = wanted(grant, target.possible, target.kind)?;
        if let Some((grantor, given)) = grantor(asker, &target, wanted, grant, &mut notices)? {
            let edit = AclEdit {
                revoke: grant.revoke,
                privileges: given,
                grantees: grantees.clone(),
                grantor,
                option: grant.option,
                cascade: grant.cascade,
            };
            changes.push(Change::AlterAcl { object: target.object, change: AclChange::Edit(edit) });
        }
    }
    Ok((notices, changes))
}

fn grantees(asker: &Asker<'_, '_>, session: &Session, names: &[RoleName]) -> Result<Vec<Option<String>>> {
    let grantee = |name: &RoleName| match name {
        RoleName::Public => Ok(None),
        name => asker.existing(session, name).map(Some),
    };
    names.iter().map(grantee).collect()
}

/// What the statement gives or takes of what there is.
fn wanted(grant: &GrantStatement, possible: Privileges, kind: AclKind) -> Result<Privileges> {
    let Some(wanted) = grant.privileges else { return Ok(kind.all()) };
    match wanted.without(possible).iter().next() {
        None => Ok(wanted),
        Some(privilege) => {
            let kind = match kind {
                AclKind::Table => "table",
                AclKind::Database => "schema",
                AclKind::Lake => "database",
            };
            let message = format!("invalid privilege type {} for {kind}", privilege.word());
            Err(Error::new(ErrorCode::InvalidGrantOperation, message))
        }
    }
}

/// Who gives: the owner, if the asker is that or above it, else whoever of the asker's roles may give on.
fn grantor(
    asker: &Asker<'_, '_>,
    target: &Target,
    wanted: Privileges,
    grant: &GrantStatement,
    notices: &mut Vec<Notice>,
) -> Result<Option<(String, Privileges)>> {
    if target.is_own {
        return Ok(Some((target.owner.clone(), wanted)));
    }
    let given = target.grantable.and(wanted);
    if given.is_empty() && target.held.is_empty() {
        return Err(denied_for(target.noun, &target.name));
    }
    let (what, how) = if grant.revoke { ("revoked", "could be") } else { ("granted", "were") };
    let sqlstate = if grant.revoke { "01006" } else { "01007" };
    let warn = |message: String| Notice { severity: "WARNING", sqlstate, message };
    if given.is_empty() {
        notices.push(warn(format!("no privileges {how} {what} for \"{}\"", target.name)));
        return Ok(None);
    }
    if given != wanted && grant.privileges.is_some() {
        notices.push(warn(format!("not all privileges {how} {what} for \"{}\"", target.name)));
    }
    // The role whose right it is: itself first.
    let items = target_items(asker, target);
    let holder = items
        .iter()
        .filter(|item| !item.grantable.and(given).is_empty())
        .find_map(|item| item.grantee.clone().filter(|grantee| grantee == asker.rights.user()));
    let holder = holder.or_else(|| {
        let holds = |item: &&limnos_catalog::AclItem| !item.grantable.and(given).is_empty();
        items.iter().filter(holds).find_map(|item| item.grantee.clone().filter(|name| asker.rights.has_role(name)))
    });
    Ok(holder.map(|holder| (holder, given)))
}

fn target_items(asker: &Asker<'_, '_>, target: &Target) -> Vec<limnos_catalog::AclItem> {
    let snapshot = asker.snapshot();
    let id = match &target.object {
        AclObject::Lake => Some(limnos_catalog::role::LAKE_ID),
        AclObject::Database(name) => snapshot.find_database(name).map(|database| database.id),
        AclObject::Table(name) => snapshot.find_table(name).map(|table| table.id),
    };
    id.map(|id| asker.rights.items(id, target.kind, &target.owner)).unwrap_or_default()
}

fn targets(asker: &Asker<'_, '_>, session: &Session, objects: &GrantObjects) -> Result<Vec<Target>> {
    match objects {
        GrantObjects::Tables(names) => {
            let table = |name| asker.rights.table(&resolve_table_name(session, name));
            names.iter().map(|name| Ok(table_target(asker, &table(name)?))).collect()
        }
        GrantObjects::AllTablesIn(schemas) => {
            let mut targets = Vec::new();
            for schema in schemas {
                let database = asker.rights.database(&resolve_database_name(session, schema))?;
                asker.rights.check_database(&database.name, limnos_catalog::Privilege::Usage)?;
                let tables = all_tables_in(&asker.rights, &database.name);
                targets.extend(tables.iter().map(|table| table_target(asker, table)));
            }
            Ok(targets)
        }
        GrantObjects::NothingIn(schemas) => {
            for schema in schemas {
                asker.rights.database(&resolve_database_name(session, schema))?;
            }
            Ok(Vec::new())
        }
        GrantObjects::Schemas(names) => {
            names.iter().map(|name| database_target(asker, session, name, AclKind::Database.all())).collect()
        }
        GrantObjects::Databases(names) => {
            let target = |name: &String| {
                if *name == session.catalog_name {
                    return Ok(lake_target(asker, name));
                }
                // Our word: what is granted on a database beside USAGE and CREATE is about all tables in it.
                let all = AclKind::Database.all().with(AclKind::Table.all());
                database_target(asker, session, name, all)
            };
            names.iter().map(target).collect()
        }
    }
}

fn table_target(asker: &Asker<'_, '_>, table: &Arc<Table>) -> Target {
    let (held, grantable) = asker.rights.on_table(table);
    Target {
        object: AclObject::Table(TableName::clone(&table.name)),
        kind: AclKind::Table,
        noun: table.kind.noun(),
        name: table.name.name.clone(),
        owner: asker.rights.owner(&table.owner).to_owned(),
        possible: AclKind::Table.all(),
        held,
        grantable,
        is_own: asker.rights.owns(table),
    }
}

fn database_target(asker: &Asker<'_, '_>, session: &Session, name: &str, possible: Privileges) -> Result<Target> {
    let database = asker.rights.database(&resolve_database_name(session, name))?;
    let (held, grantable) = asker.rights.on_database(&database);
    Ok(Target {
        object: AclObject::Database(database.name.clone()),
        kind: AclKind::Database,
        noun: "schema",
        name: shown_schema(&database.name).to_owned(),
        owner: asker.rights.database_owner(database.id).to_owned(),
        possible,
        held,
        grantable,
        is_own: asker.rights.owns_database(&database),
    })
}

fn lake_target(asker: &Asker<'_, '_>, name: &str) -> Target {
    let (held, grantable) = asker.rights.on_lake();
    let owner = asker.rights.database_owner(limnos_catalog::role::LAKE_ID).to_owned();
    let is_own = asker.rights.has_role(&owner);
    Target {
        object: AclObject::Lake,
        kind: AclKind::Lake,
        noun: "database",
        name: name.to_owned(),
        owner,
        possible: AclKind::Lake.all(),
        held,
        grantable,
        is_own,
    }
}

/// ALTER DEFAULT PRIVILEGES.
pub(super) fn defaults(
    asker: &Asker<'_, '_>,
    session: &Session,
    roles: &[RoleName],
    schemas: &[String],
    kind: Option<AclKind>,
    grant: &GrantStatement,
) -> Planned {
    let roles = match roles {
        [] => vec![session.user.clone()],
        roles => roles.iter().map(|role| asker.existing(session, role)).collect::<Result<_>>()?,
    };
    if let Some(other) = roles.iter().find(|role| !asker.rights.is_member_of(role)) {
        return Err(denied(format!("must be member of role \"{other}\"")));
    }
    // Of sequences and functions there are none.
    let Some(kind) = kind else { return Ok((Vec::new(), Vec::new())) };
    if kind == AclKind::Database && !schemas.is_empty() {
        let message = "cannot use IN SCHEMA clause when using GRANT/REVOKE ON SCHEMAS";
        return Err(Error::new(ErrorCode::InvalidGrantOperation, message));
    }
    let grantees = grantees(asker, session, &grant.grantees)?;
    let privileges = wanted(grant, kind.all(), kind)?;
    let databases: Vec<Option<String>> = match schemas {
        [] => vec![None],
        schemas => schemas
            .iter()
            .map(|name| Ok(Some(asker.rights.database(&resolve_database_name(session, name))?.name.clone())))
            .collect::<Result<_>>()?,
    };
    let mut changes = Vec::new();
    for role in &roles {
        for database in &databases {
            let edit = AclEdit {
                revoke: grant.revoke,
                privileges,
                grantees: grantees.clone(),
                grantor: role.clone(),
                option: grant.option,
                cascade: grant.cascade,
            };
            let change = AclChange::EditDefault { role: role.clone(), database: database.clone(), kind, edit };
            changes.push(Change::AlterAcl { object: AclObject::Lake, change });
        }
    }
    Ok((Vec::new(), changes))
}
