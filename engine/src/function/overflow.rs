//! Arithmetic and casts as PostgreSQL has them. Integer arithmetic that overflows is an error, not a wrapped number: `+`, `-` and `*` on integers become functions over
//! Arrow's checked kernels.
//!
//! DataFusion's own `BinaryExpr` has a checked mode, but its planner never turns it on, and every optimizer pass that
//! rebuilds an expression plans it anew; a function survives them all. Division of decimals is [`numeric_division`]'s, that of floats [`float_math`]'s; casts are
//! [`conversion`]'s. Operands that can't overflow (`DATE`, decimals,
//! floating point) keep their operators, and so their pruning and interval analysis.

use std::cell::Cell;
use std::sync::Arc;

use arrow::array::Datum;
use arrow::compute::kernels::numeric::{add, mul, sub};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue, exec_err};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility,
};
use datafusion::optimizer::AnalyzerRule;
use datafusion::optimizer::analyzer::type_coercion::TypeCoercion;

use super::row_function::failure;
use super::{conversion, float_math, interval, numeric_division};
use crate::input::InputContext;
use crate::plan::options::StatementOptions;
use crate::{Error, ErrorCode};

/// Puts the checked functions in the place of the operators.
#[derive(Debug)]
pub(super) struct ExactArithmetic {
    add: Arc<ScalarUDF>,
    subtract: Arc<ScalarUDF>,
    multiply: Arc<ScalarUDF>,
    divide_decimals: Arc<ScalarUDF>,
    divide_floats: Arc<ScalarUDF>,
}

impl Default for ExactArithmetic {
    fn default() -> Self {
        let function = |operation| {
            Arc::new(ScalarUDF::from(Checked { operation, signature: Signature::any(2, Volatility::Immutable) }))
        };
        Self {
            add: function(Operation::Add),
            subtract: function(Operation::Subtract),
            multiply: function(Operation::Multiply),
            divide_decimals: Arc::new(numeric_division::function()),
            divide_floats: Arc::new(float_math::division()),
        }
    }
}

impl AnalyzerRule for ExactArithmetic {
    fn name(&self) -> &str {
        "exact_arithmetic"
    }

    fn analyze(&self, plan: LogicalPlan, config: &ConfigOptions) -> Result<LogicalPlan> {
        let rewriting = Rewriting { input: StatementOptions::input_of(config), has_quotients: Cell::new(false) };
        let plan = plan.transform_up_with_subqueries(|plan| self.rewrite_plan(plan, &rewriting))?.data;
        // Most quotients are ours since they were planned. What such a late one is compared with, or put into a function with, was
        // made to be of DataFusion's type for it.
        if rewriting.has_quotients.get() { TypeCoercion::new().analyze(plan, config) } else { Ok(plan) }
    }
}

/// One plan on its way through.
struct Rewriting {
    input: InputContext,
    /// Whether a division of decimals has become ours.
    has_quotients: Cell<bool>,
}

impl ExactArithmetic {
    fn rewrite_plan(&self, plan: LogicalPlan, rewriting: &Rewriting) -> Result<Transformed<LogicalPlan>> {
        let mut schema = merge_schema(&plan.inputs());
        if let LogicalPlan::TableScan(scan) = &plan {
            schema.merge(&scan.projected_schema);
        }
        let names = NamePreserver::new(&plan);
        plan.map_expressions(|expr| {
            let name = names.save(&expr);
            let rewritten = expr.transform_up(|expr| self.rewrite_expr(expr, &schema, rewriting))?;
            Ok(if rewritten.transformed { rewritten.update_data(|expr| name.restore(expr)) } else { rewritten })
        })?
        // Quotients have other types than DataFusion's; the nodes above, and the client, must be told.
        .map_data(LogicalPlan::recompute_schema)
    }

