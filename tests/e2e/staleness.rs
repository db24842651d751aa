//! Files change behind our back; the next query sees it, and a running one says so.

use std::path::Path;

use futures::TryStreamExt;
use limnos_tests::s3::S3Server;
use limnos_tests::server::TestServer;
use limnos_tests::{client, lake};
use tokio_postgres::Client;

async fn count_and_sum(client: &Client) -> (String, String) {
    let mut rows = client::rows(client, "SELECT count(*), sum(id) FROM t").await.unwrap();
    let row = rows.remove(0);
    (row[0].clone().unwrap(), row[1].clone().unwrap_or_default())
}

/// Writes rows `from..to` as one of the table's files.
fn write(folder: &Path, file: &str, from: i64, to: i64) {
    lake::write_parquet(&folder.join(file), &[lake::plain_rows(from, to).unwrap()], 100).unwrap();
}

/// Replaced, added and deleted files, on whichever store.
async fn changes_are_seen(client: &Client, folder: &Path) {
    let expect = async |count: &str, sum: &str, what: &str| {
        assert_eq!(count_and_sum(client).await, (count.to_owned(), sum.to_owned()), "{what}");
    };
    expect("10", "45", "at first").await;
    write(folder, "b.parquet", 10, 20);
    expect("20", "190", "one more").await;
    // The same length and name, other content.
    write(folder, "b.parquet", 20, 30);
    expect("20", "290", "one replaced").await;
    write(folder, "b.parquet", 20, 25);
    expect("15", "155", "one replaced by a shorter one").await;
    std::fs::remove_file(folder.join("a.parquet")).unwrap();
    expect("5", "110", "one gone").await;
    std::fs::remove_file(folder.join("b.parquet")).unwrap();
    expect("0", "", "all gone").await;
    write(folder, "a.parquet", 0, 10);
    expect("10", "45", "back again").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_on_local_disk_are_seen() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("t");
    write(&folder, "a.parquet", 0, 10);
    let server = TestServer::start(&[root.path()]).await.unwrap();
    let client = server.client().await.unwrap();
    let sql = format!("CREATE EXTERNAL TABLE t (id bigint) STORED AS PARQUET LOCATION '{}'", folder.display());
    client::rows(&client, &sql).await.unwrap();
    changes_are_seen(&client, &folder).await;
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_in_s3_are_seen() {
    let s3 = S3Server::start("lake").await.unwrap();
    let folder = s3.root().join("lake/t");
    write(&folder, "a.parquet", 0, 10);
    let server = TestServer::start_on_s3(&s3, "lake", &[]).await.unwrap();
    let client = server.client().await.unwrap();
    client::rows(&client, "CREATE EXTERNAL TABLE t (id bigint) STORED AS PARQUET LOCATION 's3://lake/t/'")
        .await
        .unwrap();
    changes_are_seen(&client, &folder).await;
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_deleted_in_mid_query_is_named_or_not_needed() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("t");
    const FILES: i64 = 40;
    const ROWS: i64 = 50_000;
    for file in 0..FILES {
        write(&folder, &format!("{file:02}.parquet"), file * ROWS, (file + 1) * ROWS);
    }
    let server = TestServer::start(&[root.path()]).await.unwrap();
    let client = server.client().await.unwrap();
    let sql =
        format!("CREATE EXTERNAL TABLE t (id bigint, name string) STORED AS PARQUET LOCATION '{}'", folder.display());
    client::rows(&client, &sql).await.unwrap();
    let rows = client.query_raw("SELECT id, name FROM t", Vec::<i32>::new()).await.unwrap();
    let mut rows = std::pin::pin!(rows);
    // The first rows are here, so the query runs; the reader is far from the last files, for nobody takes more rows.
    for _ in 0..10 {
        rows.try_next().await.unwrap().unwrap();
    }
    for file in FILES / 2..FILES {
        std::fs::remove_file(folder.join(format!("{file:02}.parquet"))).unwrap();
    }
    let mut count = 10;
    let ended = loop {
        match rows.try_next().await {
            Ok(Some(_)) => count += 1,
            Ok(None) => break None,
            Err(error) => break Some(error),
        }
    };
    let error = ended.unwrap_or_else(|| panic!("{count} of {} rows and no error", FILES * ROWS));
    client::check_error(&error, "55000", ".parquet").unwrap();
    let count = client::value(&client, "SELECT count(*) FROM t").await.unwrap().unwrap();
    assert_eq!(count, (FILES / 2 * ROWS).to_string());
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_come_and_go_are_repaired() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("t");
    write(&folder, "day=1/a.parquet", 0, 10);
    let server = TestServer::start(&[root.path()]).await.unwrap();
    let client = server.client().await.unwrap();
    let sql = format!(
        "CREATE EXTERNAL TABLE t (id bigint) PARTITIONED BY (day int) STORED AS PARQUET LOCATION '{}'; MSCK REPAIR TABLE t",
        folder.display()
    );
    client::rows(&client, &sql).await.unwrap();
    assert_eq!(count_and_sum(&client).await.0, "10");
    // A new file in a known partition is seen at once; a new partition when someone says so, as in Hive.
    write(&folder, "day=1/b.parquet", 10, 15);
    write(&folder, "day=2/a.parquet", 20, 30);
    assert_eq!(count_and_sum(&client).await.0, "15");
    client::rows(&client, "MSCK REPAIR TABLE t").await.unwrap();
    assert_eq!(count_and_sum(&client).await.0, "25");
    // A folder that is gone is no row, and no error; SYNC forgets it.
    std::fs::remove_dir_all(folder.join("day=1")).unwrap();
    assert_eq!(count_and_sum(&client).await.0, "10");
    client::rows(&client, "MSCK REPAIR TABLE t SYNC PARTITIONS").await.unwrap();
    let partitions = client::rows(&client, "SHOW PARTITIONS t").await.unwrap();
    assert_eq!(partitions, [[Some("day=2".to_owned())]]);
    server.shutdown().await;
}
