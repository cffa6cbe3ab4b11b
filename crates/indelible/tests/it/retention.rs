//! What a policy lets go is gone, what is held stays, and of the rest nothing becomes another: no position, leaf, proof or answer.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Duration;

use indelible::backup::{self, BackupOptions, CheckOptions};
use indelible::search::Query;
use indelible::verify::{self, Code, Level, Options, Report};
use indelible::{
    Class, Config, Draft, ErrorKind, ExpireOptions, Expired, Minimum, PlanOptions, Reader, Retention, SignedCheckpoint, Store,
};
use indelible_testkit::scenario::Scenario;
use indelible_testkit::{CrashPolicy, Fault, OpKind, SimWorld, What, errno};

use crate::durability::long;

const DAY: Duration = Duration::from_secs(86_400);
const EVENTS_A_DAY: u64 = 300;

fn config() -> Config {
    let mut config = Scenario::config();
    config.sealing.background = false;
    config.sealing.rows_max = 2_048;
    config.retention = Some(Retention { minima: Vec::new(), ..Retention::default() }.keep("main", 10).keep("telemetry", 3));
    config
}

fn dir() -> PathBuf {
    Scenario::dir()
}

/// Opens a store and records so many days of events: n is by actor `u<n % 50>`, and every tenth is telemetry.
fn days(machine: &SimWorld, first: u64, count: u64) -> Vec<SignedCheckpoint> {
    let store = Store::open_in(config(), machine.world()).unwrap();
    let mut checkpoints = Vec::new();
    for n in first * EVENTS_A_DAY..(first + count) * EVENTS_A_DAY {
        let (actor, tenant) = (format!("u{}", n % 50), format!("t{}", n % 3));
        let class = if n % 10 == 0 { Class::Telemetry } else { Class::Normal };
        let draft = Draft::new("door.open").actor(&actor).tenant(&tenant).class(class).detail("n", n);
        store.emit(&draft).unwrap();
        if n % EVENTS_A_DAY == EVENTS_A_DAY - 1 {
            store.flush().unwrap();
            checkpoints.push(store.checkpoint(1).unwrap());
            store.seal().unwrap();
            machine.clock.advance(DAY);
        }
    }
    store.close().unwrap();
    checkpoints
}

fn expire(machine: &SimWorld, anchors: &[&SignedCheckpoint]) -> Vec<Expired> {
    let store = Store::open_in(config(), machine.world()).unwrap();
    let anchors = anchors.iter().map(|checkpoint| checkpoint.note.clone()).collect();
    let expired = store.expire(&ExpireOptions { anchors, ..ExpireOptions::default() }).unwrap().expired;
    store.close().unwrap();
    expired
}

fn verify_of(machine: &SimWorld, against: &[&SignedCheckpoint]) -> Report {
    let against = against.iter().map(|checkpoint| checkpoint.note.clone()).collect();
    verify::verify_in(dir(), Options { against, ..Options::default() }, &machine.world()).unwrap()
}

