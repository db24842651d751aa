//! The plan runs: runtimes, memory, cancellation, statistics.

mod kept;
mod memory;
mod run;
mod runtime;
mod stats;
mod stop;

pub use kept::KeptRows;
pub(crate) use memory::KeptMemory;
pub use memory::{GlobalMemory, QueryPool};
pub use run::QueryRun;
pub(crate) use run::{BatchStream, canceled, run_plan, single_batch};
pub(crate) use runtime::AbortOnDrop;
pub use runtime::CpuRuntime;
pub use stats::{QueryStats, ResultCacheUse};
pub(crate) use stop::stoppable;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

/// What one execution is given by the one door.
#[derive(Debug, Clone)]
pub struct QueryContext {
    /// The QueryExecution's id, for logs, spill files and error texts.
    pub query_id: String,
    /// Cancelled when the user, a timeout or a shutdown stops the query.
    pub cancel: CancellationToken,
    /// Filled while it runs.
    pub stats: Arc<QueryStats>,
}

impl QueryContext {
    /// A context for planning that no execution follows.
    pub(crate) fn detached(query_id: &str) -> Self {
        Self { query_id: query_id.to_owned(), cancel: CancellationToken::new(), stats: Arc::default() }
    }
}
