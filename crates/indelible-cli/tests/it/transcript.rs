//! A new user can do, on real events, what the README shows.

use indelible_testkit::corpus;

use crate::{Home, arguments, text};

#[test]
fn the_whole_transcript_works_on_real_events() {
    let Some(cloudtrail) = corpus::folder("cloudtrail-invictus") else { return };
    let home = Home::new();

    let made = home.run(["init", "--origin-prefix", "example.com/audit", "-o", "json"]).ok().json();
    let key = text(&made["logs"][1]["verifier_key"]);
    assert!(key.starts_with("example.com/audit/"), "{key}");
    for (name, mode) in [("", 0o700), ("journal", 0o700), ("key", 0o600), ("store.json", 0o600)] {
        use std::os::unix::fs::PermissionsExt as _;
        let found = home.data().join(name).metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(found, mode, "{name}");
    }

    let receipt = home
        .run([
            "emit",
            "user.login",
            "--actor",
            "alice",
            "--target",
            "repo:42",
            "--outcome",
            "failure",
            "--detail",
            "reason=bad_password",
            "-o",
            "json",
        ])
        .ok()
        .json();
    assert_eq!(text(&receipt["seq"]), "0");
    let leaf = text(&receipt["leaf"]);
    assert_eq!(text(&home.run(["show", "0", "-o", "json"]).ok().json()["leaf"]), leaf);

    let imported = home.run(arguments(&["import", "-o", "json"], &cloudtrail)).ok().json();
    assert_eq!(text(&imported["recorded"]), "2900");
    assert_eq!(text(&imported["formats"]["cloudtrail"]), "2900");
    assert_eq!((text(&imported["rejected"]), text(&imported["files"])), ("0".into(), "55".into()));

    let count = |query: &[&str]| text(&home.run([&["search", "--count", "-o", "json"], query].concat()).ok().json()["matched"]);
    assert_eq!(count(&[]), "2901");
    assert_eq!(count(&["source:cloudtrail"]), "2900");
    assert_eq!(count(&["source:cloudtrail", "--until", "2023-07-10"]), "0");
    assert_eq!(count(&["source:cloudtrail", "--since", "2023-07-10", "--until", "2023-07-11"]), "2900");

    // Every form tells of the same events.
    let query = ["search", "action:iam.* outcome:failure NOT actor.id:root", "--since", "2021-01-01"];
    let object = home.run([&query[..], &["-o", "json"]].concat()).ok().json();
    let events = object["events"].as_array().unwrap();
    assert!(
        !events.is_empty()
            && events.iter().all(|event| text(&event["action"]).starts_with("iam.") && event["outcome"] == "failure")
    );
    assert_eq!((&object["complete"], text(&object["matched"])), (&true.into(), events.len().to_string()));
    let lines = home.run([&query[..], &["-o", "ndjson"]].concat()).ok().stdout;
    let parsed: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(&parsed, events);
    let csv = home.run([&query[..], &["-o", "csv", "--fields", "seq,action"]].concat()).ok().stdout;
    let rows: Vec<String> = events.iter().map(|event| format!("{},{}\r\n", event["seq"], text(&event["action"]))).collect();
    assert_eq!(csv, format!("seq,action\r\n{}", rows.concat()));
    let table = home.run([&query[..], &["--limit", "0"]].concat()).ok();
    assert_eq!(table.stdout.lines().count(), events.len() + 1);
    assert!(table.stderr.contains("complete") && table.stderr.contains("main 2,901"), "{}", table.stderr);

    let by_action = home.run(["stats", "--by", "action", "-o", "json", "-n", "0"]).ok().json();
    let sum: u64 =
        by_action["groups"].as_array().unwrap().iter().map(|value| value["events"].to_string().parse::<u64>().unwrap()).sum();
    assert_eq!(sum, 2901);
    assert!(home.run(["tail", "-n", "3"]).ok().stdout.contains("2900"));

    home.run(["prove", "1234", "-o", "e.tlog-proof"]).ok();
    let proven = home.run(["verify", "--proof", "e.tlog-proof", "--key", &key, "-o", "json"]).ok().json();
    assert_eq!((text(&proven["seq"]), text(&proven["tree_size"])), ("1234".into(), "2901".into()));
    assert_eq!(proven["leaf"], home.run(["show", "1234", "-o", "json"]).ok().json()["leaf"]);

    let note = home.run(["checkpoint"]).ok().stdout;
    home.write("kept.note", &note);
    let verified = home.run(["verify", "--against", "kept.note", "--key", &key, "-o", "json"]).ok().json();
    assert_eq!((&verified["ok"], &verified["anchored"], text(&verified["events"])), (&true.into(), &true.into(), "2901".into()));
    assert_eq!(verified["findings"].as_array().unwrap().len(), 0);
    assert!(home.run(["verify", "--no-state"]).ok().stdout.contains("UNANCHORED"));
    home.run(["doctor"]).ok();
}

