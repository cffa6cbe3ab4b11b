//! Tenants do not see each other, masks hide what they say, tokens end.

use serde_json::{Value, json};

use super::Served;
use super::served::escaped;

/// A token of each of two tenants, and an event of each: its place and its id.
fn two_tenants(served: &Served) -> [(String, Value); 2] {
    ["acme", "umbrella"].map(|tenant| {
        let token = served.token(&["emit", "read"], &[tenant], &[]);
        let event = json!({"action": "a.b", "id": format!("id-{tenant}"), "actor": {"id": format!("{tenant}-alice")}});
        (token.clone(), served.post("/api/v1/events", &token, &event).is(201).json())
    })
}

#[test]
fn a_tenant_never_learns_of_another() {
    let served = Served::start();
    let [(acme, _), (_, theirs)] = two_tenants(&served);
    let seq = theirs["seq"].as_u64().unwrap();
    // What is another's is answered as what is not there.
    for path in ["", "/proof", "/context"] {
        let hidden = served.get(&format!("/api/v1/events/{seq}{path}"), &acme).is(404).body.replace(&seq.to_string(), "N");
        let nothing = served.get(&format!("/api/v1/events/999999{path}"), &acme).is(404).body.replace("999999", "N");
        assert_eq!(hidden, nothing);
        let hidden = served.get(&format!("/api/v1/events/id-umbrella{path}"), &acme).is(404).body.replace("id-umbrella", "N");
        assert_eq!(hidden, nothing);
    }
    // The control log is nobody's tenant.
    served.get("/api/v1/events/control:0", &acme).is(404);
    served.get("/api/v1/events/control:0", &served.admin).is(200);
    for query in ["", "tenant:umbrella", "tenant:acme OR tenant:umbrella", "NOT tenant:acme", "umbrella", "tenant:_system"] {
        let found = served.get(&format!("/api/v1/search?q={}&count=true", escaped(query)), &acme).is(200).body;
        assert!(!found.contains("umbrella-alice"), "{query}: {found}");
    }
    assert_eq!(served.count(&acme, ""), 1);
    let facets = served.get("/api/v1/facets?fields=tenant,actor.id", &acme).is(200).body;
    assert!(facets.contains("acme-alice") && !facets.contains("umbrella"), "{facets}");
    let stats = served.get("/api/v1/stats?by=tenant", &acme).is(200).json();
    assert_eq!(stats["matched"], 1, "{stats}");
    let export = served.get("/api/v1/export", &acme).is(200).body;
    assert!(export.contains("acme-alice") && !export.contains("umbrella"), "{export}");
    let tenants = served.get("/api/v1/tenants", &acme).is(200).json();
    assert_eq!(tenants.as_array().unwrap().len(), 1);
    // To record for somebody else is refused in the same words, whether there is such a tenant or not.
    let refused = |tenant: &str| {
        let event = json!({"action": "a.b", "tenant": tenant});
        served.post("/api/v1/events", &acme, &event).is(422).body.replace(tenant, "N")
    };
    assert_eq!(refused("umbrella"), refused("nobody"));
    for path in ["/api/v1/tokens", "/api/v1/config", "/api/v1/checkpoints", "/log/main/checkpoint"] {
        served.get(path, &acme).is(403);
    }
    served.post("/api/v1/verify", &acme, &json!({})).is(403);
}

