//! Crawlers over a lake that changes: what a second run reads, what becomes of tables whose files change or go, a kill in
//! mid-run, schedules by a clock that the test holds.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use arrow::array::{Int32Array, Int64Array, StringArray};
use limnos_engine::clock::MockClock;
use limnos_tests::process::ServerProcess;
use limnos_tests::s3::S3Server;
use limnos_tests::server::TestServer;
use limnos_tests::{client, lake};
use tokio_postgres::Client;

fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// `table action` of each row that RUN CRAWLER answers with.
async fn run(client: &Client, crawler: &str) -> Vec<String> {
    let rows = client::rows(client, &format!("RUN CRAWLER {crawler}")).await.unwrap();
    rows.iter().map(|row| format!("{} {}", row[0].as_deref().unwrap(), row[1].as_deref().unwrap())).collect()
}

async fn one(client: &Client, sql: &str) -> String {
    client::value(client, sql).await.unwrap().unwrap_or_default()
}

/// A column of the newest run.
async fn last(client: &Client, columns: &str) -> Vec<String> {
    let sql = format!("SELECT {columns} FROM system.crawls ORDER BY started_at DESC, crawl_id DESC LIMIT 1");
    client::rows(client, &sql).await.unwrap().remove(0).into_iter().map(Option::unwrap_or_default).collect()
}

