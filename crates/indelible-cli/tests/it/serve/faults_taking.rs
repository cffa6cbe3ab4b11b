//! Clients that ask and do not take what they are answered: not waited for, counted, bounded, and whoever behaves is served beside
//! them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::time::{Duration, Instant};

use serde_json::json;

use super::Served;
use super::faults::{Raw, behaves};
use super::faults_connections::{DATA, END_HEADERS, END_STREAM, HEADERS, PREFACE, RST_STREAM, SETTINGS, block, frame, wire};
use super::served::soon;
use crate::Home;

const IDLE: &str = "indelible_connections_broken_total{why=\"Idle\"}";
const CONNECTIONS: &str = "indelible_connections";
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
/// What these clients ask for again and again: two megabytes and more.
const LARGE: &str = "/api/v1/search?limit=1000&q=action:large.one";

/// A server whose clients have so long to take something, and a large answer in it.
fn serve(body_time: &str) -> Served {
    let served = Served::start_with(Home::new(), &[&format!("limits.body_time={body_time}"), "limits.searches=8"]);
    let filler = "y".repeat(2_000);
    let lines: String = (0..1_000).map(|_| format!("{{\"action\":\"large.one\",\"details\":\"{filler}\"}}\n")).collect();
    served.post_lines(&served.admin, &[("prefer", "return=minimal")], &lines).is(201);
    assert!(served.get(LARGE, &served.admin).is(200).body.len() > 2_000_000);
    served
}

fn ask(served: &Served, path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\r\n", served.admin)
}

/// It would be held for as long as it likes: its socket is open, and full.
#[test]
fn who_sends_requests_and_reads_no_answer_is_hung_up_on() {
    let served = serve("500ms");
    behaves(&served);
    let before = served.metric(CONNECTIONS);
    // More than all buffers on the way hold.
    let silent: Vec<Raw> = (0..3).map(|_| Raw::saying(served.address(), ask(&served, LARGE).repeat(40))).collect();
    let export = Raw::saying(served.address(), ask(&served, "/api/v1/export").repeat(40));
    behaves(&served);
    soon("each is counted", || served.metric(IDLE) == 4);
    soon("and gone", || served.metric(CONNECTIONS) <= before);
    for raw in silent.into_iter().chain([export]) {
        // What was on its way comes, and then the end.
        assert!(raw.rest().starts_with(b"HTTP/1.1 200"));
    }
    behaves(&served);
}

/// A client of HTTP/2 that opens no window for any of its streams.
struct Windowless {
    raw: Raw,
    next: usize,
}

impl Windowless {
    fn connect(served: &Served) -> Self {
        const INITIAL_WINDOW_SIZE: [u8; 6] = [0, 4, 0, 0, 0, 0];
        let begin = [PREFACE, &frame(SETTINGS, 0, 0, &INITIAL_WINDOW_SIZE), &frame(SETTINGS, 1, 0, &[])].concat();
        Self { raw: Raw::saying(served.address(), begin), next: 1 }
    }

    fn ask(&mut self, served: &Served, path: &str) -> usize {
        let authorization = format!("Bearer {}", served.admin);
        let get =
            [(":method", "GET"), (":scheme", "http"), (":path", path), (":authority", "x"), ("authorization", &authorization)];
        let stream = self.next;
        self.next += 2;
        self.raw.0.write_all(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &block(&get))).unwrap();
        stream
    }

    fn open(&mut self, stream: usize, bytes: usize) {
        self.raw.0.write_all(&frame(WINDOW_UPDATE, 0, stream, &wire(bytes))).unwrap();
    }

    /// The next frame: its kind, flags, stream and payload.
    fn read(&mut self) -> (u8, u8, usize, Vec<u8>) {
        let mut head = [0; 9];
        self.raw.0.read_exact(&mut head).unwrap();
        let [a, b, c, kind, flags, stream @ ..] = head.map(usize::from);
        let mut payload = vec![0; a << 16 | b << 8 | c];
        self.raw.0.read_exact(&mut payload).unwrap();
        let stream = stream.into_iter().fold(0, |number, byte| number << 8 | byte);
        (kind.try_into().unwrap(), flags.try_into().unwrap(), stream, payload)
    }

    /// Whether the server still answers on this connection.
    fn lives(&mut self) -> bool {
        self.raw.0.write_all(&frame(PING, 0, 0, &[7; 8])).unwrap();
        loop {
            let (kind, flags, _, payload) = self.read();
            if kind == PING && flags == 1 {
                return payload == [7; 8];
            }
        }
    }
}

