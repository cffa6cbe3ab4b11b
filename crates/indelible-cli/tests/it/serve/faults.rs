//! Bad input over HTTP: refused or neutralised, counted, nothing of it recorded, and whoever behaves is served beside it.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use serde_json::json;

use super::Served;
use super::served::soon;
use crate::Home;

/// A connection that says what it likes.
pub(super) struct Raw(pub(super) TcpStream);

impl Raw {
    pub(super) fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(60))).unwrap();
        Self(stream)
    }

    /// With these bytes sent already; the server may have had enough before.
    pub(super) fn saying(address: &str, bytes: impl AsRef<[u8]>) -> Self {
        let mut raw = Self::connect(address);
        let _ = raw.0.write_all(bytes.as_ref());
        raw
    }

    /// All that comes until the server ends the connection.
    pub(super) fn rest(mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        match self.0.read_to_end(&mut rest) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("the connection goes on for a minute"),
            // Reset or ended: it is over.
            _ => rest,
        }
    }

    /// The status of the answer, 0 if there is none.
    pub(super) fn status(mut self) -> u16 {
        let mut line = [0; 12];
        if let Err(error) = self.0.read_exact(&mut line) {
            assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "no answer for a minute");
            return 0;
        }
        let line = std::str::from_utf8(&line).unwrap();
        line.strip_prefix("HTTP/1.1 ").unwrap().parse().unwrap()
    }
}

/// Somebody who behaves gets a receipt.
#[track_caller]
pub(super) fn behaves(served: &Served) {
    let event = json!({"action": "good.one", "details": "x".repeat(100)});
    let receipt = served.post("/api/v1/events", &served.admin, &event).is(201).json();
    assert_eq!(receipt["durable"], true, "{receipt}");
}

/// The head of a request to record events, up to its own headers.
fn head(served: &Served, headers: &str) -> String {
    format!("POST /api/v1/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n{headers}\r\n\r\n", served.admin)
}

const SLOW: &str = "indelible_bodies_refused_total{why=\"Slow\"}";
const BROKEN: &str = "indelible_bodies_refused_total{why=\"Broken\"}";
const LARGE: &str = "indelible_bodies_refused_total{why=\"Large\"}";
const ROOM: &str = "indelible_bodies_refused_total{why=\"Room\"}";
const CODING: &str = "indelible_bodies_refused_total{why=\"Coding\"}";
const MALFORMED: &str = "indelible_connections_broken_total{why=\"Malformed\"}";
const NO_REQUEST: &str = "indelible_connections_broken_total{why=\"NoRequest\"}";

/// A head that comes byte by byte, or never, holds a connection for so long and no longer, whatever it begins as.
#[test]
fn slowloris_ends_after_the_time_for_a_head() {
    let served = Served::start_with(Home::new(), &["limits.header_time=500ms"]);
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let settings = [&preface[..], &[0, 0, 0, 4, 0, 0, 0, 0, 0]].concat();
    let unfinished = b"POST /api/v1/events HTTP/1.1\r\nhost: x\r\nx-slow: ";
    let begun = [&b""[..], b"G", unfinished, &preface[..10], &preface[..], &settings];
    let slow: Vec<Raw> = begun.iter().map(|bytes| Raw::saying(served.address(), bytes)).collect();
    let dripping = Raw::saying(served.address(), unfinished);
    behaves(&served);
    let mut drops = dripping.0.try_clone().unwrap();
    let started = Instant::now();
    while drops.write_all(b"x").is_ok() {
        assert!(started.elapsed() < Duration::from_secs(30), "it is listened to for ever");
        std::thread::sleep(Duration::from_millis(50));
    }
    for (raw, bytes) in slow.into_iter().zip(begun) {
        let answer = raw.rest();
        assert!(!answer.starts_with(b"HTTP/1.1 2"), "{bytes:?}");
    }
    soon("each is counted", || served.metric(NO_REQUEST) == begun.len() as u64 + 1);
    behaves(&served);
}

