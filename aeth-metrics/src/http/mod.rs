//! An axum router that a host mounts; it opens no socket itself.
//!
//! | path | answer |
//! |---|---|
//! | `/metrics` | OpenMetrics or Prometheus text, by the `Accept` header |
//! | `/api/metrics` | [`StorageMetrics`](crate::StorageMetrics) as JSON, since the registry was made |
//! | `/api/health` | everything, as `application/health+json` |
//! | `/api/health/{component}` | one component; 404 when there is none of that name |
//! | `/livez`, `/readyz`, `/startupz` | the probes |
//!
//! Health answers 200 when it passes or warns and 503 when it fails, always with `Cache-Control: no-store`.
//! There is no access control: mount it where only those come who may see it.
//!
//! ```
//! use aeth_core::SystemClock;
//! use aeth_metrics::{HealthOptions, HealthRegistry, Registry};
//! let clock = SystemClock::shared();
//! let health = HealthRegistry::new(clock.clone(), HealthOptions::default());
//! let router: axum::Router = aeth_metrics::http::router(Registry::new(clock), health);
//! ```

use crate::{Format, HealthDocument, HealthRegistry, Probe, Registry};
use axum::Router;
use axum::extract::{Path, State};
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

#[derive(Debug, Clone)]
struct Sources {
    registry: Registry,
    health: HealthRegistry,
}

/// The routes over these sources.
pub fn router(registry: Registry, health: HealthRegistry) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/api/metrics", get(storage_metrics))
        .route("/api/health", get(|sources| probe(sources, Probe::All)))
        .route("/api/health/{component}", get(component))
        .route("/livez", get(|sources| probe(sources, Probe::Liveness)))
        .route("/readyz", get(|sources| probe(sources, Probe::Readiness)))
        .route("/startupz", get(|sources| probe(sources, Probe::Startup)))
        .with_state(Sources { registry, health })
}

async fn metrics(State(sources): State<Sources>, headers: HeaderMap) -> Response {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let format = Format::negotiate(accept);
    let text = sources.registry.collect().render(format);
    ([(CONTENT_TYPE, format.content_type()), (VARY, "accept")], text).into_response()
}

async fn storage_metrics(State(sources): State<Sources>) -> Response {
    match serde_json::to_string(&sources.registry.storage_metrics()) {
        Ok(json) => ([(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")], json).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn probe(State(sources): State<Sources>, probe: Probe) -> Response {
    let report = sources.health.report(probe).await;
    answer(report.http_status(), &report.document())
}

async fn component(State(sources): State<Sources>, Path(name): Path<String>) -> Response {
    match sources.health.component(&name).await {
        Some(health) => answer(health.http_status(), &health.document()),
        None => (StatusCode::NOT_FOUND, "no such component\n").into_response(),
    }
}

fn answer(status: u16, document: &HealthDocument) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    let headers = [(CONTENT_TYPE, HealthDocument::CONTENT_TYPE), (CACHE_CONTROL, "no-store")];
    (status, headers, document.to_json()).into_response()
}
