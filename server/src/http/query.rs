//! `POST /query`: SQL in the body, the last statement's answer streamed back in `?format=`.
//!
//! The headers wait until [`HEAD_BYTES`] of the answer are there, so an error before that has a status and a JSON body
//! of its own. A later one ends the body without its last chunk, which no client takes for a whole answer.
//! When the client leaves, the channel closes and the query is cancelled.

use std::convert::Infallible;
use std::io;
use std::mem;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::StreamExt as _;
use limnos_engine::encode::{BatchWriter, Format};
use limnos_engine::{CommandTag, Error, ErrorCode, Notice, Session};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::Endpoint;
use crate::query::CancelSlot;
use crate::script::{self, ScriptError, Sink, tag_text};

/// The answer's id in `system.queries`.
pub const QUERY_ID: HeaderName = HeaderName::from_static("x-limnos-query-id");
/// `CREATE TABLE`, of a statement without rows.
pub const TAG: HeaderName = HeaderName::from_static("x-limnos-tag");
/// What was noticed, as a JSON array.
pub const NOTICES: HeaderName = HeaderName::from_static("x-limnos-notices");

/// So much is held back before the status is sent.
const HEAD_BYTES: usize = 256 << 10;

/// Encoded bytes are sent in pieces of about this size.
const CHUNK_BYTES: usize = 64 << 10;

/// Pieces that may wait for a slow client before its query waits too.
const CHUNKS_WAITING: usize = 4;

/// Most bytes of notices in a header.
const NOTICES_BYTES_MAX: usize = 4 << 10;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    #[serde(default)]
    format: Option<String>,
    /// `current_schema()`: where unqualified names are looked up.
    #[serde(default)]
    database: Option<String>,
}

/// An error as HTTP says it.
#[derive(Debug)]
pub(super) struct HttpError {
    pub(super) status: StatusCode,
    pub(super) error: Error,
}

/// The body of an error; also what `limnos query --server` reads.
#[derive(Debug, Serialize, Deserialize)]
pub struct ErrorBody {
    /// SQLSTATE.
    pub sqlstate: String,
    /// Lower case, no full stop.
    pub message: String,
    /// A full sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// A full sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// 1-based character position in `statement`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<usize>,
    /// The statement of several that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statement: Option<String>,
}

/// A notice in [`NOTICES`].
#[derive(Debug, Serialize, Deserialize)]
pub struct NoticeBody {
    /// `NOTICE`, `WARNING` or `INFO`.
    pub severity: String,
    /// The text.
    pub message: String,
}

impl ErrorBody {
    fn new(error: Error, statement: Option<String>) -> Self {
        let statement = statement.filter(|_| error.position.is_some());
        Self {
            sqlstate: error.code.sqlstate().to_owned(),
            message: error.message,
            detail: error.detail,
            hint: error.hint,
            position: error.position,
            statement,
        }
    }
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        (self.status, Json(ErrorBody::new(self.error, None))).into_response()
    }
}

impl IntoResponse for ScriptError {
    fn into_response(self) -> Response {
        (status_of(self.error.code), Json(ErrorBody::new(self.error, Some(self.sql)))).into_response()
    }
}

/// Whose fault it was, in HTTP's words.
fn status_of(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::InsufficientPrivilege | ErrorCode::LocationNotAllowed => StatusCode::FORBIDDEN,
        ErrorCode::InvalidPassword | ErrorCode::InvalidAuthorization => StatusCode::UNAUTHORIZED,
        ErrorCode::UndefinedTable | ErrorCode::UndefinedDatabase | ErrorCode::InvalidSchemaName => {
            StatusCode::NOT_FOUND
        }
        ErrorCode::UndefinedFile => StatusCode::NOT_FOUND,
        ErrorCode::DuplicateTable | ErrorCode::DuplicateSchema | ErrorCode::DuplicateObject => StatusCode::CONFLICT,
        ErrorCode::FileChanged | ErrorCode::SerializationFailure | ErrorCode::ObjectInUse => StatusCode::CONFLICT,
        ErrorCode::FeatureNotSupported => StatusCode::NOT_IMPLEMENTED,
        ErrorCode::QueryCanceled => StatusCode::REQUEST_TIMEOUT,
        ErrorCode::TooManyConnections | ErrorCode::ConfigurationLimitExceeded => StatusCode::TOO_MANY_REQUESTS,
        ErrorCode::AdminShutdown => StatusCode::SERVICE_UNAVAILABLE,
        ErrorCode::OutOfMemory | ErrorCode::DiskFull => StatusCode::INSUFFICIENT_STORAGE,
        ErrorCode::IoError | ErrorCode::Internal | ErrorCode::DataCorrupted => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::BAD_REQUEST,
    }
}

