//! [`CancelSlot`]: what a connection's cancel key reaches.

use std::sync::{Arc, Weak};

use limnos_engine::ErrorCode;
use parking_lot::Mutex;

use super::execution::Execution;

/// Cancels whatever its connection runs at the moment.
#[derive(Debug, Clone, Default)]
pub struct CancelSlot {
    current: Arc<Mutex<Weak<Execution>>>,
}

impl CancelSlot {
    /// Cancels the running statement, if any, with `reason` as the error's text
    /// (`canceling statement due to user request`).
    pub fn cancel(&self, reason: &'static str) {
        let current = self.current.lock().upgrade();
        if let Some(execution) = current {
            execution.cancel(ErrorCode::QueryCanceled, reason);
        }
    }

    pub(super) fn set(&self, execution: &Arc<Execution>) {
        *self.current.lock() = Arc::downgrade(execution);
    }
}
