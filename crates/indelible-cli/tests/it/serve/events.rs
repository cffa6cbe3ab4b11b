//! Events in: receipts, batches, idempotency, and bad input that changes nothing.

use std::io::Write as _;

use serde_json::json;

use super::Served;

#[test]
fn a_batch_is_recorded_whole_and_each_event_has_its_receipt() {
    let served = Served::start();
    let events: Vec<_> = (0..1_000).map(|nth| json!({"action": "invoice.approve", "details": {"nth": nth}})).collect();
    let answer = served.post("/api/v1/events", &served.admin, &json!(events)).is(201).json();
    assert_eq!(answer["count"], 1_000);
    let receipts = answer["receipts"].as_array().unwrap();
    for (nth, receipt) in receipts.iter().enumerate().step_by(97) {
        let event = served.get(&format!("/api/v1/events/{}", receipt["seq"]), &served.admin).is(200).json();
        assert_eq!((&event["details"]["nth"], &event["leaf"]), (&json!(nth), &receipt["leaf"]));
    }
    let lines: String = events.iter().map(|event| format!("{event}\r\n\n")).collect();
    let answer = served.post_lines(&served.admin, &[("prefer", "return=minimal")], &lines).is(201);
    assert_eq!(
        (answer.json(), answer.header("preference-applied")),
        (json!({"count": 1_000, "durable": true}), Some("return=minimal"))
    );
    assert_eq!(served.count(&served.admin, "action:invoice.approve"), 2_000);
    let answer = served.post_lines(&served.admin, &[("prefer", "durability=queued")], "{\"action\":\"a.b\"}").is(202).json();
    assert_eq!(answer, json!({"count": 1, "durable": false}));
}

#[test]
fn compressed_bodies_are_taken_and_bombs_are_not() {
    let served = Served::start_with(crate::Home::new(), &["limits.decompressed=1MiB", "limits.body=1MiB"]);
    let gzip = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let kind = ("content-type", "application/x-ndjson");
    let body = gzip(b"{\"action\":\"a.b\"}\n{\"action\":\"a.c\"}\n");
    served.request("POST", "/api/v1/events", &served.admin, &[kind, ("content-encoding", "gzip")], &body).is(201);
    let zstd = zstd::encode_all(&b"{\"action\":\"a.d\"}"[..], 3).unwrap();
    served.request("POST", "/api/v1/events", &served.admin, &[kind, ("content-encoding", "zstd")], &zstd).is(201);
    let bomb = gzip(&vec![b' '; 64 << 20]);
    assert!(bomb.len() < 100_000);
    served.request("POST", "/api/v1/events", &served.admin, &[kind, ("content-encoding", "gzip")], &bomb).is(413);
    served.request("POST", "/api/v1/events", &served.admin, &[kind, ("content-encoding", "br")], &bomb).is(415);
    served.request("POST", "/api/v1/events", &served.admin, &[kind], &vec![b' '; (1 << 20) + 1]).is(413);
    assert_eq!(served.count(&served.admin, "action:a.*"), 3);
}

