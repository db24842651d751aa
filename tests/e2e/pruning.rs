//! Prune before listing: shown by counting the requests that a real S3 server got, never by timing.

use limnos_tests::s3::S3Server;
use limnos_tests::server::TestServer;
use limnos_tests::{client, lake};
use tokio_postgres::Client;

const PARTITIONS: usize = 10_000;

/// A table of 10,000 partitions in S3, catalogued, on a server that has read nothing of it yet.
async fn many(s3: &S3Server) -> (tempfile::TempDir, TestServer, Client) {
    lake::many_partitions(&s3.root().join("lake/many"), PARTITIONS).unwrap();
    let data_dir = tempfile::tempdir().unwrap();
    let (options, root) = (s3.options(), "s3://lake/".to_owned());
    let start = || {
        let (options, root) = (options.clone(), root.clone());
        TestServer::start_in(data_dir.path(), &[], move |serve| {
            serve.engine.stores.roots.push(root);
            serve.engine.stores.s3 = options;
        })
    };
    let server = start().await.unwrap();
    let client = server.client().await.unwrap();
    client::rows(
        &client,
        "CREATE EXTERNAL TABLE many (id bigint, name string, value double) PARTITIONED BY (day string)
         STORED AS PARQUET LOCATION 's3://lake/many/'; MSCK REPAIR TABLE many",
    )
    .await
    .unwrap();
    drop(client);
    server.shutdown().await;
    // A new server, so that nothing is cached.
    let server = start().await.unwrap();
    let client = server.client().await.unwrap();
    s3.reset_counts();
    (data_dir, server, client)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_point_query_on_ten_thousand_partitions_is_at_most_five_requests() {
    let s3 = S3Server::start("lake").await.unwrap();
    let (_data_dir, server, client) = many(&s3).await;
    let rows = client::rows(&client, "SELECT id, name, day FROM many WHERE day = '07042' AND id = 1").await.unwrap();
    assert_eq!(rows, [[Some("1".to_owned()), Some("row 1".to_owned()), Some("07042".to_owned())]]);
    let counts = s3.counts();
    assert!(counts.total() <= 5, "{counts:?}");
    // At most the one folder is listed.
    assert!(counts.list <= 1, "{counts:?}");
    // Asked again, the footer is known.
    s3.reset_counts();
    client::rows(&client, "SELECT name FROM many WHERE day = '07042' AND id = 1").await.unwrap();
    assert!(s3.counts().total() <= 3, "{:?}", s3.counts());

    // What needs nothing asks for nothing.
    s3.reset_counts();
    assert_eq!(client::value(&client, "SELECT count(*) FROM many WHERE day = 'none'").await.unwrap().unwrap(), "0");
    assert_eq!(s3.counts().total(), 0, "{:?}", s3.counts());

    // Ranges, lists and functions of the key prune, too: one LIST and a footer and a page per partition at most.
    for (sql, kept) in [
        ("SELECT sum(id) FROM many WHERE day >= '09990'", 10),
        ("SELECT sum(id) FROM many WHERE day IN ('00001', '00002', '05000')", 3),
        ("SELECT sum(id) FROM many WHERE day = '00003' OR day = '00004'", 2),
        ("SELECT sum(id) FROM many WHERE substr(day, 2) = '1234'", 1),
        ("SELECT sum(id) FROM many WHERE day BETWEEN '00100' AND '00104'", 5),
        ("SELECT sum(id) FROM many WHERE cast(day AS int) = 77", 1),
    ] {
        s3.reset_counts();
        let sum = client::value(&client, sql).await.unwrap().unwrap();
        assert_eq!(sum, (3 * kept).to_string(), "{sql}");
        let counts = s3.counts();
        assert!(counts.total() <= 5 * kept, "{sql}: {counts:?}");
    }
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_says_what_was_pruned() {
    let lake = lake::slt_lake().unwrap();
    let server = TestServer::start(&[lake.path()]).await.unwrap();
    let client = server.client().await.unwrap();
    client::rows(
        &client,
        &format!(
            "CREATE EXTERNAL TABLE events (id bigint, name string, value double) PARTITIONED BY (dt string)
             STORED AS PARQUET LOCATION '{}'; MSCK REPAIR TABLE events;
             CREATE EXTERNAL TABLE wide (id bigint, name string, value double) STORED AS PARQUET LOCATION '{}'",
            lake.path().join("events").display(),
            lake.path().join("wide").display()
        ),
    )
    .await
    .unwrap();
    let explain = async |sql: &str| {
        let rows = client::rows(&client, sql).await.unwrap();
        rows.into_iter().flatten().flatten().collect::<Vec<_>>().join("\n")
    };
    let plan = explain("EXPLAIN SELECT count(name) FROM events WHERE dt = '2024-01-03'").await;
    assert!(plan.contains("1 of 10"), "partitions kept of total in\n{plan}");
    let plan = explain("EXPLAIN ANALYZE SELECT count(name) FROM wide WHERE id = 4321").await;
    assert!(plan.contains("1 of 10"), "row groups kept of total in\n{plan}");
    assert!(plan.contains("bytes") && plan.contains("requests"), "bytes and requests in\n{plan}");
    server.shutdown().await;
}
