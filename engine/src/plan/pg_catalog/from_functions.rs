//! Functions in FROM, in the forms that DataFusion plans:
//! - `unnest(a) WITH ORDINALITY AS t(x, n)`, `LATERAL pg_catalog.unnest(a)` and `information_schema._pg_expandarray(a)` are
//!   `UNNEST` of one or two arrays;
//! - `pg_show_all_settings()` and other functions behind a view are that view;
//! - functions that expand what is always NULL here (`aclexplode(relacl)`) are tables without rows;
//! - a function of one value, such as `string_to_array(...)`, is a table of one row.

use datafusion::sql::sqlparser::ast::{
    DataType, Expr, FunctionArg, FunctionArgExpr, Ident, ObjectName, Query, Select, SelectItem, SetExpr, TableAlias,
    TableAliasColumnDef, TableFactor, TableFunctionArgs, Value,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::lateral_unnest::has_columns;
use super::output_name::name_derived;
use super::relations::relation;
use super::rewrite::{call, cast, parts};

/// What DataFusion and we have as functions of rows.
const TABLE_FUNCTIONS: [&str; 4] = ["generate_series", "generate_subscripts", "range", "pg_get_keywords"];

/// Functions and the views that show their rows, where the names differ.
const VIEWS: [(&str, &str); 5] = [
    ("pg_show_all_settings", "pg_settings"),
    ("pg_lock_status", "pg_locks"),
    ("pg_cursor", "pg_cursors"),
    ("pg_prepared_statement", "pg_prepared_statements"),
    ("pg_prepared_xact", "pg_prepared_xacts"),
];

/// Functions of what nothing here has, and the columns they would give.
const WITHOUT_ROWS: [(&str, &str); 5] = [
    (
        "aclexplode",
        "NULL::int AS grantor, NULL::int AS grantee, NULL::text AS privilege_type, NULL::boolean AS is_grantable",
    ),
    ("pg_options_to_table", "NULL::text AS option_name, NULL::text AS option_value"),
    ("pg_get_publication_tables", "NULL::int AS relid, NULL::text AS attrs, NULL::text AS qual"),
    ("pg_event_trigger_dropped_objects", "NULL::int AS classid, NULL::int AS objid"),
    ("pg_ls_waldir", "NULL::text AS name, NULL::bigint AS size, NULL::timestamp AS modification"),
];

/// Rewrites the functions in FROM of the select that `query` is, and names the columns of what stands before it.
pub(super) fn rewrite_query(query: &mut Query) {
    if let Some(with) = &mut query.with {
        let unnamed = with.cte_tables.iter_mut().filter(|table| table.alias.columns.is_empty());
        unnamed.for_each(|table| name_derived(&mut table.query.body));
    }
    if let SetExpr::Select(select) = query.body.as_mut() {
        rewrite_select(select);
    }
}

/// Rewrites the functions in FROM of one select.
pub(super) fn rewrite_select(select: &mut Select) {
    for table in &mut select.from {
        rewrite_factor(&mut table.relation);
        table.joins.iter_mut().for_each(|join| rewrite_factor(&mut join.relation));
    }
}

fn rewrite_factor(factor: &mut TableFactor) {
    match factor {
        // Before what is inside is rewritten: PostgreSQL names columns by what was written.
        TableFactor::Derived { subquery, .. } => name_derived(&mut subquery.body),
        TableFactor::NestedJoin { table_with_joins, .. } => {
            rewrite_factor(&mut table_with_joins.relation);
            table_with_joins.joins.iter_mut().for_each(|join| rewrite_factor(&mut join.relation));
        }
        TableFactor::Table { name, args: Some(TableFunctionArgs { args, .. }), alias, with_ordinality, .. }
        | TableFactor::Function { name, args, alias, with_ordinality, .. } => {
            let path = parts(name);
            let function = match path.as_slice() {
                [schema, function] if matches!(schema.as_str(), "pg_catalog" | "information_schema") => function,
                [function] => function,
                _ => return,
            };
            if let Some(new) = rewritten(function, args, alias.as_ref(), *with_ordinality) {
                *factor = new;
            }
        }
        _ => {}
    }
    count_elements(factor);
}

fn rewritten(
    function: &str,
    args: &[FunctionArg],
    alias: Option<&TableAlias>,
    with_ordinality: bool,
) -> Option<TableFactor> {
    let exprs: Option<Vec<Expr>> = args
        .iter()
        .map(|arg| match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
            _ => None,
        })
        .collect();
    let unnest = |array_exprs, alias, with_ordinality| TableFactor::UNNEST {
        alias,
        array_exprs,
        with_offset: false,
        with_offset_alias: None,
        with_ordinality,
    };
    let named = || {
        alias.cloned().unwrap_or_else(|| TableAlias {
            explicit: true,
            name: Ident::new(function),
            columns: Vec::new(),
            at: None,
        })
    };
    if function == "unnest" {
        return Some(unnest(exprs?, alias.cloned(), with_ordinality));
    }
    if function == "_pg_expandarray" {
        let [array] = exprs?.try_into().ok()?;
        let mut alias = named();
        if alias.columns.is_empty() {
            alias.columns = vec![column("x"), column("n")];
        }
        let numbers = call("generate_subscripts", vec![array.clone(), number("1")]);
        return Some(unnest(vec![array, numbers], Some(alias), false));
    }
    let view = VIEWS.iter().find(|(name, _)| *name == function).map_or(function, |(_, view)| view);
    if args.is_empty() && relation("pg_catalog", view).is_some() {
        let mut table = parse_factor(&format!("pg_catalog.{view}"))?;
        if let TableFactor::Table { alias, .. } = &mut table {
            *alias = Some(named());
        }
        return Some(table);
    }
    let select = match WITHOUT_ROWS.iter().find(|(name, _)| *name == function) {
        Some((_, columns)) => format!("(SELECT {columns} WHERE false) AS t"),
        None if TABLE_FUNCTIONS.contains(&function) => return None,
        None => "(SELECT 1 AS t) AS t".to_owned(),
    };
    let is_empty = !select.starts_with("(SELECT 1 ");
    let mut derived = parse_factor(&select)?;
    let TableFactor::Derived { subquery, alias: derived_alias, lateral, .. } = &mut derived else { return None };
    let mut alias = named();
    if !is_empty {
        let exprs = exprs?;
        *lateral = exprs.iter().any(has_columns);
        let SetExpr::Select(body) = subquery.body.as_mut() else { return None };
        let name = alias.columns.first().map_or_else(|| alias.name.clone(), |column| column.name.clone());
        body.projection = vec![SelectItem::ExprWithAlias { expr: call(function, exprs), alias: name }];
        alias.columns.clear();
    }
    *derived_alias = Some(alias);
    Some(derived)
}

