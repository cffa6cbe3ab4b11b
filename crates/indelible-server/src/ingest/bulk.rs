//! Elastic's `_bulk` and single documents: what log shippers speak that were made for Elasticsearch.
//!
//! `index` and `create` record a document; there is no changing or deleting. The index is the event's first target. A document that is sent again
//! under the same `_id` is recorded once. A document of another tenant of the caller's goes to the index `<tenant>@<index>`.

use std::borrow::Cow;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use indelible::format::draft::Target;
use indelible::json::{Document, Limits, write_string};

use super::foreign::{Fate, Foreign, named};
use super::{counted, few_enough};
use crate::access::Scope;
use crate::http::Problem;
use crate::http::body::receive;
use crate::http::caller::Call;
use crate::metrics::Protocol;
use crate::server::Server;

/// The version we say we are: clients refuse what they do not know.
const VERSION: &str = "8.19.0";
/// Clients refuse a server that does not say so.
const PRODUCT: &str = "x-elastic-product";

pub(crate) fn routes() -> Router<Arc<Server>> {
    Router::new()
        .route("/", get(info))
        .route("/_license", get(license))
        .route("/_bulk", post(bulk).put(bulk))
        .route("/{index}/_bulk", post(bulk_of).put(bulk_of))
        .route("/{index}/_doc", post(document))
        .route("/{index}/_doc/{id}", put(document_with_id).post(document_with_id))
        .route("/{index}/_create/{id}", put(document_with_id).post(document_with_id))
}

async fn info(State(server): State<Arc<Server>>, call: Call) -> Response {
    let told = call.anybody(&server).map(|_| {
        format!(
            "{{\"name\":\"indelible\",\"cluster_name\":\"indelible\",\"cluster_uuid\":\"{}\",\"version\":{{\"number\":\"{VERSION}\",\
             \"build_flavor\":\"default\",\"build_type\":\"tar\",\"lucene_version\":\"9.12.2\",\"minimum_wire_compatibility_version\":\"7.17.0\",\
             \"minimum_index_compatibility_version\":\"7.0.0\"}},\"tagline\":\"The audit log that can prove itself\"}}",
            server.identity.store_hex()
        )
    });
    answer(told.map(|told| (StatusCode::OK, told.into_bytes())))
}

async fn license(State(server): State<Arc<Server>>, call: Call) -> Response {
    let told = "{\"license\":{\"status\":\"active\",\"type\":\"basic\"}}";
    answer(call.anybody(&server).map(|_| (StatusCode::OK, told.as_bytes().to_vec())))
}

async fn bulk(State(server): State<Arc<Server>>, call: Call, body: Body) -> Response {
    answer(record(&server, &call, None, body).await)
}

async fn bulk_of(State(server): State<Arc<Server>>, call: Call, Path(index): Path<String>, body: Body) -> Response {
    answer(record(&server, &call, Some(index), body).await)
}

async fn document(State(server): State<Arc<Server>>, call: Call, Path(index): Path<String>, body: Body) -> Response {
    answer(one(&server, &call, &index, None, body).await)
}

async fn document_with_id(
    State(server): State<Arc<Server>>,
    call: Call,
    Path((index, id)): Path<(String, String)>,
    body: Body,
) -> Response {
    answer(one(&server, &call, &index, Some(&id), body).await)
}

type Told = Result<(StatusCode, Vec<u8>), Problem>;

/// Bytes of an index that a request names for all its operations, as Elastic has it: each answer repeats it.
const INDEX_BYTES_MAX: usize = 255;

/// One operation of a bulk request.
struct Operation<'b> {
    verb: &'static str,
    index: Cow<'b, str>,
    id: Option<Cow<'b, str>>,
    /// `None`: there is none, or the operation has none.
    document: Option<&'b [u8]>,
}

/// Why a request is no bulk request.
fn malformed(line: usize, why: &str) -> Problem {
    Problem::bad("bulk", format!("Malformed action/metadata line [{line}]: {why}"))
}

