//! [`Flights`]: which blocks are on their way, so that who wants one that somebody fetches already can wait for it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::block::{BlockKey, ObjectVersion};

/// How long to wait for a block that another query fetches. Who fetches may be held up by a client that doesn't read its
/// answer: then everybody fetches for themselves.
const WAIT: Duration = if cfg!(test) { Duration::from_millis(50) } else { Duration::from_secs(5) };

/// Blocks on their way.
#[derive(Debug, Clone, Default)]
pub(super) struct Flights {
    by_block: Arc<Mutex<HashMap<BlockKey, watch::Receiver<u64>>>>,
}

/// One request that brings blocks `landed..end`. Dropping it tells those who wait.
#[derive(Debug)]
pub(super) struct Flight {
    flights: Flights,
    object: ObjectVersion,
    landed: watch::Sender<u64>,
    end: u64,
}

/// A ticket for a block that is on its way.
#[derive(Debug)]
pub(super) struct Awaited(watch::Receiver<u64>, u64);

impl Awaited {
    /// Whether it has come. If not, it won't, or not soon.
    pub(super) async fn has_landed(mut self) -> bool {
        let number = self.1;
        let landing = self.0.wait_for(|landed| *landed > number);
        matches!(tokio::time::timeout(WAIT, landing).await, Ok(Ok(_)))
    }
}

impl Flights {
    /// The block, if somebody fetches it.
    pub(super) fn find(&self, key: &BlockKey) -> Option<Awaited> {
        self.by_block.lock().get(key).map(|landed| Awaited(landed.clone(), key.number))
    }

    /// Takes `start..end` upon oneself, as far as nobody else has: up to the first block that somebody fetches.
    /// `None` when that is the first.
    pub(super) fn start(&self, object: &ObjectVersion, start: u64, end: u64) -> Option<Flight> {
        let (landed, receiver) = watch::channel(start);
        let mut flight = Flight { flights: self.clone(), object: object.clone(), landed, end: start };
        flight.extend_with(end, &receiver);
        (flight.end > start).then_some(flight)
    }
}

impl Flight {
    /// The block behind the last one.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// More blocks come, for the object turned out to be so long.
    pub(super) fn extend(&mut self, end: u64) {
        let receiver = self.landed.subscribe();
        self.extend_with(end, &receiver);
    }

    fn extend_with(&mut self, end: u64, receiver: &watch::Receiver<u64>) {
        let mut by_block = self.flights.by_block.lock();
        while self.end < end {
            let key = BlockKey { object: self.object.clone(), number: self.end };
            if by_block.contains_key(&key) {
                return;
            }
            by_block.insert(key, receiver.clone());
            self.end += 1;
        }
    }

    /// Block `number` and all before it are in the cache.
    pub(super) fn land(&self, number: u64) {
        let before = self.landed.send_replace(number + 1);
        self.forget(before..number + 1);
    }

    fn forget(&self, numbers: std::ops::Range<u64>) {
        let mut by_block = self.flights.by_block.lock();
        for number in numbers.start..numbers.end.min(self.end) {
            by_block.remove(&BlockKey { object: self.object.clone(), number });
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let landed = *self.landed.borrow();
        self.forget(landed..self.end);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use object_store::path::Path;

    use super::*;

    #[tokio::test]
    async fn a_block_is_fetched_by_one_and_awaited_by_others() {
        let flights = Flights::default();
        let object = ObjectVersion::new("s3://b", &Path::from("x"), "1");
        let key = |number| BlockKey { object: object.clone(), number };
        let first = flights.start(&object, 3, 6).unwrap();
        assert!(flights.start(&object, 3, 4).is_none());
        let mut second = flights.start(&object, 1, 9).unwrap();
        assert_eq!(second.end(), 3);
        assert!(flights.find(&key(6)).is_none());
        let (four, five) = (flights.find(&key(4)).unwrap(), flights.find(&key(5)).unwrap());
        first.land(4);
        assert!(flights.find(&key(4)).is_none());
        assert!(four.has_landed().await);
        drop(first);
        assert!(!five.has_landed().await, "nobody brings it any more");
        second.extend(8);
        assert_eq!(second.end(), 8);
        assert!(!flights.find(&key(7)).unwrap().has_landed().await, "who fetches is held up");
        drop(second);
        assert!(flights.by_block.lock().is_empty());
    }
}
