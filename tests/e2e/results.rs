//! The result cache: an equal question over the same files opens none of them, which the requests that a real S3 server got
//! show; and whatever makes an answer another one makes it a miss.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use limnos_tests::client::{self, fails, rows, value};
use limnos_tests::lake::{plain_rows, write_parquet};
use limnos_tests::s3::S3Server;
use limnos_tests::server::TestServer;
use tokio_postgres::Client;

/// Rows of one file: too large to be read in one request with its footer.
const ROWS: i64 = 60_000;

fn write(folder: &Path, file: &str, from: i64) {
    write_parquet(&folder.join(file), &[plain_rows(from, from + ROWS).unwrap()], 20_000).unwrap();
}

async fn lake() -> (S3Server, TestServer, Client) {
    let s3 = S3Server::start("lake").await.unwrap();
    let folder = s3.root().join("lake/t");
    write(&folder, "a.parquet", 0);
    write(&folder, "b.parquet", ROWS);
    let server = TestServer::start_on_s3(&s3, "lake", &[]).await.unwrap();
    let client = server.client().await.unwrap();
    let sql =
        "CREATE EXTERNAL TABLE t (id bigint, name string, value double) STORED AS PARQUET LOCATION 's3://lake/t/'";
    rows(&client, sql).await.unwrap();
    s3.reset_counts();
    (s3, server, client)
}

/// What the cache did for the last statement.
async fn used(client: &Client) -> String {
    let sql = "SELECT result_cache FROM system.queries WHERE sql NOT LIKE '%SELECT result_cache%'
               ORDER BY queued_at DESC, query_id DESC LIMIT 1";
    value(client, sql).await.unwrap().unwrap_or_default()
}

