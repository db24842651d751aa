//! Files are fetched ahead: a scan over a network asks for many at a time, for each once, and for none that it doesn't need.
//! Shown by what a real S3 server got and when, never by timing.

use std::path::Path;
use std::sync::atomic::Ordering;

use limnos_tests::client::{fails, rows, value};
use limnos_tests::lake::{plain_rows, write_parquet};
use limnos_tests::s3::{RequestCounts, S3Server};
use limnos_tests::server::TestServer;
use tokio_postgres::Client;

/// Files of each table. Each has 50 rows; `id` runs through.
const FILES: i64 = 200;

/// Many more than a scan has partitions.
const MANY: usize = 9;

const TABLES: &str = "
    CREATE EXTERNAL TABLE p (id bigint, name string, value double) STORED AS PARQUET LOCATION 's3://lake/p/';
    CREATE EXTERNAL TABLE c (id bigint, name string, value double) ROW FORMAT DELIMITED FIELDS TERMINATED BY ','
      LOCATION 's3://lake/c/';
    CREATE EXTERNAL TABLE j (id bigint, name string) STORED AS JSON LOCATION 's3://lake/j/'";

fn write_tables(lake: &Path) {
    for file in 0..FILES {
        let ids = file * 50..(file + 1) * 50;
        let plain = plain_rows(ids.start, ids.end).unwrap();
        write_parquet(&lake.join(format!("p/{file:03}.parquet")), &[plain], 20).unwrap();
        let csv: String = ids.clone().map(|id| format!("{id},row {id},{}\n", id as f64 / 2.0)).collect();
        let json: String = ids.map(|id| format!("{{\"id\":{id},\"name\":\"row {id}\"}}\n")).collect();
        for (folder, extension, text) in [("c", "csv", csv), ("j", "json", json)] {
            std::fs::create_dir_all(lake.join(folder)).unwrap();
            std::fs::write(lake.join(folder).join(format!("{file:03}.{extension}")), text).unwrap();
        }
    }
}

async fn start(s3: &S3Server, data_dir: &Path) -> (TestServer, Client) {
    let options = s3.options();
    let server = TestServer::start_in(data_dir, &[], move |serve| {
        serve.engine.stores.roots.push("s3://lake/".to_owned());
        serve.engine.stores.s3 = options;
    })
    .await
    .unwrap();
    let client = server.client().await.unwrap();
    (server, client)
}

