//! Subqueries that DataFusion can't decorrelate, as catalog queries write them.
//!
//! In comes one SELECT, its inner queries already rewritten; it is changed in place:
//! - `alias.tableoid` becomes the relation's OID;
//! - a subquery over a catalog relation that never has rows here, or under one, becomes NULL or an empty array;
//! - `ARRAY(SELECT x FROM unnest(a) x)` becomes the array; other `ARRAY(SELECT ...)` an `array_agg`;
//! - a correlated scalar subquery without aggregate becomes a LEFT JOIN:
//!
//! ```text
//! SELECT a.attname, (SELECT c.collname FROM pg_collation c, pg_type t WHERE c.oid = a.attcollation AND c.x > 1) FROM pg_attribute a
//! SELECT a.attname, limnos_sub_0.c0
//! FROM pg_attribute a LEFT JOIN (SELECT c.collname AS c0, c.oid AS c1 FROM pg_collation c, pg_type t WHERE c.x > 1) limnos_sub_0
//!      ON limnos_sub_0.c1 = a.attcollation
//! ```
//!
//! The join differs from the subquery only where the subquery would fail for giving more than one row.
//!
//! All of it is done only to subqueries over PostgreSQL's own relations: those of users are left to DataFusion.

use std::ops::ControlFlow;

