//! [`SingleRow`]: scalar subqueries whose rows have to be counted.
//!
//! DataFusion joins a correlated scalar subquery to the query around it, and so takes only those of which it can see that they
//! give one row: aggregates. Others are made into aggregates here, with the types settled and before DataFusion looks:
//!
//! ```text
//! (SELECT name FROM emp WHERE emp.id = o.id)
//!     limnos_single((SELECT named_struct('rows', count(*), 'value', first_value(name)) FROM emp WHERE emp.id = o.id))
//! (SELECT name FROM emp WHERE emp.dept = o.dept ORDER BY pay DESC LIMIT 1)
//!     (SELECT first_value(name ORDER BY pay DESC) FROM emp WHERE emp.dept = o.dept)
//! ```
//!
//! `limnos_single` refuses more than one row (`21000`). It is asked behind the join: rows that no outer row asks for don't count.
//!
//! A subquery without rows is NULL, whatever its column says: a column that can't be NULL goes through `limnos_nullable`.

use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::compute::nullif;
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::config::ConfigOptions;
use datafusion::functions::core::expr_fn::named_struct;
use datafusion::functions_aggregate::expr_fn::{count, first_value};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::logical_plan::{FetchType, SkipType, Subquery};
use datafusion::logical_expr::{
    ColumnarValue, Expr, LogicalPlan, LogicalPlanBuilder, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, SortExpr, Volatility, lit,
};
use datafusion::optimizer::AnalyzerRule;

use crate::function::failure;
use crate::{Error, ErrorCode};

/// See the module.
#[derive(Debug)]
pub(crate) struct SingleRow {
    single: Arc<ScalarUDF>,
    nullable: Arc<ScalarUDF>,
}

impl Default for SingleRow {
    fn default() -> Self {
        Self {
            single: Arc::new(ScalarUDF::from(Single { signature: Signature::any(1, Volatility::Immutable) })),
            nullable: Arc::new(ScalarUDF::from(Nullable { signature: Signature::any(1, Volatility::Immutable) })),
        }
    }
}

impl AnalyzerRule for SingleRow {
    fn name(&self) -> &str {
        "single_row"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|plan| self.rewrite_plan(plan)).map(|transformed| transformed.data)
    }
}

impl SingleRow {
    fn rewrite_plan(&self, plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
        let names = NamePreserver::new(&plan);
        let rewritten = plan.map_expressions(|expr| {
            let name = names.save(&expr);
            let rewritten = expr.transform_up(|expr| match expr {
                Expr::ScalarSubquery(subquery) => self.rewrite(subquery),
                expr => Ok(Transformed::no(expr)),
            })?;
            Ok(if rewritten.transformed { rewritten.update_data(|expr| name.restore(expr)) } else { rewritten })
        })?;
        if rewritten.transformed { rewritten.map_data(LogicalPlan::recompute_schema) } else { Ok(rewritten) }
    }

    fn rewrite(&self, subquery: Subquery) -> Result<Transformed<Expr>> {
        let plan = Arc::clone(&subquery.subquery);
        let with = |plan: LogicalPlan| Expr::ScalarSubquery(Subquery { subquery: Arc::new(plan), ..subquery.clone() });
        // Those of several columns are refused elsewhere.
        if plan.schema().fields().len() != 1 {
            return Ok(Transformed::no(Expr::ScalarSubquery(subquery)));
        }
        if !subquery.outer_ref_columns.is_empty() && !is_aggregated(&plan) {
            if let Some(First { value, order, input }) = First::of(&plan)? {
                let first = first_value(value, order);
                let plan = LogicalPlanBuilder::from(input).aggregate(Vec::<Expr>::new(), vec![first])?.build()?;
                return Ok(Transformed::yes(with(plan)));
            }
            if plan.max_rows().is_none_or(|rows| rows > 1) {
                let value = Expr::Column(plan.schema().columns().remove(0));
                let aggregates = vec![count(lit(1_i64)), first_value(value, Vec::new())];
                let plan = LogicalPlanBuilder::from(without_order(&plan))
                    .aggregate(Vec::<Expr>::new(), aggregates)?
                    .build()?;
                let mut columns = plan.schema().columns().into_iter().map(Expr::Column);
                let (Some(rows), Some(value)) = (columns.next(), columns.next()) else {
                    return plan_err!("an aggregate has lost its columns");
                };
                let counted = named_struct(vec![lit("rows"), rows, lit("value"), value]);
                let plan = LogicalPlanBuilder::from(plan).project(vec![counted])?.build()?;
                return Ok(Transformed::yes(self.single.call(vec![with(plan)])));
            }
        }
        if plan.schema().field(0).is_nullable() {
            return Ok(Transformed::no(Expr::ScalarSubquery(subquery)));
        }
        let value = Expr::Column(plan.schema().columns().remove(0));
        let nullable = self.nullable.call(vec![value]);
        let plan = LogicalPlanBuilder::from(Arc::unwrap_or_clone(plan)).project(vec![nullable])?.build()?;
        Ok(Transformed::yes(with(plan)))
    }
}

