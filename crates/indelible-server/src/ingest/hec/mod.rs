//! Splunk's HTTP Event Collector: `/services/collector` and its kin.
//!
//! What an envelope or a query says besides its event stands in the record under `_hec`, so that all of it comes back. `Success` is said when the
//! events are durable; an `ackId` is therefore acknowledged at once.

mod acks;
mod envelope;
mod raw;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use indelible::json::{Document, Kind, Limits, Node};

use super::foreign::{Fate, Foreign};
use super::{counted, few_enough};
use crate::access::Scope;
use crate::http::Problem;
use crate::http::body::receive;
use crate::http::caller::Call;
use crate::metrics::Protocol;
use crate::server::Server;
use acks::Acks;

pub(crate) fn routes() -> Router<Arc<Server>> {
    let mut routes = Router::new();
    for path in ["/services/collector", "/services/collector/event", "/services/collector/event/1.0"] {
        routes = routes.route(path, post(events));
    }
    for path in ["/services/collector/raw", "/services/collector/raw/1.0"] {
        routes = routes.route(path, post(raw::raw));
    }
    for path in ["/services/collector/health", "/services/collector/health/1.0"] {
        routes = routes.route(path, get(health));
    }
    routes.route("/services/collector/ack", post(acknowledge)).layer(Extension(Arc::new(Acks::new())))
}

/// When there is another server, or this one again, most likely.
const RESTART: Duration = Duration::from_secs(5);

/// An answer in Splunk's words.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    status: StatusCode,
    code: u16,
    text: &'static str,
    /// The number of the event that is wrong.
    nth: Option<usize>,
    ack: Option<u64>,
}

impl Said {
    const fn new(status: StatusCode, code: u16, text: &'static str) -> Self {
        Self { status, code, text, nth: None, ack: None }
    }
}

const SUCCESS: Said = Said::new(StatusCode::OK, 0, "Success");

impl IntoResponse for Said {
    fn into_response(self) -> Response {
        let mut body = format!("{{\"text\":\"{}\",\"code\":{}", self.text, self.code);
        if let Some(nth) = self.nth {
            body.push_str(&format!(",\"invalid-event-number\":{nth}"));
        }
        if let Some(id) = self.ack {
            body.push_str(&format!(",\"ackId\":{id}"));
        }
        body.push('}');
        let mut response = (self.status, body).into_response();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }
}

fn answer(result: Result<Said, Problem>) -> Response {
    let problem = match result {
        Ok(said) => return said.into_response(),
        Err(problem) => problem,
    };
    let (code, text) = match (problem.status.as_u16(), problem.code) {
        (401, "unauthenticated") if problem.detail == "this needs a token" => (2, "Token is required"),
        (401, _) => (4, "Invalid token"),
        (403, _) => (4, "Invalid token"),
        (429 | 503 | 507, _) => (9, "Server is busy"),
        (500, _) => (8, "Internal server error"),
        _ => (6, "Invalid data format"),
    };
    let status = if problem.status == StatusCode::UNAUTHORIZED && code == 4 { StatusCode::FORBIDDEN } else { problem.status };
    let mut response = Said::new(status, code, text).into_response();
    problem.dress(&mut response);
    response
}

async fn health(State(server): State<Arc<Server>>) -> Response {
    if server.is_draining() {
        let mut response = Said::new(StatusCode::SERVICE_UNAVAILABLE, 23, "Server is shutting down").into_response();
        Problem::busy("the server is shutting down").after(RESTART).dress(&mut response);
        return response;
    }
    Said::new(StatusCode::OK, 17, "HEC is healthy").into_response()
}

