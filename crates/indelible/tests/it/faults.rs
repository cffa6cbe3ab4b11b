//! A disk that is full, read-only, broken or out of handles gives a clear error, harms nothing that was there, and acknowledges
//! nothing that is not durable.

use indelible::{Draft, Error, ErrorKind, Receipt, Store, Ticket};
use indelible_testkit::scenario::{Failed, OnError, Outcome, Scenario, chain, restart_and_check};
use indelible_testkit::{CrashPolicy, Fault, OpKind, SimWorld, What, errno, seeds};

use crate::durability::long;
use crate::tasks::block_on;

/// How calls fail, with a word that the error must show or hint at.
const FAILURES: [(What, &str); 6] = [
    (What::Error(errno::EIO), "os error 5"),
    (What::Error(errno::ENOSPC), "free disk space"),
    (What::Error(errno::EROFS), "read-only"),
    (What::Error(errno::EMFILE), "ulimit"),
    (What::ShortWrite, ""),
    (What::LandedButFailed, "os error 5"),
];

const KINDS: [OpKind; 8] = [
    OpKind::Write,
    OpKind::Sync,
    OpKind::Open,
    OpKind::Allocate,
    OpKind::Rename,
    OpKind::SyncDir,
    OpKind::CreateDir,
    OpKind::SetLen,
];

fn told(failed: &Failed) -> String {
    format!("{} [{}]", chain(&failed.error), failed.error.hint().unwrap_or_default())
}

/// What must hold whatever failed.
fn check_errors(outcome: &Outcome, word: &str, story: &str) {
    assert!(outcome.contradictions.is_empty(), "{story}: {:?}", outcome.contradictions);
    assert_eq!(outcome.after_failure, 0, "{story}: acknowledged on a handle that had said it is dead");
    let Some(first) = outcome.failed.first() else { return };
    assert!(matches!(first.error.kind(), ErrorKind::Io | ErrorKind::Busy), "{story}: {}: {}", first.call, told(first));
    assert!(told(first).contains(word), "{story}: the error does not say {word:?}: {}", told(first));
    for failed in &outcome.failed {
        let kind = failed.error.kind();
        assert!(
            matches!(kind, ErrorKind::Io | ErrorKind::Busy | ErrorKind::Poisoned),
            "{story}: {}: {}",
            failed.call,
            told(failed)
        );
        assert!(kind == ErrorKind::Io || failed.error.hint().is_some(), "{story}: {} says no next step", told(failed));
    }
}

fn count(scenario: &Scenario, kind: OpKind) -> u64 {
    let machine = scenario.machine();
    assert!(scenario.run(&machine, OnError::Stop).failed.is_empty());
    machine.disk.ops().iter().filter(|op| op.kind == kind).count() as u64
}

fn strike(scenario: &Scenario, kind: OpKind, index: u64, what: What, word: &str, on_error: OnError) {
    let machine = scenario.machine();
    machine.disk.fault(Fault::nth(kind, index, what));
    let outcome = scenario.run(&machine, on_error);
    let story = format!("seed {}: {kind:?} {index} fails ({what:?}), then {on_error:?}", scenario.seed);
    check_errors(&outcome, word, &story);
    let policy = CrashPolicy::ALL[usize::try_from(index).unwrap() % 4];
    if let Err(problem) = restart_and_check(machine.disk.crashed_copy(policy, index), index, &outcome.ledger) {
        panic!("{story}, {policy:?}: {problem}");
    }
}

/// Every call × its failures × {stop, go on}, then power loss. The ordinary run takes each call with one of the failures, another
/// with every seed; the long one takes all.
#[test]
fn every_failing_call_leaves_what_was_acknowledged() {
    for seed in seeds(1) {
        let scenario = Scenario::small(seed);
        let mut struck = 0;
        for (nth, kind) in KINDS.into_iter().enumerate() {
            let calls = count(&scenario, kind);
            assert!(calls > 0, "the work makes no {kind:?}");
            for index in 0..calls {
                for (which, (what, word)) in FAILURES.into_iter().enumerate() {
                    let turn = index + seed + nth as u64;
                    if !long() && turn % 6 != which as u64 {
                        continue;
                    }
                    // Once a directory's sync has failed for good, what it names is lost at the next power cut whatever is done
                    // later: only the process may end there.
                    let for_good = kind == OpKind::SyncDir && matches!(what, What::Error(_));
                    let on_error = if for_good || turn.is_multiple_of(2) { OnError::Stop } else { OnError::GoOn };
                    strike(&scenario, kind, index, what, word, on_error);
                    struck += 1;
                }
            }
        }
        eprintln!("{struck} failures survived");
        assert!(struck > 150);
    }
}

