//! The protocol under attack: bytes that mean nothing, messages cut, grown, out of order and damaged, before a login and after
//! it, in clear and over TLS. The server outlives it, without a panic, without growing, and answers the next client.
//!
//! Cases follow from a seed, which a failure prints; `LIMNOS_FUZZ_SEED` sets it, `LIMNOS_FUZZ_CASES` has more of them.

use std::time::Duration;

use limnos_tests::client;
use limnos_tests::process::ServerProcess;
use limnos_tests::tls::{self, Authority};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// Splitmix64: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn from_environment(name: &str) -> Self {
        let salt: u64 = name.bytes().fold(0, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
        let seed = std::env::var("LIMNOS_FUZZ_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(5_u64);
        Self(seed.wrapping_add(salt))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }
}

fn cases(default: usize) -> usize {
    std::env::var("LIMNOS_FUZZ_CASES").ok().and_then(|count| count.parse().ok()).unwrap_or(default)
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind][..], &u32::try_from(body.len() + 4).unwrap().to_be_bytes(), body].concat()
}

fn startup() -> Vec<u8> {
    let body = [&196_608_i32.to_be_bytes()[..], b"user\0limnos\0database\0lake\0application_name\0fuzz\0\0"].concat();
    [&u32::try_from(body.len() + 4).unwrap().to_be_bytes()[..], &body].concat()
}

/// Messages as clients send them, each whole and right.
fn right_messages() -> Vec<Vec<u8>> {
    let bind = |statement: &str| {
        let name = format!("p\0{statement}\0");
        [name.as_bytes(), b"\0\x01\0\0\0\x01\0\0\0\x0242\0\0"].concat()
    };
    vec![
        message(b'Q', b"SELECT 1\0"),
        message(b'Q', b"BEGIN\0"),
        message(b'Q', b"ROLLBACK\0"),
        message(b'Q', b"SELECT x, repeat('x', 100) FROM generate_series(1, 100) AS t(x)\0"),
        message(b'Q', b"SELECT 1 / 0; SELECT 2\0"),
        message(b'Q', b"\0"),
        message(b'P', b"s\0SELECT $1::int + 1, 'x'\0\0\x01\0\0\0\x17"),
        message(b'P', b"\0SELECT $1::int\0\0\0"),
        message(b'B', &bind("s")),
        message(b'B', &bind("")),
        message(b'D', b"Ss\0"),
        message(b'D', b"Pp\0"),
        message(b'E', b"p\0\0\0\0\0"),
        message(b'E', b"p\0\0\0\0\x01"),
        message(b'E', b"\0\xff\xff\xff\xff"),
        message(b'C', b"Ss\0"),
        message(b'C', b"Pp\0"),
        message(b'S', b""),
        message(b'H', b""),
        message(b'F', b"\0\0\0\x01\0\0\0\0\0\0"),
        message(b'd', b"1\tx\n"),
        message(b'c', b""),
        message(b'f', b"no\0"),
        message(b'p', b"secret\0"),
    ]
}

/// A session of a driver: prepared, bound, described, executed, once more, and a simple query.
fn session(random: &mut Random) -> Vec<u8> {
    let all = right_messages();
    let mut bytes = startup();
    for index in [6, 10, 8, 11, 12, 17, 7, 9, 13, 13, 16, 17, 3, random.below(all.len()), 17] {
        bytes.extend_from_slice(&all[index]);
    }
    bytes
}

/// A few wounds.
fn damage(random: &mut Random, mut bytes: Vec<u8>) -> Vec<u8> {
    for _ in 0..=random.below(5) {
        let at = random.below(bytes.len());
        let length = random.below(20).min(bytes.len() - at);
        match random.below(7) {
            0 => bytes[at] = random.next() as u8,
            1 => bytes[at] ^= 1 << random.below(8),
            2 => drop(bytes.drain(at..at + length)),
            3 => {
                let more = random.bytes(length);
                bytes.splice(at..at, more);
            }
            4 => {
                let again = bytes[at..at + length].to_vec();
                bytes.splice(at..at, again);
            }
            // What a length or a count would be.
            5 => {
                let extreme = [0, 1, 0x7f, 0x80, 0xff][random.below(5)];
                bytes[at..at + length.min(4)].fill(extreme);
            }
            _ => bytes.truncate(at.max(1)),
        }
        if bytes.is_empty() {
            bytes.push(0);
        }
    }
    bytes
}

