//! Transaction blocks as several sessions see them: what others see and when, who is told of a conflict, what is left after
//! ROLLBACK, a client that leaves and `kill -9`; pipelines; and PostgreSQL's answers to the same statements.

use std::path::Path;
use std::time::{Duration, Instant};

use limnos_catalog::Location;
use limnos_test_postgres::{PostgresServer, fresh_schema};
use limnos_tests::client;
use limnos_tests::process::ServerProcess;
use limnos_tests::server::TestServer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_postgres::Client;

async fn run(client: &Client, sql: &str) {
    client.simple_query(sql).await.map_err(client::describe).unwrap();
}

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
        } else if !entry.file_name().to_string_lossy().starts_with('.') {
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

fn create(folder: &Path) -> String {
    format!("CREATE TABLE t WITH (external_location = '{}') AS SELECT 1 AS n", folder.display())
}

#[tokio::test(flavor = "multi_thread")]
async fn others_see_all_of_a_block_at_its_commit() {
    let lake = tempfile::tempdir().unwrap();
    let server = TestServer::start(&[lake.path()]).await.unwrap();
    let (one, other) = (server.client().await.unwrap(), server.client().await.unwrap());
    let folder = lake.path().join("t");
    run(&one, &create(&folder)).await;
    run(&one, "BEGIN").await;
    run(&one, "INSERT INTO t VALUES (10)").await;
    run(&one, "CREATE TABLE u AS SELECT n FROM t").await;
    run(&one, "INSERT INTO t SELECT n + 100 FROM u").await;
    assert_eq!(value(&one, "SELECT sum(n) FROM t").await, "222");
    assert_eq!(value(&other, "SELECT sum(n) FROM t").await, "1");
    client::fails(&other, "SELECT * FROM u", "42P01", "u").await.unwrap();
    // What others do meanwhile goes on, and the block doesn't see it.
    run(&other, "INSERT INTO t VALUES (1000)").await;
    run(&other, "OPTIMIZE t").await;
    assert_eq!(value(&other, "SELECT sum(n) FROM t").await, "1001");
    assert_eq!(value(&one, "SELECT sum(n) FROM t").await, "222");
    run(&one, "COMMIT").await;
    for client in [&one, &other] {
        assert_eq!(value(client, "SELECT sum(n) FROM t").await, "1222");
        assert_eq!(value(client, "SELECT count(*) FROM u").await, "2");
    }
    // ROLLBACK, and a client that leaves: their files go.
    run(&one, "BEGIN; INSERT INTO t VALUES (5); INSERT INTO t VALUES (6)").await;
    run(&one, "ROLLBACK").await;
    let third = server.client().await.unwrap();
    run(&third, "BEGIN; INSERT INTO t VALUES (7); CREATE SCHEMA gone").await;
    drop(third);
    run(&other, "OPTIMIZE t").await;
    eventually_files(&folder, 1).await;
    assert_eq!(value(&other, "SELECT sum(n) FROM t").await, "1222");
    client::fails(&other, "CREATE TABLE gone.x (a int)", "3F000", "gone").await.unwrap();
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_commits_second_is_told_and_changes_nothing() {
    let lake = tempfile::tempdir().unwrap();
    let server = TestServer::start(&[lake.path()]).await.unwrap();
    conflicts(&server, &server, lake.path()).await;
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_on_one_catalog_are_as_one() {
    let Some(url) = fresh_schema() else { return };
    let lake = tempfile::tempdir().unwrap();
    let start = async || {
        let location = Location::parse(&url).unwrap();
        TestServer::start_with(&[lake.path()], |options| options.catalog = location).await.unwrap()
    };
    let (one, other) = (start().await, start().await);
    conflicts(&one, &other, lake.path()).await;
    one.shutdown().await;
    other.shutdown().await;
}

async fn conflicts(one: &TestServer, other: &TestServer, lake: &Path) {
    let (one, other) = (one.client().await.unwrap(), other.client().await.unwrap());
    run(&one, &create(&lake.join("t"))).await;
    // What both must have seen.
    let eventually = async |client: &Client, sql: &str, wanted: &str| {
        let deadline = Instant::now() + Duration::from_secs(20);
        while client::value(client, sql).await.ok().flatten().as_deref() != Some(wanted) {
            assert!(Instant::now() < deadline, "{sql}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    eventually(&other, "SELECT sum(n) FROM t", "1").await;
    let cases: [(&str, &str, &str, &str); 6] = [
        ("ALTER TABLE t ADD COLUMN mine int", "ALTER TABLE t ADD COLUMN theirs int", "40001", "concurrent update"),
        ("INSERT INTO t VALUES (2)", "ALTER TABLE t ADD COLUMN other int", "40001", "concurrent update"),
        ("TRUNCATE TABLE t", "INSERT OVERWRITE t SELECT 3, 3, 3", "40001", "concurrent update"),
        ("CREATE TABLE twice (a int)", "CREATE TABLE twice (b int)", "42P07", "twice"),
        ("DROP TABLE twice", "ALTER TABLE twice RENAME TO once", "42P01", "twice"),
        ("COMMENT ON TABLE t IS 'mine'", "COMMENT ON TABLE t IS 'theirs'", "40001", "concurrent update"),
    ];
    for (number, (mine, theirs, sqlstate, named)) in cases.into_iter().enumerate() {
        run(&one, "BEGIN").await;
        run(&one, &format!("CREATE TABLE witness{number} AS SELECT 1 AS a")).await;
        run(&one, mine).await;
        run(&other, theirs).await;
        client::fails(&one, "COMMIT", sqlstate, named).await.unwrap();
        // The block is over, and nothing of it is there.
        client::fails(&one, &format!("SELECT * FROM witness{number}"), "42P01", "witness").await.unwrap();
        run(&other, &format!("CREATE TABLE after{number} (a int)")).await;
        // Its files would be in the other's warehouse.
        eventually(&one, &format!("SELECT count(*) FROM pg_class WHERE relname = 'after{number}'"), "1").await;
    }
    // What doesn't meet, and rows that are added to the same table, go side by side.
    run(&one, "BEGIN; INSERT INTO t VALUES (10, 0, 0); CREATE TABLE own (a int)").await;
    run(&other, "BEGIN; INSERT INTO t VALUES (20, 0, 0); DROP TABLE once; COMMIT").await;
    run(&one, "COMMIT").await;
    eventually(&one, "SELECT sum(n) FROM t", "33").await;
    eventually(&other, "SELECT sum(n) FROM t", "33").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_leaves_all_of_a_block_or_nothing() {
    let data_dir = tempfile::tempdir().unwrap();
    let lake = tempfile::tempdir().unwrap();
    let folder = lake.path().join("t");
    let server = ServerProcess::start(data_dir.path(), lake.path(), None).unwrap();
    let connection = server.client().await.unwrap();
    run(&connection, &create(&folder)).await;
    run(&connection, "BEGIN").await;
    run(&connection, "INSERT INTO t VALUES (2)").await;
    run(&connection, "CREATE TABLE u AS SELECT n FROM t").await;
    let other = server.client().await.unwrap();
    run(&other, "BEGIN; INSERT INTO t VALUES (40); CREATE TABLE v AS SELECT n FROM t; COMMIT").await;
    server.kill().unwrap();

    let server = ServerProcess::start(data_dir.path(), lake.path(), None).unwrap();
    let connection = server.client().await.unwrap();
    assert_eq!(value(&connection, "SELECT sum(n) FROM t").await, "41");
    assert_eq!(value(&connection, "SELECT sum(n) FROM v").await, "41");
    client::fails(&connection, "SELECT * FROM u", "42P01", "u").await.unwrap();
    eventually_files(&folder, 2).await;

    // At any moment: two tables always have as many rows.
    run(&connection, "CREATE TABLE a (n int)").await;
    run(&connection, "CREATE TABLE b (n int)").await;
    drop(connection);
    let mut server = server;
    let mut acknowledged = 0_u64;
    for round in 0..5_u64 {
        let connection = server.client().await.unwrap();
        let pause = Duration::from_millis(30 + 53 * round);
        let killer = tokio::task::spawn_blocking(move || {
            std::thread::sleep(pause);
            server.kill().unwrap();
        });
        while connection.simple_query("BEGIN; INSERT INTO a VALUES (1); INSERT INTO b VALUES (1); COMMIT").await.is_ok()
        {
            acknowledged += 1;
        }
        killer.await.unwrap();
        server = ServerProcess::start(data_dir.path(), lake.path(), None).unwrap();
        let connection = server.client().await.unwrap();
        let counts = value(&connection, "SELECT (SELECT count(*) FROM a) || ' ' || (SELECT count(*) FROM b)").await;
        let (a, b) = counts.split_once(' ').unwrap();
        assert_eq!(a, b, "half of a block");
        let count: u64 = a.parse().unwrap();
        assert!(count == acknowledged || count == acknowledged + 1, "{count} are there, {acknowledged} acknowledged");
        acknowledged = count;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_sees_the_files_that_it_saw_first() {
    let lake = tempfile::tempdir().unwrap();
    let folder = lake.path().join("csv");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("a.csv"), "1\n2\n").unwrap();
    let server = TestServer::start(&[lake.path()]).await.unwrap();
    let (one, other) = (server.client().await.unwrap(), server.client().await.unwrap());
    let ddl = format!(
        "CREATE EXTERNAL TABLE c (n int) ROW FORMAT DELIMITED FIELDS TERMINATED BY ',' LOCATION '{}'",
        folder.display()
    );
    run(&one, &ddl).await;
    run(&one, "BEGIN").await;
    assert_eq!(value(&one, "SELECT sum(n) FROM c").await, "3");
    std::fs::write(folder.join("b.csv"), "40\n").unwrap();
    assert_eq!(value(&other, "SELECT sum(n) FROM c").await, "43", "live outside of a block");
    assert_eq!(value(&one, "SELECT sum(n) FROM c").await, "3");
    run(&one, "INSERT INTO c VALUES (500)").await;
    assert_eq!(value(&one, "SELECT sum(n) FROM c").await, "503", "and what it writes itself");
    // A file that was replaced is an error, never other rows.
    std::fs::write(folder.join("a.csv"), "7\n8\n9\n").unwrap();
    client::fails(&one, "SELECT sum(n + 0) FROM c", "55000", "a.csv").await.unwrap();
    run(&one, "ROLLBACK").await;
    assert_eq!(value(&one, "SELECT sum(n) FROM c").await, "64");
    server.shutdown().await;
}

/// A client that says exactly what the test wants.
struct Raw(TcpStream);

impl Raw {
    async fn connect(address: std::net::SocketAddr, user: &str, database: &str) -> Self {
        let mut raw = Self(TcpStream::connect(address).await.unwrap());
        let body = format!("user\0{user}\0database\0{database}\0\0");
        let mut message = u32::try_from(body.len() + 8).unwrap().to_be_bytes().to_vec();
        message.extend(196_608_u32.to_be_bytes());
        message.extend(body.as_bytes());
        raw.0.write_all(&message).await.unwrap();
        raw.until_ready().await;
        raw
    }

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut message = vec![kind];
        message.extend(u32::try_from(body.len() + 4).unwrap().to_be_bytes());
        message.extend(body);
        message
    }

    /// Parse, Bind and Execute of each statement, and one Sync; the tags and SQLSTATEs that come, and the status.
    async fn pipeline(&mut self, statements: &[&str]) -> String {
        let mut sent = Vec::new();
        for sql in statements {
            sent.extend(Self::message(b'P', format!("\0{sql}\0\0\0").as_bytes()));
            sent.extend(Self::message(b'B', &[0, 0, 0, 0, 0, 0, 0, 0]));
            sent.extend(Self::message(b'E', &[0, 0, 0, 0, 0]));
        }
        sent.extend(Self::message(b'S', &[]));
        self.0.write_all(&sent).await.unwrap();
        self.until_ready().await
    }

    async fn query(&mut self, sql: &str) -> String {
        self.0.write_all(&Self::message(b'Q', format!("{sql}\0").as_bytes())).await.unwrap();
        self.until_ready().await
    }

    async fn until_ready(&mut self) -> String {
        let mut told = Vec::new();
        loop {
            let kind = self.0.read_u8().await.unwrap();
            let length = self.0.read_u32().await.unwrap() as usize - 4;
            let mut body = vec![0; length];
            self.0.read_exact(&mut body).await.unwrap();
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned();
            let code = |body: &[u8]| {
                body.split(|byte| *byte == 0).find(|field| field.first() == Some(&b'C')).map(|field| text(&field[1..]))
            };
            match kind {
                b'C' => told.push(text(&body)),
                b'E' => told.push(code(&body).unwrap()),
                b'N' => told.push(format!("notice {}", code(&body).unwrap())),
                b'Z' => {
                    told.push(format!("[{}]", body[0] as char));
                    return told.join(", ");
                }
                _ => {}
            }
        }
    }
}

/// What is told of each sequence must be what PostgreSQL tells.
const SEQUENCES: &[&[&str]] = &[
    &[
        "BEGIN",
        "CREATE TABLE q (a int, b text)",
        "INSERT INTO q VALUES (1, 'x'), (2, 'y')",
        "SELECT * FROM q",
        "COMMIT",
    ],
    &["BEGIN", "INSERT INTO q VALUES (3, 'z')", "SELECT nothing FROM q", "INSERT INTO q VALUES (4, 'z')", "COMMIT"],
    &["SELECT * FROM q"],
    &[
        "BEGIN",
        "SAVEPOINT a",
        "DROP TABLE q",
        "SELECT * FROM q",
        "ROLLBACK TO a",
        "SELECT * FROM q",
        "RELEASE a",
        "END",
    ],
    &["BEGIN", "ROLLBACK TO nothing", "COMMIT"],
    &["SAVEPOINT a", "RELEASE a", "ROLLBACK TO a"],
    &["COMMIT", "ROLLBACK", "BEGIN", "BEGIN", "ROLLBACK"],
    &["BEGIN READ ONLY", "INSERT INTO q VALUES (1, 'x')", "ROLLBACK"],
    &["START TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY", "CREATE TABLE r (a int)", "ABORT"],
    &["BEGIN", "SET TRANSACTION READ ONLY", "DROP TABLE q", "COMMIT"],
    &["CREATE TABLE r (a int); INSERT INTO r VALUES (1); SELECT 1/0"],
    &["SELECT * FROM r"],
    &["CREATE TABLE r (a int); INSERT INTO r VALUES (1); COMMIT; INSERT INTO r VALUES (2); SELECT 1/0"],
    &["SELECT * FROM r"],
    &["INSERT INTO r VALUES (5); BEGIN; INSERT INTO r VALUES (6)", "SELECT * FROM r", "ROLLBACK", "SELECT * FROM r"],
    &["SELECT 1; SAVEPOINT x"],
    &["BEGIN; SELECT 1; COMMIT; BEGIN; SELECT 2"],
    &["SELECT * FROM r; ROLLBACK; SELECT 3"],
    &[
        "BEGIN",
        "CREATE TABLE s AS SELECT * FROM r",
        "ALTER TABLE r RENAME TO old",
        "ALTER TABLE s RENAME TO r",
        "DROP TABLE old",
        "COMMIT",
        "SELECT * FROM r",
    ],
    &[
        "BEGIN",
        "CREATE VIEW v AS SELECT a + 1 AS a FROM r",
        "SELECT * FROM v",
        "DROP VIEW v",
        "SELECT * FROM v",
        "ROLLBACK",
    ],
    &["BEGIN", "TRUNCATE TABLE r", "SELECT * FROM r", "ROLLBACK", "SELECT * FROM r"],
    &[
        "BEGIN",
        "CREATE SCHEMA sc",
        "CREATE TABLE sc.t (a int)",
        "DROP SCHEMA sc",
        "ROLLBACK",
        "CREATE TABLE sc.t (a int)",
    ],
    &[
        "BEGIN",
        "COMMENT ON TABLE r IS 'x'",
        "ALTER TABLE r ADD COLUMN c int",
        "SELECT c FROM r",
        "ROLLBACK",
        "SELECT c FROM r",
    ],
    &[
        "BEGIN",
        "SAVEPOINT a",
        "INSERT INTO r VALUES (7)",
        "SAVEPOINT a",
        "INSERT INTO r VALUES (8)",
        "ROLLBACK TO a",
        "SELECT * FROM r",
        "RELEASE a",
        "ROLLBACK TO a",
        "SELECT * FROM r",
        "COMMIT",
        "SELECT * FROM r",
    ],
];

const PIPELINES: &[&[&str]] = &[
    &["INSERT INTO r VALUES (1)", "INSERT INTO r VALUES (2)"],
    &["SELECT * FROM r"],
    &["INSERT INTO r VALUES (3)", "SELECT * FROM r", "INSERT INTO nowhere VALUES (1)", "INSERT INTO r VALUES (4)"],
    &["SELECT * FROM r"],
    &["CREATE TABLE p (a int)", "INSERT INTO p VALUES (1)", "SELECT * FROM p"],
    &["INSERT INTO p VALUES (2)", "COMMIT", "INSERT INTO p VALUES (3)", "SELECT 1/0"],
    &["SELECT * FROM p"],
    &["BEGIN", "INSERT INTO p VALUES (9)", "ROLLBACK", "SELECT * FROM p"],
    &["INSERT INTO p VALUES (2)", "BEGIN", "INSERT INTO p VALUES (3)"],
    &["SELECT * FROM p", "ROLLBACK"],
    &["SELECT * FROM p"],
    &["DROP TABLE p"],
];

async fn told(raw: &mut Raw) -> Vec<String> {
    let mut told = Vec::new();
    for sequence in SEQUENCES {
        for sql in *sequence {
            told.push(format!("{sql}: {}", raw.query(sql).await));
        }
    }
    for pipeline in PIPELINES {
        told.push(format!("{}: {}", pipeline.join("; "), raw.pipeline(pipeline).await));
    }
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_are_answered_as_postgres_answers_them() {
    let Some(postgres) = PostgresServer::start() else { return };
    let server = TestServer::start(&[]).await.unwrap();
    let address = ([127, 0, 0, 1], postgres.port()).into();
    let theirs = told(&mut Raw::connect(address, limnos_test_postgres::USER, "postgres").await).await;
    let ours = told(&mut Raw::connect(server.pg_address(), "limnos", "lake").await).await;
    let differ: Vec<String> = (theirs.iter().zip(&ours))
        .filter(|(theirs, ours)| theirs != ours)
        .map(|(theirs, ours)| format!("PostgreSQL  {theirs}\nLimnos      {ours}"))
        .collect();
    assert!(differ.is_empty(), "{}", differ.join("\n"));
    server.shutdown().await;
}
