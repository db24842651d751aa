//! COPY to and from clients: the same bytes as a real PostgreSQL, rows that survive the way out and in, and nothing half.

use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt, StreamExt, TryStreamExt};
use limnos_test_postgres::PostgresServer;
use limnos_tests::client::{self, check_error, rows, value};
use limnos_tests::server::TestServer;
use tokio_postgres::{Client, NoTls};

/// Columns of every type that both have, as ours and as PostgreSQL's.
const COLUMNS: &str =
    "s smallint, i int, l bigint, r real, f double precision, n decimal(12,3), b boolean, t text, y bytea,
    d date, tm time, ts timestamp, tz timestamptz, j json, ai int[], at text[]";

/// Rows of them, in COPY's text format.
const ROWS: &str = concat!(
    "1\t2\t3\t1.5\t0.1\t12.345\tt\thello\t\\\\x00ff\t2024-02-29\t10:11:12.5\t2024-02-29 10:11:12.123456\t2024-06-29 10:11:12+02\t{\"a\": [1]}\t{1,NULL,3}\t{a,\"b c\",NULL,\"\"}\n",
    "\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\n",
    "-32768\t-2147483648\t-9223372036854775808\t-1e20\tNaN\t-999999999.999\tf\ttab\\t nl\\n cr\\r \\b\\f\\v bs\\\\ q\" ' c, \\\\N \\\\.\t\\\\x\t0001-01-01\t00:00:00\t1900-01-01 00:00:00\t1900-01-01 00:00:00+00\tnull\t{}\t{}\n",
    "0\t0\t0\tInfinity\t-Infinity\t0\tyes\t\t\\\\x0a0d5c\tinfinity\t23:59:59.999999\t-infinity\tinfinity\t\"\"\t{-5}\t{\"a\\\\\"b\",\"c,d\"}\n",
    "7\t 7 \t+7\t1e-5\t1e300\t1.0005\ttru\tünï ☃ 𝄞\tabc\\\\\\\\def\t2024-01-01\t04:05:06\t2024-01-01 00:00:00\t2024-01-01 00:00:00\t[]\t{1}\t{NULL,\"NULL\"}\n",
);

const FORMATS: &[&str] = &[
    "",
    "CSV",
    "CSV HEADER",
    "(FORMAT binary)",
    "(FORMAT text, HEADER, NULL 'nil', DELIMITER '|')",
    "(FORMAT csv, QUOTE '''', ESCAPE '\\', DELIMITER ';', NULL 'x')",
    "(FORMAT csv, FORCE_QUOTE *)",
    "(DELIMITER '-')",
];

/// The messages of a COPY TO STDOUT.
async fn copy_out(client: &Client, sql: &str) -> Result<Vec<Bytes>, tokio_postgres::Error> {
    client.copy_out(sql).await?.try_collect().await
}

async fn copy_in(client: &Client, sql: &str, pieces: &[Bytes]) -> Result<u64, tokio_postgres::Error> {
    let sink = client.copy_in(sql).await?;
    futures::pin_mut!(sink);
    for piece in pieces {
        sink.send(piece.clone()).await?;
    }
    sink.finish().await
}

fn pieces(bytes: &[u8], size: usize) -> Vec<Bytes> {
    bytes.chunks(size).map(Bytes::copy_from_slice).collect()
}

