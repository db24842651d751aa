//! `transfer [--rows N] [--runs N] [--postgres URL]`: the same rows (1,000,000 of ten columns) out of Limnos and out of a
//! PostgreSQL 15, to a client that reads and discards: the simple protocol's text, the extended one's binary, and COPY's three
//! formats. Both answer in turn, several times; medians, and how many times faster Limnos is. Before that the rows go in, by
//! COPY FROM STDIN. PostgreSQL is the one of `--postgres`, or one of its own where it is installed; without one Limnos is
//! measured alone. `limnos` is the binary beside this one.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use limnos_test_postgres::PostgresServer;

use crate::in_process::millis;
use crate::process::{Server, ServerOptions, limnos_binary};

/// What the suite is run with.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Rows of the table
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) rows: u64,
    /// Runs, of which the median counts
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) runs: u16,
    /// A PostgreSQL to compare with, `postgres://user@host:port/database`
    #[arg(long, value_name = "URL")]
    pub(crate) postgres: Option<String>,
    /// The server's program [default: beside this one]
    #[arg(long, value_name = "PATH")]
    pub(crate) limnos: Option<PathBuf>,
}

const COLUMNS: &str =
    "id bigint, grp int, ratio double precision, price numeric(12,2), name text, city text, flag boolean,
    day date, seen timestamp, note text";

/// What is measured: its name, the statement, and whether it is asked for in binary.
const WAYS: [(&str, &str, bool); 5] = [
    ("SELECT, text", "SELECT * FROM transfer", false),
    ("SELECT, binary", "SELECT * FROM transfer", true),
    ("COPY, text", "COPY transfer TO STDOUT", false),
    ("COPY, csv", "COPY transfer TO STDOUT WITH (FORMAT csv)", false),
    ("COPY, binary", "COPY transfer TO STDOUT WITH (FORMAT binary)", false),
];

/// Bytes that a message of rows is sent with.
const PIECE_BYTES: usize = 64 << 10;

/// Measures and prints.
pub(crate) fn transfer(options: &Options) -> Result<()> {
    let binary = limnos_binary(options.limnos.as_deref())?;
    let limnos = Server::start(ServerOptions { binary, flags: Vec::new(), environment: Vec::new() })?;
    let own = if options.postgres.is_none() { PostgresServer::start() } else { None };
    let url = options.postgres.clone().or_else(|| own.as_ref().map(PostgresServer::url));
    let mut ours = Client::connect(&limnos.address, "limnos", "lake")?;
    // An answer that is kept would be measured without the query.
    ours.simple("SET result_cache = off")?;
    let mut theirs = url.as_deref().map(Client::of_url).transpose()?;

    println!("{} rows of 10 columns, medians of {} runs", options.rows, options.runs);
    println!("{:>16} {:>12} {:>12} {:>8} {:>10}", "", "limnos ms", "postgres ms", "faster", "MB");
    let loaded = load(&mut ours, options.rows)?;
    let loaded_theirs = theirs.as_mut().map(|client| load(client, options.rows)).transpose()?;
    print("COPY FROM, text", loaded.0, loaded_theirs.map(|loaded| loaded.0), loaded.1);
    let peak_loading = limnos.meter().peak_bytes().unwrap_or(0);
    limnos.meter().forget_peak();

    for (name, sql, is_binary) in WAYS {
        let (mut ours_took, mut theirs_took) = (Vec::new(), Vec::new());
        let mut bytes = 0;
        for _ in 0..options.runs {
            let answer = ours.ask(sql, is_binary)?;
            ensure!(answer.rows == options.rows, "{name}: {} rows", answer.rows);
            bytes = answer.bytes;
            ours_took.push(answer.took);
            let Some(theirs) = &mut theirs else { continue };
            let answer = theirs.ask(sql, is_binary)?;
            ensure!(answer.rows == options.rows, "{name}: {} rows of PostgreSQL", answer.rows);
            ensure!(answer.bytes == bytes, "{name}: {bytes} bytes, and {} of PostgreSQL", answer.bytes);
            theirs_took.push(answer.took);
        }
        print(name, median(&mut ours_took), (!theirs_took.is_empty()).then(|| median(&mut theirs_took)), bytes);
    }
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    println!(
        "most memory of limnos: {:.0} MB while rows went in, {:.0} MB while they went out",
        megabytes(peak_loading),
        megabytes(limnos.meter().peak_bytes().unwrap_or(0))
    );
    if options.postgres.is_some()
        && let Some(theirs) = &mut theirs
    {
        theirs.simple("DROP TABLE transfer")?;
    }
    Ok(())
}