/// `WITH ORDINALITY`: a second array with the elements' numbers.
fn count_elements(factor: &mut TableFactor) {
    let TableFactor::UNNEST { alias, array_exprs, with_ordinality: with_ordinality @ true, .. } = factor else {
        return;
    };
    let array_count = array_exprs.len();
    array_exprs.push(call("limnos_ordinals", array_exprs.clone()));
    *with_ordinality = false;
    let alias = alias.get_or_insert_with(|| TableAlias {
        explicit: true,
        name: Ident::new("unnest"),
        columns: Vec::new(),
        at: None,
    });
    if alias.columns.is_empty() && array_count == 1 {
        alias.columns.push(TableAliasColumnDef { name: alias.name.clone(), data_type: None });
    }
    if alias.columns.len() == array_count {
        alias.columns.push(column("ordinality"));
    }
}

/// `generate_series(1, 32) AS n` of small numbers gives integers, where DataFusion's gives bigints.
pub(super) fn narrow_series(factor: &mut TableFactor) {
    let (TableFactor::Table { alias: Some(alias), .. } | TableFactor::Function { alias: Some(alias), .. }) = &*factor
    else {
        return;
    };
    let [name] = alias.columns.as_slice() else { return };
    let (name, alias) = (name.name.clone(), alias.clone());
    let Some(mut derived) = parse_factor("(SELECT 1 AS t FROM t) AS t") else { return };
    let TableFactor::Derived { subquery, alias: derived_alias, .. } = &mut derived else { return };
    let SetExpr::Select(body) = subquery.body.as_mut() else { return };
    let value = cast(Expr::Identifier(name.clone()), DataType::Int(None));
    body.projection = vec![SelectItem::ExprWithAlias { expr: value, alias: name }];
    *derived_alias = Some(TableAlias { columns: Vec::new(), ..alias });
    if let Some(table) = body.from.first_mut() {
        table.relation = std::mem::replace(
            factor,
            TableFactor::Table {
                name: ObjectName::from(vec![Ident::new("t")]),
                alias: None,
                args: None,
                with_hints: Vec::new(),
                version: None,
                with_ordinality: false,
                partitions: Vec::new(),
                json_path: None,
                sample: None,
                index_hints: Vec::new(),
            },
        );
    }
    *factor = derived;
}

fn column(name: &str) -> TableAliasColumnDef {
    TableAliasColumnDef { name: Ident::new(name), data_type: None }
}

fn number(digits: &str) -> Expr {
    Expr::value(Value::Number(digits.to_owned(), false))
}

fn parse_factor(sql: &str) -> Option<TableFactor> {
    let mut query =
        Parser::new(&PostgreSqlDialect {}).try_with_sql(&format!("SELECT 1 FROM {sql}")).ok()?.parse_query().ok()?;
    let SetExpr::Select(select) = query.body.as_mut() else { return None };
    Some(select.from.pop()?.relation)
}
