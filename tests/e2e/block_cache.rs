//! Remote objects kept on local disk: fewer requests and the same answers, whatever becomes of the disk or the objects.

use std::os::unix::fs::FileExt;
use std::path::Path;

use limnos_engine::scan::store::BlockCacheOptions;
use limnos_tests::s3::{RequestCounts, S3Server};
use limnos_tests::server::TestServer;
use limnos_tests::{client, lake};
use tokio_postgres::Client;

const ROWS: i64 = 200_000;

/// A table of each format, some blocks long each.
fn write_lake(s3: &S3Server) {
    let root = s3.root().join("lake");
    for (file, from) in [("a", 0), ("b", ROWS / 2)] {
        let rows = lake::plain_rows(from, from + ROWS / 2).unwrap();
        lake::write_parquet(&root.join(format!("p/{file}.parquet")), &[rows], 20_000).unwrap();
    }
    let csv: String = (0..ROWS).map(|id| format!("{id},row {id},{}\n", id as f64 / 2.0)).collect();
    let json: String = (0..ROWS).map(|id| format!("{{\"id\":{id},\"name\":\"row {id}\"}}\n")).collect();
    for (folder, file, text) in [("c", "a.csv", csv), ("j", "a.json", json)] {
        std::fs::create_dir_all(root.join(folder)).unwrap();
        std::fs::write(root.join(folder).join(file), text).unwrap();
    }
}

async fn create_tables(client: &Client) {
    let sql =
        "CREATE EXTERNAL TABLE p (id bigint, name string, value double) STORED AS PARQUET LOCATION 's3://lake/p/';
         CREATE EXTERNAL TABLE c (id bigint, name string, value double) ROW FORMAT DELIMITED FIELDS TERMINATED BY ','
           LOCATION 's3://lake/c/';
         CREATE EXTERNAL TABLE j (id bigint, name string) STORED AS JSON LOCATION 's3://lake/j/'";
    client::rows(client, sql).await.unwrap();
}

/// A server on a data folder that is kept, with a cache of `disk_bytes` or none.
async fn start(data_dir: &Path, s3: &S3Server, disk_bytes: u64) -> (TestServer, Client) {
    let options = s3.options();
    let block_cache =
        BlockCacheOptions { folder: data_dir.join("blocks"), disk_bytes: Some(disk_bytes), memory_bytes: 1 << 20 };
    let server = TestServer::start_in(data_dir, &[], move |serve| {
        serve.engine.stores.roots.push("s3://lake/".to_owned());
        serve.engine.stores.s3 = options;
        serve.engine.stores.block_cache = Some(block_cache);
    });
    let server = server.await.unwrap();
    let client = server.client().await.unwrap();
    (server, client)
}

/// The answer to a query that reads all rows, and the requests it took.
async fn sum(client: &Client, s3: &S3Server, table: &str) -> (String, RequestCounts) {
    s3.reset_counts();
    let sql = format!("SELECT sum(id) || ' ' || max(name) || ' ' || count(DISTINCT name) FROM {table}");
    let answer = client::value(client, &sql).await.unwrap().unwrap();
    (answer, s3.counts())
}

const RIGHT: &str = "19999900000 row 99999 200000";

