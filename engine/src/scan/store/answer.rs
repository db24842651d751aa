//! Says in a user's words what a store answered, and nothing that only the store should know: some answers repeat the token
//! of a session, and the texts of `object_store` repeat the answer.

use crate::{Error, ErrorCode};

/// Longest part of a store's own words that is told.
const WORDS_MAX: usize = 500;

/// Codes of S3 for keys that are not, or no longer, good. They come with status 400 or 403.
const KEY_CODES: [&str; 8] = [
    "ExpiredToken",
    "TokenRefreshRequired",
    "InvalidToken",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "RequestTimeTooSkewed",
    "InvalidSecurity",
    "AuthorizationHeaderMalformed",
];

/// What a store answered about `url`.
pub fn store_error(url: &str, error: &object_store::Error) -> Error {
    use object_store::Error as Store;
    if let Some(own) = find_own(error) {
        return own.clone();
    }
    let refused = |detail: String| {
        Error::new(ErrorCode::InsufficientPrivilege, format!("permission denied for \"{url}\"")).with_detail(detail)
    };
    let failed =
        |detail: String| Error::new(ErrorCode::IoError, format!("could not read \"{url}\"")).with_detail(detail);
    match error {
        Store::NotFound { .. } => {
            return Error::new(ErrorCode::UndefinedFile, format!("file \"{url}\" does not exist"));
        }
        Store::Precondition { .. } => return file_changed(url),
        _ => {}
    }
    let text = error.to_string();
    if let Some(told) = Told::find(&text) {
        let words = told.words();
        return match told.code {
            code if KEY_CODES.contains(&code) => refused(words)
                .with_hint("The keys of the store have expired or are wrong: renew them, and restart the server if they are in its settings."),
            _ if told.status == "403" || told.status == "401" => refused(words),
            "NoSuchBucket" | "ContainerNotFound" => {
                Error::new(ErrorCode::UndefinedFile, format!("the bucket of \"{url}\" does not exist")).with_detail(words)
            }
            _ => failed(words),
        };
    }
    match error {
        Store::PermissionDenied { .. } | Store::Unauthenticated { .. } => {
            refused("The operating system or the object store refused access.".to_owned())
        }
        // object_store tells a refused LIST only by the status in its text.
        Store::Generic { .. } if text.contains("status code: 403") => {
            refused("The object store refused access.".to_owned())
        }
        other if is_permission(other) => {
            Error::new(ErrorCode::InsufficientPrivilege, format!("permission denied for \"{url}\""))
        }
        _ => failed(cut(&text)),
    }
}

fn is_permission(error: &object_store::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<std::io::Error>().is_some_and(|io| io.kind() == std::io::ErrorKind::PermissionDenied) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// The parts of an answer that may be told.
struct Told<'a> {
    status: &'a str,
    code: &'a str,
    message: &'a str,
}

impl<'a> Told<'a> {
    /// Looks for an answer of S3, or of what speaks like it, in a text of `object_store`.
    fn find(text: &'a str) -> Option<Self> {
        let (_, answer) = text.split_once("<Error>")?;
        let status = text.split_once("status code: ").map_or("", |(_, rest)| rest.get(..3).unwrap_or_default());
        let part = |name: &str| {
            let (_, rest) = answer.split_once(&format!("<{name}>"))?;
            rest.split_once(&format!("</{name}>")).map(|(inside, _)| inside)
        };
        Some(Self { status, code: part("Code")?, message: part("Message").unwrap_or_default() })
    }

    fn words(&self) -> String {
        let message = self.message.trim().trim_end_matches('.');
        let said = if message.is_empty() { String::new() } else { format!(": {}", cut(message)) };
        format!("The object store answered {} {}{said}.", self.status, cut(self.code))
    }
}

/// A bounded part of a text, without any XML that it ends in.
fn cut(text: &str) -> String {
    let text = text.split_once('<').map_or(text, |(before, _)| before).trim_end();
    match text.char_indices().nth(WORDS_MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// The error of reading a file that a listing said is there: one that is gone now was removed meanwhile.
pub fn read_error(url: &str, error: &object_store::Error) -> Error {
    match error {
        object_store::Error::NotFound { .. } => {
            Error::new(ErrorCode::FileChanged, format!("file \"{url}\" was removed while the query ran"))
                .with_hint("Run the query again.")
        }
        other => store_error(url, other),
    }
}

/// The file is another one than when the query was planned: its parts must not be mixed.
pub(crate) fn file_changed(url: &str) -> Error {
    Error::new(ErrorCode::FileChanged, format!("file \"{url}\" was replaced while the query ran"))
        .with_hint("Run the query again.")
}

/// One of our own errors inside another's chain of sources.
fn find_own<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Error> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(own) = error.downcast_ref::<Error>() {
            return Some(own);
        }
        cause = error.source();
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn generic(text: &str) -> object_store::Error {
        object_store::Error::Generic { store: "S3", source: text.to_owned().into() }
    }

    /// Tokens that answers repeat are not told, and why a store refuses is.
    #[test]
    fn answers_are_told_without_what_is_secret() {
        let answer = |status: u16, code: &str| {
            generic(&format!(
                "Error performing GET http://x/ in 1ms - Server returned non-2xx status code: {status} Bad: <?xml version=\"1.0\"?>\n\
                 <Error><Code>{code}</Code><Message>Some words.</Message><Token-0>CANARY</Token-0></Error>"
            ))
        };
        for (status, code, expected) in [
            (400, "ExpiredToken", ErrorCode::InsufficientPrivilege),
            (403, "SignatureDoesNotMatch", ErrorCode::InsufficientPrivilege),
            (403, "AccessDenied", ErrorCode::InsufficientPrivilege),
            (404, "NoSuchBucket", ErrorCode::UndefinedFile),
            (503, "SlowDown", ErrorCode::IoError),
        ] {
            let error = store_error("s3://b/x", &answer(status, code));
            assert_eq!(error.code, expected, "{error:?}");
            let detail = error.detail.clone().unwrap();
            assert_eq!(detail, format!("The object store answered {status} {code}: Some words."));
            assert!(error.message.contains("s3://b/x") && !format!("{error:?}").contains("CANARY"), "{error:?}");
        }
        let error = store_error("s3://b/x", &generic("Got invalid list response: <html>CANARY"));
        assert_eq!(error.detail.as_deref(), Some("Generic S3 error: Got invalid list response:"));
        let denied = object_store::Error::PermissionDenied { path: "x".into(), source: "CANARY".into() };
        let error = store_error("s3://b/x", &denied);
        assert!(error.code == ErrorCode::InsufficientPrivilege && !format!("{error:?}").contains("CANARY"));
    }
}
