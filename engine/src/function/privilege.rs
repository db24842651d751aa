//! `has_*_privilege` and `pg_has_role`: what a role may do, as [`crate::plan::authorize`] decides it.

use datafusion::common::Result;
use limnos_catalog::role::PREDEFINED_ROLES;
use limnos_catalog::{Privilege, Privileges};

use super::FunctionContext;
use super::identifier::parse_identifier;
use super::row_function::{RowFunction, failure};
use crate::plan::authorize::Rights;
use crate::plan::pg_catalog::{CatalogIndex, PROCEDURES, Relation, Value, shown_schema, type_info};
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

/// What was found to be asked about.
enum Found<'a> {
    Relation(&'a Relation),
    /// Our database of this id, or `None` for a schema of the server.
    Schema(Option<i64>),
    Lake,
    Role(String),
    Any,
}

pub(super) fn functions() -> Vec<RowFunction> {
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
        let with_user = arguments.chars().filter(|c| *c == 'a').count();
        RowFunction::asking(name, arguments, "bool", move |context, args| {
            let names_user = args.len() == with_user;
            let asked = asked(object, args.last().and_then(Value::as_text).unwrap_or_default())?;
            let user = if names_user { Some(user(context, &args[0])?) } else { None };
            let Some(found) = find(context, object, &args[usize::from(names_user)])? else { return Ok(Value::Null) };
            // Without rights to ask, as in tests of the catalogs alone, one may do everything.
            let Some(rights) = &context.rights else { return Ok(true.into()) };
            let rights = rights.of_role(user.as_deref().unwrap_or(&context.session.user));
            Ok(asked.iter().any(|asked| holds(&rights, &found, asked)).into())
        })
    })
    .collect()
}

/// One of the privileges, separated by commas, that a function is asked for.
struct Asked {
    privilege: Option<Privilege>,
    /// As written, in upper case.
    word: String,
    /// WITH GRANT OPTION, WITH ADMIN OPTION.
    option: bool,
}

fn asked(object: Object, privileges: &str) -> Result<Vec<Asked>> {
    let one = |written: &str| {
        let upper = written.trim().to_uppercase();
        let bare = upper.strip_suffix(" WITH GRANT OPTION").or_else(|| upper.strip_suffix(" WITH ADMIN OPTION"));
        let word = bare.unwrap_or(&upper).to_owned();
        let is_known = match object {
            Object::Table => {
                matches!(
                    word.as_str(),
                    "SELECT" | "INSERT" | "UPDATE" | "DELETE" | "TRUNCATE" | "REFERENCES" | "TRIGGER" | "RULE"
                )
            }
            Object::Schema => matches!(word.as_str(), "USAGE" | "CREATE"),
            Object::Database => matches!(word.as_str(), "CONNECT" | "CREATE" | "TEMPORARY" | "TEMP"),
            Object::Role => matches!(word.as_str(), "USAGE" | "MEMBER"),
            Object::Function => word == "EXECUTE",
            Object::Type => word == "USAGE",
            Object::Other => {
                matches!(word.as_str(), "USAGE" | "SELECT" | "CREATE" | "SET" | "UPDATE" | "ALTER SYSTEM")
            }
        };
        if !is_known {
            let message = format!("unrecognized privilege type: \"{}\"", written.trim());
            return Err(failure(Error::new(ErrorCode::InvalidParameterValue, message)));
        }
        let privilege = match word.as_str() {
            "TEMP" => Some(Privilege::Temporary),
            word => Privilege::ALL.into_iter().find(|privilege| privilege.word() == word),
        };
        Ok(Asked { privilege, option: bare.is_some(), word })
    };
    privileges.split(',').map(one).collect()
}

/// The role that is asked about, by name or OID; `public` is everyone.
fn user(context: &FunctionContext, value: &Value) -> Result<String> {
    let index = context.index();
    if let Value::Int(oid) = value {
        // An OID that nobody has is somebody without rights.
        let role = index.role(i32::try_from(*oid).unwrap_or(0));
        return Ok(role.map(|role| role.name.clone()).unwrap_or_default());
    }
    let name = value.as_text().unwrap_or_default();
    if name == "public" || index.role_named(name).is_some() {
        return Ok(if name == "public" { String::new() } else { name.to_owned() });
    }
    Err(failure(Error::new(ErrorCode::UndefinedObject, format!("role \"{name}\" does not exist"))))
}