/// A body that stops, or comes a byte now and then, gets 408.
#[test]
fn slow_bodies_are_not_waited_for() {
    let served = Served::start_with(Home::new(), &["limits.body_time=300ms"]);
    let stops = [
        head(&served, "content-length: 1000") + "{\"action\":\"bad.one\"",
        head(&served, "transfer-encoding: chunked") + "10\r\n{\"action\":\"bad.",
        head(&served, "content-length: 7"),
    ];
    for stop in stops {
        assert_eq!(Raw::saying(served.address(), &stop).status(), 408, "{stop}");
    }
    let raw = Raw::saying(served.address(), head(&served, "content-length: 1000"));
    let mut drops = raw.0.try_clone().unwrap();
    let dripping = std::thread::spawn(move || {
        let started = Instant::now();
        while drops.write_all(b" ").is_ok() && started.elapsed() < Duration::from_secs(30) {
            std::thread::sleep(Duration::from_millis(100));
        }
        started.elapsed()
    });
    behaves(&served);
    assert_eq!(raw.status(), 408);
    assert!(dripping.join().unwrap() < Duration::from_secs(30), "it is listened to for ever");
    assert_eq!(served.metric(SLOW), 4);
    assert_eq!(served.count(&served.admin, "action:bad.one"), 0);
}

/// A length is a claim: a giant one is refused before a byte of it comes, a false one records nothing.
#[test]
fn lengths_that_are_giant_or_lie_are_refused() {
    let served = Served::start();
    let event = "{\"action\":\"bad.one\"}";
    let before = served.anonymous_bytes();
    for _ in 0..10 {
        let giant = head(&served, "content-length: 1099511627776");
        assert_eq!(Raw::saying(served.address(), giant).status(), 413);
    }
    assert!(served.anonymous_bytes() < before + (16 << 20), "a claim takes no memory");
    assert_eq!(served.metric(LARGE), 10);
    for length in ["18446744073709551616", "-1", "20x", "20\r\ncontent-length: 21"] {
        let status = Raw::saying(served.address(), head(&served, &format!("content-length: {length}")) + event).status();
        assert_eq!(status, 400, "{length}");
    }
    soon("each is counted", || served.metric(MALFORMED) == 4);
    behaves(&served);
    // It says more than it sends.
    for length in ["content-length: 500", "transfer-encoding: chunked"] {
        let raw = Raw::saying(served.address(), head(&served, length) + "14\r\n" + event);
        raw.0.shutdown(Shutdown::Write).unwrap();
        raw.rest();
    }
    soon("both are counted", || served.metric(BROKEN) == 2);
    // It sends more than it says: what is too much is a request of its own, and none.
    let answer = Raw::saying(served.address(), head(&served, "content-length: 5") + event).rest();
    assert!(answer.starts_with(b"HTTP/1.1 400"), "{}", String::from_utf8_lossy(&answer));
    // A piece of a size that no machine has.
    let huge = head(&served, "transfer-encoding: chunked") + "fffffffffffffffff\r\n" + event;
    assert_eq!(Raw::saying(served.address(), huge).status(), 400);
    behaves(&served);
    assert_eq!(served.count(&served.admin, "action:bad.one"), 0);
}

