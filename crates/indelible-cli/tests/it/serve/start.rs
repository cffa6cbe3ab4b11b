//! From a clean machine to a first verified event; starting, reloading and stopping.

use std::time::Instant;

use rustix::process::Signal;
use serde_json::json;

use super::Served;
use super::served::soon;
use crate::Home;

#[test]
fn the_quickstart_leads_to_a_verified_event_within_a_minute() {
    let started = Instant::now();
    let served = Served::start();
    assert!(served.admin.starts_with("indl_"), "a first start gives a token");
    let receipt = served.post("/api/v1/events", &served.admin, &json!({"action": "user.login", "actor": {"id": "alice"}}));
    let receipt = receipt.is(201).json();
    assert_eq!((receipt["log"].as_str(), receipt["durable"].as_bool()), (Some("main"), Some(true)), "{receipt}");
    let seq = receipt["seq"].to_string();

    let event = served.get(&format!("/api/v1/events/{seq}"), &served.admin).is(200).json();
    assert_eq!((event["actor"]["id"].as_str(), event["tenant"].as_str()), (Some("alice"), Some("default")));
    assert_eq!(event["leaf"], receipt["leaf"], "the receipt names this very event");
    let found = served.get("/api/v1/search?q=actor:alice", &served.admin).is(200).json();
    assert_eq!((found["shown"].as_u64(), found["complete"].as_bool()), (Some(1), Some(true)), "{found}");

    // Checked by whoever trusts neither server nor store: the proof and the key are all there is.
    let proof = served.get(&format!("/api/v1/events/{seq}/proof"), &served.admin).is(200).body;
    let logs = served.get("/api/v1/checkpoints", &served.admin).is(200).json();
    let key =
        logs.as_array().unwrap().iter().find(|log| log["log"] == "main").unwrap()["verifier_key"].as_str().unwrap().to_owned();
    let elsewhere = Home::new();
    let path = elsewhere.write("e.tlog-proof", &proof);
    elsewhere.run(["verify", "--proof", path.to_str().unwrap(), "--key", &key]).ok();
    let note = served.get("/api/v1/checkpoints/main", &served.admin).is(200).body;
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());

    let verified = served.post("/api/v1/verify", &served.admin, &json!({})).is(200).json();
    assert_eq!(verified["ok"], true, "{verified}");
    let home = served.stop();
    let against = home.write("main.note", &note);
    home.run(["verify", "--against", against.to_str().unwrap()]).ok();
    // A second start gives no token to anybody.
    let served = Served::start_with(home, &[]);
    assert!(served.admin.is_empty());
}

#[test]
fn what_the_server_does_and_who_read_is_itself_in_the_log() {
    let served = Served::start();
    let reader = served.token(&["read"], &["acme"], &[]);
    served.get("/api/v1/search?q=actor:bob", &reader).is(200);
    served.get("/api/v1/search", "indl_AAAAAAAAAAAA_nonsense").is(401);
    served.post("/api/v1/events", &reader, &json!({"action": "a.b"})).is(403);
    served.get("/api/v1/export?q=actor:bob", &reader).is(200);
    let system = |query: &str| served.count(&served.admin, &format!("tenant:_system {query}"));
    soon("reads and refusals are recorded", || {
        system("action:audit.read details.asked:\"actor:bob\" details.operation:search") == 1
            && system("action:user.login outcome:failure") == 1
            && system("action:access.deny outcome:denied") == 1
            && system("action:data.export") == 1
    });
    assert_eq!(system("action:token.issue"), 2, "the first token and the one made here");
    assert_eq!(system("action:service.start"), 1);
    // Nobody's business but an administrator's.
    assert_eq!(served.count(&reader, "tenant:_system"), 0);
}

#[test]
fn what_is_wrong_with_a_configuration_is_told_by_its_line() {
    let home = Home::new();
    let file = home.write("server.toml", "[limits]\nbatch_events = 2\n");
    let mut command = home.command(["config", "validate", "--config", file.to_str().unwrap()]);
    assert!(command.output().unwrap().status.success());
    home.write("server.toml", "[limits]\nbatch_evnts = 2\n");
    let wrong = home.run(["config", "validate", "--config", "server.toml"]).exits(2);
    assert!(
        wrong.stderr.contains("server.toml:2: there is no key limits.batch_evnts; did you mean limits.batch_events?"),
        "{}",
        wrong.stderr
    );
}

