//! CREATE, ALTER and DROP DATABASE.

use std::collections::BTreeMap;

use limnos_catalog::{AclChange, AclObject, Change, CreateMode, DatabaseChange};

use super::{CommandAnswer, CommandContext, commit, resolve_database_name, skipping};
use crate::parse::statement::AlterDatabase;
use crate::{Result, Session};

pub(super) async fn create(
    context: &CommandContext<'_>,
    session: &mut Session,
    name: &str,
    comment: Option<String>,
    location: Option<&str>,
    parameters: &BTreeMap<String, String>,
    mode: CreateMode,
) -> Result<CommandAnswer> {
    let name = resolve_database_name(session, name);
    let answer = CommandAnswer::tag("CREATE SCHEMA");
    if mode == CreateMode::IfNotExists && context.snapshot.find_database(&name).is_some() {
        let notice = skipping(&format!("schema \"{name}\" already exists"), "42P06");
        return Ok(answer.with_notices(vec![notice]));
    }
    let location = location.map(|location| context.stores.resolve(location)).transpose()?.map(|location| location.url);
    let parameters = parameters.clone();
    let owner = AclChange::InitialOwner(session.user.clone());
    let owner = Change::AlterAcl { object: AclObject::Database(name.clone()), change: owner };
    let change = Change::CreateDatabase { name, comment, location, parameters, mode };
    let notices = commit(context, session, vec![change, owner]).await?;
    Ok(answer.with_notices(notices))
}

pub(super) async fn alter(
    context: &CommandContext<'_>,
    session: &mut Session,
    name: &str,
    action: &AlterDatabase,
) -> Result<CommandAnswer> {
    let name = resolve_database_name(session, name);
    let change = match action {
        AlterDatabase::SetParameters(parameters) => DatabaseChange::Parameters(parameters.clone()),
        AlterDatabase::SetLocation(location) => DatabaseChange::Location(context.stores.resolve(location)?.url),
        AlterDatabase::RenameTo(to) => DatabaseChange::Rename(resolve_database_name(session, to)),
    };
    let is_here = session.database == name;
    let notices = commit(context, session, vec![Change::AlterDatabase { name, change }]).await?;
    if let (AlterDatabase::RenameTo(to), true) = (action, is_here) {
        to.clone_into(&mut session.database);
    }
    Ok(CommandAnswer::tag("ALTER SCHEMA").with_notices(notices))
}

pub(super) async fn drop(
    context: &CommandContext<'_>,
    session: &mut Session,
    name: &str,
    if_exists: bool,
    cascade: bool,
) -> Result<CommandAnswer> {
    let name = resolve_database_name(session, name);
    let answer = CommandAnswer::tag("DROP SCHEMA");
    if if_exists && context.snapshot.find_database(&name).is_none() {
        let notice = skipping(&format!("schema \"{name}\" does not exist"), "00000");
        return Ok(answer.with_notices(vec![notice]));
    }
    let own = context.snapshot.tables_in(&name).filter_map(|table| super::table::own_files(&context.snapshot, table));
    let mut changes: Vec<Change> = own.collect();
    changes.push(Change::DropDatabase { name: name.clone(), if_exists, cascade });
    let notices = commit(context, session, changes).await?;
    if session.database == name {
        "default".clone_into(&mut session.database);
    }
    Ok(answer.with_notices(notices))
}
