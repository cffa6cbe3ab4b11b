//! The API under `/api/v1`, one file for each kind of thing, and the routes that lead there.

mod access;
mod checkpoints;
mod copy;
mod counts;
mod events;
mod export;
mod health;
pub(crate) mod openapi;
mod parameters;
mod proof;
pub(crate) mod records;
mod search;
mod sending;
mod settings;
mod store;
mod tail;

use std::sync::Arc;

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use indelible::text::safe_json;

use crate::http::Problem;
use crate::server::Server;

pub(crate) use parameters::{Asking, Parameters};

/// That the configuration was read again because of a signal.
pub(crate) fn record_reload(server: &Server, taken: bool) {
    settings::record(server, None, taken);
}

/// All routes of the API.
pub(crate) fn routes() -> Router<Arc<Server>> {
    Router::new()
        .route("/api/v1/events", post(events::post))
        .route("/api/v1/events/{event}", get(search::show))
        .route("/api/v1/events/{event}/proof", get(proof::get))
        .route("/api/v1/events/{event}/context", get(search::context))
        .route("/api/v1/store", get(store::get))
        .route("/api/v1/search", get(search::search))
        .route("/api/v1/facets", get(counts::facets))
        .route("/api/v1/stats", get(counts::stats))
        .route("/api/v1/histogram", get(counts::histogram))
        .route("/api/v1/export", get(export::get))
        .route("/api/v1/tail", get(tail::get))
        .route("/api/v1/checkpoints", get(checkpoints::list))
        .route("/api/v1/checkpoints/{log}", get(checkpoints::note))
        .route("/api/v1/verify", post(checkpoints::verify))
        .route("/api/v1/tokens", get(access::tokens).post(access::create_token))
        .route("/api/v1/tokens/{id}", delete(access::revoke_token))
        .route("/api/v1/tenants", get(access::tenants).post(access::create_tenant))
        .route("/api/v1/tenants/{tenant}/copy", get(copy::get))
        .route("/api/v1/config", get(settings::show))
        .route("/api/v1/config/reload", post(settings::reload))
        .merge(proof::routes())
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .route("/openapi.json", get(openapi::get))
        .method_not_allowed_fallback(async || {
            Problem::new(hyper::StatusCode::METHOD_NOT_ALLOWED, "method", "this path is not for this method")
        })
        .fallback(async || Problem::not_found("there is nothing under this path").hint("/openapi.json tells all paths"))
}

/// An answer that is not to be kept by anybody on the way.
pub(crate) fn unkept(media_type: &'static str, body: Vec<u8>) -> Response {
    let mut response = body.into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The same as JSON, in which nothing acts on the terminal of whoever asked.
pub(crate) fn json(body: impl Into<Vec<u8>>) -> Response {
    unkept("application/json", safe_json(body.into()))
}

/// The same of a value.
pub(crate) fn json_of(value: &impl serde::Serialize) -> Response {
    json(serde_json::to_vec(value).unwrap_or_default())
}