fn print(name: &str, ours: Duration, theirs: Option<Duration>, bytes: u64) {
    let (took, faster) = match theirs {
        Some(theirs) => (format!("{:.1}", millis(theirs)), format!("{:.2}", theirs.as_secs_f64() / ours.as_secs_f64())),
        None => ("-".to_owned(), "-".to_owned()),
    };
    println!("{name:>16} {:>12.1} {took:>12} {faster:>8} {:>10.1}", millis(ours), bytes as f64 / 1e6);
}

fn median(took: &mut [Duration]) -> Duration {
    took.sort_unstable();
    took[took.len() / 2]
}

/// Makes the table and sends its rows; how long that took, and how many bytes they were.
fn load(client: &mut Client, rows: u64) -> Result<(Duration, u64)> {
    client.simple(&format!("CREATE TABLE transfer ({COLUMNS})"))?;
    let began = Instant::now();
    client.send(b'Q', b"COPY transfer FROM STDIN\0")?;
    client.expect(b'G')?;
    let mut piece = String::with_capacity(PIECE_BYTES + 1024);
    let mut bytes = 0;
    for id in 0..rows {
        push_row(id, &mut piece);
        if piece.len() >= PIECE_BYTES || id + 1 == rows {
            bytes += piece.len() as u64;
            client.send(b'd', piece.as_bytes())?;
            piece.clear();
        }
    }
    client.send(b'c', b"")?;
    client.answer()?;
    Ok((began.elapsed(), bytes))
}

fn push_row(id: u64, out: &mut String) {
    use std::fmt::Write as _;
    // A number that looks random, always the same for a row.
    let mixed = id.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29) ^ id;
    let (day, second) = (1 + id % 28, mixed % 86_400);
    let (hour, minute) = (second / 3600, second / 60 % 60);
    let flag = if mixed.is_multiple_of(3) { 't' } else { 'f' };
    let _it_is_a_string = write!(
        out,
        "{id}\t{}\t{}\t{}.{:02}\trow {id} of the table\tcity {}\t{flag}\t2024-{:02}-{day:02}\t2024-01-{day:02} {hour:02}:{minute:02}:{:02}.{:06}\t",
        mixed % 1000,
        (mixed % 1_000_000) as f64 / 7.0,
        mixed % 100_000,
        mixed % 100,
        mixed % 50,
        1 + id % 12,
        second % 60,
        mixed % 1_000_000,
    );
    if id.is_multiple_of(5) {
        out.push_str("\\N\n");
    } else {
        let _it_is_a_string = writeln!(out, "{mixed:016x}{:016x}", mixed.rotate_left(17));
    }
}

/// What came back.
struct Answered {
    rows: u64,
    bytes: u64,
    took: Duration,
}

