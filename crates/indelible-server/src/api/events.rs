//! `POST /api/v1/events`: one event, an array of them, or one a line; and their receipts.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use indelible::json::{Document, write_string};
use indelible::{Draft, Identity, Producer, Receipt};
use indelible_adapters::{EventError, PostedEvent, read_event, read_events};

use crate::access::Scope;
use crate::http::Problem;
use crate::http::body::receive;
use crate::http::caller::{Call, Caller};
use crate::http::problem::{FAULTS_MAX, Fault};
use crate::ingest::{self, Intake, Receipts, Recorded};
use crate::metrics::{ByProtocol, Protocol};
use crate::server::Server;

/// Bytes of an `Idempotency-Key`; token and place in the batch come on top.
const KEY_BYTES_MAX: usize = 256;

/// How the answer is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Prefer {
    /// `durability=queued`: answer before the sync.
    queued: bool,
    /// `return=minimal`: only how many.
    minimal: bool,
}

/// Record events
///
/// A batch is checked first: if anything in it is wrong, nothing of it is recorded. The answer comes when every event survives power loss that is
/// recorded. What only the log can tell, such as an idempotency key that was another event's, refuses that event alone: then it is 207, or 409 if
/// none was recorded.
#[utoipa::path(post, path = "/api/v1/events", tag = "events", security(("token" = [])),
    request_body(content((super::openapi::PostedEventDoc = "application/json"), (String = "application/x-ndjson"))),
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "Sent again under the same key, the same request is recorded once"),
        ("Prefer" = Option<String>, Header, description = "durability=queued answers before the sync; return=minimal gives no receipts"),
    ),
    responses(
        (status = 201, description = "All are durable", body = super::openapi::ReceiptsDoc),
        (status = 202, description = "Queued, as was preferred", body = super::openapi::ReceiptsDoc),
        (status = 207, description = "Some are durable; the receipts of the others say why they are not", body = super::openapi::ReceiptsDoc),
        (status = "4XX", description = "Nothing was recorded", body = super::openapi::ProblemDoc, content_type = "application/problem+json"),
        (status = "5XX", description = "Nothing is promised; send it again", body = super::openapi::ProblemDoc, content_type = "application/problem+json"),
    ))]
pub(crate) async fn post(State(server): State<Arc<Server>>, call: Call, body: Body) -> Result<Response, Problem> {
    let caller = call.caller(&server, Scope::Emit)?;
    let kind = Kind::of(&call.media_type())?;
    let key = idempotency_key(&call, &caller)?;
    let prefer = prefer(&call);
    let mut received = receive(&call.headers, body, server.body_limits(), &server.room.of(&caller)).await?;
    if kind == Kind::Json {
        // All of it is read before the first event is looked at; lines are read one by one.
        ingest::take_room_for_document(&server, &mut received).await?;
    }
    let result = record(&server, &caller, &received.bytes, kind, key.as_deref(), prefer).await;
    if let Err(problem) = &result {
        count_refused(&server, problem.faults.len().max(1));
    }
    result
}

fn count_refused(server: &Server, events: usize) {
    server.metrics.refused.get_or_create(&ByProtocol { protocol: Protocol::Api }).inc_by(events as u64);
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Json,
    Lines,
}

impl Kind {
    fn of(media_type: &str) -> Result<Self, Problem> {
        match media_type {
            "application/json" | "application/x-www-form-urlencoded" | "" => Ok(Self::Json),
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" | "application/jsonlines" => Ok(Self::Lines),
            other => Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "media_type",
                format!("events are application/json or application/x-ndjson, not {other}"),
            )),
        }
    }
}

fn prefer(call: &Call) -> Prefer {
    let mut prefer = Prefer::default();
    for word in call.headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')) {
        match word.trim().to_ascii_lowercase().as_str() {
            "durability=queued" => prefer.queued = true,
            "return=minimal" => prefer.minimal = true,
            // RFC 7240: what is not known is passed over; `durability=immediate` is what there is anyway.
            _ => {}
        }
    }
    prefer
}

