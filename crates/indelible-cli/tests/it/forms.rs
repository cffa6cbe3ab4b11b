//! The forms of output: what is asked for is what comes, with and without colours.

use crate::{Home, text};

#[test]
fn emitted_events_come_back_in_every_field() {
    let home = Home::with_store();
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    home.run([
        "emit",
        "user.login",
        "--actor",
        "alice",
        "--actor-type",
        "user",
        "--actor-name",
        "Alice",
        "--actor-email",
        "alice@example.org",
        "--target",
        "repo:42",
        "--target",
        "org:7",
        "--outcome",
        "denied",
        "--severity",
        "high",
        "--class",
        "critical",
        "--tenant",
        "acme",
        "--session",
        "s1",
        "--ip",
        "192.0.2.1",
        "--user-agent",
        "curl/8",
        "--host",
        "h1",
        "--detail",
        "attempt=3",
        "--detail",
        "ok=false",
        "--detail",
        "why=text",
        "--detail",
        "more:={\"b\":1,\"a\":[null]}",
        "--id",
        "my-id",
        "--time",
        "2021-01-31T12:00:00Z",
        "--trace",
        trace,
    ])
    .ok();
    let event = home.run(["show", "my-id", "-o", "json"]).ok().json()["event"].clone();
    for (pointer, expected) in [
        ("/action", "user.login"),
        ("/outcome", "denied"),
        ("/severity", "high"),
        ("/class", "critical"),
        ("/tenant", "acme"),
        ("/id", "my-id"),
        ("/time", "2021-01-31T12:00:00.000000000Z"),
        ("/actor/id", "alice"),
        ("/actor/type", "user"),
        ("/actor/name", "Alice"),
        ("/actor/email", "alice@example.org"),
        ("/targets/0/id", "42"),
        ("/targets/1/type", "org"),
        ("/session", "s1"),
        ("/origin/ip", "192.0.2.1"),
        ("/origin/user_agent", "curl/8"),
        ("/origin/host", "h1"),
        ("/details/attempt", "3"),
        ("/details/ok", "false"),
        ("/details/why", "text"),
        ("/details/more/a/0", "null"),
        ("/trace/trace_id", "4bf92f3577b34da6a3ce929d0e0e4736"),
        ("/trace/span_id", "00f067aa0ba902b7"),
    ] {
        let found = event.pointer(pointer).unwrap_or_else(|| panic!("{pointer} is not in {event}"));
        assert_eq!(text(found), expected, "{pointer}");
    }
    let shown = home.run(["show", "0"]).ok().stdout;
    for expected in ["alice@example.org", "repo:42", "org:7", "192.0.2.1", "\"attempt\": 3", "leaf  "] {
        assert!(shown.contains(expected), "{expected} is not in\n{shown}");
    }
}

#[test]
fn the_same_key_records_once_and_says_so() {
    let home = Home::with_store();
    let emit = |reason: &str| home.run(["emit", "user.login", "--key", "k1", "--detail", reason, "-o", "json"]);
    let first = emit("reason=a").ok().json();
    let again = emit("reason=a").ok().json();
    assert_eq!((&first["idempotence"], &again["idempotence"]), (&"new".into(), &"duplicate".into()));
    assert_eq!((&first["seq"], &first["leaf"]), (&again["seq"], &again["leaf"]));
    assert_eq!(emit("reason=b").exits(1).error()["kind"], "rejected");
    assert_eq!(home.run(["search", "--count"]).ok().stdout, "1\n");
}

#[test]
fn telemetry_has_a_log_of_its_own_that_all_verbs_know() {
    let home = Home::with_store();
    home.run(["emit", "performance.measure", "--detail", "ms=3"]).ok();
    let listed = home.run(["search"]).ok().stdout;
    assert!(listed.contains("telemetry:0"), "{listed}");
    home.run(["show", "telemetry:0"]).ok();
    home.run(["prove", "telemetry:0", "-o", "t.proof"]).ok();
    let key = text(&home.run(["checkpoint", "--log", "telemetry", "-o", "json"]).ok().json()["verifier_key"]);
    home.run(["verify", "--proof", "t.proof", "--key", &key]).ok();
    assert_eq!(home.run(["search", "--count", "--log", "telemetry"]).ok().stdout, "1\n");
    assert_eq!(home.run(["search", "--count", "--log", "main"]).ok().stdout, "0\n");
    assert!(home.run(["show", "control:0"]).ok().stdout.contains("store.created"));
}

