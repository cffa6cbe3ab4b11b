//! The disk is full, or the process is killed: what was acknowledged is there, and whoever tries again loses and duplicates nothing.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, RwLock};
use std::time::Duration;

use indelible_testkit::power::{LoopDisk, Refusal};
use serde_json::{Value, json};

use super::Served;
use super::faults::behaves;
use super::served::soon;
use crate::Home;

/// A disk of its own, or why there is none.
fn disk(dir: &Path) -> Option<LoopDisk> {
    match LoopDisk::make(dir, 96 << 20) {
        Ok(disk) => Some(disk),
        Err(refusal @ Refusal::Missing(_)) if std::env::var_os("CI").is_some() => panic!("{refusal}"),
        Err(refusal) => {
            eprintln!("SKIPPED: {refusal}");
            None
        }
    }
}

/// About a megabyte of events that nothing makes smaller.
fn batch(nth: u64) -> String {
    let mut state = nth.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        format!("{state:016x}")
    };
    (0..BATCH)
        .map(|event| {
            let filler: String = (0..64).map(|_| noise()).collect();
            format!("{{\"action\":\"disk.fill\",\"id\":\"{nth}-{event}\",\"details\":\"{filler}\"}}\n")
        })
        .collect()
}

const BATCH: u64 = 900;

/// Writes get 507 as long as there is no room; reading goes on; and as soon as there is room, writing does, in the same process.
fn full_disk(reserve: &str) {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = disk(dir.path()) else { return };
    let filler = disk.path().join("filler");
    std::fs::write(&filler, vec![1; 40 << 20]).unwrap();
    let set = [format!("store.data={}", disk.path().join("audit").display()), format!("store.disk_reserve={reserve}")];
    let served = Served::start_with(Home::new(), &[&set[0], &set[1]]);
    let reader = served.token(&["read"], &["default"], &[]);
    behaves(&served);
    let post = |nth: u64| {
        let key = format!("batch-{nth}");
        served.post_lines(&served.admin, &[("idempotency-key", &key), ("prefer", "return=minimal")], &batch(nth))
    };
    let mut acknowledged = 0;
    let full = loop {
        let answer = post(acknowledged);
        if answer.status != 201 {
            break answer;
        }
        acknowledged += 1;
        assert!(acknowledged < 200, "the disk does not fill");
    };
    let problem = full.is(507);
    assert!(problem.header("retry-after").is_some());
    assert_eq!(problem.header("content-type"), Some("application/problem+json"));
    let told = problem.json();
    assert_eq!(told["code"], "disk_full", "{told}");
    assert!(told["hint"].as_str().unwrap().contains("free disk space"), "{told}");
    assert!(acknowledged > 3, "{acknowledged}");
    // Single events, other protocols, readiness: the same.
    served.post("/api/v1/events", &served.admin, &json!({"action": "late.one"})).is(507);
    let kind = [("content-type", "application/json")];
    served.request("POST", "/audit/_doc", &served.admin, &kind, b"{\"message\":\"late\"}").is(507);
    // What OTLP's clients send again.
    served
        .request("POST", "/v1/logs", &served.admin, &kind, b"{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{}]}]}]}")
        .is(503);
    served.get("/readyz", "").is(507);
    served.get("/livez", "").is(200);
    assert_eq!(served.metric("indelible_stalled"), 1);
    assert!(served.metric("indelible_http_responses_total{status=\"507\"}") >= 4);
    // Reading goes on, of everything that was acknowledged, and by others, too.
    // A part of the batch that was refused may have been in the last frame that had room.
    let there = served.count(&served.admin, "action:disk.fill");
    assert!((acknowledged * BATCH..(acknowledged + 1) * BATCH).contains(&there), "{there} {acknowledged}");
    assert_eq!(served.count(&reader, "action:good.one"), 1);
    served.get("/api/v1/events/0-0", &reader).is(200);
    served.get("/api/v1/export?q=action:good.one", &reader).is(200);
    served.get("/api/v1/checkpoints", &served.admin).is(200);
    served.get("/api/v1/tenants/default/copy", &served.admin).is(507);
    if reserve == "0" {
        // Down to the last byte: tokens cannot be made, either.
        let rest = disk.path().join("rest");
        fill(&rest);
        let spec = json!({"name": "x".repeat(100), "scopes": ["read"]});
        let refused = (0..2_000).map(|_| served.post("/api/v1/tokens", &served.admin, &spec)).find(|answer| answer.status != 201);
        assert_eq!(refused.expect("a full disk").is(507).json()["code"], "disk_full");
        served.post("/api/v1/events", &served.admin, &json!({"action": "late.one"})).is(507);
        std::fs::remove_file(rest).unwrap();
    }
    std::fs::remove_file(filler).unwrap();
    soon("it goes on by itself", || served.metric("indelible_stalled") == 0);
    behaves(&served);
    served.get("/readyz", "").is(200);
    // Sent again, it is recorded once, whether or not it was kept in memory meanwhile.
    post(acknowledged).is(201);
    post(0).is(201);
    assert_eq!(served.count(&served.admin, "action:disk.fill"), (acknowledged + 1) * BATCH);
    // What came while there was no room was refused, and is not recorded after all.
    assert_eq!(served.count(&served.admin, "action:late.one"), 0);
    let data = disk.path().join("audit");
    let home = served.stop();
    home.run(["verify", "--data", data.to_str().unwrap()]).ok();
}

