//! A sealed entry that nobody can read is told as damage by every command that comes by it.

use indelible::{Config, Draft, Reader, Retention, Store};
use indelible_testkit::parquet::spoil_record;

use crate::Home;

/// A store with a policy and a hold, all sealed; and the position of the hold's entry.
fn held(home: &Home) -> u64 {
    let mut config = Config::new(home.data());
    config.trusted_state_dir = Some(home.path("state"));
    config.retention = Some(Retention { minima: Vec::new(), ..Retention::default() }.keep("main", 1));
    let store = Store::open(config).unwrap();
    for n in 0..600u64 {
        assert!(store.emit(&Draft::new("door.open").actor("ann").detail("n", n)).is_ok());
    }
    let entry = store.hold("case 17", "actor.id:ann", "a court asks").unwrap().entry;
    store.seal().unwrap();
    store.close().unwrap();
    entry
}

fn spoil(home: &Home, log: u32, seq: u64) {
    let segments = Reader::open(home.data()).unwrap().segments().unwrap();
    let info = segments.iter().find(|info| info.log == log && (info.first_seq..info.end()).contains(&seq)).unwrap();
    let path = home.data().join("segments").join(&info.file);
    let bad = spoil_record(&std::fs::read(&path).unwrap(), seq).unwrap();
    std::fs::write(path, bad).unwrap();
}

#[track_caller]
fn is_refused(home: &Home, command: &[&str]) {
    let ended = home.run(command);
    assert!(
        ended.code == 3 && ended.stderr.contains("segments/"),
        "{command:?}: {} {} {}",
        ended.code,
        ended.stdout,
        ended.stderr
    );
}

#[test]
fn an_export_or_a_count_without_an_event_that_cannot_be_read_is_refused() {
    let home = Home::new();
    held(&home);
    spoil(&home, 1, 4);
    for command in [
        &["export", "--out", "f"][..],
        &["export", "-o", "parquet", "--out", "g"],
        &["search", "--count"],
        &["search", "-o", "ndjson"],
        &["search", "-n", "0"],
        &["stats", "--by", "action"],
        &["facets", "action"],
    ] {
        is_refused(&home, command);
    }
    assert!(!home.path("f").exists() && !home.path("g").exists());
    home.run(["verify"]).exits(3);
}

#[test]
fn a_hold_that_cannot_be_read_is_not_passed_over() {
    let home = Home::new();
    let entry = held(&home);
    assert!(home.run(["hold", "list"]).ok().stdout.contains("case 17"));
    spoil(&home, 0, entry);
    for command in [&["hold", "list"][..], &["retention", "plan", "--trust-clock"], &["retention", "apply", "--trust-clock"]] {
        is_refused(&home, command);
    }
    home.run(["show", "4"]).ok();
}
