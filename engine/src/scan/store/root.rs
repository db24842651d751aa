//! [`Root`]: one place that SQL may read or write, and the question whether a location lies inside it.

use std::path::{Component, Path, PathBuf};

use super::remote::Provider;
use crate::{Error, ErrorCode, Result};

/// A configured root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Root {
    /// A folder, canonical.
    Local(PathBuf),
    /// A remote store (`s3://bucket`) and a key prefix that is empty or ends at a `/`.
    Remote { provider: Provider, store_url: String, prefix: String },
}

/// What a location text says, before it is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// An absolute path without `.` and `..`.
    Local { path: PathBuf, is_folder: bool },
    /// A remote store and a key without leading or trailing `/`.
    Remote { provider: Provider, store_url: String, key: String, is_folder: bool },
}

/// The error of a text that names nothing we can reach. It has the code of a location outside the roots: what can't be
/// understood can't be allowed.
pub(super) fn not_a_location(location: &str, reason: &str) -> Error {
    Error::new(ErrorCode::LocationNotAllowed, format!("location \"{location}\" is not valid: {reason}")).with_hint(
        "A location is a local path, file:///path, s3://bucket/prefix, az://container/prefix or gs://bucket/prefix.",
    )
}

impl Target {
    /// Reads `s3://`, `s3a://`, `s3n://`, `az://`, `abfs[s]://`, `gs://`, `file:` and plain paths.
    pub(super) fn parse(location: &str) -> Result<Self> {
        if location.is_empty() {
            return Err(not_a_location(location, "it is empty"));
        }
        if location.contains('\0') {
            return Err(not_a_location(&location.replace('\0', "\\0"), "it holds a zero byte"));
        }
        // We take texts as they are; who decodes them somewhere must not arrive somewhere else.
        if location.split('/').any(|segment| {
            matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..") && segment.contains('%')
        }) {
            return Err(not_a_location(location, "it has an encoded \".\" or \"..\" segment"));
        }
        let Some((scheme, rest)) = location.split_once(':').filter(|(scheme, rest)| {
            scheme.len() > 1 && scheme.bytes().all(|b| b.is_ascii_alphanumeric()) && rest.starts_with('/')
        }) else {
            return Self::local(location, location);
        };
        match scheme.to_ascii_lowercase().as_str() {
            "file" => {
                let path = match rest.strip_prefix("//") {
                    Some(authority) if authority.starts_with('/') => authority,
                    Some(_) => return Err(not_a_location(location, "a file URL has no host: write file:///path")),
                    None => rest,
                };
                Self::local(location, path)
            }
            // `s3a` and `s3n` are Hadoop's names for the same thing and stand in Hive DDL.
            "s3" | "s3a" | "s3n" => Self::remote(location, rest, Provider::S3, "s3"),
            "az" => Self::remote(location, rest, Provider::Azure, "az"),
            "abfs" | "abfss" => Self::remote(location, rest, Provider::Azure, "abfss"),
            "gs" => Self::remote(location, rest, Provider::Google, "gs"),
            other => Err(not_a_location(location, &format!("the scheme \"{other}\" is not supported"))),
        }
    }