/// Writes until nothing more fits, and again, because what is written gives back what had been set aside for it.
fn fill(path: &Path) {
    let mut file = std::fs::File::create(path).unwrap();
    for _ in 0..8 {
        for bytes in [1 << 20, 4 << 10, 1] {
            while file.write_all(&vec![1; bytes]).is_ok() {}
        }
        let _ = file.sync_all();
    }
}

#[test]
fn a_disk_that_is_full_down_to_the_reserve_refuses_and_recovers() {
    full_disk("8MiB");
}

#[test]
fn a_disk_that_is_full_to_the_last_byte_refuses_and_recovers() {
    full_disk("0");
}

/// Keys that the index holds in memory; the next one makes it begin a file.
const KEYS_IN_MEMORY: u64 = 4_096;

/// The journal has room, the index of idempotency keys has none: as full as any disk, and none is lost or there twice.
#[test]
fn a_disk_without_room_for_idempotency_keys_refuses_and_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = disk(dir.path()) else { return };
    let data = disk.path().join("audit");
    let set = [format!("store.data={}", data.display()), "store.disk_reserve=0".to_owned()];
    let served = Served::start_with(Home::new(), &[&set[0], &set[1]]);
    let lines = |count: u64, name: &str| -> String {
        (0..count).map(|nth| format!("{{\"action\":\"kept.one\",\"id\":\"{name}-{nth}\"}}\n")).collect()
    };
    let post = |key: &str, lines: &str| served.post_lines(&served.admin, &[("idempotency-key", key)], lines);
    let first = lines(KEYS_IN_MEMORY - 10, "first");
    post("first", &first).is(201);
    let rest = disk.path().join("rest");
    fill(&rest);
    // Ten keys fit, the eleventh does not.
    let second = lines(30, "second");
    let refused = post("second", &second).is(507);
    assert_eq!(refused.header("content-type"), Some("application/problem+json"));
    assert!(refused.header("retry-after").is_some());
    let told = refused.json();
    assert_eq!((&told["code"], &told["type"]), (&json!("disk_full"), &json!("urn:indelible:problem:disk_full")), "{told}");
    assert!(told["hint"].as_str().unwrap().contains("the same key"), "{told}");
    post("single", &lines(1, "single")).is(507);
    // Other protocols say it in their own way; what is known is known, and what has no key is recorded.
    let put = |id: &str| {
        let kind = [("content-type", "application/json")];
        served.request("PUT", &format!("/audit/_doc/{id}"), &served.admin, &kind, b"{\"message\":\"kept\"}")
    };
    put("x-1").is(507);
    assert_eq!(post("first", &first).is(201).json()["receipts"][7]["idempotence"], "duplicate");
    behaves(&served);
    assert_eq!(served.metric("indelible_stalled"), 0);
    served.get("/readyz", "").is(200);
    assert_eq!(served.count(&served.admin, "action:kept.one"), KEYS_IN_MEMORY);
    std::fs::remove_file(rest).unwrap();
    let receipts = post("second", &second).is(201).json()["receipts"].take();
    let fates: Vec<&str> = receipts.as_array().unwrap().iter().map(|receipt| receipt["idempotence"].as_str().unwrap()).collect();
    assert_eq!(fates, [["duplicate"; 10].as_slice(), &["new"; 20]].concat());
    post("single", &lines(1, "single")).is(201);
    put("x-1").is(201);
    assert_eq!(served.count(&served.admin, "action:kept.one"), KEYS_IN_MEMORY + 21);
    let home = served.stop();
    home.run(["verify", "--data", data.to_str().unwrap()]).ok();
}

