//! [`Connection`]: a client of the PostgreSQL protocol, as small as a shell needs: simple queries, COPY, cancel, SCRAM, TLS.
//!
//! The driver that the catalog uses has no types for the columns of simple queries, and the extended protocol answers in
//! binary. A shell wants the text that the server writes.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, RecordBatch, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use bytes::BytesMut;
use limnos_shell::{Column, Notice, Receiver, RunError, SqlError, Transaction};
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};
use postgres_protocol::message::backend::{self, ErrorFields, Message};
use postgres_protocol::message::frontend;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::endpoint::Endpoint;
use crate::pg::in_process::InProcess;

/// How long a server may take to answer a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Rows and bytes that are handed over at once.
const BATCH_ROWS: usize = 1024;
const BATCH_BYTES: usize = 256 << 10;

/// The type oids of numbers, which stand at the right: int8, int2, int4, oid, xid, cid, float4, float8, money, numeric.
const NUMBERS: [u32; 10] = [20, 21, 23, 26, 28, 29, 700, 701, 790, 1700];

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// How a server is reached.
#[derive(Clone)]
pub(crate) enum Way {
    /// It is in this process.
    Here(Arc<InProcess>),
    /// Over the network.
    There(Box<Endpoint>),
}

/// Who connects, and where.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) way: Way,
    pub(crate) user: String,
    pub(crate) password: Option<String>,
    pub(crate) database: String,
    /// Settings that the session begins with.
    pub(crate) settings: Vec<(String, String)>,
}

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum ConnectError {
    /// The server can't be reached, or isn't one.
    Unreachable(String),
    /// It says no.
    Refused(Box<SqlError>),
    /// It asks for a password, and none is known.
    NeedsPassword,
}

impl std::fmt::Display for ConnectError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreachable(why) => f.write_str(why),
            Self::Refused(error) => write!(f, "{}:  {}", error.severity, error.message),
            Self::NeedsPassword => f.write_str("the server asks for a password, and none is given"),
        }
    }
}

/// The key that cancels what a connection does.
#[derive(Clone)]
pub(crate) struct CancelKey {
    target: Target,
    pid: i32,
    secret: i32,
}

/// See the module.
pub(crate) struct Connection {
    stream: Box<dyn Stream>,
    input: BytesMut,
    output: BytesMut,
    key: CancelKey,
    /// The address that the server knows the connection by.
    pub(crate) address: SocketAddr,
    pub(crate) transaction: Transaction,
    pub(crate) is_superuser: bool,
    pub(crate) encryption: Option<String>,
}

/// Opens a stream, encrypted where it is wanted and the server does.
async fn open(target: &Target) -> Result<(Box<dyn Stream>, SocketAddr, Option<String>), ConnectError> {
    let endpoint = match &target.way {
        Way::Here(endpoint) => {
            let (stream, address) = endpoint.connect();
            return Ok((Box::new(stream), address, None));
        }
        Way::There(endpoint) => endpoint,
    };
    let (host, port) = (endpoint.host.as_str(), endpoint.port);
    let unreachable = |error: &dyn std::fmt::Display| {
        ConnectError::Unreachable(format!("could not connect to server \"{host}\", port {port}: {error}"))
    };
    let connecting = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect((host, port)));
    let mut stream =
        connecting.await.map_err(|_| unreachable(&"timeout expired"))?.map_err(|error| unreachable(&error))?;
    stream.set_nodelay(true).map_err(|error| unreachable(&error))?;
    let address = stream.local_addr().map_err(|error| unreachable(&error))?;
    let Some(tls) = &endpoint.tls else { return Ok((Box::new(stream), address, None)) };
    let mut request = BytesMut::new();
    frontend::ssl_request(&mut request);
    stream.write_all(&request).await.map_err(|error| unreachable(&error))?;
    match stream.read_u8().await.map_err(|error| unreachable(&error))? {
        b'S' => {}
        b'N' if !endpoint.is_tls_required => return Ok((Box::new(stream), address, None)),
        b'N' => return Err(unreachable(&"server does not support SSL, but SSL was required")),
        _ => return Err(unreachable(&"it is not a PostgreSQL server")),
    }
    let name = ServerName::try_from(host.to_owned()).map_err(|error| unreachable(&error))?;
    let secured =
        TlsConnector::from(Arc::clone(tls)).connect(name, stream).await.map_err(|error| unreachable(&error))?;
    let (_, session) = secured.get_ref();
    let version = session.protocol_version().and_then(|version| version.as_str()).unwrap_or("TLS").to_owned();
    let cipher = session.negotiated_cipher_suite().map(|suite| format!("{:?}", suite.suite())).unwrap_or_default();
    let encryption = format!("protocol: {}, cipher: {cipher}", version.replace('_', "."));
    Ok((Box::new(secured), address, Some(encryption)))
}

