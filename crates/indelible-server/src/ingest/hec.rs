//! Splunk's HTTP Event Collector: `/services/collector` and its kin.
//!
//! What an envelope says besides its event stands in the record under `_hec`, so that the whole envelope comes back. `Success` is said when the
//! events are durable; an `ackId` is therefore acknowledged at once.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use indelible::json::{Document, Kind, Limits, Node, write_string};

use super::foreign::{Fate, Foreign};
use super::{counted, few_enough};
use crate::access::Scope;
use crate::http::Problem;
use crate::http::body::receive;
use crate::http::caller::Call;
use crate::metrics::Protocol;
use crate::server::Server;

pub(crate) fn routes() -> Router<Arc<Server>> {
    let mut routes = Router::new();
    for path in ["/services/collector", "/services/collector/event", "/services/collector/event/1.0"] {
        routes = routes.route(path, post(events));
    }
    for path in ["/services/collector/raw", "/services/collector/raw/1.0"] {
        routes = routes.route(path, post(raw));
    }
    for path in ["/services/collector/health", "/services/collector/health/1.0"] {
        routes = routes.route(path, get(health));
    }
    routes.route("/services/collector/ack", post(acks))
}

/// An answer in Splunk's words.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    status: StatusCode,
    code: u16,
    text: &'static str,
    /// The number of the event that is wrong.
    nth: Option<usize>,
    ack: bool,
}

impl Said {
    const fn new(status: StatusCode, code: u16, text: &'static str) -> Self {
        Self { status, code, text, nth: None, ack: false }
    }
}

const SUCCESS: Said = Said::new(StatusCode::OK, 0, "Success");