/// Sends it all, says that there is no more, and reads until the server closes.
async fn attack<S: AsyncRead + AsyncWrite + Unpin>(mut socket: S, bytes: &[u8], what: &str) {
    let exchange = async {
        let (mut reader, mut writer) = tokio::io::split(&mut socket);
        let send = async {
            let _written = writer.write_all(bytes).await;
            let _closed = writer.shutdown().await;
        };
        let receive = async {
            let mut buffer = vec![0; 64 << 10];
            while matches!(reader.read(&mut buffer).await, Ok(count) if count > 0) {}
        };
        tokio::join!(send, receive);
    };
    let ended = tokio::time::timeout(Duration::from_secs(30), exchange).await;
    assert!(ended.is_ok(), "the connection stays open: {what}: {bytes:02x?}");
}

async fn fresh_client_is_answered(server: &ServerProcess, what: &str) {
    let client = server.client().await.unwrap_or_else(|error| panic!("{what}: {error:#}"));
    let answer = client::value(&client, "SELECT 40 + 2").await.unwrap_or_else(|error| panic!("{what}: {error:#}"));
    assert_eq!(answer.as_deref(), Some("42"), "{what}");
}

/// One case of each kind.
fn case(random: &mut Random) -> (&'static str, Vec<u8>) {
    let all = right_messages();
    match random.below(6) {
        0 => {
            let length = 1 + random.below(2_000);
            ("random bytes before a login", random.bytes(length))
        }
        1 => {
            let length = 1 + random.below(2_000);
            ("random bytes after it", [startup(), random.bytes(length)].concat())
        }
        2 => {
            let mut bytes = startup();
            for _ in 0..1 + random.below(30) {
                bytes.extend_from_slice(&all[random.below(all.len())]);
            }
            ("messages in any order", bytes)
        }
        3 => {
            // The right kind, and a body that is not.
            let mut bytes = startup();
            for _ in 0..1 + random.below(10) {
                let kind = b"QPBDECSHFdcf"[random.below(12)];
                let length = random.below(100);
                let body = random.bytes(length);
                bytes.extend_from_slice(&message(kind, &body));
                if random.below(2) == 0 {
                    bytes.extend_from_slice(&message(b'S', b""));
                }
            }
            ("messages of nonsense", bytes)
        }
        4 => {
            let whole = session(random);
            let end = 1 + random.below(whole.len() - 1);
            ("a session cut short", whole[..end].to_vec())
        }
        _ => {
            let whole = session(random);
            ("a damaged session", damage(random, whole))
        }
    }
}

