//! The layers record into a store and through a client alike, wait for nobody, and do not hear themselves.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use http::{Request, Response, StatusCode};
use indelible::{Config, Draft, Field, Outcome, Refusal, Severity, Sink, Store};
use indelible_adapters::{Asked, AskedBy, TowerLayer, TracingLayer};
use serde_json::Value;
use tower::{Layer as _, Service, service_fn};
use tracing_subscriber::prelude::*;

use crate::scripted::{Reply, Scripted, gathering};

/// What a sink was offered, as JSON.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<Value>>>);

impl Sink for Kept {
    fn offer(&self, draft: &Draft<'_>) -> Result<(), Refusal> {
        // A sink that logs is not asked to record that.
        tracing::info!(target: "audit", action = "sink.log");
        let mut line = Vec::new();
        indelible_adapters::write_draft(&mut line, draft, &mut Vec::new()).map_err(|_| Refusal::Rejected)?;
        self.0.lock().unwrap().push(serde_json::from_slice(&line).unwrap());
        Ok(())
    }
}

impl Kept {
    fn take(&self) -> Vec<Value> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

fn traced(layer: TracingLayer<Kept>, run: impl FnOnce()) {
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), run);
}

#[test]
fn fields_become_what_they_say_and_the_rest_is_detail() {
    let kept = Kept::default();
    let layer = TracingLayer::new(kept.clone()).target("billing");
    let counts = layer.counts();
    traced(layer, || {
        let request = tracing::info_span!(
            "request", actor.id = 42, actor.name = tracing::field::Empty, origin.ip = %std::net::Ipv4Addr::LOCALHOST,
            session = "outer",
            unrelated = 1, trace_id = "4bf92f3577b34da6a3ce929d0e0e4736", span_id = "00f067aa0ba902b7"
        );
        let _request = request.enter();
        request.record("actor.name", "Alice");
        let inner = tracing::info_span!("inner", session = "inner");
        let _inner = inner.enter();
        tracing::warn!(
            target: "audit", action = "invoice.approve", outcome = "denied", severity = "high", class = "critical", id = "e-1",
            target.type = "invoice", target.id = 17, amount = 12.5, retried = true, nan = f64::NAN, negative = -1,
            "no: {}", "limit"
        );
        tracing::error!(target: "billing::cards", outcome = "odd", span_id = "not one");
        tracing::info!(audit = true, action = "a.b");
        tracing::info!(audit = false, action = "not.this");
        tracing::info!(target: "auditor", action = "not.this");
        tracing::info!(target: "billingx", action = "not.this");
    });
    let events = kept.take();
    assert_eq!(events.len(), 3, "{events:?}");
    assert_eq!(counts.taken(), 3);
    let expected = serde_json::json!({
        "action": "invoice.approve", "outcome": "denied", "severity": "high", "class": "critical", "id": "e-1",
        "source": "tracing",
        "trace": {"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "span_id": "00f067aa0ba902b7"},
        "actor": {"id": "42", "name": "Alice"}, "origin": {"ip": "127.0.0.1"}, "session": "inner",
        "targets": [{"type": "invoice", "id": "17"}],
        "details": {"amount": 12.5, "retried": true, "nan": "NaN", "negative": -1, "message": "no: limit", "level": "WARN"},
    });
    assert_eq!(events[0], expected);
    // A word that is none, and half a trace, stay as they were said.
    assert_eq!(events[1]["action"], "app.event");
    assert_eq!(events[1]["details"], serde_json::json!({"outcome": "odd", "span_id": "not one", "level": "ERROR"}));
    assert_eq!((&events[1]["outcome"], &events[1]["actor"]["id"]), (&Value::Null, &Value::from("42")));
    assert_eq!(events[2]["action"], "a.b");
}

#[test]
fn a_span_is_recorded_when_it_closes_with_what_it_was_told_meanwhile() {
    let kept = Kept::default();
    traced(TracingLayer::new(kept.clone()).action("job.run"), || {
        let _request = tracing::info_span!("request", actor.id = "alice").entered();
        let job = tracing::info_span!(target: "audit", "nightly", outcome = tracing::field::Empty, rows = tracing::field::Empty);
        job.in_scope(|| tracing::info!("working"));
        assert!(kept.take().is_empty(), "not before it closes");
        job.record("outcome", "success");
        job.record("rows", 3);
    });
    let events = kept.take();
    assert_eq!(events.len(), 1);
    let event = &events[0];
    assert_eq!((&event["action"], &event["outcome"]), (&Value::from("job.run"), &Value::from("success")));
    assert_eq!((&event["actor"]["id"], &event["details"]["span"]), (&Value::from("alice"), &Value::from("nightly")));
    assert!(event["details"]["duration_us"].is_u64() && event["details"]["rows"] == 3 && event["time"].is_string());
}

#[test]
fn what_the_sink_refuses_is_counted() {
    struct Refusing(Refusal);
    impl Sink for Refusing {
        fn offer(&self, _: &Draft<'_>) -> Result<(), Refusal> {
            Err(self.0)
        }
    }
    for (refusal, expected) in [(Refusal::Rejected, [1, 0, 0]), (Refusal::Full, [0, 1, 0]), (Refusal::Stopped, [0, 0, 1])] {
        let layer = TracingLayer::new(Refusing(refusal));
        let counts = layer.counts();
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, || tracing::info!(target: "audit", action = "a.b"));
        assert_eq!([counts.rejected(), counts.full(), counts.stopped()], expected);
        assert_eq!(counts.taken(), 0);
    }
}

