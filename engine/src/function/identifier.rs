//! Names to OIDs and back: what `::regclass`, `::regtype` and their kin mean, and which objects need no schema.
//!
//! PostgreSQL's casts become calls of its own input and output functions (`regclassin`, `regclassout`), see
//! [`crate::plan::pg_catalog::rewrite`].

use datafusion::common::Result;

use super::FunctionContext;
use super::row_function::{RowFunction, failure};
use super::text::quote_identifier;
use crate::plan::pg_catalog::{PROCEDURES, PROCEDURES_BY_NAME, Value, format_type, oid_of_sql_name, type_info};
use crate::{Error, ErrorCode};

/// A kind of object that can be named by a cast.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Class,
    Type,
    Namespace,
    Role,
    Procedure,
    /// With its argument types.
    Signature,
}

pub(super) fn functions() -> Vec<RowFunction> {
    let mut functions = Vec::new();
    // The last of each is the output function whose result is labelled with the type itself, for columns of an answer.
    let kinds = [
        ("regclass", "regclassin", "to_regclass", "regclassout", "limnos_show_regclass", Kind::Class),
        ("regtype", "regtypein", "to_regtype", "regtypeout", "limnos_show_regtype", Kind::Type),
        (
            "regnamespace",
            "regnamespacein",
            "to_regnamespace",
            "regnamespaceout",
            "limnos_show_regnamespace",
            Kind::Namespace,
        ),
        ("regrole", "regrolein", "to_regrole", "regroleout", "limnos_show_regrole", Kind::Role),
        ("regproc", "regprocin", "to_regproc", "regprocout", "limnos_show_regproc", Kind::Procedure),
        (
            "regprocedure",
            "regprocedurein",
            "to_regprocedure",
            "regprocedureout",
            "limnos_show_regprocedure",
            Kind::Signature,
        ),
    ];
    for (type_name, input, lenient, output, shown, kind) in kinds {
        functions.push(RowFunction::asking(input, "a", type_name, move |caller, args| match numeric(&args[0]) {
            Some(oid) => Ok(oid.into()),
            None => {
                let name = args[0].as_text().unwrap_or_default();
                find(caller, kind, name)?.map(Value::from).ok_or_else(|| failure(missing(kind, name)))
            }
        }));
        functions.push(RowFunction::asking(lenient, "a", type_name, move |caller, args| match numeric(&args[0]) {
            Some(oid) => Ok(oid.into()),
            None => Ok(find(caller, kind, args[0].as_text().unwrap_or_default())?.into()),
        }));
        for (name, returns) in [(output, "text".to_owned()), (shown, format!("text:{type_name}"))] {
            functions.push(RowFunction::asking(name, "i", &returns, move |caller, args| {
                let oid = args[0].as_int().unwrap_or(0) as i32;
                Ok(name_of(caller, kind, oid).into())
            }));
        }
    }
    functions.extend(visibility());
    functions
}

fn visibility() -> Vec<RowFunction> {
    let mut functions = Vec::new();
    functions.push(RowFunction::asking("pg_table_is_visible", "i", "bool", |caller, args| {
        let oid = args[0].as_int().unwrap_or(0) as i32;
        Ok(caller.index().is_visible(caller.session.current_schema(), oid).into())
    }));
    functions.push(RowFunction::strict("pg_type_is_visible", "i", "bool", |args| {
        let info = type_info(args[0].as_int().unwrap_or(0) as i32);
        Ok(info.map(|info| info.namespace == 11).into())
    }));
    functions.push(RowFunction::strict("pg_function_is_visible", "i", "bool", |args| {
        Ok(PROCEDURES.get(&(args[0].as_int().unwrap_or(0) as i32)).map(|_| true).into())
    }));
    // All of these objects are in pg_catalog, which is always searched.
    for name in [
        "pg_operator_is_visible",
        "pg_opclass_is_visible",
        "pg_opfamily_is_visible",
        "pg_conversion_is_visible",
        "pg_collation_is_visible",
        "pg_statistics_obj_is_visible",
        "pg_ts_config_is_visible",
        "pg_ts_dict_is_visible",
        "pg_ts_parser_is_visible",
        "pg_ts_template_is_visible",
    ] {
        functions.push(RowFunction::strict(name, "i", "bool", |_| Ok(true.into())));
    }
    functions
}

/// An OID given as a number or as digits.
fn numeric(value: &Value) -> Option<i32> {
    match value {
        Value::Int(oid) => i32::try_from(*oid).ok(),
        Value::Text(text) if text == "-" => Some(0),
        Value::Text(text) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
        _ => None,
    }
}

