//! Reports: whole files or none, whenever the server dies, on disk and in a bucket; and messages that arrive.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use limnos_server::deliver::webhook::signature;
use limnos_server::deliver::{SmtpOptions, SmtpTls, WebhookOptions};
use limnos_tests::client;
use limnos_tests::process::ServerProcess;
use limnos_tests::s3::S3Server;
use limnos_tests::server::TestServer;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio_postgres::Client;

/// How long anything here may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The names that a listing of a table would show: what is being written begins with a dot.
fn seen(folder: &Path) -> Vec<String> {
    names(folder).into_iter().filter(|name| !name.starts_with('.')).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_moment_leaves_whole_files_or_none() {
    let (data_dir, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let out = root.path().join("out");
    std::fs::create_dir(&out).unwrap();
    let rows = 50_000;
    let report = format!(
        "CREATE OR REPLACE REPORT big TO '{0}/big.csv', '{0}/big.parquet', '{0}/big.html', '{0}/big.xlsx' AS \
         SELECT x AS id, md5(x::text) AS hash FROM generate_series(1, {rows}) AS g(x)",
        out.display()
    );
    let mut interrupted = 0;
    for round in 0..6_u64 {
        let server = ServerProcess::start(data_dir.path(), root.path(), None).unwrap();
        let connection = server.client().await.unwrap();
        connection.simple_query(&report).await.unwrap();
        let running = tokio::spawn(async move {
            let done = connection.simple_query("RUN REPORT big AT '2026-01-01 08:00Z'").await;
            drop(done);
        });
        // Another moment in each round, through the query, the writing and the placing of files.
        tokio::time::sleep(Duration::from_millis(60 + 350 * round)).await;
        server.kill().unwrap();
        running.await.unwrap();
        for name in seen(&out) {
            let bytes = std::fs::read(out.join(&name)).unwrap();
            let is_whole = match name.rsplit('.').next().unwrap() {
                "csv" => bytes.iter().filter(|byte| **byte == b'\n').count() == rows + 1,
                "parquet" => bytes.ends_with(b"PAR1"),
                "html" => bytes.ends_with(b"</html>\n"),
                "xlsx" => bytes.windows(4).rev().take(66_000).any(|window| window == b"PK\x05\x06"),
                other => panic!("nobody writes {other}: {name}"),
            };
            assert!(is_whole, "round {round}: {name} has {} bytes", bytes.len());
        }
    }
    let server = ServerProcess::start(data_dir.path(), root.path(), None).unwrap();
    let connection = server.client().await.unwrap();
    for row in client::rows(&connection, "SELECT state, message FROM system.report_runs").await.unwrap() {
        match row[0].as_deref() {
            Some("FAILED") => {
                assert!(row[1].as_deref().unwrap().starts_with("interrupted"), "{row:?}");
                interrupted += 1;
            }
            state => assert_eq!(state, Some("SUCCEEDED")),
        }
    }
    assert!(interrupted > 0, "no kill came while a report ran");
    connection.simple_query("RUN REPORT big AT '2026-01-01 08:00Z'").await.unwrap();
    assert_eq!(seen(&out), ["big.csv", "big.html", "big.parquet", "big.xlsx"]);
    let sql = format!("SELECT count(*), count(DISTINCT id) FROM '{}/big.parquet'", out.display());
    let count = Some(rows.to_string());
    assert_eq!(client::rows(&connection, &sql).await.unwrap(), [[count.clone(), count]]);
    assert_eq!(server.panics(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_is_told_beside_the_missing_file_until_the_next_success() {
    let root = tempfile::tempdir().unwrap();
    let server = TestServer::start(&[root.path()]).await.unwrap();
    let connection = server.client().await.unwrap();
    let path = root.path().display();
    let create = format!(
        "CREATE REPORT r PARAMETERS (by integer DEFAULT 0) TO '{path}/out/r-{{scheduled_date}}.csv', '{path}/out/r.xlsx' \
         AS SELECT 10 / {{{{by}}}} AS a"
    );
    connection.simple_query(&create).await.unwrap();
    client::fails(&connection, "RUN REPORT r AT '2026-01-01'", "22012", "division by zero").await.unwrap();
    let out = root.path().join("out");
    assert_eq!(names(&out), ["r-2026-01-01.csv.error.txt", "r.xlsx.error.txt"]);
    let text = std::fs::read_to_string(out.join("r.xlsx.error.txt")).unwrap();
    assert!(text.contains("ERROR: division by zero (SQLSTATE 22012)"), "{text}");
    connection.simple_query("RUN REPORT r (by => 5) AT '2026-01-01'").await.unwrap();
    assert_eq!(names(&out), ["r-2026-01-01.csv", "r.xlsx"]);
    let again = std::fs::read(out.join("r-2026-01-01.csv")).unwrap();
    connection.simple_query("RUN REPORT r (by => 5) AT '2026-01-01'").await.unwrap();
    assert_eq!(std::fs::read(out.join("r-2026-01-01.csv")).unwrap(), again);
    assert_eq!(names(&out), ["r-2026-01-01.csv", "r.xlsx"]);
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_gets_reports_too() {
    let s3 = S3Server::start("lake").await.unwrap();
    let server = TestServer::start_on_s3(&s3, "lake", &[]).await.unwrap();
    let connection = server.client().await.unwrap();
    let create = "CREATE REPORT r TO 's3://lake/out/{scheduled_time:%Y/%m}/r.csv' COMPRESSION gzip, 's3://lake/out/r.html' \
                  AS SELECT 1 AS a";
    connection.simple_query(create).await.unwrap();
    for _ in 0..2 {
        connection.simple_query("RUN REPORT r AT '2026-02-01'").await.unwrap();
    }
    let folder = s3.root().join("lake").join("out");
    assert_eq!(seen(&folder), ["2026", "r.html"]);
    assert_eq!(seen(&folder.join("2026").join("02")), ["r.csv"]);
    let bytes = std::fs::read(folder.join("2026/02/r.csv")).unwrap();
    assert_eq!(bytes[..2], [0x1f, 0x8b], "it is gzip's");
    server.shutdown().await;
}

/// Requests that a receiver has had: head and body.
type Received = Arc<Mutex<Vec<(String, String)>>>;

/// A receiver that refuses the first request and takes the others.
async fn receiver() -> (String, Received) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (url, received) = (format!("http://{}/hook", listener.local_addr().unwrap()), Received::default());
    let kept = Arc::clone(&received);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = BufReader::new(stream);
            let (mut head, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                stream.read_line(&mut line).await.unwrap();
                if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                if line.trim().is_empty() {
                    break;
                }
                head += &line;
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).await.unwrap();
            let first = {
                let mut kept = kept.lock().unwrap();
                kept.push((head, String::from_utf8(body).unwrap()));
                kept.len() == 1
            };
            let status = if first { "503 Service Unavailable" } else { "200 OK" };
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.get_mut().write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (url, received)
}

/// A server that takes letters, and those that it has taken.
async fn mailbox() -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, letters) = (listener.local_addr().unwrap().port(), Arc::<Mutex<Vec<String>>>::default());
    let kept = Arc::clone(&letters);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let kept = Arc::clone(&kept);
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                let mut letter: Option<String> = None;
                stream.get_mut().write_all(b"220 sink\r\n").await.unwrap();
                loop {
                    let mut line = String::new();
                    if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                        return;
                    }
                    let answer: &[u8] = match &mut letter {
                        Some(text) if line == ".\r\n" => {
                            kept.lock().unwrap().push(std::mem::take(text));
                            letter = None;
                            b"250 taken\r\n"
                        }
                        Some(text) => {
                            *text += &line;
                            continue;
                        }
                        None if line.starts_with("DATA") => {
                            letter = Some(String::new());
                            b"354 go on\r\n"
                        }
                        None if line.starts_with("QUIT") => b"221 bye\r\n",
                        None => b"250 ok\r\n",
                    };
                    if stream.get_mut().write_all(answer).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (port, letters)
}

/// Waits until no delivery is pending, and tells them all.
async fn delivered(connection: &Client) -> Vec<String> {
    let began = Instant::now();
    loop {
        let rows =
            client::rows(connection, "SELECT deliveries FROM system.report_runs ORDER BY started_at").await.unwrap();
        let texts: Vec<String> = rows.into_iter().map(|row| row[0].clone().unwrap()).collect();
        if !texts.iter().any(|text| text.contains("PENDING")) {
            return texts;
        }
        assert!(began.elapsed() < PATIENCE, "still pending: {texts:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_are_to_be_told_are_told() {
    let root = tempfile::tempdir().unwrap();
    let ((url, received), (port, letters)) = (receiver().await, mailbox().await);
    let server = TestServer::start_with(&[root.path()], |options| {
        let hook = WebhookOptions { url, secret: Some("s3cret".to_owned()), timeout: Duration::from_secs(20) };
        options.delivery.webhooks.insert("hook".to_owned(), hook);
        options.delivery.smtp = Some(SmtpOptions {
            host: "127.0.0.1".to_owned(),
            port,
            tls: SmtpTls::None,
            user: None,
            password: None,
            from: "Lake <lake@example.com>".to_owned(),
            attachments_max_bytes: 1 << 20,
        });
    })
    .await
    .unwrap();
    let connection = server.client().await.unwrap();
    let path = root.path().display();
    let create = format!(
        "CREATE REPORT r PARAMETERS (a varchar DEFAULT 'x') TITLE 'Sales' TO '{path}/r.csv', '{path}/r.html' \
         EMAIL TO 'boss@example.com' SUBJECT 'Sales {{scheduled_date}} {{a}}' BODY HTML \
         WEBHOOK hook, nowhere AS SELECT {{{{a}}}} AS a"
    );
    connection.simple_query(&create).await.unwrap();
    // A value can't become a line of a letter's head.
    connection.simple_query("RUN REPORT r (a => E'y\\r\\nBcc: all@example.com') AT '2026-01-01'").await.unwrap();
    let told = delivered(&connection).await;
    assert!(told[0].contains(r#""kind":"email","target":"boss@example.com","state":"DELIVERED""#), "{told:?}");
    assert!(told[0].contains(r#""target":"hook","state":"DELIVERED","attempts":2"#), "{told:?}");
    assert!(told[0].contains("webhook \\\"nowhere\\\" is not in the server's configuration"), "{told:?}");

    let requests = received.lock().unwrap().clone();
    assert_eq!(requests.len(), 2);
    let header = |head: &str, name: &str| {
        let line = head.lines().find(|line| line.to_lowercase().starts_with(name)).unwrap();
        line.split_once(": ").unwrap().1.to_owned()
    };
    for (head, body) in &requests {
        let signed = header(head, "limnos-signature:");
        let at = signed.strip_prefix("t=").unwrap().split_once(',').unwrap().0.parse().unwrap();
        assert_eq!(signed, signature(b"s3cret", at, body));
        assert!(body.contains(r#""event":"report.succeeded""#), "{body}");
        assert!(body.contains(&format!("\"location\":\"file://{path}/r.csv\"")), "{body}");
    }
    assert_eq!(header(&requests[0].0, "limnos-delivery:"), header(&requests[1].0, "limnos-delivery:"));

    let letter = letters.lock().unwrap()[0].clone();
    let head = letter.split_once("\r\n\r\n").unwrap().0;
    assert!(!head.to_lowercase().contains("\r\nbcc:"), "{head}");
    assert!(head.contains("Subject: Sales 2026-01-01 y"), "{head}");
    assert!(head.contains("To: boss@example.com"), "{head}");
    for part in ["text/plain", "text/html", "text/csv", "filename=\"r.csv\"", "filename=\"r.html\""] {
        assert!(letter.contains(part), "{part} is not in {letter}");
    }

    // A failure is told, too.
    connection.simple_query("DROP REPORT r").await.unwrap();
    let create =
        format!("CREATE REPORT r PARAMETERS (by integer) TO '{path}/f.csv' WEBHOOK hook AS SELECT 1 / {{{{by}}}} AS a");
    connection.simple_query(&create).await.unwrap();
    client::fails(&connection, "RUN REPORT r (by => 0)", "22012", "division by zero").await.unwrap();
    delivered(&connection).await;
    let (_, body) = received.lock().unwrap().last().cloned().unwrap();
    assert!(body.contains(r#""event":"report.failed""#) && body.contains("division by zero"), "{body}");
    server.shutdown().await;
}
