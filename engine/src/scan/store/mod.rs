//! [`Stores`]: the only way to bytes. A location outside the configured roots is refused here, for every caller.
//!
//! In: locations as users write them. Out: [`Location`]s, checked, with the store that holds them.
//!
//! A location is taken as it is spelled: `%3A` in a folder's name is those three characters, as Hive writes them, and
//! not a URL escape.

mod answer;
mod blocks;
mod connector;
mod durable;
mod listings;
mod local;
mod metered;
mod pinned;
mod profile;
mod registry;
mod remote;
mod root;
mod steady;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::path::Path;
use parking_lot::Mutex;

pub(crate) use answer::file_changed;
pub use answer::{read_error, store_error};
pub use blocks::BlockCacheOptions;
pub use listings::{Freshness, ListingStore, Listings};
pub(crate) use metered::range_of_version;
pub use metered::{MeteredStore, StoreCounters};
pub use pinned::PinnedFiles;
pub(crate) use pinned::PinnedStore;
pub use profile::ProfileOptions;
pub use registry::QueryStores;
pub use remote::Options;

use crate::cache::NamedCache;
use crate::{Error, ErrorCode, Result};
use blocks::{BlockCache, CachedStore};
use local::RootedLocal;
use remote::{Provider, Remote, Remotes};
use root::Root;

/// The roots and how to reach them.
#[derive(Clone, Default)]
pub struct StoreOptions {
    /// Local paths or URLs (`/lake`, `file:///lake`, `s3://bucket/prefix`, `az://container/`, `gs://bucket/`).
    pub roots: Vec<String>,
    /// `endpoint`, `region`, `access_key_id`, `secret_access_key`, `session_token`, `allow_http`,
    /// `virtual_hosted_style_request`, `skip_signature`: as `AWS_*` without the prefix; these win over the environment.
    pub s3: Options,
    /// More roots, remote ones, with options that are theirs and win over all others.
    pub own_roots: Vec<(String, Options)>,
    /// Where keys of S3 are looked for that no option and no variable gives.
    pub profile: ProfileOptions,
    /// Where remote objects are kept on local disk; `None` is nowhere.
    pub block_cache: Option<BlockCacheOptions>,
}

