//! CREATE, ALTER, RENAME and DROP ROLE, and who is in which.

use limnos_catalog::role::VALID_FOR_EVER;
use limnos_catalog::{BOOTSTRAP_ROLE, Change, Membership, RoleDefinition};

use super::{Asker, Planned, bootstrap, denied, reserved};
use crate::command::skipping;
use crate::input::{self, InputContext};
use crate::parse::role::{Password, RoleName, RoleOptions};
use crate::session::Settings;
use crate::{Error, ErrorCode, Notice, Result, Session};

pub(super) fn create(asker: &Asker<'_, '_>, session: &Session, name: &RoleName, options: &RoleOptions) -> Planned {
    check_attributes(asker, options, "create superusers", "create replication users", "create bypassrls users")?;
    if !asker.creates_roles() {
        return Err(denied("permission denied to create role"));
    }
    let RoleName::Named(name) = name else {
        return Err(match name {
            RoleName::Public => reserved("public"),
            RoleName::Session => Error::new(ErrorCode::ReservedName, "SESSION_USER cannot be used as a role name here"),
            _ => Error::new(ErrorCode::ReservedName, "CURRENT_USER cannot be used as a role name here"),
        });
    };
    let is_bootstrap = name == BOOTSTRAP_ROLE && !asker.snapshot().roles.contains_key(name);
    if is_bootstrap || asker.context.accounts.is_configured(name) {
        return Err(Error::new(ErrorCode::DuplicateObject, format!("role \"{name}\" already exists")));
    }
    let mut changes = Vec::new();
    let mut notices = Vec::new();
    // As long as there are no roles, whoever is let in may do everything. The first role ends that, and nobody is to be
    // locked out by it.
    let user = asker.rights.user();
    let is_first = asker.snapshot().roles.is_empty();
    if is_first && user != BOOTSTRAP_ROLE && user != name && !asker.context.accounts.is_configured(user) {
        changes.push(Change::CreateRole { name: user.to_owned(), definition: bootstrap() });
        notices.push(Notice::notice(format!("role \"{user}\" was made a superuser, as it was without roles")));
    }
    // What its name owns would be the new role's: left behind by sessions of times without roles.
    if !asker.is_superuser() && asker.snapshot().tables.values().any(|table| table.owner == *name) {
        return Err(denied("permission denied to create role")
            .with_detail(format!("There are tables that belong to \"{name}\".")));
    }
    let mut definition = RoleDefinition::default();
    apply(asker, session, name, &mut definition, options)?;
    for group in &options.member_of {
        let group = asker.existing(session, group)?;
        check_may_give(asker, &group)?;
        let grantor = user.to_owned();
        definition.member_of.insert(group, Membership { admin: false, grantor });
    }
    changes.push(Change::CreateRole { name: name.clone(), definition });
    for (members, admin) in [(&options.members, false), (&options.admins, true)] {
        for member in members {
            let member = asker.existing(session, member)?;
            let (mut definition, version) = asker.definition(&member)?;
            definition.member_of.insert(name.clone(), Membership { admin, grantor: user.to_owned() });
            changes.push(asker.put(&member, definition, version));
        }
    }
    Ok((notices, changes))
}

pub(super) fn alter(asker: &Asker<'_, '_>, session: &Session, role: &RoleName, options: &RoleOptions) -> Planned {
    let name = asker.existing(session, role)?;
    if !asker.is_superuser() && asker.is_superuser_role(&name) {
        return Err(denied("must be superuser to alter superuser roles or change superuser attribute"));
    }
    check_attributes(
        asker,
        options,
        "alter superuser roles or change superuser attribute",
        "alter replication roles or change replication attribute",
        "change bypassrls attribute",
    )?;
    // Without CREATEROLE one may change one's own password, and nothing else.
    let only_password = RoleOptions { password: options.password.clone(), ..RoleOptions::default() } == *options;
    let is_own_password = only_password && options.password.is_some() && name == asker.rights.user();
    if !asker.creates_roles() && !is_own_password {
        return Err(denied("permission denied"));
    }
    let (mut definition, version) = asker.definition(&name)?;
    apply(asker, session, &name, &mut definition, options)?;
    if name == BOOTSTRAP_ROLE && !definition.superuser {
        return Err(Error::unsupported("permission denied to alter role")
            .with_detail("The bootstrap user must have the SUPERUSER attribute."));
    }
    Ok((Vec::new(), vec![asker.put(&name, definition, version)]))
}

