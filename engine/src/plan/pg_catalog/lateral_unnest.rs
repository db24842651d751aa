//! `FROM t CROSS JOIN UNNEST(t.items) AS u (item)`: a row for each element of a column, which DataFusion can't plan. It becomes
//! `FROM (SELECT t.*, unnest(t.items) AS item FROM t) AS t`, and `u.item` becomes `t.item`.
//!
//! That is done where the arrays stand right behind the one table that they come from; elsewhere the query stays as it is.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    AccessExpr, Expr, Ident, JoinConstraint, JoinOperator, ObjectName, Query, Select, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, TableAlias, TableFactor, VisitMut, VisitorMut, visit_expressions,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::join_using::alias;
use super::rewrite::{call, folded};
use crate::plan::hidden::{exclude, is_hidden_only};

/// Rewrites the select that `query` is, and its ORDER BY.
pub(super) fn rewrite_query(query: &mut Query) {
    let SetExpr::Select(select) = query.body.as_mut() else { return };
    while let Some(mut renamed) = rewrite_step(select) {
        if let Some(order_by) = &mut query.order_by {
            let _ = order_by.visit(&mut renamed);
        }
    }
}

/// Rewrites one select.
pub(super) fn rewrite_select(select: &mut Select) {
    while rewrite_step(select).is_some() {}
}

/// What the elements' table was called, and what the table is called that now has them.
struct Renamed {
    from: String,
    to: Ident,
}

impl VisitorMut for Renamed {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::CompoundIdentifier(parts) => {
                if let Some(first) = parts.first_mut().filter(|first| folded(first) == self.from) {
                    *first = self.to.clone();
                }
            }
            // `u.item[1]`
            Expr::CompoundFieldAccess { root, access_chain } => {
                if let Expr::Identifier(first) = root.as_mut()
                    && folded(first) == self.from
                    && matches!(access_chain.first(), Some(AccessExpr::Dot(_)))
                {
                    *first = self.to.clone();
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

fn rewrite_step(select: &mut Select) -> Option<Renamed> {
    let first = select.from.first()?;
    let is_lateral = |factor: &TableFactor| {
        matches!(factor, TableFactor::UNNEST { array_exprs, with_ordinality: false, with_offset: false, alias, .. }
            if array_exprs.iter().any(has_columns)
                && alias.as_ref().is_none_or(|alias| alias.columns.is_empty() || alias.columns.len() == array_exprs.len()))
    };
    let joined = match first.joins.first() {
        Some(join) => {
            let cross = matches!(&join.join_operator, JoinOperator::CrossJoin(JoinConstraint::None));
            cross && is_lateral(&join.relation)
        }
        None => false,
    };
    let listed = first.joins.is_empty()
        && select.from.get(1).is_some_and(|second| is_lateral(&second.relation) && second.joins.is_empty());
    if !joined && !listed {
        return None;
    }
    let table = alias(&first.relation)?;
    let unnest = if joined { select.from[0].joins.remove(0).relation } else { select.from.remove(1).relation };
    let TableFactor::UNNEST { alias: unnest_alias, array_exprs, .. } = unnest else { return None };
    let unnest_name = unnest_alias.as_ref().map_or_else(|| Ident::new("unnest"), |alias| alias.name.clone());
    let columns: Vec<Ident> = match unnest_alias {
        Some(alias) if !alias.columns.is_empty() => alias.columns.into_iter().map(|column| column.name).collect(),
        _ => vec![unnest_name.clone(); array_exprs.len().min(1)],
    };
    // Two arrays need two names.
    if columns.len() != array_exprs.len() {
        return None;
    }
    let mut inner = Parser::new(&PostgreSqlDialect {})
        .try_with_sql("SELECT * FROM t")
        .and_then(|mut parser| parser.parse_query())
        .expect("the words are ours and parse");
    let SetExpr::Select(inner_select) = inner.body.as_mut() else { return None };
    let whole = SelectItemQualifiedWildcardKind::ObjectName(ObjectName::from(vec![table.clone()]));
    inner_select.projection = vec![SelectItem::QualifiedWildcard(whole, Default::default())];
    inner_select.projection.extend(
        array_exprs.into_iter().zip(&columns).map(|(array, column)| SelectItem::ExprWithAlias {
            expr: call("unnest", vec![array]),
            alias: column.clone(),
        }),
    );
    let new_alias = TableAlias { explicit: true, name: table.clone(), columns: Vec::new(), at: None };
    let derived = TableFactor::Derived { lateral: false, subquery: inner, alias: Some(new_alias), sample: None };
    let relation = std::mem::replace(&mut select.from[0].relation, derived);
    if let TableFactor::Derived { subquery, .. } = &mut select.from[0].relation
        && let SetExpr::Select(inner_select) = subquery.body.as_mut()
    {
        inner_select.from[0].relation = relation;
    }
    let mut renamed = Renamed { from: folded(&unnest_name), to: table.clone() };
    let mut projection = Vec::with_capacity(select.projection.len());
    for item in std::mem::take(&mut select.projection) {
        match item {
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), mut options) => {
                let of = name.0.last().and_then(|part| part.as_ident()).map(folded).unwrap_or_default();
                if of == renamed.from {
                    projection.extend(columns.iter().map(|column| {
                        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(vec![table.clone(), column.clone()]))
                    }));
                    continue;
                }
                if of == folded(&table) && is_hidden_only(&options) {
                    let names = columns.iter().map(|column| ObjectName::from(vec![column.clone()])).collect();
                    exclude(&mut options, names);
                }
                let kind = SelectItemQualifiedWildcardKind::ObjectName(name);
                projection.push(SelectItem::QualifiedWildcard(kind, options));
            }
            item => projection.push(item),
        }
    }
    select.projection = projection;
    let _ = select.visit(&mut renamed);
    Some(renamed)
}

pub(super) fn has_columns(expr: &Expr) -> bool {
    visit_expressions(expr, |expr| {
        if matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_)) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })
    .is_break()
}