fn idempotency_key(call: &Call, caller: &Caller) -> Result<Option<String>, Problem> {
    let Some(key) = call.headers.get("idempotency-key") else { return Ok(None) };
    let key = key.to_str().unwrap_or_default();
    if key.is_empty() || key.len() > KEY_BYTES_MAX {
        return Err(Problem::bad("idempotency_key", format!("an Idempotency-Key has 1 to {KEY_BYTES_MAX} visible characters")));
    }
    // Keys of one token do not meet those of another.
    Ok(Some(format!("{}/{key}", caller.token.id)))
}

async fn record(
    server: &Server,
    caller: &Caller,
    body: &Bytes,
    kind: Kind,
    key: Option<&str>,
    prefer: Prefer,
) -> Result<Response, Problem> {
    let config = server.config();
    let single = kind == Kind::Json && body.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'[');
    let max = config.size("limits.batch_events");
    let lines = if kind == Kind::Lines { body.iter().filter(|byte| **byte == b'\n').count() + 1 } else { 1 };
    let mut batch = Batch {
        server,
        caller,
        key,
        events: Vec::with_capacity(lines.min(max)),
        tenants: HashMap::new(),
        faults: Vec::new(),
        memory: Vec::new(),
        max,
    };
    let mut document = Document::new();
    match kind {
        Kind::Json => read_events(&mut document, body, config.size("limits.decompressed"), &mut |event| batch.take(event))
            .map_err(|error| Problem { status: StatusCode::BAD_REQUEST, ..Problem::invalid(vec![fault(error)]) })?,
        Kind::Lines => {
            let mut at = String::new();
            for (nth, line) in body.split(|byte| *byte == b'\n').enumerate() {
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                if !line.iter().all(u8::is_ascii_whitespace) {
                    at.clear();
                    let _ = write!(at, "/{nth}");
                    batch.take(read_event(&mut document, line, &at));
                }
            }
        }
    }
    let Batch { events, tenants, faults, .. } = batch;
    if events.len() > max {
        return Err(Problem::too_large(format!("{} events, the limit is {max}", events.len())).hint("send smaller batches"));
    }
    if !faults.is_empty() {
        return Err(Problem::invalid(faults));
    }
    tenants.iter().try_for_each(|(tenant, count)| ingest::admit(server, caller, tenant, *count))?;
    let mut intake = Intake::new(server, Protocol::Api, events.len());
    let mut refused = Vec::new();
    for (nth, event) in events.iter().enumerate() {
        let tenant = event.tenant().map_or_else(|| caller.tenant(server, None), Ok)?;
        match with_draft(caller, tenant, event, key, nth, |draft| intake.emit(&draft)) {
            // The store knows more than was checked, such as which producer's numbers are its own. Those before it are on their way already.
            Err(problem) if problem.status == StatusCode::UNPROCESSABLE_ENTITY => refused.push((nth, problem)),
            result => result?,
        }
    }
    if !refused.is_empty() && refused.len() == events.len() {
        let fault = |(nth, problem): (usize, Problem)| Fault {
            pointer: format!("/{nth}"),
            code: problem.code.to_owned(),
            detail: problem.detail,
        };
        return Err(Problem::invalid(refused.into_iter().map(fault).collect()));
    }
    if prefer.queued {
        let told = Outcome { durable: 0, refused: refused.len(), shed: 0, all: events.len() };
        count_refused(server, told.refused);
        let mut out = Vec::new();
        told.write(&mut out, events.len() - told.refused);
        out.push(b'}');
        return Ok(answer(StatusCode::ACCEPTED, out, prefer));
    }
    let receipts = among(refused, intake.receipts().await?);
    let outcome = Outcome::of(&receipts);
    if outcome.refused > 0 && outcome.refused == outcome.all {
        return Err(conflict(&receipts));
    }
    count_refused(server, outcome.refused);
    let mut out = Vec::with_capacity(receipts.len() * 200 + 64);
    match receipts.as_slice() {
        [one] if single && !prefer.minimal => write_receipt(&mut out, one, &server.identity),
        all => write_receipts(&mut out, all, &outcome, &server.identity, prefer),
    }
    let status = if outcome.durable == outcome.all { StatusCode::CREATED } else { StatusCode::MULTI_STATUS };
    Ok(answer(status, out, prefer))
}

