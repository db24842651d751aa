//! What can go wrong with a table in memory or on disk.

use std::io;
use std::path::{Path, PathBuf};

use arrow::error::ArrowError;

/// As `std::result::Result`.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, by cause.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A batch has not the table's columns.
    #[error("rows don't fit the table: {0}")]
    Mismatch(String),
    /// The caller used the builder out of turn.
    #[error("{0}")]
    Misuse(&'static str),
    /// Too much of something.
    #[error("{0}")]
    Limit(String),
    /// A saved table can't be read back: torn, changed, or of another version.
    #[error("file \"{}\" is corrupt: {reason}", file.display())]
    Corrupt {
        /// Which file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The operating system refused.
    #[error("file \"{}\": {source}", file.display())]
    Io {
        /// Which file or folder.
        file: PathBuf,
        /// What it said.
        #[source]
        source: io::Error,
    },
    /// Arrow refused.
    #[error(transparent)]
    Arrow(#[from] ArrowError),
}

impl Error {
    pub(crate) fn corrupt(file: &Path, reason: impl Into<String>) -> Self {
        Self::Corrupt { file: file.to_owned(), reason: reason.into() }
    }

    pub(crate) fn io(file: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self::Io { file: file.to_owned(), source }
    }
}
