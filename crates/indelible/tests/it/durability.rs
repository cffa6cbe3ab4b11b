//! An acknowledged event survives a crash at any write, `kill -9` and power loss; nothing is ever there twice; and a disk that lies
//! about its syncs is found out by the same checks.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use indelible::world::World;
use indelible::{Idempotence, Store};
use indelible_testkit::check::{Proofs, audit};
use indelible_testkit::events::Spec;
use indelible_testkit::model::Ledger;
use indelible_testkit::power::{LoopDisk, Refusal};
use indelible_testkit::process::{LedgerSocket, WriterPlan, under_way, write_until_killed};
use indelible_testkit::scenario::{OnError, Outcome, Scenario, restart_and_check};
use indelible_testkit::{CrashPolicy, Fault, OpKind, SeedGuard, SimWorld, What, seeds};

/// Places in the list of calls where a crash may make a difference.
pub(crate) fn crash_points(scenario: &Scenario) -> Vec<u64> {
    let machine = scenario.machine();
    let outcome = scenario.run(&machine, OnError::Stop);
    assert!(outcome.failed.is_empty() && outcome.contradictions.is_empty(), "{outcome:?}");
    assert_eq!(outcome.ledger.unknown().count(), 0);
    (0u64..).zip(machine.disk.ops()).filter(|(_, op)| op.kind.changes_disk()).map(|(at, _)| at).collect()
}

/// Runs until the machine stops before call `at`.
pub(crate) fn run_until(scenario: &Scenario, at: u64, lying: bool) -> (SimWorld, Outcome) {
    let machine = scenario.machine();
    machine.disk.set_lying_sync(lying);
    machine.disk.fault(Fault::at(at, What::Crash));
    let outcome = scenario.run(&machine, OnError::Stop);
    assert!(machine.disk.is_stopped(), "the work did not reach call {at}");
    assert!(outcome.contradictions.is_empty(), "{:?}", outcome.contradictions);
    (machine, outcome)
}

fn crash_at(scenario: &Scenario, points: &[u64]) {
    let mut checked = 0u64;
    for at in points.iter().copied() {
        let (machine, outcome) = run_until(scenario, at, false);
        let ops = machine.disk.ops();
        let last_done = ops.len().checked_sub(2).and_then(|last| ops.get(last));
        for policy in CrashPolicy::ALL {
            // Without anything unsynced the disk is what it was after the last sync; that was looked at before the call after it.
            if policy == CrashPolicy::None && last_done.is_some_and(|op| !matches!(op.kind, OpKind::Sync | OpKind::SyncDir)) {
                continue;
            }
            let disk = machine.disk.crashed_copy(policy, scenario.seed ^ at);
            if let Err(problem) = restart_and_check(disk, at, &outcome.ledger) {
                panic!("seed {}: crash before call {at} ({:?}), {policy:?}: {problem}", scenario.seed, ops.last());
            }
            checked += 1;
        }
    }
    eprintln!("{checked} crashes at {} places survived", points.len());
    assert!(checked >= 3 * points.len() as u64);
}

#[test]
fn acked_events_survive_a_crash_at_every_write_and_sync() {
    for seed in seeds(1) {
        let scenario = Scenario::small(seed);
        crash_at(&scenario, &crash_points(&scenario));
    }
}

#[test]
fn acked_events_survive_a_crash_while_the_journal_goes_over_to_its_next_file() {
    for seed in seeds(1) {
        let scenario = Scenario::rotating(seed);
        let mut points = crash_points(&scenario);
        if !long() {
            // Each of these runs moves megabytes, so the ordinary gate looks at the calls around the making of a file only.
            let machine = scenario.machine();
            assert!(scenario.run(&machine, OnError::Stop).failed.is_empty());
            let made: Vec<u64> =
                (0u64..).zip(machine.disk.ops()).filter(|(_, op)| op.kind == OpKind::Allocate).map(|(at, _)| at).collect();
            assert!(made.len() >= 2, "the journal has not gone over to a further file");
            // Those around the first file are looked at with small events.
            points.retain(|at| made.iter().skip(1).any(|made| made.abs_diff(*at) < 8));
        }
        crash_at(&scenario, &points);
    }
}

