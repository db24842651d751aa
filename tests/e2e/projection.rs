//! Partition projection where SQL tests can't look: requests to a real S3 server, warnings to clients, EXPLAIN, the clock.

use std::sync::Arc;

use limnos_engine::clock::MockClock;
use limnos_tests::s3::S3Server;
use limnos_tests::server::TestServer;
use limnos_tests::{client, lake};
use tokio_postgres::{AsyncMessage, Client, NoTls};

/// A table of 200 folders in S3, projected as 100,000, on a server that has read nothing of it yet.
async fn projected(s3: &S3Server) -> (TestServer, Client) {
    lake::many_partitions(&s3.root().join("lake/many"), 200).unwrap();
    let server = TestServer::start_on_s3(s3, "lake", &[]).await.unwrap();
    let client = server.client().await.unwrap();
    client::rows(
        &client,
        "CREATE EXTERNAL TABLE many (id bigint, name string, value double) PARTITIONED BY (day string)
         STORED AS PARQUET LOCATION 's3://lake/many/'
         TBLPROPERTIES ('projection.enabled' = 'true', 'projection.day.type' = 'integer',
             'projection.day.range' = '0,99999', 'projection.day.digits' = '5')",
    )
    .await
    .unwrap();
    s3.reset_counts();
    (server, client)
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_grow_with_the_partitions_that_are_kept() {
    let s3 = S3Server::start("lake").await.unwrap();
    let (server, client) = projected(&s3).await;
    // Each kept partition is one LIST, each file a few GETs; a folder that isn't there is its LIST and nothing else.
    for (sql, kept, found) in [
        ("SELECT count(name) FROM many WHERE day = '00042'", 1, 1),
        ("SELECT count(name) FROM many WHERE day IN ('00001', '00002', '50000')", 3, 2),
        ("SELECT count(name) FROM many WHERE day BETWEEN '00195' AND '00204'", 10, 5),
        ("SELECT count(name) FROM many WHERE day = '00003' OR (day = '00004' AND id >= 0)", 2, 2),
        ("SELECT count(name) FROM many WHERE substr(day, 2) = '0123' AND day < '2'", 2, 1),
        ("SELECT count(name) FROM many WHERE day LIKE '0005_'", 10, 10),
        ("SELECT count(name) FROM many WHERE day >= '99900'", 100, 0),
        ("SELECT count(name) FROM many WHERE day = '42'", 0, 0),
        ("SELECT count(name) FROM many WHERE day = '100000'", 0, 0),
    ] {
        s3.reset_counts();
        let count = client::value(&client, sql).await.unwrap().unwrap();
        assert_eq!(count, (3 * found).to_string(), "{sql}");
        let counts = s3.counts();
        assert_eq!(counts.list, kept, "{sql}: {counts:?}");
        assert!(counts.total() <= kept + 4 * found, "{sql}: {counts:?}");
    }
    server.shutdown().await;
}

/// No folder is listed that the predicate excludes, nor the table's own: the store would refuse.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_excluded_is_not_listed() {
    let s3 = S3Server::start("lake").await.unwrap();
    let row = lake::parquet_bytes(&[lake::plain_rows(0, 3).unwrap()], 10).unwrap();
    for folder in ["open/2024/01/01", "open/2024/01/02", "secret/2024/01/01"] {
        let folder = s3.root().join("lake/logs").join(folder);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("a.parquet"), &row).unwrap();
    }
    let server = TestServer::start_on_s3(&s3, "lake", &[]).await.unwrap();
    let client = server.client().await.unwrap();
    client::rows(
        &client,
        "CREATE EXTERNAL TABLE logs (id bigint) PARTITIONED BY (team string, day date)
         STORED AS PARQUET LOCATION 's3://lake/logs/'
         TBLPROPERTIES ('projection.enabled' = 'true', 'projection.team.type' = 'enum',
             'projection.team.values' = 'secret,open', 'projection.day.type' = 'date',
             'projection.day.format' = 'yyyy/MM/dd', 'projection.day.range' = '2023/12/01,2024/03/31',
             'storage.location.template' = 's3://lake/logs/${team}/${day}/')",
    )
    .await
    .unwrap();
    *s3.faults.denied_prefix.lock().unwrap() = Some("logs/secret".to_owned());
    s3.reset_counts();
    let sql = "SELECT count(id) FROM logs WHERE team = 'open'";
    assert_eq!(client::value(&client, sql).await.unwrap().unwrap(), "6");
    // 122 days; a flat listing of what they share would be fewer, and see what it must not.
    assert_eq!(s3.counts().list, 122);
    client::fails(&client, "SELECT count(id) FROM logs WHERE day = '2024-01-01'", "42501", "logs/secret")
        .await
        .unwrap();
    server.shutdown().await;
}

