//! A POST of JSON that says what a run came to, signed so that its receiver can tell that it is ours and when it was sent.
//!
//! ```text
//! Limnos-Delivery: <run>-<number>                 the same at each try
//! Limnos-Signature: t=<seconds since 1970>,v1=<HMAC-SHA256 of "<t>.<body>" under the secret, in hexadecimal digits>
//! ```

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use limnos_catalog::{Report, ReportRun};
use serde_json::json;
use sha2::Sha256;

use super::{Refusal, WebhookOptions};

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of an answer that are told.
const ANSWER_SHOWN_MAX: usize = 200;

/// The client of all webhooks. It follows no redirect: the address that was configured is the one that is trusted.
pub(super) fn client() -> reqwest::Client {
    let builder = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .user_agent(concat!("limnos/", env!("CARGO_PKG_VERSION")));
    builder.build().unwrap_or_default()
}

/// What is told.
pub(super) fn body(report: &Report, run: &ReportRun, id: &str) -> String {
    let time = |ms: i64| chrono::DateTime::from_timestamp_millis(ms).map(|at| at.to_rfc3339());
    let files: Vec<serde_json::Value> = (run.outputs.iter())
        .map(|file| {
            json!({
                "location": file.location, "format": file.format, "bytes": file.size, "sha256": file.sha256,
                "rows": file.row_count,
            })
        })
        .collect();
    let parameters: serde_json::Map<String, serde_json::Value> =
        run.parameters.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
    let event = if run.state == limnos_catalog::RunState::Succeeded { "report.succeeded" } else { "report.failed" };
    json!({
        "event": event,
        "delivery": id,
        "report": run.report,
        "title": report.title,
        "run": run.id,
        "state": run.state.name(),
        "scheduled_at": time(run.scheduled_at_ms),
        "started_at": time(run.started_at_ms),
        "finished_at": run.finished_at_ms.and_then(time),
        "parameters": parameters,
        "rows": run.row_count,
        "files": files,
        "error": run.message,
    })
    .to_string()
}

/// The value of `Limnos-Signature`.
pub fn signature(secret: &[u8], timestamp: i64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("keys may have any length");
    mac.update(timestamp.to_string().as_bytes());
    mac.update(b".");
    mac.update(body.as_bytes());
    let digits: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={timestamp},v1={digits}")
}

pub(super) async fn post(
    client: &reqwest::Client,
    options: &WebhookOptions,
    body: &str,
    id: &str,
    now_s: i64,
) -> Result<(), Refusal> {
    let mut request = client
        .post(&options.url)
        .timeout(options.timeout)
        .header("content-type", "application/json")
        .header("limnos-delivery", id)
        .body(body.to_owned());
    if let Some(secret) = &options.secret {
        request = request.header("limnos-signature", signature(secret.as_bytes(), now_s, body));
    }
    // An error's URL may hold a key.
    let answer = request.send().await.map_err(|error| {
        let error = error.without_url();
        let cause = std::error::Error::source(&error).map_or_else(String::new, |cause| format!(": {cause}"));
        Refusal::now(format!("no answer: {error}{cause}"))
    })?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let text = answer.text().await.unwrap_or_default();
    let text: String = text.chars().filter(|c| !c.is_control()).take(ANSWER_SHOWN_MAX).collect();
    let reason = format!("the answer was {status} {text}").trim_end().to_owned();
    match status.as_u16() {
        // Redirects lead elsewhere; other refusals of the 400s stay so.
        408 | 425 | 429 | 500.. => Err(Refusal::now(reason)),
        _ => Err(Refusal::forever(reason)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_what_others_compute() {
        // printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac key
        let signed = signature(b"key", 1_700_000_000, "{\"a\":1}");
        let expected = "a438e398bfafc57e4396bb7fc2304422f0f768e965d073ca313cb52e22e6ad03";
        assert_eq!(signed, format!("t=1700000000,v1={expected}"));
    }
}
