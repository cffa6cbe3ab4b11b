//! Producers that count their events: each tenant's are its own.

use serde_json::{Value, json};

use super::Served;

fn counted(id: &str, epoch: u64, seq: u64) -> Value {
    json!({"action": "a.b", "producer": {"id": id, "epoch": epoch, "seq": seq}})
}

#[test]
fn producers_of_two_tenants_do_not_count_for_each_other() {
    let served = Served::start();
    let [acme, umbrella] = ["acme", "umbrella"].map(|tenant| served.token(&["emit", "read"], &[tenant], &[]));
    for token in [&acme, &umbrella] {
        let receipt = served.post("/api/v1/events", token, &counted("web-1", 3, 0)).is(201).json();
        assert_eq!(receipt["idempotence"], "no-key", "{receipt}");
        assert!(receipt["seq"].is_u64(), "{receipt}");
        // Nor does anybody count for a tenant by naming its producers as the log does.
        let receipt = served.post("/api/v1/events", token, &counted("acme/web-1", 3, 1)).is(201).json();
        assert!(receipt["seq"].is_u64(), "{receipt}");
    }
    let again = served.post("/api/v1/events", &acme, &counted("web-1", 3, 0)).is(201).json();
    assert_eq!((&again["idempotence"], &again["seq"]), (&json!("repeated"), &Value::Null));
    // As an export has it: the same number of the same producer.
    let again = served.post("/api/v1/events", &acme, &counted("acme/web-1", 3, 0)).is(201).json();
    assert_eq!(again["idempotence"], "repeated");
    assert_eq!(served.count(&acme, "producer:acme/web-1"), 2);
    assert_eq!(served.count(&umbrella, "producer:umbrella/web-1"), 1);
    assert_eq!(served.count(&umbrella, "producer:umbrella/acme/web-1"), 1);
    let long = "p".repeat(125);
    served.post("/api/v1/events", &acme, &counted(&long, 0, 0)).is(422);
}

/// What the store numbers by itself, now and in its next life, nobody takes from it.
#[test]
fn a_client_that_takes_the_name_of_the_store_for_its_producer_is_one_of_its_tenant() {
    let mut served = Served::start();
    let token = served.token(&["emit", "read"], &["acme"], &[]);
    let receipt = served.post("/api/v1/events", &token, &json!({"action": "a.b"})).is(201).json();
    let seq = receipt["seq"].as_u64().unwrap();
    let own = served.get(&format!("/api/v1/events/{seq}"), &token).is(200).json();
    let id = own["producer"]["id"].as_str().unwrap().to_owned();
    assert!(!id.contains('/'), "{id}");
    for epoch in [own["producer"]["epoch"].as_u64().unwrap(), u64::MAX] {
        served.post("/api/v1/events", &token, &counted(&id, epoch, 0)).is(201);
    }
    assert_eq!(served.count(&token, &format!("producer:acme/{id}")), 2);
    for _ in 0..2 {
        served.kill_and_start(&[]);
        served.post("/api/v1/events", &token, &json!({"action": "a.b"})).is(201);
    }
    assert_eq!(served.count(&token, &format!("producer:{id}")), 3);
    let home = served.stop();
    home.run(["verify"]).ok();
}
