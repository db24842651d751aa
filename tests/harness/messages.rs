//! The PostgreSQL protocol message by message: scripts of client messages, and what a server answers to them as lines of
//! text. Made to compare two servers, so it shows what clients act upon: message types, tags, SQLSTATEs, values, status
//! bytes; not the words of errors.
//!
//! A script has a message per line; `-` is an empty name or list:
//!
//! ```text
//! Query SQL
//! Parse STATEMENT OIDS SQL
//! Bind PORTAL STATEMENT RESULT-FORMATS [PARAMETER ...]     text parameters without spaces, or NULL
//! Describe S|P NAME
//! Execute PORTAL MAX-ROWS
//! Close S|P NAME
//! Sync, Flush, CopyData, CopyDone, CopyFail, Unknown
//! ```

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longer than any answer takes: what comes later doesn't come.
const PATIENCE: Duration = Duration::from_secs(60);

/// A script with its name.
#[derive(Debug)]
pub struct Script {
    /// What it is about.
    pub name: String,
    /// Its messages.
    pub lines: Vec<String>,
}

/// The scripts of a text; each begins with `== name`, lines with `#` are comments.
pub fn scripts(text: &str) -> Vec<Script> {
    let mut scripts: Vec<Script> = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("== ") {
            scripts.push(Script { name: name.to_owned(), lines: Vec::new() });
        } else if !line.is_empty()
            && !line.starts_with('#')
            && let Some(script) = scripts.last_mut()
        {
            script.lines.push(line.to_owned());
        }
    }
    scripts
}

/// Sends all of a script and gives the answers, up to the last one that is to come.
///
/// # Errors
/// When the server can't be reached, a line isn't understood, or an answer doesn't come.
pub async fn run(address: SocketAddr, database: &str, script: &Script) -> anyhow::Result<Vec<String>> {
    let mut wire = Messages::connect(address, database).await?;
    let mut answers = 0;
    for line in &script.lines {
        let message = encode(line).with_context(|| format!("line {line:?}"))?;
        // Each of these is answered by a ReadyForQuery.
        answers += usize::from(matches!(message[0], b'Q' | b'S' | b'F'));
        wire.socket.write_all(&message).await?;
    }
    let mut shown = Vec::new();
    while answers > 0 {
        let Some((kind, body)) = wire.read().await? else {
            shown.push("end of connection".to_owned());
            break;
        };
        answers -= usize::from(kind == b'Z');
        shown.push(show(kind, &body)?);
    }
    Ok(shown)
}

/// A connection of which every message is seen.
#[derive(Debug)]
pub struct Messages {
    socket: TcpStream,
    /// Process id and key, as a cancel request sends them.
    pub key: Vec<u8>,
}

impl Messages {
    /// Logs in, with no password.
    ///
    /// # Errors
    /// When the server can't be reached or refuses.
    pub async fn connect(address: SocketAddr, database: &str) -> anyhow::Result<Self> {
        let mut startup = 196_608_i32.to_be_bytes().to_vec();
        for word in ["user", limnos_test_postgres::USER, "database", database, ""] {
            startup.extend_from_slice(word.as_bytes());
            startup.push(0);
        }
        let mut socket = TcpStream::connect(address).await?;
        socket.write_all(&(startup.len() as i32 + 4).to_be_bytes()).await?;
        socket.write_all(&startup).await?;
        let mut wire = Self { socket, key: Vec::new() };
        loop {
            match wire.read().await?.context("the server hung up")? {
                (b'Z', _) => return Ok(wire),
                (b'K', body) => wire.key = body,
                (b'E', body) => bail!("{}", show(b'E', &body)?),
                _ => {}
            }
        }
    }

    /// Sends one line of a script.
    ///
    /// # Errors
    /// When it isn't understood, or the server is gone.
    pub async fn send(&mut self, line: &str) -> anyhow::Result<()> {
        Ok(self.socket.write_all(&encode(line)?).await?)
    }

