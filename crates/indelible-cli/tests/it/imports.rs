//! Imports: nothing is left out without a word, whatever the files hold.

use std::io::Write as _;

use serde_json::Value;

use crate::{Home, text};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn count(home: &Home, query: &str) -> String {
    text(&home.run(["search", "--count", "-o", "json", query]).ok().json()["matched"])
}

#[test]
fn packed_and_plain_files_are_told_by_content() {
    let home = Home::with_store();
    let line = |nth: u32| format!("{{\"action\":\"file.read\",\"user\":\"u{nth}\"}}\n");
    home.write("in/plain.ndjson", line(1));
    home.write("in/packed.json.gz", gzip(line(2).as_bytes()));
    home.write("in/deep/er/packed.log", zstd::encode_all(line(3).as_bytes(), 3).unwrap());
    home.write("in/array.json", format!("[{},{}]", line(4), line(5)));
    home.write("in/README.md", "# not an event\n");
    home.write("in/.hidden.json", line(6));
    let done = home.run(["import", "in", "-o", "json", "--tenant", "acme"]).ok().json();
    assert_eq!(
        (text(&done["recorded"]), text(&done["files"]), text(&done["files_skipped"])),
        ("5".into(), "4".into(), "1".into())
    );
    assert!(text(&done["skipped"][0]).ends_with("README.md"));
    assert_eq!(count(&home, "tenant:acme"), "5");
    assert_eq!(count(&home, "actor.name:u3"), "1");
}

#[test]
fn what_cannot_be_recorded_is_named_by_code_and_line_and_exits_with_4() {
    let home = Home::with_store();
    let deep = "[".repeat(100_000);
    let lines = [
        r#"{"action":"file.read","user":"first"}"#,
        "this is no JSON",
        r#"{"action":"file.read","user":"second""#,
        r#"{"n":NaN}"#,
        &deep,
        r#"{"a":1,"a":2}"#,
        r#"{"text":"\ud800"}"#,
        r#"{"action":"file.read","user":"last","nul":"a\u0000b","big":1e400}"#,
    ];
    home.write("mixed.ndjson", lines.join("\n"));
    let done = home.run(["import", "mixed.ndjson", "-o", "json"]).exits(4).json();
    assert_eq!(text(&done["records"]), "8");
    // The two that readers could disagree about are kept byte for byte.
    assert_eq!((text(&done["recorded"]), text(&done["opaque"]), text(&done["rejected"])), ("4".into(), "2".into(), "4".into()));
    let places: Vec<String> = done["rejections"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|rejection| rejection["examples"].as_array().unwrap().iter().map(|example| text(&example["line"])))
        .collect();
    let mut sorted = places.clone();
    sorted.sort();
    assert_eq!(sorted, ["2", "3", "4", "5"], "{done}");
    assert_eq!(done["complete"], false);
    let shown = home.run(["import", "mixed.ndjson"]).exits(4);
    assert!(shown.stdout.contains("mixed.ndjson:2: ") && shown.stderr.contains("INCOMPLETE"), "{}", shown.stdout);
    home.run(["verify"]).ok();
}

#[test]
fn what_is_not_json_can_be_kept_as_it_is() {
    let home = Home::with_store();
    home.write(
        "audit.log",
        b"type=SYSCALL msg=audit(1605000000.1:2): uid=0 exe=\"/bin/sh\"\n{\"action\":\"file.read\"}\n\xff\xfe\x1b[2J\n",
    );
    let done = home.run(["import", "audit.log", "--keep-unreadable", "-o", "json"]).ok().json();
    assert_eq!((text(&done["recorded"]), text(&done["opaque"]), text(&done["rejected"])), ("3".into(), "2".into(), "0".into()));
    let event = home.run(["search", "raw:exe=", "-o", "json"]).ok().json()["events"][0].clone();
    assert_eq!(text(&event["raw"]["text"]), "type=SYSCALL msg=audit(1605000000.1:2): uid=0 exe=\"/bin/sh\"");
    let binary = home.run(["search", "raw.media_type:application/octet-stream", "-o", "json"]).ok().json()["events"][0].clone();
    assert_eq!(text(&binary["raw"]["base64"]), "//4bWzJK");
}

