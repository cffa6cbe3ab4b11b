//! A backup is the store as it was at one moment, whatever happens while it is taken; what is restored from it is every event of that
//! moment, under a new name, saying whom it goes on from; and nothing is restored that is not what was backed up.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indelible::backup::{self, Backup, BackupOptions, CheckOptions, Checked, Restored};
use indelible::json::Document;
use indelible::world::{Open, World};
use indelible::{Config, Error, ErrorKind, Hash, Reader, Store};
use indelible_testkit::model::Ledger;
use indelible_testkit::scenario::{OnError, Scenario, restart_and_check};
use indelible_testkit::{CrashPolicy, Fault, OpKind, SimWorld, What, errno, seeds};

use crate::durability::long;
use crate::readers::event;

const BACKUP: &str = "/backup";

pub(crate) fn take(machine: &SimWorld) -> Result<Backup, Error> {
    Reader::open_in(Scenario::dir(), machine.world())?.backup(BACKUP, BackupOptions::default())
}

pub(crate) fn check(machine: &SimWorld) -> Checked {
    backup::check_in(BACKUP, CheckOptions::default(), &machine.world()).unwrap()
}

/// Restores into the place of the store; `config` as the scenario opens stores.
pub(crate) fn restore(machine: &SimWorld) -> Result<Restored, Error> {
    let restoring = backup::restore_in(BACKUP, Scenario::config(), CheckOptions::default(), machine.world())?;
    Ok(restoring.restored.unwrap_or_else(|| panic!("{:?}", restoring.checked)))
}

/// Another machine, onto whose disk the backup was carried and nothing else.
pub(crate) fn carried(from: &SimWorld, seed: u64) -> SimWorld {
    let machine = SimWorld::new(seed ^ 0x5EED);
    machine.clock.advance(Duration::from_secs(3_600));
    copy_tree(&from.world(), &machine.world(), Path::new(BACKUP));
    machine
}

fn copy_tree(from: &World, to: &World, path: &Path) {
    to.disk.create_dir(path).unwrap();
    for name in from.disk.list(path).unwrap() {
        let path = path.join(name);
        let Ok(file) = from.disk.open(&path, Open::Read) else {
            copy_tree(from, to, &path);
            continue;
        };
        let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
        file.read_at(&mut bytes, 0).unwrap();
        let copy = to.disk.open(&path, Open::CreateNew).unwrap();
        copy.write_at(&[std::io::IoSlice::new(&bytes)], 0).unwrap();
        copy.sync_data().unwrap();
    }
    to.disk.sync_dir(path).unwrap();
    to.disk.sync_dir(&indelible::world::parent(path)).unwrap();
}

fn copy_of(machine: &SimWorld, seed: u64) -> SimWorld {
    SimWorld { disk: machine.disk.crashed_copy(CrashPolicy::All, seed), ..SimWorld::new(seed ^ 0xC0) }
}

/// Every position of every log: its leaf and its bytes.
type Everything = BTreeMap<(u32, u64), (Hash, Vec<u8>)>;

fn everything(dir: &Path, world: World) -> Everything {
    let reader = Reader::open_in(dir, world).unwrap();
    let mut places = Vec::new();
    let scan = reader.records(&mut |position| {
        places.push(((position.log, position.seq), position.record.bytes().to_vec()));
        ControlFlow::Continue(())
    });
    assert!(scan.unwrap().complete);
    let leaf = |(log, seq): (u32, u64)| reader.record(log, seq).unwrap().unwrap().leaf();
    places.into_iter().map(|(place, bytes)| (place, (leaf(place), bytes))).collect()
}

/// A store with a past, on a machine: sessions, seals, kills.
fn with_past(seed: u64) -> (SimWorld, Ledger) {
    let scenario = Scenario::sealing(seed);
    let machine = scenario.machine();
    let outcome = scenario.run(&machine, OnError::Stop);
    assert!(outcome.failed.is_empty() && outcome.contradictions.is_empty(), "{outcome:?}");
    (machine, outcome.ledger)
}

