//! [`Connection`]: what the catalog asks of a database that keeps it. SQLite is one, PostgreSQL the other.
//!
//! Statements are written once, in words that both understand, with `?1`, `?2`, ... for parameters. A driver translates
//! what little differs. Statement texts are constants, so a driver may keep each prepared.

use crate::{Error, Result};

/// A parameter, or a cell of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Value<'a> {
    /// SQL's NULL.
    Null,
    /// A whole number.
    Int(i64),
    /// Text.
    Text(&'a str),
    /// Bytes.
    Blob(&'a [u8]),
}

impl<'a> Value<'a> {
    /// A text that may be NULL.
    pub(crate) fn optional(text: Option<&'a str>) -> Self {
        text.map_or(Self::Null, Self::Text)
    }

    /// The number in a cell that must hold one.
    pub(crate) fn int(self) -> Result<i64> {
        match self {
            Self::Int(number) => Ok(number),
            other => Err(unexpected("a number", other)),
        }
    }

    /// The text in a cell that must hold one.
    pub(crate) fn text(self) -> Result<&'a str> {
        match self {
            Self::Text(text) => Ok(text),
            other => Err(unexpected("text", other)),
        }
    }

    /// The text in a cell that may be NULL.
    pub(crate) fn optional_text(self) -> Result<Option<&'a str>> {
        match self {
            Self::Null => Ok(None),
            other => other.text().map(Some),
        }
    }

    /// The bytes in a cell that must hold some.
    pub(crate) fn blob(self) -> Result<&'a [u8]> {
        match self {
            Self::Blob(bytes) => Ok(bytes),
            other => Err(unexpected("bytes", other)),
        }
    }
}

fn unexpected(wanted: &str, found: Value<'_>) -> Error {
    Error::Store { message: format!("a cell holds {found:?} where {wanted} is kept"), source: None }
}

/// Told of each row of an answer, in order; its error ends the reading.
pub(crate) type OnRow<'a> = dyn FnMut(&[Value<'_>]) -> Result<()> + 'a;

/// One connection, used by one caller at a time.
pub(crate) trait Connection: Send {
    /// Where the catalog is kept, for messages: a path, or a URL without its password.
    fn name(&self) -> &str;

    /// Begins a transaction that nobody else writes beside: a second writer waits here.
    fn begin(&mut self) -> Result<()>;

    /// Begins a transaction that only reads, and sees one state of the catalog all along, whoever writes meanwhile. It ends
    /// with [`Connection::rollback`].
    fn begin_reading(&mut self) -> Result<()>;

    /// Makes everything since [`Connection::begin`] durable.
    fn commit(&mut self) -> Result<()>;

    /// Takes everything since [`Connection::begin`] back. Never fails: where it can't be said, the store does so itself
    /// once the connection is gone.
    fn rollback(&mut self);

    /// Runs a statement; returns how many rows it has changed.
    fn execute(&mut self, sql: &'static str, parameters: &[Value<'_>]) -> Result<u64>;

    /// Runs a statement once for each of `rows`; tells for each how many rows it has changed. A store that is far away
    /// sends many of them before it waits for the first answer.
    fn execute_each(&mut self, sql: &'static str, rows: &[Vec<Value<'_>>]) -> Result<Vec<u64>>;

    /// Runs a query. Outside a transaction it may be asked twice, where the connection is lost: what changes something goes
    /// through [`Connection::execute`], or is in a transaction.
    fn query(&mut self, sql: &'static str, parameters: &[Value<'_>], on_row: &mut OnRow<'_>) -> Result<()>;

    /// Runs statements that have no parameters and no answer: definitions of tables.
    fn execute_script(&mut self, sql: &str) -> Result<()>;
}
