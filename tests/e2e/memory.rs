//! Bounded memory: a query over its limit fails alone, and a result of any size passes through without being held.
//!
//! In processes of their own: what is watched is a process's memory, and other tests' servers would be blamed for it.

use futures::TryStreamExt;
use limnos_tests::client;
use limnos_tests::process::ServerProcess;

const MIB: u64 = 1 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_query_over_the_limit_fails_alone() {
    let (data_dir, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = ServerProcess::start(data_dir.path(), root.path(), Some(64 * MIB)).unwrap();
    let client = server.client().await.unwrap();
    let other = server.client().await.unwrap();
    // Arrays can't spill.
    let greedy = "SELECT cardinality(array_agg(repeat('x', 100) || g)) FROM generate_series(1, 20000000) AS s(g)";
    for _ in 0..2 {
        let (failed, answered) = tokio::join!(
            client::fails(&client, greedy, "53200", "memory"),
            client::value(&other, "SELECT sum(g) FROM generate_series(1, 1000) AS s(g)")
        );
        failed.unwrap();
        assert_eq!(answered.unwrap().as_deref(), Some("500500"));
        assert_eq!(client::value(&client, "SELECT 1").await.unwrap().as_deref(), Some("1"));
    }
    server.kill().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn sorting_more_than_the_limit_spills() {
    let (data_dir, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = ServerProcess::start(data_dir.path(), root.path(), Some(512 * MIB)).unwrap();
    let client = server.client().await.unwrap();
    // Some 550 MB to sort in 256, half of what all queries may have.
    // FIXME: in 128 it fails with 53200 at times: batches of text views that come out of a sort share their buffers, and
    // DataFusion counts all of the buffers for each of the batches that it merges.
    let sql = "SELECT count(*), max(n) FROM (SELECT row_number() OVER (ORDER BY t) AS n FROM (
                 SELECT md5(g::text) || repeat('x', 60) AS t FROM generate_series(1, 6000000) AS s(g)) AS a) AS b";
    let rows = client::rows(&client, sql).await.unwrap();
    assert_eq!(rows, [[Some("6000000".to_owned()), Some("6000000".to_owned())]]);
    let spilled = client::value(&client, "SELECT max(spilled_bytes) > 100000000 FROM system.queries").await.unwrap();
    assert_eq!(spilled.as_deref(), Some("t"), "what was spilled is counted");
    server.kill().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_of_five_million_rows_passes_through() {
    let (data_dir, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = ServerProcess::start(data_dir.path(), root.path(), None).unwrap();
    let client = server.client().await.unwrap();
    // Warm: what a first query loads is not the result's.
    client::rows(&client, "SELECT count(*) FROM generate_series(1, 100000)").await.unwrap();
    let before = server.resident_bytes().unwrap();
    // About 600 MB as text.
    let rows = client
        .simple_query_raw("SELECT g, md5(g::text), repeat('y', 80) FROM generate_series(1, 5000000) AS s(g)")
        .await
        .unwrap();
    let mut rows = std::pin::pin!(rows);
    let mut count = 0_u64;
    while let Some(message) = rows.try_next().await.unwrap() {
        count += u64::from(matches!(message, tokio_postgres::SimpleQueryMessage::Row(_)));
    }
    assert_eq!(count, 5_000_000);
    let grown = server.peak_resident_bytes().unwrap().saturating_sub(before);
    assert!(grown < 150 * MIB, "the server grew by {} MiB", grown / MIB);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_is_not_buffered_for() {
    let (data_dir, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = ServerProcess::start(data_dir.path(), root.path(), None).unwrap();
    let client = server.client().await.unwrap();
    client::rows(&client, "SELECT count(*) FROM generate_series(1, 100000)").await.unwrap();
    let before = server.resident_bytes().unwrap();
    let mut slow = Vec::new();
    for _ in 0..4 {
        slow.push(stalled_reader(&server).await);
    }
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    let grown = server.resident_bytes().unwrap().saturating_sub(before);
    assert!(grown < 300 * MIB, "the server grew by {} MiB", grown / MIB);
    // Others are served meanwhile.
    assert_eq!(client::value(&client, "SELECT 1").await.unwrap().as_deref(), Some("1"));
}

/// A connection that asks for a gigabyte and reads none of it.
async fn stalled_reader(server: &ServerProcess) -> tokio::net::TcpStream {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut socket = tokio::net::TcpStream::connect(server.pg_address()).await.unwrap();
    let mut start = 196_608_i32.to_be_bytes().to_vec();
    start.extend_from_slice(b"user\0limnos\0database\0lake\0\0");
    let mut message = i32::try_from(start.len() + 4).unwrap().to_be_bytes().to_vec();
    message.extend_from_slice(&start);
    socket.write_all(&message).await.unwrap();
    // Up to ReadyForQuery: its type byte, its length, and the idle state.
    let mut seen = Vec::new();
    while !seen.ends_with(b"Z\0\0\0\x05I") {
        let mut buffer = [0; 1024];
        let count = socket.read(&mut buffer).await.unwrap();
        assert!(count > 0, "{seen:?}");
        seen.extend_from_slice(&buffer[..count]);
    }
    let sql = b"SELECT repeat('z', 1000) FROM generate_series(1, 1000000)\0";
    let mut query = vec![b'Q'];
    query.extend_from_slice(&i32::try_from(sql.len() + 4).unwrap().to_be_bytes());
    query.extend_from_slice(sql);
    socket.write_all(&query).await.unwrap();
    socket
}
