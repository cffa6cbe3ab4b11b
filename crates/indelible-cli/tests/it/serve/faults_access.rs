//! Names that pretend to be others, tokens that are guessed or told to everybody, floods of refusals, and events that act on whoever looks.

use serde_json::{Value, json};

use super::Served;
use super::faults::{Raw, behaves};
use super::served::{escaped, soon};
use crate::Home;

/// What the server recorded of itself, as it lies in the store after it has stopped: outcome, reason or what, weight, target.
fn recorded(served: Served, action: &str) -> (Home, Vec<Value>) {
    let home = served.stop();
    let query = format!("tenant:_system action:{action}");
    let lines = home.run(["search", "-o", "ndjson", "--limit", "1000", &query]).ok().stdout;
    let events = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (home, events)
}

/// How many refusals were recorded for this reason.
fn weight(events: &[Value], reason: &str) -> u64 {
    let of_reason = events.iter().filter(|event| event["details"]["reason"] == reason);
    of_reason.map(|event| event["weight"].as_u64().unwrap_or(1)).sum()
}

/// Nothing can be called like `acme` and be another, and no name leads anywhere else.
#[test]
fn look_alikes_and_paths_are_no_names_of_tenants() {
    let served = Served::start();
    let acme = served.token(&["emit", "read"], &["acme"], &[]);
    let wrong = [
        "../acme",
        "..",
        "acme/../../etc",
        "acme..umbrella",
        "/etc/passwd",
        "..\\acme",
        "%2e%2e%2facme",
        "acme\0",
        "acme/",
        "ACME",
        "Acme",
        "acme ",
        " acme",
        "acme.",
        "acme-",
        "a\u{441}me",   // Cyrillic es
        "\u{430}cme",   // Cyrillic a
        "ac\u{200b}me", // zero width
        "acm\u{435}",   // Cyrillic ie
        "acme\u{301}",  // combining acute
        "\u{ff41}cme",  // fullwidth
        "acme\u{202e}", // right to left
        "ａｃｍｅ",     // all fullwidth
        "\u{1d41a}cme", // mathematical bold
        "_system",
        "_acme",
        "",
    ];
    for name in wrong {
        let problem = served.post("/api/v1/tenants", &served.admin, &json!({"name": name})).is(422).json();
        let detail = problem["detail"].as_str().unwrap();
        assert!(
            detail.contains("1 to 64 of a-z, 0-9, dot, - and _, beginning and ending with a letter or digit"),
            "{name:?}: {problem}"
        );
        let spec = json!({"name": "x", "scopes": ["emit"], "tenants": [name]});
        served.post("/api/v1/tokens", &served.admin, &spec).is(422);
        // Nor is anything recorded under it, by whatever way a name comes in.
        let event = json!({"action": "bad.one", "tenant": name});
        for token in [&served.admin, &acme] {
            let problem = served.post("/api/v1/events", token, &event).is(422).json();
            let pointer = problem["errors"][0]["pointer"].as_str().unwrap();
            assert!(pointer.ends_with("/tenant"), "{name:?}: {problem}");
        }
        let index = json!({"create": {"_index": format!("{name}@x")}});
        let lines = format!("{index}\n{{\"message\":\"bad\"}}\n");
        let kind = [("content-type", "application/x-ndjson")];
        let answer = served.request("POST", "/_bulk", &acme, &kind, lines.as_bytes());
        assert!(answer.status >= 400 || answer.json()["errors"] == true, "{name:?}: {answer:?}");
    }
    assert!(served.metric("indelible_http_responses_total{status=\"422\"}") >= 4 * wrong.len() as u64);
    assert!(served.metric("indelible_events_refused_total{protocol=\"Api\"}") >= 2 * wrong.len() as u64);
    let tenants = served.get("/api/v1/tenants", &served.admin).is(200).json();
    let names: Vec<&str> = tenants.as_array().unwrap().iter().map(|tenant| tenant["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["acme", "default"]);
    served.post("/api/v1/events", &acme, &json!({"action": "good.one", "tenant": "acme"})).is(201);
    assert_eq!(served.count(&served.admin, "NOT tenant:_system"), 1);
}

/// A path is a route or nothing; what it says besides is not looked up anywhere.
#[test]
fn paths_lead_nowhere_else() {
    let served = Served::start();
    let ask = |path: &str| {
        let head =
            format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {}\r\n\r\n", served.admin);
        String::from_utf8_lossy(&Raw::saying(served.address(), head).rest()).into_owned()
    };
    for path in [
        "/../../../../etc/passwd",
        "/api/v1/../../../key",
        "/log/main/tile/../../../key",
        "/log/main/tile/..%2f..%2f..%2fkey",
        "/log/..%2f..%2fkey/checkpoint",
        "/log/main%00/checkpoint",
        "/log/main/tile/0/x000/../../key",
        "/api/v1/events/..%2f..%2fkey",
        "/api/v1/events/%2e%2e",
        "/api/v1/checkpoints/..%2fkey",
        "/api/v1/events/..%5c..%5ckey/proof",
        "//etc/passwd",
        "http://127.0.0.1/api/v1/../key",
    ] {
        let answer = ask(path);
        assert!(answer.starts_with("HTTP/1.1 404") || answer.starts_with("HTTP/1.1 400"), "{path}: {answer}");
        assert!(!answer.contains("root:") && !answer.contains("PRIVATE"), "{path}: {answer}");
    }
    assert!(served.metric("indelible_http_responses_total{status=\"404\"}") >= 5);
    behaves(&served);
}

/// Guessing is slow, told of, and no reason to keep anybody else out.
#[test]
fn guessed_tokens_are_counted_and_slowed_down() {
    let served = Served::start_with(Home::new(), &["rate.failed_logins=1", "rate.burst_seconds=1"]);
    let guess = |nth: usize| match nth % 5 {
        0 => format!("indl_{nth:012x}_{}", "A".repeat(43)),
        // The name of a token is no secret.
        1 => format!("{}{}", &served.admin[..18], "A".repeat(43)),
        2 => served.admin[..served.admin.len() - 1].to_owned(),
        3 => "indl_".to_owned(),
        _ => format!("{}=", served.admin),
    };
    let statuses: Vec<u16> = (0..60)
        .map(|nth| {
            let answer = served.get("/api/v1/search", &guess(nth));
            assert_eq!(answer.header("retry-after").is_some(), answer.status == 429);
            answer.status
        })
        .collect();
    assert!(statuses.iter().all(|status| matches!(status, 401 | 429)), "{statuses:?}");
    let unseen = statuses.iter().filter(|status| **status == 429).count() as u64;
    assert!(statuses[0] == 401 && unseen > 20, "{statuses:?}");
    behaves(&served);
    assert_eq!(served.metric("indelible_failed_logins_total"), 60);
    assert_eq!(served.metric("indelible_limited_total"), unseen);
    let (_home, events) = recorded(served, "user.login");
    assert_eq!(weight(&events, "no such token, or it has expired or was revoked"), 60, "{events:?}");
    assert!(events.len() <= 2, "a flood is no flood of events: {events:?}");
    assert_eq!(events[0]["origin"]["ip"], "127.0.0.1");
}

/// What is no header of a token counts as a guess, like a token that does not hold; a request without any is none.
#[test]
fn logins_that_cannot_be_read_are_counted_recorded_and_slowed_down() {
    let served = Served::start_with(Home::new(), &["rate.failed_logins=1", "rate.burst_seconds=1"]);
    let login = |value: &[u8]| {
        let head = b"GET /api/v1/search HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: ";
        Raw::saying(served.address(), [head, value, b"\r\n\r\n"].concat()).status()
    };
    let wrong: [&[u8]; 7] =
        [b"indl_x", b"Bearer", b"Basic !", b"Basic bm9jb2xvbg==", b"Digest username=x", b"ApiKey \xff", b"Bearer \xc3\xa4"];
    let statuses: Vec<u16> = (0..5).flat_map(|_| wrong).map(login).collect();
    assert!(statuses[0] == 401 && statuses.iter().all(|status| matches!(status, 401 | 429)), "{statuses:?}");
    let unseen = statuses.iter().filter(|status| **status == 429).count() as u64;
    assert!(unseen > 10, "{statuses:?}");
    served.get("/api/v1/search", "").is(401);
    assert_eq!(served.metric("indelible_failed_logins_total"), 35);
    assert_eq!(served.metric("indelible_limited_total"), unseen);
    let (_home, events) = recorded(served, "user.login");
    assert_eq!(weight(&events, "the header authorization cannot be read"), 35, "{events:?}");
}

/// Whoever puts a token into a URL hears of it, whatever the path; and nobody finds it in the log.
#[test]
fn tokens_in_urls_are_refused_everywhere_and_kept_nowhere() {
    let served = Served::start();
    let token = served.token(&["emit", "read"], &["acme"], &[]);
    let paths = [
        ("GET", "/api/v1/search?access_token="),
        ("GET", "/api/v1/export?q="),
        ("GET", "/api/v1/tail?token="),
        ("GET", "/metrics?x="),
        ("POST", "/api/v1/events?key="),
        ("POST", "/_bulk?auth="),
        ("POST", "/services/collector?token="),
        ("POST", "/v1/logs?a="),
        ("POST", "/k8s/audit?token="),
        ("POST", "/cloudevents?code="),
    ];
    for (method, path) in paths {
        let answer = served.request(method, &format!("{path}{token}"), &token, &[], b"{\"action\":\"bad.one\"}").is(400);
        assert!(!answer.body.contains(&token), "{path}: {answer:?}");
    }
    assert_eq!(served.metric("indelible_failed_logins_total"), paths.len() as u64);
    behaves(&served);
    let secret = token[18..].to_owned();
    let (home, events) = recorded(served, "user.login");
    assert_eq!(weight(&events, "a token in the URL"), paths.len() as u64);
    let found = home.run(["search", "-o", "ndjson", "--limit", "1000", ""]).ok().stdout;
    assert!(!found.is_empty() && !found.contains(&secret));
    assert!(!found.contains("bad.one"));
}

/// Who is refused for a rate, a scope or another's tenant is in the log: the first soon, a flood of them as one with a weight.
#[test]
fn refusals_are_recorded_and_a_flood_of_them_is_one_event() {
    let served = Served::start_with(Home::new(), &["rate.token_requests=60", "rate.burst_seconds=5", "rate.tenant_events=500"]);
    let acme = served.token(&["emit", "read"], &["acme"], &[]);
    let theirs = served.token(&["emit"], &["umbrella"], &[]);
    let seq = served.post("/api/v1/events", &theirs, &json!({"action": "a.b"})).is(201).json()["seq"].to_string();
    for tenant in ["umbrella", "nobody", "umbrella", "\u{430}cme"] {
        served.post("/api/v1/events", &acme, &json!({"action": "a.b", "tenant": tenant})).is(422);
    }
    for path in ["", "/proof", "/context"] {
        served.get(&format!("/api/v1/events/{seq}{path}"), &acme).is(404);
        // What is not there is nobody's.
        served.get(&format!("/api/v1/events/999999{path}"), &acme).is(404);
    }
    served.get("/api/v1/tokens", &acme).is(403);
    for tenant in ["umbrella", "nobody", "_system"] {
        served.get(&format!("/api/v1/tenants/{tenant}/copy"), &acme).is(404);
    }
    let many = "{\"action\":\"a.b\"}\n".repeat(2_000);
    served.post_lines(&theirs, &[], &many).is(201);
    served.post_lines(&theirs, &[], &many).is(429);
    let query = escaped("tenant:_system action:access.deny");
    soon("the first of each is told at once", || {
        let facets = served.get(&format!("/api/v1/facets?fields=details.reason&q={query}"), &served.admin).is(200).json();
        let count = |reason: &str| {
            let values = facets["facets"][0]["values"].as_array().unwrap();
            values.iter().find(|value| value["value"] == reason).map_or(0, |value| value["events"].as_u64().unwrap())
        };
        count("no token of this tenant") == 3
            && count("an event of another tenant") == 1
            && count("no scope admin") == 1
            && count("too many events of this tenant") == 1
    });
    let flood: Vec<u16> = (0..1_500).map(|_| served.get("/api/v1/facets?fields=action", &theirs).status).collect();
    let limited = flood.iter().filter(|status| **status == 429).count() as u64;
    let unscoped = flood.iter().filter(|status| **status == 403).count() as u64;
    assert_eq!(limited + unscoped, 1_500);
    assert!(limited > 100, "{limited}");
    behaves(&served);
    assert_eq!(served.metric("indelible_limited_total"), limited + 1);
    let (_home, events) = recorded(served, "access.deny");
    assert_eq!(weight(&events, "too many requests of this token"), limited);
    assert_eq!(weight(&events, "no scope read"), unscoped);
    assert_eq!(weight(&events, "an event of another tenant"), 3);
    assert_eq!(weight(&events, "no token of this tenant"), 7, "to record, and to have a copy: {events:?}");
    let tenants: Vec<&Value> = events.iter().filter(|event| event["details"]["reason"] == "no token of this tenant").collect();
    let named = |name: &str| tenants.iter().filter(|event| event["targets"][0]["id"] == name).count();
    assert!(named("umbrella") >= 1 && named("nobody") >= 1, "{tenants:?}");
    assert!(events.len() < 20, "{} events", events.len());
}

/// Who would look at what is hidden from a token, or at what tells of all tenants, is in the log, too.
#[test]
fn who_asks_for_what_is_masked_or_tells_of_all_is_recorded() {
    let served = Served::start();
    let masked = served.token(&["read"], &["acme"], &["identity", "content"]);
    for path in [
        "search?q=actor:alice",
        "events/1/context?q=alice",
        "tail?q=details.x:1",
        "export?q=session:x",
        "export?format=parquet",
        "facets?fields=action,actor.id",
        "stats?by=target.id",
        "histogram?q=ip:192.0.2.1",
    ] {
        served.get(&format!("/api/v1/{path}"), &masked).is(403);
    }
    served.get("/api/v1/search?q=action:a.b", &masked).is(200);
    let auditor = served.token(&["read", "audit"], &["acme"], &[]);
    served.post("/api/v1/verify", &auditor, &json!({})).is(403);
    served.get("/metrics", &auditor).is(403);
    let (_home, events) = recorded(served, "access.deny");
    assert_eq!(weight(&events, "what is masked for this token"), 8, "{events:?}");
    assert_eq!(weight(&events, "what tells of all tenants"), 2, "{events:?}");
}

/// What all tenants together do, nobody learns by a token of one of them.
#[test]
fn metrics_and_the_store_are_told_to_those_who_may_read() {
    let served = Served::start();
    let (all, acme): (&[&str], &[&str]) = (&[], &["acme"]);
    for (scopes, tenants, metrics, store) in [
        (&["emit"][..], acme, 403, 403),
        (&["emit"], all, 403, 403),
        (&["emit", "read"], acme, 403, 200),
        (&["audit"], acme, 403, 200),
        (&["read"], all, 200, 200),
        (&["audit"], all, 200, 200),
        (&["admin"], all, 200, 200),
    ] {
        let token = served.token(scopes, tenants, &[]);
        assert_eq!(served.get("/metrics", &token).status, metrics, "{scopes:?} {tenants:?}");
        assert_eq!(served.get("/api/v1/store", &token).status, store, "{scopes:?} {tenants:?}");
    }
}

/// Cells of a CSV, by rows.
fn cells(csv: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut cell, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut characters = csv.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => cell.push(characters.next().unwrap()),
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut cell)),
            '\r' if !quoted && characters.next_if_eq(&'\n').is_some() => {
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            other => cell.push(other),
        }
    }
    assert!(!quoted && cell.is_empty() && row.is_empty(), "it ends in the middle");
    rows
}

