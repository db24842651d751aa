//! DataFusion's errors -> ours: PostgreSQL's wording and code, and our own errors found again inside DataFusion's.

use std::borrow::Cow;

use arrow::error::ArrowError;
use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;

use super::{Error, ErrorCode};
use crate::plan::hidden::without_marks;
use crate::scan::store::store_error;

/// Our error as DataFusion carries it.
pub(crate) fn to_datafusion(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

impl From<DataFusionError> for Error {
    fn from(error: DataFusionError) -> Self {
        let mut error = translate(&error);
        for text in [Some(&mut error.message), error.detail.as_mut(), error.hint.as_mut()].into_iter().flatten() {
            if let Cow::Owned(shown) = without_marks(text) {
                *text = shown;
            }
        }
        error
    }
}

/// One of our own errors anywhere in the chain of sources.
fn find_own(error: &DataFusionError) -> Option<Error> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(current) = cause {
        if let Some(own) = current.downcast_ref::<Error>() {
            return Some(own.clone());
        }
        if let Some(store) = current.downcast_ref::<object_store::Error>() {
            return Some(store_error(&path_of(store), store));
        }
        cause = current.source();
    }
    None
}

fn path_of(error: &object_store::Error) -> String {
    use object_store::Error as Store;
    match error {
        Store::NotFound { path, .. }
        | Store::Precondition { path, .. }
        | Store::PermissionDenied { path, .. }
        | Store::Unauthenticated { path, .. } => path.clone(),
        _ => "an object".to_owned(),
    }
}

fn translate(error: &DataFusionError) -> Error {
    if let Some(own) = find_own(error) {
        return own;
    }
    match error {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => translate(inner),
        DataFusionError::Shared(inner) => translate(inner),
        DataFusionError::Collection(errors) => match errors.first() {
            Some(first) => translate(first),
            None => Error::internal("an empty collection of errors"),
        },
        DataFusionError::SchemaError(schema, _) => schema_error(schema),
        DataFusionError::SQL(parser, _) => {
            let text = parser.to_string();
            Error::syntax(text.strip_prefix("sql parser error: ").unwrap_or(&text).to_owned())
        }
        DataFusionError::Plan(text) => plan_error(text),
        DataFusionError::NotImplemented(text) if text.contains("does not support logical expression") => {
            not_plannable(text)
        }
        DataFusionError::NotImplemented(text) => match unknown_type(text) {
            Some(name) => Error::new(ErrorCode::UndefinedObject, format!("type \"{name}\" does not exist")),
            None => Error::unsupported(lower_first(text)),
        },
        DataFusionError::Configuration(text) => Error::new(ErrorCode::InvalidParameterValue, lower_first(text)),
        DataFusionError::ResourcesExhausted(text) => Error::new(ErrorCode::OutOfMemory, "out of memory")
            .with_detail(full_sentence(text))
            .with_hint("The query needs more memory than one query may have; reduce what it joins or groups, or raise the server's --memory-limit."),
        DataFusionError::ArrowError(arrow, _) => arrow_error(arrow),
        DataFusionError::ParquetError(parquet) => parquet_error(&parquet.to_string()),
        DataFusionError::ObjectStore(store) => store_error(&path_of(store), store),
        DataFusionError::IoError(io) => io_error(io),
        DataFusionError::Execution(text) => execution_error(text),
        DataFusionError::External(other) => external_error(other.as_ref()),
        other => Error::internal(other.to_string()),
    }
}

/// What the decoder doesn't know, or can't make sense of.
fn parquet_error(text: &str) -> Error {
    match text.strip_prefix("NYI: ") {
        Some(text) => Error::unsupported("a Parquet file cannot be decoded").with_detail(full_sentence(text)),
        None => {
            Error::new(ErrorCode::DataCorrupted, "a Parquet file cannot be decoded").with_detail(full_sentence(text))
        }
    }
}

/// The type that a cast names, if PostgreSQL has none of that name either.
fn unknown_type(text: &str) -> Option<&str> {
    const KNOWN: &[&str] = &[
        "bit", "box", "cidr", "circle", "hstore", "inet", "json", "jsonb", "line", "lseg", "macaddr", "money", "oid",
        "path", "point", "polygon", "tsquery", "tsvector", "uuid", "varbit", "xml",
    ];
    let name = text.strip_prefix("Unsupported SQL type ")?.trim();
    let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    (plain && !KNOWN.contains(&name)).then_some(name)
}