use arrow::datatypes::DataType as ArrowType;
use datafusion::sql::sqlparser::ast::{
    ArrayElemTypeDef, BinaryOperator, DataType, ExactNumberInfo, Expr, FunctionArgumentClause, FunctionArguments,
    GroupByExpr, Ident, Join, JoinConstraint, JoinOperator, LimitClause, ObjectName, OrderBy, OrderByKind, Query,
    Select, SelectItem, SetExpr, TableAlias, TableFactor, TableWithJoins, Value, Visit, Visitor, WindowSpec,
    WindowType, visit_expressions, visit_expressions_mut,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::recursive;
use super::relations::{SystemRelation, relation};
use super::rewrite::{call, call_name, cast, folded, parts};
use super::tables::is_always_empty;

/// What a FROM clause brings into scope.
pub(super) struct Scope {
    /// Aliases, and the catalog relation behind each, if it is one.
    sources: Vec<(String, Option<&'static SystemRelation>)>,
    /// A relation without rows is joined in such a way that the whole has none.
    empty: bool,
}

impl Scope {
    pub(super) fn of(from: &[TableWithJoins]) -> Self {
        let mut scope = Self { sources: Vec::new(), empty: false };
        for table in from {
            scope.add(&table.relation, true);
            for join in &table.joins {
                let inner = matches!(
                    join.join_operator,
                    JoinOperator::Join(_) | JoinOperator::Inner(_) | JoinOperator::CrossJoin(_)
                );
                scope.add(&join.relation, inner);
            }
        }
        // An outer join from the right or to both sides keeps rows that the left hasn't.
        let outer = from.iter().flat_map(|table| &table.joins).any(|join| {
            matches!(
                join.join_operator,
                JoinOperator::Right(_) | JoinOperator::RightOuter(_) | JoinOperator::FullOuter(_)
            )
        });
        scope.empty &= !outer;
        scope
    }

    fn add(&mut self, factor: &TableFactor, inner: bool) {
        match factor {
            TableFactor::Table { name, alias, args: None, .. } => {
                let path = parts(name);
                let found = match path.as_slice() {
                    [.., schema, name] => relation(schema, name),
                    [name] => relation("pg_catalog", name),
                    [] => None,
                };
                let own = path.last().cloned().unwrap_or_default();
                let known = alias.as_ref().map_or(own, |alias| folded(&alias.name));
                let empty = found.is_some_and(|found| found.schema == "pg_catalog" && is_always_empty(found.name));
                self.empty |= inner && empty;
                self.sources.push((known, found));
            }
            TableFactor::Table { alias: Some(alias), .. }
            | TableFactor::Derived { alias: Some(alias), .. }
            | TableFactor::Function { alias: Some(alias), .. }
            | TableFactor::UNNEST { alias: Some(alias), .. }
            | TableFactor::TableFunction { alias: Some(alias), .. } => self.sources.push((folded(&alias.name), None)),
            TableFactor::NestedJoin { table_with_joins, .. } => {
                let nested = Self::of(std::slice::from_ref(table_with_joins));
                self.empty |= inner && nested.empty;
                self.sources.extend(nested.sources);
            }
            _ => self.sources.push((String::new(), None)),
        }
    }

    /// The relation behind an alias.
    fn source(&self, alias: &str) -> Option<&'static SystemRelation> {
        self.sources.iter().find(|(known, _)| known == alias).and_then(|(_, relation)| *relation)
    }

    /// Whether a column reference means something of this scope. One without a qualifier does if a relation has the
    /// column, or might have it.
    pub(super) fn owns(&self, reference: &[Ident]) -> bool {
        match reference {
            [column] => {
                let column = folded(column);
                self.sources.iter().any(|(_, relation)| relation.is_none_or(|relation| has_column(relation, &column)))
            }
            [.., qualifier, _] => {
                let qualifier = folded(qualifier);
                self.sources.iter().any(|(alias, _)| *alias == qualifier)
            }
            [] => false,
        }
    }

    /// Whether all relations are this one of `pg_catalog`.
    pub(super) fn is_only(&self, name: &str) -> bool {
        self.sources.iter().all(|(_, relation)| relation.is_some_and(|relation| relation.name == name))
    }

    /// Only relations of PostgreSQL's, all known.
    fn is_catalog(&self) -> bool {
        !self.sources.is_empty() && self.sources.iter().all(|(_, relation)| relation.is_some())
    }
}

fn has_column(relation: &SystemRelation, name: &str) -> bool {
    relation.columns.iter().any(|column| column.name == name) || name == "tableoid"
}

pub(super) fn reference(expr: &Expr) -> Option<&[Ident]> {
    match expr {
        Expr::Identifier(ident) => Some(std::slice::from_ref(ident)),
        Expr::CompoundIdentifier(idents) => Some(idents),
        _ => None,
    }
}

/// Rewrites one SELECT, see the module.
pub(super) fn rewrite_select(select: &mut Select) {
    let mut scope = Scope::of(&select.from);
    if scope.sources.iter().any(|(_, relation)| relation.is_some()) {
        replace_tableoid(select, &scope);
    }
    if scope.empty {
        replace_expanded_arrays(select);
    }
    let grouped = is_grouped(select);
    // An aggregate over no rows is one row, whose other subqueries are computed.
    scope.empty &= !grouped;
    let mut joins = Vec::new();
    let mut lower = |expr: &mut Expr| {
        let _ = visit_expressions_mut(expr, |expr: &mut Expr| {
            lower_subquery(expr, &scope, grouped, &mut joins);
            ControlFlow::<()>::Continue(())
        });
    };
    for item in &mut select.projection {
        if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
            lower(expr);
        }
    }
    if let Some(selection) = &mut select.selection {
        lower(selection);
    }
    if !joins.is_empty() {
        attach(&mut select.from, joins);
    }
}

fn replace_tableoid(select: &mut Select, scope: &Scope) {
    let _ = visit_expressions_mut(select, |expr: &mut Expr| {
        // Catalog rows have no transaction: a constant says that none has changed.
        let transaction = match expr {
            Expr::CompoundIdentifier(idents) => match idents.as_slice() {
                [.., alias, column] => folded(column) == "xmin" && scope.source(&folded(alias)).is_some(),
                _ => false,
            },
            Expr::Identifier(ident) => folded(ident) == "xmin" && scope.is_catalog(),
            _ => false,
        };
        if transaction {
            *expr = call("limnos_xid", vec![Expr::value(Value::Number("1".to_owned(), false))]);
            return ControlFlow::Continue(());
        }
        let found = match expr {
            Expr::CompoundIdentifier(idents) => match idents.as_slice() {
                [.., alias, column] if folded(column) == "tableoid" => scope.source(&folded(alias)),
                _ => None,
            },
            Expr::Identifier(ident) if folded(ident) == "tableoid" && scope.sources.len() == 1 => scope.sources[0].1,
            _ => None,
        };
        if let Some(relation) = found {
            *expr = call("oidin", vec![Expr::value(Value::Number(relation.oid.to_string(), false))]);
        }
        ControlFlow::<()>::Continue(())
    });
}

