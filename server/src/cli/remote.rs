//! [`Server`]: SQL sent to a server's HTTP endpoint, the answer copied to the output as it comes.

use std::io::Write as _;
use std::process::ExitCode;

use futures::StreamExt as _;
use limnos_engine::encode::Format;
use reqwest::{Client, Response, Url};

use super::output::{Output, write_failure};
use super::{CommandResult, Failure, report};
use crate::http::{ErrorBody, NOTICES, NoticeBody, TAG};

/// A server by its HTTP address.
pub(super) struct Server {
    url: Url,
}

impl Server {
    pub(super) fn new(text: &str) -> Result<Self, Failure> {
        let refuse = |message: String, hint: &str| Failure::Told {
            code: ExitCode::from(2),
            message,
            hint: Some(hint.to_owned()),
        };
        let url: Url = text.parse().map_err(|error| {
            refuse(format!("server \"{text}\" is not a URL: {error}"), "Write it as http://127.0.0.1:8439.")
        })?;
        match url.scheme() {
            "http" | "https" => Ok(Self { url }),
            "postgres" | "postgresql" => Err(refuse(
                "queries are sent to a server's HTTP address, not to its PostgreSQL one".to_owned(),
                "Use http://HOST:8439 here, or psql for the PostgreSQL address.",
            )),
            other => Err(refuse(
                format!("server \"{text}\" has an unknown scheme \"{other}\""),
                "Write it as http://127.0.0.1:8439.",
            )),
        }
    }

    /// Sends `sql` and copies its answer.
    pub(super) async fn query(
        &self,
        sql: &str,
        database: Option<&str>,
        format: Format,
        mut output: Output,
    ) -> CommandResult {
        let mut url = self.url.join("query").unwrap_or_else(|_| self.url.clone());
        url.query_pairs_mut().append_pair("format", format.name());
        if let Some(database) = database {
            url.query_pairs_mut().append_pair("database", database);
        }
        // Never through a proxy: the server is ours, and loopback to a proxy is another machine.
        let client = Client::builder().no_proxy().build().map_err(|error| Failure::new(error, None))?;
        let sending = client.post(url).header("content-type", "application/sql").body(sql.to_owned()).send();
        let response = sending.await.map_err(|error| self.unreachable(&error))?;
        if !response.status().is_success() {
            return Err(self.refused(response, sql).await);
        }
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let notices: Vec<NoticeBody> =
            header(NOTICES).and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
        for notice in notices {
            eprintln!("{}:  {}", notice.severity, notice.message);
        }
        if let Some(tag) = header(TAG).filter(|_| format == Format::Table) {
            writeln!(output, "{tag}").map_err(|error| write_failure(&error))?;
        }
        let mut body = response.bytes_stream();
        while let Some(bytes) = body.next().await {
            let bytes = bytes.map_err(|_| {
                let hint = "Its error is in the table system.queries of the server.";
                Failure::new("the query failed after a part of its answer was sent", Some(hint.to_owned()))
            })?;
            output.write_all(&bytes).map_err(|error| write_failure(&error))?;
        }
        output.commit()
    }

    async fn refused(&self, response: Response, sql: &str) -> Failure {
        let status = response.status();
        let text = response.text().await.unwrap_or_default();
        match serde_json::from_str::<ErrorBody>(&text) {
            Ok(body) => report::remote_failure(&body, sql),
            Err(_) => {
                let hint = "Is it a limnos server? With password authentication it takes queries over PostgreSQL only.";
                Failure::new(format!("server {} answered {status}", self.url), Some(hint.to_owned()))
            }
        }
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let mut cause: &dyn std::error::Error = error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        let hint = "Start one with `limnos serve` or `limnos demo`, or leave out --server to query without one.";
        Failure::cannot_connect(format!("could not connect to server {}: {cause}", self.url), Some(hint.to_owned()))
    }
}
