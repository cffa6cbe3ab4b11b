//! `GET /api/v1/tenants/{tenant}/copy`: all events of a tenant, with what proves, without this server, that none is missing.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::Response;
use hyper::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue};

use super::sending::{PIECE_BYTES, Sending};
use crate::access::Scope;
use crate::http::Problem;
use crate::http::caller::Call;
use crate::metrics::{ByQuestion, Question};
use crate::read::asked::includes;
use crate::read::masks;
use crate::server::Server;

/// A count of this age will do: so that asking again and again does not fill log 0.
const COUNTED_WITHIN: Duration = Duration::from_secs(10);

/// Take a tenant's events with proof that they are all
///
/// Lines of JSON (docs/format/tenants.md), to be verified with `indelible verify --tenant FILE --key KEY` by somebody who trusts nobody here. What is masked for
/// the token is withheld: commitments stand in its place. A response that breaks off is not all of it.
#[utoipa::path(get, path = "/api/v1/tenants/{tenant}/copy", tag = "proof", security(("token" = [])),
    params(("tenant" = String, Path, description = "One of the token's tenants")),
    responses(
        (status = 200, description = "The copy", body = String, content_type = "application/x-ndjson"),
        (status = "4XX", description = "There is no such tenant for this token", body = super::openapi::ProblemDoc, content_type = "application/problem+json"),
    ))]
pub(crate) async fn get(State(server): State<Arc<Server>>, call: Call, Path(tenant): Path<String>) -> Result<Response, Problem> {
    let caller = call.caller(&server, Scope::Read)?;
    if !includes(&caller.tenants(), &tenant) || !server.access.has_tenant(&tenant) {
        server.audit.other_tenant(&caller, &tenant);
        return Err(Problem::not_found(format!("there is no tenant {tenant:?}")));
    }
    // It counts its events in log 0 first. Told here, where it is an answer: later it would be one that breaks off.
    if let Some(error) = server.store.stalled() {
        return Err(error.into());
    }
    let (sending, body) = Sending::begin(&server, caller.holder()).await?;
    let shared = Arc::clone(&server);
    tokio::task::spawn_blocking(move || {
        let mut out = Lines { sending, piece: Vec::new() };
        let hidden = masks::hidden(caller.masks());
        let written = shared.store.write_tenant(&tenant, hidden, COUNTED_WITHIN, &mut out);
        let copy = written.ok().filter(|_| io::Write::flush(&mut out).is_ok());
        if copy.is_none() {
            out.sending.give_up();
        }
        let is_whole = out.sending.end();
        shared.audit.export(&caller, "copy with proofs", &tenant, copy.map_or(0, |copy| copy.events), is_whole);
        shared.metrics.questions.get_or_create(&ByQuestion { question: Question::Export }).inc();
    });
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"copy.indelible-tenant\""));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Gathers what is written, and sends it in pieces.
struct Lines {
    sending: Sending,
    piece: Vec<u8>,
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sending.send(std::mem::take(&mut self.piece));
        if self.sending.is_broken() { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) }
    }
}
