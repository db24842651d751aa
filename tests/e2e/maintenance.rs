//! OPTIMIZE, and jobs with bookmarks: whenever the server is killed, each row is there once.
//!
//! `LIMNOS_WRITE_KILLS=100` makes the kills that many, as in [`crate::writes`].

use std::time::Duration;

use limnos_tests::client;
use limnos_tests::process::ServerProcess;
use limnos_tests::server::TestServer;

fn kills() -> u64 {
    std::env::var("LIMNOS_WRITE_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(5)
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_at_any_moment_leaves_each_row_once() {
    let data_dir = tempfile::tempdir().unwrap();
    let lake = tempfile::tempdir().unwrap();
    let mut inserted = 0_u64;
    for kill in 0..kills() {
        let server = ServerProcess::start(data_dir.path(), lake.path(), None).unwrap();
        let connection = server.client().await.unwrap();
        if kill == 0 {
            for sql in ["CREATE TABLE raw (n bigint)", "CREATE TABLE kept (n bigint)"] {
                connection.simple_query(sql).await.unwrap();
            }
        }
        let rows = |table: &'static str| {
            let connection = &connection;
            async move {
                let sql = format!(
                    "SELECT count(*)::text || ' ' || count(DISTINCT n) || ' ' || coalesce(max(n), 0) FROM {table}"
                );
                client::value(connection, &sql).await.unwrap().unwrap_or_default()
            }
        };
        // An INSERT whose answer was lost may have happened.
        let raw = rows("raw").await;
        let seen: u64 = raw.split(' ').next().unwrap().parse().unwrap();
        assert!(seen == inserted || seen == inserted + 1, "kill {kill}: {seen} rows, {inserted} were acknowledged");
        assert_eq!(raw, format!("{seen} {seen} {seen}"), "kill {kill}: OPTIMIZE of the source");
        inserted = seen;
        let job = "INSERT INTO kept WITH (bookmark = 'job') SELECT n FROM raw";
        connection.simple_query(job).await.unwrap();
        assert_eq!(rows("kept").await, format!("{seen} {seen} {seen}"), "kill {kill}: exactly once");
        let pause = Duration::from_millis(50 + (kill * 97) % 600);
        let killer = tokio::task::spawn_blocking(move || {
            std::thread::sleep(pause);
            server.kill().unwrap();
        });
        'alive: loop {
            let insert = format!("INSERT INTO raw VALUES ({})", inserted + 1);
            if connection.simple_query(&insert).await.is_err() {
                break;
            }
            inserted += 1;
            for sql in [job, "OPTIMIZE kept", "OPTIMIZE raw"] {
                if connection.simple_query(sql).await.is_err() {
                    break 'alive;
                }
            }
        }
        killer.await.unwrap();
    }
}

/// Of two runs of one job at once, one may lose with 40001; no row comes twice, and none is left out.
#[tokio::test(flavor = "multi_thread")]
async fn runs_of_one_job_at_once_process_each_file_once() {
    let lake = tempfile::tempdir().unwrap();
    let server = TestServer::start(&[lake.path()]).await.unwrap();
    let setup = server.client().await.unwrap();
    for sql in ["CREATE TABLE raw (n bigint)", "CREATE TABLE kept (n bigint)"] {
        setup.simple_query(sql).await.unwrap();
    }
    let mut tasks = Vec::new();
    for _ in 0..3 {
        let client = server.client().await.unwrap();
        tasks.push(tokio::spawn(async move {
            for _ in 0..10 {
                let job = "INSERT INTO kept WITH (bookmark = 'job') SELECT n FROM raw";
                if let Err(error) = client.simple_query(job).await {
                    let code = error.code().map(|code| code.code().to_owned());
                    assert_eq!(code.as_deref(), Some("40001"), "{error}");
                }
                let optimized = client.simple_query("OPTIMIZE kept").await;
                if let Err(error) = optimized {
                    let code = error.code().map(|code| code.code().to_owned());
                    assert_eq!(code.as_deref(), Some("40001"), "{error}");
                }
            }
        }));
    }
    for n in 1..=20 {
        setup.simple_query(&format!("INSERT INTO raw VALUES ({n})")).await.unwrap();
    }
    for task in tasks {
        task.await.unwrap();
    }
    setup.simple_query("INSERT INTO kept WITH (bookmark = 'job') SELECT n FROM raw").await.unwrap();
    let all = client::value(&setup, "SELECT count(*)::text || ' ' || count(DISTINCT n) FROM kept").await.unwrap();
    assert_eq!(all.as_deref(), Some("20 20"));
    server.shutdown().await;
}
