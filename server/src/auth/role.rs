//! Logging in as a role of the catalog: its verifier, and whether it may. The newest snapshot is asked, which takes no I/O.

use std::collections::HashMap;
use std::sync::Arc;

use limnos_catalog::role::VALID_FOR_EVER;
use limnos_catalog::{BOOTSTRAP_ROLE, Catalog};
use limnos_engine::clock::Clock;
use parking_lot::Mutex;

use super::{Users, Verifier};

/// How many connections each role with a limit has.
type Seats = Arc<Mutex<HashMap<String, u32>>>;

/// The roles of a catalog.
#[derive(Clone)]
pub(super) struct Roles {
    catalog: Arc<Catalog>,
    clock: Arc<dyn Clock>,
    seats: Seats,
}

/// A place among the connections of a role, given back when dropped.
#[derive(Debug)]
pub struct Seat {
    taken: Option<(Seats, String)>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Some((seats, name)) = self.taken.take() else { return };
        let mut seats = seats.lock();
        if let Some(count) = seats.get_mut(&name) {
            *count -= 1;
            if *count == 0 {
                seats.remove(&name);
            }
        }
    }
}

/// Why somebody who has proved who he is may not come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// PostgreSQL's code.
    pub sqlstate: &'static str,
    /// PostgreSQL's words.
    pub message: String,
}

impl Roles {
    /// The verifier of a role that has one which holds yet.
    pub(super) fn verifier(&self, name: &str) -> Option<Verifier> {
        let snapshot = self.catalog.snapshot();
        let role = snapshot.roles.get(name)?;
        let now_us = self.clock.now().timestamp_micros();
        let is_valid = role.valid_until_us.is_none_or(|until| until == VALID_FOR_EVER || until > now_us);
        if !is_valid {
            tracing::info!(user = name, "the role's password has expired");
            return None;
        }
        role.verifier.as_deref()?.parse().ok()
    }
}

impl Users {
    /// Lets the roles of `catalog` log in, too.
    #[must_use]
    pub fn with_roles(mut self, catalog: Arc<Catalog>, clock: Arc<dyn Clock>) -> Self {
        self.roles = Some(Roles { catalog, clock, seats: Seats::default() });
        self
    }

    /// Lets `name`, who has proved to be so, in.
    ///
    /// # Errors
    /// A role that doesn't exist, may not log in, or has as many connections as it may.
    pub fn admit(&self, name: &str) -> Result<Seat, Refusal> {
        let free = Ok(Seat { taken: None });
        let Some(roles) = &self.roles else { return free };
        if self.verifiers.contains_key(name) {
            return free;
        }
        let refused = |sqlstate, message| Err(Refusal { sqlstate, message });
        let snapshot = roles.catalog.snapshot();
        let Some(role) = snapshot.roles.get(name) else {
            // Trust believes any name as long as there are no roles.
            return match name == BOOTSTRAP_ROLE || snapshot.roles.is_empty() {
                true => free,
                false => refused("28000", format!("role \"{name}\" does not exist")),
            };
        };
        if !role.can_login {
            return refused("28000", format!("role \"{name}\" is not permitted to log in"));
        }
        let Some(limit) = role.connection_limit.filter(|_| !role.superuser) else { return free };
        let mut seats = roles.seats.lock();
        let count = seats.get(name).copied().unwrap_or(0);
        if count >= limit {
            return refused("53300", format!("too many connections for role \"{name}\""));
        }
        seats.insert(name.to_owned(), count + 1);
        Ok(Seat { taken: Some((Arc::clone(&roles.seats), name.to_owned())) })
    }

    /// What sessions of `name` begin with (`ALTER ROLE .. SET`).
    pub fn settings(&self, name: &str) -> Vec<(String, String)> {
        let Some(roles) = self.roles.as_ref().filter(|_| !self.verifiers.contains_key(name)) else { return Vec::new() };
        let snapshot = roles.catalog.snapshot();
        let settings = snapshot.roles.get(name).map(|role| role.settings.clone()).unwrap_or_default();
        settings.into_iter().collect()
    }
}
