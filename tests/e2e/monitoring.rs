//! `/healthz`, `/metrics` and `system.queries`: what an operator sees.

use std::net::SocketAddr;

use limnos_tests::client;
use limnos_tests::server::TestServer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A plain GET: the status and the body.
async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split_whitespace().nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// The value of a metric without labels, or the sum over its labels.
fn metric(text: &str, name: &str) -> f64 {
    let values: Vec<f64> = text
        .lines()
        .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])))
        .map(|line| line.rsplit_once(' ').unwrap().1.parse().unwrap())
        .collect();
    assert!(!values.is_empty(), "no {name} in\n{text}");
    values.iter().sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_metrics_are_served() {
    let server = TestServer::start(&[]).await.unwrap();
    let (status, body) = get(server.http_address(), "/healthz").await;
    assert_eq!(status, 200, "{body}");
    let (status, before) = get(server.http_address(), "/metrics").await;
    assert_eq!(status, 200);
    // Every metric says what it is.
    for line in before.lines().filter(|line| line.starts_with("# TYPE ")) {
        let name = line.split_whitespace().nth(2).unwrap();
        assert!(before.contains(&format!("# HELP {name} ")), "{name} has no help");
    }
    let client = server.client().await.unwrap();
    client::rows(&client, "SELECT 1; SELECT 2").await.unwrap();
    client::fails(&client, "SELECT 1 / 0", "22012", "zero").await.unwrap();
    let (_, after) = get(server.http_address(), "/metrics").await;
    let grown = metric(&after, "limnos_queries_total") - metric(&before, "limnos_queries_total");
    assert!((grown - 3.0).abs() < 0.5, "{grown} in\n{after}");
    let (status, _) = get(server.http_address(), "/nosuch").await;
    assert_eq!(status, 404);
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn system_queries_lists_what_ran_and_what_runs() {
    let server = TestServer::start(&[]).await.unwrap();
    let (client, other) = (server.client().await.unwrap(), server.client().await.unwrap());
    client::rows(&client, "SELECT 'marker one' FROM generate_series(1, 3)").await.unwrap();
    client::fails(&client, "SELECT 'marker two', 1 / 0", "22012", "zero").await.unwrap();
    let cancel = other.cancel_token();
    let endless = "SELECT 'marker three', count(*) FROM generate_series(1, 1000000) AS a(x), generate_series(1, 1000000) AS b(x) WHERE a.x % 7 = b.x % 11";
    let look = async {
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        let sql = "SELECT user_name, state FROM system.queries WHERE sql LIKE 'SELECT ''marker three%'";
        let rows = client::rows(&client, sql).await.unwrap();
        assert_eq!(rows, [[Some("limnos".to_owned()), Some("RUNNING".to_owned())]]);
        cancel.cancel_query(tokio_postgres::NoTls).await.unwrap();
    };
    let (ended, ()) = tokio::join!(other.simple_query(endless), look);
    assert!(ended.is_err());
    let sql = "SELECT state, rows, error FROM system.queries WHERE sql LIKE 'SELECT ''marker%' ORDER BY sql";
    let rows = client::rows(&client, sql).await.unwrap();
    let text = |at: (usize, usize)| rows[at.0][at.1].clone().unwrap_or_default();
    assert_eq!(rows.len(), 3, "{rows:?}");
    assert_eq!((text((0, 0)).as_str(), text((0, 1)).as_str()), ("SUCCEEDED", "3"), "{rows:?}");
    assert_eq!(text((1, 0)), "CANCELLED", "{rows:?}");
    assert_eq!(text((2, 0)), "FAILED", "{rows:?}");
    assert!(text((2, 2)).contains("division by zero"), "{rows:?}");
    server.shutdown().await;
}