#[test]
fn bombs_and_damaged_files_are_given_up_on_and_the_others_are_imported() {
    let home = Home::with_store();
    home.write("in/bomb.json.gz", gzip(&vec![b' '; 8 << 20]));
    let whole = gzip(b"{\"action\":\"file.read\"}\n".repeat(1000).as_slice());
    home.write("in/cut.json.gz", &whole[..whole.len() / 2]);
    home.write("in/good.json", "{\"action\":\"file.write\"}\n");
    let done = home.run(["import", "in", "--max-decompressed", "1MiB", "-o", "json"]).exits(4).json();
    assert_eq!(text(&done["files_failed"]), "2");
    let errors: Vec<(String, String)> =
        done["failures"].as_array().unwrap().iter().map(|f| (text(&f["file"]), text(&f["error"]))).collect();
    assert!(
        errors.iter().any(|(file, error)| file.ends_with("bomb.json.gz") && error.contains("--max-decompressed")),
        "{errors:?}"
    );
    assert!(errors.iter().any(|(file, _)| file.ends_with("cut.json.gz")), "{errors:?}");
    assert_eq!(count(&home, "action:file.write"), "1");
}

#[test]
fn with_once_the_same_file_is_recorded_once() {
    let home = Home::with_store();
    let line = "{\"action\":\"file.read\",\"user\":\"same\"}\n";
    home.write("a.ndjson", line.repeat(50));
    let first = home.run(["import", "a.ndjson", "--once", "-o", "json"]).ok().json();
    assert_eq!((text(&first["recorded"]), text(&first["duplicates"])), ("50".into(), "0".into()));
    home.write("a.ndjson", line.repeat(60));
    let again = home.run(["import", "a.ndjson", "--once", "-o", "json"]).ok().json();
    assert_eq!((text(&again["recorded"]), text(&again["duplicates"])), ("10".into(), "50".into()));
    assert_eq!(count(&home, "*"), "60");
    // Without it nothing is assumed.
    home.run(["import", "a.ndjson"]).ok();
    assert_eq!(count(&home, "*"), "120");
}

#[test]
fn what_is_redacted_never_reaches_the_disk() {
    let home = Home::with_store();
    home.write(
        "in.ndjson",
        "{\"action\":\"file.read\",\"user\":\"ann\",\"email\":\"ann@example.org\",\"password\":\"hunter2hunter2\",\"note\":\"card 4111 1111 1111 1111\"}\n",
    );
    home.run([
        "import",
        "in.ndjson",
        "--redact",
        "secrets,cards",
        "--pseudonymise",
        "actor.email",
        "--pseudonymise",
        "details.email",
    ])
    .ok();
    let event: Value = home.run(["search", "-o", "json"]).ok().json()["events"][0].clone();
    assert_eq!(event["details"]["password"], "[redacted]");
    assert!(text(&event["details"]["email"]).starts_with("p-"), "{event}");
    assert_eq!(event["actor"]["email"], event["details"]["email"]);
    for entry in std::fs::read_dir(home.data().join("journal")).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        for secret in ["hunter2", "4111 1111", "ann@example.org"] {
            assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()), "{secret} is on disk");
        }
    }
}

#[test]
fn stdin_is_read_when_asked_to() {
    let home = Home::with_store();
    let mut child = home
        .command(["import", "-", "-o", "json"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let packed = gzip(b"{\"action\":\"file.read\"}\n{\"action\":\"file.write\"}\n");
    child.stdin.take().unwrap().write_all(&packed).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let done: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(text(&done["recorded"]), "2");
}
