//! Functions over catalog objects: their types, definitions, comments and sizes.

use super::identifier::parse_identifier;
use super::row_function::{RowFunction, failure};
use super::text::quote_identifier;
use crate::plan::pg_catalog::{PROCEDURES, Value, comment_of, format_type, relation, view_definition};

pub(super) fn functions() -> Vec<RowFunction> {
    let mut functions = definitions();
    functions.extend(comments());
    functions.extend(sizes());
    functions.extend(type_facts());
    functions.extend(nothing_to_define());
    functions
}

fn oid(value: &Value) -> i32 {
    value.as_int().and_then(|oid| i32::try_from(oid).ok()).unwrap_or(0)
}

fn definitions() -> Vec<RowFunction> {
    vec![
        RowFunction::lenient("format_type", "ii", "text", |args| match args[0] {
            Value::Null => Ok(Value::Null),
            _ => Ok(format_type(oid(&args[0]), args[1].as_int().map(|modifier| modifier as i32)).into()),
        }),
        RowFunction::asking("pg_get_userbyid", "i", "name", |caller, args| {
            let oid = oid(&args[0]);
            let name = caller.index().role(oid).map(|role| role.name.clone());
            Ok(name.unwrap_or_else(|| format!("unknown (OID={oid})")).into())
        }),
        RowFunction::asking("pg_get_viewdef", "a?a", "text", |caller, args| {
            let index = caller.index();
            let relation = match &args[0] {
                Value::Text(name) if name.parse::<i32>().is_err() => {
                    let parts = parse_identifier(name).map_err(failure)?;
                    match parts.as_slice() {
                        [name] => index.visible_relation(caller.session.current_schema(), name),
                        [.., schema, name] => index.relation_named(schema, name),
                        [] => None,
                    }
                }
                other => index.relation(oid(other)),
            };
            Ok(relation.and_then(|relation| relation.view_sql.as_deref()).map(view_definition).into())
        }),
        RowFunction::strict("pg_get_function_result", "i", "text", |args| Ok(function_result(oid(&args[0])).into())),
        RowFunction::strict("pg_get_function_arguments", "i", "text", |args| {
            Ok(function_arguments(oid(&args[0]), true).into())
        }),
        RowFunction::strict("pg_get_function_identity_arguments", "i", "text", |args| {
            Ok(function_arguments(oid(&args[0]), false).into())
        }),
        RowFunction::strict("pg_get_functiondef", "i", "text", |args| Ok(function_definition(oid(&args[0])).into())),
        RowFunction::strict("pg_encoding_to_char", "i", "name", |args| {
            Ok(if args[0] == Value::Int(6) { "UTF8" } else { "" }.into())
        }),
        RowFunction::strict("pg_char_to_encoding", "t", "int4", |args| {
            let name = args[0].as_text().unwrap_or_default();
            Ok(if name.eq_ignore_ascii_case("utf8") || name.eq_ignore_ascii_case("utf-8") { 6 } else { -1 }.into())
        }),
    ]
}

fn function_result(oid: i32) -> Option<String> {
    let procedure = PROCEDURES.get(&oid)?;
    if procedure.kind == "p" {
        return None;
    }
    let columns: Vec<String> = procedure
        .arguments
        .iter()
        .filter(|(mode, ..)| *mode == 't')
        .map(|(_, name, type_oid)| format!("{} {}", quote_identifier(name), format_type(*type_oid, None)))
        .collect();
    if !columns.is_empty() {
        return Some(format!("TABLE({})", columns.join(", ")));
    }
    let set = if procedure.returns_set { "SETOF " } else { "" };
    Some(format!("{set}{}", format_type(procedure.return_type, None)))
}

fn function_arguments(oid: i32, with_output: bool) -> Option<String> {
    let procedure = PROCEDURES.get(&oid)?;
    let arguments = procedure.arguments.iter().filter(|(mode, ..)| *mode != 't' && (with_output || *mode != 'o'));
    let arguments: Vec<String> = arguments
        .map(|(mode, name, type_oid)| {
            let mode = match mode {
                'o' => "OUT ",
                'b' => "INOUT ",
                'v' => "VARIADIC ",
                _ => "",
            };
            let space = if name.is_empty() { "" } else { " " };
            let name = if name.is_empty() { String::new() } else { quote_identifier(name) };
            format!("{mode}{name}{space}{}", format_type(*type_oid, None))
        })
        .collect();
    Some(arguments.join(", "))
}