    /// The answers up to a ReadyForQuery, or the end of the connection.
    ///
    /// # Errors
    /// When none comes.
    pub async fn answers(&mut self) -> anyhow::Result<Vec<String>> {
        let mut shown = Vec::new();
        while let Some((kind, body)) = self.read().await? {
            shown.push(show(kind, &body)?);
            if kind == b'Z' {
                break;
            }
        }
        Ok(shown)
    }

    /// The next answer; `None` at the end of the connection.
    ///
    /// # Errors
    /// When none comes.
    pub async fn answer(&mut self) -> anyhow::Result<Option<String>> {
        match self.read().await? {
            Some((kind, body)) => Ok(Some(show(kind, &body)?)),
            None => Ok(None),
        }
    }

    async fn read(&mut self) -> anyhow::Result<Option<(u8, Vec<u8>)>> {
        let read = async {
            let mut header = [0; 5];
            if self.socket.read_exact(&mut header).await.is_err() {
                return Ok(None);
            }
            let length = i32::from_be_bytes([header[1], header[2], header[3], header[4]]);
            let mut body = vec![0; usize::try_from(length - 4)?];
            self.socket.read_exact(&mut body).await?;
            Ok(Some((header[0], body)))
        };
        tokio::time::timeout(PATIENCE, read).await.context("no answer")?
    }
}

/// Asks the server of `address` to cancel what the connection of `key` does.
///
/// # Errors
/// When the server can't be reached.
pub async fn cancel(address: SocketAddr, key: &[u8]) -> anyhow::Result<()> {
    let mut socket = TcpStream::connect(address).await?;
    let mut request = (key.len() as i32 + 8).to_be_bytes().to_vec();
    request.extend_from_slice(&80_877_102_i32.to_be_bytes());
    request.extend_from_slice(key);
    socket.write_all(&request).await?;
    // The server hangs up when it has done so.
    let _closed = socket.read_to_end(&mut Vec::new()).await;
    Ok(())
}

fn encode(line: &str) -> anyhow::Result<Vec<u8>> {
    let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
    let mut body = Body(Vec::new());
    let kind = match kind {
        "Query" => {
            body.text(rest);
            b'Q'
        }
        "Parse" => {
            let mut words = rest.splitn(3, ' ');
            body.name(words.next())?;
            let oids = list(words.next())?;
            body.text(words.next().context("SQL is missing")?);
            body.count(oids.len());
            oids.iter().for_each(|oid| body.int4(*oid));
            b'P'
        }
        "Bind" => {
            let mut words = rest.split(' ');
            body.name(words.next())?;
            body.name(words.next())?;
            let formats = list(words.next())?;
            let parameters: Vec<&str> = words.collect();
            body.count(0);
            body.count(parameters.len());
            for parameter in parameters {
                match parameter {
                    "NULL" => body.int4(-1),
                    text => {
                        body.int4(text.len() as i32);
                        body.0.extend_from_slice(text.as_bytes());
                    }
                }
            }
            body.count(formats.len());
            formats.iter().for_each(|format| body.count(*format as usize));
            b'B'
        }
        "Describe" | "Close" => {
            let (target, name) = rest.split_once(' ').context("a name is missing")?;
            body.0.extend_from_slice(target.as_bytes());
            body.name(Some(name))?;
            if kind == "Close" { b'C' } else { b'D' }
        }
        "Execute" => {
            let (portal, rows) = rest.split_once(' ').context("a row limit is missing")?;
            body.name(Some(portal))?;
            body.int4(rows.parse()?);
            b'E'
        }
        "Sync" => b'S',
        "Flush" => b'H',
        "CopyData" => b'd',
        "CopyDone" => b'c',
        "CopyFail" => {
            body.text("");
            b'f'
        }
        "Unknown" => b'y',
        other => bail!("no message is called {other:?}"),
    };
    let mut message = vec![kind];
    message.extend_from_slice(&(body.0.len() as i32 + 4).to_be_bytes());
    message.append(&mut body.0);
    Ok(message)
}

