//! Datasets over a lake that changes: which files a refresh reads, what readers see meanwhile, what a kill leaves, what a
//! restart brings back without the source.
//!
//! `LIMNOS_DATASET_KILLS=100` makes the kills that many; a few are in the ordinary run.

use std::path::Path;
use std::time::{Duration, Instant};

use limnos_tests::process::ServerProcess;
use limnos_tests::s3::S3Server;
use limnos_tests::server::TestServer;
use limnos_tests::{client, lake};
use tokio_postgres::Client;

async fn one(client: &Client, sql: &str) -> String {
    client::value(client, sql).await.unwrap().unwrap_or_default()
}

/// Statements one by one: several in one message would be a transaction block.
async fn run(client: &Client, sql: &str) {
    for statement in sql.split("; ") {
        client::rows(client, statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
}

/// A row of text, its columns separated by spaces.
async fn row(client: &Client, sql: &str) -> String {
    let rows = client::rows(client, sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    let texts: Vec<String> = rows.into_iter().flatten().map(Option::unwrap_or_default).collect();
    texts.join(" ")
}

/// The newest ingestion: files added, changed, removed, unchanged, rows read.
async fn last(client: &Client) -> String {
    let sql = "SELECT files_added, files_changed, files_removed, files_unchanged, rows_read FROM system.ingestions \
               ORDER BY started_at DESC, ingestion_id DESC LIMIT 1";
    row(client, sql).await
}

async fn eventually(client: &Client, sql: &str, wanted: &str) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let found = match client::value(client, sql).await {
            Ok(found) => found.unwrap_or_default(),
            Err(error) => error.to_string(),
        };
        if found == wanted {
            return;
        }
        assert!(Instant::now() < deadline, "{sql}: {found} and not {wanted}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn put(path: &Path, from: i64, to: i64) {
    lake::write_parquet(path, &[lake::plain_rows(from, to).unwrap()], 100_000).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_reads_the_files_that_have_changed_and_no_others() {
    let s3 = S3Server::start("lake").await.unwrap();
    let root = s3.root().join("lake/events");
    for number in 0..40 {
        put(&root.join(format!("dt=2024-01-{:02}/{number}.parquet", number % 4 + 1)), number * 10, number * 10 + 10);
    }
    let server = TestServer::start_on_s3(&s3, "lake", &[]).await.unwrap();
    let client = server.client().await.unwrap();
    run(
        &client,
        "CREATE EXTERNAL TABLE events (id bigint, name string, value double) PARTITIONED BY (dt string) \
         STORED AS PARQUET LOCATION 's3://lake/events/'; MSCK REPAIR TABLE events; \
         CREATE DATASET d AS TABLE events",
    )
    .await;
    assert_eq!(last(&client).await, "40 0 0 0 400");
    let totals = "SELECT count(*), sum(id), count(DISTINCT dt), min(dt) FROM";
    assert_eq!(row(&client, &format!("{totals} d")).await, row(&client, &format!("{totals} events")).await);

    // Nothing: the files are listed, and none of them opened.
    s3.reset_counts();
    run(&client, "REFRESH DATASET d").await;
    assert_eq!(last(&client).await, "0 0 0 40 0");
    assert_eq!(s3.counts().get, 0, "{:?}", s3.counts());

    // One is rewritten: it alone is read.
    put(&root.join("dt=2024-01-02/5.parquet"), 5000, 5020);
    s3.reset_counts();
    run(&client, "REFRESH DATASET d").await;
    assert_eq!(last(&client).await, "0 1 0 39 20");
    assert!((1..=3).contains(&s3.counts().get), "one file is read: {:?}", s3.counts());
    assert_eq!(row(&client, &format!("{totals} d")).await, row(&client, &format!("{totals} events")).await);
    // Late data in an old partition, one of a new one, and one that is gone.
    put(&root.join("dt=2024-01-01/late.parquet"), 9000, 9001);
    put(&root.join("dt=2024-02-01/new.parquet"), 9001, 9003);
    std::fs::remove_file(root.join("dt=2024-01-04/3.parquet")).unwrap();
    run(&client, "MSCK REPAIR TABLE events").await;
    run(&client, "REFRESH DATASET d").await;
    assert_eq!(last(&client).await, "2 0 1 39 3");
    assert_eq!(row(&client, &format!("{totals} d")).await, row(&client, &format!("{totals} events")).await);
    // A partition goes with all of its rows, without a file being read.
    run(&client, "ALTER TABLE events DROP PARTITION (dt = '2024-01-03')").await;
    run(&client, "REFRESH DATASET d").await;
    assert_eq!(last(&client).await, "0 0 10 31 0");
    assert_eq!(row(&client, &format!("{totals} d")).await, row(&client, &format!("{totals} events")).await);
    assert_eq!(one(&client, "SELECT count(*) FROM d WHERE dt = '2024-01-03'").await, "0");
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_needs_no_source_and_what_is_damaged_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = tempfile::tempdir().unwrap();
    for number in 0..5 {
        put(&folder.path().join(format!("t/{number}.parquet")), number * 10, number * 10 + 10);
    }
    let start = async || TestServer::start_in(data_dir.path(), &[folder.path()], |_| {}).await.unwrap();
    let server = start().await;
    let client = server.client().await.unwrap();
    run(
        &client,
        &format!(
            "CREATE EXTERNAL TABLE t (id bigint, name string, value double) STORED AS PARQUET LOCATION '{}'",
            folder.path().join("t").display()
        ),
    )
    .await;
    run(&client, "CREATE DATASET d AS TABLE t").await;
    run(&client, "CREATE DATASET q AS SELECT name, count(*) AS n FROM t GROUP BY name").await;
    let answers = "SELECT (SELECT count(*) FROM d), (SELECT sum(id) FROM d), (SELECT count(*) FROM q)";
    let before = row(&client, answers).await;
    drop(client);
    server.shutdown().await;

    // The source is away: the rows are not.
    let away = folder.path().join("away");
    std::fs::rename(folder.path().join("t"), &away).unwrap();
    let server = start().await;
    let client = server.client().await.unwrap();
    assert_eq!(row(&client, answers).await, before);
    assert_eq!(one(&client, "SELECT count(*) FROM system.ingestions").await, "2");
    drop(client);
    server.shutdown().await;
    std::fs::rename(&away, folder.path().join("t")).unwrap();

    // Bytes that are not as they were written: found, and made anew without being asked.
    let mut damaged = 0;
    let mut folders = vec![data_dir.path().join("datasets")];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().is_some_and(|name| name != "meta.json") {
                let mut bytes = std::fs::read(&path).unwrap();
                let middle = bytes.len() / 2;
                bytes[middle] ^= 0x55;
                std::fs::write(&path, bytes).unwrap();
                damaged += 1;
            }
        }
    }
    assert!(damaged > 2, "there are files to damage");
    let server = start().await;
    let client = server.client().await.unwrap();
    assert_eq!(row(&client, answers).await, before);
    eventually(
        &client,
        "SELECT count(*) FROM system.ingestions WHERE trigger = 'RECOVERY' AND state = 'SUCCEEDED'",
        "2",
    )
    .await;
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_see_one_version_whole_and_a_block_keeps_its_own() {
    let folder = tempfile::tempdir().unwrap();
    // Every version has rows of one number only.
    let write = |number: i64| {
        for file in 0..4 {
            put(&folder.path().join(format!("t/{file}.parquet")), number * 100, number * 100 + 20);
        }
    };
    write(1);
    let server = TestServer::start(&[folder.path()]).await.unwrap();
    let client = server.client().await.unwrap();
    run(
        &client,
        &format!(
            "CREATE EXTERNAL TABLE t (id bigint, name string, value double) STORED AS PARQUET LOCATION '{}'; \
             CREATE DATASET d AS TABLE t",
            folder.path().join("t").display()
        ),
    )
    .await;
    let block = server.client().await.unwrap();
    run(&block, "BEGIN").await;
    let versions = "SELECT count(*) || ' ' || min(id / 100) || ' ' || max(id / 100) FROM d";
    assert_eq!(one(&block, versions).await, "80 1 1");
    let reader = server.client().await.unwrap();
    let reading = tokio::spawn(async move {
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..200 {
            seen.insert(one(&reader, versions).await);
        }
        seen
    });
    for number in 2..6 {
        write(number);
        run(&client, "REFRESH DATASET d").await;
        assert_eq!(one(&client, versions).await, format!("80 {number} {number}"));
    }
    for seen in reading.await.unwrap() {
        let words: Vec<&str> = seen.split(' ').collect();
        assert!(words[0] == "80" && words[1] == words[2], "{seen}");
    }
    assert_eq!(one(&block, versions).await, "80 1 1");
    run(&block, "COMMIT").await;
    assert_eq!(one(&block, versions).await, "80 5 5");
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn results_are_kept_until_a_refresh_changes_something() {
    let folder = tempfile::tempdir().unwrap();
    put(&folder.path().join("t/a.parquet"), 0, 10);
    let server = TestServer::start(&[folder.path()]).await.unwrap();
    let client = server.client().await.unwrap();
    run(
        &client,
        &format!(
            "CREATE EXTERNAL TABLE t (id bigint, name string, value double) STORED AS PARQUET LOCATION '{}'; \
             CREATE DATASET d AS TABLE t",
            folder.path().join("t").display()
        ),
    )
    .await;
    let sql = "SELECT sum(id) FROM d WHERE id > 3";
    assert_eq!(one(&client, sql).await, "39");
    let kept = format!("EXPLAIN {sql}");
    let told = async |client: &Client| row(client, &kept).await;
    let text = told(&client).await;
    assert!(text.contains("Result cache: hit"), "{text}");
    assert!(text.contains("Dataset default.d: version 1"), "{text}");
    run(&client, "REFRESH DATASET d").await;
    assert!(told(&client).await.contains("Result cache: hit"));
    put(&folder.path().join("t/b.parquet"), 10, 11);
    run(&client, "REFRESH DATASET d").await;
    let text = told(&client).await;
    assert!(!text.contains("Result cache: hit") && text.contains("version 2"), "{text}");
    assert_eq!(one(&client, sql).await, "49");
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_follows_its_files_or_the_clock_refreshes_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    put(&folder.path().join("t/a.parquet"), 0, 10);
    let server = TestServer::start(&[folder.path()]).await.unwrap();
    let client = server.client().await.unwrap();
    run(
        &client,
        &format!(
            "CREATE EXTERNAL TABLE t (id bigint, name string, value double) STORED AS PARQUET LOCATION '{}'; \
             CREATE DATASET follows WITH (refresh = 'on_change') AS TABLE t; \
             CREATE DATASET ticks WITH (refresh = '1 second') AS TABLE t",
            folder.path().join("t").display()
        ),
    )
    .await;
    put(&folder.path().join("t/b.parquet"), 10, 15);
    eventually(&client, "SELECT count(*) FROM follows", "15").await;
    eventually(&client, "SELECT count(*) FROM ticks", "15").await;
    let triggers = "SELECT DISTINCT trigger FROM system.ingestions WHERE dataset_name = ";
    assert_eq!(row(&client, &format!("{triggers} 'public.follows' ORDER BY 1")).await, "CHANGE CREATE");
    assert_eq!(row(&client, &format!("{triggers} 'public.ticks' ORDER BY 1")).await, "CREATE SCHEDULE");
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_rows_are_counted_and_the_budget_holds() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("t")).unwrap();
    std::fs::write(folder.path().join("t/a.csv"), "1,x\nno number,y\n3,z\n").unwrap();
    let server =
        TestServer::start_with(&[folder.path()], |serve| serve.engine.dataset_memory_bytes = 1 << 20).await.unwrap();
    let client = server.client().await.unwrap();
    run(
        &client,
        &format!(
            "CREATE EXTERNAL TABLE t (id bigint, name string) ROW FORMAT DELIMITED FIELDS TERMINATED BY ',' LOCATION '{}'; \
             CREATE DATASET d WITH (on_error = skip) AS TABLE t",
            folder.path().join("t").display()
        ),
    )
    .await;
    let counts = "SELECT rows_read, rows_ingested, rows_dropped FROM system.ingestions WHERE dataset_name = 'public.d'";
    assert_eq!(row(&client, counts).await, "3 2 1");
    assert_eq!(one(&client, "SELECT count(*) FROM d").await, "2");
    let big = "CREATE DATASET big AS SELECT x, md5(x::text) AS a, md5((x + 1)::text) AS b FROM generate_series(1, 100000) AS g(x)";
    let error = client.simple_query(big).await.unwrap_err();
    let error = error.as_db_error().unwrap();
    assert_eq!(error.code().code(), "53200", "{error:?}");
    assert!(error.detail().unwrap().contains("datasets may take 1024 kB together"), "{error:?}");
    // Nothing of it stays.
    assert_eq!(one(&client, "SELECT count(*) FROM system.datasets").await, "1");
    assert_eq!(one(&client, "SELECT count(*) FROM d").await, "2");
    server.shutdown().await;
}

fn kills() -> u64 {
    std::env::var("LIMNOS_DATASET_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(6)
}

/// Files are rewritten whole: before each refresh all have the rows of one number. Whatever a kill leaves is of one number.
#[tokio::test(flavor = "multi_thread")]
async fn kill_at_any_moment_leaves_the_old_version_or_the_new() {
    let data_dir = tempfile::tempdir().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let write = |number: i64| {
        for file in 0..8 {
            put(&folder.path().join(format!("t/{file}.parquet")), number * 100_000, number * 100_000 + 20_000);
        }
    };
    write(0);
    let state = "SELECT count(*) || ' ' || min(id / 100000) || ' ' || max(id / 100000) FROM d";
    // What was acknowledged last, and what was asked for after it.
    let (mut acknowledged, mut number) = (0_i64, 0_i64);
    for kill in 0..kills() {
        let server = ServerProcess::start(data_dir.path(), folder.path(), None).unwrap();
        let client = server.client().await.unwrap();
        if kill == 0 {
            run(
                &client,
                &format!(
                    "CREATE EXTERNAL TABLE t (id bigint, name string, value double) STORED AS PARQUET LOCATION '{}'; \
                     CREATE DATASET d AS TABLE t",
                    folder.path().join("t").display()
                ),
            )
            .await;
        }
        let found = one(&client, state).await;
        let words: Vec<&str> = found.split(' ').collect();
        assert!(words[0] == "160000" && words[1] == words[2], "kill {kill}: {found}");
        let seen: i64 = words[1].parse().unwrap();
        assert!((acknowledged..=number).contains(&seen), "kill {kill}: {seen} of {acknowledged}..={number}");
        // No ingestion goes on that nobody carries on.
        assert_eq!(one(&client, "SELECT count(*) FROM system.ingestions WHERE state = 'RUNNING'").await, "0");
        let pause = Duration::from_millis(30 + (kill * 131) % 900);
        let killer = tokio::task::spawn_blocking(move || {
            std::thread::sleep(pause);
            server.kill().unwrap();
        });
        loop {
            number += 1;
            write(number);
            if client.simple_query("REFRESH DATASET d").await.is_err() {
                break;
            }
            acknowledged = number;
        }
        killer.await.unwrap();
    }
    let server = ServerProcess::start(data_dir.path(), folder.path(), None).unwrap();
    let client = server.client().await.unwrap();
    run(&client, "REFRESH DATASET d").await;
    assert_eq!(one(&client, state).await, format!("160000 {number} {number}"));
}
