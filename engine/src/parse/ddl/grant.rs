//! GRANT, REVOKE and ALTER DEFAULT PRIVILEGES.

use datafusion::sql::sqlparser::tokenizer::Token;
use limnos_catalog::{AclKind, Privilege, Privileges};

use super::role::{role, roles};
use crate::parse::Statement;
use crate::parse::cursor::Cursor;
use crate::parse::role::{GrantObjects, GrantStatement, RoleName, RoleStatement};
use crate::{Error, Result};

/// GRANT ... TO ..., REVOKE ... FROM ...
pub(crate) fn grant(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let revoke = cursor.peek_words("REVOKE");
    cursor.advance();
    let option = revoke && cursor.take_words("GRANT OPTION FOR");
    let admin = revoke && cursor.take_words("ADMIN OPTION FOR");
    // What is granted are roles if there is no ON.
    let mut ahead = cursor.clone();
    while !ahead.at_end() && !ahead.peek_words("ON") && !ahead.peek_words("TO") && !ahead.peek_words("FROM") {
        ahead.skip_tree();
    }
    let statement = if ahead.peek_words("ON") {
        let (privileges, words) = privileges(cursor)?;
        cursor.expect_words("ON")?;
        let objects = objects(cursor)?;
        let grant = ending(cursor, revoke, option, privileges, words)?;
        RoleStatement::Grant { objects, grant }
    } else {
        let granted = roles(cursor)?;
        cursor.expect_words(if revoke { "FROM" } else { "TO" })?;
        let members = roles(cursor)?;
        let admin = admin || !revoke && cursor.take_words("WITH ADMIN OPTION");
        granted_by(cursor)?;
        let cascade = revoke && matches!(cursor.take_one_of(&["CASCADE", "RESTRICT"]), Some("CASCADE"));
        RoleStatement::Membership { revoke, roles: granted, members, admin, cascade }
    };
    Ok(Statement::Role(Box::new(statement)))
}

/// After ALTER DEFAULT PRIVILEGES.
pub(super) fn default_privileges(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let (mut of, mut schemas) = (Vec::new(), Vec::new());
    loop {
        if cursor.take_one_of(&["FOR ROLE", "FOR USER"]).is_some() {
            of = roles(cursor)?;
        } else if cursor.take_words("IN SCHEMA") {
            schemas = cursor.comma_separated(super::database_name)?;
        } else {
            break;
        }
    }
    let revoke = match cursor.take_one_of(&["GRANT", "REVOKE"]) {
        Some(word) => word == "REVOKE",
        None => return Err(cursor.unexpected()),
    };
    let option = revoke && cursor.take_words("GRANT OPTION FOR");
    let (privileges, words) = privileges(cursor)?;
    cursor.expect_words("ON")?;
    let kind = match cursor.take_one_of(&["TABLES", "SCHEMAS", "SEQUENCES", "FUNCTIONS", "ROUTINES", "TYPES"]) {
        Some("TABLES") => Some(AclKind::Table),
        Some("SCHEMAS") => Some(AclKind::Database),
        Some(_) => None,
        None => return Err(cursor.unexpected()),
    };
    let grant = ending(cursor, revoke, option, privileges, words)?;
    let statement = RoleStatement::DefaultPrivileges { roles: of, schemas, kind, grant };
    Ok(Statement::Role(Box::new(statement)))
}

/// `SELECT, INSERT` or `ALL [PRIVILEGES]`; `None` is all.
fn privileges(cursor: &mut Cursor<'_>) -> Result<(Option<Privileges>, Vec<String>)> {
    if cursor.take_words("ALL") {
        cursor.take_words("PRIVILEGES");
        refuse_columns(cursor)?;
        return Ok((None, vec!["ALL".to_owned()]));
    }
    let mut words = Vec::new();
    let listed = cursor.comma_separated(|cursor| {
        let place = cursor.clone();
        let word = cursor.peek_word().ok_or_else(|| cursor.unexpected())?;
        cursor.advance();
        let privilege = match word.as_str() {
            "TEMP" => Some(Privilege::Temporary),
            word => Privilege::ALL.into_iter().find(|privilege| privilege.word() == word),
        };
        let Some(privilege) = privilege else {
            if matches!(word.as_str(), "EXECUTE" | "SET" | "MAINTAIN") {
                return Err(Error::unsupported(format!("privilege type {word} is not supported")));
            }
            let position = place.peek().map_or(1, |lexeme| lexeme.position);
            return Err(Error::syntax(format!("unrecognized privilege type \"{}\"", word.to_lowercase())).at(position));
        };
        refuse_columns(cursor)?;
        words.push(privilege.word().to_owned());
        Ok(privilege)
    })?;
    Ok((Some(Privileges::of(&listed)), words))
}