/// It reads its socket and answers pings, so that nothing but the answers themselves tells that nobody takes them.
#[test]
fn who_opens_no_window_over_http2_has_its_answers_dropped_and_keeps_its_connection() {
    let served = serve("1s");
    let mut silent = Windowless::connect(&served);
    let first = silent.ask(&served, LARGE);
    let export = silent.ask(&served, "/api/v1/export");
    assert!(silent.lives());
    soon("it is counted", || served.metric(IDLE) == 1);
    // What waits for its window is one piece; then it hears that there is no more.
    // A connection is counted once: the other of them is dropped as long after it as it was asked.
    std::thread::sleep(Duration::from_secs(3));
    let (mut taken, mut open) = (BTreeMap::new(), BTreeSet::from([first, export]));
    open.iter().for_each(|stream| silent.open(*stream, 1 << 20));
    // Which of them ends first is not said.
    while !open.is_empty() {
        let (kind, flags, of, payload) = silent.read();
        assert!(kind != DATA || flags & END_STREAM == 0, "it is no whole answer");
        *taken.entry(of).or_insert(0) += if kind == DATA { payload.len() } else { 0 };
        if kind == RST_STREAM {
            open.remove(&of);
        }
    }
    assert!(taken.values().all(|bytes| *bytes <= 16 << 10), "{taken:?}");
    // Other streams of the connection, a proxy's perhaps, are as they were.
    let small = silent.ask(&served, "/livez");
    silent.open(small, 100);
    while let (kind, _, of, payload) = silent.read()
        && (kind, of) != (DATA, small)
    {
        assert!(kind == HEADERS || of == 0, "{kind} {of} {payload:?}");
    }
    assert!(silent.lives());
    behaves(&served);
}

/// What is made and waits has a bound, over all connections.
#[test]
fn answers_that_nobody_takes_fill_a_bounded_room_which_is_free_again_after_their_time() {
    let served = serve("15s");
    let busy = "indelible_http_responses_total{status=\"503\"}";
    let before = served.anonymous_bytes();
    let mut silent = Windowless::connect(&served);
    for _ in 0..200 {
        silent.ask(&served, LARGE);
    }
    soon("what has no room is not given", || served.metric(busy) >= 20);
    let grown = served.anonymous_bytes().saturating_sub(before) >> 20;
    eprintln!("200 answers that nobody takes: {grown} MiB");
    assert!(grown < 512, "{grown} MiB");
    behaves(&served);
    let refused = served.get(LARGE, &served.admin).is(503);
    assert_eq!(refused.json()["code"], "busy");
    assert!(refused.header("retry-after").is_some());
    soon("there is room again", || served.get(LARGE, &served.admin).status == 200);
    assert!(silent.lives());
}

/// Nothing comes on a quiet live tail for long, and nobody is at fault; a listener that does not read is.
#[test]
fn a_quiet_live_tail_goes_on_and_one_that_nobody_reads_ends() {
    let served = serve("300ms");
    let quiet = Raw::saying(served.address(), ask(&served, "/api/v1/tail?q=action:late.one"));
    // From the beginning, which is more than all buffers on the way hold.
    let filler = "y".repeat(2_000);
    let lines: String = (0..7_000).map(|_| format!("{{\"action\":\"large.one\",\"details\":\"{filler}\"}}\n")).collect();
    served.post_lines(&served.admin, &[("prefer", "return=minimal")], &lines).is(201);
    let _deaf = Raw::saying(served.address(), ask(&served, "/api/v1/tail?after=1:0"));
    soon("both listen, or the deaf one has ended already", || served.metric("indelible_tails") >= 1);
    soon("the deaf one ends", || served.metric("indelible_tails") == 1 && served.metric(IDLE) == 1);
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(2) {
        behaves(&served);
    }
    served.post("/api/v1/events", &served.admin, &json!({"action": "late.one"})).is(201);
    let heard = BufReader::new(quiet.0).lines().map(Result::unwrap).find(|line| line.starts_with("data: "));
    assert!(heard.unwrap().contains("late.one"));
    assert_eq!(served.metric(IDLE), 1);
}