#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_once_is_read_from_local_disk() {
    let s3 = S3Server::start("lake").await.unwrap();
    write_lake(&s3);
    let (plain_dir, data_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (plain_server, plain) = start(plain_dir.path(), &s3, 0).await;
    create_tables(&plain).await;
    let (server, client) = start(data_dir.path(), &s3, 256 << 20).await;
    create_tables(&client).await;
    for table in ["p", "c", "j"] {
        let (answer, without) = sum(&plain, &s3, table).await;
        assert_eq!(answer, RIGHT, "{table}");
        let (answer, first) = sum(&client, &s3, table).await;
        assert_eq!(answer, RIGHT, "{table}");
        assert!(first.total() <= without.total(), "{table}: {first:?}, without a cache {without:?}");
        let (answer, second) = sum(&client, &s3, table).await;
        assert_eq!(answer, RIGHT, "{table}");
        assert_eq!((second.list, second.total()), (1, 1), "{table}: {second:?}");
    }
    let told = client::rows(&client, "EXPLAIN ANALYZE SELECT sum(id) FROM c").await.unwrap();
    let told: Vec<String> = told.into_iter().filter_map(|mut row| row.remove(0)).collect();
    let size = s3.root().join("lake/c/a.csv").metadata().unwrap().len();
    let line = format!("  Requests: 1, bytes read: {size}, from cache: {size}");
    assert!(told.contains(&line), "{line}: {told:?}");
    let usage = "SELECT hits > 0 AND misses > 0 AND bytes <= limit_bytes AND entries > 20 FROM system.caches WHERE name = 'blocks'";
    assert_eq!(client::value(&client, usage).await.unwrap().as_deref(), Some("t"));
    plain_server.shutdown().await;
    server.shutdown().await;

    // Another process: footers are not in memory any more.
    let (server, client) = start(data_dir.path(), &s3, 256 << 20).await;
    for table in ["p", "c", "j"] {
        let (answer, again) = sum(&client, &s3, table).await;
        assert_eq!(answer, RIGHT, "{table}");
        assert_eq!((again.list, again.total()), (1, 1), "{table} after a restart: {again:?}");
    }
    // A file is replaced by one of the same length.
    let csv: String = (0..ROWS).rev().map(|id| format!("{id},row {id},{}\n", id as f64 / 2.0)).collect();
    std::fs::write(s3.root().join("lake/c/a.csv"), csv.replace("row 99999,", "row XXXXX,")).unwrap();
    let (answer, replaced) = sum(&client, &s3, "c").await;
    assert_eq!((answer.as_str(), replaced.get), ("19999900000 row XXXXX 200000", 1));

    client::rows(&client, "ALTER SYSTEM DROP CACHE blocks").await.unwrap();
    client::rows(&client, "ALTER SYSTEM DROP CACHE footers").await.unwrap();
    client::rows(&client, "ALTER SYSTEM DROP CACHE results").await.unwrap();
    let (answer, dropped) = sum(&client, &s3, "p").await;
    assert_eq!(answer, RIGHT);
    assert!(dropped.get > 0, "{dropped:?}");
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_that_want_the_same_blocks_fetch_them_once() {
    let s3 = S3Server::start("lake").await.unwrap();
    write_lake(&s3);
    for table in ["p", "c", "j"] {
        let data_dir = tempfile::tempdir().unwrap();
        let (server, client) = start(data_dir.path(), &s3, 256 << 20).await;
        create_tables(&client).await;
        let (_, alone) = sum(&client, &s3, table).await;
        server.shutdown().await;
        let data_dir = tempfile::tempdir().unwrap();
        let (server, client) = start(data_dir.path(), &s3, 256 << 20).await;
        create_tables(&client).await;
        s3.faults.latency_ms.store(100, std::sync::atomic::Ordering::SeqCst);
        s3.reset_counts();
        let clients = [server.client().await.unwrap(), server.client().await.unwrap(), server.client().await.unwrap()];
        let sql = format!("SELECT sum(id) || ' ' || max(name) || ' ' || count(DISTINCT name) FROM {table}");
        let answers = futures::future::join_all(clients.iter().map(|client| client::value(client, &sql))).await;
        s3.faults.latency_ms.store(0, std::sync::atomic::Ordering::SeqCst);
        for answer in answers {
            assert_eq!(answer.unwrap().as_deref(), Some(RIGHT), "{table}");
        }
        let together = s3.counts();
        // No block twice. Where one query has asked for the middle of what another is about to ask for, that is two requests.
        assert_eq!(
            together.body_bytes, alone.body_bytes,
            "{table}: three queries took {together:?}, one takes {alone:?}"
        );
        assert!(together.get < 2 * alone.get, "{table}: three queries took {together:?}, one takes {alone:?}");
        server.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_or_missing_disk_costs_no_answer() {
    let s3 = S3Server::start("lake").await.unwrap();
    write_lake(&s3);
    let data_dir = tempfile::tempdir().unwrap();
    let (server, client) = start(data_dir.path(), &s3, 64 << 20).await;
    create_tables(&client).await;
    for table in ["p", "c", "j"] {
        assert_eq!(sum(&client, &s3, table).await.0, RIGHT);
    }
    server.shutdown().await;
    // Bytes flipped all over, and one file cut.
    let folder = data_dir.path().join("blocks");
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    for path in &files {
        let file = std::fs::File::options().read(true).write(true).open(path).unwrap();
        for at in (5_000..file.metadata().unwrap().len()).step_by(777_777) {
            let mut byte = [0];
            file.read_exact_at(&mut byte, at).unwrap();
            file.write_all_at(&[byte[0] ^ 0x55], at).unwrap();
        }
    }
    std::fs::File::options().write(true).open(&files[1]).unwrap().set_len(12_345).unwrap();
    let (server, client) = start(data_dir.path(), &s3, 64 << 20).await;
    for _ in 0..2 {
        for table in ["p", "c", "j"] {
            assert_eq!(sum(&client, &s3, table).await.0, RIGHT, "{table}");
        }
    }
    server.shutdown().await;
    // The folder can't be made: no cache, and no failure.
    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::write(&folder, "not a folder").unwrap();
    let (server, client) = start(data_dir.path(), &s3, 64 << 20).await;
    for table in ["p", "c", "j"] {
        assert_eq!(sum(&client, &s3, table).await.0, RIGHT, "{table}");
    }
    server.shutdown().await;
}