/// What went wrong: SQLSTATE, text and context.
fn told(error: &tokio_postgres::Error) -> (String, String, Option<String>) {
    let error = error.as_db_error().expect("an error of the server");
    (error.code().code().to_owned(), error.message().to_owned(), error.where_().map(str::to_owned))
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_the_bytes_that_postgresql_copies() {
    let Some(postgres) = PostgresServer::start() else { return };
    let server = TestServer::start(&[]).await.unwrap();
    let (at_ours, at_theirs) = (client::config(server.pg_address()), postgres.url().parse().unwrap());
    let (ours, theirs) = (client::connect(&at_ours).await.unwrap(), client::connect(&at_theirs).await.unwrap());
    for client in [&ours, &theirs] {
        client.batch_execute("SET TimeZone = 'Europe/Berlin'").await.unwrap();
    }
    ours.batch_execute(&format!("CREATE TABLE t ({COLUMNS}); CREATE TABLE u (a int, b text, c text)")).await.unwrap();
    theirs.batch_execute(&format!("CREATE TABLE t ({COLUMNS}); CREATE TABLE u (a int, b text, c text)")).await.unwrap();
    for client in [&ours, &theirs] {
        assert_eq!(copy_in(client, "COPY t FROM STDIN", &pieces(ROWS.as_bytes(), 50)).await.unwrap(), 5);
    }
    for format in FORMATS {
        for source in ["t", "t (t, i)", "(SELECT t FROM t)", "(SELECT * FROM t WHERE i = -1)", "(SELECT '\\.' AS x)"] {
            let sql = format!("COPY {source} TO STDOUT {format}");
            let (ours, theirs) = (copy_out(&ours, &sql).await.unwrap(), copy_out(&theirs, &sql).await.unwrap());
            assert_eq!(ours, theirs, "{sql}");
        }
        // And in again, in pieces that end anywhere.
        let bytes = copy_out(&theirs, &format!("COPY t TO STDOUT {format}")).await.unwrap().concat();
        let format = format.replace(", FORCE_QUOTE *", "");
        for size in [7, 100_000] {
            let (sql, pieces) = (format!("COPY t FROM STDIN {format}"), pieces(&bytes, size));
            for client in [&ours, &theirs] {
                client.batch_execute("TRUNCATE t").await.unwrap();
                assert_eq!(copy_in(client, &sql, &pieces).await.unwrap(), 5, "{sql}");
            }
            let sql = "COPY t TO STDOUT (FORMAT binary)";
            let (ours, theirs) = (copy_out(&ours, sql).await.unwrap(), copy_out(&theirs, sql).await.unwrap());
            assert_eq!(ours, theirs, "after {format} in pieces of {size}");
        }
    }

    let signature = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".as_slice();
    for (options, bytes) in [
        ("", b"1\n".to_vec()),
        ("", b"1\ta\tb\td\n".to_vec()),
        ("", b"2\ta\tb\nx\ta\tb\n".to_vec()),
        ("", b"1\ta\tb\r2\ta\tb\n".to_vec()),
        ("", b"1\ta\tb\n\\.\nfoo\n".to_vec()),
        ("", b"1\ta\tb\n\\.x\n".to_vec()),
        ("", b"1\ta\tb\n\\.".to_vec()),
        ("", b"1\ta\tb\r\n2\tc\td\r\n".to_vec()),
        ("", b"1\ta\xff\tb\n".to_vec()),
        ("", b"1\ta\0\tb\n".to_vec()),
        ("", b"1\ta\\0\tb\n".to_vec()),
        ("", b"\n".to_vec()),
        ("", b"99999999999\ta\tb\n".to_vec()),
        ("", [b"1\t", "ä".repeat(80).as_bytes(), b"\n"].concat()),
        ("CSV", b"1,\"a\nb\",\"\"\n2,,\n".to_vec()),
        ("CSV", b"1,a,b\n1,\"a\n2,b,c\n".to_vec()),
        ("CSV", b"1,a,b\n2,\"x\ny\",c\nx,a,b\n".to_vec()),
        ("CSV", b"1,a,b\n\\.\n3,a,b\n".to_vec()),
        ("CSV HEADER", b"1,a,b\n2,c,d\n".to_vec()),
        ("(FORMAT csv, HEADER match)", b"a,b,c\n1,2,3\n".to_vec()),
        ("(FORMAT csv, HEADER match)", b"a,b\n1,2,3\n".to_vec()),
        ("(FORMAT csv, HEADER match)", b"a,x,c\n1,2,3\n".to_vec()),
        ("(FORMAT csv, HEADER match)", b"a,,c\n1,2,3\n".to_vec()),
        ("(FORMAT csv, FORCE_NOT_NULL (b))", b"1,,\n".to_vec()),
        ("(FORMAT csv, FORCE_NULL (b))", b"1,\"\",\"\"\n".to_vec()),
        ("(FORMAT csv, FORCE_NULL (z))", b"1,\"\",\"\"\n".to_vec()),
        ("CSV WHERE a > 1", b"1,a,b\n2,c,d\n,e,f\n".to_vec()),
        ("CSV WHERE b IS NULL", b"1,a,b\n2,,d\n".to_vec()),
        ("WHERE a > (SELECT 1)", Vec::new()),
        ("WHERE max(a) > 1", Vec::new()),
        ("WHERE nope > 1", Vec::new()),
        ("BINARY", b"abc".to_vec()),
        ("BINARY", [signature, b"\0\x02"].concat()),
        ("BINARY", [signature, b"\0\x03\0\0\0\x02ab\0\0\0\x01a\0\0\0\x01b\xff\xff"].concat()),
        ("BINARY", [signature, b"\0\x03\0\0\0\x04\0\0\0\x01\0\0\0\x01\xff\0\0\0\x01b\xff\xff"].concat()),
        ("(FORMAT csv, NULL 'a,b')", Vec::new()),
        ("(DELIMITER '')", Vec::new()),
    ] {
        let sql = format!("COPY u FROM STDIN {options}");
        let mut answers = Vec::new();
        for (reader, address) in [(&ours, &at_ours), (&theirs, &at_theirs)] {
            reader.batch_execute("TRUNCATE u").await.unwrap();
            // A connection for each: this driver sends one Sync too many behind a COPY that is refused.
            let client = client::connect(address).await.unwrap();
            let copied = copy_in(&client, &sql, &pieces(&bytes, 1000)).await.map_err(|error| told(&error));
            answers.push((copied, copy_out(reader, "COPY u TO STDOUT").await.unwrap()));
        }
        assert_eq!(answers[0], answers[1], "{sql}: {:?}", String::from_utf8_lossy(&bytes));
    }
    server.shutdown().await;
}

/// A number that looks random, from one that does.
fn next(seed: &mut u64) -> usize {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 33) as usize
}