/// A client that looks at nothing but the messages' types and lengths.
struct Client {
    socket: TcpStream,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Client {
    /// `postgres://user@host:port/database`.
    fn of_url(url: &str) -> Result<Self> {
        let rest = url.split_once("://").context("postgres://user@host:port/database")?.1;
        let (user, rest) = rest.split_once('@').context("a user in the URL")?;
        let (address, database) = rest.split_once('/').context("a database in the URL")?;
        Self::connect(address, user, database.split('?').next().unwrap_or_default())
    }

    fn connect(address: &str, user: &str, database: &str) -> Result<Self> {
        let socket = TcpStream::connect(address).with_context(|| address.to_owned())?;
        socket.set_nodelay(true)?;
        let mut client = Self { socket, buffer: vec![0; 1 << 20], start: 0, end: 0 };
        let startup = format!("\0\x03\0\0user\0{user}\0database\0{database}\0client_encoding\0UTF8\0\0");
        client.socket.write_all(&(startup.len() as u32 + 4).to_be_bytes())?;
        client.socket.write_all(startup.as_bytes())?;
        client.answer().context("a server that asks for no password")?;
        Ok(client)
    }

    fn send(&mut self, kind: u8, body: &[u8]) -> Result<()> {
        let mut message = vec![kind];
        message.extend((body.len() as u32 + 4).to_be_bytes());
        message.extend(body);
        Ok(self.socket.write_all(&message)?)
    }

    fn simple(&mut self, sql: &str) -> Result<Answered> {
        self.send(b'Q', format!("{sql}\0").as_bytes())?;
        self.answer()
    }

    /// Asks and reads the whole answer.
    fn ask(&mut self, sql: &str, is_binary: bool) -> Result<Answered> {
        let began = Instant::now();
        let answered = if is_binary {
            let parse = format!("\0{sql}\0\0\0");
            let messages: [(u8, &[u8]); 4] =
                [(b'P', parse.as_bytes()), (b'B', b"\0\0\0\0\0\0\0\x01\0\x01"), (b'E', b"\0\0\0\0\0"), (b'S', b"")];
            for (kind, body) in messages {
                self.send(kind, body)?;
            }
            self.answer()?
        } else {
            self.simple(sql)?
        };
        Ok(Answered { took: began.elapsed(), ..answered })
    }

    /// Reads up to ReadyForQuery.
    fn answer(&mut self) -> Result<Answered> {
        let mut answered = Answered { rows: 0, bytes: 0, took: Duration::ZERO };
        loop {
            let (kind, length) = self.header()?;
            match kind {
                b'E' => bail!("{}", self.text(length)?),
                b'R' => ensure!(self.text(length)?.bytes().all(|byte| byte == 0), "a password is wanted"),
                b'D' | b'd' => {
                    // A binary COPY ends with a message that is no row.
                    answered.rows += u64::from(!(kind == b'd' && length == 2));
                    answered.bytes += length as u64;
                    self.skip(length)?;
                }
                b'Z' => {
                    self.skip(length)?;
                    return Ok(answered);
                }
                _ => self.skip(length)?,
            }
        }
    }

    fn expect(&mut self, wanted: u8) -> Result<()> {
        let (kind, length) = self.header()?;
        let text = self.text(length)?;
        ensure!(kind == wanted, "{} instead of {}: {text}", char::from(kind), char::from(wanted));
        Ok(())
    }

    fn header(&mut self) -> Result<(u8, usize)> {
        while self.end - self.start < 5 {
            self.fill()?;
        }
        let header = &self.buffer[self.start..self.start + 5];
        let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]) as usize;
        let kind = header[0];
        self.start += 5;
        Ok((kind, length.saturating_sub(4)))
    }

    fn skip(&mut self, mut length: usize) -> Result<()> {
        while self.end - self.start < length {
            length -= self.end - self.start;
            self.start = self.end;
            self.fill()?;
        }
        self.start += length;
        Ok(())
    }

    fn text(&mut self, length: usize) -> Result<String> {
        while self.end - self.start < length {
            self.fill()?;
        }
        let bytes = &self.buffer[self.start..self.start + length];
        let text = String::from_utf8_lossy(bytes).into_owned();
        self.start += length;
        Ok(text)
    }

    fn fill(&mut self) -> Result<()> {
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        ensure!(self.end < self.buffer.len(), "a message that is too long");
        let count = self.socket.read(&mut self.buffer[self.end..])?;
        ensure!(count > 0, "the server has closed the connection");
        self.end += count;
        Ok(())
    }
}
