//! Recursive queries about one row of the query around them, which DataFusion can't decorrelate:
//!
//! ```text
//! SELECT ARRAY(WITH RECURSIVE up AS (SELECT r.oid, r.rolname FROM pg_roles r WHERE r.oid = roles.oid
//!              UNION ALL SELECT ... FROM up JOIN ...) SELECT rolname FROM up) FROM pg_roles roles
//! ```
//!
//! They become one recursive query about all rows, whose every row carries the key that it began with, and a LEFT JOIN on
//! that key.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Cte, Expr, GroupByExpr, Ident, Join, JoinConstraint, JoinOperator, Query, Select, SelectItem,
    SetExpr, SetOperator, TableAlias, TableAliasColumnDef, TableFactor, visit_expressions,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::correlated::{Scope, conjunction, conjuncts, is_first, reference, row_number, takes_first};
use super::output_name::output_names;
use super::rewrite::{call, folded, parts};

/// What the key is called in the recursive query.
const KEY: &str = "limnos_key";

/// The join that `query`, a scalar subquery or (`array`) the argument of `ARRAY()`, becomes, and what stands in its place.
pub(super) fn lower(query: &Query, array: bool, outer: &Scope, alias: &str) -> Option<(Join, Expr)> {
    let with = query.with.as_ref().filter(|with| with.recursive)?;
    let [table] = with.cte_tables.as_slice() else { return None };
    let SetExpr::SetOperation { left, op: SetOperator::Union, right, .. } = table.query.body.as_ref() else {
        return None;
    };
    let (SetExpr::Select(base), SetExpr::Select(step)) = (left.as_ref(), right.as_ref()) else { return None };
    let SetExpr::Select(last) = query.body.as_ref() else { return None };
    let [SelectItem::UnnamedExpr(item) | SelectItem::ExprWithAlias { expr: item, .. }] = last.projection.as_slice()
    else {
        return None;
    };
    if last.selection.is_some() || last.distinct.is_some() || query.limit_clause.is_some() && !takes_first(query) {
        return None;
    }
    let (base, key, outer_key) = keyed_base(base, outer)?;
    let scope = Scope::of(&base.from);
    let inner = if scope.is_only("pg_type") && !array {
        // The only types made of others are domains, and no domain is made of a domain here: the first step is the last.
        // It has to do without recursion because DataFusion has no recursion within a recursion, and drivers ask for types
        // that way.
        first_step(table, base, item, key)?
    } else {
        let step_alias = step
            .from
            .iter()
            .flat_map(|from| std::iter::once(&from.relation).chain(from.joins.iter().map(|join| &join.relation)));
        let step_alias = step_alias.into_iter().find_map(|factor| alias_of(factor, &table.alias.name))?;
        all_steps(query, table, base, step, &step_alias, item, key, array)?
    };
    let column = |name: &str| Expr::CompoundIdentifier(vec![Ident::new(alias), Ident::new(name)]);
    let mut on =
        vec![Expr::BinaryOp { left: Box::new(column(KEY)), op: BinaryOperator::Eq, right: Box::new(outer_key) }];
    if !array && !scope.is_only("pg_type") {
        on.push(is_first(alias));
    }
    let value = column("c0");
    let value = if array { call("coalesce", vec![value, call("limnos_empty_text_array", Vec::new())]) } else { value };
    let relation = TableFactor::Derived {
        lateral: false,
        subquery: Box::new(inner),
        alias: Some(TableAlias { explicit: true, name: Ident::new(alias), columns: Vec::new(), at: None }),
        sample: None,
    };
    let join_operator = JoinOperator::LeftOuter(JoinConstraint::On(conjunction(on)?));
    Some((Join { relation, global: false, join_operator }, value))
}

