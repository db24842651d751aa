//! `latency [--ms N]`: scans over S3 on the loopback address whose every answer takes N milliseconds longer (30), many small
//! files and few large ones; what each query asks for and how long it takes, with `read_ahead` off and on. Requests and
//! bytes must be the same. Times are of this machine; what is to be looked at is their ratio.

use std::sync::atomic::Ordering;

use anyhow::{Result, ensure};
use limnos_catalog::Location;
use limnos_engine::Session;
use limnos_engine::scan::store::StoreOptions;
use limnos_tests::lake::{plain_rows, write_parquet};
use limnos_tests::s3::S3Server;

use crate::in_process::{engine_over, millis, run, run_as};

const SMALL_FILES: i64 = 500;
const SMALL_FILE_ROWS: i64 = 500;
const LARGE_FILES: i64 = 2;
const LARGE_FILE_ROWS: i64 = 400_000;
const ROW_GROUP_ROWS: usize = 20_000;

/// Tables, how they are stored, and what is asked of them.
const TABLES: [(&str, &str); 3] = [
    ("small_parquet", "STORED AS PARQUET"),
    ("small_csv", "ROW FORMAT DELIMITED FIELDS TERMINATED BY ','"),
    ("large_parquet", "STORED AS PARQUET"),
];

/// Prints what queries of each table ask for, and their times.
pub(crate) async fn latency(ms: u64) -> Result<()> {
    let s3 = S3Server::start("lake").await?;
    let lake = s3.root().join("lake");
    for file in 0..SMALL_FILES {
        let ids = file * SMALL_FILE_ROWS..(file + 1) * SMALL_FILE_ROWS;
        let rows = plain_rows(ids.start, ids.end)?;
        write_parquet(&lake.join(format!("small_parquet/{file:04}.parquet")), &[rows], ROW_GROUP_ROWS)?;
        let text: String = ids.map(|id| format!("{id},row {id},{}\n", id as f64 / 2.0)).collect();
        std::fs::create_dir_all(lake.join("small_csv"))?;
        std::fs::write(lake.join(format!("small_csv/{file:04}.csv")), text)?;
    }
    for file in 0..LARGE_FILES {
        let rows = plain_rows(file * LARGE_FILE_ROWS, (file + 1) * LARGE_FILE_ROWS)?;
        write_parquet(&lake.join(format!("large_parquet/{file}.parquet")), &[rows], ROW_GROUP_ROWS)?;
    }
    let folder = tempfile::tempdir()?;
    let location = Location::File(folder.path().join("catalog.sqlite"));
    let stores = StoreOptions { roots: vec!["s3://lake/".to_owned()], s3: s3.options(), ..StoreOptions::default() };
    let (engine, _) = engine_over(folder.path(), &location, stores, 0)?;
    for (table, format) in TABLES {
        let columns = "(id bigint, name string, value double)";
        let sql = format!("CREATE EXTERNAL TABLE {table} {columns} {format} LOCATION 's3://lake/{table}/'");
        Box::pin(run(&engine, &sql)).await?;
        // Footers are known from here on.
        Box::pin(run(&engine, &format!("SELECT sum(id) FROM {table}"))).await?;
    }

    s3.faults.latency_ms.store(ms, Ordering::SeqCst);
    println!(
        "{:>14} {:>22} {:>9} {:>8} {:>10} {:>10} {:>7}",
        "table", "query", "requests", "MB", "off ms", "on ms", "at once"
    );
    for (table, _) in TABLES {
        for (name, sql) in [
            ("all rows", format!("SELECT sum(id), count(name), max(value) FROM {table}")),
            ("rows by a range", format!("SELECT count(name), max(value) FROM {table} WHERE id >= 100000")),
            ("first ten", format!("SELECT id, name FROM {table} LIMIT 10")),
        ] {
            let session = |read_ahead: &str| {
                let mut session = Session::new("bench", "lake");
                session.settings.set("read_ahead", &[read_ahead.to_owned()]).map(|_| session)
            };
            let off = Box::pin(run_as(&engine, session("off")?, &sql)).await?;
            s3.reset_counts();
            let on = Box::pin(run_as(&engine, session("on")?, &sql)).await?;
            ensure!(off.rows == on.rows, "{sql}: {} rows without reading ahead, {} with", off.rows, on.rows);
            println!(
                "{table:>14} {name:>22} {:>4}/{:<4} {:>8.2} {:>10.0} {:>10.0} {:>7}",
                off.requests,
                on.requests,
                on.bytes as f64 / 1e6,
                millis(off.elapsed),
                millis(on.elapsed),
                s3.counts().most_waiting
            );
        }
    }
    Ok(())
}
