//! Connections as a resource: how many, how long, how fast, and what one costs that does nothing.
#![allow(clippy::print_stderr, reason = "figures for whoever looks")]

use std::time::Duration;

use limnos_server::auth::{AuthMethod, Users};
use limnos_tests::client;
use limnos_tests::process::ServerProcess;
use limnos_tests::server::TestServer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test(flavor = "multi_thread")]
async fn the_last_connections_are_for_superusers() {
    let server = TestServer::start_with(&[], |options| {
        options.max_connections = 3;
        options.superuser_reserved_connections = 1;
    })
    .await
    .unwrap();
    // As long as there are no roles, whoever comes is a superuser.
    let owner = server.client().await.unwrap();
    client::rows(&owner, "CREATE ROLE ann LOGIN").await.unwrap();
    drop(owner);
    let as_user = |user: &str| {
        let mut config = client::config(server.pg_address());
        config.user(user);
        config
    };
    // The place of who has gone is free once the server has seen it.
    let ann = async || {
        for _ in 0..200 {
            if let Ok(client) = client::connect(&as_user("ann")).await {
                return client;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("no place has become free");
    };
    let held = [ann().await, ann().await];
    let error = client::connect(&as_user("ann")).await.err().unwrap();
    client::check_error(&error, "53300", "remaining connection slots are reserved").unwrap();
    let super_user = client::connect(&as_user("limnos")).await.unwrap();
    let error = client::connect(&as_user("limnos")).await.err().unwrap();
    client::check_error(&error, "53300", "sorry, too many clients already").unwrap();
    drop((held, super_user));
    // The places are free once the server has seen them go.
    ann().await;
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_at_once_are_let_in_or_told() {
    let server = TestServer::start_with(&[], |options| {
        options.auth = AuthMethod::ScramSha256;
        options.users = Users::from_secrets([("limnos", "secret")]).unwrap();
        options.max_connections = 400;
        options.authentication_timeout = Duration::from_secs(60);
    })
    .await
    .unwrap();
    let mut config = client::config(server.pg_address());
    config.password("secret");
    let storm = futures::future::join_all((0..500).map(|_| {
        let config = config.clone();
        tokio::spawn(async move { client::connect(&config).await })
    }));
    let (mut held, mut told) = (Vec::new(), 0);
    for outcome in storm.await {
        match outcome.unwrap() {
            Ok(client) => held.push(client),
            Err(error) => {
                client::check_error(&error, "53300", "too many clients").unwrap();
                told += 1;
            }
        }
    }
    assert_eq!((held.len(), told), (400, 100));
    for client in &held {
        assert_eq!(client::value(client, "SHOW application_name").await.unwrap().as_deref(), Some("limnos-tests"));
    }
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_sessions_end_when_they_are_told_to() {
    let server = TestServer::start(&[]).await.unwrap();
    for (set, sqlstate, named) in [
        ("SET idle_session_timeout = '300ms'", "57P05", "idle-session timeout"),
        ("SET idle_in_transaction_session_timeout = '300ms'; BEGIN", "25P03", "idle-in-transaction timeout"),
    ] {
        let (client, connection) = client::config(server.pg_address()).connect(tokio_postgres::NoTls).await.unwrap();
        let ended = tokio::spawn(connection);
        client::rows(&client, set).await.unwrap();
        let error = tokio::time::timeout(Duration::from_secs(20), ended).await.unwrap().unwrap().unwrap_err();
        client::check_error(&error, sqlstate, named).unwrap();
    }
    // Neither is about a session that works, nor the one in a transaction about one outside.
    let client = server.client().await.unwrap();
    client::rows(&client, "SET idle_in_transaction_session_timeout = '100ms'").await.unwrap();
    tokio::time::sleep(Duration::from_millis(400)).await;
    client::rows(&client, "SET idle_session_timeout = '1s'; SELECT pg_sleep(1.5)").await.unwrap();
    server.shutdown().await;
}

/// 200 sockets that never finish logging in: they are shed, and nobody else waits for them.
#[tokio::test(flavor = "multi_thread")]
async fn peers_that_never_log_in_are_shed() {
    let server =
        TestServer::start_with(&[], |options| options.authentication_timeout = Duration::from_secs(2)).await.unwrap();
    let mut sockets = Vec::new();
    for number in 0..200 {
        let mut socket = TcpStream::connect(server.pg_address()).await.unwrap();
        // Nothing, half a packet, or a byte now and then.
        match number % 3 {
            0 => {}
            1 => socket.write_all(&[0, 0, 0, 60, 0, 3, 0, 0, b'u']).await.unwrap(),
            _ => socket.write_all(&[0]).await.unwrap(),
        }
        sockets.push(socket);
    }
    for _ in 0..5 {
        server.client().await.unwrap();
    }
    for (number, socket) in sockets.iter_mut().enumerate() {
        let mut answer = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(20), socket.read_to_end(&mut answer)).await;
        let _closed = read.unwrap_or_else(|_| panic!("socket {number} stays open"));
    }
    server.shutdown().await;
}

fn startup() -> Vec<u8> {
    let body = [&196_608_i32.to_be_bytes()[..], b"user\0limnos\0database\0lake\0\0"].concat();
    [&u32::try_from(body.len() + 4).unwrap().to_be_bytes()[..], &body].concat()
}

/// Logs in and reads up to ReadyForQuery.
async fn idle_socket(address: std::net::SocketAddr) -> TcpStream {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(&startup()).await.unwrap();
    until_ready(&mut socket).await;
    socket
}

async fn until_ready(socket: &mut TcpStream) {
    loop {
        let kind = socket.read_u8().await.unwrap();
        let length = socket.read_u32().await.unwrap();
        let mut body = vec![0; length as usize - 4];
        socket.read_exact(&mut body).await.unwrap();
        if kind == b'Z' {
            return;
        }
    }
}

/// Files that this process may open: two for each connection when the server is a child, one when it isn't.
fn open_files() -> usize {
    let text = std::fs::read_to_string("/proc/self/limits").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap_or(1024)
}

/// What an idle session holds, after it has had a large answer, too: no buffers.
#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_cost_little() {
    let (data_dir, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = ServerProcess::start(data_dir.path(), root.path(), None).unwrap();
    let count = 2_000.min(open_files().saturating_sub(200));
    // What the first sessions make grow once is nobody's in particular.
    let mut sockets = Vec::new();
    for _ in 0..50 {
        sockets.push(idle_socket(server.pg_address()).await);
    }
    let before = server.resident_bytes().unwrap();
    for _ in 0..count {
        sockets.push(idle_socket(server.pg_address()).await);
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let each = server.resident_bytes().unwrap().saturating_sub(before) / count as u64;
    eprintln!("{count} idle connections: {each} bytes each");
    assert!(each < 16 << 10, "{each} bytes each");

    // SELECT repeat('x', 1000000): a megabyte in the output buffer, for a moment.
    let query = b"SELECT repeat('x', 1000000)\0";
    let message = [&[b'Q'][..], &u32::try_from(query.len() + 4).unwrap().to_be_bytes(), query].concat();
    // Half of them for what grows once.
    let (first, busy) = (100, 200);
    let mut before = 0;
    for (number, socket) in sockets[..first + busy].iter_mut().enumerate() {
        if number == first {
            before = server.resident_bytes().unwrap();
        }
        socket.write_all(&message).await.unwrap();
        until_ready(socket).await;
    }
    let more = server.resident_bytes().unwrap().saturating_sub(before) / busy as u64;
    eprintln!("after an answer of 1 MB: {more} bytes more each");
    assert!(more < 100 << 10, "{more} bytes more each");
    server.client().await.unwrap();
}
