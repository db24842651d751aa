//! [`Wire`]: one client's socket with its buffers. Frames what comes in, gathers what goes out, and watches for the client
//! going away while a statement runs.
//!
//! **A slow reader is not a dead one.** psql's pager may stand on one page for an hour, so there is no write timeout.
//! `TCP_USER_TIMEOUT` is none either: Linux counts a peer that answers zero-window probes (a paused pager) as stalled and
//! would cut it off. What ends a dead peer's session is the kernel's own judgement: keep-alive probes when the connection
//! is silent (two minutes), unanswered retransmissions when it isn't (`tcp_retries2`). A stalled reader holds one output
//! buffer and a suspended query, nothing that grows; cancelling the query ends it, and the session if nothing is read then,
//! either.
//!
//! A slow writer is not a dead one, either, but one that begins a message owes its end: some bytes a minute.
//!
//! **An idle session holds no buffers.** Thousands may be open, so [`Wire::wait`] gives them back before it waits.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use pgwire::messages::Message;
use rustls::{ServerConfig, ServerConnection};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf, ReadHalf, WriteHalf};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::error::PgError;
use super::frontend;
use crate::limits::{
    FLUSH_BYTES, MESSAGE_BYTES_MAX, MESSAGE_PACE_BYTES, MESSAGE_PACE_TIME, PRE_AUTH_BYTES_MAX, READ_AHEAD_BYTES_MAX,
    STARTUP_BYTES_MAX, WRITE_STALL_AFTER_CANCEL,
};

/// What is read at once after an idle time: most messages whole.
const FIRST_READ_BYTES: usize = 512;

/// What carries the protocol: a TCP socket, TLS over one, or one in a test's memory.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Socket for T {}

/// Why a connection ends.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The client is gone, or asked to end. There is nobody to tell.
    Gone,
    /// The server ends it, and says this.
    Fatal(Box<PgError>),
}

impl From<PgError> for Stop {
    fn from(error: PgError) -> Self {
        Self::Fatal(Box::new(error.fatal()))
    }
}

/// One message as it came: its type and its body, exactly.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) body: Bytes,
}

/// A client's socket and buffers.
pub(crate) struct Wire {
    reader: ReadHalf<Box<dyn Socket>>,
    writer: WriteHalf<Box<dyn Socket>>,
    input: BytesMut,
    /// Encoded messages not yet sent.
    pub(crate) output: BytesMut,
    /// Cancelled when even busy connections have to end.
    terminate: CancellationToken,
    /// Whether the client had its query cancelled under it because it didn't read: it isn't waited for any longer.
    hurried: bool,
    /// [`MESSAGE_PACE_TIME`], but in tests.
    pace_time: Duration,
}

/// Bytes that were read already, then a socket.
struct Ahead {
    bytes: Bytes,
    socket: Box<dyn Socket>,
}