/// The files that `backup.json` names, and those that are there.
fn files_of(machine: &SimWorld) -> (BTreeSet<String>, BTreeSet<String>) {
    let contents = machine.disk.contents(Path::new("/backup/backup.json")).unwrap();
    let mut document = Document::new();
    let root = document.parse(&contents, &indelible::json::Limits::default()).unwrap();
    let named = root.get("files").unwrap().elements().map(|file| file.get("sha256").unwrap().as_str().unwrap().into_owned());
    (named.collect(), machine.world().disk.list(Path::new("/backup/files")).unwrap().into_iter().collect())
}

/// The object that holds a file of the store.
pub(crate) fn object_of(machine: &SimWorld, part: &str) -> PathBuf {
    let contents = machine.disk.contents(Path::new("/backup/backup.json")).unwrap();
    let mut document = Document::new();
    let root = document.parse(&contents, &indelible::json::Limits::default()).unwrap();
    let file = root.get("files").unwrap().elements().find(|file| file.get("file").unwrap().as_str().unwrap().contains(part));
    Path::new("/backup/files").join(file.unwrap().get("sha256").unwrap().as_str().unwrap().as_ref())
}

#[test]
fn what_is_restored_is_what_was_backed_up_and_the_log_goes_on() {
    for seed in seeds(3) {
        let (machine, ledger) = with_past(seed);
        let before = everything(&Scenario::dir(), machine.world());
        let old = Reader::open_in(Scenario::dir(), machine.world()).unwrap().identity().clone();
        let taken = take(&machine).unwrap();
        assert!(taken.copied_files == taken.files && taken.files > 3, "{taken:?}");
        assert!(check(&machine).is_good());
        let there = carried(&machine, seed);
        let restored = restore(&there).unwrap();
        let now = everything(&Scenario::dir(), there.world());
        assert!(before.iter().all(|(place, there)| now.get(place) == Some(there)), "seed {seed}");
        // Behind it: the entry that tells of it, and heads of the logs.
        assert!(now.len() > before.len() && now.keys().filter(|place| !before.contains_key(place)).all(|(log, _)| *log == 0));
        let told = before.keys().filter(|(log, _)| *log == 0).count() as u64;
        let entry = String::from_utf8(now[&(0, told)].1.clone()).unwrap();
        assert!(entry.contains("\"type\":\"store.restored\"") && entry.contains(&old.store_hex()), "{entry}");
        let new = &restored.identity;
        assert!(new.store != old.store && new.public_key != old.public_key && new.origin(1) != old.origin(1));
        assert_eq!(new.predecessors.last().unwrap().identity, old);
        // Keys seen, tenants, producers and positions go on; no alarm, not even after merging across the border.
        restart_and_check(there.disk.crashed_copy(CrashPolicy::None, seed), seed, &ledger).unwrap();
        restart_and_check(there.disk.crashed_copy(CrashPolicy::None, seed), seed + 1, &ledger).unwrap();
    }
}

#[test]
fn no_key_is_in_a_backup() {
    let (machine, _) = with_past(11);
    take(&machine).unwrap();
    let key = machine.disk.contents(&Scenario::dir().join("key")).unwrap();
    let secret = &key[key.len() - 20..key.len() - 1];
    let (named, there) = files_of(&machine);
    assert_eq!(named, there);
    for name in there {
        let bytes = machine.disk.contents(&Path::new("/backup/files").join(name)).unwrap();
        assert!(!bytes.windows(secret.len()).any(|piece| piece == secret));
    }
}

