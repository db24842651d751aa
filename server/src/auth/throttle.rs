//! [`Throttle`]: failed logins are answered ever more slowly, so that nobody guesses a password by trying.
//!
//! Only failures wait: who knows the password is let in at once, unless the same role failed from the same address a moment
//! ago. So a stranger can't lock anybody out from another address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::random;

/// What the first failure waits, and the longest wait; a failed login holds a socket as long, so it is short against the
/// authentication timeout.
const DELAY_MIN: Duration = Duration::from_millis(100);
const DELAY_MAX: Duration = Duration::from_secs(4);

/// A failure is forgotten after this long without another one.
const MEMORY: Duration = Duration::from_secs(600);

/// Most failures that are remembered; a few hundred bytes each. When there are more, the oldest half goes.
const ENTRIES_MAX: usize = 4096;

/// Longer names are remembered by their beginning: a stranger chooses them.
const ROLE_BYTES_MAX: usize = 63;

/// Failures of an address, whatever the role, count as one of the role for this many: trying many roles is slowed as well.
const ADDRESS_SHARE: u32 = 8;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    address: IpAddr,
    /// `None` counts all roles of an address together.
    role: Option<String>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    failures: u32,
    last: Instant,
    not_before: Instant,
}

/// Failed logins by address and role.
#[derive(Debug, Default)]
pub struct Throttle {
    entries: Mutex<HashMap<Key, Entry>>,
}

impl Throttle {
    /// When the next attempt of `role` from `address` may be looked at; `None` is at once.
    pub fn not_before(&self, address: IpAddr, role: &str) -> Option<Instant> {
        let entries = self.entries.lock();
        entries.get(&key(address, Some(role))).map(|entry| entry.not_before).filter(|at| *at > Instant::now())
    }

    /// Counts a failure; gives how many there were and how long its answer has to wait.
    pub fn failed(&self, address: IpAddr, role: &str) -> (u32, Duration) {
        let now = Instant::now();
        let mut entries = self.entries.lock();
        if entries.len() + 2 > ENTRIES_MAX {
            entries.retain(|_, entry| now - entry.last < MEMORY);
            if entries.len() + 2 > ENTRIES_MAX {
                let mut times: Vec<Instant> = entries.values().map(|entry| entry.last).collect();
                times.sort_unstable();
                let middle = times[times.len() / 2];
                entries.retain(|_, entry| entry.last > middle);
            }
        }
        let mut count = |role: Option<&str>| {
            let entry = entries.entry(key(address, role)).or_insert(Entry { failures: 0, last: now, not_before: now });
            if now - entry.last > MEMORY {
                entry.failures = 0;
            }
            entry.failures = entry.failures.saturating_add(1);
            entry.last = now;
            entry.failures
        };
        let of_address = count(None);
        let of_role = count(Some(role));
        let delay = delay(of_role.max(of_address / ADDRESS_SHARE), u32::from_be_bytes(random()));
        if let Some(entry) = entries.get_mut(&key(address, Some(role))) {
            entry.not_before = now + delay;
        }
        (of_role, delay)
    }

    /// Forgets the failures of a role that has logged in.
    pub fn succeeded(&self, address: IpAddr, role: &str) {
        self.entries.lock().remove(&key(address, Some(role)));
    }
}

fn key(address: IpAddr, role: Option<&str>) -> Key {
    let address = match address.to_canonical() {
        // Who has one IPv6 address has a network of them.
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from(u128::from(address) >> 64 << 64)),
        address => address,
    };
    let role = role.map(|role| {
        let mut end = role.len().min(ROLE_BYTES_MAX);
        while !role.is_char_boundary(end) {
            end -= 1;
        }
        role[..end].to_owned()
    });
    Key { address, role }
}

/// Doubles with each failure up to the longest; jitter of a quarter keeps attempts from being told apart by their timing.
fn delay(failures: u32, random: u32) -> Duration {
    let whole = DELAY_MIN.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(DELAY_MAX);
    whole.mul_f64(0.75 + 0.25 * f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

    #[test]
    fn failures_wait_longer_and_longer_up_to_a_bound() {
        for (failures, least, most) in
            [(1, 75, 100), (2, 150, 200), (4, 600, 800), (7, 3000, 4000), (u32::MAX, 3000, 4000)]
        {
            assert_eq!(delay(failures, 0), Duration::from_millis(least));
            assert_eq!(delay(failures, u32::MAX), Duration::from_millis(most));
        }
    }

    #[tokio::test]
    async fn each_address_and_role_has_failures_of_its_own() {
        let throttle = Throttle::default();
        for expected in 1..=3 {
            assert_eq!(throttle.failed(HERE, "ann").0, expected);
        }
        assert!(throttle.not_before(HERE, "ann").is_some());
        assert!(throttle.not_before(HERE, "bob").is_none() && throttle.not_before(THERE, "ann").is_none());
        assert_eq!((throttle.failed(THERE, "ann").0, throttle.failed(HERE, "bob").0), (1, 1));
        throttle.succeeded(HERE, "ann");
        assert!(throttle.not_before(HERE, "ann").is_none());
        assert_eq!(throttle.failed(HERE, "ann").0, 1);
    }

    #[tokio::test]
    async fn many_roles_of_one_address_are_slowed_together() {
        let throttle = Throttle::default();
        let last = (0..100).map(|number| throttle.failed(HERE, &format!("role{number}")).1).last();
        assert!(last.is_some_and(|delay| delay >= Duration::from_secs(3)), "{last:?}");
    }

    #[tokio::test]
    async fn what_is_remembered_is_bounded() {
        let throttle = Throttle::default();
        let long = "x".repeat(10_000);
        for number in 0..20_000_u32 {
            throttle.failed(IpAddr::V4(std::net::Ipv4Addr::from(number)), &long);
        }
        let entries = throttle.entries.lock();
        assert!(entries.len() <= ENTRIES_MAX, "{}", entries.len());
        assert!(entries.keys().all(|key| key.role.as_ref().is_none_or(|role| role.len() <= ROLE_BYTES_MAX)));
    }
}
