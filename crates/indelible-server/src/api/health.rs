//! Whether it lives, whether it takes work, and what it counts.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use indelible::ErrorKind;

use crate::access::Scope;
use crate::http::Problem;
use crate::http::caller::Call;
use crate::server::Server;

/// Whether the process answers
#[utoipa::path(get, path = "/livez", tag = "operation", responses((status = 200, description = "It does", body = String, content_type = "text/plain")))]
pub(crate) async fn live() -> Response {
    "ok\n".into_response()
}

/// Whether it records events
#[utoipa::path(get, path = "/readyz", tag = "operation",
    responses((status = 200, description = "It does", body = String, content_type = "text/plain"),
        (status = 503, description = "It is stopping, or the store has stopped", body = super::openapi::ProblemDoc, content_type = "application/problem+json"),
        (status = 507, description = "The disk is full", body = super::openapi::ProblemDoc, content_type = "application/problem+json")))]
pub(crate) async fn ready(State(server): State<Arc<Server>>) -> Result<Response, Problem> {
    if server.is_draining() {
        return Err(
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", "the server is stopping").after(Duration::from_secs(5))
        );
    }
    let shared = Arc::clone(&server);
    // What everything emitted so far becomes is what the next event would become.
    let flushed = super::access::blocking(move || match shared.store.flush() {
        Err(error) if matches!(error.kind(), ErrorKind::Busy | ErrorKind::Poisoned | ErrorKind::Closed | ErrorKind::Io) => {
            Err(error.into())
        }
        _ => Ok(()),
    });
    flushed.await?;
    Ok("ready\n".into_response())
}

/// What the server counts, as OpenMetrics
///
/// For tokens for all tenants with scope read, audit or admin: it tells how much all tenants together do.
#[utoipa::path(get, path = "/metrics", tag = "operation", security(("token" = [])),
    responses((status = 200, description = "OpenMetrics", body = String, content_type = "application/openmetrics-text"),
        (status = "4XX", description = "Not for this token", body = super::openapi::ProblemDoc, content_type = "application/problem+json")))]
pub(crate) async fn metrics(State(server): State<Arc<Server>>, call: Call) -> Result<Response, Problem> {
    let caller = call.caller_of_any(&server, &[Scope::Audit, Scope::Read, Scope::Admin])?;
    // No names of tenants or people are in it; but whoever knows what one tenant does learns what the others do.
    caller.for_all(&server, "metrics tell of all tenants")?;
    let mut response = server.metrics.text(&server.store, &server.reader).into_response();
    let kind = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    Ok(response)
}
