//! The Kubernetes audit webhook: `audit.k8s.io/v1` EventLists, as the API server posts them.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use hyper::StatusCode;
use indelible::json::{Document, Kind, Limits, Node};
use indelible_adapters::Format;

use super::foreign::{Fate, Foreign, named};
use super::weight::Most;
use super::{counted, few_enough, take_room_for_document};
use crate::access::Scope;
use crate::http::Problem;
use crate::http::body::receive;
use crate::http::caller::Call;
use crate::http::problem::Fault;
use crate::metrics::Protocol;
use crate::server::Server;

pub(crate) fn routes() -> Router<Arc<Server>> {
    Router::new().route("/k8s/audit", post(audit))
}

/// Of a whole request, which has been weighed.
pub(super) fn limits(most: Most) -> Limits {
    Limits { bytes_max: most.bytes, nodes_max: 4_000_000, ..Limits::default() }
}

async fn audit(State(server): State<Arc<Server>>, call: Call, body: Body) -> Result<Response, Problem> {
    let caller = call.caller(&server, Scope::Emit)?;
    let mut received = receive(&call.headers, body, server.body_limits(), &server.room.of(&caller)).await?;
    let most = Most::of(&server);
    take_room_for_document(&server, &mut received).await?;
    let mut document = Document::new();
    let list = document
        .parse(&received.bytes, &limits(most))
        .map_err(|error| Problem::bad("json", format!("the body is not JSON: {error}")))?;
    let items = counted(&server, items(list, most.records))?;
    let mut foreign = Foreign::new(&server, &caller, None, Protocol::Kubernetes, Some(Format::Kubernetes), items.len())?;
    for (name, item) in &items {
        foreign.take(item, name.as_deref(), |draft, emit| emit(draft))?;
    }
    let faults = faults(&foreign.fates().await?, "/items");
    // The API server sends a batch again that is refused; so it is told of what cannot be only once nothing else is left to do.
    if !faults.is_empty() && faults.len() == items.len() {
        return Err(Problem::invalid(faults));
    }
    Ok(StatusCode::OK.into_response())
}

/// What each item is known by if it is sent again, and the item.
type Items<'i> = Vec<(Option<String>, &'i [u8])>;

fn items<'i>(list: Node<'_, 'i>, most: usize) -> Result<Items<'i>, Problem> {
    let kind = list.get("kind").and_then(|kind| kind.as_str());
    let items = list.get("items").filter(|items| items.kind() == Kind::Array && kind.as_deref() == Some("EventList"));
    let items = items.ok_or_else(|| Problem::bad("kubernetes", "this takes an EventList of audit.k8s.io/v1"))?;
    few_enough(items.len(), most)?;
    let text = |item: Node<'_, 'i>, key| item.get(key).and_then(|value| value.as_str());
    // One request has one audit id and passes several stages.
    let name = |item| Some(named("k8s", &[&text(item, "auditID")?, &text(item, "stage")?]));
    Ok(items.elements().map(|item| (name(item), item.raw().as_bytes())).collect())
}

pub(super) fn faults(fates: &[Fate], at: &str) -> Vec<Fault> {
    let fault = |(nth, fate): (usize, &Fate)| match fate {
        Fate::Refused(code, why) => Some(Fault { pointer: format!("{at}/{nth}"), code: (*code).to_owned(), detail: why.clone() }),
        Fate::Recorded(_) => None,
    };
    fates.iter().enumerate().filter_map(fault).collect()
}
