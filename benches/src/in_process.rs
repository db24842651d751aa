//! The engine in this process, for what is measured without a server.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use futures::StreamExt;
use limnos_catalog::{Catalog, Location};
use limnos_engine::clock::SystemClock;
use limnos_engine::execute::{QueryContext, QueryStats};
use limnos_engine::parse::Dialect;
use limnos_engine::scan::store::StoreOptions;
use limnos_engine::{Engine, EngineConfig, Session};

/// A duration in milliseconds.
pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Opens a catalog and an engine on it.
pub(crate) fn engine(data_dir: &Path, location: &Location, lake: &Path) -> Result<(Arc<Engine>, Arc<Catalog>)> {
    let stores = StoreOptions { roots: vec![lake.display().to_string()], ..StoreOptions::default() };
    engine_over(data_dir, location, stores, 0)
}

/// The same over these stores, with a result cache.
pub(crate) fn engine_over(
    data_dir: &Path,
    location: &Location,
    stores: StoreOptions,
    result_cache_bytes: u64,
) -> Result<(Arc<Engine>, Arc<Catalog>)> {
    let catalog = Catalog::open_at(location)?;
    let config = EngineConfig {
        stores,
        memory_limit_bytes: 1 << 30,
        spill_dir: data_dir.join("spill"),
        spill_limit_bytes: 1 << 30,
        threads: 2,
        footer_cache_bytes: 64 << 20,
        partition_cache_bytes: 256 << 20,
        result_cache_bytes,
        warehouse: None,
        scan_limit_bytes: None,
        listing_cache_bytes: 16 << 20,
        dataset_memory_bytes: 4 << 30,
        dataset_dir: None,
    };
    Ok((Engine::new(Arc::clone(&catalog), config, Arc::new(SystemClock))?, catalog))
}

/// What a query took.
pub(crate) struct Run {
    pub(crate) elapsed: Duration,
    pub(crate) requests: u64,
    pub(crate) bytes: u64,
    pub(crate) rows: usize,
}

/// One query from text to last row.
pub(crate) async fn run(engine: &Arc<Engine>, sql: &str) -> Result<Run> {
    Box::pin(run_as(engine, Session::new("bench", "lake"), sql)).await
}

/// The same in a session with settings of its own.
pub(crate) async fn run_as(engine: &Arc<Engine>, mut session: Session, sql: &str) -> Result<Run> {
    let stats: Arc<QueryStats> = Arc::default();
    let context = QueryContext { query_id: "bench".to_owned(), cancel: Default::default(), stats: Arc::clone(&stats) };
    let began = Instant::now();
    let statement = engine.parse(sql, Dialect::Postgres).await?.pop().context("a statement")?;
    let prepared = engine.prepare(&session, Arc::new(statement), &[]).await?;
    let mut outcome = engine.execute(&mut session, &prepared, &[], context).await?;
    let mut rows = 0;
    while let Some(batch) = outcome.stream.next().await {
        rows += batch?.num_rows();
    }
    let (requests, bytes) = (stats.requests.load(Ordering::Relaxed), stats.bytes_scanned.load(Ordering::Relaxed));
    Ok(Run { elapsed: began.elapsed(), requests, bytes, rows })
}
