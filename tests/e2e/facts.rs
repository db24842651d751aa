//! What is known of files outlives the server: a restarted one answers from it without opening a file, which the requests
//! that a real S3 server got show. And no answer differs by it: queries over odd files say the same before and after a
//! restart, and the same as one that statistics can't help.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array, StringArray,
    TimestampNanosecondArray,
};
use limnos_tests::client::{rows, value};
use limnos_tests::lake::{batch, plain_rows, write_parquet};
use limnos_tests::s3::S3Server;
use limnos_tests::server::TestServer;
use tokio_postgres::Client;

async fn start(s3: &S3Server, data_dir: &Path) -> (TestServer, Client) {
    let options = s3.options();
    let server = TestServer::start_in(data_dir, &[], move |serve| {
        serve.engine.stores.roots.push("s3://lake/".to_owned());
        serve.engine.stores.s3 = options;
    })
    .await
    .unwrap();
    let client = server.client().await.unwrap();
    s3.reset_counts();
    (server, client)
}

async fn one(client: &Client, sql: &str) -> String {
    value(client, sql).await.unwrap().unwrap_or_else(|| "NULL".to_owned())
}

fn shown(rows: Vec<Vec<Option<String>>>) -> String {
    let row = |row: Vec<Option<String>>| {
        row.into_iter().map(|cell| cell.unwrap_or_else(|| "NULL".to_owned())).collect::<Vec<_>>().join("|")
    };
    rows.into_iter().map(row).collect::<Vec<_>>().join(" ")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_server_answers_without_opening_a_file() {
    let s3 = S3Server::start("lake").await.unwrap();
    let table = s3.root().join("lake/t");
    for day in 1..=9_i64 {
        let rows = plain_rows(day * 100, day * 100 + 50).unwrap();
        write_parquet(&table.join(format!("dt=2024-01-0{day}/a.parquet")), &[rows], 20).unwrap();
    }
    // A partition whose only file has no row is no row of any answer.
    write_parquet(&table.join("dt=2024-02-01/none.parquet"), &[plain_rows(0, 0).unwrap()], 20).unwrap();
    let data_dir = tempfile::tempdir().unwrap();
    let (server, client) = start(&s3, data_dir.path()).await;
    let sql = "CREATE EXTERNAL TABLE t (id bigint, name string, value double) PARTITIONED BY (dt string)
               STORED AS PARQUET LOCATION 's3://lake/t/'; MSCK REPAIR TABLE t; SELECT count(*) FROM t";
    rows(&client, sql).await.unwrap();
    assert!(s3.counts().get >= 9, "{:?}", s3.counts());
    drop(client);
    server.shutdown().await;

    let (server, client) = start(&s3, data_dir.path()).await;
    for (sql, answer) in [
        ("SELECT count(*) FROM t", "450"),
        ("SELECT count(*) FROM t WHERE dt > '2024-01-05'", "200"),
        ("SELECT count(id) FROM t", "450"),
        ("SELECT min(id), max(id) FROM t", "100|949"),
        ("SELECT max(dt), min(dt) FROM t", "2024-01-09|2024-01-01"),
        ("SELECT count(DISTINCT dt) FROM t", "9"),
        ("SELECT DISTINCT dt FROM t WHERE dt >= '2024-01-08' ORDER BY dt", "2024-01-08 2024-01-09"),
        (
            "SELECT dt, count(*) FROM t GROUP BY dt HAVING count(*) > 49 ORDER BY dt LIMIT 2",
            "2024-01-01|50 2024-01-02|50",
        ),
        ("SELECT count(*) FROM t WHERE id > 5000", "0"),
        ("SELECT name FROM t WHERE id = 175", ""),
        ("SELECT count(*) FROM (SELECT dt FROM t LIMIT 7) s", "7"),
        ("SELECT count(*) FROM t a JOIN t b ON a.dt = b.dt", "22500"),
        ("SELECT count(*) FROM t WHERE \"$path\" LIKE '%/dt=2024-01-0%'", "450"),
        (
            "SELECT \"$path\", dt, count(*) FROM t WHERE \"$partition\" = 'dt=2024-01-03' GROUP BY 1, 2",
            "s3://lake/t/dt=2024-01-03/a.parquet|2024-01-03|50",
        ),
        ("SELECT count(DISTINCT \"$path\"), min(\"$file_size\") > 0 FROM t WHERE \"$file_size\" < 1000000", "9|t"),
    ] {
        s3.reset_counts();
        assert_eq!(shown(rows(&client, sql).await.unwrap()), answer, "{sql}");
        let counts = s3.counts();
        assert_eq!((counts.get, counts.head), (0, 0), "{sql}: {counts:?}");
        // What there is is asked for each time.
        assert!(counts.list >= 1, "{sql}: {counts:?}");
    }
    // A point query opens the one file that can hold it. It is small: one GET for footer and rows.
    s3.reset_counts();
    assert_eq!(one(&client, "SELECT name FROM t WHERE id = 317").await, "row 317");
    assert_eq!(s3.counts().get, 1, "{:?}", s3.counts());
    // And a scan opens each file once, after footers that were not read for planning.
    drop(client);
    server.shutdown().await;
    let (server, client) = start(&s3, data_dir.path()).await;
    s3.reset_counts();
    assert_eq!(one(&client, "SELECT sum(id) FROM t").await, "236025");
    assert_eq!(s3.counts().get, 9, "{:?}", s3.counts());

    // A file that was replaced has no facts, and one that is new has none yet.
    write_parquet(&table.join("dt=2024-01-03/a.parquet"), &[plain_rows(0, 7).unwrap()], 20).unwrap();
    write_parquet(&table.join("dt=2024-02-01/more.parquet"), &[plain_rows(0, 2).unwrap()], 20).unwrap();
    s3.reset_counts();
    assert_eq!(one(&client, "SELECT count(*) FROM t").await, "409");
    assert_eq!(s3.counts().get, 2, "{:?}", s3.counts());
    assert_eq!(one(&client, "SELECT max(dt) FROM t").await, "2024-02-01");
    std::fs::remove_file(table.join("dt=2024-01-09/a.parquet")).unwrap();
    assert_eq!(one(&client, "SELECT count(*) FROM t").await, "359");
    assert_eq!(s3.counts().get, 2, "{:?}", s3.counts());
    server.shutdown().await;
}

/// Files that tempt whoever answers from statistics.
fn odd_files(table: &Path) {
    let int = |values: Vec<Option<i32>>| Arc::new(Int32Array::from(values)) as ArrayRef;
    let big = |values: Vec<Option<i64>>| Arc::new(Int64Array::from(values)) as ArrayRef;
    let double = |values: Vec<Option<f64>>| Arc::new(Float64Array::from(values)) as ArrayRef;
    let text = |values: Vec<Option<&str>>| Arc::new(StringArray::from(values)) as ArrayRef;
    let day = |values: Vec<Option<i32>>| Arc::new(Date32Array::from(values)) as ArrayRef;
    let decimal = |values: Vec<Option<i128>>, scale: i8| {
        Arc::new(Decimal128Array::from(values).with_precision_and_scale(9, scale).unwrap()) as ArrayRef
    };
    let moment = |values: Vec<Option<i64>>| Arc::new(TimestampNanosecondArray::from(values)) as ArrayRef;
    let flag = |values: Vec<Option<bool>>| Arc::new(BooleanArray::from(values)) as ArrayRef;
    let long = "x".repeat(200);
    let write = |path: &str, columns: Vec<(&str, ArrayRef)>, row_group: usize| {
        write_parquet(&table.join(path), &[batch(columns).unwrap()], row_group).unwrap();
    };
    write(
        "k=1/a.parquet",
        vec![
            ("I", int(vec![Some(3), None, Some(-7), Some(12)])),
            ("d", double(vec![Some(1.5), Some(f64::NAN), Some(-0.0), None])),
            ("s", text(vec![Some(&long), Some("b"), None, Some("a")])),
            ("day", day(vec![Some(10), Some(20), None, Some(-5)])),
            ("n", decimal(vec![Some(150), Some(-200), None, Some(1)], 2)),
            ("at", moment(vec![Some(1_999), Some(-1_001), None, Some(5)])),
            ("flag", flag(vec![Some(true), None, Some(true), Some(true)])),
        ],
        2,
    );
    write("k=1/b.parquet", vec![("i", big(vec![Some(1 << 40), Some(5)])), ("s", text(vec![None, None]))], 10);
    write("k=2/a.parquet", vec![("s", text(vec![Some("zz"), Some("")])), ("i", int(vec![None, None]))], 1);
    write("k=2/none.parquet", vec![("i", int(vec![])), ("s", text(vec![]))], 10);
    write(
        "k=__HIVE_DEFAULT_PARTITION__/a.parquet",
        vec![("i", big(vec![Some(9)])), ("d", double(vec![Some(0.0)])), ("n", decimal(vec![Some(7)], 1))],
        10,
    );
    write("k=3/none.parquet", vec![("i", int(vec![]))], 10);
}

const COLUMNS: &[&str] = &["i", "d", "s", "day", "n", "at", "flag", "k"];

/// Questions, each with one that statistics can't help.
fn questions() -> Vec<(String, String)> {
    let mut questions = Vec::new();
    for column in COLUMNS {
        for aggregate in ["count", "min", "max"] {
            if *column == "flag" && aggregate != "count" {
                continue;
            }
            let outer = if aggregate == "count" { "sum" } else { aggregate };
            questions.push((
                format!("SELECT {aggregate}({column}) FROM t"),
                format!(
                    "SELECT {outer}(v) FROM (SELECT {aggregate}({column}) AS v FROM t \
                     GROUP BY {column} IS NULL, i, d, s) g"
                ),
            ));
        }
        for condition in [format!("{column} IS NULL"), format!("{column} IS NOT NULL")] {
            questions.push(unhelped(&condition));
        }
        questions.push((
            format!("SELECT k, count({column}) FROM t GROUP BY k ORDER BY k"),
            format!("SELECT k, count({column}) FROM t WHERE random() < 2 GROUP BY k ORDER BY k"),
        ));
    }
    for condition in [
        "i > 9",
        "i = 9",
        "i < 0",
        "i <> 5",
        "i > 1000000",
        "i BETWEEN 3 AND 5",
        "s = 'b'",
        "s > 'y'",
        "s < 'b'",
        "s >= 'xx'",
        "s = ''",
        "s LIKE 'x%'",
        "day > DATE '1970-01-15'",
        "day < DATE '1970-01-01'",
        "n = 1.5",
        "n < 0",
        "n = 0.7",
        "n > 1.4",
        "at < TIMESTAMP '1970-01-01 00:00:00'",
        "at >= TIMESTAMP '1970-01-01 00:00:00.000001'",
        "flag",
        "NOT flag",
        "k = 1",
        "k > 1",
        "k IS NULL",
        "k = 3",
        "k = 1 AND i > 6",
        "k = 2 OR i = 9",
        "i IS NULL AND s = 'zz'",
        "i IN (3, 9)",
        "d < 1",
        "d > 2",
        "d >= 1.5::float8",
        "d <> 1.5::float8",
        "d > 2 AND d < 9",
        "NOT d < 2",
        "d > 2 OR i = 3",
        "d = 'NaN'",
        "d = 0",
        "d IS NULL AND k = 1",
    ] {
        questions.push(unhelped(condition));
    }
    questions.push(("SELECT count(*) FROM t".into(), "SELECT count(*) FROM t WHERE random() < 2".into()));
    questions.push((
        "SELECT DISTINCT k FROM t ORDER BY k".into(),
        "SELECT DISTINCT k FROM t WHERE random() < 2 ORDER BY k".into(),
    ));
    questions
}

fn unhelped(condition: &str) -> (String, String) {
    (
        format!("SELECT count(*) FROM t WHERE {condition}"),
        format!("SELECT count(*) FROM t WHERE ({condition}) OR random() > 2"),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_differs_by_what_is_known() {
    let root = tempfile::tempdir().unwrap();
    odd_files(&root.path().join("t"));
    let data_dir = tempfile::tempdir().unwrap();
    let ddl = format!(
        "CREATE EXTERNAL TABLE t (i bigint, d double, s string, day date, n decimal(12,3), at timestamp, flag boolean)
         PARTITIONED BY (k int) STORED AS PARQUET LOCATION '{}'; MSCK REPAIR TABLE t",
        root.path().join("t").display()
    );
    let mut answers: Vec<Vec<String>> = Vec::new();
    for run in 0..2 {
        let server = TestServer::start_in(data_dir.path(), &[root.path()], |_| {}).await.unwrap();
        let client = server.client().await.unwrap();
        if run == 0 {
            rows(&client, &ddl).await.unwrap();
        }
        let mut run_answers = Vec::new();
        for (asked, truth) in questions() {
            let answer = shown(rows(&client, &asked).await.unwrap());
            assert_eq!(answer, shown(rows(&client, &truth).await.unwrap()), "run {run}: {asked}");
            run_answers.push(answer);
        }
        answers.push(run_answers);
        drop(client);
        server.shutdown().await;
    }
    assert_eq!(answers[0], answers[1]);
}