    /// A remote location, whose store has the URL `scheme` and what stands before the key.
    fn remote(location: &str, rest: &str, provider: Provider, scheme: &str) -> Result<Self> {
        let rest = rest
            .strip_prefix("//")
            .ok_or_else(|| not_a_location(location, &format!("write {scheme}://bucket/prefix")))?;
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        let valid = |name: &str| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
        };
        let is_valid = match bucket.split_once('@') {
            // Hadoop's abfs://container@account.dfs.core.windows.net/; containers of the system begin with a dollar sign.
            Some((container, host)) if scheme == "abfss" => {
                valid(container.strip_prefix('$').unwrap_or(container)) && valid(host) && host.contains('.')
            }
            Some(_) => false,
            None => valid(bucket),
        };
        if !is_valid {
            return Err(not_a_location(location, "its bucket name is not valid"));
        }
        let is_folder = key.is_empty() || key.ends_with('/');
        let key = key.trim_matches('/');
        if key.split('/').any(|segment| matches!(segment, "." | "..") || (segment.is_empty() && !key.is_empty())) {
            return Err(not_a_location(location, "its key has an empty, \".\" or \"..\" segment"));
        }
        // Names of hosts are the same in any case; those of buckets are lower case, as far as providers make them.
        Ok(Self::Remote { provider, store_url: format!("{scheme}://{bucket}"), key: key.to_owned(), is_folder })
    }

    fn local(location: &str, path: &str) -> Result<Self> {
        let is_folder = path.ends_with('/');
        let path = std::path::absolute(path).map_err(|error| not_a_location(location, &error.to_string()))?;
        let mut clean = PathBuf::new();
        for component in path.components() {
            match component {
                Component::ParentDir => return Err(not_a_location(location, "\"..\" is not allowed")),
                Component::CurDir => {}
                other => clean.push(other),
            }
        }
        Ok(Self::Local { path: clean, is_folder })
    }
}

impl Root {
    /// Opens a root as configured.
    pub(super) fn open(root: &str) -> Result<Self> {
        match Target::parse(root)? {
            Target::Local { path, .. } => {
                let canonical = path.canonicalize().map_err(|error| {
                    Error::new(ErrorCode::UndefinedFile, format!("root \"{root}\" cannot be opened: {error}"))
                        .with_hint("A root must be a folder that is there, or a URL such as s3://bucket/prefix.")
                })?;
                Ok(Self::Local(canonical))
            }
            Target::Remote { provider, store_url, key, .. } => {
                let prefix = if key.is_empty() { key } else { format!("{key}/") };
                Ok(Self::Remote { provider, store_url, prefix })
            }
        }
    }

    /// As a URL.
    pub(super) fn url(&self) -> String {
        match self {
            Self::Local(path) => format!("file://{}", path.display()),
            Self::Remote { store_url, prefix, .. } => format!("{store_url}/{prefix}"),
        }
    }

    /// Who it is with, if it is remote.
    pub(super) fn provider(&self) -> Option<Provider> {
        match self {
            Self::Local(_) => None,
            Self::Remote { provider, .. } => Some(*provider),
        }
    }

    /// How much of a location it covers: of two roots that contain it, the longer one is meant.
    pub(super) fn depth(&self) -> usize {
        match self {
            Self::Local(path) => path.as_os_str().len(),
            Self::Remote { prefix, .. } => prefix.len(),
        }
    }

    /// The folder, if it is local.
    pub(super) fn local_folder(&self) -> Option<&Path> {
        match self {
            Self::Local(path) => Some(path),
            Self::Remote { .. } => None,
        }
    }

    /// Whether `target` is the root or lies inside it, links resolved.
    pub(super) fn contains(&self, target: &Target) -> bool {
        match (self, target) {
            (Self::Local(root), Target::Local { path, .. }) => {
                canonical_ancestor(path).is_some_and(|path| path.starts_with(root))
            }
            (Self::Remote { store_url, prefix, .. }, Target::Remote { store_url: target_url, key, .. }) => {
                store_url == target_url && format!("{key}/").starts_with(prefix.as_str())
            }
            _ => false,
        }
    }
}

/// The canonical form of `path` where its last components may not exist yet: what exists is resolved, the rest (which
/// has no `..`) is appended. `None` if something on the way can't be read.
pub(super) fn canonical_ancestor(path: &Path) -> Option<PathBuf> {
    let mut missing = Vec::new();
    let mut existing = path;
    loop {
        match existing.canonicalize() {
            Ok(mut canonical) => {
                canonical.extend(missing.iter().rev());
                return Some(canonical);
            }
            // A dangling link exists but leads nowhere we could check.
            Err(_) if existing.symlink_metadata().is_ok() => return None,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                missing.push(existing.file_name()?);
                existing = existing.parent()?;
            }
            Err(_) => return None,
        }
    }
}