fn external_error(error: &(dyn std::error::Error + 'static)) -> Error {
    if let Some(error) = error.downcast_ref::<DataFusionError>() {
        return translate(error);
    }
    if let Some(arrow) = error.downcast_ref::<ArrowError>() {
        return arrow_error(arrow);
    }
    execution_error(&error.to_string())
}

fn schema_error(error: &SchemaError) -> Error {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let names: Vec<&str> = valid_fields.iter().map(|column| column.name.as_str()).collect();
            let name = match &field.relation {
                Some(relation) => format!("{}.{}", relation.table(), field.name),
                None => field.name.clone(),
            };
            if let Some(relation) = &field.relation
                && !valid_fields
                    .iter()
                    .any(|column| column.relation.as_ref().is_some_and(|valid| valid.table() == relation.table()))
            {
                let message = format!("missing FROM-clause entry for table \"{}\"", relation.table());
                return Error::new(ErrorCode::UndefinedTable, message);
            }
            let mut new = Error::new(ErrorCode::UndefinedColumn, format!("column \"{name}\" does not exist"));
            if let Some(near) = nearest(&field.name, names.iter().copied()) {
                new.hint = Some(format!("Did you mean \"{near}\"?"));
            }
            new
        }
        SchemaError::AmbiguousReference { field } => {
            Error::new(ErrorCode::AmbiguousColumn, format!("column reference \"{}\" is ambiguous", field.name))
        }
        SchemaError::DuplicateQualifiedField { name, .. } | SchemaError::DuplicateUnqualifiedField { name } => {
            Error::new(ErrorCode::DuplicateColumn, format!("column name \"{name}\" is not unique"))
                .with_hint("Give each column of the subquery its own alias.")
        }
    }
}

fn plan_error(text: &str) -> Error {
    if let Some(rest) = text.strip_prefix("Invalid function '") {
        let name = rest.split('\'').next().unwrap_or_default();
        let mut new = Error::new(ErrorCode::UndefinedFunction, format!("function {name} does not exist"));
        if let Some(near) = rest.split("Did you mean '").nth(1).and_then(|rest| rest.split('\'').next()) {
            new.hint = Some(format!("Did you mean \"{near}\"?"));
        }
        return new;
    }
    if let Some(rest) = text.strip_prefix("table '") {
        let name = rest.split('\'').next().unwrap_or_default();
        let name = name.split_once('.').map_or(name, |(_, name)| name);
        return Error::new(ErrorCode::UndefinedTable, format!("table \"{name}\" does not exist"));
    }
    if let Some(rest) = text.strip_prefix("Field ")
        && let Some(name) = rest.strip_suffix(" not found in struct")
    {
        return Error::new(ErrorCode::UndefinedColumn, format!("field \"{name}\" does not exist"));
    }
    if matches!(text, "Step cannot be zero" | "Step interval cannot be zero") {
        return Error::new(ErrorCode::InvalidParameterValue, "step size cannot equal zero");
    }
    if let Some(new) = known_plan_error(text) {
        return new;
    }
    let code = if text.contains("No function matches") || text.contains("Failed to coerce arguments") {
        ErrorCode::UndefinedFunction
    } else if text.contains("must appear in the GROUP BY clause")
        || text.contains("Column in SELECT must be in GROUP BY")
    {
        ErrorCode::GroupingError
    } else if text.contains("Cannot infer common argument type")
        || text.contains("Cannot get result type")
        || text.contains("Cannot coerce arithmetic")
    {
        // PostgreSQL: operator does not exist.
        ErrorCode::UndefinedFunction
    } else if text.contains("Union") && text.contains("columns")
        || text.contains("UNION queries have different number of columns")
    {
        ErrorCode::SyntaxError
    } else if text.contains("coerce") || text.contains("type mismatch") || text.contains("Unsupported CAST") {
        ErrorCode::DatatypeMismatch
    } else if text.contains("verflow") {
        ErrorCode::NumericValueOutOfRange
    } else if text.contains("duplicate") || text.contains("same name") {
        ErrorCode::DuplicateColumn
    } else {
        ErrorCode::InvalidStatement
    };
    Error::new(code, lower_first(text))
}

