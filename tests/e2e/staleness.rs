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

/// A table that allows its list of files to be old: as old as it says, and not beyond what this server changes itself.
#[tokio::test(flavor = "multi_thread")]
async fn listings_are_as_old_as_a_table_allows() {
    let s3 = S3Server::start("lake").await.unwrap();
    let folder = s3.root().join("lake/t");
    write(&folder, "a.parquet", 0, 10);
    let server = TestServer::start_on_s3(&s3, "lake", &[]).await.unwrap();
    let client = server.client().await.unwrap();
    let sql = "CREATE EXTERNAL TABLE t (id bigint) STORED AS PARQUET LOCATION 's3://lake/t/' \
               TBLPROPERTIES ('limnos.freshness' = '1 hour')";
    client::rows(&client, sql).await.unwrap();
    let count = async || count_and_sum(&client).await.0;
    assert_eq!(count().await, "10");
    write(&folder, "b.parquet", 10, 20);
    s3.reset_counts();
    assert_eq!(count().await, "10");
    assert_eq!(s3.counts().list, 0);
    client::rows(&client, "ALTER SYSTEM DROP CACHE listings").await.unwrap();
    assert_eq!(count().await, "20");
    write(&folder, "c.parquet", 20, 30);
    assert_eq!(count().await, "20");
    client::rows(&client, "ALTER TABLE t SET TBLPROPERTIES ('comment' = 'x')").await.unwrap();
    assert_eq!(count().await, "30");
    // What the list says is gone or another: an error, and the next query lists anew.
    client::rows(&client, "ALTER SYSTEM DROP CACHE footers").await.unwrap();
    write(&folder, "c.parquet", 20, 22);
    let error =
        client.simple_query("SELECT max(id), min(id), count(DISTINCT id) FROM t WHERE id % 2 = 0").await.unwrap_err();
    client::check_error(&error, "55000", "c.parquet").unwrap();
    assert_eq!(count().await, "22");
    server.shutdown().await;
}

/// Text files that are replaced: between two queries the next one sees it, and within one it says so.
#[tokio::test(flavor = "multi_thread")]
async fn text_files_are_never_mixed() {
    const ROWS: i64 = 400_000;
    let root = tempfile::tempdir().unwrap();
    let text = |first: i64| (0..ROWS).map(|row| format!("{}\n", first + row % 10)).collect::<String>();
    let json = |first: i64| (0..ROWS).map(|row| format!("{{\"id\":{}}}\n", first + row % 10)).collect::<String>();
    let (csv_file, json_file) = (root.path().join("c/a.csv"), root.path().join("j/a.json"));
    for file in [&csv_file, &json_file] {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    }
    std::fs::write(&csv_file, text(10)).unwrap();
    std::fs::write(&json_file, json(10)).unwrap();
    let server = TestServer::start(&[root.path()]).await.unwrap();
    let client = server.client().await.unwrap();
    let sql = format!(
        "CREATE EXTERNAL TABLE c (id bigint) ROW FORMAT DELIMITED LOCATION '{0}/c';
         CREATE EXTERNAL TABLE j (id bigint) STORED AS JSON LOCATION '{0}/j'",
        root.path().display()
    );
    client::rows(&client, &sql).await.unwrap();
    let sum = |first: i64| (ROWS * first + ROWS / 10 * 45).to_string();
    for (table, file, new) in [("c", &csv_file, text(20)), ("j", &json_file, json(20))] {
        let query = format!("SELECT sum(id) FROM {table}");
        assert_eq!(client::value(&client, &query).await.unwrap(), Some(sum(10)), "{table}");
        // Another one of the same length takes its place, at every moment of a query.
        for pause_us in [0, 300, 1000, 3000, 10_000, 30_000, 100_000] {
            std::fs::write(file, if table == "c" { text(10) } else { json(10) }).unwrap();
            let hidden = file.with_file_name("_new");
            std::fs::write(&hidden, &new).unwrap();
            let file = file.clone();
            let replacing = tokio::task::spawn_blocking(move || {
                std::thread::sleep(std::time::Duration::from_micros(pause_us));
                std::fs::rename(hidden, file).unwrap();
            });
            match client::value(&client, &query).await {
                Ok(answer) => {
                    assert!(answer == Some(sum(10)) || answer == Some(sum(20)), "{table} {pause_us}: {answer:?}");
                }
                Err(error) => assert!(format!("{error:?}").contains("55000"), "{table} {pause_us}: {error:?}"),
            }
            replacing.await.unwrap();
            assert_eq!(client::value(&client, &query).await.unwrap(), Some(sum(20)), "{table} {pause_us}");
        }
    }
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
