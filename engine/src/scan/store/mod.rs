//! [`Stores`]: the only way to bytes. A location outside the configured roots is refused here, for every caller.
//!
//! In: locations as users write them. Out: [`Location`]s, checked, with the store that holds them.
//!
//! A location is taken as it is spelled: `%3A` in a folder's name is those three characters, as Hive writes them, and
//! not a URL escape.

mod blocks;
mod durable;
mod local;
mod metered;
mod registry;
mod root;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::client::SpawnedReqwestConnector;
use object_store::path::Path;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};
use parking_lot::Mutex;

pub use blocks::BlockCacheOptions;
pub(crate) use metered::range_of_version;
pub use metered::{MeteredStore, StoreCounters};
pub use registry::QueryStores;

use crate::cache::NamedCache;
use crate::{Error, ErrorCode, Result};
use blocks::{BlockCache, CachedStore};
use local::RootedLocal;
use root::Root;

/// The roots and how to reach them.
#[derive(Clone, Default)]
pub struct StoreOptions {
    /// Local paths or URLs (`/lake`, `file:///lake`, `s3://bucket/prefix`).
    pub roots: Vec<String>,
    /// `endpoint`, `region`, `access_key_id`, `secret_access_key`, `session_token`, `allow_http`,
    /// `virtual_hosted_style_request`, `skip_signature`: as `AWS_*` without the prefix; these win over the environment.
    pub s3: BTreeMap<String, String>,
    /// Where remote objects are kept on local disk; `None` is nowhere.
    pub block_cache: Option<BlockCacheOptions>,
}

impl std::fmt::Debug for StoreOptions {
    /// Shows the names of the S3 options only: their values hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let s3: Vec<&String> = self.s3.keys().collect();
        f.debug_struct("StoreOptions").field("roots", &self.roots).field("s3", &s3).finish_non_exhaustive()
    }
}

/// A location that was checked against the roots.
#[derive(Debug, Clone)]
pub struct Location {
    /// Canonical URL, `file:///lake/orders/` or `s3://bucket/prefix/`.
    pub url: String,
    /// The store's own URL, `file://` or `s3://bucket`: with a path it names one object anywhere.
    pub store_url: String,
    /// The store it is in.
    pub store: Arc<dyn ObjectStore>,
    /// Its path in that store.
    pub path: Path,
    /// Whether the URL ends in `/`.
    pub is_folder: bool,
}

impl Location {
    /// Whether reading it crosses a network.
    pub fn is_remote(&self) -> bool {
        self.store_url != LOCAL_STORE_URL
    }

    /// The URL of an object of the same store.
    pub fn url_of(&self, path: &Path) -> String {
        format!("{}/{}", self.store_url, path)
    }
}

/// The store URL of the local file system.
pub const LOCAL_STORE_URL: &str = "file://";

/// All stores of an engine.
#[derive(Debug)]
pub struct Stores {
    roots: Vec<Root>,
    local: Arc<dyn ObjectStore>,
    s3: Mutex<HashMap<String, Arc<dyn ObjectStore>>>,
    s3_options: Vec<(AmazonS3ConfigKey, String)>,
    blocks: Option<Arc<BlockCache>>,
    /// The runtime that does network I/O; the one `new` was called on.
    io: Option<tokio::runtime::Handle>,
}

