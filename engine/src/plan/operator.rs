//! [`IntervalOperators`]: `interval * number` and `interval / number`, which DataFusion lacks.

use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{Expr, ExprSchemable};
use datafusion::sql::sqlparser::ast::BinaryOperator;

use crate::function::{interval_divide, interval_multiply};

/// See the module. To be asked before DataFusion's own planners.
#[derive(Debug)]
pub(crate) struct IntervalOperators;

impl ExprPlanner for IntervalOperators {
    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        if !matches!(expr.op, BinaryOperator::Multiply | BinaryOperator::Divide) {
            return Ok(PlannerResult::Original(expr));
        }
        let (Ok(left), Ok(right)) = (expr.left.get_type(schema), expr.right.get_type(schema)) else {
            return Ok(PlannerResult::Original(expr));
        };
        let is_interval = |data_type: &DataType| matches!(data_type, DataType::Interval(_));
        let planned: Option<Expr> = match expr.op {
            BinaryOperator::Multiply if is_interval(&left) && right.is_numeric() => {
                Some(interval_multiply().call(vec![expr.left.clone(), expr.right.clone()]))
            }
            BinaryOperator::Multiply if left.is_numeric() && is_interval(&right) => {
                Some(interval_multiply().call(vec![expr.right.clone(), expr.left.clone()]))
            }
            BinaryOperator::Divide if is_interval(&left) && right.is_numeric() => {
                Some(interval_divide().call(vec![expr.left.clone(), expr.right.clone()]))
            }
            _ => None,
        };
        Ok(planned.map_or_else(|| PlannerResult::Original(expr), PlannerResult::Planned))
    }
}
