//! Comparisons with the rows of a query, in words whose answer keeps SQL's third truth value.
//!
//! DataFusion joins `x IN (query)` and `x NOT IN (query)` rightly where they stand alone in WHERE or HAVING. Anywhere else it
//! marks the rows of `x` that are in the query, and a mark is true or false where the answer is NULL; in a select list it has
//! no answer at all. There, and for all other comparisons with a query's rows, the query is asked twice: whether it has the
//! row, and whether it has any and any that are NULL.
//!
//! ```text
//! x IN (q)       CASE WHEN (SELECT count(*) FROM (q) f(v) WHERE v = x) > 0 THEN true ELSE <otherwise> END
//! x > ANY (q)    CASE WHEN x > (SELECT min(v) FROM (q) f(v)) THEN true ELSE <otherwise> END
//! x > ALL (q)    NOT x <= ANY (q)
//! <otherwise>    CASE (SELECT <0: no rows, 1: rows, 2: some NULL> FROM (q) f(v))
//!                WHEN 0 THEN false WHEN 2 THEN NULL ELSE CASE WHEN x IS NULL THEN NULL ELSE false END END
//! ```
//!
//! A row value, `(a, b) IN (q)`, is an EXISTS over rows that compare equal, or might.
//!
//! Where `q` names columns of the query around it, DataFusion can't plan these forms and the query is refused.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, GroupByExpr, Ident, JoinConstraint, JoinOperator, OrderByKind, Query, Select, SelectItem,
    SetExpr, TableWithJoins, UnaryOperator, Value, VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

use crate::{Error, ErrorCode, Result};

/// Most queries that are put in twice in one statement: one inside the other they would double each time.
const COPIES_MAX: usize = 64;

/// Says how the rewriting of one statement goes.
#[derive(Debug, Default)]
pub(super) struct SubqueryForms {
    copies: usize,
}

/// Where a condition stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// It is one of the conditions that must hold: DataFusion joins what it asks.
    Alone,
    /// Beside OR: a mark that is false for NULL is as good, for the whole is a condition.
    Marked,
}

impl SubqueryForms {
    /// Rewrites the expressions of one SELECT, not those of its inner queries.
    pub(super) fn select(&mut self, select: &mut Select) -> Result<()> {
        for item in &mut select.projection {
            match item {
                SelectItem::UnnamedExpr(expr) => {
                    let before = self.copies;
                    let is_comparison = holds_comparison(expr);
                    self.value(expr)?;
                    // As PostgreSQL calls it, and not after the CASE that it has become.
                    if is_comparison && self.copies > before {
                        let alias = Ident::with_quote('"', "?column?");
                        *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
                    }
                }
                SelectItem::ExprWithAlias { expr, .. } => self.value(expr)?,
                _ => {}
            }
        }
        if let GroupByExpr::Expressions(expressions, _) = &mut select.group_by {
            for expr in expressions {
                self.value(expr)?;
            }
        }
        for table in &mut select.from {
            let moved = self.joins(table)?;
            select.selection = moved.into_iter().chain(select.selection.take()).reduce(|left, right| Expr::BinaryOp {
                left: Box::new(Expr::Nested(Box::new(left))),
                op: BinaryOperator::And,
                right: Box::new(Expr::Nested(Box::new(right))),
            });
        }
        for condition in select.selection.iter_mut().chain(&mut select.having).chain(&mut select.qualify) {
            self.condition(condition, Place::Alone)?;
        }
        Ok(())
    }

    /// Rewrites what a query is sorted by.
    pub(super) fn order_by(&mut self, query: &mut Query) -> Result<()> {
        if let Some(order_by) = &mut query.order_by
            && let OrderByKind::Expressions(expressions) = &mut order_by.kind
        {
            for each in expressions {
                self.value(&mut each.expr)?;
            }
        }
        Ok(())
    }

    /// The conditions of joins. A query's rows can't be asked for there: of inner joins such a condition goes to WHERE, where
    /// it means the same.
    fn joins(&mut self, table: &mut TableWithJoins) -> Result<Vec<Expr>> {
        let inner = table.joins.iter().all(|join| {
            matches!(join.join_operator, JoinOperator::Join(_) | JoinOperator::Inner(_) | JoinOperator::CrossJoin(_))
        });
        let mut moved = Vec::new();
        for join in &mut table.joins {
            let (JoinOperator::Join(constraint)
            | JoinOperator::Inner(constraint)
            | JoinOperator::Left(constraint)
            | JoinOperator::LeftOuter(constraint)
            | JoinOperator::Right(constraint)
            | JoinOperator::RightOuter(constraint)
            | JoinOperator::FullOuter(constraint)) = &mut join.join_operator
            else {
                continue;
            };
            let JoinConstraint::On(on) = constraint else { continue };
            if !holds_comparison(on) {
                continue;
            }
            if inner {
                moved.push(std::mem::replace(on, Expr::value(Value::Boolean(true))));
            } else {
                self.condition(on, Place::Alone)?;
                if holds_negated(on) {
                    return Err(Error::unsupported(
                        "NOT IN with a subquery is not supported in the condition of an outer join yet",
                    )
                    .with_hint("Compute it in a subquery that is joined."));
                }
            }
        }
        Ok(moved)
    }

