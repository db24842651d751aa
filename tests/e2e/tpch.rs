//! TPC-H at scale 0.1: 22 of 22 against the stored answers of another engine, on the lake that `limnos demo` makes.

use limnos_server::demo;
use limnos_tests::csv_answers::Answers;
use limnos_tests::server::TestServer;
use limnos_tests::{client, paths};

#[tokio::test(flavor = "multi_thread")]
async fn all_22_queries_give_the_answers_of_another_engine() {
    let lake = tempfile::tempdir().unwrap();
    let folder = lake.path().to_owned();
    tokio::task::spawn_blocking(move || demo::make(&folder, Some(0.1), &demo::Progress::default()))
        .await
        .unwrap()
        .unwrap();
    let server = TestServer::start(&[lake.path()]).await.unwrap();
    let client = server.client().await.unwrap();
    client::rows(&client, &format!("CRAWL '{}' INTO DATABASE default", lake.path().display())).await.unwrap();
    let mut wrong = Vec::new();
    for number in 1..=22 {
        let sql = std::fs::read_to_string(paths::sql().join(format!("tpch/q{number:02}.sql"))).unwrap();
        let answers = Answers::read(&paths::sql().join(format!("tpch/answers/sf0.1/q{number:02}.csv"))).unwrap();
        let compared = match client::rows(&client, &sql).await {
            Ok(rows) => answers.compare(&rows),
            Err(error) => Err(error),
        };
        if let Err(error) = compared {
            wrong.push(format!("q{number:02}: {error:#}"));
        }
    }
    assert!(wrong.is_empty(), "{} of 22 wrong\n{}", wrong.len(), wrong.join("\n"));
    server.shutdown().await;
}
