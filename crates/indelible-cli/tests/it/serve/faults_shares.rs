//! A tenant that holds all it can, for as long as it can: others are served beside it as if it were not there.

use std::io::Write as _;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use serde_json::json;

use super::Served;
use super::faults::Raw;
use super::served::soon;
use crate::Home;

/// A server, and a token each of two of its tenants.
fn serve(set: &[&str]) -> (Served, [String; 2]) {
    let served = Served::start_with(Home::new(), set);
    let tokens = ["acme", "umbrella"].map(|tenant| served.token(&["emit", "read"], &[tenant], &[]));
    (served, tokens)
}

/// A POST, a search and an export of this token go through.
#[track_caller]
fn is_served(served: &Served, token: &str) {
    let lines: String =
        (0..400).map(|_| format!("{{\"action\":\"good.one\",\"details\":\"{}\"}}\n", "x".repeat(1_000))).collect();
    served.post_lines(token, &[("prefer", "return=minimal")], &lines).is(201);
    assert!(served.count(token, "action:good.one") >= 400);
    let export = served.get("/api/v1/export?q=action:good.one", token).is(200);
    assert!(export.body.lines().count() > 400);
}

/// Each of its bodies takes room with its first byte, and comes on well enough.
#[test]
fn bodies_that_one_tenant_drips_take_half_of_the_room() {
    let (served, [acme, umbrella]) =
        serve(&["limits.bodies=2MiB", "limits.body=1MiB", "limits.body_time=10m", "limits.decompressed=1MiB"]);
    let head =
        format!("POST /api/v1/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {acme}\r\ncontent-length: 100000\r\n\r\n");
    let mut slow: Vec<Raw> = (0..60).map(|_| Raw::saying(served.address(), format!("{head} "))).collect();
    let mut waits = None;
    soon("the tenant has all that it may have", || {
        let event = "content-length: 16\r\n\r\n{\"action\":\"a.b\"}";
        let raw = Raw::saying(served.address(), head.replace("content-length: 100000\r\n\r\n", event));
        raw.0.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        waits = raw.0.peek(&mut [0]).is_err().then_some(raw);
        waits.is_some()
    });
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(3) {
        for raw in &mut slow {
            let _ = raw.0.write_all(b"    ");
        }
        is_served(&served, &umbrella);
    }
    let waits = waits.unwrap();
    assert!(waits.0.peek(&mut [0]).is_err(), "it still has");
    slow.clear();
    waits.0.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    assert_eq!(waits.status(), 201, "what it had is free again");
}

/// Who asks for all exports and takes none gets half of them; the same of its live tails, and of its questions.
#[test]
fn places_for_exports_tails_and_questions_are_not_all_of_one_tenant() {
    let (served, [acme, umbrella]) =
        serve(&["limits.exports=2", "limits.tails=4", "limits.searches=2", "limits.body_time=60s", "limits.search_time=60s"]);
    let filler = "x".repeat(10_000);
    let lines: String = (0..1_000).map(|_| format!("{{\"action\":\"bulk.part\",\"details\":\"{filler}\"}}\n")).collect();
    served.post_lines(&acme, &[("prefer", "return=minimal")], &lines).is(201);
    let ask = |path: &str| {
        let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {acme}\r\n\r\n");
        Raw::saying(served.address(), head)
    };
    let mut held: Vec<Raw> = (0..6).map(|_| ask("/api/v1/export")).collect();
    held.extend((0..6).map(|_| ask("/api/v1/tail")));
    soon("it has half of the tails", || served.metric("indelible_tails") == 2);
    let answer = served.get("/api/v1/tail", &acme).is(503);
    assert!(answer.header("retry-after").is_some());
    held.extend((0..50).map(|_| ask("/api/v1/facets?fields=details&q=details:xy")));
    for _ in 0..3 {
        is_served(&served, &umbrella);
    }
    let head = format!("GET /api/v1/tail HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {umbrella}\r\n\r\n");
    held.extend((0..2).map(|_| Raw::saying(served.address(), &head)));
    soon("others have theirs", || served.metric("indelible_tails") == 4);
    let copy = served.get("/api/v1/tenants/umbrella/copy", &umbrella).is(200);
    assert!(copy.body.len() > 1_000);
}

/// Verification takes as long as it takes: it has one place of its own, and questions do not wait for it.
#[test]
fn verifications_are_one_at_a_time_and_stop_no_search() {
    let served = Served::start_with(Home::new(), &["limits.searches=1"]);
    for _ in 0..40 {
        served.post_lines(&served.admin, &[("prefer", "return=minimal")], &"{\"action\":\"a.b\"}\n".repeat(1_000)).is(201);
    }
    let together = Barrier::new(9);
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let verify = || {
            together.wait();
            let answer = served.post("/api/v1/verify", &served.admin, &json!({}));
            assert_eq!(answer.header("retry-after").is_some(), answer.status == 503, "{answer:?}");
            answer.status
        };
        let all: Vec<_> = (0..8).map(|_| scope.spawn(verify)).collect();
        together.wait();
        assert_eq!(served.count(&served.admin, "action:a.b"), 40_000);
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert!(statuses.iter().all(|status| matches!(status, 200 | 503)), "{statuses:?}");
    assert!(statuses.contains(&200) && statuses.contains(&503), "{statuses:?}");
    served.post("/api/v1/verify", &served.admin, &json!({})).is(200);
}