#[test]
fn a_second_backup_copies_only_what_is_new() {
    let machine = Scenario::sealing(12).machine();
    let store = Store::open_in(Scenario::config(), machine.world()).unwrap();
    for n in 0..6_000 {
        store.emit(&event(n)).unwrap();
    }
    store.seal().unwrap();
    store.append(&event(6_000)).unwrap();
    store.flush().unwrap();
    let first = take(&machine).unwrap();
    assert!(first.copied_files == first.files && first.files >= 6, "{first:?}");
    let again = take(&machine).unwrap();
    assert_eq!((again.copied_files, again.files, again.bytes), (0, first.files, first.bytes));
    // One more event: the journal's last file, and nothing that is sealed.
    store.append(&event(6_001)).unwrap();
    let more = take(&machine).unwrap();
    assert_eq!((more.copied_files, more.files), (1, first.files), "{more:?}");
    // Sealed: small segments, a manifest, a state. The large segment of before stays.
    store.seal().unwrap();
    let sealed = take(&machine).unwrap();
    assert!(sealed.copied_bytes * 3 < first.bytes && sealed.copied_files > 2, "{sealed:?} after {first:?}");
    let (named, there) = files_of(&machine);
    assert_eq!(named, there, "what no backup names any more is gone");
    assert!(check(&machine).is_good());
    store.append(&event(6_002)).unwrap();
    take(&machine).unwrap();
    let before = everything(&Scenario::dir(), machine.world());
    store.close().unwrap();
    // Many groups, sealed and not, without a tree file to go by.
    let there = carried(&machine, 12);
    restore(&there).unwrap();
    let now = everything(&Scenario::dir(), there.world());
    assert!(before.iter().all(|(place, what)| now.get(place) == Some(what)));
    let found = indelible::verify::verify_in(Scenario::dir(), indelible::verify::Options::default(), &there.world()).unwrap();
    assert!(found.ok, "{:?}", found.findings);
}

#[test]
fn what_rotted_in_a_backup_is_found_and_copied_anew_when_asked() {
    let (machine, _) = with_past(13);
    take(&machine).unwrap();
    let rotten = object_of(&machine, ".parquet");
    let mut bytes = machine.disk.contents(&rotten).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    machine.disk.tamper(&rotten, &bytes).unwrap();
    assert_eq!(take(&machine).unwrap().copied_files, 0, "not read again unless asked");
    assert!(!check(&machine).is_good());
    let reader = Reader::open_in(Scenario::dir(), machine.world()).unwrap();
    let taken = reader.backup(BACKUP, BackupOptions { recheck: true, progress: None }).unwrap();
    assert_eq!(taken.copied_files, 1);
    assert!(check(&machine).is_good());
}

/// Steps through the calls between which a crash may come: all of them when there is time.
fn points(machine: &SimWorld, few: usize) -> Vec<u64> {
    let all: Vec<u64> = (0u64..).zip(machine.disk.ops()).filter(|(_, op)| op.kind.changes_disk()).map(|(at, _)| at).collect();
    let step = if long() { 1 } else { all.len().div_ceil(few) };
    all.into_iter().step_by(step).collect()
}

#[test]
fn a_crash_at_any_call_of_a_backup_leaves_the_backup_before_or_the_one_after() {
    for seed in seeds(1) {
        let (machine, ledger) = with_past(seed);
        take(&machine).unwrap();
        let store = Store::open_in(Scenario::config(), machine.world()).unwrap();
        (0..40).for_each(|n| drop(store.append(&event(n)).unwrap()));
        store.seal().unwrap();
        store.append(&event(40)).unwrap();
        store.close().unwrap();
        let whole = copy_of(&machine, seed);
        take(&whole).unwrap();
        let (mut before, mut after) = (0, 0);
        for at in points(&whole, 200) {
            let broken = copy_of(&machine, seed);
            broken.disk.fault(Fault::at(at, What::Crash));
            let _ = take(&broken);
            assert!(broken.disk.is_stopped(), "seed {seed}: nothing stopped at {at}");
            for policy in CrashPolicy::ALL {
                let story = format!("seed {seed}: crash before call {at}, {policy:?}");
                let crashed = SimWorld { disk: broken.disk.crashed_copy(policy, seed ^ at), ..SimWorld::new(at) };
                let found = check(&crashed);
                assert!(found.is_good(), "{story}: {found:?}");
                let events = found.report.unwrap().events;
                let expected = ledger.acknowledged().count() as u64;
                assert!(events == expected || events == expected + 41, "{story}: {events}");
                if events == expected {
                    before += 1
                } else {
                    after += 1
                }
                // The next backup finishes, and nothing of the interrupted one stays.
                take(&crashed).unwrap_or_else(|error| panic!("{story}: {error:?}"));
                let (named, there) = files_of(&crashed);
                assert_eq!(named, there, "{story}");
                assert_eq!(check(&crashed).report.unwrap().events, expected + 41, "{story}");
            }
        }
        assert!(before > 20 && after > 0, "{before} before, {after} after");
    }
}

