//! Sealing changes where events are and nothing else: none is lost, none is there twice, no leaf, root or proof becomes another, whatever
//! call to the disk is the last before a crash, and whatever call fails.

use std::ops::ControlFlow;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indelible::search::Query;
use indelible::verify::{self, Options};
use indelible::{Config, Durability, ErrorKind, Profile, Reader, Store, trusted_state_path};
use indelible_format::frame::FileHeader;
use indelible_testkit::check::{Proofs, audit};
use indelible_testkit::scenario::{OnError, Scenario, restart_and_check};
use indelible_testkit::{CrashPolicy, Fault, OpKind, SimWorld, What, errno, seeds};

use crate::durability::{crash_points, long, run_until};
use crate::readers::event;

#[test]
fn a_sealed_store_is_the_store_it_was() {
    for seed in seeds(3) {
        let scenario = Scenario::sealing(seed);
        let machine = scenario.machine();
        let outcome = scenario.run(&machine, OnError::Stop);
        assert!(outcome.failed.is_empty() && outcome.contradictions.is_empty(), "{outcome:?}");
        let names = machine.world().disk.list(&Scenario::dir().join("segments")).unwrap();
        assert!(names.iter().any(|name| name.ends_with(".parquet")), "{names:?}");
        restart_and_check(machine.disk.crashed_copy(CrashPolicy::None, seed), 0, &outcome.ledger).unwrap();
        // Sealed to the last event.
        let store = Store::open_in(Scenario::config(), machine.world()).unwrap();
        store.seal().unwrap();
        store.close().unwrap();
        audit(&machine.world(), &Scenario::dir(), &outcome.ledger, Proofs::Signed { by_engine: 5 }).expect_clean(&seed);
    }
}

#[test]
fn nothing_is_lost_by_a_crash_at_any_call_of_sealing() {
    for seed in seeds(1) {
        let scenario = Scenario::sealing(seed);
        let points = crash_points(&scenario);
        let machine = scenario.machine();
        assert!(scenario.run(&machine, OnError::Stop).failed.is_empty());
        let ops = machine.disk.ops();
        // What is merged is renamed, too: small segments are taken into the next ones all the time.
        let is_merging = |op: &&indelible_testkit::Op| {
            op.kind == OpKind::Rename && op.path.extension().is_some_and(|extension| extension == "parquet")
        };
        assert!(ops.iter().filter(is_merging).count() > 3);
        let near = |at: u64| {
            let at = usize::try_from(at).unwrap();
            ops.iter().skip(at.saturating_sub(2)).take(4).any(|op| {
                let path = op.path.to_string_lossy();
                path.contains("segments") || path.contains("manifest") || (op.kind == OpKind::Remove && path.contains("journal"))
            })
        };
        let points: Vec<u64> = points.into_iter().filter(|at| near(*at)).collect();
        assert!(points.len() > 100, "{}", points.len());
        for at in points {
            let (machine, outcome) = run_until(&scenario, at, false);
            for policy in CrashPolicy::ALL {
                let disk = machine.disk.crashed_copy(policy, seed ^ at);
                if let Err(problem) = restart_and_check(disk, at, &outcome.ledger) {
                    panic!("seed {seed}: crash before call {at} ({:?}), {policy:?}: {problem}", machine.disk.ops().last());
                }
            }
        }
    }
}

