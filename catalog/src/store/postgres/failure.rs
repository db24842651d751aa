//! Why a request failed: the connection is gone, which may be mended, or PostgreSQL has refused it, which may not.

use std::future::Future;
use std::time::Duration;

use tokio_postgres::error::SqlState;

use crate::{Error, Result};

/// How long a commit waits for its turn behind those of other servers. A million partitions take a minute.
pub(super) const LOCK_TIMEOUT: Duration = Duration::from_secs(300);

/// When PostgreSQL itself doesn't answer any more, whatever its own timeouts are.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(660);

/// Why a request failed.
pub(super) enum Failed {
    /// The connection is no more.
    Lost(String),
    /// It was told to us.
    Refused(Error),
}

pub(super) type Outcome<T> = Result<T, Failed>;

/// Waits for an answer, but not for ever.
pub(super) async fn answered<T>(answer: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Outcome<T> {
    match tokio::time::timeout(ANSWER_TIMEOUT, answer).await {
        Ok(answer) => answer.map_err(failed),
        Err(_) => Err(Failed::Lost(format!("PostgreSQL has not answered for {} seconds", ANSWER_TIMEOUT.as_secs()))),
    }
}

/// Tells a connection that is gone, or can't be had just now, from what PostgreSQL refuses.
pub(super) fn failed(error: tokio_postgres::Error) -> Failed {
    let message = explain(&error);
    let Some(code) = error.code() else {
        let is_ours = std::error::Error::source(&error).is_some_and(|source| {
            // What we sent, or how we read it: asking again changes nothing.
            !source.is::<std::io::Error>()
        });
        return if is_ours && !error.is_closed() {
            Failed::Refused(Error::Store { message, source: Some(Box::new(error)) })
        } else {
            Failed::Lost(message)
        };
    };
    const GONE: [SqlState; 5] = [
        SqlState::ADMIN_SHUTDOWN,
        SqlState::CRASH_SHUTDOWN,
        SqlState::CANNOT_CONNECT_NOW,
        SqlState::TOO_MANY_CONNECTIONS,
        SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
    ];
    if GONE.contains(code) || code.code().starts_with("08") {
        return Failed::Lost(message);
    }
    Failed::Refused(match *code {
        SqlState::LOCK_NOT_AVAILABLE => Error::Store {
            message: format!("another server has been changing the catalog for {} seconds", LOCK_TIMEOUT.as_secs()),
            source: Some(Box::new(error)),
        },
        // PostgreSQL's indexes have no place for more.
        SqlState::PROGRAM_LIMIT_EXCEEDED => Error::Invalid {
            message: "a name or the values of a partition are too long for a catalog in PostgreSQL".to_owned(),
            hint: Some("Together they may have some 2600 bytes.".to_owned()),
        },
        _ => Error::Store { message, source: Some(Box::new(error)) },
    })
}

/// What an error of the driver says: PostgreSQL's own words, or the causes one after the other.
pub(super) fn explain(error: &tokio_postgres::Error) -> String {
    if let Some(told) = error.as_db_error() {
        let detail = told.detail().map(|detail| format!(" ({detail})")).unwrap_or_default();
        return format!("{}{detail}, SQLSTATE {}", told.message(), told.code().code());
    }
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}