fn refuse_columns(cursor: &Cursor<'_>) -> Result<()> {
    if cursor.peek().is_some_and(|lexeme| lexeme.token.token == Token::LParen) {
        return Err(Error::unsupported("privileges on single columns are not supported")
            .with_hint("Make a view of the columns, and grant SELECT on that."));
    }
    Ok(())
}

fn objects(cursor: &mut Cursor<'_>) -> Result<GrantObjects> {
    if cursor.take_words("ALL TABLES IN SCHEMA") {
        return Ok(GrantObjects::AllTablesIn(cursor.comma_separated(super::database_name)?));
    }
    for nothing in ["SEQUENCES", "FUNCTIONS", "PROCEDURES", "ROUTINES"] {
        if cursor.take_words(&format!("ALL {nothing} IN SCHEMA")) {
            return Ok(GrantObjects::NothingIn(cursor.comma_separated(super::database_name)?));
        }
    }
    let is_word_before_name = cursor.peek_nth(1).is_some_and(|next| {
        !matches!(next.token.token, Token::Comma | Token::Period) && !next.is_word("TO") && !next.is_word("FROM")
    });
    if is_word_before_name {
        if cursor.take_words("SCHEMA") {
            return Ok(GrantObjects::Schemas(cursor.comma_separated(super::database_name)?));
        }
        if cursor.take_words("DATABASE") {
            return Ok(GrantObjects::Databases(cursor.comma_separated(super::database_name)?));
        }
        let other = cursor.peek_word().filter(|word| {
            matches!(
                word.as_str(),
                "SEQUENCE"
                    | "FUNCTION"
                    | "PROCEDURE"
                    | "ROUTINE"
                    | "LANGUAGE"
                    | "LARGE"
                    | "PARAMETER"
                    | "TABLESPACE"
                    | "TYPE"
                    | "DOMAIN"
                    | "FOREIGN"
            )
        });
        if let Some(other) = other {
            return Err(Error::unsupported(format!("privileges on {other} are not supported"))
                .with_hint("Tables, views, schemas and databases have privileges."));
        }
        cursor.take_words("TABLE");
    }
    Ok(GrantObjects::Tables(cursor.comma_separated(Cursor::object_name)?))
}

/// `TO r, .. [WITH GRANT OPTION]`, `FROM r, .. [CASCADE]`.
fn ending(
    cursor: &mut Cursor<'_>,
    revoke: bool,
    option: bool,
    privileges: Option<Privileges>,
    words: Vec<String>,
) -> Result<GrantStatement> {
    cursor.expect_words(if revoke { "FROM" } else { "TO" })?;
    let grantees = cursor.comma_separated(|cursor| {
        // PostgreSQL's old word before a role.
        if cursor.peek_words("GROUP") && cursor.peek_nth(1).is_some_and(|next| next.word().is_some()) {
            cursor.advance();
        }
        role(cursor)
    })?;
    let place = cursor.clone();
    let option = option || !revoke && cursor.take_words("WITH GRANT OPTION");
    if option && !revoke && grantees.contains(&RoleName::Public) {
        let position = place.peek().map_or(1, |lexeme| lexeme.position);
        let message = "grant options can only be granted to roles";
        return Err(Error::new(crate::ErrorCode::InvalidGrantOperation, message).at(position));
    }
    granted_by(cursor)?;
    let cascade = revoke && matches!(cursor.take_one_of(&["CASCADE", "RESTRICT"]), Some("CASCADE"));
    Ok(GrantStatement { revoke, privileges, words, grantees, option, cascade })
}

fn granted_by(cursor: &mut Cursor<'_>) -> Result<()> {
    if cursor.take_words("GRANTED BY") && !matches!(role(cursor)?, RoleName::Current) {
        return Err(Error::unsupported("GRANTED BY another role than CURRENT_USER is not supported"));
    }
    Ok(())
}
