//! Statements about roles and rights ([`RoleStatement`]), with PostgreSQL 15's rules of who may and PostgreSQL's texts.
//! Where 15 lets CREATEROLE hand out the predefined roles, which read and write the server's files, this asks for ADMIN OPTION.

mod definition;
mod grant;
mod identity;
mod owned;

use std::sync::Arc;

use limnos_catalog::{BOOTSTRAP_ROLE, Change, RoleDefinition};

pub(crate) use self::identity::tell_identity;
use super::{CommandAnswer, CommandContext, commit};
use crate::parse::role::{RoleName, RoleStatement};
use crate::plan::authorize::Rights;
use crate::session::accounts::Standing;
use crate::{Error, ErrorCode, Result, Session};

/// Carries out `statement`.
pub(super) async fn run(
    context: &CommandContext<'_>,
    session: &mut Session,
    statement: &RoleStatement,
) -> Result<CommandAnswer> {
    let asker = Asker::new(context, session);
    let (mut notices, changes) = match statement {
        RoleStatement::SetRole { role, local } => return identity::set_role(&asker, session, role.as_deref(), *local),
        RoleStatement::SetSession { role, local } => {
            return identity::set_session(&asker, session, role.as_deref(), *local);
        }
        RoleStatement::Create { name, options } => definition::create(&asker, session, name, options)?,
        RoleStatement::Alter { role, options } => definition::alter(&asker, session, role, options)?,
        RoleStatement::Setting { role, name, values } => {
            definition::setting(&asker, session, role, name.as_deref(), values.as_deref())?
        }
        RoleStatement::Comment { role, text } => definition::comment(&asker, session, role, text.clone())?,
        RoleStatement::Rename { name, to } => definition::rename(&asker, session, name, to)?,
        RoleStatement::Drop { roles, if_exists } => definition::drop(&asker, session, roles, *if_exists)?,
        RoleStatement::Membership { revoke, roles, members, admin, cascade: _ } => {
            definition::membership(&asker, session, *revoke, roles, members, *admin)?
        }
        RoleStatement::Grant { objects, grant } => grant::grant(&asker, session, objects, grant)?,
        RoleStatement::DefaultPrivileges { roles, schemas, kind, grant } => {
            grant::defaults(&asker, session, roles, schemas, *kind, grant)?
        }
        RoleStatement::DatabaseOwner { database, to } => owned::database_owner(&asker, session, database, to)?,
        RoleStatement::ReassignOwned { from, to } => owned::reassign(&asker, session, from, to)?,
        RoleStatement::DropOwned { roles } => owned::drop(&asker, session, roles)?,
    };
    if !changes.is_empty() {
        notices.extend(commit(context, session, changes).await?);
    }
    // What was said of the session's own role holds at once.
    let rights = Rights::of(session.rights_snapshot(context.catalog), context.accounts, session);
    tell_identity(session, &rights);
    Ok(CommandAnswer::tag(statement.tag()).with_notices(notices))
}

/// Who asks for it, in the newest snapshot.
struct Asker<'a, 'c> {
    context: &'a CommandContext<'c>,
    rights: Rights,
}

type Planned = Result<(Vec<crate::Notice>, Vec<Change>)>;

impl<'a, 'c> Asker<'a, 'c> {
    fn new(context: &'a CommandContext<'c>, session: &Session) -> Self {
        Self { context, rights: Rights::of(session.rights_snapshot(context.catalog), context.accounts, session) }
    }

    fn snapshot(&self) -> &limnos_catalog::Snapshot {
        self.rights.snapshot()
    }

    fn is_superuser(&self) -> bool {
        self.rights.is_superuser()
    }

    /// Whether it has the attribute CREATEROLE.
    fn creates_roles(&self) -> bool {
        let role = self.snapshot().roles.get(self.rights.user());
        self.is_superuser() || role.is_some_and(|role| role.create_role)
    }

    /// What `name` is called; PUBLIC is no role.
    fn name(&self, session: &Session, name: &RoleName) -> Result<String> {
        Ok(match name {
            RoleName::Named(name) => name.clone(),
            RoleName::Current => session.user.clone(),
            RoleName::Session => session.login.session_user.clone(),
            RoleName::Public => return Err(reserved("public")),
        })
    }

    /// A role that must be there, of whatever kind.
    fn existing(&self, session: &Session, name: &RoleName) -> Result<String> {
        let name = self.name(session, name)?;
        if self.is_known(&name) {
            return Ok(name);
        }
        let missing = self.snapshot().role(&name).map(|_| ());
        Err(missing.expect_err("known roles are known").into())
    }

    fn is_known(&self, name: &str) -> bool {
        let snapshot = self.snapshot();
        snapshot.roles.contains_key(name)
            || name == BOOTSTRAP_ROLE
            || self.context.accounts.is_configured(name)
            || limnos_catalog::role::PREDEFINED_ROLES.contains(&name)
            // As long as there are no roles, whoever asks is one.
            || snapshot.roles.is_empty() && name == self.rights.user()
    }

    fn is_superuser_role(&self, name: &str) -> bool {
        self.is_known(name) && self.context.accounts.standing(self.snapshot(), name) == Standing::Superuser
    }

    /// The definition of a role that can be changed, and its version. `limnos` has one once something is said of it.
    fn definition(&self, name: &str) -> Result<(RoleDefinition, Option<i64>)> {
        if self.context.accounts.is_configured(name) {
            let message = format!("role \"{name}\" is defined in the server's configuration");
            return Err(Error::new(ErrorCode::ObjectNotInPrerequisiteState, message)
                .with_detail("Users of the configuration are superusers, and log in with the passwords it has.")
                .with_hint("Change it there, or take it out and make it with CREATE ROLE."));
        }
        if limnos_catalog::role::PREDEFINED_ROLES.contains(&name) {
            return Err(reserved(name).with_detail("Cannot alter reserved roles."));
        }
        match self.snapshot().roles.get(name) {
            Some(role) => Ok((role.definition.clone(), Some(role.version))),
            None if name == BOOTSTRAP_ROLE => Ok((bootstrap(), None)),
            None => Ok(Err(self.snapshot().role(name).map(|_| ()).expect_err("it is not there"))?),
        }
    }

    /// What puts a definition in place.
    fn put(&self, name: &str, definition: RoleDefinition, version: Option<i64>) -> Change {
        let name = name.to_owned();
        match version {
            Some(_) => Change::AlterRole { name, definition, base_version: version },
            None => Change::CreateRole { name, definition },
        }
    }
}

/// The superuser that every server has, before anything is said of it.
fn bootstrap() -> RoleDefinition {
    RoleDefinition { can_login: true, superuser: true, create_db: true, create_role: true, ..RoleDefinition::default() }
}

fn reserved(name: &str) -> Error {
    Error::new(ErrorCode::ReservedName, format!("role name \"{name}\" is reserved"))
}

fn denied(message: impl Into<String>) -> Error {
    Error::new(ErrorCode::InsufficientPrivilege, message)
}

/// The snapshot that a whole statement is about.
fn all_tables_in(rights: &Rights, database: &str) -> Vec<Arc<limnos_catalog::Table>> {
    rights.snapshot().tables_in(database).cloned().collect()
}
