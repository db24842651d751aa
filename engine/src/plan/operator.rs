//! [`Operators`]: what DataFusion lacks or means otherwise. Of intervals: `interval * number`, `interval / number`, and
//! `date + interval`, which is a timestamp in PostgreSQL and must not lose the interval's hours. Of decimals: division, whose
//! quotients have more digits than DataFusion's; type coercion has to know that, else it cuts them to compare them.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{Expr, ExprSchemable, cast};
use datafusion::sql::sqlparser::ast::BinaryOperator;

use crate::function::{interval_divide, interval_multiply, numeric_divide, numeric_divides};

/// See the module. To be asked before DataFusion's own planners.
#[derive(Debug)]
pub(crate) struct Operators;

impl ExprPlanner for Operators {
    fn plan_binary_op(&self, mut expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        use BinaryOperator::{Divide, Minus, Multiply, Plus};
        if !matches!(expr.op, Multiply | Divide | Plus | Minus) {
            return Ok(PlannerResult::Original(expr));
        }
        let (Ok(left), Ok(right)) = (expr.left.get_type(schema), expr.right.get_type(schema)) else {
            return Ok(PlannerResult::Original(expr));
        };
        let is_interval = |data_type: &DataType| matches!(data_type, DataType::Interval(_));
        let planned: Option<Expr> = match expr.op {
            Multiply if is_interval(&left) && right.is_numeric() => {
                Some(interval_multiply().call(vec![expr.left.clone(), expr.right.clone()]))
            }
            Multiply if left.is_numeric() && is_interval(&right) => {
                Some(interval_multiply().call(vec![expr.right.clone(), expr.left.clone()]))
            }
            Divide if is_interval(&left) && right.is_numeric() => {
                Some(interval_divide().call(vec![expr.left.clone(), expr.right.clone()]))
            }
            Divide if numeric_divides(&left, &right) => {
                Some(numeric_divide().call(vec![expr.left.clone(), expr.right.clone()]))
            }
            Plus | Minus if left == DataType::Date32 && is_interval(&right) && !is_whole_days(&expr.right) => {
                expr.left = timestamp(expr.left);
                None
            }
            Plus if is_interval(&left) && right == DataType::Date32 && !is_whole_days(&expr.left) => {
                expr.right = timestamp(expr.right);
                None
            }
            _ => None,
        };
        Ok(planned.map_or_else(|| PlannerResult::Original(expr), PlannerResult::Planned))
    }
}

fn timestamp(date: Expr) -> Expr {
    cast(date, DataType::Timestamp(TimeUnit::Microsecond, None))
}

/// Whether a date plus this is midnight again: then it stays a date, which compares alike, and by which files are pruned.
fn is_whole_days(interval: &Expr) -> bool {
    matches!(
        interval,
        Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(value)), _) if value.nanoseconds == 0
    ) || matches!(interval, Expr::Literal(ScalarValue::IntervalYearMonth(_), _))
}
