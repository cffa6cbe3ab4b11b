//! Proofs of single events, and C2SP logs: static, cacheable, readable without our code.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing;
use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use indelible::Tag;
use indelible::format::disclose::disclose;
use indelible::format::leaf;
use indelible::format::record::{Body, encode_leaf};
use indelible::format::tile::{TILE_WIDTH, TilePath};
use indelible_adapters::write_seq;

use super::checkpoints::text;
use super::records;
use crate::access::Scope;
use crate::http::Problem;
use crate::http::caller::{Call, Tenants};
use crate::metrics::Question;
use crate::read::asked::Located;
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
    let caller = call.caller_of_any(&server, &[Scope::Audit, Scope::Read])?;
    server.audit.read(&caller, "prove", &event, &asked::told(&caller.tenants()));
    let proof = ask(&server, caller.holder(), Question::Proof, move |server, cancel| {
        let Located { log, seq, .. } = asked::locate(server, &caller, &event, cancel)?;
        // Covers the event, if nothing did yet.
        let signed = server.store.checkpoint(log)?;
        Ok(server.reader.prove_under(&signed, seq, masks::hidden(caller.masks()))?.to_string())
    })
    .await?;
    Ok(text(proof))
}

/// `/log/<name>/…`
pub(crate) fn routes() -> Router<Arc<Server>> {
    Router::new()
        .route("/log/{log}/checkpoint", routing::get(checkpoint))
        .route("/log/{log}/tile/{*tile}", routing::get(tile))
        .route("/log/{log}/events/{group}", routing::get(events))
}

/// What the leaves of a tile of level 0 are made of, so that whoever asks can compute them: 256 positions from `256·group` on, each with the
/// salts of its groups; the commitments to what is masked; the leaf alone of what is not the caller's.
async fn events(
    State(server): State<Arc<Server>>,
    call: Call,
    Path((log, group)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let caller = call.caller(&server, Scope::Audit)?;
    if !caller.token.may(Scope::Read) {
        server.audit.denied(&caller, Scope::Read);
        return Err(Problem::forbidden("this token has no scope read"));
    }
    let log = asked::log_named(&server.identity, &log)?;
    let group: u64 = group.parse().map_err(|_| Problem::bad("tile", "a group of events is a number, from 0"))?;
    let tenants = caller.tenants();
    server.audit.read(&caller, "audit", &format!("log={log} group={group}"), &asked::told(&tenants));
    ask(&server, caller.holder(), Question::Proof, move |server, _| {
        let none = || Problem::not_found("the log is not that long");
        let first = group.checked_mul(u64::from(TILE_WIDTH)).ok_or_else(none)?;
        let hidden = masks::hidden(caller.masks());
        let (mut out, mut count) = (Vec::new(), 0_u64);
        server.reader.salted(log, first, first.saturating_add(u64::from(TILE_WIDTH)), &mut |seq, record, salts| {
            let Some(record) = record else { return };
            count += 1;
            write_seq(&mut out, seq);
            let tenant = record.head().map(|head| head.tenant);
            // What has no tenant is the log's own.
            if !tenant.map_or(tenants == Tenants::All, |tenant| asked::includes(&tenants, tenant)) {
                return encode_leaf(log, &leaf::leaf(record, seq, salts), &mut out);
            }
            let salted = |tag, body| match body {
                Body::Withheld(hash) => Body::Withheld(hash),
                Body::Value(value) => with_salt(tag, salts.salt(tag, seq), value, hidden),
                Body::Salted(salt, value) => with_salt(tag, salt, value, hidden),
            };
            // It was a record before, and is no longer by more than its salts.
            let _ = disclose(record, &mut out, salted);
        })?;
        if count == 0 {
            return Err(none());
        }
        Ok(records::response(out, format!(",\"count\":{count}").as_bytes()))
    })
    .await
}

fn with_salt<'r>(tag: Tag, salt: [u8; 16], value: &'r [u8], hidden: &[Tag]) -> Body<'r> {
    if hidden.contains(&tag) { Body::Withheld(leaf::commitment(tag, &salt, value)) } else { Body::Salted(salt, value) }
}

async fn checkpoint(State(server): State<Arc<Server>>, call: Call, Path(log): Path<String>) -> Result<Response, Problem> {
    let caller = call.caller(&server, Scope::Audit)?;
    let log = asked::log_named(&server.identity, &log)?;
    let signed = ask(&server, caller.holder(), Question::Proof, move |server, _| Ok(server.store.checkpoint(log)?)).await?;
    Ok(text(signed.note))
}

async fn tile(
    State(server): State<Arc<Server>>,
    call: Call,
    Path((log, tile)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let caller = call.caller(&server, Scope::Audit)?;
    let log = asked::log_named(&server.identity, &log)?;
    let path = TilePath::parse(&format!("tile/{tile}")).map_err(|error| Problem::bad("tile", error.to_string()))?;
    let is_full = path.is_full();
    let bytes = ask(&server, caller.holder(), Question::Proof, move |server, _| {
        Ok(server.reader.tile(log, server.store.checkpoint(log)?.size, &path)?)
    })
    .await?;
    let mut response = (StatusCode::OK, bytes).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    // A tile never changes; only whoever may ask for it keeps it.
    let keep = if is_full { "private, max-age=31536000, immutable" } else { "private, max-age=60" };
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(keep));
    Ok(response)
}
