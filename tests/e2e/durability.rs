//! What was acknowledged is there: after `kill -9` at any moment, after SIGTERM, after a restart.

use std::time::{Duration, Instant};

use limnos_tests::process::ServerProcess;
use limnos_tests::{client, lake};

#[tokio::test(flavor = "multi_thread")]
async fn kill_at_any_moment_loses_nothing_that_was_acknowledged() {
    let data_dir = tempfile::tempdir().unwrap();
    let lake = lake::slt_lake().unwrap();
    let wide = lake.path().join("wide").display().to_string();
    // What must be there, and what the last kill left open: asked for, not acknowledged.
    let (mut acknowledged, mut open) = (Vec::<String>::new(), None::<String>);
    for round in 0..8_u64 {
        let server = ServerProcess::start(data_dir.path(), lake.path(), None).unwrap();
        let connection = server.client().await.unwrap();
        let mut tables: Vec<String> = client::rows(&connection, "SHOW TABLES")
            .await
            .unwrap()
            .into_iter()
            .map(|row| row.last().cloned().flatten().unwrap())
            .collect();
        tables.sort();
        if let Some(maybe) = open.take()
            && tables.contains(&maybe)
        {
            acknowledged.push(maybe);
        }
        acknowledged.sort();
        assert_eq!(tables, acknowledged, "round {round}");
        // Each one whole: it can be read.
        if let Some(last) = acknowledged.last() {
            let count = client::value(&connection, &format!("SELECT count(*) FROM {last}")).await.unwrap();
            assert_eq!(count.as_deref(), Some("10000"), "{last}");
        }
        // The kill comes at another moment each round, while statements run one after the other.
        let deadline = Instant::now() + Duration::from_millis(20 + 37 * round);
        let killer = tokio::task::spawn_blocking(move || {
            std::thread::sleep(deadline.saturating_duration_since(Instant::now()));
            server.kill().unwrap();
        });
        for number in 0.. {
            let name = format!("t{round:02}_{number:05}");
            let sql = format!(
                "CREATE EXTERNAL TABLE {name} (id bigint, name string, value double) STORED AS PARQUET LOCATION '{wide}'"
            );
            open = Some(name.clone());
            if connection.simple_query(&sql).await.is_err() {
                break;
            }
            acknowledged.push(name);
            open = None;
        }
        killer.await.unwrap();
    }
    assert!(acknowledged.len() > 8, "too few statements between the kills to mean anything: {}", acknowledged.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_survives_a_graceful_restart_and_running_queries_are_waited_for() {
    let data_dir = tempfile::tempdir().unwrap();
    let lake = lake::slt_lake().unwrap();
    let server = ServerProcess::start(data_dir.path(), lake.path(), None).unwrap();
    let connection = server.client().await.unwrap();
    client::rows(
        &connection,
        &format!(
            "CREATE DATABASE shop COMMENT 'goods';
             CREATE EXTERNAL TABLE shop.events (id bigint COMMENT 'key', name string, value double)
               COMMENT 'what happened' PARTITIONED BY (dt string) STORED AS PARQUET LOCATION '{}';
             MSCK REPAIR TABLE shop.events;
             CREATE VIEW shop.firsts AS SELECT name FROM shop.events WHERE id < 2",
            lake.path().join("events").display()
        ),
    )
    .await
    .unwrap();
    // A query of about two seconds is under way when the signal comes; it must be answered.
    let slow = tokio::spawn(async move {
        client::value(&connection, "SELECT count(*) FROM generate_series(1, 30000) AS a(x), generate_series(1, 20000) AS b(x) WHERE a.x % 7 = b.x % 11").await
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    let status = tokio::task::spawn_blocking(move || server.terminate().unwrap()).await.unwrap();
    assert!(status.success(), "{status}");
    let counted: u64 = slow.await.unwrap().unwrap().unwrap().parse().unwrap();
    assert!(counted > 0);

    let server = ServerProcess::start(data_dir.path(), lake.path(), None).unwrap();
    let connection = server.client().await.unwrap();
    let count = client::value(&connection, "SELECT count(*) FROM shop.events WHERE dt = '2024-01-10'").await.unwrap();
    assert_eq!(count.as_deref(), Some("200"));
    let firsts = client::rows(&connection, "SELECT name FROM shop.firsts ORDER BY name").await.unwrap();
    assert_eq!(firsts, [[Some("row 0".to_owned())], [Some("row 1".to_owned())]]);
    let described = client::rows(&connection, "SHOW CREATE TABLE shop.events").await.unwrap();
    let text = described.into_iter().flatten().flatten().collect::<Vec<_>>().join("\n");
    assert!(text.contains("what happened") && text.contains("key") && text.contains("PARTITIONED BY"), "{text}");
}