impl CancelKey {
    /// Asks for the statement to be stopped, over a connection of its own.
    pub(crate) async fn cancel(&self) {
        let Ok((mut stream, ..)) = open(&self.target).await else { return };
        let mut request = BytesMut::new();
        frontend::cancel_request(self.pid, self.secret, &mut request);
        // Whether it came in time is seen in the statement.
        let _ = stream.write_all(&request).await;
        let _ = stream.flush().await;
        let mut end = [0; 1];
        let _ = tokio::time::timeout(Duration::from_secs(1), stream.read(&mut end)).await;
    }
}

impl Connection {
    /// Connects and logs in.
    pub(crate) async fn open(target: &Target) -> Result<Self, ConnectError> {
        let (stream, address, encryption) = open(target).await?;
        let mut connection = Self {
            stream,
            input: BytesMut::with_capacity(64 << 10),
            output: BytesMut::new(),
            key: CancelKey { target: target.clone(), pid: 0, secret: 0 },
            address,
            transaction: Transaction::None,
            is_superuser: false,
            encryption,
        };
        let login = tokio::time::timeout(CONNECT_TIMEOUT * 3, connection.log_in(target));
        login.await.unwrap_or_else(|_| Err(ConnectError::Unreachable("the server does not answer".to_owned())))?;
        Ok(connection)
    }

