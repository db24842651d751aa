//! [`Connector`]: HTTP to object stores, and what is not believed of their answers.
//!
//! `object_store` takes any XML for a listing: the page of a proxy that wants a login is a bucket without objects to it. It
//! asks for the next page as long as there is a token, be it the same for ever, and ends a listing that says it goes on but
//! not where. It waits for an answer without end, and goes on with a body that broke from wherever the store likes. Here
//! those are errors. What may pass is asked for again by `object_store`.

use std::time::Duration;

use async_trait::async_trait;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
    SpawnedReqwestConnector,
};
use object_store::{ClientOptions, Result};

/// How long a store may take to begin its answer, and to end a listing's page. Three times that is within a minute.
const ANSWER_DEADLINE: Duration = if cfg!(test) { Duration::from_millis(200) } else { Duration::from_secs(15) };

/// Makes clients that look at answers.
#[derive(Debug)]
pub(super) struct Connector {
    io: Option<tokio::runtime::Handle>,
}

impl Connector {
    /// Requests run on `io`, or on whatever polls them.
    pub(super) fn new(io: Option<tokio::runtime::Handle>) -> Self {
        Self { io }
    }
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> Result<HttpClient> {
        let client = match &self.io {
            Some(io) => SpawnedReqwestConnector::new(io.clone()).connect(options)?,
            None => ReqwestConnector::default().connect(options)?,
        };
        Ok(HttpClient::new(Sceptic { client }))
    }
}

#[derive(Debug)]
struct Sceptic {
    client: HttpClient,
}

#[async_trait]
impl HttpService for Sceptic {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let asked = Asked::of(&request);
        if !asked.is_read {
            return self.client.execute(request).await;
        }
        let answering = async {
            let response = self.client.execute(request).await?;
            if !response.status().is_success() {
                return Ok(response);
            }
            if let Some(start) = asked.start {
                let told = response.headers().get("content-range").and_then(|value| value.to_str().ok());
                check_range(start, response.status().as_u16(), told).map_err(distrust)?;
            }
            let Some(listing) = &asked.listing else { return Ok(response) };
            // A page is a thousand keys: it fits in memory, and `object_store` takes it whole too.
            let (parts, body) = response.into_parts();
            // One that breaks is asked for again.
            let body = body.bytes().await.map_err(|error| HttpError::new(HttpErrorKind::Interrupted, error))?;
            listing.check(&body).map_err(distrust)?;
            Ok(HttpResponse::from_parts(parts, body.into()))
        };
        match tokio::time::timeout(ANSWER_DEADLINE, answering).await {
            Ok(answer) => answer,
            Err(_) => {
                let text = format!("no answer came within {} s", ANSWER_DEADLINE.as_secs());
                Err(HttpError::new(HttpErrorKind::Timeout, std::io::Error::new(std::io::ErrorKind::TimedOut, text)))
            }
        }
    }
}

/// An answer that asking again won't change.
fn distrust(text: String) -> HttpError {
    HttpError::new(HttpErrorKind::Decode, std::io::Error::new(std::io::ErrorKind::InvalidData, text))
}

/// What a request wants, as far as its answer can be checked.
struct Asked {
    is_read: bool,
    /// The first byte of the range.
    start: Option<u64>,
    listing: Option<Listing>,
}

impl Asked {
    fn of(request: &HttpRequest) -> Self {
        let method = request.method().as_str();
        let range = request.headers().get("range").and_then(|value| value.to_str().ok());
        let start = range.and_then(|range| range.strip_prefix("bytes=")?.split_once('-')?.0.parse().ok());
        let listing = if method == "GET" { Listing::of(request.uri().query().unwrap_or_default()) } else { None };
        Self { is_read: matches!(method, "GET" | "HEAD"), start, listing }
    }
}

/// The body must be of the range that was asked for. The first answer is checked by `object_store` too, but not those to
/// the requests by which it goes on with a body that broke.
fn check_range(start: u64, status: u16, content_range: Option<&str>) -> Result<(), String> {
    let told =
        content_range.and_then(|range| range.trim().strip_prefix("bytes ")?.split_once('-')?.0.parse::<u64>().ok());
    match told {
        Some(told) if told == start && status == 206 => Ok(()),
        _ => Err(format!("the store answered to a request for bytes from {start} on with other ones")),
    }
}

