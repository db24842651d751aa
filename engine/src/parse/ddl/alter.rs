//! ALTER TABLE, VIEW and DATABASE, in Hive's and PostgreSQL's words.
//!
//! | Hive, Athena | PostgreSQL |
//! |---|---|
//! | `ADD COLUMNS (a int, ...)` | `ADD [COLUMN] [IF NOT EXISTS] a int` |
//! | `CHANGE [COLUMN] a b int [COMMENT '..'] [FIRST \| AFTER c]` | `RENAME [COLUMN] a TO b`, `ALTER [COLUMN] a TYPE int` |
//! | `REPLACE COLUMNS (...)`, `DROP COLUMN a` | `DROP [COLUMN] [IF EXISTS] a` |
//! | `SET TBLPROPERTIES (..)`, `UNSET TBLPROPERTIES [IF EXISTS] (..)` | |
//! | `SET LOCATION '..'`, `SET FILEFORMAT f`, `SET SERDE '..'`, `SET SERDEPROPERTIES (..)` | |
//! | `PARTITION (..) SET LOCATION '..'`, `PARTITION (..) RENAME TO PARTITION (..)` | |
//! | `ADD PARTITION`, `DROP PARTITION` | |
//! | `RENAME TO d.t` | `RENAME TO t`, `SET SCHEMA d`, `OWNER TO r` |
//! | `RESTORE VERSION n` (ours) | |
//!
//! And `ALTER SYSTEM DROP CACHE name`, which is ours.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::{crawler, dataset, grant, partition, properties, role, storage, table};
use crate::parse::cursor::Cursor;
use crate::parse::role::RoleStatement;
use crate::parse::statement::{AlterDatabase, ColumnPlace, TableAction};
use crate::parse::{ObjectName, Statement, query, unsupported};
use crate::{Error, Result};

/// ALTER ...
pub(crate) fn alter(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let start = cursor.clone();
    cursor.expect_words("ALTER")?;
    if cursor.take_words("DATABASE") || cursor.take_words("SCHEMA") {
        return database(cursor);
    }
    if let Some(spelling) = dataset::take_kind(cursor) {
        return dataset::alter(cursor, spelling);
    }
    if cursor.take_words("CRAWLER") {
        return crawler::alter(cursor);
    }
    if cursor.take_words("REPORT") {
        return crate::parse::report::alter(cursor);
    }
    if cursor.take_words("DEFAULT PRIVILEGES") {
        return grant::default_privileges(cursor);
    }
    if !cursor.peek_words("USER MAPPING") && role::take_kind(cursor).is_some() {
        return role::alter(cursor);
    }
    if cursor.take_words("SYSTEM DROP CACHE") {
        let name = if cursor.take_words("ALL") { None } else { Some(cursor.identifier()?) };
        return Ok(Statement::DropCache { name });
    }
    let view = cursor.take_words("VIEW");
    if !view && !cursor.take_words("TABLE") {
        return Err(unsupported::error(&start));
    }
    let if_exists = cursor.if_exists();
    // PostgreSQL's word for "without the tables that inherit"; none does.
    if !view && cursor.peek_words("ONLY") && cursor.peek_nth(1).is_some_and(|next| next.token.token != Token::Period) {
        cursor.advance();
    }
    let name = cursor.object_name()?;
    if cursor.take_words("RENAME TO") {
        let to = cursor.object_name()?;
        // As in PostgreSQL, a new name without a database stays in the old one's.
        let to = ObjectName { database: to.database.or_else(|| name.database.clone()), ..to };
        return Ok(Statement::RenameTable { view, name, to, if_exists });
    }
    if cursor.take_words("SET SCHEMA") {
        let to = ObjectName { database: Some(super::database_name(cursor)?), name: name.name.clone() };
        return Ok(Statement::RenameTable { view, name, to, if_exists });
    }
    if view && cursor.take_words("AS") {
        cursor.refuse_parameters()?;
        let sql = cursor.rest_text().to_owned();
        return Ok(Statement::AlterView { name, query: query::parse_query(cursor)?, sql });
    }
    if !view && let Some(statement) = partition::alter(cursor, &name)? {
        return Ok(statement);
    }
    let actions = cursor.comma_separated(|cursor| action(cursor, view))?;
    Ok(Statement::AlterTable { view, name, if_exists, actions })
}