#[test]
fn a_crash_at_any_call_of_a_restoration_leaves_no_half_store() {
    for seed in seeds(1) {
        let (machine, ledger) = with_past(seed);
        take(&machine).unwrap();
        let target = carried(&machine, seed);
        let whole = copy_of(&target, seed);
        restore(&whole).unwrap();
        let (mut stores, mut none) = (0, 0);
        for at in points(&whole, 120) {
            let broken = copy_of(&target, seed);
            broken.disk.fault(Fault::at(at, What::Crash));
            // What a closing store does last it need not say.
            let _ = restore(&broken);
            assert!(broken.disk.is_stopped(), "seed {seed}: nothing stopped at {at}");
            let turn = usize::try_from(at).unwrap();
            let policies = if long() { CrashPolicy::ALL.to_vec() } else { vec![CrashPolicy::ALL[turn % 4]] };
            for policy in policies {
                let story = format!("seed {seed}: crash before call {at}, {policy:?}");
                let disk = broken.disk.crashed_copy(policy, seed ^ at);
                let crashed = SimWorld { disk, ..SimWorld::new(at) };
                let is_store = crashed.world().disk.exists(&Scenario::dir().join("store.json"));
                if is_store {
                    stores += 1;
                    let error = restore(&crashed).unwrap_err();
                    assert!(error.kind() == ErrorKind::Rejected && error.to_string().contains("already"), "{story}: {error:?}");
                } else {
                    none += 1;
                    let mut config = Scenario::config();
                    config.create = false;
                    let error = Store::open_in(config, crashed.world()).unwrap_err();
                    assert_eq!(error.kind(), ErrorKind::NotFound, "{story}: {error:?}");
                    // Not even by who may make one, once anything is there.
                    let crashed_again = copy_of(&crashed, at);
                    let names = crashed_again.world().disk.list(&Scenario::dir()).unwrap_or_default();
                    if !names.is_empty() {
                        let error = Store::open_in(Scenario::config(), crashed_again.world()).unwrap_err();
                        assert!(
                            error.kind() == ErrorKind::NotFound || names == ["store.json.restoring.new"],
                            "{story}: {error:?}"
                        );
                    }
                    restore(&crashed).unwrap_or_else(|error| panic!("{story}: {error:?}"));
                }
                drop(Store::open_in(Scenario::config(), crashed.world()).unwrap_or_else(|error| panic!("{story}: {error:?}")));
                expect_tidy(&crashed, &story);
                if let Err(problem) = restart_and_check(crashed.disk.crashed_copy(CrashPolicy::None, at), at, &ledger) {
                    panic!("{story}: {problem}");
                }
            }
        }
        assert!(stores > 5 && none > 40, "{stores} stores, {none} times none");
    }
}

/// One `store.restored`, no file that is nobody's.
fn expect_tidy(machine: &SimWorld, story: &str) {
    let restored = everything(&Scenario::dir(), machine.world())
        .into_iter()
        .filter(|((log, _), (_, bytes))| *log == 0 && String::from_utf8_lossy(bytes).contains("\"type\":\"store.restored\""));
    assert_eq!(restored.count(), 1, "{story}");
    let disk = &machine.world().disk;
    let list = |path: &str| disk.list(&Scenario::dir().join(path)).unwrap();
    let own = ["checkpoint", "dedupe", "journal", "key", "lock", "manifest", "segments", "status", "store.json", "tree"];
    assert_eq!(list(""), own, "{story}");
    let named = Reader::open_in(Scenario::dir(), machine.world()).unwrap().segments().unwrap();
    let there: Vec<String> = list("segments").into_iter().filter(|name| !name.ends_with(".state")).collect();
    assert_eq!(
        there,
        named.into_iter().map(|segment| segment.file).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>(),
        "{story}"
    );
    assert_eq!(list("segments").len(), there.len() + 1, "{story}");
    assert!(list("journal").iter().all(|name| name.ends_with(".wal")), "{story}: {:?}", list("journal"));
}