/// `information_schema._pg_expandarray(array)`, a set of (x, n), over relations that give no rows: a row of NULLs has the type.
fn replace_expanded_arrays(select: &mut Select) {
    let _ = visit_expressions_mut(select, |expr: &mut Expr| {
        if call_name(expr).as_deref() == Some("_pg_expandarray") && matches!(expr, Expr::Function(_)) {
            let field = |name: &str| Expr::value(Value::SingleQuotedString(name.to_owned()));
            let null = || cast(Expr::value(Value::Null), DataType::Int(None));
            *expr = call("named_struct", vec![field("x"), null(), field("n"), null()]);
        }
        ControlFlow::<()>::Continue(())
    });
}

/// Whether the SELECT has aggregates or groups.
fn is_grouped(select: &Select) -> bool {
    let groups = match &select.group_by {
        GroupByExpr::Expressions(expressions, _) => !expressions.is_empty(),
        GroupByExpr::All(_) => true,
    };
    groups || select.having.is_some() || select.projection.iter().any(has_aggregate)
}

const AGGREGATES: [&str; 15] = [
    "count",
    "sum",
    "min",
    "max",
    "avg",
    "array_agg",
    "string_agg",
    "bool_and",
    "bool_or",
    "every",
    "json_agg",
    "jsonb_agg",
    "first_value",
    "last_value",
    "any_value",
];

fn has_aggregate(item: &SelectItem) -> bool {
    /// Looks at the calls of one query, not at those of its subqueries.
    struct Calls {
        depth: usize,
    }
    impl Visitor for Calls {
        type Break = ();

        fn pre_visit_query(&mut self, _query: &Query) -> ControlFlow<()> {
            self.depth += 1;
            ControlFlow::Continue(())
        }

        fn post_visit_query(&mut self, _query: &Query) -> ControlFlow<()> {
            self.depth -= 1;
            ControlFlow::Continue(())
        }

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            match call_name(expr) {
                Some(name) if self.depth == 0 && AGGREGATES.contains(&name.as_str()) => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        }
    }
    let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = item else { return false };
    expr.visit(&mut Calls { depth: 0 }).is_break()
}

fn lower_subquery(expr: &mut Expr, outer: &Scope, grouped: bool, joins: &mut Vec<Join>) {
    match expr {
        Expr::Subquery(query) => {
            if !grouped
                && let Some((join, value)) =
                    recursive::lower(query, false, outer, &format!("limnos_sub_{}", joins.len()))
            {
                joins.push(join);
                *expr = value;
                return;
            }
            let Some(select) = plain_select(query) else { return };
            let scope = Scope::of(&select.from);
            let aggregated = is_grouped(select);
            let [SelectItem::UnnamedExpr(item) | SelectItem::ExprWithAlias { expr: item, .. }] =
                select.projection.as_slice()
            else {
                return;
            };
            if (outer.empty || scope.empty) && aggregated && has_one_group(select) {
                *expr = aggregate_of_nothing(item, &scope);
            } else if outer.empty || (scope.empty && !aggregated) {
                *expr = null_like(item, &scope);
            } else if scope.is_catalog()
                && !aggregated
                && !grouped
                && (query.limit_clause.is_none() || takes_first(query))
                && is_correlated(select, &scope)
            {
                let alias = format!("limnos_sub_{}", joins.len());
                let first = query.limit_clause.is_some().then_some(query.order_by.as_ref());
                if let Some((join, value)) = to_join(select, item, first, &scope, outer, &alias) {
                    joins.push(join);
                    *expr = value;
                }
            }
        }
        Expr::Exists { subquery, negated } => {
            let Some(select) = plain_select(subquery) else { return };
            if outer.empty || (Scope::of(&select.from).empty && !is_grouped(select)) {
                *expr = Expr::value(Value::Boolean(*negated));
            }
        }
        Expr::Function(function) if call_name_is(&function.name, "array") => {
            let FunctionArguments::Subquery(query) = &function.args else { return };
            if !grouped
                && let Some((join, value)) =
                    recursive::lower(query, true, outer, &format!("limnos_sub_{}", joins.len()))
            {
                joins.push(join);
                *expr = value;
            } else if let Some(array) = array_of(query, outer).or_else(|| array_of_rows(query)) {
                *expr = array;
            }
        }
        _ => {}
    }
}