#[test]
fn newest_and_oldest_are_what_they_say() {
    let home = Home::with_store();
    let lines: String = (0..300).map(|nth| format!("{{\"action\":\"file.read\",\"n\":{nth}}}\n")).collect();
    home.write("many.ndjson", lines);
    home.run(["import", "many.ndjson"]).ok();
    let numbers = |more: &[&str]| {
        let shown = home.run([&["search", "-o", "csv", "--fields", "details.n"], more].concat()).ok().stdout;
        shown.lines().skip(1).map(|line| line.trim().parse().unwrap()).collect::<Vec<u32>>()
    };
    assert_eq!(numbers(&[]), (0..300).collect::<Vec<_>>());
    assert_eq!(numbers(&["--limit", "2"]), [0, 1]);
    assert_eq!(numbers(&["--limit", "3", "--newest"]), [299, 298, 297]);
    let table = home.run(["search", "--fields", "details.n"]).ok();
    assert_eq!(table.stdout.lines().count(), 101);
    assert!(
        table.stdout.lines().nth(1).unwrap().starts_with("299") && table.stderr.contains("100 of 300 shown"),
        "{}",
        table.stderr
    );
    assert_eq!(home.run(["search", "--fields", "details.n", "--limit", "0"]).ok().stdout.lines().count(), 301);
}

#[test]
fn no_escape_sequence_is_written_where_no_terminal_is() {
    let home = Home::with_store();
    home.run(["emit", "user.login"]).ok();
    for case in [&["verify"][..], &["doctor"], &["search"], &["stats"], &["--help"], &["search", "--nonsense"]] {
        let mut command = home.command(case);
        for colour in ["", "1"] {
            let ended = crate::Ended::of(command.env("NO_COLOR", colour).output().unwrap());
            assert!(!ended.stdout.contains('\u{1b}') && !ended.stderr.contains('\u{1b}'), "{case:?}");
        }
    }
}

#[test]
fn colours_are_for_terminals_and_only_when_wanted() {
    let home = Home::with_store();
    home.run(["emit", "user.login", "--actor", "\u{202e}x\u{9b}31m"]).ok();
    // `script` lends the command a terminal; where it is not installed there is nothing to try.
    let on_terminal = |no_color: Option<&str>, verb: &str| {
        let line = format!("'{}' {verb}", env!("CARGO_BIN_EXE_indelible"));
        let mut command = std::process::Command::new("script");
        command
            .args(["-qec", &line, "/dev/null"])
            .current_dir(home.dir.path())
            .env_clear()
            .env("TERM", "xterm")
            .env("HOME", home.dir.path());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).stdin(std::process::Stdio::null());
        command.env("INDELIBLE_DATA", home.data()).env("INDELIBLE_STATE", home.path("state"));
        if let Some(value) = no_color {
            command.env("NO_COLOR", value);
        }
        command.output().ok().map(|output| String::from_utf8(output.stdout).unwrap())
    };
    let Some(coloured) = on_terminal(None, "verify") else {
        eprintln!("skipped: `script` is not installed");
        return;
    };
    assert!(coloured.contains("\u{1b}[1;32mVERIFIED"), "{coloured:?}");
    let plain = on_terminal(Some("1"), "verify").unwrap();
    assert!(plain.contains("VERIFIED") && !plain.contains("\u{1b}[1;3"), "{plain:?}");
    // JSON on a terminal is the same value, spelt so that it cannot act.
    let json = on_terminal(Some("1"), "search -o ndjson").unwrap();
    assert!(json.contains("\\u202ex\\u009b31m") && !json.contains('\u{202e}'), "{json:?}");
}

#[test]
fn doctor_finds_what_is_wrong() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = Home::new();
    assert_eq!(home.run(["doctor", "-o", "json"]).exits(1).json()["ok"], false);
    home.run(["init"]).ok();
    let status = |name: &str, code: i32| {
        let checks = home.run(["doctor", "-o", "json"]).exits(code).json()["checks"].clone();
        let check = checks.as_array().unwrap().iter().find(|check| check["name"] == name).unwrap().clone();
        text(&check["status"])
    };
    assert_eq!(status("signing key", 0), "ok");
    let key = home.data().join("key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(status("permissions", 1), "fail");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    let other = Home::with_store();
    std::fs::copy(other.data().join("key"), &key).unwrap();
    assert_eq!(status("signing key", 1), "fail");
    std::fs::remove_dir_all(home.path("state")).unwrap();
    assert_eq!(status("trusted state", 1), "warn");
}

#[test]
fn bench_measures_and_cleans_up() {
    let home = Home::new();
    let figures = home.run(["bench", "--seconds", "1", "-o", "json"]).ok().json();
    for figure in ["writers_64_acks_per_second", "writers_1_acks_per_second", "bare_syncs_per_second", "verify_events_per_second"]
    {
        assert!(figures[figure].to_string().parse::<f64>().unwrap() > 1.0, "{figures}");
    }
    let left: Vec<_> = std::fs::read_dir(home.dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.is_empty(), "{left:?}");
}
