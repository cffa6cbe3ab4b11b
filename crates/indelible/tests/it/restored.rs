//! A restored store says whom it goes on from, and `verify` holds every word of that against what the predecessor was and signed.

use indelible::backup::{self, BackupOptions, CheckOptions};
use indelible::format::note::VerifierKey;
use indelible::verify::{self, Code, Level, Options, Report};
use indelible::{Config, Identity, Reader, Store};
use indelible_testkit::scenario::Scenario;
use indelible_testkit::{CrashPolicy, Fault, OpKind, SimWorld, What};

use crate::backup::{carried, restore, take};
use crate::readers::event;

fn report(machine: &SimWorld, against: &[&str], key: Option<VerifierKey>) -> Report {
    let against = against.iter().map(|note| (*note).to_owned()).collect();
    verify::verify_in(Scenario::dir(), Options { against, key, ..Options::default() }, &machine.world()).unwrap()
}

fn failures(report: &Report) -> Vec<Code> {
    report.findings.iter().filter(|finding| finding.level == Level::Fail).map(|finding| finding.code).collect()
}

/// A store of which a part was backed up, restored elsewhere.
struct Loss {
    restored: SimWorld,
    old: Identity,
    new: Identity,
    /// Signed under the old origin: before the backup, and after it.
    known: String,
    lost: String,
    /// Another history of the same log, signed with its key.
    forked: String,
}

fn loss(seed: u64) -> Loss {
    let machine = Scenario::sealing(seed).machine();
    let open = |machine: &SimWorld| Store::open_in(Scenario::config(), machine.world()).unwrap();
    let store = open(&machine);
    (0..20).for_each(|n| drop(store.append(&event(n)).unwrap()));
    store.seal().unwrap();
    let old = store.identity().unwrap().clone();
    store.close().unwrap();
    let fork = SimWorld { disk: machine.disk.crashed_copy(CrashPolicy::All, seed), ..SimWorld::new(seed + 7) };
    let store = open(&machine);
    (20..30).for_each(|n| drop(store.append(&event(n)).unwrap()));
    let known = store.checkpoint(1).unwrap().note;
    store.append(&event(30)).unwrap();
    take(&machine).unwrap();
    (31..36).for_each(|n| drop(store.append(&event(n)).unwrap()));
    let lost = store.checkpoint(1).unwrap().note;
    store.close().unwrap();
    let store = open(&fork);
    (100..110).for_each(|n| drop(store.append(&event(n)).unwrap()));
    let forked = store.checkpoint(1).unwrap().note;
    store.close().unwrap();
    let restored = carried(&machine, seed);
    let new = restore(&restored).unwrap().identity;
    Loss { restored, old, new, known, lost, forked }
}

#[test]
fn a_predecessors_checkpoint_is_judged_as_far_as_its_log_was_taken_over() {
    let loss = loss(31);
    let found = report(&loss.restored, &[&loss.known], None);
    assert!(found.ok && found.anchored && found.logs[1].anchored == 30, "{found:?}");
    let found = report(&loss.restored, &[&loss.lost], None);
    assert_eq!(failures(&found), [Code::RestoredShort]);
    let finding = found.findings.iter().find(|finding| finding.code == Code::RestoredShort).unwrap();
    assert_eq!((finding.log, finding.at), (Some(1), Some(31)));
    assert!(finding.message.contains("over 36 entries") && finding.message.contains("the 5 that came"), "{finding:?}");
    let found = report(&loss.restored, &[&loss.forked], None);
    assert_eq!(failures(&found), [Code::AnchorMismatch]);
    let bent = loss.known.replacen("\n30\n", "\n29\n", 1);
    assert_eq!(failures(&report(&loss.restored, &[&bent], None)), [Code::CheckpointSignature]);
    // It goes on: what was written since is judged by the new origin.
    let store = Store::open_in(Scenario::config(), loss.restored.world()).unwrap();
    (0..9).for_each(|n| drop(store.append(&event(n)).unwrap()));
    let newest = store.checkpoint(1).unwrap();
    assert_eq!(newest.origin, loss.new.origin(1).unwrap());
    store.seal().unwrap();
    store.close().unwrap();
    let found = report(&loss.restored, &[&loss.known, &newest.note], None);
    assert!(found.ok && found.logs[1].anchored == newest.size, "{found:?}");
    assert_eq!(
        failures(&report(&loss.restored, &[&loss.lost], None)),
        [Code::RestoredShort],
        "longer again, and still another log"
    );
}

#[test]
fn a_predecessors_key_does_not_vouch_for_what_came_after() {
    let loss = loss(32);
    assert!(report(&loss.restored, &[], loss.new.verifier_key(0)).ok);
    let found = report(&loss.restored, &[], loss.old.verifier_key(1));
    assert_eq!(failures(&found), [Code::KeyMismatch]);
    assert!(found.findings[0].message.contains(&loss.new.verifier_key(0).unwrap().to_string()), "{found:?}");
}

