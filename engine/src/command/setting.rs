//! Statements that change or show the session alone: USE, SET, SHOW, transactions, DISCARD.

use limnos_catalog::Snapshot;

use super::answer::{self, text_rows};
use super::{CommandAnswer, CommandContext, resolve_database_name};
use crate::parse::TransactionModes;
use crate::session::Settings;
use crate::{Error, ErrorCode, Notice, Result, Session};

pub(super) fn use_database(
    context: &CommandContext<'_>,
    session: &mut Session,
    database: &str,
) -> Result<CommandAnswer> {
    let name = resolve_database_name(session, database);
    context.snapshot.database(&name)?;
    let shown = shown_name(session, &name);
    session.settings.set("search_path", &[shown])?;
    session.database = name;
    Ok(CommandAnswer::tag("USE"))
}

/// What the search path calls a database.
fn shown_name(session: &Session, name: &str) -> String {
    match session.settings.dialect() {
        crate::parse::Dialect::Postgres if name == "default" => "public".to_owned(),
        _ => name.to_owned(),
    }
}

pub(super) fn set(
    context: &CommandContext<'_>,
    session: &mut Session,
    name: &str,
    values: Option<&[String]>,
    local: bool,
) -> Result<CommandAnswer> {
    let mut notices = Vec::new();
    match values {
        None => {
            session.settings.reset(name)?;
        }
        Some(values) if local => {
            session.settings.set_local(name, values)?;
            if !session.settings.is_in_transaction() {
                notices.push(no_transaction("SET LOCAL can only be used in transaction blocks"));
            }
        }
        Some(values) => {
            session.settings.set(name, values)?;
        }
    }
    if Settings::canonical_name(name) == "scan_limit" {
        check_scan_limit(context, session)?;
    }
    follow_search_path(&context.snapshot, session);
    Ok(CommandAnswer::tag("SET").with_notices(notices))
}

/// A session may be stricter than its server, not laxer.
fn check_scan_limit(context: &CommandContext<'_>, session: &Session) -> Result<()> {
    let (Some(max), Some(asked)) = (context.scan_limit_bytes, session.settings.scan_limit_bytes()) else {
        return Ok(());
    };
    if asked <= max {
        return Ok(());
    }
    let message = format!("{asked} bytes is outside the valid range for parameter \"scan_limit\" (0 .. {max} bytes)");
    Err(Error::new(ErrorCode::InvalidParameterValue, message)
        .with_detail("The server lets a query read no more than that.")
        .with_hint("SET scan_limit = 0 takes the server's own limit."))
}

pub(super) fn reset(context: &CommandContext<'_>, session: &mut Session, name: Option<&str>) -> Result<CommandAnswer> {
    match name {
        Some(name) => {
            session.settings.reset(name)?;
        }
        None => session.settings.reset_all(),
    }
    follow_search_path(&context.snapshot, session);
    Ok(CommandAnswer::tag("RESET"))
}

/// The session's database is the first of the search path that exists; as in PostgreSQL, those that don't are passed
/// over silently.
fn follow_search_path(snapshot: &Snapshot, session: &mut Session) {
    let first = session.settings.search_path().into_iter().find_map(|name| {
        let name = if name == "$user" { session.user.clone() } else { name };
        let name = resolve_database_name(session, &name);
        snapshot.find_database(&name).map(|database| database.name.clone())
    });
    // With none of them there, unqualified names still have to mean something.
    session.database = first.unwrap_or_else(|| "default".to_owned());
}

pub(super) fn show(session: &Session, name: Option<&str>) -> Result<CommandAnswer> {
    let batch = match name {
        Some(name) => {
            let heading = Settings::canonical_name(name);
            text_rows(&[heading.as_str()], &[vec![session.settings.show(name)?]])?
        }
        None => {
            let all = session.settings.all();
            let rows: Vec<Vec<String>> =
                all.into_iter().map(|(name, value, description)| vec![name, value, description.to_owned()]).collect();
            text_rows(answer::SHOW_ALL, &rows)?
        }
    };
    Ok(CommandAnswer::rows(batch, "SHOW"))
}

pub(super) fn set_transaction(
    session: &mut Session,
    modes: &TransactionModes,
    of_session: bool,
) -> Result<CommandAnswer> {
    let mut notices = Vec::new();
    if of_session {
        session.settings.set_characteristics(modes);
    } else if session.pinned.is_some() {
        session.settings.set_transaction(modes);
    } else {
        notices.push(no_transaction("SET TRANSACTION can only be used in transaction blocks"));
    }
    Ok(CommandAnswer::tag("SET").with_notices(notices))
}

fn no_transaction(message: &str) -> Notice {
    Notice { severity: "WARNING", sqlstate: ErrorCode::NoActiveTransaction.sqlstate(), message: message.to_owned() }
}

pub(super) fn begin(
    context: &CommandContext<'_>,
    session: &mut Session,
    modes: &TransactionModes,
) -> Result<CommandAnswer> {
    let mut notices = Vec::new();
    if let Some(block) = session.block.as_mut().filter(|block| block.is_implicit) {
        // What came before it in the same message becomes part of the block.
        block.is_implicit = false;
        session.settings.set_transaction(modes);
        session.save_role();
    } else if session.pinned.is_some() {
        let sqlstate = ErrorCode::ActiveTransaction.sqlstate();
        let message = "there is already a transaction in progress".to_owned();
        notices.push(Notice { severity: "WARNING", sqlstate, message });
        session.settings.set_transaction(modes);
    } else {
        session.open_block(&context.snapshot, false);
        session.settings.begin_transaction(modes);
        session.save_role();
    }
    Ok(CommandAnswer::tag("BEGIN").with_notices(notices))
}

pub(super) fn commit(context: &CommandContext<'_>, session: &mut Session) -> Result<CommandAnswer> {
    end(context, session, "COMMIT", Settings::commit)
}

pub(super) fn rollback(context: &CommandContext<'_>, session: &mut Session) -> Result<CommandAnswer> {
    end(context, session, "ROLLBACK", Settings::rollback)
}

fn end(
    context: &CommandContext<'_>,
    session: &mut Session,
    tag: &str,
    settle: fn(&mut Settings),
) -> Result<CommandAnswer> {
    let mut notices = Vec::new();
    if session.block.is_none() || session.is_in_implicit_block() {
        notices.push(no_transaction("there is no transaction in progress"));
    }
    session.end_role(tag == "COMMIT");
    end_block(&context.catalog.snapshot(), session, settle);
    Ok(CommandAnswer::tag(tag).with_notices(notices))
}

/// Ends the session's block, if it has one. What the block has changed is committed by now, or else dropped.
pub(crate) fn end_block(snapshot: &Snapshot, session: &mut Session, settle: fn(&mut Settings)) {
    if session.drop_block().is_none() {
        return;
    }
    let path = session.settings.search_path();
    settle(&mut session.settings);
    if path != session.settings.search_path() {
        follow_search_path(snapshot, session);
    }
}

pub(super) fn discard(context: &CommandContext<'_>, session: &mut Session, what: &str) -> Result<CommandAnswer> {
    if what == "ALL" {
        session.settings.reset_all();
        let user = session.login.user.clone();
        session.become_role(user.clone(), user, false);
        follow_search_path(&context.snapshot, session);
    }
    Ok(CommandAnswer::tag(&format!("DISCARD {what}")))
}
