//! [`Stores`]: the only way to bytes. A location outside the configured roots is refused here.

use std::collections::BTreeMap;
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::path::Path;

use crate::Result;

/// The roots and how to reach them.
#[derive(Debug, Clone, Default)]
pub struct StoreOptions {
    /// Local paths or URLs (`/lake`, `file:///lake`, `s3://bucket/prefix`).
    pub roots: Vec<String>,
    /// `endpoint`, `region`, `access_key_id`, `secret_access_key`, `session_token`, `allow_http`,
    /// `virtual_hosted_style_request`, `skip_signature`: as `AWS_*` without the prefix; these win over the environment.
    pub s3: BTreeMap<String, String>,
}

/// A location that was checked against the roots.
#[derive(Debug, Clone)]
pub struct Location {
    /// Canonical URL, `file:///lake/orders/` or `s3://bucket/prefix/`.
    pub url: String,
    /// The store it is in.
    pub store: Arc<dyn ObjectStore>,
    /// Its path in that store.
    pub path: Path,
    /// Whether the URL ends in `/`.
    pub is_folder: bool,
}

/// All stores of an engine.
#[derive(Debug)]
pub struct Stores {}

impl Stores {
    /// Opens the roots.
    ///
    /// # Errors
    /// A root that is not a folder or not a URL we know.
    pub fn new(_options: &StoreOptions) -> Result<Self> {
        todo!()
    }

    /// Checks a location as a user wrote it (a URL or a local path) and says where it is.
    ///
    /// # Errors
    /// [`crate::ErrorCode::LocationNotAllowed`] when outside every root.
    pub fn resolve(&self, _location: &str) -> Result<Location> {
        todo!()
    }
}