#[test]
fn what_store_json_says_of_a_predecessor_must_be_what_the_log_says() {
    let loss = loss(33);
    let path = Scenario::dir().join("store.json");
    let text = String::from_utf8(loss.restored.disk.contents(&path).unwrap()).unwrap();
    let part = |from: &str, to: &str| {
        let at = text.find(from).unwrap();
        &text[at..at + text[at..].find(to).unwrap()]
    };
    let whole = &text[text.find(",\"predecessors\":").unwrap()..text.rfind(",\"prefix\":").unwrap()];
    let changes: Vec<(&str, String)> = vec![
        ("a larger size", text.replacen("\"size\":31}", "\"size\":32}", 1)),
        ("a smaller size", text.replacen("\"size\":31}", "\"size\":30}", 1)),
        ("another root", {
            let root = part("\"root\":\"", "\",\"size\":31}");
            let other = format!("\"root\":\"{}", "A".repeat(43) + "=");
            text.replacen(root, &other, 1)
        }),
        ("another date", text.replacen("\"until\":\"20", "\"until\":\"19", 1)),
        ("another id", text.replacen(&loss.old.store_hex(), &loss.new.store_hex(), 1)),
        ("another uid", text.replacen(&loss.old.logs[1].uid, &loss.old.logs[2].uid, 1)),
        ("no checkpoint", {
            let note = part("\"checkpoint\":\"", "\"log\":0");
            text.replacen(note, "", 1)
        }),
        ("no predecessor", text.replacen(whole, "", 1)),
    ];
    assert!(report(&loss.restored, &[], None).ok);
    for (what, changed) in changes {
        assert_ne!(changed, text, "{what}");
        loss.restored.disk.tamper(&path, changed.as_bytes()).unwrap();
        let found = report(&loss.restored, &[], None);
        let codes = failures(&found);
        assert!(codes.contains(&Code::RestoredMismatch), "{what}: {codes:?}");
    }
}

/// The entry is written at the first opening, whatever came between.
#[test]
fn a_restoration_that_ended_before_the_store_was_opened_is_finished_by_opening_it() {
    let machine = Scenario::sealing(34).machine();
    let store = Store::open_in(Scenario::config(), machine.world()).unwrap();
    (0..20).for_each(|n| drop(store.append(&event(n)).unwrap()));
    store.close().unwrap();
    take(&machine).unwrap();
    let there = carried(&machine, 34);
    // The first thing that opening does to the new store.
    there.disk.fault(Fault::nth(OpKind::Open, 0, What::Crash).on("audit/lock"));
    assert!(restore(&there).is_err());
    let there = SimWorld { disk: there.disk.crashed_copy(CrashPolicy::None, 1), ..SimWorld::new(35) };
    let found = report(&there, &[], None);
    assert!(found.ok && found.findings.iter().any(|finding| finding.code == Code::RestoreUnfinished), "{found:?}");
    // The state is believed only as far as it is what was restored.
    let unopened = SimWorld { disk: there.disk.crashed_copy(CrashPolicy::None, 1), ..SimWorld::new(36) };
    let path = Scenario::dir().join("store.json");
    let text = String::from_utf8(unopened.disk.contents(&path).unwrap()).unwrap();
    let at = text.rfind("\"root\":\"").unwrap() + 8;
    let forged = format!("{}{}={}", &text[..at], "A".repeat(43), &text[at + 44..]);
    unopened.disk.tamper(&path, forged.as_bytes()).unwrap();
    let refused = Store::open_in(Scenario::config(), unopened.world()).unwrap_err();
    assert!(refused.to_string().contains("what it was restored with"), "{refused:?}");
    for _ in 0..2 {
        Store::open_in(Scenario::config(), there.world()).unwrap().close().unwrap();
        let found = report(&there, &[], None);
        assert!(found.ok && !found.findings.iter().any(|finding| finding.code == Code::RestoreUnfinished), "{found:?}");
    }
}

/// What was restored is backed up and restored again; small segments of all three are taken into larger ones.
#[test]
fn a_store_may_go_on_from_one_that_went_on_from_another() {
    let loss = loss(37);
    let grow = |machine: &SimWorld, from: u64| {
        let store = Store::open_in(Scenario::config(), machine.world()).unwrap();
        (from..from + 12).for_each(|n| drop(store.append(&event(n)).unwrap()));
        store.seal().unwrap();
        store.append(&event(from + 12)).unwrap();
        let note = store.checkpoint(1).unwrap();
        store.close().unwrap();
        note
    };
    let second = grow(&loss.restored, 200);
    // A directory belongs to one store: the restored one needs its own.
    let reader = Reader::open_in(Scenario::dir(), loss.restored.world()).unwrap();
    assert!(reader.backup("/backup", BackupOptions::default()).is_err());
    reader.backup("/backup2", BackupOptions::default()).unwrap();
    let mut config: Config = Scenario::config();
    config.dir = "/data/third".into();
    let restoring = backup::restore_in("/backup2", config.clone(), CheckOptions::default(), loss.restored.world()).unwrap();
    let third = restoring.restored.unwrap().identity;
    assert_eq!(third.predecessors.len(), 2);
    let store = Store::open_in(config.clone(), loss.restored.world()).unwrap();
    (300..305).for_each(|n| drop(store.append(&event(n)).unwrap()));
    assert!(store.seal().unwrap().merged > 0);
    store.close().unwrap();
    let against = vec![loss.known.clone(), second.note.clone()];
    let verify = |against: Vec<String>| {
        verify::verify_in(&config.dir, Options { against, ..Options::default() }, &loss.restored.world()).unwrap()
    };
    let found = verify(against);
    assert!(found.ok && found.logs[1].anchored == second.size, "{found:?}");
    assert_eq!(failures(&verify(vec![loss.lost])), [Code::RestoredShort]);
    // A proof of an old event under the new origin.
    let reader = Reader::open_in(&config.dir, loss.restored.world()).unwrap();
    let proof = reader.prove(1, 3).unwrap().to_string();
    let proven = verify::verify_proof(proof.as_bytes(), &third.verifier_key(1).unwrap()).unwrap();
    assert_eq!((proven.origin, proven.seq), (third.origin(1).unwrap(), 3));
}
