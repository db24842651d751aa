//! Values of a query -> values of a table's columns: which types are assigned to which, as PostgreSQL's assignment casts do,
//! and how a constant or a parameter of no type takes the column's.

use arrow::datatypes::{DataType as ArrowType, Field};
use datafusion::logical_expr::{Expr, cast};
use datafusion::sql::sqlparser::ast::{CastKind, Expr as SqlExpr, Query, SelectItem, SetExpr, Value, ValueWithSpan};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use limnos_catalog::{Column, DataType};

use crate::scan::schema::{PG_TYPE_METADATA, arrow_type, catalog_field_type};
use crate::{Error, ErrorCode, Result};

/// Gives the constants and parameters in the lists of `query` that have no type of their own (`'2024-01-01'`, `NULL`, `$1`)
/// that of the column they are for.
pub(super) fn type_constants(query: &mut Query, columns: &[&Column]) {
    type_constants_of(&mut query.body, columns);
}

fn type_constants_of(body: &mut SetExpr, columns: &[&Column]) {
    match body {
        SetExpr::Values(values) => {
            for row in &mut values.rows {
                for (expr, column) in row.content.iter_mut().zip(columns) {
                    type_constant(expr, column);
                }
            }
        }
        SetExpr::Select(select) => {
            for (item, column) in select.projection.iter_mut().zip(columns) {
                match item {
                    SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => {
                        type_constant(expr, column)
                    }
                    // What comes behind `*` is for columns that only the planner knows.
                    _ => return,
                }
            }
        }
        SetExpr::Query(query) => type_constants(query, columns),
        _ => {}
    }
}

fn type_constant(expr: &mut SqlExpr, column: &Column) {
    let inner = match &*expr {
        SqlExpr::Nested(inner) => inner.as_ref(),
        other => other,
    };
    let has_no_type = matches!(
        inner,
        SqlExpr::Value(ValueWithSpan {
            value: Value::SingleQuotedString(_)
                | Value::EscapedStringLiteral(_)
                | Value::DollarQuotedString(_)
                | Value::Null
                | Value::Placeholder(_),
            ..
        })
    );
    let Some(text) = sql_type(&column.data_type).filter(|_| has_no_type) else { return };
    let Ok(data_type) = Parser::new(&PostgreSqlDialect {}).try_with_sql(&text).and_then(|mut p| p.parse_data_type())
    else {
        return;
    };
    let inner = std::mem::replace(expr, SqlExpr::Value(Value::Null.into()));
    *expr = SqlExpr::Cast { kind: CastKind::Cast, expr: Box::new(inner), data_type, array: false, format: None };
}

/// A type as CAST names it; `None` for those that constants aren't written of.
fn sql_type(data_type: &DataType) -> Option<String> {
    Some(match data_type {
        DataType::Boolean => "boolean".to_owned(),
        DataType::TinyInt => "tinyint".to_owned(),
        DataType::SmallInt => "smallint".to_owned(),
        DataType::Int => "integer".to_owned(),
        DataType::BigInt => "bigint".to_owned(),
        DataType::Float => "real".to_owned(),
        DataType::Double => "double precision".to_owned(),
        DataType::Decimal(precision, scale) => format!("decimal({precision}, {scale})"),
        DataType::String | DataType::Varchar(_) | DataType::Char(_) => "text".to_owned(),
        DataType::Json => "json".to_owned(),
        DataType::Binary => "bytea".to_owned(),
        DataType::Date => "date".to_owned(),
        DataType::Time => "time".to_owned(),
        DataType::Timestamp => "timestamp".to_owned(),
        DataType::TimestampTz => "timestamp with time zone".to_owned(),
        DataType::Array(item) if !item.is_nested() => format!("{}[]", sql_type(item)?),
        DataType::Array(_) | DataType::Map(..) | DataType::Struct(_) => return None,
    })
}