    async fn log_in(&mut self, target: &Target) -> Result<(), ConnectError> {
        let broken = |error: io::Error| ConnectError::Unreachable(format!("the connection was closed: {error}"));
        let mut parameters =
            vec![("user", target.user.as_str()), ("database", target.database.as_str()), ("client_encoding", "UTF8")];
        parameters.extend(target.settings.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        frontend::startup_message(parameters, &mut self.output).map_err(broken)?;
        let mut scram = None;
        loop {
            self.send().await.map_err(broken)?;
            match self.next().await.map_err(broken)? {
                Message::AuthenticationOk => {}
                Message::AuthenticationCleartextPassword => {
                    return Err(ConnectError::Unreachable(
                        "the server asks for the password in clear, which is not sent".to_owned(),
                    ));
                }
                Message::AuthenticationSasl(body) => {
                    let mechanisms: Vec<String> =
                        fallible(body.mechanisms(), |name| name.to_owned()).map_err(broken)?;
                    if !mechanisms.iter().any(|name| name == SCRAM_SHA_256) {
                        return Err(ConnectError::Unreachable(
                            "the server asks for a login that is not known".to_owned(),
                        ));
                    }
                    let password = target.password.as_ref().ok_or(ConnectError::NeedsPassword)?;
                    let exchange = ScramSha256::new(password.as_bytes(), ChannelBinding::unsupported());
                    frontend::sasl_initial_response(SCRAM_SHA_256, exchange.message(), &mut self.output)
                        .map_err(broken)?;
                    scram = Some(exchange);
                }
                Message::AuthenticationSaslContinue(body) => {
                    let exchange = scram.as_mut().ok_or(ConnectError::NeedsPassword)?;
                    exchange.update(body.data()).map_err(broken)?;
                    frontend::sasl_response(exchange.message(), &mut self.output).map_err(broken)?;
                }
                Message::AuthenticationSaslFinal(body) => {
                    scram.as_mut().ok_or(ConnectError::NeedsPassword)?.finish(body.data()).map_err(broken)?;
                }
                Message::BackendKeyData(body) => {
                    (self.key.pid, self.key.secret) = (body.process_id(), body.secret_key())
                }
                Message::ParameterStatus(body) => self.parameter(&body),
                Message::ErrorResponse(body) => return Err(ConnectError::Refused(Box::new(error_of(body.fields())))),
                Message::ReadyForQuery(body) => {
                    self.transaction = transaction(body.status());
                    return Ok(());
                }
                Message::NoticeResponse(_) => {}
                _ => return Err(ConnectError::Unreachable("the server asks for a login that is not known".to_owned())),
            }
        }
    }

    /// What cancels its statements.
    pub(crate) fn key(&self) -> CancelKey {
        self.key.clone()
    }

    fn parameter(&mut self, body: &backend::ParameterStatusBody) {
        if body.name().is_ok_and(|name| name == "is_superuser") {
            self.is_superuser = body.value().is_ok_and(|value| value == "on");
        }
    }

    async fn send(&mut self) -> io::Result<()> {
        if !self.output.is_empty() {
            self.stream.write_all(&self.output).await?;
            self.stream.flush().await?;
            self.output.clear();
        }
        Ok(())
    }

    /// The next message that is there already.
    fn parsed(&mut self) -> io::Result<Option<Message>> {
        Message::parse(&mut self.input)
    }

    async fn more(&mut self) -> io::Result<()> {
        self.input.reserve(16 << 10);
        match self.stream.read_buf(&mut self.input).await? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "server closed the connection unexpectedly")),
            _ => Ok(()),
        }
    }

    async fn next(&mut self) -> io::Result<Message> {
        loop {
            if let Some(message) = self.parsed()? {
                return Ok(message);
            }
            self.more().await?;
        }
    }

    /// Runs a text of SQL.
    pub(crate) async fn run(&mut self, sql: &str, receiver: &mut dyn Receiver) -> Result<(), RunError> {
        let lost = |error: io::Error| RunError::Lost(error.to_string());
        if sql.contains('\0') {
            let message = "a statement cannot contain the character with the code 0".to_owned();
            return Err(RunError::Sql(Box::new(SqlError {
                severity: "ERROR".to_owned(),
                message,
                ..SqlError::default()
            })));
        }
        frontend::query(sql, &mut self.output).map_err(lost)?;
        self.send().await.map_err(lost)?;
        let mut rows: Option<Rows> = None;
        let mut failure: Option<SqlError> = None;
        // Once the receiver takes no more, the statement is stopped and what comes is passed over.
        let mut refusal: Option<io::Error> = None;
        loop {
            let message = match self.parsed().map_err(lost)? {
                Some(message) => message,
                None => {
                    // What is there is shown before more is waited for.
                    let shown =
                        rows.as_mut().filter(|_| refusal.is_none()).map_or(Ok(()), |rows| rows.hand_over(receiver));
                    if let Err(error) = shown {
                        refusal = Some(error);
                        self.key.cancel().await;
                    }
                    if let Err(error) = self.more().await {
                        let why = failure.map_or_else(
                            || error.to_string(),
                            |error| format!("{}:  {}", error.severity, error.message),
                        );
                        return Err(RunError::Lost(why));
                    }
                    continue;
                }
            };
            let had_refused = refusal.is_some();
            let taken = match message {
                Message::RowDescription(body) => {
                    let columns = fallible(body.fields(), |field| Column {
                        name: field.name().to_owned(),
                        is_number: NUMBERS.contains(&field.type_oid()),
                    })
                    .map_err(lost)?;
                    let taken = receiver.columns(&columns);
                    rows = Some(Rows::new(&columns));
                    taken
                }
                Message::DataRow(body) if refusal.is_none() => {
                    let rows =
                        rows.as_mut().ok_or_else(|| RunError::Lost("rows came without their columns".to_owned()))?;
                    rows.add(&body).map_err(lost)?;
                    if rows.is_full() { rows.hand_over(receiver) } else { Ok(()) }
                }
                Message::CommandComplete(body) if refusal.is_none() => {
                    let tag = body.tag().map_err(lost)?;
                    let handed = rows.take().map_or(Ok(()), |mut rows| rows.hand_over(receiver));
                    handed.and_then(|()| receiver.done(tag))
                }
                // However few rows there are, they are rows of COPY.
                Message::CopyOutResponse(_) if refusal.is_none() => receiver.copy_out(&[]),
                Message::CopyOutResponse(_) => Ok(()),
                Message::CopyData(body) if refusal.is_none() => receiver.copy_out(body.data()),
                Message::CopyInResponse(_) => self.copy_in(receiver).await.map_err(lost)?,
                Message::ErrorResponse(body) => {
                    failure = Some(error_of(body.fields()));
                    Ok(())
                }
                Message::NoticeResponse(body) => {
                    let SqlError { severity, message, detail, hint, .. } = error_of(body.fields());
                    receiver.notice(&Notice { severity, message, detail, hint });
                    Ok(())
                }
                Message::ParameterStatus(body) => {
                    self.parameter(&body);
                    Ok(())
                }
                Message::ReadyForQuery(body) => {
                    self.transaction = transaction(body.status());
                    return match (refusal, failure) {
                        (Some(error), _) => Err(RunError::Receiver(error)),
                        (None, Some(error)) => Err(RunError::Sql(Box::new(error))),
                        (None, None) => Ok(()),
                    };
                }
                _ => Ok(()),
            };
            if let Err(error) = taken
                && !had_refused
            {
                refusal = Some(error);
                self.key.cancel().await;
            }
        }
    }

    /// Sends what the receiver has. The inner error is the receiver's.
    async fn copy_in(&mut self, receiver: &mut dyn Receiver) -> io::Result<io::Result<()>> {
        loop {
            match receiver.copy_in() {
                Ok(Some(bytes)) => {
                    frontend::CopyData::new(bytes.as_slice())?.write(&mut self.output);
                    if self.output.len() >= BATCH_BYTES {
                        self.send().await?;
                    }
                }
                Ok(None) => {
                    frontend::copy_done(&mut self.output);
                    self.send().await?;
                    return Ok(Ok(()));
                }
                Err(error) => {
                    frontend::copy_fail(&error.to_string(), &mut self.output)?;
                    self.send().await?;
                    return Ok(Err(error));
                }
            }
        }
    }
}