/// What became of each event of a batch: the receipts of those that were handed over, and at their places those that were not.
fn among(refused: Vec<(usize, Problem)>, receipts: Receipts) -> Receipts {
    let all = refused.len() + receipts.len();
    let (mut refused, mut receipts) = (refused.into_iter().peekable(), receipts.into_iter());
    let one = |nth| match refused.next_if(|(at, _)| *at == nth) {
        Some((_, problem)) => Some(Recorded::Refused(problem.detail)),
        None => receipts.next(),
    };
    (0..all).filter_map(one).collect()
}

/// Nothing was recorded: every event was refused when it was its turn.
fn conflict(receipts: &[Recorded]) -> Problem {
    let code = "idempotency_key";
    let fault = |(nth, recorded): (usize, &Recorded)| match recorded {
        Recorded::Refused(why) => Some(Fault { pointer: format!("/{nth}"), code: code.to_owned(), detail: why.clone() }),
        _ => None,
    };
    let faults: Vec<Fault> = receipts.iter().enumerate().filter_map(fault).collect();
    let detail = match faults.as_slice() {
        [one] => one.detail.clone(),
        many => format!("all {} events were refused; nothing was recorded", many.len()),
    };
    Problem { faults, ..Problem::new(StatusCode::CONFLICT, code, detail) }
}

/// How many events of a batch became what.
#[derive(Debug, Clone, Copy, Default)]
struct Outcome {
    durable: usize,
    refused: usize,
    shed: usize,
    all: usize,
}

impl Outcome {
    fn of(receipts: &[Recorded]) -> Self {
        let mut outcome = Self { all: receipts.len(), ..Self::default() };
        for receipt in receipts {
            *match receipt {
                Recorded::Durable(_) | Recorded::Somewhere => &mut outcome.durable,
                Recorded::Refused(_) => &mut outcome.refused,
                Recorded::Shed => &mut outcome.shed,
            } += 1;
        }
        outcome
    }

    /// As members of an object that stays open; `count`: events that are recorded or will be.
    fn write(&self, out: &mut Vec<u8>, count: usize) {
        // Writing to memory does not fail.
        let _ = write!(out, "{{\"count\":{count},\"durable\":{}", self.durable == self.all);
        for (name, count) in [("refused", self.refused), ("shed", self.shed)] {
            if count > 0 {
                let _ = write!(out, ",\"{name}\":{count}");
            }
        }
    }
}

/// Events of one request, each checked as it is read.
struct Batch<'b, 'i> {
    server: &'b Server,
    caller: &'b Caller,
    key: Option<&'b str>,
    events: Vec<PostedEvent<'i>>,
    /// How many there are of each tenant. All of them are the caller's.
    tenants: HashMap<String, usize>,
    faults: Vec<Fault>,
    memory: Vec<u8>,
    max: usize,
}

impl<'b, 'i> Batch<'b, 'i> {
    fn take(&mut self, event: Result<PostedEvent<'i>, EventError>) {
        let nth = self.events.len() + self.faults.len();
        if self.faults.len() > FAULTS_MAX || nth > self.max {
            return;
        }
        let event = match event {
            Ok(event) => event,
            Err(error) => return self.faults.push(fault(error)),
        };
        let at = || format!("/{nth}");
        let tenant = match self.tenant(&event) {
            Ok(tenant) => tenant,
            Err(problem) => {
                let pointer = format!("{}/tenant", at());
                return self.faults.push(Fault { pointer, code: problem.code.to_owned(), detail: problem.detail });
            }
        };
        let memory = &mut self.memory;
        match with_draft(self.caller, tenant, &event, self.key, nth, |draft| ingest::check(&draft, memory)) {
            Ok(()) => self.events.push(event),
            Err(rejection) => self.faults.push(ingest::fault(&at(), &rejection)),
        }
    }

    /// Whose event it is, which is counted.
    fn tenant<'e>(&mut self, event: &'e PostedEvent<'_>) -> Result<&'e str, Problem>
    where
        'b: 'e,
    {
        let said = event.tenant();
        if let Some((said, count)) = said.and_then(|said| Some((said, self.tenants.get_mut(said)?))) {
            *count += 1;
            return Ok(said);
        }
        let (caller, server): (&'b Caller, &'b Server) = (self.caller, self.server);
        let tenant = caller.tenant(server, said)?;
        *self.tenants.entry(tenant.to_owned()).or_default() += 1;
        Ok(tenant)
    }
}

