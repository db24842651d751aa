//! `has_*_privilege` and `pg_has_role`. Whoever is let in may read everything, until there are grants; writing to a
//! table's rows is not a right that anybody has.

use std::sync::Arc;

use datafusion::common::Result;

use super::FunctionContext;
use super::identifier::parse_identifier;
use super::row_function::{RowFunction, failure};
use crate::plan::pg_catalog::{PROCEDURES, Value, shown_schema, type_info};
use crate::{Error, ErrorCode};

/// What is asked about.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Object {
    Table,
    Schema,
    Database,
    Role,
    Function,
    Type,
    /// Something of which there is none, or one of which nothing is known.
    Other,
}

pub(super) fn functions(context: &Arc<FunctionContext>) -> Vec<RowFunction> {
    // The name, how many arguments come after the object (column, privilege), and what the object is.
    [
        ("has_table_privilege", "aa?a", Object::Table),
        ("has_any_column_privilege", "aa?a", Object::Table),
        ("has_column_privilege", "aaa?a", Object::Table),
        ("has_schema_privilege", "aa?a", Object::Schema),
        ("has_database_privilege", "aa?a", Object::Database),
        ("has_function_privilege", "aa?a", Object::Function),
        ("has_type_privilege", "aa?a", Object::Type),
        ("has_tablespace_privilege", "aa?a", Object::Other),
        ("has_language_privilege", "aa?a", Object::Other),
        ("has_sequence_privilege", "aa?a", Object::Other),
        ("has_server_privilege", "aa?a", Object::Other),
        ("has_foreign_data_wrapper_privilege", "aa?a", Object::Other),
        ("has_parameter_privilege", "aa?a", Object::Other),
        ("pg_has_role", "aa?a", Object::Role),
    ]
    .into_iter()
    .map(|(name, arguments, object)| {
        let context = Arc::clone(context);
        let with_user = arguments.chars().filter(|c| *c == 'a').count();
        RowFunction::strict(name, arguments, "bool", move |args| {
            let object_at = usize::from(args.len() == with_user);
            let privilege = args.last().and_then(Value::as_text).unwrap_or_default();
            let grants = allowed(object, privilege)?;
            Ok(exists(&context, object, &args[object_at])?.map(|exists| exists && grants).into())
        })
    })
    .collect()
}

/// Whether the privileges, separated by commas, hold one that everybody has.
fn allowed(object: Object, privileges: &str) -> Result<bool> {
    let mut any = false;
    for privilege in privileges.split(',') {
        let privilege = privilege.trim().to_uppercase();
        let bare =
            privilege.strip_suffix(" WITH GRANT OPTION").or_else(|| privilege.strip_suffix(" WITH ADMIN OPTION"));
        let granted = match (object, bare.unwrap_or(&privilege)) {
            (Object::Table, "SELECT" | "REFERENCES")
            | (Object::Schema, "USAGE" | "CREATE")
            | (Object::Database, "CONNECT" | "CREATE")
            | (Object::Role, "USAGE" | "MEMBER" | "SET")
            | (Object::Function, "EXECUTE")
            | (Object::Type, "USAGE")
            | (Object::Other, "USAGE" | "SELECT" | "CREATE" | "SET") => true,
            (Object::Table, "INSERT" | "UPDATE" | "DELETE" | "TRUNCATE" | "TRIGGER" | "RULE")
            | (Object::Database, "TEMPORARY" | "TEMP")
            | (Object::Other, "UPDATE" | "ALTER SYSTEM") => false,
            _ => {
                let message = format!("unrecognized privilege type: \"{privilege}\"");
                return Err(failure(Error::new(ErrorCode::InvalidParameterValue, message)));
            }
        };
        any |= granted && bare.is_none();
    }
    Ok(any)
}

/// NULL for an OID that nothing has, an error for a name.
fn exists(context: &FunctionContext, object: Object, value: &Value) -> Result<Option<bool>> {
    let index = context.index();
    if let Value::Int(oid) = value {
        let oid = i32::try_from(*oid).unwrap_or(0);
        let found = match object {
            Object::Table => index.relation(oid).is_some(),
            Object::Schema => index.namespace(oid).is_some(),
            Object::Database => oid == 16_384,
            Object::Role => index.role(oid).is_some(),
            Object::Function => PROCEDURES.contains_key(&oid),
            Object::Type => type_info(oid).is_some(),
            Object::Other => true,
        };
        return Ok(found.then_some(true));
    }
    let name = value.as_text().unwrap_or_default();
    let missing = |code, kind: &str| failure(Error::new(code, format!("{kind} \"{name}\" does not exist")));
    match object {
        Object::Table => {
            let parts = parse_identifier(name).map_err(failure)?;
            let found = match parts.as_slice() {
                [name] => index.visible_relation(context.session.current_schema(), name),
                [.., schema, name] => index.relation_named(shown_schema(schema), name),
                [] => None,
            };
            found.map(|_| Some(true)).ok_or_else(|| missing(ErrorCode::UndefinedTable, "relation"))
        }
        Object::Schema => index
            .namespace_named(name)
            .map(|_| Some(true))
            .ok_or_else(|| missing(ErrorCode::InvalidSchemaName, "schema")),
        Object::Database if name != context.session.catalog_name => {
            Err(missing(ErrorCode::UndefinedDatabase, "database"))
        }
        // PostgreSQL's predefined roles are known by name, and nobody is in them but superusers.
        Object::Role if name.starts_with("pg_") => {
            Ok(Some(index.role_named(&context.session.user).is_some_and(|role| role.superuser)))
        }
        Object::Role => {
            index.role_named(name).map(|_| Some(true)).ok_or_else(|| missing(ErrorCode::UndefinedObject, "role"))
        }
        _ => Ok(Some(true)),
    }
}
