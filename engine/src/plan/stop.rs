//! Makes planning stoppable: DataFusion's rules compute without yielding, so a cancelled statement would hold a thread until
//! its plan is whole. [`stoppable`] puts a look at the query's cancellation between every two rules.

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::error::Result;
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::{AnalyzerRule, OptimizerConfig, OptimizerRule};
use std::sync::Arc;

use super::options::StatementOptions;
use crate::error::to_datafusion;
use crate::execute::canceled;

/// Fails once its query is cancelled; changes nothing. The same for all statements.
#[derive(Debug)]
struct StopWhenCanceled;

fn look(config: &ConfigOptions) -> Result<()> {
    match StatementOptions::of(config) {
        Some(options) if options.cancel.is_cancelled() => Err(to_datafusion(canceled())),
        _ => Ok(()),
    }
}

impl OptimizerRule for StopWhenCanceled {
    fn name(&self) -> &str {
        "stop_when_canceled"
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        look(config.options().as_ref()).map(|()| Transformed::no(plan))
    }
}

impl AnalyzerRule for StopWhenCanceled {
    fn name(&self) -> &str {
        "stop_when_canceled"
    }

    fn analyze(&self, plan: LogicalPlan, config: &ConfigOptions) -> Result<LogicalPlan> {
        look(config).map(|()| plan)
    }
}

/// Optimizer rules, each after a look.
pub(crate) fn stoppable_optimizer(
    rules: &[Arc<dyn OptimizerRule + Send + Sync>],
) -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    stoppable(rules, &(Arc::new(StopWhenCanceled) as _))
}

/// Analyzer rules, each after a look.
pub(crate) fn stoppable_analyzer(
    rules: &[Arc<dyn AnalyzerRule + Send + Sync>],
) -> Vec<Arc<dyn AnalyzerRule + Send + Sync>> {
    stoppable(rules, &(Arc::new(StopWhenCanceled) as _))
}

fn stoppable<R: ?Sized>(rules: &[Arc<R>], look: &Arc<R>) -> Vec<Arc<R>> {
    rules.iter().flat_map(|rule| [Arc::clone(look), Arc::clone(rule)]).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use datafusion::logical_expr::LogicalPlanBuilder;
    use datafusion::optimizer::{Optimizer, OptimizerContext};

    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::input::InputContext;
    use crate::{Error, ErrorCode};

    #[test]
    fn a_cancelled_statement_ends_between_two_rules() {
        let cancel = CancellationToken::new();
        let optimizer = Optimizer::with_rules(stoppable_optimizer(&Optimizer::new().rules));
        let mut config = ConfigOptions::new();
        let (input, caller) = (InputContext::default(), None);
        config.extensions.insert(StatementOptions { input, caller, cancel: cancel.clone(), dataset_aggregation: true });
        let context = OptimizerContext::new_with_config_options(Arc::new(config));
        let plan = LogicalPlanBuilder::empty(true).build().unwrap();
        optimizer.optimize(plan.clone(), &context, |_, _| {}).unwrap();
        cancel.cancel();
        let error = optimizer.optimize(plan, &context, |_, _| {}).unwrap_err();
        assert_eq!(Error::from(error).code, ErrorCode::QueryCanceled);
    }
}