/// The base without the condition `key = outer key`, the only one that names the query around it.
fn keyed_base(base: &Select, outer: &Scope) -> Option<(Select, Expr, Expr)> {
    let scope = Scope::of(&base.from);
    let foreign = |expr: &Expr| {
        visit_expressions(expr, |inner| match reference(inner) {
            Some(reference) if !scope.owns(reference) => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        })
        .is_break()
    };
    let mut all = Vec::new();
    conjuncts(base.selection.as_ref()?, &mut all);
    let (outside, inside): (Vec<Expr>, Vec<Expr>) = all.into_iter().partition(foreign);
    let [Expr::BinaryOp { left, op: BinaryOperator::Eq, right }] = outside.as_slice() else { return None };
    let (key, outer_key) = if foreign(left) { (right, left) } else { (left, right) };
    if foreign(key) || !reference(outer_key).is_some_and(|reference| outer.owns(reference)) {
        return None;
    }
    let mut base = base.clone();
    base.selection = conjunction(inside);
    Some((base, key.as_ref().clone(), outer_key.as_ref().clone()))
}

fn keyed(expr: Expr) -> SelectItem {
    SelectItem::ExprWithAlias { expr, alias: Ident::new(KEY) }
}

fn first_step(table: &Cte, mut base: Select, item: &Expr, key: Expr) -> Option<Query> {
    let wanted = folded(reference(item)?.last()?);
    let place = if table.alias.columns.is_empty() {
        output_names(&table.query)?.iter().position(|name| name.as_deref() == Some(&wanted))?
    } else {
        table.alias.columns.iter().position(|column| folded(&column.name) == wanted)?
    };
    let (SelectItem::UnnamedExpr(value) | SelectItem::ExprWithAlias { expr: value, .. }) =
        base.projection.get(place)?
    else {
        return None;
    };
    let value = SelectItem::ExprWithAlias { expr: value.clone(), alias: Ident::new("c0") };
    base.projection = vec![value, keyed(key)];
    let mut query = parse("SELECT 1")?;
    *query.body = SetExpr::Select(Box::new(base));
    Some(query)
}

#[expect(clippy::too_many_arguments, reason = "the parts of one query, taken apart once")]
fn all_steps(
    query: &Query,
    table: &Cte,
    mut base: Select,
    step: &Select,
    step_alias: &Ident,
    item: &Expr,
    key: Expr,
    array: bool,
) -> Option<Query> {
    let mut step = step.clone();
    base.projection.push(keyed(key));
    step.projection.push(keyed(Expr::CompoundIdentifier(vec![step_alias.clone(), Ident::new(KEY)])));
    let mut table = table.clone();
    if !table.alias.columns.is_empty() {
        table.alias.columns.push(TableAliasColumnDef { name: Ident::new(KEY), data_type: None });
    }
    if let SetExpr::SetOperation { left, right, .. } = table.query.body.as_mut() {
        **left = SetExpr::Select(Box::new(base));
        **right = SetExpr::Select(Box::new(step));
    }
    let key = Expr::Identifier(Ident::new(KEY));
    let mut whole = query.clone();
    whole.limit_clause = None;
    whole.order_by = None;
    if let Some(with) = &mut whole.with {
        with.cte_tables = vec![table];
    }
    let SetExpr::Select(last) = whole.body.as_mut() else { return None };
    let value = if array { call("array_agg", vec![item.clone()]) } else { item.clone() };
    last.projection =
        vec![SelectItem::ExprWithAlias { expr: value, alias: Ident::new("c0") }, SelectItem::UnnamedExpr(key.clone())];
    if array {
        last.group_by = GroupByExpr::Expressions(vec![key], Vec::new());
    } else {
        let number = row_number(&[key], query.order_by.as_ref(), item)?;
        last.projection.push(SelectItem::ExprWithAlias { expr: number, alias: Ident::new("limnos_row") });
    }
    Some(whole)
}

/// What the recursive query is called where `factor` reads it.
fn alias_of(factor: &TableFactor, table: &Ident) -> Option<Ident> {
    match factor {
        TableFactor::Table { name, alias, args: None, .. } if parts(name) == [folded(table)] => {
            Some(alias.as_ref().map_or_else(|| table.clone(), |alias| alias.name.clone()))
        }
        _ => None,
    }
}

fn parse(sql: &str) -> Option<Query> {
    Some(*Parser::new(&PostgreSqlDialect {}).try_with_sql(sql).ok()?.parse_query().ok()?)
}
