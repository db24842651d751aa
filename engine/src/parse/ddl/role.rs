//! CREATE, ALTER and DROP ROLE (USER, GROUP), and what else is about roles alone, in PostgreSQL's words.

use datafusion::sql::sqlparser::tokenizer::Token;

use crate::parse::cursor::Cursor;
use crate::parse::lexer::Part;
use crate::parse::role::{Password, RoleName, RoleOptions, RoleStatement};
use crate::parse::{Statement, session};
use crate::{Error, Result};

/// What stands in the place of a password wherever a text is shown.
const MASKED: &str = "'********'";

/// Takes ROLE, USER or GROUP; for USER `true`, which can log in.
pub(super) fn take_kind(cursor: &mut Cursor<'_>) -> Option<bool> {
    cursor.take_one_of(&["ROLE", "USER", "GROUP"]).map(|kind| kind == "USER")
}

/// A role's name. PUBLIC and NONE are no roles.
pub(super) fn role(cursor: &mut Cursor<'_>) -> Result<RoleName> {
    let place = cursor.clone();
    let is_word = cursor.peek_word();
    let name = cursor.identifier_as_written()?;
    Ok(match is_word.as_deref() {
        Some("CURRENT_USER" | "CURRENT_ROLE") => RoleName::Current,
        Some("SESSION_USER") => RoleName::Session,
        Some("PUBLIC") => RoleName::Public,
        Some("USER" | "SELECT" | "ALL" | "TO" | "FROM" | "GRANT" | "WITH") => return Err(place.unexpected()),
        _ => RoleName::Named(name),
    })
}

pub(super) fn roles(cursor: &mut Cursor<'_>) -> Result<Vec<RoleName>> {
    cursor.comma_separated(role)
}

fn statement(statement: RoleStatement) -> Result<Statement> {
    Ok(Statement::Role(Box::new(statement)))
}

/// After CREATE ROLE | USER | GROUP.
pub(super) fn create(cursor: &mut Cursor<'_>, is_user: bool) -> Result<Statement> {
    let name = role(cursor)?;
    let mut options = RoleOptions { can_login: Some(is_user), ..RoleOptions::default() };
    cursor.take_words("WITH");
    self::options(cursor, &mut options, true)?;
    statement(RoleStatement::Create { name, options })
}

/// After ALTER ROLE | USER | GROUP.
pub(super) fn alter(cursor: &mut Cursor<'_>) -> Result<Statement> {
    if cursor.peek_words("ALL") {
        return Err(Error::unsupported("ALTER ROLE ALL is not supported")
            .with_hint("Name the role, or put the setting into the server's configuration."));
    }
    let name = role(cursor)?;
    if cursor.take_words("RENAME TO") {
        let to = role(cursor)?;
        return statement(RoleStatement::Rename { name, to });
    }
    if cursor.peek_words("IN DATABASE") {
        return Err(Error::unsupported("ALTER ROLE ... IN DATABASE is not supported")
            .with_detail("A server has one database: ALTER ROLE ... SET without IN DATABASE says the same."));
    }
    if cursor.take_words("SET") {
        let name_of = session::setting_name(cursor)?;
        if cursor.take_words("FROM CURRENT") {
            return Err(Error::unsupported("SET ... FROM CURRENT is not supported"));
        }
        if !cursor.take_words("TO") && !cursor.take_token(&Token::Eq) {
            return Err(cursor.unexpected());
        }
        let values = if cursor.take_words("DEFAULT") { None } else { Some(cursor.comma_separated(session::value)?) };
        return statement(RoleStatement::Setting { role: name, name: Some(name_of), values });
    }
    if cursor.take_words("RESET") {
        let setting = if cursor.take_words("ALL") { None } else { Some(session::setting_name(cursor)?) };
        return statement(RoleStatement::Setting { role: name, name: setting, values: None });
    }
    if let Some(word) = cursor.take_one_of(&["ADD USER", "DROP USER"]) {
        let members = roles(cursor)?;
        let revoke = word == "DROP USER";
        let roles = vec![name];
        return statement(RoleStatement::Membership { revoke, roles, members, admin: false, cascade: false });
    }
    cursor.take_words("WITH");
    let mut options = RoleOptions::default();
    self::options(cursor, &mut options, false)?;
    statement(RoleStatement::Alter { role: name, options })
}

