//! Roles: who gets in, and that a role without rights gets nothing, whatever the statement. What SQL alone can say is in
//! `sql/slt/role/`.

use limnos_engine::parse::{Dialect, Statement, parse};
use limnos_server::auth::{AuthMethod, Users};
use limnos_tests::client;
use limnos_tests::server::TestServer;
use tokio_postgres::Client;

/// What a role without any right is answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wanted {
    /// 42501.
    Denied,
    /// It is about nothing that anybody could be denied.
    Free,
}
use Wanted::{Denied, Free};

/// Statements of every kind; `orders`, `v`, `closed.t`, the crawler `c` and the classifier `k` are a superuser's.
const STATEMENTS: &[(&str, Wanted)] = &[
    ("", Free),
    ("SELECT * FROM orders", Denied),
    ("SELECT 1 FROM orders WHERE false", Denied),
    ("SELECT * FROM v", Denied),
    ("SELECT \"$path\" FROM orders", Denied),
    ("SELECT * FROM closed.t", Denied),
    ("SELECT * FROM closed.nope", Denied),
    ("SELECT 1 WHERE EXISTS (SELECT 1 FROM orders)", Denied),
    ("SELECT 1 UNION ALL SELECT id FROM orders", Denied),
    ("TABLE orders", Denied),
    ("SELECT * FROM '/etc/passwd.csv'", Denied),
    ("SELECT * FROM read_excel('/x.xlsx')", Denied),
    ("SELECT * FROM system.caches", Denied),
    ("SELECT * FROM system.crawls", Denied),
    ("SELECT * FROM system.crawl_changes", Denied),
    ("SELECT * FROM system.bookmarks", Denied),
    ("EXPLAIN SELECT * FROM orders", Denied),
    ("EXPLAIN (COST) SELECT * FROM orders", Denied),
    ("EXPLAIN ANALYZE SELECT * FROM orders", Denied),
    ("EXPLAIN INSERT INTO orders SELECT 1", Denied),
    ("CREATE DATABASE mine", Denied),
    ("DROP DATABASE closed CASCADE", Denied),
    ("ALTER DATABASE closed SET DBPROPERTIES ('a' = 'b')", Denied),
    ("CREATE EXTERNAL TABLE x (a int) STORED AS PARQUET LOCATION '/'", Denied),
    ("CREATE TABLE x AS SELECT 1 AS a", Denied),
    ("CREATE TABLE x (a int)", Denied),
    ("INSERT INTO orders VALUES (1)", Denied),
    ("INSERT OVERWRITE orders SELECT 1", Denied),
    ("UNLOAD (SELECT 1 AS a) TO '/tmp/x/'", Denied),
    ("COPY (SELECT 1 AS a) TO '/tmp/x.csv'", Denied),
    ("COPY orders TO STDOUT", Denied),
    ("COPY (SELECT id FROM orders) TO STDOUT", Denied),
    ("COPY orders FROM STDIN", Denied),
    ("BEGIN", Free),
    ("DECLARE d CURSOR FOR SELECT 1", Free),
    ("FETCH ALL FROM d", Free),
    ("CLOSE d", Free),
    ("DECLARE d CURSOR FOR SELECT id FROM orders", Denied),
    ("ROLLBACK", Free),
    ("DELETE FROM orders", Denied),
    ("TRUNCATE orders", Denied),
    ("OPTIMIZE orders", Denied),
    ("SHOW BOOKMARKS", Denied),
    ("RESET BOOKMARK b", Denied),
    ("CREATE VIEW w AS SELECT 1 AS a", Denied),
    ("CREATE OR REPLACE VIEW v AS SELECT 1 AS a", Denied),
    ("DROP TABLE orders", Denied),
    ("DROP TABLE IF EXISTS closed.t", Denied),
    ("DROP VIEW v", Denied),
    ("ALTER TABLE orders RENAME TO x", Denied),
    ("ALTER TABLE orders ADD COLUMN b int", Denied),
    ("ALTER TABLE orders OWNER TO nobody_much", Denied),
    ("ALTER VIEW v AS SELECT 2 AS a", Denied),
    ("ALTER TABLE orders PARTITION (k = '1') SET LOCATION '/'", Denied),
    ("COMMENT ON TABLE orders IS 'x'", Denied),
    ("COMMENT ON SCHEMA closed IS 'x'", Denied),
    ("COMMENT ON COLUMN orders.id IS 'x'", Denied),
    ("SHOW VERSIONS orders", Denied),
    ("ALTER TABLE orders ADD PARTITION (k = '1')", Denied),
    ("ALTER TABLE orders DROP PARTITION (k = '1')", Denied),
    ("MSCK REPAIR TABLE orders", Denied),
    ("CRAWL '/'", Denied),
    ("ANALYZE orders", Denied),
    ("SHOW STATS FOR orders", Denied),
    ("SHOW DRIFT orders", Denied),
    ("CREATE CRAWLER d TARGETS ('/') DATABASE \"default\"", Denied),
    ("ALTER CRAWLER c SET COMMENT 'x'", Denied),
    ("ALTER CRAWLER c RENAME TO d", Denied),
    ("ALTER CRAWLER c PAUSE", Denied),
    ("DROP CRAWLER c", Denied),
    ("RUN CRAWLER c", Denied),
    ("SHOW CRAWLERS", Free),
    ("CREATE DATASET closed.d AS TABLE orders", Denied),
    ("CREATE DATASET e AS TABLE orders", Denied),
    ("SELECT * FROM ds", Denied),
    ("REFRESH DATASET ds", Denied),
    ("REFRESH MATERIALIZED VIEW ds WITH NO DATA", Denied),
    ("ALTER DATASET ds SET (refresh = 'on_change')", Denied),
    ("ALTER DATASET ds RENAME TO e", Denied),
    ("ALTER DATASET ds OWNER TO boss", Denied),
    ("DROP DATASET ds", Denied),
    ("SHOW DATASETS", Free),
    ("SHOW CREATE DATASET ds", Denied),
    ("CREATE REPORT d TO '/x.csv' AS SELECT 1 AS a", Denied),
    ("ALTER REPORT r SET TITLE 'x'", Denied),
    ("ALTER REPORT r RENAME TO d", Denied),
    ("DROP REPORT r", Denied),
    ("RUN REPORT r", Denied),
    ("SHOW CREATE REPORT r", Denied),
    ("SHOW REPORTS", Free),
    ("SHOW CREATE CRAWLER c", Denied),
    ("CREATE SCHEDULE t EVERY '1 hour' AS SELECT 1", Denied),
    ("CREATE OR REPLACE SCHEDULE s EVERY '1 hour' AS SELECT 1", Denied),
    ("ALTER SCHEDULE s OVERLAP QUEUE", Denied),
    ("ALTER SCHEDULE s RENAME TO t", Denied),
    ("ALTER SCHEDULE s OWNER TO nobody", Denied),
    ("PAUSE SCHEDULE s", Denied),
    ("RESUME SCHEDULE s", Denied),
    ("RUN SCHEDULE s", Denied),
    ("DROP SCHEDULE s", Denied),
    ("SHOW CREATE SCHEDULE s", Denied),
    ("SHOW SCHEDULES", Free),
    ("SELECT * FROM system.schedules", Free),
    ("SELECT * FROM system.schedule_runs", Free),
    ("CREATE CLASSIFIER j JSON '$.a'", Denied),
    ("DROP CLASSIFIER k", Denied),
    ("SHOW CLASSIFIERS", Free),
    ("SHOW CREATE CLASSIFIER k", Free),
    ("SHOW DATABASES", Free),
    ("SHOW TABLES IN closed", Denied),
    ("SHOW COLUMNS FROM orders", Denied),
    ("SHOW PARTITIONS orders", Denied),
    ("SHOW CREATE TABLE orders", Denied),
    ("SHOW CREATE VIEW v", Denied),
    ("SHOW TBLPROPERTIES orders", Denied),
    ("DESCRIBE orders", Denied),
    ("USE closed", Free),
    ("USE \"default\"", Free),
    ("SET statement_timeout = 0", Free),
    ("BEGIN", Free),
    ("SET TRANSACTION READ ONLY", Free),
    ("SAVEPOINT a", Free),
    ("ROLLBACK TO a", Free),
    ("RELEASE a", Free),
    ("COMMIT", Free),
    ("BEGIN", Free),
    ("ROLLBACK", Free),
    ("RESET statement_timeout", Free),
    ("SHOW statement_timeout", Free),
    ("DISCARD PLANS", Free),
    ("PREPARE p AS SELECT 1", Free),
    ("EXECUTE p", Free),
    ("DEALLOCATE p", Free),
    ("KILL 'none'", Free),
    ("ALTER SYSTEM DROP CACHE ALL", Denied),
    ("LISTEN x", Free),
    ("CREATE ROLE x", Denied),
    ("ALTER ROLE boss NOLOGIN", Denied),
    ("ALTER ROLE boss PASSWORD 'x'", Denied),
    ("ALTER ROLE boss SET timezone = 'UTC'", Denied),
    ("ALTER ROLE boss RENAME TO x", Denied),
    ("COMMENT ON ROLE boss IS 'x'", Denied),
    ("DROP ROLE boss", Denied),
    ("GRANT boss TO nobody_much", Denied),
    ("GRANT pg_read_server_files TO nobody_much", Denied),
    ("GRANT SELECT ON orders TO nobody_much", Denied),
    ("GRANT USAGE ON SCHEMA closed TO nobody_much", Denied),
    ("GRANT CREATE ON DATABASE lake TO nobody_much", Free),
    ("ALTER DEFAULT PRIVILEGES FOR ROLE boss GRANT SELECT ON TABLES TO nobody_much", Denied),
    ("REASSIGN OWNED BY boss TO nobody_much", Denied),
    ("DROP OWNED BY boss", Denied),
    ("ALTER SCHEMA closed OWNER TO nobody_much", Denied),
    ("SET ROLE boss", Denied),
    ("SET SESSION AUTHORIZATION boss", Denied),
];