impl Stores {
    /// Opens the roots. Called on the I/O runtime: requests to object stores run there.
    ///
    /// # Errors
    /// A root that is not a folder or not a URL we know; an S3 option that doesn't exist.
    pub fn new(options: &StoreOptions) -> Result<Self> {
        let roots = options.roots.iter().map(|root| Root::open(root)).collect::<Result<Vec<_>>>()?;
        let mut s3_options = Vec::new();
        for (name, value) in &options.s3 {
            let key = name.to_lowercase().parse::<AmazonS3ConfigKey>().map_err(|_| {
                Error::new(ErrorCode::UndefinedParameter, format!("unrecognized S3 option \"{name}\""))
                    .with_hint("Options are named as the AWS_* environment variables, without the prefix.")
            })?;
            s3_options.push((key, value.clone()));
        }
        let local_roots = roots.iter().filter_map(Root::local_folder).map(PathBuf::from).collect();
        let io = tokio::runtime::Handle::try_current().ok();
        // With local roots alone there is nothing to keep.
        let has_remote = roots.iter().any(|root| root.local_folder().is_none());
        let blocks = match (&options.block_cache, &io) {
            (Some(options), Some(io)) if has_remote => BlockCache::open(options, io),
            _ => None,
        };
        Ok(Self { local: Arc::new(RootedLocal::new(local_roots)), roots, s3: Mutex::default(), s3_options, blocks, io })
    }

    /// The caches to be seen and dropped.
    pub(crate) fn caches(&self) -> impl Iterator<Item = Arc<dyn NamedCache>> {
        self.blocks.iter().map(|blocks| Arc::clone(blocks) as Arc<dyn NamedCache>)
    }

    /// Writes what the caches have still to write, and closes them.
    pub(crate) async fn close(&self) {
        if let Some(blocks) = &self.blocks {
            blocks.close().await;
        }
    }

    /// The roots as URLs, for messages.
    pub fn roots(&self) -> impl Iterator<Item = String> + '_ {
        self.roots.iter().map(Root::url)
    }

    /// Checks a location as a user wrote it (a URL or a local path) and says where it is.
    ///
    /// # Errors
    /// [`ErrorCode::LocationNotAllowed`] when outside every root.
    pub fn resolve(&self, location: &str) -> Result<Location> {
        let target = root::Target::parse(location)?;
        if !self.roots.iter().any(|root| root.contains(&target)) {
            return Err(self.not_allowed(location));
        }
        match target {
            root::Target::Local { path, is_folder } => {
                let text = path.to_str().ok_or_else(|| root::not_a_location(location, "it is not valid UTF-8"))?;
                let object_path = Path::parse(text.trim_matches('/'))
                    .map_err(|error| root::not_a_location(location, &error.to_string()))?;
                let slash = if is_folder && text != "/" { "/" } else { "" };
                Ok(Location {
                    url: format!("{LOCAL_STORE_URL}{text}{slash}"),
                    store_url: LOCAL_STORE_URL.to_owned(),
                    store: Arc::clone(&self.local),
                    path: object_path,
                    is_folder,
                })
            }
            root::Target::S3 { bucket, key, is_folder } => {
                let slash = if is_folder && !key.is_empty() { "/" } else { "" };
                Ok(Location {
                    url: format!("s3://{bucket}/{key}{slash}"),
                    store_url: format!("s3://{bucket}"),
                    store: self.s3_store(&bucket)?,
                    path: Path::parse(&key).map_err(|error| root::not_a_location(location, &error.to_string()))?,
                    is_folder,
                })
            }
        }
    }

    fn not_allowed(&self, location: &str) -> Error {
        let roots: Vec<String> = self.roots().map(|url| format!("\"{url}\"")).collect();
        let roots = if roots.is_empty() { "none is configured".to_owned() } else { roots.join(", ") };
        Error::new(ErrorCode::LocationNotAllowed, format!("location \"{location}\" is outside the configured roots"))
            .with_detail(format!("The roots are: {roots}."))
            .with_hint("Start the server with --root for that location, or use one inside a root.")
    }

    /// The client of one bucket, made on first use.
    fn s3_store(&self, bucket: &str) -> Result<Arc<dyn ObjectStore>> {
        let mut stores = self.s3.lock();
        if let Some(store) = stores.get(bucket) {
            return Ok(Arc::clone(store));
        }
        let mut builder = AmazonS3Builder::from_env().with_bucket_name(bucket);
        let mut allow_http = false;
        for (key, value) in &self.s3_options {
            if matches!(key, AmazonS3ConfigKey::Client(object_store::ClientConfigKey::AllowHttp)) {
                allow_http = value == "true";
            }
            builder = builder.with_config(*key, value);
        }
        if std::env::var_os("AWS_ALLOW_HTTP").is_some_and(|value| value == "true") {
            allow_http = true;
        }
        // The whole-request timeout of 30 s would cut long bodies on slow links; a body that stalls is cut by
        // `MeteredStore` instead.
        let client = ClientOptions::new()
            .with_allow_http(allow_http)
            .with_timeout_disabled()
            .with_connect_timeout(Duration::from_secs(5));
        builder = builder.with_client_options(client).with_retry(RetryConfig {
            backoff: BackoffConfig::default(),
            max_retries: 5,
            retry_timeout: Duration::from_secs(60),
        });
        if let Some(io) = &self.io {
            builder = builder.with_http_connector(SpawnedReqwestConnector::new(io.clone()));
        }
        let endpoint = builder.get_config_value(&AmazonS3ConfigKey::Endpoint).unwrap_or_default();
        let mut store: Arc<dyn ObjectStore> = Arc::new(builder.build().map_err(|error| {
            Error::new(ErrorCode::IoError, format!("bucket \"{bucket}\" cannot be opened"))
                .with_detail(error.to_string())
        })?);
        if let Some(blocks) = &self.blocks {
            let identity = format!("{endpoint}\0s3://{bucket}");
            store = Arc::new(CachedStore::new(store, Arc::clone(blocks), identity));
        }
        stores.insert(bucket.to_owned(), Arc::clone(&store));
        Ok(store)
    }
}