/// Polls once: what is polled here is ready, or is to be let go.
fn poll<F: Future>(future: F) -> Poll<F::Output> {
    std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

fn describe(parts: &http::request::Parts) -> Option<Asked> {
    (parts.uri.path() != "/health").then(|| Asked::to("order.read").by("alice").of("order", "17"))
}

fn request(path: &str) -> Request<()> {
    Request::get(path).header("user-agent", "curl").extension(SocketAddr::from(([203, 0, 113, 9], 80))).body(()).unwrap()
}

fn answer(status: u16) -> impl Service<Request<()>, Response = Response<()>, Error = Infallible> {
    service_fn(move |_: Request<()>| {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        std::future::ready(Ok::<_, Infallible>(response))
    })
}

#[test]
fn every_request_is_one_event_and_its_outcome_follows_from_the_status() {
    let kept = Kept::default();
    let layer = TowerLayer::new(kept.clone(), describe);
    for (status, outcome) in
        [(204, "success"), (302, "success"), (401, "denied"), (403, "denied"), (404, "failure"), (503, "error")]
    {
        let mut service = layer.layer(answer(status));
        assert!(poll(service.call(request("/orders/17?token=secret"))).is_ready());
        let mut event = kept.take().pop().unwrap();
        assert!(event["details"]["duration_us"].take().is_u64() && event["time"].take().is_string());
        let expected = serde_json::json!({
            "action": "order.read", "outcome": outcome, "source": "http", "time": null, "actor": {"id": "alice"},
            "origin": {"ip": "203.0.113.9", "user_agent": "curl"}, "targets": [{"type": "order", "id": "17"}],
            "details": {"duration_us": null, "method": "GET", "path": "/orders/17", "status": status},
        });
        assert_eq!(event, expected);
    }
    assert!(poll(layer.layer(answer(200)).call(request("/health"))).is_ready());
    assert_eq!((kept.take().len(), layer.counts().taken()), (0, 6), "what is skipped is not an event");
}

#[test]
fn requests_without_a_response_are_recorded_too() {
    let kept = Kept::default();
    let layer = TowerLayer::new(kept.clone(), describe).keep(|_, status| status != StatusCode::OK);
    let failing = service_fn(|_: Request<()>| std::future::ready(Err::<Response<()>, _>("broken")));
    assert!(poll(layer.layer(failing).call(request("/"))).is_ready());
    let event = kept.take().pop().unwrap();
    assert_eq!((&event["outcome"], &event["details"]["status"]), (&Value::from("error"), &Value::Null));
    let never = service_fn(|_: Request<()>| std::future::pending::<Result<Response<()>, Infallible>>());
    let call = layer.layer(never).call(request("/"));
    assert!(kept.take().is_empty());
    drop(call);
    let event = kept.take().pop().unwrap();
    assert_eq!((&event["outcome"], &event["details"]["cancelled"]), (&Value::from("error"), &Value::from(true)));
    assert!(poll(layer.layer(answer(200)).call(request("/"))).is_ready());
    assert!(kept.take().is_empty(), "what is not kept is not an event");
}

#[test]
fn the_service_within_may_say_who_asked() {
    let kept = Kept::default();
    let within = service_fn(|_: Request<()>| {
        let mut response = Response::new(());
        response.extensions_mut().insert(AskedBy("bob".into()));
        std::future::ready(Ok::<_, Infallible>(response))
    });
    assert!(poll(TowerLayer::new(kept.clone(), describe).layer(within).call(request("/"))).is_ready());
    assert_eq!(kept.take()[0]["actor"]["id"], "bob");
}

/// One event through each layer.
fn record(sink: impl Sink + Clone + 'static) {
    let layer = TracingLayer::new(sink.clone());
    let subscriber = tracing_subscriber::registry().with(layer);
    tracing::subscriber::with_default(subscriber, || {
        tracing::info!(target: "audit", action = "user.login", actor.id = "alice", outcome = "failure");
    });
    assert!(poll(TowerLayer::new(sink, describe).layer(answer(403)).call(request("/"))).is_ready());
}

#[test]
fn both_layers_record_into_a_store() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(Config::new(dir.path())).unwrap();
    record(store.clone());
    store.flush().unwrap();
    let reader = store.reader().unwrap();
    let read = |seq| reader.record(1, seq).unwrap().unwrap();
    let mut seen = Vec::new();
    for seq in 0..2 {
        let stored = read(seq);
        let record = stored.record().unwrap();
        let head = record.head().unwrap();
        let actor = record.field(Field::ActorId).unwrap_or_default().to_vec();
        seen.push((head.action.to_owned(), head.outcome, head.severity, String::from_utf8(actor).unwrap()));
    }
    seen.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(seen[0].0, "order.read");
    assert_eq!((seen[0].1, seen[1].1), (Outcome::Denied, Outcome::Failure));
    assert_eq!(seen[1].0, "user.login");
    assert!(seen[1].2 > Severity::Info, "the taxonomy knows what a failed login is");
    assert!(seen.iter().all(|event| event.3 == "alice"));
    store.close().unwrap();
}

#[test]
fn both_layers_record_through_a_client() {
    let server = Scripted::start(|_, _| Reply::Receipts);
    let client = server.client(gathering());
    record(client.clone());
    client.flush().unwrap();
    let lines: Vec<Value> =
        server.requests(1).iter().flat_map(|request| request.lines()).map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut actions: Vec<&str> = lines.iter().map(|event| event["action"].as_str().unwrap()).collect();
    actions.sort_unstable();
    assert_eq!(actions, ["order.read", "user.login"]);
    client.close().unwrap();
}
