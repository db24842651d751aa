//! Logging in as a role of the catalog: its verifier, and whether it may. The newest snapshot is asked, which takes no I/O.

use std::sync::Arc;

use limnos_catalog::role::VALID_FOR_EVER;
use limnos_catalog::{BOOTSTRAP_ROLE, Catalog};
use limnos_engine::clock::Clock;

use super::{Standing, Users, Verifier};

/// The roles of a catalog.
#[derive(Clone)]
pub(super) struct Roles {
    catalog: Arc<Catalog>,
    clock: Arc<dyn Clock>,
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

    /// What a role is that the configuration doesn't name.
    pub(super) fn standing(&self, name: &str) -> Standing {
        let snapshot = self.catalog.snapshot();
        let Some(role) = snapshot.roles.get(name) else {
            let superuser = name == BOOTSTRAP_ROLE || snapshot.roles.is_empty();
            return Standing { superuser, ..Standing::default() };
        };
        Standing {
            memberships: snapshot.roles_of(name, false),
            superuser: role.superuser || name == BOOTSTRAP_ROLE,
            connection_limit: role.connection_limit.map(|limit| limit as usize),
        }
    }
}

impl Users {
    /// Lets the roles of `catalog` log in, too.
    #[must_use]
    pub fn with_roles(mut self, catalog: Arc<Catalog>, clock: Arc<dyn Clock>) -> Self {
        self.roles = Some(Roles { catalog, clock });
        self
    }

    /// Whether `name`, who has proved to be so, may come in.
    ///
    /// # Errors
    /// A role that doesn't exist, or may not log in.
    pub fn admit(&self, name: &str) -> Result<(), Refusal> {
        let Some(roles) = self.roles.as_ref().filter(|_| !self.verifiers.contains_key(name)) else { return Ok(()) };
        let refused = |message| Err(Refusal { sqlstate: "28000", message });
        let snapshot = roles.catalog.snapshot();
        match snapshot.roles.get(name) {
            Some(role) if role.can_login => Ok(()),
            Some(_) => refused(format!("role \"{name}\" is not permitted to log in")),
            // Trust believes any name as long as there are no roles.
            None if name == BOOTSTRAP_ROLE || snapshot.roles.is_empty() => Ok(()),
            None => refused(format!("role \"{name}\" does not exist")),
        }
    }

    /// What sessions of `name` begin with (`ALTER ROLE .. SET`).
    pub fn settings(&self, name: &str) -> Vec<(String, String)> {
        let Some(roles) = self.roles.as_ref().filter(|_| !self.verifiers.contains_key(name)) else { return Vec::new() };
        let snapshot = roles.catalog.snapshot();
        let settings = snapshot.roles.get(name).map(|role| role.settings.clone()).unwrap_or_default();
        settings.into_iter().collect()
    }
}
