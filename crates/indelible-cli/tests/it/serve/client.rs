//! The Rust client against the real server: what it says is recorded is there once, whatever happens to the server meanwhile.

use std::collections::HashMap;
use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use indelible::format::draft::Raw;
use indelible::json::write_string;
use indelible::{Canonical, Class, Draft, Outcome, Producer, Reader, Severity, Trace};
use indelible_client::{Client, Config, Connection, ErrorKind, Idempotence, Token};
use serde_json::{Value, json};

use super::Served;
use super::served::soon;

/// One address for a server that comes back under another.
struct Relay {
    url: String,
    to: Arc<Mutex<String>>,
}

impl Relay {
    fn to(served: &Served) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let to = Arc::new(Mutex::new(address(served)));
        let place = Arc::clone(&to);
        thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                // Nobody there: the connection is closed, as it is when the server was killed.
                let Ok(far) = TcpStream::connect(&*place.lock().unwrap()) else { continue };
                for (mut from, mut to) in [(near.try_clone().unwrap(), far.try_clone().unwrap()), (far, near)] {
                    thread::spawn(move || {
                        let _ = io::copy(&mut from, &mut to);
                        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
                    });
                }
            }
        });
        Self { url, to }
    }

    fn follow(&self, served: &Served) {
        *self.to.lock().unwrap() = address(served);
    }
}

fn address(served: &Served) -> String {
    served.url.strip_prefix("http://").unwrap().to_owned()
}

fn connect(url: &str, token: &str, config: Config) -> Client {
    Client::with(&Connection::new(url, Some(Token::new(token).unwrap())).unwrap(), config).unwrap()
}

