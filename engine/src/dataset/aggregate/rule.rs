//! [`AggregateOnCodes`]: finds aggregations of datasets that can be made on codes.
//!
//! It runs after filters have gone into scans and before rows are distributed over threads, where an aggregation is still
//! two nodes, the final above the partial one, and its scan is close below. What it makes is one node; what it can't make stays
//! as it was.

use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::projection::{ProjectionExpr, update_expr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::projection::ProjectionExec;
use limnos_columnar::aggregate::{GROUPS_MAX, KeySpace};

use super::exec::CodeAggregateExec;
use super::gather::Preparing;
use super::key::Key;
use super::scan::Scan;
use super::worker::Aggregation;
use crate::plan::options::StatementOptions;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct AggregateOnCodes;

impl AggregateOnCodes {
    /// Its name among the rules.
    pub(crate) const NAME: &str = "dataset_aggregation";
}

type Rules = Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>>;

/// `rules` with this one among them: where filters are in scans, and rows not yet distributed.
pub(crate) fn with_aggregation_on_codes(mut rules: Rules) -> Rules {
    let after = rules.iter().position(|rule| rule.name() == "FilterPushdown").map_or(0, |at| at + 1);
    rules.insert(after, Arc::new(AggregateOnCodes));
    rules
}

impl PhysicalOptimizerRule for AggregateOnCodes {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn schema_check(&self) -> bool {
        true
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        if StatementOptions::of(config).is_some_and(|options| !options.dataset_aggregation) {
            return Ok(plan);
        }
        plan.transform_down(|plan| {
            Ok(match plan.downcast_ref::<AggregateExec>().and_then(whole).and_then(|aggregate| on_codes(&aggregate)) {
                Some(exec) => Transformed::yes(exec),
                None => Transformed::no(plan),
            })
        })
        .map(|transformed| transformed.data)
    }
}

/// An aggregation in one step, if `aggregate` is the end of one: on top of the rows that are aggregated.
fn whole(aggregate: &AggregateExec) -> Option<AggregateExec> {
    match aggregate.mode() {
        AggregateMode::Single | AggregateMode::SinglePartitioned => Some(aggregate.clone()),
        AggregateMode::Final | AggregateMode::FinalPartitioned => {
            let partial = aggregate.input().downcast_ref::<AggregateExec>()?;
            if *partial.mode() != AggregateMode::Partial {
                return None;
            }
            let single = AggregateExec::try_new(
                AggregateMode::Single,
                partial.group_expr().clone(),
                partial.aggr_expr().to_vec(),
                partial.filter_expr().to_vec(),
                Arc::clone(partial.input()),
                partial.input_schema(),
            )
            .ok()?;
            let same = single.schema() == aggregate.schema();
            (same && partial.limit_options().is_none()).then(|| single.with_limit_options(aggregate.limit_options()))
        }
        _ => None,
    }
}

/// The aggregation of a scan that has changed.
pub(super) fn with_scan(aggregate: &AggregateExec, scan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let input = replace_scan(aggregate.input(), &scan)?;
    let rebuilt = AggregateExec::try_new(
        AggregateMode::Single,
        aggregate.group_expr().clone(),
        aggregate.aggr_expr().to_vec(),
        aggregate.filter_expr().to_vec(),
        input,
        aggregate.input_schema(),
    )?;
    if let Some(exec) = on_codes(&rebuilt) {
        return Ok(exec);
    }
    let input = Arc::new(CoalescePartitionsExec::new(Arc::clone(rebuilt.input())));
    Ok(Arc::new(AggregateExec::try_new(
        AggregateMode::Single,
        rebuilt.group_expr().clone(),
        rebuilt.aggr_expr().to_vec(),
        rebuilt.filter_expr().to_vec(),
        input,
        rebuilt.input_schema(),
    )?))
}

/// The projections above a scan, above another one.
fn replace_scan(plan: &Arc<dyn ExecutionPlan>, scan: &Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    match plan.downcast_ref::<ProjectionExec>() {
        Some(projection) => {
            let below = replace_scan(projection.input(), scan)?;
            Ok(Arc::new(ProjectionExec::try_new(projection.expr().to_vec(), below)?))
        }
        None => Ok(Arc::clone(scan)),
    }
}

/// What makes `aggregate` on codes, if that can be done.
fn on_codes(aggregate: &AggregateExec) -> Option<Arc<dyn ExecutionPlan>> {
    let group_by = aggregate.group_expr();
    // A limit above distinct keys lets DataFusion stop early.
    if group_by.has_grouping_set()
        || !(group_by.is_single() || group_by.is_empty())
        || aggregate.limit_options().is_some()
    {
        return None;
    }
    let mut projections: Vec<&[ProjectionExpr]> = Vec::new();
    let mut below = aggregate.input();
    while let Some(projection) = below.downcast_ref::<ProjectionExec>() {
        projections.push(projection.expr());
        below = projection.input();
    }
    let scan = Scan::of(below)?;
    let schema = below.schema();
    let inline = |expr: &Arc<dyn PhysicalExpr>| -> Option<Arc<dyn PhysicalExpr>> {
        projections.iter().try_fold(Arc::clone(expr), |expr, projection| update_expr(&expr, projection, true).ok()?)
    };

    let mut keys = Vec::with_capacity(group_by.expr().len());
    let mut key_names = Vec::with_capacity(group_by.expr().len());
    for (expr, name) in group_by.expr() {
        keys.push(Key::new(&inline(expr)?, &scan.table, &scan.columns, GROUPS_MAX)?);
        key_names.push(name.clone());
    }
    let space = KeySpace::new(keys.iter().map(|key| key.base).collect(), GROUPS_MAX)?;

    let mut preparing = Preparing {
        table: &scan.table,
        columns: &scan.columns,
        schema: &schema,
        slots: Vec::new(),
        computed: Vec::new(),
        groups: space.groups(),
    };
    let mut gatherings = Vec::with_capacity(aggregate.aggr_expr().len());
    for (expr, filter) in aggregate.aggr_expr().iter().zip(aggregate.filter_expr()) {
        let arguments = expr.expressions().iter().map(inline).collect::<Option<Vec<_>>>()?;
        let filter = match filter {
            Some(filter) => Some(inline(filter)?),
            None => None,
        };
        gatherings.push(preparing.gathering(expr, &arguments, filter.as_ref())?);
    }
    let Preparing { slots, computed, .. } = preparing;
    let mut used = Vec::new();
    let computed = computed.iter().map(|expr| onto(expr, &mut used)).collect::<Option<Vec<_>>>()?;
    let computed_schema = Schema::new(used.iter().map(|at| Arc::clone(&schema.fields()[*at])).collect::<Vec<_>>());
    let computed_columns = used.iter().map(|at| scan.columns[*at]).collect();
    let aggregation = Aggregation {
        keys,
        space,
        gatherings,
        slots,
        computed,
        computed_columns,
        computed_schema: Arc::new(computed_schema),
        scan,
    };
    Some(Arc::new(CodeAggregateExec::new(aggregation, aggregate.clone(), key_names, Arc::clone(below))))
}

/// `expr` over a batch that has only the columns that are used, in the order in which they are first met.
fn onto(expr: &Arc<dyn PhysicalExpr>, used: &mut Vec<usize>) -> Option<Arc<dyn PhysicalExpr>> {
    let moved = Arc::clone(expr).transform(|expr| {
        let Some(column) = expr.downcast_ref::<Column>() else { return Ok(Transformed::no(expr)) };
        let at = super::integer::slot_of(used, column.index());
        Ok(Transformed::yes(Arc::new(Column::new(column.name(), at)) as Arc<dyn PhysicalExpr>))
    });
    moved.ok().map(|moved| moved.data)
}
