//! Text functions that clients need and DataFusion lacks: quoting, `format`, `array_to_string`, array bounds, `pg_typeof`.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::identifier::parse_identifier;
use super::row_function::{RowFunction, failure};
use crate::plan::pg_catalog::{PG_TYPE_METADATA, Value, arrow_column_type, format_type, oid_of_typname};
use crate::{Error, ErrorCode};

pub(super) fn functions() -> Vec<RowFunction> {
    vec![
        RowFunction::strict("quote_ident", "t", "text", |args| {
            Ok(quote_identifier(args[0].as_text().unwrap_or_default()).into())
        }),
        RowFunction::strict("quote_literal", "t", "text", |args| {
            Ok(quote_literal(args[0].as_text().unwrap_or_default()).into())
        }),
        RowFunction::lenient("quote_nullable", "t", "text", |args| {
            Ok(args[0].as_text().map_or_else(|| "NULL".to_owned(), quote_literal).into())
        }),
        RowFunction::strict("parse_ident", "t?b", "_text", |args| {
            Ok(parse_identifier(args[0].as_text().unwrap_or_default()).map_err(failure)?.into())
        }),
        RowFunction::lenient("array_to_string", "at?t", "text", |args| {
            Ok(array_to_string(&args[0], &args[1], args.get(2)))
        }),
        RowFunction::strict("array_upper", "ai", "int4", |args| {
            Ok(dimension(&args[0], &args[1]).map(|n| n as i64).into())
        }),
        RowFunction::strict("array_lower", "ai", "int4", |args| {
            Ok(dimension(&args[0], &args[1]).map(|_| 1_i64).into())
        }),
        RowFunction::strict("generate_subscripts", "ai?b", "_int4", |args| {
            let count = dimension(&args[0], &args[1]).unwrap_or(0);
            let mut numbers: Vec<i64> = (1..=count as i64).collect();
            if args.get(2).and_then(Value::as_bool) == Some(true) {
                numbers.reverse();
            }
            Ok(numbers.into())
        }),
        // `WITH ORDINALITY` over arrays: the numbers of the elements of the longest.
        RowFunction::lenient("limnos_ordinals", "*", "_int8", |args| {
            let lengths = args.iter().map(|array| match array {
                Value::List(items) => items.len(),
                _ => 0,
            });
            Ok((1..=lengths.max().unwrap_or(0) as i64).collect::<Vec<i64>>().into())
        }),
        RowFunction::strict("limnos_oids", "a", "_oid", |args| match &args[0] {
            Value::Text(text) => {
                let items = text.trim_matches(['{', '}']).split(',').map(str::trim).filter(|item| !item.is_empty());
                let oid = |item: &str| {
                    item.parse::<i64>().map(Value::from).map_err(|_| {
                        let message = format!("invalid input syntax for type oid: \"{item}\"");
                        failure(Error::new(ErrorCode::InvalidTextRepresentation, message))
                    })
                };
                Ok(Value::List(items.map(oid).collect::<Result<_>>()?))
            }
            other => Ok(other.clone()),
        }),
        RowFunction::strict("limnos_varchars", "a", "_varchar", |args| match &args[0] {
            Value::List(items) => Ok(Value::List(items.iter().map(|item| shown(item).into()).collect())),
            other => Ok(other.clone()),
        }),
        RowFunction::strict("like_escape", "tt", "text", |args| {
            like_escape(args[0].as_text().unwrap_or_default(), args[1].as_text().unwrap_or_default())
        }),
        // `::regtype[]`, and their names.
        RowFunction::strict("limnos_regtypes", "a", "_oid", |args| Ok(args[0].clone())),
        RowFunction::strict("limnos_regtypes_out", "a", "_text", |args| match &args[0] {
            Value::List(items) => {
                let name = |item: &Value| item.as_int().map(|oid| format_type(oid as i32, None));
                Ok(Value::List(items.iter().map(|item| name(item).into()).collect()))
            }
            _ => Ok(Value::Null),
        }),
        RowFunction::lenient("format", "*", "text", format),
        // What the rewrite of catalog queries calls: text of any value without a type label, arrays as text, `::oid`.
        RowFunction::strict("textin", "x", "text", |args| Ok(shown(&args[0]).into())),
        RowFunction::strict("limnos_name", "x", "name", |args| Ok(shown(&args[0]).into())),
        RowFunction::strict("limnos_char", "x", "char", |args| {
            Ok(shown(&args[0]).map(|text| text.chars().take(1).collect::<String>()).into())
        }),
        RowFunction::strict("limnos_varchar", "x", "varchar", |args| Ok(shown(&args[0]).into())),
        RowFunction::strict("limnos_xid", "i", "xid", |args| Ok(args[0].clone())),
        RowFunction::strict("limnos_substring", "tt", "text", |args| {
            substring(args[0].as_text().unwrap_or_default(), args[1].as_text().unwrap_or_default())
        }),
        RowFunction::strict("array_out", "a", "text", |args| Ok(shown(&args[0]).into())),
        RowFunction::strict("oidin", "a", "oid", |args| match &args[0] {
            // Kept in four bytes with a sign.
            Value::Text(text) => Ok(i64::from(crate::input::oid(text).map_err(failure)? as i32).into()),
            number => match number.as_int() {
                Some(oid) if u32::try_from(oid).is_err() && i32::try_from(oid).is_err() => {
                    Err(failure(Error::new(ErrorCode::NumericValueOutOfRange, "OID out of range")))
                }
                _ => Ok(number.clone()),
            },
        }),
        RowFunction::strict("limnos_empty_text_array", "", "_text", |_| Ok(Value::List(Vec::new()))),
        RowFunction::strict("limnos_empty_name_array", "", "_name", |_| Ok(Value::List(Vec::new()))),
        RowFunction::lenient("limnos_prepend_text", "ta", "_text", |args| match &args[1] {
            Value::List(items) => {
                let prefix = args[0].as_text().unwrap_or_default();
                Ok(Value::List(
                    items.iter().map(|item| item.as_text().map(|text| format!("{prefix}{text}")).into()).collect(),
                ))
            }
            _ => Ok(Value::List(Vec::new())),
        }),
    ]
}

