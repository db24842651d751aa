//! What PostgreSQL calls the columns of an answer (`FigureColname` in its parser): the alias, the column's own name, the
//! function's name, `case`, `?column?`, ... DataFusion calls them by their text (`count(*)`) and refuses to call two the same.
//!
//! So names are taken from the query as written, and select items that DataFusion would find equal get hidden aliases;
//! whoever sends the answer puts the names on by position.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    AccessExpr, Array, DataType, Expr, FunctionArguments, Ident, Query, Select, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, TrimWhereField, Value, visit_expressions_mut,
};

use super::rewrite::{call_name, folded, parts};

/// A name for each select item; `None` for a wildcard, which stands for as many columns as it expands to and keeps their
/// names. The whole is `None` where the names are those of the plan (`VALUES`, `TABLE`).
pub type OutputNames = Option<Vec<Option<String>>>;

/// The names PostgreSQL gives the columns of `query`'s answer. To be asked before the query is rewritten.
pub fn output_names(query: &Query) -> OutputNames {
    first_select(&query.body).map(|select| select.projection.iter().map(item_name).collect())
}

/// The names of an answer with `columns` (those of the plan, by position). What stands before the first wildcard and behind
/// the last is named by position; what is between keeps the plan's names.
pub fn apply(names: &OutputNames, columns: &[String]) -> Vec<String> {
    let mut result: Vec<String> = columns.iter().map(|name| visible(name).to_owned()).collect();
    let Some(names) = names else { return result };
    let first = names.iter().position(Option::is_none).unwrap_or(names.len());
    for (column, name) in result.iter_mut().zip(names[..first].iter().flatten()) {
        column.clone_from(name);
    }
    for (column, name) in result.iter_mut().rev().zip(names[first..].iter().rev().map_while(Option::as_ref)) {
        column.clone_from(name);
    }
    result
}

/// Separates a hidden alias from its number. No parser makes a name with it by accident.
pub(in crate::plan) const HIDDEN: char = '\u{1f}';

/// A column's name without what [`make_unique_items`] added.
fn visible(name: &str) -> &str {
    name.split(HIDDEN).next().unwrap_or(name)
}

/// A set operation is named by its first branch.
fn first_select(body: &SetExpr) -> Option<&Select> {
    match body {
        SetExpr::Select(select) => Some(select),
        SetExpr::Query(query) => first_select(&query.body),
        SetExpr::SetOperation { left, .. } => first_select(left),
        _ => None,
    }
}

fn item_name(item: &SelectItem) -> Option<String> {
    match item {
        SelectItem::UnnamedExpr(expr) => Some(expr_name(expr).map_or_else(|| "?column?".to_owned(), |(name, _)| name)),
        SelectItem::ExprWithAlias { alias, .. } => Some(folded(alias)),
        _ => None,
    }
}

/// How sure PostgreSQL is of a name: a type's name and `case` give way to a better one.
#[derive(PartialEq, PartialOrd)]
enum Strength {
    Weak,
    Strong,
}

fn expr_name(expr: &Expr) -> Option<(String, Strength)> {
    use Strength::{Strong, Weak};
    let strong = |name: &str| Some((name.to_owned(), Strong));
    match expr {
        Expr::Identifier(ident) => Some((folded(ident), Strong)),
        Expr::CompoundIdentifier(idents) => idents.last().map(|ident| (folded(ident), Strong)),
        // The last name in it: `(a).b[1]` is called `b`.
        Expr::CompoundFieldAccess { root, access_chain } => access_chain
            .iter()
            .rev()
            .find_map(|access| match access {
                AccessExpr::Dot(Expr::Identifier(field)) => Some((folded(field), Strong)),
                _ => None,
            })
            .or_else(|| expr_name(root)),
        Expr::Nested(inner) => expr_name(inner),
        Expr::Collate { expr, .. } => expr_name(expr),
        Expr::Function(function) => {
            let name = call_name(expr)?;
            if name == "array" && matches!(function.args, FunctionArguments::Subquery(_)) {
                return strong("array");
            }
            Some((name, Strong))
        }
        Expr::Cast { expr, data_type, .. } => match expr_name(expr) {
            Some((name, Strong)) => Some((name, Strong)),
            _ => Some((type_name(data_type), Weak)),
        },
        Expr::TypedString(typed) => Some((type_name(&typed.data_type), Weak)),
        Expr::Interval(_) => Some(("interval".to_owned(), Weak)),
        Expr::Case { else_result, .. } => match else_result.as_deref().and_then(expr_name) {
            Some((name, Strong)) => Some((name, Strong)),
            _ => Some(("case".to_owned(), Weak)),
        },
        Expr::Exists { negated: false, .. } => strong("exists"),
        Expr::Subquery(query) => first_select(&query.body).and_then(|select| match select.projection.first()? {
            SelectItem::UnnamedExpr(expr) => expr_name(expr),
            SelectItem::ExprWithAlias { alias, .. } => Some((folded(alias), Strong)),
            _ => None,
        }),
        Expr::Array(Array { .. }) => strong("array"),
        Expr::Extract { .. } => strong("extract"),
        Expr::Substring { .. } => strong("substring"),
        Expr::Position { .. } => strong("position"),
        Expr::Overlay { .. } => strong("overlay"),
        Expr::Ceil { .. } => strong("ceil"),
        Expr::Floor { .. } => strong("floor"),
        Expr::AtTimeZone { .. } => strong("timezone"),
        Expr::Trim { trim_where, .. } => strong(match trim_where {
            Some(TrimWhereField::Leading) => "ltrim",
            Some(TrimWhereField::Trailing) => "rtrim",
            _ => "btrim",
        }),
        Expr::Value(_) => None,
        Expr::Tuple(_) => strong("row"),
        _ => None,
    }
}

