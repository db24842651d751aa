//! The ONE DOOR to the engine: [`QueryService`]. Everything that runs is a QueryExecution here: listed, timed, cancellable.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use limnos_engine::parse::ParsedStatement;
use limnos_engine::{CommandTag, Engine, Notice, Prepared, Result, Session};

/// Starts, lists and cancels queries.
#[derive(Debug)]
pub struct QueryService {}

/// The answer of one statement. Dropping it cancels the query.
pub struct QueryResult {
    /// The QueryExecution's id.
    pub query_id: String,
    /// The columns; `None` when the answer is a tag only.
    pub schema: Option<SchemaRef>,
    /// The last word.
    pub tag: CommandTag,
    /// To be told before the rows.
    pub notices: Vec<Notice>,
}

impl QueryResult {
    /// The next batch, `None` at the end. Honours cancel, `statement_timeout` and shutdown between and inside batches.
    pub async fn next(&mut self) -> Option<Result<RecordBatch>> {
        todo!()
    }

    /// Marks the execution finished (SUCCEEDED with `rows` sent). Dropping without this is a cancel.
    pub fn finish(self, _rows: u64) {
        todo!()
    }
}

/// Cancels whatever its connection runs at the moment.
#[derive(Debug, Clone, Default)]
pub struct CancelSlot {}

impl CancelSlot {
    /// Cancels the running statement, if any, with `reason` as the error's text
    /// (`canceling statement due to user request`).
    pub fn cancel(&self, _reason: &str) {
        todo!()
    }
}

impl QueryService {
    /// A service over `engine`.
    pub fn new(_engine: Arc<Engine>) -> Arc<Self> {
        todo!()
    }

    /// Ends the service: new executions are refused (`57P01`), running ones may end until `deadline` has passed, then
    /// they are cancelled (`57P01`). Returns when none runs. Called again it shortens the deadline.
    pub async fn drain(&self, _deadline: std::time::Duration) {
        todo!()
    }

    /// `statement_timeout` of sessions that didn't set their own; `None` is never. What RESET goes back to.
    pub fn set_statement_timeout(&self, _timeout: Option<std::time::Duration>) {
        todo!()
    }

    /// Figures for `/metrics`.
    pub fn sample(&self) -> crate::http::metrics::Sample {
        todo!()
    }

    /// Splits and parses a text, within the limits.
    ///
    /// # Errors
    /// Syntax errors with position; limits exceeded.
    pub async fn parse(&self, _session: &Session, _sql: &str) -> Result<Vec<ParsedStatement>> {
        todo!()
    }

    /// Resolves names and types of one statement.
    ///
    /// # Errors
    /// As [`Engine::prepare`].
    pub async fn prepare(
        &self,
        _session: &Session,
        _statement: Arc<ParsedStatement>,
        _parameter_types: &[Option<DataType>],
    ) -> Result<Prepared> {
        todo!()
    }

    /// Runs it. `slot` is the connection's, so that its cancel key reaches this execution.
    ///
    /// # Errors
    /// As [`Engine::execute`].
    pub async fn execute(
        &self,
        _session: &mut Session,
        _prepared: &Prepared,
        _parameters: &[ArrayRef],
        _slot: &CancelSlot,
    ) -> Result<QueryResult> {
        todo!()
    }
}
