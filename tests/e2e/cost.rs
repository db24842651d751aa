//! `EXPLAIN (COST)` against what the queries then read, as a real S3 server and the server's own history count it; and
//! `scan_limit`, which refuses by it.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, StringArray, StructArray};
use arrow::datatypes::{DataType, Field};
use limnos_server::serve::ServeOptions;
use limnos_tests::client::{fails, rows, value};
use limnos_tests::lake::{batch, plain_rows, write_parquet};
use limnos_tests::s3::S3Server;
use limnos_tests::server::TestServer;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use tokio_postgres::Client;

/// Rows of a large file: several row groups, of several pages each.
const ROWS: i64 = 240_000;

/// ```text
/// t/        three files of four row groups, sorted by id
/// p/day=N/  eight partitions of one large file
/// s/day=N/  thirty small files
/// x/        two files of text
/// b/        a file with bloom filters
/// n/        a file with rows inside rows, and narrower numbers than its table says
/// ```
fn make_lake(root: &Path) {
    for file in 0..3 {
        let rows = plain_rows(file * ROWS, (file + 1) * ROWS).unwrap();
        write_parquet(&root.join(format!("t/{file}.parquet")), &[rows], 60_000).unwrap();
    }
    for day in 0..8 {
        let rows = plain_rows(day * 100_000, day * 100_000 + 90_000).unwrap();
        write_parquet(&root.join(format!("p/day={day}/a.parquet")), &[rows], 50_000).unwrap();
    }
    for day in 0..30 {
        let rows = plain_rows(day * 1_000, day * 1_000 + 900).unwrap();
        write_parquet(&root.join(format!("s/day={day}/a.parquet")), &[rows], 300).unwrap();
    }
    let dimension = batch(vec![
        ("id", Arc::new(Int64Array::from_iter_values([70_001, 70_002])) as ArrayRef),
        ("label", Arc::new(StringArray::from(vec!["a", "b"])) as ArrayRef),
    ]);
    write_parquet(&root.join("d/a.parquet"), &[dimension.unwrap()], 100).unwrap();
    write_with_bloom_filters(&root.join("b/a.parquet"));
    let number = |factor: i32| Arc::new(Int32Array::from_iter_values((0..100_000).map(|row| row * factor))) as ArrayRef;
    let pair = StructArray::from(vec![
        (Arc::new(Field::new("a", DataType::Int32, true)), number(3)),
        (Arc::new(Field::new("b", DataType::Int32, true)), number(5)),
    ]);
    let nested = batch(vec![("id", number(1)), ("pair", Arc::new(pair) as ArrayRef)]);
    write_parquet(&root.join("n/a.parquet"), &[nested.unwrap()], 50_000).unwrap();
    std::fs::create_dir_all(root.join("x")).unwrap();
    for file in 0..2 {
        let lines: String = (0..5_000).map(|row| format!("{},text {row}\n", file * 5_000 + row)).collect();
        std::fs::write(root.join(format!("x/{file}.csv")), lines).unwrap();
    }
}

fn write_with_bloom_filters(path: &Path) {
    let rows = plain_rows(0, 100_000).unwrap();
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(25_000))
        .set_column_bloom_filter_enabled("name".into(), true)
        .build();
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), rows.schema(), Some(properties)).unwrap();
    writer.write(&rows).unwrap();
    writer.close().unwrap();
}

async fn make_tables(client: &Client, base: &str) {
    let sql = format!(
        "CREATE EXTERNAL TABLE t (id bigint, name string, value double) STORED AS PARQUET LOCATION '{base}/t/';
         CREATE EXTERNAL TABLE p (id bigint, name string, value double) PARTITIONED BY (day int) STORED AS PARQUET
             LOCATION '{base}/p/';
         CREATE EXTERNAL TABLE s (id bigint, name string, value double) PARTITIONED BY (day int) STORED AS PARQUET
             LOCATION '{base}/s/';
         CREATE EXTERNAL TABLE d (id bigint, label string) STORED AS PARQUET LOCATION '{base}/d/';
         CREATE EXTERNAL TABLE x (id bigint, name string) ROW FORMAT DELIMITED FIELDS TERMINATED BY ','
             STORED AS TEXTFILE LOCATION '{base}/x/';
         CREATE EXTERNAL TABLE b (id bigint, name string, value double) STORED AS PARQUET LOCATION '{base}/b/';
         CREATE EXTERNAL TABLE n (id bigint, pair struct<a:int,b:int>) STORED AS PARQUET LOCATION '{base}/n/';
         MSCK REPAIR TABLE p; MSCK REPAIR TABLE s"
    );
    rows(client, &sql).await.unwrap();
}

