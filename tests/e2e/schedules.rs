//! Schedules on a real server: what their runs see and write, a kill in mid-run, a table that changes.

use std::path::Path;
use std::time::{Duration, Instant};

use limnos_tests::client;
use limnos_tests::process::ServerProcess;
use limnos_tests::server::TestServer;
use tokio_postgres::Client;

async fn one(client: &Client, sql: &str) -> String {
    client::value(client, sql).await.unwrap().unwrap_or_default()
}

async fn eventually(client: &Client, sql: &str, wanted: &str) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let found = one(client, sql).await;
        if found == wanted {
            return;
        }
        assert!(Instant::now() < deadline, "{sql}: {found} and not {wanted}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The state of the newest run of a schedule.
fn last_state(schedule: &str) -> String {
    format!(
        "SELECT state FROM system.schedule_runs WHERE schedule_name = '{schedule}' \
         ORDER BY queued_at DESC, attempt DESC LIMIT 1"
    )
}

async fn execute(client: &Client, sql: &str) {
    client::rows(client, sql).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_its_owners_and_says_what_it_did() {
    let root = tempfile::tempdir().unwrap();
    let server = TestServer::start(&[root.path()]).await.unwrap();
    let client = server.client().await.unwrap();
    execute(&client, "CREATE TABLE log (at timestamptz, day date, before timestamptz, who text)").await;
    execute(
        &client,
        "CREATE SCHEDULE s CRON '0 0 1 1 *' TIME ZONE 'Asia/Seoul' AS $$
           INSERT INTO log SELECT {{scheduled_time}}, {{scheduled_date}}, {{last_success}}, current_user;
           SELECT count(*) FROM log $$",
    )
    .await;
    execute(&client, "RUN SCHEDULE s").await;
    eventually(&client, &last_state("s"), "SUCCEEDED").await;
    assert_eq!(one(&client, "SELECT who FROM log WHERE before IS NULL").await, "limnos");
    let is_of_seoul = "SELECT day = (at AT TIME ZONE 'Asia/Seoul')::date FROM log";
    assert_eq!(one(&client, is_of_seoul).await, "t");
    assert_eq!(one(&client, "SELECT rows FROM system.schedule_runs").await, "2");
    let query_ids = one(&client, "SELECT query_ids FROM system.schedule_runs").await;
    for query_id in query_ids.split(", ") {
        let state = format!("SELECT state FROM system.queries WHERE query_id = '{query_id}'");
        assert_eq!(one(&client, &state).await, "SUCCEEDED");
    }
    assert_eq!(query_ids.split(", ").count(), 2);
    execute(&client, "RUN SCHEDULE s").await;
    eventually(&client, "SELECT count(*) FROM system.schedule_runs WHERE state = 'SUCCEEDED'", "2").await;
    // The second knows when the first was due.
    let knows = "SELECT count(*) FROM log later JOIN log earlier ON later.before = earlier.at";
    assert_eq!(one(&client, knows).await, "1");
    // A report is run like any statement, as of the scheduled time, and its files are told.
    let place = root.path().display();
    execute(&client, &format!("CREATE REPORT r TO '{place}/a.csv', '{place}/b.html' AS SELECT count(*) AS n FROM log"))
        .await;
    execute(&client, "CREATE SCHEDULE reporting CRON '@yearly' TIME ZONE 'UTC' AS RUN REPORT r").await;
    execute(&client, "RUN SCHEDULE reporting").await;
    eventually(&client, &last_state("reporting"), "SUCCEEDED").await;
    let files = one(&client, "SELECT output_files FROM system.schedule_runs WHERE schedule_name = 'reporting'").await;
    assert_eq!(files, format!("file://{place}/a.csv, file://{place}/b.html"));
    assert_eq!(std::fs::read_to_string(root.path().join("a.csv")).unwrap(), "n\n2\n");
    execute(&client, "DROP SCHEDULE reporting").await;

    // A failure says why; a run that goes on can be cancelled, and one that takes too long ends by itself.
    execute(&client, "ALTER SCHEDULE s SUSPEND AFTER 1 AS SELECT 1 / (SELECT count(*) FROM log WHERE who = 'x')").await;
    execute(&client, "RUN SCHEDULE s").await;
    eventually(&client, &last_state("s"), "FAILED").await;
    eventually(&client, "SELECT state FROM system.schedules", "SUSPENDED").await;
    let message = "SELECT sqlstate || ' ' || message FROM system.schedule_runs WHERE state = 'FAILED'";
    assert_eq!(one(&client, message).await, "22012 division by zero");
    execute(&client, "RESUME SCHEDULE s").await;
    execute(&client, "ALTER SCHEDULE s AS SELECT pg_sleep(600)").await;
    execute(&client, "RUN SCHEDULE s").await;
    eventually(&client, &last_state("s"), "RUNNING").await;
    let id = one(&client, "SELECT run_id FROM system.schedule_runs WHERE state = 'RUNNING'").await;
    execute(&client, &format!("CANCEL SCHEDULE RUN '{id}'")).await;
    eventually(&client, &last_state("s"), "CANCELLED").await;
    execute(&client, "ALTER SCHEDULE s TIMEOUT '1 second'").await;
    execute(&client, "RUN SCHEDULE s").await;
    eventually(&client, &last_state("s"), "FAILED").await;
    let message = "SELECT message FROM system.schedule_runs ORDER BY queued_at DESC LIMIT 1";
    assert_eq!(one(&client, message).await, "the run took longer than its timeout of 1000 ms");

    // A role runs what it may when it runs.
    execute(&client, "CREATE ROLE worker").await;
    execute(&client, "ALTER SCHEDULE s TIMEOUT NONE AS SELECT count(*) FROM log").await;
    execute(&client, "ALTER SCHEDULE s OWNER TO worker").await;
    execute(&client, "RUN SCHEDULE s").await;
    eventually(&client, &last_state("s"), "FAILED").await;
    let message = "SELECT sqlstate || ' ' || user_name FROM system.schedule_runs ORDER BY queued_at DESC LIMIT 1";
    assert_eq!(one(&client, message).await, "42501 worker");
    server.shutdown().await;
}

/// Killed while a run goes on, the server finds it when it is back, and does it once.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_a_kill_cut_off_is_done_once() {
    let (data, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = ServerProcess::start(data.path(), root.path(), None).unwrap();
    let client = server.client().await.unwrap();
    execute(&client, "CREATE TABLE log (n int)").await;
    execute(
        &client,
        "CREATE SCHEDULE s CRON '0 0 1 1 *' RETRY 1 BACKOFF '1 second' AS \
         $$SELECT pg_sleep(5); INSERT INTO log VALUES (1)$$",
    )
    .await;
    execute(&client, "CREATE SCHEDULE never CRON '0 0 1 1 *' AS SELECT pg_sleep(600)").await;
    execute(&client, "RUN SCHEDULE s").await;
    execute(&client, "RUN SCHEDULE never").await;
    eventually(&client, "SELECT count(*) FROM system.schedule_runs WHERE state = 'RUNNING'", "2").await;
    server.kill().unwrap();

    let server = ServerProcess::start(data.path(), root.path(), None).unwrap();
    let client = server.client().await.unwrap();
    let states = "SELECT string_agg(attempt::text || ' ' || state, ', ' ORDER BY attempt) FROM system.schedule_runs \
                  WHERE schedule_name = ";
    eventually(&client, &format!("{states} 's'"), "1 INTERRUPTED, 2 SUCCEEDED").await;
    assert_eq!(one(&client, &format!("{states} 'never'")).await, "1 INTERRUPTED");
    assert_eq!(one(&client, "SELECT count(*) FROM log").await, "1");
    assert_eq!(server.panics(), 0);
    drop(client);
    server.kill().unwrap();
}

fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// Files that come, change and go start runs, also those that came while no server ran; what has not changed starts none.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_changes_starts_runs() {
    let (data, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let folder = root.path().canonicalize().unwrap().join("in");
    write(&folder.join("a.csv"), "1\n");
    let start = async || TestServer::start_in(data.path(), &[root.path()], |_| {}).await.unwrap();
    let server = start().await;
    let client = server.client().await.unwrap();
    let create = format!(
        "CREATE EXTERNAL TABLE incoming (n int) ROW FORMAT DELIMITED FIELDS TERMINATED BY ',' LOCATION '{}/'",
        folder.display()
    );
    execute(&client, &create).await;
    execute(&client, "CREATE TABLE seen (n bigint)").await;
    execute(
        &client,
        "CREATE SCHEDULE s ON CHANGE OF incoming MINIMUM INTERVAL '1 second' AS INSERT INTO seen SELECT count(*) FROM incoming",
    )
    .await;
    // What is there counts as new.
    eventually(&client, "SELECT string_agg(n::text, ' ' ORDER BY n) FROM seen", "1").await;
    write(&folder.join("b.csv"), "2\n");
    eventually(&client, "SELECT max(n) FROM seen", "2").await;
    eventually(&client, "SELECT count(*) FROM system.schedule_runs WHERE finished_at IS NULL", "0").await;
    let runs = one(&client, "SELECT count(*) FROM system.schedule_runs").await;
    drop(client);
    server.shutdown().await;

    // A restart sees nothing new; what comes while it is away is seen.
    let server = start().await;
    let client = server.client().await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(one(&client, "SELECT count(*) FROM system.schedule_runs").await, runs);
    drop(client);
    server.shutdown().await;
    write(&folder.join("c.csv"), "3\n");
    let server = start().await;
    let client = server.client().await.unwrap();
    eventually(&client, "SELECT max(n) FROM seen", "3").await;
    std::fs::remove_file(folder.join("a.csv")).unwrap();
    std::fs::remove_file(folder.join("b.csv")).unwrap();
    eventually(&client, "SELECT count(*) FROM seen WHERE n = 1", "2").await;
    server.shutdown().await;
}
