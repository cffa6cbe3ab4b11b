//! Connections that are too many, or reset what they open without end: bounded, counted, and whoever behaves is served beside them.

use std::io::Write as _;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::Served;
use super::faults::{Raw, behaves};
use super::served::soon;
use crate::Home;

pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;

/// As protocols of the network write numbers: the highest byte first.
pub(super) fn wire(number: usize) -> [u8; 4] {
    [24, 16, 8, 0].map(|shift| u8::try_from(number >> shift & 0xff).unwrap())
}

/// A frame of HTTP/2 (RFC 9113, section 4.1).
pub(super) fn frame(kind: u8, flags: u8, stream: usize, payload: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = wire(payload.len());
    [&length[..], &[kind, flags], &wire(stream), payload].concat()
}

/// Headers as literals that nobody keeps, without Huffman's code (RFC 7541, section 6.2.2).
pub(super) fn block(headers: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    headers.iter().flat_map(|(name, value)| [vec![0], text(name), text(value)].concat()).collect()
}

/// Why the server sent the connection away, if it did.
fn sent_away(mut bytes: &[u8]) -> Option<u8> {
    while let Some((head, rest)) = bytes.split_at_checked(9) {
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let (payload, rest) = rest.split_at_checked(length)?;
        if head[3] == GOAWAY && payload[7] != 0 {
            return Some(payload[7]);
        }
        bytes = rest;
    }
    None
}

const ENHANCE_YOUR_CALM: u8 = 11;
const FLOODED: &str = "indelible_connections_broken_total{why=\"Flooded\"}";

