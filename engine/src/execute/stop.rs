//! Makes joins stoppable. DataFusion's operators look for a cancellation where they read files; a join makes billions of rows
//! out of two files that were read long ago, or throws as many away, and holds its thread for hours: a cancelled query goes
//! on, and no other query gets that thread.
//!
//! ```text
//! AggregateExec
//!   CooperativeExec          put in: whoever drains the join returns to the runtime now and then, where its task is aborted
//!     NestedLoopJoinExec     its filter looks, too: rows that it drops never reach the operator above
//! ```

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, FieldRef, Schema};
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{
    CrossJoinExec, HashJoinExec, NestedLoopJoinExec, PiecewiseMergeJoinExec, SortMergeJoinExec, SymmetricHashJoinExec,
};
use datafusion::physical_plan::unnest::UnnestExec;
use parking_lot::Mutex;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio_util::sync::CancellationToken;

use super::canceled;
use crate::error::to_datafusion;

/// How long a join's filter may hold its thread before the tasks that wait for it go on elsewhere.
const TURN: Duration = Duration::from_millis(100);

/// `plan`, with joins that end when `cancel` is cancelled.
pub(crate) fn stoppable(plan: Arc<dyn ExecutionPlan>, cancel: &CancellationToken) -> Result<Arc<dyn ExecutionPlan>> {
    Ok(plan.transform_up(|plan| stoppable_node(plan, cancel))?.data)
}

fn stoppable_node(
    plan: Arc<dyn ExecutionPlan>,
    cancel: &CancellationToken,
) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    let plan = if let Some(join) = plan.downcast_ref::<NestedLoopJoinExec>() {
        let projection = join.projection().as_ref().map(|columns| columns.to_vec());
        let filter = join.filter().map(|filter| looking(filter, cancel));
        let (left, right) = (Arc::clone(join.left()), Arc::clone(join.right()));
        Arc::new(NestedLoopJoinExec::try_new(left, right, filter, join.join_type(), projection)?)
    } else if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
        match join.filter() {
            Some(filter) => join.builder().with_filter(Some(looking(filter, cancel))).build_exec()?,
            None => plan,
        }
    } else if plan.downcast_ref::<CrossJoinExec>().is_some()
        || plan.downcast_ref::<SortMergeJoinExec>().is_some()
        || plan.downcast_ref::<PiecewiseMergeJoinExec>().is_some()
        || plan.downcast_ref::<SymmetricHashJoinExec>().is_some()
        || plan.downcast_ref::<UnnestExec>().is_some()
    {
        plan
    } else {
        return Ok(Transformed::no(plan));
    };
    Ok(Transformed::yes(Arc::new(CooperativeExec::new(plan))))
}

fn looking(filter: &JoinFilter, cancel: &CancellationToken) -> JoinFilter {
    let expression = StopWhenCanceled {
        inner: Arc::clone(filter.expression()),
        cancel: cancel.clone(),
        turn: Arc::new(Mutex::new(Instant::now())),
    };
    JoinFilter::new(Arc::new(expression), filter.column_indices().to_vec(), Arc::clone(filter.schema()))
}

/// Its inner expression, until the query is cancelled.
#[derive(Debug)]
struct StopWhenCanceled {
    inner: Arc<dyn PhysicalExpr>,
    cancel: CancellationToken,
    /// When the thread was last offered to others.
    turn: Arc<Mutex<Instant>>,
}

impl StopWhenCanceled {
    fn look(&self) -> Result<()> {
        if self.cancel.is_cancelled() {
            return Err(to_datafusion(canceled()));
        }
        let is_over = self.turn.try_lock().is_some_and(|mut began| {
            let is_over = began.elapsed() > TURN;
            if is_over {
                *began = Instant::now();
            }
            is_over
        });
        // Says to the runtime that this thread is busy: what waits for it goes to another one.
        if is_over && Handle::try_current().is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread) {
            tokio::task::block_in_place(|| ());
        }
        Ok(())
    }
}

impl PartialEq for StopWhenCanceled {
    fn eq(&self, other: &Self) -> bool {
        self.inner.eq(&other.inner)
    }
}

impl Eq for StopWhenCanceled {}

impl Hash for StopWhenCanceled {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}

impl fmt::Display for StopWhenCanceled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.inner, f)
    }
}

impl PhysicalExpr for StopWhenCanceled {
    fn data_type(&self, schema: &Schema) -> Result<DataType> {
        self.inner.data_type(schema)
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        self.inner.nullable(schema)
    }

    fn return_field(&self, schema: &Schema) -> Result<FieldRef> {
        self.inner.return_field(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        self.look()?;
        self.inner.evaluate(batch)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.inner]
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        let inner = children.pop().unwrap_or_else(|| Arc::clone(&self.inner));
        Ok(Arc::new(Self { inner, cancel: self.cancel.clone(), turn: Arc::clone(&self.turn) }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt_sql(f)
    }
}
