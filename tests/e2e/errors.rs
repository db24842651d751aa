//! What goes wrong in the world: each a clear error with its SQLSTATE and the object named, and the session goes on.

use limnos_server::auth::{AuthMethod, Users};
use limnos_tests::s3::S3Server;
use limnos_tests::server::TestServer;
use limnos_tests::{client, lake};
use tokio_postgres::Client;

/// The session still answers.
async fn goes_on(client: &Client) {
    assert_eq!(client::value(client, "SELECT 6 * 7").await.unwrap().as_deref(), Some("42"));
}

#[tokio::test(flavor = "multi_thread")]
async fn corrupt_parquet_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&[folder.path()]).await.unwrap();
    let client = server.client().await.unwrap();
    for (what, bytes) in lake::corrupt_parquet().unwrap() {
        let file = folder.path().join(what).join(format!("{what}.parquet"));
        std::fs::create_dir(file.parent().unwrap()).unwrap();
        std::fs::write(&file, bytes).unwrap();
        client::rows(
            &client,
            &format!(
                "CREATE EXTERNAL TABLE {what} (id bigint, name string, value double) STORED AS PARQUET LOCATION '{}'",
                file.parent().unwrap().display()
            ),
        )
        .await
        .unwrap();
        client::fails(&client, &format!("SELECT sum(id), max(name) FROM {what}"), "XX001", what).await.unwrap();
        goes_on(&client).await;
    }
    // Without columns, the file is read to find them: the same error, earlier.
    let location = folder.path().join("magic_only").display().to_string();
    client::fails(
        &client,
        &format!("CREATE EXTERNAL TABLE inferred STORED AS PARQUET LOCATION '{location}'"),
        "XX001",
        "magic_only",
    )
    .await
    .unwrap();
    goes_on(&client).await;
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_file_beside_a_corrupt_one_can_be_read_when_it_is_all_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("mixed");
    lake::write_parquet(&table.join("day=1/good.parquet"), &[lake::plain_rows(0, 10).unwrap()], 100).unwrap();
    std::fs::create_dir(table.join("day=2")).unwrap();
    std::fs::write(table.join("day=2/bad.parquet"), b"PAR1PAR1").unwrap();
    let server = TestServer::start(&[folder.path()]).await.unwrap();
    let client = server.client().await.unwrap();
    client::rows(
        &client,
        &format!(
            "CREATE EXTERNAL TABLE mixed (id bigint, name string, value double) PARTITIONED BY (day int)
             STORED AS PARQUET LOCATION '{}'; MSCK REPAIR TABLE mixed",
            table.display()
        ),
    )
    .await
    .unwrap();
    let sum = client::value(&client, "SELECT sum(id) FROM mixed WHERE day = 1").await.unwrap();
    assert_eq!(sum.as_deref(), Some("45"));
    client::fails(&client, "SELECT sum(id) FROM mixed", "XX001", "bad.parquet").await.unwrap();
    goes_on(&client).await;
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_without_permission_is_named() {
    // Tests may run as root, whom no file mode stops, so access is refused where root has no say: by the object store.
    let s3 = S3Server::start("lake").await.unwrap();
    lake::write_parquet(&s3.root().join("lake/secret/a.parquet"), &[lake::plain_rows(0, 3).unwrap()], 10).unwrap();
    lake::write_parquet(&s3.root().join("lake/open/a.parquet"), &[lake::plain_rows(0, 3).unwrap()], 10).unwrap();
    let server = TestServer::start_on_s3(&s3, "lake", &[]).await.unwrap();
    let client = server.client().await.unwrap();
    for table in ["secret", "open"] {
        client::rows(
            &client,
            &format!("CREATE EXTERNAL TABLE {table} (id bigint) STORED AS PARQUET LOCATION 's3://lake/{table}/'"),
        )
        .await
        .unwrap();
    }
    *s3.faults.denied_prefix.lock().unwrap() = Some("secret".to_owned());
    client::fails(&client, "SELECT * FROM secret", "42501", "s3://lake/secret").await.unwrap();
    let count = client::value(&client, "SELECT count(*) FROM open").await.unwrap();
    assert_eq!(count.as_deref(), Some("3"));
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_local_folder_without_permission_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("closed");
    lake::write_parquet(&table.join("a.parquet"), &[lake::plain_rows(0, 3).unwrap()], 10).unwrap();
    let server = TestServer::start(&[folder.path()]).await.unwrap();
    let client = server.client().await.unwrap();
    let sql = format!("CREATE EXTERNAL TABLE closed (id bigint) STORED AS PARQUET LOCATION '{}'", table.display());
    client::rows(&client, &sql).await.unwrap();
    std::fs::set_permissions(&table, std::fs::Permissions::from_mode(0o000)).unwrap();
    let root_may_read = std::fs::read_dir(&table).is_ok();
    let answer = client::fails(&client, "SELECT * FROM closed", "42501", "closed").await;
    std::fs::set_permissions(&table, std::fs::Permissions::from_mode(0o755)).unwrap();
    // Root reads it all the same; then the query must succeed, and the S3 test above covers the refusal.
    assert_eq!(answer.is_err(), root_may_read, "{answer:?}");
    goes_on(&client).await;
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_files_and_folders_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&[folder.path()]).await.unwrap();
    let client = server.client().await.unwrap();
    let location = folder.path().join("not_there").display().to_string();
    client::fails(
        &client,
        &format!("CREATE EXTERNAL TABLE t STORED AS PARQUET LOCATION '{location}'"),
        "58P01",
        "not_there",
    )
    .await
    .unwrap();
    // Declared in full, it may come later: no file is no row.
    let sql = format!("CREATE EXTERNAL TABLE t (id bigint) STORED AS PARQUET LOCATION '{location}/'");
    client::rows(&client, &sql).await.unwrap();
    assert_eq!(client::value(&client, "SELECT count(*) FROM t").await.unwrap().as_deref(), Some("0"));
    client::fails(&client, &format!("CRAWL '{location}'"), "58P01", "not_there").await.unwrap();
    goes_on(&client).await;
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn syntax_errors_say_where() {
    let server = TestServer::start(&[]).await.unwrap();
    let client = server.client().await.unwrap();
    for (sql, near, position) in [
        ("SELEC 1", "SELEC", 1),
        ("SELECT 1 FROM WHERE x", "WHERE", 15),
        ("SELECT (1", "end of input", 10),
        ("SELECT 'é', 1 1", "1", 15),
        ("SELECT 1;\nSELECT * FORM t", "FORM", 20),
        ("CREATE EXTERNAL TABLE t (a int STORED AS PARQUET", "STORED", 32),
    ] {
        let error = client.simple_query(sql).await.unwrap_err();
        client::check_error(&error, "42601", near).unwrap_or_else(|error| panic!("{sql}: {error:#}"));
        let found = error.as_db_error().unwrap().position().cloned();
        let expected = tokio_postgres::error::ErrorPosition::Original(position);
        assert_eq!(found, Some(expected), "{sql}");
    }
    for (sql, sqlstate, named, position) in
        [("SELECT nope FROM (VALUES (1)) AS t(x)", "42703", "nope", 8), ("SELECT * FROM nope", "42P01", "nope", 15)]
    {
        let error = client.simple_query(sql).await.unwrap_err();
        client::check_error(&error, sqlstate, named).unwrap();
        let found = error.as_db_error().unwrap().position().cloned();
        assert_eq!(found, Some(tokio_postgres::error::ErrorPosition::Original(position)), "{sql}");
    }
    goes_on(&client).await;
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn near_names_are_offered() {
    let folder = lake::slt_lake().unwrap();
    let server = TestServer::start(&[folder.path()]).await.unwrap();
    let client = server.client().await.unwrap();
    let location = folder.path().join("wide").display().to_string();
    let sql =
        format!("CREATE EXTERNAL TABLE orders (id bigint, customer string) STORED AS PARQUET LOCATION '{location}'");
    client::rows(&client, &sql).await.unwrap();
    client::fails(&client, "SELECT * FROM ordrs", "42P01", "orders").await.unwrap();
    client::fails(&client, "SELECT custmer FROM orders", "42703", "customer").await.unwrap();
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_refused_and_nothing_runs() {
    let server = TestServer::start_with(&[], |options| {
        options.auth = AuthMethod::ScramSha256;
        options.users = Users::from_secrets([("limnos", "correct horse")]).unwrap();
    })
    .await
    .unwrap();
    let config = client::config(server.pg_address());
    for (user, password) in [("limnos", Some("wrong")), ("limnos", Some("")), ("nobody", Some("correct horse"))] {
        let mut config = config.clone();
        config.user(user);
        if let Some(password) = password {
            config.password(password);
        }
        let error = client::connect(&config).await.err().unwrap();
        client::check_error(&error, "28P01", user).unwrap();
    }
    let mut right = config.clone();
    right.password("correct horse");
    goes_on(&client::connect(&right).await.unwrap()).await;
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_not_there_is_refused() {
    let server = TestServer::start(&[]).await.unwrap();
    let mut config = client::config(server.pg_address());
    config.dbname("nosuch");
    let error = client::connect(&config).await.err().unwrap();
    client::check_error(&error, "3D000", "nosuch").unwrap();
    server.shutdown().await;
}