/// What somebody put into an event does not act on whoever looks at it: not on a spreadsheet, not on a terminal.
#[test]
fn formulas_and_escapes_from_events_are_disarmed() {
    let served = Served::start();
    let hostile = [
        "=cmd|' /C calc'!A0",
        "=HYPERLINK(\"http://x\",\"y\")",
        "+1+1",
        "-2+3",
        "@SUM(1)",
        "\t=1",
        "\r=1",
        "\n=1",
        "\u{ff1d}1",
        "a,\"=1\r\n=2",
        "\u{1b}[2J\u{1b}]0;owned\u{7}",
        "\u{9b}31mred",
        "invoice\u{202e}gpj.exe",
    ];
    for text in hostile {
        let event = json!({"action": "bad.one", "actor": {"id": text, "name": text}, "session": text,
            "targets": [{"type": "file", "id": text}], "origin": {"host": text, "user_agent": text}, "details": text});
        served.post("/api/v1/events", &served.admin, &event).is(201);
    }
    // `q` itself comes from somebody else's link.
    let query = escaped("action:bad.one");
    let csv = served.get(&format!("/api/v1/export?format=csv&q={query}"), &served.admin).is(200);
    assert_eq!(csv.header("content-type"), Some("text/csv; charset=utf-8"));
    assert!(csv.header("content-disposition").unwrap().starts_with("attachment"), "no browser opens it");
    let rows = cells(&csv.body);
    assert_eq!(rows.len(), hostile.len() + 1);
    let column = rows[0].iter().position(|name| name == "actor.id").unwrap();
    for (row, text) in rows[1..].iter().zip(hostile) {
        assert_eq!(row.len(), rows[0].len());
        for cell in row {
            assert!(!cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '\u{ff1d}']), "{text:?}: {cell:?}");
        }
        assert!(!row[column].is_empty());
    }
    let acts = |text: &str| text.contains(|c: char| c.is_control() && !matches!(c, '\n' | '\r') || c == '\u{202e}');
    assert!(!acts(&csv.body), "nothing acts on a terminal: {:?}", csv.body);
    for path in ["search?q=", "export?q=", "export?format=ocsf&q=", "facets?fields=actor.id&q=", "stats?by=session&q="] {
        let answer = served.get(&format!("/api/v1/{path}{query}"), &served.admin).is(200);
        assert!(!answer.body.contains(|c: char| c < ' ' && c != '\n'), "{path}: {:?}", answer.body);
        assert!(!answer.header("content-type").unwrap().contains("html"), "{path}");
    }
    // What is hostile is exactly what was sent, where it is data.
    let found = served.get(&format!("/api/v1/search?limit=100&q={query}"), &served.admin).is(200).json();
    let mut ids: Vec<&str> =
        found["events"].as_array().unwrap().iter().map(|event| event["actor"]["id"].as_str().unwrap()).collect();
    ids.reverse();
    assert_eq!(ids, hostile);
    // In a refusal, too.
    let refused = served.get(&format!("/api/v1/search?q={}", escaped("\u{1b}[2J:x")), &served.admin).is(400);
    assert!(!refused.body.contains('\u{1b}'), "{refused:?}");
    assert_eq!(served.metric("indelible_events_total{protocol=\"Api\"}"), hostile.len() as u64);
    behaves(&served);
}