/// What only superusers may say.
fn check_attributes(
    asker: &Asker<'_, '_>,
    options: &RoleOptions,
    superuser: &str,
    replication: &str,
    bypass_rls: &str,
) -> Result<()> {
    if asker.is_superuser() {
        return Ok(());
    }
    let is_alter = superuser.starts_with("alter");
    let said = |option: Option<bool>| if is_alter { option.is_some() } else { option == Some(true) };
    for (option, what) in
        [(options.superuser, superuser), (options.replication, replication), (options.bypass_rls, bypass_rls)]
    {
        if said(option) {
            return Err(denied(format!("must be superuser to {what}")));
        }
    }
    Ok(())
}

fn apply(
    asker: &Asker<'_, '_>,
    session: &Session,
    name: &str,
    definition: &mut RoleDefinition,
    options: &RoleOptions,
) -> Result<()> {
    let set = |slot: &mut bool, option: Option<bool>| *slot = option.unwrap_or(*slot);
    set(&mut definition.can_login, options.can_login);
    set(&mut definition.superuser, options.superuser);
    set(&mut definition.create_db, options.create_db);
    set(&mut definition.create_role, options.create_role);
    set(&mut definition.inherit, options.inherit);
    set(&mut definition.replication, options.replication);
    set(&mut definition.bypass_rls, options.bypass_rls);
    if let Some(limit) = options.connection_limit {
        if limit < -1 {
            return Err(Error::new(ErrorCode::InvalidParameterValue, format!("invalid connection limit: {limit}")));
        }
        definition.connection_limit = u32::try_from(limit).ok();
    }
    if let Some(until) = &options.valid_until {
        definition.valid_until_us = Some(valid_until(session, until)?);
    }
    match &options.password {
        Some(Some(password)) => definition.verifier = Some(verifier(asker, name, password)?),
        Some(None) => definition.verifier = None,
        None => {}
    }
    Ok(())
}

fn verifier(asker: &Asker<'_, '_>, name: &str, Password(password): &Password) -> Result<String> {
    if password.is_empty() {
        return Err(Error::new(ErrorCode::InvalidParameterValue, format!("the password of role \"{name}\" is empty"))
            .with_hint("PASSWORD NULL takes the password away."));
    }
    let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if password.len() == 35 && password.strip_prefix("md5").is_some_and(is_hex) {
        return Err(Error::unsupported("MD5 passwords are not supported")
            .with_hint("Set password_encryption of the client to scram-sha-256, or give the password itself."));
    }
    asker.context.accounts.verifier(password)
}

/// `infinity`, or a time stamp in the session's zone; microseconds since 1970.
fn valid_until(session: &Session, text: &str) -> Result<i64> {
    match text.trim().to_lowercase().as_str() {
        "infinity" | "inf" => Ok(VALID_FOR_EVER),
        "-infinity" => Ok(i64::MIN),
        _ => input::timestamp_with_zone(text, &InputContext::of(session, None)),
    }
}

/// ALTER ROLE .. SET and RESET.
pub(super) fn setting(
    asker: &Asker<'_, '_>,
    session: &Session,
    role: &RoleName,
    name: Option<&str>,
    values: Option<&[String]>,
) -> Planned {
    let role = asker.existing(session, role)?;
    if !asker.is_superuser() && asker.is_superuser_role(&role) {
        return Err(denied("must be superuser to alter superusers"));
    }
    if !asker.creates_roles() && role != asker.rights.user() {
        return Err(denied("permission denied"));
    }
    let (mut definition, version) = asker.definition(&role)?;
    match (name, values) {
        (None, _) => definition.settings.clear(),
        (Some(name), None) => {
            definition.settings.remove(&Settings::canonical_name(name));
        }
        (Some(name), Some(values)) => {
            // What a session would refuse is refused here: it would keep the role from logging in.
            let mut trial = Settings::default();
            let canonical = trial.set(name, values)?;
            let shown = trial.show(&canonical)?;
            definition.settings.insert(canonical, shown);
        }
    }
    Ok((Vec::new(), vec![asker.put(&role, definition, version)]))
}

pub(super) fn comment(asker: &Asker<'_, '_>, session: &Session, role: &RoleName, text: Option<String>) -> Planned {
    let role = asker.existing(session, role)?;
    if !asker.is_superuser() && asker.is_superuser_role(&role) {
        return Err(denied("must be superuser"));
    }
    if !asker.creates_roles() {
        return Err(denied("must have CREATEROLE privilege"));
    }
    let (mut definition, version) = asker.definition(&role)?;
    definition.comment = text;
    Ok((Vec::new(), vec![asker.put(&role, definition, version)]))
}