/// What one ALTER TABLE or ALTER VIEW does.
fn action(cursor: &mut Cursor<'_>, view: bool) -> Result<TableAction> {
    if let Some(action) = of_both(cursor)? {
        return Ok(action);
    }
    if view {
        return Err(cursor.unexpected());
    }
    if let Some(action) = of_columns(cursor)? {
        return Ok(action);
    }
    if let Some(action) = of_storage(cursor)? {
        return Ok(action);
    }
    if cursor.take_words("RESTORE VERSION") || cursor.take_words("RESTORE TO VERSION") {
        return Ok(TableAction::RestoreVersion(table::number(cursor)?));
    }
    Err(unknown(cursor))
}

/// Actions on tables and views alike.
fn of_both(cursor: &mut Cursor<'_>) -> Result<Option<TableAction>> {
    if cursor.take_words("SET TBLPROPERTIES") {
        return Ok(Some(TableAction::SetParameters(properties(cursor)?)));
    }
    if cursor.take_words("UNSET TBLPROPERTIES") {
        let if_exists = cursor.if_exists();
        let names = cursor.parenthesized(super::property_name)?;
        return Ok(Some(TableAction::UnsetParameters { names, if_exists }));
    }
    if cursor.take_words("OWNER TO") {
        return Ok(Some(TableAction::OwnerTo(cursor.identifier_as_written()?)));
    }
    if cursor.peek_words("RENAME") {
        cursor.advance();
        cursor.take_words("COLUMN");
        let name = cursor.identifier()?;
        cursor.expect_words("TO")?;
        return Ok(Some(TableAction::RenameColumn { name, to: cursor.identifier()? }));
    }
    Ok(None)
}

fn of_columns(cursor: &mut Cursor<'_>) -> Result<Option<TableAction>> {
    if cursor.take_words("ADD COLUMNS") {
        let columns = table::typed_columns(cursor)?;
        ends_hive(cursor);
        return Ok(Some(TableAction::AddColumns { columns, if_not_exists: false }));
    }
    if cursor.take_words("REPLACE COLUMNS") {
        let columns = table::typed_columns(cursor)?;
        ends_hive(cursor);
        return Ok(Some(TableAction::ReplaceColumns(columns)));
    }
    if cursor.peek_words("ADD") && !is_constraint(cursor) {
        cursor.advance();
        cursor.take_words("COLUMN");
        let if_not_exists = cursor.if_not_exists();
        // Hive and Trino have one column in brackets or without.
        let columns = if cursor.peek().is_some_and(|lexeme| lexeme.token.token == Token::LParen) {
            table::typed_columns(cursor)?
        } else {
            vec![table::typed_column(cursor)?]
        };
        return Ok(Some(TableAction::AddColumns { columns, if_not_exists }));
    }
    if cursor.take_words("CHANGE") {
        cursor.take_words("COLUMN");
        let name = cursor.identifier()?;
        let column = table::typed_column(cursor)?;
        let place = if cursor.take_words("FIRST") {
            Some(ColumnPlace::First)
        } else if cursor.take_words("AFTER") {
            Some(ColumnPlace::After(cursor.identifier()?))
        } else {
            None
        };
        ends_hive(cursor);
        return Ok(Some(TableAction::ChangeColumn { name, column, place }));
    }
    if cursor.take_words("DROP") {
        cursor.take_words("COLUMN");
        let if_exists = cursor.if_exists();
        let name = cursor.identifier()?;
        ends_hive(cursor);
        return Ok(Some(TableAction::DropColumn { name, if_exists }));
    }
    if cursor.take_words("ALTER") {
        cursor.take_words("COLUMN");
        let name = cursor.identifier()?;
        if !cursor.take_words("SET DATA TYPE") && !cursor.take_words("TYPE") {
            return Err(unknown(cursor));
        }
        return Ok(Some(TableAction::ColumnType { name, data_type: table::data_type(cursor)? }));
    }
    Ok(None)
}