fn list(word: Option<&str>) -> anyhow::Result<Vec<i32>> {
    match word.context("a list is missing")? {
        "-" => Ok(Vec::new()),
        list => list.split(',').map(|item| Ok(item.parse()?)).collect(),
    }
}

struct Body(Vec<u8>);

impl Body {
    fn text(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
        self.0.push(0);
    }

    fn name(&mut self, name: Option<&str>) -> anyhow::Result<()> {
        let name = name.context("a name is missing")?;
        self.text(if name == "-" { "" } else { name });
        Ok(())
    }

    fn count(&mut self, count: usize) {
        self.0.extend_from_slice(&(count as i16).to_be_bytes());
    }

    fn int4(&mut self, number: i32) {
        self.0.extend_from_slice(&number.to_be_bytes());
    }
}

/// One answer as a line.
fn show(kind: u8, body: &[u8]) -> anyhow::Result<String> {
    let mut fields = Fields(body);
    Ok(match kind {
        b'T' => {
            let mut columns = Vec::new();
            for _ in 0..fields.int2()? {
                let name = fields.text()?;
                let (_table, _column) = (fields.int4()?, fields.int2()?);
                let oid = fields.int4()?;
                let (_size, _modifier) = (fields.int2()?, fields.int4()?);
                columns.push(format!("{name}:{oid}:{}", fields.int2()?));
            }
            format!("RowDescription {}", columns.join(" "))
        }
        b't' => {
            let oids =
                (0..fields.int2()?).map(|_| Ok(fields.int4()?.to_string())).collect::<anyhow::Result<Vec<_>>>()?;
            format!("ParameterDescription {}", oids.join(" "))
        }
        b'D' => {
            let mut values = Vec::new();
            for _ in 0..fields.int2()? {
                let length = fields.int4()?;
                values.push(match usize::try_from(length) {
                    Ok(length) => fields.bytes(length)?.escape_ascii().to_string(),
                    Err(_) => "NULL".to_owned(),
                });
            }
            format!("DataRow {}", values.join(" | "))
        }
        b'C' => format!("CommandComplete {}", fields.text()?),
        b'E' | b'N' => {
            let mut shown = if kind == b'E' { "Error".to_owned() } else { "Notice".to_owned() };
            while let Some(field) = fields.0.first().copied().filter(|field| *field != 0) {
                fields.0 = &fields.0[1..];
                let text = fields.text()?;
                if matches!(field, b'V' | b'C') {
                    shown.push(' ');
                    shown.push_str(&text);
                }
            }
            shown
        }
        b'S' => format!("ParameterStatus {} {}", fields.text()?, fields.text()?),
        b'Z' => format!("ReadyForQuery {}", char::from(*body.first().context("an empty status")?)),
        b'1' => "ParseComplete".to_owned(),
        b'2' => "BindComplete".to_owned(),
        b'3' => "CloseComplete".to_owned(),
        b'n' => "NoData".to_owned(),
        b's' => "PortalSuspended".to_owned(),
        b'I' => "EmptyQueryResponse".to_owned(),
        other => format!("message {:?}", char::from(other)),
    })
}

struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn bytes(&mut self, length: usize) -> anyhow::Result<&'a [u8]> {
        ensure!(length <= self.0.len(), "an answer is too short");
        let (bytes, rest) = self.0.split_at(length);
        self.0 = rest;
        Ok(bytes)
    }

    fn int2(&mut self) -> anyhow::Result<i16> {
        Ok(i16::from_be_bytes(self.bytes(2)?.try_into()?))
    }

    fn int4(&mut self) -> anyhow::Result<i32> {
        Ok(i32::from_be_bytes(self.bytes(4)?.try_into()?))
    }

    fn text(&mut self) -> anyhow::Result<String> {
        let end = self.0.iter().position(|byte| *byte == 0).context("a text without an end")?;
        let text = String::from_utf8_lossy(self.bytes(end)?).into_owned();
        self.bytes(1)?;
        Ok(text)
    }
}
