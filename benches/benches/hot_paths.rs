//! Micro-benchmarks of paths that every query takes: `cargo bench --workspace --bench hot_paths [-- FILTER]`.
//!
//! - parser: a short query, TPC-H's longest, an IN list of a thousand
//! - row encoding: ten columns of the usual types into DataRow messages, text and binary
//! - pruning: preparing a query that names one of so many partitions
//! - result cache: a query whose answer is kept, from text to last row
//!
//! `benches/instructions` counts instructions of the first two instead, where times are too noisy. What it counts are the
//! functions named `counted_`.
#![allow(clippy::unwrap_used, reason = "a measuring program")]
#![allow(clippy::disallowed_methods, reason = "a measuring program")]
#![allow(clippy::print_stdout, reason = "partitions.rs prints a table")]
#![allow(missing_docs, reason = "criterion's macro makes a public function")]

#[path = "../src/in_process.rs"]
#[allow(dead_code, reason = "the program uses the rest")]
mod in_process;
#[path = "../src/partitions.rs"]
#[allow(dead_code, reason = "the program uses the rest")]
mod partitions;

use std::hint::black_box;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array, RecordBatch,
    StringArray, TimestampMicrosecondArray,
};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use limnos_catalog::Location;
use limnos_engine::Session;
use limnos_engine::parse::{Dialect, parse};
use limnos_engine::scan::store::StoreOptions;
use limnos_server::pg::encode::data_rows;
use limnos_tests::lake::{plain_rows, write_parquet};
use limnos_tests::paths;
use tokio::runtime::Runtime;

/// Rows of an encoded batch: what the engine's batches have.
const BATCH_ROWS: usize = 8192;

#[inline(never)]
fn counted_parse(sql: &str) -> usize {
    parse(sql, Dialect::Postgres).unwrap().len()
}

#[inline(never)]
fn counted_encode_text(batch: &RecordBatch, session: &Session) -> usize {
    data_rows(batch, session, false).unwrap().len()
}

#[inline(never)]
fn counted_encode_binary(batch: &RecordBatch, session: &Session) -> usize {
    data_rows(batch, session, true).unwrap().len()
}

fn parser(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parser");
    let longest = std::fs::read_to_string(paths::sql().join("tpch/q08.sql")).unwrap();
    let numbers: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
    let list = format!("SELECT * FROM t WHERE id IN ({})", numbers.join(", "));
    for (name, sql) in [("short", "SELECT id, name FROM t WHERE id = 7"), ("q08", &longest), ("in_1000", &list)] {
        group.bench_with_input(name, sql, |bencher, sql| bencher.iter(|| counted_parse(black_box(sql))));
    }
    group.finish();
}

fn encoding(criterion: &mut Criterion) {
    let batch = batch();
    let session = Session::new("bench", "lake");
    let mut group = criterion.benchmark_group("encode");
    group.throughput(Throughput::Elements(BATCH_ROWS as u64));
    group.bench_function("text", |bencher| bencher.iter(|| counted_encode_text(black_box(&batch), &session)));
    group.bench_function("binary", |bencher| bencher.iter(|| counted_encode_binary(black_box(&batch), &session)));
    group.finish();
}

/// Ten columns as results have them.
fn batch() -> RecordBatch {
    let rows = 0..BATCH_ROWS as i64;
    let texts = |prefix: &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(rows.clone().map(|row| format!("{prefix} {}", row * 7919 % 1000))))
    };
    let decimals = Decimal128Array::from_iter_values(rows.clone().map(|row| i128::from(row) * 1337));
    let notes = StringArray::from_iter(rows.clone().map(|row| (row % 5 != 0).then(|| format!("{row:032x}"))));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from_iter_values(rows.clone()))),
        ("grp", Arc::new(Int32Array::from_iter_values(rows.clone().map(|row| (row % 1000) as i32)))),
        ("ratio", Arc::new(Float64Array::from_iter_values(rows.clone().map(|row| row as f64 / 7.0)))),
        ("price", Arc::new(decimals.with_precision_and_scale(12, 2).unwrap())),
        ("name", texts("row of the table")),
        ("city", texts("city")),
        ("flag", Arc::new(BooleanArray::from_iter(rows.clone().map(|row| Some(row % 3 == 0))))),
        ("day", Arc::new(Date32Array::from_iter_values(rows.clone().map(|row| 19_000 + (row % 700) as i32)))),
        ("seen", Arc::new(TimestampMicrosecondArray::from_iter_values(rows.map(|row| row * 86_399_123_457)))),
        ("note", Arc::new(notes)),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn pruning(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let mut group = criterion.benchmark_group("prune");
    group.sample_size(20);
    for count in [1_000, 10_000, 100_000, 1_000_000] {
        let folder = tempfile::tempdir().unwrap();
        let lake = folder.path().canonicalize().unwrap().join("lake");
        let location = Location::File(folder.path().join("catalog.sqlite"));
        partitions::make(&location, &lake, count).unwrap();
        let (engine, _catalog) = in_process::engine(folder.path(), &location, &lake).unwrap();
        let sql = format!("SELECT id FROM events WHERE day = {}", count / 2);
        let ask = || runtime.block_on(in_process::run(&engine, &sql)).unwrap().rows;
        assert_eq!(ask(), 2);
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| bencher.iter(ask));
    }
    group.finish();
}

fn result_cache(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let lake = folder.path().canonicalize().unwrap().join("lake");
    let path = lake.join("t/data.parquet");
    write_parquet(&path, &[plain_rows(0, 100_000).unwrap()], 10_000).unwrap();
    // Results over files that are new are not kept: they might change once more and look the same.
    let written = std::fs::File::options().write(true).open(&path).unwrap();
    written.set_modified(std::time::SystemTime::now() - std::time::Duration::from_secs(3600)).unwrap();
    let location = Location::File(folder.path().join("catalog.sqlite"));
    let stores = StoreOptions { roots: vec![lake.display().to_string()], ..StoreOptions::default() };
    let (engine, _catalog) = in_process::engine_over(folder.path(), &location, stores, 64 << 20).unwrap();
    let ask = |sql: &str| runtime.block_on(in_process::run(&engine, sql)).unwrap();
    let columns = "(id bigint, name string, value double)";
    ask(&format!("CREATE EXTERNAL TABLE t {columns} STORED AS PARQUET LOCATION '{}/t/'", lake.display()));
    let sql = "SELECT id % 10 AS last, count(*), sum(value) FROM t GROUP BY id % 10 ORDER BY 1";
    ask(sql);
    assert_eq!(ask(sql).bytes, 0, "the answer is not kept");
    criterion.bench_function("result_cache/hit", |bencher| bencher.iter(|| ask(sql).rows));
}

criterion_group!(hot_paths, parser, encoding, pruning, result_cache);
criterion_main!(hot_paths);
