//! Bounds a plan's size before the first rule walks it: references to one CTE share its plan in memory, while every rule walks,
//! copies and rewrites it once for each of them.

use std::collections::HashMap;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::LogicalPlan;

use crate::limits::PLAN_NODES_MAX;
use crate::{Error, ErrorCode, Result};

/// Refuses plans of more than [`PLAN_NODES_MAX`] nodes.
///
/// # Errors
/// [`ErrorCode::StatementTooComplex`].
pub(super) fn check(plan: &LogicalPlan) -> Result<()> {
    if count(plan, &mut HashMap::new())? <= PLAN_NODES_MAX {
        return Ok(());
    }
    Err(Error::new(ErrorCode::StatementTooComplex, "statement is too complex")
        .with_detail(format!("Its plan has more than {PLAN_NODES_MAX} steps."))
        .with_hint("A WITH query or view is planned again wherever it is named; name it less often."))
}

/// The nodes of `plan` as a tree. `counted` knows the shared ones by address, so that counting visits each once.
fn count(plan: &LogicalPlan, counted: &mut HashMap<*const LogicalPlan, usize>) -> Result<usize> {
    let mut nodes = 1_usize;
    for input in plan.inputs() {
        nodes = nodes.saturating_add(count_shared(input, counted)?);
    }
    let mut failed = None;
    plan.apply_subqueries(|subquery| {
        // The node is a copy made for this visit; its input is the shared plan.
        for input in subquery.inputs() {
            match count_shared(input, counted) {
                Ok(more) => nodes = nodes.saturating_add(more),
                Err(error) => failed = Some(error),
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    failed.map_or(Ok(nodes), Err)
}

fn count_shared(plan: &LogicalPlan, counted: &mut HashMap<*const LogicalPlan, usize>) -> Result<usize> {
    let address = std::ptr::from_ref(plan);
    if let Some(nodes) = counted.get(&address) {
        return Ok(*nodes);
    }
    let nodes = count(plan, counted)?;
    counted.insert(address, nodes);
    Ok(nodes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::sync::Arc;

    use datafusion::logical_expr::LogicalPlanBuilder;

    use super::*;

    #[test]
    fn a_plan_that_doubles_forty_times_is_refused_at_once() {
        let mut plan = LogicalPlanBuilder::empty(true).build().unwrap();
        for doublings in 0..40 {
            assert_eq!(check(&plan).is_ok(), doublings <= 13, "{doublings}");
            let shared = Arc::new(plan);
            let schema = Arc::clone(shared.schema());
            let inputs = vec![Arc::clone(&shared), shared];
            plan = LogicalPlan::Union(datafusion::logical_expr::Union { inputs, schema });
        }
    }
}