/// What PostgreSQL calls a type inside: `int4` for `integer`.
fn type_name(data_type: &DataType) -> String {
    let text = data_type.to_string().to_lowercase();
    let text = text.strip_prefix("pg_catalog.").unwrap_or(&text);
    if let Some(element) = text.strip_suffix("[]") {
        return inner_name(element.split('(').next().unwrap_or(element));
    }
    // A precision may stand in the middle: `timestamp(3) with time zone`.
    let base = match (text.find('('), text.find(')')) {
        (Some(open), Some(close)) if open < close => format!("{}{}", &text[..open], &text[close + 1..]),
        _ => text.to_owned(),
    };
    inner_name(base.trim().trim_matches('"'))
}

fn inner_name(name: &str) -> String {
    match name {
        "integer" | "int" => "int4",
        "smallint" => "int2",
        "bigint" => "int8",
        "real" => "float4",
        "double precision" | "double" | "float" => "float8",
        "boolean" => "bool",
        "decimal" | "dec" => "numeric",
        "character varying" | "char varying" => "varchar",
        "character" | "char" => "bpchar",
        "timestamp without time zone" => "timestamp",
        "timestamp with time zone" => "timestamptz",
        "time without time zone" => "time",
        "time with time zone" => "timetz",
        other => other,
    }
    .to_owned()
}

/// Gives hidden aliases to select items that DataFusion would find equal to an earlier one.
pub(super) fn make_unique_items(items: &mut [SelectItem]) {
    // The tables whose columns a wildcard brings, `None` for all.
    let wildcards: Vec<Option<String>> = items
        .iter()
        .filter_map(|item| match item {
            SelectItem::Wildcard(_) => Some(None),
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                Some(parts(name).pop())
            }
            SelectItem::QualifiedWildcard(..) => Some(None),
            _ => None,
        })
        .collect();
    let mut seen: HashSet<String> = HashSet::new();
    for (i, item) in items.iter_mut().enumerate() {
        let hidden = |name: &str| Ident::with_quote('"', format!("{name}{HIDDEN}{i}"));
        match item {
            SelectItem::UnnamedExpr(expr) => {
                // A wildcard may bring any column; behind it a column's name may come a second time.
                let repeated = match expr {
                    Expr::Identifier(_) => !wildcards.is_empty(),
                    Expr::CompoundIdentifier(idents) => {
                        let table = idents.len().checked_sub(2).map(|index| folded(&idents[index]));
                        wildcards.iter().any(|wildcard| wildcard.is_none() || *wildcard == table)
                    }
                    _ => false,
                };
                if !seen.insert(key(expr)) || repeated {
                    let name = expr_name(expr).map_or_else(|| "?column?".to_owned(), |(name, _)| name);
                    *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: hidden(&name) };
                }
            }
            SelectItem::ExprWithAlias { alias, .. } => {
                let name = folded(alias);
                if !seen.insert(format!("alias {name}")) {
                    *alias = hidden(&name);
                }
            }
            _ => {}
        }
    }
}