/// What the store got for one query, and its answer.
async fn asked(s3: &S3Server, client: &Client, sql: &str) -> (RequestCounts, String) {
    s3.reset_counts();
    let answer = value(client, sql).await.unwrap().unwrap_or_default();
    (s3.counts(), answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn many_small_files_are_fetched_together_and_each_once() {
    let s3 = S3Server::start("lake").await.unwrap();
    write_tables(&s3.root().join("lake"));
    let data_dir = tempfile::tempdir().unwrap();
    let (server, client) = start(&s3, data_dir.path()).await;
    rows(&client, TABLES).await.unwrap();
    // What footers say is known from here on.
    let sum = (FILES * 50 * (FILES * 50 - 1) / 2).to_string();
    assert_eq!(value(&client, "SELECT sum(id) FROM p").await.unwrap().unwrap(), sum);

    s3.faults.latency_ms.store(20, Ordering::SeqCst);
    for table in ["p", "c", "j"] {
        let sql = format!("SELECT sum(id) + count(name) - count(*) FROM {table}");
        rows(&client, "SET read_ahead = off").await.unwrap();
        let (off, answer_off) = asked(&s3, &client, &sql).await;
        rows(&client, "SET read_ahead = on").await.unwrap();
        let (on, answer_on) = asked(&s3, &client, &sql).await;
        assert_eq!((&answer_off, &answer_on), (&sum, &sum), "{table}");
        assert_eq!(on.get, FILES as usize, "{table}: a GET for each file, {on:?}");
        let unordered = |counts| RequestCounts { most_waiting: 0, ..counts };
        assert_eq!(unordered(on), unordered(off), "{table}: the same requests and bytes");
        assert!(off.most_waiting < MANY, "{table}: {off:?}");
        assert!(on.most_waiting >= MANY, "{table}: {on:?}");
    }
    drop(client);
    server.shutdown().await;

    // A server that has read no footer yet.
    let (server, client) = start(&s3, data_dir.path()).await;
    let (counts, answer) = asked(&s3, &client, "SELECT sum(id) + count(name) - count(*) FROM p").await;
    assert_eq!((answer, counts.get), (sum, FILES as usize));
    assert!(counts.most_waiting >= MANY, "{counts:?}");
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_limit_leaves_out_is_not_fetched() {
    let s3 = S3Server::start("lake").await.unwrap();
    write_tables(&s3.root().join("lake"));
    let data_dir = tempfile::tempdir().unwrap();
    let (server, client) = start(&s3, data_dir.path()).await;
    rows(&client, TABLES).await.unwrap();
    rows(&client, "SELECT sum(id) FROM p").await.unwrap();
    s3.faults.latency_ms.store(5, Ordering::SeqCst);
    for (sql, most) in [
        // A file for each partition of the scan, whatever is fetched ahead; none of these has more than four.
        ("SELECT count(name) FROM (SELECT name FROM p LIMIT 5) AS few", 4),
        ("SELECT count(name) FROM (SELECT name FROM p LIMIT 50) AS few", 4),
        ("SELECT count(name) FROM (SELECT name FROM p LIMIT 120) AS few", 6),
        // How many rows a file of text has isn't known.
        ("SELECT count(name) FROM (SELECT name FROM c LIMIT 5) AS few", 4),
        // With a filter rows are counted above the scan, which stops when there are enough.
        ("SELECT count(name) FROM (SELECT name FROM c WHERE id >= 0 LIMIT 5) AS few", 24),
        ("SELECT count(name) FROM (SELECT name FROM p WHERE value >= 0 LIMIT 5) AS few", 24),
    ] {
        s3.reset_counts();
        rows(&client, sql).await.unwrap();
        let counts = s3.counts();
        assert!(counts.get <= most, "{sql}: {counts:?}");
    }
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn top_n_fetches_what_may_be_among_it() {
    let s3 = S3Server::start("lake").await.unwrap();
    write_tables(&s3.root().join("lake"));
    let data_dir = tempfile::tempdir().unwrap();
    let (server, client) = start(&s3, data_dir.path()).await;
    rows(&client, TABLES).await.unwrap();
    rows(&client, "SELECT sum(id) FROM p").await.unwrap();
    for (sql, first) in [
        ("SELECT id, name FROM p ORDER BY id LIMIT 10", "0"),
        ("SELECT id, name FROM p ORDER BY id DESC LIMIT 10", "9999"),
    ] {
        rows(&client, "SET read_ahead = off").await.unwrap();
        s3.reset_counts();
        let answer = rows(&client, sql).await.unwrap();
        let off = s3.counts();
        rows(&client, "SET read_ahead = on").await.unwrap();
        s3.reset_counts();
        assert_eq!(rows(&client, sql).await.unwrap(), answer, "{sql}");
        assert_eq!(answer[0][0].as_deref(), Some(first));
        let on = s3.counts();
        assert!(on.get <= off.get + 4, "{sql}: {on:?}, without {off:?}");
    }
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_is_named_and_one_that_is_not_reached_is_not() {
    let s3 = S3Server::start("lake").await.unwrap();
    let lake = s3.root().join("lake");
    write_tables(&lake);
    let data_dir = tempfile::tempdir().unwrap();
    let (server, client) = start(&s3, data_dir.path()).await;
    rows(&client, TABLES).await.unwrap();
    std::fs::write(lake.join("c/150.csv"), b"1,\xff\xfe,2\n").unwrap();
    fails(&client, "SELECT sum(id), count(name) FROM c", "22021", "s3://lake/c/150.csv").await.unwrap();
    s3.faults.slow_down.store(usize::MAX, Ordering::SeqCst);
    fails(&client, "SELECT sum(id), count(name) FROM j", "58030", "s3://lake/j").await.unwrap();
    s3.faults.slow_down.store(0, Ordering::SeqCst);
    let sum = (FILES * 50 * (FILES * 50 - 1) / 2).to_string();
    assert_eq!(value(&client, "SELECT sum(id) FROM j").await.unwrap().unwrap(), sum);
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_groups_that_follow_are_fetched_ahead_and_no_others() {
    let s3 = S3Server::start("lake").await.unwrap();
    let lake = s3.root().join("lake");
    // Too large to be fetched whole; forty row groups, 40,000 rows.
    write_parquet(&lake.join("big/a.parquet"), &[plain_rows(0, 40_000).unwrap()], 1000).unwrap();
    assert!(std::fs::metadata(lake.join("big/a.parquet")).unwrap().len() > 256 << 10);
    let data_dir = tempfile::tempdir().unwrap();
    let (server, client) = start(&s3, data_dir.path()).await;
    let table = "CREATE EXTERNAL TABLE big (id bigint, name string, value double) STORED AS PARQUET
                 LOCATION 's3://lake/big/'";
    rows(&client, table).await.unwrap();
    rows(&client, "SELECT sum(id) FROM big").await.unwrap();
    s3.faults.latency_ms.store(10, Ordering::SeqCst);
    for (sql, is_ahead) in [
        ("SELECT count(name) || ' ' || sum(value) FROM big", true),
        // Twenty of them, by their statistics.
        ("SELECT count(name) || ' ' || sum(value) FROM big WHERE id >= 20000", true),
        // Of these, parts, by the page index.
        ("SELECT count(name) || ' ' || sum(value) FROM big WHERE id IN (5, 20005, 39999)", false),
        // What is asked for depends on what was read.
        ("SELECT max(name) FROM (SELECT name FROM big ORDER BY id DESC LIMIT 10) AS last", false),
        ("SELECT count(name) FROM (SELECT name FROM big LIMIT 2500) AS first", false),
    ] {
        rows(&client, "SET read_ahead = off").await.unwrap();
        let (off, answer_off) = asked(&s3, &client, sql).await;
        rows(&client, "SET read_ahead = on").await.unwrap();
        let (on, answer_on) = asked(&s3, &client, sql).await;
        assert_eq!(answer_on, answer_off, "{sql}");
        let unordered = |counts| RequestCounts { most_waiting: 0, ..counts };
        assert_eq!(unordered(on), unordered(off), "{sql}: the same requests and bytes");
        assert_eq!(off.most_waiting, 1, "{sql}: {off:?}");
        assert_eq!(on.most_waiting > 2, is_ahead, "{sql}: {on:?}");
    }
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_large_files_are_begun_with_the_columns_that_are_read() {
    let s3 = S3Server::start("lake").await.unwrap();
    let lake = s3.root().join("lake");
    for file in 0..24 {
        let plain = plain_rows(file * 50_000, (file + 1) * 50_000).unwrap();
        write_parquet(&lake.join(format!("mid/{file:02}.parquet")), &[plain], 25_000).unwrap();
    }
    // One without a column, and one where a column has one value, which is not read.
    let few = plain_rows(0, 50_000).unwrap().project(&[0, 1]).unwrap();
    write_parquet(&lake.join("mid/90.parquet"), &[few], 25_000).unwrap();
    let rows_of = |value: f64| {
        let plain = plain_rows(0, 50_000).unwrap();
        let mut columns = plain.columns().to_vec();
        columns[2] = std::sync::Arc::new(arrow::array::Float64Array::from(vec![value; 50_000]));
        arrow::array::RecordBatch::try_new(plain.schema(), columns).unwrap()
    };
    write_parquet(&lake.join("mid/91.parquet"), &[rows_of(1.5)], 25_000).unwrap();
    let data_dir = tempfile::tempdir().unwrap();
    let (server, client) = start(&s3, data_dir.path()).await;
    let table = "CREATE EXTERNAL TABLE mid (id bigint, name string, value double) STORED AS PARQUET
                 LOCATION 's3://lake/mid/'";
    rows(&client, table).await.unwrap();
    rows(&client, "SELECT sum(id) FROM mid").await.unwrap();
    s3.faults.latency_ms.store(20, Ordering::SeqCst);
    for sql in [
        "SELECT count(name) || ' ' || sum(id) FROM mid",
        "SELECT count(value) || ' ' || sum(id) || max(name) FROM mid",
        "SELECT sum(value) FROM mid",
    ] {
        rows(&client, "SET read_ahead = off").await.unwrap();
        let (off, answer_off) = asked(&s3, &client, sql).await;
        rows(&client, "SET read_ahead = on").await.unwrap();
        let (on, answer_on) = asked(&s3, &client, sql).await;
        assert_eq!(answer_on, answer_off, "{sql}");
        let unordered = |counts| RequestCounts { most_waiting: 0, ..counts };
        assert_eq!(unordered(on), unordered(off), "{sql}: the same requests and bytes");
        assert!(on.most_waiting >= MANY && off.most_waiting < MANY, "{sql}: {on:?}, without {off:?}");
    }
    drop(client);
    server.shutdown().await;
    // A server that has read no footer: each file's end, and its row groups.
    let (server, client) = start(&s3, data_dir.path()).await;
    let (counts, _) = asked(&s3, &client, "SELECT sum(id) FROM mid").await;
    assert!(counts.most_waiting >= MANY, "{counts:?}");
    assert!(counts.get <= 26 * 3, "{counts:?}");
    server.shutdown().await;
}
