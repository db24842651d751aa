//! The ONE DOOR to the engine: [`QueryService`]. Everything that runs is a QueryExecution here: listed, timed, cancellable.
//!
//! ```text
//! parse -> prepare -> execute:  QUEUED ──permit──> RUNNING ──finish──> SUCCEEDED
//!                                  │                  ├──error───────> FAILED
//!                                  └──────────────────┴──cancel/drop─> CANCELLED
//! ```
//! [`execution`] is one of them, [`history`] what ran and what runs, [`system`] both as `system.queries`.

mod copy;
mod execution;
mod history;
mod slot;
mod system;
mod watchdog;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use futures::StreamExt;
use futures::stream::BoxStream;
use limnos_catalog::{FileVersion, TableName};
use limnos_engine::clock::Clock;
use limnos_engine::execute::{KeptRows, QueryContext, QueryRun};
use limnos_engine::parse::parameter::Parameters;
use limnos_engine::parse::{ParsedStatement, Statement};
use limnos_engine::plan::authorize::Rights;
use limnos_engine::session::accounts::{Accounts, Standing};
use limnos_engine::{CommandTag, Engine, Error, ErrorCode, Notice, Prepared, Result, Session};
use parking_lot::RwLock;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::http::metrics::Sample;
use execution::{Execution, State};
use history::History;
pub use slot::{CancelSlot, CancelWatch};

/// Executions that may work at the same time, per CPU thread. What waits for its client doesn't count.
const ACTIVE_PER_THREAD: usize = 8;

/// Starts, lists and cancels queries.
pub struct QueryService {
    engine: Arc<Engine>,
    history: Arc<History>,
    /// Held while an execution works, not while it waits for its client: an open cursor holds up nobody.
    permits: Arc<Semaphore>,
    statement_timeout: RwLock<Option<Duration>>,
}

impl std::fmt::Debug for QueryService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QueryService").field("engine", &self.engine).finish_non_exhaustive()
    }
}

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
    stream: BoxStream<'static, Result<RecordBatch>>,
    run: Option<Arc<QueryRun>>,
    execution: Arc<Execution>,
    permits: Arc<Semaphore>,
    deadline: Option<Instant>,
}

impl QueryResult {
    /// The next batch, `None` at the end. Honours cancel, `statement_timeout` and shutdown between and inside batches.
    pub async fn next(&mut self) -> Option<Result<RecordBatch>> {
        let stream = &mut self.stream;
        let permits = &self.permits;
        let work = async {
            let _permit = permits.acquire().await.map_err(|_| Error::internal("the queue is closed"))?;
            Ok(stream.next().await)
        };
        match self.execution.guard(self.deadline, work).await {
            Ok(Some(Ok(batch))) => Some(Ok(batch)),
            Ok(None) => None,
            Ok(Some(Err(error))) | Err(error) => {
                let error = self.execution.fail(error);
                Some(Err(error))
            }
        }
    }

    /// Waits for a cancel or the timeout; for who holds the query up with something else than its next batch.
    pub fn stopped(&self) -> impl Future<Output = Error> + use<> {
        let (execution, deadline) = (Arc::clone(&self.execution), self.deadline);
        async move {
            let Err(error) = execution.guard(deadline, std::future::pending::<Result<Infallible>>()).await;
            execution.fail(error)
        }
    }

    /// What is to be told behind the rows.
    pub fn closing_notices(&self) -> Vec<Notice> {
        self.run.as_ref().map(|run| run.closing_notices()).unwrap_or_default()
    }

    /// Bytes that it has read so far.
    pub fn bytes_scanned(&self) -> u64 {
        self.execution.stats.bytes_scanned.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Marks the execution finished (SUCCEEDED with `rows` sent). Dropping without this is a cancel.
    pub fn finish(self, rows: u64) {
        self.execution.succeed(rows);
    }
}

impl Drop for QueryResult {
    fn drop(&mut self) {
        self.execution.abandon();
    }
}

impl QueryService {
    /// What the engine's clock says, in microseconds since 1970.
    pub(crate) fn now_us(&self) -> i64 {
        self.engine.clock().now().timestamp_micros()
    }

    /// Lets the engine write what it has still to write, when no query runs any more.
    pub async fn close(&self) {
        self.engine.close().await;
    }

