//! Proofs of single events, and C2SP logs: static, cacheable, readable without our code.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing;
use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use indelible::format::tile::TilePath;

use super::checkpoints::text;
use crate::access::Scope;
use crate::http::Problem;
use crate::http::caller::Call;
use crate::metrics::Question;
use crate::read::{ask, asked, masks};
use crate::server::Server;

/// Prove one event
///
/// A C2SP tlog-proof: the event, its path to the root, and the log's signed checkpoint. What is masked for the token is withheld: the proof
/// holds the commitment to it.
#[utoipa::path(get, path = "/api/v1/events/{event}/proof", tag = "proof", security(("token" = [])),
    params(("event" = String, Path, description = "A position (1234), one of another log (telemetry:7), or the event's id")),
    responses(
        (status = 200, description = "The proof", body = String, content_type = "text/plain"),
        (status = "4XX", description = "There is no such event for this token", body = super::openapi::ProblemDoc, content_type = "application/problem+json"),
    ))]
pub(crate) async fn get(State(server): State<Arc<Server>>, call: Call, Path(event): Path<String>) -> Result<Response, Problem> {
    let caller = call.anybody(&server)?;
    if !caller.token.may(Scope::Read) && !caller.token.may(Scope::Audit) {
        server.audit.denied(&caller, Scope::Audit);
        return Err(Problem::forbidden("this token has neither scope read nor scope audit"));
    }
    server.audit.read(&caller, "prove", &event, &asked::told(&caller.tenants()));
    let proof = ask(&server, Question::Proof, move |server, cancel| {
        let (log, seq) = asked::locate(server, &caller, &event, cancel)?;
        // Covers the event, if nothing did yet.
        let signed = server.store.checkpoint(log)?;
        Ok(server.reader.prove_under(&signed, seq, masks::hidden(caller.masks()))?.to_string())
    })
    .await?;
    Ok(text(proof))
}

/// `/log/<name>/…`
pub(crate) fn routes() -> Router<Arc<Server>> {
    Router::new().route("/log/{log}/checkpoint", routing::get(checkpoint)).route("/log/{log}/tile/{*tile}", routing::get(tile))
}

async fn checkpoint(State(server): State<Arc<Server>>, call: Call, Path(log): Path<String>) -> Result<Response, Problem> {
    call.caller(&server, Scope::Audit)?;
    let log = asked::log_named(&server.identity, &log)?;
    let signed = ask(&server, Question::Proof, move |server, _| Ok(server.store.checkpoint(log)?)).await?;
    Ok(text(signed.note))
}

async fn tile(
    State(server): State<Arc<Server>>,
    call: Call,
    Path((log, tile)): Path<(String, String)>,
) -> Result<Response, Problem> {
    call.caller(&server, Scope::Audit)?;
    let log = asked::log_named(&server.identity, &log)?;
    let path = TilePath::parse(&format!("tile/{tile}")).map_err(|error| Problem::bad("tile", error.to_string()))?;
    let is_full = path.is_full();
    let bytes =
        ask(&server, Question::Proof, move |server, _| Ok(server.reader.tile(log, server.store.checkpoint(log)?.size, &path)?))
            .await?;
    let mut response = (StatusCode::OK, bytes).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    // A tile never changes; only whoever may ask for it keeps it.
    let keep = if is_full { "private, max-age=31536000, immutable" } else { "private, max-age=60" };
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(keep));
    Ok(response)
}