fn of_storage(cursor: &mut Cursor<'_>) -> Result<Option<TableAction>> {
    Ok(Some(if cursor.take_words("SET LOCATION") {
        TableAction::SetLocation(cursor.string()?)
    } else if cursor.take_words("SET FILEFORMAT") {
        TableAction::SetFormat(storage::Stored::parse(cursor)?)
    } else if cursor.take_words("SET SERDEPROPERTIES") {
        TableAction::SetSerdeProperties(properties(cursor)?)
    } else if cursor.take_words("UNSET SERDEPROPERTIES") {
        TableAction::UnsetSerdeProperties(cursor.parenthesized(super::property_name)?)
    } else if cursor.take_words("SET SERDE") {
        let class = cursor.string()?;
        let properties =
            if cursor.take_words("WITH SERDEPROPERTIES") { properties(cursor)? } else { Default::default() };
        TableAction::SetSerde { class, properties }
    } else {
        return Ok(None);
    }))
}

/// What can be said of one partition's files alone.
pub(super) fn partition_storage(cursor: &mut Cursor<'_>) -> Result<TableAction> {
    let place = cursor.clone();
    match of_storage(cursor)? {
        Some(action) => Ok(action),
        None => match of_columns(cursor)? {
            Some(action @ (TableAction::AddColumns { .. } | TableAction::ReplaceColumns(_))) => Ok(action),
            Some(_) => Err(place.unexpected()),
            None => Err(unknown(cursor)),
        },
    }
}

/// Hive ends many forms with CASCADE (partitions follow) or RESTRICT. Partitions have no columns of their own here unless
/// they were given some, so that either says what happens anyway.
fn ends_hive(cursor: &mut Cursor<'_>) {
    cursor.take_one_of(&["CASCADE", "RESTRICT"]);
}

fn is_constraint(cursor: &Cursor<'_>) -> bool {
    ["CONSTRAINT", "PRIMARY", "UNIQUE", "FOREIGN", "CHECK", "EXCLUDE"]
        .iter()
        .any(|word| cursor.peek_nth(1).is_some_and(|lexeme| lexeme.is_word(word)))
}

/// The error for an action that isn't one: known and not built, or no ALTER TABLE at all.
fn unknown(cursor: &Cursor<'_>) -> Error {
    const KNOWN: &[&str] = &[
        "ADD CONSTRAINT",
        "ADD PRIMARY",
        "ADD UNIQUE",
        "ADD FOREIGN",
        "ADD CHECK",
        "SET DEFAULT",
        "DROP DEFAULT",
        "SET NOT",
        "DROP NOT",
        "SET STATISTICS",
        "SET STORAGE",
        "ENABLE",
        "DISABLE",
        "CLUSTER ON",
        "SET TABLESPACE",
        "ATTACH",
        "DETACH",
        "INHERIT",
        "NO INHERIT",
        "EXCHANGE",
        "ARCHIVE",
        "UNARCHIVE",
        "COMPACT",
        "CONCATENATE",
        "TOUCH",
        "CLUSTERED",
        "NOT CLUSTERED",
        "SKEWED",
        "NOT SKEWED",
        "EXECUTE",
    ];
    match KNOWN.iter().find(|words| cursor.peek_words(words)) {
        Some(words) => Error::unsupported(format!("ALTER TABLE ... {words} is not supported")),
        None => cursor.unexpected(),
    }
}

/// After ALTER DATABASE: `d SET DBPROPERTIES (..)`, `d SET LOCATION '..'`, `d RENAME TO e`.
fn database(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let name = super::database_name(cursor)?;
    let action = if cursor.take_words("SET DBPROPERTIES") {
        AlterDatabase::SetParameters(properties(cursor)?)
    } else if cursor.take_words("SET LOCATION") {
        AlterDatabase::SetLocation(cursor.string()?)
    } else if cursor.take_words("RENAME TO") {
        AlterDatabase::RenameTo(cursor.identifier()?)
    } else if cursor.take_words("OWNER TO")
        || cursor.take_words("SET OWNER ROLE")
        || cursor.take_words("SET OWNER USER")
    {
        let to = role::role(cursor)?;
        return Ok(Statement::Role(Box::new(RoleStatement::DatabaseOwner { database: name, to })));
    } else if cursor.peek_words("SET") {
        return Err(Error::unsupported("ALTER DATABASE ... SET is not supported")
            .with_hint("What can be changed is DBPROPERTIES, LOCATION, the owner and, with RENAME TO, the name."));
    } else {
        return Err(cursor.unexpected());
    };
    Ok(Statement::AlterDatabase { name, action })
}