/// What DataFusion says in its own words, said in PostgreSQL's: a part of its text, our code and our text.
const KNOWN_PLAN_ERRORS: &[(&str, ErrorCode, &str)] = &[
    (
        "Aggregate functions are not allowed in the WHERE clause",
        ErrorCode::GroupingError,
        "aggregate functions are not allowed in WHERE",
    ),
    (
        "Aggregate function calls cannot be nested",
        ErrorCode::GroupingError,
        "aggregate function calls cannot be nested",
    ),
    ("Cannot find column with position", ErrorCode::InvalidColumnReference, "GROUP BY position is not in select list"),
    ("Order by column out of bounds", ErrorCode::InvalidColumnReference, "ORDER BY position is not in select list"),
    (
        "For SELECT DISTINCT, ORDER BY expressions",
        ErrorCode::InvalidColumnReference,
        "for SELECT DISTINCT, ORDER BY expressions must appear in select list",
    ),
    ("LIMIT must be >= 0", ErrorCode::InvalidRowCountInLimit, "LIMIT must not be negative"),
    ("OFFSET must be >=0", ErrorCode::InvalidRowCountInOffset, "OFFSET must not be negative"),
    (
        "Too many columns! The subquery should only return one column",
        ErrorCode::SyntaxError,
        "subquery must return only one column",
    ),
    ("SELECT * with no tables specified", ErrorCode::SyntaxError, "SELECT * with no tables specified is not valid"),
    ("Inconsistent data length across values list", ErrorCode::SyntaxError, "VALUES lists must all be the same length"),
    ("Window function calls cannot be nested", ErrorCode::WindowingError, "window function calls cannot be nested"),
    (
        "Cannot create filter with non-boolean predicate",
        ErrorCode::DatatypeMismatch,
        "argument of WHERE must be type boolean",
    ),
];

fn known_plan_error(text: &str) -> Option<Error> {
    if let Some((_, code, message)) = KNOWN_PLAN_ERRORS.iter().find(|(part, ..)| text.contains(part)) {
        return Some(Error::new(*code, *message));
    }
    if let Some(name) = text.strip_prefix("WITH query name ").and_then(|rest| rest.split('"').nth(1)) {
        return Some(Error::new(
            ErrorCode::DuplicateAlias,
            format!("WITH query name \"{name}\" specified more than once"),
        ));
    }
    let name = text.strip_prefix("The window ")?.strip_suffix(" is not defined!")?;
    Some(Error::new(ErrorCode::UndefinedObject, format!("window \"{name}\" does not exist")))
}

/// An expression that has no physical form; its text would be that of our inside.
fn not_plannable(text: &str) -> Error {
    if text.contains("WindowFunction") {
        return Error::new(ErrorCode::WindowingError, "window functions are not allowed here")
            .with_hint("Compute the window function in a subquery, and filter its result.");
    }
    Error::unsupported("a subquery is not supported at this place yet")
        .with_hint("EXISTS and IN with a subquery work in WHERE and HAVING.")
}

fn arrow_error(error: &ArrowError) -> Error {
    match error {
        ArrowError::DivideByZero => Error::new(ErrorCode::DivisionByZero, "division by zero"),
        ArrowError::ArithmeticOverflow(text) => {
            Error::new(ErrorCode::NumericValueOutOfRange, "value out of range").with_detail(full_sentence(text))
        }
        ArrowError::CastError(text) | ArrowError::ParseError(text) => value_error(text),
        ArrowError::ExternalError(inner) => external_error(inner.as_ref()),
        ArrowError::IoError(_, io) => io_error(io),
        ArrowError::NotYetImplemented(text) => Error::unsupported(lower_first(text)),
        ArrowError::MemoryError(text) => {
            Error::new(ErrorCode::OutOfMemory, "out of memory").with_detail(full_sentence(text))
        }
        ArrowError::ParquetError(text) => parquet_error(text.strip_prefix("Parquet error: ").unwrap_or(text)),
        ArrowError::ComputeError(text) | ArrowError::InvalidArgumentError(text) => execution_error(text),
        other => execution_error(&other.to_string()),
    }
}