/// The numbers `n` of all events that a query finds, ascending.
fn found(reader: &Reader, query: &str) -> Vec<u64> {
    let query = Query::new(&query.parse().unwrap(), 0).unwrap();
    let mut numbers = Vec::new();
    let summary = reader
        .search(&query, &mut |view| {
            let details = view.record.field(indelible::Field::Details).unwrap();
            let digits: Vec<u8> = details.iter().copied().filter(u8::is_ascii_digit).collect();
            numbers.push(String::from_utf8(digits).unwrap().parse().unwrap());
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(summary.incomplete, None);
    assert_eq!(reader.count(&query).unwrap().matched, numbers.len() as u64);
    numbers.sort_unstable();
    numbers
}

#[test]
fn what_has_expired_is_gone_and_the_rest_is_as_it_was() {
    let machine = SimWorld::new(1);
    let checkpoints = days(&machine, 0, 20);
    let reader = Reader::open_in(dir(), machine.world()).unwrap();
    let before: Vec<Vec<u8>> = (0..5_400).map(|seq| reader.record(1, seq).unwrap().unwrap().bytes).collect();
    let proof = reader.prove(1, 5_000).unwrap();
    let plan = reader.plan_expiry(PlanOptions::default()).unwrap();
    let main = plan.logs.iter().find(|log| log.log == 1).unwrap();
    // Ten days of 270 are due; what expires is whole groups.
    assert_eq!((main.below, main.events, main.held), (2_560, 2_560, 0));
    assert_eq!(plan.logs.iter().find(|log| log.log == 2).unwrap().below, 256);

    let expired = expire(&machine, &[&checkpoints[2]]);
    let all: Vec<_> = expired.iter().map(|expired| (expired.log, expired.below, expired.removed, expired.held)).collect();
    assert_eq!(all, [(1, 2_560, 2_560, 0), (2, 256, 256, 0)]);
    // Readers that were open go on.
    for reader in [reader, Reader::open_in(dir(), machine.world()).unwrap()] {
        for seq in [0, 1, 255, 256, 2_559] {
            let error = reader.record(1, seq).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Expired, "{error}");
            assert!(error.to_string().contains("PRUNED") && error.hint().unwrap().contains("show control:"));
            assert_eq!(reader.prove(1, seq).unwrap_err().kind(), ErrorKind::Expired);
        }
        for seq in 2_560..5_400 {
            assert_eq!(reader.record(1, seq).unwrap().unwrap().bytes, before[usize::try_from(seq).unwrap()]);
        }
        assert_eq!(reader.prove(1, 5_000).unwrap().hashes, proof.hashes);
        machine.disk.tamper(&dir().join("tree/1"), &[0; 32]).unwrap();
        assert_eq!(reader.prove(1, 5_000).unwrap().hashes, proof.hashes);
        let rest = found(&reader, "action:door.open");
        let newer: Vec<u64> = (0..6_000).filter(|n| if n % 10 == 0 { n / 10 >= 256 } else { n - n / 10 > 2_560 }).collect();
        assert_eq!(rest, newer);
    }
    let report = verify_of(&machine, &[&checkpoints[2], &checkpoints[15]]);
    assert!(report.ok && report.anchored, "{:?}", report.findings);
    let pruned: Vec<_> = report.findings.iter().filter(|finding| finding.code == Code::Expired).collect();
    assert_eq!(pruned.len(), 2, "{:?}", report.findings);
    assert!(pruned.iter().all(|finding| finding.level == Level::Note && finding.message.contains("PRUNED")));
    // A checkpoint in between that nobody named can neither be confirmed nor refuted, and does not anchor.
    let report = verify_of(&machine, &[&checkpoints[4]]);
    assert!(report.ok && !report.anchored, "{:?}", report.findings);
    assert!(report.findings.iter().any(|finding| (finding.code, finding.level) == (Code::Expired, Level::Warn)));

    // Opening reads nothing of it, everything goes on, and expires again; nothing is done twice.
    let more = days(&machine, 20, 3);
    assert!(verify_of(&machine, &[&checkpoints[19], &more[2]]).ok);
    let again = expire(&machine, &[]);
    assert_eq!(again[0].below, 3_328, "{again:?}");
    assert_eq!(expire(&machine, &[]), []);
    let report = verify_of(&machine, &[&checkpoints[2], &more[2]]);
    assert!(report.ok && report.anchored, "{:?}", report.findings);
    let names = machine.world().disk.list(&dir().join("segments")).unwrap();
    assert!(names.iter().all(|name| !name.ends_with(".new") && !name.ends_with(".old")), "{names:?}");
    assert_eq!(names.iter().filter(|name| name.ends_with(".expired")).count(), 2);
}

#[test]
fn what_is_held_stays_until_it_is_released() {
    let machine = SimWorld::new(2);
    let checkpoints = days(&machine, 0, 10);
    let store = Store::open_in(config(), machine.world()).unwrap();
    let hold = store.hold("case 7", "actor.id:u7 tenant:t1", "a court asks").unwrap();
    assert_eq!(store.hold("case 7", "actor.id:u8", "").unwrap_err().kind(), ErrorKind::Rejected);
    assert_eq!(store.hold("case 8", "actor.id:(", "").unwrap_err().kind(), ErrorKind::Rejected);
    assert_eq!(store.release("case 9", "").unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(store.reader().unwrap().holds().unwrap(), [hold]);
    store.close().unwrap();
    let more = days(&machine, 10, 10);
    let reader = Reader::open_in(dir(), machine.world()).unwrap();
    let all = found(&reader, "actor.id:u7 tenant:t1");
    let held: Vec<u64> = (0..2_560)
        .filter(|seq| {
            let n = seq + seq / 9 + 1;
            n % 50 == 7 && n % 3 == 1
        })
        .collect();
    let kept: Vec<_> =
        held.iter().map(|seq| (*seq, reader.record(1, *seq).unwrap().unwrap().bytes, reader.prove(1, *seq).unwrap())).collect();
    assert!(kept.len() > 10);

    let expired = expire(&machine, &[]);
    assert_eq!((expired[0].below, expired[0].held), (2_560, kept.len() as u64));
    assert_eq!(found(&reader, "actor.id:u7 tenant:t1"), all);
    assert!(found(&reader, "actor.id:u8 details.n:8").is_empty());
    for (seq, bytes, proof) in &kept {
        assert_eq!(reader.record(1, *seq).unwrap().unwrap().bytes, *bytes);
        assert_eq!(reader.prove(1, *seq).unwrap().hashes, proof.hashes);
        let beside = reader.record(1, seq + 1).unwrap_err();
        assert_eq!(beside.kind(), ErrorKind::Expired);
    }
    let report = verify_of(&machine, &[&more[9]]);
    assert!(report.ok && report.anchored, "{:?}", report.findings);
    // An old checkpoint within a group that is still there is one to compare with.
    let within = checkpoints.iter().filter(|checkpoint| verify_of(&machine, &[checkpoint]).anchored).count();
    assert!(within > 0);

    // What is not held any more goes, and what is held by another stays.
    let store = Store::open_in(config(), machine.world()).unwrap();
    store.hold("case 8", "details.n:57", "another").unwrap();
    store.release("case 7", "settled").unwrap();
    let expired = store.expire(&ExpireOptions::default()).unwrap().expired;
    assert_eq!((expired[0].below, expired[0].held), (2_560, 0), "{expired:?}");
    store.close().unwrap();
    assert!(found(&reader, "actor.id:u7").iter().all(|n| *n > 2_560));
    assert!(verify_of(&machine, &[&more[9]]).ok);
    assert!(reader.segments().unwrap().iter().all(|info| info.log != 1 || info.first_seq >= 2_560));
}

/// The policy leads events to logs when they are recorded; what was there before lies where it lies, and the law asks for it all the same.
#[test]
fn what_a_framework_asks_for_stays_until_its_time_is_over() {
    let machine = SimWorld::new(12);
    let mut config = config();
    let policy = Retention { minima: Vec::new(), ..Retention::default() }.keep("main", 1).keep("telemetry", 1).keep("long", 20);
    let with = |minima: &[(&str, u32)]| {
        let minima = minima.iter().map(|(framework, days)| Minimum { framework: (*framework).into(), days: *days });
        Retention { minima: minima.collect(), ..policy.clone() }
    };
    config.retention = None;
    let record = |config: &Config, n: u64| {
        let store = Store::open_in(config.clone(), machine.world()).unwrap();
        for n in n..n + 600 {
            let frameworks: &[&str] = if n % 100 == 7 { &["soc2", "HIPAA"] } else { &["soc2"] };
            let class = if n % 2 == 0 { Class::Normal } else { Class::Telemetry };
            store.emit(&Draft::new("door.open").frameworks(frameworks).class(class).detail("n", n)).unwrap();
        }
        store.close().unwrap();
    };
    record(&config, 0);
    config.retention = Some(with(&[("hipaa", 12)]));
    let expire = |config: &Config| {
        let store = Store::open_in(config.clone(), machine.world()).unwrap();
        let expiration = store.expire(&ExpireOptions::default()).unwrap();
        store.close().unwrap();
        expiration
    };
    for _ in 0..10 {
        machine.clock.advance(DAY);
        record(&config, 1_000);
    }
    let expiration = expire(&config);
    let telemetry = expiration.plan.logs.iter().find(|log| log.log == 2).unwrap();
    assert_eq!((telemetry.held, telemetry.asked), (0, 6), "{telemetry:?}");
    let asked: Vec<u64> = (0..600).filter(|n| n % 100 == 7).collect();
    let reader = Reader::open_in(dir(), machine.world()).unwrap();
    let first = |reader: &Reader| found(reader, "log:2").into_iter().filter(|n| *n < 600).collect::<Vec<_>>();
    assert_eq!(first(&reader), asked);
    assert!(verify_of(&machine, &[]).ok);
    assert_eq!(expire(&config).expired, []);
    // Another policy may ask for less, or for more, of what is still there.
    for _ in 0..3 {
        machine.clock.advance(DAY);
        record(&config, 1_000);
    }
    config.retention = Some(with(&[("hipaa", 20)]));
    assert_eq!(expire(&config).expired.iter().find(|expired| expired.log == 2).map(|expired| expired.held), Some(6));
    assert_eq!(first(&reader), asked);
    config.retention = Some(with(&[("hipaa", 12)]));
    assert!(!expire(&config).expired.is_empty());
    assert!(first(&reader).is_empty());
    assert!(verify_of(&machine, &[]).ok);
}

/// Whatever call is the last before a crash, and whatever call fails: a log has expired or it has not, and what is held is there.
#[test]
fn a_crash_at_any_call_of_expiry_leaves_all_of_it_or_none() {
    let before = SimWorld::new(3);
    let checkpoints = days(&before, 0, 12);
    let store = Store::open_in(config(), before.world()).unwrap();
    store.hold("case", "actor.id:u7", "").unwrap();
    store.close().unwrap();
    let whole = found(&Reader::open_in(dir(), before.world()).unwrap(), "");
    let left = {
        let machine = copy(&before);
        expire(&machine, &[]);
        found(&Reader::open_in(dir(), machine.world()).unwrap(), "")
    };
    assert!(left.len() < whole.len());

    let attempt = |machine: &SimWorld| {
        let store = Store::open_in(config(), machine.world())?;
        machine.disk.clear_ops();
        let expired = store.expire(&ExpireOptions::default());
        // Not closed: it crashes.
        std::mem::forget(store);
        expired
    };
    let check = |machine: &SimWorld, story: &dyn std::fmt::Display| {
        let report = verify_of(machine, &[&checkpoints[11]]);
        assert!(report.ok, "{story}: {:?}", report.findings);
        // Opening it again leaves nothing over, and what was begun is done.
        drop(Store::open_in(config(), machine.world()).unwrap());
        let names = machine.world().disk.list(&dir().join("segments")).unwrap();
        assert!(names.iter().all(|name| !name.ends_with(".new") && !name.ends_with(".old")), "{story}: {names:?}");
        let reader = Reader::open_in(dir(), machine.world()).unwrap();
        let manifest = reader.expired().unwrap();
        let kept = names.iter().filter(|name| name.ends_with(".expired")).count();
        assert_eq!(kept, manifest.len(), "{story}: {names:?}");
        let now = found(&reader, "");
        let main_gone = manifest.iter().any(|info| info.log == 1);
        let telemetry_gone = manifest.iter().any(|info| info.log == 2);
        let is_left = |n: &u64| left.binary_search(n).is_ok();
        let expected = whole.iter().copied().filter(|n| is_left(n) || !(if n % 10 == 0 { telemetry_gone } else { main_gone }));
        assert_eq!(now, expected.collect::<Vec<_>>(), "{story}");
        expire(machine, &[]);
        assert_eq!(found(&Reader::open_in(dir(), machine.world()).unwrap(), ""), left, "{story}");
        assert!(verify_of(machine, &[&checkpoints[11]]).ok);
    };

    let machine = copy(&before);
    attempt(&machine).unwrap();
    let ops = machine.disk.ops();
    let counts = |kind: OpKind| ops.iter().filter(|op| op.kind == kind).count() as u64;
    let changes: Vec<u64> = (0..ops.len() as u64).filter(|at| ops[usize::try_from(*at).unwrap()].kind.changes_disk()).collect();
    assert!(changes.len() > 20, "{}", changes.len());
    for (nth, at) in changes.iter().enumerate() {
        for policy in CrashPolicy::ALL.into_iter().cycle().skip(nth).take(if long() { 4 } else { 1 }) {
            let machine = copy(&before);
            let store = Store::open_in(config(), machine.world()).unwrap();
            machine.disk.clear_ops();
            machine.disk.fault(Fault::at(*at, What::Crash));
            let _ = store.expire(&ExpireOptions::default());
            std::mem::forget(store);
            let after = SimWorld { disk: machine.disk.crashed_copy(policy, nth as u64), ..copy(&before) };
            check(&after, &format!("crash before call {at} ({:?}), {policy:?}", ops[usize::try_from(*at).unwrap()]));
        }
    }
    for kind in [OpKind::Write, OpKind::Sync, OpKind::Open, OpKind::Rename, OpKind::Remove, OpKind::SyncDir] {
        for index in 0..counts(kind) {
            let what =
                [What::Error(errno::EIO), What::Error(errno::ENOSPC), What::LandedButFailed][usize::try_from(index % 3).unwrap()];
            let machine = copy(&before);
            let store = Store::open_in(config(), machine.world()).unwrap();
            machine.disk.fault(Fault::nth(kind, index, what));
            let _ = store.expire(&ExpireOptions::default());
            drop(store);
            let after = SimWorld {
                disk: machine.disk.crashed_copy(CrashPolicy::ALL[usize::try_from(index % 4).unwrap()], index),
                ..copy(&before)
            };
            check(&after, &format!("{kind:?} {index} fails ({what:?})"));
        }
    }
}

#[test]
fn what_rots_as_it_is_written_does_not_take_the_place_of_events() {
    let before = SimWorld::new(11);
    days(&before, 0, 12);
    let store = Store::open_in(config(), before.world()).unwrap();
    store.hold("case", "actor.id:u7", "").unwrap();
    store.close().unwrap();
    let whole = found(&Reader::open_in(dir(), before.world()).unwrap(), "");
    for (part, at) in [(".parquet", 300), (".expired", 30), (".state", 30)] {
        let machine = copy(&before);
        let store = Store::open_in(config(), machine.world()).unwrap();
        store.seal().unwrap();
        machine.disk.fault(Fault::nth(OpKind::Write, 0, What::Rots(at)).on(part));
        assert_eq!(store.expire(&ExpireOptions::default()).unwrap_err().kind(), ErrorKind::Io, "{part}");
        assert_eq!(found(&store.reader().unwrap(), ""), whole, "{part}");
        assert!(!store.expire(&ExpireOptions::default()).unwrap().expired.is_empty(), "{part}");
        store.close().unwrap();
        let report = verify_of(&machine, &[]);
        assert!(report.ok, "{part}: {:?}", report.findings);
    }
}

/// The same machine once more.
fn copy(machine: &SimWorld) -> SimWorld {
    let twin = SimWorld::new(9);
    twin.clock.set_wall_ns(machine.world().clock.wall_ns());
    SimWorld { disk: machine.disk.crashed_copy(CrashPolicy::None, 0), ..twin }
}

#[test]
fn a_clock_that_jumps_lets_nothing_expire_early() {
    let machine = SimWorld::new(4);
    let checkpoints = days(&machine, 0, 5);
    let whole = found(&Reader::open_in(dir(), machine.world()).unwrap(), "");
    let right = machine.world().clock.wall_ns();
    let ahead = right + 3_650 * i64::try_from(DAY.as_nanos()).unwrap();
    // Ten years ahead: before anything was recorded then, and after.
    machine.clock.set_wall_ns(ahead);
    let plan = Reader::open_in(dir(), machine.world()).unwrap().plan_expiry(PlanOptions::default()).unwrap();
    assert_eq!(plan.doubted, Some(ahead));
    assert_eq!(expire(&machine, &[]), []);
    days(&machine, 5, 1);
    assert_eq!(expire(&machine, &[]), []);
    let reader = Reader::open_in(dir(), machine.world()).unwrap();
    assert_eq!(found(&reader, "").len(), whole.len() + 300);
    // Back again, it goes on; and somebody may vouch for the time, who then stands in the log.
    machine.clock.set_wall_ns(right);
    days(&machine, 6, 1);
    assert_eq!(expire(&machine, &[]), []);
    machine.clock.set_wall_ns(ahead);
    let store = Store::open_in(config(), machine.world()).unwrap();
    let options = ExpireOptions { plan: PlanOptions { trust_clock: true }, ..ExpireOptions::default() };
    let expired = store.expire(&options).unwrap().expired;
    store.close().unwrap();
    assert_eq!(expired.iter().find(|expired| expired.log == 1).unwrap().below, 1_280, "{expired:?}");
    let entry = reader.record(0, expired[0].entry).unwrap().unwrap();
    assert!(String::from_utf8_lossy(entry.record().unwrap().control().unwrap()).contains("\"trusting\""));
    assert!(verify_of(&machine, &[&checkpoints[4]]).ok);
}

/// However far a clock is ahead, in one jump or in several, and though events are recorded while it is.
#[test]
fn a_clock_that_jumps_by_some_days_lets_nothing_expire_early() {
    let day = i64::try_from(DAY.as_nanos()).unwrap();
    for steps in [&[2][..], &[6], &[6, 6], &[3, 5, 6, 7, 7, 7]] {
        let machine = SimWorld::new(13);
        days(&machine, 0, 9);
        assert_eq!(expire(&machine, &[]), []);
        let whole = found(&Reader::open_in(dir(), machine.world()).unwrap(), "").len();
        let right = machine.world().clock.wall_ns();
        let mut ahead = right;
        for (step, recorded) in steps.iter().zip(1..) {
            ahead += step * day;
            machine.clock.set_wall_ns(ahead);
            let plan = Reader::open_in(dir(), machine.world()).unwrap().plan_expiry(PlanOptions::default()).unwrap();
            assert!(plan.doubted == Some(ahead) && plan.now <= right, "{steps:?}: {plan:?}");
            assert_eq!(expire(&machine, &[]), [], "{steps:?}");
            let store = Store::open_in(config(), machine.world()).unwrap();
            store.append(&Draft::new("door.open").detail("n", 9_999)).unwrap();
            store.close().unwrap();
            assert_eq!(expire(&machine, &[]), [], "{steps:?}");
            assert_eq!(found(&Reader::open_in(dir(), machine.world()).unwrap(), "").len(), whole + recorded);
        }
        // Back again, it goes on, and what is due is gone in time.
        machine.clock.set_wall_ns(right);
        assert_eq!(expire(&machine, &[]), []);
        days(&machine, 9, 5);
        let expired = expire(&machine, &[]);
        assert_eq!(expired.iter().find(|expired| expired.log == 1).map(|expired| expired.below), Some(1_024), "{steps:?}");
        assert!(verify_of(&machine, &[]).ok);
    }
}

/// Whoever cuts the beginning of a log off, or changes what stays of it, is found out.
#[test]
fn a_beginning_that_goes_without_an_entry_is_found() {
    let machine = SimWorld::new(5);
    let checkpoints = days(&machine, 0, 20);
    let store = Store::open_in(config(), machine.world()).unwrap();
    store.hold("case", "actor.id:u7", "").unwrap();
    store.close().unwrap();
    expire(&machine, &[&checkpoints[2]]);
    let report = verify_of(&machine, &[&checkpoints[19]]);
    assert!(report.ok, "{:?}", report.findings);
    let manifest = dir().join("manifest");
    let whole = String::from_utf8(machine.disk.contents(&manifest).unwrap()).unwrap();
    let codes = |machine: &SimWorld| {
        let report = verify_of(machine, &[&checkpoints[19]]);
        let failed = report.findings.into_iter().filter(|finding| finding.level == Level::Fail);
        failed.map(|finding| finding.code).collect::<Vec<_>>()
    };
    let put = |machine: &SimWorld, path: &std::path::Path, bytes: &[u8]| {
        let _ = machine.world().disk.remove(path);
        machine.world().disk.open(path, indelible::world::Open::CreateNew).unwrap();
        machine.disk.tamper(path, bytes).unwrap();
    };

    // Another entry's number.
    let entry = Reader::open_in(dir(), machine.world()).unwrap().expired().unwrap()[0].entry;
    let other = copy(&machine);
    put(&other, &manifest, whole.replace(&format!("\"entry\":{entry}"), "\"entry\":0").as_bytes());
    assert!(codes(&other).contains(&Code::ExpiredMismatch), "{:?}", codes(&other));

    // What stays is not there, or is another.
    let reader = Reader::open_in(dir(), machine.world()).unwrap();
    let info = reader.expired().unwrap().into_iter().find(|info| info.log == 1).unwrap();
    let path = dir().join("segments").join(&info.file);
    let kept = machine.disk.contents(&path).unwrap();
    for at in [9, 20, 40, kept.len() / 2, kept.len() - 1] {
        let other = copy(&machine);
        let mut bytes = kept.clone();
        bytes[at] ^= 1;
        put(&other, &path, &bytes);
        assert!(codes(&other).contains(&Code::ExpiredMismatch), "{at}: {:?}", codes(&other));
        let reader = Reader::open_in(dir(), other.world()).unwrap();
        assert_eq!(reader.record(1, 2_600).unwrap().unwrap().seq, 2_600);
    }
    // With a digest that fits: the entry in log 0 knows better.
    let other = copy(&machine);
    let mut bytes = kept.clone();
    let at = bytes.windows(2).position(|pair| pair == b"t1").unwrap() + 2;
    bytes[at] ^= 1;
    let end = bytes.len() - 32;
    let digest = indelible::format::sha256::sha256(&bytes[..end]);
    bytes[end..].copy_from_slice(&digest.0);
    put(&other, &path, &bytes);
    let base64 = |hash: &indelible::Hash| base64::Engine::encode(&base64::engine::general_purpose::STANDARD, hash.0);
    let forged = indelible::format::sha256::sha256(&bytes);
    put(&other, &manifest, whole.replace(&base64(&info.digest), &base64(&forged)).as_bytes());
    assert!(codes(&other).contains(&Code::ExpiredMismatch), "{:?}", codes(&other));

    // A sparse segment that goes, or is another.
    let sparse = reader.segments().unwrap().into_iter().find(|segment| segment.log == 1 && segment.first_seq < 2_560).unwrap();
    let path = dir().join("segments").join(&sparse.file);
    let other = copy(&machine);
    other.world().disk.remove(&path).unwrap();
    assert!(codes(&other).contains(&Code::SegmentDamaged), "{:?}", codes(&other));
    let bytes = machine.disk.contents(&path).unwrap();
    for at in (200..bytes.len()).step_by(bytes.len() / 7) {
        let other = copy(&machine);
        let mut bytes = bytes.clone();
        bytes[at] ^= 0x10;
        put(&other, &path, &bytes);
        assert!(!codes(&other).is_empty(), "{at}");
    }
}

#[test]
fn events_go_to_the_log_that_the_policy_says() {
    let machine = SimWorld::new(6);
    let mut config = Scenario::config();
    config.retention = None;
    let store = Store::open_in(config.clone(), machine.world()).unwrap();
    store.append(&Draft::new("a.b").tenant("acme")).unwrap();
    assert_eq!(store.reader().unwrap().plan_expiry(PlanOptions::default()).unwrap_err().kind(), ErrorKind::NotFound);
    store.close().unwrap();
    let policy = Retention::default().keep("acme", 30).tenant("acme", "acme");
    config.retention = Some(policy.clone());
    let store = Store::open_in(config.clone(), machine.world()).unwrap();
    let log = |draft: &Draft<'_>| store.append(draft).unwrap().log;
    assert_eq!(log(&Draft::new("a.b").tenant("acme")), 3);
    assert_eq!(log(&Draft::new("a.b").tenant("acme").frameworks(&["HIPAA"])), 1);
    assert_eq!(log(&Draft::new("a.b").tenant("other")), 1);
    let size = store.heads()[0].size;
    store.close().unwrap();
    // The policy stays, without being named or when it is named again; and another takes its place.
    for wanted in [None, Some(policy)] {
        config.retention = wanted;
        let store = Store::open_in(config.clone(), machine.world()).unwrap();
        assert_eq!(store.append(&Draft::new("a.b").tenant("acme")).unwrap().log, 3);
        assert!(store.heads()[0].size <= size + 2);
        store.close().unwrap();
    }
    config.retention = Some(Retention::default());
    let store = Store::open_in(config.clone(), machine.world()).unwrap();
    assert_eq!(store.append(&Draft::new("a.b").tenant("acme")).unwrap().log, 1);
    store.close().unwrap();
    config.retention = Some(Retention::default().keep("main", 5).keep("telemetry", 5));
    assert_eq!(Store::open_in(config, machine.world()).unwrap_err().kind(), ErrorKind::Rejected);
    let report = verify_of(&machine, &[]);
    assert!(report.ok, "{:?}", report.findings);
}

#[test]
fn a_crash_while_a_policy_is_taken_up_leaves_a_store_that_takes_it_up() {
    let machine = SimWorld::new(7);
    let mut config = Scenario::config();
    let store = Store::open_in(config.clone(), machine.world()).unwrap();
    store.append(&Draft::new("a.b").tenant("acme")).unwrap();
    store.close().unwrap();
    config.retention = Some(Retention::default().keep("acme", 30).tenant("acme", "acme"));
    let opened = copy(&machine);
    opened.disk.clear_ops();
    drop(Store::open_in(config.clone(), opened.world()).unwrap());
    let count = opened.disk.op_count() as u64;
    for at in 0..count {
        for policy in CrashPolicy::ALL {
            let machine = copy(&machine);
            machine.disk.fault(Fault::at(at, What::Crash));
            drop(Store::open_in(config.clone(), machine.world()));
            let after = SimWorld { disk: machine.disk.crashed_copy(policy, at), ..copy(&machine) };
            let report = verify_of(&after, &[]);
            assert!(report.ok, "{at}, {policy:?}: {:?}", report.findings);
            let store = Store::open_in(config.clone(), after.world()).unwrap();
            assert_eq!(store.append(&Draft::new("a.b").tenant("acme")).unwrap().log, 3);
            store.close().unwrap();
            let report = verify_of(&after, &[]);
            assert!(report.ok, "{at}, {policy:?}: {:?}", report.findings);
        }
    }
}

/// A trusted state that was away while its past expired cannot tell any more; the store opens, and what is newer is compared again.
#[test]
fn a_trusted_state_from_before_does_not_shut_the_store() {
    let machine = SimWorld::new(8);
    days(&machine, 0, 3);
    let identity = Reader::open_in(dir(), machine.world()).unwrap().identity().clone();
    let state = indelible::trusted_state_path("/trusted".as_ref(), &identity);
    let old = machine.disk.contents(&state).unwrap();
    days(&machine, 3, 17);
    expire(&machine, &[]);
    machine.world().disk.remove(&state).unwrap();
    machine.world().disk.open(&state, indelible::world::Open::CreateNew).unwrap();
    machine.disk.tamper(&state, &old).unwrap();
    let checkpoints = days(&machine, 20, 1);
    let against = Options { trusted_state_dir: Some("/trusted".into()), ..Options::default() };
    let report = verify::verify_in(dir(), against, &machine.world()).unwrap();
    assert!(report.ok && report.anchored, "{:?}", report.findings);
    assert!(verify_of(&machine, &[&checkpoints[0]]).ok);
}

/// Policy, holds and what has expired go along with a backup; what was taken over stays provable though it expires later.
#[test]
fn what_has_expired_is_backed_up_restored_and_expires_further() {
    let machine = SimWorld::new(9);
    let checkpoints = days(&machine, 0, 15);
    let store = Store::open_in(config(), machine.world()).unwrap();
    store.hold("case", "actor.id:u7", "").unwrap();
    store.close().unwrap();
    expire(&machine, &[]);
    let reader = Reader::open_in(dir(), machine.world()).unwrap();
    reader.backup("/backup", BackupOptions::default()).unwrap();
    let (whole, gone) = (found(&reader, ""), reader.expired().unwrap());
    assert!(!gone.is_empty());

    let mut elsewhere = config();
    elsewhere.dir = "/elsewhere/audit".into();
    elsewhere.retention = None;
    // The policy comes along; naming another one at once is no harm.
    for retention in [None, Some(Retention { minima: Vec::new(), ..Retention::default() }.keep("main", 9).keep("new", 1))] {
        let machine = copy(&machine);
        let mut config = elsewhere.clone();
        config.retention.clone_from(&retention);
        let restoring = backup::restore_in("/backup", config.clone(), CheckOptions::default(), machine.world()).unwrap();
        assert!(restoring.restored.is_some(), "{:?}", restoring.checked);
        let reader = Reader::open_in("/elsewhere/audit", machine.world()).unwrap();
        let policy = reader.identity().retention.clone().unwrap().1;
        assert_eq!(policy, retention.unwrap_or_else(config_policy));
        assert_eq!(found(&reader, ""), whole);
        assert_eq!(reader.holds().unwrap().len(), 1);
        assert_eq!(reader.record(1, 0).unwrap_err().kind(), ErrorKind::Expired);
        let verified = |machine: &SimWorld| {
            let against = vec![checkpoints[14].note.clone()];
            let options = Options { against, ..Options::default() };
            let report = verify::verify_in("/elsewhere/audit", options, &machine.world()).unwrap();
            assert!(report.ok && report.anchored, "{:?}", report.findings);
        };
        verified(&machine);
        // Longer than what was taken over is kept: its end is within an expired group.
        machine.clock.advance(DAY * 6);
        let store = Store::open_in(config.clone(), machine.world()).unwrap();
        for n in 0..600u64 {
            store.emit(&Draft::new("door.open").actor("later").detail("n", 100_000 + n)).unwrap();
        }
        store.close().unwrap();
        machine.clock.advance(DAY * 6);
        let store = Store::open_in(config.clone(), machine.world()).unwrap();
        store.append(&Draft::new("door.open").actor("later").detail("n", 200_000)).unwrap();
        machine.clock.advance(DAY * 6);
        // Nothing came for days: the clock has to be vouched for.
        assert_eq!(store.expire(&ExpireOptions::default()).unwrap().expired, []);
        let options = ExpireOptions { plan: PlanOptions { trust_clock: true }, ..ExpireOptions::default() };
        let expired = store.expire(&options).unwrap().expired;
        store.close().unwrap();
        assert!(expired.iter().any(|expired| expired.log == 1 && expired.below > 4_050), "{expired:?}");
        verified(&machine);
        assert!(found(&reader, "actor.id:u7").len() > 50);
    }
}

fn config_policy() -> Retention {
    config().retention.unwrap()
}

/// Both are events of this log, both gave the same tree: only what log 0 says tells which of them was to stay.
#[test]
fn another_event_in_the_place_of_one_that_is_held_is_found() {
    let machine = SimWorld::new(10);
    let checkpoints = days(&machine, 0, 12);
    let held = |query: &str| {
        let machine = copy(&machine);
        let store = Store::open_in(config(), machine.world()).unwrap();
        store.hold("case", query, "").unwrap();
        store.close().unwrap();
        expire(&machine, &[]);
        assert!(verify_of(&machine, &[&checkpoints[11]]).ok);
        machine
    };
    let (one, other) = (held("details.n:57"), held("details.n:58"));
    let manifest = dir().join("manifest");
    let described = |machine: &SimWorld| {
        let text = String::from_utf8(machine.disk.contents(&manifest).unwrap()).unwrap();
        let at = text.find("\"file\":\"1-000000000000-").unwrap();
        let from = text[..at].rfind('{').unwrap();
        let to = at + text[at..].find('}').unwrap();
        let name = text[at + 8..].split('"').next().unwrap().to_owned();
        (text.clone(), text[from..to].to_owned(), name)
    };
    let ((text, mine, name), (_, theirs, its_name)) = (described(&one), described(&other));
    assert!(name == its_name && mine != theirs);
    let put = |path: &std::path::Path, bytes: &[u8]| {
        one.world().disk.remove(path).unwrap();
        one.world().disk.open(path, indelible::world::Open::CreateNew).unwrap();
        one.disk.tamper(path, bytes).unwrap();
    };
    let path = dir().join("segments").join(name);
    put(&path, &other.disk.contents(&path).unwrap());
    put(&manifest, text.replace(&mine, &theirs).as_bytes());
    let report = verify_of(&one, &[&checkpoints[11]]);
    let failed: Vec<Code> =
        report.findings.iter().filter(|finding| finding.level == Level::Fail).map(|finding| finding.code).collect();
    assert_eq!(failed, [Code::ExpiredMismatch], "{:?}", report.findings);
}
