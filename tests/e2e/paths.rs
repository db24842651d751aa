//! SQL reads and writes inside the roots, and nowhere else.

use limnos_tests::server::TestServer;
use limnos_tests::{client, lake};

const CANARY: &str = "canary-4711";

#[tokio::test(flavor = "multi_thread")]
async fn nothing_outside_the_roots_can_be_named() {
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret.csv"), format!("id\n{CANARY}\n")).unwrap();
    let inside = tempfile::tempdir().unwrap();
    lake::write_parquet(&inside.path().join("good/a.parquet"), &[lake::plain_rows(0, 3).unwrap()], 10).unwrap();
    std::os::unix::fs::symlink(outside.path(), inside.path().join("link")).unwrap();
    std::os::unix::fs::symlink(outside.path().join("secret.csv"), inside.path().join("good/link.csv")).unwrap();
    // A sibling whose name begins as the root's does.
    let sibling = format!("{}-sibling", inside.path().display());
    std::fs::create_dir(&sibling).unwrap();
    std::fs::write(format!("{sibling}/secret.csv"), CANARY).unwrap();
    let server = TestServer::start(&[inside.path()]).await.unwrap();
    let client = server.client().await.unwrap();
    let root = inside.path().display().to_string();
    let away = outside.path().display().to_string();
    let away_name = outside.path().file_name().unwrap().to_string_lossy().into_owned();
    for location in [
        "/etc/passwd".to_owned(),
        "file:///etc/passwd".to_owned(),
        "file://localhost/etc/passwd".to_owned(),
        "FILE:///etc/passwd".to_owned(),
        "/etc".to_owned(),
        "/".to_owned(),
        "../../etc/passwd".to_owned(),
        away.clone(),
        format!("{away}/secret.csv"),
        format!("file://{away}/"),
        format!("{root}/../{away_name}/secret.csv"),
        format!("{root}/good/../../{away_name}/"),
        format!("file://{root}/%2e%2e/{away_name}/"),
        format!("{root}/link/"),
        format!("{root}/link/secret.csv"),
        sibling.clone(),
        format!("{sibling}/secret.csv"),
        "s3://other-bucket/x/".to_owned(),
        "/proc/self/environ".to_owned(),
        "/dev/zero".to_owned(),
    ] {
        for sql in [
            format!("CREATE EXTERNAL TABLE stolen (id string) STORED AS TEXTFILE LOCATION '{location}'"),
            format!("CREATE EXTERNAL TABLE stolen STORED AS PARQUET LOCATION '{location}'"),
            format!("CREATE DATABASE stolen LOCATION '{location}'"),
            format!("CRAWL '{location}'"),
            format!("SELECT * FROM '{location}'"),
        ] {
            let error = client.simple_query(&sql).await.err().unwrap_or_else(|| panic!("{sql} was allowed"));
            let error = error.as_db_error().unwrap();
            let code = error.code().code();
            // Selecting from a quoted path may not be a thing on a server at all; all else is refused by name.
            let expected: &[&str] = if sql.starts_with("SELECT") { &["42501", "42601", "42P01"] } else { &["42501"] };
            assert!(expected.contains(&code), "{sql}: {code} {}", error.message());
            assert!(!error.message().contains(CANARY), "{sql}: {}", error.message());
        }
    }
    // A link inside a good folder that leads out is not followed.
    let sql = format!("CREATE EXTERNAL TABLE good (id string) STORED AS TEXTFILE LOCATION '{root}/good/link.csv'");
    client::fails(&client, &sql, "42501", "link.csv").await.unwrap();
    let sql = format!("CREATE EXTERNAL TABLE texts (id string) STORED AS TEXTFILE LOCATION '{root}/good/'");
    client::rows(&client, &sql).await.unwrap();
    if let Ok(rows) = client::rows(&client, "SELECT id FROM texts").await {
        assert!(!format!("{rows:?}").contains(CANARY), "a link was followed: {rows:?}");
    }
    // A partition can't lie outside either.
    client::rows(
        &client,
        &format!(
            "CREATE EXTERNAL TABLE parts (id bigint) PARTITIONED BY (day int) STORED AS PARQUET LOCATION '{root}/good/'"
        ),
    )
    .await
    .unwrap();
    let sql = format!("ALTER TABLE parts ADD PARTITION (day = 1) LOCATION '{away}'");
    client::fails(&client, &sql, "42501", &away_name).await.unwrap();
    assert_eq!(client::value(&client, "SELECT 1").await.unwrap().as_deref(), Some("1"));
    std::fs::remove_dir_all(&sibling).unwrap();
    server.shutdown().await;
}
