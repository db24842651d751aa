//! Credentials -> [`Identity`]: who may connect ([`hba`]), and how they prove it ([`scram`]); [`throttle`] slows those who
//! guess.

pub mod hba;
mod role;
pub mod scram;
pub mod throttle;

use std::collections::{BTreeSet, HashMap};

pub use hba::Rules;
pub use role::Refusal;
pub use scram::Verifier;
pub use throttle::Throttle;

use crate::serve::DEFAULT_USER;

/// Who a connection is. Made only after authentication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The role's name.
    pub user: String,
    /// Whether the slots that are reserved are for it.
    pub superuser: bool,
    /// Most connections of the role; `None` is no limit.
    pub connection_limit: Option<usize>,
}

/// What is known of a role before it has proven anything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// The roles that it is a member of, direct or not.
    pub memberships: BTreeSet<String>,
    /// Whether it is a superuser.
    pub superuser: bool,
    /// Most connections of the role; `None` is no limit.
    pub connection_limit: Option<usize>,
}

/// How clients of one listener prove who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AuthMethod {
    /// They don't: the name they give is believed. For loopback only.
    Trust,
    /// SCRAM-SHA-256: the password never crosses the wire, and what is stored doesn't log anyone in.
    #[default]
    ScramSha256,
}

/// The users with their verifiers.
#[derive(Clone)]
pub struct Users {
    verifiers: HashMap<String, Verifier>,
    /// Makes the salt shown for names that don't exist.
    mock_secret: [u8; 32],
    /// The catalog's roles, for names that the configuration hasn't.
    roles: Option<role::Roles>,
}

/// Shows names only: verifiers let their holder guess passwords offline.
impl std::fmt::Debug for Users {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Users").field("names", &self.verifiers.keys()).finish_non_exhaustive()
    }
}

impl Default for Users {
    fn default() -> Self {
        Self { verifiers: HashMap::new(), mock_secret: random(), roles: None }
    }
}

impl Users {
    /// Users from a configuration's map of names to secrets; each is a PostgreSQL verifier
    /// (`SCRAM-SHA-256$4096:salt$StoredKey:ServerKey`) or a password in plain text.
    ///
    /// # Errors
    /// A text for people when a secret looks like a verifier and isn't one, or is empty.
    pub fn from_secrets<'a>(secrets: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, String> {
        let mut users = Self::default();
        for (name, secret) in secrets {
            users.insert(name, secret)?;
        }
        Ok(users)
    }

    /// Keeps the salts of unknown names the same over restarts, as those of stored verifiers are. `secret` is to be kept
    /// in the data directory.
    #[must_use]
    pub fn with_mock_secret(mut self, secret: [u8; 32]) -> Self {
        self.mock_secret = secret;
        self
    }

    /// Adds or replaces a user.
    ///
    /// # Errors
    /// As [`Users::from_secrets`].
    pub fn insert(&mut self, name: &str, secret: &str) -> Result<(), String> {
        if secret.is_empty() {
            return Err(format!("the password of user \"{name}\" is empty"));
        }
        let verifier = if secret.starts_with(scram::VERIFIER_PREFIX) {
            secret.parse().map_err(|error| format!("the password of user \"{name}\" is not usable: {error}"))?
        } else {
            Verifier::from_password(secret)
        };
        self.verifiers.insert(name.to_owned(), verifier);
        Ok(())
    }

    /// Whether no user can log in.
    pub fn is_empty(&self) -> bool {
        self.verifiers.is_empty()
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.verifiers.keys().map(String::as_str)
    }

    /// The verifier of `name`, or for an unknown name one that looks the same from outside and that no password matches,
    /// so that names can't be found out by trying.
    pub fn verifier(&self, name: &str) -> Verifier {
        // Made for known names as well: how long it takes must not tell them apart.
        let mock = Verifier::mock(name, &self.mock_secret);
        let of_role = || self.roles.as_ref().and_then(|roles| roles.verifier(name));
        self.verifiers.get(name).cloned().or_else(of_role).unwrap_or(mock)
    }

    /// What is known of a role. Users of the configuration, and whoever comes where no role was ever made, are superusers.
    pub fn standing(&self, name: &str) -> Standing {
        if self.verifiers.contains_key(name) {
            return Standing { superuser: true, ..Standing::default() };
        }
        match &self.roles {
            Some(roles) => roles.standing(name),
            None => Standing { superuser: name == DEFAULT_USER, ..Standing::default() },
        }
    }
}

/// Bytes from the operating system's generator.
///
/// # Panics
/// When the system has no randomness: nothing secret can be made then.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}