fn value_error(text: &str) -> Error {
    // arrow: Cannot cast string 'abc' to value of Int32 type
    if let Some(rest) = text.strip_prefix("Cannot cast string '")
        && let Some((value, rest)) = rest.rsplit_once("' to value of ")
    {
        let arrow_type = rest.strip_suffix(" type").unwrap_or(rest);
        let (code, name) = match arrow_type {
            "Boolean" => (ErrorCode::InvalidTextRepresentation, "boolean"),
            "Int8" | "Int16" | "UInt8" => (ErrorCode::InvalidTextRepresentation, "smallint"),
            "Int32" | "UInt16" => (ErrorCode::InvalidTextRepresentation, "integer"),
            "Int64" | "UInt32" | "UInt64" => (ErrorCode::InvalidTextRepresentation, "bigint"),
            "Float32" => (ErrorCode::InvalidTextRepresentation, "real"),
            "Float64" => (ErrorCode::InvalidTextRepresentation, "double precision"),
            "Date32" | "Date64" => (ErrorCode::InvalidDatetimeFormat, "date"),
            other if other.starts_with("Timestamp") => (ErrorCode::InvalidDatetimeFormat, "timestamp"),
            other if other.starts_with("Decimal") => (ErrorCode::InvalidTextRepresentation, "numeric"),
            other => (ErrorCode::InvalidTextRepresentation, other),
        };
        let whole = matches!(name, "smallint" | "integer" | "bigint");
        if whole && value.trim().parse::<i128>().is_ok() {
            let message = format!("value \"{value}\" is out of range for type {name}");
            return Error::new(ErrorCode::NumericValueOutOfRange, message);
        }
        if code == ErrorCode::InvalidDatetimeFormat && looks_like_date(value) {
            return field_overflow(value);
        }
        return Error::new(code, format!("invalid input syntax for type {name}: \"{value}\""));
    }
    // arrow: Error parsing timestamp from 'not a time': error parsing date
    if let Some(rest) = text.strip_prefix("Error parsing timestamp from '")
        && let Some((value, _)) = rest.rsplit_once("': ")
    {
        if looks_like_date(value) {
            return field_overflow(value);
        }
        let message = format!("invalid input syntax for type timestamp: \"{value}\"");
        return Error::new(ErrorCode::InvalidDatetimeFormat, message);
    }
    // arrow: Cannot cast value 'maybe' to value of Boolean type
    if let Some(value) =
        text.strip_prefix("Cannot cast value '").and_then(|rest| rest.strip_suffix("' to value of Boolean type"))
    {
        let message = format!("invalid input syntax for type boolean: \"{value}\"");
        return Error::new(ErrorCode::InvalidTextRepresentation, message);
    }
    if text.contains("too large to store")
        || text.contains("out of range")
        || text.contains("Can't cast value")
        || text.contains("verflow")
    {
        return Error::new(ErrorCode::NumericValueOutOfRange, lower_first(text));
    }
    if text.contains("parsing timestamp")
        || text.contains("parsing date")
        || text.contains("Timestamp")
        || text.contains("Date")
    {
        return Error::new(ErrorCode::InvalidDatetimeFormat, lower_first(text));
    }
    Error::new(ErrorCode::InvalidTextRepresentation, lower_first(text))
}

