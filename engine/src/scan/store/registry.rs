//! [`QueryStores`]: the stores one query may read, and nothing else.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::exec_datafusion_err;
use datafusion::error::Result;
use datafusion::execution::object_store::ObjectStoreRegistry;
use object_store::ObjectStore;
use parking_lot::RwLock;
use url::Url;

/// The registry of one query's runtime. It holds only what the query's scans put there, each scan under a URL of its own
/// (`scan3://local`), so that bytes and requests are counted per table. There is no default store: a URL that no scan
/// registered, `file://` above all, can't be read.
#[derive(Debug, Default)]
pub struct QueryStores {
    stores: RwLock<HashMap<String, Arc<dyn ObjectStore>>>,
}

fn key(url: &Url) -> String {
    format!("{}://{}", url.scheme(), url.host_str().unwrap_or_default())
}

impl ObjectStoreRegistry for QueryStores {
    fn register_store(&self, url: &Url, store: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        self.stores.write().insert(key(url), store)
    }

    fn get_store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        self.stores
            .read()
            .get(&key(url))
            .cloned()
            .ok_or_else(|| exec_datafusion_err!("no store is open for \"{}\" in this query", key(url)))
    }
}