#[test]
fn sighup_reads_the_file_again() {
    let home = Home::new();
    home.write("server.toml", "[limits]\nbatch_events = 2\n");
    let path = home.path("server.toml");
    let served = Served::start_with(home, &["@server.toml"]);
    let three = "{\"action\":\"a.b\"}\n".repeat(3);
    served.post_lines(&served.admin, &[], &three).is(413);
    std::fs::write(&path, "[limits]\nbatch_events = 3\n").unwrap();
    served.signal(Signal::HUP);
    soon("the new limit holds", || served.post_lines(&served.admin, &[], &three).status == 201);
    std::fs::write(&path, "[limits]\nbatch_events = \"many\"\n").unwrap();
    let answer = served.post("/api/v1/config/reload", &served.admin, &json!({})).is(422);
    assert!(answer.body.contains("limits.batch_events"), "{}", answer.body);
    served.post_lines(&served.admin, &[], &three).is(201);
    std::fs::write(&path, "[limits]\nbatch_events = 4\nsearches = 9\n").unwrap();
    let answer = served.post("/api/v1/config/reload", &served.admin, &json!({})).is(200).json();
    assert_eq!(answer["waiting"], json!(["limits.searches"]));
}

/// What a reload says that it takes up is in force, and what it cannot is named.
#[test]
fn a_reload_takes_up_what_it_says() {
    let home = Home::new();
    home.write("server.toml", "");
    let path = home.path("server.toml");
    let port = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let served = Served::start_with(home, &["@server.toml", &format!("listen.syslog_udp={port}")]);
    let text = "[limits]\nbodies = \"200MiB\"\nemit_time = \"5s\"\n[syslog]\ntenant = \"network\"\n";
    std::fs::write(path, text).unwrap();
    let answer = served.post("/api/v1/config/reload", &served.admin, &json!({})).is(200).json();
    assert_eq!(answer["waiting"], json!(["limits.bodies", "limits.emit_time"]));
    let settings = served.get("/api/v1/config", &served.admin).is(200).json();
    let of = |key: &str| settings.as_array().unwrap().iter().find(|one| one["key"] == key).unwrap()["value"].clone();
    assert_eq!((of("limits.bodies"), of("syslog.tenant")), (json!("160MiB"), json!("network")));
    let tenants = served.get("/api/v1/tenants", &served.admin).is(200).json();
    assert!(tenants.as_array().unwrap().iter().any(|tenant| tenant["name"] == "network"), "{tenants}");
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.send_to(b"<34>1 2026-01-01T00:00:00Z host su - - - failed", port).unwrap();
    soon("it is recorded for that tenant", || served.count(&served.admin, "tenant:network") == 1);
}

#[test]
fn a_second_server_on_one_store_is_refused() {
    let served = Served::start();
    let second = served.home.run(["serve", "--set", "listen.http=127.0.0.1:0"]).exits(1);
    assert!(second.stderr.contains("another process writes"), "{}", second.stderr);
    // Reading beside it works without it.
    served.home.run(["verify"]).ok();
    let refused = served.home.run(["token", "create", "ci", "--scope", "emit"]).exits(1);
    assert!(refused.stderr.contains("/api/v1/tokens"), "{}", refused.stderr);
}

#[test]
fn tokens_and_tenants_are_made_without_a_server_too() {
    let home = Home::with_store();
    home.run(["tenant", "create", "acme"]).ok();
    let token = home.run(["token", "create", "ci", "--scope", "emit,read", "--tenant", "acme"]).ok().stdout.trim().to_owned();
    home.run(["token", "create", "x", "--scope", "emit", "--tenant", "nobody"]).exits(1);
    home.run(["tenant", "create", "../x"]).exits(1);
    let served = Served::start_with(home, &[]);
    assert!(served.admin.is_empty(), "somebody has a token already");
    served.post("/api/v1/events", &token, &json!({"action": "a.b"})).is(201);
    assert_eq!(served.count(&token, ""), 1);
    let home = served.stop();
    let id = home.run(["token", "list", "-o", "json"]).ok().json()["tokens"][0]["id"].as_str().unwrap().to_owned();
    home.run(["token", "revoke", &id]).ok();
    let served = Served::start_with(home, &[]);
    served.post("/api/v1/events", &token, &json!({"action": "a.b"})).is(401);
}

#[test]
fn health_is_asked_where_the_configuration_says_that_the_server_listens() {
    let served = Served::start();
    let listen = served.url.replace("http://", "listen.http=");
    for live in [&[][..], &["--live"]] {
        let told = served.home.run([&["health", "-o", "json", "--set", &listen], live].concat()).ok().json();
        assert_eq!((&told["ok"], told["status"].as_u64()), (&json!(true), Some(200)), "{told}");
    }
    let home = served.stop();
    let gone = home.run(["health", "--set", &listen]).exits(1);
    assert!(gone.stderr.contains("does not answer"), "{}", gone.stderr);
    // Whatever answers there, it is not the server.
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!("listen.http={}", other.local_addr().unwrap());
    let answering = std::thread::spawn(move || {
        use std::io::Write as _;
        other.accept().unwrap().0.write_all(b"+OK Dovecot ready.\r\n").unwrap();
    });
    home.run(["health", "--set", &listen]).exits(1);
    answering.join().unwrap();
}