/// Quotes a name where SQL needs it.
pub(super) fn quote_identifier(name: &str) -> String {
    let plain =
        name.chars().enumerate().all(|(i, c)| c == '_' || c.is_ascii_lowercase() || (i > 0 && c.is_ascii_digit()));
    if plain && !name.is_empty() && !is_reserved(name) {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

/// Words that can't be a column's or table's name in PostgreSQL.
fn is_reserved(name: &str) -> bool {
    const RESERVED: [&str; 77] = [
        "all",
        "analyse",
        "analyze",
        "and",
        "any",
        "array",
        "as",
        "asc",
        "asymmetric",
        "both",
        "case",
        "cast",
        "check",
        "collate",
        "column",
        "constraint",
        "create",
        "current_catalog",
        "current_date",
        "current_role",
        "current_time",
        "current_timestamp",
        "current_user",
        "default",
        "deferrable",
        "desc",
        "distinct",
        "do",
        "else",
        "end",
        "except",
        "false",
        "fetch",
        "for",
        "foreign",
        "from",
        "grant",
        "group",
        "having",
        "in",
        "initially",
        "intersect",
        "into",
        "lateral",
        "leading",
        "limit",
        "localtime",
        "localtimestamp",
        "not",
        "null",
        "offset",
        "on",
        "only",
        "or",
        "order",
        "placing",
        "primary",
        "references",
        "returning",
        "select",
        "session_user",
        "some",
        "symmetric",
        "system_user",
        "table",
        "then",
        "to",
        "trailing",
        "true",
        "union",
        "unique",
        "user",
        "using",
        "variadic",
        "when",
        "where",
        "window",
    ];
    name == "with" || RESERVED.binary_search(&name).is_ok()
}

/// A string constant that means `text`.
pub(super) fn quote_literal(text: &str) -> String {
    let prefix = if text.contains('\\') { "E" } else { "" };
    format!("{prefix}'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

fn array_to_string(array: &Value, delimiter: &Value, null: Option<&Value>) -> Value {
    let (Value::List(items), Some(delimiter)) = (array, delimiter.as_text()) else { return Value::Null };
    let null = null.and_then(Value::as_text);
    let shown: Vec<String> = items.iter().filter_map(|item| shown(item).or_else(|| null.map(str::to_owned))).collect();
    shown.join(delimiter).into()
}

/// A cell as text, `None` for NULL.
fn shown(value: &Value) -> Option<String> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(true) => "t".to_owned(),
        Value::Bool(false) => "f".to_owned(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => value.to_string(),
        Value::Text(value) => value.clone(),
        Value::Timestamp(value) => {
            chrono::DateTime::from_timestamp_micros(*value)?.format("%Y-%m-%d %H:%M:%S%.f").to_string()
        }
        Value::List(items) => {
            let items: Vec<String> =
                items.iter().map(|item| shown(item).unwrap_or_else(|| "NULL".to_owned())).collect();
            format!("{{{}}}", items.join(","))
        }
    })
}

/// A pattern of LIKE that escapes with `escape`, written with backslashes.
fn like_escape(pattern: &str, escape: &str) -> Result<Value> {
    let mut characters = escape.chars();
    let (escape, rest) = (characters.next(), characters.next());
    if rest.is_some() {
        let error = Error::new(ErrorCode::InvalidParameterValue, "invalid escape string");
        return Err(failure(error.with_hint("Escape string must be empty or one character.")));
    }
    let mut respelled = String::with_capacity(pattern.len());
    let mut rest = pattern.chars();
    while let Some(c) = rest.next() {
        if Some(c) == escape {
            respelled.push('\\');
            respelled.extend(rest.next());
        } else {
            if c == '\\' {
                respelled.push('\\');
            }
            respelled.push(c);
        }
    }
    Ok(respelled.into())
}

/// `substring(text from pattern)`: what the first group matches, or the whole pattern if it has none.
fn substring(text: &str, pattern: &str) -> Result<Value> {
    let regex = regex::Regex::new(pattern).map_err(|error| {
        failure(Error::new(ErrorCode::InvalidRegularExpression, format!("invalid regular expression: {error}")))
    })?;
    let found = regex.captures(text).and_then(|captures| captures.get(usize::from(captures.len() > 1)));
    Ok(found.map(|found| found.as_str()).into())
}

fn dimension(array: &Value, dimension: &Value) -> Option<usize> {
    let mut array = array;
    for _ in 1..dimension.as_int().filter(|n| *n >= 1)? {
        let Value::List(items) = array else { return None };
        array = items.first()?;
    }
    match array {
        Value::List(items) if !items.is_empty() => Some(items.len()),
        _ => None,
    }
}

/// Longest field that `format('%1000s')` may pad to.
const FORMAT_WIDTH_MAX: usize = 1 << 20;

/// <https://www.postgresql.org/docs/15/functions-string.html#FUNCTIONS-STRING-FORMAT>
fn format(args: &[Value]) -> Result<Value> {
    let Some(pattern) = args.first().and_then(Value::as_text) else { return Ok(Value::Null) };
    let invalid = |message: &str| failure(Error::new(ErrorCode::InvalidParameterValue, message));
    let mut result = String::with_capacity(pattern.len());
    let mut chars = pattern.chars().peekable();
    let mut next = 1;
    while let Some(c) = chars.next() {
        if c != '%' {
            result.push(c);
            continue;
        }
        if chars.next_if_eq(&'%').is_some() {
            result.push('%');
            continue;
        }
        let mut digits = String::new();
        let mut left = false;
        while let Some(c) = chars.next_if(|c| c.is_ascii_digit() || matches!(c, '-' | '$')) {
            match c {
                '$' => {
                    next = std::mem::take(&mut digits)
                        .parse()
                        .map_err(|_| invalid("format specifies no argument position"))?;
                    if next == 0 {
                        return Err(invalid("format specifies argument 0, but arguments are numbered from 1"));
                    }
                }
                '-' => left = true,
                digit => digits.push(digit),
            }
        }
        let kind = chars.next().ok_or_else(|| invalid("unterminated format() type specifier"))?;
        let value = args.get(next).ok_or_else(|| invalid("too few arguments for format()"))?;
        next += 1;
        let text = match (kind, shown(value)) {
            ('s', text) => text.unwrap_or_default(),
            ('I', Some(text)) => quote_identifier(&text),
            ('I', None) => return Err(invalid("null values cannot be formatted as an SQL identifier")),
            ('L', Some(text)) => quote_literal(&text),
            ('L', None) => "NULL".to_owned(),
            (other, _) => return Err(invalid(&format!("unrecognized format() type specifier \"{other}\""))),
        };
        let width = digits.parse::<usize>().unwrap_or(0);
        if width > FORMAT_WIDTH_MAX {
            return Err(failure(Error::new(ErrorCode::ProgramLimitExceeded, "requested length too large")));
        }
        let padding = " ".repeat(width.saturating_sub(text.chars().count()));
        result.push_str(&if left { format!("{text}{padding}") } else { format!("{padding}{text}") });
    }
    Ok(result.into())
}

/// `pg_typeof(any)`: the name of the argument's type.
pub(super) fn pg_typeof() -> ScalarUDF {
    ScalarUDF::from(PgTypeof { signature: Signature::any(1, Volatility::Stable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct PgTypeof {
    signature: Signature,
}

impl ScalarUDFImpl for PgTypeof {
    fn name(&self) -> &str {
        "pg_typeof"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn return_field_from_args(&self, _args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let metadata = HashMap::from([(PG_TYPE_METADATA.to_owned(), "regtype".to_owned())]);
        Ok(Arc::new(Field::new("pg_typeof", DataType::Utf8, false).with_metadata(metadata)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let field = &args.arg_fields[0];
        let name = match field.metadata().get(PG_TYPE_METADATA) {
            Some(label) => oid_of_typname(label).map_or_else(|| label.clone(), |oid| format_type(oid, None)),
            None if field.data_type().is_null() => "unknown".to_owned(),
            None => format_type(arrow_column_type(field.data_type()).oid, None),
        };
        Ok(ColumnarValue::Scalar(ScalarValue::Utf8(Some(name))))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_only_where_they_must_be() {
        for (name, quoted) in [
            ("orders", "orders"),
            ("Orders", "\"Orders\""),
            ("order", "\"order\""),
            ("a b", "\"a b\""),
            ("1a", "\"1a\""),
            ("with", "\"with\""),
        ] {
            assert_eq!(quote_identifier(name), quoted);
        }
        assert_eq!(quote_literal("it's \\ here"), "E'it''s \\\\ here'");
    }

    #[test]
    fn format_follows_postgresql() {
        let check = |args: &[&str], wanted: &str| {
            let args: Vec<Value> = args.iter().map(|arg| Value::from(*arg)).collect();
            assert_eq!(format(&args).unwrap(), Value::from(wanted));
        };
        check(&["%s FROM %I", "a", "Order"], "a FROM \"Order\"");
        check(&["%2$s-%1$s%%", "a", "b"], "b-a%");
        check(&["|%5s|%-5s|", "ab", "cd"], "|   ab|cd   |");
        check(&["%L", "it's"], "'it''s'");
        assert!(format(&[Value::from("%s")]).is_err());
        assert!(format(&[Value::from("%999999999s"), Value::from("x")]).is_err());
    }
}
