//! `RIGHT` and `FULL JOIN ... USING (k)`: the column `k` of such a join is the right side's, or whichever side's isn't NULL.
//! DataFusion takes the left side's, or calls it ambiguous.
//!
//! A join that can't be right there becomes one with ON, and what the select calls `k` or `*` is spelled out. Joins that
//! hold no such join stay as they are.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Ident, JoinConstraint, JoinOperator, ObjectName, OrderByKind, Query, Select, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, TableFactor, TableWithJoins, VisitMut, VisitorMut,
    WildcardAdditionalOptions,
};

use super::rewrite::{call, folded, parts};
use crate::plan::hidden::{exclude, excluded_of, is_hidden_only, unmarked};

/// The columns that a join has merged: a name and what it means.
type Merged = Vec<(Ident, Expr)>;

/// Rewrites the select that `query` is, and its ORDER BY.
pub(super) fn rewrite_query(query: &mut Query) {
    let SetExpr::Select(select) = query.body.as_mut() else { return };
    let merged = rewrite_select(select);
    if merged.is_empty() {
        return;
    }
    let Some(order_by) = &mut query.order_by else { return };
    let OrderByKind::Expressions(exprs) = &mut order_by.kind else { return };
    let is_output = |name: &str| {
        select.projection.iter().any(|item| match item {
            SelectItem::ExprWithAlias { alias, .. } => folded(alias) == name,
            _ => false,
        })
    };
    for order in exprs {
        // A bare name is an output column first.
        if !matches!(&order.expr, Expr::Identifier(ident) if is_output(&folded(ident))) {
            let _ = order.expr.visit(&mut Names { merged: &merged, depth: 0 });
        }
    }
}

/// Rewrites one select; gives what it merged.
pub(super) fn rewrite_select(select: &mut Select) -> Merged {
    let mut merged = Merged::new();
    let mut wildcards: Vec<Option<Vec<SelectItem>>> = Vec::new();
    for table in &mut select.from {
        let before = merged.len();
        let converted = rewrite_joins(table, &mut merged);
        wildcards.push(converted.then(|| wildcard(table, &merged[before..])).or_else(|| plain_wildcard(table)));
    }
    if merged.is_empty() {
        return merged;
    }
    let expanded: Option<Vec<SelectItem>> =
        wildcards.into_iter().collect::<Option<Vec<_>>>().map(|items| items.into_iter().flatten().collect());
    let mut projection = Vec::with_capacity(select.projection.len());
    for item in std::mem::take(&mut select.projection) {
        match (item, &expanded) {
            (SelectItem::Wildcard(options), Some(items)) if is_hidden_only(&options) => {
                projection.extend(items.iter().cloned());
            }
            (SelectItem::UnnamedExpr(Expr::Identifier(name)), _) if find(&merged, &name).is_some() => {
                projection.push(SelectItem::ExprWithAlias { expr: Expr::Identifier(name.clone()), alias: name });
            }
            (item, _) => projection.push(item),
        }
    }
    select.projection = projection;
    let from = std::mem::take(&mut select.from);
    let _ = select.visit(&mut Names { merged: &merged, depth: 0 });
    select.from = from;
    merged
}

fn find<'a>(merged: &'a [(Ident, Expr)], name: &Ident) -> Option<&'a Expr> {
    let name = folded(name);
    merged.iter().find(|(ident, _)| folded(ident) == name).map(|(_, expr)| expr)
}

/// Puts what the names mean in their place, but for those inside subqueries, which have tables of their own.
struct Names<'a> {
    merged: &'a [(Ident, Expr)],
    depth: usize,
}

impl VisitorMut for Names<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if self.depth == 0
            && let Expr::Identifier(name) = expr
            && let Some(meaning) = find(self.merged, name)
        {
            *expr = meaning.clone();
        }
        ControlFlow::Continue(())
    }
}