pub(super) fn rename(asker: &Asker<'_, '_>, session: &Session, name: &RoleName, to: &RoleName) -> Planned {
    let from = asker.existing(session, name)?;
    let to = asker.name(session, to)?;
    for (kind, current) in [("session", &session.login.session_user), ("current", &session.user)] {
        if *current == from {
            return Err(Error::unsupported(format!("{kind} user cannot be renamed")));
        }
    }
    asker.definition(&from)?;
    if asker.context.accounts.is_configured(&to) || to == BOOTSTRAP_ROLE {
        return Err(Error::new(ErrorCode::DuplicateObject, format!("role \"{to}\" already exists")));
    }
    if from == BOOTSTRAP_ROLE {
        return Err(required(&from, "rename"));
    }
    if !asker.is_superuser() && asker.is_superuser_role(&from) {
        return Err(denied("must be superuser to rename superusers"));
    }
    if !asker.creates_roles() {
        return Err(denied("permission denied to rename role"));
    }
    Ok((Vec::new(), vec![Change::RenameRole { from, to }]))
}

fn required(name: &str, what: &str) -> Error {
    let message = format!("cannot {what} role {name} because it is required by the database system");
    Error::new(ErrorCode::DependentObjectsStillExist, message)
}

pub(super) fn drop(asker: &Asker<'_, '_>, session: &Session, roles: &[RoleName], if_exists: bool) -> Planned {
    if !asker.creates_roles() {
        return Err(denied("permission denied to drop role"));
    }
    let (mut notices, mut changes) = (Vec::new(), Vec::new());
    for role in roles {
        let RoleName::Named(name) = role else {
            return Err(Error::new(ErrorCode::InvalidParameterValue, "cannot use special role specifier in DROP ROLE"));
        };
        if if_exists && !asker.is_known(name) {
            notices.push(skipping(&format!("role \"{name}\" does not exist"), "00000"));
            continue;
        }
        let name = asker.existing(session, role)?;
        for (kind, current) in [("current", &session.user), ("session", &session.login.session_user)] {
            if *current == name {
                return Err(Error::new(ErrorCode::ObjectInUse, format!("{kind} user cannot be dropped")));
            }
        }
        if name == BOOTSTRAP_ROLE || limnos_catalog::role::PREDEFINED_ROLES.contains(&name.as_str()) {
            return Err(required(&name, "drop"));
        }
        asker.definition(&name)?;
        if !asker.is_superuser() && asker.is_superuser_role(&name) {
            return Err(denied("must be superuser to drop superusers"));
        }
        changes.push(Change::DropRole { name, if_exists });
    }
    Ok((notices, changes))
}

/// Whether the asker may let others into `group`.
fn check_may_give(asker: &Asker<'_, '_>, group: &str) -> Result<()> {
    if asker.is_superuser() {
        return Ok(());
    }
    if asker.is_superuser_role(group) {
        return Err(denied("must be superuser to alter superusers"));
    }
    let is_predefined = limnos_catalog::role::PREDEFINED_ROLES.contains(&group);
    let is_admin = asker.snapshot().is_admin_of(asker.rights.user(), group);
    if is_admin || asker.creates_roles() && !is_predefined {
        return Ok(());
    }
    Err(denied(format!("must have admin option on role \"{group}\"")))
}

/// GRANT role TO role, REVOKE role FROM role.
pub(super) fn membership(
    asker: &Asker<'_, '_>,
    session: &Session,
    revoke: bool,
    roles: &[RoleName],
    members: &[RoleName],
    admin: bool,
) -> Planned {
    let (mut notices, mut changes) = (Vec::new(), Vec::new());
    let mut groups = Vec::new();
    for role in roles {
        let group = asker.existing(session, role)?;
        check_may_give(asker, &group)?;
        let has_definition = asker.snapshot().roles.contains_key(&group)
            || limnos_catalog::role::PREDEFINED_ROLES.contains(&group.as_str());
        if !has_definition {
            // A user of the configuration, or `limnos`, of which nothing was said yet.
            return Err(Error::unsupported(format!("role \"{group}\" cannot have members"))
                .with_detail("It is not in the catalog.")
                .with_hint("GRANT a role that was made with CREATE ROLE."));
        }
        groups.push(group);
    }
    for member in members {
        let member = asker.existing(session, member)?;
        let (mut definition, version) = asker.definition(&member)?;
        let before = definition.clone();
        for group in &groups {
            match (revoke, definition.member_of.get_mut(group)) {
                (true, None) => {
                    notices.push(Notice::warning(format!("role \"{member}\" is not a member of role \"{group}\"")))
                }
                (true, Some(membership)) if admin => membership.admin = false,
                (true, Some(_)) => {
                    definition.member_of.remove(group);
                }
                (false, Some(membership)) if membership.admin || !admin => {
                    notices.push(Notice::notice(format!("role \"{member}\" is already a member of role \"{group}\"")))
                }
                (false, _) => {
                    let grantor = asker.rights.user().to_owned();
                    definition.member_of.insert(group.clone(), Membership { admin, grantor });
                }
            }
        }
        if definition != before {
            changes.push(asker.put(&member, definition, version));
        }
    }
    Ok((notices, changes))
}