/// Every call may fail, and the one who asked tries again.
#[test]
fn a_failing_call_spoils_neither_backup_nor_restoration() {
    let failures = [What::Error(errno::EIO), What::Error(errno::ENOSPC), What::ShortWrite, What::LandedButFailed];
    for seed in seeds(1) {
        let (machine, ledger) = with_past(seed);
        let probe = copy_of(&machine, seed);
        take(&probe).unwrap();
        for at in points(&probe, 60) {
            let what = failures[usize::try_from(at).unwrap() % 4];
            let machine = copy_of(&machine, seed);
            machine.disk.fault(Fault::at(at, what));
            let story = format!("seed {seed}: call {at} fails ({what:?})");
            if take(&machine).is_err() {
                take(&machine).unwrap_or_else(|error| panic!("{story}: {error:?}"));
            }
            let crashed = SimWorld { disk: machine.disk.crashed_copy(CrashPolicy::None, at), ..SimWorld::new(at) };
            assert!(check(&crashed).is_good(), "{story}");
            assert_eq!(files_of(&crashed).0, files_of(&crashed).1, "{story}");
        }
        take(&machine).unwrap();
        let target = carried(&machine, seed);
        let probe = copy_of(&target, seed);
        restore(&probe).unwrap();
        for at in points(&probe, 60) {
            let what = failures[usize::try_from(at).unwrap() % 4];
            let machine = copy_of(&target, seed);
            machine.disk.fault(Fault::at(at, what));
            let story = format!("seed {seed}: call {at} of restoring fails ({what:?})");
            if restore(&machine).is_err() && !machine.world().disk.exists(&Scenario::dir().join("store.json")) {
                restore(&machine).unwrap_or_else(|error| panic!("{story}: {error:?}"));
            }
            let crashed = SimWorld { disk: machine.disk.crashed_copy(CrashPolicy::None, at), ..SimWorld::new(at) };
            if !crashed.world().disk.exists(&Scenario::dir().join("store.json")) {
                // The rename was reported as failed, was seen all the same, and did not last: once more.
                restore(&crashed).unwrap_or_else(|error| panic!("{story}: {error:?}"));
            }
            drop(Store::open_in(Scenario::config(), crashed.world()).unwrap_or_else(|error| panic!("{story}: {error:?}")));
            expect_tidy(&crashed, &story);
            if let Err(problem) = restart_and_check(crashed.disk.crashed_copy(CrashPolicy::None, at), at, &ledger) {
                panic!("{story}: {problem}");
            }
        }
    }
}

#[test]
fn a_full_disk_stops_a_backup_and_a_restoration_with_a_reason() {
    let (machine, ledger) = with_past(14);
    take(&machine).unwrap();
    let store = Store::open_in(Scenario::config(), machine.world()).unwrap();
    store.append(&event(1)).unwrap();
    store.close().unwrap();
    machine.disk.fault(Fault::nth(OpKind::Write, 0, What::Error(errno::ENOSPC)).on("backup").lasting());
    let error = take(&machine).unwrap_err();
    assert!(error.kind() == ErrorKind::Io && error.hint().is_some_and(|hint| hint.contains("free disk space")), "{error:?}");
    assert!(check(&machine).is_good(), "the backup before is whole");
    machine.disk.heal();
    take(&machine).unwrap();
    let there = carried(&machine, 14);
    there.disk.fault(Fault::nth(OpKind::Write, 2, What::Error(errno::ENOSPC)).on("audit").lasting());
    let error = restore(&there).unwrap_err();
    assert!(error.kind() == ErrorKind::Io && error.hint().is_some_and(|hint| hint.contains("free disk space")), "{error:?}");
    assert!(!there.world().disk.exists(&Scenario::dir().join("store.json")));
    there.disk.heal();
    restore(&there).unwrap();
    restart_and_check(there.disk.crashed_copy(CrashPolicy::None, 1), 1, &ledger).unwrap();
}