/// Many or long headers are refused before anybody reads them.
#[test]
fn heads_without_end_are_refused() {
    let served = Served::start();
    let many = (0..5_000).fold(String::new(), |mut many, nth| {
        write!(many, "x-{nth}: y\r\n").unwrap();
        many
    });
    for headers in [many, format!("x: {}", "y".repeat(1 << 20))] {
        let status = Raw::saying(served.address(), head(&served, &headers)).status();
        assert!(matches!(status, 0 | 400 | 431), "{status}");
    }
    soon("both are counted", || served.metric(MALFORMED) == 2);
    behaves(&served);
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Where it goes, its headers, its body.
type Bomb<'b> = (&'b str, &'b [(&'b str, &'b str)], Vec<u8>);

/// What is small as it comes and large in memory: by compression, and by what it is decoded to.
#[test]
fn bombs_do_not_go_off() {
    let served = Served::start();
    let record = |count: usize| {
        // ExportLogsServiceRequest { ResourceLogs { ScopeLogs { empty records } } }
        let wrap = |tag: u8, bytes: &[u8]| {
            let mut length = bytes.len();
            let mut out = vec![tag];
            while length >= 0x80 {
                out.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
                length >>= 7;
            }
            out.push(u8::try_from(length).unwrap());
            [out, bytes.to_vec()].concat()
        };
        wrap(0x0a, &wrap(0x12, &[0x12, 0].repeat(count)))
    };
    let ndjson = [("content-type", "application/x-ndjson"), ("content-encoding", "gzip")];
    let protobuf = [("content-type", "application/x-protobuf"), ("content-encoding", "gzip")];
    let otlp = [("content-type", "application/json"), ("content-encoding", "gzip")];
    let json = format!("{{\"resourceLogs\":[{{\"scopeLogs\":[{{\"logRecords\":[{}{{}}]}}]}}]}}", "{},".repeat(15 << 20));
    let zstd = zstd::encode_all(std::io::repeat(b' ').take(1 << 30), 3).unwrap();
    let many = |front: &str, one: &str| gzip((front.to_owned() + &one.repeat((60 << 20) / one.len())).as_bytes());
    let cloud = [("content-type", "application/cloudevents-batch+json"), ("content-encoding", "gzip")];
    let bombs: [Bomb<'_>; 12] = [
        ("/api/v1/events", &ndjson, gzip(&vec![b'\n'; 300 << 20])),
        ("/api/v1/events", &[ndjson[0], ("content-encoding", "zstd")], zstd),
        ("/api/v1/events", &otlp, many("[", "0,")),
        ("/_bulk", &ndjson, gzip(&vec![b'\n'; 100 << 20])),
        ("/v1/logs", &protobuf, gzip(&record(30 << 20))),
        ("/v1/logs", &protobuf, gzip(&record(100_000))),
        ("/v1/logs", &otlp, gzip(json.as_bytes())),
        ("/_bulk", &ndjson, many("", "{\"delete\":{\"_index\":\"a\"}}\n")),
        ("/services/collector/raw", &otlp, many("", "a\n")),
        ("/services/collector", &otlp, many("", "{\"event\":1}")),
        ("/k8s/audit", &otlp, many("{\"kind\":\"EventList\",\"items\":[", "{},")),
        ("/cloudevents", &cloud, many("[", "0,")),
    ];
    drop(json);
    behaves(&served);
    let before = served.anonymous_bytes();
    for (path, headers, bomb) in &bombs {
        assert!(bomb.len() < 1 << 20, "{path}: {}", bomb.len());
        std::thread::scope(|scope| {
            let all: Vec<_> =
                (0..4).map(|_| scope.spawn(|| served.request("POST", path, &served.admin, headers, bomb).status)).collect();
            behaves(&served);
            for one in all {
                // 503: no room for yet another of them now.
                let status = one.join().unwrap();
                assert!(matches!(status, 413 | 503), "{path} {headers:?}: {status}");
            }
        });
        let grown = served.anonymous_bytes().saturating_sub(before) >> 20;
        eprintln!("{path} {headers:?}: {} bytes, {grown} MiB", bomb.len());
        assert!(grown < 400, "{path} {headers:?}: {grown} MiB");
    }
    assert_eq!(served.metric(LARGE) + served.metric(ROOM), 4 * bombs.len() as u64);
    let broken = gzip(b"{\"action\":\"bad.one\"}");
    served.request("POST", "/api/v1/events", &served.admin, &ndjson, &broken[..broken.len() - 9]).is(400);
    assert_eq!(served.metric(CODING), 1);
    behaves(&served);
    assert_eq!(served.count(&served.admin, "NOT tenant:_system NOT action:good.one"), 0);
}

/// Nesting is refused by whoever reads it first, in every protocol, and takes no stack.
#[test]
fn nesting_of_a_hundred_thousand_is_refused_everywhere() {
    let served = Served::start();
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let objects = format!("{}1{}", "{\"a\":".repeat(100_000), "}".repeat(100_000));
    let json = "application/json";
    let mut protobuf = Vec::new();
    let mut wrap = |tag: u8| {
        // Each length in three bytes.
        let length = protobuf.len();
        let length = [length & 0x7f | 0x80, length >> 7 & 0x7f | 0x80, length >> 14].map(|part| u8::try_from(part).unwrap());
        protobuf.splice(0..0, [&[tag], &length[..]].concat());
    };
    for _ in 0..2_000 {
        // AnyValue { ArrayValue { .. } }
        wrap(0x0a);
        wrap(0x2a);
    }
    // ExportLogsServiceRequest { ResourceLogs { ScopeLogs { LogRecord { body } } } }
    [0x2a, 0x12, 0x12, 0x0a].into_iter().for_each(wrap);
    let mut refused = 0;
    for nested in [&deep, &objects] {
        let event = format!("{{\"action\":\"bad.one\",\"details\":{nested}}}");
        let cloud = format!("{{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"/x\",\"type\":\"a.b\",\"data\":{nested}}}");
        for (path, kind, body) in [
            ("/api/v1/events", json, event.clone()),
            ("/api/v1/events", json, nested.clone()),
            ("/api/v1/events", "application/x-ndjson", event.clone()),
            ("/api/v1/tokens", json, nested.clone()),
            ("/api/v1/tenants", json, format!("{{\"name\":{nested}}}")),
            ("/v1/logs", json, format!("{{\"resourceLogs\":{nested}}}")),
            ("/k8s/audit", json, format!("{{\"items\":[{event}]}}")),
            ("/cloudevents", "application/cloudevents+json", cloud),
            ("/services/collector", json, format!("{{\"event\":{nested}}}")),
            ("/audit/_doc", json, event.clone()),
        ] {
            let answer = served.request("POST", path, &served.admin, &[("content-type", kind)], body.as_bytes());
            assert!(matches!(answer.status, 400 | 413 | 422), "{path}: {answer:?}");
            refused += 1;
        }
        // `_bulk` says of each record how it went.
        let lines = format!("{{\"create\":{{\"_index\":\"x\"}}}}\n{event}\n");
        let kind = [("content-type", "application/x-ndjson")];
        let answer = served.request("POST", "/_bulk", &served.admin, &kind, lines.as_bytes()).is(200).json();
        assert_eq!((&answer["errors"], &answer["items"][0]["create"]["status"]), (&json!(true), &json!(400)), "{answer}");
    }
    let kind = [("content-type", "application/x-protobuf")];
    served.request("POST", "/v1/logs", &served.admin, &kind, &protobuf).is(400);
    for open in ["%28", "NOT+"] {
        let answer = served.get(&format!("/api/v1/search?q={}", open.repeat(15_000)), &served.admin);
        assert!(matches!(answer.status, 400 | 414), "{answer:?}");
        refused += 1;
    }
    let counted: u64 = [400, 413, 414, 422]
        .map(|status| served.metric(&format!("indelible_http_responses_total{{status=\"{status}\"}}")))
        .iter()
        .sum();
    assert_eq!(counted, refused + 1);
    assert!(served.metric("indelible_events_refused_total{protocol=\"Bulk\"}") >= 2);
    behaves(&served);
    assert_eq!(served.count(&served.admin, "NOT tenant:_system NOT action:good.one"), 0);
}

/// Whoever goes away in the middle of a batch leaves nothing of it behind, and may send it again.
#[test]
fn of_a_batch_that_breaks_off_nothing_is_recorded() {
    let served = Served::start();
    let mut seed = 1_u64;
    let lines: String = (0..2_000)
        .map(|nth| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            format!("{{\"action\":\"batch.part\",\"details\":{{\"nth\":{nth},\"noise\":\"{seed:x}\"}}}}\n")
        })
        .collect();
    let packed = gzip(lines.as_bytes());
    let kind = "content-type: application/x-ndjson\r\nidempotency-key: whole\r\n";
    let chunk = |bytes: &[u8]| [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
    let half = &packed[..packed.len() / 2];
    let plain = head(&served, &format!("{kind}content-length: {}", lines.len()));
    let coded = head(&served, &format!("{kind}content-encoding: gzip\r\ncontent-length: {}", packed.len()));
    let chunked = head(&served, &format!("{kind}content-encoding: gzip\r\ntransfer-encoding: chunked"));
    let broken: [Vec<u8>; 3] = [
        [plain.as_bytes(), &lines.as_bytes()[..lines.len() / 2]].concat(),
        [coded.as_bytes(), half].concat(),
        [chunked.as_bytes(), &chunk(half)].concat(),
    ];
    for request in &broken {
        drop(Raw::saying(served.address(), request));
    }
    soon("each is counted", || served.metric(BROKEN) == 3);
    // It ends as a body should, but the half of gzip is none.
    let ended = [chunked.as_bytes(), &chunk(half), b"0\r\n\r\n"].concat();
    let mut raw = Raw::saying(served.address(), ended);
    let mut answer = [0; 12];
    raw.0.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 400");
    assert_eq!(served.metric(CODING), 1);
    behaves(&served);
    assert_eq!(served.count(&served.admin, "action:batch.part"), 0);
    // All of it came, and nobody waits for the answer: it is recorded or not, and sent again it is recorded once.
    drop(Raw::saying(served.address(), [chunked.as_bytes(), &chunk(&packed), b"0\r\n\r\n"].concat()));
    let headers = [("content-encoding", "gzip"), ("idempotency-key", "whole"), ("content-type", "application/x-ndjson")];
    served.request("POST", "/api/v1/events", &served.admin, &headers, &packed).is(201);
    assert_eq!(served.count(&served.admin, "action:batch.part"), 2_000);
}

/// Whoever asks for an export and does not take it holds up no search, gives its place back, and is not told that it was all.
#[test]
fn exports_that_nobody_takes_end_and_hold_up_nobody() {
    let served = Served::start_with(Home::new(), &["limits.exports=4", "limits.searches=1", "limits.body_time=1s"]);
    let filler = "x".repeat(10_000);
    for batch in 0..24 {
        let lines: String = (0..100)
            .map(|nth| format!("{{\"action\":\"bulk.part\",\"id\":\"{batch}-{nth}\",\"details\":\"{filler}\"}}\n"))
            .collect();
        served.post_lines(&served.admin, &[("prefer", "return=minimal")], &lines).is(201);
    }
    let request = format!(
        "GET /api/v1/export?q=action:bulk.part HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\nconnection: close\r\n\r\n",
        served.admin
    );
    let slow: Vec<Raw> = (0..2).map(|_| Raw::saying(served.address(), &request)).collect();
    assert_eq!(served.count(&served.admin, "action:bulk.part"), 2_400);
    behaves(&served);
    // It waits for a place, which comes when the others have taken nothing for so long.
    let whole = Raw::saying(served.address(), &request).rest();
    assert!(whole.ends_with(b"0\r\n\r\n") && whole.len() > 24_000_000, "{}", whole.len());
    for raw in slow {
        let part = raw.rest();
        assert!(!part.is_empty() && part.len() < whole.len() && !part.ends_with(b"0\r\n\r\n"), "{}", part.len());
    }
    soon("each is in the log", || {
        served.count(&served.admin, "tenant:_system action:data.export outcome:failure") == 2
            && served.count(&served.admin, "tenant:_system action:data.export outcome:success") == 1
    });
    // The same of a tenant's copy.
    let request = request.replace("/api/v1/export?q=action:bulk.part", "/api/v1/tenants/default/copy");
    let slow: Vec<Raw> = (0..2).map(|_| Raw::saying(served.address(), &request)).collect();
    assert_eq!(served.count(&served.admin, "action:bulk.part"), 2_400);
    let whole = Raw::saying(served.address(), &request).rest();
    assert!(whole.ends_with(b"0\r\n\r\n") && whole.len() > 24_000_000, "{}", whole.len());
    for raw in slow {
        let part = raw.rest();
        assert!(!part.is_empty() && part.len() < whole.len() && !part.ends_with(b"0\r\n\r\n"), "{}", part.len());
    }
}
