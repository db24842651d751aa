//! Which PostgreSQL type the columns of an answer have where their Arrow types don't say it: `nullif(attidentity, '')` is a
//! `"char"`, `coalesce(a.oid, 0)` an `oid`, `max(relname)` a `name`.
//!
//! DataFusion carries the label of a column ([`PG_TYPE_METADATA`]) through projections and joins only. What calls, CASE,
//! aggregates and UNION make of it is told here, from the plan as it was written, before coercions are added to it.

use std::collections::HashMap;

use arrow::datatypes::Field;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::{AggregateFunction, ScalarFunction};
use datafusion::logical_expr::{Distinct, Expr, ExprSchemable, LogicalPlan};

use super::PG_TYPE_METADATA;

/// How many expressions are looked at for one column: a CASE of CASEs in a stack of subqueries has no end otherwise.
const STEPS_MAX: usize = 1000;

/// The label of each column of `plan`.
pub(crate) fn labels(plan: &LogicalPlan) -> Vec<Option<String>> {
    (0..plan.schema().fields().len()).map(|index| Walk { steps: 0 }.column(plan, index)).collect()
}

/// `field` with `label`, or without one.
pub(crate) fn labelled(field: Field, label: Option<String>) -> Field {
    let mut metadata: HashMap<String, String> = field.metadata().clone();
    match label {
        Some(label) => metadata.insert(PG_TYPE_METADATA.to_owned(), label),
        None => metadata.remove(PG_TYPE_METADATA),
    };
    field.with_metadata(metadata)
}

fn own(field: &Field) -> Option<String> {
    field.metadata().get(PG_TYPE_METADATA).cloned()
}

/// What an operand says of the type of the whole.
enum Hint {
    /// NULL or a constant: it takes the type of the others.
    Any,
    Is(Option<String>),
}

struct Walk {
    steps: usize,
}

impl Walk {
    /// The label of a column of `plan`.
    fn column(&mut self, plan: &LogicalPlan, index: usize) -> Option<String> {
        self.steps += 1;
        if self.steps > STEPS_MAX {
            return None;
        }
        let from_field = || plan.schema().fields().get(index).and_then(|field| own(field));
        match plan {
            LogicalPlan::Projection(projection) => self.expr(projection.expr.get(index)?, &projection.input),
            LogicalPlan::SubqueryAlias(alias) => self.column(&alias.input, index),
            LogicalPlan::Filter(filter) => self.column(&filter.input, index),
            LogicalPlan::Sort(sort) => self.column(&sort.input, index),
            LogicalPlan::Limit(limit) => self.column(&limit.input, index),
            LogicalPlan::Distinct(Distinct::On(on)) => self.expr(on.select_expr.get(index)?, &on.input),
            LogicalPlan::Distinct(distinct) => self.column(distinct.input(), index),
            LogicalPlan::Join(join) => {
                let left = join.left.schema().fields().len();
                if index < left { self.column(&join.left, index) } else { self.column(&join.right, index - left) }
            }
            LogicalPlan::Aggregate(aggregate) => {
                let groups = aggregate.group_expr.len();
                if plan.schema().fields().len() != groups + aggregate.aggr_expr.len() {
                    return from_field();
                }
                let expr = aggregate.group_expr.get(index).or_else(|| aggregate.aggr_expr.get(index - groups))?;
                self.expr(expr, &aggregate.input)
            }
            LogicalPlan::Window(window) => {
                let before = window.input.schema().fields().len();
                if index < before { self.column(&window.input, index) } else { from_field() }
            }
            LogicalPlan::Union(union) => {
                let hints = union.inputs.iter().map(|input| match input.as_ref() {
                    LogicalPlan::Projection(projection) => match projection.expr.get(index) {
                        Some(expr) => self.hint(expr, &projection.input),
                        None => Hint::Any,
                    },
                    other => Hint::Is(self.column(other, index)),
                });
                common(hints.collect())
            }
            LogicalPlan::Unnest(unnest) => {
                let before = *unnest.dependency_indices.get(index)?;
                let label = self.column(&unnest.input, before);
                let is_list = unnest.list_type_columns.iter().any(|(place, _)| *place == before);
                if is_list { label.and_then(|label| element(&label)) } else { label }
            }
            LogicalPlan::RecursiveQuery(query) => self.column(&query.static_term, index),
            _ => from_field(),
        }
    }

