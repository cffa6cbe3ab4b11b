//! Splunk's collector: acknowledgements by id, and everything that is said beside an event.

use serde_json::{Value, json};

use super::Served;

fn post(served: &Served, path: &str, headers: &[(&str, &str)], body: &str) -> Value {
    served.request("POST", path, &served.admin, headers, body.as_bytes()).is(200).json()
}

/// A sender keeps what it sent until its id is acknowledged: no two have the same.
#[test]
fn every_request_has_an_ack_id_of_its_own_and_those_given_out_are_acknowledged() {
    let served = Served::start();
    let channel = [("x-splunk-request-channel", "0b8f2a3e-0000-4000-8000-000000000000")];
    let given: Vec<u64> = ["/services/collector", "/services/collector", "/services/collector/raw"]
        .map(|path| post(&served, path, &channel, "{\"event\":\"one\"}")["ackId"].as_u64().unwrap())
        .to_vec();
    assert!(given.is_sorted_by(|one, next| one < next), "{given:?}");
    let never = given.last().unwrap() + 1;
    let asked = json!({"acks": [given[0], given[1], given[2], never]}).to_string();
    let told = post(&served, "/services/collector/ack", &channel, &asked);
    for id in &given {
        assert_eq!(told["acks"][id.to_string()], true, "{told}");
    }
    assert_eq!(told["acks"][never.to_string()], false, "{told}");
    assert_eq!(post(&served, "/services/collector", &[], "{\"event\":\"one\"}").get("ackId"), None, "without a channel");
}

#[test]
fn what_the_query_says_of_raw_lines_is_kept_with_each_byte_of_them() {
    let served = Served::start();
    let path = "/services/collector/raw?host=web-9&source=%2Fvar%2Flog%2Fx&sourcetype=x%3Ay&index=main&channel=7";
    post(&served, path, &[], "first\r\n\n\r\n second \n");
    let found = served.get("/api/v1/search?q=source:splunk-raw", &served.admin).is(200).json();
    let events = found["events"].as_array().unwrap();
    let mut texts: Vec<&str> = events.iter().map(|event| event["raw"]["text"].as_str().unwrap()).collect();
    texts.sort_unstable();
    assert_eq!(texts, [" second ", "first\r"]);
    for event in events {
        assert_eq!(event["origin"]["host"], "web-9", "{event}");
        let about = json!({"_hec": {"index": "main", "source": "/var/log/x", "sourcetype": "x:y"}});
        assert_eq!(event["details"], about);
    }
    let twice = "/services/collector/raw?host=a&host=b";
    let answer = served.request("POST", twice, &served.admin, &[], b"x").is(400).json();
    assert_eq!(answer["code"], 6);
}

/// Whatever the event of an envelope is, and whatever it is recognised as.
#[test]
fn the_host_of_an_envelope_is_hidden_with_the_identity_and_kept_with_the_record() {
    let served = Served::start();
    let audited = json!({"kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata", "auditID": "a-1", "stage": "ResponseComplete",
        "requestURI": "/api/v1/pods", "verb": "list", "user": {"username": "admin"}, "note": "said"});
    for event in [json!("said"), json!({"user": "al", "note": "said"}), audited] {
        let envelope = json!({"host": "secret-host", "source": "app", "event": event});
        post(&served, "/services/collector", &[], &envelope.to_string());
    }
    post(&served, "/services/collector/raw?host=secret-host&source=app", &[], "said");
    let look = |token: &str| served.get("/api/v1/search?q=NOT+action:config.change", token).is(200).json();
    let mine = |found: &Value| -> Vec<Value> {
        let events = found["events"].as_array().unwrap().iter();
        events.filter(|event| event.to_string().contains("_hec")).cloned().collect()
    };
    let whole = mine(&look(&served.admin));
    assert_eq!(whole.len(), 4);
    for event in &whole {
        assert_eq!(event["origin"]["host"], "secret-host", "{event}");
        assert_eq!(event["details"]["_hec"]["source"], "app", "{event}");
        let is_raw = event["source"] == "splunk-raw";
        assert_eq!(event["details"]["_hec"]["host"], if is_raw { Value::Null } else { json!("secret-host") }, "{event}");
    }
    let masked = mine(&look(&served.token(&["read"], &["default"], &["identity"])));
    assert_eq!(masked.len(), 4);
    for event in &masked {
        assert!(!event.to_string().contains("secret-host"), "{event}");
    }
}