/// Connects and gathers what the server notices.
async fn noticing(server: &TestServer) -> (Client, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let (client, mut connection) = client::config(server.pg_address()).connect(NoTls).await.unwrap();
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        let messages = futures::stream::poll_fn(move |cx| connection.poll_message(cx));
        let mut messages = std::pin::pin!(messages);
        while let Some(Ok(message)) = futures::StreamExt::next(&mut messages).await {
            if let AsyncMessage::Notice(notice) = message {
                let _gone = sender.send(format!("{} {} {}", notice.severity(), notice.code().code(), notice.message()));
            }
        }
    });
    (client, receiver)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_predicate_out_of_the_projected_range_is_told() {
    let lake = lake::slt_lake().unwrap();
    let now = "2024-01-04T12:00:00Z".parse().unwrap();
    let clock = MockClock::new(now);
    let server_clock = Arc::clone(&clock);
    let server = TestServer::start_with(&[lake.path()], move |serve| serve.clock = server_clock).await.unwrap();
    let (client, mut notices) = noticing(&server).await;
    let events = lake.path().join("events").display().to_string();
    client::rows(
        &client,
        &format!(
            "CREATE EXTERNAL TABLE events (id bigint, name string, value double) PARTITIONED BY (dt string)
             STORED AS PARQUET LOCATION '{events}'
             TBLPROPERTIES ('projection.enabled' = 'true', 'projection.dt.type' = 'date',
                 'projection.dt.format' = 'yyyy-MM-dd', 'projection.dt.range' = '2024-01-02,NOW')"
        ),
    )
    .await
    .unwrap();
    let told = |day: &str, last: &str| {
        format!(
            "WARNING 01000 table \"default.events\" has no partition for \"dt\" = \"{day}\": \"dt\" is projected as \
             \"2024-01-02\" to \"{last}\""
        )
    };
    let count = async |sql: &str| client::value(&client, sql).await.unwrap().unwrap();
    let mut drained = || std::iter::from_fn(|| notices.try_recv().ok()).collect::<Vec<_>>();

    assert_eq!(count("SELECT count(*) FROM events").await, "600");
    assert_eq!(count("SELECT count(*) FROM events WHERE dt = '2024-01-04'").await, "200");
    assert_eq!(drained(), Vec::<String>::new());
    assert_eq!(count("SELECT count(*) FROM events WHERE dt = '1999-01-01'").await, "0");
    assert_eq!(drained(), [told("1999-01-01", "2024-01-04")]);
    // It is there, and not projected yet.
    assert_eq!(count("SELECT count(*) FROM events WHERE dt = '2024-01-05'").await, "0");
    assert_eq!(drained(), [told("2024-01-05", "2024-01-04")]);
    // Each thing once, however often it is planned; a prepared statement when it runs.
    count(
        "SELECT count(*) FROM events a JOIN events b ON a.id = b.id WHERE a.dt = '2024-01-05' AND b.dt = '2024-01-05'",
    )
    .await;
    assert_eq!(drained().len(), 1);
    let sql = "SELECT count(*) FROM events WHERE dt = $1";
    let statement = client.prepare(sql).await.unwrap();
    assert_eq!(drained(), Vec::<String>::new());
    for (day, rows) in [("2024-01-05", 0_i64), ("2024-01-03", 200)] {
        let row = client.query_one(&statement, &[&day]).await.unwrap();
        assert_eq!(row.get::<_, i64>(0), rows, "{day}");
    }
    assert_eq!(drained(), [told("2024-01-05", "2024-01-04")]);

    // The same session, a day later: NOW is the statement's, also of one that was prepared before.
    clock.set("2024-01-05T00:00:00Z".parse().unwrap());
    assert_eq!(count("SELECT count(*) FROM events WHERE dt = '2024-01-05'").await, "200");
    assert_eq!(client.query_one(&statement, &[&"2024-01-05"]).await.unwrap().get::<_, i64>(0), 200);
    assert_eq!(count("SELECT count(*) FROM events").await, "800");
    assert_eq!(drained(), Vec::<String>::new());

    // EXPLAIN says how many there are.
    let explain = client::rows(&client, "EXPLAIN SELECT * FROM events WHERE dt >= '2024-01-03'").await.unwrap();
    let plan: Vec<String> = explain.into_iter().flatten().flatten().collect();
    assert!(plan.iter().any(|line| line.trim() == "Partitions: 3 of 4 (projected)"), "{plan:#?}");

    // Over HTTP, too.
    let answer = post(&server, "SELECT count(*) FROM events WHERE dt = '2031-01-01'").await;
    assert!(answer.contains("x-limnos-notices: ") && answer.contains("2031-01-01"), "{answer}");

    // What the catalog has of a projected table is not used, and commands on it say so.
    let unused = "WARNING 01000 partitions of table \"default.events\" are projected from its properties; queries do not \
                  use those in the catalog";
    for sql in [
        "SHOW PARTITIONS events",
        "ALTER TABLE events ADD IF NOT EXISTS PARTITION (dt = '2024-01-09')",
        "ALTER TABLE events DROP IF EXISTS PARTITION (dt = '2024-01-09')",
        "MSCK REPAIR TABLE events",
    ] {
        client::rows(&client, sql).await.unwrap();
        assert_eq!(drained().first().map(String::as_str), Some(unused), "{sql}");
    }
    assert_eq!(count("SELECT count(*) FROM events").await, "800");
    server.shutdown().await;
}

/// One HTTP request, whole: head and body.
async fn post(server: &TestServer, sql: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let address = server.http_address();
    let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!(
        "POST /query?format=csv HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/sql\r\nConnection: close\r\n\
         Content-Length: {}\r\n\r\n{sql}",
        sql.len()
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    answer
}
