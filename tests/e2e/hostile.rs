//! SQL made to kill a server. Each text is refused or answered; the connection and the process live on.

use limnos_tests::client;
use limnos_tests::process::ServerProcess;
use tokio_postgres::Client;

/// WITH queries of which each names the one before it twice.
fn doubled(count: usize, query: &str) -> String {
    let queries: Vec<String> =
        (1..count).map(|n| format!(", c{n} AS ({})", query.replace('#', &(n - 1).to_string()))).collect();
    format!("WITH c0 AS (SELECT 1 AS x){} SELECT count(*) FROM c{}", queries.concat(), count - 1)
}

/// Texts that must be refused as too complex, by name.
fn too_complex() -> Vec<(&'static str, String)> {
    let chain = |term: &str, operator: &str, count: usize| vec![term; count].join(operator);
    vec![
        ("flat sum", format!("SELECT {}", chain("1", "+", 10_000))),
        ("flat or", format!("SELECT 1 WHERE {}", chain("1 = 0", " OR ", 20_000))),
        ("flat and", format!("SELECT 1 WHERE {}", chain("1 = 1", " AND ", 20_000))),
        ("flat concatenation", format!("SELECT {}", chain("'a'", "||", 10_000))),
        ("flat union", chain("SELECT 1", " UNION ALL ", 5_000)),
        ("parentheses", format!("SELECT {}1{}", "(".repeat(20_000), ")".repeat(20_000))),
        ("nots", format!("SELECT {}true", "NOT ".repeat(20_000))),
        ("minuses", format!("SELECT {}1", "- ".repeat(20_000))),
        ("subqueries", format!("SELECT * FROM {}SELECT 1{}", "(SELECT * FROM ".repeat(2_000), ") AS t".repeat(2_000))),
        ("cases", format!("SELECT {}1{}", "CASE WHEN true THEN ".repeat(5_000), " END".repeat(5_000))),
        ("functions", format!("SELECT {}1{}", "abs(".repeat(5_000), ")".repeat(5_000))),
        ("casts", format!("SELECT 1{}", "::int".repeat(10_000))),
        ("arrays", format!("SELECT {}1{}", "ARRAY[".repeat(5_000), "]".repeat(5_000))),
        ("doubled joins", doubled(20, "SELECT a.x FROM c# a, c# b")),
        ("doubled unions", doubled(40, "SELECT x FROM c# UNION ALL SELECT x FROM c#")),
        ("joins", format!("SELECT 1 FROM (VALUES (1)) AS t0(x){}", " CROSS JOIN (VALUES (1)) AS t(x)".repeat(5_000))),
        ("long text", format!("SELECT '{}'", "x".repeat(2 << 20))),
    ]
}

