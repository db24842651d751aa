//! A misbehaving object store: the answer is exactly right, or the error is clear. Never a wrong count, never a hang.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use limnos_tests::s3::S3Server;
use limnos_tests::server::TestServer;
use limnos_tests::{client, lake};
use tokio_postgres::Client;

/// A table of each format in S3: 2,000 rows, the sum of `id` is 1,999,000.
async fn tables(s3: &S3Server) -> (TestServer, Client) {
    let root = s3.root().join("lake");
    lake::write_parquet(&root.join("p/a.parquet"), &[lake::plain_rows(0, 2000).unwrap()], 500).unwrap();
    let csv: String = (0..2000).map(|id| format!("{id},row {id},{}\n", f64::from(id) / 2.0)).collect();
    let json: String = (0..2000).map(|id| format!("{{\"id\":{id},\"name\":\"row {id}\"}}\n")).collect();
    for (folder, file, text) in [("c", "a.csv", csv), ("j", "a.json", json)] {
        std::fs::create_dir_all(root.join(folder)).unwrap();
        std::fs::write(root.join(folder).join(file), text).unwrap();
    }
    let server = TestServer::start_on_s3(s3, "lake", &[]).await.unwrap();
    let client = server.client().await.unwrap();
    client::rows(
        &client,
        "CREATE EXTERNAL TABLE p (id bigint, name string, value double) STORED AS PARQUET LOCATION 's3://lake/p/';
         CREATE EXTERNAL TABLE c (id bigint, name string, value double) ROW FORMAT DELIMITED FIELDS TERMINATED BY ','
           LOCATION 's3://lake/c/';
         CREATE EXTERNAL TABLE j (id bigint, name string) STORED AS JSON LOCATION 's3://lake/j/'",
    )
    .await
    .unwrap();
    (server, client)
}

const RIGHT: &str = "1999000";

#[tokio::test(flavor = "multi_thread")]
async fn passing_faults_are_retried() {
    let s3 = S3Server::start("lake").await.unwrap();
    let (server, client) = tables(&s3).await;
    for table in ["p", "c", "j"] {
        for fault in [&s3.faults.slow_down, &s3.faults.reset_mid_body] {
            fault.store(2, Ordering::SeqCst);
            let sum = client::value(&client, &format!("SELECT sum(id) FROM {table}")).await.unwrap();
            assert_eq!(sum.as_deref(), Some(RIGHT), "{table}");
            fault.store(0, Ordering::SeqCst);
        }
    }
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_body_is_never_taken_for_the_whole() {
    let s3 = S3Server::start("lake").await.unwrap();
    let (server, client) = tables(&s3).await;
    for table in ["p", "c", "j"] {
        s3.faults.short_body.store(usize::MAX, Ordering::SeqCst);
        let answer = client.simple_query(&format!("SELECT sum(id) FROM {table}")).await;
        s3.faults.short_body.store(0, Ordering::SeqCst);
        let error = answer.err().unwrap_or_else(|| panic!("{table}: half a file was taken for the whole"));
        client::check_error(&error, "58030", &format!("s3://lake/{table}/")).unwrap();
        let sum = client::value(&client, &format!("SELECT sum(id) FROM {table}")).await.unwrap();
        assert_eq!(sum.as_deref(), Some(RIGHT), "{table}");
    }
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_stays_away_is_named_in_time() {
    let s3 = S3Server::start("lake").await.unwrap();
    let (server, client) = tables(&s3).await;
    s3.faults.slow_down.store(usize::MAX, Ordering::SeqCst);
    let began = Instant::now();
    client::fails(&client, "SELECT sum(id) FROM p", "58030", "s3://lake/p").await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    s3.faults.slow_down.store(0, Ordering::SeqCst);
    let sum = client::value(&client, "SELECT sum(id) FROM p").await.unwrap();
    assert_eq!(sum.as_deref(), Some(RIGHT));
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_store_can_be_cancelled() {
    let s3 = S3Server::start("lake").await.unwrap();
    let (server, client) = tables(&s3).await;
    s3.faults.latency_ms.store(60_000, Ordering::SeqCst);
    client::rows(&client, "SET statement_timeout = '500ms'").await.unwrap();
    let began = Instant::now();
    client::fails(&client, "SELECT sum(id) FROM c", "57014", "statement timeout").await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_replaced_while_it_is_read_is_not_mixed() {
    let s3 = S3Server::start("lake").await.unwrap();
    let (server, client) = tables(&s3).await;
    // Each request takes a while, and the object is replaced every few of them by one with another sum.
    s3.faults.latency_ms.store(30, Ordering::SeqCst);
    let path = s3.root().join("lake/p/a.parquet");
    // Beside the bucket: a name that comes and goes in it would fail listings.
    let beside = tempfile::tempdir_in(s3.root().parent().unwrap()).unwrap();
    let (first, second) = (
        lake::parquet_bytes(&[lake::plain_rows(0, 2000).unwrap()], 500).unwrap(),
        lake::parquet_bytes(&[lake::plain_rows(10_000, 12_000).unwrap()], 500).unwrap(),
    );
    let replacing = tokio::spawn(async move {
        for turn in 0_usize.. {
            let next = beside.path().join("next");
            std::fs::write(&next, if turn % 2 == 0 { &second } else { &first }).unwrap();
            std::fs::rename(&next, &path).unwrap();
            tokio::time::sleep(Duration::from_millis(70)).await;
        }
    });
    for _ in 0..20 {
        match client.simple_query("SELECT sum(id), count(name) FROM p").await {
            Ok(messages) => {
                let row = messages.iter().find_map(|message| match message {
                    tokio_postgres::SimpleQueryMessage::Row(row) => Some((row.get(0), row.get(1))),
                    _ => None,
                });
                let (sum, count) = row.unwrap();
                assert!(matches!(sum, Some("1999000" | "21999000")), "{sum:?}");
                assert_eq!(count, Some("2000"));
            }
            Err(error) => client::check_error(&error, "55000", "a.parquet").unwrap(),
        }
    }
    replacing.abort();
    server.shutdown().await;
}