#[test]
fn ten_thousand_events_through_kills_of_the_server_are_there_once_and_where_their_receipts_say() {
    const THREADS: usize = 4;
    const EACH: usize = 2_500;
    let mut served = Served::start();
    let relay = Relay::to(&served);
    // Little room, so that there is always something on its way when the server dies.
    let config = Config {
        queue_bytes: 200_000,
        batch_events: 200,
        emit_timeout: Duration::from_secs(60),
        drain_timeout: Duration::from_secs(60),
        retry_delay_max: Duration::from_millis(100),
        ..Config::default()
    };
    let client = connect(&relay.url, &served.token(&["emit"], &["default"], &[]), config);
    let receipts = thread::scope(|scope| {
        let emit = |thread| {
            let client = &client;
            move || {
                let ids = (0..EACH).map(|nth| format!("{thread}-{nth}"));
                let tickets: Vec<_> = ids
                    .map(|id| {
                        let ticket = client.emit(&Draft::new("a.b").id(&id).detail("thread", thread as u64)).unwrap();
                        (id, ticket)
                    })
                    .collect();
                tickets.into_iter().map(|(id, ticket)| (id, ticket.wait().unwrap())).collect::<Vec<_>>()
            }
        };
        let emitters: Vec<_> = (0..THREADS).map(|thread| scope.spawn(emit(thread))).collect();
        for killed_at in [500, 3_000, 7_000] {
            soon("events are delivered", || client.stats().delivered >= killed_at);
            served.kill_and_start(&[]);
            relay.follow(&served);
        }
        emitters.into_iter().flat_map(|emitter| emitter.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(client.stats().retries > 0, "the server was killed, and nobody noticed");
    let closed = client.close().unwrap();
    assert_eq!((closed.delivered, closed.refused, closed.shed), ((THREADS * EACH) as u64, 0, 0));
    let home = served.stop();
    let mut stored: HashMap<String, u64> = HashMap::new();
    let reader = Reader::open(home.data()).unwrap();
    let scan = reader.records(&mut |position| {
        if let Some(head) = position.record.head().filter(|head| head.action == "a.b") {
            let before = stored.insert(head.id.to_string(), position.seq);
            assert_eq!(before, None, "{} is there twice", head.id);
        }
        ControlFlow::Continue(())
    });
    assert!(scan.unwrap().complete);
    assert_eq!(stored.len(), THREADS * EACH);
    for (nth, (id, receipt)) in receipts.into_iter().enumerate() {
        assert_eq!(receipt.seq, Some(stored[&id]), "{id}: {receipt:?}");
        // Computing a leaf takes the salts of its group; some of them will do.
        if nth % 97 == 0 {
            assert_eq!(receipt.leaf, Some(reader.record(1, stored[&id]).unwrap().unwrap().leaf()), "{id}");
        }
    }
    home.run(["verify"]).ok();
}

#[test]
fn every_member_of_a_draft_arrives() {
    let served = Served::start();
    let client = connect(&served.url, &served.admin, Config::default());
    let hostile = "a\"b\\\n\u{0}\u{1b}[31mé😀";
    let draft = Draft::new("invoice.approve")
        .outcome(Outcome::Denied)
        .severity(Severity::Fatal)
        .class(Class::Critical)
        .id("e-1")
        .time_ns(1_769_853_600_000_000_001)
        .tenant("default")
        .source("erp")
        .producer(Producer { id: "web-1", epoch: 3, seq: 42 })
        .trace(Trace { trace_id: [0xab; 16], span_id: [1; 8] })
        .frameworks(&["sox"])
        .weight(5)
        .actor(hostile)
        .actor_type("user")
        .actor_name("Alice")
        .actor_email("a@example.org")
        .session("s-7")
        .ip("203.0.113.9")
        .user_agent("curl")
        .host("web")
        .target("invoice", hostile)
        .detail("n", 9_007_199_254_740_993_u64)
        .detail("j", Canonical::trusted(b"[1.0,null]"))
        .raw(Raw { media_type: "application/x", bytes: &[0, 255] })
        .idempotency_key("mine");
    let receipt = client.append(&draft).unwrap();
    let event = served.get("/api/v1/events/e-1", &served.admin).is(200);
    let mut quoted = Vec::new();
    write_string(&mut quoted, hostile);
    let hostile: Value = serde_json::from_slice(&quoted).unwrap();
    let event = event.json();
    for (member, expected) in [
        ("action", json!("invoice.approve")),
        ("outcome", json!("denied")),
        ("severity", json!("fatal")),
        ("class", json!("critical")),
        ("time", json!("2026-01-31T10:00:00.000000001Z")),
        ("source", json!("erp")),
        ("producer", json!({"id": "default/web-1", "epoch": 3, "seq": 42})),
        ("trace", json!({"trace_id": "ab".repeat(16), "span_id": "01".repeat(8)})),
        ("frameworks", json!(["sox"])),
        ("weight", json!(5)),
        ("actor", json!({"id": hostile, "type": "user", "name": "Alice", "email": "a@example.org"})),
        ("session", json!("s-7")),
        ("origin", json!({"ip": "203.0.113.9", "user_agent": "curl", "host": "web"})),
        ("targets", json!([{"type": "invoice", "id": hostile}])),
        ("raw", json!({"media_type": "application/x", "base64": "AP8="})),
        ("seq", json!(receipt.seq.unwrap())),
        ("leaf", json!(receipt.leaf.unwrap().to_string())),
        ("tenant_seq", json!(receipt.tenant_seq.unwrap())),
    ] {
        assert_eq!(event[member], expected, "{member}");
    }
    assert_eq!(event["details"].to_string(), r#"{"j":[1.0,null],"n":9007199254740993}"#);
    // A producer's number is recorded once.
    assert_eq!(client.append(&draft).unwrap().idempotence, Idempotence::Repeated);
    // The same under the same key is the same event; another is refused.
    let keyed = Draft::new("invoice.approve").id("k-1").time_ns(1).idempotency_key("again");
    let receipt = client.append(&keyed).unwrap();
    let again = client.append(&keyed).unwrap();
    assert_eq!((again.idempotence, again.seq, again.leaf), (Idempotence::Duplicate, receipt.seq, receipt.leaf));
    assert_eq!(client.append(&keyed.id("k-2")).unwrap_err().kind(), ErrorKind::Rejected);
}

#[test]
fn what_the_server_refuses_fails_alone() {
    let served = Served::start();
    let token = served.token(&["emit"], &["default"], &[]);
    let client = connect(&served.url, &token, Config { batch_age: Duration::from_secs(3_600), ..Config::default() });
    let good = client.emit(&Draft::new("a.b").id("good")).unwrap();
    let stranger = client.emit(&Draft::new("a.b").tenant("nobody")).unwrap();
    let last = client.emit(&Draft::new("a.b").id("last")).unwrap();
    client.flush().unwrap();
    let error = stranger.wait().unwrap_err();
    assert_eq!((error.kind(), error.problem().unwrap().pointer()), (ErrorKind::Rejected, Some("/1/tenant")));
    assert!(good.wait().is_ok() && last.wait().is_ok());
    assert_eq!(served.count(&served.admin, "action:a.b"), 2);
    // A token that may only read.
    let reader = connect(&served.url, &served.token(&["read"], &["default"], &[]), Config::default());
    assert_eq!(reader.append(&Draft::new("a.b")).unwrap_err().kind(), ErrorKind::Denied);
}

#[test]
fn what_only_the_log_can_refuse_fails_alone_and_is_not_sent_again() {
    let served = Served::start();
    let client = connect(&served.url, &served.admin, Config { batch_age: Duration::from_secs(3_600), ..Config::default() });
    let first = client.emit(&Draft::new("a.b").id("first").idempotency_key("taken")).unwrap();
    client.flush().unwrap();
    first.wait().unwrap();
    let before = client.stats().requests;
    let good = client.emit(&Draft::new("a.b").id("good")).unwrap();
    let other = client.emit(&Draft::new("a.b").id("other").idempotency_key("taken")).unwrap();
    let last = client.emit(&Draft::new("a.b").id("last")).unwrap();
    client.flush().unwrap();
    let error = other.wait().unwrap_err();
    assert!(error.kind() == ErrorKind::Rejected && error.to_string().contains("another event"), "{error:?}");
    assert!(good.wait().is_ok() && last.wait().is_ok());
    let stats = client.stats();
    assert_eq!((stats.requests - before, stats.retries, stats.delivered, stats.refused), (1, 0, 3, 1));
    assert_eq!(served.count(&served.admin, "action:a.b"), 3);
}
