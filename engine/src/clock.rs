//! [`Clock`]: the only place where time comes from, so that tests can hold it.

use std::fmt::Debug;
use std::sync::Arc;

use chrono::{DateTime, Utc};

/// Tells the time.
pub trait Clock: Debug + Send + Sync + 'static {
    /// Now, in UTC.
    fn now(&self) -> DateTime<Utc>;
}

/// The machine's clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "this is the clock that everyone else asks")]
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }
}

/// A clock that stands where it is put.
#[derive(Debug)]
pub struct MockClock(parking_lot::Mutex<DateTime<Utc>>);

impl MockClock {
    /// A clock that shows `now`.
    pub fn new(now: DateTime<Utc>) -> Arc<Self> {
        Arc::new(Self(parking_lot::Mutex::new(now)))
    }

    /// Puts the clock to `now`.
    pub fn set(&self, now: DateTime<Utc>) {
        *self.0.lock() = now;
    }
}

impl Clock for MockClock {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock()
    }
}