    /// A condition, of which only whether it is true counts.
    fn condition(&mut self, condition: &mut Expr, place: Place) -> Result<()> {
        match condition {
            Expr::Nested(inner) => self.condition(inner, place),
            Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
                self.condition(left, place)?;
                self.condition(right, place)
            }
            Expr::BinaryOp { left, op: BinaryOperator::Or, right } => {
                self.condition(left, Place::Marked)?;
                self.condition(right, Place::Marked)
            }
            Expr::UnaryOp { op: UnaryOperator::Not, expr } => {
                let mut inner = expr.as_ref();
                while let Expr::Nested(nested) = inner {
                    inner = nested;
                }
                match inner {
                    Expr::InSubquery { expr, subquery, negated } => {
                        *condition =
                            Expr::InSubquery { expr: expr.clone(), subquery: subquery.clone(), negated: !negated };
                        self.condition(condition, place)
                    }
                    Expr::Exists { .. } => Ok(()),
                    _ => self.value(condition),
                }
            }
            Expr::AnyOp { .. } | Expr::AllOp { .. } => {
                as_membership(condition);
                match condition {
                    Expr::InSubquery { .. } => self.condition(condition, place),
                    _ => self.value(condition),
                }
            }
            Expr::InSubquery { expr, subquery, negated } => {
                self.value(expr)?;
                match (row_value(expr), *negated) {
                    (Some(_), _) => self.replace(condition, Meaning::Condition),
                    (None, true) if place == Place::Marked => self.replace(condition, Meaning::Value),
                    (None, _) => {
                        check_columns(subquery, 1)?;
                        Ok(())
                    }
                }
            }
            _ => self.value(condition),
        }
    }

    /// An expression whose value is wanted.
    fn value(&mut self, expr: &mut Expr) -> Result<()> {
        let mut values = Values { forms: self, depth: 0 };
        match expr.visit(&mut values) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(error) => Err(*error),
        }
    }

    fn replace(&mut self, expr: &mut Expr, meaning: Meaning) -> Result<()> {
        let new = match &*expr {
            Expr::InSubquery { expr: left, subquery, negated } => match row_value(left) {
                Some(fields) => row_in(&fields, subquery, *negated, meaning)?,
                None => {
                    check_columns(subquery, 1)?;
                    let found = fill(IS_IN, left, subquery);
                    if *negated { not(found) } else { found }
                }
            },
            Expr::AnyOp { left, compare_op, right, .. } => {
                let Some(subquery) = query_of(right) else { return Ok(()) };
                any(left, compare_op, subquery)?
            }
            Expr::AllOp { left, compare_op, right } => {
                let Some(subquery) = query_of(right) else { return Ok(()) };
                let opposite = negator(compare_op).ok_or_else(|| unsupported_operator(compare_op, "ALL"))?;
                not(any(left, &opposite, subquery)?)
            }
            _ => return Ok(()),
        };
        self.copies += 1;
        if self.copies > COPIES_MAX {
            return Err(Error::new(ErrorCode::StatementTooComplex, "statement is too complex").with_detail(format!(
                "It compares with the rows of subqueries in more than {COPIES_MAX} places other than WHERE."
            )));
        }
        *expr = Expr::Nested(Box::new(new));
        Ok(())
    }
}

/// What is wanted of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    /// Whether it is true.
    Condition,
    /// True, false or NULL.
    Value,
}

/// Rewrites the comparisons inside one expression, the innermost first.
struct Values<'a> {
    forms: &'a mut SubqueryForms,
    depth: usize,
}

impl VisitorMut for Values<'_> {
    type Break = Box<Error>;

    fn pre_visit_query(&mut self, _query: &mut Query) -> ControlFlow<Box<Error>> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<Box<Error>> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Box<Error>> {
        if self.depth > 0 {
            return ControlFlow::Continue(());
        }
        as_membership(expr);
        match self.forms.replace(expr, Meaning::Value) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(Box::new(error)),
        }
    }
}