/// Whatever was done to a file of a backup, the file is named and nothing is restored.
#[test]
fn a_damaged_missing_swapped_or_foreign_file_is_named_and_nothing_is_restored() {
    let (machine, _) = with_past(15);
    take(&machine).unwrap();
    let (other, _) = with_past(16);
    take(&other).unwrap();
    let names = ["store.json", "manifest", ".state", "segments/0-", "segments/1-", "journal/"];
    let refused = |machine: &SimWorld, name: &str, count: usize| {
        let restoring = backup::restore_in(BACKUP, Scenario::config(), CheckOptions::default(), machine.world()).unwrap();
        assert!(restoring.restored.is_none(), "{name}");
        let damage = &restoring.checked.damage;
        assert!(damage.len() == count && damage.iter().any(|damage| damage.file.contains(name)), "{name}: {damage:?}");
        assert!(!machine.world().disk.exists(&Scenario::dir()), "{name}: something was written");
    };
    for name in names {
        let object = object_of(&machine, name);
        let bytes = machine.disk.contents(&object).unwrap();
        let mut bent = bytes.clone();
        let middle = bent.len() / 2;
        bent[middle] ^= 0x40;
        let foreign = other.disk.contents(&object_of(&other, name)).unwrap();
        for wrong in [bent, bytes[..bytes.len() - 1].to_vec(), Vec::new(), foreign] {
            let there = carried(&machine, 15);
            there.disk.tamper(&object, &wrong).unwrap();
            refused(&there, name, 1);
        }
        let there = carried(&machine, 15);
        there.world().disk.remove(&object).unwrap();
        refused(&there, name, 1);
    }
    let there = carried(&machine, 15);
    let (one, two) = (object_of(&there, "segments/0-"), object_of(&there, "segments/1-"));
    let (first, second) = (there.disk.contents(&one).unwrap(), there.disk.contents(&two).unwrap());
    there.disk.tamper(&one, &second).unwrap();
    there.disk.tamper(&two, &first).unwrap();
    refused(&there, "segments/0-", 2);
    assert!(restore(&carried(&machine, 15)).is_ok(), "what was not touched is restored");
}