async fn eventually(client: &Client, sql: &str, wanted: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let found = one(client, sql).await;
        if found == wanted {
            return;
        }
        assert!(Instant::now() < deadline, "{sql}: {found} and not {wanted}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_crawl_reads_no_file_and_a_third_only_what_changed() {
    let s3 = S3Server::start("lake").await.unwrap();
    let root = s3.root().join("lake");
    for day in 1..=5 {
        let rows = [lake::plain_rows(day * 10, day * 10 + 10).unwrap()];
        lake::write_parquet(&root.join(format!("events/dt=2024-01-0{day}/a.parquet")), &rows, 100).unwrap();
    }
    write(&root.join("people/a.csv"), "id,born\n1,2001-02-03\n");
    write(&root.join("people/b.csv"), "id,born\n2,2001-02-04\n");
    write(&root.join("logs/2024/01/x.json"), "{\"a\":1}\n");
    write(&root.join("logs/2024/02/x.json"), "{\"a\":2,\"b\":\"x\"}\n");
    write(&root.join("notes/letter.txt"), "Dear reader,\nthis is no table\n");
    let data_dir = tempfile::tempdir().unwrap();
    let start = async || {
        let options = s3.options();
        TestServer::start_in(data_dir.path(), &[], move |serve| {
            serve.engine.stores.roots.push("s3://lake/".to_owned());
            serve.engine.stores.s3 = options;
        })
        .await
        .unwrap()
    };
    let server = start().await;
    let client = server.client().await.unwrap();
    client::rows(&client, "CREATE CRAWLER c TARGETS ('s3://lake/') DATABASE raw").await.unwrap();
    s3.reset_counts();
    assert_eq!(run(&client, "c").await, ["events CREATED", "logs CREATED", "people CREATED"]);
    let first = s3.counts();
    // Nine files are opened twice: the head says what each is, then its footer or its rows are read. The letter is no table.
    assert_eq!((first.get, first.head), (19, 0), "{first:?}");
    assert_eq!(last(&client, "state, files_listed, files_read").await, ["SUCCEEDED", "10", "10"]);
    for (sql, wanted) in [
        ("SELECT count(*) FROM raw.events WHERE dt = '2024-01-03'", "10"),
        ("SELECT count(*) FROM raw.people WHERE born > '2001-02-03'", "1"),
        ("SELECT sum(a) FROM raw.logs WHERE partition_0 = 2024 AND partition_1 = 2", "2"),
    ] {
        assert_eq!(one(&client, sql).await, wanted, "{sql}");
    }

    s3.reset_counts();
    assert_eq!(run(&client, "c").await, ["events UNCHANGED", "logs UNCHANGED", "people UNCHANGED"]);
    let second = s3.counts();
    assert!(second.list > 0 && second.total() == second.list, "{second:?}");
    assert_eq!(last(&client, "files_read, bytes_read, tables_unchanged").await, ["0", "0", "3"]);

    // One changed file is read again alone; what the others held is remembered.
    write(&root.join("people/b.csv"), "id,born,name\n2,2001-02-04,x\nx,2001-02-05,y\n");
    s3.reset_counts();
    assert_eq!(run(&client, "c").await, ["events UNCHANGED", "logs UNCHANGED", "people UPDATED"]);
    assert_eq!(last(&client, "files_read, tables_updated").await, ["1", "1"]);
    assert!(s3.counts().get <= 2, "its head and its rows: {:?}", s3.counts());
    let columns = client::rows(&client, "DESCRIBE raw.people").await.unwrap();
    let columns: Vec<String> =
        columns.iter().map(|row| format!("{} {}", row[0].as_deref().unwrap(), row[1].as_deref().unwrap())).collect();
    assert_eq!(columns, ["id string", "born date", "name string"]);

    // It is remembered across a restart.
    server.shutdown().await;
    let server = start().await;
    let client = server.client().await.unwrap();
    s3.reset_counts();
    assert_eq!(run(&client, "c").await, ["events UNCHANGED", "logs UNCHANGED", "people UNCHANGED"]);
    assert_eq!(s3.counts().total(), s3.counts().list, "{:?}", s3.counts());
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_that_changes_under_each_policy() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().canonicalize().unwrap();
    let int = |values: &[i32]| ("id", Arc::new(Int32Array::from(values.to_vec())) as arrow::array::ArrayRef);
    for table in ["grows", "goes", "parts/k=1", "parts/k=2"] {
        lake::write_parquet(&folder.join(table).join("a.parquet"), &[lake::batch(vec![int(&[1])]).unwrap()], 10)
            .unwrap();
    }
    let server = TestServer::start(&[&folder]).await.unwrap();
    let client = server.client().await.unwrap();
    for (name, policies) in [
        ("dropper", "ON SCHEMA CHANGE UPDATE ON DELETE DROP"),
        ("adder", "ON SCHEMA CHANGE ADD ON DELETE DEPRECATE"),
        ("ignorer", "ON SCHEMA CHANGE IGNORE ON DELETE IGNORE"),
        ("newcomer", "RECRAWL NEW"),
    ] {
        let sql = format!("CREATE CRAWLER {name} TARGETS ('{}/') DATABASE {name} {policies}", folder.display());
        client::rows(&client, &sql).await.unwrap();
        assert_eq!(run(&client, name).await, ["goes CREATED", "grows CREATED", "parts CREATED"], "{name}");
    }
    // One column wider, one more, one partition more, one less, one table less, one more.
    let wider = Int64Array::from(vec![3_000_000_000]);
    let more = StringArray::from(vec!["x"]);
    let batch = lake::batch(vec![("id", Arc::new(wider)), ("more", Arc::new(more))]).unwrap();
    lake::write_parquet(&folder.join("grows/b.parquet"), &[batch], 10).unwrap();
    lake::write_parquet(&folder.join("parts/k=3/a.parquet"), &[lake::batch(vec![int(&[3])]).unwrap()], 10).unwrap();
    lake::write_parquet(&folder.join("comes/a.parquet"), &[lake::batch(vec![int(&[3])]).unwrap()], 10).unwrap();
    std::fs::remove_dir_all(folder.join("parts/k=1")).unwrap();
    std::fs::remove_dir_all(folder.join("goes")).unwrap();

    for (name, rows, columns, partitions, tables) in [
        (
            "dropper",
            &["comes CREATED", "goes DROPPED", "grows UPDATED", "parts UPDATED"][..],
            "id bigint, more string",
            "k=2, k=3",
            "comes, grows, parts",
        ),
        (
            "adder",
            &["comes CREATED", "goes DEPRECATED", "grows UPDATED", "parts UPDATED"],
            "id int, more string",
            "k=1, k=2, k=3",
            "comes, goes, grows, parts",
        ),
        (
            "ignorer",
            &["comes CREATED", "grows UNCHANGED", "parts UPDATED"],
            "id int",
            "k=1, k=2, k=3",
            "comes, goes, grows, parts",
        ),
        ("newcomer", &["comes CREATED", "parts UPDATED"], "id int", "k=1, k=2, k=3", "comes, goes, grows, parts"),
    ] {
        assert_eq!(run(&client, name).await, rows, "{name}");
        let joined = async |sql: String| {
            let rows = client::rows(&client, &sql).await.unwrap();
            let shown = |row: Vec<Option<String>>| {
                row.into_iter().flatten().filter(|c| !c.is_empty()).collect::<Vec<_>>().join(" ")
            };
            rows.into_iter().map(shown).collect::<Vec<_>>().join(", ")
        };
        assert_eq!(joined(format!("DESCRIBE {name}.grows")).await, columns, "{name}");
        assert_eq!(joined(format!("SHOW PARTITIONS {name}.parts")).await, partitions, "{name}");
        assert_eq!(joined(format!("SHOW TABLES IN {name}")).await, tables, "{name}");
        // What was done is done: a rerun finds nothing to do.
        assert!(run(&client, name).await.iter().all(|row| row.ends_with("UNCHANGED")), "{name}");
    }
    assert_eq!(one(&client, "SELECT count(*) FROM adder.goes").await, "0", "deprecated, and still queryable");
    let properties = client::rows(&client, "SHOW TBLPROPERTIES adder.goes").await.unwrap();
    assert!(properties.iter().any(|row| row[0].as_deref() == Some("limnos.deprecated")), "{properties:?}");
    let reason = one(
        &client,
        "SELECT reason FROM system.crawl_changes WHERE crawler_name = 'dropper' AND object_name = 'dropper.grows' AND action = 'UPDATED'",
    )
    .await;
    assert!(
        reason.contains("column \"id\" int -> bigint") && reason.contains("column \"more\" string added"),
        "{reason}"
    );

    // Files that come back make the table whole again.
    lake::write_parquet(&folder.join("goes/a.parquet"), &[lake::batch(vec![int(&[7])]).unwrap()], 10).unwrap();
    assert!(run(&client, "adder").await.contains(&"goes UPDATED".to_owned()));
    assert_eq!(one(&client, "SELECT sum(id) FROM adder.goes").await, "7");
    // A target that is empty altogether is no reason to drop everything.
    std::fs::rename(&folder, folder.with_extension("away")).unwrap();
    std::fs::create_dir(&folder).unwrap();
    client::fails(&client, "RUN CRAWLER dropper", "58P01", "Nothing was changed").await.unwrap();
    assert_eq!(last(&client, "crawler_name, state").await, ["dropper", "FAILED"]);
    std::fs::remove_dir(&folder).unwrap();
    std::fs::rename(folder.with_extension("away"), &folder).unwrap();
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_others_are_left_alone_and_no_change_of_theirs_is_lost() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().canonicalize().unwrap();
    write(&folder.join("t/a.csv"), "a,b\n1,2\n");
    write(&folder.join("u/a.csv"), "c,d,e\n1,2,3\n");
    write(&folder.join("u/_tmp/a.csv"), "x\n");
    write(&folder.join("skip/a.csv"), "q,r\n1,2\n");
    let server = TestServer::start(&[&folder]).await.unwrap();
    let client = server.client().await.unwrap();
    let path = folder.display();
    client::rows(
        &client,
        &format!(
            "CREATE SCHEMA d; CREATE EXTERNAL TABLE d.p_t (mine int) STORED AS CSV LOCATION '{path}/t/';
             CREATE CRAWLER c TARGETS ('{path}/') DATABASE d TABLE PREFIX 'p_' EXCLUDE ('skip/**')"
        ),
    )
    .await
    .unwrap();
    assert_eq!(run(&client, "c").await, ["p_t REFUSED", "p_u CREATED"]);
    assert_eq!(one(&client, "SHOW COLUMNS IN d.p_t").await, "mine");
    assert_eq!(last(&client, "refused, tables_created").await, ["1", "1"]);
    // Another crawler's are others', too.
    client::rows(&client, &format!("CREATE CRAWLER e TARGETS ('{path}/u/') DATABASE d TABLE PREFIX 'p_'"))
        .await
        .unwrap();
    assert_eq!(run(&client, "e").await, ["p_u REFUSED"]);
    // A renamed table stays the crawler's, and so do a renamed crawler's.
    client::rows(&client, "ALTER TABLE d.p_u RENAME TO d.other; ALTER CRAWLER c RENAME TO f").await.unwrap();
    assert_eq!(run(&client, "f").await, ["other UNCHANGED", "p_t REFUSED"]);
    // Made anew by hand it is nobody's but theirs; dropped, it is found again.
    client::rows(
        &client,
        &format!("CREATE OR REPLACE EXTERNAL TABLE d.other (x int) STORED AS CSV LOCATION '{path}/u/'"),
    )
    .await
    .unwrap();
    assert_eq!(run(&client, "f").await, ["p_t REFUSED", "p_u CREATED"]);
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_run_at_a_time_and_it_can_be_stopped() {
    let s3 = S3Server::start("lake").await.unwrap();
    for table in 0..40 {
        write(&s3.root().join(format!("lake/t{table}/a.csv")), &format!("a{table},b{table}\n1,2\n"));
    }
    let server = TestServer::start_on_s3(&s3, "lake", &[]).await.unwrap();
    let client = server.client().await.unwrap();
    let other = server.client().await.unwrap();
    client::rows(&client, "CREATE CRAWLER c TARGETS ('s3://lake/') DATABASE raw").await.unwrap();
    s3.faults.latency_ms.store(300, Ordering::SeqCst);
    let cancel = client.cancel_token();
    let running = tokio::spawn(async move { (client.simple_query("RUN CRAWLER c").await, client) });
    eventually(&other, "SELECT count(*) FROM system.crawls WHERE state = 'RUNNING'", "1").await;
    client::fails(&other, "RUN CRAWLER c", "55006", "KILL QUERY").await.unwrap();
    client::fails(&other, "DROP CRAWLER c", "55006", "is running").await.unwrap();
    client::fails(&other, "ALTER CRAWLER c SET TABLE PREFIX 'x'", "55006", "is running").await.unwrap();
    cancel.cancel_query(tokio_postgres::NoTls).await.unwrap();
    let (ended, client) = running.await.unwrap();
    client::check_error(&ended.unwrap_err(), "57014", "user request").unwrap();
    eventually(&other, "SELECT count(*) FROM system.crawls WHERE state = 'CANCELLED'", "1").await;
    assert_eq!(one(&other, "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'raw'").await, "0");
    // So does a timeout.
    client::rows(&client, "SET statement_timeout = '400ms'").await.unwrap();
    client::fails(&client, "RUN CRAWLER c", "57014", "statement timeout").await.unwrap();
    client::rows(&client, "RESET statement_timeout").await.unwrap();
    s3.faults.latency_ms.store(0, Ordering::SeqCst);
    eventually(&other, "SELECT count(*) FROM system.crawls WHERE state = 'CANCELLED'", "2").await;
    assert_eq!(run(&client, "c").await.len(), 40);
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_in_mid_run_leaves_all_as_it_was_and_a_rerun_completes() {
    let data_dir = tempfile::tempdir().unwrap();
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().canonicalize().unwrap();
    let rows: String = (0..20_000).map(|row| format!("{row},{},x\n", row * 2)).collect();
    for table in 0..60 {
        write(&folder.join(format!("t{table:02}/a.csv")), &format!("id{table},double{table},text\n{rows}"));
    }
    let mut killed = 0;
    for round in 0..4_u64 {
        let server = ServerProcess::start(data_dir.path(), &folder, None).unwrap();
        let connection = server.client().await.unwrap();
        if round == 0 {
            let sql = format!("CREATE CRAWLER c TARGETS ('{}/') DATABASE raw", folder.display());
            client::rows(&connection, &sql).await.unwrap();
        } else {
            assert_eq!(one(&connection, "SELECT count(*) FROM system.crawls WHERE state = 'RUNNING'").await, "0");
        }
        let tables =
            one(&connection, "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'raw'").await;
        let succeeded = one(&connection, "SELECT count(*) FROM system.crawls WHERE state = 'SUCCEEDED'").await;
        // All of it or nothing, and the history says which.
        match (tables.as_str(), succeeded.as_str()) {
            ("0", "0") => {}
            ("60", "1") => break,
            other => panic!("round {round}: {other:?}"),
        }
        let interrupted = "SELECT count(*) FROM system.crawls WHERE state = 'FAILED' AND message LIKE 'interrupted%'";
        assert_eq!(one(&connection, interrupted).await, killed.to_string());
        let running = tokio::spawn(async move { connection.simple_query("RUN CRAWLER c").await.map(|_| ()) });
        tokio::time::sleep(Duration::from_millis(100 + 150 * round)).await;
        let is_done = running.is_finished();
        tokio::task::spawn_blocking(move || server.kill().unwrap()).await.unwrap();
        let _ended = running.await;
        killed += u64::from(!is_done);
    }
    let server = ServerProcess::start(data_dir.path(), &folder, None).unwrap();
    let connection = server.client().await.unwrap();
    let run = run(&connection, "c").await;
    assert_eq!(run.len(), 60);
    assert_eq!(one(&connection, "SELECT sum(id7) FROM raw.t07").await, "199990000");
    assert!(killed > 0, "no kill came in mid-run");
}

#[tokio::test(flavor = "multi_thread")]
async fn schedules_run_by_the_clock_and_missed_ones_once() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().canonicalize().unwrap();
    write(&folder.join("t/a.csv"), "a,b\n1,2\n");
    let data_dir = tempfile::tempdir().unwrap();
    let at = |text: &str| text.parse::<chrono::DateTime<chrono::Utc>>().unwrap();
    let clock = MockClock::new(at("2024-06-01T10:00:00Z"));
    let start = async || {
        let clock = Arc::clone(&clock);
        TestServer::start_in(data_dir.path(), &[&folder], move |serve| serve.clock = clock).await.unwrap()
    };
    let server = start().await;
    let client = server.client().await.unwrap();
    let sql = format!(
        "CREATE CRAWLER nightly TARGETS ('{}/') DATABASE raw SCHEDULE CRON '0 2 * * *' TIME ZONE 'Europe/Berlin'",
        folder.display()
    );
    client::rows(&client, &sql).await.unwrap();
    let due = "SELECT coalesce(string_agg(to_char(due_at, 'DD HH24:MI'), ', ' ORDER BY due_at), '') FROM system.crawls WHERE state = 'SUCCEEDED'";
    clock.set(at("2024-06-02T00:00:30Z"));
    eventually(&client, due, "02 00:00").await;
    assert_eq!(last(&client, "trigger, user_name").await, ["schedule", "limnos"]);
    assert_eq!(one(&client, "SELECT count(*) FROM raw.t").await, "1");
    // Paused over one time that was due.
    client::rows(&client, "ALTER CRAWLER nightly PAUSE").await.unwrap();
    clock.set(at("2024-06-03T10:00:00Z"));
    tokio::time::sleep(Duration::from_millis(1200)).await;
    client::rows(&client, "ALTER CRAWLER nightly RESUME").await.unwrap();
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert_eq!(one(&client, due).await, "02 00:00");
    server.shutdown().await;
    // Down over three: made up for by one run, and a restart right after makes no other.
    clock.set(at("2024-06-06T10:00:00Z"));
    let server = start().await;
    eventually(&server.client().await.unwrap(), due, "02 00:00, 06 00:00").await;
    server.shutdown().await;
    let server = start().await;
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert_eq!(one(&server.client().await.unwrap(), due).await, "02 00:00, 06 00:00");
    server.shutdown().await;
}
