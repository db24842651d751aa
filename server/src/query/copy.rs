//! COPY FROM STDIN through the one door: an execution like any other, whose rows come from the client.

use std::sync::Arc;

use arrow::array::RecordBatch;
use futures::stream::BoxStream;
use limnos_engine::execute::QueryContext;
use limnos_engine::parse::ParsedStatement;
use limnos_engine::write::copy_in::{Copied, CopyReject, CopyTarget};
use limnos_engine::{Error, Result, Session};
use tokio::time::Instant;

use super::execution::{self, Execution};
use super::{Abandon, CancelSlot, QueryService};

/// A COPY FROM STDIN that has ended well. Dropping it without [`CopiedIn::finish`] is a cancel in the history.
pub struct CopiedIn {
    /// The QueryExecution's id.
    pub query_id: String,
    /// What it did.
    pub copied: Copied,
    execution: Arc<Execution>,
}

impl CopiedIn {
    /// Marks the execution finished.
    pub fn finish(&self) {
        self.execution.succeed(self.copied.row_count);
    }
}

impl QueryService {
    /// Finds the table and the columns that rows are to be sent for.
    ///
    /// # Errors
    /// As [`limnos_engine::Engine::copy_target`].
    pub async fn copy_target(&self, session: &Session, statement: &ParsedStatement) -> Result<CopyTarget> {
        let work = self.engine.copy_target(session, statement);
        match self.timeout(session) {
            None => work.await,
            Some(timeout) => tokio::time::timeout(timeout, work).await.unwrap_or_else(|_| Err(execution::timed_out())),
        }
    }

    /// Writes `rows`. Dropping the future stops it, and nothing of it is seen.
    ///
    /// # Errors
    /// As [`limnos_engine::Engine::copy_in`].
    pub async fn copy_in(
        &self,
        session: &mut Session,
        statement: &ParsedStatement,
        target: CopyTarget,
        rows: BoxStream<'static, Result<RecordBatch>>,
        slot: &CancelSlot,
    ) -> Result<CopiedIn> {
        let deadline = self.timeout(session).map(|timeout| Instant::now() + timeout);
        let execution = self.history.start(session, &statement.sql);
        slot.set(&execution);
        // Dropped before it has ended (the client is gone): a cancel.
        let unfinished = Abandon(Arc::clone(&execution));
        let context = QueryContext {
            query_id: execution.id.clone(),
            cancel: execution.cancel.clone(),
            stats: Arc::clone(&execution.stats),
        };
        let work = async {
            // It waits its turn, and gives the permit back: what waits for its client holds up nobody.
            drop(self.permits.acquire().await.map_err(|_| Error::internal("the queue is closed"))?);
            execution.run();
            Box::pin(self.engine.copy_in(session, statement, target, rows, context)).await
        };
        let copied = execution.guard(deadline, work).await.map_err(|error| execution.fail(error))?;
        std::mem::forget(unfinished);
        Ok(CopiedIn { query_id: execution.id.clone(), copied, execution })
    }

    /// Keeps rows that a COPY has left out, for `system.rejects`.
    pub fn keep_copy_rejects(&self, target: &CopyTarget, query_id: &str, rejects: &[CopyReject]) {
        self.engine.keep_copy_rejects(target, query_id, rejects);
    }
}
