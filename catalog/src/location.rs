//! [`Location`]: where a catalog is kept, as a user writes it.

use std::fmt;
use std::path::PathBuf;

use crate::store::postgres::url::PostgresUrl;
use crate::{Error, Result};

/// Where a catalog is kept.
#[derive(Debug, Clone)]
pub enum Location {
    /// In an SQLite file that one process has alone.
    File(PathBuf),
    /// In a PostgreSQL database that several servers may share.
    Postgres(Box<PostgresUrl>),
}

impl fmt::Display for Location {
    /// A path, or a URL without its password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Postgres(url) => f.write_str(url.name()),
        }
    }
}

impl Location {
    /// `sqlite:PATH` or `postgres://...`.
    ///
    /// # Errors
    /// [`Error::Invalid`] for anything else. It doesn't quote the text, since a password may be in it.
    pub fn parse(text: &str) -> Result<Self> {
        if PostgresUrl::is_one(text) {
            return Ok(Self::Postgres(Box::new(PostgresUrl::parse(text)?)));
        }
        match text.strip_prefix("sqlite:") {
            // A path is a path, but the slashes of a URL are no part of it.
            Some(path) if path.starts_with("///") => Ok(Self::File(PathBuf::from(&path[2..]))),
            Some(path) if !path.is_empty() && !path.starts_with("//") => Ok(Self::File(PathBuf::from(path))),
            _ => Err(Error::Invalid {
                message: "the catalog's place is neither sqlite:PATH nor a postgres:// URL".to_owned(),
                hint: Some("Leave it out to keep the catalog in a file of the data directory.".to_owned()),
            }),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn reads_what_users_write() {
        let path = |text: &str| Location::parse(text).unwrap().to_string();
        assert_eq!(path("sqlite:a/b.db"), "a/b.db");
        assert_eq!(path("sqlite:/a/b.db"), "/a/b.db");
        assert_eq!(path("sqlite:///a/b.db"), "/a/b.db");
        assert_eq!(path("postgresql://u:p@h/d"), "postgres://u@h/d");
        for text in ["", "sqlite:", "sqlite://a/b", "/a/b.db", "mysql://root:hunter2@h/d"] {
            let error = Location::parse(text).unwrap_err();
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }
}