#[tokio::test(flavor = "multi_thread")]
async fn any_text_survives_the_way_out_and_in() {
    const PARTS: &[&str] = &[
        "a", ",", "\"", "'", "\\", "\n", "\r", "\t", "\\N", "\\.", "|", " ", "nil", "é", "\u{1}", "\\x41", "NULL", ";",
    ];
    let server = TestServer::start(&[]).await.unwrap();
    let client = server.client().await.unwrap();
    client
        .batch_execute("CREATE TABLE a (n int, x text, y text); CREATE TABLE b (n int, x text, y text)")
        .await
        .unwrap();
    let mut seed = 0x1b3_u64;
    let mut texts: Vec<[Option<String>; 2]> = vec![[None, None], [Some(String::new()), None]];
    for _ in 0..300 {
        let mut text = || {
            let count = next(&mut seed) % 6;
            (count > 0).then(|| (1..count).map(|_| PARTS[next(&mut seed) % PARTS.len()]).collect::<String>())
        };
        texts.push([text(), text()]);
    }
    // In the first time as binary, which needs no escapes.
    let mut bytes = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
    for (number, row) in texts.iter().enumerate() {
        bytes.extend([0, 3, 0, 0, 0, 4]);
        bytes.extend((number as i32).to_be_bytes());
        for text in row {
            let length = text.as_ref().map_or(-1, |text| text.len() as i32);
            bytes.extend(length.to_be_bytes());
            bytes.extend(text.as_deref().unwrap_or_default().as_bytes());
        }
    }
    let count = texts.len() as u64;
    assert_eq!(copy_in(&client, "COPY a FROM STDIN BINARY", &pieces(&bytes, 999)).await.unwrap(), count);
    for format in FORMATS {
        client.batch_execute("TRUNCATE b").await.unwrap();
        let out = copy_out(&client, &format!("COPY a TO STDOUT {format}")).await.unwrap().concat();
        let format = format.replace(", FORCE_QUOTE *", "");
        let sql = format!("COPY b FROM STDIN {format}");
        let size = 1 + next(&mut seed) % 400;
        assert_eq!(copy_in(&client, &sql, &pieces(&out, size)).await.unwrap(), count, "{sql}");
        // A NULL string that is a value, too, is read as NULL: PostgreSQL's text format can't tell them apart either.
        let lost = if format.contains("'nil'") { "nil" } else { "\u{2}" };
        let differs = "SELECT count(*) FROM a JOIN b ON a.n = b.n
            WHERE NOT (nullif(a.x, $1) IS NOT DISTINCT FROM b.x AND nullif(a.y, $1) IS NOT DISTINCT FROM b.y)";
        let row = client.query_one(&differs.replace("$1", &format!("'{lost}'")), &[]).await.unwrap();
        assert_eq!(row.get::<_, i64>(0), 0, "{sql}");
    }
    server.shutdown().await;
}