/// What a writer of batches knows.
#[derive(Default)]
struct Ledger {
    acknowledged: BTreeMap<(u64, u64), Vec<Value>>,
    retries: u64,
}

const EVENTS: u64 = 40;

fn keyed(writer: u64, nth: u64) -> (String, String) {
    let lines =
        (0..EVENTS).map(|event| format!("{{\"action\":\"kept.one\",\"id\":\"w{writer}-{nth}-{event}\",\"details\":{nth}}}\n"));
    (format!("w{writer}-{nth}"), lines.collect())
}

fn send(url: &str, token: &str, writer: u64, nth: u64) -> Option<Vec<Value>> {
    let (key, lines) = keyed(writer, nth);
    let config = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(20)));
    let agent: ureq::Agent = config.build().into();
    let request = agent.post(format!("{url}/api/v1/events")).header("authorization", format!("Bearer {token}"));
    let request = request.header("content-type", "application/x-ndjson").header("idempotency-key", key);
    let body = request.send(&lines).ok()?.body_mut().read_to_string().ok()?;
    let mut answer: Value = serde_json::from_str(&body).ok()?;
    match answer["receipts"].take() {
        Value::Array(receipts) => Some(receipts),
        _ => None,
    }
}

/// Under load, again and again: batches that are sent until they are acknowledged are there once, each event of them.
#[test]
fn clients_that_retry_batches_through_kills_lose_and_duplicate_nothing() {
    let mut served = Served::start();
    let url = RwLock::new(served.url.clone());
    let admin = served.admin.clone();
    let (done, ledger) = (AtomicBool::new(false), Mutex::new(Ledger::default()));
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let (url, admin, done, ledger) = (&url, &admin, &done, &ledger);
                scope.spawn(move || {
                    for nth in 0.. {
                        loop {
                            let now = url.read().unwrap().clone();
                            if let Some(receipts) = send(&now, admin, writer, nth) {
                                ledger.lock().unwrap().acknowledged.insert((writer, nth), receipts);
                                break;
                            }
                            ledger.lock().unwrap().retries += 1;
                            std::thread::sleep(Duration::from_millis(10));
                        }
                        if done.load(Ordering::Relaxed) {
                            return nth + 1;
                        }
                    }
                    unreachable!()
                })
            })
            .collect();
        for _ in 0..4 {
            let before = ledger.lock().unwrap().acknowledged.len();
            soon("writers get on", || ledger.lock().unwrap().acknowledged.len() >= before + 12);
            served.kill_and_start(&[]);
            url.write().unwrap().clone_from(&served.url);
        }
        done.store(true, Ordering::Relaxed);
        let batches: u64 = writers.into_iter().map(|writer| writer.join().unwrap()).sum();
        assert_eq!(ledger.lock().unwrap().acknowledged.len() as u64, batches);
    });
    let Ledger { acknowledged, retries } = ledger.into_inner().unwrap();
    assert!(retries >= 4, "no kill met a batch: {retries}");
    let batches = acknowledged.len() as u64;
    eprintln!("{batches} batches, {retries} times sent again");
    assert_eq!(served.count(&served.admin, "action:kept.one"), batches * EVENTS, "none is lost, none is there twice");
    for (&(writer, nth), receipts) in &acknowledged {
        assert_eq!(receipts.len() as u64, EVENTS);
        for (event, receipt) in receipts.iter().enumerate().step_by(13) {
            let found = served.get(&format!("/api/v1/events/{}", receipt["seq"]), &served.admin).is(200).json();
            assert_eq!((&found["id"], &found["leaf"]), (&json!(format!("w{writer}-{nth}-{event}")), &receipt["leaf"]));
        }
    }
    // Whoever plays back what was acknowledged long ago, over the last kill, gets the same receipts and records nothing.
    served.kill_and_start(&[]);
    for (&(writer, nth), first) in acknowledged.iter().step_by(7) {
        let again = send(&served.url, &served.admin, writer, nth).expect("an answer");
        for (first, again) in first.iter().zip(&again) {
            assert_eq!((&first["seq"], &first["leaf"]), (&again["seq"], &again["leaf"]));
            assert_eq!(again["idempotence"], "duplicate");
        }
    }
    assert_eq!(served.count(&served.admin, "action:kept.one"), batches * EVENTS);
    let home = served.stop();
    home.run(["verify"]).ok();
}