/// Whatever was said to be a success is durable.
async fn acknowledge(
    State(server): State<Arc<Server>>,
    Extension(acks): Extension<Arc<Acks>>,
    call: Call,
    body: Body,
) -> Response {
    let told = async {
        let caller = call.caller(&server, Scope::Emit)?;
        let received = receive(&call.headers, body, server.body_limits(), &server.room.of(&caller)).await?;
        let mut document = Document::new();
        let node =
            document.parse(&received.bytes, &Limits::default()).map_err(|error| Problem::bad("json", error.to_string()))?;
        let ids: Vec<u64> =
            node.get("acks").map(|acks| acks.elements().filter_map(|id| id.as_u64()).collect()).unwrap_or_default();
        let told: Vec<String> = ids.iter().map(|id| format!("\"{id}\":{}", acks.was_given(*id))).collect();
        Ok(format!("{{\"acks\":{{{}}}}}", told.join(",")))
    };
    match told.await {
        Ok(told) => crate::api::json(told),
        Err(problem) => answer(Err(problem)),
    }
}

/// What became of a request's events.
fn told(fates: &[Fate], call: &Call, acks: &Acks) -> Said {
    match fates.iter().position(|fate| matches!(fate, Fate::Refused(..))) {
        Some(nth) => Said { nth: Some(nth), ..Said::new(StatusCode::BAD_REQUEST, 6, "Invalid data format") },
        None => Said { ack: call.header("x-splunk-request-channel").map(|_| acks.give()), ..SUCCESS },
    }
}

async fn events(State(server): State<Arc<Server>>, Extension(acks): Extension<Arc<Acks>>, call: Call, body: Body) -> Response {
    answer(record(&server, &call, &acks, body).await)
}

async fn record(server: &Server, call: &Call, acks: &Acks, body: Body) -> Result<Said, Problem> {
    let caller = call.caller(server, Scope::Emit)?;
    let received = receive(&call.headers, body, server.body_limits(), &server.room.of(&caller)).await?;
    let Ok(text) = std::str::from_utf8(&received.bytes) else {
        return Ok(Said::new(StatusCode::BAD_REQUEST, 6, "Invalid data format"));
    };
    let most = server.config().size("limits.batch_events");
    let mut whole: Vec<&str> = Vec::new();
    let mut document = Document::new();
    for (nth, envelope) in envelope::envelopes(text).enumerate() {
        counted(server, few_enough(nth + 1, most))?;
        if let Err(said) = read(&mut document, envelope) {
            return Ok(Said { nth: Some(nth), ..said });
        }
        whole.push(envelope);
    }
    if whole.is_empty() {
        return Ok(Said::new(StatusCode::BAD_REQUEST, 5, "No data"));
    }
    let mut foreign = Foreign::new(server, &caller, None, Protocol::Hec, None, whole.len())?;
    let mut identity = Vec::new();
    for envelope in whole {
        // Each is read again, so that what is made of it does not take memory besides what is made of all others.
        let (record, told) = match read(&mut document, envelope) {
            Ok((node, event)) => envelope::joined(node, event),
            Err(said) => return Ok(said),
        };
        foreign.take(&record, None, |draft, emit| {
            let mut draft = draft;
            // The envelope knows better when and where than what it carries.
            draft.time = told.time.or(draft.time);
            draft.origin.host = draft.origin.host.or(told.host.as_deref());
            draft.identity_details = told.identity(draft.identity_details, &mut identity);
            emit(draft)
        })?;
    }
    Ok(told(&foreign.fates().await?, call, acks))
}

/// An envelope and its event.
fn read<'d, 'i>(document: &'d mut Document, envelope: &'i str) -> Result<(Node<'d, 'i>, Node<'d, 'i>), Said> {
    let wrong = |code, text| Said::new(StatusCode::BAD_REQUEST, code, text);
    let node = document.parse(envelope.as_bytes(), &Limits::default()).map_err(|_| wrong(6, "Invalid data format"))?;
    match node.get("event") {
        _ if node.kind() != Kind::Object => Err(wrong(6, "Invalid data format")),
        None => Err(wrong(12, "Event field is required")),
        Some(event) if event.is_null() || event.raw() == "\"\"" => Err(wrong(13, "Event field cannot be blank")),
        Some(event) => Ok((node, event)),
    }
}
