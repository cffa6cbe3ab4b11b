//! The OpenAPI document: made from the handlers' annotations, so that it cannot say what they do not; a test compares it with the one that is kept.

use std::collections::BTreeMap;

use axum::response::Response;
use serde::Serialize;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi, ToSchema};

use super::{access, checkpoints, copy, counts, events, export, health, proof, search, settings, store, tail};

/// An event as it is posted.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PostedEvent)]
pub(crate) struct PostedEventDoc {
    /// `noun.verb`, such as user.login.
    action: String,
    /// success, failure, denied, error or unknown.
    outcome: Option<String>,
    /// info, low, medium, high, critical or fatal; left out: the action's own.
    severity: Option<String>,
    /// critical, normal or telemetry; left out: the action's own.
    class: Option<String>,
    /// The caller's own id; left out: a UUIDv7.
    id: Option<String>,
    /// RFC 3339 with a zone; left out: now.
    time: Option<String>,
    /// Whose event it is; left out: the token's tenant.
    tenant: Option<String>,
    source: Option<String>,
    actor: Option<ActorDoc>,
    session: Option<String>,
    origin: Option<OriginDoc>,
    targets: Option<Vec<TargetDoc>>,
    /// Any JSON up to 1 MiB.
    details: Option<serde_json::Value>,
    /// Compliance frameworks it is marked with.
    frameworks: Option<Vec<String>>,
    /// How many events it stands for.
    weight: Option<u64>,
    producer: Option<ProducerDoc>,
    trace: Option<TraceDoc>,
    raw: Option<RawDoc>,
    /// Sent again under the same key, the same event is recorded once.
    idempotency_key: Option<String>,
}

/// Who.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Actor)]
pub(crate) struct ActorDoc {
    id: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    name: Option<String>,
    email: Option<String>,
}

/// From where.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Origin)]
pub(crate) struct OriginDoc {
    ip: Option<String>,
    user_agent: Option<String>,
    host: Option<String>,
}

/// On what.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Target)]
pub(crate) struct TargetDoc {
    #[serde(rename = "type")]
    kind: Option<String>,
    id: Option<String>,
    name: Option<String>,
}

/// The producer's own count.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Producer)]
pub(crate) struct ProducerDoc {
    /// Is recorded as `tenant/id`.
    id: String,
    epoch: u64,
    seq: u64,
}

/// W3C trace context, in hexadecimal.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Trace)]
pub(crate) struct TraceDoc {
    trace_id: String,
    span_id: String,
}

/// A foreign record that is not JSON: its text, or its bytes in base64.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Raw)]
pub(crate) struct RawDoc {
    media_type: String,
    text: Option<String>,
    base64: Option<String>,
}

/// An event as it is shown: what was posted, and what the log says of it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Event)]
pub(crate) struct EventDoc {
    #[serde(flatten)]
    posted: PostedEventDoc,
    log: String,
    seq: u64,
    received: String,
    tenant_seq: u64,
    /// Groups that are withheld, erased, or masked for the token.
    withheld: Option<Vec<String>>,
}

/// Where an event is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Receipt)]
pub(crate) struct ReceiptDoc {
    origin: Option<String>,
    log: Option<String>,
    seq: Option<u64>,
    /// The RFC 6962 leaf hash, in hexadecimal.
    leaf: Option<String>,
    tenant_seq: Option<u64>,
    idempotence: Option<String>,
    durable: bool,
    /// Why it was refused, and so is not recorded.
    error: Option<String>,
    /// There was no room for this telemetry: it is not recorded, and the log says how many were shed.
    shed: Option<bool>,
}

/// Receipts of a batch, in its order; of one event that was no array, its receipt alone.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Receipts)]
pub(crate) struct ReceiptsDoc {
    /// Events that are recorded, or will be.
    count: Option<u64>,
    /// Whether every event is durable.
    durable: bool,
    /// Events that were refused, if any were.
    refused: Option<u64>,
    /// Events that were shed, if any were.
    shed: Option<u64>,
    receipts: Option<Vec<ReceiptDoc>>,
}

/// How far a log reached when it was asked.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Head)]
pub(crate) struct HeadDoc {
    log: String,
    size: u64,
    root: String,
}

/// A page of events.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Page)]
pub(crate) struct PageDoc {
    events: Vec<EventDoc>,
    shown: Option<u64>,
    /// What `before` is for the next page; `null`: there is none.
    next: Option<String>,
    matched: Option<u64>,
    /// Events that were looked at, or passed over because an index excludes them; with `matched`.
    scanned: Option<u64>,
    explain: Option<BTreeMap<String, u64>>,
    complete: bool,
    reason: Option<String>,
    logs: Vec<HeadDoc>,
}

/// Values of fields.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Facets)]
pub(crate) struct FacetsDoc {
    facets: Vec<FacetDoc>,
    matched: u64,
    scanned: u64,
    complete: bool,
    logs: Vec<HeadDoc>,
}

/// Values of one field.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Facet)]
pub(crate) struct FacetDoc {
    field: String,
    distinct: u64,
    /// With `times`: how often a value was not told apart from others.
    others: Option<u64>,
    values: Vec<ValueDoc>,
}

/// One value; `null`: events without the field.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Value)]
pub(crate) struct ValueDoc {
    value: Option<String>,
    events: u64,
    /// With `times`: how they ended.
    outcomes: Option<BTreeMap<String, u64>>,
    /// With `times`: when the first of them happened.
    first: Option<String>,
    /// With `times`: when the last of them happened.
    last: Option<String>,
}

/// Groups and their counts.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Stats)]
pub(crate) struct StatsDoc {
    /// The values of the fields, `start` where there are stretches of time, `events`, `outcomes`, `first`, `last`.
    groups: Vec<BTreeMap<String, serde_json::Value>>,
    distinct: u64,
    others: u64,
    /// All events, each counted once; left out if there are none.
    all: Option<TallyDoc>,
    matched: u64,
    scanned: u64,
    complete: bool,
    logs: Vec<HeadDoc>,
}

/// What was counted.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Tally)]
pub(crate) struct TallyDoc {
    events: u64,
    /// How they ended.
    outcomes: BTreeMap<String, u64>,
    /// When the first of them happened.
    first: String,
    last: String,
}

/// RFC 9457.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemDoc {
    #[serde(rename = "type")]
    kind: String,
    title: String,
    status: u16,
    /// A stable word.
    code: String,
    detail: String,
    /// What to do next.
    hint: Option<String>,
    errors: Option<Vec<crate::http::Fault>>,
}

#[derive(OpenApi)]
#[openapi(
    info(title = "Indelible", description = "The audit log that can prove itself.", license(name = "MIT OR Apache-2.0")),
    paths(
        events::post, search::show, search::context, proof::get, search::search, counts::facets, counts::stats, counts::histogram, export::get,
        tail::get, checkpoints::list, checkpoints::note, checkpoints::verify, access::tokens, access::create_token, access::revoke_token,
        access::tenants, access::create_tenant, copy::get, store::get, settings::show, settings::reload, health::live, health::ready, health::metrics,
    ),
    modifiers(&Token),
)]
struct Document;

/// How a caller says who it is.
struct Token;

impl Modify for Token {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        document.components.get_or_insert_default().add_security_scheme("token", scheme);
    }
}

/// The document as JSON, indented.
#[must_use]
pub fn document() -> String {
    let mut text = Document::openapi().to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

pub(crate) async fn get() -> Response {
    super::json(document())
}