/// Queries, and whether what they read is known to the byte.
const QUERIES: &[(&str, bool)] = &[
    ("SELECT sum(id) FROM t", true),
    ("SELECT id, name, value FROM t", true),
    ("SELECT count(name) FROM t WHERE id BETWEEN 30000 AND 31000", true),
    ("SELECT name FROM t WHERE id = 70000", true),
    ("SELECT name, value FROM t WHERE id IN (5, 70000, 700000)", true),
    ("SELECT count(*) FROM t WHERE value > 1e12", true),
    ("SELECT count(*) FROM t WHERE name LIKE 'row 7%'", true),
    ("SELECT value FROM t WHERE id > 100 AND value < 20000", true),
    ("SELECT id % 10, count(*), max(name) FROM t WHERE id < 100000 GROUP BY 1", true),
    ("SELECT id + 1 FROM t WHERE name = 'row 5'", true),
    ("SELECT count(*) FROM t", true),
    ("SELECT max(id), min(id) FROM t", true),
    ("SELECT sum(value) FROM p WHERE day = 3", true),
    ("SELECT sum(value) FROM p WHERE day >= 5", true),
    ("SELECT sum(value), max(day) FROM p WHERE id BETWEEN 100 AND 200100", true),
    ("SELECT max(day) FROM p", true),
    ("SELECT count(*), day FROM p GROUP BY day", true),
    ("SELECT name FROM p WHERE day IN (1, 2) AND id = 120000", true),
    ("SELECT sum(id) FROM s", true),
    ("SELECT name FROM s WHERE id = 4500", true),
    ("SELECT sum(id) FROM s WHERE day < 7", true),
    ("SELECT id FROM b WHERE name = 'row 30000'", true),
    ("SELECT id FROM b WHERE name = 'row 30000x'", true),
    ("SELECT id FROM n WHERE id > 70000", true),
    ("SELECT sum((pair).a) FROM n", true),
    ("SELECT pair FROM n WHERE id = 5", true),
    ("SELECT count(id) FROM x", true),
    ("SELECT sum(id) FROM x WHERE name = 'text 7'", true),
    ("SELECT sum(id) FROM t UNION ALL SELECT sum(id) FROM p UNION ALL SELECT sum(id) FROM x", true),
    ("SELECT id FROM t LIMIT 5", false),
    ("SELECT id FROM x LIMIT 5", false),
    ("SELECT id, name FROM t ORDER BY id DESC LIMIT 5", false),
    ("SELECT d.label, t.name FROM t JOIN d ON t.id = d.id", false),
];

/// The last line of the cost: whether it is exact, requests, bytes.
async fn cost(client: &Client, sql: &str) -> (bool, u64, u64, String) {
    let lines = rows(client, &format!("EXPLAIN (COST) {sql}")).await.unwrap();
    let text = lines.into_iter().flatten().flatten().collect::<Vec<_>>().join("\n");
    let line = text.lines().find(|line| line.starts_with("Cost: ")).unwrap_or_else(|| panic!("{sql}\n{text}"));
    let numbers: Vec<u64> = line.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect();
    let [requests, bytes] = numbers[..] else { panic!("{line}") };
    (!line.contains("at most"), requests, bytes, text)
}

