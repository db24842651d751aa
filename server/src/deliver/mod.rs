//! Tells people and programs of reports that were run: [`mail`] and [`webhook`].
//!
//! ```text
//! RUN REPORT ends ── its deliveries are PENDING in the catalog ── taken, with a lease ── sent ── DELIVERED
//!                                                  ^── again later, 5 tries in all ─── failed ┴── FAILED
//! ```
//! What is pending is in the catalog, so neither a restart nor the death of a server loses it; while a lease holds no other
//! server sends the same. A server that dies between sending and noting so sends once more when the lease has run out: each
//! message has an id of its own (`Limnos-Delivery`, `Message-ID`) by which a receiver can tell.

pub mod mail;
pub mod options;
pub mod webhook;

use std::sync::Arc;
use std::time::Duration;

use limnos_catalog::{Catalog, Delivery, Report, ReportRun};
use limnos_engine::Engine;
use tokio_util::sync::CancellationToken;

pub use options::{DeliveryOptions, SmtpOptions, SmtpTls, WebhookOptions};

/// How long nobody else sends what was taken. Longer than any try takes.
const LEASE: Duration = Duration::from_secs(300);

/// Waits before the second try, the third, ...
const BACK_OFF: [Duration; 4] =
    [Duration::from_secs(2), Duration::from_secs(60), Duration::from_secs(300), Duration::from_secs(1800)];

/// How often what is due is looked for, when nobody says that there is something.
const TICK: Duration = Duration::from_secs(2);

/// Messages that are sent at the same time.
const SENT_AT_ONCE: usize = 8;

/// Why a message didn't arrive.
#[derive(Debug)]
pub struct Refusal {
    /// For `system.report_runs`; no secret is in it.
    pub reason: String,
    /// Whether another try could do better.
    pub again: bool,
}

impl Refusal {
    fn now(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), again: true }
    }

    fn forever(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), again: false }
    }
}

/// See the module.
#[derive(Clone)]
pub struct Deliverer {
    engine: Arc<Engine>,
    options: Arc<DeliveryOptions>,
    client: reqwest::Client,
}

impl Deliverer {
    /// Of the runs in `engine`'s catalog.
    pub fn new(engine: Arc<Engine>, options: DeliveryOptions) -> Self {
        Self { engine, options: Arc::new(options), client: webhook::client() }
    }

    /// Delivers what is due, until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let wake = Arc::clone(self.engine.deliveries());
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = wake.notified() => {}
                () = tokio::time::sleep(TICK) => {}
            }
            // Full hands may have left some.
            while self.deliver_due().await == SENT_AT_ONCE && !stop.is_cancelled() {}
        }
    }

    /// One round. Tells how many were tried.
    async fn deliver_due(&self) -> usize {
        let catalog = Arc::clone(self.engine.catalog());
        if catalog.snapshot().reports.is_empty() {
            return 0;
        }
        let now_ms = self.engine.clock().now().timestamp_millis();
        let taken = tokio::task::spawn_blocking(move || take(&catalog, now_ms)).await;
        let taken = match taken {
            Ok(Ok(taken)) => taken,
            Ok(Err(error)) => {
                tracing::warn!(%error, "deliveries of reports cannot be read");
                return 0;
            }
            Err(error) => {
                tracing::error!(%error, "deliveries of reports cannot be read");
                return 0;
            }
        };
        let count = taken.len();
        let sending = taken.into_iter().map(|(run, number)| self.deliver(run, number));
        futures::future::join_all(sending).await;
        count
    }

    async fn deliver(&self, run: ReportRun, number: usize) {
        let Some(mut delivery) = run.deliveries.get(number).cloned() else { return };
        let id = format!("{}-{number}", run.id);
        let report = self.engine.catalog().snapshot().reports.get(&run.report).cloned();
        let sent = match (delivery.kind.as_str(), report) {
            (_, None) => Err(Refusal::forever("the report was dropped")),
            ("webhook", Some(report)) => self.post(&report, &run, &delivery.target, &id).await,
            ("email", Some(report)) => self.mail(&report, &run, &id).await,
            (other, Some(_)) => Err(Refusal::forever(format!("there is no delivery by {other}"))),
        };
        let now_ms = self.engine.clock().now().timestamp_millis();
        match sent {
            Ok(()) => {
                Delivery::DELIVERED.clone_into(&mut delivery.state);
                delivery.error = None;
                tracing::info!(report = %run.report, run_id = %run.id, kind = %delivery.kind, "report delivered");
            }
            Err(refusal) => {
                let wait = BACK_OFF.get(delivery.attempts.saturating_sub(1) as usize).filter(|_| refusal.again);
                match wait {
                    Some(wait) => {
                        let wait_ms = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
                        delivery.next_at_ms = now_ms.saturating_add(wait_ms);
                    }
                    None => Delivery::FAILED.clone_into(&mut delivery.state),
                }
                tracing::warn!(
                    report = %run.report, run_id = %run.id, kind = %delivery.kind, attempt = delivery.attempts,
                    error = %refusal.reason, "report could not be delivered"
                );
                delivery.error = Some(refusal.reason.chars().take(1_000).collect());
            }
        }
        let catalog = Arc::clone(self.engine.catalog());
        let noted = tokio::task::spawn_blocking(move || catalog.end_delivery(&run.id, number, &delivery)).await;
        if let Ok(Err(error)) = noted {
            tracing::warn!(%error, "the delivery of a report could not be noted");
        }
    }

    async fn post(&self, report: &Report, run: &ReportRun, name: &str, id: &str) -> Result<(), Refusal> {
        let Some(options) = self.options.webhooks.get(&name.to_lowercase()) else {
            return Err(Refusal::forever(format!("webhook \"{name}\" is not in the server's configuration")));
        };
        let now_s = self.engine.clock().now().timestamp();
        webhook::post(&self.client, options, &webhook::body(report, run, id), id, now_s).await
    }

    async fn mail(&self, report: &Report, run: &ReportRun, id: &str) -> Result<(), Refusal> {
        let Some(options) = &self.options.smtp else {
            return Err(Refusal::forever("the server's configuration has no [smtp]"));
        };
        let Some(email) = &report.email else {
            return Err(Refusal::forever("the report has no recipients any more"));
        };
        let mut files = Vec::new();
        let mut left = options.attachments_max_bytes;
        let mut left_out = Vec::new();
        for file in &run.outputs {
            let is_body = email.html_body && file.format == "html";
            if !email.attach && !is_body {
                continue;
            }
            if file.size > left {
                left_out.push(format!("{} has {} bytes, too many to go along", file.location, file.size));
                continue;
            }
            let bytes = self.engine.report_file(file, left).await.map_err(|error| Refusal {
                // One that was replaced since is another run's.
                again: error.code != limnos_engine::ErrorCode::FileChanged,
                reason: error.message,
            })?;
            left -= file.size;
            files.push((file, bytes));
        }
        mail::send(options, &mail::Letter { report, run, email, files: &files, left_out: &left_out, id }).await
    }
}

/// What is due. Asks before it writes: mostly there is nothing.
fn take(catalog: &Catalog, now_ms: i64) -> limnos_catalog::Result<Vec<(ReportRun, usize)>> {
    let is_due = |delivery: &Delivery| delivery.state == Delivery::PENDING && delivery.next_at_ms <= now_ms;
    if !catalog.report_runs()?.iter().any(|run| run.deliveries.iter().any(is_due)) {
        return Ok(Vec::new());
    }
    catalog.take_deliveries(SENT_AT_ONCE, now_ms, i64::try_from(LEASE.as_millis()).unwrap_or(i64::MAX))
}