/// Whatever sealing asks of the disk may fail, in every way, and the work go on.
#[test]
fn a_failing_call_of_sealing_takes_nothing_with_it() {
    let kinds =
        [OpKind::Write, OpKind::Sync, OpKind::Open, OpKind::Rename, OpKind::Remove, OpKind::SyncDir, OpKind::Read, OpKind::List];
    let failures = [What::Error(errno::EIO), What::Error(errno::ENOSPC), What::ShortWrite, What::LandedButFailed];
    for seed in seeds(1) {
        let scenario = Scenario::sealing(seed);
        let machine = scenario.machine();
        assert!(scenario.run(&machine, OnError::Stop).failed.is_empty());
        let ops = machine.disk.ops();
        let mut struck = 0;
        for kind in kinds {
            for part in ["segments", "manifest"] {
                let fits = |op: &&indelible_testkit::Op| op.kind == kind && op.path.to_string_lossy().contains(part);
                let calls = ops.iter().filter(fits).count() as u64;
                // Reading is asked for thousands of times.
                let step = if long() { 1 } else { (calls / 12).max(1) };
                for index in (0..calls).step_by(usize::try_from(step).unwrap()) {
                    let turn = usize::try_from(index / step + seed).unwrap();
                    let what = failures[turn % failures.len()];
                    let machine = scenario.machine();
                    machine.disk.fault(Fault::nth(kind, index, what).on(part));
                    let outcome = scenario.run(&machine, OnError::GoOn);
                    let story = format!("seed {seed}: {kind:?} {index} of {part} fails ({what:?})");
                    assert!(outcome.contradictions.is_empty(), "{story}: {:?}", outcome.contradictions);
                    for failed in &outcome.failed {
                        assert!(matches!(failed.call, "seal" | "open"), "{story}: {failed:?}");
                    }
                    let policy = CrashPolicy::ALL[turn % 4];
                    if let Err(problem) = restart_and_check(machine.disk.crashed_copy(policy, index), index, &outcome.ledger) {
                        panic!("{story}, {policy:?}: {problem}");
                    }
                    struck += 1;
                }
            }
        }
        eprintln!("{struck} failures survived");
        assert!(struck > 80, "{struck}");
    }
}

/// Where one bit of what is to stay lies wrong on the disk, whatever part of it that is, the journal stays, and the next pass does it again.
#[test]
fn what_rots_as_it_is_written_does_not_take_the_place_of_the_journal() {
    let machine = Scenario::sealing(9).machine();
    let store = Store::open_in(Scenario::config(), machine.world()).unwrap();
    (0..600).for_each(|n| drop(store.append(&event(n)).unwrap()));
    store.close().unwrap();
    let copy = || SimWorld { disk: machine.disk.crashed_copy(CrashPolicy::None, 0), ..Scenario::sealing(9).machine() };

    let sealed = copy();
    let store = Store::open_in(Scenario::config(), sealed.world()).unwrap();
    store.seal().unwrap();
    let file = store.reader().unwrap().segments().unwrap().into_iter().find(|info| info.log == 1).unwrap().file;
    store.close().unwrap();
    let bytes = sealed.disk.contents(&Scenario::dir().join("segments").join(&file)).unwrap();
    let proof = bytes.windows(8).position(|window| window == b"INDLSEG1").unwrap();
    // The seeds, which nothing else has; and all over the file.
    let seeds = proof + 64 + Scenario::config().prefix.len();
    let places = (0..bytes.len()).step_by(bytes.len() / 12).chain([proof, seeds, bytes.len() - 1]);
    for (name, at) in places.map(|at| (file.as_str(), at)).chain([(".state", 9), (".state", 60)]) {
        let machine = copy();
        let store = Store::open_in(Scenario::config(), machine.world()).unwrap();
        machine.disk.fault(Fault::nth(OpKind::Write, 0, What::Rots(at as u64)).on(name));
        let error = store.seal().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io, "{name}, {at}: {error}");
        let reader = store.reader().unwrap();
        assert!(reader.segments().unwrap().is_empty() && reader.record(1, 599).unwrap().is_some(), "{name}, {at}");
        assert!(store.seal().unwrap().records >= 600, "{name}, {at}");
        store.close().unwrap();
        let report = verify::verify_in(Scenario::dir(), Options::default(), &machine.world()).unwrap();
        assert!(report.ok, "{name}, {at}: {:?}", report.findings);
    }
}

#[test]
fn a_full_disk_stops_sealing_and_not_the_log() {
    let machine = Scenario::sealing(3).machine();
    let store = Store::open_in(Scenario::config(), machine.world()).unwrap();
    (0..600).for_each(|n| drop(store.append(&event(n)).unwrap()));
    machine.disk.fault(Fault::nth(OpKind::Write, 0, What::Error(errno::ENOSPC)).on("segments").lasting());
    for _ in 0..2 {
        let error = store.seal().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io);
        assert!(error.hint().is_some_and(|hint| hint.contains("free disk space")), "{error:?}");
        store.append(&event(1_000)).unwrap();
        assert!(store.reader().unwrap().segments().unwrap().is_empty());
    }
    machine.disk.heal();
    let sealed = store.seal().unwrap();
    assert!(sealed.records > 600, "{sealed:?}");
    assert_eq!(store.seal().unwrap().records, 0);
    let reader = store.reader().unwrap();
    assert_eq!(reader.record(1, 599).unwrap().unwrap().record().unwrap().head().unwrap().action, "widget.polish");
    store.close().unwrap();
}

