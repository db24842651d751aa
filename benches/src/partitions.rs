//! `partitions [--catalog URL] [COUNT ...]`: a table of so many daily partitions, one file each, on local disk; how long it
//! takes to add them, to open the catalog, to plan a query that names one (cold: the catalog has just been opened; warm: the
//! median of many), and what that query asks of the store. The requests must not grow with the count. The catalog is an
//! SQLite file, or with `--catalog` in that PostgreSQL database, each count in a schema of its own that is left there.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use limnos_catalog::{
    Catalog, Change, Column, CreateMode, DataType, FileFormat, Location, Partition, StorageDescriptor, TableDefinition,
    TableKind, TableName,
};

use crate::in_process::{engine, millis, run};

/// Runs of the warm query, of which the median is shown.
const WARM_RUNS: usize = 25;

/// Measures and prints.
pub(crate) async fn partitions(counts: &[usize], url: Option<&str>) -> Result<()> {
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

/// Where the catalog for `count` partitions goes.
fn location(folder: &Path, url: Option<&str>, count: usize) -> Result<Location> {
    let Some(url) = url else { return Ok(Location::File(folder.join("catalog.sqlite"))) };
    let separator = if url.contains('?') { '&' } else { '?' };
    Ok(Location::parse(&format!("{url}{separator}schema=limnos_bench_{}_{count}", std::process::id()))?)
}

/// Makes the catalog, and the files of a few partitions: the others are never looked at.
pub(crate) fn make(location: &Location, lake: &Path, count: usize) -> Result<Duration> {
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
