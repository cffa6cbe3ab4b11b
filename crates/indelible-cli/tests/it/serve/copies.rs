//! A tenant takes its events away with proof that they are all, from the server or from the directory, and learns nothing of others.

use serde_json::json;

use super::Served;
use super::served::soon;
use crate::Home;

/// Thirty events each of two tenants, taking turns, with a token for each.
fn two_tenants(served: &Served) -> [String; 2] {
    let tokens = ["acme", "umbrella"].map(|tenant| served.token(&["emit", "read"], &[tenant], &[]));
    for n in 0..30 {
        for (token, tenant) in tokens.iter().zip(["acme", "umbrella"]) {
            let event = json!({"action": "door.open", "actor": {"id": format!("{tenant}-{n}")}});
            served.post("/api/v1/events", token, &event).is(201);
        }
    }
    tokens
}

fn key(home: &Home) -> String {
    home.run(["checkpoint", "--log", "control", "-o", "json"]).ok().json()["verifier_key"].as_str().unwrap().to_owned()
}

#[test]
fn a_tenant_takes_its_events_away_and_verifies_them_alone() {
    let served = Served::start();
    let [acme, umbrella] = two_tenants(&served);
    let copy = served.get("/api/v1/tenants/acme/copy", &acme).is(200).body;
    assert!(!copy.contains("umbrella"));
    // What is another's is answered as what is not there.
    let hidden = served.get("/api/v1/tenants/acme/copy", &umbrella).is(404).body.replace("acme", "N");
    assert_eq!(hidden, served.get("/api/v1/tenants/nobody/copy", &umbrella).is(404).body.replace("nobody", "N"));
    let masked = served.token(&["read"], &["acme"], &["identity"]);
    let withheld = served.get("/api/v1/tenants/acme/copy", &masked).is(200).body;
    // What was taken away is told behind it.
    soon("both copies are recorded", || served.count(&served.admin, "tenant:_system action:data.export") == 2);
    let home = served.stop();
    let key = key(&home);
    // Nothing of the store is there where it is verified.
    let elsewhere = Home::new();
    let path = elsewhere.write("acme.copy", &copy);
    let path = path.to_str().unwrap();
    let report = elsewhere.run(["verify", "--tenant", path, "--key", &key, "-o", "json"]).ok().json();
    assert_eq!((report["ok"].as_bool(), report["tenant"].as_str()), (Some(true), Some("acme")));
    assert_eq!(report["logs"][0]["count"], 30, "{report}");
    let said = elsewhere.run(["verify", "--tenant", path, "--key", &key]).ok().stdout;
    assert!(said.contains("VERIFIED: 30 events of acme, and none is missing"), "{said}");
    elsewhere.write("acme.copy", &withheld);
    let report = elsewhere.run(["verify", "--tenant", path, "--key", &key, "-o", "json"]).ok().json();
    assert_eq!((&report["logs"][0]["count"], &report["logs"][0]["withheld"]), (&json!(30), &json!(30)));
    // An event less, a byte more: exit code 3, and why.
    let less: Vec<&str> = copy.lines().enumerate().filter(|(nth, _)| *nth != 7).map(|(_, line)| line).collect();
    elsewhere.write("acme.copy", less.join("\n") + "\n");
    let ended = elsewhere.run(["verify", "--tenant", path, "--key", &key]).exits(3);
    assert!(!ended.stderr.is_empty());
    elsewhere.write("acme.copy", format!("{copy} "));
    elsewhere.run(["verify", "--tenant", path, "--key", &key]).exits(3);
    // From the directory, the same events; sealed by now.
    home.run(["seal"]).ok();
    let told = home.run(["tenant", "export", "umbrella", "--out", "umbrella.copy", "-o", "json"]).ok().json();
    assert_eq!((&told["events"], told["key"].as_str()), (&json!(30), Some(key.as_str())));
    home.run(["tenant", "export", "umbrella", "--out", "umbrella.copy"]).exits(1);
    home.run(["verify", "--tenant", "umbrella.copy", "--key", &key]).ok();
    home.run(["verify"]).ok();
}