/// The same of a disk that somebody else has filled to the last byte but a few.
#[test]
fn a_disk_that_others_have_filled_stops_sealing_and_not_the_log() {
    let machine = Scenario::sealing(10).machine();
    let store = Store::open_in(Scenario::config(), machine.world()).unwrap();
    (0..600).for_each(|n| drop(store.append(&event(n)).unwrap()));
    let capacity = fill(&machine, 4 << 10);
    let error = store.seal().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.hint().is_some_and(|hint| hint.contains("free disk space")), "{error:?}");
    assert!(store.reader().unwrap().segments().unwrap().is_empty());
    let names = machine.world().disk.list(&Scenario::dir().join("segments")).unwrap_or_default();
    assert!(names.is_empty(), "{names:?}");
    machine.disk.set_capacity_bytes(capacity);
    store.append(&event(600)).unwrap();
    assert!(store.seal().unwrap().records > 600);
    store.close().unwrap();
    let report = verify::verify_in(Scenario::dir(), Options::default(), &machine.world()).unwrap();
    assert!(report.ok, "{:?}", report.findings);
}

/// Leaves so many bytes of the disk free. Gives what it had in all.
fn fill(machine: &SimWorld, free: u64) -> u64 {
    let capacity = 1 << 40;
    let used = capacity - machine.world().disk.free_bytes(&Scenario::dir()).unwrap();
    machine.disk.set_capacity_bytes(used + free);
    capacity
}

/// A store that has grown up to its reserve gets room again by being sealed, whether its events compress or not.
#[test]
fn a_store_at_its_reserve_seals_itself_room() {
    const RESERVE: u64 = 6 << 20;
    for (is_random, rounds) in [(false, 4), (true, 1)] {
        let machine = Scenario::sealing(11).machine();
        let mut config = Scenario::config();
        config.journal_file_bytes_max = 4 << 20;
        config.disk_reserve_bytes = RESERVE;
        let store = Store::open_in(config, machine.world()).unwrap();
        fill(&machine, RESERVE + (14 << 20));
        let free = || machine.world().disk.free_bytes(&Scenario::dir()).unwrap();
        let mut rng = fastrand::Rng::with_seed(7);
        let (mut n, mut refused) = (0, Vec::new());
        while refused.len() < rounds {
            let pad: String = (0..50_000).map(|_| if is_random { rng.char('#'..='Z') } else { 'x' }).collect();
            match store.append(&event(n).detail("pad", pad.as_str())) {
                Ok(_) => n += 1,
                Err(error) => {
                    // It waits in memory, and comes when there is room.
                    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
                    assert!(free() >= RESERVE, "{}", free());
                    assert!(refused.last() < Some(&n), "{refused:?}, {n}");
                    let sealed = store.seal().unwrap();
                    assert!(sealed.records > 0 && sealed.merged == 0 && free() >= RESERVE / 2, "{sealed:?}, {}", free());
                    refused.push(n);
                    n += 1;
                }
            }
        }
        machine.disk.set_capacity_bytes(1 << 40);
        store.flush().unwrap();
        store.close().unwrap();
        let report = verify::verify_in(Scenario::dir(), Options::default(), &machine.world()).unwrap();
        let main = report.logs.iter().find(|log| log.log == 1).map(|log| log.size);
        assert!(report.ok && main == Some(n), "{n}, {main:?}: {:?}", report.findings);
    }
}

/// The tree file is derived: sealing believes it only as far as it leads to the roots of the journal.
#[test]
fn a_rotten_tree_file_does_not_get_into_a_segment() {
    let machine = Scenario::sealing(4).machine();
    let store = Store::open_in(Scenario::config(), machine.world()).unwrap();
    (0..700).for_each(|n| drop(store.append(&event(n)).unwrap()));
    machine.disk.tamper(&Scenario::dir().join("tree/1"), &[7; 64]).unwrap();
    store.seal().unwrap();
    store.close().unwrap();
    let report = verify::verify_in(Scenario::dir(), Options::default(), &machine.world()).unwrap();
    assert!(report.ok, "{:?}", report.findings);
    // And it is made anew from the segments.
    let reader = Reader::open_in(Scenario::dir(), machine.world()).unwrap();
    let proof = reader.prove(1, 300).unwrap();
    drop(Store::open_in(Scenario::config(), machine.world()).unwrap());
    assert_eq!(machine.disk.contents(&Scenario::dir().join("tree/1")).unwrap().len(), 64);
    assert_eq!(reader.prove(1, 300).unwrap().hashes, proof.hashes);
}