/// Says in a user's words what a store answered about `url`.
pub fn store_error(url: &str, error: &object_store::Error) -> Error {
    use object_store::Error as Store;
    if let Some(own) = find_own(error) {
        return own.clone();
    }
    match error {
        Store::NotFound { .. } => Error::new(ErrorCode::UndefinedFile, format!("file \"{url}\" does not exist")),
        Store::Precondition { .. } => file_changed(url),
        Store::PermissionDenied { .. } | Store::Unauthenticated { .. } => {
            Error::new(ErrorCode::InsufficientPrivilege, format!("permission denied for \"{url}\""))
                .with_detail("The operating system or the object store refused access.")
        }
        // object_store tells a refused LIST only by the status in its text.
        Store::Generic { .. } if error.to_string().contains("status code: 403") => {
            Error::new(ErrorCode::InsufficientPrivilege, format!("permission denied for \"{url}\""))
                .with_detail("The object store refused access.")
        }
        other => {
            let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(other);
            let mut permission_denied = false;
            while let Some(error) = cause {
                if let Some(io) = error.downcast_ref::<std::io::Error>() {
                    permission_denied |= io.kind() == std::io::ErrorKind::PermissionDenied;
                }
                cause = error.source();
            }
            if permission_denied {
                return Error::new(ErrorCode::InsufficientPrivilege, format!("permission denied for \"{url}\""));
            }
            Error::new(ErrorCode::IoError, format!("could not read \"{url}\"")).with_detail(other.to_string())
        }
    }
}

/// The error of reading a file that a listing said is there: one that is gone now was removed meanwhile.
pub fn read_error(url: &str, error: &object_store::Error) -> Error {
    match error {
        object_store::Error::NotFound { .. } => {
            Error::new(ErrorCode::FileChanged, format!("file \"{url}\" was removed while the query ran"))
                .with_hint("Run the query again.")
        }
        other => store_error(url, other),
    }
}

/// The file is another one than when the query was planned: its parts must not be mixed.
pub(crate) fn file_changed(url: &str) -> Error {
    Error::new(ErrorCode::FileChanged, format!("file \"{url}\" was replaced while the query ran"))
        .with_hint("Run the query again.")
}