fn function_definition(oid: i32) -> Option<String> {
    let procedure = PROCEDURES.get(&oid)?;
    let language = match procedure.language {
        12 => "internal",
        13 => "c",
        _ => "sql",
    };
    let result = function_result(oid).map(|result| format!("\n RETURNS {result}")).unwrap_or_default();
    Some(format!(
        "CREATE OR REPLACE FUNCTION pg_catalog.{}({}){result}\n LANGUAGE {language}\nAS $function${}$function$\n",
        quote_identifier(&procedure.name),
        function_arguments(oid, true).unwrap_or_default(),
        procedure.source
    ))
}

fn comments() -> Vec<RowFunction> {
    /// The OID of the catalog that `obj_description` names.
    fn class(value: Option<&Value>) -> i32 {
        let name = value.and_then(Value::as_text).unwrap_or("pg_class");
        relation("pg_catalog", name).map_or(0, |relation| relation.oid)
    }
    vec![
        RowFunction::asking("obj_description", "i?t", "text", |caller, args| {
            Ok(comment_of(caller.index(), class(args.get(1)), oid(&args[0]), 0).into())
        }),
        RowFunction::asking("col_description", "ii", "text", |caller, args| {
            Ok(comment_of(caller.index(), 1259, oid(&args[0]), oid(&args[1])).into())
        }),
        RowFunction::asking("shobj_description", "it", "text", |caller, args| {
            let database = &caller.session.catalog_name;
            let is_database = args[1] == Value::from("pg_database") && oid(&args[0]) == 16_384;
            Ok(is_database.then(|| format!("the Limnos catalog \"{database}\"")).into())
        }),
    ]
}

/// The functions behind `information_schema.columns`, which some clients call themselves.
fn type_facts() -> Vec<RowFunction> {
    fn fact(name: &'static str, fact: fn(oid: i32, modifier: i32) -> Option<i32>) -> RowFunction {
        RowFunction::strict(name, "ii", "int4", move |args| Ok(fact(oid(&args[0]), oid(&args[1])).into()))
    }
    vec![
        fact("_pg_char_max_length", |oid, modifier| {
            (matches!(oid, 1042 | 1043) && modifier >= 4).then_some(modifier - 4)
        }),
        fact("_pg_char_octet_length", |oid, modifier| match oid {
            25 => Some(1 << 30),
            1042 | 1043 => Some(if modifier >= 4 { (modifier - 4).saturating_mul(4) } else { 1 << 30 }),
            _ => None,
        }),
        fact("_pg_numeric_precision", |oid, modifier| match oid {
            21 => Some(16),
            23 => Some(32),
            20 => Some(64),
            700 => Some(24),
            701 => Some(53),
            1700 => (modifier >= 4).then_some(((modifier - 4) >> 16) & 0xffff),
            _ => None,
        }),
        fact("_pg_numeric_precision_radix", |oid, _| match oid {
            20 | 21 | 23 | 700 | 701 => Some(2),
            1700 => Some(10),
            _ => None,
        }),
        fact("_pg_numeric_scale", |oid, modifier| match oid {
            20 | 21 | 23 => Some(0),
            1700 => (modifier >= 4).then_some((modifier - 4) & 0x7ff),
            _ => None,
        }),
        fact("_pg_datetime_precision", |oid, modifier| match oid {
            1082 => Some(0),
            1083 | 1114 | 1184 | 1266 => Some(if modifier < 0 { 6 } else { modifier }),
            _ => None,
        }),
    ]
}

/// How large a table is isn't in the catalog: it is the sum of what lies at its location. NULL is PostgreSQL's own answer
/// for a relation without storage.
fn sizes() -> Vec<RowFunction> {
    let unknown =
        |name: &'static str, arguments: &'static str| RowFunction::strict(name, arguments, "int8", |_| Ok(Value::Null));
    vec![
        unknown("pg_table_size", "a"),
        unknown("pg_total_relation_size", "a"),
        unknown("pg_relation_size", "a?t"),
        unknown("pg_indexes_size", "a"),
        unknown("pg_database_size", "a"),
        unknown("pg_tablespace_size", "a"),
        unknown("pg_stat_get_numscans", "i"),
        RowFunction::strict(
            "pg_size_pretty",
            "i",
            "text",
            |args| Ok(size_pretty(args[0].as_int().unwrap_or(0)).into()),
        ),
    ]
}