/// The draft as it is recorded: under this tenant, and the request's key.
fn with_draft<R>(
    caller: &Caller,
    tenant: &str,
    event: &PostedEvent<'_>,
    key: Option<&str>,
    nth: usize,
    with: impl FnOnce(Draft<'_>) -> R,
) -> R {
    event.with_draft(|draft| {
        let own = draft.idempotency_key.map(|own| format!("{}/{own}", caller.token.id));
        let key = own.or_else(|| key.map(|key| format!("{key}/{nth}")));
        let id = draft.producer.map(|producer| producer_of(tenant, producer.id));
        let producer = draft.producer.zip(id.as_deref()).map(|(producer, id)| Producer { id, ..producer });
        let draft = Draft { tenant: Some(tenant), idempotency_key: key.as_deref(), producer, ..draft };
        with(draft)
    })
}

/// A tenant's producer, as the log names it: tenants choose the names of their producers without knowing of each other, and nobody's counts
/// for another's, nor for the store's own. What has the tenant before it already, as in an export that is sent again, stays as it is.
fn producer_of<'p>(tenant: &str, id: &'p str) -> Cow<'p, str> {
    let is_named = id.strip_prefix(tenant).is_some_and(|rest| rest.starts_with('/'));
    // An empty id is no producer's: refused as it is.
    if is_named || id.is_empty() { Cow::Borrowed(id) } else { Cow::Owned(format!("{tenant}/{id}")) }
}

fn fault(error: EventError) -> Fault {
    Fault { pointer: error.pointer, code: error.code.to_owned(), detail: error.message }
}

fn answer(status: StatusCode, body: Vec<u8>, prefer: Prefer) -> Response {
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let applied = match (prefer.queued, prefer.minimal) {
        (true, _) => Some("durability=queued"),
        (false, true) => Some("return=minimal"),
        (false, false) => None,
    };
    if let Some(applied) = applied {
        headers.insert("preference-applied", HeaderValue::from_static(applied));
    }
    response
}

fn write_receipts(out: &mut Vec<u8>, receipts: &[Recorded], outcome: &Outcome, identity: &Identity, prefer: Prefer) {
    outcome.write(out, outcome.durable);
    if !prefer.minimal {
        out.extend_from_slice(b",\"receipts\":");
        let mut separator = b'[';
        for receipt in receipts {
            out.push(separator);
            separator = b',';
            write_receipt(out, receipt, identity);
        }
        out.extend_from_slice(if receipts.is_empty() { b"[]" } else { b"]" });
    }
    out.push(b'}');
}

pub(crate) fn write_receipt(out: &mut Vec<u8>, recorded: &Recorded, identity: &Identity) {
    let receipt = match recorded {
        Recorded::Durable(receipt) => receipt,
        Recorded::Somewhere => return out.extend_from_slice(b"{\"durable\":true}"),
        Recorded::Shed => return out.extend_from_slice(b"{\"durable\":false,\"shed\":true}"),
        Recorded::Refused(why) => {
            out.extend_from_slice(b"{\"durable\":false,\"error\":");
            write_string(out, why);
            return out.push(b'}');
        }
    };
    let Receipt { origin, log, seq, leaf, tenant_seq, idempotence } = receipt;
    out.extend_from_slice(b"{\"origin\":");
    write_string(out, origin);
    out.extend_from_slice(b",\"log\":");
    write_string(out, identity.log_name(*log));
    // Writing to memory does not fail.
    if let (Some(seq), Some(leaf)) = (seq, leaf) {
        let _ = write!(out, ",\"seq\":{seq},\"leaf\":\"{leaf}\"");
    }
    if let Some(tenant_seq) = tenant_seq {
        let _ = write!(out, ",\"tenant_seq\":{tenant_seq}");
    }
    let _ = write!(out, ",\"idempotence\":\"{}\",\"durable\":true}}", idempotence.name());
}