#[test]
fn what_was_changed_is_told_by_exit_code_3() {
    let home = Home::with_store();
    for nth in 0..20 {
        home.write("events.ndjson", format!("{{\"action\":\"file.read\",\"user\":\"u{nth}\"}}\n").repeat(10));
        home.run(["import", "events.ndjson"]).ok();
    }
    home.run(["prove", "7", "-o", "p"]).ok();
    let key = text(&home.run(["checkpoint", "-o", "json"]).ok().json()["verifier_key"]);
    home.run(["verify", "--proof", "p", "--key", &key]).ok();
    let other = text(&Home::new().run(["init", "-o", "json"]).ok().json()["verifier_key"]);
    home.run(["verify", "--proof", "p", "--key", &other]).exits(3);
    let proof = std::fs::read_to_string(home.path("p")).unwrap();
    home.write("p", proof.replacen("index 7", "index 8", 1));
    assert_eq!(home.run(["verify", "--proof", "p", "--key", &key, "-o", "json"]).exits(3).error()["kind"], "mismatch");
    home.write("p", "no proof at all");
    home.run(["verify", "--proof", "p", "--key", &key]).exits(3);

    // One byte of one event, in place.
    let journal = home.data().join("journal");
    let mut files: Vec<_> = std::fs::read_dir(journal).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let (path, at) = files
        .iter()
        .find_map(|path| {
            let bytes = std::fs::read(path).unwrap();
            Some((path, bytes.windows(9).position(|window| window == b"file.read")?))
        })
        .unwrap();
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] = b'F';
    std::fs::write(path, bytes).unwrap();
    let failed = home.run(["verify", "-o", "json"]).exits(3).json();
    assert_eq!(failed["ok"], false);
    assert!(failed["findings"].as_array().unwrap().iter().any(|finding| finding["level"] == "fail"));
    let searched = home.run(["search", "--count", "-o", "json"]).exits(4).json();
    assert_eq!(searched["complete"], false);
}

#[test]
fn the_demo_plays_and_its_store_can_be_played_with() {
    let home = Home::new();
    let told = home.run(["demo"]).ok().stdout;
    for chapter in ["3,", "214 failed logins from 203.0.113.66", "data.export", "VERIFIED", "indelible verify --proof"] {
        assert!(told.contains(chapter), "{chapter} is not in\n{told}");
    }
    let outcome = home.run(["demo", "--data", "mine", "-o", "json"]).ok().json();
    assert_eq!((text(&outcome["failed_guesses"]), text(&outcome["break_in_events"])), ("214".into(), "7".into()));
    let seq = text(&outcome["proven_seq"]);
    assert_eq!(home.run(["show", &seq, "--data", "mine", "-o", "json"]).ok().json()["event"]["action"], "data.export");
    home.run(["verify", "--data", "mine"]).ok();
    // A store that is there is left alone.
    home.run(["demo", "--data", "mine"]).exits(1);
}