/// Digits where a date has them: not the form is wrong but a month of 13.
fn looks_like_date(value: &str) -> bool {
    let date = value.trim().split([' ', 'T']).next().unwrap_or_default();
    let mut parts = date.split('-');
    let mut number = |digits: std::ops::RangeInclusive<usize>| {
        parts.next().is_some_and(|part| digits.contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    number(4..=6) && number(1..=2) && number(1..=2) && parts.next().is_none()
}

fn field_overflow(value: &str) -> Error {
    Error::new(ErrorCode::DatetimeFieldOverflow, format!("date/time field value out of range: \"{value}\""))
}

fn execution_error(text: &str) -> Error {
    let lower = text.to_lowercase();
    if lower.contains("division by zero") || lower.contains("divide by zero") {
        return Error::new(ErrorCode::DivisionByZero, "division by zero");
    }
    if lower.contains("scalar subquery returned more than one row") {
        return Error::new(
            ErrorCode::CardinalityViolation,
            "more than one row returned by a subquery used as an expression",
        );
    }
    if lower.contains("square root of a negative number") {
        return Error::new(ErrorCode::InvalidArgumentForPower, "cannot take square root of a negative number");
    }
    if lower.contains("negative count not allowed") || lower.contains("negative substring length") {
        return Error::new(ErrorCode::SubstringError, "negative substring length not allowed");
    }
    let code = if lower.contains("too large to store") {
        ErrorCode::NumericValueOutOfRange
    } else if lower.contains("date part '") || lower.contains("unsupported date_trunc granularity") {
        ErrorCode::InvalidParameterValue
    } else if lower.contains("overflow") || lower.contains("out of range") {
        ErrorCode::NumericValueOutOfRange
    } else if lower.contains("regular expression") || lower.contains("regex") {
        ErrorCode::InvalidRegularExpression
    } else if lower.contains("cannot parse") || lower.contains("error parsing") || lower.contains("parse error") {
        ErrorCode::InvalidTextRepresentation
    } else {
        ErrorCode::DataException
    };
    Error::new(code, lower_first(text))
}

fn io_error(error: &std::io::Error) -> Error {
    use std::io::ErrorKind;
    let code = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => ErrorCode::DiskFull,
        ErrorKind::PermissionDenied => ErrorCode::InsufficientPrivilege,
        ErrorKind::NotFound => ErrorCode::UndefinedFile,
        _ => ErrorCode::IoError,
    };
    Error::new(code, lower_first(&error.to_string()))
}

/// PostgreSQL's primary messages begin in lower case and have no full stop.
fn lower_first(text: &str) -> String {
    let text = text.trim().trim_end_matches('.');
    let mut chars = text.chars();
    match (chars.next(), chars.clone().next()) {
        // An acronym stays as it is.
        (Some(first), Some(second)) if first.is_uppercase() && !second.is_uppercase() => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => text.to_owned(),
    }
}

/// Details are sentences.
fn full_sentence(text: &str) -> String {
    let text = text.trim().trim_end_matches('.');
    format!("{text}.")
}

/// The name of `names` that is most like `name`, if any is near enough to be meant.
pub(crate) fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (name.chars().count() / 3).max(1);
    names
        .map(|candidate| (datafusion::common::utils::datafusion_strsim::levenshtein(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= limit && *candidate != name)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use datafusion::common::{exec_datafusion_err, plan_datafusion_err};

    use super::*;

    #[test]
    fn errors_get_their_codes() {
        let cases: Vec<(DataFusionError, &str, &str)> = vec![
            (ArrowError::DivideByZero.into(), "22012", "division by zero"),
            (
                ArrowError::ParquetError("Parquet error: Page CRC checksum mismatch".into()).into(),
                "XX001",
                "a Parquet file cannot be decoded",
            ),
            (plan_datafusion_err!("Field nosuch not found in struct"), "42703", "field \"nosuch\" does not exist"),
            (
                ArrowError::CastError("Cannot cast string 'it's' to value of Int32 type".into()).into(),
                "22P02",
                "invalid input syntax for type integer: \"it's\"",
            ),
            (
                plan_datafusion_err!("Invalid function 'foo'.\nDid you mean 'floor'?"),
                "42883",
                "function foo does not exist",
            ),
            (plan_datafusion_err!("Step cannot be zero"), "22023", "step size cannot equal zero"),
            (exec_datafusion_err!("Divide by zero error"), "22012", "division by zero"),
            (DataFusionError::ResourcesExhausted("x".into()), "53200", "out of memory"),
            (to_datafusion(Error::syntax("mine")).context("outer"), "42601", "mine"),
            (ArrowError::ExternalError(Box::new(to_datafusion(Error::syntax("deep")))).into(), "42601", "deep"),
            (DataFusionError::NotImplemented("Unsupported thing.".into()), "0A000", "unsupported thing"),
        ];
        for (error, sqlstate, message) in cases {
            let new = Error::from(error);
            assert_eq!((new.code.sqlstate(), new.message.as_str()), (sqlstate, message));
        }
    }

    #[test]
    fn near_names_are_offered() {
        assert_eq!(nearest("ordrs", ["orders", "lineitem"].into_iter()), Some("orders"));
        assert_eq!(nearest("xyz", ["orders", "lineitem"].into_iter()), None);
    }
}
