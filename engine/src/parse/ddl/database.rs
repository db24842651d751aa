//! CREATE and DROP DATABASE (or SCHEMA; the words mean the same).

use std::collections::BTreeMap;

use crate::parse::Statement;
use crate::parse::cursor::Cursor;
use crate::{Error, Result};

/// After CREATE DATABASE: `[IF NOT EXISTS] name [COMMENT '..'] [LOCATION '..'] [WITH DBPROPERTIES (..)]`.
pub(super) fn create(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let mode = super::create_mode(cursor, false)?;
    if cursor.peek_words("AUTHORIZATION") {
        return Err(Error::unsupported("CREATE SCHEMA AUTHORIZATION is not supported yet"));
    }
    let name = database_name(cursor)?;
    let mut comment = None;
    let mut location = None;
    let mut parameters = BTreeMap::new();
    loop {
        if cursor.take_words("COMMENT") {
            comment = Some(cursor.string()?);
        } else if cursor.take_words("LOCATION") {
            location = Some(cursor.string()?);
        } else if cursor.take_words("WITH DBPROPERTIES") {
            parameters = super::properties(cursor)?;
        } else if cursor.peek_words("AUTHORIZATION") {
            return Err(Error::unsupported("CREATE SCHEMA AUTHORIZATION is not supported yet"));
        } else {
            return Ok(Statement::CreateDatabase { name, comment, location, parameters, mode });
        }
    }
}

/// After DROP DATABASE: `[IF EXISTS] name [CASCADE | RESTRICT]`.
pub(super) fn drop(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let if_exists = cursor.if_exists();
    let name = database_name(cursor)?;
    let cascade = cursor.take_words("CASCADE");
    if !cascade {
        cursor.take_words("RESTRICT");
    }
    Ok(Statement::DropDatabase { name, if_exists, cascade })
}

/// A database's name, perhaps after a catalog's.
pub(crate) fn database_name(cursor: &mut Cursor<'_>) -> Result<String> {
    let place = cursor.clone();
    let name = cursor.object_name()?;
    // `awsdatacatalog.sales`: whatever the catalog is called, there is one. But `a.b.c` names a table.
    if place.clone().take_three_parts() { Err(place.unexpected()) } else { Ok(name.name) }
}