    /// A service over `engine`. To be called inside a tokio runtime, which carries its watchdog.
    pub fn new(engine: Arc<Engine>) -> Arc<Self> {
        let history = Arc::new(History::new(Arc::clone(engine.clock())));
        engine.system_tables().register(Arc::new(system::Queries(Arc::clone(&history))));
        engine.accounts().set_hasher(Arc::new(crate::auth::scram::verifier_of));
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        watchdog::start(&engine, &history);
        Arc::new(Self {
            engine,
            history,
            permits: Arc::new(Semaphore::new(threads * ACTIVE_PER_THREAD)),
            statement_timeout: RwLock::new(None),
        })
    }

    /// What is kept in memory of datasets.
    pub fn datasets(&self) -> &Arc<limnos_engine::dataset::Datasets> {
        self.engine.datasets()
    }

    /// The clock that everything here reads.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        self.engine.clock()
    }

    /// The server's own `statement_timeout`, for sessions that set none. `None` is never.
    pub fn set_statement_timeout(&self, timeout: Option<Duration>) {
        *self.statement_timeout.write() = timeout;
    }

    /// Splits and parses a text, within the limits.
    ///
    /// # Errors
    /// Syntax errors with position; limits exceeded.
    pub async fn parse(&self, session: &Session, sql: &str) -> Result<Vec<ParsedStatement>> {
        self.engine.parse(sql, session.settings.dialect()).await
    }

    /// As [`Self::parse`], with constants in the place of `{{name}}`.
    ///
    /// # Errors
    /// As [`Self::parse`], and for names that are no parameters.
    pub async fn parse_with(
        &self,
        session: &Session,
        sql: &str,
        parameters: Parameters,
    ) -> Result<Vec<ParsedStatement>> {
        self.engine.parse_with(sql, session.settings.dialect(), parameters).await
    }

    /// The files that a table has now, for who watches it.
    ///
    /// # Errors
    /// As [`Engine::table_files`].
    pub async fn table_files(&self, table: &TableName) -> Result<Vec<FileVersion>> {
        self.engine.table_files(table).await
    }

    /// Resolves names and types of one statement.
    ///
    /// # Errors
    /// As [`Engine::prepare`].
    pub async fn prepare(
        &self,
        session: &Session,
        statement: Arc<ParsedStatement>,
        parameter_types: &[Option<DataType>],
    ) -> Result<Prepared> {
        let work = self.engine.prepare(session, statement, parameter_types);
        match self.timeout(session) {
            None => work.await,
            Some(timeout) => tokio::time::timeout(timeout, work).await.unwrap_or_else(|_| Err(execution::timed_out())),
        }
    }

    /// Runs it. `slot` is the connection's, so that its cancel key reaches this execution.
    ///
    /// # Errors
    /// As [`Engine::execute`].
    pub async fn execute(
        &self,
        session: &mut Session,
        prepared: &Prepared,
        parameters: &[ArrayRef],
        slot: &CancelSlot,
    ) -> Result<QueryResult> {
        if let Statement::Kill { query_id } = &prepared.statement.statement {
            self.kill(session, query_id)?;
        }
        let deadline = self.timeout(session).map(|timeout| Instant::now() + timeout);
        let execution = self.history.start(session, &prepared.statement.sql);
        slot.set(&execution);
        // Dropped before it is handed over (the client is gone): a cancel.
        let unfinished = Abandon(Arc::clone(&execution));
        let context = QueryContext {
            query_id: execution.id.clone(),
            cancel: execution.cancel.clone(),
            stats: Arc::clone(&execution.stats),
        };
        let work = async {
            let permit = self.permits.acquire().await.map_err(|_| Error::internal("the queue is closed"))?;
            execution.run();
            let outcome = Box::pin(self.engine.execute(session, prepared, parameters, context)).await;
            drop(permit);
            outcome
        };
        let outcome = execution.guard(deadline, work).await.map_err(|error| execution.fail(error))?;
        std::mem::forget(unfinished);
        Ok(QueryResult {
            query_id: execution.id.clone(),
            schema: outcome.schema,
            tag: outcome.tag,
            notices: outcome.notices,
            stream: outcome.stream,
            run: outcome.run,
            execution,
            permits: Arc::clone(&self.permits),
            deadline,
        })
    }

    /// A suspended execution goes on: a cancel reaches it again, and the time it may take begins anew.
    pub fn resume(&self, session: &Session, result: &mut QueryResult, slot: &CancelSlot) {
        result.deadline = self.timeout(session).map(|timeout| Instant::now() + timeout);
        slot.set(&result.execution);
    }