impl std::fmt::Debug for StoreOptions {
    /// Shows the names of the S3 options only: their values hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let s3: Vec<&String> = self.s3.keys().collect();
        let own_roots: Vec<&String> = self.own_roots.iter().map(|(url, _)| url).collect();
        f.debug_struct("StoreOptions")
            .field("roots", &self.roots)
            .field("s3", &s3)
            .field("own_roots", &own_roots)
            .finish_non_exhaustive()
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

/// Names of options are the same in any case.
fn lower_case(options: &Options) -> Options {
    options.iter().map(|(name, value)| (name.to_lowercase(), value.clone())).collect()
}

/// Clients by the root whose options they have, if it has any, and the store's URL.
type Clients = HashMap<(Option<usize>, String), Arc<dyn ObjectStore>>;

/// All stores of an engine.
#[derive(Debug)]
pub struct Stores {
    roots: Vec<Root>,
    local: Arc<dyn ObjectStore>,
    stores: Mutex<Clients>,
    s3_options: Options,
    /// By the index of a root in `roots`.
    root_options: HashMap<usize, Options>,
    remotes: Remotes,
    blocks: Option<Arc<BlockCache>>,
}

impl Stores {
    /// Opens the roots. Called on the I/O runtime: requests to object stores run there.
    ///
    /// # Errors
    /// A root that is not a folder or not a URL we know; an S3 option that doesn't exist.
    pub fn new(options: &StoreOptions) -> Result<Self> {
        let mut roots = options.roots.iter().map(|root| Root::open(root)).collect::<Result<Vec<_>>>()?;
        let mut root_options = HashMap::new();
        for (url, own) in &options.own_roots {
            let root = Root::open(url)?;
            let Some(provider) = root.provider() else {
                let message = format!("root \"{url}\" is local and has no options");
                return Err(Error::new(ErrorCode::UndefinedParameter, message));
            };
            provider.check(own)?;
            root_options.insert(roots.len(), lower_case(own));
            roots.push(root);
        }
        Provider::S3.check(&options.s3)?;
        let local_roots = roots.iter().filter_map(Root::local_folder).map(PathBuf::from).collect();
        let io = tokio::runtime::Handle::try_current().ok();
        // With local roots alone there is nothing to keep.
        let has_remote = roots.iter().any(|root| root.local_folder().is_none());
        let blocks = match (&options.block_cache, &io) {
            (Some(options), Some(io)) if has_remote => BlockCache::open(options, io),
            _ => None,
        };
        Ok(Self {
            local: Arc::new(RootedLocal::new(local_roots)),
            roots,
            stores: Mutex::default(),
            s3_options: lower_case(&options.s3),
            root_options,
            remotes: Remotes { io, profile: options.profile.clone() },
            blocks,
        })
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
        // Of several roots the one that says most about the location is meant, and the last one of those.
        let roots = self.roots.iter().enumerate().filter(|(_, root)| root.contains(&target));
        let Some((index, _)) = roots.max_by_key(|(index, root)| (root.depth(), *index)) else {
            return Err(self.not_allowed(location));
        };
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
            root::Target::Remote { provider, store_url, key, is_folder } => {
                let slash = if is_folder && !key.is_empty() { "/" } else { "" };
                Ok(Location {
                    url: format!("{store_url}/{key}{slash}"),
                    store: self.remote_store(index, provider, &store_url)?,
                    store_url,
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

    /// The client of one bucket as the root `index` reaches it, made on first use.
    fn remote_store(&self, index: usize, provider: Provider, store_url: &str) -> Result<Arc<dyn ObjectStore>> {
        let own = self.root_options.get(&index);
        // Roots without options of their own share a client of each bucket.
        let key = (own.map(|_| index), store_url.to_owned());
        let mut stores = self.stores.lock();
        if let Some(store) = stores.get(&key) {
            return Ok(Arc::clone(store));
        }
        let mut options = if provider == Provider::S3 { self.s3_options.clone() } else { Options::new() };
        if let Some(own) = own {
            // Keys of one's own are not completed by the session of somebody else.
            if ["access_key_id", "profile", "skip_signature"].iter().any(|name| own.contains_key(*name)) {
                let others = ["access_key_id", "secret_access_key", "session_token", "profile", "skip_signature"];
                others.iter().for_each(|name| drop(options.remove(*name)));
            }
            options.extend(own.clone());
        }
        let Remote { mut store, endpoint } = self.remotes.open(provider, store_url, &options)?;
        if let Some(blocks) = &self.blocks {
            let identity = format!("{endpoint}\0{store_url}");
            store = Arc::new(CachedStore::new(store, Arc::clone(blocks), identity));
        }
        stores.insert(key, Arc::clone(&store));
        Ok(store)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn stores(roots: &[&str]) -> Stores {
        Stores::new(&StoreOptions {
            roots: roots.iter().map(|&root| root.to_owned()).collect(),
            s3: Options::from([("access_key_id".into(), "k".into()), ("secret_access_key".into(), "s".into())]),
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
            "az://lake/raw/".to_owned(),
            "abfss://lake@a.dfs.core.windows.net/raw/".to_owned(),
            "s3://key:secret@lake/raw/".to_owned(),
            String::new(),
            "s3://".to_owned(),
            "lake\0x".to_owned(),
        ] {
            let error = stores.resolve(&location).unwrap_err();
            assert_eq!(error.code, ErrorCode::LocationNotAllowed, "{location}: {error}");
        }
    }

    #[test]
    fn roots_of_every_provider_hold_what_is_inside_them() {
        let azure = Options::from([("account_name".into(), "a".into()), ("access_key".into(), "a2V5".into())]);
        let open = Options::from([("skip_signature".into(), "true".into())]);
        let stores = Stores::new(&StoreOptions {
            roots: vec!["s3://lake/raw".into()],
            own_roots: vec![
                ("az://lake/raw".into(), azure.clone()),
                ("abfs://lake@a.dfs.core.windows.net".into(), azure),
                ("gs://lake/raw/".into(), open.clone()),
                ("s3://lake/raw/partner/".into(), open),
            ],
            s3: Options::from([("access_key_id".into(), "k".into()), ("secret_access_key".into(), "s".into())]),
            ..StoreOptions::default()
        })
        .unwrap();
        for (location, url) in [
            ("az://lake/raw/x/", "az://lake/raw/x/"),
            ("abfss://lake@a.dfs.core.windows.net/any/x.csv", "abfss://lake@a.dfs.core.windows.net/any/x.csv"),
            ("abfs://lake@a.dfs.core.windows.net/", "abfss://lake@a.dfs.core.windows.net/"),
            ("gs://lake/raw/a%20b", "gs://lake/raw/a%20b"),
        ] {
            assert_eq!(stores.resolve(location).unwrap().url, url);
        }
        for location in [
            "az://lake/rawest/x",
            "az://lake/raw/../x",
            "az://lake@a.dfs.core.windows.net/raw/x",
            "abfss://lake@b.dfs.core.windows.net/raw/x",
            "abfss://other@a.dfs.core.windows.net/raw/x",
            "gs://lake/raw/%2e%2e/x",
            "gs://lake/ra",
            "gs:///raw/x",
        ] {
            let error = stores.resolve(location).unwrap_err();
            assert_eq!(error.code, ErrorCode::LocationNotAllowed, "{location}: {error}");
        }
        // Of two roots the longer one's options count; without options of its own, a root shares its bucket's client.
        let store = |location: &str| stores.resolve(location).unwrap().store;
        assert!(Arc::ptr_eq(&store("s3://lake/raw/a"), &store("s3://lake/raw/b")));
        assert!(Arc::ptr_eq(&store("s3://lake/raw/partner/a"), &store("s3://lake/raw/partner/b")));
        assert!(!Arc::ptr_eq(&store("s3://lake/raw/partner"), &store("s3://lake/raw/partners")));
    }

    #[test]
    fn options_of_roots_are_checked_and_not_shown() {
        let with = |url: &str, name: &str| StoreOptions {
            own_roots: vec![(url.to_owned(), Options::from([(name.to_owned(), "CANARY".to_owned())]))],
            ..StoreOptions::default()
        };
        for (url, name) in [("s3://lake/", "secret"), ("gs://lake/", "endpoint"), ("/tmp", "endpoint")] {
            let options = with(url, name);
            let error = Stores::new(&options).unwrap_err();
            assert_eq!(error.code, ErrorCode::UndefinedParameter, "{error}");
            assert!(!format!("{error:?} {options:?}").contains("CANARY"), "{error:?}");
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