fn check(sql: &str, is_exact: bool, estimated: (bool, u64, u64, String), requests: u64, bytes: u64) {
    let (says_exact, estimated_requests, estimated_bytes, text) = estimated;
    let told = format!("{sql}: read {bytes} bytes in {requests} requests\n{text}");
    assert_eq!(says_exact, is_exact, "{told}");
    if is_exact {
        assert!(estimated_bytes.abs_diff(bytes) * 100 <= bytes, "{told}");
        assert_eq!(estimated_requests, requests, "{told}");
    } else {
        assert!(bytes <= estimated_bytes && requests <= estimated_requests, "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_from_s3_is_known_before() {
    let s3 = S3Server::start("lake").await.unwrap();
    make_lake(&s3.root().join("lake"));
    let server = TestServer::start_on_s3(&s3, "lake", &[]).await.unwrap();
    let client = server.client().await.unwrap();
    make_tables(&client, "s3://lake").await;
    rows(&client, "SET result_cache = off").await.unwrap();
    for (sql, is_exact) in QUERIES {
        let estimated = cost(&client, sql).await;
        s3.reset_counts();
        rows(&client, sql).await.unwrap();
        let counts = s3.counts();
        check(sql, *is_exact, estimated, counts.total() as u64, counts.body_bytes);
    }
    // Nothing of it is read by asking: footers are at hand now.
    s3.reset_counts();
    cost(&client, "SELECT * FROM t WHERE id > 7").await;
    assert_eq!((s3.counts().get, s3.counts().list), (0, 1), "{:?}", s3.counts());
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_from_disk_is_known_before() {
    let lake = tempfile::tempdir().unwrap();
    make_lake(lake.path());
    let server = TestServer::start(&[lake.path()]).await.unwrap();
    let client = server.client().await.unwrap();
    make_tables(&client, &lake.path().display().to_string()).await;
    rows(&client, "SET result_cache = off").await.unwrap();
    for (sql, is_exact) in QUERIES {
        let estimated = cost(&client, sql).await;
        rows(&client, sql).await.unwrap();
        let counted = "SELECT requests, bytes_scanned FROM system.queries WHERE sql NOT LIKE '%system.queries%'
                       ORDER BY queued_at DESC, query_id DESC LIMIT 1";
        let counted = rows(&client, counted).await.unwrap().remove(0);
        let number = |column: usize| counted[column].as_ref().unwrap().parse::<u64>().unwrap();
        check(sql, *is_exact, estimated, number(0), number(1));
    }
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_shows_cost_as_text_and_as_json() {
    let lake = tempfile::tempdir().unwrap();
    make_lake(lake.path());
    let server = TestServer::start(&[lake.path()]).await.unwrap();
    let client = server.client().await.unwrap();
    make_tables(&client, &lake.path().display().to_string()).await;
    let (_, _, _, text) = cost(&client, "SELECT sum(value) FROM p WHERE day = 3 AND id < 320000").await;
    for part in
        ["Scan of default.p", "  Partitions: 1 of 8", "  Files: 1 of 1", "  Row groups: 1 of 2", "1 of them for lists"]
    {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    let (_, _, _, text) = cost(&client, "SELECT d.label, t.name FROM t JOIN d ON t.id = d.id").await;
    assert!(text.contains("dynamic filters may exclude more"), "{text}");
    let json =
        value(&client, "EXPLAIN (COST, FORMAT JSON) SELECT sum(value) FROM p WHERE day = 3").await.unwrap().unwrap();
    for part in ["\"Cost\"", "\"Partitions\": 1", "\"Row Groups\": 2", "\"Exact\": true", "\"Result Cache\": \"miss\""]
    {
        assert!(json.contains(part), "{part} in\n{json}");
    }
    let json = value(&client, "EXPLAIN ANALYZE (FORMAT JSON) SELECT sum(id) FROM p").await.unwrap().unwrap();
    for part in ["\"Plan\"", "\"Node Type\": \"AggregateExec\"", "\"Rows\": 1", "\"Execution Time\""] {
        assert!(json.contains(part), "{part} in\n{json}");
    }
    // PostgreSQL's own option of nearly that name is something else.
    let plan = rows(&client, "EXPLAIN (COSTS off) SELECT sum(id) FROM p").await.unwrap();
    assert!(plan.iter().flatten().flatten().any(|line| line.contains("AggregateExec")));
    // Together with a run.
    let both = rows(&client, "EXPLAIN (ANALYZE, COST) SELECT sum(id) FROM t").await.unwrap();
    let both = both.into_iter().flatten().flatten().collect::<Vec<_>>().join("\n");
    assert!(both.contains("Cost: ") && both.contains("Rows: 1") && both.contains("AggregateExec"), "{both}");
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_over_the_scan_limit_is_refused_before_it_reads() {
    let s3 = S3Server::start("lake").await.unwrap();
    make_lake(&s3.root().join("lake"));
    let server = TestServer::start_on_s3(&s3, "lake", &[]).await.unwrap();
    let client = server.client().await.unwrap();
    make_tables(&client, "s3://lake").await;
    for table in ["t", "p", "s", "x"] {
        rows(&client, &format!("SELECT count(id), sum(id) FROM {table} WHERE id = 99")).await.unwrap();
    }
    let sum = "SELECT sum(value), max(name) FROM p";
    let whole = value(&client, "SELECT sum(value) FROM p").await.unwrap();
    rows(&client, "SET scan_limit = '1MB'").await.unwrap();
    s3.reset_counts();
    fails(&client, sum, "53400", "scan of table \"default.p\" would read ").await.unwrap();
    fails(&client, sum, "53400", "and scan_limit is 1000000 bytes").await.unwrap();
    fails(&client, sum, "53400", "8 of 8 partitions").await.unwrap();
    fails(&client, sum, "53400", "Add a condition on the partition keys (day)").await.unwrap();
    fails(&client, &format!("EXPLAIN ANALYZE {sum}"), "53400", "scan_limit").await.unwrap();
    assert_eq!(s3.counts().get, 0, "{:?}", s3.counts());
    // To ask what it would cost is free, and so is what is known.
    cost(&client, sum).await;
    rows(&client, &format!("EXPLAIN {sum}")).await.unwrap();
    rows(&client, "SELECT count(*), max(day) FROM p").await.unwrap();
    assert_eq!(value(&client, "SELECT sum(value) FROM p").await.unwrap(), whole, "a result that is kept");
    rows(&client, "SELECT name FROM p WHERE day = 3 AND id = 300500").await.unwrap();
    // A LIMIT ends a scan early: it is held to what it reads.
    rows(&client, "SELECT id FROM t LIMIT 5").await.unwrap();
    fails(&client, "SELECT count(DISTINCT name) FROM (SELECT name FROM t LIMIT 700000) s", "53400", "goes on beyond")
        .await
        .unwrap();
    rows(&client, "SET scan_limit = 50000").await.unwrap();
    fails(&client, "SELECT sum(id) FROM x", "53400", "scan of table \"default.x\" would read").await.unwrap();
    rows(&client, "RESET scan_limit").await.unwrap();
    rows(&client, sum).await.unwrap();
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_may_be_stricter_than_its_server_not_laxer() {
    let lake = tempfile::tempdir().unwrap();
    make_lake(lake.path());
    let limited = |serve: &mut ServeOptions| serve.engine.scan_limit_bytes = Some(2_000_000);
    let server = TestServer::start_with(&[lake.path()], limited).await.unwrap();
    let client = server.client().await.unwrap();
    make_tables(&client, &lake.path().display().to_string()).await;
    fails(&client, "SELECT max(name), sum(value) FROM t", "53400", "scan_limit is 2000000 bytes").await.unwrap();
    fails(&client, "SET scan_limit = '1GB'", "22023", "(0 .. 2000000 bytes)").await.unwrap();
    rows(&client, "SET scan_limit = '30kB'; SELECT name FROM s WHERE day = 3").await.unwrap();
    fails(&client, "SELECT sum(id) FROM p WHERE day = 1", "53400", "30000 bytes").await.unwrap();
    rows(&client, "SET scan_limit = 0").await.unwrap();
    fails(&client, "SELECT max(name), sum(value) FROM t", "53400", "2000000 bytes").await.unwrap();
    rows(&client, "SELECT sum(id) FROM p WHERE day = 1").await.unwrap();
    server.shutdown().await;
}