#[test]
fn bad_input_is_named_by_its_place_and_changes_nothing() {
    let served = Served::start();
    for (body, status, pointer, code) in [
        ("{\"action\":\"a.b\"", 400, "", "eof"),
        ("", 400, "", "eof"),
        ("[{\"action\":\"a.b\"},{\"action\":\"nonsense\"}]", 422, "/1/action", "action"),
        ("[{\"action\":\"a.b\"},{\"action\":\"a.b\",\"actor\":{\"nick\":\"x\"}}]", 422, "/1/actor/nick", "unknown_member"),
        ("[{\"action\":\"a.b\"},{\"action\":\"a.b\",\"seq\":7}]", 422, "/1/seq", "assigned"),
        ("{\"action\":\"a.b\",\"time\":\"2026-01-31T12:00:00\"}", 422, "/time", "time"),
        ("{\"action\":\"a.b\",\"weight\":0}", 422, "/0/weight", "weight"),
        ("{\"action\":\"a.b\",\"tenant\":\"nobody\"}", 422, "/0/tenant", "forbidden"),
        ("{\"action\":\"a.b\",\"tenant\":\"_system\"}", 422, "/0/tenant", "forbidden"),
        ("{\"action\":\"a.b\",\"tenant\":\"../etc\"}", 422, "/0/tenant", "forbidden"),
    ] {
        let answer =
            served.request("POST", "/api/v1/events", &served.admin, &[("content-type", "application/json")], body.as_bytes());
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{body}");
        let problem = answer.is(status).json();
        assert_eq!(problem["status"], status);
        let fault = &problem["errors"][0];
        assert_eq!(fault["pointer"], pointer, "{body}: {problem}");
        if code != "eof" {
            assert_eq!(fault["code"], code, "{body}: {problem}");
        }
    }
    let deep = format!("{{\"action\":\"a.b\",\"details\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    served.request("POST", "/api/v1/events", &served.admin, &[("content-type", "application/json")], deep.as_bytes()).is(400);
    let long = json!({"action": "a.b", "details": "x".repeat(1 << 20)});
    served.post("/api/v1/events", &served.admin, &long).is(422);
    served.request("POST", "/api/v1/events", &served.admin, &[("content-type", "text/xml")], b"<a/>").is(415);
    served.request("PUT", "/api/v1/events", &served.admin, &[], b"{}").is(405);
    served.get("/api/v1/nowhere", &served.admin).is(404);
    served.get("/api/v1/search?limitt=3", &served.admin).is(400);
    served.get("/api/v1/search?q=actr:x", &served.admin).is(400);
    served.get("/api/v1/search?limit=0", &served.admin).is(400);
    assert_eq!(served.count(&served.admin, "action:a.b"), 0);
}

#[test]
fn a_request_sent_again_is_recorded_once_also_after_a_crash() {
    let mut served = Served::start();
    let event = json!([{"action": "a.b", "details": 1}, {"action": "a.b", "details": 2}]).to_string();
    let headers = [("content-type", "application/json"), ("idempotency-key", "order-17")];
    let first = served.request("POST", "/api/v1/events", &served.admin, &headers, event.as_bytes()).is(201).json();
    let again = served.request("POST", "/api/v1/events", &served.admin, &headers, event.as_bytes()).is(201).json();
    for nth in 0..2 {
        assert_eq!(first["receipts"][nth]["leaf"], again["receipts"][nth]["leaf"]);
        assert_eq!(again["receipts"][nth]["idempotence"], "duplicate");
    }
    served.kill_and_start(&[]);
    served.request("POST", "/api/v1/events", &served.admin, &headers, event.as_bytes()).is(201);
    assert_eq!(served.count(&served.admin, "action:a.b"), 2);
    let one = json!({"action": "a.b", "details": 3}).to_string();
    let single = [("content-type", "application/json"), ("idempotency-key", "single")];
    served.request("POST", "/api/v1/events", &served.admin, &single, one.as_bytes()).is(201);
    let other = json!({"action": "a.b", "details": 4}).to_string();
    let conflict = served.request("POST", "/api/v1/events", &served.admin, &single, other.as_bytes()).is(409).json();
    assert_eq!(conflict["code"], "idempotency_key");
    // Another token's keys are other keys.
    let token = served.token(&["emit"], &["default"], &[]);
    served.request("POST", "/api/v1/events", &token, &single, other.as_bytes()).is(201);
    assert_eq!(served.count(&served.admin, "action:a.b"), 4);
}

#[test]
fn an_event_that_only_the_log_can_refuse_is_refused_alone_and_the_answer_says_so() {
    let served = Served::start();
    let keyed = |key: &str, nth: u64| format!("{{\"action\":\"a.b\",\"idempotency_key\":\"{key}\",\"details\":{nth}}}\n");
    served.post_lines(&served.admin, &[], &keyed("taken", 0)).is(201);
    let batch = [keyed("one", 1), keyed("taken", 2), keyed("two", 3)].concat();
    let told = served.post_lines(&served.admin, &[], &batch).is(207).json();
    assert_eq!((&told["count"], &told["durable"], &told["refused"]), (&json!(2), &json!(false), &json!(1)), "{told}");
    let durable: Vec<_> =
        told["receipts"].as_array().unwrap().iter().map(|receipt| receipt["durable"].as_bool().unwrap()).collect();
    assert_eq!(durable, [true, false, true]);
    assert!(told["receipts"][1]["error"].as_str().unwrap().contains("another event"), "{told}");
    // Who wants no receipts is told all the same.
    let batch = [keyed("three", 4), keyed("taken", 5)].concat();
    let told = served.post_lines(&served.admin, &[("prefer", "return=minimal")], &batch).is(207).json();
    assert_eq!(told, json!({"count": 1, "durable": false, "refused": 1}));
    assert_eq!(served.count(&served.admin, "action:a.b"), 4);
    // An error is what changed nothing.
    let batch = [keyed("taken", 6), keyed("one", 7)].concat();
    for prefer in ["return=representation", "return=minimal"] {
        let problem = served.post_lines(&served.admin, &[("prefer", prefer)], &batch).is(409).json();
        let pointers: Vec<_> =
            problem["errors"].as_array().unwrap().iter().map(|fault| fault["pointer"].as_str().unwrap()).collect();
        assert_eq!((problem["code"].as_str(), pointers), (Some("idempotency_key"), vec!["/0", "/1"]), "{problem}");
    }
    assert_eq!(served.count(&served.admin, "action:a.b"), 4);
    assert_eq!(served.metric("indelible_events_refused_total{protocol=\"Api\"}"), 1 + 1 + 2 * 2);
}

#[test]
fn what_was_acknowledged_before_a_kill_is_there_after_it() {
    let mut served = Served::start();
    let url = served.url.clone();
    let admin = served.admin.clone();
    let acknowledged: Vec<u64> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let (url, admin) = (&url, &admin);
                scope.spawn(move || {
                    let agent = ureq::Agent::new_with_defaults();
                    let mut acknowledged = Vec::new();
                    for nth in 0.. {
                        let number = writer * 1_000_000 + nth;
                        let body = format!("{{\"action\":\"a.b\",\"id\":\"e-{number}\"}}");
                        let sent = agent
                            .post(format!("{url}/api/v1/events"))
                            .header("authorization", format!("Bearer {admin}"))
                            .send(&body);
                        match sent {
                            Ok(_) => acknowledged.push(number),
                            Err(_) => break,
                        }
                    }
                    acknowledged
                })
            })
            .collect();
        std::thread::sleep(std::time::Duration::from_millis(500));
        served.kill_and_start(&[]);
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    });
    assert!(acknowledged.len() > 20, "{}", acknowledged.len());
    for number in &acknowledged {
        served.get(&format!("/api/v1/events/e-{number}"), &served.admin).is(200);
    }
    assert!(served.count(&served.admin, "action:a.b") <= acknowledged.len() as u64 + 4, "nothing twice");
    let home = served.stop();
    home.run(["verify"]).ok();
}