/// What a first attempt made and could not sync is not taken for durable by the second one.
#[test]
fn names_that_were_not_synced_are_synced_by_whoever_comes_next() {
    let scenario = Scenario::small(7);
    for index in 0..count(&scenario, OpKind::SyncDir) {
        strike(&scenario, OpKind::SyncDir, index, What::ShortWrite, "", OnError::GoOn);
    }
}

/// The journal's own files, made ahead of use and filled one after the other.
#[test]
fn a_failure_while_the_journal_goes_over_to_its_next_file_loses_nothing() {
    let scenario = Scenario { sessions: 1, ..Scenario::rotating(1) };
    for kind in [OpKind::Allocate, OpKind::SyncDir, OpKind::Sync, OpKind::Open, OpKind::SetLen, OpKind::Write, OpKind::FreeBytes]
    {
        let machine = scenario.machine();
        assert!(scenario.run(&machine, OnError::Stop).failed.is_empty());
        let fits = |op: &&indelible_testkit::Op| op.kind == kind && op.path.to_string_lossy().contains("journal");
        let calls = machine.disk.ops().iter().filter(fits).count() as u64;
        assert!(calls > 0, "the work makes no {kind:?} in the journal");
        for index in 0..calls {
            let (what, word) = FAILURES[usize::try_from(index).unwrap() % FAILURES.len()];
            let machine = scenario.machine();
            machine.disk.fault(Fault::nth(kind, index, what).on("journal"));
            let outcome = scenario.run(&machine, OnError::GoOn);
            let story = format!("{kind:?} {index} in the journal fails ({what:?})");
            check_errors(&outcome, if kind == OpKind::FreeBytes { "" } else { word }, &story);
            if let Err(problem) = restart_and_check(machine.disk.crashed_copy(CrashPolicy::None, index), index, &outcome.ledger) {
                panic!("{story}: {problem}");
            }
        }
    }
}

/// `fsync` tells of a lost page once. Whoever asks again is told that all is well (2018, "fsyncgate").
#[test]
fn nothing_is_acknowledged_on_a_handle_whose_sync_failed() {
    let scenario = Scenario { sessions: 1, ..Scenario::small(2) };
    let syncs = count(&scenario, OpKind::Sync);
    let mut poisoned = 0;
    for index in 0..syncs {
        let machine = scenario.machine();
        machine.disk.fault(Fault::nth(OpKind::Sync, index, What::Error(errno::EIO)).on("journal/"));
        let outcome = scenario.run(&machine, OnError::GoOn);
        check_errors(&outcome, "", &format!("sync {index}"));
        let Some(at) = outcome.failed.iter().position(|failed| failed.call == "wait" || failed.call == "flush") else { continue };
        poisoned += 1;
        let later = &outcome.failed[at + 1..];
        assert!(
            later.iter().all(|failed| failed.error.kind() == ErrorKind::Poisoned),
            "{:?}",
            later.iter().map(told).collect::<Vec<_>>()
        );
        // The page cache shows what the disk does not have; a new handle must not build on it.
        machine.disk.kill();
        restart_and_check(machine.disk.clone(), index, &outcome.ledger).unwrap();
    }
    assert!(poisoned > 5, "no failed sync reached the journal");
}

/// A file system that stops while a sync is in flight may call that sync a success (ext4 does). The write behind each sync notices.
#[test]
fn a_sync_is_not_believed_when_the_file_system_has_stopped_behind_it() {
    let scenario = Scenario { sessions: 1, ..Scenario::small(5) };
    let machine = scenario.machine();
    assert!(scenario.run(&machine, OnError::Stop).failed.is_empty());
    let writes = machine.disk.ops().iter().filter(|op| op.kind == OpKind::Write && op.path.ends_with("status")).count() as u64;
    assert!(writes > 10, "no write follows the syncs");
    // The first one announces where the journal ends at opening: it follows no sync, and nothing rests on it.
    for index in 1..writes {
        for (code, stopped) in [(errno::EIO, true), (errno::EROFS, true), (errno::ENOSPC, false)] {
            let story = format!("the write behind sync {index} fails with {code}");
            let machine = scenario.machine();
            machine.disk.fault(Fault::nth(OpKind::Write, index, What::Error(code)).on("status"));
            let outcome = scenario.run(&machine, OnError::GoOn);
            check_errors(&outcome, "", &story);
            assert_eq!(outcome.failed.is_empty(), !stopped, "{story}");
            let later = outcome.failed.iter().skip(1);
            assert!(later.clone().all(|failed| failed.error.kind() == ErrorKind::Poisoned), "{story}: the handle goes on");
            restart_and_check(machine.disk.crashed_copy(CrashPolicy::None, index), index, &outcome.ledger).unwrap();
        }
    }
}