#[test]
fn what_is_masked_is_neither_shown_nor_found() {
    let served = Served::start();
    let event = json!({"action": "a.b", "actor": {"id": "alice"}, "origin": {"ip": "192.0.2.1"}, "targets": [{"type": "repo", "id": "42"}],
        "details": {"secret": "hush"}, "raw": {"media_type": "text/plain", "text": "alice read 42"}});
    let seq = served.post("/api/v1/events", &served.admin, &event).is(201).json()["seq"].to_string();
    let masked = |groups: &[&str]| served.token(&["read"], &["default"], groups);
    for (groups, shown, hidden, asked) in [
        (&["identity"][..], &["hush", "\"42\""][..], &["alice", "192.0.2.1"][..], "actor:alice"),
        (&["content"], &["alice", "192.0.2.1"], &["hush", "\"42\""], "target:repo:42"),
        (&["identity", "content"], &[], &["alice", "192.0.2.1", "hush", "\"42\""], "raw:alice"),
    ] {
        let token = masked(groups);
        let answers = [
            format!("/api/v1/events/{seq}"),
            "/api/v1/search?q=action:a.b".into(),
            format!("/api/v1/events/{seq}/context"),
            "/api/v1/export?q=action:a.b".into(),
            "/api/v1/export?format=csv&q=action:a.b".into(),
        ];
        for path in &answers {
            let body = served.get(path, &token).is(200).body;
            assert!(hidden.iter().all(|text| !body.contains(text)), "{path}: {body}");
            if !path.contains("csv") {
                assert!(shown.iter().all(|text| body.contains(text)) && body.contains("withheld"), "{path}: {body}");
            }
        }
        for query in [asked, "alice", "details.secret:hush", "raw:hush"] {
            served.get(&format!("/api/v1/search?q={}", escaped(query)), &token).is(403);
        }
        served.get("/api/v1/export?format=ocsf", &token).is(403);
        // A proof of the rest holds all the same.
        let proof = served.get(&format!("/api/v1/events/{seq}/proof"), &token).is(200).body;
        let logs = served.get("/api/v1/checkpoints", &served.admin).json();
        let key = logs.as_array().unwrap().iter().find(|log| log["log"] == "main").unwrap()["verifier_key"]
            .as_str()
            .unwrap()
            .to_owned();
        let path = served.home.write("masked.tlog-proof", &proof);
        let told = served.home.run(["verify", "--proof", path.to_str().unwrap(), "--key", &key, "-o", "json"]).ok().stdout;
        assert!(hidden.iter().all(|text| !told.contains(text)), "{told}");
    }
    served.get("/api/v1/facets?fields=actor.id", &masked(&["identity"])).is(403);
    served.get("/api/v1/stats?by=details.secret", &masked(&["content"])).is(403);
    served.get("/api/v1/tail?q=actor:alice", &masked(&["identity"])).is(403);
}

#[test]
fn tokens_do_what_they_are_for_until_they_are_revoked() {
    let served = Served::start();
    let event = json!({"action": "a.b"});
    served.request("POST", "/api/v1/events", "", &[("content-type", "application/json")], b"{}").is(401);
    let answer = served.get("/api/v1/search", "nonsense").is(401);
    assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    let emit = served.token(&["emit"], &["default"], &[]);
    served.post("/api/v1/events", &emit, &event).is(201);
    served.get("/api/v1/search", &emit).is(403);
    let audit = served.token(&["audit"], &[], &[]);
    served.get("/api/v1/checkpoints", &audit).is(200);
    served.get("/api/v1/search", &audit).is(403);
    served.post("/api/v1/events", &audit, &event).is(403);
    let list = served.get("/api/v1/tokens", &served.admin).is(200);
    assert!(!list.body.contains(&emit[18..]), "no secret is kept");
    let id = &emit[5..17];
    served.request("DELETE", &format!("/api/v1/tokens/{id}"), &served.admin, &[], b"").is(200);
    served.post("/api/v1/events", &emit, &event).is(401);
    served.request("DELETE", "/api/v1/tokens/nobody", &served.admin, &[], b"").is(404);
    // In a URL it would be kept by everybody on the way.
    let answer = served.get(&format!("/api/v1/search?access_token={}", served.admin), &served.admin).is(400).json();
    assert_eq!(answer["code"], "token_in_url");
    for wrong in [
        json!({"name": "x", "scopes": []}),
        json!({"name": "x", "scopes": ["root"]}),
        json!({"name": "x", "scopes": ["emit"], "tenants": ["nobody"]}),
        json!({"name": "x"}),
    ] {
        let answer = served.post("/api/v1/tokens", &served.admin, &wrong);
        assert!(matches!(answer.status, 400 | 422), "{answer:?}");
    }
    for wrong in ["../etc", "_system", "Acme", "аcme", ""] {
        served.post("/api/v1/tenants", &served.admin, &json!({"name": wrong})).is(422);
    }
}

#[test]
fn rates_are_kept_and_say_when_to_come_again() {
    let served = Served::start_with(crate::Home::new(), &["rate.tenant_events=100", "rate.burst_seconds=1"]);
    let token = served.token(&["emit"], &["acme"], &[]);
    let hundred = "{\"action\":\"a.b\"}\n".repeat(100);
    served.post_lines(&token, &[], &hundred).is(201);
    let answer = served.post_lines(&token, &[], &hundred).is(429);
    assert_eq!(answer.header("retry-after"), Some("1"));
    served.post_lines(&token, &[], &"{\"action\":\"a.b\"}\n".repeat(101)).is(413);
    let other = served.token(&["emit"], &["umbrella"], &[]);
    served.post_lines(&other, &[], &hundred).is(201);
    assert_eq!(served.count(&served.admin, "action:a.b"), 200);
}
