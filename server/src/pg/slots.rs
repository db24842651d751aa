//! [`Slots`]: how many are connected, all together and by role. [`Handshakes`]: how many of an address want to be.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::error::PgError;
use crate::auth::Identity;
use crate::limits::HANDSHAKES_OF_ADDRESS_MAX;

/// The connections that may be.
#[derive(Debug)]
pub(crate) struct Slots {
    max: usize,
    /// Of `max`, kept for superusers.
    reserved: usize,
    /// Shared with who shows it.
    open: Arc<AtomicUsize>,
    by_role: Mutex<HashMap<String, usize>>,
}

/// One of them, given back when dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    slots: Arc<Slots>,
    role: String,
}

impl Slots {
    pub(crate) fn new(max: usize, reserved: usize, open: Arc<AtomicUsize>) -> Arc<Self> {
        Arc::new(Self { max, reserved, open, by_role: Mutex::default() })
    }

    /// A place for one who has proven who they are.
    ///
    /// # Errors
    /// `53300`, in PostgreSQL's words.
    pub(crate) fn take(self: &Arc<Self>, identity: &Identity) -> Result<Slot, PgError> {
        // Under one lock, so that two can't take the last place.
        let mut by_role = self.by_role.lock();
        let open = self.open.load(Ordering::Acquire);
        let refused = |message: String| Err(PgError::new("53300", message).fatal());
        if open >= self.max {
            return refused("sorry, too many clients already".to_owned());
        }
        if open + self.reserved >= self.max && !identity.superuser {
            return refused(
                "remaining connection slots are reserved for non-replication superuser connections".to_owned(),
            );
        }
        let of_role = by_role.get(&identity.user).copied().unwrap_or(0);
        // As in PostgreSQL, superusers have no limit.
        if identity.connection_limit.is_some_and(|limit| of_role >= limit) && !identity.superuser {
            return refused(format!("too many connections for role \"{}\"", identity.user));
        }
        by_role.insert(identity.user.clone(), of_role + 1);
        self.open.store(open + 1, Ordering::Release);
        Ok(Slot { slots: Arc::clone(self), role: identity.user.clone() })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut by_role = self.slots.by_role.lock();
        if let Some(count) = by_role.get_mut(&self.role) {
            *count -= 1;
            if *count == 0 {
                by_role.remove(&self.role);
            }
        }
        self.slots.open.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Connections by address that have not logged in yet.
#[derive(Debug, Default)]
pub(crate) struct Handshakes {
    by_address: Mutex<HashMap<IpAddr, usize>>,
}

/// One of them, given back when dropped.
#[derive(Debug)]
pub(crate) struct Handshake<'a> {
    handshakes: &'a Handshakes,
    address: IpAddr,
}

impl Handshakes {
    /// `None` when the address has too many: others shall find a place, too.
    pub(crate) fn take(&self, address: IpAddr) -> Option<Handshake<'_>> {
        let mut by_address = self.by_address.lock();
        let count = by_address.entry(address).or_default();
        if *count >= HANDSHAKES_OF_ADDRESS_MAX {
            return None;
        }
        *count += 1;
        Some(Handshake { handshakes: self, address })
    }
}

impl Drop for Handshake<'_> {
    fn drop(&mut self) {
        let mut by_address = self.handshakes.by_address.lock();
        if let Some(count) = by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn identity(user: &str, connection_limit: Option<usize>) -> Identity {
        Identity { user: user.to_owned(), superuser: user == "root", connection_limit }
    }

    #[test]
    fn the_last_slots_are_for_superusers() {
        let open = Arc::new(AtomicUsize::new(0));
        let slots = Slots::new(4, 2, Arc::clone(&open));
        let refusal = |user: &str| slots.take(&identity(user, None)).unwrap_err();
        let held = [slots.take(&identity("ann", None)).unwrap(), slots.take(&identity("bob", None)).unwrap()];
        assert!(refusal("ann").message.starts_with("remaining connection slots are reserved"));
        let root = [slots.take(&identity("root", Some(0))).unwrap(), slots.take(&identity("root", None)).unwrap()];
        for user in ["ann", "root"] {
            let error = refusal(user);
            assert_eq!((error.sqlstate, error.message.as_str()), ("53300", "sorry, too many clients already"));
            assert!(error.fatal);
        }
        drop((held, root));
        assert_eq!((open.load(Ordering::Acquire), slots.by_role.lock().len()), (0, 0));
    }

    #[test]
    fn one_address_leaves_handshakes_to_others() {
        let handshakes = Handshakes::default();
        let address = |last: u8| IpAddr::from([10, 0, 0, last]);
        let held: Vec<_> = (0..HANDSHAKES_OF_ADDRESS_MAX).map(|_| handshakes.take(address(1)).unwrap()).collect();
        assert!(handshakes.take(address(1)).is_none() && handshakes.take(address(2)).is_some());
        drop(held);
        assert!(handshakes.by_address.lock().is_empty() && handshakes.take(address(1)).is_some());
    }

    #[test]
    fn a_role_may_have_a_limit_of_its_own() {
        let slots = Slots::new(100, 0, Arc::default());
        let first = slots.take(&identity("ann", Some(1))).unwrap();
        assert_eq!(slots.take(&identity("ann", Some(1))).unwrap_err().message, "too many connections for role \"ann\"");
        slots.take(&identity("bob", Some(1))).unwrap();
        drop(first);
        slots.take(&identity("ann", Some(1))).unwrap();
    }
}