fn holds(rights: &Rights, found: &Found<'_>, asked: &Asked) -> bool {
    let within = |(held, grantable): (Privileges, Privileges)| {
        let set = if asked.option { grantable } else { held };
        asked.privilege.is_some_and(|privilege| set.has(privilege))
    };
    match found {
        Found::Relation(relation) => match relation.table() {
            Some(table) => within(rights.on_table(table)),
            // The catalogs may be read by all, but for where passwords are.
            None => {
                let is_secret = matches!(relation.name.as_str(), "pg_authid" | "pg_shadow");
                rights.is_superuser() || asked.word == "SELECT" && !asked.option && !is_secret
            }
        },
        Found::Schema(Some(id)) => {
            let database = rights.snapshot().databases.values().find(|database| database.id == *id);
            database.is_some_and(|database| within(rights.on_database(database)))
        }
        Found::Schema(None) => rights.is_superuser() || asked.word == "USAGE" && !asked.option,
        Found::Lake => within(rights.on_lake()),
        Found::Role(role) => {
            let is_admin = rights.is_superuser() || rights.snapshot().is_admin_of(rights.user(), role);
            match (asked.word.as_str(), asked.option) {
                (_, true) => is_admin,
                ("MEMBER", _) => rights.is_member_of(role),
                _ => rights.has_role(role),
            }
        }
        Found::Any => !asked.option && !matches!(asked.word.as_str(), "UPDATE" | "ALTER SYSTEM"),
    }
}

fn relation<'a>(index: &'a CatalogIndex, context: &FunctionContext, name: &str) -> Result<Option<&'a Relation>> {
    let parts = parse_identifier(name).map_err(failure)?;
    Ok(match parts.as_slice() {
        [name] => index.visible_relation(context.session.current_schema(), name),
        [.., schema, name] => index.relation_named(shown_schema(schema), name),
        [] => None,
    })
}

/// `None` for an OID that nothing has, an error for a name.
fn find<'a>(context: &'a FunctionContext, object: Object, value: &Value) -> Result<Option<Found<'a>>> {
    let index = context.index();
    if let Value::Int(oid) = value {
        let oid = i32::try_from(*oid).unwrap_or(0);
        return Ok(match object {
            Object::Table => index.relation(oid).map(Found::Relation),
            Object::Schema => index.namespace(oid).map(|namespace| Found::Schema(namespace.database)),
            Object::Database => (oid == 16_384).then_some(Found::Lake),
            Object::Role => index.role(oid).map(|role| Found::Role(role.name.clone())),
            Object::Function => PROCEDURES.contains_key(&oid).then_some(Found::Any),
            Object::Type => type_info(oid).map(|_| Found::Any),
            Object::Other => Some(Found::Any),
        });
    }
    let name = value.as_text().unwrap_or_default();
    let missing = |code, kind: &str| failure(Error::new(code, format!("{kind} \"{name}\" does not exist")));
    let found = match object {
        Object::Table => {
            let found = relation(index, context, name)?;
            Found::Relation(found.ok_or_else(|| missing(ErrorCode::UndefinedTable, "relation"))?)
        }
        Object::Schema => {
            let found = index.namespace_named(name);
            Found::Schema(found.ok_or_else(|| missing(ErrorCode::InvalidSchemaName, "schema"))?.database)
        }
        Object::Database if name == context.session.catalog_name => Found::Lake,
        // Our databases are databases to whoever knows them as that.
        Object::Database => {
            return Err(missing(ErrorCode::UndefinedDatabase, "database"));
        }
        Object::Role if index.role_named(name).is_some() || PREDEFINED_ROLES.contains(&name) => {
            Found::Role(name.to_owned())
        }
        Object::Role => return Err(missing(ErrorCode::UndefinedObject, "role")),
        Object::Function | Object::Type | Object::Other => Found::Any,
    };
    Ok(Some(found))
}
