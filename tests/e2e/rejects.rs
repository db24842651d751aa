//! Rejected lines outlive the server, are there once, and go with the version of their file. What was left out is told: in
//! a warning behind the rows, in EXPLAIN ANALYZE, in `system.queries`.

use std::path::Path;

use futures::StreamExt;
use limnos_tests::client::{self, rows, value};
use limnos_tests::server::TestServer;
use tokio_postgres::{AsyncMessage, Client, NoTls};

async fn start(data_dir: &Path, root: &Path) -> (TestServer, Client) {
    let server = TestServer::start_in(data_dir, &[root], |_| ()).await.unwrap();
    let client = server.client().await.unwrap();
    (server, client)
}

async fn one(client: &Client, sql: &str) -> String {
    value(client, sql).await.unwrap().unwrap_or_else(|| "NULL".to_owned())
}

const KEPT: &str = "SELECT string_agg(line || ':' || raw, ' ' ORDER BY file, line) FROM system.rejects";

#[tokio::test(flavor = "multi_thread")]
async fn rejects_outlive_the_server_and_go_with_their_file() {
    let root = tempfile::tempdir().unwrap();
    let data_dir = tempfile::tempdir().unwrap();
    let folder = root.path().join("t");
    std::fs::create_dir(&folder).unwrap();
    let write = |file: &str, text: &str| std::fs::write(folder.join(file), text).unwrap();
    write("a.csv", "1,a\nx,b\n2,c\n");
    write("b.csv", "3,d\ny,e\n4\n");
    let (server, client) = start(data_dir.path(), root.path()).await;
    let sql = format!(
        "CREATE EXTERNAL TABLE t (id int, name string) STORED AS CSV LOCATION '{}'
         TBLPROPERTIES ('limnos.on_error' = 'quarantine')",
        folder.display()
    );
    rows(&client, &sql).await.unwrap();
    assert_eq!(one(&client, "SELECT count(*) FROM t").await, "3");
    assert_eq!(one(&client, KEPT).await, "2:x,b 2:y,e 3:4");
    drop(client);
    server.shutdown().await;

    let (server, client) = start(data_dir.path(), root.path()).await;
    assert_eq!(one(&client, KEPT).await, "2:x,b 2:y,e 3:4");
    let first_seen = one(&client, "SELECT min(seen_at) FROM system.rejects").await;
    assert_eq!(one(&client, "SELECT sum(id) FROM t").await, "6");
    assert_eq!(one(&client, KEPT).await, "2:x,b 2:y,e 3:4");
    assert_eq!(one(&client, "SELECT min(seen_at) FROM system.rejects").await, first_seen);
    // One is replaced by a file with another bad line, one by a file without.
    write("a.csv", "1,a\n2,b\nzz,c\n");
    assert_eq!(one(&client, "SELECT count(*) FROM t").await, "3");
    assert_eq!(one(&client, KEPT).await, "3:zz,c 2:y,e 3:4");
    write("b.csv", "3,d\n4,e\n5,f\n6,g\n");
    assert_eq!(one(&client, "SELECT count(*) FROM t").await, "6");
    assert_eq!(one(&client, KEPT).await, "3:zz,c");
    // A thousand of a file and no more.
    write("b.csv", &"x,y\n".repeat(3000));
    assert_eq!(one(&client, "SELECT count(*) FROM t").await, "2");
    assert_eq!(one(&client, "SELECT count(*) || ' ' || max(line) FROM system.rejects").await, "1001 1000");
    rows(&client, "DROP TABLE t").await.unwrap();
    assert_eq!(one(&client, "SELECT count(*) FROM system.rejects").await, "0");
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_left_out_is_told() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("t.csv");
    std::fs::write(&path, "id,name\n1,a\nx,b\n\n2,c\ny,d\n3,e\n").unwrap();
    let server = TestServer::start(&[root.path()]).await.unwrap();
    let (client, mut connection) = client::config(server.pg_address()).connect(NoTls).await.unwrap();
    let (sender, mut told) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut messages = futures::stream::poll_fn(move |context| connection.poll_message(context));
        while let Some(Ok(message)) = messages.next().await {
            if let AsyncMessage::Notice(notice) = message {
                sender.send(format!("{}: {}", notice.severity(), notice.message())).unwrap();
            }
        }
    });
    for on_error in ["skip", "quarantine"] {
        let sql = format!(
            "CREATE EXTERNAL TABLE {on_error} (id int, name string) STORED AS CSV LOCATION '{}'
             TBLPROPERTIES ('limnos.on_error' = '{on_error}', 'skip.header.line.count' = '1')",
            path.display()
        );
        rows(&client, &sql).await.unwrap();
    }
    assert_eq!(one(&client, "SELECT count(*) FROM skip").await, "3");
    assert_eq!(told.recv().await.unwrap(), "WARNING: 2 of 5 rows of table \"default.skip\" were left out as wrong");
    let plan = rows(&client, "EXPLAIN ANALYZE SELECT name FROM quarantine").await.unwrap();
    let plan: Vec<String> = plan.into_iter().filter_map(|row| row[0].clone()).collect();
    assert!(plan.contains(&"  Rows: 3, rejects: 2, ignored: 2".to_owned()), "{plan:#?}");
    assert_eq!(
        told.recv().await.unwrap(),
        "WARNING: 2 of 5 rows of table \"default.quarantine\" were left out as wrong; see system.rejects"
    );
    let sums = "SELECT text_rows || ' ' || rejects FROM system.queries WHERE sql LIKE 'SELECT count(*) FROM skip%'";
    assert_eq!(one(&client, sums).await, "3 2");
    // A LIMIT ends a scan early: what was read is told, and no row twice.
    assert_eq!(rows(&client, "SELECT id FROM skip LIMIT 1").await.unwrap().len(), 1);
    assert!(told.recv().await.unwrap().starts_with("WARNING: "));
    drop(client);
    server.shutdown().await;
}