impl IntoResponse for Said {
    fn into_response(self) -> Response {
        let mut body = format!("{{\"text\":\"{}\",\"code\":{}", self.text, self.code);
        if let Some(nth) = self.nth {
            body.push_str(&format!(",\"invalid-event-number\":{nth}"));
        }
        if self.ack {
            body.push_str(",\"ackId\":0");
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
        return Said::new(StatusCode::SERVICE_UNAVAILABLE, 23, "Server is shutting down").into_response();
    }
    Said::new(StatusCode::OK, 17, "HEC is healthy").into_response()
}

/// Whatever was said to be a success is durable.
async fn acks(State(server): State<Arc<Server>>, call: Call, body: Body) -> Response {
    let told = async {
        call.caller(&server, Scope::Emit)?;
        let received = receive(&call.headers, body, server.body_limits(), &server.room).await?;
        let mut document = Document::new();
        let node =
            document.parse(&received.bytes, &Limits::default()).map_err(|error| Problem::bad("json", error.to_string()))?;
        let ids: Vec<u64> =
            node.get("acks").map(|acks| acks.elements().filter_map(|id| id.as_u64()).collect()).unwrap_or_default();
        let acks: Vec<String> = ids.iter().map(|id| format!("\"{id}\":true")).collect();
        Ok(format!("{{\"acks\":{{{}}}}}", acks.join(",")))
    };
    match told.await {
        Ok(told) => crate::api::json(told),
        Err(problem) => answer(Err(problem)),
    }
}

async fn events(State(server): State<Arc<Server>>, call: Call, body: Body) -> Response {
    answer(record(&server, &call, body).await)
}

async fn record(server: &Server, call: &Call, body: Body) -> Result<Said, Problem> {
    let caller = call.caller(server, Scope::Emit)?;
    let received = receive(&call.headers, body, server.body_limits(), &server.room).await?;
    let Ok(text) = std::str::from_utf8(&received.bytes) else {
        return Ok(Said::new(StatusCode::BAD_REQUEST, 6, "Invalid data format"));
    };
    let most = server.config().size("limits.batch_events");
    let mut whole: Vec<&str> = Vec::new();
    let mut document = Document::new();
    for (nth, envelope) in envelopes(text).enumerate() {
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
    for envelope in whole {
        // Each is read again, so that what is made of it does not take memory besides what is made of all others.
        let (record, told) = match read(&mut document, envelope) {
            Ok((node, event)) => joined(node, event),
            Err(said) => return Ok(said),
        };
        foreign.take(&record, None, |draft, emit| {
            let mut draft = draft;
            // The envelope knows better when and where than what it carries.
            draft.time = told.time.or(draft.time);
            draft.origin.host = draft.origin.host.or(told.host.as_deref());
            emit(draft)
        })?;
    }
    let fates = foreign.fates().await?;
    let ack = call.header("x-splunk-request-channel").is_some();
    match fates.iter().position(|fate| matches!(fate, Fate::Refused(..))) {
        Some(nth) => Ok(Said { nth: Some(nth), ..Said::new(StatusCode::BAD_REQUEST, 6, "Invalid data format") }),
        None => Ok(Said { ack, ..SUCCESS }),
    }
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

/// What an envelope says besides its event.
#[derive(Debug, Default, PartialEq, Eq)]
struct Envelope {
    time: Option<i64>,
    host: Option<String>,
}

/// The event with the rest of its envelope beside it.
fn joined(envelope: Node<'_, '_>, event: Node<'_, '_>) -> (Vec<u8>, Envelope) {
    let told = Envelope {
        time: envelope
            .get("time")
            .and_then(|time| seconds(time.number_lexeme().map_or_else(|| time.as_str(), |text| Some(text.into()))?.as_ref())),
        host: envelope.get("host").and_then(|host| host.as_str()).map(std::borrow::Cow::into_owned),
    };
    let mut out = b"{\"_hec\":{".to_vec();
    let mut first = true;
    for (key, value) in envelope.entries().filter(|(key, _)| key != "event") {
        if !first {
            out.push(b',');
        }
        first = false;
        write_string(&mut out, &key.text());
        out.push(b':');
        out.extend_from_slice(value.raw().as_bytes());
    }
    out.push(b'}');
    if event.kind() == Kind::Object && event.get("_hec").is_none() {
        for (key, value) in event.entries() {
            out.push(b',');
            write_string(&mut out, &key.text());
            out.push(b':');
            out.extend_from_slice(value.raw().as_bytes());
        }
    } else {
        out.extend_from_slice(b",\"event\":");
        out.extend_from_slice(event.raw().as_bytes());
    }
    out.push(b'}');
    (out, told)
}

/// Seconds since 1970 with a fraction, as ns.
fn seconds(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    whole.parse::<i64>().ok()?.checked_mul(1_000_000_000)?.checked_add(digits.parse().ok()?)
}

/// Envelopes follow each other without anything between them; each ends where its braces do.
fn envelopes(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text.trim_start();
    // A list of envelopes is what some clients send.
    let listed = rest.starts_with('[');
    if listed {
        rest = rest.get(1..).unwrap_or_default();
    }
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(|sign: char| sign.is_ascii_whitespace() || (listed && matches!(sign, ',' | ']')));
        if rest.is_empty() {
            return None;
        }
        let (one, more) = rest.split_at_checked(end(rest)).unwrap_or((rest, ""));
        rest = more;
        Some(one)
    })
}

/// Where the value that `text` begins with ends, by its brackets.
fn end(text: &str) -> usize {
    let (mut depth, mut inside, mut escaped) = (0_usize, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if inside => escaped = true,
            b'"' => inside = !inside,
            b'{' | b'[' if !inside => depth += 1,
            b'}' | b']' if !inside => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
    }
    text.len()
}

async fn raw(State(server): State<Arc<Server>>, call: Call, body: Body) -> Response {
    answer(record_raw(&server, &call, body).await)
}

/// Lines of text, each an event.
async fn record_raw(server: &Server, call: &Call, body: Body) -> Result<Said, Problem> {
    let caller = call.caller(server, Scope::Emit)?;
    let received = receive(&call.headers, body, server.body_limits(), &server.room).await?;
    let most = server.config().size("limits.batch_events");
    let count = lines(&received.bytes).take(most.saturating_add(1)).count();
    if count == 0 {
        return Ok(Said::new(StatusCode::BAD_REQUEST, 5, "No data"));
    }
    let mut foreign = Foreign::new(server, &caller, None, Protocol::Hec, None, count)?;
    for line in lines(&received.bytes) {
        let draft = indelible::Draft::new(indelible::taxonomy::RECORD_OPAQUE).source("splunk-raw");
        foreign.take_draft(draft.raw(indelible::format::draft::Raw { media_type: "text/plain", bytes: line }), None)?;
    }
    let refused = foreign.fates().await?.iter().position(|fate| matches!(fate, Fate::Refused(..)));
    match refused {
        Some(nth) => Ok(Said { nth: Some(nth), ..Said::new(StatusCode::BAD_REQUEST, 6, "Invalid data format") }),
        None => Ok(Said { ack: call.header("x-splunk-request-channel").is_some(), ..SUCCESS }),
    }
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = text.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    lines.filter(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn envelopes_follow_each_other_with_and_without_anything_between() {
        let text = "{\"event\":\"a}\\\"{\"}{\"event\":{\"b\":[1]}}\r\n {\"event\":3}";
        assert_eq!(envelopes(text).collect::<Vec<_>>(), ["{\"event\":\"a}\\\"{\"}", "{\"event\":{\"b\":[1]}}", "{\"event\":3}"]);
        assert_eq!(envelopes("[{\"event\":1},{\"event\":2}]").count(), 2);
        assert_eq!(envelopes(" \n").count(), 0);
        assert_eq!(envelopes("{\"event\":").count(), 1, "what does not end is one, and is refused");
    }

    #[test]
    fn an_envelope_comes_along_with_its_event() {
        let mut document = Document::new();
        let text =
            r#"{"time":1769860800.25,"host":"web","source":"app","event":{"action":"user.login","user":"al"},"fields":{"k":1}}"#;
        let node = document.parse(text.as_bytes(), &Limits::default()).unwrap();
        let (record, envelope) = joined(node, node.get("event").unwrap());
        let told =
            r#"{"_hec":{"time":1769860800.25,"host":"web","source":"app","fields":{"k":1}},"action":"user.login","user":"al"}"#;
        assert_eq!(String::from_utf8(record).unwrap(), told);
        assert_eq!(envelope, Envelope { time: Some(1_769_860_800_250_000_000), host: Some("web".into()) });
        assert_eq!(
            (seconds("1.5"), seconds("x"), seconds("1"), seconds("9999999999999")),
            (Some(1_500_000_000), None, Some(1_000_000_000), None)
        );
    }
}
