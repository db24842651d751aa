//! Credentials -> [`Identity`]: who may connect, and how they prove it.

mod role;
pub mod scram;

use std::collections::HashMap;

pub use role::{Refusal, Seat};
pub use scram::Verifier;

/// Who a connection is. Made only after authentication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The role's name.
    pub user: String,
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
        let of_role = || self.roles.as_ref().and_then(|roles| roles.verifier(name));
        self.verifiers.get(name).cloned().or_else(of_role).unwrap_or_else(|| Verifier::mock(name, &self.mock_secret))
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
