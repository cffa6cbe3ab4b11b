//! CloudEvents 1.0 over HTTP: structured, batched, and binary, where attributes are headers.
//!
//! The event is kept as the JSON that its structured form is. What is sent again under the same source and id is recorded once.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::StatusCode;
use indelible::format::draft::Target;
use indelible::json::{Document, Kind, Limits, Node, write_string};
use indelible_adapters::Format;

use super::foreign::{Foreign, named};
use super::kubernetes::{faults, limits};
use super::weight::{self, Most};
use super::{counted, few_enough};
use crate::access::Scope;
use crate::http::Problem;
use crate::http::body::receive;
use crate::http::caller::Call;
use crate::metrics::Protocol;
use crate::server::Server;

pub(crate) fn routes() -> Router<Arc<Server>> {
    Router::new().route("/cloudevents", post(events))
}

async fn events(State(server): State<Arc<Server>>, call: Call, body: Body) -> Result<Response, Problem> {
    let caller = call.caller(&server, Scope::Emit)?;
    let mut received = receive(&call.headers, body, server.body_limits(), &server.room.of(&caller)).await?;
    let media_type = call.media_type();
    let (bytes, is_batch) = match media_type.as_str() {
        "application/cloudevents+json" => (received.bytes.clone(), false),
        "application/cloudevents-batch+json" => (received.bytes.clone(), true),
        _ => (binary(&call, &media_type, &received.bytes)?.into(), false),
    };
    let most = Most::of(&server);
    weight::grow(&server, &mut received, weight::of_document(&bytes, most)).await?;
    let mut document = Document::new();
    let node =
        document.parse(&bytes, &limits(most)).map_err(|error| Problem::bad("json", format!("the body is not JSON: {error}")))?;
    counted(&server, few_enough(if is_batch { node.len() } else { 1 }, most.records))?;
    let events: Vec<Node<'_, '_>> = match node.kind() {
        Kind::Array if is_batch => node.elements().collect(),
        Kind::Object if !is_batch => vec![node],
        _ => return Err(Problem::bad("cloudevents", "a batch is an array, a single event an object")),
    };
    let described: Vec<Described> =
        events.iter().enumerate().map(|(nth, event)| describe(*event, nth)).collect::<Result<_, _>>()?;
    let mut foreign = Foreign::new(&server, &caller, None, Protocol::CloudEvents, Some(Format::Json), events.len())?;
    for (event, about) in events.iter().zip(&described) {
        foreign.take(event.raw().as_bytes(), Some(&about.name), |draft, emit| {
            let mut draft = draft;
            draft.source = "cloudevents";
            if let Some(subject) = &about.subject {
                draft.targets.push(Target { kind: Some("subject"), id: Some(subject), name: None });
            }
            emit(draft)
        })?;
    }
    let faults = faults(&foreign.fates().await?, "");
    match faults.len() {
        0 => Ok(StatusCode::NO_CONTENT.into_response()),
        all if all == events.len() => Err(Problem::invalid(faults)),
        some => {
            let detail = format!("{some} of {} events cannot be recorded as they are; the others were recorded", events.len());
            Err(Problem { detail, ..Problem::invalid(faults) })
        }
    }
}

struct Described {
    name: String,
    subject: Option<String>,
}

/// The attributes that every event has to have.
fn describe(event: Node<'_, '_>, nth: usize) -> Result<Described, Problem> {
    let text = |name: &str| event.get(name).and_then(|value| value.as_str()).filter(|text| !text.is_empty());
    let required = |name: &str| {
        text(name)
            .ok_or_else(|| Problem::bad("cloudevents", format!("event {nth} has no {name}, which CloudEvents 1.0 requires")))
    };
    if required("specversion")? != "1.0" {
        return Err(Problem::bad("cloudevents", format!("event {nth} is of another version than 1.0")));
    }
    required("type")?;
    let name = named("cloudevents", &[&required("source")?, &required("id")?]);
    Ok(Described { name, subject: text("subject").map(std::borrow::Cow::into_owned) })
}

/// The structured form of an event whose attributes are headers.
fn binary(call: &Call, media_type: &str, data: &[u8]) -> Result<Vec<u8>, Problem> {
    let mut out = vec![b'{'];
    let mut any = false;
    for (name, value) in &call.headers {
        let Some(attribute) = name.as_str().strip_prefix("ce-") else { continue };
        let value = percent_decoded(value.as_bytes())
            .ok_or_else(|| Problem::bad("cloudevents", format!("the header {name} is not text")))?;
        if any {
            out.push(b',');
        }
        any = true;
        write_string(&mut out, attribute);
        out.push(b':');
        write_string(&mut out, &value);
    }
    if !any {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "media_type",
            "this takes application/cloudevents+json, application/cloudevents-batch+json, or headers that begin with ce-",
        ));
    }
    if let Some(kind) = call.header("content-type") {
        out.extend_from_slice(b",\"datacontenttype\":");
        write_string(&mut out, kind);
    }
    if !data.is_empty() {
        let is_json = media_type == "application/json" || media_type.ends_with("+json");
        if is_json && Document::new().parse(data, &Limits::default()).is_ok() {
            out.extend_from_slice(b",\"data\":");
            out.extend_from_slice(data);
        } else if let Ok(text) = std::str::from_utf8(data) {
            out.extend_from_slice(b",\"data\":");
            write_string(&mut out, text);
        } else {
            out.extend_from_slice(b",\"data_base64\":");
            write_string(&mut out, &STANDARD.encode(data));
        }
    }
    out.push(b'}');
    Ok(out)
}

/// Values of headers are percent-encoded where they are not ASCII.
fn percent_decoded(value: &[u8]) -> Option<String> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.iter().copied();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        bytes.push(digit(rest.next()?)? << 4 | digit(rest.next()?)?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_decoded_or_refused() {
        assert_eq!(percent_decoded(b"Euro%20%E2%82%AC").as_deref(), Some("Euro €"));
        for wrong in [&b"%"[..], b"%2", b"%zz", b"%FF"] {
            assert_eq!(percent_decoded(wrong), None);
        }
    }
}
