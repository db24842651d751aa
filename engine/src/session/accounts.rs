//! [`Accounts`]: which roles there are beside the catalog's, and what a name may do by itself.
//!
//! A name is, the first that fits:
//! 1. a user of the server's configuration: a superuser, whatever the catalog says of the name;
//! 2. a role of the catalog, with its attributes;
//! 3. `limnos`, the superuser that every server has, or any name at all as long as no role was ever made: then whoever the
//!    server lets in may do everything, as on a machine of one's own;
//! 4. nobody.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use limnos_catalog::role::PREDEFINED_ROLES;
use limnos_catalog::{BOOTSTRAP_ROLE, Snapshot};
use parking_lot::RwLock;

use crate::{Error, Result};

/// Makes a verifier of a password in clear; gives a verifier back as it is, or says what is wrong with it.
pub type PasswordHasher = Arc<dyn Fn(&str) -> std::result::Result<String, String> + Send + Sync>;

/// What a name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nothing is asked.
    Superuser,
    /// What was granted counts.
    Role,
    /// There is no such role.
    Unknown,
}

/// See the module.
#[derive(Default)]
pub struct Accounts {
    configured: RwLock<BTreeSet<String>>,
    /// Counts how often `configured` was said.
    version: AtomicU64,
    hasher: RwLock<Option<PasswordHasher>>,
}

impl fmt::Debug for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accounts").field("configured", &self.configured.read()).finish_non_exhaustive()
    }
}

impl Accounts {
    /// Says whom the server's configuration names.
    pub fn set_configured(&self, names: impl IntoIterator<Item = String>) {
        *self.configured.write() = names.into_iter().collect();
        self.version.fetch_add(1, Ordering::SeqCst);
    }

    /// Says how passwords become verifiers.
    pub fn set_hasher(&self, hasher: PasswordHasher) {
        *self.hasher.write() = Some(hasher);
    }

    /// Another number whenever the configuration names others.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::SeqCst)
    }

    /// Whether the configuration names it.
    pub fn is_configured(&self, name: &str) -> bool {
        self.configured.read().contains(name)
    }

    /// The users of the configuration.
    pub fn configured(&self) -> Vec<String> {
        self.configured.read().iter().cloned().collect()
    }

    /// What is stored of a password.
    ///
    /// # Errors
    /// A verifier that is none; no way to make one here.
    pub(crate) fn verifier(&self, password: &str) -> Result<String> {
        let hasher = self.hasher.read().clone();
        let hasher = hasher.ok_or_else(|| Error::unsupported("passwords cannot be set here"))?;
        hasher(password).map_err(|reason| Error::new(crate::ErrorCode::InvalidParameterValue, reason))
    }

    /// What `name` is.
    pub fn standing(&self, snapshot: &Snapshot, name: &str) -> Standing {
        if self.is_configured(name) {
            return Standing::Superuser;
        }
        match snapshot.roles.get(name) {
            Some(role) if role.superuser || name == BOOTSTRAP_ROLE => Standing::Superuser,
            Some(_) => Standing::Role,
            None if name == BOOTSTRAP_ROLE || snapshot.roles.is_empty() => Standing::Superuser,
            None if PREDEFINED_ROLES.contains(&name) => Standing::Role,
            None => Standing::Unknown,
        }
    }

    /// As [`Accounts::standing`], for the owner of something: what belongs to nobody belongs to `limnos`.
    pub(crate) fn owner_standing(&self, snapshot: &Snapshot, owner: &str) -> Standing {
        match self.standing(snapshot, owner) {
            Standing::Unknown => Standing::Superuser,
            standing => standing,
        }
    }
}
