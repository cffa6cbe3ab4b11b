//! Many tenants share a log, and each has its own events and nothing else.

use serde_json::{Value, json};

use super::Served;

const TENANTS: usize = 2_000;
/// Events of each; between two of a tenant lies one of every other.
const ROUNDS: u64 = 3;

fn name(nth: usize) -> String {
    format!("tenant-{nth:04}")
}

#[test]
fn each_of_two_thousand_tenants_sees_its_own_events_and_all_of_them() {
    let served = Served::start();
    std::thread::scope(|scope| {
        for worker in 0..8 {
            let served = &served;
            scope.spawn(move || {
                for nth in (worker..TENANTS).step_by(8) {
                    served.post("/api/v1/tenants", &served.admin, &json!({"name": name(nth)})).is(201);
                }
            });
        }
    });
    let event = |round: u64, nth: usize| {
        let event = json!({"action": "a.b", "tenant": name(nth), "actor": {"id": format!("of-{}", name(nth))}, "details": round});
        format!("{event}\n")
    };
    let lines: String = (0..ROUNDS).flat_map(|round| (0..TENANTS).map(move |nth| event(round, nth))).collect();
    let told = served.post_lines(&served.admin, &[("prefer", "return=minimal")], &lines).is(201).json();
    assert_eq!(told, json!({"count": ROUNDS * TENANTS as u64, "durable": true}));
    let tenants = served.get("/api/v1/tenants", &served.admin).is(200).json();
    let made = |tenant: &&Value| tenant["name"].as_str().unwrap().starts_with("tenant-");
    assert_eq!(tenants.as_array().unwrap().iter().filter(made).count(), TENANTS);

    for nth in [0, 1, 777, TENANTS - 1] {
        let token = served.token(&["read"], &[&name(nth)], &[]);
        let page = served.get("/api/v1/search?count=true", &token).is(200).json();
        let events = page["events"].as_array().unwrap();
        let rounds: Vec<u64> = events.iter().map(|event| event["details"].as_u64().unwrap()).collect();
        assert_eq!((rounds, &page["matched"]), (vec![2, 1, 0], &json!(ROUNDS)), "{page}");
        for event in events {
            assert_eq!((&event["tenant"], &event["actor"]["id"]), (&json!(name(nth)), &json!(format!("of-{}", name(nth)))));
        }
        let numbers: Vec<u64> = events.iter().map(|event| event["tenant_seq"].as_u64().unwrap()).collect();
        assert!(numbers.windows(2).all(|pair| pair[0] == pair[1] + 1), "{numbers:?}");
        // Its neighbours are its own, however many of others lie between.
        for event in events {
            let context = served.get(&format!("/api/v1/events/{}/context", event["seq"]), &token).is(200).json();
            let rounds: Vec<u64> =
                context["events"].as_array().unwrap().iter().map(|event| event["details"].as_u64().unwrap()).collect();
            assert_eq!((rounds, &context["complete"]), (vec![0, 1, 2], &json!(true)), "around {event}");
        }
        let one = served.get(&format!("/api/v1/events/{}/context?before=0&after=1", events[2]["seq"]), &token).is(200).json();
        assert_eq!(one["events"].as_array().unwrap().len(), 2, "{one}");
        let neighbour = events[1]["seq"].as_u64().unwrap() + 1;
        served.get(&format!("/api/v1/events/{neighbour}"), &token).is(404);
        let facets = served.get("/api/v1/facets?fields=tenant,actor.id", &token).is(200).json();
        assert!(facets["facets"].as_array().unwrap().iter().all(|facet| facet["distinct"] == 1), "{facets}");
        assert_eq!(served.get("/api/v1/tenants", &token).is(200).json().as_array().unwrap().len(), 1);
    }
}