/// `x = ANY (query)` is `x IN (query)`, and `x <> ALL (query)` its opposite.
fn as_membership(expr: &mut Expr) {
    let negated = match &*expr {
        Expr::AnyOp { compare_op: BinaryOperator::Eq, .. } => false,
        Expr::AllOp { compare_op: BinaryOperator::NotEq, .. } => true,
        _ => return,
    };
    if let Expr::AnyOp { left, right, .. } | Expr::AllOp { left, right, .. } = &*expr
        && let Some(subquery) = query_of(right)
    {
        *expr = Expr::InSubquery { expr: left.clone(), subquery: Box::new(subquery.clone()), negated };
    }
}

fn query_of(expr: &Expr) -> Option<&Query> {
    match expr {
        Expr::Subquery(query) => Some(query),
        Expr::Nested(inner) => query_of(inner),
        _ => None,
    }
}

fn not(expr: Expr) -> Expr {
    Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(Expr::Nested(Box::new(expr))) }
}

/// Whether there is a comparison with the rows of a query in it, outside of inner queries.
fn holds_comparison(expr: &Expr) -> bool {
    match expr {
        Expr::Nested(inner) | Expr::UnaryOp { expr: inner, .. } => holds_comparison(inner),
        Expr::BinaryOp { left, right, .. } => holds_comparison(left) || holds_comparison(right),
        Expr::InSubquery { .. } => true,
        Expr::AnyOp { right, .. } | Expr::AllOp { right, .. } => query_of(right).is_some(),
        _ => false,
    }
}

fn holds_negated(expr: &Expr) -> bool {
    match expr {
        Expr::Nested(inner) | Expr::UnaryOp { expr: inner, .. } => holds_negated(inner),
        Expr::BinaryOp { left, right, .. } => holds_negated(left) || holds_negated(right),
        Expr::InSubquery { negated, .. } => *negated,
        _ => false,
    }
}

/// The fields of `(a, b)`.
fn row_value(expr: &Expr) -> Option<Vec<Expr>> {
    match expr {
        Expr::Tuple(fields) if fields.len() > 1 => Some(fields.clone()),
        Expr::Nested(inner) => row_value(inner),
        _ => None,
    }
}

/// The opposite comparison: `NOT x > y` is `x <= y`.
fn negator(op: &BinaryOperator) -> Option<BinaryOperator> {
    Some(match op {
        BinaryOperator::Eq => BinaryOperator::NotEq,
        BinaryOperator::NotEq => BinaryOperator::Eq,
        BinaryOperator::Lt => BinaryOperator::GtEq,
        BinaryOperator::LtEq => BinaryOperator::Gt,
        BinaryOperator::Gt => BinaryOperator::LtEq,
        BinaryOperator::GtEq => BinaryOperator::Lt,
        _ => return None,
    })
}

fn unsupported_operator(op: &BinaryOperator, word: &str) -> Error {
    Error::unsupported(format!("operator {op} {word} with a subquery is not supported"))
        .with_hint("The comparisons =, <>, <, <=, > and >= are.")
}

/// Refuses a query of another number of columns, as far as its text tells it.
fn check_columns(query: &Query, wanted: usize) -> Result<()> {
    let SetExpr::Select(select) = query.body.as_ref() else { return Ok(()) };
    let plain = |item: &SelectItem| matches!(item, SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. });
    if !select.projection.iter().all(plain) || select.projection.len() == wanted {
        return Ok(());
    }
    let few = if select.projection.len() < wanted { "few" } else { "many" };
    Err(Error::syntax(format!("subquery has too {few} columns")))
}

const OTHERWISE: &str = "CASE (SELECT CASE WHEN count(*) = 0 THEN 0 WHEN count(*) > count(limnos_value) THEN 2 ELSE 1 END \
     FROM (SELECT limnos_query) AS limnos_found(limnos_value)) \
     WHEN 0 THEN false WHEN 2 THEN NULL ELSE CASE WHEN limnos_left IS NULL THEN NULL ELSE false END END";

const IS_IN: &str = "(SELECT count(*) FROM (SELECT limnos_query) AS limnos_found(limnos_value) WHERE limnos_found.limnos_value = limnos_left) > 0";

const IS_ANOTHER: &str = "limnos_left <> (SELECT min(limnos_value) FROM (SELECT limnos_query) AS limnos_found(limnos_value)) \
     OR limnos_left <> (SELECT max(limnos_value) FROM (SELECT limnos_query) AS limnos_found(limnos_value))";