/// A gate that cannot fail is no gate.
#[test]
fn a_disk_that_lies_about_syncs_is_found_out() {
    let scenario = Scenario::small(0);
    let (mut lost, mut tried) = (0, 0);
    for at in crash_points(&scenario).into_iter().step_by(12) {
        let (machine, outcome) = run_until(&scenario, at, true);
        if outcome.ledger.acknowledged().next().is_none() {
            continue;
        }
        tried += 1;
        lost += u64::from(restart_and_check(machine.disk.crashed_copy(CrashPolicy::None, at), at, &outcome.ledger).is_err());
    }
    assert!(tried > 5);
    assert_eq!(lost, tried, "the checks did not see that nothing was saved");
}

// Real processes. The writer is this very test binary, run again for one of the tests below that are marked `ignore`.

const PLAN: &str = "INDELIBLE_WRITER_PLAN";

#[test]
#[ignore = "not a test: the process that the tests of this file kill"]
fn writer_process() {
    if let Some(plan) = std::env::var(PLAN).ok().and_then(|text| WriterPlan::from_text(&text)) {
        let end = write_until_killed(&plan);
        eprintln!("the writer ended: {end:?}");
    }
}

fn start_writer(plan: &WriterPlan) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "durability::writer_process", "--ignored", "--nocapture", "--test-threads", "1"]);
    command.env(PLAN, plan.to_text()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

pub(crate) fn long() -> bool {
    std::env::var_os("INDELIBLE_LONG").is_some()
}

/// Lets a writer run for `time` and ends it by `end`. Everything it told goes to `ledger`.
fn write_for(time: Duration, plan: &WriterPlan, ledger: &mut Ledger, end: impl FnOnce(&mut Child)) {
    let socket = LedgerSocket::bind(&plan.socket).unwrap();
    let mut child = start_writer(plan);
    let mut stream = socket.wait_for_writer().expect("the writer opens the store");
    // The ledger is read while the writer writes, so that a full pipe never holds it up.
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| while stream.read_one(plan.seed, ledger).unwrap() {});
        std::thread::sleep(time);
        end(&mut child);
        reader.join().unwrap();
    });
    child.wait().unwrap();
}

/// What a client does after its server died: it sends again what it has no receipt for, and some that it has.
fn send_again(dir: &Path, plan: &WriterPlan, ledger: &mut Ledger) {
    let store = Store::open(indelible::Config::new(dir)).unwrap();
    for stream in plan.first_stream..plan.first_stream + plan.threads {
        let newest = ledger.acknowledged().filter(|(spec, _)| spec.stream == stream).map(|(spec, _)| spec.number).max();
        for number in (0..6).map(|offset| newest.unwrap_or(0).saturating_sub(2) + offset) {
            let spec = Spec::of(plan.seed, stream, number);
            let known = ledger.entry(stream, number).and_then(|entry| entry.acknowledged).is_some();
            let receipt = store.append(&spec.draft()).unwrap();
            assert!(!known || receipt.idempotence == Idempotence::Duplicate, "{receipt:?}");
            ledger.acknowledge(&spec, &receipt).unwrap();
        }
    }
    store.close().unwrap();
}

/// How long the writer of run `nth` is let go on: from hardly opened to well into its second checkpoint.
fn patience(rng: &mut fastrand::Rng, most_ms: u64) -> Duration {
    Duration::from_micros(rng.u64(0..most_ms * 1000))
}

#[test]
fn acked_events_survive_kill_9_at_random_points() {
    let runs = if long() { 200 } else { 20 };
    let seed = seeds(1).next().unwrap();
    let _guard = SeedGuard::new(seed);
    let mut rng = fastrand::Rng::with_seed(seed);
    let dir = tempfile::tempdir().unwrap();
    let (mut store, mut ledger) = (dir.path().join("store-0"), Ledger::default());
    let mut segments = 0;
    for run in 0..2 * runs {
        // On a machine so busy that nothing could be sealed so far, writers get more time.
        let most = if run < runs { 200 } else { 3_000 };
        if run >= runs && segments > 0 {
            break;
        }
        if run % 5 == 0 {
            store = dir.path().join(format!("store-{run}"));
            ledger = Ledger::default();
        }
        let plan = WriterPlan {
            dir: store.clone(),
            socket: dir.path().join("ledger"),
            seed,
            first_stream: run * 100,
            threads: 4,
            lying: false,
        };
        let before = ledger.acknowledged().count();
        write_for(patience(&mut rng, most), &plan, &mut ledger, |child| child.kill().unwrap());
        let told = ledger.acknowledged().count() - before;
        let found = audit(&World::real(), &store, &ledger, Proofs::Unsigned);
        found.expect_clean(&format!("run {run}, {told} told"));
        expect_under_way(&found.gaps, plan.threads, &format!("run {run}"));
        send_again(&store, &plan, &mut ledger);
        audit(&World::real(), &store, &ledger, Proofs::Signed { by_engine: 8 }).expect_clean(&format!("run {run}, sent again"));
        segments += indelible::Reader::open(&store).unwrap().segments().unwrap().len();
    }
    eprintln!("{runs} kills survived; the last store holds {} acknowledged events", ledger.acknowledged().count());
    assert!(segments > 0, "nothing was sealed");
    assert!(ledger.acknowledged().count() > 100, "the writers hardly wrote");
}

