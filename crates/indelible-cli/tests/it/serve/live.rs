//! Live tail: what becomes durable is told, without a gap; logs as C2SP serves them; metrics and the document of the API.

use std::io::{BufRead as _, BufReader};
use std::sync::mpsc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::Served;
use super::served::{escaped, soon};

/// A listener: event ids and events, as they come.
fn listen(served: &Served, token: &str, path: &str, after: Option<&str>) -> mpsc::Receiver<(String, Value)> {
    let agent = ureq::Agent::new_with_defaults();
    let mut request = agent.get(format!("{}{path}", served.url)).header("authorization", format!("Bearer {token}"));
    if let Some(after) = after {
        request = request.header("last-event-id", after);
    }
    let response = request.call().unwrap();
    let (sender, receiver) = mpsc::channel();
    let (ready, begun) = mpsc::channel();
    std::thread::spawn(move || {
        let mut id = String::new();
        for line in BufReader::new(response.into_body().into_reader()).lines().map_while(Result::ok) {
            if let Some(text) = line.strip_prefix("id: ") {
                text.clone_into(&mut id);
            } else if line.starts_with(": listening") {
                let _ = ready.send(());
            } else if let Some(json) = line.strip_prefix("data: ") {
                assert!(!acts(json), "{json:?}");
                let Ok(()) = sender.send((id.clone(), serde_json::from_str(json).unwrap())) else { return };
            }
        }
    });
    begun.recv_timeout(Duration::from_secs(10)).expect("it listens");
    receiver
}

/// Whether something in it acts on a terminal.
fn acts(text: &str) -> bool {
    indelible::text::escape_terminal(&text.replace('\n', "")) != text.replace('\n', "")
}

fn next(receiver: &mpsc::Receiver<(String, Value)>) -> (String, Value) {
    receiver.recv_timeout(Duration::from_secs(10)).expect("an event")
}

#[test]
fn what_becomes_durable_is_told_and_a_listener_goes_on_where_it_stopped() {
    let served = Served::start();
    let emit = |nth: u64| served.post("/api/v1/events", &served.admin, &json!({"action": "a.b", "details": nth})).is(201);
    emit(0);
    let heard = listen(&served, &served.admin, "/api/v1/tail?q=action:a.b", None);
    emit(1);
    served.post("/api/v1/events", &served.admin, &json!({"action": "c.d"})).is(201);
    emit(2);
    let (id, first) = next(&heard);
    assert_eq!(first["details"], 1, "only what comes after it began");
    assert_eq!(next(&heard).1["details"], 2, "only what matches");
    drop(heard);
    let lines: String = (3..1_500).map(|nth| format!("{{\"action\":\"a.b\",\"details\":{nth}}}\n")).collect();
    served.post_lines(&served.admin, &[], &lines).is(201);
    let heard = listen(&served, &served.admin, "/api/v1/tail?q=action:a.b", Some(&id));
    for nth in 2..1_500 {
        assert_eq!(next(&heard).1["details"], nth, "nothing is missed, nothing comes twice");
    }
    emit(1_500);
    assert_eq!(next(&heard).1["details"], 1_500, "then live");
    served.get("/api/v1/tail?after=nonsense", &served.admin).is(400);
}

#[test]
fn a_listener_hears_only_its_own_tenant_unmasked() {
    let served = Served::start();
    let acme = served.token(&["emit", "read"], &["acme"], &[]);
    let masked = served.token(&["read"], &["acme"], &["identity"]);
    let heard = listen(&served, &acme, "/api/v1/tail", None);
    let blind = listen(&served, &masked, "/api/v1/tail", None);
    served.post("/api/v1/events", &served.admin, &json!({"action": "a.b", "actor": {"id": "stranger"}})).is(201);
    served.post("/api/v1/events", &acme, &json!({"action": "a.b", "actor": {"id": "alice"}})).is(201);
    assert_eq!(next(&heard).1["actor"]["id"], "alice");
    let event = next(&blind).1;
    assert!(event["actor"].is_null() && event["withheld"][0] == "identity", "{event}");
}

#[test]
fn a_token_that_is_revoked_hears_no_more_however_much_there_is_to_hear() {
    let served = Served::start();
    let spec = json!({"name": "listener", "scopes": ["read"], "tenants": null});
    let token = served.post("/api/v1/tokens", &served.admin, &spec).is(201).json();
    let (id, secret) = (token["id"].as_str().unwrap(), token["token"].as_str().unwrap());
    let heard = listen(&served, secret, "/api/v1/tail?q=action:a.b", None);
    let emit = || served.post("/api/v1/events", &served.admin, &json!({"action": "a.b"})).is(201);
    for _ in 0..3 {
        emit();
        next(&heard);
    }
    served.request("DELETE", &format!("/api/v1/tokens/{id}"), &served.admin, &[], b"").is(200);
    // There is never so much as a second of silence.
    soon("it ends", || {
        emit();
        heard.try_iter().for_each(drop);
        heard.try_recv() == Err(mpsc::TryRecvError::Disconnected)
    });
}