/// Neither does it get into one that takes older segments in: their roots are compared with those they were sealed with.
#[test]
fn a_rotten_tree_file_does_not_get_into_a_merged_segment() {
    let machine = Scenario::sealing(8).machine();
    let store = Store::open_in(Scenario::config(), machine.world()).unwrap();
    (0..700).for_each(|n| drop(store.append(&event(n)).unwrap()));
    store.seal().unwrap();
    machine.disk.tamper(&Scenario::dir().join("tree/1"), &[7; 64]).unwrap();
    store.append(&event(700)).unwrap();
    assert!(store.seal().unwrap().merged > 0);
    store.close().unwrap();
    let report = verify::verify_in(Scenario::dir(), Options::default(), &machine.world()).unwrap();
    assert!(report.ok, "{:?}", report.findings);
}

/// What is sealed is still the past that a trusted state knows, even if that state was away for a while.
#[test]
fn an_older_checkpoint_is_compared_with_what_is_sealed() {
    let machine = Scenario::sealing(5).machine();
    let store = Store::open_in(Scenario::config(), machine.world()).unwrap();
    (0..300).for_each(|n| drop(store.append(&event(n)).unwrap()));
    let old = store.checkpoint(1).unwrap();
    let state = trusted_state_path("/trusted".as_ref(), store.identity().unwrap());
    store.close().unwrap();
    let kept = machine.disk.contents(&state).unwrap();
    let store = Store::open_in(Scenario::config(), machine.world()).unwrap();
    (0..300).for_each(|n| drop(store.append(&event(n)).unwrap()));
    store.seal().unwrap();
    store.close().unwrap();
    machine.disk.tamper(&state, &kept).unwrap();
    drop(Store::open_in(Scenario::config(), machine.world()).unwrap());
    let report = verify::verify_in(Scenario::dir(), Options { against: vec![old.note], ..Options::default() }, &machine.world());
    let report = report.unwrap();
    assert!(report.ok && report.logs[1].anchored == 300, "{report:?}");
}

#[test]
fn readers_beside_a_sealing_writer_see_every_event_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let mut config = Config::new(&path);
    config.checkpoint_interval = Duration::from_millis(20);
    config.journal_file_bytes_max = 4 << 20;
    config.sealing.journal_bytes = 4 << 20;
    config.sealing.rows_max = 8_192;
    let store = Store::open(config).unwrap();
    let (acknowledged, over) = (AtomicU64::new(0), AtomicBool::new(false));
    let pad = "x".repeat(1_000);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let began = Instant::now();
            for n in 0.. {
                store.emit(&event(n).detail("pad", pad.as_str())).unwrap();
                if n % 100 == 0 {
                    store.flush().unwrap();
                    acknowledged.store(n + 1, Ordering::SeqCst);
                }
                if n > 60_000 || began.elapsed() > Duration::from_secs(20) {
                    break;
                }
            }
            over.store(true, Ordering::SeqCst);
        });
        scope.spawn(|| {
            // A reader that follows sees each position once, in order, wherever it is by then.
            let mut next = 0;
            let scan = Reader::open(&path).unwrap().tail(
                &mut |position| {
                    if position.log == 1 {
                        assert_eq!(position.seq, next);
                        next += 1;
                    }
                    ControlFlow::Continue(())
                },
                &mut || {
                    std::thread::sleep(Duration::from_millis(3));
                    if over.load(Ordering::SeqCst) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                },
            );
            assert!(scan.unwrap().complete);
        });
        while !over.load(Ordering::SeqCst) {
            let before = acknowledged.load(Ordering::SeqCst);
            let mut seen = 0;
            let reader = Reader::open(&path).unwrap();
            let scan = reader.records(&mut |position| {
                if position.log == 1 {
                    assert_eq!(position.seq, seen);
                    seen += 1;
                }
                ControlFlow::Continue(())
            });
            assert!(scan.unwrap().complete);
            assert!(seen >= before, "acknowledged {before}, seen {seen}");
            let one = before.saturating_sub(1) / 2;
            assert!(before == 0 || reader.record(1, one).unwrap().is_some(), "{one}");
            let report = verify::verify(&path, Options::default()).unwrap();
            assert!(report.ok, "{:?}", report.findings);
        }
    });
    let stats = store.stats();
    assert!(stats.segments > 0 && stats.seal_failures == 0, "{stats:?}");
    store.close().unwrap();
}

