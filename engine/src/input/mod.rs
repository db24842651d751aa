//! Text -> values, as the input functions of PostgreSQL's types read it: `'2024-1-5'::date`, `' 12 '::int`, `'yes'::bool`,
//! `'1 day 02:03'::interval`. Casts, parameters and settings all read here, so that none knows another's spellings.
//!
//! ```text
//! token::split ── fields ──┬─ datetime (date, time, timestamp, timestamptz)
//!                          └─ interval
//! number, boolean, bytes, uuid, json: one each
//! ```
//! The algorithms are PostgreSQL 15's (`datetime.c`, `numutils.c`, `numeric.c`, `float.c`), down to what they refuse and in
//! which words.

mod datetime;
mod interval;
mod json;
mod number;
mod plain;
mod token;
mod word;

use crate::session::Zone;
use crate::session::settings::{DateOrder, IntervalStyle};
use crate::{Error, ErrorCode, Session};

pub use datetime::{date, time, time_with_zone, timestamp, timestamp_with_zone};
pub use interval::{Interval, interval};
pub use json::{canonical as canonical_json, check as check_json};
pub use number::{Decimal, decimal, float4, float8, integer, oid};
pub use plain::{boolean, bytes, uuid};

/// What the meaning of a text depends on beside the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct InputContext {
    /// What `1/2/2024` is.
    pub order: DateOrder,
    /// Where a text without a zone was written.
    pub zone: Zone,
    /// What the sign of `-1 1:00` covers.
    pub interval_style: IntervalStyle,
    /// Now, in microseconds since 1970: what `now`, `today` and their kin mean. Where there is none they are refused.
    pub now: Option<i64>,
}

impl InputContext {
    /// As the session's settings have it.
    pub fn of(session: &Session, now: Option<i64>) -> Self {
        let settings = &session.settings;
        Self { order: settings.date_order(), zone: settings.zone(), interval_style: settings.interval_style(), now }
    }
}

impl Default for InputContext {
    fn default() -> Self {
        Self { order: DateOrder::Mdy, zone: Zone::utc(), interval_style: IntervalStyle::Postgres, now: None }
    }
}

/// What PostgreSQL's input functions skip. Unicode's other spaces are text.
pub(crate) fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\n' | '\r' | '\u{b}' | '\u{c}')
}

pub(crate) fn trim(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// `22P02`, in PostgreSQL's words.
pub(crate) fn invalid(type_name: &str, text: &str) -> Error {
    let message = format!("invalid input syntax for type {type_name}: \"{text}\"");
    Error::new(ErrorCode::InvalidTextRepresentation, message)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