#[test]
fn what_acts_on_a_terminal_is_spelt_otherwise_in_answers_and_is_the_same_value() {
    let served = Served::start();
    let hostile = "Zo\u{eb} 東京\u{9b}31m \u{202e}gpj.exe\u{2066}\u{200f}\u{7f}\u{1b}]0;owned\u{7}";
    let heard = listen(&served, &served.admin, "/api/v1/tail?q=action:a.b", None);
    let event = json!({"action": "a.b", "actor": {"id": hostile}, "details": {hostile: hostile}, "raw": {"media_type": "text/plain", "text": hostile}});
    let seq = served.post("/api/v1/events", &served.admin, &event).is(201).json()["seq"].clone();
    let is_it = |event: &Value| {
        assert_eq!(
            (&event["actor"]["id"], &event["details"][hostile], &event["raw"]["text"]),
            (&json!(hostile), &json!(hostile), &json!(hostile))
        );
    };
    is_it(&next(&heard).1);
    let get = |path: &str| {
        let answer = served.get(path, &served.admin).is(200);
        assert!(!acts(&answer.body) && answer.body.contains("東京"), "{path}: {answer:?}");
        answer.json()
    };
    is_it(&get("/api/v1/search?q=action:a.b")["events"][0]);
    is_it(&get(&format!("/api/v1/events/{seq}")));
    is_it(&get(&format!("/api/v1/events/{seq}/context?before=0"))["events"][0]);
    assert_eq!(get("/api/v1/facets?fields=actor.id&q=action:a.b")["facets"][0]["values"][0]["value"], hostile);
    get("/api/v1/stats?by=actor.id&q=action:a.b");
    // In a refusal, too, which quotes what was asked.
    let refused = served.get(&format!("/api/v1/search?q={}", escaped(&format!("{hostile}:x"))), &served.admin).is(400);
    assert!(!acts(&refused.body) && refused.json()["detail"].is_string(), "{refused:?}");
}

#[test]
fn a_log_is_served_as_c2sp_tiles_that_lead_to_its_checkpoint() {
    let served = Served::start();
    let lines: String = (0..700).map(|nth| format!("{{\"action\":\"a.b\",\"details\":{nth}}}\n")).collect();
    served.post_lines(&served.admin, &[], &lines).is(201);
    let audit = served.token(&["audit"], &[], &[]);
    let note = served.get("/log/main/checkpoint", &audit).is(200).body;
    let size: u64 = note.lines().nth(1).unwrap().parse().unwrap();
    assert!(size >= 700);
    let bytes = |path: &str| {
        let agent = ureq::Agent::new_with_defaults();
        let response = agent.get(format!("{}{path}", served.url)).header("authorization", format!("Bearer {audit}")).call();
        response.unwrap().into_body().read_to_vec().unwrap()
    };
    let leaves: Vec<u8> = (0..size / 256).flat_map(|nth| bytes(&format!("/log/main/tile/0/{nth:03}"))).collect();
    assert_eq!(leaves.len() as u64, size / 256 * 256 * 32);
    let rest = size % 256;
    let tail = if rest > 0 { bytes(&format!("/log/main/tile/0/{:03}.p/{rest}", size / 256)) } else { Vec::new() };
    let hashes: Vec<indelible::Hash> =
        [leaves, tail].concat().chunks(32).map(|hash| indelible::Hash::from_slice(hash).unwrap()).collect();
    assert_eq!(
        STANDARD.encode(indelible::format::merkle::root_of(&hashes).0),
        note.lines().nth(2).unwrap(),
        "the tiles are the log"
    );
    let level = bytes(&format!("/log/main/tile/1/000.p/{}", size / 256));
    let groups: Vec<u8> = hashes.chunks_exact(256).flat_map(|group| indelible::format::merkle::root_of(group).0).collect();
    assert_eq!(level, groups);
    // Entries hash to leaves, and say nothing of what is in the events.
    let entries = bytes("/log/main/tile/entries/000");
    let entries = indelible::format::tile::decode_entries(&entries, 256).unwrap();
    assert_eq!(indelible::format::sha256::leaf(entries[0]), hashes[0]);
    for wrong in [
        "/log/main/tile/0/999",
        "/log/main/tile/0/1",
        "/log/main/tile/0/000.p/0",
        "/log/nothing/checkpoint",
        "/log/main/tile/../../key",
    ] {
        let answer = served.get(wrong, &audit);
        assert!(matches!(answer.status, 400 | 404), "{wrong}: {answer:?}");
    }
}

#[test]
fn metrics_health_and_the_document_of_the_api_are_there() {
    let served = Served::start();
    served.post("/api/v1/events", &served.admin, &json!({"action": "a.b"})).is(201);
    assert_eq!(served.get("/livez", "").is(200).body, "ok\n");
    assert_eq!(served.get("/readyz", "").is(200).body, "ready\n");
    let metrics = served.get("/metrics", &served.admin).is(200).body;
    for line in ["indelible_events_total{protocol=\"Api\"} 1", "# EOF"] {
        assert!(metrics.lines().any(|known| known == line), "{line} is missing in\n{metrics}");
    }
    served.get("/metrics", "").is(401);
    let told = served.get("/openapi.json", "").is(200).body;
    let kept = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
    if std::env::var_os("INDELIBLE_UPDATE").is_some() {
        std::fs::write(kept, &told).unwrap();
    }
    let kept = std::fs::read_to_string(kept).unwrap_or_default();
    assert!(
        told == kept,
        "docs/openapi.json is not what the server says: run this test once with INDELIBLE_UPDATE=1 and look at the difference"
    );
}
