//! The stores that commands are killed over, and what is asked of them afterwards.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use indelible::world::World;
use indelible::{Class, Config, Retention, Store};
use indelible_testkit::SimClock;
use indelible_testkit::events::Spec;
use serde_json::Value;

use super::names;
use crate::{Home, text};

/// Days over which the events came; the last of them was yesterday.
const DAYS: u32 = 20;
const DAY: Duration = Duration::from_secs(86_400);
const EVENTS_A_DAY: u32 = 100;
pub(super) const EVENTS: usize = DAYS as usize * EVENTS_A_DAY as usize;
/// Logs of which a checkpoint is kept outside.
const LOGS: [&str; 3] = ["main", "telemetry", "acme"];

/// A store in a home of its own: events in three logs with a policy each, and a hold on what one user did. What came before day
/// `sealed` is in small segments, the rest in the journal. Checkpoints are kept outside.
pub(super) fn store(sealed: u32) -> Home {
    let home = Home::new();
    let clock = SimClock::new();
    // At noon, as it were: what is so many days old has been for half a day, and is until half a day later.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    clock.set_wall_ns((now - DAY * DAYS - DAY / 2).as_nanos().try_into().unwrap());
    let world = World { clock: Arc::new(clock.clone()), ..World::real() };
    let mut config = Config::new(home.data());
    config.trusted_state_dir = Some(home.path("state"));
    config.threads = false;
    config.sealing.background = false;
    config.sealing.rows_max = 256;
    let policy = Retention { minima: Vec::new(), ..Retention::default() };
    config.retention = Some(policy.keep("main", 10).keep("telemetry", 4).keep("acme", 8).tenant("acme", "acme"));
    let store = Store::open_in(config, world).unwrap();
    store.hold("case 7", "actor.id:user-7", "a court asks").unwrap();
    for day in 0..DAYS {
        if day == sealed && day > 0 {
            store.seal().unwrap();
        }
        for nth in 0..EVENTS_A_DAY {
            let spec = Spec::of(7, 1, u64::from(day * EVENTS_A_DAY + nth));
            let spec = if nth % 4 == 0 { spec.with_class(Class::Telemetry) } else { spec };
            store.emit(&spec.draft()).unwrap();
        }
        store.flush().unwrap();
        clock.advance(DAY);
    }
    store.close().unwrap();
    for log in LOGS {
        let note = home.run(["checkpoint", "--log", log]).ok().stdout;
        home.write(&format!("kept/{log}"), note);
    }
    home
}

/// All events, a line each, as they are exported; sorted, because what is sealed comes before what is not.
pub(super) fn events(home: &Home) -> Vec<String> {
    let exported = home.run(["export", "-o", "ndjson"]).ok().stdout;
    let mut lines: Vec<String> = exported.lines().map(str::to_owned).collect();
    let trailer: Value = serde_json::from_str(&lines.pop().unwrap()).unwrap();
    assert_eq!(trailer["indelible_export"]["complete"], true, "{trailer}");
    lines.sort_unstable();
    lines
}

/// The log that an exported line is of.
pub(super) fn log_of(line: &str) -> String {
    text(&serde_json::from_str::<Value>(line).unwrap()["log"])
}

pub(super) fn number(value: &Value) -> u64 {
    text(value).parse().unwrap()
}

/// Compared before they are printed: thousands of lines say nothing.
#[track_caller]
pub(super) fn expect_same(found: &[String], expected: &[String], story: &str) {
    let differs = (0..found.len().max(expected.len())).find(|nth| found.get(*nth) != expected.get(*nth));
    let Some(nth) = differs else { return };
    let (found_there, expected_there) = (found.get(nth), expected.get(nth));
    let (found, expected) = (found.len(), expected.len());
    panic!("{story}: {found} events for {expected}; event {nth} is\n{found_there:?}, not\n{expected_there:?}");
}

/// Verifies the store against the trusted state and what was kept outside. Nothing is found but what may be.
#[track_caller]
pub(super) fn expect_verified(home: &Home, story: &str) -> Value {
    let mut command = vec!["verify".to_owned(), "-o".into(), "json".into()];
    for log in LOGS {
        command.extend(["--against".to_owned(), format!("kept/{log}")]);
    }
    let ended = home.run(&command);
    assert_eq!(ended.code, 0, "{story}\n{}{}", ended.stdout, ended.stderr);
    let report = ended.json();
    assert!(report["ok"] == true && report["anchored"] == true, "{story}\n{report}");
    let worse = report["findings"].as_array().unwrap().iter().find(|finding| finding["level"] != "note");
    assert_eq!(worse, None, "{story}");
    report
}

/// Opens the store for writing and closes it; no event is added.
#[track_caller]
pub(super) fn open(home: &Home, story: &str) {
    let ended = home.run(["checkpoint"]);
    assert!(ended.code == 0 && ended.stderr.contains("signed now"), "{story}: {}", ended.stderr);
}

pub(super) fn manifest(home: &Home) -> Option<Value> {
    fs::read(home.data().join("manifest")).ok().map(|bytes| serde_json::from_slice(&bytes).unwrap())
}

/// The store has the files that a store has, and those that its manifest names.
#[track_caller]
pub(super) fn expect_tidy(home: &Home, story: &str) {
    let data = home.data();
    let own = ["checkpoint", "dedupe", "journal", "key", "lock", "manifest", "segments", "status", "store.json", "tree"];
    let strange: Vec<String> = names(&data).into_iter().filter(|name| !own.contains(&name.as_str())).collect();
    assert!(strange.is_empty(), "{story}: {strange:?}");

    let (mut named, mut begin) = (BTreeSet::new(), 1);
    if let Some(manifest) = manifest(home) {
        for list in ["segments", "expired"] {
            let files = manifest[list].as_array().into_iter().flatten();
            named.extend(files.map(|info| text(&info["file"])));
        }
        named.insert(format!("{:08}.state", number(&manifest["generation"])));
        begin = number(&manifest["journal"]["file"]);
    }
    assert_eq!(names(&data.join("segments")), named, "{story}");

    let is_needed = |name: &str| name.strip_suffix(".wal").is_some_and(|digits| digits.parse::<u64>().unwrap() >= begin);
    let is_number = |name: &str| name.parse::<u32>().is_ok();
    // The trusted state is of this machine and not of the store; it is written anew with the next checkpoint.
    let is_state = |name: &str| name.trim_end_matches(".new").ends_with(".json");
    let strange = |folder: &str, belongs: &dyn Fn(&str) -> bool| {
        let strange: Vec<String> = names(&home.path(folder)).into_iter().filter(|name| !belongs(name)).collect();
        assert!(strange.is_empty(), "{story}: {strange:?} in {folder}");
    };
    strange("audit/journal", &is_needed);
    strange("audit/checkpoint", &is_number);
    strange("audit/tree", &is_number);
    strange("audit/dedupe", &|_| false);
    strange("state", &is_state);
}
