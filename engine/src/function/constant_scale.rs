//! [`ConstantScale`]: `round(x, 2)` has two digits, which DataFusion sees only where the 2 is a constant. Type coercion wraps it in
//! a cast, and folding comes later, so that a statement was described with other digits than it has.

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Cast, Expr, LogicalPlan};
use datafusion::optimizer::AnalyzerRule;

/// Functions whose second argument is how many digits are left.
const FUNCTIONS: [&str; 2] = ["round", "trunc"];

/// See the module.
#[derive(Debug)]
pub(super) struct ConstantScale;

impl AnalyzerRule for ConstantScale {
    fn name(&self) -> &str {
        "constant_scale"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(rewrite_plan).map(|transformed| transformed.data)
    }
}

fn rewrite_plan(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let names = NamePreserver::new(&plan);
    let rewritten = plan.map_expressions(|expr| {
        let name = names.save(&expr);
        let rewritten = expr.transform_up(rewrite)?;
        Ok(if rewritten.transformed { rewritten.update_data(|expr| name.restore(expr)) } else { rewritten })
    })?;
    if rewritten.transformed { rewritten.map_data(LogicalPlan::recompute_schema) } else { Ok(rewritten) }
}

fn rewrite(mut expr: Expr) -> Result<Transformed<Expr>> {
    if let Expr::ScalarFunction(call) = &mut expr
        && FUNCTIONS.contains(&call.func.name())
        && let [_, scale] = call.args.as_mut_slice()
        && let Expr::Cast(Cast { expr: constant, field }) = scale
        && let Expr::Literal(value, metadata) = constant.as_ref()
    {
        *scale = Expr::Literal(value.cast_to(field.data_type())?, metadata.clone());
        return Ok(Transformed::yes(expr));
    }
    Ok(Transformed::no(expr))
}