/// Bytes up to 10 of the next unit stay in the smaller one, as PostgreSQL has it, rounded half away from zero.
fn size_pretty(bytes: i64) -> String {
    const UNITS: [&str; 6] = ["bytes", "kB", "MB", "GB", "TB", "PB"];
    const LIMIT: u64 = 10 * 1024;
    let sign = if bytes < 0 { "-" } else { "" };
    let mut size = bytes.unsigned_abs();
    if size < LIMIT {
        return format!("{sign}{size} bytes");
    }
    // Kept doubled, so that the last bit says how to round.
    let mut unit = 1;
    size >>= 9;
    while size >= 2 * LIMIT - 1 && unit < UNITS.len() - 1 {
        size >>= 10;
        unit += 1;
    }
    format!("{sign}{} {}", size.div_ceil(2), UNITS[unit])
}

/// Definitions of what can't exist here: NULL for whatever OID is asked for.
fn nothing_to_define() -> Vec<RowFunction> {
    let null = |name: &'static str, arguments: &'static str, returns: &str| {
        RowFunction::lenient(name, arguments, returns, |_| Ok(Value::Null))
    };
    vec![
        null("pg_get_expr", "ai?b", "text"),
        null("pg_get_indexdef", "i?ib", "text"),
        null("pg_get_constraintdef", "i?b", "text"),
        null("pg_get_triggerdef", "i?b", "text"),
        null("pg_get_ruledef", "i?b", "text"),
        null("pg_get_partkeydef", "i", "text"),
        null("pg_get_partition_constraintdef", "i", "text"),
        null("pg_get_statisticsobjdef", "i", "text"),
        null("pg_get_statisticsobjdef_columns", "i", "text"),
        null("pg_get_function_sqlbody", "i", "text"),
        null("pg_get_function_arg_default", "ii", "text"),
        null("pg_get_serial_sequence", "tt", "text"),
        null("pg_tablespace_location", "i", "text"),
        null("pg_relation_filenode", "a", "oid"),
        null("pg_filenode_relation", "ii", "regclass"),
        null("pg_sequence_last_value", "a", "int8"),
        null("pg_last_wal_receive_lsn", "", "pg_lsn"),
        null("pg_last_wal_replay_lsn", "", "pg_lsn"),
        null("pg_index_column_has_property", "iit", "bool"),
        null("pg_index_has_property", "it", "bool"),
        null("pg_indexam_has_property", "it", "bool"),
        RowFunction::strict("pg_relation_is_publishable", "a", "bool", |_| Ok(false.into())),
        RowFunction::strict("pg_relation_is_updatable", "ab", "int4", |_| Ok(0.into())),
        RowFunction::strict("pg_column_is_updatable", "aib", "bool", |_| Ok(false.into())),
        RowFunction::strict("pg_is_other_temp_schema", "i", "bool", |_| Ok(false.into())),
        // A table that is part of no inheritance tree is its own only ancestor; a set of one row.
        RowFunction::strict("pg_partition_ancestors", "i", "oid", |args| Ok(args[0].clone())),
        RowFunction::strict("pg_partition_root", "i", "oid", |args| Ok(args[0].clone())),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rounded_as_postgresql_rounds_them() {
        for (bytes, shown) in [
            (0, "0 bytes"),
            (10_239, "10239 bytes"),
            (10_240, "10 kB"),
            (10_752, "11 kB"),
            (-20_480, "-20 kB"),
            (1_048_576, "1024 kB"),
            (10_485_760, "10 MB"),
            (1_073_741_824_000, "1000 GB"),
            (i64::MAX, "8192 PB"),
        ] {
            assert_eq!(size_pretty(bytes), shown, "{bytes}");
        }
    }

    #[test]
    fn functions_are_described_as_postgresql_describes_them() {
        let arguments = |name: &str| {
            let oid = crate::plan::pg_catalog::PROCEDURES_BY_NAME[name][0];
            (function_arguments(oid, true), function_result(oid))
        };
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(arguments("upper"), (text("text"), text("text")));
        assert_eq!(
            arguments("pg_get_keywords"),
            (
                text("OUT word text, OUT catcode \"char\", OUT barelabel boolean, OUT catdesc text, OUT baredesc text"),
                text("SETOF record")
            )
        );
    }
}
