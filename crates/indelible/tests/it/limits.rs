//! Memory is bounded by configuration; overload slows or refuses, it does not kill.

use std::process::Command;
use std::time::Duration;

use indelible::verify::verify;
use indelible::world::World;
use indelible::{CRITICAL_LANE_BYTES_MAX, Class, Config, Draft, Durability, ErrorKind, Overflow, Store};
use indelible_testkit::gate::Gate;

/// `statm` counts in pages; both supported machines run with these.
const PAGE_BYTES: u64 = 4096;
const RESIDENT_BYTES_MAX: u64 = 50 << 20;

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * PAGE_BYTES
}

#[test]
#[ignore = "not a test: a process of its own, whose memory nobody else uses"]
fn idle_to_full() {
    let dir = tempfile::tempdir().unwrap();
    let before = resident_bytes();
    let (gate, world) = Gate::before(World::real());
    let mut config = Config::new(dir.path().join("store"));
    config.lanes.critical.overflow = Overflow::Reject;
    config.lanes.normal.overflow = Overflow::Reject;
    let store = Store::open_in(config, world).unwrap();
    // Warm: buffers of all lanes have been round once, keys are remembered, a checkpoint is written.
    let pad = "x".repeat(300);
    let classes = [Class::Critical, Class::Normal, Class::Telemetry];
    for n in 0..30_000u64 {
        let key = format!("key {n}");
        let draft = Draft::new("widget.polish").class(classes[(n % 3) as usize]).detail("n", n).detail("pad", pad.as_str());
        let _ = store.emit(&draft.idempotency_key(&key));
    }
    store.flush().unwrap();
    let idle = resident_bytes();
    gate.shut();
    for class in classes {
        let mut full = 0;
        for n in 0..200_000u64 {
            match store.emit(&Draft::new("widget.polish").class(class).detail("n", n).detail("pad", pad.as_str())) {
                Ok(ticket) => full += u64::from(ticket.is_shed()),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Busy);
                    full += 1;
                }
            }
            // The batch being synced, those built ahead, and the lane itself are full.
            if full > 2_000 {
                break;
            }
        }
        assert!(full > 2_000, "the {} lane never filled", class.name());
    }
    let full = resident_bytes();
    gate.open();
    store.close().unwrap();
    eprintln!("before {before}, idle {idle}, full {full}");
    assert!(full - before <= RESIDENT_BYTES_MAX, "idle to full added {} MiB", (full - before) >> 20);
}

#[test]
fn a_full_log_holds_less_than_50_mib() {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output = command.args(["--exact", "limits::idle_to_full", "--ignored", "--nocapture"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stdout));
    assert!(said.contains("full"), "the measurement did not run: {said}");
    eprint!("{said}");
}

#[test]
fn an_event_larger_than_its_lane_is_let_through_alone() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(dir.path().join("store"));
    config.lanes.normal.bytes = 10_000;
    let store = Store::open(config).unwrap();
    let large = "x".repeat(900_000);
    for n in 0..3 {
        assert_eq!(store.append(&Draft::new("widget.polish").detail("large", large.as_str())).unwrap().seq, Some(n));
    }
}

#[test]
fn lanes_larger_than_a_frame_are_written_frame_by_frame() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(dir.path().join("store"));
    config.durability = Durability::Batched { events: u64::MAX, interval: Duration::from_secs(600) };
    config.lanes.normal.bytes = 64 << 20;
    config.lanes.telemetry.bytes = 32 << 20;
    config.lanes.critical.bytes = CRITICAL_LANE_BYTES_MAX;
    config.threads = false;
    let store = Store::open(config.clone()).unwrap();
    let pad = "x".repeat(900);
    let count = 30_000u64;
    for n in 0..count {
        let class = [Class::Normal, Class::Telemetry, Class::Normal][(n % 3) as usize];
        store.emit(&Draft::new("widget.polish").class(class).detail("n", n).detail("pad", pad.as_str())).unwrap();
        if n % 10 == 0 {
            store.emit(&Draft::new("widget.polish").class(Class::Critical).detail("n", n).detail("pad", pad.as_str())).unwrap();
        }
    }
    assert!(store.stats().lanes[1].bytes > 16 << 20, "more waits than a frame can hold");
    let frames = store.stats().frames;
    store.flush().unwrap();
    assert!(store.stats().frames - frames > 16);
    let sizes: Vec<u64> = store.heads().iter().map(|head| head.size).collect();
    assert_eq!((sizes[1], sizes[2]), (count * 2 / 3 + count / 10, count / 3));
    store.close().unwrap();
    let report = verify(&config.dir, Default::default()).unwrap();
    assert!(report.ok, "{:?}", report.findings);

    config.lanes.critical.bytes += 1;
    let error = Store::open(config).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected);
    assert!(error.to_string().contains("critical lane"), "{error}");
}
