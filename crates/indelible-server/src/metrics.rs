//! What the server counts, as OpenMetrics. Every name in one place; labels have few values, never names from requests.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// How events came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum Protocol {
    Api,
    Bulk,
    Hec,
    Otlp,
    Syslog,
    Kubernetes,
    CloudEvents,
}

/// What was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum Question {
    Search,
    Show,
    Count,
    Export,
    Tail,
    Proof,
}

/// Why a connection ended that did not end well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum Broken {
    /// No TLS, another version of it, a certificate that is not trusted, or nothing at all.
    Handshake,
    /// No whole head of a request came in time.
    NoRequest,
    /// After the last request no other came in time: how most connections end that are kept alive.
    Idle,
    /// There was no room for what had come of a head.
    NoRoom,
    /// What came is no HTTP.
    Malformed,
    /// Streams were opened and reset, or headers sent, without end.
    Flooded,
}

/// Why a body was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum Untaken {
    /// It broke off, or whoever sent it went away.
    Broken,
    /// It did not come in time.
    Slow,
    /// It is larger than may be, as it comes or decompressed.
    Large,
    /// It is compressed in a way that is not known, or does not decompress.
    Coding,
    /// Too many were being read.
    Room,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByEnd {
    why: Broken,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ByFault {
    pub(crate) why: Untaken,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ByProtocol {
    pub(crate) protocol: Protocol,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ByQuestion {
    pub(crate) question: Question,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ByStatus {
    pub(crate) status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByLane {
    lane: &'static str,
}

/// The server's own counters; those of the store are read when they are asked for.
pub(crate) struct Metrics {
    registry: Registry,
    pub(crate) events: Family<ByProtocol, Counter>,
    pub(crate) refused: Family<ByProtocol, Counter>,
    pub(crate) responses: Family<ByStatus, Counter>,
    pub(crate) ingest_seconds: Histogram,
    pub(crate) questions: Family<ByQuestion, Counter>,
    pub(crate) question_seconds: Family<ByQuestion, Histogram>,
    pub(crate) failed_logins: Counter,
    pub(crate) limited: Counter,
    pub(crate) unaudited: Counter,
    pub(crate) connections: Gauge,
    pub(crate) connections_refused: Counter,
    connections_broken: Family<ByEnd, Counter>,
    pub(crate) bodies_refused: Family<ByFault, Counter>,
    pub(crate) certificate_expires: Gauge,
    pub(crate) tails: Gauge,
    store: StoreMetrics,
}

/// Copies of the store's counters.
#[derive(Default)]
struct StoreMetrics {
    records: Counter,
    frames: Counter,
    journal_bytes: Counter,
    rejected: Counter,
    redacted: Counter,
    segments: Counter,
    seal_failures: Counter,
    stalled: Gauge,
    shed: Family<ByLane, Counter>,
    lane_bytes: Family<ByLane, Gauge>,
    result_hits: Counter,
    result_misses: Counter,
}

fn seconds() -> Histogram {
    Histogram::new([0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0])
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("indelible");
        let events = Family::default();
        registry.register("events", "Events that were recorded and acknowledged", events.clone());
        let refused = Family::default();
        registry.register("events_refused", "Events that were refused", refused.clone());
        let responses = Family::default();
        registry.register("http_responses", "Answers by status", responses.clone());
        let ingest_seconds = seconds();
        registry.register_with_unit(
            "ingest",
            "From a request's body to its durable receipt",
            Unit::Seconds,
            ingest_seconds.clone(),
        );
        let questions = Family::default();
        registry.register("questions", "Questions that were answered", questions.clone());
        let question_seconds: Family<ByQuestion, Histogram> = Family::new_with_constructor(seconds);
        registry.register_with_unit("question", "Time that a question took", Unit::Seconds, question_seconds.clone());
        let failed_logins = Counter::default();
        registry.register("failed_logins", "Requests whose token did not hold", failed_logins.clone());
        let limited = Counter::default();
        registry.register("limited", "Requests, batches and failed logins that were beyond a rate", limited.clone());
        let unaudited = Counter::default();
        registry.register("unaudited", "Reads and refusals that could not be recorded when they happened", unaudited.clone());
        let connections = Gauge::default();
        registry.register("connections", "Connections that are open", connections.clone());
        let connections_refused = Counter::default();
        registry.register("connections_refused", "Connections that were one too many", connections_refused.clone());
        let connections_broken = Family::default();
        registry.register("connections_broken", "Connections that did not end well", connections_broken.clone());
        let bodies_refused = Family::default();
        registry.register("bodies_refused", "Bodies that were not taken", bodies_refused.clone());
        let certificate_expires = Gauge::default();
        registry.register_with_unit(
            "certificate_expires",
            "When the certificate does, since 1970 UTC; 0 without TLS",
            Unit::Seconds,
            certificate_expires.clone(),
        );
        let tails = Gauge::default();
        registry.register("tails", "Live tails that are open", tails.clone());
        let store = StoreMetrics::default();
        registry.register("records", "Records committed", store.records.clone());
        registry.register("frames", "Frames committed; one sync each", store.frames.clone());
        registry.register_with_unit("journal", "Bytes written to the journal", Unit::Bytes, store.journal_bytes.clone());
        registry.register("rejected", "Events refused at the store's door", store.rejected.clone());
        registry.register("redacted", "Values redacted before hashing", store.redacted.clone());
        registry.register("segments_sealed", "Segments sealed", store.segments.clone());
        registry.register("seal_failures", "Attempts to seal that failed", store.seal_failures.clone());
        registry.register("stalled", "Whether there is no room on the disk: 1 until there is", store.stalled.clone());
        registry.register("events_shed", "Events shed by a full lane; each loss is recorded", store.shed.clone());
        registry.register_with_unit("lane", "Bytes waiting in a lane", Unit::Bytes, store.lane_bytes.clone());
        registry.register("result_cache_hits", "Segments whose answer was known", store.result_hits.clone());
        registry.register("result_cache_misses", "Segments that were looked at", store.result_misses.clone());
        Self {
            registry,
            events,
            refused,
            responses,
            ingest_seconds,
            questions,
            question_seconds,
            failed_logins,
            limited,
            unaudited,
            connections,
            connections_refused,
            connections_broken,
            bodies_refused,
            certificate_expires,
            tails,
            store,
        }
    }

    /// Counts a connection that did not end well.
    pub(crate) fn broken(&self, why: Broken) {
        self.connections_broken.get_or_create(&ByEnd { why }).inc();
    }

    /// Everything as OpenMetrics text.
    pub(crate) fn text(&self, store: &indelible::Store, reader: &indelible::Reader) -> String {
        let stats = store.stats();
        let results = reader.result_counts();
        let own = &self.store;
        for (counter, now) in [
            (&own.records, stats.records),
            (&own.frames, stats.frames),
            (&own.journal_bytes, stats.bytes),
            (&own.rejected, stats.rejected),
            (&own.redacted, stats.redacted),
            (&own.segments, stats.segments),
            (&own.seal_failures, stats.seal_failures),
            (&own.result_hits, results.hits),
            (&own.result_misses, results.misses),
        ] {
            raise(counter, now);
        }
        own.stalled.set(i64::from(store.stalled().is_some()));
        for (lane, stats) in ["critical", "normal", "telemetry"].into_iter().zip(&stats.lanes) {
            raise(&own.shed.get_or_create(&ByLane { lane }), stats.shed);
            let waiting = i64::try_from(stats.bytes).unwrap_or(i64::MAX);
            own.lane_bytes.get_or_create(&ByLane { lane }).set(waiting);
        }
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

/// Brings a copy of a counter up to its original.
fn raise(counter: &Counter<u64, AtomicU64>, now: u64) {
    counter.inc_by(now.saturating_sub(counter.get()));
}
