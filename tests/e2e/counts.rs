//! How few requests and bytes queries take: counted by a real S3 server, never by timing.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray};
use limnos_tests::client::{rows, value};
use limnos_tests::lake::{batch, plain_rows, write_parquet};
use limnos_tests::s3::{RequestCounts, S3Server};
use limnos_tests::server::TestServer;
use tokio_postgres::Client;

/// Rows of a partition's one file: too large to be read whole.
const ROWS: i64 = 60_000;
const DAYS: i64 = 12;

/// ```text
/// fact/day=N/a.parquet   12 days of one file in three row groups, sorted by id
/// dimension/a.parquet    few rows that name two neighbouring ids
/// ```
fn make_lake(root: &Path) -> u64 {
    let mut bytes = 0;
    for day in 0..DAYS {
        let path = root.join(format!("fact/day={day}/a.parquet"));
        write_parquet(&path, &[plain_rows(day * ROWS, (day + 1) * ROWS).unwrap()], 20_000).unwrap();
        bytes += std::fs::metadata(&path).unwrap().len();
    }
    let dimension = batch(vec![
        ("id", Arc::new(Int64Array::from_iter_values([70_001, 70_002])) as ArrayRef),
        ("label", Arc::new(StringArray::from(vec!["a", "b"])) as ArrayRef),
    ]);
    write_parquet(&root.join("dimension/a.parquet"), &[dimension.unwrap()], 100).unwrap();
    bytes
}

async fn start(s3: &S3Server, data_dir: &Path) -> (TestServer, Client) {
    let options = s3.options();
    let server = TestServer::start_in(data_dir, &[], move |serve| {
        serve.engine.stores.roots.push("s3://lake/".to_owned());
        serve.engine.stores.s3 = options;
    })
    .await
    .unwrap();
    let client = server.client().await.unwrap();
    // What is kept of results is counted elsewhere.
    rows(&client, "SET result_cache = off").await.unwrap();
    s3.reset_counts();
    (server, client)
}

async fn count(s3: &S3Server, client: &Client, sql: &str) -> (String, RequestCounts) {
    s3.reset_counts();
    let answer = rows(client, sql).await.unwrap();
    let answer = answer.into_iter().flatten().map(|cell| cell.unwrap_or_default()).collect::<Vec<_>>().join(" ");
    (answer, s3.counts())
}

/// A query, its answer, and the most requests (lists, gets) and bytes it may take: by a server that has read nothing, and by
/// one that knows the footers.
type Bound = (&'static str, String, Cost, Cost);

#[derive(Debug, Clone, Copy)]
struct Cost {
    list: usize,
    get: usize,
    /// In thousandths of all the table's bytes.
    part: u64,
}

fn bounds() -> Vec<Bound> {
    let most = |list, get, part| Cost { list, get, part };
    let sum = |from: i64, to: i64| (from..to).sum::<i64>().to_string();
    vec![
        // One partition: its list, its footer, the one row group that can hold the row.
        ("SELECT name FROM fact WHERE day = 7 AND id = 430000", "row 430000".into(), most(1, 2, 60), most(1, 1, 40)),
        ("SELECT sum(id) FROM fact WHERE day = 7", sum(7 * ROWS, 8 * ROWS), most(1, 4, 40), most(1, 3, 30)),
        // A range of partitions: a list, a footer and a request a row group for each of the three.
        (
            "SELECT sum(id) FROM fact WHERE day BETWEEN 3 AND 5",
            sum(3 * ROWS, 6 * ROWS),
            most(3, 12, 120),
            most(3, 9, 80),
        ),
        // What is known of files and partitions opens none.
        ("SELECT count(*) FROM fact", (DAYS * ROWS).to_string(), most(12, 12, 80), most(12, 0, 0)),
        ("SELECT max(day) FROM fact", (DAYS - 1).to_string(), most(12, 0, 0), most(12, 0, 0)),
        ("SELECT count(*) FROM fact WHERE day > 100", "0".into(), most(0, 0, 0), most(0, 0, 0)),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_take_few_requests_first_and_fewer_then() {
    let s3 = S3Server::start("lake").await.unwrap();
    let all = make_lake(&s3.root().join("lake"));
    let data_dir = tempfile::tempdir().unwrap();
    let (server, client) = start(&s3, data_dir.path()).await;
    let sql = "CREATE EXTERNAL TABLE fact (id bigint, name string, value double) PARTITIONED BY (day int)
                   STORED AS PARQUET LOCATION 's3://lake/fact/';
               CREATE EXTERNAL TABLE dimension (id bigint, label string) STORED AS PARQUET LOCATION 's3://lake/dimension/';
               MSCK REPAIR TABLE fact";
    rows(&client, sql).await.unwrap();
    let check = |sql: &str, what: &str, counts: RequestCounts, most: Cost| {
        let told = format!("{what}: {sql}: {counts:?}, at most {most:?} of {all} bytes");
        assert!(counts.list <= most.list && counts.get <= most.get && counts.head == 0, "{told}");
        assert!(counts.body_bytes <= all * most.part / 1000, "{told}");
    };
    for (sql, answer, first, then) in bounds() {
        let (first_answer, counts) = count(&s3, &client, sql).await;
        assert_eq!(first_answer, answer, "{sql}");
        check(sql, "first", counts, first);
        let (second_answer, counts) = count(&s3, &client, sql).await;
        assert_eq!(second_answer, answer, "{sql}");
        check(sql, "warm", counts, then);
    }
    // The last rows of a sorted column: one row group, once footers are known.
    let (answer, counts) = count(&s3, &client, "SELECT name FROM fact ORDER BY id DESC LIMIT 3").await;
    assert_eq!(answer, "row 719999 row 719998 row 719997");
    check("top-N", "warm", counts, Cost { list: 12, get: 4, part: 60 });
    // A join with a dimension that names two ids: the filter that the join makes excludes all files but one.
    let join = "SELECT label, name FROM fact JOIN dimension USING (id) ORDER BY label";
    let (answer, counts) = count(&s3, &client, join).await;
    assert_eq!(answer, "a row 70001 b row 70002");
    check(join, "warm", counts, Cost { list: 13, get: 3, part: 60 });
    drop(client);
    server.shutdown().await;

    // A server that starts knows what the last one knew of files: bounds, counts; not their footers.
    let (server, client) = start(&s3, data_dir.path()).await;
    for (sql, answer, get) in [
        ("SELECT count(*) FROM fact", (DAYS * ROWS).to_string(), 0),
        ("SELECT max(day), min(id) FROM fact", format!("{} 0", DAYS - 1), 0),
        ("SELECT count(*) FROM fact WHERE id > 1000000", "0".to_owned(), 0),
        ("SELECT name FROM fact WHERE id = 430000", "row 430000".to_owned(), 2),
    ] {
        let (restarted, counts) = count(&s3, &client, sql).await;
        assert_eq!(restarted, answer, "{sql}");
        check(sql, "restarted", counts, Cost { list: 12, get, part: 60 });
    }
    let kept = value(&client, "SELECT count(*) FROM system.queries WHERE result_cache = 'off'").await.unwrap();
    assert_ne!(kept.as_deref(), Some("0"));
    server.shutdown().await;
}