async fn survives(server: &ServerProcess, count: usize, authority: Option<&Authority>) {
    let mut random = Random::from_environment(if authority.is_some() { "tls" } else { "plain" });
    let mut resident = 0;
    for number in 0..count {
        // Whatever there is to grow once has grown by then.
        if number == count / 4 {
            resident = server.resident_bytes().unwrap();
        }
        let seed = random.0;
        let (what, bytes) = case(&mut random);
        let what = format!("case {number}, seed {seed}: {what}");
        match authority {
            None => attack(TcpStream::connect(server.pg_address()).await.unwrap(), &bytes, &what).await,
            Some(authority) => {
                let direct = random.below(2) == 0;
                let socket = tls::connect(server.pg_address(), authority.client(None).unwrap(), direct).await;
                attack(socket.unwrap_or_else(|error| panic!("{what}: {error:#}")), &bytes, &what).await;
            }
        }
        if number % 10 == 0 {
            fresh_client_is_answered(server, &what).await;
        }
    }
    fresh_client_is_answered(server, "the end").await;
    let grown = server.resident_bytes().unwrap().saturating_sub(resident) >> 20;
    assert!(grown < 64, "grew by {grown} MiB");
    assert_eq!(server.panics(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_is_survived() {
    let (data_dir, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = ServerProcess::start(data_dir.path(), root.path(), None).unwrap();
    survives(&server, cases(600), None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_over_tls_is_survived() {
    let (data_dir, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let authority = Authority::new().unwrap();
    let server = ServerProcess::start_with_tls(data_dir.path(), root.path(), &authority.options()).unwrap();
    survives(&server, cases(200), Some(&authority)).await;
    // The handshake itself, too: damaged hellos, and nothing behind the request.
    let mut random = Random::from_environment("hello");
    let hello = client_hello(&authority).await;
    for number in 0..cases(100) {
        let damaged = damage(&mut random, hello.clone());
        let bytes = if number % 2 == 0 { damaged } else { [&[0, 0, 0, 8, 4, 210, 22, 47][..], &damaged].concat() };
        attack(TcpStream::connect(server.pg_address()).await.unwrap(), &bytes, "a damaged hello").await;
    }
    fresh_client_is_answered(&server, "hellos").await;
    assert_eq!(server.panics(), 0);
}

/// What a client of TLS says first.
async fn client_hello(authority: &Authority) -> Vec<u8> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let config = authority.client(None).unwrap();
    let connecting = tokio::spawn(async move { tls::connect(address, config, true).await.is_ok() });
    let (mut socket, _) = listener.accept().await.unwrap();
    let mut hello = vec![0; 4096];
    let count = socket.read(&mut hello).await.unwrap();
    hello.truncate(count);
    drop(socket);
    assert!(!connecting.await.unwrap());
    hello
}

/// Whatever a stranger pushes, little of it is kept.
#[tokio::test(flavor = "multi_thread")]
async fn strangers_fill_no_memory() {
    let (data_dir, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = ServerProcess::start(data_dir.path(), root.path(), None).unwrap();
    fresh_client_is_answered(&server, "the begin").await;
    let before = server.resident_bytes().unwrap();
    let mut held = Vec::new();
    for number in 0..64_u32 {
        let mut socket = TcpStream::connect(server.pg_address()).await.unwrap();
        // A packet as long as may be, or claims of a gigabyte.
        let length = if number % 2 == 0 { 10_000 } else { 1 << 30 };
        let _written = socket.write_all(&u32::to_be_bytes(length)).await;
        let pushed = vec![b'x'; 2 << 20];
        let _pushed = tokio::time::timeout(Duration::from_millis(200), socket.write_all(&pushed)).await;
        held.push(socket);
    }
    let grown = server.resident_bytes().unwrap().saturating_sub(before) >> 20;
    assert!(grown < 64, "grew by {grown} MiB");
    fresh_client_is_answered(&server, "pushing").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn monstrous_statements_are_errors() {
    let (data_dir, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = ServerProcess::start(data_dir.path(), root.path(), Some(512 << 20)).unwrap();
    let client = server.client().await.unwrap();
    let million = (1..=1_000_000).map(|number| format!("${number}")).collect::<Vec<_>>().join(",");
    for (what, sql) in [
        ("a flat sum", format!("SELECT {}", vec!["1"; 100_000].join("+"))),
        ("a flat chain of OR", format!("SELECT 1 WHERE {}", vec!["1=0"; 100_000].join(" OR "))),
        ("deep parentheses", format!("SELECT {}1{}", "(".repeat(400_000), ")".repeat(400_000))),
        ("a million parameters", format!("SELECT {million}")),
        ("a text of 60 MB", format!("SELECT '{}'", "x".repeat(60_000_000))),
    ] {
        client::fails(&client, &sql, "54001", "").await.unwrap_or_else(|error| panic!("{what}: {error:#}"));
        let error = client.prepare(&sql).await.unwrap_err();
        client::check_error(&error, "54001", "").unwrap_or_else(|error| panic!("{what}, prepared: {error:#}"));
        assert_eq!(client::value(&client, "SELECT 1").await.unwrap().as_deref(), Some("1"), "{what}");
    }
    // PostgreSQL counts parameters in 16 bits.
    let error = client.prepare("SELECT $65536::int").await.unwrap_err();
    assert!(error.as_db_error().is_some(), "{error:?}");
    // More than a message may have ends the connection, with a word.
    let mut socket = TcpStream::connect(server.pg_address()).await.unwrap();
    socket.write_all(&[startup(), b"Q\x7f\xff\xff\xffSELECT".to_vec()].concat()).await.unwrap();
    let mut answer = Vec::new();
    let _closed = socket.read_to_end(&mut answer).await;
    assert!(String::from_utf8_lossy(&answer).contains("C08P01\0Minvalid message length"));
    assert_eq!(server.panics(), 0);
}

/// Rows that a slow reader is sent: 10 million, but a tenth of it by a server that isn't optimised.
const SLOW_ROWS: usize = if cfg!(debug_assertions) { 1_000_000 } else { 10_000_000 };

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_holds_no_rows() {
    let (data_dir, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = ServerProcess::start(data_dir.path(), root.path(), None).unwrap();
    fresh_client_is_answered(&server, "the begin").await;
    let query = format!("SELECT x, repeat('x', 100) FROM generate_series(1, {SLOW_ROWS}) AS t(x)\0");
    let mut socket = TcpStream::connect(server.pg_address()).await.unwrap();
    socket.write_all(&[startup(), message(b'Q', query.as_bytes())].concat()).await.unwrap();
    let mut buffer = vec![0; 256 << 10];
    let (mut received, mut first, mut most) = (0_usize, 0, 0);
    // DataRow: kind, length, count, two lengths, digits and text.
    while received < SLOW_ROWS * (1 + 4 + 2 + 4 + 1 + 4 + 100) {
        let count = socket.read(&mut buffer).await.unwrap();
        assert!(count > 0, "the server closed after {received} bytes");
        let (before, after) = (received >> 20, (received + count) >> 20);
        received += count;
        // A pause for each megabyte: time in which a server without back-pressure would gather all there is.
        if before != after {
            tokio::time::sleep(Duration::from_millis(10)).await;
            let resident = server.resident_bytes().unwrap();
            if first == 0 && after > 2 {
                first = resident;
            }
            most = most.max(resident);
        }
    }
    let grown = most.saturating_sub(first) >> 20;
    assert!(grown < 64, "grew by {grown} MiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_reads_can_be_cancelled() {
    let (data_dir, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = ServerProcess::start(data_dir.path(), root.path(), None).unwrap();
    let other = server.client().await.unwrap();
    let mut held = Vec::new();
    // By its own timeout, and by another's word.
    for settings in ["SET statement_timeout = '1s'", "SET statement_timeout = 0"] {
        let mut socket = TcpStream::connect(server.pg_address()).await.unwrap();
        let endless = b"SELECT x AS never_read, repeat('x', 1000) FROM generate_series(1, 1000000000) AS t(x)\0";
        let set = [settings.as_bytes(), b"\0"].concat();
        socket.write_all(&[startup(), message(b'Q', &set), message(b'Q', endless)].concat()).await.unwrap();
        held.push(socket);
    }
    let running = "SELECT query_id FROM system.queries WHERE state = 'RUNNING' AND sql LIKE '%never_read%' AND sql NOT LIKE '%system%'";
    let wait_for = async |count: usize| {
        for _ in 0..200 {
            let rows = client::rows(&other, running).await.unwrap();
            if rows.len() == count {
                return rows;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{count} expected");
    };
    wait_for(2).await;
    let rows = wait_for(1).await;
    let query_id = rows[0][0].as_deref().unwrap();
    client::rows(&other, &format!("KILL '{query_id}'")).await.unwrap();
    wait_for(0).await;
    // When they read at last they are told, and may go on.
    for mut socket in held {
        let mut answer = Vec::new();
        let mut buffer = vec![0; 64 << 10];
        while !String::from_utf8_lossy(&answer).contains("C57014") {
            let count = socket.read(&mut buffer).await.unwrap();
            assert!(count > 0, "closed without a word");
            answer = [&answer[answer.len().saturating_sub(100)..], &buffer[..count]].concat();
        }
    }
}