fn call_name_is(name: &ObjectName, wanted: &str) -> bool {
    matches!(parts(name).as_slice(), [only] if only == wanted)
}

fn plain_select(query: &Query) -> Option<&Select> {
    match query.body.as_ref() {
        SetExpr::Select(select) if query.with.is_none() && query.fetch.is_none() => Some(select),
        _ => None,
    }
}

fn is_correlated(select: &Select, scope: &Scope) -> bool {
    let mut foreign = |expr: &Expr| match reference(expr) {
        Some(reference) if !scope.owns(reference) => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    let in_projection = select.projection.iter().any(|item| match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => {
            visit_expressions(expr, &mut foreign).is_break()
        }
        _ => false,
    });
    in_projection
        || select.selection.as_ref().is_some_and(|selection| visit_expressions(selection, &mut foreign).is_break())
}

/// The expression with every column NULL: nothing will be computed, only its type counts.
fn null_like(expr: &Expr, scope: &Scope) -> Expr {
    if let Some(reference) = reference(expr) {
        return typed_null(reference, scope);
    }
    let mut expr = expr.clone();
    let _ = visit_expressions_mut(&mut expr, |inner: &mut Expr| {
        if let Some(reference) = reference(inner) {
            *inner = typed_null(reference, scope);
        }
        ControlFlow::<()>::Continue(())
    });
    match expr {
        // Aggregates of constants need rows to aggregate: text is what such subqueries are about.
        Expr::Function(_) if call_name(&expr).is_some_and(|name| name.ends_with("_agg")) => {
            cast(Expr::value(Value::Null), DataType::Text)
        }
        Expr::Function(_) | Expr::Cast { .. } => expr,
        _ => cast(Expr::value(Value::Null), DataType::Text),
    }
}

fn typed_null(reference: &[Ident], scope: &Scope) -> Expr {
    let column = reference.last().map(folded).unwrap_or_default();
    let field = scope
        .sources
        .iter()
        .filter_map(|(_, relation)| *relation)
        .find_map(|relation| relation.arrow_schema.field_with_name(&column).ok());
    let data_type = match field.map(|field| field.data_type()) {
        Some(ArrowType::Boolean) => DataType::Boolean,
        Some(ArrowType::Int16 | ArrowType::Int32) => DataType::Int(None),
        Some(ArrowType::Int64) => DataType::BigInt(None),
        _ => DataType::Text,
    };
    cast(Expr::value(Value::Null), data_type)
}

/// The conjuncts of a condition.
pub(super) fn conjuncts(expr: &Expr, into: &mut Vec<Expr>) {
    match expr {
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
            conjuncts(left, into);
            conjuncts(right, into);
        }
        Expr::Nested(inner) => conjuncts(inner, into),
        other => into.push(other.clone()),
    }
}

pub(super) fn conjunction(conjuncts: Vec<Expr>) -> Option<Expr> {
    conjuncts.into_iter().reduce(|left, right| Expr::BinaryOp {
        left: Box::new(left),
        op: BinaryOperator::And,
        right: Box::new(right),
    })
}

