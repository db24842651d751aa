//! Makes planning stoppable: DataFusion's rules compute without yielding, so a cancelled statement would hold a thread until
//! its plan is whole. [`stoppable`] puts a look at the query's cancellation between every two rules.

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::error::Result;
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::{AnalyzerRule, OptimizerConfig, OptimizerRule};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

use crate::error::to_datafusion;
use crate::execute::canceled;

/// Fails once its query is cancelled; changes nothing.
#[derive(Debug)]
pub(super) struct StopWhenCanceled(pub(super) CancellationToken);

impl StopWhenCanceled {
    fn look(&self) -> Result<()> {
        if self.0.is_cancelled() { Err(to_datafusion(canceled())) } else { Ok(()) }
    }
}

impl OptimizerRule for StopWhenCanceled {
    fn name(&self) -> &str {
        "stop_when_canceled"
    }

    fn rewrite(&self, plan: LogicalPlan, _config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        self.look().map(|()| Transformed::no(plan))
    }
}

impl AnalyzerRule for StopWhenCanceled {
    fn name(&self) -> &str {
        "stop_when_canceled"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        self.look().map(|()| plan)
    }
}

/// `rules`, each after a look.
pub(super) fn stoppable<R: ?Sized>(rules: &[Arc<R>], look: &Arc<R>) -> Vec<Arc<R>> {
    rules.iter().flat_map(|rule| [Arc::clone(look), Arc::clone(rule)]).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use datafusion::logical_expr::LogicalPlanBuilder;
    use datafusion::optimizer::{Optimizer, OptimizerContext};

    use super::*;
    use crate::{Error, ErrorCode};

    #[test]
    fn a_cancelled_statement_ends_between_two_rules() {
        let cancel = CancellationToken::new();
        let look: Arc<dyn OptimizerRule + Send + Sync> = Arc::new(StopWhenCanceled(cancel.clone()));
        let optimizer = Optimizer::with_rules(stoppable(&Optimizer::new().rules, &look));
        let plan = LogicalPlanBuilder::empty(true).build().unwrap();
        optimizer.optimize(plan.clone(), &OptimizerContext::new(), |_, _| {}).unwrap();
        cancel.cancel();
        let error = optimizer.optimize(plan, &OptimizerContext::new(), |_, _| {}).unwrap_err();
        assert_eq!(Error::from(error).code, ErrorCode::QueryCanceled);
    }
}
