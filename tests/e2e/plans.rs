//! Plans are kept for whoever asks the same again. Each answer here would be wrong if one were used that no longer holds.

use std::path::Path;
use std::time::Duration;

use limnos_tests::server::TestServer;
use limnos_tests::{client, lake};
use tokio_postgres::{Client, Statement};

/// One text, asked as a simple query and as a statement that was prepared once.
struct Asked<'a> {
    client: &'a Client,
    sql: &'a str,
    statement: Statement,
}

impl<'a> Asked<'a> {
    async fn new(client: &'a Client, sql: &'a str) -> Self {
        Self { client, sql, statement: client.prepare(sql).await.unwrap() }
    }

    /// The answer, a text, is `wanted` each time.
    async fn gives(&self, wanted: &str, what: &str) {
        for round in 1..=3 {
            let simple = client::value(self.client, self.sql).await.unwrap();
            assert_eq!(simple.as_deref(), Some(wanted), "{what}, simple, {round}");
            let row = self.client.query_one(&self.statement, &[]).await.unwrap();
            assert_eq!(row.get::<_, &str>(0), wanted, "{what}, prepared, {round}");
        }
    }

    async fn fails(&self, sqlstate: &str, named: &str) {
        client::fails(self.client, self.sql, sqlstate, named).await.unwrap();
        let error = self.client.query(&self.statement, &[]).await.unwrap_err();
        client::check_error(&error, sqlstate, named).unwrap();
    }
}