    /// A place for the rows of a cursor.
    pub fn keep_rows(&self) -> KeptRows {
        self.engine.keep_rows()
    }

    /// Makes one transaction of several statements that come together, unless `session` has one.
    pub fn begin_implicit(&self, session: &mut Session) {
        self.engine.begin_implicit(session);
    }

    /// Commits such a transaction, if `session` has one.
    ///
    /// # Errors
    /// As COMMIT. The transaction has ended then.
    pub async fn commit_implicit(&self, session: &mut Session) -> Result<()> {
        self.engine.commit_implicit(session).await
    }

    /// Cancels a running query by its id.
    ///
    /// # Errors
    /// [`ErrorCode::UndefinedObject`] when none of that id runs, [`ErrorCode::InsufficientPrivilege`] when another user's.
    fn kill(&self, session: &Session, query_id: &str) -> Result<()> {
        let Some(execution) = self.history.running().into_iter().find(|execution| execution.id == query_id) else {
            return Err(Error::new(ErrorCode::UndefinedObject, format!("query \"{query_id}\" is not running"))
                .with_hint("SELECT query_id FROM system.queries WHERE state = 'RUNNING' lists those that are."));
        };
        let is_own = execution.user == session.user || self.engine.rights(session).has_role("pg_signal_backend");
        if !is_own {
            return Err(Error::new(
                ErrorCode::InsufficientPrivilege,
                format!("query \"{query_id}\" belongs to another user"),
            ));
        }
        execution.cancel(ErrorCode::QueryCanceled, "canceling statement due to user request");
        Ok(())
    }

    /// What the current role of `session` may do.
    pub fn rights(&self, session: &Session) -> Rights {
        self.engine.rights(session)
    }

    /// Which roles there are beside the catalog's.
    pub fn accounts(&self) -> &Arc<Accounts> {
        self.engine.accounts()
    }

    /// What statements run on.
    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// A session for what the server does in the name of `owner`. What belongs to no role is the server's own.
    pub fn session_of_owner(&self, owner: &str, catalog_name: &str) -> Session {
        let session = Session::new(owner, catalog_name);
        match self.engine.accounts().standing(&self.engine.catalog().snapshot(), owner) {
            Standing::Unknown => session.of_process(),
            Standing::Superuser | Standing::Role => session,
        }
    }

    /// Lets SHOW, and what clients are told, say who the session is.
    pub fn tell_identity(&self, session: &mut Session) {
        self.engine.tell_identity(session);
    }

    fn timeout(&self, session: &Session) -> Option<Duration> {
        session.settings.statement_timeout().or(*self.statement_timeout.read())
    }

    /// Waits until nothing runs; what still runs after `deadline` is cancelled as a shutdown does.
    pub async fn drain(&self, deadline: Duration) {
        let until = Instant::now() + deadline;
        while !self.history.running().is_empty() && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        for execution in self.history.running() {
            execution.cancel(ErrorCode::AdminShutdown, "terminating connection due to administrator command");
        }
    }

    /// Figures for `/metrics`.
    pub fn sample(&self) -> Sample {
        let usage = self.engine.usage();
        let running = self.history.running();
        let totals = self.history.totals();
        let live = |counter: fn(&limnos_engine::execute::QueryStats) -> u64| {
            running.iter().map(|execution| counter(&execution.stats)).sum::<u64>()
        };
        use std::sync::atomic::Ordering::Relaxed;
        Sample {
            queries_queued: running.iter().filter(|execution| execution.state() == State::Queued).count() as u64,
            queries_running: running.iter().filter(|execution| execution.state() == State::Running).count() as u64,
            queries_succeeded: totals.succeeded,
            queries_failed: totals.failed,
            queries_cancelled: totals.cancelled,
            scanned_bytes: totals.bytes_scanned + live(|stats| stats.bytes_scanned.load(Relaxed)),
            store_requests: totals.requests + live(|stats| stats.requests.load(Relaxed)),
            spilled_bytes: totals.spilled_bytes,
            memory_used_bytes: usage.memory_used_bytes,
            memory_limit_bytes: usage.memory_limit_bytes,
            footer_cache_hits: usage.footer_hits,
            footer_cache_misses: usage.footer_misses,
            // The listener knows: `serve` adds them.
            ..Sample::default()
        }
    }
}

/// Cancels an execution that is not handed to anyone.
struct Abandon(Arc<Execution>);

impl Drop for Abandon {
    fn drop(&mut self) {
        self.0.abandon();
    }
}
