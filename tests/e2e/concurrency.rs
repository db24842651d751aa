//! Many at once: connections are cheap, answers are not mixed up, DDL and queries don't disturb each other.

use limnos_tests::server::TestServer;
use limnos_tests::{client, lake};

#[tokio::test(flavor = "multi_thread")]
async fn many_sessions_get_their_own_answers() {
    let server = TestServer::start(&[]).await.unwrap();
    let address = server.pg_address();
    let sessions: Vec<_> = (0..60_i64)
        .map(|session| {
            tokio::spawn(async move {
                let mut config = client::config(address);
                config.application_name(format!("session {session}"));
                let client = client::connect(&config).await.unwrap();
                for round in 0..10_i64 {
                    let sum =
                        client.query_one("SELECT $1::bigint * 1000 + $2::bigint", &[&session, &round]).await.unwrap();
                    assert_eq!(sum.get::<_, i64>(0), session * 1000 + round);
                    let name = client::value(&client, "SHOW application_name").await.unwrap().unwrap();
                    assert_eq!(name, format!("session {session}"));
                }
            })
        })
        .collect();
    for session in sessions {
        session.await.unwrap();
    }
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_read_on_while_tables_come_and_go() {
    let folder = lake::slt_lake().unwrap();
    let server = TestServer::start(&[folder.path()]).await.unwrap();
    let location = folder.path().join("wide").display().to_string();
    let setup = server.client().await.unwrap();
    let create = format!("CREATE EXTERNAL TABLE steady (id bigint) STORED AS PARQUET LOCATION '{location}'");
    client::rows(&setup, &create).await.unwrap();
    let mut tasks = Vec::new();
    for writer in 0..3 {
        let (client, location) = (server.client().await.unwrap(), location.clone());
        tasks.push(tokio::spawn(async move {
            for round in 0..15 {
                let name = format!("w{writer}_{round}");
                let create =
                    format!("CREATE EXTERNAL TABLE {name} (id bigint) STORED AS PARQUET LOCATION '{location}'");
                client::rows(&client, &create).await.unwrap();
                let count = client::value(&client, &format!("SELECT count(*) FROM {name}")).await.unwrap();
                assert_eq!(count.as_deref(), Some("10000"));
                client::rows(&client, &format!("DROP TABLE {name}")).await.unwrap();
            }
        }));
    }
    for _ in 0..3 {
        let client = server.client().await.unwrap();
        tasks.push(tokio::spawn(async move {
            for _ in 0..30 {
                let sum = client::value(&client, "SELECT sum(id) FROM steady").await.unwrap();
                assert_eq!(sum.as_deref(), Some("49995000"));
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let tables = client::rows(&setup, "SHOW TABLES").await.unwrap();
    assert_eq!(tables.len(), 1, "{tables:?}");
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_name_is_made_once() {
    let folder = lake::slt_lake().unwrap();
    let server = TestServer::start(&[folder.path()]).await.unwrap();
    let location = folder.path().join("wide").display().to_string();
    let mut tasks = Vec::new();
    for _ in 0..10 {
        let (client, location) = (server.client().await.unwrap(), location.clone());
        tasks.push(tokio::spawn(async move {
            let create = format!("CREATE EXTERNAL TABLE one (id bigint) STORED AS PARQUET LOCATION '{location}'");
            match client.simple_query(&create).await {
                Ok(_) => 1,
                Err(error) => {
                    client::check_error(&error, "42P07", "one").unwrap();
                    0
                }
            }
        }));
    }
    let mut made = 0;
    for task in tasks {
        made += task.await.unwrap();
    }
    assert_eq!(made, 1);
    server.shutdown().await;
}
