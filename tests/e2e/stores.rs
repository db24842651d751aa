//! Roots with options of their own, keys from AWS's files, and what is told when keys are wrong.

use limnos_engine::scan::store::{Options, ProfileOptions};
use limnos_tests::client;
use limnos_tests::s3::{ACCESS_KEY, S3Server, SECRET_KEY};
use limnos_tests::server::TestServer;

fn write(s3: &S3Server, path: &str, text: &str) {
    let file = s3.root().join(path);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, text).unwrap();
}

/// The options of `s3` without its keys.
fn without_keys(s3: &S3Server) -> Options {
    let mut options = s3.options();
    options.retain(|name, _| !name.contains("access_key"));
    options
}

#[tokio::test(flavor = "multi_thread")]
async fn each_root_has_a_store_of_its_own() {
    let (ours, theirs) = (S3Server::start("lake").await.unwrap(), S3Server::start("partner").await.unwrap());
    write(&ours, "lake/t/a.csv", "1\n2\n");
    write(&theirs, "partner/t/a.csv", "3\n4\n5\n");
    let (mut wrong, own, partner) = (ours.options(), ours.options(), theirs.options());
    wrong.insert("secret_access_key".to_owned(), "wrong".to_owned());
    let server = TestServer::start_with(&[], move |serve| {
        // What is given for all is wrong for both.
        serve.engine.stores.s3 = wrong;
        serve.engine.stores.own_roots = vec![("s3://lake/".to_owned(), own), ("s3://partner/t".to_owned(), partner)];
    });
    let server = server.await.unwrap();
    let client = server.client().await.unwrap();
    let sql = "CREATE EXTERNAL TABLE a (id int) ROW FORMAT DELIMITED LOCATION 's3://lake/t/';
               CREATE EXTERNAL TABLE b (id int) ROW FORMAT DELIMITED LOCATION 's3://partner/t/'";
    client::rows(&client, sql).await.unwrap();
    let sum = client::value(&client, "SELECT sum(a.id * b.id) FROM a CROSS JOIN b").await.unwrap();
    assert_eq!(sum.as_deref(), Some("36"));
    client::fails(&client, "SELECT * FROM 's3://partner/other/a.csv'", "42501", "s3://partner/other/a.csv")
        .await
        .unwrap();
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_come_from_profiles() {
    let s3 = S3Server::start("lake").await.unwrap();
    write(&s3, "lake/t/a.csv", "1\n2\n");
    let folder = tempfile::tempdir().unwrap();
    let credentials = folder.path().join("credentials");
    let keys = |id: &str, secret: &str| format!("aws_access_key_id = {id}\naws_secret_access_key = {secret}\n");
    let text = format!("[good]\n{}[bad]\n{}", keys(ACCESS_KEY, SECRET_KEY), keys(ACCESS_KEY, "WRONG-CANARY"));
    std::fs::write(&credentials, text).unwrap();
    for (by_variable, by_option, is_good) in
        [(Some("good"), None, true), (Some("bad"), Some("good"), true), (Some("bad"), None, false)]
    {
        let mut options = without_keys(&s3);
        options.extend(by_option.map(|name: &str| ("profile".to_owned(), name.to_owned())));
        let profile = ProfileOptions {
            name: by_variable.map(str::to_owned),
            credentials_file: Some(credentials.clone()),
            config_file: None,
        };
        let server = TestServer::start_with(&[], move |serve| {
            serve.engine.stores.roots.push("s3://lake/".to_owned());
            serve.engine.stores.s3 = options;
            serve.engine.stores.profile = profile;
        });
        let server = server.await.unwrap();
        let client = server.client().await.unwrap();
        let sql = "CREATE EXTERNAL TABLE t (id int) ROW FORMAT DELIMITED LOCATION 's3://lake/t/'";
        client::rows(&client, sql).await.unwrap();
        match client::value(&client, "SELECT sum(id) FROM t").await {
            Ok(sum) => assert!(is_good && sum.as_deref() == Some("3"), "{sum:?}"),
            Err(error) => {
                let shown = format!("{error:?}");
                assert!(!is_good && shown.contains("42501") && shown.contains("SignatureDoesNotMatch"), "{shown}");
                assert!(!shown.contains("CANARY") && !shown.contains(SECRET_KEY), "{shown}");
            }
        }
        server.shutdown().await;
    }
    // A profile that was named and is nowhere.
    let options = Options::from([("profile".to_owned(), "none".to_owned())]);
    let server = TestServer::start_with(&[], move |serve| {
        serve.engine.stores.roots.push("s3://lake/".to_owned());
        serve.engine.stores.s3 = options;
    });
    let server = server.await.unwrap();
    let client = server.client().await.unwrap();
    client::fails(&client, "SELECT * FROM 's3://lake/t/a.csv'", "42704", "none").await.unwrap();
    server.shutdown().await;
}