/// Whether it gives one row because it is an aggregate without groups, or is one that DataFusion looks at itself.
fn is_aggregated(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Projection(projection) => is_aggregated(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => is_aggregated(&alias.input),
        LogicalPlan::Filter(filter) => {
            matches!(filter.input.as_ref(), LogicalPlan::Aggregate(_)) && is_aggregated(&filter.input)
        }
        LogicalPlan::Aggregate(aggregate) => aggregate.group_expr.is_empty(),
        _ => false,
    }
}

/// The rows without their order, which the one value has no use for.
fn without_order(plan: &LogicalPlan) -> LogicalPlan {
    match plan {
        LogicalPlan::Sort(sort) if sort.fetch.is_none() => sort.input.as_ref().clone(),
        plan => plan.clone(),
    }
}

/// `SELECT value FROM input ORDER BY order LIMIT 1`.
struct First {
    value: Expr,
    order: Vec<SortExpr>,
    input: LogicalPlan,
}

impl First {
    fn of(plan: &LogicalPlan) -> Result<Option<Self>> {
        let LogicalPlan::Limit(limit) = plan else { return Ok(None) };
        let one = matches!(limit.get_fetch_type()?, FetchType::Literal(Some(1)))
            && matches!(limit.get_skip_type()?, SkipType::Literal(0));
        if !one {
            return Ok(None);
        }
        let (value, below) = match limit.input.as_ref() {
            // Columns that only the order needs are dropped here.
            LogicalPlan::Projection(projection) if matches!(projection.input.as_ref(), LogicalPlan::Sort(_)) => {
                let value = projection.expr.first().cloned();
                (value, projection.input.as_ref())
            }
            below => (below.schema().columns().into_iter().next().map(Expr::Column), below),
        };
        let Some(value) = value else { return Ok(None) };
        Ok(Some(match below {
            LogicalPlan::Sort(sort) if sort.fetch.is_none() => {
                Self { value, order: sort.expr.clone(), input: sort.input.as_ref().clone() }
            }
            below => Self { value, order: Vec::new(), input: below.clone() },
        }))
    }
}

/// The value of one row, given how many there are.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Single {
    signature: Signature,
}

impl ScalarUDFImpl for Single {
    fn name(&self) -> &str {
        "limnos_single"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        match arg_types {
            [DataType::Struct(fields)] if fields.len() == 2 => Ok(fields[1].data_type().clone()),
            _ => plan_err!("limnos_single takes rows that were counted"),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let DataType::Struct(fields) = args.arg_fields[0].data_type() else {
            return plan_err!("limnos_single takes rows that were counted");
        };
        // With what the column says of its PostgreSQL type.
        Ok(Arc::new(fields[1].as_ref().clone().with_name(self.name()).with_nullable(true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [counted] = args.args.as_slice() else { return exec_err!("limnos_single takes one argument") };
        let array = counted.to_array(1)?;
        let Some(counted_rows) = array.as_struct_opt() else {
            return exec_err!("limnos_single takes rows that were counted");
        };
        let rows = counted_rows.column(0).as_primitive::<Int64Type>();
        let is_several = |row: usize| counted_rows.is_valid(row) && rows.is_valid(row) && rows.value(row) > 1;
        if (0..counted_rows.len()).any(is_several) {
            let message = "more than one row returned by a subquery used as an expression";
            return Err(failure(Error::new(ErrorCode::CardinalityViolation, message)));
        }
        let values = match counted_rows.nulls() {
            // An outer row without any.
            Some(nulls) => nullif(counted_rows.column(1), &arrow::array::BooleanArray::new(!nulls.inner(), None))?,
            None => Arc::clone(counted_rows.column(1)),
        };
        Ok(match counted {
            ColumnarValue::Scalar(_) => ColumnarValue::Scalar(ScalarValue::try_from_array(&values, 0)?),
            ColumnarValue::Array(_) => ColumnarValue::Array(values),
        })
    }
}

/// Its argument, of which nothing says any more that it is never NULL.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Nullable {
    signature: Signature,
}

impl ScalarUDFImpl for Nullable {
    fn name(&self) -> &str {
        "limnos_nullable"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        Ok(arg_types[0].clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let field: &Field = &args.arg_fields[0];
        Ok(Arc::new(field.clone().with_nullable(true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let mut args = args.args;
        Ok(args.remove(0))
    }
}