/// Whether numbers are missing only of events that were under way when their writer ended. A frame takes what is critical last, and so may
/// have it without normal events that were admitted a moment before; those are in the next frame, if there comes to be one.
fn expect_under_way(gaps: &[String], threads: u64, story: &str) {
    let mut missing = BTreeMap::<&str, u64>::new();
    for gap in gaps {
        let (life, numbers) = gap.split_once(": numbers ").unwrap();
        let (first, rest) = numbers.split_once(" to ").unwrap();
        let last = rest.split_once(' ').unwrap().0;
        *missing.entry(life).or_default() += last.parse::<u64>().unwrap() - first.parse::<u64>().unwrap() + 1;
    }
    assert!(missing.values().all(|count| *count < under_way(threads)), "{story}: {gaps:?}");
}

/// One file system, cut off again and again. Returns how many runs lost something.
fn cut_power(disk: &mut LoopDisk, dir: &Path, seed: u64, runs: u64, lying: bool) -> u64 {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut ledger = Ledger::default();
    let mut harmed = 0;
    for run in 0..runs {
        // The disk is small: every few runs a new store.
        let store = disk.path().join(format!("store-{}", run / 5));
        if run % 5 == 0 || lying {
            for old in std::fs::read_dir(disk.path()).unwrap().filter_map(|entry| Some(entry.ok()?.path())) {
                if old.file_name().is_some_and(|name| name.to_string_lossy().starts_with("store-")) {
                    std::fs::remove_dir_all(old).unwrap();
                }
            }
            // What was there before must not be what is lost.
            Command::new("sync").status().unwrap();
            ledger = Ledger::default();
        }
        let plan =
            WriterPlan { dir: store.clone(), socket: dir.join("ledger"), seed, first_stream: run * 100, threads: 4, lying };
        let disk_now = &*disk;
        write_for(patience(&mut rng, 120), &plan, &mut ledger, |child| {
            // A real cut takes the writer with it. This one leaves it running, and what it tells while its disk goes away counts as
            // well: frames go around the page cache, and such a write does not succeed on a file system that was shut down.
            disk_now.cut().expect("EXT4_IOC_SHUTDOWN");
            // The writer sees the end of its disk by itself; the kill only spares the wait.
            std::thread::sleep(Duration::from_millis(5));
            child.kill().unwrap();
        });
        disk.restore().unwrap();
        if lying {
            harmed += u64::from(!audit(&World::real(), &store, &ledger, Proofs::Unsigned).is_clean());
            continue;
        }
        let found = audit(&World::real(), &store, &ledger, Proofs::Unsigned);
        found.expect_clean(&format!("power cut {run}"));
        expect_under_way(&found.gaps, plan.threads, &format!("power cut {run}"));
        send_again(&store, &plan, &mut ledger);
        audit(&World::real(), &store, &ledger, Proofs::Signed { by_engine: 4 })
            .expect_clean(&format!("power cut {run}, sent again"));
    }
    harmed
}

#[test]
fn acked_events_survive_real_power_cuts_and_a_lying_sync_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let mut disk = match LoopDisk::make(dir.path(), 256 << 20) {
        Ok(disk) => disk,
        Err(refusal @ Refusal::Missing(_)) if std::env::var_os("CI").is_some() => panic!("{refusal}"),
        Err(refusal) => return eprintln!("SKIPPED: {refusal}"),
    };
    let seed = seeds(1).next().unwrap();
    let _guard = SeedGuard::new(seed);
    let runs = if long() { 200 } else { 20 };
    assert_eq!(cut_power(&mut disk, dir.path(), seed, runs, false), 0);
    let harmed = cut_power(&mut disk, dir.path(), seed, 4, true);
    eprintln!("{runs} power cuts survived; with a lying sync {harmed} of 4 lost something");
    assert!(harmed >= 3, "syncs did nothing, and only {harmed} of 4 power cuts lost something");
}
