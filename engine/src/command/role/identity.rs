//! SET ROLE and SET SESSION AUTHORIZATION: whose rights a session has.

use super::{Asker, denied};
use crate::command::CommandAnswer;
use crate::plan::authorize::Rights;
use crate::session::accounts::Standing;
use crate::{Error, ErrorCode, Notice, Result, Session};

fn unknown(role: &str) -> Error {
    Error::new(ErrorCode::InvalidParameterValue, format!("role \"{role}\" does not exist"))
}

pub(super) fn set_role(
    asker: &Asker<'_, '_>,
    session: &mut Session,
    role: Option<&str>,
    local: bool,
) -> Result<CommandAnswer> {
    let session_user = session.login.session_user.clone();
    let user = role.unwrap_or(&session_user).to_owned();
    if role.is_some() {
        if asker.context.accounts.standing(asker.snapshot(), &user) == Standing::Unknown {
            return Err(unknown(&user));
        }
        // What the session user may become, whatever it is now.
        let is_process = session.is_of_process() && session_user == session.login.user;
        if !is_process && !asker.rights.of_role(&session_user).is_member_of(&user) {
            return Err(denied(format!("permission denied to set role \"{user}\"")));
        }
    }
    become_role(asker, session, session_user, user, local)
}

pub(super) fn set_session(
    asker: &Asker<'_, '_>,
    session: &mut Session,
    role: Option<&str>,
    local: bool,
) -> Result<CommandAnswer> {
    let user = role.unwrap_or(&session.login.user).to_owned();
    if user != session.login.user {
        if asker.context.accounts.standing(asker.snapshot(), &user) == Standing::Unknown {
            return Err(unknown(&user));
        }
        if !session.is_of_process() && !asker.rights.of_role(&session.login.user).is_superuser() {
            return Err(denied(format!("permission denied to set session authorization \"{user}\"")));
        }
    }
    become_role(asker, session, user.clone(), user, local)
}

fn become_role(
    asker: &Asker<'_, '_>,
    session: &mut Session,
    session_user: String,
    user: String,
    local: bool,
) -> Result<CommandAnswer> {
    let mut notices = Vec::new();
    if local && session.pinned.is_none() {
        let sqlstate = ErrorCode::NoActiveTransaction.sqlstate();
        let message = "SET LOCAL can only be used in transaction blocks".to_owned();
        notices.push(Notice { severity: "WARNING", sqlstate, message });
    }
    session.become_role(session_user, user, local);
    let snapshot = std::sync::Arc::clone(asker.rights.snapshot());
    tell_identity(session, &Rights::of(snapshot, asker.context.accounts, session));
    Ok(CommandAnswer::tag("SET").with_notices(notices))
}

/// Lets SHOW, and what the client is told of settings, say who the session is.
pub(crate) fn tell_identity(session: &mut Session, rights: &Rights) {
    let is_superuser = if rights.is_superuser() { "on" } else { "off" };
    let role = if session.user == session.login.session_user { "none" } else { session.user.as_str() };
    session.settings.set_fact("role", role.to_owned());
    session.settings.set_fact("is_superuser", is_superuser);
    session.settings.set_fact("session_authorization", session.login.session_user.clone());
}