/// What kind of statement it is. Without an arm for the rest: a new kind doesn't compile until [`STATEMENTS`] can have one.
fn kind(statement: &Statement) -> &'static str {
    match statement {
        Statement::Empty => "Empty",
        Statement::Query(_) => "Query",
        Statement::Explain(_) => "Explain",
        Statement::CreateDatabase { .. } => "CreateDatabase",
        Statement::DropDatabase { .. } => "DropDatabase",
        Statement::CreateTable(_) => "CreateTable",
        Statement::CreateTableAs(_) => "CreateTableAs",
        Statement::Insert(_) => "Insert",
        Statement::Unload(_) => "Unload",
        Statement::Copy(_) => "Copy",
        Statement::CopyOut(_) => "CopyOut",
        Statement::CopyIn(_) => "CopyIn",
        Statement::Declare(_) => "Declare",
        Statement::Fetch(_) => "Fetch",
        Statement::CloseCursor { .. } => "CloseCursor",
        Statement::Delete(_) => "Delete",
        Statement::Truncate(_) => "Truncate",
        Statement::Optimize(_) => "Optimize",
        Statement::ShowBookmarks => "ShowBookmarks",
        Statement::ResetBookmark { .. } => "ResetBookmark",
        Statement::CreateView(_) => "CreateView",
        Statement::Drop { .. } => "Drop",
        Statement::RenameTable { .. } => "RenameTable",
        Statement::AlterTable { .. } => "AlterTable",
        Statement::AlterView { .. } => "AlterView",
        Statement::AlterDatabase { .. } => "AlterDatabase",
        Statement::AlterPartition { .. } => "AlterPartition",
        Statement::Comment { .. } => "Comment",
        Statement::ShowVersions { .. } => "ShowVersions",
        Statement::AddPartitions { .. } => "AddPartitions",
        Statement::DropPartitions { .. } => "DropPartitions",
        Statement::RepairTable { .. } => "RepairTable",
        Statement::Crawl { .. } => "Crawl",
        Statement::Analyze(_) => "Analyze",
        Statement::ShowStats { .. } => "ShowStats",
        Statement::ShowDrift { .. } => "ShowDrift",
        Statement::CreateCrawler { .. } => "CreateCrawler",
        Statement::AlterCrawler { .. } => "AlterCrawler",
        Statement::RenameCrawler { .. } => "RenameCrawler",
        Statement::PauseCrawler { .. } => "PauseCrawler",
        Statement::DropCrawler { .. } => "DropCrawler",
        Statement::RunCrawler { .. } => "RunCrawler",
        Statement::ShowCrawlers { .. } => "ShowCrawlers",
        Statement::ShowCreateCrawler { .. } => "ShowCreateCrawler",
        Statement::Schedule(_) => "Schedule",
        Statement::CreateClassifier { .. } => "CreateClassifier",
        Statement::DropClassifier { .. } => "DropClassifier",
        Statement::ShowClassifiers { .. } => "ShowClassifiers",
        Statement::ShowCreateClassifier { .. } => "ShowCreateClassifier",
        Statement::ShowDatabases { .. } => "ShowDatabases",
        Statement::ShowTables { .. } => "ShowTables",
        Statement::ShowColumns { .. } => "ShowColumns",
        Statement::ShowPartitions { .. } => "ShowPartitions",
        Statement::ShowCreate { .. } => "ShowCreate",
        Statement::ShowTableProperties { .. } => "ShowTableProperties",
        Statement::Describe { .. } => "Describe",
        Statement::Use { .. } => "Use",
        Statement::Set { .. } => "Set",
        Statement::SetTransaction { .. } => "SetTransaction",
        Statement::Reset { .. } => "Reset",
        Statement::Show { .. } => "Show",
        Statement::Begin(_) => "Begin",
        Statement::Commit => "Commit",
        Statement::Rollback => "Rollback",
        Statement::Savepoint { .. } => "Savepoint",
        Statement::Release { .. } => "Release",
        Statement::RollbackTo { .. } => "RollbackTo",
        Statement::Discard { .. } => "Discard",
        Statement::Prepare { .. } => "Prepare",
        Statement::Execute { .. } => "Execute",
        Statement::Deallocate { .. } => "Deallocate",
        Statement::Kill { .. } => "Kill",
        Statement::Dataset(_) => "Dataset",
        Statement::Role(_) => "Role",
        Statement::Report(_) => "Report",
        Statement::DropCache { .. } => "DropCache",
        Statement::NoOp { .. } => "NoOp",
    }
}