/// Nobody waited for the event that could not be written: then closing is where its loss is heard of.
#[test]
fn closing_tells_of_events_that_could_not_be_written() {
    for threads in [false, true] {
        let machine = SimWorld::new(9);
        let mut config = Scenario::config();
        config.threads = threads;
        let store = Store::open_in(config, machine.world()).unwrap();
        let other = store.clone();
        // The file in use: those that are made ahead are synced as well, by another thread.
        machine.disk.fault(Fault::nth(OpKind::Sync, 0, What::Error(errno::EIO)).on("journal/00000001.wal"));
        store.emit(&Draft::new("widget.polish")).unwrap();
        // With threads the committer meets the error, perhaps before the store is closed, perhaps while it is.
        std::thread::sleep(std::time::Duration::from_millis(if threads { 20 } else { 0 }));
        assert!(store.close().is_err(), "threads: {threads}");
        assert_eq!(other.close().unwrap_err().kind(), ErrorKind::Poisoned);
    }
}

/// Out of room is not out of order: what waits is written when there is room again.
#[test]
fn a_full_disk_is_busy_and_goes_on_when_there_is_room() {
    let scenario = Scenario { sessions: 1, ..Scenario::rotating(3) };
    let machine = SimWorld::new(3);
    machine.disk.set_capacity_bytes(6 << 20);
    let outcome = scenario.run(&machine, OnError::GoOn);
    check_errors(&outcome, "free", "a disk of 10 MiB");
    let first = outcome.failed.first().expect("the disk is too small for the work");
    assert_eq!(first.error.kind(), ErrorKind::Busy, "{}", told(first));
    assert!(outcome.ledger.acknowledged().count() > 3);
    machine.disk.set_capacity_bytes(1 << 40);
    restart_and_check(machine.disk.crashed_copy(CrashPolicy::None, 3), 3, &outcome.ledger).unwrap();
}

/// Waiting threads and tasks are told that there is no room instead of sleeping until there is, and may ask again.
#[test]
fn nobody_sleeps_through_a_full_disk() {
    let machine = SimWorld::new(6);
    let mut config = Scenario::config();
    config.threads = true;
    let store = Store::open_in(config, machine.world()).unwrap();
    machine.disk.set_capacity_bytes(1 << 20);
    let filler = "x".repeat(60_000);
    let draft = Draft::new("disk.fill").detail("filler", &*filler);
    let full = |result: Result<Receipt, Error>| match result {
        Ok(_) => false,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Busy, "{}", chain(&error));
            true
        }
    };
    let stuck: Vec<Ticket<'_>> = std::thread::scope(|scope| {
        let fill = |awaits: bool| loop {
            let ticket = store.emit(&draft).unwrap();
            if full(if awaits { block_on(ticket) } else { ticket.wait() }) {
                return ticket;
            }
        };
        let threads: Vec<_> = (0..4).map(|n| scope.spawn(move || fill(n % 2 == 0))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(store.flush().unwrap_err().kind(), ErrorKind::Busy);
    // Whoever asks before it emits hears of it, and that it is the disk.
    let why = store.stalled().expect("it says so");
    let mut causes = std::iter::successors(std::error::Error::source(&why), |cause| cause.source());
    let is_full = |cause: &std::io::Error| cause.kind() == std::io::ErrorKind::StorageFull;
    assert!(causes.any(|cause| cause.downcast_ref().is_some_and(is_full)), "{}", chain(&why));
    assert!(why.hint().is_some_and(|hint| hint.contains("free disk space") && !hint.contains("open the store again")));
    machine.disk.set_capacity_bytes(1 << 40);
    for (n, ticket) in stuck.into_iter().enumerate() {
        let again = || if n % 2 == 0 { block_on(ticket) } else { ticket.wait() };
        // Who comes first may still hear of the time before.
        while full(again()) {}
    }
    store.flush().unwrap();
    assert!(store.stalled().is_none());
}

#[test]
fn a_read_only_disk_from_the_start_is_said_so() {
    let machine = SimWorld::new(4);
    for kind in [OpKind::CreateDir, OpKind::Open, OpKind::Write] {
        machine.disk.fault(Fault::nth(kind, 0, What::Error(errno::EROFS)).lasting());
    }
    let error = indelible::Store::open_in(Scenario::config(), machine.world()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.hint().is_some_and(|hint| hint.contains("read-only")), "{}", chain(&error));
}