/// `left op ANY (query)`: true if it is of the least or greatest row, for then it is of one, and for no other otherwise.
fn any(left: &Expr, op: &BinaryOperator, query: &Query) -> Result<Expr> {
    check_columns(query, 1)?;
    if row_value(left).is_some() {
        return Err(Error::unsupported("comparing a row with ANY or ALL rows of a subquery is not supported")
            .with_hint("IN and NOT IN compare whole rows."));
    }
    let extreme = |name: &str| {
        format!(
            "limnos_left {op} (SELECT {name}(limnos_value) FROM (SELECT limnos_query) AS limnos_found(limnos_value))"
        )
    };
    let hit = match op {
        BinaryOperator::Gt | BinaryOperator::GtEq => extreme("min"),
        BinaryOperator::Lt | BinaryOperator::LtEq => extreme("max"),
        BinaryOperator::NotEq => IS_ANOTHER.to_owned(),
        BinaryOperator::Eq => IS_IN.to_owned(),
        _ => return Err(unsupported_operator(op, "ANY")),
    };
    Ok(fill(&hit, left, query))
}

/// `(a, b) IN (query)`. A row of the query that isn't unlike in any field might be the same where a NULL is compared.
fn row_in(fields: &[Expr], query: &Query, negated: bool, meaning: Meaning) -> Result<Expr> {
    check_columns(query, fields.len())?;
    let columns: Vec<String> = (0..fields.len()).map(|at| format!("limnos_value_{at}")).collect();
    let exists = |test: &dyn Fn(usize) -> String| {
        let tests: Vec<String> = (0..fields.len()).map(test).collect();
        format!(
            "EXISTS (SELECT 1 FROM (SELECT limnos_query) AS limnos_found({}) WHERE {})",
            columns.join(", "),
            tests.join(" AND ")
        )
    };
    let text = match (meaning, negated) {
        (Meaning::Condition, false) => exists(&|at| format!("limnos_found.limnos_value_{at} = limnos_left_{at}")),
        (Meaning::Condition, true) => {
            let alike = exists(&|at| format!("(limnos_found.limnos_value_{at} = limnos_left_{at}) IS NOT FALSE"));
            format!("NOT {alike}")
        }
        (Meaning::Value, _) => {
            return Err(Error::unsupported(
                "comparing a row with the rows of a subquery is not supported at this place",
            )
            .with_hint("IN and NOT IN with a row work among the conditions of WHERE and HAVING."));
        }
    };
    Ok(fill_with(&text, query, |name| {
        let at: usize = name.strip_prefix("limnos_left_")?.parse().ok()?;
        fields.get(at).cloned()
    }))
}

/// The whole of a comparison, given the text of when it is true.
fn fill(hit: &str, left: &Expr, query: &Query) -> Expr {
    let text = format!("CASE WHEN {hit} THEN true ELSE {OTHERWISE} END");
    fill_with(&text, query, |name| (name == "limnos_left").then(|| left.clone()))
}

/// Parses `text`, which is ours, and puts the client's expressions and query in the places named for them: as trees, so that
/// an error in them has its position.
fn fill_with(text: &str, query: &Query, value: impl Fn(&str) -> Option<Expr>) -> Expr {
    struct Fill<'a, F> {
        query: &'a Query,
        value: F,
        /// Inside what was put in.
        inside: usize,
    }

    impl<F: Fn(&str) -> Option<Expr>> VisitorMut for Fill<'_, F> {
        type Break = ();

        fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
            if self.inside == 0 && is_place(query) {
                *query = self.query.clone();
                self.inside = 1;
            } else if self.inside > 0 {
                self.inside += 1;
            }
            ControlFlow::Continue(())
        }

        fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
            self.inside = self.inside.saturating_sub(1);
            ControlFlow::Continue(())
        }

        fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            if let Expr::Identifier(Ident { value, quote_style: None, .. }) = expr
                && self.inside == 0
                && let Some(new) = (self.value)(value)
            {
                *expr = Expr::Nested(Box::new(new));
            }
            ControlFlow::Continue(())
        }
    }

    fn is_place(query: &Query) -> bool {
        let SetExpr::Select(select) = query.body.as_ref() else { return false };
        matches!(select.projection.as_slice(),
            [SelectItem::UnnamedExpr(Expr::Identifier(name))] if name.value == "limnos_query")
    }

    let mut expr = Parser::new(&PostgreSqlDialect {})
        .try_with_sql(text)
        .and_then(|mut parser| parser.parse_expr())
        .expect("the words are ours and parse");
    let _: ControlFlow<()> = VisitMut::visit(&mut expr, &mut Fill { query, value, inside: 0 });
    expr
}
