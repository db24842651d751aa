//! Several servers on one catalog in PostgreSQL. Skipped, and said so, where PostgreSQL isn't installed.

use std::path::Path;
use std::time::{Duration, Instant};

use limnos_catalog::Location;
use limnos_test_postgres::{PostgresServer, fresh_schema};
use limnos_tests::server::TestServer;
use limnos_tests::{client, lake};
use tokio_postgres::Client;

/// A server of its own data folder on the catalog at `url`.
async fn start(url: &str, root: &Path) -> TestServer {
    let location = Location::parse(url).unwrap();
    TestServer::start_with(&[root], |options| options.catalog = location).await.unwrap()
}

/// Asks until the answer is `wanted`.
async fn eventually(client: &Client, sql: &str, wanted: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let answer = client::value(client, sql).await;
        if answer.as_ref().is_ok_and(|value| value.as_deref() == Some(wanted)) {
            return;
        }
        assert!(Instant::now() < deadline, "{sql}: {answer:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn create_events(lake: &Path) -> String {
    format!(
        "CREATE EXTERNAL TABLE events (id bigint, name string, value double) PARTITIONED BY (dt string)
         STORED AS PARQUET LOCATION '{}'",
        lake.join("events").display()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_serve_one_catalog() {
    let Some(url) = fresh_schema() else { return };
    let lake = lake::slt_lake().unwrap();
    let (one, other) = (start(&url, lake.path()).await, start(&url, lake.path()).await);
    let (here, there) = (one.client().await.unwrap(), other.client().await.unwrap());
    client::rows(&here, &create_events(lake.path())).await.unwrap();
    eventually(&there, "SELECT count(*) FROM events", "0").await;
    client::rows(&there, "MSCK REPAIR TABLE events").await.unwrap();
    eventually(&here, "SELECT count(*) FROM events", "2000").await;
    client::rows(&here, "CREATE VIEW firsts AS SELECT name FROM events WHERE id < 2").await.unwrap();
    eventually(&there, "SELECT count(*) FROM firsts", "2").await;

    // A transaction goes on with the snapshot that it began with, whatever the other server does.
    client::rows(&there, "BEGIN").await.unwrap();
    assert_eq!(client::value(&there, "SELECT count(*) FROM events").await.unwrap().as_deref(), Some("2000"));
    client::rows(&here, "ALTER TABLE events DROP PARTITION (dt = '2024-01-01')").await.unwrap();
    client::rows(&here, "DROP VIEW firsts").await.unwrap();
    client::rows(&here, "CREATE DATABASE more").await.unwrap();
    assert_eq!(client::value(&there, "SELECT count(*) FROM events").await.unwrap().as_deref(), Some("2000"));
    assert_eq!(client::value(&there, "SELECT count(*) FROM firsts").await.unwrap().as_deref(), Some("2"));
    client::rows(&there, "COMMIT").await.unwrap();
    eventually(&there, "SELECT count(*) FROM events", "1800").await;

    // A server that starts later finds all of it, and so does one that is started again.
    drop(there);
    other.shutdown().await;
    let other = start(&url, lake.path()).await;
    let there = other.client().await.unwrap();
    assert_eq!(client::value(&there, "SELECT count(*) FROM events").await.unwrap().as_deref(), Some("1800"));
    client::fails(&there, "SELECT * FROM firsts", "42P01", "firsts").await.unwrap();
    drop((here, there));
    one.shutdown().await;
    other.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_two_servers_change_one_table() {
    const PARTITIONS: usize = 30;
    let Some(url) = fresh_schema() else { return };
    let lake = lake::slt_lake().unwrap();
    let servers = [start(&url, lake.path()).await, start(&url, lake.path()).await];
    let first = servers[0].client().await.unwrap();
    client::rows(&first, &create_events(lake.path())).await.unwrap();
    let mut tasks = Vec::new();
    for (number, server) in servers.iter().enumerate() {
        // Two clients of each.
        for half in 0..2 {
            let client = server.client().await.unwrap();
            tasks.push(tokio::spawn(async move {
                eventually(&client, "SELECT count(*) FROM events", "0").await;
                for n in 0..PARTITIONS {
                    let add = format!("ALTER TABLE events ADD PARTITION (dt = '{number}-{half}-{n}')");
                    client::rows(&client, &add).await.unwrap();
                    let create = format!("CREATE VIEW v{number}_{half}_{n} AS SELECT {n} AS n");
                    client::rows(&client, &create).await.unwrap();
                    // What a server has made it has, at once.
                    let view = client::value(&client, &format!("SELECT n FROM v{number}_{half}_{n}")).await.unwrap();
                    assert_eq!(view, Some(n.to_string()));
                }
            }));
        }
    }
    for task in tasks {
        task.await.unwrap();
    }
    let views = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public' AND table_name LIKE 'v%'";
    for server in &servers {
        let client = server.client().await.unwrap();
        eventually(&client, views, &(4 * PARTITIONS).to_string()).await;
        let shown = client::rows(&client, "SHOW PARTITIONS events").await.unwrap();
        assert_eq!(shown.len(), 4 * PARTITIONS);
    }
    // The same partition twice is once.
    let second = servers[1].client().await.unwrap();
    let add = "ALTER TABLE events ADD PARTITION (dt = 'same')";
    let (here, there) = tokio::join!(first.simple_query(add), second.simple_query(add));
    assert!(here.is_ok() != there.is_ok(), "{here:?} {there:?}");
    client::check_error(&here.err().or(there.err()).unwrap(), "42710", "events/dt=same").unwrap();
    drop((first, second));
    for server in servers {
        server.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_outlives_its_catalogs_postgresql() {
    let Some(postgres) = PostgresServer::start() else { return };
    let lake = lake::slt_lake().unwrap();
    let server = start(&postgres.url(), lake.path()).await;
    let client = server.client().await.unwrap();
    client::rows(&client, &create_events(lake.path())).await.unwrap();
    client::rows(&client, "MSCK REPAIR TABLE events").await.unwrap();
    assert_eq!(client::value(&client, "SELECT count(*) FROM events").await.unwrap().as_deref(), Some("2000"));

    let postgres = tokio::task::spawn_blocking(move || {
        postgres.stop();
        postgres
    });
    let postgres = postgres.await.unwrap();
    // Nothing changes without the store, and what is known can still be read.
    client::fails(&client, "CREATE DATABASE sales", "58030", "is out of reach").await.unwrap();
    client::fails(&client, "ALTER TABLE events ADD PARTITION (dt = 'x')", "58030", "is out of reach").await.unwrap();
    assert_eq!(client::value(&client, "SELECT count(*) FROM events").await.unwrap().as_deref(), Some("2000"));

    let postgres = tokio::task::spawn_blocking(move || {
        postgres.start_again();
        postgres
    });
    let postgres = postgres.await.unwrap();
    client::rows(&client, "CREATE DATABASE sales").await.unwrap();
    client::rows(&client, "ALTER TABLE events DROP PARTITION (dt = '2024-01-01')").await.unwrap();
    assert_eq!(client::value(&client, "SELECT count(*) FROM events").await.unwrap().as_deref(), Some("1800"));
    drop(client);
    server.shutdown().await;
    drop(postgres);
}