fn find(context: &FunctionContext, kind: Kind, name: &str) -> Result<Option<i32>> {
    let index = context.index();
    if matches!(kind, Kind::Type) {
        // Type names hold blanks and parentheses; no user-made types exist.
        return Ok(oid_of_sql_name(name));
    }
    let bare = if matches!(kind, Kind::Signature) { name.split('(').next().unwrap_or(name) } else { name };
    let mut parts = parse_identifier(bare).map_err(failure)?;
    let last = parts.pop().unwrap_or_default();
    // `lake.public.orders`: the PostgreSQL database in front.
    if parts.len() == 2 && parts[0] == context.session.catalog_name {
        parts.remove(0);
    }
    let schema = match parts.as_slice() {
        [] => None,
        [schema] => Some(schema.as_str()),
        _ => return Ok(None),
    };
    Ok(match kind {
        Kind::Class => match schema {
            Some(schema) => index.relation_named(crate::plan::pg_catalog::shown_schema(schema), &last),
            None => index.visible_relation(context.session.current_schema(), &last),
        }
        .map(|relation| relation.oid),
        Kind::Namespace => index.namespace_named(&last).map(|namespace| namespace.oid),
        Kind::Role => index.role_named(&last).map(|role| role.oid),
        Kind::Procedure | Kind::Signature if schema.is_none_or(|schema| schema == "pg_catalog") => {
            let overloads = PROCEDURES_BY_NAME.get(last.as_str()).map_or(&[][..], Vec::as_slice);
            let wanted = match (kind, name.split_once('(')) {
                (Kind::Signature, Some((_, types))) => Some(signature(types)),
                _ => None,
            };
            overloads.iter().copied().find(|oid| wanted.as_ref().is_none_or(|wanted| input_types(*oid) == *wanted))
        }
        Kind::Procedure | Kind::Signature | Kind::Type => None,
    })
}

fn signature(types: &str) -> Vec<i32> {
    let types = types.trim_end().trim_end_matches(')').trim();
    if types.is_empty() {
        return Vec::new();
    }
    types.split(',').map(|name| oid_of_sql_name(name).unwrap_or(0)).collect()
}

fn input_types(procedure: i32) -> Vec<i32> {
    let Some(procedure) = PROCEDURES.get(&procedure) else { return Vec::new() };
    procedure
        .arguments
        .iter()
        .filter(|(mode, ..)| matches!(mode, 'i' | 'b' | 'v'))
        .map(|(.., type_oid)| *type_oid)
        .collect()
}

fn missing(kind: Kind, name: &str) -> Error {
    match kind {
        Kind::Class => Error::new(ErrorCode::UndefinedTable, format!("relation \"{name}\" does not exist")),
        Kind::Type => Error::new(ErrorCode::UndefinedObject, format!("type \"{name}\" does not exist")),
        Kind::Namespace => Error::new(ErrorCode::InvalidSchemaName, format!("schema \"{name}\" does not exist")),
        Kind::Role => Error::new(ErrorCode::UndefinedObject, format!("role \"{name}\" does not exist")),
        Kind::Procedure | Kind::Signature => {
            Error::new(ErrorCode::UndefinedFunction, format!("function \"{name}\" does not exist"))
        }
    }
}

/// What the object is called: with its schema where the name alone wouldn't find it, and its number where it is gone.
fn name_of(context: &FunctionContext, kind: Kind, oid: i32) -> String {
    if oid == 0 {
        return "-".to_owned();
    }
    let index = context.index();
    let name = match kind {
        Kind::Class => index.relation(oid).map(|relation| {
            let visible = index.is_visible(context.session.current_schema(), oid).unwrap_or(false);
            let name = quote_identifier(&relation.name);
            if visible { name } else { format!("{}.{name}", quote_identifier(&relation.schema)) }
        }),
        Kind::Type => type_info(oid).map(|_| format_type(oid, None)),
        Kind::Namespace => index.namespace(oid).map(|namespace| quote_identifier(&namespace.name)),
        Kind::Role => index.role(oid).map(|role| quote_identifier(&role.name)),
        Kind::Procedure => PROCEDURES.get(&oid).map(|procedure| quote_identifier(&procedure.name)),
        Kind::Signature => PROCEDURES.get(&oid).map(|procedure| {
            let types: Vec<String> = input_types(oid).into_iter().map(|type_oid| format_type(type_oid, None)).collect();
            format!("{}({})", quote_identifier(&procedure.name), types.join(","))
        }),
    };
    name.unwrap_or_else(|| oid.to_string())
}

/// Splits `a."B c".d` into its parts, folding what isn't quoted to lower case.
pub(super) fn parse_identifier(text: &str) -> std::result::Result<Vec<String>, Error> {
    let invalid =
        || Error::new(ErrorCode::InvalidParameterValue, format!("string is not a valid identifier: \"{text}\""));
    let mut parts = Vec::new();
    let mut rest = text.trim();
    loop {
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut name = String::new();
            let mut chars = quoted.char_indices().peekable();
            let mut end = None;
            while let Some((i, c)) = chars.next() {
                match c {
                    '"' if chars.peek().is_some_and(|(_, next)| *next == '"') => {
                        chars.next();
                        name.push('"');
                    }
                    '"' => {
                        end = Some(i + 1);
                        break;
                    }
                    other => name.push(other),
                }
            }
            rest = quoted[end.ok_or_else(invalid)?..].trim_start();
            parts.push(name);
        } else {
            let end = rest.find('.').unwrap_or(rest.len());
            let name = rest[..end].trim();
            if name.is_empty() || name.contains('"') {
                return Err(invalid());
            }
            parts.push(name.to_lowercase());
            rest = &rest[end..];
        }
        match rest.strip_prefix('.') {
            Some(more) => rest = more.trim_start(),
            None if rest.is_empty() => return Ok(parts),
            None => return Err(invalid()),
        }
    }
}