fn data_files(folder: &std::path::Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    entries.map(|entry| entry.unwrap().path()).map(|path| if path.is_dir() { data_files(&path) } else { 1 }).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_there_when_all_are_there() {
    let lake = tempfile::tempdir().unwrap();
    let server = TestServer::start(&[lake.path()]).await.unwrap();
    let client = server.client().await.unwrap();
    let other = server.client().await.unwrap();
    let folder = lake.path().join("t");
    let sql = format!(
        "CREATE TABLE t WITH (external_location = '{}', partitioned_by = ARRAY['k']) AS SELECT 0 AS a, 'x' AS k",
        folder.display()
    );
    client.batch_execute(&sql).await.unwrap();
    let rows_of =
        |count: usize| -> Vec<Bytes> { (0..count).map(|n| Bytes::from(format!("{n}\t{}\n", n % 3))).collect() };

    let sink = client.copy_in("COPY t FROM STDIN").await.unwrap();
    futures::pin_mut!(sink);
    for row in rows_of(20_000) {
        sink.feed(row).await.unwrap();
    }
    sink.flush().await.unwrap();
    assert_eq!(value(&other, "SELECT count(*) FROM t").await.unwrap().unwrap(), "1");
    assert_eq!(sink.finish().await.unwrap(), 20_000);
    assert_eq!(value(&other, "SELECT count(*) FROM t WHERE k = '2'").await.unwrap().unwrap(), "6666");
    let files = data_files(&folder);

    // A client that gives up, one that sends nonsense, one that vanishes, one that is cancelled.
    {
        let sink = client.copy_in::<_, Bytes>("COPY t FROM STDIN").await.unwrap();
        futures::pin_mut!(sink);
        sink.send(Bytes::from_static(b"1\ta\n")).await.unwrap();
    }
    let mut wrong = rows_of(20_000);
    wrong.push(Bytes::from_static(b"x\ty\n"));
    let error = copy_in(&client, "COPY t FROM STDIN", &wrong).await.unwrap_err();
    let (sqlstate, message, context) = told(&error);
    assert_eq!((sqlstate.as_str(), message.as_str()), ("22P02", "invalid input syntax for type integer: \"x\""));
    assert_eq!(context.unwrap(), "COPY t, line 20001, column a: \"x\"");
    {
        let gone = server.client().await.unwrap();
        let sink = gone.copy_in::<_, Bytes>("COPY t FROM STDIN").await.unwrap();
        futures::pin_mut!(sink);
        sink.send(Bytes::from_static(b"1\ta\n")).await.unwrap();
        // A connection of its own: after a COPY that is refused before the server has read all that came with it, tokio-postgres
        // has one Sync too many on the way, to PostgreSQL as well.
        let canceled = server.client().await.unwrap();
        let cancel = canceled.cancel_token();
        let sink2 = canceled.copy_in::<_, Bytes>("COPY t FROM STDIN").await.unwrap();
        futures::pin_mut!(sink2);
        sink2.send(Bytes::from_static(b"1\ta\n")).await.unwrap();
        cancel.cancel_query(NoTls).await.unwrap();
        // The error comes with the answer to CopyDone, if not before.
        tokio::time::sleep(Duration::from_millis(100)).await;
        let error = sink2.as_mut().finish().await.unwrap_err();
        check_error(&error, "57014", "canceling statement").unwrap();
    }
    assert_eq!(value(&other, "SELECT count(*) FROM t").await.unwrap().unwrap(), "20001");
    for _ in 0..100 {
        if data_files(&folder) == files {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(data_files(&folder), files, "what was begun is taken back");

    // In a block, and through WHERE.
    client.batch_execute("BEGIN").await.unwrap();
    assert_eq!(
        copy_in(&client, "COPY t (k, a) FROM STDIN CSV WHERE a > 5", &[Bytes::from("p,5\np,6\n")]).await.unwrap(),
        1
    );
    assert_eq!(value(&client, "SELECT a FROM t WHERE k = 'p'").await.unwrap().unwrap(), "6");
    client.batch_execute("COMMIT").await.unwrap();
    client.batch_execute("BEGIN READ ONLY").await.unwrap();
    let error = copy_in(&client, "COPY t FROM STDIN", &[]).await.unwrap_err();
    check_error(&error, "25006", "cannot execute COPY FROM in a read-only transaction").unwrap();
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_rows_are_left_out_where_it_is_said() {
    let server = TestServer::start(&[]).await.unwrap();
    let client = server.client().await.unwrap();
    client.batch_execute("CREATE TABLE t (a int, b text); CREATE TABLE q (a int, b text)").await.unwrap();
    client.batch_execute("ALTER TABLE q SET TBLPROPERTIES ('limnos.on_error' = 'quarantine')").await.unwrap();
    let bytes = [Bytes::from("1,a\nx,b\n2,c\ny,d\n3,e\n")];
    assert_eq!(copy_in(&client, "COPY t FROM STDIN (FORMAT csv, ON_ERROR ignore)", &bytes).await.unwrap(), 3);
    let limited = "COPY t FROM STDIN (FORMAT csv, ON_ERROR ignore, REJECT_LIMIT 1)";
    let error = copy_in(&client, limited, &bytes).await.unwrap_err();
    check_error(&error, "22P02", "skipped more than 1 rows due to data type incompatibility").unwrap();
    // COPY's own ON_ERROR is about values; a row of too few is an error.
    let short = [Bytes::from("1,a\n2\n")];
    let error = copy_in(&client, "COPY t FROM STDIN (FORMAT csv, ON_ERROR ignore)", &short).await.unwrap_err();
    check_error(&error, "22P04", "missing data for column \"b\"").unwrap();
    assert_eq!(value(&client, "SELECT count(*) FROM t").await.unwrap().unwrap(), "3");

    let bytes = [Bytes::from("1,a\nx,b\n2\n3,c\n")];
    assert_eq!(copy_in(&client, "COPY q FROM STDIN CSV", &bytes).await.unwrap(), 2);
    let kept = "SELECT line || ' ' || coalesce(column_name, '-') || ' ' || raw FROM system.rejects ORDER BY line";
    let kept: Vec<String> = rows(&client, kept).await.unwrap().into_iter().flatten().flatten().collect();
    assert_eq!(kept, ["2 a x,b", "3 - 2"]);
    let stopped = copy_in(&client, "COPY q FROM STDIN (FORMAT csv, ON_ERROR stop)", &bytes).await.unwrap_err();
    check_error(&stopped, "22P02", "\"x\"").unwrap();
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_out_that_nobody_reads_waits_and_can_be_stopped() {
    let server = TestServer::start(&[]).await.unwrap();
    let client = server.client().await.unwrap();
    let endless = "COPY (SELECT a.x, b.x AS y FROM generate_series(1, 1000000) AS a(x), generate_series(1, 1000000) AS b(x)) TO STDOUT";
    let cancel = client.cancel_token();
    let stream = client.copy_out(endless).await.unwrap();
    futures::pin_mut!(stream);
    stream.next().await.unwrap().unwrap();
    cancel.cancel_query(NoTls).await.unwrap();
    let error = loop {
        match stream.next().await.expect("an error ends it") {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    check_error(&error, "57014", "canceling statement due to user request").unwrap();
    assert_eq!(value(&client, "SELECT 1").await.unwrap().unwrap(), "1");
    for (sql, sqlstate, named) in [
        ("COPY nowhere TO STDOUT", "42P01", "nowhere"),
        ("COPY (SELECT 1/0 AS x) TO STDOUT", "22012", "division by zero"),
        ("COPY (SELECT 1 AS x) TO STDOUT (FORMAT xml)", "22023", "COPY format \"xml\" not recognized"),
        ("COPY (SELECT $1) TO STDOUT", "42P02", "there is no parameter $1"),
        ("COPY (SELECT 1 AS x) TO PROGRAM 'cat'", "0A000", "COPY"),
    ] {
        check_error(&copy_out(&client, sql).await.unwrap_err(), sqlstate, named).unwrap();
    }
    server.shutdown().await;
}
