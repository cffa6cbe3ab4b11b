//! What other protocols name their records by: the same record is recorded once, and no two are taken for the same.

use serde_json::json;

use super::Served;

#[test]
fn documents_of_the_same_id_in_two_tenants_are_two() {
    let served = Served::start();
    let token = served.token(&["emit"], &["acme", "umbrella"], &[]);
    let kind = [("content-type", "application/x-ndjson")];
    let post = |index: &str, id: &str, by: &str| {
        let action = json!({"create": {"_index": index, "_id": id}});
        let lines = format!("{action}\n{{\"action\":\"order.ship\",\"by\":\"{by}\"}}\n");
        let answer = served.request("POST", "/_bulk", &token, &kind, lines.as_bytes()).is(200).json();
        answer["items"][0]["create"]["status"].as_u64().unwrap()
    };
    let named = [("acme@logs", "1"), ("umbrella@logs", "1"), ("acme@a/b", "c"), ("acme@a", "b/c")];
    for (nth, (index, id)) in named.into_iter().enumerate() {
        for _ in 0..2 {
            assert_eq!(post(index, id, &nth.to_string()), 201, "{index} {id}");
        }
    }
    assert_eq!(served.count(&served.admin, "action:order.ship"), named.len() as u64);
    assert_eq!(post("acme@logs", "1", "somebody else"), 409);
    let long = "x".repeat(4_000);
    assert_eq!((post("acme@logs", &long, "a"), post("acme@logs", &long, "a"), post("acme@logs", &long, "b")), (201, 201, 409));
}

#[test]
fn events_of_another_source_and_id_are_others_however_they_are_put_together() {
    let served = Served::start();
    let kind = [("content-type", "application/cloudevents+json")];
    for (source, id) in [("/x", "1/2"), ("/x/1", "2")] {
        let event = json!({"specversion": "1.0", "type": "a.b", "source": source, "id": id, "data": source});
        for _ in 0..2 {
            served.request("POST", "/cloudevents", &served.admin, &kind, event.to_string().as_bytes()).is(204);
        }
    }
    assert_eq!(served.count(&served.admin, "source:cloudevents"), 2);
}