/// Streams that are opened and reset at once (CVE-2023-44487), and headers that never end (CVE-2024-27316).
#[test]
fn rapid_reset_ends_the_connection() {
    let served = Served::start();
    let get = block(&[(":method", "GET"), (":scheme", "http"), (":path", "/livez"), (":authority", "x")]);
    let begin = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
    let resets: Vec<u8> = (0..20_000)
        .flat_map(|nth| {
            let stream = nth * 2 + 1;
            [frame(HEADERS, END_HEADERS | END_STREAM, stream, &get), frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat()
        })
        .collect();
    let mut endless = frame(HEADERS, END_STREAM, 1, &get);
    for _ in 0..2_000 {
        endless.extend(frame(CONTINUATION, 0, 1, &block(&[("x-more", &"y".repeat(100))])));
    }
    behaves(&served);
    let before = served.anonymous_bytes();
    let attacks = [&resets, &resets, &resets, &resets, &endless];
    for attack in attacks {
        let raw = Raw::connect(served.address());
        let mut sender = raw.0.try_clone().unwrap();
        let sending = std::thread::spawn({
            let bytes = [&begin[..], attack].concat();
            move || sender.write_all(&bytes).is_ok()
        });
        behaves(&served);
        let told = raw.rest();
        // What is sent behind a connection's end may take its last words with it.
        let why = sent_away(&told);
        assert!(why.is_none() || why == Some(ENHANCE_YOUR_CALM), "{why:?}");
        let _ = sending.join().unwrap();
    }
    soon("each is counted", || served.metric(FLOODED) == attacks.len() as u64);
    let grown = served.anonymous_bytes().saturating_sub(before) >> 20;
    assert!(grown < 64, "{grown} MiB");
    // Each request that was begun and reset was not answered, and not many were begun.
    let answered = served.metric("indelible_http_responses_total{status=\"200\"}");
    assert!(answered < 2_000, "{answered}");
    behaves(&served);
}

/// A message over gRPC is under the same limits as any other body: for who may send it, how long it takes, and what it decodes to.
#[test]
fn grpc_is_no_way_around_the_limits_on_bodies() {
    let served = Served::start_with(Home::new(), &["limits.body_time=500ms"]);
    let call = |token: &str, frames: &[Vec<u8>]| {
        let authorization = format!("Bearer {token}");
        let headers = block(&[
            (":method", "POST"),
            (":scheme", "http"),
            (":path", "/opentelemetry.proto.collector.logs.v1.LogsService/Export"),
            (":authority", "x"),
            ("content-type", "application/grpc"),
            ("grpc-encoding", "gzip"),
            ("te", "trailers"),
            ("authorization", &authorization),
        ]);
        let begin = [PREFACE, &frame(SETTINGS, 0, 0, &[]), &frame(HEADERS, END_HEADERS, 1, &headers)].concat();
        Raw::saying(served.address(), [begin, frames.concat()].concat())
    };
    // ExportLogsServiceRequest { ResourceLogs { ScopeLogs { empty records } } }
    let message = |records: usize| {
        let long = |length: usize| {
            [length & 0x7f | 0x80, length >> 7 & 0x7f | 0x80, length >> 14 & 0x7f | 0x80, length >> 21]
                .map(|part| u8::try_from(part).unwrap())
        };
        let list = [0x12, 0].repeat(records);
        let scope = [&[0x12], &long(list.len())[..], &list].concat();
        let plain = [&[0x0a], &long(scope.len())[..], &scope].concat();
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(&plain).unwrap();
        let packed = encoder.finish().unwrap();
        let length = wire(packed.len());
        let whole = [&[1], &length[..], &packed].concat();
        let pieces = whole.len().div_ceil(16_000);
        let frames: Vec<_> =
            whole.chunks(16_000).enumerate().map(|(nth, piece)| frame(DATA, u8::from(nth + 1 == pieces), 1, piece)).collect();
        frames
    };
    let large = "indelible_bodies_refused_total{why=\"Large\"}";
    let otlp = "indelible_events_total{protocol=\"Otlp\"}";
    let small = call(&served.admin, &message(3));
    soon("what is well is recorded", || served.metric(otlp) == 3);
    drop(small);
    let before = served.anonymous_bytes();
    let bombs: Vec<_> = [20 << 20, 100_000].map(|records| call(&served.admin, &message(records))).into();
    behaves(&served);
    soon("what is small and decodes to much is not", || served.metric(large) == 2);
    // Nobody decodes what comes from a stranger.
    let stranger = call("indl_AAAAAAAAAAAA_nonsense", &message(20 << 20));
    soon("a stranger is refused", || served.metric("indelible_failed_logins_total") == 1);
    let slow = call(&served.admin, &[frame(DATA, 0, 1, &[1, 0, 0])]);
    soon("and who does not go on", || served.metric("indelible_bodies_refused_total{why=\"Slow\"}") == 1);
    drop((bombs, stranger, slow));
    let grown = served.anonymous_bytes().saturating_sub(before) >> 20;
    assert!(grown < 256, "{grown} MiB");
    behaves(&served);
    assert_eq!((served.metric(otlp), served.metric(large)), (3, 2));
}

/// More than a limit are refused, and counted; as soon as there is room again, others come in.
#[test]
fn connections_have_a_limit() {
    let served = Served::start_with(Home::new(), &["limits.connections=40"]);
    let refused = || {
        // Whoever asks is one of the connections.
        let mut held: Vec<Raw> = (0..33).map(|_| Raw::connect(served.address())).collect();
        behaves(&served);
        held.extend((0..30).map(|_| Raw::connect(served.address())));
        held
    };
    let held = refused();
    drop(held);
    soon("the places are free again", || {
        let agent = ureq::Agent::new_with_defaults();
        agent.get(format!("{}/livez", served.url)).call().is_ok()
    });
    behaves(&served);
    let count = served.metric("indelible_connections_refused_total");
    assert!((20..=60).contains(&count), "{count}");
}

/// One address that opens as many as it can keeps nobody else out.
#[test]
fn one_address_does_not_get_all_connections() {
    let served = Served::start_with(Home::new(), &["limits.connections=40", "limits.header_time=10m"]);
    let from = |address: &str| {
        let mut curl = std::process::Command::new("curl");
        let curl = curl.args(["--silent", "--max-time", "20", "--interface", address, &format!("{}/livez", served.url)]);
        curl.output().expect("curl (package curl)").status.success()
    };
    assert!(from("127.0.0.1") && from("127.0.0.2"));
    let held: Vec<Raw> = (0..60).map(|_| Raw::connect(served.address())).collect();
    assert!(!from("127.0.0.1"), "an eighth is for others");
    for _ in 0..10 {
        assert!(from("127.0.0.2"));
    }
    // All of them together have no more than there are.
    let listen = || {
        let authorization = format!("authorization: Bearer {}", served.admin);
        let mut curl = std::process::Command::new("curl");
        curl.args(["--silent", "--interface", "127.0.0.2", "--header", &authorization, &format!("{}/api/v1/tail", served.url)]);
        curl.stdout(std::process::Stdio::null()).spawn().unwrap()
    };
    // As many as it takes: a connection that has just ended may still have its place.
    let mut listeners = Vec::new();
    soon("all places are taken", || {
        listeners.push(listen());
        !from("127.0.0.3")
    });
    for mut listener in listeners {
        listener.kill().unwrap();
        listener.wait().unwrap();
    }
    soon("places are free again", || from("127.0.0.3"));
    drop(held);
    soon("those of the first address, too", || from("127.0.0.1"));
    let refused = served.metric("indelible_connections_refused_total");
    assert!(refused >= 25, "{refused}");
}

/// Ten thousand that say nothing cost little, and hold up nobody.
#[test]
fn ten_thousand_idle_connections_hold_up_nobody() {
    let limit = getrlimit(Resource::Nofile);
    // Both ends are handles of processes that have this limit.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let most = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let wanted = 10_000.min(most.saturating_sub(1_000) / 2);
    if wanted < 10_000 {
        eprintln!("{wanted} instead of 10,000 connections: the limit on open files is {most}");
    }
    assert!(wanted >= 1_000, "the limit on open files is {most}");
    let served = Served::start_with(Home::new(), &["limits.header_time=10m"]);
    behaves(&served);
    let before = served.anonymous_bytes();
    let mut idle = Vec::new();
    for nth in 0..wanted {
        // Some have said something, most nothing at all.
        idle.push(match nth % 10 {
            0 => Raw::saying(served.address(), b"POST /api/v1/events HTTP/1.1\r\nhost: "),
            1 => Raw::saying(served.address(), [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()),
            _ => Raw::connect(served.address()),
        });
        if nth % 1_000 == 0 {
            behaves(&served);
        }
    }
    soon("all of them are there", || served.metric("indelible_connections") >= wanted);
    for _ in 0..20 {
        behaves(&served);
    }
    let grown = served.anonymous_bytes().saturating_sub(before);
    eprintln!("{wanted} idle connections: {} MiB, {} bytes each", grown >> 20, grown / wanted);
    assert!(grown < 256 << 20, "{} MiB", grown >> 20);
    assert_eq!(served.metric("indelible_connections_refused_total"), 0);
    drop(idle);
    soon("and all of them are gone", || served.metric("indelible_connections") < 10);
    behaves(&served);
}

/// What strangers send of heads that never end has little room together, and whoever finds none ends.
#[test]
fn unfinished_heads_of_many_connections_have_bounded_memory() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let served = Served::start_with(Home::new(), &["limits.header_time=10m"]);
    behaves(&served);
    let before = served.anonymous_bytes();
    let unfinished = format!("POST /api/v1/events HTTP/1.1\r\nhost: x\r\nx-long: {}", "y".repeat(60_000));
    // 60 MB for the first thousand of them, of which about six hundred find room.
    let held: Vec<Raw> = (0..2_000).map(|_| Raw::saying(served.address(), &unfinished)).collect();
    let no_room = "indelible_connections_broken_total{why=\"NoRoom\"}";
    soon("who finds no room ends", || served.metric(no_room) >= 1_200);
    let grown = served.anonymous_bytes().saturating_sub(before) >> 20;
    eprintln!("2,000 unfinished heads: {grown} MiB");
    assert!(grown < 96, "{grown} MiB");
    // A short head needs none, and a body has its own.
    behaves(&served);
    let large = "{\"action\":\"good.one\"}\n".repeat(2_000) + &" ".repeat(500_000);
    served.post_lines(&served.admin, &[("prefer", "return=minimal")], &large).is(201);
    drop(held);
    let long = format!("GET /livez?{} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(40_000));
    soon("there is room again", || Raw::saying(served.address(), &long).status() == 200);
}