/// Who can write to the medium can make digests fit; not signatures.
#[test]
fn what_fits_by_its_digests_is_refused_by_its_signatures() {
    let (machine, _) = with_past(17);
    take(&machine).unwrap();
    let (other, _) = with_past(18);
    take(&other).unwrap();
    let contents =
        |machine: &SimWorld| String::from_utf8(machine.disk.contents(Path::new("/backup/backup.json")).unwrap()).unwrap();
    let refused = |machine: &SimWorld, what: &str| {
        let restoring = backup::restore_in(BACKUP, Scenario::config(), CheckOptions::default(), machine.world());
        assert!(restoring.is_err() || restoring.as_ref().is_ok_and(|it| it.restored.is_none()), "{what}: {restoring:?}");
        assert!(!machine.world().disk.exists(&Scenario::dir()), "{what}: something was written");
        restoring.ok().map(|it| it.checked)
    };
    let tampered = |change: &dyn Fn(&str) -> String| {
        let there = carried(&machine, 17);
        let changed = change(&contents(&there));
        assert_ne!(changed, contents(&there));
        there.disk.tamper(Path::new("/backup/backup.json"), changed.as_bytes()).unwrap();
        there
    };
    // Another store's file, named as if it were ours.
    let journal = |machine: &SimWorld| object_of(machine, "journal/").file_name().unwrap().to_string_lossy().into_owned();
    let (ours, theirs) = (journal(&machine), journal(&other));
    let bytes = other.disk.contents(&object_of(&other, "journal/")).unwrap();
    let there = tampered(&|text| {
        let at = text.find(&ours).unwrap();
        let from = text[..at].rfind("{\"bytes\":").unwrap();
        let to = from + text[from..].find(",\"end\"").unwrap();
        format!("{}{{\"bytes\":{}{}", &text[..from], bytes.len(), text[to..].replace(&ours, &theirs))
    });
    let file = there.world().disk.open(&Path::new("/backup/files").join(&theirs), Open::CreateNew).unwrap();
    file.write_at(&[std::io::IoSlice::new(&bytes)], 0).unwrap();
    let checked = refused(&there, "a foreign journal").unwrap();
    assert!(checked.report.is_some_and(|report| report.findings.iter().any(|finding| finding.code.name() == "store-identity")));
    // Sizes that are not those of the logs; checkpoints of another store; another store's name.
    let there = tampered(&|text| text.replacen("\"size\":", "\"size\":1", 1));
    assert!(!refused(&there, "heads").unwrap().misstated.is_empty());
    let note = |text: &str| text[text.find("\"note\":").unwrap()..text.find("\"files\":").unwrap()].to_owned();
    let foreign = note(&contents(&other));
    let there = tampered(&|text| text.replace(&note(text), &foreign));
    assert!(refused(&there, "checkpoints").unwrap().report.is_some_and(|report| !report.ok));
    let there = tampered(&|text| text.replacen("\"store\":\"", "\"store\":\"00", 1));
    refused(&there, "store id");
    // A file left out: its rows are missing.
    let there = tampered(&|text| {
        let at = text.find("segments/1-").unwrap();
        let from = text[..at].rfind("{\"bytes\"").unwrap();
        let to = at + text[at..].find("},").unwrap() + 2;
        format!("{}{}", &text[..from], &text[to..])
    });
    assert!(refused(&there, "a segment left out").unwrap().report.is_some_and(|report| !report.ok));
}

#[test]
fn a_backup_is_not_replaced_by_one_of_a_store_that_was_rolled_back_or_made_anew() {
    let (machine, _) = with_past(19);
    let earlier = copy_of(&machine, 19);
    let store = Store::open_in(Scenario::config(), machine.world()).unwrap();
    store.append(&event(1)).unwrap();
    store.close().unwrap();
    take(&machine).unwrap();
    let good = machine.disk.contents(Path::new("/backup/backup.json")).unwrap();
    // The machine goes back to an earlier day; the backup does not.
    copy_tree(&machine.world(), &earlier.world(), Path::new(BACKUP));
    let error = take(&earlier).unwrap_err();
    assert!(error.kind() == ErrorKind::Mismatch && error.to_string().contains("rolled back"), "{error:?}");
    // It goes on from there, and gets longer than the backup: another history.
    let mut config = Scenario::config();
    config.trusted_state_dir = None;
    let store = Store::open_in(config, earlier.world()).unwrap();
    (0..9).for_each(|n| drop(store.append(&event(n)).unwrap()));
    store.close().unwrap();
    let error = take(&earlier).unwrap_err();
    assert!(error.kind() == ErrorKind::Mismatch && error.to_string().contains("differ"), "{error:?}");
    assert_eq!(earlier.disk.contents(Path::new("/backup/backup.json")).unwrap(), good);
    // Another store altogether.
    let (other, _) = with_past(20);
    copy_tree(&machine.world(), &other.world(), Path::new(BACKUP));
    assert_eq!(take(&other).unwrap_err().kind(), ErrorKind::Rejected);
    assert!(check(&other).is_good());
}

