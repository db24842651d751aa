//! Many partitions come at once or not at all, and cost few requests.

use std::path::Path;
use std::time::Duration;

use limnos_tests::client;
use limnos_tests::process::ServerProcess;
use limnos_tests::s3::S3Server;
use limnos_tests::server::TestServer;

const YEARS: usize = 20;
const MONTHS: usize = 50;

/// A CSV file of one row in each of 1,000 partitions.
fn write_lake(root: &Path) {
    for year in 0..YEARS {
        for month in 0..MONTHS {
            let folder = root.join(format!("y={year}/m={month:02}"));
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("a.csv"), format!("{}\n", year * MONTHS + month)).unwrap();
        }
    }
}

fn create(location: &str) -> String {
    format!(
        "CREATE EXTERNAL TABLE t (id int) PARTITIONED BY (y int, m string) \
         ROW FORMAT DELIMITED FIELDS TERMINATED BY ',' LOCATION '{location}'"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn msck_lists_the_folders_above_the_partitions_and_reads_nothing() {
    let s3 = S3Server::start("lake").await.unwrap();
    write_lake(&s3.root().join("lake/t"));
    let server = TestServer::start_on_s3(&s3, "lake", &[]).await.unwrap();
    let client = server.client().await.unwrap();
    client::rows(&client, &create("s3://lake/t/")).await.unwrap();
    for run in ["first", "second"] {
        s3.reset_counts();
        client::rows(&client, "MSCK REPAIR TABLE t").await.unwrap();
        let counts = s3.counts();
        assert_eq!((counts.list, counts.total()), (YEARS + 1, YEARS + 1), "{run}: {counts:?}");
        let rows = client::rows(&client, "SHOW PARTITIONS t").await.unwrap();
        assert_eq!(rows.len(), YEARS * MONTHS, "{run}");
    }
    let sum = client::value(&client, "SELECT sum(id) FROM t WHERE y = 3 AND m >= '48'").await.unwrap();
    assert_eq!(sum.as_deref(), Some("397"));
    server.shutdown().await;
}

/// Kills a server while `sql` runs, at later moments from round to round, until it has been done and acknowledged. In every
/// round the table has none of its partitions or all.
async fn all_or_none(sql: impl Fn(&Path) -> String) {
    let data_dir = tempfile::tempdir().unwrap();
    let lake = tempfile::tempdir().unwrap();
    let root = lake.path().join("t");
    write_lake(&root);
    for round in 0..60_u32 {
        let server = ServerProcess::start(data_dir.path(), lake.path(), None).unwrap();
        let connection = server.client().await.unwrap();
        if round == 0 {
            client::rows(&connection, &create(&root.display().to_string())).await.unwrap();
        }
        let count = client::rows(&connection, "SHOW PARTITIONS t").await.unwrap().len();
        assert!([0, YEARS * MONTHS].contains(&count), "round {round}: {count} partitions");
        if count > 0 {
            let sum = client::value(&connection, "SELECT count(*) FROM t").await.unwrap();
            assert_eq!(sum.as_deref(), Some("1000"));
            assert!(round > 0, "it was done before the first kill: nothing was tried");
            return;
        }
        let statement = sql(&root);
        let asked = tokio::spawn(async move { connection.simple_query(&statement).await.is_ok() });
        tokio::time::sleep(Duration::from_millis(u64::from(round * 12))).await;
        server.kill().unwrap();
        asked.await.unwrap();
    }
    panic!("it was never done, though the last kill came late");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_msck_leaves_the_table_as_it_was_or_done() {
    all_or_none(|_| "MSCK REPAIR TABLE t".to_owned()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_batch_of_partitions_is_there_whole_or_not_at_all() {
    all_or_none(|root| {
        let one = |number: usize| {
            let (year, month) = (number / MONTHS, number % MONTHS);
            let location = format!("{}/y={year}/m={month:02}", root.display());
            format!("PARTITION (y = {year}, m = '{month:02}') LOCATION '{location}'")
        };
        let partitions: Vec<String> = (0..YEARS * MONTHS).map(one).collect();
        format!("ALTER TABLE t ADD {}", partitions.join(" "))
    })
    .await;
}
