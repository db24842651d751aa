//! The same messages to a PostgreSQL and to Limnos: message types, tags, SQLSTATEs, values and status bytes must be the
//! same, so that what is expected is asked, not guessed. The scripts are in `conformance/`. Where no PostgreSQL is installed
//! the test is skipped, and says so.

use std::net::SocketAddr;

use limnos_test_postgres::PostgresServer;
use limnos_tests::client;
use limnos_tests::messages::{Messages, cancel, run, scripts};
use limnos_tests::server::TestServer;

async fn check(scripts_text: &str) {
    let Some(postgres) = tokio::task::spawn_blocking(PostgresServer::start).await.unwrap() else { return };
    let postgres_address = SocketAddr::from(([127, 0, 0, 1], postgres.port()));
    let server = TestServer::start(&[]).await.unwrap();
    let mut different = Vec::new();
    for script in scripts(scripts_text) {
        let expected = run(postgres_address, "postgres", &script).await.unwrap();
        let actual = run(server.pg_address(), "lake", &script).await.unwrap();
        if expected != actual {
            let at = expected.iter().zip(&actual).take_while(|(expected, actual)| expected == actual).count();
            let part = |answers: &[String]| {
                answers[at.saturating_sub(3).min(answers.len())..]
                    .iter()
                    .take(8)
                    .cloned()
                    .collect::<Vec<_>>()
                    .join("\n  ")
            };
            let (expected, actual) = (part(&expected), part(&actual));
            different.push(format!("{}, answer {at}: expected\n  {expected}\nnot\n  {actual}", script.name));
        }
    }
    server.shutdown().await;
    tokio::task::spawn_blocking(move || drop(postgres)).await.unwrap();
    assert!(different.is_empty(), "{}", different.join("\n\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn cursors_answer_as_postgresqls() {
    check(include_str!("conformance/cursors.txt")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_answered_as_postgresql_does() {
    check(include_str!("conformance/messages.txt")).await;
}

/// Rows without end, one after the other.
/// Of bigints, which come as they are and so in their order; integers are computed from them, on all cores.
const ENDLESS: &str = "SELECT x FROM generate_series(1, 10000000000) AS g(x)";

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_reaches_a_fetch_and_not_the_cursor_that_waits() {
    let server = TestServer::start(&[]).await.unwrap();
    let address = server.pg_address();
    let mut wire = Messages::connect(address, "lake").await.unwrap();
    let key = wire.key.clone();
    for line in ["Query BEGIN", &format!("Query DECLARE c CURSOR FOR {ENDLESS}"), "Query FETCH 3 FROM c"] {
        wire.send(line).await.unwrap();
        assert_eq!(wire.answers().await.unwrap().last().unwrap(), "ReadyForQuery T");
    }
    // Nothing runs now, so nothing is cancelled.
    cancel(address, &key).await.unwrap();
    wire.send("Query FETCH 1 FROM c").await.unwrap();
    let answers = wire.answers().await.unwrap();
    assert!(answers.contains(&"DataRow 4".to_owned()), "{answers:?}");
    // MOVE ALL says nothing until its end, which never comes.
    wire.send("Query MOVE ALL FROM c").await.unwrap();
    let canceled = async {
        loop {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            cancel(address, &key).await.unwrap();
        }
    };
    let answers = tokio::select! {
        answers = wire.answers() => answers.unwrap(),
        () = canceled => unreachable!("it never ends"),
    };
    assert_eq!(answers, ["Error ERROR 57014", "ReadyForQuery E"]);
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_may_cancel_and_end_its_own_connections() {
    let server = TestServer::start(&[]).await.unwrap();
    let client = server.client().await.unwrap();
    let mut wire = Messages::connect(server.pg_address(), "lake").await.unwrap();
    let pid = i32::from_be_bytes(wire.key[..4].try_into().unwrap());
    let state = format!("SELECT state, query FROM pg_stat_activity WHERE pid = {pid}");
    wire.send("Query BEGIN").await.unwrap();
    wire.answers().await.unwrap();
    let row = |state: &str, query: &str| vec![vec![Some(state.to_owned()), Some(query.to_owned())]];
    assert_eq!(client::rows(&client, &state).await.unwrap(), row("idle in transaction", "BEGIN"));
    // In a loop, since nothing says when the statement has begun.
    wire.send("Query SELECT pg_sleep(3600)").await.unwrap();
    let again_and_again = async |sql: String| -> () {
        loop {
            assert_eq!(client::value(&client, &sql).await.unwrap().as_deref(), Some("t"));
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    let canceled = tokio::select! {
        answers = wire.answers() => answers.unwrap(),
        () = again_and_again(format!("SELECT pg_cancel_backend({pid})")) => unreachable!("it never ends"),
    };
    // Its columns are told when it begins to run, and a cancel may come before or after that.
    let canceled = match canceled.split_first() {
        Some((first, rest)) if first.starts_with("RowDescription ") => rest.to_vec(),
        _ => canceled,
    };
    assert_eq!(canceled, ["Error ERROR 57014", "ReadyForQuery E"]);
    wire.send("Query ROLLBACK").await.unwrap();
    wire.answers().await.unwrap();
    let ended = client::value(&client, &format!("SELECT pg_terminate_backend({pid})")).await.unwrap();
    assert_eq!(ended.as_deref(), Some("t"));
    assert_eq!(wire.answers().await.unwrap(), ["Error FATAL 57P01"]);
    let gone = client::value(&client, "SELECT pg_cancel_backend(2147483647)").await.unwrap();
    assert_eq!(gone.as_deref(), Some("f"));
    client::fails(&client, &format!("SELECT pg_terminate_backend({pid}, -1)"), "22003", "timeout").await.unwrap();
    server.shutdown().await;
}
