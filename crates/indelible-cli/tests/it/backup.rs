//! Backup and restoration as an operator does them; and a second verifier that agrees.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::python::python;
use crate::{Home, text};

/// Events by `import`, from its stdin.
fn import(home: &Home, count: usize) {
    let mut child = home
        .command(["import", "-", "-o", "json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines: String = (0..count).map(|n| format!("{{\"action\":\"file.read\",\"user\":\"u{n}\",\"n\":{n}}}\n")).collect();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

fn codes(report: &Value) -> BTreeSet<String> {
    let fails = report["findings"].as_array().unwrap().iter().filter(|finding| finding["level"] == "fail");
    fails.map(|finding| finding["code"].as_str().unwrap().to_owned()).collect()
}

fn number(value: &Value) -> u64 {
    text(value).parse().unwrap()
}

#[test]
fn a_store_is_backed_up_lost_restored_and_verified_by_two() {
    let home = Home::with_store();
    import(&home, 500);
    home.run(["seal"]).ok();
    home.run(["emit", "user.login"]).ok();
    let known = home.write("known.note", home.run(["checkpoint"]).ok().stdout);
    let taken = home.run(["backup", "backup", "-o", "json"]).ok().json();
    assert_eq!(taken["copied_files"], taken["files"]);
    assert_eq!(number(&home.run(["backup", "backup", "-o", "json"]).ok().json()["copied_files"]), 0);
    let words = home.run(["backup", "backup"]).ok().stdout;
    assert!(words.contains("holds the store as of") && words.contains("0 B of it new"), "{words}");
    home.run(["emit", "user.logout"]).ok();
    let lost = home.write("lost.note", home.run(["checkpoint"]).ok().stdout);

    home.run(["restore", "backup"]).exits(1);
    fs::rename(home.data(), home.path("gone")).unwrap();
    let checked = home.run(["restore", "backup", "--check", "--against", known.to_str().unwrap(), "-o", "json"]).ok().json();
    assert!(checked["ok"] == true && checked["backup"]["verified"]["anchored"] == true, "{checked}");
    assert!(!home.data().exists(), "--check wrote something");
    // The newer checkpoint is ahead of the backup: that is said before anything is written.
    let refused = home.run(["restore", "backup", "--against", lost.to_str().unwrap(), "-o", "json"]).exits(3).json();
    assert!(codes(&refused["backup"]["verified"]).contains("anchor-ahead") && !home.data().exists(), "{refused}");
    let restored = home.run(["restore", "backup", "-o", "json"]).ok().json();
    let key = restored["restored"]["verifier_key"].as_str().unwrap().to_owned();
    assert_eq!(number(&restored["restored"]["logs"][1]["taken_over"]), 501);
    assert_eq!(number(&home.run(["search", "--count", "-o", "json"]).ok().json()["matched"]), 501);
    home.run(["emit", "user.login"]).ok();
    home.run(["seal"]).ok();
    home.run(["restore", "backup"]).exits(1);

    let verify = |extra: &[&str], code: i32| {
        let mut arguments = vec!["verify", "-o", "json"];
        arguments.extend(extra);
        home.run(arguments).exits(code).json()
    };
    assert!(codes(&verify(&["--key", &key, "--against", known.to_str().unwrap()], 0)).is_empty());
    let short = BTreeSet::from(["restored-short".to_owned()]);
    assert_eq!(codes(&verify(&["--against", lost.to_str().unwrap()], 3)), short);
    let store_json = home.data().join("store.json");
    let honest = fs::read_to_string(&store_json).unwrap();
    let forged = honest.replacen("\"size\":501}", "\"size\":500}", 1);
    assert_ne!(honest, forged);

    let Some(python) = python("cryptography, pyarrow.parquet") else { return };
    let theirs = |extra: &[&str]| -> Value {
        let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools/verify.py");
        let output = Command::new(&python).arg(tool).arg(home.data()).args(extra).args(["-o", "json"]).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
    };
    assert!(codes(&theirs(&["--key", &key, "--against", known.to_str().unwrap()])).is_empty());
    assert_eq!(codes(&theirs(&["--against", lost.to_str().unwrap()])), short);
    fs::write(&store_json, forged).unwrap();
    assert!(codes(&verify(&[], 3)).contains("restored-mismatch"));
    assert!(codes(&theirs(&[])).contains("restored-mismatch"));
    fs::write(&store_json, honest).unwrap();
    assert!(codes(&theirs(&[])).is_empty());
}

#[test]
fn what_is_wrong_with_a_backup_is_named_and_nothing_is_written() {
    let home = Home::with_store();
    import(&home, 100);
    home.run(["backup", "backup"]).ok();
    let largest = |path: &Path| {
        let files = fs::read_dir(path.join("files")).unwrap().map(|entry| entry.unwrap());
        files.max_by_key(|file| file.metadata().unwrap().len()).unwrap().path()
    };
    let journal = largest(&home.path("backup"));
    let mut bytes = fs::read(&journal).unwrap();
    bytes[5_000] ^= 1;
    fs::write(&journal, bytes).unwrap();
    let new = home.path("new");
    let ended = home.run(["--data", new.to_str().unwrap(), "restore", "backup"]).exits(3);
    assert!(ended.stdout.contains("journal/00000001.wal") && ended.stdout.contains("REFUSED"), "{}", ended.stdout);
    assert!(ended.stdout.contains("--recheck") && !new.exists());
    let json = home.run(["restore", "backup", "--check", "-o", "json"]).exits(3).json();
    assert_eq!(json["backup"]["damage"][0]["file"], "journal/00000001.wal");
    assert_eq!(number(&home.run(["backup", "backup", "--recheck", "-o", "json"]).ok().json()["copied_files"]), 1);
    home.run(["restore", "backup", "--check"]).ok();
    home.run(["backup", home.data().to_str().unwrap()]).exits(1);
    home.run(["restore", "nowhere", "--check"]).exits(1);
}