fn options(cursor: &mut Cursor<'_>, options: &mut RoleOptions, is_new: bool) -> Result<()> {
    let mut seen: Vec<&'static str> = Vec::new();
    while !cursor.at_end() {
        let place = cursor.clone();
        let mut flag = |name: &'static str, on: bool, slot: &mut Option<bool>| -> Result<()> {
            if seen.contains(&name) {
                return Err(conflicting(&place));
            }
            seen.push(name);
            *slot = Some(on);
            Ok(())
        };
        let Some(word) = cursor.peek_word() else { return Err(cursor.unexpected()) };
        cursor.advance();
        match word.as_str() {
            "LOGIN" => flag("login", true, &mut options.can_login)?,
            "NOLOGIN" => flag("login", false, &mut options.can_login)?,
            "SUPERUSER" => flag("superuser", true, &mut options.superuser)?,
            "NOSUPERUSER" => flag("superuser", false, &mut options.superuser)?,
            "CREATEDB" => flag("createdb", true, &mut options.create_db)?,
            "NOCREATEDB" => flag("createdb", false, &mut options.create_db)?,
            "CREATEROLE" => flag("createrole", true, &mut options.create_role)?,
            "NOCREATEROLE" => flag("createrole", false, &mut options.create_role)?,
            "INHERIT" => flag("inherit", true, &mut options.inherit)?,
            "NOINHERIT" => flag("inherit", false, &mut options.inherit)?,
            "REPLICATION" => flag("replication", true, &mut options.replication)?,
            "NOREPLICATION" => flag("replication", false, &mut options.replication)?,
            "BYPASSRLS" => flag("bypassrls", true, &mut options.bypass_rls)?,
            "NOBYPASSRLS" => flag("bypassrls", false, &mut options.bypass_rls)?,
            "CONNECTION" => {
                cursor.expect_words("LIMIT")?;
                once(&mut seen, "limit", &place)?;
                options.connection_limit = Some(whole_number(cursor)?);
            }
            "ENCRYPTED" => {
                cursor.expect_words("PASSWORD")?;
                once(&mut seen, "password", &place)?;
                options.password = Some(Some(password(cursor)?));
            }
            "UNENCRYPTED" => {
                return Err(Error::unsupported("UNENCRYPTED PASSWORD is no longer supported")
                    .with_hint("Remove UNENCRYPTED to store the password in encrypted form instead."));
            }
            "PASSWORD" => {
                once(&mut seen, "password", &place)?;
                options.password = Some(if cursor.take_words("NULL") { None } else { Some(password(cursor)?) });
            }
            "VALID" => {
                cursor.expect_words("UNTIL")?;
                once(&mut seen, "valid", &place)?;
                options.valid_until = Some(cursor.string()?);
            }
            "IN" if is_new => {
                if cursor.take_one_of(&["ROLE", "GROUP"]).is_none() {
                    return Err(cursor.unexpected());
                }
                options.member_of.extend(roles(cursor)?);
            }
            "ROLE" | "USER" if is_new => options.members.extend(roles(cursor)?),
            "ADMIN" if is_new => options.admins.extend(roles(cursor)?),
            "SYSID" if is_new => {
                whole_number(cursor)?;
            }
            "WITH" => return Err(place.unexpected()),
            _ => {
                let error = place.unexpected();
                let position = error.position.unwrap_or(1);
                let is_option = word.chars().all(|character| character.is_ascii_alphabetic());
                // PostgreSQL's words for a word where an option was wanted.
                return Err(match is_option {
                    true => Error::syntax(format!("unrecognized role option \"{}\"", word.to_lowercase())).at(position),
                    false => error,
                });
            }
        }
    }
    Ok(())
}

fn once(seen: &mut Vec<&'static str>, name: &'static str, place: &Cursor<'_>) -> Result<()> {
    if seen.contains(&name) {
        return Err(conflicting(place));
    }
    seen.push(name);
    Ok(())
}

fn conflicting(place: &Cursor<'_>) -> Error {
    Error::syntax("conflicting or redundant options").at(place.peek().map_or(1, |lexeme| lexeme.position))
}

fn password(cursor: &mut Cursor<'_>) -> Result<Password> {
    Ok(Password(cursor.string()?))
}