impl AsyncRead for Ahead {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.bytes.is_empty() {
            return Pin::new(&mut self.socket).poll_read(context, into);
        }
        let count = self.bytes.len().min(into.remaining());
        into.put_slice(&self.bytes.split_to(count));
        if self.bytes.is_empty() {
            // What it was cut from is not kept for as long as the connection.
            self.bytes = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Ahead {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

/// How fast a message that was begun has to come.
struct Pace {
    until: Instant,
    /// The input's length that has to be reached by then.
    length: usize,
}

impl Pace {
    fn new(time: Duration, length: usize) -> Self {
        Self { until: Instant::now() + time, length: length + MESSAGE_PACE_BYTES }
    }
}

impl Wire {
    pub(crate) fn new(socket: Box<dyn Socket>, terminate: CancellationToken) -> Self {
        let (reader, writer) = tokio::io::split(socket);
        Self {
            reader,
            writer,
            input: BytesMut::new(),
            output: BytesMut::new(),
            terminate,
            hurried: false,
            pace_time: MESSAGE_PACE_TIME,
        }
    }

    /// The first byte of the connection, which stays to be read.
    pub(crate) async fn first_byte(&mut self) -> Result<u8, Stop> {
        self.wait().await?;
        Ok(self.input[0])
    }

    /// Goes on over TLS. What was read already is the handshake's; `look` sees the connection once it stands.
    pub(crate) async fn start_tls<T>(
        &mut self,
        config: Arc<ServerConfig>,
        look: impl FnOnce(&ServerConnection) -> T,
    ) -> Result<T, Stop> {
        let (no_reader, no_writer) = tokio::io::split::<Box<dyn Socket>>(Box::new(tokio::io::empty()));
        let reader = std::mem::replace(&mut self.reader, no_reader);
        let writer = std::mem::replace(&mut self.writer, no_writer);
        let socket = Ahead { bytes: self.input.split().freeze(), socket: reader.unsplit(writer) };
        self.input = BytesMut::new();
        let secured = Box::pin(TlsAcceptor::from(config).accept(socket)).await.map_err(|error| {
            tracing::info!(%error, "TLS handshake failed");
            Stop::Gone
        })?;
        let seen = look(secured.get_ref().1);
        (self.reader, self.writer) = tokio::io::split::<Box<dyn Socket>>(Box::new(secured));
        Ok(seen)
    }

    /// Waits for the next message to begin, holding no buffers meanwhile. May be dropped and called again.
    pub(crate) async fn wait(&mut self) -> Result<(), Stop> {
        while self.input.is_empty() {
            // What is there already is read as ever.
            tokio::select! {
                biased;
                filled = self.fill() => filled?,
                () = std::future::ready(()) => {
                    self.input = BytesMut::new();
                    // Answers of an unfinished batch wait in it.
                    if self.output.is_empty() {
                        self.output = BytesMut::new();
                    }
                    let mut first = [0; FIRST_READ_BYTES];
                    match self.reader.read(&mut first).await {
                        Ok(0) | Err(_) => return Err(Stop::Gone),
                        Ok(count) => self.input.extend_from_slice(&first[..count]),
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether bytes were sent beyond what was read.
    pub(crate) fn has_unread(&self) -> bool {
        !self.input.is_empty()
    }

    /// Whether Sync has come, and nothing before it.
    pub(crate) fn is_sync_next(&self) -> bool {
        self.input.first() == Some(&b'S')
    }

    /// Reads a message that has no type: the first ones of a connection.
    pub(crate) async fn read_startup(&mut self) -> Result<Bytes, Stop> {
        while self.input.len() < 4 {
            self.fill().await?;
        }
        let length = length_field(&self.input[..4]);
        if !(8..=STARTUP_BYTES_MAX).contains(&length) {
            return Err(PgError::protocol("invalid length of startup packet").into());
        }
        while self.input.len() < length {
            self.fill().await?;
        }
        let mut message = self.input.split_to(length).freeze();
        message.advance(4);
        Ok(message)
    }

    /// Reads the client's word in an authentication exchange; nothing else is listened to.
    pub(crate) async fn read_authentication(&mut self) -> Result<Bytes, Stop> {
        let allowed = |kind| match kind {
            b'p' => Ok(()),
            b'X' => Err(Stop::Gone),
            kind => Err(PgError::protocol(format!("expected authentication response, got message type {kind}")).into()),
        };
        Ok(self.read_frame(PRE_AUTH_BYTES_MAX, allowed).await?.body)
    }

    /// Reads the next message of an authenticated client. May be dropped and called again.
    pub(crate) async fn read(&mut self) -> Result<Frame, Stop> {
        let allowed = |kind| {
            if frontend::is_known(kind) {
                Ok(())
            } else {
                Err(PgError::protocol(format!("invalid frontend message type {kind}")).into())
            }
        };
        self.read_frame(MESSAGE_BYTES_MAX, allowed).await
    }

    /// The same while a statement takes what the client sends: it ends when even busy connections have to.
    pub(crate) async fn read_unless_terminated(&mut self) -> Result<Frame, Stop> {
        let terminate = self.terminate.clone();
        tokio::select! {
            biased;
            frame = self.read() => frame,
            () = terminate.cancelled() => Err(PgError::shutdown().into()),
        }
    }

    async fn read_frame(&mut self, length_max: usize, allowed: impl Fn(u8) -> Result<(), Stop>) -> Result<Frame, Stop> {
        self.wait().await?;
        let kind = self.input[0];
        allowed(kind)?;
        let mut pace = Pace::new(self.pace_time, self.input.len());
        while self.input.len() < 5 {
            self.fill_in_time(&mut pace).await?;
        }
        let length = length_field(&self.input[1..5]);
        if length < 4 {
            return Err(PgError::protocol("invalid message length").into());
        }
        if length > length_max {
            let detail = format!("The message has {length} bytes; at most {length_max} are accepted.");
            return Err(PgError::protocol("invalid message length").with_detail(detail).into());
        }
        while self.input.len() < 1 + length {
            self.fill_in_time(&mut pace).await?;
        }
        let mut body = self.input.split_to(1 + length).freeze();
        body.advance(5);
        Ok(Frame { kind, body })
    }

    /// Reads more of a message that was begun.
    async fn fill_in_time(&mut self, pace: &mut Pace) -> Result<(), Stop> {
        match tokio::time::timeout_at(pace.until, self.fill()).await {
            Ok(filled) => filled?,
            Err(_) => {
                let error =
                    PgError::new("08006", "terminating connection because a message was begun and not finished");
                return Err(error.into());
            }
        }
        if self.input.len() >= pace.length {
            *pace = Pace::new(self.pace_time, self.input.len());
        }
        Ok(())
    }

    /// Reads what is there. The buffer grows with what arrives, not with what a length field claims.
    async fn fill(&mut self) -> Result<(), Stop> {
        self.input.reserve(8 << 10);
        match self.reader.read_buf(&mut self.input).await {
            Ok(0) | Err(_) => Err(Stop::Gone),
            Ok(_) => Ok(()),
        }
    }

    /// Adds a message to the output.
    pub(crate) fn send<M: Message>(&mut self, message: &M) {
        let start = self.output.len();
        if let Err(error) = message.encode(&mut self.output) {
            self.output.truncate(start);
            tracing::warn!(%error, "message not sent");
        }
    }

    /// Adds bytes that are no message (the answers to SSLRequest).
    pub(crate) fn send_byte(&mut self, byte: u8) {
        self.output.extend_from_slice(&[byte]);
    }

    /// Sends the output.
    pub(crate) async fn flush(&mut self) -> Result<(), Stop> {
        let send = async {
            while !self.output.is_empty() {
                match self.writer.write_buf(&mut self.output).await {
                    Ok(0) | Err(_) => return Err(Stop::Gone),
                    Ok(_) => {}
                }
            }
            self.writer.flush().await.map_err(|_| Stop::Gone)
        };
        let hurried = self.hurried;
        let stalled = async {
            if hurried { tokio::time::sleep(WRITE_STALL_AFTER_CANCEL).await } else { std::future::pending().await }
        };
        tokio::select! {
            sent = send => sent?,
            () = self.terminate.cancelled() => return Err(PgError::shutdown().into()),
            () = stalled => return Err(Stop::Gone),
        }
        self.hurried = false;
        self.shrink();
        Ok(())
    }

    /// The client doesn't read, and its query was cancelled: it has a while to read the rest and hear of it.
    pub(crate) fn hurry(&mut self) {
        self.hurried = true;
    }

    /// Sends the output while a statement runs: a client that goes away is noticed even if its window is closed.
    pub(crate) async fn flush_watching(&mut self) -> Result<(), Stop> {
        let Self { reader, writer, input, output, terminate, .. } = self;
        loop {
            // TLS keeps what the socket didn't take.
            let is_last = output.is_empty();
            let send =
                async { if is_last { writer.flush().await.map(|()| 1) } else { writer.write_buf(output).await } };
            tokio::select! {
                biased;
                sent = send => match sent {
                    Ok(0) | Err(_) => return Err(Stop::Gone),
                    Ok(_) if is_last => break,
                    Ok(_) => {}
                },
                watched = watch(reader, input) => watched?,
                () = terminate.cancelled() => return Err(PgError::shutdown().into()),
            }
        }
        self.shrink();
        Ok(())
    }

    /// Waits for `work`, and gives it up when the client goes away or the server has to end. What the client sends
    /// meanwhile is kept, up to a bound.
    pub(crate) async fn while_connected<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Stop> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                watched = watch(&mut self.reader, &mut self.input) => watched?,
                () = self.terminate.cancelled() => return Err(PgError::shutdown().into()),
            }
        }
    }

    /// One enormous row must not leave an enormous buffer behind.
    fn shrink(&mut self) {
        if self.output.capacity() > 16 * FLUSH_BYTES {
            self.output = BytesMut::with_capacity(FLUSH_BYTES);
        }
    }

    /// Says goodbye as well as the socket lets it, without waiting for a client that doesn't read.
    pub(crate) async fn close(mut self, error: Option<&PgError>) {
        if let Some(error) = error {
            self.send(&error.response());
        }
        let goodbye = async {
            let _ = self.writer.write_all(&self.output).await;
            let _ = self.writer.shutdown().await;
        };
        let _ = tokio::time::timeout(Duration::from_secs(1), goodbye).await;
    }
}

/// Reads ahead until the bound, then waits for ever.
async fn watch(reader: &mut ReadHalf<Box<dyn Socket>>, input: &mut BytesMut) -> Result<(), Stop> {
    if input.len() >= READ_AHEAD_BYTES_MAX {
        return std::future::pending().await;
    }
    input.reserve(8 << 10);
    match reader.read_buf(input).await {
        Ok(0) | Err(_) => Err(Stop::Gone),
        Ok(_) => Ok(()),
    }
}

/// A length field; negative ones become 0, which no message may have.
fn length_field(bytes: &[u8]) -> usize {
    let mut field = [0; 4];
    field.copy_from_slice(bytes);
    usize::try_from(i32::from_be_bytes(field)).unwrap_or(0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    async fn read_all(bytes: Vec<u8>) -> (Vec<u8>, Stop) {
        let (mut client, server) = tokio::io::duplex(64 << 10);
        let mut wire = Wire::new(Box::new(server), CancellationToken::new());
        let writer = async move {
            client.write_all(&bytes).await.unwrap();
            client.shutdown().await.unwrap();
            client
        };
        let reader = async {
            let mut kinds = Vec::new();
            loop {
                match wire.read().await {
                    Ok(frame) => kinds.push(frame.kind),
                    Err(stop) => return (kinds, stop),
                }
            }
        };
        let (result, _client) = tokio::join!(reader, writer);
        result
    }

    #[tokio::test]
    async fn frames_are_cut_exactly_where_their_length_says() {
        let (kinds, stop) = read_all(b"Q\0\0\0\x05\0S\0\0\0\x04X\0\0\0\x04".to_vec()).await;
        assert_eq!(kinds, b"QSX");
        assert!(matches!(stop, Stop::Gone));
    }

    #[tokio::test]
    async fn impossible_lengths_and_types_are_fatal() {
        for bytes in
            [&b"Q\0\0\0\x03"[..], b"Q\xff\xff\xff\xff", b"Q\x7f\xff\xff\xff", b"!\0\0\0\x04", b"GET / HTTP/1.1\r\n\r\n"]
        {
            let (kinds, stop) = read_all(bytes.to_vec()).await;
            assert!(kinds.is_empty());
            assert!(matches!(stop, Stop::Fatal(error) if error.sqlstate == "08P01"), "{bytes:?}");
        }
    }

    #[tokio::test]
    async fn a_message_that_was_begun_has_to_go_on() {
        let (mut client, server) = tokio::io::duplex(64 << 10);
        let mut wire = Wire::new(Box::new(server), CancellationToken::new());
        wire.pace_time = Duration::from_millis(400);
        // Slower than one wait in all, but always going on.
        let whole = [&b"Q\0\0\x50\x04"[..], &[b'x'; 20 << 10]].concat();
        let slowly = async {
            for part in whole.chunks(MESSAGE_PACE_BYTES) {
                client.write_all(part).await.unwrap();
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let (read, ()) = tokio::join!(wire.read(), slowly);
        assert_eq!(read.unwrap().body.len(), 20 << 10);
        // A byte now and then.
        client.write_all(b"Q\0\0\x50\x04").await.unwrap();
        let drips = async {
            for _ in 0..100 {
                if client.write_all(b"Q").await.is_err() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let stop =
            tokio::select! { read = wire.read() => read.unwrap_err(), () = drips => panic!("it was waited for") };
        assert!(matches!(stop, Stop::Fatal(error) if error.sqlstate == "08006"));
    }

    #[tokio::test]
    async fn an_idle_connection_holds_no_buffers_but_what_is_not_sent() {
        let (mut client, server) = tokio::io::duplex(64 << 10);
        let mut wire = Wire::new(Box::new(server), CancellationToken::new());
        client.write_all(&[b"Q\0\0\x50\x04", &[b'x'; 20 << 10][..]].concat()).await.unwrap();
        drop(wire.read().await.unwrap());
        wire.output.extend_from_slice(&[0; 1000]);
        let idle = async |wire: &mut Wire| {
            let _waited = tokio::time::timeout(Duration::from_millis(20), wire.wait()).await;
        };
        idle(&mut wire).await;
        assert_eq!((wire.input.capacity(), wire.output.len()), (0, 1000));
        wire.flush().await.unwrap();
        idle(&mut wire).await;
        assert_eq!((wire.input.capacity(), wire.output.capacity()), (0, 0));
    }

    #[tokio::test]
    async fn a_client_that_goes_away_ends_the_work_it_waited_for() {
        let (client, server) = tokio::io::duplex(1024);
        let mut wire = Wire::new(Box::new(server), CancellationToken::new());
        drop(client);
        let worked = wire.while_connected(std::future::pending::<()>()).await;
        assert!(matches!(worked, Err(Stop::Gone)));
    }

    #[tokio::test]
    async fn what_is_sent_ahead_is_kept_for_later() {
        let (mut client, server) = tokio::io::duplex(1024);
        let mut wire = Wire::new(Box::new(server), CancellationToken::new());
        client.write_all(b"S\0\0\0\x04").await.unwrap();
        let work = async {
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
        };
        assert!(wire.while_connected(work).await.is_ok());
        assert_eq!(wire.read().await.unwrap().kind, b'S');
    }
}