/// When the manifest was renamed and its directory could not be synced, a power cut may leave the old one or the new one: the files of
/// both must be there.
#[test]
fn a_manifest_whose_name_was_not_synced_takes_nothing_with_it() {
    let scenario = Scenario::sealing(6);
    let machine = scenario.machine();
    assert!(scenario.run(&machine, OnError::Stop).failed.is_empty());
    let ops = machine.disk.ops();
    let renamed = |op: &indelible_testkit::Op| op.kind == OpKind::Rename && op.path.to_string_lossy().contains("manifest");
    let synced: Vec<u64> = (1u64..)
        .zip(ops.windows(2))
        .filter(|(_, pair)| renamed(&pair[0]) && pair[1].kind == OpKind::SyncDir)
        .map(|(at, _)| at)
        .collect();
    assert!(synced.len() > 5, "{}", synced.len());
    for at in synced {
        for (nth, what) in [What::Error(errno::EIO), What::ShortWrite, What::LandedButFailed].into_iter().enumerate() {
            let machine = scenario.machine();
            machine.disk.fault(Fault::at(at, what));
            let outcome = scenario.run(&machine, OnError::GoOn);
            assert!(!outcome.failed.is_empty(), "nothing failed at {at}");
            for policy in CrashPolicy::ALL {
                if let Err(problem) = restart_and_check(machine.disk.crashed_copy(policy, at), at + nth as u64, &outcome.ledger) {
                    panic!("the sync of the directory at {at} fails ({what:?}), {policy:?}: {problem}");
                }
            }
        }
    }
}

/// A store with some complete journal files of 4 MiB, of which each is a pass of its own.
fn with_backlog(path: &Path) -> Store {
    let mut config = Config::new(path);
    config.journal_file_bytes_max = 4 << 20;
    config.sealing.background = false;
    config.sealing.journal_bytes = 1;
    let store = Store::open(config).unwrap();
    let pad = "x".repeat(1_000);
    for n in 0..16_000 {
        store.emit(&event(n).detail("pad", pad.as_str())).unwrap();
        if n % 100 == 0 {
            store.flush().unwrap();
        }
    }
    store.flush().unwrap();
    store
}

/// However much has gathered, what sealing needs at a time is what it always needs.
#[test]
fn a_backlog_is_sealed_in_passes_of_the_usual_size() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let store = with_backlog(&path);
    let sealed = store.seal().unwrap();
    // Signing wrote further entries of log 0 meanwhile, perhaps.
    let main = store.heads().iter().find(|head| head.log == 1).map(|head| head.size);
    assert!(main == Some(16_000) && sealed.records >= 16_000, "{sealed:?}");
    let manifest = std::fs::read_to_string(path.join("manifest")).unwrap();
    let (_, generation) = manifest.split_once("\"generation\":").unwrap();
    let passes: u64 = generation.split(',').next().unwrap().parse().unwrap();
    assert!(passes >= 4 && sealed.segments >= passes, "{passes} passes, {sealed:?}");
    store.close().unwrap();
    let report = verify::verify(&path, Options::default()).unwrap();
    assert!(report.ok, "{:?}", report.findings);
}

/// The front of a journal file says how large each log is and what its root is there; it is believed only if the frames say the same.
#[test]
fn a_file_that_begins_with_other_heads_than_its_frames_lead_to_is_not_sealed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let store = with_backlog(&path);
    let second = path.join("journal/00000002.wal");
    let file = std::fs::OpenOptions::new().read(true).write(true).open(&second).unwrap();
    let mut front = vec![0; 64 << 10];
    file.read_exact_at(&mut front, 0).unwrap();
    let (mut header, length) = FileHeader::parse(&front).unwrap();
    header.logs.iter_mut().find(|state| state.log == 1).unwrap().root.0[7] ^= 1;
    let mut other = Vec::new();
    assert_eq!(header.encode(&mut other), Some(length));
    file.write_all_at(&other[..length], 0).unwrap();
    let refused = store.seal().unwrap_err();
    assert!(refused.kind() == ErrorKind::Corrupt && refused.to_string().contains("other heads"), "{refused}");
    // As it was, it is sealed.
    file.write_all_at(&front[..length], 0).unwrap();
    assert!(store.seal().unwrap().records >= 16_000);
    store.close().unwrap();
    assert!(verify::verify(&path, Options::default()).unwrap().ok);
}

