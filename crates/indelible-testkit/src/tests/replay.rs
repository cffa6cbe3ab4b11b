//! A failure names its seed, and the seed brings it back.

use std::process::Command;

use super::*;
use crate::seed::{range, replay_line};
use crate::{CrashPolicy, SeedGuard};

#[test]
fn the_same_seed_crashes_the_same_way_and_another_does_not() {
    let run = |seed| {
        let disk = SimDisk::new(seed);
        let file = durable(&disk, "/a", &[1; 64 * 512]);
        put(&*file, 0, &[2; 64 * 512]).unwrap();
        disk.crash(CrashPolicy::Random);
        disk.contents(p("/a")).unwrap()
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

#[test]
fn the_environment_chooses_seeds_and_nonsense_is_refused() {
    assert_eq!(range(None, None, 5), Ok(0..5));
    assert_eq!(range(None, Some("9"), 5), Ok(0..9));
    assert_eq!(range(Some("42"), None, 5), Ok(42..43));
    assert_eq!(range(Some("0x2a"), Some("3"), 5), Ok(42..45));
    for (seed, runs) in [(Some("x"), None), (Some(""), None), (None, Some("-1")), (None, Some("0"))] {
        assert!(range(seed, runs, 5).is_err(), "{seed:?} {runs:?}");
    }
    assert!(range(Some("18446744073709551615"), Some("2"), 5).is_err());
}

#[test]
fn a_failing_run_prints_its_seed_and_commit() {
    const CHILD: &str = "INDELIBLE_TESTKIT_FAIL";
    if std::env::var_os(CHILD).is_some() {
        let _guard = SeedGuard::new(4711);
        panic!("on purpose");
    }
    let this = std::env::current_exe().unwrap();
    let name = "tests::replay::a_failing_run_prints_its_seed_and_commit";
    let output = Command::new(this)
        .args(["--exact", name, "--nocapture"])
        .env(CHILD, "1")
        .env("INDELIBLE_COMMIT", "c0ffee")
        .output()
        .unwrap();
    assert!(!output.status.success());
    let printed = String::from_utf8_lossy(&output.stderr);
    // A build may have its commit compiled in; it goes before the environment's.
    let line = replay_line(4711, option_env!("INDELIBLE_COMMIT").unwrap_or("c0ffee"));
    assert!(line.starts_with("seed=4711 commit="));
    assert!(printed.contains(&line), "{printed}");
}
