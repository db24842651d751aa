//! What can go wrong in the catalog.

/// The catalog's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Named for the cause; [`Error::hint`] says what to do. Texts follow PostgreSQL's wording.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `kind` is `database`, `table`, `view`, `partition`, `crawler`, `classifier`, `report` or `role`.
    #[error("{kind} \"{name}\" does not exist")]
    NotFound {
        /// What was looked for.
        kind: &'static str,
        /// Its full name.
        name: String,
        /// Near names.
        hint: Option<String>,
    },
    /// The name is taken.
    #[error("{kind} \"{name}\" already exists")]
    AlreadyExists {
        /// What has the name.
        kind: &'static str,
        /// The full name.
        name: String,
    },
    /// `DROP TABLE` of a view and the like.
    #[error("\"{name}\" is not a {expected}")]
    WrongKind {
        /// The full name of what is there.
        name: String,
        /// What the statement is for.
        expected: &'static str,
        /// The statement that fits.
        hint: Option<String>,
    },
    /// `DROP DATABASE` without `CASCADE`.
    #[error("cannot drop database \"{name}\" because it is not empty")]
    NotEmpty {
        /// The database.
        name: String,
        /// How many tables and views it holds.
        table_count: usize,
    },
    /// A definition that can't be: duplicate columns, bad type text, wrong count of partition values.
    #[error("{message}")]
    Invalid {
        /// What is wrong with it.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
    /// The catalog file is damaged, not ours, from a newer version, or in use by another process.
    #[error("catalog \"{path}\" cannot be opened: {reason}")]
    Unusable {
        /// The file.
        path: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// Somebody else has changed the object since the statement looked at it.
    #[error("{kind} \"{name}\" was changed by another statement")]
    Conflict {
        /// `table`, `crawler` or the like.
        kind: &'static str,
        /// The full name.
        name: String,
    },
    /// A write that is to be ended has been: whoever wrote was taken for dead, and its files are deleted.
    #[error("the write was given up: its server was out of touch with the catalog for too long")]
    WriteEnded {
        /// The write.
        id: i64,
    },
    /// The store is another machine's, and there was no answer. What the statement would have changed is as it was, unless
    /// the reason says otherwise.
    #[error("catalog \"{name}\" is out of reach: {reason}")]
    Unreachable {
        /// The store, without a password.
        name: String,
        /// What happened.
        reason: String,
        /// What to do.
        hint: Option<String>,
    },
    /// A file that is exported to or imported from.
    #[error("{message}: {source}")]
    Transfer {
        /// What could not be done.
        message: String,
        /// Why.
        source: std::io::Error,
    },
    /// What is to be dropped or revoked is in use by others.
    #[error("{message}")]
    Dependents {
        /// What can't be done.
        message: String,
        /// Who needs it.
        detail: Option<String>,
        /// What to do.
        hint: Option<String>,
    },
    /// Roles in roles in a circle.
    #[error("role \"{role}\" is a member of role \"{member}\"")]
    Loop {
        /// The role that was to get a member.
        role: String,
        /// The member, in which it is already.
        member: String,
    },
    /// A name that the system keeps for itself.
    #[error("{message}")]
    Reserved {
        /// Which.
        message: String,
        /// Why.
        detail: Option<String>,
    },
    /// Something else needs it.
    #[error("cannot drop {kind} \"{name}\" because {by} uses it")]
    InUse {
        /// What was to be dropped.
        kind: &'static str,
        /// Its name.
        name: String,
        /// What needs it, kind and name.
        by: String,
    },
    /// The store failed.
    #[error("catalog store failed: {message}")]
    Store {
        /// What it says.
        message: String,
        /// The driver's error.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
}

impl Error {
    /// What the user can do, as a full sentence.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::NotFound { hint, .. }
            | Self::WrongKind { hint, .. }
            | Self::Invalid { hint, .. }
            | Self::Dependents { hint, .. }
            | Self::Unreachable { hint, .. } => hint.as_deref(),
            Self::Conflict { .. } | Self::WriteEnded { .. } => Some("Run the statement again."),
            _ => None,
        }
    }
}
