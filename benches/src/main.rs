//! Measures the paths we own: `cargo run --release --bin limnos-benches -- partitions [--catalog URL] [COUNT ...]`, and
//! `introspection [COUNT ...]`, `latency [--ms N]`, `transfer [--rows N]` (see the modules).
//!
//! `partitions`: a table of so many daily partitions, one file each, on local disk; how long it takes to add them, to open
//! the catalog, to plan a query that names one (cold: the catalog has just been opened; warm: the median of many), and what that query
//! asks of the store. The requests must not grow with the count. The catalog is an SQLite file, or with `--catalog` in that
//! PostgreSQL database, each count in a schema of its own that is left there.
#![allow(clippy::print_stdout, reason = "a program that prints a table")]
#![allow(clippy::disallowed_methods, reason = "arguments of a measuring program")]

mod introspection;
mod latency;
mod transfer;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use futures::StreamExt;
use limnos_catalog::{
    Catalog, Change, Column, CreateMode, DataType, FileFormat, Location, Partition, StorageDescriptor, TableDefinition,
    TableKind, TableName,
};
use limnos_engine::clock::SystemClock;
use limnos_engine::execute::{QueryContext, QueryStats};
use limnos_engine::parse::Dialect;
use limnos_engine::scan::store::StoreOptions;
use limnos_engine::{Engine, EngineConfig, Session};

const USAGE: &str = "usage: limnos-benches partitions [--catalog URL] [COUNT ...] | introspection [COUNT ...] | latency [--ms N] | transfer [--rows N] [--runs N] [--postgres URL]";

/// Runs of the warm query, of which the median is shown.
const WARM_RUNS: usize = 25;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("partitions") => {
            let mut arguments = arguments.peekable();
            let url = arguments.next_if_eq("--catalog").map(|_| arguments.next().context("a URL")).transpose()?;
            let counts: Vec<usize> = arguments.map(|count| count.parse().context("a count")).collect::<Result<_>>()?;
            let counts = if counts.is_empty() { vec![1_000, 10_000, 100_000, 1_000_000] } else { counts };
            tokio::runtime::Runtime::new()?.block_on(partitions(&counts, url.as_deref()))
        }
        Some("introspection") => {
            let counts: Vec<usize> = arguments.map(|count| count.parse().context("a count")).collect::<Result<_>>()?;
            let counts = if counts.is_empty() { vec![100, 1_000, 10_000] } else { counts };
            tokio::runtime::Runtime::new()?.block_on(introspection::introspection(&counts))
        }
        Some("latency") => {
            let ms = match (arguments.next().as_deref(), arguments.next()) {
                (None, _) => 30,
                (Some("--ms"), Some(ms)) => ms.parse().context("milliseconds")?,
                _ => bail!("{USAGE}"),
            };
            tokio::runtime::Runtime::new()?.block_on(latency::latency(ms))
        }
        Some("transfer") => transfer::transfer(&transfer::Options::parse(arguments)?),
        _ => bail!("{USAGE}"),
    }
}

