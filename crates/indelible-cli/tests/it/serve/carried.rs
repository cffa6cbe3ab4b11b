//! What is carried away over HTTP: the same events in every form, and no half of them that looks whole.

use std::io::Read as _;

use indelible_testkit::corpus;
use rustix::process::Signal;
use serde_json::json;

use super::Served;
use crate::export_parquet::compare;
use crate::python::python;
use crate::{Home, arguments, text};

/// The whole body of an export.
fn export(served: &Served, token: &str, query: &str) -> (String, Vec<u8>) {
    let request = ureq::get(format!("{}/api/v1/export?{query}", served.url)).header("authorization", format!("Bearer {token}"));
    let mut answer = request.call().unwrap();
    let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
    (kind, answer.body_mut().with_config().limit(1 << 30).read_to_vec().unwrap())
}

#[test]
fn parquet_over_http_says_to_other_readers_what_ndjson_says() {
    let Some(python) = python("duckdb, pyarrow.parquet") else { return };
    let home = Home::with_store();
    if let Some(folder) = corpus::folder("cloudtrail-invictus") {
        home.run(arguments(&["import"], &folder)).ok();
    }
    let served = Served::start_with(home, &[]);
    let hostile = "=1+1 \u{1b}[2J\r\nforged\u{202e}\",'\\ \u{fffd}\u{1f600}";
    for event in [
        json!({"action": "file.read", "actor": {"id": hostile, "name": ""}, "targets": [{"type": "file", "id": hostile}], "details": {"note": hostile}}),
        json!({"action": "file.read", "details": {"n": [1, 1.5, null, {}], "": {"\u{0}": true}}}),
        json!({"action": "user.login", "outcome": "failure", "session": "s", "origin": {"ip": "203.0.113.9", "host": "h"}}),
    ] {
        served.post("/api/v1/events", &served.admin, &event).is(201);
    }
    // Of one tenant: the exports are recorded, too, and would not be in each other.
    let reader = served.token(&["read"], &["default"], &[]);
    for query in ["", "&q=action:user.login"] {
        let (kind, lines) = export(&served, &reader, &format!("format=ndjson{query}"));
        assert_eq!(kind, "application/x-ndjson");
        let (kind, table) = export(&served, &reader, &format!("format=parquet{query}"));
        assert_eq!(kind, "application/vnd.apache.parquet");
        let (lines, table) = (served.home.write("f.ndjson", lines), served.home.write("f.parquet", table));
        let found = compare(&python, &table, &lines);
        let count = &found["trailer"]["count"];
        assert_eq!((&found["pyarrow"], &found["duckdb"], &found["trailer"]["complete"]), (count, count, &json!(true)), "{found}");
        assert!(text(count).parse::<u64>().unwrap() >= 1);
    }
    let masked = served.token(&["read"], &["default"], &["identity"]);
    let refused = served.get("/api/v1/export?format=parquet", &masked).is(403);
    assert!(refused.body.contains("ask for ndjson"), "{}", refused.body);
}

#[test]
fn an_export_that_breaks_off_does_not_look_whole() {
    let served = Served::start_with(Home::new(), &["drain.time=1h"]);
    let pad = "x".repeat(200);
    for batch in 0..3 {
        let line = |nth: u64| format!("{{\"action\":\"a.b\",\"actor\":{{\"id\":\"{batch}-{nth}-{pad}\"}}}}\n");
        served.post_lines(&served.admin, &[("prefer", "return=minimal")], &(0..30_000).map(line).collect::<String>()).is(201);
    }
    // More than fits into buffers on the way, and nobody reads on until it is told to stop.
    let mut readers: Vec<_> = ["csv", "ndjson"]
        .map(|form| {
            let request = ureq::get(format!("{}/api/v1/export?format={form}", served.url));
            let answer = request.header("authorization", format!("Bearer {}", served.admin)).call().unwrap();
            let mut reader = answer.into_body().into_with_config().limit(1 << 30).reader();
            reader.read_exact(&mut [0; 1000]).unwrap();
            reader
        })
        .into();
    served.signal(Signal::TERM);
    super::served::soon("it takes no more connections", || {
        std::net::TcpStream::connect(served.url.trim_start_matches("http://")).is_err()
    });
    for reader in &mut readers {
        let mut rest = Vec::new();
        let ended = reader.read_to_end(&mut rest);
        assert!(ended.is_err(), "the stream ended as if it were whole behind {} bytes", rest.len());
    }
    served.stop();
}
