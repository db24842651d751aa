//! [`FaultProxy`]: HTTP between a client and an S3 server, one exchange a connection, whose answers can be spoilt byte by
//! byte: what a network or a bad proxy does, and a server library won't.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// How an answer is spoilt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spoil {
    /// The connection ends without an answer.
    NoAnswer,
    /// It ends within the headers.
    CutHead,
    /// Half of the body comes, then the connection ends.
    CutBody,
    /// Half of the body comes without a length, and ends as if that were all.
    ShortBody,
    /// Half of the body comes, then nothing more.
    Stall,
    /// Nothing comes.
    StallHead,
    /// The body comes, a kilobyte at a time.
    Slow,
    /// The status line is garbage.
    CorruptHead,
    /// `Content-Length` is ten more than there is.
    LengthTooLong,
    /// `Content-Length` is ten less than there is.
    LengthTooShort,
    /// A page that wants a login, with status 200.
    LoginPage,
    /// XML that ends in the middle.
    CutXml,
    /// Another status with one of S3's errors.
    Status(u16, &'static str),
    /// To another place.
    Redirect,
}

/// Which answers, and how many of them.
#[derive(Debug, Default)]
struct Plan {
    spoil: Option<Spoil>,
    listings: bool,
    left: usize,
    spoilt: usize,
}

/// A running proxy. Dropping it stops it.
#[derive(Debug)]
pub struct FaultProxy {
    endpoint: String,
    plan: Arc<Mutex<Plan>>,
    accepting: JoinHandle<()>,
}

impl FaultProxy {
    /// Starts one before the server at `upstream` (`http://127.0.0.1:PORT`).
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(upstream: &str) -> anyhow::Result<Self> {
        let upstream: SocketAddr = upstream.trim_start_matches("http://").parse()?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let plan = Arc::new(Mutex::new(Plan::default()));
        let shared = Arc::clone(&plan);
        let accepting = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let plan = Arc::clone(&shared);
                tokio::spawn(async move {
                    // Either side may go away: that is the point.
                    let _ended = exchange(socket, upstream, &plan).await;
                });
            }
        });
        Ok(Self { endpoint, plan, accepting })
    }

    /// `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Spoils the next `count` answers to listings, or to reads of objects.
    pub fn spoil(&self, spoil: Spoil, listings: bool, count: usize) {
        *self.plan.lock().expect("no holder of this lock panics") =
            Plan { spoil: Some(spoil), listings, left: count, spoilt: 0 };
    }

    /// Answers pass again. How many were spoilt.
    pub fn heal(&self) -> usize {
        std::mem::take(&mut *self.plan.lock().expect("no holder of this lock panics")).spoilt
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// The end of a message's head.
fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}

/// A head without the headers called so, and with `more`.
fn rewritten(head: &str, without: &[&str], more: &str) -> String {
    let is_kept = |line: &&str| {
        let name = line.split(':').next().unwrap_or_default().to_lowercase();
        !line.is_empty() && !without.contains(&name.as_str())
    };
    let kept: Vec<&str> = head.split("\r\n").filter(is_kept).collect();
    format!("{}\r\n{more}\r\n", kept.join("\r\n"))
}

async fn exchange(mut client: TcpStream, upstream: SocketAddr, plan: &Mutex<Plan>) -> anyhow::Result<()> {
    let mut request = Vec::new();
    let head_bytes = loop {
        if let Some(end) = head_end(&request) {
            break end;
        }
        if client.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    };
    let head = String::from_utf8_lossy(&request[..head_bytes]).into_owned();
    let mut server = TcpStream::connect(upstream).await?;
    server.write_all(rewritten(&head, &["connection"], "connection: close\r\n").as_bytes()).await?;
    server.write_all(&request[head_bytes..]).await?;
    // Reads have no body; of a write the server tells when it has all.
    let mut answer = Vec::new();
    if head.starts_with("GET") || head.starts_with("HEAD") {
        server.read_to_end(&mut answer).await?;
    } else {
        let (mut from_client, mut to_client) = client.split();
        let (mut from_server, mut to_server) = server.split();
        let _sent = tokio::select! {
            sent = tokio::io::copy(&mut from_client, &mut to_server) => sent,
            answered = from_server.read_to_end(&mut answer) => answered.map(|count| count as u64),
        };
        to_client.write_all(&answer).await?;
        return Ok(());
    }
    let is_listing = head.lines().next().unwrap_or_default().contains("list-type=2");
    let spoil = {
        let mut plan = plan.lock().expect("no holder of this lock panics");
        let hits = plan.left > 0 && plan.listings == is_listing && head.starts_with("GET");
        if hits {
            plan.left -= usize::from(plan.left != usize::MAX);
            plan.spoilt += 1;
        }
        plan.spoil.filter(|_| hits)
    };
    answer_with(&mut client, &answer, spoil).await?;
    client.shutdown().await?;
    Ok(())
}

