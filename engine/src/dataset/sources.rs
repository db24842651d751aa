//! [`Sources`]: exactly what a query read for a dataset, where that can be told: the same key that the result cache has for an
//! answer. If a refresh would read the same again, there is nothing to do.

use std::fmt;

use parking_lot::Mutex;

use crate::result_cache::ResultKey;

/// See the module.
#[derive(Default)]
pub(crate) struct Sources(Mutex<Option<ResultKey>>);

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sources").field(&self.0.lock().is_some()).finish()
    }
}

impl Sources {
    /// What `key` names.
    pub(crate) fn of(key: Option<ResultKey>) -> Self {
        Self(Mutex::new(key))
    }

    /// Whether `key` names the same.
    pub(crate) fn are(&self, key: Option<&ResultKey>) -> bool {
        let known = self.0.lock();
        known.is_some() && known.as_ref() == key
    }
}
