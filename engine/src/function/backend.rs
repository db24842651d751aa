//! `pg_cancel_backend` and `pg_terminate_backend`: stop what another connection does, or the connection. Who may: its own role,
//! and superusers.

use std::sync::Arc;

use datafusion::common::Result;

use super::FunctionContext;
use super::row_function::{RowFunction, failure};
use crate::plan::pg_catalog::Value;
use crate::session::Backends;
use crate::{Error, ErrorCode};

pub(super) fn functions() -> Vec<RowFunction> {
    vec![
        RowFunction::volatile_asking("pg_cancel_backend", "i", "bool", |caller, args| {
            let Some((backends, pid)) = allowed(caller, &args[0], "whose query is being canceled")? else {
                return Ok(Value::Bool(false));
            };
            Ok(Value::Bool(backends.cancel(pid)))
        }),
        // Never waits for the end, also with a timeout: a connection ends as soon as its socket and its query let it.
        RowFunction::volatile_asking("pg_terminate_backend", "i?i", "bool", |caller, args| {
            if args.get(1).and_then(integer).is_some_and(|timeout| timeout < 0) {
                let error = Error::new(ErrorCode::NumericValueOutOfRange, "\"timeout\" must not be negative");
                return Err(failure(error));
            }
            let Some((backends, pid)) = allowed(caller, &args[0], "whose process is being terminated")? else {
                return Ok(Value::Bool(false));
            };
            Ok(Value::Bool(backends.terminate(pid)))
        }),
    ]
}

fn integer(value: &Value) -> Option<i64> {
    value.as_int()
}

/// The connections and the one that is meant, if it is there and the session's role may stop it.
fn allowed<'a>(context: &'a FunctionContext, pid: &Value, whose: &str) -> Result<Option<(&'a Arc<dyn Backends>, i32)>> {
    let session = &context.session;
    let pid = integer(pid).and_then(|pid| i32::try_from(pid).ok());
    let (Some(backends), Some(pid)) = (&session.backends.0, pid) else { return Ok(None) };
    let Some(user) = backends.user_of(pid) else { return Ok(None) };
    if user != session.user && !session.is_superuser() {
        let message = format!("must be a member of the role {whose} or member of pg_signal_backend");
        return Err(failure(Error::new(ErrorCode::InsufficientPrivilege, message)));
    }
    Ok(Some((backends, pid)))
}
