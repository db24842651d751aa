//! [`CancelSlot`]: what a connection's cancel key reaches.

use std::future::Future;
use std::sync::{Arc, Weak};

use limnos_engine::{Error, ErrorCode, Result};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::execution::Execution;

/// Cancels whatever its connection does at the moment: a statement that runs, or one that is being parsed or planned.
#[derive(Debug, Clone, Default)]
pub struct CancelSlot {
    current: Arc<Mutex<Current>>,
}

#[derive(Debug, Default)]
struct Current {
    execution: Weak<Execution>,
    planning: Option<(CancellationToken, &'static str)>,
}

impl CancelSlot {
    /// Cancels what the connection does, if anything, with `reason` as the error's text
    /// (`canceling statement due to user request`).
    pub fn cancel(&self, reason: &'static str) {
        let execution = {
            let mut current = self.current.lock();
            if let Some((cancel, text)) = &mut current.planning {
                *text = reason;
                cancel.cancel();
            }
            current.execution.upgrade()
        };
        if let Some(execution) = execution {
            execution.cancel(ErrorCode::QueryCanceled, reason);
        }
    }

    /// `work`, which comes before there is an execution, until a cancel.
    ///
    /// # Errors
    /// Those of `work`, or [`ErrorCode::QueryCanceled`].
    pub async fn guard<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let cancel = CancellationToken::new();
        self.current.lock().planning = Some((cancel.clone(), ""));
        let result = tokio::select! {
            biased;
            () = cancel.cancelled() => None,
            result = work => Some(result),
        };
        let planning = self.current.lock().planning.take();
        result.unwrap_or_else(|| {
            let reason = planning.map_or("canceling statement due to user request", |(_, reason)| reason);
            Err(Error::new(ErrorCode::QueryCanceled, reason))
        })
    }

    /// A cancel reaches the watch until it is dropped: for work that has several executions, or none.
    pub fn watch(&self) -> CancelWatch {
        let cancel = CancellationToken::new();
        self.current.lock().planning = Some((cancel.clone(), ""));
        CancelWatch { slot: self.clone(), cancel }
    }

    /// Nothing runs any more: what is suspended is not what a cancel means.
    pub fn rest(&self) {
        self.current.lock().execution = Weak::new();
    }

    /// The id of the execution that was last begun, while it is there.
    pub fn query_id(&self) -> Option<String> {
        self.current.lock().execution.upgrade().map(|execution| execution.id.clone())
    }

    pub(super) fn set(&self, execution: &Arc<Execution>) {
        self.current.lock().execution = Arc::downgrade(execution);
    }
}

/// See [`CancelSlot::watch`].
#[derive(Debug)]
pub struct CancelWatch {
    slot: CancelSlot,
    cancel: CancellationToken,
}

impl CancelWatch {
    /// # Errors
    /// [`ErrorCode::QueryCanceled`] after a cancel.
    pub fn check(&self) -> Result<()> {
        if !self.cancel.is_cancelled() {
            return Ok(());
        }
        let reason = self.slot.current.lock().planning.as_ref().map(|(_, reason)| *reason);
        Err(Error::new(ErrorCode::QueryCanceled, reason.unwrap_or("canceling statement due to user request")))
    }
}

impl Drop for CancelWatch {
    fn drop(&mut self) {
        self.slot.current.lock().planning = None;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_cancel_reaches_planning_and_nothing_after_it() {
        let slot = CancelSlot::default();
        let other = slot.clone();
        let planning = slot.guard(std::future::pending::<Result<()>>());
        let cancel = async move { other.cancel("canceling statement due to user request") };
        let (planned, ()) = tokio::join!(planning, cancel);
        assert_eq!(planned.unwrap_err().code, ErrorCode::QueryCanceled);
        slot.cancel("too late");
        slot.guard(async { Ok(()) }).await.unwrap();
        let watch = slot.watch();
        watch.check().unwrap();
        slot.cancel("canceling statement due to user request");
        assert_eq!(watch.check().unwrap_err().code, ErrorCode::QueryCanceled);
    }
}
