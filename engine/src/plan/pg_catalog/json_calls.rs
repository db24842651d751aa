//! JSON of whole rows, and JSON aggregates: `row_to_json(t)` names its columns, `json_agg(x ORDER BY y)` is made of the array
//! that `array_agg(x ORDER BY y)` gives, for DataFusion has neither.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, Select, SelectItem, SetExpr,
    TableFactor, Value, visit_expressions_mut,
};

use super::output_name::output_names;
use super::relations::relation;
use super::rewrite::{call, call_name, folded, parts};

/// Functions whose results are JSON.
const JSON: [&str; 14] = [
    "to_json",
    "to_jsonb",
    "row_to_json",
    "array_to_json",
    "json_build_array",
    "jsonb_build_array",
    "json_build_object",
    "jsonb_build_object",
    "json_agg",
    "jsonb_agg",
    "json_object_agg",
    "jsonb_object_agg",
    "limnos_json_row",
    "limnos_jsonb_row",
];

/// Functions that take a whole row.
const OF_ROWS: [&str; 5] = ["row_to_json", "to_json", "to_jsonb", "json_agg", "jsonb_agg"];

/// Puts the columns in the place of the rows that JSON is made of.
pub(super) fn expand_rows(select: &mut Select) {
    let mut sources = Vec::new();
    for table in &select.from {
        sources.extend(columns_of(&table.relation));
        sources.extend(table.joins.iter().filter_map(|join| columns_of(&join.relation)));
    }
    if sources.is_empty() {
        return;
    }
    let mut expand = |expr: &mut Expr| {
        let Some(name) = call_name(expr).filter(|name| OF_ROWS.contains(&name.as_str())) else {
            return ControlFlow::<()>::Continue(());
        };
        let Expr::Function(Function { args: FunctionArguments::List(list), .. }) = &mut *expr else {
            return ControlFlow::Continue(());
        };
        let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))) = list.args.first_mut() else {
            return ControlFlow::Continue(());
        };
        let Expr::Identifier(row) = &*argument else { return ControlFlow::Continue(()) };
        let wanted = folded(row);
        let Some((_, columns)) = sources.iter().find(|(alias, _)| folded(alias) == wanted) else {
            return ControlFlow::Continue(());
        };
        let pairs = columns.iter().flat_map(|column| {
            let quoted = Ident::with_quote('"', column.as_str());
            [
                Expr::value(Value::SingleQuotedString(column.clone())),
                Expr::CompoundIdentifier(vec![row.clone(), quoted]),
            ]
        });
        let binary = name.contains("jsonb");
        *argument = call(if binary { "limnos_jsonb_row" } else { "limnos_json_row" }, pairs.collect());
        ControlFlow::Continue(())
    };
    for item in &mut select.projection {
        if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
            let _ = visit_expressions_mut(expr, &mut expand);
        }
    }
    for expr in [&mut select.selection, &mut select.having].into_iter().flatten() {
        let _ = visit_expressions_mut(expr, &mut expand);
    }
}

/// The alias of a table in FROM, and its columns where they can be told without the catalog.
fn columns_of(factor: &TableFactor) -> Option<(Ident, Vec<String>)> {
    match factor {
        TableFactor::Derived { subquery, alias: Some(alias), .. } => {
            if !alias.columns.is_empty() {
                return Some((alias.name.clone(), alias.columns.iter().map(|column| folded(&column.name)).collect()));
            }
            let names = match output_names(subquery)?.into_iter().collect::<Option<Vec<_>>>() {
                Some(names) => names,
                None => {
                    // `SELECT * FROM one_table`.
                    let SetExpr::Select(inner) = subquery.body.as_ref() else { return None };
                    let ([SelectItem::Wildcard(_)], [only]) = (inner.projection.as_slice(), inner.from.as_slice())
                    else {
                        return None;
                    };
                    if !only.joins.is_empty() {
                        return None;
                    }
                    columns_of(&only.relation)?.1
                }
            };
            Some((alias.name.clone(), names))
        }
        TableFactor::Table { name, alias, args: None, .. } => {
            let path = parts(name);
            let found = match path.as_slice() {
                [.., schema, table] => relation(schema, table),
                [table] => relation("pg_catalog", table),
                [] => None,
            }?;
            let columns = found.columns.iter().map(|column| column.name.to_owned()).collect();
            let own = || name.0.last().and_then(|part| part.as_ident()).cloned();
            Some((alias.as_ref().map(|alias| alias.name.clone()).or_else(own)?, columns))
        }
        _ => None,
    }
}

/// `json_agg(x)` and its kin, made of arrays. To be asked before what is in the call is.
pub(super) fn respell(expr: &mut Expr) {
    let Some(name) = call_name(expr) else { return };
    let Expr::Function(function) = &mut *expr else { return };
    let binary = name.starts_with("jsonb");
    match name.as_str() {
        "json_agg" | "jsonb_agg" => {
            let raw = first_argument(function)
                .is_some_and(|argument| call_name(argument).is_some_and(|inner| JSON.contains(&inner.as_str())));
            let wrapper = match (binary, raw) {
                (false, false) => "limnos_json_list",
                (false, true) => "limnos_json_raw_list",
                (true, false) => "limnos_jsonb_list",
                (true, true) => "limnos_jsonb_raw_list",
            };
            function.name = ObjectName::from(vec![Ident::new("array_agg")]);
            let array = std::mem::replace(expr, Expr::value(Value::Null));
            *expr = call(wrapper, vec![array]);
        }
        "json_object_agg" | "jsonb_object_agg" => {
            let FunctionArguments::List(list) = &function.args else { return };
            if list.args.len() != 2 {
                return;
            }
            let mut arrays = Vec::with_capacity(2);
            for argument in &list.args {
                let mut array = function.clone();
                array.name = ObjectName::from(vec![Ident::new("array_agg")]);
                if let FunctionArguments::List(list) = &mut array.args {
                    list.args = vec![argument.clone()];
                }
                arrays.push(Expr::Function(array));
            }
            *expr = call(if binary { "limnos_jsonb_pairs" } else { "limnos_json_pairs" }, arrays);
        }
        _ => {}
    }
}

fn first_argument(function: &Function) -> Option<&Expr> {
    let FunctionArguments::List(list) = &function.args else { return None };
    match list.args.first() {
        Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))) => Some(expr),
        _ => None,
    }
}