    fn rewrite_expr(&self, expr: Expr, schema: &DFSchema, rewriting: &Rewriting) -> Result<Transformed<Expr>> {
        if let Expr::Cast(cast) = &expr {
            return Ok(match cast.expr.get_type(schema) {
                Ok(from) if conversion::applies(&from, &cast.field) => {
                    let function = Arc::new(conversion::function(Arc::clone(&cast.field), rewriting.input));
                    let args = vec![cast.expr.as_ref().clone()];
                    Transformed::yes(Expr::ScalarFunction(ScalarFunction::new_udf(function, args)))
                }
                _ => Transformed::no(expr),
            });
        }
        let Expr::BinaryExpr(BinaryExpr { left, op, right }) = expr else { return Ok(Transformed::no(expr)) };
        let function = match op {
            Operator::Plus => &self.add,
            Operator::Minus => &self.subtract,
            Operator::Multiply => &self.multiply,
            Operator::Divide => &self.divide_decimals,
            op if op.supports_propagation() => return Ok(compare_intervals(binary(left, op, right), schema)),
            _ => return Ok(Transformed::no(binary(left, op, right))),
        };
        // Types that can't be told here (outer references of a subquery) keep the operator.
        let (Ok(left_type), Ok(right_type)) = (self.operand_type(&left, schema), self.operand_type(&right, schema))
        else {
            return Ok(Transformed::no(binary(left, op, right)));
        };
        if op == Operator::Divide && left_type == DataType::Float64 && right_type == DataType::Float64 {
            let args = vec![*left, *right];
            let function = Arc::clone(&self.divide_floats);
            return Ok(Transformed::yes(Expr::ScalarFunction(ScalarFunction::new_udf(function, args))));
        }
        let ours = match op {
            Operator::Divide => numeric_division::applies(&left_type, &right_type),
            _ => left_type.is_integer() && left_type == right_type,
        };
        if !ours {
            return Ok(Transformed::no(binary(left, op, right)));
        }
        rewriting.has_quotients.set(rewriting.has_quotients.get() || op == Operator::Divide);
        let args = vec![*left, *right];
        Ok(Transformed::yes(Expr::ScalarFunction(ScalarFunction::new_udf(Arc::clone(function), args))))
    }

    /// `operand`'s type. Our own functions' type is that of their first argument; to ask DataFusion for it takes the square
    /// of a chain's length, since it writes the name of every operand on the way.
    fn operand_type(&self, operand: &Expr, schema: &DFSchema) -> Result<DataType> {
        let mut innermost = operand;
        while let Expr::ScalarFunction(call) = innermost
            && [&self.add, &self.subtract, &self.multiply].into_iter().any(|own| Arc::ptr_eq(own, &call.func))
            && let Some(first) = call.args.first()
        {
            innermost = first;
        }
        innermost.get_type(schema)
    }
}

fn binary(left: Box<Expr>, op: Operator, right: Box<Expr>) -> Expr {
    Expr::BinaryExpr(BinaryExpr { left, op, right })
}

/// Intervals are compared by their length, a month being 30 days and a day 24 hours; DataFusion compares months first.
fn compare_intervals(expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = expr else { return Transformed::no(expr) };
    let is_interval = |expr: &Expr| matches!(expr.get_type(schema), Ok(DataType::Interval(_)));
    if !is_interval(&left) || !is_interval(&right) {
        return Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right }));
    }
    let length = |expr: Box<Expr>| Box::new(interval::length().call(vec![*expr]));
    Transformed::yes(Expr::BinaryExpr(BinaryExpr { left: length(left), op, right: length(right) }))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Operation {
    Add,
    Subtract,
    Multiply,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Checked {
    operation: Operation,
    signature: Signature,
}

impl ScalarUDFImpl for Checked {
    fn name(&self) -> &str {
        match self.operation {
            Operation::Add => "checked_add",
            Operation::Subtract => "checked_subtract",
            Operation::Multiply => "checked_multiply",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        Ok(arg_types[0].clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [left, right] = args.args.as_slice() else { return exec_err!("{} takes two arguments", self.name()) };
        let kernel: fn(&dyn Datum, &dyn Datum) -> Result<arrow::array::ArrayRef, ArrowError> = match self.operation {
            Operation::Add => add,
            Operation::Subtract => sub,
            Operation::Multiply => mul,
        };
        let constant = matches!((left, right), (ColumnarValue::Scalar(_), ColumnarValue::Scalar(_)));
        let result = match (left, right) {
            (ColumnarValue::Array(left), ColumnarValue::Array(right)) => kernel(left, right),
            (ColumnarValue::Array(left), ColumnarValue::Scalar(right)) => kernel(left, &right.to_scalar()?),
            (ColumnarValue::Scalar(left), ColumnarValue::Array(right)) => kernel(&left.to_scalar()?, right),
            (ColumnarValue::Scalar(left), ColumnarValue::Scalar(right)) => {
                kernel(&left.to_array()?, &right.to_array()?)
            }
        };
        let array = result.map_err(|error| match error {
            ArrowError::ArithmeticOverflow(_) => failure(out_of_range(args.return_field.data_type())),
            other => other.into(),
        })?;
        Ok(if constant {
            ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?)
        } else {
            ColumnarValue::Array(array)
        })
    }
}

fn out_of_range(data_type: &DataType) -> Error {
    let name = match data_type {
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => "smallint",
        DataType::Int32 | DataType::UInt16 => "integer",
        _ => "bigint",
    };
    Error::new(ErrorCode::NumericValueOutOfRange, format!("{name} out of range"))
}
