//! [`Target`]: where a command's SQL runs: on a server, on a data directory, or on nothing but files.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{env, process};

use anyhow::Context as _;
use limnos_catalog::Catalog;
use limnos_engine::clock::SystemClock;
use limnos_engine::{Engine, Session};

use super::Failure;
use crate::config::{ByteSize, Config, Layer, Sources, process_environment};
use crate::query::QueryService;
use crate::serve::{self, DEFAULT_USER, OpenLake};

/// Where to run.
#[derive(clap::Args)]
pub(super) struct TargetArguments {
    /// Send the SQL to this server's HTTP endpoint, such as http://127.0.0.1:8439
    #[arg(long, value_name = "URL")]
    pub(super) server: Option<String>,

    #[command(flatten)]
    pub(super) sources: Sources,
}

/// An engine in this process.
pub(super) struct Local {
    pub(super) service: Arc<QueryService>,
    pub(super) session: Session,
    /// Holds the data directory until we are done.
    _lake: Option<OpenLake>,
    /// Removed after that.
    _spill: Option<SpillFolder>,
}

/// A folder in the system's temporary one that goes when we go.
struct SpillFolder(PathBuf);

impl Drop for SpillFolder {
    fn drop(&mut self) {
        // Best effort: the system cleans its temporary folder, too.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Local {
    /// Opens the data directory or the catalog if one is named, else a catalog in memory. The current directory, and `more_roots`, may
    /// be read beside the configured roots; with neither data directory nor roots, all that the user may read: nobody
    /// but the user of this process asks.
    pub(super) fn open(sources: Sources, database: Option<&str>, more_roots: &[String]) -> Result<Self, Failure> {
        let mut layer = sources.layers(process_environment)?;
        let on_lake = layer.data_dir.is_some() || layer.catalog.is_some();
        let is_temporary = layer.data_dir.is_none();
        let here = env::current_dir().context("could not find out the current directory")?;
        // One query has nothing to come back to.
        layer.block_cache_bytes = Some(ByteSize(0));
        let mut roots = layer.root.take().unwrap_or_default();
        roots.extend(more_roots.iter().cloned());
        let anywhere = !on_lake && roots.is_empty();
        roots.push(if anywhere { "/".to_owned() } else { path_text(&here) });
        let spill_dir = env::temp_dir().join(format!("limnos-{}", process::id()));
        let defaults = Layer {
            data_dir: Some(spill_dir.clone()),
            log_level: Some("warn".to_owned()),
            root: Some(roots),
            ..Layer::default()
        };
        let config = Config::from_layer(layer.over(defaults))?;
        super::start_logs(&config)?;
        // Made by the check when it isn't there; removed when this command ends.
        let spill = is_temporary.then_some(SpillFolder(spill_dir));
        config.check()?;
        let (service, lake) = if on_lake {
            let (engine, clock) = (serve::engine_config(&config), Arc::new(SystemClock));
            let lake = serve::open(&config.data_dir, &config.catalog, engine, clock)?;
            (Arc::clone(&lake.service), Some(lake))
        } else {
            (in_memory(&config)?, None)
        };
        let mut session = Session::new(DEFAULT_USER, &config.catalog_name).of_process();
        if let Some(database) = database {
            database.clone_into(&mut session.database);
        }
        Ok(Self { service, session, _lake: lake, _spill: spill })
    }
}

fn in_memory(config: &Config) -> Result<Arc<QueryService>, Failure> {
    let catalog = Catalog::open_in_memory().map_err(serve::ServeError::from)?;
    let engine =
        Engine::new(catalog, serve::engine_config(config), Arc::new(SystemClock)).map_err(serve::ServeError::from)?;
    Ok(QueryService::new(engine))
}

pub(super) fn path_text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