/// Collects a fallible iterator.
fn fallible<T, I>(mut items: I, map: impl Fn(I::Item) -> T) -> io::Result<Vec<T>>
where
    I: fallible_iterator::FallibleIterator<Error = io::Error>,
{
    let mut found = Vec::new();
    while let Some(item) = items.next()? {
        found.push(map(item));
    }
    Ok(found)
}

fn transaction(status: u8) -> Transaction {
    match status {
        b'T' => Transaction::Open,
        b'E' => Transaction::Failed,
        _ => Transaction::None,
    }
}

fn error_of(fields: ErrorFields<'_>) -> SqlError {
    let mut error = SqlError { severity: "ERROR".to_owned(), ..SqlError::default() };
    let all = fallible(fields, |field| (field.type_(), String::from_utf8_lossy(field.value_bytes()).into_owned()));
    for (kind, value) in all.unwrap_or_default() {
        match kind {
            b'S' => error.severity = value,
            b'C' => error.sqlstate = value,
            b'M' => error.message = value,
            b'D' => error.detail = Some(value),
            b'H' => error.hint = Some(value),
            b'P' => error.position = value.parse().ok(),
            _ => {}
        }
    }
    error
}

/// Rows that are gathered into batches.
struct Rows {
    schema: SchemaRef,
    columns: Vec<StringBuilder>,
    row_count: usize,
    byte_count: usize,
}

impl Rows {
    fn new(columns: &[Column]) -> Self {
        let fields: Vec<Field> = columns.iter().map(|column| Field::new(&column.name, DataType::Utf8, true)).collect();
        Self {
            schema: Arc::new(Schema::new(fields)),
            columns: columns.iter().map(|_| StringBuilder::new()).collect(),
            row_count: 0,
            byte_count: 0,
        }
    }

    fn add(&mut self, body: &backend::DataRowBody) -> io::Result<()> {
        let values = fallible(body.ranges(), |range| range)?;
        for (column, range) in self.columns.iter_mut().zip(values) {
            match range {
                Some(range) => column.append_value(String::from_utf8_lossy(&body.buffer()[range])),
                None => column.append_null(),
            }
        }
        self.row_count += 1;
        self.byte_count += body.buffer().len();
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.row_count >= BATCH_ROWS || self.byte_count >= BATCH_BYTES
    }

    fn hand_over(&mut self, receiver: &mut dyn Receiver) -> io::Result<()> {
        if self.row_count == 0 {
            return Ok(());
        }
        let arrays: Vec<ArrayRef> =
            self.columns.iter_mut().map(|column| Arc::new(column.finish()) as ArrayRef).collect();
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(self.row_count));
        (self.row_count, self.byte_count) = (0, 0);
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options);
        receiver.rows(&batch.map_err(io::Error::other)?)
    }
}