#[test]
fn directories_that_hold_something_else_are_refused() {
    let (machine, _) = with_past(21);
    let world = machine.world();
    let reader = Reader::open_in(Scenario::dir(), machine.world()).unwrap();
    for inside in [Scenario::dir(), Scenario::dir().join("backup"), "/data".into()] {
        assert_eq!(reader.backup(inside, BackupOptions::default()).unwrap_err().kind(), ErrorKind::Rejected);
    }
    world.disk.create_dir(Path::new("/home")).unwrap();
    drop(world.disk.open(Path::new("/home/letter"), Open::CreateNew).unwrap());
    assert_eq!(reader.backup("/home", BackupOptions::default()).unwrap_err().kind(), ErrorKind::Rejected);
    take(&machine).unwrap();
    assert_eq!(restore(&machine).unwrap_err().kind(), ErrorKind::Rejected, "over the store itself");
    let mut config = Scenario::config();
    config.dir = "/home".into();
    let refused = backup::restore_in(BACKUP, config, CheckOptions::default(), machine.world());
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Rejected);
    assert_eq!(world.disk.list(Path::new("/home")).unwrap(), ["letter"]);
    let nowhere = backup::check_in("/nowhere", CheckOptions::default(), &world);
    assert_eq!(nowhere.unwrap_err().kind(), ErrorKind::NotFound);
    // One backup at a time.
    let held = world.disk.lock(Path::new("/backup/lock")).unwrap();
    assert_eq!(take(&machine).unwrap_err().kind(), ErrorKind::Locked);
    drop(held);
    take(&machine).unwrap();
}

/// Threads, a real disk, a writer that emits and seals all the while: every backup is a store whose every event is the store's.
#[test]
fn backups_beside_a_writer_that_emits_and_seals_hold_every_event_once() {
    let dir = tempfile::tempdir().unwrap();
    let (path, kept) = (dir.path().join("store"), dir.path().join("backup"));
    let mut config = Config::new(&path);
    config.checkpoint_interval = Duration::from_millis(20);
    config.journal_file_bytes_max = 4 << 20;
    config.sealing.journal_bytes = 4 << 20;
    config.sealing.rows_max = 8_192;
    let store = Store::open(config).unwrap();
    let (acknowledged, over) = (AtomicU64::new(0), AtomicBool::new(false));
    let pad = "x".repeat(1_000);
    let (mut backups, mut last) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let began = Instant::now();
            for n in 0.. {
                store.emit(&event(n).detail("pad", pad.as_str())).unwrap();
                if n % 100 == 0 {
                    store.flush().unwrap();
                    acknowledged.store(n + 1, Ordering::SeqCst);
                }
                // Beside what is sealed in the background: on a busy machine that may take its time.
                if n % 4_000 == 3_999 {
                    store.seal().unwrap();
                }
                if n > 24_000 || (n > 8_000 && began.elapsed() > Duration::from_secs(20)) {
                    break;
                }
            }
            over.store(true, Ordering::SeqCst);
        });
        while !over.load(Ordering::SeqCst) {
            let before = acknowledged.load(Ordering::SeqCst);
            let taken = Reader::open(&path).unwrap().backup(&kept, BackupOptions::default()).unwrap();
            let size = taken.heads.iter().find(|head| head.log == 1).map_or(0, |head| head.size);
            assert!(size >= before, "acknowledged {before}, backed up {size}");
            let checked = backup::check(&kept, CheckOptions::default()).unwrap();
            assert!(checked.is_good(), "{checked:?}");
            (backups, last) = (backups + 1, size);
        }
    });
    assert!(store.stats().segments > 0 && backups > 1 && last > 0, "{backups} backups");
    store.close().unwrap();
    let restored = dir.path().join("restored");
    let restoring = backup::restore(&kept, Config::new(&restored), CheckOptions::default()).unwrap();
    assert!(restoring.restored.is_some(), "{:?}", restoring.checked);
    let (before, now) = (everything(&path, World::real()), everything(&restored, World::real()));
    let taken: Vec<_> = now.iter().filter(|((log, _), _)| *log == 1).collect();
    assert_eq!(taken.len() as u64, last);
    assert!(taken.into_iter().all(|(place, there)| before.get(place) == Some(there)));
}