/// The LEFT JOIN that a correlated subquery is, and the expression that takes its place.
///
/// `first` is the order of a subquery with LIMIT 1: its rows are numbered, and the first is joined.
fn to_join(
    select: &Select,
    item: &Expr,
    first: Option<Option<&OrderBy>>,
    scope: &Scope,
    outer: &Scope,
    alias: &str,
) -> Option<(Join, Expr)> {
    let mut all = Vec::new();
    if let Some(selection) = &select.selection {
        conjuncts(selection, &mut all);
    }
    // References to a query further out can't be followed from a join of this one.
    let unknown = |expr: &Expr| {
        visit_expressions(expr, |inner| match reference(inner) {
            Some(reference) if !scope.owns(reference) && !outer.owns(reference) => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        })
        .is_break()
    };
    if unknown(item) || all.iter().any(unknown) {
        return None;
    }
    let foreign = |expr: &Expr| {
        visit_expressions(expr, |inner| match reference(inner) {
            Some(reference) if !scope.owns(reference) => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        })
        .is_break()
    };
    let (outside, inside): (Vec<Expr>, Vec<Expr>) = all.into_iter().partition(foreign);
    // Columns of the inner relations that are needed outside get names of their own.
    let mut exported: Vec<Expr> = Vec::new();
    let mut export = |expr: &Expr| {
        let mut expr = expr.clone();
        let _ = visit_expressions_mut(&mut expr, |inner: &mut Expr| {
            if reference(inner).is_some_and(|reference| scope.owns(reference)) {
                let at = exported.iter().position(|known| known == inner).unwrap_or_else(|| {
                    exported.push(inner.clone());
                    exported.len() - 1
                });
                *inner = Expr::CompoundIdentifier(vec![Ident::new(alias), Ident::new(format!("c{at}"))]);
            }
            ControlFlow::<()>::Continue(())
        });
        expr
    };
    let number = match first {
        Some(order) => Some(row_number(&partition(&outside, &foreign)?, order, item)?),
        None => None,
    };
    let value = export(item);
    let mut on: Vec<Expr> = outside.iter().map(&mut export).collect();
    // Without a column of the inner side the value would not be NULL where nothing matches.
    if exported.is_empty() {
        return None;
    }
    let mut inner = Parser::new(&PostgreSqlDialect {}).try_with_sql("SELECT 1").ok()?.parse_query().ok()?;
    if let SetExpr::Select(body) = inner.body.as_mut() {
        body.from = select.from.clone();
        body.selection = conjunction(inside);
        body.projection = exported
            .into_iter()
            .enumerate()
            .map(|(i, expr)| SelectItem::ExprWithAlias { expr, alias: Ident::new(format!("c{i}")) })
            .collect();
        if let Some(number) = number {
            body.projection.push(SelectItem::ExprWithAlias { expr: number, alias: Ident::new("limnos_row") });
            on.push(is_first(alias));
        }
    }
    let relation = TableFactor::Derived {
        lateral: false,
        subquery: inner,
        alias: Some(TableAlias { explicit: true, name: Ident::new(alias), columns: Vec::new(), at: None }),
        sample: None,
    };
    let condition = conjunction(on)?;
    Some((
        Join { relation, global: false, join_operator: JoinOperator::LeftOuter(JoinConstraint::On(condition)) },
        value,
    ))
}

/// The inner sides of `inner = outer`, if all conditions are such.
fn partition(conditions: &[Expr], foreign: &impl Fn(&Expr) -> bool) -> Option<Vec<Expr>> {
    let inner_side = |condition: &Expr| {
        let Expr::BinaryOp { left, op: BinaryOperator::Eq, right } = condition else { return None };
        match (foreign(left), foreign(right)) {
            (true, false) => Some(right.as_ref().clone()),
            (false, true) => Some(left.as_ref().clone()),
            _ => None,
        }
    };
    conditions.iter().map(inner_side).collect()
}

/// `row_number() OVER (PARTITION BY keys ORDER BY order)`, where an order by position means the item.
pub(super) fn row_number(keys: &[Expr], order: Option<&OrderBy>, item: &Expr) -> Option<Expr> {
    let mut order_by = match order.map(|order| &order.kind) {
        None => Vec::new(),
        Some(OrderByKind::Expressions(expressions)) => expressions.clone(),
        Some(OrderByKind::All(_)) => return None,
    };
    for each in &mut order_by {
        if matches!(&each.expr, Expr::Value(value) if matches!(&value.value, Value::Number(position, _) if position == "1"))
        {
            each.expr = item.clone();
        }
    }
    let mut number = call("row_number", Vec::new());
    if let Expr::Function(function) = &mut number {
        function.over = Some(WindowType::WindowSpec(WindowSpec {
            window_name: None,
            partition_by: keys.to_vec(),
            order_by,
            window_frame: None,
        }));
    }
    Some(number)
}

