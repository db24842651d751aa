//! [`PgError`]: what ErrorResponse says. Engine errors become one; defects of ours show the query's id, not their text.

use limnos_engine::{Error, ErrorCode, Notice};
use pgwire::messages::response::{ErrorResponse, NoticeResponse};

use crate::limits::ERROR_TEXT_BYTES_MAX;

/// An error with the fields of the protocol.
#[derive(Debug, Clone)]
pub(crate) struct PgError {
    /// Whether the connection ends with it.
    pub(crate) fatal: bool,
    pub(crate) sqlstate: &'static str,
    pub(crate) message: String,
    pub(crate) detail: Option<String>,
    pub(crate) hint: Option<String>,
    pub(crate) position: Option<usize>,
    /// Where in the data. Boxed: errors are in every result.
    pub(crate) context: Option<Box<Context>>,
}

/// Where in the data something is wrong: `COPY t, line 3, column a: "x"`.
#[derive(Debug, Clone)]
pub(crate) struct Context(pub(crate) String);

impl PgError {
    pub(crate) fn new(sqlstate: &'static str, message: impl Into<String>) -> Self {
        Self {
            fatal: false,
            sqlstate,
            message: message.into(),
            detail: None,
            hint: None,
            position: None,
            context: None,
        }
    }

    /// `08P01`.
    pub(crate) fn protocol(message: impl Into<String>) -> Self {
        Self::new("08P01", message)
    }

    /// The error that ends every session at shutdown.
    pub(crate) fn shutdown() -> Self {
        Self::new("57P01", "terminating connection due to administrator command").fatal()
    }

    #[must_use]
    pub(crate) fn fatal(mut self) -> Self {
        self.fatal = true;
        self
    }

    #[must_use]
    pub(crate) fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    #[must_use]
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// An engine's error. The text of an internal one goes to the log, under an id that the client is shown.
    pub(crate) fn from_engine(error: Error, query_id: Option<&str>) -> Self {
        if error.code == ErrorCode::Internal {
            let query_id = query_id.map_or_else(|| uuid::Uuid::now_v7().to_string(), str::to_owned);
            tracing::error!(%query_id, error = %error.message, detail = error.detail, "internal error");
            return Self::new(error.code.sqlstate(), "internal error")
                .with_detail(format!("The query's id is {query_id}."))
                .with_hint("The server's log has the cause under this id.");
        }
        Self {
            fatal: false,
            sqlstate: error.code.sqlstate(),
            message: error.message,
            detail: error.detail,
            hint: error.hint,
            position: error.position,
            context: None,
        }
    }

    pub(crate) fn response(&self) -> ErrorResponse {
        let severity = if self.fatal { "FATAL" } else { "ERROR" };
        let mut fields = vec![
            (b'S', severity.to_owned()),
            (b'V', severity.to_owned()),
            (b'C', self.sqlstate.to_owned()),
            (b'M', wire_text(&self.message)),
        ];
        fields.extend(self.detail.as_deref().map(|detail| (b'D', wire_text(detail))));
        fields.extend(self.hint.as_deref().map(|hint| (b'H', wire_text(hint))));
        fields.extend(self.context.as_deref().map(|context| (b'W', wire_text(&context.0))));
        fields.extend(self.position.map(|position| (b'P', position.to_string())));
        ErrorResponse::new(fields)
    }
}

impl From<Error> for PgError {
    fn from(error: Error) -> Self {
        Self::from_engine(error, None)
    }
}

pub(crate) fn notice_response(notice: &Notice) -> NoticeResponse {
    NoticeResponse::new(vec![
        (b'S', notice.severity.to_owned()),
        (b'V', notice.severity.to_owned()),
        (b'C', notice.sqlstate.to_owned()),
        (b'M', wire_text(&notice.message)),
    ])
}

/// Fields end at a NUL, and a text as long as a file is not a message.
fn wire_text(text: &str) -> String {
    let mut end = text.len().min(ERROR_TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let mut out = text[..end].replace('\0', "\u{fffd}");
    if end < text.len() {
        out.push_str("...");
    }
    out
}