/// Runs `sql` and says what the cache did and how many data requests there were.
async fn ask(s3: &S3Server, client: &Client, sql: &str) -> (client::TextRows, String, usize) {
    s3.reset_counts();
    let answer = rows(client, sql).await.unwrap();
    let gets = s3.counts().get;
    assert!(s3.counts().list >= 1, "what there is is asked each time");
    (answer, used(client).await, gets)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_equal_question_opens_no_file() {
    let (s3, server, client) = lake().await;
    let (first, used_first, gets) = ask(&s3, &client, "SELECT name, value FROM t WHERE id = 70000").await;
    assert_eq!((used_first.as_str(), first.len()), ("miss", 1));
    assert!(gets > 0);
    for same in [
        "SELECT name, value FROM t WHERE id = 70000",
        "select  name,\n value from t  where id = 70000 -- the same",
        "SELECT name, value FROM t WHERE (id = 70000)",
        "SELECT name AS n, value FROM t WHERE id = 70000 /* another name */",
    ] {
        let (answer, did, gets) = ask(&s3, &client, same).await;
        assert_eq!(answer, first, "{same}");
        if !same.contains("AS n") {
            assert_eq!((did.as_str(), gets), ("hit", 0), "{same}");
        }
    }
    // A parameter's value is part of the question.
    let statement = client.prepare("SELECT name FROM t WHERE id = $1").await.unwrap();
    for (id, did) in [(7_i64, "miss"), (8, "miss"), (7, "hit")] {
        let found: String = client.query_one(&statement, &[&id]).await.unwrap().get(0);
        assert_eq!(found, format!("row {id}"));
        assert_eq!(used(&client).await, did, "{id}");
    }
    for other in [
        "SELECT name, value FROM t WHERE id = 70001",
        "SELECT name FROM t WHERE id = 70000 AND value > 1",
        "SELECT name, value FROM t WHERE id = 70000 OFFSET 1",
        "SELECT name, value FROM t WHERE id >= 70000 AND id < 70003 ORDER BY id DESC",
    ] {
        let (_, did, _) = ask(&s3, &client, other).await;
        assert_ne!(did, "hit", "{other}");
    }
    // The order of rows is kept, too.
    let sorted = "SELECT id FROM t WHERE id >= 70000 AND id < 70003 ORDER BY id DESC";
    let before = rows(&client, sorted).await.unwrap();
    assert_eq!((rows(&client, sorted).await.unwrap(), used(&client).await.as_str()), (before, "hit"));
    server.shutdown().await;
}

/// Where not even footers are kept, lists are all that a known answer takes.
#[tokio::test(flavor = "multi_thread")]
async fn a_known_answer_takes_lists_alone() {
    let s3 = S3Server::start("lake").await.unwrap();
    for day in 0..3 {
        write(&s3.root().join(format!("lake/p/day={day}")), "a.parquet", day * ROWS);
    }
    let (options, root) = (s3.options(), "s3://lake/".to_owned());
    let server = TestServer::start_with(&[], move |serve| {
        serve.engine.stores.roots.push(root);
        serve.engine.stores.s3 = options;
        serve.engine.footer_cache_bytes = 0;
    })
    .await
    .unwrap();
    let client = server.client().await.unwrap();
    let sql = "CREATE EXTERNAL TABLE p (id bigint, name string, value double) PARTITIONED BY (day int)
               STORED AS PARQUET LOCATION 's3://lake/p/'; MSCK REPAIR TABLE p";
    rows(&client, sql).await.unwrap();
    // Two scans that are the same, whose lists are one, and one that isn't.
    let sql = "SELECT count(*), max(a.name) FROM p a JOIN p b ON a.id = b.id WHERE a.value > 100 AND b.value > 100
               AND a.day < 2 AND b.day < 2 AND a.id NOT IN (SELECT id FROM p WHERE day = 2 AND value < 10)";
    s3.reset_counts();
    let first = rows(&client, sql).await.unwrap();
    let counts = s3.counts();
    assert!(counts.get > 0 && counts.list == 3, "what was listed for the key is not listed again: {counts:?}");
    s3.reset_counts();
    assert_eq!(rows(&client, sql).await.unwrap(), first);
    let counts = s3.counts();
    assert_eq!((counts.get, counts.list, used(&client).await.as_str()), (0, 3, "hit"), "{counts:?}");
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_changes_a_file_is_a_miss() {
    let (s3, server, client) = lake().await;
    let folder = s3.root().join("lake/t");
    let sql = "SELECT count(*), sum(id + 1) FROM t";
    let expect = async |count: i64, sum: i64, did: &str, what: &str| {
        let (answer, used, _) = ask(&s3, &client, sql).await;
        assert_eq!(answer, [[Some(count.to_string()), Some(sum.to_string())]], "{what}");
        assert_eq!(used, did, "{what}");
    };
    let sum = |from: i64| (from..from + ROWS).map(|id| id + 1).sum::<i64>();
    expect(2 * ROWS, sum(0) + sum(ROWS), "miss", "first").await;
    expect(2 * ROWS, sum(0) + sum(ROWS), "hit", "second").await;
    let old = std::fs::read(folder.join("b.parquet")).unwrap();
    write(&folder, "b.parquet", 10 * ROWS);
    expect(2 * ROWS, sum(0) + sum(10 * ROWS), "miss", "replaced behind our back").await;
    write(&folder, "c.parquet", 20 * ROWS);
    expect(3 * ROWS, sum(0) + sum(10 * ROWS) + sum(20 * ROWS), "miss", "one more").await;
    expect(3 * ROWS, sum(0) + sum(10 * ROWS) + sum(20 * ROWS), "hit", "as it was").await;
    std::fs::remove_file(folder.join("c.parquet")).unwrap();
    std::fs::write(folder.join("b.parquet"), old).unwrap();
    let (answer, _, _) = ask(&s3, &client, sql).await;
    assert_eq!(answer[0][1], Some((sum(0) + sum(ROWS)).to_string()), "the old files are back");
    // The table means something else now.
    rows(&client, "DROP TABLE t; CREATE EXTERNAL TABLE t (id int) STORED AS PARQUET LOCATION 's3://lake/t/'")
        .await
        .unwrap();
    expect(2 * ROWS, sum(0) + sum(ROWS), "miss", "another table of that name").await;
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_and_under_which_settings_matters() {
    let (s3, server, client) = lake().await;
    let sql = "SELECT max(to_timestamp(id)::timestamptz)::text FROM t";
    let utc = value(&client, sql).await.unwrap();
    rows(&client, "SET timezone = 'Asia/Tokyo'").await.unwrap();
    let (tokyo, did, _) = ask(&s3, &client, sql).await;
    assert_eq!(did, "miss");
    assert_ne!(Some(&utc), tokyo[0].first());
    rows(&client, "SET timezone = 'UTC'; SET application_name = 'other'").await.unwrap();
    assert_eq!(ask(&s3, &client, sql).await.1, "hit");
    let mut config = client::config(server.pg_address());
    config.user("ann");
    let ann = client::connect(&config).await.unwrap();
    assert_eq!(ask(&s3, &ann, sql).await.1, "miss");

    rows(&client, "SET result_cache = off").await.unwrap();
    let (_, did, gets) = ask(&s3, &client, sql).await;
    assert!(did == "off" && gets > 0, "{did} {gets}");
    assert_eq!(value(&client, "SHOW result_cache").await.unwrap().unwrap(), "off");
    fails(&client, "SET result_cache = maybe", "22023", "result_cache").await.unwrap();
    rows(&client, "RESET result_cache").await.unwrap();
    assert_eq!(ask(&s3, &client, sql).await.1, "hit");
    // Pinned or not, what is read is the same.
    rows(&client, "BEGIN").await.unwrap();
    assert_eq!(ask(&s3, &client, sql).await.1, "hit");
    rows(&client, "COMMIT").await.unwrap();
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_answer_otherwise_is_not_kept() {
    let (_s3, server, client) = lake().await;
    for (sql, reason) in [
        ("SELECT count(*) FROM t WHERE random() < 2", "function \"random\" is volatile"),
        ("SELECT uuid(), id FROM t LIMIT 1", "function \"uuid\" is volatile"),
        ("SELECT count(*) FROM t, system.queries", "is not a table of files"),
        ("SELECT count(*) FROM t, pg_catalog.pg_class", "is not a table of files"),
        ("SELECT count(*) FROM t, generate_series(1, 3)", "is not a table of files"),
        ("SELECT id FROM t WHERE id IN (SELECT 1 FROM system.queries)", "is not a table of files"),
        ("SELECT count(*) FROM t WHERE current_setting(name, true) IS NULL", "answers from the session"),
        ("SELECT 1", "it reads no table"),
    ] {
        let plan = rows(&client, &format!("EXPLAIN {sql}")).await.unwrap();
        let plan = plan.into_iter().flatten().flatten().collect::<Vec<_>>().join("\n");
        assert!(plan.contains("Result cache: not cacheable (") && plan.contains(reason), "{sql}\n{plan}");
        rows(&client, sql).await.unwrap();
        assert_eq!(used(&client).await, "not cacheable", "{sql}");
    }
    // `now()` is the constant that it is in a statement; today's date is the same all day.
    for (sql, did) in [
        ("SELECT max(now()) FROM t WHERE id < 7", "miss"),
        ("SELECT max(id) FROM t WHERE current_date > DATE '2020-01-01'", "hit"),
    ] {
        rows(&client, sql).await.unwrap();
        rows(&client, sql).await.unwrap();
        assert_eq!(used(&client).await, did, "{sql}");
    }
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_says_what_the_cache_does() {
    let (s3, server, client) = lake().await;
    let line = async |sql: &str| {
        let plan = rows(&client, sql).await.unwrap();
        plan.into_iter().flatten().flatten().find(|line| line.starts_with("Result cache")).unwrap()
    };
    let sql = "SELECT sum(value) FROM t WHERE id > 100";
    assert_eq!(line(&format!("EXPLAIN {sql}")).await, "Result cache: miss");
    assert_eq!(line(&format!("EXPLAIN ANALYZE {sql}")).await, "Result cache: miss");
    s3.reset_counts();
    assert_eq!(line(&format!("EXPLAIN ANALYZE {sql}")).await, "Result cache: hit");
    assert_eq!(s3.counts().get, 0);
    assert_eq!(line(&format!("EXPLAIN {sql}")).await, "Result cache: hit");
    rows(&client, sql).await.unwrap();
    assert_eq!(used(&client).await, "hit");
    rows(&client, "SET result_cache = off").await.unwrap();
    assert_eq!(line(&format!("EXPLAIN {sql}")).await, "Result cache: off");
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_whole_answers_of_a_bounded_size_are_kept() {
    let (s3, server, client) = lake().await;
    // A tenth of the cache is less than this.
    let large = "SELECT id, name, value FROM t";
    for _ in 0..2 {
        let (answer, did, gets) = ask(&s3, &client, large).await;
        assert_eq!(answer.len() as i64, 2 * ROWS);
        assert!(did == "miss" && gets > 0, "{did} {gets}");
    }
    // Left by its client in the middle.
    let mut leaving = server.client().await.unwrap();
    {
        let transaction = leaving.transaction().await.unwrap();
        let portal = transaction.bind("SELECT id, name, value FROM t WHERE id >= 0", &[]).await.unwrap();
        assert_eq!(transaction.query_portal(&portal, 10).await.unwrap().len(), 10);
    }
    drop(leaving);
    assert_eq!(rows(&client, "SELECT id, name, value FROM t WHERE id >= 0").await.unwrap().len() as i64, 2 * ROWS);
    // What failed is no answer.
    let failing = "SELECT sum(1 / (id - 70000)) FROM t";
    fails(&client, failing, "22012", "division by zero").await.unwrap();
    fails(&client, failing, "22012", "division by zero").await.unwrap();
    assert_eq!(used(&client).await, "miss");
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_questions_at_the_same_time_are_answered_by_one() {
    let (s3, server, client) = lake().await;
    let server = Arc::new(server);
    let sql = "SELECT count(*), sum(value * 3) FROM t WHERE id > 5";
    // Footers first, so that only data is counted below.
    rows(&client, "SELECT count(*) FROM t WHERE id < 0 AND value < 0").await.unwrap();
    s3.reset_counts();
    rows(&client, "SELECT count(*), sum(value * 4) FROM t WHERE id > 5").await.unwrap();
    let one = s3.counts().get;
    assert!(one > 0);
    s3.reset_counts();
    s3.faults.latency_ms.store(150, Ordering::SeqCst);
    let ask = |server: Arc<TestServer>| async move {
        let client = server.client().await.unwrap();
        rows(&client, sql).await.unwrap()
    };
    let asked: Vec<_> = (0..8).map(|_| tokio::spawn(ask(Arc::clone(&server)))).collect();
    let mut answers = Vec::new();
    for asked in asked {
        answers.push(asked.await.unwrap());
    }
    assert!(answers.iter().all(|answer| answer == &answers[0]), "{answers:?}");
    assert_eq!(s3.counts().get, one, "{:?}", s3.counts());
    let counted = "SELECT count(*) FROM system.queries WHERE sql LIKE '%value * 3%' AND result_cache = ";
    assert_eq!(value(&client, &format!("{counted} 'miss'")).await.unwrap().unwrap(), "1");
    assert_eq!(value(&client, &format!("{counted} 'hit'")).await.unwrap().unwrap(), "7");

    // The one that runs is cancelled: the one that waits for it goes on by itself.
    let slow = "SELECT count(*), sum(value * 5) FROM t WHERE id > 5";
    s3.faults.latency_ms.store(700, Ordering::SeqCst);
    let first = server.client().await.unwrap();
    let cancel = first.cancel_token();
    let running = tokio::spawn(async move { first.simple_query(slow).await.map(|_| ()) });
    tokio::time::sleep(Duration::from_millis(900)).await;
    let second = server.client().await.unwrap();
    let waiting = tokio::spawn(async move { rows(&second, slow).await.unwrap() });
    tokio::time::sleep(Duration::from_millis(300)).await;
    cancel.cancel_query(tokio_postgres::NoTls).await.unwrap();
    client::check_error(&running.await.unwrap().unwrap_err(), "57014", "canceling").unwrap();
    let answer = waiting.await.unwrap();
    s3.faults.latency_ms.store(0, Ordering::SeqCst);
    rows(&client, "SET result_cache = off").await.unwrap();
    assert_eq!(answer, rows(&client, slow).await.unwrap());
}
