//! What can go wrong in the catalog.

/// The catalog's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Named for the cause; [`Error::hint`] says what to do. Texts follow PostgreSQL's wording.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `kind` is `database`, `table`, `view` or `partition`.
    #[error("{kind} \"{name}\" does not exist")]
    NotFound { kind: &'static str, name: String, hint: Option<String> },
    /// The name is taken.
    #[error("{kind} \"{name}\" already exists")]
    AlreadyExists { kind: &'static str, name: String },
    /// `DROP TABLE` of a view and the like.
    #[error("\"{name}\" is not a {expected}")]
    WrongKind { name: String, expected: &'static str, hint: Option<String> },
    /// `DROP DATABASE` without `CASCADE`.
    #[error("cannot drop database \"{name}\" because it is not empty")]
    NotEmpty { name: String, table_count: usize },
    /// A definition that can't be: duplicate columns, bad type text, wrong count of partition values.
    #[error("{message}")]
    Invalid { message: String, hint: Option<String> },
    /// The catalog file is damaged or from a newer version.
    #[error("catalog \"{path}\" cannot be opened: {reason}")]
    Unusable { path: String, reason: String },
    /// The store failed.
    #[error("catalog store failed: {0}")]
    Store(#[from] rusqlite::Error),
}

impl Error {
    /// What the user can do, as a full sentence.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::NotFound { hint, .. } | Self::WrongKind { hint, .. } | Self::Invalid { hint, .. } => hint.as_deref(),
            _ => None,
        }
    }
}