/// `expr`, of the type that `field` has, as a value of `column`.
///
/// # Errors
/// 42804 for a type that isn't assigned to the column's.
pub(super) fn assign(expr: Expr, field: &Field, column: &Column) -> Result<Expr> {
    let wanted = arrow_type(&column.data_type);
    if *field.data_type() == wanted && is_json(field) == (column.data_type == DataType::Json) {
        return Ok(expr);
    }
    // A parameter in an expression has no type before it has a value.
    if field.data_type() == &ArrowType::Null {
        return Ok(cast(expr, wanted));
    }
    let from = catalog_field_type(field)?;
    if is_assignable(&from, &column.data_type) {
        return Ok(cast(expr, wanted));
    }
    let message = format!(
        "column \"{}\" is of type {} but expression is of type {}",
        column.name,
        name(&column.data_type),
        name(&from)
    );
    Err(Error::new(ErrorCode::DatatypeMismatch, message).with_hint("You will need to rewrite or cast the expression."))
}

fn is_json(field: &Field) -> bool {
    field.metadata().get(PG_TYPE_METADATA).is_some_and(|name| name == "json")
}

/// A type as PostgreSQL's messages name it.
pub(super) fn name(data_type: &DataType) -> String {
    match data_type {
        DataType::String | DataType::Varchar(_) | DataType::Char(_) => "text".to_owned(),
        DataType::Int => "integer".to_owned(),
        DataType::Float => "real".to_owned(),
        DataType::Double => "double precision".to_owned(),
        DataType::Decimal(..) => "numeric".to_owned(),
        DataType::Binary => "bytea".to_owned(),
        DataType::Timestamp => "timestamp without time zone".to_owned(),
        DataType::TimestampTz => "timestamp with time zone".to_owned(),
        DataType::Time => "time without time zone".to_owned(),
        DataType::Array(item) => format!("{}[]", name(item)),
        other => other.to_string(),
    }
}

/// PostgreSQL's casts that an assignment may do (`pg_cast.castcontext` `a` and `i`).
fn is_assignable(from: &DataType, to: &DataType) -> bool {
    use DataType::{
        Array, BigInt, Char, Date, Decimal, Double, Float, Int, Json, Map, SmallInt, String, Struct, Time, Timestamp,
        TimestampTz, TinyInt, Varchar,
    };
    let is_number =
        |data_type: &DataType| matches!(data_type, TinyInt | SmallInt | Int | BigInt | Float | Double | Decimal(..));
    match (from, to) {
        (from, to) if from == to => true,
        // Everything has a text.
        (_, String | Varchar(_) | Char(_)) => true,
        (from, to) if is_number(from) && is_number(to) => true,
        (Date, Timestamp | TimestampTz) | (Timestamp, Date | Time | TimestampTz) => true,
        (TimestampTz, Date | Time | Timestamp) => true,
        (Array(from), Array(to)) => is_assignable(from, to),
        (Map(from_key, from), Map(to_key, to)) => is_assignable(from_key, to_key) && is_assignable(from, to),
        (Struct(from), Struct(to)) => {
            from.len() == to.len()
                && from.iter().zip(to).all(|(from, to)| {
                    from.name.eq_ignore_ascii_case(&to.name) && is_assignable(&from.data_type, &to.data_type)
                })
        }
        (Struct(_) | Map(..) | Array(_), Json) => false,
        _ => false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn assigns_as_postgresql_does() {
        let is = |from: &str, to: &str| is_assignable(&from.parse().unwrap(), &to.parse().unwrap());
        for (from, to) in [
            ("int", "bigint"),
            ("bigint", "tinyint"),
            ("double", "decimal(5,2)"),
            ("decimal(5,2)", "int"),
            ("int", "string"),
            ("date", "timestamp"),
            ("timestamp", "date"),
            ("array<int>", "array<double>"),
            ("boolean", "varchar(5)"),
        ] {
            assert!(is(from, to), "{from} to {to}");
        }
        for (from, to) in [
            ("string", "int"),
            ("int", "boolean"),
            ("boolean", "int"),
            ("string", "date"),
            ("date", "int"),
            ("int", "date"),
        ] {
            assert!(!is(from, to), "{from} to {to}");
        }
    }

    #[test]
    fn types_of_constants_can_be_parsed() {
        for text in ["tinyint", "decimal(5,2)", "timestamp", "array<int>", "string", "binary", "double", "float"] {
            let data_type: DataType = text.parse().unwrap();
            let sql = sql_type(&data_type).unwrap();
            Parser::new(&PostgreSqlDialect {}).try_with_sql(&sql).unwrap().parse_data_type().unwrap();
        }
    }
}
