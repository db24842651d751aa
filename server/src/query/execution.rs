//! [`Execution`]: one QueryExecution from its queue to its end.

use std::future::Future;
use std::sync::{Arc, Weak};

use chrono::{DateTime, Utc};
use limnos_engine::clock::Clock;
use limnos_engine::execute::QueryStats;
use limnos_engine::{Error, ErrorCode, Result};
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::history::History;

/// Athena's states of a QueryExecution
/// (<https://docs.aws.amazon.com/athena/latest/APIReference/API_QueryExecutionStatus.html>).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Queued,
    Running,
    Succeeded,
    Failed,
    Cancelled,
}

impl State {
    /// As `system.queries` shows it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Queued => "QUEUED",
            Self::Running => "RUNNING",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::Cancelled => "CANCELLED",
        }
    }
}

/// What changes while it runs.
#[derive(Debug, Clone)]
pub(crate) struct Progress {
    pub(crate) state: State,
    pub(crate) started_at: Option<DateTime<Utc>>,
    pub(crate) ended_at: Option<DateTime<Utc>>,
    pub(crate) rows: u64,
    pub(crate) error: Option<Error>,
}

/// One statement that was asked for.
#[derive(Debug)]
pub(crate) struct Execution {
    pub(crate) id: String,
    pub(crate) user: String,
    pub(crate) database: String,
    pub(crate) client_address: Option<String>,
    pub(crate) sql: String,
    pub(crate) queued_at: DateTime<Utc>,
    pub(crate) stats: Arc<QueryStats>,
    pub(crate) cancel: CancellationToken,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) history: Weak<History>,
    pub(super) progress: Mutex<Progress>,
    /// Why it was cancelled, if it was.
    pub(super) reason: Mutex<Option<(ErrorCode, &'static str)>>,
}

pub(crate) fn timed_out() -> Error {
    Error::new(ErrorCode::QueryCanceled, "canceling statement due to statement timeout")
}

impl Execution {
    pub(crate) fn state(&self) -> State {
        self.progress.lock().state
    }

    /// It has its permit.
    pub(super) fn run(&self) {
        let mut progress = self.progress.lock();
        if progress.state == State::Queued {
            progress.state = State::Running;
            progress.started_at = Some(self.clock.now());
        }
    }

    /// Stops it; what waits for it gets `code` and `reason`. The first reason stays.
    pub(crate) fn cancel(&self, code: ErrorCode, reason: &'static str) {
        self.reason.lock().get_or_insert((code, reason));
        self.cancel.cancel();
    }

    /// `work`, until a cancel or the deadline.
    pub(super) async fn guard<T>(&self, deadline: Option<Instant>, work: impl Future<Output = Result<T>>) -> Result<T> {
        let expired = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(self.canceled()),
            () = expired => {
                self.cancel.cancel();
                Err(timed_out())
            }
            result = work => result,
        }
    }

    fn canceled(&self) -> Error {
        let (code, text) =
            self.reason.lock().unwrap_or((ErrorCode::QueryCanceled, "canceling statement due to user request"));
        Error::new(code, text)
    }

    /// It ended with `error`; what the client shall be told comes back.
    pub(super) fn fail(&self, error: Error) -> Error {
        // The engine's own word for a cancel doesn't know the reason.
        let reason = *self.reason.lock();
        let error = if error.code == ErrorCode::QueryCanceled && reason.is_some() { self.canceled() } else { error };
        let state = match error.code {
            ErrorCode::QueryCanceled | ErrorCode::AdminShutdown => State::Cancelled,
            _ => State::Failed,
        };
        self.end(state, None, Some(error.clone()));
        self.cancel.cancel();
        error
    }

    /// It ended well.
    pub(super) fn succeed(&self, rows: u64) {
        self.end(State::Succeeded, Some(rows), None);
    }

    /// Nobody waits for it any more. Does nothing to one that has ended.
    pub(super) fn abandon(&self) {
        let error = Error::new(ErrorCode::QueryCanceled, "the client went away");
        self.end(State::Cancelled, None, Some(error));
        self.cancel.cancel();
    }

    fn end(&self, state: State, rows: Option<u64>, error: Option<Error>) {
        {
            let mut progress = self.progress.lock();
            if progress.ended_at.is_some() {
                return;
            }
            progress.state = state;
            progress.ended_at = Some(self.clock.now());
            if let Some(rows) = rows {
                progress.rows = rows;
            }
            match &error {
                Some(error) if error.code == ErrorCode::Internal => {
                    tracing::error!(query_id = %self.id, error = %error.message, "query failed for a defect of ours");
                }
                Some(error) => {
                    tracing::debug!(query_id = %self.id, sqlstate = error.code.sqlstate(), error = %error.message, "query ended");
                }
                None => tracing::debug!(query_id = %self.id, rows, "query succeeded"),
            }
            progress.error = error;
        }
        if let Some(history) = self.history.upgrade() {
            history.ended(self);
        }
    }
}