/// `alias.limnos_row = 1`
pub(super) fn is_first(alias: &str) -> Expr {
    Expr::BinaryOp {
        left: Box::new(Expr::CompoundIdentifier(vec![Ident::new(alias), Ident::new("limnos_row")])),
        op: BinaryOperator::Eq,
        right: Box::new(Expr::value(Value::Number("1".to_owned(), false))),
    }
}

/// Whether a query gives its first row only.
pub(super) fn takes_first(query: &Query) -> bool {
    matches!(&query.limit_clause, Some(LimitClause::LimitOffset { limit: Some(Expr::Value(limit)), offset: None, limit_by })
        if limit_by.is_empty() && matches!(&limit.value, Value::Number(count, _) if count == "1"))
}

/// Whether an aggregate query gives one row, whatever it reads.
fn has_one_group(select: &Select) -> bool {
    select.having.is_none()
        && matches!(&select.group_by, GroupByExpr::Expressions(expressions, _) if expressions.is_empty())
}

/// What an expression of aggregates is over no rows: counts are 0, all else is NULL.
fn aggregate_of_nothing(item: &Expr, scope: &Scope) -> Expr {
    let mut expr = item.clone();
    let _ = visit_expressions_mut(&mut expr, |expr: &mut Expr| {
        if let Some(name) = call_name(expr).filter(|name| AGGREGATES.contains(&name.as_str()))
            && let Expr::Function(_) = &*expr
        {
            let null = |data_type| cast(Expr::value(Value::Null), data_type);
            *expr = match name.as_str() {
                "count" => cast(Expr::value(Value::Number("0".to_owned(), false)), DataType::BigInt(None)),
                "sum" | "avg" => null(DataType::Numeric(ExactNumberInfo::None)),
                "bool_and" | "bool_or" | "every" => null(DataType::Boolean),
                "array_agg" => null(DataType::Array(ArrayElemTypeDef::SquareBracket(Box::new(DataType::Text), None))),
                _ => match single_argument(expr) {
                    Some(argument) if !name.ends_with("_agg") => null_like(&argument, scope),
                    _ => null(DataType::Text),
                },
            };
        }
        ControlFlow::<()>::Continue(())
    });
    expr
}

/// `ARRAY(query)` of any query: its rows, aggregated.
fn array_of_rows(query: &Query) -> Option<Expr> {
    let mut aggregated = Parser::new(&PostgreSqlDialect {})
        .try_with_sql("SELECT array_agg(limnos_item) FROM (SELECT 1) AS limnos_rows (limnos_item)")
        .ok()?
        .parse_query()
        .ok()?;
    let SetExpr::Select(select) = aggregated.body.as_mut() else { return None };
    if let TableFactor::Derived { subquery, .. } = &mut select.from.first_mut()?.relation {
        **subquery = query.clone();
    }
    Some(Expr::Subquery(aggregated))
}

/// Puts the joins behind the whole FROM clause, where every one of its relations is in scope.
fn attach(from: &mut Vec<TableWithJoins>, joins: Vec<Join>) {
    let rest: Vec<TableWithJoins> = from.drain(1..).collect();
    for table in rest {
        from[0].joins.push(Join {
            relation: table.relation,
            global: false,
            join_operator: JoinOperator::CrossJoin(JoinConstraint::None),
        });
        from[0].joins.extend(table.joins);
    }
    from[0].joins.extend(joins);
}