    fn expr(&mut self, expr: &Expr, input: &LogicalPlan) -> Option<String> {
        self.steps += 1;
        if self.steps > STEPS_MAX {
            return None;
        }
        match expr {
            Expr::Alias(alias) => self.expr(&alias.expr, input),
            Expr::Column(column) => {
                let index = input.schema().maybe_index_of_column(column)?;
                self.column(input, index)
            }
            Expr::Cast(cast) => own(&cast.field),
            Expr::TryCast(cast) => own(&cast.field),
            Expr::Case(case) => {
                // PostgreSQL looks at ELSE first.
                let branches = case.else_expr.as_deref().into_iter();
                let branches = branches.chain(case.when_then_expr.iter().map(|(_, then)| then.as_ref()));
                let hints = branches.map(|expr| self.hint(expr, input));
                common(hints.collect())
            }
            Expr::ScalarFunction(ScalarFunction { func, args }) => match func.name() {
                "nullif" => self.expr(args.first()?, input),
                "coalesce" | "greatest" | "least" => common(args.iter().map(|expr| self.hint(expr, input)).collect()),
                "array_element" => self.expr(args.first()?, input).and_then(|label| element(&label)),
                _ => self.own_label(expr, input),
            },
            Expr::AggregateFunction(AggregateFunction { func, params }) => match func.name() {
                "min" | "max" | "first_value" | "last_value" | "any_value" => self.expr(params.args.first()?, input),
                "array_agg" => self
                    .expr(params.args.first()?, input)
                    .filter(|label| !is_array(label))
                    .map(|label| format!("{label}[]")),
                _ => None,
            },
            Expr::ScalarSubquery(subquery) => self.column(&subquery.subquery, 0),
            Expr::OuterReferenceColumn(field, _) => own(field),
            Expr::Unnest(unnest) => self.expr(&unnest.expr, input).and_then(|label| element(&label)),
            Expr::Literal(_, metadata) => {
                metadata.as_ref().and_then(|metadata| metadata.inner().get(PG_TYPE_METADATA).cloned())
            }
            _ => self.own_label(expr, input),
        }
    }

    /// The label that the expression's field has.
    fn own_label(&self, expr: &Expr, input: &LogicalPlan) -> Option<String> {
        expr.to_field(input.schema().as_ref()).ok().and_then(|(_, field)| own(&field))
    }

    fn hint(&mut self, expr: &Expr, input: &LogicalPlan) -> Hint {
        match expr {
            Expr::Alias(alias) => self.hint(&alias.expr, input),
            Expr::Literal(value, None) if value.is_null() || value.data_type().is_string() => Hint::Any,
            Expr::Literal(ScalarValue::Int32(_) | ScalarValue::Int64(_), None) => Hint::Any,
            // A constant as its type was written for it.
            Expr::Cast(cast)
                if own(&cast.field).is_none()
                    && matches!(cast.expr.as_ref(), Expr::Literal(value, None) if value.is_null() || value.data_type().is_integer()) =>
            {
                Hint::Any
            }
            other => Hint::Is(self.expr(other, input)),
        }
    }
}

/// The label of what is one of several: that of the first, as all that have labels can be read as each other; but `oid` wins
/// over other whole numbers.
fn common(hints: Vec<Hint>) -> Option<String> {
    let mut labels = hints.into_iter().filter_map(|hint| match hint {
        Hint::Any => None,
        Hint::Is(label) => Some(label),
    });
    let first = labels.next()?;
    first.or_else(|| labels.flatten().find(|label| label == "oid"))
}

fn is_array(label: &str) -> bool {
    label.ends_with("[]") || label.starts_with('_') || label.ends_with("vector")
}

/// The label of an array's elements.
fn element(label: &str) -> Option<String> {
    match label {
        "oidvector" => Some("oid".to_owned()),
        "int2vector" => None,
        _ => label.strip_suffix("[]").or_else(|| label.strip_prefix('_')).map(str::to_owned),
    }
}