async fn run(client: &Client, sql: &str) {
    client::rows(client, sql).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn definitions_are_those_of_now() {
    let server = TestServer::start(&[]).await.unwrap();
    let client = server.client().await.unwrap();
    run(&client, "CREATE TABLE t AS SELECT 1 AS id, 'one' AS name; CREATE VIEW v AS SELECT name FROM t").await;
    let (table, view) =
        (Asked::new(&client, "SELECT max(name) FROM t").await, Asked::new(&client, "SELECT name FROM v").await);
    table.gives("one", "at first").await;
    view.gives("one", "at first").await;
    run(&client, "CREATE OR REPLACE VIEW v AS SELECT 'other' AS name").await;
    view.gives("other", "another view").await;
    run(&client, "INSERT INTO t VALUES (2, 'two')").await;
    table.gives("two", "more rows").await;
    run(&client, "DROP TABLE t; CREATE TABLE t AS SELECT 'new' AS name, 5 AS id").await;
    table.gives("new", "another table of the name").await;
    run(&client, "ALTER TABLE t RENAME TO u").await;
    table.fails("42P01", "\"t\"").await;
    run(&client, "CREATE TABLE t AS SELECT 7 AS name").await;
    assert_eq!(client::value(&client, table.sql).await.unwrap().as_deref(), Some("7"));
    let error = client.query(&table.statement, &[]).await.unwrap_err();
    client::check_error(&error, "0A000", "cached plan must not change result type").unwrap();
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_and_names_are_those_of_now() {
    let server = TestServer::start(&[]).await.unwrap();
    let client = server.client().await.unwrap();
    run(
        &client,
        "CREATE DATABASE a; CREATE DATABASE b; CREATE TABLE a.t AS SELECT 'a' AS x; CREATE TABLE b.t AS SELECT 'b' AS x",
    )
    .await;
    run(&client, "SET search_path = a").await;
    let asked = Asked::new(&client, "SELECT x FROM t").await;
    asked.gives("a", "a's").await;
    run(&client, "SET search_path = b").await;
    asked.gives("b", "b's").await;
    run(&client, "SET search_path = public").await;
    asked.fails("42P01", "\"t\"").await;

    let zone = "SELECT ('2024-01-01 12:00'::timestamp::timestamptz AT TIME ZONE 'UTC')::text";
    let zoned = Asked::new(&client, zone).await;
    zoned.gives("2024-01-01 12:00:00", "in UTC").await;
    run(&client, "SET TimeZone = 'Asia/Tokyo'").await;
    zoned.gives("2024-01-01 03:00:00", "in Tokyo").await;
    run(&client, "RESET TimeZone").await;
    zoned.gives("2024-01-01 12:00:00", "in UTC again").await;

    let order = Asked::new(&client, "SELECT '01/02/2024'::date::text").await;
    order.gives("2024-01-02", "month first").await;
    run(&client, "SET DateStyle = 'ISO, DMY'").await;
    order.gives("2024-02-01", "day first").await;

    let setting = Asked::new(&client, "SELECT current_setting('my.name', true)").await;
    for name in ["one", "two"] {
        run(&client, &format!("SET my.name = '{name}'")).await;
        setting.gives(name, "a setting").await;
    }
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn moments_are_those_of_now() {
    let server = TestServer::start(&[]).await.unwrap();
    let client = server.client().await.unwrap();
    for sql in [
        "SELECT now()::text",
        "SELECT clock_timestamp()::text",
        "SELECT 'now'::timestamp::text",
        "SELECT (SELECT max(x) FROM (SELECT now()::text AS x) AS s)",
        "SELECT random()::text",
        "SELECT gen_random_uuid()::text",
        "EXECUTE p",
    ] {
        if sql == "EXECUTE p" {
            run(&client, "PREPARE p AS SELECT now()::text").await;
        }
        let mut seen = Vec::new();
        for _ in 0..3 {
            seen.push(client::value(&client, sql).await.unwrap().unwrap());
            std::thread::sleep(Duration::from_micros(10));
        }
        seen.dedup();
        assert_eq!(seen.len(), 3, "{sql}: {seen:?}");
    }
    run(&client, "CREATE VIEW v AS SELECT 'now'::timestamp::text AS x").await;
    let (first, second) = ("SELECT x FROM v", "SELECT x FROM v");
    let first = client::value(&client, first).await.unwrap();
    std::thread::sleep(Duration::from_micros(10));
    assert_ne!(first, client::value(&client, second).await.unwrap());
    let statement = client.prepare("SELECT $1::text || now()::text").await.unwrap();
    let mut seen = Vec::new();
    for text in ["a", "b", "a"] {
        seen.push(client.query_one(&statement, &[&text]).await.unwrap().get::<_, String>(0));
    }
    assert!(seen[0].starts_with('a') && seen[1].starts_with('b') && seen[0] != seen[2], "{seen:?}");
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_and_roles_are_those_of_now() {
    let server = TestServer::start(&[]).await.unwrap();
    let owner = server.client().await.unwrap();
    run(
        &owner,
        "CREATE ROLE ann LOGIN; CREATE ROLE ben LOGIN; CREATE TABLE t AS SELECT 'x' AS name; \
         GRANT SELECT ON t TO ann; CREATE VIEW v AS SELECT name FROM t; GRANT SELECT ON v TO ann",
    )
    .await;
    let mut config = client::config(server.pg_address());
    config.user("ann");
    let ann = client::connect(&config).await.unwrap();
    let table = Asked::new(&ann, "SELECT name FROM t").await;
    let view = Asked::new(&ann, "SELECT max(name) FROM v").await;
    table.gives("x", "granted").await;
    view.gives("x", "granted").await;
    run(&owner, "REVOKE SELECT ON t FROM ann").await;
    table.fails("42501", "permission denied for table t").await;
    view.gives("x", "the view's owner may").await;
    run(&owner, "REVOKE SELECT ON v FROM ann").await;
    view.fails("42501", "permission denied for view v").await;

    let user = Asked::new(&owner, "SELECT current_user::text").await;
    let table = Asked::new(&owner, "SELECT name FROM t").await;
    table.gives("x", "the owner").await;
    let before = client::value(&owner, "SELECT current_user::text").await.unwrap().unwrap();
    user.gives(&before, "before").await;
    run(&owner, "SET ROLE ben").await;
    user.gives("ben", "as ben").await;
    table.fails("42501", "permission denied for table t").await;
    run(&owner, "RESET ROLE").await;
    user.gives(&before, "after").await;
    table.gives("x", "the owner again").await;
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_see_what_they_have_made() {
    let server = TestServer::start(&[]).await.unwrap();
    let (client, other) = (server.client().await.unwrap(), server.client().await.unwrap());
    run(&client, "CREATE TABLE t AS SELECT 'old' AS name").await;
    let (own, others) =
        (Asked::new(&client, "SELECT min(name) FROM t").await, Asked::new(&other, "SELECT min(name) FROM t").await);
    own.gives("old", "before").await;
    run(&client, "BEGIN").await;
    run(&client, "INSERT INTO t VALUES ('a')").await;
    own.gives("a", "in the block").await;
    others.gives("old", "outside of it").await;
    run(&client, "ROLLBACK").await;
    own.gives("old", "rolled back").await;
    run(&client, "BEGIN").await;
    own.gives("old", "pinned").await;
    run(&other, "DROP TABLE t; CREATE TABLE t AS SELECT 'new' AS name").await;
    others.gives("new", "outside of it").await;
    own.gives("old", "still pinned").await;
    run(&client, "COMMIT").await;
    own.gives("new", "after it").await;
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_those_of_now() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("t");
    let write = |folder: &Path, from: i64, to: i64| {
        lake::write_parquet(&folder.join("a.parquet"), &[lake::plain_rows(from, to).unwrap()], 100).unwrap();
    };
    write(&folder, 0, 10);
    let server = TestServer::start(&[root.path()]).await.unwrap();
    let client = server.client().await.unwrap();
    run(&client, &format!("CREATE EXTERNAL TABLE t (id bigint) STORED AS PARQUET LOCATION '{}'", folder.display()))
        .await;
    let path = format!("SELECT sum(id)::text FROM '{}/a.parquet'", folder.display());
    let (table, file) = (Asked::new(&client, "SELECT sum(id)::text FROM t").await, Asked::new(&client, &path).await);
    for (from, to, sum) in [(0, 10, "45"), (10, 20, "145"), (20, 25, "110")] {
        write(&folder, from, to);
        table.gives(sum, "the table").await;
        file.gives(sum, "the file").await;
    }
    let bound = client.prepare("SELECT count(*)::text FROM t WHERE id >= $1").await.unwrap();
    for (id, count) in [(20_i64, "5"), (23, "2"), (20, "5")] {
        assert_eq!(client.query_one(&bound, &[&id]).await.unwrap().get::<_, &str>(0), count, "{id}");
    }
    std::fs::remove_file(folder.join("a.parquet")).unwrap();
    let row = client.query_one(&table.statement, &[]).await.unwrap();
    assert_eq!(row.get::<_, Option<&str>>(0), None);
    server.shutdown().await;
}
