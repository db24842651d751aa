//! The PostgreSQL protocol as clients use it: both kinds of query, portals, cancel, timeouts, transactions, settings.

use std::time::{Duration, Instant};

use futures::TryStreamExt;
use limnos_tests::server::TestServer;
use limnos_tests::{client, lake};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

/// Works for minutes unless it is stopped.
const ENDLESS: &str = "SELECT count(*) FROM generate_series(1, 1000000) AS a(x), generate_series(1, 1000000) AS b(x) WHERE a.x % 7 = b.x % 11";

async fn server_and_client() -> (TestServer, Client) {
    let server = TestServer::start(&[]).await.unwrap();
    let client = server.client().await.unwrap();
    (server, client)
}

#[tokio::test(flavor = "multi_thread")]
async fn extended_queries_take_parameters_of_many_types() {
    let (server, client) = server_and_client().await;
    let row = client.query_one("SELECT $1::int + $2::int AS sum", &[&40_i32, &2_i32]).await.unwrap();
    assert_eq!((row.get::<_, i32>(0), row.columns()[0].name()), (42, "sum"));
    let row = client
        .query_one(
            "SELECT $1::bigint, $2::text, $3::boolean, $4::double precision, $5::smallint, $6::real, $7::bytea, $8::text",
            &[&i64::MAX, &"it's", &true, &0.1_f64, &7_i16, &1.5_f32, &&[0_u8, 255][..], &None::<&str>],
        )
        .await
        .unwrap();
    assert_eq!(row.get::<_, i64>(0), i64::MAX);
    assert_eq!(row.get::<_, &str>(1), "it's");
    assert!(row.get::<_, bool>(2));
    assert!((row.get::<_, f64>(3) - 0.1).abs() < f64::EPSILON);
    assert_eq!(row.get::<_, i16>(4), 7);
    assert!((row.get::<_, f32>(5) - 1.5).abs() < f32::EPSILON);
    assert_eq!(row.get::<_, &[u8]>(6), [0, 255]);
    assert_eq!(row.get::<_, Option<&str>>(7), None);

    // Types are inferred from where a parameter stands.
    let statement = client
        .prepare("SELECT x FROM (VALUES (1, 'a'), (2, 'b')) AS t(x, y) WHERE y = $1 AND x > $2 LIMIT $3")
        .await
        .unwrap();
    let names: Vec<&str> = statement.params().iter().map(Type::name).collect();
    assert!(matches!(names[0], "text" | "varchar"), "{names:?}");
    assert!(matches!(names[1], "int4" | "int8"), "{names:?}");
    assert_eq!(names[2], "int8", "{names:?}");
    // One statement, many executions.
    let statement = client.prepare("SELECT $1::int * 2").await.unwrap();
    for number in 0..50_i32 {
        let row = client.query_one(&statement, &[&number]).await.unwrap();
        assert_eq!(row.get::<_, i32>(0), number * 2);
    }
    // A parameter is data, whatever it says.
    let hostile = "'; DROP TABLE x; --";
    let row = client.query_one("SELECT $1::text", &[&hostile]).await.unwrap();
    assert_eq!(row.get::<_, &str>(0), hostile);
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_in_an_extended_query_leaves_the_session_usable() {
    let (server, client) = server_and_client().await;
    for _ in 0..3 {
        let error = client.query("SELECT 10::int / $1::int", &[&0_i32]).await.unwrap_err();
        client::check_error(&error, "22012", "division by zero").unwrap();
        let error = client.prepare("SELECT nope").await.unwrap_err();
        client::check_error(&error, "42703", "nope").unwrap();
        let error = client.query("SELECT $1::int", &[&"not what was declared"]).await.unwrap_err();
        assert!(error.as_db_error().is_none(), "refused by the client: {error:?}");
        let row = client.query_one("SELECT 10::int / $1::int", &[&5_i32]).await.unwrap();
        assert_eq!(row.get::<_, i32>(0), 2);
    }
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn portals_hand_out_rows_in_portions() {
    let (server, mut client) = server_and_client().await;
    let transaction = client.transaction().await.unwrap();
    let portal = transaction.bind("SELECT g FROM generate_series(1, 10) AS s(g) ORDER BY 1", &[]).await.unwrap();
    let mut portions = Vec::new();
    loop {
        let rows = transaction.query_portal(&portal, 4).await.unwrap();
        if rows.is_empty() {
            break;
        }
        portions.push(rows.iter().map(|row| row.get::<_, i32>(0)).collect::<Vec<_>>());
    }
    assert_eq!(portions, [vec![1, 2, 3, 4], vec![5, 6, 7, 8], vec![9, 10]]);
    // Two at once, turn by turn.
    let first = transaction.bind("SELECT g FROM generate_series(1, 100000) AS s(g)", &[]).await.unwrap();
    let second = transaction.bind("SELECT -g FROM generate_series(1, 100000) AS s(g)", &[]).await.unwrap();
    for _ in 0..3 {
        assert_eq!(transaction.query_portal(&first, 10).await.unwrap().len(), 10);
        assert_eq!(transaction.query_portal(&second, 10).await.unwrap().len(), 10);
    }
    transaction.rollback().await.unwrap();
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_statements_in_one_text_stop_at_the_first_error() {
    let (server, client) = server_and_client().await;
    let messages = client.simple_query("SELECT 1; SELECT 2, 3; ; SET application_name = 'x'").await.unwrap();
    let rows = messages.iter().filter(|message| matches!(message, SimpleQueryMessage::Row(_))).count();
    let done = messages.iter().filter(|message| matches!(message, SimpleQueryMessage::CommandComplete(_))).count();
    assert_eq!((rows, done), (2, 3));
    let error = client
        .simple_query("SET application_name = 'before'; SELECT 1 / 0; SET application_name = 'after'")
        .await
        .unwrap_err();
    client::check_error(&error, "22012", "division by zero").unwrap();
    let name = client::value(&client, "SHOW application_name").await.unwrap();
    assert_ne!(name.as_deref(), Some("after"));
    // EmptyQueryResponse, which tokio-postgres shows as the end of a command without rows.
    for nothing in ["", " ; -- nothing\n"] {
        let messages = client.simple_query(nothing).await.unwrap();
        assert!(matches!(messages.as_slice(), [SimpleQueryMessage::CommandComplete(0)]), "{messages:?}");
    }
    let error = client.prepare("SELECT 1; SELECT 2").await.unwrap_err();
    client::check_error(&error, "42601", "multiple").unwrap();
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_count_rows() {
    let (server, client) = server_and_client().await;
    let messages = client.simple_query("SELECT * FROM generate_series(1, 12345)").await.unwrap();
    let Some(SimpleQueryMessage::CommandComplete(count)) = messages.last() else { panic!("{messages:?}") };
    assert_eq!(*count, 12_345);
    assert_eq!(client.execute("SELECT * FROM generate_series(1, 7)", &[]).await.unwrap(), 7);
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancel_stops_a_query_that_computes_and_one_that_streams() {
    let (server, client) = server_and_client().await;
    let token = client.cancel_token();
    let later = async |after: u64| {
        tokio::time::sleep(Duration::from_millis(after)).await;
        let at = Instant::now();
        token.cancel_query(NoTls).await.unwrap();
        at
    };
    let (result, cancelled_at) = tokio::join!(client.simple_query(ENDLESS), later(500));
    client::check_error(&result.unwrap_err(), "57014", "user request").unwrap();
    assert!(cancelled_at.elapsed() < Duration::from_secs(3), "{:?}", cancelled_at.elapsed());
    assert_eq!(client::value(&client, "SELECT 1").await.unwrap().as_deref(), Some("1"));

    // While rows are on their way, in the extended protocol.
    let drain = async {
        let rows = client
            .query_raw("SELECT g, repeat('x', 100) FROM generate_series(1, 2000000000) AS s(g)", Vec::<i32>::new())
            .await?;
        let mut rows = std::pin::pin!(rows);
        let mut count = 0_u64;
        while rows.try_next().await?.is_some() {
            count += 1;
        }
        Ok::<u64, tokio_postgres::Error>(count)
    };
    let (result, cancelled_at) = tokio::join!(drain, later(700));
    client::check_error(&result.unwrap_err(), "57014", "user request").unwrap();
    assert!(cancelled_at.elapsed() < Duration::from_secs(3), "{:?}", cancelled_at.elapsed());
    assert_eq!(client::value(&client, "SELECT 1").await.unwrap().as_deref(), Some("1"));

    // With nothing running, a cancel is not kept for the next query.
    token.cancel_query(NoTls).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(client::value(&client, "SELECT 1").await.unwrap().as_deref(), Some("1"));
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_with_a_wrong_key_cancels_nothing() {
    let (server, client) = server_and_client().await;
    let pid: i32 = client::value(&client, "SELECT pg_backend_pid()").await.unwrap().unwrap().parse().unwrap();
    let guess = async {
        for key in 0..50_i32 {
            let mut socket = tokio::net::TcpStream::connect(server.pg_address()).await.unwrap();
            let mut request = Vec::new();
            for word in [16, 80_877_102, pid, key] {
                request.extend_from_slice(&word.to_be_bytes());
            }
            socket.write_all(&request).await.unwrap();
            let mut answer = Vec::new();
            // The server says nothing, right or wrong, and closes.
            let _closed = socket.read_to_end(&mut answer).await;
            assert!(answer.is_empty(), "{answer:?}");
        }
    };
    let query = client::value(
        &client,
        "SELECT count(*) FROM generate_series(1, 20000) AS a(x), generate_series(1, 10000) AS b(x) WHERE a.x % 7 = b.x % 11",
    );
    let (answer, ()) = tokio::join!(query, guess);
    assert!(answer.unwrap().is_some());
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn statement_timeout_ends_a_statement_and_nothing_else() {
    let (server, client) = server_and_client().await;
    // Long enough for the SET that ends it, on a busy machine.
    client::rows(&client, "SET statement_timeout = '2s'").await.unwrap();
    client::fails(&client, ENDLESS, "57014", "statement timeout").await.unwrap();
    client::rows(&client, "SET statement_timeout = 0").await.unwrap();
    assert_eq!(client::value(&client, "SELECT 1").await.unwrap().as_deref(), Some("1"));
    assert_eq!(client::value(&client, "SHOW statement_timeout").await.unwrap().as_deref(), Some("0"));
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_transaction_waits_for_rollback() {
    let (server, client) = server_and_client().await;
    client::rows(&client, "BEGIN").await.unwrap();
    client::fails(&client, "SELECT 1 / 0", "22012", "division by zero").await.unwrap();
    client::fails(&client, "SELECT 1", "25P02", "transaction").await.unwrap();
    let error = client.query("SELECT 1", &[]).await.unwrap_err();
    client::check_error(&error, "25P02", "transaction").unwrap();
    // COMMIT of a failed transaction is a rollback.
    client::rows(&client, "COMMIT").await.unwrap();
    assert_eq!(client::value(&client, "SELECT 1").await.unwrap().as_deref(), Some("1"));
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_sees_one_catalog() {
    let folder = lake::slt_lake().unwrap();
    let server = TestServer::start(&[folder.path()]).await.unwrap();
    let (reader, writer) = (server.client().await.unwrap(), server.client().await.unwrap());
    let location = folder.path().join("wide").display().to_string();
    let create =
        |name: &str| format!("CREATE EXTERNAL TABLE {name} (id bigint) STORED AS PARQUET LOCATION '{location}'");
    client::rows(&writer, &create("early")).await.unwrap();
    client::rows(&reader, "BEGIN; SELECT 1").await.unwrap();
    client::rows(&writer, &create("late")).await.unwrap();
    client::rows(&writer, "DROP TABLE early").await.unwrap();
    let count = client::value(&reader, "SELECT count(*) FROM early").await.unwrap();
    assert_eq!(count.as_deref(), Some("10000"));
    client::fails(&reader, "SELECT count(*) FROM late", "42P01", "late").await.unwrap();
    client::rows(&reader, "ROLLBACK").await.unwrap();
    client::fails(&reader, "SELECT count(*) FROM early", "42P01", "early").await.unwrap();
    let count = client::value(&reader, "SELECT count(*) FROM late").await.unwrap();
    assert_eq!(count.as_deref(), Some("10000"));
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn start_up_settings_hold() {
    let server = TestServer::start(&[]).await.unwrap();
    let mut config = client::config(server.pg_address());
    config.options("-c statement_timeout=1234 -c TimeZone=Europe/Berlin").application_name("my tool");
    let client = client::connect(&config).await.unwrap();
    for (name, value) in
        [("statement_timeout", "1234ms"), ("TimeZone", "Europe/Berlin"), ("application_name", "my tool")]
    {
        let shown = client::value(&client, &format!("SHOW {name}")).await.unwrap();
        assert_eq!(shown.as_deref(), Some(value), "{name}");
    }
    let mut wrong = client::config(server.pg_address());
    wrong.options("-c nosuch_setting=1");
    let error = client::connect(&wrong).await.err().unwrap();
    client::check_error(&error, "42704", "nosuch_setting").unwrap();
    server.shutdown().await;
}