/// What the running statement tells the response.
enum Message {
    Bytes(Bytes),
    End(Head),
    Failed(ScriptError),
}

/// What goes into the headers.
#[derive(Debug, Default, Clone)]
struct Head {
    query_id: String,
    tag: Option<String>,
    notices: Vec<Notice>,
}

pub(super) async fn query(
    State(endpoint): State<Endpoint>,
    Query(parameters): Query<Parameters>,
    sql: String,
) -> Response {
    let format: Format = match &parameters.format {
        Some(name) => match name.parse() {
            Ok(format) => format,
            Err(error) => {
                return HttpError { status: StatusCode::BAD_REQUEST, error }.into_response();
            }
        },
        None => Format::Ndjson,
    };
    let (sender, mut receiver) = mpsc::channel(CHUNKS_WAITING);
    tokio::spawn(run(endpoint, sql, parameters.database, format, sender));

    let mut held: Vec<Bytes> = Vec::new();
    let mut held_bytes = 0;
    let head = loop {
        match receiver.recv().await {
            Some(Message::Bytes(bytes)) => {
                held_bytes += bytes.len();
                held.push(bytes);
                if held_bytes >= HEAD_BYTES {
                    break None;
                }
            }
            Some(Message::End(head)) => break Some(head),
            Some(Message::Failed(error)) => return error.into_response(),
            None => {
                let error = Error::internal("the statement ended without an answer");
                return HttpError { status: StatusCode::INTERNAL_SERVER_ERROR, error }.into_response();
            }
        }
    };
    let body = match head {
        Some(_) => Body::from_stream(futures::stream::iter(held.into_iter().map(Ok::<_, Infallible>))),
        None => {
            let rest = ReceiverStream::new(receiver).filter_map(|message| {
                futures::future::ready(match message {
                    Message::Bytes(bytes) => Some(Ok(bytes)),
                    Message::End(_) => None,
                    Message::Failed(failed) => Some(Err(io::Error::other(failed.error))),
                })
            });
            Body::from_stream(futures::stream::iter(held.into_iter().map(Ok)).chain(rest))
        }
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(head) = head {
        let mut insert = |name, text: &str| {
            if let Ok(value) = HeaderValue::from_str(text) {
                headers.insert(name, value);
            }
        };
        insert(QUERY_ID, &head.query_id);
        if let Some(tag) = &head.tag {
            insert(TAG, tag);
        }
        if !head.notices.is_empty() {
            insert(NOTICES, &notices_header(&head.notices));
        }
    }
    response
}

/// Notices as JSON in ASCII, as many as fit.
fn notices_header(notices: &[Notice]) -> String {
    let mut bodies: Vec<_> = notices
        .iter()
        .map(|notice| NoticeBody { severity: notice.severity.to_owned(), message: notice.message.clone() })
        .collect();
    loop {
        let json = serde_json::to_string(&bodies).unwrap_or_default();
        if json.len() <= NOTICES_BYTES_MAX || bodies.pop().is_none() {
            return escape_non_ascii(&json);
        }
    }
}

/// JSON whose strings say every non-ASCII character as `\uXXXX`, for a header can't hold it.
fn escape_non_ascii(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() {
            escaped.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                escaped.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    escaped
}

/// Runs the script on a task of its own and tells `sender` all about it.
async fn run(endpoint: Endpoint, sql: String, database: Option<String>, format: Format, sender: mpsc::Sender<Message>) {
    let options = &endpoint.options;
    let mut session = Session::new(&options.user, &options.catalog_name);
    let mut sink = HttpSink { format, writer: None, buffer: Vec::new(), head: Head::default(), sender: sender.clone() };
    let slot = CancelSlot::default();
    if let Some(database) = database {
        session.database = database;
    }
    // A client that leaves while nothing is sent yet must stop its query, too.
    let outcome = tokio::select! {
        outcome = script::run(&endpoint.service, &mut session, &sql, &slot, &mut sink) => outcome,
        () = sender.closed() => return,
    };
    let message = match outcome {
        Ok(()) => Message::End(mem::take(&mut sink.head)),
        Err(error) => Message::Failed(error),
    };
    // Nobody listens any more: nothing to tell.
    let _ = sender.send(message).await;
}

/// Encodes the last answer into the channel.
struct HttpSink {
    format: Format,
    writer: Option<Box<dyn BatchWriter>>,
    buffer: Vec<u8>,
    head: Head,
    sender: mpsc::Sender<Message>,
}

impl HttpSink {
    async fn send(&mut self) -> limnos_engine::Result<()> {
        let bytes = Bytes::from(mem::take(&mut self.buffer));
        self.sender.send(Message::Bytes(bytes)).await.map_err(|_| client_left())
    }
}

#[async_trait]
impl Sink for HttpSink {
    async fn begin(
        &mut self,
        query_id: &str,
        schema: Option<&SchemaRef>,
        notices: &[Notice],
    ) -> limnos_engine::Result<()> {
        query_id.clone_into(&mut self.head.query_id);
        self.head.notices.extend_from_slice(notices);
        self.writer = schema.map(|schema| self.format.writer(schema)).transpose()?;
        Ok(())
    }

    async fn batch(&mut self, batch: RecordBatch) -> limnos_engine::Result<()> {
        // Small steps: a batch of wide rows may be many times larger as text.
        for start in (0..batch.num_rows()).step_by(1024) {
            let rows = batch.slice(start, 1024.min(batch.num_rows() - start));
            self.writer.as_mut().expect("rows come with a schema").write(&rows, &mut self.buffer)?;
            if self.buffer.len() >= CHUNK_BYTES {
                self.send().await?;
            }
        }
        Ok(())
    }

    /// In the head of an answer that is whole before its head is sent.
    async fn closing(&mut self, notices: &[Notice]) -> limnos_engine::Result<()> {
        self.head.notices.extend_from_slice(notices);
        Ok(())
    }

    async fn end(&mut self, tag: &CommandTag, rows: u64) -> limnos_engine::Result<()> {
        match self.writer.take() {
            Some(mut writer) => writer.finish(&mut self.buffer)?,
            None => self.head.tag = Some(tag_text(tag, rows)),
        }
        if self.buffer.is_empty() { Ok(()) } else { self.send().await }
    }
}

fn client_left() -> Error {
    Error::new(ErrorCode::QueryCanceled, "canceling statement because the client left")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn notices_fit_a_header_and_read_back() {
        let notices: Vec<_> = (0..500).map(|i| Notice::notice(format!("skipped \"größe {i}\" 😀"))).collect();
        let text = notices_header(&notices);
        assert!(HeaderValue::from_str(&text).is_ok());
        let read: Vec<NoticeBody> = serde_json::from_str(&text).unwrap();
        assert!(read.len() > 10 && read.len() < 500);
        assert_eq!(read[7].message, "skipped \"größe 7\" 😀");
    }

    #[test]
    fn errors_have_the_status_of_their_cause() {
        let cases = [
            (ErrorCode::SyntaxError, 400),
            (ErrorCode::UndefinedTable, 404),
            (ErrorCode::LocationNotAllowed, 403),
            (ErrorCode::OutOfMemory, 507),
            (ErrorCode::AdminShutdown, 503),
            (ErrorCode::Internal, 500),
        ];
        for (code, status) in cases {
            assert_eq!(status_of(code).as_u16(), status, "{code:?}");
        }
    }
}
