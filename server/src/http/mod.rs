//! The HTTP endpoint: `/healthz`, `/metrics` and `POST /query`. In: HTTP requests. Out: what the one door answers.
//!
//! It asks nobody for a password. So `/query` is served only where the PostgreSQL endpoint doesn't ask either (trust, on
//! loopback), and only to programs: [`guard`] turns away what a web page in a browser on this machine could send.

mod guard;
pub mod metrics;
mod query;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use limnos_engine::limits::SQL_BYTES_MAX;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::query::QueryService;
use metrics::Metrics;
pub use query::{ErrorBody, NOTICES, NoticeBody, QUERY_ID, TAG};

/// What the HTTP endpoint needs to know.
#[derive(Clone)]
pub struct HttpOptions {
    /// `current_database()` of its sessions.
    pub catalog_name: String,
    /// Who asks over HTTP.
    pub user: String,
    /// Whether `/query` is served.
    pub query_enabled: bool,
    /// What `/metrics` shows.
    pub metrics: Arc<Metrics>,
    /// Set once a shutdown began.
    pub draining: Arc<AtomicBool>,
}

/// What handlers share.
#[derive(Clone)]
struct Endpoint {
    service: Arc<QueryService>,
    options: HttpOptions,
}

/// Serves until `shutdown`, then lets running answers end.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    service: Arc<QueryService>,
    options: HttpOptions,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    axum::serve(listener, router(service, options)).with_graceful_shutdown(shutdown.cancelled_owned()).await
}

fn router(service: Arc<QueryService>, options: HttpOptions) -> Router {
    let query = Router::new()
        .route("/query", post(query::query))
        .route_layer(middleware::from_fn(guard::refuse_browsers))
        .layer(DefaultBodyLimit::max(SQL_BYTES_MAX));
    let monitoring = Router::new().route("/healthz", get(healthz)).route("/metrics", get(show_metrics));
    let router = if options.query_enabled { monitoring.merge(query) } else { monitoring };
    router.with_state(Endpoint { service, options })
}

/// 200 while statements are taken, 503 once the server drains: load balancers then look elsewhere.
async fn healthz(State(endpoint): State<Endpoint>) -> Response {
    if endpoint.options.draining.load(Ordering::Relaxed) {
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response()
    } else {
        (StatusCode::OK, "ok\n").into_response()
    }
}

async fn show_metrics(State(endpoint): State<Endpoint>) -> Response {
    let content_type = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (content_type, endpoint.options.metrics.render()).into_response()
}