async fn partitions(counts: &[usize], url: Option<&str>) -> Result<()> {
    println!(
        "{:>10} {:>10} {:>10} {:>12} {:>12} {:>9} {:>10}",
        "partitions", "add ms", "open ms", "cold ms", "warm ms", "requests", "rows"
    );
    for &count in counts {
        let folder = tempfile::tempdir()?;
        let lake = folder.path().canonicalize()?.join("lake");
        let location = location(folder.path(), url, count)?;
        let added = make(&location, &lake, count)?;
        let began = Instant::now();
        let (engine, _) = engine(folder.path(), &location, &lake)?;
        let opened = began.elapsed();
        let wanted = count / 2;
        let sql = format!("SELECT count(*) FROM events WHERE day = {wanted}");
        let cold = Box::pin(run(&engine, &sql)).await?;
        let mut warm = Vec::with_capacity(WARM_RUNS);
        for _ in 0..WARM_RUNS {
            warm.push(Box::pin(run(&engine, &sql)).await?);
        }
        warm.sort_by_key(|run| run.elapsed);
        let median = &warm[WARM_RUNS / 2];
        println!(
            "{count:>10} {:>10.1} {:>10.1} {:>12.2} {:>12.2} {:>9} {:>10}",
            millis(added),
            millis(opened),
            millis(cold.elapsed),
            millis(median.elapsed),
            median.requests,
            median.rows
        );
    }
    Ok(())
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Where the catalog for `count` partitions goes.
fn location(folder: &Path, url: Option<&str>, count: usize) -> Result<Location> {
    let Some(url) = url else { return Ok(Location::File(folder.join("catalog.sqlite"))) };
    let separator = if url.contains('?') { '&' } else { '?' };
    Ok(Location::parse(&format!("{url}{separator}schema=limnos_bench_{}_{count}", std::process::id()))?)
}

/// Makes the catalog, and the files of a few partitions: the others are never looked at.
fn make(location: &Location, lake: &Path, count: usize) -> Result<Duration> {
    let catalog = Catalog::open_at(location)?;
    let definition = TableDefinition {
        kind: TableKind::External(StorageDescriptor {
            location: format!("file://{}/", lake.display()),
            format: FileFormat::Json,
            serde: None,
            properties: Default::default(),
        }),
        columns: vec![Column::new("id", DataType::BigInt)],
        partition_keys: vec![Column::new("day", DataType::BigInt)],
        parameters: Default::default(),
        comment: None,
        owner: "bench".to_owned(),
    };
    let name = TableName::new("default", "events");
    catalog.commit(vec![Change::CreateTable { name: name.clone(), definition, mode: CreateMode::Create }])?;
    let wanted = lake.join(format!("day={}", count / 2));
    std::fs::create_dir_all(&wanted)?;
    std::fs::write(wanted.join("part-0.json"), "{\"id\":1}\n{\"id\":2}\n")?;
    let partitions = (0..count)
        .map(|day| Partition { values: vec![Some(day.to_string())], location: None, storage: None })
        .collect();
    let began = Instant::now();
    catalog.commit(vec![Change::AddPartitions { table: name, partitions, if_not_exists: false }])?;
    Ok(began.elapsed())
}

/// Opens a catalog and an engine on it.
fn engine(data_dir: &Path, location: &Location, lake: &Path) -> Result<(Arc<Engine>, Arc<Catalog>)> {
    let stores = StoreOptions { roots: vec![lake.display().to_string()], ..StoreOptions::default() };
    engine_over(data_dir, location, stores)
}

fn engine_over(data_dir: &Path, location: &Location, stores: StoreOptions) -> Result<(Arc<Engine>, Arc<Catalog>)> {
    let catalog = Catalog::open_at(location)?;
    let config = EngineConfig {
        stores,
        memory_limit_bytes: 1 << 30,
        spill_dir: data_dir.join("spill"),
        spill_limit_bytes: 1 << 30,
        threads: 2,
        footer_cache_bytes: 64 << 20,
        partition_cache_bytes: 256 << 20,
        result_cache_bytes: 0,
        warehouse: None,
        scan_limit_bytes: None,
        listing_cache_bytes: 16 << 20,
        dataset_memory_bytes: 4 << 30,
        dataset_dir: None,
    };
    Ok((Engine::new(Arc::clone(&catalog), config, Arc::new(SystemClock))?, catalog))
}

struct Run {
    elapsed: Duration,
    requests: u64,
    bytes: u64,
    rows: usize,
}

/// One query from text to last row.
async fn run(engine: &Arc<Engine>, sql: &str) -> Result<Run> {
    Box::pin(run_as(engine, Session::new("bench", "lake"), sql)).await
}

/// The same in a session with settings of its own.
async fn run_as(engine: &Arc<Engine>, mut session: Session, sql: &str) -> Result<Run> {
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
