//! Signed heads of the logs, and the verification of everything.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use indelible::verify::Options;
use indelible::{Draft, Outcome, taxonomy};
use serde::Serialize;
use utoipa::ToSchema;

use super::json_of;
use crate::access::Scope;
use crate::http::Problem;
use crate::http::caller::Call;
use crate::metrics::Question;
use crate::read::ask;
use crate::read::asked::log_named;
use crate::server::Server;

/// A log and its newest signed head.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LogDoc {
    log: String,
    origin: String,
    verifier_key: String,
    size: u64,
    root: String,
    checkpoint: String,
}

/// The logs and their newest signed heads
#[utoipa::path(get, path = "/api/v1/checkpoints", tag = "proof", security(("token" = [])),
    responses((status = 200, description = "By log", body = Vec<LogDoc>)))]
pub(crate) async fn list(State(server): State<Arc<Server>>, call: Call) -> Result<Response, Problem> {
    let caller = call.caller(&server, Scope::Audit)?;
    let logs = ask(&server, caller.holder(), Question::Proof, |server, _| {
        let mut logs = Vec::new();
        for log in &server.identity.logs {
            let signed = server.store.checkpoint(log.id)?;
            logs.push(LogDoc {
                log: log.name.clone(),
                origin: signed.origin,
                verifier_key: server.identity.verifier_key(log.id).map(|key| key.to_string()).unwrap_or_default(),
                size: signed.size,
                root: signed.root.to_string(),
                checkpoint: signed.note,
            });
        }
        Ok(logs)
    })
    .await?;
    Ok(json_of(&logs))
}

/// The newest signed head of a log
#[utoipa::path(get, path = "/api/v1/checkpoints/{log}", tag = "proof", security(("token" = [])),
    params(("log" = String, Path, description = "Name or number of the log")),
    responses(
        (status = 200, description = "A C2SP checkpoint", body = String, content_type = "text/plain"),
        (status = "4XX", description = "There is no such log", body = super::openapi::ProblemDoc, content_type = "application/problem+json"),
    ))]
pub(crate) async fn note(State(server): State<Arc<Server>>, call: Call, Path(log): Path<String>) -> Result<Response, Problem> {
    let caller = call.caller(&server, Scope::Audit)?;
    let log = log_named(&server.identity, &log)?;
    let signed = ask(&server, caller.holder(), Question::Proof, move |server, _| Ok(server.store.checkpoint(log)?)).await?;
    Ok(text(signed.note))
}

/// Plain text that is not kept on the way.
pub(crate) fn text(body: String) -> Response {
    let mut response = body.into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// What verification found.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct VerifyDoc {
    ok: bool,
    events: u64,
    frames: u64,
    logs: Vec<VerifiedLogDoc>,
    findings: Vec<FindingDoc>,
}

/// How far one log holds.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct VerifiedLogDoc {
    log: String,
    size: u64,
    root: String,
    signed: u64,
}

/// One finding.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FindingDoc {
    code: String,
    /// `note`, `warn` or `fail`.
    level: String,
    log: Option<String>,
    at: Option<u64>,
    message: String,
}

/// Recompute every hash and check every signature
///
/// It reads everything, so it takes a second for each few hundred thousand events; one at a time, and 503 for whoever asks meanwhile. It is the server's own word: whoever does not trust it takes
/// the tiles, or a backup, and verifies by itself.
#[utoipa::path(post, path = "/api/v1/verify", tag = "proof", security(("token" = [])),
    responses((status = 200, description = "What was found", body = VerifyDoc),
        (status = "4XX", description = "Not for this token", body = super::openapi::ProblemDoc, content_type = "application/problem+json"),
        (status = 503, description = "It is being done for somebody else", body = super::openapi::ProblemDoc, content_type = "application/problem+json")))]
pub(crate) async fn verify(State(server): State<Arc<Server>>, call: Call) -> Result<Response, Problem> {
    let caller = call.caller(&server, Scope::Audit)?;
    caller.for_all(&server, "verification reads every tenant's events")?;
    // Not one of the questions, which have to end soon. It goes on when whoever asked has left, so that it is one at a time all the same.
    let place = Arc::clone(&server.verifying).try_acquire_owned();
    let place =
        place.map_err(|_| Problem::busy("everything is being verified for somebody else").after(Duration::from_secs(10)))?;
    let shared = Arc::clone(&server);
    let report = tokio::task::spawn_blocking(move || {
        let report = indelible::verify::verify(shared.reader.dir(), Options::default())?;
        let outcome = if report.ok { Outcome::Success } else { Outcome::Failure };
        let draft = Draft::new(taxonomy::LOG_VERIFY).outcome(outcome).detail("findings", report.findings.len() as u64);
        shared.audit.by(&caller, draft);
        drop(place);
        Ok::<_, Problem>(report)
    });
    let report =
        report.await.map_err(|_| Problem::new(hyper::StatusCode::INTERNAL_SERVER_ERROR, "store", "verification broke off"))??;
    let name = |log: u32| server.identity.log_name(log).to_owned();
    Ok(json_of(&VerifyDoc {
        ok: report.ok,
        events: report.events,
        frames: report.frames,
        logs: report
            .logs
            .iter()
            .map(|log| VerifiedLogDoc { log: log.name.clone(), size: log.size, root: log.root.to_string(), signed: log.signed })
            .collect(),
        findings: report
            .findings
            .iter()
            .map(|finding| FindingDoc {
                code: finding.code.name().to_owned(),
                level: finding.level.name().to_owned(),
                log: finding.log.map(name),
                at: finding.at,
                message: finding.message.clone(),
            })
            .collect(),
    }))
}