fn operations<'b>(body: &'b [u8], default: Option<&'b str>, most: usize) -> Result<Vec<Operation<'b>>, Problem> {
    if default.is_some_and(|index| index.len() > INDEX_BYTES_MAX) {
        return Err(Problem::bad("bulk", format!("an index has {INDEX_BYTES_MAX} bytes at most")));
    }
    let mut lines = body.split(|byte| *byte == b'\n').enumerate();
    let mut operations = Vec::new();
    let mut document = Document::new();
    while let Some((nth, line)) = lines.next() {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let node = document.parse(line, &Limits::default()).map_err(|error| malformed(nth + 1, &error.to_string()))?;
        let (name, about) = node.entries().next().ok_or_else(|| malformed(nth + 1, "expected an action"))?;
        let name = name.text();
        let verbs = ["index", "create", "update", "delete"];
        let verb =
            verbs.iter().find(|verb| **verb == name).ok_or_else(|| malformed(nth + 1, &format!("unknown action [{name}]")))?;
        let text = |key| about.get(key).and_then(|value| value.as_str());
        let index = text("_index").or_else(|| default.map(Cow::Borrowed)).ok_or_else(|| malformed(nth + 1, "no _index"))?;
        let id = text("_id");
        let document = if *verb == "delete" {
            None
        } else {
            let (_, line) = lines.next().ok_or_else(|| malformed(nth + 2, "the document is missing"))?;
            Some(line.strip_suffix(b"\r").unwrap_or(line))
        };
        few_enough(operations.len() + 1, most)?;
        operations.push(Operation { verb, index, id, document });
    }
    if operations.is_empty() {
        return Err(Problem::bad("bulk", "request body is required"));
    }
    Ok(operations)
}

async fn record(server: &Server, call: &Call, index: Option<String>, body: Body) -> Told {
    let caller = call.caller(server, Scope::Emit)?;
    let started = std::time::Instant::now();
    let received = receive(&call.headers, body, server.body_limits(), &server.room.of(&caller)).await?;
    let most = server.config().size("limits.batch_events");
    let operations = counted(server, operations(&received.bytes, index.as_deref(), most))?;
    // One tenant a request: that of its first index.
    let (tenant, _) = split(operations.first().map_or("", |operation| &operation.index));
    let mut foreign = Foreign::new(server, &caller, tenant, Protocol::Bulk, None, operations.len())?;
    for operation in &operations {
        take(&mut foreign, operation, tenant)?;
    }
    let fates = foreign.fates().await?;
    let errors = fates.iter().any(|fate| matches!(fate, Fate::Refused(..)));
    let mut out = format!("{{\"took\":{},\"errors\":{errors},\"items\":[", started.elapsed().as_millis()).into_bytes();
    for (nth, (operation, fate)) in operations.iter().zip(&fates).enumerate() {
        if nth > 0 {
            out.push(b',');
        }
        out.extend_from_slice(format!("{{\"{}\":", operation.verb).as_bytes());
        item(&mut out, operation, fate, nth);
        out.push(b'}');
    }
    out.extend_from_slice(b"]}");
    Ok((StatusCode::OK, out))
}

async fn one(server: &Server, call: &Call, index: &str, id: Option<&str>, body: Body) -> Told {
    let caller = call.caller(server, Scope::Emit)?;
    let received = receive(&call.headers, body, server.body_limits(), &server.room.of(&caller)).await?;
    let operation = Operation { verb: "index", index: index.into(), id: id.map(Cow::Borrowed), document: Some(&received.bytes) };
    let (tenant, _) = split(index);
    let mut foreign = Foreign::new(server, &caller, tenant, Protocol::Bulk, None, 1)?;
    take(&mut foreign, &operation, tenant)?;
    let fates = foreign.fates().await?;
    let mut out = Vec::new();
    let fate = fates.first().ok_or_else(|| Problem::bad("bulk", "nothing was recorded"))?;
    item(&mut out, &operation, fate, 0);
    let status = if matches!(fate, Fate::Recorded(_)) { StatusCode::CREATED } else { StatusCode::BAD_REQUEST };
    Ok((status, out))
}

fn take(foreign: &mut Foreign<'_>, operation: &Operation<'_>, tenant: Option<&str>) -> Result<(), Problem> {
    let (own, index) = split(&operation.index);
    let Some(document) = operation.document.filter(|_| operation.verb != "update") else {
        foreign.refuse("illegal_argument_exception", format!("an audit log has no {}: what is recorded stays", operation.verb));
        return Ok(());
    };
    if own != tenant {
        foreign.refuse("illegal_argument_exception", "all documents of one request are of one tenant".to_owned());
        return Ok(());
    }
    let name = operation.id.as_ref().map(|id| named("bulk", &[index, id]));
    foreign.take(document, name.as_deref(), |draft, emit| {
        let mut draft = draft;
        draft.targets.push(Target { kind: Some("index"), id: Some(index), name: None });
        emit(draft)
    })
}