/// A page of a listing.
#[derive(Debug, PartialEq, Eq)]
struct Listing {
    /// What the answer's root element is called.
    root: &'static str,
    /// The element that says where the next page begins.
    next: &'static str,
    /// The token that this page was asked for with.
    token: Option<String>,
}

impl Listing {
    /// Of a request's query string, if it asks for a listing: of S3 and what speaks like it, or of Azure.
    fn of(query: &str) -> Option<Self> {
        let (mut kind, mut token) = (None, None);
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match (name.as_ref(), value.as_ref()) {
                ("list-type", "2") => kind = Some(("ListBucketResult", "NextContinuationToken")),
                ("comp", "list") => kind = Some(("EnumerationResults", "NextMarker")),
                ("continuation-token" | "marker", value) => token = Some(value.to_owned()),
                _ => {}
            }
        }
        kind.map(|(root, next)| Self { root, next, token })
    }

    fn check(&self, body: &[u8]) -> Result<(), String> {
        let text = std::str::from_utf8(body).map_err(|_| "the store's listing is not UTF-8".to_owned())?;
        if !text.contains(&format!("<{}", self.root)) || !text.trim_end().ends_with('>') {
            return Err("the store answered with something that is no listing".to_owned());
        }
        let next = element(text, self.next).map(unescape).filter(|next| !next.is_empty());
        if next.is_some() && next == self.token {
            return Err("the store's listing does not go on: it gives the same continuation token again".to_owned());
        }
        if next.is_none() && element(text, "IsTruncated").is_some_and(|is_truncated| is_truncated.trim() == "true") {
            return Err("the store's listing goes on, but it does not say where".to_owned());
        }
        Ok(())
    }
}

/// The text of the one element called `name`. Keys can't look like one: they are escaped.
fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(inside, _)| inside)
}

fn unescape(text: &str) -> String {
    let entities = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&#34;", "\""), ("&amp;", "&")];
    entities.iter().fold(text.to_owned(), |text, (escaped, character)| text.replace(escaped, character))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_body_must_be_of_the_range_that_was_asked_for() {
        check_range(5, 206, Some("bytes 5-9/100")).unwrap();
        for (status, told) in
            [(200, None), (200, Some("bytes 5-9/100")), (206, None), (206, Some("bytes 0-9/100")), (206, Some("5"))]
        {
            check_range(5, status, told).unwrap_err();
        }
    }

    #[test]
    fn a_listing_must_be_one_and_go_on() {
        assert_eq!(Listing::of("prefix=list-type"), None);
        let first = Listing::of("list-type=2&prefix=a%2F").unwrap();
        assert_eq!(first.token, None);
        let second = Listing::of("list-type=2&continuation-token=x%26%2F%3D&prefix=a").unwrap();
        assert_eq!(second.token.as_deref(), Some("x&/="));
        let page = |inside: &str| {
            format!("<?xml version=\"1.0\"?>\n<ListBucketResult xmlns=\"x\">{inside}</ListBucketResult>\n")
        };
        let ends = page("<IsTruncated>false</IsTruncated><Contents><Key>a&lt;/Key&gt;</Key></Contents>");
        let goes_on = page("<IsTruncated>true</IsTruncated><NextContinuationToken>x&amp;/=</NextContinuationToken>");
        first.check(ends.as_bytes()).unwrap();
        first.check(goes_on.as_bytes()).unwrap();
        second.check(ends.as_bytes()).unwrap();
        assert!(second.check(goes_on.as_bytes()).unwrap_err().contains("same continuation token"));
        assert!(first.check(page("<IsTruncated>true</IsTruncated>").as_bytes()).unwrap_err().contains("not say where"));
        for garbage in ["", "<html><body>Log in</body></html>", "{}", &ends[..ends.len() - 30], "\u{0}"] {
            assert!(first.check(garbage.as_bytes()).unwrap_err().contains("no listing"), "{garbage}");
        }
        assert!(first.check(&[0xff, 0xfe]).is_err());
        let azure = Listing::of("restype=container&comp=list&marker=m").unwrap();
        azure.check(b"<EnumerationResults><NextMarker /></EnumerationResults>").unwrap();
        azure.check(b"<EnumerationResults><NextMarker></NextMarker></EnumerationResults>").unwrap();
        azure.check(b"<EnumerationResults><NextMarker>m</NextMarker></EnumerationResults>").unwrap_err();
    }
}