/// A body out of its chunks, where it came in chunks.
fn dechunked(head: &str, mut body: &[u8]) -> Vec<u8> {
    if !head.to_lowercase().contains("transfer-encoding: chunked") {
        return body.to_vec();
    }
    let mut whole = Vec::new();
    while let Some(end) = body.windows(2).position(|window| window == b"\r\n") {
        let size = usize::from_str_radix(&String::from_utf8_lossy(&body[..end]), 16).unwrap_or(0);
        if size == 0 || body.len() < end + 2 + size {
            break;
        }
        whole.extend_from_slice(&body[end + 2..end + 2 + size]);
        body = body.get(end + 2 + size + 2..).unwrap_or_default();
    }
    whole
}

async fn answer_with(client: &mut TcpStream, answer: &[u8], spoil: Option<Spoil>) -> anyhow::Result<()> {
    let head_bytes = head_end(answer).unwrap_or(answer.len());
    let head = String::from_utf8_lossy(&answer[..head_bytes]).into_owned();
    let body = dechunked(&head, &answer[head_bytes..]);
    let lengths = ["content-length", "transfer-encoding"];
    let with_length = |length: usize| rewritten(&head, &lengths, &format!("content-length: {length}\r\n"));
    let half = &body[..body.len() / 2];
    let page = |status: &str, text: &str| {
        format!("HTTP/1.1 {status}\r\ncontent-type: text/html\r\ncontent-length: {}\r\n\r\n{text}", text.len())
    };
    match spoil {
        None => {
            client.write_all(answer).await?;
        }
        Some(Spoil::NoAnswer) => {}
        Some(Spoil::CutHead) => client.write_all(&answer[..head_bytes / 2]).await?,
        Some(Spoil::CutBody) => {
            client.write_all(with_length(body.len()).as_bytes()).await?;
            client.write_all(half).await?;
        }
        Some(Spoil::ShortBody) => {
            client.write_all(rewritten(&head, &lengths, "transfer-encoding: chunked\r\n").as_bytes()).await?;
            client.write_all(format!("{:x}\r\n", half.len()).as_bytes()).await?;
            client.write_all(half).await?;
            client.write_all(b"\r\n0\r\n\r\n").await?;
        }
        Some(Spoil::Stall) => {
            client.write_all(with_length(body.len()).as_bytes()).await?;
            client.write_all(half).await?;
            tokio::time::sleep(Duration::from_secs(300)).await;
        }
        Some(Spoil::StallHead) => tokio::time::sleep(Duration::from_secs(300)).await,
        Some(Spoil::Slow) => {
            client.write_all(with_length(body.len()).as_bytes()).await?;
            for piece in body.chunks(1024) {
                client.write_all(piece).await?;
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
        Some(Spoil::CorruptHead) => {
            client.write_all(b"HTTP/1.1 2x0 \xff\xfe\r\n").await?;
            client.write_all(&answer[head_bytes / 2..]).await?;
        }
        Some(Spoil::LengthTooLong) => {
            client.write_all(with_length(body.len() + 10).as_bytes()).await?;
            client.write_all(&body).await?;
        }
        Some(Spoil::LengthTooShort) => {
            client.write_all(with_length(body.len().saturating_sub(10)).as_bytes()).await?;
            client.write_all(&body).await?;
        }
        Some(Spoil::LoginPage) => {
            client.write_all(page("200 OK", "<html><body>Log in first</body></html>").as_bytes()).await?;
        }
        Some(Spoil::CutXml) => {
            client.write_all(with_length(half.len()).as_bytes()).await?;
            client.write_all(half).await?;
        }
        Some(Spoil::Status(status, code)) => {
            let text = format!(
                "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>The {code} message.</Message>\
                 <Token-0>TOKEN-CANARY</Token-0></Error>"
            );
            client.write_all(page(&format!("{status} {code}"), &text).as_bytes()).await?;
        }
        Some(Spoil::Redirect) => {
            let answer = "HTTP/1.1 307 Temporary Redirect\r\nlocation: http://127.0.0.1:9/elsewhere\r\ncontent-length: 0\r\n\r\n";
            client.write_all(answer.as_bytes()).await?;
        }
    }
    Ok(())
}