/// What two expressions that DataFusion would name the same have in common; others may have it, too. It names a cast by what
/// is cast, a literal of a type by its text, a column by its name in lower case with its table, and a subquery by its column.
fn key(expr: &Expr) -> String {
    match expr {
        Expr::Cast { expr, .. } | Expr::Nested(expr) => key(expr),
        Expr::TypedString(typed) => typed.value.to_string(),
        Expr::Identifier(ident) => folded(ident),
        Expr::CompoundIdentifier(idents) => idents.last().map(folded).unwrap_or_default(),
        Expr::Subquery(query) => match first_select(&query.body).and_then(|select| select.projection.first()) {
            Some(SelectItem::UnnamedExpr(expr)) => key(expr),
            Some(SelectItem::ExprWithAlias { alias, .. }) => format!("alias {}", folded(alias)),
            _ => expr.to_string(),
        },
        // `a.b`, `(a).B` and `a['b']` are one field: by its last name, as above.
        Expr::CompoundFieldAccess { .. } => {
            let text = expr.to_string().to_lowercase().replace(['(', ')', ']', '\'', '"'], "");
            text.rsplit(['.', '[']).next().unwrap_or_default().to_owned()
        }
        // Case and casts inside don't make a difference to DataFusion.
        other => {
            let mut other = other.clone();
            let _: ControlFlow<()> = visit_expressions_mut(&mut other, |expr| {
                while let Expr::Cast { expr: inner, .. } | Expr::Nested(inner) = expr {
                    let inner = std::mem::replace(inner.as_mut(), Expr::value(Value::Null));
                    *expr = inner;
                }
                ControlFlow::Continue(())
            });
            other.to_string().to_lowercase()
        }
    }
}

/// Names the columns of a derived table, so that `SELECT count FROM (SELECT count(*) FROM t) x` finds its column. Only names
/// that are the only one of their kind: others can't be referred to anyway.
pub(super) fn name_derived(body: &mut SetExpr) {
    match body {
        SetExpr::Select(select) => {
            let names: Vec<Option<String>> = select.projection.iter().map(item_name).collect();
            for (i, item) in select.projection.iter_mut().enumerate() {
                let SelectItem::UnnamedExpr(expr) = item else { continue };
                if matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_)) {
                    continue;
                }
                let Some(name) = names[i].clone() else { continue };
                if names.iter().filter(|other| other.as_deref() == Some(&name)).count() == 1 {
                    *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: Ident::with_quote('"', name) };
                }
            }
        }
        SetExpr::Query(query) => name_derived(&mut query.body),
        SetExpr::SetOperation { left, .. } => name_derived(left),
        _ => {}
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use datafusion::sql::sqlparser::ast::Statement;
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    use super::*;

    fn names(sql: &str) -> Vec<String> {
        let Statement::Query(query) = Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap().remove(0) else {
            panic!("{sql}")
        };
        output_names(&query).unwrap().into_iter().map(|name| name.unwrap_or_else(|| "*".to_owned())).collect()
    }

    /// The right column is what PostgreSQL 15 answers.
    #[test]
    fn names_are_those_of_postgresql() {
        for (sql, wanted) in [
            ("select 1, 'a', null, 1+1", "?column? ?column? ?column? ?column?"),
            ("select count(*), COUNT(a), pg_catalog.lower(x)", "count count lower"),
            ("select a, t.b, \"C\", D as \"Dd\", e AS F from t", "a b C Dd f"),
            ("select a::int, 1::int, '1'::double precision, cast(null as pg_catalog.text)", "a int4 float8 text"),
            (
                "select case when a then 1 end, case when a then 1 else b end, case when a then 1 else 2::int end",
                "case b case",
            ),
            (
                "select exists(select 1), not exists(select 1), (select max(x) from t), (select 1)",
                "exists ?column? max ?column?",
            ),
            (
                "select extract(year from d), substring(a from 1 for 2), trim(a), trim(trailing ';' from a)",
                "extract substring btrim rtrim",
            ),
            ("select array[1,2], array(select 1), true, date '2024-01-01'", "array array ?column? date"),
            ("select (a).b, (a).b[1], a.b[1], (t.a).b[1].c, a[1]", "b b b c a"),
            ("select *, t.*, 1 from t", "* * ?column?"),
            ("select a union select b", "a"),
            ("select timestamp(3) with time zone '2024-01-01'", "timestamptz"),
            (
                "select current_user, coalesce(a, b), -a, a is null, now()",
                "current_user coalesce ?column? ?column? now",
            ),
        ] {
            assert_eq!(names(sql).join(" "), wanted, "{sql}");
        }
    }

    #[test]
    fn a_wildcard_takes_the_columns_that_are_left() {
        let columns = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let names = Some(vec![Some("x".to_owned()), None, Some("count".to_owned())]);
        assert_eq!(apply(&names, &columns(&["q", "a", "b", "count(*)"])), columns(&["x", "a", "b", "count"]));
        assert_eq!(apply(&None, &columns(&["column1"])), columns(&["column1"]));
    }
}