/// Turns the USING joins of `table` into ON joins, if one of them needs it and all can be.
fn rewrite_joins(table: &mut TableWithJoins, merged: &mut Merged) -> bool {
    let needs_it = table.joins.iter().any(|join| {
        matches!(
            &join.join_operator,
            JoinOperator::Right(JoinConstraint::Using(_))
                | JoinOperator::RightOuter(JoinConstraint::Using(_))
                | JoinOperator::FullOuter(JoinConstraint::Using(_))
        )
    });
    let Some(first) = alias(&table.relation).filter(|_| needs_it) else { return false };
    let mut found = Merged::new();
    let mut conditions = Vec::new();
    for (at, join) in table.joins.iter().enumerate() {
        let (kind, names) = match &join.join_operator {
            JoinOperator::Join(JoinConstraint::Using(names))
            | JoinOperator::Inner(JoinConstraint::Using(names))
            | JoinOperator::Left(JoinConstraint::Using(names))
            | JoinOperator::LeftOuter(JoinConstraint::Using(names)) => ('l', names),
            JoinOperator::Right(JoinConstraint::Using(names))
            | JoinOperator::RightOuter(JoinConstraint::Using(names)) => ('r', names),
            JoinOperator::FullOuter(JoinConstraint::Using(names)) => ('f', names),
            JoinOperator::Join(JoinConstraint::On(_))
            | JoinOperator::Inner(JoinConstraint::On(_))
            | JoinOperator::Left(JoinConstraint::On(_))
            | JoinOperator::LeftOuter(JoinConstraint::On(_))
            | JoinOperator::Right(JoinConstraint::On(_))
            | JoinOperator::RightOuter(JoinConstraint::On(_))
            | JoinOperator::FullOuter(JoinConstraint::On(_))
            | JoinOperator::CrossJoin(_) => {
                conditions.push(None);
                continue;
            }
            _ => return false,
        };
        let Some(right_table) = alias(&join.relation) else { return false };
        let mut condition: Option<Expr> = None;
        for name in names {
            let Some(name) = name.0.last().and_then(|part| part.as_ident()).cloned() else { return false };
            let right = Expr::CompoundIdentifier(vec![right_table.clone(), name.clone()]);
            // Which of several tables on the left has the column isn't known here.
            let left = match find(&found, &name) {
                Some(left) => left.clone(),
                None if at == 0 => Expr::CompoundIdentifier(vec![first.clone(), name.clone()]),
                None => return false,
            };
            let equal = binary(left.clone(), BinaryOperator::Eq, right.clone());
            condition = Some(match condition {
                Some(condition) => binary(condition, BinaryOperator::And, equal),
                None => equal,
            });
            let meaning = match kind {
                'l' => left,
                'r' => right,
                _ => call("coalesce", vec![left, right]),
            };
            found.retain(|(ident, _)| folded(ident) != folded(&name));
            found.push((name, meaning));
        }
        conditions.push(condition);
    }
    for (join, condition) in table.joins.iter_mut().zip(conditions) {
        let Some(condition) = condition else { continue };
        if let JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint) = &mut join.join_operator
        {
            *constraint = JoinConstraint::On(condition);
        }
    }
    merged.append(&mut found);
    true
}

fn binary(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) }
}

/// What a table is called in the select.
pub(super) fn alias(factor: &TableFactor) -> Option<Ident> {
    match factor {
        TableFactor::Table { alias: Some(alias), .. } | TableFactor::Derived { alias: Some(alias), .. } => {
            Some(alias.name.clone())
        }
        TableFactor::Table { name, args: None, .. } => {
            parts(name).pop().and_then(|_| name.0.last()?.as_ident().map(unmarked))
        }
        _ => None,
    }
}

/// `*` over the joins: merged columns first, then the other columns of each table.
fn wildcard(table: &TableWithJoins, merged: &[(Ident, Expr)]) -> Vec<SelectItem> {
    let mut items: Vec<SelectItem> = merged
        .iter()
        .map(|(name, expr)| SelectItem::ExprWithAlias { expr: expr.clone(), alias: name.clone() })
        .collect();
    let names: Vec<ObjectName> = merged.iter().map(|(name, _)| ObjectName::from(vec![name.clone()])).collect();
    let factors = std::iter::once(&table.relation).chain(table.joins.iter().map(|join| &join.relation));
    items.extend(factors.filter_map(|factor| Some((factor, alias(factor)?))).map(|(factor, alias)| {
        let mut options = WildcardAdditionalOptions::default();
        exclude(&mut options, [names.clone(), excluded_of(factor)].concat());
        SelectItem::QualifiedWildcard(
            SelectItemQualifiedWildcardKind::ObjectName(ObjectName::from(vec![alias])),
            options,
        )
    }));
    items
}

/// `*` over tables that merge nothing, if it can be said.
fn plain_wildcard(table: &TableWithJoins) -> Option<Vec<SelectItem>> {
    if table.joins.iter().any(|join| {
        !matches!(
            &join.join_operator,
            JoinOperator::CrossJoin(_)
                | JoinOperator::Join(JoinConstraint::On(_))
                | JoinOperator::Inner(JoinConstraint::On(_))
                | JoinOperator::Left(JoinConstraint::On(_))
                | JoinOperator::LeftOuter(JoinConstraint::On(_))
        )
    }) {
        return None;
    }
    let factors = std::iter::once(&table.relation).chain(table.joins.iter().map(|join| &join.relation));
    factors
        .map(|factor| {
            let kind = SelectItemQualifiedWildcardKind::ObjectName(ObjectName::from(vec![alias(factor)?]));
            let mut options = WildcardAdditionalOptions::default();
            exclude(&mut options, excluded_of(factor));
            Some(SelectItem::QualifiedWildcard(kind, options))
        })
        .collect()
}