#[test]
fn of_a_batch_of_cloudevents_each_is_taken_by_itself_and_the_answer_says_so() {
    let served = Served::start();
    let event = |id: &str, data: &str| json!({"specversion": "1.0", "id": id, "source": "/depot", "type": "parcel.move", "data": data, "datacontenttype": "text/plain"});
    let post = |events: &[serde_json::Value]| {
        let headers = [("content-type", "application/cloudevents-batch+json")];
        served.request("POST", "/cloudevents", &served.admin, &headers, json!(events).to_string().as_bytes())
    };
    let large = "x".repeat(2 << 20);
    let answer = post(&[event("1", "small"), event("2", &large)]).is(422).json();
    assert_eq!(answer["errors"].as_array().unwrap().len(), 1, "{answer}");
    assert_eq!(answer["errors"][0]["pointer"], "/1", "{answer}");
    assert!(
        answer["detail"].as_str().unwrap().contains("1 of 2 events")
            && answer["detail"].as_str().unwrap().contains("others were recorded")
    );
    assert_eq!(served.count(&served.admin, "source:cloudevents"), 1);
    let answer = post(&[event("3", &large)]).is(422).json();
    assert!(!answer["detail"].as_str().unwrap().contains("others"), "{answer}");
    post(&[event("1", "small")]).is(204);
    assert_eq!(served.count(&served.admin, "source:cloudevents"), 1, "sent again, recorded once");
}