/// `ARRAY(SELECT ...)`.
fn array_of(query: &Query, outer: &Scope) -> Option<Expr> {
    let select = plain_select(query)?;
    let [SelectItem::UnnamedExpr(item) | SelectItem::ExprWithAlias { expr: item, .. }] = select.projection.as_slice()
    else {
        return None;
    };
    let scope = Scope::of(&select.from);
    let empty = || {
        let name_column =
            reference(item).and_then(<[Ident]>::last).map(folded).is_some_and(|column| {
                scope.sources.iter().filter_map(|(_, relation)| *relation).any(|relation| {
                    relation.columns.iter().any(|known| known.name == column && known.type_name == "name")
                })
            });
        call(if name_column { "limnos_empty_name_array" } else { "limnos_empty_text_array" }, Vec::new())
    };
    if outer.empty || scope.empty {
        return Some(empty());
    }
    if let Some(array) = array_of_unnest(select, item) {
        return Some(array);
    }
    // array_agg in the order of the subquery.
    let mut order = Vec::new();
    if let Some(order_by) = &query.order_by
        && let OrderByKind::Expressions(expressions) = &order_by.kind
    {
        for mut each in expressions.clone() {
            if matches!(&each.expr, Expr::Value(value) if matches!(&value.value, Value::Number(position, _) if position == "1"))
            {
                each.expr = item.clone();
            }
            order.push(each);
        }
    }
    if query.limit_clause.is_some() || select.distinct.is_some() || is_grouped(select) {
        return None;
    }
    let mut aggregate = call("array_agg", vec![item.clone()]);
    if let Expr::Function(function) = &mut aggregate
        && let FunctionArguments::List(list) = &mut function.args
        && !order.is_empty()
    {
        list.clauses.push(FunctionArgumentClause::OrderBy(order));
    }
    let mut inner = query.clone();
    inner.order_by = None;
    if let SetExpr::Select(body) = inner.body.as_mut() {
        body.projection = vec![SelectItem::UnnamedExpr(aggregate)];
    }
    // PostgreSQL's constructor gives an empty array where array_agg gives NULL.
    let fallback = if scope.is_catalog() { vec![empty()] } else { Vec::new() };
    let aggregated = Expr::Subquery(Box::new(inner));
    Some(if fallback.is_empty() {
        aggregated
    } else {
        call("coalesce", vec![aggregated].into_iter().chain(fallback).collect())
    })
}

/// `SELECT x FROM unnest(a) x` and `SELECT 'text' || x FROM unnest(a) x`: over an array of the outer query, which DataFusion
/// can't unnest in a subquery.
fn array_of_unnest(select: &Select, item: &Expr) -> Option<Expr> {
    let [TableWithJoins { relation, joins }] = select.from.as_slice() else { return None };
    let (array, alias) = match relation {
        TableFactor::UNNEST { array_exprs, alias, .. } => (array_exprs.first()?.clone(), alias.as_ref()?),
        TableFactor::Table { name, args: Some(args), alias, .. } if call_name_is(name, "unnest") => {
            let mut call = call("unnest", Vec::new());
            let Expr::Function(function) = &mut call else { return None };
            let FunctionArguments::List(list) = &mut function.args else { return None };
            list.args.clone_from(&args.args);
            (single_argument(&call)?, alias.as_ref()?)
        }
        TableFactor::Function { name, args, alias, .. } if call_name_is(name, "unnest") => {
            let mut call = call("unnest", Vec::new());
            let Expr::Function(function) = &mut call else { return None };
            let FunctionArguments::List(list) = &mut function.args else { return None };
            list.args.clone_from(args);
            (single_argument(&call)?, alias.as_ref()?)
        }
        _ => return None,
    };
    let element = alias.columns.first().map_or(&alias.name, |column| &column.name);
    let is_element = |expr: &Expr| matches!(expr, Expr::Identifier(ident) if folded(ident) == folded(element));
    if !joins.is_empty() || select.selection.is_some() || reference(&array).is_none() {
        return None;
    }
    match item {
        item if is_element(item) => Some(array),
        Expr::BinaryOp { left, op: BinaryOperator::StringConcat, right }
            if is_element(right) && matches!(left.as_ref(), Expr::Value(_)) =>
        {
            Some(call("limnos_prepend_text", vec![left.as_ref().clone(), array]))
        }
        _ => None,
    }
}

fn single_argument(call: &Expr) -> Option<Expr> {
    use datafusion::sql::sqlparser::ast::{FunctionArg, FunctionArgExpr};
    let Expr::Function(function) = call else { return None };
    let FunctionArguments::List(list) = &function.args else { return None };
    match list.args.as_slice() {
        [FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))] => Some(expr.clone()),
        _ => None,
    }
}
