//! Turns away what a web page could send. A page of any site, opened in a browser on this machine, can reach loopback:
//! directly (its requests then carry an `Origin`), or by a DNS name of its own that points here (rebinding; its requests
//! then carry that name as `Host`). A content type that forms can't send makes browsers ask first, and we never say yes.

use std::net::IpAddr;

use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use limnos_engine::{Error, ErrorCode};

use super::query::HttpError;

/// Lets requests of programs through.
pub(super) async fn refuse_browsers(request: Request, next: Next) -> Response {
    match check(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

fn check(headers: &HeaderMap) -> Result<(), HttpError> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let forbidden = |message: String| HttpError {
        status: StatusCode::FORBIDDEN,
        error: Error::new(ErrorCode::InsufficientPrivilege, message)
            .with_hint("Only programs on this machine may query over HTTP, not web pages."),
    };
    match text(header::HOST) {
        Some(host) if is_loopback_host(host) => {}
        Some(host) => return Err(forbidden(format!("host \"{host}\" is not this machine"))),
        None => return Err(forbidden("the request names no host".to_owned())),
    }
    if let Some(origin) = text(header::ORIGIN) {
        return Err(forbidden(format!("origin \"{origin}\" may not send queries")));
    }
    let content_type = text(header::CONTENT_TYPE).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/sql") {
        return Err(HttpError {
            status: StatusCode::UNSUPPORTED_MEDIA_TYPE,
            error: Error::new(ErrorCode::ProtocolViolation, format!("content type \"{content_type}\" is not SQL"))
                .with_hint("Send the statement as the body, with the header \"Content-Type: application/sql\"."),
        });
    }
    Ok(())
}

/// Whether `host`, with or without a port, is a name of this machine that no DNS server decides.
fn is_loopback_host(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn programs_pass_and_pages_do_not() {
        let sql = ("content-type", "application/sql; charset=utf-8");
        let here = ("host", "127.0.0.1:8439");
        type Case<'a> = (&'a [(&'a str, &'a str)], Option<StatusCode>);
        let cases: [Case<'_>; 9] = [
            (&[here, sql], None),
            (&[("host", "localhost"), sql], None),
            (&[("host", "[::1]:8439"), sql], None),
            (&[("host", "evil.example:8439"), sql], Some(StatusCode::FORBIDDEN)),
            (&[("host", "127.0.0.1.evil.example"), sql], Some(StatusCode::FORBIDDEN)),
            (&[sql], Some(StatusCode::FORBIDDEN)),
            (&[here, sql, ("origin", "http://evil.example")], Some(StatusCode::FORBIDDEN)),
            (&[here, ("content-type", "text/plain")], Some(StatusCode::UNSUPPORTED_MEDIA_TYPE)),
            (&[here], Some(StatusCode::UNSUPPORTED_MEDIA_TYPE)),
        ];
        for (headers, expected) in cases {
            let map = headers
                .iter()
                .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
                .collect::<HeaderMap>();
            assert_eq!(check(&map).err().map(|error| error.status), expected, "{headers:?}");
        }
    }
}
