//! Rows that are written: old or new, whenever a writer is killed, however many write, whoever reads meanwhile. On local disk
//! and on S3.
//!
//! `LIMNOS_WRITE_KILLS=100` makes the kills that many; a few are in the ordinary run.

use std::path::Path;
use std::time::{Duration, Instant};

use limnos_tests::client;
use limnos_tests::process::ServerProcess;
use limnos_tests::s3::S3Server;
use limnos_tests::server::TestServer;
use tokio_postgres::Client;

async fn value(client: &Client, sql: &str) -> String {
    client::value(client, sql).await.unwrap().unwrap_or_default()
}

/// All files below a folder whose names don't begin with a dot.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let Ok(entries) = std::fs::read_dir(folder) else { return found };
    for entry in entries.map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path.display().to_string());
        }
    }
    found
}

/// Waits until there are exactly so many files, as when those that nobody sees are swept.
async fn eventually_files(folder: &Path, count: usize) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while files(folder).len() != count {
        assert!(Instant::now() < deadline, "{count} files are wanted: {:#?}", files(folder));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn kills() -> u64 {
    std::env::var("LIMNOS_WRITE_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(6)
}

/// Each statement replaces `n` rows of the sum `n * round` by others: the sum tells whether rows of two rounds are mixed, or
/// some are missing.
#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::print_stdout, reason = "figures for whoever asks for them with --nocapture")]
async fn kill_at_any_moment_leaves_old_or_new_rows() {
    let data_dir = tempfile::tempdir().unwrap();
    let lake = tempfile::tempdir().unwrap();
    let folder = lake.path().join("t");
    let rows = 20_000_u64;
    let (mut round, mut inserted) = (0_u64, 0_u64);
    for kill in 0..kills() {
        let server = ServerProcess::start(data_dir.path(), lake.path(), None).unwrap();
        let connection = server.client().await.unwrap();
        if kill == 0 {
            for sql in [
                &format!(
                    "CREATE TABLE t WITH (external_location = '{}', partitioned_by = ARRAY['k'])
                     AS SELECT 0::bigint AS round, x AS id, x % 5 AS k FROM generate_series(1, {rows}) AS g(x)",
                    folder.display()
                ),
                "CREATE TABLE log (n bigint, half bigint)",
            ] {
                connection.simple_query(sql).await.unwrap();
            }
        }
        // What was acknowledged is there; what was under way is there whole, or not at all.
        let seen: u64 = value(&connection, "SELECT max(round) FROM t").await.parse().unwrap();
        assert!(seen == round || seen == round + 1, "round {seen} is seen, {round} was acknowledged");
        let all =
            value(&connection, "SELECT count(*)::text || ' ' || min(round) || ' ' || count(DISTINCT id) FROM t").await;
        assert_eq!(all, format!("{rows} {seen} {rows}"), "kill {kill}");
        round = seen;
        let log: u64 = value(&connection, "SELECT count(*) FROM log").await.parse().unwrap();
        assert_eq!(log % 2, 0, "half of an INSERT");
        assert!(log == 2 * inserted || log == 2 * inserted + 2, "{log} rows, {inserted} were acknowledged");
        inserted = log / 2;
        for name in client::rows(&connection, "SHOW TABLES")
            .await
            .unwrap()
            .into_iter()
            .filter_map(|row| row.last().cloned().flatten())
        {
            if name.starts_with("made") {
                assert_eq!(value(&connection, &format!("SELECT count(*) FROM {name}")).await, "5000", "{name}");
                connection.simple_query(&format!("DROP TABLE {name}")).await.unwrap();
            }
        }
        let pause = Duration::from_millis(20 + (kill * 67) % 400);
        let killer = tokio::task::spawn_blocking(move || {
            std::thread::sleep(pause);
            server.kill().unwrap();
        });
        loop {
            let next = round + 1;
            let overwrite =
                format!("INSERT OVERWRITE TABLE t SELECT {next}, x, x % 5 FROM generate_series(1, {rows}) AS g(x)");
            if connection.simple_query(&overwrite).await.is_err() {
                break;
            }
            round = next;
            let insert = format!("INSERT INTO log VALUES ({inserted}, 1), ({inserted}, 2)");
            if connection.simple_query(&insert).await.is_err() {
                break;
            }
            inserted += 1;
            let create = format!("CREATE TABLE made{kill}_{round} AS SELECT x FROM generate_series(1, 5000) AS g(x)");
            if connection.simple_query(&create).await.is_err() {
                break;
            }
        }
        killer.await.unwrap();
    }
    assert!(round > kills() / 2 && inserted > 0, "too few statements between the kills: {round} and {inserted}");
    println!("{} kills, {round} times rows were replaced, {inserted} INSERTs", kills());
    // All that was left behind is swept: five partitions have a file each.
    let server = ServerProcess::start(data_dir.path(), lake.path(), None).unwrap();
    let connection = server.client().await.unwrap();
    assert_eq!(value(&connection, "SELECT count(*) FROM t").await, rows.to_string());
    eventually_files(&folder, 5).await;
}

/// Many write and read at once: no row is lost, no reader sees half a statement.
async fn writers_and_readers(server: &TestServer, location: &str) {
    let setup = server.client().await.unwrap();
    for sql in [
        format!(
            "CREATE TABLE sums WITH (external_location = '{location}/sums') AS SELECT x FROM generate_series(1, 1000) AS g(x)"
        ),
        format!(
            "CREATE TABLE added WITH (external_location = '{location}/added', partitioned_by = ARRAY['k'])
                 AS SELECT 0::bigint AS x, 0::bigint AS k"
        ),
    ] {
        setup.simple_query(&sql).await.unwrap();
    }
    let mut tasks = Vec::new();
    for writer in 0..2 {
        let client = server.client().await.unwrap();
        tasks.push(tokio::spawn(async move {
            for n in 0..6 {
                let sql = format!(
                    "INSERT INTO added SELECT x, x % 3 FROM generate_series({}, {}) AS g(x)",
                    writer * 600 + n * 100 + 1,
                    writer * 600 + n * 100 + 100
                );
                client.simple_query(&sql).await.unwrap();
            }
        }));
    }
    for offset in 1..3 {
        let client = server.client().await.unwrap();
        tasks.push(tokio::spawn(async move {
            for n in 0..6 {
                // Another file each time, the same sum.
                let sql = format!("INSERT OVERWRITE TABLE sums SELECT (x + {offset} + {n}) % 1000 + 1 FROM generate_series(1, 1000) AS g(x)");
                // The tests' own S3 answers so when a file goes while it lists, which S3 never does.
                while let Err(error) = client.simple_query(&sql).await {
                    assert!(format!("{error:?}").contains("NoSuchKey"), "{error:?}");
                }
            }
        }));
    }
    let client = server.client().await.unwrap();
    let mut reads = 0;
    while tasks.iter().any(|task| !task.is_finished()) {
        match client::value(&client, "SELECT sum(x)::text || ' ' || count(*) FROM sums").await {
            Ok(seen) => assert_eq!(seen.as_deref(), Some("500500 1000")),
            // A file that was there when the query was planned: told, and to be asked again.
            Err(error) => {
                let error = format!("{error:?}");
                assert!(error.contains("55000") || error.contains("NoSuchKey"), "{error}");
            }
        }
        let whole = value(&client, "SELECT count(*) % 100 FROM added").await;
        assert_eq!(whole, "1", "half of an INSERT");
        reads += 1;
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert!(reads > 0);
    assert_eq!(value(&client, "SELECT count(*) || ' ' || sum(x) FROM added").await, "1201 720600");
    assert_eq!(value(&client, "SELECT count(DISTINCT x) FROM sums").await, "1000");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_write_at_once_on_local_disk() {
    let root = tempfile::tempdir().unwrap();
    let server = TestServer::start(&[root.path()]).await.unwrap();
    writers_and_readers(&server, &root.path().display().to_string()).await;
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_write_at_once_on_s3() {
    let s3 = S3Server::start("lake").await.unwrap();
    let server = TestServer::start_on_s3(&s3, "lake", &[]).await.unwrap();
    writers_and_readers(&server, "s3://lake").await;
    server.shutdown().await;
}

/// What is cancelled, fails or is dropped leaves no file and no row.
#[tokio::test(flavor = "multi_thread")]
async fn what_ends_early_leaves_nothing() {
    let root = tempfile::tempdir().unwrap();
    let server = TestServer::start(&[root.path()]).await.unwrap();
    let client = server.client().await.unwrap();
    let folder = root.path().join("t");
    let create = format!(
        "CREATE TABLE t WITH (external_location = '{}', partitioned_by = ARRAY['k'])
         AS SELECT 1::bigint AS x, 0::bigint AS k",
        folder.display()
    );
    client.simple_query(&create).await.unwrap();
    assert_eq!(files(&folder).len(), 1);
    // An error after many rows.
    let error = client
        .simple_query("INSERT INTO t SELECT 1 / (200000 - x), x % 50 FROM generate_series(1, 300000) AS g(x)")
        .await
        .unwrap_err();
    assert_eq!(error.code().unwrap().code(), "22012");
    // A statement that takes too long, and one whose client leaves.
    client.simple_query("SET statement_timeout = '300ms'").await.unwrap();
    let slow =
        "INSERT INTO t SELECT a.x, a.x % 50 FROM generate_series(1, 3000000) AS a(x), generate_series(1, 100) AS b(x)";
    let error = client.simple_query(slow).await.unwrap_err();
    assert_eq!(error.code().unwrap().code(), "57014");
    let leaving = server.client().await.unwrap();
    let left = tokio::spawn(async move {
        let _ = tokio::time::timeout(Duration::from_millis(300), leaving.simple_query(slow)).await;
    });
    left.await.unwrap();
    client.simple_query("RESET statement_timeout").await.unwrap();
    eventually_files(&folder, 1).await;
    assert_eq!(value(&client, "SELECT count(*) FROM t").await, "1");
    // A CTAS that fails leaves no table, no file, and its place is free.
    let place = root.path().join("made");
    let sql = |last: u64| {
        format!(
            "CREATE TABLE made WITH (external_location = '{}') AS SELECT 1 / ({last} - x) AS y FROM generate_series(1, 100000) AS g(x)",
            place.display()
        )
    };
    assert!(client.simple_query(&sql(90_000)).await.is_err());
    eventually_files(&place, 0).await;
    client.simple_query(&sql(200_000)).await.unwrap();
    assert_eq!(value(&client, "SELECT count(*) FROM made").await, "100000");
    server.shutdown().await;
}

/// The files of a table of its own go when it is dropped, those of another stay.
#[tokio::test(flavor = "multi_thread")]
async fn files_go_with_their_table() {
    let data_dir = tempfile::tempdir().unwrap();
    let root = tempfile::tempdir().unwrap();
    let server = TestServer::start_in(data_dir.path(), &[root.path()], |_| {}).await.unwrap();
    let client = server.client().await.unwrap();
    let kept = root.path().join("kept");
    client.simple_query("CREATE TABLE own AS SELECT 1 AS x").await.unwrap();
    client
        .simple_query(&format!("CREATE TABLE kept WITH (external_location = '{}') AS SELECT 1 AS x", kept.display()))
        .await
        .unwrap();
    let warehouse = data_dir.path().join("warehouse");
    assert_eq!((files(&warehouse).len(), files(&kept).len()), (1, 1));
    // Whoever reads in a transaction still reads.
    let reader = server.client().await.unwrap();
    reader.simple_query("BEGIN").await.unwrap();
    assert_eq!(value(&reader, "SELECT x FROM own").await, "1");
    client.simple_query("DROP TABLE own; DROP TABLE kept").await.unwrap();
    assert_eq!(value(&reader, "SELECT sum(x) FROM own").await, "1");
    reader.simple_query("COMMIT").await.unwrap();
    server.shutdown().await;
    let server = TestServer::start_in(data_dir.path(), &[root.path()], |_| {}).await.unwrap();
    eventually_files(&warehouse, 0).await;
    assert_eq!(files(&kept).len(), 1);
    server.shutdown().await;
}

/// Ten thousand partitions, in rows of no order, within a stated limit of memory.
#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::print_stdout, reason = "figures for whoever asks for them with --nocapture")]
async fn ten_thousand_partitions_in_bounded_memory() {
    let data_dir = tempfile::tempdir().unwrap();
    let root = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(data_dir.path(), root.path(), Some(256 << 20)).unwrap();
    let client = server.client().await.unwrap();
    let sql = format!(
        "CREATE TABLE many WITH (external_location = '{}', partitioned_by = ARRAY['k'])
         AS SELECT x AS id, 'row ' || x AS name, (x * 7919) % 10000 AS k FROM generate_series(1, 100000) AS g(x)",
        root.path().join("many").display()
    );
    let began = Instant::now();
    client.simple_query(&sql).await.unwrap();
    println!("10,000 partitions in {:?}, peak {} MiB", began.elapsed(), server.peak_resident_bytes().unwrap() >> 20);
    assert!(server.peak_resident_bytes().unwrap() < 700 << 20);
    let seen = value(&client, "SELECT count(*) || ' ' || sum(id) || ' ' || count(DISTINCT k) FROM many").await;
    assert_eq!(seen, "100000 5000050000 10000");
    assert_eq!(value(&client, "SELECT count(*) FROM many WHERE k = 7919").await, "10");
    // One file a partition, but for those that were open when it was found that there are many.
    let count = files(&root.path().join("many")).len();
    assert!((10_000..=10_064).contains(&count), "{count}");
}

/// Files that are being written are nobody's: not the scan's, not MSCK's, not those of a path used as a table.
#[tokio::test(flavor = "multi_thread")]
async fn half_written_files_are_nobodys() {
    let root = tempfile::tempdir().unwrap();
    let server = TestServer::start(&[root.path()]).await.unwrap();
    let client = server.client().await.unwrap();
    let folder = root.path().join("t");
    let create = format!(
        "CREATE TABLE t WITH (external_location = '{}', partitioned_by = ARRAY['k'], target_file_size = 20000)
         AS SELECT 1::bigint AS x, 0::bigint AS k",
        folder.display()
    );
    client.simple_query(&create).await.unwrap();
    let writer = server.client().await.unwrap();
    let cancel = writer.cancel_token();
    let slow = tokio::spawn(async move {
        let sql = "INSERT INTO t SELECT a.x * b.x, 7
                   FROM generate_series(1, 1000000) AS a(x), generate_series(1, 1000) AS b(x)";
        writer.simple_query(sql).await.map(|_| ())
    });
    // Its first files are ended long before it is.
    let deadline = Instant::now() + Duration::from_secs(30);
    while !files(&folder).iter().any(|file| file.contains("k=7/limnos-")) {
        assert!(Instant::now() < deadline && !slow.is_finished(), "{:?}", files(&folder));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(value(&client, "SELECT count(*) FROM t").await, "1");
    client.simple_query("MSCK REPAIR TABLE t").await.unwrap();
    assert_eq!(client::rows(&client, "SHOW PARTITIONS t").await.unwrap(), [[Some("k=0".to_owned())]]);
    let path = folder.display();
    assert_eq!(value(&client, &format!("SELECT count(*) FROM '{path}'")).await, "1");
    let crawled = client::rows(&client, &format!("CRAWL '{path}' INTO DATABASE default")).await;
    assert!(crawled.is_ok(), "{crawled:?}");
    assert!(!slow.is_finished());
    cancel.cancel_query(tokio_postgres::NoTls).await.unwrap();
    assert_eq!(slow.await.unwrap().unwrap_err().code().unwrap().code(), "57014");
    eventually_files(&folder, 1).await;
    // Nor is the folder left for MSCK to find.
    client.simple_query("MSCK REPAIR TABLE t").await.unwrap();
    assert_eq!(client::rows(&client, "SHOW PARTITIONS t").await.unwrap(), [[Some("k=0".to_owned())]]);
    server.shutdown().await;
}

/// A transaction reads the rows that it began with, while others replace them.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_keeps_its_rows() {
    let root = tempfile::tempdir().unwrap();
    let server = TestServer::start(&[root.path()]).await.unwrap();
    let (client, reader) = (server.client().await.unwrap(), server.client().await.unwrap());
    let folder = root.path().join("t");
    let create = format!("CREATE TABLE t WITH (external_location = '{}') AS SELECT 1 AS x", folder.display());
    client.simple_query(&create).await.unwrap();
    reader.simple_query("BEGIN").await.unwrap();
    assert_eq!(value(&reader, "SELECT sum(x) FROM t").await, "1");
    client.simple_query("INSERT OVERWRITE TABLE t SELECT 10").await.unwrap();
    client.simple_query("INSERT INTO t VALUES (100)").await.unwrap();
    assert_eq!(value(&client, "SELECT sum(x) FROM t").await, "110");
    assert_eq!(value(&reader, "SELECT sum(x) || ' ' || count(*) FROM t").await, "1 1");
    assert_eq!(files(&folder).len(), 3, "kept for the reader");
    reader.simple_query("COMMIT").await.unwrap();
    assert_eq!(value(&reader, "SELECT sum(x) FROM t").await, "110");
    // The next statement that replaces rows has the old ones deleted.
    client.simple_query("INSERT OVERWRITE TABLE t SELECT 7").await.unwrap();
    eventually_files(&folder, 1).await;
    assert_eq!(value(&client, "SELECT sum(x) FROM t").await, "7");
    server.shutdown().await;
}