/// How many arms [`kind`] has.
const KIND_COUNT: usize = 77;

#[test]
fn every_kind_of_statement_is_tried() {
    let mut kinds = std::collections::BTreeSet::new();
    for (sql, _) in STATEMENTS {
        let statements = parse(sql, Dialect::Postgres).unwrap_or_else(|error| panic!("{sql}: {error}"));
        kinds.extend(statements.iter().map(|parsed| kind(&parsed.statement)));
    }
    assert_eq!(kinds.len(), KIND_COUNT, "{kinds:?}");
}

async fn connect_as(server: &TestServer, user: &str, password: Option<&str>) -> Result<Client, tokio_postgres::Error> {
    let mut config = client::config(server.pg_address());
    config.user(user);
    if let Some(password) = password {
        config.password(password);
    }
    client::connect(&config).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_without_rights_gets_nothing() {
    let server = TestServer::start(&[]).await.unwrap();
    let owner = server.client().await.unwrap();
    for sql in [
        "CREATE ROLE nobody_much LOGIN",
        "CREATE ROLE boss LOGIN SUPERUSER",
        "CREATE TABLE orders AS SELECT 1 AS id",
        "CREATE VIEW v AS SELECT * FROM orders",
        "CREATE DATASET ds AS TABLE orders",
        "CREATE DATABASE closed",
        "CREATE TABLE closed.t AS SELECT 1 AS id",
        "CREATE CLASSIFIER k JSON '$.a'",
        "CREATE SCHEDULE s EVERY '1000 days' AS SELECT 1",
    ] {
        client::rows(&owner, sql).await.unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let nobody = connect_as(&server, "nobody_much", None).await.unwrap();
    for (sql, wanted) in STATEMENTS {
        let answer = nobody.simple_query(sql).await;
        let code =
            answer.as_ref().err().and_then(|error| error.as_db_error()).map(|error| error.code().code().to_owned());
        match wanted {
            // What isn't there for one who may not know of it is denied, too, or is not there.
            Denied => {
                let code = code.unwrap_or_else(|| panic!("{sql}: {answer:?}"));
                let is_absent = (sql.contains("CRAWLER c") || sql.contains("REPORT r")) && code == "42704";
                assert!(code == "42501" || is_absent, "{sql}: {answer:?}");
            }
            Free => assert_ne!(code.as_deref(), Some("42501"), "{sql}: {answer:?}"),
        }
    }
    drop(folder);
    // Nothing has happened.
    let rows = client::rows(&owner, "SELECT id FROM orders").await.unwrap();
    assert_eq!(rows, [[Some("1".to_owned())]]);
    assert_eq!(client::value(&owner, "SELECT count(*) FROM v").await.unwrap().as_deref(), Some("1"));
    // What others ask is theirs.
    let seen =
        client::rows(&nobody, "SELECT DISTINCT sql FROM system.queries WHERE user_name = 'limnos'").await.unwrap();
    assert_eq!(seen, [[Some("<insufficient privilege>".to_owned())]]);
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prepared_statement_is_asked_for_each_time() {
    let server = TestServer::start(&[]).await.unwrap();
    let owner = server.client().await.unwrap();
    client::rows(&owner, "CREATE ROLE ann LOGIN; CREATE TABLE t AS SELECT 1 AS id; GRANT SELECT ON t TO ann")
        .await
        .unwrap();
    let ann = connect_as(&server, "ann", None).await.unwrap();
    let statement = ann.prepare("SELECT id FROM t").await.unwrap();
    assert_eq!(ann.query(&statement, &[]).await.unwrap().len(), 1);
    // In a block, too: rights are not of the snapshot that the block reads.
    ann.simple_query("BEGIN").await.unwrap();
    assert_eq!(ann.query(&statement, &[]).await.unwrap().len(), 1);
    client::rows(&owner, "REVOKE SELECT ON t FROM ann").await.unwrap();
    let error = ann.query(&statement, &[]).await.unwrap_err();
    client::check_error(&error, "42501", "permission denied for table t").unwrap();
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_of_the_catalog_log_in() {
    let server = TestServer::start_with(&[], |options| {
        options.auth = AuthMethod::ScramSha256;
        options.users = Users::from_secrets([("root", "toor")]).unwrap();
    })
    .await
    .unwrap();
    let root = connect_as(&server, "root", Some("toor")).await.unwrap();
    client::rows(
        &root,
        "CREATE ROLE ann LOGIN PASSWORD 'a' CONNECTION LIMIT 1; CREATE ROLE staff PASSWORD 's'; \
         CREATE ROLE old LOGIN PASSWORD 'o' VALID UNTIL '2001-01-01'; CREATE ROLE bare LOGIN; \
         ALTER ROLE ann SET timezone = 'Europe/Vienna'",
    )
    .await
    .unwrap();
    let ann = connect_as(&server, "ann", Some("a")).await.unwrap();
    assert_eq!(client::value(&ann, "SHOW timezone").await.unwrap().as_deref(), Some("Europe/Vienna"));
    assert_eq!(client::value(&ann, "SHOW is_superuser").await.unwrap().as_deref(), Some("off"));
    assert_eq!(client::value(&root, "SHOW is_superuser").await.unwrap().as_deref(), Some("on"));
    let refused = |user: &'static str, password: &'static str| {
        let server = &server;
        async move { connect_as(server, user, Some(password)).await.err().unwrap() }
    };
    let cases = [
        ("ann", "wrong", "28P01", "password authentication failed for user \"ann\""),
        ("ann", "a", "53300", "too many connections for role \"ann\""),
        ("staff", "s", "28000", "role \"staff\" is not permitted to log in"),
        ("old", "o", "28P01", "password authentication failed for user \"old\""),
        ("bare", "", "28P01", "password authentication failed for user \"bare\""),
        ("nobody", "x", "28P01", "password authentication failed for user \"nobody\""),
    ];
    for (user, password, sqlstate, text) in cases {
        client::check_error(&refused(user, if password.is_empty() { "x" } else { password }).await, sqlstate, text)
            .unwrap();
    }
    drop(ann);
    // The seat is given back, if not at once.
    for attempt in 0.. {
        match connect_as(&server, "ann", Some("a")).await {
            Ok(_) => break,
            Err(error) => assert!(attempt < 200, "{error:?}"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    // A new password counts at once, and the old one no more.
    client::rows(&root, "ALTER ROLE bare PASSWORD 'new'; REVOKE CONNECT ON DATABASE lake FROM PUBLIC").await.unwrap();
    client::check_error(&refused("bare", "new").await, "42501", "permission denied for database \"lake\"").unwrap();
    client::rows(&root, "GRANT CONNECT ON DATABASE lake TO bare").await.unwrap();
    connect_as(&server, "bare", Some("new")).await.unwrap();
    // The configuration's users are not the catalog's to change.
    client::fails(&root, "ALTER ROLE root NOSUPERUSER", "55000", "configuration").await.unwrap();
    client::fails(&root, "CREATE ROLE root", "42710", "already exists").await.unwrap();
    // Passwords are nowhere to be read.
    let shown = client::rows(&root, "SELECT sql FROM system.queries WHERE sql LIKE '%PASSWORD%'").await.unwrap();
    assert!(
        shown.iter().flatten().flatten().all(|sql| !sql.contains("PASSWORD 'a'") && !sql.contains("'new'")),
        "{shown:?}"
    );
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trust_believes_any_name_until_there_are_roles() {
    let server = TestServer::start(&[]).await.unwrap();
    let me = connect_as(&server, "me", None).await.unwrap();
    client::rows(&me, "CREATE TABLE t AS SELECT 1 AS id").await.unwrap();
    // The first role makes whoever makes it a role, too.
    client::rows(&me, "CREATE ROLE ann LOGIN").await.unwrap();
    assert_eq!(client::value(&me, "SELECT count(*) FROM t").await.unwrap().as_deref(), Some("1"));
    connect_as(&server, "me", None).await.unwrap();
    connect_as(&server, "limnos", None).await.unwrap();
    let error = connect_as(&server, "stranger", None).await.err().unwrap();
    client::check_error(&error, "28000", "role \"stranger\" does not exist").unwrap();
    let ann = connect_as(&server, "ann", None).await.unwrap();
    client::fails(&ann, "SELECT * FROM t", "42501", "permission denied for table t").await.unwrap();
    server.shutdown().await;
}
