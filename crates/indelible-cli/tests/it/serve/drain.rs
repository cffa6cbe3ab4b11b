//! Stopping loses nothing that was begun: requests get their receipts, and the store closes well within the limit.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::Served;
use super::served::soon;
use crate::Home;

/// A request whose first half the server is reading.
struct Begun {
    stream: BufReader<TcpStream>,
    rest: Vec<u8>,
}

impl Begun {
    fn post(served: &Served, body: &[u8]) -> Self {
        let mut stream = TcpStream::connect(served.url.trim_start_matches("http://")).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let head = format!(
            "POST /api/v1/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/x-ndjson\r\n\
             content-length: {}\r\nexpect: 100-continue\r\n\r\n",
            served.admin,
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        assert!(line.starts_with("HTTP/1.1 100"), "it reads the body: {line}");
        stream.read_line(&mut line).unwrap();
        let (first, rest) = body.split_at(body.len() / 2);
        stream.get_mut().write_all(first).unwrap();
        Self { stream, rest: rest.to_vec() }
    }

    /// Sends the rest; gives the status line and the body of the answer.
    fn finish(mut self) -> (String, Value) {
        self.stream.get_mut().write_all(&self.rest).unwrap();
        let mut answer = String::new();
        self.stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
        (head.lines().next().unwrap().to_owned(), serde_json::from_str(body).unwrap())
    }
}

fn lines(actor: &str, count: u64) -> String {
    (0..count).map(|nth| format!("{{\"action\":\"a.b\",\"actor\":{{\"id\":\"{actor}\"}},\"details\":{nth}}}\n")).collect()
}

/// Tells it to stop, and comes back when it takes no more connections.
fn stop_accepting(served: &Served) {
    served.signal(Signal::TERM);
    let address = served.url.trim_start_matches("http://").to_owned();
    soon("it takes no more connections", || TcpStream::connect(&address).is_err());
}

#[test]
fn requests_under_way_when_it_is_told_to_stop_get_their_receipts() {
    // Longer than any test: what ends, ends because everything is done.
    let served = Served::start_with(Home::new(), &["drain.time=1h"]);
    let begun: Vec<Begun> = (0..8).map(|nth| Begun::post(&served, lines(&format!("user-{nth}"), 100).as_bytes())).collect();
    // Those who only wait do not keep it from stopping: a connection kept alive, and a live tail.
    let mut idle = TcpStream::connect(served.url.trim_start_matches("http://")).unwrap();
    idle.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    assert!(idle.read(&mut [0; 1024]).unwrap() > 0);
    let tail = ureq::get(format!("{}/api/v1/tail", served.url)).header("authorization", format!("Bearer {}", served.admin));
    let mut tail = BufReader::new(tail.call().unwrap().into_body().into_reader());
    tail.read_line(&mut String::new()).unwrap();

    stop_accepting(&served);
    let mut receipts = 0;
    for begun in begun {
        let (status, answer) = begun.finish();
        assert!(status.starts_with("HTTP/1.1 201"), "{status} {answer}");
        assert_eq!(answer["durable"], true, "{answer}");
        receipts += answer["receipts"].as_array().unwrap().len();
    }
    assert_eq!(receipts, 800);
    let home = served.stop();
    assert_eq!(home.run(["search", "--count", "action:a.b"]).ok().stdout.trim(), "800");
    let verified = home.run(["verify", "-o", "json"]).ok().json();
    // Closed, and not found by a recovery: its last heads are signed.
    assert!(verified["logs"].as_array().unwrap().iter().all(|log| log["size"] == log["signed"]), "{verified}");
}

#[test]
fn who_does_not_end_in_time_is_cut_off_and_the_store_closes_all_the_same() {
    let served = Served::start_with(Home::new(), &["drain.time=300ms"]);
    served.post("/api/v1/events", &served.admin, &json!({"action": "c.d"})).is(201);
    let mut begun = Begun::post(&served, lines("slow", 100).as_bytes());
    let home = served.stop();
    let mut answer = Vec::new();
    // Closed or reset; no receipt, so nothing is owed.
    let _ = begun.stream.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP/1.1 201"), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(home.run(["search", "--count", "action:c.d"]).ok().stdout.trim(), "1");
    assert_eq!(home.run(["search", "--count", "action:a.b"]).ok().stdout.trim(), "0");
    home.run(["verify"]).ok();
}

#[test]
fn syslog_that_has_arrived_is_taken() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let served = Served::start_with(Home::new(), &[&format!("listen.syslog_tcp=127.0.0.1:{port}"), "drain.time=1h"]);
    let mut sender = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let message = |nth: u64| format!("<38>1 2026-01-31T12:00:00Z host sshd - - - number {nth}\n");
    sender.write_all(message(0).as_bytes()).unwrap();
    soon("the first is recorded", || served.count(&served.admin, "action:syslog.auth") == 1);
    let rest: String = (1..500).map(message).collect();
    sender.write_all(rest.as_bytes()).unwrap();
    // The sender keeps its connection, as senders do.
    let home = served.stop();
    assert_eq!(home.run(["search", "--count", "action:syslog.auth"]).ok().stdout.trim(), "500");
    drop(sender);
}