/// `<tenant>@<index>`, or an index alone.
fn split(index: &str) -> (Option<&str>, &str) {
    match index.split_once('@') {
        Some((tenant, index)) => (Some(tenant), index),
        None => (None, index),
    }
}

fn item(out: &mut Vec<u8>, operation: &Operation<'_>, fate: &Fate, nth: usize) {
    out.extend_from_slice(b"{\"_index\":");
    write_string(out, &operation.index);
    out.extend_from_slice(b",\"_id\":");
    match (&operation.id, fate) {
        (Some(id), _) => write_string(out, id),
        (None, Fate::Recorded(Some(receipt))) => {
            write_string(out, &format!("{}-{}", receipt.log, receipt.seq.unwrap_or_default()));
        }
        (None, _) => write_string(out, &nth.to_string()),
    }
    match fate {
        Fate::Recorded(receipt) => {
            let seq = receipt.as_ref().and_then(|receipt| receipt.seq).unwrap_or_default();
            out.extend_from_slice(
                format!(
                    ",\"_version\":1,\"result\":\"created\",\"_shards\":{{\"total\":1,\"successful\":1,\"failed\":0}},\
                     \"_seq_no\":{seq},\"_primary_term\":1,\"status\":201}}"
                )
                .as_bytes(),
            );
        }
        Fate::Refused(code, why) => {
            let (kind, status) = match *code {
                "illegal_argument_exception" => (*code, 400),
                "conflict" => ("version_conflict_engine_exception", 409),
                _ => ("document_parsing_exception", 400),
            };
            out.extend_from_slice(format!(",\"status\":{status},\"error\":{{\"type\":\"{kind}\",\"reason\":").as_bytes());
            write_string(out, why);
            out.extend_from_slice(b"}}");
        }
    }
}

/// In Elastic's shape, errors too.
fn answer(told: Told) -> Response {
    let mut response = match told {
        Ok((status, body)) => (status, body).into_response(),
        Err(problem) => {
            let kind = match problem.status.as_u16() {
                401 | 403 => "security_exception",
                413 => "content_too_long_exception",
                429 | 503 | 507 => "es_rejected_execution_exception",
                _ => "illegal_argument_exception",
            };
            let mut body = format!("{{\"error\":{{\"type\":\"{kind}\",\"reason\":").into_bytes();
            write_string(&mut body, &problem.detail);
            body.extend_from_slice(format!("}},\"status\":{}}}", problem.status.as_u16()).as_bytes());
            let mut response = (problem.status, body).into_response();
            problem.dress(&mut response);
            response
        }
    };
    response.headers_mut().insert(PRODUCT, HeaderValue::from_static("Elasticsearch"));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_read_with_their_documents() {
        let body = b"{\"create\":{\"_index\":\"a\"}}\n{\"x\":1}\n\n{\"delete\":{\"_index\":\"b\",\"_id\":\"7\"}}\n{\"index\":{}}\r\n{\"y\":2}\r\n";
        let read = operations(body, Some("default"), 3).unwrap();
        let told: Vec<_> = read.iter().map(|one| (one.verb, &*one.index, one.id.as_deref(), one.document)).collect();
        assert_eq!(
            told,
            [
                ("create", "a", None, Some(&b"{\"x\":1}"[..])),
                ("delete", "b", Some("7"), None),
                ("index", "default", None, Some(&b"{\"y\":2}"[..])),
            ]
        );
        for wrong in [&b""[..], b"{\"index\":{}}", b"{\"grow\":{\"_index\":\"a\"}}\n{}", b"nonsense\n", b"{}\n{}"] {
            assert!(operations(wrong, None, 3).is_err(), "{}", String::from_utf8_lossy(wrong));
        }
        assert_eq!(operations(body, Some("default"), 2).err().map(|problem| problem.code), Some("too_large"), "deletions count");
        assert!(operations(body, Some(&"x".repeat(256)), 3).is_err(), "it would be repeated in every answer");
    }
}