/// One of our own errors inside another's chain of sources.
fn find_own<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Error> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(own) = error.downcast_ref::<Error>() {
            return Some(own);
        }
        cause = error.source();
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn stores(roots: &[&str]) -> Stores {
        Stores::new(&StoreOptions {
            roots: roots.iter().map(|&root| root.to_owned()).collect(),
            s3: BTreeMap::from([("access_key_id".into(), "k".into()), ("secret_access_key".into(), "s".into())]),
            ..StoreOptions::default()
        })
        .unwrap()
    }

    #[test]
    fn locations_inside_a_root_are_resolved() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let root = root.to_str().unwrap();
        let stores = stores(&[root, "s3://lake/raw"]);
        for (location, url, is_folder) in [
            (format!("{root}/orders/"), format!("file://{root}/orders/"), true),
            (format!("file://{root}/orders"), format!("file://{root}/orders"), false),
            (format!("file:{root}/a%3Ab/x.csv"), format!("file://{root}/a%3Ab/x.csv"), false),
            ("s3://lake/raw/".into(), "s3://lake/raw/".into(), true),
            ("s3://lake/raw/dt=2024-01-01 00%3A00/".into(), "s3://lake/raw/dt=2024-01-01 00%3A00/".into(), true),
            ("s3a://lake/raw/x.parquet".into(), "s3://lake/raw/x.parquet".into(), false),
        ] {
            let found = stores.resolve(&location).unwrap();
            assert_eq!((found.url.as_str(), found.is_folder), (url.as_str(), is_folder), "{location}");
        }
    }

    #[test]
    fn locations_outside_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().canonicalize().unwrap();
        std::fs::create_dir_all(base.join("lake")).unwrap();
        std::fs::create_dir_all(base.join("lake2")).unwrap();
        std::fs::write(base.join("secret"), "x").unwrap();
        std::os::unix::fs::symlink(base.join("secret"), base.join("lake/link")).unwrap();
        std::os::unix::fs::symlink(&base, base.join("lake/up")).unwrap();
        let root = base.join("lake");
        let root = root.to_str().unwrap();
        let stores = stores(&[root, "s3://lake/raw"]);
        for location in [
            "/etc/passwd".to_owned(),
            "file:///etc/passwd".to_owned(),
            "file://localhost/etc/passwd".to_owned(),
            format!("{root}2/x"),
            format!("{root}/../secret"),
            format!("file://{root}/../../etc/passwd"),
            format!("{root}/link"),
            format!("{root}/up/secret"),
            format!("{root}/up/none/new"),
            "s3://lake/rawest/x".to_owned(),
            "s3://lake/".to_owned(),
            "s3://lake/raw/../x".to_owned(),
            "s3://other/raw/x".to_owned(),
            "http://169.254.169.254/latest/meta-data".to_owned(),
            "gs://lake/raw/".to_owned(),
            String::new(),
            "s3://".to_owned(),
            "lake\0x".to_owned(),
        ] {
            let error = stores.resolve(&location).unwrap_err();
            assert_eq!(error.code, ErrorCode::LocationNotAllowed, "{location}: {error}");
        }
    }

    #[tokio::test]
    async fn a_link_made_after_the_check_is_refused_when_read() {
        use object_store::ObjectStoreExt;
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().canonicalize().unwrap();
        std::fs::create_dir_all(base.join("lake")).unwrap();
        std::fs::write(base.join("secret"), "CANARY").unwrap();
        let stores = stores(&[base.join("lake").to_str().unwrap()]);
        let location = stores.resolve(base.join("lake/x").to_str().unwrap()).unwrap();
        std::os::unix::fs::symlink(base.join("secret"), base.join("lake/x")).unwrap();
        let error = location.store.get(&location.path).await.unwrap_err();
        assert_eq!(store_error("x", &error).code, ErrorCode::LocationNotAllowed, "{error}");
        assert!(location.store.head(&location.path).await.is_err());
    }
}