/// A quiet log is sealed, too: once its events have waited for the interval, however few they are and though no file is complete.
#[test]
fn few_events_are_sealed_when_they_have_waited_long_enough() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let mut config = Config::new(&path);
    config.sealing.interval = Duration::from_millis(50);
    let store = Store::open(config).unwrap();
    let sealed =
        || store.reader().unwrap().segments().unwrap().iter().filter(|info| info.log == 1).map(|info| info.count).sum::<u64>();
    for round in 1..=2 {
        for n in 0..10 {
            store.append(&event(n)).unwrap();
        }
        let deadline = Instant::now() + Duration::from_secs(60);
        while sealed() < round * 10 {
            assert!(Instant::now() < deadline, "round {round}: {} of {} are sealed", sealed(), round * 10);
            std::thread::yield_now();
        }
    }
    store.close().unwrap();
    assert!(verify::verify(&path, Options::default()).unwrap().ok);
}

/// A profile is what it says, and does not depend on which one there was before.
#[test]
fn a_profile_sets_all_that_profiles_are_about() {
    let all = [Profile::Balanced, Profile::HighTraffic, Profile::LowLatency, Profile::Storage];
    let of = |profile| Config::new("store").profile(profile);
    for profile in all {
        for before in all {
            assert_eq!(format!("{:?}", of(before).profile(profile)), format!("{:?}", of(profile)), "{before:?}, {profile:?}");
        }
    }
    assert_eq!(format!("{:?}", of(Profile::Balanced)), format!("{:?}", Config::new("store")));
    let [balanced, traffic, latency, storage] = all.map(of);
    let batched = Durability::Batched { events: 65_536, interval: Duration::from_millis(5) };
    assert_eq!(
        [traffic.durability, balanced.durability, latency.durability],
        [batched, Durability::Immediate, Durability::Immediate]
    );
    assert_eq!((traffic.lanes.normal.bytes, balanced.lanes.normal.bytes), (16 << 20, 4 << 20));
    let sealed_from = [&balanced, &traffic, &latency, &storage].map(|config| config.sealing.journal_bytes >> 20);
    assert_eq!(sealed_from, [192, 512, 32, 64]);
    assert_eq!([&balanced, &traffic, &latency, &storage].map(|config| config.sealing.level), [1, 1, 1, 9]);
    assert_eq!(storage.sealing.interval, Duration::from_secs(60));
    // What it is not about stays.
    let mut config = Config::new("store");
    config.sealing.background = false;
    config.disk_reserve_bytes = 7;
    let config = config.profile(Profile::Storage);
    assert!(!config.sealing.background && config.disk_reserve_bytes == 7);
}

/// Every profile is a store like any other: what differs is when things happen.
#[test]
fn every_profile_records_seals_and_finds() {
    for profile in [Profile::Balanced, Profile::HighTraffic, Profile::LowLatency, Profile::Storage] {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(Config::new(dir.path().join("store")).profile(profile)).unwrap();
        for n in 0..2_000 {
            assert!(store.emit(&event(n)).is_ok());
        }
        store.seal().unwrap();
        let reader = store.reader().unwrap();
        let query = Query::new(&"details.n:1234".parse().unwrap(), 0).unwrap();
        assert_eq!(reader.count(&query).unwrap().matched, 1, "{profile:?}");
        store.close().unwrap();
        assert!(verify::verify(dir.path().join("store"), Options::default()).unwrap().ok);
    }
}

/// Who asks late gets the receipt all the same: of a large frame it is read back, from wherever its event is by then.
#[test]
fn a_receipt_can_be_had_after_its_event_was_sealed() {
    let machine = Scenario::sealing(7).machine();
    let store = Store::open_in(Scenario::config(), machine.world()).unwrap();
    let tickets: Vec<_> = (0..6_000).map(|n| store.emit(&event(n)).unwrap()).collect();
    store.flush().unwrap();
    store.seal().unwrap();
    store.append(&event(6_000)).unwrap();
    store.seal().unwrap();
    for (nth, ticket) in tickets.into_iter().enumerate().step_by(500) {
        let receipt = ticket.wait().unwrap();
        assert_eq!((receipt.log, receipt.seq), (1, Some(nth as u64)));
        assert_eq!(receipt.leaf, Some(store.reader().unwrap().record(1, nth as u64).unwrap().unwrap().leaf()));
    }
}