fn whole_number(cursor: &mut Cursor<'_>) -> Result<i64> {
    let place = cursor.clone();
    let sign = if cursor.take_token(&Token::Minus) { -1 } else { 1 };
    match cursor.advance().map(|lexeme| &lexeme.token.token) {
        Some(Token::Number(number, _)) => {
            let number: i64 = number.parse().map_err(|_| place.unexpected())?;
            if number <= i64::from(i32::MAX) { Ok(sign * number) } else { Err(place.unexpected()) }
        }
        _ => Err(place.unexpected()),
    }
}

/// After DROP ROLE | USER | GROUP.
pub(super) fn drop(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let if_exists = cursor.if_exists();
    statement(RoleStatement::Drop { roles: roles(cursor)?, if_exists })
}

/// After DROP OWNED.
pub(super) fn drop_owned(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect_words("BY")?;
    let roles = roles(cursor)?;
    cursor.take_one_of(&["CASCADE", "RESTRICT"]);
    statement(RoleStatement::DropOwned { roles })
}

/// REASSIGN OWNED BY r, .. TO r
pub(crate) fn reassign(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect_words("REASSIGN OWNED BY")?;
    let from = roles(cursor)?;
    cursor.expect_words("TO")?;
    statement(RoleStatement::ReassignOwned { from, to: role(cursor)? })
}

/// COMMENT ON ROLE r IS ..
pub(super) fn comment(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let role = role(cursor)?;
    cursor.expect_words("IS")?;
    let text = if cursor.take_words("NULL") { None } else { Some(cursor.string()?) };
    statement(RoleStatement::Comment { role, text: text.filter(|text| !text.is_empty()) })
}

/// After SET [LOCAL] or RESET, the forms about who one is; `None` for others.
pub(crate) fn set(cursor: &mut Cursor<'_>, local: bool) -> Result<Option<Statement>> {
    let is_session = if cursor.peek_words("SESSION AUTHORIZATION") {
        true
    } else if cursor.peek_words("ROLE") {
        false
    } else {
        return Ok(None);
    };
    cursor.advance();
    if is_session {
        cursor.advance();
    }
    if !is_session {
        // As a setting: SET role = x.
        let _ = cursor.take_words("TO") || cursor.take_token(&Token::Eq);
    }
    let is_bare = cursor.peek_word().is_some();
    let name = match cursor.peek_string() {
        Some(text) => {
            cursor.advance();
            text
        }
        None => cursor.identifier_as_written()?,
    };
    let is_none =
        if is_session { is_bare && name == "default" } else { name == "none" || is_bare && name == "default" };
    let role = (!is_none).then_some(name);
    let set =
        if is_session { RoleStatement::SetSession { role, local } } else { RoleStatement::SetRole { role, local } };
    statement(set).map(Some)
}

/// RESET ROLE, RESET SESSION AUTHORIZATION.
pub(crate) fn reset(is_session: bool) -> Statement {
    let (role, local) = (None, false);
    Statement::Role(Box::new(match is_session {
        true => RoleStatement::SetSession { role, local },
        false => RoleStatement::SetRole { role, local },
    }))
}

/// Whether `part` is about roles, and so may hold a password.
pub(crate) fn may_hold_password(part: &Part) -> bool {
    let is_word = |index: usize, words: &[&str]| {
        part.lexemes.get(index).is_some_and(|lexeme| words.iter().any(|word| lexeme.is_word(word)))
    };
    is_word(0, &["CREATE", "ALTER"]) && is_word(1, &["ROLE", "USER", "GROUP"])
}

/// The text of `part` with every string behind PASSWORD made unreadable.
pub(crate) fn masked(sql: &str, part: &Part) -> String {
    let (Some(first), Some(last)) = (part.lexemes.first(), part.lexemes.last()) else { return String::new() };
    let mut text = String::new();
    let mut from = first.start;
    for pair in part.lexemes.windows(2) {
        let [word, value] = pair else { continue };
        let is_string = sql[value.start..value.end].ends_with(['\'', '"', '$']);
        if word.is_word("PASSWORD") && is_string {
            text.push_str(&sql[from..value.start]);
            text.push_str(MASKED);
            from = value.end;
        }
    }
    text.push_str(&sql[from..last.end]);
    text
}

/// An error about such a text, without what might be a password in it.
pub(crate) fn masked_error(error: Error) -> Error {
    let holds_string = error.message.contains(['\'', '$']);
    match error.message.split_once(" at or near ") {
        Some((what, _)) if holds_string => Error { message: format!("{what} at or near \"{MASKED}\""), ..error },
        _ => error,
    }
}
