//! [`KeptTexts`]: what texts were parsed to. Parsing depends on nothing but the text and its dialect, so what is kept is
//! always right.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Dialect, ParsedStatement};
use crate::limits::{KEPT_TEXT_BYTES_MAX, KEPT_TEXTS_MAX};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct KeptTexts {
    /// Those that were asked for since `old` was begun, and before.
    inner: Mutex<Generations>,
}

type Texts = HashMap<(Dialect, String), Arc<[ParsedStatement]>>;

/// A text that is asked for moves to the new ones; when they are full, they are the old ones and those are forgotten.
#[derive(Debug, Default)]
struct Generations {
    new: Texts,
    old: Texts,
}

impl KeptTexts {
    /// What `sql` was parsed to.
    pub(crate) fn find(&self, key: &(Dialect, String)) -> Option<Arc<[ParsedStatement]>> {
        let mut inner = self.inner.lock();
        if let Some(known) = inner.new.get(key) {
            return Some(Arc::clone(known));
        }
        let (key, known) = inner.old.remove_entry(key)?;
        inner.insert(key, Arc::clone(&known));
        Some(known)
    }

    /// Keeps it, unless it is large.
    pub(crate) fn keep(&self, key: (Dialect, String), parsed: &[ParsedStatement]) {
        if key.1.len() <= KEPT_TEXT_BYTES_MAX {
            self.inner.lock().insert(key, parsed.into());
        }
    }
}

impl Generations {
    fn insert(&mut self, key: (Dialect, String), parsed: Arc<[ParsedStatement]>) {
        if self.new.len() >= KEPT_TEXTS_MAX / 2 {
            self.old = std::mem::take(&mut self.new);
        }
        self.new.insert(key, parsed);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn texts_in_use_stay_and_others_go() {
        let kept = KeptTexts::default();
        let key = |sql: String| (Dialect::Postgres, sql);
        let parsed = crate::parse::parse("SELECT 1", Dialect::Postgres).unwrap();
        for number in 0..KEPT_TEXTS_MAX * 3 {
            kept.keep(key(format!("SELECT {number}")), &parsed);
            assert!(number == 0 || kept.find(&key("SELECT 0".to_owned())).is_some(), "{number}");
        }
        assert!(kept.find(&key("SELECT 1".to_owned())).is_none());
        assert!(kept.find(&(Dialect::Athena, "SELECT 0".to_owned())).is_none());
        let inner = kept.inner.lock();
        assert!(inner.new.len() + inner.old.len() <= KEPT_TEXTS_MAX);
    }
}