async fn alive(client: &Client, what: &str) {
    let answer = client::value(client, "SELECT 1").await.unwrap_or_else(|error| panic!("after {what}: {error:#}"));
    assert_eq!(answer.as_deref(), Some("1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_too_deep_or_too_long_are_refused() {
    let (data_dir, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = ServerProcess::start(data_dir.path(), root.path(), None).unwrap();
    let client = server.client().await.unwrap();
    for (what, sql) in too_complex() {
        client::fails(&client, &sql, "54001", "").await.unwrap_or_else(|error| panic!("{what}: {error:#}"));
        alive(&client, what).await;
        let error = client.prepare(&sql).await.unwrap_err();
        client::check_error(&error, "54001", "").unwrap_or_else(|error| panic!("{what}, prepared: {error:#}"));
        alive(&client, what).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_just_within_the_limits_are_answered() {
    let (data_dir, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = ServerProcess::start(data_dir.path(), root.path(), None).unwrap();
    let client = server.client().await.unwrap();
    let chain = |term: &str, operator: &str, count: usize| vec![term; count].join(operator);
    for (what, sql, answer) in [
        ("sum", format!("SELECT {}", chain("1", "+", 490)), "490"),
        (
            "or",
            format!("SELECT count(*) FROM (VALUES (1)) AS t(x) WHERE {} OR x = 1", chain("x = 0", " OR ", 1_900)),
            "1",
        ),
        (
            "in",
            format!(
                "SELECT count(*) FROM (VALUES (7)) AS t(x) WHERE x IN ({})",
                (0..20_000).map(|n| n.to_string()).collect::<Vec<_>>().join(",")
            ),
            "1",
        ),
        ("union", format!("SELECT count(*) FROM ({}) AS t", chain("SELECT 1", " UNION ALL ", 500)), "500"),
        ("parentheses", format!("SELECT {}1{}", "(".repeat(200), ")".repeat(200)), "1"),
        ("text", format!("SELECT length('{}')", "x".repeat(500_000)), "500000"),
    ] {
        let value = client::value(&client, &sql).await.unwrap_or_else(|error| {
            let text = format!("{error:#}");
            panic!("{what}: {}", text.chars().rev().take(400).collect::<String>().chars().rev().collect::<String>())
        });
        assert_eq!(value.as_deref(), Some(answer), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn views_that_double_are_refused() {
    let (data_dir, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = ServerProcess::start(data_dir.path(), root.path(), None).unwrap();
    let client = server.client().await.unwrap();
    client::rows(&client, "CREATE VIEW v0 AS SELECT 1 AS x").await.unwrap();
    let mut refused = None;
    for n in 1..25 {
        let below = n - 1;
        let sql = format!("CREATE VIEW v{n} AS SELECT x FROM v{below} UNION ALL SELECT x FROM v{below}");
        if let Err(error) = client.simple_query(&sql).await {
            client::check_error(&error, "54001", "").unwrap();
            refused = Some(n);
            break;
        }
    }
    assert!(refused.is_some_and(|n| (5..16).contains(&n)), "{refused:?}");
    alive(&client, "views").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_with_monstrous_arguments_fail_alone() {
    let (data_dir, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = ServerProcess::start(data_dir.path(), root.path(), Some(256 << 20)).unwrap();
    let client = server.client().await.unwrap();
    client::rows(&client, "SET statement_timeout = '20s'").await.unwrap();
    for sql in [
        "SELECT approx_percentile_cont(x, 0.5, 999999999) FROM (VALUES (1.0)) AS v(x)",
        "SELECT length(repeat('a', 2000000000))",
        "SELECT length(repeat(repeat('a', 100000), 100000))",
        "SELECT length(lpad('a', 2000000000))",
        "SELECT length(rpad('a', 2147483647, 'b'))",
        "SELECT cardinality(array_agg(g)) FROM generate_series(1, 1000000000) AS s(g)",
        "SELECT length(string_agg(repeat('x', 1000), '')) FROM generate_series(1, 10000000)",
        "SELECT length(replace(repeat('a', 10000000), 'a', repeat('b', 10000)))",
        "SELECT cardinality(array_fill(1, ARRAY[2000000000]))",
        "SELECT count(*) FROM generate_series(1, 10, 0)",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i FROM n) SELECT count(*) FROM n",
        "SELECT 'a' ~ '((((((((((a{1,100}){1,100}){1,100}){1,100}){1,100}){1,100}){1,100}){1,100}){1,100}){1,100})'",
    ] {
        if let Err(error) = client.simple_query(sql).await {
            let error = error.as_db_error().unwrap_or_else(|| panic!("{sql}: the connection was lost: {error:?}"));
            let code = error.code().code();
            let expected = ["53200", "54000", "57014", "22023", "42883", "2201B", "0A000", "54001"];
            assert!(expected.contains(&code), "{sql}: {code} {}", error.message());
        }
        alive(&client, sql).await;
    }
    let peak = server.peak_resident_bytes().unwrap() >> 20;
    assert!(peak < 256 * 3 / 2 + 300, "peak {peak} MiB at a limit of 256");
}

/// Joins that make or drop billions of rows end when they are cancelled, and leave the threads to others meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn endless_joins_end_when_they_are_cancelled() {
    use std::time::{Duration, Instant};
    let (data_dir, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = ServerProcess::start(data_dir.path(), root.path(), None).unwrap();
    let other = server.client().await.unwrap();
    let from = "generate_series(1, 1000000) AS a(x), generate_series(1, 1000000) AS b(y)";
    for sql in [
        format!("SELECT count(*) FROM {from} WHERE a.x * 7 + b.y < 0"),
        format!("SELECT max(a.x + b.y) FROM {from}"),
        format!("SELECT cardinality(array_agg(a.x)) FROM {from} WHERE a.x % 1000 = b.y % 1000 AND a.x + b.y < 0"),
    ] {
        let mut running = Vec::new();
        for _ in 0..3 {
            let client = server.client().await.unwrap();
            let (token, sql) = (client.cancel_token(), sql.clone());
            running.push((token, tokio::spawn(async move { client.simple_query(&sql).await })));
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        for (token, _) in &running {
            token.cancel_query(tokio_postgres::NoTls).await.unwrap();
        }
        let canceled = Instant::now();
        for (_, task) in running {
            client::check_error(&task.await.unwrap().unwrap_err(), "57014", "").unwrap();
        }
        let count = client::value(&other, "SELECT count(*) FROM generate_series(1, 1000) AS g(x)").await.unwrap();
        assert_eq!(count.as_deref(), Some("1000"), "{sql}");
        assert!(canceled.elapsed() < Duration::from_secs(5), "{sql}: {:?}", canceled.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_on_the_wire_is_survived() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (data_dir, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = ServerProcess::start(data_dir.path(), root.path(), None).unwrap();
    let client = server.client().await.unwrap();
    let start_up = {
        let body = [&196_608_i32.to_be_bytes()[..], b"user\0limnos\0database\0lake\0\0"].concat();
        [&i32::try_from(body.len() + 4).unwrap().to_be_bytes()[..], &body].concat()
    };
    let after = |message: &[u8]| [&start_up[..], message].concat();
    for (what, bytes) in [
        ("nothing", Vec::new()),
        ("http", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        ("tls hello", vec![0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03]),
        ("zero length", vec![0, 0, 0, 0]),
        ("negative length", vec![0xff, 0xff, 0xff, 0xff, 0, 3, 0, 0]),
        ("huge start-up", vec![0x7f, 0xff, 0xff, 0xff, 0, 3, 0, 0]),
        ("no terminator", [&20_i32.to_be_bytes()[..], &196_608_i32.to_be_bytes(), b"user\0limnosX"].concat()),
        ("password before it is asked for", after(b"p\0\0\0\x08abc\0")),
        ("query without terminator", after(b"Q\0\0\0\x08SELE")),
        ("query length too small", after(b"Q\0\0\0\x01")),
        ("unknown message", after(b"!\0\0\0\x04")),
        ("parse cut short", after(b"P\0\0\0\x06ab")),
        ("bind with impossible counts", after(b"B\0\0\0\x0c\0\0\x7f\xff\x7f\xff\x7f\xff")),
        ("message of 1 GiB", after(b"Q\x40\0\0\0SELECT 1")),
        ("bad utf-8", after(b"Q\0\0\0\x0fSELECT '\xff\xfe\0")),
    ] {
        let mut socket = tokio::net::TcpStream::connect(server.pg_address()).await.unwrap();
        socket.write_all(&bytes).await.unwrap();
        let _closed = socket.shutdown().await;
        let mut answer = Vec::new();
        let read = tokio::time::timeout(std::time::Duration::from_secs(10), socket.read_to_end(&mut answer)).await;
        assert!(read.is_ok(), "{what}: the connection stays open");
        alive(&client, what).await;
        assert!(server.client().await.is_ok(), "{what}");
    }
}
